//! What the file of one run holds, counted while it is written, for the totals in the run's last line.
//!
//! Readers of lists then need the first and the last line alone. The totals are what Python's `store.summaries` counts in the whole
//! file. They are left out where that is not certain: another run is in the file, a span is not below the root, two events may be the
//! same one, or a line was cut off.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::event::{is_failure, root_rank, EventType, MAX_EVENT_BYTES, TOTALS};
use crate::facts::{seconds, Facts, Metrics, Payload};
use crate::flow_log::{came_out, passed_keys, rounded, ErrorKey};
use crate::value::{from_json, Key, Snap};

const MOST_MOMENTS: usize = 1_000;
/// How many characters of the type and the message of the first error stay.
const MAX_ERROR: usize = 500;
/// The last one in a line is the event's own key: in a text, its quotes have backslashes.
const METRICS: &[u8] = b",\"metrics\":";
const SUMMED: [&str; 2] = ["tokens", "cost_usd"];

/// Counts the lines of one file. The file is locked meanwhile.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whether the totals are certain so far.
    is_sure: bool,
    root: Option<Root>,
    spans: HashMap<u64, Span>,
    bytes: usize,
    events: usize,
    first: u64,
    last: u64,
    errors: usize,
    error: Option<Snap>,
    sums: [Figure; 2],
    /// The microseconds of events that may happen twice to a span; those up to `floor` are forgotten.
    moments: HashSet<u64>,
    floor: Option<u64>,
}

#[derive(Debug)]
struct Root {
    number: u64,
    parent: Option<u64>,
}

/// An open span.
#[derive(Debug, Default)]
struct Span {
    parent: Option<u64>,
    node: Arc<str>,
    is_answered: bool,
    figures: [Option<Figure>; 2],
    /// Which figures spans below it have reported.
    below: [bool; 2],
    /// Errors that its children have raised.
    passed: HashSet<ErrorKey>,
}

#[derive(Debug, Clone, Copy)]
enum Figure {
    Int(i64),
    Float(f64),
}

impl Default for Figure {
    fn default() -> Figure {
        Figure::Int(0)
    }
}

impl Figure {
    fn of(value: &Snap) -> Option<Figure> {
        match value {
            Snap::Int(number) if *number != 0 => Some(Figure::Int(*number)),
            Snap::Float(number) if number.is_finite() && *number != 0.0 => {
                Some(Figure::Float(*number))
            }
            _ => None,
        }
    }

    fn float(self) -> f64 {
        match self {
            Figure::Int(number) => number as f64,
            Figure::Float(number) => number,
        }
    }

    /// Returns the sum; `None` if it is out of range.
    fn plus(self, other: Figure) -> Option<Figure> {
        if let (Figure::Int(one), Figure::Int(other)) = (self, other) {
            return one.checked_add(other).map(Figure::Int);
        }
        let sum = self.float() + other.float();
        sum.is_finite().then_some(Figure::Float(sum))
    }

    fn snap(self) -> Snap {
        match self {
            Figure::Int(number) => Snap::Int(number),
            Figure::Float(number) => Snap::Float(number),
        }
    }
}

impl Tally {
    /// `is_sure` says that the file holds nothing yet, and will hold one flow.
    pub fn new(is_sure: bool) -> Tally {
        Tally {
            is_sure,
            ..Tally::default()
        }
    }

    /// Leaves the totals out from now on.
    pub fn give_up(&mut self) {
        *self = Tally::default();
    }

    /// Counts a line that was written.
    pub fn count(&mut self, facts: &Facts, line: &[u8]) {
        if !self.is_sure {
            return;
        }
        if self.takes(facts, line).is_none() {
            self.give_up();
        }
        self.bytes += line.len();
    }

    /// Returns the line of an event with totals, if it is the run's last one, and if they are certain.
    pub fn ended(&mut self, facts: &Facts, line: &[u8]) -> Option<Vec<u8>> {
        let is_root = |root: &Root| (root.number, root.parent) == (facts.number, facts.parent);
        let root = self.spans.get(&facts.number).filter(|_| self.is_sure)?;
        // Another node's is an error that was logged by hand.
        if !self.root.as_ref().is_some_and(is_root) || root.node != facts.node {
            return None;
        }
        let totals = self.totals(facts, line);
        self.give_up();
        let whole = with_totals(line, &totals?)?;
        (whole.len() <= MAX_EVENT_BYTES).then_some(whole)
    }

    fn totals(&mut self, facts: &Facts, line: &[u8]) -> Option<Snap> {
        let bytes = self.bytes;
        let has_own = contains(line, b"\"totals\"");
        if has_own {
            return None;
        }
        self.takes(facts, line)?;
        // A span that is open: what it logs comes later, or never.
        if !self.spans.is_empty() {
            return None;
        }
        let [tokens, cost] = self.sums;
        let cost = match cost {
            Figure::Float(cost) => Figure::Float(rounded(cost, 12)),
            Figure::Int(_) => cost,
        };
        Some(Snap::map([
            ("bytes", Snap::from(bytes)),
            ("events", Snap::from(self.events)),
            ("start", Snap::Float(seconds(self.first))),
            ("end", Snap::Float(seconds(self.last))),
            ("errors", Snap::from(self.errors)),
            ("error", self.error.take().unwrap_or(Snap::Null)),
            ("tokens", tokens.snap()),
            ("cost_usd", cost.snap()),
        ]))
    }

    /// Counts an event; returns `None` if the totals are not certain any more.
    fn takes(&mut self, facts: &Facts, line: &[u8]) -> Option<()> {
        let (kind, number, wall) = (facts.event_type, facts.number, facts.wall);
        self.events += 1;
        let Some(root) = &self.root else {
            return self.begins(facts);
        };
        (self.first, self.last) = (self.first.min(wall), self.last.max(wall));
        if Some(number) == root.parent {
            return None;
        }
        match kind {
            EventType::Entry => {
                let is_below = facts
                    .parent
                    .is_some_and(|parent| self.spans.contains_key(&parent));
                let is_root = root_rank(&facts.node, facts.parent.is_some()) > 0;
                if !is_below || is_root || self.spans.contains_key(&number) {
                    return None;
                }
                self.spans.insert(number, Span::of(facts));
                Some(())
            }
            EventType::Log => self.is_new(wall),
            EventType::Metric => {
                self.is_new(wall)?;
                self.spans.get_mut(&number)?.learn(facts);
                Some(())
            }
            EventType::Exit => {
                let span = self.spans.get_mut(&number)?;
                if span.node != facts.node {
                    return None;
                }
                span.learn(facts);
                span.is_answered |= says_answered(facts);
                let span = self.spans.remove(&number)?;
                self.ends(span, None)
            }
            EventType::Error => {
                self.is_new(wall)?;
                self.fails(facts, line)
            }
        }
    }

    fn begins(&mut self, facts: &Facts) -> Option<()> {
        let is_root = root_rank(&facts.node, facts.parent.is_some()) > 0;
        if facts.event_type != EventType::Entry || !is_root {
            return None;
        }
        let Facts { number, parent, .. } = *facts;
        (self.first, self.last) = (facts.wall, facts.wall);
        self.root = Some(Root { number, parent });
        self.spans.insert(number, Span::of(facts));
        Some(())
    }

    /// Counts an error: the end of a span, that of a node whose entry is filtered, or one that was logged by hand.
    fn fails(&mut self, facts: &Facts, line: &[u8]) -> Option<()> {
        let text = std::str::from_utf8(line).ok()?;
        let event = from_json(text.trim_end()).ok()?; // as readers see it: scrubbed, and cut if it was long
        let (is_failed, error) = (is_failure(&event), event.get("data")?.get("error"));
        if let (None, true, Some(error @ Snap::Map(_))) = (&self.error, is_failed, error) {
            self.error = Some(named(error));
        }
        if !self.spans.contains_key(&facts.number) {
            if !self.spans.contains_key(&facts.parent?) {
                return None;
            }
            let mut span = Span::of(facts);
            span.learn(facts);
            return self.ends(span, is_failed.then_some(error));
        }
        let span = self.spans.get_mut(&facts.number)?;
        span.learn(facts);
        if span.node != facts.node {
            self.errors += usize::from(is_failed);
            return Some(());
        }
        span.is_answered |= says_answered(facts);
        let span = self.spans.remove(&facts.number)?;
        self.ends(span, is_failed.then_some(error))
    }

    /// Counts a span that has ended. `failed` is the error of a failed one, if its event has it.
    fn ends(&mut self, span: Span, failed: Option<Option<&Snap>>) -> Option<()> {
        let own: [Option<Figure>; 2] =
            std::array::from_fn(|at| span.figures[at].filter(|_| !span.below[at]));
        if let Some(above) = span.parent.and_then(|parent| self.spans.get_mut(&parent)) {
            for (at, below) in above.below.iter_mut().enumerate() {
                *below |= span.below[at] || own[at].is_some();
            }
            above
                .passed
                .extend(failed.flatten().into_iter().flat_map(passed_keys));
        }
        if let Some(error) = failed {
            let has_come = error.is_some_and(|error| came_out(error, &span.passed));
            self.errors += usize::from(!has_come);
        }
        if !span.is_answered {
            for (sum, figure) in self.sums.iter_mut().zip(own) {
                *sum = figure.map_or(Some(*sum), |figure| sum.plus(figure))?;
            }
        }
        Some(())
    }

    /// Returns `None` if an event may be a repeated one: readers take two events with the same time and content for one.
    fn is_new(&mut self, wall: u64) -> Option<()> {
        let moment = wall / 1_000;
        if self.moments.len() >= MOST_MOMENTS {
            self.floor = self.moments.iter().copied().max();
            self.moments.clear();
        }
        let is_new = self.floor.is_none_or(|floor| moment > floor) && self.moments.insert(moment);
        is_new.then_some(())
    }
}

impl Span {
    fn of(facts: &Facts) -> Span {
        Span {
            parent: facts.parent,
            node: Arc::clone(&facts.node),
            is_answered: says_answered(facts),
            ..Span::default()
        }
    }

    fn learn(&mut self, facts: &Facts) {
        if let Metrics::Numbers(_) = facts.metrics {
            let numbers = facts.numbers();
            for (key, known) in SUMMED.iter().zip(&mut self.figures) {
                *known = numbers.get(key).and_then(Figure::of).or(*known);
            }
        }
    }
}

fn says_answered(facts: &Facts) -> bool {
    let is_it = |(key, value): &(Key, Snap)| &**key == "answered" && *value == Snap::Bool(true);
    matches!(&facts.payload, Payload::Data(pairs) if pairs.iter().any(is_it))
}

fn named(error: &Snap) -> Snap {
    let text = |key: &str| -> String {
        let text = error.get(key).and_then(Snap::as_str).unwrap_or_default();
        text.chars().take(MAX_ERROR).collect()
    };
    Snap::map([
        ("type", text("type").into()),
        ("message", text("message").into()),
    ])
}

fn contains(line: &[u8], needle: &[u8]) -> bool {
    line.windows(needle.len()).any(|window| window == needle)
}

/// Returns a line with totals as the last key of its data.
fn with_totals(line: &[u8], totals: &Snap) -> Option<Vec<u8>> {
    let at = line
        .windows(METRICS.len())
        .rposition(|window| window == METRICS)?;
    let end = at.checked_sub(1)?;
    let comma = if line[..end].ends_with(b"{") { "" } else { "," };
    let text = format!("{comma}\"{TOTALS}\":{}", totals.to_json());
    Some([&line[..end], text.as_bytes(), &line[end..]].concat())
}
