//! The fixtures of docs/parity.md: their logs equal those of the Python runtime.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use the_edge_obs::parity::normalise;
use the_edge_obs::value::from_json;
use the_edge_obs::{Facts, Sink, Snap};
use the_edge_obs_flows::{Actions, Flow};
use tracing_subscriber::prelude::*;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/observability")
}

/// The events as a file has them: with what was known as a secret when each was written.
#[derive(Default)]
struct Written(Mutex<Vec<Snap>>);

impl Sink for Written {
    fn take(&self, facts: &Arc<Facts>) -> std::io::Result<()> {
        self.0.lock().unwrap().push(facts.event());
        Ok(())
    }
}

/// Runs a fixture and returns its log, normalised.
fn log_of(name: &str) -> Vec<Snap> {
    let path = examples().join(format!("parity/{name}.yaml"));
    let flow = Flow::load(path, Actions::builtin()).unwrap();
    let written = Arc::new(Written::default());
    let (layer, ring) = flow.config().unwrap().layer().unwrap();
    let layer = layer.sink(Arc::clone(&written));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let result = flow.run(Snap::Null);
        assert_eq!(result.is_err(), name == "failed", "{name}: {result:?}");
    });
    assert_eq!(ring.flows().len(), 1, "{name}");
    let events = written.0.lock().unwrap();
    normalise(&events)
}

/// Returns a value whose numbers are floats and whose keys are sorted, for a comparison by value.
fn plain(value: &Snap) -> Snap {
    match value {
        Snap::Int(number) => Snap::Float(*number as f64),
        Snap::List(items) => Snap::List(items.iter().map(plain).collect()),
        Snap::Map(pairs) => {
            let mut pairs: Vec<_> = pairs
                .iter()
                .map(|(key, item)| (key.clone(), plain(item)))
                .collect();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            Snap::Map(pairs.into())
        }
        other => other.clone(),
    }
}

#[track_caller]
fn check(name: &str) {
    let path = examples().join(format!("parity-expected/{name}.json"));
    let expected = from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
    let Some(Snap::List(expected)) = expected.get("events") else {
        panic!("{name} has no expected events");
    };
    let log = log_of(name);
    for (index, (event, wanted)) in log.iter().zip(expected).enumerate() {
        let (event, wanted) = (plain(event).to_json(), plain(wanted).to_json());
        assert_eq!(event, wanted, "{name}, event {index}");
    }
    assert_eq!(log.len(), expected.len(), "{name}");
}

macro_rules! fixtures {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )*};
}
fixtures!(
    branch_failure,
    conditional,
    failed,
    linear,
    nested,
    parallel,
    recovery,
    secrets,
    values
);

#[test]
fn levels_of_a_block() {
    check("levels");
}
