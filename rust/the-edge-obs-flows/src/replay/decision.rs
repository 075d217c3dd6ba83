//! What a replay does about one call: answer it, make it, or stop.

use the_edge_obs::redaction::inside;
use the_edge_obs::{Flow, Snap};

use super::full::Full;
use super::places::Place;
use super::recording::{Loss, Recorded};
use super::stopped::Stopped;
use super::tape::{Now, Tape};
use super::values::{changes, is_ignored, Change, REDACTED};
use crate::error::Failure;

/// A call that waits for a decision.
pub(super) struct Asking<'a> {
    pub name: &'a str,
    /// The parameters, with secrets.
    pub params: &'a Snap,
    pub place: &'a Place,
    /// The data of its entry, folded.
    pub given: Snap,
    /// The run.
    pub flow: &'a Flow,
}

/// What to do about a call.
pub(super) enum Decision {
    /// Give what the recorded call gave.
    Answer {
        at: usize,
        /// Whether it was recorded at another place.
        is_moved: bool,
        answer: Result<Snap, Failure>,
        /// Where a secret was taken out of the answer.
        redacted: Option<String>,
    },
    /// Make it.
    Live {
        why: &'static str,
        changes: Vec<Change>,
    },
    Stop(Box<Stopped>),
}

/// How a call relates to the recording.
enum Found {
    /// The call at the same place has the same input.
    Same(usize),
    /// A call at another place has the same input.
    Moved(usize),
    /// The call at the same place has another input.
    Changed(Vec<Change>),
    New,
}

/// Why something cannot be, and what helps.
type Problem = (String, String);

impl Tape {
    /// Decides about a call.
    pub(super) fn decision(&self, now: &mut Now, asking: &Asking<'_>) -> Decision {
        let found = self.find(now, asking);
        if let Some(at) = self.recording.at(asking.place) {
            now.is_passed[at] = true;
        }
        let is_live = self
            .options
            .live
            .iter()
            .any(|glob| glob.matches(asking.name));
        let (why, changes) = match found {
            Found::Same(at) => return self.answered(at, false, asking),
            Found::Moved(at) => return self.answered(at, true, asking),
            Found::Changed(changes) => ("changed", changes),
            Found::New => ("new", Vec::new()),
        };
        if !is_live {
            return self.refused(now, asking, changes);
        }
        match redacted_in("input", asking.params) {
            None => Decision::Live { why, changes },
            Some(path) => {
                let problem = format!(
                    "a live call would be given a secret that was taken out of the recording, at {path}"
                );
                stop(
                    asking,
                    problem,
                    Vec::new(),
                    "give the value with --set".to_owned(),
                )
            }
        }
    }

    /// Looks for the recorded call.
    fn find(&self, now: &Now, asking: &Asking<'_>) -> Found {
        let given = asking.given.get("input");
        let differences = |call: &Recorded| -> Vec<Change> {
            let found = changes("input", call.given.get("input"), given);
            let is_other = |change: &Change| !is_ignored(&change.path, &self.options.ignore);
            found.into_iter().filter(is_other).collect()
        };
        let calls = &self.recording.calls;
        let here = self.recording.at(asking.place);
        let here = here.filter(|at| &*calls[*at].node == asking.name);
        let here = here.map(|at| (at, differences(&calls[at])));
        if let Some((at, found)) = &here {
            if found.is_empty() {
                return Found::Same(*at);
            }
        }
        let is_free = |at: &usize| !now.is_used[*at] && differences(&calls[*at]).is_empty();
        let mut others = self.recording.of_node(asking.name).iter().copied();
        match (others.find(is_free), here) {
            (Some(at), _) => Found::Moved(at),
            (None, Some((_, found))) => Found::Changed(found),
            (None, None) => Found::New,
        }
    }

    /// Gives what a recorded call gave, unless that is not whole.
    fn answered(&self, at: usize, is_moved: bool, asking: &Asking<'_>) -> Decision {
        let call = &self.recording.calls[at];
        let full = self.full.get(&call.span_id);
        if let Some((why, hint)) = unfit(call, full) {
            return stop(asking, why, Vec::new(), hint);
        }
        if lost(&call.given_losses, Loss::Cut).is_some() {
            let is_same = full.and_then(|full| full.has_input(asking.params, asking.flow));
            if is_same != Some(true) {
                let why = "its input differs from the recorded one beyond what the log shows";
                return stop(asking, why.to_owned(), Vec::new(), self.way_out(asking));
            }
        }
        let (answer, redacted) = match full.and_then(Full::answer) {
            Some(Ok(answer)) => (answer, full.and_then(Full::redacted)),
            Some(Err(why)) => return stop(asking, why, Vec::new(), self.way_out(asking)),
            None => {
                let losses = call.losses();
                let redacted = lost(&losses, Loss::Redacted).map(str::to_owned);
                let raised = || {
                    let (kind, message) = call.error();
                    Failure::new(kind, message)
                };
                (call.output().ok_or_else(raised), redacted)
            }
        };
        Decision::Answer {
            at,
            is_moved,
            answer,
            redacted,
        }
    }

    /// Stops at a call that has no answer.
    fn refused(&self, now: &Now, asking: &Asking<'_>, changes: Vec<Change>) -> Decision {
        if !changes.is_empty() {
            let why = "its input is not the recorded one".to_owned();
            return stop(asking, why, changes, self.way_out(asking));
        }
        let (why, mut hint) = match self.recording.of_node(asking.name).is_empty() {
            false => ("nothing like it was recorded".to_owned(), String::new()),
            true => {
                let category = asking.name.split('.').next().unwrap_or(asking.name);
                let hint = format!("log {category} at info, or ");
                (format!("nothing of {} was recorded", asking.name), hint)
            }
        };
        hint += &self.way_out(asking);
        match stop(asking, why, changes, hint) {
            Decision::Stop(mut stopped) => {
                stopped.is_beyond = self.has_failed && !self.has_left(now);
                Decision::Stop(stopped)
            }
            other => other,
        }
    }

    fn way_out(&self, asking: &Asking<'_>) -> String {
        format!("allow it with --live '{}', or record again", asking.name)
    }

    /// Tells whether there are recorded calls that the run has not come to.
    fn has_left(&self, now: &Now) -> bool {
        let mut calls = self.recording.calls.iter().enumerate();
        calls.any(|(at, call)| call.is_asked && !now.is_used[at] && !now.is_passed[at])
    }
}

fn stop(asking: &Asking<'_>, why: String, changes: Vec<Change>, hint: String) -> Decision {
    Decision::Stop(Box::new(Stopped {
        place: asking.place.shown(),
        node: asking.name.to_owned(),
        why,
        changes,
        hint,
        is_beyond: false,
    }))
}

/// Returns why a recorded call cannot be answered, and what helps.
pub(super) fn unfit(call: &Recorded, full: Option<Full<'_>>) -> Option<Problem> {
    if full.is_some() {
        return None;
    }
    let record = format!("record it whole: record: {{full: [{}]}}", call.node);
    if let Some(path) = lost(&call.given_losses, Loss::Cut) {
        let why = format!("its recorded input was cut at {path}, so what is beyond may differ");
        return Some((why, record));
    }
    if call.end.is_none() {
        return Some((
            "the recording has no end of it".to_owned(),
            "record again".to_owned(),
        ));
    }
    let losses = call.losses();
    let path = lost(&losses, Loss::Cut)?;
    Some((format!("its recorded answer was cut at {path}"), record))
}

/// Returns the first path of a loss of this kind.
fn lost(losses: &[(String, Loss)], kind: Loss) -> Option<&str> {
    let mut paths = losses.iter().filter(|(_, loss)| *loss == kind);
    paths.next().map(|(path, _)| &**path)
}

/// Returns where a value has a placeholder in place of a secret.
fn redacted_in(path: &str, value: &Snap) -> Option<String> {
    match value {
        Snap::Str(text) | Snap::Mark(text) => text.contains(REDACTED).then(|| path.to_owned()),
        Snap::List(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(at, item)| redacted_in(&format!("{path}[{at}]"), item))
        }
        Snap::Map(pairs) => {
            let mut pairs = pairs.iter();
            pairs.find_map(|(key, item)| redacted_in(&inside(path, key), item))
        }
        _ => None,
    }
}
