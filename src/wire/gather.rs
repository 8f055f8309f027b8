//! The known fields of one message, gathered by one pass over its bytes, so that they can be taken in the order of their
//! declaration: the last of several scalars, several messages merged into one, all values of a list or map.
//!
//! A value of another wire type than the field's counts as unknown, as in Go.

use std::borrow::Cow;

use super::table::{Field, Kind, MOST_FIELDS, MessageType, Shape};
use super::walk::{Fault, Fields, Malformed, Value, WireType};

/// Where the values of the fields of a message stand.
pub(super) struct Gathered<'a> {
    bytes: &'a [u8],
    slots: [Slot; MOST_FIELDS],
}

/// The values of one field: how many, where the first begins with its tag, and where the last is; with its tag too, but
/// without tag and length if it is bytes.
#[derive(Clone, Copy, Default)]
struct Slot {
    count: u32,
    first: u32,
    last: u32,
    end: u32,
}

impl<'a> Gathered<'a> {
    /// Looks at every field once, and into none of them.
    pub(super) fn of(ty: &MessageType, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut slots = [Slot::default(); MOST_FIELDS];
        if u32::try_from(bytes.len()).is_err() {
            let (fault, offset, message) = (Fault::TooLarge, 0, Some(ty.name()));
            return Err(Malformed {
                fault,
                offset,
                message,
            });
        }
        let rows = ty.fields();
        let mut fields = Fields::new(bytes);
        loop {
            let start = fields.offset() as u32;
            let Some(field) = fields.next() else { break };
            let (number, value) = field.map_err(|malformed| malformed.within(ty.name()))?;
            let Some(index) = ty.index(number) else {
                continue;
            };
            let (Some(row), Some(slot)) = (rows.get(index), slots.get_mut(index)) else {
                continue;
            };
            if !row.takes(value.wire_type()) {
                continue;
            }
            if slot.count == 0 {
                slot.first = start;
            }
            slot.count += 1;
            slot.end = fields.offset() as u32;
            slot.last = match value {
                Value::Bytes(bytes) => slot.end - bytes.len() as u32,
                _ => start,
            };
        }
        Ok(Self { bytes, slots })
    }

    /// The values of a field, in the order of the wire.
    pub(super) fn values(&self, index: usize, field: &'static Field) -> Values<'a> {
        let slot = self.slots[index];
        let fields = Fields::new(self.stretch(slot.first, slot.end));
        Values { fields, field }
    }

    /// The value of a singular field that counts.
    #[inline]
    pub(super) fn last(&self, index: usize, field: &'static Field) -> Option<Value<'a>> {
        let slot = self.slots[index];
        if slot.count == 0 {
            return None;
        }
        let bytes = self.stretch(slot.last, slot.end);
        if field.wire_type == WireType::Bytes {
            return Some(Value::Bytes(bytes));
        }
        let (_, value) = Fields::new(bytes).next()?.ok()?;
        Some(value)
    }

    /// The bytes of a message field. Several messages for one field mean one that has the fields of all of them, which
    /// is what their bytes in a row mean.
    pub(super) fn message(&self, index: usize, field: &'static Field) -> Option<Cow<'a, [u8]>> {
        if self.slots[index].count <= 1 {
            return match self.last(index, field)? {
                Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
                _ => None,
            };
        }
        let mut merged = Vec::new();
        for value in self.values(index, field) {
            if let Value::Bytes(bytes) = value {
                merged.extend_from_slice(bytes);
            }
        }
        Some(Cow::Owned(merged))
    }

    /// The entries of a map, sorted by key; of several with the same key, the last one.
    pub(super) fn entries(
        &self,
        index: usize,
        field: &'static Field,
    ) -> Result<Vec<Entry<'a>>, Malformed> {
        let count = self.slots[index].count as usize;
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        for value in self.values(index, field) {
            if let Value::Bytes(bytes) = value {
                entries.push(entry(bytes, field.kind)?);
            }
        }
        // Stable: equal keys stay in the order of the wire.
        entries.sort_by_key(|(key, _)| *key);
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                *earlier = *later;
            }
            same
        });
        Ok(entries)
    }

    fn stretch(&self, start: u32, end: u32) -> &'a [u8] {
        let range = start as usize..end as usize;
        self.bytes.get(range).unwrap_or(&[])
    }
}

/// The key and the value of a map entry, which is missing when it is empty or zero.
pub(super) type Entry<'a> = (&'a [u8], Option<Value<'a>>);

/// The values of one field. What was malformed was found when they were gathered.
pub(super) struct Values<'a> {
    fields: Fields<'a>,
    field: &'static Field,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        loop {
            let (number, value) = self.fields.next()?.ok()?;
            if number == self.field.number() && self.field.takes(value.wire_type()) {
                return Some(value);
            }
        }
    }
}

impl Field {
    /// Whether a value of this wire type belongs to the field. Repeated numbers come one by one or packed.
    #[inline]
    pub(super) fn takes(&self, wire_type: WireType) -> bool {
        wire_type == self.wire_type
            || (wire_type == WireType::Bytes && self.shape == Shape::Repeated)
    }
}

impl Kind {
    /// How a single value is written.
    #[inline]
    pub(super) fn wire_type(self) -> WireType {
        match self {
            Kind::Bool
            | Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Enum(_) => WireType::Varint,
            Kind::Double => WireType::Fixed64,
            Kind::String | Kind::Bytes | Kind::Text | Kind::Timestamp | Kind::Message(_) => {
                WireType::Bytes
            }
        }
    }
}

fn entry(bytes: &[u8], value_kind: Kind) -> Result<Entry<'_>, Malformed> {
    let (mut key, mut value) = (&[][..], None);
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, found) if found.wire_type() == value_kind.wire_type() => value = Some(found),
            _ => {}
        }
    }
    Ok((key, value))
}
