//! `registry.config_path`: `ConfigureHosts` of the resolver.

use std::path::{Path, PathBuf};

use super::super::{ClientCert, Fallback, Method, Phase, Route, RouteEndpoint, Source, TlsPolicy};
use super::{Planner, Stop, default_host, rewritten, url};
use crate::registry::golang::{is_loopback, split_host_port};
use crate::registry::hosts_toml::{self, Address, Capabilities, Host, HostDirectory};
use crate::registry::image_ref::{DOCKER_HUB, ImageRef};
use crate::registry::rules::Rule;

impl Planner<'_> {
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

    pub(super) fn directories(
        &self,
        image: &ImageRef,
        roots: &[PathBuf],
        list_as_one: bool,
        route: &mut Route,
    ) -> Result<(), Stop> {
        let namespace = image.domain();
        let found = self.directory(namespace, roots, &mut route.unread);
        if let Some(fatal) = found.as_ref().and_then(|found| found.fatal.as_ref()) {
            return Err(self.failed(image, &fatal.message, Some(&fatal.place)));
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
            // What is lacking is told by the endpoints that a lint names; here stands what the daemon says.
            return Err(self.failed(image, "no resolve hosts: not found", None));
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
            if let Some(why) = self.unreadable(&ca.value, route) {
                let error = format!("unable to read CA cert \"{}\": {why}", ca.value.display());
                return Err(self.failed(image, &error, Some(&ca.place)));
            }
            if let Some(labels) = self.declared.tree.pem_labels(&ca.value)
                && !labels.iter().any(|label| label == "CERTIFICATE")
            {
                let error = format!("unable to load CA cert \"{}\"", ca.value.display());
                return Err(self.failed(image, &error, Some(&ca.place)));
            }
            tls.ca.push(ca.value.clone());
        }
        for pair in host.client.iter().flatten() {
            if let Some(error) = self.key_pair(&pair.cert.value, pair.key.as_deref(), "read", route)
            {
                return Err(self.failed(image, &error, Some(&pair.cert.place)));
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
