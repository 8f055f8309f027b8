//! From dockerd's routes to a drop-in of registries.conf: `[[registry]]` with its mirrors.
//!
//! Certificates need no word: CRI-O looks into /etc/docker/certs.d itself where /etc/containers/certs.d has nothing.

use std::collections::BTreeSet;

use super::work::example;
use crate::registry::declared::Declared;
use crate::registry::golang::parse_url;
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST};
use crate::registry::k3s::quoted;
use crate::registry::plan::{self, RouteEndpoint};
use crate::registry::registries_conf::RegistriesConf;
use crate::registry::version::RuntimeId;

/// The drop-in.
pub(super) const FILE: &str = "/etc/containers/registries.conf.d/50-docker.conf";

/// Its text.
pub(super) fn text(
    declared: &Declared,
    dockerd: &RuntimeId,
    namespaces: &BTreeSet<String>,
    present: &RegistriesConf,
) -> String {
    let mut text = String::new();
    if present.search.is_empty() {
        text.push_str(
            "# docker completes short names with docker.io; CRI-O only if it is told so.\n",
        );
        text.push_str(&format!(
            "unqualified-search-registries = [{}]\n",
            quoted(DOCKER_HUB)
        ));
    }
    for namespace in namespaces {
        let Some(image) = example(namespace) else {
            continue;
        };
        let route = plan::route(declared, dockerd, &image);
        let Some((own, mirrors)) = route.endpoints.split_last() else {
            continue;
        };
        let insecure = is_insecure(own);
        if mirrors.is_empty() && !insecure {
            continue;
        }
        text.push_str(&format!(
            "\n[[registry]]\nlocation = {}\n",
            quoted(namespace)
        ));
        if insecure {
            text.push_str("insecure = true\n");
        }
        for mirror in mirrors {
            let Some(host) = host(&mirror.url) else {
                continue;
            };
            text.push_str(&format!(
                "\n[[registry.mirror]]\nlocation = {}\n",
                quoted(&host)
            ));
            if is_insecure(mirror) {
                text.push_str("insecure = true\n");
            }
        }
    }
    text
}

/// Whether http or any certificate is good enough.
fn is_insecure(endpoint: &RouteEndpoint) -> bool {
    endpoint.url.starts_with("http://") || endpoint.fallback.is_some() || !endpoint.tls.verify
}

fn host(url: &str) -> Option<String> {
    let host = parse_url(url).ok()?.host;
    Some(if host == DOCKER_HUB_HOST {
        DOCKER_HUB.to_owned()
    } else {
        host
    })
}
