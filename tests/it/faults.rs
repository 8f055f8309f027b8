//! Every command in every situation that an endpoint can be in: it ends by itself and in time, with one clear sentence
//! and the right exit code, and leaves nothing behind.
//!
//! Commands come from the parser, so that a new one cannot be forgotten: its required arguments are made up by their
//! names.

pub mod commands;
mod situations;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use commands::Line;
use situations::{Situation, situations};

/// The deadline that every run is given.
const DEADLINE: &str = "300ms";

/// A run that is not over by then hangs. It is far from what any of them takes.
const HANGS: Duration = Duration::from_secs(60);

/// Runs at the same time; nearly all of them only wait.
const AT_ONCE: usize = 12;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit code; none where it was killed, by us or by a signal.
    pub code: Option<i32>,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it said.
    pub stderr: String,
}

/// Runs a command line against an endpoint, with a temporary directory of its own.
fn run(line: &Line, endpoint: &str, scratch: &Path) -> Outcome {
    std::fs::create_dir_all(scratch.join("tmp")).unwrap();
    std::fs::create_dir_all(scratch.join("home")).unwrap();
    let output = |name: &str| std::fs::File::create(scratch.join(name)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_criscope"))
        .args(["-t", DEADLINE])
        .args(line.words(scratch))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TZ", "UTC")
        .env("HOME", scratch.join("home"))
        .env("TMPDIR", scratch.join("tmp"))
        .env("CRI_CONFIG_FILE", "/dev/null")
        .env("CONTAINER_RUNTIME_ENDPOINT", endpoint)
        .current_dir(scratch.join("home"))
        .stdin(Stdio::null())
        .stdout(output("stdout"))
        .stderr(output("stderr"))
        .spawn()
        .unwrap();
    let began = Instant::now();
    let code = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if began.elapsed() > HANGS => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let read = |name: &str| std::fs::read(scratch.join(name)).unwrap();
    Outcome {
        code,
        stdout: read("stdout"),
        stderr: String::from_utf8_lossy(&read("stderr")).into_owned(),
    }
}

/// What is wrong with an outcome, in words; nothing if all is well.
fn wrong(line: &Line, situation: &Situation, outcome: &Outcome, scratch: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let errors = outcome
        .stderr
        .lines()
        .filter(|it| it.starts_with("error: "))
        .count();
    match outcome.code {
        None => wrong.push("it hung or died of a signal".to_owned()),
        Some(0) if situation.may_succeed || line.needs_no_runtime() => {}
        Some(0) => wrong.push("it reported success".to_owned()),
        Some(1 | 3) if line.tells_in_its_report() => {}
        Some(1..=3 | 125) if errors == 1 => {}
        Some(1..=3 | 125) => wrong.push(format!("it gave {errors} errors instead of one")),
        Some(code) => wrong.push(format!("exit code {code}")),
    }
    if outcome.code == Some(2) && !line.needs_no_runtime() {
        wrong.push("the made-up arguments are not accepted: see faults/commands.rs".to_owned());
    }
    if outcome.stderr.contains("panicked") || outcome.stderr.contains("RUST_BACKTRACE") {
        wrong.push("it panicked".to_owned());
    }
    for (place, what) in [("tmp", "temporary files"), ("home", "files")] {
        let left: Vec<_> = std::fs::read_dir(scratch.join(place))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        if !left.is_empty() {
            wrong.push(format!("it left {what}: {left:?}"));
        }
    }
    if wrong.is_empty() {
        return wrong;
    }
    let text = String::from_utf8_lossy(&outcome.stdout);
    let begin: String = text.chars().take(300).collect();
    wrong.push(format!("  {outcome:?}", outcome = outcome.stderr.trim()));
    wrong.push(format!("  {begin:?}"));
    wrong
}

#[test]
fn every_command_survives_every_situation() {
    let lines = commands::lines();
    let situations = situations();
    let mut work: Vec<(usize, usize)> = Vec::new();
    for (situation, there) in situations.iter().enumerate() {
        let endless = |line: &usize| there.is_served() && lines[*line].goes_on();
        work.extend(
            (0..lines.len())
                .filter(|line| !endless(line))
                .map(|line| (situation, line)),
        );
    }
    // Taken from the end: the last situations are the slow ones.
    let (work, faults) = (Mutex::new(work), Mutex::new(Vec::new()));
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((at, which)) = work.lock().unwrap().pop() else {
                        return;
                    };
                    let (situation, line) = (&situations[at], &lines[which]);
                    let scratch = directory.path().join(format!("{at}-{which}"));
                    std::fs::create_dir(&scratch).unwrap();
                    let place = situation.bring_about();
                    let outcome = run(line, &place.endpoint(), &scratch);
                    let found = wrong(line, situation, &outcome, &scratch);
                    if !found.is_empty() {
                        let title = format!("{line} where {}:", situation.name);
                        faults
                            .lock()
                            .unwrap()
                            .push([vec![title], found].concat().join("\n  "));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(
        faults.is_empty(),
        "{} of {} runs went wrong\n\n{}",
        faults.len(),
        lines.len() * situations.len(),
        faults.join("\n\n")
    );
}
