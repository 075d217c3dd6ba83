//! The names that a template can use, and their values.

use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::Value;
use the_edge_obs::Snap;

use super::environment::Variables;
use super::values::{to_value, Mapping};
use crate::state::{Entry, Pair, State};

/// The key of the state, and the name in templates, under which a fan-in finds its branches' results.
pub(crate) const RESULTS: &str = "parallel_results";

/// Names that every template can use. `result` and a fan-out's item are added where they exist.
pub(crate) const NAMES: [&str; 6] = ["env", "flow_dir", RESULTS, "settings", "state", "variables"];

/// Names whose values do not change while a flow runs.
#[derive(Debug, Clone)]
pub(crate) struct Fixed(Arc<[(&'static str, Value)]>);

impl Fixed {
    /// Returns the names of a flow.
    pub(crate) fn new(variables: &Snap, settings: &Snap, flow_dir: &str) -> Fixed {
        Fixed(Arc::new([
            ("variables", to_value(variables)),
            ("settings", to_value(settings)),
            ("flow_dir", Value::from(flow_dir)),
            ("env", Value::from_object(Variables)),
        ]))
    }
}

/// Further names: a fan-out's item and index, a node's result.
pub(crate) type Extras = Vec<Pair>;

/// The names of one rendering.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    fixed: Fixed,
    state: State,
    extras: Extras,
}

impl Names {
    /// Returns the names where the state is as given.
    pub(crate) fn new(fixed: &Fixed, state: &State, extras: &Extras) -> Names {
        Names {
            fixed: fixed.clone(),
            state: state.clone(),
            extras: extras.clone(),
        }
    }

    /// Returns the names with the result of a node.
    pub(crate) fn with_result(mut self, result: &Arc<Entry>) -> Names {
        self.extras.push(("result".into(), Arc::clone(result)));
        self
    }

    /// Returns a value of the state.
    pub(crate) fn flag(&self, key: &str) -> Snap {
        self.state.get(key).cloned().unwrap_or(Snap::Null)
    }

    /// Returns the names as the engine takes them.
    pub(super) fn value(&self) -> Value {
        Value::from_object(self.clone())
    }
}

impl Object for Names {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if let Some((_, value)) = self.extras.iter().rev().find(|(name, _)| &**name == key) {
            return Some(value.value());
        }
        match key {
            "state" => Some(Value::from_object(Mapping(self.state.clone()))),
            RESULTS => Some(self.state.entry(RESULTS).map_or_else(
                || Value::from(Vec::<Value>::new()),
                |results| results.value(),
            )),
            _ => {
                let found = self.fixed.0.iter().find(|(name, _)| *name == key);
                found.map(|(_, value)| value.clone())
            }
        }
    }
}
