//! Message bytes as a [`serde_json::Value`], for documents that get reshaped: inspections, templates, YAML. The same
//! document as [`json`](super::json) prints, with keys in alphabetical order.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::gather::Gathered;
use super::scalar::{self, Scalar, Scalars};
use super::table::{Field, Kind, MessageType, Shape};
use super::walk::{Fault, Malformed, Value as WireValue};

/// The most values that one document holds. Empty messages are two bytes on the wire and hundreds in memory, so the size
/// of an answer does not bound the size of its document; no real answer comes near.
const MOST_VALUES: usize = 4_000_000;

/// What becomes of a message field that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// It is left out, as in crictl's lists and in `inspecti`.
    Omit,
    /// It is `null` in the outermost message and left out further in, as in crictl's `inspect` and `inspectp`.
    Null,
}

/// The document of a message. Malformed, or [`Fault::TooLarge`] beyond four million values.
pub fn value(ty: &MessageType, bytes: &[u8], unset: Unset) -> Result<Value, Malformed> {
    let left = MOST_VALUES;
    let mut document = Builder { left }.message(ty, bytes)?;
    if unset == Unset::Null {
        for field in ty.fields() {
            if field.can_be_unset() {
                document.entry(field.json()).or_insert(Value::Null);
            }
        }
    }
    Ok(Value::Object(document))
}

struct Builder {
    /// Values that may still be made.
    left: usize,
}

impl Builder {
    fn message(&mut self, ty: &MessageType, bytes: &[u8]) -> Result<Map<String, Value>, Malformed> {
        let known = Gathered::of(ty, bytes)?;
        self.spend(ty, ty.fields().len())?;
        let mut object = Map::new();
        for (index, field) in ty.fields().iter().enumerate() {
            let value = match field.shape {
                Shape::Singular => self.singular(&known, index, field)?,
                Shape::Repeated => Some(Value::Array(self.repeated(ty, &known, index, field)?)),
                Shape::Map => Some(Value::Object(self.map(ty, &known, index, field)?)),
            };
            if let Some(value) = value {
                object.insert(field.json().to_owned(), value);
            }
        }
        Ok(object)
    }

    fn singular(
        &mut self,
        known: &Gathered,
        index: usize,
        field: &'static Field,
    ) -> Result<Option<Value>, Malformed> {
        if !field.can_be_unset() {
            return Ok(Scalar::of(field.kind, known.last(index, field)).map(Value::from));
        }
        match known.message(index, field) {
            Some(bytes) => self
                .one(field.kind, Some(WireValue::Bytes(&bytes)))
                .map(Some),
            None => Ok(None),
        }
    }

    fn repeated(
        &mut self,
        ty: &MessageType,
        known: &Gathered,
        index: usize,
        field: &'static Field,
    ) -> Result<Vec<Value>, Malformed> {
        let values = known.values(index, field);
        let mut array = Vec::new();
        if matches!(field.kind, Kind::Message(_)) {
            for value in values {
                self.spend(ty, 1)?;
                array.push(self.one(field.kind, Some(value))?);
            }
        } else {
            for scalar in Scalars::new(field.kind, values) {
                self.spend(ty, 1)?;
                array.push(scalar?.into());
            }
        }
        Ok(array)
    }

    fn map(
        &mut self,
        ty: &MessageType,
        known: &Gathered,
        index: usize,
        field: &'static Field,
    ) -> Result<Map<String, Value>, Malformed> {
        let mut object = Map::new();
        for (key, value) in known.entries(index, field)? {
            self.spend(ty, 1)?;
            let value = self.one(field.kind, value)?;
            object.insert(scalar::text(key).into_owned(), value);
        }
        Ok(object)
    }

    /// A single value, a message or not.
    fn one(&mut self, kind: Kind, found: Option<WireValue>) -> Result<Value, Malformed> {
        match (kind, found) {
            (Kind::Message(index), Some(WireValue::Bytes(bytes))) => {
                self.message(index.ty(), bytes).map(Value::Object)
            }
            (Kind::Message(index), _) => self.message(index.ty(), &[]).map(Value::Object),
            _ => Ok(Scalar::of(kind, found).map_or(Value::Null, Value::from)),
        }
    }

    fn spend(&mut self, ty: &MessageType, values: usize) -> Result<(), Malformed> {
        let (fault, offset, message) = (Fault::TooLarge, 0, Some(ty.name()));
        self.left = self.left.checked_sub(values).ok_or(Malformed {
            fault,
            offset,
            message,
        })?;
        Ok(())
    }
}

impl From<Scalar<'_>> for Value {
    fn from(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Bool(flag) => Value::Bool(flag),
            Scalar::Small(number) => Value::from(number),
            Scalar::Int64(number) => Value::String(number.to_string()),
            Scalar::Uint64(number) => Value::String(number.to_string()),
            Scalar::Double(number) => double(number),
            Scalar::Text(bytes) => Value::String(scalar::text(bytes).into_owned()),
            Scalar::Bytes(bytes) => Value::String(BASE64_STANDARD.encode(bytes)),
            Scalar::Enum(ty, number) => ty
                .value_name(number)
                .map_or_else(|| Value::from(number), Value::from),
            Scalar::Timestamp(bytes) => Value::String(scalar::timestamp(bytes)),
        }
    }
}

/// A whole number has no point in `protojson`, so it has none here.
fn double(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let negative_zero = number == 0.0 && number.is_sign_negative();
    if number.fract() == 0.0 && number.abs() < EXACT && !negative_zero {
        return Value::from(number as i64);
    }
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => Value::from("NaN"),
        None if number > 0.0 => Value::from("Infinity"),
        None => Value::from("-Infinity"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::table::Typed;
    use super::*;
    use crate::cri;

    #[test]
    fn unset_messages_are_omitted_or_null() {
        let bytes = b"\x1a\x00";
        let omitted = value(cri::ContainerStats::TYPE, bytes, Unset::Omit).unwrap();
        let memory = json!({"timestamp": "0"});
        assert_eq!(omitted["memory"], memory);
        assert!(omitted.get("cpu").is_none());
        let shown = value(cri::ContainerStats::TYPE, bytes, Unset::Null).unwrap();
        assert_eq!(shown["cpu"], Value::Null);
        assert_eq!(shown["memory"], memory);
    }

    #[test]
    fn a_document_of_nothing_is_bounded() {
        let mut builder = Builder { left: 30 };
        let bytes = b"\x0a\x00".repeat(3);
        let error = builder
            .message(cri::ListContainersResponse::TYPE, &bytes)
            .unwrap_err();
        assert_eq!(error.fault, Fault::TooLarge);
    }
}
