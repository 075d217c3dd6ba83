//! The errors of flows: mistakes in their files, and failures of their runs.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use the_edge_obs::Snap;

/// A flow with a mistake. It is refused before anything runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowFileError {
    /// What is wrong and what is allowed, in one line.
    pub problem: String,
    /// The flow file; `None` for a flow given as text.
    pub path: Option<String>,
    /// The line of the mistake, from 1, if it is known.
    pub line: Option<usize>,
    /// The node with the mistake; `None` for a mistake outside the nodes.
    pub step: Option<String>,
    /// Further mistakes in the same flow, in the order in which they were found.
    pub others: Vec<FlowFileError>,
}

impl FlowFileError {
    /// Returns an error without a place.
    #[must_use]
    pub fn new(problem: impl Into<String>) -> FlowFileError {
        FlowFileError {
            problem: problem.into(),
            path: None,
            line: None,
            step: None,
            others: Vec::new(),
        }
    }

    /// Returns the stable name of the error. The Python package's class of the same error has the same name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        "FlowFileError"
    }
}

impl fmt::Display for FlowFileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(out, "{path}:")?;
        }
        if let Some(line) = self.line {
            write!(out, "{line}:")?;
        }
        let space = if self.path.is_some() || self.line.is_some() {
            " "
        } else {
            ""
        };
        write!(out, "{space}{}", self.problem)
    }
}

impl std::error::Error for FlowFileError {}

/// The kind of a failure of the runner itself: a template, a condition, a route, `max_steps`.
pub const FLOW_RUN_ERROR: &str = "FlowRunError";

/// The kind of a failure of an action, unless it gives another one.
pub const ACTION_ERROR: &str = "ActionError";

const CANCELLED: &str = "CancelledError";

/// The kind of a failure that ends the run because a replay has no answer. The node itself has not failed.
const STOPPED: &str = "ReplayStopped";

/// What ends a node, and the flow if nothing handles it. Actions return it, and so does [`Flow::run`](crate::Flow::run).
///
/// The kind is one of the stable names of docs/parity.md (F2), or an action's own word.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What kind of failure it is, such as `ActionError`. It is the `type` of the error in the log.
    pub kind: Cow<'static, str>,
    /// What is wrong, in one line.
    pub message: String,
    /// The node that cannot run or be left, if the runner itself failed there.
    pub step: Option<String>,
    /// More general kinds that a recording names.
    bases: Arc<[Box<str>]>,
    /// The error as a recording describes it: also where it was raised, and its cause.
    details: Option<Arc<Snap>>,
}

impl Failure {
    /// Returns a failure of a kind.
    #[must_use]
    pub fn new(kind: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Failure {
        Failure {
            kind: kind.into(),
            message: message.into(),
            step: None,
            bases: Arc::default(),
            details: None,
        }
    }

    /// Returns the failure that `data.error` of an event describes.
    pub(crate) fn recorded(error: &Snap) -> Failure {
        let text = |key: &str| error.get(key).and_then(Snap::as_str).unwrap_or_default();
        let (kind, message) = (text("type").to_owned(), text("message").to_owned());
        let mut failure = Failure::new(kind, message);
        if let Snap::Map(pairs) = error {
            let pairs = pairs.iter().filter(|(key, _)| &**key != "traceback");
            failure.details = Some(Arc::new(Snap::Map(pairs.cloned().collect())));
        }
        failure
    }

    /// Returns what `data.error` of an event says of the failure.
    pub(crate) fn described(&self) -> Snap {
        match &self.details {
            Some(details) => (**details).clone(),
            None => Snap::map([
                ("type", Snap::from(&*self.kind)),
                ("message", (*self.message).into()),
            ]),
        }
    }

    /// Returns the failure with more general kinds, which [`Failure::is_a`] knows then.
    pub(crate) fn with_bases(mut self, bases: Arc<[Box<str>]>) -> Failure {
        self.bases = bases;
        self
    }

    /// Returns a failure of an action: a parameter that it refuses, or something that it cannot do.
    #[must_use]
    pub fn action(message: impl Into<String>) -> Failure {
        Failure::new(ACTION_ERROR, message)
    }

    /// Returns a failure of the runner at a step.
    pub(crate) fn run(message: impl Into<String>, step: Option<&str>) -> Failure {
        Failure {
            step: step.map(str::to_owned),
            ..Failure::new(FLOW_RUN_ERROR, message)
        }
    }

    /// Returns the failure of what was running when the run was interrupted.
    pub(crate) fn cancelled() -> Failure {
        Failure::new(CANCELLED, "the run was interrupted")
    }

    /// Returns the failure that ends a run because a call has no answer. Nothing handles it, and the log ends as cancelled.
    #[must_use]
    pub fn stopped(message: impl Into<String>) -> Failure {
        Failure::new(STOPPED, message)
    }

    /// Returns the failure of a branch that did not begin.
    pub(crate) fn left_out(message: &str) -> Failure {
        Failure::new(CANCELLED, message)
    }

    /// Tells whether the run was interrupted or stopped. Nothing handles such a failure.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.kind == CANCELLED || self.kind == STOPPED
    }

    /// Tells whether the failure has a kind, itself or by a more general kind: every failure of this package is an
    /// `ObservabilityError`.
    #[must_use]
    pub fn is_a(&self, kind: &str) -> bool {
        let above: &[&str] = match &*self.kind {
            "LevelError" => &["ConfigurationError", "EventError", "QueryError"],
            "DurationError" => &["ConfigurationError", "QueryError"],
            _ => &[],
        };
        self.kind == kind
            || self.bases.iter().any(|base| **base == *kind)
            || above.contains(&kind)
            || (kind == "ObservabilityError" && OWN_KINDS.contains(&&*self.kind))
    }
}

/// The kinds of failures that all runtimes share.
const OWN_KINDS: [&str; 14] = [
    ACTION_ERROR,
    "ConfigurationError",
    "DurationError",
    "EventError",
    "ExportError",
    "FlowFileError",
    "FlowNotFoundError",
    FLOW_RUN_ERROR,
    "LevelError",
    "LogFileError",
    "MissingExtraError",
    "NotRecordedError",
    "ObservabilityError",
    "QueryError",
];

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<the_edge_obs::Error> for Failure {
    fn from(error: the_edge_obs::Error) -> Self {
        Failure::new(error.name(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_says_where_it_is() {
        let mut error = FlowFileError::new("no nodes");
        assert_eq!(error.to_string(), "no nodes");
        error.line = Some(3);
        assert_eq!(error.to_string(), "3: no nodes");
        error.path = Some("a.yaml".to_owned());
        assert_eq!(error.to_string(), "a.yaml:3: no nodes");
    }

    #[test]
    fn kinds_stand_below_others() {
        let failure = Failure::new("LevelError", "x");
        assert!(failure.is_a("LevelError") && failure.is_a("QueryError"));
        assert!(failure.is_a("ObservabilityError") && !failure.is_a("ActionError"));
        assert!(!Failure::new("timeout", "x").is_a("ObservabilityError"));
        assert!(Failure::cancelled().is_cancelled());
    }
}
