//! config.toml and its imports: syntax, versions, tables that are not in force, unknown keys.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::schema::{self, near};
use super::{Code, Lint, Severity, at, docker, hosts, mirrors, whole};
use crate::registry::containerd::{
    self, CRI, CRI_IMAGES, CRI_RUNTIME, Config, Fatal, FatalCause, FatalKind, Setting,
};
use crate::registry::document::Document;
use crate::registry::image_ref::ImageRef;
use crate::registry::k3s;
use crate::registry::node::{Entry, Table, Value};
use crate::registry::plan::containerd::Planner;
use crate::registry::rules::Rule;
use crate::registry::text::Place;
use crate::registry::version::Fork;

/// One plugin table of one file.
struct Section<'f> {
    index: usize,
    document: &'f Document,
    plugin: &'f str,
    entry: &'f Entry,
    table: &'f Table,
}

pub(super) fn check(lint: &mut Lint<'_>) {
    let planner = Planner::new(lint.declared, lint.runtime);
    let config = planner.config();
    let files = containerd::reachable(lint.declared, lint.runtime);
    for (_, document) in &files {
        syntax(lint, document);
        top_level(lint, document);
    }
    if let Some(fatal) = &config.fatal {
        stopped(lint, config, fatal, &files);
    }
    let sections: Vec<Section<'_>> = files
        .iter()
        .enumerate()
        .flat_map(|(index, (_, document))| sections(index, document))
        .collect();
    for section in &sections {
        plugin_table(lint, config, section, &sections, &files);
    }
    dropins(lint, &files);
    mirrors::check(lint, &planner);
    hosts::check(lint, &planner);
    sandbox_image(lint, &planner);
    docker::not_carried_to_containerd(lint, &planner);
    if let Some(fork) = lint.runtime.fork() {
        let message = format!(
            "this is {fork}'s own build of containerd: its rules differ from those applied here"
        );
        lint.add(Code::RegistryFork, None, message);
        registries_yaml(lint, fork);
    }
}

/// registries.yaml, and whether it has been put into force.
fn registries_yaml(lint: &mut Lint<'_>, fork: Fork) {
    let path = k3s::registries_yaml(fork);
    let files = match k3s::written(&lint.declared.tree, fork) {
        Ok(files) => files.unwrap_or_default(),
        Err(error) => {
            lint.add(Code::K3sRegistriesYaml, error.place, error.value)
                .why(format!("{fork} does not start"));
            return;
        }
    };
    for file in files
        .keys()
        .filter(|file| lint.declared.is_absent(file))
        .cloned()
        .collect::<Vec<_>>()
    {
        lint.add(
            Code::K3sNotWritten,
            whole(&path),
            format!("{} has not been written yet", file.display()),
        )
        .why("what registries.yaml says about this registry is not in force")
        .remedy(format!("restart {fork}"));
    }
}

fn restart(text: &str) -> String {
    format!("{text}, then restart containerd")
}

fn syntax(lint: &mut Lint<'_>, document: &Document) {
    for error in document.errors.iter().chain(&document.newer) {
        lint.add(
            Code::ContainerdConfigParse,
            error.place.clone(),
            error.message.clone(),
        )
        .why("containerd does not start with this file");
    }
}

// --- the top level ---

fn top_level(lint: &mut Lint<'_>, document: &Document) {
    let case = lint.holds(Rule::MergeDeep);
    for (name, entry) in document.root.in_order() {
        let same = |known: &str| known == name || case && known.eq_ignore_ascii_case(name);
        if let Some(known) = schema::TOP.iter().find(|known| same(known)) {
            if let Some((_, keys)) = schema::TOP_TABLES.iter().find(|(table, _)| table == known) {
                inside(lint, known, keys, entry);
            }
            continue;
        }
        let meant = near(name, schema::TOP);
        let headers: Vec<_> = document
            .headers
            .iter()
            .filter(|header| header.keys.first().is_some_and(|key| key == name))
            .collect();
        for header in &headers {
            unknown_top(lint, name, meant, &header.place, &header.keys.join(" "));
        }
        if headers.is_empty() {
            unknown_top(lint, name, meant, &entry.key, name);
        }
    }
}

/// A table or key at the top level that nothing reads.
fn unknown_top(lint: &mut Lint<'_>, name: &str, meant: Option<&str>, place: &Place, keys: &str) {
    let logged = lint.holds(Rule::UnknownKeysLogged);
    let code = if name == "plugin" {
        Code::ContainerdSingularTable
    } else {
        Code::ContainerdUnknownKey
    };
    let table = keys.contains(' ');
    let message = match meant {
        Some(meant) if table => {
            format!("this table has no effect: `{name}` is not a key of config.toml, `{meant}` is")
        }
        Some(meant) => format!("`{name}` is not a key of config.toml, `{meant}` is"),
        None => format!("`{name}` is not a key of config.toml"),
    };
    let daemon = format!("{} {}", lint.runtime.name, lint.runtime.version);
    let why = if logged {
        format!("{daemon} ignores it with one warning at start; nothing in it is in force")
    } else {
        format!("{daemon} ignores it without any message; nothing in it is in force")
    };
    let mut draft = lint.add(code, place.clone(), message).why(why);
    if logged {
        draft = draft.says(format!("Ignoring unknown key in TOML: key=\"{keys}\""));
    }
    if let Some(meant) = meant {
        draft = draft.remedy(restart(&format!("write `{meant}`")));
        draft.rewrite(place, |line| line.replacen(name, meant, 1));
    }
}

/// A table at the top level with a fixed set of keys.
fn inside(lint: &mut Lint<'_>, table: &str, keys: &[&str], entry: &Entry) {
    for (name, inner) in entry.node.table().map(Table::in_order).unwrap_or_default() {
        if keys.iter().any(|key| key.eq_ignore_ascii_case(name)) {
            continue;
        }
        if schema::TOP.contains(&name) {
            let message = format!(
                "`{name}` stands in the table `{table}`, so it is `{table}.{name}`, which does not exist"
            );
            lint.add(Code::ContainerdUnknownKey, inner.key.clone(), message)
                .why("keys of the top level must stand above the first table header")
                .remedy(restart(&format!("move `{name}` above the first `[table]`")));
            continue;
        }
        unknown_key(lint, table, name, keys, inner);
    }
}

/// A key that a table does not have.
fn unknown_key(lint: &mut Lint<'_>, table: &str, name: &str, keys: &[&str], entry: &Entry) {
    let logged = lint.holds(Rule::UnknownKeysLogged);
    let meant = near(name, keys);
    let message = match meant {
        Some(meant) => format!("`{name}` is not a key of `{table}`, `{meant}` is"),
        None => format!("`{name}` is not a key of `{table}`"),
    };
    let why = if logged {
        "ignored with one warning at start"
    } else {
        "ignored without any message"
    };
    let mut draft = lint
        .add(Code::ContainerdUnknownKey, entry.key.clone(), message)
        .why(why);
    if meant.is_none() {
        draft = draft.severity(Severity::Medium);
    }
    if logged {
        draft = draft.says(format!(
            "Ignoring unknown key in TOML for plugin: key=\"… {name}\""
        ));
    }
    if let Some(meant) = meant {
        draft
            .remedy(restart(&format!("write `{meant}`")))
            .rewrite(&entry.key, |line| line.replacen(name, meant, 1));
    }
}

// --- what stops the daemon ---

fn stopped(lint: &mut Lint<'_>, config: &Config, fatal: &Fatal, files: &[(PathBuf, Document)]) {
    let reported = files.iter().any(|(_, document)| document.fault().is_some());
    let code = match fatal.cause {
        FatalCause::Syntax if reported => return,
        FatalCause::Syntax | FatalCause::Decode => Code::ContainerdConfigParse,
        FatalCause::Import => Code::ContainerdImportMissing,
        FatalCause::Version => Code::ContainerdConfigVersion,
        FatalCause::DropinVersion => Code::ContainerdDropinVersion,
        FatalCause::PluginName
            if files.len() > 1 && config.files.iter().any(|file| file.version.is_none()) =>
        {
            Code::ContainerdDropinVersion
        }
        FatalCause::PluginName => Code::ContainerdPluginId,
        FatalCause::DisabledName => Code::ContainerdDisabledName,
        FatalCause::Disabled => Code::ContainerdCriDisabled,
        FatalCause::MirrorsClash
            if matches!(config.registry.config_path, Some(Setting::Builtin(_))) =>
        {
            Code::RegistryMirrors220
        }
        FatalCause::MirrorsClash | FatalCause::TlsClash => Code::RegistryStyleClash,
        FatalCause::Auths => Code::RegistryEndpointParse,
    };
    let why = match fatal.kind {
        FatalKind::Daemon => "containerd does not start".to_owned(),
        FatalKind::CriFailed => format!(
            "the CRI plugin does not load; clients see `{}`",
            containerd::UNKNOWN_SERVICE
        ),
        FatalKind::CriDisabled => format!(
            "there is no CRI service; clients see `{}`",
            containerd::UNKNOWN_SERVICE
        ),
    };
    let says = if fatal.kind == FatalKind::CriDisabled {
        containerd::UNKNOWN_SERVICE
    } else {
        &fatal.error
    };
    let place = &fatal.place;
    let mut draft = lint
        .add(code, place.clone(), fatal.error.clone())
        .severity(Severity::Critical)
        .why(why)
        .says(says);
    match fatal.cause {
        FatalCause::Disabled | FatalCause::DisabledName => {
            draft = draft.rewrite(place, |line| without_element(line, place))
        }
        FatalCause::PluginName => draft = draft.remedy(format!("write `[plugins.\"{CRI}\"…]`")),
        FatalCause::Version => {
            draft = draft
                .remedy("write a version that this daemon knows, with the tables that belong to it")
        }
        _ => {}
    }
    if let Some(Setting::Written(path)) = &config.registry.config_path
        && matches!(fatal.cause, FatalCause::MirrorsClash | FatalCause::TlsClash)
    {
        draft.related("`config_path` is set here", &path.place);
    }
}

/// A line without one element of a list.
fn without_element(line: &str, place: &Place) -> String {
    let before: String = line.chars().take(place.column - 1).collect();
    let after: String = line.chars().skip(place.column - 1 + place.length).collect();
    let (before, after) = (before.as_str(), after.trim_start());
    if let Some(rest) = after.strip_prefix(',') {
        format!("{before}{}", rest.trim_start())
    } else {
        format!("{}{after}", before.trim_end().trim_end_matches(','))
    }
}

// --- tables of plugins ---

fn sections(index: usize, document: &Document) -> Vec<Section<'_>> {
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

fn plugin_table(
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
    sandbox_keys(lint, config, section, all, files);
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
fn target(config: &Config) -> &'static str {
    if config.table == "cri" {
        CRI
    } else {
        config.table
    }
}

/// Why a section is not in force, and what would put it in force.
fn inert(
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

// --- the sandbox image ---

fn sandbox_keys(
    lint: &mut Lint<'_>,
    config: &Config,
    section: &Section<'_>,
    all: &[Section<'_>],
    files: &[(PathBuf, Document)],
) {
    if config
        .fatal
        .as_ref()
        .is_some_and(|fatal| fatal.kind == FatalKind::Daemon)
    {
        return;
    }
    let direct = section.table.entry("sandbox_image");
    let pinned = section
        .table
        .table("pinned_images")
        .and_then(|pinned| pinned.entry("sandbox"));
    for entry in [direct, pinned].into_iter().flatten() {
        let image = entry.node.str().unwrap_or_default();
        match config.sandbox_image.place() {
            Some(place) if *place == entry.node.place => {}
            Some(place) => {
                lint.add(
                    Code::ContainerdDropinOrder,
                    entry.key.clone(),
                    format!("the sandbox image is set again in {}", at(place)),
                )
                .related("this one is in force", place);
            }
            None => {
                let (_, reason, _) = inert(lint, config, section, all, files);
                let message = match (direct.is_some(), config.table) {
                    (true, CRI_IMAGES)
                        if section.plugin == CRI_IMAGES || section.plugin == CRI_RUNTIME =>
                    {
                        format!("`sandbox_image` is not a key of `{}`", section.plugin)
                    }
                    _ => format!("the sandbox image `{image}` is not in force: {reason}"),
                };
                let default = config.sandbox_image.value();
                let remedy = if config.table == CRI_IMAGES {
                    format!(
                        "write `sandbox = \"{image}\"` in `[plugins.\"{CRI_IMAGES}\".pinned_images]`"
                    )
                } else {
                    format!(
                        "write `sandbox_image = \"{image}\"` in `[plugins.\"{}\"]`",
                        target(config)
                    )
                };
                lint.add(Code::ContainerdSandboxKey, entry.key.clone(), message)
                    .why(format!("the default `{default}` is pulled instead"))
                    .remedy(restart(&remedy));
            }
        }
    }
}

fn sandbox_image(lint: &mut Lint<'_>, planner: &Planner<'_>) {
    let config = planner.config();
    let Setting::Written(image) = &config.sandbox_image else {
        return;
    };
    let Ok(reference) = image.value.parse::<ImageRef>() else {
        lint.add(
            Code::ContainerdConfigParse,
            image.place.clone(),
            format!("the sandbox image `{}` is no image reference", image.value),
        )
        .severity(Severity::High)
        .why("no pod can start");
        return;
    };
    if reference.domain() == "k8s.gcr.io" {
        let meant = image.value.replacen("k8s.gcr.io", "registry.k8s.io", 1);
        lint.add(
            Code::SandboxImageHost,
            image.place.clone(),
            format!(
                "the sandbox image comes from `k8s.gcr.io`, which is frozen: `{}`",
                image.value
            ),
        )
        .remedy(restart(&format!("write `{meant}`")))
        .replace(&image.place, &format!("\"{meant}\""));
    }
    let registry = &config.registry;
    if !registry.mirrors.is_empty() && config.fatal.is_none() {
        let key = [reference.domain(), "*"]
            .into_iter()
            .find(|key| registry.mirrors.contains_key(*key));
        let message = match key {
            Some(key) => format!(
                "the sandbox image `{}` goes through the mirrors of `{key}`",
                image.value
            ),
            None => format!(
                "the sandbox image `{}` goes through no mirror: `{}` has none",
                image.value,
                reference.domain()
            ),
        };
        lint.add(Code::SandboxImageRoute, image.place.clone(), message)
            .why(
                "the sandbox image is pulled like any other, but without the kubelet's credentials",
            );
    }
}

// --- drop-ins ---

fn dropins(lint: &mut Lint<'_>, files: &[(PathBuf, Document)]) {
    let main = lint.declared.containerd_config.clone();
    for directory in lint.declared.dropin_directories() {
        for name in lint.declared.tree.names(&directory).unwrap_or_default() {
            let path = directory.join(name);
            if files.iter().any(|(read, _)| *read == path)
                || lint.declared.tree.names(&path).is_some()
            {
                continue;
            }
            let imports = files
                .first()
                .is_some_and(|(_, document)| document.root.entry("imports").is_some());
            let reason = match (imports, name.ends_with(".toml")) {
                (false, true) => "config.toml has no `imports` at its top level",
                (true, true) => "no pattern in `imports` matches it",
                (_, false) => "only names that `imports` matches are read, usually `*.toml`",
            };
            let draft = lint
                .add(
                    Code::ContainerdDropinUnread,
                    whole(&path),
                    format!("`{name}` is not read: {reason}"),
                )
                .why("nothing in it is in force");
            if !imports && name.ends_with(".toml") && !files.is_empty() {
                let line = format!("imports = [\"{}/*.toml\"]", directory.display());
                draft
                    .remedy(restart(&format!(
                        "write `{line}` at the top of config.toml"
                    )))
                    .rewrite(&whole(&main), |first| format!("{line}\n{first}"));
            }
        }
    }
}
