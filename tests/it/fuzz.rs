//! The corpora of the fuzz targets, replayed and varied: what fuzzing found once does not come back, also where there is no
//! nightly toolchain to fuzz with.

#[path = "../../fuzz/bodies.rs"]
mod bodies;

use std::panic::catch_unwind;
use std::path::Path;

/// The inputs of a target.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).exists());
    let files = std::fs::read_dir(fuzz.join("corpus").join(name)).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has a corpus");
    files
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[test]
fn the_corpora_are_survived() {
    for (name, body) in bodies::BODIES {
        for data in corpus(name) {
            // Cut short at every place, too: that is what an interrupted peer sends.
            for end in 0..=data.len() {
                body(&data[..end]);
            }
        }
    }
}

/// Numbers that look random and are the same at every run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// What parsers stumble over.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"'",
    b"\\",
    b"{{",
    b"}}",
    b"[[",
    b"]",
    b"=",
    b"#",
    b":",
    b"@",
    b"\xff",
    b"\xe2\x80",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"-1",
    b"9223372036854775808",
    b"1e999",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    b"\x1b[",
    b"null",
    b"%*d",
    b"\x7f\xff\xff\xff",
];

fn varied(all: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut data = all[chance.below(all.len())].clone();
    for _ in 0..=chance.below(4) {
        let at = chance.below(data.len() + 1);
        match chance.below(6) {
            0 if at < data.len() => data[at] ^= 1 << chance.below(8),
            1 if at < data.len() => data[at] = chance.below(256) as u8,
            2 => data.truncate(at),
            3 => {
                let end = at + chance.below(data.len() - at + 1);
                drop(data.drain(at..end));
            }
            4 => {
                let other = &all[chance.below(all.len())];
                let from = chance.below(other.len() + 1);
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = WORDS[chance.below(WORDS.len())];
                data.splice(at..at, word.iter().copied());
            }
        }
    }
    data
}

/// `CRISCOPE_FUZZ_ROUNDS=100000 cargo test --test it fuzz::` tries for longer; `CRISCOPE_FUZZ_SEED` tries others.
#[test]
fn variations_of_the_corpora_are_survived() {
    let number = |name: &str, otherwise| {
        let set = std::env::var(name).ok();
        set.map_or(otherwise, |text| text.parse().unwrap())
    };
    let rounds = number("CRISCOPE_FUZZ_ROUNDS", 300);
    let seed = number("CRISCOPE_FUZZ_SEED", 0x9e37_79b9_7f4a_7c15);
    for (name, body) in bodies::BODIES {
        let all = corpus(name);
        let mut chance = Chance(seed);
        for _ in 0..rounds {
            let data = varied(&all, &mut chance);
            let survived = catch_unwind(|| body(&data)).is_ok();
            assert!(survived, "{name}: b\"{}\"", data.escape_ascii());
        }
    }
}
