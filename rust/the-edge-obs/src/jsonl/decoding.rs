//! The event of a line, as readers take it.

use crate::event::{is_error_data, number, problems, without_totals, Level};
use crate::value::{from_json_of_others, Snap, MAX_DEPTH, MAX_INT};

/// Problems of one line, and characters of one problem, that are told.
const MOST_PROBLEMS: usize = 16;
const LONGEST_PROBLEM: usize = 500;

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes)
        .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to() + 1))
}

/// Returns the value of a line as readers take it: strict JSON, but for keys that stand twice and halves of surrogate pairs.
///
/// # Errors
///
/// What is wrong, in one line.
///
/// ```
/// use the_edge_obs::jsonl::decoded;
///
/// assert_eq!(decoded(br#"{"a": 1, "a": "\ud800"}"#).unwrap().to_json(), "{\"a\":\"\u{fffd}\"}");
/// assert!(decoded(b"[NaN]").is_err());
/// ```
pub fn decoded(line: &[u8]) -> Result<Snap, String> {
    tolerant(utf8(line)?, MAX_DEPTH)
}

pub(super) fn tolerant(text: &str, depth: usize) -> Result<Snap, String> {
    let read = from_json_of_others(text, depth);
    let read = match read {
        // Few texts have half of a pair, so it is looked for only then.
        Err(error) => mended(text).map_or(Err(error), |text| from_json_of_others(&text, depth)),
        read => read,
    };
    read.map_err(|error| error.to_string())
}

/// Returns a JSON text in which escapes for half of a surrogate pair stand for U+FFFD; `None` if there is none.
fn mended(text: &str) -> Option<String> {
    let code = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let (mut out, mut done, mut at) = (String::new(), 0, 0);
    while let Some(length) = text[at..].find('\\') {
        at += length;
        at += match (code(at), code(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str(&text[done..at]);
                out.push_str("\\ufffd");
                done = at + 6;
                6
            }
            // A backslash, and the character that it escapes.
            _ => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    out.push_str(&text[done..]);
    (done > 0).then_some(out)
}

/// Returns the event of a line as readers take it, without the totals of its file.
///
/// # Errors
///
/// Why the line is not an event, in one line.
pub fn parsed(line: &[u8]) -> Result<Snap, String> {
    let event = decoded(line).map_err(|problem| format!("not valid JSON ({problem})"))?;
    let has = |key: &&str| event.get(key).is_some();
    if !["flow_id", "span_id", "event_type", "timestamp"]
        .iter()
        .all(has)
    {
        return Err("not an event".to_owned());
    }
    if is_readable(&event) {
        return Ok(without_totals(event));
    }
    let found = listed(&problems(&event));
    Err(found.unwrap_or_else(|| "its timestamp or a metric is out of range".to_owned()))
}

/// Returns problems as one line of limited length, for the keys and values of other writers can be of any length; `None` without one.
pub(crate) fn listed(problems: &[String]) -> Option<String> {
    let shown: Vec<String> = problems
        .iter()
        .take(MOST_PROBLEMS)
        .map(|text| shortened(text))
        .collect();
    let rest = problems.len() - shown.len();
    let more = if rest > 0 {
        format!("; and {rest} more")
    } else {
        String::new()
    };
    (!shown.is_empty()).then(|| shown.join("; ") + &more)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_PROBLEM) {
        None => text.to_owned(),
        Some(_) => text
            .chars()
            .take(LONGEST_PROBLEM - 3)
            .chain("...".chars())
            .collect(),
    }
}

/// Tells whether an event has the types that readers rely on: a subset of the rules of [`problems`].
#[must_use]
pub fn is_readable(event: &Snap) -> bool {
    let is_text = |key: &str| event.get(key).is_some_and(|value| value.as_str().is_some());
    let is_text_or_null = |key: &str| matches!(event.get(key), Some(Snap::Null)) || is_text(key);
    let level = event.get("level").and_then(Snap::as_str);
    let Some((data @ Snap::Map(_), Snap::Map(metrics))) =
        event.get("data").zip(event.get("metrics"))
    else {
        return false;
    };
    ["flow_id", "span_id", "node", "event_type"]
        .into_iter()
        .all(is_text)
        && ["parent_id", "message"].into_iter().all(is_text_or_null)
        && (event.get("step").is_none() || is_text("step"))
        && Level::ALL.iter().any(|one| level == Some(one.name()))
        && event.get("timestamp").is_some_and(is_time)
        && metrics.iter().all(|(_, value)| is_metric(value))
        && data.get("error").is_none_or(is_error_data)
}

fn is_time(value: &Snap) -> bool {
    let is_small = !matches!(value, Snap::Big(_));
    is_small && number(value).is_some_and(|seconds| (0.0..=MAX_INT as f64).contains(&seconds))
}

/// An integer beyond the range breaks calculations.
fn is_metric(value: &Snap) -> bool {
    matches!(value, Snap::Float(_) | Snap::Null)
        || matches!(value, Snap::Int(number) if *number > i64::MIN)
}
