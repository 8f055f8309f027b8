//! The keys that leave a terminal session without ending what runs in it: `ctrl-p,ctrl-q`, as docker writes them.

use std::str::FromStr;

/// A sequence of keys; an empty one never matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// What was typed is no sequence of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no key; write a character, or `ctrl-` and one of a-z @ [ \\ ] ^ _, as in `ctrl-p,ctrl-q`"
)]
pub struct Error(String);

impl FromStr for DetachKeys {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let keys: Result<Vec<u8>, Error> = text.split(',').map(key).collect();
        keys.map(Self)
    }
}

/// The byte that a terminal sends for a key.
fn key(text: &str) -> Result<u8, Error> {
    let wrong = || Error(text.to_owned());
    let (controlled, character) = match text.get(..5) {
        Some(prefix) if prefix.eq_ignore_ascii_case("ctrl-") => (true, &text[5..]),
        _ => (false, text),
    };
    match (controlled, character.as_bytes()) {
        (false, [byte @ b' '..=b'~']) => Ok(*byte),
        (true, [byte]) => match byte.to_ascii_uppercase() {
            byte @ b'@'..=b'_' => Ok(byte & 0x1f),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// Looks for the keys in what is typed. What may be their beginning is held back.
#[derive(Debug)]
pub struct Watch {
    keys: DetachKeys,
    held: Vec<u8>,
}

impl Watch {
    /// Nothing has been typed yet.
    pub fn new(keys: DetachKeys) -> Self {
        Self {
            keys,
            held: Vec::new(),
        }
    }

    /// Puts into `through` what goes to the container. Whether the keys were typed; what follows them is dropped.
    pub fn typed(&mut self, bytes: &[u8], through: &mut Vec<u8>) -> bool {
        let keys = &self.keys.0;
        if keys.is_empty() {
            through.extend_from_slice(bytes);
            return false;
        }
        for byte in bytes {
            self.held.push(*byte);
            while !keys.starts_with(&self.held) {
                through.push(self.held.remove(0));
            }
            if self.held.len() == keys.len() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_docker_writes_them() {
        #[track_caller]
        fn case(text: &str, expected: Option<&[u8]>) {
            let found = text.parse::<DetachKeys>().ok().map(|keys| keys.0);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        case("ctrl-p,ctrl-q", Some(&[16, 17]));
        case("CTRL-P,x", Some(&[16, b'x']));
        case("ctrl-@,ctrl-[,ctrl-_", Some(&[0, 27, 31]));
        case("", Some(&[]));
        case("ctrl-", None);
        case("ctrl-1", None);
        case("ctrl-pq", None);
        case("a,,b", None);
        case("ä", None);
        case("ctrl-ä", None);
    }

    #[test]
    fn only_the_whole_sequence_detaches() {
        #[track_caller]
        fn case(keys: &str, typed: &[&[u8]], through: &[u8], detached: bool) {
            let mut watch = Watch::new(keys.parse().unwrap());
            let mut out = Vec::new();
            let found = typed.iter().any(|bytes| watch.typed(bytes, &mut out));
            assert_eq!((out.as_slice(), found), (through, detached), "{typed:?}");
        }
        case("ctrl-p,ctrl-q", &[b"ls\x10\x11more"], b"ls", true);
        case("ctrl-p,ctrl-q", &[b"ls\x10", b"\x11"], b"ls", true);
        // One that is held back comes with the next key.
        case("ctrl-p,ctrl-q", &[b"\x10"], b"", false);
        case("ctrl-p,ctrl-q", &[b"\x10", b"x"], b"\x10x", false);
        case("ctrl-p,ctrl-q", &[b"\x10\x10\x11"], b"\x10", true);
        case("a,a,b", &[b"aaab"], b"a", true);
        case("", &[b"\x10\x11"], b"\x10\x11", false);
    }
}
