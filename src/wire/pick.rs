//! A few values of a message, found in one walk over its bytes: what a table shows of an element, without a look at the
//! rest and without a copy.

use std::borrow::Cow;

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

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Picker<const N: usize> {
    paths: [Path; N],
    /// A bit for every field that is on one of the paths.
    wanted: u64,
}

impl<const N: usize> Picker<N> {
    /// Looks for the values at these paths. Fields with numbers beyond 63 are not found.
    pub const fn new(paths: [Path; N]) -> Self {
        let mut wanted = 0;
        let mut index = 0;
        while index < N {
            let (Path::Field(number) | Path::Inner(number, _) | Path::Entry(number, _)) =
                paths[index];
            if number < 64 {
                wanted |= 1 << number;
            }
            index += 1;
        }
        Self { paths, wanted }
    }

    /// Looks through a message once. Of several values for one place the last one counts, as everywhere in protobuf.
    ///
    /// # Errors
    /// The message is malformed, or one of those on the paths; the others are passed over.
    pub fn pick(&self, message: Bytes) -> Result<Picked<N>, Malformed> {
        let mut places = [Place::Nowhere; N];
        let within = |part: &[u8]| Span {
            // Both lie in one allocation; what is longer than 4 GiB does not come from a runtime.
            start: (part.as_ptr() as usize - message.as_ptr() as usize) as u32,
            length: part.len() as u32,
        };
        for field in Fields::new(&message) {
            let (number, value) = field?;
            if number >= 64 || self.wanted & (1 << number) == 0 {
                continue;
            }
            let mut looked_into = false;
            for index in 0..N {
                match self.paths[index] {
                    Path::Field(wanted) if wanted == number => {
                        places[index] = Place::of(value, within);
                    }
                    Path::Inner(outer, _) | Path::Entry(outer, _)
                        if outer == number && !looked_into =>
                    {
                        looked_into = true;
                        if let Value::Bytes(inside) = value {
                            self.look_into(number, inside, &mut places, within)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(Picked { message, places })
    }

    /// A message or a map entry on one of the paths.
    fn look_into(
        &self,
        outer: u32,
        inside: &[u8],
        places: &mut [Place; N],
        within: impl Fn(&[u8]) -> Span,
    ) -> Result<(), Malformed> {
        // The key and the value of an entry, whatever their order.
        let (mut key, mut entry) = (&b""[..], Place::Text(within(&inside[..0])));
        for field in Fields::new(inside) {
            let (number, value) = field?;
            let place = Place::of(value, &within);
            match (number, value) {
                (1, Value::Bytes(bytes)) => key = bytes,
                (2, _) => entry = place,
                _ => {}
            }
            for index in 0..N {
                if self.paths[index] == Path::Inner(outer, number) {
                    places[index] = place;
                }
            }
        }
        for index in 0..N {
            match self.paths[index] {
                Path::Entry(map, wanted) if map == outer && wanted.as_bytes() == key => {
                    places[index] = entry;
                }
                _ => {}
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
    #[inline(always)]
    fn of(value: Value<'_>, within: impl Fn(&[u8]) -> Span) -> Self {
        match value {
            Value::Bytes(bytes) => Place::Text(within(bytes)),
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
