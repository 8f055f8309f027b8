//! From characters to tokens: text outside of `{{ }}`, and what is in there.

use super::Error;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it begins, in bytes.
    pub at: usize,
    /// Whether white space is in front of it: `.a .b` is not `.a.b`.
    pub spaced: bool,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Text outside.
    Text(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// A name: a keyword, a function, `true`, `false`, `nil`.
    Word(String),
    /// `.`.
    Dot,
    /// `.name`.
    Field(String),
    /// `$name`, or `$` alone.
    Variable(String),
    /// A string.
    Quoted(String),
    /// A whole number, or a character.
    Whole(i64),
    /// A number with a fraction.
    Fraction(f64),
    /// `|`.
    Pipe,
    /// `(`.
    Left,
    /// `)`.
    Right,
    /// `,`.
    Comma,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
}

/// The line of a place, from 1 on.
pub fn line(source: &str, at: usize) -> usize {
    source.as_bytes()[..at.min(source.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    tokens: Vec<Token>,
}

/// Takes a template apart.
///
/// # Errors
/// [`Error::Parse`].
pub fn lex(source: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer {
        source,
        at: 0,
        tokens: Vec::new(),
    };
    let mut trims = false;
    while lexer.at < source.len() {
        let rest = lexer.rest();
        let (text, opens) = match rest.find("{{") {
            Some(end) => (&rest[..end], true),
            None => (rest, false),
        };
        let begins = lexer.at;
        lexer.at += text.len();
        let text = if trims {
            text.trim_start_matches(is_space)
        } else {
            text
        };
        trims = false;
        let inside = &lexer.rest()[if opens { 2 } else { 0 }..];
        let mut after = inside.chars();
        let trims_left = opens && after.next() == Some('-') && after.next().is_some_and(is_space);
        let text = if trims_left {
            text.trim_end_matches(is_space)
        } else {
            text
        };
        if !text.is_empty() {
            lexer.push(Kind::Text(text.to_owned()), begins, false);
        }
        if opens {
            let opened = lexer.at;
            lexer.at += if trims_left { 4 } else { 2 };
            trims = match lexer.comment(opened)? {
                Some(trims) => trims,
                None => lexer.action(opened)?,
            };
        }
    }
    Ok(lexer.tokens)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: Kind, at: usize, spaced: bool) {
        self.tokens.push(Token { kind, at, spaced });
    }

    fn error(&self, at: usize, message: impl Into<String>) -> Error {
        Error::Parse {
            line: line(self.source, at),
            message: message.into(),
        }
    }

    /// A comment, which is an action of its own. Tells whether what follows is trimmed.
    fn comment(&mut self, opened: usize) -> Result<Option<bool>, Error> {
        let Some(inside) = self.rest().strip_prefix("/*") else {
            return Ok(None);
        };
        let Some(end) = inside.find("*/") else {
            return Err(self.error(opened, "unclosed comment"));
        };
        self.at += 2 + end + 2;
        for (close, trims) in [
            ("}}", false),
            (" -}}", true),
            ("\n-}}", true),
            ("\t-}}", true),
        ] {
            if self.rest().starts_with(close) {
                self.at += close.len();
                return Ok(Some(trims));
            }
        }
        Err(self.error(opened, "comment ends before closing delimiter"))
    }

    /// What is in there, up to the closing braces. Tells whether what follows is trimmed.
    fn action(&mut self, opened: usize) -> Result<bool, Error> {
        self.push(Kind::Open, opened, false);
        let mut depth = 0_usize;
        loop {
            let before = self.at;
            self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
            let spaced = self.at > before;
            let rest = self.rest();
            let at = self.at;
            let trims = spaced && rest.starts_with("-}}");
            if trims || rest.starts_with("}}") {
                if depth > 0 {
                    return Err(self.error(at, "unclosed left paren"));
                }
                self.push(Kind::Close, at, spaced);
                self.at += if trims { 3 } else { 2 };
                return Ok(trims);
            }
            let Some(first) = rest.chars().next() else {
                return Err(self.error(opened, "unclosed action"));
            };
            let kind = match first {
                '|' => self.sign(1, Kind::Pipe),
                '(' => {
                    depth += 1;
                    self.sign(1, Kind::Left)
                }
                ')' => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or_else(|| self.error(at, "unexpected right paren"))?;
                    self.sign(1, Kind::Right)
                }
                ',' => self.sign(1, Kind::Comma),
                '=' => self.sign(1, Kind::Assign),
                ':' if rest.starts_with(":=") => self.sign(2, Kind::Declare),
                '"' => self.quoted('"')?,
                '\'' => self.character()?,
                '`' => self.raw()?,
                '$' => Kind::Variable(format!("${}", self.name(1))),
                '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
                '.' => match self.name(1) {
                    "" => Kind::Dot,
                    name => Kind::Field(name.to_owned()),
                },
                '+' | '-' | '0'..='9' => self.number()?,
                c if is_name(c) => Kind::Word(self.name(0).to_owned()),
                c => {
                    let message = format!("unexpected {c:?} in command");
                    return Err(self.error(at, message));
                }
            };
            self.push(kind, at, spaced);
        }
    }

    fn sign(&mut self, length: usize, kind: Kind) -> Kind {
        self.at += length;
        kind
    }

    /// A name behind so many characters, which may be empty.
    fn name(&mut self, behind: usize) -> &'s str {
        let rest = &self.rest()[behind..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        self.at += behind + end;
        &rest[..end]
    }

    fn raw(&mut self) -> Result<Kind, Error> {
        let rest = self.rest();
        let Some(end) = rest[1..].find('`') else {
            return Err(self.error(self.at, "unterminated raw quoted string"));
        };
        self.at += end + 2;
        Ok(Kind::Quoted(rest[1..=end].to_owned()))
    }

    fn character(&mut self) -> Result<Kind, Error> {
        let at = self.at;
        let Kind::Quoted(text) = self.quoted('\'')? else {
            return Err(self.error(at, "malformed character constant"));
        };
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(Kind::Whole(i64::from(u32::from(c)))),
            _ => Err(self.error(at, format!("malformed character constant: '{text}'"))),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Kind, Error> {
        let at = self.at;
        let what = if quote == '"' {
            "quoted string"
        } else {
            "character constant"
        };
        let unterminated = self.error(at, format!("unterminated {what}"));
        let mut text = Vec::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((index, c)) = chars.next() {
            match c {
                '\n' => return Err(unterminated),
                c if c == quote => {
                    self.at += index + c.len_utf8();
                    let text = String::from_utf8_lossy(&text).into_owned();
                    return Ok(Kind::Quoted(text));
                }
                '\\' => {
                    let Some((_, escape)) = chars.next() else {
                        return Err(unterminated);
                    };
                    let mut digits = |radix: u32, count: usize, first: Option<char>| {
                        let mut value = first.and_then(|c| c.to_digit(radix)).unwrap_or(0);
                        for _ in 0..count {
                            value = value * radix + chars.next()?.1.to_digit(radix)?;
                        }
                        Some(value)
                    };
                    let of_byte = |value: Option<u32>| value.and_then(|v| u8::try_from(v).ok());
                    let of_char = |value: Option<u32>| value.and_then(char::from_u32);
                    let simple = |c: char| Some(c.to_string().into_bytes());
                    let bytes = match escape {
                        'n' => simple('\n'),
                        't' => simple('\t'),
                        'r' => simple('\r'),
                        'a' => simple('\x07'),
                        'b' => simple('\x08'),
                        'f' => simple('\x0c'),
                        'v' => simple('\x0b'),
                        '\\' => simple('\\'),
                        c if c == quote => simple(c),
                        'x' => of_byte(digits(16, 2, None)).map(|b| vec![b]),
                        'u' => of_char(digits(16, 4, None)).and_then(simple),
                        'U' => of_char(digits(16, 8, None)).and_then(simple),
                        c @ '0'..='7' => of_byte(digits(8, 2, Some(c))).map(|b| vec![b]),
                        _ => None,
                    };
                    match bytes {
                        Some(bytes) => text.extend(bytes),
                        None => return Err(self.error(at, "invalid syntax")),
                    }
                }
                c => text.extend(c.to_string().as_bytes()),
            }
        }
        Err(unterminated)
    }

    fn number(&mut self) -> Result<Kind, Error> {
        let rest = self.rest();
        let mut end = 0;
        let mut before = ' ';
        for c in rest.chars() {
            let is_exponent = matches!(before, 'e' | 'E') && !rest.starts_with("0x");
            let is_part =
                is_name(c) || c == '.' || (matches!(c, '+' | '-') && (end == 0 || is_exponent));
            if !is_part {
                break;
            }
            end += c.len_utf8();
            before = c;
        }
        let text = &rest[..end];
        let at = self.at;
        self.at += end;
        number(text).ok_or_else(|| self.error(at, format!("bad number syntax: {text:?}")))
    }
}

fn number(text: &str) -> Option<Kind> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let of_radix = [("0x", 16), ("0b", 2), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix)));
    if let Some((digits, radix)) = of_radix {
        return Some(Kind::Whole(sign * i64::from_str_radix(digits, radix).ok()?));
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        let octal = digits.len() > 1 && digits.starts_with('0');
        let value = i64::from_str_radix(digits, if octal { 8 } else { 10 });
        return Some(Kind::Whole(sign * value.ok()?));
    }
    plain.parse().ok().map(Kind::Fraction)
}
