//! What is wrong with the registry configuration of a node: everything that its files and a version can show, in one
//! pass, like a compiler.
//!
//! [`lint`] is pure. A remark carries data – code, place, the runtime's own words, a correction – and no layout; how
//! grave each kind is and what it means in general stands in the table of [`Code`]s. What would still be wrong after
//! the corrections is found by applying them and looking again.

mod code;
mod containerd;
mod crio;
mod docker;
mod hosts;
mod mirrors;
mod schema;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::declared::Declared;
use super::text::{Lines, Place};
use super::tree::Entry;
use super::version::{RuntimeId, RuntimeName};

pub use code::{Code, Severity};

/// Something that the files of a node get wrong, or that is worth knowing about them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remark {
    /// What kind of fault it is.
    pub code: Code,
    /// How grave it is here.
    pub severity: Severity,
    /// Where it is; `None` if it is about something that is nowhere written.
    pub place: Option<Place>,
    /// What is wrong, in one clause.
    pub message: String,
    /// Why it matters: what the runtime does with it.
    pub why: String,
    /// What the runtime says about it, verbatim; `None` if it says nothing.
    pub runtime_says: Option<String>,
    /// What to do.
    pub remedy: Remedy,
    /// Other places that belong to it.
    pub related: Vec<Related>,
    /// Whether it only shows once the corrections of the other remarks are made.
    pub after_correction: bool,
}

/// What to do about a [`Remark`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// In words.
    pub text: String,
    /// As a change of a file, where it is certain enough.
    pub edit: Option<Edit>,
}

/// A change of whole lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The line as it is.
    pub old: String,
    /// What should stand there; may have several lines.
    pub new: String,
}

/// A place that belongs to a [`Remark`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// Everything that is wrong with the files of a node under a runtime of one version; the gravest first.
pub fn lint(declared: &Declared, runtime: &RuntimeId) -> Vec<Remark> {
    let mut remarks = once(declared, runtime);
    let (corrected, changed) = corrected(declared, &remarks);
    if changed {
        let mut known: HashSet<_> = remarks
            .iter()
            .map(|remark| (remark.code, remark.message.clone(), remark.place.clone()))
            .collect();
        for mut remark in once(&corrected, runtime) {
            if known.insert((remark.code, remark.message.clone(), remark.place.clone())) {
                remark.after_correction = true;
                // The place is one of the corrected text; a correction of it could not be applied to the file.
                remark.remedy.edit = None;
                remarks.push(remark);
            }
        }
    }
    remarks.sort_by(|a, b| {
        let rank = |remark: &Remark| (remark.after_correction, remark.severity, remark.code);
        rank(a).cmp(&rank(b)).then_with(|| a.place.cmp(&b.place))
    });
    remarks
}

fn once(declared: &Declared, runtime: &RuntimeId) -> Vec<Remark> {
    let mut lint = Lint {
        declared,
        runtime,
        lines: Lines::of(&declared.tree),
        remarks: Vec::new(),
    };
    match runtime.name {
        RuntimeName::Containerd => containerd::check(&mut lint),
        RuntimeName::Crio => crio::check(&mut lint),
        RuntimeName::Docker => docker::check(&mut lint),
    }
    lint.remarks
}

/// The tree with the corrections made that change which tables are in force.
fn corrected(declared: &Declared, remarks: &[Remark]) -> (Declared, bool) {
    let mut after = declared.clone();
    let mut changed = false;
    let structural = |code| {
        matches!(
            code,
            Code::ContainerdSingularTable
                | Code::ContainerdUnknownKey
                | Code::ContainerdConfigVersion
        )
    };
    let mut edits: BTreeMap<&Path, Vec<&Edit>> = BTreeMap::new();
    for remark in remarks.iter().filter(|remark| structural(remark.code)) {
        if let Some(edit) = &remark.remedy.edit {
            edits.entry(&edit.path).or_default().push(edit);
        }
    }
    for (path, edits) in edits {
        let Some(text) = declared.tree.text(path) else {
            continue;
        };
        // Lines are only replaced one for one, so that the places of the rest stay true.
        let mut lines: Vec<&str> = text.lines().collect();
        for edit in edits {
            if !edit.new.contains('\n')
                && let Some(line) = lines.get_mut(edit.line - 1)
                && *line == edit.old
            {
                *line = &edit.new;
                changed = true;
            }
        }
        after.tree.insert(
            path,
            Entry::Text {
                text: lines.join("\n") + "\n",
            },
        );
    }
    (after, changed)
}

/// A pass over the files: collects remarks.
struct Lint<'d> {
    declared: &'d Declared,
    runtime: &'d RuntimeId,
    lines: Lines<'d>,
    remarks: Vec<Remark>,
}

impl<'d> Lint<'d> {
    fn holds(&self, rule: super::rules::Rule) -> bool {
        self.declared.rules().holds(rule, self.runtime)
    }

    /// Adds a remark; the returned value adds to it.
    fn add(
        &mut self,
        code: Code,
        place: impl Into<Option<Place>>,
        message: impl Into<String>,
    ) -> Draft<'_, 'd> {
        let at = self.remarks.len();
        self.remarks.push(Remark {
            code,
            severity: code.severity(),
            place: place.into(),
            message: message.into(),
            why: String::new(),
            runtime_says: None,
            remedy: Remedy {
                text: code.remedy().to_owned(),
                edit: None,
            },
            related: Vec::new(),
            after_correction: false,
        });
        Draft {
            lines: &self.lines,
            remark: &mut self.remarks[at],
        }
    }

    fn text(&self, path: &Path) -> Option<&'d str> {
        self.declared.tree.text(path)
    }
}

/// A remark that is being written.
struct Draft<'l, 'd> {
    lines: &'l Lines<'d>,
    remark: &'l mut Remark,
}

impl Draft<'_, '_> {
    fn severity(self, severity: Severity) -> Self {
        self.remark.severity = severity;
        self
    }

    fn why(self, why: impl Into<String>) -> Self {
        self.remark.why = why.into();
        self
    }

    fn says(self, says: impl Into<String>) -> Self {
        self.remark.runtime_says = Some(says.into());
        self
    }

    fn remedy(self, text: impl Into<String>) -> Self {
        self.remark.remedy.text = text.into();
        self
    }

    fn related(self, message: impl Into<String>, place: &Place) -> Self {
        self.remark.related.push(Related {
            message: message.into(),
            place: place.clone(),
        });
        self
    }

    /// Proposes to replace the characters at a place by others.
    fn replace(self, place: &Place, new: &str) -> Self {
        self.rewrite(place, |line| {
            let before: String = line.chars().take(place.column - 1).collect();
            let after: String = line.chars().skip(place.column - 1 + place.length).collect();
            format!("{before}{new}{after}")
        })
    }

    /// Proposes another text for the line of a place.
    fn rewrite(self, place: &Place, new: impl FnOnce(&str) -> String) -> Self {
        if let Some(line) = self.lines.line(&place.path, place.line) {
            self.remark.remedy.edit = Some(Edit {
                path: place.path.to_path_buf(),
                line: place.line,
                old: line.to_owned(),
                new: new(line),
            });
        }
        self
    }
}

/// A place in words: `/etc/containerd/config.toml:3`.
fn at(place: &Place) -> String {
    format!("{}:{}", place.path.display(), place.line)
}

/// The whole of a path as a place.
fn whole(path: &Path) -> Place {
    Place {
        path: Arc::from(path),
        line: 1,
        column: 1,
        length: 0,
    }
}
