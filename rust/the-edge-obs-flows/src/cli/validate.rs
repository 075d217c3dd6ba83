//! `tea-obs-rs validate`: validate a log or a flow file.

use std::path::{Path, PathBuf};

use the_edge_obs::redaction::{redact, KeyClasses};
use the_edge_obs::validation::{check_log, check_whole, Tally};
use the_edge_obs::yaml::YamlValue;

use super::options::ValidateOptions;
use super::sources::{code_of, files_of, shown};
use super::terminal::{counted, fail, grouped, stdout, Fault, Out, BAD, DONE};
use crate::actions::Actions;
use crate::error::FlowFileError;
use crate::loader::source::{Source, MAX_MISTAKES};
use crate::python::quoted;
use crate::runner::Flow;

const FLOW_SUFFIXES: [&str; 2] = [".yaml", ".yml"];
/// How many characters of a flow's line are shown below a mistake.
const WIDTH: usize = 160;

/// Tells whether a path is that of a flow file, and not of a log.
pub(super) fn is_flow(path: &Path) -> bool {
    let name = path.to_string_lossy();
    FLOW_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

pub(super) fn call(options: &ValidateOptions) -> Result<u8, Fault> {
    let mut out = stdout();
    let (flows, logs): (Vec<PathBuf>, Vec<PathBuf>) = options
        .paths
        .iter()
        .cloned()
        .partition(|path| is_flow(path));
    let mut worst = DONE;
    for flow in &flows {
        worst = worst.max(validate_flow(flow, options.no_code, &mut out)?);
    }
    if logs.is_empty() {
        out.finish()?;
        return Ok(worst);
    }
    let (files, packed) = files_of(&logs)?;
    for file in files {
        worst = worst.max(validate_log(&file, options.strict, &mut out)?);
    }
    out.finish()?;
    Ok(worst.max(code_of(&packed)))
}

fn validate_log(path: &Path, is_strict: bool, out: &mut Out) -> Result<u8, Fault> {
    let name = path.to_string_lossy();
    let (tally, faults) = if is_strict {
        let (tally, found) = check_whole(path)?;
        for finding in &found {
            out.line(&format!("{name}:{}: {}", finding.number, finding.problem))?;
        }
        let faults = found.len() as u64 - tally.invalid;
        (tally, faults)
    } else {
        let mut failed = Ok(());
        let tally = check_log(path, |finding| {
            if failed.is_ok() {
                failed = out.line(&format!("{name}:{}: {}", finding.number, finding.problem));
            }
        })?;
        failed?;
        (tally, 0)
    };
    verdict(path, &tally, faults, out)
}

/// Prints the verdict on a log, and returns the exit code.
fn verdict(path: &Path, tally: &Tally, faults: u64, out: &mut Out) -> Result<u8, Fault> {
    out.flush()?; // the verdict comes last, even if stdout and stderr are the same file
    if tally.invalid > 0 {
        let total = counted(tally.events + tally.invalid + tally.loose, "line");
        let what = match tally.invalid {
            1 => "is not a valid event",
            _ => "are not valid events",
        };
        let invalid = grouped(tally.invalid);
        return Ok(fail(
            &format!("{invalid} of {total} of {} {what}", shown(path)),
            BAD,
        ));
    }
    if tally.events == 0 && tally.loose == 0 {
        return Err(Fault::Input(format!("{} holds no events", shown(path))));
    }
    if faults > 0 {
        let problems = counted(faults, "problem");
        return Ok(fail(
            &format!("{problems} in {} as a whole", shown(path)),
            BAD,
        ));
    }
    let loose = match tally.loose {
        0 => String::new(),
        count => format!(", {} outside any run", counted(count, "record")),
    };
    let (events, flows) = (
        counted(tally.events, "event"),
        counted(tally.flows.len() as u64, "flow"),
    );
    out.line(&format!(
        "{}: OK, {events}, {flows}{loose}",
        path.to_string_lossy()
    ))?;
    Ok(DONE)
}

fn validate_flow(path: &Path, no_code: bool, out: &mut Out) -> Result<u8, Fault> {
    let actions = Actions::builtin();
    let loaded = if no_code {
        Flow::load_without_code(path, actions)
    } else {
        Flow::load(path, actions)
    };
    let flow = match loaded {
        Ok(flow) => flow,
        // A mistake of the file as a whole, such as a missing file.
        Err(error) if error.line.is_none() && error.others.is_empty() => return Err(error.into()),
        Err(mut error) => {
            let others = std::mem::take(&mut error.others);
            let mistakes = std::iter::once(error).chain(others).collect();
            return report(mistakes, path, out);
        }
    };
    let source = Source::read_file(path)?;
    let dead = unreached(&flow, &source);
    if !dead.is_empty() {
        return report(dead, path, out);
    }
    let observed = match flow.config() {
        None => "no observability block",
        Some(config) if !config.enabled => "observability off",
        Some(_) => "observability on",
    };
    let edges = match source.data.get("edges").map(|edges| &edges.value) {
        Some(YamlValue::List(edges)) => edges.len(),
        _ => 0,
    };
    let parts = [("node", flow.nodes().count()), ("edge", edges)];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(noun, count)| counted(count as u64, noun))
        .collect();
    out.line(&format!(
        "{}: OK, flow {}, {}, {observed}",
        path.display(),
        flow.name(),
        parts.join(", ")
    ))?;
    Ok(DONE)
}

/// Returns the mistakes of nodes that nothing leads to.
fn unreached(flow: &Flow, source: &Source) -> Vec<FlowFileError> {
    let dead = flow.unreached();
    let nodes = flow.nodes().enumerate();
    let nodes = nodes.filter(|(_, name)| dead.contains(name));
    nodes
        .map(|(index, name)| {
            let told = format!(
                "nothing leads to step {}; add an edge or a goto to it, or remove it",
                quoted(name)
            );
            FlowFileError {
                path: source.path.clone(),
                line: source.line(&["nodes".into(), index.into()]),
                step: Some(name.to_owned()),
                ..FlowFileError::new(told)
            }
        })
        .collect()
}

/// Prints the mistakes in order of file and line, each with its line of the file, and returns the exit code.
fn report(mut mistakes: Vec<FlowFileError>, path: &Path, out: &mut Out) -> Result<u8, Fault> {
    let own = path.display().to_string();
    mistakes.sort_by_key(|each| {
        let file = each.path.clone().unwrap_or_default();
        (file != own, file, each.line.unwrap_or(0))
    });
    for mistake in &mistakes {
        out.line(&mistake.to_string())?;
        if let (Some(file), Some(number)) = (&mistake.path, mistake.line) {
            if let Some(line) = line_of(file, number) {
                out.line(&format!("    {number} | {line}"))?;
            }
        }
    }
    out.flush()?;
    let more = match mistakes.len() {
        count if count >= MAX_MISTAKES => ", perhaps more",
        _ => "",
    };
    let count = counted(mistakes.len() as u64, "mistake");
    Ok(fail(&format!("{count} in {}{more}", shown(path)), BAD))
}

/// Returns a line of a flow file for display: cut, and without secrets. The line ends are those of YAML 1.1, by which lines are counted.
fn line_of(file: &str, number: usize) -> Option<String> {
    let bytes = std::fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let line = text
        .split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
        .nth(number.checked_sub(1)?)?;
    let clean = redact(line.trim_end(), KeyClasses::built_in());
    Some(clean.chars().take(WIDTH).collect())
}
