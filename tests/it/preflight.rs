//! `criscope preflight`: a docker node whose CRI is disabled, as a tree of files; before and after a move.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::fixture::write;
use crate::support::{criscope, demo_node};

const DAEMON_JSON: &str = "{\n  \"registry-mirrors\": [\"https://mirror.example:5000\"],\n  \"log-driver\": \"json-file\",\n  \
                           \"bip\": \"10.1.0.1/24\"\n}\n";

/// A docker node: containerd is there, but does not serve CRI.
fn docker_node() -> tempfile::TempDir {
    let node = tempfile::tempdir().unwrap();
    write(node.path(), "etc/docker/daemon.json", DAEMON_JSON);
    write(
        node.path(),
        "etc/containerd/config.toml",
        "disabled_plugins = [\"cri\"]\n",
    );
    write(
        node.path(),
        "var/lib/kubelet/kubeadm-flags.env",
        "KUBELET_KUBEADM_ARGS=\"--network-plugin=cni --pod-infra-container-image=k8s.gcr.io/pause:3.5\"\n",
    );
    write(
        node.path(),
        "var/lib/kubelet/config.yaml",
        "kind: KubeletConfiguration\ncgroupDriver: systemd\n",
    );
    node
}

fn preflight(root: &Path, more: &[&str]) -> (i32, Value) {
    let mut arguments = vec![
        "preflight",
        "--from",
        "dockershim",
        "--host-root",
        root.to_str().unwrap(),
        "-o",
        "json",
    ];
    arguments.extend(more);
    let outcome = criscope(arguments).outcome();
    let report =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    (outcome.code, report)
}

fn of<'r>(report: &'r Value, code: &str) -> Vec<&'r Value> {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding["code"] == code)
        .collect()
}

#[test]
fn a_docker_node_without_any_endpoint_ends_in_findings() {
    let node = docker_node();
    let (code, report) = preflight(
        node.path(),
        &["--to", "containerd@2.1.4", "--kubernetes", "1.35"],
    );
    assert_eq!(code, 1, "{report:#}");
    let lines: Vec<(&str, u64, &str)> = of(&report, "migrate-daemon-json")
        .iter()
        .map(|finding| {
            (
                finding["subject"].as_str().unwrap(),
                finding["source"]["line"].as_u64().unwrap(),
                finding["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(
        lines.contains(&("registry-mirrors", 2, "fail")),
        "{lines:?}"
    );
    assert!(lines.contains(&("bip", 4, "warn")), "{lines:?}");
    let flags: Vec<&str> = of(&report, "migrate-kubelet-flags")
        .iter()
        .map(|finding| finding["subject"].as_str().unwrap())
        .collect();
    assert_eq!(
        flags,
        ["--network-plugin", "--pod-infra-container-image"],
        "{report:#}"
    );
    let steps = report["next"].as_array().unwrap();
    assert!(
        steps[1].as_str().unwrap().starts_with("kubectl drain"),
        "{steps:?}"
    );
}

#[test]
fn what_is_staged_decides() {
    let node = docker_node();
    let staged = tempfile::tempdir().unwrap();
    write(
        staged.path(),
        "etc/containerd/config.toml",
        "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/containerd/certs.d'\n",
    );
    write(
        staged.path(),
        "etc/containerd/certs.d/docker.io/hosts.toml",
        "server = \"https://registry-1.docker.io\"\n[host.\"https://mirror.example:5000\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
    );
    let mirror = |report: &Value| {
        of(report, "migrate-daemon-json")
            .iter()
            .filter(|finding| finding["subject"] == "registry-mirrors")
            .map(|finding| finding["status"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (_, report) = preflight(node.path(), &["--to", "containerd@2.1.4", "--all"]);
    assert_eq!(mirror(&report), ["fail"]);
    let staged = staged.path().to_str().unwrap();
    let (_, report) = preflight(
        node.path(),
        &["--to", "containerd@2.1.4", "--all", "--staged", staged],
    );
    assert_eq!(mirror(&report), ["pass"], "{report:#}");
}

#[test]
fn before_and_after() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("before.json");
    let file = file.to_str().unwrap();
    let node = demo_node();
    let outcome = criscope(["preflight", "--to", "containerd@2.3.5", "--baseline", file])
        .on(&node)
        .outcome();
    assert!([0, 1].contains(&outcome.code), "{outcome}");
    let same = criscope(["preflight", "--verify", file, "-o", "json"])
        .on(&node)
        .outcome();
    assert_eq!(same.code, 0, "{same}");

    node.world(|world| {
        world
            .images
            .retain(|image| !image.is("docker.io/library/postgres:16"))
    });
    let outcome = criscope(["preflight", "--verify", file, "-o", "json"])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let gone = of(&report, "migrate-verify-images");
    assert_eq!(
        gone[0]["subject"], "docker.io/library/postgres:16",
        "{report:#}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    for arguments in [
        &["preflight"][..],
        &["preflight", "--to", "podman@5"],
        &[
            "preflight",
            "--to",
            "containerd@2.1.4",
            "--kubernetes",
            "latest",
        ],
        &["preflight", "--verify", "/nosuch"],
    ] {
        let outcome = criscope(arguments).outcome();
        assert_eq!(outcome.code, 2, "{outcome}");
    }
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migration.md")).unwrap();
    assert!(
        text.contains("criscope preflight --from docker"),
        "the page has the first command"
    );
}
