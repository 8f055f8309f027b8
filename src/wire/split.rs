//! Elements cut out of a list answer while it is still arriving, so that a list of any size needs the memory of one
//! element.

use bytes::{Buf as _, Bytes};

use super::walk::{Fault, Groups, Malformed, Varint, split_tag};

/// The largest element that is kept; more than a whole answer may have elsewhere. A list may be of any length.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Cuts the elements of one repeated message field out of a message that arrives in pieces.
///
/// An element that lies within one piece shares its memory; one that spans several is put together in a small buffer.
/// Everything else in the message is passed over without being kept.
///
/// ```
/// use criscope::wire::Splitter;
/// let mut splitter = Splitter::new(1);
/// splitter.push("\x0a\x02he\x0a\x03wo".into());
/// assert_eq!(splitter.element()?, Some("he".into()));
/// assert_eq!(splitter.element()?, None);
/// splitter.push("w".into());
/// assert_eq!(splitter.element()?, Some("wow".into()));
/// assert_eq!(splitter.element()?, None);
/// splitter.end()?;
/// # Ok::<(), criscope::wire::Malformed>(())
/// ```
#[derive(Debug)]
pub struct Splitter {
    number: u32,
    piece: Bytes,
    state: State,
    groups: Groups,
    /// The beginning of an element whose end has not arrived.
    carry: Vec<u8>,
    /// Bytes of the message that are behind us.
    behind: usize,
    /// Where the field in hand begins.
    field: usize,
    failed: Option<Malformed>,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum State {
    Tag(Varint),
    /// The length of a field, and whether it is one of our elements.
    Length(Varint, bool),
    /// An element of this length.
    Element(usize),
    /// A number that is passed over.
    Number(Varint),
    /// As many bytes that are passed over.
    Skip(u64),
}

impl State {
    const FIELD: State = State::Tag(Varint::ZERO);
}

impl Splitter {
    /// For the elements of the field with this number.
    pub fn new(number: u32) -> Self {
        Self {
            number,
            piece: Bytes::new(),
            state: State::FIELD,
            groups: Groups::default(),
            carry: Vec::new(),
            behind: 0,
            field: 0,
            failed: None,
        }
    }

    /// Takes the next piece of the message; [`element`](Self::element) should have said `None` before.
    pub fn push(&mut self, piece: Bytes) {
        if self.piece.is_empty() {
            self.piece = piece;
        } else {
            self.piece = [&self.piece[..], &piece].concat().into();
        }
    }

    /// The next element; `None` if more of the message is needed for one. A fault stays.
    pub fn element(&mut self) -> Result<Option<Bytes>, Malformed> {
        if let Some(malformed) = self.failed {
            return Err(malformed);
        }
        self.cut().map_err(|fault| self.fail(fault))
    }

    /// Says that the message is over; the next piece begins another one with the same field.
    pub fn end(&mut self) -> Result<(), Malformed> {
        if let Some(malformed) = self.failed {
            return Err(malformed);
        }
        let between = matches!(self.state, State::Tag(begun) if begun == Varint::ZERO);
        if !between || !self.piece.is_empty() || !self.groups.is_empty() {
            return Err(self.fail(Fault::Truncated));
        }
        (self.behind, self.field) = (0, 0);
        Ok(())
    }

    fn fail(&mut self, fault: Fault) -> Malformed {
        let (offset, message) = (self.field, None);
        let malformed = Malformed {
            fault,
            offset,
            message,
        };
        self.failed = Some(malformed);
        malformed
    }

    fn cut(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            match self.state {
                State::Tag(begun) => match self.varint(begun, State::Tag)? {
                    Some(tag) => self.begin(tag)?,
                    None => return Ok(None),
                },
                State::Length(begun, ours) => {
                    match self.varint(begun, |begun| State::Length(begun, ours))? {
                        Some(length) if ours && length > LARGEST => return Err(Fault::TooLarge),
                        Some(length) if ours => self.state = State::Element(length as usize),
                        Some(length) => self.state = State::Skip(length),
                        None => return Ok(None),
                    }
                }
                State::Number(begun) => match self.varint(begun, State::Number)? {
                    Some(_) => self.close(),
                    None => return Ok(None),
                },
                State::Element(length) => {
                    let element = self.collect(length);
                    if element.is_some() {
                        self.close();
                    }
                    return Ok(element);
                }
                State::Skip(length) => {
                    let here = self
                        .piece
                        .len()
                        .min(usize::try_from(length).unwrap_or(usize::MAX));
                    self.advance(here);
                    match length - here as u64 {
                        0 => self.close(),
                        left => {
                            self.state = State::Skip(left);
                            return Ok(None);
                        }
                    }
                }
            }
        }
    }

    /// A field begins with this tag.
    fn begin(&mut self, tag: u64) -> Result<(), Fault> {
        let (number, code) = split_tag(tag)?;
        self.state = match code {
            0 => State::Number(Varint::ZERO),
            1 => State::Skip(8),
            2 => State::Length(
                Varint::ZERO,
                number == self.number && self.groups.is_empty(),
            ),
            5 => State::Skip(4),
            3 => {
                self.groups.begin(number)?;
                State::FIELD
            }
            4 => {
                if self.groups.end(number)? {
                    self.field = self.behind;
                }
                State::FIELD
            }
            _ => return Err(Fault::WireType),
        };
        Ok(())
    }

    /// The field in hand is over.
    fn close(&mut self) {
        self.state = State::FIELD;
        if self.groups.is_empty() {
            self.field = self.behind;
        }
    }

    /// Reads a number that has begun; if it does not end here, `state` remembers how far it came.
    fn varint(
        &mut self,
        mut begun: Varint,
        state: impl FnOnce(Varint) -> State,
    ) -> Result<Option<u64>, Fault> {
        for index in 0..self.piece.len() {
            if let Some(number) = begun.push(self.piece[index])? {
                self.advance(index + 1);
                return Ok(Some(number));
            }
        }
        self.advance(self.piece.len());
        self.state = state(begun);
        Ok(None)
    }

    /// An element of this length, once all of it is there.
    fn collect(&mut self, length: usize) -> Option<Bytes> {
        let here = self.piece.len().min(length - self.carry.len());
        self.behind += here;
        let part = self.piece.split_to(here);
        if part.len() == length {
            return Some(part);
        }
        self.carry.extend_from_slice(&part);
        (self.carry.len() == length).then(|| std::mem::take(&mut self.carry).into())
    }

    fn advance(&mut self, length: usize) {
        self.piece.advance(length);
        self.behind += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements of field 1 when the message comes in pieces of this size, or the fault.
    fn split(message: &[u8], size: usize) -> Result<Vec<Bytes>, Malformed> {
        let mut splitter = Splitter::new(1);
        let mut elements = Vec::new();
        for piece in message.chunks(size) {
            splitter.push(Bytes::copy_from_slice(piece));
            while let Some(element) = splitter.element()? {
                elements.push(element);
            }
        }
        splitter.end()?;
        Ok(elements)
    }

    #[track_caller]
    fn case(message: &[u8], expected: Result<&[&[u8]], (Fault, usize)>) {
        for size in [1, 2, 3, 1000] {
            let found = split(message, size);
            let found = match &found {
                Ok(elements) => Ok(elements.iter().map(|it| &it[..]).collect::<Vec<_>>()),
                Err(malformed) => Err((malformed.fault, malformed.offset)),
            };
            assert_eq!(found, expected.map(<[_]>::to_vec), "pieces of {size}");
        }
    }

    #[test]
    fn only_elements_come_out() {
        case(b"", Ok(&[]));
        case(b"\x0a\x00", Ok(&[b""]));
        case(b"\x0a\x01a\x12\x01b\x0a\x02cd", Ok(&[b"a", b"cd"]));
        case(b"\x08\xff\x01\x0a\x01a", Ok(&[b"a"]));
        case(b"\x0d1234\x0912345678\x0a\x01a", Ok(&[b"a"]));
        // Field 1 in a group is not field 1 of the message.
        case(b"\x1b\x0a\x01x\x23\x24\x1c\x0a\x01a", Ok(&[b"a"]));
    }

    #[test]
    fn faults_name_the_field() {
        case(b"\x0a\x01a\x0a\x02b", Err((Fault::Truncated, 3)));
        case(b"\x0a\x01a\x0a", Err((Fault::Truncated, 3)));
        case(b"\x0a\x01a\x0e", Err((Fault::WireType, 3)));
        case(b"\x02\x00", Err((Fault::FieldNumber, 0)));
        case(b"\x1b\x0a\x01x", Err((Fault::Truncated, 0)));
        case(b"\x1b\x24", Err((Fault::GroupEnd, 0)));
        case(b"\x0a\xff\xff\xff\xff\x0f", Err((Fault::TooLarge, 0)));
        case(&[0xff; 11], Err((Fault::LongNumber, 0)));
    }

    #[test]
    fn a_fault_stays() {
        let mut splitter = Splitter::new(1);
        splitter.push("\x0e\x0a\x01a".into());
        assert!(splitter.element().is_err());
        assert!(splitter.element().is_err());
        assert!(splitter.end().is_err());
    }

    #[test]
    fn one_message_follows_another() {
        let mut splitter = Splitter::new(1);
        for _ in 0..2 {
            splitter.push("\x0a\x01a".into());
            assert_eq!(splitter.element(), Ok(Some("a".into())));
            assert_eq!(splitter.element(), Ok(None));
            assert_eq!(splitter.end(), Ok(()));
        }
    }

    #[test]
    fn elements_share_the_memory_of_their_piece() {
        let piece = Bytes::from_static(b"\x0a\x03abc\x0a\x01d");
        let mut splitter = Splitter::new(1);
        splitter.push(piece.clone());
        let element = splitter.element().unwrap().unwrap();
        assert_eq!(element.as_ptr(), piece[2..].as_ptr());
    }
}
