//! Frames of SPDY/3.1, to and from bytes: what the streaming servers of the runtimes use of it.
//!
//! After "SPDY Protocol – Draft 3.1". Blocks of headers are compressed with zlib, one stream for the whole connection.
//! Ours are sent as stored blocks, which every inflater reads and no deflater is needed for; without the preset
//! dictionary, which zlib marks as optional. Theirs are not read: they say nothing that the order of frames does not.
//! Windows are not kept: the Go implementation at the other end (moby/spdystream) does not keep them either.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The version in every control frame, with the bit that tells control from data.
const CONTROL_V3: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;

/// The flag of data and of SYN frames: the sender has nothing more for this stream.
const FIN: u8 = 0x01;

/// The largest number of a stream: 31 bits.
const STREAM_MASK: u32 = 0x7fff_ffff;

/// Every frame begins with so many bytes.
const HEAD: usize = 8;

/// No control frame is larger, in bytes: the largest are blocks of headers.
const LARGEST_CONTROL: usize = 64 << 10;

/// No data frame is larger, in bytes: Go copies with buffers of 32 KiB. The format allows 16 MiB.
const LARGEST_DATA: usize = 4 << 20;

/// How a zlib stream begins: deflate with a window of 32 KiB, fastest, no dictionary.
const ZLIB_HEAD: [u8; 2] = [0x78, 0x01];

/// A stored block of deflate, not the last one.
const STORED: u8 = 0;

/// A frame that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a stream, perhaps its last.
    Data {
        /// The stream.
        stream: u32,
        /// Whether nothing more comes.
        fin: bool,
        /// The bytes.
        bytes: Bytes,
    },
    /// The server takes a stream.
    Reply {
        /// The stream.
        stream: u32,
        /// Whether it has nothing to say on it.
        fin: bool,
    },
    /// The server breaks a stream off.
    Reset {
        /// The stream.
        stream: u32,
        /// Why, as the draft numbers it.
        status: u32,
    },
    /// A question whether we are there.
    Ping(u32),
    /// The server opens no more streams.
    GoAway,
    /// Settings, windows, headers and streams of the server: nothing that has to be acted upon.
    Other(u16),
}

/// Why bytes are not frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another version, or not SPDY at all.
    #[error("a control frame of version {0}")]
    Version(u16),
    /// Longer than any frame need be.
    #[error("a frame of {0} bytes")]
    TooLarge(usize),
    /// Shorter than its kind is.
    #[error("a frame of kind {kind} with {length} bytes")]
    Short {
        /// The number of the kind.
        kind: u16,
        /// How many bytes it has after its head.
        length: usize,
    },
}

/// Takes the first frame out of what has arrived; `None` if it has not arrived as a whole.
///
/// # Errors
/// See [`Error`]; the connection is of no use then.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, Error> {
    let Some(head) = buffer.get(..HEAD) else {
        return Ok(None);
    };
    let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let flags = head[4];
    let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
    let is_control = first > STREAM_MASK;
    let (version, kind) = (
        u16::from_be_bytes([head[0], head[1]]),
        u16::from_be_bytes([head[2], head[3]]),
    );
    if is_control && version != CONTROL_V3 {
        return Err(Error::Version(version & 0x7fff));
    }
    let largest = if is_control {
        LARGEST_CONTROL
    } else {
        LARGEST_DATA
    };
    if length > largest {
        return Err(Error::TooLarge(length));
    }
    if buffer.len() < HEAD + length {
        buffer.reserve(HEAD + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(HEAD);
    let mut body = buffer.split_to(length).freeze();
    let fin = flags & FIN != 0;
    if !is_control {
        return Ok(Some(Frame::Data {
            stream: first,
            fin,
            bytes: body,
        }));
    }
    let mut word = || {
        body.try_get_u32()
            .map_err(|_| Error::Short { kind, length })
    };
    Ok(Some(match kind {
        SYN_REPLY => Frame::Reply {
            stream: word()? & STREAM_MASK,
            fin,
        },
        RST_STREAM => Frame::Reset {
            stream: word()? & STREAM_MASK,
            status: word()?,
        },
        PING => Frame::Ping(word()?),
        GOAWAY => Frame::GoAway,
        other => Frame::Other(other),
    }))
}

/// Writes frames. One for a connection: the compressed headers of all its streams are one stream of bytes.
#[derive(Debug, Default)]
pub struct Encoder {
    begun: bool,
}

impl Encoder {
    /// Opens a stream; names of headers are lower case.
    pub fn open(&mut self, stream: u32, headers: &[(&str, &str)], out: &mut BytesMut) {
        let mut block = BytesMut::new();
        block.put_u32(size(headers.len()));
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(size(text.len()));
            block.put_slice(text.as_bytes());
        }
        let mut body = BytesMut::new();
        body.put_u32(stream);
        // No stream that it belongs to, the highest priority, no credential.
        body.put_u32(0);
        body.put_u16(0);
        if !self.begun {
            body.put_slice(&ZLIB_HEAD);
            self.begun = true;
        }
        // The empty block at the end flushes: without it, Go's reader waits for the next one, and fails.
        for part in block.chunks(usize::from(u16::MAX)).chain([&[][..]]) {
            // A chunk is no longer than a u16 counts.
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            body.put_u8(STORED);
            body.put_u16_le(length);
            body.put_u16_le(!length);
            body.put_slice(part);
        }
        control(SYN_STREAM, &body, out);
    }

    /// Sends bytes on a stream, or ends it.
    pub fn data(stream: u32, bytes: &[u8], fin: bool, out: &mut BytesMut) {
        out.reserve(HEAD + bytes.len());
        out.put_u32(stream & STREAM_MASK);
        out.put_u32(size(bytes.len()) | u32::from(if fin { FIN } else { 0 }) << 24);
        out.put_slice(bytes);
    }

    /// Answers a ping.
    pub fn pong(ping: u32, out: &mut BytesMut) {
        control(PING, &ping.to_be_bytes(), out);
    }
}

fn control(kind: u16, body: &[u8], out: &mut BytesMut) {
    out.put_u16(CONTROL_V3);
    out.put_u16(kind);
    out.put_u32(size(body.len()));
    out.put_slice(body);
}

/// A length in 24 bits. What is sent here is cut into pieces far smaller than that.
fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(0) & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that can be taken out.
    fn all(bytes: &[u8]) -> Result<(Vec<Frame>, usize), Error> {
        let mut buffer = BytesMut::from(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = decode(&mut buffer)? {
            frames.push(frame);
        }
        Ok((frames, buffer.len()))
    }

    #[test]
    fn frames_as_the_draft_draws_them() {
        #[track_caller]
        fn case(bytes: &[u8], expected: Frame) {
            assert_eq!(all(bytes), Ok((vec![expected], 0)), "{bytes:x?}");
        }
        let data = |stream, fin, bytes: &'static [u8]| Frame::Data {
            stream,
            fin,
            bytes: Bytes::from_static(bytes),
        };
        case(b"\x00\x00\x00\x05\x00\x00\x00\x02hi", data(5, false, b"hi"));
        case(b"\x00\x00\x00\x05\x01\x00\x00\x00", data(5, true, b""));
        case(
            b"\x80\x03\x00\x02\x01\x00\x00\x06\x00\x00\x00\x03xx",
            Frame::Reply {
                stream: 3,
                fin: true,
            },
        );
        case(
            b"\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x03\x00\x00\x00\x05",
            Frame::Reset {
                stream: 3,
                status: 5,
            },
        );
        case(
            b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x02",
            Frame::Ping(2),
        );
        case(
            b"\x80\x03\x00\x07\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00",
            Frame::GoAway,
        );
        case(
            b"\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x09",
            Frame::Other(9),
        );
    }

    #[test]
    fn what_is_no_frame() {
        assert_eq!(
            all(b"\x80\x02\x00\x01\x00\x00\x00\x00"),
            Err(Error::Version(2))
        );
        assert_eq!(
            all(b"\x80\x03\x00\x06\x00\x00\x00\x01x"),
            Err(Error::Short { kind: 6, length: 1 })
        );
        assert_eq!(
            all(b"\x80\x03\x00\x02\x00\xff\xff\xff"),
            Err(Error::TooLarge(0xff_ffff))
        );
        assert_eq!(
            all(b"\x00\x00\x00\x01\x00\xff\xff\xff"),
            Err(Error::TooLarge(0xff_ffff))
        );
        // Not yet there.
        assert_eq!(all(b"\x00\x00\x00\x01\x00\x00\x00\x02h"), Ok((vec![], 9)));
        assert_eq!(all(b"\x00\x00"), Ok((vec![], 2)));
    }

    #[test]
    fn a_stream_is_opened_with_stored_headers() {
        let mut encoder = Encoder::default();
        let mut out = BytesMut::new();
        encoder.open(1, &[("streamtype", "error")], &mut out);
        let block = b"\x00\x00\x00\x01\x00\x00\x00\x0astreamtype\x00\x00\x00\x05error";
        let mut expected =
            b"\x80\x03\x00\x01\x00\x00\x00\x33\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x78\x01"
                .to_vec();
        expected.extend(b"\x00\x1b\x00\xe4\xff");
        expected.extend(block);
        expected.extend(b"\x00\x00\x00\xff\xff");
        let length = u8::try_from(expected.len() - HEAD).unwrap();
        expected[7] = length;
        assert_eq!(out.to_vec(), expected);
        // The second one continues the zlib stream.
        out.clear();
        encoder.open(3, &[("streamtype", "error")], &mut out);
        assert_eq!(out.len(), expected.len() - ZLIB_HEAD.len());
    }

    proptest::proptest! {
        #[test]
        fn what_is_sent_is_read(stream in 1u32..=STREAM_MASK, fin: bool, bytes: Vec<u8>, ping: u32, cut: usize) {
            let mut out = BytesMut::new();
            Encoder::data(stream, &bytes, fin, &mut out);
            Encoder::pong(ping, &mut out);
            // However it is cut on the way.
            let tail = out.split_off(cut % out.len());
            let mut frames = Vec::new();
            let mut buffer = BytesMut::new();
            for part in [out, tail] {
                buffer.extend_from_slice(&part);
                while let Some(frame) = decode(&mut buffer).unwrap() {
                    frames.push(frame);
                }
            }
            proptest::prop_assert_eq!(frames, [Frame::Data { stream, fin, bytes: bytes.into() }, Frame::Ping(ping)]);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, control: bool, kind in 0u16..12) {
            let mut bytes = bytes;
            if control {
                let mut head = vec![0x80, 0x03];
                head.extend(kind.to_be_bytes());
                bytes.splice(0..0, head);
            }
            let before = bytes.len();
            if let Ok((_, left)) = all(&bytes) {
                proptest::prop_assert!(left <= before);
            }
        }
    }
}
