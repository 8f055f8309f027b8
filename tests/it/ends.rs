//! How every command ends when its output has nowhere to go, and when it is told to end.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use criscope::fake::{Situation, Socket};
use rustix::process::{Pid, Signal, kill_process};

use crate::faults::commands::{self, Line};
use crate::support::small;

/// A run that is not over by then hangs.
const HANGS: Duration = Duration::from_secs(60);

fn command(line: &Line, endpoint: &str, scratch: &std::path::Path, deadline: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_criscope"));
    command
        .args(["-t", deadline])
        .args(line.words(scratch))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CRI_CONFIG_FILE", "/dev/null")
        .env("CONTAINER_RUNTIME_ENDPOINT", endpoint)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// The exit code and what was said; no code where it hung.
fn end(mut child: Child) -> (Option<i32>, String) {
    let began = Instant::now();
    let code = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if began.elapsed() > HANGS => {
                let _ = child.kill();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let stderr = child.wait_with_output().unwrap().stderr;
    (code, String::from_utf8_lossy(&stderr).into_owned())
}

/// Commands that look and change nothing, so that they can be run again.
fn looking() -> impl Iterator<Item = Line> {
    const LOOKING: &[&str] = &[
        "endpoints",
        "version",
        "info",
        "pods",
        "ps",
        "images",
        "imagefsinfo",
        "doctor",
        "explain",
        "stats",
        "statsp",
        "registry route",
        "completion",
    ];
    commands::lines()
        .into_iter()
        .filter(|line| LOOKING.contains(&line.name().as_str()))
}

#[test]
fn a_full_disk_is_a_failure_and_a_closed_pipe_is_none() {
    let node = small::node();
    let scratch = tempfile::tempdir().unwrap();
    for line in looking() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let child = command(&line, &node.endpoint(), scratch.path(), "5s")
            .stdout(full)
            .spawn()
            .unwrap();
        let (code, stderr) = end(child);
        assert_eq!(code, Some(1), "{line}: {stderr}");
        assert!(
            stderr.contains("error: cannot write the output"),
            "{line}: {stderr}"
        );

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = command(&line, &node.endpoint(), scratch.path(), "5s")
            .stdout(writer)
            .spawn()
            .unwrap();
        let (code, stderr) = end(child);
        assert!(
            !stderr.contains("error:") && !stderr.contains("panicked"),
            "{line}: {stderr}"
        );
        assert_eq!(code, Some(0), "{line}: {stderr}");
    }
}

#[test]
fn a_command_that_waits_ends_when_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let lines = commands::lines();
    let waiting: Vec<&Line> = lines
        .iter()
        .filter(|line| !line.needs_no_runtime())
        .collect();
    std::thread::scope(|scope| {
        for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            for (at, part) in waiting.chunks(waiting.len().div_ceil(4)).enumerate() {
                let scratch = directory.path().join(format!("{expected}-{at}"));
                std::fs::create_dir(&scratch).unwrap();
                scope.spawn(move || {
                    for line in part {
                        tell(line, &scratch, signal, expected);
                    }
                });
            }
        }
    });
}

/// Starts a command against a runtime that is silent, and tells it to end once it waits.
fn tell(line: &Line, scratch: &std::path::Path, signal: Signal, expected: i32) {
    let socket = Socket::start(Situation::Silent).unwrap();
    let mut child = command(line, &socket.endpoint(), scratch, "50s")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while socket.accepted() == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let running = child.try_wait().unwrap().is_none();
    if running {
        kill_process(pid, signal).unwrap();
    }
    let (code, stderr) = end(child);
    assert!(!stderr.contains("panicked"), "{line}: {stderr}");
    assert!(running, "{line} did not wait: {code:?} {stderr}");
    assert_eq!(code, Some(expected), "{line}: {stderr}");
}

/// How long a process has computed, in ticks of the clock.
fn computed(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let rest = stat.rsplit(") ").next().unwrap();
    rest.split(' ').nth(11).unwrap().parse().unwrap()
}

#[test]
fn a_command_that_computes_or_cannot_write_ends_when_it_is_told_to() {
    let node = small::node();
    // Five containers: loops in loops that take days.
    let depth = 20;
    let template = format!(
        "{}{}",
        "{{range $.containers}}".repeat(depth),
        "{{end}}".repeat(depth)
    );
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let start = |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_criscope"));
            command
                .args(words)
                .env("CRI_CONFIG_FILE", "/dev/null")
                .env("CONTAINER_RUNTIME_ENDPOINT", node.endpoint())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let tell = |child: &Child| {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
            kill_process(pid, signal).unwrap();
        };
        let child = start(&["ps", "-a", "-o", "go-template", "--template", &template]);
        let before = node.calls().len();
        assert!(node.called_within("ListContainers", 1, HANGS), "{before}");
        let began = computed(&child);
        while computed(&child) < began + 30 {
            std::thread::sleep(Duration::from_millis(2));
        }
        tell(&child);
        let (code, stderr) = end(child);
        assert_eq!(code, Some(expected), "{stderr}");

        // More than a pipe holds, and nobody reads: data in one piece, and data as it comes.
        let depth = 7;
        let template = format!(
            "{}x{}",
            "{{range $.containers}}".repeat(depth),
            "{{end}}".repeat(depth)
        );
        for words in [
            &["completion", "bash"][..],
            &["ps", "-a", "-o", "go-template", "--template", &template],
        ] {
            let mut child = start(words);
            let stdout = child.stdout.take().unwrap();
            let asleep = || {
                let wchan = std::fs::read_to_string(format!("/proc/{}/wchan", child.id()));
                wchan.is_ok_and(|it| it.contains("pipe_w"))
            };
            while !asleep() {
                std::thread::sleep(Duration::from_millis(2));
            }
            tell(&child);
            let (code, stderr) = end(child);
            assert_eq!(code, Some(expected), "{words:?}: {stderr}");
            drop(stdout);
        }
        node.forget_calls();
    }
}
