//! Errors of configurations: each names the key, the value and what is allowed, on one line, without secrets.

use super::keys::KeyClasses;
use super::texts::redact;
use crate::error::Error;
use crate::value::{Key, Snap};

const LONGEST: usize = 200; // characters of a value in a message

/// Returns the error of a configuration. `place` is what is wrong, such as `observability.level`.
pub(crate) fn mistake(place: &str, problem: &str) -> Error {
    Error::Configuration {
        place: place.to_owned(),
        problem: redact(problem, KeyClasses::built_in()),
    }
}

/// Returns the error of a value: `place is value; wanted`.
pub(crate) fn wrong(place: &str, value: &Snap, wanted: &str) -> Error {
    mistake(place, &format!("{place} is {}; {wanted}", shown(value)))
}

/// Returns a value as a message shows it: a text in quotes, others as JSON, cut where they are long.
pub(crate) fn shown(value: &Snap) -> String {
    let text = match value {
        Snap::Str(text) | Snap::Mark(text) => format!("'{}'", text.escape_debug()),
        Snap::Float(number) if !number.is_finite() => number.to_string(),
        other => other.to_json(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Returns the end of a message: what is allowed.
pub(crate) fn allowed(choices: &[&str]) -> String {
    format!("allowed: {}", choices.join(", "))
}

/// Refuses a key of a mapping that is not known.
pub(crate) fn check_keys(place: &str, pairs: &[(Key, Snap)], known: &[&str]) -> Result<(), Error> {
    match pairs.iter().find(|(key, _)| !known.contains(&&**key)) {
        None => Ok(()),
        Some((key, _)) => {
            let key = key.escape_debug();
            let problem = format!("unknown key '{key}' in {place}; {}", allowed(known));
            Err(mistake(&format!("{place}.{key}"), &problem))
        }
    }
}

/// Returns the bool of a value.
pub(crate) fn flag(place: &str, value: &Snap) -> Result<bool, Error> {
    match value {
        Snap::Bool(flag) => Ok(*flag),
        other => Err(wrong(place, other, &allowed(&["true", "false"]))),
    }
}
