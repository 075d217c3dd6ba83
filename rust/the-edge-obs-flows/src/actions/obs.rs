//! `obs.*`: a flow reads its own log, and adds to it, while it runs.

use std::path::Path;

use the_edge_obs::export::{export_events, export_flow_logs, Exported, Format};
use the_edge_obs::{build_flow_log, Error, EventType, Filters, FlowId, Level, Snap, Store};

use super::support::{count_of, failure, mapping_of, missing, param, text_of, unknown};
use super::{Action, Signature};
use crate::error::Failure;
use crate::python::repr;
use crate::runner::Context;

/// Only spans log entries and exits: a single one would break the tree.
const EVENT_TYPES: [&str; 3] = ["log", "metric", "error"];

/// The most characters of the node of an event.
const MAX_NAME: usize = 256;

/// `obs.query`: the events of a flow that pass the filters. Only their number is logged.
pub(super) struct Query;

/// `obs.get_flow_log`: everything known about a flow. Only a summary is logged, so that the log does not contain itself.
pub(super) struct GetFlowLog;

/// `obs.export`: a flow's events, written to a file completely or not at all.
pub(super) struct Export;

/// `obs.log_event`: one more event of the running flow.
pub(super) struct LogEvent;

impl Action for Query {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let mut filters = filters_of("obs.query", params)?;
        if let Some(limit) = param(params, "limit") {
            let count = count_of("obs.query", "limit", limit)?;
            filters = filters.limit(usize::try_from(count).unwrap_or(usize::MAX));
        }
        let flow = flow_id("obs.query", params, context)?;
        let events = context.store().query(Some(&flow.to_string()), &filters)?;
        context.log_output(Snap::map([("events", events.len().into())]));
        Ok(Snap::List(events.into()))
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["flow_id", "filters", "limit"]),
            required: &[],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        match param {
            "filters" => Ok(Filters::from_snap(value).map(drop)?),
            _ => Ok(()),
        }
    }
}

impl Action for GetFlowLog {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let flow = flow_id("obs.get_flow_log", params, context)?;
        let log = context.store().flow_log(&flow.to_string())?.to_snap();
        let same = |key: &'static str| (key, log.get(key).cloned().unwrap_or(Snap::Null));
        let count = |key: &'static str| match log.get(key) {
            Some(Snap::List(items)) => (key, items.len().into()),
            _ => (key, Snap::Null),
        };
        let keys = ["flow_id", "name", "status"].map(same);
        let counts = ["events", "spans"].map(count);
        context.log_output(Snap::map(keys.into_iter().chain(counts)));
        Ok(log)
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["flow_id"]),
            required: &[],
        }
    }
}

impl Action for Export {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let path = param(params, "path").ok_or_else(|| missing("obs.export", "path"))?;
        let path = text_of("obs.export", "path", path)?;
        let format = match param(params, "format") {
            None => Format::of_path(Path::new(path))?,
            Some(format) => format_of(format)?,
        };
        let filters = filters_of("obs.export", params)?;
        let flow = flow_id("obs.export", params, context)?;
        match export(&context.store(), flow, &filters, format, Path::new(path)) {
            Ok(done) => Ok(done.to_snap()),
            Err(Error::Export(problem, Some(_))) => Ok(failure(
                &problem,
                "write_error",
                vec![("path", path.into())],
            )),
            Err(error) => Err(error.into()),
        }
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["path", "flow_id", "format", "filters"]),
            required: &["path"],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        match param {
            "path" => text_of("obs.export", param, value).map(drop),
            "format" => format_of(value).map(drop),
            "filters" => Ok(Filters::from_snap(value).map(drop)?),
            _ => Ok(()),
        }
    }
}

fn export(
    store: &Store,
    flow: FlowId,
    filters: &Filters,
    format: Format,
    path: &Path,
) -> Result<Exported, Error> {
    let found = store.flow(&flow.to_string())?;
    let events: Vec<Snap> = filters.select(found.events).collect();
    match format {
        Format::Jsonl => export_events(events, path),
        Format::Json if events.is_empty() => export_flow_logs(&[], path),
        Format::Json => {
            let log = build_flow_log(events, found.dropped, found.faults)?;
            export_flow_logs(&[log.to_snap()], path)
        }
    }
}

fn format_of(value: &Snap) -> Result<Format, Failure> {
    let text = value.as_str().map_or_else(|| repr(value), str::to_owned);
    Ok(text.parse::<Format>()?)
}

fn is_blank(char: char) -> bool {
    char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char)
}

/// Returns a text as the name of a node, such as that of a step: blanks become one `_`, blanks and dots at its ends are left out.
fn named_after(text: &str) -> String {
    let words = text.split(is_blank).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("_");
    match joined.trim_matches('.') {
        "" => "custom".to_owned(),
        name => name.chars().take(MAX_NAME).collect(),
    }
}

impl Action for LogEvent {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let given = |name| param(params, name);
        let event_type = match given("event_type") {
            None => EventType::Log,
            Some(value) => event_type(value)?,
        };
        let level = match given("level") {
            None => Level::Info,
            Some(value) => level_of(value)?,
        };
        let node = match given("node") {
            None => context.step(),
            Some(node) => text_of("obs.log_event", "node", node)?,
        };
        let text = |value: &Snap| value.as_str().map_or_else(|| repr(value), str::to_owned);
        let message = given("message").map(text);
        let data = given("data").map_or(Ok(&[][..]), |data| {
            mapping_of("obs.log_event", "data", data)
        })?;
        let metrics = given("metrics");
        let metrics = metrics.map_or(Ok(&[][..]), |metrics| {
            mapping_of("obs.log_event", "metrics", metrics)
        })?;
        let flow_id = flow_id("obs.log_event", &Snap::Null, context)?.to_string();
        if !context.is_observed() {
            let problem = "the flow is not observed, so it has no log to add to; turn its observability block on";
            return Ok(failure(
                problem,
                "not_observed",
                vec![("flow_id", flow_id.into())],
            ));
        }
        let node = named_after(node);
        let mut event = the_edge_obs::log(&node)
            .in_step()
            .level(level)
            .event_type(event_type)
            .pairs(&Snap::Map(data.into()));
        if let Some(message) = &message {
            event = event.message(message);
        }
        for (name, value) in metrics {
            event = event.metric(name, value.clone());
        }
        event.emit();
        Ok(Snap::map([
            ("success", Snap::Bool(true)),
            ("flow_id", flow_id.into()),
        ]))
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["node", "level", "event_type", "message", "data", "metrics"]),
            required: &[],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        match param {
            "level" => level_of(value).map(drop),
            _ => Ok(()),
        }
    }
}

fn filters_of(action: &str, params: &Snap) -> Result<Filters, Failure> {
    match param(params, "filters") {
        None => Ok(Filters::new()),
        Some(given) => {
            mapping_of(action, "filters", given)?;
            Ok(Filters::from_snap(given)?)
        }
    }
}

fn event_type(value: &Snap) -> Result<EventType, Failure> {
    let known = EventType::ALL
        .into_iter()
        .filter(|kind| EVENT_TYPES.contains(&kind.name()));
    let mut found = known.filter(|kind| value.as_str() == Some(kind.name()));
    found
        .next()
        .ok_or_else(|| unknown("obs.log_event", "event_type", value, &EVENT_TYPES))
}

fn level_of(value: &Snap) -> Result<Level, Failure> {
    let text = value.as_str().map_or_else(|| repr(value), str::to_owned);
    Ok(text.parse::<Level>()?)
}

/// Returns the flow to use: the given one, else the running one.
fn flow_id(action: &str, params: &Snap, context: &Context<'_>) -> Result<FlowId, Failure> {
    let given = param(params, "flow_id").map(|id| text_of(action, "flow_id", id));
    match given.transpose()?.or(context.flow_id()) {
        Some(id) => Ok(id.parse()?),
        None => Err(Failure::action(format!(
            "{action}: no flow is running here; give flow_id"
        ))),
    }
}
