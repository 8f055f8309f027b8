//! Who holds a listening socket: a daemon, or a supervisor that would start one on the first connection.
//!
//! It has to be known before connect(), because connecting is what wakes the service. systemd passes the very same
//! socket on, so a socket that only systemd holds has no service behind it (systemd.socket(5), `Accept=no`). Where pid
//! 1's open files may not be seen, the socket units and the cgroup of the service say the same.

use std::path::Path;

use super::host::Host;
use super::units::{self, SocketUnit};
use crate::endpoint::discover::known;

/// How many processes are looked at in a hurry.
const LOOKED_AT: usize = 512;

/// A supervisor that holds a socket whose service is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asleep {
    /// The supervisor.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// The units, where they can be told.
    pub unit: Option<SocketUnit>,
}

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// At the system's own supervisor; where that is none, at the first of the processes. A few hundred system calls.
    Init,
    /// At every process.
    Everybody,
}

/// The supervisor that alone holds the socket at `path`, if that is so.
pub fn asleep(host: &Host, path: &Path, reach: Reach) -> Option<Asleep> {
    // The usual case, told by a few small files: the unit that is known for the path has its daemon.
    let known = known(&host.inside(path));
    if known.is_some_and(|known| {
        known
            .units
            .iter()
            .any(|unit| units::is_active(host, unit) == Some(true))
    }) {
        return None;
    }
    let inodes: Vec<u64> = host
        .listeners(path)
        .iter()
        .map(|listener| listener.inode)
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let init = host.comm(1)?;
    if !is_supervisor(&init) {
        return held_by_another(host, &inodes, reach);
    }
    // Several sockets on one path: the one that was bound last is meant, and it is not known which that is. Unless the
    // supervisor holds them all, a daemon has one.
    let held: Option<Vec<bool>> = inodes.iter().map(|inode| host.holds(1, *inode)).collect();
    match held {
        Some(held) if held.iter().all(|held| *held) => {
            let unit = units::listening_at(host, path);
            let active = unit
                .as_ref()
                .and_then(|unit| units::is_active(host, &unit.service));
            let awake = active.unwrap_or_else(|| {
                holder(host, &inodes)
                    .and_then(|pid| host.comm(pid))
                    .is_some_and(|comm| !is_supervisor(&comm))
            });
            (!awake).then_some(Asleep {
                pid: 1,
                comm: init,
                unit,
            })
        }
        Some(_) if reach == Reach::Init => None,
        Some(_) => held_by_another(host, &inodes, reach),
        // Its open files may not be seen: the units have to do.
        None => {
            let unit = units::listening_at(host, path)?;
            let down = units::is_active(host, &unit.service) == Some(false);
            down.then_some(Asleep {
                pid: 1,
                comm: init,
                unit: Some(unit),
            })
        }
    }
}

/// A supervisor that is not process 1: a user's systemd, or systemd-socket-activate.
fn held_by_another(host: &Host, inodes: &[u64], reach: Reach) -> Option<Asleep> {
    let reached = match reach {
        Reach::Init => LOOKED_AT,
        Reach::Everybody => usize::MAX,
    };
    // Asked by name first, which is one small file a process.
    let pid = host.named(reached, is_supervisor).into_iter().find(|pid| {
        inodes
            .iter()
            .all(|inode| host.holds(*pid, *inode) == Some(true))
    })?;
    let comm = host.comm(pid)?;
    (holder(host, inodes) == Some(pid)).then_some(Asleep {
        pid,
        comm,
        unit: None,
    })
}

/// The process that holds one of these sockets: a daemon if there is one, else a supervisor.
pub fn holder(host: &Host, inodes: &[u64]) -> Option<u32> {
    let mut supervisor = None;
    for pid in host.pids() {
        if !inodes
            .iter()
            .any(|inode| host.holds(pid, *inode) == Some(true))
        {
            continue;
        }
        match host.comm(pid) {
            Some(comm) if is_supervisor(&comm) => supervisor = supervisor.or(Some(pid)),
            _ => return Some(pid),
        }
    }
    supervisor
}

/// Whether a command holds sockets for others: `systemd` as pid 1 and as a user's manager, `systemd-socket-activate`.
pub fn is_supervisor(comm: &str) -> bool {
    comm == "systemd" || comm.starts_with("systemd-socket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_supervisors_by_name() {
        assert!(is_supervisor("systemd"));
        assert!(is_supervisor("systemd-socket-"));
        assert!(!is_supervisor("systemd-journal"));
        assert!(!is_supervisor("containerd"));
    }
}
