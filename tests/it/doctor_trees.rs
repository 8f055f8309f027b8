//! `criscope doctor --host-root` and `preflight` on whole trees of files: the default trees of distributions, in which
//! nothing may be found, and trees with one thing wrong, of which the first finding has to be the cause.
//!
//! A case is one file in `tests/fixtures/trees`: lines `key: value`, then the files of the node, each below a line
//! `-- PATH --`, `-- PATH MODE --`, `-- PATH dir --` or `-- PATH -> TARGET --`. Keys: `base` (the case that this one
//! changes), `drop` (beginnings of paths that it lacks), `as` (the runtime), `preflight` (the arguments of the move; without
//! it it is `doctor`), `first` (the codes of which one has to be found first, or `none`). A program has no content here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::criscope;

/// The beginning of a program for amd64.
const PROGRAM: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0";

#[derive(Clone, Debug)]
enum Item {
    File { text: String, mode: Option<u32> },
    Directory,
    Link(String),
}

#[derive(Clone, Debug, Default)]
struct Tree {
    keys: BTreeMap<String, String>,
    items: BTreeMap<String, Item>,
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trees")
}

impl Tree {
    fn load(name: &str) -> Self {
        let path = cases().join(format!("{name}.tree"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut tree = Self::default();
        let mut open: Option<String> = None;
        for line in text.lines() {
            let marker = line
                .strip_prefix("-- ")
                .and_then(|rest| rest.strip_suffix(" --"));
            if let Some(marker) = marker {
                let (path, kind) = marker.split_once(' ').unwrap_or((marker, ""));
                let item = match kind {
                    "dir" => Item::Directory,
                    kind => match kind.strip_prefix("-> ") {
                        Some(target) => Item::Link(target.to_owned()),
                        None => Item::File {
                            text: String::new(),
                            mode: u32::from_str_radix(kind, 8).ok(),
                        },
                    },
                };
                tree.items.insert(path.to_owned(), item);
                open = Some(path.to_owned());
            } else if let Some(path) = &open {
                if let Some(Item::File { text, .. }) = tree.items.get_mut(path) {
                    text.push_str(line);
                    text.push('\n');
                }
            } else if let Some((key, value)) = line.split_once(": ") {
                tree.keys.insert(key.to_owned(), value.to_owned());
            }
        }
        match tree.keys.get("base").cloned() {
            Some(base) => Self::load(&base).changed_by(tree),
            None => tree,
        }
    }

    fn changed_by(mut self, change: Self) -> Self {
        let drop = change.keys.get("drop").cloned().unwrap_or_default();
        self.items.retain(|path, _| {
            !drop
                .split(' ')
                .any(|start| !start.is_empty() && path.starts_with(start))
        });
        self.items.extend(change.items);
        self.keys.remove("preflight");
        self.keys.extend(change.keys);
        self
    }

    fn lay_out(&self, root: &Path) {
        for (path, item) in &self.items {
            let place = root.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            match item {
                Item::Directory => fs::create_dir_all(&place).unwrap(),
                Item::Link(target) => symlink(target, &place).unwrap(),
                Item::File { text, mode } => {
                    let program = mode.is_some() && text.trim().is_empty();
                    fs::write(&place, if program { PROGRAM } else { text.as_bytes() }).unwrap();
                    if let Some(mode) = mode {
                        fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).unwrap();
                    }
                }
            }
        }
    }

    /// The codes of all problems, in their order.
    fn problems(&self) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        self.lay_out(root.path());
        let mut arguments: Vec<&str> = match self.keys.get("preflight") {
            Some(of) => ["preflight"].into_iter().chain(of.split(' ')).collect(),
            None => vec!["doctor", "--as", &self.keys["as"]],
        };
        arguments.extend(["-o", "json", "--host-root", root.path().to_str().unwrap()]);
        let outcome = criscope(arguments).outcome();
        let report: Value = serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|error| panic!("{error}: {outcome}"));
        let findings = report["findings"].as_array().unwrap();
        findings
            .iter()
            .filter(|finding| matches!(finding["status"].as_str(), Some("fail" | "warn")))
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Every case whose name begins so.
#[track_caller]
fn judge(start: &str, at_least: usize) {
    let mut names: Vec<String> = fs::read_dir(cases())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| Some(name.strip_suffix(".tree")?.to_owned()))
        .filter(|name| name.starts_with(start))
        .collect();
    names.sort();
    assert!(names.len() >= at_least, "only {} cases", names.len());
    let wrong: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let tree = Tree::load(name);
            let problems = tree.problems();
            let first = problems.first().map_or("none", String::as_str);
            let expected = &tree.keys["first"];
            let fits = expected.split(' ').any(|code| code == first);
            (!fits).then(|| format!("{name}: {expected} expected, found {problems:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn default_trees_of_distributions_have_no_problem() {
    judge("default-", 20);
}

#[test]
fn the_first_finding_is_the_cause() {
    judge("broken-", 60);
}

#[test]
fn before_a_move_the_first_finding_is_what_stops_it() {
    judge("preflight-", 12);
}
