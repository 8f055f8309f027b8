//! Message bytes as a [`serde_json::Value`], for documents that get reshaped: inspections, templates, YAML. The same
//! document as [`json`](super::json) prints, with keys in alphabetical order.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::Unset;
use super::gather::Gathered;
use super::scalar::{self, Scalar, Scalars};
use super::table::{Field, Kind, MessageType, Shape};
use super::walk::{Malformed, Value as WireValue};

/// The document of a message.
pub fn value(ty: &MessageType, bytes: &[u8], unset: Unset) -> Result<Value, Malformed> {
    let known = Gathered::of(ty, bytes)?;
    let mut object = Map::new();
    for (index, field) in ty.fields().iter().enumerate() {
        let value = match field.shape {
            Shape::Singular => singular(&known, index, field, unset)?,
            Shape::Repeated => Some(Value::Array(repeated(&known, index, field, unset)?)),
            Shape::Map => Some(Value::Object(map(&known, index, field, unset)?)),
        };
        if let Some(value) = value {
            object.insert(field.json().to_owned(), value);
        }
    }
    Ok(Value::Object(object))
}

fn singular(
    known: &Gathered,
    index: usize,
    field: &'static Field,
    unset: Unset,
) -> Result<Option<Value>, Malformed> {
    if !field.kind.can_be_unset() {
        return Ok(Scalar::of(field.kind, known.last(index)).map(Value::from));
    }
    match known.message(index, field) {
        Some(bytes) => one(field.kind, Some(WireValue::Bytes(&bytes)), unset).map(Some),
        None if unset == Unset::Null => Ok(Some(Value::Null)),
        None => Ok(None),
    }
}

fn repeated(
    known: &Gathered,
    index: usize,
    field: &'static Field,
    unset: Unset,
) -> Result<Vec<Value>, Malformed> {
    let values = known.values(index, field);
    if matches!(field.kind, Kind::Message(_)) {
        return values
            .map(|value| one(field.kind, Some(value), unset))
            .collect();
    }
    Scalars::new(field.kind, values)
        .map(|scalar| scalar.map(Value::from))
        .collect()
}

fn map(
    known: &Gathered,
    index: usize,
    field: &'static Field,
    unset: Unset,
) -> Result<Map<String, Value>, Malformed> {
    let mut object = Map::new();
    for (key, value) in known.entries(index, field)? {
        let value = one(field.kind, value, unset)?;
        object.insert(scalar::text(key).into_owned(), value);
    }
    Ok(object)
}

/// A single value, a message or not.
fn one(kind: Kind, found: Option<WireValue>, unset: Unset) -> Result<Value, Malformed> {
    match (kind, found) {
        (Kind::Message(index), Some(WireValue::Bytes(bytes))) => value(index.ty(), bytes, unset),
        (Kind::Message(index), _) => value(index.ty(), &[], unset),
        _ => Ok(Scalar::of(kind, found).map_or(Value::Null, Value::from)),
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
        assert_eq!(shown["memory"]["psi"], Value::Null);
    }
}
