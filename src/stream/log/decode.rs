//! Bytes of a log file, in pieces of any size, become pieces of lines.
//!
//! Memory is bounded whatever the file holds: a line in CRI's dialect that is longer than a megabyte is handed on in
//! parts, one in json-file is left out and counted, because half a JSON string is nothing.

use super::place;
use super::record::{self, Output};

/// The longest line that is held, in bytes.
const LONGEST: usize = 1024 * 1024;

/// A piece of what a process wrote: a line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// When it was logged, as it is written in the file.
    pub time: String,
    /// Where the process wrote it.
    pub output: Output,
    /// What it wrote, without the line break.
    pub content: Vec<u8>,
    /// Whether the line ends here.
    pub ends: bool,
}

/// What is left of a line that was too long to be held.
#[derive(Debug, Clone)]
enum Long {
    /// Its record, with the content still coming.
    Record {
        time: String,
        output: Output,
        is_partial: bool,
    },
    /// It is no record.
    Nothing,
}

/// Takes bytes, gives pieces.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    held: Vec<u8>,
    long: Option<Long>,
    /// Lines that are in no known dialect.
    pub unreadable: u64,
    /// Lines that are.
    pub readable: u64,
}

impl Decoder {
    /// Takes the next bytes of the file.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<Piece>) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.rest_of_line(&bytes[..at], out);
            bytes = &bytes[at + 1..];
        }
        self.hold(bytes, out);
    }

    /// The file ends here: what is held is a line that was not finished.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        let held = std::mem::take(&mut self.held);
        self.long = None;
        let before = out.len();
        self.record(&held, out);
        for piece in &mut out[before..] {
            piece.ends = false;
        }
    }

    /// Zeros where a line should begin are a hole in the file, not a part of the log.
    fn without_hole<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        match (&self.long, self.held.is_empty()) {
            (None, true) => &bytes[place::zeros(bytes)..],
            _ => bytes,
        }
    }

    fn rest_of_line(&mut self, rest: &[u8], out: &mut Vec<Piece>) {
        let rest = self.without_hole(rest);
        match self.long.take() {
            Some(Long::Record {
                time,
                output,
                is_partial,
            }) => out.push(Piece {
                time,
                output,
                content: rest.to_vec(),
                ends: !is_partial,
            }),
            Some(Long::Nothing) => {}
            None if self.held.is_empty() => self.record(rest, out),
            None => {
                let mut line = std::mem::take(&mut self.held);
                line.extend_from_slice(rest);
                self.record(&line, out);
            }
        }
    }

    fn record(&mut self, line: &[u8], out: &mut Vec<Piece>) {
        if line.is_empty() {
            return;
        }
        match record::parse(line) {
            Some(record) => {
                self.readable += 1;
                out.push(Piece {
                    time: record.time.into_owned(),
                    output: record.output,
                    content: record.content.into_owned(),
                    ends: !record.is_partial,
                });
            }
            None => self.unreadable += 1,
        }
    }

    fn hold(&mut self, bytes: &[u8], out: &mut Vec<Piece>) {
        let bytes = self.without_hole(bytes);
        match &self.long {
            Some(Long::Nothing) => {}
            Some(Long::Record { time, output, .. }) => {
                if !bytes.is_empty() {
                    out.push(Piece {
                        time: time.clone(),
                        output: *output,
                        content: bytes.to_vec(),
                        ends: false,
                    });
                }
            }
            None => {
                self.held.extend_from_slice(bytes);
                if self.held.len() > LONGEST {
                    self.give_up_holding(out);
                }
            }
        }
    }

    fn give_up_holding(&mut self, out: &mut Vec<Piece>) {
        let held = std::mem::take(&mut self.held);
        // Only CRI's dialect can be read from its beginning.
        let record = match held.first() {
            Some(b'{') => None,
            _ => record::parse(&held),
        };
        let Some(record) = record else {
            self.unreadable += 1;
            self.long = Some(Long::Nothing);
            return;
        };
        self.readable += 1;
        let (time, output) = (record.time.into_owned(), record.output);
        self.long = Some(Long::Record {
            time: time.clone(),
            output,
            is_partial: record.is_partial,
        });
        out.push(Piece {
            time,
            output,
            content: record.content.into_owned(),
            ends: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-01-02T03:04:05.678901234Z";

    fn decode(parts: &[&[u8]]) -> (Vec<Piece>, Decoder) {
        let (mut decoder, mut pieces) = (Decoder::default(), Vec::new());
        for part in parts {
            decoder.feed(part, &mut pieces);
        }
        (pieces, decoder)
    }

    #[test]
    fn the_size_of_reads_does_not_matter() {
        let text = format!("{AT} stdout F one\n{AT} stderr P tw\n{AT} stderr F o\n");
        let (whole, _) = decode(&[text.as_bytes()]);
        assert_eq!(whole.len(), 3);
        for size in 1..40 {
            let parts: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(decode(&parts).0, whole, "{size}");
        }
    }

    #[test]
    fn an_unfinished_line_waits_and_is_given_at_the_end() {
        let text = format!("{AT} stdout F one\n{AT} stdout F tw");
        let (mut pieces, mut decoder) = decode(&[text.as_bytes()]);
        assert_eq!(pieces.len(), 1);
        decoder.finish(&mut pieces);
        assert_eq!(pieces[1].content, b"tw");
        assert!(pieces[0].ends && !pieces[1].ends && decoder.held.is_empty());
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_loses_nothing() {
        let content = vec![b'x'; 5 * LONGEST];
        let mut line = format!("{AT} stdout F ").into_bytes();
        line.extend_from_slice(&content);
        line.push(b'\n');
        let (mut decoder, mut pieces) = (Decoder::default(), Vec::new());
        for part in line.chunks(64 * 1024) {
            decoder.feed(part, &mut pieces);
            assert!(decoder.held.len() <= LONGEST + 64 * 1024);
        }
        let found: usize = pieces.iter().map(|piece| piece.content.len()).sum();
        assert_eq!(found, content.len());
        assert_eq!(pieces.iter().filter(|piece| piece.ends).count(), 1);
        assert!(pieces.last().is_some_and(|piece| piece.ends));
        assert_eq!((decoder.readable, decoder.unreadable), (1, 0));
    }

    #[test]
    fn garbage_is_counted_and_what_follows_is_read() {
        let mut text = b"no record\n\n{\"log\":\"".to_vec();
        text.extend(std::iter::repeat_n(b'y', 3 * LONGEST));
        text.extend_from_slice(format!("\"}}\n{AT} stdout F fine\n").as_bytes());
        let (mut decoder, mut pieces) = (Decoder::default(), Vec::new());
        for part in text.chunks(64 * 1024) {
            decoder.feed(part, &mut pieces);
        }
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].content, b"fine");
        assert_eq!((decoder.readable, decoder.unreadable), (1, 2));
    }
}
