//! The tables of plugins: which of them are in force, and which keys they do not have.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::super::schema::{self, near};
use super::super::{Code, Lint, at, whole};
use super::top_level::unknown_key;
use super::{restart, sandbox};
use crate::registry::containerd::{CRI, CRI_IMAGES, Config, FatalKind};
use crate::registry::document::Document;
use crate::registry::node::{Entry, Table, Value};
use crate::registry::rules::Rule;
use crate::registry::text::Place;

/// One plugin table of one file.
pub(super) struct Section<'f> {
    pub(super) index: usize,
    pub(super) document: &'f Document,
    pub(super) plugin: &'f str,
    pub(super) entry: &'f Entry,
    pub(super) table: &'f Table,
}

pub(super) fn sections(index: usize, document: &Document) -> Vec<Section<'_>> {
    let plugins = document
        .root
        .table("plugins")
        .map(Table::in_order)
        .unwrap_or_default();
    plugins
        .into_iter()
        .filter_map(|(plugin, entry)| {
            Some(Section {
                index,
                document,
                plugin,
                entry,
                table: entry.node.table()?,
            })
        })
        .filter(|section| {
            section.plugin == "cri"
                || schema::PLUGINS.contains(&section.plugin)
                || near(section.plugin, schema::PLUGINS).is_some()
                || ["registry", "sandbox_image", "pinned_images"]
                    .iter()
                    .any(|key| section.table.entry(key).is_some())
        })
        .collect()
}

pub(super) fn plugin_table(
    lint: &mut Lint<'_>,
    config: &Config,
    section: &Section<'_>,
    all: &[Section<'_>],
    files: &[(PathBuf, Document)],
) {
    let known = section.plugin == "cri" || schema::PLUGINS.contains(&section.plugin);
    if !known && let Some(meant) = near(section.plugin, schema::PLUGINS) {
        let message = format!("there is no plugin `{}`, `{meant}` is one", section.plugin);
        lint.add(
            Code::ContainerdUnknownKey,
            section.entry.key.clone(),
            message,
        )
        .why("the table is dropped without a word")
        .remedy(restart(&format!("write `{meant}`")))
        .rewrite(&section.entry.key, |line| {
            line.replacen(section.plugin, meant, 1)
        });
        return;
    }
    let keys = match section.plugin {
        "cri" | CRI => schema::CRI,
        CRI_IMAGES => schema::IMAGES,
        _ => &[],
    };
    if !keys.is_empty() {
        for (name, entry) in section.table.in_order() {
            if keys.contains(&name)
                || matches!(name, "sandbox_image" | "registry" | "pinned_images")
            {
                continue;
            }
            match schema::REGISTRY.contains(&name) {
                true => misplaced(lint, section.plugin, name, entry),
                false => unknown_key(lint, section.plugin, name, keys, entry),
            }
        }
    }
    if let Some(entry) = section.table.entry("registry") {
        registry_table(lint, config, section, entry, all, files);
    }
    sandbox::keys(lint, config, section, all, files);
}

/// A key of the registry section that stands one level too high.
fn misplaced(lint: &mut Lint<'_>, plugin: &str, name: &str, entry: &Entry) {
    let message = format!("`{name}` stands in `{plugin}`, but belongs to `{plugin}.registry`");
    lint.add(Code::ContainerdUnknownKey, entry.key.clone(), message)
        .why("it is not in force")
        .remedy(restart(&format!(
            "write it in the table `[plugins.\"{plugin}\".registry]`"
        )));
}

fn registry_table(
    lint: &mut Lint<'_>,
    config: &Config,
    section: &Section<'_>,
    entry: &Entry,
    all: &[Section<'_>],
    files: &[(PathBuf, Document)],
) {
    let Some(table) = entry.node.table() else {
        return;
    };
    registry_keys(lint, section.plugin, table);
    if config
        .fatal
        .as_ref()
        .is_some_and(|fatal| fatal.kind == FatalKind::Daemon)
    {
        return;
    }
    let in_force = config
        .plugins
        .table(config.table)
        .and_then(|images| images.table("registry"));
    let (mut own, mut effective) = (BTreeSet::new(), BTreeSet::new());
    places(table, &mut own);
    if let Some(registry) = in_force {
        places(registry, &mut effective);
    }
    if own.is_empty() {
        return;
    }
    let merged = lint.holds(Rule::MergeDeep)
        && in_force.is_some_and(|registry| set_elsewhere(table, registry));
    if own.is_disjoint(&effective) && !merged {
        let (code, reason, remedy) = inert(lint, config, section, all, files);
        let place = section
            .document
            .headers
            .iter()
            .find(|header| {
                header.keys.get(1).is_some_and(|key| key == section.plugin)
                    && header.keys.get(2).is_some_and(|key| key == "registry")
            })
            .map_or_else(|| entry.key.clone(), |header| header.place.clone());
        let mut draft = lint
            .add(
                code,
                place,
                format!(
                    "the registry section in `{}` is not in force: {reason}",
                    section.plugin
                ),
            )
            .why("mirrors, certificates and config_path written here are not used")
            .remedy(restart(&remedy));
        match code {
            Code::ContainerdConfigVersion
                if section.document.root.entry("version").is_none()
                    && remedy.contains("version = 2") =>
            {
                let first = Place {
                    length: 0,
                    ..whole(&section.entry.key.path)
                };
                draft = draft.rewrite(&first, |line| format!("version = 2\n{line}"));
            }
            Code::ContainerdPluginId
                if section.plugin != config.table && schema::PLUGINS.contains(&section.plugin) =>
            {
                let place = draft.remark.place.clone();
                if let Some(place) = place {
                    draft = draft.rewrite(&place, |line| {
                        line.replacen(section.plugin, target(config), 1)
                    });
                }
            }
            _ => {}
        }
        for other in all
            .iter()
            .filter(|other| other.index > section.index && other.plugin == section.plugin)
        {
            if code == Code::ContainerdImportReplaces {
                draft = draft.related("replaces the whole table", &other.entry.key);
            }
        }
        return;
    }
    overridden(lint, table, in_force);
}

/// Whether another file sets every key of a table again.
fn set_elsewhere(table: &Table, effective: &Table) -> bool {
    table.iter().all(
        |(name, entry)| match (&entry.node.value, effective.entry(name)) {
            (Value::Table(inner), Some(winner)) => winner
                .node
                .table()
                .is_some_and(|other| set_elsewhere(inner, other)),
            (_, Some(winner)) => winner.key.path != entry.key.path,
            (_, None) => false,
        },
    )
}

/// The table that holds the section in the files of this daemon.
pub(super) fn target(config: &Config) -> &'static str {
    if config.table == "cri" {
        CRI
    } else {
        config.table
    }
}

/// Why a section is not in force, and what would put it in force.
pub(super) fn inert(
    lint: &Lint<'_>,
    config: &Config,
    section: &Section<'_>,
    all: &[Section<'_>],
    files: &[(PathBuf, Document)],
) -> (Code, String, String) {
    let old = lint.holds(Rule::ConfigV1Lookup);
    let version = |document: &Document| {
        document
            .root
            .node("version")
            .and_then(|node| node.integer())
            .unwrap_or(0)
    };
    let own = version(section.document);
    let daemon = format!("{} {}", lint.runtime.name, lint.runtime.version);
    if old
        && let Some(later) = all
            .iter()
            .find(|other| other.index > section.index && other.plugin == section.plugin)
    {
        return (
            Code::ContainerdImportReplaces,
            format!(
                "{daemon} replaces the whole table of a plugin by that of an imported file ({})",
                at(&later.entry.key)
            ),
            "put everything for this plugin into one file".to_owned(),
        );
    }
    let uri = section.plugin != "cri";
    match (own, section.plugin) {
        (0 | 1, CRI) if old => (
            Code::ContainerdConfigVersion,
            format!("without `version = 2` {daemon} looks the plugin up as `plugins.cri`"),
            "write `version = 2` as the first line".to_owned(),
        ),
        (0 | 1, CRI | "cri") if !old => (
            Code::ContainerdConfigVersion,
            format!(
                "{daemon} renames the tables of a file without `version`, but loses their registry section"
            ),
            if uri {
                "write `version = 2` as the first line".to_owned()
            } else {
                format!("write `version = 2` and `[plugins.\"{CRI}\".registry]`")
            },
        ),
        (2.., "cri") => (
            Code::ContainerdPluginId,
            "short plugin names belong to files of version 1".to_owned(),
            format!(
                "write `[plugins.\"{}\".registry]`",
                if own == 2 { CRI } else { CRI_IMAGES }
            ),
        ),
        (_, CRI_IMAGES) if old => (
            Code::ContainerdPluginId,
            format!("`{CRI_IMAGES}` is a table of containerd 2, {daemon} reads `{CRI}`"),
            format!("write `[plugins.\"{CRI}\".registry]` and `version = 2`"),
        ),
        (3.., CRI) => (
            Code::ContainerdPluginId,
            format!("in a file of version {own} the section belongs to `{CRI_IMAGES}`"),
            format!("write `[plugins.\"{CRI_IMAGES}\".registry]`"),
        ),
        (2, CRI) if files.iter().any(|(_, document)| version(document) > 2) => (
            Code::ContainerdDropinVersion,
            format!(
                "an imported file of version 3 or higher keeps {daemon} from migrating the tables of version 2"
            ),
            "give all files the same version".to_owned(),
        ),
        (_, CRI_IMAGES) if all.iter().any(|other| other.plugin == CRI) => (
            Code::ContainerdPluginId,
            format!("the table `{CRI}` is there too, and its section takes the place of this one"),
            format!(
                "keep one of the two tables: `{CRI_IMAGES}` with `version = 3`, or `{CRI}` with `version = 2`"
            ),
        ),
        _ => (
            Code::ContainerdPluginId,
            format!("{daemon} reads it from `{}`", target(config)),
            format!("write `[plugins.\"{}\".registry]`", target(config)),
        ),
    }
}

/// The places of all keys below a table.
fn places(table: &Table, found: &mut BTreeSet<Place>) {
    for (_, entry) in table.iter() {
        match &entry.node.value {
            Value::Table(inner) if !inner.is_empty() => places(inner, found),
            _ => {
                found.insert(entry.key.clone());
            }
        }
    }
}

/// Keys that a file merged later sets again.
fn overridden(lint: &mut Lint<'_>, table: &Table, effective: Option<&Table>) {
    for (name, entry) in table.in_order() {
        let Some(winner) = effective.and_then(|effective| effective.entry(name)) else {
            continue;
        };
        match (&entry.node.value, winner.node.table()) {
            (Value::Table(inner), Some(other)) => overridden(lint, inner, Some(other)),
            _ if winner.key != entry.key => {
                lint.add(
                    Code::ContainerdDropinOrder,
                    entry.key.clone(),
                    format!("`{name}` is set again in {}", at(&winner.key)),
                )
                .why("the file that is merged last wins")
                .related("this one is in force", &winner.key);
            }
            _ => {}
        }
    }
}

/// The keys of a registry section, whatever table it stands in.
fn registry_keys(lint: &mut Lint<'_>, plugin: &str, registry: &Table) {
    let has_tls = lint.holds(Rule::ConfigsTls);
    for (name, entry) in registry.in_order() {
        match (name, entry.node.table()) {
            ("mirrors", Some(mirrors)) => {
                for (namespace, entry) in mirrors.in_order() {
                    children(
                        lint,
                        &format!("registry.mirrors.\"{namespace}\""),
                        entry,
                        schema::MIRROR,
                    );
                }
            }
            ("configs", Some(configs)) => {
                for (host, entry) in configs.in_order() {
                    children(
                        lint,
                        &format!("registry.configs.\"{host}\""),
                        entry,
                        schema::CONFIG,
                    );
                    for (part, keys) in [("auth", schema::AUTH), ("tls", schema::TLS)] {
                        if let Some(inner) =
                            entry.node.table().and_then(|config| config.entry(part))
                        {
                            children(
                                lint,
                                &format!("registry.configs.\"{host}\".{part}"),
                                inner,
                                keys,
                            );
                        }
                    }
                    if let Some(tls) = entry.node.table().and_then(|config| config.entry("tls")) {
                        tls_table(lint, host, tls, has_tls);
                    }
                }
            }
            ("auths", Some(auths)) => {
                for (host, entry) in auths.in_order() {
                    children(
                        lint,
                        &format!("registry.auths.\"{host}\""),
                        entry,
                        schema::AUTH,
                    );
                }
            }
            (name, _) if schema::REGISTRY.contains(&name) => {}
            _ => unknown_key(
                lint,
                &format!("{plugin}.registry"),
                name,
                schema::REGISTRY,
                entry,
            ),
        }
    }
}

fn children(lint: &mut Lint<'_>, name: &str, entry: &Entry, keys: &[&str]) {
    for (key, inner) in entry.node.table().map(Table::in_order).unwrap_or_default() {
        if keys.contains(&key) {
            continue;
        }
        // `configs.reg.test.tls` without quotes: the dots split the name.
        let split = keys.len() < 3 && inner.node.table().is_some() && near(key, keys).is_none();
        if split {
            let message = format!(
                "the name is split at its dots: `{}` has no key `{key}`",
                name
            );
            lint.add(Code::ContainerdUnknownKey, inner.key.clone(), message)
                .why("nothing in it is in force")
                .remedy(restart("put the whole host name between quotes"));
        } else {
            unknown_key(lint, name, key, keys, inner);
        }
    }
}

/// `configs.*.tls`: gone in 2.0.
fn tls_table(lint: &mut Lint<'_>, host: &str, tls: &Entry, known: bool) {
    if known {
        lint.add(Code::ContainerdRemovedKeys, tls.key.clone(), format!("`registry.configs.\"{host}\".tls` is gone in containerd 2.0"))
            .why("after an upgrade it is ignored with a warning, and the host's certificate is verified against the system's authorities only")
            .remedy(format!("write it as `ca`, `client` or `skip_verify` in `certs.d/{host}/hosts.toml` before the upgrade"));
        return;
    }
    lint.add(Code::RegistryTlsRemoved, tls.key.clone(), format!("`registry.configs.\"{host}\".tls` no longer exists"))
        .why("it is ignored with a warning: a private authority is not trusted, verification is not switched off")
        .says(format!("Ignoring unknown key in TOML for plugin: key=\"registry configs {host} tls\""))
        .remedy(format!("write it as `ca`, `client` or `skip_verify` in `certs.d/{host}/hosts.toml`"));
}
