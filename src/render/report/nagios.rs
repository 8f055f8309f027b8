//! One line for Nagios, Icinga, Naemon, Checkmk: `STATE: what is wrong | performance data`.
//!
//! Follows the development guidelines of monitoring-plugins.org: performance data is `'label'=value[unit];warn;crit;min`
//! without scientific notation; a range `0` alerts when the value is not 0. Everything is on the first line, because
//! agents cut the rest.

use super::Situation;
use crate::check::state::State;
use crate::check::{Finding, Report};
use crate::render::sanitize;

/// How many problems are named.
const NAMED: usize = 4;
/// How many characters of a message are shown.
const MESSAGE: usize = 160;

/// The line, with its end.
pub fn line(report: &Report, situation: &Situation<'_>) -> String {
    let state = situation.state(report);
    let mut text = said(report, state);
    if let Some(remark) = situation.remark {
        text = format!("{text} ({remark})");
    }
    format!(
        "{}: {} | {}\n",
        state.name(),
        plain(&text),
        performance(report, situation)
    )
}

/// The line for something that kept us from looking.
pub fn trouble(message: &str) -> String {
    format!("{}: {}\n", State::Unknown.name(), plain(message))
}

fn said(report: &Report, state: State) -> String {
    let mut reasons: Vec<&Finding> = report.problems().collect();
    // Nagios knows no state for "warned and blind": the worse of the two leads, the other is named.
    if state != State::Critical {
        reasons.extend(report.blind_spots());
    }
    if reasons.is_empty() || state == State::Ok {
        let runtime = report
            .runtime
            .name
            .as_deref()
            .unwrap_or("container runtime");
        let version = report.runtime.version.as_deref().unwrap_or_default();
        return format!("{runtime} {version}: {}", super::sum(&report.summary)).replace(" :", ":");
    }
    let mut words: Vec<String> = reasons
        .iter()
        .take(NAMED)
        .map(|finding| named(finding))
        .collect();
    if reasons.len() > NAMED {
        words.push(format!("{} more", reasons.len() - NAMED));
    }
    words.join("; ")
}

fn named(finding: &Finding) -> String {
    let message = &finding.message;
    let mut short: String = message.chars().take(MESSAGE).collect();
    if short.len() < message.len() {
        short.push_str("...");
    }
    format!("{}: {short}", finding.code)
}

/// Text without what would end it: `|` begins the performance data.
fn plain(text: &str) -> String {
    let text = sanitize::block(text).replace('|', "/");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn performance(report: &Report, situation: &Situation<'_>) -> String {
    let summary = &report.summary;
    let mut data = vec![
        format!("'failed'={};;0;0", summary.fail),
        format!("'warnings'={};0;;0", summary.warn),
        format!("'unknown'={};;;0", summary.unknown),
        format!("'waived'={};;;0", summary.waived),
        format!("'passed'={};;;0", summary.pass),
    ];
    if let Some((age, most)) = situation.age {
        data.push(format!("'age'={}s;;{};0", age.as_secs(), most.as_secs()));
    }
    if let Some(ms) = report.duration_ms {
        data.push(format!("'time'={}s;;;0", seconds(ms)));
    }
    for (code, findings) in report.by_check() {
        let longest = findings.iter().filter_map(|finding| finding.duration_ms);
        if let Some(ms) = longest.max_by(f64::total_cmp) {
            data.push(format!("'{code}'={}s;;;0", seconds(ms)));
        }
    }
    data.join(" ")
}

/// Milliseconds as seconds, without an exponent.
fn seconds(ms: f64) -> String {
    format!("{:.6}", ms / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;

    /// `'label'=value[unit];warn;crit;min`, as the guidelines have it.
    fn is_performance_data(text: &str) -> bool {
        text.split(' ').all(|one| {
            let Some((label, values)) = one.split_once('=') else {
                return false;
            };
            let values: Vec<&str> = values.split(';').collect();
            let number = |text: &str| text.is_empty() || text.parse::<f64>().is_ok();
            label.starts_with('\'')
                && label.ends_with('\'')
                && values.len() <= 5
                && number(values[0].trim_end_matches('s'))
                && values[1..].iter().all(|value| number(value))
                && !one.contains('e') | label.contains('e')
        })
    }

    #[test]
    fn one_line_with_performance_data() {
        for report in [cases::healthy(), cases::broken(), cases::blind()] {
            let text = line(&report, &Situation::default());
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            let (said, data) = text.trim_end().split_once(" | ").unwrap();
            assert!(!said.contains('|'), "{text}");
            assert!(is_performance_data(data), "{text}");
        }
    }

    #[test]
    fn the_first_word_is_the_state() {
        let words = |report: &Report| line(report, &Situation::default());
        assert!(words(&cases::healthy()).starts_with("OK: containerd "));
        assert!(words(&cases::broken()).starts_with("CRITICAL: cri-network-ready: "));
        assert!(words(&cases::blind()).starts_with("UNKNOWN: "));
        assert_eq!(trouble("a|b\nc"), "UNKNOWN: a/b c\n");
    }

    #[test]
    fn a_hostile_message_stays_in_its_place() {
        let mut report = cases::broken();
        report.findings[0].message = "x | y=1;2\n\u{1b}[2J".to_owned() + &"z".repeat(5000);
        let text = line(&report, &Situation::default());
        assert_eq!(text.matches('|').count(), 1, "{text}");
        assert!(text.len() < 2000 && !text.contains('\u{1b}'), "{text}");
    }
}
