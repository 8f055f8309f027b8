//! dockerd: daemon.json, and what of it another runtime does not know.

use std::path::Path;

use super::schema::near;
use super::{Code, Lint, Severity};
use crate::registry::docker_daemon::{self, Daemon, Insecure};
use crate::registry::golang::parse_url;
use crate::registry::image_ref::{DOCKER_HUB, ImageRef};
use crate::registry::json;
use crate::registry::plan::containerd::Planner;
use crate::registry::plan::{Route, RouteEndpoint};
use crate::registry::registries_conf::RegistriesConf;

/// The keys of daemon.json that concern registries.
const KEYS: &[&str] = &[
    "registry-mirrors",
    "insecure-registries",
    "allow-nondistributable-artifacts",
];

pub(super) fn check(lint: &mut Lint<'_>) {
    let daemon = Daemon::load(&lint.declared.tree);
    if let Some(fatal) = &daemon.fatal {
        lint.add(
            Code::DockerDaemonJson,
            fatal.place.clone(),
            fatal.value.clone(),
        )
        .why("dockerd does not start")
        .says(fatal.value.clone());
    }
    misspelt(lint);
    if let Some(mirror) = daemon.mirrors.first() {
        lint.add(
            Code::DockerMirrorScope,
            mirror.place.clone(),
            "mirrors are asked for Docker Hub only",
        )
        .severity(Severity::Info);
    }
    for entry in &daemon.insecure {
        match &entry.value {
            Insecure::Network(..) => {
                lint.add(
                    Code::DockerInsecureNetwork,
                    entry.place.clone(),
                    "a network of insecure registries",
                );
            }
            Insecure::Host(host) => {
                lint.add(
                    Code::RegistryInsecure,
                    entry.place.clone(),
                    format!("`{host}` may answer with any certificate, or in plain http"),
                );
            }
        }
    }
}

fn misspelt(lint: &mut Lint<'_>) {
    let path = Path::new(docker_daemon::FILE);
    let Some(Ok(node)) = lint.text(path).map(|text| json::parse(path, text)) else {
        return;
    };
    let Some(root) = node.table() else { return };
    for (name, entry) in root.in_order() {
        if !KEYS.contains(&name)
            && let Some(meant) = near(name, KEYS)
        {
            lint.add(
                Code::DockerDaemonJson,
                entry.key.clone(),
                format!("`{name}` is not a key of daemon.json, `{meant}` is"),
            )
            .why("dockerd does not start with an unknown key")
            .says(format!(
                "the following directives don't match any configuration option: {name}"
            ))
            .remedy(format!("write `{meant}`"))
            .replace(&entry.key, &format!("\"{meant}\""));
        }
    }
}

/// What daemon.json says and containerd does not know.
pub(super) fn not_carried_to_containerd(lint: &mut Lint<'_>, planner: &Planner<'_>) {
    if planner.config().fatal.is_some() {
        return;
    }
    not_carried(lint, |image| planner.route(image));
}

/// What daemon.json says and CRI-O does not know.
pub(super) fn not_carried_to_crio(lint: &mut Lint<'_>, conf: &RegistriesConf) {
    if conf.fatal.is_some() {
        return;
    }
    let planner = crate::registry::plan::crio::Planner::new(lint.declared, lint.runtime);
    not_carried(lint, |image| planner.route(image));
}

fn not_carried(lint: &mut Lint<'_>, route: impl Fn(&ImageRef) -> Route) {
    let daemon = Daemon::load(&lint.declared.tree);
    let at = |endpoint: &RouteEndpoint, host: &str| {
        endpoint
            .url
            .split("://")
            .nth(1)
            .is_some_and(|rest| rest.split('/').next() == Some(host))
    };
    let hub = format!("{DOCKER_HUB}/library/busybox:latest")
        .parse()
        .map(|image| route(&image))
        .ok();
    for mirror in &daemon.mirrors {
        let Ok(url) = parse_url(&mirror.value) else {
            continue;
        };
        if hub
            .as_ref()
            .is_some_and(|hub| !hub.endpoints.iter().any(|endpoint| at(endpoint, &url.host)))
        {
            lint.add(
                Code::DockerMirrorCarried,
                mirror.place.clone(),
                format!("the mirror `{}` is known to dockerd only", mirror.value),
            )
            .severity(Severity::Low)
            .why("pulls from Docker Hub do not use it");
        }
    }
    for entry in &daemon.insecure {
        let Insecure::Host(host) = &entry.value else {
            continue;
        };
        let Ok(image) = format!("{host}/probe:latest").parse::<ImageRef>() else {
            continue;
        };
        let route = route(&image);
        let covered = route.endpoints.iter().any(|endpoint| {
            at(endpoint, host) && (!endpoint.tls.verify || endpoint.fallback.is_some())
        });
        if !covered && image.domain() == host {
            lint.add(
                Code::DockerInsecureCarried,
                entry.place.clone(),
                format!("`{host}` is insecure for dockerd only"),
            )
            .severity(Severity::Low)
            .why("it is asked in https with verification");
        }
    }
}
