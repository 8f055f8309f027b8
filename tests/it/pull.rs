//! `pull`: what is sent, whose credentials, and that nothing of them is ever shown.

use criscope::cri;
use criscope::fake::{Node, Rule};
use tonic::Code;

use crate::support::{criscope, small};

fn sent(node: &Node) -> cri::PullImageRequest {
    let call = node
        .calls()
        .into_iter()
        .rfind(|call| call.rpc() == "PullImage");
    call.expect("a pull").message().unwrap()
}

#[test]
fn an_image_is_pulled_and_named() {
    let node = small::node();
    let stdout = criscope(["pull", "-a", "x=1,y=2", "reg.example.com/new:1"])
        .on(&node)
        .stdout();
    let id = node.world(|world| {
        world
            .image("reg.example.com/new:1")
            .unwrap()
            .image
            .id
            .clone()
    });
    assert_eq!(stdout, format!("Image is up to date for {id}\n"));
    let request = sent(&node);
    assert_eq!(request.auth, None);
    let image = request.image.unwrap();
    assert_eq!(image.annotations.len(), 2);
}

#[test]
fn credentials_come_in_five_ways() {
    let auth = |username: &str, password: &str, auth: &str| cri::AuthConfig {
        username: username.into(),
        password: password.into(),
        auth: auth.into(),
        ..Default::default()
    };
    let node = small::node();
    let name = "reg.example.com/new:1";
    criscope(["pull", "--creds", "alice:pa:ss", name])
        .on(&node)
        .stdout();
    assert_eq!(sent(&node).auth, Some(auth("alice", "pa:ss", "")));
    criscope(["pull", "--auth", "YTpi", name])
        .on(&node)
        .stdout();
    assert_eq!(sent(&node).auth, Some(auth("", "", "YTpi")));
    criscope(["pull", name])
        .env("CRICTL_CREDS", "bob")
        .on(&node)
        .stdout();
    assert_eq!(sent(&node).auth, Some(auth("bob", "", "")));
    criscope(["pull", name])
        .env("CRICTL_AUTH", "YTpi")
        .on(&node)
        .stdout();
    assert_eq!(sent(&node).auth, Some(auth("", "", "YTpi")));
    criscope(["pull", "--creds-stdin", name])
        .stdin("carol:secret\n")
        .on(&node)
        .stdout();
    assert_eq!(sent(&node).auth, Some(auth("carol", "secret", "")));
    // A flag beats the environment.
    criscope(["pull", "--creds", "alice:a", name])
        .env("CRICTL_AUTH", "YTpi")
        .on(&node)
        .stdout();
    assert_eq!(sent(&node).auth, Some(auth("alice", "a", "")));
}

#[test]
fn credentials_that_cannot_be_used_are_bad_usage() {
    let node = small::node();
    #[track_caller]
    fn case(node: &Node, arguments: &[&str], part: &str) {
        let outcome = criscope(arguments.iter().chain(&["reg.example.com/new:1"]))
            .on(node)
            .outcome();
        assert_eq!(outcome.code, 2, "{outcome}");
        assert!(outcome.stderr.contains(part), "{outcome}");
        assert!(!outcome.stderr.contains("hunter2"), "{outcome}");
    }
    case(
        &node,
        &["pull", "--creds", ":hunter2"],
        "there is no user in --creds",
    );
    case(
        &node,
        &["pull", "--auth", "hunter2"],
        "--auth is not `USER:PASSWORD` in base64",
    );
    case(
        &node,
        &["pull", "--auth", "YTpi", "--creds", "a:hunter2"],
        "cannot be used with",
    );
    case(&node, &["pull", "-u", "alice"], "stdin is no terminal");
    assert!(node.rpcs().is_empty(), "{:?}", node.rpcs());
}

#[test]
fn nothing_of_a_password_is_shown() {
    let node = small::node();
    node.rule(Rule::on("PullImage").status(Code::Unknown, "401 Unauthorized"));
    let outcome = criscope([
        "--debug",
        "pull",
        "--creds",
        "alice:hunter2",
        "reg.example.com/new:1",
    ])
    .on(&node)
    .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stderr.contains("401 Unauthorized"), "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("criscope test-pull reg.example.com/new:1"),
        "{outcome}"
    );
    assert!(!outcome.stderr.contains("hunter2"), "{outcome}");
}

#[test]
fn every_image_is_tried() {
    let node = small::node();
    node.rule(
        Rule::on("PullImage")
            .once()
            .status(Code::NotFound, "not found"),
    );
    let outcome = criscope(["pull", "reg.example.com/a:1", "reg.example.com/b:1"])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
}

#[test]
fn a_pull_has_the_deadline_that_is_given_and_no_other() {
    let node = small::node();
    let held = node.hold("PullImage");
    let name = "reg.example.com/new:1";
    let outcome = criscope(["pull", "--pull-timeout", "100ms", name])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 3, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("PullImage at `ENDPOINT` did not answer within 100ms"),
        "{outcome}"
    );
    let outcome = criscope(["pull", name])
        .env("CRICTL_PULL_TIMEOUT", "100ms")
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 3, "{outcome}");
    // The ordinary deadline is not that of a pull: this one is let go only after another call has run into it.
    let pull = std::thread::scope(|scope| {
        let pull = scope.spawn(|| criscope(["-t", "100ms", "pull", name]).on(&node).outcome());
        assert!(node.called_within("PullImage", 3, std::time::Duration::from_secs(10)));
        node.rule(Rule::on("ListImages").hang());
        let outcome = criscope(["-t", "100ms", "images"]).on(&node).outcome();
        assert_eq!(outcome.code, 3, "{outcome}");
        held.release();
        pull.join().unwrap()
    });
    assert_eq!(pull.code, 0, "{pull}");
}

#[test]
fn a_pod_configuration_goes_along() {
    let node = small::node();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pod.yaml");
    std::fs::write(&path, "metadata: {name: a, namespace: b, uid: u}\n").unwrap();
    criscope([
        "pull",
        "--pod-config",
        path.to_str().unwrap(),
        "reg.example.com/new:1",
    ])
    .on(&node)
    .stdout();
    let config = sent(&node).sandbox_config.unwrap();
    assert_eq!(config.metadata.unwrap().uid, "u");
    std::fs::write(&path, "metadata: {nmae: a}\n").unwrap();
    let outcome = criscope([
        "pull",
        "--pod-config",
        path.to_str().unwrap(),
        "reg.example.com/new:1",
    ])
    .on(&node)
    .outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("`metadata`: unknown key `nmae`, did you mean `name`?"),
        "{outcome}"
    );
}

#[test]
fn an_old_runtime_pulls_too() {
    let node = Node::builder()
        .world(small::world())
        .runtime("containerd", "1.4.13")
        .start()
        .unwrap();
    let stdout = criscope(["pull", "reg.example.com/new:1"])
        .on(&node)
        .stdout();
    assert!(
        stdout.starts_with("Image is up to date for sha256:"),
        "{stdout}"
    );
}

#[test]
fn a_dry_run_pulls_nothing() {
    let node = small::node();
    let stdout = criscope(["pull", "--dry-run", "--creds", "alice:a", "nginx"])
        .on(&node)
        .stdout();
    assert_eq!(
        stdout,
        "would pull image docker.io/library/nginx:latest as alice\n"
    );
    assert!(node.rpcs().is_empty());
}
