//! Ordinals in place of ids: rules N5 and N6 of `docs/parity.md`.

use std::collections::HashMap;

use crate::ids::is_uuid;
use crate::value::Snap;

const UUID: usize = 36; // characters of an id
const BARE: [usize; 2] = [32, 16]; // those of a flow's and of a span's id in W3C and OTLP form

/// Gives ids ordinals, such as `span-2`, by first appearance.
#[derive(Default)]
pub(super) struct Names {
    known: HashMap<Box<str>, Box<str>>,
    bare: HashMap<Box<str>, Box<str>>,
    flows: usize,
    spans: usize,
}

impl Names {
    /// Names each id of an event that has no name yet. Its form without hyphens has the same name.
    pub(super) fn learn(&mut self, event: &Snap) {
        for key in ["flow_id", "parent_id", "span_id"] {
            let Some(id) = event.get(key).and_then(Snap::as_str) else {
                continue;
            };
            if self.known.contains_key(id) {
                continue;
            }
            let digits = id.chars().filter(|char| *char != '-');
            let (name, bare): (String, String) = if key == "flow_id" {
                self.flows += 1;
                (format!("flow-{}", self.flows), digits.collect())
            } else {
                self.spans += 1;
                (format!("span-{}", self.spans), digits.skip(16).collect())
            };
            self.known.insert(id.into(), name.as_str().into());
            self.bare.insert(bare.into(), name.into());
        }
    }

    /// Returns an id's name; of any other text, the text with names in place of the ids in it, or `None` if it has none.
    pub(super) fn of(&self, text: &str) -> Option<String> {
        if let Some(name) = self.known.get(text) {
            return Some(name.to_string());
        }
        let bytes = text.as_bytes();
        let (mut out, mut done, mut at) = (String::new(), 0, 0);
        while at < bytes.len() {
            let Some(end) = end_of_id(text, at) else {
                at += 1;
                continue;
            };
            let id = &text[at..end];
            if let Some(name) = self.known.get(id).or_else(|| self.bare.get(id)) {
                out.push_str(&text[done..at]);
                out.push_str(name);
                done = end;
            }
            at = end;
        }
        (done > 0).then(|| out + &text[done..])
    }
}

/// Returns where an id ends that begins at a byte: one with hyphens, or one without that has no hexadecimal digit beside it.
fn end_of_id(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    if !is_digit(bytes[at]) {
        return None;
    }
    if bytes.get(at + 8) == Some(&b'-') && text.get(at..at + UUID).is_some_and(is_uuid) {
        return Some(at + UUID);
    }
    if at > 0 && is_digit(bytes[at - 1]) {
        return None;
    }
    let rest = &bytes[at..bytes.len().min(at + BARE[0] + 1)];
    let length = rest.iter().take_while(|byte| is_digit(**byte)).count();
    BARE.contains(&length).then_some(at + length)
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = "9f0df4a5-a646-4772-b822-7adce460ed24";
    const SPAN: &str = "9f0df4a5-a646-4772-8dd3-775755bcb13e";

    fn names() -> Names {
        let mut names = Names::default();
        names.learn(&Snap::map([
            ("flow_id", Snap::from(FLOW)),
            ("parent_id", Snap::Null),
            ("span_id", Snap::from(SPAN)),
        ]));
        names
    }

    #[test]
    fn ids_are_replaced_wherever_they_stand() {
        let names = names();
        let cases = [
            (FLOW, "flow-1"),
            (SPAN, "span-1"),
            ("see 9f0df4a5-a646-4772-8dd3-775755bcb13e.", "see span-1."),
            ("é9f0df4a5-a646-4772-8dd3-775755bcb13eé", "éspan-1é"),
            ("abc9f0df4a5-a646-4772-8dd3-775755bcb13e0", "abcspan-10"),
            (
                "00-9f0df4a5a6464772b8227adce460ed24-8dd3775755bcb13e-01",
                "00-flow-1-span-1-01",
            ),
            (
                "8dd3775755bcb13e8dd3775755bcb13e 8dd3775755bcb13e",
                "8dd3775755bcb13e8dd3775755bcb13e span-1",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(names.of(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_stay() {
        let names = names();
        for text in [
            "",
            "no id",
            "9F0DF4A5-A646-4772-8DD3-775755BCB13E",
            "8DD3775755BCB13E",
            "8dd3775755bcb13ea",
            "a8dd3775755bcb13e",
            "9f0df4a5-a646-4772-8dd3-775755bcb13",
            "11111111-2222-4333-8444-555555555555",
            // The first 16 digits are taken for a span's id.
            "000000009f0df4a5-a646-4772-8dd3-775755bcb13e",
            "é8dd3775755bcb13é",
        ] {
            assert_eq!(names.of(text), None, "{text}");
        }
    }
}
