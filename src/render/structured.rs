//! JSON, NDJSON and YAML. Runtime answers are written from their bytes, documents of our own from a value.

use serde::Serialize;
use serde_json::Value;

use crate::model::Row;
use crate::wire::{self, Typed, json};

/// Why something cannot be written as structured output.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime's bytes are not the message that they should be.
    #[error("the answer is not a valid message")]
    Wire(#[from] json::Error),
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

/// The field of the elements in every list answer.
const ELEMENTS: u32 = 1;

/// A list answer: one document with the elements in it, or one element to a line.
///
/// # Errors
/// [`Error::Wire`] for an element that is not the message that it should be.
pub fn list<'b, R: Row>(
    format: Format,
    elements: impl IntoIterator<Item = &'b [u8]>,
) -> Result<Vec<u8>, Error> {
    let (answer, element) = (R::Answer::TYPE, R::Message::TYPE);
    match format {
        Format::Json => {
            let writer = json::Writer::new(Vec::new(), json::Layout::Pretty);
            let mut list = json::List::new(writer, answer, ELEMENTS).ok_or(Error::NoList)?;
            for bytes in elements {
                list.element(bytes)?;
            }
            Ok(list.finish().map_err(json::Error::from)?)
        }
        Format::Ndjson => {
            let mut writer = json::Writer::new(Vec::new(), json::Layout::Compact);
            for bytes in elements {
                writer.document(element, bytes)?;
            }
            Ok(writer.finish().map_err(json::Error::from)?)
        }
        Format::Yaml => yaml(&list_value::<R>(elements)?),
    }
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

/// A document of our own.
///
/// # Errors
/// [`Error::Json`] and [`Error::Yaml`], which would be a defect of the document's type.
pub fn document(format: Format, value: &impl Serialize) -> Result<Vec<u8>, Error> {
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
        Format::Yaml => yaml(value),
    }
}

fn yaml(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let text = serde_saphyr::to_string(value).map_err(|error| Error::Yaml(error.to_string()))?;
    let mut out = text.into_bytes();
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    Ok(out)
}
