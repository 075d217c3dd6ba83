//! The values of filters.

use super::number_text;
use crate::error::Error;
use crate::event::{short, EventType, Level};
use crate::globs::Glob;
use crate::value::Snap;

pub(super) fn unknown(what: &str, given: &str, known: String) -> Error {
    Error::Query(format!(
        "unknown {what} {}; allowed: {known}",
        short(&given.into())
    ))
}

pub(super) fn strings<'v>(name: &str, value: &'v Snap) -> Result<Vec<&'v str>, Error> {
    let items = match value {
        Snap::List(items) => items,
        one => std::slice::from_ref(one),
    };
    let text = |item: &'v Snap| {
        item.as_str().ok_or_else(|| {
            let given = short(item);
            Error::Query(format!(
                "{name} {given} is not a string; allowed: a string or a list of strings"
            ))
        })
    };
    items.iter().map(text).collect()
}

pub(super) fn globs(name: &str, value: &Snap) -> Result<Vec<Glob>, Error> {
    Ok(strings(name, value)?.into_iter().map(Glob::new).collect())
}

/// Reads a level's name, or its number in Python's `logging`: one between two levels is the lower one.
pub(super) fn level(name: &'static str, value: &Snap) -> Result<Level, Error> {
    let level = match value {
        Snap::Int(number) => Some(match number {
            40.. => Level::Error,
            30.. => Level::Warn,
            20.. => Level::Info,
            _ => Level::Debug,
        }),
        Snap::Big(digits) if digits.starts_with('-') => Some(Level::Debug),
        Snap::Big(_) => Some(Level::Error),
        other => other.as_str().and_then(|text| text.parse().ok()),
    };
    level.ok_or_else(|| Error::FilterLevel(name, short(value)))
}

pub(super) fn event_types(name: &str, value: &Snap) -> Result<Vec<EventType>, Error> {
    let kind = |text: &str| {
        let found = EventType::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| unknown(name, text, EventType::ALL.map(EventType::name).join(", ")))
    };
    strings(name, value)?.into_iter().map(kind).collect()
}

pub(super) fn needle(name: &str, value: &Snap) -> Result<String, Error> {
    match value {
        Snap::Str(text) | Snap::Mark(text) => Ok(text.to_lowercase()),
        Snap::Int(_) | Snap::Big(_) | Snap::Float(_) => Ok(number_text(value).to_lowercase()),
        other => Err(Error::Query(format!(
            "{name} {} is not a string; allowed: a string or a number",
            short(other)
        ))),
    }
}

pub(super) fn count(name: &str, value: &Snap) -> Result<usize, Error> {
    let found = match value {
        Snap::Int(number) => usize::try_from(*number).ok(),
        Snap::Big(digits) if !digits.starts_with('-') => Some(usize::MAX),
        _ => None,
    };
    found.ok_or_else(|| {
        Error::Query(format!(
            "{name} {} is not a whole number of at least 0",
            short(value)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_levels_as_in_python() {
        for (number, wanted) in [
            (0, Level::Debug),
            (25, Level::Info),
            (30, Level::Warn),
            (50, Level::Error),
        ] {
            assert_eq!(level("level", &Snap::Int(number)).unwrap(), wanted);
        }
    }
}
