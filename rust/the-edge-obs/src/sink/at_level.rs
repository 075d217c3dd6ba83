//! A sink that gets events from a level on.

use std::io;
use std::sync::Arc;

use super::Sink;
use crate::facts::Facts;
use crate::flow::Flow;
use crate::levels::Threshold;

/// Gives another sink the events from a level on.
///
/// ```
/// use the_edge_obs::event::Level;
/// use the_edge_obs::sink::{at_level::AtLevel, console::Console};
///
/// let errors = AtLevel::new(Some(Level::Error), Console::stderr());
/// ```
#[derive(Debug)]
pub struct AtLevel<S> {
    least: Threshold,
    sink: S,
}

impl<S: Sink> AtLevel<S> {
    /// Returns a sink that gives `sink` the events of `least` and above; none at all if that is `None`.
    #[must_use]
    pub fn new(least: Threshold, sink: S) -> AtLevel<S> {
        AtLevel { least, sink }
    }
}

impl<S: Sink> Sink for AtLevel<S> {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        match self.least {
            Some(least) if facts.level >= least => self.sink.take(facts),
            _ => Ok(()),
        }
    }

    fn flow_ended(&self, flow: &Arc<Flow>) -> io::Result<()> {
        self.sink.flow_ended(flow)
    }

    fn name(&self) -> &str {
        self.sink.name()
    }
}
