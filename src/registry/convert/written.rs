//! `registry.mirrors` and `registry.configs` as they are written, in force or not: a table with a misspelt name, or an
//! option that this version no longer knows, was meant all the same.

use std::collections::BTreeSet;

use super::Left;
use crate::registry::containerd::{CRI, CRI_IMAGES, reachable};
use crate::registry::declared::Declared;
use crate::registry::golang::parse_url;
use crate::registry::k3s::quoted;
use crate::registry::node::{Node, Table};
use crate::registry::tree::Entry;
use crate::registry::version::RuntimeId;

/// A version that knows everything that such a section ever had.
const KNOWS_ALL: &str = "containerd@1.7.34";

/// The sections of all files, one over the other.
pub(super) struct Section {
    mirrors: Table,
    configs: Table,
    auths: Table,
}

/// The section by itself, as a node's files.
pub(super) struct Planned {
    pub(super) declared: Declared,
    pub(super) runtime: RuntimeId,
    /// The registries it is about; `*` for all without an entry of their own.
    pub(super) namespaces: BTreeSet<String>,
}

impl Section {
    pub(super) fn read(declared: &Declared, runtime: &RuntimeId) -> Self {
        let mut section = Self {
            mirrors: Table::default(),
            configs: Table::default(),
            auths: Table::default(),
        };
        for (_, document) in reachable(declared, runtime) {
            for (_, registry) in registries(&document.root) {
                for (key, into) in [
                    ("mirrors", &mut section.mirrors),
                    ("configs", &mut section.configs),
                    ("auths", &mut section.auths),
                ] {
                    if let Some(table) = registry.table(key) {
                        into.overlay(table.clone());
                    }
                }
            }
        }
        section
    }

    /// Whether there is nothing that hosts.toml can say.
    pub(super) fn is_empty(&self) -> bool {
        let tls = |node: &Node| {
            node.table()
                .is_some_and(|config| config.entry("tls").is_some())
        };
        self.mirrors.is_empty() && !self.configs.iter().any(|(_, entry)| tls(&entry.node))
    }

    /// The files that TLS options name.
    pub(super) fn certificates(&self) -> impl Iterator<Item = String> + '_ {
        let options = self
            .configs
            .iter()
            .filter_map(|(_, entry)| entry.node.table()?.table("tls"));
        options.flat_map(|tls| {
            ["ca_file", "cert_file", "key_file"]
                .into_iter()
                .filter_map(|key| tls.node(key).and_then(Node::str))
                .filter(|file| !file.is_empty())
                .map(str::to_owned)
        })
    }

    /// The section alone, without what no image matches and what is no address.
    pub(super) fn planned(&self, runtime: &RuntimeId, left: &mut Vec<Left>) -> Planned {
        let mut text = "version = 2\n".to_owned();
        let mut namespaces = BTreeSet::new();
        let mut certificates = BTreeSet::new();
        for (namespace, entry) in self.mirrors.in_order() {
            if let Some(why) = matches_nothing(namespace) {
                let what = format!("the mirror entry `{namespace}`");
                left.push(Left::new(what, why, Some(&entry.key)));
                continue;
            }
            namespaces.insert(namespace.to_owned());
            let endpoints = entry
                .node
                .table()
                .and_then(|mirror| mirror.node("endpoint"))
                .and_then(Node::strings)
                .unwrap_or_default();
            let mut good = Vec::new();
            for endpoint in endpoints {
                match address(&endpoint.value) {
                    Ok(address) => {
                        if address != endpoint.value {
                            left.push(Left::new(
                                format!("user and password in an endpoint of `{namespace}`"),
                                "they were never used, and are left out",
                                Some(&endpoint.place),
                            ));
                        }
                        good.push(quoted(&address));
                    }
                    Err(why) => left.push(Left::new(
                        format!("an endpoint of `{namespace}`"),
                        why,
                        Some(&endpoint.place),
                    )),
                }
            }
            text.push_str(&format!(
                "[plugins.\"{CRI}\".registry.mirrors.{}]\nendpoint = [{}]\n",
                quoted(namespace),
                good.join(", ")
            ));
        }
        for (host, entry) in self.configs.in_order() {
            let tls = entry.node.table().and_then(|config| config.table("tls"));
            let Some(tls) = tls else { continue };
            if let Some(why) = matches_nothing(host).filter(|_| host != "registry-1.docker.io") {
                let what = format!("the TLS options of `{host}`");
                left.push(Left::new(what, why, Some(&entry.key)));
                continue;
            }
            namespaces.insert(if host == "registry-1.docker.io" {
                "docker.io".to_owned()
            } else {
                host.to_owned()
            });
            text.push_str(&format!(
                "[plugins.\"{CRI}\".registry.configs.{}.tls]\n",
                quoted(host)
            ));
            let pair = ["cert_file", "key_file"].map(|key| tls.node(key).and_then(Node::str));
            let half = matches!(pair, [Some(_), None] | [None, Some(_)]);
            for key in ["ca_file", "cert_file", "key_file"] {
                let Some(file) = tls.node(key).and_then(Node::str).filter(|f| !f.is_empty()) else {
                    continue;
                };
                if half && key != "ca_file" {
                    left.push(Left::new(
                        format!("`{key}` of `{host}`"),
                        "a certificate and its key go together, and one of them is not written",
                        Some(&entry.key),
                    ));
                    continue;
                }
                certificates.insert(file.to_owned());
                text.push_str(&format!("{key} = {}\n", quoted(file)));
            }
            if tls.node("insecure_skip_verify").and_then(Node::bool) == Some(true) {
                text.push_str("insecure_skip_verify = true\n");
            }
        }
        let mut declared = Declared::default();
        for file in certificates {
            // Whether they can be read is not the question here; the comparison of the routes tells.
            let blocks = vec!["CERTIFICATE".to_owned(), "PRIVATE KEY".to_owned()];
            let path = declared.absolute(&file);
            declared.tree.add(path, Entry::Sealed { blocks });
        }
        declared.tree.add_text("/etc/containerd/config.toml", text);
        Planned {
            declared,
            runtime: KNOWS_ALL.parse().unwrap_or_else(|_| runtime.clone()),
            namespaces,
        }
    }

    /// What is said about credentials: they stay where they are.
    pub(super) fn credentials(&self, left: &mut Vec<Left>) {
        let configs = self.configs.in_order().into_iter().filter(|(_, entry)| {
            entry
                .node
                .table()
                .is_some_and(|config| config.entry("auth").is_some())
        });
        for (host, place) in configs
            .map(|(host, entry)| (host, &entry.key))
            .chain(self.auths.in_order().into_iter().map(|(h, e)| (h, &e.key)))
        {
            left.push(Left::new(
                format!("the credentials for `{host}`"),
                "hosts.toml has none; they stay in config.toml, where they are used together with `config_path`",
                Some(place),
            ));
        }
    }
}

/// The registry tables of a file, whatever plugin table they stand in, with the path of keys to each.
pub(super) fn registries(root: &Table) -> Vec<([&'static str; 3], &Table)> {
    let mut found = Vec::new();
    for plugins in ["plugin", "plugins"] {
        for plugin in ["cri", CRI, CRI_IMAGES] {
            if let Some(registry) = root.descend(&[plugins, plugin, "registry"]) {
                found.push(([plugins, plugin, "registry"], registry));
            }
        }
    }
    found
}

/// Why no image matches a key, if none does.
fn matches_nothing(key: &str) -> Option<String> {
    let meant = |meant: &str| Some(format!("no image matches it; `{meant}` was meant"));
    match key {
        "*" => None,
        "registry-1.docker.io" | "index.docker.io" => meant("docker.io"),
        _ if key.contains("://") => Some("no image matches a key with a scheme".to_owned()),
        _ if key.contains('*') => {
            Some("no image matches it; the only wildcard is `*`, for all registries".to_owned())
        }
        _ if key.contains('/') => Some("no image matches a key with a repository".to_owned()),
        _ if key.chars().any(|c| c.is_ascii_uppercase()) => meant(&key.to_ascii_lowercase()),
        _ => None,
    }
}

/// An endpoint without user and password.
fn address(endpoint: &str) -> Result<String, String> {
    let (scheme, rest) = match endpoint.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, endpoint),
    };
    let full = format!("{}://{rest}", scheme.unwrap_or("https"));
    let url = parse_url(&full).map_err(|_| {
        "it is no address, and kept every image of the registry from being pulled".to_owned()
    })?;
    if !matches!(url.scheme.as_str(), "http" | "https") || url.host.is_empty() {
        return Err("it is neither http:// nor https:// with a host".to_owned());
    }
    if !url.userinfo {
        return Ok(endpoint.to_owned());
    }
    let bare = rest.split_once('@').map_or(rest, |(_, bare)| bare);
    Ok(match scheme {
        Some(scheme) => format!("{scheme}://{bare}"),
        None => bare.to_owned(),
    })
}
