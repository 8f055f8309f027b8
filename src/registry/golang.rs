//! What Go's standard library makes of a text. The runtimes are written in Go; whether an endpoint, a duration or a
//! path in their files works is decided by `net/url`, `time`, `path` and `net`, and so is the wording of their errors.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::secret::cover;

/// A URL as `url.Parse` splits it, as far as registry clients use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoUrl {
    /// The scheme in lower case; empty if there was none.
    pub scheme: String,
    /// Host and port as they were written: `Host`.
    pub host: String,
    /// The path, percent-decoded: `Path`.
    pub path: String,
    /// Whether there was `user:password@`.
    pub userinfo: bool,
}

/// Parses as `url.Parse` does.
///
/// # Errors
/// The text of Go's error: `parse "https://h:port": invalid port ":port" after host`. User and password are left out of
/// it, which Go does not do.
pub fn parse_url(raw: &str) -> Result<GoUrl, String> {
    parse_parts(raw).map_err(|why| {
        // What is taken for a port may be a part of the password.
        let why = if raw.contains('@') {
            let parts: Vec<&str> = why.split('"').step_by(2).collect();
            parts.join("\"…\"")
        } else {
            why
        };
        format!("parse {}: {why}", quote(&cover::addresses(raw)))
    })
}

fn parse_parts(raw: &str) -> Result<GoUrl, String> {
    if raw.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let rest = raw.split_once('#').map_or(raw, |(before, _)| before);
    let (scheme, rest) = split_scheme(rest)?;
    let mut url = GoUrl {
        scheme: scheme.to_ascii_lowercase(),
        host: String::new(),
        path: String::new(),
        userinfo: false,
    };
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let mut path = rest;
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            // An opaque URL such as `registry:5000`: neither host nor path.
            return Ok(url);
        }
        if rest
            .split('/')
            .next()
            .is_some_and(|segment| segment.contains(':'))
        {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    } else if let Some(after) = rest
        .strip_prefix("//")
        .filter(|after| !url.scheme.is_empty() || !after.starts_with('/'))
    {
        let slash = after.find('/').unwrap_or(after.len());
        let (authority, after) = after.split_at(slash);
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        url.host = parse_host(host)?;
        if let Some(user) = userinfo {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
            if !user.bytes().all(allowed) {
                return Err("net/url: invalid userinfo".to_owned());
            }
            url.userinfo = true;
        }
        path = after;
    }
    url.path = unescape(path, false)?;
    Ok(url)
}

fn split_scheme(raw: &str) -> Result<(&str, &str), String> {
    for (at, byte) in raw.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&raw[..at], &raw[at + 1..])),
            _ => return Ok(("", raw)),
        }
    }
    Ok(("", raw))
}

fn parse_host(host: &str) -> Result<String, String> {
    if let Some(open) = host.find('[') {
        let Some(close) = host.rfind(']') else {
            return Err("missing ']' in host".to_owned());
        };
        if open > 0 {
            return Err("invalid IP-literal".to_owned());
        }
        check_port(&host[close + 1..])?;
        return unescape(host, true);
    }
    if let Some(colon) = host.rfind(':') {
        check_port(&host[colon..])?;
    }
    unescape(host, true)
}

/// Nothing, or a colon and digits (Go allows none of them).
fn check_port(port: &str) -> Result<(), String> {
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        _ => Err(format!("invalid port {} after host", quote(port))),
    }
}

fn unescape(text: &str, host: bool) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == b'%' {
            let digits = bytes
                .get(at + 1..at + 3)
                .and_then(|two| std::str::from_utf8(two).ok());
            let Some(value) = digits
                .filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|two| u8::from_str_radix(two, 16).ok())
            else {
                let end = (at + 3).min(bytes.len());
                return Err(format!(
                    "invalid URL escape {}",
                    quote(&String::from_utf8_lossy(&bytes[at..end]))
                ));
            };
            decoded.push(value);
            at += 3;
            continue;
        }
        if host
            && byte < 0x80
            && !byte.is_ascii_alphanumeric()
            && !b"-._~!$&'()*+,;=:[]<>\"".contains(&byte)
        {
            return Err(format!(
                "invalid character {} in host name",
                quote(&char::from(byte).to_string())
            ));
        }
        decoded.push(byte);
        at += 1;
    }
    Ok(String::from_utf8_lossy(&decoded).into_owned())
}

/// Go's `%q`.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(quoted, "\\x{:02x}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `url.QueryEscape`.
pub fn query_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            b' ' => escaped.push('+'),
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

/// A path as `url.URL.EscapedPath` sends it: as it is, if nothing in it needs an escape; else with everything escaped that
/// may be.
pub fn escape_path(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
    if path
        .bytes()
        .all(|byte| plain(byte) || b"!'()*[]".contains(&byte))
    {
        return path.to_owned();
    }
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// `path.Clean`.
pub fn clean_path(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                None if rooted => {}
                _ => parts.push(".."),
            },
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// `path.Join`: empty elements are left out, the result is clean.
pub fn join_path(parts: &[&str]) -> String {
    let joined = parts
        .iter()
        .filter(|part| !part.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join("/");
    if joined.is_empty() {
        String::new()
    } else {
        clean_path(&joined)
    }
}

/// Whether `time.ParseDuration` accepts the text: `30s`, `1m30s`, `0`; not `5`.
pub fn is_duration(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return true;
    }
    let mut rest = unsigned;
    while !rest.is_empty() {
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest = &rest[whole..];
        let mut fraction = 0;
        if let Some(after) = rest.strip_prefix('.') {
            fraction = after.bytes().take_while(u8::is_ascii_digit).count();
            rest = &after[fraction..];
        }
        if whole + fraction == 0 {
            return false;
        }
        let unit = rest
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(rest.len());
        if !matches!(
            &rest[..unit],
            "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h"
        ) {
            return false;
        }
        rest = &rest[unit..];
    }
    !unsigned.is_empty()
}

/// `net.SplitHostPort`, without its errors: host and port, the port empty if there is none or the text is odd.
pub fn split_host_port(text: &str) -> (&str, &str) {
    if let Some(rest) = text.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or_default()),
            None => (text, ""),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port),
        _ => (text, ""),
    }
}

/// `docker.IsLocalhost`: `localhost`, 127.0.0.0/8 and ::1, with or without a port.
pub fn is_loopback(host: &str) -> bool {
    let name = split_host_port(host).0;
    name == "localhost"
        || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || name.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_password_is_repeated() {
        #[track_caller]
        fn case(url: &str, expected: &str) {
            assert_eq!(parse_url(url).unwrap_err(), expected);
        }
        case(
            "https://u:canary@m:bad",
            "parse \"https://********@m:bad\": invalid port \"…\" after host",
        );
        case(
            "https://u:canary/x@m",
            "parse \"https://**********@m\": invalid port \"…\" after host",
        );
    }

    #[test]
    fn urls() {
        let parts = |raw: &str| {
            let url = parse_url(raw).unwrap();
            (url.scheme, url.host, url.path)
        };
        let is = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(parts("https://m"), is("https", "m", ""));
        assert_eq!(
            parts("HTTPS://m:5000/v2/?x=1#y"),
            is("https", "m:5000", "/v2/")
        );
        assert_eq!(parts("https://u:p@m/a%20b"), is("https", "m", "/a b"));
        assert_eq!(parts("https://[::1]:5000/"), is("https", "[::1]:5000", "/"));
        assert_eq!(parts("m/x"), is("", "", "m/x"));
        assert_eq!(parts("m:5000"), is("m", "", ""));
        assert_eq!(parts("https:/m"), is("https", "", "/m"));
        assert_eq!(parts("https://m:"), is("https", "m:", ""));
        assert_eq!(parts("http:///v2"), is("http", "", "/v2"));
    }

    #[test]
    fn errors_are_gos() {
        let error = |raw: &str| parse_url(raw).unwrap_err();
        assert_eq!(
            error("https://HostIP1:Port1"),
            r#"parse "https://HostIP1:Port1": invalid port ":Port1" after host"#
        );
        assert_eq!(
            error("https://a b"),
            r#"parse "https://a b": invalid character " " in host name"#
        );
        assert_eq!(
            error("10.0.0.1:5000"),
            r#"parse "10.0.0.1:5000": first path segment in URL cannot contain colon"#
        );
        assert_eq!(error("://m"), r#"parse "://m": missing protocol scheme"#);
        assert_eq!(
            error("https://m/%zz"),
            r#"parse "https://m/%zz": invalid URL escape "%zz""#
        );
        assert_eq!(
            error("https://m\n"),
            r#"parse "https://m\n": net/url: invalid control character in URL"#
        );
        assert_eq!(
            error("https://{m}"),
            r#"parse "https://{m}": invalid character "{" in host name"#
        );
    }

    #[test]
    fn paths() {
        for (path, clean) in [
            ("", "."),
            ("/", "/"),
            ("/a/", "/a"),
            ("//a/./b/../c", "/a/c"),
            ("/../a", "/a"),
            ("../a/..", ".."),
        ] {
            assert_eq!(clean_path(path), clean);
        }
        assert_eq!(
            join_path(&["/", "", "library/nginx", "manifests", "1"]),
            "/library/nginx/manifests/1"
        );
        assert_eq!(join_path(&["/", "/v2/", "a"]), "/v2/a");
    }

    #[test]
    fn durations() {
        for good in ["30s", "1m30s", "0", "1.5h", "-2ms", ".5s", "+1us"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "5", "s", "1x", "1s2", ".s", "1 s"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn loopback() {
        for local in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]:5000",
            "::1",
        ] {
            assert!(is_loopback(local), "{local}");
        }
        for remote in [
            "docker.io",
            "10.0.0.1:5000",
            "localhost.example",
            "LOCALHOST",
        ] {
            assert!(!is_loopback(remote), "{remote}");
        }
        assert_eq!(split_host_port("[::1]:5000"), ("::1", "5000"));
        assert_eq!(query_escape("reg.test:5000"), "reg.test%3A5000");
        assert_eq!(escape_path("/v2/a!b@c"), "/v2/a!b@c");
        assert_eq!(escape_path("/a b(ü)/v2"), "/a%20b%28%C3%BC%29/v2");
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = parse_url(&text);
            clean_path(&text);
            is_duration(&text);
            is_loopback(&text);
        }

        #[test]
        fn a_clean_path_stays_clean(path in "[a./]{0,20}") {
            let once = clean_path(&path);
            prop_assert_eq!(clean_path(&once), once);
        }
    }
}
