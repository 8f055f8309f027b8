//! JSON with the place of everything in it, read as Go's `encoding/json` does: one value, nothing after it.

use std::path::Path;

use super::document::{MAX_DEPTH, SyntaxError};
use super::node::{Entry, Node, Table, Value};
use super::text::Text;

/// Reads a text.
///
/// # Errors
/// The first fault, with its place.
pub fn parse(path: &Path, body: &str) -> Result<Node, SyntaxError> {
    let mut reader = Reader {
        text: Text::new(path, body),
        body,
        at: 0,
    };
    let node = reader.value(0)?;
    reader.skip_space();
    if reader.at < body.len() {
        return reader.error("invalid character after top-level value");
    }
    Ok(node)
}

struct Reader<'t> {
    text: Text<'t>,
    body: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn error<T>(&self, message: &str) -> Result<T, SyntaxError> {
        let at = self.body.floor_char_boundary(self.at.min(self.body.len()));
        let length = self.body[at..].chars().next().map_or(0, char::len_utf8);
        Err(SyntaxError {
            message: message.to_owned(),
            place: self.text.place(at..at + length),
        })
    }

    fn peek(&self) -> Option<u8> {
        self.body.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        self.skip_space();
        if depth > MAX_DEPTH {
            return self.error("too many levels of nesting");
        }
        let start = self.at;
        let value = match self.peek() {
            None => return self.error("unexpected end of JSON input"),
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => return self.error("invalid character looking for beginning of value"),
        };
        Ok(Node {
            value,
            place: self.text.place(start..self.at),
        })
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, SyntaxError> {
        if !self.body[self.at..].starts_with(word) {
            return self.error("invalid character looking for beginning of value");
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Value {
        let rest = &self.body[self.at..];
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && !matches!(c, '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        self.at += end;
        rest[..end]
            .parse()
            .map_or_else(|_| Value::Other(rest[..end].to_owned()), Value::Integer)
    }

    fn array(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut nodes = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(nodes));
        }
        loop {
            nodes.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(nodes));
                }
                None => return self.error("unexpected end of JSON input"),
                Some(_) => return self.error("invalid character after array element"),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut table = Table::default();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Table(table));
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek().is_none() {
                return self.error("unexpected end of JSON input");
            }
            if self.peek() != Some(b'"') {
                return self.error("invalid character looking for beginning of object key string");
            }
            let key = self.string()?;
            let place = self.text.place(start..self.at);
            self.skip_space();
            if self.peek() != Some(b':') {
                return self.error("invalid character after object key");
            }
            self.at += 1;
            let node = self.value(depth + 1)?;
            table.insert(key, Entry { key: place, node });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Table(table));
                }
                None => return self.error("unexpected end of JSON input"),
                Some(_) => return self.error("invalid character after object key:value pair"),
            }
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return self.error("unexpected end of JSON input"),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(byte) if byte < 0x20 => {
                    return self.error("invalid character in string literal");
                }
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let raw = self.body.get(start..self.at).unwrap_or_default();
        match serde_json::from_str(raw) {
            Ok(text) => Ok(text),
            Err(_) => {
                self.at = start;
                self.error("invalid escape in string literal")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Result<Node, SyntaxError> {
        parse(Path::new("/f.json"), body)
    }

    #[test]
    fn places() {
        let node = read("{\n  \"a\": [\"x\\u00e9\", 1, true, null],\n  \"b\": {}\n}\n").unwrap();
        let a = node.table().unwrap().entry("a").unwrap();
        assert_eq!((a.key.line, a.key.column, a.key.length), (2, 3, 3));
        let items = a.node.array().unwrap();
        assert_eq!((items[0].str(), items[0].place.column), (Some("xé"), 9));
        assert_eq!((items[1].integer(), items[2].bool()), (Some(1), Some(true)));
    }

    #[test]
    fn faults() {
        for (body, message, line) in [
            ("", "unexpected end", 1),
            ("{\n\"a\": 1,\n}", "beginning of object key", 3),
            ("{\"a\" 1}", "after object key", 1),
            ("[1 2]", "after array element", 1),
            ("{} x", "after top-level value", 1),
            ("[1,]", "beginning of value", 1),
            ("\"\\q\"", "invalid escape", 1),
            ("\"a", "unexpected end", 1),
            ("\"a\\", "unexpected end", 1),
        ] {
            let error = read(body).unwrap_err();
            assert!(
                error.message.contains(message) && error.place.line == line,
                "{body}: {error:?}"
            );
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(body in "\\PC*") {
            let _ = read(&body);
        }

        #[test]
        fn never_panics_on_json_like_text(body in "[\\[\\]{}:,\"\\\\a0-9 tfn.e-]{0,60}") {
            let _ = read(&body);
        }

        #[test]
        fn what_serde_accepts_is_accepted(body in "[\\[\\]{}:,\"a0-9 ]{0,20}") {
            if serde_json::from_str::<serde_json::Value>(&body).is_ok() {
                prop_assert!(read(&body).is_ok());
            }
        }
    }
}
