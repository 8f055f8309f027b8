//! Checks of what registries answer; they are asked with `--probe` only.

use serde_json::json;

use super::finding::{Area, Note, Severity};
use super::scope::HEALTH;
use super::{Case, Check, Judge, Judged, Outcome};
use crate::facts::Source;
use crate::facts::reach::{End, Reached};

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[Check {
    code: "registry-reach",
    title: "images that are used could be pulled now",
    area: Area::Registry,
    severity: Severity::High,
    profiles: HEALTH,
    rule: "With `--probe` only: asks every endpoint on the route of an image as the runtime would, with its proxy, its \
           authorities and its headers, HEAD first. Fails if the pull would fail, hang, or bring something else; warns \
           if an endpoint that is asked before the one that serves does not work.",
    why: "Pods that run need no registry; the next one that is moved to this node does.",
    remedy: "`criscope registry probe IMAGE` shows every hop",
    seen: &["containerd#10662", "containerd#8053"],
    judge: Judge::By(reach),
    ..Check::BLANK
}];

fn reach(case: &Case<'_>) -> Judged {
    let all = case.facts().reach.need()?;
    let problems: Vec<Note> = all
        .iter()
        .filter(|found| found.end != End::Served)
        .map(note)
        .collect();
    let images = match all.len() {
        1 => "the image that was asked for could be pulled".to_owned(),
        count => format!("{count} images that were asked for could be pulled"),
    };
    Outcome::of(problems, images).into()
}

fn note(found: &Reached) -> Note {
    let text = format!("`{}`: {}", found.image, found.message);
    let note = match found.end {
        End::Refused => Note::fail(text),
        End::Unknown => Note::unknown(text),
        End::Trouble | End::Served => Note::warn(text).severity(Severity::Medium),
    };
    let first = found.asked.iter().find(|asked| !asked.good);
    let source = |url: &str| Source::Http {
        url: url.to_owned(),
    };
    let mut note = note
        .subject(&found.image)
        .says(found.error.clone())
        .measured(json!({ "runtime": found.runtime, "ms": found.ms }))
        .expected("an endpoint that serves it")
        .at(first.map(|asked| source(&asked.url)))
        .command(format!("criscope registry probe {}", found.image));
    for asked in found.asked.iter().take(5) {
        note = note.evidence(source(&asked.url), asked.detail.clone());
    }
    note
}
