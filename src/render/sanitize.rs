//! Control characters from a runtime or a registry never reach a terminal.
//!
//! What a name may do to a terminal otherwise: move the cursor, change the title, answer questions, or show its
//! letters in another order (bidirectional marks). Every such character is shown as what it is, escaped.

use std::borrow::Cow;

/// Text for one cell or one line: control characters, line breaks and bidirectional marks are escaped.
pub fn line(text: &str) -> Cow<'_, str> {
    if is_plain(text) || text.chars().all(|c| !is_harmful(c)) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(escape(text, is_harmful))
    }
}

/// Text of several lines: as [`line`], but line breaks and tabs stay.
pub fn block(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| is_harmful(c) && c != '\n' && c != '\t';
    if text.chars().any(harmful) {
        Cow::Owned(escape(text, harmful))
    } else {
        Cow::Borrowed(text)
    }
}

fn escape(text: &str, harmful: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if harmful(c) {
            safe.extend(c.escape_default())
        } else {
            safe.push(c)
        }
    }
    safe
}

/// Whether a text is printable ASCII, as nearly all of it is: then it takes as many columns as it has bytes. Asked of every
/// cell of a list, so eight bytes are looked at together.
pub fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (words, rest) = bytes.as_chunks();
    // The last eight bytes overlap with those before them, so that none are left over.
    match bytes.last_chunk() {
        Some(last) => words.iter().all(|word| is_plain_word(*word)) && is_plain_word(*last),
        None => rest.iter().all(|byte| (b' '..0x7f).contains(byte)),
    }
}

/// The same of eight bytes. In each the highest bit tells: it is set in what is no ASCII, and by the subtraction in what is
/// smaller than a space or a delete (a byte that borrows from the next one is itself one of them).
#[inline(always)]
fn is_plain_word(bytes: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_ne_bytes(bytes);
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word;
    let control = below(word, u64::from(b' ')) | below(word ^ (EACH * 0x7f), 1);
    (word | control) & (EACH << 7) == 0
}

/// Whether a character does something else than being seen.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
            // Tags: invisible letters.
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_harmless_stays_as_it_is() {
        assert!(matches!(line("nginx — grün 日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn plain_is_printable_ascii_wherever_it_stands() {
        for byte in 0..=0x7f_u8 {
            for (before, after) in [(0, 0), (3, 2), (8, 0), (7, 9), (0, 15)] {
                let text = format!(
                    "{}{}{}",
                    "a".repeat(before),
                    char::from(byte),
                    " ".repeat(after)
                );
                assert_eq!(is_plain(&text), (b' '..0x7f).contains(&byte), "{text:?}");
            }
        }
        assert!(is_plain("") && !is_plain("é") && !is_plain("a long text with a é in it"));
    }

    #[test]
    fn what_acts_on_a_terminal_is_shown() {
        assert_eq!(line("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(line("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(line("x\u{202e}gnp.exe"), "x\\u{202e}gnp.exe");
        assert_eq!(line("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(block("a\n\tb\x07"), "a\n\tb\\u{7}");
    }
}
