//! Validates a log in one pass: the JSON of every line, strictly, and the event schema.
//!
//! It is the gate for logs of other writers, so it refuses what [readers](crate::jsonl) tolerate: a key that stands twice, half of a
//! surrogate pair, an integer that other runtimes cannot read.

use std::collections::HashSet;
use std::path::Path;

use crate::error::Error;
use crate::event::{problems, short, ROOT_NODE, SCHEMA_VERSION};
use crate::jsonl::{exported_logs, is_export, listed, open_lines, unreadable, utf8, Line};
use crate::value::{from_json_within, Key, Snap, MAX_DEPTH, MAX_INT};
use crate::whole_log::WholeLog;

/// An id for the check of a record that has none.
const ANY_ID: &str = "00000000-0000-0000-0000-000000000000";

/// What a line is.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A valid event.
    Valid(Snap),
    /// A valid record outside any run: a `log` event whose ids are null.
    Loose,
    /// Something else. The text says in one line what is wrong and what is allowed.
    Invalid(String),
}

/// One problem of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line of the file, from 1; in a `.json` export the position in its `events`, from 1.
    pub number: u64,
    /// What is wrong and what is allowed, in one line.
    pub problem: String,
}

/// The counts of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of lines that are valid events.
    pub events: u64,
    /// The number of lines that are not.
    pub invalid: u64,
    /// The number of records outside any run.
    pub loose: u64,
    /// The ids of the flows.
    pub flows: HashSet<String>,
}

impl Tally {
    fn count(&mut self, number: u64, verdict: Verdict, whole: Whole<'_>) -> Option<Finding> {
        match verdict {
            Verdict::Valid(event) => {
                self.events += 1;
                if let Some(whole) = whole {
                    whole.add(usize::try_from(number).unwrap_or(usize::MAX), &event);
                }
                let flow = event.get("flow_id").and_then(Snap::as_str);
                if let Some(flow) = flow.filter(|flow| !self.flows.contains(*flow)) {
                    self.flows.insert(flow.to_owned());
                }
                None
            }
            Verdict::Loose => {
                self.loose += 1;
                None
            }
            Verdict::Invalid(problem) => {
                self.invalid += 1;
                Some(Finding { number, problem })
            }
        }
    }
}

/// Checks a `.jsonl` log or a `.json` export, and tells `found` each problem, one per line. Blank lines are ignored.
///
/// Memory does not grow with a `.jsonl` file, but for the ids of its flows.
///
/// # Errors
///
/// [`Error::LogFile`]: the file does not exist or cannot be read, or a `.json` file is not an export.
pub fn check_log(path: &Path, found: impl FnMut(Finding)) -> Result<Tally, Error> {
    check(path, found, None)
}

/// Checks a log as [`check_log`] does, and also what only the [whole log](crate::whole_log) shows. Returns the counts, and the problems
/// by line.
///
/// # Errors
///
/// As [`check_log`].
pub fn check_whole(path: &Path) -> Result<(Tally, Vec<Finding>), Error> {
    let (mut whole, mut found) = (WholeLog::new(), Vec::new());
    let tally = check(path, |finding| found.push(finding), Some(&mut whole))?;
    found.extend(whole.faults().into_iter().map(|fault| Finding {
        number: fault.line as u64,
        problem: fault.problem,
    }));
    found.sort_by_key(|finding| finding.number);
    Ok((tally, found))
}

/// What collects the events of the whole log, if anything does.
type Whole<'w> = Option<&'w mut WholeLog>;

fn check(
    path: &Path,
    mut found: impl FnMut(Finding),
    mut whole: Whole<'_>,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    if is_export(path) {
        for log in exported_logs(path, strict)? {
            if let Some(Snap::List(events)) = log.get("events") {
                let verdicts = events.iter().map(|event| check_event(event.clone()));
                let findings = (1..).zip(verdicts).filter_map(|(number, verdict)| {
                    tally.count(number, verdict, whole.as_deref_mut())
                });
                findings.for_each(&mut found);
            }
        }
        return Ok(tally);
    }
    let mut lines = open_lines(path)?;
    while let Some(line) = lines
        .next_line()
        .map_err(|error| unreadable(path, &error))?
    {
        let verdict = match line.bytes {
            None => Verdict::Invalid(Line::too_long()),
            Some(bytes) => match check_line(bytes) {
                Verdict::Invalid(problem) if line.is_torn => Verdict::Invalid(format!(
                    "the line is cut off, as when a process is killed: {problem}"
                )),
                verdict => verdict,
            },
        };
        tally
            .count(line.number, verdict, whole.as_deref_mut())
            .into_iter()
            .for_each(&mut found);
    }
    Ok(tally)
}

/// Checks one line of a log, by itself.
///
/// ```
/// use the_edge_obs::validation::{check_line, Verdict};
///
/// let problem = "not valid JSON (RFC 8259): the key \"a\" stands twice in one object: line 1 column 10";
/// assert_eq!(check_line(br#"{"a": 1, "a": 2}"#), Verdict::Invalid(problem.to_owned()));
/// ```
#[must_use]
pub fn check_line(line: &[u8]) -> Verdict {
    let event = utf8(line).and_then(|text| strict(text, MAX_DEPTH));
    match event {
        Ok(event) => check_event(event),
        Err(problem) => Verdict::Invalid(format!("not valid JSON (RFC 8259): {problem}")),
    }
}

/// Checks an event that was read.
#[must_use]
pub fn check_event(event: Snap) -> Verdict {
    let found = match without_ids(&event) {
        Some(record) => problems(&record),
        None => match problems(&event) {
            found if found.is_empty() => root_problem(&event).into_iter().collect(),
            found => found,
        },
    };
    match listed(&found) {
        Some(problem) => Verdict::Invalid(problem),
        None if event.get("flow_id") == Some(&Snap::Null) => Verdict::Loose,
        None => Verdict::Valid(event),
    }
}

/// Returns a record that says that it happened outside any run, with ids in place of its nulls; `None` for an event.
fn without_ids(event: &Snap) -> Option<Snap> {
    let is_null = |key: &&str| event.get(key) == Some(&Snap::Null);
    let is_log = event.get("event_type").and_then(Snap::as_str) == Some("log");
    let is_loose = is_log && ["flow_id", "span_id", "parent_id"].iter().all(is_null);
    let Snap::Map(pairs) = event else {
        return None;
    };
    let with_id = |(key, value): &(Key, Snap)| match &**key {
        "flow_id" | "span_id" => (key.clone(), ANY_ID.into()),
        _ => (key.clone(), value.clone()),
    };
    is_loose.then(|| Snap::Map(pairs.iter().map(with_id).collect()))
}

/// Returns the problem of a valid event as the entry of a run's root. It names the schema version; other events have none.
fn root_problem(event: &Snap) -> Option<String> {
    let is = |key: &str, text: &str| event.get(key).and_then(Snap::as_str) == Some(text);
    let is_root = is("event_type", "entry")
        && is("node", ROOT_NODE)
        && event.get("parent_id") == Some(&Snap::Null);
    if !is_root {
        return None;
    }
    let Some(version) = event
        .get("data")
        .and_then(|data| data.get("schema_version"))
    else {
        return Some(format!(
            "data.schema_version is missing; the entry of a run's root names the schema version, {SCHEMA_VERSION}"
        ));
    };
    let is_known =
        *version == Snap::Int(SCHEMA_VERSION) || *version == Snap::Float(SCHEMA_VERSION as f64);
    (!is_known).then(|| {
        format!(
            "data.schema_version is {}; it must be {SCHEMA_VERSION}",
            short(version)
        )
    })
}

fn strict(text: &str, depth: usize) -> Result<Snap, String> {
    let value = from_json_within(text, depth).map_err(|error| error.to_string())?;
    match large_integer(&value) {
        Some(digits) => Err(format!(
            "integer {digits} is out of range; write it as a string, beyond -{MAX_INT} and {MAX_INT}"
        )),
        None => Ok(value),
    }
}

/// Returns the first integer that other readers cannot read, as a short text.
fn large_integer(value: &Snap) -> Option<String> {
    match value {
        Snap::Int(i64::MIN) => Some(i64::MIN.to_string()),
        Snap::Big(digits) if digits.len() > 60 => Some(format!("{}...", &digits[..57])),
        Snap::Big(digits) => Some(digits.to_string()),
        Snap::List(items) => items.iter().find_map(large_integer),
        Snap::Map(pairs) => pairs.iter().find_map(|(_, item)| large_integer(item)),
        _ => None,
    }
}
