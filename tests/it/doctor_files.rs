//! `criscope doctor --host-root`: trees of files instead of nodes that run, each with one thing wrong, or nothing.

use serde_json::Value;

use crate::support::criscope;
use crate::support::fixture::write;

/// What is found in a node with these files, of the areas that files alone decide.
fn findings(files: &[(&str, &str)], runtime: &str) -> Vec<Value> {
    let node = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(node.path(), path, text);
    }
    let root = node.path().to_str().unwrap();
    let outcome =
        criscope(["doctor", "-o", "json", "--host-root", root, "--as", runtime]).outcome();
    let report: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    report["findings"].as_array().expect("findings").clone()
}

const MAIN: &str = "etc/containerd/config.toml";

#[track_caller]
fn first(files: &[(&str, &str)], runtime: &str, expected: &str) -> Value {
    let found = findings(files, runtime);
    let first = found.first().cloned().unwrap_or_default();
    assert_eq!(first["code"], expected, "{found:#?}");
    first
}

#[test]
fn the_line_and_its_correction_are_shown() {
    let singular =
        "version = 2\n[plugin.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/c\"\n";
    let found = first(
        &[(MAIN, singular)],
        "containerd@1.7.28",
        "containerd-singular-table",
    );
    assert_eq!(found["source"]["path"], "/etc/containerd/config.toml");
    assert_eq!(found["source"]["line"], 2);
    assert_eq!(
        found["remedy"]["edit"]["new"],
        "[plugins.\"io.containerd.grpc.v1.cri\".registry]"
    );
}

#[test]
fn versions_decide() {
    let clash = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/c\"\n\
                 [plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://m\"]\n";
    first(
        &[(MAIN, clash)],
        "containerd@1.7.28",
        "registry-style-clash",
    );
    let mirrors = clash.replace("config_path = \"/c\"\n", "");
    first(
        &[(MAIN, &mirrors)],
        "containerd@2.2.1",
        "registry-mirrors-220",
    );
    assert_eq!(
        findings(&[(MAIN, &mirrors)], "containerd@1.7.28"),
        Vec::<Value>::new()
    );
}

#[test]
fn a_short_name_is_legal_without_a_version() {
    let short = "disabled_plugins = [\"cri\"]\n";
    first(
        &[(MAIN, short)],
        "containerd@1.6.20",
        "containerd-cri-disabled",
    );
    let with_version = format!("version = 2\n{short}");
    first(
        &[(MAIN, &with_version)],
        "containerd@1.6.20",
        "containerd-disabled-name",
    );
}
