//! A terminal for a command, by script(1), whose keys a test types.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::lab::Lab;

/// A shell line that runs in a terminal of its own.
pub struct Terminal {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What was seen so far, without carriage returns once it ended.
    pub text: String,
}

impl Terminal {
    /// Runs `criscope` with these arguments on a lab. Says `code` and its exit code when it ends; before and after it,
    /// how the terminal is set, on lines that begin with `set`.
    pub fn run(lab: &Lab, arguments: &str) -> Self {
        // Raw from the beginning: of keys that come early, some would be the terminal's own.
        let line = format!(
            "stty raw -echo rows 31 cols 97; echo set $(stty -g); {} {arguments}; code=$?; echo; echo code $code; \
             echo set $(stty -g)",
            env!("CARGO_BIN_EXE_criscope")
        );
        let mut child = Command::new("script")
            .args(["-qefc", &line, "/dev/null"])
            .env("CONTAINER_RUNTIME_ENDPOINT", lab.endpoint())
            .env("CRI_CONFIG_FILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) is there");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut terminal = Self {
            child,
            stdout,
            text: String::new(),
        };
        terminal.wait_for("set ");
        terminal
    }

    /// Reads lines until one has this in it.
    #[track_caller]
    pub fn wait_for(&mut self, word: &str) {
        while !self.text.contains(word) {
            let count = self.stdout.read_line(&mut self.text).expect("text");
            assert_ne!(count, 0, "no {word:?} in {}", self.text);
        }
    }

    /// Types these keys.
    pub fn keys(&mut self, keys: &[u8]) {
        let stdin = self.child.stdin.as_mut().expect("stdin is a pipe");
        stdin.write_all(keys).expect("somebody reads");
    }

    /// The process of criscope.
    pub fn criscope(&self) -> rustix::process::Pid {
        let mut pid = self.child.id();
        // script, its shell, criscope.
        for _ in 0..2 {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let children = std::fs::read_to_string(path).expect("children");
            pid = children.trim().parse().expect("one child");
        }
        let pid = i32::try_from(pid).expect("a small number");
        rustix::process::Pid::from_raw(pid).expect("not zero")
    }

    /// Waits for the end. Everything that was seen; it is an error of the test if the terminal is not as it was.
    #[track_caller]
    pub fn end(mut self) -> String {
        self.stdout.read_to_string(&mut self.text).expect("text");
        self.child.wait().expect("it ends");
        let text = self.text.replace('\r', "");
        let set: Vec<&str> = text.lines().filter(|l| l.starts_with("set ")).collect();
        assert!(set.len() == 2 && set[0] == set[1], "{text}");
        text
    }
}
