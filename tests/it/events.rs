//! `events`: one document an event, filters, a daemon that goes and comes back.

use std::time::Duration;

use criscope::fake::Rule;
use tonic::Code;

use crate::support::{criscope, small};

const LIMIT: Duration = Duration::from_secs(30);

fn event(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}\n{line}"))
}

#[test]
fn one_line_an_event() {
    let node = small::node();
    let mut events = criscope(["events", "-o", "ndjson"]).on(&node).spawn();
    assert!(node.called_within("GetContainerEvents", 1, LIMIT));
    let id = criscope(["stop", "proxy"]).on(&node).stdout();
    let stopped = event(&events.line().unwrap());
    assert_eq!(stopped["containerEventType"], "CONTAINER_STOPPED_EVENT");
    assert_eq!(stopped["containerId"], id.trim());
    criscope(["rm", "proxy"]).on(&node).stdout();
    assert_eq!(
        event(&events.line().unwrap())["containerEventType"],
        "CONTAINER_DELETED_EVENT"
    );
    events.interrupt();
    let outcome = events.wait();
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (130, ""),
        "{outcome}"
    );
}

#[test]
fn filters_let_through_what_is_meant() {
    let node = small::node();
    let watched: Vec<_> = [
        &["--type", "deleted"][..],
        &["--type", "stopped,deleted", "--container", "proxy"],
        &["--namespace", "default", "--pod", "web-2"],
    ]
    .iter()
    .map(|filter| {
        criscope(["events", "-o", "ndjson"].iter().chain(*filter))
            .on(&node)
            .spawn()
    })
    .collect();
    assert!(node.called_within("GetContainerEvents", 3, LIMIT));
    let ids = ["proxy", "default/web-2/web"].map(|name| {
        criscope(["stop", name])
            .on(&node)
            .stdout()
            .trim()
            .to_owned()
    });
    criscope(["rm", &ids[0], &ids[1]]).on(&node).stdout();
    let expected: [&[(&str, &str)]; 3] = [
        &[(&ids[0], "DELETED"), (&ids[1], "DELETED")],
        &[(&ids[0], "STOPPED"), (&ids[0], "DELETED")],
        &[(&ids[1], "STOPPED"), (&ids[1], "DELETED")],
    ];
    for (mut events, expected) in watched.into_iter().zip(expected) {
        let mut found: Vec<(String, String)> = (0..expected.len())
            .map(|_| {
                let event = event(&events.line().unwrap());
                let text = |key: &str| event[key].as_str().unwrap().to_owned();
                (text("containerId"), text("containerEventType"))
            })
            .collect();
        // Two that were removed at once may be told in any order.
        found.sort_by_key(|(id, kind)| {
            (
                expected.iter().position(|e| e.0 == id),
                kind.contains("DELETED"),
            )
        });
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, kind)| ((*id).to_owned(), format!("CONTAINER_{kind}_EVENT")))
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn documents_follow_each_other_in_json_and_yaml() {
    let node = small::node();
    let mut json = criscope(["events"]).on(&node).spawn();
    let mut yaml = criscope(["event", "-o", "yaml"]).on(&node).spawn();
    assert!(node.called_within("GetContainerEvents", 2, LIMIT));
    criscope(["stop", "proxy"]).on(&node).stdout();
    assert_eq!(json.line().as_deref(), Some("{"));
    assert_eq!(yaml.line().as_deref(), Some("---"));
}

#[test]
fn a_daemon_that_comes_back_is_listened_to_again() {
    let mut node = small::node();
    let mut events = criscope(["events", "-o", "ndjson"]).on(&node).spawn();
    assert!(node.called_within("GetContainerEvents", 1, LIMIT));
    node.kill();
    node.restart().unwrap();
    assert!(node.called_within("GetContainerEvents", 2, LIMIT));
    criscope(["stop", "proxy"]).on(&node).stdout();
    assert_eq!(
        event(&events.line().unwrap())["containerEventType"],
        "CONTAINER_STOPPED_EVENT"
    );
    events.interrupt();
    let outcome = events.wait();
    assert!(
        outcome
            .stderr
            .contains("warning: the stream of events has ended"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("connected again"), "{outcome}");
}

#[test]
fn it_ends_where_it_is_told_to_and_where_nothing_can_come() {
    let mut node = small::node();
    let events = criscope(["events", "--no-reconnect"]).on(&node).spawn();
    assert!(node.called_within("GetContainerEvents", 1, LIMIT));
    node.kill();
    assert_eq!(events.wait().code, 3);

    node.restart().unwrap();
    node.rule(
        Rule::on("GetContainerEvents")
            .status(Code::Unimplemented, "unknown method GetContainerEvents"),
    );
    let outcome = criscope(["events"]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome.stderr.contains("unknown method GetContainerEvents"),
        "{outcome}"
    );

    let old = small::node_of("1.4.13");
    let outcome = criscope(["events"]).on(&old).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome.stderr.contains("nothing newer than CRI v1alpha2"),
        "{outcome}"
    );
}
