//! Made-up logs for tests: one tree of spans, as several runs log it.

use proptest::prelude::*;

use crate::ids::{new_number, FlowId, SpanId};
use crate::value::Snap;

/// A span and those in it. The children of a parallel one run at the same time.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub is_parallel: bool,
    pub fails: bool,
    pub has_note: bool,
    pub tokens: u8,
    pub children: Vec<Tree>,
}

pub(crate) fn trees() -> impl Strategy<Value = Tree> {
    let parts = |children| {
        let facts = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u8>());
        (facts, children).prop_map(|((is_parallel, fails, has_note, tokens), children)| Tree {
            is_parallel,
            fails,
            has_note,
            tokens,
            children,
        })
    };
    let leaf = parts(Just(Vec::new()).boxed());
    leaf.prop_recursive(4, 24, 4, move |inner| {
        parts(proptest::collection::vec(inner, 0..4).boxed())
    })
}

/// What differs between two runs of the same flow.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub flow: FlowId,
    pub begin: f64,
    /// Seconds between two events.
    pub tick: f64,
    /// Whether the last branch begins first.
    pub is_turned: bool,
}

impl Run {
    pub fn new(begin: f64, tick: f64, is_turned: bool) -> Run {
        Run {
            flow: FlowId::random(),
            begin,
            tick,
            is_turned,
        }
    }

    /// Returns the events of a tree in the order of their times.
    pub fn log(&self, tree: &Tree) -> Vec<Snap> {
        let mut events = Vec::new();
        let root = Place {
            id: self.flow.span(new_number()),
            parent: None,
            node: "flow",
            index: None,
        };
        self.span(tree, &root, self.begin, &mut events);
        events.sort_by(|(one, _), (two, _)| one.total_cmp(two));
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Logs a span and those in it, and returns when it ends.
    fn span(&self, tree: &Tree, place: &Place, begin: f64, events: &mut Vec<(f64, Snap)>) -> f64 {
        let input = place.index.map(|at| Snap::map([("index", Snap::from(at))]));
        let data = Snap::map(input.map(|input| ("input", input)));
        let mut now = begin;
        events.push((now, self.event(place, now, "entry", data)));
        if tree.has_note {
            now += self.tick;
            let digits = self.flow.to_string().replace('-', "");
            let text = format!("00-{digits}-{:016x}-01 of {}", place.id.number(), place.id);
            let note = self.event(place, now, "log", Snap::map([("note", Snap::from(text))]));
            events.push((now, note));
        }
        let mut ends = now;
        for turn in 0..tree.children.len() {
            let (at, begin) = if place.node != "parallel" {
                (turn, ends + self.tick)
            } else if self.is_turned {
                (
                    tree.children.len() - 1 - turn,
                    now + self.tick + turn as f64 * self.tick / 16.0,
                )
            } else {
                (turn, now + self.tick + turn as f64 * self.tick / 16.0)
            };
            let child = &tree.children[at];
            let inside = Place {
                id: self.flow.span(new_number()),
                parent: Some(place.id),
                node: if child.is_parallel {
                    "parallel"
                } else {
                    "steps"
                },
                index: (place.node == "parallel").then_some(at),
            };
            ends = ends.max(self.span(child, &inside, begin, events));
        }
        now = ends + self.tick;
        events.push((now, self.end(tree, place, begin, now)));
        now
    }

    fn end(&self, tree: &Tree, place: &Place, begin: f64, now: f64) -> Snap {
        let metrics = Snap::map([
            ("duration_ms", Snap::Float((now - begin) * 1e3)),
            ("tokens", Snap::from(tree.tokens)),
        ]);
        let error = ["type", "message"].map(|key| (key, Snap::from("E")));
        let data = Snap::map(tree.fails.then(|| ("error", Snap::map(error))));
        let kind = if tree.fails { "error" } else { "exit" };
        match self.event(place, now, kind, data) {
            Snap::Map(mut pairs) => {
                pairs[9].1 = metrics;
                Snap::Map(pairs)
            }
            other => other,
        }
    }

    fn event(&self, place: &Place, now: f64, kind: &str, data: Snap) -> Snap {
        let level = if kind == "error" { "error" } else { "info" };
        Snap::map([
            ("flow_id", Snap::from(self.flow.to_string())),
            ("span_id", Snap::from(place.id.to_string())),
            (
                "parent_id",
                Snap::from(place.parent.map(|id| id.to_string())),
            ),
            (
                "node",
                Snap::from(if kind == "log" { "httpx" } else { place.node }),
            ),
            ("level", Snap::from(level)),
            ("timestamp", Snap::Float(now)),
            ("event_type", Snap::from(kind)),
            ("message", Snap::Null),
            ("data", data),
            ("metrics", Snap::map::<&str>([])),
        ])
    }
}

/// Where a span stands.
struct Place {
    id: SpanId,
    parent: Option<SpanId>,
    node: &'static str,
    index: Option<usize>,
}

/// Returns spans in spans, of which the innermost has no other.
pub(crate) fn nested(depth: usize) -> Vec<Snap> {
    let run = Run::new(1e9, 0.001, false);
    let ids: Vec<SpanId> = (0..depth).map(|_| run.flow.span(new_number())).collect();
    let place = |at: usize| Place {
        id: ids[at],
        parent: at.checked_sub(1).map(|above| ids[above]),
        node: if at == 0 { "flow" } else { "steps" },
        index: None,
    };
    let none = || Snap::map::<&str>([]);
    let time = |at: usize| 1e9 + at as f64;
    let entries = (0..depth).map(|at| run.event(&place(at), time(at), "entry", none()));
    let exits = (0..depth)
        .rev()
        .map(|at| run.event(&place(at), time(2 * depth - at), "exit", none()));
    entries.chain(exits).collect()
}

/// Puts items in an order that a seed decides.
pub(crate) fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for at in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        items.swap(at, (seed >> 33) as usize % (at + 1));
    }
}
