//! `certs.d/HOST/hosts.toml` and the certificate files that docker keeps in the same place, as a version of
//! containerd reads them (`core/remotes/docker/config/hosts.go` of the release tags).
//!
//! A fault of any kind does not stop a pull: the daemon writes one line to its log and goes on as if there were no
//! hosts.toml. So reading never fails here either; the fault is part of the answer.

use std::path::{Path, PathBuf};

use super::document::Document;
use super::golang::{clean_path, is_duration, parse_url};
use super::node::{Entry, Node, Table, Value};
use super::rules::{Rule, Rules};
use super::text::{Located, Place};
use super::tree::{self, Tree};
use super::version::RuntimeId;

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

/// Why a file is not in force.
enum Rejected {
    /// It is passed over.
    Defaults(Fault),
    /// The daemon crashes on it.
    Crash(Fault),
}

impl From<Fault> for Rejected {
    fn from(fault: Fault) -> Self {
        Self::Defaults(fault)
    }
}

fn fault<T>(message: impl Into<String>, place: &Place) -> Result<T, Fault> {
    Err(Fault {
        message: message.into(),
        place: place.clone(),
    })
}

struct Reader<'r> {
    directory: &'r Path,
    rules: &'r Rules,
    runtime: &'r RuntimeId,
}

impl Reader<'_> {
    fn holds(&self, rule: Rule) -> bool {
        self.rules.holds(rule, self.runtime)
    }

    /// The entry of a key. go-toml v2 (containerd 2.x) takes keys of any case, the last one counts.
    fn field<'t>(&self, table: &'t Table, name: &str) -> Option<&'t Entry> {
        if !self.holds(Rule::HostsHeadersOnly) {
            return table.entry(name);
        }
        let same = table
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        same.map(|(_, entry)| entry)
            .max_by_key(|entry| (entry.key.line, entry.key.column))
    }

    fn file(&self, path: &Path, text: &str) -> Result<Vec<Host>, Rejected> {
        let document = Document::parse(path, text);
        if let Some(error) = document.fault() {
            fault(error.message.as_str(), &error.place)?;
        }
        let tree = self.field(&document.root, "host");
        if self.holds(Rule::HostsTableRequired)
            && tree.is_none_or(|entry| entry.node.table().is_none())
        {
            let place = tree.map_or_else(|| Place::start_of(path), |entry| entry.key.clone());
            fault("invalid `host` tree", &place)?;
        }
        let server = match self.field(&document.root, "server") {
            Some(entry) => match entry.node.located_str() {
                Some(server) => Some(server),
                None => fault(
                    format!("`server` must be a string, not {}", entry.node.value.kind()),
                    &entry.node.place,
                )?,
            },
            None => None,
        };
        let empty = Table::default();
        let hosts = match tree.map(|entry| &entry.node) {
            None => &empty,
            Some(Node {
                value: Value::Table(table),
                ..
            }) => table,
            Some(node) => fault(
                format!("`host` must be a table, not {}", node.value.kind()),
                &node.place,
            )?,
        };
        // go-toml decodes everything before the hosts are put in order, so a fault in a host that does not count
        // still rejects the file.
        let odd = hosts
            .in_order()
            .into_iter()
            .find(|(_, entry)| entry.node.table().is_none());
        if let Some((name, entry)) = odd {
            let message = format!("`{name}` stands below `[host]`, where only tables may stand");
            // 1.x sorts the entries by line and takes each for a table: with two or more it panics.
            if !self.holds(Rule::HostsHeadersOnly) && hosts.iter().count() > 1 {
                return Err(Rejected::Crash(Fault {
                    message: format!("{message}: containerd panics on it"),
                    place: entry.key.clone(),
                }));
            }
            fault(message, &entry.key)?;
        }
        for (_, entry) in hosts.iter() {
            if let Some(table) = entry.node.table() {
                self.types(table)?;
            }
        }
        self.types(&document.root)?;

        let mut found = Vec::new();
        for (name, entry) in self.order(&document, hosts) {
            let table = entry.node.table().unwrap_or(&empty);
            found.push(self.host(
                Some(Located::new(name.to_owned(), entry.node.place.clone())),
                &entry.key,
                table,
            )?);
        }
        let place = server
            .as_ref()
            .map_or_else(|| Place::start_of(path), |server| server.place.clone());
        let mut last = self.host(
            server.filter(|server| !server.value.is_empty()),
            &place,
            &document.root,
        )?;
        last.server = true;
        found.push(last);
        Ok(found)
    }

    /// The hosts in the order in which they are asked.
    fn order<'t>(&self, document: &'t Document, hosts: &'t Table) -> Vec<(&'t str, &'t Entry)> {
        let headers = document
            .headers
            .iter()
            .filter(|header| header.keys.len() >= 2 && header.keys[0] == "host")
            .map(|header| (header.keys[1].as_str(), header));
        if self.holds(Rule::HostsHeadersOnly) {
            // Every header names its host again; only an immediate repetition is left out.
            let mut order: Vec<(&str, &Entry)> = Vec::new();
            for (name, header) in headers {
                if !header.array
                    && order.last().is_none_or(|(last, _)| *last != name)
                    && let Some((key, entry)) = hosts.iter().find(|(key, _)| *key == name)
                {
                    order.push((key, entry));
                }
            }
            return order;
        }
        // By the line where each is first mentioned; inline tables have no line and come first.
        let mut order: Vec<_> = hosts.iter().collect();
        let first = |name: &str, entry: &Entry| {
            let header = headers
                .clone()
                .find(|(key, _)| *key == name)
                .map(|(_, header)| header.place.line);
            match entry.node.table() {
                Some(table) if table.inline => 0,
                _ => header.map_or(entry.key.line, |line| line.min(entry.key.line)),
            }
        };
        order.sort_by_key(|(name, entry)| (first(name, entry), entry.key.line, entry.key.column));
        order
    }

    /// Values of a type that the decoder refuses.
    fn types(&self, table: &Table) -> Result<(), Fault> {
        let check = |key: &str, wanted: &str, fits: fn(&Node) -> bool| match self.field(table, key)
        {
            Some(entry) if !fits(&entry.node) => fault(
                format!("`{key}` must be {wanted}, not {}", entry.node.value.kind()),
                &entry.node.place,
            ),
            _ => Ok(()),
        };
        check("capabilities", "an array of strings", |node| {
            node.strings().is_some()
        })?;
        check("skip_verify", "true or false", |node| node.bool().is_some())?;
        check("header", "a table", |node| node.table().is_some())?;
        if self.holds(Rule::HostsOverridePath) {
            check("override_path", "true or false", |node| {
                node.bool().is_some()
            })?;
        }
        if self.holds(Rule::HostsDialTimeout) {
            check("dial_timeout", "a string", |node| node.str().is_some())?;
        }
        Ok(())
    }

    fn host(
        &self,
        url: Option<Located<String>>,
        place: &Place,
        table: &Table,
    ) -> Result<Host, Fault> {
        let mut host = Host::upstream(place.clone());
        host.server = false;
        let override_path = self.holds(Rule::HostsOverridePath)
            && self
                .field(table, "override_path")
                .and_then(|entry| entry.node.bool())
                .unwrap_or(false);
        if let Some(url) = url.filter(|url| !url.value.is_empty()) {
            match address(&url.value, override_path) {
                Ok(address) => host.address = Some(address),
                Err(error) => fault(
                    format!("unable to parse server {}: {error}", url.value),
                    &url.place,
                )?,
            }
        }
        host.skip_verify = self
            .field(table, "skip_verify")
            .and_then(|entry| entry.node.bool());
        if let Some(entry) = self.field(table, "capabilities") {
            host.capabilities = self.capabilities(&entry.node.strings().unwrap_or_default())?;
        }
        if let Some(entry) = self.field(table, "ca") {
            host.ca = Some(self.authorities(&entry.node)?);
        }
        if let Some(entry) = self.field(table, "client") {
            host.client = self.clients(&entry.node)?;
        }
        if let Some(entry) = self.field(table, "header") {
            for (name, value) in entry.node.table().into_iter().flat_map(Table::in_order) {
                if value.node.str().is_none() && value.node.strings().is_none() {
                    let message = format!(
                        "header `{name}` must be a string or an array of strings, not {}",
                        value.node.value.kind()
                    );
                    fault(message, &value.node.place)?;
                }
                host.headers
                    .push(Located::new(name.to_owned(), value.key.clone()));
            }
        }
        if self.runtime.fork().is_some()
            && let Some(rewrites) = table.table("rewrite")
        {
            let texts = rewrites
                .in_order()
                .into_iter()
                .filter_map(|(pattern, entry)| {
                    Some((pattern.to_owned(), entry.node.str()?.to_owned()))
                });
            host.rewrites = texts.collect();
        }
        if self.holds(Rule::HostsDialTimeout)
            && let Some(entry) = self.field(table, "dial_timeout")
            && let Some(timeout) = entry.node.str().filter(|timeout| !timeout.is_empty())
        {
            if !is_duration(timeout) {
                fault(
                    format!(
                        "`dial_timeout = \"{timeout}\"` is not a duration: write `\"{timeout}s\"`"
                    ),
                    &entry.node.place,
                )?;
            }
            host.dial_timeout = true;
        }
        Ok(host)
    }

    fn capabilities(&self, names: &[Located<String>]) -> Result<Capabilities, Fault> {
        if names.is_empty() {
            return Ok(Capabilities::ALL);
        }
        let mut found = Capabilities {
            pull: false,
            resolve: false,
            push: false,
        };
        for name in names {
            match name.value.to_lowercase().as_str() {
                "pull" => found.pull = true,
                "resolve" => found.resolve = true,
                "push" => found.push = true,
                "referrers" if self.holds(Rule::HostsReferrers) => {}
                _ => fault(format!("unknown capability {}", name.value), &name.place)?,
            }
        }
        Ok(found)
    }

    fn authorities(&self, node: &Node) -> Result<Vec<Located<PathBuf>>, Fault> {
        let path =
            |name: Located<String>| Located::new(absolute(self.directory, &name.value), name.place);
        match (&node.value, node.located_str(), node.strings()) {
            (_, Some(name), _) => Ok(vec![path(name)]),
            (_, _, Some(names)) => Ok(names.into_iter().map(path).collect()),
            (Value::Array(_), ..) => fault("`ca` must hold strings only", &node.place),
            (value, ..) => fault(
                format!(
                    "`ca` must be a string or an array of strings, not {}",
                    value.kind()
                ),
                &node.place,
            ),
        }
    }

    fn clients(&self, node: &Node) -> Result<Option<Vec<ClientPair>>, Fault> {
        let whole = |name: Located<String>| ClientPair {
            cert: Located::new(absolute(self.directory, &name.value), name.place),
            key: None,
        };
        if let Some(name) = node.located_str() {
            return Ok(Some(vec![whole(name)]));
        }
        let Some(nodes) = node.array() else {
            return fault(
                format!(
                    "`client` must be a string or an array, not {}",
                    node.value.kind()
                ),
                &node.place,
            );
        };
        let mut pairs = Vec::new();
        for node in nodes {
            if let Some(name) = node.located_str() {
                pairs.push(whole(name));
                continue;
            }
            match node.strings().as_deref() {
                Some([cert, key]) => pairs.push(ClientPair {
                    cert: Located::new(absolute(self.directory, &cert.value), cert.place.clone()),
                    key: Some(absolute(self.directory, &key.value)),
                }),
                _ => {
                    return fault(
                        "a pair in `client` must be two strings: certificate and key",
                        &node.place,
                    );
                }
            }
        }
        Ok(Some(pairs).filter(|pairs| !pairs.is_empty()))
    }
}

/// A host's URL: without a scheme it is https, `/v2` is appended unless it is there or the path is overridden.
fn address(url: &str, override_path: bool) -> Result<Address, String> {
    let full = if url.starts_with("http") {
        url.to_owned()
    } else {
        format!("https://{url}")
    };
    let parsed = parse_url(&full)?;
    let mut path = parsed.path;
    if !path.is_empty() {
        path = clean_path(&path);
        if !path.ends_with("/v2") && !override_path {
            path.push_str("/v2");
        }
    } else if !override_path {
        path = "/v2".to_owned();
    }
    Ok(Address {
        scheme: parsed.scheme,
        host: parsed.host,
        path,
    })
}
