//! Annotations for GitHub Actions: `::error file=…,line=…,title=…::message`.
//!
//! GitHub shows ten of a kind for each step, so the worst come first and the rest are counted in one more line. Escapes as
//! its toolkit has them: `%`, CR and LF everywhere, in properties also `:` and `,`.

use crate::check::{Finding, Report, Status};
use crate::facts::Source;

/// How many annotations of one kind GitHub shows.
const SHOWN: usize = 10;

/// One line for every problem, and the sum of each report.
pub fn text(reports: &[Report]) -> String {
    let mut out = String::new();
    let findings: Vec<&Finding> = reports.iter().flat_map(Report::problems).collect();
    for (status, command) in [(Status::Fail, "error"), (Status::Warn, "warning")] {
        let of_kind: Vec<&&Finding> = findings
            .iter()
            .filter(|finding| finding.status == status)
            .collect();
        for finding in of_kind.iter().take(SHOWN) {
            out.push_str(&annotation(command, finding));
        }
        if of_kind.len() > SHOWN {
            out.push_str(&format!(
                "{} more of kind {command} are not annotated\n",
                of_kind.len() - SHOWN
            ));
        }
    }
    for report in reports {
        out.push_str(&format!("criscope: {}\n", super::sum(&report.summary)));
    }
    out
}

fn annotation(command: &str, finding: &Finding) -> String {
    let mut properties = Vec::new();
    if let Some(Source::File(place)) = &finding.source {
        properties.push(("file", place.path.clone()));
        if let Some(line) = place.line {
            properties.push(("line", line.to_string()));
            properties.push(("endLine", line.to_string()));
        }
        if let Some(column) = place.column {
            properties.push(("col", column.to_string()));
        }
    }
    properties.push(("title", finding.code.to_string()));
    let properties: Vec<String> = properties
        .into_iter()
        .map(|(name, value)| format!("{name}={}", property(&value)))
        .collect();
    let mut message = finding.message.clone();
    if let Some(words) = &finding.runtime_says {
        message.push_str(&format!("\nthe runtime says: {words}"));
    }
    if let Some(remedy) = &finding.remedy
        && !remedy.text.is_empty()
    {
        message.push_str(&format!("\n{}", remedy.text));
    }
    format!("::{command} {}::{}\n", properties.join(","), data(&message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;

    #[test]
    fn a_problem_is_one_line_with_its_place() {
        let mut report = cases::in_file("a,b:c.toml");
        report.findings[0].message = "100 %\nof it".to_owned();
        let text = text(&[report]);
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("::error file=a%2Cb%3Ac.toml,line=3,endLine=3,col=2,title="),
            "{text}"
        );
        assert!(first.contains("::100 %25%0Aof it"), "{text}");
    }

    #[test]
    fn ten_of_a_kind_are_shown_and_the_rest_is_counted() {
        let mut report = cases::in_file("x.toml");
        let one = report.findings[0].clone();
        report.findings = vec![one; 13];
        let text = text(&[report]);
        assert_eq!(text.matches("::error ").count(), 10, "{text}");
        assert!(text.contains("3 more of kind error"), "{text}");
    }
}
