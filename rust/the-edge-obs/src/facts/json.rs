//! The text of an event, written from its facts in one pass.

use super::{millionths, Facts, Metrics, Payload};
use crate::event::{is_error_data, ERROR_KEYS};
use crate::redaction::Writer;
use crate::value::{write_decimal, write_string, Out, Snap};

impl Facts {
    /// Returns the text of [`Facts::event`] as JSON. It is made without the event in between, which takes a fraction of the time.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(1_024);
        self.write_json(&mut out);
        out
    }

    /// Appends what [`Facts::to_json`] returns.
    pub(crate) fn write_json(&self, out: &mut impl Out) {
        self.write_ids(out);
        self.write_rest(out);
    }

    /// Appends what stands behind the ids.
    pub(crate) fn write_rest(&self, out: &mut impl Out) {
        out.push_str(",\"node\":");
        write_string(&self.node, out);
        for part in [",\"level\":\"", self.level.name(), "\",\"timestamp\":"] {
            out.push_str(part);
        }
        write_millionths(self.wall / 1_000, out);
        for part in [",\"event_type\":\"", self.event_type.name(), "\","] {
            out.push_str(part);
        }
        self.write_content(out);
        out.push_str(",\"metrics\":");
        self.write_numbers(out);
        if let Some(step) = &self.step {
            out.push_str(",\"step\":");
            write_string(step, out);
        }
        out.push_one(b'}');
    }

    /// Appends the message and the data.
    fn write_content(&self, out: &mut impl Out) {
        if !self.is_plain() {
            return self.write_changed_content(out);
        }
        let mut writer = Writer::new(&self.flow.policy, &self.flow.taints, out);
        writer.push("\"message\":");
        let is_message_cut = self.write_message(&mut writer);
        writer.push(",\"data\":{");
        match &self.payload {
            Payload::None => {}
            Payload::Under(key, taken) => writer.under(key, taken),
            Payload::Data(pairs) => writer.pairs(pairs),
        }
        let mut cut = writer.cut();
        if is_message_cut {
            cut.push("message".to_owned());
        }
        if !cut.is_empty() {
            if !matches!(&self.payload, Payload::None) {
                out.push_one(b',');
            }
            out.push_str("\"cut\":[");
            for (at, path) in cut.iter().enumerate() {
                if at > 0 {
                    out.push_one(b',');
                }
                write_string(path, out);
            }
            out.push_one(b']');
        }
        out.push_one(b'}');
    }

    /// As [`Facts::write_content`], of data with pairs that change.
    #[cold]
    fn write_changed_content(&self, out: &mut impl Out) {
        let (data, message) = self.content();
        out.push_str("\"message\":");
        message.write_to(out);
        out.push_str(",\"data\":");
        data.write_to(out);
    }

    /// Appends the message, and tells whether something is missing in it.
    fn write_message(&self, writer: &mut Writer<'_, impl Out>) -> bool {
        let is_mark = matches!(self.message, Some(Snap::Mark(_)));
        match self.message.as_ref().and_then(Snap::as_str) {
            Some(text) => writer.text(text) | is_mark,
            None => {
                writer.push("null");
                false
            }
        }
    }

    /// Tells whether the pairs of data stay what they are but for their secrets: none is one of the schema's, or has to become that.
    fn is_plain(&self) -> bool {
        let Payload::Data(pairs) = &self.payload else {
            return true;
        };
        !pairs.is_empty()
            && pairs.iter().all(|(key, value)| match &**key {
                "cut" => false,
                "error" => is_error_data(value) && self.flow.policy.keeps(&ERROR_KEYS),
                _ => true,
            })
    }

    /// Appends the beginning of the text: the ids, of which the events of a span have the same.
    pub(crate) fn write_ids(&self, out: &mut impl Out) {
        let flow = self.flow.id;
        out.push_str("{\"flow_id\":\"");
        flow.write(out);
        out.push_str("\",\"span_id\":\"");
        flow.span(self.number).write(out);
        out.push_str("\",\"parent_id\":");
        match self.parent {
            Some(parent) => {
                out.push_one(b'"');
                flow.span(parent).write(out);
                out.push_one(b'"');
            }
            None => out.push_str("null"),
        }
    }

    fn write_numbers(&self, out: &mut impl Out) {
        if let Metrics::Duration(nanoseconds) = &self.metrics {
            out.push_str("{\"duration_ms\":");
            write_millionths(*nanoseconds, out);
            out.push_one(b'}');
        } else {
            self.numbers().write_to(out);
        }
    }
}

/// Appends a number of millionths as the JSON text of the float that [`millionths`] returns.
///
/// Below 2^32, floats are nearer to one another than millionths: so no shorter text stands for the float, and no float for two of
/// these. Below 0.0001 the text has an exponent.
fn write_millionths(number: u64, out: &mut impl Out) {
    if (number / 1_000_000) >> 32 > 0 || number < 100 {
        return Snap::Float(millionths(number)).write_to(out);
    }
    write_decimal(number, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, Level};
    use crate::line::{line_of, to_line};
    use crate::redaction::made::{flows, snaps, texts};
    use crate::value::Key;
    use proptest::prelude::*;

    fn pairs() -> impl Strategy<Value = Box<[(Key, Snap)]>> {
        let key = prop_oneof![texts(), "cut|error|answered|input".prop_map(String::from)];
        let error = texts().prop_map(|text| {
            Snap::map([
                ("type", "E".into()),
                ("message", text.into()),
                ("where", "a:1".into()),
            ])
        });
        let value = prop_oneof![2 => snaps(), 1 => error];
        let pairs = prop::collection::vec((key.prop_map(Key::from), value), 0..5);
        pairs.prop_map(Into::into)
    }

    fn payloads() -> impl Strategy<Value = Payload> {
        let long = (0..140_000usize).prop_map(|size| "x\" ".repeat(size / 3).into());
        prop_oneof![
            Just(Payload::None),
            prop_oneof![8 => snaps(), 1 => long].prop_map(|taken| Payload::Under("output", taken)),
            pairs().prop_map(Payload::Data),
        ]
    }

    fn all_facts() -> impl Strategy<Value = Facts> {
        let message = prop_oneof![
            Just(None),
            texts().prop_map(|text| Some(text.into())),
            texts().prop_map(|text| Some(Snap::Mark(text.into()))),
            Just(Some(Snap::Int(1))),
        ];
        let metrics = prop_oneof![
            Just(Metrics::None),
            any::<u64>().prop_map(Metrics::Duration),
            (0..10_000_000u64).prop_map(Metrics::Duration),
            pairs().prop_map(Metrics::Numbers),
        ];
        let place = (any::<u64>(), prop::option::of(any::<u64>()), any::<u64>());
        let names = (
            prop::sample::select(EventType::ALL.to_vec()),
            prop::option::of(texts()),
        );
        (flows(), place, names, message, payloads(), metrics).prop_map(
            |(flow, (number, parent, wall), (event_type, step), message, payload, metrics)| Facts {
                flow: flow.into(),
                number,
                parent,
                node: "ra\"nk".into(),
                step: step.map(Into::into),
                level: Level::Warn,
                event_type,
                wall,
                message,
                payload,
                metrics,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn the_line_of_facts_is_that_of_their_event(mut facts in all_facts(), message in texts()) {
            prop_assert_eq!(facts.to_json(), facts.event().to_json());
            prop_assert_eq!(line_of(&facts), to_line(&facts.event()));
            // Of the same span, whose ids stand there already.
            facts.message = Some(message.into());
            prop_assert_eq!(line_of(&facts), to_line(&facts.event()));
            facts.number ^= 1;
            prop_assert_eq!(line_of(&facts), to_line(&facts.event()));
        }

        #[test]
        fn millionths_are_written_as_floats_are(number in prop_oneof![any::<u64>(), 0..300u64, 0..5_000_000_000_000_000u64], zeros in 0..7u32) {
            let number = number - number % 10u64.pow(zeros);
            let mut text = String::new();
            write_millionths(number, &mut text);
            prop_assert_eq!(text, Snap::Float(millionths(number)).to_json());
        }
    }
}
