//! The table of checks, and one check explained.

use crate::check::{Check, Scope, table};

/// The checks of a scope, one a line: code, severity, profiles, title.
pub fn checks(scope: &Scope) -> String {
    let mut out = String::new();
    for check in table().filter(|check| scope.includes(check)) {
        let profiles: Vec<&str> = check
            .profiles
            .iter()
            .map(|profile| profile.name())
            .collect();
        out.push_str(&format!(
            "{:<30} {:<16} {:<9} {:<24} {}\n",
            check.code,
            check.area.name(),
            check.severity.name(),
            profiles.join(","),
            check.title
        ));
    }
    out
}

/// Everything that the table says about a check.
pub fn explain(check: &Check) -> String {
    let profiles: Vec<&str> = check
        .profiles
        .iter()
        .map(|profile| profile.name())
        .collect();
    let mut out = format!(
        "{} ({}, {})\n  passes when {}\n\n{}\n",
        check.code,
        check.area,
        check.severity,
        check.title,
        paragraph(check.rule)
    );
    if !check.why.is_empty() {
        out.push_str(&format!("\nwhy it matters\n{}\n", paragraph(check.why)));
    }
    if !check.remedy.is_empty() {
        out.push_str(&format!("\nwhat to do\n{}\n", paragraph(check.remedy)));
    }
    if !check.caused_by.is_empty() {
        out.push_str(&format!("\ncaused by: {}\n", check.caused_by.join(", ")));
    }
    if !check.silenced_by.is_empty() {
        out.push_str(&format!(
            "silent while one of these fails: {}\n",
            check.silenced_by.join(", ")
        ));
    }
    out.push_str(&format!("profiles: {}\n", profiles.join(", ")));
    if !check.seen.is_empty() {
        out.push_str(&format!("seen in the field: {}\n", check.seen.join(", ")));
    }
    out
}

/// Text in lines of at most 96 columns, two in.
fn paragraph(text: &str) -> String {
    let mut out = String::from(" ");
    let mut width = 1;
    for word in text.split_whitespace() {
        if width + 1 + word.chars().count() > 96 {
            out.push_str("\n ");
            width = 1;
        }
        out.push(' ');
        out.push_str(word);
        width += 1 + word.chars().count();
    }
    out
}
