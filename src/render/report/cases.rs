//! Reports for the tests of the formats.

use crate::check::finding::{Edit, Remedy};
use crate::check::fixtures::{healthy as healthy_node, node};
use crate::check::{Profile, Report, Scope, examine};
use crate::facts::{Fact, FilePlace, Source};

fn of(facts: &crate::facts::Facts) -> Report {
    let mut scope = Scope::of(Profile::Health);
    scope.all = true;
    let mut report = examine(facts, &scope);
    report.started_at = "2026-11-24T09:00:00.000Z".to_owned();
    report.host = "node-7".to_owned();
    report.duration_ms = Some(212.5);
    report
}

/// Nothing is wrong.
pub fn healthy() -> Report {
    of(&healthy_node())
}

/// The network is not ready.
pub fn broken() -> Report {
    of(&node(|facts| {
        if let Fact::Known { value, .. } = &mut facts.cri.status {
            for condition in &mut value.conditions {
                if condition.kind == "NetworkReady" {
                    condition.status = false;
                    condition.message = "cni plugin not initialized".to_owned();
                }
            }
        }
    }))
}

/// The status could not be asked for.
pub fn blind() -> Report {
    of(&node(|facts| facts.cri.status = Fact::unknown("not asked")))
}

/// One failure, in line 3 of a file, with its correction.
pub fn in_file(path: &str) -> Report {
    let mut report = broken();
    report.findings.truncate(1);
    let finding = &mut report.findings[0];
    finding.source = Some(Source::File(FilePlace {
        path: path.to_owned(),
        line: Some(3),
        column: Some(2),
        length: Some(4),
        excerpt: Some("[plugin]".to_owned()),
    }));
    finding.remedy = Some(Remedy {
        text: "write it out".to_owned(),
        edit: Some(Edit {
            path: path.to_owned(),
            line: 3,
            old: "[plugin]".to_owned(),
            new: "[plugins]".to_owned(),
        }),
        commands: Vec::new(),
    });
    report
}
