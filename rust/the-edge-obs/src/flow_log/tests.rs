use super::*;
use crate::sample::{nested, shuffle, trees, Run, Tree};
use crate::value::from_json;
use proptest::prelude::*;

fn without(log: &[Snap], kind: &str) -> Vec<Snap> {
    let is = |event: &&Snap| text(event, "event_type") != kind;
    log.iter().filter(is).cloned().collect()
}

fn leaf() -> Tree {
    Tree {
        is_parallel: false,
        fails: false,
        has_note: true,
        tokens: 3,
        children: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn neither_the_order_nor_copies_of_events_matter(tree in trees(), is_turned: bool, seed: u64) {
        let log = Run::new(1.7e9, 0.25, is_turned).log(&tree);
        let expected = build_flow_log(log.clone(), 1, 2).unwrap();
        let mut twice = [log.clone(), log.clone()].concat();
        shuffle(&mut twice, seed);
        let other = build_flow_log(twice, 1, 2).unwrap();
        prop_assert_eq!(&other.spans, &expected.spans);
        prop_assert_eq!(&other.metrics, &expected.metrics);
        prop_assert_eq!(other.events.len(), log.len());
    }

    #[test]
    fn totals_are_what_the_spans_say(tree in trees(), is_turned: bool) {
        fn own(tree: &Tree) -> u64 {
            let below = tree.children.iter().map(own).sum();
            if below > 0 { below } else { tree.tokens.into() }
        }
        let log = build_flow_log(Run::new(1.7e9, 0.25, is_turned).log(&tree), 0, 0).unwrap();
        let totals = &log.metrics;
        prop_assert_eq!(&totals.counted[0], &Snap::from(own(&tree)));
        let nodes = || totals.nodes.values();
        prop_assert_eq!(nodes().map(|node| node.count).sum::<usize>(), totals.node_count);
        prop_assert_eq!(totals.node_count + 1, log.spans.len());
        if tree.children.iter().any(|child| own(child) > 0) {
            prop_assert_eq!(sums::sum(nodes().map(|node| &node.tokens)), totals.counted[0].clone());
        }
        let walked = log.walk();
        prop_assert_eq!(walked.len(), log.spans.len());
        prop_assert_eq!((walked[0].0, walked[0].1.parent_id.is_none()), (0, true));
        prop_assert_eq!(log.timeline().len(), log.spans.len() + log.events.len());
    }

    #[test]
    fn a_log_that_lacks_events_is_built(tree in trees(), kept in proptest::collection::vec(any::<bool>(), 200)) {
        let log = Run::new(1.7e9, 0.25, false).log(&tree);
        let some = log.into_iter().zip(kept.iter().cycle()).filter(|(_, kept)| **kept);
        let some: Vec<Snap> = some.map(|(event, _)| event).collect();
        let built = build_flow_log(some.clone(), 0, 0);
        prop_assert_eq!(built.is_err(), some.is_empty());
        for span in built.iter().flat_map(|log| &log.spans) {
            prop_assert_eq!(span.duration_ms.is_none(), span.end.is_none());
            prop_assert_eq!(span.status == Status::Running, span.end.is_none());
        }
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let none = build_flow_log([], 0, 0).unwrap_err();
    assert_eq!(none.name(), "FlowNotFoundError");
    assert_eq!(
        none.to_string(),
        "no events were given; a flow log needs at least one"
    );
    let event = from_json(r#"{"flow_id":1}"#).unwrap();
    let error = build_flow_log([event], 0, 0).unwrap_err();
    assert_eq!(error.name(), "EventError");
    assert!(error
        .to_string()
        .contains("flow_id is 1; it must be a UUID string"));
}

#[test]
fn what_the_process_knows_is_used_if_the_root_is_lost() {
    let known = Outcome {
        name: Some("triage".to_owned()),
        status: Status::Error,
    };
    let log = Run::new(1.7e9, 0.25, false).log(&leaf());
    let told = |events: Vec<Snap>| {
        let log = build_known_flow_log("f", events, 0, 0, &known).unwrap();
        (log.name.unwrap(), log.status)
    };
    assert_eq!(told(Vec::new()), ("triage".to_owned(), Status::Error));
    assert_eq!(
        told(vec![log[1].clone()]),
        ("triage".to_owned(), Status::Error)
    );
    // Its end is there, and says how it ended.
    assert_eq!(
        told(without(&log, "entry")),
        ("triage".to_owned(), Status::Ok)
    );
    assert_eq!(told(log), ("flow".to_owned(), Status::Ok));
}

#[test]
fn a_span_without_an_entry_begins_where_its_duration_does() {
    let log = Run::new(1.7e9, 0.25, false).log(&leaf());
    let built = build_flow_log(without(&log, "entry"), 0, 0).unwrap();
    let span = &built.spans[0];
    assert_eq!(
        (span.partial, span.start, &*span.node),
        (true, 1.7e9, "flow")
    );
    assert_eq!(
        (built.name, built.metrics.total_duration_ms),
        (None, Some(500.0))
    );
}

#[test]
fn an_error_counts_where_it_arose() {
    let failing = |children| Tree {
        fails: true,
        children,
        ..leaf()
    };
    let tree = failing(vec![failing(vec![leaf()]), leaf()]);
    let log = build_flow_log(Run::new(1.7e9, 0.25, false).log(&tree), 0, 0).unwrap();
    assert_eq!((log.status, log.metrics.error_count), (Status::Error, 1));
    assert_eq!(log.metrics.nodes["steps"].errors, 1);
}

#[test]
fn a_group_of_errors_came_from_its_children() {
    let error = |text: &str| from_json(text).unwrap();
    let group = error(
        r#"{"type":"G","message":"g","errors":[{"type":"A","message":"a"},{"type":"B","message":"b"},{"type":"…","message":"[+3 errors]"}]}"#,
    );
    let passed = |texts: &[&str]| {
        let keys = texts
            .iter()
            .map(|text| ((*text).to_owned(), text.to_lowercase()));
        keys.collect()
    };
    assert!(totals::came_out(&group, &passed(&["A", "B"])));
    assert!(totals::came_out(&group, &passed(&["G"])));
    assert!(!totals::came_out(&group, &passed(&["A"])));
    assert!(!totals::came_out(&Snap::Null, &passed(&["A"])));
}

#[test]
fn deep_and_circular_trees_are_built() {
    let log = build_flow_log(nested(3_000), 0, 0).unwrap();
    assert_eq!(log.walk().last().map(|(depth, _)| *depth), Some(2_999));
    let mut circle = nested(2);
    let ids: Vec<Snap> = [&circle[0], &circle[1]]
        .map(|event| event.get("span_id").unwrap().clone())
        .into();
    for event in &mut circle {
        if let Snap::Map(pairs) = event {
            pairs[2].1 = ids[usize::from(pairs[1].1 == ids[0])].clone();
        }
    }
    let log = build_flow_log(circle, 0, 0).unwrap();
    assert_eq!((log.spans.len(), log.roots().len()), (2, 0));
    assert_eq!((log.status, log.walk().len()), (Status::Unknown, 0));
}
