//! Scalars: what a value on the wire means, once the kind of its field is known.

use std::borrow::Cow;

use jiff::Timestamp;

use super::gather::Values;
use super::table::{EnumType, Kind};
use super::walk::{Fields, Malformed, Value};

/// A value that is not a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    /// `int32` and `uint32`: a number in JSON
    Small(i64),
    /// `int64`: a string in JSON
    Int64(i64),
    /// `uint64`: a string in JSON
    Uint64(u64),
    Double(f64),
    /// Text as the runtime wrote it, not necessarily UTF-8
    Text(&'a [u8]),
    /// Shown as base64
    Bytes(&'a [u8]),
    Enum(&'static EnumType, i32),
    /// The fields of a timestamp
    Timestamp(&'a [u8]),
}

impl<'a> Scalar<'a> {
    /// The meaning of a value; of a field that is not there when there is none. Messages have no scalar.
    #[inline]
    pub(super) fn of(kind: Kind, value: Option<Value<'a>>) -> Option<Self> {
        let number = match value {
            Some(Value::Varint(number)) => number,
            _ => 0,
        };
        let bytes = match value {
            Some(Value::Bytes(bytes)) => bytes,
            _ => &[],
        };
        // 32-bit kinds take the low bits of what was sent, as every implementation does.
        Some(match kind {
            Kind::Bool => Scalar::Bool(number != 0),
            Kind::Int32 => Scalar::Small(i64::from(number as i32)),
            Kind::Uint32 => Scalar::Small(i64::from(number as u32)),
            Kind::Int64 => Scalar::Int64(number as i64),
            Kind::Uint64 => Scalar::Uint64(number),
            Kind::Double => match value {
                Some(Value::Fixed64(bits)) => Scalar::Double(f64::from_bits(bits)),
                _ => Scalar::Double(0.0),
            },
            Kind::String | Kind::Text => Scalar::Text(bytes),
            Kind::Bytes => Scalar::Bytes(bytes),
            Kind::Timestamp => Scalar::Timestamp(bytes),
            Kind::Enum(index) => Scalar::Enum(index.ty(), number as i32),
            Kind::Message(_) => return None,
        })
    }
}

/// The scalars of a repeated field, packed or not.
pub(super) struct Scalars<'a> {
    kind: Kind,
    values: Values<'a>,
    packed: Fields<'a>,
}

impl<'a> Scalars<'a> {
    pub(super) fn new(kind: Kind, values: Values<'a>) -> Self {
        let packed = Fields::new(&[]);
        Self {
            kind,
            values,
            packed,
        }
    }
}

impl<'a> Iterator for Scalars<'a> {
    type Item = Result<Scalar<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(value) = self.packed.bare(self.kind.wire_type()) {
                return value
                    .map(|value| Scalar::of(self.kind, Some(value)))
                    .transpose();
            }
            match self.values.next()? {
                Value::Bytes(packed) if self.kind.is_packable() => {
                    self.packed = Fields::new(packed)
                }
                value => return Scalar::of(self.kind, Some(value)).map(Ok),
            }
        }
    }
}

impl Kind {
    /// Whether several values can stand in one field, without tags.
    pub(super) fn is_packable(self) -> bool {
        self.wire_type() != super::WireType::Bytes
    }
}

/// Text from outside as valid UTF-8: what is not becomes U+FFFD.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly always it is, and to find that out is many times faster than to look for what is not.
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// A `google.protobuf.Timestamp` as RFC 3339, with no, three, six or nine digits after the second as protojson does.
/// Outside the years that can be written so, where protojson fails: seconds and nanoseconds.
pub(super) fn timestamp(bytes: &[u8]) -> String {
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::new(bytes) {
        match field {
            Ok((1, Value::Varint(number))) => seconds = number as i64,
            Ok((2, Value::Varint(number))) => nanos = number as i32,
            _ => {}
        }
    }
    let time = Timestamp::new(seconds, 0).map(|time| time.to_string());
    let (Ok(time), 0..1_000_000_000) = (time, nanos) else {
        return format!("{seconds}s {nanos}ns");
    };
    let whole = time.trim_end_matches('Z');
    match nanos {
        0 => time,
        _ if nanos % 1_000_000 == 0 => format!("{whole}.{:03}Z", nanos / 1_000_000),
        _ if nanos % 1_000 == 0 => format!("{whole}.{:06}Z", nanos / 1_000),
        _ => format!("{whole}.{nanos:09}Z"),
    }
}
