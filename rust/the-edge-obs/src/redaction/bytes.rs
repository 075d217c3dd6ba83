//! The spellings of a secret that is bytes and not text, such as a key: base64, hexadecimal digits, lists of numbers, escapes.

use super::chars::len;
use super::spellings::{json, json_ascii, lowered, percent, python_bytes, rust};
use super::taints::SHORTEST_TAINT;

const FEW: usize = 1_024; // bytes from which on a secret is remembered in fewer spellings
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns bytes as characters of Latin-1, each the character of its number.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Returns bytes that are not UTF-8 as others write them; some of the texts may be equal.
pub(super) fn spellings_of_bytes(bytes: &[u8]) -> Vec<String> {
    let plain = base64(bytes);
    let safe = plain.replace('+', "-").replace('/', "_");
    let hex = joined(bytes, "", |byte| format!("{byte:02x}"));
    let mut spelled = vec![hex.to_uppercase(), hex];
    for form in [plain, safe] {
        spelled.push(form.trim_end_matches('=').to_owned());
        spelled.push(form);
    }
    if bytes.len() > FEW {
        return spelled;
    }
    for between in [":", " ", ", "] {
        spelled.push(joined(bytes, between, |byte| format!("{byte:02x}")));
        spelled.push(joined(bytes, between, |byte| format!("{byte:02X}")));
    }
    // What `{:?}` and serde make of a list of bytes.
    for between in [", ", ","] {
        spelled.push(joined(bytes, between, |byte| byte.to_string()));
    }
    let percent = percent(bytes, "");
    spelled.extend([lowered(&percent), percent]);
    spelled.extend([python_bytes(bytes), bytes.escape_ascii().to_string()]);
    let lossy = String::from_utf8_lossy(bytes);
    let is_telling = len(&lossy.replace(char::REPLACEMENT_CHARACTER, "")) >= SHORTEST_TAINT;
    let texts = [Some(latin1(bytes)), is_telling.then(|| lossy.into())];
    for text in texts.into_iter().flatten() {
        spelled.extend([rust(&text), json(&text), json_ascii(&text), text]);
    }
    spelled
}

fn joined(bytes: &[u8], between: &str, write: impl Fn(&u8) -> String) -> String {
    let written: Vec<String> = bytes.iter().map(write).collect();
    written.join(between)
}

/// Returns bytes as base64 (RFC 4648), padded.
fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            out.push(if at > three.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn bytes_are_spelled_as_others_write_them() {
        let spelled = spellings_of_bytes(b"k\xfb\xff'\n\x00");
        for one in [
            "a/v/JwoA",
            "a_v_JwoA",
            "6bfbff270a00",
            "6BFBFF270A00",
            "6b:fb:ff:27:0a:00",
            "6b fb ff 27 0a 00",
            "107, 251, 255, 39, 10, 0",
            "107,251,255,39,10,0",
            "k%FB%FF%27%0A%00",
            "k%fb%ff%27%0a%00",
            "k\\xfb\\xff'\\n\\x00",
            "k\\xfb\\xff\\'\\n\\x00",
            "kûÿ'\n\0",
            "kûÿ'\\n\\u0000",
            "k\\u00fb\\u00ff'\\n\\u0000",
            "k\u{fffd}\u{fffd}'\\n\\u0000",
        ] {
            assert!(
                spelled.iter().any(|text| text == one),
                "{one:?} in {spelled:?}"
            );
        }
        // Nothing but replacement characters says nothing of the secret.
        assert!(!spellings_of_bytes(&[0xff; 8]).contains(&"\u{fffd}".repeat(8)));
        assert_eq!(spellings_of_bytes(&[0xff; 2_000]).len(), 6);
    }

    proptest! {
        #[test]
        fn base64_says_each_bit(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = base64(&bytes);
            let digits = text.trim_end_matches('=');
            let value = |digit: u8| DIGITS.iter().position(|one| *one == digit).unwrap();
            let bits: String = digits.bytes().map(|digit| format!("{:06b}", value(digit))).collect();
            let expected: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
            prop_assert_eq!(text.len() % 4, 0);
            prop_assert_eq!(&bits[..expected.len()], expected);
        }
    }
}
