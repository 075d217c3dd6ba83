//! The answers of a recording: what stands in place of the actions while a flow runs again.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use the_edge_obs::globs::Glob;
use the_edge_obs::{build_flow_log, current, Error, EventType, Facts, FlowId, FlowLog, Sink, Snap};

use super::decision::{Asking, Decision};
use super::folder::{translated, Folders};
use super::options::Options;
use super::places::{Place, Places, CODE, STRUCTURE};
use super::recording::{is_ours, root_data, Recorded, Recording};
use super::report::{Asked, Report};
use super::secrets::Secrets;
use super::stopped::{Stopped, Why};
use super::values::{plain, Fold, Ignored};
use crate::answers::{Answers, Called};
use crate::error::Failure;
use crate::runner::Flow;

/// Answers the calls of one run from a recording, by place and input.
///
/// It is a sink too, and finds a call by the entry that the call has just logged: as logs have it, without secrets, and cut. So it must
/// be among the sinks of the layer through which the flow is observed.
pub struct Tape {
    pub(super) recording: Recording,
    pub(super) options: Options,
    pub(super) ignored: Ignored,
    pub(super) secrets: Secrets,
    folders: Folders,
    replay_of: FlowId,
    now: Mutex<Now>,
}

/// The run so far.
#[derive(Default)]
pub(super) struct Now {
    /// Of each recorded call, the place of the call that got its answer.
    pub given_to: Vec<Option<Place>>,
    /// The recorded calls that have answered, by the spans that got their answers.
    pub given: HashMap<Box<str>, usize>,
    /// Whether the run has come to the step from which calls may be made.
    pub has_begun: bool,
    /// Whether a placeholder stands in what the run was given.
    pub hands_out_placeholders: bool,
    places: Places,
    made: HashSet<Place>,
    fold: Fold,
    flow: Option<Arc<the_edge_obs::Flow>>,
    /// Spans that wait for their answers, with the data of their entries.
    entries: HashMap<Box<str>, Snap>,
    events: Vec<Snap>,
    asked: Vec<Asked>,
    stopped: Option<Stopped>,
}

impl Now {
    pub(super) fn note(&mut self, asked: Asked) {
        self.asked.push(asked);
    }
}

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
    /// [`Error::Configuration`]: an option names something that is not there.
    pub fn new(log: &FlowLog, flow: &Flow, options: Options) -> Result<Tape, Error> {
        options.check(flow)?;
        let Options { ignore, full, .. } = &options;
        let ignored = Ignored::new(ignore);
        let folders = Folders::of(log, flow.folder());
        let full = full.translated(|value| folders.there(value));
        let recording = Recording::of(translated(log, &folders)?, full, &ignored);
        let secrets = Secrets::of(&recording, &options.secrets);
        let secrets = secrets.map_err(|problem| Error::Configuration {
            place: "secrets".to_owned(),
            problem,
        })?;
        let redacted = recording.redacted_state();
        let now = Now {
            given_to: vec![None; recording.calls.len()],
            hands_out_placeholders: redacted.iter().any(|path| !secrets.knows_of_state(path)),
            ..Now::default()
        };
        Ok(Tape {
            recording,
            options,
            ignored,
            secrets,
            folders,
            replay_of: log.flow_id.parse()?,
            now: Mutex::new(now),
        })
    }

    /// Returns the state that the recorded run began with, an object; `None` if the log does not have it.
    #[must_use]
    pub fn state(&self) -> Option<Snap> {
        let state = self.recording.state()?;
        Some(self.secrets.filled_state(state.clone()))
    }

    /// Returns the paths at which the log does not have the whole initial state, such as `input.document`. What was cut in values that
    /// the caller gives, such as `document` or `document.body`, does not matter.
    #[must_use]
    pub fn cut_state(&self, given: &[&str]) -> Vec<String> {
        self.recording.cut_state(given)
    }

    /// Returns why the recording cannot be used as a whole, a line for each reason. What may be called, and what was cut in values of
    /// the initial state that the caller gives, is left out.
    #[must_use]
    pub fn problems(&self, given: &[&str]) -> Vec<String> {
        let recording = &self.recording;
        let mut found = Vec::new();
        if recording.state().is_none() && given.is_empty() {
            found.push("the initial state is not recorded".to_owned());
        }
        let cut = self.cut_state(given).into_iter();
        found.extend(cut.map(|path| format!("the initial state was cut at {path}")));
        if recording.calls.is_empty() {
            let problem = "no call is recorded; were the levels of all actions filtered?";
            found.push(problem.to_owned());
        }
        let told = self.unanswerable().into_iter();
        found.extend(
            told.map(|(call, problem)| {
                format!("{} ({}): {problem}", call.place.shown(), call.node)
            }),
        );
        found
    }

    /// Returns the recorded calls that will have no answer, and why. What may be called for real is left out.
    fn unanswerable(&self) -> Vec<(&Recorded, String)> {
        let (recording, options) = (&self.recording, &self.options);
        let from = options.from_step.as_deref();
        let (mut has_begun, mut answered, mut found) = (false, Vec::new(), Vec::new());
        for call in &recording.calls {
            let is_named = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(&call.node));
            has_begun |= from.is_none_or(|step| call.place.is_in(step));
            if &*call.node == CODE || is_ours(&call.node) || (has_begun && is_named(&options.live))
            {
                continue;
            }
            answered.push(call);
            let full = recording.full_of(call);
            let doubt = || match is_named(&options.pretend) {
                true => None,
                false => call.doubt(full, &self.ignored),
            };
            if let Some(problem) = call.problem(full).or_else(doubt) {
                found.push((call, problem));
            }
        }
        let hidden = recording.inside_of(answered.into_iter());
        found.retain(|(call, _)| !hidden.contains(&*call.span.span_id));
        found
    }

    /// Returns how many recorded calls can be asked for, and how many of them have whole answers.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let recording = &self.recording;
        let whole = recording
            .calls
            .iter()
            .filter(|call| recording.full_of(call).is_some());
        (recording.unused(&[]).count(), whole.count())
    }

    /// Returns the places at which secrets were redacted, as the option `secrets` names them.
    #[must_use]
    pub fn redacted_places(&self) -> Vec<String> {
        self.recording.redacted_places()
    }

    /// Returns the digest of the flow file that was recorded, if the log has it.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        let flow = root_data(&self.recording.log)?.get("flow")?;
        flow.get("sha256")?.as_str()
    }

    /// Returns the recorded run and the new one so far, as they are to be compared: without what answered calls did inside, and without
    /// what is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::FlowNotFound`]: the new run has logged nothing.
    pub fn logs(&self) -> Result<(FlowLog, FlowLog), Error> {
        let now = self.now();
        let hidden = self.recording.below(&now.given_to);
        let text =
            |event: &'_ Snap, key: &str| event.get(key).and_then(Snap::as_str).map(str::to_owned);
        let is_shown = |event: &&Snap| {
            let span = text(event, "span_id").unwrap_or_default();
            !hidden.contains(&*span)
        };
        let old = self.recording.log.events.iter().filter(is_shown);
        let old = build_flow_log(old.map(|event| self.ignored.clean_event(event)), 0, 0)?;
        if now.events.is_empty() {
            let problem = "the replay has logged nothing; log the flow at level info";
            return Err(Error::FlowNotFound(problem.to_owned()));
        }
        let id = now.events.first().and_then(|event| text(event, "flow_id"));
        let new = now
            .events
            .iter()
            .filter(|event| text(event, "flow_id") == id);
        let new = new.map(|event| self.ignored.clean_event(&self.as_logged(&now, event)));
        let new = build_flow_log(new, 0, 0)?;
        Ok((old, new))
    }

    /// Returns an event; the end of a call that got a whole answer with the output of the recorded call.
    ///
    /// A secret was taken out of the answer, so it is cut after another number of characters.
    fn as_logged(&self, now: &Now, event: &Snap) -> Snap {
        let span = event.get("span_id").and_then(Snap::as_str);
        let at = span.and_then(|span| now.given.get(span));
        match at.map(|at| &self.recording.calls[*at]) {
            Some(call) if self.recording.full_of(call).is_some() => call.as_logged(event),
            _ => event.clone(),
        }
    }

    /// Returns what the replay did so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let now = self.now();
        let unused = self.recording.unused(&now.given_to);
        let unused = unused.filter(|call| !now.made.contains(&call.place));
        Report {
            unused: unused.map(|call| call.place.shown()).collect(),
            asked: now.asked.clone(),
            stopped: now.stopped.clone(),
        }
    }

    /// Returns parameters as the recorded run would have had them: with its id, and with paths in its folder.
    pub(super) fn as_recorded(&self, params: &Snap, flow: &the_edge_obs::Flow) -> Snap {
        let (new, old) = (flow.id.to_string(), self.replay_of.to_string());
        self.folders.back(params, &new, &old)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a call; once a call was stopped, all are.
    fn decide(&self, called: &Called<'_>) -> Decision {
        let mut guard = self.now();
        let now = &mut *guard;
        if let Some(stopped) = &now.stopped {
            return Decision::Stop(Box::new(stopped.clone()));
        }
        // Of a call whose level is filtered, the current span is one around it.
        let own = current().filter(|current| *current.node == *called.name);
        let span = own.map(|current| current.span_id.to_string());
        let seen = span.and_then(|span| {
            let (place, entry) = (now.places.get(&span)?.clone(), now.entries.remove(&*span)?);
            Some((span, place, entry, now.flow.clone()?))
        });
        let decision = match seen {
            None => Decision::Stop(Box::new(filtered(called.name))),
            Some((span, place, entry, flow)) => {
                let asking = Asking {
                    name: called.name,
                    span: &span,
                    params: called.params,
                    place: &place,
                    given: plain(&entry, &now.fold, &self.ignored),
                    flow: &flow,
                };
                self.decision(now, &asking)
            }
        };
        if let Decision::Stop(stopped) = &decision {
            now.stopped = Some((**stopped).clone());
        }
        decision
    }
}

fn filtered(name: &str) -> Stopped {
    let category = name.split('.').next().unwrap_or(name);
    Stopped {
        place: name.to_owned(),
        node: name.to_owned(),
        why: "its level is filtered, so its place is not known".to_owned(),
        changes: Vec::new(),
        hint: format!("log {category} at level info, in the block of the flow and in TEA_LOG"),
        kind: Why::Unfit,
    }
}

impl Answers for Tape {
    fn answer(&self, called: &Called<'_>) -> Result<Snap, Failure> {
        if is_ours(called.name) {
            return called.real();
        }
        match self.decide(called) {
            Decision::Live => called.real(),
            Decision::Stop(stopped) => Err(Failure::stopped(stopped.to_string())),
            Decision::Answer(at, answer) => {
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

    fn secrets(&self) -> Vec<Snap> {
        self.secrets.known.clone()
    }

    fn finish(&self) -> Result<(), Failure> {
        match &self.now().stopped {
            Some(stopped) => Err(Failure::stopped(stopped.to_string())),
            None => Ok(()),
        }
    }
}

impl Sink for Tape {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        let event = facts.event();
        let mut now = self.now();
        if facts.event_type == EventType::Entry {
            let text = |key: &str| event.get(key).and_then(Snap::as_str).unwrap_or_default();
            for key in ["flow_id", "span_id"] {
                now.fold.ids.insert(text(key).into());
            }
            let place = now.places.add(&event);
            now.made.insert(place);
            now.flow.get_or_insert_with(|| Arc::clone(&facts.flow));
            if !STRUCTURE.contains(&&*facts.node) {
                let data = event.get("data").cloned().unwrap_or(Snap::Null);
                now.entries.insert(text("span_id").into(), data);
            }
        }
        now.events.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "tape"
    }
}
