//! `tea-obs-rs export`: write a log in another format.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::PathBuf;

use the_edge_obs::export::{export_each, export_flow_logs, indented, Exported, Format};
use the_edge_obs::jsonl::Skipped;
use the_edge_obs::{build_flow_log, Filters, Snap};

use super::options::ExportOptions;
use super::sources::{all_shown, code_of, read, store_of};
use super::terminal::{counted, stdout, Fault};
use crate::python::quoted;

const STDOUT: &str = "-";

pub(super) fn call(options: &ExportOptions) -> Result<u8, Fault> {
    let format = match &options.format {
        Some(name) => name.parse()?,
        None if options.output == STDOUT => Format::Jsonl,
        None => Format::of_path(options.output.as_ref())?,
    };
    let flow = options
        .flow
        .as_deref()
        .map(|given| one_flow(&options.logs, given));
    let source = Source {
        logs: &options.logs,
        flow: flow.transpose()?,
    };
    let mut skipped = Skipped::default();
    let done = match format {
        Format::Json => write_logs(&options.output, &source, &mut skipped)?,
        Format::Jsonl => write_events(&options.output, &source, &mut skipped)?,
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

/// What is exported.
struct Source<'o> {
    logs: &'o [PathBuf],
    /// The only flow that is wanted.
    flow: Option<String>,
}

impl Source<'_> {
    /// Gives the events one by one.
    fn each(
        &self,
        skipped: &mut Skipped,
        mut take: impl FnMut(Snap) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        read(self.logs, &Filters::new(), skipped, |event| {
            match &self.flow {
                Some(flow) if flow_of(&event) != flow => Ok(()),
                _ => take(event),
            }
        })
    }
}

/// Returns the flow whose id begins as given.
fn one_flow(logs: &[PathBuf], given: &str) -> Result<String, Fault> {
    let wanted = given.to_lowercase();
    let mut flows: BTreeSet<String> = BTreeSet::new();
    let mut add = |event: Snap| {
        let flow = flow_of(&event);
        if flow.starts_with(&wanted) && !flows.contains(flow) {
            flows.insert(flow.to_owned());
        }
    };
    let filters = Filters::new();
    let mut skipped = Skipped::default();
    let store = store_of(logs, &mut skipped)?;
    store.for_each(&filters, &mut skipped, |event| {
        add(event);
        ControlFlow::Continue(())
    })?;
    match flows.len() {
        1 => Ok(flows.into_iter().next().unwrap_or_default()),
        count => Err(not_one(given, count, logs)),
    }
}

fn flow_of(event: &Snap) -> &str {
    event.get("flow_id").and_then(Snap::as_str).unwrap_or("")
}

fn not_one(given: &str, count: usize, logs: &[PathBuf]) -> Fault {
    let source = all_shown(logs);
    let problem = match count {
        0 => format!("no flow of {source} begins"),
        _ => format!("{count} flows of {source} begin"),
    };
    Fault::Input(format!(
        "{problem} with {}; tea-obs-rs query {source} --node flow --event-type entry lists the flows",
        quoted(given)
    ))
}

fn write_events(
    output: &str,
    source: &Source<'_>,
    skipped: &mut Skipped,
) -> Result<Option<Exported>, Fault> {
    if output != STDOUT {
        let done = export_each(output.as_ref(), |write| {
            source.each(skipped, |event| Ok(write(&event)?))
        });
        return done.map(Some);
    }
    let mut out = stdout();
    source.each(skipped, |event| {
        out.json(&event.to_json())?;
        out.text("\n")
    })?;
    out.finish()?;
    Ok(None)
}

fn write_logs(
    output: &str,
    source: &Source<'_>,
    skipped: &mut Skipped,
) -> Result<Option<Exported>, Fault> {
    let mut flows: Vec<(String, Vec<Snap>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    source.each(skipped, |event| {
        let flow = flow_of(&event).to_owned();
        let place = *places.entry(flow.clone()).or_insert_with(|| {
            flows.push((flow, Vec::new()));
            flows.len() - 1
        });
        flows[place].1.push(event);
        Ok(())
    })?;
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
