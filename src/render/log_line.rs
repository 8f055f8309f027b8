//! A line of a log as it is shown: whose it is, when it was written, what it says.
//!
//! What a process wrote goes into files and pipes as it is. A terminal gets no control characters from it but colours:
//! a log is text that anybody on the network may have had a hand in.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};

use super::sanitize;

/// Colours of prefixes, in the order of what is shown.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Red,
];

/// A line, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'l> {
    /// Whose it is, and which of those that are shown.
    pub label: Option<(&'l str, usize)>,
    /// When it was written, as the runtime logged it.
    pub time: Option<&'l str>,
    /// What was written, without the line break.
    pub content: &'l [u8],
    /// Whether the line begins with this.
    pub begins: bool,
    /// Whether it ends with this.
    pub ends: bool,
}

/// Where lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surface {
    /// Somebody looks at it: control characters are escaped.
    pub is_terminal: bool,
    /// Prefixes have colours.
    pub has_colours: bool,
}

impl Surface {
    /// A stream of this process: `is_terminal` says whether it is one; NO_COLOR and TERM are honoured.
    pub fn of_process(is_terminal: bool) -> Self {
        let choice = anstream::AutoStream::choice(&std::io::stdout());
        Self {
            is_terminal,
            has_colours: is_terminal && choice != anstream::ColorChoice::Never,
        }
    }

    /// Appends a line as it is shown here.
    pub fn write(self, line: &LogLine<'_>, out: &mut Vec<u8>) {
        if line.begins {
            if let Some((label, place)) = line.label {
                let style = match self.has_colours {
                    true => COLOURS[place % COLOURS.len()].on_default(),
                    false => Style::new(),
                };
                out.extend_from_slice(
                    format!("{style}{}{style:#} ", sanitize::line(label)).as_bytes(),
                );
            }
            if let Some(time) = line.time {
                out.extend_from_slice(nine_digits(time).as_bytes());
                out.push(b' ');
            }
        }
        if self.is_terminal {
            for_terminal(line.content, out);
        } else {
            out.extend_from_slice(line.content);
        }
        if line.ends {
            out.push(b'\n');
        }
    }
}

/// A time with nine digits behind the second, in the zone it was logged in, so that lines are as long as each other.
fn nine_digits(time: &str) -> Cow<'_, str> {
    const SECONDS: usize = "2026-01-02T03:04:05".len();
    let (Some(front), Some(rest)) = (time.get(..SECONDS), time.get(SECONDS..)) else {
        return sanitize::line(time);
    };
    let fraction = rest.strip_prefix('.').unwrap_or_default();
    let digits = fraction
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(fraction.len());
    let zone = match digits {
        0 => rest,
        _ => &fraction[digits..],
    };
    let text = format!("{front}.{:0<9.9}{zone}", &fraction[..digits]);
    Cow::Owned(sanitize::line(&text).into_owned())
}

/// What a terminal may be given: text, tabs, colours, and the carriage return that a terminal of the container puts at
/// the end of every line.
fn for_terminal(content: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(content);
    let (mut rest, end) = match text.strip_suffix('\r') {
        Some(rest) => (rest, "\r"),
        None => (&*text, ""),
    };
    let mut is_coloured = false;
    while let Some(at) = rest.find("\x1b[") {
        push_safe(&rest[..at], out);
        let parameters = &rest[at + 2..];
        let length = parameters
            .find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))
            .unwrap_or(parameters.len());
        if parameters[length..].starts_with('m') {
            let end = at + 2 + length + 1;
            out.extend_from_slice(&rest.as_bytes()[at..end]);
            rest = &rest[end..];
            is_coloured = true;
        } else {
            push_safe("\x1b[", out);
            rest = parameters;
        }
    }
    push_safe(rest, out);
    if is_coloured {
        // The next line may be another container's.
        out.extend_from_slice(b"\x1b[0m");
    }
    out.extend_from_slice(end.as_bytes());
}

fn push_safe(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(sanitize::block(text).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(content: &[u8], terminal: &str) {
        let line = LogLine {
            label: None,
            time: None,
            content,
            begins: true,
            ends: false,
        };
        let shown = |is_terminal| {
            let surface = Surface {
                is_terminal,
                has_colours: false,
            };
            let mut out = Vec::new();
            surface.write(&line, &mut out);
            out
        };
        assert_eq!(shown(false), content);
        assert_eq!(String::from_utf8(shown(true)).unwrap(), terminal);
    }

    #[test]
    fn a_terminal_gets_colours_and_no_commands() {
        case(b"plain\ttext", "plain\ttext");
        case("grün".as_bytes(), "grün");
        case(
            b"\x1b[1;31merror\x1b[0m\r",
            "\x1b[1;31merror\x1b[0m\x1b[0m\r",
        );
        case(
            b"a\x1b[2Jb\x1b]0;title\x07",
            "a\\u{1b}[2Jb\\u{1b}]0;title\\u{7}",
        );
        case(b"over\rwritten\x1b[", "over\\rwritten\\u{1b}[");
        case(b"\xff\x9b2J", "\u{fffd}\u{fffd}2J");
    }

    #[test]
    fn times_are_as_long_as_each_other() {
        for (time, expected) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000000Z"),
            ("2026-01-02T03:04:05.6Z", "2026-01-02T03:04:05.600000000Z"),
            (
                "2026-01-02T03:04:05.678901234+02:00",
                "2026-01-02T03:04:05.678901234+02:00",
            ),
            (
                "2026-01-02T03:04:05-07:00",
                "2026-01-02T03:04:05.000000000-07:00",
            ),
            ("x", "x"),
        ] {
            assert_eq!(nine_digits(time), expected);
        }
    }

    #[test]
    fn the_prefix_stands_where_a_line_begins() {
        let line = LogLine {
            label: Some(("web", 7)),
            time: Some("2026-01-02T03:04:05Z"),
            content: b"x",
            begins: true,
            ends: true,
        };
        let shown = |line: LogLine<'_>, has_colours| {
            let surface = Surface {
                is_terminal: has_colours,
                has_colours,
            };
            let mut out = Vec::new();
            surface.write(&line, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(line, false), "web 2026-01-02T03:04:05.000000000Z x\n");
        assert!(shown(line, true).starts_with("\x1b[32mweb\x1b[0m "));
        let part = LogLine {
            begins: false,
            ends: false,
            ..line
        };
        assert_eq!(shown(part, false), "x");
    }
}
