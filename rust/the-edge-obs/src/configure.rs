//! Put a configuration to work: for the whole process, or as a layer beside others.
//!
//! `tracing` accepts one global default for the whole life of a process. The first [`configure`] sets it: a registry with one layer that
//! holds the layers of all configurations in use. Each further call adds one, and each [`Undo`] takes its own away, in any order.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{callsite, Event, Metadata};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use crate::config::{Config, Handler, HandlerKind};
use crate::error::Error;
use crate::facts::Facts;
use crate::flow::Flow;
use crate::layer::FlowLayer;
use crate::levels::Threshold;
use crate::sink::console::Console;
use crate::sink::file::FlowFile;
use crate::sink::ring::{Limits, Ring};
use crate::sink::Sink;

impl Config {
    /// Returns the layer that this configuration describes, to be added to a registry beside other layers, and its ring, which keeps the
    /// last events of each flow.
    ///
    /// `enabled`, `capture` and `propagate` say nothing about a layer: leave it out, or put a filter before it.
    ///
    /// # Errors
    ///
    /// [`Error::Path`] or [`Error::Configuration`]: a file of a handler, or a level, cannot be used.
    ///
    /// ```
    /// use the_edge_obs::config::Config;
    /// use tracing_subscriber::prelude::*;
    ///
    /// let (layer, ring) = Config::default().layer()?;
    /// let registry = tracing_subscriber::registry().with(layer);
    /// let id = tracing::subscriber::with_default(registry, || the_edge_obs::flow("triage").start().flow_id());
    /// assert_eq!(ring.events(&id).len(), 2);
    /// # Ok::<(), the_edge_obs::Error>(())
    /// ```
    pub fn layer(&self) -> Result<(FlowLayer, Ring), Error> {
        let ring = Limits::new().capacity(self.buffer_size).ring();
        let levels = Arc::new(self.to_levels()?);
        let mut layer = FlowLayer::with_levels(levels)
            .policy(Arc::clone(&self.redact))
            .sink(ring.clone());
        for handler in &self.handlers {
            layer = layer.sink(Behind::new(handler)?);
        }
        Ok((layer, ring))
    }
}

/// Puts a configuration to work for the whole process, and returns its undo.
///
/// Several configurations can be in use: each has its own levels and sinks. One that is not enabled does nothing.
///
/// # Errors
///
/// [`Error::Configuration`]: another global default of `tracing` is set, so that this one cannot be; add [`Config::layer`] to that one.
/// Otherwise as [`Config::layer`].
///
/// ```
/// use the_edge_obs::config::Config;
/// use the_edge_obs::configure::configure;
///
/// let undo = configure(&Config::default())?;
/// let id = the_edge_obs::flow("triage").start().flow_id();
/// assert_eq!(undo.ring().unwrap().events(&id).len(), 2);
/// undo.undo();
/// # Ok::<(), the_edge_obs::Error>(())
/// ```
pub fn configure(config: &Config) -> Result<Undo, Error> {
    if !config.enabled {
        return Ok(Undo { used: None });
    }
    let (layer, ring) = config.layer()?;
    let shared = shared()?;
    let layer = Arc::new(layer);
    shared
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Arc::clone(&layer));
    layer.go_live();
    callsite::rebuild_interest_cache();
    Ok(Undo {
        used: Some((layer, ring)),
    })
}

/// Takes a configuration out of use: [`configure`] returns it. Dropping it changes nothing.
#[must_use = "a configuration stays in use until it is undone"]
#[derive(Debug)]
pub struct Undo {
    used: Option<(Arc<FlowLayer>, Ring)>,
}

impl Undo {
    /// Returns the ring of the configuration; `None` if it is not enabled.
    #[must_use]
    pub fn ring(&self) -> Option<&Ring> {
        self.used.as_ref().map(|(_, ring)| ring)
    }

    /// Takes the configuration out of use: flows that start later do not reach its sinks. One that runs keeps them until it ends.
    pub fn undo(self) {
        let (Some((layer, _)), Some(shared)) = (self.used, SHARED.get()) else {
            return;
        };
        shared
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|other| !Arc::ptr_eq(other, &layer));
        drop(layer);
        callsite::rebuild_interest_cache();
    }
}

/// The layers of the configurations in use.
type Layers = Arc<RwLock<Vec<Arc<FlowLayer>>>>;

static SHARED: OnceLock<Layers> = OnceLock::new();
/// Whether the global default could be set.
static IS_GLOBAL: AtomicBool = AtomicBool::new(false);

/// Returns the layers of the global default, which is set by the first call.
fn shared() -> Result<&'static Layers, Error> {
    let shared = SHARED.get_or_init(|| {
        let layers = Layers::default();
        let subscriber = tracing_subscriber::registry().with(Shared(Arc::clone(&layers)));
        let is_set = tracing::subscriber::set_global_default(subscriber).is_ok();
        IS_GLOBAL.store(is_set, Ordering::Release);
        layers
    });
    if IS_GLOBAL.load(Ordering::Acquire) {
        return Ok(shared);
    }
    Err(Error::Configuration {
        place: "configure".to_owned(),
        problem: "a global default of tracing is set already, and there can only be one; add the layer of Config::layer to its registry"
            .to_owned(),
    })
}

/// The one layer of the global default: it passes everything on to the layers of the configurations.
struct Shared(Layers);

impl Shared {
    fn each(&self, work: impl Fn(&FlowLayer)) {
        // A copy, because a sink may be slow, and may configure something itself.
        let layers = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        layers.iter().for_each(|layer| work(layer));
    }
}

impl Layer<Registry> for Shared {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        let layers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if layers.is_empty() {
            return Interest::never();
        }
        Interest::always()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, Registry>) {
        self.each(|layer| layer.on_new_span(attributes, id, context.clone()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, Registry>) {
        self.each(|layer| layer.on_event(event, context.clone()));
    }

    fn on_close(&self, id: Id, context: Context<'_, Registry>) {
        self.each(|layer| layer.on_close(id.clone(), context.clone()));
    }
}

/// A sink of a handler, behind the handler's level.
struct Behind {
    level: Threshold,
    sink: Box<dyn Sink>,
}

impl Behind {
    fn new(handler: &Handler) -> Result<Behind, Error> {
        let sink: Box<dyn Sink> = match &handler.kind {
            HandlerKind::Console { verbose } => Box::new(Console::stderr().verbose(*verbose)),
            HandlerKind::File { path, mode } => Box::new(FlowFile::new(&**path)?.mode(*mode)?),
        };
        Ok(Behind {
            level: handler.level,
            sink,
        })
    }
}

impl Sink for Behind {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        match self.level {
            Some(level) if facts.level >= level => self.sink.take(facts),
            _ => Ok(()),
        }
    }

    fn flow_ended(&self, flow: &Arc<Flow>) -> io::Result<()> {
        self.sink.flow_ended(flow)
    }

    fn name(&self) -> &str {
        self.sink.name()
    }
}
