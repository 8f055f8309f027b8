//! As much of HTTP/1.1 (RFC 9112) as a registry needs, over any stream, written out so that it can be broken anywhere.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No request head is longer.
const HEAD_LIMIT: usize = 64 * 1024;
/// No request body is longer: only forms are sent to us.
const BODY_LIMIT: usize = 64 * 1024;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// The path, still percent-encoded.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Request {
    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers of this name.
    pub(super) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What is to be answered.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Response {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn body(self, kind: &str, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
        .header("Content-Type", kind)
    }

    /// The head, with the length that is claimed; `None` claims nothing and closes.
    pub(super) fn head(&self, length: Option<u64>) -> String {
        let reason = http::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason());
        let mut head = format!(
            "HTTP/1.1 {} {}\r\n",
            self.status,
            reason.unwrap_or("Unknown")
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match length {
            Some(length) => head += &format!("Content-Length: {length}\r\n"),
            None => head += "Connection: close\r\n",
        }
        head + "\r\n"
    }

    /// Sends it whole; a HEAD has no body but its length.
    pub(super) async fn send(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        method: &str,
    ) -> io::Result<()> {
        stream
            .write_all(self.head(Some(self.body.len() as u64)).as_bytes())
            .await?;
        if method != "HEAD" {
            stream.write_all(&self.body).await?;
        }
        stream.flush().await
    }
}

/// Why no request came.
#[derive(Debug)]
pub(super) enum Broken {
    /// The client has gone, or never spoke.
    Gone,
    /// It does not speak HTTP, or too much of it.
    Malformed,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads the next request; `seen` carries what came after the one before.
pub(super) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    seen: &mut BytesMut,
) -> Result<Request, Broken> {
    let end = loop {
        if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        // A first byte that begins no method: TLS, or noise.
        if seen.first().is_some_and(|byte| !byte.is_ascii_uppercase()) || seen.len() > HEAD_LIMIT {
            return Err(Broken::Malformed);
        }
        if stream.read_buf(seen).await? == 0 {
            return Err(Broken::Gone);
        }
    };
    let head = seen.split_to(end + 4);
    let mut request = parse(&head[..end]).ok_or(Broken::Malformed)?;
    let length = match request.header("content-length") {
        None => 0,
        Some(length) => length.parse().map_err(|_| Broken::Malformed)?,
    };
    if length > BODY_LIMIT {
        return Err(Broken::Malformed);
    }
    while seen.len() < length {
        if stream.read_buf(seen).await? == 0 {
            return Err(Broken::Gone);
        }
    }
    request.body = seen.split_to(length).freeze();
    Ok(request)
}

fn parse(head: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with("HTTP/1.") || words.next().is_some() {
        return None;
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query,
        headers,
        body: Bytes::new(),
    })
}

/// The value of a key in a query or a form, decoded.
pub(super) fn parameter(query: &str, key: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name) == key).then(|| decode(value))
    })
}

/// Percent-decoding; what is no escape stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match (
            bytes[at],
            escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(head: &str, expected: Option<(&str, &str, Option<&str>)>) {
        let parsed = parse(head.as_bytes());
        let parts = parsed
            .as_ref()
            .map(|found| (&*found.method, &*found.path, found.query.as_deref()));
        assert_eq!(parts, expected, "{head:?}");
    }

    #[test]
    fn request_lines() {
        case(
            "GET /v2/?ns=a HTTP/1.1\r\nHost: h",
            Some(("GET", "/v2/", Some("ns=a"))),
        );
        case("HEAD /v2/a HTTP/1.0", Some(("HEAD", "/v2/a", None)));
        case("GET /v2/ HTTP/2.0", None);
        case("GET  /v2/ HTTP/1.1", None);
        case("GET /v2/ HTTP/1.1\r\nno colon", None);
    }

    #[test]
    fn parameters_are_decoded() {
        let query = "service=a%20b&scope=repository:x/y:pull&ns=docker.io&odd=%zz+";
        assert_eq!(parameter(query, "service").unwrap(), "a b");
        assert_eq!(parameter(query, "ns").unwrap(), "docker.io");
        assert_eq!(parameter(query, "odd").unwrap(), "%zz ");
        assert_eq!(parameter(query, "absent"), None);
    }
}
