//! What can be wrong with a document, and what was probably meant.

use std::fmt;

use serde_json::Value;
use thiserror::Error;

/// What is wrong with a document: the first 32 mistakes in it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct EncodeErrors(pub Vec<Mistake>);

impl fmt::Display for EncodeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let lead = if index == 0 { "" } else { "; " };
            write!(f, "{lead}{mistake}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The keys from the outermost one on, as written, as in `linux.security_context` or `mounts[2]`; empty for the
    /// document itself.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => self.problem.fmt(f),
            path => write!(f, "`{path}`: {}", self.problem),
        }
    }
}

/// What can be wrong with a part of a document.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// A key that the message does not have.
    #[error("unknown key `{key}`{}", did_you_mean(.nearest))]
    UnknownKey {
        /// As written.
        key: String,
        /// The one that may have been meant.
        nearest: Option<&'static str>,
    },
    /// The same field in both spellings.
    #[error("`{key}` is there twice, in two spellings")]
    Twice {
        /// The spelling of the proto.
        key: &'static str,
    },
    /// A value of another type.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What the field takes.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A number that the field cannot hold.
    #[error("{number} is out of the range of {kind}")]
    Range {
        /// As written.
        number: String,
        /// The type in the proto.
        kind: &'static str,
    },
    /// A name that the enum does not have.
    #[error("unknown value `{name}`{}", did_you_mean(.nearest))]
    UnknownValue {
        /// As written.
        name: String,
        /// The one that may have been meant.
        nearest: Option<&'static str>,
    },
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// A value of another type than expected.
pub(super) fn type_mistake(expected: &'static str, found: &Value) -> Problem {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {:?}", excerpt(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    Problem::Type { expected, found }
}

/// The beginning of a text that may be long.
fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The name that was probably meant: a third of it may be wrong; case and underscores do not count.
pub(super) fn nearest(
    written: &str,
    names: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let fold = |name: &str| -> Vec<char> {
        let letters = name.chars().filter(|letter| *letter != '_');
        letters.flat_map(char::to_lowercase).take(80).collect()
    };
    let written = fold(written);
    names
        .map(|name| (distance(&written, &fold(name)), name))
        .filter(|(distance, _)| *distance <= written.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters have to be added, dropped, changed or swapped with the next to make one word of another.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut above: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for i in 0..one.len() {
        let mut row = vec![i + 1];
        for j in 0..other.len() {
            let changed = last[j] + usize::from(one[i] != other[j]);
            let mut least = changed.min(row[j] + 1).min(last[j + 1] + 1);
            if i > 0 && j > 0 && one[i] == other[j - 1] && one[i - 1] == other[j] {
                least = least.min(above[j - 1] + 1);
            }
            row.push(least);
        }
        above = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}
