//! `pods`, `ps`, `images` on the fake node: filters, formats, odd answers.

use criscope::cri;
use criscope::fake::{Answer, Rule};
use prost::Message;

use crate::support::{criscope, demo_node};

#[test]
fn filters_go_to_the_runtime_or_are_applied_here() {
    let node = demo_node();
    #[track_caller]
    fn case(node: &criscope::fake::Node, arguments: &[&str], expected: &[&str]) {
        let document = criscope(arguments.iter().chain(&["-o", "json"]))
            .on(node)
            .json();
        let items = document["items"]
            .as_array()
            .or(document["containers"].as_array())
            .unwrap();
        let mut names: Vec<&str> = items
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{arguments:?}");
    }
    case(
        &node,
        &["pods", "--namespace", "^batch$"],
        &["nightly-report-29384720-mwz8k"],
    );
    case(
        &node,
        &["pods", "-s", "NotReady", "--name", "nightly"],
        &["nightly-report-29384720-mwz8k"],
    );
    case(&node, &["pods", "-n", "1"], &["checkout-5d7c8bb9f4-rj4hs"]);
    case(&node, &["pods", "--latest"], &["checkout-5d7c8bb9f4-rj4hs"]);
    case(&node, &["ps", "--name", "nginx"], &["nginx", "nginx"]);
    case(&node, &["ps", "--namespace", "^batch$"], &[]);
    case(&node, &["ps", "-a", "--namespace", "^batch$"], &["report"]);
    case(&node, &["ps", "--image", "nginx:1.27"], &["nginx", "nginx"]);
    case(
        &node,
        &["ps", "--image", "docker.io/library/nginx:1.27"],
        &["nginx", "nginx"],
    );
    case(&node, &["ps", "--image", "nosuch:1"], &[]);
    case(&node, &["ps", "-a", "-s", "exited", "-l"], &["checkout"]);
}

#[test]
fn images_are_matched_by_name_although_containerd_ignores_the_filter() {
    let node = demo_node();
    let ids = |arguments: &[&str]| {
        criscope(arguments.iter())
            .on(&node)
            .stdout()
            .lines()
            .count()
    };
    assert_eq!(ids(&["images", "-q", "registry.k8s.io/pause"]), 1);
    assert_eq!(ids(&["images", "-q", "registry.k8s.io/pause:3.8"]), 1);
    assert_eq!(ids(&["images", "-q", "registry.k8s.io/pause:9"]), 0);
    assert_eq!(ids(&["images", "-q", "nginx:1.27"]), 1);
    assert_eq!(ids(&["images", "-q", "--filter", "dangling=true"]), 2);
    assert_eq!(
        ids(&[
            "images",
            "-q",
            "--filter",
            "reference=^registry.k8s.io/",
            "--filter",
            "reference=proxy"
        ]),
        1
    );
}

#[test]
fn a_container_without_labels_gets_its_pod_s_name() {
    let node = demo_node();
    let pods = criscope(["pods", "-o", "json", "--name", "postgres"])
        .on(&node)
        .json();
    let pod = pods["items"][0]["id"].as_str().unwrap().to_owned();
    let bare = cri::ListContainersResponse {
        containers: vec![cri::Container {
            id: "abc".into(),
            pod_sandbox_id: pod,
            state: 1,
            ..Default::default()
        }],
    };
    node.rule(Rule::on("ListContainers").answer(Answer::Message(bare.encode_to_vec().into())));
    let table = criscope(["ps"]).on(&node).stdout();
    assert!(
        table.contains("postgres-0") && table.contains("shop"),
        "{table}"
    );
}

#[test]
fn one_odd_container_does_not_spoil_the_list() {
    let node = demo_node();
    let good = cri::Container {
        id: "good".into(),
        ..Default::default()
    };
    let odd_state = cri::Container {
        id: "odd".into(),
        state: 77,
        ..Default::default()
    };
    let mut bytes = cri::ListContainersResponse {
        containers: vec![good, odd_state],
    }
    .encode_to_vec();
    // An element whose id is not UTF-8, and one that is cut short in the middle of a field.
    bytes.extend_from_slice(&[0x0a, 4, 0x0a, 2, 0xff, 0xfe]);
    bytes.extend_from_slice(&[0x0a, 2, 0x0a, 9]);
    node.rule(Rule::on("ListContainers").answer(Answer::Message(bytes.into())));
    let outcome = criscope(["ps", "-a"]).on(&node).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(outcome.stdout.contains("good"), "{outcome}");
    assert!(outcome.stdout.contains("Undefined(77)"), "{outcome}");
    assert!(outcome.stdout.contains('\u{fffd}'), "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("1 of 4 containers could not be read"),
        "{outcome}"
    );
}

#[test]
fn a_name_that_would_act_on_a_terminal_is_shown_instead() {
    let node = demo_node();
    let evil = cri::Container {
        id: "\u{1b}[2Jid".into(),
        metadata: Some(cri::ContainerMetadata {
            name: "a\nb\u{202e}".into(),
            attempt: 0,
        }),
        ..Default::default()
    };
    let list = cri::ListContainersResponse {
        containers: vec![evil],
    };
    node.rule(Rule::on("ListContainers").answer(Answer::Message(list.encode_to_vec().into())));
    for arguments in [
        &["ps", "-a"][..],
        &["ps", "-aq"],
        &["ps", "-av"],
        &["ps", "-a", "--no-trunc"],
    ] {
        let text = criscope(arguments.iter()).on(&node).stdout();
        assert!(
            !text.contains(['\u{1b}', '\u{202e}']),
            "{arguments:?}: {text:?}"
        );
    }
    let json = criscope(["ps", "-a", "-o", "json"]).on(&node).json();
    assert_eq!(
        json["containers"][0]["metadata"]["name"], "a\nb\u{202e}",
        "JSON keeps what was said"
    );
}

#[test]
fn an_empty_node_has_headings() {
    let node = demo_node();
    for (rpc, command, heading) in [
        ("ListPodSandbox", "pods", "POD ID"),
        ("ListContainers", "ps", "CONTAINER"),
        ("ListImages", "images", "IMAGE"),
    ] {
        node.rule(Rule::on(rpc).answer(Answer::Message(Vec::new().into())));
        let table = criscope([command]).on(&node).stdout();
        assert!(
            table.starts_with(heading) && table.lines().count() == 1,
            "{table}"
        );
        assert_eq!(criscope([command, "-q"]).on(&node).stdout(), "");
    }
}
