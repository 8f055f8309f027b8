//! systemd's units, read from its files and cgroups, because asking systemd itself would take a bus: which socket unit
//! listens at a path, and whether the daemon of a service runs (systemd.socket(5), systemd.unit(5)).

use std::path::{Path, PathBuf};

use super::host::{Host, identity, text};

/// The directories of units, in the order in which systemd prefers them.
const DIRECTORIES: &[&str] = &[
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

/// How many processes of a service are looked at: the shims of a large node are in the cgroup of its runtime.
const MOST: usize = 512;

/// A systemd socket unit and the service that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketUnit {
    /// As in `docker.socket`.
    pub socket: String,
    /// As in `docker.service`.
    pub service: String,
}

/// The socket unit that listens at `path`.
pub fn listening_at(host: &Host, path: &Path) -> Option<SocketUnit> {
    let wanted = identity(path);
    DIRECTORIES.iter().find_map(|directory| {
        std::fs::read_dir(host.path(directory))
            .ok()?
            .find_map(|entry| {
                let file = entry.ok()?.path();
                let name = file.file_name()?.to_str()?.strip_suffix(".socket")?;
                let (paths, service) = parse_socket_unit(&text(&file)?);
                let listens = paths.iter().any(|listed| {
                    listed == path || identity(&host.path(&listed.to_string_lossy())) == wanted
                });
                listens.then(|| SocketUnit {
                    socket: format!("{name}.socket"),
                    service: service.unwrap_or_else(|| format!("{name}.service")),
                })
            })
    })
}

/// Whether the daemon of a service runs; `None` where the cgroups of services cannot be seen. Shims and monitors of
/// containers outlive the daemon in its cgroup, and do not count.
pub fn is_active(host: &Host, service: &str) -> Option<bool> {
    let pids = processes(host, service)?;
    Some(pids.iter().any(|pid| {
        host.comm(*pid)
            .is_none_or(|comm| !comm.starts_with("containerd-shim") && comm != "conmon")
    }))
}

/// The processes of a service, at most some hundred; `None` where the cgroups of services cannot be seen.
pub fn processes(host: &Host, service: &str) -> Option<Vec<u32>> {
    let slices: Vec<PathBuf> = CGROUPS
        .iter()
        .map(|slice| host.path(slice))
        .filter(|slice| slice.is_dir())
        .collect();
    if slices.is_empty() {
        return None;
    }
    let mut pids = Vec::new();
    for slice in slices {
        collect(&slice.join(service), 3, &mut pids);
    }
    Some(pids)
}

/// The processes of a cgroup and of those inside it, `depth` levels down.
fn collect(cgroup: &Path, depth: u8, pids: &mut Vec<u32>) {
    let Some(here) = text(&cgroup.join("cgroup.procs")) else {
        return;
    };
    let room = MOST.saturating_sub(pids.len());
    pids.extend(
        here.lines()
            .filter_map(|pid| pid.parse::<u32>().ok())
            .take(room),
    );
    // A service has its processes either here or in cgroups that it made itself.
    let Some(depth) = depth.checked_sub(1).filter(|_| pids.is_empty()) else {
        return;
    };
    let entries = std::fs::read_dir(cgroup).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect(&entry.path(), depth, pids);
    }
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
    fn shims_that_were_left_behind_are_no_daemon() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path());
        assert_eq!(is_active(&host, "containerd.service"), None);
        let write = |path: &str, text: &str| {
            let file = root.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let cgroup = "sys/fs/cgroup/system.slice/containerd.service/cgroup.procs";
        write(cgroup, "7\n");
        write("proc/7/comm", "containerd-shim\n");
        assert_eq!(is_active(&host, "containerd.service"), Some(false));
        assert_eq!(is_active(&host, "crio.service"), Some(false));
        write(cgroup, "7\n8\n");
        write("proc/8/comm", "containerd\n");
        assert_eq!(is_active(&host, "containerd.service"), Some(true));
        write(cgroup, "");
        assert_eq!(is_active(&host, "containerd.service"), Some(false));
        write(
            "sys/fs/cgroup/system.slice/containerd.service/init/cgroup.procs",
            "8\n",
        );
        assert_eq!(is_active(&host, "containerd.service"), Some(true));
    }
}
