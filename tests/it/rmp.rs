//! `rmp`: pods that are ready stay, force stops them first, a sweep asks.

use criscope::cri;
use criscope::fake::Rule;
use tonic::Code;

use crate::support::{criscope, small};

#[test]
fn a_ready_pod_stays_without_force() {
    let node = small::node();
    let (job, web) = (small::pod(&node, "job-1"), small::pod(&node, "web-1"));
    let outcome = criscope(["rmp", "jobs/job-1", "web-1"]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert_eq!(outcome.stdout, format!("Removed sandbox {job}\n"));
    let words = format!("pod sandbox \"{web}\" is running, please stop it first");
    assert!(outcome.stderr.contains(&words), "{outcome}");
    assert_eq!(
        criscope(["rmp", "--force", "web-1"]).on(&node).stdout(),
        format!("Stopped sandbox {web}\nRemoved sandbox {web}\n")
    );
}

#[test]
fn what_was_done_before_a_failure_is_told() {
    let node = small::node();
    let web = small::pod(&node, "web-1");
    node.rule(Rule::on("RemovePodSandbox").status(Code::Unknown, "netns is busy"));
    let outcome = criscope(["rmp", "-f", "web-1"]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert_eq!(outcome.stdout, format!("Stopped sandbox {web}\n"));
    assert!(outcome.stderr.contains("netns is busy"), "{outcome}");
}

#[test]
fn success_that_removed_nothing_is_a_failure() {
    let node = small::node();
    node.rule(Rule::on("RemovePodSandbox").message(&cri::RemovePodSandboxResponse {}));
    let outcome = criscope(["rmp", "job-1"]).on(&node).outcome();
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (1, ""),
        "{outcome}"
    );
}

#[test]
fn a_sweep_asks_first() {
    let node = small::node();
    let outcome = criscope(["rmp", "-fa"]).on(&node).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("this would remove 3 pods; nothing was done"),
        "{outcome}"
    );
    let plan = criscope(["rmp", "-fa", "--dry-run"]).on(&node).stdout();
    assert_eq!(plan.matches("would stop pod").count(), 2, "{plan}");
    assert_eq!(plan.matches("would remove pod").count(), 3, "{plan}");
    let stdout = criscope(["rmp", "-fa", "--yes"]).on(&node).stdout();
    assert_eq!(stdout.matches("Removed sandbox").count(), 3, "{stdout}");
    let outcome = criscope(["rmp", "-a"]).on(&node).outcome();
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (0, "No pods to remove\n")
    );
}
