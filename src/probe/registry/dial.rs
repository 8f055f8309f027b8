//! From an origin to an open connection: names, addresses, proxy, TLS; every hop a step with its own deadline.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};

use super::outcome::Fault;
use super::proxy::Proxy;
use super::tap::{BoxStream, FirstBytes, Tap};
use super::target::{Origin, Scheme, join_host_port};
use super::tls::{self, SharedSeen, with_seen};
use super::trust::Trust;
use super::verdict::{Stage, Verdict};
use super::walk::Walk;

/// More addresses than this are not tried.
const MAX_ADDRESSES: usize = 16;
/// A proxy's answer to `CONNECT` is no longer than this.
const MAX_PROXY_HEAD: usize = 64 << 10;

/// An open connection to an origin, with what was learnt on the way.
pub(super) struct Dialled {
    pub stream: BoxStream,
    pub first: FirstBytes,
    /// Nothing in plain HTTP.
    pub tls: Option<SharedSeen>,
    /// Set when requests have to be sent in absolute form.
    pub proxy: Option<Proxy>,
}

impl Walk<'_> {
    /// Opens a connection to an origin, through the proxy that the environment names for it.
    pub(super) async fn dial(&mut self, origin: &Origin) -> Result<Dialled, Fault> {
        let proxy = self.options.proxy.proxy_for(origin).map_err(|error| {
            Fault::new(Verdict::ProxyFailed, Stage::Proxy, error.clone())
                .in_go(format!("proxyconnect tcp: {error}"))
        })?;
        let Some(proxy) = proxy else {
            let tcp: BoxStream = Box::new(self.reach(origin).await?);
            return self.secure(tcp, origin, None).await;
        };
        let stream = self.reach_proxy(&proxy).await?;
        match origin.scheme {
            Scheme::Http => {
                let (tap, first) = Tap::new(stream);
                Ok(Dialled {
                    stream: Box::new(tap),
                    first,
                    tls: None,
                    proxy: Some(proxy),
                })
            }
            Scheme::Https => {
                let stream = self.tunnel(stream, &proxy, origin).await?;
                self.secure(stream, origin, None).await
            }
        }
    }

    /// A connection to the proxy itself. Whatever goes wrong there is the proxy's fault.
    async fn reach_proxy(&mut self, proxy: &Proxy) -> Result<BoxStream, Fault> {
        let blame = |fault: Fault| Fault {
            verdict: Verdict::ProxyFailed,
            at: if fault.verdict == Verdict::Timeout {
                fault.at
            } else {
                Stage::Proxy
            },
            detail: format!("proxy {proxy}: {}", fault.detail),
            status: None,
            error: fault
                .error
                .map(|error| format!("proxyconnect tcp: {error}")),
        };
        let origin = proxy.origin();
        let tcp: BoxStream = Box::new(self.reach(&origin).await.map_err(blame)?);
        Ok(self.secure(tcp, &origin, None).await.map_err(blame)?.stream)
    }

    /// Asks the proxy for a tunnel.
    async fn tunnel(
        &mut self,
        mut stream: BoxStream,
        proxy: &Proxy,
        origin: &Origin,
    ) -> Result<BoxStream, Fault> {
        let target = origin.host_port();
        let mut request = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {}\r\n",
            self.options.user_agent
        );
        if let Some(user) = &proxy.user {
            let encoded = STANDARD.encode(user.reveal());
            request.push_str(&format!("Proxy-Authorization: Basic {encoded}\r\n"));
        }
        request.push_str("\r\n");
        let failed = |detail: String| {
            Fault::new(
                Verdict::ProxyFailed,
                Stage::Proxy,
                format!("proxy {proxy}: {detail}"),
            )
        };
        let ask = async {
            stream
                .write_all(request.as_bytes())
                .await
                .map_err(|error| failed(error.to_string()))?;
            let mut head = Vec::new();
            // Byte by byte: what follows the head belongs to the tunnel.
            while !head.ends_with(b"\r\n\r\n") {
                let byte = stream
                    .read_u8()
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                head.push(byte);
                if head.len() > MAX_PROXY_HEAD {
                    return Err(failed("the answer to CONNECT does not end".to_owned()));
                }
            }
            let line = String::from_utf8_lossy(&head);
            let line = line.lines().next().unwrap_or_default();
            let status = line
                .strip_prefix("HTTP/1.")
                .and_then(|rest| rest.split_once(' '))
                .map(|(_, status)| status);
            match status {
                Some(status) if status.starts_with('2') => Ok((stream, status.to_owned())),
                // Go shows the reason phrase alone.
                Some(status) => {
                    let reason = status.split_once(' ').map_or("", |(_, reason)| reason);
                    Err(failed(format!("answers CONNECT with `{status}`")).in_go(reason.to_owned()))
                }
                None => Err(failed(format!("answers CONNECT with `{line}`"))),
            }
        };
        let limit = self.options.limits.connect;
        let told = format!("{target} through {proxy}");
        self.trail.step(Stage::Proxy, told, limit, ask).await
    }

    /// TLS over an open stream, if the origin's scheme wants it.
    async fn secure(
        &mut self,
        stream: BoxStream,
        origin: &Origin,
        proxy: Option<Proxy>,
    ) -> Result<Dialled, Fault> {
        let (tap, first) = Tap::new(stream);
        if origin.scheme == Scheme::Http {
            return Ok(Dialled {
                stream: Box::new(tap),
                first,
                tls: None,
                proxy,
            });
        }
        let seen = SharedSeen::default();
        let (host, verify, trust) = (&origin.host, self.verify, Arc::clone(&self.trust));
        let shake = async {
            let stream = tls::handshake(tap, host, &trust, verify, &seen)
                .await
                .map_err(|error| tls::explain(&error, &first.bytes(), host, &seen))?;
            let faults = with_seen(&seen, |seen| {
                seen.certificate.as_ref().map_or(0, |it| it.faults.len())
            });
            let detail = if faults > 0 {
                "not verified, and it would not verify"
            } else {
                ""
            };
            Ok((stream, detail.to_owned()))
        };
        let limit = self.options.limits.tls;
        let result = self
            .trail
            .step(Stage::Tls, origin.host_port(), limit, shake)
            .await;
        // What was seen of the certificate is worth having whether or not the handshake came about.
        self.certificate = with_seen(&seen, |seen| seen.certificate.clone());
        Ok(Dialled {
            stream: Box::new(result?),
            first,
            tls: Some(seen),
            proxy,
        })
    }

    /// Whether a peer answers a TLS hello, whatever comes of it.
    pub(super) async fn answers_hello(&mut self, origin: &Origin) -> bool {
        if !matches!(self.options.proxy.proxy_for(origin), Ok(None)) {
            return false;
        }
        let Ok(tcp) = self.reach(origin).await else {
            return false;
        };
        let (tap, first) = Tap::new(tcp);
        let seen = SharedSeen::default();
        let trust = Trust {
            client: None,
            ..Trust::clone(&self.trust)
        };
        let shake = async {
            let _ = tls::handshake(tap, &origin.host, &trust, false, &seen).await;
            let answers = matches!(first.bytes().as_slice(), [21 | 22, 3, ..]);
            let detail = if answers {
                "it answers a TLS hello"
            } else {
                "it does not answer a TLS hello"
            };
            Ok((answers, detail.to_owned()))
        };
        let limit = self.options.limits.tls;
        self.trail
            .step(Stage::Tls, origin.host_port(), limit, shake)
            .await
            .unwrap_or(false)
    }

    /// A TCP connection to the first address that takes one.
    async fn reach(&mut self, origin: &Origin) -> Result<TcpStream, Fault> {
        let addresses = self.addresses(origin).await?;
        let mut first_fault = None;
        for address in addresses {
            let limit = self.options.limits.connect;
            let connect = async {
                let stream = TcpStream::connect(address)
                    .await
                    .map_err(|error| unreached(&error, address))?;
                // Requests are small and alone on the line.
                let _ = stream.set_nodelay(true);
                Ok((stream, String::new()))
            };
            match self
                .trail
                .step(Stage::Connect, address.to_string(), limit, connect)
                .await
            {
                Ok(stream) => return Ok(stream),
                // Go reports the first address's error too.
                Err(fault) => first_fault.get_or_insert(fault),
            };
        }
        Err(first_fault.unwrap_or_else(|| no_such_host(&origin.host, "the name has no address")))
    }

    async fn addresses(&mut self, origin: &Origin) -> Result<Vec<SocketAddr>, Fault> {
        if let Some(ip) = origin.ip() {
            return Ok(vec![SocketAddr::new(ip, origin.port)]);
        }
        if let Some(fixed) = self.options.resolve.get(&origin.host) {
            return Ok(fixed
                .iter()
                .map(|ip| SocketAddr::new(*ip, origin.port))
                .collect());
        }
        let (host, port) = (&origin.host, origin.port);
        let look = async {
            let found = lookup_host((host.as_str(), port))
                .await
                .map_err(|error| unresolved(&error, host))?;
            let mut addresses: Vec<SocketAddr> = found.collect();
            addresses.dedup();
            addresses.truncate(MAX_ADDRESSES);
            let shown: Vec<String> = addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect();
            Ok((addresses, shown.join(", ")))
        };
        self.trail
            .step(
                Stage::Dns,
                origin.host.clone(),
                self.options.limits.dns,
                look,
            )
            .await
    }
}

fn no_such_host(host: &str, detail: &str) -> Fault {
    Fault::new(Verdict::NoSuchHost, Stage::Dns, format!("{host}: {detail}")).in_go("no such host")
}

fn unresolved(error: &io::Error, host: &str) -> Fault {
    let text = error.to_string();
    // The C library tells «no such name» from «nobody could say» only in words; Rust leaves them untranslated.
    if text.contains("Temporary failure")
        || text.contains("System error")
        || text.contains("Non-recoverable")
    {
        return Fault::new(Verdict::DnsFailure, Stage::Dns, format!("{host}: {text}"))
            .in_go("server misbehaving");
    }
    no_such_host(host, &text)
}

fn unreached(error: &io::Error, address: SocketAddr) -> Fault {
    let (verdict, words) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (Verdict::Refused, "connection refused"),
        io::ErrorKind::NetworkUnreachable => (Verdict::Unreachable, "network is unreachable"),
        io::ErrorKind::HostUnreachable => (Verdict::Unreachable, "no route to host"),
        io::ErrorKind::PermissionDenied => (Verdict::Unreachable, "operation not permitted"),
        io::ErrorKind::AddrNotAvailable => {
            (Verdict::Unreachable, "cannot assign requested address")
        }
        io::ErrorKind::TimedOut => (Verdict::Timeout, "connection timed out"),
        io::ErrorKind::ConnectionReset => (Verdict::Closed, "connection reset by peer"),
        _ => (Verdict::Unreachable, ""),
    };
    let detail = if words.is_empty() {
        error.to_string()
    } else {
        words.to_owned()
    };
    let shown = join_host_port(&IpAddr::to_string(&address.ip()), address.port());
    let fault = Fault::new(verdict, Stage::Connect, format!("{shown}: {detail}"));
    if verdict == Verdict::Closed {
        // Go may notice only when it writes or reads.
        return fault.in_go(detail);
    }
    fault.in_go(format!("dial tcp {shown}: connect: {detail}"))
}
