//! Reports of an examination: one file per format. Each takes a report and plain arguments and gives back bytes; none
//! knows the clock, the terminal or the command line.

#[cfg(test)]
mod cases;
pub mod comparison;
pub mod github;
pub mod junit;
pub mod list;
pub mod nagios;
pub mod npd;
#[cfg(test)]
mod page;
pub mod prometheus;
pub mod sarif;
pub mod text;

use std::time::Duration;

use crate::check::state::{State, Unseen};
use crate::check::{Report, Status};

/// What is known about a report besides what is in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Situation<'s> {
    /// Warnings count as failures.
    pub strict: bool,
    /// What becomes of it if something that matters could not be seen.
    pub unseen: Unseen,
    /// How old it is and how old it may be, where it was not made just now.
    pub age: Option<(Duration, Duration)>,
    /// Whether it is too old to be believed.
    pub stale: bool,
    /// A remark for people: how old it is, why it is not newer.
    pub remark: Option<&'s str>,
}

impl Situation<'_> {
    /// The state that it amounts to.
    pub fn state(&self, report: &Report) -> State {
        if self.stale {
            State::Unknown
        } else {
            report.state(self.unseen, self.strict)
        }
    }

    /// What the process ends with where a warning is no problem: what was not seen is not covered by it.
    pub fn conclusion(&self, report: &Report) -> State {
        match self.state(report) {
            State::Warning if report.is_blind() && self.unseen == Unseen::Unknown => State::Unknown,
            state => state,
        }
    }
}

/// The sum in words: `1 failed, 2 warnings, 40 passed`. What is zero is left out, except that all passed.
pub fn sum(summary: &crate::check::Summary) -> String {
    let words = [
        (summary.fail, "failed", "failed"),
        (summary.warn, "warning", "warnings"),
        (summary.unknown, "unknown", "unknown"),
        (summary.waived, "waived", "waived"),
        (summary.pass, "passed", "passed"),
        (summary.skip, "skipped", "skipped"),
    ];
    let words: Vec<String> = words
        .iter()
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
        .collect();
    if words.is_empty() {
        "nothing was examined".to_owned()
    } else {
        words.join(", ")
    }
}

/// The word for a status that people read.
pub fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Skip => "skip",
        Status::Unknown => "unknown",
        Status::Warn => "warning",
        Status::Fail => "fail",
    }
}
