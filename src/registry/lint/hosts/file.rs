//! One hosts.toml: faults, keys, and each host.

use std::path::Path;

use super::super::schema::{self, near};
use super::super::{Code, Lint, Severity, whole};
use super::upstream;
use crate::registry::document::Document;
use crate::registry::golang::{parse_url, split_host_port};
use crate::registry::hosts_toml::{self, FILE_NAME, Host};
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST};
use crate::registry::node::{Entry, Table};
use crate::registry::rules::Rule;
use crate::registry::text::Place;

/// Everything about one hosts.toml that is not empty.
pub(super) fn check(
    lint: &mut Lint<'_>,
    directory: &Path,
    namespace: &str,
    path: &Path,
    text: &str,
) {
    let document = Document::parse(path, text);
    let read = hosts_toml::read(
        &lint.declared.tree,
        directory,
        lint.declared.rules(),
        lint.runtime,
    );
    let mut said = Vec::new();
    for error in document.errors.iter().chain(&document.newer) {
        said.push(error.place.clone());
        lint.add(
            Code::RegistryHostsParse,
            error.place.clone(),
            error.message.clone(),
        )
        .why(upstream(namespace));
    }
    let faults = hosts_toml::faults(&document, directory, lint.declared.rules(), lint.runtime);
    for fault in faults.iter().chain(&read.fault).chain(&read.fatal) {
        if said.contains(&fault.place) || !document.errors.is_empty() {
            continue;
        }
        said.push(fault.place.clone());
        let says = if lint.holds(Rule::HostsHeadersOnly) {
            format!("failed to decode {}", path.display())
        } else {
            "failed to decode hosts.toml".to_owned()
        };
        if fault.message.contains("`host` tree") {
            let last = Place {
                line: text.lines().count().max(1),
                ..whole(path)
            };
            lint.add(
                Code::RegistryHostsTable,
                fault.place.clone(),
                "the file has no `[host]` table, which this version requires",
            )
            .why(upstream(namespace))
            .says(format!("{says}: {}", fault.message))
            .rewrite(&last, |line| format!("{line}\n\n[host]"));
        } else {
            lint.add(
                Code::RegistryHostsParse,
                fault.place.clone(),
                fault.message.clone(),
            )
            .why(upstream(namespace))
            .says(says);
        }
    }
    keys(lint, &document);
    if read.fault.is_some() || read.fatal.is_some() {
        return;
    }
    let tag = |host: &Host| host.capabilities.pull && host.capabilities.resolve;
    let none = !read.hosts.iter().any(tag);
    for host in &read.hosts {
        check_host(lint, namespace, host, &document, none);
    }
    let implied = read
        .hosts
        .last()
        .is_some_and(|host| host.server && host.place.length == 0);
    if let Some(first) = read.hosts.first().filter(|first| !first.server && implied) {
        let host = match namespace {
            "_default" => "each registry itself".to_owned(),
            DOCKER_HUB => format!("`{DOCKER_HUB_HOST}`"),
            other => format!("`{other}`"),
        };
        lint.add(
            Code::RegistryUpstream,
            first.place.clone(),
            format!("{host} is asked last, since no `server` is set"),
        );
    }
    if namespace == "_default" && read.hosts.iter().any(|host| !host.server) {
        let place = read.hosts.first().map(|host| host.place.clone());
        lint.add(
            Code::RegistryCatchAll,
            place,
            "these hosts are asked for every registry that has no directory of its own",
        )
        .why("a mirror that ignores `?ns=` answers with another registry's image");
    }
    let unused = lint
        .declared
        .tree
        .names(directory)
        .unwrap_or_default()
        .iter()
        .find(|name| name.ends_with(".crt"));
    if let Some(name) = unused.filter(|_| read.hosts.iter().all(|host| host.ca.is_none())) {
        lint.add(
            Code::RegistryHostsKeys,
            whole(&directory.join(name)),
            format!(
                "`{name}` is not used: where a {FILE_NAME} exists, certificates must be named in it"
            ),
        )
        .severity(Severity::Medium)
        .remedy(format!("write `ca = \"{name}\"` below the host"));
    }
}

fn keys(lint: &mut Lint<'_>, document: &Document) {
    let headers_only = lint.holds(Rule::HostsHeadersOnly);
    let hosts = document.root.entry("host");
    let has_hosts = hosts
        .and_then(|entry| entry.node.table())
        .is_some_and(|table| !table.is_empty());
    for (name, entry) in document.root.in_order() {
        if schema::HOSTS.contains(&name) || schema::HOST.contains(&name) {
            root_key(lint, document, name, entry, has_hosts);
            continue;
        }
        let all: Vec<&str> = schema::HOSTS.iter().chain(schema::HOST).copied().collect();
        unknown(lint, document, name, entry, &all);
    }
    for (url, entry) in hosts
        .and_then(|entry| entry.node.table())
        .map(Table::in_order)
        .unwrap_or_default()
    {
        let Some(table) = entry.node.table() else {
            continue;
        };
        let header = document.headers.iter().any(|header| {
            header.keys.len() >= 2 && header.keys[0] == "host" && header.keys[1] == url
        });
        // Of a broken file the headers are not known.
        if !header && document.errors.is_empty() {
            let (severity, message) = if headers_only {
                (
                    Severity::High,
                    format!(
                        "`{url}` is dropped: only a table header `[host.\"{url}\"]` makes a host"
                    ),
                )
            } else {
                (
                    Severity::Medium,
                    format!(
                        "`{url}` is no table header: containerd 2.0 and later drop it without a word"
                    ),
                )
            };
            lint.add(Code::RegistryHostsKeys, entry.key.clone(), message)
                .severity(severity)
                .remedy(format!("write `[host.\"{url}\"]` with its keys below"));
        }
        for (name, inner) in table.in_order() {
            if name == "server" {
                lint.add(
                    Code::RegistryServerField,
                    inner.key.clone(),
                    format!("`server` stands below `[host.\"{url}\"]` and is ignored"),
                )
                .why("it belongs above the first header")
                .severity(Severity::High);
            } else if !schema::HOST.contains(&name) {
                unknown(lint, document, name, inner, schema::HOST);
            }
        }
        // A host whose URL was written without quotes: the dots split it.
        if !url.contains(['.', ':', '/'])
            && table.iter().any(|(_, inner)| inner.node.table().is_some())
            && !table.is_empty()
            && table.entry("header").is_none()
        {
            lint.add(
                Code::RegistryHostsKeys,
                entry.key.clone(),
                format!("the host's name is split at its dots: `{url}` is taken for the host"),
            )
            .remedy("put the address between quotes: `[host.\"https://mirror.example\"]`");
        }
    }
}

/// A key at the top that belongs to `server` only.
fn root_key(lint: &mut Lint<'_>, document: &Document, name: &str, entry: &Entry, has_hosts: bool) {
    if name == "dial_timeout" && !lint.holds(Rule::HostsDialTimeout) {
        lint.add(
            Code::RegistryDialTimeout,
            entry.key.clone(),
            "`dial_timeout` is not known to this version",
        );
    }
    if !has_hosts
        || !matches!(
            name,
            "ca" | "client" | "skip_verify" | "capabilities" | "header" | "override_path"
        )
    {
        return;
    }
    let bare = document.root.table("host").is_some_and(Table::is_empty);
    if !bare {
        lint.add(
            Code::RegistryHostsKeys,
            entry.key.clone(),
            format!(
                "`{name}` at the top is for the upstream (`server`) only, not for the hosts below"
            ),
        )
        .severity(Severity::Medium)
        .remedy(format!(
            "write `{name}` below each `[host.\"…\"]` that needs it"
        ));
    }
}

fn unknown(lint: &mut Lint<'_>, document: &Document, name: &str, entry: &Entry, known: &[&str]) {
    let meant = near(name, known);
    let message = match meant {
        Some(meant) => format!("`{name}` is not a key of hosts.toml, `{meant}` is"),
        None => format!("`{name}` is not a key of hosts.toml"),
    };
    let header = document
        .headers
        .iter()
        .find(|header| header.keys.first().is_some_and(|key| key == name));
    let place = header.map_or_else(|| entry.key.clone(), |header| header.place.clone());
    let mut draft = lint
        .add(Code::RegistryHostsKeys, place.clone(), message)
        .why("it is ignored, and nothing is logged");
    if meant.is_none() {
        draft = draft.severity(Severity::Medium);
    }
    if let Some(meant) = meant {
        draft
            .remedy(format!("write `{meant}`; no restart is needed"))
            .rewrite(&place, |line| line.replacen(name, meant, 1));
    }
}

fn check_host(lint: &mut Lint<'_>, namespace: &str, host: &Host, document: &Document, none: bool) {
    let table = if host.server {
        Some(&document.root)
    } else {
        host_table(document, host)
    };
    if host.skip_verify == Some(true) {
        let name = host
            .address
            .as_ref()
            .map_or(namespace, |address| address.host.as_str());
        let place = table
            .and_then(|table| table.entry("skip_verify"))
            .map_or_else(|| host.place.clone(), |entry| entry.key.clone());
        lint.add(
            Code::RegistryInsecure,
            place,
            format!("the certificate of `{name}` is not verified"),
        );
    }
    for ca in host.ca.iter().flatten() {
        missing(lint, &ca.value, &ca.place, "unable to read CA cert");
        if lint
            .declared
            .tree
            .pem_labels(&ca.value)
            .is_some_and(|labels| !labels.iter().any(|label| label == "CERTIFICATE"))
        {
            lint.add(
                Code::RegistryCaMissing,
                ca.place.clone(),
                format!("{} holds no certificate", ca.value.display()),
            )
            .why("every pull that has this host on its list fails")
            .says(format!("unable to load CA cert \"{}\"", ca.value.display()));
        }
    }
    clients(lint, host, table);
    if let Some(entry) = table.and_then(|table| table.entry("dial_timeout"))
        && !host.server
        && !lint.holds(Rule::HostsDialTimeout)
    {
        lint.add(
            Code::RegistryDialTimeout,
            entry.key.clone(),
            "`dial_timeout` is not known to this version",
        );
    }
    if host
        .headers
        .iter()
        .any(|header| header.value.eq_ignore_ascii_case("authorization"))
    {
        let place = host.headers.first().map(|header| header.place.clone());
        lint.add(
            Code::RegistryCredsInline,
            place,
            "credentials are written into the file as a header",
        );
    }
    let Some(address) = &host.address else { return };
    let written = written(host, document);
    let path_override = table
        .and_then(|table| table.node("override_path"))
        .and_then(|node| node.bool())
        .unwrap_or(false);
    if let Some((url, place)) = &written {
        check_address(lint, namespace, host, url, place, path_override);
    }
    if !host.capabilities.pull || !host.capabilities.resolve {
        let place = table
            .and_then(|table| table.entry("capabilities"))
            .map_or_else(|| host.place.clone(), |entry| entry.key.clone());
        let draft = lint.add(
            Code::RegistryCapabilities,
            place,
            format!(
                "`{}` is not asked for tags: it needs both `pull` and `resolve`",
                address.host
            ),
        );
        if none {
            draft
                .why("no host is left for a tag: every pull by tag fails")
                .says("no resolve hosts: not found");
        } else {
            draft
                .severity(Severity::Medium)
                .why("it is still asked for manifests by digest and for blobs");
        }
    }
    let options = host.ca.is_some() || host.client.is_some() || host.skip_verify.is_some();
    if address.scheme == "http" && options && split_host_port(&address.host).1 != "80" {
        lint.add(
            Code::RegistryHttpTls,
            host.place.clone(),
            format!(
                "`http://{}` has TLS options: it is asked in https first",
                address.host
            ),
        );
    }
}

fn host_table<'t>(document: &'t Document, host: &Host) -> Option<&'t Table> {
    let hosts = document.root.table("host")?;
    hosts
        .iter()
        .find(|(_, entry)| entry.key == host.place)
        .and_then(|(_, entry)| entry.node.table())
}

/// The URL of a host as it is written, with its place.
fn written(host: &Host, document: &Document) -> Option<(String, Place)> {
    if host.server {
        let entry = document.root.entry("server")?;
        return Some((entry.node.str()?.to_owned(), entry.node.place.clone()));
    }
    let hosts = document.root.table("host")?;
    hosts
        .iter()
        .find(|(_, entry)| entry.key == host.place)
        .map(|(url, _)| (url.to_owned(), host.place.clone()))
}

fn check_address(
    lint: &mut Lint<'_>,
    namespace: &str,
    host: &Host,
    url: &str,
    place: &Place,
    path_override: bool,
) {
    let full = if url.starts_with("http") {
        url.to_owned()
    } else {
        format!("https://{url}")
    };
    let Ok(parsed) = parse_url(&full) else { return };
    if parsed.host.is_empty() || !matches!(parsed.scheme.as_str(), "http" | "https") {
        lint.add(
            Code::RegistryServerField,
            place.clone(),
            format!("`{url}` cannot be asked: write it with `https://`"),
        )
        .severity(Severity::High)
        .says("unsupported protocol scheme, or no host in request URL");
        return;
    }
    if parsed.host.contains('*') {
        lint.add(
            Code::RegistryServerField,
            place.clone(),
            format!("`{url}` has a wildcard, which is taken literally"),
        );
    }
    if parsed.userinfo {
        lint.add(
            Code::RegistryHostsUserinfo,
            place.clone(),
            "user and password in the address are dropped",
        );
    }
    if host.server
        && matches!(
            parsed.host.as_str(),
            DOCKER_HUB | "index.docker.io" | "hub.docker.com"
        )
        && namespace == DOCKER_HUB
    {
        lint.add(
            Code::RegistryServerField,
            place.clone(),
            format!(
                "`{}` is contacted literally; Docker Hub is served by `{DOCKER_HUB_HOST}`",
                parsed.host
            ),
        )
        .remedy(format!("write `server = \"https://{DOCKER_HUB_HOST}\"`"))
        .replace(place, &format!("\"https://{DOCKER_HUB_HOST}\""));
    }
    let path = parsed.path.trim_end_matches('/');
    if path_override {
        if path.is_empty() && lint.holds(Rule::HostsOverridePath) {
            lint.add(
                Code::RegistryHostsPath,
                place.clone(),
                format!(
                    "`override_path` without a path asks `{}/library/…`",
                    parsed.host
                ),
            )
            .why("no registry answers there")
            .remedy("remove `override_path`, or write the path with its `/v2`");
        }
    } else if path.contains("/v2/") {
        lint.add(
            Code::RegistryHostsPath,
            place.clone(),
            format!("`/v2` is appended again: requests go to `{path}/v2/…`"),
        )
        .why("the registry answers 404 or a web page; the next host hides it");
    } else if !path.is_empty() && !path.ends_with("/v2") {
        lint.add(Code::RegistryHostsPath, place.clone(), format!("requests go to `{path}/v2/…`"))
            .severity(Severity::Info)
            .why("right for a registry that serves its API below a path; wrong for a project of Harbor or a repository of Nexus or Artifactory")
            .remedy("for a project write `…/v2/project` with `override_path = true`");
    }
    if path_override && !lint.holds(Rule::HostsOverridePath) {
        lint.add(
            Code::RegistryHostsPath,
            place.clone(),
            "`override_path` is not known to this version",
        );
    }
}

fn clients(lint: &mut Lint<'_>, host: &Host, table: Option<&Table>) {
    let entry = table.and_then(|table| table.entry("client"));
    // Two strings that look like a certificate and its key.
    if let Some(entry) = entry
        && let Some([cert, key]) = entry.node.strings().as_deref()
        && key.value.contains("key")
    {
        let new = format!("client = [[\"{}\", \"{}\"]]", cert.value, key.value);
        lint.add(
            Code::RegistryClientPair,
            entry.key.clone(),
            "two strings mean two files that each hold a certificate and its key",
        )
        .why("every pull that has this host on its list fails")
        .says("failed to load X509 key pair")
        .remedy(format!("write `{new}`"))
        .rewrite(&entry.key, |line| {
            let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
            format!("{indent}{new}")
        });
    }
    for pair in host.client.iter().flatten() {
        for path in [Some(&pair.cert.value), pair.key.as_ref()]
            .into_iter()
            .flatten()
        {
            missing(lint, path, &pair.cert.place, "unable to read CERT file");
        }
    }
}

fn missing(lint: &mut Lint<'_>, path: &Path, place: &Place, says: &str) {
    if lint.declared.is_absent(path) {
        lint.add(
            Code::RegistryCaMissing,
            place.clone(),
            format!("{} does not exist", path.display()),
        )
        .why("every pull that has this host on its list fails, without trying the next one")
        .says(format!(
            "{says} \"{0}\": open {0}: no such file or directory",
            path.display()
        ));
    }
}
