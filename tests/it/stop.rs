//! `start`, `stop`, `stopp`: selectors, results one by one, and what an unresponsive daemon is spared.

use criscope::fake::Rule;
use tonic::Code;

use crate::support::{criscope, small};

#[test]
fn a_container_is_named_in_every_way() {
    for name in ["default/web-1/proxy", "proxy", "ID", "ID[..12]"] {
        let node = small::node();
        let id = small::container(&node, "web-1", "proxy");
        let typed = name.replace("ID[..12]", &id[..12]).replace("ID", &id);
        let stdout = criscope(["stop", &typed]).on(&node).stdout();
        assert_eq!(stdout, format!("{id}\n"), "{name}");
        let call = node.calls().pop().unwrap();
        let request: criscope::cri::StopContainerRequest = call.message().unwrap();
        assert_eq!((request.container_id, request.timeout), (id, 0));
    }
}

#[test]
fn what_is_ambiguous_is_not_stopped_and_the_rest_is() {
    let node = small::node();
    let proxy = small::container(&node, "web-1", "proxy");
    let outcome = criscope(["stop", "web", "nosuch", "proxy"])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert_eq!(outcome.stdout, format!("{proxy}\n"));
    for part in [
        "error: `web` can mean 2 containers\n",
        "default/web-1/web  Running\n",
        "default/web-2/web  Running\n",
        "error: there is no container `nosuch`\n",
    ] {
        assert!(outcome.stderr.contains(part), "{part}\n{outcome}");
    }
    assert_eq!(
        node.rpcs()
            .iter()
            .filter(|rpc| *rpc == "StopContainer")
            .count(),
        1
    );
}

#[test]
fn time_to_end_is_whole_seconds_and_prolongs_the_deadline() {
    let node = small::node();
    criscope(["stop", "--timeout", "1500ms", "proxy"])
        .on(&node)
        .stdout();
    let request: criscope::cri::StopContainerRequest =
        node.calls().pop().unwrap().message().unwrap();
    assert_eq!(request.timeout, 2);
}

#[test]
fn a_failure_is_told_with_the_words_of_the_runtime() {
    let node = small::node();
    let (web, proxy) = (
        small::container(&node, "web-1", "web"),
        small::container(&node, "web-1", "proxy"),
    );
    node.rule(
        Rule::on("StopContainer")
            .once()
            .status(Code::Unknown, "shim is gone"),
    );
    let outcome = criscope(["stop", &web, &proxy]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
    assert!(
        outcome.stderr.contains("error: cannot stop container ")
            && outcome.stderr.contains("shim is gone"),
        "{outcome}"
    );
}

#[test]
fn a_daemon_that_hangs_is_not_asked_again() {
    let node = small::node();
    for index in 0..9 {
        node.world(|world| {
            let pod = world.pods[0].status.id.clone();
            let container =
                criscope::fake::world::Container::new(&format!("more-{index}"), small::WEB);
            world.add_container(&pod, container);
        });
    }
    node.rule(Rule::on("StopContainer").hang());
    let outcome = criscope(["-t", "300ms", "stop", "--all", "--yes"])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 3, "{outcome}");
    assert!(
        outcome.stderr.contains("warning: not tried, because"),
        "{outcome}"
    );
    let asked = node
        .rpcs()
        .iter()
        .filter(|rpc| *rpc == "StopContainer")
        .count();
    assert!(asked <= 4, "{asked} calls");
}

#[test]
fn stop_all_asks_first_and_shows_what_it_would_do() {
    let node = small::node();
    let outcome = criscope(["stop", "--all"]).on(&node).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("this would stop 3 containers; nothing was done"),
        "{outcome}"
    );
    let plan = criscope(["stop", "--all", "--dry-run"]).on(&node).stdout();
    assert_eq!(
        plan.lines()
            .filter(|line| line.starts_with("would stop container "))
            .count(),
        3,
        "{plan}"
    );
    assert!(!node.rpcs().contains(&"StopContainer".to_owned()));
    assert_eq!(
        criscope(["stop", "-a", "-y"])
            .on(&node)
            .stdout()
            .lines()
            .count(),
        3
    );
    let outcome = criscope(["stop", "-a"]).on(&node).outcome();
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (0, "No containers to stop\n")
    );
}

#[test]
fn a_pod_is_stopped_by_namespace_and_name() {
    let node = small::node();
    let pod = small::pod(&node, "web-1");
    let stdout = criscope(["stopp", "default/web-1"]).on(&node).stdout();
    assert_eq!(stdout, format!("Stopped sandbox {pod}\n"));
}

#[test]
fn only_what_was_created_can_be_started() {
    let node = small::node();
    let id = node.world(|world| {
        let pod = world.pods[0].status.id.clone();
        let container = criscope::fake::world::Container::new("later", small::WEB).not_started();
        world.add_container(&pod, container)
    });
    assert_eq!(
        criscope(["start", "later"]).on(&node).stdout(),
        format!("{id}\n")
    );
    let outcome = criscope(["start", "later"]).on(&node).outcome();
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("CONTAINER_RUNNING state"),
        "{outcome}"
    );
}

#[test]
fn a_runtime_with_v1alpha2_alone_is_not_changed() {
    let node = criscope::fake::Node::builder()
        .world(small::world())
        .runtime("containerd", "1.4.13")
        .start()
        .unwrap();
    let outcome = criscope(["stop", "proxy"]).on(&node).outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome.stderr.contains("nothing newer than CRI v1alpha2"),
        "{outcome}"
    );
    assert!(
        node.calls()
            .iter()
            .all(|call| !call.path.contains("StopContainer"))
    );
}
