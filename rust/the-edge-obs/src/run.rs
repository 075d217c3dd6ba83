//! Runs and places: what is shared by the spans of a run, and one span that is open in it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::event::EventType;
use crate::event::Level;
use crate::facts::{Facts, Metrics, Payload};
use crate::flow::Flow;
use crate::ids::new_number;
use crate::output::{is_in_sink, Output};
use crate::value::Snap;

/// One run, with the outputs of the layers that saw its root.
pub(crate) struct Run {
    pub flow: Arc<Flow>,
    /// The number of the root span.
    pub root: u64,
    /// The number of the span of another process that the run continues.
    pub parent: Option<u64>,
    /// At most 32: a span's mask has a bit for each.
    outputs: OnceLock<Box<[Arc<Output>]>>,
    /// Wall clock at the start, nanoseconds since the Unix epoch. All times of the run count from here by the monotonic clock, so
    /// that a clock that is set meanwhile cannot reorder them.
    wall: u64,
    started: Instant,
    reported: Mutex<Vec<String>>,
}

/// The bits of the outputs that get the events of a span.
pub(crate) const MAX_OUTPUTS: usize = 32;

impl Run {
    pub fn new(flow: Flow, parent: Option<u64>) -> Run {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Run {
            flow: Arc::new(flow),
            root: new_number(),
            parent,
            outputs: OnceLock::new(),
            wall: wall.map_or(0, |wall| wall.as_nanos() as u64),
            started: Instant::now(),
            reported: Mutex::default(),
        }
    }

    /// Returns nanoseconds since the start.
    pub fn elapsed(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Returns the wall clock at a moment of the run, in nanoseconds since the Unix epoch.
    pub fn wall_of(&self, elapsed: u64) -> u64 {
        self.wall + elapsed
    }

    pub fn outputs(&self) -> &[Arc<Output>] {
        self.outputs.get().map_or(&[], |outputs| outputs)
    }

    pub fn set_outputs(&self, outputs: Vec<Arc<Output>>) {
        let _ = self.outputs.set(outputs.into()); // set once, when the root opens
    }

    /// Returns the bit of an output; `None` if it did not see the root.
    pub fn bit_of(&self, output: &Arc<Output>) -> Option<u32> {
        let at = self
            .outputs()
            .iter()
            .position(|own| Arc::ptr_eq(own, output))?;
        Some(1 << at)
    }

    /// Returns the bits of the outputs that let events of a node pass at a level.
    pub fn mask(&self, node: &str, level: Level) -> u32 {
        let passing =
            |(at, output): (usize, &Arc<Output>)| u32::from(output.levels.on(node, level)) << at;
        self.outputs()
            .iter()
            .enumerate()
            .map(passing)
            .fold(0, |mask, bit| mask | bit)
    }

    /// Gives an event to the outputs of a mask.
    pub fn emit(&self, mask: u32, facts: Facts) {
        if mask == 0 || is_in_sink() {
            return;
        }
        let facts = Arc::new(facts);
        for (at, output) in self.outputs().iter().enumerate() {
            if mask & (1 << at) != 0 {
                output.take(self, &facts);
            }
        }
    }

    /// Tells whether a kind of failure shows in the log for the first time.
    pub fn is_first(&self, what: &str) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !reported.iter().any(|known| known == what);
        if is_first {
            reported.push(what.to_owned());
        }
        is_first
    }
}

/// One span: where an event belongs.
pub(crate) struct Place {
    pub run: Arc<Run>,
    pub number: u64,
    pub parent: Option<u64>,
    pub node: Arc<str>,
    pub step: Option<Arc<str>>,
    pub level: Level,
    /// Nanoseconds since the start of the run.
    pub at: u64,
    mask: AtomicU32,
    is_ended: AtomicBool,
}

impl Place {
    /// Returns a span that begins now; no output gets its events yet.
    pub fn new(
        run: Arc<Run>,
        number: u64,
        parent: Option<u64>,
        node: Arc<str>,
        step: Option<Arc<str>>,
        level: Level,
    ) -> Place {
        Place {
            at: run.elapsed(),
            run,
            number,
            parent,
            node,
            step,
            level,
            mask: AtomicU32::new(0),
            is_ended: AtomicBool::new(false),
        }
    }

    pub fn mask(&self) -> u32 {
        self.mask.load(Ordering::Relaxed)
    }

    pub fn add_to_mask(&self, bits: u32) {
        self.mask.fetch_or(bits, Ordering::Relaxed);
    }

    pub fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Acquire)
    }

    /// Ends the span; returns false if it had ended already.
    pub fn end(&self) -> bool {
        !self.is_ended.swap(true, Ordering::AcqRel)
    }

    /// Returns the facts of an event of this span.
    pub fn facts(&self, event_type: EventType, level: Level, elapsed: u64) -> Facts {
        Facts {
            flow: Arc::clone(&self.run.flow),
            number: self.number,
            parent: self.parent,
            node: Arc::clone(&self.node),
            step: self.step.clone(),
            level,
            event_type,
            wall: self.run.wall_of(elapsed),
            message: None,
            payload: Payload::None,
            metrics: Metrics::None,
        }
    }

    /// Returns what is kept of a value in this span's flow.
    pub fn snapshot(&self, value: Snap) -> Snap {
        let flow = &self.run.flow;
        flow.policy.snapshot_owned(value, &flow.taints)
    }
}
