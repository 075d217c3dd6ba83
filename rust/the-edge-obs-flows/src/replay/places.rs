//! The place of a call in its run: the spans that lead to it, from the root down.
//!
//! A span is known by its step or node, the index of a branch or iteration, the number of an attempt, and how often it came before below
//! the same span. So a call has the same place in two runs of a flow, whichever branch was faster.

use std::collections::HashMap;
use std::sync::Arc;

use the_edge_obs::event::ROOT_NODE;
use the_edge_obs::Snap;

/// Inline code, which only Python's runtime has.
pub(super) const CODE: &str = "python.run";

/// Nodes that a flow is made of: they hold the calls, and are never asked for.
pub(super) const STRUCTURE: [&str; 7] = [
    ROOT_NODE,
    "steps",
    "subflow",
    "loop",
    "parallel",
    "parallel.branch",
    "loop.iteration",
];

/// Spans whose index tells them apart.
const INDEXED: [&str; 2] = ["parallel.branch", "loop.iteration"];

/// Where a span stands in its run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place(Arc<[Label]>);

/// One span of a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Label {
    /// The step, or the node without one, with its index and attempt.
    name: Box<str>,
    /// The index or the attempt in the name, or nothing.
    number: Box<str>,
    step: Option<Box<str>>,
    /// How often there was one with this name below the same span, from 1.
    count: usize,
}

impl Place {
    /// Tells whether the span, or one around it, is of a step.
    pub(super) fn is_in(&self, step: &str) -> bool {
        self.0
            .iter()
            .any(|label| label.step.as_deref() == Some(step))
    }

    /// Returns the indices of branches and iterations, the numbers of attempts and of equal calls on the way, without names.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (&str, usize)> {
        let numbers = self.0.iter().map(|label| (&*label.number, label.count));
        numbers.filter(|(number, count)| !number.is_empty() || *count > 1)
    }

    /// Returns the place as messages show it, without the root: `all > parallel.branch [1] > ask (attempt 2)`.
    pub(super) fn shown(&self) -> String {
        let labels = self.0.iter().map(|label| match label.count {
            1 => label.name.to_string(),
            count => format!("{} (call {count})", label.name),
        });
        labels.collect::<Vec<_>>().join(" > ")
    }
}

/// Places of the spans of one run, in the order in which they begin.
#[derive(Debug, Default)]
pub(super) struct Places {
    of_spans: HashMap<Box<str>, Place>,
    /// How many spans of a name there are below a span so far.
    counts: HashMap<(Box<str>, Box<str>), usize>,
}

impl Places {
    /// Adds a span by its entry, and returns its place.
    pub(super) fn add(&mut self, entry: &Snap) -> Place {
        let text = |key: &str| entry.get(key).and_then(Snap::as_str).unwrap_or_default();
        let parent = text("parent_id");
        if text("node") == ROOT_NODE && !self.of_spans.contains_key(parent) {
            let root = Place(Arc::default());
            self.of_spans.insert(text("span_id").into(), root.clone());
            return root;
        }
        let (name, number) = name_of(entry);
        let name: Box<str> = format!("{name}{number}").into();
        let count = self
            .counts
            .entry((parent.into(), name.clone()))
            .or_default();
        *count += 1;
        let own = Label {
            name,
            number: number.into(),
            step: entry.get("step").and_then(Snap::as_str).map(Into::into),
            count: *count,
        };
        let around = self.of_spans.get(parent).map_or(&[][..], |place| &place.0);
        let place = Place(around.iter().cloned().chain([own]).collect());
        self.of_spans.insert(text("span_id").into(), place.clone());
        place
    }

    /// Returns the place of a span.
    pub(super) fn get(&self, span_id: &str) -> Option<&Place> {
        self.of_spans.get(span_id)
    }
}

/// Returns the step, or the node without one; and its index or attempt, as names show it.
fn name_of(entry: &Snap) -> (&str, String) {
    let text = |key: &str| entry.get(key).and_then(Snap::as_str);
    let data = |key: &str| entry.get("data").and_then(|data| data.get(key));
    let node = text("node").unwrap_or_default();
    let name = text("step").unwrap_or(node);
    let index = data("input").and_then(|input| input.get("index"));
    if let (true, Some(index)) = (INDEXED.contains(&node), index) {
        return (name, format!(" [{}]", index.to_json()));
    }
    match data("attempt") {
        Some(Snap::Int(attempt)) => (name, format!(" (attempt {attempt})")),
        _ => (name, String::new()),
    }
}
