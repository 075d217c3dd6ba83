//! Two runs side by side: which spans differ in status, node, error, input, output, metrics, tokens or cost.
//!
//! Spans are matched by their place. Ids, times and durations are not differences. Python's `tea-obs diff` aligns the rest too.

use std::collections::HashMap;
use std::fmt;

use the_edge_obs::flow_log::SpanInfo;
use the_edge_obs::{FlowLog, Snap};

use super::losses::{losses, Loss};
use super::places::{Place, Places};
use super::values::{changes, Change, Fold};

/// How a span stands in two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Only the new run has it.
    Added,
    /// Only the old run has it.
    Removed,
    /// Both have it, and it differs.
    Changed,
}

/// A span that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// How it stands in the two runs.
    pub standing: Standing,
    /// The spans that lead to it, from the root down.
    pub place: String,
    /// Where it differs.
    pub changes: Vec<Change>,
}

/// Two runs side by side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// The spans that differ: of the new run in its order, then those that it does not have.
    pub differences: Vec<Difference>,
    /// How many spans are the same.
    pub same: usize,
    /// Values that are the same as far as they were logged, because they were cut or redacted: their paths and places.
    pub partly_logged: Vec<(String, String)>,
}

impl fmt::Display for Comparison {
    /// Writes how many spans differ, in the words of Python's `tea-obs diff`: `1 changed, 3 the same`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |standing: Standing| {
            self.differences
                .iter()
                .filter(|one| one.standing == standing)
                .count()
        };
        let counts = [
            (Standing::Changed, "changed"),
            (Standing::Added, "added"),
            (Standing::Removed, "removed"),
        ];
        let told = counts.map(|(standing, word)| (count(standing), word));
        let told: Vec<String> = told
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let told = if told.is_empty() {
            "no differences".to_owned()
        } else {
            told.join(", ")
        };
        let far = if self.partly_logged.is_empty() {
            ""
        } else {
            " as far as logged"
        };
        write!(out, "{told}, {} the same{far}", self.same)
    }
}

/// One span, ready to be compared.
struct Side {
    place: Place,
    facts: Snap,
    losses: Vec<(String, Loss)>,
}

impl Comparison {
    /// Compares two runs.
    #[must_use]
    pub fn of(old: &FlowLog, new: &FlowLog) -> Comparison {
        let (old, new) = (sides(old), sides(new));
        let before: HashMap<&Place, &Side> = old.iter().map(|side| (&side.place, side)).collect();
        let mut made = Comparison::default();
        for side in &new {
            let Some(earlier) = before.get(&side.place) else {
                made.add(Standing::Added, side, Vec::new());
                continue;
            };
            let mut found = Vec::new();
            for key in ["node", "status", "error", "input", "output", "metrics"] {
                found.extend(changes(key, earlier.facts.get(key), side.facts.get(key)));
            }
            if found.is_empty() {
                made.same += 1;
                let losses = earlier.losses.iter().chain(&side.losses);
                for (path, _) in losses {
                    let told = (path.clone(), side.place.shown());
                    if !made.partly_logged.contains(&told) {
                        made.partly_logged.push(told);
                    }
                }
            } else {
                made.add(Standing::Changed, side, found);
            }
        }
        let after: HashMap<&Place, &Side> = new.iter().map(|side| (&side.place, side)).collect();
        for side in old.iter().filter(|side| !after.contains_key(&side.place)) {
            made.add(Standing::Removed, side, Vec::new());
        }
        made
    }

    fn add(&mut self, standing: Standing, side: &Side, changes: Vec<Change>) {
        let place = side.place.shown();
        self.differences.push(Difference {
            standing,
            place,
            changes,
        });
    }
}

fn sides(log: &FlowLog) -> Vec<Side> {
    let fold = Fold::of(log);
    let text = |event: &'_ Snap, key: &str| {
        event
            .get(key)
            .and_then(Snap::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (mut places, mut entries, mut ends) = (Places::default(), HashMap::new(), HashMap::new());
    for event in &log.events {
        let (id, data) = (
            text(event, "span_id"),
            event.get("data").unwrap_or(&Snap::Null),
        );
        match &*text(event, "event_type") {
            "entry" => {
                places.add(event);
                entries.insert(id, data);
            }
            "exit" | "error" => {
                if places.get(&id).is_none() {
                    places.add(event); // its entry is not there
                }
                ends.insert((id, text(event, "node")), data);
            }
            _ => {}
        }
    }
    let side = |span: &SpanInfo| {
        let place = places.get(&span.span_id)?.clone();
        let entry = entries.get(&*span.span_id).copied().unwrap_or(&Snap::Null);
        let end = ends
            .get(&(span.span_id.to_string(), span.node.to_string()))
            .copied()
            .unwrap_or(&Snap::Null);
        let mut losses_of_both = losses(entry, "input");
        losses_of_both.extend(losses(end, "output"));
        Some(Side {
            place,
            facts: facts(span, entry, end, &fold),
            losses: losses_of_both,
        })
    };
    log.spans.iter().filter_map(side).collect()
}

/// Returns what counts of a span, folded.
fn facts(span: &SpanInfo, entry: &Snap, end: &Snap, fold: &Fold) -> Snap {
    let of = |data: &Snap, key: &str| data.get(key).map_or(Snap::Null, |value| fold.value(value));
    let error = span.error.as_ref().map_or(Snap::Null, |error| {
        without(fold.value(error), |key| key == "traceback")
    });
    let metrics = without(span.metrics.clone(), |key| key.ends_with("_ms"));
    Snap::map([
        ("node", Snap::from(&*span.node)),
        ("status", span.status.name().into()),
        ("error", error),
        ("input", of(entry, "input")),
        ("output", of(end, "output")),
        ("metrics", metrics),
    ])
}

fn without(value: Snap, is_out: impl Fn(&str) -> bool) -> Snap {
    match value {
        Snap::Map(pairs) => Snap::Map(
            pairs
                .into_vec()
                .into_iter()
                .filter(|(key, _)| !is_out(key))
                .collect(),
        ),
        other => other,
    }
}
