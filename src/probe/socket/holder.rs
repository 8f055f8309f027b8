//! Who holds a listening socket: a daemon, or a supervisor that would start one on the first connection.
//!
//! It has to be known before connect(), because connecting is what wakes the service. systemd passes the very same
//! socket on, so a socket that only systemd holds has no service behind it (systemd.socket(5), `Accept=no`). Where pid
//! 1's open files may not be seen, the socket units and the cgroup of the service say the same.

use std::path::{Path, PathBuf};

use super::host::{Host, text};

/// The directories of units, in the order in which systemd prefers them.
const UNIT_DIRECTORIES: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Where the cgroups of services are: version 2, version 1, hybrid.
const CGROUPS: &[&str] = &[
    "/sys/fs/cgroup/system.slice",
    "/sys/fs/cgroup/systemd/system.slice",
    "/sys/fs/cgroup/unified/system.slice",
];

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

/// A systemd socket unit and the service that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketUnit {
    /// As in `docker.socket`.
    pub socket: String,
    /// As in `docker.service`.
    pub service: String,
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
    let inodes: Vec<u64> = host
        .listeners(path)
        .iter()
        .map(|listener| listener.inode)
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let init = host.comm(1)?;
    if is_supervisor(&init) {
        // Several sockets on one path: the one that was bound last is meant, and it is not known which that is. Unless
        // the supervisor holds them all, a daemon has one.
        let held: Option<Vec<bool>> = inodes.iter().map(|inode| host.holds(1, *inode)).collect();
        match held {
            Some(held) if held.iter().all(|held| *held) => {
                let unit = socket_unit(host, path);
                let awake = unit
                    .as_ref()
                    .and_then(|unit| is_active(host, &unit.service));
                return match awake {
                    Some(true) => None,
                    Some(false) => Some(Asleep {
                        pid: 1,
                        comm: init,
                        unit,
                    }),
                    None => match holder(host, &inodes) {
                        Some(pid) if host.comm(pid).is_some_and(|comm| !is_supervisor(&comm)) => {
                            None
                        }
                        _ => Some(Asleep {
                            pid: 1,
                            comm: init,
                            unit,
                        }),
                    },
                };
            }
            Some(_) if reach == Reach::Init => return None,
            Some(_) => {}
            None => {
                let unit = socket_unit(host, path)?;
                return match is_active(host, &unit.service) {
                    Some(false) => Some(Asleep {
                        pid: 1,
                        comm: init,
                        unit: Some(unit),
                    }),
                    _ => None,
                };
            }
        }
    }
    // A user's systemd, or systemd-socket-activate: asked by name first, which is one small file a process.
    let reached = match reach {
        Reach::Init => LOOKED_AT,
        Reach::Everybody => usize::MAX,
    };
    let supervisor = host.pids().take(reached).find(|pid| {
        host.comm(*pid).is_some_and(|comm| is_supervisor(&comm))
            && inodes
                .iter()
                .all(|inode| host.holds(*pid, *inode) == Some(true))
    })?;
    let comm = host.comm(supervisor)?;
    (holder(host, &inodes) == Some(supervisor)).then_some(Asleep {
        pid: supervisor,
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

/// The socket unit that listens at `path`.
pub fn socket_unit(host: &Host, path: &Path) -> Option<SocketUnit> {
    let wanted = super::host::identity(path);
    UNIT_DIRECTORIES.iter().find_map(|directory| {
        std::fs::read_dir(host.path(directory))
            .ok()?
            .find_map(|entry| {
                let file = entry.ok()?.path();
                let name = file.file_name()?.to_str()?.strip_suffix(".socket")?;
                let (paths, service) = parse_socket_unit(&text(&file)?);
                let listens = paths.iter().any(|listed| {
                    listed == path
                        || super::host::identity(&host.path(&listed.to_string_lossy())) == wanted
                });
                listens.then(|| SocketUnit {
                    socket: format!("{name}.socket"),
                    service: service.unwrap_or_else(|| format!("{name}.service")),
                })
            })
    })
}

/// Whether a service has processes; `None` where the cgroups of services cannot be seen.
pub fn is_active(host: &Host, service: &str) -> Option<bool> {
    let mut seen = None;
    for directory in CGROUPS {
        let slice = host.path(directory);
        if !slice.is_dir() {
            continue;
        }
        seen = Some(false);
        if has_processes(&slice.join(service), 3) {
            return Some(true);
        }
    }
    seen
}

/// Whether a cgroup or one inside it, `depth` levels down, has processes.
fn has_processes(cgroup: &Path, depth: u8) -> bool {
    if text(&cgroup.join("cgroup.procs")).is_some_and(|pids| !pids.trim().is_empty()) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    std::fs::read_dir(cgroup).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| {
                entry.file_type().is_ok_and(|kind| kind.is_dir())
                    && has_processes(&entry.path(), depth)
            })
        })
    })
}

/// The paths and the service of a socket unit's text. `%t` is /run for the system's units.
fn parse_socket_unit(text: &str) -> (Vec<PathBuf>, Option<String>) {
    let value = |line: &str, key: &str| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == key).then(|| value.trim().to_owned())
    };
    let paths = text
        .lines()
        .filter_map(|line| value(line, "ListenStream"))
        .map(|path| PathBuf::from(path.replace("%t", "/run")))
        .filter(|path| path.is_absolute())
        .collect();
    (paths, text.lines().find_map(|line| value(line, "Service")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_socket_unit() {
        let unit = "[Unit]\nPartOf=cri-docker.service\n[Socket]\nListenStream=%t/cri-dockerd.sock\n\
            ListenStream = 127.0.0.1:80\nSocketMode=0660\n";
        assert_eq!(
            parse_socket_unit(unit),
            (vec![PathBuf::from("/run/cri-dockerd.sock")], None)
        );
        let unit = "[Socket]\nListenStream=/run/a.sock\nService=b.service\n";
        assert_eq!(
            parse_socket_unit(unit),
            (
                vec![PathBuf::from("/run/a.sock")],
                Some("b.service".to_owned())
            )
        );
    }

    #[test]
    fn knows_supervisors_by_name() {
        assert!(is_supervisor("systemd"));
        assert!(is_supervisor("systemd-socket-"));
        assert!(!is_supervisor("systemd-journal"));
        assert!(!is_supervisor("containerd"));
    }
}
