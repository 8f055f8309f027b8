//! The URL of one request, taken apart: what to dial, what to ask for, and where a `Location` leads from there.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use serde::{Deserialize, Serialize};

/// The two transports of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    /// The name in front of `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// What a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub scheme: Scheme,
    /// Lower case, an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// The host as an address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `host:port`, with brackets round an IPv6 address.
    pub fn host_port(&self) -> String {
        join_host_port(&self.host, self.port)
    }

    /// The value of the `Host` header: without the scheme's own port.
    pub fn authority(&self) -> String {
        let text = self.host_port();
        if self.port == self.scheme.port() {
            text[..text.len() - self.port.to_string().len() - 1].to_owned()
        } else {
            text
        }
    }
}

pub(super) fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// An absolute http or https URL. Its `Display` leaves out the values of a query that is not `ns`: redirects to
/// storage carry signatures there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub origin: Origin,
    /// Path with query, beginning with a slash.
    pub path: String,
}

impl Target {
    /// Takes an absolute URL apart. Users and passwords in it are dropped, as containerd drops them.
    pub fn parse(url: &str) -> Result<Target, String> {
        let url = url.split('#').next().unwrap_or_default();
        let scheme = match url.split_once("://").map(|(scheme, _)| scheme) {
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            // In Go's words, an empty scheme included.
            other => {
                let other = other.unwrap_or_default();
                return Err(format!("unsupported protocol scheme \"{other}\""));
            }
        };
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        let authority = uri.authority().ok_or("no host")?.as_str();
        let after_user = authority.rsplit('@').next().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        let port = match after_user.strip_prefix(host) {
            None | Some("" | ":") => scheme.port(),
            Some(port) => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .ok_or_else(|| format!("invalid port \"{port}\" after host"))?,
        };
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        if host.is_empty() {
            return Err("no host".to_owned());
        }
        let path = match uri.path_and_query().map(|path| path.as_str()) {
            None | Some("") => "/".to_owned(),
            Some(query) if query.starts_with('?') => format!("/{query}"),
            Some(path) => path.to_owned(),
        };
        Ok(Target {
            origin: Origin { scheme, host, port },
            path,
        })
    }

    /// Where a `Location` header leads from here.
    pub fn join(&self, location: &str) -> Result<Target, String> {
        let location = location.trim();
        if location.is_empty() {
            return Err("empty location".to_owned());
        }
        let scheme = self.origin.scheme.as_str();
        let absolute = if let Some((head, _)) = location.split_once(':')
            && head.starts_with(|c: char| c.is_ascii_alphabetic())
            && head
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{}{location}", self.origin.authority())
        } else if location.starts_with('?') || location.starts_with('#') {
            format!(
                "{scheme}://{}{}{location}",
                self.origin.authority(),
                self.bare_path()
            )
        } else {
            let folder = self
                .bare_path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            format!("{scheme}://{}{folder}/{location}", self.origin.authority())
        };
        Target::parse(&absolute)
    }

    /// The same in plain HTTP: on the same port when it was written, else on port 80, as containerd has it.
    pub fn without_tls(&self) -> Target {
        let mut target = self.clone();
        target.origin.scheme = Scheme::Http;
        if target.origin.port == Scheme::Https.port() {
            target.origin.port = Scheme::Http.port();
        }
        target
    }

    /// The same origin with another path.
    pub fn at(&self, path: impl Into<String>) -> Target {
        Target {
            origin: self.origin.clone(),
            path: path.into(),
        }
    }

    /// The path without its query.
    pub fn bare_path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The query, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.path.split_once('?').map(|(_, query)| query)
    }

    /// The whole URL, with whatever its query holds: for the wire only.
    pub fn wire_url(&self) -> String {
        format!(
            "{}://{}{}",
            self.origin.scheme.as_str(),
            self.origin.authority(),
            self.path
        )
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.origin.scheme.as_str(),
            self.origin.authority(),
            self.bare_path()
        )?;
        match self.query() {
            Some(query) if query.starts_with("ns=") && !query.contains('&') => {
                write!(f, "?{query}")
            }
            Some(_) => f.write_str("?…"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls() {
        #[track_caller]
        fn case(url: &str, expected: &str, path: &str) {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.origin.host_port(), expected, "{url}");
            assert_eq!(target.path, path, "{url}");
        }
        case("https://Mirror.test/v2/", "mirror.test:443", "/v2/");
        case(
            "http://m:5000/v2/a/manifests/1?ns=r.test",
            "m:5000",
            "/v2/a/manifests/1?ns=r.test",
        );
        case("https://[::1]:5000", "[::1]:5000", "/");
        case("https://m?x=1", "m:443", "/?x=1");
        case("https://user:pass@m/#part", "m:443", "/");
        case("https://10.0.0.1:/v2/", "10.0.0.1:443", "/v2/");
    }

    #[test]
    fn what_is_not_a_url() {
        for url in [
            "",
            "m",
            "/v2/",
            "null://m/token",
            "ftp://m/",
            "https://",
            "https://m:port/",
            "https://m:5000:5000/",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn locations() {
        #[track_caller]
        fn case(location: &str, expected: &str) {
            let here = Target::parse("https://m:5000/v2/a/blobs/x?ns=r").unwrap();
            assert_eq!(
                here.join(location).unwrap().wire_url(),
                expected,
                "{location}"
            );
        }
        case("http://s3.test/o?sig=1", "http://s3.test/o?sig=1");
        case("//cdn.test/o", "https://cdn.test/o");
        case("/other", "https://m:5000/other");
        case("y", "https://m:5000/v2/a/blobs/y");
        case("?q=2", "https://m:5000/v2/a/blobs/x?q=2");
        let here = Target::parse("https://m/").unwrap();
        for location in [
            "",
            "javascript:alert(1)",
            "https://",
            "file:///etc/passwd",
            "http://a b/",
        ] {
            assert!(here.join(location).is_err(), "{location}");
        }
    }

    #[test]
    fn a_signature_is_not_shown() {
        let shown = |url| Target::parse(url).unwrap().to_string();
        assert_eq!(
            shown("https://u:p@s3.test/o?X-Amz-Signature=abc"),
            "https://s3.test/o?…"
        );
        assert_eq!(shown("https://m/v2/?ns=r.test"), "https://m/v2/?ns=r.test");
        assert_eq!(shown("https://m/v2/?ns=r.test&token=x"), "https://m/v2/?…");
    }

    #[test]
    fn the_host_header_names_unusual_ports_only() {
        let authority = |url| Target::parse(url).unwrap().origin.authority();
        assert_eq!(authority("https://m:443/"), "m");
        assert_eq!(authority("https://m:80/"), "m:80");
        assert_eq!(authority("http://[::1]:80/"), "[::1]");
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(url in "\\PC*", location in "\\PC*") {
            let _ = Target::parse(&url);
            let _ = Target::parse("https://m/v2/").unwrap().join(&location);
            if let Ok(target) = Target::parse(&format!("https://{url}")) {
                let _ = (target.to_string(), target.join(&location));
            }
        }
    }
}
