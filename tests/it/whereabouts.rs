//! `where` on real containerd: what `ctr` has put into its own namespace is found, and the command that is shown brings it
//! where the kubelet looks.

use std::fs;

use serde_json::Value;

use crate::support::criscope;
use crate::support::lab::Lab;

const IMAGE: &str = "registry.lab.test/lab/app:1";

#[track_caller]
fn find(lab: &Lab, image: &str) -> (i32, Value) {
    let outcome = criscope(["where", image, "-o", "json"])
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .outcome();
    let document: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
    (outcome.code, document["images"][0].clone())
}

/// The copy in a namespace.
#[track_caller]
fn copy<'f>(found: &'f Value, namespace: &str) -> &'f Value {
    let copies = found["copies"].as_array().unwrap();
    let is_it = |copy: &&Value| copy["store"]["namespace"] == namespace;
    copies
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("nothing in {namespace}: {found:#}"))
}

fn brought_where_the_kubelet_looks(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "0"]) else {
        return;
    };
    let (code, found) = find(&lab, IMAGE);
    assert_eq!((code, found["verdict"].as_str()), (1, Some("absent")));
    assert_eq!(found["commands"][0], format!("criscope pull {IMAGE}"));

    let certs = "/etc/containerd/certs.d";
    let pulled = lab
        .inside("ctr")
        .args([
            "-n",
            "default",
            "images",
            "pull",
            "--hosts-dir",
            certs,
            IMAGE,
        ])
        .output()
        .unwrap();
    assert!(pulled.status.success(), "{pulled:?}");
    let (code, found) = find(&lab, IMAGE);
    assert_eq!(
        (code, found["verdict"].as_str()),
        (1, Some("elsewhere")),
        "{found:#}"
    );
    let elsewhere = copy(&found, "default");
    assert_eq!(elsewhere["complete"], true, "{found:#}");
    assert_eq!(elsewhere["unpacked"], true, "{found:#}");
    assert_eq!(elsewhere["digest"], lab.pull(IMAGE)["served"], "{found:#}");

    let command = found["commands"][0].as_str().unwrap();
    let brought = lab.inside("sh").args(["-c", command]).output().unwrap();
    assert!(brought.status.success(), "{command}: {brought:?}");
    let (code, found) = find(&lab, IMAGE);
    assert_eq!(
        (code, found["verdict"].as_str()),
        (0, Some("ready")),
        "{found:#}"
    );
    assert_eq!(copy(&found, "k8s.io")["complete"], true, "{found:#}");
    assert_eq!(found["commands"].as_array().map(Vec::len), Some(0));

    // What is missing in one makes a whole list fail.
    let list = lab.dir().join("images.txt");
    fs::write(&list, format!("{IMAGE}\nquay.io/not/there:1\n")).unwrap();
    let outcome = criscope(["where", "-f", list.to_str().unwrap()])
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome.stdout.contains("the kubelet finds it") && outcome.stdout.contains("in no store"),
        "{outcome}"
    );
}

#[test]
fn from_the_default_namespace_of_containerd_1_6() {
    brought_where_the_kubelet_looks("1.6");
}

#[test]
fn from_the_default_namespace_of_containerd_2() {
    brought_where_the_kubelet_looks("2");
}

#[test]
fn a_runtime_without_namespaces() {
    let node = criscope::fake::Node::builder()
        .world(criscope::fake::World::empty("cri-o", "1.33.0"))
        .runtime("cri-o", "1.33.0")
        .start()
        .unwrap();
    let outcome = criscope(["where", "quay.io/a/b:1", "--host-root", "/nonexistent"])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stdout.contains("in no store"), "{outcome}");
}
