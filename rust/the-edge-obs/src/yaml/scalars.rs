//! Scalars: what a text is by itself or by its tag, by the rules of YAML 1.1 as PyYAML has them.

use super::numbers::{float, integer};
use super::times::{has_shape, iso, NotATime};
use super::{YamlValue, MAX_NUMBER};
use crate::value::Snap;

/// What a scalar is, beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Str,
    /// `true`, `yes`, `on` and their opposites.
    Bool,
    /// A floating-point number.
    Float,
    /// An integer.
    Int,
    /// `<<`: the pairs of the value stand here.
    Merge,
    /// `null`, `~` or nothing.
    Null,
    /// A date or a time.
    Time,
    /// `=`, which YAML 1.1 reserves.
    Default,
}

/// Returns what a plain scalar is.
pub(super) fn kind_of(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "<<" => return Kind::Merge,
        "=" => return Kind::Default,
        _ => {}
    }
    if truth(text).is_some() && is_one_case(text) {
        return Kind::Bool;
    }
    let starts_number =
        text.starts_with(|char: char| char.is_ascii_digit() || "+-.".contains(char));
    if !starts_number {
        return Kind::Str;
    }
    if is_float(text) {
        Kind::Float
    } else if is_integer(text) {
        Kind::Int
    } else if has_shape(text) {
        Kind::Time
    } else {
        Kind::Str
    }
}

/// Returns the kind that a tag gives to a scalar; `None` for a tag that is not one of scalars.
pub(super) fn kind_of_tag(name: &str) -> Option<Kind> {
    Some(match name {
        "str" => Kind::Str,
        "bool" => Kind::Bool,
        "float" => Kind::Float,
        "int" => Kind::Int,
        "merge" => Kind::Merge,
        "null" => Kind::Null,
        "timestamp" => Kind::Time,
        _ => return None,
    })
}

/// Returns the value of a scalar of a kind.
///
/// # Errors
///
/// If the text is not of the kind; the error says what is wrong.
pub(super) fn value_of(kind: Kind, text: &str) -> Result<YamlValue, String> {
    if kind != Kind::Str && text.len() > MAX_NUMBER && text.chars().count() > MAX_NUMBER {
        let (head, length): (String, usize) =
            (text.chars().take(20).collect(), text.chars().count());
        return Err(format!(
            "'{head}'... is a number or date of {length} characters; put it in quotes to make it a string"
        ));
    }
    let value = match kind {
        Kind::Str => Some(text.into()),
        Kind::Null => Some(Snap::Null),
        Kind::Bool => truth(&text.to_lowercase()).map(Snap::Bool),
        Kind::Int => integer(&text.replace('_', "")),
        Kind::Float => return float_of(text),
        Kind::Time => return time_of(text),
        Kind::Merge => {
            return Err("'<<' is not a value; it merges a mapping where it is a key; put it in quotes to make it a string".to_owned())
        }
        Kind::Default => {
            return Err("'=' is reserved in YAML; put it in quotes to make it a string".to_owned())
        }
    };
    let name = match kind {
        Kind::Bool => "true or false",
        _ => "an integer",
    };
    value
        .map(YamlValue::Scalar)
        .ok_or_else(|| invalid(text, &format!("it is not {name}")))
}

fn float_of(text: &str) -> Result<YamlValue, String> {
    let lower = text.replace('_', "").to_lowercase();
    let number = float(&lower).ok_or_else(|| invalid(text, "it is not a number"))?;
    if number.is_infinite() && !lower.contains("inf") {
        return Err(format!(
            "'{text}' is too large for a number; put it in quotes to make it a string"
        ));
    }
    Ok(YamlValue::Scalar(Snap::Float(number)))
}

fn time_of(text: &str) -> Result<YamlValue, String> {
    match iso(text) {
        Ok(text) => Ok(YamlValue::Time(text.into())),
        Err(NotATime::Shape) => Err(invalid(text, "it is not a date or a time")),
        Err(NotATime::Range(reason)) => Err(invalid(text, reason)),
    }
}

fn invalid(text: &str, reason: &str) -> String {
    format!("'{text}' is not a valid value: {reason}; put it in quotes to make it a string")
}

fn truth(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "yes" | "true" | "on" => Some(true),
        "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// Tells whether a word is in lowercase, in uppercase, or has one capital at its beginning.
fn is_one_case(word: &str) -> bool {
    let is_lower = |byte: u8| byte.is_ascii_lowercase();
    let rest = &word.as_bytes()[1..];
    rest.iter().all(|byte| is_lower(*byte)) || word.bytes().all(|byte| !is_lower(byte))
}

// --- the shapes of numbers -----------------------------------------------------------------------------------------------

/// Splits off the longest head whose characters are all of a set.
fn head(text: &str, set: impl Fn(u8) -> bool) -> (&str, &str) {
    let count = text.bytes().take_while(|byte| set(*byte)).count();
    text.split_at(count)
}

fn is_digit_or_bar(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

/// Tells whether a text is digits and bars, beginning with a digit of a set.
fn is_digits(text: &str, first: &[u8]) -> bool {
    text.bytes()
        .next()
        .is_some_and(|byte| first.contains(&byte))
        && text.bytes().all(is_digit_or_bar)
}

const DIGITS: &[u8] = b"0123456789";

fn is_float(text: &str) -> bool {
    let bare = unsigned(text);
    if matches!(bare, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(rest) = text.strip_prefix('.') {
        let (digits, rest) = head(rest, is_digit_or_bar);
        return is_digits(digits, DIGITS) && is_exponent(rest);
    }
    let Some((whole, rest)) = bare.split_once('.') else {
        return false;
    };
    let (_, rest) = head(rest, is_digit_or_bar);
    (is_digits(whole, DIGITS) && is_exponent(rest))
        || (rest.is_empty() && is_sexagesimal(whole, DIGITS))
}

/// Tells whether a text is an exponent with its sign, which YAML 1.1 demands, or nothing.
fn is_exponent(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['e', 'E']) else {
        return text.is_empty();
    };
    let digits = rest.strip_prefix(['-', '+']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_sexagesimal(text: &str, first: &[u8]) -> bool {
    let Some((whole, rest)) = text.split_once(':') else {
        return false;
    };
    let is_sixtieth = |part: &str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [b'0'..=b'5', digit] => digit.is_ascii_digit(),
        _ => false,
    };
    is_digits(whole, first) && rest.split(':').all(is_sixtieth)
}

fn is_integer(text: &str) -> bool {
    let bare = unsigned(text);
    let is_all = |digits: &str, set: &dyn Fn(u8) -> bool| {
        !digits.is_empty() && digits.bytes().all(|byte| byte == b'_' || set(byte))
    };
    if let Some(digits) = bare.strip_prefix("0b") {
        return is_all(digits, &|byte| matches!(byte, b'0' | b'1'));
    }
    if let Some(digits) = bare.strip_prefix("0x") {
        return is_all(digits, &|byte| byte.is_ascii_hexdigit());
    }
    if let Some(digits) = bare.strip_prefix('0') {
        return digits.is_empty() || is_all(digits, &|byte| matches!(byte, b'0'..=b'7'));
    }
    is_digits(bare, &DIGITS[1..]) || is_sexagesimal(bare, &DIGITS[1..])
}
