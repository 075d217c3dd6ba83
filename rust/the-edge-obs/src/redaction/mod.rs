//! Redaction: which keys and texts are secret, judged as the Python package judges them.
//!
//! Nothing here depends on how events are collected.

mod bytes;
mod cards;
mod chars;
mod entries;
mod keys;
#[cfg(test)]
pub(crate) mod made;
mod marks;
mod memory;
mod mistakes;
mod needles;
mod ordinary;
mod own;
mod pattern;
mod policy;
mod runs;
mod scrubbing;
mod shapes;
mod signs;
mod snapshot;
mod spans;
mod spellings;
mod tables;
mod taints;
mod texts;
mod typed;
mod values;
mod written;

pub(crate) use chars::head;
pub(crate) use chars::is_printable;
pub use keys::{classify, fold, reveals, KeyClasses, Verdict, MAX_KEY};

pub use marks::{cut_paths, inside, MAX_PATH, MAX_PATHS, MORE};
pub(crate) use mistakes::{allowed, check_keys, flag, mistake, shown, wrong};
pub use policy::Policy;
pub(crate) use snapshot::items_mark;
pub use snapshot::{
    scrub, scrub_text, snapshot, LONGEST_WHOLE_KEY, MAX_CHARS, MAX_DEPTH, MAX_ITEMS, MAX_VALUES,
    SHORT_STRING,
};
pub use taints::{Taints, MAX_SECRETS, MAX_SPELLED, MAX_STRING, SHORTEST_NUMBER, SHORTEST_TAINT};
pub use texts::{redact, secret_spans, PLACEHOLDER};
pub use values::{look_of, Look};
pub(crate) use written::Writer;
