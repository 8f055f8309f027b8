//! What came of starting a pod of every handler.

use serde_json::json;

use super::super::finding::{Note, Severity};
use super::super::{Case, Judged, Outcome};
use crate::facts::smoke::End;
use crate::facts::{Gap, Source};

pub(super) fn judge(case: &Case<'_>) -> Judged {
    let trials = case.facts().smoke.need()?;
    let called = |handler: &str| match handler {
        "" => "the default handler".to_owned(),
        name => format!("the handler `{name}`"),
    };
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    for trial in trials {
        let name = called(&trial.handler);
        let done: Vec<String> = trial
            .steps
            .iter()
            .filter(|step| step.end == End::Done)
            .map(|step| format!("{} took {:.0} ms", step.doing.name(), step.ms))
            .collect();
        if let Some((step, why)) = trial.failure() {
            let mut note = Note::fail(format!("{} fails with {name}", step.doing.name()))
                .subject(&trial.handler)
                .says(Some(why))
                .measured(json!({ "handler": trial.handler, "step": step.doing, "ms": step.ms }))
                .expected("a pod that starts, talks and goes")
                .at(Source::rpc("RunPodSandbox"))
                .took(step.ms)
                .remedy("do what the runtime says; the daemon's log has more");
            if !trial.handler.is_empty() {
                note = note.severity(Severity::High);
            }
            for text in done {
                note = note.evidence(Source::rpc("RunPodSandbox"), text);
            }
            problems.push(note);
        } else {
            let ms: f64 = trial.steps.iter().map(|step| step.ms).sum();
            let untried = trial.steps.iter().filter_map(|step| match &step.end {
                End::Untried(why) => Some(format!("; not tried: {} ({why})", step.doing.name())),
                _ => None,
            });
            let network = if trial.host_network {
                ", in the node's network"
            } else {
                ""
            };
            notes.push(
                Note::pass(format!(
                    "{name}: {} steps in {ms:.0} ms with `{}`{network}{}",
                    done.len(),
                    trial.image,
                    untried.collect::<String>()
                ))
                .subject(&trial.handler)
                .took(ms),
            );
        }
        for left in &trial.left {
            problems.push(
                Note::fail(format!("{left} was left behind by the trial of {name}"))
                    .subject(left)
                    .severity(Severity::High)
                    .at(Source::rpc("ListPodSandbox"))
                    .remedy("remove it: `criscope rmp -f ID`"),
            );
        }
    }
    if notes.is_empty() && problems.is_empty() {
        return Err(Gap::Unknown("no pod was tried".to_owned()));
    }
    problems.extend(notes);
    Ok(Outcome(problems))
}
