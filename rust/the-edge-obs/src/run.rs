//! Runs and places: what is shared by the spans of a run, and one span that is open in it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::event::EventType;
use crate::event::Level;
use crate::facts::{Facts, Metrics, Payload};
use crate::flow::Flow;
use crate::guard::note;
use crate::ids::{new_number, SpanId};
use crate::output::{is_in_sink, Output};
use crate::value::{Key, Snap};

/// One run, with the outputs of the layers that have seen something of it.
pub(crate) struct Run {
    pub flow: Arc<Flow>,
    /// The number of the root span.
    pub root: u64,
    /// The number of the span of another process that the run continues.
    pub parent: Option<u64>,
    /// Filled from the front: a span's mask has a bit for each.
    outputs: [OnceLock<Arc<Output>>; MAX_OUTPUTS],
    /// Wall clock at the start, nanoseconds since the Unix epoch. All times of the run count from here by the monotonic clock, so
    /// that a clock that is set meanwhile cannot reorder them.
    wall: u64,
    started: Instant,
    reported: Mutex<Vec<String>>,
}

/// The most layers that get the events of a run: a span's mask has 32 bits.
pub(crate) const MAX_OUTPUTS: usize = 32;

/// The most failures of a run that show in its log; the others are only counted.
const MAX_REPORTED: usize = 32;

impl Run {
    pub fn new(flow: Flow, parent: Option<u64>) -> Run {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Run {
            flow: Arc::new(flow),
            root: new_number(),
            parent,
            outputs: [const { OnceLock::new() }; MAX_OUTPUTS],
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

    /// Returns the outputs, each with its bit.
    pub fn outputs(&self) -> impl Iterator<Item = (u32, &Arc<Output>)> {
        let joined = self.outputs.iter().map_while(OnceLock::get).enumerate();
        joined.map(|(at, output)| (1 << at, output))
    }

    /// Returns the bit of an output, which joins the run if it is new there; `None` if there is no room left.
    ///
    /// So a layer that comes late, through `reload`, gets the run from there on, and one whose filter does not want the root still
    /// gets the nodes that it wants.
    pub fn bit_of(&self, output: &Arc<Output>) -> Option<u32> {
        let own = |place: &OnceLock<Arc<Output>>| {
            Arc::ptr_eq(place.get_or_init(|| Arc::clone(output)), output)
        };
        let Some(at) = self.outputs.iter().position(own) else {
            note_crowd();
            return None;
        };
        Some(1 << at)
    }

    /// Returns the bits of the outputs in use that let events of a node pass at a level.
    pub fn mask(&self, node: &str, level: Level) -> u32 {
        let passing = self
            .outputs()
            .filter(|(_, output)| output.lets_pass(node, level));
        passing.fold(0, |mask, (bit, _)| mask | bit)
    }

    /// Gives an event to the outputs of a mask.
    pub fn emit(&self, mask: u32, facts: Facts) {
        if mask == 0 || is_in_sink() {
            return;
        }
        let facts = Arc::new(facts);
        for (bit, output) in self.outputs() {
            if mask & bit != 0 {
                output.take(self, &facts);
            }
        }
    }

    /// Tells whether a kind of failure shows in the log for the first time.
    pub fn is_first(&self, what: &str) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = reported.len() < MAX_REPORTED && !reported.iter().any(|known| known == what);
        if is_first {
            reported.push(what.to_owned());
        }
        is_first
    }
}

/// Says, once in a process, that a layer has no room in a run.
#[cold]
fn note_crowd() {
    static NOTED: Once = Once::new();
    NOTED.call_once(|| {
        note(&format!(
            "a flow gives its events to at most {MAX_OUTPUTS} layers; further ones get nothing. Give one layer several sinks instead"
        ));
    });
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
    /// Whether the span began while its thread was unwinding already, as one in a destructor.
    is_in_panic: bool,
    mask: AtomicU32,
    /// When it ended, in nanoseconds since the start of the run.
    ended: OnceLock<u64>,
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
            is_in_panic: std::thread::panicking(),
            mask: AtomicU32::new(0),
            ended: OnceLock::new(),
        }
    }

    pub fn mask(&self) -> u32 {
        self.mask.load(Ordering::Relaxed)
    }

    pub fn add_to_mask(&self, bits: u32) {
        self.mask.fetch_or(bits, Ordering::Relaxed);
    }

    /// Tells whether further spans and events belong here: not if it has ended, and not in a span of other code that no layer takes.
    /// A root that is filtered is a place all the same.
    pub fn is_open(&self) -> bool {
        !self.is_ended() && (self.mask() != 0 || self.number == self.run.root)
    }

    pub fn is_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Ends the span, and returns when, counted from the start of the run; `None` if it had ended already.
    pub fn end(&self) -> Option<u64> {
        let now = self.run.elapsed();
        self.ended.set(now).is_ok().then_some(now)
    }

    /// Ends the span, unless it has ended, and returns when it did.
    pub fn ended_at(&self) -> u64 {
        *self.ended.get_or_init(|| self.run.elapsed())
    }

    /// Tells whether the thread unwinds out of the span.
    pub fn is_panicking(&self) -> bool {
        std::thread::panicking() && !self.is_in_panic
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

    /// Returns what is kept of the pairs of an event's data.
    pub fn data(&self, pairs: impl IntoIterator<Item = (Key, Snap)>) -> Payload {
        match self.keep(Snap::map(pairs)) {
            Snap::Map(pairs) if pairs.is_empty() => Payload::None,
            Snap::Map(pairs) => Payload::Data(pairs),
            _ => Payload::None,
        }
    }

    /// Returns the span's id.
    pub fn span_id(&self) -> SpanId {
        self.run.flow.id.span(self.number)
    }

    /// Returns what is kept of a value in this span's flow, of one that nobody else needs.
    pub fn keep(&self, value: Snap) -> Snap {
        let flow = &self.run.flow;
        flow.policy.snapshot_owned(value, &flow.taints)
    }

    /// Returns what is kept of a value in this span's flow.
    pub fn snapshot(&self, value: &Snap) -> Snap {
        self.run.flow.policy.snapshot(value, &self.run.flow.taints)
    }
}
