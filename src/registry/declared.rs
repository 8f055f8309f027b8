//! Everything that a node's files say about registries, as far as it was read: the one input of plans and lints.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::containerd::{self, import_patterns, imports_of};
use super::crio_conf;
use super::docker_daemon;
use super::document::Document;
use super::golang::clean_path;
use super::hosts_toml;
use super::node::{Node, Table, Value};
use super::plan;
use super::registries_conf;
use super::rules::Rules;
use super::tree::{Entry, Tree, Want};

/// The directories that containerd 2.2 and dockerd look into unasked.
const CERTS_DIRECTORIES: [&str; 2] = ["/etc/containerd/certs.d", "/etc/docker/certs.d"];

/// Which images CRI-O accepts.
pub const POLICY_FILE: &str = "/etc/containers/policy.json";

/// The files of a node, and where its daemons were told to look for them.
#[derive(Debug, Clone)]
pub struct Declared {
    /// What was read.
    pub tree: Tree,
    /// containerd's main file (`--config`).
    pub containerd_config: PathBuf,
    /// The working directory of the daemons, to which relative certificate paths refer.
    pub working_directory: PathBuf,
    rules: Option<Arc<Rules>>,
}

impl Default for Declared {
    /// Nothing read yet, everything in its usual place.
    fn default() -> Self {
        Self::new(Tree::new())
    }
}

impl Declared {
    /// A node with everything in its usual place.
    pub fn new(tree: Tree) -> Self {
        Self {
            tree,
            containerd_config: "/etc/containerd/config.toml".into(),
            working_directory: "/".into(),
            rules: None,
        }
    }

    /// Uses another data file of runtime rules.
    pub fn with_rules(mut self, rules: Arc<Rules>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// The rules by which versions differ.
    pub fn rules(&self) -> &Rules {
        self.rules.as_deref().unwrap_or_else(|| Rules::builtin())
    }

    /// What should be read next, given what has been read: for every runtime and version, so that the answer does not
    /// depend on which one runs. Empty when nothing is left. Bounded by the size of what was read.
    pub fn wanted(&self) -> Vec<(PathBuf, Want)> {
        let mut wanted = Wanted {
            tree: &self.tree,
            paths: BTreeSet::new(),
        };
        let mut roots: BTreeSet<PathBuf> = CERTS_DIRECTORIES.iter().map(PathBuf::from).collect();
        // The transfer service takes the default list of directories as one name.
        roots.insert(PathBuf::from(CERTS_DIRECTORIES.join(":")));
        let mut files = vec![self.containerd_config.clone()];
        let mut seen = BTreeSet::new();
        while let Some(path) = files.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            let Some(text) = wanted.text(&path) else {
                continue;
            };
            let document = Document::parse(&path, text);
            for pattern in import_patterns(&document) {
                for relative in [true, false] {
                    let target = imports_of(&path, &pattern.value, relative);
                    if pattern.value.contains('*') {
                        for directory in self.tree.glob_directories(&target) {
                            wanted.look(&directory, Want::Content);
                        }
                        files.extend(self.tree.glob(&target));
                    } else {
                        files.push(target);
                    }
                }
            }
            self.sections(&document.root, &mut wanted, &mut roots);
        }
        for directory in self.dropin_directories() {
            wanted.look(&directory, Want::Content);
        }
        self.other_runtimes(&mut wanted, &mut roots);
        for root in roots {
            wanted.certs_directory(&root);
        }
        wanted.paths.into_iter().collect()
    }

    /// The files of CRI-O and dockerd.
    fn other_runtimes(&self, wanted: &mut Wanted<'_>, roots: &mut BTreeSet<PathBuf>) {
        for file in [
            docker_daemon::FILE,
            registries_conf::SYSTEM_FILE,
            registries_conf::USER_FILE,
            registries_conf::ALIASES_FILE,
            crio_conf::FILE,
            POLICY_FILE,
            "/etc/rancher/k3s/registries.yaml",
            "/etc/rancher/rke2/registries.yaml",
        ] {
            wanted.look(Path::new(file), Want::Content);
        }
        for directory in [
            registries_conf::SYSTEM_DIRECTORY,
            registries_conf::USER_DIRECTORY,
            crio_conf::DIRECTORY,
        ] {
            let directory = Path::new(directory);
            wanted.look(directory, Want::Content);
            for name in self.tree.names(directory).unwrap_or_default() {
                wanted.look(&directory.join(name), Want::Content);
            }
        }
        roots.extend(plan::crio::CERTS_DIRECTORIES.map(PathBuf::from));
        let section = crio_conf::ImageSection::load(&self.tree);
        for file in [section.global_auth_file, section.pause_image_auth_file]
            .into_iter()
            .flatten()
        {
            wanted.look(&self.absolute(&file.value), Want::Accounts);
        }
        if let Some(policy) = section.signature_policy {
            wanted.look(&self.absolute(&policy.value), Want::Content);
        }
    }

    /// What the registry sections of a config.toml point at, whatever table they stand in.
    fn sections(&self, root: &Table, wanted: &mut Wanted<'_>, roots: &mut BTreeSet<PathBuf>) {
        let plugins = ["plugins", "plugin"]
            .into_iter()
            .filter_map(|name| root.table(name));
        let tables = plugins
            .flat_map(|plugins| plugins.iter())
            .filter_map(|(_, entry)| entry.node.table());
        for registry in tables.filter_map(|table| table.table("registry")) {
            if let Some(path) = registry.node("config_path").and_then(Node::str) {
                roots.insert(self.absolute(path));
                roots.extend(
                    path.split(':')
                        .filter(|part| !part.is_empty())
                        .map(|part| self.absolute(part)),
                );
            }
            let configs = registry.table("configs").into_iter().flat_map(Table::iter);
            for (_, entry) in configs {
                let Some(tls) = entry.node.table().and_then(|config| config.table("tls")) else {
                    continue;
                };
                for (key, want) in [
                    ("ca_file", Want::Content),
                    ("cert_file", Want::Labels),
                    ("key_file", Want::Labels),
                ] {
                    if let Some(file) = tls
                        .node(key)
                        .and_then(Node::str)
                        .filter(|file| !file.is_empty())
                    {
                        wanted.look(&self.absolute(file), want);
                    }
                }
            }
        }
    }

    /// Where drop-ins of containerd are usually put, read or not.
    pub fn dropin_directories(&self) -> BTreeSet<PathBuf> {
        let beside = self
            .containerd_config
            .parent()
            .map(|directory| directory.join("conf.d"));
        beside
            .into_iter()
            .chain(["/etc/containerd/conf.d".into()])
            .collect()
    }

    /// A path as the daemons resolve it.
    pub fn absolute(&self, path: &str) -> PathBuf {
        clean_path(&self.working_directory.join(path).to_string_lossy()).into()
    }
}

/// A collection of paths that nobody has looked at.
struct Wanted<'t> {
    tree: &'t Tree,
    paths: BTreeSet<(PathBuf, Want)>,
}

impl<'t> Wanted<'t> {
    /// Asks for a path unless it is known.
    fn look(&mut self, path: &Path, want: Want) {
        if self.tree.entry(path).is_none() {
            self.paths.insert((path.to_owned(), want));
        }
    }

    /// The text of a file; asks for it if nobody has looked.
    fn text(&mut self, path: &Path) -> Option<&'t str> {
        self.look(path, Want::Content);
        self.tree.text(path)
    }

    /// A directory of the form `certs.d`, with everything that its hosts name.
    fn certs_directory(&mut self, root: &Path) {
        self.look(root, Want::Content);
        for host in self.tree.names(root).unwrap_or_default() {
            let directory = root.join(host);
            self.look(&directory, Want::Content);
            let Some(names) = self.tree.names(&directory) else {
                continue;
            };
            for name in names {
                let path = directory.join(name);
                if name == "hosts.toml" {
                    if let Some(text) = self.text(&path) {
                        self.hosts_file(&path, &directory, text);
                    }
                } else if name.ends_with(".crt") {
                    self.look(&path, Want::Content);
                } else if name.ends_with(".cert") || name.ends_with(".key") {
                    self.look(&path, Want::Labels);
                }
            }
        }
    }

    fn hosts_file(&mut self, path: &Path, directory: &Path, text: &str) {
        let document = Document::parse(path, text);
        let hosts = document
            .root
            .table("host")
            .into_iter()
            .flat_map(Table::iter)
            .filter_map(|(_, entry)| entry.node.table());
        for table in std::iter::once(&document.root).chain(hosts) {
            for (key, want) in [("ca", Want::Content), ("client", Want::Labels)] {
                let mut names = Vec::new();
                if let Some(node) = table.node(key) {
                    strings_in(node, &mut names);
                }
                for name in names {
                    self.look(&hosts_toml::absolute(directory, name), want);
                }
            }
        }
    }
}

/// All strings in a value of any shape.
fn strings_in<'n>(node: &'n Node, found: &mut Vec<&'n str>) {
    match &node.value {
        Value::String(text) => found.push(text),
        Value::Array(nodes) => nodes.iter().for_each(|node| strings_in(node, found)),
        _ => {}
    }
}

impl Declared {
    /// Whether a path is known to be missing.
    pub fn is_absent(&self, path: &Path) -> bool {
        matches!(self.tree.entry(path), Some(Entry::Absent))
    }

    /// containerd's configuration as a version of it would read it.
    pub fn containerd(&self, runtime: &super::RuntimeId) -> containerd::Config {
        containerd::load(self, runtime)
    }
}
