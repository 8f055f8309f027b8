//! `registry.mirrors`: `registryEndpoints` and `registryHosts` of the CRI plugin.

use super::super::{ClientCert, Method, Phase, Route, RouteEndpoint, Source, TlsPolicy};
use super::{Planner, Stop, default_host, url};
use crate::registry::containerd::Tls;
use crate::registry::golang::{is_loopback, parse_url, split_host_port};
use crate::registry::hosts_toml::Address;
use crate::registry::image_ref::ImageRef;
use crate::registry::rules::Rule;
use crate::registry::text::Located;

impl Planner<'_> {
    pub(super) fn mirrors(&self, image: &ImageRef, route: &mut Route) -> Result<(), Stop> {
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
                    let error = format!("get registry endpoints: parse endpoint url: {error}");
                    self.failed(image, &error, Some(&endpoint.place))
                })?;
                format!("{}://{}", self.default_scheme(&dummy.host), endpoint.value)
            };
            endpoints.push((with_scheme, Some(endpoint)));
        }
        let mut urls = Vec::new();
        for (text, endpoint) in endpoints {
            let url = parse_url(&text).map_err(|error| {
                let place = endpoint.map_or_else(|| self.main(), |endpoint| endpoint.place.clone());
                let error = format!("get registry endpoints: parse endpoint url: {error}");
                self.failed(image, &error, Some(&place))
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
            self.tls_of_config(image, configured, address, &mut tls, route)?;
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
        image: &ImageRef,
        configured: &Tls,
        address: &Address,
        tls: &mut TlsPolicy,
        route: &mut Route,
    ) -> Result<(), Stop> {
        let settings = self.config.registry.configs.get(&address.host);
        let fail = |error: String| {
            let error = format!(
                "get TLSConfig for registry \"{}://{}\": {error}",
                address.scheme, address.host
            );
            self.failed(image, &error, settings.map(|settings| &settings.place))
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
            if let Some(why) = self.unreadable(&ca, route) {
                return Err(fail(format!("failed to load CA file: {why}")));
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
}
