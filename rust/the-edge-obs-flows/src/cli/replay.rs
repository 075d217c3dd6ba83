//! `tea-obs-rs replay`: run a flow again with the answers of its log.

use std::path::Path;
use std::sync::Arc;

use the_edge_obs::globs::Glob;
use the_edge_obs::jsonl::Skipped;
use the_edge_obs::text::printable;
use the_edge_obs::{Error, FlowLog, Snap, Status, RECORD};

use super::options::ReplayOptions;
use super::run::stopped_by_signal;
use super::sources::{files_of, shown, store_of};
use super::state::overlaid;
use super::terminal::{counted, fail, say, stdout, Fault, BAD, DONE, FAILED, INTERRUPTED};
use super::watch::{watched, Shown, Watch, Watched, NOT_RECORDING};
use crate::actions::Actions;
use crate::python::quoted;
use crate::replay::{
    with_recorded, Asked, Comparison, FullRecords, Kind, Options, Report, Standing, Tape, Why,
};
use crate::runner::Flow;

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
    if options.dry {
        return dry(&tape);
    }
    let state = initial(&tape, &options.set)?;
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
            "no flow of {log} begins with {}; tea-obs ls {log} lists the runs",
            quoted(start)
        ))),
        ([], None) => Err(Fault::Input(format!("{log} holds no events"))),
        (found, _) => Err(Fault::Input(format!(
            "{log} holds {} flows; choose one with --flow ID; tea-obs ls {log} lists them",
            found.len()
        ))),
    }
}

fn rules(options: &ReplayOptions) -> Result<Options, Fault> {
    let globs = |texts: &[String]| texts.iter().map(|text| Glob::new(text)).collect();
    let mut full = FullRecords::default();
    for file in files_of(&[options.log.clone()])?.0 {
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
        .split_once('=')
        .filter(|(place, name)| !place.is_empty() && !name.is_empty());
    let Some((place, name)) = pair else {
        return Err(Fault::Input(format!(
            "--secret {} is not place=variable; write --secret login.output.access_token=TOKEN",
            quoted(given)
        )));
    };
    match std::env::var(name) {
        Ok(value) => Ok((place.to_owned(), value.into())),
        Err(_) => Err(Fault::Input(format!(
            "--secret {}: the variable {name} is not set",
            quoted(given)
        ))),
    }
}

/// Returns the state to begin with: the recorded one, below that of `--set`.
fn initial(tape: &Tape, settings: &[String]) -> Result<Snap, Fault> {
    let recorded = tape.state();
    if recorded.is_none() && settings.is_empty() {
        return Err(Fault::Input(
            "the recording does not have the initial state of its run (data.input of its first entry); give it with --set".to_owned(),
        ));
    }
    let keys: Vec<&str> = settings
        .iter()
        .map(|setting| setting.split(['=', '.']).next().unwrap_or_default())
        .collect();
    let is_given = |path: &str| {
        let rest = path.strip_prefix("input.").unwrap_or_default();
        keys.contains(&rest.split(['.', '[']).next().unwrap_or_default())
    };
    if let Some(path) = tape.cut_state().into_iter().find(|path| !is_given(path)) {
        return Err(Fault::Input(format!(
            "the recorded initial state was cut at {path}; give that key with --set"
        )));
    }
    overlaid(recorded.unwrap_or(Snap::Map(Box::default())), settings)
}

/// Says what of a recording cannot be used.
fn dry(tape: &Tape) -> Result<u8, Fault> {
    let problems = tape.problems();
    let mut out = stdout();
    for problem in &problems {
        out.line(problem)?;
    }
    if problems.is_empty() {
        out.line("the recording can be replayed")?;
    }
    out.finish()?;
    match problems.len() as u64 {
        0 => Ok(DONE),
        count => Ok(fail(
            &format!(
                "the recording cannot be replayed as a whole: {}",
                counted(count, "problem")
            ),
            BAD,
        )),
    }
}

fn told(run: &Watched, tape: &Tape) -> Result<u8, Fault> {
    let report = tape.report();
    let mut out = stdout();
    let (old, new) = tape.logs()?;
    out.text(&compared(&Comparison::of(&old, &new)))?;
    out.line(&counts(&report))?;
    for asked in report.asked.iter().filter(|asked| asked.kind != Kind::Same) {
        out.line(&line_of(asked))?;
    }
    for place in &report.unused {
        out.line(&format!("  not asked for: {place}"))?;
    }
    for file in &run.files {
        out.line(&format!("log  {}", file.to_string_lossy()))?;
    }
    out.finish()?;
    if let Some(stopped) = &report.stopped {
        return Ok(match stopped.kind {
            Why::Beyond => {
                say(&format!("note: {stopped}"));
                DONE
            }
            Why::Unfit => fail(&format!("stopped: {stopped}"), BAD),
            Why::Changed => fail(&format!("stopped: {stopped}"), FAILED),
        });
    }
    let Err(failure) = &run.result else {
        return Ok(DONE);
    };
    if failure.is_cancelled() {
        say("interrupted");
        return Ok(INTERRUPTED);
    }
    let text = format!("{}: {}", failure.kind, failure.message);
    let text = run.flow.policy.scrub_text(&text, &run.flow.taints);
    if old.status == Status::Error {
        say(&format!("note: the flow fails as it did: {text}"));
        return Ok(DONE);
    }
    Ok(fail(&text, FAILED))
}

/// Returns how many calls were answered, and how.
fn counts(report: &Report) -> String {
    let answered = report.count(Kind::Same) + report.count(Kind::Moved);
    let mut text = format!(
        "{answered} answered from the log, {} live",
        report.count(Kind::Live)
    );
    match report.count(Kind::Pretended) {
        0 => {}
        count => text += &format!(", {count} pretended"),
    }
    text + &format!(", {} recorded ones not asked for", report.unused.len())
}

fn line_of(asked: &Asked) -> String {
    let kind = match asked.kind {
        Kind::Same => "same",
        Kind::Moved => "moved",
        Kind::Live => "live",
        Kind::Pretended => "pretended",
    };
    let changes = asked
        .changes
        .iter()
        .take(3)
        .map(|change| format!("; {change}"));
    format!(
        "  {kind}: {} ({}): {}{}",
        asked.place,
        asked.node,
        asked.why,
        changes.collect::<String>()
    )
}

/// Returns the lines of a comparison.
fn compared(found: &Comparison) -> String {
    let mut text = String::new();
    for one in &found.differences {
        let mark = match one.standing {
            Standing::Added => '+',
            Standing::Removed => '-',
            Standing::Changed => '~',
        };
        text += &format!("{mark} {}\n", printable(&one.place));
        for change in &one.changes {
            text += &format!("    {}\n", printable(&change.to_string()));
        }
    }
    text + &format!("{found}\n")
}
