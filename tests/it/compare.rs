//! `criscope compare` and what `--history` keeps.

use std::fs;

use criscope::fake::{CriPlugin, Node};
use serde_json::Value;

use crate::support::{criscope, demo_node};

#[test]
fn two_nodes_and_two_times() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (well, sick) = (file("a.json"), file("b.json"));
    let node = demo_node();
    let broken = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    for (node, path) in [(&node, &well), (&broken, &sick)] {
        let arguments = [
            "doctor",
            "--only",
            "endpoint,cri",
            "-o",
            "json",
            "--save-facts",
            path.as_str(),
        ];
        criscope(arguments).on(node).outcome();
    }
    let outcome = criscope(["compare", &well, &sick]).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stdout.contains("cri-plugin-loaded"), "{outcome}");
    let outcome = criscope(["compare", &well, &sick, "-o", "json"]).outcome();
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["kind"], "Comparison");
    assert_eq!(document["nodes"].as_array().unwrap().len(), 2);

    let outcome = criscope(["compare", &well, &well]).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    let outcome = criscope(["compare", &well]).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    fs::write(file("c.json"), "{}").unwrap();
    let outcome = criscope(["compare", &well, &file("c.json")]).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
}

#[test]
fn history_keeps_what_was_when_it_changed() {
    let directory = tempfile::tempdir().unwrap();
    let (state, history) = (
        directory.path().join("state"),
        directory.path().join("history"),
    );
    let mut node = demo_node();
    let check = |node: &Node| {
        criscope([
            "check",
            "--only",
            "endpoint,cri",
            "-o",
            "npd",
            "--state-dir",
            state.to_str().unwrap(),
            "--history",
            history.to_str().unwrap(),
        ])
        .on(node)
        .outcome()
        .code
    };
    assert_eq!((check(&node), check(&node)), (0, 0));
    node.kill();
    assert_eq!(check(&node), 1);
    let outcome = criscope(["compare", history.to_str().unwrap()]).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stdout.contains("endpoint-connect"), "{outcome}");
    let kept = fs::read_dir(&history)
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("facts-")
        })
        .count();
    assert_eq!(kept, 2);
}
