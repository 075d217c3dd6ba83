//! Questions about events, logs, blocks and whole runs.

use std::path::Path;

use the_edge_obs::config::Config;
use the_edge_obs::parity::{normalise, report};
use the_edge_obs::validation::{check_event, Verdict};
use the_edge_obs::whole_log::WholeLog;
use the_edge_obs::{build_flow_log, Error, Filters, FlowLog, Snap};

use super::{list_of, now_of, text_of, value_of, Answer, Question};
use crate::actions::Actions;
use crate::cli::watch::{watched, Watch};
use crate::runner::{Flow, Stop};

pub(super) const QUESTIONS: [Question; 8] = [
    ("filter", filter),
    ("normalise", |case| {
        Ok(normalise(list_of(case, "events")?).into_list())
    }),
    ("flow_log", |case| Ok(log_of(case)?.to_snap())),
    ("report", |case| Ok(report(&log_of(case)?))),
    ("event", |case| {
        match check_event(value_of(case, "event")?.clone()) {
            Verdict::Valid(_) => Ok(Snap::Null),
            Verdict::Loose => Ok("loose".into()),
            Verdict::Invalid(problem) => Err(problem),
        }
    }),
    ("faults", faults),
    ("block", block),
    ("run", run),
];

/// Makes a list of what it has.
trait IntoList {
    fn into_list(self) -> Snap;
}

impl IntoList for Vec<Snap> {
    fn into_list(self) -> Snap {
        Snap::List(self.into())
    }
}

/// Returns the positions of the events that pass the filters.
fn filter(case: &Snap) -> Answer {
    let filters = Filters::from_snap_at(value_of(case, "filters")?, now_of(case));
    let filters = filters.map_err(|error| error.to_string())?;
    let events = list_of(case, "events")?.iter().enumerate();
    let kept = events.filter(|(_, event)| filters.keeps(event));
    let places: Vec<usize> = filters.counted(kept.map(|(place, _)| place)).collect();
    Ok(places.into())
}

/// Returns the flow log of `events`, of which `dropped` are lost, and for which logging failed `faults` times.
fn log_of(case: &Snap) -> Result<FlowLog, String> {
    let count = |key: &str| match case.get(key) {
        Some(Snap::Int(count)) => count.unsigned_abs(),
        _ => 0,
    };
    let events = list_of(case, "events")?.to_vec();
    let log = build_flow_log(events, count("dropped"), count("faults"));
    log.map_err(|error| error.to_string())
}

/// Returns the lines with problems, and the problems.
fn faults(case: &Snap) -> Answer {
    let mut log = WholeLog::new();
    for (number, event) in (1..).zip(list_of(case, "events")?) {
        log.add(number, event);
    }
    let faults = log.faults().into_iter();
    let found = faults.map(|fault| Snap::List([fault.line.into(), fault.problem.into()].into()));
    Ok(found.collect::<Vec<_>>().into_list())
}

/// Returns null for an observability block without a mistake, or else the place of the mistake and what is wrong.
fn block(case: &Snap) -> Answer {
    match Config::from_snap(value_of(case, "block")?) {
        Ok(_) => Ok(Snap::Null),
        Err(Error::Configuration { place, problem }) => {
            let pairs = [("where", Snap::from(place)), ("error", problem.into())];
            Ok(Snap::map(pairs))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Runs a flow that is given as text, or the one in the file `path`, with `state`; answers with its final state and its log, or with
/// the failure and the log. With `folder`, the log is kept there.
fn run(case: &Snap) -> Answer {
    let flow = match case.get("path").and_then(Snap::as_str) {
        Some(path) => Flow::load(path, Actions::builtin()),
        None => Flow::parse(text_of(case, "flow")?, Actions::builtin()),
    };
    let flow = flow.map_err(|error| format!("{}: {error}", error.name()))?;
    let state = case.get("state").cloned().unwrap_or(Snap::Null);
    let watch = Watch {
        folder: case.get("folder").and_then(Snap::as_str).map(Path::new),
        ..Watch::QUIET
    };
    let run = watched(flow, state, &Stop::new(), watch).map_err(|error| error.to_string())?;
    let log = run.log.map_or(Snap::Null, |log| log.to_snap());
    let ended = match run.result {
        Ok(state) => ("state", state.to_snap()),
        Err(failure) => {
            let pairs = [
                ("type", Snap::from(&*failure.kind)),
                ("message", failure.message.into()),
            ];
            ("failure", Snap::map(pairs))
        }
    };
    Ok(Snap::map([ended, ("log", log)]))
}
