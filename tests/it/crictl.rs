//! Standing in for crictl: the name, the words, the silence and the exit codes that scripts and upstream's end-to-end
//! suite rely on. The reading of arguments is tested in its own room.

use std::os::unix::fs::symlink;
use std::process::Command;

use clap::CommandFactory;
use criscope::cli::Cli;
use criscope::fake::{Node, World};

use crate::support::lab::Lab;
use crate::support::stand_in::{crictl, expect};
use crate::support::{criscope, small};

const HEADLINE: &str = "crictl - client for CRI";

fn empty_node() -> Node {
    let world = World::empty("containerd", "2.1.4");
    Node::builder().world(world).start().unwrap()
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
        ("logs", "-f -p -r --limit-bytes 5 --since 1h -t -s stdout x"),
        ("logs", "--tail 2 x"),
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
fn templates_are_go_s() {
    let node = small::node();
    let template = |command: &[&str], template: &str| {
        let (name, rest) = command.split_first().unwrap();
        let flags = ["crictl", name, "-o", "go-template", "--template", template];
        criscope(flags.iter().chain(rest)).on(&node)
    };
    let pod = "{{range .}}{{.status.metadata.namespace}}/{{.status.metadata.name}} {{end}}";
    assert_eq!(
        template(&["inspectp", "-s", "ready"], pod).stdout(),
        "default/web-2 default/web-1 \n"
    );
    let web = &small::containers(&node, "web-2", "web")[0];
    let name = "{{(index .status.labels \"io.kubernetes.pod.name\")}} {{.status.state | lower}}";
    let named = ["inspect", "--quiet", web.as_str()];
    let named = &named;
    assert_eq!(template(named, name).stdout(), "web-2 container_running\n");
    let outcome = template(&["inspecti", small::WEB], "{{.nosuch}}").outcome();
    expect(&outcome, 1, "", "map has no entry for key \\\"nosuch\\\"");
    assert_eq!(
        template(&["info"], "{{range .status.conditions}}{{.type}},{{end}}").stdout(),
        "RuntimeReady,NetworkReady,\n"
    );
    assert_eq!(
        template(&["imagefsinfo"], "{{len .status.imageFilesystems}}").stdout(),
        "1\n"
    );
    let missing = crictl("info -o go-template").on(&node).outcome();
    expect(&missing, 0, "\n", "");
    let broken = crictl("events --output=go-template --template={{")
        .on(&node)
        .outcome();
    expect(&broken, 1, "", "failed to parse go-template");
    // Lists have none in crictl, but they have under our name.
    let list = criscope([
        "pods",
        "-o",
        "go-template",
        "--template",
        "{{range .items}}{{.metadata.name}} {{end}}",
    ]);
    assert_eq!(list.on(&node).stdout().split_whitespace().count(), 3);
    let list = criscope([
        "images",
        "-o",
        "go-template",
        "--template",
        "{{len .images}}",
    ]);
    assert_eq!(list.on(&node).stdout(), "4\n");
    let lacking = criscope(["pods", "-o", "go-template"]).on(&node).outcome();
    assert_eq!(lacking.code, 2, "{lacking}");
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
    // Of the five, three are stopped first, which is said, too.
    assert_eq!(
        (outcome.code, outcome.stdout.lines().count()),
        (0, 5 + 3),
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

#[test]
fn habits_from_kubectl_are_answered_with_the_command_that_was_meant() {
    for (typed, meant) in [
        (
            "pods -n kube-system",
            "criscope pods --namespace kube-system",
        ),
        ("ps -a -l app=web", "criscope ps -a --label app=web"),
        ("get pods -A", "criscope pods"),
    ] {
        let outcome = criscope(typed.split(' ')).outcome();
        assert_eq!(outcome.code, 2, "{outcome}");
        assert!(
            outcome.stderr.contains(&format!("did you mean `{meant}`?")),
            "{outcome}"
        );
    }
}

/// The life of a pod and a container, as a runtime's integration suite leads it.
fn a_life(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "1"]) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, document: serde_json::Value| {
        let path = directory.path().join(name);
        std::fs::write(&path, document.to_string()).unwrap();
        path.display().to_string()
    };
    let pod_file = file(
        "pod.json",
        serde_json::json!({
            "metadata": {"name": "sb", "uid": "uid", "namespace": "ns", "attempt": 1},
            // Older files have it, and crictl does not mind.
            "resources": {"cpu": {"limits": 3}},
            "linux": {"cgroup_parent": format!("/criscope-{}", lab.name())},
        }),
    );
    let image = lab
        .criscope(&[
            "ps",
            "-o",
            "go-template",
            "--template",
            "{{(index .containers 0).image.image}}",
        ])
        .output()
        .unwrap();
    let image = String::from_utf8(image.stdout).unwrap();
    let container_file = file(
        "container.json",
        serde_json::json!({
            "metadata": {"name": "ctr"},
            "image": {"image": image.trim()},
            "command": ["/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"],
            "args": [],
        }),
    );
    let crictl = |arguments: &[&str]| {
        let global = [
            "crictl",
            "-t",
            "60s",
            "--config",
            "/dev/null",
            "-r",
            lab.endpoint(),
            "-i",
            lab.endpoint(),
        ];
        criscope(global.iter().chain(arguments)).outcome()
    };
    let line = |arguments: &[&str]| {
        let outcome = crictl(arguments);
        assert_eq!(
            (outcome.code, &*outcome.stderr),
            (0, ""),
            "{arguments:?}: {outcome}"
        );
        outcome.stdout.trim_end().to_owned()
    };
    let pod = line(&["runp", &pod_file]);
    assert_eq!(line(&["pods", "-q", "--name", "sb"]), pod);
    let container = line(&["create", &pod, &container_file, &pod_file]);
    assert_eq!(line(&["ps", "-q", "-s", "created"]), container);
    assert_eq!(line(&["start", &container]), container);
    assert_eq!(
        line(&[
            "exec",
            "--sync",
            &container,
            "sh",
            "-c",
            "echo out; echo err >&2"
        ]),
        "out\n\nerr"
    );
    assert_eq!(
        line(&["exec", &container, "echo", "hello", "-q"]),
        "hello -q"
    );
    assert_eq!(crictl(&["exec", "-s", &container, "false"]).code, 1);
    let late = crictl(&["exec", "-s", "--timeout", "1", &container, "sleep", "60"]);
    assert!(
        late.stderr.contains("command \\\"sleep 60\\\" timed out"),
        "{late}"
    );
    let name = "{{(index .status.metadata.name)}} {{.status.state}}";
    assert_eq!(
        line(&[
            "inspect",
            "--output",
            "go-template",
            "--template",
            name,
            &container
        ]),
        "ctr CONTAINER_RUNNING"
    );
    assert_eq!(
        line(&["update", "--memory", "33554432", &container]),
        container
    );
    assert_eq!(line(&["stop", "-t", "10", &container]), container);
    let table = line(&["inspect", "-o", "table", &container]);
    assert!(
        table.contains("State: CONTAINER_EXITED\n") && table.contains("Exit Code: 3\n"),
        "{table}"
    );
    let both = line(&["inspect", "-a", "--pod", &pod]);
    assert!(both.starts_with('{'), "{both}");
    assert_eq!(line(&["rm", &container]), container);
    let gone = crictl(&["inspect", &container]);
    assert!(
        gone.code == 1 && gone.stderr.contains("code = NotFound"),
        "{gone}"
    );
    let running = crictl(&["rmp", &pod]);
    assert!(
        running.code == 1 && running.stderr.contains("please stop it first"),
        "{running}"
    );
    assert_eq!(line(&["stopp", &pod]), format!("Stopped sandbox {pod}"));
    assert_eq!(line(&["rmp", &pod]), format!("Removed sandbox {pod}"));
    // The runtime has the last word on what is gone: 1.6 minds, 2.x does not.
    let again = crictl(&["stopp", &pod]);
    assert_eq!(again.code, i32::from(generation == "1.6"), "{again}");
    assert_eq!(crictl(&["rmp", &pod]).code, 1);
    assert!(line(&["images", "-q"]).starts_with("sha256:"));
    assert!(line(&["info"]).contains("NetworkReady"));
}

#[test]
fn a_life_on_containerd_1_6() {
    a_life("1.6");
}

#[test]
fn a_life_on_containerd_2() {
    a_life("2");
}
