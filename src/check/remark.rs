//! What `registry::lint` remarks, as findings of a report: the same words, with the line that is meant.
//!
//! Nothing is judged here. How grave a remark is stands in the table of `registry::lint`; critical and high are
//! failures, the rest are warnings.

use std::path::Path;

use super::finding::{
    API_VERSION, Code, Edit, Evidence, Finding, Remedy, Report, ReportKind, Runtime, Severity,
    Status, Summary,
};
use super::knowledge;
use crate::facts::{FilePlace, Source};
use crate::registry::declared::Declared;
use crate::registry::lint::{self, Remark};
use crate::registry::text::{Lines, Place};
use crate::registry::version::RuntimeId;
use crate::secret::cover;

/// A path as the node sees it, and how it is to be called in the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Where the file lies on a node.
    pub node: String,
    /// What the user calls it.
    pub shown: String,
}

/// Everything about a report that is not a remark.
#[derive(Debug, Clone)]
pub struct Frame<'f> {
    /// Whose rules were applied.
    pub runtime: &'f RuntimeId,
    /// The node's name; empty if no node was looked at.
    pub host: String,
    /// When, RFC 3339.
    pub started_at: String,
    /// Other names of files, the longest path first where one is within another.
    pub aliases: &'f [Alias],
}

/// The remarks as a report.
pub fn report(remarks: &[Remark], declared: &Declared, frame: &Frame<'_>) -> Report {
    let lines = Lines::of(&declared.tree);
    let findings: Vec<Finding> = remarks
        .iter()
        .map(|remark| finding(remark, &lines, frame.aliases))
        .collect();
    let mut summary = Summary::default();
    for finding in &findings {
        summary.add(finding.status);
    }
    let next = match findings.first() {
        None => Vec::new(),
        Some(worst) => vec![format!("criscope explain {}", worst.code)],
    };
    Report {
        api_version: API_VERSION.to_owned(),
        kind: ReportKind::Report,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        host: frame.host.clone(),
        runtime: Runtime {
            name: Some(frame.runtime.name.to_string()),
            version: Some(frame.runtime.version.to_string()),
            api: None,
            endpoint: None,
        },
        started_at: frame.started_at.clone(),
        duration_ms: None,
        profile: "registry".to_owned(),
        data_date: knowledge::date().to_owned(),
        findings,
        summary,
        next,
    }
}

pub(super) fn finding(remark: &Remark, lines: &Lines<'_>, aliases: &[Alias]) -> Finding {
    // Messages and the runtime's words quote addresses as they were written.
    let named = |text: &str| named(&cover::addresses(text), aliases);
    let opaque = opaque(remark, lines);
    let after = if remark.after_correction {
        "once the above is corrected: "
    } else {
        ""
    };
    let message = match remark.why.as_str() {
        "" => format!("{after}{}", remark.message),
        why => format!("{after}{}; {why}", remark.message),
    };
    let severity = severity(remark.severity);
    let edit = remark.remedy.edit.as_ref().map(|edit| {
        let table = lines.table(&edit.path, edit.line);
        Edit {
            path: named(&edit.path.display().to_string()),
            line: edit.line,
            old: covered(table, &edit.old, &opaque),
            new: covered(table, &edit.new, &opaque),
        }
    });
    Finding {
        code: Code::of_table(remark.code.id()),
        area: super::registry::area(remark.code.id()),
        title: remark.code.title().to_owned(),
        severity,
        status: if severity <= Severity::High {
            Status::Fail
        } else {
            Status::Warn
        },
        subject: remark
            .place
            .as_ref()
            .map(|place| named(&place.path.display().to_string())),
        message: named(&message),
        runtime_says: remark.runtime_says.as_deref().map(named),
        measured: None,
        expected: None,
        source: remark
            .place
            .as_ref()
            .map(|place| source(place, lines, aliases, &opaque)),
        remedy: Some(Remedy {
            text: named(&remark.remedy.text),
            edit,
            commands: Vec::new(),
        }),
        evidence: remark
            .related
            .iter()
            .map(|related| Evidence {
                source: source(&related.place, lines, aliases, &opaque),
                text: named(&related.message),
            })
            .collect(),
        since: None,
        duration_ms: None,
    }
}

/// A place with the text of its line, secrets covered.
fn source(place: &Place, lines: &Lines<'_>, aliases: &[Alias], opaque: &[&str]) -> Source {
    // A place of no length at the beginning stands for the whole file.
    let whole = (place.line, place.column, place.length) == (1, 1, 0);
    let line = lines
        .line(&place.path, place.line)
        .filter(|_| !whole)
        .map(|line| covered(lines.table(&place.path, place.line), line, opaque));
    Source::File(FilePlace {
        path: named(&place.path.display().to_string(), aliases),
        line: (!whole).then_some(place.line),
        column: (!whole).then_some(place.column),
        length: (!whole).then_some(place.length),
        excerpt: line,
    })
}

/// A line of a file without secrets, in tables of credentials and of headers without any value.
fn covered(table: Option<&str>, content: &str, opaque: &[&str]) -> String {
    let line = cover::line(table, content);
    cover::words(&line, opaque).into_owned()
}

/// The values of a key that is unknown: it may be the misspelt key of a password.
fn opaque<'t>(remark: &Remark, lines: &Lines<'t>) -> Vec<&'t str> {
    let unknown = matches!(
        remark.code,
        lint::Code::ContainerdUnknownKey
            | lint::Code::CrioUnknownKey
            | lint::Code::RegistryHostsKeys
            | lint::Code::DockerDaemonJson
    );
    let place = remark.place.as_ref().filter(|_| unknown);
    let found = place.and_then(|place| {
        let line = lines.line(&place.path, place.line)?;
        let behind = place.column.saturating_sub(1) + place.length;
        let behind = line
            .char_indices()
            .nth(behind)
            .map_or(line.len(), |at| at.0);
        Some(cover::opaque(line, behind))
    });
    found.unwrap_or_default()
}

/// A text with the paths of a node called by the names that the user knows.
fn named(text: &str, aliases: &[Alias]) -> String {
    aliases.iter().fold(text.to_owned(), |text, alias| {
        text.replace(&alias.node, &alias.shown)
    })
}

pub(super) fn severity(severity: lint::Severity) -> Severity {
    match severity {
        lint::Severity::Critical => Severity::Critical,
        lint::Severity::High => Severity::High,
        lint::Severity::Medium => Severity::Medium,
        lint::Severity::Low => Severity::Low,
        lint::Severity::Info => Severity::Info,
    }
}

/// The corrections as a unified patch without context, for `patch` and `git apply --unidiff-zero`: other lines of a file
/// may hold secrets. What would itself show a secret is left out and counted.
pub fn patch(remarks: &[Remark], declared: &Declared, aliases: &[Alias]) -> (String, usize) {
    let lines = Lines::of(&declared.tree);
    let mut edits: Vec<(&Path, usize, &str, &str, Vec<&str>)> = remarks
        .iter()
        .filter_map(|remark| Some((remark, remark.remedy.edit.as_ref()?)))
        .map(|(remark, edit)| {
            let opaque = opaque(remark, &lines);
            (&*edit.path, edit.line, &*edit.old, &*edit.new, opaque)
        })
        .collect();
    edits.sort_unstable();
    // Two remarks may correct one line; the second could not be applied after the first.
    edits.dedup_by_key(|edit| (edit.0, edit.1));
    let (mut patch, mut hidden) = (String::new(), 0);
    let mut current = None;
    let mut grown = 0_i64;
    for (path, line, old, new, opaque) in edits {
        let table = lines.table(path, line);
        if covered(table, old, &opaque) != old || covered(table, new, &opaque) != new {
            hidden += 1;
            continue;
        }
        if current != Some(path) {
            let shown = named(&path.display().to_string(), aliases);
            patch.push_str(&format!("--- {shown}\n+++ {shown}\n"));
            current = Some(path);
            grown = 0;
        }
        let added = new.lines().count();
        let start = i64::try_from(line).unwrap_or(i64::MAX);
        // A hunk that only takes out begins at the line before, as diff writes it.
        let at = start + grown - i64::from(added == 0);
        patch.push_str(&format!("@@ -{start} +{at},{added} @@\n-{old}\n"));
        for line in new.lines() {
            patch.push_str(&format!("+{line}\n"));
        }
        grown += i64::try_from(added).unwrap_or(0) - 1;
    }
    (patch, hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tree::Tree;

    const CONFIG: &str = "/etc/containerd/config.toml";

    fn linted(text: &str) -> (Vec<Remark>, Declared) {
        let mut tree = Tree::new();
        tree.add_text(CONFIG, text);
        let declared = Declared::new(tree);
        let remarks = lint::lint(&declared, &"containerd@1.7.27".parse().unwrap());
        (remarks, declared)
    }

    fn aliases() -> Vec<Alias> {
        vec![Alias {
            node: CONFIG.into(),
            shown: "my.toml".into(),
        }]
    }

    #[test]
    fn a_remark_as_a_finding() {
        let (remarks, declared) = linted(
            "version = 2\n[plugin.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/c\"\n",
        );
        let runtime = "containerd@1.7.27".parse().unwrap();
        let aliases = aliases();
        let frame = Frame {
            runtime: &runtime,
            host: String::new(),
            started_at: String::new(),
            aliases: &aliases,
        };
        let report = report(&remarks, &declared, &frame);
        let first = &report.findings[0];
        assert_eq!(first.code.as_str(), "containerd-singular-table");
        assert_eq!(
            (first.status, first.severity),
            (Status::Fail, Severity::High)
        );
        assert_eq!(first.subject.as_deref(), Some("my.toml"));
        let Some(Source::File(place)) = &first.source else {
            panic!("{first:?}");
        };
        assert_eq!((place.path.as_str(), place.line), ("my.toml", Some(2)));
        assert!(place.excerpt.as_ref().unwrap().starts_with("[plugin."));
        assert_eq!(report.worst(), Status::Fail);
    }

    #[test]
    fn corrections_as_a_patch() {
        let (remarks, declared) =
            linted("version = 2\n[plugin.\"io.containerd.grpc.v1.cri\".registry]\n");
        let (patch, hidden) = patch(&remarks, &declared, &aliases());
        assert_eq!(hidden, 0);
        assert_eq!(
            patch,
            "--- my.toml\n+++ my.toml\n@@ -2 +2,1 @@\n\
             -[plugin.\"io.containerd.grpc.v1.cri\".registry]\n\
             +[plugins.\"io.containerd.grpc.v1.cri\".registry]\n"
        );
    }

    #[test]
    fn a_secret_is_in_neither() {
        let (remarks, declared) = linted(
            "version = 2\n[plugin.\"io.containerd.grpc.v1.cri\".registry.configs.\"r\".auth]\npassword = \"hunter2\"\npasswort = \"hunter2\" # hunter2\n",
        );
        let runtime = "containerd@1.7.27".parse().unwrap();
        let frame = Frame {
            runtime: &runtime,
            host: String::new(),
            started_at: String::new(),
            aliases: &[],
        };
        let report = report(&remarks, &declared, &frame);
        assert!(!format!("{report:?}").contains("hunter2"));
        assert!(!patch(&remarks, &declared, &[]).0.contains("hunter2"));
    }
}
