//! The line of an event: strict JSON of a bounded size, as files hold it.

use std::cell::Cell;

use crate::event::{CHECKED_METRICS, MAX_EVENT_BYTES};
use crate::facts::Facts;
use crate::ids::FlowId;
use crate::redaction::{inside, MAX_PATH, MAX_PATHS, MORE};
use crate::value::{Key, Snap};

/// Returns an event as one line of strict JSON, without a newline, of at most [`MAX_EVENT_BYTES`] bytes.
///
/// One that would be longer loses its data first, and says so: each long value becomes `[cut: 70000 characters of JSON]`, and the
/// message keeps 2,048 characters. Metrics stay. Data and metrics keep their first 50 keys. Of an event with long names even that
/// may be too much: then less stays.
///
/// The event is one that [`scrub`](crate::redaction::scrub) has seen; no secret is looked for here.
#[must_use]
pub fn to_line(event: &Snap) -> String {
    let mut line = String::with_capacity(1_024);
    event.write_json(&mut line);
    // Data goes first. Of keys and metrics, too, only so many stay that the rest always fits.
    for (room, keys, small) in [(2_048, 50, 256), (512, 20, 128), (64, 8, 64)] {
        if line.len() <= MAX_EVENT_BYTES {
            break;
        }
        line = without_data(event, room, keys, small).to_json();
    }
    line
}

/// Returns the line of facts: [`to_line`] of their event, made without the event in between if it is not too long.
#[must_use]
pub fn line_of(facts: &Facts) -> String {
    let text = |line: &[u8]| {
        String::from_utf8_lossy(line)
            .trim_end_matches('\n')
            .to_owned()
    };
    with_line(facts, text)
}

/// The line that a thread has written last.
#[derive(Default)]
struct Last {
    text: Vec<u8>,
    /// Its beginning, which has the ids of a flow, a span and a parent.
    head: usize,
    ids: Option<Ids>,
}

type Ids = (FlowId, u64, Option<u64>);

impl Last {
    /// Writes the line of facts. Its ids stand there already if the line before was of the same span, as it is at most exits.
    fn write(&mut self, facts: &Facts) {
        let ids = Some((facts.flow.id, facts.number, facts.parent));
        if self.ids == ids {
            self.text.truncate(self.head);
        } else {
            self.text.clear();
            facts.write_ids(&mut self.text);
            (self.head, self.ids) = (self.text.len(), ids);
        }
        facts.write_rest(&mut self.text);
        if self.text.len() > MAX_EVENT_BYTES {
            self.text = to_line(&facts.event()).into();
        }
    }
}

thread_local! {
    static LAST: Cell<Last> = const { Cell::new(Last { text: Vec::new(), head: 0, ids: None }) };
}

/// Calls a function with the line of facts and a newline behind it. The line is written where the thread wrote the one before.
pub(crate) fn with_line<T>(facts: &Facts, work: impl FnOnce(&[u8]) -> T) -> T {
    // A thread that is near its end has no place any more.
    let mut last = LAST.try_with(Cell::take).unwrap_or_default();
    last.write(facts);
    last.text.push(b'\n');
    let result = work(&last.text);
    if last.text.capacity() <= 2 * MAX_EVENT_BYTES {
        let _ = LAST.try_with(|place| place.set(last));
    }
    result
}

fn head(text: &str, count: usize) -> &str {
    text.char_indices()
        .nth(count)
        .map_or(text, |(end, _)| &text[..end])
}

fn pairs_of<'s>(event: &'s Snap, key: &str) -> &'s [(Key, Snap)] {
    match event.get(key) {
        Some(Snap::Map(pairs)) => pairs,
        _ => &[],
    }
}

/// Returns an event without its long data: `room` characters of texts stay, `keys` keys, and what takes `small` characters.
fn without_data(event: &Snap, room: usize, keys: usize, small: usize) -> Snap {
    let data = event.get("data").unwrap_or(&Snap::Null);
    let all = pairs_of(event, "data");
    let (mut short, mut cut) = short_data(data, keys, small);
    if all.len() > keys {
        short.push((MORE.into(), format!("[+{} items]", all.len() - keys).into()));
        cut.push(MORE.to_owned());
    }
    if let Some(error @ Snap::Map(_)) = data.get("error") {
        let text = |key: &str, room: usize| match error.get(key) {
            Some(Snap::Str(text) | Snap::Mark(text)) => Snap::from(head(text, room)),
            _ => Snap::from("None"),
        };
        let named = Snap::map([
            ("type", text("type", 256)),
            ("message", text("message", room)),
        ]);
        short.push(("error".into(), named));
    }
    let message = event.get("message").and_then(Snap::as_str);
    let kept = message.map(|text| head(text, room));
    if kept != message || paths(data).contains(&"message") {
        cut.push("message".to_owned());
    }
    short.push(("cut".into(), cut.into()));
    let changed = |key: &str, value: &Snap| match (key, value) {
        ("node" | "step", Snap::Str(text) | Snap::Mark(text)) => Snap::from(head(text, 512)),
        ("message", _) => Snap::from(kept),
        ("data", _) => Snap::map(short.clone()),
        ("metrics", Snap::Map(metrics)) => short_metrics(metrics, keys),
        _ => value.clone(),
    };
    match event {
        Snap::Map(pairs) => {
            let pairs = pairs.iter();
            Snap::Map(
                pairs
                    .map(|(key, value)| (key.clone(), changed(key, value)))
                    .collect(),
            )
        }
        _ => event.clone(),
    }
}

/// Returns the schema's own figures first, for they are what totals are made of, and the first others.
fn short_metrics(metrics: &[(Key, Snap)], keys: usize) -> Snap {
    let is_own = |key: &str| CHECKED_METRICS.contains(&key);
    let own = metrics.iter().filter(|(key, _)| is_own(key));
    let others = metrics.iter().take(keys).filter(|(key, _)| !is_own(key));
    let others = others.map(|(key, value)| (Key::from(head(key, 64)), value.clone()));
    let kept = Snap::map(own.cloned().chain(others));
    let count = |pairs: &[(Key, Snap)]| pairs.iter().filter(|(key, _)| &**key != MORE).count();
    let Snap::Map(pairs) = &kept else {
        return kept;
    };
    let rest = count(metrics) - count(pairs);
    if rest == 0 {
        return kept;
    }
    // Those that were left out when they came.
    let before = match metrics.iter().find(|(key, _)| &**key == MORE) {
        Some((_, Snap::Int(before))) => *before,
        _ => 0,
    };
    let more = (Key::named(MORE), Snap::from(before + rest as i64));
    Snap::map(pairs.iter().cloned().chain([more]))
}

type Short = (Vec<(Key, Snap)>, Vec<String>);

/// Returns the first keys of data, long values as what was there, without `error` and `cut`; and where it is cut.
fn short_data(data: &Snap, keys: usize, small: usize) -> Short {
    let (mut short, mut cut) = (Vec::new(), Vec::new());
    let before = paths(data);
    let pairs = match data {
        Snap::Map(pairs) => &pairs[..pairs.len().min(keys)],
        _ => &[],
    };
    for (key, value) in pairs.iter().filter(|(key, _)| &**key != "cut") {
        let name = head(key, 64);
        let path = inside("", name);
        let size = value.to_json().chars().count();
        let is_error = &**key == "error" && matches!(value, Snap::Map(_));
        if is_error || size > small || name.len() < key.len() {
            cut.push(path);
        } else {
            let is_below = |one: &&&str| {
                one.strip_prefix(&*path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            let below = before.iter().filter(is_below);
            cut.extend(below.map(|one| head(one, MAX_PATH).to_owned()));
        }
        if !is_error {
            let value = if size > small {
                format!("[cut: {size} characters of JSON]").into()
            } else {
                value.clone()
            };
            short.push((name.into(), value));
        }
    }
    cut.truncate(MAX_PATHS);
    (short, cut)
}

fn paths(data: &Snap) -> Vec<&str> {
    match data.get("cut") {
        Some(Snap::List(paths)) => paths.iter().filter_map(Snap::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{problems, EventType, Level};
    use crate::facts::{Metrics, Payload};
    use crate::flow::Flow;
    use crate::ids::FlowId;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn event(message: &str, data: Snap, metrics: Snap) -> Snap {
        let id = "9f0df4a5-a646-4772-b822-7adce460ed24";
        Snap::map([
            ("flow_id", id.into()),
            ("span_id", id.into()),
            ("parent_id", Snap::Null),
            ("node", "n".into()),
            ("level", "info".into()),
            ("timestamp", Snap::Float(1.5)),
            ("event_type", "log".into()),
            ("message", message.into()),
            ("data", data),
            ("metrics", metrics),
        ])
    }

    fn empty() -> Snap {
        Snap::map::<&str>([])
    }

    #[test]
    fn a_long_event_loses_its_data_first_and_says_so() {
        let data = Snap::map([
            ("small", Snap::Int(1)),
            ("large", "x".repeat(70_000).into()),
            ("cut", vec!["small", "large.a", "message"].into()),
        ]);
        let metrics = Snap::map([("tokens", Snap::Int(5))]);
        let line = to_line(&event(&"é".repeat(3_000), data, metrics));
        let expected = format!(
            "\"message\":\"{}\",\"data\":{{\"small\":1,\"large\":\"[cut: 70002 characters of JSON]\",\"cut\":[\"small\",\"large\",\"message\"]}},\"metrics\":{{\"tokens\":5}}}}",
            "é".repeat(2_048)
        );
        assert!(line.ends_with(&expected), "{line}");
    }

    #[test]
    fn the_line_of_facts_is_that_of_their_event() {
        for size in [10, 65_000, 70_000] {
            let facts = Facts {
                flow: Arc::new(Flow::new(FlowId::random(), "triage")),
                number: 1,
                parent: None,
                node: "rank".into(),
                step: None,
                level: Level::Info,
                event_type: EventType::Exit,
                wall: 1_795_363_054_861_892_000,
                message: None,
                payload: Payload::Under("output", "x ".repeat(size / 2).into()),
                metrics: Metrics::Duration(7_001),
            };
            assert_eq!(line_of(&facts), to_line(&facts.event()));
        }
    }

    #[test]
    fn an_event_that_fits_stays_as_it_is() {
        let data = Snap::map([("a", Snap::from("x".repeat(65_000)))]);
        let whole = event("m", data, empty());
        assert_eq!(to_line(&whole), whole.to_json());
    }

    #[test]
    fn many_metrics_keep_those_of_the_schema() {
        let metrics = (0..9_000).map(|at| (format!("metric_{at}"), Snap::Int(at)));
        let metrics = Snap::map(metrics.chain([("cost_usd".to_owned(), Snap::Float(0.5))]));
        let line = to_line(&event("m", empty(), metrics));
        assert!(line.contains("\"metrics\":{\"cost_usd\":0.5,\"metric_0\":0,"));
        assert!(line.ends_with("\"metric_49\":49,\"…\":8950}}"), "{line}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_line_is_never_too_long_and_stays_valid(count in 0..300usize, size in 0..3_000usize, name in "[a-zé\"\\\\\n]{0,100}") {
            let pairs = (0..count).map(|at| (format!("{name}{at}"), Snap::from("\u{1}é".repeat(size))));
            let metrics = (0..count).map(|at| (format!("{name}{}{at}", "é".repeat(size / 10)), Snap::Int(1)));
            let mut whole = event(&"\u{2}".repeat(size * 20), Snap::map(pairs), Snap::map(metrics));
            if let Snap::Map(pairs) = &mut whole {
                pairs[3].1 = Snap::from(format!("n{}", "\u{3}".repeat(size)));
            }
            let line = to_line(&whole);
            prop_assert!(line.len() <= MAX_EVENT_BYTES);
            prop_assert_eq!(problems(&crate::value::from_json(&line).unwrap()), Vec::<String>::new());
        }
    }
}
