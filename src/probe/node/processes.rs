//! The processes that matter: daemons of runtimes, shims, the kubelet.
//!
//! `comm` and `stat` are read of every process, the rest only of known ones, and only while they are not stuck in the
//! kernel: reading the arguments of a sick process can hang the reader.

use std::fs;
use std::path::Path;

use crate::endpoint::discover::below_run;
use crate::facts::process::{Exe, Footprint, Limits, Process, Proxy, Role};
use crate::facts::{Fact, Facts, Source};
use crate::probe::socket::host::{Host, text};

/// No node has so many shims; what is beyond is not looked at.
const MOST: usize = 5000;

/// Looks at the processes of a host that runs.
pub(super) fn look(root: &Path, live: bool) -> Fact<Vec<Process>> {
    if !live {
        return Fact::absent("no system runs here");
    }
    let host = Host::new(root);
    let mut pids = host.pids().peekable();
    if pids.peek().is_none() {
        return Fact::unknown("no process is visible in /proc");
    }
    let known = pids
        .filter_map(|pid| Some((pid, role(&host.comm(pid)?)?)))
        .take(MOST)
        .filter_map(|(pid, role)| process(&host, pid, role));
    Fact::known(known.collect(), Source::proc("/proc"))
}

/// What a process is for, by its command name (15 bytes at most).
fn role(comm: &str) -> Option<Role> {
    Some(match comm {
        "containerd" => Role::Containerd,
        "crio" => Role::Crio,
        "dockerd" => Role::Dockerd,
        "cri-dockerd" => Role::CriDockerd,
        "kubelet" | "kubelite" | "k3s-server" | "k3s-agent" | "rke2" => Role::Kubelet,
        "conmon" | "conmonrs" => Role::Conmon,
        comm if comm.starts_with("containerd-shim") => Role::Shim,
        _ => return None,
    })
}

fn process(host: &Host, pid: u32, role: Role) -> Option<Process> {
    let stat = host.stat(pid)?;
    let who = host.process(pid);
    let stuck = stat.state == 'D';
    let skipped = || "the process is stuck in the kernel and was not asked".to_owned();
    let arguments = if stuck {
        Fact::unknown(skipped())
    } else {
        match host.arguments(pid) {
            Some(arguments) => Fact::known(
                arguments.into_iter().map(covered).collect::<Vec<_>>(),
                Source::proc(format!("/proc/{pid}/cmdline")),
            ),
            None => Fact::unknown("the arguments cannot be read"),
        }
    };
    let daemon = !matches!(role, Role::Shim | Role::Conmon);
    let exe = match fs::read_link(host.of(pid, "exe")) {
        Ok(path) => Fact::known(
            exe(&path.to_string_lossy()),
            Source::proc(format!("/proc/{pid}/exe")),
        ),
        Err(error) => Fact::unknown(format!("/proc/{pid}/exe: {error}")),
    };
    let no_daemon = || "looked at for daemons only";
    let limits = match text(&host.of(pid, "limits")).filter(|_| daemon) {
        Some(text) => Fact::known(limits(&text), Source::proc(format!("/proc/{pid}/limits"))),
        None if daemon => Fact::unknown(format!("/proc/{pid}/limits cannot be read")),
        None => Fact::absent(no_daemon()),
    };
    let proxy = if !daemon {
        Fact::absent(no_daemon())
    } else if stuck {
        Fact::unknown(skipped())
    } else {
        match fs::read(host.of(pid, "environ")) {
            Ok(bytes) => Fact::known(proxy(&bytes), Source::proc(format!("/proc/{pid}/environ"))),
            Err(error) => Fact::unknown(format!("/proc/{pid}/environ: {error}")),
        }
    };
    let container = arguments
        .value()
        .and_then(|arguments| container(role, arguments));
    Some(Process {
        pid,
        role,
        state: stat.state,
        started_at: who.started_at,
        exe,
        directory: fs::read_link(host.of(pid, "cwd"))
            .ok()
            .map(|path| path.display().to_string()),
        unit: who.unit,
        limits,
        proxy,
        footprint: if daemon {
            footprint(host, pid)
        } else {
            Footprint::default()
        },
        container,
        arguments,
        mount_namespace: fs::read_link(host.of(pid, "ns/mnt"))
            .ok()
            .map(|path| path.display().to_string()),
    })
}

/// Takes secrets out of an argument.
fn covered(argument: String) -> String {
    crate::facts::files::without_secrets(&argument).into_owned()
}

fn exe(path: &str) -> Exe {
    match path.strip_suffix(" (deleted)") {
        Some(path) => Exe {
            path: path.to_owned(),
            deleted: true,
        },
        None => Exe {
            path: path.to_owned(),
            deleted: false,
        },
    }
}

/// Reads /proc/PID/limits, whose columns are found by their headings.
fn limits(text: &str) -> Limits {
    let row = |name: &str| -> Option<(Option<u64>, Option<u64>)> {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        let mut words = rest.split_whitespace().map(|word| word.parse().ok());
        Some((words.next()?, words.next()?))
    };
    let files = row("Max open files");
    Limits {
        files_soft: files.and_then(|(soft, _)| soft),
        files_hard: files.and_then(|(_, hard)| hard),
        processes_soft: row("Max processes").and_then(|(soft, _)| soft),
    }
}

/// Reads proxy settings from an environment; the small names count as well.
fn proxy(environment: &[u8]) -> Proxy {
    let mut proxy = Proxy::default();
    for variable in environment.split(|&byte| byte == 0) {
        let variable = String::from_utf8_lossy(variable);
        let Some((name, value)) = variable.split_once('=') else {
            continue;
        };
        if value.is_empty() {
            continue;
        }
        match name.to_ascii_uppercase().as_str() {
            "HTTP_PROXY" => proxy.http = true,
            "HTTPS_PROXY" => proxy.https = true,
            "NO_PROXY" => {
                proxy.except = value
                    .split(',')
                    .map(|entry| entry.trim().to_owned())
                    .collect();
            }
            _ => {}
        }
    }
    proxy
}

fn footprint(host: &Host, pid: u32) -> Footprint {
    let status = text(&host.of(pid, "status")).unwrap_or_default();
    let number = |name: &str| -> Option<u64> {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Footprint {
        threads: number("Threads:"),
        rss_bytes: number("VmRSS:").map(|kib| kib * 1024),
        files: fs::read_dir(host.of(pid, "fd"))
            .ok()
            .map(|entries| entries.count() as u64),
    }
}

/// The id that a shim or monitor was started for, if it is CRI's.
fn container(role: Role, arguments: &[String]) -> Option<String> {
    let value = |names: &[&str]| {
        let at = arguments
            .iter()
            .position(|argument| names.contains(&argument.as_str()))?;
        arguments.get(at + 1).cloned()
    };
    match role {
        Role::Shim => value(&["-id", "--id"]),
        Role::Conmon => value(&["-c", "--cid"]),
        _ => None,
    }
}

/// Leaves out shims and monitors that belong to somebody else: to Docker, to podman, to another containerd, or to a
/// node that runs inside a container of this one.
pub(super) fn keep_own(facts: &mut Facts, apart: bool) {
    let daemon = facts.daemon().cloned();
    let socket = facts.telling().map(|endpoint| {
        let path = endpoint.endpoint.path();
        let inside = path
            .strip_prefix(&facts.host.root)
            .map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest));
        below_run(&inside).into_owned()
    });
    let Fact::Known {
        value: processes, ..
    } = &mut facts.processes
    else {
        return;
    };
    processes.retain(|process| {
        let other_namespace = daemon.as_ref().is_some_and(|daemon| {
            daemon.mount_namespace.is_some()
                && process.mount_namespace.is_some()
                && daemon.mount_namespace != process.mount_namespace
        });
        match process.role {
            Role::Shim => {
                let namespace = process.argument(&["-namespace", "--namespace"]);
                let address = process.argument(&["-address", "--address"]);
                !other_namespace
                    && namespace.is_none_or(|namespace| namespace == "k8s.io")
                    && match (address, &socket) {
                        // Elsewhere the socket has another path.
                        (Some(address), Some(socket)) if !apart => {
                            below_run(Path::new(address)) == *socket
                        }
                        _ => true,
                    }
            }
            Role::Conmon => {
                let podman = process.arguments.value().is_some_and(|arguments| {
                    arguments.iter().any(|argument| argument.contains("podman"))
                });
                !other_namespace && !podman
            }
            _ => true,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_their_names() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             95521                95521                processes \n\
                    Max open files            1024                 unlimited            files     \n";
        assert_eq!(
            limits(text),
            Limits {
                files_soft: Some(1024),
                files_hard: None,
                processes_soft: Some(95521)
            }
        );
    }

    #[test]
    fn of_a_proxy_only_the_exceptions_are_kept() {
        let found = proxy(
            b"PATH=/bin\0https_proxy=http://u:p@proxy\0NO_PROXY=10.0.0.0/8, .svc\0HTTP_PROXY=\0",
        );
        assert_eq!(
            found,
            Proxy {
                http: false,
                https: true,
                except: vec!["10.0.0.0/8".into(), ".svc".into()]
            }
        );
    }

    #[test]
    fn what_was_replaced_is_called_deleted() {
        assert_eq!(
            exe("/usr/bin/containerd (deleted)"),
            Exe {
                path: "/usr/bin/containerd".into(),
                deleted: true
            }
        );
    }

    #[test]
    fn roles_and_ids() {
        assert_eq!(role("containerd-shim"), Some(Role::Shim));
        assert_eq!(role("bash"), None);
        let arguments: Vec<String> = [
            "containerd-shim-runc-v2",
            "-namespace",
            "k8s.io",
            "-id",
            "abc",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(container(Role::Shim, &arguments), Some("abc".to_owned()));
    }
}
