//! One HTTP/1.1 request and its answer, bounded on every side: header block, body, waiting. Nothing is decompressed,
//! nothing is followed; that is the walk's business.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION,
    PROXY_AUTHORIZATION, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::ext::{ReasonPhrase, on_informational};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::challenge::{self, Challenge};
use super::content::media_type;
use super::dial::Dialled;
use super::outcome::Fault;
use super::proxy::Proxy;
use super::tap::FirstBytes;
use super::target::Target;
use super::tls::{SharedSeen, explain_tls, tls_error, with_seen};
use super::verdict::{Stage, Verdict};
use crate::secret::Secret;

/// The longest header block that is read: Go's own limit, because up to that a runtime takes it.
const MAX_HEAD: usize = 10 << 20;
/// So many headers are read. Go does not count them.
const MAX_HEADERS: usize = 1000;
/// So many informational answers (`100 Continue`) may come before the real one. Go took five until 1.24, and since then as
/// many as fit into ten megabytes of header; honest servers send one or two.
const MAX_INFORMATIONAL: usize = 100;

/// One request.
pub(super) struct Ask<'a> {
    pub method: Method,
    pub target: &'a Target,
    pub accept: Option<&'a str>,
    pub authorization: Option<&'a Secret>,
    /// Headers of the configuration.
    pub headers: &'a [(String, Secret)],
    pub user_agent: &'a str,
    /// Fields of a form that is posted.
    pub form: Option<&'a Secret>,
    pub at: Stage,
}

/// An answer whose body has not been read.
pub(super) struct Reply {
    pub status: StatusCode,
    /// The words behind the status, where they are not the usual ones.
    pub reason: Option<String>,
    pub headers: HeaderMap,
    pub body: Incoming,
    /// The URL that gave this answer, after redirects.
    pub target: Target,
}

impl Reply {
    /// The status as it was sent and as Go repeats it, `418 I'm a Teapot`: the words are the server's own.
    pub fn status_line(&self) -> String {
        let usual = self.status.canonical_reason();
        let reason = self.reason.as_deref().or(usual).unwrap_or_default();
        let line = format!("{} {reason}", self.status.as_str());
        line.trim_end().to_owned()
    }

    /// Says of a fault that it was this status that decided.
    pub fn decided(&self, fault: Fault) -> Fault {
        Fault {
            status: Some(self.status.as_u16()),
            error: Some(self.status_line()),
            ..fault
        }
    }

    /// A header as text. What is not UTF-8 is taken for Latin-1, in which HTTP was written before.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        // Not hyper's `to_str`: servers write UTF-8, and a Location with an umlaut is there all the same.
        Some(text_of(self.headers.get(name)?.as_bytes()))
    }

    /// `Location`, with what is not ASCII in percent signs: the very bytes are asked for, whatever they mean.
    pub fn location(&self) -> Option<String> {
        let bytes = self.headers.get(LOCATION)?.as_bytes();
        let mut location = String::with_capacity(bytes.len());
        for &byte in bytes {
            if byte.is_ascii() {
                location.push(char::from(byte));
            } else {
                location.push_str(&format!("%{byte:02X}"));
            }
        }
        Some(location)
    }

    /// What is asked for in `WWW-Authenticate`.
    pub fn challenges(&self) -> Vec<Challenge> {
        let values = self.headers.get_all(WWW_AUTHENTICATE).iter();
        let texts: Vec<_> = values.map(|value| text_of(value.as_bytes())).collect();
        challenge::parse(texts.iter().map(Cow::as_ref))
    }

    /// The media type of the body, lower case, empty when none is given.
    pub fn media_type(&self) -> String {
        self.header(CONTENT_TYPE.as_str())
            .map(|header| media_type(&header))
            .unwrap_or_default()
    }
}

fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// A connection that requests can be sent on, one after the other.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    first: FirstBytes,
    tls: Option<SharedSeen>,
    proxy: Option<Proxy>,
    /// Whether a request was answered on it already: then it may have been closed meanwhile for no one's fault.
    pub used: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Speaks HTTP/1.1 on a connection.
    pub async fn open(dialled: Dialled, at: Stage) -> Result<Connection, Fault> {
        let Dialled {
            stream,
            first,
            tls,
            proxy,
        } = dialled;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Fault::new(Verdict::Closed, at, error.to_string()))?;
        // Its errors come out of the request as well.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection {
            sender,
            driver,
            first,
            tls,
            proxy,
            used: false,
        })
    }

    /// Sends a request and waits for the header of the answer.
    pub async fn send(&mut self, ask: &Ask<'_>) -> Result<Reply, Fault> {
        let mut request = self.request(ask)?;
        let (count, enough) = (AtomicUsize::new(0), Arc::new(Notify::new()));
        let told = Arc::clone(&enough);
        on_informational(&mut request, move |_| {
            if count.fetch_add(1, Ordering::Relaxed) == MAX_INFORMATIONAL {
                told.notify_one();
            }
        });
        let send = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let sent = tokio::select! {
            sent = send => sent,
            () = enough.notified() => return Err(never_final(ask.at)),
        };
        let answer = sent.map_err(|error| self.explain(&error, ask))?;
        self.used = true;
        let (parts, body) = answer.into_parts();
        let head = parts.headers.iter();
        let length: usize = head
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        // The reader's own limit is looked at from one piece to the next only.
        if length > MAX_HEAD {
            return Err(endless_head(ask.at));
        }
        let reason = parts.extensions.get::<ReasonPhrase>();
        Ok(Reply {
            status: parts.status,
            reason: reason.map(|reason| text_of(reason.as_bytes()).into_owned()),
            headers: parts.headers,
            body,
            target: ask.target.clone(),
        })
    }

    /// The fault of a server that took a connection without a client certificate and says 400 because of it.
    pub fn missed_client_certificate(&self, at: Stage) -> Option<Fault> {
        let missed = self
            .tls
            .as_ref()
            .is_some_and(|seen| with_seen(seen, |seen| seen.asked && !seen.shown));
        missed.then(|| {
            let detail = "it asked for a client certificate, got none, and answers 400";
            Fault::new(Verdict::TlsClientCertRequired, at, detail)
                .by_status(StatusCode::BAD_REQUEST)
        })
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, Fault> {
        let unsendable = |what: String| Fault::new(Verdict::BadUrl, ask.at, what);
        // A proxy wants to know whom the request is for.
        let uri = if self.proxy.is_some() {
            ask.target.wire_url()
        } else {
            ask.target.path.clone()
        };
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(uri)
            .header(HOST, ask.target.origin.authority())
            .header(USER_AGENT, ask.user_agent)
            .body(
                ask.form
                    .map_or_else(Full::default, |form| Full::from(form.reveal().to_owned())),
            )
            .map_err(|error| unsendable(error.to_string()))?;
        let headers = request.headers_mut();
        // Bytes beyond ASCII go out as they are, as Go sends them.
        let mut set =
            |name: HeaderName, value: &str| match HeaderValue::from_bytes(value.as_bytes()) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                    Ok(())
                }
                Err(_) => Err(unsendable(format!(
                    "the value of the header `{name}` cannot be sent"
                ))),
            };
        if let Some(accept) = ask.accept {
            set(ACCEPT, accept)?;
        }
        if ask.form.is_some() {
            set(CONTENT_TYPE, "application/x-www-form-urlencoded")?;
        }
        for (name, value) in ask.headers {
            let name = name
                .parse()
                .map_err(|_| unsendable(format!("`{name}` is not a header")))?;
            set(name, value.reveal())?;
        }
        if let Some(authorization) = ask.authorization {
            set(AUTHORIZATION, authorization.reveal())?;
        }
        if let Some(user) = self.proxy.as_ref().and_then(|proxy| proxy.user.as_ref()) {
            set(
                PROXY_AUTHORIZATION,
                &format!("Basic {}", STANDARD.encode(user.reveal())),
            )?;
        }
        Ok(request)
    }

    /// Explains why no answer came.
    fn explain(&self, error: &hyper::Error, ask: &Ask<'_>) -> Fault {
        if let (Some(seen), Some(error)) = (&self.tls, tls_error(error)) {
            return explain_tls(error, seen);
        }
        let first = self.first.bytes();
        if self.tls.is_none() && matches!(first.as_slice(), [20..=23, 3, ..]) {
            return tls_on_http_port().in_go(format!(
                "malformed HTTP response \"{}\"",
                first[..first.len().min(7)].escape_ascii()
            ));
        }
        if error.is_parse_too_large() {
            return endless_head(ask.at);
        }
        if error.is_parse() {
            let shown: String = first
                .iter()
                .take(40)
                .flat_map(|byte| byte.escape_ascii())
                .map(char::from)
                .collect();
            // What TLS hides is not what the peer said in HTTP.
            let detail = if self.tls.is_some() {
                error.to_string()
            } else {
                format!("{error}: `{shown}`")
            };
            return Fault::new(
                Verdict::NotHttp,
                ask.at,
                format!("it does not answer in HTTP ({detail})"),
            );
        }
        let closed = format!("it closes the connection without an answer ({error})");
        // A server that refuses the handshake afterwards may reset the connection before its alert is read.
        if self
            .tls
            .as_ref()
            .is_some_and(|seen| with_seen(seen, |seen| seen.asked && !seen.shown))
        {
            return Fault::new(
                Verdict::TlsClientCertRequired,
                Stage::Tls,
                format!("it asked for a client certificate, and {closed}"),
            )
            .in_go("remote error: tls: certificate required");
        }
        Fault::new(Verdict::Closed, ask.at, closed).in_go("EOF")
    }
}

/// The fault of a peer that speaks TLS where plain HTTP was sent.
pub(super) fn tls_on_http_port() -> Fault {
    Fault::new(
        Verdict::TlsOnHttpPort,
        Stage::Tls,
        "it speaks TLS on the port that plain HTTP is sent to",
    )
}

/// The fault of a header block that no Go program takes.
fn endless_head(at: Stage) -> Fault {
    let detail = "its header block is larger than 10 MiB or does not end";
    Fault::new(Verdict::NotHttp, at, detail).in_go("server response headers exceeded")
}

/// The fault of a peer that goes on promising an answer.
fn never_final(at: Stage) -> Fault {
    Fault::new(
        Verdict::NotHttp,
        at,
        format!(
            "it sends more than {MAX_INFORMATIONAL} informational answers (1xx) and no real one"
        ),
    )
    // What Go says behind that depends on its version.
    .in_go("net/http: HTTP/1.x transport connection broken")
}

/// Feeds a body to `take`, at most `limit` bytes of it; between two pieces no more than `stall` may pass. Says whether
/// that was all: of a longer body the rest is not read.
pub(super) async fn drain(
    mut body: Incoming,
    limit: u64,
    stall: Duration,
    at: Stage,
    mut take: impl FnMut(&[u8]),
) -> Result<bool, Fault> {
    let mut read: u64 = 0;
    loop {
        let frame = timeout(stall, body.frame()).await.map_err(|_| {
            Fault::new(
                Verdict::Stalled,
                at,
                format!("the body stops after {read} bytes"),
            )
        })?;
        let frame = match frame {
            None => return Ok(true),
            Some(Err(error)) => {
                let detail = format!("the body ends early, after {read} bytes ({error})");
                return Err(Fault::new(Verdict::Truncated, at, detail).in_go("unexpected EOF"));
            }
            Some(Ok(frame)) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let room = usize::try_from(limit - read).unwrap_or(usize::MAX);
        take(&data[..data.len().min(room)]);
        read += data.len().min(room) as u64;
        if data.len() > room {
            return Ok(false);
        }
    }
}
