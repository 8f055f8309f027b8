//! What a check writes down: a builder for one verdict, from which the table and the report make a [`Finding`].

use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::{Edit, Evidence, Finding, Remedy, Severity, Status};
use crate::facts::Source;

/// What a check says about one subject, before the table adds what it knows. A builder: the sentence first, the rest
/// where there is something to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    pub(in crate::check) status: Status,
    pub(in crate::check) severity: Option<Severity>,
    pub(in crate::check) subject: Option<String>,
    pub(in crate::check) message: String,
    pub(in crate::check) runtime_says: Option<String>,
    pub(in crate::check) measured: Option<Value>,
    pub(in crate::check) expected: Option<String>,
    pub(in crate::check) source: Option<Source>,
    pub(in crate::check) remedy: Option<Remedy>,
    pub(in crate::check) evidence: Vec<Evidence>,
    pub(in crate::check) since: Option<String>,
    pub(in crate::check) duration_ms: Option<f64>,
    /// Codes that, if they are problems too, are the cause here and now.
    pub(in crate::check) because: Vec<&'static str>,
}

impl Note {
    /// A note of any status.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            severity: None,
            subject: None,
            message: message.into(),
            runtime_says: None,
            measured: None,
            expected: None,
            source: None,
            remedy: None,
            evidence: Vec::new(),
            since: None,
            duration_ms: None,
            because: Vec::new(),
        }
    }

    /// All is well.
    pub fn pass(message: impl Into<String>) -> Self {
        Self::new(Status::Pass, message)
    }

    /// It will hurt one day, or a little.
    pub fn warn(message: impl Into<String>) -> Self {
        Self::new(Status::Warn, message)
    }

    /// It hurts.
    pub fn fail(message: impl Into<String>) -> Self {
        Self::new(Status::Fail, message)
    }

    /// It could not be found out.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Status::Unknown, message)
    }

    /// Says what a finding says, but for its status and sentence.
    pub(in crate::check) fn like(mut self, finding: Finding) -> Self {
        self.severity = Some(finding.severity);
        self.subject = finding.subject;
        self.runtime_says = finding.runtime_says;
        self.source = finding.source;
        self.remedy = finding.remedy.filter(|remedy| !remedy.text.is_empty());
        self.evidence = finding.evidence;
        self
    }

    /// Matters less than the table says.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    /// What it is about.
    #[must_use]
    pub fn subject(mut self, subject: impl fmt::Display) -> Self {
        self.subject = Some(subject.to_string());
        self
    }

    /// The runtime's own words, verbatim.
    #[must_use]
    pub fn says(mut self, words: Option<impl Into<String>>) -> Self {
        self.runtime_says = words.map(Into::into).filter(|words| !words.is_empty());
        self
    }

    /// What was measured.
    #[must_use]
    pub fn measured(mut self, value: impl Into<Value>) -> Self {
        self.measured = Some(value.into());
        self
    }

    /// What it should have been.
    #[must_use]
    pub fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = Some(text.into());
        self
    }

    /// Where it was seen.
    #[must_use]
    pub fn at(mut self, source: impl Into<Option<Source>>) -> Self {
        self.source = source.into();
        self
    }

    /// What to do, in one sentence.
    #[must_use]
    pub fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedy.get_or_insert_default().text = text.into();
        self
    }

    /// A command to type.
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        let remedy = self.remedy.get_or_insert_default();
        remedy.commands.push(command.into());
        self
    }

    /// The change of a file that would help. `old` is what stands in the line.
    #[must_use]
    pub fn edit(
        mut self,
        path: &Path,
        line: usize,
        old: impl Into<String>,
        new: impl Into<String>,
    ) -> Self {
        self.remedy.get_or_insert_default().edit = Some(Edit {
            path: path.display().to_string(),
            line,
            old: old.into(),
            new: new.into(),
        });
        self
    }

    /// What else was seen.
    #[must_use]
    pub fn evidence(mut self, source: Source, text: impl Into<String>) -> Self {
        self.evidence.push(Evidence {
            source,
            text: text.into(),
        });
        self
    }

    /// Since when it is so, RFC 3339.
    #[must_use]
    pub fn since(mut self, time: Option<impl Into<String>>) -> Self {
        self.since = time.map(Into::into);
        self
    }

    /// How long the measurement took.
    #[must_use]
    pub fn took(mut self, milliseconds: f64) -> Self {
        self.duration_ms = Some(milliseconds);
        self
    }

    /// A check whose problem, if it has one, is the cause of this one on this node; it is shown before. What is a cause
    /// on every node stands in the table.
    #[must_use]
    pub fn because(mut self, code: &'static str) -> Self {
        self.because.push(code);
        self
    }
}
