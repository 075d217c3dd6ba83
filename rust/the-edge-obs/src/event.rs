//! The event: its keys and their order, its levels and types, and what it means for spans and flows.
//!
//! An event is one line of a log: a JSON object with the keys of [`KEYS`], in that order. `docs/event-schema.md` of the project
//! describes each key. [`problems`] checks the rules.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::ids::is_uuid;
use crate::value::Snap;

/// The version of the event schema, which the entry event of each flow's root span names.
pub const SCHEMA_VERSION: i64 = 1;

/// The keys of an event, in their order. Only the last, `step`, may be missing.
pub const KEYS: [&str; 11] = [
    "flow_id",
    "span_id",
    "parent_id",
    "node",
    "level",
    "timestamp",
    "event_type",
    "message",
    "data",
    "metrics",
    "step",
];

/// The node of a flow's own span.
pub const ROOT_NODE: &str = "flow";

/// The most bytes of UTF-8 in a line that is written, without its newline.
pub const MAX_EVENT_BYTES: usize = 65_536;

/// The most bytes of a line that readers accept, without its newline. Other writers of the format may have larger events.
pub const MAX_LINE_BYTES: usize = 16 * MAX_EVENT_BYTES;

/// The metrics that must be numbers of at least 0.
pub const CHECKED_METRICS: [&str; 5] = [
    "duration_ms",
    "tokens",
    "input_tokens",
    "output_tokens",
    "cost_usd",
];

/// The level of an event. Levels are ordered: `Debug` is the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
}

impl Level {
    /// All levels, the lowest first.
    pub const ALL: [Level; 4] = [Level::Debug, Level::Info, Level::Warn, Level::Error];

    /// Returns the name that stands in an event.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["debug", "info", "warn", "error"][self as usize]
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = Error;

    /// Reads a level's name in any case; `warning` is `warn`.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.to_lowercase().as_str() {
            "debug" => Ok(Level::Debug),
            "info" => Ok(Level::Info),
            "warn" | "warning" => Ok(Level::Warn),
            "error" => Ok(Level::Error),
            _ => Err(Error::Level(text.to_owned())),
        }
    }
}

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A span has started.
    Entry,
    /// A span has ended without an error.
    Exit,
    /// A span has failed, in place of its exit; or an error that was logged by hand.
    Error,
    /// Numbers from inside a span.
    Metric,
    /// A message from inside a span.
    Log,
}

impl EventType {
    /// All types, in the order of the schema.
    pub const ALL: [EventType; 5] = [
        EventType::Entry,
        EventType::Exit,
        EventType::Error,
        EventType::Metric,
        EventType::Log,
    ];

    /// Returns the name that stands in an event.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["entry", "exit", "error", "metric", "log"][self as usize]
    }

    /// Tells whether an event of this type ends a span.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, EventType::Exit | EventType::Error)
    }
}

/// The status of a flow or span.
///
/// Statuses are ordered by severity: `Ok`, `Unknown`, `Running`, `Cancelled`, `Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It ended without an error.
    Ok,
    /// None of the flow's roots is in the log, for example because their level filters them.
    Unknown,
    /// It has not ended, or its process died.
    Running,
    /// It was cancelled.
    Cancelled,
    /// It failed.
    Error,
}

impl Status {
    /// All statuses, by severity.
    pub const ALL: [Status; 5] = [
        Status::Ok,
        Status::Unknown,
        Status::Running,
        Status::Cancelled,
        Status::Error,
    ];

    /// Returns the name that stands in a flow log.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["ok", "unknown", "running", "cancelled", "error"][self as usize]
    }

    /// Returns the worst of some statuses; `Unknown` if there are none.
    #[must_use]
    pub fn worst(statuses: impl IntoIterator<Item = Status>) -> Status {
        statuses.into_iter().max().unwrap_or(Status::Unknown)
    }

    /// Returns the status of a span that an event ends; `None` for an event that ends none.
    #[must_use]
    pub fn of_end(event: &Snap) -> Option<Status> {
        match event.get("event_type")?.as_str()? {
            "exit" => Some(Status::Ok),
            "error" if is_failure(event) => Some(Status::Error),
            "error" => Some(Status::Cancelled),
            _ => None,
        }
    }
}

/// Tells whether an event is an error that is not a cancellation.
#[must_use]
pub fn is_failure(event: &Snap) -> bool {
    let is_error = event.get("event_type").and_then(Snap::as_str) == Some("error");
    let cancelled = event.get("data").and_then(|data| data.get("cancelled"));
    is_error && !cancelled.is_some_and(Snap::is_true)
}

/// Tells whether an entry or end says that its span was answered from a recording.
#[must_use]
pub fn is_answered(event: &Snap) -> bool {
    let answered = event.get("data").and_then(|data| data.get("answered"));
    answered == Some(&Snap::Bool(true))
        && event.get("event_type").and_then(Snap::as_str) != Some("metric")
}

/// The key of what a file holds of its run, in the data of the run's last event there: see [`is_totals`].
pub const TOTALS: &str = "totals";

/// Tells whether a value is the totals that a file's last event carries.
///
/// `bytes` are those before the line of that event, so that readers see whether the file still holds what was counted. The others are
/// counted with that event: `events`, the first and the last timestamp (`start`, `end`), `errors` where they arose, the first `error`
/// (`{type, message}` or null), `tokens` and `cost_usd` at the leaves.
#[must_use]
pub fn is_totals(value: &Snap) -> bool {
    let Snap::Map(pairs) = value else {
        return false;
    };
    let is_figure = |key: &str, is_count: bool| match value.get(key) {
        Some(Snap::Int(number)) => *number >= 0,
        Some(Snap::Float(number)) => {
            (0.0..=i64::MAX as f64).contains(number) && !(is_count && number.fract() != 0.0)
        }
        _ => false,
    };
    pairs.len() == 8
        && ["bytes", "events", "errors"]
            .iter()
            .all(|key| is_figure(key, true))
        && ["start", "end", "tokens", "cost_usd"]
            .iter()
            .all(|key| is_figure(key, false))
        && value
            .get("error")
            .is_some_and(|error| *error == Snap::Null || is_named(error))
}

/// Returns an event without totals, which are about the file that it was read from, and not about the run.
#[must_use]
pub fn without_totals(mut event: Snap) -> Snap {
    let has_them = |event: &Snap| {
        let text = |key: &str| event.get(key).and_then(Snap::as_str);
        let is_end = matches!(text("event_type"), Some("exit" | "error"));
        let node = text("node").unwrap_or_default();
        is_end
            && root_rank(node, text("parent_id").is_some()) > 0
            && event
                .get("data")
                .and_then(|data| data.get(TOTALS))
                .is_some_and(is_totals)
    };
    if has_them(&event) {
        if let Snap::Map(pairs) = &mut event {
            if let Some((_, Snap::Map(data))) = pairs.iter_mut().find(|(key, _)| &**key == "data") {
                let kept = std::mem::take(data).into_vec().into_iter();
                *data = kept.filter(|(key, _)| &**key != TOTALS).collect();
            }
        }
    }
    event
}

/// Returns the name of a run, by the entry of its root.
#[must_use]
pub fn name_of_root(event: &Snap) -> &str {
    let name = event.get("data").and_then(|data| data.get("name"));
    let name = name.and_then(Snap::as_str);
    name.or_else(|| event.get("node").and_then(Snap::as_str))
        .unwrap_or_default()
}

/// Returns the time of an event, Unix seconds; 0 for one without, as in a normalised log.
pub fn timestamp(event: &Snap) -> f64 {
    let time = event.get("timestamp").and_then(number);
    time.unwrap_or_default() + 0.0 // never -0.0, which is sorted apart
}

/// Returns a finite number as the nearest float; one that is too large is infinite.
pub(crate) fn number(value: &Snap) -> Option<f64> {
    match value {
        Snap::Int(number) => Some(*number as f64),
        Snap::Big(digits) => digits.parse().ok(),
        Snap::Float(number) => number.is_finite().then_some(*number),
        _ => None,
    }
}

/// Returns how likely a span whose parent is not in the log is a root. The roots of a flow are its spans of the highest rank.
///
/// 3 is a flow without a parent, 2 another span without a parent, 1 a flow that continues one of another process. 0 is any other
/// span: its parent is lost.
#[must_use]
pub fn root_rank(node: &str, has_parent: bool) -> u8 {
    match (node == ROOT_NODE, has_parent) {
        (true, false) => 3,
        (false, false) => 2,
        (true, true) => 1,
        (false, true) => 0,
    }
}

/// Checks an event against the schema.
///
/// # Errors
///
/// [`Error::Event`], with every problem.
pub fn validate(event: &Snap) -> Result<(), Error> {
    let found = problems(event);
    if found.is_empty() {
        Ok(())
    } else {
        Err(Error::Event(found))
    }
}

/// Returns the problems of an event by the rules of the schema, one line each; an empty list for a valid event.
///
/// ```
/// use the_edge_obs::event::problems;
/// use the_edge_obs::value::from_json;
///
/// let event = from_json(r#"{"flow_id":"9f0df4a5-a646-4772-b822-7adce460ed24","span_id":"9f0df4a5-a646-4772-8dd3-775755bcb13e",
///     "parent_id":null,"node":"rank","level":"fatal","timestamp":1.5,"event_type":"log","message":null,"data":{},"metrics":{}}"#);
/// assert_eq!(problems(&event.unwrap()), ["level is \"fatal\"; it must be one of debug, info, warn, error"]);
/// ```
#[must_use]
pub fn problems(event: &Snap) -> Vec<String> {
    let Snap::Map(pairs) = event else {
        return vec![format!("an event is an object, not {}", kind_of(event))];
    };
    let mut found: Vec<String> = KEYS[..KEYS.len() - 1]
        .iter()
        .filter(|key| event.get(key).is_none())
        .map(|key| format!("key {key:?} is missing"))
        .collect();
    for (key, value) in pairs {
        match wanted(key, value) {
            Wanted::Unknown => found.push(format!(
                "unknown key {key:?}; it must be one of {}",
                KEYS.join(", ")
            )),
            Wanted::Other(what) => {
                found.push(format!("{key} is {}; it must be {what}", short(value)));
            }
            Wanted::Holds => {}
        }
    }
    if let Some(Snap::Map(metrics)) = event.get("metrics") {
        found.extend(
            metrics
                .iter()
                .filter_map(|(key, value)| metric_problem(key, value)),
        );
    }
    if let Some(data @ Snap::Map(_)) = event.get("data") {
        let kind = event.get("event_type").and_then(Snap::as_str).unwrap_or("");
        let node = event.get("node").and_then(Snap::as_str).unwrap_or("");
        data_problems(data, kind, node, &mut found);
    }
    found
}

enum Wanted {
    Holds,
    Unknown,
    Other(&'static str),
}

fn wanted(key: &str, value: &Snap) -> Wanted {
    let text = value.as_str();
    let (holds, what) = match key {
        "flow_id" | "span_id" => (text.is_some_and(is_uuid), "a UUID string"),
        "parent_id" => (
            *value == Snap::Null || text.is_some_and(is_uuid),
            "a UUID string or null",
        ),
        "node" => (
            text.is_some_and(|text| !text.is_empty()),
            "a string that is not empty",
        ),
        "level" => (
            text.is_some_and(|text| Level::ALL.iter().any(|level| level.name() == text)),
            "one of debug, info, warn, error",
        ),
        "timestamp" => (is_number_from_zero(value), "Unix seconds"),
        "event_type" => (
            text.is_some_and(|text| EventType::ALL.iter().any(|kind| kind.name() == text)),
            "one of entry, exit, error, metric, log",
        ),
        "message" => (*value == Snap::Null || text.is_some(), "a string or null"),
        "data" | "metrics" => (matches!(value, Snap::Map(_)), "an object"),
        "step" => (text.is_some(), "a string"),
        _ => return Wanted::Unknown,
    };
    if holds {
        Wanted::Holds
    } else {
        Wanted::Other(what)
    }
}

/// Tells whether a value is a finite number.
pub(crate) fn is_number(value: &Snap) -> bool {
    match value {
        Snap::Int(_) | Snap::Big(_) => true,
        Snap::Float(number) => number.is_finite(),
        _ => false,
    }
}

fn is_number_from_zero(value: &Snap) -> bool {
    match value {
        Snap::Int(number) => *number >= 0,
        Snap::Big(digits) => !digits.starts_with('-'),
        Snap::Float(number) => number.is_finite() && *number >= 0.0,
        _ => false,
    }
}

fn metric_problem(key: &str, value: &Snap) -> Option<String> {
    let (holds, what) = if CHECKED_METRICS.contains(&key) {
        (is_number_from_zero(value), "a number of at least 0")
    } else {
        (*value == Snap::Null || is_number(value), "a number or null")
    };
    (!holds).then(|| format!("metrics.{key} is {}; it must be {what}", short(value)))
}

/// The keys of `data.error` that have a meaning.
pub(crate) const ERROR_KEYS: [&str; 7] = [
    "type",
    "message",
    "traceback",
    "where",
    "notes",
    "cause",
    "errors",
];

/// Tells whether a value is valid as `data.error`: null, or `{type, message}` of strings.
///
/// Further keys are allowed: `traceback` and `where` (strings), `notes` (a list of strings), `cause` (`{type, message}`) and
/// `errors` (a list of these).
#[must_use]
pub fn is_error_data(error: &Snap) -> bool {
    if *error == Snap::Null {
        return true;
    }
    let all = |key: &str, holds: fn(&Snap) -> bool| match error.get(key) {
        None => true,
        Some(Snap::List(items)) => items.iter().all(holds),
        Some(_) => false,
    };
    let is_text = |key: &str| error.get(key).is_none_or(|text| text.as_str().is_some());
    is_named(error)
        && is_text("traceback")
        && is_text("where")
        && all("notes", |note| note.as_str().is_some())
        && all("errors", is_named)
        && error.get("cause").is_none_or(is_named)
}

fn is_named(error: &Snap) -> bool {
    ["type", "message"]
        .iter()
        .all(|key| error.get(key).and_then(Snap::as_str).is_some())
}

fn data_problems(data: &Snap, kind: &str, node: &str, found: &mut Vec<String>) {
    if let Some(error) = data.get("error").filter(|error| !is_error_data(error)) {
        found.push(format!(
            "data.error is {}; it must be null or {{type, message}} of strings",
            short(error)
        ));
    }
    let is_root = kind == "entry" && node == ROOT_NODE;
    let mut check = |key: &str, applies: bool, holds: &dyn Fn(&Snap) -> bool, what: &str| {
        if let Some(value) = data.get(key).filter(|value| applies && !holds(value)) {
            found.push(format!("data.{key} is {}; it must be {what}", short(value)));
        }
    };
    let is_text = |value: Option<&Snap>| value.and_then(Snap::as_str).is_some();
    let is_text_or_null = |value: Option<&Snap>| value == Some(&Snap::Null) || is_text(value);
    let is_paths = |value: &Snap| matches!(value, Snap::List(paths) if paths.iter().all(|path| path.as_str().is_some()));
    check("cut", true, &is_paths, "a list of paths");
    let is_span = matches!(kind, "entry" | "exit");
    check(
        "answered",
        is_span,
        &|value| matches!(value, Snap::Bool(_)),
        "true or false",
    );
    let is_resource = |value: &Snap| {
        let has_pid = match value.get("pid") {
            Some(Snap::Int(_) | Snap::Big(_)) => true,
            Some(Snap::Float(pid)) => pid.fract() == 0.0,
            _ => false,
        };
        value.as_str().is_some()
            || (is_text(value.get("host")) && has_pid && is_text(value.get("service")))
    };
    check("resource", is_root, &is_resource, "{host, pid, service}");
    let is_flow = |value: &Snap| {
        let known = is_text_or_null(value.get("path")) && is_text_or_null(value.get("sha256"));
        value.as_str().is_some() || known
    };
    check("flow", is_root, &is_flow, "{path, sha256}");
    let is_id = |value: Option<&Snap>| value.and_then(Snap::as_str).is_some_and(is_uuid);
    let is_outer = |value: &Snap| {
        value.as_str().is_some() || (is_id(value.get("flow_id")) && is_id(value.get("span_id")))
    };
    check(
        "outer",
        is_root,
        &is_outer,
        "{flow_id, span_id} of UUID strings",
    );
    let is_last = matches!(kind, "exit" | "error") && node == ROOT_NODE;
    check(
        TOTALS,
        is_last,
        &|value| value.as_str().is_some() || is_totals(value),
        "{bytes, events, start, end, errors, error, tokens, cost_usd}",
    );
    check(
        "replay_of",
        is_root,
        &|value| is_id(Some(value)),
        "a UUID string",
    );
}

fn kind_of(value: &Snap) -> &'static str {
    match value {
        Snap::Null => "null",
        Snap::Bool(_) => "a boolean",
        Snap::Int(_) | Snap::Big(_) | Snap::Float(_) => "a number",
        Snap::Str(_) | Snap::Mark(_) => "a string",
        Snap::List(_) => "a list",
        Snap::Map(_) => "an object",
    }
}

/// Returns a value as JSON of at most 60 characters.
pub(crate) fn short(value: &Snap) -> String {
    let text = value.to_json();
    match text.char_indices().nth(60) {
        None => text,
        Some(_) => text.chars().take(57).chain("...".chars()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_json;

    const VALID: &str = r#"{"flow_id":"9f0df4a5-a646-4772-b822-7adce460ed24","span_id":"9f0df4a5-a646-4772-8dd3-775755bcb13e","parent_id":null,"node":"flow","level":"info","timestamp":1795363054.861892,"event_type":"entry","message":null,"data":{},"metrics":{}}"#;

    fn with(old: &str, new: &str) -> Vec<String> {
        assert!(VALID.contains(old));
        problems(&from_json(&VALID.replace(old, new)).unwrap())
    }

    #[test]
    fn a_valid_event_has_no_problems() {
        assert!(validate(&from_json(VALID).unwrap()).is_ok());
        for data in [
            r#"{"error":null,"cut":["a"],"answered":true}"#,
            r#"{"error":{"type":"E","message":"m","where":"f","notes":["n"],"cause":{"type":"E","message":""},"errors":[]}}"#,
            r#"{"resource":{"host":"h","pid":1.0,"service":"s"},"flow":{"path":null,"sha256":"x"}}"#,
            r#"{"outer":{"flow_id":"9f0df4a5-a646-4772-b822-7adce460ed24","span_id":"9f0df4a5-a646-4772-b822-7adce460ed24"}}"#,
        ] {
            let found = with("\"data\":{}", &format!("\"data\":{data}"));
            assert_eq!(found, [""; 0], "{data}");
        }
    }

    #[test]
    fn each_rule_that_is_broken_gives_one_line() {
        let cases = [
            ("\"node\":\"flow\",", "", "key \"node\" is missing"),
            ("\"metrics\"", "\"x\":1,\"metrics\"", "unknown key \"x\"; it must be one of flow_id, span_id, parent_id, node, level, timestamp, event_type, message, data, metrics, step"),
            ("\"9f0df4a5-a646-4772-b", "\"9F0df4a5-a646-4772-b", "flow_id is \"9F0df4a5-a646-4772-b822-7adce460ed24\"; it must be a UUID string"),
            ("\"parent_id\":null", "\"parent_id\":1", "parent_id is 1; it must be a UUID string or null"),
            ("\"flow\"", "\"\"", "node is \"\"; it must be a string that is not empty"),
            ("\"entry\"", "\"start\"", "event_type is \"start\"; it must be one of entry, exit, error, metric, log"),
            ("1795363054.861892", "-1", "timestamp is -1; it must be Unix seconds"),
            ("\"message\":null", "\"message\":1", "message is 1; it must be a string or null"),
            ("\"data\":{}", "\"data\":[]", "data is []; it must be an object"),
            ("\"metrics\":{}", "\"metrics\":{\"tokens\":-1}", "metrics.tokens is -1; it must be a number of at least 0"),
            ("\"metrics\":{}", "\"metrics\":{\"x\":true}", "metrics.x is true; it must be a number or null"),
            ("\"data\":{}", "\"data\":{\"error\":\"e\"}", "data.error is \"e\"; it must be null or {type, message} of strings"),
            ("\"data\":{}", "\"data\":{\"cut\":[1]}", "data.cut is [1]; it must be a list of paths"),
            ("\"data\":{}", "\"data\":{\"answered\":1}", "data.answered is 1; it must be true or false"),
            ("\"data\":{}", "\"data\":{\"resource\":{\"host\":\"h\"}}", "data.resource is {\"host\":\"h\"}; it must be {host, pid, service}"),
            ("\"data\":{}", "\"data\":{\"replay_of\":\"x\"}", "data.replay_of is \"x\"; it must be a UUID string"),
        ];
        for (old, new, line) in cases {
            assert_eq!(with(old, new), [line]);
        }
        assert_eq!(problems(&Snap::Null), ["an event is an object, not null"]);
        let long = with("\"data\":{}", &format!("\"data\":\"{}\"", "é".repeat(70)));
        assert_eq!(
            long,
            [format!(
                "data is \"{}...; it must be an object",
                "é".repeat(56)
            )]
        );
    }

    #[test]
    fn rules_of_the_root_apply_to_the_root_alone() {
        let data = "\"data\":{\"replay_of\":1,\"answered\":1}";
        let other = VALID
            .replace("\"data\":{}", data)
            .replace("\"entry\"", "\"log\"");
        assert!(problems(&from_json(&other).unwrap()).is_empty());
    }

    #[test]
    fn levels_are_read_in_any_case() {
        for level in Level::ALL {
            assert_eq!(level.name().to_uppercase().parse(), Ok(level));
        }
        assert_eq!("Warning".parse(), Ok(Level::Warn));
        let error = "fatal".parse::<Level>().unwrap_err();
        assert_eq!(error.name(), "LevelError");
        assert_eq!(
            error.to_string(),
            "unknown level \"fatal\"; it must be one of debug, info, warn, error"
        );
    }

    #[test]
    fn the_end_of_a_span_tells_its_status() {
        let end = |kind: &str, data: &str| {
            let event = VALID
                .replace("\"entry\"", kind)
                .replace("\"data\":{}", data);
            Status::of_end(&from_json(&event).unwrap())
        };
        assert_eq!(end("\"exit\"", "\"data\":{}"), Some(Status::Ok));
        assert_eq!(end("\"error\"", "\"data\":{}"), Some(Status::Error));
        let cancelled = end("\"error\"", "\"data\":{\"cancelled\":true}");
        assert_eq!(cancelled, Some(Status::Cancelled));
        assert_eq!(end("\"metric\"", "\"data\":{}"), None);
    }

    #[test]
    fn what_is_answered_and_what_a_run_is_called_is_in_the_data() {
        let event = |kind: &str, data: &str| {
            let event = VALID.replace("\"entry\"", kind).replace("{}", data);
            from_json(&event).unwrap()
        };
        let answered = r#"{"answered":true}"#;
        assert!(is_answered(&event("\"exit\"", answered)));
        assert!(!is_answered(&event("\"metric\"", answered)));
        assert!(!is_answered(&event("\"exit\"", r#"{"answered":1}"#)));
        assert_eq!(
            name_of_root(&event("\"entry\"", r#"{"name":"triage"}"#)),
            "triage"
        );
        assert_eq!(name_of_root(&event("\"entry\"", r#"{"name":7}"#)), "flow");
    }

    #[test]
    fn the_worst_status_counts() {
        let all = [
            Status::Ok,
            Status::Cancelled,
            Status::Running,
            Status::Error,
        ];
        assert_eq!(Status::worst(all), Status::Error);
        assert_eq!(Status::worst(all[..3].iter().copied()), Status::Cancelled);
        assert_eq!(
            Status::worst([Status::Ok, Status::Unknown]),
            Status::Unknown
        );
        assert_eq!(Status::worst([]), Status::Unknown);
    }

    #[test]
    fn roots_are_ranked() {
        let ranks = [("flow", false), ("a", false), ("flow", true), ("a", true)];
        assert_eq!(
            ranks.map(|(node, has_parent)| root_rank(node, has_parent)),
            [3, 2, 1, 0]
        );
    }
}
