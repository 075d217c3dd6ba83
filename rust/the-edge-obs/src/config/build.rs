//! From a configuration to the parts of a layer.

use std::sync::Arc;

use super::{Config, Handler, HandlerKind};
use crate::error::Error;
use crate::layer::FlowLayer;
use crate::levels::Levels;
use crate::redaction::Policy;
use crate::sink::at_level::AtLevel;
use crate::sink::console::Console;
use crate::sink::file::FlowFile;
use crate::sink::ring::{Limits, Ring};
use crate::sink::Sink;

/// What a configuration stands for: levels, sinks and a policy.
#[derive(Clone)]
#[non_exhaustive]
pub struct Parts {
    /// The levels, which can be changed while they are in use.
    pub levels: Arc<Levels>,
    /// The memory. It is not one of the sinks below.
    pub ring: Arc<Ring>,
    /// The console and files, in the order of the handlers.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// What counts as secret.
    pub policy: Arc<Policy>,
}

impl Config {
    /// Returns the parts that the configuration stands for; `None` if it is not enabled. Nothing is written yet.
    ///
    /// # Errors
    ///
    /// [`Error::Path`] if a file cannot be written where it should be, [`Error::Configuration`] for the name of a level that is not that of a
    /// node.
    ///
    /// ```
    /// use the_edge_obs::config::Config;
    /// use tracing_subscriber::layer::SubscriberExt;
    ///
    /// let parts = Config::default().build().unwrap().unwrap();
    /// let registry = tracing_subscriber::registry().with(parts.layer());
    /// let id = tracing::subscriber::with_default(registry, || {
    ///     let run = the_edge_obs::flow("triage").policy(parts.policy.clone()).start();
    ///     run.end();
    ///     run.flow_id()
    /// });
    /// # if the_edge_obs::RECORD {
    /// assert_eq!(parts.ring.events(&id).len(), 2);
    /// # }
    /// ```
    pub fn build(&self) -> Result<Option<Parts>, Error> {
        if !self.enabled {
            return Ok(None);
        }
        let sinks: Result<_, Error> = self.handlers.iter().map(Handler::build).collect();
        Ok(Some(Parts {
            levels: Arc::new(self.to_levels()?),
            ring: Arc::new(Limits::new().capacity(self.buffer_size).ring()),
            sinks: sinks?,
            policy: Arc::clone(&self.redact),
        }))
    }
}

impl Handler {
    /// Returns the sink that the handler stands for. Nothing is written yet.
    ///
    /// # Errors
    ///
    /// [`Error::Path`] if a file cannot be written where it should be.
    pub fn build(&self) -> Result<Arc<dyn Sink>, Error> {
        Ok(match &self.kind {
            HandlerKind::Console { verbose } => {
                let console = Console::stderr().verbose(*verbose);
                Arc::new(AtLevel::new(self.level, console))
            }
            HandlerKind::File { path, mode } => {
                let files = FlowFile::new(&**path)?.mode(*mode)?;
                Arc::new(AtLevel::new(self.level, files))
            }
        })
    }
}

impl Parts {
    /// Returns a layer with the levels, the memory and the sinks. The policy is for the flows: see
    /// [`FlowBuilder::policy`](crate::context::FlowBuilder::policy).
    #[must_use]
    pub fn layer(&self) -> FlowLayer {
        let levels = Arc::clone(&self.levels);
        let layer = FlowLayer::with_levels(levels).sink(Arc::clone(&self.ring));
        let sinks = self.sinks.iter();
        sinks.fold(layer, |layer, sink| layer.sink(Arc::clone(sink)))
    }
}
