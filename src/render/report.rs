//! Reports of an examination: one file per format. Each takes a report and plain arguments and gives back bytes; none
//! knows the clock, the terminal or the command line.

pub mod list;
pub mod text;

use crate::check::Status;

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
