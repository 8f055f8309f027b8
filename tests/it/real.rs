//! Every generation of containerd, for real: what runs there is found, listed, inspected; and what is wrong is named.

use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::criscope;
use crate::support::lab::Lab;
use crate::support::run::Outcome;

/// Runs criscope against a lab from outside.
fn ask(lab: &Lab, arguments: &[&str]) -> Outcome {
    criscope(arguments)
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .outcome()
}

#[track_caller]
fn json(lab: &Lab, arguments: &[&str]) -> Value {
    criscope(arguments)
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .json()
}

/// The endpoint's report, from `endpoints -o json`.
#[track_caller]
fn report(lab: &Lab) -> (i32, Value) {
    let outcome = ask(lab, &["endpoints", "-o", "json"]);
    let document: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
    assert_eq!(document["kind"], "Endpoints");
    (outcome.code, document["endpoints"][0].clone())
}

fn lists_what_is_there(generation: &str, verdict: &str, api: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "2"]) else {
        return;
    };

    let (code, endpoint) = report(&lab);
    assert_eq!(code, 0, "{endpoint:#}");
    assert_eq!(endpoint["verdict"], verdict, "{endpoint:#}");
    assert_eq!(endpoint["runtime"]["api"], api);
    assert_eq!(endpoint["runtime"]["version"], lab.version());
    assert_eq!(
        endpoint["process"]["pid"], lab.document["pid"],
        "{endpoint:#}"
    );

    let version = json(&lab, &["version", "-o", "json"]);
    assert_eq!(version["runtimeVersion"], lab.version());

    let made = lab.document["pods"].as_array().unwrap();
    let mut expected: Vec<&str> = made.iter().map(|pod| pod["id"].as_str().unwrap()).collect();
    let pods = ask(&lab, &["pods", "-q"]).stdout;
    let mut found: Vec<&str> = pods.lines().collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);

    let containers = json(&lab, &["ps", "-a", "-o", "json"]);
    let containers = containers["containers"].as_array().unwrap();
    let made: Vec<&Value> = made
        .iter()
        .flat_map(|pod| pod["containers"].as_array().unwrap())
        .collect();
    assert_eq!(containers.len(), made.len());
    for container in made {
        let id = container["id"].as_str().unwrap();
        let listed = containers
            .iter()
            .find(|c| c["id"] == id)
            .unwrap_or_else(|| panic!("{id} is not listed"));
        assert_eq!(listed["metadata"]["name"], container["name"]);
        let inspected = json(&lab, &["inspect", &id[..13]]);
        assert_eq!(inspected["status"]["id"], id);
        let state = format!(
            "CONTAINER_{}",
            container["state"].as_str().unwrap().to_uppercase()
        );
        assert_eq!(inspected["status"]["state"], state);
        assert!(inspected["info"].is_object(), "{inspected:#}");
    }

    let table = ask(&lab, &["ps"]).stdout;
    assert!(
        table.lines().next().unwrap().ends_with("NAMESPACE"),
        "{table}"
    );
    let images = json(&lab, &["images", "-o", "json"]);
    let id = images["images"][0]["id"].as_str().unwrap();
    assert_eq!(json(&lab, &["inspecti", id])["status"]["id"], id);
    let info = json(&lab, &["info"]);
    assert_eq!(info["status"]["conditions"][0]["type"], "RuntimeReady");
    assert!(json(&lab, &["imagefsinfo"])["status"]["imageFilesystems"].is_array());
    let overview = ask(&lab, &[]);
    assert_eq!(
        (overview.code, overview.stdout.lines().count()),
        (0, 12),
        "{overview}"
    );
}

#[test]
fn containerd_1_4_is_spoken_with_in_v1alpha2() {
    lists_what_is_there("1.4", "v1alpha2-only", "v1alpha2");
}

#[test]
fn containerd_1_6_is_listed() {
    lists_what_is_there("1.6", "serving", "v1");
}

#[test]
fn containerd_1_7_is_listed() {
    lists_what_is_there("1.7", "serving", "v1");
}

#[test]
fn containerd_2_is_listed() {
    lists_what_is_there("2", "serving", "v1");
}

#[test]
fn cri_that_is_disabled_or_broken_is_told_apart() {
    for generation in ["1.6", "2"] {
        let Some(lab) = Lab::up(&[
            "--generation",
            generation,
            "--pods",
            "0",
            "--cri",
            "disabled",
        ]) else {
            return;
        };
        let (code, endpoint) = report(&lab);
        assert_eq!(
            (code, endpoint["verdict"].as_str()),
            (3, Some("cri-disabled")),
            "{endpoint:#}"
        );
        let outcome = ask(&lab, &["ps"]);
        assert_eq!(outcome.code, 3, "{outcome}");
        assert!(outcome.stderr.contains("disabled_plugins"), "{outcome}");
        drop(lab);

        let Some(lab) = Lab::up(&["--generation", generation, "--pods", "0", "--cri", "broken"])
        else {
            return;
        };
        let (code, endpoint) = report(&lab);
        assert_eq!(
            (code, endpoint["verdict"].as_str()),
            (3, Some("cri-failed")),
            "{endpoint:#}"
        );
        let says = endpoint["runtimeSays"].as_str().unwrap_or_default();
        assert!(
            says.contains("`mirrors` cannot be set when `config_path` is provided"),
            "{endpoint:#}"
        );
    }
}

#[test]
fn a_daemon_that_hangs_dies_or_may_not_be_asked() {
    let Some(lab) = Lab::up(&["--pods", "0"]) else {
        return;
    };

    // As nobody: the socket belongs to root.
    let denied = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_criscope"),
            "ps",
        ])
        .env_clear()
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&denied.stderr);
    assert_eq!(denied.status.code(), Some(3), "{said}");
    assert!(said.contains("denied") && said.contains("root"), "{said}");

    lab.tell("signal", &["STOP"]);
    let (code, endpoint) = report(&lab);
    assert_eq!(
        (code, endpoint["verdict"].as_str()),
        (3, Some("hung")),
        "{endpoint:#}"
    );
    let outcome = ask(&lab, &["-t", "300ms", "pods"]);
    assert_eq!(outcome.code, 3, "{outcome}");
    assert!(outcome.stderr.contains("hung"), "{outcome}");
    lab.tell("signal", &["CONT"]);
    assert_eq!(report(&lab).0, 0);

    lab.tell("signal", &["KILL"]);
    let (code, endpoint) = report(&lab);
    assert_eq!(
        (code, endpoint["verdict"].as_str()),
        (3, Some("refused")),
        "{endpoint:#}"
    );
    lab.tell("restart", &[]);
    assert_eq!(report(&lab).0, 0);
}

#[test]
fn a_healthy_runtime_behind_a_hung_dockershim_is_found() {
    let Some(lab) = Lab::up(&["--pods", "1"]) else {
        return;
    };
    // Inside the node, where the well-known paths lead to the lab: a dockershim that accepts and never answers.
    let run = lab.dir().join("node/run");
    let dockershim = UnixListener::bind(run.join("dockershim.sock")).unwrap();
    let output = lab
        .inside(env!("CARGO_BIN_EXE_criscope"))
        .args(["endpoints", "-o", "json"])
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let endpoints = document["endpoints"].as_array().unwrap();
    assert_eq!(endpoints[0]["verdict"], "hung", "{document:#}");
    let chosen = endpoints.iter().find(|e| e["chosen"] == true).unwrap();
    assert!(
        chosen["endpoint"]
            .as_str()
            .unwrap()
            .ends_with("/run/containerd/containerd.sock"),
        "{document:#}"
    );
    let output = lab
        .inside(env!("CARGO_BIN_EXE_criscope"))
        .args(["pods", "-q"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    drop(dockershim);
}
