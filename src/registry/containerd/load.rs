//! From files to one set of plugin tables: imports, versions, migration, merge.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{CRI, CRI_IMAGES, Fatal, FatalCause, FatalKind, File, field};
use crate::registry::declared::Declared;
use crate::registry::document::Document;
use crate::registry::golang::clean_path;
use crate::registry::node::{Entry, Node, Table, Value};
use crate::registry::rules::Rule;
use crate::registry::text::{Located, Place};
use crate::registry::tree;
use crate::registry::version::RuntimeId;

/// How many files one start reads at most; a glob can match anything.
const MAX_FILES: usize = 500;

/// A start of the daemon, up to the point where plugins get their tables.
pub(super) struct Start<'d> {
    declared: &'d Declared,
    runtime: &'d RuntimeId,
    version: i64,
    root_version: i64,
    pub(super) plugins: Table,
    pub(super) disabled: Vec<Located<String>>,
    required: Vec<Located<String>>,
    pub(super) files: Vec<File>,
    pub(super) fatal: Option<Fatal>,
    pub(super) unread: Vec<PathBuf>,
    cut_short: bool,
}

/// The patterns in a file's `imports`, which must stand above every table header.
pub fn import_patterns(document: &Document) -> Vec<Located<String>> {
    document
        .root
        .node("imports")
        .and_then(Node::array)
        .unwrap_or_default()
        .iter()
        .filter_map(Node::located_str)
        .collect()
}

/// All files that a start could read, whatever is wrong with any of them: the main file first.
pub fn reachable(declared: &Declared, runtime: &RuntimeId) -> Vec<(PathBuf, Document)> {
    let relative = declared
        .rules()
        .holds(Rule::ImportGlobRelativeToFile, runtime);
    let mut found: Vec<(PathBuf, Document)> = Vec::new();
    let mut pending = VecDeque::from([declared.containerd_config.clone()]);
    while let Some(path) = pending.pop_front() {
        if found.len() >= MAX_FILES || found.iter().any(|(known, _)| *known == path) {
            continue;
        }
        let Some(text) = declared.tree.text(&path) else {
            continue;
        };
        let document = Document::parse(&path, text);
        for pattern in import_patterns(&document) {
            let target = imports_of(&path, &pattern.value, relative);
            if pattern.value.contains('*') {
                pending.extend(declared.tree.glob(&target));
            } else {
                pending.push_back(target);
            }
        }
        found.push((path, document));
    }
    found
}

/// The absolute path or pattern that an import means.
pub fn imports_of(parent: &Path, pattern: &str, glob_relative_to_file: bool) -> PathBuf {
    let glob = pattern.contains('*');
    let cleaned = clean_path(pattern);
    if cleaned.starts_with('/') {
        return cleaned.into();
    }
    // A glob of older daemons starts at their working directory, which is `/`.
    let base = if glob && !glob_relative_to_file {
        Path::new("/")
    } else {
        parent.parent().unwrap_or(Path::new("/"))
    };
    clean_path(&base.join(cleaned).to_string_lossy()).into()
}

impl<'d> Start<'d> {
    pub(super) fn new(declared: &'d Declared, runtime: &'d RuntimeId) -> Self {
        let rules = declared.rules();
        let version = if rules.holds(Rule::ConfigMax4, runtime) {
            4
        } else if rules.holds(Rule::ConfigMax3, runtime) {
            3
        } else {
            1
        };
        Self {
            declared,
            runtime,
            version,
            root_version: 0,
            plugins: Table::default(),
            disabled: Vec::new(),
            required: Vec::new(),
            files: Vec::new(),
            fatal: None,
            unread: Vec::new(),
            cut_short: false,
        }
    }

    fn holds(&self, rule: Rule) -> bool {
        self.declared.rules().holds(rule, self.runtime)
    }

    /// Reads everything. With no main file the daemon has its defaults and imports nothing.
    pub(super) fn run(mut self) -> Self {
        let main = self.declared.containerd_config.clone();
        match self.declared.tree.entry(&main) {
            Some(tree::Entry::Absent) => return self,
            None => {
                self.unread.push(main);
                return self;
            }
            Some(_) => {}
        }
        let mut pending = VecDeque::from([(main.clone(), Place::start_of(&main))]);
        let mut loaded = BTreeSet::new();
        while let Some((path, asked_by)) = pending.pop_front() {
            if loaded.contains(&path) || loaded.len() >= MAX_FILES {
                continue;
            }
            let Some(imports) = self.read(&path, &asked_by) else {
                break;
            };
            loaded.insert(path);
            pending.extend(imports);
        }
        if self.fatal.is_none() && !self.cut_short {
            self.check();
        }
        if self.fatal.is_none() && !self.holds(Rule::ConfigV1Lookup) && self.version == 2 {
            // 2.0 to 2.2 migrate once, by the version that the last file left behind.
            migrate(&mut self.plugins);
        }
        self
    }

    fn die(&mut self, cause: FatalCause, error: String, place: Place) {
        self.fatal.get_or_insert(Fatal {
            kind: FatalKind::Daemon,
            cause,
            error,
            place,
        });
    }

    /// Reads and merges one file; gives the files that it imports. `None` stops the start.
    fn read(&mut self, path: &Path, asked_by: &Place) -> Option<Vec<(PathBuf, Place)>> {
        let text = match self.declared.tree.entry(path) {
            Some(tree::Entry::Text { text }) => text,
            Some(tree::Entry::Absent) if self.holds(Rule::ImportMissingEndsReading) => {
                self.cut_short = true;
                return None;
            }
            Some(tree::Entry::Absent) => {
                self.die(
                    FatalCause::Import,
                    format!("open {}: no such file or directory", path.display()),
                    asked_by.clone(),
                );
                return None;
            }
            Some(tree::Entry::Directory { .. }) => {
                self.die(
                    FatalCause::Import,
                    format!("read {}: is a directory", path.display()),
                    asked_by.clone(),
                );
                return None;
            }
            Some(tree::Entry::NotText { line }) => {
                let place = Place {
                    line: *line,
                    ..Place::start_of(path)
                };
                self.die(
                    FatalCause::Syntax,
                    format!("failed to load TOML: {}: invalid UTF-8", path.display()),
                    place,
                );
                return None;
            }
            Some(_) | None => {
                self.unread.push(path.to_owned());
                return Some(Vec::new());
            }
        };
        let document = Document::parse(path, text);
        if let Some(error) = document.fault() {
            let message = format!("failed to load TOML: {}: {}", path.display(), error.message);
            let place = error.place.clone();
            self.files.push(File {
                path: path.into(),
                document,
                version: None,
            });
            self.die(FatalCause::Syntax, message, place);
            return None;
        }
        let case = self.holds(Rule::MergeDeep);
        let root = document.root.clone();
        let version_entry = field(&root, "version", case);
        let version = version_entry.and_then(|entry| entry.node.integer());
        let located = version_entry
            .zip(version)
            .map(|(entry, version)| Located::new(version, entry.node.place.clone()));
        let version_place =
            version_entry.map_or_else(|| Place::start_of(path), |entry| entry.node.place.clone());
        self.files.push(File {
            path: Arc::from(path),
            document,
            version: located,
        });
        if let Some((name, entry)) = wrongly_typed(&root, case) {
            let message = format!(
                "failed to unmarshal TOML: `{name}` cannot be {}",
                entry.node.value.kind()
            );
            self.die(FatalCause::Decode, message, entry.node.place.clone());
            return None;
        }
        let version = version.unwrap_or(0);
        let strings = |name: &str| {
            field(&root, name, case)
                .and_then(|entry| entry.node.strings())
                .unwrap_or_default()
        };
        let (mut disabled, mut required) =
            (strings("disabled_plugins"), strings("required_plugins"));
        let mut plugins = field(&root, "plugins", case)
            .and_then(|entry| entry.node.table())
            .cloned()
            .unwrap_or_default();

        if self.holds(Rule::DropinVersionCapped) {
            if self.root_version == 0 {
                self.root_version = version;
            }
            if version > self.root_version {
                let message = format!(
                    "drop-in config version {version} higher than root config version {}",
                    self.root_version
                );
                self.die(FatalCause::DropinVersion, message, version_place);
                return None;
            }
        }
        let mut migrated = version;
        if self.holds(Rule::MigrateEachFile) {
            if version < self.version {
                if version < 2 {
                    rename(&mut plugins, &mut disabled, &mut required);
                }
                migrate(&mut plugins);
                migrated = self.version;
            }
        } else if !self.holds(Rule::ConfigV1Lookup) && version < 2 {
            // Renamed and called the newest version at once, so that the later migration passes it by.
            rename(&mut plugins, &mut disabled, &mut required);
            migrated = self.version;
        }
        if migrated != 0 {
            self.version = migrated;
        }
        if self.holds(Rule::MergeDeep) {
            self.plugins.overlay(plugins);
        } else {
            for (name, entry) in plugins.iter() {
                self.plugins.insert(name, entry.clone());
            }
        }
        self.disabled.extend(disabled);
        self.required.extend(required);

        let relative = self.holds(Rule::ImportGlobRelativeToFile);
        let mut imports = Vec::new();
        for pattern in strings("imports") {
            let target = imports_of(path, &pattern.value, relative);
            if pattern.value.contains('*') {
                self.unread
                    .extend(self.declared.tree.glob_directories(&target));
                imports.extend(
                    self.declared
                        .tree
                        .glob(&target)
                        .into_iter()
                        .map(|path| (path, pattern.place.clone())),
                );
            } else {
                imports.push((target, pattern.place));
            }
        }
        Some(imports)
    }

    /// The checks that the daemon makes after everything is read.
    fn check(&mut self) {
        let newest = if self.holds(Rule::ConfigMax2) {
            2
        } else if self.holds(Rule::ConfigMax3) {
            3
        } else if self.holds(Rule::ConfigMax4) {
            4
        } else {
            i64::MAX
        };
        if self.version > newest {
            let place = self
                .files
                .iter()
                .rev()
                .find_map(|file| {
                    file.version
                        .as_ref()
                        .filter(|version| version.value > newest)
                })
                .map_or_else(
                    || Place::start_of(&self.declared.containerd_config),
                    |version| version.place.clone(),
                );
            let version = self.version;
            let message = if newest == 2 {
                format!("unsupported config version `{version}`")
            } else {
                format!(
                    "expected containerd config version equal to or less than `{newest}`, got `{version}`"
                )
            };
            return self.die(FatalCause::Version, message, place);
        }
        let one = self.holds(Rule::ConfigV1Lookup);
        let unchecked = self.version > 2 && self.holds(Rule::ConfigVersion2OnlyChecked);
        if one && (self.version < 2 || unchecked) {
            return;
        }
        let prefix = self.holds(Rule::PluginUriPrefix);
        let valid = |name: &str| {
            if one {
                name.split('.').count() >= 4 && (!prefix || name.starts_with("io.containerd."))
            } else {
                name.contains('.')
            }
        };
        let bad =
            |names: &[Located<String>]| names.iter().find(|name| !valid(&name.value)).cloned();
        if let Some(name) = bad(&self.disabled) {
            self.die(
                FatalCause::DisabledName,
                format!(
                    "invalid disabled plugin URI \"{}\" expect io.containerd.x.vx",
                    name.value
                ),
                name.place,
            );
        } else if let Some(name) = bad(&self.required) {
            self.die(
                FatalCause::DisabledName,
                format!(
                    "invalid required plugin URI \"{}\" expect io.containerd.x.vx",
                    name.value
                ),
                name.place,
            );
        } else if one
            && let Some((name, entry)) = self
                .plugins
                .in_order()
                .into_iter()
                .find(|(name, _)| !valid(name))
        {
            let message = format!("invalid plugin key URI \"{name}\" expect io.containerd.x.vx");
            let place = entry.key.clone();
            self.die(FatalCause::PluginName, message, place);
        }
    }

    /// The name under which the CRI plugin finds its table, and the one by which it is disabled.
    pub(super) fn cri_table(&self) -> &'static str {
        if !self.holds(Rule::ConfigV1Lookup) {
            CRI_IMAGES
        } else if self.version < 2 {
            "cri"
        } else {
            CRI
        }
    }
}

/// A top-level key whose type the daemon cannot decode.
fn wrongly_typed(root: &Table, case: bool) -> Option<(&'static str, &Entry)> {
    let strings = |node: &Node| node.strings().is_some();
    let wrong = |name: &'static str, fits: fn(&Node) -> bool| {
        let entry = field(root, name, case)?;
        (!fits(&entry.node)).then_some((name, entry))
    };
    wrong("version", |node| node.integer().is_some())
        .or_else(|| wrong("plugins", |node| node.table().is_some()))
        .or_else(|| wrong("imports", strings))
        .or_else(|| wrong("disabled_plugins", strings))
        .or_else(|| wrong("required_plugins", strings))
}

/// Version 1 to 2: short plugin names become URIs.
fn rename(plugins: &mut Table, disabled: &mut [Located<String>], required: &mut [Located<String>]) {
    let short: Vec<String> = plugins
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !name.contains('.'))
        .map(str::to_owned)
        .collect();
    for name in short {
        if let Some(entry) = plugins.remove(&name) {
            plugins.insert(uri(&name), entry);
        }
    }
    for name in disabled.iter_mut().chain(required) {
        if !name.value.contains('.') {
            name.value = uri(&name.value);
        }
    }
}

fn uri(short: &str) -> String {
    match short {
        "cri" => CRI.to_owned(),
        "cgroups" => "io.containerd.monitor.v1.cgroups".to_owned(),
        "scheduler" => "io.containerd.gc.v1.scheduler".to_owned(),
        "aufs" | "btrfs" | "devmapper" | "native" | "overlayfs" | "zfs" => {
            format!("io.containerd.snapshotter.v1.{short}")
        }
        _ if short.ends_with("-service") => format!("io.containerd.service.v1.{short}"),
        _ => format!("io.containerd.grpc.v1.{short}"),
    }
}

/// Version 2 to 3: what concerns images moves from the CRI table to the table of the images plugin, over what is
/// there.
fn migrate(plugins: &mut Table) {
    let Some(source) = plugins.entry(CRI).cloned() else {
        return;
    };
    let Some(from) = source.node.table() else {
        return;
    };
    let empty = || Entry {
        key: source.key.clone(),
        node: Node {
            value: Value::Table(Table::default()),
            place: source.node.place.clone(),
        },
    };
    let mut target = plugins.remove(CRI_IMAGES).unwrap_or_else(empty);
    if let Value::Table(images) = &mut target.node.value {
        if let Some(image) = from.entry("sandbox_image") {
            let mut pinned = images.remove("pinned_images").unwrap_or_else(empty);
            if let Value::Table(pinned) = &mut pinned.node.value {
                pinned.insert("sandbox", image.clone());
            }
            images.insert("pinned_images", pinned);
        }
        let moved = [
            "registry",
            "image_decryption",
            "max_concurrent_downloads",
            "image_pull_progress_timeout",
            "image_pull_with_sync_fs",
            "stats_collect_period",
        ];
        let nested = [
            "snapshotter",
            "disable_snapshot_annotations",
            "discard_unpacked_layers",
        ];
        // Upstream copies the keys of `containerd` only if that table has `runtimes`.
        let containerd = from
            .table("containerd")
            .filter(|table| table.node("runtimes").is_some());
        let all = moved
            .iter()
            .map(|key| (key, Some(from)))
            .chain(nested.iter().map(|key| (key, containerd)));
        for (key, table) in all {
            if let Some(entry) = table.and_then(|table| table.entry(key)) {
                images.insert(*key, entry.clone());
            }
        }
    }
    plugins.insert(CRI_IMAGES, target);
}
