//! `pulls` on real containerd: a layer that comes half and then not is seen with its bytes, and after a while as stalled.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use criscope::fake::registry::{Fault, Image, On, Registry};
use serde_json::Value;

use crate::support::criscope;
use crate::support::lab::Lab;

/// A pull that is ended when the test is.
struct Pull(std::process::Child);

impl Drop for Pull {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_stalled_layer(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "0"]) else {
        return;
    };
    let registry = Registry::builder()
        .image("lab/big", "1", &Image::sized("slow", 4 << 20))
        .start()
        .unwrap();
    // The configuration comes first and has to come; without it no layer is asked for.
    registry.fault_times(On::Blob, Fault::Late(Duration::ZERO), 1);
    registry.fault(On::Blob, Fault::HangInBody);
    let directory = std::path::Path::new(lab.text("/certsD")).join("slow.lab.test");
    fs::create_dir_all(&directory).unwrap();
    fs::write(
        directory.join("hosts.toml"),
        format!("server = \"{0}\"\n[host.\"{0}\"]\n", registry.url()),
    )
    .unwrap();

    let none: Value = criscope(["pulls", "-o", "json"])
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .json();
    assert_eq!(none["kind"], "Pulls");
    assert_eq!(none["pulls"].as_array().map(Vec::len), Some(0), "{none:#}");

    let _pull = Pull(
        Command::new(env!("CARGO_BIN_EXE_criscope"))
            .args(["pull", "slow.lab.test/lab/big:1"])
            .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut looks = criscope(["pulls", "-w", "--interval", "200ms", "-o", "ndjson"])
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .spawn();
    loop {
        let line = looks.line().expect("it goes on until it is interrupted");
        let look: Value = serde_json::from_str(&line).unwrap();
        let pulls = look["pulls"].as_array().unwrap();
        let on_its_way = |pull: &&Value| {
            pull["bytes"].as_u64().unwrap() > 0 && pull["bytes"].as_u64() < pull["total"].as_u64()
        };
        let Some(pull) = pulls.iter().find(on_its_way) else {
            continue;
        };
        assert_eq!(pull["namespace"], "k8s.io", "{look:#}");
        if pull["stalledSince"].is_i64() {
            assert_eq!(pull["rate"], 0, "{look:#}");
            break;
        }
    }
    looks.interrupt();
    assert_eq!(looks.wait().code, 130);

    let text = criscope(["pulls"])
        .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
        .stdout();
    assert!(
        text.contains("stalled since") && text.contains("MB of "),
        "{text}"
    );
}

#[test]
fn a_layer_that_stalls_on_containerd_1_6() {
    a_stalled_layer("1.6");
}

#[test]
fn a_layer_that_stalls_on_containerd_2() {
    a_stalled_layer("2");
}

#[test]
fn another_runtime_does_not_tell() {
    let node = criscope::fake::Node::builder()
        .world(criscope::fake::World::empty("cri-o", "1.33.0"))
        .runtime("cri-o", "1.33.0")
        .start()
        .unwrap();
    let outcome = criscope(["pulls"]).on(&node).outcome();
    assert_ne!(outcome.code, 0, "{outcome}");
    assert!(outcome.stderr.contains("only containerd"), "{outcome}");
}
