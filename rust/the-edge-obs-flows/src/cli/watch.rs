//! How commands observe a flow that they run: its events go to a ring, from which the flow log comes, and to further sinks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use the_edge_obs::config::{Config, HandlerKind};
use the_edge_obs::flow_log::{build_flow_log, build_known_flow_log, Outcome};
use the_edge_obs::sink::callback::Callback;
use the_edge_obs::sink::console::Console;
use the_edge_obs::sink::file::FlowFile;
use the_edge_obs::sink::ring::Ring;
use the_edge_obs::{Error, FlowId, FlowLayer, FlowLog, Snap, Store, RECORD};
use tracing_subscriber::layer::SubscriberExt;

use super::terminal::tell;
use crate::answers::Answers;
use crate::error::Failure;
use crate::replay::Tape;
use crate::runner::{Flow, Stop};
use crate::state::State;

/// How many events of a run are kept: the flow log needs the whole run, however small the flow's own buffer is.
const CAPACITY: usize = 100_000;
/// The name of a log file.
const FILE: &str = "flow-{flow_id}.jsonl";

/// Why a program that was built without recording logs nothing.
pub(super) const NOT_RECORDING: &str =
    "this program was built without the feature record; build it with the default features";

/// What stderr shows while a flow runs. A flow with a console handler prints its events itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    /// A line for each event but the entries.
    Ends,
    /// A line for each event.
    Events,
}

/// How to observe a flow, beside what its block says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch<'a> {
    /// Levels that count more than those of `TEA_LOG` and of the block.
    pub levels: &'a [String],
    /// The folder in which to keep the log.
    pub folder: Option<&'a Path>,
    pub shown: Shown,
    /// What answers in place of the actions. The handlers of the flow's block get nothing then.
    pub tape: Option<&'a Arc<Tape>>,
}

impl Watch<'_> {
    /// Observes a flow as its block says, and shows nothing.
    pub(super) const QUIET: Watch<'static> = Watch {
        levels: &[],
        folder: None,
        shown: Shown::Nothing,
        tape: None,
    };
}

/// A run that was observed.
pub(super) struct Watched {
    /// The final state, or what the flow failed with.
    pub result: Result<State, Failure>,
    /// The flow log; `None` if nothing was logged.
    pub log: Option<FlowLog>,
    /// The log files that it wrote.
    pub files: Vec<PathBuf>,
    /// The run: what it takes for secret, and its secrets.
    pub flow: Arc<the_edge_obs::Flow>,
}

/// Runs a flow.
///
/// # Errors
///
/// The flow cannot be observed in this way, and nothing ran.
pub(super) fn watched(
    flow: Flow,
    state: Snap,
    stop: &Stop,
    watch: Watch<'_>,
) -> Result<Watched, Error> {
    let mut config = config_of(&flow, watch.levels)?;
    if watch.tape.is_some() {
        config.handlers.clear(); // the log of a replay is not one of those that the flow keeps
    }
    let answers = watch.tape.map(|tape| Arc::clone(tape) as Arc<dyn Answers>);
    let unlogged = || {
        Arc::new(the_edge_obs::Flow::with_policy(
            FlowId::random(),
            "",
            Arc::clone(&config.redact),
        ))
    };
    if !config.enabled || !RECORD {
        let result = flow.run_as(state, stop, answers);
        return Ok(Watched {
            result,
            log: None,
            files: Vec::new(),
            flow: unlogged(),
        });
    }
    let mut files = own_files(&config)?;
    let has_console = config
        .handlers
        .iter()
        .any(|handler| matches!(handler.kind, HandlerKind::Console { .. }));
    let (mut layer, ring) = config.layer()?;
    if let Some(folder) = watch.folder {
        let file = Arc::new(FlowFile::new(folder.join(FILE))?);
        layer = layer.sink(Arc::clone(&file));
        files.push(file);
    }
    if !has_console {
        layer = show(layer, watch.shown);
    }
    if let Some(tape) = watch.tape {
        layer = layer.sink(Arc::clone(tape));
    }
    let flow = flow.with_store(Store::new().ring(ring.clone()));
    let subscriber = tracing_subscriber::registry().with(layer);
    let run = || flow.run_as(state, stop, answers);
    let result = tracing::subscriber::with_default(subscriber, run);
    let Some(id) = ring.flows().first().copied() else {
        return Ok(Watched {
            result,
            log: None,
            files: Vec::new(),
            flow: unlogged(),
        });
    };
    Ok(Watched {
        result,
        log: Some(log_of(&ring, &id)?),
        files: written(&files, &id),
        flow: ring.flow(&id).unwrap_or_else(unlogged),
    })
}

/// Returns the log of a flow in a ring.
fn log_of(ring: &Ring, id: &FlowId) -> Result<FlowLog, Error> {
    let (events, dropped, faults) = (ring.events(id), ring.dropped(id), ring.faults(id));
    let Some(status) = ring.status(id) else {
        return build_flow_log(events, dropped, faults);
    };
    let name = ring.name_of(id);
    build_known_flow_log(
        &id.to_string(),
        events,
        dropped,
        faults,
        &Outcome { name, status },
    )
}

/// Returns the configuration of a flow: its block, below the levels of `TEA_LOG`, below those that are given.
fn config_of(flow: &Flow, levels: &[String]) -> Result<Config, Error> {
    let config = flow.config().cloned().unwrap_or_default().with_env()?;
    let mut config = config.with_levels(&levels.join(","), "--level")?;
    config.buffer_size = CAPACITY;
    Ok(config)
}

/// Returns the files that the block itself writes.
fn own_files(config: &Config) -> Result<Vec<Arc<FlowFile>>, Error> {
    let paths = config
        .handlers
        .iter()
        .filter_map(|handler| match &handler.kind {
            HandlerKind::File { path, .. } => Some(path),
            _ => None,
        });
    paths
        .map(|path| FlowFile::new(&**path).map(Arc::new))
        .collect()
}

/// Adds what shows the events on stderr.
fn show(layer: FlowLayer, shown: Shown) -> FlowLayer {
    match shown {
        Shown::Nothing => layer,
        Shown::Events => layer.sink(Console::stderr()),
        Shown::Ends => {
            let console = Console::stderr();
            layer.sink(Callback::new(move |event| {
                if event.get("event_type") != Some(&"entry".into()) {
                    tell(&(console.format(event) + "\n"));
                }
            }))
        }
    }
}

/// Returns the files that are there, each once, as relative paths if they are in the working directory.
fn written(files: &[Arc<FlowFile>], id: &FlowId) -> Vec<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    for path in files.iter().map(|file| file.path_of(id)) {
        let path = path
            .strip_prefix(&here)
            .map_or(path.clone(), Path::to_owned);
        if path.exists() && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}
