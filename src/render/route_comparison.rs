//! Two routes of one image for people: what it comes to, then one line a difference.

use crate::registry::plan::compare::{Aspect, Change, Comparison, Verdict};

use super::sanitize;

/// The comparison as text.
pub fn text(comparison: &Comparison) -> String {
    let summary = match comparison.verdict {
        Verdict::Same => "no difference",
        Verdict::Changed => "another route",
        Verdict::Lost => "would lose its last endpoint",
        Verdict::Gained => "would get an endpoint",
    };
    let (before, after) = (&comparison.before.runtime, &comparison.after.runtime);
    let runtimes = if before == after {
        format!("on {before}")
    } else {
        format!("from {before} to {after}")
    };
    let mut text = format!(
        "{} {}: {summary}\n",
        sanitize::line(&comparison.reference),
        sanitize::line(&runtimes)
    );
    for change in &comparison.changes {
        text.push_str(&format!("  {}\n", sanitize::line(&line(change))));
    }
    text
}

/// One difference in words. The first character is that of a patch.
fn line(change: &Change) -> String {
    match change {
        Change::Added { url, at } => format!("+ {}. {url}", at + 1),
        Change::Removed { url, at } => format!("- {}. {url}", at + 1),
        Change::Moved { url, from, to } => {
            format!("~ {url}: moves from {} to {}", from + 1, to + 1)
        }
        Change::Differs {
            url,
            what,
            before,
            after,
            ..
        } => format!("~ {url}: {} {before}, would be {after}", aspect(*what)),
        Change::Fatal { before, after } => match (before, after) {
            (_, Some(after)) => format!("! the pull could not start: {after}"),
            (Some(before), None) => format!("! the pull could start; now it cannot: {before}"),
            (None, None) => String::new(),
        },
    }
}

fn aspect(what: Aspect) -> &'static str {
    match what {
        Aspect::Phases => "asked to",
        Aspect::Verification => "certificate",
        Aspect::Authorities => "authorities beside the system's:",
        Aspect::ClientCertificate => "client certificate",
        Aspect::Fallback => "fallback",
        Aspect::Credentials => "credentials from",
        Aspect::Headers => "added headers",
    }
}
