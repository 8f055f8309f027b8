//! The floor: a client that asks once and drops what it receives. Nothing that shows a list can be faster.
//!
//! HTTP/2 written out by hand over a blocking socket: the preface, one call with literal headers, windows as wide as
//! they can be, and frames whose payload is counted and forgotten. It is no client for anything else.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The widest window there is.
const WIDEST: u32 = (1 << 31) - 1;
/// What a connection starts with.
const FIRST: u32 = 65_535;

/// Makes a call with an empty request and returns how many bytes its answer had.
pub fn ask(socket: &str, path: &str) -> io::Result<u64> {
    let mut stream = UnixStream::connect(socket)?;
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE, and the same for the connection.
    let mut wide = vec![0, 4];
    wide.extend(WIDEST.to_be_bytes());
    frame(&mut hello, SETTINGS, 0, 0, &wide);
    frame(
        &mut hello,
        WINDOW_UPDATE,
        0,
        0,
        &(WIDEST - FIRST).to_be_bytes(),
    );
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        headers.push(0);
        for text in [name, value] {
            // Lengths below 127 are one byte.
            headers.push(u8::try_from(text.len()).unwrap_or(0));
            headers.extend(text.as_bytes());
        }
    }
    frame(&mut hello, HEADERS, END_HEADERS, 1, &headers);
    frame(&mut hello, DATA, END_STREAM, 1, &[0; 5]);
    stream.write_all(&hello)?;
    receive(stream)
}

fn receive(stream: UnixStream) -> io::Result<u64> {
    let mut replies = stream.try_clone()?;
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut received = 0;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, ..] = head;
        let length = u64::from(u32::from_be_bytes([0, a, b, c]));
        let taken = io::copy(&mut (&mut stream).take(length), &mut io::sink())?;
        if taken < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match kind {
            DATA => received += length,
            SETTINGS if flags & 1 == 0 => {
                let mut acknowledgement = Vec::new();
                frame(&mut acknowledgement, SETTINGS, 1, 0, &[]);
                replies.write_all(&acknowledgement)?;
            }
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return Ok(received);
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    out.extend(&length[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}
