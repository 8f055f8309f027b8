//! `registry convert`: on files, and on real nodes whose pulls work the old way before and the new way afterwards.

use std::fs;

use serde_json::Value;

use crate::support::criscope;
use crate::support::lab::Lab;
use crate::support::run::Outcome;

fn ask(lab: &Lab, arguments: &[&str]) -> Outcome {
    criscope(arguments)
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .outcome()
}

#[track_caller]
fn test_pull(lab: &Lab, image: &str) -> Value {
    let outcome = ask(lab, &["test-pull", image, "-o", "json"]);
    let document: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
    document["images"][0].clone()
}

fn before_and_after(generation: &str) {
    let Some(lab) = Lab::up(&[
        "--generation",
        generation,
        "--pods",
        "0",
        "--config-style",
        "mirrors",
    ]) else {
        return;
    };
    // One through a plain mirror, one through TLS with an authority of its own, one through the second of two mirrors.
    let images = [
        "registry.lab.test/lab/app:1",
        "tls.lab.test/lab/app:1",
        "fallback.lab.test/lab/app:1",
    ];
    let before = images.map(|image| test_pull(&lab, image));
    assert_eq!(before[0]["verdict"], "works", "{:#}", before[0]);

    let shown = ask(&lab, &["registry", "convert", "-o", "json"]);
    assert_eq!(shown.code, 0, "{shown}");
    let config = fs::read_to_string(lab.text("/configPath")).unwrap();
    assert!(config.contains("mirrors"), "nothing is written unasked");

    let written = ask(&lab, &["registry", "convert", "--write", "-o", "json"]);
    assert_eq!(written.code, 0, "{written}");
    let document: Value = serde_json::from_str(&written.stdout).unwrap();
    assert!(written.stderr.contains("restart containerd"), "{written}");
    let config = fs::read_to_string(lab.text("/configPath")).unwrap();
    assert!(
        config.contains("config_path") && !config.contains("registry.mirrors"),
        "{config}"
    );
    let backup = document["written"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|file| file["backup"].as_str())
        .unwrap();
    let backup = lab.host_root().join(backup.trim_start_matches('/'));
    assert!(
        fs::read_to_string(&backup).unwrap().contains("mirrors"),
        "the old file is kept"
    );

    lab.tell("restart", &[]);
    for (image, before) in images.iter().zip(&before) {
        let after = test_pull(&lab, image);
        // 2.x does not know `configs.*.tls` any more, so what needed it works only afterwards.
        if before["pull"]["status"] == "ok" {
            assert_eq!(after["verdict"], before["verdict"], "{image}: {after:#}");
            assert_eq!(after["pull"]["digest"], before["pull"]["digest"]);
            assert_eq!(
                after["servedBy"]["endpoint"],
                before["servedBy"]["endpoint"]
            );
        }
        assert_eq!(after["pull"]["status"], "ok", "{image}: {after:#}");
        let source = after["route"]["endpoints"][0]["source"]["path"].as_str();
        assert!(
            source.is_some_and(|path| path.ends_with("hosts.toml")),
            "{after:#}"
        );
    }
    let again = ask(&lab, &["registry", "convert", "--from", "containerd"]);
    assert_eq!(again.code, 2, "{again}");
}

#[test]
fn containerd_1_6_pulls_the_same_way_before_and_after() {
    before_and_after("1.6");
}

#[test]
fn containerd_2_pulls_the_same_way_before_and_after() {
    before_and_after("2");
}

#[test]
fn a_file_becomes_a_patch_that_applies() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    let text = "version = 2\n\
                [plugins.\"io.containerd.grpc.v1.cri\"]\n\
                sandbox_image = \"registry.k8s.io/pause:3.9\"\n\
                [plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n\
                endpoint = [\"https://mirror.corp\"]\n\
                [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"mirror.corp\".tls]\n\
                ca_file = \"/etc/ssl/corp.pem\"\n\
                [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"mirror.corp\".auth]\n\
                password = \"hunter2\"\n";
    fs::write(&config, text).unwrap();
    let outcome = criscope(["registry", "convert", "--diff", config.to_str().unwrap()]).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(!outcome.to_string().contains("hunter2"), "{outcome}");
    // Whether the certificate is there cannot be known from one file; the route is the same if it is.
    let words = criscope(["registry", "convert", config.to_str().unwrap()]).stdout();
    assert!(words.contains("no difference"), "{words}");
    let ours: String = outcome
        .stdout
        .split("--- ")
        .filter(|part| part.contains("config.toml"))
        .map(|part| format!("--- {part}"))
        .collect();
    let patch = directory.path().join("patch");
    fs::write(&patch, ours).unwrap();
    let done = std::process::Command::new("git")
        .args([
            "apply",
            "--unidiff-zero",
            "--unsafe-paths",
            "-p0",
            "--directory=/",
        ])
        .arg(&patch)
        .current_dir("/")
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}\n{outcome}",
        String::from_utf8_lossy(&done.stderr)
    );
    let patched = fs::read_to_string(&config).unwrap();
    assert!(
        patched.contains("config_path") && patched.contains("hunter2"),
        "{patched}"
    );
}

#[test]
fn daemon_json_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("daemon.json");
    fs::write(
        &file,
        r#"{"registry-mirrors": ["https://mirror.corp"], "insecure-registries": ["10.0.0.0/8"]}"#,
    )
    .unwrap();
    let text = criscope([
        "registry",
        "convert",
        file.to_str().unwrap(),
        "--as",
        "containerd@2.1.4",
    ])
    .stdout();
    insta::assert_snapshot!(text);
    let conf = criscope([
        "registry",
        "convert",
        file.to_str().unwrap(),
        "--to",
        "registries-conf",
    ])
    .stdout();
    assert!(conf.contains("[[registry.mirror]]"), "{conf}");
}
