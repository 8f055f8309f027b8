//! `registry route` on trees of files: the order that real daemons showed, and what another configuration changes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::criscope;
use crate::support::fixture::{cases, node_of, write};

/// The arguments that name a tree and a runtime.
fn on<'a>(node: &'a Path, runtime: &'a str) -> [&'a str; 4] {
    ["--host-root", node.to_str().unwrap(), "--as", runtime]
}

/// The URLs that a daemon contacts when everything answers 404, in order.
fn contacted(route: &Value) -> Vec<String> {
    let endpoints = route["endpoints"].as_array().unwrap();
    endpoints
        .iter()
        .filter(|endpoint| {
            let phases = endpoint["phases"].as_array().unwrap();
            phases.iter().any(|phase| phase == "resolve")
        })
        .map(|endpoint| endpoint["url"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_order_that_real_daemons_showed() {
    let mut seen = 0;
    for entry in fs::read_dir(cases()).unwrap() {
        let path = entry.unwrap().path();
        let case = path.file_name().unwrap().to_str().unwrap();
        let expected = fs::read_to_string(path.join("expected.md")).unwrap();
        for block in expected.split("```").skip(1).step_by(2) {
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::trim)
            };
            let urls: Vec<&str> = block
                .lines()
                .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
                .map(|line| line.split_whitespace().nth(1).unwrap())
                .collect();
            let node = node_of(case, field("file:").unwrap_or("config.toml"));
            for runtime in field("runtime:").unwrap().split(", ") {
                let runtime = runtime.replace("CRI-O", "crio").replace(' ', "@");
                // A pull that cannot start, as with CRI disabled, is exit code 1 and has no endpoint.
                let outcome = criscope(
                    ["registry", "route", field("ref:").unwrap(), "-o", "json"]
                        .into_iter()
                        .chain(on(node.path(), &runtime)),
                )
                .outcome();
                let document: Value =
                    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
                assert_eq!(document["kind"], "Routes");
                assert_eq!(
                    contacted(&document["routes"][0]),
                    urls,
                    "{case} on {runtime}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 20, "only {seen} observations were held against");
}

#[test]
fn a_route_for_people() {
    let node = node_of("03-colon-config-path-transfer", "config.toml");
    let text = criscope(
        ["registry", "route", "nginx:1.25"]
            .into_iter()
            .chain(on(node.path(), "containerd@2.0.11")),
    )
    .stdout();
    insta::assert_snapshot!(text);
}

const CATALOGUE: &str = "[[registry]]\nprefix = \"quay.io\"\nlocation = \"quay.io\"\n";

#[test]
fn what_another_configuration_would_change() {
    let now = tempfile::tempdir().unwrap();
    write(now.path(), "etc/containers/registries.conf", CATALOGUE);
    let new = tempfile::tempdir().unwrap();
    write(
        new.path(),
        "etc/containers/registries.conf",
        &format!("{CATALOGUE}blocked = true\n"),
    );
    let compare = |from: &Path, to: &Path, more: &[&str]| {
        criscope(
            [
                "registry",
                "route",
                "quay.io/a/b:1",
                "docker.io/library/c:1",
            ]
            .into_iter()
            .chain(on(from, "crio@1.33.0"))
            .chain(["--compare", to.to_str().unwrap()])
            .chain(more.iter().copied()),
        )
        .outcome()
    };

    let outcome = compare(now.path(), new.path(), &[]);
    assert_eq!(outcome.code, 1, "{outcome}");
    insta::assert_snapshot!(outcome.stdout);

    let outcome = compare(now.path(), new.path(), &["-o", "json"]);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["kind"], "RouteComparison");
    let verdicts: Vec<&str> = document["comparisons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|comparison| comparison["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["lost", "same"]);

    let outcome = compare(now.path(), new.path(), &["-o", "ndjson"]);
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome}");

    // The other way round an endpoint is won, and the same is no difference.
    assert_eq!(compare(new.path(), now.path(), &[]).code, 0);
    let outcome = compare(now.path(), now.path(), &[]);
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(outcome.stdout.contains("no difference"), "{outcome}");

    let outcome = compare(now.path(), &now.path().join("slip"), &[]);
    assert_eq!(outcome.code, 2, "{outcome}");
}

#[test]
fn what_another_version_would_change() {
    let node = node_of("03-colon-config-path-transfer", "config.toml");
    let outcome = criscope(
        [
            "registry",
            "route",
            "nginx:1.25",
            "--compare-as",
            "containerd@2.1.9",
        ]
        .into_iter()
        .chain(on(node.path(), "containerd@2.0.11")),
    )
    .outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    insta::assert_snapshot!(outcome.stdout);
}

#[test]
fn a_bad_line_of_a_list_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("images.txt");
    fs::write(&list, "# ours\nnginx:1\n\nhttps://bad\n").unwrap();
    let outcome = criscope([
        "registry",
        "route",
        "-f",
        list.to_str().unwrap(),
        "--as",
        "containerd@1.7.27",
    ])
    .outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(outcome.stderr.contains("line 4"), "{outcome}");
    assert!(outcome.stderr.contains("images.txt"), "{outcome}");
}
