//! The errors in the answers of models, in the many forms that endpoints give them.

use the_edge_obs::redaction::{redact, KeyClasses};
use the_edge_obs::Snap;

use super::transport::TransportError;
use crate::actions::support::spaced;
use crate::python::{is_true, repr};

/// How many characters of an endpoint's message an error shows.
const SHOWN: usize = 500;
/// How many characters of it are searched for secrets.
const READ: usize = 65_536;
const ERROR_KEYS: [&str; 5] = ["error", "message", "detail", "msg", "errors"];
/// Errors with a name but no number, and the status that each stands for.
const NAMED: [(&str, u16); 9] = [
    ("authentication_error", 401),
    ("invalid_api_key", 401),
    ("permission_error", 403),
    ("rate_limit_error", 429),
    ("rate_limit_exceeded", 429),
    ("rate_limited", 429),
    ("server_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];
/// Returns the kind of failure that a status stands for.
pub(super) fn kind_of(status: Option<u16>, otherwise: &'static str) -> &'static str {
    match status {
        Some(401 | 403) => "authentication",
        Some(429) => "rate_limit",
        _ => otherwise,
    }
}

/// Returns an endpoint's message for an error text: its first 500 characters, without secrets.
pub(super) fn shown(said: &Snap, key: Option<&str>) -> String {
    let text: String = message(said).chars().take(READ).collect();
    without(&text, key).trim().chars().take(SHOWN).collect()
}

/// Returns a text without secrets, and without the key that was sent.
pub(super) fn without(text: &str, key: Option<&str>) -> String {
    let text = match key {
        Some(key) => text.replace(key, "[REDACTED]"),
        None => text.to_owned(),
    };
    redact(&text, KeyClasses::built_in())
}

fn message(said: &Snap) -> String {
    let mut said = said;
    loop {
        let inner = match said {
            Snap::List(items) => match &items[..] {
                [one] if one.get("error").is_some_and(is_true) => Some(one),
                _ => None,
            },
            Snap::Map(_) => ERROR_KEYS
                .iter()
                .find_map(|key| said.get(key).filter(|value| is_true(value))),
            other => return other.as_str().map_or_else(|| repr(other), str::to_owned),
        };
        match inner {
            Some(inner) => said = inner,
            None => return spaced(said),
        }
    }
}

/// Returns the error in an answer, a chunk or an error's body, with the status that it stands for.
fn error_in(answer: &Snap) -> Option<(Snap, Option<u16>)> {
    let answer = match answer {
        // Gemini's endpoint wraps its error in a list.
        Snap::List(items) if items.len() == 1 => &items[0],
        other => other,
    };
    let is = |key: &str| answer.get(key).and_then(Snap::as_str) == Some("error");
    let error = answer.get("error").filter(|error| is_true(error));
    if error.is_some() || is("object") || is("type") {
        return Some((
            answer.clone(),
            status_in(&[answer.get("error"), Some(answer)]),
        ));
    }
    for choice in choices(answer) {
        let error = choice.get("error").filter(|error| is_true(error));
        let is_error = choice.get("finish_reason").and_then(Snap::as_str) == Some("error");
        if error.is_some() || is_error {
            let said = error
                .cloned()
                .unwrap_or("its finish_reason is 'error'".into());
            let status = status_in(&[Some(&said)]);
            return Some((said, status));
        }
    }
    let tells = |key: &str| matches!(answer.get(key), Some(Snap::Str(_) | Snap::List(_)));
    let has_choices = answer.get("choices").is_some_and(is_true);
    if !has_choices
        && ["detail", "message", "msg", "errors"]
            .iter()
            .any(|key| tells(key))
    {
        return Some((answer.clone(), status_in(&[Some(answer)])));
    }
    None
}

/// Returns the choices of an answer that are objects.
pub(super) fn choices(answer: &Snap) -> impl Iterator<Item = &Snap> {
    let items: &[Snap] = match answer.get("choices") {
        Some(Snap::List(items)) => items,
        _ => &[],
    };
    items.iter().filter(|choice| matches!(choice, Snap::Map(_)))
}

fn status_in(objects: &[Option<&Snap>]) -> Option<u16> {
    let keys = ["code", "status", "type"];
    let codes: Vec<&Snap> = objects
        .iter()
        .flatten()
        .flat_map(|object| keys.iter().filter_map(|key| object.get(key)))
        .filter(|code| is_true(code))
        .collect();
    let numbers = codes.iter().filter_map(|code| match code {
        Snap::Int(number) => u16::try_from(*number).ok(),
        Snap::Str(text) => text.parse().ok(),
        _ => None,
    });
    let number = numbers
        .into_iter()
        .find(|number| (400..600).contains(number));
    let named = |code: &&Snap| {
        let found = NAMED.iter().find(|(name, _)| code.as_str() == Some(*name));
        found.map(|(_, status)| *status)
    };
    number.or_else(|| codes.iter().find_map(named))
}

/// Refuses an answer that reports a failed call; the event type `error` makes any chunk one.
///
/// # Errors
///
/// It does.
pub(super) fn check(answer: &Snap, is_error: bool) -> Result<(), TransportError> {
    let found = error_in(answer).or_else(|| is_error.then(|| (answer.clone(), None)));
    let Some((said, status)) = found else {
        return Ok(());
    };
    let told = format!(
        "the endpoint answered with an error: {}",
        shown(&said, None)
    );
    let mut error = TransportError::new(told, kind_of(status, "api_error"));
    error.status = status;
    Err(error)
}
