//! `certs.d/HOST/hosts.toml` and the certificate files that docker keeps in the same place, as a version of
//! containerd reads them (`core/remotes/docker/config/hosts.go` of the release tags).
//!
//! A fault of any kind does not stop a pull: the daemon writes one line to its log and goes on as if there were no
//! hosts.toml. So reading never fails here either; the fault is part of the answer.

mod reader;

use std::path::{Path, PathBuf};

use super::document::Document;
use super::golang::clean_path;
use super::node::Table;
use super::rules::Rules;
use super::text::{Located, Place};
use super::tree::{self, Tree};
use super::version::RuntimeId;
use reader::{Reader, Rejected};

/// The file name that counts.
pub const FILE_NAME: &str = "hosts.toml";

/// What a directory below `certs.d` comes to.
#[derive(Debug, Clone)]
pub struct HostDirectory {
    /// The directory.
    pub path: PathBuf,
    /// The hosts in the order in which they are asked. The last one is the server; without an address it stands for
    /// the namespace itself.
    pub hosts: Vec<Host>,
    /// Why hosts.toml is not in force, if it exists and is not.
    pub fault: Option<Fault>,
    /// Whether every pull for the namespace fails with this, instead of going on with defaults.
    pub fatal: Option<Fault>,
    /// Files that nobody has read: the rest is then a guess.
    pub unread: Vec<PathBuf>,
}

/// What is wrong with a hosts.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The daemon's words, or ours where it has none that help.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// One host of a hosts.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Where it is written; the directory itself for one that is nowhere written.
    pub place: Place,
    /// Scheme, host and path; `None` for the namespace's own server.
    pub address: Option<Address>,
    /// What it may be asked.
    pub capabilities: Capabilities,
    /// `ca`, or `*.crt`: certificate authorities.
    pub ca: Option<Vec<Located<PathBuf>>>,
    /// `client`, or `*.cert` with `*.key`: client certificates.
    pub client: Option<Vec<ClientPair>>,
    /// `skip_verify`.
    pub skip_verify: Option<bool>,
    /// The names of `header`.
    pub headers: Vec<Located<String>>,
    /// Whether `dial_timeout` is set and in force.
    pub dial_timeout: bool,
    /// `rewrite`, which only the containerd of k3s and rke2 knows: patterns for the repository, and what takes their
    /// place.
    pub rewrites: Vec<(String, String)>,
    /// Whether this is the `server`, the last one.
    pub server: bool,
}

/// A client certificate; without a key, the certificate's file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPair {
    /// PEM file of the certificate.
    pub cert: Located<PathBuf>,
    /// PEM file of the key.
    pub key: Option<PathBuf>,
}

/// Where a host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `https`, `http`, or whatever was written.
    pub scheme: String,
    /// Host with its port, if it has one.
    pub host: String,
    /// What stands before the repository: `/v2`.
    pub path: String,
}

/// What a host may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Manifests and blobs by digest.
    pub pull: bool,
    /// From a tag to a digest.
    pub resolve: bool,
    /// Uploads.
    pub push: bool,
}

impl Capabilities {
    /// Everything, the default.
    pub const ALL: Self = Self {
        pull: true,
        resolve: true,
        push: true,
    };
}

/// The directory that a namespace is looked up in, below one root: the first that exists. `Err` carries a path that
/// would have to be looked at first.
pub fn directory_of(tree: &Tree, root: &Path, namespace: &str) -> Result<Option<PathBuf>, PathBuf> {
    for name in directory_names(namespace) {
        let path = root.join(name);
        match tree.entry(&path) {
            Some(tree::Entry::Absent) => {}
            Some(_) => return Ok(Some(path)),
            None if tree.exists(&path) => return Ok(Some(path)),
            None => return Err(path),
        }
    }
    Ok(None)
}

/// The names under which a namespace is looked up: `HOST_PORT_`, `HOST:PORT`, `_default`.
pub fn directory_names(namespace: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Some((host, port)) = namespace
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
    {
        names.push(format!("{host}_{port}_"));
    }
    names.extend([namespace.to_owned(), "_default".to_owned()]);
    names
}

/// A path in a hosts.toml, which is relative to its directory.
pub fn absolute(directory: &Path, path: &str) -> PathBuf {
    if path.starts_with('/') {
        path.into()
    } else {
        clean_path(&directory.join(path).to_string_lossy()).into()
    }
}

/// Reads a directory as a version of containerd does.
pub fn read(tree: &Tree, directory: &Path, rules: &Rules, runtime: &RuntimeId) -> HostDirectory {
    let mut found = HostDirectory {
        path: directory.to_owned(),
        hosts: Vec::new(),
        fault: None,
        fatal: None,
        unread: Vec::new(),
    };
    let path = directory.join(FILE_NAME);
    let reader = Reader {
        directory,
        rules,
        runtime,
    };
    match tree.entry(&path) {
        Some(tree::Entry::Text { text }) if !text.is_empty() => match reader.file(&path, text) {
            Ok(hosts) => {
                found.hosts = hosts;
                return found;
            }
            Err(Rejected::Defaults(fault)) => found.fault = Some(fault),
            Err(Rejected::Crash(fault)) => found.fatal = Some(fault),
        },
        Some(tree::Entry::NotText { line }) => {
            let place = Place {
                line: *line,
                ..Place::start_of(&path)
            };
            found.fault = Some(Fault {
                message: "invalid UTF-8".to_owned(),
                place,
            });
        }
        Some(tree::Entry::Unreadable { .. }) => found.unread.push(path),
        None => found.unread.push(path),
        Some(tree::Entry::Directory { .. }) => {
            let message = format!("read {}: is a directory", path.display());
            found.fatal = Some(Fault {
                message,
                place: Place::start_of(&path),
            });
        }
        _ => {}
    }
    if tree.names(directory).is_none()
        && !matches!(tree.entry(directory), Some(tree::Entry::Text { .. }))
    {
        found.unread.push(directory.to_owned());
    }
    found.hosts = vec![certificates(tree, directory)];
    found
}

/// Everything that keeps a hosts.toml from being in force, one fault for each host: [`read`] stops at the first.
pub fn faults(
    document: &Document,
    directory: &Path,
    rules: &Rules,
    runtime: &RuntimeId,
) -> Vec<Fault> {
    let reader = Reader {
        directory,
        rules,
        runtime,
    };
    let hosts = reader
        .field(&document.root, "host")
        .and_then(|entry| entry.node.table());
    let tables = hosts
        .into_iter()
        .flat_map(Table::in_order)
        .filter_map(|(url, entry)| Some((Some(url), entry, entry.node.table()?)));
    let mut found: Vec<Fault> = tables
        .filter_map(|(url, entry, table)| {
            let url = url.map(|url| Located::new(url.to_owned(), entry.node.place.clone()));
            reader
                .types(table)
                .and_then(|()| reader.host(url, &entry.key, table))
                .err()
        })
        .collect();
    let place = Place::start_of(directory);
    found.extend(
        reader
            .types(&document.root)
            .and_then(|()| reader.host(None, &place, &document.root))
            .err(),
    );
    found
}

/// docker's layout: `*.crt` are authorities, `*.cert` with `*.key` a client pair.
fn certificates(tree: &Tree, directory: &Path) -> Host {
    let mut host = Host::upstream(Place::start_of(directory));
    let mut authorities = Vec::new();
    let mut pairs = Vec::new();
    for name in tree.names(directory).unwrap_or_default() {
        let path = directory.join(name);
        if tree.names(&path).is_some() {
            continue;
        }
        let place = Place::start_of(&path);
        if name.ends_with(".crt") {
            authorities.push(Located::new(path.clone(), place.clone()));
        }
        if let Some(stem) = name.strip_suffix(".cert") {
            let key = directory.join(format!("{stem}.key"));
            let key = tree.exists(&key).then_some(key);
            pairs.push(ClientPair {
                cert: Located::new(path, place),
                key,
            });
        }
    }
    host.ca = Some(authorities).filter(|found| !found.is_empty());
    host.client = Some(pairs).filter(|found| !found.is_empty());
    host
}

impl Host {
    /// The server of a namespace for which nothing is written.
    pub fn upstream(place: Place) -> Self {
        Self {
            place,
            address: None,
            capabilities: Capabilities::ALL,
            ca: None,
            client: None,
            skip_verify: None,
            headers: Vec::new(),
            dial_timeout: false,
            rewrites: Vec::new(),
            server: true,
        }
    }
}
