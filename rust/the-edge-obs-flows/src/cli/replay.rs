//! `tea-obs-rs replay`: run a flow again with the answers of its log.

use std::path::Path;
use std::sync::Arc;

use the_edge_obs::globs::Glob;
use the_edge_obs::jsonl::Skipped;
use the_edge_obs::text::printable;
use the_edge_obs::{FlowLog, Status};

use super::options::ReplayOptions;
use super::run::stopped_by_signal;
use super::sources::{shown, store_of};
use super::state::overlaid;
use super::terminal::{counted, fail, say, stdout, Fault, BAD, DONE, FAILED, INTERRUPTED};
use super::watch::{watched, Shown, Watch, Watched};
use crate::actions::Actions;
use crate::replay::{Change, Comparison, Kind, Options, Report, Tape};
use crate::runner::Flow;

pub(super) fn call(options: &ReplayOptions) -> Result<u8, Fault> {
    let log = recorded(&options.log, options.flow.as_deref())?;
    let flow = match options.no_code {
        true => Flow::load_without_code(&options.flow_file, Actions::builtin())?,
        false => Flow::load(&options.flow_file, Actions::builtin())?,
    };
    let globs = |texts: &[String]| texts.iter().map(|text| Glob::new(text)).collect();
    let tape = Tape::new(
        &log,
        &flow,
        Options {
            live: globs(&options.live),
            ignore: globs(&options.ignore),
        },
    )?;
    if options.dry {
        return dry(&tape, &options.log);
    }
    let state = overlaid(tape.state(), &options.set)?;
    let tape = Arc::new(tape);
    let watch = Watch {
        levels: &[],
        folder: options.log_dir.as_deref(),
        shown: Shown::Nothing,
        tape: Some(&tape),
    };
    let run = watched(flow, state, &stopped_by_signal(), watch)?;
    told(&log, &run, &tape.report())
}

/// Returns the run of a log that is replayed.
fn recorded(log: &Path, chosen: Option<&str>) -> Result<FlowLog, Fault> {
    let store = store_of(&[log.to_owned()], &mut Skipped::default())?;
    let flows = store.flows()?;
    let is_chosen = |id: &&String| chosen.is_none_or(|start| id.starts_with(&start.to_lowercase()));
    let found: Vec<&String> = flows.iter().filter(is_chosen).collect();
    match (&found[..], chosen) {
        ([id], _) => Ok(store.flow_log(id)?),
        ([], Some(start)) => Err(Fault::Input(format!(
            "no flow of {} begins with {}; tea-obs ls {} lists the runs",
            shown(log),
            crate::python::quoted(start),
            shown(log)
        ))),
        ([], None) => Err(Fault::Input(format!("{} holds no events", shown(log)))),
        (found, _) => Err(Fault::Input(format!(
            "{} holds {} flows; choose one with --flow ID; tea-obs ls {} lists them",
            shown(log),
            found.len(),
            shown(log)
        ))),
    }
}

/// Says what of a recording cannot be used.
fn dry(tape: &Tape, log: &Path) -> Result<u8, Fault> {
    let problems = tape.problems();
    let mut out = stdout();
    for problem in &problems {
        out.line(problem)?;
    }
    let count = counted(tape.answers() as u64, "recorded call");
    match problems.len() {
        0 => out.line(&format!("{count}, all of them can be answered"))?,
        unfit => out.line(&format!("{count}, {unfit} of them cannot be answered"))?,
    }
    out.finish()?;
    match problems.is_empty() {
        true => Ok(DONE),
        false => Ok(fail(
            &format!("{} is not a whole recording", shown(log)),
            BAD,
        )),
    }
}

fn told(old: &FlowLog, run: &Watched, report: &Report) -> Result<u8, Fault> {
    let mut out = stdout();
    if let Some(new) = &run.log {
        out.text(&compared(&Comparison::of(old, new)))?;
    }
    out.line(&format!(
        "{} answered from the log, {} live, {} recorded ones not asked for",
        report.answered(),
        report.live.len(),
        report.unused.len()
    ))?;
    for live in &report.live {
        out.line(&format!(
            "live ({}): {} ({}){}",
            live.why,
            live.place,
            live.node,
            first_of(&live.changes)
        ))?;
    }
    for file in &run.files {
        out.line(&format!("log  {}", file.to_string_lossy()))?;
    }
    out.finish()?;
    for (place, path) in &report.redacted {
        say(&format!(
            "note: a secret was taken out of the recorded answer of {place}, at {path}"
        ));
    }
    if let Some(stopped) = &report.stopped {
        return Ok(match stopped.is_beyond {
            true => {
                say(&format!(
                    "note: the recorded run failed before this call: {stopped}"
                ));
                DONE
            }
            false => fail(&format!("stopped at {stopped}"), FAILED),
        });
    }
    Ok(match &run.result {
        Ok(_) => DONE,
        Err(failure) if failure.is_cancelled() => {
            say("interrupted");
            INTERRUPTED
        }
        Err(failure) => {
            let text = run.flow.policy.scrub_text(
                &format!("{}: {}", failure.kind, failure.message),
                &run.flow.taints,
            );
            match old.status == Status::Error {
                true => {
                    say(&format!("note: the flow fails as it did: {text}"));
                    DONE
                }
                false => fail(&text, FAILED),
            }
        }
    })
}

/// Returns the lines of a comparison.
fn compared(found: &Comparison) -> String {
    let mut text = String::new();
    for one in &found.differences {
        let mark = match one.kind {
            Kind::Added => '+',
            Kind::Removed => '-',
            Kind::Changed => '~',
        };
        text += &format!("{mark} {}\n", printable(&one.place));
        for change in &one.changes {
            text += &format!("    {}\n", printable(&change.to_string()));
        }
    }
    text + &format!("{found}\n")
}

fn first_of(changes: &[Change]) -> String {
    changes
        .first()
        .map_or_else(String::new, |change| format!(": {change}"))
}
