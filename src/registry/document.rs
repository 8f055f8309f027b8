//! A TOML text with the place of everything in it, every syntax error, and the order of its table headers.
//!
//! Two things that the `toml` crate accepts are faults to containerd's reader of TOML 1.0: line breaks and trailing
//! commas in inline tables. They are kept apart. Nesting is bounded before a tree is built.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};

use super::node::{Entry, Node, Table, Value};
use super::text::{Place, Text};

/// The deepest nesting of tables and arrays that is read; real files have less than ten levels.
pub const MAX_DEPTH: usize = 64;
/// How many syntax errors are kept: they cascade, so only the first few tell something.
const MAX_ERRORS: usize = 20;

/// A TOML file, read as far as it can be read.
#[derive(Debug, Clone)]
pub struct Document {
    /// The root table; incomplete if there are errors.
    pub root: Table,
    /// The table headers in their order.
    pub headers: Vec<Header>,
    /// What is wrong with the text.
    pub errors: Vec<SyntaxError>,
    /// What readers of TOML 1.0 do not accept: containerd's refuse it, CRI-O's takes it.
    pub newer: Vec<SyntaxError>,
}

/// A line `[a."b".c]` or `[[a]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The keys, decoded.
    pub keys: Vec<String>,
    /// Whether it has double brackets.
    pub array: bool,
    /// Where it is, brackets included.
    pub place: Place,
}

/// A fault of the text as TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub place: Place,
}

impl Document {
    /// Reads a text. Never fails: what is wrong is in `errors`.
    pub fn parse(path: &Path, body: &str) -> Self {
        // A byte order mark is no part of the text.
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        let text = Text::new(path, body);
        let outline = Outline::read(&text);
        if let Some(place) = outline.too_deep {
            let message = format!("more than {MAX_DEPTH} levels of nesting");
            return Self {
                root: Table::default(),
                headers: outline.headers,
                errors: vec![SyntaxError { message, place }],
                newer: Vec::new(),
            };
        }
        let (parsed, errors) = DeTable::parse_recoverable(body);
        let mut errors: Vec<SyntaxError> = errors
            .iter()
            .map(|error| SyntaxError {
                message: error.message().to_owned(),
                place: text.place(error.span().unwrap_or(0..0)),
            })
            .collect();
        errors.sort_by(|a, b| a.place.cmp(&b.place));
        errors.truncate(MAX_ERRORS);
        Self {
            root: table(&text, parsed.get_ref(), false),
            headers: outline.headers,
            errors,
            newer: outline.newer,
        }
    }

    /// The first thing that stops a reader of TOML 1.0.
    pub fn fault(&self) -> Option<&SyntaxError> {
        self.errors
            .first()
            .into_iter()
            .chain(self.newer.first())
            .min_by(|a, b| a.place.cmp(&b.place))
    }
}

fn table(text: &Text<'_>, from: &DeTable<'_>, inline: bool) -> Table {
    let mut table = Table::default();
    table.inline = inline;
    for (key, value) in from {
        let node = node(text, value.get_ref(), value.span());
        table.insert(
            key.get_ref().as_ref(),
            Entry {
                key: text.place(key.span()),
                node,
            },
        );
    }
    table
}

fn node(text: &Text<'_>, from: &DeValue<'_>, span: std::ops::Range<usize>) -> Node {
    let value = match from {
        DeValue::String(value) => Value::String(value.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(value) => match i64::from_str_radix(value.as_str(), value.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other(value.as_str().to_owned()),
        },
        DeValue::Float(value) => Value::Other(value.as_str().to_owned()),
        DeValue::Datetime(value) => Value::Other(value.to_string()),
        DeValue::Array(values) => Value::Array(
            values
                .iter()
                .map(|value| node(text, value.get_ref(), value.span()))
                .collect(),
        ),
        DeValue::Table(value) => {
            let inline = text.body().as_bytes().get(span.start) == Some(&b'{');
            Value::Table(table(text, value, inline))
        }
    };
    Node {
        value,
        place: text.place(span),
    }
}

/// What the events tell before a tree is built.
#[derive(Default)]
struct Outline {
    headers: Vec<Header>,
    newer: Vec<SyntaxError>,
    too_deep: Option<Place>,
}

impl Outline {
    fn read(text: &Text<'_>) -> Self {
        let source = Source::new(text.body());
        let tokens = source.lex().into_vec();
        let mut events: Vec<Event> = Vec::new();
        let mut receiver = |event: Event| events.push(event);
        // The guard keeps the parser from recursing; one level more than is allowed must still be seen here.
        let mut guard = RecursionGuard::new(&mut receiver, MAX_DEPTH as u32 + 2);
        parse_document(&tokens, &mut guard, &mut ());
        let mut outline = Self::default();
        let mut header: Option<(usize, bool, Vec<String>)> = None;
        let (mut header_depth, mut key_depth, mut open) = (0, 0, Vec::new());
        let mut after_comma = false;
        for event in &events {
            let span = event.span().start()..event.span().end();
            match event.kind() {
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                    header = Some((
                        span.start,
                        event.kind() == EventKind::ArrayTableOpen,
                        Vec::new(),
                    ));
                }
                EventKind::StdTableClose | EventKind::ArrayTableClose => {
                    if let Some((start, array, keys)) = header.take() {
                        header_depth = keys.len();
                        outline.headers.push(Header {
                            keys,
                            array,
                            place: text.place(start..span.end),
                        });
                    }
                }
                EventKind::SimpleKey => {
                    key_depth += 1;
                    if let (Some((_, _, keys)), Some(raw)) = (header.as_mut(), source.get(event)) {
                        let mut key = String::new();
                        raw.decode_key(&mut key, &mut ());
                        keys.push(key);
                    }
                }
                EventKind::InlineTableOpen | EventKind::ArrayOpen => {
                    open.push((event.kind(), key_depth));
                }
                EventKind::InlineTableClose | EventKind::ArrayClose => {
                    if after_comma
                        && open
                            .last()
                            .is_some_and(|(kind, _)| *kind == EventKind::InlineTableOpen)
                    {
                        outline.newer_than_1_0(
                            "a trailing comma in an inline table",
                            text,
                            span.clone(),
                        );
                    }
                    key_depth = open.pop().map_or(0, |(_, depth)| depth);
                }
                EventKind::Newline if open.is_empty() => key_depth = 0,
                EventKind::Newline
                    if open
                        .last()
                        .is_some_and(|(kind, _)| *kind == EventKind::InlineTableOpen) =>
                {
                    outline.newer_than_1_0(
                        "a line break inside an inline table",
                        text,
                        span.clone(),
                    );
                }
                EventKind::ValueSep => key_depth = open.last().map_or(0, |(_, depth)| *depth),
                _ => {}
            }
            match event.kind() {
                EventKind::ValueSep => after_comma = true,
                EventKind::Whitespace | EventKind::Comment | EventKind::Newline => {}
                _ => after_comma = false,
            }
            if header.is_none() && header_depth + key_depth + open.len() > MAX_DEPTH
                || header
                    .as_ref()
                    .is_some_and(|(_, _, keys)| keys.len() > MAX_DEPTH)
            {
                outline.too_deep = Some(text.place(span));
                return outline;
            }
        }
        outline
    }

    fn newer_than_1_0(&mut self, what: &str, text: &Text<'_>, span: std::ops::Range<usize>) {
        if self.newer.len() < MAX_ERRORS {
            let message = format!("{what} is not TOML 1.0");
            self.newer.push(SyntaxError {
                message,
                place: text.place(span),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> Document {
        Document::parse(Path::new("/etc/f.toml"), body)
    }

    #[test]
    fn places_of_keys_and_values() {
        let document = parse("a = 1\n[b.\"c:1\"]\n  d = [\"x\", true]\n");
        assert!(document.errors.is_empty());
        let d = document
            .root
            .descend(&["b", "c:1"])
            .unwrap()
            .entry("d")
            .unwrap();
        assert_eq!((d.key.line, d.key.column, d.key.length), (3, 3, 1));
        let x = &d.node.array().unwrap()[0];
        assert_eq!((x.str(), x.place.column), (Some("x"), 8));
        assert_eq!(document.root.node("a").unwrap().integer(), Some(1));
    }

    #[test]
    fn headers_keep_their_order() {
        let document = parse("[b.\"x\\u0041\"]\n[ a ]\n[[c]]\nd = { e = { f = 1 } }\n");
        let keys: Vec<_> = document
            .headers
            .iter()
            .map(|header| (header.keys.join("/"), header.array))
            .collect();
        assert_eq!(
            keys,
            [
                ("b/xA".into(), false),
                ("a".into(), false),
                ("c".into(), true)
            ]
        );
        assert_eq!(document.headers[1].place.length, 5);
        assert!(
            document.root.node("c").unwrap().array().unwrap()[0]
                .table()
                .unwrap()
                .table("d")
                .unwrap()
                .inline
        );
        assert!(!document.root.table("b").unwrap().inline);
    }

    #[test]
    fn every_syntax_error_is_seen() {
        let document = parse("a = \nb = 1\nc = [1,\n\n[d]\ne = tru\n");
        assert!(document.errors.len() >= 2, "{:?}", document.errors);
        assert_eq!(document.errors[0].place.line, 1);
        assert_eq!(document.root.node("b").unwrap().integer(), Some(1));
        assert_eq!(parse("a = 1\na = 2\n").errors[0].message, "duplicate key");
        assert_eq!(parse("[a]\n[a]\n").errors[0].place.line, 2);
    }

    #[test]
    fn what_go_does_not_read_is_an_error() {
        assert_eq!(
            parse("a = { b = 1,\n c = 2 }").newer[0].message,
            "a line break inside an inline table is not TOML 1.0"
        );
        assert_eq!(
            parse("a = { b = 1, }").newer[0].message,
            "a trailing comma in an inline table is not TOML 1.0"
        );
        assert!(
            parse("a = [ 1,\n 2,\n]\nb = { c = [1, 2,] }")
                .fault()
                .is_none()
        );
    }

    #[test]
    fn nesting_is_bounded() {
        for body in [
            format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
            format!("[{}a]", "a.".repeat(100_000)),
            format!("{}a = 1", "a.".repeat(100_000)),
            format!("{}1{}", "{a = ".repeat(100_000), "}".repeat(100_000)),
            format!("a = {}", "{b.c.d.e.f.g.h.i = ".repeat(20)),
        ] {
            assert!(parse(&body).fault().is_some());
        }
        assert!(
            parse("[a.b.c.d]\ne.f = { g = [[[1]]] }\n")
                .fault()
                .is_none()
        );
    }

    proptest! {
        #[test]
        fn never_panics(body in "\\PC*") {
            parse(&body);
        }

        #[test]
        fn never_panics_on_toml_like_text(body in "([\\[\\]{}=.,\"'a-c0-9 \n#\\\\]|\"\"\"|\\[\\[)*") {
            parse(&body);
        }
    }
}
