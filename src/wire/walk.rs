//! Walking the fields of a message, without knowing its type. Total on garbage: what is wrong, and where, is an item.

use std::fmt;

use thiserror::Error;

/// Groups inside groups that are followed when one is skipped; Go and C++ stop at 100 too.
const GROUP_DEPTH: usize = 100;

/// The largest number a field can have.
const LAST_NUMBER: u64 = (1 << 29) - 1;

/// Bytes that are not a message, and where they stop being one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub fault: Fault,
    /// Where the field that is wrong begins, in the message it belongs to.
    pub offset: usize,
    /// The type of that message, where it is known.
    pub message: Option<&'static str>,
}

impl Malformed {
    /// The same, with the type of the message.
    #[cold]
    pub(super) fn within(self, message: &'static str) -> Self {
        let message = Some(message);
        Self { message, ..self }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, offset, .. } = self;
        match self.message {
            Some(message) => write!(f, "malformed {message}: {fault} at byte {offset}"),
            None => write!(f, "malformed message: {fault} at byte {offset}"),
        }
    }
}

/// What is wrong with bytes that are not a message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// A field goes on after the end.
    #[error("a field is cut off")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("a number is longer than 64 bits")]
    LongNumber,
    /// A field number of zero, or beyond 29 bits.
    #[error("a field has an impossible number")]
    FieldNumber,
    /// Wire types 6 and 7 do not exist.
    #[error("a field has an impossible type")]
    WireType,
    /// The end of a group that did not begin, or of another one.
    #[error("a group ends that did not begin")]
    GroupEnd,
    /// Groups in groups, beyond what anyone means.
    #[error("groups are nested too deeply")]
    GroupDepth,
    /// More than is kept in one piece.
    #[error("a field is larger than the limit")]
    TooLarge,
}

/// How a value is written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WireType {
    /// A number of up to ten bytes.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// A length, and as many bytes.
    Bytes,
    /// Fields up to an end mark; out of use since proto2.
    Group,
    /// Four bytes.
    Fixed32,
}

/// A value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A number, its meaning unknown.
    Varint(u64),
    /// Eight bytes, little endian.
    Fixed64(u64),
    /// A string, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// The fields of a group, without its marks.
    Group(&'a [u8]),
    /// Four bytes, little endian.
    Fixed32(u32),
}

impl Value<'_> {
    /// How this value is written.
    pub fn wire_type(&self) -> WireType {
        match self {
            Value::Varint(_) => WireType::Varint,
            Value::Fixed64(_) => WireType::Fixed64,
            Value::Bytes(_) => WireType::Bytes,
            Value::Group(_) => WireType::Group,
            Value::Fixed32(_) => WireType::Fixed32,
        }
    }
}

/// The fields of a message in the order of the wire: number and value. Ends after the first fault.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            length: bytes.len(),
        }
    }

    /// Where the next field begins.
    pub fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The next value of packed ones, which have no tags.
    pub(super) fn bare(&mut self, wire_type: WireType) -> Option<Result<Value<'a>, Malformed>> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset();
        let value = match wire_type {
            WireType::Varint => self.varint().map(Value::Varint),
            WireType::Fixed64 => self.array().map(u64::from_le_bytes).map(Value::Fixed64),
            WireType::Fixed32 => self.array().map(u32::from_le_bytes).map(Value::Fixed32),
            WireType::Bytes | WireType::Group => Err(Fault::WireType),
        };
        Some(value.map_err(|fault| self.stop(fault, offset)))
    }

    /// Ends the walk.
    #[cold]
    fn stop(&mut self, fault: Fault, offset: usize) -> Malformed {
        self.rest = &[];
        let message = None;
        Malformed {
            fault,
            offset,
            message,
        }
    }

    // Inlined into its loops, where number and value stay in registers.
    #[inline(always)]
    fn read(&mut self) -> Result<(u32, Value<'a>), Fault> {
        let (number, code) = split_tag(self.varint()?)?;
        if code == 2 {
            return Ok((number, Value::Bytes(self.prefixed()?)));
        }
        self.read_other(number, code)
    }

    /// Reads what is less frequent than strings and messages.
    fn read_other(&mut self, number: u32, code: u64) -> Result<(u32, Value<'a>), Fault> {
        let value = match code {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            3 => Value::Group(self.group(number)?),
            4 => return Err(Fault::GroupEnd),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Fault::WireType),
        };
        Ok((number, value))
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Fault> {
        // Most numbers, and nearly all tags and lengths of labels, are one byte long.
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut varint = Varint::ZERO;
        while let [byte, rest @ ..] = self.rest {
            self.rest = rest;
            if let Some(number) = varint.push(*byte)? {
                return Ok(number);
            }
        }
        Err(Fault::Truncated)
    }

    /// As many bytes as the number before them says.
    #[inline(always)]
    fn prefixed(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.varint()?).map_err(|_| Fault::Truncated)?;
        self.take(length)
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.try_into().map_err(|_| Fault::Truncated)
    }

    /// What stands between the beginning of a group, already read, and its end.
    fn group(&mut self, number: u32) -> Result<&'a [u8], Fault> {
        let inside = self.rest;
        let mut open = Groups::default();
        open.begin(number)?;
        loop {
            let end = inside.len() - self.rest.len();
            let (number, code) = split_tag(self.varint()?)?;
            match code {
                3 => open.begin(number)?,
                4 => {
                    if open.end(number)? {
                        return Ok(&inside[..end]);
                    }
                }
                2 => drop(self.prefixed()?),
                _ => drop(self.read_other(number, code)?),
            }
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset();
        Some(self.read().map_err(|fault| self.stop(fault, offset)))
    }
}

/// The elements of a repeated message field, in order. Values that are not messages are passed over.
pub fn elements(bytes: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields::new(bytes).filter_map(move |field| match field {
        Ok((found, Value::Bytes(element))) if found == number => Some(Ok(element)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// A tag's field number and wire type code.
#[inline(always)]
pub(super) fn split_tag(tag: u64) -> Result<(u32, u64), Fault> {
    match tag >> 3 {
        number @ 1..=LAST_NUMBER => Ok((number as u32, tag & 7)),
        _ => Err(Fault::FieldNumber),
    }
}

/// A number that is arriving byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Varint {
    number: u64,
    shift: u32,
}

impl Varint {
    /// Nothing has arrived.
    pub(super) const ZERO: Self = Self {
        number: 0,
        shift: 0,
    };

    /// The number, when this was its last byte.
    #[inline(always)]
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<u64>, Fault> {
        // The tenth byte has room for one bit.
        if self.shift == 63 && byte > 1 {
            return Err(Fault::LongNumber);
        }
        self.number |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        Ok((byte < 0x80).then_some(self.number))
    }
}

/// The groups that have begun and not ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(Vec<u32>);

impl Groups {
    pub(super) fn begin(&mut self, number: u32) -> Result<(), Fault> {
        if self.0.len() == GROUP_DEPTH {
            return Err(Fault::GroupDepth);
        }
        self.0.push(number);
        Ok(())
    }

    /// Whether the outermost group has ended with this one.
    pub(super) fn end(&mut self, number: u32) -> Result<bool, Fault> {
        match self.0.pop() {
            Some(begun) if begun == number => Ok(self.0.is_empty()),
            _ => Err(Fault::GroupEnd),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Item<'a> = Result<(u32, Value<'a>), (Fault, usize)>;

    #[track_caller]
    fn case(bytes: &[u8], expected: &[Item]) {
        let found: Vec<_> = Fields::new(bytes)
            .map(|field| field.map_err(|malformed| (malformed.fault, malformed.offset)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_wire_type_is_read() {
        case(b"", &[]);
        case(b"\x08\x96\x01", &[Ok((1, Value::Varint(150)))]);
        case(b"\x12\x02hi", &[Ok((2, Value::Bytes(b"hi")))]);
        case(b"\x1d\x01\0\0\0", &[Ok((3, Value::Fixed32(1)))]);
        case(b"\x19\x02\0\0\0\0\0\0\0", &[Ok((3, Value::Fixed64(2)))]);
        case(
            b"\x23\x08\x01\x24\x08\x02",
            &[
                Ok((4, Value::Group(b"\x08\x01"))),
                Ok((1, Value::Varint(2))),
            ],
        );
        // The largest numbers there are.
        case(
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            &[Ok((1, Value::Varint(u64::MAX)))],
        );
        case(
            b"\xf8\xff\xff\xff\x0f\x00",
            &[Ok(((1 << 29) - 1, Value::Varint(0)))],
        );
    }

    #[test]
    fn faults_are_the_last_item_and_name_the_field() {
        case(
            b"\x08\x01\x08",
            &[Ok((1, Value::Varint(1))), Err((Fault::Truncated, 2))],
        );
        case(b"\x08", &[Err((Fault::Truncated, 0))]);
        case(b"\x80", &[Err((Fault::Truncated, 0))]);
        case(b"\x0a\x05abc", &[Err((Fault::Truncated, 0))]);
        case(
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            &[Err((Fault::Truncated, 0))],
        );
        case(b"\x0d\0\0", &[Err((Fault::Truncated, 0))]);
        case(b"\x00\x01", &[Err((Fault::FieldNumber, 0))]);
        case(b"\x80\x80\x80\x80\x10\x00", &[Err((Fault::FieldNumber, 0))]);
        case(b"\x0e", &[Err((Fault::WireType, 0))]);
        case(b"\x0c", &[Err((Fault::GroupEnd, 0))]);
        case(b"\x0b\x14", &[Err((Fault::GroupEnd, 0))]);
        case(b"\x0b\x08\x01", &[Err((Fault::Truncated, 0))]);
        case(
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            &[Err((Fault::LongNumber, 0))],
        );
        case(&[0x0b; 101], &[Err((Fault::GroupDepth, 0))]);
    }

    #[test]
    fn elements_are_the_messages_of_one_field() {
        let found: Result<Vec<_>, _> = elements(b"\x0a\x01a\x08\x01\x12\x01b\x0a\x00", 1).collect();
        assert_eq!(found, Ok(vec![&b"a"[..], b""]));
        let found: Vec<_> = elements(b"\x0a\x01a\x0a\x02b", 1).collect();
        assert_eq!(found[0], Ok(&b"a"[..]));
        assert!(found[1].is_err() && found.len() == 2);
    }
}
