//! The smaller commands, on labs that are up.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

use crate::control;
use crate::daemon;
use crate::document::Document;
use crate::error::{Doing, Error, Result};
use crate::fetch::{Cache, Freshness, Offer};
use crate::generation::Generation;
use crate::keeper;
use crate::place::Place;
use crate::processes;
use crate::pullable::Pull;
use crate::registry::Kind;

/// The labs that are up, by name.
pub fn list() -> Vec<(String, Option<Document>)> {
    Place::all()
        .into_iter()
        .filter(Place::is_held)
        .map(|place| (place.name(), Document::read(&place).ok()))
        .collect()
}

/// Ends labs and waits until nothing is left of them.
///
/// # Errors
/// There is no such lab, or something is left.
pub fn down(names: &[String], all: bool) -> Result<Vec<String>> {
    let places = match all {
        true => Place::all(),
        false => names
            .iter()
            .map(|name| Place::named(name))
            .collect::<Result<_>>()?,
    };
    for place in &places {
        keeper::dismiss(place)?;
    }
    Ok(places.iter().map(Place::name).collect())
}

/// A signal for a process of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Sent {
    /// It hangs.
    Stop,
    /// It goes on.
    Cont,
    /// It is gone at once and leaves its socket behind.
    Kill,
    /// It ends in order.
    Term,
    /// It is told to look again.
    Hup,
}

/// Sends a signal to a program of a lab. Where it is to end, waits for that.
///
/// # Errors
/// There is no such lab or program, or it does not run.
pub fn signal(name: &str, program: &str, sent: Sent) -> Result<()> {
    let place = Place::named(name)?;
    let Some(pid) = control::pid(&place, program)? else {
        return Err(Error::Usage(format!("`{program}` of {name} does not run")));
    };
    let signal = match sent {
        Sent::Stop => Signal::STOP,
        Sent::Cont => Signal::CONT,
        Sent::Kill => Signal::KILL,
        Sent::Term => Signal::TERM,
        Sent::Hup => Signal::HUP,
    };
    if matches!(sent, Sent::Kill | Sent::Term) {
        control::stop(&place, program, signal)?;
    } else {
        processes::signal(pid, signal).doing(|| format!("signal process {pid}"))?;
    }
    note_pid(&place, program)
}

/// Starts a program of a lab anew, the daemon with whatever its configuration says now. Returns its number.
///
/// # Errors
/// There is no such lab or program, or it does not come up.
pub fn restart(name: &str, program: &str) -> Result<u32> {
    let place = Place::named(name)?;
    let document = Document::read(&place)?;
    let found = document.programs.iter().find(|it| it.name == program);
    let found = found.ok_or_else(|| Error::Usage(format!("{name} has no `{program}`")))?;
    // A stopped process does not notice SIGTERM until it goes on.
    if let Some(pid) = control::pid(&place, program)? {
        processes::signal(pid, Signal::CONT).doing(|| format!("signal process {pid}"))?;
    }
    control::stop(&place, program, Signal::TERM)?;
    if program == daemon::NAME {
        let runtime = asynchronous()?;
        runtime.block_on(daemon::start(&place, document.cri))?;
    } else {
        control::start(&place, found)?;
    }
    note_pid(&place, program)?;
    let pid = control::pid(&place, program)?;
    pid.ok_or_else(|| Error::Usage(format!("`{program}` of {name} ended again")))
}

/// Keeps the document's word about the daemon true.
fn note_pid(place: &Place, program: &str) -> Result<()> {
    if program != daemon::NAME {
        return Ok(());
    }
    let mut document = Document::read(place)?;
    document.pid = control::pid(place, program)?;
    document.write(place)
}

/// Pulls every image of a lab and says for each what came and whether that is what its document promises. A mirror that
/// hangs is left out: some runtimes wait for it without end.
///
/// # Errors
/// There is no such lab, or its daemon does not answer.
pub fn verify(name: &str) -> Result<Vec<(Pull, Verdict)>> {
    let place = Place::named(name)?;
    let document = Document::read(&place)?;
    asynchronous()?.block_on(async {
        let client = daemon::client(&place).await?;
        let mut verdicts = Vec::new();
        for pull in document.images {
            if pull.through.contains(&Kind::Hang) {
                continue;
            }
            let came = daemon::pull(&client, &pull.image).await;
            let verdict = match (&came, &pull.served) {
                (Ok(digest), Some(served)) if digest == served => Verdict::Kept(digest.clone()),
                (Err(said), None) => Verdict::Kept(said.clone()),
                (Ok(digest), _) => Verdict::Broken(digest.clone()),
                (Err(said), _) => Verdict::Broken(said.clone()),
            };
            verdicts.push((pull, verdict));
        }
        Ok(verdicts)
    })
}

/// Whether a pull went as the document promises: the digest that came, or what the runtime said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Kept(String),
    /// It did not.
    Broken(String),
}

fn asynchronous() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.doing(|| "start the asynchronous runtime".to_owned())
}

/// Becomes a command inside the node: there, the socket and the configuration have their usual places.
///
/// # Errors
/// There is no such lab, or no such command.
pub fn exec(name: &str, command: &[String]) -> Result<std::convert::Infallible> {
    let place = Place::named(name)?;
    let node = place
        .node_pid()
        .ok_or_else(|| Error::NoLab(name.to_owned()))?;
    let here = std::env::current_dir().doing(|| "find the current directory".to_owned())?;
    let failed = Command::new("nsenter")
        .arg(format!("--target={node}"))
        .args([
            "--mount",
            "--pid",
            "--uts",
            "--",
            "sh",
            "-c",
            "cd \"$0\" && exec \"$@\"",
        ])
        .arg(here)
        .args(command)
        .exec();
    Err(failed).doing(|| "run `nsenter`".to_owned())
}

/// What each generation is today.
///
/// # Errors
/// A suite cannot be read.
pub fn versions(fresh: Freshness) -> Result<Vec<(Generation, Result<Offer>)>> {
    let cache = Cache::open()?;
    let offer = |generation: Generation| cache.offer(generation.suite(), "containerd", fresh);
    Ok(Generation::ALL
        .map(|generation| (generation, offer(generation)))
        .into())
}
