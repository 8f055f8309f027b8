//! From a route to a hosts.toml that gives the same route: all endpoints but the last are `[host."URL"]`, the last is
//! `server`, whose options stand at the root of the file, above every table.

use super::Left;
use super::work::REPOSITORY;
use crate::registry::golang::{parse_url, split_host_port};
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST, ImageRef};
use crate::registry::k3s::quoted;
use crate::registry::plan::{Fallback, Phase, Route, RouteEndpoint, TlsPolicy};

/// An entry of a hosts.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    url: String,
    override_path: bool,
    resolves: bool,
    tls: TlsPolicy,
}

/// The text of the file, or `None` if the runtime does the same without one, and what differs.
/// `all` says that it is the file for every registry without one of its own, so that the upstream is not named; `shadows`
/// that there would be another file for this registry without it.
pub(super) fn text(
    route: &Route,
    all: bool,
    shadows: bool,
    image: &ImageRef,
) -> (Option<String>, Vec<Left>) {
    let mut left = Vec::new();
    let mut hosts: Vec<Host> = Vec::new();
    for endpoint in &route.endpoints {
        for host in entries(endpoint, &mut left) {
            // A table can stand only once; asked a second time, a host gives the same answer.
            if !hosts.iter().any(|known| known.url == host.url) {
                hosts.push(host);
            }
        }
    }
    let upstream = format!("https://{}", upstream(image.domain()));
    let last = hosts.pop();
    let server = match last {
        Some(last) if all && last.url == upstream => None,
        Some(last) if all => {
            hosts.push(last);
            None
        }
        last => last,
    };
    let is_default = |host: &Host| {
        host.url == upstream && !host.override_path && host.resolves && host.tls == plain()
    };
    if hosts.is_empty() && !shadows && server.as_ref().is_none_or(is_default) {
        return (None, left);
    }
    let mut text = String::new();
    if let Some(server) = &server {
        text.push_str(&format!("server = {}\n", quoted(&server.url)));
        options(&mut text, server, "");
    }
    if hosts.is_empty() {
        // Until 1.7.31 a file without any such table is rejected as a whole.
        text.push_str("\n[host]\n");
    }
    for host in &hosts {
        text.push_str(&format!("\n[host.{}]\n", quoted(&host.url)));
        let capabilities = if host.resolves {
            "[\"pull\", \"resolve\"]"
        } else {
            "[\"pull\"]"
        };
        text.push_str(&format!("  capabilities = {capabilities}\n"));
        options(&mut text, host, "  ");
    }
    (Some(text), left)
}

fn upstream(domain: &str) -> &str {
    if domain == DOCKER_HUB {
        DOCKER_HUB_HOST
    } else {
        domain
    }
}

/// Verified by the system's authorities.
fn plain() -> TlsPolicy {
    TlsPolicy {
        verify: true,
        ..TlsPolicy::default()
    }
}

/// The entries that make a runtime ask an endpoint: two where it is asked in TLS and then without.
fn entries(endpoint: &RouteEndpoint, left: &mut Vec<Left>) -> Vec<Host> {
    let Some((base, host_and_scheme)) = parts(&endpoint.url) else {
        left.push(Left::new(
            format!("the endpoint {}", endpoint.url),
            "its path does not end in the repository, which only a rewrite can do",
            None,
        ));
        return Vec::new();
    };
    let (url, override_path) = match base.as_str() {
        "/v2" => (host_and_scheme, false),
        "" | "/" => {
            left.push(Left::new(
                format!("the slash at the end of `{host_and_scheme}/`"),
                "it took the place of `/v2`, so the endpoint was asked for a path that no registry serves; it is left out",
                None,
            ));
            (host_and_scheme, false)
        }
        base if base.ends_with("/v2") => (format!("{host_and_scheme}{base}"), false),
        base => {
            if !base.split('/').any(|part| part == "v2") {
                left.push(Left::new(
                    format!("the path `{base}` of {host_and_scheme}"),
                    "it has no `/v2`, so that most registries answer 404; it is kept as it is",
                    None,
                ));
            }
            (format!("{host_and_scheme}{base}"), true)
        }
    };
    let host = Host {
        url,
        override_path,
        resolves: endpoint.phases.contains(&Phase::Resolve),
        tls: endpoint.tls.clone(),
    };
    let mut hosts = vec![host];
    if hosts[0].url.starts_with("http://") {
        hosts[0].tls = plain();
    } else if endpoint.fallback == Some(Fallback::Http) {
        left.push(Left::new(
            format!("which scheme {} speaks", hosts[0].url),
            "it was asked in TLS without verification and then in plain HTTP, so both are written; `criscope registry probe --endpoint` tells which one to keep",
            None,
        ));
        hosts.push(Host {
            url: hosts[0].url.replacen("https://", "http://", 1),
            tls: plain(),
            ..hosts[0].clone()
        });
    }
    hosts
}

/// The path before the repository, and scheme with host.
fn parts(url: &str) -> Option<(String, String)> {
    let url = url.split('?').next()?;
    let parsed = parse_url(url).ok()?;
    if split_host_port(&parsed.host).0.is_empty() {
        return None;
    }
    let base = parsed
        .path
        .strip_suffix("/manifests/1")?
        .strip_suffix(REPOSITORY)?
        .trim_end_matches('/');
    Some((
        base.to_owned(),
        format!("{}://{}", parsed.scheme, parsed.host),
    ))
}

fn options(text: &mut String, host: &Host, indent: &str) {
    let mut line = |line: String| text.push_str(&format!("{indent}{line}\n"));
    if host.override_path {
        line("override_path = true".to_owned());
    }
    if !host.url.starts_with("https://") {
        return;
    }
    let path = |path: &std::path::Path| quoted(&path.to_string_lossy());
    if !host.tls.ca.is_empty() {
        let files: Vec<String> = host.tls.ca.iter().map(|ca| path(ca)).collect();
        line(format!("ca = [{}]", files.join(", ")));
    }
    if let Some(client) = &host.tls.client_cert {
        line(format!(
            "client = [[{}, {}]]",
            path(&client.cert),
            path(&client.key)
        ));
    }
    if !host.tls.verify {
        line("skip_verify = true".to_owned());
    }
}
