//! A log as a recording: what each call was given and what it answered, by its place, and what of that is whole.

use std::collections::{HashMap, HashSet};

use the_edge_obs::event::{Status, ROOT_NODE};
use the_edge_obs::flow_log::SpanInfo;
use the_edge_obs::redaction::{inside, MORE};
use the_edge_obs::{FlowLog, Snap};

use super::full::{Full, FullRecords};
use super::losses::{listed, losses, opaque, Loss};
use super::places::{Place, Places, CODE, STRUCTURE};
use super::secrets::Secrets;
use super::values::{plain, Fold, Ignored};
use crate::error::Failure;

/// Builtin actions that are called for real: they are functions of their input, or read the run's own log.
const OURS: [&str; 5] = [
    "json.parse",
    "json.transform",
    "obs.get_flow_log",
    "obs.log_event",
    "obs.query",
];

/// Metrics that are times of the recorded run.
const TIMES: [&str; 2] = ["duration_ms", "time_to_first_chunk_ms"];

/// One recorded call.
#[derive(Debug)]
pub(super) struct Recorded {
    pub node: Box<str>,
    pub place: Place,
    /// Its input, folded and without what is ignored; `None` if there is none.
    pub given: Option<Snap>,
    /// Its span, with the node, by which errors of filtered nodes are told apart.
    pub span: SpanInfo,
    entry: Snap,
    /// The event that ended it.
    end: Option<Snap>,
}

impl Recorded {
    fn ended(&self) -> &Snap {
        let data = self.end.as_ref().and_then(|end| end.get("data"));
        data.unwrap_or(&Snap::Null)
    }

    /// Returns the step, or the node without one.
    pub(super) fn name(&self) -> &str {
        self.span.step.as_deref().unwrap_or(&self.node)
    }

    /// Returns the paths at which the log does not have the whole input.
    pub(super) fn cuts(&self, ignored: &Ignored) -> Vec<String> {
        let cut = losses(&self.entry, "input").into_iter();
        let cut = cut.filter(|(path, loss)| *loss == Loss::Cut && path.starts_with("input"));
        let mut paths: Vec<String> = cut.map(|(path, _)| path).collect();
        paths.extend(opaque("input", self.entry.get("input"), false));
        paths.retain(|path| !ignored.has(path));
        paths.sort();
        paths.dedup();
        paths
    }

    /// Returns why it can never be certain that a call with the logged input had its whole input, if so.
    pub(super) fn doubt(&self, full: Option<Full<'_>>, ignored: &Ignored) -> Option<String> {
        let cuts = self.cuts(ignored);
        if cuts.is_empty() {
            return None;
        }
        let Some(full) = full.filter(|full| full.has_input()) else {
            let first = cuts[..cuts.len().min(3)].join(", ");
            return Some(format!(
                "its recorded input was cut at {first}, and may differ beyond that"
            ));
        };
        let mut lost = full.lost_input();
        let (path, why) = lost.find(|(path, _)| !ignored.has(path))?;
        Some(format!("its input at {path} was not recorded: {why}"))
    }

    /// Returns the paths at which a secret was taken out of its answer.
    pub(super) fn redacted(&self, full: Option<Full<'_>>) -> Vec<String> {
        let mut paths = self.withheld(full);
        paths.retain(|path| path.starts_with("output"));
        paths
    }

    /// Returns the paths at which a secret was taken out of its answer, or of its error.
    pub(super) fn withheld(&self, full: Option<Full<'_>>) -> Vec<String> {
        if let Some(full) = full {
            return full.redacted();
        }
        let found = ["output", "error"].map(|key| losses(self.ended(), key));
        let found = found.into_iter().flatten();
        let found = found.filter(|(_, loss)| *loss == Loss::Redacted);
        found.map(|(path, _)| path).collect()
    }

    /// Returns why its answer cannot be used, if so.
    pub(super) fn problem(&self, full: Option<Full<'_>>) -> Option<String> {
        if self.end.is_none() {
            return Some("the recording has no end of it".to_owned());
        }
        let data = self.ended();
        if data
            .get("cancelled")
            .is_some_and(|flag| *flag == Snap::Bool(true))
        {
            return Some("it was cancelled when it was recorded".to_owned());
        }
        let has = |key: &str| data.get(key).is_some();
        if self.span.metrics.get("chunks").is_some() && !has("output") && !has("error") {
            return Some("the items of a stream are not recorded".to_owned());
        }
        if let Some(full) = full {
            if full.is_misfit(&self.node, self.class()) {
                let problem = "its whole answer is that of another call: the file beside the log was changed, or belongs to another log";
                return Some(problem.to_owned());
            }
            return full.answer(self).err();
        }
        let mut cut: Vec<String> = ["output", "error"]
            .into_iter()
            .flat_map(|key| losses(data, key))
            .filter(|(_, loss)| *loss == Loss::Cut)
            .map(|(path, _)| path)
            .collect();
        cut.sort();
        cut.dedup();
        if !cut.is_empty() {
            return Some(format!("its recorded answer was cut at {}", listed(&cut)));
        }
        let opaque = opaque("output", data.get("output"), true);
        let what = "the log has only a description of what it answered at";
        (!opaque.is_empty()).then(|| format!("{what} {}", listed(&opaque)))
    }

    /// Returns its answer, which has no problem.
    pub(super) fn answer(&self, full: Option<Full<'_>>) -> Result<Snap, Failure> {
        if let Some(Ok(answer)) = full.map(|full| full.answer(self)) {
            return answer;
        }
        let is_error =
            self.end.as_ref().and_then(|end| end.get("event_type")) == Some(&"error".into());
        match self.ended().get("output") {
            Some(output) => Ok(output.clone()),
            None if is_error => Err(self.failure()),
            None => Ok(Snap::Null),
        }
    }

    /// Returns the class of what it raised, and `None` if it returned something.
    fn class(&self) -> Option<&str> {
        let data = self.ended();
        let error = data.get("error").filter(|_| data.get("output").is_none())?;
        Some(error.get("type").and_then(Snap::as_str).unwrap_or_default())
    }

    /// Returns what it raised.
    pub(super) fn failure(&self) -> Failure {
        Failure::recorded(self.ended().get("error").unwrap_or(&Snap::Null))
    }

    /// Tells whether the log does not have the whole message of what it raised.
    pub(super) fn is_message_cut(&self) -> bool {
        let lost = losses(self.ended(), "error");
        lost.contains(&("error.message".to_owned(), Loss::Cut))
    }

    /// Returns an end with the output of this call, as it was logged; another event as it is.
    pub(super) fn as_logged(&self, event: &Snap) -> Snap {
        let recorded = self.ended();
        let (Snap::Map(pairs), Some(output)) = (event, recorded.get("output")) else {
            return event.clone();
        };
        let is_output = event
            .get("data")
            .is_some_and(|data| data.get("output").is_some());
        if !is_output {
            return event.clone();
        }
        let data = |data: &Snap| match data {
            Snap::Map(pairs) => {
                let others = pairs
                    .iter()
                    .filter(|(key, _)| !matches!(&**key, "output" | "cut"));
                let own = [("output", Some(output)), ("cut", recorded.get("cut"))];
                let own = own
                    .into_iter()
                    .filter_map(|(key, value)| Some((key.into(), value?.clone())));
                Snap::Map(others.cloned().chain(own).collect())
            }
            other => other.clone(),
        };
        let pairs = pairs.iter().map(|(key, value)| match &**key {
            "data" => (key.clone(), data(value)),
            _ => (key.clone(), value.clone()),
        });
        Snap::Map(pairs.collect())
    }

    /// Returns the metrics of its end, but for times.
    pub(super) fn metrics(&self) -> impl Iterator<Item = (&str, &Snap)> {
        let pairs = match &self.span.metrics {
            Snap::Map(pairs) => &pairs[..],
            _ => &[],
        };
        let pairs = pairs.iter().map(|(key, value)| (&**key, value));
        pairs.filter(|(key, _)| !TIMES.contains(key))
    }
}

/// A run that can be replayed.
#[derive(Debug)]
pub(super) struct Recording {
    pub log: FlowLog,
    pub full: FullRecords,
    pub calls: Vec<Recorded>,
    by_place: HashMap<Place, usize>,
    by_input: HashMap<String, Vec<usize>>,
}

impl Recording {
    pub(super) fn of(log: FlowLog, full: FullRecords, ignored: &Ignored) -> Recording {
        let mut places = Places::default();
        let spans: HashMap<&str, &SpanInfo> = log
            .spans
            .iter()
            .map(|span| (&*span.span_id, span))
            .collect();
        let (ends, fold) = (ends(&log), Fold::of(&log));
        let mut calls: Vec<Recorded> = Vec::new();
        for event in &log.events {
            let text = |key: &str| event.get(key).and_then(Snap::as_str).unwrap_or_default();
            if text("event_type") != "entry" {
                continue;
            }
            let place = places.add(event);
            let Some(span) = spans
                .get(text("span_id"))
                .filter(|_| !STRUCTURE.contains(&text("node")))
            else {
                continue;
            };
            let end = ends.get(&(text("span_id"), text("node"))).copied();
            // Adapters may learn only at the end what a span was given.
            let late = end
                .and_then(|end| end.get("data"))
                .filter(|data| data.get("input").is_some());
            let entry = late.or(event.get("data")).cloned().unwrap_or(Snap::Null);
            calls.push(Recorded {
                node: text("node").into(),
                place,
                given: plain(&entry, &fold, ignored),
                span: (*span).clone(),
                entry,
                end: end.cloned(),
            });
        }
        let by_place = calls
            .iter()
            .enumerate()
            .map(|(at, call)| (call.place.clone(), at))
            .collect();
        let mut by_input: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, call) in calls.iter().enumerate() {
            by_input
                .entry(key_of(&call.node, call.given.as_ref()))
                .or_default()
                .push(at);
        }
        Recording {
            log,
            full,
            calls,
            by_place,
            by_input,
        }
    }

    /// Returns the call that was recorded at a place.
    pub(super) fn at(&self, place: &Place) -> Option<usize> {
        self.by_place.get(place).copied()
    }

    /// Returns the calls of a node with an input, in the order in which they began.
    pub(super) fn with_input(&self, node: &str, given: Option<&Snap>) -> &[usize] {
        self.by_input
            .get(&key_of(node, given))
            .map_or(&[], Vec::as_slice)
    }

    pub(super) fn full_of(&self, call: &Recorded) -> Option<Full<'_>> {
        self.full.get(&self.log.flow_id, &call.span.span_id)
    }

    /// Tells whether the run did not come to its end.
    pub(super) fn has_failed(&self) -> bool {
        self.log.status != Status::Ok
    }

    /// Returns the state that the run began with, an object; `None` if the log does not have it.
    pub(super) fn state(&self) -> Option<&Snap> {
        let input = root_data(&self.log)?.get("input");
        input.filter(|input| matches!(input, Snap::Map(_)))
    }

    /// Returns the paths at which a secret was taken out of the initial state.
    pub(super) fn redacted_state(&self) -> Vec<String> {
        let data = root_data(&self.log).unwrap_or(&Snap::Null);
        let found = losses(data, "input").into_iter();
        let found = found.filter(|(_, loss)| *loss == Loss::Redacted);
        found.map(|(path, _)| path).collect()
    }

    /// Returns the paths at which the log does not have the whole initial state. What was cut in values that the caller gives, such as
    /// `doc` or `doc.body`, does not matter.
    pub(super) fn cut_state(&self, given: &[&str]) -> Vec<String> {
        let data = root_data(&self.log).unwrap_or(&Snap::Null);
        let state = data.get("input");
        let cut = losses(data, "input").into_iter();
        let cut = cut.filter(|(_, loss)| *loss == Loss::Cut);
        let mut paths: Vec<String> = cut.map(|(path, _)| path).collect();
        paths.extend(opaque("input", state, false));
        let keys = match state {
            Some(Snap::Map(pairs)) => &pairs[..],
            _ => &[],
        };
        let mut keys = keys.iter().map(|(key, _)| &**key);
        if !given.is_empty() && keys.all(|key| key == MORE || given.contains(&key)) {
            paths.retain(|path| path != "input");
        }
        let parts = |name: &&str| {
            let parts = name.split('.');
            parts.fold("input".to_owned(), |path, part| inside(&path, part))
        };
        let whole = given.iter().map(|name| inside("input", name));
        let own: Vec<String> = given.iter().map(parts).chain(whole).collect();
        let is_given = |path: &str| {
            let rests = own.iter().filter_map(|own| path.strip_prefix(&**own));
            rests
                .into_iter()
                .any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        paths.retain(|path| !is_given(path));
        paths
    }

    /// Returns the places at which secrets were taken out of the initial state and of answers.
    pub(super) fn redacted_places(&self) -> Vec<String> {
        let of_state = self.redacted_state().into_iter();
        let of_state = of_state.map(|path| format!("flow.{path}"));
        let of_calls = self.calls.iter().flat_map(|call| {
            let paths = call.redacted(self.full_of(call)).into_iter();
            paths.map(|path| format!("{}.{path}", call.name()))
        });
        let mut known = HashSet::new();
        let places = of_state.chain(of_calls);
        places.filter(|place| known.insert(place.clone())).collect()
    }

    /// Returns the places at which secrets were taken out of what was handed out, and not given back: the latest first.
    pub(super) fn missing_secrets(
        &self,
        given_to: &[Option<Place>],
        secrets: &Secrets,
    ) -> Vec<String> {
        let calls = self.calls.iter().enumerate().rev();
        let given = calls.filter(|(at, _)| matches!(given_to.get(*at), Some(Some(_))));
        let of_calls = given.flat_map(|(at, call)| {
            let paths = call.redacted(self.full_of(call)).into_iter().rev();
            let paths = paths.filter(move |path| !secrets.knows(at, path));
            paths.map(|path| format!("{}.{path}", call.name()))
        });
        let of_state = self.redacted_state().into_iter();
        let of_state = of_state.filter(|path| !secrets.knows_of_state(path));
        let of_state = of_state.map(|path| format!("flow.{path}"));
        let mut known = HashSet::new();
        let places = of_calls.chain(of_state);
        places.filter(|place| known.insert(place.clone())).collect()
    }

    /// Returns the calls that have not answered, and are not inside one that has.
    pub(super) fn unused<'r>(
        &'r self,
        given_to: &'r [Option<Place>],
    ) -> impl Iterator<Item = &'r Recorded> {
        let below = self.below(given_to);
        let calls = self.calls.iter().enumerate();
        calls
            .filter(move |(at, call)| {
                !matches!(given_to.get(*at), Some(Some(_)))
                    && !is_ours(&call.node)
                    && &*call.node != CODE
                    && !below.contains(&*call.span.span_id)
            })
            .map(|(_, call)| call)
    }

    /// Returns the ids of the spans inside calls that have answered: those calls were not made again.
    pub(super) fn below(&self, given_to: &[Option<Place>]) -> HashSet<&str> {
        let calls = self.calls.iter().zip(given_to);
        self.inside_of(
            calls
                .filter(|(_, given_to)| given_to.is_some())
                .map(|(call, _)| call),
        )
    }

    /// Returns the ids of the spans inside some calls.
    pub(super) fn inside_of<'r>(
        &'r self,
        calls: impl Iterator<Item = &'r Recorded>,
    ) -> HashSet<&'r str> {
        let by_id: HashMap<&str, &SpanInfo> = self
            .log
            .spans
            .iter()
            .map(|span| (&*span.span_id, span))
            .collect();
        let children = calls.flat_map(|call| call.span.children.iter());
        let mut waiting: Vec<&str> = children.map(|child| &**child).collect();
        let mut found = HashSet::new();
        while let Some(id) = waiting.pop() {
            if found.insert(id) {
                let inner = by_id.get(id).into_iter().flat_map(|span| &span.children);
                waiting.extend(inner.map(|child| &**child));
            }
        }
        found
    }
}

/// Tells whether an action is called for real.
pub(super) fn is_ours(node: &str) -> bool {
    OURS.contains(&node)
}

/// Returns a text that only calls of the same node with the same input share.
fn key_of(node: &str, given: Option<&Snap>) -> String {
    let given = given.map(|given| super::values::sorted(given).to_json());
    format!("{node} {}", given.as_deref().unwrap_or_default())
}

/// Returns the events that ended spans.
fn ends(log: &FlowLog) -> HashMap<(&str, &str), &Snap> {
    let text = |event: &'_ Snap, key: &str| -> bool {
        matches!(
            event.get("event_type").and_then(Snap::as_str),
            Some("exit" | "error")
        ) && event.get(key).is_some()
    };
    let mut found = HashMap::new();
    for event in log.events.iter().filter(|event| text(event, "span_id")) {
        let text = |key: &str| event.get(key).and_then(Snap::as_str).unwrap_or_default();
        found.insert((text("span_id"), text("node")), event);
    }
    found
}

/// Returns the data of the entry of a run's root.
pub(super) fn root_data(log: &FlowLog) -> Option<&Snap> {
    let is =
        |event: &&Snap, key: &str, text: &str| event.get(key).and_then(Snap::as_str) == Some(text);
    let mut events = log.events.iter();
    let root =
        events.find(|event| is(event, "event_type", "entry") && is(event, "node", ROOT_NODE));
    root?.get("data")
}
