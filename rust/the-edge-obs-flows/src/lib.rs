//! Runs YAML flows of templates and actions, and logs each node, as the Python package `the_edge_obs` does.
//!
//! A [`Flow`] is loaded once: everything in it is checked then, and each mistake is told with its file and line. It can run many times.
//! The events of a run go to the layers of the program: see [`the_edge_obs::FlowLayer`]. [`Actions`] are what its nodes call: the
//! builtin ones, and those of the program.
//!
//! # Quick start
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
//!
//! Code that a flow brings along (`run:`, `imports:`) is Python, and is refused when the flow is loaded: use an action, or `json.parse`
//! with a template. [The reference](https://github.com/fabceolin/the_edge_obs/blob/main/docs/yaml.md) describes flow files.
//!
//! # Features
//!
//! - `cli` (default): the program `tea-obs-rs`, which runs flows and reads logs.
//! - `memory` (default): the actions `memory.store` and `memory.retrieve`, with SQLite.
//! - `http` (default): the actions that ask a server: `http.get`, `http.post`, and the endpoints of `llm.call` and `llm.stream`.
//! - `jmespath` (default): the action `json.transform`.
//!
//! The crate needs Rust 1.85 or later and forbids unsafe code in its own modules; SQLite is written in C.
#![forbid(unsafe_code)]

pub mod actions;
mod answers;
#[cfg(feature = "cli")]
pub mod cli;
mod closest;
mod conditions;
pub mod error;
mod loader;
mod model;
mod python;
mod reach;
pub mod replay;
mod runner;
mod sha256;
mod state;
mod templates;
mod trace;

pub use actions::{Action, Actions, Signature};
pub use answers::{Answers, Called};
pub use error::{Failure, FlowFileError};
pub use runner::{Context, Flow, Stop};
pub use state::State;
