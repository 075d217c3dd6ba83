//! `tea-obs-rs run`: run a flow and show what it does.

use std::path::Path;
use std::process;

use the_edge_obs::export::{check_path, indented_exactly, write_text};
use the_edge_obs::redaction::{redact, scrub, snapshot, KeyClasses, Taints};
use the_edge_obs::text::printable;
use the_edge_obs::{FlowLog, Snap, RECORD};

use super::columns::{fitted, width_of, width_of_terminal};
use super::options::RunOptions;
use super::sources::shown;
use super::state::initial_state;
use super::terminal::{fail, say, stdout, tell, Fault, DONE, FAILED, INTERRUPTED};
use super::totals::{missing, origin, totals};
use super::watch::{watched, Shown, Watch, Watched, NOT_RECORDING};
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
    report(&run, output)
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
    let enabled = flow.observability().and_then(|block| block.get("enabled"));
    enabled == Some(&Snap::Bool(false))
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

fn report(run: &Watched, output: Option<&str>) -> Result<u8, Fault> {
    let mut text = run
        .log
        .as_ref()
        .map_or_else(String::new, |log| about(run, log));
    let code = match (&run.result, output) {
        (Ok(state), None) => {
            text.push('\n');
            short(state, &mut text);
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
        (Err(failure), _) => drop(fail(&reason(failure, run.log.as_ref()), FAILED)),
    }
    Ok(code)
}

/// Returns the totals of a run, its id, and its files.
fn about(run: &Watched, log: &FlowLog) -> String {
    let mut text = format!("\n{}\n", totals(log).join(", "));
    for line in missing(log) {
        text += &(line + "\n");
    }
    text += &format!("flow {}\n", log.flow_id);
    for file in &run.files {
        text += &format!("log  {}\n", printable(&file.to_string_lossy()));
    }
    text
}

/// Returns why a flow failed, in one line, without the secrets that were found in its log.
fn reason(failure: &Failure, log: Option<&FlowLog>) -> String {
    let span = log.and_then(origin);
    let Some((span, error)) = span.and_then(|span| Some((span, span.error.as_ref()?))) else {
        let text = format!("{}: {}", failure.kind, failure.message);
        let clean = redact(&text, KeyClasses::built_in());
        return clean.trim_end_matches(": ").to_owned();
    };
    let part = |key: &str| {
        error
            .get(key)
            .and_then(Snap::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let text = match (part("type"), part("message")) {
        (kind, message) if message.is_empty() => kind,
        (kind, message) => format!("{kind}: {message}"),
    };
    match span.step.as_deref() {
        Some(step) if failure.step.as_deref() != Some(step) => {
            format!("step {} ({}): {text}", quoted(step), span.node)
        }
        _ => format!("{}: {text}", span.node),
    }
}

/// Appends the state, one line per key, cut to the width of the terminal and with secrets redacted.
fn short(state: &State, text: &mut String) {
    let taints = Taints::new();
    let taken = snapshot(&state.to_snap(), &taints, KeyClasses::built_in());
    let Snap::Map(pairs) = scrub(&taken, &taints) else {
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
    let width = width_of_terminal();
    let longest = pairs
        .iter()
        .map(|(key, _)| width_of(key))
        .max()
        .unwrap_or(0);
    let room = longest.min(width / 3);
    for (key, value) in pairs {
        let key = fitted(&key, room);
        let blanks = " ".repeat(room - width_of(&key));
        let value = fitted(&value, width - room - 4);
        text.push_str(format!("  {key}{blanks}  {value}").trim_end());
        text.push('\n');
    }
}

/// Returns a value as JSON with blanks between its parts, as Python writes it.
fn spaced(value: &Snap) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Snap::List(items) => format!("[{}]", joined(items.iter().map(spaced).collect())),
        Snap::Map(pairs) => {
            let pair = |(key, item): &(Box<str>, Snap)| {
                format!("{}: {}", Snap::from(&**key).to_json(), spaced(item))
            };
            format!("{{{}}}", joined(pairs.iter().map(pair).collect()))
        }
        other => other.to_json(),
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
