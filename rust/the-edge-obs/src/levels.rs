//! Levels by category and action.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Level;

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Returns a number that grows with every change of any levels: what was decided by them before is void.
#[inline]
#[must_use]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Says that levels, or who reads them, have changed.
pub(crate) fn changed() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The levels below which events are dropped.
#[derive(Debug)]
pub struct Levels {
    default: Level,
}

impl Levels {
    /// Returns levels with a default.
    #[must_use]
    pub fn new(default: Level) -> Levels {
        Levels { default }
    }

    /// Tells whether events of a node pass at a level.
    #[must_use]
    pub fn on(&self, _node: &str, level: Level) -> bool {
        level >= self.default
    }
}
