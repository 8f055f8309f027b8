//! Reports side by side, for people: a matrix of a few nodes, the outliers of many.

use std::collections::BTreeMap;

use crate::check::Status;
use crate::check::compare::{Comparison, Row};
use crate::render::sanitize;

/// So many nodes fit into a matrix.
const MATRIX: usize = 6;
/// So many names of nodes are listed in a row.
const NAMES: usize = 8;

/// The comparison as text.
pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    for (index, node) in comparison.nodes.iter().enumerate() {
        let line = format!(
            "{:>3}  {:<24} {:<28} {}",
            index + 1,
            node.host,
            node.runtime,
            node.started_at
        );
        out.push_str(&sanitize::line(line.trim_end()));
        out.push('\n');
    }
    let (differs, same): (Vec<&Row>, Vec<&Row>) =
        comparison.rows.iter().partition(|row| row.differs());
    out.push_str(&format!(
        "\n{} checks differ, {} are problems everywhere, {} are alike and well\n",
        differs.len(),
        same.len(),
        comparison.alike
    ));
    if !differs.is_empty() {
        out.push('\n');
    }
    let matrix = comparison.nodes.len() <= MATRIX;
    if matrix && !differs.is_empty() {
        let numbers: String = (1..=comparison.nodes.len())
            .map(|number| format!("{number:<9}"))
            .collect();
        out.push_str(
            &format!("{:<32} {:<9} {numbers}\n", "CHECK", "SEVERITY").replace(" \n", "\n"),
        );
    }
    for row in &differs {
        out.push_str(&if matrix {
            line(row)
        } else {
            outliers(row, comparison)
        });
        if let Some(message) = &row.message {
            out.push_str(&format!("    {}\n", sanitize::line(message)));
        }
    }
    if !same.is_empty() {
        out.push_str("\neverywhere:\n");
    }
    for row in same {
        let status = row.statuses.iter().flatten().max().copied();
        let message = row.message.as_deref().unwrap_or_default();
        out.push_str(&format!(
            "{:<8}{:<32} {}\n",
            word(status),
            row.code.as_str(),
            sanitize::line(message)
        ));
    }
    out
}

fn line(row: &Row) -> String {
    let cells: String = row
        .statuses
        .iter()
        .map(|status| format!("{:<9}", word(*status)))
        .collect();
    let line = format!(
        "{:<32} {:<9} {cells}",
        row.code.as_str(),
        row.severity.name()
    );
    format!("{}\n", line.trim_end())
}

/// Who is not as the others are.
fn outliers(row: &Row, comparison: &Comparison) -> String {
    let mut by_status: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for index in &row.outliers {
        let host = comparison
            .nodes
            .get(*index)
            .map_or("?", |node| node.host.as_str());
        let status = row.statuses.get(*index).copied().flatten();
        by_status.entry(word(status)).or_default().push(host);
    }
    let told: Vec<String> = by_status
        .into_iter()
        .map(|(status, hosts)| {
            let more = hosts.len().saturating_sub(NAMES);
            let mut names = hosts.into_iter().take(NAMES).collect::<Vec<_>>().join(", ");
            if more > 0 {
                names.push_str(&format!(" and {more} more"));
            }
            format!("{status}: {names}")
        })
        .collect();
    let rest = row.statuses.len() - row.outliers.len();
    let told = format!(
        "{} ({}): {}; {rest} otherwise",
        row.code,
        row.severity,
        told.join("; ")
    );
    format!("{}\n", sanitize::line(&told))
}

fn word(status: Option<Status>) -> &'static str {
    match status {
        None => "-",
        Some(status) => super::word(status),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;
    use crate::check::compare::compare;

    #[test]
    fn a_matrix_of_a_few_and_the_outliers_of_many() {
        let few = text(&compare(&[cases::healthy(), cases::broken()]));
        assert!(
            few.contains("CHECK") && few.contains("cri-network-ready"),
            "{few}"
        );
        let mut many: Vec<_> = (0..20)
            .map(|number| {
                let mut report = cases::healthy();
                report.host = format!("node-{number}");
                report
            })
            .collect();
        many[7] = cases::broken();
        many[7].host = "odd-one".to_owned();
        let many = text(&compare(&many));
        assert!(
            many.contains("cri-network-ready (high): fail: odd-one; 19 otherwise"),
            "{many}"
        );
    }
}
