//! Compact JSON, byte for byte as Python's `json` writes it with `ensure_ascii=False`.

use std::borrow::Cow;
use std::io::Write;

/// Bytes that are looked at together.
const CHUNK: usize = 32;

fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends a text in quotes.
pub fn string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let plain = plain_bytes(rest);
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if let Some((byte, after)) = rest.split_first() {
            escaped(*byte, out);
            rest = after;
        }
    }
    out.push(b'"');
}

/// Returns how many bytes at the beginning need no escape.
fn plain_bytes(bytes: &[u8]) -> usize {
    let mut count = 0;
    for chunk in bytes.chunks_exact(CHUNK) {
        // Without a branch for each byte, so that they are compared at once.
        if chunk
            .iter()
            .fold(false, |any, byte| any | is_escaped(*byte))
        {
            break;
        }
        count += CHUNK;
    }
    // Then eight at a time, the last of them with bytes that were looked at before.
    while let Some(eight) = bytes[count..].first_chunk() {
        let found = escaped_of(u64::from_le_bytes(*eight));
        if found != 0 {
            return count + first_of(found);
        }
        count += 8;
    }
    let rest = bytes.len() - count;
    if rest == 0 {
        return count;
    }
    let (start, found) = match bytes.last_chunk() {
        Some(eight) => (bytes.len() - 8, escaped_of(u64::from_le_bytes(*eight))),
        None => {
            let mut eight = [b' '; 8];
            eight[..rest].copy_from_slice(bytes);
            (0, escaped_of(u64::from_le_bytes(eight)))
        }
    };
    if found == 0 {
        bytes.len()
    } else {
        start + first_of(found)
    }
}

/// Returns a number whose lowest bit that is set is in the first of eight bytes that needs an escape; 0 if none does.
fn escaped_of(eight: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let below = |number: u64, limit: u64| number.wrapping_sub(ONES * limit) & !number;
    let is = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    (below(eight, 0x20) | is(b'"') | is(b'\\')) & (ONES << 7)
}

fn first_of(found: u64) -> usize {
    (found.trailing_zeros() / 8) as usize
}

fn escaped(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            // Writing into a vector cannot fail.
            let _ = write!(out, "\\u{byte:04x}");
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends an integer.
pub fn integer(number: i64, out: &mut Vec<u8>) {
    let _ = write!(out, "{number}");
}

/// Tells whether all encoders write a number alike: finite, and without an exponent.
pub fn is_plain_float(number: f64) -> bool {
    number == 0.0 || (1e-4..1e16).contains(&number.abs())
}

/// Appends a float that is a number of thousandths, as most are; returns whether it is one.
///
/// With so few digits, no shorter text is the same float, and no other one as short.
pub fn short_float(number: f64, out: &mut Vec<u8>) -> bool {
    let scaled = number * 1e3;
    let thousandths = scaled as i64;
    let is_short = thousandths.unsigned_abs() < 1_000_000_000_000_000
        && thousandths as f64 == scaled
        && thousandths as f64 / 1e3 == number
        && (thousandths != 0 || number.is_sign_positive());
    if is_short {
        fixed(thousandths, 3, out);
    }
    is_short
}

/// Appends a number of tenths, hundredths and so on as a number with a point, without zeros at the end.
pub fn fixed(number: i64, places: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 32];
    let point = digits.len() - 1 - places;
    let (mut rest, mut start) = (number.unsigned_abs(), digits.len());
    while rest > 0 || start >= point {
        start -= 1;
        if start == point {
            digits[start] = b'.';
        } else {
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    let zeros = digits[point + 2..]
        .iter()
        .rev()
        .take_while(|digit| **digit == b'0');
    let end = digits.len() - zeros.count();
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..end]);
}

/// Returns the texts in compact JSON that are not keys, with their escapes.
pub fn texts(json: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || loop {
        let bytes = json.as_bytes();
        while *bytes.get(at)? != b'"' {
            at += 1;
        }
        let start = at + 1;
        let mut end = start;
        loop {
            end += text_bytes(bytes.get(end..)?)?;
            if *bytes.get(end)? == b'"' {
                break;
            }
            end += 2; // a backslash and what it escapes
        }
        at = end + 1;
        if bytes.get(at) != Some(&b':') {
            return json.get(start..end);
        }
    })
}

/// Returns how many bytes of JSON within a text come before its end, or before an escape.
fn text_bytes(bytes: &[u8]) -> Option<usize> {
    // Most keys and many texts end at once: then to begin a search would take longer than the search.
    let few = bytes.get(..CHUNK).unwrap_or(bytes);
    let count = plain_bytes(few);
    if count < few.len() {
        return Some(count);
    }
    memchr::memchr2(b'"', b'\\', &bytes[count..]).map(|more| count + more)
}

/// Returns a text without the escapes that [`string`] wrote.
pub fn unescaped(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            plain.push(char);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('b') => plain.push('\u{8}'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                plain.extend(code.and_then(char::from_u32));
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain.into()
}
