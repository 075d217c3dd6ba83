//! HTTP for the actions that need it.

mod answers;
pub(super) mod chat;
mod choices;
mod errors;
pub(super) mod http;
mod sse;
pub(super) mod transport;
pub(super) mod urls;
