//! JSON, NDJSON and YAML. Runtime answers are written from their bytes, documents of our own from a value.

use std::io;

use erased_serde::Serialize;
use serde_json::Value;

use super::yaml;
use crate::model::Row;
use crate::wire::{self, MessageType, Typed, json};

/// Why something cannot be written as structured output.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody takes what is written.
    #[error("cannot write the output")]
    Write(#[source] io::Error),
    /// The runtime's bytes are not the message that they should be.
    #[error("the answer is not a valid message")]
    Malformed(#[from] wire::Malformed),
    /// The answer has no list of messages in field 1; every list of CRI has.
    #[error("the answer holds no list")]
    NoList,
    /// JSON could not be written.
    #[error("the document cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// YAML could not be written.
    #[error("the document cannot be written as YAML: {0}")]
    Yaml(String),
}

/// A structured format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One indented document.
    Json,
    /// One element to a line.
    Ndjson,
    /// One YAML document, keys sorted.
    Yaml,
}

impl From<json::Error> for Error {
    fn from(error: json::Error) -> Self {
        match error {
            json::Error::Malformed(malformed) => Self::Malformed(malformed),
            json::Error::Io(error) => Self::Write(error),
        }
    }
}

impl Error {
    /// Whether it is about the bytes of an element, which can be left out.
    pub fn is_malformed(&self) -> bool {
        matches!(self, Error::Malformed(_))
    }
}

/// The list is field 1 of every list answer of CRI.
const ELEMENTS: u32 = 1;

/// A list answer that is written element by element: one document with the elements in it, or one element to a line.
#[derive(Debug)]
pub struct List<W> {
    element: &'static MessageType,
    form: Form<W>,
}

#[derive(Debug)]
enum Form<W> {
    Json(json::List<W>),
    Ndjson(json::Writer<W>),
    /// A tree, because YAML cannot be written by halves.
    Yaml(&'static str, Vec<Value>, W),
}

impl<W: io::Write> List<W> {
    /// Begins a list of the elements that become rows of type `R`.
    ///
    /// # Errors
    /// [`Error::NoList`], which would be a defect.
    pub fn new<R: Row>(format: Format, out: W) -> Result<Self, Error> {
        let (answer, element) = (R::Answer::TYPE, R::Message::TYPE);
        let form = match format {
            Format::Json => {
                let writer = json::Writer::new(out, json::Layout::Pretty);
                let list = json::List::new(writer, answer, ELEMENTS);
                Form::Json(list.ok_or(Error::NoList)?)
            }
            Format::Ndjson => Form::Ndjson(json::Writer::new(out, json::Layout::Compact)),
            Format::Yaml => {
                let field = answer.field(ELEMENTS).ok_or(Error::NoList)?;
                Form::Yaml(field.json(), Vec::new(), out)
            }
        };
        Ok(Self { element, form })
    }

    /// Writes an element.
    ///
    /// # Errors
    /// [`Error::is_malformed`]: nothing of it was written, and the list can go on. Else writing failed.
    pub fn element(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.form {
            Form::Json(list) => list.element(bytes)?,
            Form::Ndjson(writer) => writer.document(self.element, bytes)?,
            Form::Yaml(_, values, _) => {
                values.push(wire::value(self.element, bytes, wire::Unset::Omit)?);
            }
        }
        Ok(())
    }

    /// Ends the list.
    ///
    /// # Errors
    /// Writing failed.
    pub fn finish(self) -> Result<W, Error> {
        let written = Error::Write;
        match self.form {
            Form::Json(list) => list.finish().map_err(written),
            Form::Ndjson(writer) => writer.finish().map_err(written),
            Form::Yaml(key, values, mut out) => {
                let text = yaml::text(&serde_json::json!({ key: values }));
                out.write_all(text.as_bytes()).map_err(written)?;
                Ok(out)
            }
        }
    }
}

/// A list answer, in memory.
///
/// # Errors
/// [`Error::Malformed`] for an element that is not the message that it should be.
pub fn list<'b, R: Row>(
    format: Format,
    elements: impl IntoIterator<Item = &'b [u8]>,
) -> Result<Vec<u8>, Error> {
    let mut list = List::new::<R>(format, Vec::new())?;
    for bytes in elements {
        list.element(bytes)?;
    }
    list.finish()
}

/// A list answer as a value.
///
/// # Errors
/// As [`list`].
pub fn list_value<'b, R: Row>(
    elements: impl IntoIterator<Item = &'b [u8]>,
) -> Result<Value, Error> {
    let values: Result<Vec<Value>, _> = elements
        .into_iter()
        .map(|bytes| wire::value(R::Message::TYPE, bytes, wire::Unset::Omit))
        .collect();
    let key = R::Answer::TYPE.field(ELEMENTS).ok_or(Error::NoList)?.json();
    Ok(serde_json::json!({ key: values? }))
}

/// A document of what a runtime said, in crictl's manner.
///
/// # Errors
/// As [`document`].
pub fn of_runtime(format: Format, value: &Value) -> Result<Vec<u8>, Error> {
    match format {
        Format::Yaml => Ok(yaml::text(value).into_bytes()),
        Format::Json | Format::Ndjson => document(format, value),
    }
}

/// A document of our own. Which type it is of is forgotten here, so that every type is written by one piece of the
/// program and not by one for each format.
///
/// # Errors
/// [`Error::Json`] and [`Error::Yaml`], which would be a defect of the document's type.
pub fn document(format: Format, value: &dyn Serialize) -> Result<Vec<u8>, Error> {
    match format {
        Format::Json => {
            let mut out = serde_json::to_vec_pretty(value)?;
            out.push(b'\n');
            Ok(out)
        }
        Format::Ndjson => {
            let mut out = serde_json::to_vec(value)?;
            out.push(b'\n');
            Ok(out)
        }
        Format::Yaml => own_yaml(value),
    }
}

fn own_yaml(value: &dyn Serialize) -> Result<Vec<u8>, Error> {
    let text = serde_saphyr::to_string(&value).map_err(|error| Error::Yaml(error.to_string()))?;
    let mut out = text.into_bytes();
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    Ok(out)
}
