//! What listens where no gRPC server does: told by the first bytes it sends, and by its answer to a plain HTTP request.
//!
//! The request is `GET /_ping`, which Docker's and Podman's API answer without side effects and with a `Server` header
//! (Docker Engine API, "Ping"). It is sent only after the peer has shown that it does not speak HTTP/2.

use std::fmt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use tower::{Service, ServiceExt};

use crate::endpoint::{Endpoint, connect};

/// How much of an answer is read, in bytes.
const LONGEST_ANSWER: usize = 4096;

/// What a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// It speaks HTTP/2.
    Http2,
    /// It speaks HTTP, and not gRPC.
    Http(Http),
    /// It wants TLS.
    Tls,
    /// It sends something of its own: the beginning.
    Banner(Vec<u8>),
    /// It hangs up without a word.
    Closes,
    /// It keeps the connection open and says nothing.
    Silent,
}

/// What the head of an HTTP answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http {
    /// The protocol, as in `HTTP/1`.
    pub protocol: &'static str,
    /// The status line.
    pub status: String,
    /// The `Server` header.
    pub server: Option<String>,
    /// The `Api-Version` header of Docker's API.
    pub api: Option<String>,
}

impl Http {
    /// The engine whose API this is.
    pub fn engine(&self) -> Option<&'static str> {
        match self.server.as_deref() {
            Some(server) if server.starts_with("Docker/") => Some("Docker"),
            Some(server) if server.starts_with("Libpod/") => Some("Podman"),
            _ if self.api.is_some() => Some("Docker"),
            _ => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Http2 => f.write_str("an HTTP/2 server that does not speak gRPC"),
            Peer::Http(http) => {
                let protocol = http.protocol;
                match (http.engine(), &http.server) {
                    (Some(engine), Some(server)) => {
                        write!(f, "{engine}'s own API over {protocol} ({server}")?;
                        match &http.api {
                            Some(api) => write!(f, ", API {api})"),
                            None => f.write_str(")"),
                        }
                    }
                    (Some(engine), None) => write!(f, "{engine}'s own API over {protocol}"),
                    (None, Some(server)) => write!(f, "an {protocol} server ({server})"),
                    (None, None) => write!(f, "an {protocol} server (`{}`)", http.status),
                }
            }
            Peer::Tls => f.write_str("a TLS server"),
            Peer::Banner(bytes) => write!(
                f,
                "a server of another protocol, which begins with `{}`",
                legible(bytes)
            ),
            Peer::Closes => f.write_str("a server that hangs up without a word"),
            Peer::Silent => f.write_str("a server that says nothing"),
        }
    }
}

/// Tells a peer by the first bytes it sent.
pub fn recognise(bytes: &[u8], ended: bool) -> Peer {
    match bytes {
        [] if ended => Peer::Closes,
        [] => Peer::Silent,
        _ if bytes.starts_with(b"HTTP/1.") => http1(bytes),
        // A TLS alert or handshake record of version 3.x.
        [0x15 | 0x16, 0x03, 0..=4, ..] => Peer::Tls,
        // SETTINGS or GOAWAY on stream 0: the beginning of every HTTP/2 connection (RFC 9113, 3.4).
        [0, _, _, 4 | 7, _, 0, 0, 0, 0, ..] => Peer::Http2,
        // The same, broken off within the first nine bytes.
        [0] | [0, _] | [0, _, _] | [0, _, _, 4 | 7, ..] if bytes.len() < 9 && !ended => {
            Peer::Silent
        }
        _ => Peer::Banner(bytes.to_vec()),
    }
}

/// Asks a peer over a connection of its own, in HTTP/1. Waits for ever; the caller has the deadline.
pub async fn ask(endpoint: &Endpoint) -> Peer {
    let Ok(mut stream) = connect::open(endpoint).await else {
        return Peer::Closes;
    };
    // A peer that hung up at once makes writing fail, and may have said why before.
    let _ = stream
        .write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    let mut answer = Vec::new();
    let mut ended = false;
    while answer.len() < LONGEST_ANSWER && !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read_buf(&mut answer).await {
            Ok(0) | Err(_) => {
                ended = true;
                break;
            }
            Ok(_) => {}
        }
        if !matches!(recognise(&answer, false), Peer::Http(_)) && answer.len() >= 9 {
            break;
        }
    }
    recognise(&answer, ended)
}

/// Asks a peer over the HTTP/2 connection that is there; `None` if it is a gRPC server after all. Waits for ever; the
/// caller has the deadline.
pub async fn ask_over(connection: &connect::Connection) -> Option<Http> {
    let request = http::Request::get(format!("{}/_ping", connect::ORIGIN))
        .body(tonic::body::Body::empty())
        .ok()?;
    let mut connection = connection.clone();
    let connection = connection.ready().await.ok()?;
    let answer = connection.call(request).await.ok()?;
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    // A gRPC server says so even where it refuses the method (gRPC over HTTP/2, "Responses").
    if header("content-type").is_some_and(|kind| kind.starts_with("application/grpc")) {
        return None;
    }
    Some(Http {
        protocol: "HTTP/2",
        status: answer.status().to_string(),
        server: header("server"),
        api: header("api-version"),
    })
}

/// Reads the head of an HTTP/1 answer.
fn http1(bytes: &[u8]) -> Peer {
    let text = String::from_utf8_lossy(bytes);
    // What Go's server answers in plain text to somebody who did not begin with TLS.
    if text.contains("HTTP request to an HTTPS server") {
        return Peer::Tls;
    }
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default().trim().to_owned();
    let mut found = Http {
        protocol: "HTTP/1",
        status,
        ..Http::default()
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        if name.eq_ignore_ascii_case("server") {
            found.server = value;
        } else if name.eq_ignore_ascii_case("api-version") {
            found.api = value;
        }
    }
    Peer::Http(found)
}

/// Bytes as text for a sentence: what cannot be printed is escaped, what is long is cut.
fn legible(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take_while(|byte| !matches!(byte, b'\r' | b'\n'))
        .take(24)
        .flat_map(|byte| std::ascii::escape_default(*byte))
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(bytes: &[u8], ended: bool, expected: &str) {
        assert_eq!(recognise(bytes, ended).to_string(), expected);
    }

    #[test]
    fn tells_servers_by_their_first_words() {
        case(b"", true, "a server that hangs up without a word");
        case(b"", false, "a server that says nothing");
        case(b"\x00\x00\x06\x04", false, "a server that says nothing");
        case(
            b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05",
            false,
            "an HTTP/2 server that does not speak gRPC",
        );
        case(b"\x15\x03\x01\x00\x02\x02\x46", true, "a TLS server");
        case(
            b"SSH-2.0-OpenSSH_9.2\r\n",
            false,
            "a server of another protocol, which begins with `SSH-2.0-OpenSSH_9.2`",
        );
        case(
            b"\xff\x00",
            true,
            "a server of another protocol, which begins with `\\xff\\x00`",
        );
        case(
            b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n",
            true,
            "an HTTP/1 server (`HTTP/1.1 505 HTTP Version Not Supported`)",
        );
        case(
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
            true,
            "a TLS server",
        );
    }

    #[test]
    fn tells_whose_api_it_is() {
        case(
            b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10.24 (linux)\r\n\r\nOK",
            true,
            "Docker's own API over HTTP/1 (Docker/20.10.24 (linux), API 1.41)",
        );
        case(
            b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nServer: Libpod/4.3.1 (linux)\r\n\r\nOK",
            true,
            "Podman's own API over HTTP/1 (Libpod/4.3.1 (linux), API 1.41)",
        );
        case(
            b"HTTP/1.1 404 Not Found\r\nserver: nginx\r\n\r\n",
            true,
            "an HTTP/1 server (nginx)",
        );
    }
}
