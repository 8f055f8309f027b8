//! Processes as the machine sees them, read from /proc: the node numbers its own differently.

use std::fs;

use rustix::process::{Pid, Signal};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number here.
    pub pid: u32,
    /// The number of its parent here.
    pub parent: u32,
    /// Its number in the innermost PID namespace.
    pub inner: u32,
}

/// All processes.
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(about)
        .collect()
}

/// The child of `parent` that its own namespace numbers `inner`.
pub fn child(parent: u32, inner: u32) -> Option<u32> {
    let is_it = |process: &Process| process.parent == parent && process.inner == inner;
    all().into_iter().find(is_it).map(|process| process.pid)
}

/// When a process started, in clock ticks since boot: with the number, it names a process for good.
pub fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold blanks and brackets; field 22 is the twentieth behind it.
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(19)?.parse().ok()
}

/// Ends a process at once. One that is gone already is fine.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL).unwrap_or_default();
}

/// Sends a signal.
///
/// # Errors
/// The process is gone, or not ours.
pub fn signal(pid: u32, signal: Signal) -> std::io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(std::io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

fn about(pid: u32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    Some(Process {
        pid,
        parent: value("PPid:")?.trim().parse().ok()?,
        inner: value("NSpid:")?.split_whitespace().last()?.parse().ok()?,
    })
}
