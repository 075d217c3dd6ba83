//! Observes the actions of The Edge Agent's Rust engine, without a change in the engine: `cargo run --example tea_action_registry`.
//!
//! The engine (<https://github.com/fabceolin/the_edge_agent>, folder `rust/`) is not on crates.io. So the module `the_edge_agent`
//! below stands in for the three names that this example relies on, as version 0.9.105 has them: `ActionRegistry`, `ActionHandler`
//! and `TeaError`. In a program that depends on the engine, delete that module; everything else stays.
//!
//! With a folder as its argument, the example also keeps the log: `cargo run --example tea_action_registry -- logs`.

use std::collections::HashMap;
use std::error::Error;

use serde_json::{json, Value};
use the_edge_obs::sink::{FlowFile, Ring};
use the_edge_obs::FlowLayer;
use tracing_subscriber::prelude::*;

use the_edge_agent::{ActionRegistry, TeaError};

/// Stands in for the crate of the engine.
mod the_edge_agent {
    use std::collections::HashMap;
    use std::fmt;
    use std::sync::{Arc, PoisonError, RwLock};

    use serde_json::Value;

    pub type TeaResult<T> = Result<T, TeaError>;
    pub type ActionHandler =
        Arc<dyn Fn(&Value, &HashMap<String, Value>) -> TeaResult<Value> + Send + Sync>;

    #[derive(Debug)]
    pub enum TeaError {
        Action(String),
    }

    impl fmt::Display for TeaError {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            let TeaError::Action(problem) = self;
            write!(out, "Action error: {problem}")
        }
    }

    impl std::error::Error for TeaError {}

    #[derive(Default)]
    pub struct ActionRegistry(RwLock<HashMap<String, ActionHandler>>);

    impl ActionRegistry {
        pub fn new() -> Self {
            Self::default()
        }

        pub fn register<F>(&self, name: &str, handler: F)
        where
            F: Fn(&Value, &HashMap<String, Value>) -> TeaResult<Value> + Send + Sync + 'static,
        {
            let mut handlers = self.0.write().unwrap_or_else(PoisonError::into_inner);
            handlers.insert(name.to_string(), Arc::new(handler));
        }

        pub fn get(&self, name: &str) -> Option<ActionHandler> {
            let handlers = self.0.read().unwrap_or_else(PoisonError::into_inner);
            handlers.get(name).cloned()
        }
    }
}

/// Replaces actions of a registry by observed ones.
///
/// A registry does not list its actions, so the program names those that its workflow uses.
fn observe(registry: &ActionRegistry, names: &[&str]) {
    for name in names {
        let Some(action) = registry.get(name) else {
            continue; // the engine itself reports an unknown action
        };
        let call = move |state: &Value, params: &HashMap<String, Value>| action(state, params);
        registry.register(name, the_edge_obs::observed(name, call));
    }
}

/// The actions of the program, as any user of the engine registers them.
fn registry() -> ActionRegistry {
    let registry = ActionRegistry::new();
    registry.register("ticket.classify", |_, params| {
        let text = params.get("text").and_then(Value::as_str).unwrap_or("");
        let topic = if text.contains("refund") {
            "billing"
        } else {
            "other"
        };
        Ok(json!({"topic": topic, "usage": {"prompt_tokens": 12, "completion_tokens": 1}}))
    });
    registry.register("crm.lookup", |_, params| {
        let id = params.get("customer").and_then(Value::as_u64);
        let known = (id == Some(7)).then(|| json!({"name": "Ada"}));
        known.ok_or_else(|| TeaError::Action("customer 8 is not known".to_owned()))
    });
    registry
}

/// What an executor does with a node: it gets the action and calls it.
fn call(registry: &ActionRegistry, name: &str, params: Value) -> Result<Value, TeaError> {
    let unknown = || TeaError::Action(format!("unknown action {name}"));
    let action = registry.get(name).ok_or_else(unknown)?;
    let params = params.as_object().into_iter().flatten();
    let params: HashMap<_, _> = params
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    action(&json!({}), &params)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut layer = FlowLayer::new().sink(Ring::new());
    if let Some(folder) = std::env::args().nth(1) {
        layer = layer.sink(FlowFile::new(format!("{folder}/flow-{{flow_id}}.jsonl"))?);
    }
    tracing_subscriber::registry().with(layer).init();

    let registry = registry();
    observe(&registry, &["ticket.classify", "crm.lookup"]);

    let run = the_edge_obs::flow("support").start();
    run.in_scope(|| {
        let found = call(
            &registry,
            "ticket.classify",
            json!({"text": "a refund, please"}),
        );
        println!("topic: {}", found.unwrap_or_default()["topic"]);
        let lost = call(
            &registry,
            "crm.lookup",
            json!({"customer": 8, "api_key": "sk-live-0123456789abcdef"}),
        );
        println!(
            "lookup: {}",
            lost.map_or_else(|error| error.to_string(), |found| found.to_string())
        );
    });
    run.end();

    let log = run.flow_log()?;
    for (depth, span) in log.walk() {
        let took = span.duration_ms.unwrap_or(0.0);
        println!(
            "{:indent$}{} {} ({took:.1} ms)",
            "",
            span.node,
            span.status.name(),
            indent = 2 * depth
        );
    }
    for event in &log.events {
        println!("{}", event.to_json());
    }
    Ok(())
}
