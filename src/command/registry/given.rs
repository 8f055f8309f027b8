//! Files that were named on the command line, laid out where a node would have them.
//!
//! A single file is known by its name and, failing that, by what is in it. A directory is a node's tree if it has `etc`,
//! else what would lie in `/etc/containerd`, `/etc/containers` and `/etc/docker`.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::check::remark::Alias;
use crate::error::Error;
use crate::interrupt;
use crate::probe::host_files::{self, MAX_FILE, Modified, Reader};
use crate::registry::containerd::{import_patterns, imports_of};
use crate::registry::declared::Declared;
use crate::registry::document::Document;
use crate::registry::tree::{Entry, Tree, Want};
use crate::registry::version::{Fork, RuntimeId, RuntimeName, Version};
use crate::registry::{docker_daemon, k3s, registries_conf};

/// containerd's main file.
const CONFIG: &str = "/etc/containerd/config.toml";
/// Where hosts.toml files lie.
const CERTS: &str = "/etc/containerd/certs.d";
/// The most files that are read of a directory.
const MOST: usize = 2_000;

/// What was given.
pub struct Given {
    /// The files in their places.
    pub declared: Declared,
    /// What they are called here.
    pub aliases: Vec<Alias>,
    /// A file that was made up to give the others their meaning.
    pub scaffold: Option<PathBuf>,
    /// Imports of a config.toml that do not lie beside it, as they are written.
    pub missing_imports: Vec<String>,
    /// Whose files they are.
    name: RuntimeName,
    /// The distribution whose file it is.
    fork: Option<Fork>,
}

impl Given {
    /// Reads a file, a directory, or standard input for `-`.
    ///
    /// # Errors
    /// It cannot be read, or there is nothing of the kind in it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |error: &std::io::Error| {
            Error::usage(format!("cannot read `{}`", path.display())).because(error)
        };
        if path == Path::new("-") {
            let entry =
                interrupt::deaf(|| entry(std::io::stdin())).map_err(|error| failed(&error))?;
            return Ok(Self::file(
                CONFIG,
                "<stdin>",
                entry,
                RuntimeName::Containerd,
            ));
        }
        let metadata = std::fs::metadata(path).map_err(|error| failed(&error))?;
        if metadata.is_dir() {
            return Self::directory(path);
        }
        let pipe = path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd");
        if !metadata.is_file() && !pipe {
            // A pipe that nobody writes to would be waited for without end.
            return Err(unseen(path, &"not a regular file"));
        }
        let entry = std::fs::File::open(path)
            .and_then(entry)
            .map_err(|error| unseen(path, &error))?;
        let text = match &entry {
            Entry::Text { text } => text.as_str(),
            _ => "",
        };
        let shown = path.display().to_string();
        let given = match kind(path, text) {
            Kind::Config => {
                let mut given = Self::file(CONFIG, &shown, entry, RuntimeName::Containerd);
                given.read_imports(path);
                given
            }
            Kind::Rancher(fork) => {
                let place = k3s::registries_yaml(fork);
                let place = place.to_string_lossy();
                let mut given = Self::file(&place, &shown, entry, RuntimeName::Containerd);
                given.fork = Some(fork);
                given
            }
            Kind::Registries => Self::file(
                registries_conf::SYSTEM_FILE,
                &shown,
                entry,
                RuntimeName::Crio,
            ),
            Kind::Daemon => Self::file(docker_daemon::FILE, &shown, entry, RuntimeName::Docker),
            Kind::Hosts => {
                // The directory says whose images it is about.
                let parent = std::path::absolute(path).ok();
                let host = parent
                    .as_deref()
                    .and_then(Path::parent)
                    .and_then(Path::file_name)
                    .map_or("_default".into(), |name| name.to_string_lossy());
                let place = format!("{CERTS}/{host}/hosts.toml");
                let mut given = Self::file(&place, &shown, entry, RuntimeName::Containerd);
                given.list_beside(path, &host);
                given.add_scaffold();
                given
            }
        };
        Ok(given)
    }

    /// Whether the files are for this runtime: of its kind, and of its distribution where they are of one.
    pub fn is_for(&self, runtime: &RuntimeId) -> bool {
        runtime.name == self.name && (self.fork.is_none() || runtime.fork() == self.fork)
    }

    /// The runtime whose rules are applied where nobody says which: the newest kind of it that reads such a file.
    ///
    /// # Errors
    /// Never, as long as the versions here are versions.
    pub fn usual_runtime(&self) -> Result<RuntimeId, Error> {
        let text = self.declared.tree.text(Path::new(CONFIG)).unwrap_or("");
        let declares = |version: &str| {
            text.lines().any(|line| {
                let line = line.split('#').next().unwrap_or_default();
                line.split_once('=')
                    .is_some_and(|(key, value)| key.trim() == "version" && value.trim() == version)
            })
        };
        let version: &str = match self.name {
            RuntimeName::Containerd if self.fork == Some(Fork::K3s) => "2.1.5-k3s1",
            RuntimeName::Containerd if self.fork == Some(Fork::Rke2) => "2.1.5-rke2",
            RuntimeName::Containerd if declares("4") => "2.3.4",
            RuntimeName::Containerd if declares("3") => "2.2.0",
            RuntimeName::Containerd => "1.7.34",
            RuntimeName::Crio => "1.37.0",
            RuntimeName::Docker => "20.10.24",
        };
        let version = version.parse::<Version>().map_err(|error| {
            Error::failure("the usual version is none; this is a fault of criscope").because(&error)
        })?;
        Ok(RuntimeId::new(self.name, version))
    }

    /// One file. Of everything else on the node nothing is known, not even that it is absent.
    fn file(place: &str, shown: &str, entry: Entry, name: RuntimeName) -> Self {
        let mut tree = Tree::new();
        tree.insert(place, entry);
        Self {
            declared: Declared::new(tree),
            aliases: vec![Alias {
                node: place.to_owned(),
                shown: shown.to_owned(),
            }],
            scaffold: None,
            missing_imports: Vec::new(),
            name,
            fork: None,
        }
    }

    /// Says what lies beside a hosts.toml, without reading it.
    fn list_beside(&mut self, file: &Path, host: &str) {
        let beside = std::path::absolute(file).ok();
        let beside = beside.as_deref().and_then(Path::parent);
        let mut names = beside
            .and_then(|beside| host_files::names(beside, Path::new("/")).ok())
            .unwrap_or_default();
        if !names.iter().any(|name| name == "hosts.toml") {
            names.push("hosts.toml".to_owned());
            names.sort();
        }
        let host = host.to_owned();
        let tree = &mut self.declared.tree;
        tree.insert(Path::new(CERTS).join(&host), Entry::Directory { names });
        tree.insert(CERTS, Entry::Directory { names: vec![host] });
    }

    /// Reads what a config.toml imports, where it lies beside it: `/etc/containerd/conf.d` is `conf.d` there.
    fn read_imports(&mut self, file: &Path) {
        let beside = file.parent().unwrap_or(Path::new(""));
        let beside = if beside.as_os_str().is_empty() {
            Path::new(".")
        } else {
            beside
        };
        let mut pending = vec![PathBuf::from(CONFIG)];
        let mut known = vec![PathBuf::from(CONFIG)];
        while let Some(importer) = pending.pop() {
            let Some(text) = self.declared.tree.text(&importer) else {
                continue;
            };
            let document = Document::parse(&importer, text);
            for pattern in import_patterns(&document) {
                let target = imports_of(&importer, &pattern.value, true);
                let found = self.import(beside, &target);
                if found.is_empty() {
                    self.missing_imports.push(pattern.value.clone());
                    if !pattern.value.contains('*') {
                        let reason = "it does not lie beside the file".to_owned();
                        let entry = Entry::Unreadable { reason };
                        self.declared.tree.insert(target, entry);
                    }
                }
                for path in found {
                    if known.len() < MOST && !known.contains(&path) {
                        known.push(path.clone());
                        pending.push(path);
                    }
                }
            }
        }
    }

    /// Reads the files that a path or pattern of the node stands for.
    fn import(&mut self, beside: &Path, target: &Path) -> Vec<PathBuf> {
        let node = Path::new(CONFIG).parent().unwrap_or(Path::new("/"));
        let Some(directory) = target.parent() else {
            return Vec::new();
        };
        let Ok(relative) = directory.strip_prefix(node) else {
            return Vec::new();
        };
        let real = beside.join(relative);
        let mut names = self
            .declared
            .tree
            .names(directory)
            .map(<[String]>::to_vec)
            .unwrap_or_default();
        for name in host_files::names(&real, Path::new("/")).unwrap_or_default() {
            let path = directory.join(&name);
            if self.declared.tree.text(&path).is_some() || self.aliases.len() >= MOST {
                continue;
            }
            let mut with_name = Tree::new();
            with_name.add_text(path.clone(), "");
            if with_name.glob(target).is_empty() {
                continue;
            }
            let shown = real.join(&name);
            let Ok(entry) = std::fs::File::open(&shown).and_then(entry) else {
                continue;
            };
            self.aliases.push(Alias {
                node: path.display().to_string(),
                shown: shown.display().to_string(),
            });
            self.declared.tree.insert(path, entry);
            names.push(name);
        }
        if !names.is_empty() {
            names.sort();
            let listed = Entry::Directory { names };
            self.declared.tree.insert(directory, listed);
        }
        self.aliases
            .sort_by_key(|alias| std::cmp::Reverse(alias.node.len()));
        self.declared.tree.glob(target)
    }

    /// A config.toml that points at the hosts.toml files, for those that come without one.
    fn add_scaffold(&mut self) {
        let text = format!(
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"{CERTS}\"\n"
        );
        self.declared.tree.insert(CONFIG, Entry::Text { text });
        self.scaffold = Some(PathBuf::from(CONFIG));
    }

    fn directory(root: &Path) -> Result<Self, Error> {
        if root.join("etc").is_dir() {
            let mut declared = Declared::default();
            host_files::read(&mut declared, root, None);
            let name = owner(&declared.tree);
            return Ok(Self {
                declared,
                aliases: Vec::new(),
                scaffold: None,
                missing_imports: Vec::new(),
                name,
                fork: None,
            });
        }
        let mut tree = Tree::new();
        let mut aliases = Vec::new();
        let reader = Reader::open(root, None);
        let mut modified = Modified::new();
        let mut look = |relative: &Path| {
            let path = Path::new("/").join(relative);
            match reader.look(&path, Want::Content, &mut modified) {
                // It was listed.
                Entry::Absent => Entry::Unreadable {
                    reason: "a link to nowhere, or out of the directory".to_owned(),
                },
                entry => entry,
            }
        };
        let mut hosts = Vec::new();
        let mut pending = vec![PathBuf::new()];
        while let Some(relative) = pending.pop() {
            let names = match look(&relative) {
                Entry::Directory { names } => names,
                entry => {
                    // Too many names, or not to be listed.
                    if let Some(place) = directory_of(&relative, &[]) {
                        tree.insert(place, entry);
                    }
                    continue;
                }
            };
            if let Some(place) = directory_of(&relative, &names) {
                let names = names.clone();
                tree.insert(place, Entry::Directory { names });
            }
            for name in names {
                let relative = relative.join(name);
                let place = place_of(&relative);
                let deep = relative.components().count();
                if place.is_none() && deep >= 4 {
                    continue;
                }
                let path = root.join(&relative);
                if deep < 4 && path.is_dir() {
                    pending.push(relative);
                    continue;
                }
                let Some(place) = place.filter(|_| aliases.len() < MOST) else {
                    continue;
                };
                // A certs.d that was given itself.
                let above = relative.parent().and_then(Path::to_str);
                if let Some(host) = above.filter(|_| place.ends_with("hosts.toml") && deep == 2) {
                    hosts.push(host.to_owned());
                }
                aliases.push(Alias {
                    node: place.display().to_string(),
                    shown: path.display().to_string(),
                });
                tree.insert(place, look(&relative));
            }
        }
        if !hosts.is_empty() && tree.names(Path::new(CERTS)).is_none() {
            hosts.sort();
            tree.insert(CERTS, Entry::Directory { names: hosts });
        }
        if aliases.is_empty() {
            return Err(Error::usage(format!(
                "there is no registry configuration in `{}`",
                root.display()
            ))
            .hint(
                "name a directory with `etc` in it, or one with config.toml, certs.d, registries.conf or daemon.json",
            ));
        }
        aliases.sort_by_key(|alias| std::cmp::Reverse(alias.node.len()));
        let name = owner(&tree);
        let mut given = Self {
            declared: Declared::new(tree),
            aliases,
            scaffold: None,
            missing_imports: Vec::new(),
            name,
            fork: None,
        };
        let config = given.declared.tree.entry(Path::new(CONFIG));
        if name == RuntimeName::Containerd && matches!(config, None | Some(Entry::Absent)) {
            given.add_scaffold();
        }
        Ok(given)
    }
}

/// A kind of configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Config,
    Hosts,
    Registries,
    Daemon,
    Rancher(Fork),
}

/// What a file is, by its name, else by what is in it.
fn kind(path: &Path, text: &str) -> Kind {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let begins = |with: &str| text.lines().any(|line| line.trim_start().starts_with(with));
    if name.contains("hosts") && name.ends_with(".toml") {
        Kind::Hosts
    } else if name.contains("registries") && (name.ends_with(".yaml") || name.ends_with(".yml")) {
        let rke2 = path.components().any(|part| part.as_os_str() == "rke2");
        Kind::Rancher(if rke2 { Fork::Rke2 } else { Fork::K3s })
    } else if name.contains("registries") {
        Kind::Registries
    } else if name.ends_with(".json") || text.trim_start().starts_with('{') {
        Kind::Daemon
    } else if begins("[[registry") || begins("unqualified-search-registries") {
        Kind::Registries
    } else if begins("[host.") && !begins("[plugin") {
        Kind::Hosts
    } else {
        Kind::Config
    }
}

/// Where a file of a bare directory would lie on a node.
fn place_of(relative: &Path) -> Option<PathBuf> {
    let name = relative.file_name()?.to_str()?;
    let top = relative.components().next()?.as_os_str().to_str()?;
    let deep = relative.components().count();
    match (top, deep) {
        ("config.toml", 1) => Some(CONFIG.into()),
        ("certs.d" | "conf.d", 2..) => Some(Path::new("/etc/containerd").join(relative)),
        ("registries.conf", 1) => Some(registries_conf::SYSTEM_FILE.into()),
        ("registries.conf.d", 2) => Some(Path::new("/etc/containers").join(relative)),
        ("daemon.json", 1) => Some(docker_daemon::FILE.into()),
        // A certs.d itself.
        (_, 2) if name == "hosts.toml" => Some(Path::new(CERTS).join(relative)),
        _ => None,
    }
}

/// Where a directory of a bare directory would lie on a node, if what is not in it is absent there, too.
fn directory_of(relative: &Path, names: &[String]) -> Option<PathBuf> {
    let Some(top) = relative.components().next() else {
        let containerd = ["config.toml", "certs.d", "conf.d"];
        let has = |name: &String| containerd.contains(&name.as_str());
        return names.iter().any(has).then(|| "/etc/containerd".into());
    };
    match top.as_os_str().to_str()? {
        "certs.d" | "conf.d" => Some(Path::new("/etc/containerd").join(relative)),
        "registries.conf.d" => Some(Path::new("/etc/containers").join(relative)),
        // A directory of a certs.d, if it has a hosts.toml.
        _ if names.iter().any(|name| name == "hosts.toml") => Some(Path::new(CERTS).join(relative)),
        _ => None,
    }
}

/// A file that is there and was not read: nothing is known about it.
fn unseen(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::undetermined(format!("`{}` was not read", path.display()))
        .because(&std::io::Error::other(reason.to_string()))
}

/// Whose files they are: containerd's unless there are only those of another.
fn owner(tree: &Tree) -> RuntimeName {
    let has = |path: &str| {
        matches!(
            tree.entry(Path::new(path)),
            Some(Entry::Text { .. } | Entry::NotText { .. } | Entry::Directory { .. })
        )
    };
    if has(CONFIG) || has(CERTS) {
        RuntimeName::Containerd
    } else if has(registries_conf::SYSTEM_FILE) || has(registries_conf::SYSTEM_DIRECTORY) {
        RuntimeName::Crio
    } else if has(docker_daemon::FILE) {
        RuntimeName::Docker
    } else {
        RuntimeName::Containerd
    }
}

/// The content of a file, bounded.
fn entry(file: impl Read) -> std::io::Result<Entry> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("larger than {} KiB", MAX_FILE >> 10),
        ));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Entry::Text { text },
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let before = &error.as_bytes()[..good];
            Entry::NotText {
                line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is() {
        #[track_caller]
        fn case(name: &str, text: &str, expected: Kind) {
            assert_eq!(kind(Path::new(name), text), expected, "{name}");
        }
        case("config.toml", "", Kind::Config);
        case("config-1.toml", "[plugin.x]\n", Kind::Config);
        case("certs.d/docker.io/hosts.toml", "", Kind::Hosts);
        case("registries.conf", "", Kind::Registries);
        case("50-mirrors.conf", "[[registry]]\n", Kind::Registries);
        case("daemon.json", "", Kind::Daemon);
        case("registries.yaml", "", Kind::Rancher(Fork::K3s));
        case(
            "/etc/rancher/rke2/registries.yaml",
            "",
            Kind::Rancher(Fork::Rke2),
        );
        case("x", "{ }", Kind::Daemon);
        case("x", "server = \"y\"\n[host.\"https://m\"]\n", Kind::Hosts);
    }

    #[test]
    fn where_a_file_lies() {
        #[track_caller]
        fn case(relative: &str, expected: Option<&str>) {
            assert_eq!(place_of(Path::new(relative)), expected.map(PathBuf::from));
        }
        case("config.toml", Some("/etc/containerd/config.toml"));
        case("x/config.toml", None);
        case("expected.md", None);
        case("conf.d/a.toml", Some("/etc/containerd/conf.d/a.toml"));
        case(
            "certs.d/quay.io/hosts.toml",
            Some("/etc/containerd/certs.d/quay.io/hosts.toml"),
        );
        case(
            "quay.io/hosts.toml",
            Some("/etc/containerd/certs.d/quay.io/hosts.toml"),
        );
    }
}
