//! `docs/findings.md`, made from the table and from what the fixtures of the tests really produce.
//!
//! `UPDATE_DOCS=1 cargo test --lib findings` writes it; without the variable the test says whether it is current.

use std::path::Path;

use crate::check::fixtures::{fixtures, judge, node};
use crate::check::{Area, Check, Finding, table};

const HEAD: &str = "# Findings

Every code that `doctor`, `check`, `why`, `preflight` and `registry lint` know. `criscope explain CODE` says the same on a
node. This page is made from the table of checks; the examples are what the tests produce.
";

fn page() -> String {
    let mut out = String::from(HEAD);
    for area in Area::ALL {
        let mut checks: Vec<&Check> = table().filter(|check| check.area == *area).collect();
        if checks.is_empty() {
            continue;
        }
        checks.sort_by_key(|check| check.code);
        out.push_str(&format!("\n## {area}\n"));
        for check in checks {
            out.push_str(&entry(check));
        }
    }
    out
}

fn entry(check: &Check) -> String {
    let profiles: Vec<&str> = check
        .profiles
        .iter()
        .map(|profile| profile.name())
        .collect();
    let mut out = format!(
        "\n### {}\n\n*{}* · {} · {}\n\n{}\n",
        check.code,
        plain(check.title),
        check.severity,
        profiles.join(", "),
        plain(check.rule)
    );
    if !check.why.is_empty() {
        out.push_str(&format!("\n**Why it matters.** {}\n", plain(check.why)));
    }
    if !check.remedy.is_empty() {
        out.push_str(&format!("\n**What to do.** {}\n", plain(check.remedy)));
    }
    if let Some(finding) = example(check) {
        let place = finding.source.map(|source| format!("\n    {source}"));
        out.push_str(&format!(
            "\nExample ({}):\n\n    {}{}\n",
            finding.status,
            plain(&finding.message),
            place.unwrap_or_default()
        ));
    }
    if !check.seen.is_empty() {
        out.push_str(&format!(
            "\nSeen in the field: {}.\n",
            check.seen.join(", ")
        ));
    }
    out
}

/// The worst that the bad node of a check gives.
fn example(check: &Check) -> Option<Finding> {
    let fixture = fixtures().find(|fixture| fixture.code == check.code)?;
    let found = judge(check.code, &node(fixture.bad));
    found.into_iter().max_by_key(|finding| finding.status)
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn findings_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let odd = written
        .lines()
        .zip(page.lines())
        .find(|(old, new)| old != new);
    assert!(
        written == page,
        "docs/findings.md is not current ({odd:?}): UPDATE_DOCS=1 cargo test --lib findings"
    );
}
