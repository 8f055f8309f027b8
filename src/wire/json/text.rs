//! Strings of JSON.

use std::io::Write as _;

/// Appends text with what JSON demands escaped, and nothing else; what is not UTF-8 becomes U+FFFD.
pub(super) fn push_text(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_character(out, character);
        }
        if !chunk.invalid().is_empty() {
            push_character(out, char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Whether all of it is ASCII that stands for itself, as nearly all text is. Sixteen bytes at a time and without a
/// shortcut: the compiler makes one comparison of them.
fn is_plain(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let mut last = [b' '; 16];
    last[..rest.len()].copy_from_slice(rest);
    let odd = |byte: &u8| {
        let plain = (b' '..0x80).contains(byte) & (*byte != b'"') & (*byte != b'\\');
        u8::from(!plain)
    };
    let any_odd = |block: &[u8; 16]| block.iter().map(odd).fold(0, |one, other| one | other) != 0;
    !blocks.iter().chain([&last]).any(any_odd)
}

fn push_character(out: &mut Vec<u8>, character: char) {
    let short = match character {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        _ => 0,
    };
    if short != 0 {
        out.extend_from_slice(&[b'\\', short]);
    } else if character < ' ' {
        let _ = write!(out, "\\u{:04x}", u32::from(character));
    } else {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
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
            b"\x08\x0c\n\r\t\0\x1b\x7f",
            "\\b\\f\\n\\r\\t\\u0000\\u001b\x7f",
        );
        case(
            "größe \u{2028}\u{202e}".as_bytes(),
            "größe \u{2028}\u{202e}",
        );
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        case(b"a\xffb\xc3", "a\u{fffd}b\u{fffd}");
        // Half of a surrogate pair, and a letter in too many bytes.
        case(b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}");
        case(b"\xc0\x80", "\u{fffd}\u{fffd}");
    }
}
