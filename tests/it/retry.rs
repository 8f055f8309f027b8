//! Transient failures: what is asked again, how it is told, and what is sent only once.

use criscope::fake::{Answer, Rule};
use tonic::Code;

use crate::support::{criscope, small};

fn times(node: &criscope::fake::Node, rpc: &str) -> usize {
    node.rpcs().iter().filter(|called| *called == rpc).count()
}

#[test]
fn a_question_is_asked_again_and_that_is_told() {
    for answer in [
        Answer::Status(
            Code::Unavailable,
            "server is not initialized yet".to_owned(),
        ),
        Answer::GoAway(0),
        Answer::Close,
    ] {
        let node = small::node();
        node.rule(Rule::on("ListContainers").once().answer(answer.clone()));
        let outcome = criscope(["ps", "-q"]).on(&node).outcome();
        assert_eq!(outcome.code, 0, "{answer:?}\n{outcome}");
        assert_eq!(outcome.stdout.lines().count(), 3, "{outcome}");
        assert_eq!(times(&node, "ListContainers"), 2);
        assert!(
            outcome.stderr.starts_with("warning: ListContainers at")
                && outcome
                    .stderr
                    .ends_with("; trying again in 200ms (1 of 3)\n"),
            "{outcome}"
        );
    }
}

#[test]
fn it_is_not_asked_for_ever() {
    let node = small::node();
    node.rule(Rule::on("ListContainers").status(Code::Unavailable, "not yet"));
    let outcome = criscope(["ps"]).on(&node).outcome();
    assert_eq!(outcome.code, 3, "{outcome}");
    assert_eq!(times(&node, "ListContainers"), 4);
    assert_eq!(outcome.stderr.matches("trying again").count(), 3);
}

#[test]
fn what_will_not_pass_is_not_asked_again() {
    for (code, message) in [
        (Code::Unknown, "broken"),
        (Code::Unimplemented, "unknown method ListContainers"),
        (Code::PermissionDenied, "no"),
    ] {
        let node = small::node();
        node.rule(Rule::on("ListContainers").status(code, message));
        let outcome = criscope(["ps"]).on(&node).outcome();
        assert_ne!(outcome.code, 0, "{outcome}");
        assert_eq!(times(&node, "ListContainers"), 1);
    }
}

#[test]
fn what_changes_the_node_is_sent_once() {
    for answer in [
        Answer::Status(Code::Unavailable, "not yet".to_owned()),
        Answer::Close,
    ] {
        let node = small::node();
        node.rule(Rule::on("StopContainer").answer(answer));
        let outcome = criscope(["stop", "proxy"]).on(&node).outcome();
        assert_ne!(outcome.code, 0, "{outcome}");
        assert_eq!(times(&node, "StopContainer"), 1);
        assert!(!outcome.stderr.contains("trying again"), "{outcome}");
    }
}
