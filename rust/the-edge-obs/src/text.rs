//! Text for people and terminals.

use std::borrow::Cow;
use std::fmt::Write;

use crate::redaction::is_printable;

/// A sign followed by this is drawn as an emoji.
const AS_EMOJI: char = '\u{fe0f}';

/// Returns a text that is safe on one line of a terminal: invisible and control characters become escapes such as `\n`, `\x1b` and
/// `\u202e`.
///
/// These are the characters that Python's `str.isprintable` rejects (control characters, C1 and DEL, line ends, direction marks,
/// zero-width and tag characters, all blanks but U+0020), fillers and variation selectors. A backslash stays as it is.
///
/// ```
/// use the_edge_obs::text::printable;
///
/// assert_eq!(printable("a\u{1b}[2J\u{202e}é\n"), r"a\x1b[2J\u202eé\n");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, escape)
}

/// Returns a JSON text that is safe on a terminal: what [`printable`] escapes becomes JSON escapes. The JSON value stays the same. Line
/// feeds stay: outside of strings they are white space, and strings contain none.
///
/// ```
/// use the_edge_obs::text::printable_json;
///
/// assert_eq!(printable_json("[\"a\u{202e}\"]\n"), "[\"a\\u202e\"]\n");
/// ```
#[must_use]
pub fn printable_json(text: &str) -> Cow<'_, str> {
    escaped(text, |char, out| match char {
        '\n' => out.push('\n'),
        _ => json_escape(char, out),
    })
}

/// Returns a JSON text in ASCII, as Python's `json.dumps` writes it by default: the other characters, which stand only in strings,
/// become JSON escapes.
#[must_use]
pub fn ascii_json(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if char.is_ascii() {
            out.push(char);
        } else {
            json_escape(char, &mut out);
        }
    }
    Cow::Owned(out)
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut before = ' ';
    for char in text.chars() {
        let is_repeated = char == AS_EMOJI && before == AS_EMOJI;
        if is_printable(char) && !is_hidden(char) && !is_repeated {
            out.push(char);
        } else {
            escape(char, &mut out);
        }
        before = char;
    }
    Cow::Owned(out)
}

/// Tells whether a character is invisible although Python calls it printable: fillers and variation selectors
/// (<https://www.unicode.org/reports/tr44/>, `Default_Ignorable_Code_Point`).
fn is_hidden(char: char) -> bool {
    matches!(char,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0e}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}')
}

/// Appends a character as JSON escapes it: one outside the basic plane as two surrogates.
fn json_escape(char: char, out: &mut String) {
    for unit in char.encode_utf16(&mut [0; 2]) {
        let written = write!(out, "\\u{unit:04x}");
        debug_assert!(written.is_ok(), "a String takes every text");
    }
}

/// Appends a character as Python's codec `unicode_escape` writes it.
fn escape(char: char, out: &mut String) {
    let code = char as u32;
    let written = match char {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        _ if code < 0x100 => write!(out, "\\x{code:02x}"),
        _ if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "a String takes every text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printable_stays_so(text in "\\PC{0,20}|[\\x00-\\x{a0}\\x{fe0e}\\x{fe0f}\\x{2000}-\\x{2070}]{0,20}") {
            let once = printable(&text);
            prop_assert_eq!(printable(&once), once.clone());
            prop_assert!(!once.contains(|char: char| char.is_control() || is_hidden(char)));
        }
    }

    #[test]
    fn json_stays_equal() {
        let text = "{\"a\": \"\u{7f}é\u{e0101}\"}\n";
        assert_eq!(
            printable_json(text),
            "{\"a\": \"\\u007fé\\udb40\\udd01\"}\n"
        );
        assert_eq!(
            ascii_json(text),
            "{\"a\": \"\u{7f}\\u00e9\\udb40\\udd01\"}\n"
        );
    }

    #[test]
    fn ordinary_text_is_not_copied() {
        assert!(matches!(printable("plain \\ text~"), Cow::Borrowed(_)));
        assert_eq!(printable("❤\u{fe0f}\u{fe0f} 猫"), "❤\u{fe0f}\\ufe0f 猫");
    }
}
