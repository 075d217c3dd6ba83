//! One flow's ring: its last events, and the errors that have left it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::roots::Roots;
use super::weight::weight;
use crate::event::{Level, Status};
use crate::facts::Facts;
use crate::flow::Flow;
use crate::ids::FlowId;

/// After so many events the secrets of the flow are weighed again.
const TAINTS_EVERY: u64 = 128;

/// Events that have left a buffer. They are freed where no lock is held.
pub(super) type Garbage = Vec<Item>;

/// An event and its weight in bytes.
#[derive(Debug)]
pub(super) struct Item {
    facts: Arc<Facts>,
    bytes: u32,
}

impl Item {
    pub fn new(facts: &Arc<Facts>) -> Item {
        Item {
            facts: Arc::clone(facts),
            bytes: weight(facts),
        }
    }
}

/// The limits of one flow's ring, and what all flows hold together.
#[derive(Debug)]
pub(super) struct Limits {
    pub capacity: usize,
    /// The most errors that stay after they have left the ring.
    pub pins: usize,
    /// A flow tells `load` about a change when it is as large as this: bytes.
    pub step: u64,
    /// The bytes of all flows, as far as they have told.
    pub load: AtomicI64,
}

/// One flow's ring.
#[derive(Debug)]
pub(super) struct Buffer {
    pub id: FlowId,
    /// A number that grows from flow to flow: the smaller, the older.
    pub age: u64,
    content: Mutex<Content>,
}

#[derive(Debug)]
struct Content {
    roots: Roots,
    items: VecDeque<Item>,
    pinned: VecDeque<Item>,
    taken: u64,
    dropped: u64,
    /// The bytes of the events and of the flow's secrets, and how many of them `load` knows.
    bytes: u64,
    told: u64,
    taints: u64,
    is_gone: bool,
}

/// What happened to an event that was pushed.
pub(super) enum Pushed {
    Kept(Kept),
    /// The flow was evicted in the meantime.
    Gone(Item),
}

/// What follows from an event that is kept.
pub(super) struct Kept {
    /// What left the ring for it.
    pub left: Option<Item>,
    /// A root was seen for the first time.
    pub is_joined: bool,
    /// `load` has grown.
    pub is_told: bool,
    /// It is time to weigh the flow's secrets.
    pub is_due: bool,
}

impl Kept {
    /// Tells whether something is to be done.
    pub fn asks(&self) -> bool {
        self.is_joined || self.is_told || self.is_due
    }
}

impl Buffer {
    /// Returns a buffer without events; `dropped` of them are lost already.
    pub fn new(age: u64, flow: &Arc<Flow>, dropped: u64) -> Buffer {
        let content = Content {
            roots: Roots::new(flow),
            items: VecDeque::new(),
            pinned: VecDeque::new(),
            taken: 0,
            dropped,
            bytes: 0,
            told: 0,
            taints: 0,
            is_gone: false,
        };
        Buffer {
            id: flow.id,
            age,
            content: Mutex::new(content),
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an event. What has to leave for it is returned, to be freed by the caller.
    pub fn push(&self, item: Item, limits: &Limits) -> Pushed {
        let mut content = self.content();
        if content.is_gone {
            return Pushed::Gone(item);
        }
        let is_joined = content.roots.join(&item.facts.flow);
        content.taken += 1;
        content.bytes += u64::from(item.bytes);
        let is_full = content.items.len() >= limits.capacity;
        let left = if is_full {
            content.let_go(limits.pins)
        } else {
            None
        };
        content.items.push_back(item);
        Pushed::Kept(Kept {
            left,
            is_joined,
            is_told: content.tell(limits, limits.step),
            is_due: content.taken % TAINTS_EVERY == 1,
        })
    }

    /// Weighs the flow's secrets, which stay as long as its events do. `chars` is their number of characters.
    pub fn weigh_taints(&self, chars: u64, limits: &Limits) {
        let mut content = self.content();
        if !content.is_gone {
            content.bytes = content.bytes - content.taints + chars;
            content.taints = chars;
            content.tell(limits, limits.step);
        }
    }

    /// Drops the oldest eighth of the events, or the oldest pinned error if only one event is there. Returns false if nothing is
    /// left to drop.
    pub fn shed(&self, limits: &Limits, garbage: &mut Garbage) -> bool {
        let mut content = self.content();
        let count = content.items.len();
        if count > 1 {
            for _ in 0..(count / 8).max(1) {
                garbage.extend(content.let_go(limits.pins));
            }
        } else if let Some(item) = content.pinned.pop_front() {
            content.lose(&item);
            garbage.push(item);
        } else {
            return false;
        }
        content.tell(limits, 0);
        true
    }

    /// Removes all events: nothing is kept from now on. Returns how many events the flow has lost, with these.
    pub fn retire(&self, limits: &Limits, garbage: &mut Garbage) -> u64 {
        let (items, pinned, lost) = {
            let mut content = self.content();
            content.is_gone = true;
            content.bytes = 0;
            content.taints = 0;
            content.tell(limits, 0);
            let (items, pinned) = (
                std::mem::take(&mut content.items),
                std::mem::take(&mut content.pinned),
            );
            let lost = content.dropped + (items.len() + pinned.len()) as u64;
            content.dropped = lost;
            (items, pinned, lost)
        };
        garbage.extend(items);
        garbage.extend(pinned);
        lost
    }

    /// Returns the events, the oldest first: the errors that have left the ring, and the ring.
    pub fn facts(&self) -> Vec<Arc<Facts>> {
        let content = self.content();
        let items = content.pinned.iter().chain(&content.items);
        items.map(|item| Arc::clone(&item.facts)).collect()
    }

    /// Returns how many events it holds, how many bytes, and how many events are lost.
    pub fn figures(&self) -> (usize, u64, u64) {
        let content = self.content();
        let count = content.items.len() + content.pinned.len();
        (count, content.bytes, content.dropped)
    }

    /// Notes that a root of the flow has ended.
    pub fn note_end(&self, flow: &Arc<Flow>) {
        self.content().roots.note_end(flow);
    }

    /// Tells whether all roots of the flow have ended.
    pub fn is_ended(&self) -> bool {
        self.content().roots.is_ended()
    }

    /// Returns the first root's state.
    pub fn flow(&self) -> Arc<Flow> {
        Arc::clone(self.content().roots.first())
    }

    /// Returns the worst status of the roots.
    pub fn status(&self) -> Status {
        self.content().roots.status()
    }

    /// Returns how many times logging itself failed in the flow.
    pub fn faults(&self) -> u64 {
        self.content().roots.faults()
    }
}

impl Content {
    /// Removes the oldest event from the ring and returns what is lost by that: the event itself or, if it is an error, the oldest
    /// of the pinned errors when there are too many.
    fn let_go(&mut self, pins: usize) -> Option<Item> {
        let mut item = self.items.pop_front()?;
        if item.facts.level == Level::Error {
            self.pinned.push_back(item);
            if self.pinned.len() <= pins {
                return None;
            }
            item = self.pinned.pop_front()?;
        }
        self.lose(&item);
        Some(item)
    }

    fn lose(&mut self, item: &Item) {
        self.bytes -= u64::from(item.bytes);
        self.dropped += 1;
    }

    /// Tells `load` about the change since the last time if it is at least `step`; returns whether the load has grown.
    fn tell(&mut self, limits: &Limits, step: u64) -> bool {
        if self.bytes.abs_diff(self.told) < step {
            return false;
        }
        let change = self.bytes as i64 - self.told as i64;
        self.told = self.bytes;
        limits.load.fetch_add(change, Ordering::Relaxed);
        change > 0
    }
}
