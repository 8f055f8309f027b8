//! The binary in crictl's place, and what upstream's suite looks at.

use super::run::Run;
use super::{Outcome, criscope};

/// Runs `criscope crictl` with these words.
pub fn crictl(arguments: &str) -> Run {
    criscope(["crictl"].into_iter().chain(arguments.split_whitespace()))
}

/// Looks at the exit code, and at stdout and stderr by a part of each, or empty.
#[track_caller]
pub fn expect(outcome: &Outcome, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(outcome.code, code, "{outcome}");
    for (text, part) in [(&outcome.stdout, stdout), (&outcome.stderr, stderr)] {
        assert_eq!(text.is_empty(), part.is_empty(), "{outcome}");
        assert!(text.contains(part), "`{part}` is missing: {outcome}");
    }
}
