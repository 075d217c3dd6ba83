//! A ring: each flow's last events, in memory.

mod buffer;
mod room;
mod roots;
mod weight;

use std::io;
use std::sync::Arc;

use super::Sink;
use crate::event::Status;
use crate::facts::Facts;
use crate::flow::Flow;
use crate::ids::FlowId;
use crate::value::Snap;
use room::Room;

/// The number of events that are kept per flow by default.
pub const DEFAULT_CAPACITY: usize = 1_000;
/// The number of flows that are kept by default.
pub const DEFAULT_MAX_FLOWS: usize = 1_000;
/// The bytes that all events may take by default, unless the capacity is large: 64 MiB.
pub const DEFAULT_MAX_BYTES: u64 = 64 << 20;
/// With a large capacity, the default is so many bytes per event of it: more than most events take.
const BYTES_OF_EVENT: u64 = 2_048;

/// How much a [`Ring`] keeps.
///
/// ```
/// use the_edge_obs::sink::ring::Limits;
///
/// let ring = Limits::new().capacity(100).max_flows(10).ring();
/// assert_eq!(ring.flows(), []);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    capacity: usize,
    max_flows: usize,
    max_bytes: Cap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cap {
    Auto,
    Bytes(u64),
    None,
}

impl Limits {
    /// Returns the default limits.
    #[must_use]
    pub fn new() -> Limits {
        Limits {
            capacity: DEFAULT_CAPACITY,
            max_flows: DEFAULT_MAX_FLOWS,
            max_bytes: Cap::Auto,
        }
    }

    /// Sets the number of events that are kept per flow; 0 counts as 1. Default [`DEFAULT_CAPACITY`].
    #[must_use]
    pub fn capacity(mut self, events: usize) -> Limits {
        self.capacity = events.max(1);
        self
    }

    /// Sets the number of flows that are kept; 0 counts as 1. Default [`DEFAULT_MAX_FLOWS`].
    #[must_use]
    pub fn max_flows(mut self, flows: usize) -> Limits {
        self.max_flows = flows.max(1);
        self
    }

    /// Sets the estimated bytes that are kept over all flows; `None` for no such cap. Default [`DEFAULT_MAX_BYTES`], or 2 KiB per
    /// event of the capacity if that is more. One event of each running flow is kept even if it is larger than that.
    #[must_use]
    pub fn max_bytes(mut self, bytes: Option<u64>) -> Limits {
        self.max_bytes = bytes.map_or(Cap::None, Cap::Bytes);
        self
    }

    /// Returns an empty ring with these limits.
    #[must_use]
    pub fn ring(self) -> Ring {
        let max_bytes = match self.max_bytes {
            Cap::Auto => {
                Some(DEFAULT_MAX_BYTES.max((self.capacity as u64).saturating_mul(BYTES_OF_EVENT)))
            }
            Cap::Bytes(bytes) => Some(bytes),
            Cap::None => None,
        };
        let room = Room::new(self.capacity, self.max_flows, max_bytes);
        Ring {
            room: Arc::new(room),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::new()
    }
}

/// What a [`Ring`] holds and what it has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Flows that it holds.
    pub flows: usize,
    /// Events that it holds.
    pub events: usize,
    /// Bytes that it holds, estimated.
    pub bytes: u64,
    /// Flows that were evicted because of a cap.
    pub evicted_flows: u64,
    /// Events that are lost, those of evicted flows included.
    pub dropped: u64,
}

/// Keeps the last events of each flow in memory. A clone is the same ring.
///
/// Errors that leave the ring of a flow stay pinned, up to a tenth of its capacity, so that other events cannot push them out. At a
/// cap over all flows, ended flows are evicted first, the oldest before the others; then the largest flow loses its oldest events.
/// A flow that takes more than half of the bytes loses its own events before other flows are evicted. Lost events are counted:
/// [`Ring::dropped`] per flow, [`Ring::stats`] in total.
///
/// Threads that log into different flows do not wait for each other, and no event is freed under a lock.
///
/// ```
/// use std::sync::Arc;
/// use the_edge_obs::event::{EventType, Level};
/// use the_edge_obs::facts::{Facts, Metrics, Payload};
/// use the_edge_obs::ids::{new_number, FlowId};
/// use the_edge_obs::sink::ring::Ring;
/// use the_edge_obs::{Flow, Sink};
///
/// let flow = Arc::new(Flow::new(FlowId::random(), "triage"));
/// let facts = Facts {
///     flow: Arc::clone(&flow),
///     number: new_number(),
///     parent: None,
///     node: "rank".into(),
///     step: None,
///     level: Level::Info,
///     event_type: EventType::Log,
///     wall: 1_795_363_054_861_892_000,
///     message: Some("ranked".into()),
///     payload: Payload::None,
///     metrics: Metrics::None,
/// };
/// let ring = Ring::new();
/// ring.take(&Arc::new(facts))?;
/// assert_eq!(ring.flows(), [flow.id]);
/// assert_eq!(ring.events(&flow.id)[0].get("message"), Some(&"ranked".into()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Ring {
    room: Arc<Room>,
}

impl Ring {
    /// Returns an empty ring with the default [`Limits`].
    #[must_use]
    pub fn new() -> Ring {
        Limits::new().ring()
    }

    /// Returns the ids of the flows, the oldest first.
    #[must_use]
    pub fn flows(&self) -> Vec<FlowId> {
        self.room.all().iter().map(|buffer| buffer.id).collect()
    }

    /// Tells whether the ring keeps a flow.
    #[must_use]
    pub fn has(&self, flow: &FlowId) -> bool {
        self.room.get(flow).is_some()
    }

    /// Returns the facts of a flow's events, pinned errors first, each of both the oldest first; nothing for an unknown flow.
    #[must_use]
    pub fn facts(&self, flow: &FlowId) -> Vec<Arc<Facts>> {
        self.room
            .get(flow)
            .map_or_else(Vec::new, |buffer| buffer.facts())
    }

    /// Returns a flow's events, as [`Ring::facts`] orders them. They are scrubbed now: a secret that the flow has learned since is
    /// not in them.
    #[must_use]
    pub fn events(&self, flow: &FlowId) -> Vec<Snap> {
        let facts = self.facts(flow);
        facts.iter().map(|facts| facts.event()).collect()
    }

    /// Returns how many events of a flow are lost: evicted and not pinned. Of an evicted flow these are all of its events; the last
    /// 10,000 such flows are remembered.
    #[must_use]
    pub fn dropped(&self, flow: &FlowId) -> u64 {
        self.room.dropped(flow)
    }

    /// Returns how many times logging itself failed for an event of a flow.
    #[must_use]
    pub fn faults(&self, flow: &FlowId) -> u64 {
        self.room.get(flow).map_or(0, |buffer| buffer.faults())
    }

    /// Returns the state of a flow; of several roots that share its id, that of the first. `None` for an unknown flow.
    #[must_use]
    pub fn flow(&self, flow: &FlowId) -> Option<Arc<Flow>> {
        self.room.get(flow).map(|buffer| buffer.flow())
    }

    /// Returns the name of a flow; of several roots that share its id, that of the first. `None` for an unknown flow.
    #[must_use]
    pub fn name_of(&self, flow: &FlowId) -> Option<String> {
        self.flow(flow).map(|flow| flow.name.to_string())
    }

    /// Returns how a flow ended, or that it runs; of several roots that share its id, the worst status. `None` for an unknown flow.
    #[must_use]
    pub fn status(&self, flow: &FlowId) -> Option<Status> {
        self.room.get(flow).map(|buffer| buffer.status())
    }

    /// Returns what the ring holds and what it has lost.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (evicted_flows, dropped) = self.room.evicted();
        let mut stats = Stats {
            evicted_flows,
            dropped,
            ..Stats::default()
        };
        for buffer in self.room.all() {
            let (events, bytes, dropped) = buffer.figures();
            stats.flows += 1;
            stats.events += events;
            stats.bytes += bytes;
            stats.dropped += dropped;
        }
        stats
    }

    /// Forgets a flow. Its events do not count as lost.
    pub fn forget(&self, flow: &FlowId) {
        self.room.forget(flow);
    }

    /// Forgets all flows. Their events do not count as lost.
    pub fn clear(&self) {
        for flow in self.flows() {
            self.room.forget(&flow);
        }
    }
}

impl Default for Ring {
    fn default() -> Self {
        Ring::new()
    }
}

impl Sink for Ring {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        self.room.push(facts);
        Ok(())
    }

    fn flow_ended(&self, flow: &Arc<Flow>) -> io::Result<()> {
        self.room.note_end(flow);
        Ok(())
    }

    fn ring(&self) -> Option<Ring> {
        Some(self.clone())
    }

    fn name(&self) -> &str {
        "ring"
    }
}
