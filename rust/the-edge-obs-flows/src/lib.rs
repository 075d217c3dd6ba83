//! Runs YAML flows of templates and actions.
#![forbid(unsafe_code)]

mod closest;
pub mod error;
mod python;
mod state;
mod templates;

pub use error::{Failure, FlowFileError};
pub use state::State;
