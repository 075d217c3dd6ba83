//! Replay: run a flow again with the answers of a recorded run, offline.
//!
//! A [`Tape`] answers each call of an action with what was recorded for it: for the same input at the same place, or for the same input of
//! the same node elsewhere. Both inputs are compared as they are logged, without secrets. What has no answer ends the run, and says where,
//! what differs and what helps; nothing in the flow can handle that. `json.*`, and those of `obs.*` that read the log, are called.
//!
//! ```
//! use std::sync::Arc;
//! use the_edge_obs::sink::Ring;
//! use the_edge_obs::{FlowLayer, Snap};
//! use the_edge_obs_flows::replay::{Kind, Options, Tape};
//! use the_edge_obs_flows::{Actions, Context, Failure, Flow};
//! use tracing_subscriber::prelude::*;
//!
//! let text = "nodes: [{uses: my.model, with: {prompt: 'Capital of {{ state.country }}?'}, output: answer}]";
//! let asks = |_: &Snap, _: &Context<'_>| Ok(Snap::from("Paris"));
//! let fails = |_: &Snap, _: &Context<'_>| Err(Failure::action("the network is not available"));
//!
//! // A run is recorded,
//! let ring = Ring::new();
//! let flow = Flow::parse(text, Actions::new().with("my.model", asks)).unwrap();
//! let registry = tracing_subscriber::registry().with(FlowLayer::new().sink(ring.clone()));
//! let state = Snap::map([("country", Snap::from("France"))]);
//! tracing::subscriber::with_default(registry, || flow.run(state)).unwrap();
//! let log = the_edge_obs::Store::new().ring(ring.clone()).flow_log(&ring.flows()[0].to_string()).unwrap();
//!
//! // and runs again, where its model cannot be asked. The recording has the initial state too.
//! let flow = Flow::parse(text, Actions::new().with("my.model", fails)).unwrap();
//! let tape = Arc::new(Tape::new(&log, &flow, Options::default()).unwrap());
//! let registry = tracing_subscriber::registry().with(FlowLayer::new().sink(tape.clone()));
//! let state = tape.state().unwrap();
//! let again = tracing::subscriber::with_default(registry, || flow.run_answered(state, tape.clone())).unwrap();
//! assert_eq!(again.get("answer").and_then(Snap::as_str), Some("Paris"));
//! assert_eq!((tape.report().count(Kind::Same), tape.report().stopped), (1, None));
//! ```

mod comparison;
mod decision;
mod folder;
mod full;
mod losses;
mod options;
mod places;
mod recording;
mod report;
mod secrets;
mod stopped;
mod tape;
mod values;

pub use comparison::{Comparison, Difference, Standing};
#[cfg(feature = "cli")]
pub(crate) use full::digest;
pub use full::FullRecords;
pub use options::Options;
pub use report::{Asked, Kind, Report};
pub use stopped::{Stopped, Why};
pub use tape::Tape;
pub use values::Change;

use the_edge_obs::{FlowLog, Snap};

use crate::actions::Actions;
use crate::error::Failure;
use crate::runner::Context;

/// Returns actions that also have a name for each call of a log, so that a flow can be loaded whose actions are only in another program.
/// Those can be answered, and not called.
#[must_use]
pub fn with_recorded(mut actions: Actions, log: &FlowLog) -> Actions {
    for span in &log.spans {
        let node = &*span.node;
        if !places::STRUCTURE.contains(&node) && node != places::CODE && actions.get(node).is_none()
        {
            let name = node.to_owned();
            let absent = move |_: &Snap, _: &Context<'_>| {
                Err(Failure::action(format!("{name}: this program does not have the action; it can only be answered from a recording")))
            };
            actions = actions.with(node, absent);
        }
    }
    actions
}
