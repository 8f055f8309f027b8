//! What the site's policy expects.

use super::finding::{Area, Note, Severity};
use super::scope::NODE;
use super::{Case, Check, Judge, Judged, Outcome};
use crate::facts::{Gap, Source};
use crate::registry::image_ref::ImageRef;
use crate::registry::plan;

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[Check {
    code: "registry-mirror-expected",
    title: "the mirrors that the policy names are asked first",
    area: Area::Registry,
    severity: Severity::High,
    profiles: NODE,
    rule: "For each `[[mirror]]` of the policy plans the pull of an image of that registry, by the rules of the runtime that \
           is there. Fails if the mirror is not asked at all, warns if another host is asked before it.",
    why: "The site wants no node to ask the registry itself: for its limits, for its absence behind a firewall, for what \
          may be pulled.",
    remedy: "configure the mirror for the runtime; `criscope registry route` shows who is asked",
    judge: Judge::By(mirrors),
    ..Check::BLANK
}];

fn mirrors(case: &Case<'_>) -> Judged {
    let expected = &case.facts().expected_mirrors;
    if expected.is_empty() {
        return Err(Gap::Absent("no policy names a mirror".to_owned()));
    }
    let runtime = case.runtime().ok_or_else(|| {
        Gap::Unknown("no runtime is known whose rules could be applied".to_owned())
    })?;
    case.files_read()?;
    let mut problems = Vec::new();
    for mirror in expected {
        let name = format!("{}/library/busybox:latest", mirror.namespace);
        let Ok(image) = name.parse::<ImageRef>() else {
            problems.push(Note::unknown(format!(
                "`{}` is no registry",
                mirror.namespace
            )));
            continue;
        };
        let route = plan::route(case.declared(), runtime, &image);
        let url = mirror.url.trim_end_matches('/');
        let place = route.endpoints.iter().position(|endpoint| {
            endpoint
                .url
                .strip_prefix(url)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        let first = route
            .endpoints
            .first()
            .map_or("nobody", |endpoint| endpoint.url.as_str());
        let note = match place {
            Some(0) => continue,
            Some(_) => Note::warn(format!(
                "{url} is asked for images of {}, but not first",
                mirror.namespace
            )),
            None => Note::fail(format!(
                "{url} is not asked for images of {} ({})",
                mirror.namespace, mirror.reason
            )),
        };
        problems.push(
            note.subject(&mirror.namespace)
                .measured(first)
                .expected(url)
                .at(Source::file("/etc/criscope/policy.toml"))
                .command(format!("criscope registry route {name}")),
        );
    }
    Outcome::of(problems, "every mirror of the policy is asked first").into()
}
