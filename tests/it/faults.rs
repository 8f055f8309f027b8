//! Every command in every situation that an endpoint can be in: it ends by itself and in time, with one clear sentence
//! and the right exit code, and leaves nothing behind.
//!
//! Commands come from the parser, so that a new one cannot be forgotten: its required arguments are made up by their
//! names.

pub mod commands;
mod document;
mod full;
mod hostile;
mod killed;
mod situations;

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use commands::Line;
use situations::{Place, Situation, situations};

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
    /// How long it ran.
    pub took: Duration,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it said.
    pub stderr: String,
}

/// Somebody who is not root.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The binary at a place that others than root can reach.
fn for_others() -> PathBuf {
    static COPY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let directory = COPY.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        open_to_all(directory.path());
        // By a process of its own: a file that this one has open for writing could be handed on to a child that is just
        // being started, and cannot be run as long as that has it.
        let copied = Command::new("cp")
            .args([env!("CARGO_BIN_EXE_criscope"), "criscope"])
            .current_dir(directory.path())
            .status();
        assert!(copied.unwrap().success());
        directory
    });
    directory.path().join("criscope")
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Runs a command line against an endpoint, with a temporary directory of its own.
fn run(line: &Line, place: &Place, situation: &Situation, scratch: &Path, t: &str) -> Outcome {
    std::fs::create_dir_all(scratch.join("tmp")).unwrap();
    std::fs::create_dir_all(scratch.join("home")).unwrap();
    let mut command = match situation.is_for_others() {
        true => {
            let words = line.words(scratch);
            for owned in [scratch, &scratch.join("tmp"), &scratch.join("home")] {
                chown(owned, Some(NOBODY), Some(NOBODY)).unwrap();
            }
            let mut command = Command::new(for_others());
            command.uid(NOBODY).gid(NOBODY).args(["-t", t]).args(words);
            command
        }
        false => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_criscope"));
            command.args(["-t", t]).args(line.words(scratch));
            command
        }
    };
    command
        .env("HOME", scratch.join("home"))
        .env("TMPDIR", scratch.join("tmp"));
    ended(command, &place.endpoint(), scratch, HANGS)
}

/// Runs a command to its end, or kills it.
fn ended(mut command: Command, endpoint: &str, scratch: &Path, patience: Duration) -> Outcome {
    let output = |name: &str| std::fs::File::create(scratch.join(name)).unwrap();
    let home = scratch.join("home");
    let variables: Vec<_> = command
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
        .collect();
    command.env_clear();
    for (name, value) in variables {
        command.env(name, value.unwrap_or_default());
    }
    let mut child = command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TZ", "UTC")
        .env("CRI_CONFIG_FILE", "/dev/null")
        .env("CONTAINER_RUNTIME_ENDPOINT", endpoint)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(output("stdout"))
        .stderr(output("stderr"))
        .spawn()
        .unwrap();
    let began = Instant::now();
    let code = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if began.elapsed() > patience => {
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
        took: began.elapsed(),
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
    let controls = |byte: &u8| byte.is_ascii_control() && *byte != b'\n' && *byte != b'\t';
    let passes_bytes_on = ["exec", "attach", "logs"].contains(&line.name().as_str());
    if outcome.stdout.iter().any(controls) && !passes_bytes_on
        || outcome.stderr.bytes().any(|byte| controls(&byte))
    {
        wrong.push("it wrote control characters".to_owned());
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
    let mut situations = situations();
    // Who is not root is nobody else, either.
    situations.retain(|situation| is_root() || !situation.is_for_others());
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
    open_to_all(directory.path());
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
                    let outcome = run(line, &place, situation, &scratch, DEADLINE);
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
