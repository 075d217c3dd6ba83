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
use super::terminal::{fail, say, stdout, tell, Fault, DONE, FAILED, INTERRUPTED};
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
fn stopped_by_signal() -> Stop {
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
fn reason(failure: &Failure, run: &Watched) -> String {
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

/// Appends the state, one line per key, cut to the width of the terminal and with secrets redacted.
fn short(state: &State, run: &Run, text: &mut String, view: View) {
    let taken = run.policy.snapshot(&state.to_snap(), &run.taints);
    let Snap::Map(pairs) = run.policy.scrub(&taken, &run.taints) else {
        return;
    };
    let pairs: Vec<(String, String)> = pairs
        .iter()
        .filter(|(key, _)| !RUN_KEYS.contains(&&**key))
        .map(|(key, value)| {
            (
                printable(key).into_owned(),
                printable(&spaced(value)).into_owned(),
            )
        })
        .collect();
    text.push_str(match pairs.is_empty() {
        true => "final state: empty\n",
        false => "final state\n",
    });
    let longest = pairs
        .iter()
        .map(|(key, _)| width_of(key))
        .max()
        .unwrap_or(0);
    let room = longest.min(view.width / 3);
    let widths = [room, view.width.saturating_sub(room + 4)];
    let cell = |text| Cell {
        text,
        ..Cell::default()
    };
    for (key, value) in &pairs {
        text.push_str(&format!(
            "  {}\n",
            view.line(&[cell(key), cell(value)], &widths)
        ));
    }
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
