//! Numbers as Python's `int` and `float` make them from the texts that YAML allows.

use crate::value::Snap;

/// Returns the integer of a text that has no underscores; `None` if it is not one.
pub(super) fn integer(text: &str) -> Option<Snap> {
    let (sign, digits) = signed(text);
    let magnitude = if let Some(digits) = digits.strip_prefix("0b") {
        decimal(based(digits, 2)?, 2, &[])
    } else if let Some(digits) = digits.strip_prefix("0x") {
        decimal(based(digits, 16)?, 16, &[])
    } else if digits.len() > 1 && digits.starts_with('0') {
        // As Python's int("0o17", 8).
        let digits = digits.strip_prefix("0o").unwrap_or(digits);
        decimal(based(digits, 8)?, 8, &[])
    } else {
        let mut parts = digits.split(':');
        let first = based(parts.next()?, 10)?;
        let rest: Option<Vec<u32>> = parts.map(two_digits).collect();
        decimal(first, 10, &rest?)
    };
    let is_negative = sign == '-' && magnitude != "0";
    let text = if is_negative {
        format!("-{magnitude}")
    } else {
        magnitude
    };
    Some(match text.parse() {
        Ok(number) => Snap::Int(number),
        Err(_) => Snap::Big(text.into()),
    })
}

/// Returns the floating-point number of a text in lowercase that has no underscores; `None` if it is not one.
pub(super) fn float(text: &str) -> Option<f64> {
    let (sign, digits) = signed(text);
    let magnitude = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => return Some(f64::NAN),
        _ => {
            let mut sum = 0.0;
            let mut base: u128 = 1;
            for part in digits.rsplit(':') {
                // Rust reads "inf" and "nan" as numbers, as Python does.
                let value: f64 = part.trim().parse().ok()?;
                sum += value * base as f64;
                base = base.saturating_mul(60);
            }
            sum
        }
    };
    Some(if sign == '-' { -magnitude } else { magnitude })
}

fn signed(text: &str) -> (char, &str) {
    match text.chars().next() {
        Some(sign @ ('-' | '+')) => (sign, &text[1..]),
        _ => ('+', text),
    }
}

fn based(digits: &str, base: u32) -> Option<Vec<u32>> {
    if digits.is_empty() {
        return None;
    }
    digits.chars().map(|digit| digit.to_digit(base)).collect()
}

fn two_digits(part: &str) -> Option<u32> {
    let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| part.parse().ok()).flatten()
}

/// Returns in decimal digits the number that has these digits in a base, followed by digits in base 60.
fn decimal(digits: Vec<u32>, base: u32, sixtieths: &[u32]) -> String {
    let mut limbs: Vec<u32> = vec![0]; // base 1,000,000,000, the lowest first
    let digits = digits.into_iter().map(|digit| (base, digit));
    for (base, digit) in digits.chain(sixtieths.iter().map(|digit| (60, *digit))) {
        let mut carry = u64::from(digit);
        for limb in &mut limbs {
            let sum = u64::from(*limb) * u64::from(base) + carry;
            *limb = (sum % 1_000_000_000) as u32;
            carry = sum / 1_000_000_000;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    }
    let mut limbs = limbs.iter().rev();
    let first = limbs.next().map(u32::to_string).unwrap_or_default();
    limbs.fold(first, |text, limb| format!("{text}{limb:09}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_base_have_any_size() {
        let cases = [
            ("0", "0"),
            ("-0", "0"),
            ("010", "8"),
            ("-0x1f", "-31"),
            ("+0b11", "3"),
            ("1:30", "90"),
            ("-1:0:0", "-3600"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808", "9223372036854775808"),
            ("0xffffffffffffffffff", "4722366482869645213695"),
            ("99999999999999999999:59", "5999999999999999999999"),
        ];
        for (text, expected) in cases {
            let shown = match integer(text).unwrap() {
                Snap::Int(number) => number.to_string(),
                Snap::Big(digits) => digits.into(),
                _ => panic!(),
            };
            assert_eq!(shown, expected, "{text}");
        }
        for text in ["", "-", "0x", "08", "1:", "1:a", "1:300", "--1"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn floats_may_be_sexagesimal() {
        assert_eq!(float("190:20:30.15"), Some(685_230.15));
        assert_eq!(float("-.inf"), Some(f64::NEG_INFINITY));
        assert!(float(".nan").unwrap().is_nan());
        assert_eq!(float("1.0e-2"), Some(0.01));
        assert_eq!(float("x"), None);
    }
}
