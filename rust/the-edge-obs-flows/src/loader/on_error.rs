//! Read `on_error`: what happens after a node's failure.

use the_edge_obs::yaml::Yaml;
use the_edge_obs::Snap;

use super::checks::{self, Names};
use super::source::Read;
use super::spot::Spot;
use crate::closest::allowed_for;
use crate::model::{Mode, OnError};
use crate::python::{quoted, repr};

const KEYS: [&str; 8] = [
    "mode",
    "max_retries",
    "delay",
    "retry_delay",
    "backoff",
    "backoff_multiplier",
    "fallback",
    "retryable_errors",
];
const RETRIES_BY_DEFAULT: u64 = 3;

/// Reads an `on_error` block; `retry_delay` and `backoff_multiplier` are other names of `delay` and `backoff`.
///
/// An unknown key or mode, a value out of range, and a setting that does not apply to the mode are noted. The names are the nodes
/// that a fallback can name; none inside nested steps.
///
/// # Errors
///
/// It is not a mapping, or two spellings of one key are used.
pub(crate) fn read(spot: &Spot<'_>, value: &Yaml, names: &Names) -> Read<OnError> {
    let fields = checks::mapping(spot, Some(value))?;
    checks::refuse_unknown(spot, &fields, &KEYS)?;
    let field = |key| checks::field(&fields, key);
    let mode = read_mode(spot, field("mode"))?;
    let delay = checks::one_of(spot, &fields, ["delay", "retry_delay"])?.unwrap_or("delay");
    let backoff = checks::one_of(spot, &fields, ["backoff", "backoff_multiplier"])?;
    let backoff = backoff.unwrap_or("backoff");
    for key in ["max_retries", delay, backoff, "retryable_errors"] {
        if let Some(mode) = mode.filter(|mode| *mode != Mode::Retry && field(key).is_some()) {
            spot.at(key).note(format!(
                "{} applies to mode: retry only, not to {}",
                quoted(key),
                quoted(mode.name())
            ))?;
        }
    }
    let mode = mode.unwrap_or(Mode::Raise);
    let mut rule = OnError {
        mode,
        ..OnError::default()
    };
    if mode == Mode::Retry {
        rule.max_retries = RETRIES_BY_DEFAULT;
    }
    if let Some(value) = field("max_retries") {
        let read = checks::whole_number(&spot.key("max_retries"), value, 0);
        rule.max_retries = spot.attempt(read)?.unwrap_or_default();
    }
    if let Some(value) = field(delay) {
        let place = spot.at(delay).called(spot.text("delay (seconds)"));
        rule.delay = spot
            .attempt(checks::number(&place, value, 0.0))?
            .unwrap_or_default();
    }
    if let Some(value) = field(backoff) {
        let place = spot.at(backoff).called(spot.text("backoff"));
        rule.backoff = spot
            .attempt(checks::number(&place, value, 1.0))?
            .unwrap_or(1.0);
    }
    let fallback = read_fallback(
        &spot.key("fallback"),
        checks::given(&fields, "fallback"),
        mode,
        names,
    );
    rule.fallback = spot.attempt(fallback)?.flatten();
    let retryable = read_retryable(&spot.key("retryable_errors"), field("retryable_errors"));
    rule.retryable = spot.attempt(retryable)?.flatten();
    Ok(rule)
}

/// Returns the mode; `None` for an unknown one, which is noted.
fn read_mode(spot: &Spot<'_>, value: Option<&Yaml>) -> Read<Option<Mode>> {
    let Some(value) = value else {
        return Ok(Some(Mode::Raise));
    };
    let name = value.as_str().unwrap_or_default();
    if let Some((_, mode)) = Mode::ALL.into_iter().find(|(known, _)| *known == name) {
        return Ok(Some(mode));
    }
    let given = repr(&value.to_snap());
    let end = allowed_for(
        &Mode::ALL.map(|(name, _)| name),
        value.as_str().unwrap_or(&given),
    );
    spot.at("mode")
        .note(format!("unknown mode {given}; {end}"))?;
    Ok(None)
}

fn read_fallback(
    spot: &Spot<'_>,
    name: Option<&Yaml>,
    mode: Mode,
    names: &Names,
) -> Read<Option<Box<str>>> {
    if name.is_none() {
        return Ok(None);
    }
    if names.is_empty() {
        return Err(spot.error(
            "only top-level nodes can have a fallback; nested steps run one after the other",
        ));
    }
    if mode == Mode::Raise {
        return Err(spot.error("a fallback needs mode: retry or mode: graceful, not 'raise'"));
    }
    Ok(Some(checks::target(spot, name, names)?.into()))
}

fn read_retryable(spot: &Spot<'_>, value: Option<&Yaml>) -> Read<Option<Box<[Box<str>]>>> {
    if value.map(Yaml::to_snap).unwrap_or(Snap::Null) == Snap::Null {
        return Ok(None);
    }
    let items = checks::listing(spot, value)?;
    let names: Read<Box<[Box<str>]>> = items
        .iter()
        .enumerate()
        .map(|(index, name)| Ok(checks::text(&spot.item(index), name)?.into()))
        .collect();
    names.map(Some)
}
