//! The state of a run: values by name, which nodes read and change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use minijinja::Value;
use the_edge_obs::Snap;

use crate::templates::{to_value, Fields};

/// The values of a run, in the order in which their keys were first set.
///
/// A copy is cheap, because copies share the values; a value itself never changes.
#[derive(Debug, Clone, Default)]
pub struct State {
    inner: Arc<Inner>,
    positions: Positions,
}

#[derive(Debug, Clone, Default)]
struct Inner {
    pairs: Vec<Pair>,
    index: HashMap<Arc<str>, usize>,
}

/// How often the answers of each script were used. Copies of a state count together, but for those of branches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions(Arc<Mutex<HashMap<Box<str>, usize>>>);

impl Positions {
    /// Returns how often a script was used before, and counts this use.
    pub(crate) fn next(&self, script: &str) -> usize {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = known.entry(script.into()).or_default();
        *count += 1;
        *count - 1
    }

    fn copied(&self) -> Positions {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Positions(Arc::new(Mutex::new(known.clone())))
    }
}

/// A key and its value.
pub(crate) type Pair = (Arc<str>, Arc<Entry>);

/// One value, also as templates see it, from when the first one does.
#[derive(Debug)]
pub(crate) struct Entry {
    snap: Snap,
    value: OnceLock<Value>,
}

impl Entry {
    pub(crate) fn new(snap: Snap) -> Arc<Entry> {
        let value = OnceLock::new();
        Arc::new(Entry { snap, value })
    }

    pub(crate) fn snap(&self) -> &Snap {
        &self.snap
    }

    pub(crate) fn value(&self) -> Value {
        self.value.get_or_init(|| to_value(&self.snap)).clone()
    }
}

impl State {
    /// Returns an empty state.
    #[must_use]
    pub fn new() -> State {
        State::default()
    }

    /// Returns the pairs of an object as a state; of another value, an empty state.
    #[must_use]
    pub fn from_snap(value: Snap) -> State {
        let mut state = State::new();
        if let Snap::Map(pairs) = value {
            for (key, value) in pairs.into_vec() {
                state.set(&key, value);
            }
        }
        state
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Snap> {
        self.entry(key).map(|entry| entry.snap())
    }

    /// Returns the value of a key, to be shared.
    pub(crate) fn entry(&self, key: &str) -> Option<&Arc<Entry>> {
        let at = self.inner.index.get(key)?;
        Some(&self.inner.pairs[*at].1)
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: &str, value: Snap) {
        self.put((key.into(), Entry::new(value)));
    }

    /// Sets a key to a value that another state may share.
    pub(crate) fn put(&mut self, (key, entry): Pair) {
        let inner = Arc::make_mut(&mut self.inner);
        match inner.index.get(&key) {
            Some(&at) => inner.pairs[at].1 = entry,
            None => {
                inner.index.insert(Arc::clone(&key), inner.pairs.len());
                inner.pairs.push((key, entry));
            }
        }
    }

    /// Sets the keys of updates.
    pub(crate) fn update(&mut self, updates: impl IntoIterator<Item = Pair>) {
        for pair in updates {
            self.put(pair);
        }
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        let inner = Arc::make_mut(&mut self.inner);
        if let Some(at) = inner.index.remove(key) {
            inner.pairs.remove(at);
            for place in inner.index.values_mut().filter(|place| **place > at) {
                *place -= 1;
            }
        }
    }

    /// Returns the keys and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Snap)> {
        let pairs = self.inner.pairs.iter();
        pairs.map(|(key, entry)| (&**key, entry.snap()))
    }

    /// Returns the keys and values, to be shared.
    pub(crate) fn pairs(&self) -> &[Pair] {
        &self.inner.pairs
    }

    /// Returns what differs from an earlier copy: new keys, and keys that were set again.
    pub(crate) fn changes_since(&self, before: &State) -> Vec<Pair> {
        let is_new = |(key, entry): &&Pair| {
            let earlier = before.entry(key);
            earlier.is_none_or(|earlier| !Arc::ptr_eq(entry, earlier))
        };
        self.inner.pairs.iter().filter(is_new).cloned().collect()
    }

    /// Returns a copy for a branch, which counts the answers of scripts by itself.
    pub(crate) fn branch(&self) -> State {
        State {
            inner: Arc::clone(&self.inner),
            positions: self.positions.copied(),
        }
    }

    /// Returns this state, counting the answers of scripts together with another one: that of an enclosing flow.
    pub(crate) fn counting_with(mut self, other: &State) -> State {
        self.positions = other.positions.clone();
        self
    }

    /// Returns how often scripts were used.
    pub(crate) fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Returns the state as an object.
    #[must_use]
    pub fn to_snap(&self) -> Snap {
        let pairs = self.iter().map(|(key, value)| (key.into(), value.clone()));
        Snap::Map(pairs.collect())
    }
}

impl Fields for State {
    fn find(&self, key: &str) -> Option<Value> {
        self.entry(key).map(|entry| entry.value())
    }

    fn keys(&self) -> Vec<Value> {
        let pairs = self.inner.pairs.iter();
        pairs.map(|(key, _)| Value::from(Arc::clone(key))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_the_order_of_its_keys() {
        let mut state = State::new();
        for (key, value) in [("b", 1), ("a", 2), ("c", 3), ("b", 4)] {
            state.set(key, value.into());
        }
        state.remove("a");
        state.set("d", 5.into());
        assert_eq!(state.to_snap().to_json(), r#"{"b":4,"c":3,"d":5}"#);
        assert_eq!(state.get("c"), Some(&3.into()));
        assert_eq!(state.get("a"), None);
    }

    #[test]
    fn a_copy_tells_what_changed() {
        let mut state = State::new();
        state.set("a", 1.into());
        state.set("b", 2.into());
        let before = state.clone();
        state.set("b", 2.into());
        state.set("c", 3.into());
        let keys: Vec<_> = state
            .changes_since(&before)
            .into_iter()
            .map(|(key, _)| key.to_string())
            .collect();
        assert_eq!(keys, ["b", "c"]);
        assert_eq!(before.to_snap().to_json(), r#"{"a":1,"b":2}"#);
    }
}
