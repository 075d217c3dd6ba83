//! Records every run of an agent or workflow as a tree of spans, on the `tracing` crate, and reads it back.
//!
//! A *flow* is one run, a *node* is what runs in it, and a *span* is one execution of a node. Each span logs an entry and an exit, or an
//! entry and an error. All events of a flow carry its id, and secrets are redacted before an event leaves the process. The events
//! are those of the Python package `the_edge_obs`, and its command `tea-obs` shows the logs of both.
//!
//! # Quick start
//!
//! ```
//! use the_edge_obs::{flow, log, node, sink::Ring, Filters, FlowLayer};
//! use tracing_subscriber::prelude::*;
//!
//! tracing_subscriber::registry().with(FlowLayer::new().sink(Ring::new())).init();
//!
//! let run = flow("triage").start();
//! let answer = run.in_scope(|| {
//!     node!("llm.call", step: "ask", input: "2 + 2").run(|span| {
//!         span.metric("candidates", 1);
//!         "4".parse::<u8>()
//!     })
//! });
//! run.in_scope(|| log!("scoring", info, message: "scored", metrics: {"items": 42}));
//! run.end();
//!
//! assert_eq!(answer, Ok(4));
//! # if the_edge_obs::RECORD {
//! let log = run.flow_log()?;
//! assert_eq!((log.status.name(), log.spans.len()), ("ok", 2));
//! assert_eq!(run.query(&Filters::new().node("llm.*"))?.len(), 3);
//! # }
//! # Ok::<(), the_edge_obs::Error>(())
//! ```
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | add it to a program that uses `tracing` | [`FlowLayer`] |
//! | set it up for a program that does not, from an `observability:` block | [`configure()`], [`config::Config`] |
//! | start a flow, or continue one of another process | [`flow()`], [`traceparent`] |
//! | observe code: a block, a future, a registry of actions | [`node!`], [`call::Call`], [`observed`] |
//! | log an event of the running span | [`log!`] |
//! | carry the running span to threads and tasks | [`here()`] |
//! | say what is recorded | [`Levels`] |
//! | keep or write events | [`sink`] |
//! | read runs back | [`ObservabilityContext::flow_log`], [`query()`], [`Store`], [`export`] |
//! | know what is redacted | [`redaction`] |
//!
//! # Features
//!
//! - `record` (default): without it, nothing is recorded, and an observed call is the bare call. All types stay.
//! - `yaml` (default): configurations in YAML.
//!
//! With `tracing`'s feature `release_max_level_off`, a release build also has nothing of an observed call left. Both are for the
//! program to set, not for a library.
//!
//! The crate needs Rust 1.85 or later and forbids unsafe code. The
//! [guide](https://github.com/fabceolin/the_edge_obs/blob/main/docs/rust.md) explains more.
#![forbid(unsafe_code)]

pub mod call;
pub mod capture;
mod circles;
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
