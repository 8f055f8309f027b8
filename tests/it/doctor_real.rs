//! `criscope doctor` on real nodes of every generation, whole and broken: what broke it is the first finding.

use std::process::Command;

use serde_json::Value;

use crate::support::lab::Lab;

const GENERATIONS: &[&str] = &["1.6", "1.7", "2"];

fn doctor(lab: &Lab, more: &[&str]) -> (i32, Vec<Value>) {
    // The kernel and the kubelet are those of the machine that tests, and so are the shims of labs beside this one.
    let others = "cgroup,cni,kernel,storage,kubelet,docker-leftover,security,shim-orphans";
    let mut arguments = vec!["doctor", "-o", "json", "--skip", others];
    arguments.extend(more);
    let output = lab.criscope(&arguments).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {said}\n{lab}"));
    let findings = report["findings"].as_array().expect("findings").clone();
    (output.status.code().unwrap_or(-1), findings)
}

fn codes(findings: &[Value]) -> Vec<&str> {
    let codes = findings.iter().map(|finding| finding["code"].as_str());
    codes.map(|code| code.expect("a code")).collect()
}

#[track_caller]
fn first(lab: &Lab, code: &str) -> Value {
    let (_, findings) = doctor(lab, &[]);
    assert_eq!(
        codes(&findings).first(),
        Some(&code),
        "{}: {findings:#?}",
        lab.version()
    );
    findings[0].clone()
}

/// Replaces a text in containerd's configuration.
fn configure(lab: &Lab, from: &str, to: &str) {
    let path = lab.host_root().join("etc/containerd/config.toml");
    let text = std::fs::read_to_string(&path).expect("the configuration can be read");
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("it can be written");
}

#[test]
fn a_plugin_that_is_switched_off_is_told_at_its_line() {
    for generation in GENERATIONS {
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
        let found = first(&lab, "containerd-cri-disabled");
        assert_eq!(
            found["source"]["path"], "/etc/containerd/config.toml",
            "{found:#}"
        );
        assert!(found["since"].is_string(), "{found:#}");
    }
}

#[test]
fn both_styles_are_told_with_the_daemons_words() {
    for generation in GENERATIONS {
        let Some(lab) = Lab::up(&["--generation", generation, "--pods", "0", "--cri", "broken"])
        else {
            return;
        };
        let found = first(&lab, "registry-style-clash");
        let says = found["runtimeSays"].as_str().expect("words");
        // What is foretold has no such beginning.
        assert!(
            says.starts_with("invalid ") && says.contains("`mirrors` cannot be set"),
            "{says}"
        );
        assert!(!codes(&doctor(&lab, &[]).1).contains(&"cri-plugin-loaded"));
    }
}

#[test]
fn an_unknown_key_is_told_at_its_line() {
    for generation in GENERATIONS {
        let Some(lab) = Lab::up(&["--generation", generation, "--pods", "0"]) else {
            return;
        };
        assert_eq!(
            doctor(&lab, &[]),
            (0, Vec::new()),
            "{}: healthy",
            lab.version()
        );
        configure(
            &lab,
            "restrict_oom_score_adj",
            "restrict_oom_score_adjs = true\n  restrict_oom_score_adj",
        );
        let found = first(&lab, "containerd-unknown-key");
        assert!(found["source"]["line"].is_u64(), "{found:#}");
    }
}

#[test]
fn a_file_that_is_newer_than_the_daemon_is_not_in_force() {
    for generation in GENERATIONS {
        let Some(lab) = Lab::up(&["--generation", generation, "--pods", "0"]) else {
            return;
        };
        let path = lab.host_root().join("etc/containerd/config.toml");
        let file = std::fs::File::open(&path).expect("there is a configuration");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        configure(
            &lab,
            "restrict_oom_score_adj = true",
            "restrict_oom_score_adj = false",
        );
        file.set_modified(later).expect("a time can be set");
        let found = first(&lab, "containerd-config-newer");
        assert!(
            found["evidence"]
                .to_string()
                .contains("restrict_oom_score_adj"),
            "{found:#}"
        );
        lab.tell("restart", &[]);
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .expect("a time can be set");
        assert_eq!(
            codes(&doctor(&lab, &[]).1),
            Vec::<&str>::new(),
            "{}",
            lab.version()
        );
        // Older, and still not what the daemon does.
        configure(
            &lab,
            "restrict_oom_score_adj = false",
            "restrict_oom_score_adj = true",
        );
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .expect("a time can be set");
        first(&lab, "containerd-effective-diff");
    }
}

#[test]
fn a_daemon_whose_program_was_replaced_is_told() {
    let Some(lab) = Lab::up(&["--generation", "1.7", "--pods", "0"]) else {
        return;
    };
    lab.tell("signal", &["KILL"]);
    let shell = "mkdir /run/old && cp /usr/bin/containerd /run/old/ && \
                 (setsid /run/old/containerd >/run/old/log 2>&1 </dev/null &) && \
                 until ctr version >/dev/null 2>&1; do :; done; rm /run/old/containerd";
    let mut inside: Command = lab.inside("sh");
    let output = inside.args(["-c", shell]).output().expect("a shell");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found = first(&lab, "runtime-binary-stale");
    assert_eq!(found["subject"], "/run/old/containerd", "{found:#}");
}

#[test]
fn a_smoke_test_starts_a_pod_and_leaves_nothing() {
    for generation in GENERATIONS {
        let Some(lab) = Lab::up(&["--generation", generation, "--pods", "1"]) else {
            return;
        };
        let pods = |lab: &Lab| {
            lab.criscope(&["pods", "-q"])
                .output()
                .expect("it runs")
                .stdout
        };
        let before = pods(&lab);
        let output = lab
            .criscope(&[
                "doctor",
                "--smoke",
                "--only",
                "cri-smoke",
                "--all",
                "-o",
                "json",
            ])
            .output()
            .expect("it runs");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        let found = &report["findings"][0];
        assert_eq!(found["status"], "pass", "{}: {report:#}", lab.version());
        let message = found["message"].as_str().expect("a sentence");
        assert!(message.contains("6 steps"), "{message}");
        assert_eq!(pods(&lab), before, "nothing is left");
        let logs = lab.host_root().join("var/log/pods");
        let names: Vec<String> = std::fs::read_dir(logs)
            .expect("logs of pods")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        assert!(
            !names.iter().any(|name| name.contains("criscope")),
            "{names:?}"
        );
    }
}
