//! The interface between running and logging. The runner says here what happens, and never asks whether the flow is observed.

use std::cell::RefCell;
use std::sync::Arc;

use the_edge_obs::context::{FlowBuilder, ObservabilityContext};
use the_edge_obs::outcome::soft_failure;
use the_edge_obs::redaction::Policy;
use the_edge_obs::{FlowId, Level, Node, OpenSpan, Snap};

use crate::error::Failure;
use crate::model::Plan;
use crate::runner::RUN_KEYS;
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

impl Call<'_> {
    /// Opens the node's span.
    fn start(&self) -> OpenSpan {
        let call = Node::intern(self.node, Level::Info).call().without_site();
        let call = match self.step {
            Some(step) => call.step(step),
            None => call,
        };
        let attempt = self.attempt.map(|number| ("attempt".into(), number.into()));
        let data = attempt.into_iter().collect();
        match self.input {
            Some(input) => call.input(input).start_with(data),
            None => call.start_with(data),
        }
    }
}

/// One execution of a node.
#[derive(Default)]
pub(crate) struct Span<'a> {
    open: Option<&'a OpenSpan>,
    output: RefCell<Option<Snap>>,
}

impl Span<'_> {
    /// Sets the output of the event that ends the execution, unless it is set.
    pub(crate) fn set_output(&self, output: &Snap) {
        let Some(open) = self.open else {
            return;
        };
        // A span that is not recorded logs failures all the same.
        if open.is_recorded() || soft_failure(output).is_some() {
            self.output
                .borrow_mut()
                .get_or_insert_with(|| output.clone());
        }
    }

    /// Tells whether the run is observed.
    pub(crate) fn is_observed(&self) -> bool {
        self.open.is_some()
    }

    /// Says that the execution is answered from a recording.
    pub(crate) fn mark_answered(&self) {
        if let Some(open) = self.open {
            open.mark_answered();
        }
    }

    /// Adds a number to the metrics of the event that ends the execution.
    pub(crate) fn add_metric(&self, name: &str, value: Snap) {
        if let Some(open) = self.open {
            open.end_metric(name, value);
        }
    }
}

/// Receives what happens in a run.
#[derive(Debug, Clone)]
pub(crate) struct Tracer {
    /// The observed flow; `None` for a run that is not observed.
    flow: Option<Arc<the_edge_obs::Flow>>,
}

impl Tracer {
    /// Returns the tracer of a run that is not observed.
    pub(crate) fn silent() -> Tracer {
        Tracer { flow: None }
    }

    /// Returns the tracer of an observed run.
    pub(crate) fn of(root: &ObservabilityContext) -> Tracer {
        Tracer {
            flow: Some(Arc::clone(root.flow())),
        }
    }

    /// Tells whether the run is observed.
    pub(crate) fn is_observed(&self) -> bool {
        self.flow.is_some()
    }

    /// Does the work of one execution of a node.
    ///
    /// # Errors
    ///
    /// Returns the failure of the work.
    pub(crate) fn run<T>(
        &self,
        call: &Call<'_>,
        work: impl FnOnce(&Span<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if !self.is_observed() {
            return work(&Span::default());
        }
        let open = call.start();
        let span = Span {
            open: Some(&open),
            output: RefCell::default(),
        };
        // A panic goes on; the span notices it when it is dropped.
        let result = open.in_scope(|| work(&span));
        let output = span.output.into_inner();
        match &result {
            Ok(_) => open.end(output),
            Err(failure) if failure.is_cancelled() => open.cancel(&failure.kind, &failure.message),
            Err(failure) => open.fail_described(failure.described()),
        }
        result
    }

    /// Logs a warning of the enclosing span.
    pub(crate) fn note(&self, message: &str, data: impl FnOnce() -> Snap) {
        let Some(current) = self.flow.as_ref().and_then(|_| the_edge_obs::current()) else {
            return;
        };
        the_edge_obs::log(&current.node)
            .in_step()
            .level(Level::Warn)
            .message(message)
            .pairs(&data())
            .emit();
    }

    /// Learns the secrets of the values that a flow starts with, which must not appear in the log.
    pub(crate) fn starts_with(&self, plan: &Plan, state: &State) {
        if let Some(flow) = &self.flow {
            let _ = flow.policy.snapshot(&known(plan, state), &flow.taints);
        }
    }

    /// Returns where the run is, to be carried into a thread.
    pub(crate) fn here(&self) -> Here {
        Here(self.flow.as_ref().map(|_| the_edge_obs::here()))
    }
}

/// Returns the flow that a run of a plan opens. The entry of its root has the input, and says which file it is, and which run it
/// replays.
pub(crate) fn root(plan: &Plan, given: &State, replay_of: Option<FlowId>) -> FlowBuilder {
    let mut input = plan.initial_state.clone();
    input.update(given.pairs().iter().cloned());
    for key in RUN_KEYS {
        input.remove(key);
    }
    let about = [
        ("path", Snap::from(plan.file.as_deref().map(Snap::from))),
        ("sha256", plan.sha256.as_deref().map(Snap::from).into()),
    ];
    let policy = plan
        .config
        .as_ref()
        .map(|config| Arc::clone(&config.redact));
    let root = the_edge_obs::flow(&plan.name)
        .policy(policy.unwrap_or_else(Policy::built_in))
        .secrets_of(known(plan, &input))
        .about("input", input.to_snap())
        .about("flow", Snap::map(about));
    match replay_of {
        Some(id) => root.about("replay_of", id.to_string().into()),
        None => root,
    }
}

/// Returns the values that a flow starts with.
fn known(plan: &Plan, state: &State) -> Snap {
    let mut known = state.clone();
    known.set("variables", plan.variables.clone());
    known.set("settings", plan.settings.clone());
    known.to_snap()
}

/// Where a run is.
pub(crate) struct Here(Option<the_edge_obs::Here>);

impl Here {
    /// Does work there.
    pub(crate) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(here) => here.in_scope(work),
            None => work(),
        }
    }
}
