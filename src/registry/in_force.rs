//! Which files a runtime has read, reads at every pull, or never reads; and whether one was changed since it started.
//!
//! containerd reads config.toml at its start and hosts.toml at every pull; CRI-O and dockerd read theirs at their start
//! (and at SIGHUP, which leaves no trace). Times are values here; whoever looked at the node has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::declared::Declared;
use super::docker_daemon;
use super::hosts_toml::FILE_NAME;
use super::image_ref::ImageRef;
use super::k3s;
use super::plan::containerd::{Mechanism, Planner};
use super::registries_conf::{self, RegistriesConf};
use super::version::{Fork, RuntimeId, RuntimeName};

/// When a runtime reads a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Read {
    /// When it starts: a change needs a restart.
    AtStart,
    /// At every pull: a change needs nothing.
    EveryPull,
    /// Never: it belongs to another runtime, or nothing points at it.
    Never,
}

/// A file, or a directory, of registry configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileState {
    /// The path as the node sees it.
    pub path: PathBuf,
    /// When it is read.
    pub read: Read,
    /// Who reads it, or why nobody does.
    pub why: String,
    /// Whether it was changed after the runtime started, so that what it says is not in force; nothing where that
    /// cannot be told, or does not matter.
    pub pending: Option<bool>,
}

/// When files were changed, and when the runtime started.
#[derive(Debug, Clone, Copy)]
pub struct Times<'t> {
    /// When each file was last changed.
    pub modified: &'t BTreeMap<PathBuf, SystemTime>,
    /// When the runtime was started, if it runs.
    pub started: Option<SystemTime>,
}

/// The files that have to do with pulling images, for a runtime.
pub fn files(
    declared: &Declared,
    runtime: &RuntimeId,
    images: &[ImageRef],
    times: Times<'_>,
) -> Vec<FileState> {
    let mut found = match runtime.name {
        RuntimeName::Containerd => of_containerd(declared, runtime, images),
        RuntimeName::Crio => of_crio(declared),
        RuntimeName::Docker => of_docker(declared, images),
    };
    let known: BTreeSet<PathBuf> = found.iter().map(|file| file.path.clone()).collect();
    let foreign = foreign(declared, runtime);
    found.extend(
        foreign
            .into_iter()
            .filter(|file| !known.contains(&file.path)),
    );
    for file in &mut found {
        if file.read == Read::AtStart {
            file.pending = pending(times.modified.get(&file.path).copied(), times.started);
        }
    }
    found.sort_by(|a, b| (a.read, &a.path).cmp(&(b.read, &b.path)));
    found.dedup_by(|a, b| a.path == b.path);
    found
}

/// How exactly the time of a start is known, in seconds: the kernel counts from its own start, which it rounds.
const GRAIN: u64 = 2;

/// Whether a change came after the start; nothing where the two are too close to tell.
fn pending(modified: Option<SystemTime>, started: Option<SystemTime>) -> Option<bool> {
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .map(|since| since.as_secs())
    };
    let (modified, started) = (seconds(modified?)?, seconds(started?)?);
    (modified.abs_diff(started) > GRAIN).then_some(modified > started)
}

fn state(path: impl Into<PathBuf>, read: Read, why: impl Into<String>) -> FileState {
    FileState {
        path: path.into(),
        read,
        why: why.into(),
        pending: None,
    }
}

fn of_containerd(declared: &Declared, runtime: &RuntimeId, images: &[ImageRef]) -> Vec<FileState> {
    let planner = Planner::new(declared, runtime);
    let main = &declared.containerd_config;
    let mut found: Vec<FileState> = planner
        .config()
        .files
        .iter()
        .map(|file| {
            let why = if *file.path == **main {
                "containerd reads it when it starts"
            } else {
                "containerd reads it when it starts, since config.toml imports it"
            };
            state(file.path.to_path_buf(), Read::AtStart, why)
        })
        .collect();
    for directory in declared.dropin_directories() {
        for name in declared.tree.names(&directory).unwrap_or_default() {
            let path = directory.join(name);
            if name.ends_with(".toml") && declared.tree.text(&path).is_some() {
                let known = found.iter().any(|file| file.path == path);
                found.extend(
                    (!known).then(|| state(path, Read::Never, "config.toml does not import it")),
                );
            }
        }
    }
    let roots = match planner.mechanism() {
        Mechanism::Directories { roots, .. } => roots,
        Mechanism::Mirrors => Vec::new(),
    };
    for image in images {
        let directory = planner.directory(image.domain(), &roots, &mut Vec::new());
        let path = directory.map(|directory| directory.path.join(FILE_NAME));
        if let Some(path) = path.filter(|path| declared.tree.text(path).is_some()) {
            found.push(state(
                path,
                Read::EveryPull,
                "containerd reads it at every pull",
            ));
        }
    }
    for root in ["/etc/containerd/certs.d", "/etc/docker/certs.d"] {
        let root = Path::new(root);
        let used = declared
            .tree
            .names(root)
            .is_some_and(|names| !names.is_empty());
        if used && !roots.iter().any(|known| known == root) {
            let why = match &planner.config().registry.config_path {
                Some(path) => format!("`config_path` is `{}`", path.value()),
                None => "`config_path` is not set".to_owned(),
            };
            found.push(state(root, Read::Never, why));
        }
    }
    if let Some(fork) = runtime.fork() {
        let path = k3s::registries_yaml(fork);
        if declared.tree.text(&path).is_some() {
            let why = format!("{fork} writes hosts.toml files from it when it starts");
            found.push(state(path, Read::AtStart, why));
        }
    }
    found
}

fn of_crio(declared: &Declared) -> Vec<FileState> {
    RegistriesConf::load(&declared.tree)
        .files
        .into_iter()
        .map(|path| {
            state(
                path,
                Read::AtStart,
                "CRI-O reads it when it starts, and at SIGHUP",
            )
        })
        .collect()
}

fn of_docker(declared: &Declared, images: &[ImageRef]) -> Vec<FileState> {
    let mut found = Vec::new();
    if declared.tree.text(Path::new(docker_daemon::FILE)).is_some() {
        let why = "dockerd reads it when it starts, and at SIGHUP";
        found.push(state(docker_daemon::FILE, Read::AtStart, why));
    }
    for image in images {
        let directory = Path::new(docker_daemon::CERTS_DIRECTORY).join(image.domain());
        if declared.tree.names(&directory).is_some() {
            let why = "dockerd reads it at every pull";
            found.push(state(directory, Read::EveryPull, why));
        }
    }
    found
}

/// What is there and belongs to other runtimes.
fn foreign(declared: &Declared, runtime: &RuntimeId) -> Vec<FileState> {
    let mut candidates: Vec<(PathBuf, &str, bool)> = vec![
        (
            docker_daemon::FILE.into(),
            "dockerd's",
            runtime.name == RuntimeName::Docker,
        ),
        (
            registries_conf::SYSTEM_FILE.into(),
            "CRI-O's and podman's",
            runtime.name == RuntimeName::Crio,
        ),
        (
            declared.containerd_config.clone(),
            "containerd's",
            runtime.name == RuntimeName::Containerd,
        ),
    ];
    for (fork, owner) in [(Fork::K3s, "k3s's"), (Fork::Rke2, "rke2's")] {
        let own = runtime.fork() == Some(fork);
        candidates.push((k3s::registries_yaml(fork), owner, own));
    }
    candidates
        .into_iter()
        .filter(|(path, _, own)| !own && declared.tree.text(path).is_some())
        .map(|(path, owner, _)| {
            let why = format!("it is {owner}, and {} does not read it", runtime.name);
            state(path, Read::Never, why)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::tree::{Entry, Tree};

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn node(files: &[&str]) -> Declared {
        let mut tree = Tree::new();
        tree.insert("/", Entry::Directory { names: Vec::new() });
        for path in files {
            let text = if path.ends_with("config.toml") {
                "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/certs\"\n"
            } else {
                "{}\n"
            };
            tree.add_text(*path, text);
        }
        Declared::new(tree)
    }

    fn seen(
        declared: &Declared,
        runtime: &str,
        changed: &[(&str, u64)],
        started: u64,
    ) -> Vec<String> {
        let modified = changed
            .iter()
            .map(|(path, second)| (PathBuf::from(path), at(*second)))
            .collect();
        let times = Times {
            modified: &modified,
            started: Some(at(started)),
        };
        let images = ["reg.test/a:1".parse().unwrap()];
        files(declared, &runtime.parse().unwrap(), &images, times)
            .into_iter()
            .map(|file| format!("{:?} {} {:?}", file.read, file.path.display(), file.pending))
            .collect()
    }

    #[test]
    fn what_is_read_when_and_what_never() {
        let config = "/etc/containerd/config.toml";
        let node = node(&[
            config,
            "/certs/reg.test/hosts.toml",
            "/certs/other.test/hosts.toml",
            "/etc/containerd/certs.d/reg.test/hosts.toml",
            "/etc/docker/daemon.json",
        ]);
        assert_eq!(
            seen(&node, "containerd@1.7.34", &[(config, 20)], 10),
            [
                "AtStart /etc/containerd/config.toml Some(true)",
                "EveryPull /certs/reg.test/hosts.toml None",
                "Never /etc/containerd/certs.d None",
                "Never /etc/docker/daemon.json None",
            ]
        );
        assert_eq!(
            seen(
                &node,
                "docker@20.10.24",
                &[("/etc/docker/daemon.json", 5)],
                10
            ),
            [
                "AtStart /etc/docker/daemon.json Some(false)",
                "Never /etc/containerd/config.toml None",
            ]
        );
    }

    #[test]
    fn what_is_too_close_is_not_known() {
        #[track_caller]
        fn case(modified: Option<u64>, started: Option<u64>, expected: Option<bool>) {
            assert_eq!(pending(modified.map(at), started.map(at)), expected);
        }
        case(Some(5), Some(10), Some(false));
        case(Some(10), Some(10), None);
        case(Some(12), Some(10), None);
        case(Some(13), Some(10), Some(true));
        case(None, Some(10), None);
        case(Some(5), None, None);
    }
}
