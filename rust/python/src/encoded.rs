//! A captured payload.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU8, Ordering};

use memchr::memmem;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use the_edge_obs::redaction::{secret_spans, KeyClasses};

use crate::json::{texts, unescaped};

/// The bytes of the shortest text that can hold a secret.
const SHORTEST: usize = 7;

const UNKNOWN: u8 = 0;
const CLEAN: u8 = 1;
const UNCLEAN: u8 = 2;

/// The bytes of a payload from which on other threads run during the search. For less, passing the interpreter's lock on and
/// waiting to get it back takes longer than the search.
const LARGE: usize = 16 * 1024;

/// A payload as compact JSON. It refers to no container, so the garbage collector has nothing to do with it.
#[pyclass(frozen, module = "the_edge_obs_native")]
pub struct Encoded {
    json: Py<PyBytes>,
    ways: Py<PyTuple>,
    verdict: AtomicU8,
}

impl Encoded {
    /// Returns a payload of JSON in UTF-8, with the ways to the placeholders in it.
    pub fn new(py: Python<'_>, json: &[u8], ways: Py<PyTuple>, are_keys_clean: bool) -> Encoded {
        let verdict = if are_keys_clean { UNKNOWN } else { UNCLEAN };
        Encoded {
            json: PyBytes::new(py, json).unbind(),
            ways,
            verdict: AtomicU8::new(verdict),
        }
    }

    /// Tells whether other threads run during the next search.
    pub fn lets_others_run(&self, py: Python<'_>) -> bool {
        self.verdict.load(Ordering::Relaxed) == UNKNOWN && self.bytes(py).len() >= LARGE
    }

    /// Returns the JSON.
    pub fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        self.json.as_bytes(py)
    }

    /// Returns the ways to what was redacted.
    pub fn all_ways<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyTuple> {
        self.ways.bind(py)
    }

    /// Tells whether no text has a secret in it. The answer is remembered.
    pub fn has_no_secret(&self, py: Python<'_>) -> bool {
        let known = self.verdict.load(Ordering::Relaxed);
        if known != UNKNOWN {
            return known == CLEAN;
        }
        // After a panic, which would stop the observed program, Python looks at the payload.
        let json = std::str::from_utf8(self.json.as_bytes(py)).unwrap_or_default();
        let search = AssertUnwindSafe(|| {
            if json.len() < LARGE {
                is_every_text_clean(json)
            } else {
                py.detach(|| is_every_text_clean(json))
            }
        });
        let is_clean = catch_unwind(search).unwrap_or(false);
        self.verdict
            .store(if is_clean { CLEAN } else { UNCLEAN }, Ordering::Relaxed);
        is_clean
    }
}

/// Tells whether no text of a payload has a secret in it.
fn is_every_text_clean(json: &str) -> bool {
    let classes = KeyClasses::built_in();
    texts(json)
        .all(|text| text.len() < SHORTEST || secret_spans(&unescaped(text), classes).is_empty())
}

#[pymethods]
impl Encoded {
    /// The payload as compact JSON.
    #[getter]
    fn json(&self, py: Python<'_>) -> Py<PyBytes> {
        self.json.clone_ref(py)
    }

    /// The ways to what was redacted: keys and indices, from the outside in.
    #[getter]
    fn ways(&self, py: Python<'_>) -> Py<PyTuple> {
        self.ways.clone_ref(py)
    }

    /// Tell whether no text in the payload has a secret in it by the built-in rules, and the JSON none of some bytes.
    pub fn is_clean(&self, py: Python<'_>, needles: &Bound<'_, PyTuple>) -> PyResult<bool> {
        if !self.has_no_secret(py) {
            return Ok(false);
        }
        let json = self.json.as_bytes(py);
        for needle in needles {
            if memmem::find(json, needle.cast::<PyBytes>()?.as_bytes()).is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
