//! Run a loaded flow.

mod bodies;
mod context;
mod executor;
mod parallel;
mod retrying;
mod scheduler;
mod stop;

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;

use the_edge_obs::config::Config;
use the_edge_obs::context::FlowBuilder;
use the_edge_obs::ids::FlowId;
use the_edge_obs::{Snap, Store};

pub use context::Context;
pub(crate) use retrying::Retrying;
pub use stop::Stop;

use crate::actions::Actions;
use crate::answers::{Answers, Asked};
use crate::error::{Failure, FlowFileError};
use crate::loader::source::Source;
use crate::loader::Loading;
use crate::model::{Body, Node, Plan};
use crate::reach::unreached;
use crate::state::State;
use crate::trace::{self, Tracer};
use executor::Run;

/// Keys of the state that hold the run's id.
pub(crate) const RUN_KEYS: [&str; 2] = ["flow_id", "_observability"];

/// A loaded flow. It can run many times, and in many threads at once.
pub struct Flow {
    plan: Plan,
    store: Option<Store>,
}

impl fmt::Debug for Flow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<&str> = self.nodes().collect();
        write!(out, "<Flow {:?}: {}>", self.name(), nodes.join(", "))
    }
}

impl Flow {
    /// Loads a flow file, and checks all of it.
    ///
    /// # Errors
    ///
    /// There is a mistake in it. The message has file and line, what is wrong and what is allowed.
    pub fn load(path: impl AsRef<Path>, actions: Actions) -> Result<Flow, FlowFileError> {
        let plan = Loading::new(actions, true).file(path.as_ref())?;
        Ok(Flow::new(plan))
    }

    /// Loads a flow file that is not trusted: it cannot read environment variables.
    ///
    /// # Errors
    ///
    /// As [`Flow::load`].
    pub fn load_without_code(
        path: impl AsRef<Path>,
        actions: Actions,
    ) -> Result<Flow, FlowFileError> {
        let plan = Loading::new(actions, false).file(path.as_ref())?;
        Ok(Flow::new(plan))
    }

    /// Loads a flow from YAML text.
    ///
    /// # Errors
    ///
    /// As [`Flow::load`].
    pub fn parse(text: &str, actions: Actions) -> Result<Flow, FlowFileError> {
        let plan = Loading::new(actions, true).source(Source::parse(text, None)?)?;
        Ok(Flow::new(plan))
    }

    /// Loads a flow from a value, which has no lines.
    ///
    /// # Errors
    ///
    /// As [`Flow::load`].
    pub fn from_snap(value: &Snap, actions: Actions) -> Result<Flow, FlowFileError> {
        let plan = Loading::new(actions, true).source(Source::from_snap(value))?;
        Ok(Flow::new(plan))
    }

    fn new(plan: Plan) -> Flow {
        Flow { plan, store: None }
    }

    /// Sets where the actions `obs.*` find logs. By default it is where [`the_edge_obs::store()`] looks: in the rings in use.
    #[must_use]
    pub fn with_store(mut self, store: Store) -> Flow {
        self.store = Some(store);
        self
    }

    /// Returns the flow's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Returns the digest of the flow's file.
    #[cfg(feature = "cli")]
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.plan.sha256.as_deref()
    }

    /// Returns the folder of the flow's file; `None` for a flow given as text.
    pub(crate) fn folder(&self) -> Option<&Path> {
        Path::new(self.plan.file.as_deref()?).parent()
    }

    /// Returns the names of all steps, also of those inside others and inside sub-flows.
    pub(crate) fn steps(&self) -> Vec<&str> {
        let mut waiting: Vec<&Node> = self.plan.nodes.iter().collect();
        let mut found: Vec<&str> = Vec::new();
        while let Some(node) = waiting.pop() {
            if !found.contains(&&*node.name) {
                found.push(&node.name);
            }
            match &node.body {
                Body::Action(_) => {}
                Body::Steps(steps) => waiting.extend(steps),
                Body::Loop(body) => waiting.extend(&body.steps),
                Body::FanOut(body) => waiting.extend(&body.steps),
                Body::Subflow(body) => waiting.extend(&body.plan.nodes),
            }
        }
        found
    }

    /// Returns the `observability` block as written.
    #[must_use]
    pub fn observability(&self) -> Option<&Snap> {
        self.plan.observability.as_ref()
    }

    /// Returns what the block says. A program configures with it before the run: the flow itself sets no levels and no sinks.
    #[must_use]
    pub fn config(&self) -> Option<&Config> {
        self.plan.config.as_ref()
    }

    /// Returns the names of the top-level nodes, in file order.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.plan.nodes.iter().map(|node| &*node.name)
    }

    /// Returns the top-level nodes that nothing leads to, in file order; a run ignores them.
    #[must_use]
    pub fn unreached(&self) -> Vec<&str> {
        unreached(&self.plan)
    }

    /// Runs the flow and returns the final state, with the run's id under `flow_id` and `_observability.flow_id`.
    ///
    /// The given state, an object or null, is merged over the flow's `initial_state`.
    ///
    /// # Errors
    ///
    /// A template, a condition or the route through the flow fails, or a node does and its `on_error` does not handle it.
    pub fn run(&self, state: Snap) -> Result<State, Failure> {
        self.run_until(state, &Stop::new())
    }

    /// Runs the flow as [`Flow::run`] does, until another thread interrupts it.
    ///
    /// # Errors
    ///
    /// As [`Flow::run`]; [`Failure::is_cancelled`] tells whether the run was interrupted.
    pub fn run_until(&self, state: Snap, stop: &Stop) -> Result<State, Failure> {
        self.run_as(state, stop, None)
    }

    /// Runs the flow as [`Flow::run`] does, with answers in place of the actions.
    ///
    /// # Errors
    ///
    /// As [`Flow::run`]; also what [`Answers::finish`] says.
    pub fn run_answered(&self, state: Snap, answers: Arc<dyn Answers>) -> Result<State, Failure> {
        self.run_as(state, &Stop::new(), Some(answers))
    }

    pub(crate) fn run_as(
        &self,
        state: Snap,
        stop: &Stop,
        answers: Option<Arc<dyn Answers>>,
    ) -> Result<State, Failure> {
        let given = State::from_snap(state);
        if !self.is_observed() {
            return self.run_with(given, FlowId::random(), Tracer::silent(), stop, answers);
        }
        let replay_of = answers.as_ref().and_then(|answers| answers.replay_of());
        let secrets = answers.as_ref().map(|answers| answers.secrets());
        let secrets = secrets.unwrap_or_default().into_iter();
        let root = trace::root(&self.plan, &given, replay_of);
        let root = secrets.fold(root, FlowBuilder::secret).start();
        let tracer = Tracer::of(&root);
        let run = || self.run_with(given, root.flow_id(), tracer, stop, answers);
        let result = root.in_scope(run);
        match &result {
            Ok(_) => root.end(),
            Err(failure) if failure.is_cancelled() => root.cancel(&failure.kind, &failure.message),
            Err(failure) => root.fail_described(failure.described()),
        }
        result
    }

    /// Tells whether runs are observed: a block may say `enabled: false`, and a build may lack recording.
    fn is_observed(&self) -> bool {
        the_edge_obs::RECORD && self.config().is_none_or(|config| config.enabled)
    }

    fn run_with(
        &self,
        mut given: State,
        id: FlowId,
        tracer: Tracer,
        stop: &Stop,
        answers: Option<Arc<dyn Answers>>,
    ) -> Result<State, Failure> {
        let id = id.to_string();
        let about = [
            ("flow_id", Snap::from(&*id)),
            ("enabled", tracer.is_observed().into()),
        ];
        given.set("flow_id", id.into());
        given.set("_observability", Snap::map(about));
        let run = Run {
            tracer,
            stop: stop.clone(),
            store: self.store.clone(),
            answers: answers.map(|answers| Asked {
                answers,
                real_calls: AtomicU64::new(0),
            }),
        };
        let result = scheduler::run_plan(&self.plan, given, &run);
        match &run.answers {
            Some(asked) => asked.answers.finish().and(result),
            None => result,
        }
    }
}

#[cfg(test)]
mod tests;
