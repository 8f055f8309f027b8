//! A real node for a test: `lab up` as a child that ends, with everything below it, when the handle is dropped or the
//! test process dies.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

/// A lab that is up.
pub struct Lab {
    child: Child,
    /// The lab ends with it.
    stdin: Option<ChildStdin>,
    /// What `lab up --json` printed: see `docs/lab.md`.
    pub document: Value,
}

#[allow(
    dead_code,
    reason = "every test takes what it needs; the handle is whole"
)]
impl Lab {
    /// Starts a lab with these arguments of `lab up`. `None` only where real runtimes are left out on purpose.
    #[track_caller]
    pub fn up(arguments: &[&str]) -> Option<Self> {
        if !wanted() {
            return None;
        }
        let mut child = Command::new(binary())
            .args(["up", "--json"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the lab starts");
        let stdin = child.stdin.take();
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the lab writes text");
        let document = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                stderr.read_to_string(&mut said).unwrap_or_default();
            }
            panic!("`lab up {}` failed\n{said}", arguments.join(" "));
        });
        Some(Self {
            child,
            stdin,
            document,
        })
    }

    /// `lab-1`
    pub fn name(&self) -> &str {
        self.text("/name")
    }

    /// `unix://` and the daemon's socket.
    pub fn endpoint(&self) -> &str {
        self.text("/endpoint")
    }

    /// The version that the daemon reports: what tests key on.
    pub fn version(&self) -> &str {
        self.text("/version")
    }

    /// The directory of the lab.
    pub fn dir(&self) -> PathBuf {
        self.text("/dir").into()
    }

    /// The directory with the node's files in their usual places, for `--host-root`.
    pub fn host_root(&self) -> PathBuf {
        self.text("/hostRoot").into()
    }

    /// A text of the document, by JSON pointer.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> &str {
        let found = self.document.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no {pointer} in {self}"))
    }

    /// The registry of a kind: `url`, `address`, `ca`, `signedBy`, `log`, `process`.
    #[track_caller]
    pub fn registry(&self, kind: &str) -> &Value {
        self.entry("registries", "kind", kind)
    }

    /// What is promised about pulling an image: `through`, `url`, `digest`, `served`.
    #[track_caller]
    pub fn pull(&self, image: &str) -> &Value {
        self.entry("images", "image", image)
    }

    #[track_caller]
    fn entry(&self, list: &str, key: &str, value: &str) -> &Value {
        let found = self.document[list]
            .as_array()
            .and_then(|entries| entries.iter().find(|entry| entry[key] == value));
        found.unwrap_or_else(|| panic!("no {key} {value} among the {list} of {self}"))
    }

    /// Runs a command of the lab on this one: `lab.tell("signal", &["STOP"])`. Returns what it printed.
    #[track_caller]
    pub fn tell(&self, command: &str, arguments: &[&str]) -> String {
        let output = Command::new(binary())
            .arg(command)
            .arg(self.name())
            .args(arguments)
            .output()
            .expect("the lab starts");
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "`lab {command} {}` failed\n{printed}{said}",
            self.name()
        );
        printed
    }

    /// A command that runs inside the node, where the socket and the configuration have their usual places.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new(binary());
        command.args(["exec", self.name(), "--", program]);
        command
    }

    /// `criscope` on this node, from outside.
    pub fn criscope(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_criscope"));
        command
            .args(arguments)
            .env("CONTAINER_RUNTIME_ENDPOINT", self.endpoint())
            .env("CRI_CONFIG_FILE", "/dev/null");
        command
    }

    /// The id of the first running container.
    #[track_caller]
    pub fn running_container(&self) -> String {
        let output = self.criscope(&["ps", "-q"]).output().expect("it runs");
        let ids = String::from_utf8(output.stdout).expect("ids are text");
        ids.lines().next().expect("a container runs").to_owned()
    }

    /// The number of the `lab up` process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills `lab up` without a chance to clear away.
    pub fn kill(&mut self) {
        self.child.kill().expect("the lab can be killed");
        self.child.wait().expect("the lab ends");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl fmt::Display for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.document)
    }
}

/// Whether tests with real runtimes are to run. They are, unless somebody says otherwise, and in CI nobody may.
pub fn wanted() -> bool {
    let off = std::env::var("CRISCOPE_TEST_REAL").is_ok_and(|value| value == "off");
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!(off && ci), "CRISCOPE_TEST_REAL=off is refused in CI");
    !off
}

/// What a Debian package of a suite has below `/`. The lab fetches it once and keeps it.
#[track_caller]
pub fn unpacked(package: &str, suite: &str) -> PathBuf {
    let output = Command::new(binary())
        .args(["fetch", package, "--suite", suite, "--json"])
        .output()
        .expect("the lab runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{package} of {suite} cannot be had: {said}"
    );
    let packages: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let root = packages[0]["root"].as_str().expect("a package has a root");
    PathBuf::from(root)
}

/// The lab's binary beside this test's own.
#[track_caller]
pub fn binary() -> PathBuf {
    let myself = std::env::current_exe().expect("this test has a file");
    let target = myself.ancestors().nth(2).expect("in target/debug/deps");
    let binary = target.join("examples/lab");
    assert!(
        binary.exists(),
        "no {}; `cargo build --example lab` makes it",
        binary.display()
    );
    binary
}
