//! Gives events one at a time.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::merging::merged;
use crate::error::Error;
use crate::jsonl::{log_name, Events, Skipped};
use crate::query::Filters;
use crate::value::Snap;

/// Lets those events pass that are wanted.
pub(super) struct Sieve<'s> {
    pub(super) filters: &'s Filters,
    pub(super) left: usize,
    pub(super) is_empty: bool,
    pub(super) each: &'s mut dyn FnMut(Snap) -> ControlFlow<()>,
}

impl Sieve<'_> {
    pub(super) fn give(&mut self, event: Snap) -> ControlFlow<()> {
        self.is_empty = false;
        if self.left > 0 && self.filters.keeps(&event) {
            self.left -= 1;
            (self.each)(event)?;
        }
        if self.left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Gives the events of files, log by log. Of a log of several files the events are joined, in memory.
pub(super) fn stream(
    files: &[PathBuf],
    skipped: &mut Skipped,
    each: &mut impl FnMut(Snap) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Error> {
    let mut files: Vec<(Option<&Path>, String, &PathBuf)> = files
        .iter()
        .map(|file| (file.parent(), log_name(file), file))
        .collect();
    files.sort();
    for log in files.chunk_by(|one, other| (one.0, &one.1) == (other.0, &other.1)) {
        let mut parts = Vec::new();
        for (_, _, file) in log {
            let mut reader = Events::open(file)?;
            if log.len() == 1 {
                for event in reader.by_ref() {
                    if each(event?).is_break() {
                        skipped.add(reader.skipped());
                        return Ok(ControlFlow::Break(()));
                    }
                }
            } else {
                parts.push(reader.by_ref().collect::<Result<Vec<Snap>, Error>>()?);
            }
            skipped.add(reader.skipped());
        }
        if merged(parts)
            .into_iter()
            .try_for_each(&mut *each)
            .is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
