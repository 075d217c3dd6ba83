//! The place of a call in its run: the spans that lead to it, from the root down.
//!
//! A span is known by its step or node, the index of a branch or iteration, the number of an attempt, and how often it came before below
//! the same span. So a call has the same place in two runs of a flow, whichever branch was faster.

use std::collections::HashMap;
use std::sync::Arc;

use the_edge_obs::Snap;

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
    /// How often there was one with this name below the same span, from 1.
    count: usize,
}

impl Place {
    /// Returns the place as messages show it, without the root: `all > parallel.branch [1] > ask (attempt 2)`.
    pub(super) fn shown(&self) -> String {
        let labels = self.0.iter().skip(1);
        let labels = labels.map(|label| match label.count {
            1 => label.name.to_string(),
            count => format!("{} ({count}.)", label.name),
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
        let name: Box<str> = name_of(entry).into();
        let parent = text("parent_id");
        let count = self
            .counts
            .entry((parent.into(), name.clone()))
            .or_default();
        *count += 1;
        let own = Label {
            name,
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

fn name_of(entry: &Snap) -> String {
    let text = |key: &str| entry.get(key).and_then(Snap::as_str);
    let data = |key: &str| entry.get("data").and_then(|data| data.get(key));
    let node = text("node").unwrap_or_default();
    let name = text("step").unwrap_or(node);
    let index = data("input").and_then(|input| input.get("index"));
    if let (true, Some(index)) = (INDEXED.contains(&node), index) {
        return format!("{name} [{}]", index.to_json());
    }
    match data("attempt") {
        Some(Snap::Int(attempt)) => format!("{name} (attempt {attempt})"),
        _ => name.to_owned(),
    }
}
