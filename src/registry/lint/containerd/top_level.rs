//! The text as such, and the top level of config.toml.

use super::super::schema::{self, near};
use super::super::{Code, Lint, Severity};
use super::restart;
use crate::registry::document::Document;
use crate::registry::node::{Entry, Table};
use crate::registry::rules::Rule;
use crate::registry::text::Place;

pub(super) fn syntax(lint: &mut Lint<'_>, document: &Document) {
    for error in document.errors.iter().chain(&document.newer) {
        lint.add(
            Code::ContainerdConfigParse,
            error.place.clone(),
            error.message.clone(),
        )
        .why("containerd does not start with this file");
    }
}

pub(super) fn top_level(lint: &mut Lint<'_>, document: &Document) {
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
pub(super) fn unknown_key(
    lint: &mut Lint<'_>,
    table: &str,
    name: &str,
    keys: &[&str],
    entry: &Entry,
) {
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
