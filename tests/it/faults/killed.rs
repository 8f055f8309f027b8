//! A daemon that is killed and started again in the middle of a command, for real: the command says so in one sentence,
//! ends with the right code or goes on with the new daemon, and leaves nothing behind.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::lab::Lab;
use crate::support::made::{Made, run};
use crate::support::terminal::Terminal;

/// A run that is not over by then hangs.
const HANGS: Duration = Duration::from_secs(60);

/// A command in the middle of which something happens.
struct Middle {
    child: Child,
    stdout: BufReader<ChildStdout>,
    line: String,
}

impl Middle {
    fn begin(lab: &Lab, arguments: &[&str]) -> Self {
        let mut command: Command = lab.criscope(arguments);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            line: arguments.join(" "),
        }
    }

    /// Waits until it has written something.
    fn writes(&mut self) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{} wrote nothing", self.line);
    }

    /// Waits for its end; the exit code and what it said.
    fn ended(mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < HANGS, "{} hangs", self.line);
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }

    fn interrupted(self) -> (Option<i32>, String) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).unwrap();
        self.ended()
    }
}

#[track_caller]
fn fails(line: &str, (code, said): &(Option<i32>, String), expected: &[i32]) {
    assert!(
        code.is_some_and(|it| expected.contains(&it)),
        "{line}: {code:?} {said}"
    );
    let errors = said.lines().filter(|it| it.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{line}: {said}");
    assert!(!said.contains("panicked"), "{line}: {said}");
}

/// Waits until the daemon has written this into its log.
fn logged(lab: &Lab, word: &str) {
    let began = Instant::now();
    while !std::fs::read_to_string(lab.text("/log")).is_ok_and(|log| log.contains(word)) {
        assert!(began.elapsed() < HANGS, "{word:?} is not logged");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn everything(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "3"]) else {
        return;
    };
    let id = &*lab.running_container();
    let pods = lab.document["pods"].as_array().unwrap();
    let name = |pod: &serde_json::Value| pod["name"].as_str().unwrap().to_owned();
    let web = pods.iter().map(name).find(|name| name.starts_with("web"));
    let web = web.expect("a pod serves HTTP");

    // What waits for the daemon, or is in a conversation with it, ends.
    for arguments in [
        &["pull", "hang.lab.test/lab/app:1"][..],
        &["test-pull", "hang.lab.test/lab/app:2"],
    ] {
        let middle = Middle::begin(&lab, arguments);
        logged(&lab, arguments[1]);
        lab.tell("signal", &["KILL"]);
        let ended = middle.ended();
        // A test of a pull has a report for its failure.
        match arguments[0] {
            "pull" => fails(&arguments.join(" "), &ended, &[1, 3]),
            _ => assert!(matches!(ended.0, Some(1 | 3)), "{ended:?}"),
        }
        lab.tell("restart", &[]);
    }
    let made = Made::new(&lab, "talk");
    run(lab.criscope(&["runp", &made.pod()]));
    let talks = made.start("talks", 0, "while true; do echo ready; sleep 0.1; done");
    let lines = [
        vec!["exec", id, "sh", "-c", "echo ready; sleep 1000"],
        vec!["attach", &talks],
        vec!["port-forward", &*web, "0:8080"],
        vec!["ps", "-w"],
        vec!["stats", "-w"],
        vec!["events"],
    ];
    for arguments in &lines {
        let line = arguments.join(" ");
        let mut middle = Middle::begin(&lab, arguments);
        match arguments[0] {
            "events" => {}
            _ => middle.writes(),
        }
        lab.tell("signal", &["KILL"]);
        match arguments[0] {
            "exec" => fails(&line, &middle.ended(), &[125]),
            "attach" => fails(&line, &middle.ended(), &[1]),
            "port-forward" | "events" => {
                // It goes on: the next connection, line or event may find the next daemon.
                lab.tell("restart", &[]);
                let (code, said) = middle.interrupted();
                assert_eq!(code, Some(130), "{line}: {said}");
            }
            _ => fails(&line, &middle.ended(), &[3]),
        }
        lab.tell("restart", &[]);
    }

    let script = "echo ready; sleep 1000";
    let line = format!("exec -it {id} sh -c '{script}'");
    let mut terminal = Terminal::run(&lab, &line);
    terminal.wait_for("ready");
    lab.tell("signal", &["KILL"]);
    // `end` looks at how the terminal is set.
    let text = terminal.end();
    assert!(text.contains("code 125"), "{text}");
    lab.tell("restart", &[]);
    // Nothing is left of what was pulled for a test.
    let names = lab.criscope(&["images"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&names.stdout).contains("hang.lab.test"));
}

#[test]
fn containerd_1_7_is_killed_in_the_middle() {
    everything("1.7");
}

#[test]
fn containerd_2_is_killed_in_the_middle() {
    everything("2");
}
