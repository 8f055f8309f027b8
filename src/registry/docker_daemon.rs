//! dockerd's daemon.json, as far as it concerns registries.
//!
//! Mirrors are for Docker Hub only; `insecure-registries` are hosts and networks.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::golang::{parse_url, split_host_port};
use super::json;
use super::node::{Entry, Table};
use super::text::{Located, Place};
use super::tree::{self, Tree};
use crate::secret::cover::addresses;

/// Where dockerd looks unless told otherwise.
pub const FILE: &str = "/etc/docker/daemon.json";
/// Where certificates of a host are looked for, in a directory named `HOST:PORT`.
pub const CERTS_DIRECTORY: &str = "/etc/docker/certs.d";

/// What daemon.json says.
#[derive(Debug, Clone, Default)]
pub struct Daemon {
    /// `registry-mirrors`, without trailing slashes.
    pub mirrors: Vec<Located<String>>,
    /// `insecure-registries`.
    pub insecure: Vec<Located<Insecure>>,
    /// Why dockerd does not start, if so.
    pub fatal: Option<Located<String>>,
    /// The file, if nobody has read it.
    pub unread: Option<PathBuf>,
}

/// An entry of `insecure-registries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insecure {
    /// A host with its port, if it has one.
    Host(String),
    /// A network: address and prefix length.
    Network(IpAddr, u8),
}

impl Daemon {
    /// Reads the file of a node.
    pub fn load(tree: &Tree) -> Self {
        let path = Path::new(FILE);
        let mut daemon = Self::default();
        match tree.entry(path) {
            Some(tree::Entry::Text { text }) => {
                if let Err(fatal) = daemon.read(path, text) {
                    daemon.fatal = Some(fatal);
                }
            }
            Some(tree::Entry::NotText { line }) => {
                let place = Place {
                    line: *line,
                    ..Place::start_of(path)
                };
                daemon.fatal = Some(Located::new(unusable("invalid UTF-8"), place));
            }
            Some(tree::Entry::Unreadable { .. }) | None => daemon.unread = Some(path.to_owned()),
            Some(_) => {}
        }
        daemon
    }

    fn read(&mut self, path: &Path, text: &str) -> Result<(), Located<String>> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let node = json::parse(path, text)
            .map_err(|error| Located::new(unusable(&error.message), error.place))?;
        let Some(root) = node.table() else {
            return Err(Located::new(
                unusable(&format!("it must be an object, not {}", node.value.kind())),
                node.place,
            ));
        };
        for mirror in strings(root, "registry-mirrors")? {
            check_mirror(&mirror.value)
                .map_err(|error| Located::new(error, mirror.place.clone()))?;
            let value = mirror
                .value
                .strip_suffix('/')
                .unwrap_or(&mirror.value)
                .to_owned();
            self.mirrors.push(Located::new(value, mirror.place));
        }
        for name in strings(root, "insecure-registries")? {
            let lower = name.value.to_ascii_lowercase();
            let bare = if lower.starts_with("http://") {
                &name.value[7..]
            } else if lower.starts_with("https://") {
                &name.value[8..]
            } else if lower.contains("://") {
                let message = format!(
                    "insecure registry {} should not contain '://'",
                    addresses(&name.value)
                );
                return Err(Located::new(message, name.place));
            } else {
                &name.value
            };
            let entry = network(bare).unwrap_or_else(|| Insecure::Host(bare.to_owned()));
            self.insecure.push(Located::new(entry, name.place));
        }
        Ok(())
    }

    /// Which entry makes a registry insecure: `Some(None)` is the built-in rule for loopback. dockerd resolves names
    /// and compares the addresses with networks; here only addresses and `localhost` are compared.
    pub fn insecure_by(&self, host: &str) -> Option<Option<&Place>> {
        let named = self
            .insecure
            .iter()
            .find(|entry| matches!(&entry.value, Insecure::Host(name) if name == host));
        if let Some(entry) = named {
            return Some(Some(&entry.place));
        }
        let name = split_host_port(host).0;
        let address = if name == "localhost" {
            Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
        } else {
            name.parse().ok()
        }?;
        let within = self.insecure.iter().find(|entry| matches!(&entry.value, Insecure::Network(base, length) if contains(*base, *length, address)));
        match within {
            Some(entry) => Some(Some(&entry.place)),
            None => address.is_loopback().then_some(None),
        }
    }
}

fn unusable(error: &str) -> String {
    format!("unable to configure the Docker daemon with file {FILE}: {error}")
}

fn strings(root: &Table, key: &str) -> Result<Vec<Located<String>>, Located<String>> {
    let Some(Entry { node, .. }) = root.entry(key) else {
        return Ok(Vec::new());
    };
    if node.value == super::node::Value::Null {
        return Ok(Vec::new());
    }
    node.strings().ok_or_else(|| {
        Located::new(
            unusable(&format!(
                "`{key}` must be an array of strings, not {}",
                node.value.kind()
            )),
            node.place.clone(),
        )
    })
}

/// `ValidateMirror`: a URL without path, query, fragment or user.
fn check_mirror(mirror: &str) -> Result<(), String> {
    let parsed = parse_url(mirror);
    let mirror = addresses(mirror);
    let Ok(url) = parsed else {
        return Err(format!("invalid mirror: \"{mirror}\" is not a valid URI"));
    };
    if url.scheme != "http" && url.scheme != "https" {
        return Err(format!(
            "invalid mirror: unsupported scheme \"{}\" in \"{mirror}\"",
            url.scheme
        ));
    }
    if !matches!(url.path.as_str(), "" | "/") || mirror.contains(['?', '#']) {
        return Err(format!(
            "invalid mirror: path, query, or fragment at end of the URI \"{mirror}\""
        ));
    }
    if url.userinfo {
        return Err("invalid mirror: username/password not allowed in URI".to_owned());
    }
    Ok(())
}

fn network(text: &str) -> Option<Insecure> {
    let (address, length) = text.split_once('/')?;
    let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?);
    let bits = if address.is_ipv4() { 32 } else { 128 };
    (length <= bits).then_some(Insecure::Network(address, length))
}

fn contains(base: IpAddr, length: u8, address: IpAddr) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let ((base, size), (address, other)) = (bits(base), bits(address));
    size == other && (length == 0 || (base ^ address) >> (size - u32::from(length)) == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn daemon(text: &str) -> Daemon {
        let mut tree = Tree::new();
        tree.add_text(FILE, text);
        Daemon::load(&tree)
    }

    #[test]
    fn mirrors_have_no_path() {
        let good = daemon(r#"{"registry-mirrors": ["https://m.test/", "http://n.test:5000"]}"#);
        let mirrors: Vec<_> = good
            .mirrors
            .iter()
            .map(|mirror| mirror.value.as_str())
            .collect();
        assert_eq!(mirrors, ["https://m.test", "http://n.test:5000"]);
        for (mirror, error) in [
            ("https://m.test/v2", "path, query, or fragment"),
            ("m.test", "unsupported scheme"),
            ("https://u:p@m.test", "username/password not allowed"),
            ("https://m:p", "not a valid URI"),
        ] {
            let fatal = daemon(&format!(r#"{{"registry-mirrors": ["{mirror}"]}}"#))
                .fatal
                .unwrap();
            assert!(
                fatal.value.contains(error) && !fatal.value.contains("u:p"),
                "{}",
                fatal.value
            );
        }
    }

    #[test]
    fn insecure_registries() {
        let conf = daemon(
            r#"{"insecure-registries": ["reg:5000", "10.0.0.0/8", "http://old:80", "fd00::/8"]}"#,
        );
        for (host, expected) in [
            ("reg:5000", true),
            ("reg", false),
            ("10.1.2.3:5000", true),
            ("11.1.2.3", false),
            ("old:80", true),
            ("localhost:5000", true),
            ("127.1.1.1", true),
            ("[fd00::1]:5000", true),
            ("quay.io", false),
        ] {
            assert_eq!(conf.insecure_by(host).is_some(), expected, "{host}");
        }
        assert!(
            daemon(r#"{"insecure-registries": ["ftp://x"]}"#)
                .fatal
                .is_some()
        );
    }

    #[test]
    fn faults() {
        assert!(
            daemon("{")
                .fatal
                .unwrap()
                .value
                .contains("unexpected end of JSON input")
        );
        assert!(daemon("[]").fatal.is_some());
        assert!(daemon(r#"{"registry-mirrors": "x"}"#).fatal.is_some());
        assert!(daemon("").fatal.is_none());
        assert!(Daemon::load(&Tree::new()).unread.is_some());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*", host in "\\PC{0,20}") {
            daemon(&text).insecure_by(&host);
            network(&host);
        }
    }
}
