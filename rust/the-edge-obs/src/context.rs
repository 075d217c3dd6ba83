//! Flows: open one, log into it, carry it to other threads.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tracing::{dispatcher, Dispatch};

use crate::capture::to_snap;
use crate::error::Error;
use crate::event::{EventType, Level, Status, ROOT_NODE, SCHEMA_VERSION};
use crate::facts::{Metrics, Payload};
use crate::flow::Flow;
use crate::here::{here, in_span, Here};
use crate::ids::{FlowId, SpanId};
use crate::layer::{around, current_place};
use crate::names::{fit_name, fit_node};
use crate::node::{is_compiled, Node};
use crate::outcome::{error_data, named, PANICKED};
use crate::output::policy_in_use;
use crate::redaction::Policy;
use crate::run::{Place, Run};
use crate::span::{end_run, Open};
use crate::value::{Key, Snap};

/// The root of a flow. Other layers see its span at the level error, so that a filter for a whole program, such as
/// `EnvFilter("warn")`, does not take away the flow.
static ROOT: Node = Node::new(ROOT_NODE, "tea.flow", Level::Error);

/// Returns a flow that is about to start.
///
/// ```
/// let run = the_edge_obs::flow("triage").input(&("ticket", 17)).start();
/// let sum = run.in_scope(|| 40 + 2);
/// run.end();
/// assert_eq!(sum, 42);
/// ```
#[must_use = "a flow does nothing until it is started"]
pub fn flow(name: &str) -> FlowBuilder {
    FlowBuilder {
        name: fit_name(name).into(),
        id: None,
        parent: None,
        policy: None,
        about: Vec::new(),
        secrets: Vec::new(),
        named: Vec::new(),
    }
}

/// A flow that is about to start: [`flow`] returns it.
#[must_use = "a flow does nothing until it is started"]
pub struct FlowBuilder {
    name: Box<str>,
    id: Option<FlowId>,
    parent: Option<u64>,
    policy: Option<Arc<Policy>>,
    about: Vec<(Key, Snap)>,
    secrets: Vec<Snap>,
    named: Vec<Snap>,
}

impl FlowBuilder {
    /// Sets the flow's id. By default it is random.
    pub fn id(mut self, id: FlowId) -> FlowBuilder {
        self.id = Some(id);
        self
    }

    /// Continues the flow of another process, below one of its spans.
    pub fn continues(mut self, flow: FlowId, span: SpanId) -> FlowBuilder {
        (self.id, self.parent) = (Some(flow), Some(span.number()));
        self
    }

    /// Sets what counts as secret in this flow, beside what always does, and what the layers in use take for secret.
    pub fn policy(mut self, policy: Arc<Policy>) -> FlowBuilder {
        self.policy = Some(policy);
        self
    }

    /// Sets the input: `data.input` of the root's entry.
    pub fn input<T: Serialize + ?Sized>(self, input: &T) -> FlowBuilder {
        self.about("input", to_snap(input))
    }

    /// Adds a key to the data of the root's entry.
    pub fn about(mut self, key: &str, value: Snap) -> FlowBuilder {
        self.about.push((key.into(), value));
        self
    }

    /// Learns the secrets of a value, by the keys that they stand under, before anything is logged. The value itself is not logged.
    pub fn secrets_of(mut self, value: Snap) -> FlowBuilder {
        self.secrets.push(value);
        self
    }

    /// Names a secret, as [`Flow::taint`] does, before anything is logged. A value that cannot be one is passed over.
    pub fn secret(mut self, value: Snap) -> FlowBuilder {
        self.named.push(value);
        self
    }

    /// Starts the flow: logs the entry of its root.
    ///
    /// The layers of the current dispatcher get its events. Where there are none, the flow has an id and logs nothing.
    #[must_use = "a flow that is dropped has ended"]
    pub fn start(self) -> ObservabilityContext {
        let shared = policy_in_use();
        let policy = match self.policy {
            Some(own) if !Arc::ptr_eq(&own, &shared) => Arc::new(shared.with(&own)),
            _ => shared,
        };
        let id = self.id.unwrap_or_else(FlowId::random);
        let flow = Flow::with_policy(id, &self.name, policy);
        for secret in self.named {
            let _ = flow.taint(secret);
        }
        let run = Arc::new(Run::new(flow, self.parent));
        let place = Place::new(
            Arc::clone(&run),
            run.root,
            run.parent,
            ROOT.shared_name(),
            None,
            Level::Info,
        );
        if !is_compiled(Level::Error) {
            return ObservabilityContext {
                place: Arc::new(place),
                open: None,
            };
        }
        let dispatch = dispatcher::get_default(Dispatch::clone);
        let around = around(&dispatch);
        ROOT.register();
        let place = Arc::new(place);
        // Also where nobody wants the root: nodes inside it belong to the flow all the same.
        let is_muted = !ROOT.asks(&dispatch);
        let open = Open::offered(&dispatch, &ROOT, Arc::clone(&place), &around, is_muted);
        let is_other = |outer: &Arc<Place>| outer.run.flow.id != run.flow.id;
        let outer = around.place.filter(is_other);
        for value in &self.secrets {
            let _ = place.snapshot(value);
        }
        let mut facts = place.facts(EventType::Entry, Level::Info, place.at);
        facts.payload = place.data(about(&place, outer.as_deref(), self.about));
        run.emit(place.mask(), facts);
        if let Some(outer) = outer {
            log_into(&outer, &place);
        }
        ObservabilityContext { place, open }
    }
}

/// Returns the data of a root's entry.
fn about(place: &Place, outer: Option<&Place>, more: Vec<(Key, Snap)>) -> Vec<(Key, Snap)> {
    let mut data: Vec<(Key, Snap)> = vec![
        ("name".into(), (&*place.run.flow.name).into()),
        ("schema_version".into(), Snap::Int(SCHEMA_VERSION)),
        (
            "runtime".into(),
            concat!("the-edge-obs/", env!("CARGO_PKG_VERSION"), " rust").into(),
        ),
        ("resource".into(), resource().clone()),
    ];
    if let Some(outer) = outer {
        let ids = [
            ("flow_id", outer.run.flow.id.to_string()),
            ("span_id", outer.span_id().to_string()),
        ];
        data.push((
            "outer".into(),
            Snap::map(ids.map(|(key, id)| (key, Snap::from(id)))),
        ));
    }
    data.extend(more);
    data
}

/// Logs in the outer flow that the inner one begins there, so that each log names the other.
fn log_into(outer: &Place, inner: &Place) {
    let flow = &inner.run.flow;
    let pairs = [
        ("flow_id", flow.id.to_string()),
        ("span_id", inner.span_id().to_string()),
        ("name", flow.name.to_string()),
    ];
    let inner = Snap::map(pairs.map(|(key, text)| (key, Snap::from(text))));
    let mut facts = outer.facts(EventType::Log, Level::Info, outer.run.elapsed());
    facts.node = ROOT.shared_name();
    facts.step = None;
    facts.message = Some("a flow begins in here".into());
    facts.payload = outer.data([("inner".into(), inner)]);
    outer
        .run
        .emit(outer.run.mask(ROOT_NODE, Level::Info), facts);
}

/// Returns what writes the log: host, process and service.
fn resource() -> &'static Snap {
    static RESOURCE: OnceLock<Snap> = OnceLock::new();
    RESOURCE.get_or_init(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        let named = || {
            ["HOSTNAME", "COMPUTERNAME"]
                .into_iter()
                .find_map(|name| std::env::var(name).ok())
        };
        let program = std::env::current_exe().ok();
        let program =
            program.and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
        let service = std::env::var("OTEL_SERVICE_NAME")
            .ok()
            .filter(|name| !name.is_empty())
            .or(program);
        Snap::map([
            (
                "host",
                Snap::from(host.or_else(named).unwrap_or_else(|| "unknown".to_owned())),
            ),
            ("pid", Snap::Int(std::process::id().into())),
            (
                "service",
                Snap::from(service.unwrap_or_else(|| "unknown".to_owned())),
            ),
        ])
    })
}

/// One flow: [`flow`] starts it. Its root span ends with [`end`](ObservabilityContext::end) or
/// [`fail`](ObservabilityContext::fail), or when it is dropped.
pub struct ObservabilityContext {
    pub(crate) place: Arc<Place>,
    open: Option<Open>,
}

impl ObservabilityContext {
    /// Returns the flow's id.
    #[must_use]
    pub fn flow_id(&self) -> FlowId {
        self.place.run.flow.id
    }

    /// Returns the flow itself: its name, its secrets, how often logging failed.
    #[must_use]
    pub fn flow(&self) -> &Arc<Flow> {
        &self.place.run.flow
    }

    /// Runs a function inside the flow: nodes that it calls belong to it. It works on any thread.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.open {
            Some(open) => in_span(&open.span, work),
            None => work(),
        }
    }

    /// Returns the inside of the flow, for a future or another thread.
    ///
    /// ```
    /// # async fn answer() -> u8 { 42 }
    /// # async fn example() {
    /// let run = the_edge_obs::flow("triage").start();
    /// let answer = run.here().instrument(answer()).await;
    /// run.end();
    /// # }
    /// ```
    #[must_use]
    pub fn here(&self) -> Here {
        match &self.open {
            Some(open) => Here::inside(&open.span),
            None => here(),
        }
    }

    /// Returns an event of the flow that is about to be logged: of the running span, or of the root outside any span.
    pub fn log<'e>(&self, node: &'e str) -> LogEvent<'e> {
        let running = dispatcher::get_default(current_place)
            .filter(|place| Arc::ptr_eq(&place.run, &self.place.run));
        LogEvent::new(
            node,
            Some(running.unwrap_or_else(|| Arc::clone(&self.place))),
        )
    }

    /// Ends the flow. Later calls of this or another end do nothing.
    pub fn end(&self) {
        self.close(EventType::Exit, Level::Info, None, Payload::None);
    }

    /// Ends the flow with an error.
    pub fn fail(&self, kind: &str, message: &str) {
        let data = self
            .place
            .data([("error".into(), error_data(kind, message, None))]);
        self.close(EventType::Error, Level::Error, Some(message), data);
    }

    /// Ends the flow with an error as `data.error` of an event describes it: an object with `type`, `message`, and what else is known.
    pub fn fail_described(&self, error: Snap) {
        let message = error.get("message").and_then(Snap::as_str);
        let message = message.unwrap_or_default().to_owned();
        let data = self.place.data([("error".into(), error)]);
        self.close(EventType::Error, Level::Error, Some(&message), data);
    }

    /// Ends the flow as cancelled.
    pub fn cancel(&self, kind: &str, message: &str) {
        let error = ("error".into(), error_data(kind, message, None));
        let data = self
            .place
            .data([error, ("cancelled".into(), Snap::Bool(true))]);
        self.close(EventType::Error, Level::Warn, Some(message), data);
    }

    fn close(&self, event_type: EventType, level: Level, message: Option<&str>, payload: Payload) {
        let place = &self.place;
        let Some(elapsed) = place.end() else {
            return;
        };
        let mut facts = place.facts(event_type, level, elapsed);
        facts.message = message.map(|text| place.snapshot(&text.into()));
        facts.payload = payload;
        let is_open = place.mask() != 0;
        if is_open {
            facts.metrics = Metrics::Duration(elapsed - place.at);
        }
        // A root whose entry was filtered has no end, but its error shows.
        let mask = if is_open || level == Level::Info {
            place.mask()
        } else {
            place.run.mask(ROOT_NODE, level)
        };
        place.run.emit(mask, facts);
        let status = match (event_type, level) {
            (EventType::Error, Level::Error) => Status::Error,
            (EventType::Error, _) => Status::Cancelled,
            _ => Status::Ok,
        };
        end_run(&place.run, status);
    }
}

// What a panic in the middle of logging leaves behind is whole: each lock is recovered, and an event is there or not.
impl UnwindSafe for ObservabilityContext {}
impl RefUnwindSafe for ObservabilityContext {}

impl Drop for ObservabilityContext {
    fn drop(&mut self) {
        if self.place.is_panicking() {
            self.fail("panic", PANICKED);
        } else {
            self.end();
        }
    }
}

/// Returns an event of the running span that is about to be logged. Outside any flow it goes nowhere.
///
/// ```
/// use the_edge_obs::Level;
///
/// the_edge_obs::log("scoring").level(Level::Debug).message("scored").metric("items", 42).emit();
/// ```
pub fn log(node: &str) -> LogEvent<'_> {
    LogEvent::new(node, dispatcher::get_default(current_place))
}

/// An event that is about to be logged: [`log`] returns it.
#[must_use = "an event is not logged until it is emitted"]
pub struct LogEvent<'e> {
    node: &'e str,
    place: Option<Arc<Place>>,
    level: Level,
    event_type: EventType,
    message: Option<&'e str>,
    data: Vec<(Key, Snap)>,
    metrics: Vec<(Key, Snap)>,
    keeps_step: bool,
}

impl<'e> LogEvent<'e> {
    fn new(node: &'e str, place: Option<Arc<Place>>) -> LogEvent<'e> {
        let (level, event_type) = (Level::Info, EventType::Log);
        LogEvent {
            node,
            place,
            level,
            event_type,
            message: None,
            data: Vec::new(),
            metrics: Vec::new(),
            keeps_step: false,
        }
    }

    /// Keeps the step of the running span: what a runner of flows logs about a node belongs to its step.
    pub fn in_step(mut self) -> Self {
        self.keeps_step = true;
        self
    }

    /// Adds the pairs of an object to the data.
    pub fn pairs(mut self, pairs: &Snap) -> Self {
        if let (Some(_), Snap::Map(pairs)) = (&self.place, pairs) {
            self.data.extend(pairs.iter().cloned());
        }
        self
    }

    /// Sets the level. Default: info.
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Sets the type. Default: log.
    pub fn event_type(mut self, event_type: EventType) -> Self {
        self.event_type = event_type;
        self
    }

    /// Sets the text for people.
    pub fn message(mut self, message: &'e str) -> Self {
        self.message = Some(message);
        self
    }

    /// Adds a value to the data.
    pub fn data<T: Serialize + ?Sized>(mut self, key: &str, value: &T) -> Self {
        if self.place.is_some() {
            self.data.push((key.into(), to_snap(value)));
        }
        self
    }

    /// Adds a number to the metrics.
    pub fn metric(mut self, name: &str, value: impl Into<Snap>) -> Self {
        self.metrics.push((name.into(), value.into()));
        self
    }

    /// Logs the event, unless its level is filtered.
    pub fn emit(self) {
        let Some(place) = self.place else {
            return;
        };
        let node = fit_node(self.node);
        let mask = place.run.mask(&node, self.level);
        if mask == 0 {
            return;
        }
        let mut facts = place.facts(self.event_type, self.level, place.run.elapsed());
        facts.node = node.into();
        if !self.keeps_step {
            facts.step = None;
        }
        facts.message = self.message.map(|text| place.snapshot(&text.into()));
        if !self.data.is_empty() {
            facts.payload = place.data(self.data);
        }
        if !self.metrics.is_empty() {
            facts.metrics = Metrics::Numbers(named(self.metrics, &place.run.flow.policy).into());
        }
        place.run.emit(mask, facts);
    }
}

/// The running span: [`current`] returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The flow's id.
    pub flow_id: FlowId,
    /// The span's id.
    pub span_id: SpanId,
    /// What runs.
    pub node: Arc<str>,
    /// The name that a flow gives to the node.
    pub step: Option<Arc<str>>,
}

/// Returns the running span; `None` outside any flow. A span that has ended is never returned: then it is the nearest one around it
/// that is open.
#[must_use]
pub fn current() -> Option<Current> {
    let place = dispatcher::get_default(current_place)?;
    let (node, step) = (Arc::clone(&place.node), place.step.clone());
    Some(Current {
        flow_id: place.run.flow.id,
        span_id: place.span_id(),
        node,
        step,
    })
}

/// Remembers that a value is a secret of the running flow, as [`Flow::taint`] does: it is redacted wherever it appears from now on.
/// Outside any flow nothing is remembered.
///
/// # Errors
///
/// [`Error::Configuration`]: the value is not a text, an integer, or a list of them.
pub fn taint(secret: impl Into<Snap>) -> Result<(), Error> {
    match dispatcher::get_default(current_place) {
        Some(place) => place.run.flow.taint(secret),
        None => Ok(()),
    }
}
