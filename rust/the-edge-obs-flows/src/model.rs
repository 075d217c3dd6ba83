//! A loaded flow: what the loader makes and the runner reads.
//!
//! Everything that can be decided once is decided at load time: templates are compiled, actions are looked up, targets are checked.

use std::collections::HashMap;
use std::sync::Arc;

use the_edge_obs::config::Config;
use the_edge_obs::Snap;

use crate::actions::Action;
use crate::conditions::Condition;
use crate::state::State;
use crate::templates::{Fixed, Renderer};

/// What stands for the beginning of a flow in `edges`.
pub(crate) const START: &str = "__start__";

/// What stands for the end of a flow in `edges` and `goto`.
pub(crate) const END: &str = "__end__";

/// Where a result goes.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// Merged into the state, or under `result` if it is not an object.
    Merged,
    /// Under one key.
    Key(Box<str>),
    /// Under several keys, by templates that see `result`.
    Fields(Renderer),
}

/// What a node does.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// `uses`: one call of a registered action.
    Action(ActionBody),
    /// `steps`: nodes that run one after the other.
    Steps(Box<[Node]>),
    /// `flow`: another flow file.
    Subflow(SubflowBody),
    /// `type: while_loop`
    Loop(LoopBody),
    /// `type: dynamic_parallel`
    FanOut(FanOutBody),
}

/// One call of an action.
#[derive(Clone)]
pub(crate) struct ActionBody {
    pub name: Box<str>,
    pub action: Arc<dyn Action>,
    pub params: Renderer,
    pub output: Output,
}

impl std::fmt::Debug for ActionBody {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ActionBody")
            .field("name", &self.name)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

/// Another flow, whose initial state is given by `with`.
#[derive(Debug, Clone)]
pub(crate) struct SubflowBody {
    pub plan: Arc<Plan>,
    pub params: Renderer,
    pub output: Output,
}

/// Steps that run while a condition holds, at most `max_iterations` times.
#[derive(Debug, Clone)]
pub(crate) struct LoopBody {
    pub condition: Condition,
    pub max_iterations: u64,
    pub steps: Box<[Node]>,
}

/// Steps that run once for each item, in threads.
#[derive(Debug, Clone)]
pub(crate) struct FanOutBody {
    pub items: Renderer,
    pub item_var: Box<str>,
    pub index_var: Box<str>,
    pub max_concurrency: Renderer,
    /// Whether branches that have not begun when another one fails are left out.
    pub fail_fast: bool,
    pub steps: Box<[Node]>,
    pub fan_in: Option<Box<str>>,
    pub output: Option<Box<str>>,
}

/// One rule of a `goto`: a target and its condition.
#[derive(Debug, Clone)]
pub(crate) struct Jump {
    pub target: Box<str>,
    pub condition: Condition,
}

/// What happens after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The flow fails.
    Raise,
    /// More attempts are made; then the flow fails, or continues at the fallback.
    Retry,
    /// The flow continues.
    Graceful,
}

impl Mode {
    /// The modes, by their names in a flow file.
    pub(crate) const ALL: [(&'static str, Mode); 3] = [
        ("raise", Mode::Raise),
        ("retry", Mode::Retry),
        ("graceful", Mode::Graceful),
    ];

    /// Returns the name in a flow file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Raise => "raise",
            Mode::Retry => "retry",
            Mode::Graceful => "graceful",
        }
    }
}

/// What happens when a node fails.
#[derive(Debug, Clone)]
pub(crate) struct OnError {
    pub mode: Mode,
    /// Attempts after the first one; mode retry only.
    pub max_retries: u64,
    /// Seconds before the second attempt, before jitter.
    pub delay: f64,
    /// Factor by which the delay grows from attempt to attempt.
    pub backoff: f64,
    /// The node to continue with after a failure.
    pub fallback: Option<Box<str>>,
    /// Kinds of failures that are retried; `None` for all.
    pub retryable: Option<Box<[Box<str>]>>,
}

impl Default for OnError {
    fn default() -> Self {
        OnError {
            mode: Mode::Raise,
            max_retries: 0,
            delay: 1.0,
            backoff: 2.0,
            fallback: None,
            retryable: None,
        }
    }
}

/// One node: its name, its body, its error handling, and where the flow goes afterwards.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub name: Arc<str>,
    pub body: Body,
    pub on_error: OnError,
    pub goto: Option<Box<[Jump]>>,
}

impl Node {
    /// Returns the node that joins the branches of a fan-out.
    pub(crate) fn fan_in(&self) -> Option<&str> {
        match &self.body {
            Body::FanOut(body) => body.fan_in.as_deref(),
            _ => None,
        }
    }
}

/// One edge; `fan_in` is set on parallel ones and names the node that joins the branches.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub source: Box<str>,
    pub target: Box<str>,
    pub condition: Condition,
    pub fan_in: Option<Box<str>>,
}

/// A whole flow, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The flow's name.
    pub name: Box<str>,
    /// The absolute path of its file, without symbolic links; `None` for a flow given as text.
    pub file: Option<Box<str>>,
    /// The state to begin with; a run's own state wins over it.
    pub initial_state: State,
    /// Constants that templates read.
    pub variables: Snap,
    /// The `settings` block, its templates rendered.
    pub settings: Snap,
    /// Names whose values do not change.
    pub fixed: Fixed,
    /// Every top-level node, in file order.
    pub nodes: Vec<Node>,
    /// Where each node is in `nodes`.
    pub positions: HashMap<Arc<str>, usize>,
    /// The edges that leave a node, by its name, in file order.
    pub edges: HashMap<Box<str>, Vec<Edge>>,
    /// The `observability` block.
    pub observability: Option<Snap>,
    /// What the block says.
    pub config: Option<Config>,
    /// How many nodes a run can execute before it counts as an endless loop.
    pub max_steps: u64,
    /// The digest of the flow.
    pub sha256: Option<String>,
}

impl Plan {
    /// Returns a top-level node.
    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.positions.get(name).map(|at| &self.nodes[*at])
    }

    /// Returns the next node in the file: after [`START`] the first one, after the last one [`END`].
    pub(crate) fn following(&self, name: &str) -> &str {
        let at = self.positions.get(name).map_or(0, |at| at + 1);
        self.nodes.get(at).map_or(END, |node| &node.name)
    }
}
