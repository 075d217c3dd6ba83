//! The answers of a recording: what stands in place of the actions while a flow runs again.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use the_edge_obs::{
    current, Error, EventType, Facts, FlowId, FlowLayer, FlowLog, Level, Levels, Sink, Snap, Status,
};

use super::decision::{unfit, Asking, Decision};
use super::full::FullRecords;
use super::places::{Place, Places};
use super::recording::{is_computed, recorded_state, Recorded, Recording};
use super::report::Report;
use super::stopped::Stopped;
use super::values::Fold;
use super::Options;
use crate::answers::{Answers, Called};
use crate::error::Failure;
use crate::runner::Flow;

/// Answers the calls of one run from a recording, by place and input. It is a sink too: a call is compared as it is logged, after
/// secrets were taken out and long values cut.
pub struct Tape {
    pub(super) recording: Recording,
    pub(super) full: FullRecords,
    pub(super) options: Options,
    pub(super) has_failed: bool,
    replay_of: FlowId,
    state: Snap,
    now: Mutex<Now>,
}

/// The run so far.
#[derive(Default)]
pub(super) struct Now {
    places: Places,
    pub fold: Fold,
    /// The run itself, and the data of the entries of spans that are not answered yet.
    flow: Option<Arc<the_edge_obs::Flow>>,
    given: HashMap<Box<str>, Snap>,
    pub is_used: Vec<bool>,
    /// Recorded calls at whose place the run has been.
    pub is_passed: Vec<bool>,
    report: Report,
}

/// What is known of a call: its place, the data of its entry, and its run.
type Seen = (Place, Snap, Arc<the_edge_obs::Flow>);

impl fmt::Debug for Tape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tape")
            .field("replay_of", &self.replay_of)
            .finish_non_exhaustive()
    }
}

impl Tape {
    /// Returns the answers of a recorded run for a flow.
    ///
    /// # Errors
    ///
    /// The log is not that of one run.
    pub fn new(log: &FlowLog, flow: &Flow, options: Options) -> Result<Tape, Error> {
        let recording = Recording::of(log);
        let folder = flow.folder().map(Into::into);
        let now = Now {
            is_used: vec![false; recording.calls.len()],
            is_passed: vec![false; recording.calls.len()],
            fold: Fold {
                folder,
                ..Fold::default()
            },
            ..Now::default()
        };
        Ok(Tape {
            recording,
            full: FullRecords::default(),
            options,
            has_failed: log.status == Status::Error,
            replay_of: log.flow_id.parse()?,
            state: recorded_state(log),
            now: Mutex::new(now),
        })
    }

    /// Adds the whole answers that were recorded beside the log.
    #[must_use]
    pub fn with_full(mut self, full: FullRecords) -> Tape {
        self.full = full;
        self
    }

    /// Returns the state that the recorded run began with, an object; secrets are taken out.
    #[must_use]
    pub fn state(&self) -> Snap {
        self.state.clone()
    }

    /// Returns the layer through which the tape sees the run. It must be in use while the flow runs, beside those that log it.
    #[must_use]
    pub fn layer(self: &Arc<Self>) -> FlowLayer {
        let levels = Arc::new(Levels::new(Some(Level::Info)));
        FlowLayer::with_levels(levels).sink(Arc::clone(self))
    }

    /// Returns what of the recording cannot be answered, a line for each call.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let problem = |call: &Recorded| {
            let (why, hint) = unfit(call, self.full.get(&call.span_id))?;
            let place = call.place.shown();
            Some(format!("{place} ({}): {why}; {hint}", call.node))
        };
        self.asked().filter_map(problem).collect()
    }

    /// Returns how many recorded calls a replay answers.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.asked().count()
    }

    fn asked(&self) -> impl Iterator<Item = &Recorded> {
        self.recording.calls.iter().filter(|call| call.is_asked)
    }

    /// Returns what came of the run so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let now = self.now();
        let is_left = |(call, is_used): &(&Recorded, &bool)| !**is_used && call.is_asked;
        let calls = self.recording.calls.iter().zip(&now.is_used);
        let unused = calls
            .filter(is_left)
            .map(|(call, _)| format!("{} ({})", call.place.shown(), call.node));
        Report {
            unused: unused.collect(),
            ..now.report.clone()
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a call, and notes the decision.
    fn decide(&self, called: &Called<'_>) -> Decision {
        let mut guard = self.now();
        let now = &mut *guard;
        if let Some(stopped) = &now.report.stopped {
            return Decision::Stop(Box::new(stopped.clone()));
        }
        let decision = match seen(now) {
            None => Decision::Stop(Box::new(unseen(called))),
            Some((place, given, flow)) => {
                let asking = Asking {
                    name: called.name,
                    params: called.params,
                    place: &place,
                    given: now.fold.value(&given),
                    flow: &flow,
                };
                let decision = self.decision(now, &asking);
                now.report.note(&decision, &asking);
                decision
            }
        };
        match &decision {
            Decision::Answer { at, .. } => now.is_used[*at] = true,
            Decision::Stop(stopped) => now.report.stopped = Some((**stopped).clone()),
            Decision::Live { .. } => {}
        }
        decision
    }
}

/// Takes what the running span was given.
fn seen(now: &mut Now) -> Option<Seen> {
    let span = current()?.span_id.to_string();
    let place = now.places.get(&span)?.clone();
    let given = now.given.remove(&*span)?;
    Some((place, given, now.flow.clone()?))
}

fn unseen(called: &Called<'_>) -> Stopped {
    Stopped {
        place: called.context.step().to_owned(),
        node: called.name.to_owned(),
        why: "the call is not logged, so it cannot be compared with the recording".to_owned(),
        changes: Vec::new(),
        hint: "add the layer of the tape to the subscriber, and let the flow be observed"
            .to_owned(),
        is_beyond: false,
    }
}

impl Answers for Tape {
    fn answer(&self, called: &Called<'_>) -> Result<Snap, Failure> {
        if is_computed(called.name) {
            return called.real();
        }
        match self.decide(called) {
            Decision::Live { .. } => called.real(),
            Decision::Stop(stopped) => Err(Failure::stopped(stopped.to_string())),
            Decision::Answer { at, answer, .. } => {
                called.mark_answered();
                for (name, value) in self.recording.calls[at].metrics() {
                    called.context.end_metric(name, value.clone());
                }
                answer
            }
        }
    }

    fn replay_of(&self) -> Option<FlowId> {
        Some(self.replay_of)
    }

    fn finish(&self) -> Result<(), Failure> {
        match &self.now().report.stopped {
            Some(stopped) => Err(Failure::stopped(stopped.to_string())),
            None => Ok(()),
        }
    }
}

impl Sink for Tape {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        if facts.event_type != EventType::Entry {
            return Ok(());
        }
        let event = facts.event();
        let text = |key: &str| event.get(key).and_then(Snap::as_str).unwrap_or_default();
        let mut now = self.now();
        for key in ["flow_id", "span_id"] {
            now.fold.ids.insert(text(key).into());
        }
        now.places.add(&event);
        now.flow.get_or_insert_with(|| Arc::clone(&facts.flow));
        let data = event.get("data").cloned().unwrap_or(Snap::Null);
        now.given.insert(text("span_id").into(), data);
        Ok(())
    }

    fn name(&self) -> &str {
        "tape"
    }
}
