//! Filters of events: one grammar for code, flows and the command line.

mod values;

use std::collections::VecDeque;

use crate::error::Error;
use crate::event::{number, short, EventType, Level};
use crate::globs::Glob;
use crate::times::{now, parse_time};
use crate::value::Snap;
use values::{count, event_types, globs, level, needle, strings, unknown};

/// The names of the filters, as [`Filters::from_snap`] takes them.
pub const FILTERS: [&str; 12] = [
    "node",
    "level",
    "min_level",
    "event_type",
    "start_time",
    "end_time",
    "span_id",
    "step",
    "text",
    "flow_id",
    "limit",
    "last",
];

/// Which events to keep: those that pass all filters that are set.
///
/// A filter that is set several times by [`node`](Filters::node), [`step`](Filters::step), [`event_type`](Filters::event_type) or
/// [`span_id`](Filters::span_id) or [`flow_id`](Filters::flow_id) keeps the events of each of its values; of the others the last value counts.
///
/// ```
/// use the_edge_obs::event::Level;
/// use the_edge_obs::{Filters, Snap};
///
/// let filters = Filters::new().node("llm.*").min_level(Level::Warn).limit(20);
/// let event = |node: &str| Snap::map([("node", node.into()), ("level", Snap::from("error"))]);
/// assert!(filters.keeps(&event("llm.call")));
/// assert!(!filters.keeps(&event("http.get")));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Filters {
    node: Option<Vec<Glob>>,
    step: Option<Vec<Glob>>,
    level: Option<Level>,
    min_level: Option<Level>,
    event_types: Option<Vec<EventType>>,
    start: Option<f64>,
    end: Option<f64>,
    span_ids: Option<Vec<String>>,
    text: Option<String>,
    flow_ids: Option<Vec<String>>,
    limit: Option<usize>,
    last: Option<usize>,
}

impl Filters {
    /// Returns filters that keep every event.
    pub fn new() -> Filters {
        Filters::default()
    }

    /// Keeps the events of a node: its name, or a [glob](crate::globs) such as `llm.*`.
    pub fn node(mut self, glob: &str) -> Filters {
        self.node.get_or_insert_default().push(Glob::new(glob));
        self
    }

    /// Keeps the events of a step: its name, or a [glob](crate::globs). Events without a step do not pass.
    pub fn step(mut self, glob: &str) -> Filters {
        self.step.get_or_insert_default().push(Glob::new(glob));
        self
    }

    /// Keeps the events of exactly this level.
    pub fn level(mut self, level: Level) -> Filters {
        self.level = Some(level);
        self
    }

    /// Keeps the events of this level and of higher ones.
    pub fn min_level(mut self, level: Level) -> Filters {
        self.min_level = Some(level);
        self
    }

    /// Keeps the events of a type.
    pub fn event_type(mut self, kind: EventType) -> Filters {
        self.event_types.get_or_insert_default().push(kind);
        self
    }

    /// Keeps the events at or after a time in Unix seconds. [`parse_time`] reads texts such as `-5m`.
    pub fn start_time(mut self, seconds: f64) -> Filters {
        self.start = Some(seconds);
        self
    }

    /// Keeps the events at or before a time in Unix seconds. [`parse_time`] reads texts such as `-5m`.
    pub fn end_time(mut self, seconds: f64) -> Filters {
        self.end = Some(seconds);
        self
    }

    /// Keeps the events of a span.
    pub fn span_id(mut self, id: impl Into<String>) -> Filters {
        self.span_ids.get_or_insert_default().push(id.into());
        self
    }

    /// Keeps the events with a text in their message, or in a key or value of their data. Case is ignored.
    ///
    /// Both are converted to lower case, and not case-folded: `STRASSE` does not find `Straße`.
    pub fn text(mut self, text: &str) -> Filters {
        self.text = Some(text.to_lowercase());
        self
    }

    /// Keeps the events of the flows whose ids begin so. Case is ignored.
    pub fn flow_id(mut self, beginning: &str) -> Filters {
        let ids = self.flow_ids.get_or_insert_default();
        ids.push(beginning.to_lowercase());
        self
    }

    /// Keeps the first so many events, instead of the last ones. [`Filters::select`] applies it; [`Filters::keeps`] does not.
    pub fn limit(mut self, count: usize) -> Filters {
        (self.limit, self.last) = (Some(count), None);
        self
    }

    /// Keeps the last so many events, instead of the first ones. [`Filters::select`] applies it; [`Filters::keeps`] does not.
    pub fn last(mut self, count: usize) -> Filters {
        (self.limit, self.last) = (None, Some(count));
        self
    }

    /// Returns the filters of an object: those of the action `obs.query`, or of a command line.
    ///
    /// The keys are those of [`FILTERS`]; a value that is null is ignored. `node`, `step`, `event_type`, `span_id` and `flow_id` are a
    /// string or a list of strings, a level is a name in any case or a number as Python's `logging` has it, and a time is what
    /// [`parse_time`] reads. Times relative to now are relative to this call.
    ///
    /// # Errors
    ///
    /// [`Error::Query`] for an unknown filter, which lists the known ones, and for a value that is not valid;
    /// [`Error::FilterLevel`] for an unknown level.
    ///
    /// ```
    /// use the_edge_obs::value::from_json;
    /// use the_edge_obs::Filters;
    ///
    /// assert!(Filters::from_snap(&from_json(r#"{"node": ["llm.*", "http.*"], "start_time": "-1h"}"#)?).is_ok());
    /// let error = Filters::from_snap(&from_json(r#"{"nodes": "llm.*"}"#)?).unwrap_err();
    /// assert!(error.to_string().starts_with("unknown filter \"nodes\"; allowed: node, level, "));
    /// # Ok::<(), the_edge_obs::Error>(())
    /// ```
    pub fn from_snap(given: &Snap) -> Result<Filters, Error> {
        Filters::from_snap_at(given, now())
    }

    /// Returns the filters of an object, with another time that relative times refer to, in Unix seconds.
    ///
    /// # Errors
    ///
    /// As for [`Filters::from_snap`].
    pub fn from_snap_at(given: &Snap, now: f64) -> Result<Filters, Error> {
        let Snap::Map(pairs) = given else {
            return Err(Error::Query(format!(
                "filters are {}; they must be a mapping such as {{level: error}}; allowed: {}",
                short(given),
                FILTERS.join(", ")
            )));
        };
        let mut filters = Filters::new();
        for (key, value) in pairs {
            let name = FILTERS.iter().find(|name| ***name == **key);
            let name = name.ok_or_else(|| unknown("filter", key, FILTERS.join(", ")))?;
            if *value != Snap::Null {
                filters.set(name, value, now)?;
            }
        }
        if filters.limit.is_some() && filters.last.is_some() {
            return Err(Error::Query(
                "limit takes the first events and last the last ones; give one of them".to_owned(),
            ));
        }
        Ok(filters)
    }

    fn set(&mut self, name: &'static str, value: &Snap, now: f64) -> Result<(), Error> {
        match name {
            "node" => self.node = Some(globs(name, value)?),
            "step" => self.step = Some(globs(name, value)?),
            "level" => self.level = Some(level(name, value)?),
            "min_level" => self.min_level = Some(level(name, value)?),
            "event_type" => self.event_types = Some(event_types(name, value)?),
            "start_time" => self.start = Some(parse_time(value, now, name)?),
            "end_time" => self.end = Some(parse_time(value, now, name)?),
            "span_id" => {
                let ids = strings(name, value)?;
                self.span_ids = Some(ids.into_iter().map(str::to_owned).collect());
            }
            "text" => self.text = Some(needle(name, value)?),
            "flow_id" => {
                let ids: Vec<String> = strings(name, value)?
                    .into_iter()
                    .map(str::to_lowercase)
                    .collect();
                if let Some((part, (flow, _))) =
                    ids.iter().find_map(|id| Some((id, id.split_once('/')?)))
                {
                    return Err(Error::Query(format!(
                        "{name} {part:?} names one of several runs of a flow, but an event names its flow; give {flow:?}"
                    )));
                }
                self.flow_ids = Some(ids);
            }
            "last" => self.last = Some(count(name, value)?),
            _ => self.limit = Some(count(name, value)?),
        }
        Ok(())
    }

    /// Tells whether an event passes all filters. The limit and the last are none of them.
    #[must_use]
    pub fn keeps(&self, event: &Snap) -> bool {
        let text = |key: &str| event.get(key).and_then(Snap::as_str);
        let is_named = |globs: &Option<Vec<Glob>>, key: &str| match globs {
            Some(globs) => text(key).is_some_and(|name| globs.iter().any(|one| one.matches(name))),
            None => true,
        };
        is_named(&self.node, "node")
            && is_named(&self.step, "step")
            && self.keeps_level(text("level"))
            && self.keeps_time(event.get("timestamp"))
            && self.event_types.as_ref().is_none_or(|kinds| {
                let kind = text("event_type");
                kinds.iter().any(|one| kind == Some(one.name()))
            })
            && self.span_ids.as_ref().is_none_or(|ids| {
                let id = text("span_id");
                ids.iter().any(|one| id == Some(one))
            })
            && self.flow_ids.as_ref().is_none_or(|ids| {
                let id = text("flow_id").map(str::to_lowercase); // other writers may have capitals
                id.is_some_and(|id| ids.iter().any(|one| id.starts_with(one.as_str())))
            })
            && self.text.as_ref().is_none_or(|needle| {
                let message = text("message").unwrap_or("");
                has(message, needle) || event.get("data").is_some_and(|data| mentions(data, needle))
            })
    }

    fn keeps_level(&self, name: Option<&str>) -> bool {
        if self.level.is_none() && self.min_level.is_none() {
            return true;
        }
        let level = Level::ALL
            .into_iter()
            .find(|level| name == Some(level.name()));
        level.is_some_and(|level| {
            self.level.is_none_or(|wanted| level == wanted)
                && self.min_level.is_none_or(|least| level >= least)
        })
    }

    fn keeps_time(&self, timestamp: Option<&Snap>) -> bool {
        if self.start.is_none() && self.end.is_none() {
            return true;
        }
        let moment = timestamp.and_then(number);
        moment.is_some_and(|moment| {
            self.start.is_none_or(|start| moment >= start)
                && self.end.is_none_or(|end| moment <= end)
        })
    }

    /// Returns the events that pass, in the order given: the first or the last ones, if there is a limit or a last.
    ///
    /// ```
    /// use the_edge_obs::{Filters, Snap};
    ///
    /// let events = ["a", "b", "a", "a"].map(|node| Snap::map([("node", Snap::from(node))]));
    /// assert_eq!(Filters::new().node("a").limit(2).select(events).count(), 2);
    /// ```
    pub fn select<'f, I>(&'f self, events: I) -> impl Iterator<Item = Snap> + use<'f, I>
    where
        I: IntoIterator<Item = Snap>,
    {
        let passing = events.into_iter().filter(|event| self.keeps(event));
        self.counted(passing)
    }

    /// Returns the first or the last of some items, if there is a limit or a last; otherwise all.
    pub fn counted<I: Iterator>(&self, items: I) -> impl Iterator<Item = I::Item> + use<I> {
        let (first, last) = match self.last {
            None => (Some(items.take(self.limit.unwrap_or(usize::MAX))), None),
            Some(count) => (None, Some(last_of(items, count))),
        };
        first
            .into_iter()
            .flatten()
            .chain(last.into_iter().flatten())
    }

    /// Returns the same filters without limit and last.
    pub fn uncounted(&self) -> Filters {
        Filters {
            limit: None,
            last: None,
            ..self.clone()
        }
    }

    /// Returns the limit; `None` if there is none.
    #[must_use]
    pub fn max_events(&self) -> Option<usize> {
        self.limit
    }
}

/// Returns the last so many items, of which no more are held.
fn last_of<I: Iterator>(items: I, count: usize) -> VecDeque<I::Item> {
    let mut kept = VecDeque::new();
    for item in items {
        kept.push_back(item);
        if kept.len() > count {
            kept.pop_front();
        }
    }
    kept
}

/// Returns a number, `true`, `false` or `null` as JSON writes it; an integer of any size has all its digits.
fn number_text(value: &Snap) -> String {
    match value {
        Snap::Int(number) => number.to_string(),
        Snap::Big(digits) => digits.to_string(),
        other => other.to_json(),
    }
}

fn has(text: &str, needle: &str) -> bool {
    // Lower case of ASCII is shorter to find out, and most texts are ASCII.
    if text.is_ascii() {
        return needle.is_ascii() && text.to_ascii_lowercase().contains(needle);
    }
    text.to_lowercase().contains(needle)
}

/// Tells whether a key or value in a JSON value has a text as a part. There is no recursion, because data can nest to any depth.
fn mentions(value: &Snap, needle: &str) -> bool {
    let mut waiting = vec![value];
    while let Some(item) = waiting.pop() {
        let found = match item {
            Snap::Str(text) | Snap::Mark(text) => has(text, needle),
            Snap::List(items) => {
                waiting.extend(items);
                false
            }
            Snap::Map(pairs) => {
                waiting.extend(pairs.iter().map(|(_, value)| value));
                pairs.iter().any(|(key, _)| has(key, needle))
            }
            other => has(&number_text(other), needle),
        };
        if found {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_json;
    use proptest::prelude::*;

    fn refusal(filters: &str) -> (String, &'static str) {
        let error = Filters::from_snap(&from_json(filters).unwrap()).unwrap_err();
        (error.to_string(), error.name())
    }

    #[test]
    fn errors_name_key_value_and_what_is_allowed() {
        for (filters, text, name) in [
            (
                r#"{"level":"fatal"}"#,
                "level: unknown level \"fatal\"; it must be one of debug, info, warn, error",
                "LevelError",
            ),
            (
                r#"{"min_level":true}"#,
                "min_level: unknown level true; it must be one of debug, info, warn, error",
                "LevelError",
            ),
            (
                r#"{"event_type":["entry","start"]}"#,
                "unknown event_type \"start\"; allowed: entry, exit, error, metric, log",
                "QueryError",
            ),
            (
                r#"{"node":["a",3]}"#,
                "node 3 is not a string; allowed: a string or a list of strings",
                "QueryError",
            ),
            (
                r#"{"text":true}"#,
                "text true is not a string; allowed: a string or a number",
                "QueryError",
            ),
            (
                r#"{"limit":2.0}"#,
                "limit 2.0 is not a whole number of at least 0",
                "QueryError",
            ),
        ] {
            assert_eq!(refusal(filters), (text.to_owned(), name));
        }
        let (text, _) = refusal("[1]");
        assert!(text.starts_with(
            "filters are [1]; they must be a mapping such as {level: error}; allowed: node, "
        ));
        let (text, _) = refusal(r#"{"start_time":[]}"#);
        assert!(text.starts_with("start_time [] is not a valid time; allowed: Unix seconds, "));
    }

    #[test]
    fn what_is_no_event_passes_no_filter() {
        let odd = [
            Snap::Null,
            Snap::from("node"),
            Snap::map([("node", Snap::Int(1))]),
        ];
        let all = [
            Filters::new().node("*"),
            Filters::new().level(Level::Info),
            Filters::new().start_time(f64::NEG_INFINITY),
            Filters::new().event_type(EventType::Log),
            Filters::new().span_id(""),
        ];
        for filters in all {
            assert!(odd.iter().all(|one| !filters.keeps(one)), "{filters:?}");
        }
    }

    proptest! {
        #[test]
        fn text_is_found_wherever_it_stands(head in "\\PC{0,6}", text in "[a-zA-Zé]{1,6}", tail in "[a-z ]{0,6}") {
            let whole = format!("{head}{text} {tail}");
            let places = [
                Snap::map([("message", Snap::from(whole.clone()))]),
                Snap::map([("data", Snap::map([("a", Snap::List([Snap::from(whole.clone())].into()))]))]),
                Snap::map([("data", Snap::map([(whole, Snap::Null)]))]),
            ];
            for event in places {
                prop_assert!(Filters::new().text(&text.to_uppercase()).keeps(&event));
            }
        }

        #[test]
        fn filters_narrow_each_other(node in "[ab]", level in 0_usize..4, time in 0_i64..9) {
            let event = Snap::map([
                ("node", Snap::from(node)),
                ("level", Level::ALL[level].name().into()),
                ("timestamp", Snap::Int(time)),
            ]);
            let alone = [
                Filters::new().node("a"),
                Filters::new().min_level(Level::Warn),
                Filters::new().start_time(3.0),
                Filters::new().end_time(6.0),
            ];
            let all = Filters::new().node("a").min_level(Level::Warn).start_time(3.0).end_time(6.0);
            prop_assert_eq!(all.keeps(&event), alone.iter().all(|one| one.keeps(&event)));
        }
    }
}
