//! What process 1 of a node can be asked for, one JSON line each way over `control.sock`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};
use crate::place::Place;
use crate::processes;

const ANSWER: Duration = Duration::from_secs(10);
const STOPPED: Duration = Duration::from_secs(30);

/// An order to process 1.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Starts a program below process 1, so that it ends with the node.
    Start(Program),
    /// Asks about a program that was started.
    Look(String),
}

/// A program of the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Program {
    /// What the lab calls it: `containerd`, `registry-good`.
    pub name: String,
    /// The command line. Paths are the node's.
    pub argv: Vec<String>,
    /// The whole environment, besides `PATH`.
    pub env: Vec<(String, String)>,
    /// Where its output goes, behind what an earlier start has left.
    pub log: PathBuf,
}

/// Process 1's answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// It runs, under this number in the node's own PID namespace.
    Runs(u32),
    /// It ended, and how.
    Ended(String),
    /// Nothing was ever started under that name.
    Unknown,
    /// The order could not be carried out.
    Refused(String),
}

/// How a program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Runs,
    /// It does not, and why.
    Ended(String),
}

/// Starts a program.
///
/// # Errors
/// The node cannot start it, or does not answer.
pub fn start(place: &Place, program: &Program) -> Result<()> {
    match ask(place, &Order::Start(program.clone()))? {
        Answer::Refused(said) => Err(Error::Refused { who: "node", said }),
        Answer::Runs(_) | Answer::Ended(_) | Answer::Unknown => Ok(()),
    }
}

/// Looks how a program does.
///
/// # Errors
/// The node does not answer, or knows no such program.
pub fn look(place: &Place, name: &str) -> Result<State> {
    Ok(match inner(place, name)? {
        Ok(_) => State::Runs,
        Err(how) => State::Ended(how),
    })
}

/// The number of a program on this machine, if it runs.
///
/// # Errors
/// The node does not answer, or knows no such program.
pub fn pid(place: &Place, name: &str) -> Result<Option<u32>> {
    // It may end between the answer and the search; then the next answer says so.
    while let Ok(inner) = inner(place, name)? {
        let node = place.node_pid().ok_or_else(|| Error::NoLab(place.name()))?;
        if let Some(pid) = processes::child(node, inner) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// The number of a program in the node's own PID namespace, or how it ended.
fn inner(place: &Place, name: &str) -> Result<std::result::Result<u32, String>> {
    let refused = |said: String| Err(Error::Refused { who: "node", said });
    match ask(place, &Order::Look(name.to_owned()))? {
        Answer::Runs(inner) => Ok(Ok(inner)),
        Answer::Ended(how) => Ok(Err(how)),
        Answer::Unknown => refused(format!("no `{name}` was started")),
        Answer::Refused(said) => refused(said),
    }
}

/// Sends a signal that ends a program, and waits for that. One that has ended already is fine.
///
/// # Errors
/// It does not end.
pub fn stop(place: &Place, name: &str, signal: Signal) -> Result<()> {
    let Some(pid) = pid(place, name)? else {
        return Ok(());
    };
    processes::signal(pid, signal).doing(|| format!("signal process {pid}"))?;
    let end = Instant::now() + STOPPED;
    while look(place, name)? == State::Runs {
        if Instant::now() > end {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut))
                .doing(|| format!("end process {pid}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Waits until `ready` gives something, as long as the program runs.
///
/// # Errors
/// The program ends, or nothing comes within `deadline`: the end of its log is shown.
pub fn wait_for<T>(
    place: &Place,
    program: &Program,
    deadline: Duration,
    what: &str,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    let failed = |what: String| {
        let log = program.log.clone();
        Error::Node { what, log }
    };
    loop {
        if let Some(value) = ready() {
            return Ok(value);
        }
        if let State::Ended(how) = look(place, &program.name)? {
            return Err(failed(format!("`{}` ended with {how}", program.name)));
        }
        if Instant::now() > end {
            return Err(failed(format!(
                "`{}` did not {what} in {deadline:?}",
                program.name
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ask(place: &Place, order: &Order) -> Result<Answer> {
    let malformed = |source| Error::Document {
        what: "an order to the node".to_owned(),
        source,
    };
    let path = place.control();
    let mut stream =
        UnixStream::connect(&path).doing(|| format!("reach the node at {}", path.display()))?;
    let mut exchange = || {
        stream.set_read_timeout(Some(ANSWER))?;
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().doing(|| "talk to the node".to_owned())?;
    serde_json::from_str(&answer).map_err(malformed)
}
