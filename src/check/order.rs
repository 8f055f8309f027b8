//! Causes before consequences: what is silent because of something else, and in which order the rest is told.
//!
//! Both follow edges of the table (`silenced_by`, `caused_by`), so nothing here knows a particular check.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Evidence, Finding, Note, Severity, Status};
use super::{Check, find};

/// Replaces what a check has to say, if something in `failed` makes it pointless. What passed stays. A failure that is
/// `tolerated` is not told, so it speaks only for what could not be seen because of it, and for no problem.
pub(super) fn silence(
    judged: &mut [(&'static Check, Vec<Note>)],
    failed: &BTreeSet<&str>,
    tolerated: &BTreeSet<&str>,
) {
    explain(judged);
    for (check, notes) in judged.iter_mut() {
        if notes.iter().all(|note| note.status == Status::Pass) {
            continue;
        }
        let by_tolerated = || {
            let is_blind = !notes.iter().any(|note| note.status.is_problem());
            is_blind.then(|| silencer(check, tolerated, &mut BTreeSet::new()))?
        };
        let cause = silencer(check, failed, &mut BTreeSet::new()).or_else(by_tolerated);
        if let Some(cause) = cause {
            *notes = vec![Note::new(
                Status::Skip,
                format!("nothing to be said while `{cause}` fails"),
            )];
        }
    }
}

/// Makes a problem silent where the check that found its cause has one too, and the runtime's words fit both: one fault
/// is told once, at the place where it can be mended, with everything that was seen of it.
fn explain(judged: &mut [(&'static Check, Vec<Note>)]) {
    for at in 0..judged.len() {
        let (check, notes) = &judged[at];
        let Some(problem) = notes.iter().find(|note| note.status.is_problem()) else {
            continue;
        };
        let cause = judged
            .iter()
            .enumerate()
            .find_map(|(cause, (other, notes))| {
                if !check.explained_by.contains(&other.code) {
                    return None;
                }
                let fits = |note: &Note| note.status >= problem.status && agree(note, problem);
                Some((cause, notes.iter().position(fits)?))
            });
        let Some((cause, note)) = cause else {
            continue;
        };
        let problem = problem.clone();
        let told = format!(
            "nothing to be said that `{}` does not",
            judged[cause].0.code
        );
        judged[at].1 = vec![Note::new(Status::Skip, told)];
        let cause = &mut judged[cause].1[note];
        let seen = problem.source.map(|source| Evidence {
            source,
            text: problem.message,
        });
        for evidence in seen.into_iter().chain(problem.evidence) {
            if !cause
                .evidence
                .iter()
                .any(|known| known.text == evidence.text)
            {
                cause.evidence.push(evidence);
            }
        }
        cause.runtime_says = problem.runtime_says.or(cause.runtime_says.take());
        cause.since = cause.since.take().or(problem.since);
        cause.measured = cause.measured.take().or(problem.measured);
    }
}

/// Whether the words that a runtime would say fit those that it said.
fn agree(cause: &Note, failure: &Note) -> bool {
    match (&cause.runtime_says, &failure.runtime_says) {
        (Some(foretold), Some(said)) => said.contains(foretold) || foretold.contains(said),
        _ => true,
    }
}

/// The failed check at the beginning of the chain that silences this one.
fn silencer(
    check: &Check,
    failed: &BTreeSet<&str>,
    seen: &mut BTreeSet<&'static str>,
) -> Option<&'static str> {
    for &code in check.silenced_by {
        if !seen.insert(code) {
            continue;
        }
        let earlier = find(code).and_then(|cause| silencer(cause, failed, seen));
        if let Some(cause) = earlier {
            return Some(cause);
        }
        if failed.contains(code) {
            return Some(code);
        }
    }
    None
}

/// Causes that only this node shows, by the code of what they cause.
pub(super) type Edges = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// How urgent a finding is; the smallest is shown first.
type Rank = (std::cmp::Reverse<Status>, Severity);

/// Sorts: problems first, the worst of them first, but a cause before everything that it explains.
pub(super) fn sort(findings: &mut [Finding], edges: &Edges) {
    let mut ranks: BTreeMap<String, Rank> = BTreeMap::new();
    for finding in findings
        .iter()
        .filter(|finding| finding.status.is_problem())
    {
        let rank = (std::cmp::Reverse(finding.status), finding.severity);
        let known = ranks
            .entry(finding.code.as_str().to_owned())
            .or_insert(rank);
        *known = rank.min(*known);
    }
    // A cause is as urgent as the worst that comes of it. Chains are short: a few rounds settle them.
    for _ in 0..4 {
        for (code, rank) in ranks.clone() {
            for cause in causes(&code, edges) {
                if let Some(known) = ranks.get_mut(cause) {
                    *known = rank.min(*known);
                }
            }
        }
    }
    let depths: BTreeMap<String, usize> = ranks
        .keys()
        .map(|code| (code.clone(), depth(code, &ranks, edges, 0)))
        .collect();
    findings.sort_by_cached_key(|finding| {
        let code = finding.code.as_str();
        let own = (std::cmp::Reverse(finding.status), finding.severity);
        let problem = finding.status.is_problem();
        let rank = match ranks.get(code) {
            // Of several findings of one check only the worst is pulled up.
            Some(&rank) if problem => rank,
            _ => own,
        };
        let depth = if problem {
            depths.get(code).copied().unwrap_or(0)
        } else {
            0
        };
        (
            rank,
            depth,
            own,
            finding.area,
            code.to_owned(),
            place(finding),
        )
    });
}

/// The codes that come before a code.
fn causes<'e>(code: &str, edges: &'e Edges) -> impl Iterator<Item = &'static str> + 'e {
    let check = find(code).into_iter();
    let always = check.flat_map(|check| check.caused_by.iter().chain(check.explained_by));
    let here = edges.get(code).into_iter().flatten();
    always.chain(here).copied()
}

/// How long the chain of causes before a problem is.
fn depth(code: &str, problems: &BTreeMap<String, Rank>, edges: &Edges, so_far: usize) -> usize {
    if so_far > 8 {
        return so_far;
    }
    causes(code, edges)
        .filter(|cause| problems.contains_key(*cause))
        .map(|cause| 1 + depth(cause, problems, edges, so_far + 1))
        .max()
        .unwrap_or(0)
}

/// Findings of one check in the order of their places.
fn place(finding: &Finding) -> (String, usize, String) {
    let (path, line) = match &finding.source {
        Some(crate::facts::Source::File(place)) => (place.path.clone(), place.line.unwrap_or(0)),
        _ => (String::new(), 0),
    };
    (path, line, finding.subject.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::{find, table};

    /// What explains a failure is not silenced by it: nothing would be told at all.
    #[test]
    fn no_two_checks_silence_each_other() {
        for check in table() {
            for cause in check.explained_by.iter().filter_map(|code| find(code)) {
                assert!(
                    !cause.silenced_by.contains(&check.code),
                    "{} and {}",
                    check.code,
                    cause.code
                );
            }
        }
    }

    /// Every code that the table refers to is in the table.
    #[test]
    fn edges_lead_somewhere() {
        let codes: Vec<&str> = table().map(|check| check.code).collect();
        for check in table() {
            let edges = check.silenced_by.iter().chain(check.caused_by);
            for code in edges.chain(check.explained_by) {
                assert!(codes.contains(code), "{} refers to {code}", check.code);
                assert_ne!(*code, check.code);
            }
        }
    }
}
