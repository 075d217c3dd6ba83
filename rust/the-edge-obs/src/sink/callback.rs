//! A callback: a function of yours gets each event.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::Sink;
use crate::facts::Facts;
use crate::flow::Flow;
use crate::value::Snap;

type Call = dyn Fn(&Arc<Flow>, &Snap) -> io::Result<()> + Send + Sync;

/// Calls a function with each event, scrubbed. It runs on the thread that logs; its error or panic counts as a fault of the flow.
///
/// ```
/// use the_edge_obs::event::Level;
/// use the_edge_obs::sink::callback::Callback;
///
/// let callback = Callback::new(|event| println!("{}", event.to_json()));
/// let of_flow = Callback::with_flow(|flow, event| {
///     if event.get("level").and_then(|level| level.as_str()) == Some(Level::Error.name()) {
///         eprintln!("{} failed", flow.name);
///     }
///     Ok(())
/// });
/// ```
pub struct Callback {
    call: Box<Call>,
}

impl Callback {
    /// Returns a sink that calls a function with each event, a JSON object that follows the schema.
    #[must_use]
    pub fn new(call: impl Fn(&Snap) + Send + Sync + 'static) -> Callback {
        Callback::with_flow(move |_, event| {
            call(event);
            Ok(())
        })
    }

    /// Returns a sink that calls a function with each event and the state of its flow. The function may fail.
    #[must_use]
    pub fn with_flow(
        call: impl Fn(&Arc<Flow>, &Snap) -> io::Result<()> + Send + Sync + 'static,
    ) -> Callback {
        Callback {
            call: Box::new(call),
        }
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Callback").finish_non_exhaustive()
    }
}

impl Sink for Callback {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        (self.call)(&facts.flow, &facts.event())
    }

    fn name(&self) -> &str {
        "callback"
    }
}
