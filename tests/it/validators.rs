//! Formats against the programs that read them in the field, unpacked from Debian's packages: what they refuse, a
//! monitoring system would refuse too.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::fixture::write;
use crate::support::{criscope, lab};

const SUITE: &str = "bookworm";

/// What a program makes of its standard input: its exit code and everything that it says.
fn judged(program: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// A tree of files with one thing wrong.
fn node() -> tempfile::TempDir {
    let node = tempfile::tempdir().unwrap();
    let config = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/a\"\n\
                  [plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://m\"]\n";
    write(node.path(), "etc/containerd/config.toml", config);
    node
}

#[test]
fn promtool_takes_metrics_and_rules() {
    if !lab::wanted() {
        return;
    }
    let promtool = lab::unpacked("prometheus", SUITE).join("usr/bin/promtool");
    let node = node();
    let root = node.path().to_str().unwrap();
    let runtime = "containerd@1.7.28";
    let outcome = criscope([
        "doctor",
        "-o",
        "prometheus",
        "--host-root",
        root,
        "--as",
        runtime,
    ])
    .outcome();
    assert!(
        outcome.stdout.contains("criscope_check_status"),
        "{outcome}"
    );
    let (code, said) = judged(&promtool, &["check", "metrics"], &outcome.stdout);
    assert_eq!((code, said.trim()), (Some(0), ""));
    // What it would refuse, so that silence means something.
    let (code, _) = judged(&promtool, &["check", "metrics"], "a{b=\"c} 1\n");
    assert_ne!(code, Some(0));

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/criscope.rules.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, groups) = text.split_once("\nspec:\n").expect("a PrometheusRule");
    let place = node.path().join("rules.yaml");
    let bare: Vec<&str> = groups
        .lines()
        .map(|line| line.strip_prefix("  ").unwrap_or(line))
        .collect();
    std::fs::write(&place, bare.join("\n")).unwrap();
    let (code, said) = judged(&promtool, &["check", "rules", place.to_str().unwrap()], "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("rules found"), "{said}");
}
