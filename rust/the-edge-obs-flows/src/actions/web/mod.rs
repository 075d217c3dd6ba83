//! HTTP for the actions that need it.

mod answers;
pub(super) mod chat;
mod choices;
mod errors;
mod hops;
pub(super) mod http;
mod sse;
pub(super) mod transport;
pub(super) mod urls;
