//! Process 1 of a node: makes the view, starts what it is told to, reaps what dies, and ends when its keeper does.
//!
//! It is the root of everything that a lab runs. When it ends, the kernel kills every process of its PID namespace,
//! and the mounts of its mount namespace go with the last of them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{WaitId, WaitIdOptions, WaitOptions};

use crate::control::{Answer, Order, Program};
use crate::error::{Doing, Error, Result};
use crate::place::Place;
use crate::speech::say;
use crate::view;

/// The line with which process 1 says that it takes orders.
pub const READY: &str = "ready";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What was started, by name: its number and, once it ended, how.
type Children = HashMap<String, (u32, Option<ExitStatus>)>;

/// Runs as process 1 until stdin ends.
///
/// # Errors
/// The view or the control socket cannot be made.
pub fn run(dir: &std::path::Path, packages: &[PathBuf]) -> Result<()> {
    if std::process::id() != 1 {
        return Err(Error::Usage(
            "`lab node` is process 1 of a lab; `lab up` starts it".to_owned(),
        ));
    }
    let place = Place::at(dir)?;
    std::thread::spawn(end_with_the_keeper);
    view::build(&place, packages)?;
    rustix::system::sethostname(place.name().as_bytes())
        .map_err(std::io::Error::from)
        .doing(|| "name the node".to_owned())?;

    let path = place.control();
    let listener = UnixListener::bind(&path).doing(|| format!("listen at {}", path.display()))?;
    say(READY);
    let children = Arc::new(Mutex::new(Children::new()));
    let taken = Arc::clone(&children);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let children = Arc::clone(&taken);
            std::thread::spawn(move || obey(&stream, &children));
        }
    });
    reap(&children)
}

/// Nobody ever writes to stdin: it ends when the keeper is gone, whatever ended it.
#[allow(clippy::exit)] // Ending process 1 is the point.
fn end_with_the_keeper() {
    let mut stdin = std::io::stdin();
    while stdin.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
    std::process::exit(0);
}

/// Takes in whatever dies: what was started here, and the shims that containerd leaves to process 1.
fn reap(children: &Mutex<Children>) -> Result<()> {
    loop {
        // Looks without taking. Taking waits for the lock, because `Command::spawn` must find its own dead child.
        let looked =
            rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        if matches!(looked, Err(rustix::io::Errno::CHILD)) {
            // No children at all, and nothing tells when there will be.
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        let mut children = locked(children);
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            let status = ExitStatus::from_raw(status.as_raw());
            for (_, ended) in children
                .values_mut()
                .filter(|(it, ended)| *it == pid && ended.is_none())
            {
                *ended = Some(status);
            }
        }
    }
}

fn obey(stream: &UnixStream, children: &Mutex<Children>) {
    let mut line = String::new();
    if BufReader::new(stream).read_line(&mut line).is_err() {
        return;
    }
    let answer = match serde_json::from_str(&line) {
        Ok(Order::Start(program)) => start(&program, &mut locked(children))
            .unwrap_or_else(|error| Answer::Refused(format!("{}: {error}", program.name))),
        Ok(Order::Look(name)) => match locked(children).get(&name) {
            Some((pid, None)) => Answer::Runs(*pid),
            Some((_, Some(status))) => Answer::Ended(status.to_string()),
            None => Answer::Unknown,
        },
        Err(error) => Answer::Refused(error.to_string()),
    };
    if let Ok(mut line) = serde_json::to_string(&answer) {
        line.push('\n');
        // Who does not wait for the answer does not get it.
        let mut stream = stream;
        stream.write_all(line.as_bytes()).unwrap_or_default();
    }
}

fn start(program: &Program, children: &mut Children) -> std::io::Result<Answer> {
    let Some((first, rest)) = program.argv.split_first() else {
        return Ok(Answer::Refused("an empty command line".to_owned()));
    };
    if let Some((_, None)) = children.get(&program.name) {
        return Ok(Answer::Refused(format!("{} runs already", program.name)));
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(&program.log)?;
    let child = Command::new(first)
        .args(rest)
        // The caller's environment (a proxy, a kubeconfig) is none of the node's.
        .env_clear()
        .env("PATH", PATH)
        .envs(program.env.iter().map(|(key, value)| (key, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    children.insert(program.name.clone(), (child.id(), None));
    Ok(Answer::Runs(child.id()))
}

fn locked(children: &Mutex<Children>) -> MutexGuard<'_, Children> {
    children.lock().unwrap_or_else(PoisonError::into_inner)
}
