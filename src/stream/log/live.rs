//! The file that is being written to, and the two ways in which it stops being that: it is renamed and another takes its
//! place, or it is copied and truncated.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::decode::{Decoder, Piece};
use super::place::{self, CHUNK, HEAD, Id, Place};

/// How much of what was read last is remembered, in bytes: a line has a time with nanoseconds in it, so these bytes are
/// not written a second time at the same place.
const TAIL: usize = 128;

/// An open log.
#[derive(Debug)]
pub struct Live {
    file: File,
    /// The kernel's id of it.
    pub id: Id,
    /// How much of it was read.
    pub offset: u64,
    /// Its first line, by which a copy of it is known.
    pub head: Vec<u8>,
    /// Whether nothing was read yet of what is in it now.
    pub is_fresh: bool,
    tail: Vec<u8>,
    /// What became of the bytes.
    pub decoder: Decoder,
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// More than nothing.
    Some,
    /// There is nothing more for now.
    Nothing,
    /// It does not begin as [`Live::expect`] was told: another log is in it by now.
    Unexpected,
    /// The file was truncated. What was read at that moment may be of before or after.
    Truncated(Vec<u8>),
}

impl Live {
    /// Opens a log at its beginning.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub fn open(place: &Place) -> io::Result<Self> {
        let file = place.open()?;
        let id = place::id(&file.metadata()?);
        Ok(Self {
            file,
            id,
            offset: 0,
            head: Vec::new(),
            is_fresh: true,
            tail: Vec::new(),
            decoder: Decoder::default(),
        })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Goes to a place where a line begins.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn start_at(&mut self, offset: u64) -> io::Result<()> {
        self.offset = offset;
        self.head = place::head(&self.file)?;
        self.tail = self.before(offset)?;
        self.is_fresh = offset == 0;
        Ok(())
    }

    /// What it has to begin with when it is read for the first time. Everything older than this is accounted for.
    pub fn expect(&mut self, head: Vec<u8>) {
        self.head = head;
    }

    /// From now on nobody truncates it: it was renamed.
    pub fn retire(&mut self) {
        if self.is_fresh {
            self.head.clear();
            self.is_fresh = false;
        }
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self, out: &mut Vec<Piece>) -> io::Result<Got> {
        if !self.is_fresh && !self.is_as_it_was()? {
            return Ok(Got::Truncated(Vec::new()));
        }
        let mut chunk = vec![0; CHUNK];
        let length = self.file.read_at(&mut chunk, self.offset)?;
        chunk.truncate(length);
        if length == 0 {
            if self.is_fresh && self.offset > 0 {
                // There was a hole, and now there is not even that.
                self.offset = 0;
                return Ok(Got::Unexpected);
            }
            return Ok(Got::Nothing);
        }
        if self.is_fresh {
            if place::zeros(&chunk) == length {
                self.offset = place::data_from(&self.file, self.offset + length as u64)?;
                return Ok(Got::Some);
            }
            if !self.is_as_expected(&chunk)? {
                self.offset = 0;
                return Ok(Got::Unexpected);
            }
            self.head.clear();
        } else if !self.is_as_it_was()? {
            return Ok(Got::Truncated(chunk));
        }
        let is_hole = place::zeros(&chunk) == length;
        self.accept(&chunk, out);
        if is_hole {
            self.offset = place::data_from(&self.file, self.offset)?;
        }
        Ok(Got::Some)
    }

    /// Takes a chunk as the next bytes of the file.
    pub fn accept(&mut self, chunk: &[u8], out: &mut Vec<Piece>) {
        self.decoder.feed(chunk, out);
        self.offset += chunk.len() as u64;
        self.is_fresh = false;
        if self.head.len() < HEAD && !self.head.ends_with(b"\n") {
            let begin = match self.head.is_empty() {
                true => place::zeros(chunk),
                false => 0,
            };
            let begin = &chunk[begin..];
            let missing = (HEAD - self.head.len()).min(begin.len());
            self.head.extend_from_slice(&begin[..missing]);
            self.head = place::first_line(std::mem::take(&mut self.head));
        }
        self.tail
            .extend_from_slice(&chunk[chunk.len().saturating_sub(TAIL)..]);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
    }

    /// Begins again after a truncation. What was held of a line stays with the decoder.
    pub fn rewind(&mut self) {
        self.offset = 0;
        self.head.clear();
        self.tail.clear();
        self.is_fresh = true;
    }

    /// Whether the first chunk, and the file after it was read, begin with what is expected.
    fn is_as_expected(&self, chunk: &[u8]) -> io::Result<bool> {
        let begin = &chunk[place::zeros(chunk)..];
        let common = begin.len().min(self.head.len());
        Ok(common > 0
            && begin[..common] == self.head[..common]
            && place::head(&self.file)?.starts_with(&self.head))
    }

    /// Whether what was read last still stands before the place of reading.
    fn is_as_it_was(&self) -> io::Result<bool> {
        if self.tail.is_empty() {
            return Ok(true);
        }
        let at = self.offset.saturating_sub(self.tail.len() as u64);
        let mut found = vec![0; self.tail.len()];
        match self.file.read_exact_at(&mut found, at) {
            Ok(()) => Ok(found == self.tail),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn before(&self, offset: u64) -> io::Result<Vec<u8>> {
        let length = offset.min(TAIL as u64);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(TAIL)];
        match self.file.read_exact_at(&mut bytes, offset - length) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
