//! The keeper of a lab: owns its directory, holds the only pipe that keeps the node alive, clears everything away.
//!
//! It is a session of its own, so that no signal meant for `lab up` reaches it, and nobody else has the ends of its
//! pipes, so that they end with the process at the other side, even one killed with -9:
//! `lab up` gone → the keeper's stdin ends → it lets go of the node and clears away;
//! the keeper gone → the node's stdin ends → the node ends, and the next `lab up` clears away.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};
use crate::node;
use crate::place::{self, Place};
use crate::processes;
use crate::speech::{say, tell};
use crate::view;

/// Written to the keeper's stdin: from now on, only a signal ends the lab.
pub const DETACH: &str = "detach";

/// How long a node may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the keeper tells `lab up`, in one line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Greeting {
    /// The node takes orders; its directory.
    Ready(PathBuf),
    /// There is none, and why.
    Failed(String),
}

/// `lab up`'s side of the keeper.
#[derive(Debug)]
pub struct Keeper {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Keeper {
    /// Starts a keeper and, through it, a node with these packages laid over `/usr`.
    ///
    /// # Errors
    /// No place is free, or the node does not come up.
    pub fn start(packages: &[PathBuf]) -> Result<(Self, Place)> {
        let myself = std::env::current_exe().doing(|| "find this program's own file".to_owned())?;
        let mut child = Command::new(myself)
            .arg("keeper")
            .args(packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It outlives this process, and must not hold a pipe that somebody reads to its end.
            .stderr(Stdio::null())
            .spawn()
            .doing(|| "start the keeper".to_owned())?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .doing(|| "hear the keeper".to_owned())?;
        }
        let why = match serde_json::from_str(&line) {
            Ok(Greeting::Ready(dir)) => return Ok((Self { child, stdin }, Place::at(&dir)?)),
            Ok(Greeting::Failed(said)) => Error::Refused {
                who: "keeper",
                said,
            },
            Err(source) => Error::Document {
                what: "the keeper's greeting".to_owned(),
                source,
            },
        };
        // It clears away after itself before it ends.
        drop(stdin);
        child.wait().doing(|| "wait for the keeper".to_owned())?;
        Err(why)
    }

    /// Lets the lab live on without this process.
    ///
    /// # Errors
    /// The keeper is gone.
    pub fn detach(mut self) -> Result<()> {
        match self.stdin.as_mut() {
            Some(stdin) => writeln!(stdin, "{DETACH}").doing(|| "reach the keeper".to_owned()),
            None => Ok(()),
        }
    }

    /// Takes the pipe whose end is the end of the lab.
    pub fn leash(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Ends the lab, unless its leash was taken, and waits until nothing is left of it.
    ///
    /// # Errors
    /// Something is left.
    pub fn end(mut self) -> Result<()> {
        self.stdin = None;
        let status = self
            .child
            .wait()
            .doing(|| "wait for the keeper".to_owned())?;
        if status.success() {
            return Ok(());
        }
        // Killed, or it met something that it could not clear away: then the next one to try says what.
        tell(&format!("the keeper ended with {status}"));
        place::sweep().map(drop)
    }
}

/// What the keeper waits for.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// `lab up` is gone, or a signal came.
    Asked,
    /// The node is gone, with everything below it.
    Ended,
}

/// Runs as the keeper until the lab is over and cleared away.
///
/// # Errors
/// Something is left of the lab.
pub fn run(packages: &[PathBuf]) -> Result<()> {
    rustix::process::setsid()
        .map_err(std::io::Error::from)
        .doing(|| "leave the session".to_owned())?;
    let signals = Signals::catch().doing(|| "catch signals".to_owned())?;
    let greet = |greeting: &Greeting| {
        if let Ok(line) = serde_json::to_string(greeting) {
            say(&line);
        }
    };
    let failed = |error: &Error| greet(&Greeting::Failed(chain(error)));
    let (place, _held) = place::claim().inspect_err(failed)?;
    match start_node(&place, packages) {
        Ok((unshare, stdin)) => {
            greet(&Greeting::Ready(place.dir.clone()));
            keep(unshare, stdin, signals)?;
            place.clear()
        }
        Err(error) => {
            failed(&error);
            place.clear()?;
            Err(error)
        }
    }
}

fn start_node(place: &Place, packages: &[PathBuf]) -> Result<(Child, ChildStdin)> {
    view::prepare(place)?;
    place.note_keeper()?;
    let myself = std::env::current_exe().doing(|| "find this program's own file".to_owned())?;
    let log = place.log("node");
    let log = std::fs::File::create(&log).doing(|| format!("make {}", log.display()))?;
    let mut unshare = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--mount"])
        .args(["--propagation", "private", "--uts", "--"])
        .arg(myself)
        .arg("node")
        .arg(&place.dir)
        .args(packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .doing(|| "run `unshare`".to_owned())?;
    let (Some(stdin), Some(stdout)) = (unshare.stdin.take(), unshare.stdout.take()) else {
        return Err(Error::Usage("the node has no pipes".to_owned()));
    };
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .doing(|| "hear the node".to_owned())?;
    let node = processes::child(unshare.id(), 1);
    match node {
        Some(node) if line.trim() == node::READY => place.note_node(node)?,
        _ => {
            drop(stdin);
            unshare.wait().doing(|| "wait for the node".to_owned())?;
            return Err(Error::Node {
                what: "the node did not come up".to_owned(),
                log: place.log("node"),
            });
        }
    }
    Ok((unshare, stdin))
}

/// Keeps the lab until there is a reason not to, and then sees the node to its end.
fn keep(mut unshare: Child, stdin: ChildStdin, signals: Signals) -> Result<()> {
    let unshare_pid = unshare.id();
    let (send, events) = mpsc::channel();
    let asked = send.clone();
    std::thread::spawn(move || {
        let mut lines = std::io::stdin().lines().map_while(std::result::Result::ok);
        if !lines.any(|line| line == DETACH) {
            asked.send(Event::Asked).unwrap_or_default();
        }
    });
    let signalled = send.clone();
    std::thread::spawn(move || {
        signals.wait();
        signalled.send(Event::Asked).unwrap_or_default();
    });
    std::thread::spawn(move || {
        unshare.wait().map(drop).unwrap_or_default();
        send.send(Event::Ended).unwrap_or_default();
    });

    let mut stdin = Some(stdin);
    // A year: `recv_timeout` is `recv` here.
    let mut wait = Duration::from_secs(365 * 86_400);
    loop {
        match events.recv_timeout(wait) {
            Ok(Event::Ended) => return Ok(()),
            Ok(Event::Asked) => {
                stdin.take();
                wait = PATIENCE;
            }
            // A node that does not notice (stopped, say) dies with `unshare`: that is what `--kill-child` does.
            Err(_) => processes::kill(unshare_pid),
        }
    }
}

/// SIGTERM and SIGINT, caught.
#[derive(Debug)]
pub struct Signals {
    runtime: tokio::runtime::Runtime,
    caught: [tokio::signal::unix::Signal; 2],
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn catch() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        let caught = [
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ];
        drop(entered);
        Ok(Self { runtime, caught })
    }

    /// Waits for one.
    pub fn wait(mut self) {
        let [term, int] = &mut self.caught;
        self.runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        });
    }
}

/// An error with its causes, in one line.
fn chain(error: &Error) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        said.push_str(": ");
        said.push_str(&error.to_string());
        cause = error.source();
    }
    said
}

/// Ends a lab from outside, and waits until nothing is left of it.
///
/// # Errors
/// Something is left.
pub fn dismiss(place: &Place) -> Result<()> {
    if let Some(pid) = place.keeper_pid() {
        processes::signal(pid, rustix::process::Signal::TERM)
            .doing(|| format!("signal process {pid}"))?;
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while place.is_held() {
        if Instant::now() > deadline {
            return Err(Error::Usage(format!(
                "{} is still there after a minute",
                place.name()
            )));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // What no keeper took, the sweep takes.
    place::sweep().map(drop)
}
