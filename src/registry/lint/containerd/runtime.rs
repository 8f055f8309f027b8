//! The half of the CRI plugin that is about runtimes and networks: whether it is in force, and keys that it does not
//! have.
//!
//! In the tables below the plugin's own only near misses are remarked: what a later version added is not known here, and
//! shims of other kinds have options of their own.

use std::path::PathBuf;

use super::super::schema::{self, near};
use super::super::{Code, Lint};
use super::restart;
use super::tables::{Section, inert};
use super::top_level::unknown_key;
use crate::registry::containerd::{CRI, CRI_RUNTIME, Config, FatalKind};
use crate::registry::document::Document;
use crate::registry::node::{Node, Table};
use crate::registry::rules::Rule;

/// Keys that belong to the other half, and are remarked there.
const IMAGES: &[&str] = &["registry", "sandbox_image", "pinned_images"];

/// What the table of versions 1 and 2 still has in version 3: where streams come from.
const STREAMS: &[&str] = &[
    "disable_tcp_service",
    "stream_server_address",
    "stream_server_port",
    "stream_idle_timeout",
    "enable_tls_streaming",
    "x509_key_pair_streaming",
    "max_container_log_line_size",
];

/// Remarks about one plugin table of one file.
pub(super) fn check(
    lint: &mut Lint<'_>,
    config: &Config,
    section: &Section<'_>,
    all: &[Section<'_>],
    files: &[(PathBuf, Document)],
) {
    if !["cri", CRI, CRI_RUNTIME].contains(&section.plugin) {
        return;
    }
    misspelt(lint, section);
    let dead = config
        .fatal
        .as_ref()
        .is_some_and(|fatal| fatal.kind == FatalKind::Daemon);
    // What is wrong with the table as a whole is said with its registry section.
    if dead || section.table.entry("registry").is_some() || in_force(lint, config, section) {
        return;
    }
    let later = !lint.holds(Rule::ConfigV1Lookup);
    let own = section.table.in_order().into_iter().find(|(name, _)| {
        let other = IMAGES.contains(name) || schema::IMAGES.contains(name);
        !(other || later && STREAMS.contains(name))
    });
    let Some((_, first)) = own else {
        return;
    };
    let (code, reason, remedy) = why_not(lint, config, section, all, files);
    let place = section
        .document
        .headers
        .iter()
        .find(|header| header.keys.get(1).is_some_and(|key| key == section.plugin))
        .map_or_else(|| first.key.clone(), |header| header.place.clone());
    let message = format!(
        "what `{}` says about runtimes and networks is not in force: {reason}",
        section.plugin
    );
    lint.add(code, place, message)
        .why("runtimes, their options and the places of networks are the defaults")
        .remedy(restart(&remedy));
}

/// Why a table is not in force, and what would put it in force.
fn why_not(
    lint: &Lint<'_>,
    config: &Config,
    section: &Section<'_>,
    all: &[Section<'_>],
    files: &[(PathBuf, Document)],
) -> (Code, String, String) {
    let daemon = format!("{} {}", lint.runtime.name, lint.runtime.version);
    match (
        lint.holds(Rule::ConfigV1Lookup),
        version(section),
        section.plugin,
    ) {
        (false, 0 | 1, _) => (
            Code::ContainerdConfigVersion,
            format!(
                "{daemon} renames the tables of a file without `version`, and reads them no further"
            ),
            "write `version = 2` as the first line".to_owned(),
        ),
        (false, own, _) => (
            Code::ContainerdPluginId,
            format!("in a file of version {own} it belongs to `{CRI_RUNTIME}`"),
            format!("write `[plugins.\"{CRI_RUNTIME}\"…]`"),
        ),
        (true, _, CRI_RUNTIME) => (
            Code::ContainerdPluginId,
            format!("`{CRI_RUNTIME}` is a table of containerd 2, {daemon} reads `{CRI}`"),
            format!("write `[plugins.\"{CRI}\"…]` and `version = 2`"),
        ),
        _ => inert(lint, config, section, all, files),
    }
}

fn version(section: &Section<'_>) -> i64 {
    let version = section.document.root.node("version");
    version.and_then(Node::integer).unwrap_or(0)
}

/// Whether the daemon reads this table of this file.
fn in_force(lint: &Lint<'_>, config: &Config, section: &Section<'_>) -> bool {
    let version = version(section);
    if lint.holds(Rule::ConfigV1Lookup) {
        // On 1.x the table of an imported file replaces the whole.
        let winner = config.plugins.entry(config.table);
        return section.plugin == config.table
            && winner.is_none_or(|winner| winner.key.path == section.entry.key.path);
    }
    match section.plugin {
        CRI_RUNTIME => true,
        _ if version >= 3 => false,
        _ => version == 2 || lint.holds(Rule::MigrateEachFile),
    }
}

/// Keys that are nearly one that exists.
fn misspelt(lint: &mut Lint<'_>, section: &Section<'_>) {
    let plugin = section.plugin;
    if plugin == CRI_RUNTIME {
        near_misses(lint, plugin, section.table, schema::CRI);
    }
    if let Some(cni) = section.table.table("cni") {
        near_misses(lint, &format!("{plugin}.cni"), cni, schema::CNI);
    }
    let Some(containerd) = section.table.table("containerd") else {
        return;
    };
    near_misses(
        lint,
        &format!("{plugin}.containerd"),
        containerd,
        schema::CONTAINERD,
    );
    for (name, entry) in containerd
        .table("runtimes")
        .map(Table::in_order)
        .unwrap_or_default()
    {
        let Some(runtime) = entry.node.table() else {
            continue;
        };
        let path = format!("{plugin}.containerd.runtimes.{name}");
        near_misses(lint, &path, runtime, schema::RUNTIME);
        let kind = runtime
            .node("runtime_type")
            .and_then(Node::str)
            .unwrap_or(if name == "runc" {
                "io.containerd.runc.v2"
            } else {
                ""
            });
        if let Some(options) = runtime
            .table("options")
            .filter(|_| kind.starts_with("io.containerd.runc."))
        {
            near_misses(
                lint,
                &format!("{path}.options"),
                options,
                schema::RUNC_OPTIONS,
            );
        }
    }
}

fn near_misses(lint: &mut Lint<'_>, path: &str, table: &Table, known: &[&str]) {
    let later = lint.holds(Rule::MergeDeep);
    for (name, entry) in table.in_order() {
        // go-toml v1 takes a field by its name, by its name in small letters, and with a small first letter.
        let same = |known: &&str| {
            let mut letters = known.chars();
            let first = letters.next().map(|first| first.to_ascii_lowercase());
            let small: String = first.into_iter().chain(letters).collect();
            **known == *name
                || known.to_ascii_lowercase() == name
                || small == name
                || later && known.eq_ignore_ascii_case(name)
        };
        if !known.iter().any(same) && near(name, known).is_some() {
            unknown_key(lint, path, name, known, entry);
        }
    }
}
