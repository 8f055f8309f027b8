//! Which proxy stands between a runtime and a registry.
//!
//! The runtimes are Go programs, so the rules are those of Go's `golang.org/x/net/http/httpproxy`: upper-case variables
//! before lower-case ones, loopback and `localhost` never proxied, and `NO_PROXY` with domains, addresses, ports and
//! CIDR blocks. The environment is the daemon's, so it comes as a value.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

use super::target::{Origin, Scheme, join_host_port};
use crate::secret::Secret;

/// The proxy variables of a process. The URLs may hold passwords.
#[derive(Debug, Clone, Default)]
pub struct ProxyEnv {
    /// `HTTP_PROXY`.
    pub http: Secret,
    /// `HTTPS_PROXY`.
    pub https: Secret,
    /// `NO_PROXY`.
    pub no_proxy: String,
}

impl ProxyEnv {
    /// Picks the variables out of an environment, which may be another process's.
    pub fn of<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let first = |names: [&str; 2]| {
            let named = |name| {
                environment
                    .clone()
                    .into_iter()
                    .find(|(key, value)| *key == name && !value.is_empty())
            };
            names
                .into_iter()
                .find_map(named)
                .map(|(_, value)| value.to_owned())
                .unwrap_or_default()
        };
        Self {
            http: Secret::new(first(["HTTP_PROXY", "http_proxy"])),
            https: Secret::new(first(["HTTPS_PROXY", "https_proxy"])),
            no_proxy: first(["NO_PROXY", "no_proxy"]),
        }
    }

    /// The proxy on the way to `origin`, or none.
    pub(super) fn proxy_for(&self, origin: &Origin) -> Result<Option<Proxy>, String> {
        let url = match origin.scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        if url.is_empty() || !self.applies(&origin.host, origin.port) {
            return Ok(None);
        }
        Proxy::parse(url.reveal()).map(Some)
    }

    fn applies(&self, host: &str, port: u16) -> bool {
        let ip: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
            return false;
        }
        let entries = self
            .no_proxy
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        !entries
            .into_iter()
            .any(|entry| excludes(&entry.to_ascii_lowercase(), host, ip, port))
    }
}

/// Whether one entry of `NO_PROXY` covers a host.
fn excludes(entry: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/')
        && let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>())
    {
        return ip.is_some_and(|ip| in_network(ip, network, bits));
    }
    let (name, wanted) = split_port(entry);
    if wanted.is_some_and(|wanted| wanted != port.to_string()) || name.is_empty() {
        return false;
    }
    if let Ok(address) = name.parse::<IpAddr>() {
        return ip == Some(address);
    }
    // `example.com` covers itself and what is below, `.example.com` and `*.example.com` only what is below.
    let name = name
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(name);
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => {
            host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|head| head.ends_with('.'))
        }
    }
}

fn in_network(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

/// `host:port`, `[v6]:port`, or a host alone.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some((host, port)) = entry
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, port.strip_prefix(':'));
    }
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

/// One proxy. Its `Display` has neither user nor password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// Whether TLS is spoken with the proxy itself.
    pub scheme: Scheme,
    pub host: String,
    pub port: u16,
    /// `user:password`, already decoded.
    pub user: Option<Secret>,
}

impl Proxy {
    /// Reads the value of a variable; without a scheme it is http. Errors do not repeat the value.
    fn parse(url: &str) -> Result<Proxy, String> {
        let with_scheme = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let uri: Uri = with_scheme
            .parse()
            .map_err(|_| "the proxy URL is not a URL".to_owned())?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(other) => return Err(format!("a proxy that speaks {other} is not probed")),
            None => return Err("the proxy URL is not a URL".to_owned()),
        };
        let host = uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if host.is_empty() {
            return Err("the proxy URL has no host".to_owned());
        }
        let user = uri
            .authority()
            .and_then(|authority| authority.as_str().rsplit_once('@'))
            .map(|(user, _)| {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                Secret::new(format!(
                    "{}:{}",
                    percent_decoded(name),
                    percent_decoded(password)
                ))
            });
        let default = if scheme == Scheme::Https { 443 } else { 80 };
        Ok(Proxy {
            scheme,
            port: uri.port_u16().unwrap_or(default),
            host,
            user,
        })
    }

    /// What is dialled.
    pub fn origin(&self) -> Origin {
        Origin {
            scheme: self.scheme,
            host: self.host.clone(),
            port: self.port,
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            self.scheme.as_str(),
            join_host_port(&self.host, self.port)
        )
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(|_| *first == b'%')
        {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::Target;
    use super::*;

    fn env(no_proxy: &str) -> ProxyEnv {
        ProxyEnv::of([
            ("http_proxy", "lower:1"),
            ("HTTP_PROXY", "http://plain.test:3128"),
            ("https_proxy", "http://me:p%40ss@tls.test"),
            ("NO_PROXY", ""),
            ("no_proxy", no_proxy),
        ])
    }

    fn proxy(no_proxy: &str, url: &str) -> Option<String> {
        let target = Target::parse(url).unwrap();
        env(no_proxy)
            .proxy_for(&target.origin)
            .unwrap()
            .map(|proxy| proxy.to_string())
    }

    #[test]
    fn by_scheme() {
        assert_eq!(
            proxy("", "http://m.test/").as_deref(),
            Some("http://plain.test:3128")
        );
        assert_eq!(
            proxy("", "https://m.test/").as_deref(),
            Some("http://tls.test:80")
        );
        assert_eq!(proxy("", "https://127.0.0.1:5000/"), None);
        assert_eq!(proxy("", "https://[::1]:5000/"), None);
        assert_eq!(proxy("", "http://localhost:5000/"), None);
        let none = ProxyEnv::default().proxy_for(&Target::parse("http://m/").unwrap().origin);
        assert_eq!(none, Ok(None));
    }

    #[test]
    fn exclusions() {
        #[track_caller]
        fn case(no_proxy: &str, url: &str, direct: bool) {
            assert_eq!(proxy(no_proxy, url).is_none(), direct, "{no_proxy} {url}");
        }
        case("*", "https://m.test/", true);
        case("m.test", "https://m.test/", true);
        case("M.TEST ,x", "https://m.test/", true);
        case("m.test", "https://a.m.test/", true);
        case("m.test", "https://am.test/", false);
        case(".m.test", "https://m.test/", false);
        case(".m.test", "https://a.m.test/", true);
        case("*.m.test", "https://a.m.test/", true);
        case("*.m.test", "https://m.test/", false);
        case("m.test:5000", "https://m.test:5000/", true);
        case("m.test:5000", "https://m.test/", false);
        case("10.0.0.0/8", "https://10.1.2.3/", true);
        case("10.0.0.0/8", "https://11.1.2.3/", false);
        case("0.0.0.0/0", "https://11.1.2.3/", true);
        case("10.1.2.3", "https://10.1.2.3:5000/", true);
        case("10.1.2.3:80", "https://10.1.2.3:5000/", false);
        case("fd00::/8", "https://[fd00::1]/", true);
        case("[fd00::1]:443", "https://[fd00::1]/", true);
        case("fd00::1", "https://[fd00::1]:5000/", true);
        case(",,:80, ", "https://m.test/", false);
        case("10.0.0.0/99", "https://10.1.2.3/", false);
    }

    #[test]
    fn a_password_is_decoded_and_never_shown() {
        let origin = Target::parse("https://m.test/").unwrap().origin;
        let proxy = env("").proxy_for(&origin).unwrap().unwrap();
        assert_eq!(proxy.user.as_ref().unwrap().reveal(), "me:p@ss");
        assert!(!format!("{proxy} {proxy:?} {:?}", env("")).contains("ss"));
    }

    #[test]
    fn what_is_no_proxy_says_so_without_repeating_it() {
        for url in [
            "socks5://u:secret@p:1080",
            "http://:secret@",
            "http://a secret",
        ] {
            let error = Proxy::parse(url).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(url in "\\PC*", no_proxy in "[a-z0-9.,:*/\\[\\]% ]*", host in "[a-z0-9.:]{1,20}") {
            let _ = Proxy::parse(&url);
            let env = ProxyEnv { http: Secret::new(url), https: Secret::default(), no_proxy };
            env.applies(&host, 443);
            percent_decoded(&host);
        }
    }
}
