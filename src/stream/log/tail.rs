//! Where the last so many lines begin.
//!
//! Files are read backwards until enough lines are seen and some more, then forwards once to count: a line may be logged
//! in parts, and the parts of two outputs may be mixed, so only a reading from before both knows where a line begins.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::decode::{Decoder, Piece};
use super::place::{self, CHUNK, Place};
use super::record::{self, Output};
use super::rotation::Rotated;
use super::source::Options;

/// Lines that are read before the first one wanted, so that no line is begun in its middle.
const MARGIN: usize = 64;

/// A line that is longer is not looked at while reading backwards, in bytes.
const LONGEST: usize = 256 * 1024;

/// Where to begin.
#[derive(Debug, PartialEq, Eq)]
pub struct Window {
    /// The first rotated file to be read, from its beginning; their number is the live one.
    pub first: usize,
    /// Where in the live file, if no rotated one is read.
    pub offset: u64,
    /// Lines of each output to be left out from there.
    pub skip: [u64; 2],
}

/// Finds the last `lines` lines that are wanted.
///
/// # Errors
/// A file cannot be read.
pub fn window(
    log: &Place,
    rotated: &[Rotated],
    live: &File,
    lines: usize,
    options: &Options,
) -> io::Result<Window> {
    let enough = lines.saturating_add(MARGIN);
    let end = live.metadata()?.len();
    let (mut count, mut offset) = backwards(live, end, enough, options)?;
    let mut first = rotated.len();
    while count < enough && first > 0 {
        first -= 1;
        offset = 0;
        count += match rotated[first].open(log) {
            Ok(input) => whole_lines(input, options),
            Err(_) => 0,
        };
    }

    let mut counter = Counter::new(lines, options);
    for file in &rotated[first..] {
        if let Ok(mut input) = file.open(log) {
            let mut chunk = vec![0; CHUNK];
            // A damaged file is read as far as it goes, here as later.
            while let Ok(length @ 1..) = input.read(&mut chunk) {
                counter.feed(&chunk[..length]);
            }
        }
        counter.end_of_file();
    }
    let mut at = offset;
    let mut chunk = vec![0; CHUNK];
    while at < end {
        let length = live.read_at(&mut chunk, at)?;
        if length == 0 {
            break;
        }
        let wanted = usize::try_from(end - at).unwrap_or(length).min(length);
        counter.feed(&chunk[..wanted]);
        at += length as u64;
        if place::zeros(&chunk[..length]) == length {
            at = place::data_from(live, at)?;
        }
    }
    Ok(Window {
        first,
        offset,
        skip: counter.finish(),
    })
}

/// Counts lines from the end of a file until there are enough; how many there are, and where the first of them begins.
fn backwards(file: &File, end: u64, enough: usize, options: &Options) -> io::Result<(usize, u64)> {
    let mut start = end;
    // What follows the last line break that was seen: the end of a line whose beginning is further to the front.
    let mut rest: Vec<u8> = Vec::new();
    let mut count = 0;
    while start > 0 {
        let length = start.min(CHUNK as u64);
        start -= length;
        let mut block = vec![0; usize::try_from(length).unwrap_or(CHUNK)];
        file.read_exact_at(&mut block, start)?;
        let block_end = start + length;
        if place::zeros(&block) == block.len() && place::data_from(file, 0)? >= block_end {
            // The log begins behind a hole.
            return Ok((
                count + usize::from(is_end_of_line(&rest, options)),
                block_end,
            ));
        }
        let mut until = block.len();
        while let Some(at) = block[..until].iter().rposition(|byte| *byte == b'\n') {
            let mut line = block[at + 1..until].to_vec();
            line.append(&mut rest);
            if is_end_of_line(&line, options) {
                count += 1;
                if count > enough {
                    return Ok((count, start + at as u64 + 1));
                }
            }
            until = at;
        }
        let mut line = block[..until].to_vec();
        line.append(&mut rest);
        line.truncate(LONGEST);
        rest = line;
    }
    Ok((count + usize::from(is_end_of_line(&rest, options)), 0))
}

/// Whether a record ends a line that is wanted.
fn is_end_of_line(line: &[u8], options: &Options) -> bool {
    let line = &line[place::zeros(line)..];
    record::parse(line).is_some_and(|record| !record.is_partial && options.wants(record.output))
}

fn whole_lines(mut input: impl Read, options: &Options) -> usize {
    let (mut decoder, mut pieces) = (Decoder::default(), Vec::new());
    let mut chunk = vec![0; CHUNK];
    let mut count = 0;
    while let Ok(length @ 1..) = input.read(&mut chunk) {
        decoder.feed(&chunk[..length], &mut pieces);
        count += pieces
            .drain(..)
            .filter(|piece| piece.ends && options.wants(piece.output))
            .count();
    }
    count
}

/// Counts whole lines and remembers of which output the last ones were.
struct Counter<'o> {
    options: &'o Options,
    lines: usize,
    last: VecDeque<Output>,
    total: [u64; 2],
    is_open: [bool; 2],
    decoder: Decoder,
}

impl<'o> Counter<'o> {
    fn new(lines: usize, options: &'o Options) -> Self {
        Self {
            options,
            lines,
            last: VecDeque::new(),
            total: [0, 0],
            is_open: [false, false],
            decoder: Decoder::default(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut pieces = Vec::new();
        self.decoder.feed(bytes, &mut pieces);
        self.count(pieces);
    }

    fn end_of_file(&mut self) {
        let mut pieces = Vec::new();
        self.decoder.finish(&mut pieces);
        self.count(pieces);
    }

    fn count(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            if !self.options.wants(piece.output) {
                continue;
            }
            let place = piece.output.index();
            self.is_open[place] = !piece.ends;
            if piece.ends {
                self.total[place] += 1;
                self.push(piece.output);
            }
        }
    }

    fn push(&mut self, output: Output) {
        self.last.push_back(output);
        if self.last.len() > self.lines {
            self.last.pop_front();
        }
    }

    /// How many lines of each output come before the last ones. A line that has not ended is one of the last.
    fn finish(mut self) -> [u64; 2] {
        self.end_of_file();
        for output in [Output::Stdout, Output::Stderr] {
            if self.is_open[output.index()] {
                self.total[output.index()] += 1;
                self.push(output);
            }
        }
        let mut skip = self.total;
        for output in self.last {
            skip[output.index()] -= 1;
        }
        skip
    }
}
