//! Reports side by side: one node at two times, or many nodes at once. What differs comes first, the rarest difference
//! before the others.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::finding::{API_VERSION, Code, Severity};
use super::{Report, Status};

/// Reports side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// `criscope/v1`.
    pub api_version: String,
    /// `Comparison`.
    pub kind: String,
    /// Whether all reports are about one node.
    pub one_node: bool,
    /// The reports, in the order given.
    pub nodes: Vec<Node>,
    /// Checks that differ or are problems, what differs first.
    pub rows: Vec<Row>,
    /// How many checks are alike and no problem.
    pub alike: usize,
}

/// A report, as a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The node.
    pub host: String,
    /// Its runtime, with version.
    pub runtime: String,
    /// When the facts were gathered.
    pub started_at: String,
}

/// A check, as a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The check.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// How it ended in each report; none where the report does not say, which is mostly because it passed.
    pub statuses: Vec<Option<Status>>,
    /// The reports in which it ended otherwise than in most.
    pub outliers: Vec<usize>,
    /// What the first outlier, or the first problem, says.
    pub message: Option<String>,
}

impl Row {
    /// Whether the reports differ.
    pub fn differs(&self) -> bool {
        !self.outliers.is_empty()
    }
}

/// Puts reports side by side.
pub fn compare(reports: &[Report]) -> Comparison {
    let judged: Vec<BTreeMap<&Code, Status>> = reports.iter().map(statuses).collect();
    let codes: BTreeSet<&Code> = judged.iter().flat_map(|all| all.keys().copied()).collect();
    let mut rows = Vec::new();
    let mut alike = 0;
    for code in codes {
        let statuses: Vec<Option<Status>> =
            judged.iter().map(|all| all.get(code).copied()).collect();
        let outliers = outliers(&statuses);
        let problem = statuses.iter().flatten().any(|status| status.is_problem());
        if outliers.is_empty() && !problem {
            alike += 1;
            continue;
        }
        let of = |index: usize| {
            reports[index]
                .findings
                .iter()
                .filter(|finding| finding.code == *code)
                .max_by_key(|finding| finding.status)
        };
        let telling = outliers
            .iter()
            .copied()
            .chain(0..reports.len())
            .find_map(|index| of(index).filter(|finding| finding.status != Status::Pass));
        let severity = (0..reports.len())
            .find_map(|index| of(index).map(|finding| finding.severity))
            .unwrap_or(Severity::Info);
        rows.push(Row {
            code: code.clone(),
            severity,
            statuses,
            outliers,
            message: telling.map(|finding| finding.message.clone()),
        });
    }
    rows.sort_by_key(|row| {
        (
            !row.differs(),
            row.outliers.len(),
            row.severity,
            row.code.clone(),
        )
    });
    let hosts: BTreeSet<&str> = reports.iter().map(|report| report.host.as_str()).collect();
    Comparison {
        api_version: API_VERSION.to_owned(),
        kind: "Comparison".to_owned(),
        one_node: hosts.len() == 1,
        nodes: reports.iter().map(node).collect(),
        rows,
        alike,
    }
}

fn node(report: &Report) -> Node {
    let name = report.runtime.name.as_deref().unwrap_or("no runtime");
    let version = report.runtime.version.as_deref().unwrap_or_default();
    Node {
        host: report.host.clone(),
        runtime: format!("{name} {version}").trim_end().to_owned(),
        started_at: report.started_at.clone(),
    }
}

/// How each check ended; its worst finding counts.
fn statuses(report: &Report) -> BTreeMap<&Code, Status> {
    let mut all = BTreeMap::new();
    for finding in &report.findings {
        let status = all.entry(&finding.code).or_insert(finding.status);
        *status = finding.status.max(*status);
    }
    all
}

/// Those that are not as most are. What a report does not say counts as passed; of two different reports the second is
/// the outlier.
fn outliers(statuses: &[Option<Status>]) -> Vec<usize> {
    let plain = |status: &Option<Status>| match status {
        None | Some(Status::Skip) => Status::Pass,
        Some(status) => *status,
    };
    let mut counts: BTreeMap<Status, usize> = BTreeMap::new();
    for status in statuses {
        *counts.entry(plain(status)).or_default() += 1;
    }
    let Some(first) = statuses.first().map(plain) else {
        return Vec::new();
    };
    let most = counts.values().copied().max().unwrap_or(0);
    let usual = if counts.get(&first) == Some(&most) {
        first
    } else {
        counts
            .into_iter()
            .find(|(_, count)| *count == most)
            .map_or(first, |(status, _)| status)
    };
    statuses
        .iter()
        .enumerate()
        .filter(|(_, status)| plain(status) != usual)
        .map(|(index, _)| index)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{healthy, node};
    use super::super::{Profile, Scope, examine};
    use super::*;
    use crate::facts::{Fact, Facts};

    fn report(facts: &Facts, host: &str) -> Report {
        let mut report = examine(facts, &Scope::of(Profile::Health));
        report.host = host.to_owned();
        report
    }

    fn broken() -> Facts {
        node(|facts| {
            if let Fact::Known { value, .. } = &mut facts.cri.status {
                value
                    .conditions
                    .iter_mut()
                    .for_each(|one| one.status = one.kind != "NetworkReady");
            }
        })
    }

    #[test]
    fn the_rarest_difference_is_first() {
        let all = [
            report(&healthy(), "a"),
            report(&broken(), "b"),
            report(&healthy(), "c"),
        ];
        let found = compare(&all);
        assert!(!found.one_node);
        assert_eq!(found.rows[0].code.as_str(), "cri-network-ready");
        assert_eq!(found.rows[0].outliers, [1]);
        assert!(found.rows[0].message.is_some());
    }

    #[test]
    fn one_node_at_two_times() {
        let found = compare(&[report(&healthy(), "a"), report(&broken(), "a")]);
        assert!(found.one_node && found.rows[0].differs());
        let same = compare(&[report(&broken(), "a"), report(&broken(), "a")]);
        assert!(!same.rows.is_empty() && same.rows.iter().all(|row| !row.differs()));
    }
}
