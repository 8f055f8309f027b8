//! Metrics for the textfile collector of node_exporter.
//!
//! Its rules: no timestamps (one spoils the whole file), one group with `HELP` and `TYPE` for every metric, base units,
//! a line break at the end. No texts and no ids in labels, so that series do not multiply; how old the file is tells
//! `node_textfile_mtime_seconds`.

use crate::check::{Report, Status};
use crate::facts::cri::{Answer, Call};

/// The metrics of a report. `calls` are the RPCs that were made for it, where they are known.
pub fn text(report: &Report, calls: &[Call]) -> String {
    let mut out = String::new();
    let runtime = &report.runtime;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    group(
        &mut out,
        "criscope_build_info",
        "What examined the node.",
        [(
            labels(&[("version", &report.tool), ("data_date", &report.data_date)]),
            "1".to_owned(),
        )],
    );
    group(
        &mut out,
        "criscope_runtime_info",
        "The container runtime that answered.",
        [(
            labels(&[
                ("name", &text(&runtime.name)),
                ("version", &text(&runtime.version)),
                ("api", &text(&runtime.api)),
            ]),
            "1".to_owned(),
        )],
    );
    let checks = report.by_check();
    let states = checks.iter().flat_map(|(code, findings)| {
        let worst = findings
            .first()
            .map(|finding| (finding.status, finding.area));
        worst.into_iter().flat_map(move |(status, area)| {
            Status::ALL.iter().map(move |state| {
                (
                    labels(&[
                        ("check", code.as_str()),
                        ("area", area.name()),
                        ("state", state.name()),
                    ]),
                    u8::from(*state == status).to_string(),
                )
            })
        })
    });
    group(
        &mut out,
        "criscope_check_status",
        "How a check ended: 1 for its state, 0 for the others.",
        states,
    );
    let durations = checks.iter().filter_map(|(code, findings)| {
        let longest = findings.iter().filter_map(|finding| finding.duration_ms);
        let ms = longest.max_by(f64::total_cmp)?;
        Some((labels(&[("check", code.as_str())]), seconds(ms)))
    });
    group(
        &mut out,
        "criscope_check_duration_seconds",
        "How long the measurement of a check took.",
        durations,
    );
    let summary = &report.summary;
    let counts = [
        ("pass", summary.pass),
        ("skip", summary.skip),
        ("unknown", summary.unknown),
        ("warn", summary.warn),
        ("fail", summary.fail),
        ("waived", summary.waived),
    ];
    group(
        &mut out,
        "criscope_checks",
        "How many checks ended in a state; waived is what a policy set aside.",
        counts.map(|(state, count)| (labels(&[("state", state)]), count.to_string())),
    );
    let mut slowest: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
    let mut unanswered: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for call in calls {
        let ms = slowest.entry(&call.rpc).or_default();
        *ms = ms.max(call.ms);
        *unanswered.entry(&call.rpc).or_default() +=
            usize::from(matches!(call.answer, Answer::Error | Answer::Hung));
    }
    group(
        &mut out,
        "criscope_cri_request_duration_seconds",
        "The slowest call of a method.",
        slowest
            .iter()
            .map(|(method, ms)| (labels(&[("method", method)]), seconds(*ms))),
    );
    group(
        &mut out,
        "criscope_cri_requests_failed",
        "How many calls of a method had no answer or were refused.",
        unanswered
            .iter()
            .map(|(method, count)| (labels(&[("method", method)]), count.to_string())),
    );
    if let Ok(time) = report.started_at.parse::<jiff::Timestamp>() {
        group(
            &mut out,
            "criscope_last_run_timestamp_seconds",
            "When the node was examined.",
            [(
                String::new(),
                format!("{:.3}", time.as_millisecond() as f64 / 1000.0),
            )],
        );
    }
    if let Some(ms) = report.duration_ms {
        group(
            &mut out,
            "criscope_last_run_duration_seconds",
            "How long the examination took.",
            [(String::new(), seconds(ms))],
        );
    }
    out
}

/// A metric with its samples; nothing if there is none.
fn group(
    out: &mut String,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, String)>,
) {
    let mut samples = samples.into_iter().peekable();
    if samples.peek().is_none() {
        return;
    }
    out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
    for (labels, value) in samples {
        out.push_str(&format!("{name}{labels} {value}\n"));
    }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// A label value as the text format wants it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn seconds(ms: f64) -> String {
    format!("{:.6}", ms / 1000.0)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::cases;
    use super::*;

    /// The values of each metric. Panics where the text format is not kept.
    fn read(text: &str) -> BTreeMap<String, Vec<(String, f64)>> {
        assert!(text.ends_with('\n'));
        let mut metrics: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                current = rest.split(' ').next().unwrap().to_owned();
                assert!(!metrics.contains_key(&current), "{current} twice");
                metrics.insert(current.clone(), Vec::new());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert_eq!(rest, format!("{current} gauge"));
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                assert_eq!(name, current, "{line}");
                let values = metrics.get_mut(name).unwrap();
                assert!(
                    values.iter().all(|(known, _)| known != series),
                    "{line} twice"
                );
                values.push((series.to_owned(), value.parse().unwrap()));
            }
        }
        metrics
    }

    #[test]
    fn every_check_is_in_exactly_one_state() {
        let report = cases::broken();
        let metrics = read(&text(&report, &[]));
        let states = &metrics["criscope_check_status"];
        let checks: BTreeSet<&str> = report.findings.iter().map(|f| f.code.as_str()).collect();
        assert_eq!(states.len(), checks.len() * Status::ALL.len());
        for check in checks {
            let of_check = states
                .iter()
                .filter(|(series, _)| series.contains(&format!("check=\"{check}\"")));
            let sum: f64 = of_check.map(|(_, value)| value).sum();
            assert!((sum - 1.0).abs() < f64::EPSILON, "{check}: {sum}");
        }
    }

    #[test]
    fn calls_and_times_in_seconds() {
        let call = Call {
            rpc: "Status".to_owned(),
            answer: Answer::Hung,
            ms: 1500.0,
            bytes: 0,
            error: None,
        };
        let metrics = read(&text(&cases::healthy(), &[call]));
        assert_eq!(
            metrics["criscope_cri_request_duration_seconds"],
            [(
                "criscope_cri_request_duration_seconds{method=\"Status\"}".to_owned(),
                1.5
            )]
        );
        assert_eq!(metrics["criscope_cri_requests_failed"][0].1, 1.0);
        assert!(metrics["criscope_last_run_timestamp_seconds"][0].1 > 1e9);
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
