//! From plugin tables to the registry section that is in force, with the checks of the CRI plugin.

use std::collections::BTreeMap;
use std::path::Path;

use super::load::Start;
use super::{
    CRI, CRI_IMAGES, CRI_RUNTIME, Config, Fatal, FatalCause, FatalKind, Setting, field,
    ignores_case,
};
use crate::registry::declared::Declared;
use crate::registry::golang::parse_url;
use crate::registry::node::{Entry, Node, Table, Value};
use crate::registry::rules::{Default as RuntimeDefault, Rule};
use crate::registry::text::{Located, Place};
use crate::registry::version::RuntimeId;

/// The registry section of the CRI plugin.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// `config_path`, if it is set or has a default. Never empty.
    pub config_path: Option<Setting>,
    /// `mirrors`, by namespace.
    pub mirrors: BTreeMap<String, Mirror>,
    /// `configs` and `auths`, by the host of an endpoint.
    pub configs: BTreeMap<String, HostSettings>,
    /// Names of the headers sent with every request.
    pub headers: Vec<Located<String>>,
}

/// The endpoints of one namespace.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// Where the namespace is named.
    pub place: Place,
    /// `endpoint`.
    pub endpoints: Vec<Located<String>>,
}

/// What is set for one endpoint host. Credentials only as present or absent.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// Where the host is named.
    pub place: Place,
    /// `tls`, where the version knows it.
    pub tls: Option<Tls>,
    /// Where credentials are written, if they are.
    pub auth: Option<Place>,
}

/// `configs.HOST.tls`.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// `insecure_skip_verify`.
    pub skip_verify: bool,
    /// `ca_file`.
    pub ca: Option<Located<String>>,
    /// `cert_file`.
    pub cert: Option<Located<String>>,
    /// `key_file`.
    pub key: Option<Located<String>>,
}

/// A value of a type that the plugin cannot decode.
struct Mistyped(Fatal);

fn mistyped(what: &str, node: &Node, wanted: &str) -> Mistyped {
    let error = format!(
        "cannot decode `{what}`: it must be {wanted}, not {}",
        node.value.kind()
    );
    Mistyped(Fatal {
        kind: FatalKind::CriFailed,
        cause: FatalCause::Decode,
        error,
        place: node.place.clone(),
    })
}

/// Reads the tables that the CRI plugin gets after a start.
pub(super) fn extract(start: Start<'_>, declared: &Declared, runtime: &RuntimeId) -> Config {
    let rules = declared.rules();
    let holds = |rule| rules.holds(rule, runtime);
    let case = ignores_case(declared, runtime);
    let name = start.cri_table();
    let empty = Table::default();
    let images = start.plugins.table(name).unwrap_or(&empty);
    let default_path = rules.default(RuntimeDefault::ConfigPath, runtime);
    let mut fatal = start.fatal.clone();

    if fatal.is_none() {
        fatal = disabled(&start, name);
    }
    let section = field(images, "registry", case);
    let mut registry = match section.map_or(Ok(Registry::default()), |entry| {
        read(
            &entry.node,
            case,
            holds(Rule::ConfigsTls),
            holds(Rule::ConfigPath),
        )
    }) {
        Ok(registry) => registry,
        Err(Mistyped(error)) => {
            fatal.get_or_insert(error);
            Registry::default()
        }
    };
    let written = section
        .and_then(|entry| entry.node.table())
        .and_then(|table| field(table, "config_path", case));
    if !holds(Rule::ConfigPath) {
        registry.config_path = None;
    } else if written.is_none() && holds(Rule::ConfigPathDefaultStatic)
        || registry.config_path.is_none()
            && registry.mirrors.is_empty()
            && holds(Rule::ConfigPathDefaultDynamic)
    {
        registry.config_path = default_path.map(|path| Setting::Builtin(path.to_owned()));
    }
    if let Some(clash) = clash(&registry) {
        fatal.get_or_insert(clash);
    }
    if holds(Rule::MirrorsDefaultDockerIo) && !registry.mirrors.contains_key("docker.io") {
        let place = Place::start_of(&declared.containerd_config);
        let endpoint = Located::new("https://registry-1.docker.io".to_owned(), place.clone());
        registry.mirrors.insert(
            "docker.io".to_owned(),
            Mirror {
                place,
                endpoints: vec![endpoint],
            },
        );
    }

    let sandbox = if holds(Rule::ConfigV1Lookup) {
        field(images, "sandbox_image", case)
    } else {
        field(images, "pinned_images", case)
            .and_then(|entry| entry.node.table())
            .and_then(|pinned| pinned.entry("sandbox"))
    };
    let sandbox_image = match sandbox.and_then(|entry| entry.node.located_str()) {
        Some(image) => Setting::Written(image),
        None => Setting::Builtin(
            rules
                .default(RuntimeDefault::SandboxImage, runtime)
                .unwrap_or_default()
                .to_owned(),
        ),
    };
    let local_pull = local_pull(images, &registry, case);
    Config {
        table: name,
        files: start.files,
        fatal,
        registry,
        sandbox_image,
        local_pull,
        unread: start.unread,
        plugins: start.plugins,
    }
}

/// Whether the CRI plugin is switched off.
fn disabled(start: &Start<'_>, table: &str) -> Option<Fatal> {
    let names: &[&str] = if table == CRI_IMAGES {
        &[CRI, CRI_IMAGES, CRI_RUNTIME]
    } else {
        &[table]
    };
    let entry = start
        .disabled
        .iter()
        .find(|name| names.contains(&name.value.as_str()))?;
    let error = format!("`disabled_plugins` lists `{}`", entry.value);
    Some(Fatal {
        kind: FatalKind::CriDisabled,
        cause: FatalCause::Disabled,
        error,
        place: entry.place.clone(),
    })
}

/// Settings that the plugin refuses together.
fn clash(registry: &Registry) -> Option<Fatal> {
    registry.config_path.as_ref()?;
    let refuse = |cause, what: &str, place: &Place| {
        let error = format!("`{what}` cannot be set when `config_path` is provided");
        Some(Fatal {
            kind: FatalKind::CriFailed,
            cause,
            error,
            place: place.clone(),
        })
    };
    if let Some(mirror) = registry.mirrors.values().min_by_key(|mirror| &mirror.place) {
        return refuse(FatalCause::MirrorsClash, "mirrors", &mirror.place);
    }
    let tls = registry
        .configs
        .values()
        .filter(|config| config.tls.is_some())
        .min_by_key(|config| &config.place)?;
    refuse(FatalCause::TlsClash, "configs.tls", &tls.place)
}

fn read(node: &Node, case: bool, tls: bool, config_path: bool) -> Result<Registry, Mistyped> {
    let table = node
        .table()
        .ok_or_else(|| mistyped("registry", node, "a table"))?;
    let mut registry = Registry::default();
    if let Some(entry) = field(table, "config_path", case).filter(|_| config_path) {
        let path = string(entry, "registry.config_path")?;
        registry.config_path = (!path.value.is_empty()).then_some(Setting::Written(path));
    }
    for (namespace, entry) in children(table, "mirrors", case)? {
        let what = format!("registry.mirrors.\"{namespace}\"");
        let mirror = entry
            .node
            .table()
            .ok_or_else(|| mistyped(&what, &entry.node, "a table"))?;
        let endpoints = match field(mirror, "endpoint", case) {
            Some(endpoint) => endpoint.node.strings().ok_or_else(|| {
                mistyped(
                    &format!("{what}.endpoint"),
                    &endpoint.node,
                    "an array of strings",
                )
            })?,
            None => Vec::new(),
        };
        registry.mirrors.insert(
            namespace.to_owned(),
            Mirror {
                place: entry.key.clone(),
                endpoints,
            },
        );
    }
    for (host, entry) in children(table, "configs", case)? {
        let what = format!("registry.configs.\"{host}\"");
        let config = entry
            .node
            .table()
            .ok_or_else(|| mistyped(&what, &entry.node, "a table"))?;
        let settings = HostSettings {
            place: entry.key.clone(),
            tls: match field(config, "tls", case).filter(|_| tls) {
                Some(entry) => Some(read_tls(entry, &what, case)?),
                None => None,
            },
            auth: field(config, "auth", case)
                .filter(|auth| has_credentials(&auth.node))
                .map(|auth| auth.key.clone()),
        };
        registry.configs.insert(host.to_owned(), settings);
    }
    for (address, entry) in children(table, "auths", case)? {
        let url = parse_url(address).map_err(|error| {
            let error = format!(
                "failed to parse registry url \"{address}\" from `registry.auths`: {error}"
            );
            Mistyped(Fatal {
                kind: FatalKind::CriFailed,
                cause: FatalCause::Auths,
                error,
                place: entry.key.clone(),
            })
        })?;
        let host = if url.scheme.is_empty() {
            address.to_owned()
        } else {
            url.host
        };
        let place = entry.key.clone();
        let settings = registry.configs.entry(host).or_insert(HostSettings {
            place,
            tls: None,
            auth: None,
        });
        settings.auth = has_credentials(&entry.node).then(|| entry.key.clone());
    }
    for (header, entry) in children(table, "headers", case)? {
        registry
            .headers
            .push(Located::new(header.to_owned(), entry.key.clone()));
    }
    Ok(registry)
}

fn read_tls(entry: &Entry, what: &str, case: bool) -> Result<Tls, Mistyped> {
    let what = format!("{what}.tls");
    let table = entry
        .node
        .table()
        .ok_or_else(|| mistyped(&what, &entry.node, "a table"))?;
    let file = |key: &str| match field(table, key, case) {
        Some(entry) => string(entry, &format!("{what}.{key}"))
            .map(|file| Some(file).filter(|file| !file.value.is_empty())),
        None => Ok(None),
    };
    let skip_verify = match field(table, "insecure_skip_verify", case) {
        Some(entry) => entry.node.bool().ok_or_else(|| {
            mistyped(
                &format!("{what}.insecure_skip_verify"),
                &entry.node,
                "true or false",
            )
        })?,
        None => false,
    };
    Ok(Tls {
        skip_verify,
        ca: file("ca_file")?,
        cert: file("cert_file")?,
        key: file("key_file")?,
    })
}

fn string(entry: &Entry, what: &str) -> Result<Located<String>, Mistyped> {
    entry
        .node
        .located_str()
        .ok_or_else(|| mistyped(what, &entry.node, "a string"))
}

/// The entries of a table below the section, in the order of the file.
fn children<'t>(
    table: &'t Table,
    key: &str,
    case: bool,
) -> Result<Vec<(&'t str, &'t Entry)>, Mistyped> {
    match field(table, key, case) {
        Some(entry) => match &entry.node.value {
            Value::Table(table) => Ok(table.in_order()),
            _ => Err(mistyped(&format!("registry.{key}"), &entry.node, "a table")),
        },
        None => Ok(Vec::new()),
    }
}

/// Whether any of the keys that hold credentials is set.
fn has_credentials(auth: &Node) -> bool {
    auth.table().is_some_and(|table| {
        table
            .iter()
            .any(|(_, entry)| entry.node.str().is_some_and(|text| !text.is_empty()))
    })
}

/// The first setting that keeps pulls away from the transfer service.
fn local_pull(images: &Table, registry: &Registry, case: bool) -> Option<Located<String>> {
    let flag = |key: &str, wanted: bool| {
        let entry = field(images, key, case)?;
        (entry.node.bool()? == wanted)
            .then(|| Located::new(format!("{key} = {wanted}"), entry.node.place.clone()))
    };
    let downloads = || {
        let entry = field(images, "max_concurrent_downloads", case)?;
        let number = entry.node.integer().filter(|&number| number != 3)?;
        Some(Located::new(
            format!("max_concurrent_downloads = {number}"),
            entry.node.place.clone(),
        ))
    };
    flag("use_local_image_pull", true)
        .or_else(|| flag("disable_snapshot_annotations", false))
        .or_else(|| flag("discard_unpacked_layers", true))
        .or_else(|| {
            let mirror = registry
                .mirrors
                .values()
                .min_by_key(|mirror| &mirror.place)?;
            Some(Located::new(
                "registry.mirrors".to_owned(),
                mirror.place.clone(),
            ))
        })
        .or_else(|| {
            let config = registry
                .configs
                .values()
                .min_by_key(|config| &config.place)?;
            Some(Located::new(
                "registry.configs".to_owned(),
                config.place.clone(),
            ))
        })
        .or_else(downloads)
        .or_else(|| flag("image_pull_with_sync_fs", true))
}

impl Tls {
    /// The error that makes every pull from the host fail, if the pair is incomplete.
    pub fn incomplete(&self) -> Option<String> {
        match (&self.cert, &self.key) {
            (Some(cert), None) => Some(format!(
                "cert file \"{}\" was specified, but no corresponding key file was specified",
                cert.value
            )),
            (None, Some(key)) => Some(format!(
                "key file \"{}\" was specified, but no corresponding cert file was specified",
                key.value
            )),
            _ => None,
        }
    }

    /// The files named, relative ones against the working directory of the daemon.
    pub fn files<'t>(&'t self, cwd: &'t Path) -> impl Iterator<Item = std::path::PathBuf> + 't {
        [&self.ca, &self.cert, &self.key]
            .into_iter()
            .flatten()
            .map(move |file| cwd.join(&file.value))
    }
}
