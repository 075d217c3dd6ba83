//! Filters of texts that Jinja2 has and the engine does not.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::{display, limits};

/// Shortens a text between words; `leeway` characters more than the length are let pass.
pub(super) fn truncate(
    value: &Value,
    length: Option<usize>,
    killwords: Option<bool>,
    end: Option<&str>,
    options: Kwargs,
) -> Result<Value, Error> {
    let length = match length {
        Some(length) => length,
        None => options.get::<Option<usize>>("length")?.unwrap_or(255),
    };
    let killwords = match killwords {
        Some(killwords) => killwords,
        None => options.get::<Option<bool>>("killwords")?.unwrap_or(false),
    };
    let end = match end {
        Some(end) => end,
        None => options.get::<Option<&str>>("end")?.unwrap_or("..."),
    };
    let leeway = options.get::<Option<usize>>("leeway")?.unwrap_or(5);
    options.assert_all_used()?;
    let text = value.as_str().ok_or_else(|| {
        limits::refuse(format!(
            "only a string can be truncated, not a {}",
            value.kind()
        ))
    })?;
    let ending = end.chars().count();
    if length < ending {
        return Err(limits::refuse(format!(
            "expected length >= {ending}, got {length}"
        )));
    }
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(value.clone());
    }
    let cut: String = text.chars().take(length - ending).collect();
    let kept = match cut.rsplit_once(' ') {
        Some((words, _)) if !killwords => words,
        _ => &cut,
    };
    limits::made(Value::from(format!("{kept}{end}")))
}

/// Encodes a text for a URL, or a mapping or pairs for its query.
pub(super) fn urlencode(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    limits::spend(limits::measured(value)?.saturating_mul(3))?;
    if !limits::is_container(value) {
        return quote(value, false);
    }
    let mut parts: Vec<String> = Vec::new();
    let mut add = |key: &Value, item: &Value| {
        parts.push(format!("{}={}", quote(key, true)?, quote(item, true)?));
        Ok::<(), Error>(())
    };
    if value.kind() == ValueKind::Map {
        for (key, item) in value
            .as_object()
            .and_then(super::values::pairs_of)
            .into_iter()
            .flatten()
        {
            add(&key, &item)?;
        }
    } else {
        limits::parts(value, |pair| {
            let pair: Vec<Value> = pair.try_iter()?.collect();
            match pair.as_slice() {
                [key, item] => add(key, item),
                other => Err(limits::refuse(format!(
                    "urlencode takes pairs of a name and a value, not {} values",
                    other.len()
                ))),
            }
        })?;
    }
    Ok(parts.join("&"))
}

/// Returns a value's text with each byte encoded that a URL, or a query, does not take as it is.
fn quote(value: &Value, is_query: bool) -> Result<String, Error> {
    let mut out = String::new();
    for byte in display::text(value)?.bytes() {
        match byte {
            b' ' if is_query => out.push('+'),
            b'/' if !is_query => out.push('/'),
            b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}
