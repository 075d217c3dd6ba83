//! What only a whole log shows about the events in it: spans that begin, nest and end as runtimes must write them.
//!
//! The rules are S1 to S8 of the project's `docs/parity.md`. They are for the log of complete runs, each written in one process. Each
//! event alone is what [`problems`](crate::event::problems) is for.

use std::collections::{HashMap, HashSet};

use crate::event::{is_number, number, timestamp, EventType, Status, ROOT_NODE};
use crate::value::Snap;

/// Seconds between an end's timestamp and its entry's plus its duration: both timestamps are cut to microseconds, less than one each,
/// and a float of Unix seconds is exact to a quarter of a microsecond.
pub const END_TOLERANCE: f64 = 2e-6;
/// Seconds by which a child may seem to begin before its parent, or end after it: each span reads the wall clock, then the monotonic
/// one, and may lose the processor in between.
pub const NESTING_TOLERANCE: f64 = 1e-3;
/// What a wall clock gains or loses on the monotonic one while it is being corrected, at most: 500 ppm, the limit of NTP.
pub const DRIFT: f64 = 5e-4;
/// The keys of `data` that the entry of a root may have. The first four are always there.
pub const ROOT_KEYS: [&str; 9] = [
    "name",
    "schema_version",
    "runtime",
    "resource",
    "input",
    "flow",
    "outer",
    "replay_of",
    "cut",
];

const ALWAYS: usize = 4;
const OF_SPANS: usize = 19; // the first 8 bytes of an id, with their hyphens

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The number of the line, as it was given to [`WholeLog::add`].
    pub line: usize,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

/// Collects the events of a log, and tells which rules the log as a whole breaks. Memory grows with the number of spans.
///
/// ```
/// use the_edge_obs::value::from_json;
/// use the_edge_obs::whole_log::WholeLog;
///
/// let event = from_json(r#"{"flow_id":"9f0df4a5-a646-4772-b822-7adce460ed24","span_id":"9f0df4a5-a646-4772-8dd3-775755bcb13e",
///     "parent_id":null,"node":"flow","level":"info","timestamp":1.5,"event_type":"entry","message":null,
///     "data":{"name":"n","schema_version":1,"runtime":"r","resource":"h"},"metrics":{}}"#).unwrap();
/// let mut log = WholeLog::new();
/// log.add(1, &event);
/// let faults = log.faults();
/// assert_eq!(faults[0].line, 1);
/// assert!(faults[0].problem.ends_with("has no end; it must have one"));
/// ```
#[derive(Debug, Default)]
pub struct WholeLog {
    spans: HashMap<Key, Span>,
    flows: HashSet<Box<str>>,
    faults: Vec<Fault>,
}

/// The ids of a flow and of a span in it.
type Key = (Box<str>, Box<str>);

/// A span with an entry in the log.
#[derive(Debug)]
struct Span {
    line: usize,
    node: Box<str>,
    parent: Option<Box<str>>,
    begin: f64,
    /// The line and time of its end.
    end: Option<(usize, f64)>,
}

impl WholeLog {
    /// Returns a log without events.
    #[must_use]
    pub fn new() -> WholeLog {
        WholeLog::default()
    }

    /// Adds the event of a line, which follows the schema. Lines come in the order of the log.
    pub fn add(&mut self, line: usize, event: &Snap) {
        let (flow_id, span_id) = (text(event, "flow_id"), text(event, "span_id"));
        let prefix = flow_id.get(..OF_SPANS).unwrap_or(flow_id);
        if !span_id.starts_with(prefix) {
            let rule = "it must begin with the first 8 bytes of the flow_id";
            self.note(line, format!("span_id is {span_id:?}; {rule}, {prefix}"));
        }
        let (kind, node) = (text(event, "event_type"), text(event, "node"));
        let is_entry = kind == EventType::Entry.name();
        let is_root = is_entry && node == ROOT_NODE;
        if self.flows.insert(flow_id.into()) && !is_root {
            let what = format!("the first event of flow {flow_id} is the {kind} of {node:?}");
            self.note(
                line,
                format!("{what}; it must be the entry of its root, node \"flow\""),
            );
        }
        if is_entry {
            self.begin(line, event, is_root);
        } else if let Some(status) = Status::of_end(event) {
            self.end(line, event, status);
        }
    }

    /// Returns the broken rules so far, by line. Ask once all events have been added.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut found = self.faults.clone();
        for ((flow_id, span_id), span) in &self.spans {
            if span.end.is_none() {
                let problem = format!(
                    "span {span_id} of node {:?} has no end; it must have one",
                    span.node
                );
                found.push(fault(span.line, problem));
            } else if let Some(parent_id) = &span.parent {
                let parent = self.spans.get(&(flow_id.clone(), parent_id.clone()));
                found.extend(parent.into_iter().flat_map(|parent| span.outside(parent)));
            }
        }
        // A line is about one span, so the order in which spans come does not show.
        found.sort_by_key(|fault| fault.line);
        found
    }

    fn note(&mut self, line: usize, problem: String) {
        self.faults.push(fault(line, problem));
    }

    fn begin(&mut self, line: usize, event: &Snap, is_root: bool) {
        let parent = event.get("parent_id").and_then(Snap::as_str);
        let span = Span {
            line,
            node: text(event, "node").into(),
            parent: parent.map(Into::into),
            begin: timestamp(event),
            end: None,
        };
        let known = self.spans.entry(key(event, "span_id")).or_insert(span).line;
        if known != line {
            let told = format!("span {} has a second entry", text(event, "span_id"));
            self.note(
                line,
                format!("{told}, after that of line {known}; a span has one"),
            );
        }
        if is_root {
            self.check_root(line, event.get("data").unwrap_or(&Snap::Null));
        } else if parent.is_none() {
            let node = text(event, "node");
            self.note(
                line,
                format!("node {node:?} has no parent; only a root, node \"flow\", has none"),
            );
        } else {
            self.check_parent(line, event);
        }
    }

    fn check_root(&mut self, line: usize, data: &Snap) {
        for key in ROOT_KEYS[..ALWAYS]
            .iter()
            .filter(|key| data.get(key).is_none())
        {
            let all = ROOT_KEYS[..ALWAYS].join(", ");
            self.note(
                line,
                format!("data.{key} is missing; the entry of a root has {all}"),
            );
        }
        let Snap::Map(pairs) = data else {
            return;
        };
        for (key, _) in pairs.iter().filter(|(key, _)| !ROOT_KEYS.contains(&&**key)) {
            let all = ROOT_KEYS.join(", ");
            self.note(
                line,
                format!("unknown key {key:?} in the data of a root's entry; allowed: {all}"),
            );
        }
        for key in ["name", "runtime"] {
            if let Some(value) = data.get(key).filter(|value| value.as_str().is_none()) {
                self.note(
                    line,
                    format!("data.{key} is {}; it must be a string", value.to_json()),
                );
            }
        }
    }

    fn check_parent(&mut self, line: usize, event: &Snap) {
        if !self.spans.contains_key(&key(event, "parent_id")) {
            let (parent, node) = (text(event, "parent_id"), text(event, "node"));
            self.note(
                line,
                format!("parent {parent} of node {node:?} has no entry before this line"),
            );
        }
    }

    fn end(&mut self, line: usize, event: &Snap, status: Status) {
        let took = event
            .get("metrics")
            .and_then(|metrics| metrics.get("duration_ms"));
        let Some(span) = self.spans.get_mut(&key(event, "span_id")) else {
            if status == Status::Ok || took.is_some() {
                let told = format!("span {} ends", text(event, "span_id"));
                self.note(line, format!("{told}, and has no entry before this line"));
            } else if event.get("parent_id").and_then(Snap::as_str).is_some() {
                self.check_parent(line, event);
            }
            return;
        };
        // An error of another node was logged by hand.
        if text(event, "node") == &*span.node {
            let problem = span.problem_of_end(event, took);
            span.end = span.end.or(Some((line, timestamp(event))));
            self.faults
                .extend(problem.map(|problem| fault(line, problem)));
        }
    }
}

impl Span {
    fn problem_of_end(&self, event: &Snap, took: Option<&Snap>) -> Option<String> {
        let span_id = text(event, "span_id");
        if let Some((ended, _)) = self.end {
            let told = format!("span {span_id} has a second end, after that of line {ended}");
            return Some(format!("{told}; a span has one"));
        }
        let Some(took) = took.filter(|took| is_number(took)).and_then(number) else {
            let told = format!("metrics.duration_ms of the end of span {span_id} is missing");
            return Some(format!("{told}; it must be a number of at least 0"));
        };
        let (time, expected) = (timestamp(event), self.begin + took / 1000.0);
        let is_near = (time - expected).abs() <= END_TOLERANCE;
        let sum = format!(
            "that of the entry of line {} plus the duration, {expected:.6}",
            self.line
        );
        (!is_near).then(|| {
            format!(
                "timestamp is {}; it must be {sum}, to 2 microseconds",
                told(time)
            )
        })
    }

    /// Returns a fault for each side on which a span reaches out of its parent, by more than clocks explain.
    fn outside(&self, parent: &Span) -> Vec<Fault> {
        let last = parent.end.map(|(_, time)| time);
        let length = (last.unwrap_or(self.begin) - parent.begin).max(0.0);
        let room = NESTING_TOLERANCE + DRIFT * length;
        let mut found = Vec::new();
        let problem = |time: f64, rule: String| {
            format!(
                "timestamp is {}; node {:?} must {rule}",
                told(time),
                self.node
            )
        };
        if self.begin < parent.begin - room {
            let rule = format!(
                "begin within its parent, which begins at {}",
                told(parent.begin)
            );
            found.push(fault(self.line, problem(self.begin, rule)));
        }
        if let (Some(last), Some((line, time))) = (last, self.end) {
            if time > last + room {
                let rule = format!("end within its parent, which ends at {}", told(last));
                found.push(fault(line, problem(time, rule)));
            }
        }
        found
    }
}

fn fault(line: usize, problem: String) -> Fault {
    Fault { line, problem }
}

fn text<'e>(event: &'e Snap, key: &str) -> &'e str {
    event.get(key).and_then(Snap::as_str).unwrap_or_default()
}

fn key(event: &Snap, of: &str) -> Key {
    (text(event, "flow_id").into(), text(event, of).into())
}

/// Returns a time as its event has it.
fn told(time: f64) -> String {
    Snap::Float(time).to_json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{shuffle, trees, Run};
    use crate::value::from_json;
    use proptest::prelude::*;

    fn faults(events: &[Snap]) -> Vec<Fault> {
        let mut log = WholeLog::new();
        for (at, event) in events.iter().enumerate() {
            log.add(at + 1, event);
        }
        log.faults()
    }

    /// Returns a log of made-up spans whose root has what it must have.
    fn whole(run: &Run, tree: &crate::sample::Tree) -> Vec<Snap> {
        let mut log = run.log(tree);
        if let Snap::Map(pairs) = &mut log[0] {
            let data = r#"{"name":"n","schema_version":1,"runtime":"r","resource":"h"}"#;
            pairs[8].1 = from_json(data).unwrap();
        }
        log
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_whole_log_has_no_faults_and_one_without_an_event_has(tree in trees(), is_turned: bool, seed: usize) {
            let run = Run::new(1.7e9, 0.25, is_turned);
            let mut log = whole(&run, &tree);
            prop_assert_eq!(faults(&log), []);
            let gone = log.remove(seed % log.len());
            let is_note = gone.get("event_type").and_then(Snap::as_str) == Some("log");
            prop_assert_eq!(faults(&log).is_empty(), is_note || log.is_empty());
        }

        #[test]
        fn logs_of_several_flows_are_told_apart(tree in trees(), seed: u64) {
            let mut logs = vec![whole(&Run::new(1.7e9, 0.25, false), &tree), whole(&Run::new(1e9, 0.5, false), &tree)];
            shuffle(&mut logs, seed);
            prop_assert_eq!(faults(&logs.concat()), []);
        }
    }

    #[test]
    fn a_fault_says_what_is_wrong_and_what_is_allowed() {
        let tree = crate::sample::Tree {
            is_parallel: false,
            fails: false,
            has_note: false,
            tokens: 0,
            children: Vec::new(),
        };
        let log = whole(&Run::new(1.7e9, 0.5, false), &tree);
        let told = |change: &dyn Fn(&mut Vec<Snap>)| {
            let mut log = log.clone();
            change(&mut log);
            let faults = faults(&log);
            let told = faults
                .iter()
                .map(|fault| format!("{}: {}", fault.line, fault.problem));
            told.collect::<Vec<_>>()
        };
        let set = |event: &mut Snap, at: usize, value: &str| {
            let Snap::Map(pairs) = event else { panic!() };
            pairs[at].1 = from_json(value).unwrap();
        };
        let id = log[0].get("span_id").and_then(Snap::as_str).unwrap();
        assert_eq!(
            told(&|log| set(&mut log[1], 5, "1700000000.75")),
            ["2: timestamp is 1700000000.75; it must be that of the entry of line 1 plus the duration, 1700000000.500000, to 2 microseconds"]
        );
        assert_eq!(
            told(&|log| log.truncate(1)),
            [format!(
                "1: span {id} of node \"flow\" has no end; it must have one"
            )]
        );
        assert_eq!(
            told(&|log| log.push(log[1].clone())),
            [format!(
                "3: span {id} has a second end, after that of line 2; a span has one"
            )]
        );
        assert_eq!(
            told(&|log| set(&mut log[0], 8, "{\"name\":1,\"schema_version\":1,\"resource\":\"h\",\"x\":1}")),
            [
                "1: data.runtime is missing; the entry of a root has name, schema_version, runtime, resource",
                "1: unknown key \"x\" in the data of a root's entry; allowed: name, schema_version, runtime, resource, input, flow, outer, replay_of, cut",
                "1: data.name is 1; it must be a string",
            ]
        );
    }
}
