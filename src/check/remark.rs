//! What `registry::lint` remarks, as findings of a report: the same words, with the line that is meant.
//!
//! Nothing is judged here. How grave a remark is stands in the table of `registry::lint`; critical and high are
//! failures, the rest are warnings.

use std::collections::BTreeMap;
use std::path::Path;

use super::finding::{
    API_VERSION, Code, Edit, Evidence, Finding, Remedy, Report, ReportKind, Runtime, Severity,
    Status, Summary, Waived,
};
use super::knowledge;
use crate::facts::{FilePlace, Source};
use crate::registry::declared::Declared;
use crate::registry::lint::{self, Remark};
use crate::registry::text::{Lines, Place};
use crate::registry::tree::Entry;
use crate::registry::version::{RuntimeId, RuntimeName};
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
    /// A file that was made up to give the others their meaning.
    pub scaffold: Option<&'f Path>,
}

/// The remarks as a report.
///
/// What could not be read is an unknown finding, and so is it if there was nothing to read. In the sum each file without
/// a fault has passed.
pub fn report(remarks: &[Remark], declared: &Declared, frame: &Frame<'_>) -> Report {
    let lines = Lines::of(&declared.tree);
    let mut findings: Vec<Finding> = remarks
        .iter()
        .map(|remark| finding(remark, &lines, frame.aliases))
        .collect();
    let (examined, unseen) = examined(declared, frame);
    findings.extend(unseen.iter().map(|remark| Finding {
        status: Status::Unknown,
        ..finding(remark, &lines, frame.aliases)
    }));
    let mut summary = Summary::default();
    for finding in &findings {
        summary.add(finding.status);
    }
    let faulty = |path: &Path| {
        let mut places = remarks.iter().filter_map(|remark| remark.place.as_ref());
        places.any(|place| *place.path == *path)
    };
    summary.pass += examined.iter().filter(|path| !faulty(path)).count();
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
        waived: Waived::default(),
        next,
    }
}

/// The files that were read, and as remarks what was not.
fn examined<'d>(declared: &'d Declared, frame: &Frame<'_>) -> (Vec<&'d Path>, Vec<Remark>) {
    let name = frame.runtime.name;
    let mut read = Vec::new();
    let mut unseen = Vec::new();
    let entries = declared
        .tree
        .iter()
        .filter(|(path, _)| concerns(name, path));
    for (path, entry) in entries {
        match entry {
            Entry::Text { text } if !text.trim().is_empty() && frame.scaffold != Some(path) => {
                read.push(path);
            }
            Entry::NotText { .. } => read.push(path),
            Entry::Unreadable { reason } => unseen.push(not_seen(
                name,
                path,
                format!(
                    "{} was not read ({reason}): what it says is not known",
                    path.display()
                ),
            )),
            _ => {}
        }
    }
    if read.is_empty() && unseen.is_empty() {
        unseen.push(not_seen(
            name,
            &declared.containerd_config,
            "there was no file to read: nothing was examined".to_owned(),
        ));
    }
    (read, unseen)
}

/// Whether a path has to do with a runtime, as far as its name tells; certificates are judged where they are named.
fn concerns(name: RuntimeName, path: &Path) -> bool {
    let theirs: &[&str] = match name {
        RuntimeName::Containerd => &["/etc/containers", "/etc/crio", "/etc/docker"],
        RuntimeName::Crio => &["/etc/containerd", "/etc/docker/daemon.json", "/etc/rancher"],
        RuntimeName::Docker => &[
            "/etc/containerd",
            "/etc/containers",
            "/etc/crio",
            "/etc/rancher",
        ],
    };
    let docker_certs = name == RuntimeName::Containerd && path.starts_with("/etc/docker/certs.d");
    let certificate = path.extension().is_some_and(|end| {
        ["crt", "pem", "cer", "cert", "key"]
            .iter()
            .any(|known| end == *known)
    });
    !certificate && (docker_certs || !theirs.iter().any(|theirs| path.starts_with(theirs)))
}

fn not_seen(name: RuntimeName, path: &Path, message: String) -> Remark {
    let hosts = path.components().any(|part| part.as_os_str() == "certs.d");
    let code = match name {
        RuntimeName::Containerd if hosts => lint::Code::RegistryHostsParse,
        RuntimeName::Containerd => lint::Code::ContainerdConfigParse,
        RuntimeName::Crio => lint::Code::CrioConfigParse,
        RuntimeName::Docker => lint::Code::DockerDaemonJson,
    };
    Remark {
        code,
        severity: lint::Severity::High,
        place: Some(Place::start_of(path)),
        message,
        why: String::new(),
        runtime_says: None,
        remedy: lint::Remedy {
            text: "name a file or a directory that can be read".to_owned(),
            edit: None,
        },
        related: Vec::new(),
        after_correction: false,
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

/// Corrections as a patch, and what is not in it.
#[derive(Debug, Default)]
pub struct Patch {
    /// A unified patch without context, for `patch` and `git apply --unidiff-zero`: other lines of a file may hold
    /// secrets.
    pub text: String,
    /// How many corrections would themselves show a secret.
    pub hidden: usize,
    /// Corrections after which something grave would be wrong that is not wrong now: a table that comes into force may
    /// clash with another.
    pub harmful: Vec<Place>,
}

/// A correction: file, line, what stands there, what is to stand there, and words that must not be shown.
type Change<'e> = (&'e Path, usize, &'e str, &'e str, Vec<&'e str>);

/// The most corrections of which each is tried by itself.
const TRIED: usize = 64;

/// The corrections that may be made all together without looking.
pub fn patch(
    remarks: &[Remark],
    declared: &Declared,
    runtime: &RuntimeId,
    aliases: &[Alias],
) -> Patch {
    let lines = Lines::of(&declared.tree);
    let mut edits: Vec<Change<'_>> = remarks
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
    let mut made = Patch::default();
    edits.retain(|(path, line, old, new, opaque)| {
        let table = lines.table(path, *line);
        let shown = covered(table, old, opaque) == *old && covered(table, new, opaque) == *new;
        made.hidden += usize::from(!shown);
        shown
    });
    let now = grave(remarks.iter().filter(|remark| !remark.after_correction));
    let worse = |edits: &[Change<'_>]| {
        let after = lint::lint(&applied(declared, edits), runtime);
        let after = grave(after.iter().filter(|remark| !remark.after_correction));
        let mut counts = after.iter();
        counts.any(|(code, count)| now.get(code).is_none_or(|before| before < count))
    };
    if !edits.is_empty() && worse(&edits) {
        let mut kept = Vec::new();
        for (index, edit) in edits.into_iter().enumerate() {
            let place = Place {
                line: edit.1,
                ..Place::start_of(edit.0)
            };
            kept.push(edit);
            if index >= TRIED || worse(&kept) {
                kept.pop();
                made.harmful.push(place);
            }
        }
        edits = kept;
    }
    for place in &mut made.harmful {
        place.path = Path::new(&named(&place.path.display().to_string(), aliases)).into();
    }
    made.text = unified(&edits, aliases);
    made
}

/// How often each kind of grave fault is remarked.
fn grave<'r>(remarks: impl Iterator<Item = &'r Remark>) -> BTreeMap<lint::Code, usize> {
    let mut counts = BTreeMap::new();
    for remark in remarks.filter(|remark| remark.severity <= lint::Severity::High) {
        *counts.entry(remark.code).or_default() += 1;
    }
    counts
}

/// The files with lines replaced.
fn applied(declared: &Declared, edits: &[Change<'_>]) -> Declared {
    let mut after = declared.clone();
    let mut paths: Vec<&Path> = edits.iter().map(|edit| edit.0).collect();
    paths.dedup();
    for path in paths {
        let Some(text) = declared.tree.text(path) else {
            continue;
        };
        let mut lines: Vec<&str> = text.lines().collect();
        for (_, line, old, new, _) in edits.iter().filter(|edit| edit.0 == path) {
            if let Some(there) = lines.get_mut(line - 1)
                && *there == *old
            {
                *there = new;
            }
        }
        let text = lines.join("\n") + "\n";
        after.tree.insert(path, Entry::Text { text });
    }
    after
}

fn unified(edits: &[Change<'_>], aliases: &[Alias]) -> String {
    let mut patch = String::new();
    let mut current = None;
    let mut grown = 0_i64;
    for &(path, line, old, new, _) in edits {
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
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::state::{State, Unseen};
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
            scaffold: None,
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
        let runtime = "containerd@1.7.27".parse().unwrap();
        let patch = patch(&remarks, &declared, &runtime, &aliases());
        assert_eq!((patch.hidden, patch.harmful.len()), (0, 0));
        assert_eq!(
            patch.text,
            "--- my.toml\n+++ my.toml\n@@ -2 +2,1 @@\n\
             -[plugin.\"io.containerd.grpc.v1.cri\".registry]\n\
             +[plugins.\"io.containerd.grpc.v1.cri\".registry]\n"
        );
    }

    #[test]
    fn a_correction_that_makes_it_worse_is_left_out() {
        let (remarks, declared) = linted(
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/c\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirror.\"docker.io\"]\nendpoint = [\"https://m/v2\"]\n",
        );
        let edits = remarks.iter().filter(|remark| remark.remedy.edit.is_some());
        assert_eq!(edits.count(), 1, "{remarks:#?}");
        let runtime = "containerd@1.7.27".parse().unwrap();
        let patch = patch(&remarks, &declared, &runtime, &aliases());
        assert_eq!(patch.text, "");
        let lines: Vec<_> = patch.harmful.iter().map(|place| place.line).collect();
        assert_eq!(lines, [4]);
        assert_eq!(&*patch.harmful[0].path, Path::new("my.toml"));
    }

    #[test]
    fn what_was_not_read_is_unknown() {
        #[track_caller]
        fn case(entry: Option<Entry>, expected: (usize, usize), state: State) {
            let mut tree = Tree::new();
            tree.insert("/", Entry::Directory { names: Vec::new() });
            if let Some(entry) = entry {
                tree.add(CONFIG.into(), entry);
            }
            let runtime = "containerd@1.7.27".parse().unwrap();
            let frame = Frame {
                runtime: &runtime,
                host: String::new(),
                started_at: String::new(),
                aliases: &[],
                scaffold: None,
            };
            let report = report(&[], &Declared::new(tree), &frame);
            assert_eq!((report.summary.pass, report.summary.unknown), expected);
            assert_eq!(report.state(Unseen::Unknown, false), state);
        }
        let text = |text: &str| Some(Entry::Text { text: text.into() });
        case(None, (0, 1), State::Unknown);
        case(text(" \n"), (0, 1), State::Unknown);
        case(text("version = 2\n"), (1, 0), State::Ok);
        let reason = "larger than 1024 KiB".to_owned();
        case(Some(Entry::Unreadable { reason }), (0, 1), State::Unknown);
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
            scaffold: None,
        };
        let report = report(&remarks, &declared, &frame);
        assert!(!format!("{report:?}").contains("hunter2"));
        let patch = patch(&remarks, &declared, &runtime, &[]);
        assert!(!patch.text.contains("hunter2"));
    }
}
