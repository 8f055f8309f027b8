//! `criscope doctor` and `criscope explain`: against the fake node, against nothing, against saved facts.

use std::time::Duration;

use criscope::fake::{CriPlugin, Node, Rule, World};
use serde_json::Value;

use crate::support::{criscope, demo_node};

/// The codes of a report, in its order.
fn codes(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings");
    findings
        .iter()
        .map(|finding| finding["code"].as_str().expect("a code"))
        .collect()
}

/// Only what the fake can answer for: the kernel and the files are those of the machine that tests.
fn doctor(node: &Node, more: &[&str]) -> (i32, Value) {
    let mut arguments = vec!["doctor", "--only", "endpoint,cri", "-o", "json"];
    arguments.extend(more);
    let outcome = criscope(arguments).on(node).outcome();
    let report =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    (outcome.code, report)
}

#[test]
fn a_healthy_node_has_no_findings() {
    let node = demo_node();
    let (code, report) = doctor(&node, &[]);
    assert_eq!(codes(&report), Vec::<&str>::new(), "{report:#}");
    assert_eq!(code, 0);
    assert_eq!(report["kind"], "Report");
    assert!(report["summary"]["pass"].as_u64() > Some(8), "{report:#}");
    assert_eq!(node.unexpected().len(), 0, "{:?}", node.unexpected());
}

#[test]
fn a_disabled_plugin_is_told_from_a_failed_one() {
    let disabled = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    let (code, report) = doctor(&disabled, &[]);
    assert_eq!(
        (code, codes(&report)),
        (1, vec!["cri-plugin-loaded"]),
        "{report:#}"
    );
    assert_eq!(report["findings"][0]["measured"], "cri-disabled");

    let words = "invalid plugin config: `mirrors` cannot be set when `config_path` is provided";
    let failed = Node::builder()
        .cri(CriPlugin::Failed(words.to_owned()))
        .start()
        .unwrap();
    let (_, report) = doctor(&failed, &[]);
    assert_eq!(report["findings"][0]["runtimeSays"], words, "{report:#}");
}

#[test]
fn only_the_older_api_is_a_failure() {
    let node = Node::builder()
        .world(World::empty("containerd", "1.4.13"))
        .start()
        .unwrap();
    let (code, report) = doctor(&node, &[]);
    assert_eq!((code, codes(&report)), (1, vec!["cri-v1"]), "{report:#}");
}

#[test]
fn a_list_that_hangs_is_named_and_nothing_more_is_asked() {
    let node = demo_node();
    node.rule(Rule::on("ListContainers").hang());
    let (code, report) = doctor(&node, &["--rpc-timeout", "300ms"]);
    assert_eq!(code, 1);
    assert_eq!(codes(&report)[0], "cri-relist", "{report:#}");
    let asked = node.rpcs();
    assert!(!asked.iter().any(|rpc| rpc == "ListImages"), "{asked:?}");
}

#[test]
fn a_daemon_that_went_away_leaves_one_finding() {
    let mut node = demo_node();
    node.kill();
    let (code, report) = doctor(&node, &[]);
    assert_eq!(
        (code, codes(&report)),
        (1, vec!["endpoint-connect"]),
        "{report:#}"
    );
    assert_eq!(report["findings"][0]["measured"], "refused");
}

#[test]
fn saved_facts_give_the_same_report() {
    let node = demo_node();
    node.rule(Rule::on("ListImages").hang());
    let directory = tempfile::tempdir().unwrap();
    let facts = directory.path().join("facts.json");
    let facts = facts.to_str().unwrap();
    let (code, report) = doctor(&node, &["--save-facts", facts, "--rpc-timeout", "300ms"]);
    let endpoint = node.endpoint();
    drop(node);
    let outcome = criscope([
        "doctor",
        "--only",
        "endpoint,cri",
        "-o",
        "json",
        "--facts",
        facts,
    ])
    .showing(endpoint, "ENDPOINT")
    .outcome();
    assert_eq!(outcome.code, code);
    assert_eq!(
        serde_json::from_str::<Value>(&outcome.stdout).unwrap(),
        report
    );
}

#[test]
fn the_text_says_what_is_wrong_and_what_to_do() {
    let node = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    let outcome = criscope(["doctor", "--only", "endpoint,cri"])
        .on(&node)
        .outcome();
    for words in [
        "fail (critical)[cri-plugin-loaded]",
        "1 failed",
        "next: ",
        "criscope explain cri-plugin-loaded",
    ] {
        assert!(outcome.stdout.contains(words), "{words}: {outcome}");
    }
    let all = criscope(["doctor", "--only", "endpoint,cri", "--all"])
        .on(&node)
        .outcome();
    assert!(all.stdout.contains("pass    endpoint-connect"), "{all}");
}

#[test]
fn verdicts_can_be_capped_left_out_and_made_strict() {
    let node = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    let (code, report) = doctor(&node, &["--severity", "cri-plugin-loaded=warn"]);
    assert_eq!(
        (code, report["findings"][0]["status"].as_str()),
        (0, Some("warn")),
        "{report:#}"
    );
    let (code, _) = doctor(&node, &["--severity", "cri-plugin-loaded=warn", "--strict"]);
    assert_eq!(code, 1);
    let (_, report) = doctor(&node, &["--skip", "cri-plugin-loaded"]);
    assert!(!codes(&report).contains(&"cri-plugin-loaded"), "{report:#}");
}

#[test]
fn a_watch_ends_when_nothing_is_wrong() {
    let mut node = demo_node();
    node.kill();
    let endpoint = node.endpoint();
    let watching = std::thread::spawn(move || {
        criscope([
            "doctor",
            "-w",
            "--interval",
            "200ms",
            "--only",
            "endpoint,cri",
        ])
        .env("CONTAINER_RUNTIME_ENDPOINT", &endpoint)
        .outcome()
    });
    node.restart().unwrap();
    assert!(node.called_within("Version", 1, Duration::from_secs(20)));
    let outcome = watching.join().unwrap();
    assert_eq!(outcome.code, 0, "{outcome}");
}

#[test]
fn words_that_name_no_check_are_answered_with_what_was_meant() {
    let outcome = criscope(["doctor", "--only", "cri-plugin-load"]).outcome();
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("cri-plugin-loaded"), "{outcome}");

    let outcome = criscope(["explain", "cri-v2"]).outcome();
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("criscope explain cri-v1"),
        "{outcome}"
    );

    let text = criscope(["explain", "cri-v1"]).stdout();
    assert!(
        text.contains("runtime.v1alpha2") && text.contains("why it matters"),
        "{text}"
    );
}
