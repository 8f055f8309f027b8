//! SARIF 2.1.0 (OASIS) for findings in files: code scanning, editors.
//!
//! Only what points into a file is told, because code scanning refuses results without a place. Levels: a failure is an
//! `error`, a warning a `warning`. Lines and columns count from 1, columns in characters (`unicodeCodePoints`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::check::finding::Edit;
use crate::check::{Finding, Report, Status};
use crate::facts::{FilePlace, Source};

/// Where the rules of this format are.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The document: one run with the problems of all reports that are in files.
pub fn document(reports: &[Report]) -> Value {
    let findings: Vec<(&Finding, &FilePlace)> = reports.iter().flat_map(located).collect();
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for (finding, _) in &findings {
        rules.entry(finding.code.as_str()).or_insert(finding);
    }
    let index = |code: &str| rules.keys().position(|known| *known == code);
    let results: Vec<Value> = findings
        .iter()
        .map(|(finding, place)| result(finding, place, index(finding.code.as_str())))
        .collect();
    let rules: Vec<Value> = rules.values().map(|finding| rule(finding)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "criscope",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }]
    })
}

/// The problems of a report that are in files, with their places.
pub fn located(report: &Report) -> impl Iterator<Item = (&Finding, &FilePlace)> {
    report
        .problems()
        .filter_map(|finding| match &finding.source {
            Some(Source::File(place)) => Some((finding, place)),
            _ => None,
        })
}

fn level(status: Status) -> &'static str {
    match status {
        Status::Fail => "error",
        Status::Warn => "warning",
        _ => "note",
    }
}

fn rule(finding: &Finding) -> Value {
    json!({
        "id": finding.code,
        "shortDescription": {"text": sentence(&finding.title)},
        "help": {"text": format!("criscope explain {}", finding.code)},
        "defaultConfiguration": {"level": level(finding.status)},
        "properties": {
            "tags": [finding.area.name()],
            "problem.severity": level(finding.status),
            "severity": finding.severity,
        },
    })
}

fn result(finding: &Finding, place: &FilePlace, rule: Option<usize>) -> Value {
    let mut text = finding.message.clone();
    if let Some(words) = &finding.runtime_says {
        text.push_str(&format!("\nThe runtime says: {words}"));
    }
    if let Some(remedy) = &finding.remedy
        && !remedy.text.is_empty()
    {
        text.push_str(&format!("\n{}", sentence(&remedy.text)));
    }
    let mut result = json!({
        "ruleId": finding.code,
        "level": level(finding.status),
        "message": {"text": text},
        "locations": [location(place, None)],
    });
    if let Some(index) = rule {
        result["ruleIndex"] = json!(index);
    }
    let related: Vec<Value> = finding
        .evidence
        .iter()
        .filter_map(|evidence| match &evidence.source {
            Source::File(place) => Some(location(place, Some(&evidence.text))),
            _ => None,
        })
        .collect();
    if !related.is_empty() {
        result["relatedLocations"] = json!(related);
    }
    if let Some(remedy) = &finding.remedy
        && let Some(edit) = &remedy.edit
    {
        result["fixes"] = json!([{
            "description": {"text": sentence(&remedy.text)},
            "artifactChanges": [change(edit)],
        }]);
    }
    result
}

fn location(place: &FilePlace, message: Option<&str>) -> Value {
    let mut physical = json!({"artifactLocation": {"uri": uri(&place.path)}});
    if let Some(line) = place.line {
        let mut region = json!({"startLine": line});
        if let Some(column) = place.column {
            region["startColumn"] = json!(column);
            // The end is the first column that does not matter any more.
            if let Some(length) = place.length.filter(|length| *length > 0) {
                region["endColumn"] = json!(column + length);
            }
        }
        physical["region"] = region;
    }
    let mut location = json!({"physicalLocation": physical});
    if let Some(message) = message {
        location["message"] = json!({"text": message});
    }
    location
}

/// A line that is replaced, or lines that are put in front of it.
fn change(edit: &Edit) -> Value {
    let end = if edit.old.is_empty() {
        1
    } else {
        edit.old.chars().count() + 1
    };
    let inserted = match (edit.old.is_empty(), edit.new.ends_with('\n')) {
        (true, false) => format!("{}\n", edit.new),
        _ => edit.new.clone(),
    };
    json!({
        "artifactLocation": {"uri": uri(&edit.path)},
        "replacements": [{
            "deletedRegion": {"startLine": edit.line, "startColumn": 1, "endLine": edit.line, "endColumn": end},
            "insertedContent": {"text": inserted},
        }],
    })
}

/// A path as a URI: relative ones stay relative, so that they mean files of a repository.
fn uri(path: &str) -> String {
    let mut out = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'~' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A text as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    let text = format!("{}{}", first.unwrap_or_default(), letters.as_str());
    if text.is_empty() || text.ends_with(['.', '!', '?']) {
        text
    } else {
        text + "."
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;

    #[test]
    fn what_is_in_a_file_has_a_place_and_a_rule() {
        let report = cases::in_file("my dir/config.toml");
        let document = document(&[report]);
        let run = &document["runs"][0];
        let result = &run["results"][0];
        let physical = &result["locations"][0]["physicalLocation"];
        assert_eq!(physical["artifactLocation"]["uri"], "my%20dir/config.toml");
        assert_eq!(
            physical["region"],
            json!({"startLine": 3, "startColumn": 2, "endColumn": 6})
        );
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(
            run["tool"]["driver"]["rules"][index]["id"],
            result["ruleId"]
        );
        let replacement = &result["fixes"][0]["artifactChanges"][0]["replacements"][0];
        assert_eq!(replacement["deletedRegion"]["endColumn"], 9);
        assert_eq!(replacement["insertedContent"]["text"], "[plugins]");
    }

    #[test]
    fn what_is_not_in_a_file_is_not_told() {
        let report = cases::broken();
        assert!(report.problems().count() > 0);
        assert_eq!(document(&[report])["runs"][0]["results"], json!([]));
    }

    #[test]
    fn paths_as_uris() {
        assert_eq!(uri("/etc/a b.toml"), "file:///etc/a%20b.toml");
        assert_eq!(uri("./x/ü.toml"), "x/%C3%BC.toml");
    }
}
