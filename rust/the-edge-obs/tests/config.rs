//! Configurations, from a block to the events that they let pass.
#![allow(missing_docs)]

mod made;

use std::sync::Arc;

use made::Folder;
use the_edge_obs::config::Config;
use the_edge_obs::redaction::Policy;
use the_edge_obs::value::from_json;
use the_edge_obs::{FlowId, Level, Snap, RECORD};
use tracing_subscriber::layer::SubscriberExt;

fn config(block: &str) -> Config {
    Config::from_snap(&from_json(block).unwrap()).unwrap()
}

fn messages(events: &[Snap]) -> Vec<String> {
    let texts = events.iter().filter_map(|event| event.get("message"));
    texts.filter_map(Snap::as_str).map(str::to_owned).collect()
}

/// Runs a flow that logs one event of each level, and returns its id.
fn run(policy: Arc<Policy>, secret: &str) -> FlowId {
    let run = the_edge_obs::flow("triage").policy(policy).start();
    run.in_scope(|| {
        for level in Level::ALL {
            let message = format!("{} of {secret}", level.name());
            the_edge_obs::log("llm.call")
                .level(level)
                .message(&message)
                .emit();
        }
    });
    run.end();
    run.flow_id()
}

#[test]
fn a_block_becomes_levels_a_ring_and_files() {
    let folder = Folder::new();
    let path = folder.0.join("{flow_id}.jsonl");
    let block = Snap::map([
        ("level", Snap::from("error")),
        ("levels", Snap::map([("llm", Snap::from("info"))])),
        (
            "handlers",
            Snap::List(
                [Snap::map([
                    ("type", Snap::from("file")),
                    ("path", path.to_str().unwrap().into()),
                    ("level", "warn".into()),
                ])]
                .into(),
            ),
        ),
    ]);
    let config = config(&block.to_json());
    let (layer, ring) = config.layer().unwrap();
    let registry = tracing_subscriber::registry().with(layer);
    let id = tracing::subscriber::with_default(registry, || run(config.redact.clone(), "x"));
    if !RECORD {
        return;
    }
    let events = ring.events(&id);
    assert_eq!(messages(&events), ["info of x", "warn of x", "error of x"]);
    assert_eq!(events.len(), 5, "the run itself is at info");
    let lines = std::fs::read_to_string(folder.0.join(format!("{id}.jsonl"))).unwrap();
    let lines: Vec<Snap> = lines.lines().map(|line| from_json(line).unwrap()).collect();
    assert_eq!(messages(&lines), ["warn of x", "error of x"]);
}

#[test]
fn the_redaction_of_a_flow_reaches_that_flow_alone() {
    let (layer, ring) = config("{}").layer().unwrap();
    let own = config(r#"{"redact": {"patterns": ["AC-[0-9]+"]}}"#).redact;
    let registry = tracing_subscriber::registry().with(layer);
    let (first, second) = tracing::subscriber::with_default(registry, || {
        (run(own, "AC-17"), run(Policy::built_in(), "AC-17"))
    });
    if RECORD {
        let first = messages(&ring.events(&first));
        let second = messages(&ring.events(&second));
        assert_eq!(first[0], "info of [REDACTED]");
        assert_eq!(second[0], "info of AC-17");
    }
}

#[test]
fn a_ring_may_be_as_large_as_a_block_can_say() {
    let huge = config(r#"{"buffer_size": 99999999999999999999}"#);
    assert!(huge.layer().is_ok());
}

#[test]
fn the_redaction_of_a_configuration_reaches_every_flow_while_it_is_in_use() {
    let note = || {
        let run = the_edge_obs::flow("triage").start();
        run.in_scope(|| the_edge_obs::node!("ask", input: [("internal_note", 7)]).in_scope(|_| ()));
        the_edge_obs::log("x")
            .data("internal_note", "kept apart")
            .emit(); // outside any flow: nothing
        run.in_scope(|| {
            the_edge_obs::log("x")
                .data("internal_note", "kept apart")
                .emit()
        });
        run.flow_id()
    };
    let (layer, ring) = config(r#"{"redact": {"keys": ["internal_note"]}}"#)
        .layer()
        .unwrap();
    let registry = tracing_subscriber::registry().with(layer);
    let id = tracing::subscriber::with_default(registry, note);
    if RECORD {
        let all: String = ring.events(&id).iter().map(Snap::to_json).collect();
        assert!(
            all.contains("internal_note") && !all.contains("kept apart"),
            "{all}"
        );
        let events = ring.events(&id);
        assert_eq!(events.len(), 5);
    }
    let (layer, ring) = config("{}").layer().unwrap();
    let registry = tracing_subscriber::registry().with(layer);
    let id = tracing::subscriber::with_default(registry, note);
    let all: String = ring.events(&id).iter().map(Snap::to_json).collect();
    assert_eq!(all.contains("kept apart"), RECORD);
}
