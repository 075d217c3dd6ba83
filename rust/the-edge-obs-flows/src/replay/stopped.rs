//! Why a replay stopped.

use std::fmt;

use super::values::Change;

/// The most changes that a message names.
const SHOWN: usize = 4;

/// Where a replay stopped, why, and what helps.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopped {
    /// The spans that lead to the call, from the root down.
    pub place: String,
    /// The node.
    pub node: String,
    /// What is wrong.
    pub why: String,
    /// Where the input differs from the recorded one.
    pub changes: Vec<Change>,
    /// What to do about it.
    pub hint: String,
    /// Whether the recorded run had failed, and all that it asked was answered: what follows was never recorded.
    pub is_beyond: bool,
}

impl fmt::Display for Stopped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({}): {}", self.place, self.node, self.why)?;
        let shown: Vec<String> = self
            .changes
            .iter()
            .take(SHOWN)
            .map(ToString::to_string)
            .collect();
        if !shown.is_empty() {
            write!(out, ": {}", shown.join("; "))?;
        }
        if self.changes.len() > SHOWN {
            write!(out, "; and {} more", self.changes.len() - SHOWN)?;
        }
        if !self.hint.is_empty() {
            write!(out, "; {}", self.hint)?;
        }
        Ok(())
    }
}
