//! Sinks: where events go.

pub mod callback;
pub mod console;
pub mod file;
pub mod ring;

pub use callback::Callback;
pub use console::Console;
pub use file::FlowFile;
pub use ring::{Limits, Ring};

use std::io;
use std::sync::Arc;

use crate::facts::Facts;
use crate::flow::Flow;

/// Takes events: a ring, a file, the console, or something of your own.
///
/// A sink is called on the thread that logs, and no lock is held meanwhile. What it returns as an error, and a panic of its own, is
/// counted in the flow and shown in its log; the observed code never sees it.
pub trait Sink: Send + Sync {
    /// Takes one event. Secrets are still in the facts; [`Facts::event`] returns the event without them.
    ///
    /// # Errors
    ///
    /// If the event is lost.
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()>;

    /// Called after the last event of a flow's root. Events that come later are possible.
    ///
    /// # Errors
    ///
    /// If events are lost.
    fn flow_ended(&self, _flow: &Arc<Flow>) -> io::Result<()> {
        Ok(())
    }

    /// Returns the ring that keeps the events, if the sink is one: flows are read back from there.
    fn ring(&self) -> Option<Ring> {
        None
    }

    /// Returns the name of the sink in messages about its failures.
    fn name(&self) -> &str {
        "sink"
    }
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        (**self).take(facts)
    }

    fn flow_ended(&self, flow: &Arc<Flow>) -> io::Result<()> {
        (**self).flow_ended(flow)
    }

    fn ring(&self) -> Option<Ring> {
        (**self).ring()
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}
