//! The few HTTP/2 frames that are written by hand (RFC 9113): to say goodbye, or the wrong thing.

use bytes::{BufMut, Bytes, BytesMut};

/// What a client sends first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The type of a HEADERS frame, which opens a call.
pub(super) const HEADERS: u8 = 1;

/// Length, type, flags, stream.
pub(super) const HEAD: usize = 9;

/// An empty SETTINGS frame: all a server must say first.
pub(super) fn settings() -> Bytes {
    frame(4, 0, 0, &[])
}

/// GOAWAY: streams above `last` were not processed.
pub(super) fn go_away(last: u32, code: u32) -> Bytes {
    let mut payload = BytesMut::new();
    payload.put_u32(last);
    payload.put_u32(code);
    frame(7, 0, 0, &payload)
}

/// The headers of a good gRPC answer: `:status: 200` out of HPACK's static table, and the content type.
pub(super) fn ok_headers(stream: u32) -> Bytes {
    // 0x88 is entry 8; 0x0f 0x10 is a literal that is not to be indexed, with the name of entry 31.
    let mut block = BytesMut::from(&b"\x88\x0f\x10"[..]);
    let kind = b"application/grpc";
    block.put_u8(kind.len() as u8);
    block.extend_from_slice(kind);
    // END_HEADERS.
    frame(HEADERS, 4, stream, &block)
}

/// A piece of an answer.
pub(super) fn data(stream: u32, payload: &[u8]) -> Bytes {
    frame(0, 0, stream, payload)
}

/// Any frame, also one that makes no sense: type, flags, stream and payload as they are.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD + payload.len());
    frame.put_uint(payload.len() as u64, 3);
    frame.put_u8(kind);
    frame.put_u8(flags);
    frame.put_u32(stream);
    frame.extend_from_slice(payload);
    frame.freeze()
}
