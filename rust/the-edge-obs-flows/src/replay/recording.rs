//! A recording: the calls of one run, with what they were given and what came of it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use the_edge_obs::event::{is_failure, ROOT_NODE};
use the_edge_obs::redaction::{inside, MORE};
use the_edge_obs::value::Key;
use the_edge_obs::{FlowLog, Snap};

use super::places::{Place, Places};
use super::values::Fold;

/// Nodes that only hold others: what they do is done again.
const FRAMES: [&str; 8] = [
    ROOT_NODE,
    "loop",
    "loop.iteration",
    "parallel",
    "parallel.branch",
    "python.run",
    "steps",
    "subflow",
];

/// What is lost of a recorded value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    /// A secret was taken out; everything else is there.
    Redacted,
    /// A part is missing.
    Cut,
}

/// One execution of a node, as it was recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    pub node: Box<str>,
    pub span_id: Box<str>,
    pub place: Place,
    /// The data of its entry, folded.
    pub given: Snap,
    /// What is lost of its input.
    pub given_losses: Vec<(String, Loss)>,
    /// The event that ended it, unless it was interrupted.
    pub end: Option<Snap>,
    /// Whether it is a call of an action that a replay answers.
    pub is_asked: bool,
}

impl Recorded {
    /// Returns the data of its end.
    fn ended(&self) -> Option<&Snap> {
        self.end.as_ref()?.get("data")
    }

    /// Returns what it gave back; `None` for a failure that was raised.
    pub(super) fn output(&self) -> Option<Snap> {
        let data = self.ended()?;
        match data.get("output") {
            Some(output) => Some(output.clone()),
            None if self.end.as_ref().is_some_and(is_failure) => None,
            None => Some(Snap::Null),
        }
    }

    /// Returns the type and message of what it raised.
    pub(super) fn error(&self) -> (String, String) {
        let error = self.ended().and_then(|data| data.get("error"));
        let text = |key: &str| error.and_then(|error| error.get(key)?.as_str());
        let told = |key: &str| text(key).unwrap_or_default().to_owned();
        (told("type"), told("message"))
    }

    /// Returns the metrics of its end, without its duration.
    pub(super) fn metrics(&self) -> impl Iterator<Item = (&str, &Snap)> {
        let metrics = self.end.as_ref().and_then(|end| end.get("metrics"));
        let pairs = match metrics {
            Some(Snap::Map(pairs)) => &pairs[..],
            _ => &[],
        };
        let pairs = pairs.iter().map(|(key, value)| (&**key, value));
        pairs.filter(|(key, _)| *key != "duration_ms")
    }

    /// Returns what is lost of its output or error.
    pub(super) fn losses(&self) -> Vec<(String, Loss)> {
        let data = self.ended().unwrap_or(&Snap::Null);
        let key = if data.get("output").is_some() {
            "output"
        } else {
            "error"
        };
        losses(data, key)
    }
}

/// A recorded run.
#[derive(Debug)]
pub(super) struct Recording {
    pub calls: Vec<Recorded>,
    by_place: HashMap<Place, usize>,
    of_nodes: HashMap<Box<str>, Vec<usize>>,
}

impl Recording {
    /// Reads the calls of a log.
    pub(super) fn of(log: &FlowLog) -> Recording {
        let fold = fold_of(log);
        let (mut places, mut by_place) = (Places::default(), HashMap::new());
        let (mut calls, mut of_nodes) = (Vec::new(), HashMap::<Box<str>, Vec<usize>>::new());
        let (ends, frames) = (ends(log), frames(log));
        for event in &log.events {
            let text = |key: &str| event.get(key).and_then(Snap::as_str).unwrap_or_default();
            if text("event_type") != "entry" {
                continue;
            }
            let place = places.add(event);
            let data = event.get("data").unwrap_or(&Snap::Null);
            by_place.insert(place.clone(), calls.len());
            of_nodes
                .entry(text("node").into())
                .or_default()
                .push(calls.len());
            let is_leaf = frames.contains(text("parent_id")) && !frames.contains(text("span_id"));
            calls.push(Recorded {
                node: text("node").into(),
                span_id: text("span_id").into(),
                place,
                given: fold.value(data),
                given_losses: losses(data, "input"),
                end: ends
                    .get(&(text("span_id"), text("node")))
                    .map(|end| (*end).clone()),
                is_asked: is_leaf && data.get("input").is_some() && !is_computed(text("node")),
            });
        }
        Recording {
            calls,
            by_place,
            of_nodes,
        }
    }

    /// Returns the calls of a node, in the order in which they began.
    pub(super) fn of_node(&self, node: &str) -> &[usize] {
        self.of_nodes.get(node).map_or(&[], Vec::as_slice)
    }

    /// Returns the call that was recorded at a place.
    pub(super) fn at(&self, place: &Place) -> Option<usize> {
        self.by_place.get(place).copied()
    }
}

/// Tells whether a node is computed again: it reads the run's own log, or is a function of its input.
pub(super) fn is_computed(node: &str) -> bool {
    node.starts_with("obs.") || node.starts_with("json.")
}

/// Returns the spans that only hold others.
fn frames(log: &FlowLog) -> HashSet<&str> {
    let spans = log
        .spans
        .iter()
        .filter(|span| FRAMES.contains(&&*span.node));
    spans.map(|span| &*span.span_id).collect()
}

/// Returns the events that ended spans, but for those that were interrupted.
fn ends(log: &FlowLog) -> HashMap<(&str, &str), &Snap> {
    let mut found = HashMap::new();
    for event in &log.events {
        let text = |key: &str| event.get(key).and_then(Snap::as_str).unwrap_or_default();
        let is_end = text("event_type") == "exit" || is_failure(event);
        if is_end {
            found.insert((text("span_id"), text("node")), event);
        }
    }
    found
}

/// Returns what is folded of a recorded run.
pub(super) fn fold_of(log: &FlowLog) -> Fold {
    let ids = log
        .events
        .iter()
        .filter_map(|event| event.get("span_id")?.as_str());
    let path = root_data(log).and_then(|data| data.get("flow")?.get("path")?.as_str());
    let folder = path
        .map(Path::new)
        .filter(|path| path.is_absolute())
        .and_then(Path::parent);
    Fold {
        ids: ids.chain([&*log.flow_id]).map(Into::into).collect(),
        folder: folder.map(|folder| folder.to_string_lossy().into()),
    }
}

/// Returns the state that a run began with, an object.
pub(super) fn recorded_state(log: &FlowLog) -> Snap {
    let input = root_data(log).and_then(|data| data.get("input"));
    match input {
        Some(Snap::Map(pairs)) => Snap::Map(pairs.clone()),
        _ => Snap::Map(Box::default()),
    }
}

/// Returns the data of the entry of a run's root.
pub(super) fn root_data(log: &FlowLog) -> Option<&Snap> {
    let is =
        |event: &&Snap, key: &str, text: &str| event.get(key).and_then(Snap::as_str) == Some(text);
    let root = log
        .events
        .iter()
        .find(|event| is(event, "event_type", "entry") && is(event, "node", ROOT_NODE));
    root?.get("data")
}

/// Returns which parts of a value under a key of an event's data are not whole: what `data.cut` says of it.
pub(super) fn losses(data: &Snap, key: &str) -> Vec<(String, Loss)> {
    let Some(Snap::List(cut)) = data.get("cut") else {
        return Vec::new();
    };
    let mut redacted = Vec::new();
    if let Some(value) = data.get(key) {
        add_redacted(key, value, &mut redacted);
    }
    let told = cut.iter().filter_map(Snap::as_str);
    let told = told.map(|path| if path == MORE { key } else { path });
    let own = told.filter(|path| {
        let rest = path.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            && !path.starts_with("error.traceback")
    });
    let loss = |path: &str| match path.contains("[REDACTED")
        || redacted.iter().any(|known| known == path)
    {
        true => Loss::Redacted,
        false => Loss::Cut,
    };
    own.map(|path| (path.to_owned(), loss(path))).collect()
}

/// Adds where there is a text with a placeholder that was not cut.
fn add_redacted(path: &str, value: &Snap, found: &mut Vec<String>) {
    match value {
        Snap::Map(pairs) => {
            for (key, item) in pairs.iter() as std::slice::Iter<'_, (Key, Snap)> {
                add_redacted(&inside(path, key), item, found);
            }
        }
        Snap::List(items) => {
            for (at, item) in items.iter().enumerate() {
                add_redacted(&format!("{path}[{at}]"), item, found);
            }
        }
        Snap::Str(text) | Snap::Mark(text) if text.contains("[REDACTED") && !is_cut(text) => {
            found.push(path.to_owned());
        }
        _ => {}
    }
}

/// Tells whether a text ends as one that was cut, or stands for a value that was.
fn is_cut(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let end = text.rfind("…[+").map(|at| &text[at + "…[+".len()..]);
    let is_end = end
        .and_then(|end| end.strip_suffix(" chars]"))
        .is_some_and(is_number);
    let bytes = text
        .strip_prefix('<')
        .and_then(|text| text.split_once(" bytes: "));
    is_end || bytes.is_some_and(|(count, _)| is_number(count)) || text.starts_with("[cut: ")
}
