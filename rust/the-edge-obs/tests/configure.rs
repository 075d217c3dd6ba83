//! Configurations for the whole process, in a process of its own: `tracing` has one global default.

use std::fs;

use the_edge_obs::config::Config;
use the_edge_obs::value::from_json;
use the_edge_obs::{configure, node, FlowId, Level};

fn run() -> FlowId {
    let run = the_edge_obs::flow("triage").start();
    run.in_scope(|| {
        node!("llm.call").run(|_| Ok::<(), String>(())).unwrap();
        the_edge_obs::log("scoring").level(Level::Debug).emit();
        tracing::warn!("slow");
    });
    run.end();
    run.flow_id()
}

fn config(block: &str) -> Config {
    Config::from_snap(&from_json(block).unwrap()).unwrap()
}

#[test]
fn configurations_come_and_go_in_any_order() {
    let folder =
        std::env::temp_dir().join(format!("the-edge-obs-configure-{}", std::process::id()));
    let path = folder.join("flow-{flow_id}.jsonl");
    let nothing = run();
    let first = configure(&config("{}")).unwrap();
    let one = run();
    let handlers = format!(r#"[{{"type": "file", "path": {path:?}, "level": "warn"}}]"#);
    let second = configure(&config(&format!(
        r#"{{"level": "debug", "handlers": {handlers}}}"#
    )))
    .unwrap();
    let both = run();
    let rings = (
        first.ring().unwrap().clone(),
        second.ring().unwrap().clone(),
    );
    first.undo();
    let other = run();
    second.undo();
    let none = run();
    let counts = [nothing, one, both, other, none]
        .map(|id| (rings.0.events(&id).len(), rings.1.events(&id).len()));
    assert_eq!(counts, [(0, 0), (5, 0), (5, 6), (0, 6), (0, 0)]);
    let lines = |id: FlowId| {
        let file = folder.join(format!("flow-{id}.jsonl"));
        fs::read_to_string(file).map_or(0, |text| text.lines().count())
    };
    assert_eq!([one, both, other, none].map(lines), [0, 1, 1, 0]);

    let off = configure(&config(r#"{"enabled": false}"#)).unwrap();
    assert!(off.ring().is_none());
    off.undo();
    let again = configure(&Config::default()).unwrap();
    let id = run();
    assert_eq!(again.ring().unwrap().events(&id).len(), 5);
    again.undo();
    fs::remove_dir_all(folder).unwrap();
}
