//! What a monitoring system makes of a report: one state, and the numbers that stand for it.
//!
//! Nagios and its kin know four states (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: monitoring-plugins.org, development
//! guidelines). node-problem-detector runs the same kind of program but reads 0 as fine, 1 as a problem and everything
//! else as unknown, so one set of numbers cannot serve both.

use serde::{Deserialize, Serialize};

use super::Status;
use super::finding::Report;

/// The state of a service, in the words of monitoring systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Nothing that matters is wrong.
    Ok,
    /// Something will hurt.
    Warning,
    /// Something hurts.
    Critical,
    /// It could not be found out.
    Unknown,
}

/// What becomes of a node where nothing is known to be wrong, but something that matters could not be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unseen {
    /// It is fine.
    Ok,
    /// It is a warning.
    Warn,
    /// It is unknown.
    #[default]
    Unknown,
}

impl State {
    /// The word in the first line of a plugin's output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The exit code that Nagios, Icinga, Naemon and Checkmk expect.
    pub fn nagios(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// The exit code that node-problem-detector expects of a custom plugin. A warning is no problem of the node.
    pub fn npd(self) -> u8 {
        match self {
            Self::Ok | Self::Warning => 0,
            Self::Critical => 1,
            Self::Unknown => 2,
        }
    }
}

impl Report {
    /// The state that the report amounts to: what failed, then what warns, then what could not be seen. As everywhere, only
    /// checks of critical and high severity leave a node unknown.
    pub fn state(&self, unseen: Unseen, strict: bool) -> State {
        match self.worst() {
            Status::Fail => State::Critical,
            Status::Warn if strict => State::Critical,
            Status::Warn => State::Warning,
            _ if !self.is_blind() => State::Ok,
            _ => match unseen {
                Unseen::Ok => State::Ok,
                Unseen::Warn if strict => State::Critical,
                Unseen::Warn => State::Warning,
                Unseen::Unknown => State::Unknown,
            },
        }
    }

    /// The findings of each check, worst status first within a check, checks in the order of their codes.
    pub fn by_check(&self) -> Vec<(&super::Code, Vec<&super::Finding>)> {
        let mut checks: std::collections::BTreeMap<_, Vec<_>> = std::collections::BTreeMap::new();
        for finding in &self.findings {
            checks.entry(&finding.code).or_default().push(finding);
        }
        for findings in checks.values_mut() {
            findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));
        }
        checks.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{healthy, node};
    use super::super::scope::{Profile, Scope};
    use super::super::{examine, finding::Summary};
    use super::*;

    #[track_caller]
    fn case(summary: Summary, unseen: Unseen, strict: bool, expected: State) {
        let mut report = examine(&healthy(), &Scope::of(Profile::Health));
        report.summary = summary;
        assert_eq!(report.state(unseen, strict), expected);
    }

    #[test]
    fn the_worst_decides() {
        let summary = |fail, warn, unknown| Summary {
            fail,
            warn,
            unknown,
            ..Summary::default()
        };
        case(summary(0, 0, 0), Unseen::Unknown, false, State::Ok);
        case(summary(1, 1, 1), Unseen::Unknown, false, State::Critical);
        case(summary(0, 1, 1), Unseen::Unknown, false, State::Warning);
        case(summary(0, 1, 0), Unseen::Unknown, true, State::Critical);
        // What could not be seen is of no account where it does not matter.
        case(summary(0, 0, 1), Unseen::Unknown, false, State::Ok);
    }

    #[test]
    fn what_cannot_be_seen_is_what_the_site_wants_it_to_be() {
        let blind = node(|facts| facts.cri.status = crate::facts::Fact::unknown("not asked"));
        let report = examine(&blind, &Scope::of(Profile::Health));
        assert!(report.is_blind(), "{report:#?}");
        for (unseen, expected) in [
            (Unseen::Ok, State::Ok),
            (Unseen::Warn, State::Warning),
            (Unseen::Unknown, State::Unknown),
        ] {
            assert_eq!(report.state(unseen, false), expected);
        }
        assert!(report.blind_spots().next().is_some());
    }

    #[test]
    fn numbers() {
        let all = [State::Ok, State::Warning, State::Critical, State::Unknown];
        assert_eq!(all.map(State::nagios), [0, 1, 2, 3]);
        assert_eq!(all.map(State::npd), [0, 0, 1, 2]);
    }
}
