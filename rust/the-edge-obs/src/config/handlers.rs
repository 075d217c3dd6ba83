//! Handlers of a block: where events go.

use super::read::level;
use crate::error::Error;
use crate::event::Level;
use crate::levels::Threshold;
use crate::redaction::{allowed, check_keys, flag, mistake, shown, wrong};
use crate::sink::file::{FlowFile, DEFAULT_PATH, FILE_MODE};
use crate::value::Snap;

/// Where events go, and from which level on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handler {
    /// The lowest level that goes there.
    pub level: Threshold,
    /// Where that is.
    pub kind: HandlerKind,
}

/// A kind of handler.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerKind {
    /// The console, for people.
    Console {
        /// Whether the data of events is shown.
        verbose: bool,
    },
    /// Files of lines.
    File {
        /// The path; `{flow_id}` stands for the flow's id.
        path: Box<str>,
        /// The mode of new files.
        mode: u32,
    },
}

const TYPES: [&str; 2] = ["console", "file"];

/// Reads a handler.
pub(super) fn handler(place: &str, value: &Snap) -> Result<Handler, Error> {
    let under = |key: &str| format!("{place}.{key}");
    let (Snap::Map(pairs), Some(kind)) = (value, value.get("type")) else {
        if let Some(class) = value.get("class") {
            return Err(not_here(&under("class"), class));
        }
        let wanted = format!("it must be a mapping with a type; {}", allowed(&TYPES));
        return Err(wrong(place, value, &wanted));
    };
    let keys: &[&str] = match kind.as_str() {
        Some("console") => &["type", "level", "verbose"],
        Some("file") => &["type", "level", "path", "mode"],
        Some("callback") => &["type", "level", "callback"],
        _ => return Err(not_here(&under("type"), kind)),
    };
    check_keys(place, pairs, keys)?;
    let level = match value.get("level") {
        Some(value) => level(&under("level"), value)?,
        None => Some(Level::Debug),
    };
    let kind = match kind.as_str() {
        Some("console") => {
            let verbose = value.get("verbose").unwrap_or(&Snap::Bool(false));
            let verbose = flag(&under("verbose"), verbose)?;
            HandlerKind::Console { verbose }
        }
        Some("file") => HandlerKind::File {
            path: path(&under("path"), value.get("path"))?,
            mode: mode(&under("mode"), value.get("mode"))?,
        },
        _ => return Err(no_callback(&under("callback"), value)),
    };
    Ok(Handler { level, kind })
}

/// Returns the error of a handler that is not one of [`TYPES`]: Python finds others by their package or class.
fn not_here(place: &str, given: &Snap) -> Error {
    let wanted = format!(
        "{} in this runtime; other types, such as otlp, and class: package.Name are handlers of the Python package; use tea-obs for them, \
         or add a sink to the layer in code",
        allowed(&TYPES)
    );
    wrong(place, given, &wanted)
}

/// Returns the error of a callback: its function is one of Python.
fn no_callback(place: &str, handler: &Snap) -> Error {
    let given = handler.get("callback").unwrap_or(&Snap::Null);
    let wanted = "a configuration cannot name a function of a Rust program; add a sink to the layer in code, and leave this handler out";
    wrong(place, given, wanted)
}

fn path(place: &str, value: Option<&Snap>) -> Result<Box<str>, Error> {
    let path = match value {
        None => DEFAULT_PATH,
        Some(Snap::Str(text) | Snap::Mark(text)) => text,
        Some(other) => {
            let wanted = format!("it must be a path such as {DEFAULT_PATH}");
            return Err(wrong(place, other, &wanted));
        }
    };
    match FlowFile::new(path) {
        Ok(_) => Ok(path.into()),
        Err(error) => Err(mistake(place, &format!("{place}: {error}"))),
    }
}

/// Reads a mode: octal digits in quotes, or a number, which YAML reads from octal digits that begin with a zero.
fn mode(place: &str, value: Option<&Snap>) -> Result<u32, Error> {
    let number = match value {
        None => Some(FILE_MODE),
        Some(Snap::Int(number)) => u32::try_from(*number).ok(),
        Some(Snap::Str(text) | Snap::Mark(text)) => octal(text),
        Some(_) => None,
    };
    let is_mode = |mode: &u32| mode & !0o666 == 0 && mode & FILE_MODE == FILE_MODE;
    number.filter(is_mode).ok_or_else(|| {
        let shown = shown(value.unwrap_or(&Snap::Null));
        let problem = format!(
            "{place} is {shown}; it must be an octal file mode in which the owner reads and writes and nobody executes: \"0600\" (the \
             default), \"0640\", \"0644\", \"0660\" or \"0666\", in quotes"
        );
        mistake(place, &problem)
    })
}

fn octal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_short = (1..=4).contains(&digits.len());
    let is_octal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    (is_short && is_octal).then(|| u32::from_str_radix(digits, 8).ok())?
}
