//! `tea-obs-rs parity`: print the normalised log of a run.

use std::path::{Path, PathBuf};

use the_edge_obs::export::indented;
use the_edge_obs::jsonl::{log_files, Events};
use the_edge_obs::parity::report;
use the_edge_obs::redaction::{redact, KeyClasses};
use the_edge_obs::text::ascii_json;
use the_edge_obs::validation::check_whole;
use the_edge_obs::{build_flow_log, FlowLog, Snap, RECORD};

use super::options::ParityOptions;
use super::sources::shown;
use super::terminal::{counted, fail, say, stdout, Fault, BAD, DONE, FAILED};
use super::validate::is_flow;
use super::watch::{watched, Shown, Watch, NOT_RECORDING};
use crate::actions::Actions;
use crate::error::Failure;
use crate::runner::{Flow, Stop};

pub(super) fn call(options: &ParityOptions) -> Result<u8, Fault> {
    let source = &options.source;
    if !is_flow(source) {
        return compare(source, source, None, options.strict);
    }
    let folder = Folder::new()?;
    let (log, failure) = run_to_file(source, &folder.0)?;
    compare(source, &log, failure.as_ref(), options.strict)
}

fn compare(
    source: &Path,
    log: &Path,
    failure: Option<&Failure>,
    is_strict: bool,
) -> Result<u8, Fault> {
    if is_strict {
        let (_, found) = check_whole(log)?;
        for finding in &found {
            let place = match source == log {
                true => format!("{}:{}", source.display(), finding.number),
                false => format!("{}: line {} of its log", source.display(), finding.number),
            };
            say(&format!("{place}: {}", finding.problem));
        }
        if !found.is_empty() {
            let problems = counted(found.len() as u64, "problem");
            return Ok(fail(
                &format!("{problems} in the log of {}", shown(source)),
                BAD,
            ));
        }
    }
    let mut out = stdout();
    out.text(&ascii_json(&indented(&report(&flow_log(log)?))))?;
    out.text("\n")?;
    out.finish()?;
    let Some(failure) = failure else {
        return Ok(DONE);
    };
    let reason = format!("{}: {}", failure.kind, failure.message);
    let reason = redact(&reason, KeyClasses::built_in());
    say(&format!("note: the flow failed: {reason}"));
    Ok(FAILED)
}

/// Returns the flow log of a file with one flow.
fn flow_log(log: &Path) -> Result<FlowLog, Fault> {
    let mut reader = Events::open(log)?;
    let events: Vec<Snap> = reader.by_ref().collect::<Result<_, _>>()?;
    let mut flows: Vec<&str> = Vec::new();
    for event in &events {
        let flow = event.get("flow_id").and_then(Snap::as_str).unwrap_or("");
        if !flows.contains(&flow) {
            flows.push(flow);
        }
    }
    match flows[..] {
        [flow] => {
            let dropped = reader.skipped().dropped.get(flow).copied().unwrap_or(0);
            Ok(build_flow_log(events, dropped, 0)?)
        }
        [] => Err(Fault::Input(format!("{} holds no events", shown(log)))),
        _ => {
            let (count, source) = (flows.len(), shown(log));
            Err(Fault::Input(format!(
                "{source} holds {count} flows; tea-obs-rs export {source} --flow ID -o FILE.jsonl takes one out"
            )))
        }
    }
}

/// Runs a flow, and returns the file of its log, and what the flow failed with.
///
/// The log is the file: what is read back from memory, later steps may have redacted further.
fn run_to_file(source: &Path, folder: &Path) -> Result<(PathBuf, Option<Failure>), Fault> {
    let flow = Flow::load(source, Actions::builtin())?;
    if !RECORD {
        return Err(Fault::Input(format!(
            "{} logs nothing: {NOT_RECORDING}",
            shown(source)
        )));
    }
    if flow.config().is_some_and(|config| !config.enabled) {
        return Err(Fault::Input(format!(
            "{} logs nothing: its observability block says enabled: false; remove that",
            shown(source)
        )));
    }
    let watch = Watch {
        folder: Some(folder),
        shown: Shown::Nothing,
        levels: &[],
        tape: None,
    };
    let run = watched(flow, Snap::Null, &Stop::new(), watch)?;
    let failure = run.result.err();
    let mut logs = log_files(folder)?.files;
    match logs.len() {
        0 => Err(Fault::Input(format!(
            "{} logs nothing: its levels filter every event",
            shown(source)
        ))),
        _ => Ok((logs.swap_remove(0), failure)),
    }
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, Fault> {
        let name = format!("tea-obs-rs-{}", the_edge_obs::FlowId::random());
        let path = std::env::temp_dir().join(name);
        let made = std::fs::create_dir(&path);
        made.map_err(|error| {
            let reason = the_edge_obs::files::reason_of(&error);
            Fault::Input(format!("{} cannot be created: {reason}", shown(&path)))
        })?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
