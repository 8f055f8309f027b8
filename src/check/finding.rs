//! What a check found, as other people's scripts read it: the `Report` document and everything in it.
//!
//! The JSON is a contract (`docs/schema/report.json`): every key is always there, `null` where nothing is known, and
//! new keys may be added. Texts are as found; control characters are dealt with at rendering.

mod note;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::facts::Source;

pub use note::Note;

/// The version of every document that criscope writes.
pub const API_VERSION: &str = "criscope/v1";

/// The stable name of a check: kebab-case, at most 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Code(Cow<'static, str>);

/// A text that cannot be the name of a check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no code: expected lowercase words joined by `-`, as in `cri-plugin-loaded`")]
pub struct NotACode(String);

impl Code {
    /// A code that is written in the table.
    pub const fn of_table(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    /// The code as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Code {
    type Err = NotACode;

    fn from_str(text: &str) -> Result<Self, NotACode> {
        let word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if text.len() <= 64 && text.split('-').all(word) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(NotACode(text.chars().take(80).collect()))
        }
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares a closed set of words: the enum, its names in JSON and on the command line, and the list of all.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in JSON and on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

words! {
    /// What part of a node a check is about; in the order in which they are shown.
    Area {
        /// Sockets, and who is behind them.
        Endpoint = "endpoint",
        /// What the runtime answers.
        Cri = "cri",
        /// Configuration files of runtimes and their units.
        Config = "config",
        /// Where images are pulled from.
        Registry = "registry",
        /// Images on the node.
        Image = "image",
        /// Control groups.
        Cgroup = "cgroup",
        /// Pod networks.
        Cni = "cni",
        /// The kernel: modules, sysctls, limits.
        Kernel = "kernel",
        /// File systems.
        Storage = "storage",
        /// The kubelet.
        Kubelet = "kubelet",
        /// What Docker left behind or has not handed over.
        DockerLeftover = "docker-leftover",
        /// Who may do what.
        Security = "security",
    }
}

words! {
    /// How much a failed check matters; the worst first.
    Severity {
        /// The node or a daemon cannot work.
        Critical = "critical",
        /// Workloads break.
        High = "high",
        /// Something is degraded, or breaks at the next upgrade.
        Medium = "medium",
        /// Hygiene.
        Low = "low",
        /// Worth knowing.
        Info = "info",
    }
}

words! {
    /// How a check ended; from good to bad. Not having seen is not having passed.
    Status {
        /// It is as it should be.
        Pass = "pass",
        /// It does not concern this node, or a cause that is reported makes it pointless.
        Skip = "skip",
        /// It could not be found out.
        Unknown = "unknown",
        /// It will hurt one day, or a little.
        Warn = "warn",
        /// It hurts.
        Fail = "fail",
    }
}

impl Status {
    /// Whether something is wrong.
    pub fn is_problem(self) -> bool {
        matches!(self, Self::Warn | Self::Fail)
    }

    /// A problem no worse than `most`. What could not be found out stays so: not having seen is not having passed.
    #[must_use]
    pub fn at_most(self, most: Self) -> Self {
        if self.is_problem() {
            self.min(most)
        } else {
            self
        }
    }
}

/// A change of one line in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The file, as the node sees it.
    pub path: String,
    /// The line that is replaced, from 1; for an empty `old` the line in front of which `new` is put.
    pub line: usize,
    /// What stands there; nothing for an insertion.
    pub old: String,
    /// What should stand there; may have several lines, nothing for a deletion.
    pub new: String,
}

/// What to do about a finding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// One sentence.
    pub text: String,
    /// The change of a file that would do it.
    pub edit: Option<Edit>,
    /// Commands to type, in order.
    pub commands: Vec<String>,
}

/// A piece of evidence: what was seen where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where it was seen.
    pub source: Source,
    /// What was seen, in a few words.
    pub text: String,
}

/// One verdict about one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The check.
    pub code: Code,
    /// What part of the node it is about.
    pub area: Area,
    /// What is true when the check passes.
    pub title: String,
    /// How much it matters.
    pub severity: Severity,
    /// How it ended.
    pub status: Status,
    /// What it is about: a socket, a file, a pod; nothing if it is the node.
    pub subject: Option<String>,
    /// What was found, in one sentence.
    pub message: String,
    /// The runtime's own words, verbatim.
    pub runtime_says: Option<String>,
    /// What was measured, in a form for machines.
    pub measured: Option<Value>,
    /// What it should have been.
    pub expected: Option<String>,
    /// Where it was seen first.
    pub source: Option<Source>,
    /// What to do.
    pub remedy: Option<Remedy>,
    /// What else was seen.
    pub evidence: Vec<Evidence>,
    /// Since when it is so, RFC 3339, where that can be known.
    pub since: Option<String>,
    /// How long the measurement took, in milliseconds, where that says something.
    pub duration_ms: Option<f64>,
}

/// The runtime that a report is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// What it calls itself.
    pub name: Option<String>,
    /// Its version, verbatim.
    pub version: Option<String>,
    /// The version of CRI that was spoken.
    pub api: Option<String>,
    /// Where it listens.
    pub endpoint: Option<String>,
}

/// How many checks ended how. A check with several findings counts as its worst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// As they should be.
    pub pass: usize,
    /// Warnings.
    pub warn: usize,
    /// Failures.
    pub fail: usize,
    /// Without meaning on this node.
    pub skip: usize,
    /// Not to be found out.
    pub unknown: usize,
    /// Set aside by a policy.
    pub waived: usize,
}

impl Summary {
    /// Counts one more.
    pub fn add(&mut self, status: Status) {
        *match status {
            Status::Pass => &mut self.pass,
            Status::Skip => &mut self.skip,
            Status::Unknown => &mut self.unknown,
            Status::Warn => &mut self.warn,
            Status::Fail => &mut self.fail,
        } += 1;
    }

    /// How many there are in all.
    pub fn total(&self) -> usize {
        self.pass + self.warn + self.fail + self.skip + self.unknown + self.waived
    }
}

/// What a policy set aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Waived {
    /// How many checks.
    pub count: usize,
    /// In how many days the first of these rules ends; none if none ends.
    pub ends_in: Option<i32>,
}

impl Waived {
    /// Counts one more.
    pub fn add(&mut self, ends_in: Option<i32>) {
        self.count += 1;
        self.ends_in = match (self.ends_in, ends_in) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

/// The document that every examination ends in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `criscope/v1`.
    pub api_version: String,
    /// `Report`.
    pub kind: ReportKind,
    /// The version of criscope that judged.
    pub tool: String,
    /// The node.
    pub host: String,
    /// Its runtime.
    pub runtime: Runtime,
    /// When the facts were gathered, RFC 3339.
    pub started_at: String,
    /// How long that took, in milliseconds.
    pub duration_ms: Option<f64>,
    /// Which set of checks it was.
    pub profile: String,
    /// The date of the built-in knowledge about versions that was used.
    pub data_date: String,
    /// What was found, causes before consequences, then the worst first.
    pub findings: Vec<Finding>,
    /// The sum over all checks, shown or not.
    pub summary: Summary,
    /// What a policy set aside.
    #[serde(default)]
    pub waived: Waived,
    /// Commands worth typing next.
    pub next: Vec<String>,
}

/// The kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportKind {
    /// The only one.
    Report,
}

impl Report {
    /// The worst status of all checks, [`Status::Pass`] if there are none.
    pub fn worst(&self) -> Status {
        let summary = &self.summary;
        match summary {
            Summary { fail: 1.., .. } => Status::Fail,
            Summary { warn: 1.., .. } => Status::Warn,
            Summary { unknown: 1.., .. } => Status::Unknown,
            _ => Status::Pass,
        }
    }

    /// Whether something that matters (critical or high) could not be found out.
    pub fn is_blind(&self) -> bool {
        self.blind_spots().next().is_some()
    }

    /// What matters (critical or high) and could not be found out.
    pub fn blind_spots(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| {
            finding.status == Status::Unknown && finding.severity <= Severity::High
        })
    }

    /// Leaves out what passed and what does not concern this node; the sum still counts it.
    pub fn hide_what_passed(&mut self) {
        self.findings
            .retain(|finding| !matches!(finding.status, Status::Pass | Status::Skip));
    }

    /// Findings that say that something is wrong.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.status.is_problem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kebab_case() {
        for good in ["cri-v1", "a", "registry-mirrors-220"] {
            assert!(good.parse::<Code>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "a_b", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<Code>().is_err(), "{bad}");
        }
    }

    #[test]
    fn words_are_the_same_in_json_and_on_the_command_line() {
        for area in Area::ALL {
            assert_eq!(serde_json::to_value(area).unwrap(), area.name());
        }
        for severity in Severity::ALL {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
    }

    #[test]
    fn the_worst_decides() {
        let mut report = Report {
            api_version: API_VERSION.to_owned(),
            kind: ReportKind::Report,
            tool: String::new(),
            host: String::new(),
            runtime: Runtime::default(),
            started_at: String::new(),
            duration_ms: None,
            profile: String::new(),
            data_date: String::new(),
            findings: Vec::new(),
            summary: Summary::default(),
            waived: Waived::default(),
            next: Vec::new(),
        };
        assert_eq!(report.worst(), Status::Pass);
        for (status, expected) in [
            (Status::Skip, Status::Pass),
            (Status::Unknown, Status::Unknown),
            (Status::Warn, Status::Warn),
            (Status::Unknown, Status::Warn),
            (Status::Fail, Status::Fail),
        ] {
            report.summary.add(status);
            assert_eq!(report.worst(), expected);
        }
        assert_eq!(report.summary.total(), 5);
    }
}
