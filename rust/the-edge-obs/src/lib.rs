//! Events of observed flows: their JSON form, their ids, and the redaction of secrets in them.
//!
//! This crate is the beginning of a Rust runtime that writes the same logs as the Python package `the_edge_obs`. What exists is
//! complete and tested; `README.md` lists it, and what is to come.
#![forbid(unsafe_code)]

pub mod error;
pub mod event;
pub mod export;
pub mod facts;
mod files;
pub mod flow;
pub mod flow_log;
pub mod globs;
pub mod ids;
pub mod jsonl;
pub mod line;
pub mod query;
pub mod redaction;
pub mod repeats;
pub mod sink;
pub mod store;
pub mod times;
pub mod traceparent;
pub mod validation;
pub mod value;

pub use error::Error;
pub use flow::Flow;
pub use flow_log::{build_flow_log, FlowLog};
pub use query::Filters;
pub use sink::Sink;
pub use store::Store;
pub use value::Snap;
