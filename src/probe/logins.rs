//! Credentials and headers that a runtime would send to registries: those in its own configuration, those in a docker
//! configuration file, and the kubelet's. They go into a probe or a pull request and nowhere else.
//!
//! The plain values of `registry` know credentials only as present or absent; this room reads the same files again for
//! the values themselves, which leave it as [`Secret`]s.

mod authfile;

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::registry::{Credential, authority_of};
use crate::registry::crio_conf::ImageSection;
use crate::registry::declared::Declared;
use crate::registry::document::Document;
use crate::registry::golang::parse_url;
use crate::registry::hosts_toml::Host;
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST, ImageRef};
use crate::registry::node::{Node, Table};
use crate::registry::plan::Route;
use crate::registry::plan::containerd::{Mechanism, Planner};
use crate::registry::text::Place;
use crate::registry::version::{RuntimeId, RuntimeName};
use crate::secret::Secret;

pub use super::registry::Login;
pub use authfile::{AuthFile, Error, kubelet};

/// What the configuration of a runtime adds to its requests.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// Credentials by endpoint.
    pub credentials: Vec<Credential>,
    /// Headers by the authority of the endpoint.
    pub headers: BTreeMap<String, Vec<(String, Secret)>>,
}

/// What the runtime's own configuration says for the endpoints of routes. `host_root` is where files outside of `declared`
/// are read.
pub fn configured(
    declared: &Declared,
    runtime: &RuntimeId,
    routes: &[Route],
    host_root: &Path,
) -> Configured {
    match runtime.name {
        RuntimeName::Containerd => of_containerd(declared, runtime, routes),
        RuntimeName::Crio => of_crio(declared, routes, host_root),
        // dockerd has none of its own: credentials come with each request.
        RuntimeName::Docker => Configured::default(),
    }
}

fn of_containerd(declared: &Declared, runtime: &RuntimeId, routes: &[Route]) -> Configured {
    let planner = Planner::new(declared, runtime);
    let config = planner.config();
    let empty = Table::default();
    let registry = config
        .plugins
        .descend(&[config.table, "registry"])
        .unwrap_or(&empty);
    let mut logins: BTreeMap<String, Login> = BTreeMap::new();
    for (address, entry) in tables(registry, "auths") {
        let host = match parse_url(address) {
            Ok(url) if !url.scheme.is_empty() => url.host,
            _ => address.to_owned(),
        };
        logins.extend(login(entry).map(|login| (host, login)));
    }
    for (host, entry) in tables(registry, "configs") {
        let found = entry.table("auth").and_then(login);
        logins.extend(found.map(|login| (host.to_owned(), login)));
    }
    let mut found = Configured::default();
    let for_all: Vec<(String, Secret)> = registry
        .table("headers")
        .into_iter()
        .flat_map(Table::iter)
        .flat_map(|(name, entry)| values(name, &entry.node))
        .collect();
    for route in routes {
        let hosts = match planner.mechanism() {
            Mechanism::Directories { roots, .. } => {
                let namespace = domain(&route.reference);
                let directory = planner.directory(namespace, &roots, &mut Vec::new());
                directory.map_or_else(Vec::new, |directory| directory.hosts)
            }
            Mechanism::Mirrors => Vec::new(),
        };
        for endpoint in &route.endpoints {
            let Some(authority) = authority_of(&endpoint.url) else {
                continue;
            };
            let host = host_of(&endpoint.url);
            if let Some(login) = logins.get(host) {
                found.add(&authority, login);
            }
            let mut headers = for_all.clone();
            let own = hosts.iter().find(|known| {
                known.address.as_ref().map_or_else(
                    || known.server && host == upstream(domain(&route.reference)),
                    |address| address.host == host,
                )
            });
            headers.extend(own.into_iter().flat_map(|own| headers_of(declared, own)));
            if !headers.is_empty() {
                found.headers.insert(authority, headers);
            }
        }
    }
    found
}

/// CRI-O has credentials for mirrors in its auth file only.
fn of_crio(declared: &Declared, routes: &[Route], host_root: &Path) -> Configured {
    let mut found = Configured::default();
    let Some(file) = ImageSection::load(&declared.tree).global_auth_file else {
        return found;
    };
    let Ok(file) = AuthFile::read(host_root, &declared.absolute(&file.value)) else {
        return found;
    };
    for route in routes {
        for endpoint in &route.endpoints {
            let repository = repository(&endpoint.url);
            if let (Some(authority), Some(login)) = (
                authority_of(&endpoint.url),
                file.find(host_of(&endpoint.url), repository),
            ) {
                found.add(&authority, &login);
            }
        }
    }
    found
}

impl Configured {
    fn add(&mut self, authority: &str, login: &Login) {
        if self.credentials.iter().all(|known| known.host != authority) {
            self.credentials.push(Credential {
                host: authority.to_owned(),
                login: login.clone(),
            });
        }
    }
}

/// The login for an image in a docker configuration file.
pub fn for_image(file: &AuthFile, image: &ImageRef) -> Option<Login> {
    file.find(image.domain(), image.path())
}

/// The tables in a table of a section.
fn tables<'t>(section: &'t Table, key: &str) -> impl Iterator<Item = (&'t str, &'t Table)> {
    section
        .table(key)
        .into_iter()
        .flat_map(Table::iter)
        .filter_map(|(name, entry)| Some((name, entry.node.table()?)))
}

/// `username` and `password`, else an identity token, else both in `auth`: containerd's order (`ParseAuth`).
fn login(table: &Table) -> Option<Login> {
    let text = |key: &str| {
        table
            .node(key)
            .and_then(Node::str)
            .filter(|text| !text.is_empty())
    };
    if let Some(user) = text("username") {
        return Some(Login::Password {
            user: user.to_owned(),
            password: Secret::new(text("password").unwrap_or_default()),
        });
    }
    if let Some(token) = text("identitytoken") {
        return Some(Login::IdentityToken(Secret::new(token)));
    }
    decoded(text("auth")?)
}

/// `user:password` in base64.
fn decoded(auth: &str) -> Option<Login> {
    let bytes = BASE64_STANDARD.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Login::Password {
        user: user.to_owned(),
        // docker pads with zeros.
        password: Secret::new(password.trim_matches('\0')),
    })
}

/// The headers of a host in its hosts.toml, with their values.
fn headers_of(declared: &Declared, host: &Host) -> Vec<(String, Secret)> {
    let Some(path) = host.headers.first().map(|header| &header.place.path) else {
        return Vec::new();
    };
    let Some(text) = declared.tree.text(path) else {
        return Vec::new();
    };
    let document = Document::parse(path, text);
    let below = document
        .root
        .table("host")
        .into_iter()
        .flat_map(Table::iter)
        .filter_map(|(_, entry)| entry.node.table());
    let all: Vec<(&str, &Place, &Node)> = std::iter::once(&document.root)
        .chain(below)
        .filter_map(|table| table.table("header"))
        .flat_map(Table::iter)
        .map(|(name, entry)| (name, &entry.key, &entry.node))
        .collect();
    host.headers
        .iter()
        .filter_map(|header| {
            all.iter()
                .find(|(name, place, _)| *name == header.value && **place == header.place)
        })
        .flat_map(|(name, _, node)| values(name, node))
        .collect()
}

/// The values of a header: a string or several.
fn values(name: &str, node: &Node) -> Vec<(String, Secret)> {
    let texts: Vec<String> = match node.str() {
        Some(text) => vec![text.to_owned()],
        None => node
            .strings()
            .unwrap_or_default()
            .into_iter()
            .map(|text| text.value)
            .collect(),
    };
    texts
        .into_iter()
        .map(|text| (name.to_owned(), Secret::new(text)))
        .collect()
}

/// The registry that a full reference names.
fn domain(reference: &str) -> &str {
    reference.split('/').next().unwrap_or_default()
}

fn upstream(domain: &str) -> &str {
    if domain == DOCKER_HUB {
        DOCKER_HUB_HOST
    } else {
        domain
    }
}

/// `host[:port]` of a URL, as it is written there.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// The repository in the URL of a manifest.
fn repository(url: &str) -> &str {
    let path = url.split_once("/v2/").map_or("", |(_, path)| path);
    path.rsplit_once("/manifests/")
        .map_or(path, |(path, _)| path)
}

/// The files in which the kubelet looks for credentials of its own, in its order.
pub const KUBELET_FILES: [&str; 6] = [
    "/var/lib/kubelet/config.json",
    "/root/.docker/config.json",
    "/.docker/config.json",
    "/var/lib/kubelet/.dockercfg",
    "/root/.dockercfg",
    "/.dockercfg",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::plan;
    use crate::registry::tree::Tree;

    #[test]
    fn credentials_and_headers_of_containerd() {
        let mut tree = Tree::new();
        tree.add_text(
            "/etc/containerd/config.toml",
            r#"version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/certs"
[plugins."io.containerd.grpc.v1.cri".registry.configs."m.test:5000".auth]
username = "alice"
password = "canary-1"
[plugins."io.containerd.grpc.v1.cri".registry.configs."reg.test".auth]
auth = "Ym9iOmNhbmFyeS0y"
[plugins."io.containerd.grpc.v1.cri".registry.configs."h.test:443".auth]
identitytoken = "canary-5"
[plugins."io.containerd.grpc.v1.cri".registry.configs."other.test".auth]
username = "nobody"
[plugins."io.containerd.grpc.v1.cri".registry.headers]
X-All = ["canary-3"]
"#,
        );
        tree.add_text(
            "/certs/reg.test/hosts.toml",
            "[host.\"http://m.test:5000\"]\n[host.\"https://h.test:443\"]\n[host.\"https://h.test:443\".header]\nAuthorization = \"Basic canary-4\"\n",
        );
        let declared = Declared::new(tree);
        let runtime: RuntimeId = "containerd@1.7.34".parse().unwrap();
        let image: ImageRef = "reg.test/a:1".parse().unwrap();
        let route = plan::route(&declared, &runtime, &image);
        let found = configured(&declared, &runtime, &[route], Path::new("/"));
        let logins: Vec<_> = found
            .credentials
            .iter()
            .map(|known| match &known.login {
                Login::Password { user, password } => (&*known.host, &**user, password.reveal()),
                Login::IdentityToken(token) => (&*known.host, "", token.reveal()),
            })
            .collect();
        assert_eq!(
            logins,
            [
                ("m.test:5000", "alice", "canary-1"),
                ("h.test", "", "canary-5"),
                ("reg.test", "bob", "canary-2")
            ]
        );
        let headers = |host: &str| {
            let headers = found.headers.get(host).into_iter().flatten();
            headers
                .map(|(name, value)| format!("{name}={}", value.reveal()))
                .collect::<Vec<_>>()
        };
        assert_eq!(headers("m.test:5000"), ["X-All=canary-3"]);
        assert_eq!(
            headers("h.test"),
            ["X-All=canary-3", "Authorization=Basic canary-4"]
        );
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    }
}
