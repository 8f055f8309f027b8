//! `mirrors`, `configs`, `auths` and `config_path` as they are in force.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Code, Lint, Severity, whole};
use crate::registry::containerd::{HostSettings, Mirror, Registry, Setting};
use crate::registry::golang::{parse_url, split_host_port};
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST};
use crate::registry::plan::containerd::{Mechanism, Planner};
use crate::registry::rules::Rule;
use crate::registry::text::{Located, Place};
use crate::registry::tree;
use crate::secret::cover::addresses;

pub(super) fn check(lint: &mut Lint<'_>, planner: &Planner<'_>) {
    let registry = &planner.config().registry;
    let builtin = lint.holds(Rule::MirrorsDefaultDockerIo);
    for (namespace, mirror) in &registry.mirrors {
        if builtin && namespace == DOCKER_HUB && mirror.place.length == 0 {
            continue;
        }
        mirror_key(lint, namespace, mirror, registry);
        for endpoint in &mirror.endpoints {
            check_endpoint(lint, namespace, endpoint);
        }
        upstream(lint, namespace, mirror);
    }
    if builtin
        && registry.mirrors.contains_key("*")
        && registry
            .mirrors
            .get(DOCKER_HUB)
            .is_some_and(|hub| hub.place.length == 0)
    {
        let place = registry.mirrors.get("*").map(|mirror| mirror.place.clone());
        lint.add(
            Code::RegistryMirrorEmpty,
            place,
            "docker.io does not use the wildcard mirror: this version has a built-in entry for it",
        )
        .remedy("add an entry for docker.io with the same endpoints");
    }
    for (host, settings) in &registry.configs {
        host_settings(lint, host, settings, registry);
    }
    deprecated(lint, registry);
    config_path(lint, planner);
}

fn mirror_key(lint: &mut Lint<'_>, namespace: &str, mirror: &Mirror, registry: &Registry) {
    if namespace == "*" {
        if !mirror.endpoints.is_empty() {
            lint.add(
                Code::RegistryCatchAll,
                mirror.place.clone(),
                "this mirror is asked for every registry that has no entry of its own",
            )
            .why("a mirror that ignores `?ns=` answers with another registry's image");
        }
        return;
    }
    let (meant, why) = if let Some((_, host)) = namespace.split_once("://") {
        (
            Some(hub_name(host.trim_end_matches('/'))),
            "a key has no scheme",
        )
    } else if matches!(namespace, "registry-1.docker.io" | "index.docker.io") {
        (
            Some(DOCKER_HUB.to_owned()),
            "images of Docker Hub are named `docker.io`",
        )
    } else if namespace.contains('*') {
        (None, "the only wildcard is `\"*\"`, for all registries")
    } else if namespace.contains('/') {
        (None, "a key is a registry, without a repository")
    } else if namespace.chars().any(|c| c.is_ascii_uppercase()) {
        (
            Some(namespace.to_ascii_lowercase()),
            "keys are compared letter by letter",
        )
    } else if !is_registry(namespace) {
        (
            None,
            "without a dot or a port it is no registry but a repository of docker.io",
        )
    } else {
        if mirror.endpoints.is_empty() && registry.mirrors.contains_key("*") {
            lint.add(Code::RegistryMirrorEmpty, mirror.place.clone(), format!("the entry for `{namespace}` has no endpoints and keeps it from the wildcard mirror"));
        }
        return;
    };
    let mut draft = lint
        .add(
            Code::RegistryMirrorKey,
            mirror.place.clone(),
            format!("no image matches the mirror key `{namespace}`: {why}"),
        )
        .why("the mirror is never used, and nothing is logged");
    if let Some(meant) = meant {
        draft = draft.remedy(format!("write `{meant}`, then restart containerd"));
        draft.rewrite(&mirror.place, |line| line.replacen(namespace, &meant, 1));
    }
}

/// Whether the first part of an image's name is taken for a registry.
pub(super) fn is_registry(name: &str) -> bool {
    name == "localhost" || name.contains(['.', ':'])
}

/// Who is asked behind the mirrors of a registry.
fn upstream(lint: &mut Lint<'_>, namespace: &str, mirror: &Mirror) {
    let names_it = mirror.endpoints.iter().any(|endpoint| {
        let (_, rest) = endpoint
            .value
            .split_once("://")
            .unwrap_or(("", &endpoint.value));
        rest.split('/').next() == Some(namespace)
    });
    // With an endpoint that is no address nobody is asked at all.
    let broken = mirror.endpoints.iter().any(|endpoint| {
        let full = match endpoint.value.contains("://") {
            true => endpoint.value.clone(),
            false => format!("https://{}", endpoint.value),
        };
        parse_url(&full).is_err()
    });
    if namespace == "*" || names_it || broken || mirror.endpoints.is_empty() {
        return;
    }
    if !is_registry(namespace) {
        return;
    }
    let host = if namespace == DOCKER_HUB {
        DOCKER_HUB_HOST
    } else {
        namespace
    };
    lint.add(
        Code::RegistryUpstream,
        mirror.place.clone(),
        format!("`{host}` is asked last, since no endpoint names `{namespace}`"),
    );
}

fn hub_name(host: &str) -> String {
    if matches!(
        host,
        "registry-1.docker.io" | "index.docker.io" | "hub.docker.com"
    ) {
        DOCKER_HUB.to_owned()
    } else {
        host.to_owned()
    }
}

fn check_endpoint(lint: &mut Lint<'_>, namespace: &str, endpoint: &Located<String>) {
    let shown = addresses(&endpoint.value);
    let full = if endpoint.value.contains("://") {
        endpoint.value.clone()
    } else {
        format!("https://{}", endpoint.value)
    };
    let url = match parse_url(&full) {
        Ok(url) => url,
        Err(error) => {
            let reach = if namespace == "*" {
                "every registry without an entry of its own"
            } else {
                namespace
            };
            lint.add(
                Code::RegistryEndpointParse,
                endpoint.place.clone(),
                format!("`{shown}` is no address"),
            )
            .why(format!(
                "every pull from {reach} fails, without trying another endpoint"
            ))
            .says(format!("parse endpoint url: {error}"));
            return;
        }
    };
    if !matches!(url.scheme.as_str(), "http" | "https") || url.host.is_empty() {
        lint.add(
            Code::RegistryEndpointParse,
            endpoint.place.clone(),
            format!("`{shown}` cannot be asked: it is neither http:// nor https:// with a host"),
        )
        .says("unsupported protocol scheme");
        return;
    }
    if url.userinfo {
        lint.add(
            Code::RegistryHostsUserinfo,
            endpoint.place.clone(),
            "user and password in the address are dropped",
        );
    }
    if !endpoint.value.contains("://")
        && let Some((word, rest)) = endpoint.value.split_once(":/")
        && word.bytes().all(|byte| byte.is_ascii_alphabetic())
    {
        lint.add(
            Code::RegistryEndpointParse,
            endpoint.place.clone(),
            format!("`{shown}` has no scheme: `{word}` is taken for the host"),
        )
        .why("requests go to a host of that name")
        .remedy(format!(
            "write `https://{}`, then restart containerd",
            addresses(rest.trim_start_matches('/'))
        ));
        return;
    }
    if url.path == "/" {
        let meant = endpoint.value.trim_end_matches('/').to_owned();
        lint.add(Code::RegistryMirrorPath, endpoint.place.clone(), format!("the slash at the end of `{shown}` takes the place of `/v2`"))
            .why("requests go to `/library/…`, which no registry serves; every pull silently falls back to the upstream")
            .remedy(format!("write `{}`, then restart containerd", addresses(&meant)))
            .replace(&endpoint.place, &format!("\"{meant}\""));
    } else if !url.path.is_empty() && !url.path.split('/').any(|part| part == "v2") {
        let bare = shown.trim_end_matches('/');
        lint.add(
            Code::RegistryMirrorPath,
            endpoint.place.clone(),
            format!("the path of `{shown}` has no `/v2`, and none is added"),
        )
        .why(format!("requests go to `{}/…/manifests/…`", url.path))
        .remedy(format!(
            "write `{bare}/v2`, or for a project of a registry `…/v2{}`",
            url.path
        ));
    }
}

fn host_settings(lint: &mut Lint<'_>, host: &str, settings: &HostSettings, registry: &Registry) {
    if let Some(tls) = &settings.tls {
        wrong_key(
            lint,
            Code::RegistryTlsKey,
            "TLS options",
            host,
            &settings.place,
            registry,
        );
        if tls.skip_verify {
            lint.add(
                Code::RegistryInsecure,
                settings.place.clone(),
                format!("the certificate of `{host}` is not verified"),
            );
        }
        if let Some(error) = tls.incomplete() {
            lint.add(
                Code::RegistryCaMissing,
                settings.place.clone(),
                format!("the client certificate for `{host}` is incomplete"),
            )
            .why(format!("every pull that may ask `{host}` fails"))
            .says(error);
        }
        for file in [&tls.ca, &tls.cert, &tls.key].into_iter().flatten() {
            certificate(lint, host, file);
        }
    }
    if let Some(auth) = &settings.auth {
        wrong_key(
            lint,
            Code::RegistryAuthKey,
            "credentials",
            host,
            auth,
            registry,
        );
        let printed = lint.holds(Rule::CriInfoRegistry);
        let draft = lint.add(
            Code::RegistryCredsInline,
            auth.clone(),
            format!("credentials for `{host}` are written into the file"),
        );
        if printed {
            draft.why("`crictl info` prints them");
        }
    }
}

fn certificate(lint: &mut Lint<'_>, host: &str, file: &Located<String>) {
    let path = lint.declared.absolute(&file.value);
    if !file.value.starts_with('/') {
        lint.add(
            Code::RegistryCaPath,
            file.place.clone(),
            format!(
                "`{}` is relative to the daemon's working directory: {}",
                file.value,
                path.display()
            ),
        )
        .why("it is not relative to config.toml");
    }
    if matches!(lint.declared.tree.entry(&path), Some(tree::Entry::Absent)) {
        lint.add(
            Code::RegistryCaMissing,
            file.place.clone(),
            format!("{} does not exist", path.display()),
        )
        .why(format!(
            "every pull that may ask `{host}` fails, without trying another endpoint"
        ))
        .says(format!(
            "open {}: no such file or directory",
            path.display()
        ));
    }
}

/// A key of `configs` that no contacted host has.
fn wrong_key(
    lint: &mut Lint<'_>,
    code: Code,
    what: &str,
    host: &str,
    place: &Place,
    registry: &Registry,
) {
    let endpoints: BTreeSet<String> = registry
        .mirrors
        .values()
        .flat_map(|mirror| &mirror.endpoints)
        .filter_map(|endpoint| {
            parse_url(&if endpoint.value.contains("://") {
                endpoint.value.clone()
            } else {
                format!("https://{}", endpoint.value)
            })
            .ok()
        })
        .map(|url| url.host)
        .collect();
    if endpoints.contains(host) {
        return;
    }
    let (meant, why) = if matches!(host, DOCKER_HUB | "index.docker.io" | "hub.docker.com") {
        (
            DOCKER_HUB_HOST.to_owned(),
            "Docker Hub is contacted as `registry-1.docker.io`",
        )
    } else if let Some((_, bare)) = host.split_once("://") {
        (
            bare.split('/').next().unwrap_or_default().to_owned(),
            "the key is host and port of the endpoint, without a scheme",
        )
    } else if let Some(other) = endpoints
        .iter()
        .find(|known| split_host_port(known).0 == split_host_port(host).0)
    {
        (other.clone(), "the port of the endpoint is part of the key")
    } else {
        return;
    };
    lint.add(
        code,
        place.clone(),
        format!("the {what} under `{host}` are never used: {why}"),
    )
    .remedy(format!(
        "write `{meant}` as the key, then restart containerd"
    ))
    .rewrite(place, |line| line.replacen(host, &meant, 1));
}

fn deprecated(lint: &mut Lint<'_>, registry: &Registry) {
    if !lint.holds(Rule::ConfigPath) {
        let tls = registry
            .configs
            .values()
            .filter(|config| config.tls.is_some())
            .map(|config| &config.place)
            .min();
        if let Some(place) = tls.filter(|_| !lint.holds(Rule::RegistryTls)) {
            lint.add(
                Code::ContainerdTooOld,
                place.clone(),
                "this version ignores TLS options of registries",
            );
        }
        return;
    }
    let mirror = registry
        .mirrors
        .values()
        .map(|mirror| (&mirror.place, "mirrors"))
        .min();
    let config = registry
        .configs
        .values()
        .map(|config| (&config.place, "configs"))
        .min();
    if let Some((place, what)) = mirror.into_iter().chain(config).min() {
        lint.add(
            Code::RegistryDeprecated,
            place.clone(),
            format!("`registry.{what}` is deprecated; it still works in this version"),
        );
    }
}

fn config_path(lint: &mut Lint<'_>, planner: &Planner<'_>) {
    let config = planner.config();
    let Some(path) = &config.registry.config_path else {
        return;
    };
    let place = match path {
        Setting::Written(path) => path.place.clone(),
        Setting::Builtin(_) => whole(&lint.declared.containerd_config),
    };
    let parts: Vec<&str> = path
        .value()
        .split(':')
        .filter(|part| !part.is_empty())
        .collect();
    let Mechanism::Directories { list_as_one, .. } = planner.mechanism() else {
        return;
    };
    let used = |part: &&str| {
        lint.declared
            .tree
            .names(&lint.declared.absolute(part))
            .is_some_and(|names| !names.is_empty())
    };
    if list_as_one {
        let Some(first) = parts.iter().copied().find(used) else {
            return;
        };
        let written = matches!(path, Setting::Written(_));
        let message = if written {
            format!(
                "`{}` is taken as one directory, which does not exist",
                path.value()
            )
        } else {
            format!(
                "the built-in `config_path` is the list `{}`, which is taken as one directory, so {first} is not read",
                path.value()
            )
        };
        let draft = lint
            .add(Code::RegistryConfigPathList, place.clone(), message)
            .why("pulls go through the transfer service: no hosts.toml and no certificate is read, and nothing is logged")
            .remedy(format!("write `config_path = \"{first}\"` or `use_local_image_pull = true`, then restart containerd"));
        if written {
            draft.replace(&place, &format!("\"{first}\""));
        }
        return;
    }
    if parts.len() > 1
        && matches!(path, Setting::Written(_))
        && let Some(local) = &config.local_pull
        && lint.holds(Rule::TransferService)
    {
        lint.add(Code::RegistryConfigPathList, place.clone(), format!("the list in `config_path` works only because of `{}`", local.value))
            .severity(Severity::Info)
            .why("without that setting pulls go through the transfer service, which takes the list as one directory")
            .related("keeps pulls away from the transfer service", &local.place);
    }
    if let Setting::Written(_) = path {
        // Of a list one directory is enough: the second is often docker's, which need not be there.
        let directories = || parts.iter().map(|part| lint.declared.absolute(part));
        if let Some(first) = directories()
            .next()
            .filter(|_| directories().all(|path| lint.declared.is_absent(&path)))
        {
            lint.add(
                Code::RegistryConfigPathMissing,
                place.clone(),
                format!("{} does not exist", first.display()),
            );
        }
        if let Some(relative) = parts.iter().find(|part| !Path::new(part).is_absolute()) {
            let message = format!("`{relative}` is relative to the daemon's working directory");
            lint.add(Code::RegistryConfigPathMissing, place.clone(), message)
                .remedy("write the absolute path");
        }
    }
}
