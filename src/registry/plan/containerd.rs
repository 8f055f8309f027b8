//! containerd's plan: `registryHosts` of the CRI plugin for `mirrors`, `ConfigureHosts` for `config_path`.

mod directories;
mod mirrors;

use std::path::{Path, PathBuf};

use regex_lite::Regex;

use super::{AuthPolicy, AuthSource, Route, Source};
use crate::registry::containerd::{self, Config, Setting};
use crate::registry::declared::Declared;
use crate::registry::golang::{escape_path, join_path, query_escape};
use crate::registry::hosts_toml::Address;
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST, ImageRef};
use crate::registry::rules::Rule;
use crate::registry::text::{Located, Place};
use crate::registry::tree;
use crate::registry::version::RuntimeId;

/// Plans for many images from one configuration.
pub struct Planner<'d> {
    declared: &'d Declared,
    runtime: &'d RuntimeId,
    config: Config,
}

/// How the daemon finds the hosts of a namespace.
pub enum Mechanism {
    /// `registry.mirrors`, or nothing at all.
    Mirrors,
    /// Directories below these roots; the first that has one for the namespace is used.
    Directories {
        /// The roots.
        roots: Vec<PathBuf>,
        /// Whether a list of directories is taken as one name, so that nothing is found.
        list_as_one: bool,
    },
}

/// An error that ends a plan: its text, and where its cause is written.
struct Stop {
    error: String,
    place: Option<Place>,
}

impl<'d> Planner<'d> {
    /// Plays a start of the daemon.
    pub fn new(declared: &'d Declared, runtime: &'d RuntimeId) -> Self {
        Self {
            declared,
            runtime,
            config: containerd::load(declared, runtime),
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn holds(&self, rule: Rule) -> bool {
        self.declared.rules().holds(rule, self.runtime)
    }

    /// The plan for one image.
    pub fn route(&self, image: &ImageRef) -> Route {
        let mut route = Route::new(self.runtime, image);
        route.unread.clone_from(&self.config.unread);
        if let Some(fatal) = &self.config.fatal {
            return route.stopped_at(fatal.sentence(), Some(&fatal.place));
        }
        let planned = match self.mechanism() {
            Mechanism::Mirrors => self.mirrors(image, &mut route),
            Mechanism::Directories { roots, list_as_one } => {
                self.directories(image, &roots, list_as_one, &mut route)
            }
        };
        // Go's client refuses other schemes and empty hosts before anything is sent, and goes on to the next host.
        route.endpoints.retain(|endpoint| {
            ["http://", "https://"].iter().any(|scheme| {
                endpoint
                    .url
                    .strip_prefix(scheme)
                    .is_some_and(|rest| !rest.starts_with('/'))
            })
        });
        match planned {
            Ok(()) if route.endpoints.is_empty() => route.stopped(
                "no endpoint can be asked: unsupported protocol scheme or no host in the URL",
            ),
            Ok(()) => route,
            Err(stop) => route.stopped_at(stop.error, stop.place.as_ref()),
        }
    }

    /// How hosts are found.
    pub fn mechanism(&self) -> Mechanism {
        let transfer = self.transfers();
        match &self.config.registry.config_path {
            Some(path) if transfer => Mechanism::Directories {
                roots: vec![self.declared.absolute(path.value())],
                list_as_one: path.value().contains(':'),
            },
            Some(path) => Mechanism::Directories {
                roots: path
                    .value()
                    .split(':')
                    .map(|root| self.declared.absolute(root))
                    .collect(),
                list_as_one: false,
            },
            None if transfer => Mechanism::Directories {
                roots: Vec::new(),
                list_as_one: false,
            },
            None => Mechanism::Mirrors,
        }
    }

    /// Whether pulls go through the transfer service.
    fn transfers(&self) -> bool {
        self.holds(Rule::TransferService) && self.config.local_pull.is_none()
    }

    /// An error that fails every pull from a namespace, in the daemon's words.
    fn failed(&self, image: &ImageRef, error: &str, place: Option<&Place>) -> Stop {
        let doing = if self.transfers() {
            "failed to resolve image".to_owned()
        } else {
            format!("failed to resolve reference \"{image}\"")
        };
        Stop {
            error: format!("failed to pull and unpack image \"{image}\": {doing}: {error}"),
            place: place.cloned(),
        }
    }

    fn main(&self) -> Place {
        Place::start_of(&self.declared.containerd_config)
    }

    /// Whether a file is known to be missing. One that nobody looked at is noted.
    fn missing(&self, path: &Path, route: &mut Route) -> bool {
        match self.declared.tree.entry(path) {
            Some(tree::Entry::Absent) => true,
            Some(_) => false,
            None => {
                route.unread.push(path.to_owned());
                false
            }
        }
    }

    /// Why a file cannot be read, in Go's words, as far as that is known.
    fn unreadable(&self, path: &Path, route: &mut Route) -> Option<String> {
        let path_shown = path.display();
        if self.missing(path, route) {
            return Some(format!("open {path_shown}: no such file or directory"));
        }
        let directory = matches!(
            self.declared.tree.entry(path),
            Some(tree::Entry::Directory { .. })
        );
        directory.then(|| format!("read {path_shown}: is a directory"))
    }

    /// Why a client certificate cannot be loaded.
    fn key_pair(
        &self,
        cert: &Path,
        key: Option<&Path>,
        doing: &str,
        route: &mut Route,
    ) -> Option<String> {
        for path in [Some(cert), key].into_iter().flatten() {
            if let Some(opened) = self.unreadable(path, route) {
                return Some(if doing == "read" {
                    format!("unable to read CERT file \"{}\": {opened}", path.display())
                } else {
                    opened
                });
            }
        }
        let certificates = self.declared.tree.pem_labels(cert);
        if certificates.is_some_and(|labels| !labels.iter().any(|label| label == "CERTIFICATE")) {
            return Some("failed to load X509 key pair: tls: failed to find any PEM data in certificate input".to_owned());
        }
        let keys = self.declared.tree.pem_labels(key.unwrap_or(cert));
        if keys.is_some_and(|labels| !labels.iter().any(|label| label.ends_with("PRIVATE KEY"))) {
            return Some(
                "failed to load X509 key pair: tls: failed to find any PEM data in key input"
                    .to_owned(),
            );
        }
        None
    }

    fn auth(&self, host: &str, headers: &[Located<String>]) -> AuthPolicy {
        let all = headers.iter().chain(&self.config.registry.headers);
        let source = if all
            .map(|header| &header.value)
            .any(|name| name.eq_ignore_ascii_case("authorization"))
        {
            AuthSource::Header
        } else if self
            .config
            .registry
            .configs
            .get(host)
            .is_some_and(|settings| settings.auth.is_some())
        {
            AuthSource::Config
        } else {
            AuthSource::Request
        };
        AuthPolicy { source }
    }

    fn headers(&self, headers: &[Located<String>]) -> Vec<String> {
        self.config
            .registry
            .headers
            .iter()
            .chain(headers)
            .map(|header| header.value.clone())
            .collect()
    }
}

/// The host that serves a namespace by default.
fn default_host(namespace: &str) -> &str {
    if namespace == DOCKER_HUB {
        DOCKER_HUB_HOST
    } else {
        namespace
    }
}

/// The image under the repository that the patched containerd of k3s and rke2 asks a host for: the first pattern that
/// changes anything decides.
fn rewritten(image: &ImageRef, rewrites: &[(String, String)]) -> ImageRef {
    for (pattern, replacement) in rewrites {
        let Ok(pattern) = Regex::new(pattern) else {
            continue;
        };
        let path = pattern.replace_all(image.path(), replacement.as_str());
        if path != image.path() {
            return image
                .renamed(&format!("{}/{path}", image.domain()))
                .unwrap_or_else(|| image.clone());
        }
    }
    image.clone()
}

/// The first manifest request at an address, with `ns` unless the address is the namespace itself.
fn url(image: &ImageRef, address: &Address) -> String {
    let path = join_path(&[
        "/",
        &address.path,
        image.path(),
        "manifests",
        image.object(),
    ]);
    let namespace = image.domain();
    let proxy =
        address.host != namespace && !(namespace == DOCKER_HUB && address.host == DOCKER_HUB_HOST);
    let query = if proxy {
        format!("?ns={}", query_escape(namespace))
    } else {
        String::new()
    };
    let path = escape_path(&path);
    format!("{}://{}{path}{query}", address.scheme, address.host)
}

impl Setting {
    /// Where the setting comes from, for a plan.
    pub fn source(&self) -> Source {
        self.place().map_or(Source::Builtin, Source::from)
    }
}
