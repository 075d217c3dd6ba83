//! The logs that commands read: a file, or a folder of them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use the_edge_obs::jsonl::{log_files, Skipped, SUFFIX};
use the_edge_obs::{Error, Filters, Snap, Store};

use super::terminal::{counted, fail, say, Fault, BAD, DONE};
use crate::python::quoted;

/// Returns a path as messages show it.
pub(super) fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// Returns the files of a log.
pub(super) fn files_of(log: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Fault> {
    if !log.is_dir() {
        return Ok((vec![log.to_owned()], Vec::new()));
    }
    let folder = log_files(log)?;
    if folder.files.is_empty() && folder.packed.is_empty() {
        return Err(Fault::Input(format!(
            "folder {} holds no logs; the name of a log ends in {SUFFIX}",
            shown(log)
        )));
    }
    Ok((folder.files, folder.packed))
}

/// Gives `each` the events of a log that pass the filters, until it fails; prints afterwards on stderr which lines were skipped.
pub(super) fn read(
    log: &Path,
    filters: &Filters,
    skipped: &mut Skipped,
    mut each: impl FnMut(Snap) -> Result<(), Fault>,
) -> Result<(), Fault> {
    files_of(log)?;
    let mut failed = None;
    let done = Store::new()
        .path(log)
        .for_each(filters, skipped, |event| match each(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(fault) => {
                failed = Some(fault);
                ControlFlow::Break(())
            }
        });
    if let Some(fault) = failed {
        return Err(fault);
    }
    done.map_err(|error: Error| Fault::from(error))?;
    say_skipped(log, skipped);
    Ok(())
}

/// Prints on stderr which lines of a log were skipped, if any.
fn say_skipped(log: &Path, skipped: &Skipped) {
    let source = shown(log);
    if skipped.lines == 1 && skipped.torn {
        say(&format!(
            "note: the last line of {source} is cut off: its process was killed or is still writing"
        ));
    } else if let Some(first) = &skipped.first {
        let is = if skipped.lines == 1 {
            "is not an event"
        } else {
            "are not events"
        };
        let lines = counted(skipped.lines, "line");
        say(&format!(
            "note: {lines} of {source} {is} ({first}); tea-obs-rs validate lists what is wrong"
        ));
    }
}

/// Returns the exit code of a command that has read what there is: bad input if compressed logs, which are not read, are missing in its
/// output.
pub(super) fn code_of(packed: &[PathBuf]) -> u8 {
    let Some(first) = packed.first() else {
        return DONE;
    };
    let (count, is) = match packed.len() {
        1 => ("a compressed log".to_owned(), "is"),
        count => (format!("{count} compressed logs"), "are"),
    };
    fail(
        &format!(
            "{count} {is} not read, such as {}; unpack with gunzip -k, or use Python's tea-obs",
            shown(first)
        ),
        BAD,
    )
}
