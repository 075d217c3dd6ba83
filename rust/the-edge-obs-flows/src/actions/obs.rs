//! `obs.*`: a flow reads its own log, and adds to it, while it runs.

use the_edge_obs::{EventType, Filters, FlowId, Level, Snap};

use super::support::{count_of, failure, mapping_of, param, text_of, unknown};
use super::{Action, Signature};
use crate::error::Failure;
use crate::runner::Context;

/// Only spans log entries and exits: a single one would break the tree.
const EVENT_TYPES: [&str; 3] = ["log", "metric", "error"];

/// `obs.query`: the events of a flow that pass the filters. Only their number is logged.
pub(super) struct Query;

/// `obs.get_flow_log`: everything known about a flow. Only a summary is logged, so that the log does not contain itself.
pub(super) struct GetFlowLog;

/// `obs.log_event`: one more event of the running flow.
pub(super) struct LogEvent;

impl Action for Query {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let none = Snap::Map(Box::default());
        let given = param(params, "filters").unwrap_or(&none);
        mapping_of("obs.query", "filters", given)?;
        let mut filters = Filters::from_snap(given)?;
        if let Some(limit) = param(params, "limit") {
            let count = count_of("obs.query", "limit", limit)?;
            filters = filters.limit(usize::try_from(count).unwrap_or(usize::MAX));
        }
        let flow = flow_id("obs.query", params, context)?;
        let events = context.logs("obs.query")?.events(&flow)?;
        let events: Vec<Snap> = filters.select(events).collect();
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
        let log = context.logs("obs.get_flow_log")?.flow_log(&flow)?.to_snap();
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
        let text = |value: &Snap| value.as_str().map_or_else(|| crate::python::repr(value), str::to_owned);
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
        let mut event = the_edge_obs::log(node)
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
    let text = value
        .as_str()
        .map_or_else(|| crate::python::repr(value), str::to_owned);
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
