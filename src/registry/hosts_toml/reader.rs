//! From a hosts.toml to its hosts, or to the fault that keeps it from being in force.

use std::path::{Path, PathBuf};

use super::{Address, Capabilities, ClientPair, Fault, Host, absolute};
use crate::registry::document::Document;
use crate::registry::golang::{clean_path, is_duration, parse_url};
use crate::registry::node::{Entry, Node, Table, Value};
use crate::registry::rules::{Rule, Rules};
use crate::registry::text::{Located, Place};
use crate::registry::version::RuntimeId;
use crate::secret::cover::addresses;

/// Why a file is not in force.
pub(super) enum Rejected {
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

pub(super) struct Reader<'r> {
    pub(super) directory: &'r Path,
    pub(super) rules: &'r Rules,
    pub(super) runtime: &'r RuntimeId,
}

impl Reader<'_> {
    fn holds(&self, rule: Rule) -> bool {
        self.rules.holds(rule, self.runtime)
    }

    /// The entry of a key. go-toml v2 (containerd 2.x) takes keys of any case, the last one counts.
    pub(super) fn field<'t>(&self, table: &'t Table, name: &str) -> Option<&'t Entry> {
        if !self.holds(Rule::HostsHeadersOnly) {
            return table.entry(name);
        }
        let same = table
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        same.map(|(_, entry)| entry)
            .max_by_key(|entry| (entry.key.line, entry.key.column))
    }

    pub(super) fn file(&self, path: &Path, text: &str) -> Result<Vec<Host>, Rejected> {
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
    pub(super) fn types(&self, table: &Table) -> Result<(), Fault> {
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

    pub(super) fn host(
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
                    format!("unable to parse server {}: {error}", addresses(&url.value)),
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
                    let message = match &value.node.value {
                        Value::Array(_) => format!("header `{name}` must hold strings only"),
                        value => format!(
                            "header `{name}` must be a string or an array of strings, not {}",
                            value.kind()
                        ),
                    };
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
