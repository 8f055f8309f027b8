//! What a registry can do wrong, and where.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Where in the conversation a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Any request.
    Anything,
    /// `GET /v2/`.
    Ping,
    /// The token endpoint.
    Token,
    /// Manifests, by tag or digest.
    Manifest,
    /// Blobs.
    Blob,
    /// The list of tags.
    Tags,
    /// The storage that blobs are redirected to.
    Storage,
}

/// What goes wrong instead of the honest answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The request is read and nothing is answered.
    Hang,
    /// The answer stops in the middle of its head.
    HangInHead,
    /// The answer stops in the middle of its body.
    HangInBody,
    /// The honest answer with more headers, e.g. `ratelimit-remaining`.
    Headers(Vec<(String, String)>),
    /// The honest answer, this much later.
    Late(Duration),
    /// The honest answer, one byte at a time with this pause.
    Drip(Duration),
    /// The connection is closed without an answer.
    Close,
    /// Something that is not HTTP.
    Garbage,
    /// 401 with a challenge that nothing satisfies.
    Unauthorized,
    /// 401 without a challenge.
    UnauthorizedMute,
    /// 401 with a realm that no client can use, as behind a badly set up proxy.
    BrokenRealm,
    /// 403 with the registry's JSON.
    Forbidden,
    /// 404 with the registry's JSON.
    NotFound,
    /// 404 for HEAD, the truth for GET: a cache that is filled by GET only.
    HeadNotFound,
    /// 405 for HEAD, the truth for GET.
    HeadNotAllowed,
    /// 429 with this `Retry-After`, in seconds.
    TooMany(u32),
    /// This status with a plain text.
    Status(u16),
    /// 200 with a web page, as a captive portal or an unknown path of a web application.
    Portal,
    /// A redirect to this URL.
    Redirect(String),
    /// A redirect to itself.
    RedirectLoop,
    /// A redirect without a location.
    RedirectNowhere,
    /// Blobs are fetched from the storage of this same server, as with cloud storage.
    RedirectToStorage,
    /// `Docker-Content-Digest` names another digest than the body has.
    WrongDigest,
    /// No `Docker-Content-Digest`.
    NoDigest,
    /// Half of the body, then the connection is closed.
    Truncated,
    /// One byte of the body is wrong.
    Corrupt,
    /// `Content-Length` is this many bytes too long, or too short when negative.
    WrongLength(i64),
    /// A body without end.
    Endless,
    /// A header of this many bytes.
    HugeHeader(usize),
    /// More and more headers without end.
    EndlessHead,
    /// `Content-Encoding: gzip` with a body of a few kilobytes that unpacks to this many bytes.
    GzipBomb(usize),
    /// 200 with nothing in it.
    Empty,
    /// 200 with something that is no JSON.
    NotJson,
    /// 404 with terminal control sequences, newlines and bidirectional marks in its message.
    Escapes,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Rule>>);

#[derive(Debug)]
struct Rule {
    on: On,
    fault: Fault,
    left: Option<u32>,
}

impl Faults {
    /// A fault for the next `times` requests, or for all.
    pub(super) fn add(&self, on: On, fault: Fault, times: Option<u32>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Rule {
                on,
                fault,
                left: times,
            });
    }

    pub(super) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The fault that strikes a request, if any; it counts as used.
    pub(super) fn judge(&self, on: On) -> Option<Fault> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = rules
            .iter_mut()
            .find(|rule| (rule.on == on || rule.on == On::Anything) && rule.left != Some(0))?;
        if let Some(left) = &mut rule.left {
            *left -= 1;
        }
        Some(rule.fault.clone())
    }
}

/// A gzip file (RFC 1952) of a few kilobytes that unpacks to `size` zeros: one literal, then copies of 258 bytes.
pub(super) fn bomb(size: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // Last block, fixed Huffman codes (RFC 1951).
    bits.low_first(1, 1);
    bits.low_first(1, 2);
    // Literal 0.
    bits.high_first(0x30, 8);
    for _ in 0..size.saturating_sub(1) / 258 {
        // Length 258 is symbol 285, distance 1 is symbol 0.
        bits.high_first(0b1100_0101, 8);
        bits.high_first(0, 5);
    }
    // End of block.
    bits.high_first(0, 7);
    let unpacked = 1 + size.saturating_sub(1) / 258 * 258;
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    file.extend(bits.bytes);
    file.extend(crc_of_zeros(unpacked).to_le_bytes());
    file.extend((unpacked as u32).to_le_bytes());
    file
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn bit(&mut self, bit: u32) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= ((bit & 1) as u8) << (self.used % 8);
        }
        self.used += 1;
    }

    fn low_first(&mut self, value: u32, count: u32) {
        (0..count).for_each(|place| self.bit(value >> place));
    }

    fn high_first(&mut self, value: u32, count: u32) {
        (0..count).rev().for_each(|place| self.bit(value >> place));
    }
}

fn crc_of_zeros(count: usize) -> u32 {
    let mut crc = u32::MAX;
    for _ in 0..count {
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_where_they_should_and_are_used_up() {
        let faults = Faults::default();
        faults.add(On::Blob, Fault::Close, Some(1));
        faults.add(On::Anything, Fault::Empty, None);
        assert_eq!(faults.judge(On::Ping), Some(Fault::Empty));
        assert_eq!(faults.judge(On::Blob), Some(Fault::Close));
        assert_eq!(faults.judge(On::Blob), Some(Fault::Empty));
        faults.clear();
        assert_eq!(faults.judge(On::Blob), None);
    }

    #[test]
    fn a_bomb_is_small() {
        let bomb = bomb(1_000_000);
        assert!(bomb.len() < 10_000, "{}", bomb.len());
        // CRC-32 of a single zero byte.
        assert_eq!(crc_of_zeros(1), 0xd202_ef8d);
    }
}
