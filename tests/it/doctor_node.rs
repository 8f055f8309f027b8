//! `criscope doctor` on nodes that are really broken, and on trees of files: the right code comes first.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::criscope;
use crate::support::lab::Lab;

/// The codes of a report, in its order, of problems only.
fn problems(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings");
    findings
        .iter()
        .filter(|finding| matches!(finding["status"].as_str(), Some("fail" | "warn")))
        .map(|finding| finding["code"].as_str().expect("a code"))
        .collect()
}

/// The report about a lab in the profile for monitoring.
fn health(lab: &Lab) -> Value {
    let output = lab
        .criscope(&["doctor", "--profile", "health", "-o", "json"])
        .output()
        .expect("it runs");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn has_nothing_to_say(generation: &str, expected: &[&str]) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "2"]) else {
        return;
    };
    let report = health(&lab);
    assert_eq!(problems(&report), expected, "{report:#}");
}

#[test]
fn a_healthy_containerd_1_4_speaks_the_old_api_and_nothing_else_is_wrong() {
    has_nothing_to_say("1.4", &["cri-v1"]);
}

#[test]
fn a_healthy_containerd_1_6_has_no_finding() {
    has_nothing_to_say("1.6", &[]);
}

#[test]
fn a_healthy_containerd_1_7_has_no_finding() {
    has_nothing_to_say("1.7", &[]);
}

#[test]
fn a_healthy_containerd_2_has_no_finding() {
    has_nothing_to_say("2", &[]);
}

#[test]
fn a_network_that_is_gone_is_named_before_what_it_causes() {
    let Some(lab) = Lab::up(&["--generation", "1.7", "--pods", "1"]) else {
        return;
    };
    let networks = lab.host_root().join("etc/cni/net.d");
    for entry in fs::read_dir(&networks).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // The daemon watches the directory; after a restart it has certainly seen it.
    lab.tell("restart", &[]);
    let report = health(&lab);
    assert_eq!(
        problems(&report),
        ["cni-config-present", "cri-network-ready"],
        "{report:#}"
    );
    assert_eq!(report["findings"][0]["status"], "fail", "{report:#}");
}

#[test]
fn a_plugin_that_is_nowhere_is_named_with_the_network_that_needs_it() {
    let Some(lab) = Lab::up(&["--generation", "2", "--pods", "1"]) else {
        return;
    };
    let networks = lab.host_root().join("etc/cni/net.d");
    let entry = fs::read_dir(&networks).unwrap().next().unwrap().unwrap();
    let text = fs::read_to_string(entry.path()).unwrap();
    assert!(text.contains("\"ptp\""), "{text}");
    fs::write(entry.path(), text.replace("\"ptp\"", "\"calico\"")).unwrap();
    let report = health(&lab);
    assert_eq!(problems(&report)[0], "cni-bin-present", "{report:#}");
    let message = report["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("`calico`"), "{message}");
}

#[test]
fn a_stopped_shim_is_named_with_its_pod() {
    let Some(lab) = Lab::up(&["--generation", "1.7", "--pods", "2"]) else {
        return;
    };
    let pod = &lab.document["pods"][1];
    let id = pod["id"].as_str().unwrap();
    let shim = shim_of(id).expect("the pod has a shim");
    signal("-STOP", shim);
    let report = health(&lab);
    signal("-CONT", shim);
    assert_eq!(problems(&report)[0], "cri-container-inspect", "{report:#}");
    let message = report["findings"][0]["message"].as_str().unwrap();
    let name = pod["name"].as_str().unwrap();
    assert!(
        message.contains(name) && message.contains(&shim.to_string()),
        "{message}"
    );
}

/// The process id of the shim that was started for a sandbox.
fn shim_of(id: &str) -> Option<u32> {
    fs::read_dir("/proc")
        .ok()?
        .filter_map(Result::ok)
        .find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let mut words = line.split('\0');
            let program = words.next()?;
            (program.contains("containerd-shim") && words.any(|word| word == id)).then_some(pid)
        })
}

fn signal(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .expect("kill is there");
    assert!(status.success());
}

#[test]
fn a_daemon_that_was_killed_leaves_one_cause() {
    let Some(lab) = Lab::up(&["--generation", "1.7", "--pods", "1"]) else {
        return;
    };
    lab.tell("signal", &["KILL"]);
    let report = health(&lab);
    assert_eq!(problems(&report), ["endpoint-connect"], "{report:#}");
    assert_eq!(report["findings"][0]["measured"], "refused");
}

/// The report about a tree of files.
fn tree(files: &[(&str, &str)], profile: &str) -> Value {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let report = at(root.path(), profile);
    assert!(
        !report
            .to_string()
            .contains(&root.path().display().to_string()),
        "paths are those of the node: {report:#}"
    );
    report
}

fn at(root: &Path, profile: &str) -> Value {
    let root = root.to_str().unwrap();
    let arguments = [
        "doctor",
        "-o",
        "json",
        "--profile",
        profile,
        "--host-root",
        root,
    ];
    let outcome = criscope(arguments).outcome();
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

const CONTAINERD: (&str, &str) = (
    "/etc/containerd/config.toml",
    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\
     [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n  SystemdCgroup = true\n",
);
const KUBELET: (&str, &str) = (
    "/var/lib/kubelet/config.yaml",
    "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncgroupDriver: systemd\nseccompDefault: true\n",
);

#[test]
fn files_of_a_node_in_order_give_no_finding() {
    let report = tree(&[CONTAINERD, KUBELET], "health");
    assert_eq!(problems(&report), Vec::<&str>::new(), "{report:#}");
}

#[test]
fn files_with_two_cgroup_drivers() {
    let wrong = CONTAINERD.1.replace("true", "false");
    let report = tree(&[(CONTAINERD.0, &wrong), KUBELET], "health");
    assert_eq!(problems(&report), ["cgroup-driver-match"], "{report:#}");
    let finding = &report["findings"][0];
    assert_eq!(finding["source"]["line"], 5);
    assert_eq!(finding["remedy"]["edit"]["new"], "  SystemdCgroup = true");
    assert_eq!(finding["evidence"][0]["source"]["path"], KUBELET.0);
}

#[test]
fn files_with_a_flag_that_no_kubelet_knows() {
    let flags = (
        "/var/lib/kubelet/kubeadm-flags.env",
        "KUBELET_KUBEADM_ARGS=\"--container-runtime=remote --container-runtime-endpoint=unix:///run/containerd/containerd.sock\"\n",
    );
    let report = tree(&[CONTAINERD, KUBELET, flags], "health");
    assert_eq!(problems(&report), ["kubelet-removed-flags"], "{report:#}");
    let edit = &report["findings"][0]["remedy"]["edit"];
    assert_eq!(
        edit["new"],
        "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/containerd/containerd.sock\""
    );
}

#[test]
fn files_of_a_node_that_still_has_docker() {
    let report = tree(
        &[
            CONTAINERD,
            KUBELET,
            (
                "/etc/docker/daemon.json",
                "{\n  \"log-driver\": \"fluentd\",\n  \"bip\": \"172.30.0.1/16\",\n  \"userns-remap\": \"default\"\n}\n",
            ),
            (
                "/etc/kubernetes/manifests/agent.yaml",
                "kind: Pod\nspec:\n  containers:\n  - env:\n    - name: P\n      value: hunter2\n  volumes:\n  - hostPath:\n      path: /var/run/docker.sock\n",
            ),
            ("/etc/cron.d/clean", "@daily root docker system prune -f\n"),
        ],
        "preflight",
    );
    let found = problems(&report);
    for code in [
        "docker-logging-carried",
        "docker-options-carried",
        "docker-userns-carried",
        "docker-sock-users",
        "docker-cli-scripts",
        "kernel-modules-persist",
        "sysctl-persist",
    ] {
        assert!(found.contains(&code), "{code}: {found:?}");
    }
    assert!(!report.to_string().contains("hunter2"));
}
