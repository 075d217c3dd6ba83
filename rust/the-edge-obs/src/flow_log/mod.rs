//! A flow log: one flow's events, and its spans, tree, timeline and totals.
//!
//! Nothing is counted twice. A flow's duration is the wall time of its root span, never a sum. Tokens and costs count in the
//! innermost span that reports them; an error counts in the span where it arose. An event that is there twice counts once. The order
//! of the events does not matter, except between events of the same microsecond. A span without its entry is kept as `partial`, one
//! without an end is running.
//!
//! Several roots may share a flow, for example the requests that continue one foreign trace.

mod spans;
mod sums;
mod totals;

pub use spans::SpanInfo;
pub(crate) use sums::rounded;
pub(crate) use totals::{came_out, passed_keys, ErrorKey};
pub use totals::{percentile, NodeTotals, Totals, COUNTED};

use spans::{text, Places};

use crate::error::Error;
use crate::event::{number, problems, timestamp, Status};
use crate::repeats::Seen;
use crate::value::Snap;

/// Everything known about one flow.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowLog {
    /// The run.
    pub flow_id: String,
    /// The flow's name, from its first root; `None` if that is lost.
    pub name: Option<String>,
    /// `Running` also if the process died, `Unknown` if no root is in the log. With several roots, the worst of theirs.
    pub status: Status,
    /// The events, ordered by time.
    pub events: Vec<Snap>,
    /// The spans, ordered by start; their parents and children form the tree.
    pub spans: Vec<SpanInfo>,
    /// The totals.
    pub metrics: Totals,
}

/// What the process that runs a flow knows about it. It is used if the log has no events of the flow's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The flow's name.
    pub name: Option<String>,
    /// Its status.
    pub status: Status,
}

/// Returns the flow log of one flow's events.
///
/// The events are in any order, and all of one flow: the caller must not mix flows. `dropped` is how many events of the flow are
/// lost, `faults` how many times logging itself failed.
///
/// # Errors
///
/// [`Error::FlowNotFound`] if there are no events, [`Error::Event`] for one that is not an event.
///
/// ```
/// use the_edge_obs::flow_log::build_flow_log;
/// use the_edge_obs::value::from_json;
///
/// let event = from_json(r#"{"flow_id":"9f0df4a5-a646-4772-b822-7adce460ed24","span_id":"9f0df4a5-a646-4772-8dd3-775755bcb13e",
///     "parent_id":null,"node":"flow","level":"info","timestamp":1.5,"event_type":"entry","message":null,
///     "data":{"name":"triage"},"metrics":{}}"#).unwrap();
/// let log = build_flow_log([event], 0, 0).unwrap();
/// assert_eq!((log.name.as_deref(), log.status.name()), (Some("triage"), "running"));
/// ```
pub fn build_flow_log(
    events: impl IntoIterator<Item = Snap>,
    dropped: u64,
    faults: u64,
) -> Result<FlowLog, Error> {
    let events = ordered(events)?;
    let Some(first) = events.first() else {
        let told = "no events were given; a flow log needs at least one";
        return Err(Error::FlowNotFound(told.to_owned()));
    };
    let flow_id = text(first, "flow_id").to_owned();
    Ok(flow_log(flow_id, events, (dropped, faults), None))
}

/// Returns the flow log of a flow about which its process knows more than its events: its name and status, if none of its roots is
/// in the log. There may be no events at all.
///
/// # Errors
///
/// [`Error::Event`] for one that is not an event.
pub fn build_known_flow_log(
    flow_id: &str,
    events: impl IntoIterator<Item = Snap>,
    dropped: u64,
    faults: u64,
    known: &Outcome,
) -> Result<FlowLog, Error> {
    let counts = (dropped, faults);
    let log = |events| flow_log(flow_id.to_owned(), events, counts, Some(known));
    ordered(events).map(log)
}

/// Returns events without repetitions, ordered by time.
fn ordered(events: impl IntoIterator<Item = Snap>) -> Result<Vec<Snap>, Error> {
    let mut seen = Seen::new();
    let mut taken = Vec::new();
    for event in events {
        if !is_readable(&event) {
            return Err(Error::Event(problems(&event)));
        }
        if seen.is_new(&event) {
            taken.push(event);
        }
    }
    taken.sort_by(|one, two| timestamp(one).total_cmp(&timestamp(two)));
    Ok(taken)
}

/// Tells whether an event has what a flow log is made of: a cheap part of the rules of [`problems`].
fn is_readable(event: &Snap) -> bool {
    let is_text = |key: &str| event.get(key).and_then(Snap::as_str).is_some();
    let is_map = |key: &str| matches!(event.get(key), Some(Snap::Map(_)));
    ["flow_id", "span_id", "node", "event_type"]
        .into_iter()
        .all(is_text)
        && ["data", "metrics"].into_iter().all(is_map)
        && event.get("timestamp").and_then(number).is_some()
}

fn flow_log(
    flow_id: String,
    events: Vec<Snap>,
    (dropped, faults): (u64, u64),
    known: Option<&Outcome>,
) -> FlowLog {
    let spans = spans::spans(&events);
    let places = Places::of(&spans);
    let roots = spans::roots(&spans, &places);
    let metrics = Totals {
        dropped_count: dropped,
        fault_count: faults,
        ..Totals::of(&events, &spans, &places, &roots)
    };
    let root = roots.first().map(|at| &spans[*at]);
    let name = root.filter(|root| !root.partial).map(name_of);
    let status = match (root, known) {
        (None, Some(known)) => known.status,
        _ => Status::worst(roots.iter().map(|at| spans[*at].status)),
    };
    FlowLog {
        flow_id,
        name: name.or_else(|| known.and_then(|known| known.name.clone())),
        status,
        events,
        spans,
        metrics,
    }
}

fn name_of(root: &SpanInfo) -> String {
    let name = root.name.as_deref().filter(|name| !name.is_empty());
    name.unwrap_or(&root.node).to_owned()
}

impl FlowLog {
    /// Returns the spans at the top of the tree, ordered by start.
    #[must_use]
    pub fn roots(&self) -> Vec<&SpanInfo> {
        let tops = spans::tops(&self.spans, &Places::of(&self.spans));
        tops.into_iter().map(|at| &self.spans[at]).collect()
    }

    /// Returns each span of the tree with its depth (0 for one at the top), parents before children.
    #[must_use]
    pub fn walk(&self) -> Vec<(usize, &SpanInfo)> {
        let places = Places::of(&self.spans);
        let tops = spans::tops(&self.spans, &places);
        let mut waiting: Vec<(usize, usize)> = tops.into_iter().rev().map(|at| (0, at)).collect();
        let mut walked = Vec::new();
        while let Some((depth, at)) = waiting.pop() {
            let span = &self.spans[at];
            walked.push((depth, span));
            let children = span.children.iter().rev();
            let children = children.filter_map(|child| places.at(child));
            waiting.extend(children.map(|child| (depth + 1, child)));
        }
        walked
    }

    /// Returns events and spans in one list, ordered by time; each has a `type`, `event` or `span`.
    #[must_use]
    pub fn timeline(&self) -> Vec<Snap> {
        let spans = self.spans.iter();
        let spans = spans.map(|span| (span.start, typed("span", span.to_snap())));
        let events = self.events.iter();
        let events = events.map(|event| (timestamp(event), typed("event", event.clone())));
        let mut all: Vec<(f64, Snap)> = spans.chain(events).collect();
        all.sort_by(|(one, _), (two, _)| one.total_cmp(two));
        all.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Returns the flow log as an object: the fields, and the timeline. It is what `FlowLog.to_dict` of the Python package returns.
    #[must_use]
    pub fn to_snap(&self) -> Snap {
        let spans = self.spans.iter().map(SpanInfo::to_snap);
        Snap::map([
            ("flow_id", Snap::from(&*self.flow_id)),
            ("name", Snap::from(self.name.as_deref())),
            ("status", Snap::from(self.status.name())),
            ("events", Snap::List(self.events.clone().into())),
            ("spans", Snap::List(spans.collect())),
            ("metrics", self.metrics.to_snap()),
            ("timeline", Snap::List(self.timeline().into())),
        ])
    }
}

fn typed(kind: &str, value: Snap) -> Snap {
    let mut pairs = vec![("type".into(), Snap::from(kind))];
    if let Snap::Map(fields) = value {
        pairs.extend(fields.into_vec());
    }
    Snap::Map(pairs.into())
}

#[cfg(test)]
mod tests;
