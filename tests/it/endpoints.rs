//! `criscope endpoints`: every situation of a socket as a script and a reader meet it, on sockets of our own and on
//! real daemons.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};

use criscope::fake::socket::{Situation, Socket};
use criscope::fake::{CriPlugin, Node};
use serde_json::Value;

use crate::support::lab::Lab;
use crate::support::run::Outcome;
use crate::support::{criscope, demo_node};

/// Runs `endpoints -o json` on one endpoint.
fn examine(endpoint: &str, timeout: &str) -> (Outcome, Value) {
    let outcome = criscope(["-r", endpoint, "-t", timeout, "endpoints", "-o", "json"]).outcome();
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["apiVersion"], "criscope/v1");
    assert_eq!(document["kind"], "Endpoints");
    let endpoints = document["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 1, "what was set is the only candidate");
    let report = endpoints[0].clone();
    assert_eq!(report["endpoint"], endpoint);
    assert_eq!(report["source"], "flag");
    (outcome, report)
}

/// An endpoint that cannot be used: exit code 3, a reason and an advice; another command says the same.
#[track_caller]
fn refuses(endpoint: &str, verdict: &str, detail: &str) -> Value {
    // Silence has to be waited for, everything else has all the time it needs.
    let timeout = if verdict == "hung" { "1s" } else { "30s" };
    let (outcome, report) = examine(endpoint, timeout);
    assert_eq!(report["verdict"], verdict, "{report:#}");
    assert_eq!(outcome.code, 3, "{outcome}");
    assert_eq!(report["chosen"], false);
    let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
    assert!(text("detail").contains(detail), "{report:#}");
    assert!(!text("advice").is_empty(), "{report:#}");

    let outcome = criscope(["-r", endpoint, "-t", timeout, "ps"]).outcome();
    assert_eq!(outcome.code, 3, "{outcome}");
    assert!(outcome.stderr.contains(endpoint), "{outcome}");
    assert!(outcome.stderr.contains(detail), "{outcome}");
    assert!(outcome.stderr.contains("hint:"), "{outcome}");
    report
}

/// An endpoint that serves: exit code 0.
#[track_caller]
fn serves(endpoint: &str, verdict: &str, api: &str) -> Value {
    let (outcome, report) = examine(endpoint, "30s");
    assert_eq!(report["verdict"], verdict, "{report:#}");
    assert_eq!(outcome.code, 0, "{outcome}");
    assert_eq!(report["chosen"], true);
    assert_eq!(report["chosenBecause"], "named by the command line");
    assert_eq!(report["runtime"]["api"], api);
    assert!(report["latencyMs"].is_number());
    report
}

#[test]
fn a_runtime_that_serves_is_chosen() {
    let node = demo_node();
    let report = serves(&node.endpoint(), "serving", "v1");
    assert_eq!(report["process"]["pid"], std::process::id());
    assert!(report["advice"].is_null());
    let table = criscope(["endpoints"]).on(&node).stdout();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("ENDPOINT"), "{table}");
    assert!(lines[1].starts_with("ENDPOINT *"), "{table}");
    assert!(lines[1].contains("serving"), "{table}");
    assert!(
        table.contains("chosen: named by $CONTAINER_RUNTIME_ENDPOINT"),
        "{table}"
    );
}

#[test]
fn every_situation_has_its_verdict() {
    for (situation, verdict, detail) in [
        (Situation::Absent, "absent", "there is no such file"),
        (Situation::DanglingLink, "absent", "a symbolic link to"),
        (Situation::Stale, "refused", "nobody listens"),
        (Situation::RegularFile, "not-socket", "a regular file"),
        (Situation::Directory, "not-socket", "a directory"),
        (Situation::BacklogFull, "hung", "nobody accepts"),
        (Situation::Silent, "hung", "no HTTP/2 came"),
        (Situation::SettingsOnly, "hung", "was not answered"),
        (Situation::Http1, "not-grpc", "an HTTP/1 server"),
        (Situation::Docker, "not-grpc", "Docker's own API"),
        (Situation::Closes, "not-grpc", "hangs up"),
    ] {
        let socket = Socket::start(situation).unwrap();
        refuses(&socket.endpoint(), verdict, detail);
    }
}

#[test]
fn containerd_without_cri_says_why() {
    let node = Node::builder().cri(CriPlugin::Disabled).start().unwrap();
    refuses(&node.endpoint(), "cri-disabled", "is not loaded");
    let reason = "invalid plugin config: no";
    let node = Node::builder()
        .cri(CriPlugin::Failed(reason.to_owned()))
        .start()
        .unwrap();
    let report = refuses(&node.endpoint(), "cri-failed", reason);
    assert_eq!(report["runtimeSays"], reason);
}

/// A supervisor that holds a socket: a process called `systemd` that does nothing else.
struct Supervisor(Child);

impl Supervisor {
    fn start(dir: &std::path::Path, listener: UnixListener) -> Self {
        let systemd = dir.join("systemd");
        std::fs::copy("/bin/sleep", &systemd).unwrap();
        let child = Command::new(&systemd)
            .arg("600")
            .stdin(OwnedFd::from(listener))
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_socket_that_waits_for_its_service_is_not_woken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cri-dockerd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let ours = listener.try_clone().unwrap();
    let endpoint = format!("unix://{}", path.display());
    let examined = {
        // The test itself has the socket open: to the world it is a daemon. It must look without.
        let supervisor = Supervisor::start(dir.path(), listener);
        drop(ours);
        let report = refuses(&endpoint, "dormant", "holds the socket");
        assert_eq!(report["process"]["pid"], supervisor.0.id());
        // Its backlog is empty: whoever takes the socket over finds nobody waiting.
        let queue = waiting(&path);
        (report, queue)
    };
    assert_eq!(examined.1, 0, "{:#}", examined.0);
}

/// How many connections wait at a listening socket: those that /proc/net/unix lists with its path and as unaccepted.
fn waiting(path: &std::path::Path) -> usize {
    const CONNECTING: &str = "02";
    let table = std::fs::read_to_string("/proc/net/unix").unwrap();
    table
        .lines()
        .filter(|line| line.ends_with(&path.display().to_string()))
        .filter(|line| line.split_whitespace().nth(5) == Some(CONNECTING))
        .count()
}

#[test]
fn a_real_containerd_serves_and_hangs_and_leaves_its_socket() {
    let Some(lab) = Lab::up(&["--generation", "1.6", "--pods", "0"]) else {
        return;
    };
    let report = serves(lab.endpoint(), "serving", "v1");
    assert_eq!(report["runtime"]["name"], "containerd");
    assert_eq!(report["runtime"]["version"], lab.version());
    assert_eq!(report["process"]["pid"], lab.document["pid"]);

    lab.tell("signal", &["STOP"]);
    let report = refuses(lab.endpoint(), "hung", "stopped by a signal");
    assert_eq!(report["process"]["pid"], lab.document["pid"]);
    lab.tell("signal", &["CONT"]);
    serves(lab.endpoint(), "serving", "v1");

    lab.tell("signal", &["KILL"]);
    refuses(lab.endpoint(), "refused", "nobody listens");
}

#[test]
fn a_real_containerd_1_4_is_spoken_to_in_v1alpha2() {
    let Some(lab) = Lab::up(&["--generation", "1.4", "--pods", "0"]) else {
        return;
    };
    let report = serves(lab.endpoint(), "v1alpha2-only", "v1alpha2");
    assert!(report["advice"].is_string());
}

#[test]
fn a_real_containerd_says_why_it_does_not_serve_cri() {
    for generation in ["1.6", "2"] {
        let Some(lab) = Lab::up(&["--generation", generation, "--cri", "disabled"]) else {
            return;
        };
        let report = refuses(lab.endpoint(), "cri-disabled", "io.containerd.grpc.v1.cri");
        assert_eq!(report["runtime"]["version"], lab.version());
        drop(lab);
        let Some(lab) = Lab::up(&["--generation", generation, "--cri", "broken"]) else {
            return;
        };
        let report = refuses(lab.endpoint(), "cri-failed", "failed to start");
        assert!(report["runtimeSays"].is_string(), "{report:#}");
    }
}
