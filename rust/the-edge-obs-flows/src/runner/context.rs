//! What an action finds around it.

use the_edge_obs::{Snap, Store};

use super::stop::Stop;
use crate::state::{Positions, State};
use crate::trace::Span;

/// What an action finds around it: the state, the step that calls it, the settings.
pub struct Context<'a> {
    pub(super) state: &'a State,
    pub(super) step: &'a str,
    pub(super) settings: &'a Snap,
    pub(super) stop: &'a Stop,
    pub(super) store: Option<&'a Store>,
    pub(super) span: &'a Span<'a>,
}

impl<'a> Context<'a> {
    /// Returns the state as it was when the node began.
    #[must_use]
    pub fn state(&self) -> &'a State {
        self.state
    }

    /// Returns the name of the step.
    #[must_use]
    pub fn step(&self) -> &'a str {
        self.step
    }

    /// Returns the `settings` of the flow, an object.
    #[must_use]
    pub fn settings(&self) -> &'a Snap {
        self.settings
    }

    /// Returns what interrupts the run. An action that waits should use it.
    #[must_use]
    pub fn stop(&self) -> &'a Stop {
        self.stop
    }

    /// Returns the id of the run, as the state has it.
    #[must_use]
    pub fn flow_id(&self) -> Option<&'a str> {
        self.state.get("flow_id").and_then(Snap::as_str)
    }

    /// Returns where logs are found, among them that of the running flow.
    pub fn store(&self) -> Store {
        self.store.map_or_else(the_edge_obs::store, Store::clone)
    }

    /// Tells whether the run is observed.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.span.is_observed()
    }

    /// Returns how often scripts of answers were used.
    pub(crate) fn positions(&self) -> &'a Positions {
        self.state.positions()
    }

    /// Sets what is logged as the output, in place of the result: a summary of a large one. The state gets the whole result.
    pub fn log_output(&self, output: Snap) {
        self.span.set_output(&output);
    }

    pub(crate) fn mark_answered(&self) {
        self.span.mark_answered();
    }

    /// Adds a number to the metrics of the event that ends the node.
    pub fn end_metric(&self, name: &str, value: impl Into<Snap>) {
        self.span.add_metric(name, value.into());
    }
}
