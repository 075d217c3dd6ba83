//! The order of a normalised log: rules N1 to N4 of `docs/parity.md`.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::circles::without_circles;
use crate::event::{timestamp, EventType};
use crate::value::Snap;

/// Where something stands among its siblings in a span: the entry, what lies between, the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Entry,
    Between,
    End,
}

/// What an event or a whole child span is sorted by: its rank, its index among branches, the times of its first and last event, and
/// the position of the first in the input.
#[derive(Clone, Copy)]
struct Place {
    rank: Rank,
    index: f64,
    start: f64,
    end: f64,
    position: usize,
}

/// Sorts before every index of a branch.
const NO_INDEX: f64 = -1.0;

impl Place {
    fn cmp(&self, other: &Place) -> Ordering {
        (self.rank.cmp(&other.rank))
            .then(self.index.total_cmp(&other.index))
            .then(self.in_time(other))
    }

    fn in_time(&self, other: &Place) -> Ordering {
        (self.start.total_cmp(&other.start))
            .then(self.end.total_cmp(&other.end))
            .then(self.position.cmp(&other.position))
    }
}

/// A span, or what is known of one.
struct Span<'e> {
    id: &'e str,
    parent: Option<&'e str>,
    /// Its node: that of its entry, else of its last exit, else of its last error.
    node: &'e str,
    /// How well the node is known, by `telling`.
    told: u8,
    place: Place,
    /// The positions of its own events, ordered by time.
    events: Vec<usize>,
    /// Its child spans, ordered by the time of their first event.
    children: Vec<usize>,
}

impl<'e> Span<'e> {
    fn of(event: &'e Snap, position: usize) -> Span<'e> {
        let time = timestamp(event);
        Span {
            id: text(event, "span_id"),
            parent: event.get("parent_id").and_then(Snap::as_str),
            node: text(event, "node"),
            told: 0,
            place: Place {
                rank: Rank::Between,
                index: NO_INDEX,
                start: time,
                end: time,
                position,
            },
            events: Vec::new(),
            children: Vec::new(),
        }
    }

    fn take(&mut self, event: &'e Snap, position: usize) {
        self.place.end = timestamp(event);
        self.events.push(position);
        let told = telling(event);
        if told >= self.told {
            (self.node, self.told) = (text(event, "node"), told);
        }
        if text(event, "event_type") == EventType::Entry.name() {
            self.place.index = index_of(event);
        }
    }

    /// Returns where one of its own events stands. An error that was logged by hand has another node, and ends nothing.
    fn place_of(&self, event: &Snap, position: usize) -> Place {
        let kind = text(event, "event_type");
        let is_end = kind == EventType::Exit.name() || kind == EventType::Error.name();
        let rank = if kind == EventType::Entry.name() {
            Rank::Entry
        } else if is_end && text(event, "node") == self.node {
            Rank::End
        } else {
            Rank::Between
        };
        let time = timestamp(event);
        Place {
            rank,
            index: NO_INDEX,
            start: time,
            end: time,
            position,
        }
    }
}

/// Returns how well an event tells the node of its span.
fn telling(event: &Snap) -> u8 {
    let named = [EventType::Error, EventType::Exit, EventType::Entry];
    let kind = text(event, "event_type");
    let rank = named.iter().position(|one| one.name() == kind);
    rank.map_or(0, |rank| rank as u8 + 1)
}

fn text<'e>(event: &'e Snap, key: &str) -> &'e str {
    event.get(key).and_then(Snap::as_str).unwrap_or_default()
}

/// Returns the index of a branch: a number without a fraction.
fn index_of(event: &Snap) -> f64 {
    let input = event.get("data").and_then(|data| data.get("input"));
    let index = match input.and_then(|input| input.get("index")) {
        Some(Snap::Int(index)) => *index as f64,
        Some(Snap::Float(index)) if index.fract() == 0.0 => *index,
        Some(Snap::Big(digits)) => digits.parse().unwrap_or(NO_INDEX),
        _ => NO_INDEX,
    };
    index + 0.0 // -0.0 is 0
}

/// Returns the positions of events in the order of a walk through the span tree.
pub(super) fn walked(events: &[Snap]) -> Vec<usize> {
    let mut spans = spans(events);
    let tops = link(&mut spans);
    let mut walked = Vec::with_capacity(events.len());
    let mut waiting: Vec<Item> = items_of_all(&spans, &tops);
    while let Some(item) = waiting.pop() {
        match item {
            Item::Event(position) => walked.push(position),
            Item::Span(at) => waiting.extend(items(&spans, at, events)),
        }
    }
    walked
}

/// One step of the walk.
#[derive(Clone, Copy)]
enum Item {
    Event(usize),
    Span(usize),
}

fn spans(events: &[Snap]) -> Vec<Span<'_>> {
    let mut timed: Vec<usize> = (0..events.len()).collect();
    timed.sort_by(|one, two| timestamp(&events[*one]).total_cmp(&timestamp(&events[*two])));
    let mut spans: Vec<Span> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for position in timed {
        let event = &events[position];
        let at = *known.entry(text(event, "span_id")).or_insert_with(|| {
            spans.push(Span::of(event, position));
            spans.len() - 1
        });
        spans[at].take(event, position);
    }
    spans
}

/// Gives each span its children, and returns the spans at the top.
fn link(spans: &mut [Span]) -> Vec<usize> {
    let known: HashMap<&str, usize> = spans
        .iter()
        .enumerate()
        .map(|(at, span)| (span.id, at))
        .collect();
    let parent_of = |span: &Span| span.parent.and_then(|id| known.get(id).copied());
    let parents: Vec<Option<usize>> = spans.iter().map(parent_of).collect();
    let begins_before =
        |one: usize, other: usize| spans[one].place.in_time(&spans[other].place).is_lt();
    let parents = without_circles(parents, begins_before);
    let mut tops = Vec::new();
    for (at, parent) in parents.into_iter().enumerate() {
        match parent {
            Some(parent) => {
                if spans[parent].node != PARALLEL {
                    spans[at].place.index = NO_INDEX;
                }
                spans[parent].children.push(at);
            }
            None => {
                spans[at].place.index = NO_INDEX;
                tops.push(at);
            }
        }
    }
    tops
}

/// The node whose children are ordered by their index.
const PARALLEL: &str = "parallel";

/// Returns a span's own events and its child spans, the last first.
fn items(spans: &[Span], at: usize, events: &[Snap]) -> Vec<Item> {
    let span = &spans[at];
    let own = span.events.iter().map(|position| {
        let place = span.place_of(&events[*position], *position);
        (place, Item::Event(*position))
    });
    let children = span.children.iter();
    let children = children.map(|child| (spans[*child].place, Item::Span(*child)));
    backwards(own.chain(children).collect())
}

fn items_of_all(spans: &[Span], tops: &[usize]) -> Vec<Item> {
    let tops = tops.iter().map(|at| (spans[*at].place, Item::Span(*at)));
    backwards(tops.collect())
}

fn backwards(mut items: Vec<(Place, Item)>) -> Vec<Item> {
    items.sort_by(|(one, _), (two, _)| two.cmp(one));
    items.into_iter().map(|(_, item)| item).collect()
}
