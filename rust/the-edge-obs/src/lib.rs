//! Flow-scoped logs for agents and workflows, on the `tracing` crate.
#![forbid(unsafe_code)]

pub mod capture;
pub mod context;
pub mod error;
pub mod event;
pub mod facts;
pub mod flow;
mod foreign;
mod guard;
pub mod ids;
pub mod layer;
pub mod levels;
pub mod line;
mod macros;
mod names;
pub mod node;
pub mod outcome;
mod output;
pub mod redaction;
mod run;
pub mod sink;
pub mod span;
pub mod value;

pub use capture::to_snap;
pub use context::{current, flow, here, log, taint, Here, ObservabilityContext};
pub use error::Error;
pub use event::{EventType, Level, Status};
pub use facts::Facts;
pub use flow::Flow;
pub use ids::{FlowId, SpanId};
pub use layer::FlowLayer;
pub use levels::Levels;
#[doc(hidden)]
pub use node::is_compiled as __is_compiled;
pub use node::Node;
pub use sink::Sink;
pub use span::OpenSpan;
pub use value::Snap;

/// Whether the crate was compiled with recording: with the feature `record`.
pub const RECORD: bool = cfg!(feature = "record");
