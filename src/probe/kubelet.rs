//! Which runtime endpoint the node's kubelet uses, and on which of its words.
//!
//! A running kubelet is asked first: its command line, then the configuration file that the command line names, then
//! the drop-in directory (kubelet reference, `--container-runtime-endpoint`, `--config`, `--config-dir`; field
//! `containerRuntimeEndpoint` of `KubeletConfiguration`, since 1.27). A flag beats the file. Where no kubelet is seen,
//! the files from which it would be started say the same: kubeadm's, the distributions', the unit's drop-ins.
//!
//! A kubelet that names no endpoint uses its default, which depends on its version, so nothing is concluded from it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::socket::Effort;
use super::socket::host::{Host, text};
use super::socket::units;
use crate::endpoint::discover::{Given, Source};
use crate::secret::cover::yaml_fault;

/// The flag that names the endpoint.
const FLAG: &str = "--container-runtime-endpoint";

/// Units in whose cgroup a kubelet runs, the usual one first.
const UNITS: &[&str] = &[
    "kubelet.service",
    "rke2-server.service",
    "rke2-agent.service",
    "k0sworker.service",
    "k0scontroller.service",
    "snap.microk8s.daemon-kubelite.service",
    "snap.microk8s.daemon-kubelet.service",
    // One process is everything there, and names the runtime to its kubelet in memory.
    "k3s.service",
    "k3s-agent.service",
];

/// Files that hold flags for the kubelet, in shell's or systemd's notation, the one that wins first: kubeadm's unit puts
/// the extra arguments behind its own.
const FLAG_FILES: &[&str] = &[
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
    "/var/lib/kubelet/kubeadm-flags.env",
];

/// Directories of drop-ins of the kubelet's unit.
const DROP_INS: &[&str] = &[
    "/etc/systemd/system/kubelet.service.d",
    "/usr/lib/systemd/system/kubelet.service.d",
];

/// Configuration files: the one the kubelet reads by kubeadm's unit, and the one from which kubeadm 1.32 and newer
/// patches it.
const CONFIG_FILES: &[&str] = &[
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
];

/// What the kubelet says about its runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kubelet {
    /// It names an endpoint.
    Names(Given),
    /// It names something that is no endpoint on this system: where, and why not.
    Odd(String),
    /// It says nothing.
    Silent,
}

/// Looks for the kubelet's endpoint. With [`Effort::Quick`] a kubelet outside the known units is looked for among all
/// processes only where the node has ever had one.
pub fn look(host: &Host, effort: Effort) -> Kubelet {
    let running = running(host).or_else(|| {
        (effort == Effort::Full || host.path("/var/lib/kubelet").is_dir())
            .then(|| among_all(host))?
    });
    if let Some(pid) = running {
        return of_process(host, pid);
    }
    let flags = FLAG_FILES.iter().map(|file| host.path(file));
    let drop_ins = DROP_INS
        .iter()
        .flat_map(|directory| confs(&host.path(directory)));
    for file in flags.chain(drop_ins) {
        let Some(content) = text(&file) else { continue };
        if let Some((line, value)) = flag_in_text(&content) {
            return given(&value, format!("{}:{line}", shown(host, &file)));
        }
    }
    for file in CONFIG_FILES {
        if let Some(found) = in_config(host, &host.path(file)) {
            return found;
        }
    }
    Kubelet::Silent
}

/// The kubelet in the cgroup of one of the known units.
fn running(host: &Host) -> Option<u32> {
    UNITS
        .iter()
        .map_while(|unit| units::processes(host, unit))
        .find_map(|pids| pids.into_iter().find(|pid| is_kubelet(host, *pid)))
}

/// The first kubelet among all processes.
fn among_all(host: &Host) -> Option<u32> {
    host.pids().find(|pid| is_kubelet(host, *pid))
}

fn is_kubelet(host: &Host, pid: u32) -> bool {
    host.comm(pid).is_some_and(|comm| comm == "kubelet")
}

/// What a running kubelet says.
fn of_process(host: &Host, pid: u32) -> Kubelet {
    let Some(arguments) = host.arguments(pid) else {
        return Kubelet::Silent;
    };
    if let Some(value) = flag(&arguments, FLAG) {
        return given(
            value,
            format!("the kubelet's command line (pid {pid}), {FLAG}"),
        );
    }
    // Until 1.23 the kubelet was a runtime itself if it was told to use Docker.
    if flag(&arguments, "--container-runtime") == Some("docker") {
        return given(
            "unix:///var/run/dockershim.sock",
            format!("the kubelet's command line (pid {pid}), --container-runtime=docker"),
        );
    }
    // A kubelet in a container has files of its own.
    let file = |path: &str| {
        let inside = host.of(pid, "root").join(path.trim_start_matches('/'));
        if inside.exists() {
            inside
        } else {
            host.path(path)
        }
    };
    let mut found = None;
    if let Some(directory) = flag(&arguments, "--config-dir") {
        // The later file wins.
        found = confs(&file(directory))
            .into_iter()
            .rev()
            .find_map(|conf| in_config(host, &conf));
    }
    found
        .or_else(|| in_config(host, &file(flag(&arguments, "--config")?)))
        .unwrap_or(Kubelet::Silent)
}

/// The value of a flag among arguments, the last one if it is there more than once.
fn flag<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut found = None;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == name {
            found = arguments.next().map(String::as_str).or(found);
        } else if let Some(value) = argument
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        {
            found = Some(value);
        }
    }
    found
}

/// The value of the endpoint's flag in a file of shell or systemd assignments, with the number of its line.
fn flag_in_text(text: &str) -> Option<(usize, String)> {
    let mut found = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.starts_with(['#', ';']) {
            continue;
        }
        for (at, _) in line.match_indices(FLAG) {
            let rest = line.get(at + FLAG.len()..).unwrap_or_default();
            let Some(value) = rest.strip_prefix(['=', ' ']) else {
                continue;
            };
            let value = value.trim_start().trim_start_matches(['"', '\'']);
            let end = value.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'));
            let value = value.get(..end.unwrap_or(value.len())).unwrap_or_default();
            if !value.is_empty() {
                found = Some((number, value.to_owned()));
            }
        }
    }
    found
}

/// The one field of `KubeletConfiguration` that is looked at.
#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "containerRuntimeEndpoint")]
    endpoint: Option<String>,
}

/// What a configuration file says; `None` if it is not there or does not say anything.
fn in_config(host: &Host, file: &Path) -> Option<Kubelet> {
    const FIELD: &str = "containerRuntimeEndpoint";
    let content = text(file)?;
    let line = content.lines().position(|line| line.contains(FIELD))? + 1;
    let place = format!("{}:{line}", shown(host, file));
    match serde_saphyr::from_str::<Configuration>(&content) {
        Ok(configuration) => configuration
            .endpoint
            .filter(|endpoint| !endpoint.is_empty())
            .map(|endpoint| given(&endpoint, place)),
        Err(error) => {
            let first = yaml_fault(&error.to_string());
            Some(Kubelet::Odd(format!(
                "{} cannot be read: {first}",
                shown(host, file)
            )))
        }
    }
}

fn given(value: &str, place: String) -> Kubelet {
    match value.parse() {
        Ok(endpoint) => Kubelet::Names(Given {
            endpoint,
            source: Source::Kubelet,
            detail: place,
        }),
        Err(error) => Kubelet::Odd(format!(
            "the kubelet's endpoint in {place} cannot be used: {error}"
        )),
    }
}

/// The `.conf` files of a directory in the order of their names.
fn confs(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .collect();
    files.sort();
    files
}

/// A path as it is called on the host.
fn shown(host: &Host, path: &Path) -> String {
    match path.strip_prefix(host.root()) {
        Ok(rest) => Path::new("/").join(rest).display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host whose files are given by path and content.
    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let file = root.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        let host = Host::new(root.path());
        (root, host)
    }

    #[track_caller]
    fn case(files: &[(&str, &str)], expected: Option<(&str, &str)>) {
        let (_root, host) = host(files);
        let found = match look(&host, Effort::Full) {
            Kubelet::Names(given) => {
                assert_eq!(given.source, Source::Kubelet);
                Some((given.endpoint.path().display().to_string(), given.detail))
            }
            Kubelet::Odd(why) => panic!("{why}"),
            Kubelet::Silent => None,
        };
        let found = found
            .as_ref()
            .map(|(path, detail)| (path.as_str(), detail.as_str()));
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_is_said_without_a_kubelet() {
        case(&[], None);
        case(
            &[("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=\"--v=2\"\n")],
            None,
        );
    }

    #[test]
    fn reads_the_files_a_kubelet_is_started_from() {
        case(
            &[(
                "/var/lib/kubelet/kubeadm-flags.env",
                "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/crio/crio.sock --pod-infra-container-image=a\"\n",
            )],
            Some((
                "/run/crio/crio.sock",
                "/var/lib/kubelet/kubeadm-flags.env:1",
            )),
        );
        case(
            &[(
                "/etc/default/kubelet",
                "# KUBELET_EXTRA_ARGS=--container-runtime-endpoint=/run/old.sock\n\nKUBELET_EXTRA_ARGS='--v=2 --container-runtime-endpoint /run/a.sock'\n",
            )],
            Some(("/run/a.sock", "/etc/default/kubelet:3")),
        );
        case(
            &[(
                "/etc/systemd/system/kubelet.service.d/20-runtime.conf",
                "[Service]\nEnvironment=\"ARGS=--container-runtime-endpoint=unix:///run/a.sock\"\n",
            )],
            Some((
                "/run/a.sock",
                "/etc/systemd/system/kubelet.service.d/20-runtime.conf:2",
            )),
        );
        case(
            &[
                (
                    "/var/lib/kubelet/config.yaml",
                    "kind: KubeletConfiguration\ncontainerRuntimeEndpoint: \"\"\n",
                ),
                (
                    "/var/lib/kubelet/instance-config.yaml",
                    "apiVersion: kubelet.config.k8s.io/v1beta1\ncontainerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n",
                ),
            ],
            Some((
                "/run/containerd/containerd.sock",
                "/var/lib/kubelet/instance-config.yaml:2",
            )),
        );
    }

    #[test]
    fn a_running_kubelet_is_believed_before_files() {
        let files = (
            "/var/lib/kubelet/kubeadm-flags.env",
            "A=--container-runtime-endpoint=/run/file.sock\n",
        );
        let comm = ("/proc/812/comm", "kubelet\n");
        case(
            &[
                files,
                comm,
                (
                    "/proc/812/cmdline",
                    "/usr/bin/kubelet\0--container-runtime-endpoint=/run/a.sock\0--container-runtime-endpoint\0/run/b.sock\0",
                ),
            ],
            Some((
                "/run/b.sock",
                "the kubelet's command line (pid 812), --container-runtime-endpoint",
            )),
        );
        case(
            &[
                files,
                comm,
                ("/proc/812/cmdline", "kubelet\0--config=/etc/k.yaml\0"),
                (
                    "/etc/k.yaml",
                    "containerRuntimeEndpoint: unix:///run/c.sock\n",
                ),
            ],
            Some(("/run/c.sock", "/etc/k.yaml:1")),
        );
        case(
            &[
                files,
                comm,
                (
                    "/proc/812/cmdline",
                    "kubelet\0--config=/etc/k.yaml\0--config-dir\0/etc/k.d\0",
                ),
                (
                    "/etc/k.yaml",
                    "containerRuntimeEndpoint: unix:///run/c.sock\n",
                ),
                (
                    "/etc/k.d/10.conf",
                    "containerRuntimeEndpoint: unix:///run/d.sock\n",
                ),
                (
                    "/etc/k.d/20.conf",
                    "containerRuntimeEndpoint: unix:///run/e.sock\n",
                ),
            ],
            Some(("/run/e.sock", "/etc/k.d/20.conf:1")),
        );
        case(
            &[
                files,
                comm,
                ("/proc/812/cmdline", "kubelet\0--container-runtime=docker\0"),
            ],
            Some((
                "/var/run/dockershim.sock",
                "the kubelet's command line (pid 812), --container-runtime=docker",
            )),
        );
        // It uses its default, whatever the files say now.
        case(&[files, comm, ("/proc/812/cmdline", "kubelet\0")], None);
    }

    #[test]
    fn finds_the_kubelet_by_its_unit() {
        let (_root, host) = host(&[
            (
                "/sys/fs/cgroup/system.slice/kubelet.service/cgroup.procs",
                "7\n812\n",
            ),
            ("/proc/7/comm", "sh\n"),
            ("/proc/812/comm", "kubelet\n"),
            (
                "/proc/812/cmdline",
                "kubelet\0--container-runtime-endpoint=/run/a.sock\0",
            ),
        ]);
        assert!(matches!(look(&host, Effort::Quick), Kubelet::Names(_)));
    }

    #[test]
    fn what_is_no_endpoint_is_told() {
        let (_root, host) = host(&[(
            "/etc/default/kubelet",
            "A=--container-runtime-endpoint=tcp://127.0.0.1:1\n",
        )]);
        let Kubelet::Odd(why) = look(&host, Effort::Quick) else {
            panic!("should be odd");
        };
        assert!(
            why.starts_with("the kubelet's endpoint in /etc/default/kubelet:1 cannot be used"),
            "{why}"
        );
    }
}
