//! JUnit XML for CI systems: an area is a suite, a check is a case.
//!
//! One `testsuites` root, at most one `failure` in a case. A warning passes with a word in `system-out`, unless warnings
//! count as failures; what could not be found out is an `error`, which CI systems tell from a failure.

use std::collections::BTreeMap;

use crate::check::{Area, Finding, Report, Status};

/// What a case comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Warned,
    Failed,
    Unseen,
    Skipped,
}

impl Outcome {
    fn of(status: Status, strict: bool) -> Self {
        match status {
            Status::Pass => Self::Passed,
            Status::Skip => Self::Skipped,
            Status::Unknown => Self::Unseen,
            Status::Warn if strict => Self::Failed,
            Status::Warn => Self::Warned,
            Status::Fail => Self::Failed,
        }
    }
}

/// The document; one suite for each area of each report.
pub fn text(reports: &[Report], strict: bool) -> String {
    let mut suites = String::new();
    let (mut tests, mut failures, mut errors) = (0, 0, 0);
    for report in reports {
        let checks = report.by_check();
        let mut areas: BTreeMap<Area, Vec<(Outcome, &[&Finding])>> = BTreeMap::new();
        for (_, findings) in &checks {
            if let Some(worst) = findings.first() {
                let outcome = Outcome::of(worst.status, strict);
                areas
                    .entry(worst.area)
                    .or_default()
                    .push((outcome, findings));
            }
        }
        for (area, cases) in areas {
            let count = |wanted| {
                cases
                    .iter()
                    .filter(|(outcome, _)| *outcome == wanted)
                    .count()
            };
            let (failed, unseen) = (count(Outcome::Failed), count(Outcome::Unseen));
            tests += cases.len();
            failures += failed;
            errors += unseen;
            suites.push_str(&format!(
                "  <testsuite name=\"{}\" hostname=\"{}\" timestamp=\"{}\" time=\"0\" tests=\"{}\" failures=\"{failed}\" \
                 errors=\"{unseen}\" skipped=\"{}\">\n",
                area.name(),
                escaped(&report.host),
                escaped(&report.started_at),
                cases.len(),
                count(Outcome::Skipped),
            ));
            for (outcome, findings) in cases {
                suites.push_str(&case(outcome, findings));
            }
            suites.push_str("  </testsuite>\n");
        }
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"criscope\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n\
         {suites}</testsuites>\n"
    )
}

fn case(outcome: Outcome, findings: &[&Finding]) -> String {
    let Some(worst) = findings.first() else {
        return String::new();
    };
    let ms = findings.iter().filter_map(|finding| finding.duration_ms);
    let time = ms.fold(0.0_f64, f64::max) / 1000.0;
    let mut out = format!(
        "    <testcase classname=\"criscope.{}\" name=\"{}\" time=\"{time:.6}\"",
        worst.area.name(),
        escaped(worst.code.as_str()),
    );
    let body = match outcome {
        Outcome::Passed => String::new(),
        Outcome::Skipped => format!("<skipped message=\"{}\"/>", escaped(&worst.message)),
        Outcome::Warned => format!("<system-out>{}</system-out>", escaped(&told(findings))),
        Outcome::Failed => format!(
            "<failure type=\"{}\" message=\"{}\">{}</failure>",
            worst.severity,
            escaped(&worst.message),
            escaped(&told(findings))
        ),
        Outcome::Unseen => format!(
            "<error type=\"unknown\" message=\"{}\">{}</error>",
            escaped(&worst.message),
            escaped(&told(findings))
        ),
    };
    if body.is_empty() {
        out.push_str("/>\n");
    } else {
        out.push_str(&format!(">\n      {body}\n    </testcase>\n"));
    }
    out
}

/// All findings of a check, with place, the runtime's words and remedy.
fn told(findings: &[&Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let subject = finding.subject.as_deref().unwrap_or_default();
        out.push_str(
            &format!("{}: {subject} {}\n", finding.status, finding.message).replace(":  ", ": "),
        );
        if let Some(source) = &finding.source {
            out.push_str(&format!("  seen: {source}\n"));
        }
        if let Some(words) = &finding.runtime_says {
            out.push_str(&format!("  the runtime says: {words}\n"));
        }
        if let Some(remedy) = &finding.remedy {
            out.push_str(&format!("  remedy: {}\n", remedy.text));
        }
    }
    out
}

/// Text and attributes of XML 1.0, which has no way to say most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\r' => out.push_str("&#13;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() && u32::from(c) < 0x20 => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;

    /// Whether every element is closed in its order, and nothing harmful is in the text.
    fn is_well_formed(text: &str) -> bool {
        let mut open = Vec::new();
        let text = text
            .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
            .unwrap();
        for part in text.split('<').skip(1) {
            let Some((tag, rest)) = part.split_once('>') else {
                return false;
            };
            if rest.contains('>') || rest.chars().any(|c| c.is_control() && c != '\n') {
                return false;
            }
            let name = tag
                .trim_start_matches('/')
                .split([' ', '/'])
                .next()
                .unwrap();
            if tag.starts_with('/') {
                if open.pop() != Some(name.to_owned()) {
                    return false;
                }
            } else if !tag.ends_with('/') {
                open.push(name.to_owned());
            }
        }
        open.is_empty()
    }

    #[test]
    fn a_check_is_a_case_and_fails_once() {
        let report = cases::broken();
        let checks = report.by_check().len();
        let text = text(&[report], false);
        assert!(is_well_formed(&text), "{text}");
        assert_eq!(text.matches("<testcase ").count(), checks, "{text}");
        assert!(
            text.contains(&format!("<testsuites name=\"criscope\" tests=\"{checks}\"")),
            "{text}"
        );
        for case in text.split("<testcase ").skip(1) {
            let case = case.split("</testcase>").next().unwrap();
            assert!(case.matches("<failure").count() <= 1, "{case}");
        }
    }

    #[test]
    fn warnings_fail_only_where_it_is_strict_and_unknown_is_an_error() {
        let mut report = cases::broken();
        report.findings.truncate(1);
        report.findings[0].status = Status::Warn;
        assert!(text(&[report.clone()], false).contains("<system-out>warn"));
        assert!(text(&[report], true).contains("failures=\"1\""));
        assert!(text(&[cases::blind()], false).contains("<error type=\"unknown\""));
    }

    #[test]
    fn what_xml_cannot_say_is_replaced() {
        let mut report = cases::broken();
        report.findings[0].message = "]]> <a b=\"c\"> & \u{1b}[2J \u{0} 'x'".to_owned();
        let text = text(&[report], false);
        assert!(is_well_formed(&text), "{text}");
        assert!(
            text.contains("]]&gt; &lt;a b=&quot;c&quot;&gt; &amp; \u{fffd}[2J"),
            "{text}"
        );
    }
}
