//! The logs that commands read: files, and folders of them.

use std::collections::HashSet;
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

/// Returns the paths of logs as messages show them.
pub(super) fn all_shown(logs: &[PathBuf]) -> String {
    let names: Vec<String> = logs.iter().map(|log| shown(log)).collect();
    names.join(", ")
}

/// Tells whether logs are a single one that is not a folder.
pub(super) fn is_one_file(logs: &[PathBuf]) -> bool {
    matches!(logs, [log] if !log.is_dir())
}

/// Returns the files of logs, those that are read and those that are compressed, each once.
pub(super) fn files_of(logs: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Fault> {
    let (mut files, mut packed) = (Vec::new(), Vec::new());
    for log in logs {
        if log.is_dir() {
            let folder = log_files(log)?;
            files.extend(folder.files);
            packed.extend(folder.packed);
        } else {
            files.push(log.clone());
        }
    }
    if files.is_empty() && packed.is_empty() {
        let (what, hold) = if logs.len() == 1 {
            ("folder ", "holds")
        } else {
            ("", "hold")
        };
        return Err(Fault::Input(format!(
            "{what}{} {hold} no logs; the name of a log ends in {SUFFIX}",
            all_shown(logs)
        )));
    }
    let mut known = HashSet::new();
    for files in [&mut files, &mut packed] {
        files.sort();
        files.retain(|file| known.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    }
    Ok((files, packed))
}

/// Returns a store of logs; a file that is in several of them is read once.
pub(super) fn store_of(logs: &[PathBuf], skipped: &mut Skipped) -> Result<Store, Fault> {
    let (files, packed) = files_of(logs)?;
    if let [log] = logs {
        return Ok(Store::new().path(log));
    }
    skipped.packed.extend(packed);
    Ok(files.into_iter().fold(Store::new(), Store::path))
}

/// Gives `each` the events of a log that pass the filters, until it fails; prints afterwards on stderr which lines were skipped.
pub(super) fn read(
    logs: &[PathBuf],
    filters: &Filters,
    skipped: &mut Skipped,
    mut each: impl FnMut(Snap) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let store = store_of(logs, skipped)?;
    let mut failed = None;
    let done = store.for_each(filters, skipped, |event| match each(event) {
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
    say_skipped(logs, skipped);
    Ok(())
}

/// Prints on stderr which lines of a log were skipped, if any.
fn say_skipped(logs: &[PathBuf], skipped: &Skipped) {
    let source = all_shown(logs);
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
