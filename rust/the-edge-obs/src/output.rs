//! Outputs: the sinks of one layer, behind its levels, and how an event reaches them.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use crate::event::{EventType, Level};
use crate::facts::{Facts, Metrics, Payload};
use crate::guard::{caught, note};
use crate::levels::{self, Levels};
use crate::redaction::Policy;
use crate::run::Run;
use crate::sink::{Ring, Sink};
use crate::value::Snap;

/// The sinks of one layer, and the levels that decide what they get.
pub(crate) struct Output {
    pub levels: Arc<Levels>,
    pub sinks: Vec<Arc<dyn Sink>>,
    /// What counts as secret in the flows that start while the layer is in use.
    pub policy: Arc<Policy>,
    is_live: AtomicBool,
    is_retired: AtomicBool,
}

/// The node of reports about logging itself.
const OBS: &str = "obs";

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
            policy: Policy::built_in(),
            is_live: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
        }
    }

    /// Returns an output that is not in use yet, with the same levels, sinks and policy.
    pub fn as_new(&self) -> Output {
        Output {
            sinks: self.sinks.clone(),
            policy: Arc::clone(&self.policy),
            ..Output::new(Arc::clone(&self.levels))
        }
    }

    /// Tells whether the layer is in use and lets events of a node pass at a level.
    pub fn lets_pass(&self, node: &str, level: Level) -> bool {
        !self.is_retired.load(Ordering::Relaxed) && self.levels.on(node, level)
    }

    /// Says that the layer is gone. Runs may keep its output: they end there what they have begun there.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
        levels::changed();
    }

    /// Adds the output to those that call sites ask, once.
    pub fn go_live(self: &Arc<Output>) {
        if self.is_live.load(Ordering::Relaxed) {
            return;
        }
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
        let Err(failure) = guarded(work) else {
            return;
        };
        run.flow.count_fault();
        let name = guarded(|| Ok(sink.name().to_owned()));
        let what = format!("{} failed", name.as_deref().unwrap_or("sink"));
        if run.is_first(&what) {
            report(run, sink, &format!("{what}: {failure}"));
        }
    }
}

/// Tells the other sinks of a run that one has failed; stderr, if there is no other.
fn report(run: &Run, failed: &Arc<dyn Sink>, message: &str) {
    let facts = Arc::new(fault(run, message));
    let mut is_told = false;
    for (_, output) in run.outputs() {
        if !output.lets_pass(OBS, Level::Error) {
            continue;
        }
        for sink in output
            .sinks
            .iter()
            .filter(|sink| !Arc::ptr_eq(sink, failed))
        {
            match guarded(|| sink.take(&facts)) {
                Ok(()) => is_told = true,
                Err(_) => run.flow.count_fault(),
            }
        }
    }
    if !is_told {
        let event = facts.event();
        let text = event.get("message").and_then(Snap::as_str);
        note(&format!("flow {}: {}", run.flow.id, text.unwrap_or("")));
    }
}

/// Tells whether an output in use lets events of a node pass at a level.
pub(crate) fn any_passes(node: &str, level: Level) -> bool {
    live().iter().any(|output| output.lets_pass(node, level))
}

/// Returns the policy of flows that start now: what is a secret for one of the layers in use is one for all of them.
pub(crate) fn policy_in_use() -> Arc<Policy> {
    let own = |output: &Arc<Output>| !Arc::ptr_eq(&output.policy, &Policy::built_in());
    let mut policies: Vec<Arc<Policy>> = live()
        .iter()
        .filter(|output| own(output))
        .map(|output| Arc::clone(&output.policy))
        .collect();
    policies.dedup_by(|one, two| Arc::ptr_eq(one, two));
    let combined = policies
        .into_iter()
        .reduce(|one, two| Arc::new(one.with(&two)));
    combined.unwrap_or_else(Policy::built_in)
}

/// Returns the outputs in use, for work outside the lock: the last count of an output may go there, and then its sinks are
/// dropped, which may do anything.
fn live() -> Vec<Arc<Output>> {
    let live = LIVE.read().unwrap_or_else(PoisonError::into_inner);
    live.iter().filter_map(Weak::upgrade).collect()
}

/// Returns the rings of the outputs in use.
pub(crate) fn live_rings() -> Vec<Ring> {
    let live = live();
    rings_of(live.iter())
}

/// Returns the rings among the sinks of outputs.
pub(crate) fn rings_of<'o>(outputs: impl Iterator<Item = &'o Arc<Output>>) -> Vec<Ring> {
    let sinks = outputs.flat_map(|output| &output.sinks);
    sinks.filter_map(|sink| sink.ring()).collect()
}

/// Runs what a sink does, and returns its result, or why it failed. Who calls it has asked [`is_in_sink`].
fn guarded<T>(work: impl FnOnce() -> io::Result<T>) -> Result<T, String> {
    let set = |is_inside| IN_SINK.try_with(|inside| inside.set(is_inside));
    let _ = set(true);
    // The text of an error is made by somebody else's code too.
    let result = caught(|| work().map_err(|error| error.to_string()));
    let _ = set(false);
    result.unwrap_or_else(|panic| Err(format!("panicked: {panic}")))
}

/// Returns the facts of a failure of logging itself, as an event of the flow's root.
fn fault(run: &Run, message: &str) -> Facts {
    Facts {
        flow: Arc::clone(&run.flow),
        number: run.root,
        parent: run.parent,
        node: OBS.into(),
        step: None,
        level: Level::Error,
        event_type: EventType::Log,
        wall: run.wall_of(run.elapsed()),
        message: Some(run.flow.policy.snapshot(&message.into(), &run.flow.taints)),
        payload: Payload::None,
        metrics: Metrics::None,
    }
}
