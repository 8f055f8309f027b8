//! What a runtime says, as YAML in go-yaml's manner: crictl's, through `sigs.k8s.io/yaml`. Scripts look for lines such as
//! `imageRef: reg.example/app@sha256:…`, so what counts is where it quotes, folds and indents.
//!
//! Followed is go-yaml v2.4: a text stands as it is where it can, in double quotes where it would be read as something
//! else, in single quotes where its characters need it, and as a literal block where it has several lines. Texts longer
//! than 80 columns go on in the next line where they have a space. A list in a mapping is not indented.

mod words;

use std::cmp::Ordering;

use serde_json::Value;

use words::is_read_as_text;

/// The column behind which a text goes on in the next line.
const WIDTH: usize = 80;

/// A document, with a line end.
pub fn text(value: &Value) -> String {
    let mut writer = Writer::default();
    match value {
        Value::Object(map) if !map.is_empty() => writer.mapping(value, 0, false),
        Value::Array(list) if !list.is_empty() => writer.sequence(value, 0, false),
        _ => {
            writer.scalar(value, 0);
            writer.out.push('\n');
        }
    }
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    /// How many characters the line has.
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn line(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn indent(&mut self, indent: usize) {
        self.put(&" ".repeat(indent));
    }

    /// A mapping; `is_begun` if the line has its indentation already, behind a dash.
    fn mapping(&mut self, value: &Value, indent: usize, is_begun: bool) {
        for (index, (key, value)) in sorted(value).into_iter().enumerate() {
            if index > 0 || !is_begun {
                self.indent(indent);
            }
            self.string(key, indent, Place::Key);
            self.put(":");
            match value {
                Value::Object(map) if !map.is_empty() => {
                    self.line();
                    self.mapping(value, indent + 2, false);
                }
                Value::Array(list) if !list.is_empty() => {
                    self.line();
                    self.sequence(value, indent, false);
                }
                _ => {
                    self.put(" ");
                    self.scalar(value, indent);
                    self.line();
                }
            }
        }
    }

    fn sequence(&mut self, value: &Value, indent: usize, is_begun: bool) {
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            if index > 0 || !is_begun {
                self.indent(indent);
            }
            self.put("- ");
            match value {
                Value::Object(map) if !map.is_empty() => self.mapping(value, indent + 2, true),
                Value::Array(list) if !list.is_empty() => self.sequence(value, indent + 2, true),
                _ => {
                    self.scalar(value, indent);
                    self.line();
                }
            }
        }
    }

    /// What is no collection, or an empty one, in a collection of this indentation.
    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.put("null"),
            Value::Bool(flag) => self.put(if *flag { "true" } else { "false" }),
            Value::Number(number) => self.put(&number.to_string()),
            Value::String(text) => self.string(text, indent, Place::Value),
            Value::Array(_) => self.put("[]"),
            Value::Object(_) => self.put("{}"),
        }
    }

    fn string(&mut self, text: &str, indent: usize, place: Place) {
        let nature = Nature::of(text);
        let wanted = if text.contains('\n') {
            Style::Literal
        } else if is_read_as_text(text) {
            Style::Plain
        } else {
            Style::Double
        };
        match wanted {
            Style::Literal if nature.fits_block && place == Place::Value => {
                self.literal(text, indent + 2);
            }
            Style::Plain if nature.fits_plain => self.plain(text, indent + 2, place),
            Style::Plain if nature.fits_single => self.single(text, indent + 2, place),
            _ => self.double(text, indent + 2, place),
        }
    }

    /// Whether the line is so long that it should end at this space, and may.
    fn folds(&self, place: Place, before: Option<char>, after: Option<char>) -> bool {
        place == Place::Value
            && self.column > WIDTH
            && before != Some(' ')
            && after.is_some_and(|c| c != ' ')
    }

    fn plain(&mut self, text: &str, indent: usize, place: Place) {
        let mut before = None;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter == ' ' && self.folds(place, before, letters.peek().copied()) {
                self.line();
                self.indent(indent);
            } else {
                self.letter(letter);
            }
            before = Some(letter);
        }
    }

    fn single(&mut self, text: &str, indent: usize, place: Place) {
        self.put("'");
        let mut before = None;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let folds = before.is_some() && self.folds(place, before, letters.peek().copied());
            if letter == ' ' && folds {
                self.line();
                self.indent(indent);
            } else if letter == '\'' {
                self.put("''");
            } else {
                self.letter(letter);
            }
            before = Some(letter);
        }
        self.put("'");
    }

    fn double(&mut self, text: &str, indent: usize, place: Place) {
        self.put("\"");
        let mut before = None;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let next = letters.peek().copied();
            let may_fold = place == Place::Value && before.is_some() && next.is_some();
            if letter == ' ' && may_fold && before != Some(' ') && self.column > WIDTH {
                self.line();
                self.indent(indent);
                if next == Some(' ') {
                    self.put("\\");
                }
            } else if is_printable(letter) && !matches!(letter, '"' | '\\' | '\n' | '\u{feff}') {
                self.letter(letter);
            } else {
                let escaped = escaped(letter);
                self.put(&escaped);
            }
            before = Some(letter);
        }
        self.put("\"");
    }

    /// Several lines as they are.
    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        if !text.ends_with('\n') {
            self.put("-");
        } else if text.len() == 1 || text.ends_with("\n\n") {
            self.put("+");
        }
        let body = text.strip_suffix('\n').unwrap_or(text);
        for line in body.split('\n') {
            self.line();
            if !line.is_empty() {
                self.indent(indent);
                self.put(line);
            }
        }
    }

    fn letter(&mut self, letter: char) {
        self.out.push(letter);
        self.column += 1;
    }
}

/// The entries of a mapping in go-yaml's order; of one that is larger than people write it, in the order of their bytes.
fn sorted(value: &Value) -> Vec<(&String, &Value)> {
    const MOST: usize = 256;
    let entries = value.as_object().into_iter().flatten();
    let mut sorted: Vec<(&String, &Value)> = Vec::new();
    for entry in entries {
        // By hand, because that order has circles, which sorting in the standard library does not forgive.
        let behind = |(key, _): &&(&String, &Value)| order(key, entry.0) == Ordering::Greater;
        let place = match sorted.len() {
            ..MOST => sorted.len() - sorted.iter().rev().take_while(behind).count(),
            length => length,
        };
        sorted.insert(place, entry);
    }
    sorted
}

/// go-yaml's order of keys: letters behind everything else, and numbers by their value.
fn order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else {
        return a.len().cmp(&b.len());
    };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero within a number counts, one in front of it does not.
    let digits_before = a[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    let is_within = (x == '0' || y == '0') && digits_before.clone().any(|digit| *digit != '0');
    let number = |letters: &[char]| {
        let digits = letters[at..].iter().map_while(|letter| letter.to_digit(10));
        digits.fold((i64::from(is_within), 0), |(number, length), digit| {
            let number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
            (number, length + 1)
        })
    };
    number(&a).cmp(&number(&b)).then(x.cmp(&y))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    Value,
}

enum Style {
    Plain,
    Double,
    Literal,
}

/// What the characters of a text allow.
struct Nature {
    fits_plain: bool,
    fits_single: bool,
    fits_block: bool,
}

impl Nature {
    fn of(text: &str) -> Self {
        let mut nature = Nature {
            fits_plain: !text.starts_with("---") && !text.starts_with("..."),
            fits_single: true,
            fits_block: true,
        };
        let mut before = None;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let next = letters.peek().copied();
            let is_blank_next = next.is_none_or(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            let indicates = match (before, letter) {
                (None, '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>') => true,
                (None, '\'' | '"' | '%' | '@' | '`') => true,
                (None, '?' | '-') | (_, ':') => is_blank_next,
                (Some(' ' | '\t' | '\n'), '#') => true,
                _ => false,
            };
            let is_space = letter == ' ';
            let is_break = letter == '\n';
            if !is_printable(letter) || letter == '\u{feff}' {
                nature.fits_plain = false;
                nature.fits_single = false;
                nature.fits_block = false;
            }
            // Space at either end, or at the end of a line.
            if is_space && next.is_none() {
                nature.fits_block = false;
            }
            if is_space && next == Some('\n') {
                nature.fits_single = false;
                nature.fits_block = false;
            }
            if is_break && next == Some(' ') {
                nature.fits_single = false;
            }
            let at_an_end = before.is_none() || next.is_none();
            if indicates || is_break || is_space && at_an_end {
                nature.fits_plain = false;
            }
            before = Some(letter);
        }
        nature
    }
}

fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
}

fn escaped(letter: char) -> String {
    match letter {
        '\0' => "\\0".to_owned(),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\r' => "\\r".to_owned(),
        '\u{1b}' => "\\e".to_owned(),
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{85}' => "\\N".to_owned(),
        letter => match u32::from(letter) {
            code @ ..=0xff => format!("\\x{code:02X}"),
            code @ ..=0xffff => format!("\\u{code:04X}"),
            code => format!("\\U{code:08X}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_quoted_where_go_quotes_them() {
        #[track_caller]
        fn case(value: &str, expected: &str) {
            assert_eq!(text(&json!({ "k": value })), format!("k: {expected}\n"));
        }
        for plain in [
            "web",
            "1.2.1",
            "0.3.1-rc",
            "reg.example/app@sha256:abc",
            "/var/log/pods",
            "a: b".trim_end_matches(" b"),
            "870ba6f789092f990a8b729a8488f617",
            "it's",
            "a,b[c]",
            "a#b",
            "-x",
            "?x",
            "1:99",
            "2026-01-02x",
            "1e999",
            "äöü",
        ] {
            if plain.ends_with(':') {
                case(plain, &format!("'{plain}'"));
            } else {
                case(plain, plain);
            }
        }
        case("", "\"\"");
        case("true", "\"true\"");
        case("yes", "\"yes\"");
        case("1795525103058329112", "\"1795525103058329112\"");
        case("1e3", "\"1e3\"");
        case("08", "\"08\"");
        case("0x1f", "\"0x1f\"");
        case("1:30", "\"1:30\"");
        case(
            "2026-11-24T12:58:23.058329112Z",
            "\"2026-11-24T12:58:23.058329112Z\"",
        );
        case("2026-11-24", "\"2026-11-24\"");
        case("2026-02-30", "2026-02-30");
        case("<<", "<<");
        case("😀", "\"\\U0001F600\"");
        case("a: b", "'a: b'");
        case("{\"type\":\"loopback\"}", "'{\"type\":\"loopback\"}'");
        case("'quoted'", "'''quoted'''");
        case("# x", "'# x'");
        case("- x", "'- x'");
        case(" x", "' x'");
        case("x ", "'x '");
        case("@x", "'@x'");
        case("a\tb", "\"a\\tb\"");
        case("a\u{1b}b", "\"a\\eb\"");
        case("a\nb", "|-\n  a\n  b");
        case("a\nb\n", "|\n  a\n  b");
        case("a\n\n", "|+\n  a\n");
        case("a \nb", "\"a \\nb\"");
    }

    #[test]
    fn collections_are_laid_out_as_go_lays_them_out() {
        let value = json!({
            "a": {"b": [1, {"c": "d", "e": []}, ["f", ["g"]]], "h": {}},
            "i": null,
            "10": true,
        });
        let expected = "\"10\": true\na:\n  b:\n  - 1\n  - c: d\n    e: []\n  - - f\n    - - g\n  h: {}\ni: null\n";
        assert_eq!(text(&value), expected);
        assert_eq!(text(&json!([])), "[]\n");
        assert_eq!(text(&json!([{"a": 1}])), "- a: 1\n");
    }

    #[test]
    fn keys_are_in_natural_order() {
        let value = json!({"k10": 1, "k9": 1, "kB": 1, "k_a": 1, "k": 1, "k01": 1, "k.a": 1});
        let keys: Vec<String> = text(&value)
            .lines()
            .map(|it| it.replace(": 1", ""))
            .collect();
        assert_eq!(keys, ["k", "k.a", "k_a", "k01", "k9", "k10", "kB"]);
    }

    #[test]
    fn long_texts_go_on_in_the_next_line() {
        let words = "trap 'exit 0' TERM; echo \"listening on :8080\"; httpd -f -p 8080 -h /var/www & wait $!";
        let value = json!({ "process": { "args": { "x": [words] } } });
        let expected = "process:\n  args:\n    x:\n    - trap 'exit 0' TERM; echo \"listening on :8080\"; httpd -f -p 8080 -h /var/www\n      & wait $!\n";
        assert_eq!(text(&value), expected);
        let path = "/a".repeat(60);
        assert_eq!(text(&json!({ "p": path })), format!("p: {path}\n"));
    }
}
