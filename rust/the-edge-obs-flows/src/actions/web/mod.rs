//! HTTP for the actions that need it.

pub(super) mod http;
pub(super) mod transport;
pub(super) mod urls;
