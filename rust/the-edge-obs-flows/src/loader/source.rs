//! A flow as it was written: its data, and the mistakes found in it so far.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use the_edge_obs::value::Snap;
use the_edge_obs::yaml::{self, Yaml, YamlValue};
use the_edge_obs::Error;

use super::spot::Part;
use crate::error::FlowFileError;
use crate::sha256;

/// How many mistakes are reported at once. Each lists what is allowed, so all those of a large file could take minutes.
pub(crate) const MAX_MISTAKES: usize = 100;

/// Why a part of a flow could not be read.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A mistake in it.
    Mistake(Box<FlowFileError>),
    /// The limit of reported mistakes is reached, so reading stops.
    Enough,
}

impl From<FlowFileError> for Refusal {
    fn from(error: FlowFileError) -> Self {
        Refusal::Mistake(Box::new(error))
    }
}

/// What reading a part of a flow gives.
pub(crate) type Read<T> = Result<T, Refusal>;

/// A flow as plain data with places.
#[derive(Debug)]
pub(crate) struct Source {
    /// The content of the file.
    pub data: Yaml,
    /// The file; `None` for a flow given as text.
    pub path: Option<String>,
    /// The digest of the file's bytes, or of the text.
    pub sha256: Option<String>,
    mistakes: RefCell<Vec<FlowFileError>>,
}

impl Source {
    /// Reads a flow file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not YAML, has duplicate keys, or exceeds the limits.
    pub(crate) fn read_file(path: &Path) -> Result<Source, FlowFileError> {
        let name = path.display().to_string();
        let refuse = |problem: String| FlowFileError {
            path: Some(name.clone()),
            ..FlowFileError::new(problem)
        };
        let bytes = read_bytes(path).map_err(refuse)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            let mut refused = refuse("the file is not UTF-8; save it as UTF-8".to_owned());
            refused.line = Some(line + 1);
            refused
        })?;
        Source::parse(&text, Some(name))
    }

    /// Reads a flow from YAML text.
    ///
    /// # Errors
    ///
    /// As [`Source::read_file`].
    pub(crate) fn parse(text: &str, path: Option<String>) -> Result<Source, FlowFileError> {
        let read = yaml::read(text, path.as_deref().unwrap_or("flow"));
        let data = read.map_err(|error| {
            let (line, problem) = match error {
                Error::Yaml { line, problem, .. } => (Some(line), problem),
                other => (None, other.to_string()),
            };
            FlowFileError {
                path: path.clone(),
                line,
                ..FlowFileError::new(problem)
            }
        })?;
        if data.value == YamlValue::Scalar(Snap::Null) {
            return Err(FlowFileError {
                path,
                ..FlowFileError::new("the file is empty; a flow needs at least nodes:")
            });
        }
        let sha256 = Some(sha256::digest(text.as_bytes()));
        Ok(Source {
            data,
            path,
            sha256,
            mistakes: RefCell::default(),
        })
    }

    /// Returns a flow given as a value, which has no lines.
    pub(crate) fn from_snap(value: &Snap) -> Source {
        Source {
            data: Yaml::from(value),
            path: None,
            sha256: Some(sha256::digest(value.to_json().as_bytes())),
            mistakes: RefCell::default(),
        }
    }

    /// Returns the line of a place, or of the nearest one around it; `None` where no text was read.
    pub(crate) fn line(&self, place: &[Part]) -> Option<usize> {
        let (mut here, mut line) = (&self.data, None);
        for part in place {
            let found = match (&here.value, part) {
                (YamlValue::Map(pairs), Part::Key(key)) => pairs
                    .iter()
                    .find(|(name, _)| key_text(name) == **key)
                    .map(|(name, value)| (name.line, value)),
                (YamlValue::List(items), Part::Index(index)) => {
                    items.get(*index).map(|item| (item.line, item))
                }
                _ => None,
            };
            let Some((at, inner)) = found else { break };
            (here, line) = (inner, Some(at));
        }
        line.filter(|line| *line > 0)
    }

    /// Returns the line on which the text at a place begins; 1 where it is not known.
    pub(crate) fn text_line(&self, place: &[Part]) -> usize {
        let mut here = &self.data;
        for part in place {
            let inner = match (&here.value, part) {
                (YamlValue::Map(pairs), Part::Key(key)) => pairs
                    .iter()
                    .find(|(name, _)| key_text(name) == **key)
                    .map(|(_, value)| value),
                (YamlValue::List(items), Part::Index(index)) => items.get(*index),
                _ => None,
            };
            let Some(inner) = inner else { return 1 };
            here = inner;
        }
        here.text_line.max(1)
    }

    /// Notes a mistake, with those attached to it; reading continues, so that further mistakes are found.
    ///
    /// # Errors
    ///
    /// [`Refusal::Enough`] if these are the last ones that are reported at once.
    pub(crate) fn note(&self, mut mistake: FlowFileError) -> Read<()> {
        let mut mistakes = self.mistakes.borrow_mut();
        let others = std::mem::take(&mut mistake.others);
        mistakes.push(mistake);
        mistakes.extend(others);
        if mistakes.len() >= MAX_MISTAKES {
            return Err(Refusal::Enough);
        }
        Ok(())
    }

    /// Returns what was read, or notes its mistake and returns `None`.
    ///
    /// # Errors
    ///
    /// As [`Source::note`].
    pub(crate) fn attempt<T>(&self, read: Read<T>) -> Read<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(Refusal::Mistake(mistake)) => self.note(*mistake).map(|()| None),
            Err(Refusal::Enough) => Err(Refusal::Enough),
        }
    }

    /// Returns the first of the noted mistakes as an error, with the others attached to it.
    ///
    /// # Errors
    ///
    /// There is at least one.
    pub(crate) fn refuse_mistakes(self) -> Result<(), FlowFileError> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.truncate(MAX_MISTAKES);
        if mistakes.is_empty() {
            return Ok(());
        }
        let mut first = mistakes.remove(0);
        first.others = mistakes;
        Err(first)
    }
}

/// Returns a key as text: of another scalar than a text, as JSON has it.
pub(crate) fn key_text(key: &Yaml) -> String {
    match key.to_snap() {
        Snap::Str(text) => text.into(),
        other => other.to_json(),
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("the file cannot be read: {error}");
    let kind = std::fs::metadata(path).map_err(cannot)?;
    if !kind.is_file() {
        return Err("the path is not a file; give a YAML file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(yaml::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() > yaml::MAX_BYTES {
        return Err(format!(
            "the file is larger than {} bytes; use sub-flows",
            yaml::MAX_BYTES
        ));
    }
    Ok(bytes)
}
