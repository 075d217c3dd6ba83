//! Event files: JSON Lines, complete or cut off.
//!
//! Reading takes time in proportion to the length of the file, and memory in proportion to
//! [`MAX_LINE_BYTES`], whatever the file holds. Lines that are not events are skipped, and counted in
//! [`Skipped`]. Readers are tolerant: a key may stand twice (the last value counts), and half of a surrogate pair becomes U+FFFD.
//! [`validation`](crate::validation) is not.

mod decoding;
mod lines;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::event::MAX_LINE_BYTES;
use crate::files::{open_regular, reason_of};
use crate::value::{Snap, MAX_DEPTH};
use decoding::tolerant;
use lines::BOM;

pub use decoding::{decoded, is_readable, parsed};
pub(crate) use decoding::{listed, utf8};
pub use lines::{Line, Lines};

/// The suffix of the files that readers take from a folder.
pub const SUFFIX: &str = ".jsonl";

/// The largest `.json` export that is read, in bytes, because it is read at once. A `.jsonl` file has no limit.
pub const MAX_EXPORT_BYTES: usize = 64 * MAX_LINE_BYTES;

/// Containers around an event in a `.json` export: the list of flows, the flow, its events.
const AROUND_EVENTS: usize = 3;
/// What a reader skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The number of lines that are not events.
    pub lines: u64,
    /// Whether the last line of a file is cut off, as in the log of a process that was killed.
    pub torn: bool,
    /// The problem of the first skipped line, with its number.
    pub first: Option<String>,
    /// The number of lost events by flow, as `.json` exports tell it.
    pub dropped: HashMap<String, u64>,
    /// Compressed logs of a folder, which are not read.
    pub packed: Vec<PathBuf>,
}

impl Skipped {
    fn note(&mut self, number: u64, problem: &str, is_torn: bool) {
        self.lines += 1;
        self.torn |= is_torn;
        self.first
            .get_or_insert_with(|| format!("line {number}: {problem}"));
    }

    /// Adds what another reader skipped.
    pub fn add(&mut self, other: &Skipped) {
        self.lines += other.lines;
        self.torn |= other.torn;
        if self.first.is_none() {
            self.first.clone_from(&other.first);
        }
        for (flow, count) in &other.dropped {
            let known = self.dropped.entry(flow.clone()).or_default();
            *known = (*known).max(*count);
        }
        self.packed.extend(other.packed.iter().cloned());
    }

    /// Notes how many events an exported flow log has lost. The same flow in two exports has lost them once.
    fn note_dropped(&mut self, log: &Snap) {
        let count = log
            .get("metrics")
            .and_then(|metrics| metrics.get("dropped_count"));
        let flow = log.get("flow_id").and_then(Snap::as_str);
        if let (Some(flow), Some(Snap::Int(count @ 1..))) = (flow, count) {
            let known = self.dropped.entry(flow.to_owned()).or_default();
            *known = (*known).max(count.unsigned_abs());
        }
    }
}

/// Reads the events of a file, one at a time, in the order of the file. Memory does not grow with a `.jsonl` file.
///
/// The file is a `.jsonl` log or a `.json` export. Each item is an event, or the error that ends the reading.
///
/// ```no_run
/// use the_edge_obs::jsonl::Events;
///
/// let mut events = Events::open("logs/flow-6f1c9ad2.jsonl".as_ref())?;
/// for event in &mut events {
///     println!("{}", event?.to_json());
/// }
/// println!("{} lines skipped", events.skipped().lines);
/// # Ok::<(), the_edge_obs::Error>(())
/// ```
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    input: Input,
    skipped: Skipped,
}

#[derive(Debug)]
enum Input {
    Lines(Lines<BufReader<File>>),
    Loaded(std::vec::IntoIter<Snap>),
}

impl Events {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`Error::LogFile`]: the file does not exist, is not a regular file, is compressed, or is a `.json` file and not an export.
    pub fn open(path: &Path) -> Result<Events, Error> {
        let mut skipped = Skipped::default();
        let input = if is_export(path) {
            let logs = exported_logs(path, tolerant)?;
            Input::Loaded(events_of(logs, &mut skipped).into_iter())
        } else {
            Input::Lines(open_lines(path)?)
        };
        Ok(Events {
            path: path.to_owned(),
            input,
            skipped,
        })
    }

    /// Returns what was skipped so far.
    #[must_use]
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    fn next_of_lines(&mut self) -> io::Result<Option<Snap>> {
        let Input::Lines(lines) = &mut self.input else {
            return Ok(None);
        };
        while let Some(line) = lines.next_line()? {
            match line.bytes.map_or_else(|| Err(Line::too_long()), parsed) {
                Ok(event) => return Ok(Some(event)),
                Err(problem) => {
                    self.skipped
                        .note(line.number, &problem, line.is_torn && line.bytes.is_some())
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Events {
    type Item = Result<Snap, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Input::Loaded(events) = &mut self.input {
            return events.next().map(Ok);
        }
        let next = self.next_of_lines();
        if next.is_err() {
            self.input = Input::Loaded(Vec::new().into_iter());
        }
        next.map_err(|error| unreadable(&self.path, &error))
            .transpose()
    }
}

/// Tells whether a file is read as a `.json` export, by its name.
pub(crate) fn is_export(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".json") || name.ends_with(".json.gz")
}

fn is_packed(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".gz")
}

/// Opens the lines of a log.
pub(crate) fn open_lines(path: &Path) -> Result<Lines<BufReader<File>>, Error> {
    let file = open(path)?;
    Lines::new(BufReader::with_capacity(1 << 16, file)).map_err(|error| unreadable(path, &error))
}

fn open(path: &Path) -> Result<File, Error> {
    let file = open_regular(path).map_err(|error| unreadable(path, &error))?;
    if is_packed(path) {
        return Err(Error::LogFile(format!(
            "{path:?} is compressed, and this reader does not unpack; unpack it with gunzip -k, or read it with Python's tea-obs"
        )));
    }
    Ok(file)
}

/// Returns the error of a file that cannot be read.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::LogFile(format!("{path:?} cannot be read: {}", reason_of(error)))
}

/// Returns the flow logs of a `.json` export, each with its list of `events`. `decode` reads a JSON text of a depth.
pub(crate) fn exported_logs(
    path: &Path,
    decode: impl Fn(&str, usize) -> Result<Snap, String>,
) -> Result<Vec<Snap>, Error> {
    let mut content = Vec::new();
    let mut input = open(path)?.take(MAX_EXPORT_BYTES as u64 + 1);
    input
        .read_to_end(&mut content)
        .map_err(|error| unreadable(path, &error))?;
    if content.len() > MAX_EXPORT_BYTES {
        return Err(Error::LogFile(format!(
            "{path:?} is larger than {MAX_EXPORT_BYTES} bytes, and a .json export is read as a whole; export the log as .jsonl, \
             which has no limit"
        )));
    }
    let content = content.strip_prefix(BOM).unwrap_or(&content);
    let value = utf8(content).and_then(|text| decode(text, MAX_DEPTH + AROUND_EVENTS));
    let value = value.map_err(|problem| {
        Error::LogFile(format!(
            "{path:?} is not valid JSON ({problem}); a log is a .jsonl file or a .json export"
        ))
    })?;
    let logs = match value {
        Snap::List(logs) => logs.into_vec(),
        one => vec![one],
    };
    let is_log = |log: &Snap| matches!(log.get("events"), Some(Snap::List(_)));
    if logs.is_empty() || !logs.iter().all(is_log) {
        return Err(Error::LogFile(format!(
            "{path:?} is not an exported flow log: it has no list of events"
        )));
    }
    Ok(logs)
}

fn events_of(logs: Vec<Snap>, skipped: &mut Skipped) -> Vec<Snap> {
    let (mut events, mut number) = (Vec::new(), 0);
    for log in logs {
        skipped.note_dropped(&log);
        let Some(Snap::List(own)) = log.get("events") else {
            continue;
        };
        for event in own {
            number += 1;
            if is_readable(event) {
                events.push(event.clone());
            } else {
                skipped.note(number, "not an event", false);
            }
        }
    }
    events
}

/// The event files of a folder and its sub-folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// The files that are read, by name.
    pub files: Vec<PathBuf>,
    /// Compressed logs without an unpacked copy beside them. They are not read.
    pub packed: Vec<PathBuf>,
}

/// Returns the event files in a folder and its sub-folders; hidden sub-folders are passed over.
///
/// Links are followed. Each folder is entered once, so circles of links end, and each file counts once.
///
/// # Errors
///
/// [`Error::LogFile`]: a folder cannot be read.
pub fn log_files(folder: &Path) -> Result<Folder, Error> {
    let mut found = Folder::default();
    let (mut entered, mut known) = (HashSet::new(), HashSet::new());
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        if !entered.insert(real(&folder)) {
            continue;
        }
        let mut entries = entries_of(&folder).map_err(|error| {
            Error::LogFile(format!(
                "folder {folder:?} cannot be read: {}",
                reason_of(&error)
            ))
        })?;
        // In the order of names, links last: which of several paths a file has does not depend on the file system.
        entries.sort_by_cached_key(|path| (path.is_symlink(), path.clone()));
        for path in &entries {
            if is_log(path) && known.insert(real(path)) {
                let is_packed = path.extension().is_some_and(|suffix| suffix == "gz");
                let files = if is_packed {
                    &mut found.packed
                } else {
                    &mut found.files
                };
                files.push(path.clone());
            }
        }
        waiting.extend(
            entries
                .into_iter()
                .rev()
                .filter(|path| !is_hidden(path) && path.is_dir()),
        );
    }
    found.files.sort();
    found.packed.sort();
    Ok(found)
}

fn entries_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Tells whether a path is that of a log: a file with the suffix of one; a compressed one only without an unpacked copy.
fn is_log(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let has_name = name.ends_with(SUFFIX)
        || (name.ends_with(".jsonl.gz") && !path.with_extension("").is_file());
    has_name && path.is_file()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Returns the path of a file or folder without links.
fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns the log that a file belongs to: its name without the mark of a part that was set aside, as in
/// `flow-1.closed-0a1b2c3d.jsonl`.
pub(crate) fn log_name(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let Some(plain) = name.strip_suffix(SUFFIX) else {
        return name;
    };
    let is_mark = |mark: &str| {
        mark.len() == 8
            && mark
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match plain.rsplit_once(".closed-") {
        Some((head, mark)) if is_mark(mark) => format!("{head}{SUFFIX}"),
        _ => name,
    }
}
