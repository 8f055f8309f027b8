//! Judges, never looks: facts become findings. A static table of checks, each a pure function.
//!
//! Adding a check is one function, one line in the table of its area, one fixture that triggers it and one that does
//! not (`check/fixtures`). Checks depend on facts, never on each other: an absent fact skips, an unknown one leaves
//! unknown. That a consequence is silent when its cause is known is said in the table, not in code.

pub mod case;
mod cgroup;
mod classic;
mod cni;
pub mod compare;
mod config;
pub mod cri;
mod daemon;
mod docker;
pub mod endpoint;
mod expected;
pub mod finding;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod handlers;
pub mod image;
mod kernel;
pub mod knowledge;
mod kubelet;
pub mod migration;
mod order;
pub mod policy;
mod reach;
mod registry;
pub mod remark;
pub mod scope;
mod security;
pub mod state;
mod storage;
pub mod subject;
mod told;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::facts::{Facts, Gap};

pub use case::Case;
pub use finding::{Area, Code, Finding, Note, Report, Severity, Status, Summary};
pub use scope::{Profile, Scope};

use finding::{API_VERSION, ReportKind, Runtime, Waived};

/// What a check makes of a node: notes, or why there is nothing to judge.
pub type Judged = Result<Outcome, Gap>;

/// The notes of a check, one for each subject. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome(Vec<Note>);

impl From<Note> for Outcome {
    fn from(note: Note) -> Self {
        Self(vec![note])
    }
}

impl Outcome {
    /// The problems, or the note that there are none.
    pub fn of(problems: Vec<Note>, pass: impl Into<String>) -> Self {
        if problems.is_empty() {
            Note::pass(pass).into()
        } else {
            Self(problems)
        }
    }
}

impl From<Note> for Judged {
    fn from(note: Note) -> Self {
        Ok(note.into())
    }
}

impl From<Outcome> for Judged {
    fn from(outcome: Outcome) -> Self {
        Ok(outcome)
    }
}

/// A check of the table.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its stable name.
    pub code: &'static str,
    /// What is true when it passes.
    pub title: &'static str,
    /// What part of the node it is about.
    pub area: Area,
    /// How much it matters when it fails.
    pub severity: Severity,
    /// The sets that it belongs to.
    pub profiles: &'static [Profile],
    /// What is looked at, and when it warns or fails. For `explain` and the documentation.
    pub rule: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do, where there is more to say than with the finding.
    pub remedy: &'static str,
    /// Where it was met in the field: `project#number`.
    pub seen: &'static [&'static str],
    /// Codes that, when they fail, leave nothing to be said here: the finding is silent.
    pub silenced_by: &'static [&'static str],
    /// Codes that, when they are problems too, are the cause of this one and are shown before it.
    pub caused_by: &'static [&'static str],
    /// Codes that, when they are problems too and the runtime's words fit, say all that is to be said: the finding is
    /// silent.
    pub explained_by: &'static [&'static str],
    /// The judgement.
    pub judge: Judge,
}

/// How a check comes to its judgement.
#[derive(Debug, Clone, Copy)]
pub enum Judge {
    /// By a function.
    By(fn(&Case<'_>) -> Judged),
    /// By what the lint of configuration files says under a code.
    Lint(crate::registry::lint::Code),
}

impl Check {
    /// What most entries have in common.
    const BLANK: Self = Self {
        code: "",
        title: "",
        area: Area::Endpoint,
        severity: Severity::Medium,
        profiles: scope::NODE,
        rule: "",
        why: "",
        remedy: "",
        seen: &[],
        silenced_by: &[],
        caused_by: &[],
        explained_by: &[],
        judge: Judge::By(|_| Err(Gap::Absent(String::new()))),
    };
}

/// The table: all checks in the order of their areas.
pub fn table() -> impl Iterator<Item = &'static Check> + Clone {
    static TABLE: LazyLock<Vec<Check>> = LazyLock::new(|| {
        let mut all = [
            endpoint::CHECKS,
            cri::CHECKS,
            handlers::CHECKS,
            config::CHECKS,
            config::units::CHECKS,
            config::crio::CHECKS,
            config::environment::CHECKS,
            image::CHECKS,
            cgroup::CHECKS,
            cni::CHECKS,
            kernel::CHECKS,
            storage::CHECKS,
            subject::CHECKS,
            classic::CHECKS,
            kubelet::CHECKS,
            docker::CHECKS,
            security::CHECKS,
            daemon::CHECKS,
            migration::CHECKS,
            migration::upgrade::CHECKS,
            expected::CHECKS,
            reach::CHECKS,
        ]
        .concat();
        all.extend(registry::checks());
        all.sort_by_key(|check| check.area);
        all
    });
    TABLE.iter()
}

/// The check with this code.
pub fn find(code: &str) -> Option<&'static Check> {
    table().find(|check| check.code == code)
}

/// Judges the facts about a node.
pub fn examine(facts: &Facts, scope: &Scope) -> Report {
    let case = Case::new(facts);
    let mut judged: Vec<(&'static Check, Vec<Note>)> = table()
        .filter(|check| scope.includes(check))
        .map(|check| (check, notes(check, &case)))
        .collect();
    let mut waived = Waived::default();
    // What the site and the user make of it, the user last. A failure that is still told, were it as a warning, silences
    // what comes of it; one that was set aside only what could not be seen because of it.
    let (mut failed, mut tolerated) = (BTreeSet::new(), BTreeSet::new());
    let mut aside = Vec::new();
    for (check, notes) in &mut judged {
        let fails = |notes: &[Note]| notes.iter().any(|note| note.status == Status::Fail);
        let failed_before = fails(notes);
        let policy = scope.policy.as_ref();
        let set_aside = policy.and_then(|policy| policy.apply(check, notes, &facts.taken_at));
        notes.iter_mut().for_each(|note| scope.cap(check, note));
        let is_told = notes.iter().any(|note| note.status.is_problem());
        if (failed_before || fails(notes)) && is_told {
            failed.insert(check.code);
        } else if failed_before {
            tolerated.insert(check.code);
        }
        aside.push(set_aside.map(|ends_in| waived.add(ends_in)).is_some());
    }
    order::silence(&mut judged, &failed, &tolerated);
    let mut summary = Summary::default();
    let mut findings = Vec::new();
    let mut edges = order::Edges::new();
    for ((check, notes), aside) in judged.into_iter().zip(aside) {
        if aside {
            summary.waived += 1;
        } else {
            let worst = notes.iter().map(|note| note.status).max();
            summary.add(worst.unwrap_or(Status::Pass));
        }
        for note in notes {
            let causes = edges.entry(check.code).or_default();
            causes.extend(note.because.iter().copied());
            findings.push(finding(check, note));
        }
    }
    order::sort(&mut findings, &edges);
    let next = next(&findings);
    if !scope.all {
        findings.retain(|finding| !matches!(finding.status, Status::Pass | Status::Skip));
    }
    Report {
        api_version: API_VERSION.to_owned(),
        kind: ReportKind::Report,
        tool: facts.tool.clone(),
        host: facts.host.name.value().cloned().unwrap_or_default(),
        runtime: runtime(facts),
        started_at: facts.taken_at.clone(),
        duration_ms: (facts.duration_ms > 0.0).then_some(facts.duration_ms),
        profile: scope.profile.name().to_owned(),
        data_date: knowledge::date().to_owned(),
        findings,
        summary,
        waived,
        next,
    }
}

fn notes(check: &Check, case: &Case<'_>) -> Vec<Note> {
    let judged = match check.judge {
        Judge::By(judge) => judge(case),
        Judge::Lint(code) => registry::judge(code, case),
    };
    match judged {
        Ok(Outcome(notes)) => notes,
        Err(Gap::Absent(what)) => vec![Note::new(Status::Skip, what)],
        Err(Gap::Unknown(reason)) => vec![Note::unknown(reason)],
    }
}

fn finding(check: &Check, note: Note) -> Finding {
    Finding {
        code: Code::of_table(check.code),
        area: check.area,
        title: check.title.to_owned(),
        severity: note.severity.unwrap_or(check.severity),
        status: note.status,
        subject: note.subject,
        message: note.message,
        runtime_says: note.runtime_says,
        measured: note.measured,
        expected: note.expected,
        source: note.source,
        remedy: remedy(check, note.status, note.remedy),
        evidence: note.evidence,
        since: note.since,
        duration_ms: note.duration_ms,
    }
}

/// What helps: the words of the note, else those of the table, where something is wrong.
fn remedy(check: &Check, status: Status, own: Option<finding::Remedy>) -> Option<finding::Remedy> {
    let usual =
        || (status.is_problem() && !check.remedy.is_empty()).then(|| check.remedy.to_owned());
    match own {
        Some(mut own) => {
            if own.text.is_empty() {
                own.text = usual().unwrap_or_default();
            }
            Some(own)
        }
        None => usual().map(|text| finding::Remedy {
            text,
            ..finding::Remedy::default()
        }),
    }
}

fn runtime(facts: &Facts) -> Runtime {
    let reported = facts.telling();
    let known = reported.and_then(|endpoint| endpoint.runtime.as_ref());
    let version = facts.cri.version.value();
    Runtime {
        name: version
            .map(|version| version.name.clone())
            .or_else(|| known?.name.clone()),
        version: version
            .map(|version| version.version.clone())
            .or_else(|| known?.version.clone()),
        api: version
            .map(|version| version.api.clone())
            .or_else(|| known?.api.clone()),
        endpoint: reported
            .filter(|endpoint| endpoint.chosen || known.is_some())
            .map(|endpoint| endpoint.endpoint.to_string()),
    }
}

/// Commands worth typing next: what mends the worst problem, what explains it, how to look again.
fn next(findings: &[Finding]) -> Vec<String> {
    let Some(worst) = findings.iter().find(|finding| finding.status.is_problem()) else {
        return Vec::new();
    };
    let mends = worst.remedy.iter().flat_map(|remedy| &remedy.commands);
    mends
        .take(2)
        .cloned()
        .chain([
            format!("criscope explain {}", worst.code),
            "criscope doctor -w".to_owned(),
        ])
        .collect()
}
