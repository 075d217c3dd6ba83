//! Exports: events or flow logs, written to a file completely or not at all.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;
use crate::files::{reason_of, Draft};
use crate::value::{write_string, Snap};

/// The form of an export. The Python package has more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The flow log as one object; a list of them for several flows.
    Json,
    /// One event a line, as in flow files.
    Jsonl,
}

/// Formats that only the Python package writes.
const PYTHON_ONLY: [&str; 6] = ["chrome", "csv", "htm", "html", "otlp-json", "speedscope"];

impl Format {
    /// All formats.
    pub const ALL: [Format; 2] = [Format::Json, Format::Jsonl];

    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["json", "jsonl"][self as usize]
    }

    /// Returns the format that the suffix of a path names; `jsonl` for a suffix that names none.
    ///
    /// # Errors
    ///
    /// [`Error::Export`]: the suffix names a format that only the Python package writes.
    ///
    /// ```
    /// use the_edge_obs::export::Format;
    ///
    /// assert_eq!(Format::of_path("run.JSON".as_ref())?, Format::Json);
    /// assert_eq!(Format::of_path("run.log".as_ref())?, Format::Jsonl);
    /// assert!(Format::of_path("run.html".as_ref()).is_err());
    /// # Ok::<(), the_edge_obs::Error>(())
    /// ```
    pub fn of_path(path: &Path) -> Result<Format, Error> {
        let suffix = path
            .extension()
            .map(|suffix| suffix.to_string_lossy().to_lowercase());
        let suffix = suffix.unwrap_or_default();
        if PYTHON_ONLY.contains(&&*suffix) {
            return suffix.parse();
        }
        Ok(suffix.parse().unwrap_or(Format::Jsonl))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Format::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| {
            let known = "allowed: json, jsonl";
            Error::Export(
                if PYTHON_ONLY.contains(&text) {
                    format!("format {text:?} is not written here; {known}; export jsonl, and use Python's tea-obs export on it")
                } else {
                    format!("unknown format {text:?}; {known}")
                },
                None,
            )
        })
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// The number of events.
    pub events: usize,
    /// The size of the file.
    pub bytes: u64,
}

impl Exported {
    /// Returns `{path, format, events, bytes}`, the result of the action `obs.export`.
    #[must_use]
    pub fn to_snap(&self) -> Snap {
        Snap::map([
            ("path", Snap::from(&*self.path.to_string_lossy())),
            ("format", self.format.name().into()),
            ("events", self.events.into()),
            ("bytes", self.bytes.into()),
        ])
    }
}

/// Writes events as JSON Lines, and returns what was written. Events are written as they come, and not held in memory.
///
/// Missing folders are created. A new file has mode 0600; a file that exists is replaced, and its mode is kept. If anything fails, it
/// stays as it was.
///
/// # Errors
///
/// [`Error::Export`]: the path cannot be written, or names a compressed file.
///
/// ```
/// use the_edge_obs::export::export_events;
/// use the_edge_obs::Snap;
///
/// let path = std::env::temp_dir().join(format!("the-edge-obs-{}.jsonl", std::process::id()));
/// let done = export_events([Snap::map([("node", Snap::from("rank"))])], &path)?;
/// assert_eq!((done.events, done.bytes), (1, 16));
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"node\":\"rank\"}\n");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), the_edge_obs::Error>(())
/// ```
pub fn export_events(
    events: impl IntoIterator<Item = Snap>,
    path: &Path,
) -> Result<Exported, Error> {
    export_each(path, |write| {
        events.into_iter().try_for_each(|event| write(&event))
    })
}

/// Writes events as [`export_events`] does, from a reader that gives them one by one and may fail: then the file stays as it was.
///
/// # Errors
///
/// As [`export_events`], and those of the reader.
pub fn export_each<E: From<Error>>(
    path: &Path,
    read: impl FnOnce(&mut dyn FnMut(&Snap) -> Result<(), Error>) -> Result<(), E>,
) -> Result<Exported, E> {
    check_name(path)?;
    let failed = |error: io::Error| cannot_write(path, &error);
    let mut draft = Draft::create(path).map_err(failed)?;
    let (mut line, mut count) = (String::new(), 0);
    read(&mut |event| {
        line.clear();
        event.write_json(&mut line);
        line.push('\n');
        count += 1;
        draft.write_all(line.as_bytes()).map_err(failed)
    })?;
    Ok(Exported {
        path: path.to_owned(),
        format: Format::Jsonl,
        events: count,
        bytes: draft.finish().map_err(failed)?,
    })
}

/// Writes flow logs as indented JSON: one as an object, several and none as a list. Files are treated as by [`export_events`].
///
/// # Errors
///
/// [`Error::Export`]: the path cannot be written, or names a compressed file.
pub fn export_flow_logs(logs: &[Snap], path: &Path) -> Result<Exported, Error> {
    let events = logs.iter().map(|log| match log.get("events") {
        Some(Snap::List(events)) => events.len(),
        _ => 0,
    });
    let mut text = String::new();
    match logs {
        [log] => indent(log, 0, Snap::write_json, &mut text),
        _ => sequence('[', ']', logs, 0, &mut text, |log, depth, out| {
            indent(log, depth, Snap::write_json, out)
        }),
    }
    text.push('\n');
    Ok(Exported {
        path: path.to_owned(),
        format: Format::Json,
        events: events.sum(),
        bytes: write_to(path, |out| out.write_all(text.as_bytes()))?,
    })
}

/// Writes a text to a file, completely or not at all, and returns its size. Files are treated as by [`export_events`].
///
/// # Errors
///
/// As [`export_events`].
pub fn write_text(path: &Path, text: &str) -> Result<u64, Error> {
    write_to(path, |out| out.write_all(text.as_bytes()))
}

/// Checks that a file can be written, before the work whose result goes there. Missing folders are created, and no file.
///
/// # Errors
///
/// As [`export_events`].
pub fn check_path(path: &Path) -> Result<(), Error> {
    check_name(path)?;
    Draft::create(path)
        .map(drop)
        .map_err(|error| cannot_write(path, &error))
}

/// Writes a file completely or not at all, and returns its size.
fn write_to(path: &Path, write: impl FnOnce(&mut Draft) -> io::Result<()>) -> Result<u64, Error> {
    check_name(path)?;
    let written = Draft::create(path).and_then(|mut draft| {
        write(&mut draft)?;
        draft.finish()
    });
    written.map_err(|error| cannot_write(path, &error))
}

fn check_name(path: &Path) -> Result<(), Error> {
    if path.as_os_str().is_empty() {
        let told = "path \"\" is not a file to write; give one such as run.jsonl";
        return Err(Error::Export(told.to_owned(), None));
    }
    if path.extension().is_some_and(|suffix| suffix == "gz") {
        let told = format!("path {path:?} names a compressed file, which is not written here; leave out .gz, and use gzip");
        return Err(Error::Export(told, None));
    }
    Ok(())
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    let told = format!("path {path:?} cannot be written: {}", reason_of(error));
    Error::Export(told, Some(error.kind()))
}

/// Returns a value as JSON with an indentation of 2, as Python's `json.dumps(value, indent=2, ensure_ascii=False)` writes it.
///
/// ```
/// use the_edge_obs::export::indented;
/// use the_edge_obs::Snap;
///
/// assert_eq!(indented(&Snap::map([("a", Snap::Int(1))])), "{\n  \"a\": 1\n}");
/// ```
#[must_use]
pub fn indented(value: &Snap) -> String {
    let mut out = String::new();
    indent(value, 0, Snap::write_json, &mut out);
    out
}

/// Returns a value that is not part of a log as [`indented`] does, and writes integers of any size as numbers. In a log, those that
/// other readers of JSON cannot read are texts.
///
/// ```
/// use the_edge_obs::export::{indented, indented_exactly};
/// use the_edge_obs::value::from_json;
///
/// let large = from_json("123456789012345678901").unwrap();
/// assert_eq!(indented_exactly(&large), "123456789012345678901");
/// assert_eq!(indented(&large), "\"123456789012345678901\"");
/// ```
#[must_use]
pub fn indented_exactly(value: &Snap) -> String {
    let mut out = String::new();
    indent(value, 0, write_exactly, &mut out);
    out
}

fn write_exactly(value: &Snap, out: &mut String) {
    match value {
        Snap::Int(number) => out.push_str(&number.to_string()),
        Snap::Big(digits) => out.push_str(digits),
        other => other.write_json(out),
    }
}

/// Appends a value; `write` appends those that are not containers.
fn indent(value: &Snap, depth: usize, write: fn(&Snap, &mut String), out: &mut String) {
    match value {
        Snap::List(items) => sequence('[', ']', items, depth, out, |item, depth, out| {
            indent(item, depth, write, out)
        }),
        Snap::Map(pairs) => sequence('{', '}', pairs, depth, out, |(key, item), depth, out| {
            write_string(key, out);
            out.push_str(": ");
            indent(item, depth, write, out);
        }),
        other => write(other, out),
    }
}

fn sequence<T>(
    open: char,
    close: char,
    items: &[T],
    depth: usize,
    out: &mut String,
    write: impl Fn(&T, usize, &mut String),
) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        line(depth + 1, out);
        write(item, depth + 1, out);
    }
    if !items.is_empty() {
        line(depth, out);
    }
    out.push(close);
}
