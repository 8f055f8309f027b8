//! What a terminal is given of data: the last look at it, whatever wrote it.
//!
//! Lists, JSON, YAML and templates quote names from outside as they are, because that is what a program reads. Somebody
//! who looks at them must not have his terminal moved, renamed or misled by them. So on a terminal, and only there, every
//! character that does something else than being seen is written as JSON escapes it (`\u202e`): JSON stays JSON.

use std::io::{self, Write};

use super::sanitize::is_harmful;
use crate::interrupt::deaf;

/// What else may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// Line breaks and tabs.
    Text,
    /// Colours, too: of a text in which everything from outside has been looked at already.
    Colours,
}

/// A writer before a terminal; before anything else it changes nothing. While it waits for a reader, signals are heard.
#[derive(Debug)]
pub struct Guard<W: Write> {
    inner: W,
    /// Of a terminal only.
    passing: Option<Passing>,
    /// The beginning of a character whose end has not come yet.
    begun: Vec<u8>,
}

impl<W: Write> Guard<W> {
    /// A writer to this stream.
    pub fn new(inner: W, is_terminal: bool, passing: Passing) -> Self {
        Self {
            inner,
            passing: is_terminal.then_some(passing),
            begun: Vec::new(),
        }
    }
}

impl<W: Write> Write for Guard<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(passing) = self.passing else {
            return deaf(|| self.inner.write(bytes));
        };
        if self.begun.is_empty() && is_plain(bytes) {
            return deaf(|| self.inner.write(bytes));
        }
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let whole = all.len() - unfinished(&all);
        self.begun = all.split_off(whole);
        let safe = safe(&String::from_utf8_lossy(&all), passing);
        deaf(|| self.inner.write_all(safe.as_bytes()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        deaf(|| self.inner.flush())
    }
}

impl<W: Write> Drop for Guard<W> {
    fn drop(&mut self) {
        if !self.begun.is_empty() {
            // An error would have come at the write before, or will at the next one.
            let _ = self.inner.write_all("\u{fffd}".as_bytes());
        }
    }
}

/// Whether there is nothing but printable ASCII, line breaks and tabs.
fn is_plain(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t'))
}

/// How many bytes at the end begin a character that is not complete.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => 0,
        Err(_) => (1..=3.min(bytes.len()))
            .find(|&length| {
                let tail = &bytes[bytes.len() - length..];
                std::str::from_utf8(tail)
                    .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
            })
            .unwrap_or(0),
    }
}

fn safe(text: &str, passing: Passing) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = match passing {
            Passing::Colours => colour(rest),
            Passing::Text => 0,
        };
        if colour > 0 {
            safe.push_str(&rest[..colour]);
            rest = &rest[colour..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c == '\n' || c == '\t' || !is_harmful(c) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    safe
}

/// How long the colour is that a text begins with.
fn colour(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else {
        return 0;
    };
    let length = parameters
        .find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))
        .unwrap_or(parameters.len());
    match parameters[length..].starts_with('m') {
        true => "\x1b[".len() + length + "m".len(),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pieces: &[&[u8]], is_terminal: bool, passing: Passing) -> Vec<u8> {
        let mut out = Vec::new();
        let mut guard = Guard::new(&mut out, is_terminal, passing);
        for piece in pieces {
            guard.write_all(piece).unwrap();
        }
        drop(guard);
        out
    }

    #[track_caller]
    fn case(text: &[u8], expected: &str) {
        assert_eq!(given(&[text], false, Passing::Text), text);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        for pieces in [vec![text], bytes] {
            let shown = given(&pieces, true, Passing::Text);
            assert_eq!(String::from_utf8(shown).unwrap(), expected);
        }
    }

    #[test]
    fn a_terminal_gets_text() {
        case(b"{\n\t\"a\": 1\n}\n", "{\n\t\"a\": 1\n}\n");
        case("grün 日本 🦀".as_bytes(), "grün 日本 🦀");
        case("x\u{202e}gnp.exe".as_bytes(), "x\\u202egnp.exe");
        case(
            b"\x1b[31mred\x1b[2J\r\x07",
            "\\u001b[31mred\\u001b[2J\\u000d\\u0007",
        );
        case("\u{9b}2J\u{e0041}".as_bytes(), "\\u009b2J\\udb40\\udc41");
        case(b"a\xff", "a\u{fffd}");
        case(b"a\xe2\x80", "a\u{fffd}");
    }

    #[test]
    fn what_is_escaped_is_still_json() {
        let text = "{\"name\": \"a\u{202e}\u{7f}\u{e0041}b\"}";
        let shown = given(&[text.as_bytes()], true, Passing::Text);
        assert!(shown.is_ascii());
        let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(read(&shown), read(text.as_bytes()));
    }

    #[test]
    fn colours_pass_where_they_may() {
        let shown = given(
            &[b"\x1b[1;31mred\x1b[0m\x1b[2J\x1b["],
            true,
            Passing::Colours,
        );
        let expected = "\x1b[1;31mred\x1b[0m\\u001b[2J\\u001b[";
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
    }
}
