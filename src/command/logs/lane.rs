//! Parts of lines become lines again, for each output of a container.

use crate::stream::log::{Piece, record};

/// How much of a line is held until it ends, in bytes; a longer one is shown in parts.
const MOST: usize = 1 << 20;

/// A line, or a part of one that is too long to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it began, as it was logged.
    pub time: String,
    /// The same in nanoseconds since 1970.
    pub at: i64,
    /// 0 for stdout, 1 for stderr.
    pub output: usize,
    /// What was written.
    pub content: Vec<u8>,
    /// Whether the line begins with this.
    pub begins: bool,
    /// Whether it ends with this.
    pub ends: bool,
}

/// One output of a container.
#[derive(Debug, Default)]
pub struct Lane {
    held: Vec<u8>,
    time: Option<String>,
    /// Parts of the line were given already.
    is_open: bool,
}

impl Lane {
    /// Takes a part; gives the line, when there is one.
    pub fn push(&mut self, piece: Piece) -> Option<Line> {
        let output = piece.output.index();
        self.time.get_or_insert(piece.time);
        if self.held.is_empty() {
            self.held = piece.content;
        } else {
            self.held.extend_from_slice(&piece.content);
        }
        (piece.ends || self.held.len() > MOST).then(|| self.give(output, piece.ends))
    }

    /// Gives what is held of a line that has not ended.
    pub fn finish(&mut self, output: usize) -> Option<Line> {
        (!self.held.is_empty()).then(|| self.give(output, false))
    }

    fn give(&mut self, output: usize, ends: bool) -> Line {
        let begins = !std::mem::replace(&mut self.is_open, !ends);
        let time = match ends {
            true => self.time.take().unwrap_or_default(),
            false => self.time.clone().unwrap_or_default(),
        };
        Line {
            at: record::nanoseconds(&time).unwrap_or(0),
            time,
            output,
            content: std::mem::take(&mut self.held),
            begins,
            ends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::log::Output;

    fn piece(content: &[u8], ends: bool) -> Piece {
        Piece {
            time: "1970-01-01T00:00:01Z".to_owned(),
            output: Output::Stderr,
            content: content.to_vec(),
            ends,
        }
    }

    #[test]
    fn parts_become_a_line() {
        let mut lane = Lane::default();
        assert_eq!(lane.push(piece(b"a", false)), None);
        let line = lane.push(piece(b"b", true)).unwrap();
        assert_eq!(
            (&*line.content, line.begins, line.ends),
            (&b"ab"[..], true, true)
        );
        assert_eq!((line.at, line.output), (1_000_000_000, 1));
        assert_eq!(lane.push(piece(b"c", false)), None);
        let line = lane.finish(1).unwrap();
        assert_eq!(
            (&*line.content, line.begins, line.ends),
            (&b"c"[..], true, false)
        );
        assert_eq!(lane.finish(1), None);
    }

    #[test]
    fn a_long_line_is_given_in_parts() {
        let mut lane = Lane::default();
        let part = vec![b'x'; MOST / 2 + 1];
        assert_eq!(lane.push(piece(&part, false)), None);
        let line = lane.push(piece(&part, false)).unwrap();
        assert_eq!((line.begins, line.ends), (true, false));
        let line = lane.push(piece(b"end", true)).unwrap();
        assert_eq!(
            (&*line.content, line.begins, line.ends),
            (&b"end"[..], false, true)
        );
        assert!(lane.push(piece(b"next", true)).unwrap().begins);
    }
}
