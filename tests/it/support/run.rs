//! The binary, run once: its arguments, its environment, and what came out as one text.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use criscope::fake::Node;

/// A run that is being prepared.
pub struct Run {
    command: Command,
    shown: Vec<(String, String)>,
    stdin: Option<Vec<u8>>,
}

/// What came out of a run.
pub struct Outcome {
    /// The exit code; a signal is a failure of the test.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

/// Runs `criscope` with these arguments, in an environment without settings.
pub fn criscope<S: AsRef<str>>(arguments: impl IntoIterator<Item = S>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_criscope"));
    command.args(
        arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned()),
    );
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    // A file that is not there, lest the settings of this machine play along: empty, so that nothing is set.
    command.env("CRI_CONFIG_FILE", "/dev/null");
    Run {
        command,
        shown: Vec::new(),
        stdin: None,
    }
}

impl Run {
    /// Asks a fake node.
    pub fn on(self, node: &Node) -> Self {
        let endpoint = node.endpoint();
        let mut run = self.env("CONTAINER_RUNTIME_ENDPOINT", &endpoint);
        run.shown.push((endpoint, "ENDPOINT".to_owned()));
        run
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    /// Gives it something to read on stdin.
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// Shows a text that differs from run to run as another.
    #[allow(dead_code, reason = "for tests whose output names paths")]
    pub fn showing(mut self, text: impl fmt::Display, as_text: &str) -> Self {
        self.shown.push((text.to_string(), as_text.to_owned()));
        self
    }

    /// Runs it.
    pub fn outcome(mut self) -> Outcome {
        let Output {
            status,
            stdout,
            stderr,
        } = self.output();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("criscope writes UTF-8");
            self.shown
                .iter()
                .fold(text, |text, (from, to)| text.replace(from, to))
        };
        let (stdout, stderr) = (text(stdout), text(stderr));
        let code = status
            .code()
            .unwrap_or_else(|| panic!("criscope died of {status}\n{stderr}"));
        Outcome {
            code,
            stdout,
            stderr,
        }
    }

    fn output(&mut self) -> Output {
        let Some(stdin) = self.stdin.take() else {
            return self.command.output().expect("the binary runs");
        };
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut pipe = child.stdin.take().expect("stdin is a pipe");
        // The binary may end without having read it all.
        let _ = pipe.write_all(&stdin);
        drop(pipe);
        child.wait_with_output().expect("the binary runs")
    }

    /// Runs it, expecting success, and returns what it wrote to stdout.
    #[track_caller]
    pub fn stdout(self) -> String {
        let outcome = self.outcome();
        assert_eq!(outcome.code, 0, "{outcome}");
        outcome.stdout
    }

    /// Runs it, expecting success, and returns the JSON that it wrote.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let text = self.stdout();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("not JSON: {error}\n{text}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code: {}", self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}
