//! Actions: what a node calls.

mod encodings;
mod file;
mod json;
mod lenient;
mod llm;
#[cfg(feature = "memory")]
mod memory;
mod obs;
mod scripted;
pub(crate) mod support;
#[cfg(feature = "jmespath")]
mod transform;
#[cfg(feature = "http")]
mod web;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use the_edge_obs::Snap;

use crate::error::Failure;
use crate::runner::Context;

/// The parameters that an action takes, in the order in which messages list them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signature {
    /// All of them; `None` for an action that takes any.
    pub accepted: Option<&'static [&'static str]>,
    /// Those that must be given.
    pub required: &'static [&'static str],
}

/// Something that a node can call.
///
/// A function `Fn(&Snap, &Context) -> Result<Snap, Failure>` is an action that takes any parameters.
///
/// ```
/// use the_edge_obs_flows::{Actions, Context, Failure, Flow};
/// use the_edge_obs::Snap;
///
/// let greet = |params: &Snap, _: &Context<'_>| {
///     let name = params.get("name").and_then(Snap::as_str).ok_or_else(|| Failure::action("greet: name must be a text"))?;
///     Ok(Snap::map([("text", Snap::from(format!("Hello {name}")))]))
/// };
/// let actions = Actions::new().with("my.greet", greet);
/// let text = "nodes: [{uses: my.greet, with: {name: '{{ state.who }}'}}]";
/// let flow = Flow::parse(text, actions).unwrap();
/// let state = flow.run(Snap::map([("who", Snap::from("Ada"))])).unwrap();
/// assert_eq!(state.get("text").and_then(Snap::as_str), Some("Hello Ada"));
/// ```
pub trait Action: Send + Sync {
    /// Calls the action with a node's parameters, an object whose templates are rendered.
    ///
    /// A result `{"success": false, "error": text, "error_type": word}` is a soft failure: it is logged as an error, and the flow
    /// continues.
    ///
    /// # Errors
    ///
    /// The node fails: a parameter is wrong, or something is missing that the action needs.
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure>;

    /// Returns the parameters that the action takes. A flow that gives others is refused when it is loaded.
    fn signature(&self) -> Signature {
        Signature::default()
    }

    /// Checks the value of a parameter that is written in a flow file, when the file is loaded. In a value with templates, null
    /// stands for what they give.
    ///
    /// # Errors
    ///
    /// The action would refuse the value.
    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        let _ = (param, value);
        Ok(())
    }
}

impl<F> Action for F
where
    F: Fn(&Snap, &Context<'_>) -> Result<Snap, Failure> + Send + Sync,
{
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        self(params, context)
    }
}

/// Actions by name.
#[derive(Clone, Default)]
pub struct Actions(BTreeMap<Box<str>, Arc<dyn Action>>);

impl Actions {
    /// Returns no actions.
    #[must_use]
    pub fn new() -> Actions {
        Actions::default()
    }

    /// Returns the builtin actions.
    #[must_use]
    pub fn builtin() -> Actions {
        let actions = Actions::new()
            .with("file.read", file::ReadFile)
            .with("file.write", file::WriteFile)
            .with("json.parse", json::Parse)
            .with("llm.call", llm::Call)
            .with("llm.stream", llm::Stream)
            .with("obs.export", obs::Export)
            .with("obs.get_flow_log", obs::GetFlowLog)
            .with("obs.log_event", obs::LogEvent)
            .with("obs.query", obs::Query);
        #[cfg(feature = "memory")]
        let actions = actions
            .with("memory.retrieve", memory::Retrieve)
            .with("memory.store", memory::Store);
        #[cfg(feature = "jmespath")]
        let actions = actions.with("json.transform", transform::Transform);
        #[cfg(feature = "http")]
        let actions = actions
            .with("http.get", web::http::Get)
            .with("http.post", web::http::Post);
        actions
    }

    /// Returns these actions and another one, which replaces one of the same name.
    #[must_use]
    pub fn with(mut self, name: &str, action: impl Action + 'static) -> Actions {
        self.add(name, Arc::new(action));
        self
    }

    /// Adds an action, which replaces one of the same name.
    pub fn add(&mut self, name: &str, action: Arc<dyn Action>) {
        self.0.insert(name.into(), action);
    }

    /// Returns an action.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Action>> {
        self.0.get(name)
    }

    /// Returns the names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.names()).finish()
    }
}
