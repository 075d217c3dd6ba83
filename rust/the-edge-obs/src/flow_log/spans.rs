//! Spans, made of their events.

use std::collections::HashMap;

use super::sums::rounded;
use crate::event::{is_answered, name_of_root, number, root_rank, timestamp, Status, ROOT_NODE};
use crate::value::{Key, Snap};

/// One execution of a node, built from its events.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanInfo {
    /// The id, as in its events.
    pub span_id: Box<str>,
    /// The id of the enclosing span. One whose parent is not in the log is at the top of the tree.
    pub parent_id: Option<Box<str>>,
    /// The node.
    pub node: Box<str>,
    /// The name that a flow file gives to the node.
    pub step: Option<Box<str>>,
    /// The flow's name, for the root span of a flow.
    pub name: Option<Box<str>>,
    /// `Running` if no end is known.
    pub status: Status,
    /// Unix seconds. If the entry is missing, it is computed from the duration.
    pub start: f64,
    /// Unix seconds; `None` while running.
    pub end: Option<f64>,
    /// Monotonic milliseconds; `None` while running.
    pub duration_ms: Option<f64>,
    /// The span's own metrics, an object: those of its exit, error and metric events, without the duration.
    pub metrics: Snap,
    /// `{type, message}`, and what else is known of the error; `None` without one.
    pub error: Option<Snap>,
    /// Whether the entry is missing: dropped, or filtered by its level.
    pub partial: bool,
    /// Whether the span was answered from a recording: its tokens and costs were spent before, and count in no total.
    pub answered: bool,
    /// The ids of its children, ordered by start.
    pub children: Vec<Box<str>>,
}

impl SpanInfo {
    /// Returns the span as an object with the fields as keys.
    #[must_use]
    pub fn to_snap(&self) -> Snap {
        let text = |text: &Option<Box<str>>| Snap::from(text.as_deref());
        Snap::map([
            ("span_id", Snap::from(&*self.span_id)),
            ("parent_id", text(&self.parent_id)),
            ("node", Snap::from(&*self.node)),
            ("step", text(&self.step)),
            ("name", text(&self.name)),
            ("status", Snap::from(self.status.name())),
            ("start", Snap::Float(self.start)),
            ("end", Snap::from(self.end)),
            ("duration_ms", Snap::from(self.duration_ms)),
            ("metrics", self.metrics.clone()),
            ("error", self.error.clone().unwrap_or(Snap::Null)),
            ("partial", Snap::Bool(self.partial)),
            ("answered", Snap::Bool(self.answered)),
            (
                "children",
                Snap::List(
                    self.children
                        .iter()
                        .map(|child| Snap::from(&**child))
                        .collect(),
                ),
            ),
        ])
    }

    fn of(event: &Snap) -> SpanInfo {
        SpanInfo {
            span_id: text(event, "span_id").into(),
            parent_id: boxed(event, "parent_id"),
            node: text(event, "node").into(),
            step: boxed(event, "step"),
            name: None,
            status: Status::Running,
            start: timestamp(event),
            end: None,
            duration_ms: None,
            metrics: Snap::Null,
            error: None,
            partial: true,
            answered: false,
            children: Vec::new(),
        }
    }

    fn begin(&mut self, event: &Snap) {
        self.partial = false;
        self.node = text(event, "node").into();
        self.step = boxed(event, "step");
        self.start = timestamp(event);
        self.name = (*self.node == *ROOT_NODE).then(|| name_of_root(event).into());
    }

    fn finish(&mut self, event: &Snap, status: Status) {
        let end = timestamp(event);
        let error = event.get("data").and_then(|data| data.get("error"));
        let duration = event.get("metrics").and_then(|all| all.get("duration_ms"));
        self.end = Some(end);
        self.error = error.filter(|error| **error != Snap::Null).cloned();
        self.status = status;
        self.duration_ms = duration.and_then(number).or(self.duration_ms);
        if self.partial {
            self.start = self.duration_ms.map_or(self.start, |ms| end - ms / 1000.0);
            self.node = text(event, "node").into();
            self.step = boxed(event, "step");
        }
    }

    /// Computes the duration of a span whose end was logged by hand. A clock that was set back does not make it negative.
    fn measure(&mut self) {
        if let (Some(end), None, false) = (self.end, self.duration_ms, self.partial) {
            self.duration_ms = Some(rounded((end - self.start) * 1000.0, 6).max(0.0));
        }
    }
}

pub(super) fn text<'s>(event: &'s Snap, key: &str) -> &'s str {
    event.get(key).and_then(Snap::as_str).unwrap_or_default()
}

fn boxed(event: &Snap, key: &str) -> Option<Box<str>> {
    event.get(key).and_then(Snap::as_str).map(Into::into)
}

/// A span while its events are read, and its metrics so far.
struct Growing(SpanInfo, Vec<(Key, Snap)>);

impl Growing {
    fn take(&mut self, event: &Snap, kind: &str) {
        let Growing(span, metrics) = self;
        let is_own = text(event, "node") == &*span.node;
        if kind == "entry" && span.partial {
            span.begin(event);
        } else if let Some(status) = Status::of_end(event) {
            if span.partial || is_own {
                span.finish(event, status);
            }
        }
        span.answered |= text(event, "node") == &*span.node && is_answered(event);
        if let (true, Some(Snap::Map(pairs))) = (kind != "entry", event.get("metrics")) {
            let own = pairs.iter().filter(|(key, _)| &**key != "duration_ms");
            metrics.extend(own.cloned());
        }
    }

    fn finished(self) -> SpanInfo {
        let Growing(mut span, metrics) = self;
        span.measure();
        span.metrics = Snap::map(metrics);
        span
    }
}

/// Returns the spans of events that are ordered by time. The spans are ordered by start, and know their children.
pub(super) fn spans(events: &[Snap]) -> Vec<SpanInfo> {
    let mut found: Vec<Growing> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for event in events {
        let kind = text(event, "event_type");
        if kind == "log" {
            continue; // its node may be another logger's name, so it cannot name a span
        }
        let at = *known.entry(text(event, "span_id")).or_insert_with(|| {
            found.push(Growing(SpanInfo::of(event), Vec::new()));
            found.len() - 1
        });
        found[at].take(event, kind);
    }
    let mut spans: Vec<SpanInfo> = found.into_iter().map(Growing::finished).collect();
    spans.sort_by(|one, two| one.start.total_cmp(&two.start));
    link(&mut spans);
    spans
}

fn link(spans: &mut [SpanInfo]) {
    let places = Places::of(spans);
    let parents: Vec<Option<usize>> = (0..spans.len())
        .map(|at| places.parent(spans, at))
        .collect();
    for (at, parent) in parents.into_iter().enumerate() {
        if let Some(parent) = parent {
            let id = spans[at].span_id.clone();
            spans[parent].children.push(id);
        }
    }
}

/// Where spans stand in their list, by id.
pub(super) struct Places(HashMap<Box<str>, usize>);

impl Places {
    pub(super) fn of(spans: &[SpanInfo]) -> Places {
        let ids = spans.iter().enumerate();
        Places(ids.map(|(at, span)| (span.span_id.clone(), at)).collect())
    }

    pub(super) fn at(&self, span_id: &str) -> Option<usize> {
        self.0.get(span_id).copied()
    }

    /// Returns the place of a span's parent. A span is not its own.
    pub(super) fn parent(&self, spans: &[SpanInfo], at: usize) -> Option<usize> {
        let parent = spans[at].parent_id.as_deref();
        parent.and_then(|id| self.at(id)).filter(|one| *one != at)
    }
}

/// Returns the places of the spans at the top of the tree, ordered by start.
pub(super) fn tops(spans: &[SpanInfo], places: &Places) -> Vec<usize> {
    let all = 0..spans.len();
    all.filter(|at| places.parent(spans, *at).is_none())
        .collect()
}

/// Returns the places of the roots: the tops of the highest [`root_rank`], if that is above 0.
pub(super) fn roots(spans: &[SpanInfo], places: &Places) -> Vec<usize> {
    let rank = |at: &usize| root_rank(&spans[*at].node, spans[*at].parent_id.is_some());
    let tops = tops(spans, places);
    let highest = tops.iter().map(rank).max().unwrap_or(0);
    let tops = tops.into_iter();
    tops.filter(|at| rank(at) == highest && highest > 0)
        .collect()
}
