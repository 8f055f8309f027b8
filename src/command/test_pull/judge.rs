//! What route, probes and pull mean together: pure, so that every situation is a small test.

use super::diverging;
use crate::error::Exit;
use crate::probe::registry::EndpointProbe;
use crate::probe::test_pull::{PullStatus, TestPull, Verdict, host_of, served_by};
use crate::registry::in_force::FileState;
use crate::registry::plan::Phase;
use crate::registry::version::RuntimeName;
use crate::render::test_pull::word;

/// Fills in the verdict, who served, the sentence and the warnings.
pub fn conclude(test: &mut TestPull, expected: Option<&str>, no_pull: bool) {
    test.warnings = warnings(test);
    match test.pull.status {
        PullStatus::Ok => pulled(test, expected),
        PullStatus::Failed => {
            test.verdict = Verdict::Fails;
            test.message = format!("cannot be pulled: {}", cause(test));
        }
        PullStatus::Interrupted => {
            test.verdict = Verdict::Fails;
            test.message = match &test.pull.error {
                Some(_) => "the pull did not end in time".to_owned(),
                None => "the pull was interrupted".to_owned(),
            };
        }
        PullStatus::Skipped if no_pull => probed(test, expected),
        PullStatus::Skipped => test.verdict = Verdict::NotTried,
    }
}

/// What has to be known beside the verdict: files that the daemon has not loaded, and about credentials.
pub fn notes(files: &[FileState], runtime: RuntimeName, more: &[String]) -> Vec<String> {
    let pending = files.iter().filter(|file| file.pending == Some(true));
    pending
        .map(|file| {
            format!(
                "{} was changed after {runtime} started: the pull goes by the old one, the route shown by the new one",
                file.path.display()
            )
        })
        .chain(more.iter().cloned())
        .collect()
}

/// The worst verdict decides.
pub fn exit(verdicts: impl Iterator<Item = Verdict>, strict: bool) -> Exit {
    verdicts.fold(Exit::Success, |worst, verdict| {
        worst.or_worse(match verdict {
            Verdict::Works => Exit::Success,
            Verdict::WorksWithTrouble if !strict => Exit::Success,
            Verdict::WorksWithTrouble | Verdict::WrongContent | Verdict::Fails => Exit::Failure,
            Verdict::Unproven | Verdict::NotTried => Exit::Undetermined,
        })
    })
}

fn pulled(test: &mut TestPull, expected: Option<&str>) {
    test.served_by = served_by(&test.route, &test.probes, test.pull.digest.as_deref());
    let from = test
        .served_by
        .as_ref()
        .and_then(|served| host_of(&served.endpoint))
        .unwrap_or("an unknown endpoint");
    let seconds = std::time::Duration::from_millis(test.pull.ms.unwrap_or(0)).as_secs_f64();
    if expected.is_some() && test.pull.digest.is_none() {
        // What cannot be compared is not what was expected.
        test.verdict = Verdict::Unproven;
        test.message =
            format!("pulled in {seconds:.2} s, but the runtime did not say which digest it has");
        return;
    }
    if let (Some(expected), Some(digest)) = (expected, &test.pull.digest)
        && expected != digest
    {
        test.verdict = Verdict::WrongContent;
        test.message = format!("pulled, but {from} serves {digest} instead of {expected}");
        return;
    }
    if let Some((first, other)) = diverging(&test.probes) {
        test.verdict = Verdict::WrongContent;
        test.message = format!(
            "pulled, but its endpoints disagree about what it is: {} serves {}, {} serves {}",
            host_of(&first.url).unwrap_or(&first.url),
            first.digest.as_deref().unwrap_or_default(),
            host_of(&other.url).unwrap_or(&other.url),
            other.digest.as_deref().unwrap_or_default()
        );
        return;
    }
    test.verdict = if test.warnings.is_empty() {
        Verdict::Works
    } else {
        Verdict::WorksWithTrouble
    };
    test.message = match test.verdict {
        Verdict::Works => format!("works: pulled in {seconds:.2} s through {from}"),
        _ => format!(
            "pulled in {seconds:.2} s through {from}, but an endpoint before it does not work"
        ),
    };
}

/// Without a pull the probes alone decide.
fn probed(test: &mut TestPull, expected: Option<&str>) {
    let serving = served_by(&test.route, &test.probes, expected);
    match serving {
        Some(served) => {
            test.verdict = if test.warnings.is_empty() {
                Verdict::Works
            } else {
                Verdict::WorksWithTrouble
            };
            test.message = format!(
                "would be served by {} (not pulled, as asked)",
                host_of(&served.endpoint).unwrap_or("an unknown endpoint")
            );
        }
        None => {
            test.verdict = Verdict::Fails;
            test.message = format!("no endpoint serves it: {}", cause(test));
        }
    }
}

/// Why the pull failed: the endpoint that the runtime's words are about, else the first that does not serve.
fn cause(test: &TestPull) -> String {
    let about = test.pull.error_of.and_then(|index| test.probes.get(index));
    let probe = about
        .filter(|probe| !probe.verdict.is_good())
        .or_else(|| test.probes.iter().find(|probe| !probe.verdict.is_good()));
    match (probe, test.probes.is_empty()) {
        (Some(probe), _) => sentence(probe),
        (None, true) => "no endpoint is asked".to_owned(),
        (None, false) => {
            "every endpoint answers the probe, so the runtime sees something that criscope does not"
                .to_owned()
        }
    }
}

/// Endpoints that are asked before the one that serves, and do not serve: every pull loses time there.
fn warnings(test: &TestPull) -> Vec<String> {
    if test.pull.status == PullStatus::Failed {
        return Vec::new();
    }
    let serving = test
        .probes
        .iter()
        .position(|probe| probe.verdict.is_good())
        .unwrap_or(test.probes.len());
    let asked = test.route.endpoints.iter().zip(&test.probes).take(serving);
    asked
        .filter(|(endpoint, _)| {
            endpoint.phases.contains(&Phase::Resolve) || endpoint.phases.contains(&Phase::Fetch)
        })
        .map(|(_, probe)| {
            format!(
                "{}; it is asked first, for every object again",
                sentence(probe)
            )
        })
        .collect()
}

/// Who, what was seen, and the word for it.
fn sentence(probe: &EndpointProbe) -> String {
    let host = host_of(&probe.url).unwrap_or(&probe.url);
    let bare = host.split(':').next().unwrap_or(host);
    if probe.detail.contains(host) || probe.detail.contains(bare) {
        format!("{} ({})", probe.detail, word(probe))
    } else {
        format!("{host}: {} ({})", probe.detail, word(probe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_verdict_decides_the_exit_code() {
        #[track_caller]
        fn case(verdicts: &[Verdict], strict: bool, expected: Exit) {
            assert_eq!(
                exit(verdicts.iter().copied(), strict),
                expected,
                "{verdicts:?}"
            );
        }
        use Verdict::{Fails, NotTried, Unproven, Works, WorksWithTrouble, WrongContent};
        case(&[Works], true, Exit::Success);
        case(&[Works, WorksWithTrouble], false, Exit::Success);
        case(&[Works, WorksWithTrouble], true, Exit::Failure);
        case(&[NotTried], false, Exit::Undetermined);
        case(&[Unproven, Works], false, Exit::Undetermined);
        case(&[NotTried, Fails], false, Exit::Failure);
        case(&[Fails, NotTried], false, Exit::Failure);
        case(&[WrongContent], false, Exit::Failure);
    }
}
