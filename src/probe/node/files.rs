//! Configuration files of the node, and what is at other paths that matter.
//!
//! What registries need is decided by [`Declared::wanted`]; the rest is the list below, the places that daemons name on
//! their command lines, and the directories that the runtime says that it uses. Everything is read below the host root,
//! or, where the daemon lives in a mount namespace of its own, below that one's.

mod distribution;
mod follow;
mod runtimes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;

use super::{Look, Seen};
use crate::facts::files::{AUTHORITIES, Kind, Stat};
use crate::facts::{Facts, Files, Process, Role};
use crate::probe::host_files::{self, Modified, Reader};
use crate::registry::declared::Declared;
use crate::registry::tree::{Entry, Want};

/// Files that are read where they exist.
const TEXTS: &[&str] = &[
    "/etc/crictl.yaml",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
    "/etc/kubernetes/kubelet.env",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
    "/etc/kubernetes/kubelet-config.yaml",
    "/etc/kubernetes/kubelet/kubelet-config.json",
    "/etc/kubernetes/kubelet/config.json",
    "/etc/kubernetes/kubelet/config",
    "/etc/kubernetes/kubelet.yaml",
    "/home/kubernetes/kubelet-config.yaml",
    "/etc/rancher/k3s/config.yaml",
    "/etc/rancher/rke2/config.yaml",
    "/etc/sysctl.conf",
    "/etc/modules",
    "/etc/docker/daemon.json",
    "/etc/crio/crio.conf",
    "/etc/containers/registries.conf",
    "/etc/containers/storage.conf",
    "/etc/containers/policy.json",
    "/etc/default/docker",
    "/etc/sysconfig/docker",
    "/etc/sysconfig/crio",
    "/var/lib/docker/image/overlay2/repositories.json",
];

/// Directories whose files with this ending are read.
const DIRECTORIES: &[(&str, &str)] = &[
    ("/etc/sysctl.d", ".conf"),
    ("/run/sysctl.d", ".conf"),
    ("/usr/local/lib/sysctl.d", ".conf"),
    ("/usr/lib/sysctl.d", ".conf"),
    ("/etc/modules-load.d", ".conf"),
    ("/run/modules-load.d", ".conf"),
    ("/usr/local/lib/modules-load.d", ".conf"),
    ("/usr/lib/modules-load.d", ".conf"),
    ("/etc/crio/crio.conf.d", ""),
    ("/etc/containers/registries.conf.d", ".conf"),
    ("/etc/containerd/conf.d", ".toml"),
    ("/etc/kubernetes/manifests", ".yaml"),
    ("/etc/rancher/k3s/config.yaml.d", ".yaml"),
    ("/etc/rancher/rke2/config.yaml.d", ".yaml"),
];

/// Units whose files are read, with their drop-ins.
const UNITS: &[&str] = &["containerd", "crio", "docker", "cri-docker", "kubelet"];

/// Where systemd looks for units, the strongest first.
const UNIT_DIRECTORIES: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Paths of which only matters what is there.
const STATS: &[&str] = &[
    "/var/run/dockershim.sock",
    "/var/run/docker.sock",
    "/var/lib/docker",
    "/var/lib/docker/containers",
    "/var/lib/docker/swarm",
    "/var/lib/docker/swarm/docker-state.json",
    "/run/dockershim.sock",
    "/var/lib/kubelet/config.json",
    "/root/.docker/config.json",
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/crio/clean.shutdown",
    "/var/lib/crio/clean.shutdown.supported",
    "/usr/bin/dockerd",
    "/etc/containerd",
    "/dev/kvm",
    "/etc/apparmor.d/abi/3.0",
    "/etc/nri/conf.json",
    "/etc/cni/net.d",
    "/opt/cni/bin",
    "/usr/lib/cni",
    "/usr/libexec/cni",
];

/// Programs that are looked for on the search path.
const PROGRAMS: &[&str] = &[
    "runc",
    "crun",
    "containerd-shim-runc-v2",
    "apparmor_parser",
    "dockerd",
    "containerd",
    "crio",
];

/// The search path of a daemon that systemd starts.
const SEARCH: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Which paths are looked at.
#[derive(Debug, Clone)]
pub(super) struct Places {
    root: PathBuf,
    staged: Option<PathBuf>,
    containerd_config: Option<PathBuf>,
    working_directory: Option<PathBuf>,
    /// Directories with programs beside those of the search path: where the daemon's own program is, for it looks for
    /// others there, too, and those of the distribution.
    beside: Vec<PathBuf>,
    texts: BTreeSet<PathBuf>,
    /// Directories, and the endings of the files in them that are read.
    directories: BTreeSet<(PathBuf, String)>,
    lists: BTreeSet<PathBuf>,
    stats: BTreeSet<PathBuf>,
}

impl Places {
    /// What matters, given what is already known.
    pub(super) fn of(look: &Look, seen: &Seen, facts: &Facts) -> Self {
        let path = |path: &&str| PathBuf::from(*path);
        let mut places = Self {
            root: seen.root.clone(),
            staged: look.staged.clone(),
            containerd_config: None,
            working_directory: None,
            beside: Vec::new(),
            texts: TEXTS.iter().map(path).collect(),
            directories: DIRECTORIES
                .iter()
                .map(|(directory, ending)| (PathBuf::from(*directory), (*ending).to_owned()))
                .collect(),
            lists: BTreeSet::from(["/etc/containerd".into()]),
            stats: STATS.iter().map(path).collect(),
        };
        for directory in UNIT_DIRECTORIES {
            for unit in UNITS {
                places
                    .texts
                    .insert(format!("{directory}/{unit}.service").into());
                places.directories.insert((
                    format!("{directory}/{unit}.service.d").into(),
                    ".conf".to_owned(),
                ));
            }
        }
        places.of_daemons(facts);
        if facts.daemon().is_none()
            && let Some(known) = distribution::of(&places.root, places.staged.as_deref())
        {
            places.containerd_config = Some(known.config.into());
            places.beside.extend(known.directories());
        }
        for program in PROGRAMS {
            places.program(program);
        }
        places.of_runtime(facts);
        places
    }

    /// What daemons name on their command lines.
    fn of_daemons(&mut self, facts: &Facts) {
        if let Some(daemon) = facts.daemon() {
            let exe = daemon.exe.value().map(|exe| Path::new(&exe.path));
            self.beside
                .extend(exe.and_then(Path::parent).map(Path::to_owned));
            self.working_directory = daemon.directory.clone().map(PathBuf::from);
            if daemon.role == Role::Containerd {
                self.containerd_config =
                    absolute(daemon, daemon.argument(&["--config", "-config", "-c"]));
            }
        }
        for kubelet in facts.processes(Role::Kubelet) {
            self.texts
                .extend(absolute(kubelet, kubelet.argument(&["--config"])));
            let directory = absolute(kubelet, kubelet.argument(&["--config-dir"]));
            self.directories
                .extend(directory.map(|directory| (directory, ".conf".to_owned())));
        }
        for docker in facts.processes(Role::Dockerd) {
            self.texts
                .extend(absolute(docker, docker.argument(&["--config-file"])));
            self.stats.extend(absolute(
                docker,
                docker.argument(&["--data-root", "-g", "--graph"]),
            ));
        }
        for crio in facts.processes(Role::Crio) {
            self.texts
                .extend(absolute(crio, crio.argument(&["--config", "-c"])));
            let directory = absolute(crio, crio.argument(&["--config-dir", "-d"]));
            self.directories
                .extend(directory.map(|directory| (directory, String::new())));
        }
    }

    /// The directories and programs that the runtime says that it uses.
    fn of_runtime(&mut self, facts: &Facts) {
        let networks = crate::facts::cri::networks(facts.cri.status.value());
        for directory in networks.config_directories {
            self.directories
                .insert((directory.clone().into(), ".conflist".to_owned()));
            self.directories
                .insert((directory.clone().into(), ".conf".to_owned()));
            self.directories
                .insert((directory.into(), ".json".to_owned()));
        }
        self.lists
            .extend(networks.binary_directories.iter().map(PathBuf::from));
        for handler in crate::facts::cri::handlers(facts.cri.status.value()) {
            for program in [handler.shim(), handler.binary].into_iter().flatten() {
                self.program(&program);
            }
        }
        let endpoints = facts.endpoints.value().into_iter().flatten();
        self.stats.extend(endpoints.map(|endpoint| {
            let path = endpoint.endpoint.path();
            path.strip_prefix(&self.root)
                .map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
        }));
    }

    /// Looks for a program where a daemon would.
    fn program(&mut self, program: &str) {
        let found = candidates(program, &self.beside);
        self.stats.extend(found);
    }
}

/// Where a program may be, by its name or path.
fn candidates(program: &str, beside: &[PathBuf]) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![program.into()];
    }
    let directories = SEARCH
        .iter()
        .map(Path::new)
        .chain(beside.iter().map(PathBuf::as_path));
    directories
        .map(|directory| directory.join(program))
        .collect()
}

/// A path as a process means it.
fn absolute(process: &Process, path: Option<&str>) -> Option<PathBuf> {
    let path = Path::new(path?);
    if path.is_absolute() {
        return Some(path.to_owned());
    }
    Some(Path::new(process.directory.as_deref()?).join(path))
}

/// Reads what is at these places.
pub(super) fn look(places: &Places) -> Files {
    let staged = places.staged.as_deref();
    let reader = Reader::open(&places.root, staged);
    let mut declared = Declared::default();
    if let Some(path) = &places.containerd_config {
        declared.containerd_config.clone_from(path);
    }
    if let Some(path) = &places.working_directory {
        declared.working_directory.clone_from(path);
    }
    let mut modified = host_files::read(&mut declared, &places.root, staged);
    let containerd_config = declared.containerd_config.clone();
    let working_directory = declared.working_directory.clone();
    let mut tree = declared.tree;

    let mut texts = places.texts.clone();
    for (directory, ending) in &places.directories {
        let entry = reader.look(directory, Want::Content, &mut Modified::new());
        if let Entry::Directory { names } = &entry {
            let files = names
                .iter()
                .filter(|name| name.ends_with(ending.as_str()) && !name.starts_with('.'));
            texts.extend(files.map(|name| directory.join(name)));
        }
        if tree.entry(directory).is_none() {
            tree.insert(directory, entry);
        }
    }
    for directory in &places.lists {
        tree.insert(
            directory,
            reader.look(directory, Want::Content, &mut Modified::new()),
        );
    }
    for path in texts {
        if tree.text(&path).is_none() {
            let mut entry = reader.look(&path, Want::Content, &mut modified);
            if path.starts_with("/etc/kubernetes/manifests") {
                entry = abridged(entry);
            }
            tree.insert(path, entry);
        }
    }
    let mut stats = places.stats.clone();
    for (path, ending) in follow::named(&tree) {
        let mut directory = None;
        if tree.entry(&path).is_none() || ending.is_some() {
            let entry = reader.look(&path, Want::Content, &mut modified);
            if let Entry::Directory { names } = &entry {
                directory = Some(names.clone());
            }
            tree.insert(&path, entry);
        }
        for name in directory.into_iter().flatten() {
            let file = path.join(&name);
            if ending.is_some_and(|endings| endings.iter().any(|ending| name.ends_with(ending)))
                && tree.text(&file).is_none()
            {
                let entry = reader.look(&file, Want::Content, &mut modified);
                tree.insert(file, entry);
            }
        }
    }
    stats.extend(follow::programs(&tree));
    for program in runtimes::programs(&tree) {
        stats.extend(candidates(&program, &places.beside));
    }
    for path in AUTHORITIES {
        if let Ok(Some(stat)) = reader.stat(Path::new(path)) {
            let since = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
            modified.insert(path.into(), SystemTime::UNIX_EPOCH + since);
        }
    }
    let stats = stats
        .iter()
        .filter_map(|path| Some((path.clone(), stat(&reader, path)?)));
    Files {
        stats: stats.collect(),
        tree,
        modified: modified
            .into_iter()
            .filter_map(|(path, time)| {
                Some((path, jiff::Timestamp::try_from(time).ok()?.to_string()))
            })
            .collect(),
        containerd_config,
        working_directory,
    }
}

/// Of a pod manifest only the lines about images and paths of the host: environments hold passwords.
fn abridged(entry: Entry) -> Entry {
    let Entry::Text { text } = entry else {
        return entry;
    };
    let kept = text.lines().map(|line| {
        let bare = line.trim_start().trim_start_matches("- ");
        let keep = [
            "image:",
            "path:",
            "hostPath:",
            "name:",
            "namespace:",
            "kind:",
        ]
        .iter()
        .any(|key| bare.starts_with(key));
        if keep { line } else { "" }
    });
    Entry::Text {
        text: kept.collect::<Vec<_>>().join("\n"),
    }
}

fn stat(reader: &Reader, path: &Path) -> Option<Option<Stat>> {
    let found = match reader.stat(path) {
        Ok(Some(found)) => found,
        Ok(None) => return Some(None),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "not looked at");
            return None;
        }
    };
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Socket => Kind::Socket,
        _ => Kind::Other,
    };
    Some(Some(Stat {
        kind,
        mode: found.st_mode & 0o7777,
        uid: found.st_uid,
        gid: found.st_gid,
        size: u64::try_from(found.st_size).unwrap_or(0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_manifests_only_what_is_judged_is_kept() {
        let text = "kind: Pod\nspec:\n  containers:\n  - image: a:1\n    env:\n    - name: P\n      value: hunter2\n";
        let Entry::Text { text } = abridged(Entry::Text {
            text: text.to_owned(),
        }) else {
            panic!()
        };
        assert!(text.contains("image: a:1") && !text.contains("hunter2"));
        assert_eq!(
            text.lines().nth(3),
            Some("  - image: a:1"),
            "lines keep their numbers"
        );
    }

    #[test]
    fn a_tree_of_files_is_read() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("etc/containerd/config.toml", "version = 2\n");
        write("etc/sysctl.d/99-k8s.conf", "net.ipv4.ip_forward = 1\n");
        write("usr/sbin/runc", "");
        let (look_at, facts) = (Look::at(root.path()), Facts::default());
        let places = Places::of(&look_at, &Seen::of(&look_at, &facts), &facts);
        let files = look(&places);
        assert_eq!(
            files.text("/etc/containerd/config.toml").unwrap(),
            "version = 2\n"
        );
        assert!(files.text("/etc/sysctl.d/99-k8s.conf").is_ok());
        assert_eq!(files.exists("/usr/sbin/runc"), Some(true));
        assert_eq!(files.exists("/usr/bin/runc"), Some(false));
        assert!(
            files
                .modified(Path::new("/etc/containerd/config.toml"))
                .is_some()
        );
    }
}
