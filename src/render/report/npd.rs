//! One line for node-problem-detector's custom plugins: at most 80 bytes of ASCII, the same text for the same state.
//!
//! The detector cuts the message at `max_output_length` bytes and writes an event whenever it changes, so nothing that
//! moves (times, counts of what passed) is in it. See <https://github.com/kubernetes/node-problem-detector>,
//! `docs/custom_plugin_monitor.md`.

use serde_json::json;

use super::Situation;
use crate::check::Report;
use crate::check::state::State;

/// The detector's default for `max_output_length`.
pub const LONGEST: usize = 80;

/// The line, with its end; 80 bytes without it at most.
pub fn line(report: &Report, situation: &Situation<'_>) -> String {
    let state = situation.conclusion(report);
    let mut codes: Vec<&str> = match state {
        State::Unknown => report
            .blind_spots()
            .map(|finding| finding.code.as_str())
            .collect(),
        _ => report
            .problems()
            .map(|finding| finding.code.as_str())
            .collect(),
    };
    codes.dedup();
    let text = match state {
        _ if situation.stale => "the last report is too old".to_owned(),
        State::Ok => "the container runtime is healthy".to_owned(),
        // A warning is no problem of the node: the condition and its message stay.
        State::Warning => "the container runtime is healthy".to_owned(),
        State::Critical => named("failed: ", &codes),
        State::Unknown => named("cannot see: ", &codes),
    };
    fitting(&text)
}

/// The line for something that kept us from looking.
pub fn trouble(message: &str) -> String {
    fitting(message)
}

/// As many codes as fit, and how many more there are.
fn named(word: &str, codes: &[&str]) -> String {
    let mut text = word.to_owned();
    for (index, code) in codes.iter().enumerate() {
        let rest = codes.len() - index;
        let comma = if index == 0 { "" } else { ", " };
        // Room for the number of those that follow.
        let room = if rest == 1 { LONGEST } else { LONGEST - 5 };
        if text.len() + comma.len() + code.len() > room {
            text.push_str(&format!(" +{rest}"));
            break;
        }
        text.push_str(comma);
        text.push_str(code);
    }
    text
}

fn fitting(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| match c {
            ' '..='~' => c,
            '\n' | '\t' => ' ',
            _ => '?',
        })
        .take(LONGEST)
        .collect();
    line.push('\n');
    line
}

/// A definition of a monitor for node-problem-detector that runs this program.
pub fn monitor(program: &str) -> serde_json::Value {
    json!({
        "plugin": "custom",
        "pluginConfig": {
            "invoke_interval": "30s",
            "timeout": "5s",
            "max_output_length": LONGEST,
            "concurrency": 1,
            "enable_message_change_based_condition_update": true,
            "skip_initial_status": false
        },
        "source": "criscope-monitor",
        "metricsReporting": true,
        "conditions": [{
            "type": "ContainerRuntimeProblem",
            "reason": "ContainerRuntimeIsHealthy",
            "message": "the container runtime is healthy"
        }],
        "rules": [{
            "type": "permanent",
            "condition": "ContainerRuntimeProblem",
            "reason": "ContainerRuntimeIsUnhealthy",
            "path": program,
            "args": ["check", "--quick", "-o", "npd"],
            "timeout": "4s"
        }]
    })
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;

    #[test]
    fn eighty_bytes_of_ascii() {
        let mut many = cases::broken();
        let one = many.findings[0].clone();
        for index in 0..30 {
            let mut finding = one.clone();
            finding.code = format!("some-check-{index}").parse().unwrap();
            many.findings.push(finding);
        }
        for report in [cases::healthy(), cases::broken(), cases::blind(), many] {
            let text = line(&report, &Situation::default());
            assert!(text.len() <= LONGEST + 1 && text.is_ascii(), "{text}");
            assert_eq!(text.matches('\n').count(), 1, "{text}");
        }
    }

    #[test]
    fn the_message_does_not_move_with_time() {
        let mut later = cases::broken();
        later.started_at = "2030-01-01T00:00:00Z".to_owned();
        later.duration_ms = Some(12.0);
        later.summary.pass += 1;
        let situation = Situation::default();
        assert_eq!(line(&later, &situation), line(&cases::broken(), &situation));
    }

    #[test]
    fn codes_that_do_not_fit_are_counted() {
        let codes = ["a-code-of-some-length"; 5];
        let text = named("failed: ", &codes);
        assert!(text.ends_with(" +2") && text.len() <= LONGEST, "{text}");
        assert_eq!(named("failed: ", &["a", "b"]), "failed: a, b");
        assert_eq!(trouble("grün\n\u{1b}"), "gr?n ?\n");
    }
}
