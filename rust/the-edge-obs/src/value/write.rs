//! Writes JSON as Python's `json.dumps` does.

use super::{integer_text, Snap};

/// What JSON is appended to: a text, or the bytes of one, where digits need not prove that they are a text.
pub(crate) trait Out {
    fn push_str(&mut self, text: &str);

    /// Appends a character of ASCII.
    fn push_one(&mut self, char: u8);

    /// Appends characters of ASCII.
    fn push_ascii(&mut self, text: &[u8]);

    fn bytes(&self) -> &[u8];
}

impl Out for String {
    fn push_str(&mut self, text: &str) {
        self.push_str(text);
    }

    fn push_one(&mut self, char: u8) {
        self.push(char.into());
    }

    fn push_ascii(&mut self, text: &[u8]) {
        self.push_str(std::str::from_utf8(text).unwrap_or_default());
    }

    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Out for Vec<u8> {
    #[inline]
    fn push_str(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }

    #[inline]
    fn push_one(&mut self, char: u8) {
        self.push(char);
    }

    #[inline]
    fn push_ascii(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

pub(super) fn value(value: &Snap, out: &mut impl Out) {
    match value {
        Snap::Null => out.push_str("null"),
        Snap::Bool(true) => out.push_str("true"),
        Snap::Bool(false) => out.push_str("false"),
        Snap::Int(i64::MIN) => string(&i64::MIN.to_string(), out),
        Snap::Int(number) => {
            if *number < 0 {
                out.push_one(b'-');
            }
            whole(number.unsigned_abs(), out);
        }
        Snap::Float(number) => float(*number, out),
        Snap::Big(digits) => string(&integer_text(digits), out),
        Snap::Str(text) | Snap::Mark(text) => string(text, out),
        Snap::List(items) => {
            out.push_one(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_one(b',');
                }
                self::value(item, out);
            }
            out.push_one(b']');
        }
        Snap::Map(pairs) => {
            out.push_one(b'{');
            for (at, (key, item)) in pairs.iter().enumerate() {
                if at > 0 {
                    out.push_one(b',');
                }
                string(key, out);
                out.push_one(b':');
                self::value(item, out);
            }
            out.push_one(b'}');
        }
    }
}

/// Appends a text in quotes. Only quotes, backslashes and control characters are escaped.
pub(crate) fn string(text: &str, out: &mut impl Out) {
    out.push_one(b'"');
    if has_escapes(text.as_bytes()) {
        escaped(text, out);
    } else {
        out.push_str(text);
    }
    out.push_one(b'"');
}

fn escaped(text: &str, out: &mut impl Out) {
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        if is_escaped(byte) == 0 {
            continue;
        }
        out.push_str(&text[done..at]);
        done = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            _ => out.push_str(&format!("\\u{byte:04x}")),
        }
    }
    out.push_str(&text[done..]);
}

/// Tells whether something is escaped, many bytes at a time.
#[inline]
fn has_escapes(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk::<16>() {
        let all = text.chunks_exact(16).filter_map(<[u8]>::first_chunk);
        return any_escaped(all.chain([last]));
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk()) {
        return any_escaped([first, last].into_iter());
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk()) {
        return any_escaped([first, last].into_iter());
    }
    text.iter().any(|byte| is_escaped(*byte) > 0)
}

/// The compiler makes vector instructions of it.
#[inline]
fn any_escaped<'t, const COUNT: usize>(parts: impl Iterator<Item = &'t [u8; COUNT]>) -> bool {
    let mut any = [0; COUNT];
    for part in parts {
        for (any, byte) in any.iter_mut().zip(part) {
            *any |= is_escaped(*byte);
        }
    }
    any != [0; COUNT]
}

/// Returns 0 if a byte is not escaped.
#[inline]
fn is_escaped(byte: u8) -> u8 {
    u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
}

/// Appends the shortest text that reads back as the same number: with an exponent below 1e-4 and from 1e16 on.
fn float(number: f64, out: &mut impl Out) {
    if !number.is_finite() {
        out.push_str(if number.is_nan() {
            "\"NaN\""
        } else if number > 0.0 {
            "\"Infinity\""
        } else {
            "\"-Infinity\""
        });
        return;
    }
    if millionths(number, out) {
        return;
    }
    let (digits, exponent) = shortest(number);
    let count = digits.len() as i32;
    if number.is_sign_negative() {
        out.push_one(b'-');
    }
    if (-4..16).contains(&exponent) {
        let whole = exponent + 1;
        if whole <= 0 {
            out.push_str("0.");
            out.push_str(&"0".repeat(-whole as usize));
            out.push_str(&digits);
        } else if whole >= count {
            out.push_str(&digits);
            out.push_str(&"0".repeat((whole - count) as usize));
            out.push_str(".0");
        } else {
            let (before, behind) = digits.split_at(whole as usize);
            out.push_str(before);
            out.push_one(b'.');
            out.push_str(behind);
        }
        return;
    }
    let (first, rest) = digits.split_at(1);
    out.push_str(first);
    if !rest.is_empty() {
        out.push_one(b'.');
        out.push_str(rest);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    out.push_str(&format!("e{sign}{:02}", exponent.abs()));
}

/// Appends a number that has at most six decimal places, such as a time; returns false for others.
///
/// Below 2^33, neighbouring numbers are less than a millionth apart: so of all texts with six places at most one reads back as the
/// number, and none with fewer does.
fn millionths(number: f64, out: &mut impl Out) -> bool {
    let size = number.abs();
    let count = (size * 1e6).round();
    if !(1e-4..8_589_934_592.0).contains(&size) || count / 1e6 != size {
        return false;
    }
    if number < 0.0 {
        out.push_one(b'-');
    }
    decimal(count as u64, out);
    true
}

/// Appends a number of millionths with its whole part, and as many decimal places as it needs, but one.
pub(crate) fn decimal(millionths: u64, out: &mut impl Out) {
    whole(millionths / 1_000_000, out);
    let mut text = *b".000000";
    let rest = (millionths % 1_000_000) as usize;
    for (place, pair) in [(1, rest / 10_000), (3, rest / 100 % 100), (5, rest % 100)] {
        text[place..place + 2].copy_from_slice(&PAIRS[pair]);
    }
    let mut end = text.len();
    while end > 2 && text[end - 1] == b'0' {
        end -= 1;
    }
    out.push_ascii(&text[..end]);
}

/// Appends a number.
fn whole(number: u64, out: &mut impl Out) {
    let mut text = [b'0'; 20];
    let (mut start, mut rest) = (text.len(), number);
    while rest >= 10 {
        start -= 2;
        text[start..start + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    // The first digit, unless it was that of a pair.
    if rest > 0 || number == 0 {
        start -= 1;
        text[start] = b'0' + rest as u8;
    }
    out.push_ascii(&text[start..]);
}

/// The digits of the numbers below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    pairs
};

/// Returns the fewest digits that read back as a number, and its decimal exponent: `(15, -1)` for 0.15.
///
/// Where two texts of so many digits are equally near, it is the one whose last digit is even. The standard library takes the
/// larger one: 841514206311829.25 is `841514206311829.2` here and in Python, and `841514206311829.3` there.
fn shortest(number: f64) -> (String, i32) {
    let text = format!("{:e}", number.abs());
    let count = text.split('e').next().map_or(1, str::len);
    let places = count.saturating_sub(2); // the first digit and the point
    let rounded = format!("{:.places$e}", number.abs());
    let is_same = rounded.parse() == Ok(number.abs());
    let text = if is_same { rounded } else { text };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = digits.chars().filter(|char| *char != '.').collect();
    (digits, exponent.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::Snap;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases: [(f64, &str); 17] = [
            (841_514_206_311_829.0 + 0.25, "841514206311829.2"),
            (-841_514_206_311_829.0 - 0.75, "-841514206311829.8"),
            (123.456, "123.456"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.5e16, "1.5e+16"),
            (1e-4, "0.0001"),
            (0.00012, "0.00012"),
            (1e-5, "1e-05"),
            (1.234e-7, "1.234e-07"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ];
        for (number, text) in cases {
            assert_eq!(Snap::Float(number).to_json(), text);
        }
    }

    #[test]
    fn times_are_written_as_the_fewest_digits_that_read_back() {
        for count in (0..20_000u64).map(|step| step * step * 4_294_967 % 8_589_934_592_000_000) {
            let number = count as f64 / 1e6;
            let (digits, exponent) = super::shortest(number);
            let text = Snap::Float(number).to_json();
            assert_eq!(text.parse(), Ok(number));
            if (1e-4..1e16).contains(&number) {
                let plain: String = text.chars().filter(|char| *char != '.').collect();
                let bare = plain.trim_start_matches('0').trim_end_matches('0');
                assert_eq!(bare, digits.trim_end_matches('0'), "{number} {exponent}");
            }
        }
    }

    #[test]
    fn each_escape_is_seen_wherever_it_stands() {
        for length in 1..40 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let is_escaped = byte < 0x20 || byte == b'"' || byte == b'\\';
                    assert_eq!(super::has_escapes(&text), is_escaped, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn texts_are_escaped_as_python_escapes_them() {
        let text = "\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}\u{2028}ß😀";
        assert_eq!(
            Snap::from(text).to_json(),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\u{2028}ß😀\""
        );
    }
}
