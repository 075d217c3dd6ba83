//! Which recorded answer a call gets: that of the same place and input, or of the same input elsewhere; otherwise none.

use the_edge_obs::globs::Glob;
use the_edge_obs::{Flow, Snap};

use super::full::Full;
use super::places::Place;
use super::recording::Recorded;
use super::report::{Asked, Kind};
use super::secrets::holds_placeholder;
use super::stopped::{Stopped, Why};
use super::tape::{Now, Tape};
use super::values::{changes, Change};
use crate::error::Failure;

/// A call that waits for a decision.
pub(super) struct Asking<'a> {
    pub name: &'a str,
    /// The parameters, with secrets.
    pub params: &'a Snap,
    pub span: &'a str,
    pub place: &'a Place,
    /// Its input as it was logged, folded and without what is ignored.
    pub given: Option<Snap>,
    /// The run.
    pub flow: &'a Flow,
}

/// What to do about a call.
pub(super) enum Decision {
    /// Give what the recorded call gave.
    Answer(usize, Result<Snap, Failure>),
    /// Make it.
    Live,
    Stop(Box<Stopped>),
}

impl Tape {
    /// Decides about a call, and notes how it is answered.
    pub(super) fn decision(&self, now: &mut Now, asking: &Asking<'_>) -> Decision {
        let from = self.options.from_step.as_deref();
        now.has_begun |= from.is_none_or(|step| asking.place.is_in(step));
        let recording = &self.recording;
        let here = recording.at(asking.place);
        let mut found = Vec::new();
        if let Some(at) = here {
            let call = &recording.calls[at];
            if *call.node != *asking.name {
                let change = Change {
                    path: "node".to_owned(),
                    old: Some((&*call.node).into()),
                    new: Some(asking.name.into()),
                };
                return self.other(now, asking, None, vec![change]);
            }
            // Numbers must be equal: one may be a time, or decide a branch.
            found = changes("input", call.given.as_ref(), asking.given.as_ref(), 0.0);
            if found.is_empty() && now.given_to[at].is_none() {
                return self.known(now, asking, Kind::Same, at);
            }
        }
        let alike = recording.with_input(asking.name, asking.given.as_ref());
        let free = alike.iter().copied();
        let mut free: Vec<usize> = free.filter(|at| now.given_to[*at].is_none()).collect();
        if !free.is_empty() {
            // Of several, that of the same branch, iteration and attempt: a step may have got another name.
            free.sort_by_cached_key(|at| {
                !recording.calls[*at]
                    .place
                    .numbers()
                    .eq(asking.place.numbers())
            });
            // Of calls whose inputs are equal in the log, only one may be equal beyond the cut.
            let certain = free.iter().find(|at| self.problem(**at, asking).is_none());
            return self.known(now, asking, Kind::Moved, *certain.unwrap_or(&free[0]));
        }
        let taken = here.filter(|_| found.is_empty() && !self.may_be_live(now, asking));
        if let Some(place) = taken.and_then(|at| now.given_to[at].as_ref()) {
            let why = format!("its recorded answer was given to {}", place.shown());
            let hint = format!(
                "it is asked once more than it was recorded; make the call with live '{}'",
                asking.name
            );
            return stop(asking, why, found, hint, Why::Changed);
        }
        self.other(now, asking, here, found)
    }

    /// Answers a call that was recorded for this input, if all of both is known.
    fn known(&self, now: &mut Now, asking: &Asking<'_>, kind: Kind, at: usize) -> Decision {
        let is_live = self.may_be_live(now, asking);
        if self.options.again && is_live {
            return self.live(now, asking, "it is called again", Vec::new());
        }
        let call = &self.recording.calls[at];
        match self.problem(at, asking) {
            None => {
                let why = match kind {
                    Kind::Moved => format!("recorded at {}", call.place.shown()),
                    _ => String::new(),
                };
                self.given(now, asking, kind, at, &why, Vec::new())
            }
            Some(problem) if self.may_pretend(asking, kind, call) => {
                self.given(now, asking, Kind::Pretended, at, &problem, Vec::new())
            }
            Some(problem) if is_live => self.live(now, asking, &problem, Vec::new()),
            Some(problem) => {
                let full = self.recording.full_of(call);
                let hint = match full.is_some_and(Full::has_input) {
                    true => anew(asking), // it was recorded as whole as it can be
                    false => recorded_whole(asking),
                };
                unfit(asking, problem, Vec::new(), hint)
            }
        }
    }

    /// Tells whether the call at a place can answer although its input is not known as a whole.
    fn may_pretend(&self, asking: &Asking<'_>, kind: Kind, call: &Recorded) -> bool {
        let is_whole = || call.problem(self.recording.full_of(call)).is_none();
        kind == Kind::Same && matches(&self.options.pretend, asking) && is_whole()
    }

    /// Answers a call that was not recorded: its input is another one, or there was none at its place.
    fn other(
        &self,
        now: &mut Now,
        asking: &Asking<'_>,
        here: Option<usize>,
        changes: Vec<Change>,
    ) -> Decision {
        let why = match changes.is_empty() {
            true => "nothing like it was recorded",
            false => "it is not asked as it was recorded",
        };
        if let Some(at) = here.filter(|_| matches(&self.options.pretend, asking)) {
            let call = &self.recording.calls[at];
            return match call.problem(self.recording.full_of(call)) {
                None => self.given(now, asking, Kind::Pretended, at, why, changes),
                Some(problem) => unfit(asking, problem, changes, recorded_whole(asking)),
            };
        }
        if self.may_be_live(now, asking) {
            return self.live(now, asking, why, changes);
        }
        self.unknown(now, asking, why, changes)
    }

    fn given(
        &self,
        now: &mut Now,
        asking: &Asking<'_>,
        kind: Kind,
        at: usize,
        why: &str,
        changes: Vec<Change>,
    ) -> Decision {
        let call = &self.recording.calls[at];
        let full = self.recording.full_of(call);
        now.given_to[at] = Some(asking.place.clone());
        now.given.insert(asking.span.into(), at);
        let withheld = call.withheld(full);
        now.hands_out_placeholders |= withheld.iter().any(|path| !self.secrets.knows(at, path));
        for secret in &self.secrets.known {
            let _ = asking.flow.taint(secret.clone()); // whoever answers with a tape may not have named them
        }
        now.note(Asked::new(asking, kind, why, changes));
        let answer = call.answer(full);
        Decision::Answer(at, answer.map(|output| self.secrets.filled(at, output)))
    }

    /// Notes that a call is made for real; refuses it if it would send the placeholder of a secret.
    fn live(
        &self,
        now: &mut Now,
        asking: &Asking<'_>,
        why: &str,
        changes: Vec<Change>,
    ) -> Decision {
        if now.hands_out_placeholders && holds_placeholder(asking.params) {
            let missing = self.recording.missing_secrets(&now.given_to, &self.secrets);
            let hint = match &missing[..] {
                [] => String::new(),
                [first] => format!("give the secret: --secret {first}=VARIABLE"),
                [first, others @ ..] => {
                    let others = others[..others.len().min(2)].join(" or ");
                    format!("give the secret: --secret {first}=VARIABLE, or that of {others}")
                }
            };
            let problem = "it would be called with [REDACTED] in place of a secret, which a log does not have";
            return unfit(asking, problem.to_owned(), Vec::new(), hint);
        }
        now.note(Asked::new(asking, Kind::Live, why, changes));
        Decision::Live
    }

    /// Returns why a recorded call with this input, as far as the log shows it, cannot answer.
    fn problem(&self, at: usize, asking: &Asking<'_>) -> Option<String> {
        let call = &self.recording.calls[at];
        let full = self.recording.full_of(call);
        let problem = call.problem(full);
        problem.or_else(|| self.doubt(call, full, asking))
    }

    fn may_be_live(&self, now: &Now, asking: &Asking<'_>) -> bool {
        now.has_begun && matches(&self.options.live, asking)
    }

    /// Returns why it is not certain that a recorded call had this input, although the log shows no difference.
    fn doubt(
        &self,
        call: &Recorded,
        full: Option<Full<'_>>,
        asking: &Asking<'_>,
    ) -> Option<String> {
        if let Some(doubt) = call.doubt(full, &self.ignored) {
            return Some(doubt);
        }
        let cuts = call.cuts(&self.ignored);
        let full = full.filter(|_| !cuts.is_empty())?;
        let first = cuts[..cuts.len().min(3)].join(", ");
        let is_same = full.is_input(asking.params.clone(), asking.flow)
            || full.is_input(self.as_recorded(asking.params, asking.flow), asking.flow);
        (!is_same).then(|| {
            format!("its input differs from the recorded one beyond what the log shows, at {first} or elsewhere")
        })
    }

    /// Stops at a call that has no answer.
    fn unknown(&self, now: &Now, asking: &Asking<'_>, why: &str, changes: Vec<Change>) -> Decision {
        let (recording, name) = (&self.recording, asking.name);
        if changes.is_empty() {
            if recording.has_failed() && recording.unused(&now.given_to).next().is_none() {
                let hint = format!("to go on, make the call with live '{name}'");
                let why = "the recording, of a run that failed, ends before this call".to_owned();
                return stop(asking, why, changes, hint, Why::Beyond);
            }
            if recording.calls.iter().all(|call| *call.node != *name) {
                let category = name.split('.').next().unwrap_or(name);
                let hint = format!(
                    "if it was called then, its level was filtered: record {category} at level info; or make the call with live \
                     '{name}'"
                );
                let why = format!("no call of {name} is in the recording");
                return stop(asking, why, changes, hint, Why::Changed);
            }
        }
        stop(asking, why.to_owned(), changes, anew(asking), Why::Changed)
    }
}

fn matches(globs: &[Glob], asking: &Asking<'_>) -> bool {
    globs.iter().any(|glob| glob.matches(asking.name))
}

fn anew(asking: &Asking<'_>) -> String {
    format!(
        "make the call with live '{}', or record the flow again",
        asking.name
    )
}

fn recorded_whole(asking: &Asking<'_>) -> String {
    let name = asking.name;
    format!(
        "record it whole with `record: {{full: [{name}]}}`, or make the call with live '{name}'"
    )
}

fn unfit(asking: &Asking<'_>, why: String, changes: Vec<Change>, hint: String) -> Decision {
    stop(asking, why, changes, hint, Why::Unfit)
}

fn stop(
    asking: &Asking<'_>,
    why: String,
    changes: Vec<Change>,
    hint: String,
    kind: Why,
) -> Decision {
    Decision::Stop(Box::new(Stopped {
        place: asking.place.shown(),
        node: asking.name.to_owned(),
        why,
        changes,
        hint,
        kind,
    }))
}
