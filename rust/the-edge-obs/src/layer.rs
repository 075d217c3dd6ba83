//! `FlowLayer`: what a `tracing` program adds to its registry, so that observed nodes are logged.

use std::cell::RefCell;
use std::sync::Arc;

use tracing::callsite::Identifier;
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Event, Metadata, Span, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry, SpanRef};

use crate::event::{EventType, Level};
use crate::facts::{Metrics, Payload};
use crate::foreign::{level_of, Fields};
use crate::ids::new_number;
use crate::levels::Levels;
use crate::names::fit_node;
use crate::outcome::{error_data, PANICKED};
use crate::output::{is_in_sink, Output};
use crate::redaction::Policy;
use crate::run::Place;
use crate::sink::Sink;
use crate::value::Snap;

/// A `tracing` layer that gives the events of flows to sinks.
///
/// It can stand beside any other layers on a [`Registry`], also wrapped in a filter or in `reload`. Ordinary `tracing` events inside
/// a flow become events of type `log`. Payloads never become fields of spans, so other layers do not see them; those see the
/// ids of the flow and the span, and the step.
///
/// Of several layers each has its own sinks and levels. A node opens a span if one of them lets it pass; in the log of a layer that
/// does not, the spans inside it have a parent that is not there. At most 32 layers get the events of a flow. A layer that is swapped
/// in gets those of running flows from there on; one that is gone still gets the ends of its open spans.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use the_edge_obs::{Facts, FlowLayer, Sink};
/// use tracing_subscriber::prelude::*;
///
/// #[derive(Default)]
/// struct Lines(Mutex<Vec<String>>);
///
/// impl Sink for Lines {
///     fn take(&self, facts: &Arc<Facts>) -> std::io::Result<()> {
///         self.0.lock().unwrap().push(facts.event().to_json());
///         Ok(())
///     }
/// }
///
/// let lines = Arc::new(Lines::default());
/// let registry = tracing_subscriber::registry().with(FlowLayer::new().sink(Arc::clone(&lines)));
/// tracing::subscriber::with_default(registry, || {
///     let run = the_edge_obs::flow("triage").start();
///     run.in_scope(|| tracing::info!(items = 3, "sorted"));
///     run.end();
/// });
/// let lines = lines.0.lock().unwrap();
/// assert_eq!(lines.len(), 3);
/// assert!(lines[1].contains(r#""message":"sorted","data":{"items":3}"#));
/// ```
pub struct FlowLayer {
    output: Arc<Output>,
    takes_spans: bool,
}

impl Drop for FlowLayer {
    fn drop(&mut self) {
        self.output.retire();
    }
}

impl Default for FlowLayer {
    fn default() -> FlowLayer {
        FlowLayer::new()
    }
}

impl std::fmt::Debug for FlowLayer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.output.sinks.iter().map(|sink| sink.name()).collect();
        out.debug_struct("FlowLayer")
            .field("sinks", &names)
            .field("takes_spans", &self.takes_spans)
            .finish()
    }
}

impl FlowLayer {
    /// Returns a layer without sinks, whose level is info.
    #[must_use]
    pub fn new() -> FlowLayer {
        FlowLayer::with_levels(Arc::new(Levels::new(Some(Level::Info))))
    }

    /// Returns a layer without sinks, with levels that can be changed while it is in use.
    #[must_use]
    pub fn with_levels(levels: Arc<Levels>) -> FlowLayer {
        FlowLayer {
            output: Arc::new(Output::new(levels)),
            takes_spans: false,
        }
    }

    /// Adds a sink.
    #[must_use]
    pub fn sink(mut self, sink: impl Sink + 'static) -> FlowLayer {
        let mut output = self.output.as_new();
        output.sinks.push(Arc::new(sink));
        self.output = Arc::new(output);
        self
    }

    /// Sets what counts as secret, beside what always does, in the flows that start while the layer is in use.
    ///
    /// An event is redacted once for all sinks. So of several layers, what is a secret for one is a secret for all.
    #[must_use]
    pub fn policy(mut self, policy: Arc<Policy>) -> FlowLayer {
        let mut output = self.output.as_new();
        output.policy = policy;
        self.output = Arc::new(output);
        self
    }

    /// Also logs the spans of other code inside a flow, such as those of `#[tracing::instrument]`: their entries, with their fields
    /// as input, and their exits, when they close.
    #[must_use]
    pub fn with_foreign_spans(mut self) -> FlowLayer {
        self.takes_spans = true;
        self
    }

    /// Adds the layer's output to those that call sites ask.
    pub(crate) fn go_live(&self) {
        self.output.go_live();
    }

    /// Takes a span of this crate, if its level passes.
    fn join(&self, place: &Place) {
        // The run knows the output from now on, whatever its level says about this span.
        let bit = place.run.bit_of(&self.output);
        if self.output.levels.on(&place.node, place.level) {
            place.add_to_mask(bit.unwrap_or(0));
        }
    }

    /// Opens a span of other code below the place that encloses it.
    fn open_foreign<S>(&self, attributes: &Attributes<'_>, span: &SpanRef<'_, S>)
    where
        S: for<'s> LookupSpan<'s>,
    {
        let metadata = attributes.metadata();
        let known = span
            .extensions()
            .get::<Tag>()
            .map(|tag| Arc::clone(&tag.place));
        let place = known.or_else(|| {
            let parent = span.parent().and_then(|parent| nearest(parent).place)?;
            let node = fit_node(metadata.name()).into();
            let level = level_of(metadata.level());
            let run = Arc::clone(&parent.run);
            Some(Arc::new(Place::new(
                run,
                new_number(),
                Some(parent.number),
                node,
                None,
                level,
            )))
        });
        let Some(place) = place else {
            return;
        };
        let tag = Tag {
            place: Arc::clone(&place),
            is_foreign: true,
        };
        let _old = span.extensions_mut().replace(tag);
        let bit = place.run.bit_of(&self.output).unwrap_or(0);
        if bit == 0 || !self.output.levels.on(&place.node, place.level) {
            return;
        }
        place.add_to_mask(bit);
        let mut facts = place.facts(EventType::Entry, place.level, place.at);
        let fields = Fields::read(|fields| attributes.record(fields));
        if !fields.data.is_empty() {
            facts.payload = Payload::Under("input", place.snapshot(&Snap::map(fields.data)));
        }
        place.run.emit(bit, facts);
    }
}

impl<S> Layer<S> for FlowLayer
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_layer(&mut self, _subscriber: &mut S) {
        self.output.go_live();
    }

    fn register_callsite(
        &self,
        _metadata: &'static Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        // A layer that `reload` swaps in gets no `on_layer`, but it is asked about every call site.
        self.output.go_live();
        tracing::subscriber::Interest::always()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let callsite = attributes.metadata().callsite();
        let offered = with_slot(|slot| {
            let slot = slot.as_ref().filter(|slot| slot.callsite == callsite)?;
            Some((!slot.is_muted).then(|| Arc::clone(&slot.place)))
        });
        match offered.flatten() {
            Some(Some(place)) => self.join(&place),
            Some(None) => {}
            None if self.takes_spans && !is_in_sink() => {
                if let Some(span) = context.span(id) {
                    self.open_foreign(attributes, &span);
                }
            }
            None => {}
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if is_in_sink() {
            return;
        }
        let (metadata, level) = (event.metadata(), level_of(event.metadata().level()));
        // An event that came through the crate `log` has its target as a field.
        let is_bridged = metadata.target() == "log";
        // Asked first, as most events of a program are below the level.
        if !is_bridged && !self.output.levels.on(metadata.target(), level) {
            return;
        }
        let Some(place) = context
            .event_span(event)
            .and_then(|span| nearest(span).place)
        else {
            return;
        };
        let read = || Fields::read(|fields| event.record(fields));
        let mut fields = is_bridged.then(read);
        let target = fields.as_mut().and_then(|fields| fields.target.take());
        let target = target.as_deref().unwrap_or(metadata.target());
        let bit = place.run.bit_of(&self.output).unwrap_or(0);
        if bit == 0 || is_bridged && !self.output.levels.on(target, level) {
            return;
        }
        let fields = fields.unwrap_or_else(read);
        let mut facts = place.facts(EventType::Log, level, place.run.elapsed());
        facts.node = fit_node(target).into();
        facts.step = None;
        facts.message = fields.message.map(|text| place.snapshot(&text.into()));
        facts.payload = place.data(fields.data);
        place.run.emit(bit, facts);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if !self.takes_spans || is_in_sink() {
            return;
        }
        let span = context.span(&id);
        let place = span.and_then(|span| {
            let extensions = span.extensions();
            let tag = extensions.get::<Tag>().filter(|tag| tag.is_foreign)?;
            Some(Arc::clone(&tag.place))
        });
        let Some(place) = place else {
            return;
        };
        let bit = place.mask() & place.run.bit_of(&self.output).unwrap_or(0);
        let elapsed = place.ended_at(); // the same for all layers
        let mut facts = place.facts(EventType::Exit, place.level, elapsed);
        if place.is_panicking() {
            (facts.event_type, facts.level) = (EventType::Error, Level::Error);
            facts.message = Some(PANICKED.into());
            facts.payload = place.data([("error".into(), error_data("panic", PANICKED, None))]);
        }
        facts.metrics = Metrics::Duration(elapsed - place.at);
        place.run.emit(bit, facts);
    }
}

/// What a span of the registry knows of its place.
struct Tag {
    place: Arc<Place>,
    /// Whether the span is one of other code, which ends when it closes.
    is_foreign: bool,
}

/// A span of this crate on its way through the layers, which take it in `on_new_span`, on the same thread.
struct Slot {
    callsite: Identifier,
    place: Arc<Place>,
    /// Whether no layer is to take it: the span is there, and nothing is logged of it.
    is_muted: bool,
}

thread_local! {
    static SLOT: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

/// Makes a span of a dispatcher, and offers its place to the layers; `None` if the thread is so near its end that it cannot.
///
/// A span that other layers make meanwhile has a slot of its own.
pub(crate) fn offer(
    dispatch: &Dispatch,
    metadata: &'static Metadata<'static>,
    values: &[Option<&dyn tracing::Value>; 3],
    place: &Arc<Place>,
    around: &Around,
    is_muted: bool,
) -> Option<Span> {
    let slot = Slot {
        callsite: metadata.callsite(),
        place: Arc::clone(place),
        is_muted,
    };
    // Taken out again whatever happens, so that no later span is taken for this one.
    let _restored = Restored(with_slot(|own| own.replace(slot))?);
    let span = around.link.span(metadata, values, dispatch);
    // Set here and not by a layer: also a span that no layer's filter wants is a place.
    if let (Some(registry), Some(id)) = (dispatch.downcast_ref::<Registry>(), span.id()) {
        if let Some(span) = registry.span(&id) {
            let tag = Tag {
                place: Arc::clone(place),
                is_foreign: false,
            };
            let _old = span.extensions_mut().replace(tag);
        }
    }
    Some(span)
}

/// What was in the slot before.
struct Restored(Option<Slot>);

impl Drop for Restored {
    fn drop(&mut self) {
        let before = self.0.take();
        drop(with_slot(|own| std::mem::replace(own, before)));
    }
}

/// Calls a function with the slot; returns `None` if the thread is so near its end that it has none any more.
///
/// The function must not run code of others: that may ask for the slot too.
fn with_slot<T>(work: impl FnOnce(&mut Option<Slot>) -> T) -> Option<T> {
    SLOT.try_with(|slot| work(&mut slot.borrow_mut())).ok()
}

/// The place around code that runs, and how a span of `tracing` hangs on it.
#[derive(Default)]
pub(crate) struct Around {
    pub place: Option<Arc<Place>>,
    link: Link,
}

/// The parent that a span gets in the registry.
#[derive(Default)]
enum Link {
    /// The current span.
    #[default]
    Current,
    /// This one, of the place around. Those between are spans that have ended: a chain of callbacks, each from the span of the one
    /// before, must not keep all of them alive.
    Of(Id),
    /// None: all spans around have ended.
    Root,
}

impl Link {
    fn span(
        &self,
        metadata: &'static Metadata<'static>,
        values: &[Option<&dyn tracing::Value>; 3],
        dispatch: &Dispatch,
    ) -> Span {
        let values = metadata.fields().value_set_all(values);
        match self {
            Link::Current => Span::new_with(metadata, &values, dispatch),
            Link::Of(id) => Span::child_of_with(id.clone(), metadata, &values, dispatch),
            Link::Root => Span::new_root_with(metadata, &values, dispatch),
        }
    }
}

/// Returns the nearest place that is open, from a span upwards.
fn nearest<S>(span: SpanRef<'_, S>) -> Around
where
    S: for<'s> LookupSpan<'s>,
{
    let mut has_ended = false;
    let mut next = Some(span);
    while let Some(span) = next {
        let place = span
            .extensions()
            .get::<Tag>()
            .map(|tag| Arc::clone(&tag.place));
        if let Some(place) = place {
            if place.is_open() {
                let link = match has_ended {
                    true => Link::Of(span.id()),
                    false => Link::Current,
                };
                let place = Some(place);
                return Around { place, link };
            }
            has_ended = has_ended || place.is_ended();
        }
        next = span.parent();
    }
    let link = match has_ended {
        true => Link::Root,
        false => Link::Current,
    };
    Around { place: None, link }
}

/// Returns the place of the current span of a dispatcher, whatever its layers filter.
///
/// The registry is looked up, never a `FlowLayer`: one inside `reload` cannot be found.
pub(crate) fn around(dispatch: &Dispatch) -> Around {
    let Some(registry) = dispatch.downcast_ref::<Registry>() else {
        return Around::default();
    };
    let current = dispatch.current_span();
    let span = current.id().and_then(|id| registry.span(id));
    span.map_or_else(Around::default, nearest)
}

/// Returns the place of the current span of a dispatcher.
pub(crate) fn current_place(dispatch: &Dispatch) -> Option<Arc<Place>> {
    around(dispatch).place
}
