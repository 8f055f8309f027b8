//! A test pull for people: the verdict first, then the endpoints with what each answered, the pull, and the way back.

use crate::probe::registry::EndpointProbe;
use crate::probe::test_pull::{PullStatus, TestPull, Verdict};
use crate::registry::plan::{RouteEndpoint, Source};

use super::sanitize;

/// The test pull as text.
pub fn text(test: &TestPull) -> String {
    let mut text = format!("{}: {}\n", line(&test.image), line(&test.message));
    for warning in &test.warnings {
        text.push_str(&format!("  warning: {}\n", line(warning)));
    }
    for note in &test.notes {
        text.push_str(&format!("  note: {}\n", line(note)));
    }
    if let Some(source) = &test.credentials {
        text.push_str(&format!("  with the credentials from {}\n", line(source)));
    }
    text.push_str(&format!(
        "  route of {} on {}:\n",
        line(&test.route.reference),
        line(&test.route.runtime)
    ));
    if let Some(fatal) = &test.route.fatal {
        text.push_str(&format!("    the pull cannot start: {}\n", line(fatal)));
    }
    for (index, endpoint) in test.route.endpoints.iter().enumerate() {
        text.push_str(&endpoint_lines(index, endpoint, test.probes.get(index)));
    }
    text.push_str(&pull_lines(test));
    if let Some(served) = &test.served_by {
        let sure = if served.certain {
            "certain"
        } else {
            "probably"
        };
        text.push_str(&format!(
            "  served by {} ({sure}: {})\n",
            line(&served.endpoint),
            line(&served.evidence)
        ));
    }
    if test.already_present {
        text.push_str("  the image was there before, so no layer had to be fetched and the pull proves less\n");
    }
    if !test.cleaned_up.is_empty() {
        let names: Vec<String> = test.cleaned_up.iter().map(|name| line(name)).collect();
        text.push_str(&format!("  removed again: {}\n", names.join(", ")));
    }
    for left in &test.left {
        text.push_str(&format!(
            "  left: {} ({})\n",
            line(&left.what),
            line(&left.why)
        ));
    }
    text
}

fn endpoint_lines(index: usize, endpoint: &RouteEndpoint, probe: Option<&EndpointProbe>) -> String {
    let place = match &endpoint.source {
        Source::File { path, line, .. } => format!("{}:{line}", path.display()),
        Source::Builtin => "a rule of the runtime".to_owned(),
    };
    let mut text = format!("    {}. {}\n", index + 1, line(&endpoint.url));
    if let Some(probe) = probe {
        let digest = probe
            .digest
            .as_deref()
            .map_or_else(String::new, |digest| format!(", {digest}"));
        let detail = match probe.detail.as_str() {
            "" => String::new(),
            detail => format!(": {}", line(detail)),
        };
        text.push_str(&format!(
            "       {}{} in {} ms{detail}\n",
            word(probe),
            line(&digest),
            probe.ms,
        ));
    }
    text.push_str(&format!(
        "       {} ({})\n",
        line(&endpoint.why),
        line(&place)
    ));
    text
}

/// The verdict about an endpoint as it is written in JSON.
pub fn word(probe: &EndpointProbe) -> String {
    match serde_json::to_value(probe.verdict) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn pull_lines(test: &TestPull) -> String {
    let pull = &test.pull;
    let took = pull.ms.map_or_else(String::new, |ms| {
        format!(
            " after {:.2} s",
            std::time::Duration::from_millis(ms).as_secs_f64()
        )
    });
    let mut text = match (pull.status, test.verdict) {
        (PullStatus::Ok, _) => {
            let digest = pull.digest.as_deref().unwrap_or("without a digest");
            format!("  pulled{took}: {}\n", line(digest))
        }
        (PullStatus::Failed, _) => format!("  the pull failed{took}\n"),
        (PullStatus::Interrupted, _) => format!("  the pull was interrupted{took}\n"),
        (PullStatus::Skipped, Verdict::NotTried) => "  the pull was not tried\n".to_owned(),
        (PullStatus::Skipped, _) => String::new(),
    };
    if let Some(error) = &pull.error {
        text.push_str(&format!("  the runtime says: {}\n", line(error)));
        if let Some(index) = pull.error_of {
            text.push_str(&format!("  these words are about endpoint {}\n", index + 1));
        }
    }
    text
}

fn line(text: &str) -> String {
    sanitize::line(text).into_owned()
}
