//! One line of a log file in either dialect: CRI's text, or Docker's json-file.
//!
//! CRI (`/var/log/pods/…`, kubelet's logging design): `TIME STREAM TAGS CONTENT`, where the first of the
//! colon-separated tags is `F` for a whole line and `P` for a part of one. json-file: an object with `log`, `stream` and
//! `time`; a part of a line has no line break at the end of `log`. A JSON line begins with a brace and a CRI line with a
//! digit, so nothing has to be remembered to tell them apart.

use std::borrow::Cow;

use serde::Deserialize;

/// Which of its two outputs a process wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Output {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Output::Stdout),
            b"stderr" => Some(Output::Stderr),
            _ => None,
        }
    }

    /// 0 and 1, to count them apart.
    pub fn index(self) -> usize {
        match self {
            Output::Stdout => 0,
            Output::Stderr => 1,
        }
    }
}

/// What a line of a log file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'l> {
    /// When it was logged, as it is written there.
    pub time: Cow<'l, str>,
    /// Where the process wrote it.
    pub output: Output,
    /// Whether the line goes on in the next record.
    pub is_partial: bool,
    /// What the process wrote, without the line break.
    pub content: Cow<'l, [u8]>,
}

/// A line of json-file.
#[derive(Deserialize)]
struct Json<'l> {
    #[serde(borrow)]
    log: Cow<'l, str>,
    #[serde(borrow)]
    stream: Cow<'l, str>,
    #[serde(borrow)]
    time: Cow<'l, str>,
}

/// Reads a line, which has no line break at its end any more. `None`: it is in neither dialect.
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    match line.first()? {
        b'{' => json(line),
        b'0'..=b'9' => cri(line),
        _ => None,
    }
}

fn cri(line: &[u8]) -> Option<Record<'_>> {
    let (time, rest) = split(line)?;
    let (output, rest) = split(rest)?;
    // An empty line may end with its tag.
    let (tags, content) = split(rest).unwrap_or((rest, &[]));
    let time = std::str::from_utf8(time).ok()?;
    if !looks_like_time(time) {
        return None;
    }
    Some(Record {
        time: Cow::Borrowed(time),
        output: Output::of(output)?,
        is_partial: tags == b"P" || tags.starts_with(b"P:"),
        content: Cow::Borrowed(content),
    })
}

fn json(line: &[u8]) -> Option<Record<'_>> {
    let line: Json<'_> = serde_json::from_slice(line).ok()?;
    if !looks_like_time(&line.time) {
        return None;
    }
    let (is_partial, content) = match line.log {
        Cow::Borrowed(text) => match text.strip_suffix('\n') {
            Some(text) => (false, Cow::Borrowed(text.as_bytes())),
            None => (true, Cow::Borrowed(text.as_bytes())),
        },
        Cow::Owned(mut text) => {
            let is_whole = text.ends_with('\n');
            text.truncate(text.len() - usize::from(is_whole));
            (!is_whole, Cow::Owned(text.into_bytes()))
        }
    };
    Some(Record {
        time: line.time,
        output: Output::of(line.stream.as_bytes())?,
        is_partial,
        content,
    })
}

/// `2026-01-02T03:04:05…`: enough to tell a record from a line of something else.
fn looks_like_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20
        && bytes.len() <= 40
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// A time as it is logged, in nanoseconds since 1970.
pub fn nanoseconds(time: &str) -> Option<i64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(line: &str, expected: Option<(Output, bool, &str)>) {
        let found = parse(line.as_bytes());
        let found = found.as_ref().map(|record| {
            (
                record.output,
                record.is_partial,
                std::str::from_utf8(&record.content).unwrap(),
            )
        });
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn lines_of_cri() {
        use Output::{Stderr, Stdout};
        let at = "2026-01-02T03:04:05.678901234Z";
        let cri = |rest: &str| format!("{at} {rest}");
        case(
            &cri("stdout F hello world"),
            Some((Stdout, false, "hello world")),
        );
        case(&cri("stderr P part"), Some((Stderr, true, "part")));
        case(&cri("stdout P:x:y part"), Some((Stdout, true, "part")));
        case(
            &cri("stdout F:x  two spaces"),
            Some((Stdout, false, " two spaces")),
        );
        case(&cri("stdout F "), Some((Stdout, false, "")));
        case(&cri("stdout F"), Some((Stdout, false, "")));
        case(
            "2026-01-02T05:04:05+02:00 stdout F zone",
            Some((Stdout, false, "zone")),
        );
        case(&cri("stdin F x"), None);
        case(&cri("stdout"), None);
        case("plain text of something else", None);
        case("12 stdout F x", None);
        case("", None);
    }

    #[test]
    fn lines_of_json_file() {
        use Output::{Stderr, Stdout};
        let line = |log: &str, stream: &str| {
            format!(r#"{{"log":"{log}","stream":"{stream}","time":"2026-01-02T03:04:05.6Z"}}"#)
        };
        case(&line("hello\\n", "stdout"), Some((Stdout, false, "hello")));
        case(&line("part", "stderr"), Some((Stderr, true, "part")));
        case(
            &line("gr\\u00fcn \\\"x\\\"\\n", "stdout"),
            Some((Stdout, false, "grün \"x\"")),
        );
        case(&line("\\n", "stdout"), Some((Stdout, false, "")));
        case(r#"{"log":"x\n","stream":"stdout","time":"now"}"#, None);
        case(r#"{"log":"x\n","stream":"stdout","#, None);
        case(r#"{"level":"info"}"#, None);
    }

    #[test]
    fn times() {
        assert_eq!(nanoseconds("1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(nanoseconds("1970-01-01T02:00:00+02:00"), Some(0));
        assert_eq!(nanoseconds("yesterday"), None);
    }
}
