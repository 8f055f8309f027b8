//! Strings of JSON.

use std::io::Write as _;

/// Appends text with what JSON demands escaped, and nothing else; what is not UTF-8 becomes U+FFFD.
pub(super) fn push_text(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let (plain, odd) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let Some(&byte) = odd.first() else { return };
        if byte.is_ascii() {
            push_escape(out, byte);
            rest = &odd[1..];
        } else {
            let length = odd.iter().position(u8::is_ascii).unwrap_or(odd.len());
            let (foreign, after) = odd.split_at(length);
            push_foreign(out, foreign);
            rest = after;
        }
    }
}

/// How many bytes from the first on are ASCII that stands for itself: nearly always all of them.
fn plain_length(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<16>();
    // Loops, because closures are calls where a program is optimised for size.
    let mut plain_blocks = 0;
    while let Some(block) = blocks.get(plain_blocks)
        && all_plain(block)
    {
        plain_blocks += 1;
    }
    // What is left of the last block is looked at together with what stands before it.
    let whole = match (
        bytes.first_chunk::<8>(),
        bytes.last_chunk::<8>(),
        bytes.last_chunk::<16>(),
    ) {
        (_, _, Some(last)) => plain_blocks == blocks.len() && all_plain(last),
        (Some(first), Some(last), None) => all_plain(first) && all_plain(last),
        _ => false,
    };
    if whole {
        return bytes.len();
    }
    let before = 16 * plain_blocks;
    let rest = bytes[before..].iter();
    before + rest.take_while(|byte| is_plain(**byte)).count()
}

/// Eight bytes at a time, in one number each.
#[inline(always)]
fn all_plain<const N: usize>(block: &[u8; N]) -> bool {
    let (mut words, _) = block.as_chunks::<8>();
    let mut all = true;
    while let [word, rest @ ..] = words {
        all &= is_plain_word(*word);
        words = rest;
    }
    all
}

/// Whether eight bytes stand for themselves. In each byte the highest bit tells: it is set in what is no ASCII, and by the
/// subtraction in what is smaller than a space or equal to one of the two characters (a byte that borrows from the next
/// one is itself one of them).
#[inline(always)]
fn is_plain_word(bytes: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = EACH << 7;
    let word = u64::from_ne_bytes(bytes);
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word;
    let quote = below(word ^ (EACH * u64::from(b'"')), 1);
    let backslash = below(word ^ (EACH * u64::from(b'\\')), 1);
    (word | below(word, u64::from(b' ')) | quote | backslash) & HIGHEST == 0
}

#[inline(always)]
fn is_plain(byte: u8) -> bool {
    (b' '..0x80).contains(&byte) & (byte != b'"') & (byte != b'\\')
}

/// Appends an ASCII character that does not stand for itself.
fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            // Writing to a Vec does not fail.
            let _ = write!(out, "\\u{byte:04x}");
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends bytes that are not ASCII. What is cut off by ASCII is as wrong as what is cut off by the end.
fn push_foreign(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(text: &[u8], expected: &str) {
        let mut out = Vec::new();
        push_text(&mut out, text);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn only_what_has_to_be_is_escaped() {
        case(b"", "");
        case(b"plain <b>&amp;</b> /", "plain <b>&amp;</b> /");
        case(b"\"\\", r#"\"\\"#);
        case(
            b"sixteen and more \" bytes \\",
            r#"sixteen and more \" bytes \\"#,
        );
        case(
            b"\x08\x0c\n\r\t\0\x1b\x7f",
            "\\b\\f\\n\\r\\t\\u0000\\u001b\x7f",
        );
        case(
            "größe \u{2028}\u{202e}".as_bytes(),
            "größe \u{2028}\u{202e}",
        );
    }

    #[test]
    fn a_word_is_plain_when_its_bytes_are() {
        for byte in 0..=255 {
            for place in 0..8 {
                for filler in [b' ', b'a', b'!', b'#', b'[', b']', 0x7f] {
                    let mut word = [filler; 8];
                    word[place] = byte;
                    assert_eq!(is_plain_word(word), is_plain(byte), "{word:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        case(b"a\xffb\xc3", "a\u{fffd}b\u{fffd}");
        // Half of a surrogate pair, and a letter in too many bytes.
        case(b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}");
        case(b"\xc0\x80", "\u{fffd}\u{fffd}");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let mut out = vec![b'"'];
            push_text(&mut out, &bytes);
            out.push(b'"');
            let read: String = serde_json::from_slice(&out).unwrap();
            proptest::prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }
    }
}
