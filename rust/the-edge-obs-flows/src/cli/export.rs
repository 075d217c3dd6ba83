//! `tea-obs-rs export`: write a log in another format.

use std::collections::HashMap;
use std::path::Path;

use the_edge_obs::export::{export_events, export_flow_logs, indented, Exported, Format};
use the_edge_obs::jsonl::Skipped;
use the_edge_obs::{build_flow_log, Filters, Snap};

use super::options::ExportOptions;
use super::sources::{code_of, read, shown};
use super::terminal::{counted, stdout, Fault};
use crate::python::quoted;

const STDOUT: &str = "-";

pub(super) fn call(options: &ExportOptions) -> Result<u8, Fault> {
    let format = match &options.format {
        Some(name) => name.parse()?,
        None if options.output == STDOUT => Format::Jsonl,
        None => Format::of_path(options.output.as_ref())?,
    };
    let (events, skipped) = events_of(options)?;
    let done = match format {
        Format::Json => write_logs(&options.output, events, &skipped)?,
        Format::Jsonl => write_events(&options.output, events)?,
    };
    let mut out = stdout();
    if let Some(done) = done {
        let events = counted(done.events as u64, "event");
        let bytes = counted(done.bytes, "byte");
        out.line(&format!(
            "{}: {events} as {format}, {bytes}",
            options.output
        ))?;
    }
    out.finish()?;
    Ok(code_of(&skipped.packed))
}

/// Returns the events of the log, or of the one flow that is wanted.
fn events_of(options: &ExportOptions) -> Result<(Vec<Snap>, Skipped), Fault> {
    let (mut events, mut skipped) = (Vec::new(), Skipped::default());
    let wanted = options.flow.as_deref().map(str::to_lowercase);
    let mut flows: Vec<String> = Vec::new();
    read(&options.log, &Filters::new(), &mut skipped, |event| {
        if let Some(wanted) = &wanted {
            let flow = flow_of(&event);
            if !flow.starts_with(wanted) {
                return Ok(());
            }
            if !flows.iter().any(|known| known == flow) {
                flows.push(flow.to_owned());
            }
        }
        events.push(event);
        Ok(())
    })?;
    if let (Some(given), true) = (&options.flow, flows.len() != 1) {
        return Err(not_one(given, flows.len(), &options.log));
    }
    Ok((events, skipped))
}

fn flow_of(event: &Snap) -> &str {
    event.get("flow_id").and_then(Snap::as_str).unwrap_or("")
}

fn not_one(given: &str, count: usize, log: &Path) -> Fault {
    let source = shown(log);
    let problem = match count {
        0 => format!("no flow of {source} begins"),
        _ => format!("{count} flows of {source} begin"),
    };
    Fault::Input(format!(
        "{problem} with {}; tea-obs-rs query {source} --node flow --event-type entry lists the flows",
        quoted(given)
    ))
}

fn write_events(output: &str, events: Vec<Snap>) -> Result<Option<Exported>, Fault> {
    if output != STDOUT {
        return Ok(Some(export_events(events, output.as_ref())?));
    }
    let mut out = stdout();
    for event in events {
        out.json(&event.to_json())?;
        out.text("\n")?;
    }
    out.finish()?;
    Ok(None)
}

fn write_logs(
    output: &str,
    events: Vec<Snap>,
    skipped: &Skipped,
) -> Result<Option<Exported>, Fault> {
    let mut flows: Vec<(String, Vec<Snap>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for event in events {
        let flow = flow_of(&event).to_owned();
        let place = *places.entry(flow.clone()).or_insert_with(|| {
            flows.push((flow, Vec::new()));
            flows.len() - 1
        });
        flows[place].1.push(event);
    }
    let log = |(flow, events): (String, Vec<Snap>)| {
        let dropped = skipped.dropped.get(&flow).copied().unwrap_or(0);
        Ok(build_flow_log(events, dropped, 0)?.to_snap())
    };
    let mut logs = flows
        .into_iter()
        .map(log)
        .collect::<Result<Vec<Snap>, Fault>>()?;
    if output != STDOUT {
        return Ok(Some(export_flow_logs(&logs, output.as_ref())?));
    }
    let value = match logs.len() {
        1 => logs.remove(0),
        _ => Snap::List(logs.into()),
    };
    let mut out = stdout();
    out.json(&(indented(&value) + "\n"))?;
    out.finish()?;
    Ok(None)
}
