//! Fields that our `proto/` does not know: a runtime newer than we are, or one that speaks something else.

use std::collections::BTreeMap;

use super::table::{Kind, MessageType, Shape};
use super::walk::{Fields, Malformed, Value, WireType};

/// Different fields that are told apart; a hostile answer could hold half a billion of them.
const MOST: usize = 256;

/// A field that is not in the table, or has another type there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unknown {
    /// The message it is in: JSON names from the outermost message on, with `[]` for any element of a list and any value
    /// of a map, as in `containers[].metadata`; empty for the outermost message itself.
    pub path: String,
    /// The type of the message it is in.
    pub message: &'static str,
    /// Its number.
    pub number: u32,
    /// How it is written.
    pub wire_type: WireType,
    /// The field that has this number in our table, and is of another type there.
    pub known_as: Option<&'static str>,
}

/// What a message has beyond our table, and how often; the first 256 different fields of it, sorted by path and number.
pub fn unknown_fields(
    ty: &'static MessageType,
    bytes: &[u8],
) -> Result<BTreeMap<Unknown, usize>, Malformed> {
    let mut search = Search::default();
    search.message(ty, bytes)?;
    Ok(search.found)
}

#[derive(Default)]
struct Search {
    path: Vec<(&'static str, Shape)>,
    found: BTreeMap<Unknown, usize>,
}

impl Search {
    fn message(&mut self, ty: &'static MessageType, bytes: &[u8]) -> Result<(), Malformed> {
        for field in Fields::new(bytes) {
            let (number, value) = field.map_err(|malformed| malformed.within(ty.name()))?;
            let known = ty.field(number);
            let Some(field) = known.filter(|field| field.takes(value.wire_type())) else {
                self.add(Unknown {
                    path: self.path(),
                    message: ty.name(),
                    number,
                    wire_type: value.wire_type(),
                    known_as: known.map(|field| field.name()),
                });
                continue;
            };
            if let (Kind::Message(index), Value::Bytes(bytes)) = (field.kind, value) {
                self.path.push((field.json(), field.shape));
                match field.shape {
                    Shape::Map => self.map_value(index.ty(), bytes)?,
                    Shape::Singular | Shape::Repeated => self.message(index.ty(), bytes)?,
                }
                self.path.pop();
            }
        }
        Ok(())
    }

    fn map_value(&mut self, ty: &'static MessageType, entry: &[u8]) -> Result<(), Malformed> {
        for field in Fields::new(entry) {
            if let (2, Value::Bytes(bytes)) = field? {
                self.message(ty, bytes)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, unknown: Unknown) {
        if self.found.len() < MOST || self.found.contains_key(&unknown) {
            *self.found.entry(unknown).or_default() += 1;
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for (name, shape) in &self.path {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
            if *shape != Shape::Singular {
                path.push_str("[]");
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Typed;
    use super::*;
    use crate::cri;

    #[test]
    fn what_we_know_is_not_reported() {
        let bytes = b"\x0a\x08\x0a\x01x\x1a\x03\x0a\x01n";
        assert_eq!(
            unknown_fields(cri::ListContainersResponse::TYPE, bytes),
            Ok(BTreeMap::new())
        );
    }

    #[test]
    fn unknown_fields_have_a_path_and_a_count() {
        // Two containers: each with field 99 in its metadata, one with its state as text.
        let container = b"\x0a\x0a\x1a\x08\x0a\x01n\x9a\x06\x02hi";
        let bytes = [&container[..], container, b"\x0a\x03\x32\x01x\x10\x01"].concat();
        let found = unknown_fields(cri::ListContainersResponse::TYPE, &bytes).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(it, count)| {
                (
                    it.path.as_str(),
                    it.number,
                    it.wire_type,
                    it.known_as,
                    *count,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("", 2, WireType::Varint, None, 1),
                ("containers[]", 6, WireType::Bytes, Some("state"), 1),
                ("containers[].metadata", 99, WireType::Bytes, None, 2),
            ]
        );
    }

    #[test]
    fn a_flood_of_unknown_fields_is_cut() {
        let mut bytes = Vec::new();
        for number in 100_u32..1000 {
            prost::encoding::uint32::encode(number, &1, &mut bytes);
        }
        let found = unknown_fields(cri::VersionResponse::TYPE, &bytes).unwrap();
        assert_eq!(found.len(), MOST);
    }
}
