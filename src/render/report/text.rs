//! A report for people, as compilers tell what is wrong: the worst first, the offending line underlined, the corrected
//! one below, the runtime's own words, one remedy.

use std::collections::BTreeSet;

use annotate_snippets::{AnnotationKind, Element, Level, Renderer, Snippet};

use super::sum;
use crate::check::finding::{Edit, Finding};
use crate::check::{Report, Status};
use crate::facts::{FilePlace, Source};
use crate::render::sanitize;

/// How a report is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The width of the terminal in columns.
    pub width: usize,
    /// Whether escape sequences for colours are written.
    pub colour: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            width: 120,
            colour: false,
        }
    }
}

/// The report as text.
pub fn text(report: &Report, layout: Layout) -> String {
    let renderer = if layout.colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.term_width(layout.width.max(60));
    let mut out = head(report);
    let (told, listed): (Vec<_>, Vec<_>) = report
        .findings
        .iter()
        .partition(|finding| finding.status.is_problem());
    for finding in told {
        out.push('\n');
        out.push_str(&problem(finding, &renderer));
        out.push('\n');
    }
    if !listed.is_empty() {
        out.push('\n');
    }
    let mut told = BTreeSet::new();
    for finding in &listed {
        // Many checks that could not see for one and the same reason are one thing to know.
        let alike: Vec<&str> = listed
            .iter()
            .filter(|other| are_alike(finding, other))
            .map(|other| other.code.as_str())
            .collect();
        if alike.len() < FEW {
            out.push_str(&line(finding));
        } else if told.insert(&finding.message) {
            out.push_str(&together(finding, &alike));
        }
    }
    let ends = report.waived.ends_in.map(|days| {
        let first = if report.waived.count == 1 {
            "the waiver"
        } else {
            "the first waiver"
        };
        format!("; {first} ends in {days} d")
    });
    out.push_str(&format!(
        "\n{}{}\n",
        sum(&report.summary),
        ends.unwrap_or_default()
    ));
    if !report.next.is_empty() {
        let next: Vec<_> = report
            .next
            .iter()
            .map(|next| sanitize::line(next))
            .collect();
        out.push_str(&format!("next: {}\n", next.join("\n      ")));
    }
    out
}

/// The first line: which node, which runtime.
fn head(report: &Report) -> String {
    let mut words = Vec::new();
    if !report.host.is_empty() {
        words.push(report.host.clone());
    }
    let runtime = &report.runtime;
    if let Some(name) = &runtime.name {
        let version = runtime.version.as_deref().unwrap_or_default();
        words.push(format!("{name} {version}").trim_end().to_owned());
    }
    words.extend(runtime.endpoint.clone());
    words.push(format!("profile {}", report.profile));
    format!("{}\n", sanitize::line(&words.join(" · ")))
}

/// So many checks with one reason are told in one line.
const FEW: usize = 3;

/// Whether two checks could not see for the same reason.
fn are_alike(one: &Finding, other: &Finding) -> bool {
    one.status == Status::Unknown && other.status == Status::Unknown && one.message == other.message
}

/// Checks that could not see for the same reason, in one line.
fn together(finding: &Finding, codes: &[&str]) -> String {
    let mut names = codes
        .iter()
        .take(FEW)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if codes.len() > FEW {
        names.push_str(", …");
    }
    format!(
        "{:<8}{:<28} {} ({names})\n",
        super::word(finding.status),
        format!("{} checks", codes.len()),
        sanitize::line(&finding.message)
    )
}

/// What passed, was skipped or could not be seen, in a line each.
fn line(finding: &Finding) -> String {
    let subject = finding
        .subject
        .as_deref()
        .filter(|subject| !finding.message.contains(*subject))
        .map(|subject| format!("{subject}: "))
        .unwrap_or_default();
    format!(
        "{:<8}{:<28} {}{}\n",
        super::word(finding.status),
        finding.code.as_str(),
        sanitize::line(&subject),
        sanitize::line(&finding.message)
    )
}

/// A problem with everything that is known about it.
fn problem(finding: &Finding, renderer: &Renderer) -> String {
    let clean = |text: &str| sanitize::block(text).into_owned();
    let level = match finding.status {
        Status::Fail => Level::ERROR,
        _ => Level::WARNING,
    };
    let level = level.with_name(format!(
        "{} ({})",
        super::word(finding.status),
        finding.severity
    ));
    let title = level
        .primary_title(sanitize::line(&finding.message).into_owned())
        .id(finding.code.as_str());
    let mut elements: Vec<Element<'_>> = Vec::new();
    match &finding.source {
        Some(Source::File(place)) => elements.extend(excerpt(place)),
        Some(source) => elements.push(note("seen", &source.to_string())),
        None => {}
    }
    for evidence in &finding.evidence {
        match &evidence.source {
            Source::File(place) if place.excerpt.is_some() => {
                elements.extend(excerpt_with(place, &evidence.text));
            }
            source => elements.push(note("evidence", &format!("{source}: {}", evidence.text))),
        }
    }
    if let Some(words) = &finding.runtime_says {
        elements.push(note("the runtime says", words));
    }
    if let Some(expected) = &finding.expected {
        let measured = finding
            .measured
            .as_ref()
            .map(plain)
            .filter(|text| !text.is_empty());
        elements.push(match measured {
            Some(measured) => note("expected", &format!("{expected}, found {measured}")),
            None => note("expected", expected),
        });
    }
    if let Some(since) = &finding.since {
        elements.push(note("since", since));
    }
    if let Some(remedy) = &finding.remedy {
        if !remedy.text.is_empty() {
            elements.push(Level::HELP.message(clean(&remedy.text)).into());
        }
        if let Some(edit) = &remedy.edit {
            elements.push(Level::HELP.message(corrected(edit)).into());
        }
        for command in &remedy.commands {
            elements.push(
                Level::HELP
                    .message(format!("run `{}`", sanitize::line(command)))
                    .into(),
            );
        }
    }
    let group = title.elements(elements);
    renderer.render(&[group])
}

fn note<'n>(what: &str, text: &str) -> Element<'n> {
    Level::NOTE
        .message(format!("{what}: {}", sanitize::block(text)))
        .into()
}

/// A value that fits into a sentence; larger ones are for machines.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
        _ => String::new(),
    }
}

/// The line of a file with what matters underlined; the path alone where the line is not known.
fn excerpt<'e>(place: &FilePlace) -> Option<Element<'e>> {
    match &place.excerpt {
        Some(_) => excerpt_with(place, ""),
        None => Some(note("seen", &place.to_string())),
    }
}

fn excerpt_with<'e>(place: &FilePlace, label: &str) -> Option<Element<'e>> {
    let excerpt = place.excerpt.as_deref()?;
    let text = sanitize::line(excerpt).into_owned();
    let column = place.column.unwrap_or(1).saturating_sub(1);
    let length = place.length.unwrap_or(0);
    // What is escaped is longer than it was.
    let shown = |character| sanitize::line(&excerpt[..offset(excerpt, character)]).len();
    let start = shown(column);
    let end = shown(column + length).max(start);
    let kind = if label.is_empty() {
        AnnotationKind::Primary
    } else {
        AnnotationKind::Context
    };
    let mut annotation = kind.span(start..end);
    if !label.is_empty() {
        annotation = annotation.label(sanitize::line(label).into_owned());
    }
    let snippet = Snippet::source(text)
        .line_start(place.line.unwrap_or(1))
        .path(place.path.clone())
        .annotation(annotation);
    Some(snippet.into())
}

/// The byte at which a character begins.
fn offset(text: &str, character: usize) -> usize {
    text.char_indices()
        .nth(character)
        .map_or(text.len(), |(at, _)| at)
}

/// The corrected line, or what is to be taken out.
fn corrected(edit: &Edit) -> String {
    let place = format!("{}:{}", edit.path, edit.line);
    let new = sanitize::block(&edit.new);
    let old = sanitize::block(&edit.old);
    match (edit.old.is_empty(), edit.new.is_empty()) {
        (true, _) => format!("in {place} add\n{}", indented("+ ", &new)),
        (false, true) => format!("in {place} remove\n{}", indented("- ", &old)),
        (false, false) => format!(
            "in {place}\n{}\n{}",
            indented("- ", &old),
            indented("+ ", &new)
        ),
    }
}

fn indented(sign: &str, text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("{sign}{line}")).collect();
    lines.join("\n")
}
