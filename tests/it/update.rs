//! `update`, `checkpoint`, `runtime-config`, `update-runtime-config`.

use criscope::cri;
use criscope::fake::Node;

use crate::support::{criscope, small};

#[test]
fn limits_are_changed_and_the_others_left_alone() {
    let node = small::node();
    let id = small::container(&node, "web-1", "proxy");
    let stdout = criscope([
        "update",
        "--memory",
        "256Mi",
        "--cpu-quota",
        "-1",
        "--oom-score-adj",
        "-5",
        "--annotation",
        "a=b",
        "proxy",
    ])
    .on(&node)
    .stdout();
    assert_eq!(stdout, format!("{id}\n"));
    let request: cri::UpdateContainerResourcesRequest =
        node.calls().pop().unwrap().message().unwrap();
    assert_eq!(
        request.linux,
        Some(cri::LinuxContainerResources {
            memory_limit_in_bytes: 268_435_456,
            cpu_quota: -1,
            oom_score_adj: -5,
            ..Default::default()
        })
    );
    assert_eq!(request.windows, None);
    assert_eq!(request.annotations["a"], "b");
}

#[test]
fn an_update_of_nothing_is_bad_usage() {
    for arguments in [
        &["update", "proxy"][..],
        &["update", "--oom-score-adj", "much", "proxy"],
        &["update", "--oom-score-adj", "2000", "proxy"],
        &["update", "--memory", "lots", "proxy"],
        // To a runtime 0 is "not given": nothing would happen.
        &["update", "--cpu-quota", "0", "proxy"],
    ] {
        let outcome = criscope(arguments.iter()).outcome();
        assert_eq!(outcome.code, 2, "{arguments:?}: {outcome}");
    }
}

#[test]
fn a_checkpoint_is_written_where_the_caller_means() {
    let node = small::node_of("2.1.4");
    let directory = tempfile::tempdir().unwrap();
    let id = small::container(&node, "web-1", "proxy");
    let web = small::container(&node, "web-1", "web");
    let path = directory.path().to_str().unwrap();
    let archive = format!("{path}/web.tar");
    criscope(["checkpoint", "-e", &archive, "proxy"])
        .on(&node)
        .stdout();
    let location = |node: &Node| -> String {
        let request: cri::CheckpointContainerRequest =
            node.calls().pop().unwrap().message().unwrap();
        request.location
    };
    assert_eq!(location(&node), archive);
    criscope(["checkpoint", "-e", path, "proxy"])
        .on(&node)
        .stdout();
    assert_eq!(location(&node), format!("{path}/{id}.tar"));
    let outcome = criscope(["checkpoint", "-e", &archive, &id, &web])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("several containers cannot be written into one archive"),
        "{outcome}"
    );
    assert_eq!(criscope(["checkpoint", "proxy"]).outcome().code, 2);
}

#[test]
fn the_cgroup_driver_is_told() {
    let node = small::node_of("2.1.4");
    assert_eq!(
        criscope(["runtime-config"]).on(&node).stdout(),
        "cgroup driver:   SYSTEMD\n"
    );
    let document = criscope(["runtime-config", "-o", "json"]).on(&node).json();
    assert_eq!(document["linux"]["cgroupDriver"], "SYSTEMD");
    let node = small::node_of("1.6.20");
    let outcome = criscope(["runtime-config"]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome.stderr.contains("unknown method RuntimeConfig"),
        "{outcome}"
    );
}

#[test]
fn the_network_of_the_pods_is_told_to_the_runtime() {
    let node = small::node();
    let outcome = criscope(["update-runtime-config", "--pod-cidr", "10.9.0.0/16"])
        .on(&node)
        .outcome();
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, ""),
        "{outcome}"
    );
    let request: cri::UpdateRuntimeConfigRequest = node.calls().pop().unwrap().message().unwrap();
    assert_eq!(
        request
            .runtime_config
            .unwrap()
            .network_config
            .unwrap()
            .pod_cidr,
        "10.9.0.0/16"
    );
    assert_eq!(criscope(["update-runtime-config"]).outcome().code, 2);
}
