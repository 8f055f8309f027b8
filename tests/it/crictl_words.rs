//! In crictl's place: the words in front of an error, what is done after one, and what is printed in which order. What
//! is expected here was seen beside the real one, on containerd and CRI-O.

use crate::support::small;
use crate::support::stand_in::{crictl, expect};

/// The messages of the log on stderr.
fn messages(stderr: &str) -> Vec<&str> {
    let message = |line: &'_ str| {
        let at = line.find(" msg=").map(|at| at + 5).unwrap_or(0);
        at..line.len()
    };
    stderr.lines().map(|line| &line[message(line)]).collect()
}

#[test]
fn operands_that_nobody_asked_for_are_not_looked_at() {
    let node = small::node_of("2.1.4");
    for command in ["pods -q x y", "imagefsinfo x", "runtime-config x"] {
        let with = crictl(command).on(&node).outcome();
        let (without, _) = command.split_once(" x").unwrap();
        let without = crictl(without).on(&node).outcome();
        assert_eq!((with.code, &*with.stderr), (0, ""), "{command}: {with}");
        assert_eq!(with.stdout.len(), without.stdout.len(), "{command}: {with}");
    }
}

#[test]
fn errors_begin_with_what_was_being_done() {
    let node = small::node();
    let gone = "fedcba9876543210".repeat(4);
    for (command, words) in [
        (
            "ps -o wide".to_owned(),
            "listing containers: unsupported output format \\\"wide\\\"",
        ),
        (
            "ps -o=".to_owned(),
            "listing containers: unsupported output format \\\"\\\"",
        ),
        (
            "pods -s odd".to_owned(),
            "listing pod sandboxes: list pod sandboxes: --state should be ready or notready",
        ),
        (
            "info -o table".to_owned(),
            "getting status of runtime: unsupported format: \\\"table\\\"",
        ),
        (
            "ps --name [".to_owned(),
            "listing containers: list containers: invalid regular expression \\\"[\\\": error parsing regexp: missing closing ]: `[`",
        ),
        (
            "images -f odd=1".to_owned(),
            "listing images: filter images: unknown filter flag: odd=1",
        ),
        (
            format!("inspect {gone}"),
            "get the status of containers: get container status: rpc error: code = NotFound desc = ",
        ),
        (
            format!("inspectp {gone}"),
            "get the status of pod sandboxes: get pod sandbox status: rpc error: code = NotFound desc = ",
        ),
        (format!("rm {gone}"), "getting container status \\\"fedcba"),
        (
            format!("rmp {gone}"),
            "getting sandbox status of pod \\\"fedcba",
        ),
        (format!("start {gone}"), "starting the container \\\"fedcba"),
        (
            format!("exec -s {gone} ls"),
            "execing command in container fedcba",
        ),
        (
            "exec -t x ls".to_owned(),
            "tty=true must be specified with interactive=true",
        ),
        (
            "attach -t x".to_owned(),
            "attaching running container failed: tty=true must be specified with interactive=true",
        ),
    ] {
        let outcome = crictl(&command).on(&node).outcome();
        expect(&outcome, 1, "", words);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    }
    let outcome = crictl("-r unix:///nosuch/cri.sock version").outcome();
    let words = "validate service connection: validate CRI v1 runtime API for endpoint \\\"unix:///nosuch/cri.sock\\\": \
                 rpc error: code = Unavailable desc = connection error: desc = \\\"transport: Error while dialing: \
                 dial unix /nosuch/cri.sock: connect: no such file or directory\\\"\"";
    expect(&outcome, 1, "", words);
}

#[test]
fn the_first_failure_ends_what_is_done_one_after_the_other() {
    let node = small::node();
    let gone = "fedcba9876543210".repeat(4);
    let web = small::container(&node, "web-2", "web");
    let outcome = crictl(&format!("start {gone} {web}")).on(&node).outcome();
    expect(&outcome, 1, "", "starting the container \\\"fedcba");
    assert!(!outcome.stderr.contains(&web), "{outcome}");
    let proxy = small::container(&node, "web-1", "proxy");
    let outcome = crictl(&format!("stop {web} {proxy}")).on(&node).outcome();
    assert_eq!(outcome.stdout, format!("{web}\n{proxy}\n"));
}

#[test]
fn what_is_removed_is_removed_together_and_failures_are_one_message() {
    let node = small::node();
    let (one, other) = ("fedc".repeat(16), "ba98".repeat(16));
    let job = small::containers(&node, "job-1", "job").remove(0);
    let outcome = crictl(&format!("rm {one} {job} {other}"))
        .on(&node)
        .outcome();
    assert_eq!((outcome.code, &*outcome.stdout), (1, &*format!("{job}\n")));
    let [message] = &*messages(&outcome.stderr) else {
        panic!("{outcome}")
    };
    assert!(message.contains(&one) && message.contains(&other) && message.contains("\\n"));
    // Stopping says so, too.
    let web = small::container(&node, "web-2", "web");
    let outcome = crictl(&format!("rm -f {web}")).on(&node).outcome();
    assert_eq!(outcome.stdout, format!("{web}\n{web}\n"));
}

#[test]
fn a_command_in_many_containers() {
    let node = small::node();
    let web = small::pod(&node, "web-1");
    let run = |how: &str| {
        crictl(&format!("exec -s --pod {web} {how}"))
            .on(&node)
            .outcome()
    };
    let outcome = run("echo hi");
    assert_eq!(outcome.stdout.matches("hi\n\n\n").count(), 2, "{outcome}");
    assert_eq!(outcome.stdout.matches(":\n").count(), 2, "{outcome}");
    for quiet in ["-x", "-q"] {
        let outcome = run(&format!("{quiet} echo hi"));
        assert_eq!(outcome.stdout, "hi\n\n\nhi\n\n\n", "{quiet}");
    }
    // It runs in all of them, whatever becomes of it in the first.
    let outcome = run("-q false");
    assert_eq!(outcome.code, 1, "{outcome}");
    assert_eq!(
        outcome
            .stderr
            .matches("synchronously: command 'false' exited with 1: ")
            .count(),
        2,
        "{outcome}"
    );
    let ignored = "The `--ignore-errors` option has been set all errors returned by the command will be ignored.";
    expect(&run("-e false"), 0, ":\n", ignored);
    let help = crictl("exec --name nosuch ls").on(&node).outcome();
    expect(
        &help,
        0,
        "crictl exec",
        "No containers found per filter flags",
    );
}

#[test]
fn no_limit_is_a_limit() {
    let node = small::node();
    let web = small::container(&node, "web-2", "web");
    let outcome = crictl(&format!("update --memory -1 {web}"))
        .on(&node)
        .outcome();
    expect(&outcome, 0, &web, "");
}

#[test]
fn a_file_that_is_not_there() {
    let outcome = crictl("-c /nosuch/crictl.yaml version").outcome();
    expect(&outcome, 1, "", "/nosuch/crictl.yaml");
    assert!(
        outcome.stderr.contains("No such file or directory"),
        "{outcome}"
    );
}

#[test]
fn a_prune_takes_what_is_named_too() {
    let node = small::node();
    let outcome = crictl(&format!("rmi --prune {} {}", small::OLD, small::WEB))
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    for name in [small::OLD, small::WEB] {
        let line = format!("Deleted: {name}\n");
        assert_eq!(outcome.stdout.matches(&line).count(), 1, "{outcome}");
    }
    assert!(!outcome.stdout.contains(small::JOB), "{outcome}");
}

#[test]
fn images_are_inspected_in_the_order_of_the_list() {
    let node = small::node();
    let listed = crictl("images -o json").on(&node).json_of(0);
    let inspected = crictl("inspecti -q").on(&node).json_of(0);
    let ids = |list: &serde_json::Value, pointer: &str| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|image| image.pointer(pointer).unwrap().to_string())
            .collect()
    };
    assert_eq!(ids(&inspected, "/status/id"), ids(&listed["images"], "/id"));
}

/// A runtime that is told how long it has stops a container in time.
#[test]
fn the_runtime_is_told_how_long_it_has() {
    let node = small::node();
    let web = small::container(&node, "web-2", "web");
    let outcome = crictl(&format!("-t 7s stop {web}")).on(&node).outcome();
    expect(&outcome, 0, &web, "");
    let told = node
        .calls()
        .into_iter()
        .find(|call| call.rpc() == "StopContainer");
    assert_eq!(told.unwrap().header("grpc-timeout"), Some("7000m"));
}
