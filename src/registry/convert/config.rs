//! config.toml line by line: the section that is converted goes, `config_path` comes. Everything else, comments and
//! credentials included, stays as it is; what such an edit cannot reach is left to be done by hand, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::written::registries;
use super::{Change, Left, LineEdit};
use crate::registry::containerd::{CRI, CRI_IMAGES, reachable};
use crate::registry::declared::Declared;
use crate::registry::document::Document;
use crate::registry::k3s::quoted;
use crate::registry::node::{Node, Table};
use crate::registry::rules::Rule;
use crate::registry::text::Place;
use crate::registry::version::RuntimeId;

/// The files without `registry.mirrors` and `registry.configs.*.tls`, and with `config_path`.
pub(super) fn without_section(
    declared: &Declared,
    runtime: &RuntimeId,
    root: &Path,
    left: &mut Vec<Left>,
) -> Vec<Change> {
    let files = reachable(declared, runtime);
    // On 1.x the last file with the plugin's table replaces it as a whole; later, the last word wins.
    let home = files
        .iter()
        .rposition(|(_, document)| !registries(&document.root).is_empty())
        .unwrap_or(0);
    let mut changes = Vec::new();
    for (index, (path, document)) in files.iter().enumerate() {
        let Some(text) = declared.tree.text(path) else {
            continue;
        };
        let mut lines = Lines::new(text);
        lines.drop_section(document);
        lines.drop_expressions(document);
        if index == home {
            lines.set_config_path(document, declared, runtime, root);
        }
        changes.extend(lines.change(path, text, index == home, root, left));
    }
    changes
}

/// The main file with `config_path`, or a new one.
pub(super) fn pointing_at(
    declared: &Declared,
    runtime: &RuntimeId,
    root: &Path,
    left: &mut Vec<Left>,
) -> Option<Change> {
    let path = &declared.containerd_config;
    let Some(text) = declared.tree.text(path) else {
        let (version, table) = if declared.rules().holds(Rule::ConfigV1Lookup, runtime) {
            (2, CRI)
        } else {
            (3, CRI_IMAGES)
        };
        let added = vec![
            format!("version = {version}"),
            String::new(),
            format!("[plugins.{}.registry]", quoted(table)),
            format!("  config_path = {}", quoted(&root.to_string_lossy())),
        ];
        let text = added.join("\n") + "\n";
        return Some(Change {
            path: path.clone(),
            exists: false,
            content: Some(text.clone()),
            edits: vec![LineEdit {
                line: 1,
                removed: 0,
                added,
            }],
            text,
        });
    };
    let document = Document::parse(path, text);
    let mut lines = Lines::new(text);
    lines.set_config_path(&document, declared, runtime, root);
    lines.change(path, text, true, root, left)
}

/// A file that is being edited: for every line whether it stays, and what comes after it.
struct Lines<'t> {
    lines: Vec<&'t str>,
    gone: Vec<bool>,
    /// Lines that come behind a line, by its number from 1; 0 is the top.
    behind: Vec<(usize, Vec<String>)>,
    /// Where a part of the section stood that had no header of its own: the line, the plugin, and how `registry` is named
    /// there.
    expression: Option<(usize, String, String)>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        Self {
            gone: vec![false; lines.len()],
            lines,
            behind: Vec::new(),
            expression: None,
        }
    }

    /// Takes out the tables of the section: from each header to the next.
    fn drop_section(&mut self, document: &Document) {
        let headers = &document.headers;
        for (index, header) in headers.iter().enumerate() {
            let keys: Vec<&str> = header.keys.iter().map(String::as_str).collect();
            let is_ours = match keys.as_slice() {
                _ if is_section(&header.keys) => true,
                // A bare header of something that is empty now.
                ["plugin" | "plugins", plugin, "registry", "configs"] => {
                    is_cri(plugin) && self.is_bare(header.place.line, headers.get(index + 1))
                }
                ["plugin" | "plugins", plugin, "registry", "configs", _] => {
                    is_cri(plugin) && self.is_bare(header.place.line, headers.get(index + 1))
                }
                _ => false,
            };
            if !is_ours {
                continue;
            }
            let from = header.place.line;
            let to = self.end(from, headers.get(index + 1).map(|next| &next.place));
            for gone in self.gone.iter_mut().take(to).skip(from - 1) {
                *gone = true;
            }
        }
    }

    /// Takes out what of the section stands in other tables: dotted keys and tables in one line. In TOML each such
    /// expression has its lines for itself; one that says something else too is left.
    fn drop_expressions(&mut self, document: &Document) {
        let mut keys = Vec::new();
        paths(&document.root, &mut Vec::new(), &mut keys);
        let headers: BTreeSet<usize> = document
            .headers
            .iter()
            .map(|header| header.place.line)
            .collect();
        let mut by_line: BTreeMap<usize, Vec<&[String]>> = BTreeMap::new();
        for (path, line) in keys.iter().filter(|(_, line)| !headers.contains(line)) {
            by_line.entry(*line).or_default().push(path);
        }
        for (&line, paths) in &by_line {
            let ours = paths.iter().find(|path| is_section(path));
            let Some(ours) = ours.filter(|_| self.gone.get(line - 1) == Some(&false)) else {
                continue;
            };
            if !paths.iter().all(|path| is_section(path) || is_above(path)) {
                continue;
            }
            let next_key = by_line.range(line + 1..).next().map(|(line, _)| *line);
            let next_header = headers.range(line + 1..).next().copied();
            let next = [next_key, next_header].into_iter().flatten().min();
            let mut to = next.map_or(self.lines.len(), |next| next - 1);
            while to > line && is_idle(self.lines.get(to - 1).copied().unwrap_or_default()) {
                to -= 1;
            }
            for gone in self.gone.iter_mut().take(to).skip(line - 1) {
                *gone = true;
            }
            let header = document
                .headers
                .iter()
                .rfind(|header| header.place.line < line);
            let table = header.map_or(&[][..], |header| header.keys.as_slice());
            let rest = ours
                .get(..3)
                .and_then(|registry| registry.strip_prefix(table));
            if let Some(rest) = rest.filter(|rest| !rest.is_empty())
                && ours.first().is_some_and(|first| first == "plugins")
            {
                let named: Vec<String> = rest.iter().map(|key| written(key)).collect();
                let place = (line, ours[1].clone(), named.join("."));
                self.expression.get_or_insert(place);
            }
        }
    }

    /// The last line that belongs to the table at `from`: comments and empty lines before the next header are that one's.
    fn end(&self, from: usize, next: Option<&Place>) -> usize {
        let mut to = next.map_or(self.lines.len(), |next| next.line - 1);
        while to > from {
            if !is_idle(self.lines.get(to - 1).copied().unwrap_or_default()) {
                break;
            }
            to -= 1;
        }
        to
    }

    /// Whether a table has no keys of its own.
    fn is_bare(&self, from: usize, next: Option<&crate::registry::document::Header>) -> bool {
        self.end(from, next.map(|next| &next.place)) == from
    }

    /// Writes `config_path` into the table that this version reads.
    fn set_config_path(
        &mut self,
        document: &Document,
        declared: &Declared,
        runtime: &RuntimeId,
        root: &Path,
    ) {
        let version = document.root.node("version").and_then(Node::integer);
        let table = match version {
            None | Some(1) => "cri",
            Some(2) => CRI,
            Some(_) if declared.rules().holds(Rule::ConfigV1Lookup, runtime) => CRI,
            Some(_) => CRI_IMAGES,
        };
        let line = format!("config_path = {}", quoted(&root.to_string_lossy()));
        let registry = document.root.descend(&["plugins", table, "registry"]);
        if let Some(present) = registry.and_then(|registry| registry.entry("config_path")) {
            let at = present.key.line;
            let old = self.lines.get(at - 1).copied().unwrap_or_default();
            let indent: String = old.chars().take_while(|c| c.is_whitespace()).collect();
            let new = format!("{indent}{line}");
            if old != new
                && old.trim_start().starts_with("config_path")
                && present.node.str() != root.to_str()
            {
                if let Some(gone) = self.gone.get_mut(at - 1) {
                    *gone = true;
                }
                self.behind.push((at, vec![new]));
            }
            return;
        }
        let header = document.headers.iter().find(|header| {
            let keys: Vec<&str> = header.keys.iter().map(String::as_str).collect();
            keys == ["plugins", table, "registry"] && !header.array
        });
        if let Some(header) = header {
            let old = self.lines.get(header.place.line - 1).copied().unwrap_or("");
            let indent: String = old.chars().take_while(|c| c.is_whitespace()).collect();
            self.behind
                .push((header.place.line, vec![format!("{indent}  {line}")]));
            return;
        }
        if let Some((at, plugin, registry)) = &self.expression
            && plugin == table
        {
            let old = self.lines.get(at - 1).copied().unwrap_or_default();
            let indent: String = old.chars().take_while(|c| c.is_whitespace()).collect();
            self.behind
                .push((*at, vec![format!("{indent}{registry}.{line}")]));
            return;
        }
        let name = written(table);
        let mut added = vec![format!("[plugins.{name}.registry]"), format!("  {line}")];
        // Where a table that went had stood, so that the file keeps its order; else at the end.
        let first = self.gone.iter().position(|gone| *gone).filter(|first| {
            let line = self.lines.get(*first).copied().unwrap_or_default();
            line.trim_start().starts_with('[')
        });
        let at = match first {
            Some(first) => first,
            None => {
                added.insert(0, String::new());
                self.lines.len()
            }
        };
        self.behind.push((at, added));
    }

    /// The edited file, if anything changed. What was not reached is said.
    fn change(
        self,
        path: &Path,
        before: &str,
        is_home: bool,
        root: &Path,
        left: &mut Vec<Left>,
    ) -> Option<Change> {
        let mut edits: Vec<LineEdit> = Vec::new();
        let mut text = String::new();
        let added_at = |at: usize, text: &mut String, edits: &mut Vec<LineEdit>| {
            for (_, added) in self.behind.iter().filter(|(behind, _)| *behind == at) {
                for line in added {
                    text.push_str(line);
                    text.push('\n');
                }
                match edits.last_mut() {
                    Some(last) if last.line + last.removed == at + 1 => {
                        last.added.extend(added.iter().cloned());
                    }
                    _ => edits.push(LineEdit {
                        line: at + 1,
                        removed: 0,
                        added: added.clone(),
                    }),
                }
            }
        };
        added_at(0, &mut text, &mut edits);
        for (index, line) in self.lines.iter().enumerate() {
            if self.gone.get(index) == Some(&true) {
                match edits.last_mut() {
                    Some(last) if last.line + last.removed == index + 1 => last.removed += 1,
                    _ => edits.push(LineEdit {
                        line: index + 1,
                        removed: 1,
                        added: Vec::new(),
                    }),
                }
            } else {
                text.push_str(line);
                text.push('\n');
            }
            added_at(index + 1, &mut text, &mut edits);
        }
        let after = Document::parse(path, &text);
        let mut by_hand = |what: &str, place: Option<&Place>| {
            left.push(Left::new(
                what,
                format!(
                    "it is written in a way that is not edited here; change {} by hand",
                    path.display()
                ),
                place,
            ));
        };
        if !after.errors.is_empty() && Document::parse(path, before).errors.is_empty() {
            by_hand("`config_path`", None);
            return None;
        }
        for (_, registry) in registries(&after.root) {
            if let Some(place) = remaining(registry) {
                by_hand("a part of the section", Some(&place));
            }
        }
        let points = registries(&after.root)
            .iter()
            .any(|(_, registry)| registry.node("config_path").and_then(Node::str) == root.to_str());
        if is_home && !points {
            by_hand("`config_path`", None);
        }
        (!edits.is_empty()).then(|| Change {
            path: path.to_owned(),
            exists: true,
            content: None,
            edits,
            text,
        })
    }
}

/// Where something of the section is still written.
fn remaining(registry: &Table) -> Option<Place> {
    let mirrors = registry
        .entry("mirrors")
        .filter(|entry| entry.node.table().is_none_or(|table| !table.is_empty()));
    let tls = registry.table("configs").and_then(|configs| {
        configs
            .iter()
            .find_map(|(_, entry)| entry.node.table()?.entry("tls"))
    });
    mirrors.or(tls).map(|entry| entry.key.clone())
}

/// Every key of a table and of the tables in it, with its path and its line.
fn paths(table: &Table, above: &mut Vec<String>, found: &mut Vec<(Vec<String>, usize)>) {
    for (key, entry) in table.iter() {
        above.push(key.to_owned());
        found.push((above.clone(), entry.key.line));
        if let Some(below) = entry.node.table() {
            paths(below, above, found);
        }
        above.pop();
    }
}

/// Whether a key is a part of what is converted.
fn is_section(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["plugin" | "plugins", plugin, "registry", "mirrors", ..] => is_cri(plugin),
        [
            "plugin" | "plugins",
            plugin,
            "registry",
            "configs",
            _,
            "tls",
            ..,
        ] => is_cri(plugin),
        _ => false,
    }
}

/// Whether a key is one that what is converted stands below.
fn is_above(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["plugin" | "plugins"] => true,
        [
            "plugin" | "plugins",
            plugin,
            "registry",
            "configs" | "mirrors",
            ..,
        ] => is_cri(plugin) && path.len() <= 5,
        ["plugin" | "plugins", plugin] | ["plugin" | "plugins", plugin, "registry"] => {
            is_cri(plugin)
        }
        _ => false,
    }
}

/// An empty line, or a comment.
fn is_idle(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// A key as TOML wants it written.
fn written(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

fn is_cri(plugin: &str) -> bool {
    matches!(plugin, "cri" | CRI | CRI_IMAGES)
}
