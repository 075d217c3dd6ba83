//! Keys that came before, with what is known of them: the same few come again and again.

use std::collections::{HashMap, HashSet};

use pyo3::prelude::*;
use pyo3::types::PyFrozenSet;
use the_edge_obs::redaction::{
    classify, fold, secret_spans, KeyClasses, Verdict, LONGEST_WHOLE_KEY,
};

use crate::json;

/// The most keys that are remembered; then all of them are forgotten.
const MAX_KEYS: usize = 4_096;
/// The places for the objects of keys.
const PLACES: usize = 1_024;

/// What is known of a key.
pub struct Key {
    /// The key as JSON, with the colon behind it.
    pub json: Box<[u8]>,
    pub verdict: Verdict,
    /// Whether it may stand beside a `value` and name a secret that is it.
    pub is_name: bool,
    /// Whether it has something else than small letters in it, so that it may be such a name in another spelling.
    pub is_other: bool,
    /// Whether it is so long that it is cut.
    pub is_long: bool,
    /// Whether it has no secret in it.
    pub is_clean: bool,
}

/// The object of a key that came, and the number of the key.
type Met = (Py<PyAny>, u32);

/// The keys under one classifier of the Python package.
pub struct Keys {
    extra: HashSet<String>,
    known: Vec<Key>,
    by_text: HashMap<Box<str>, u32>,
    /// Objects of texts, each at a place that its address gives, with the number of its key. They are kept alive, so no other object
    /// gets the address.
    objects: Box<[Option<Met>]>,
}

impl Keys {
    /// Returns an empty table; `extra` are further secret keys, as [`fold`] writes them.
    pub fn new(extra: &Bound<'_, PyFrozenSet>) -> PyResult<Keys> {
        let extra = extra.iter().map(|key| key.extract());
        Ok(Keys {
            extra: extra.collect::<PyResult<_>>()?,
            known: Vec::new(),
            by_text: HashMap::new(),
            objects: std::iter::repeat_with(|| None).take(PLACES).collect(),
        })
    }

    /// Returns a key by its object, if that came before.
    #[inline]
    pub fn of_object(&self, address: usize) -> Option<&Key> {
        match &self.objects[place_of(address)] {
            Some((object, number)) if object.as_ptr() as usize == address => {
                Some(&self.known[*number as usize])
            }
            _ => None,
        }
    }

    /// Returns a key by its text, and remembers its object.
    pub fn remember(&mut self, object: Py<PyAny>, text: &str, names: &HashSet<String>) -> &Key {
        let number = self.number_of(text, names);
        let place = place_of(object.as_ptr() as usize);
        self.objects[place] = Some((object, number));
        &self.known[number as usize]
    }

    /// Returns a key by its text.
    pub fn of_text(&mut self, text: &str, names: &HashSet<String>) -> &Key {
        let number = self.number_of(text, names);
        &self.known[number as usize]
    }

    fn number_of(&mut self, text: &str, names: &HashSet<String>) -> u32 {
        if let Some(number) = self.by_text.get(text) {
            return *number;
        }
        if self.known.len() >= MAX_KEYS {
            self.known.clear();
            self.by_text.clear();
            self.objects.fill_with(|| None);
        }
        let mut written = Vec::new();
        json::string(text, &mut written);
        written.push(b':');
        let is_extra = !self.extra.is_empty() && self.extra.contains(&fold(text));
        let number = self.known.len() as u32;
        self.known.push(Key {
            json: written.into(),
            verdict: if is_extra {
                Verdict::Secret
            } else {
                classify(text)
            },
            is_name: names.contains(text),
            is_other: !text.bytes().all(|byte| byte.is_ascii_lowercase()),
            is_long: text.chars().count() > LONGEST_WHOLE_KEY,
            is_clean: secret_spans(text, KeyClasses::built_in()).is_empty(),
        });
        self.by_text.insert(text.into(), number);
        number
    }
}

fn place_of(address: usize) -> usize {
    // Objects lie at multiples of 16.
    (address >> 4 ^ address >> 14) % PLACES
}
