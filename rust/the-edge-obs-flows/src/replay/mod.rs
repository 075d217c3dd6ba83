//! Replay: run a flow again with the answers of a recorded run, offline.
//!
//! A [`Tape`] answers each call of an action with what was recorded for it: for the same input at the same place, or for the same input of
//! the same node elsewhere. Both inputs are compared as they are logged, without secrets. What has no answer ends the run, and says where,
//! what differs and what helps; nothing in the flow can handle that. `obs.*`, `json.*` and what only holds other nodes is done again.
//!
//! ```
//! use std::sync::Arc;
//! use the_edge_obs::sink::Ring;
//! use the_edge_obs::{FlowLayer, Snap};
//! use the_edge_obs_flows::replay::{Options, Tape};
//! use the_edge_obs_flows::{Actions, Context, Failure, Flow};
//! use tracing_subscriber::prelude::*;
//!
//! let text = "nodes: [{uses: my.model, with: {prompt: 'Capital of {{ state.country }}?'}, output: answer}]";
//! let asks = |_: &Snap, _: &Context<'_>| Ok(Snap::from("Paris"));
//! let fails = |_: &Snap, _: &Context<'_>| Err(Failure::action("there is no network here"));
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
//! let registry = tracing_subscriber::registry().with(tape.layer());
//! let again = tracing::subscriber::with_default(registry, || flow.run_answered(tape.state(), tape.clone())).unwrap();
//! assert_eq!(again.get("answer").and_then(Snap::as_str), Some("Paris"));
//! assert_eq!((tape.report().same, tape.report().stopped), (1, None));
//! ```

mod comparison;
mod decision;
mod full;
mod places;
mod recording;
mod report;
mod stopped;
mod tape;
mod values;

use the_edge_obs::globs::Glob;

pub use comparison::{Comparison, Difference, Kind};
pub use full::FullRecords;
pub use report::{Live, Report};
pub use stopped::Stopped;
pub use tape::Tape;
pub use values::Change;

/// How to replay. By default, everything must be answered from the recording, and all of an input counts.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Nodes that may be asked for real where the recording has no answer.
    pub live: Vec<Glob>,
    /// Paths of inputs that are not compared, such as `input.requested_at`.
    pub ignore: Vec<Glob>,
}
