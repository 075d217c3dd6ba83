//! Repeated events: a log and its copy, or a log and its export, hold the same ones.

use std::collections::hash_map::RandomState;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};

use crate::event::timestamp;
use crate::value::Snap;

/// Remembers which events were seen, as hashes of 64 bits.
///
/// Two entries or exits are the same event if flow, span, type, node and time are equal. Events that can happen twice to a span
/// within one microsecond must have equal messages, data and metrics too.
///
/// ```
/// use the_edge_obs::repeats::Seen;
/// use the_edge_obs::value::from_json;
///
/// let event = from_json(r#"{"flow_id": "f", "span_id": "s", "node": "n", "timestamp": 1, "event_type": "exit"}"#).unwrap();
/// let mut seen = Seen::new();
/// assert!(seen.is_new(&event));
/// assert!(!seen.is_new(&event));
/// ```
#[derive(Debug, Default)]
pub struct Seen {
    hashes: HashSet<u64>,
    state: RandomState,
}

impl Seen {
    /// Returns a memory without events.
    #[must_use]
    pub fn new() -> Seen {
        Seen::default()
    }

    /// Tells whether an event is new, and remembers it.
    pub fn is_new(&mut self, event: &Snap) -> bool {
        let mut hasher = self.state.build_hasher();
        identify(event, &mut hasher);
        self.hashes.insert(hasher.finish())
    }
}

fn identify(event: &Snap, hasher: &mut impl Hasher) {
    let text = |key: &str| event.get(key).and_then(Snap::as_str);
    let kind = text("event_type");
    (text("flow_id"), text("span_id"), kind, text("node")).hash(hasher);
    timestamp(event).to_bits().hash(hasher);
    if !matches!(kind, Some("entry" | "exit")) {
        text("message").hash(hasher);
        for key in ["data", "metrics"] {
            event.get(key).map(Snap::to_json).hash(hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_json;

    fn are_same(one: &str, two: &str) -> bool {
        let mut seen = Seen::new();
        seen.is_new(&from_json(one).unwrap());
        !seen.is_new(&from_json(two).unwrap())
    }

    #[test]
    fn an_event_is_known_by_what_cannot_happen_twice() {
        let event = |kind: &str, time: &str, message: &str, data: &str| {
            format!(
                r#"{{"flow_id":"f","span_id":"s","node":"n","event_type":"{kind}","timestamp":{time},"message":"{message}","data":{data},"metrics":{{}}}}"#
            )
        };
        let exit = event("exit", "1", "m", "{}");
        assert!(are_same(&exit, &event("exit", "1.0", "other", "{\"a\":1}")));
        assert!(!are_same(&exit, &event("entry", "1", "m", "{}")));
        assert!(!are_same(&exit, &event("exit", "1.000001", "m", "{}")));
        let log = event("log", "1", "m", "{}");
        assert!(are_same(&log, &log));
        assert!(!are_same(&log, &event("log", "1", "n", "{}")));
        assert!(!are_same(&log, &event("log", "1", "m", "{\"a\":1}")));
    }
}
