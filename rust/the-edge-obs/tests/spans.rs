//! What a node logs: its entry, its end, and what happens in between.

mod common;

use common::{at, kept, text};
use the_edge_obs::{flow, log, node, FlowId, Level, Node, Snap};

#[test]
fn a_flow_is_a_tree_of_spans() {
    let kept = kept(|| {
        let run = flow("triage").input(&[("ticket", 17)]).start();
        let result = run.in_scope(|| {
            node!("outer", step: "first", input: [1, 2]).run(|span| {
                span.metric("candidates", 12);
                node!("inner").in_scope(|_| log!("scoring", warn, message: "low", data: {"best": 0.5}, metrics: {"items": 4}));
                Ok::<_, std::io::Error>(Snap::map([("usage", Snap::map([("total_tokens", Snap::Int(7))]))]))
            })
        });
        assert!(result.is_ok());
        run.end();
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "1 outer entry",
            "1 outer metric",
            "2 inner entry",
            "2 scoring log",
            "2 inner exit",
            "1 outer exit",
            "0 flow exit"
        ]
    );
    let events = kept.events();
    assert_eq!(at(&events[0], "data.name"), &"triage".into());
    assert_eq!(at(&events[0], "data.input").to_json(), r#"[["ticket",17]]"#);
    assert_eq!(text(&events[1], "step"), "first");
    assert_eq!(at(&events[1], "data").to_json(), r#"{"input":[1,2]}"#);
    assert_eq!(at(&events[2], "metrics").to_json(), r#"{"candidates":12}"#);
    assert_eq!(at(&events[4], "data").to_json(), r#"{"best":0.5}"#);
    assert_eq!(at(&events[5], "data").to_json(), "{}"); // `()` adds no output
    assert_eq!(at(&events[6], "metrics.tokens"), &Snap::Int(7));
    assert!(
        matches!(at(&events[6], "metrics.duration_ms"), Snap::Float(duration) if *duration >= 0.0)
    );
}

#[test]
fn errors_end_spans_and_leave_them_unchanged() {
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            let error = node!("parse").run(|_| "x".parse::<u8>()).unwrap_err();
            assert_eq!(error.to_string(), "invalid digit found in string");
            let named = node!("call").run(|span| {
                span.error_kind("RateLimit");
                Err::<(), _>("slow down")
            });
            assert_eq!(named, Err("slow down"));
            let soft = Snap::map([
                ("success", Snap::Bool(false)),
                ("error", "no".into()),
                ("error_type", "parse".into()),
            ]);
            let _ = node!("soft").run(|_| Ok::<_, String>(soft));
        });
        run.fail("Broken", "gave up");
    });
    let events = kept.events();
    let errors: Vec<_> = events
        .iter()
        .filter(|event| text(event, "event_type") == "error")
        .collect();
    let parts = |path: &str| {
        errors
            .iter()
            .map(|event| at(event, path).as_str().unwrap_or("").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        parts("data.error.type"),
        ["ParseIntError", "RateLimit", "parse", "Broken"]
    );
    assert_eq!(
        parts("message"),
        [
            "invalid digit found in string",
            "slow down",
            "no",
            "gave up"
        ]
    );
    assert!(parts("data.error.where")[0].starts_with("the-edge-obs/tests/spans.rs:"));
    assert_eq!(at(errors[2], "data.output.success"), &Snap::Bool(false));
}

#[test]
fn a_panic_is_logged_and_goes_on() {
    let kept = kept(|| {
        let panic = std::panic::catch_unwind(|| {
            let run = flow("f").start();
            run.in_scope(|| node!("risky").in_scope::<(), _>(|_| panic!("no 7")))
        });
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"no 7"));
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "1 risky entry",
            "1 risky error",
            "0 flow error"
        ]
    );
    let events = kept.events();
    assert_eq!(at(&events[2], "data.error.type"), &"panic".into());
    assert_eq!(text(&events[2], "message"), "no 7");
}

#[test]
fn an_explicit_span_ends_when_it_is_told_to() {
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            let span = Node::intern("llm.call", Level::Info)
                .call()
                .step("ask")
                .start_with(vec![("attempt".into(), 2.into())]);
            span.in_scope(|| node!("inner").in_scope(|_| ()));
            span.end_metric("chunks", 3);
            span.end(Some("done".into()));
            drop(node!("dropped").start());
        });
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "1 llm.call entry",
            "2 inner entry",
            "2 inner exit",
            "1 llm.call exit",
            "1 dropped entry",
            "1 dropped error",
            "0 flow exit"
        ]
    );
    let events = kept.events();
    assert_eq!(at(&events[1], "data.attempt"), &Snap::Int(2));
    assert_eq!(at(&events[4], "data.output"), &"done".into());
    assert_eq!(at(&events[4], "metrics.chunks"), &Snap::Int(3));
    assert_eq!(
        (at(&events[6], "data.cancelled"), text(&events[6], "level")),
        (&Snap::Bool(true), "warn")
    );
}

#[test]
fn a_node_outside_any_flow_is_the_root_of_its_own() {
    let kept = kept(|| node!("alone").in_scope(|_| node!("inner").in_scope(|_| ())));
    assert_eq!(
        kept.tree(),
        [
            "0 alone entry",
            "1 inner entry",
            "1 inner exit",
            "0 alone exit"
        ]
    );
}

#[test]
fn a_flow_can_continue_another_process() {
    let (flow_id, parent) = (FlowId::random(), FlowId::random().span(1 << 63));
    let kept = kept(|| flow("f").continues(flow_id, parent).start().end());
    let events = kept.events();
    assert_eq!(text(&events[0], "flow_id"), flow_id.to_string());
    assert_eq!(
        text(&events[0], "parent_id"),
        flow_id.span(1 << 63).to_string()
    );
}

#[test]
fn a_flow_inside_another_names_it_and_is_named_in_it() {
    let kept = kept(|| {
        let outer = flow("outer").start();
        outer.in_scope(|| flow("inner").start().end());
    });
    let events = kept.events();
    let (outer, inner) = (text(&events[0], "flow_id"), text(&events[1], "flow_id"));
    assert_ne!(outer, inner);
    assert_eq!(at(&events[1], "data.outer.flow_id"), &outer.into());
    assert_eq!(text(&events[2], "message"), "a flow begins in here");
    assert_eq!(
        (
            text(&events[2], "flow_id"),
            at(&events[2], "data.inner.flow_id")
        ),
        (outer, &inner.into())
    );
}

#[test]
fn an_observed_function_logs_its_parameters_and_not_its_state() {
    let kept = kept(|| {
        let half = |_: &str, number: &u32| match number % 2 {
            0 => Ok(number / 2),
            _ => Err("it is odd"),
        };
        let observed = the_edge_obs::observed("math.half", half);
        assert_eq!(observed("state", &4), Ok(2));
        assert_eq!(observed("state", &5), Err("it is odd"));
    });
    let data: Vec<String> = kept
        .events()
        .iter()
        .filter(|event| text(event, "node") == "math.half")
        .map(|event| at(event, "data").to_json())
        .collect();
    let expected = [
        r#"{"input":4}"#,
        r#"{"output":2}"#,
        r#"{"input":5}"#,
        r#"{"error":{"type":"str","message":"it is odd"}}"#,
    ];
    assert_eq!(data, expected);
}

#[test]
fn a_secret_is_redacted_by_key_and_wherever_it_reappears() {
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            let params = [("api_key", "k-83hd72hs-xyz")]
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>();
            let _ = node!("call", input: params).run(|_| Err::<(), _>("refused: k-83hd72hs-xyz"));
            the_edge_obs::taint("swordfish-9").unwrap();
            log!("x", info, message: "it is swordfish-9");
        });
    });
    let all: String = kept.events().iter().map(Snap::to_json).collect();
    assert!(
        !all.contains("k-83hd72hs") && !all.contains("swordfish"),
        "{all}"
    );
    assert!(all.contains("refused: [REDACTED]"));
}

#[test]
fn a_flow_is_read_back_while_it_runs_and_after() {
    use the_edge_obs::sink::Ring;
    use the_edge_obs::{Filters, FlowLayer};
    use tracing_subscriber::layer::SubscriberExt;

    let registry = tracing_subscriber::registry().with(FlowLayer::new().sink(Ring::new()));
    tracing::subscriber::with_default(registry, || {
        let run = flow("triage").start();
        run.in_scope(|| node!("ask", input: "hi").in_scope(|_| "hello"));
        run.log_metric("quality", "score", 0.5);
        let log = run.flow_log().unwrap();
        assert_eq!((log.status.name(), log.spans.len()), ("running", 2));
        run.end();
        let log = the_edge_obs::get_flow_log(run.flow_id()).unwrap();
        assert_eq!(
            (log.name.as_deref(), log.status.name(), log.events.len()),
            (Some("triage"), "ok", 5)
        );
        let asked = the_edge_obs::query(
            run.flow_id(),
            &Filters::new()
                .node("a*")
                .event_type(the_edge_obs::EventType::Exit),
        );
        assert_eq!(at(&asked.unwrap()[0], "data.output"), &"hello".into());
        let missing = the_edge_obs::get_flow_log(FlowId::random()).unwrap_err();
        assert_eq!(missing.name(), "FlowNotFoundError");
    });
}

#[test]
fn an_event_stream_keeps_the_last_events_and_tells_handlers() {
    use std::sync::{Arc, Mutex};
    use the_edge_obs::{EventStream, Filters};

    let kept = kept(|| {
        let run = flow("f").start();
        (0..4).for_each(|at| log!("x", info, metrics: {"at": at}));
        run.in_scope(|| (0..4).for_each(|at| log!("x", info, metrics: {"at": at})));
    });
    let told = Arc::new(Mutex::new(0));
    let count = Arc::clone(&told);
    let stream = EventStream::new(3).handler(move |_: &Snap| *count.lock().unwrap() += 1);
    for event in kept.events() {
        stream.push(event).unwrap();
    }
    assert_eq!((stream.len(), *told.lock().unwrap()), (3, 6));
    assert_eq!(stream.query(&Filters::new().node("x")).len(), 2);
    assert_eq!(
        stream.filter(|event| text(event, "node") == "flow").len(),
        1
    );
    assert!(stream.push(Snap::Null).is_err());
    stream.clear();
    assert!(stream.is_empty());
}
