//! `criscope why`: on the fake node, and on a real one with a container that ends with 7 and one that is killed.

use criscope::fake::Node;
use serde_json::{Value, json};

use crate::support::lab::Lab;
use crate::support::run::Outcome;
use crate::support::{criscope, demo_node};

fn why(node: &Node, subject: &str, more: &[&str]) -> (Outcome, Value) {
    let mut arguments = vec!["why", subject, "-o", "json"];
    arguments.extend(more);
    let outcome = criscope(arguments).on(node).outcome();
    let report = serde_json::from_str(&outcome.stdout).unwrap_or(Value::Null);
    (outcome, report)
}

#[track_caller]
fn finding<'r>(report: &'r Value, code: &str) -> &'r Value {
    let findings = report["findings"].as_array().expect("findings");
    findings
        .iter()
        .find(|finding| finding["code"] == code)
        .unwrap_or_else(|| panic!("no {code} in {report:#}"))
}

#[test]
fn a_pod_in_a_crash_loop() {
    let node = demo_node();
    let (outcome, report) = why(&node, "shop/checkout-5d7c8bb9f4-rj4hs", &[]);
    assert_eq!(outcome.code, 1, "{outcome}");
    let exit = finding(&report, "container-exit");
    assert_eq!(exit["status"], "fail");
    assert_eq!(exit["measured"]["exitCode"], 1);
    assert_eq!(finding(&report, "container-restarts")["status"], "fail");
    assert_eq!(finding(&report, "pod-network")["status"], "pass");
    assert_eq!(node.unexpected().len(), 0, "{:?}", node.unexpected());
}

#[test]
fn a_pod_that_is_well_tells_its_steps() {
    let node = demo_node();
    let pod = "kube-system/metrics-server-75bf97fcc9-t6s2p";
    let (_, report) = why(&node, pod, &[]);
    // Of the rest of the machine that tests nothing is known.
    for code in [
        "pod-sandbox",
        "pod-network",
        "container-image",
        "container-started",
        "container-exit",
    ] {
        assert_eq!(finding(&report, code)["status"], "pass", "{report:#}");
    }
    assert!(
        finding(&report, "pod-sandbox")["message"]
            .as_str()
            .unwrap()
            .contains("is ready")
    );
    let text = criscope(["why", pod]).on(&node).outcome();
    assert!(text.stdout.contains("pass    pod-network"), "{text}");
}

#[test]
fn an_image_that_is_there_and_one_that_is_not() {
    let node = demo_node();
    let (outcome, report) = why(&node, "postgres:16", &[]);
    let present = finding(&report, "image-present");
    assert_eq!(present["status"], "pass", "{outcome}");
    assert!(
        present["message"]
            .as_str()
            .unwrap()
            .contains("shop/postgres-0/postgres")
    );

    let (outcome, report) = why(&node, "nosuch.example/app:1", &[]);
    assert_eq!(outcome.code, 1, "{outcome}");
    let absent = finding(&report, "image-present");
    assert_eq!(
        absent["remedy"]["commands"][0],
        "criscope test-pull nosuch.example/app:1"
    );

    let (outcome, _) = why(&node, "nosuch", &[]);
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("there is no pod, no container and no image"),
        "{outcome}"
    );
}

#[test]
fn what_the_kubelet_says_is_explained() {
    let node = demo_node();
    let says = "Error: failed to reserve container name \"nginx_a_shop_u_0\": name \"nginx_a_shop_u_0\" is reserved for \"0123abc\"";
    let (outcome, report) = why(&node, "shop/postgres-0", &["--says", says]);
    assert_eq!(outcome.code, 1, "{outcome}");
    let reserved = finding(&report, "container-name-reserved");
    assert_eq!(reserved["runtimeSays"], says);

    // Also where no runtime answers, and from stdin.
    let outcome = criscope(["why", "shop/x", "--says", "-", "-o", "json"])
        .env("CONTAINER_RUNTIME_ENDPOINT", "unix:///nosuch.sock")
        .stdin("one line\nno IP addresses available in range set: 10.0.0.1-10.0.0.254\n")
        .outcome();
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        finding(&report, "cni-addresses-exhausted")["status"],
        "fail"
    );
    assert_eq!(finding(&report, "endpoint-socket")["status"], "fail");
}

/// Makes a container of a shell script in a pod of its own; returns its id.
fn container(lab: &Lab, pod: &str, script: &str) -> String {
    let image = lab.text("/pods/0/containers/1/image");
    let uid = format!("u-{pod}");
    let logs = format!("/var/log/pods/why_{pod}_{uid}");
    let sandbox = json!({
        "metadata": {"name": pod, "namespace": "why", "uid": uid, "attempt": 0},
        "log_directory": logs,
        "linux": {"cgroup_parent": format!("/criscope-{}/why-{pod}", lab.name())},
    });
    let container = json!({
        "metadata": {"name": "main", "attempt": 0},
        "image": {"image": image},
        "command": ["/bin/sh", "-c", script],
        "log_path": "main/0.log",
        "linux": {"resources": {"oom_score_adj": 999, "memory_limit_in_bytes": 33_554_432}},
    });
    let place = lab
        .host_root()
        .join(logs.trim_start_matches('/'))
        .join("main");
    std::fs::create_dir_all(place).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (pod, own) = (
        directory.path().join("pod.json"),
        directory.path().join("own.json"),
    );
    std::fs::write(&pod, sandbox.to_string()).unwrap();
    std::fs::write(&own, container.to_string()).unwrap();
    let (own, pod) = (own.to_str().unwrap(), pod.to_str().unwrap());
    let output = lab
        .criscope(&["run", "--no-pull", own, pod])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn ends_on_a_real_node() {
    let Some(lab) = Lab::up(&["--generation", "1.7", "--pods", "1"]) else {
        return;
    };
    let ask = |subject: &str| {
        criscope(["why", subject, "-o", "json"])
            .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
            .json_of(1)
    };
    let seven = container(
        &lab,
        "seven",
        "trap 'echo last words; exit 7' TERM; echo ready; while :; do sleep 0.1; done",
    );
    // It has to be past its trap before it is asked to end.
    let logs = lab
        .host_root()
        .join("var/log/pods/why_seven_u-seven/main/0.log");
    assert!(
        (0..200).any(|_| {
            let said = std::fs::read_to_string(&logs).unwrap_or_default();
            said.contains("ready") || {
                let _ = lab.criscope(&["version"]).output();
                false
            }
        }),
        "the container says that it is ready"
    );
    assert!(
        lab.criscope(&["stop", "--timeout", "20", &seven])
            .output()
            .unwrap()
            .status
            .success()
    );
    let report = ask("why/seven");
    let exit = finding(&report, "container-exit");
    assert_eq!(exit["measured"]["exitCode"], 7, "{report:#}");
    assert!(
        exit["evidence"][0]["text"]
            .as_str()
            .unwrap()
            .ends_with("last words"),
        "{exit:#}"
    );

    let killed = container(&lab, "killed", "exec sleep 1000");
    let stop = ["stop", "--timeout", "0", killed.as_str()];
    assert!(lab.criscope(&stop).output().unwrap().status.success());
    let report = ask(&killed);
    let exit = finding(&report, "container-exit");
    assert_eq!(exit["measured"]["signal"], 9, "{report:#}");
    assert!(
        exit["message"].as_str().unwrap().contains("SIGKILL"),
        "{exit:#}"
    );
}
