//! Standing in for crictl: the name, the words, the silence and the exit codes that scripts and upstream's end-to-end
//! suite rely on. The reading of arguments is tested in its own room.

use std::os::unix::fs::symlink;
use std::process::Command;

use clap::CommandFactory;
use criscope::cli::Cli;
use criscope::fake::{Node, World};

use crate::support::{Outcome, criscope, run::Run, small};

const HEADLINE: &str = "crictl - client for CRI";

fn crictl(arguments: &str) -> Run {
    criscope(["crictl"].into_iter().chain(arguments.split_whitespace()))
}

fn empty_node() -> Node {
    let world = World::empty("containerd", "2.1.4");
    Node::builder().world(world).start().unwrap()
}

/// What upstream's suite looks at: the exit code, stdout by a part of it or empty, stderr likewise.
#[track_caller]
fn expect(outcome: &Outcome, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(outcome.code, code, "{outcome}");
    for (text, part) in [(&outcome.stdout, stdout), (&outcome.stderr, stderr)] {
        assert_eq!(text.is_empty(), part.is_empty(), "{outcome}");
        assert!(text.contains(part), "`{part}` is missing: {outcome}");
    }
}

#[test]
fn a_link_named_crictl_is_crictl() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("crictl");
    symlink(env!("CARGO_BIN_EXE_criscope"), &link).unwrap();
    let output = Command::new(&link).arg("--version").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    assert_eq!(version, "crictl version v1.36.0\n");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn help_and_misuse() {
    for arguments in ["help", "--help", "-h", ""] {
        expect(&crictl(arguments).outcome(), 0, HEADLINE, "");
    }
    let undefined = "flag provided but not defined: -invalid";
    expect(&crictl("--invalid").outcome(), 1, HEADLINE, undefined);
    expect(&crictl("ps --invalid").outcome(), 1, "crictl ps", undefined);
    expect(&crictl("podz").outcome(), 3, "", "No help topic for 'podz'");
    for command in ["rm", "rmi", "rmp"] {
        expect(
            &crictl(command).outcome(),
            0,
            &format!("crictl {command}"),
            "",
        );
    }
    expect(&crictl("start").outcome(), 1, "", "ID cannot be empty");
    expect(&crictl("pull -h").outcome(), 0, "Pull an image", "");
    expect(
        &crictl("pull jsonschema").outcome(),
        0,
        "PodSandboxConfig",
        "",
    );
    expect(&crictl("run js -c").outcome(), 0, "ContainerConfig", "");
    expect(&crictl("completion").outcome(), 0, "complete ", "");
}

#[test]
fn every_flag_of_crictl_is_known() {
    // What the dialect hands over has to be a command line of ours, whatever flag is used.
    let flags: &[(&str, &str)] = &[
        (
            "attach",
            "-i -t -r spdy --tls-ca a --tls-cert b --tls-key c --tls-server-name d x",
        ),
        ("checkpoint", "-e /tmp/x.tar x"),
        ("completion", "fish"),
        (
            "create",
            "--auth a --cancel-timeout 1s --no-pull --pull-timeout 1m p c s",
        ),
        ("create", "--creds a:b -T 1s --with-pull --pt 1m -u n p c s"),
        ("events", "-o json"),
        (
            "exec",
            "-e -i -t --image a --label a=b -n 1 -l --name n -x -p p -q --state running --timeout 1 ls",
        ),
        ("exec", "-s -r websocket x ls"),
        ("imagefsinfo", "-o table"),
        (
            "images",
            "--digests -f dangling=true --no-trunc -o json --pinned -q -v x",
        ),
        ("info", "-o yaml -q"),
        (
            "inspect",
            "-a --image a --label a=b -n 1 -l --name n --namespace m -o yaml -p p -q -s exited",
        ),
        ("inspecti", "-f dangling=true --name n -o table -q"),
        (
            "inspectp",
            "--label a=b -n 1 -l --name n --namespace m -o yaml -q -s ready",
        ),
        ("metricdescs", "-o yaml"),
        ("metricsp", "-o yaml -w"),
        (
            "pods",
            "--id x --label a=b -n 1 -l --name n --namespace m --no-trunc -o json -q -s NotReady -v",
        ),
        ("port-forward", "-r spdy x 80"),
        (
            "ps",
            "-a --id x --image a --label a=b -n 1 -l --name n --namespace m --no-trunc -o json -p p -q -r -s Exited -v",
        ),
        ("pull", "-a a=b --auth x --pod-config f --pull-timeout 1m n"),
        ("rm", "-f -k x"),
        ("rm", "-a"),
        ("rmi", "x"),
        ("rmi", "-a -q"),
        ("rmp", "-fa"),
        ("run", "--auth a -T 1s --no-pull --pt 1m -r kata c s"),
        ("runp", "-T 1s -r kata s"),
        ("start", "x y"),
        ("stats", "-a --label a=b -o json -p p -s 2 -w x"),
        ("statsp", "--id x --label a=b -o json -s 2 -w"),
        ("stop", "-t 1 x"),
        ("stopp", "x"),
        (
            "update",
            "--cpu-count 1 --cpu-maximum 1 --cpu-period 1 --cpu-quota -1 --cpu-share 1 --cpuset-cpus 0 --cpuset-mems 0 --memory 1 --oom-score-adj -5 x",
        ),
        ("update-runtime-config", "-p 10.0.0.0/24"),
        ("version", ""),
        ("runtime-config", ""),
    ];
    for (command, rest) in flags {
        let global = "-D -c f -r unix:///r -i unix:///i -t 3s --max-retries 2";
        let said: Vec<std::ffi::OsString> = format!("{global} {command} {rest}")
            .split_whitespace()
            .map(Into::into)
            .collect();
        match criscope::dialect::turn(&said) {
            criscope::dialect::Turned::Run { arguments, .. } => {
                let found = Cli::command().try_get_matches_from(&arguments);
                assert!(found.is_ok(), "{arguments:?}: {}", found.unwrap_err());
            }
            criscope::dialect::Turned::Say(said) => panic!("{command} {rest}: {said:?}"),
        }
    }
}

#[test]
fn an_empty_node_has_nothing_to_remove() {
    let node = empty_node();
    for (command, what) in [
        ("rm -a", "containers"),
        ("rmi -a", "images"),
        ("rmp -a", "pods"),
    ] {
        let outcome = crictl(command).on(&node).outcome();
        expect(&outcome, 0, "", &format!("No {what} to remove"));
    }
    expect(
        &crictl("stop -a").on(&node).outcome(),
        0,
        "No running containers found.\n",
        "",
    );
    let outcome = crictl("inspect").on(&node).outcome();
    expect(&outcome, 0, "crictl inspect", "nothing found per filter");
}

#[test]
fn success_is_silent_on_stderr() {
    let node = small::node();
    for command in [
        "ps -a",
        "pods",
        "images",
        "info",
        "version",
        "imagefsinfo",
        "inspect -a",
        "inspectp",
        "inspecti",
        "ps -a --image wrong",
    ] {
        let outcome = crictl(command).on(&node).outcome();
        assert_eq!(outcome.code, 0, "{command}: {outcome}");
        assert_eq!(outcome.stderr, "", "{command}");
    }
    expect(
        &crictl("version").on(&node).outcome(),
        0,
        "RuntimeName:  containerd",
        "",
    );
    expect(&crictl("info").on(&node).outcome(), 0, "NetworkReady", "");
}

#[test]
fn nobody_is_asked_and_nothing_is_guarded() {
    let node = small::node();
    let outcome = crictl(&format!("rmi {}", small::PAUSE)).on(&node).outcome();
    expect(&outcome, 0, &format!("Deleted: {}\n", small::PAUSE), "");
    let outcome = crictl("rm -fa").on(&node).outcome();
    assert_eq!(
        (outcome.code, outcome.stdout.lines().count()),
        (0, 5),
        "{outcome}"
    );
    let outcome = crictl("rmp -fa").on(&node).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(
        outcome.stdout.contains("Stopped sandbox ") && outcome.stdout.contains("Removed sandbox ")
    );
    expect(
        &crictl("rmp -a").on(&node).outcome(),
        0,
        "",
        "No pods to remove",
    );
}

#[test]
fn errors_are_one_line_with_the_words_of_grpc() {
    let node = small::node();
    let absent = "0123456789abcdef".repeat(4);
    let outcome = crictl(&format!("inspect {absent}")).on(&node).outcome();
    expect(&outcome, 1, "", "rpc error: code = NotFound desc = ");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    assert!(
        outcome.stderr.starts_with("time=\"2") && outcome.stderr.contains(" level=error msg=\""),
        "{outcome}"
    );
    expect(
        &crictl("inspecti nosuch:1").on(&node).outcome(),
        1,
        "",
        "no such image \\\"nosuch:1\\\" present",
    );
    let nowhere = crictl("ps")
        .env("CONTAINER_RUNTIME_ENDPOINT", "unix:///nosuch/cri.sock")
        .outcome();
    expect(&nowhere, 1, "", "/nosuch/cri.sock");
    let set_to_nothing = crictl("-r= ps").outcome();
    expect(&set_to_nothing, 1, "", "runtime endpoint");
}

#[test]
fn stopping_what_is_gone_is_no_failure() {
    let node = small::node();
    let gone = "fedcba9876543210".repeat(4);
    let outcome = crictl(&format!("stopp {gone}")).on(&node).outcome();
    expect(&outcome, 0, &format!("Stopped sandbox {gone}\n"), "");
    assert_eq!(crictl(&format!("rmp {gone}")).on(&node).outcome().code, 1);
}

#[test]
fn tables_of_inspect_have_crictl_s_words() {
    let node = small::node();
    let ended = small::containers(&node, "job-1", "job").pop().unwrap();
    let text = crictl(&format!("inspect -o table {ended}"))
        .on(&node)
        .stdout();
    for line in [
        "Name: job\n",
        "Attempt: 1\n",
        "State: CONTAINER_EXITED\n",
        "Exit Code: 1\n",
        "\nInfo: map[",
    ] {
        assert!(text.contains(line), "{line:?} is missing:\n{text}");
    }
    let text = crictl("inspectp -o table --name web-1").on(&node).stdout();
    assert!(text.contains("\nStatus: SANDBOX_READY\n"), "{text}");
}
