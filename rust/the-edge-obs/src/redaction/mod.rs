//! Redaction: which keys and texts are secret, judged as the Python package judges them.
//!
//! Nothing here depends on how events are collected.

mod chars;
mod keys;
mod pattern;
mod shapes;
mod spans;
mod tables;
mod texts;
mod values;

pub use keys::{classify, fold, reveals, KeyClasses, Verdict, MAX_KEY};
pub use texts::{redact, secret_spans, PLACEHOLDER};
pub use values::{look_of, Look};
