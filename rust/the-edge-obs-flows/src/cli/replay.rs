//! `tea-obs-rs replay`: run a flow again with the answers of its log.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use the_edge_obs::flow_log::SpanInfo;
use the_edge_obs::globs::Glob;
use the_edge_obs::jsonl::Skipped;
use the_edge_obs::redaction::MORE;
use the_edge_obs::text::printable;
use the_edge_obs::{Error, FlowLog, Snap, Status, RECORD};

use super::options::ReplayOptions;
use super::run::{reason, stopped_by_signal};
use super::sources::{files_of, shown, store_of};
use super::state::overlaid;
use super::terminal::{
    counted, fail, grouped, say, stdout, Fault, Out, BAD, DONE, FAILED, INTERRUPTED,
};
use super::totals::{dollars, number_of};
use super::watch::{watched, Shown, Watch, Watched, NOT_RECORDING};
use crate::actions::Actions;
use crate::python::quoted;
use crate::replay::{
    with_recorded, Asked, Comparison, FullRecords, Kind, Options, Report, Standing, Tape, Why,
};
use crate::runner::Flow;

const REMEDY: &str = "observability: {record: {full: [GLOB]}}, or call them with --live GLOB, or give the state with --set";
/// The most changes of one call that are shown.
const SHOWN: usize = 3;

pub(super) fn call(options: &ReplayOptions) -> Result<u8, Fault> {
    if !RECORD {
        return Err(Fault::Input(format!(
            "a replay finds calls by their log: {NOT_RECORDING}"
        )));
    }
    let log = recorded(&options.log, options.flow.as_deref())?;
    let actions = with_recorded(Actions::builtin(), &log);
    let flow = match options.no_code {
        true => Flow::load_without_code(&options.flow_file, actions)?,
        false => Flow::load(&options.flow_file, actions)?,
    };
    let tape = Tape::new(&log, &flow, rules(options)?).map_err(plain)?;
    let state = stated(&tape, &options.set)?;
    let names: Vec<&str> = options.set.iter().map(|setting| name_of(setting)).collect();
    if options.dry {
        return dry(&tape, &names, &log, &flow);
    }
    check_state(&tape, &names)?;
    let tape = Arc::new(tape);
    let watch = Watch {
        levels: &[],
        folder: options.log_dir.as_deref(),
        shown: Shown::Nothing,
        tape: Some(&tape),
    };
    let run = watched(flow, state, &stopped_by_signal(), watch)?;
    told(&run, &tape)
}

/// Returns the message of a mistake in the options, which name their places themselves.
fn plain(error: Error) -> Fault {
    match error {
        Error::Configuration { problem, .. } => Fault::Input(problem),
        other => other.into(),
    }
}

/// Returns the run of a log that is replayed.
fn recorded(log: &Path, chosen: Option<&str>) -> Result<FlowLog, Fault> {
    let store = store_of(&[log.to_owned()], &mut Skipped::default())?;
    let flows = store.flows()?;
    let is_chosen = |id: &&String| chosen.is_none_or(|start| id.starts_with(&start.to_lowercase()));
    let found: Vec<&String> = flows.iter().filter(is_chosen).collect();
    let log = shown(log);
    match (&found[..], chosen) {
        ([id], _) => Ok(store.flow_log(id)?),
        ([], Some(start)) => Err(Fault::Input(format!(
            "no flow of {log} begins with {}; tea-obs ls {log} lists them",
            quoted(start)
        ))),
        ([], None) => Err(Fault::Input(format!("{log} holds no events"))),
        (found, chosen) => {
            let count = found.len();
            let first: Vec<&str> = found.iter().take(3).map(|id| id.as_str()).collect();
            let more = if count > 3 { ", ..." } else { "" };
            let known = first.join(", ") + more;
            Err(Fault::Input(match chosen {
                None => {
                    format!(
                        "{log} holds {count} flows: {known}; choose one with flow_id (--flow ID)"
                    )
                }
                Some(start) => format!(
                    "{} is the beginning of {count} flows of {log}: {known}; give more of the id",
                    quoted(start)
                ),
            }))
        }
    }
}

fn rules(options: &ReplayOptions) -> Result<Options, Fault> {
    let globs = |texts: &[String]| texts.iter().map(|text| Glob::new(text)).collect();
    let mut full = FullRecords::default();
    for file in files_of(std::slice::from_ref(&options.log))?.0 {
        full.extend(FullRecords::beside(&file)?);
    }
    let secrets = options.secret.iter().map(|given| secret(given));
    Ok(Options {
        live: globs(&options.live),
        again: options.again,
        pretend: globs(&options.pretend),
        from_step: options.from.clone(),
        ignore: options.ignore.clone(),
        secrets: secrets.collect::<Result<_, _>>()?,
        full,
    })
}

/// Returns the place and the value of `--secret`.
fn secret(given: &str) -> Result<(String, Snap), Fault> {
    let pair = given
        .rsplit_once('=')
        .filter(|(place, name)| !place.is_empty() && !name.is_empty());
    let Some((place, name)) = pair else {
        return Err(Fault::Input(format!(
            "--secret {} is not PLACE=VARIABLE; write --secret login.output.access_token=TOKEN",
            quoted(given)
        )));
    };
    match std::env::var(name) {
        Ok(value) => Ok((place.to_owned(), value.into())),
        Err(_) => Err(Fault::Input(format!(
            "the environment variable {} is not set; {} gets its secret from there",
            quoted(name),
            quoted(place)
        ))),
    }
}

/// Returns which value of the state a setting gives.
fn name_of(setting: &str) -> &str {
    setting.split('=').next().unwrap_or_default()
}

/// Checks that the log has the whole initial state, apart from values that the caller gives.
fn check_state(tape: &Tape, given: &[&str]) -> Result<(), Fault> {
    if tape.state().is_none() && given.is_empty() {
        return Err(Fault::Input(
            "the recording does not have the initial state of its run (data.input of its first entry); give it with --set".to_owned(),
        ));
    }
    let problem = match tape.cut_state(given).first() {
        None => return Ok(()),
        Some(path) if path == "input" => {
            "the recorded initial state was cut as a whole; give all of it with state (--set)"
                .to_owned()
        }
        Some(path) => format!(
            "the recorded initial state was cut at {path}; give that key with state (--set)"
        ),
    };
    Err(Fault::Input(problem))
}

/// Returns the state to begin with: the recorded one, below that of `--set`.
fn stated(tape: &Tape, settings: &[String]) -> Result<Snap, Fault> {
    let state = match tape.state() {
        // The key that says how many others were left out is not one of the state.
        Some(Snap::Map(pairs)) => Snap::Map(
            pairs
                .into_vec()
                .into_iter()
                .filter(|(key, _)| &**key != MORE)
                .collect(),
        ),
        _ => Snap::Map(Box::default()),
    };
    overlaid(state, settings)
}

/// Says whether a recording can be used, and runs nothing.
fn dry(tape: &Tape, given: &[&str], log: &FlowLog, flow: &Flow) -> Result<u8, Fault> {
    let (problems, (calls, whole)) = (tape.problems(given), tape.size());
    let mut out = stdout();
    let name = log.name.as_deref().unwrap_or("?");
    out.line(&format!("{name}  {}  {}", log.status.name(), log.flow_id))?;
    let (calls, whole) = (
        counted(calls as u64, "recorded call"),
        counted(whole as u64, "whole answer"),
    );
    out.line(&format!("{calls}, {whole}"))?;
    if let Some(recorded) = tape.sha256() {
        let told = match flow.sha256() == Some(recorded) {
            true => "as it was recorded",
            false => "another one than was recorded",
        };
        out.line(&format!("the flow file is {told}"))?;
    }
    for place in tape.redacted_places() {
        out.line(&format!(
            "redacted: {place}; a real call that gets it needs --secret {place}=VARIABLE"
        ))?;
    }
    for problem in &problems {
        out.line(&format!("not usable: {problem}"))?;
    }
    if problems.is_empty() {
        out.line("usable: every recorded call can be answered")?;
    }
    out.finish()?;
    match problems.len() as u64 {
        0 => Ok(DONE),
        count => {
            let parts = counted(count, "part");
            Ok(fail(
                &format!(
                    "{parts} of the recording cannot be used; record these actions whole: {REMEDY}"
                ),
                BAD,
            ))
        }
    }
}

fn told(run: &Watched, tape: &Tape) -> Result<u8, Fault> {
    let report = tape.report();
    let (old, new) = tape.logs()?;
    let mut out = stdout();
    out.text(&compared(
        &Comparison::of(&old, &new),
        report.stopped.is_some(),
    ))?;
    out.text("\n")?;
    out.line(&counts(&report, &new))?;
    for kind in [Kind::Moved, Kind::Pretended, Kind::Live] {
        for asked in report.of(kind) {
            described(asked, &mut out)?;
        }
    }
    if report.stopped.is_none() {
        for place in &report.unused {
            out.line(&format!("not asked for: {place}"))?;
        }
    }
    for file in &run.files {
        out.line(&format!("log  {}", file.to_string_lossy()))?;
    }
    out.finish()?;
    if let Some(stopped) = &report.stopped {
        return Ok(match stopped.kind {
            Why::Beyond => {
                say(&format!("note: ended at {stopped}"));
                DONE
            }
            Why::Unfit => fail(&format!("stopped at {stopped}"), BAD),
            Why::Changed => fail(&format!("stopped at {stopped}"), FAILED),
        });
    }
    Ok(match &run.result {
        Err(failure) if failure.is_cancelled() => {
            say("interrupted");
            INTERRUPTED
        }
        Err(failure) if failure_of(&old) != failure_of(&new) => fail(&reason(failure, run), FAILED),
        _ => DONE,
    })
}

/// Returns how a run ended, the class of its error, and the steps that lead to where it failed.
fn failure_of(log: &FlowLog) -> Option<(Status, Option<&str>, Vec<&str>)> {
    let by_id: HashMap<&str, &SpanInfo> = log
        .spans
        .iter()
        .map(|span| (&*span.span_id, span))
        .collect();
    let is_top = |span: &&SpanInfo| {
        let parent = span.parent_id.as_deref();
        !parent.is_some_and(|parent| by_id.contains_key(parent))
    };
    let top = log.spans.iter().find(is_top)?;
    let failed = |span: &&SpanInfo| {
        let children = span.children.iter().rev();
        let mut children = children.filter_map(|child| by_id.get(&**child).copied());
        children.find(|child| child.status == Status::Error)
    };
    let path = std::iter::successors(failed(&top), failed);
    let labels = path.map(|span| span.step.as_deref().unwrap_or(&span.node));
    let error = top.error.as_ref().and_then(|error| error.get("type"));
    Some((top.status, error.and_then(Snap::as_str), labels.collect()))
}

/// Returns how many calls were answered, and how; and what those cost that were made.
fn counts(report: &Report, new: &FlowLog) -> String {
    let answered = [Kind::Same, Kind::Moved, Kind::Pretended].map(|kind| report.count(kind));
    let answered = grouped(answered.iter().sum::<usize>() as u64);
    let [tokens, _, _, cost] = new.metrics.counted.each_ref().map(number_of);
    let mut spent = Vec::new();
    if tokens > 0.0 {
        spent.push(format!("{} tokens", grouped(tokens as u64)));
    }
    if cost > 0.0 {
        spent.push(dollars(cost));
    }
    let spent = match spent.is_empty() {
        true => String::new(),
        false => format!(" ({})", spent.join(", ")),
    };
    let (live, unused) = (
        grouped(report.count(Kind::Live) as u64),
        grouped(report.unused.len() as u64),
    );
    format!("{answered} answered from the log, {live} live{spent}, {unused} recorded ones not asked for")
}

fn described(asked: &Asked, out: &mut Out) -> Result<(), Fault> {
    let kind = match asked.kind {
        Kind::Same => "same",
        Kind::Moved => "moved",
        Kind::Live => "live",
        Kind::Pretended => "pretended",
    };
    out.line(&format!(
        "{kind}: {} ({}): {}",
        asked.place, asked.node, asked.why
    ))?;
    for change in asked.changes.iter().take(SHOWN) {
        out.line(&format!("  {change}"))?;
    }
    match asked.changes.len().saturating_sub(SHOWN) as u64 {
        0 => Ok(()),
        more => out.line(&format!("  {}", counted(more, "more change"))),
    }
}

/// Returns the lines of a comparison; of a run that was stopped, what it did not reach is only counted.
fn compared(found: &Comparison, is_stopped: bool) -> String {
    let mut text = String::new();
    let is_out = |standing: Standing| is_stopped && standing == Standing::Removed;
    let (rest, shown): (Vec<_>, Vec<_>) = found
        .differences
        .iter()
        .cloned()
        .partition(|one| is_out(one.standing));
    for one in &shown {
        let mark = match one.standing {
            Standing::Added => '+',
            Standing::Removed => '-',
            Standing::Changed => '~',
        };
        let place = if one.place.is_empty() {
            "the flow"
        } else {
            &one.place
        };
        text += &format!("{mark} {}\n", printable(place));
        for change in &one.changes {
            text += &format!("    {}\n", printable(&change.to_string()));
        }
    }
    let reached = Comparison {
        differences: shown,
        ..found.clone()
    };
    text += &format!("{reached}\n");
    match rest.len() as u64 {
        0 => text,
        count => text + &format!("{} not reached\n", counted(count, "recorded span")),
    }
}
