//! A few values of a message, found in one walk over its bytes: what a table shows of an element, without a look at the
//! rest and without a copy.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::scalar;
use super::walk::{Fields, Malformed, Value};

/// Where a value stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// A field of the message itself.
    Field(u32),
    /// A field of a message in it: the number of the one, then of the other.
    Inner(u32, u32),
    /// A value of a map of texts: the number of the map, then the key.
    Entry(u32, &'static str),
}

impl Path {
    /// The number of the field of the message itself.
    const fn outer(self) -> u32 {
        match self {
            Path::Field(number) | Path::Inner(number, _) | Path::Entry(number, _) => number,
        }
    }
}

/// The highest number of a field that can be looked for, plus one.
const NUMBERS: usize = 32;

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Picker<const N: usize> {
    paths: [Path; N],
    /// Which of the paths lead through the field of a number: from here, up to there.
    through: [(u8, u8); NUMBERS],
}

impl<const N: usize> Picker<N> {
    /// Looks for the values at these paths. Those through one field stand together, and no number is above 31.
    ///
    /// # Panics
    /// While compiling, if that is not so.
    pub const fn new(paths: [Path; N]) -> Self {
        let mut through = [(0, 0); NUMBERS];
        let mut index = 0;
        while index < N {
            let number = paths[index].outer() as usize;
            let (from, to) = through[number];
            assert!(
                from == to || to as usize == index,
                "paths through one field stand together"
            );
            let from = if from == to { index as u8 } else { from };
            through[number] = (from, index as u8 + 1);
            index += 1;
        }
        Self { paths, through }
    }

    /// Looks through a message once. Of several values for one place the last one counts, as everywhere in protobuf.
    ///
    /// # Errors
    /// The message is malformed, or one of those on the paths; the others are passed over.
    pub fn pick(&self, message: Bytes) -> Result<Picked<N>, Malformed> {
        let mut places = [Place::Nowhere; N];
        let whole = &message[..];
        for field in Fields::new(whole) {
            let (number, value) = field?;
            let Some(&(from, to)) = self.through.get(number as usize) else {
                continue;
            };
            for index in usize::from(from)..usize::from(to) {
                match (self.paths[index], value) {
                    (Path::Field(_), value) => places[index] = Place::of(value, whole),
                    (Path::Inner(..), Value::Bytes(inside)) => {
                        let rest = index..usize::from(to);
                        self.look_into(inside, whole, rest, &mut places)?;
                        break;
                    }
                    (Path::Entry(..), Value::Bytes(entry)) => {
                        let rest = index..usize::from(to);
                        self.look_up(entry, whole, rest, &mut places)?;
                        break;
                    }
                    (Path::Inner(..) | Path::Entry(..), _) => {}
                }
            }
        }
        Ok(Picked { message, places })
    }

    /// A message on these paths.
    fn look_into(
        &self,
        inside: &[u8],
        whole: &[u8],
        paths: Range<usize>,
        places: &mut [Place; N],
    ) -> Result<(), Malformed> {
        for field in Fields::new(inside) {
            let (number, value) = field?;
            for index in paths.clone() {
                if matches!(self.paths[index], Path::Inner(_, inner) if inner == number) {
                    places[index] = Place::of(value, whole);
                }
            }
        }
        Ok(())
    }

    /// An entry of a map on these paths: a message of a key and a value, in any order.
    fn look_up(
        &self,
        entry: &[u8],
        whole: &[u8],
        paths: Range<usize>,
        places: &mut [Place; N],
    ) -> Result<(), Malformed> {
        let (mut key, mut found) = (&b""[..], &entry[..0]);
        for field in Fields::new(entry) {
            match field? {
                (1, Value::Bytes(bytes)) => key = bytes,
                (2, Value::Bytes(bytes)) => found = bytes,
                _ => {}
            }
        }
        for index in paths {
            if matches!(self.paths[index], Path::Entry(_, wanted) if wanted.as_bytes() == key) {
                places[index] = Place::of(Value::Bytes(found), whole);
            }
        }
        Ok(())
    }
}

/// The values that were looked for, by the place of their path.
#[derive(Clone, Debug)]
pub struct Picked<const N: usize> {
    message: Bytes,
    places: [Place; N],
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Nowhere,
    Number(u64),
    Text(Span),
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: u32,
}

impl Place {
    /// The place of a value in the whole message.
    #[inline(always)]
    fn of(value: Value<'_>, whole: &[u8]) -> Self {
        match value {
            // Both lie in one allocation; what is longer than 4 GiB does not come from a runtime.
            Value::Bytes(part) => Place::Text(Span {
                start: (part.as_ptr() as usize - whole.as_ptr() as usize) as u32,
                length: part.len() as u32,
            }),
            Value::Varint(number) => Place::Number(number),
            // No field of CRI that lists show is written in another way.
            Value::Fixed32(_) | Value::Fixed64(_) | Value::Group(_) => Place::Nowhere,
        }
    }
}

impl<const N: usize> Picked<N> {
    /// The whole message.
    pub fn message(&self) -> &Bytes {
        &self.message
    }

    /// The same, in memory of its own: it does not keep what arrived together with it.
    pub fn detached(self) -> Self {
        let message = Bytes::copy_from_slice(&self.message);
        Self { message, ..self }
    }

    /// Whether the value is there.
    pub fn has(&self, path: usize) -> bool {
        !matches!(self.places.get(path), None | Some(Place::Nowhere))
    }

    /// A text; empty if it is not there. What is not UTF-8 becomes U+FFFD.
    pub fn text(&self, path: usize) -> Cow<'_, str> {
        match self.places.get(path) {
            Some(Place::Text(Span { start, length })) => {
                let (start, length) = (*start as usize, *length as usize);
                scalar::text(self.message.get(start..start + length).unwrap_or(&[]))
            }
            _ => Cow::Borrowed(""),
        }
    }

    /// A number, its sign and width to be told by a cast; zero if it is not there.
    pub fn number(&self, path: usize) -> u64 {
        match self.places.get(path) {
            Some(Place::Number(number)) => *number,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::cri;

    const PICKER: Picker<5> = Picker::new([
        Path::Field(1),
        Path::Field(7),
        Path::Inner(3, 1),
        Path::Inner(3, 2),
        Path::Entry(8, "b"),
    ]);

    fn pick(bytes: &[u8]) -> Picked<5> {
        PICKER.pick(Bytes::copy_from_slice(bytes)).unwrap()
    }

    #[test]
    fn what_is_looked_for_is_found() {
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let container = cri::Container {
            id: "3fd1".into(),
            metadata: Some(cri::ContainerMetadata {
                name: "web".into(),
                attempt: 300,
            }),
            created_at: -1,
            labels: [label("a", "1"), label("b", "2"), label("c", "3")].into(),
            annotations: [label("b", "not this")].into(),
            ..Default::default()
        };
        let picked = pick(&container.encode_to_vec());
        assert_eq!(picked.text(0), "3fd1");
        assert_eq!(picked.number(1) as i64, -1);
        assert_eq!(picked.text(2), "web");
        assert_eq!(picked.number(3), 300);
        assert_eq!(picked.text(4), "2");
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let picked = pick(b"");
        assert!(!picked.has(0) && !picked.has(9));
        assert_eq!((&*picked.text(0), picked.number(1)), ("", 0));
        // A text where a number belongs, and the other way round.
        let picked = pick(b"\x08\x05\x3a\x01x");
        assert_eq!((&*picked.text(0), picked.number(1)), ("", 0));
    }

    #[test]
    fn the_last_value_counts_and_messages_are_merged() {
        let picked = pick(b"\x0a\x01a\x0a\x01b\x1a\x03\x0a\x01n\x1a\x02\x10\x07");
        assert_eq!((&*picked.text(0), &*picked.text(2)), ("b", "n"));
        assert_eq!(picked.number(3), 7);
        // The value before its key, and a key without a value after one with a value.
        let picked = pick(b"\x42\x06\x12\x01x\x0a\x01b");
        assert_eq!(picked.text(4), "x");
        let picked = pick(b"\x42\x06\x0a\x01b\x12\x01x\x42\x03\x0a\x01b");
        assert!(picked.has(4) && picked.text(4).is_empty());
    }

    #[test]
    fn only_what_is_looked_at_can_be_malformed() {
        let pick = |bytes: &'static [u8]| PICKER.pick(Bytes::from_static(bytes)).map(drop);
        assert!(pick(b"\x0a\x09a").is_err());
        assert!(pick(b"\x1a\x02\x0a\x09").is_err());
        assert!(pick(b"\x42\x02\x0a\x09").is_err());
        assert!(pick(b"\x4a\x02\x0a\x09").is_ok());
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(pick(b"\x0a\x02a\xff").text(0), "a\u{fffd}");
    }
}
