//! Normalised logs, to compare runs and runtimes: without ids and times, and in an order that does not depend on threads.
//!
//! The rules N1 to N11 are those of the project's `docs/parity.md`.

mod content;
mod names;
mod order;

pub use content::OWN_ERRORS;

use crate::event::SCHEMA_VERSION;
use crate::flow_log::FlowLog;
use crate::value::Snap;

/// Returns the events of one flow in the order of its span tree, without ids, times and other values of a single run.
///
/// The result is the same for any two runs that did the same, whatever the order of the events; events with the same time keep their
/// order. Normalising the result again changes nothing. Its events are not valid by the schema any more: ids are ordinals, and times
/// are null.
///
/// ```
/// use the_edge_obs::parity::normalise;
/// use the_edge_obs::value::from_json;
///
/// let event = from_json(r#"{"flow_id":"9f0df4a5-a646-4772-b822-7adce460ed24","span_id":"9f0df4a5-a646-4772-8dd3-775755bcb13e",
///     "parent_id":null,"node":"flow","level":"info","timestamp":1.5,"event_type":"exit","message":null,
///     "data":{},"metrics":{"duration_ms":2.5}}"#).unwrap();
/// let normal = normalise(&[event]);
/// assert_eq!(normal[0].get("span_id"), Some(&"span-1".into()));
/// assert_eq!(normal[0].get("metrics").unwrap().to_json(), r#"{"duration_ms":null}"#);
/// ```
#[must_use]
pub fn normalise(events: &[Snap]) -> Vec<Snap> {
    let walked = order::walked(events);
    let mut names = names::Names::default();
    for position in &walked {
        names.learn(&events[*position]);
    }
    let copies = walked.into_iter().map(|position| {
        let mut event = events[position].clone();
        content::normalise(&mut event, &names);
        event
    });
    copies.collect()
}

/// Returns the content of a file of expected events: `{"flow": name, "schema_version": 1, "events": [...]}`.
#[must_use]
pub fn report(log: &FlowLog) -> Snap {
    Snap::map([
        ("flow", Snap::from(log.name.as_deref())),
        ("schema_version", Snap::Int(SCHEMA_VERSION)),
        ("events", Snap::List(normalise(&log.events).into())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{nested, shuffle, trees, Run};
    use crate::value::from_json;
    use proptest::prelude::*;

    fn event(span: &str, parent: &str, node: &str, kind: &str, time: f64) -> Snap {
        let none = || Snap::map::<&str>([]);
        let id = |id: &str| (!id.is_empty()).then(|| format!("#{id}"));
        Snap::map([
            ("flow_id", Snap::from("#f")),
            ("span_id", Snap::from(format!("#{span}"))),
            ("parent_id", Snap::from(id(parent))),
            ("node", Snap::from(node)),
            ("level", Snap::from("info")),
            ("timestamp", Snap::Float(time)),
            ("event_type", Snap::from(kind)),
            ("message", Snap::Null),
            ("data", none()),
            ("metrics", none()),
        ])
    }

    fn with_data(event: Snap, data: &str) -> Snap {
        let Snap::Map(mut pairs) = event else {
            panic!()
        };
        pairs[8].1 = from_json(data).unwrap();
        Snap::Map(pairs)
    }

    /// Returns the first digits of the ids of a log.
    fn log_prefix(log: &[Snap]) -> String {
        let id = log[0].get("flow_id").and_then(Snap::as_str).unwrap();
        id[..8].to_owned()
    }

    fn data_of(event: Snap) -> String {
        normalise(&[event])[0].get("data").unwrap().to_json()
    }

    #[test]
    fn a_span_stands_where_its_first_event_does() {
        let log = [
            event("r", "", "flow", "exit", 9.0),
            event("b", "r", "b", "entry", 2.0),
            event("r", "", "flow", "entry", 1.0),
            event("r", "", "hand", "error", 3.0),
            event("a", "r", "a", "exit", 2.0),
            event("b", "r", "b", "exit", 2.0),
            event("lost", "x", "c", "exit", 0.5),
        ];
        let order: Vec<String> = normalise(&log)
            .iter()
            .map(|one| {
                one.get("node").unwrap().to_json() + &one.get("event_type").unwrap().to_json()
            })
            .collect();
        let expected = [
            "\"c\"\"exit\"",
            "\"flow\"\"entry\"",
            "\"b\"\"entry\"",
            "\"b\"\"exit\"",
            "\"a\"\"exit\"",
            "\"hand\"\"error\"",
            "\"flow\"\"exit\"",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn branches_are_ordered_by_their_index() {
        let branch = |id: &str, time: f64, index: &str| {
            let data = format!("{{\"input\":{{\"index\":{index}}}}}");
            with_data(event(id, "p", id, "entry", time), &data)
        };
        let log = [
            event("p", "", "parallel", "entry", 1.0),
            branch("two", 2.0, "2.0"),
            branch("one", 3.0, "1"),
            branch("text", 4.0, "\"0\""),
            branch("true", 5.0, "true"),
            branch("zero", 6.0, "-0.0"),
            branch("half", 7.0, "0.5"),
        ];
        let normal = normalise(&log);
        let nodes: Vec<&str> = normal
            .iter()
            .map(|one| one.get("node").and_then(Snap::as_str).unwrap())
            .collect();
        assert_eq!(
            nodes,
            ["parallel", "text", "true", "half", "zero", "one", "two"]
        );
    }

    #[test]
    fn spans_that_are_in_one_another_are_walked_once() {
        let log = [
            event("a", "b", "a", "entry", 2.0),
            event("b", "c", "b", "entry", 1.0),
            event("c", "a", "c", "entry", 3.0),
            event("self", "self", "d", "entry", 4.0),
            event("e", "a", "e", "entry", 5.0),
        ];
        let normal = normalise(&log);
        let nodes: Vec<&str> = normal
            .iter()
            .map(|one| one.get("node").and_then(Snap::as_str).unwrap())
            .collect();
        assert_eq!(nodes, ["b", "a", "c", "e", "d"]);
        assert_eq!(normalise(&normal), normal);
    }

    #[test]
    fn what_two_runs_do_not_share_is_taken_out() {
        let root =
            |kind: &str, data: &str| data_of(with_data(event("r", "", "flow", kind, 1.0), data));
        assert_eq!(
            root(
                "entry",
                r#"{"name":"n","runtime":"r","resource":{"pid":1},"flow":1,"outer":2,"replay_of":3}"#
            ),
            r#"{"name":"n","runtime":null,"resource":null,"flow":null,"outer":null,"replay_of":null}"#
        );
        assert_eq!(root("exit", r#"{"runtime":"r"}"#), r#"{"runtime":"r"}"#);
        assert_eq!(
            root(
                "log",
                r#"{"inner":{"flow_id":"x","span_id":"y","name":"n"}}"#
            ),
            r#"{"inner":{"flow_id":null,"span_id":null,"name":"n"}}"#
        );
    }

    #[test]
    fn errors_keep_what_the_flow_says() {
        let foreign = r#"{"error":{"type":"E","message":"m","where":"f:1","traceback":"t","notes":["n"]},"cut":["error.where","error.traceback[1]"]}"#;
        assert_eq!(
            data_of(with_data(event("r", "", "a", "error", 1.0), foreign)),
            r#"{"error":{"type":"E","message":"m","notes":["n"]}}"#
        );
        let own = r#"{"error":{"type":"FlowRunError","message":"m","notes":["n"],"cause":{}},"cut":["error.message","error.causes","message","error.notes[0]","message.x"]}"#;
        let mut error = with_data(event("r", "", "a", "error", 1.0), own);
        assert_eq!(
            data_of(error.clone()),
            r#"{"error":{"type":"FlowRunError","message":null},"cut":["error.causes","message","message.x"]}"#
        );
        if let Snap::Map(pairs) = &mut error {
            pairs[7].1 = "m".into();
        }
        let normal = &normalise(&[error])[0];
        assert_eq!(normal.get("message"), Some(&Snap::Null));
        assert_eq!(
            normal.get("data").unwrap().to_json(),
            r#"{"error":{"type":"FlowRunError","message":null},"cut":["error.causes"]}"#
        );
    }

    #[test]
    fn an_event_inside_data_is_an_event() {
        let inner = event("r", "other", "x", "exit", 5.0).to_json();
        let data = format!("{{\"output\":[{inner},{{\"timestamp\":5}}]}}");
        let data = data_of(with_data(event("r", "", "a", "exit", 1.0), &data));
        assert!(
            data.contains(r##""span_id":"span-1","parent_id":"#other""##),
            "{data}"
        );
        assert!(data.contains(r#""timestamp":null"#) && data.ends_with(r#"{"timestamp":5}]}"#));
    }

    #[test]
    fn deep_logs_are_normalised() {
        let log = nested(3_000);
        let normal = normalise(&log);
        assert_eq!(normal.len(), 6_000);
        assert_eq!(normal[5_999].get("span_id"), Some(&"span-1".into()));
        // As deep as a log can be that was read.
        let deep = (0..crate::value::MAX_DEPTH)
            .fold(Snap::Int(9), |inside, _| Snap::List([inside].into()));
        let Snap::Map(mut pairs) = event("r", "", "flow", "exit", 1.0) else {
            panic!()
        };
        pairs[8].1 = Snap::map([("a", deep.clone())]);
        assert_eq!(
            normalise(&[Snap::Map(pairs)])[0]
                .get("data")
                .unwrap()
                .get("a"),
            Some(&deep)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn runs_that_did_the_same_are_equal(
            tree in trees(),
            begin in 1e9..2e9,
            tick in 0.001..10.0,
            is_turned: bool,
            seed: u64,
        ) {
            let one = normalise(&Run::new(1e9, 0.001, false).log(&tree));
            let mut log = Run::new(begin, tick, is_turned).log(&tree);
            shuffle(&mut log, seed);
            let two = normalise(&log);
            prop_assert_eq!(&one, &two);
            prop_assert_eq!(normalise(&two), two);
            prop_assert!(!Snap::List(one.into()).to_json().contains(&*log_prefix(&log)));
        }

        #[test]
        fn normalising_again_does_not_turn_the_events_of_a_span(
            kinds in proptest::collection::vec(("a|b", "entry|exit|error|log", 1..4), 0..6),
        ) {
            let event = |(node, kind, time): &(String, String, i32)| event("r", "", node, kind, f64::from(*time));
            let once = normalise(&kinds.iter().map(event).collect::<Vec<_>>());
            prop_assert_eq!(normalise(&once), once);
        }

        #[test]
        fn normalising_again_changes_nothing(tree in trees(), is_turned: bool, kept in proptest::collection::vec(any::<bool>(), 200)) {
            let log = Run::new(1e9, 0.001, is_turned).log(&tree);
            let some = log.into_iter().zip(kept.iter().cycle()).filter(|(_, kept)| **kept);
            let some: Vec<Snap> = some.map(|(event, _)| event).collect();
            let once = normalise(&some);
            prop_assert_eq!(once.len(), some.len());
            prop_assert_eq!(normalise(&once), once);
        }
    }
}
