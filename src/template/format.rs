//! Values as Go's fmt prints them.

use serde_json::Value;

use super::value::Val;

/// The widest a value is made, lest a template fill the memory.
const WIDEST: usize = 10_000;

/// The value of an action: null is `<no value>`.
pub fn print_action(out: &mut String, value: &Val<'_>) {
    match value {
        Val::Nil => out.push_str("<no value>"),
        value => print_value(out, value),
    }
}

/// A value as `%v` prints it.
pub fn print_value(out: &mut String, value: &Val<'_>) {
    Layout::default().value(out, value, 'v');
}

/// Values one behind the other, with a space between two that are no texts.
pub fn sprint(values: &[Val<'_>]) -> String {
    let mut out = String::new();
    let is_text = |value: &Val<'_>| matches!(value, Val::Text(_) | Val::Number(_));
    for (index, value) in values.iter().enumerate() {
        if index > 0 && !is_text(value) && !is_text(&values[index - 1]) {
            out.push(' ');
        }
        print_value(&mut out, value);
    }
    out
}

/// Values with spaces between them and a line end behind them.
pub fn sprintln(values: &[Val<'_>]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        print_value(&mut out, value);
    }
    out.push('\n');
    out
}

/// printf.
pub fn sprintf(layout: &str, values: &[Val<'_>]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = layout.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut how = Layout::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '+' | '-' | '#' | ' ' | '0')) {
            match flag {
                '+' => how.plus = true,
                '-' => how.left = true,
                '#' => how.sharp = true,
                ' ' => how.space = true,
                _ => how.zero = true,
            }
        }
        how.width = count(&mut chars, &mut values);
        if chars.next_if_eq(&'.').is_some() {
            how.precision = Some(count(&mut chars, &mut values).unwrap_or(0));
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                Some(value) => how.value(&mut out, value, verb),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
    }
    let left: Vec<String> = values
        .map(|value| match value {
            Val::Nil => "<nil>".to_owned(),
            value => {
                let mut text = format!("{}=", value.type_name());
                print_value(&mut text, value);
                text
            }
        })
        .collect();
    if !left.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", left.join(", ")));
    }
    out
}

/// A width or a precision: digits, or `*` for the next value.
fn count(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    values: &mut std::slice::Iter<'_, Val<'_>>,
) -> Option<usize> {
    if chars.next_if_eq(&'*').is_some() {
        return match values.next() {
            Some(Val::Int(count)) => usize::try_from(*count).ok().map(|c| c.min(WIDEST)),
            _ => None,
        };
    }
    let mut found: Option<usize> = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        found = Some((found.unwrap_or(0) * 10 + digit as usize).min(WIDEST));
    }
    found
}

/// What stands between `%` and the verb.
#[derive(Debug, Clone, Default)]
struct Layout {
    plus: bool,
    left: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Layout {
    fn value(&self, out: &mut String, value: &Val<'_>, verb: char) {
        if verb == 'T' {
            return self.pad(out, value.type_name(), false);
        }
        match value {
            Val::List(items) => self.list(out, items, verb),
            Val::Map(map) => self.map(out, map, verb),
            Val::Nil if verb == 'v' => self.pad(out, "<nil>", false),
            Val::Nil => out.push_str(&format!("%!{verb}(<nil>)")),
            value => match self.scalar(value, verb) {
                Some((text, is_number)) => self.pad(out, &text, is_number),
                None => {
                    let mut text = String::new();
                    print_value(&mut text, value);
                    out.push_str(&format!("%!{verb}({}={text})", value.type_name()));
                }
            },
        }
    }

    fn list(&self, out: &mut String, items: &[Value], verb: char) {
        let is_go = self.sharp && verb == 'v';
        let (open, between, close) = match is_go {
            true => ("[]interface {}{", ", ", "}"),
            false => ("[", " ", "]"),
        };
        out.push_str(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(between);
            }
            self.value(out, &Val::of(item), verb);
        }
        out.push_str(close);
    }

    fn map(&self, out: &mut String, map: &serde_json::Map<String, Value>, verb: char) {
        let is_go = self.sharp && verb == 'v';
        let (open, between, close) = match is_go {
            true => ("map[string]interface {}{", ", ", "}"),
            false => ("map[", " ", "]"),
        };
        out.push_str(open);
        let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
        pairs.sort_by_key(|(key, _)| *key);
        for (index, (key, item)) in pairs.into_iter().enumerate() {
            if index > 0 {
                out.push_str(between);
            }
            self.value(out, &Val::Text(key.into()), verb);
            out.push(':');
            self.value(out, &Val::of(item), verb);
        }
        out.push_str(close);
    }

    /// The text of a value that is no list and no map, and whether it is a number; nothing if the verb does not fit.
    fn scalar(&self, value: &Val<'_>, verb: char) -> Option<(String, bool)> {
        let of_text = |text: &str| {
            let cut: String = match self.precision {
                Some(length) => text.chars().take(length).collect(),
                None => text.to_owned(),
            };
            match verb {
                'v' if self.sharp => Some(quote(text)),
                'v' | 's' => Some(cut),
                'q' if self.sharp && !text.contains('`') => Some(format!("`{cut}`")),
                'q' => Some(quote(&cut)),
                'x' => Some(cut.bytes().map(|byte| format!("{byte:02x}")).collect()),
                'X' => Some(cut.bytes().map(|byte| format!("{byte:02X}")).collect()),
                _ => None,
            }
        };
        match value {
            Val::Bool(is_true) => match verb {
                'v' | 't' => Some((is_true.to_string(), false)),
                _ => None,
            },
            Val::Text(text) => of_text(text).map(|text| (text, false)),
            Val::Number(number) => of_text(&number.to_string()).map(|text| (text, false)),
            Val::Int(number) => self.whole(*number, verb),
            Val::Float(number) => self.fraction(*number, verb).map(|text| (text, true)),
            Val::Nil | Val::List(_) | Val::Map(_) => None,
        }
    }

    fn whole(&self, number: i64, verb: char) -> Option<(String, bool)> {
        let character = || u32::try_from(number).ok().and_then(char::from_u32);
        let size = number.unsigned_abs();
        let digits = match verb {
            'v' | 'd' => size.to_string(),
            'x' => format!("{size:x}"),
            'X' => format!("{size:X}"),
            'o' => format!("{size:o}"),
            'b' => format!("{size:b}"),
            'c' => return Some((character().unwrap_or('\u{fffd}').to_string(), false)),
            'q' => return Some((format!("'{}'", character().unwrap_or('\u{fffd}')), false)),
            'U' => return Some((format!("U+{size:04X}"), false)),
            _ => return None,
        };
        let prefix = match verb {
            'x' | 'X' if self.sharp => "0x",
            'o' if self.sharp => "0",
            _ => "",
        };
        let digits = match self.precision {
            Some(count) => format!("{digits:0>count$}"),
            None => digits,
        };
        Some((format!("{}{prefix}{digits}", self.sign(number < 0)), true))
    }

    fn fraction(&self, number: f64, verb: char) -> Option<String> {
        let size = number.abs();
        let digits = match (verb, self.precision) {
            ('f' | 'F', precision) => format!("{size:.*}", precision.unwrap_or(6)),
            ('e', precision) => exponent(&format!("{size:.*e}", precision.unwrap_or(6))),
            ('E', precision) => {
                exponent(&format!("{size:.*e}", precision.unwrap_or(6))).to_uppercase()
            }
            ('v' | 'g', None) => shortest(size),
            ('G', None) => shortest(size).to_uppercase(),
            ('v' | 'g', Some(precision)) => significant(size, precision),
            ('G', Some(precision)) => significant(size, precision).to_uppercase(),
            _ => return None,
        };
        Some(format!("{}{digits}", self.sign(number.is_sign_negative())))
    }

    fn sign(&self, is_negative: bool) -> &'static str {
        match is_negative {
            true => "-",
            false if self.plus => "+",
            false if self.space => " ",
            false => "",
        }
    }

    fn pad(&self, out: &mut String, text: &str, is_number: bool) {
        let length = text.chars().count();
        let lacking = self.width.unwrap_or(0).saturating_sub(length);
        let fill = |c: char| std::iter::repeat_n(c, lacking);
        if self.left {
            out.push_str(text);
            out.extend(fill(' '));
        } else if self.zero && is_number {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+', ' '])));
            out.push_str(sign);
            out.extend(fill('0'));
            out.push_str(digits);
        } else {
            out.extend(fill(if self.zero { '0' } else { ' ' }));
            out.push_str(text);
        }
    }
}

/// Rust's `1.5e3` as Go writes it: `1.5e+03`.
fn exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text.to_owned(),
    }
}

fn power(number: f64) -> i32 {
    let text = format!("{number:e}");
    text.split_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok())
        .unwrap_or(0)
}

/// As few digits as tell the number from all others.
fn shortest(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() { "NaN" } else { "+Inf" }.to_owned();
    }
    match power(number) {
        -4..=20 => number.to_string(),
        _ => exponent(&format!("{number:e}")),
    }
}

/// So many significant digits, without zeros at the end.
fn significant(number: f64, digits: usize) -> String {
    let digits = digits.max(1);
    let rounded = format!("{number:.*e}", digits - 1);
    let power = power(rounded.parse().unwrap_or(number));
    let text = match usize::try_from(power) {
        Ok(power) if power < digits => {
            let decimals = digits - 1 - power;
            format!("{number:.decimals$}")
        }
        Err(_) if power >= -4 => {
            let decimals = digits - 1 + power.unsigned_abs() as usize;
            format!("{number:.decimals$}")
        }
        _ => {
            let (mantissa, exponent_of) = rounded.split_once('e').unwrap_or((&rounded, "0"));
            return exponent(&format!("{}e{exponent_of}", trimmed(mantissa)));
        }
    };
    trimmed(&text).to_owned()
}

fn trimmed(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// A text in quotes, as Go writes it in source.
fn quote(text: &str) -> String {
    let mut made = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => made.push_str("\\\""),
            '\\' => made.push_str("\\\\"),
            '\n' => made.push_str("\\n"),
            '\t' => made.push_str("\\t"),
            '\r' => made.push_str("\\r"),
            '\x07' => made.push_str("\\a"),
            '\x08' => made.push_str("\\b"),
            '\x0b' => made.push_str("\\v"),
            '\x0c' => made.push_str("\\f"),
            c if c < ' ' || c == '\x7f' => made.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => made.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => made.push(c),
        }
    }
    made.push('"');
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        #[track_caller]
        fn case(layout: &str, value: Val<'_>, expected: &str) {
            assert_eq!(sprintf(layout, &[value]), expected, "{layout}");
        }
        case("%v", Val::Float(1e21), "1e+21");
        case("%v", Val::Float(1e20), "100000000000000000000");
        case("%v", Val::Float(0.00001), "1e-05");
        case("%v", Val::Float(-0.5), "-0.5");
        case("%.3g", Val::Float(1234.5), "1.23e+03");
        case("%.3g", Val::Float(0.012345), "0.0123");
        case("%8.2f|", Val::Float(1.23456), "    1.23|");
        case("%-8d|", Val::Int(42), "42      |");
        case("%+d", Val::Int(42), "+42");
        case("%05d", Val::Int(-42), "-0042");
        case("%#x", Val::Int(255), "0xff");
        case("%s", Val::Int(1), "%!s(int=1)");
        case("%s", Val::Nil, "%!s(<nil>)");
        case("%v", Val::Nil, "<nil>");
        case("%", Val::Int(1), "%!(NOVERB)%!(EXTRA int=1)");
        case("%.2s", Val::text("日本語"), "日本");
        case("%99999999999s", Val::text(""), &" ".repeat(WIDEST));
        case("%#v", Val::text("a\n"), "\"a\\n\"");
    }
}
