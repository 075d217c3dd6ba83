//! Spans: one execution of a node, from its entry to its end.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt::Display;
use std::panic::{resume_unwind, Location, RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;
use tracing::field::display;
use tracing::{dispatcher, Dispatch, Span};

use crate::capture::{describes_failure, to_snap};
use crate::event::{EventType, Level, Status};
use crate::facts::{Metrics, Payload};
use crate::flow::Flow;
use crate::guard::{caught, panic_text};
use crate::here::{here, in_span, Here};
use crate::ids::{new_number, FlowId, SpanId};
use crate::layer::{around, current_place, offer, Around};
use crate::names::fit_name;
use crate::node::{is_compiled, Node};
use crate::outcome::{error_data, metrics_of, named, soft_failure, Figures, PANICKED};
use crate::output::{is_in_sink, policy_in_use};
use crate::run::{Place, Run};
use crate::value::{Key, Snap};

/// Pairs of an event's data.
pub type Pairs = Vec<(Key, Snap)>;

/// A span that is open: its place, and the span of `tracing` that makes it current.
pub(crate) struct Open {
    pub place: Arc<Place>,
    pub span: Span,
    figures: Mutex<Figures>,
    /// Whether it is answered from a recording.
    is_answered: AtomicBool,
}

impl Open {
    /// Opens a span below the current one, or as the root of a flow of its own; `None` if no layer takes it.
    pub fn new(dispatch: &Dispatch, node: &'static Node, step: Option<&str>) -> Option<Open> {
        if !node.is_wanted(dispatch) {
            return None;
        }
        let around = around(dispatch);
        let (run, number, up) = match &around.place {
            Some(parent) => (Arc::clone(&parent.run), new_number(), Some(parent.number)),
            None => {
                let run = Arc::new(Run::new(
                    Flow::with_policy(FlowId::random(), node.name(), policy_in_use()),
                    None,
                ));
                let root = run.root;
                (run, root, None)
            }
        };
        let step = step.map(|step| fit_name(step).into());
        let place = Arc::new(Place::new(
            run,
            number,
            up,
            node.shared_name(),
            step,
            node.level(),
        ));
        let open = Open::offered(dispatch, node, place, &around, false)?;
        (open.place.mask() != 0).then_some(open)
    }

    /// Offers a place to the layers of a dispatcher, unless it is muted. Those that take it are in the place's mask.
    pub fn offered(
        dispatch: &Dispatch,
        node: &'static Node,
        place: Arc<Place>,
        around: &Around,
        is_muted: bool,
    ) -> Option<Open> {
        let (flow, span) = (display(place.run.flow.id), display(place.span_id()));
        let step = place.step.as_deref();
        let values: [Option<&dyn tracing::Value>; 3] = [
            Some(&flow),
            Some(&span),
            step.as_ref().map(|step| step as &dyn tracing::Value),
        ];
        let span = offer(dispatch, node.metadata(), &values, &place, around, is_muted)?;
        let figures = Mutex::default();
        Some(Open {
            place,
            span,
            figures,
            is_answered: AtomicBool::new(false),
        })
    }
}

impl Open {
    #[inline(never)]
    fn log_metric(&self, level: Level, name: &str, value: Snap) {
        let place = &self.place;
        let mut facts = place.facts(EventType::Metric, level, place.run.elapsed());
        let figures = vec![(name.into(), value)];
        facts.metrics = Metrics::Numbers(named(figures, &place.run.flow.policy).into());
        place.run.emit(place.mask(), facts);
    }

    #[inline(never)]
    fn add_figure(&self, name: &str, value: Snap) {
        lock(&self.figures).push((name.into(), value));
    }
}

/// One execution of a node. What [`Call::run`](crate::call::Call::run) gives to its function, and
/// [`Call::start`](crate::call::Call::start) returns.
///
/// If the node is not recorded, its methods do nothing, but for the errors that it ends with: those are logged anyway, unless the
/// level error is filtered.
pub struct OpenSpan {
    pub(crate) open: Option<Open>,
    node: &'static Node,
    /// The step of a span that is not recorded.
    pub(crate) step: Option<Box<str>>,
    site: Option<&'static Location<'static>>,
    kind: OnceLock<Box<str>>,
}

/// What a span ends with.
struct End {
    event_type: EventType,
    level: Level,
    message: Option<String>,
    data: Payload,
    /// The numbers in the output.
    figures: Figures,
}

impl OpenSpan {
    #[inline(always)]
    pub(crate) fn closed(
        node: &'static Node,
        site: Option<&'static Location<'static>>,
    ) -> OpenSpan {
        OpenSpan {
            open: None,
            node,
            step: None,
            site,
            kind: OnceLock::new(),
        }
    }

    /// Tells whether there is nothing to drop; where no level is compiled, the compiler has to see that.
    #[inline(always)]
    pub(crate) fn is_blank(&self) -> bool {
        let is_blank = || self.open.is_none() && self.step.is_none() && self.kind.get().is_none();
        !is_compiled(Level::Error) || is_blank()
    }

    /// Returns what is open; at compile time nothing, where no level is compiled.
    #[inline(always)]
    pub(crate) fn opened(&self) -> Option<&Open> {
        if is_compiled(Level::Error) {
            self.open.as_ref()
        } else {
            None
        }
    }

    /// Tells whether the span is recorded.
    #[inline]
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.opened().is_some()
    }

    /// Returns the id of the span; `None` if it is not recorded.
    #[must_use]
    pub fn id(&self) -> Option<SpanId> {
        Some(self.opened()?.place.span_id())
    }

    /// Runs a function inside the span: nodes that it calls become children. It works on any thread.
    #[inline]
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        match self.opened() {
            Some(open) => in_span(&open.span, work),
            None => work(),
        }
    }

    /// Returns the inside of the span, for a future or another thread; where the code runs, if the span is not recorded.
    #[must_use]
    pub fn here(&self) -> Here {
        match &self.open {
            Some(open) => Here::inside(&open.span),
            None => here(),
        }
    }

    /// Logs a metric of the span: an event of type `metric`.
    #[inline(always)]
    pub fn metric(&self, name: &str, value: impl Into<Snap>) {
        if let Some(open) = self.opened() {
            open.log_metric(self.node.level(), name, value.into());
        }
    }

    /// Adds a number to the metrics of the event that ends the span.
    #[inline(always)]
    pub fn end_metric(&self, name: &str, value: impl Into<Snap>) {
        if let Some(open) = self.opened() {
            open.add_figure(name, value.into());
        }
    }

    /// Says that the span is answered from a recording: `data.answered` of its end is true, and what it reports of tokens and costs
    /// counts in no total.
    pub fn mark_answered(&self) {
        if let Some(open) = self.opened() {
            open.is_answered.store(true, Ordering::Relaxed);
        }
    }

    /// Names the type of the error that the span is going to fail with, in place of the name of its Rust type.
    #[inline(always)]
    pub fn error_kind(&self, kind: &str) {
        if is_compiled(Level::Error) {
            self.name_kind(kind);
        }
    }

    #[inline(never)]
    fn name_kind(&self, kind: &str) {
        let _ = self.kind.set(kind.into()); // the first name stays
    }

    /// Ends the span with a result, and returns the result.
    ///
    /// # Errors
    ///
    /// Returns the error of the result.
    pub fn finish<T: Serialize, E: Display>(self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(value) if size_of::<T>() == 0 => {
                let _ = value;
                self.end(None);
            }
            Ok(value) if self.is_recorded() => self.end(Some(to_snap(value))),
            // The failure that it describes is logged although the node is not.
            Ok(value) if self.node.reports() && describes_failure(value) => {
                self.end(Some(to_snap(value)));
            }
            Ok(_) => self.end(None),
            Err(error) => self.fail_with(error),
        }
        result
    }

    /// Logs the failure of a node that is not recorded.
    #[cold]
    #[inline(never)]
    pub(crate) fn finish_unrecorded<T: Serialize, E: Display>(
        mut self,
        step: Option<&str>,
        result: Result<T, E>,
    ) -> Result<T, E> {
        self.step = step.map(Into::into);
        self.finish(result)
    }

    /// Ends the span with a result, or with the panic that came in its place, which goes on.
    pub(crate) fn finish_caught<T: Serialize, E: Display>(
        self,
        result: std::thread::Result<Result<T, E>>,
    ) -> Result<T, E> {
        match result {
            Ok(result) => self.finish(result),
            Err(panic) => {
                self.fail("panic", &panic_text(&*panic));
                resume_unwind(panic)
            }
        }
    }

    /// Ends the span with an output, or with none. An output that describes a failure, `{"success": false, "error": ...}`, makes
    /// the end an error.
    pub fn end(mut self, output: Option<Snap>) {
        let figures = output.as_ref().map(metrics_of).unwrap_or_default();
        let Some(failure) = output.as_ref().and_then(soft_failure) else {
            return self.close(|place| End {
                event_type: EventType::Exit,
                level: Level::Info,
                message: None,
                data: output.map_or(Payload::None, |output| {
                    Payload::Under("output", place.keep(output))
                }),
                figures,
            });
        };
        let error = error_data(&failure.kind, &failure.message, None);
        let output = output.unwrap_or(Snap::Null);
        let data: Pairs = vec![("error".into(), error), ("output".into(), output)];
        self.close_with_error(&failure.message, data, Level::Error, figures);
    }

    /// Ends the span with an error.
    pub fn fail(mut self, kind: &str, message: &str) {
        let error = error_data(kind, message, self.site);
        self.close_with_error(
            message,
            vec![("error".into(), error)],
            Level::Error,
            Vec::new(),
        );
    }

    /// Ends the span with an error as `data.error` of an event describes it: an object with `type`, `message`, and what else is known.
    pub fn fail_described(mut self, error: Snap) {
        let message = error.get("message").and_then(Snap::as_str);
        let message = message.unwrap_or_default().to_owned();
        let data = vec![("error".into(), error)];
        self.close_with_error(&message, data, Level::Error, Vec::new());
    }

    /// Ends the span as cancelled.
    pub fn cancel(mut self, kind: &str, message: &str) {
        self.close_as_cancelled(kind, message);
    }

    fn close_as_cancelled(&mut self, kind: &str, message: &str) {
        let error = error_data(kind, message, self.site);
        let data = vec![
            ("error".into(), error),
            ("cancelled".into(), Snap::Bool(true)),
        ];
        self.close_with_error(message, data, Level::Warn, Vec::new());
    }

    fn fail_with<E: Display>(self, error: &E) {
        let message = caught(|| error.to_string());
        let message = message.unwrap_or_else(|panic| format!("<no text: {panic}>"));
        let kind = self.kind.get().map_or_else(
            || Cow::from(short_type_name::<E>()),
            |kind| kind.to_string().into(),
        );
        self.fail(&kind, &message);
    }

    fn close_with_error(&mut self, message: &str, data: Pairs, level: Level, figures: Figures) {
        if self.open.is_some() {
            let message = Some(message.to_owned());
            self.close(|place| End {
                event_type: EventType::Error,
                level,
                message,
                data: place.data(data),
                figures,
            });
        } else if level == Level::Error {
            self.report(message, data);
        }
    }

    /// Logs the end of a recorded span, once.
    fn close(&mut self, end: impl FnOnce(&Place) -> End) {
        let Some(open) = self.open.take() else {
            return;
        };
        let place = &open.place;
        let Some(elapsed) = place.end() else {
            return;
        };
        let mut end = end(place);
        if open.is_answered.load(Ordering::Relaxed) {
            end.data = end.data.with("answered", Snap::Bool(true));
        }
        let level = if end.event_type == EventType::Error {
            end.level
        } else {
            self.node.level()
        };
        let mut facts = place.facts(end.event_type, level, elapsed);
        facts.message = end.message.map(|text| place.snapshot(&text.into()));
        facts.payload = end.data;
        facts.metrics = figures(
            place,
            elapsed - place.at,
            std::mem::take(&mut lock(&open.figures)),
            end.figures,
        );
        let status = status_of(&end.event_type, level);
        place.run.emit(place.mask(), facts);
        if place.number == place.run.root {
            end_run(&place.run, status);
        }
    }

    /// Logs the error of a node that is not recorded: an event with an id of its own, below the enclosing span.
    #[cold]
    fn report(&mut self, message: &str, data: Pairs) {
        if is_in_sink() {
            return;
        }
        let Some(parent) = dispatcher::get_default(current_place) else {
            return;
        };
        let run = Arc::clone(&parent.run);
        let mask = run.mask(self.node.name(), Level::Error);
        let step = self.step.take().map(|step| Arc::from(&*fit_name(&step)));
        let place = Place::new(
            run,
            new_number(),
            Some(parent.number),
            self.node.shared_name(),
            step,
            Level::Error,
        );
        let mut facts = place.facts(EventType::Error, Level::Error, place.at);
        facts.message = Some(place.snapshot(&message.into()));
        facts.payload = place.data(data);
        place.run.emit(mask, facts);
    }

    #[cold]
    fn drop_open(&mut self) {
        let is_panicking = |open: &Open| open.place.is_panicking();
        if self.open.as_ref().is_some_and(is_panicking) {
            let error = error_data("panic", PANICKED, self.site);
            self.close_with_error(
                PANICKED,
                vec![("error".into(), error)],
                Level::Error,
                Vec::new(),
            );
        } else {
            self.close_as_cancelled("Dropped", "the span was dropped before its end");
        }
    }
}

// As for `ObservabilityContext`.
impl UnwindSafe for OpenSpan {}
impl RefUnwindSafe for OpenSpan {}

impl Drop for OpenSpan {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_recorded() {
            self.drop_open();
        }
    }
}

/// Ends a run: says how, and tells the sinks.
pub(crate) fn end_run(run: &Run, status: Status) {
    run.flow.set_status(status);
    if !is_in_sink() {
        for (_, output) in run.outputs() {
            output.flow_ended(run);
        }
    }
}

fn status_of(event_type: &EventType, level: Level) -> Status {
    match (event_type, level) {
        (EventType::Error, Level::Error) => Status::Error,
        (EventType::Error, _) => Status::Cancelled,
        _ => Status::Ok,
    }
}

/// Returns the metrics of an end: its duration, those of its output, and those that were added.
fn figures(place: &Place, duration: u64, added: Figures, of_output: Figures) -> Metrics {
    let mut figures = added;
    for (name, value) in of_output {
        figures.retain(|(known, _)| *known != name);
        figures.push((name, value));
    }
    if figures.is_empty() {
        return Metrics::Duration(duration);
    }
    let duration = ("duration_ms".into(), Snap::Float(duration as f64 / 1e6));
    let named = named(figures, &place.run.flow.policy);
    Metrics::Numbers(std::iter::once(duration).chain(named).collect())
}

/// Returns the last part of a type's name, without its parameters: `TimeoutError` of `my::errors::TimeoutError<u8>`.
fn short_type_name<T>() -> &'static str {
    let name = type_name::<T>().trim_start_matches(['&', ' ']);
    let name = name.strip_prefix("alloc::boxed::Box<dyn ").unwrap_or(name);
    let base = name.split(['<', ' ', '>']).next().unwrap_or(name);
    base.rsplit("::").next().unwrap_or(base)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_an_error_is_the_last_part_of_its_name() {
        assert_eq!(
            short_type_name::<std::num::ParseIntError>(),
            "ParseIntError"
        );
        assert_eq!(
            short_type_name::<Result<Vec<u8>, std::io::Error>>(),
            "Result"
        );
        assert_eq!(short_type_name::<&str>(), "str");
        assert_eq!(
            short_type_name::<Box<dyn std::error::Error + Send>>(),
            "Error"
        );
    }
}
