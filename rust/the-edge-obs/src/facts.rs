//! Facts: what is known of one event, and the event that they stand for.
//!
//! Facts are made when something happens, from snapshots. Their event is made when somebody reads it, and is scrubbed then: so a
//! secret that the flow learns later is taken out too.

mod json;

use std::fmt;
use std::sync::Arc;

use crate::event::{is_error_data, EventType, Level, CHECKED_METRICS};
use crate::flow::Flow;
use crate::redaction::cut_paths;
use crate::value::{Key, Snap};

/// What an event is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Nothing.
    None,
    /// A value that stands under a key of `data`: `input` or `output`, and never `cut`.
    Under(&'static str, Snap),
    /// The pairs of `data` themselves.
    Data(Box<[(Key, Snap)]>),
}

impl Payload {
    /// Returns it with another pair, whose value holds no secret.
    pub(crate) fn with(self, key: &str, value: Snap) -> Payload {
        let mut pairs = match self {
            Payload::None => Vec::new(),
            Payload::Under(name, taken) => vec![(name.into(), taken)],
            Payload::Data(pairs) => pairs.into_vec(),
        };
        pairs.push((key.into(), value));
        Payload::Data(pairs.into())
    }
}

/// The numbers of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Metrics {
    /// None.
    None,
    /// A duration in nanoseconds.
    Duration(u64),
    /// Numbers by name. What is not a number becomes null, or is left out where the schema wants a number of at least 0.
    Numbers(Box<[(Key, Snap)]>),
}

/// What is known of one event. Values come from [`snapshot`](crate::redaction::snapshot).
#[derive(Clone)]
pub struct Facts {
    /// The run.
    pub flow: Arc<Flow>,
    /// The number of the span.
    pub number: u64,
    /// The number of the enclosing span; `None` for the root.
    pub parent: Option<u64>,
    /// What runs. It must not be empty.
    pub node: Arc<str>,
    /// The name that a flow file gives to the node.
    pub step: Option<Arc<str>>,
    /// The level.
    pub level: Level,
    /// The type.
    pub event_type: EventType,
    /// Wall clock: nanoseconds since the Unix epoch.
    pub wall: u64,
    /// A text for people: a string, or a mark if it was cut.
    pub message: Option<Snap>,
    /// What it is about.
    pub payload: Payload,
    /// Its numbers.
    pub metrics: Metrics,
}

impl fmt::Debug for Facts {
    /// Writes the event, scrubbed: what is printed while debugging is read too.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.event().to_json())
    }
}

impl Facts {
    /// Returns the event, scrubbed: a JSON object that follows the schema.
    #[must_use]
    pub fn event(&self) -> Snap {
        let (data, message) = self.content();
        let flow = self.flow.id;
        let parent = self.parent.map(|number| flow.span(number).to_string());
        let mut pairs: Vec<(Key, Snap)> = vec![
            ("flow_id".into(), flow.to_string().into()),
            ("span_id".into(), flow.span(self.number).to_string().into()),
            ("parent_id".into(), parent.into()),
            ("node".into(), (&*self.node).into()),
            ("level".into(), self.level.name().into()),
            ("timestamp".into(), Snap::Float(seconds(self.wall))),
            ("event_type".into(), self.event_type.name().into()),
            ("message".into(), message),
            ("data".into(), data),
            ("metrics".into(), self.numbers()),
        ];
        if let Some(step) = &self.step {
            pairs.push(("step".into(), (&**step).into()));
        }
        Snap::Map(pairs.into())
    }

    /// Returns the data and the message, scrubbed; the data says what was cut.
    fn content(&self) -> (Snap, Snap) {
        let (policy, taints) = (&self.flow.policy, &self.flow.taints);
        let (mut data, mut cut) = match &self.payload {
            Payload::None => (Vec::new(), Vec::new()),
            Payload::Under(key, taken) => {
                let clean = policy.scrub(taken, taints);
                let cut = cut_paths(key, taken, &clean);
                (vec![((*key).into(), clean)], cut)
            }
            Payload::Data(pairs) => {
                let taken = Snap::Map(pairs.clone());
                let clean = policy.scrub(&taken, taints);
                let cut = cut_paths("", &taken, &clean);
                (own_data(clean), cut)
            }
        };
        let mut message = Snap::Null;
        if let Some(text) = self.message.as_ref().and_then(Snap::as_str) {
            let clean = policy.scrub_text(text, taints);
            if matches!(self.message, Some(Snap::Mark(_))) || clean != text {
                cut.push("message".to_owned());
            }
            message = clean.into();
        }
        if !cut.is_empty() {
            data.push(("cut".into(), cut.into()));
        }
        let data = match &self.payload {
            // Somebody's own keys may be there twice now: `cut` has become `cut'`.
            Payload::Data(_) => Snap::map(data),
            Payload::None | Payload::Under(..) => Snap::Map(data.into()),
        };
        (data, message)
    }

    pub(crate) fn numbers(&self) -> Snap {
        match &self.metrics {
            Metrics::None => Snap::Map([].into()),
            Metrics::Duration(nanoseconds) => {
                Snap::map([("duration_ms", Snap::Float(millionths(*nanoseconds)))])
            }
            Metrics::Numbers(numbers) => Snap::map(numbers.iter().filter_map(|(key, value)| {
                let (is_number, is_from_zero) = match value {
                    Snap::Int(number) => (*number > i64::MIN, *number >= 0),
                    Snap::Float(number) => (number.is_finite(), *number >= 0.0),
                    _ => (false, false),
                };
                if CHECKED_METRICS.contains(&&**key) && !(is_number && is_from_zero) {
                    return None;
                }
                let value = if is_number { value.clone() } else { Snap::Null };
                Some((key.clone(), value))
            })),
        }
    }
}

/// Returns Unix seconds with microseconds.
pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    millionths(nanoseconds / 1_000)
}

fn millionths(number: u64) -> f64 {
    number as f64 / 1e6
}

/// Returns the pairs of data. Somebody's own `cut` becomes `cut'`, for that key says what was cut; and what stands under `error`
/// becomes what the schema wants there.
fn own_data(data: Snap) -> Vec<(Key, Snap)> {
    let Snap::Map(pairs) = data else {
        return Vec::new();
    };
    let pairs = pairs
        .into_vec()
        .into_iter()
        .map(|(key, value)| match &*key {
            "cut" => ("cut'".into(), value),
            "error" if !is_error_data(&value) => {
                let message = match &value {
                    Snap::Str(_) | Snap::Mark(_) => value,
                    other => other.to_json().into(),
                };
                let error = Snap::map([("type", "Error".into()), ("message", message)]);
                (key, error)
            }
            _ => (key, value),
        });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::problems;
    use crate::redaction::{snapshot, KeyClasses};
    use proptest::prelude::*;

    fn facts(payload: Payload, metrics: Metrics) -> Facts {
        let id = "9f0df4a5-a646-4772-b822-7adce460ed24".parse().unwrap();
        let flow = Flow::new(id, "triage");
        Facts {
            flow: Arc::new(flow),
            number: 0x8dd3_7757_55bc_b13e,
            parent: None,
            node: "rank".into(),
            step: None,
            level: Level::Info,
            event_type: EventType::Exit,
            wall: 1_795_363_054_861_892_999,
            message: None,
            payload,
            metrics,
        }
    }

    #[test]
    fn the_event_has_the_keys_of_the_schema_in_order() {
        let mut one = facts(
            Payload::Under("output", vec!["a", "b"].into()),
            Metrics::Duration(7_001),
        );
        one.step = Some("sort".into());
        one.parent = Some(1 << 63);
        assert_eq!(
            one.event().to_json(),
            "{\"flow_id\":\"9f0df4a5-a646-4772-b822-7adce460ed24\",\"span_id\":\"9f0df4a5-a646-4772-8dd3-775755bcb13e\",\
             \"parent_id\":\"9f0df4a5-a646-4772-8000-000000000000\",\"node\":\"rank\",\"level\":\"info\",\
             \"timestamp\":1795363054.861892,\"event_type\":\"exit\",\"message\":null,\"data\":{\"output\":[\"a\",\"b\"]},\
             \"metrics\":{\"duration_ms\":0.007001},\"step\":\"sort\"}"
        );
    }

    #[test]
    fn a_secret_that_is_learned_later_is_taken_out_too() {
        let mut one = facts(
            Payload::Under("input", "use hunter2xyz".into()),
            Metrics::None,
        );
        one.message = Some("hunter2xyz!".into());
        assert!(one.event().to_json().contains("hunter2xyz"));
        one.flow.taints.name("hunter2xyz");
        let event = one.event();
        assert_eq!(event.get("message"), Some(&"[REDACTED]!".into()));
        assert_eq!(
            event.get("data").unwrap().to_json(),
            r#"{"input":"use [REDACTED]","cut":["input","message"]}"#
        );
    }

    #[test]
    fn reserved_keys_of_data_are_kept_for_the_schema() {
        let data = |text: &str| {
            let Snap::Map(pairs) = crate::value::from_json(text).unwrap() else {
                panic!()
            };
            facts(Payload::Data(pairs), Metrics::None)
                .event()
                .get("data")
                .unwrap()
                .to_json()
        };
        assert_eq!(data(r#"{"cut":1,"a":2}"#), r#"{"cut'":1,"a":2}"#);
        assert_eq!(
            data(r#"{"error":"boom"}"#),
            r#"{"error":{"type":"Error","message":"boom"}}"#
        );
        assert_eq!(
            data(r#"{"error":[1]}"#),
            r#"{"error":{"type":"Error","message":"[1]"}}"#
        );
        assert_eq!(data(r#"{"error":null}"#), r#"{"error":null}"#);
    }

    #[test]
    fn the_text_of_an_event_needs_no_event() {
        let mut one = facts(
            Payload::Under("output", vec!["a\n", "b"].into()),
            Metrics::Duration(0),
        );
        one.message = Some("é\"".into());
        assert_eq!(one.to_json(), one.event().to_json());
        (one.parent, one.step, one.node) = (Some(7), Some("s\t".into()), "n\\".into());
        one.payload = Payload::Data([("cut".into(), 1.into()), ("cut'".into(), 2.into())].into());
        one.metrics = Metrics::Numbers([("n".into(), 2.into())].into());
        one.wall = u64::MAX;
        assert_eq!(one.to_json(), one.event().to_json());
    }

    #[test]
    fn metrics_are_numbers() {
        let metrics = [
            ("tokens", Snap::Int(-1)),
            ("cost_usd", Snap::Float(f64::NAN)),
            ("input_tokens", Snap::Int(3)),
            ("x", Snap::Float(f64::INFINITY)),
            ("y", Snap::from("1")),
            ("z", Snap::Int(-1)),
        ];
        let metrics = metrics.map(|(key, value)| (key.into(), value));
        let event = facts(Payload::None, Metrics::Numbers(metrics.into())).event();
        assert_eq!(
            event.get("metrics").unwrap().to_json(),
            r#"{"input_tokens":3,"x":null,"y":null,"z":-1}"#
        );
    }

    proptest! {
        #[test]
        fn every_event_follows_the_schema(
            key in "error|cut|answered|input|[a-z]{1,5}",
            text in "\\PC{0,30}",
            number in any::<f64>(),
            metric in "tokens|duration_ms|[a-z]{1,5}",
        ) {
            let value = Snap::map([(key.clone(), Snap::from(text.clone())), ("n".to_owned(), Snap::Float(number))]);
            let flow = facts(Payload::None, Metrics::None);
            let Snap::Map(pairs) = snapshot(&value, &flow.flow.taints, KeyClasses::built_in()) else { panic!() };
            let mut one = facts(Payload::Data(pairs), Metrics::Numbers([(metric.into(), Snap::Float(number))].into()));
            one.event_type = EventType::Log;
            one.message = Some(text.into());
            prop_assert_eq!(problems(&one.event()), Vec::<String>::new());
            prop_assert_eq!(one.to_json(), one.event().to_json());
        }
    }
}
