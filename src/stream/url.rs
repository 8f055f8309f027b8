//! The URL that Exec, Attach and PortForward answer with, and what is missing in it.
//!
//! A streaming server that does not know its own address leaves out scheme and host, or names all addresses of the
//! machine (`0.0.0.0`, `[::]`); it can then only be this machine. Without a port it is the kubelet's, 10250, as the
//! kubelet's own client has it.

use std::fmt;
use std::path::PathBuf;

/// No URL is longer: a token has 8 to 100 bytes.
const LONGEST: usize = 4096;

/// This machine.
const HOST: &str = "127.0.0.1";

/// The kubelet's port.
const KUBELET_PORT: u16 = 10250;

/// Why a URL leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("it is empty")]
    Empty,
    /// It is longer than any URL need be.
    #[error("it has {0} bytes")]
    TooLong(usize),
    /// Spaces, control characters, or what is not ASCII.
    #[error("it has characters that no URL has")]
    Characters,
    /// Something else than HTTP.
    #[error("its scheme is `{0}`, not http or https")]
    Scheme(String),
    /// The authority is not `host` or `host:port`.
    #[error("`{0}` is no host and port")]
    Authority(String),
}

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host by name or address, without brackets, and a port.
    Tcp(String, u16),
    /// A socket; the path of the URL follows the path of the socket, so both are taken from what exists.
    Unix(PathBuf),
}

/// A URL, repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where to connect to.
    pub place: Place,
    /// Whether with TLS.
    pub tls: bool,
    /// The path and the query, beginning with a slash. It holds the token, so it is not shown.
    path: String,
}

impl Target {
    /// Parses and repairs a URL.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.len() > LONGEST {
            return Err(Error::TooLong(text.len()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Characters);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => ("", text.strip_prefix("//").unwrap_or(text)),
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "" | "http" | "ws" => false,
            "https" | "wss" => true,
            "unix" => {
                let end = rest.find('?').unwrap_or(rest.len());
                let (socket, query) = rest.split_at(end);
                return Ok(Self {
                    place: Place::Unix(socket.into()),
                    tls: false,
                    path: format!("/{query}"),
                });
            }
            other => return Err(Error::Scheme(other.to_owned())),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let default = match (authority, tls) {
            ("", _) => KUBELET_PORT,
            (_, true) => 443,
            (_, false) => 80,
        };
        let (host, port) =
            split(authority, default).ok_or_else(|| Error::Authority(authority.to_owned()))?;
        let host = match host {
            "" | "0.0.0.0" => HOST,
            "::" => "::1",
            host => host,
        };
        Ok(Self {
            place: Place::Tcp(host.to_owned(), port),
            tls,
            path,
        })
    }

    /// The place within a socket: what of the path does not belong to the socket. The caller knows how much does.
    pub(super) fn below(&self, socket: PathBuf, path: String) -> Self {
        Self {
            place: Place::Unix(socket),
            tls: false,
            path: format!("{path}{}", self.path.trim_start_matches('/')),
        }
    }

    /// Path and query.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as they stand in a URL, or the socket: what may be shown.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp(host, port) => format!("{host}:{port}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }

    /// The value of the header `Host`.
    pub(super) fn host(&self) -> String {
        match &self.place {
            Place::Tcp(..) => self.address(),
            Place::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Target {
    /// Without the path, which holds the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}

/// Host and port; brackets are taken off.
fn split(authority: &str, default: u16) -> Option<(&str, u16)> {
    if authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (
                host,
                port.strip_prefix(':').or(port.is_empty().then_some("")),
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    match port? {
        "" => Some((host, default)),
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some((host, port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_this_machine() {
        #[track_caller]
        fn case(text: &str, address: &str, tls: bool, path: &str) {
            let target = Target::parse(text).unwrap();
            let found = (target.address(), target.tls, target.path());
            assert_eq!(found, (address.to_owned(), tls, path), "{text}");
        }
        case(
            "http://127.0.0.1:35467/exec/Tok",
            "127.0.0.1:35467",
            false,
            "/exec/Tok",
        );
        case("https://node:443/exec/t", "node:443", true, "/exec/t");
        case("https://node/attach/t", "node:443", true, "/attach/t");
        case("http://:38000/exec/t", "127.0.0.1:38000", false, "/exec/t");
        case("http://0.0.0.0:1/exec/t", "127.0.0.1:1", false, "/exec/t");
        case("http://[::]:1/exec/t", "[::1]:1", false, "/exec/t");
        case(
            "http://[fe80::1]:1/exec/t?a=b",
            "[fe80::1]:1",
            false,
            "/exec/t?a=b",
        );
        case("/exec/t", "127.0.0.1:10250", false, "/exec/t");
        case("//10.0.0.1:5/exec/t", "10.0.0.1:5", false, "/exec/t");
        case("10.0.0.1:5/exec/t", "10.0.0.1:5", false, "/exec/t");
        case("ws://h:1?x=/y", "h:1", false, "/?x=/y");
    }

    #[test]
    fn what_leads_nowhere() {
        #[track_caller]
        fn case(text: &str, expected: Error) {
            assert_eq!(Target::parse(text), Err(expected), "{text}");
        }
        case("", Error::Empty);
        case("ftp://h/x", Error::Scheme("ftp".into()));
        case("http://h/x y", Error::Characters);
        case("http://h/\r\nHost: evil", Error::Characters);
        case("http://u:p@h/x", Error::Authority("u:p@h".into()));
        case("http://h:0/x", Error::Authority("h:0".into()));
        case("http://h:70000/x", Error::Authority("h:70000".into()));
        case("http://h:1:2/x", Error::Authority("h:1:2".into()));
        case("http://[x]:1/", Error::Authority("[x]:1".into()));
        case("http://[::1]1/", Error::Authority("[::1]1".into()));
        let long = format!("http://h/{}", "a".repeat(LONGEST));
        case(&long, Error::TooLong(long.len()));
    }

    proptest::proptest! {
        #[test]
        fn no_url_panics(text in "\\PC{0,60}|(http|https|unix|)(:?//)?[\\[\\]:@/?#0-9a-f.]{0,30}") {
            if let Ok(target) = Target::parse(&text) {
                proptest::prop_assert!(target.path().starts_with('/'));
            }
        }
    }
}
