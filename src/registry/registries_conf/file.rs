//! One registries file: its tables of either version, and the checks that make it invalid.

use std::collections::BTreeMap;

use super::{Mirror, Pulls, Registry};
use crate::registry::containerd::field;
use crate::registry::image_ref::ImageRef;
use crate::registry::node::{Entry, Node, Table};
use crate::registry::text::{Located, Place};

/// One file.
pub(super) struct File {
    pub(super) registries: Vec<Registry>,
    pub(super) search: Option<Vec<Located<String>>>,
    pub(super) aliases: BTreeMap<String, Option<Located<String>>>,
}

pub(super) type Parsed<T> = Result<T, Located<String>>;

fn error<T>(message: impl Into<String>, place: &Place) -> Parsed<T> {
    Err(Located::new(message.into(), place.clone()))
}

fn lookup<'t>(table: &'t Table, name: &str) -> Option<&'t Entry> {
    field(table, name, true)
}

fn strings(entry: &Entry, name: &str) -> Parsed<Vec<Located<String>>> {
    match entry.node.strings() {
        Some(strings) => Ok(strings),
        None => error(
            format!(
                "`{name}` must be an array of strings, not {}",
                entry.node.value.kind()
            ),
            &entry.node.place,
        ),
    }
}

fn flag(table: &Table, name: &str) -> Parsed<Option<Place>> {
    match lookup(table, name) {
        Some(entry) => match entry.node.bool() {
            Some(set) => Ok(set.then(|| entry.node.place.clone())),
            None => error(
                format!(
                    "`{name}` must be true or false, not {}",
                    entry.node.value.kind()
                ),
                &entry.node.place,
            ),
        },
        None => Ok(None),
    }
}

/// A location or prefix: without a trailing slash, and without a scheme.
fn location(table: &Table, name: &str) -> Parsed<Option<Located<String>>> {
    match lookup(table, name) {
        Some(entry) => match entry.node.located_str() {
            Some(text) => trimmed(text).map(Some),
            None => error(
                format!("`{name}` must be a string, not {}", entry.node.value.kind()),
                &entry.node.place,
            ),
        },
        None => Ok(None),
    }
}

fn trimmed(mut text: Located<String>) -> Parsed<Located<String>> {
    let short = text.value.trim_end_matches('/').to_owned();
    if short.starts_with("http://") || short.starts_with("https://") {
        return error(
            format!(
                "invalid location '{}': URI schemes are not supported",
                text.value
            ),
            &text.place,
        );
    }
    text.value = short;
    Ok(text)
}

impl File {
    pub(super) fn parse(root: &Table, dropin: bool) -> Parsed<Self> {
        let mut file = Self {
            registries: Vec::new(),
            search: None,
            aliases: BTreeMap::new(),
        };
        if let Some(entry) = lookup(root, "unqualified-search-registries") {
            file.search = Some(strings(entry, "unqualified-search-registries")?);
        }
        let newer = [
            "registry",
            "unqualified-search-registries",
            "credential-helpers",
            "short-name-mode",
            "aliases",
        ];
        let second = newer.iter().any(|name| lookup(root, name).is_some());
        if let Some(entry) = lookup(root, "registries") {
            let Some(table) = entry.node.table() else {
                return error(
                    format!(
                        "`registries` must be a table, not {}; the tables of version 2 are `[[registry]]`",
                        entry.node.value.kind()
                    ),
                    &entry.key,
                );
            };
            let first = file.first_version(table)?;
            if first && dropin {
                return error("registry must be in v2 format but is in v1", &entry.key);
            }
            if first && second {
                return error("mixing sysregistry v1/v2 is not supported", &entry.key);
            }
        }
        if let Some(entry) = lookup(root, "registry") {
            let Some(nodes) = entry.node.array() else {
                return error(
                    format!(
                        "`registry` must be an array of tables (`[[registry]]`), not {}",
                        entry.node.value.kind()
                    ),
                    &entry.key,
                );
            };
            for node in nodes {
                file.registry(node)?;
            }
        }
        file.conflicts()?;
        for (index, registry) in file.search.iter_mut().flatten().enumerate() {
            let place = registry.place.clone();
            *registry = trimmed(registry.clone())?;
            if format!("{}/a", registry.value).parse::<ImageRef>().is_err()
                || registry.value.contains('/')
            {
                return error(
                    format!(
                        "Invalid unqualified-search-registries entry \"{}\" (number {})",
                        registry.value,
                        index + 1
                    ),
                    &place,
                );
            }
        }
        if let Some(entry) = lookup(root, "short-name-mode") {
            match entry.node.str() {
                Some("" | "disabled" | "enforcing" | "permissive") => {}
                _ => {
                    return error(
                        "invalid short-name mode: it must be \"enforcing\", \"permissive\" or \"disabled\"",
                        &entry.node.place,
                    );
                }
            }
        }
        for registry in &file.registries {
            if registry.prefix.starts_with("*.") && registry.prefix.contains(['/', '@', ':']) {
                return error(
                    format!(
                        "Wildcarded prefix should be in the format: *.example.com. Current prefix \"{}\" is incorrectly formatted",
                        registry.prefix
                    ),
                    &registry.place,
                );
            }
        }
        if let Some(entry) = lookup(root, "aliases") {
            file.aliases = aliases(entry)?;
        }
        // The first of two equal prefixes wins: it must be inserted last.
        file.registries.reverse();
        Ok(file)
    }

    /// `[registries.search]`, `.insecure`, `.block`; tells whether any of them is set.
    fn first_version(&mut self, table: &Table) -> Parsed<bool> {
        let mut set = false;
        let mut found: Vec<(Located<String>, bool, bool)> = Vec::new();
        for (section, insecure, blocked) in [
            ("block", false, true),
            ("insecure", true, false),
            ("search", false, false),
        ] {
            let Some(entry) = lookup(table, section)
                .and_then(|entry| entry.node.table())
                .and_then(|table| lookup(table, "registries"))
            else {
                continue;
            };
            set = true;
            let names = strings(entry, "registries")?;
            if section == "search" {
                self.search = Some(names);
                continue;
            }
            for name in names {
                let name = trimmed(name)?;
                match found
                    .iter_mut()
                    .find(|(known, ..)| known.value == name.value)
                {
                    Some((_, known_insecure, known_blocked)) => {
                        *known_insecure |= insecure;
                        *known_blocked |= blocked;
                    }
                    None => found.push((name, insecure, blocked)),
                }
            }
        }
        self.registries.extend(
            found
                .into_iter()
                .map(|(location, insecure, blocked)| Registry {
                    place: location.place.clone(),
                    prefix: location.value.clone(),
                    blocked: blocked.then(|| location.place.clone()),
                    location,
                    insecure,
                    mirror_by_digest_only: None,
                    mirrors: Vec::new(),
                }),
        );
        Ok(set)
    }

    fn registry(&mut self, node: &Node) -> Parsed<()> {
        let Some(table) = node.table() else {
            return error("`registry` must hold tables", &node.place);
        };
        let nowhere = || Located::new(String::new(), node.place.clone());
        let place = location(table, "location")?.unwrap_or_else(nowhere);
        let prefix = location(table, "prefix")?
            .map(|prefix| prefix.value)
            .filter(|prefix| !prefix.is_empty());
        let prefix = match prefix {
            Some(prefix) if place.value.is_empty() && !prefix.starts_with("*.") => {
                return error(
                    "invalid condition: location is unset and prefix is not in the format: *.example.com",
                    &node.place,
                );
            }
            Some(prefix) => prefix,
            None if place.value.is_empty() => {
                return error(
                    "invalid condition: both location and prefix are unset",
                    &node.place,
                );
            }
            None => place.value.clone(),
        };
        if let Some(entry) = lookup(table, "pull-from-mirror") {
            return error(
                format!("pull-from-mirror must not be set for a non-mirror registry \"{prefix}\""),
                &entry.key,
            );
        }
        let mut registry = Registry {
            place: node.place.clone(),
            location: place,
            insecure: flag(table, "insecure")?.is_some(),
            blocked: flag(table, "blocked")?,
            mirror_by_digest_only: flag(table, "mirror-by-digest-only")?,
            mirrors: Vec::new(),
            prefix,
        };
        if let Some(entry) = lookup(table, "mirror") {
            let Some(nodes) = entry.node.array() else {
                return error(
                    format!(
                        "`mirror` must be an array of tables (`[[registry.mirror]]`), not {}",
                        entry.node.value.kind()
                    ),
                    &entry.key,
                );
            };
            for node in nodes {
                registry.mirrors.push(mirror(node, &registry)?);
            }
        }
        self.registries.push(registry);
        Ok(())
    }

    /// Two tables for one location must agree.
    fn conflicts(&self) -> Parsed<()> {
        let key = |registry: &Registry| {
            if registry.location.value.is_empty() {
                registry.prefix.clone()
            } else {
                registry.location.value.clone()
            }
        };
        let mut known: BTreeMap<String, &Registry> = BTreeMap::new();
        for registry in &self.registries {
            let first = known.entry(key(registry)).or_insert(registry);
            let setting = if first.insecure != registry.insecure {
                "insecure"
            } else if first.blocked.is_some() != registry.blocked.is_some() {
                "blocked"
            } else {
                continue;
            };
            return error(
                format!(
                    "registry '{}' is defined multiple times with conflicting '{setting}' setting",
                    registry.location.value
                ),
                &registry.place,
            );
        }
        Ok(())
    }
}

fn mirror(node: &Node, registry: &Registry) -> Parsed<Mirror> {
    let Some(table) = node.table() else {
        return error("`mirror` must hold tables", &node.place);
    };
    let Some(place) = location(table, "location")?.filter(|location| !location.value.is_empty())
    else {
        return error("invalid condition: mirror location is unset", &node.place);
    };
    let mut pulls = Located::new(Pulls::All, node.place.clone());
    if let Some(entry) = lookup(table, "pull-from-mirror") {
        let value = match entry.node.str() {
            Some("") => None,
            Some("all") => Some(Pulls::All),
            Some("digest-only") => Some(Pulls::DigestOnly),
            Some("tag-only") => Some(Pulls::TagOnly),
            other => {
                let message = format!(
                    "unsupported pull-from-mirror value \"{}\" for mirror \"{}\"",
                    other.unwrap_or_default(),
                    place.value
                );
                return error(message, &entry.node.place);
            }
        };
        if let Some(value) = value {
            if registry.mirror_by_digest_only.is_some() {
                let message = format!(
                    "cannot set mirror usage mirror-by-digest-only for the registry (\"{}\") and pull-from-mirror for per-mirror (\"{}\") at the same time",
                    registry.prefix, place.value
                );
                return error(message, &entry.key);
            }
            pulls = Located::new(value, entry.node.place.clone());
        }
    }
    Ok(Mirror {
        location: place,
        insecure: flag(table, "insecure")?.is_some(),
        pulls,
    })
}

fn aliases(entry: &Entry) -> Parsed<BTreeMap<String, Option<Located<String>>>> {
    let Some(table) = entry.node.table() else {
        return error(
            format!("`aliases` must be a table, not {}", entry.node.value.kind()),
            &entry.key,
        );
    };
    let mut aliases = BTreeMap::new();
    for (name, entry) in table.in_order() {
        let Some(target) = entry.node.located_str() else {
            return error(
                format!(
                    "alias `{name}` must be a string, not {}",
                    entry.node.value.kind()
                ),
                &entry.node.place,
            );
        };
        let short = name.parse::<ImageRef>();
        if !short.is_ok_and(|short| {
            short.is_short() && short.tag().is_none() && short.digest().is_none()
        }) {
            return error(
                format!("validating short-name aliases: invalid short name \"{name}\""),
                &entry.key,
            );
        }
        if target.value.is_empty() {
            aliases.insert(name.to_owned(), None);
            continue;
        }
        match target.value.parse::<ImageRef>() {
            Ok(full) if !full.is_short() && full.tag().is_none() && full.digest().is_none() => {
                aliases.insert(name.to_owned(), Some(target));
            }
            _ => {
                let message = format!(
                    "validating short-name aliases: invalid alias \"{}\": must contain registry and repository",
                    target.value
                );
                return error(message, &target.place);
            }
        }
    }
    Ok(aliases)
}
