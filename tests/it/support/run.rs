//! The binary, run once: its arguments, its environment, and what came out as one text.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

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
        let output = self.output();
        shown(&self.shown, output)
    }

    /// Starts it, to be watched, interrupted and waited for.
    pub fn spawn(mut self) -> Running {
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        Running {
            child,
            stdout: BufReader::new(stdout),
            shown: self.shown,
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

    /// Runs it, expecting this exit code, and returns the JSON that it wrote.
    #[track_caller]
    pub fn json_of(self, code: i32) -> serde_json::Value {
        let outcome = self.outcome();
        assert_eq!(outcome.code, code, "{outcome}");
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
    }

    /// Runs it, expecting success, and returns the JSON that it wrote.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let text = self.stdout();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("not JSON: {error}\n{text}"))
    }
}

/// A run that goes on. Dropping it kills it.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    shown: Vec<(String, String)>,
}

impl Running {
    /// The next line of stdout, without its end; blocks until there is one. `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.stdout.read_line(&mut line).expect("stdout is text");
        (length > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    /// What Ctrl-C does.
    pub fn interrupt(&self) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    }

    /// Waits for its end. What was read by lines is not in the outcome.
    pub fn wait(mut self) -> Outcome {
        let mut stdout = Vec::new();
        self.stdout
            .read_to_end(&mut stdout)
            .expect("stdout can be read");
        let mut stderr = Vec::new();
        let mut pipe = self.child.stderr.take().expect("stderr is a pipe");
        pipe.read_to_end(&mut stderr).expect("stderr can be read");
        let status = self.child.wait().expect("the binary ends");
        let output = Output {
            status,
            stdout,
            stderr,
        };
        shown(&self.shown, output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has mostly ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(replacements: &[(String, String)], output: Output) -> Outcome {
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("criscope writes UTF-8");
        replacements
            .iter()
            .fold(text, |text, (from, to)| text.replace(from, to))
    };
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    let code = output
        .status
        .code()
        .unwrap_or_else(|| panic!("criscope died of {}\n{stderr}", output.status));
    Outcome {
        code,
        stdout,
        stderr,
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
