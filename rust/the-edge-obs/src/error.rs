//! The errors of the crate, with names that stay the same from release to release.

use std::fmt;

use crate::value::JsonError;

/// What can go wrong in this crate. Nothing here is raised while events are logged: only callers who ask get an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A level that does not exist. The text is what was given.
    Level(String),
    /// An event that does not follow the schema, with one line per problem. It is never empty.
    Event(Vec<String>),
    /// An id that is not a UUID in its canonical form: lowercase, with hyphens. The text is what was given.
    Id(String),
    /// A path or mode of files that cannot be used. The text says why, and what to do.
    Path(String),
    /// A text that is not strict JSON.
    Json(JsonError),
    /// A duration that cannot be read. The text is the whole message, as in the variants below.
    Duration(String),
    /// An unknown filter, or a filter whose value is not valid.
    Query(String),
    /// The level of a filter, which does not exist. The texts are the filter's name and what was given.
    FilterLevel(&'static str, String),
    /// A log file that cannot be read, or holds no events.
    LogFile(String),
    /// A flow that is in no log. The text says what was looked for, and where.
    FlowNotFound(String),
    /// A configuration that cannot be used.
    Configuration {
        /// The part that is wrong, such as `observability.handlers[0].path`.
        place: String,
        /// What is wrong and what is allowed, in English, on one line. Secrets are taken out.
        problem: String,
    },
    /// A text that is not YAML, or more than this crate reads.
    Yaml {
        /// The name of the file, or what else the text is.
        source: String,
        /// The line of the mistake, from 1.
        line: usize,
        /// The character in the line, from 1, in code points.
        column: usize,
        /// What is wrong and what is allowed, in English, on one line.
        problem: String,
    },
    /// An export that failed: the format is unknown, or the path cannot be written; then the kind of the system's error is known.
    Export(String, Option<std::io::ErrorKind>),
}

impl Error {
    /// Returns the stable name of the error. The Python package's class of the same error has the same name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Error::Level(_) | Error::FilterLevel(..) => "LevelError",
            Error::Event(_) => "EventError",
            Error::Id(_) | Error::Path(_) | Error::Configuration { .. } => "ConfigurationError",
            Error::Json(_) => "JSONDecodeError",
            Error::Duration(_) => "DurationError",
            Error::Query(_) => "QueryError",
            Error::LogFile(_) => "LogFileError",
            Error::FlowNotFound(_) => "FlowNotFoundError",
            Error::Yaml { .. } => "FlowFileError",
            Error::Export(..) => "ExportError",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Level(given) => {
                write!(
                    out,
                    "unknown level {given:?}; it must be one of debug, info, warn, error"
                )
            }
            Error::Event(problems) => out.write_str(&problems.join("; ")),
            Error::Id(given) => write!(
                out,
                "{given:?} is not a UUID; write it in lowercase, with hyphens"
            ),
            Error::Path(problem) => out.write_str(problem),
            Error::Json(error) => error.fmt(out),
            Error::Configuration { problem, .. } => out.write_str(problem),
            Error::Yaml {
                source,
                line,
                column,
                problem,
            } => write!(out, "{source}:{line}:{column}: {problem}"),
            Error::FilterLevel(filter, given) => write!(
                out,
                "{filter}: unknown level {given}; it must be one of debug, info, warn, error"
            ),
            Error::Duration(text)
            | Error::Query(text)
            | Error::LogFile(text)
            | Error::FlowNotFound(text)
            | Error::Export(text, _) => out.write_str(text),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Json(error) => Some(error),
            _ => None,
        }
    }
}

impl From<JsonError> for Error {
    fn from(error: JsonError) -> Self {
        Error::Json(error)
    }
}
