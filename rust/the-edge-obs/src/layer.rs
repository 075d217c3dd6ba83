//! `FlowLayer`: what a `tracing` program adds to its registry, so that observed nodes are logged.

use std::cell::RefCell;
use std::sync::Arc;

use tracing::callsite::Identifier;
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry, SpanRef};

use crate::event::{EventType, Level};
use crate::facts::{Metrics, Payload};
use crate::foreign::{level_of, Fields};
use crate::ids::new_number;
use crate::levels::Levels;
use crate::names::fit_name;
use crate::output::{is_in_sink, Output};
use crate::run::{Place, MAX_OUTPUTS};
use crate::sink::Sink;
use crate::value::Snap;

/// A `tracing` layer that gives the events of flows to sinks.
///
/// It can stand beside any other layers on a [`Registry`], also wrapped in a filter or in `reload`. Ordinary `tracing` events inside
/// a flow become events of type `log`. Payloads never become fields of spans, so other layers do not see them; those see the
/// ids of the flow and the span, and the step.
///
/// Of several layers each has its own sinks and levels. A node opens a span if one of them lets it pass.
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

impl Default for FlowLayer {
    fn default() -> FlowLayer {
        FlowLayer::new()
    }
}

impl FlowLayer {
    /// Returns a layer without sinks, whose level is info.
    #[must_use]
    pub fn new() -> FlowLayer {
        FlowLayer::with_levels(Arc::new(Levels::new(Level::Info)))
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
        let mut output = Output::new(Arc::clone(&self.output.levels));
        output.sinks.clone_from(&self.output.sinks);
        output.sinks.push(Arc::new(sink));
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

    /// Takes a span of this crate: notes its place, and that this layer's output gets its events.
    fn join(&self, place: &Arc<Place>, found: &mut Vec<Arc<Output>>, is_root: bool) {
        let bit = if !is_root {
            place.run.bit_of(&self.output)
        } else if found.len() < MAX_OUTPUTS {
            found.push(Arc::clone(&self.output));
            Some(1 << (found.len() - 1))
        } else {
            None
        };
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
            let parent = span.parent().and_then(|parent| nearest(parent))?;
            let node = fit_name(metadata.name()).into();
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
        span.extensions_mut().replace(tag);
        let bit = place.run.bit_of(&self.output).unwrap_or(0);
        if bit == 0 || !self.output.levels.on(&place.node, place.level) {
            return;
        }
        place.add_to_mask(bit);
        let mut facts = place.facts(EventType::Entry, place.level, place.at);
        let fields = Fields::read(|fields| attributes.record(fields));
        if !fields.data.is_empty() {
            facts.payload = Payload::Under("input", place.snapshot(Snap::map(fields.data)));
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
        let Some(span) = context.span(id) else {
            return;
        };
        let callsite = attributes.metadata().callsite();
        let place = with_slot(|slot| {
            let slot = slot.as_mut().filter(|slot| slot.callsite == callsite)?;
            self.join(&slot.place, &mut slot.found, slot.is_root);
            Some(Arc::clone(&slot.place))
        });
        let place = place.flatten();
        match place {
            Some(place) => drop(span.extensions_mut().replace(Tag {
                place,
                is_foreign: false,
            })),
            None if self.takes_spans && !is_in_sink() => self.open_foreign(attributes, &span),
            None => {}
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if is_in_sink() {
            return;
        }
        let Some(place) = context.event_span(event).and_then(nearest) else {
            return;
        };
        let (metadata, level) = (event.metadata(), level_of(event.metadata().level()));
        let bit = place.run.bit_of(&self.output).unwrap_or(0);
        if bit == 0 || !self.output.levels.on(metadata.target(), level) {
            return;
        }
        let fields = Fields::read(|fields| event.record(fields));
        let mut facts = place.facts(EventType::Log, level, place.run.elapsed());
        facts.node = fit_name(metadata.target()).into();
        facts.step = None;
        facts.message = fields.message.map(|text| place.snapshot(text.into()));
        if let Snap::Map(pairs) = place.snapshot(Snap::map(fields.data)) {
            facts.payload = Payload::Data(pairs);
        }
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
        let elapsed = place.run.elapsed();
        let mut facts = place.facts(EventType::Exit, place.level, elapsed);
        facts.metrics = Metrics::Duration(elapsed - place.at);
        place.run.emit(bit, facts);
        place.end();
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
    is_root: bool,
    found: Vec<Arc<Output>>,
}

thread_local! {
    static SLOT: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

/// Runs what makes a span of `tracing`, and returns its result and the outputs that a root found.
pub(crate) fn offer<T>(
    callsite: Identifier,
    place: &Arc<Place>,
    is_root: bool,
    make: impl FnOnce() -> T,
) -> (T, Vec<Arc<Output>>) {
    let slot = Slot {
        callsite,
        place: Arc::clone(place),
        is_root,
        found: Vec::new(),
    };
    with_slot(|own| *own = Some(slot));
    // Taken out again also where no layer is, so that no later span is taken for this one.
    let made = make();
    let slot = with_slot(Option::take).flatten();
    (made, slot.map_or_else(Vec::new, |slot| slot.found))
}

/// Calls a function with the slot; returns `None` if the thread is so near its end that it has none any more.
fn with_slot<T>(work: impl FnOnce(&mut Option<Slot>) -> T) -> Option<T> {
    SLOT.try_with(|slot| work(&mut slot.borrow_mut())).ok()
}

/// Returns the nearest place that is open, from a span upwards.
fn nearest<S>(span: SpanRef<'_, S>) -> Option<Arc<Place>>
where
    S: for<'s> LookupSpan<'s>,
{
    let mut next = Some(span);
    while let Some(span) = next {
        let place = span
            .extensions()
            .get::<Tag>()
            .map(|tag| Arc::clone(&tag.place));
        if let Some(place) = place.filter(|place| !place.is_ended()) {
            return Some(place);
        }
        next = span.parent();
    }
    None
}

/// Returns the place of the current span of a dispatcher, whatever its layers filter.
///
/// The registry is looked up, never a `FlowLayer`: one inside `reload` cannot be found.
pub(crate) fn current_place(dispatch: &Dispatch) -> Option<Arc<Place>> {
    let registry = dispatch.downcast_ref::<Registry>()?;
    let current = dispatch.current_span();
    registry.span(current.id()?).and_then(nearest)
}
