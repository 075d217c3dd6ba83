//! The totals of a flow log, in which nothing counts twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::spans::{text, Places, SpanInfo};
use super::sums::{float_sum, rounded, sum};
use crate::circles::without_circles;
use crate::event::{is_failure, is_number, Status, ROOT_NODE};
use crate::value::Snap;

/// The metrics that a parent repeats from its children.
pub const COUNTED: [&str; 4] = ["tokens", "input_tokens", "output_tokens", "cost_usd"];

/// The totals of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// Milliseconds of the root span; with several roots, from the first start to the last end. `None` while one is running.
    pub total_duration_ms: Option<f64>,
    /// How many spans there are, without the roots of node `flow`.
    pub node_count: usize,
    /// How many events there are.
    pub event_count: usize,
    /// How many errors there are. Each counts once, in the span where it arose; cancellations do not count.
    pub error_count: usize,
    /// How many events of the flow are lost.
    pub dropped_count: u64,
    /// How many times logging itself failed.
    pub fault_count: u64,
    /// The sums of the metrics of [`COUNTED`], in its order. A span's own figure counts only if no span below it reports the same
    /// metric. A sum of integers is an integer.
    pub counted: [Snap; 4],
    /// The totals by node.
    pub nodes: BTreeMap<Box<str>, NodeTotals>,
}

/// The totals of the spans of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeTotals {
    /// How many spans there are.
    pub count: usize,
    /// How many of them failed.
    pub errors: usize,
    /// The sum of their durations, milliseconds.
    pub total_ms: f64,
    /// The median of their durations by nearest rank, milliseconds; `None` if none has ended.
    pub p50_ms: Option<f64>,
    /// The 95th percentile by nearest rank, milliseconds.
    pub p95_ms: Option<f64>,
    /// The longest duration, milliseconds.
    pub max_ms: Option<f64>,
    /// The tokens that count in these spans: those of all nodes add up to the total.
    pub tokens: Snap,
    /// The costs that count in these spans.
    pub cost_usd: Snap,
}

impl Totals {
    /// Returns the totals as an object with the fields as keys, and a key for each metric of [`COUNTED`].
    #[must_use]
    pub fn to_snap(&self) -> Snap {
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|(node, totals)| (node.clone(), totals.to_snap()));
        let mut pairs = vec![
            ("total_duration_ms", Snap::from(self.total_duration_ms)),
            ("node_count", Snap::from(self.node_count)),
            ("event_count", Snap::from(self.event_count)),
            ("error_count", Snap::from(self.error_count)),
        ];
        pairs.extend(COUNTED.into_iter().zip(self.counted.iter().cloned()));
        pairs.push(("nodes", Snap::map(nodes)));
        pairs.push(("dropped_count", Snap::from(self.dropped_count)));
        pairs.push(("fault_count", Snap::from(self.fault_count)));
        Snap::map(pairs)
    }

    pub(super) fn of(
        events: &[Snap],
        spans: &[SpanInfo],
        places: &Places,
        roots: &[usize],
    ) -> Totals {
        let is_flow = |at: &usize| &*spans[*at].node == ROOT_NODE;
        let own: HashSet<usize> = roots.iter().copied().filter(is_flow).collect();
        let inner: Vec<usize> = (0..spans.len()).filter(|at| !own.contains(at)).collect();
        let above = above(spans, places);
        let figures = COUNTED.map(|key| counted_figures(key, spans, &above));
        Totals {
            total_duration_ms: duration(spans, roots),
            node_count: inner.len(),
            event_count: events.len(),
            error_count: error_count(events, spans, &above),
            dropped_count: 0,
            fault_count: 0,
            nodes: per_node(spans, &inner, &figures[0], &figures[3]),
            counted: figures.map(|figures| sum(figures.into_values())),
        }
    }
}

impl NodeTotals {
    fn to_snap(&self) -> Snap {
        Snap::map([
            ("count", Snap::from(self.count)),
            ("errors", Snap::from(self.errors)),
            ("total_ms", Snap::Float(self.total_ms)),
            ("p50_ms", Snap::from(self.p50_ms)),
            ("p95_ms", Snap::from(self.p95_ms)),
            ("max_ms", Snap::from(self.max_ms)),
            ("tokens", self.tokens.clone()),
            ("cost_usd", self.cost_usd.clone()),
        ])
    }
}

fn duration(spans: &[SpanInfo], roots: &[usize]) -> Option<f64> {
    if let [root] = roots {
        return spans[*root].duration_ms;
    }
    let first = spans[*roots.first()?].start;
    let ends: Option<Vec<f64>> = roots.iter().map(|at| spans[*at].end).collect();
    let last = ends?.into_iter().reduce(f64::max)?;
    Some(rounded((last - first) * 1000.0, 6))
}

/// Returns a metric by span, for the spans where it counts: those below which no span reports it. What was answered from a recording
/// counts nowhere.
fn counted_figures<'s>(
    key: &str,
    spans: &'s [SpanInfo],
    above: &[Option<usize>],
) -> BTreeMap<usize, &'s Snap> {
    let figure = |at: usize| {
        let value = spans[at].metrics.get(key)?;
        let is_zero = matches!(value, Snap::Int(0)) || *value == Snap::Float(0.0);
        (is_number(value) && !is_zero).then_some((at, value))
    };
    let mut figures: BTreeMap<usize, &Snap> = (0..spans.len()).filter_map(figure).collect();
    let mut repeated = HashSet::new();
    for at in figures.keys() {
        let mut parent = above[*at];
        // Above a span that repeats figures, all do.
        while let Some(at) = parent.filter(|at| repeated.insert(*at)) {
            parent = above[at];
        }
    }
    figures.retain(|at, _| !repeated.contains(at) && !spans[*at].answered);
    figures
}

/// Returns the place of the enclosing span of each span, if the log has it.
///
/// In a circle of parents the first one has none: what is counted at the innermost span would otherwise be counted nowhere.
fn above(spans: &[SpanInfo], places: &Places) -> Vec<Option<usize>> {
    let parents = (0..spans.len()).map(|at| places.parent(spans, at));
    without_circles(parents.collect(), |one, other| {
        let [one, other] = [one, other].map(|at| &spans[at]);
        let in_time = one.start.total_cmp(&other.start);
        in_time
            .then_with(|| one.span_id.cmp(&other.span_id))
            .is_lt()
    })
}

fn per_node(
    spans: &[SpanInfo],
    inner: &[usize],
    tokens: &BTreeMap<usize, &Snap>,
    costs: &BTreeMap<usize, &Snap>,
) -> BTreeMap<Box<str>, NodeTotals> {
    let mut groups: BTreeMap<Box<str>, Vec<usize>> = BTreeMap::new();
    for at in inner {
        groups.entry(spans[*at].node.clone()).or_default().push(*at);
    }
    let totals = |group: &[usize]| {
        let of = |figures: &BTreeMap<usize, &Snap>| {
            let known = group.iter().filter_map(|at| figures.get(at).copied());
            sum(known)
        };
        NodeTotals::of(spans, group, of(tokens), of(costs))
    };
    let groups = groups.into_iter();
    groups.map(|(node, group)| (node, totals(&group))).collect()
}

impl NodeTotals {
    fn of(spans: &[SpanInfo], group: &[usize], tokens: Snap, cost_usd: Snap) -> NodeTotals {
        let ended = group.iter().filter_map(|at| spans[*at].duration_ms);
        let mut durations: Vec<f64> = ended.collect();
        durations.sort_by(f64::total_cmp);
        let failed = group
            .iter()
            .filter(|at| spans[**at].status == Status::Error);
        NodeTotals {
            count: group.len(),
            errors: failed.count(),
            total_ms: rounded(float_sum(durations.iter().copied()), 6),
            p50_ms: percentile(&durations, 50),
            p95_ms: percentile(&durations, 95),
            max_ms: durations.last().copied(),
            tokens,
            cost_usd,
        }
    }
}

/// Returns the nearest-rank percentile of ascending numbers; `None` if there are none.
///
/// ```
/// use the_edge_obs::flow_log::percentile;
///
/// assert_eq!(percentile(&[1.0, 2.0, 4.0], 50), Some(2.0));
/// assert_eq!(percentile(&[], 95), None);
/// ```
#[must_use]
pub fn percentile(ordered: &[f64], percent: usize) -> Option<f64> {
    let rank = (ordered.len() * percent).div_ceil(100);
    ordered.get(rank.saturating_sub(1)).copied()
}

// --- errors -----------------------------------------------------------------------------------------------------------

/// By what an error is recognised in several spans: its type and message.
pub(crate) type ErrorKey = (String, String);

/// Returns the number of errors; one that passes through several spans counts in the innermost.
fn error_count(events: &[Snap], spans: &[SpanInfo], above: &[Option<usize>]) -> usize {
    let mut passed: HashMap<&str, HashSet<ErrorKey>> = HashMap::new();
    for (at, span) in spans.iter().enumerate() {
        if span.status != Status::Error {
            continue;
        }
        if let (Some(parent), Some(error)) = (above[at], &span.error) {
            let known = passed.entry(&spans[parent].span_id).or_default();
            known.extend(passed_keys(error));
        }
    }
    let arose = |event: &&Snap| {
        let error = event.get("data").and_then(|data| data.get("error"));
        let passed = passed.get(text(event, "span_id"));
        !matches!((error, passed), (Some(error), Some(passed)) if came_out(error, passed))
    };
    let failures = events.iter().filter(|event| is_failure(event));
    failures.filter(arose).count()
}

/// Tells whether an error came from a child, by the keys of the children's errors; a group did if each of its errors did.
pub(crate) fn came_out(error: &Snap, passed: &HashSet<ErrorKey>) -> bool {
    let members = members(error);
    let is_known = error_key(error).is_some_and(|key| passed.contains(&key));
    is_known || (!members.is_empty() && members.iter().all(|key| passed.contains(key)))
}

/// Returns the keys by which a parent recognises an error of its child: those of the error, and of the errors in a group.
pub(crate) fn passed_keys(error: &Snap) -> impl Iterator<Item = ErrorKey> {
    error_key(error).into_iter().chain(members(error))
}

fn error_key(error: &Snap) -> Option<ErrorKey> {
    let told = |key: &str| {
        let value = error.get(key).unwrap_or(&Snap::Null);
        value
            .as_str()
            .map_or_else(|| value.to_json(), str::to_owned)
    };
    matches!(error, Snap::Map(_)).then(|| (told("type"), told("message")))
}

/// Returns the keys of the errors in a group. The last item of a cut list is only a count of the rest.
fn members(error: &Snap) -> Vec<ErrorKey> {
    let Some(Snap::List(errors)) = error.get("errors") else {
        return Vec::new();
    };
    let keys = errors.iter().filter_map(error_key);
    keys.filter(|(kind, _)| kind != "…").collect()
}
