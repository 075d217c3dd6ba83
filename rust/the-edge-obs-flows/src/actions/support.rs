//! Shared parts of the builtin actions: the form of a soft failure, and checks of parameters.

use the_edge_obs::value::Key;
use the_edge_obs::Snap;

use crate::error::Failure;
use crate::python::{quoted, repr, type_name};

/// Returns a soft failure: a result that describes the failure, is logged as an error, and lets the flow continue.
pub(super) fn failure(error: &str, kind: &str, facts: Vec<(&str, Snap)>) -> Snap {
    let own = [
        ("success", Snap::Bool(false)),
        ("error", error.into()),
        ("error_type", kind.into()),
    ];
    Snap::map(own.into_iter().chain(facts))
}

/// Returns a parameter; `None` for a missing one, and for one that is null.
pub(super) fn param<'a>(params: &'a Snap, name: &str) -> Option<&'a Snap> {
    params.get(name).filter(|value| **value != Snap::Null)
}

fn wrong(action: &str, name: &str, value: &Snap, expected: &str) -> Failure {
    let value = repr(value);
    Failure::action(format!(
        "{action}: {name} is {value}; it must be {expected}"
    ))
}

/// Returns a parameter that must be a text that is not empty.
pub(super) fn text_of<'a>(action: &str, name: &str, value: &'a Snap) -> Result<&'a str, Failure> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| wrong(action, name, value, "a string that is not empty"))
}

/// Returns a parameter that must be a number of at least zero.
pub(super) fn not_negative(action: &str, name: &str, value: &Snap) -> Result<f64, Failure> {
    let number = match value {
        Snap::Int(number) => *number as f64,
        Snap::Float(number) => *number,
        _ => f64::NAN,
    };
    if (0.0..f64::INFINITY).contains(&number) {
        return Ok(number);
    }
    Err(wrong(action, name, value, "a number above 0"))
}

/// Returns a parameter that must be a number above zero.
pub(super) fn positive(action: &str, name: &str, value: &Snap) -> Result<f64, Failure> {
    match not_negative(action, name, value)? {
        0.0 => Err(wrong(action, name, value, "a number above 0")),
        number => Ok(number),
    }
}

/// Returns a parameter that must be a whole number above zero.
pub(super) fn count_of(action: &str, name: &str, value: &Snap) -> Result<u64, Failure> {
    let count = match value {
        Snap::Int(number) => u64::try_from(*number).ok(),
        Snap::Big(digits) if !digits.starts_with('-') => Some(u64::MAX),
        _ => None,
    };
    let count = count.filter(|count| *count > 0);
    count.ok_or_else(|| wrong(action, name, value, "a whole number above 0"))
}

/// Returns the pairs of a parameter that must be a mapping.
pub(super) fn mapping_of<'a>(
    action: &str,
    name: &str,
    value: &'a Snap,
) -> Result<&'a [(Key, Snap)], Failure> {
    match value {
        Snap::Map(pairs) => Ok(pairs),
        _ => Err(wrong(action, name, value, "a mapping of names to values")),
    }
}

/// Returns the failure of a required parameter that is missing.
pub(super) fn missing(action: &str, name: &str) -> Failure {
    Failure::action(format!("{action}: {name} is missing"))
}

/// Returns a parameter that must be true or false.
pub(super) fn flag_of(action: &str, name: &str, value: &Snap) -> Result<bool, Failure> {
    match value {
        Snap::Bool(flag) => Ok(*flag),
        _ => Err(wrong(action, name, value, "true or false")),
    }
}

/// Returns the failure of a parameter of another type than text.
pub(super) fn no_text(action: &str, name: &str, value: &Snap) -> Failure {
    let kind = type_name(value);
    Failure::action(format!(
        "{action}: {name} is of type {kind}; it must be a string; other data needs no parsing"
    ))
}

/// Returns the failure of a value that is none of those allowed.
pub(super) fn unknown(action: &str, name: &str, value: &Snap, allowed: &[&str]) -> Failure {
    let shown = value.as_str().map_or_else(|| repr(value), quoted);
    let end = crate::closest::allowed_for(allowed, value.as_str().unwrap_or_default());
    Failure::action(format!("{action}: unknown {name} {shown}; {end}"))
}

/// Returns a parameter as strict JSON (RFC 8259), as Python writes it: with blanks between the parts, and integers of any size.
#[cfg(any(feature = "http", feature = "jmespath", feature = "memory"))]
pub(super) fn json_of(action: &str, name: &str, value: &Snap) -> Result<String, Failure> {
    let mut out = String::new();
    if write_json(value, &mut out) {
        return Ok(out);
    }
    Err(Failure::action(format!(
        "{action}: {name} cannot be written as JSON (NaN and infinity are not JSON numbers); give strings, numbers, lists, mappings"
    )))
}

/// Returns a value as JSON with blanks between its parts. What JSON has no number for becomes a text.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) fn spaced(value: &Snap) -> String {
    let mut out = String::new();
    match write_json(value, &mut out) {
        true => out,
        false => value.to_json(),
    }
}

/// Appends a value as JSON; returns false for one that holds a number that JSON does not have.
#[cfg(any(
    feature = "cli",
    feature = "http",
    feature = "jmespath",
    feature = "memory"
))]
fn write_json(value: &Snap, out: &mut String) -> bool {
    match value {
        Snap::Int(number) => out.push_str(&number.to_string()),
        Snap::Big(digits) => out.push_str(digits),
        Snap::Float(number) if !number.is_finite() => return false,
        Snap::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                if !write_json(item, out) {
                    return false;
                }
            }
            out.push(']');
        }
        Snap::Map(pairs) => {
            out.push('{');
            for (at, (key, item)) in pairs.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                Snap::from(&**key).write_json(out);
                out.push_str(": ");
                if !write_json(item, out) {
                    return false;
                }
            }
            out.push('}');
        }
        other => other.write_json(out),
    }
    true
}
