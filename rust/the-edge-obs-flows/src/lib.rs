//! Runs YAML flows of templates and actions, as the Python package `the_edge_obs` does.
//!
//! ```
//! use the_edge_obs::Snap;
//! use the_edge_obs_flows::{Actions, Flow};
//!
//! let text = "
//! initial_state: {numbers: '[1, 2]'}
//! nodes:
//!   - uses: json.parse
//!     with: {text: '{{ state.numbers }}'}
//!     output: parsed
//! ";
//! let flow = Flow::parse(text, Actions::builtin()).unwrap();
//! let state = flow.run(Snap::Null).unwrap();
//! assert_eq!(state.get("parsed").unwrap().get("data").unwrap().to_json(), "[1,2]");
//! ```
#![forbid(unsafe_code)]

pub mod actions;
#[cfg(feature = "cli")]
pub mod cli;
mod closest;
mod conditions;
pub mod error;
mod loader;
mod model;
mod python;
mod reach;
mod runner;
mod sha256;
mod state;
mod templates;
mod trace;

pub use actions::{Action, Actions, Signature};
pub use error::{Failure, FlowFileError};
pub use runner::{Context, Flow, Stop};
pub use state::State;
