//! Two runs side by side: which spans differ in status, node, error, input, output, metrics, tokens or cost.
//!
//! Spans are matched by their place. Ids, times and durations are not differences. Python's `tea-obs diff` aligns the rest too.

use std::collections::HashMap;
use std::fmt;

use the_edge_obs::flow_log::SpanInfo;
use the_edge_obs::{FlowLog, Snap};

use super::losses::losses;
use super::places::{Place, Places};
use super::values::{changes, Change, Fold, NOISE};

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

/// What of a span is compared, and in which order.
const COMPARED: [&str; 6] = ["node", "status", "error", "input", "output", "metrics"];

/// One run, ready to be compared.
struct Run {
    sides: Vec<Side>,
    fold: Fold,
}

/// One span.
struct Side {
    place: Place,
    /// What counts of it, by the keys in [`COMPARED`].
    facts: Snap,
    /// The paths of values that are not whole.
    losses: Vec<String>,
}

impl Comparison {
    /// Compares two runs.
    #[must_use]
    pub fn of(old: &FlowLog, new: &FlowLog) -> Comparison {
        let (old, mut new) = (Run::of(old), Run::of(new));
        // Answers of a replay name the run that they were recorded in.
        new.fold.ids.extend(old.fold.ids.iter().cloned());
        let before: HashMap<&Place, &Side> = old.by_place();
        let mut made = Comparison::default();
        for side in &new.sides {
            let Some(earlier) = before.get(&side.place) else {
                made.add(Standing::Added, side, Vec::new());
                continue;
            };
            let compared = COMPARED.into_iter().flat_map(|key| {
                let (one, other) = (earlier.facts.get(key), side.facts.get(key));
                match one == other {
                    true => Vec::new(),
                    false => {
                        let (one, other) = (
                            one.map(|one| old.fold.value(one)),
                            other.map(|other| new.fold.value(other)),
                        );
                        changes(key, one.as_ref(), other.as_ref(), NOISE)
                    }
                }
            });
            let found: Vec<Change> = compared.collect();
            if !found.is_empty() {
                made.add(Standing::Changed, side, found);
                continue;
            }
            made.same += 1;
            let mut paths: Vec<&String> = earlier.losses.iter().chain(&side.losses).collect();
            paths.sort();
            paths.dedup();
            let place = side.place.shown();
            let told = paths.into_iter().map(|path| (path.clone(), place.clone()));
            made.partly_logged.extend(told);
        }
        let after = new.by_place();
        for side in old
            .sides
            .iter()
            .filter(|side| !after.contains_key(&side.place))
        {
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

impl Run {
    fn of(log: &FlowLog) -> Run {
        let (mut places, mut entries, mut ends) =
            (Places::default(), HashMap::new(), HashMap::new());
        for event in &log.events {
            let text = |key: &str| event.get(key).and_then(Snap::as_str).unwrap_or_default();
            let (id, data) = (text("span_id"), event.get("data").unwrap_or(&Snap::Null));
            match text("event_type") {
                "entry" => {
                    places.add(event);
                    entries.insert(id, data);
                }
                "exit" | "error" => {
                    if places.get(id).is_none() {
                        places.add(event); // its entry is not there
                    }
                    ends.insert((id, text("node")), data);
                }
                _ => {}
            }
        }
        let side = |span: &SpanInfo| {
            let entry = entries.get(&*span.span_id).copied().unwrap_or(&Snap::Null);
            let end = ends
                .get(&(&*span.span_id, &*span.node))
                .copied()
                .unwrap_or(&Snap::Null);
            let losses = losses(entry, "input")
                .into_iter()
                .chain(losses(end, "output"));
            Some(Side {
                place: places.get(&span.span_id)?.clone(),
                facts: facts(span, entry, end),
                losses: losses.map(|(path, _)| path).collect(),
            })
        };
        Run {
            sides: log.spans.iter().filter_map(side).collect(),
            fold: Fold::of(log),
        }
    }

    fn by_place(&self) -> HashMap<&Place, &Side> {
        self.sides.iter().map(|side| (&side.place, side)).collect()
    }
}

/// Returns what counts of a span.
fn facts(span: &SpanInfo, entry: &Snap, end: &Snap) -> Snap {
    // Where an error was raised, and its traceback, are places in code.
    let of_code = |key: &str| matches!(key, "traceback" | "where");
    let metrics = without(&span.metrics, |key| key.ends_with("_ms"));
    let facts = [
        ("node", Some(Snap::from(&*span.node))),
        ("status", Some(span.status.name().into())),
        (
            "error",
            span.error.as_ref().map(|error| without(error, of_code)),
        ),
        ("input", entry.get("input").cloned()),
        ("output", end.get("output").cloned()),
        ("metrics", Some(metrics)),
    ];
    Snap::map(
        facts
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?))),
    )
}

fn without(value: &Snap, is_out: impl Fn(&str) -> bool) -> Snap {
    match value {
        Snap::Map(pairs) => {
            let kept = pairs.iter().filter(|(key, _)| !is_out(key));
            Snap::Map(kept.cloned().collect())
        }
        other => other.clone(),
    }
}
