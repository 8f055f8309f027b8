//! OTLP/gRPC 1.x: the few messages that a trace needs, and the one call that takes them.
//!
//! Field numbers are those of opentelemetry-proto's `trace/v1` and `collector/trace/v1`; what is optional there and not
//! needed here is left out.

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

use super::Error;

/// `SPAN_KIND_INTERNAL`.
pub const INTERNAL: i32 = 1;
/// `SPAN_KIND_CLIENT`.
pub const CLIENT: i32 = 3;

/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

/// `Span`.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// 8 bytes; none for the root.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// What was done.
    #[prost(string, tag = "5")]
    pub name: String,
    /// [`INTERNAL`] or [`CLIENT`].
    #[prost(int32, tag = "6")]
    pub kind: i32,
    /// In nanoseconds since 1970.
    #[prost(fixed64, tag = "7")]
    pub start: u64,
    /// In nanoseconds since 1970.
    #[prost(fixed64, tag = "8")]
    pub end: u64,
    /// What more is known.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// Unset for success.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
}

/// `Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// What went wrong.
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

impl Status {
    /// Something went wrong.
    pub fn error(message: &str) -> Self {
        Self {
            message: message.to_owned(),
            code: ERROR,
        }
    }
}

/// `KeyValue`.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "One", tags = "1, 3")]
    value: Option<One>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum One {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

impl KeyValue {
    fn new(key: &str, value: One) -> Self {
        Self {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
        }
    }

    /// A text.
    pub fn text(key: &str, value: &str) -> Self {
        Self::new(key, One::Text(value.to_owned()))
    }

    /// A number.
    pub fn number(key: &str, value: i64) -> Self {
        Self::new(key, One::Number(value))
    }
}

impl ExportRequest {
    /// Spans of this program.
    pub fn of(spans: Vec<Span>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let scope = Scope {
            name: "criscope".to_owned(),
            version: version.to_owned(),
        };
        let attributes = vec![
            KeyValue::text("service.name", "criscope"),
            KeyValue::text("service.version", version),
            KeyValue::number("process.pid", i64::from(std::process::id())),
        ];
        Self {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans,
                }],
            }],
        }
    }

    /// The spans in it.
    #[cfg(test)]
    pub fn into_spans(self) -> Vec<Span> {
        let scopes = self.resource_spans.into_iter().flat_map(|r| r.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

/// Sends a request to a collector.
///
/// # Errors
/// [`Error`], without a deadline.
pub async fn export(endpoint: &str, request: &ExportRequest) -> Result<(), Error> {
    // An address as people write it for other exporters is taken too.
    let address = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let address = address.trim_end_matches('/');
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| Error::Connect {
            endpoint: endpoint.to_owned(),
            source,
        })?;
    let http = |source: hyper::Error| Error::Http {
        endpoint: endpoint.to_owned(),
        source,
    };
    let refused = |answer: String| Error::Refused {
        endpoint: endpoint.to_owned(),
        answer,
    };
    let (mut sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(http)?;
    // It ends with the connection; what went wrong reaches us through the call.
    tokio::spawn(async move {
        let _ = driver.await;
    });
    let request = http::Request::post(format!("http://{address}{PATH}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(framed(request)))
        .map_err(|error| refused(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(http)?;
    if response.status() != http::StatusCode::OK {
        return Err(refused(format!("HTTP {}", response.status())));
    }
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(http)?;
    // Where there is no message the status is among the headers.
    let trailers = body.trailers().unwrap_or(&head.headers);
    let of = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    match of("grpc-status") {
        None | Some("0") => Ok(()),
        Some(code) => {
            let message = of("grpc-message").unwrap_or_default();
            Err(refused(format!("gRPC code {code} {message}")))
        }
    }
}

/// A message as gRPC sends it: not compressed, its length, its bytes.
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}
