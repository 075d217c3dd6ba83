//! Outputs: the sinks of one layer, behind its levels, and how an event reaches them.

use std::cell::Cell;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use crate::event::{EventType, Level};
use crate::facts::{Facts, Metrics, Payload};
use crate::levels::{self, Levels};
use crate::run::Run;
use crate::sink::{Ring, Sink};

/// The sinks of one layer, and the levels that decide what they get.
pub(crate) struct Output {
    pub levels: Arc<Levels>,
    pub sinks: Vec<Arc<dyn Sink>>,
    is_live: AtomicBool,
}

/// The outputs of the layers that are in use. Their levels decide whether a call site does anything at all.
static LIVE: RwLock<Vec<Weak<Output>>> = RwLock::new(Vec::new());

thread_local! {
    /// Whether this thread is inside a sink. What a sink logs goes nowhere: it would come back to the sink.
    static IN_SINK: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether this thread is inside a sink, or so near its end that nothing can be logged.
pub(crate) fn is_in_sink() -> bool {
    IN_SINK.try_with(Cell::get).unwrap_or(true)
}

impl Output {
    pub fn new(levels: Arc<Levels>) -> Output {
        Output {
            levels,
            sinks: Vec::new(),
            is_live: AtomicBool::new(false),
        }
    }

    /// Adds the output to those that call sites ask, once.
    pub fn go_live(self: &Arc<Output>) {
        if !self.is_live.swap(true, Ordering::AcqRel) {
            let mut live = LIVE.write().unwrap_or_else(PoisonError::into_inner);
            live.retain(|output| output.strong_count() > 0);
            live.push(Arc::downgrade(self));
            drop(live);
            levels::changed();
        }
    }

    /// Gives an event to the sinks. What fails in one is counted, and reported to the others.
    pub fn take(&self, run: &Run, facts: &Arc<Facts>) {
        for sink in &self.sinks {
            self.call(run, sink, || sink.take(facts));
        }
    }

    /// Tells the sinks that a flow has ended.
    pub fn flow_ended(&self, run: &Run) {
        for sink in &self.sinks {
            self.call(run, sink, || sink.flow_ended(&run.flow));
        }
    }

    fn call(&self, run: &Run, sink: &Arc<dyn Sink>, work: impl FnOnce() -> io::Result<()>) {
        let Some(result) = guarded(work) else {
            return;
        };
        let failure = match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panicked: {panic}"),
        };
        run.flow.count_fault();
        let what = format!("{} failed", sink.name());
        if run.is_first(&what) {
            let facts = Arc::new(fault(run, &format!("{what}: {failure}")));
            for other in self.sinks.iter().filter(|other| !Arc::ptr_eq(other, sink)) {
                if !matches!(guarded(|| other.take(&facts)), Some(Ok(Ok(())))) {
                    run.flow.count_fault();
                }
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        levels::changed();
    }
}

/// Tells whether an output in use lets events of a node pass at a level.
pub(crate) fn any_passes(node: &str, level: Level) -> bool {
    let live = LIVE.read().unwrap_or_else(PoisonError::into_inner);
    let mut outputs = live.iter().filter_map(Weak::upgrade);
    outputs.any(|output| output.levels.on(node, level))
}

/// Returns the rings of the outputs in use.
pub(crate) fn live_rings() -> Vec<Ring> {
    let live = LIVE.read().unwrap_or_else(PoisonError::into_inner);
    let outputs: Vec<Arc<Output>> = live.iter().filter_map(Weak::upgrade).collect();
    drop(live);
    rings_of(&outputs)
}

/// Returns the rings among the sinks of outputs.
pub(crate) fn rings_of(outputs: &[Arc<Output>]) -> Vec<Ring> {
    let sinks = outputs.iter().flat_map(|output| &output.sinks);
    sinks.filter_map(|sink| sink.ring()).collect()
}

/// Runs what a sink does, and returns its result, or the text of its panic; `None` if this thread is inside a sink already.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<Result<T, String>> {
    if IN_SINK
        .try_with(|inside| inside.replace(true))
        .unwrap_or(true)
    {
        return None;
    }
    let result = catch_unwind(AssertUnwindSafe(work));
    let _ = IN_SINK.try_with(|inside| inside.set(false));
    Some(result.map_err(|panic| panic_text(&*panic)))
}

/// Returns the text of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Returns the facts of a failure of logging itself, as an event of the flow's root.
fn fault(run: &Run, message: &str) -> Facts {
    Facts {
        flow: Arc::clone(&run.flow),
        number: run.root,
        parent: run.parent,
        node: "obs".into(),
        step: None,
        level: Level::Error,
        event_type: EventType::Log,
        wall: run.wall_of(run.elapsed()),
        message: Some(run.flow.policy.snapshot(&message.into(), &run.flow.taints)),
        payload: Payload::None,
        metrics: Metrics::None,
    }
}
