//! What a replay did.

use super::decision::Asking;
use super::stopped::Stopped;
use super::values::Change;

/// How a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By the call that was recorded at the same place with the same input.
    Same,
    /// By one that was recorded at another place with the same input.
    Moved,
    /// It was made.
    Live,
    /// By the call that was recorded at the same place, with another input.
    Pretended,
}

/// A call of a replay, and how it was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The spans that lead to it, from the root down.
    pub place: String,
    /// The node.
    pub node: String,
    /// How it was answered.
    pub kind: Kind,
    /// What was different, or why it was made; empty for the same call.
    pub why: String,
    /// Where its input differs from the recorded one.
    pub changes: Vec<Change>,
}

impl Asked {
    pub(super) fn new(asking: &Asking<'_>, kind: Kind, why: &str, changes: Vec<Change>) -> Asked {
        Asked {
            place: asking.place.shown(),
            node: asking.name.to_owned(),
            kind,
            why: why.to_owned(),
            changes,
        }
    }
}

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Every call of an action that was answered or made, in order.
    pub asked: Vec<Asked>,
    /// The places of recorded calls that were not asked for.
    pub unused: Vec<String>,
    /// Where and why the run stopped; `None` if every call had an answer.
    pub stopped: Option<Stopped>,
}

impl Report {
    /// Returns how many calls were answered in this way.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.of(kind).count()
    }

    /// Returns the calls that were answered in this way.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(move |asked| asked.kind == kind)
    }
}
