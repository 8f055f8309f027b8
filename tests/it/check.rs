//! `criscope check`: states and numbers of monitoring systems, the budget of calls, the lock, reports made elsewhere.

use std::fs;
use std::path::Path;

use criscope::fake::{CriPlugin, Node, Rule};
use serde_json::Value;

use crate::support::lab::Lab;
use crate::support::run::Outcome;
use crate::support::{criscope, demo_node};

/// Only what the fake can answer for, with a place of its own for the lock.
fn check(node: &Node, state: &Path, more: &[&str]) -> Outcome {
    let state = state.to_str().unwrap();
    let mut arguments = vec!["check", "--only", "endpoint,cri", "--state-dir", state];
    arguments.extend(more);
    criscope(arguments).on(node).outcome()
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn nagios_has_a_line_and_a_number_for_every_state() {
    let state = scratch();
    let node = demo_node();
    let outcome = check(&node, state.path(), &["-o", "nagios"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(outcome.stdout.starts_with("OK: containerd "), "{outcome}");
    assert!(outcome.stdout.contains(" | 'failed'=0;;0;0 "), "{outcome}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
    assert_eq!(outcome.stderr, "", "{outcome}");

    let disabled = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    let outcome = check(&disabled, scratch().path(), &["-o", "nagios"]);
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(
        outcome.stdout.starts_with("CRITICAL: cri-plugin-loaded: "),
        "{outcome}"
    );
    let capped = ["-o", "nagios", "--severity", "cri-plugin-loaded=warn"];
    let outcome = check(&disabled, scratch().path(), &capped);
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stdout.starts_with("WARNING: "), "{outcome}");
}

#[test]
fn whatever_happens_to_us_is_unknown_to_nagios() {
    for arguments in [
        &["check", "-o", "nagios", "--bogus"][..],
        &["check", "-o", "nagios", "--help"],
        &["check", "--output=nagios", "--from-report", "/nosuch"],
        &["check", "-o", "nagios", "--from-report", "/dev/null"],
        &["check", "-o", "nagios", "--facts", "/nosuch"],
        &["-c", "/nosuch.yaml", "check", "-o", "nagios"],
        &["check", "-o", "nagios", "--only", "nosuch-check"],
    ] {
        let outcome = criscope(arguments).outcome();
        assert_eq!(outcome.code, 3, "{arguments:?}: {outcome}");
        let help = arguments.contains(&"--help");
        assert!(
            help || outcome.stdout.starts_with("UNKNOWN: "),
            "{arguments:?}: {outcome}"
        );
    }
    // The same to node-problem-detector, in its numbers.
    let outcome = criscope(["check", "-o", "npd", "--bogus"]).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(outcome.stdout.len() <= 81, "{outcome}");
}

#[test]
fn node_problem_detector_has_numbers_of_its_own_and_a_text_that_stays() {
    let node = demo_node();
    let outcome = check(&node, scratch().path(), &["-o", "npd"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "the container runtime is healthy\n")
    );
    let disabled = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    for _ in 0..2 {
        let outcome = check(&disabled, scratch().path(), &["-o", "npd"]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (1, "failed: cri-plugin-loaded\n")
        );
    }
    let monitor = criscope(["check", "--npd-config"]).json();
    assert_eq!(monitor["plugin"], "custom");
    let rule = &monitor["rules"][0];
    assert!(rule["path"].as_str().unwrap().ends_with("/criscope"));
    assert_eq!(rule["condition"], monitor["conditions"][0]["type"]);
}

#[test]
fn a_quick_check_makes_at_most_eight_calls() {
    let node = demo_node();
    let outcome = check(&node, scratch().path(), &["--quick", "-o", "nagios"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    let rpcs = node.rpcs();
    assert!(rpcs.len() <= 8, "{rpcs:?}");
    assert_eq!(node.unexpected().len(), 0, "{:?}", node.unexpected());
}

#[test]
fn a_healthy_node_is_ok_quickly_too() {
    for generation in ["1.6", "2"] {
        let Some(lab) = Lab::up(&["--generation", generation, "--pods", "1"]) else {
            return;
        };
        let state = scratch();
        let state = state.path().to_str().unwrap();
        for more in [&["--quick"][..], &[]] {
            let arguments = [&["check", "-o", "nagios", "--state-dir", state], more].concat();
            let output = lab.criscope(&arguments).output().unwrap();
            let line = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(line.starts_with("OK: "), "{generation} {more:?}: {line}");
            assert_eq!(output.status.code(), Some(0));
        }
    }
}

#[test]
fn a_hang_ends_in_time_with_a_state() {
    let node = demo_node();
    node.rule(Rule::on("Status").hang());
    let outcome = check(&node, scratch().path(), &["--quick", "-o", "nagios"]);
    assert!([2, 3].contains(&outcome.code), "{outcome}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
}

#[test]
fn a_second_caller_gets_the_last_report() {
    let state = scratch();
    let mut node = demo_node();
    let outcome = check(&node, state.path(), &["-o", "nagios"]);
    assert_eq!(outcome.code, 0, "{outcome}");

    // One run after the other is no crowd: the node is asked again.
    node.forget_calls();
    let outcome = check(&node, state.path(), &["-o", "nagios"]);
    assert!(!outcome.stdout.contains("another"), "{outcome}");
    assert!(!node.rpcs().is_empty());

    // Somebody else is looking.
    let lock = fs::File::options()
        .write(true)
        .open(state.path().join("check.lock"))
        .unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    node.forget_calls();
    let outcome = check(&node, state.path(), &["-o", "nagios"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(
        outcome
            .stdout
            .contains("another check of this node is running"),
        "{outcome}"
    );
    assert!(outcome.stdout.contains("'age'="), "{outcome}");
    assert_eq!(node.rpcs().len(), 0, "{:?}", node.rpcs());

    // Another question has no answer yet: that is unknown, in time.
    let outcome = check(
        &node,
        state.path(),
        &["-o", "nagios", "--deep", "-t", "200ms"],
    );
    assert_eq!(outcome.code, 3, "{outcome}");
    assert!(outcome.stdout.contains("another check"), "{outcome}");

    // The lock goes with whoever held it, and then the node is looked at again.
    drop(lock);
    node.kill();
    let outcome = check(&node, state.path(), &["-o", "nagios"]);
    assert_eq!(outcome.code, 2, "{outcome}");
}

#[test]
fn a_report_of_root_is_shown_to_anybody_until_it_is_stale() {
    let state = scratch();
    let disabled = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    let file = state.path().join("report.json");
    let path = file.to_str().unwrap();
    let outcome = check(
        &disabled,
        state.path(),
        &["-o", "json", "--all", "--output-file", path],
    );
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (1, ""),
        "{outcome}"
    );

    let read = |more: &[&str]| {
        let mut arguments = vec!["check", "-o", "nagios", "--from-report", path];
        arguments.extend(more);
        criscope(arguments).outcome()
    };
    let outcome = read(&[]);
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(
        outcome.stdout.starts_with("CRITICAL: cri-plugin-loaded"),
        "{outcome}"
    );
    let outcome = read(&["--skip", "cri-plugin-loaded"]);
    assert_eq!(outcome.code, 0, "{outcome}");

    let mut report: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    report["startedAt"] = "2020-01-01T00:00:00Z".into();
    fs::write(&file, report.to_string()).unwrap();
    let outcome = read(&[]);
    assert_eq!(outcome.code, 3, "{outcome}");
    assert!(
        outcome.stdout.starts_with("UNKNOWN: ") && outcome.stdout.contains("too long ago"),
        "{outcome}"
    );

    report["startedAt"] = "2999-01-01T00:00:00Z".into();
    fs::write(&file, report.to_string()).unwrap();
    assert_eq!(read(&[]).code, 3);
}

#[test]
fn what_cannot_be_seen_is_what_the_site_wants() {
    let node = demo_node();
    node.rule(Rule::on("Status").status(tonic::Code::PermissionDenied, "no"));
    let code = |unknown: &str| {
        let more = [
            "--only",
            "cri-runtime-ready",
            "--unknown",
            unknown,
            "-o",
            "nagios",
        ];
        check(&node, scratch().path(), &more).code
    };
    assert_eq!((code("unknown"), code("warn"), code("ok")), (3, 1, 0));
}

#[test]
fn metrics_are_put_in_place_in_one_step() {
    let state = scratch();
    let node = demo_node();
    let file = state.path().join("criscope.prom");
    let path = file.to_str().unwrap();
    let outcome = check(
        &node,
        state.path(),
        &["-o", "prometheus", "--output-file", path],
    );
    assert_eq!(outcome.code, 0, "{outcome}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("criscope_check_status{check=\"cri-v1\",area=\"cri\",state=\"pass\"} 1\n"),
        "{text}"
    );
    assert!(
        text.contains("criscope_cri_request_duration_seconds{method=\"Status\"} "),
        "{text}"
    );
    let left: Vec<_> = fs::read_dir(state.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn findings_in_files_are_annotations_and_code_scanning_results() {
    let directory = scratch();
    let file = directory.path().join("config.toml");
    fs::write(
        &file,
        "version = 2\n[plugin.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/c\"\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let lint = |format: &str| {
        criscope([
            "registry",
            "lint",
            path,
            "--as",
            "containerd@1.7.27",
            "-o",
            format,
        ])
        .outcome()
    };
    let outcome = lint("sarif");
    assert_eq!(outcome.code, 1, "{outcome}");
    let sarif: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "containerd-singular-table");
    assert_eq!(
        result["locations"][0]["physicalLocation"]["region"]["startLine"],
        2
    );

    let outcome = lint("github");
    let start = format!("::error file={path},line=2,");
    assert!(outcome.stdout.starts_with(&start), "{outcome}");
    let outcome = lint("junit");
    assert!(
        outcome.stdout.contains("<testcase classname=\"criscope."),
        "{outcome}"
    );
    assert_eq!(lint("nagios").code, 2);
}

#[test]
fn a_doctor_speaks_to_machines_too() {
    let node = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    let doctor = |format: &str| {
        criscope(["doctor", "--only", "endpoint,cri", "-o", format])
            .on(&node)
            .outcome()
    };
    let outcome = doctor("nagios");
    assert_eq!(outcome.code, 2, "{outcome}");
    let outcome = doctor("junit");
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome
            .stdout
            .contains("<testcase classname=\"criscope.cri\" name=\"cri-plugin-loaded\""),
        "{outcome}"
    );
    let outcome = doctor("sarif");
    assert!(outcome.stderr.contains("are in no file"), "{outcome}");
}

#[test]
fn a_policy_sets_aside_with_a_reason_and_an_end() {
    let state = scratch();
    let disabled = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    let policy = state.path().join("policy.toml");
    let path = policy.to_str().unwrap();
    let judged = |until: &str, format: &str| {
        fs::write(
            &policy,
            format!("[[waive]]\ncheck = \"cri-plugin-loaded\"\nreason = \"not in use yet\"\nuntil = \"{until}\"\n"),
        )
        .unwrap();
        check(&disabled, state.path(), &["--policy", path, "-o", format])
    };
    let outcome = judged("2999-12-31", "nagios");
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(outcome.stdout.contains("'waived'=1;"), "{outcome}");
    let outcome = judged("2999-12-31", "text");
    assert!(
        outcome.stdout.contains("1 waived") && outcome.stdout.contains("the waiver ends in "),
        "{outcome}"
    );
    assert_eq!(judged("2001-01-01", "nagios").code, 2);
    let outcome = judged("some day", "nagios");
    assert_eq!(outcome.code, 3, "{outcome}");
}

#[test]
fn trouble_with_a_file_is_not_blamed_on_the_endpoint() {
    for arguments in [
        &["check", "--from-report", "/nosuch/report.json"][..],
        &[
            "registry",
            "lint",
            "--host-root",
            "/nosuch",
            "--as",
            "containerd@2.1.4",
        ],
    ] {
        let outcome = criscope(arguments)
            .env("CONTAINER_RUNTIME_ENDPOINT", "unix:///nosuch/runtime.sock")
            .outcome();
        assert_ne!(outcome.code, 0, "{outcome}");
        assert!(outcome.stderr.contains("/nosuch"), "{outcome}");
        assert!(
            !outcome.stderr.contains("no container runtime"),
            "{outcome}"
        );
    }
}

#[test]
fn a_warning_does_not_cover_what_was_not_seen() {
    let state = scratch();
    let facts = state.path().join("facts.json");
    let node = demo_node();
    let kept = ["--save-facts", facts.to_str().unwrap()];
    assert_eq!(check(&node, state.path(), &kept).code, 0);
    let mut document: Value = serde_json::from_slice(&fs::read(&facts).unwrap()).unwrap();
    document["cri"]["status"] = serde_json::json!({"state": "unknown", "reason": "not asked"});
    fs::write(&facts, document.to_string()).unwrap();
    let policy = state.path().join("policy.toml");
    fs::write(
        &policy,
        "[[threshold]]\ncheck = \"endpoint-latency\"\nwarn = 0\nfail = 1e9\nreason = \"x\"\nuntil = \"never\"\n",
    )
    .unwrap();
    let judged = |more: &[&str]| {
        let mut arguments = vec!["check", "--only", "endpoint,cri"];
        arguments.extend(["--facts", facts.to_str().unwrap()]);
        arguments.extend(["--policy", policy.to_str().unwrap()]);
        arguments.extend(more);
        criscope(arguments).outcome()
    };
    for (format, code, word) in [
        ("text", 3, "unknown"),
        ("npd", 2, "cannot see: "),
        ("nagios", 1, "cri-runtime-ready"),
    ] {
        let outcome = judged(&["-o", format]);
        assert_eq!(outcome.code, code, "{format}: {outcome}");
        assert!(outcome.stdout.contains(word), "{format}: {outcome}");
    }
    assert_eq!(judged(&["--unknown", "ok"]).code, 0);
}

#[test]
fn a_policy_of_the_examined_tree_is_read_in_the_tree() {
    let root = scratch();
    let here = scratch();
    let secret = here.path().join("secret");
    fs::write(&secret, "canary = of = this = machine").unwrap();
    let place = root.path().join("etc/criscope");
    fs::create_dir_all(&place).unwrap();
    std::os::unix::fs::symlink(&secret, place.join("policy.toml")).unwrap();
    let tree = root.path().to_str().unwrap();
    let outcome = criscope(["check", "--host-root", tree]).outcome();
    assert!(!outcome.to_string().contains("canary"), "{outcome}");
    fs::remove_file(place.join("policy.toml")).unwrap();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        place.join("policy.toml"),
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    let outcome = criscope(["check", "--host-root", tree]).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(outcome.stderr.contains("not a regular file"), "{outcome}");
}
