//! Why a replay stopped.

use std::fmt;

use super::values::Change;

/// The most changes that a message names.
const SHOWN: usize = 3;

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
    /// What kind of reason that is.
    pub kind: Why,
}

/// Why a replay stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The flow asks something else.
    Changed,
    /// The recording cannot be used there.
    Unfit,
    /// The recorded run had failed, and the recording ends before this call.
    Beyond,
}

impl fmt::Display for Stopped {
    /// Writes one line: the place, what is wrong, the first changes, and what helps.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place == self.node {
            true => write!(out, "{}: {}", self.place, self.why)?,
            false => write!(out, "{} ({}): {}", self.place, self.node, self.why)?,
        }
        for change in self.changes.iter().take(SHOWN) {
            write!(out, "; {change}")?;
        }
        match self.changes.len().saturating_sub(SHOWN) {
            0 => {}
            1 => out.write_str("; 1 more change")?,
            more => write!(out, "; {more} more changes")?,
        }
        if !self.hint.is_empty() {
            write!(out, "; {}", self.hint)?;
        }
        Ok(())
    }
}
