//! One call as gRPC writes it over HTTP/2, with the answer handed on while it arrives.
//!
//! tonic's client collects a message before anyone sees it, so a list of 100,000 containers would be held twice. This
//! is the little that is needed instead: one request in its frame; frames of the answer without their prefix, as the
//! pieces in which HTTP/2 delivered them; the status at the end (gRPC's `PROTOCOL-HTTP2`). Compression is never offered.
//!
//! Only the time spent waiting for the peer counts against the deadline: what the caller does with a piece, such as
//! writing to a pipe that nobody empties, is no fault of the runtime.

use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tonic::{Code, Status};
use tower::Service as _;

use crate::endpoint::connect::Connection;

/// A flag and the length, in front of every message.
const PREFIX: usize = 5;

/// How this client introduces itself.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("criscope/", env!("CARGO_PKG_VERSION")));

/// The header that tells the peer how long the call may take.
const TIMEOUT: &str = "grpc-timeout";

/// The largest answer that is kept whole. Verbose ones have a few megabytes, and what may be a long list is better read
/// by its elements; CRI-O does not send more than 80 MiB, containerd no more than 16.
pub(super) const LARGEST: usize = 256 * 1024 * 1024;

/// Why a call did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The peer refused, or the connection broke.
    #[error(transparent)]
    Status(Status),
    /// What came is not gRPC.
    #[error("{0}")]
    Protocol(&'static str),
    /// The answer has more bytes than this.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The peer was waited for long enough.
    #[error("waited in vain")]
    Deadline,
}

impl Failure {
    /// The code under which it is counted.
    pub(super) fn code(&self) -> Code {
        match self {
            Failure::Status(status) => status.code(),
            Failure::Protocol(_) => Code::Internal,
            Failure::TooLarge(_) => Code::ResourceExhausted,
            Failure::Deadline => Code::DeadlineExceeded,
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Failure::Status(Status::from_error(Box::new(error)))
    }
}

/// How long a peer may still be waited for; for ever, if `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(Option<Duration>);

impl Patience {
    /// Patience for so long.
    pub(super) fn new(deadline: Option<Duration>) -> Self {
        Self(deadline)
    }

    /// Waits for the peer.
    async fn wait<T>(&mut self, peer: impl Future<Output = T>) -> Result<T, Failure> {
        let Some(left) = &mut self.0 else {
            return Ok(peer.await);
        };
        let began = Instant::now();
        let outcome = tokio::time::timeout(*left, peer).await;
        *left = left.saturating_sub(began.elapsed());
        outcome.map_err(|_| Failure::Deadline)
    }
}

/// An answer that is arriving.
#[derive(Debug)]
pub(super) struct Answer {
    body: Incoming,
    http: StatusCode,
    patience: Patience,
    /// What has arrived and was not yet handed on.
    data: Bytes,
    /// What has arrived of the next prefix, if it came in several pieces.
    prefix: BytesMut,
    /// How much of the message is missing; none while no message has begun.
    missing: Option<usize>,
}

/// What comes next of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A message of this length begins.
    Begin(usize),
    /// A part of the message, never empty.
    Part(Bytes),
    /// The message is whole.
    End,
}

/// A request in its frame, as it is sent. Everything behind this knows requests as bytes, so that there is one of it in
/// the program and not one for each message.
pub(super) fn framed(request: &impl prost::Message) -> Bytes {
    let length = request.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows as it must: encoding cannot fail.
    let _ = request.encode(&mut framed);
    framed.freeze()
}

/// Sends a request, which is [`framed`]. `parent` is the span that the runtime may continue (W3C Trace Context).
///
/// An answer that consists of a status alone, as for an unknown method, is found here; one that breaks off later, by
/// [`Answer::next`].
pub(super) async fn open(
    connection: &Connection,
    path: PathAndQuery,
    request: Bytes,
    parent: Option<HeaderValue>,
    patience: Patience,
) -> Result<Answer, Failure> {
    send(connection, message(path, request, parent), patience).await
}

async fn send(
    connection: &Connection,
    request: Request<tonic::body::Body>,
    patience: Patience,
) -> Result<Answer, Failure> {
    let mut patience = patience;
    let mut connection = connection.clone();
    let call = async {
        std::future::poll_fn(|context| connection.poll_ready(context)).await?;
        connection.call(request).await
    };
    let (head, body) = patience.wait(call).await??.into_parts();
    if head.headers.contains_key(Status::GRPC_STATUS) || head.status != StatusCode::OK {
        ended(head.status, Some(&head.headers))?;
    }
    Ok(Answer {
        body,
        http: head.status,
        patience,
        data: Bytes::new(),
        prefix: BytesMut::new(),
        missing: None,
    })
}

/// Sends a request and collects its one answer. The peer is told how long it has: a runtime that is to stop something
/// kills it in time, and does not go on with what nobody waits for.
pub(super) async fn unary(
    connection: &Connection,
    path: PathAndQuery,
    request: Bytes,
    parent: Option<HeaderValue>,
    patience: Patience,
) -> Result<Bytes, Failure> {
    let mut request = message(path, request, parent);
    if let Some(left) = patience.0 {
        request.headers_mut().insert(TIMEOUT, in_grpc_units(left));
    }
    let mut answer = send(connection, request, patience).await?;
    // One that came in one piece is not copied.
    let (mut whole, mut open) = (Bytes::new(), BytesMut::new());
    let (mut messages, mut announced) = (0, 0);
    while let Some(piece) = answer.next().await? {
        match piece {
            Piece::Begin(length) if length > LARGEST => return Err(Failure::TooLarge(LARGEST)),
            Piece::Begin(length) => {
                messages += 1;
                announced = length;
                if messages > 1 {
                    return Err(Failure::Protocol("there are several answers"));
                }
            }
            Piece::Part(part) if part.len() == announced => whole = part,
            Piece::Part(part) => open.extend_from_slice(&part),
            Piece::End => {}
        }
    }
    match messages {
        0 => Err(Failure::Protocol("there is no answer")),
        _ if whole.is_empty() => Ok(open.freeze()),
        _ => Ok(whole),
    }
}

/// A time as the header has it: at most eight digits and a unit.
fn in_grpc_units(time: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let (count, unit) = match time.as_millis() {
        millis if millis <= MOST => (millis.max(1), 'm'),
        _ => (u128::from(time.as_secs()).min(MOST), 'S'),
    };
    // Digits and a letter are always a header.
    HeaderValue::try_from(format!("{count}{unit}")).unwrap_or(HeaderValue::from_static("1S"))
}

fn message(
    path: PathAndQuery,
    request: Bytes,
    parent: Option<HeaderValue>,
) -> Request<tonic::body::Body> {
    let mut made = Request::new(tonic::body::Body::new(Full::new(request)));
    *made.method_mut() = http::Method::POST;
    *made.uri_mut() = origin(path);
    let headers = made.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    headers.insert(header::USER_AGENT, AGENT);
    if let Some(parent) = parent {
        headers.insert("traceparent", parent);
    }
    made
}

fn origin(path: PathAndQuery) -> Uri {
    let mut parts = Uri::from_static(crate::endpoint::connect::ORIGIN).into_parts();
    parts.path_and_query = Some(path);
    // All three parts are there.
    Uri::from_parts(parts).unwrap_or_default()
}

impl Answer {
    /// What comes next; `None` once the peer has said that all is well and that there is no more.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, Failure> {
        loop {
            match self.missing {
                Some(0) => {
                    self.missing = None;
                    return Ok(Some(Piece::End));
                }
                Some(missing) if !self.data.is_empty() => {
                    let part = self.data.split_to(missing.min(self.data.len()));
                    self.missing = Some(missing - part.len());
                    return Ok(Some(Piece::Part(part)));
                }
                Some(_) => {}
                None => {
                    if let Some(length) = self.begin()? {
                        self.missing = Some(length);
                        return Ok(Some(Piece::Begin(length)));
                    }
                }
            }
            let Some(frame) = self.patience.wait(self.body.frame()).await? else {
                // Not even trailers.
                self.whole()?;
                ended(self.http, None)?;
                return Ok(None);
            };
            match frame?.into_data() {
                Ok(data) => self.data = data,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        // A status says more than a message that is cut off.
                        ended(self.http, Some(&trailers))?;
                        self.whole()?;
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The length of the message that begins, if all of its prefix is there.
    fn begin(&mut self) -> Result<Option<usize>, Failure> {
        let wanted = (PREFIX - self.prefix.len()).min(self.data.len());
        self.prefix.extend_from_slice(&self.data.split_to(wanted));
        if self.prefix.len() < PREFIX {
            return Ok(None);
        }
        if self.prefix.get_u8() != 0 {
            return Err(Failure::Protocol(
                "the answer is compressed, which was not offered",
            ));
        }
        Ok(Some(self.prefix.get_u32() as usize))
    }

    /// Whether the answer may end here.
    fn whole(&self) -> Result<(), Failure> {
        if self.missing.is_some() || !self.prefix.is_empty() {
            return Err(Failure::Protocol("the answer is cut off"));
        }
        Ok(())
    }
}

/// The status at the end of an answer, or what stands for it.
fn ended(http: StatusCode, fields: Option<&HeaderMap>) -> Result<(), Failure> {
    if let Some(status) = fields.and_then(Status::from_header_map) {
        return match status.code() {
            Code::Ok => Ok(()),
            _ => Err(Failure::Status(status)),
        };
    }
    // gRPC's http-grpc-status-mapping.
    let code = match http {
        StatusCode::OK => return Err(Failure::Protocol("the answer ends without a status")),
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    };
    let text = format!("the answer is HTTP status {http} and not gRPC");
    Err(Failure::Status(Status::new(code, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_told_in_eight_digits() {
        #[track_caller]
        fn case(time: Duration, expected: &str) {
            assert_eq!(in_grpc_units(time), expected, "{time:?}");
        }
        case(Duration::from_secs(2), "2000m");
        case(Duration::from_micros(1_500), "1m");
        case(Duration::ZERO, "1m");
        case(Duration::from_secs(100_000), "100000S");
        case(Duration::MAX, "99999999S");
    }
}
