//! `registry lint` on files as people have them: the first lines name the cause, the corrections are a patch that
//! applies, no secret is shown.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::criscope;
use crate::support::fixture::{cases, node_of, write};

/// The snippets of a well-known migration note.
fn snippet(number: u8) -> String {
    let path = cases().join(format!("01-singular-plugin-table/config-{number}.toml"));
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_first_lines_say_that_the_tables_have_no_effect_and_why() {
    for number in 1..=3 {
        for runtime in ["containerd@1.6.20", "containerd@1.7.34", "containerd@2.1.9"] {
            let outcome =
                criscope(["registry", "lint", &snippet(number), "--as", runtime]).outcome();
            assert_eq!(outcome.code, 1, "{outcome}");
            let first: Vec<&str> = outcome
                .stdout
                .lines()
                .filter(|line| !line.is_empty())
                .take(6)
                .collect();
            let first = first.join("\n");
            assert!(first.contains("containerd-singular-table"), "{outcome}");
            assert!(first.contains("has no effect"), "{outcome}");
            assert!(first.contains("`plugin` is not a key"), "{outcome}");
            assert!(
                first.contains(&format!("config-{number}.toml:")),
                "{outcome}"
            );
        }
    }
}

#[test]
fn a_report_for_people() {
    let text = criscope(["registry", "lint", &snippet(2), "--as", "containerd@1.7.34"])
        .showing(cases().display(), "CASES")
        .outcome();
    insta::assert_snapshot!(text.stdout);
}

#[test]
fn without_a_runtime_the_usual_one_is_named() {
    let nobody = "unix:///nonexistent/containerd.sock";
    let outcome = criscope(["registry", "lint", &snippet(1)])
        .env("CONTAINER_RUNTIME_ENDPOINT", nobody)
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stdout.contains("containerd 1.7.34"), "{outcome}");
}

#[test]
fn the_runtime_that_runs_here_judges() {
    let node = criscope::fake::Node::builder().start().unwrap();
    let outcome = criscope(["registry", "lint", &snippet(1)])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stdout.contains("containerd 1.7.28"), "{outcome}");
    assert!(outcome.stderr.contains("which runs here"), "{outcome}");
    // Files of another runtime are none of its business.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("registries.conf");
    fs::write(&file, "[[registry]]\nlocation = \"https://reg.test\"\n").unwrap();
    let outcome = criscope(["registry", "lint", file.to_str().unwrap()])
        .on(&node)
        .outcome();
    assert!(outcome.stderr.contains("crio@"), "{outcome}");
}

#[test]
fn a_report_for_programs() {
    let outcome = criscope(["registry", "lint", &snippet(1), "-o", "json"]).outcome();
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["kind"], "Report");
    let first = &report["findings"][0];
    assert_eq!(first["code"], "containerd-singular-table");
    assert_eq!(first["status"], "fail");
    assert_eq!(first["source"]["path"], snippet(1));
    assert!(first["source"]["line"].as_u64().unwrap() > 0);
    assert!(
        first["remedy"]["edit"]["new"]
            .as_str()
            .unwrap()
            .contains("[plugins.")
    );
    // Every code can be explained.
    let mut codes: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    codes.dedup();
    for code in codes {
        let text = criscope(["explain", code]).stdout();
        assert!(text.contains("what to do"), "{text}");
    }
}

#[test]
fn the_corrections_are_a_patch_that_applies() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    fs::copy(snippet(2), &config).unwrap();
    let config = config.to_str().unwrap();
    let ask = ["registry", "lint", config, "--as", "containerd@1.7.34"];
    let outcome = criscope(ask.into_iter().chain(["--diff"])).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    let patch = directory.path().join("patch");
    fs::write(&patch, &outcome.stdout).unwrap();
    let applied = Command::new("patch")
        .args(["--batch", config, patch.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(applied.status.success(), "{applied:?}\n{outcome}");
    let corrected = fs::read_to_string(config).unwrap();
    assert!(!corrected.contains("[plugin."), "{corrected}");
    let after = criscope(ask).outcome();
    assert!(
        !after.stdout.contains("containerd-singular-table"),
        "{after}"
    );
}

#[test]
fn trees_files_and_directories_find_the_same() {
    let codes = |arguments: &[&str]| {
        let outcome = criscope(
            ["registry", "lint"]
                .into_iter()
                .chain(arguments.iter().copied())
                .chain(["-o", "json"]),
        )
        .outcome();
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let mut codes: Vec<String> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect();
        codes.sort();
        codes
    };
    for (case, runtime) in [
        ("03-colon-config-path-transfer", "containerd@2.1.9"),
        ("13-import-wipes-registry", "containerd@1.7.34"),
        ("19-default-shadowed", "containerd@2.1.9"),
        ("25-docker-package-default", "containerd@1.6.20"),
        ("29-crio-digest-only", "crio@1.37.0"),
    ] {
        let node = node_of(case, "config.toml");
        let root = node.path().to_str().unwrap();
        let by_root = codes(&["--host-root", root, "--as", runtime]);
        assert!(!by_root.is_empty(), "{case}");
        assert_eq!(codes(&[root, "--as", runtime]), by_root, "{case}");
        let bare = cases().join(case);
        let by_files = codes(&[bare.to_str().unwrap(), "--as", runtime]);
        // Whether a policy.json lies elsewhere cannot be known of a directory with a registries.conf.
        let known = by_root.iter().filter(|code| *code != "crio-policy");
        assert_eq!(by_files, known.cloned().collect::<Vec<_>>(), "{case}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let node = tempfile::tempdir().unwrap();
    write(
        node.path(),
        "config.toml",
        "version = 2\n[plugin.\"io.containerd.grpc.v1.cri\".registry.configs.\"reg.test\".auth]\n  username = \"u\"\n  password = \"hunter2\"\n  passwort = \"hunter2\"\n  token = \"hunter2\" # hunter2\n",
    );
    let config = node.path().join("config.toml");
    for more in [
        &["-o", "text"][..],
        &["-o", "json"],
        &["-o", "yaml"],
        &["-o", "ndjson"],
        &["--diff"],
    ] {
        for runtime in ["containerd@1.7.34", "containerd@2.1.9"] {
            let outcome = criscope(
                [
                    "registry",
                    "lint",
                    config.to_str().unwrap(),
                    "--as",
                    runtime,
                ]
                .into_iter()
                .chain(more.iter().copied()),
            )
            .outcome();
            let all = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(!all.contains("hunter2"), "{outcome}");
        }
    }
}

#[test]
fn what_is_none() {
    let empty = tempfile::tempdir().unwrap();
    for path in [empty.path().to_str().unwrap(), "/nonexistent/config.toml"] {
        let outcome = criscope(["registry", "lint", path]).outcome();
        assert_eq!(outcome.code, 2, "{outcome}");
    }
    let large = empty.path().join("config.toml");
    fs::write(&large, vec![b'#'; 2 << 20]).unwrap();
    let outcome = criscope(["registry", "lint", large.to_str().unwrap()]).outcome();
    assert_eq!(outcome.code, 3, "{outcome}");
    // Not UTF-8 is a finding with its line.
    fs::write(&large, b"version = 2\nx = \"\xff\"\n").unwrap();
    let outcome = criscope(["registry", "lint", large.to_str().unwrap()]).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
}

#[test]
fn one_file_is_judged_by_what_lies_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let lint = |path: &str| {
        let outcome = criscope(["registry", "lint", path, "--as", "containerd@2.1.9"]).outcome();
        outcome.to_string()
    };
    let config = write(
        "config.toml",
        "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\", \"/etc/elsewhere/x.toml\"]\n",
    );
    write(
        "conf.d/mirrors.toml",
        "version = 3\n[plugin.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"/certs\"\n",
    );
    let text = lint(&config);
    assert!(
        text.contains("containerd-singular-table") && text.contains("conf.d/mirrors.toml:2"),
        "{text}"
    );
    // What is not there cannot be judged, and is not called missing.
    assert!(text.contains("/etc/elsewhere/x.toml"), "{text}");
    assert!(!text.contains("containerd-import-missing"), "{text}");

    let hosts = write(
        "certs.d/reg.test/hosts.toml",
        "server = \"https://reg.test\"\n[host.\"https://m.test\"]\nca = [\"beside.pem\", \"/etc/ssl/elsewhere.pem\"]\n",
    );
    let missing = lint(&hosts);
    assert!(
        missing.contains("registry-ca-missing") && !missing.contains("elsewhere.pem does not"),
        "{missing}"
    );
    write(
        "certs.d/reg.test/beside.pem",
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
    );
    assert!(!lint(&hosts).contains("registry-ca-missing"));
}

/// The report of a run.
fn json(outcome: &crate::support::Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"))
}

#[test]
fn what_was_not_seen_has_not_passed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let at = |path: &str| root.join(path).to_str().unwrap().to_owned();
    let undetermined = |arguments: &[&str], word: &str| {
        let arguments = ["registry", "lint"].iter().chain(arguments);
        let outcome = criscope(arguments).outcome();
        assert_eq!(outcome.code, 3, "{outcome}");
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(said.contains(word), "{word}: {outcome}");
    };
    let version = "containerd@1.7.27";
    undetermined(&["--host-root", &at("nope"), "--as", version], "nope");
    fs::create_dir(root.join("empty")).unwrap();
    undetermined(&["--host-root", &at("empty"), "--as", version], "no file");
    let outcome = criscope(["registry", "lint", "-"]).stdin("").outcome();
    assert_eq!(outcome.code, 3, "{outcome}");
    fs::write(at("config.toml"), vec![b'#'; 2 << 20]).unwrap();
    undetermined(&[&at("config.toml")], "larger than");
    // A pipe that nobody writes to is not waited for, named or found.
    let made = Command::new("mkfifo")
        .arg(at("pipe.toml"))
        .status()
        .unwrap();
    assert!(made.success());
    undetermined(&[&at("pipe.toml")], "not a regular file");
    fs::create_dir(root.join("given")).unwrap();
    let made = Command::new("mkfifo").arg(at("given/config.toml")).status();
    assert!(made.unwrap().success());
    undetermined(&[&at("given")], "not a regular file");
    undetermined(&[&at("given"), "--diff"], "not a regular file");
    // Nor is a link out of the directory followed.
    fs::remove_file(at("given/config.toml")).unwrap();
    fs::write(at("outside.toml"), "[plugin.x]\n").unwrap();
    std::os::unix::fs::symlink(at("outside.toml"), at("given/config.toml")).unwrap();
    undetermined(&[&at("given")], "out of the directory");

    fs::write(at("good.toml"), "version = 2\n").unwrap();
    let outcome = criscope(["registry", "lint", &at("good.toml"), "--as", version]).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(
        outcome.stderr.contains("nothing wrong in 1 file"),
        "{outcome}"
    );
    for command in [&["registry", "route", "nginx"][..], &["doctor"]] {
        let arguments = command
            .iter()
            .copied()
            .chain(["--as", version, "--host-root", "/nope"]);
        let outcome = criscope(arguments).outcome();
        assert_eq!(outcome.code, 3, "{outcome}");
        assert!(outcome.stderr.contains("/nope"), "{outcome}");
    }
}

#[test]
fn what_was_not_given_is_not_absent() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(
        root,
        "config.toml",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n",
    );
    write(
        root,
        "certs.d/quay.io/hosts.toml",
        "[host.\"https://m\"]\nca = \"/etc/ssl/corp.pem\"\n",
    );
    let codes = |path: &Path| {
        let path = path.to_str().unwrap();
        let arguments = [
            "registry",
            "lint",
            path,
            "--as",
            "containerd@1.7.27",
            "-o",
            "json",
        ];
        let report = json(&criscope(arguments).outcome());
        let findings = report["findings"].as_array().unwrap().clone();
        findings
            .iter()
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for path in [
        root.to_owned(),
        root.join("config.toml"),
        root.join("certs.d"),
        root.join("certs.d/quay.io/hosts.toml"),
    ] {
        let found = codes(&path);
        for code in ["registry-ca-missing", "registry-config-path-missing"] {
            assert!(
                !found.iter().any(|known| known == code),
                "{path:?}: {found:?}"
            );
        }
    }
    // What lies beside it is known.
    write(
        root,
        "certs.d/quay.io/hosts.toml",
        "[host.\"https://m\"]\nca = \"corp.pem\"\n",
    );
    for path in ["", "certs.d/quay.io/hosts.toml"] {
        let found = codes(&root.join(path));
        assert!(
            found.contains(&"registry-ca-missing".to_owned()),
            "{found:?}"
        );
    }
}

#[test]
fn a_message_stays_on_one_line() {
    let outcome = criscope(["registry", "lint", "-", "--as", "containerd@1.7.27"])
        .stdin("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"https://a\\nb\"]\nendpoint = [\"https://m\"]\n\"x\u{202e}y\" = 1\n")
        .outcome();
    let first = outcome
        .stdout
        .lines()
        .find(|line| line.contains("registry-mirror-key"));
    assert!(
        first.is_some_and(|line| line.contains("a\\nb")),
        "{outcome}"
    );
}
