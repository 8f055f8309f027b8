//! `crictl.yaml` as text that can be read, changed and written again: a flat mapping in block style, one key a line.
//!
//! Comments, quotes, the order and keys that nobody knows stay as they are. A file that is written in another way
//! (nested, in braces) is refused here; reading it is left to a YAML parser. crictl writes through go-yaml, which drops
//! blank lines, and it adds every key that is missing: see [`Layout`].

use std::fmt;

/// A key of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Where the runtime service is.
    RuntimeEndpoint,
    /// Where the image service is.
    ImageEndpoint,
    /// The deadline, in whole seconds.
    Timeout,
    /// Whether to tell what is being done.
    Debug,
    /// Whether `create` pulls.
    PullImageOnCreate,
    /// Whether `run` does not pull.
    DisablePullOnRun,
    /// How often crictl tries to connect.
    MaxRetries,
}

impl Key {
    /// All of them, in the order in which crictl adds them.
    pub const ALL: [Key; 7] = [
        Key::RuntimeEndpoint,
        Key::ImageEndpoint,
        Key::Timeout,
        Key::Debug,
        Key::PullImageOnCreate,
        Key::DisablePullOnRun,
        Key::MaxRetries,
    ];

    /// As it is written in the file.
    pub fn name(self) -> &'static str {
        match self {
            Key::RuntimeEndpoint => "runtime-endpoint",
            Key::ImageEndpoint => "image-endpoint",
            Key::Timeout => "timeout",
            Key::Debug => "debug",
            Key::PullImageOnCreate => "pull-image-on-create",
            Key::DisablePullOnRun => "disable-pull-on-run",
            Key::MaxRetries => "max-retries",
        }
    }

    /// The key of this name.
    pub fn named(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.name() == name)
    }

    /// The value as the file should hold it.
    ///
    /// # Errors
    /// It is none that the key can have.
    pub fn value(self, text: &str) -> Result<String, Misfit> {
        let misfit = |expected| Misfit {
            key: self,
            value: text.to_owned(),
            expected,
        };
        match self {
            Key::RuntimeEndpoint | Key::ImageEndpoint => Ok(text.to_owned()),
            Key::Timeout | Key::MaxRetries => text
                .parse::<i64>()
                .map(|number| number.to_string())
                .map_err(|_| misfit("a whole number")),
            Key::Debug | Key::PullImageOnCreate | Key::DisablePullOnRun => match text {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok("true".to_owned()),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok("false".to_owned()),
                _ => Err(misfit("`true` or `false`")),
            },
        }
    }

    /// What holds where the file does not have the key, as crictl shows it.
    pub fn zero(self) -> &'static str {
        match self {
            Key::RuntimeEndpoint | Key::ImageEndpoint => "",
            Key::Timeout | Key::MaxRetries => "0",
            Key::Debug | Key::PullImageOnCreate | Key::DisablePullOnRun => "false",
        }
    }
}

/// A value that a key cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` takes {expected}, not `{value}`", .key.name())]
pub struct Misfit {
    /// The key.
    pub key: Key,
    /// What was to be its value.
    pub value: String,
    /// What it takes.
    pub expected: &'static str,
}

/// A line that is neither a comment nor `key: value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not of the form `key: value`")]
pub struct Foreign {
    /// Which one, from 1 on.
    pub line: usize,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As it is, but for what was set.
    Kept,
    /// As crictl writes it: no blank lines, and every key that it knows.
    Crictl,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    /// A comment, nothing, or the mark of a document.
    Other(String),
    Entry(Entry),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    key: String,
    value: String,
    quote: Quote,
    /// A comment behind it.
    comment: String,
    /// The line as it was read, until it is set.
    line: Option<String>,
}

/// How a value is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    /// It is written in another way.
    pub fn parse(text: &str) -> Result<Self, Foreign> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate().map(|(index, line)| {
            let is_mark = matches!(line.trim_end(), "---" | "...");
            if line.trim().is_empty() || line.trim_start().starts_with('#') || is_mark {
                return Ok(Line::Other(line.trim_end().to_owned()));
            }
            let foreign = Foreign { line: index + 1 };
            Entry::parse(line).map(Line::Entry).ok_or(foreign)
        });
        let lines = lines.collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }

    /// The value of a key: the last one, if it is there more than once.
    pub fn value(&self, key: Key) -> Option<&str> {
        let mut values = self.entries().filter(|entry| entry.key == key.name());
        values.next_back().map(|entry| entry.value.as_str())
    }

    /// Keys that nobody knows.
    pub fn unknown_keys(&self) -> impl Iterator<Item = &str> {
        let unknown = |entry: &&Entry| Key::named(&entry.key).is_none();
        self.entries()
            .filter(unknown)
            .map(|entry| entry.key.as_str())
    }

    /// Sets a key wherever it is, or adds it at the end.
    pub fn set(&mut self, key: Key, value: &str) {
        let mut found = false;
        for line in &mut self.lines {
            if let Line::Entry(entry) = line
                && entry.key == key.name()
            {
                if entry.value != value {
                    value.clone_into(&mut entry.value);
                    entry.line = None;
                }
                found = true;
            }
        }
        if !found {
            self.lines.push(Line::Entry(Entry {
                key: key.name().to_owned(),
                value: value.to_owned(),
                quote: Quote::None,
                comment: String::new(),
                line: None,
            }));
        }
    }

    /// Adds every key that is missing, in crictl's order.
    pub fn complete(&mut self) {
        for key in Key::ALL {
            if self.value(key).is_none() {
                self.set(key, key.zero());
            }
        }
    }

    /// The text for a file.
    pub fn text(&self, layout: Layout) -> String {
        let mut document = self.clone();
        if layout == Layout::Crictl {
            let is_blank = |line: &Line| matches!(line, Line::Other(text) if text.is_empty());
            document.lines.retain(|line| !is_blank(line));
            document.complete();
        }
        let mut text = String::new();
        for line in &document.lines {
            match line {
                Line::Other(line) => text.push_str(line),
                Line::Entry(entry) => match (&entry.line, layout) {
                    (Some(line), Layout::Kept) => text.push_str(line),
                    _ => text.push_str(&entry.to_string()),
                },
            }
            text.push('\n');
        }
        text
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.lines.iter().filter_map(|line| match line {
            Line::Entry(entry) => Some(entry),
            Line::Other(_) => None,
        })
    }
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let (key, rest) = line.split_once(':')?;
        let key = key.trim_end();
        let key = unquoted(key, '"').or(unquoted(key, '\'')).unwrap_or(key);
        let is_key = !key.is_empty()
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        // Without a space behind the colon it is no key: `unix:///x`.
        if !is_key || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
            return None;
        }
        let rest = rest.trim();
        let (value, quote, behind) = match rest.chars().next() {
            Some('"') => {
                let (value, behind) = double_quoted(&rest[1..])?;
                (value, Quote::Double, behind)
            }
            Some('\'') => {
                let (value, behind) = single_quoted(&rest[1..])?;
                (value, Quote::Single, behind)
            }
            Some('[' | '{' | '&' | '*' | '!' | '|' | '>' | '%' | '@' | '`') => return None,
            _ => {
                let end = if rest.starts_with('#') {
                    0
                } else {
                    rest.find(" #").or(rest.find("\t#")).unwrap_or(rest.len())
                };
                let value = rest[..end].trim_end();
                let value = if matches!(value, "~" | "null") {
                    ""
                } else {
                    value
                };
                (value.to_owned(), Quote::None, &rest[end..])
            }
        };
        let comment = behind.trim_start();
        if !comment.is_empty() && !comment.starts_with('#') {
            return None;
        }
        Some(Self {
            key: key.to_owned(),
            value,
            quote,
            comment: comment.to_owned(),
            line: Some(line.trim_end().to_owned()),
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        match self.quote {
            Quote::Single => write!(f, "'{}'", self.value.replace('\'', "''"))?,
            Quote::None if is_plain(&self.key, &self.value) => f.write_str(&self.value)?,
            Quote::None | Quote::Double => {
                write!(
                    f,
                    "\"{}\"",
                    self.value.replace('\\', "\\\\").replace('"', "\\\"")
                )?;
            }
        }
        if !self.comment.is_empty() {
            write!(f, " {}", self.comment)?;
        }
        Ok(())
    }
}

/// Whether a value means the same without quotes.
fn is_plain(key: &str, value: &str) -> bool {
    // What nobody knows is written as it was: it was plain.
    let is_text = matches!(
        Key::named(key),
        Some(Key::RuntimeEndpoint | Key::ImageEndpoint)
    );
    let is_odd = value.is_empty()
        || value.starts_with([
            ' ', '"', '\'', '[', ']', '{', '}', '&', '*', '!', '|', '>', '%', '@', '`', '#', ',',
            '?', ':', '-',
        ])
        || value.ends_with([' ', ':'])
        || value.contains(": ")
        || value.contains(" #")
        || value.chars().any(char::is_control);
    let is_other = matches!(
        value,
        "true" | "false" | "null" | "~" | "yes" | "no" | "on" | "off"
    ) || value.parse::<f64>().is_ok();
    !is_text || !(is_odd || is_other)
}

fn unquoted(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote)
}

/// The text up to the closing quote, and what is behind it.
fn double_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                c @ ('"' | '\\' | '/') => value.push(c),
                // The rest of YAML's escapes is left to a YAML parser.
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

fn single_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once('\'')?;
        value.push_str(part);
        match behind.strip_prefix('\'') {
            Some(behind) => {
                value.push('\'');
                rest = behind;
            }
            None => return Some((value, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_crictl_writes_is_written() {
        let text = "\nruntime-endpoint: \"foo\"\nimage-endpoint: \"bar\" # an inline comment\ntimeout: 5\n\n# comment below a newline\ndebug: true\n";
        let mut document = Document::parse(text).unwrap();
        for (key, value) in [
            (Key::RuntimeEndpoint, "bar"),
            (Key::ImageEndpoint, "baz"),
            (Key::Timeout, "10"),
            (Key::Debug, "false"),
        ] {
            document.set(key, value);
        }
        assert_eq!(
            document.text(Layout::Crictl),
            "runtime-endpoint: \"bar\"\nimage-endpoint: \"baz\" # an inline comment\ntimeout: 10\n# comment below a newline\ndebug: false\npull-image-on-create: false\ndisable-pull-on-run: false\nmax-retries: 0\n"
        );
        assert_eq!(
            document.text(Layout::Kept),
            text.replace("foo", "bar")
                .replace("\"bar\" #", "\"baz\" #")
                .replace('5', "10")
                .replace("true", "false")
        );
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_counts_and_all_are_set() {
        let mut document = Document::parse("timeout: 20\ntimeout: 5\n").unwrap();
        assert_eq!(document.value(Key::Timeout), Some("5"));
        document.set(Key::Timeout, "30");
        assert_eq!(document.text(Layout::Kept), "timeout: 30\ntimeout: 30\n");
        assert_eq!(
            document.text(Layout::Crictl).lines().nth(2),
            Some("runtime-endpoint: \"\"")
        );
    }

    #[test]
    fn values_are_read_as_yaml_reads_them() {
        #[track_caller]
        fn case(line: &str, expected: Option<&str>) {
            let text = format!("runtime-endpoint{line}\n");
            let document = Document::parse(&text).ok();
            let value = document
                .as_ref()
                .and_then(|document| document.value(Key::RuntimeEndpoint));
            assert_eq!(value, expected, "{line}");
        }
        case(": unix:///a.sock", Some("unix:///a.sock"));
        case(" :\tunix:///a # c", Some("unix:///a"));
        case(": unix:///a#b", Some("unix:///a#b"));
        case(": 'it''s'", Some("it's"));
        case(": \"a\\\"b\" # c", Some("a\"b"));
        case(":", Some(""));
        case(": # nothing", Some(""));
        case(": ~", Some(""));
        case(":unix", None);
        case(": [a]", None);
        case(": \"a\" b", None);
        case(": \"a\\u0041\"", None);
        case(": \"a", None);
        case(":\n  nested: 1", None);
    }

    #[test]
    fn what_is_set_is_read_again() {
        for value in [
            "unix:///a.sock",
            "",
            "true",
            "12",
            "a: b",
            "a #b",
            "it's",
            "q\"q",
            "-",
            "back\\slash",
        ] {
            for file in [
                "",
                "runtime-endpoint: x",
                "runtime-endpoint: 'x'",
                "runtime-endpoint: \"x\"",
            ] {
                let mut document = Document::parse(file).unwrap();
                document.set(Key::RuntimeEndpoint, value);
                let text = document.text(Layout::Kept);
                let again = Document::parse(&text).unwrap();
                assert_eq!(again.value(Key::RuntimeEndpoint), Some(value), "{text}");
            }
        }
    }

    #[test]
    fn values_have_types() {
        assert_eq!(Key::Timeout.value("10").as_deref(), Ok("10"));
        assert!(Key::Timeout.value("2s").is_err());
        assert_eq!(Key::Debug.value("T").as_deref(), Ok("true"));
        let misfit = Key::Debug.value("maybe").unwrap_err();
        assert_eq!(
            misfit.to_string(),
            "`debug` takes `true` or `false`, not `maybe`"
        );
    }
}
