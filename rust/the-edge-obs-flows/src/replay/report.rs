//! What came of a replay.

use super::decision::{Asking, Decision};
use super::stopped::Stopped;
use super::values::Change;

/// How calls were answered, and where the run stopped.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Calls that were answered by the call at the same place.
    pub same: usize,
    /// Calls that were answered by a call at another place, with the same input.
    pub moved: usize,
    /// Calls that were made, and why.
    pub live: Vec<Live>,
    /// The places of answers in which a secret was taken out, with the path of the first one.
    pub redacted: Vec<(String, String)>,
    /// Recorded calls that nothing asked for, each with its place and node.
    pub unused: Vec<String>,
    /// Why the run stopped; `None` if every call had an answer.
    pub stopped: Option<Stopped>,
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// The spans that lead to it.
    pub place: String,
    /// The node.
    pub node: String,
    /// `changed` if its input is another one, `new` if nothing like it was recorded.
    pub why: &'static str,
    /// Where its input differs.
    pub changes: Vec<Change>,
}

impl Report {
    /// Returns how many calls were answered from the recording.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.same + self.moved
    }

    pub(super) fn note(&mut self, decision: &Decision, asking: &Asking<'_>) {
        let place = asking.place.shown();
        match decision {
            Decision::Answer {
                is_moved, redacted, ..
            } => {
                match is_moved {
                    false => self.same += 1,
                    true => self.moved += 1,
                }
                let path = redacted.iter().cloned();
                self.redacted.extend(path.map(|path| (place.clone(), path)));
            }
            Decision::Live { why, changes } => self.live.push(Live {
                place,
                node: asking.name.to_owned(),
                why,
                changes: changes.clone(),
            }),
            Decision::Stop(_) => {}
        }
    }
}
