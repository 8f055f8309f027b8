//! A disk that is full: every command that writes a file says which, fails, and leaves the file as it was.

use std::path::Path;
use std::process::{Command, Output};

use super::{commands, is_root};
use crate::support::small;

/// Flags that name what is written, with the command and its arguments.
const WRITES: &[&str] = &[
    "check -o json --output-file DISK/new",
    "check --output-file DISK/old",
    "check --save-facts DISK/new",
    "check --history DISK/history",
    "doctor --save-facts DISK/new",
    "doctor --history DISK/history",
    "preflight --to containerd@2.1.4 --baseline DISK/new",
    "why web-1 --save-facts DISK/new",
    "--config DISK/old config --set timeout=5",
    "--config DISK/new config --set timeout=5",
    "registry convert --write --as containerd@1.7.27 --host-root DISK/node",
];

/// Runs a line where `disk` is a file system with nothing left on it, in a mount namespace of its own.
fn run(line: &str, disk: &Path, endpoint: &str) -> Output {
    let mount = "mount -t tmpfs -o size=64k none \"$0\" && cd \"$0\" && echo 'timeout: 2' > old && mkdir -p history node/etc/containerd \
                 && printf 'version = 2\\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\\nendpoint = [\"https://m.invalid\"]\\n' \
                 > node/etc/containerd/config.toml && find . | sort | xargs ls -ld > /dev/null; cat /dev/zero > filler 2>/dev/null; find . -type f ! -name filler | sort | xargs sha256sum > \"$0.before\"; ";
    let then = "; code=$?; find . -type f ! -name filler | sort | xargs sha256sum > \"$0.after\"; exit $code";
    let line = line.replace("DISK", "$0");
    let script = format!(
        "{mount} {} -t 5s {line}{then}",
        env!("CARGO_BIN_EXE_criscope")
    );
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .arg(disk)
        .env("CRI_CONFIG_FILE", "/dev/null")
        .env("CONTAINER_RUNTIME_ENDPOINT", endpoint)
        .output()
        .unwrap()
}

#[test]
fn a_full_disk_is_named_and_nothing_is_left_on_it() {
    if !is_root() {
        // Nobody else can mount one.
        return;
    }
    let node = small::node();
    let scratch = tempfile::tempdir().unwrap();
    for (at, line) in WRITES.iter().enumerate() {
        let disk = scratch.path().join(at.to_string());
        std::fs::create_dir(&disk).unwrap();
        let output = run(line, &disk, &node.endpoint());
        let said = String::from_utf8_lossy(&output.stderr);
        // A timer has to be able to tell this from a node where something fails.
        let expected = if line.contains("--output-file") { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{line}: {said}");
        let errors = said.lines().filter(|it| it.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{line}: {said}");
        assert!(said.contains("No space left on device"), "{line}: {said}");
        // What is below a root is named as it is there.
        let named = said.contains(disk.to_str().unwrap()) || said.contains("/etc/containerd/");
        assert!(named, "{line}: {said}");
        let list = |which: &str| {
            let path = format!("{}.{which}", disk.display());
            std::fs::read_to_string(path).unwrap()
        };
        assert_eq!(list("before"), list("after"), "{line}");
    }
}

/// So that a new flag is not forgotten.
#[test]
fn every_flag_that_writes_a_file_is_tried() {
    const READS: &[&str] = &["--config", "--facts", "--policy", "--host-root", "--export"];
    for line in commands::lines() {
        for name in ["output-file", "save-facts", "history", "baseline", "write"] {
            let flag = format!("--{name}");
            if line.flag(name).is_some() && !READS.contains(&&*flag) {
                let tried = WRITES.iter().any(|it| it.contains(&flag));
                assert!(tried, "{line} {flag}");
            }
        }
    }
}
