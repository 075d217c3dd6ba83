//! Flow-scoped logs for agents and workflows, on the `tracing` crate.
#![forbid(unsafe_code)]

pub mod call;
pub mod capture;
pub mod config;
pub mod configure;
pub mod context;
pub mod error;
pub mod event;
pub mod export;
pub mod facts;
pub mod files;
pub mod flow;
pub mod flow_log;
mod foreign;
pub mod globs;
mod guard;
pub mod here;
pub mod ids;
pub mod jsonl;
pub mod layer;
pub mod levels;
pub mod line;
mod macros;
mod names;
pub mod node;
pub mod observability;
pub mod outcome;
mod output;
pub mod parity;
pub mod query;
pub mod redaction;
pub mod repeats;
mod run;
#[cfg(test)]
mod sample;
pub mod sink;
pub mod span;
pub mod store;
pub mod text;
pub mod times;
pub mod traceparent;
pub mod validation;
pub mod value;
pub mod whole_log;
#[cfg(feature = "yaml")]
pub mod yaml;

pub use capture::to_snap;
pub use configure::{configure, Undo};
pub use context::{current, flow, log, taint, ObservabilityContext};
pub use error::Error;
pub use event::{EventType, Level, Status};
pub use facts::Facts;
pub use flow::Flow;
pub use flow_log::{build_flow_log, FlowLog};
pub use here::{here, Here};
pub use ids::{FlowId, SpanId};
pub use layer::FlowLayer;
pub use levels::Levels;
#[doc(hidden)]
pub use node::is_compiled as __is_compiled;
pub use node::Node;
pub use observability::{get_flow_log, observed, query, store, EventHandler, EventStream};
pub use query::Filters;
pub use sink::Sink;
pub use span::OpenSpan;
pub use store::Store;
pub use value::Snap;

/// Whether the crate was compiled with recording: with the feature `record`.
pub const RECORD: bool = cfg!(feature = "record");
