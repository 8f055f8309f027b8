//! `exec` on real runtimes: exit codes, both streams, ten megabytes both ways, terminals, and a daemon that dies.

use std::io::Write;

use std::process::{Command, Output, Stdio};

use rustix::process::{Signal, kill_process};

use crate::support::lab::Lab;
use crate::support::terminal::Terminal;

/// What came out of a run.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

#[track_caller]
fn run(lab: &Lab, arguments: &[&str]) -> Ran {
    let mut command = lab.criscope(arguments);
    command.stdin(Stdio::null()).output().unwrap().into()
}

/// Runs it with `input`, written while the output is read.
#[track_caller]
fn feed(mut command: Command, input: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap_or_default());
        child.wait_with_output().unwrap()
    })
}

#[track_caller]
fn everything(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "3"]) else {
        return;
    };
    let id = &*lab.running_container();
    exit_codes(&lab, id);
    ten_megabytes(&lab, id);
    many_containers(&lab);
    terminals(&lab, id);
    a_killed_daemon(&lab, id);
}

fn exit_codes(lab: &Lab, id: &str) {
    let script = "echo out; echo err >&2; exit 7";
    for how in [&[][..], &["-s"], &["-r", "spdy"], &["-r", "websocket"]] {
        let ran = run(lab, &[&["exec"], how, &[id, "sh", "-c", script]].concat());
        let found = (ran.code, &*ran.stdout, &*ran.stderr);
        assert_eq!(found, (Some(7), "out\n", "err\n"), "{how:?}");
        let ran = run(lab, &[&["exec"], how, &[id, "nosuch"]].concat());
        assert_eq!(ran.code, Some(127), "{how:?}: {}", ran.stderr);
        let ran = run(lab, &[&["exec"], how, &[id, "/etc"]].concat());
        assert_eq!(ran.code, Some(126), "{how:?}: {}", ran.stderr);
        let ran = run(
            lab,
            &[&["exec", "--timeout", "1"], how, &[id, "sleep", "60"]].concat(),
        );
        assert_eq!(ran.code, Some(124), "{how:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("did not end within 1s"),
            "{}",
            ran.stderr
        );
    }
    let ran = run(lab, &["exec", "nosuch", "true"]);
    assert_eq!(ran.code, Some(125), "{}", ran.stderr);
    assert!(ran.stderr.contains("nosuch"), "{}", ran.stderr);
    let ran = run(lab, &["exec", id]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    // What stands behind the container belongs to the command.
    let ran = run(lab, &["exec", id, "echo", "-s", "--debug", "-h"]);
    assert_eq!(ran.stdout, "-s --debug -h\n");
    let ran = run(lab, &["exec", id, "--", "echo", "--"]);
    assert_eq!(ran.stdout, "--\n");
}

fn ten_megabytes(lab: &Lab, id: &str) {
    let mut state = 1u32;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        // xorshift: nothing that could be repeated by mistake and go unnoticed.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    })
    .take(2_500_000)
    .flatten()
    .collect();
    let command = lab.criscope(&["--debug", "exec", "-i", id, "cat"]);
    let output = feed(command, &bytes);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        output.stdout == bytes,
        "{} bytes came back",
        output.stdout.len()
    );
    // WebSocket in v4 cannot tell the end: it was offered v5 and said no.
    assert!(said.contains("SPDY/3.1"), "{said}");
    let forced = feed(
        lab.criscope(&["exec", "-i", "-r", "spdy", id, "cat"]),
        &bytes,
    );
    assert_eq!(forced.status.code(), Some(0), "{forced:?}");
    assert!(forced.stdout == bytes, "{} bytes", forced.stdout.len());
    // Forced, WebSocket carries them too; where it cannot tell the end, the command is told how much to read.
    let count = bytes.len().to_string();
    let forced = feed(
        lab.criscope(&["exec", "-i", "-r", "websocket", id, "head", "-c", &count]),
        &bytes,
    );
    assert_eq!(forced.status.code(), Some(0), "{:?}", forced.stderr);
    assert!(forced.stdout == bytes, "{} bytes", forced.stdout.len());
    // Input that nobody reads is no fault. As much as the connection holds: of more, the server may wait for ever to hand
    // it on, and then says nothing any more (docs/status.md).
    let output = feed(
        lab.criscope(&["exec", "-i", id, "true"]),
        &bytes[..32 * 1024],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

fn many_containers(lab: &Lab) {
    for how in [&[][..], &["-x"], &["-s"], &["-x", "-s"]] {
        let ran = run(
            lab,
            &[&["exec", "--name", "."], how, &["echo", "hi"]].concat(),
        );
        assert_eq!(ran.code, Some(0), "{how:?}: {}", ran.stderr);
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!(lines.len() % 2, 0, "{lines:?}");
        assert!(lines.len() >= 4, "{lines:?}");
        for pair in lines.chunks(2) {
            assert!(pair[0].ends_with(':') && pair[1] == "hi", "{lines:?}");
        }
    }
    let ran = run(
        lab,
        &[
            "exec",
            "--name",
            ".",
            "-q",
            "-x",
            "sh",
            "-c",
            "echo hi; exit 3",
        ],
    );
    assert_eq!((ran.code, ran.stdout.contains(':')), (Some(3), false));
    let ran = run(
        lab,
        &[
            "exec",
            "--name",
            ".",
            "-q",
            "-e",
            "sh",
            "-c",
            "echo hi; exit 3",
        ],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.lines().count() >= 2, "{}", ran.stdout);
    let ran = run(lab, &["exec", "--name", ".", "-i", "cat"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

fn terminals(lab: &Lab, id: &str) {
    let script = "stty size; read x; echo got $x; exit 5";
    let mut terminal = Terminal::run(lab, &format!("exec -it {id} sh -c '{script}'"));
    terminal.keys(b"word\r");
    let text = terminal.end();
    assert!(
        text.contains("\ngot word\n") && text.contains("code 5"),
        "{text}"
    );
    // A terminal with output only.
    let text = Terminal::run(lab, &format!("exec -t {id} tty")).end();
    assert!(text.contains("/dev/") && text.contains("code 0"), "{text}");
    // Detached, by the usual keys and by others.
    for (flags, keys) in [("", &b"\x10\x11"[..]), ("--detach-keys ctrl-x,q", b"\x18q")] {
        let mut terminal = Terminal::run(lab, &format!("exec -it {flags} {id} cat"));
        terminal.keys(keys);
        let text = terminal.end();
        assert!(
            text.contains("code 0") && text.contains("detached"),
            "{text}"
        );
    }
    // However it is ended, the terminal is as it was.
    for (signal, code) in [
        (Signal::TERM, "code 143"),
        (Signal::INT, "code 130"),
        (Signal::HUP, "code 129"),
    ] {
        let script = "echo ready; sleep 1000";
        let mut terminal = Terminal::run(lab, &format!("exec -it {id} sh -c '{script}'"));
        terminal.wait_for("ready");
        kill_process(terminal.criscope(), signal).unwrap();
        let text = terminal.end();
        assert!(text.contains(code), "{text}");
    }
    a_stopped_process(lab, id);
    let ran = run(lab, &["exec", "-it", id, "sh"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

/// Stopped, the terminal is the shell's; continued, it is the container's again.
fn a_stopped_process(lab: &Lab, id: &str) {
    let script = "echo ready; read x; echo got $x";
    let mut terminal = Terminal::run(lab, &format!("exec -it {id} sh -c '{script}'"));
    terminal.wait_for("ready");
    let criscope = terminal.criscope();
    let before = terminal.text.lines().find(|line| line.starts_with("set "));
    let before = before.unwrap().trim_start_matches("set ").trim().to_owned();
    let file = format!("/proc/{}/fd/0", criscope.as_raw_nonzero());
    let tty = std::fs::read_link(file).unwrap();
    let set = || {
        let output = Command::new("stty").arg("-g").arg("-F").arg(&tty).output();
        String::from_utf8(output.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    };
    let raw = set();
    assert_ne!(raw, before);
    kill_process(criscope, Signal::TSTP).unwrap();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", criscope.as_raw_nonzero()));
        let stat = stat.unwrap();
        stat.rsplit(") ").next().unwrap().chars().next()
    };
    while state() != Some('T') {
        std::thread::yield_now();
    }
    assert_eq!(set(), before);
    kill_process(criscope, Signal::CONT).unwrap();
    while set() != raw {
        std::thread::yield_now();
    }
    terminal.keys(b"word\r");
    let text = terminal.end();
    assert!(
        text.contains("got word") && text.contains("code 0"),
        "{text}"
    );
}

/// The last thing that is done to a lab.
fn a_killed_daemon(lab: &Lab, id: &str) {
    let script = "echo ready; sleep 1000";
    let mut terminal = Terminal::run(lab, &format!("exec -it {id} sh -c '{script}'"));
    terminal.wait_for("ready");
    lab.tell("signal", &["KILL"]);
    let text = terminal.end();
    assert_eq!(
        text.matches("the connection to the runtime was lost")
            .count(),
        1,
        "{text}"
    );
    assert!(text.contains("code 125"), "{text}");
}

#[test]
fn exec_on_containerd_1_6() {
    everything("1.6");
}

#[test]
fn exec_on_containerd_1_7() {
    everything("1.7");
}

#[test]
fn exec_on_containerd_2() {
    everything("2");
}
