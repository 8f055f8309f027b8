//! gRPC over HTTP/2, the serving half: frames, trailers, bodies.
//!
//! Written out instead of using tonic's server, because a fake must also be able to break every part of it. Follows
//! gRPC's `PROTOCOL-HTTP2` document; compression is never offered and never accepted.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use tonic::Status;

/// Why a body breaks off; hyper answers it with RST_STREAM.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Flag and length in front of a message.
const PREFIX: usize = 5;

/// A message in its frame.
pub(super) fn frame(message: &[u8]) -> Bytes {
    announced(length(message), message)
}

/// A frame that announces `length` bytes and carries `message`, however long that is.
pub(super) fn announced(length: u32, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.extend_from_slice(message);
    framed.freeze()
}

fn length(message: &[u8]) -> u32 {
    u32::try_from(message.len()).unwrap_or(u32::MAX)
}

/// The message of a request body that holds exactly one uncompressed frame.
pub(super) fn unframe(body: Bytes) -> Result<Bytes, Status> {
    if body.len() < PREFIX {
        return Err(Status::internal(format!(
            "request of {} bytes is shorter than a gRPC frame",
            body.len()
        )));
    }
    if body[0] != 0 {
        return Err(Status::unimplemented("request is compressed"));
    }
    let length = u32::from_be_bytes([body[1], body[2], body[3], body[4]]) as usize;
    if body.len() != PREFIX + length {
        return Err(Status::internal(format!(
            "request announces {length} bytes and has {}",
            body.len() - PREFIX
        )));
    }
    Ok(body.slice(PREFIX..))
}

/// An answer that is only a status (gRPC's trailers-only form, which grpc-go sends for every early error).
pub(super) fn status(status: &Status) -> Response<Body> {
    // A body that is known to be over lets END_STREAM go with the headers: grpc-go does not read the status otherwise.
    let mut response = Response::new(full(Bytes::new()));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response.headers_mut().extend(trailers(status));
    response
}

/// An answer of ready messages and the status OK.
pub(super) fn messages(messages: Vec<Bytes>) -> Response<Body> {
    // Prefix and message apart: a list of 100 MB is not copied.
    let mut frames = Vec::with_capacity(2 * messages.len() + 1);
    for message in messages {
        frames.push(Ok(Frame::data(announced(length(&message), b""))));
        frames.push(Ok(Frame::data(message)));
    }
    frames.push(Ok(end(&ok())));
    streaming(stream::iter(frames))
}

/// An answer of HTTP/2 data as it comes: whoever makes the frames also ends them.
pub(super) fn streaming<S>(frames: S) -> Response<Body>
where
    S: Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static,
{
    let mut response = Response::new(body(frames));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

/// The last frame: the status as trailers.
pub(super) fn end(status: &Status) -> Frame<Bytes> {
    Frame::trailers(trailers(status))
}

/// The status of success.
pub(super) fn ok() -> Status {
    Status::new(tonic::Code::Ok, "")
}

/// A body of frames.
pub(super) fn body<S>(frames: S) -> Body
where
    S: Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static,
{
    StreamBody::new(frames.boxed()).boxed_unsync()
}

/// A body of these bytes.
pub(super) fn full(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

fn trailers(status: &Status) -> HeaderMap {
    let mut map = HeaderMap::new();
    // Fails only for metadata that is no header; our statuses carry none.
    if status.add_header(&mut map).is_err() {
        map.insert("grpc-status", HeaderValue::from_static("13"));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_out() {
        assert_eq!(unframe(frame(b"abc")).unwrap(), Bytes::from_static(b"abc"));
        assert_eq!(unframe(frame(b"")).unwrap(), Bytes::new());
    }

    #[test]
    fn a_broken_frame_is_refused() {
        for broken in [
            &b""[..],
            b"\0\0\0",
            b"\x01\0\0\0\0",
            b"\0\0\0\0\x02a",
            b"\0\0\0\0\x01ab",
        ] {
            assert!(
                unframe(Bytes::copy_from_slice(broken)).is_err(),
                "{broken:?}"
            );
        }
    }
}
