//! The interface between running and logging. The runner says here what happens; what is logged of it is decided elsewhere.

use std::cell::RefCell;

use the_edge_obs::Snap;

use crate::error::Failure;
use crate::model::Plan;
use crate::state::State;

/// One execution of a node that is about to begin.
pub(crate) struct Call<'a> {
    /// What runs: `file.read`, `steps`, `loop`.
    pub node: &'a str,
    /// The name that the flow gives to the node.
    pub step: Option<&'a str>,
    /// Gives its input.
    pub input: Option<&'a dyn Fn() -> Snap>,
    /// The number of the attempt, from 1, where more than one is possible.
    pub attempt: Option<u64>,
}

/// One execution of a node.
#[derive(Debug, Default)]
pub(crate) struct Span {
    output: RefCell<Option<Snap>>,
    metrics: RefCell<Vec<(Box<str>, Snap)>>,
}

impl Span {
    /// Sets the output of the event that ends the execution, unless it is set.
    pub(crate) fn set_output(&self, output: impl FnOnce() -> Snap) {
        self.output.borrow_mut().get_or_insert_with(output);
    }

    /// Adds a number to the metrics of the event that ends the execution.
    pub(crate) fn add_metric(&self, name: &str, value: Snap) {
        self.metrics.borrow_mut().push((name.into(), value));
    }
}

/// Receives what happens in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tracer {
    /// Whether the run is observed.
    pub is_observed: bool,
}

impl Tracer {
    /// Does the work of one execution of a node.
    ///
    /// # Errors
    ///
    /// Returns the failure of the work.
    pub(crate) fn run<T>(
        self,
        call: &Call<'_>,
        work: impl FnOnce(&Span) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let _ = (call.node, call.step, call.input, call.attempt);
        work(&Span::default())
    }

    /// Logs a warning of the enclosing span.
    pub(crate) fn note(self, message: &str, data: impl FnOnce() -> Snap) {
        let _ = (message, data);
    }

    /// Learns the secrets of the values that a flow starts with, which must not appear in the log.
    pub(crate) fn starts_with(self, plan: &Plan, state: &State) {
        let _ = (plan, state);
    }

    /// Returns where the run is, to be carried into a thread.
    pub(crate) fn here(self) -> Here {
        Here
    }
}

/// Where a run is.
pub(crate) struct Here;

impl Here {
    /// Does work there.
    pub(crate) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        work()
    }
}
