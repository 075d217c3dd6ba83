//! Joins copies of the same events.

use std::collections::HashMap;

use super::FlowEvents;
use crate::event::timestamp;
use crate::repeats::Seen;
use crate::value::Snap;

/// Joins what the rings have of a flow with what the files have.
pub(super) fn joined(in_rings: Option<FlowEvents>, mut copies: Vec<Vec<Snap>>) -> FlowEvents {
    let Some(mut found) = in_rings else {
        let (mut events, mut seen) = (merged(copies), Seen::new());
        events.retain(|event| seen.is_new(event));
        return FlowEvents {
            events,
            ..FlowEvents::none()
        };
    };
    if !copies.is_empty() {
        let count = found.events.len();
        copies.insert(0, found.events);
        found.events = merged(copies);
        found.dropped = found
            .dropped
            .saturating_sub((found.events.len() - count) as u64);
    }
    found
}

/// Returns the events of several copies of the same flows, each once, ordered by time.
///
/// Two equal events of one source are two events; an event in two sources is one. Equal events are matched from the end, because a
/// ring keeps the last ones. A single source stays as it is.
pub(super) fn merged(mut sources: Vec<Vec<Snap>>) -> Vec<Snap> {
    if sources.len() < 2 {
        return sources.pop().unwrap_or_default();
    }
    let is_new = new_ones(&sources);
    // A later source has the older events, which the sources before it have lost.
    let pairs = sources.into_iter().zip(is_new).rev();
    let events = pairs.flat_map(|(source, is_new)| source.into_iter().zip(is_new));
    let mut events: Vec<Snap> = events
        .filter_map(|(event, is_new)| is_new.then_some(event))
        .collect();
    events.sort_by(|one, other| timestamp(one).total_cmp(&timestamp(other)));
    events
}

/// Tells of each event of each source whether the sources before lack it.
fn new_ones(sources: &[Vec<Snap>]) -> Vec<Vec<bool>> {
    let identity = |event: &Snap| {
        let text = |key: &str| event.get(key).and_then(Snap::as_str).map(str::to_owned);
        (
            timestamp(event).to_bits(),
            text("span_id"),
            text("event_type"),
            text("node"),
        )
    };
    let mut taken = HashMap::new();
    let of_source = |source: &Vec<Snap>| {
        let mut here: HashMap<_, usize> = HashMap::new();
        let mut flags = vec![false; source.len()];
        for (flag, event) in flags.iter_mut().zip(source).rev() {
            let key = identity(event);
            let count = here.entry(key.clone()).or_default();
            *count += 1;
            let known: &mut usize = taken.entry(key).or_default();
            if *count > *known {
                *known += 1;
                *flag = true;
            }
        }
        flags
    };
    sources.iter().map(of_source).collect()
}
