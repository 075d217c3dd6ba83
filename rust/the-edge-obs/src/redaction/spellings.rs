//! The spellings in which a secret may reappear: as it is, and as JSON, URLs, HTML and source code write it.

use super::chars::{all_alnum, is_longer};
use crate::value::write_string;

const FEW: usize = 1_024; // characters from which on a secret is remembered in fewer spellings

/// Returns a text as it is, and as others write it where that may differ; some of them may be equal.
pub(super) fn spellings(text: &str) -> Vec<String> {
    if text.is_ascii() && all_alnum(text) {
        return vec![text.to_owned()];
    }
    let dumped = [json_ascii(text), json(text)];
    let mut spelled = vec![text.to_owned(), python(text, '\''), rust(text)];
    spelled.extend(dumped.iter().cloned());
    if is_longer(text, FEW) {
        return spelled;
    }
    spelled.push(text.replace('\\', "\\\\").replace('"', "\\\""));
    spelled.extend([
        python(text, '"'),
        python_ascii(text),
        python_bytes(text.as_bytes()),
    ]);
    // A text of JSON inside another, or inside source code.
    for one in &dumped {
        spelled.extend([python(one, '\''), rust(one), json_ascii(one)]);
    }
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let quoted = escaped.replace('"', "&quot;");
    for quote in ["&#x27;", "&#39;", "&apos;"] {
        spelled.push(quoted.replace('\'', quote));
    }
    spelled.push(escaped);
    for safe in ["/", "", "!'()*", "/:@!$&'()*+,;="] {
        let percent = percent(text.as_bytes(), safe);
        spelled.push(lowered(&percent));
        if safe.is_empty() {
            let plus = percent.replace("%20", "+");
            spelled.push(lowered(&plus));
            spelled.push(plus);
        }
        spelled.push(percent);
    }
    spelled
}

/// Returns a text as JSON has it between quotes.
pub(super) fn json(text: &str) -> String {
    let mut out = String::new();
    write_string(text, &mut out);
    out[1..out.len() - 1].to_owned()
}

/// Returns the same with escapes for all that is not ASCII.
pub(super) fn json_ascii(text: &str) -> String {
    let mut out = String::new();
    for char in json(text).chars() {
        if (' '..='~').contains(&char) {
            out.push(char);
        } else {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

pub(super) fn rust(text: &str) -> String {
    let debug = format!("{text:?}");
    debug[1..debug.len() - 1].to_owned()
}

/// Returns a text as Python's `repr` has it between quotes; `'` is escaped beside both kinds, if it is asked for by `"`.
fn python(text: &str, quote: char) -> String {
    let escapes_single = quote == '"' || (text.contains('\'') && text.contains('"'));
    let mut out = String::new();
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\'' if escapes_single => out.push_str("\\'"),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' => {
                out.push_str(&format!("\\x{:02x}", char as u32));
            }
            _ => out.push(char),
        }
    }
    out
}

fn python_ascii(text: &str) -> String {
    let mut out = String::new();
    for char in python(text, '\'').chars() {
        match char as u32 {
            0..=0x7f => out.push(char),
            code @ 0x80..=0xff => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// Returns bytes as Python's `repr` has them between quotes.
pub(super) fn python_bytes(bytes: &[u8]) -> String {
    let escapes_single = bytes.contains(&b'\'') && bytes.contains(&b'"');
    let mut out = String::new();
    for byte in bytes.iter().copied() {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\'' if escapes_single => out.push_str("\\'"),
            0x20..=0x7e => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

/// Returns bytes percent-encoded (RFC 3986), but for those of unreserved characters and safe ones.
pub(super) fn percent(bytes: &[u8], safe: &str) -> String {
    let mut out = String::new();
    for byte in bytes.iter().copied() {
        let char = byte as char;
        if byte.is_ascii_alphanumeric() || "_.-~".contains(char) || safe.contains(char) {
            out.push(char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Returns a percent-encoded text with its hexadecimal digits in lower case.
pub(super) fn lowered(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut left = 0;
    for char in text.chars() {
        out.push(if left > 0 {
            char.to_ascii_lowercase()
        } else {
            char
        });
        left = if char == '%' { 2 } else { left.max(1) - 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_spelled_as_others_write_it() {
        assert_eq!(spellings("abc123"), ["abc123"]);
        let spelled = spellings("a'b\"c&/é 😀");
        for one in [
            "a'b\"c&/é 😀",
            "a\\'b\"c&/é 😀",
            "a'b\\\"c&/é 😀",
            "a'b\\\"c&/\\u00e9 \\ud83d\\ude00",
            "a'b\\\\\\\"c&/\\\\u00e9 \\\\ud83d\\\\ude00",
            "a\\'b\"c&/\\xe9 \\U0001f600",
            "a\\'b\"c&/\\xc3\\xa9 \\xf0\\x9f\\x98\\x80",
            "a&#x27;b&quot;c&amp;/é 😀",
            "a&#39;b&quot;c&amp;/é 😀",
            "a'b\"c&amp;/é 😀",
            "a%27b%22c%26/%C3%A9%20%F0%9F%98%80",
            "a%27b%22c%26%2f%c3%a9+%f0%9f%98%80",
            "a'b%22c%26%2F%C3%A9%20%F0%9F%98%80",
            "a'b%22c&/%C3%A9%20%F0%9F%98%80",
        ] {
            assert!(
                spelled.iter().any(|text| text == one),
                "{one} in {spelled:?}"
            );
        }
        assert_eq!(spellings(&"a b".repeat(400)).len(), 5);
    }
}
