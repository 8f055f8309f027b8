//! Covers passwords and tokens in texts that others wrote: a `*` for each character, so that columns stay right.
//!
//! Nobody can tell every secret from every other word. Covered is what stands where secrets stand: user and password in
//! an address, the values of its query, values of keys such as `password`, tables of headers and of credentials, private
//! keys. When in doubt a word too many is covered. [`addresses`] is for sentences, [`secrets`] for the text of files.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex_lite::Regex;

/// Parameters of a registry's addresses that are part of the answer and no secret.
const HARMLESS: &[&str] = &["ns", "service", "scope", "n", "last", "digest", "from"];

/// How far after an address with an odd port its `@` is looked for, in characters.
const REACH: usize = 2000;

/// A character as it is meant, with the bytes that stand for it: `\u0040` is an `@`.
#[derive(Clone, Copy)]
struct Meant {
    character: char,
    start: usize,
    end: usize,
}

/// A text with user, password and query of every address in it covered, with or without a scheme.
///
/// An image's digest and the parameter `ns` stay.
///
/// ```
/// use criscope::secret::cover::addresses;
///
/// assert_eq!(addresses("https://u:p@m/v2/?ns=docker.io"), "https://***@m/v2/?ns=docker.io");
/// ```
pub fn addresses(text: &str) -> Cow<'_, str> {
    if !text.contains(['@', '?', '\\', '#']) {
        return Cow::Borrowed(text);
    }
    let mut ranges = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.contains(['@', '?', '\\', '#']) {
            let meant = decoded(line, start);
            find(&meant, &mut ranges);
        }
        start += line.len();
    }
    covered(text, &mut ranges)
}

/// The text of a file, or a line of it, with all secrets covered; quotes and line breaks stay.
pub fn secrets(text: &str) -> Cow<'_, str> {
    let mut ranges = tables(text);
    for (secret, number) in SECRETS.iter() {
        let found = secret
            .captures_iter(text)
            .filter_map(|found| found.iter().skip(1).flatten().next());
        ranges.extend(
            found
                .filter(|value| *number || !is_setting(value.as_str()))
                .map(|value| value.range()),
        );
    }
    match covered(text, &mut ranges) {
        Cow::Borrowed(text) => addresses(text),
        Cow::Owned(text) => Cow::Owned(addresses(&text).into_owned()),
    }
}

/// What a reader of YAML says about a text, without the words of the text: they could be a password.
///
/// `reason` is the error as it tells itself; only its first line is kept.
pub fn yaml_fault(reason: &str) -> String {
    let first = reason.lines().next().unwrap_or_default();
    let mut told = String::with_capacity(first.len());
    let (mut inside, mut escaped) = (None, false);
    for character in first.chars() {
        match inside {
            Some(quote) if character == quote && !escaped => {
                inside = None;
                told.push('…');
                told.push(character);
            }
            Some(_) => escaped = character == '\\' && !escaped,
            None => {
                if character == '"' || character == '`' && told.ends_with("variant ") {
                    inside = Some(character);
                    escaped = false;
                }
                told.push(character);
            }
        }
    }
    told
}

/// A number or a truth value is a setting, not a secret: `tokenTTL = 3600`. In quotes it is a secret: `"123456"`.
fn is_setting(value: &str) -> bool {
    value.parse::<f64>().is_ok() || ["true", "false", "null", "~"].contains(&value)
}

/// What a secret looks like in TOML, JSON, YAML: `password = "…"`, `"auth": "…"`, `token: …`, `Authorization = ["…"]`,
/// and the inside of a private key. A quote that is not closed ends with the line. With each, whether a bare number is a
/// secret, too.
static SECRETS: LazyLock<Vec<(Regex, bool)>> = LazyLock::new(|| {
    const VALUE: &str = r#"("""[\s\S]*?"""|'''[\s\S]*?'''|"""[^"]*|'''[^']*|"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|\[[^\]\n{]*|[^\s"',\]\}\[\{][^\s,\]\}]*)"#;
    const IS: &str = r#"["']?[ \t]*[:=][ \t]*"#;
    [
        (
            format!(r#"(?i)["']?[a-z0-9_.-]*passw(?:or)?[dt][a-z0-9_.-]*{IS}{VALUE}"#),
            true,
        ),
        (
            format!(
                r#"(?i)["']?[a-z0-9_.-]*(?:secret|token|credential|authorization|api[_-]?key)[a-z0-9_.-]*{IS}{VALUE}"#
            ),
            false,
        ),
        (format!(r#"(?i)(?:^|[\s"'{{,.])auth{IS}{VALUE}"#), false),
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----([^-]*)(?:-----END|$)".to_owned(),
            true,
        ),
    ]
    .into_iter()
    .filter_map(|(pattern, number)| Some((Regex::new(&pattern).ok()?, number)))
    .collect()
});

/// The values in TOML's tables of headers and of credentials, whatever their keys are, with what stands behind them.
fn tables(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut table = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if is_header(line) {
            table = Some(line);
        } else if let Some(value) = value_of(table, line, Suspicion::Sure) {
            ranges.push(start + value.start..start + value.end);
        }
        start += line.len();
    }
    ranges
}

/// One line of a TOML file without secrets, given the line that begins the table in which it stands: in tables of
/// credentials and of headers every value is covered, with the comment behind it.
pub fn line<'t>(table: Option<&str>, line: &'t str) -> Cow<'t, str> {
    let mut ranges: Vec<_> = value_of(table, line, Suspicion::Slight)
        .into_iter()
        .collect();
    match covered(line, &mut ranges) {
        Cow::Borrowed(line) => secrets(line),
        Cow::Owned(line) => Cow::Owned(secrets(&line).into_owned()),
    }
}

/// The strings that are the value of a key which nobody knows, as they are written: what they mean is not known either,
/// and the key may be a misspelt `password`. Left out is what looks like a path, an address, a host, or a word of these
/// files. `behind` is the byte at which the key ends.
pub fn opaque(line: &str, behind: usize) -> Vec<&str> {
    let rest = line.get(behind..).unwrap_or_default();
    let Some(at) = rest.find(['=', ':']) else {
        return Vec::new();
    };
    let value = rest[at + 1..].trim_start();
    let many = value.starts_with(['[', '{']);
    let close = if value.starts_with('[') { ']' } else { '}' };
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(start) = rest.find(['"', '\'', close]) {
        let quote = &rest[start..=start];
        if !many && start > 0 || !matches!(quote, "\"" | "'") {
            break;
        }
        let inside = &rest[start + 1..];
        let end = inside.find(quote).unwrap_or(inside.len());
        let text = &inside[..end];
        if !is_harmless(text) {
            found.push(text);
        }
        rest = inside.get(end + 1..).unwrap_or_default();
        if !many {
            break;
        }
    }
    found
}

/// A text with words covered.
pub fn words<'t>(text: &'t str, words: &[&str]) -> Cow<'t, str> {
    let mut ranges: Vec<_> = words
        .iter()
        .filter(|word| !word.is_empty())
        .flat_map(|word| text.match_indices(*word))
        .map(|(at, word)| at..at + word.len())
        .collect();
    covered(text, &mut ranges)
}

/// Whether a value looks like what stands in files about registries.
fn is_harmless(value: &str) -> bool {
    const WORDS: &[&str] = &["", "pull", "resolve", "push", "referrers", "localhost"];
    const MODES: &[&str] = &["enforcing", "permissive", "disabled", "all", "digest-only"];
    static HOST: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"^(\*\.)?[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+(:[0-9]{1,5})?(/[a-z0-9./_-]{0,80})?$",
        )
        .ok()
    });
    value.starts_with('/')
        || value.contains("://")
        || WORDS.contains(&value)
        || MODES.contains(&value)
        || HOST.as_ref().is_some_and(|host| host.is_match(value))
}

/// How much is taken for a table of credentials.
#[derive(Clone, Copy, PartialEq)]
enum Suspicion {
    /// Everything with such a word in it: a line that is shown because something is wrong with it.
    Slight,
    /// What is one: a file that is kept has to stay what it is.
    Sure,
}

/// Whether a line begins a table: not an element of an array that takes several lines.
fn is_header(line: &str) -> bool {
    let line = line.split(" #").next().unwrap_or_default().trim();
    line.starts_with('[') && line.ends_with(']') && !line.starts_with("[\"")
}

/// Where the value on a line is, if the line is about credentials or headers.
fn value_of(table: Option<&str>, line: &str, suspicion: Suspicion) -> Option<Range<usize>> {
    if line.trim_start().starts_with(['[', '#', '{']) {
        return None;
    }
    let has = |text: &str, word: &str| text.to_ascii_lowercase().contains(word);
    let slight = suspicion == Suspicion::Slight;
    let within = table.is_some_and(|table| {
        has(table, "header") || has(table, ".auth]") || slight && has(table, "auth")
    });
    let about = |key: &str| has(key, "header") || slight && has(key, "auth");
    let end = line.trim_end().len();
    match line.find('=') {
        Some(at) if within || about(&line[..at]) => {
            (!is_setting(line[at + 1..end].trim())).then_some(at + 1..end)
        }
        // A further line of an array.
        None if within => Some(0..end),
        _ => None,
    }
}

/// Covers ranges, which may overlap; quotes, blanks and line breaks stay.
fn covered<'t>(text: &'t str, ranges: &mut [Range<usize>]) -> Cow<'t, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    for range in ranges.iter() {
        let start = range.start.max(done);
        let Some(secret) = text.get(start..range.end) else {
            continue;
        };
        shown.push_str(&text[done..start]);
        let mut escaped = false;
        shown.extend(secret.chars().map(|c| {
            let quote = matches!(c, '"' | '\'') && !escaped;
            escaped = c == '\\' && !escaped;
            match c {
                _ if quote => c,
                // The frame of an array or a table, and what begins a comment.
                '\n' | '\r' | ' ' | '\t' | '[' | ']' | '{' | '}' | ',' | '#' => c,
                _ => '*',
            }
        }));
        done = range.end;
    }
    shown.push_str(&text[done..]);
    Cow::Owned(shown)
}

/// The characters of a line, with `\/`, `\\`, `\"`, `\u0040` and `\U00000040` taken for what they mean.
fn decoded(line: &str, offset: usize) -> Vec<Meant> {
    let mut meant = Vec::with_capacity(line.len());
    let mut at = 0;
    while let Some(character) = line[at..].chars().next() {
        let rest = &line[at..];
        let (character, length) = if character == '\\' {
            let hex = |digits: usize| {
                let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
                Some((char::from_u32(code)?, 2 + digits))
            };
            match rest.as_bytes().get(1) {
                // A quote with a backslash before it ends nothing.
                Some(b'"' | b'\\') => ('\\', 2),
                Some(b'/') => ('/', 2),
                Some(b'u') => hex(4).unwrap_or(('\\', 1)),
                Some(b'U') => hex(8).unwrap_or(('\\', 1)),
                _ => ('\\', 1),
            }
        } else {
            (character, character.len_utf8())
        };
        meant.push(Meant {
            character,
            start: offset + at,
            end: offset + at + length,
        });
        at += length;
    }
    meant
}

/// Finds what is to be covered in one line.
fn find(line: &[Meant], ranges: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while at < line.len() {
        if bounds(line[at].character) {
            at += 1;
            continue;
        }
        let end = end_of(line, at, bounds);
        word(line, at..end, ranges);
        at = end;
    }
}

/// What an address never goes beyond, if it is written as it should be.
fn bounds(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')
}

fn end_of(line: &[Meant], from: usize, stop: impl Fn(char) -> bool) -> usize {
    line.iter()
        .skip(from)
        .position(|meant| stop(meant.character))
        .map_or(line.len(), |length| from + length)
}

/// Covers what is secret in a word between blanks and quotes, which may hold several addresses.
fn word(line: &[Meant], word: Range<usize>, ranges: &mut Vec<Range<usize>>) {
    let is = |at: usize, c: char| line.get(at).is_some_and(|meant| meant.character == c);
    let mut schemes = Vec::new();
    for at in word.clone() {
        if is(at, ':') && is(at + 1, '/') && is(at + 2, '/') && at + 2 < word.end {
            schemes.push(at + 3);
        }
    }
    for &authority in &schemes {
        if let Some(at) = user_ends(line, authority, word.end, false) {
            push(line, authority..at, ranges);
        }
    }
    if schemes.is_empty() {
        // `key=user:password@host`, `[user:password@host`.
        let mut start = word.start;
        while start < word.end && matches!(line[start].character, '[' | '(' | '{' | ',') {
            start += 1;
        }
        let colon = end_of(line, start, |c| c == ':').min(word.end);
        let equals = end_of(line, start, |c| c == '=').min(word.end);
        if equals < colon {
            start = equals + 1;
        }
        if let Some(at) = user_ends(line, start, word.end, true) {
            push(line, start..at, ranges);
        }
    }
    query(line, word, !schemes.is_empty(), ranges);
}

/// Where the user of an address ends: at the last `@` before the path. An authority with something else than a port is
/// none that anybody can parse; its `@` may stand behind a slash, a quote or a blank. Without a scheme there must be a
/// password, else `a@b` is many things.
fn user_ends(line: &[Meant], from: usize, to: usize, bare: bool) -> Option<usize> {
    let slash = end_of(line, from, |c| c == '/').min(to);
    let authority = from..slash;
    let colon = authority
        .clone()
        .find(|at| line[*at].character == ':' && line[from].character != '[');
    if bare && colon.is_none() {
        return None;
    }
    let last = |range: Range<usize>| {
        range
            .rev()
            .find(|at| line[*at].character == '@' && !is_digest(line, *at + 1))
    };
    if let Some(at) = last(authority) {
        return (!bare || colon.is_some_and(|colon| colon < at)).then_some(at);
    }
    let colon = colon?;
    let port = line
        .get(colon + 1..slash)?
        .iter()
        .all(|meant| meant.character.is_ascii_digit());
    if port {
        return None;
    }
    if bare {
        return last(slash..to);
    }
    last(slash..line.len().min(from + REACH))
}

/// Whether a digest begins here: `sha256:…`.
fn is_digest(line: &[Meant], at: usize) -> bool {
    let word: String = line
        .iter()
        .skip(at)
        .map(|meant| meant.character)
        .take(3)
        .collect();
    word == "sha"
}

/// Covers the values of a query and of a fragment, and what has no name in it.
fn query(line: &[Meant], word: Range<usize>, address: bool, ranges: &mut Vec<Range<usize>>) {
    let mut at = end_of(line, word.start, |c| matches!(c, '?' | '#')).min(word.end);
    while at < word.end {
        let start = at + 1;
        let end = end_of(line, start, |c| matches!(c, '&' | '#' | ';' | '?')).min(word.end);
        let equals = end_of(line, start, |c| c == '=').min(end);
        let name: String = line[start.min(end)..equals]
            .iter()
            .map(|meant| meant.character)
            .collect();
        if equals < end {
            if !HARMLESS.contains(&name.as_str()) && !name.is_empty() {
                push(line, equals + 1..end, ranges);
            }
        } else if address {
            push(line, start..end, ranges);
        }
        at = end;
    }
}

fn push(line: &[Meant], range: Range<usize>, ranges: &mut Vec<Range<usize>>) {
    if let (Some(first), Some(last)) =
        (line.get(range.start), line.get(range.end.saturating_sub(1)))
        && range.start < range.end
    {
        ranges.push(first.start..last.end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn case(text: &str, expected: &str) {
        assert_eq!(secrets(text), expected);
        assert_eq!(
            text.chars().count(),
            expected.chars().count(),
            "columns stay"
        );
    }

    #[test]
    fn values_are_covered() {
        case(r#"password = "hunter2""#, r#"password = "*******""#);
        case(r#"password = "123456""#, r#"password = "******""#);
        case("password: 123456", "password: ******");
        case(r#"password = "hunter2"#, r#"password = "*******"#);
        case("secret = 'hunter2", "secret = '*******");
        case(
            "password = \"\"\"hunter2\"\"\"",
            "password = \"\"\"*******\"\"\"",
        );
        case(r#"passwort = "x" "#, r#"passwort = "*" "#);
        case(
            r#"{"auths":{"r":{"auth":"dTpw","x":1}}}"#,
            r#"{"auths":{"r":{"auth":"****","x":1}}}"#,
        );
        case(r#"identitytoken = 'ab"c'"#, r#"identitytoken = '**"*'"#);
        case("bearer_token: abc # why", "bearer_token: *** # why");
        case(
            "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\n***\n-----END EC PRIVATE KEY-----",
        );
        case(
            "[host.\"https://m\".header]\nX-Corp-Key = [\"abc\",\n  \"def\"]\n[x]\ny = \"z\"\n",
            "[host.\"https://m\".header]\nX-Corp-Key = [\"***\",\n  \"***\"]\n[x]\ny = \"z\"\n",
        );
    }

    #[test]
    fn addresses_are_covered() {
        for (text, expected) in [
            ("http://u:p@proxy:3128", "http://***@proxy:3128"),
            ("https://us:p@abc@m2/x", "https://********@m2/x"),
            ("https://abcde@m3/x", "https://*****@m3/x"),
            ("`https://m3/x?sig=abc`", "`https://m3/x?sig=***`"),
            ("https://m3/x?abc", "https://m3/x?***"),
            ("https://m3/x#a=b", "https://m3/x#a=*"),
            ("u:abc@m5/x", "*****@m5/x"),
            ("x=u:abc@m5", "x=*****@m5"),
            (r#"{"a":"u:abc@proxy"}"#, r#"{"a":"*****@proxy"}"#),
            ("[host.\"ht tp://a:abc@h\"]", "[host.\"ht tp://*****@h\"]"),
            ("http://a:abc@[::1", "http://*****@[::1"),
            ("http://us@er:abc@h", "http://*********@h"),
            ("http://u:ab/c@h", "http://******@h"),
            ("\"http://u:a\\\"b c@h\"", "\"http://****** *@h\""),
            ("\"http://u:abc\\u0040h\"", "\"http://*****\\u0040h\""),
            (r"http:\/\/u:abc@h\/x", r"http:\/\/*****@h\/x"),
            (
                "https://https://u:abc@m/v2/?ns=quay.io",
                "https://https://*****@m/v2/?ns=quay.io",
            ),
        ] {
            assert_eq!(addresses(text), expected, "{text}");
            assert_eq!(secrets(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"r\".auth]",
            "tokenTTL = 3600",
            "authorization:\n  mode: Webhook",
            "config_path = \"/etc/containerd/certs.d\"",
            "https://mirror.example:5000/v2",
            "password = \"\"",
            "registry:5000/a/b:tag@sha256:0123",
            "https://m/v2/a/manifests/sha256:0123?ns=docker.io",
            "HEAD https://[::1]:5000/v2/a@b",
            "containerd@1.7.27",
            "unix:///run/containerd/containerd.sock",
            "parse \"https://h:port\": invalid port \":port\" after host",
            "what? this: it asks `?ns=`",
            "systemd: getty@tty1.service",
            "key = \"a\" # see https://example.org/x",
        ] {
            assert_eq!(secrets(text), text);
        }
    }

    #[test]
    fn values_of_unknown_keys() {
        for (line, key, expected) in [
            ("insecur = \"abc\" # x", "insecur", vec!["abc"]),
            ("confg_path = \"/etc/x\"", "confg_path", vec![]),
            ("endpont = [\"https://m\", 'abc']", "endpont", vec!["abc"]),
            (r#"{"a":"b","c":["d"]}"#, r#"{"a""#, vec!["b"]),
            ("lcation = \"quay.io/a\"", "lcation", vec![]),
            ("x = true # \"a\"", "x", vec![]),
            ("x = \"abc", "x", vec!["abc"]),
            ("[x]", "[x]", vec![]),
        ] {
            assert_eq!(opaque(line, key.len()), expected, "{line}");
        }
        assert_eq!(words("a = \"abc\"", &["abc"]), "a = \"***\"");
    }

    #[test]
    fn yaml_is_told_without_its_words() {
        assert_eq!(
            yaml_fault("invalid type: string \"a\\\"b\\\"c\", expected i64 at line 2\n  | a"),
            "invalid type: string \"…\", expected i64 at line 2"
        );
        assert_eq!(
            yaml_fault("unknown field `x`, expected one of `a`, `b`"),
            "unknown field `x`, expected one of `a`, `b`"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_no_password_in_an_address_is_shown(
            before in "[ -~\n]{0,20}",
            user in "[a-z]{1,8}",
            after in "[ -~]{0,20}",
        ) {
            let text = format!("{before} https://{user}:CANARY@host{after}");
            prop_assert!(!secrets(&text).contains("CANARY"), "{}", secrets(&text));
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,60}") {
            let _ = (addresses(&text), secrets(&text), yaml_fault(&text), line(Some("auth"), &text));
        }
    }
}
