//! containerd's plan: `registryHosts` of the CRI plugin for `mirrors`, `ConfigureHosts` for `config_path`.

use std::path::{Path, PathBuf};

use regex_lite::Regex;

use super::{
    AuthPolicy, AuthSource, ClientCert, Fallback, Method, Phase, Route, RouteEndpoint, Source,
    TlsPolicy,
};
use crate::registry::containerd::{self, Config, Setting, Tls};
use crate::registry::declared::Declared;
use crate::registry::golang::{is_loopback, join_path, parse_url, query_escape, split_host_port};
use crate::registry::hosts_toml::{self, Address, Capabilities, Host, HostDirectory};
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

/// An error that ends a plan: its text.
type Stop = String;

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
            return route.stopped(fatal.sentence());
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
            Err(why) => route.stopped(why),
        }
    }

    /// How hosts are found.
    pub fn mechanism(&self) -> Mechanism {
        let transfer = self.holds(Rule::TransferService) && self.config.local_pull.is_none();
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

    // --- registry.mirrors ---

    fn mirrors(&self, image: &ImageRef, route: &mut Route) -> Result<(), Stop> {
        let namespace = image.domain();
        let mirrors = &self.config.registry.mirrors;
        let (key, mirror) = match mirrors.get(namespace) {
            Some(mirror) => (namespace, Some(mirror)),
            None => ("*", mirrors.get("*")),
        };
        let mut endpoints: Vec<(String, Option<&Located<String>>)> = Vec::new();
        for endpoint in mirror
            .map(|mirror| mirror.endpoints.as_slice())
            .unwrap_or_default()
        {
            let with_scheme = if endpoint.value.contains("://") {
                endpoint.value.clone()
            } else {
                let dummy = parse_url(&format!("dummy://{}", endpoint.value)).map_err(|error| {
                    self.failed(
                        image,
                        "get registry endpoints: parse endpoint url",
                        &error,
                        &endpoint.place,
                    )
                })?;
                format!("{}://{}", self.default_scheme(&dummy.host), endpoint.value)
            };
            endpoints.push((with_scheme, Some(endpoint)));
        }
        let mut urls = Vec::new();
        for (text, endpoint) in endpoints {
            let url = parse_url(&text).map_err(|error| {
                let place = endpoint.map_or_else(|| self.main(), |endpoint| endpoint.place.clone());
                self.failed(
                    image,
                    "get registry endpoints: parse endpoint url",
                    &error,
                    &place,
                )
            })?;
            urls.push((url, endpoint));
        }
        let named = urls.iter().any(|(url, _)| url.host == namespace);
        let count = urls.len();
        for (url, endpoint) in urls {
            let Some(endpoint) = endpoint else { continue };
            let path = if url.path.is_empty() {
                "/v2".to_owned()
            } else {
                url.path
            };
            let why = match key {
                "*" => format!(
                    "endpoint of the wildcard mirror, since `{namespace}` has no entry of its own"
                ),
                key => format!("endpoint of `registry.mirrors.\"{key}\"`"),
            };
            let address = Address {
                scheme: url.scheme,
                host: url.host,
                path,
            };
            self.endpoint_of_mirror(image, &address, why, Source::from(&endpoint.place), route)?;
        }
        if named {
            return Ok(());
        }
        let host = default_host(namespace);
        let address = Address {
            scheme: self.default_scheme(host).to_owned(),
            host: host.to_owned(),
            path: "/v2".to_owned(),
        };
        let why = match (mirror.is_some(), count) {
            (true, 1..) => {
                format!("`{host}` is always asked last, since no endpoint names `{namespace}`")
            }
            (true, _) => {
                format!("the mirror entry `{key}` has no endpoints; `{host}` serves `{namespace}`")
            }
            (false, _) => {
                format!("nothing is configured for `{namespace}`; it is served by `{host}`")
            }
        };
        self.endpoint_of_mirror(image, &address, why, Source::Builtin, route)
    }

    fn endpoint_of_mirror(
        &self,
        image: &ImageRef,
        address: &Address,
        why: String,
        source: Source,
        route: &mut Route,
    ) -> Result<(), Stop> {
        let settings = self.config.registry.configs.get(&address.host);
        let mut tls = TlsPolicy {
            verify: address.scheme != "http",
            ..TlsPolicy::default()
        };
        if let Some(configured) = settings.and_then(|settings| settings.tls.as_ref()) {
            self.tls_of_config(configured, address, &mut tls, route)?;
        }
        route.push(RouteEndpoint {
            method: Method::Head,
            url: url(image, address),
            phases: vec![Phase::Resolve, Phase::Fetch],
            tls,
            fallback: None,
            auth: self.auth(&address.host, &[]),
            headers: self.headers(&[]),
            why,
            source,
        });
        Ok(())
    }

    fn tls_of_config(
        &self,
        configured: &Tls,
        address: &Address,
        tls: &mut TlsPolicy,
        route: &mut Route,
    ) -> Result<(), Stop> {
        let fail = |error: String| {
            format!(
                "get TLSConfig for registry \"{}://{}\": {error}",
                address.scheme, address.host
            )
        };
        if let Some(error) = configured.incomplete() {
            return Err(fail(error));
        }
        tls.verify &= !configured.skip_verify;
        let path = |file: &Located<String>| self.declared.absolute(&file.value);
        if let (Some(cert), Some(key)) = (&configured.cert, &configured.key) {
            let (cert, key) = (path(cert), path(key));
            if let Some(error) = self.key_pair(&cert, Some(&key), "open", route) {
                return Err(fail(format!("failed to load cert file: {error}")));
            }
            tls.client_cert = Some(ClientCert { cert, key });
        }
        if let Some(ca) = &configured.ca {
            let ca = path(ca);
            if self.missing(&ca, route) {
                return Err(fail(format!(
                    "failed to load CA file: open {}: no such file or directory",
                    ca.display()
                )));
            }
            tls.ca.push(ca);
        }
        Ok(())
    }

    fn default_scheme(&self, host: &str) -> &'static str {
        let loopback = if self.holds(Rule::MirrorsLoopbackRange) {
            is_loopback(host)
        } else {
            matches!(split_host_port(host).0, "localhost" | "127.0.0.1" | "::1")
        };
        if loopback { "http" } else { "https" }
    }

    /// The text of an error that fails every pull from a namespace.
    fn failed(&self, image: &ImageRef, doing: &str, error: &str, place: &Place) -> Stop {
        format!(
            "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {doing}: {error} ({}:{})",
            place.path.display(),
            place.line
        )
    }

    fn main(&self) -> Place {
        Place::start_of(&self.declared.containerd_config)
    }

    // --- registry.config_path ---

    /// What the directories say about a namespace: `None` if there is none for it.
    pub fn directory(
        &self,
        namespace: &str,
        roots: &[PathBuf],
        unread: &mut Vec<PathBuf>,
    ) -> Option<HostDirectory> {
        for root in roots {
            match hosts_toml::directory_of(&self.declared.tree, root, namespace) {
                Ok(Some(path)) => {
                    let found = hosts_toml::read(
                        &self.declared.tree,
                        &path,
                        self.declared.rules(),
                        self.runtime,
                    );
                    unread.extend(found.unread.iter().cloned());
                    return Some(found);
                }
                Ok(None) => {}
                Err(path) => unread.push(path),
            }
        }
        None
    }

    fn directories(
        &self,
        image: &ImageRef,
        roots: &[PathBuf],
        list_as_one: bool,
        route: &mut Route,
    ) -> Result<(), Stop> {
        let namespace = image.domain();
        let found = self.directory(namespace, roots, &mut route.unread);
        if let Some(fatal) = found.as_ref().and_then(|found| found.fatal.as_ref()) {
            return Err(self.failed(image, "host configuration", &fatal.message, &fatal.place));
        }
        let why = self.why_upstream(namespace, found.as_ref(), list_as_one);
        let (directory, hosts) = match found {
            Some(found) => (Some(found.path), found.hosts),
            None => (None, vec![Host::upstream(self.main())]),
        };
        let mut phases_of = Vec::new();
        let mut hosts = hosts;
        if let Some(last) = hosts.last_mut() {
            self.fill_server(namespace, last);
        }
        let wanted = |capabilities: &Capabilities| {
            capabilities.pull && (capabilities.resolve || image.digest().is_some())
        };
        for host in &hosts {
            phases_of.push(if wanted(&host.capabilities) {
                vec![Phase::Resolve, Phase::Fetch]
            } else {
                vec![Phase::Fetch]
            });
        }
        for (host, phases) in hosts.iter().zip(&phases_of) {
            let Some(address) = &host.address else {
                continue;
            };
            let written = host
                .place
                .path
                .file_name()
                .is_some_and(|name| name == hosts_toml::FILE_NAME);
            let why = match (host.server, written) {
                (false, _) => format!(
                    "`[host.\"{}\"]`{}",
                    shown(address),
                    without_resolve(phases, &host.capabilities)
                ),
                (true, true) if host.place.length > 0 => {
                    format!(
                        "`server`, which is always asked last{}",
                        without_resolve(phases, &host.capabilities)
                    )
                }
                (true, _) => why.clone(),
            };
            let endpoint = self.endpoint_of_host(
                image,
                host,
                address,
                phases.clone(),
                why,
                directory.as_deref(),
                route,
            )?;
            route.push(endpoint);
        }
        if !phases_of
            .iter()
            .any(|phases| phases.contains(&Phase::Resolve))
        {
            return Err(format!(
                "failed to resolve reference \"{image}\": no resolve hosts: not found: no host has the capabilities that {} needs",
                if image.digest().is_some() {
                    "a digest (`pull`)"
                } else {
                    "a tag (`pull` and `resolve`)"
                }
            ));
        }
        Ok(())
    }

    /// Why the namespace's own host is asked although nobody wrote it down.
    fn why_upstream(
        &self,
        namespace: &str,
        found: Option<&HostDirectory>,
        list_as_one: bool,
    ) -> String {
        let host = default_host(namespace);
        match found {
            Some(HostDirectory {
                path,
                fault: Some(fault),
                ..
            }) => format!(
                "{}/{} is not in force ({}); `{host}` serves `{namespace}`",
                path.display(),
                hosts_toml::FILE_NAME,
                fault.message
            ),
            Some(HostDirectory { path, hosts, .. }) => match hosts.len() {
                0 | 1 => format!(
                    "{} names no other host; `{host}` serves `{namespace}`",
                    path.display()
                ),
                _ => format!("no `server` is set, so `{host}` is always asked last"),
            },
            None if list_as_one => format!(
                "`config_path` is a list, which the transfer service takes as one directory that does not exist; `{host}` serves `{namespace}`"
            ),
            None => format!("nothing is configured for `{namespace}`; it is served by `{host}`"),
        }
    }

    /// Gives the last host its address, if it has none, as the daemon does.
    fn fill_server(&self, namespace: &str, host: &mut Host) {
        if host
            .address
            .as_ref()
            .is_some_and(|address| !address.host.is_empty())
        {
            return;
        }
        let mut scheme = "https";
        if namespace != DOCKER_HUB && is_loopback(namespace) {
            let port = split_host_port(namespace).1;
            if self.holds(Rule::LoopbackHttp) || self.holds(Rule::LoopbackAnyPort) {
                scheme = "http";
                host.skip_verify = Some(true);
            } else if self.holds(Rule::LoopbackByPort) {
                scheme = if matches!(port, "" | "443") {
                    "https"
                } else {
                    "http"
                };
                if port != "80" {
                    host.skip_verify = Some(true);
                }
            }
        }
        host.address = Some(Address {
            scheme: scheme.to_owned(),
            host: default_host(namespace).to_owned(),
            path: "/v2".to_owned(),
        });
        host.capabilities = Capabilities::ALL;
    }

    #[allow(clippy::too_many_arguments)]
    fn endpoint_of_host(
        &self,
        image: &ImageRef,
        host: &Host,
        address: &Address,
        phases: Vec<Phase>,
        why: String,
        directory: Option<&Path>,
        route: &mut Route,
    ) -> Result<RouteEndpoint, Stop> {
        let mut tls = TlsPolicy {
            verify: host.skip_verify != Some(true),
            ..TlsPolicy::default()
        };
        for ca in host.ca.iter().flatten() {
            if self.missing(&ca.value, route) {
                let error = format!(
                    "unable to read CA cert \"{0}\": open {0}: no such file or directory",
                    ca.value.display()
                );
                return Err(self.failed(image, "host configuration", &error, &ca.place));
            }
            if let Some(labels) = self.declared.tree.pem_labels(&ca.value)
                && !labels.iter().any(|label| label == "CERTIFICATE")
            {
                let error = format!("unable to load CA cert \"{}\"", ca.value.display());
                return Err(self.failed(image, "host configuration", &error, &ca.place));
            }
            tls.ca.push(ca.value.clone());
        }
        for pair in host.client.iter().flatten() {
            if let Some(error) = self.key_pair(&pair.cert.value, pair.key.as_deref(), "read", route)
            {
                return Err(self.failed(image, "host configuration", &error, &pair.cert.place));
            }
            let key = pair.key.clone().unwrap_or_else(|| pair.cert.value.clone());
            tls.client_cert.get_or_insert(ClientCert {
                cert: pair.cert.value.clone(),
                key,
            });
        }
        let explicit = host.ca.is_some()
            || host.client.is_some()
            || host.skip_verify.is_some()
            || host.dial_timeout && self.holds(Rule::HostsDialTimeoutIsTls);
        let mut address = address.clone();
        let mut fallback = None;
        if address.scheme == "http" {
            let port = split_host_port(&address.host).1;
            let https_first = explicit
                && (self.holds(Rule::HttpFallbackAnyPort)
                    || self.holds(Rule::HttpFallbackExplicitPort) && !matches!(port, "" | "80")
                    || self.holds(Rule::HttpFallbackNot80) && port != "80");
            if https_first {
                address.scheme = "https".to_owned();
                fallback = Some(Fallback::Http);
            } else {
                tls = TlsPolicy::default();
            }
        }
        let written = directory.is_some_and(|directory| host.place.path.starts_with(directory))
            && (!host.server || host.place.length > 0);
        Ok(RouteEndpoint {
            method: Method::Head,
            url: url(&rewritten(image, &host.rewrites), &address),
            phases,
            tls,
            fallback,
            auth: self.auth(&address.host, &host.headers),
            headers: self.headers(&host.headers),
            why,
            source: if written {
                Source::from(&host.place)
            } else {
                Source::Builtin
            },
        })
    }

    // --- both ---

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

    /// Why a client certificate cannot be loaded.
    fn key_pair(
        &self,
        cert: &Path,
        key: Option<&Path>,
        doing: &str,
        route: &mut Route,
    ) -> Option<String> {
        for path in [Some(cert), key].into_iter().flatten() {
            if self.missing(path, route) {
                let opened = format!("open {}: no such file or directory", path.display());
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
    format!("{}://{}{path}{query}", address.scheme, address.host)
}

fn shown(address: &Address) -> String {
    format!("{}://{}", address.scheme, address.host)
}

fn without_resolve(phases: &[Phase], capabilities: &Capabilities) -> String {
    if phases.contains(&Phase::Resolve) {
        return String::new();
    }
    let lacking = match (capabilities.pull, capabilities.resolve) {
        (false, false) => "`pull` and `resolve`",
        (false, true) => "`pull`",
        _ => "`resolve`",
    };
    format!("; without {lacking} it is not asked for the name, but it is asked for content")
}

impl Setting {
    /// Where the setting comes from, for a plan.
    pub fn source(&self) -> Source {
        self.place().map_or(Source::Builtin, Source::from)
    }
}
