//! Events of observed flows: their JSON form, their ids, and the redaction of secrets in them.
//!
//! This crate is the beginning of a Rust runtime that writes the same logs as the Python package `the_edge_obs`. What exists is
//! complete and tested; `README.md` lists it, and what is to come.
#![forbid(unsafe_code)]

pub mod error;
pub mod event;
pub mod facts;
pub mod flow;
pub mod ids;
pub mod line;
pub mod redaction;
pub mod sink;
pub mod value;
#[cfg(feature = "yaml")]
pub mod yaml;

pub use error::Error;
pub use flow::Flow;
pub use sink::Sink;
pub use value::Snap;
