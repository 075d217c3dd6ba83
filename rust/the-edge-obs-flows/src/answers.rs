//! Answers in place of actions: what a replay puts between a flow and what its nodes call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use the_edge_obs::{FlowId, Snap};

use crate::actions::Action;
use crate::error::Failure;
use crate::runner::Context;

/// Answers the calls of actions in a run, from wherever it likes. [`Flow::run_answered`](crate::Flow::run_answered) takes one.
///
/// ```
/// use std::sync::Arc;
/// use the_edge_obs::Snap;
/// use the_edge_obs_flows::{Actions, Answers, Called, Failure, Flow};
///
/// struct Paris;
///
/// impl Answers for Paris {
///     fn answer(&self, called: &Called<'_>) -> Result<Snap, Failure> {
///         match called.name {
///             "llm.call" => Ok(Snap::map([("content", Snap::from("Paris"))])),
///             _ => called.real(),
///         }
///     }
/// }
///
/// let flow = Flow::parse("nodes: [{uses: llm.call, with: {prompt: 'Capital of France?'}}]", Actions::builtin()).unwrap();
/// let state = flow.run_answered(Snap::Null, Arc::new(Paris)).unwrap();
/// assert_eq!(state.get("content").and_then(Snap::as_str), Some("Paris"));
/// ```
pub trait Answers: Send + Sync {
    /// Answers one call, in the span of its node.
    ///
    /// # Errors
    ///
    /// The node fails. With [`Failure::stopped`] the run ends, and nothing handles it.
    fn answer(&self, called: &Called<'_>) -> Result<Snap, Failure>;

    /// Returns the run that the answers come from: `data.replay_of` of the root's entry.
    fn replay_of(&self) -> Option<FlowId> {
        None
    }

    /// Returns secrets that the answers or the initial state hold, texts and integers: the log of the run never shows them.
    fn secrets(&self) -> Vec<Snap> {
        Vec::new()
    }

    /// Called after the last node.
    ///
    /// # Errors
    ///
    /// The run fails, although its nodes did not: something handled a failure that ends the run.
    fn finish(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// The answers of one run.
pub(crate) struct Asked {
    pub answers: Arc<dyn Answers>,
    /// How many actions were called after all.
    pub real_calls: AtomicU64,
}

/// A call of an action that waits for its answer.
pub struct Called<'a> {
    /// The name of the action.
    pub name: &'a str,
    /// The node's parameters, an object whose templates are rendered.
    pub params: &'a Snap,
    /// What the action finds around it.
    pub context: &'a Context<'a>,
    pub(crate) action: &'a dyn Action,
    pub(crate) real_calls: &'a AtomicU64,
}

impl Called<'_> {
    /// Calls the action itself.
    ///
    /// # Errors
    ///
    /// The action fails.
    pub fn real(&self) -> Result<Snap, Failure> {
        self.real_calls.fetch_add(1, Ordering::Relaxed);
        self.action.call(self.params, self.context)
    }

    /// Says that the answer comes from a recording. The log says so too: `data.answered` of the end of the node is true, and its tokens
    /// and costs count in no total.
    pub fn mark_answered(&self) {
        self.context.mark_answered();
    }
}
