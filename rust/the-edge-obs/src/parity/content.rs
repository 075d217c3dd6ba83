//! The content of a normalised event: rules N6 to N11 of `docs/parity.md`.

use super::names::Names;
use crate::event::{KEYS, ROOT_NODE};
use crate::value::{Key, Snap};

type Pairs = Box<[(Key, Snap)]>;

const TIMES: [&str; 2] = ["duration_ms", "time_to_first_chunk_ms"];
/// Keys of a root's entry that differ from run to run.
const OF_ONE_RUN: [&str; 5] = ["runtime", "resource", "flow", "outer", "replay_of"];
/// Places in the code that ran.
const PLACES: [&str; 2] = ["traceback", "where"];
/// What an error has from the exceptions of a language.
const OF_LANGUAGES: [&str; 3] = ["cause", "errors", "notes"];

/// The types of errors whose words come from the runtime: rule F2.
pub const OWN_ERRORS: [&str; 14] = [
    "ActionError",
    "ConfigurationError",
    "DurationError",
    "EventError",
    "ExportError",
    "FlowFileError",
    "FlowNotFoundError",
    "FlowRunError",
    "LevelError",
    "LogFileError",
    "MissingExtraError",
    "NotRecordedError",
    "ObservabilityError",
    "QueryError",
];

/// Normalises an event, or any value inside one: an object that has all that an event has is treated as one, at any depth.
pub(super) fn normalise(value: &mut Snap, names: &Names) {
    match value {
        Snap::Str(text) | Snap::Mark(text) => {
            if let Some(named) = names.of(text) {
                *text = named.into();
            }
        }
        Snap::List(items) => {
            for item in items {
                normalise(item, names);
            }
        }
        Snap::Map(pairs) => {
            for (_, item) in &mut *pairs {
                normalise(item, names);
            }
            if is_event(pairs) {
                forget(pairs);
            }
        }
        _ => {}
    }
}

fn is_event(pairs: &Pairs) -> bool {
    let is_map = |key: &str| matches!(get(pairs, key), Some(Snap::Map(_)));
    let required = &KEYS[..KEYS.len() - 1];
    pairs.len() >= required.len()
        && is_map("data")
        && is_map("metrics")
        && required.iter().all(|key| get(pairs, key).is_some())
}

/// Takes out of an event what two runs, or two runtimes, do not share.
fn forget(event: &mut Pairs) {
    let is = |key: &str, text: &str| get(event, key).and_then(Snap::as_str) == Some(text);
    let is_entry = is("event_type", "entry");
    let (is_root, is_log) = (is("node", ROOT_NODE), is("event_type", "log"));
    set_null(event, &["timestamp"]);
    if let Some(Snap::Map(metrics)) = get_mut(event, "metrics") {
        set_null(metrics, &TIMES);
    }
    if let Some(Snap::Map(data)) = get_mut(event, "data") {
        if is_entry && is_root {
            set_null(data, &OF_ONE_RUN);
        }
        if let (true, true, Some(Snap::Map(inner))) = (is_log, is_root, get_mut(data, "inner")) {
            set_null(inner, &["flow_id", "span_id"]);
        }
    }
    forget_words(event);
}

/// Takes out of an event's error the places in the code; of an error that this package made, also its words.
fn forget_words(event: &mut Pairs) {
    let Some(error @ Snap::Map(_)) = get(event, "data").and_then(|data| data.get("error")) else {
        return;
    };
    let kind = error.get("type").and_then(Snap::as_str);
    let is_own = kind.is_some_and(|kind| OWN_ERRORS.contains(&kind));
    let is_error = get(event, "event_type").and_then(Snap::as_str) == Some("error");
    let message = error.get("message").unwrap_or(&Snap::Null);
    let is_repeated = is_own && is_error && get(event, "message") == Some(message);
    if is_repeated {
        set_null(event, &["message"]);
    }
    let Some(Snap::Map(data)) = get_mut(event, "data") else {
        return;
    };
    if let Some(Snap::Map(error)) = get_mut(data, "error") {
        remove(error, &PLACES);
        if is_own {
            remove(error, &OF_LANGUAGES);
            set(error, "message", Snap::Null);
        }
    }
    forget_paths(data, is_own, is_repeated);
}

/// Takes out of `cut` the paths of what was removed, and those of its parts.
fn forget_paths(data: &mut Pairs, is_own: bool, is_repeated: bool) {
    let is_forgotten = |path: &str| {
        let (key, is_inside) = match path.strip_prefix("error.") {
            Some(inside) => (inside, true),
            None => (path, false),
        };
        let name = key.split(['.', '[']).next().unwrap_or(key);
        let is_word = name == "message" || OF_LANGUAGES.contains(&name);
        match is_inside {
            true => PLACES.contains(&name) || (is_own && is_word),
            false => is_repeated && name == "message",
        }
    };
    let Some(Snap::List(paths)) = get_mut(data, "cut") else {
        return;
    };
    let kept = std::mem::take(paths).into_vec().into_iter();
    *paths = kept
        .filter(|path| !path.as_str().is_some_and(is_forgotten))
        .collect();
    if paths.is_empty() {
        remove(data, &["cut"]);
    }
}

// --- objects ----------------------------------------------------------------------------------------------------------

fn get<'p>(pairs: &'p Pairs, key: &str) -> Option<&'p Snap> {
    let mut pairs = pairs.iter();
    pairs.find_map(|(name, value)| (&**name == key).then_some(value))
}

fn get_mut<'p>(pairs: &'p mut Pairs, key: &str) -> Option<&'p mut Snap> {
    let mut pairs = pairs.iter_mut();
    pairs.find_map(|(name, value)| (&**name == key).then_some(value))
}

/// Sets the keys to null that are there.
fn set_null(pairs: &mut Pairs, keys: &[&str]) {
    for (key, value) in pairs {
        if keys.contains(&&**key) {
            *value = Snap::Null;
        }
    }
}

fn set(pairs: &mut Pairs, key: &str, value: Snap) {
    match get_mut(pairs, key) {
        Some(known) => *known = value,
        None => {
            let mut all = std::mem::take(pairs).into_vec();
            all.push((key.into(), value));
            *pairs = all.into();
        }
    }
}

fn remove(pairs: &mut Pairs, keys: &[&str]) {
    if pairs.iter().any(|(key, _)| keys.contains(&&**key)) {
        let all = std::mem::take(pairs).into_vec().into_iter();
        *pairs = all.filter(|(key, _)| !keys.contains(&&**key)).collect();
    }
}
