//! The flows that a ring keeps, and what leaves when they exceed a cap.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::buffer::{Buffer, Garbage, Item, Kept, Limits, Pushed};
use crate::facts::Facts;
use crate::flow::Flow;
use crate::ids::FlowId;

/// Flows whose lost events are remembered after they were evicted; about 100 bytes each.
const REMEMBERED: usize = 10_000;

thread_local! {
    /// The room and the flow of the thread's last event. A buffer that has left its room is empty, so this keeps no event alive.
    static LAST: RefCell<Option<(u64, Arc<Buffer>)>> = const { RefCell::new(None) };
}

static ROOMS: AtomicU64 = AtomicU64::new(0);

/// All flows.
///
/// Locks are taken in this order: `making_room`, `flows`, the lock of one buffer. Nothing is freed under any of them.
#[derive(Debug)]
pub(super) struct Room {
    /// No two rooms of a process have the same number.
    number: u64,
    limits: Limits,
    max_flows: usize,
    /// `None` for no cap.
    max_bytes: Option<u64>,
    flows: RwLock<Flows>,
    making_room: Mutex<()>,
    evicted_flows: AtomicU64,
    /// The events that were lost with evicted flows.
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Flows {
    by_id: HashMap<FlowId, Arc<Buffer>>,
    by_age: BTreeMap<u64, Arc<Buffer>>,
    /// The ages of the flows that have ended.
    ended: BTreeSet<u64>,
    /// The age of the next flow.
    next: u64,
    left: Left,
}

/// How many events flows had lost when they were evicted.
#[derive(Debug, Default)]
struct Left {
    by_id: HashMap<FlowId, (u64, u64)>,
    by_age: BTreeMap<u64, FlowId>,
}

impl Left {
    fn insert(&mut self, id: FlowId, age: u64, lost: u64) {
        self.by_id.insert(id, (age, lost));
        self.by_age.insert(age, id);
        if self.by_age.len() > REMEMBERED {
            if let Some((_, oldest)) = self.by_age.pop_first() {
                self.by_id.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, id: &FlowId) -> Option<u64> {
        let (age, lost) = self.by_id.remove(id)?;
        self.by_age.remove(&age);
        Some(lost)
    }
}

impl Flows {
    fn remove(&mut self, buffer: &Buffer) -> bool {
        self.ended.remove(&buffer.age);
        let is_there = self.by_age.remove(&buffer.age).is_some();
        if is_there {
            self.by_id.remove(&buffer.id);
        }
        is_there
    }

    /// Returns the oldest flow that has ended, but not the one that is spared.
    fn oldest_ended(&self, spared: &Buffer) -> Option<Arc<Buffer>> {
        let age = self.ended.iter().find(|age| **age != spared.age)?;
        self.by_age.get(age).cloned()
    }

    /// Returns the flow that goes first: the oldest that has ended, or else the oldest.
    fn oldest(&self, spared: &Buffer) -> Option<Arc<Buffer>> {
        let others = || self.by_age.values().find(|one| one.age != spared.age);
        self.oldest_ended(spared).or_else(|| others().cloned())
    }
}

impl Room {
    pub fn new(capacity: usize, max_flows: usize, max_bytes: Option<u64>) -> Room {
        let limits = Limits {
            capacity,
            pins: (capacity / 10).max(1),
            // What all flows have not told yet is at most a 16th of the cap.
            step: max_bytes.map_or(u64::MAX, |most| (most / 16 / max_flows as u64).max(1)),
            load: 0.into(),
        };
        Room {
            number: ROOMS.fetch_add(1, Ordering::Relaxed),
            limits,
            max_flows,
            max_bytes,
            flows: RwLock::default(),
            making_room: Mutex::new(()),
            evicted_flows: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Flows> {
        self.flows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Flows> {
        self.flows.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the buffer of a flow.
    pub fn get(&self, id: &FlowId) -> Option<Arc<Buffer>> {
        self.read().by_id.get(id).cloned()
    }

    /// Returns all buffers, the oldest first.
    pub fn all(&self) -> Vec<Arc<Buffer>> {
        self.read().by_age.values().cloned().collect()
    }

    /// Keeps an event.
    pub fn push(&self, facts: &Arc<Facts>) {
        let item = Item::new(facts);
        // Nearly always the thread's last event was of the same flow. Then neither `flows` nor a hash is needed.
        let pushed = LAST.try_with(|last| {
            let last = last.borrow();
            match &*last {
                Some((room, buffer)) if *room == self.number && buffer.id == facts.flow.id => {
                    buffer.push(item, &self.limits)
                }
                _ => Pushed::Gone(item),
            }
        });
        match pushed {
            Ok(Pushed::Kept(kept)) if !kept.asks() => drop(kept),
            Ok(Pushed::Kept(kept)) => self.settle(facts, kept),
            Ok(Pushed::Gone(item)) => self.push_slowly(facts, item),
            // The thread is ending: its storage is gone.
            Err(_) => self.push_slowly(facts, Item::new(facts)),
        }
    }

    #[cold]
    fn push_slowly(&self, facts: &Arc<Facts>, mut item: Item) {
        loop {
            let buffer = self.get(&facts.flow.id);
            let buffer = buffer.unwrap_or_else(|| self.add(&facts.flow));
            let pushed = buffer.push(item, &self.limits);
            // What was there before is freed here, outside of the storage.
            let before = LAST.try_with(|last| last.replace(Some((self.number, buffer))));
            drop(before);
            match pushed {
                Pushed::Gone(back) => item = back,
                Pushed::Kept(kept) => return self.settle(facts, kept),
            }
        }
    }

    /// Does what an event asks for beside keeping it.
    fn settle(&self, facts: &Arc<Facts>, kept: Kept) {
        let Kept {
            left,
            is_joined,
            is_told,
            is_due,
        } = kept;
        drop(left);
        let Some(buffer) = self.get(&facts.flow.id) else {
            return; // evicted in the meantime
        };
        if is_joined {
            self.file(&buffer);
        }
        if is_due {
            buffer.weigh_taints(facts.flow.taints.chars() as u64, &self.limits);
        }
        if is_told || is_due {
            self.make_room(&buffer);
        }
    }

    /// Returns the buffer of a flow whose first event is about to come.
    fn add(&self, flow: &Arc<Flow>) -> Arc<Buffer> {
        let mut garbage = Garbage::new();
        let buffer = {
            let mut flows = self.write();
            if let Some(buffer) = flows.by_id.get(&flow.id) {
                return Arc::clone(buffer);
            }
            let dropped = flows.left.remove(&flow.id).unwrap_or(0);
            self.dropped.fetch_sub(dropped, Ordering::Relaxed);
            let buffer = Arc::new(Buffer::new(flows.next, flow, dropped));
            flows.next += 1;
            flows.by_id.insert(buffer.id, Arc::clone(&buffer));
            flows.by_age.insert(buffer.age, Arc::clone(&buffer));
            // A late event of a flow that was evicted after its end.
            if buffer.is_ended() {
                flows.ended.insert(buffer.age);
            }
            if flows.by_age.len() > self.max_flows {
                if let Some(oldest) = flows.oldest(&buffer) {
                    self.evict(&mut flows, &oldest, &mut garbage);
                }
            }
            buffer
        };
        drop(garbage);
        buffer
    }

    /// Notes that a root has ended.
    pub fn note_end(&self, flow: &Arc<Flow>) {
        if let Some(buffer) = self.get(&flow.id) {
            buffer.note_end(flow);
            self.file(&buffer);
            buffer.weigh_taints(flow.taints.chars() as u64, &self.limits);
            self.make_room(&buffer);
        }
    }

    /// Files a flow among those that have ended, or takes it out.
    fn file(&self, buffer: &Buffer) {
        let mut flows = self.write();
        if flows.by_age.contains_key(&buffer.age) && buffer.is_ended() {
            flows.ended.insert(buffer.age);
        } else {
            flows.ended.remove(&buffer.age);
        }
    }

    /// Forgets a flow, without counting its events as lost.
    pub fn forget(&self, id: &FlowId) {
        let mut garbage = Garbage::new();
        {
            let mut flows = self.write();
            let lost = flows.left.remove(id).unwrap_or(0);
            self.dropped.fetch_sub(lost, Ordering::Relaxed);
            if let Some(buffer) = flows.by_id.get(id).cloned() {
                flows.remove(&buffer);
                buffer.retire(&self.limits, &mut garbage);
            }
        }
        drop(garbage);
    }

    /// Returns how many events of a flow are lost.
    pub fn dropped(&self, id: &FlowId) -> u64 {
        let flows = self.read();
        match flows.by_id.get(id) {
            Some(buffer) => buffer.figures().2,
            None => flows.left.by_id.get(id).map_or(0, |(_, lost)| *lost),
        }
    }

    /// Returns how many flows were evicted, and how many events were lost with those that are not back.
    pub fn evicted(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.evicted_flows), load(&self.dropped))
    }

    // What leaves.

    fn evict(&self, flows: &mut Flows, buffer: &Buffer, garbage: &mut Garbage) {
        if !flows.remove(buffer) {
            return;
        }
        let lost = buffer.retire(&self.limits, garbage);
        self.evicted_flows.fetch_add(1, Ordering::Relaxed);
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        flows.left.insert(buffer.id, buffer.age, lost);
    }

    fn exceeds(&self, sixteenths: u64) -> bool {
        let load = self.limits.load.load(Ordering::Relaxed).max(0) as u64;
        self.max_bytes
            .is_some_and(|most| load > most - most / 16 * (16 - sixteenths))
    }

    /// Makes room if the cap is near: for more than one event, or else every event would have to make room.
    fn make_room(&self, current: &Arc<Buffer>) {
        if !self.exceeds(15) {
            return;
        }
        let mut garbage = Garbage::new();
        {
            let _alone = self
                .making_room
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if self.exceeds(15) {
                while self.exceeds(14) && self.lighten(current, &mut garbage) {}
                if self.exceeds(14) {
                    self.shed_heaviest(current, &mut garbage);
                }
            }
        }
        drop(garbage);
    }

    /// Lets a greedy flow lose its own events, or evicts the oldest flow that has ended. Returns false if there is neither.
    fn lighten(&self, current: &Buffer, garbage: &mut Garbage) -> bool {
        let (count, bytes, _) = current.figures();
        let is_greedy = count > 1 && self.max_bytes.is_some_and(|most| bytes > most / 2);
        if is_greedy && self.read().by_age.len() > 1 {
            return current.shed(&self.limits, garbage);
        }
        let mut flows = self.write();
        match flows.oldest_ended(current) {
            Some(ended) => {
                self.evict(&mut flows, &ended, garbage);
                true
            }
            None => false,
        }
    }

    /// Lets the heaviest flows lose their oldest events, and evicts the oldest flow when only single events are left.
    fn shed_heaviest(&self, current: &Arc<Buffer>, garbage: &mut Garbage) {
        let weighed = |buffer: &Buffer| (buffer.figures().1, buffer.age);
        let all: HashMap<u64, Arc<Buffer>> =
            self.all().into_iter().map(|one| (one.age, one)).collect();
        let mut heap: BinaryHeap<_> = all.values().map(|one| weighed(one)).collect();
        while self.exceeds(14) {
            match heap.pop().map(|(_, age)| &all[&age]) {
                Some(heaviest) if heaviest.shed(&self.limits, garbage) => {
                    heap.push(weighed(heaviest));
                }
                Some(_) => {}
                None => {
                    let mut flows = self.write();
                    let Some(oldest) = flows.oldest(current) else {
                        return;
                    };
                    self.evict(&mut flows, &oldest, garbage);
                }
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut garbage = Garbage::new();
        for buffer in self.all() {
            buffer.retire(&self.limits, &mut garbage);
        }
    }
}
