//! The few HTTP/2 frames that are written by hand (RFC 9113): to say goodbye, or the wrong thing.

use bytes::{BufMut, Bytes, BytesMut};

/// What a client sends first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(9 + payload.len());
    frame.put_uint(payload.len() as u64, 3);
    frame.put_u8(kind);
    frame.put_u8(flags);
    frame.put_u32(stream);
    frame.extend_from_slice(payload);
    frame.freeze()
}
