//! Reading a run back from memory, and the names that users of The Edge Agent's Rust engine know.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::context::ObservabilityContext;
use crate::error::Error;
use crate::event::{EventType, Level};
use crate::flow_log::{build_known_flow_log, FlowLog, Outcome};
use crate::ids::FlowId;
use crate::node::Node;
use crate::output::{live_rings, rings_of};
use crate::query::Filters;
use crate::run::Run;
use crate::store::Store;
use crate::value::Snap;

/// Returns the rings of all layers in use, to read flows from.
///
/// Add paths to it to read files too.
pub fn store() -> Store {
    live_rings().into_iter().fold(Store::new(), Store::ring)
}

/// Returns everything that the rings in use know about a flow.
///
/// # Errors
///
/// [`Error::FlowNotFound`]: no ring keeps it.
///
/// ```
/// use the_edge_obs::sink::Ring;
/// use the_edge_obs::FlowLayer;
/// use tracing_subscriber::prelude::*;
///
/// let registry = tracing_subscriber::registry().with(FlowLayer::new().sink(Ring::new()));
/// tracing::subscriber::with_default(registry, || {
///     let run = the_edge_obs::flow("triage").start();
///     run.end();
///     let log = the_edge_obs::get_flow_log(run.flow_id()).unwrap();
///     assert_eq!((log.name.as_deref(), log.status.name()), (Some("triage"), "ok"));
/// });
/// ```
pub fn get_flow_log(flow: FlowId) -> Result<FlowLog, Error> {
    store().flow_log(&flow.to_string())
}

/// Returns the events of a flow that pass the filters, from the rings in use.
///
/// # Errors
///
/// [`Error::FlowNotFound`]: no ring keeps it.
pub fn query(flow: FlowId, filters: &Filters) -> Result<Vec<Snap>, Error> {
    store().query(Some(&flow.to_string()), filters)
}

/// Returns a function that calls another one as a node: for registries of actions, such as that of The Edge Agent's Rust engine,
/// whose entries can be wrapped in place.
///
/// The first argument is the state, which is not captured; the second are the parameters, which are the input.
///
/// ```
/// use std::collections::HashMap;
///
/// let upper = |_state: &String, params: &HashMap<String, String>| Ok::<_, String>(params["text"].to_uppercase());
/// let observed = the_edge_obs::observed("text.upper", upper);
/// let params = HashMap::from([("text".to_owned(), "hi".to_owned())]);
/// assert_eq!(observed(&"state".to_owned(), &params), Ok("HI".to_owned()));
/// ```
pub fn observed<S, P, T, E, F>(
    name: &str,
    action: F,
) -> impl Fn(&S, &P) -> Result<T, E> + use<S, P, T, E, F>
where
    S: ?Sized,
    P: Serialize + ?Sized,
    T: Serialize,
    E: std::fmt::Display,
    F: Fn(&S, &P) -> Result<T, E>,
{
    let node = Node::intern(name, Level::Info);
    // The place in the code would be this one, which says nothing about the action.
    move |state, params| {
        let call = crate::node!(dyn node, input: params).without_site();
        call.run(|_| action(state, params))
    }
}

impl ObservabilityContext {
    /// Returns a running flow with a name: as [`flow`](crate::flow()) does.
    #[must_use = "a flow that is dropped has ended"]
    pub fn new(name: &str) -> ObservabilityContext {
        crate::flow(name).start()
    }

    /// Returns everything that is known about the flow.
    ///
    /// # Errors
    ///
    /// [`Error::FlowNotFound`]: no ring of its layers keeps it.
    pub fn flow_log(&self) -> Result<FlowLog, Error> {
        let (id, store) = (self.flow_id().to_string(), self.store());
        let found = store.flow(&id)?;
        let known = Outcome {
            name: Some(self.flow().name.to_string()),
            status: self.flow().status(),
        };
        build_known_flow_log(
            &id,
            found.events,
            found.dropped,
            self.flow().faults(),
            &known,
        )
    }

    /// Returns the flow's events that pass the filters.
    ///
    /// # Errors
    ///
    /// [`Error::FlowNotFound`]: no ring of its layers keeps it.
    pub fn query(&self, filters: &Filters) -> Result<Vec<Snap>, Error> {
        self.store()
            .query(Some(&self.flow_id().to_string()), filters)
    }

    fn store(&self) -> Store {
        rings_of(self.run().outputs().map(|(_, output)| output))
            .into_iter()
            .fold(Store::new(), Store::ring)
    }

    fn run(&self) -> &Arc<Run> {
        &self.place.run
    }

    /// Logs an entry event of the running span, for engines that log their nodes by hand. Prefer [`node!`](crate::node!).
    pub fn log_entry<T: Serialize + ?Sized>(&self, node: &str, input: &T) {
        self.log(node)
            .event_type(EventType::Entry)
            .data("input", input)
            .emit();
    }

    /// Logs an exit event of the running span.
    pub fn log_exit<T: Serialize + ?Sized>(&self, node: &str, output: &T, duration_ms: f64) {
        let event = self.log(node).event_type(EventType::Exit);
        event
            .data("output", output)
            .metric("duration_ms", duration_ms)
            .emit();
    }

    /// Logs an error event of the running span.
    pub fn log_error(&self, node: &str, kind: &str, message: &str) {
        let error = crate::outcome::error_data(kind, message, None);
        let event = self
            .log(node)
            .event_type(EventType::Error)
            .level(Level::Error);
        event.message(message).data("error", &error).emit();
    }

    /// Logs a metric event of the running span.
    pub fn log_metric(&self, node: &str, name: &str, value: impl Into<Snap>) {
        self.log(node)
            .event_type(EventType::Metric)
            .metric(name, value)
            .emit();
    }
}

/// Is told about the events of an [`EventStream`].
pub trait EventHandler: Send + Sync {
    /// Called with each event that is pushed.
    fn handle(&self, event: &Snap);
}

impl<F: Fn(&Snap) + Send + Sync> EventHandler for F {
    fn handle(&self, event: &Snap) {
        self(event);
    }
}

/// The last events of anything, in memory: a small store for engines that pass events around. Flows are kept by
/// [`Ring`](crate::sink::Ring).
pub struct EventStream {
    max_size: usize,
    handlers: Vec<Box<dyn EventHandler>>,
    events: Mutex<VecDeque<Snap>>,
}

impl EventStream {
    /// Returns a stream that keeps the last `max_size` events.
    #[must_use]
    pub fn new(max_size: usize) -> EventStream {
        EventStream {
            max_size,
            handlers: Vec::new(),
            events: Mutex::default(),
        }
    }

    /// Adds a handler: a function of the event, or something of your own.
    #[must_use]
    pub fn handler(mut self, handler: impl EventHandler + 'static) -> EventStream {
        self.handlers.push(Box::new(handler));
        self
    }

    /// Adds an event, and tells the handlers.
    ///
    /// # Errors
    ///
    /// [`Error::Event`]: it does not follow the schema; it is not added then.
    pub fn push(&self, event: Snap) -> Result<(), Error> {
        crate::event::validate(&event)?;
        for handler in &self.handlers {
            handler.handle(&event);
        }
        if self.max_size == 0 {
            return Ok(());
        }
        let mut events = self.lock();
        let evicted = (events.len() >= self.max_size).then(|| events.pop_front());
        events.push_back(event);
        drop(events);
        drop(evicted); // outside of the lock
        Ok(())
    }

    /// Returns the events, the oldest first.
    #[must_use]
    pub fn get_all(&self) -> Vec<Snap> {
        self.lock().iter().cloned().collect()
    }

    /// Returns the events for which a function returns true.
    pub fn filter(&self, keep: impl Fn(&Snap) -> bool) -> Vec<Snap> {
        self.lock()
            .iter()
            .filter(|event| keep(event))
            .cloned()
            .collect()
    }

    /// Returns the events that pass the filters.
    #[must_use]
    pub fn query(&self, filters: &Filters) -> Vec<Snap> {
        filters.select(self.get_all()).collect()
    }

    /// Removes all events.
    pub fn clear(&self) {
        let events = std::mem::take(&mut *self.lock());
        drop(events);
    }

    /// Returns how many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Tells whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Snap>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
