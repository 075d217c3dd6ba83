//! `tea-obs-rs run`: run a flow and show what it does.

use std::path::Path;
use std::process;

use the_edge_obs::export::{check_path, indented_exactly, write_text};
use the_edge_obs::text::printable;
use the_edge_obs::{Flow as Run, FlowLog, Snap, RECORD};

use super::columns::{width_of, Cell, View};
use super::options::RunOptions;
use super::sources::shown;
use super::state::initial_state;
use super::terminal::{counted, fail, say, stdout, tell, Fault, DONE, FAILED, INTERRUPTED};
use super::totals::{error_text, missing, origin, totals};
use super::tree::tree;
use super::watch::{watched, Shown, Watch, Watched, NOT_RECORDING};
use crate::actions::support::spaced;
use crate::actions::Actions;
use crate::error::Failure;
use crate::python::quoted;
use crate::runner::{Flow, Stop};
use crate::state::State;

const STDOUT: &str = "-";
/// Keys of the final state that its short form leaves out.
const RUN_KEYS: [&str; 2] = ["flow_id", "_observability"];

pub(super) fn call(options: &RunOptions) -> Result<u8, Fault> {
    let state = initial_state(options.state.as_deref(), &options.set)?;
    let output = options.output.as_deref();
    if let Some(path) = output.filter(|path| *path != STDOUT).map(Path::new) {
        // Before a long run, not after it.
        let told = |error| format!("--output {} cannot be used: {error}", shown(path));
        check_path(path).map_err(|error| Fault::Input(told(error)))?;
    }
    let flow = load(options)?;
    if !RECORD {
        say(&format!("note: nothing is logged: {NOT_RECORDING}"));
    } else if is_off(&flow) {
        say(&format!(
            "note: nothing is logged: the observability block of {} says enabled: false",
            shown(&options.flow)
        ));
    }
    let watch = Watch {
        levels: &options.level,
        folder: options.log_dir.as_deref(),
        shown: match options.level.is_empty() {
            true => Shown::Ends,
            false => Shown::Events,
        },
        tape: None,
    };
    let run = watched(flow, state, &stopped_by_signal(), watch)?;
    report(&run, output, options.ascii)
}

fn load(options: &RunOptions) -> Result<Flow, Fault> {
    let actions = Actions::builtin();
    Ok(if options.no_code {
        Flow::load_without_code(&options.flow, actions)?
    } else {
        Flow::load(&options.flow, actions)?
    })
}

fn is_off(flow: &Flow) -> bool {
    flow.config().is_some_and(|config| !config.enabled)
}

/// Returns what interrupts the run at Ctrl-C. A second Ctrl-C ends the process at once; files are whole even then, as each line is
/// written at once.
pub(super) fn stopped_by_signal() -> Stop {
    let stop = Stop::new();
    let own = stop.clone();
    let handled = ctrlc::set_handler(move || {
        if own.is_stopped() {
            process::exit(INTERRUPTED.into());
        }
        own.stop();
    });
    if let Err(error) = handled {
        say(&format!(
            "note: Ctrl-C ends the run without a last event: {error}"
        ));
    }
    stop
}

fn report(run: &Watched, output: Option<&str>, is_ascii: bool) -> Result<u8, Fault> {
    let view = View::of(output == Some(STDOUT), is_ascii);
    let mut text = run
        .log
        .as_ref()
        .map_or_else(String::new, |log| about(run, log, view));
    let code = match (&run.result, output) {
        (Ok(state), None) => {
            text.push('\n');
            short(state, &run.flow, &mut text, view);
            DONE
        }
        (Ok(_), Some(_)) => DONE,
        (Err(failure), _) if failure.is_cancelled() => INTERRUPTED,
        (Err(_), _) => FAILED,
    };
    if output == Some(STDOUT) {
        tell(&text);
    } else {
        let mut out = stdout();
        out.text(&text)?;
        out.finish()?;
    }
    match (&run.result, output) {
        (Ok(state), Some(output)) => write(state, output)?,
        (Ok(_), None) => {}
        (Err(_), _) if code == INTERRUPTED => say("interrupted"),
        // The error comes last, even if stdout and stderr are the same file.
        (Err(failure), _) => drop(fail(&reason(failure, run), FAILED)),
    }
    Ok(code)
}

/// Returns the tree of a run, its totals, its id, and its files.
fn about(run: &Watched, log: &FlowLog, view: View) -> String {
    let mut text = "\n".to_owned();
    let tree = tree(log, view);
    for line in &tree {
        text += &format!("{line}\n");
    }
    text += if tree.is_empty() { "" } else { "\n" };
    text += &format!("{}\n", totals(log).join(", "));
    for line in missing(log) {
        text += &(view.paint("warn", &line) + "\n");
    }
    text += &format!("flow {}\n", log.flow_id);
    for file in &run.files {
        text += &format!("log  {}\n", printable(&file.to_string_lossy()));
    }
    text
}

/// Returns why a flow failed, in one line, without the secrets that were found in its log.
pub(super) fn reason(failure: &Failure, run: &Watched) -> String {
    let span = run.log.as_ref().and_then(origin);
    let Some((span, error)) = span.and_then(|span| Some((span, span.error.as_ref()?))) else {
        let text = format!("{}: {}", failure.kind, failure.message);
        let clean = run.flow.policy.scrub_text(&text, &run.flow.taints);
        return clean.trim_end_matches(": ").to_owned();
    };
    let text = error_text(error);
    match span.step.as_deref() {
        Some(step) if failure.step.as_deref() != Some(step) => {
            format!("step {} ({}): {text}", quoted(step), span.node)
        }
        _ => format!("{}: {text}", span.node),
    }
}

/// Appends the state, one line per key, with secrets redacted; long values are shortened.
fn short(state: &State, run: &Run, text: &mut String, view: View) {
    let whole = state.to_snap();
    let taken = run.policy.snapshot(&whole, &run.taints);
    let Snap::Map(pairs) = run.policy.scrub(&taken, &run.taints) else {
        return;
    };
    let pairs = pairs.iter().filter(|(key, _)| !RUN_KEYS.contains(&&**key));
    let mut rows: Vec<(String, String, Option<String>)> = pairs
        .map(|(key, value)| {
            let line = printable(&spaced(value)).into_owned();
            let name = printable(key).into_owned();
            (name, line, summary(value, whole.get(key)))
        })
        .collect();
    let longest = rows.iter().map(|(key, ..)| width_of(key)).max();
    let name = longest.unwrap_or(0).min(view.width / 3);
    let room = view.width.saturating_sub(name + 4);
    let mut is_short = false;
    for (_, line, summary) in &mut rows {
        if width_of(line) > room {
            is_short = true;
            if let Some(summary) = summary.take() {
                *line = summary;
            }
        }
    }
    text.push_str(match (rows.is_empty(), is_short) {
        (true, _) => "final state: empty\n",
        (_, true) => "final state (shortened; --output PATH writes all of it)\n",
        _ => "final state\n",
    });
    let cell = |text| Cell {
        text,
        ..Cell::default()
    };
    for (key, line, _) in &rows {
        let line = view.line(&[cell(key), cell(line)], &[name, room]);
        text.push_str(&format!("  {line}\n"));
    }
}

/// Returns what a list or mapping holds: the number of its items, and its keys or its first text; `None` for other values.
///
/// `value` is without secrets and has at most as many items as a snapshot keeps; `whole` is the value as the flow left it.
fn summary(value: &Snap, whole: Option<&Snap>) -> Option<String> {
    let count = |kept: usize| match whole {
        Some(Snap::Map(pairs)) => pairs.len() as u64,
        Some(Snap::List(items)) => items.len() as u64,
        _ => kept as u64,
    };
    let text = match value {
        Snap::Map(pairs) => {
            let keys: Vec<&str> = pairs.iter().map(|(key, _)| &**key).collect();
            format!("{}: {}", counted(count(keys.len()), "key"), keys.join(", "))
        }
        Snap::List(items) => {
            let first = items.first().and_then(Snap::as_str);
            let first = first.map(|text| format!(": {text}"));
            counted(count(items.len()), "item") + &first.unwrap_or_default()
        }
        _ => return None,
    };
    Some(printable(&text).into_owned())
}

/// Writes the final state in full.
fn write(state: &State, output: &str) -> Result<(), Fault> {
    let pairs = state.iter().filter(|(key, _)| *key != "_observability");
    let text = indented_exactly(&Snap::map(pairs.map(|(key, value)| (key, value.clone())))) + "\n";
    if output == STDOUT {
        let mut out = stdout();
        out.json(&text)?;
        return out.finish();
    }
    write_text(output.as_ref(), &text)?;
    Ok(())
}
