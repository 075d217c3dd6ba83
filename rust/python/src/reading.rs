//! Events of facts, with their payloads read from JSON straight into Python's objects.
//!
//! `None` stands for what Python must do: something in the facts is not usual, or must be redacted.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::encoded::Encoded;
use crate::json::unescaped;

/// The places for the keys of payloads, and the longest key that gets one, in bytes.
const PLACES: usize = 1_024;
const LONGEST: usize = 64;
/// The places for the ids of spans while some facts are read.
const SPANS: usize = 64;

/// Keys of payloads as Python's texts, each at a place that its bytes give: the same few come again and again.
pub struct Names {
    known: Box<[Option<Name>]>,
}

/// A key, and the same as Python's text.
type Name = (Box<str>, Py<PyString>);

impl Default for Names {
    fn default() -> Names {
        Names {
            known: std::iter::repeat_with(|| None).take(PLACES).collect(),
        }
    }
}

impl Names {
    fn of<'py>(&mut self, py: Python<'py>, text: &str) -> Bound<'py, PyString> {
        if text.len() > LONGEST {
            return PyString::new(py, text);
        }
        let place = &mut self.known[place_of(text.as_bytes())];
        if let Some((known, name)) = place {
            if &**known == text {
                return name.bind(py).clone();
            }
        }
        // Not interned: some versions of Python keep such texts for ever.
        let name = PyString::new(py, text);
        *place = Some((text.into(), name.clone().unbind()));
        name
    }
}

/// Returns a place by the length, the first and the last eight bytes.
fn place_of(text: &[u8]) -> usize {
    let eight = |part: &[u8]| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        u64::from_le_bytes(word)
    };
    let count = text.len().min(8);
    let both = eight(&text[..count]) ^ eight(&text[text.len() - count..]).rotate_left(29);
    let mixed = (both ^ text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % PLACES
}

/// Ids of spans that came before, each at a place that its number gives.
pub type Ids<'py> = [Option<(u64, Bound<'py, PyString>)>; SPANS];

/// What the events of a flow have in common.
///
/// Args:
///     flow: The flow; facts of another one are left to Python.
///     prefix: The beginning of the ids of its spans.
///     usual: An event with all keys but `step`, the id of the flow, and no message.
///     needles: The secrets of the flow as JSON spells them; a payload with one of them is left to Python.
///     cuts: By key and ways, the paths of what was cut in a payload.
///     nothing: Stands for a payload that is not there.
pub struct Maker<'a, 'py> {
    pub flow: &'a Bound<'py, PyAny>,
    pub prefix: &'a str,
    pub usual: &'a Bound<'py, PyDict>,
    pub needles: &'a Bound<'py, PyTuple>,
    pub cuts: &'a Bound<'py, PyDict>,
    pub nothing: &'a Bound<'py, PyAny>,
    pub names: &'a mut Names,
    pub ids: Ids<'py>,
}

impl<'py> Maker<'_, 'py> {
    /// Returns the event of facts: a new dict.
    pub fn event(&mut self, facts: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
        let py = facts.py();
        let facts = facts.cast_exact::<PyTuple>().ok()?;
        if facts.len() != 8 || !facts.get_item(4).ok()?.is_none() {
            return None;
        }
        let place = facts.get_item(0).ok()?;
        let place = place.cast::<PyTuple>().ok()?;
        if !place.get_item(0).ok()?.is(self.flow) {
            return None;
        }
        let kind = facts.get_item(1).ok()?;
        let kind = kind.cast::<PyTuple>().ok()?;
        let key = kind.get_item(1).ok()?;
        if key.is_none() {
            return None;
        }
        let level: i64 = facts.get_item(2).ok()?.extract().ok()?;
        let wall: u64 = facts.get_item(3).ok()?.extract().ok()?;
        let data = self.data(&key, &facts.get_item(5).ok()?)?;
        let metrics = self.metrics(&facts.get_item(6).ok()?)?;
        let level = if level >= 40 {
            intern!(py, "error")
        } else if level >= 30 {
            intern!(py, "warn")
        } else if level >= 20 {
            intern!(py, "info")
        } else {
            intern!(py, "debug")
        };
        let event = self.usual.copy().ok()?;
        let set =
            |key: &Bound<'py, PyString>, value: &Bound<'py, PyAny>| event.set_item(key, value).ok();
        set(
            intern!(py, "span_id"),
            self.span_id(&place.get_item(1).ok()?)?.as_any(),
        )?;
        let parent = place.get_item(2).ok()?;
        if !parent.is_none() {
            set(intern!(py, "parent_id"), self.span_id(&parent)?.as_any())?;
        }
        set(intern!(py, "node"), &place.get_item(3).ok()?)?;
        set(intern!(py, "level"), level.as_any())?;
        let moment = PyFloat::new(py, (wall / 1000) as f64 / 1e6);
        set(intern!(py, "timestamp"), moment.as_any())?;
        set(intern!(py, "event_type"), &kind.get_item(0).ok()?)?;
        set(intern!(py, "data"), data.as_any())?;
        set(intern!(py, "metrics"), metrics.as_any())?;
        let step = place.get_item(4).ok()?;
        if !step.is_none() {
            set(intern!(py, "step"), &step)?;
        }
        Some(event)
    }

    fn data(
        &mut self,
        key: &Bound<'py, PyAny>,
        payload: &Bound<'py, PyAny>,
    ) -> Option<Bound<'py, PyDict>> {
        let py = key.py();
        let data = PyDict::new(py);
        if payload.is(self.nothing) {
            return Some(data);
        }
        let Ok(encoded) = payload.cast_exact::<Encoded>() else {
            let is_itself = payload.is_none() || payload.is_exact_instance_of::<PyBool>();
            return (is_itself && data.set_item(key, payload).is_ok()).then_some(data);
        };
        let encoded = encoded.get();
        // Another thread could let the flow learn a secret, which these needles lack.
        if encoded.lets_others_run(py) {
            return None;
        }
        if !encoded.is_clean(py, self.needles).ok()? {
            return None;
        }
        let ways = encoded.all_ways(py);
        let cut = if ways.is_empty() {
            None
        } else {
            let paths = self.cuts.get_item((key, ways)).ok()??;
            Some(PyList::new(py, paths.cast_exact::<PyTuple>().ok()?.iter()).ok()?)
        };
        let json = std::str::from_utf8(encoded.bytes(py)).ok()?;
        data.set_item(key, read(py, json, self.names)?).ok()?;
        if let Some(cut) = cut {
            data.set_item(intern!(py, "cut"), cut).ok()?;
        }
        Some(data)
    }

    fn metrics(&self, metrics: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
        let py = metrics.py();
        if let Ok(metrics) = metrics.cast_exact::<PyDict>() {
            return metrics.copy().ok();
        }
        let made = PyDict::new(py);
        if !metrics.is_none() {
            let took = metrics.cast_exact::<PyInt>().ok()?.extract::<i64>().ok()?;
            made.set_item(intern!(py, "duration_ms"), took as f64 / 1e6)
                .ok()?;
        }
        Some(made)
    }

    fn span_id(&mut self, number: &Bound<'py, PyAny>) -> Option<Bound<'py, PyString>> {
        let number: u64 = number.extract().ok()?;
        let place = &mut self.ids[number as usize % SPANS];
        if let Some((known, id)) = place {
            if *known == number {
                return Some(id.clone());
            }
        }
        let (group, node) = (number >> 48, number & 0xffff_ffff_ffff);
        let text = format!("{}{group:04x}-{node:012x}", self.prefix);
        let id = PyString::new(self.flow.py(), &text);
        *place = Some((number, id.clone()));
        Some(id)
    }
}

/// Returns what JSON says that this core has written.
fn read<'py>(py: Python<'py>, json: &str, names: &mut Names) -> Option<Bound<'py, PyAny>> {
    let mut reader = Reader { json, at: 0, names };
    let value = reader.value(py)?;
    (reader.at == json.len()).then_some(value)
}

struct Reader<'a> {
    json: &'a str,
    at: usize,
    names: &'a mut Names,
}

impl Reader<'_> {
    /// Returns the next value. Captured values are not nested deeply.
    fn value<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match self.peek()? {
            b'"' => {
                let (text, is_plain) = self.text()?;
                let text = if is_plain {
                    PyString::new(py, text)
                } else {
                    PyString::new(py, &unescaped(text))
                };
                Some(text.into_any())
            }
            b'{' => self.dict(py),
            b'[' => self.list(py),
            b'n' => self.word("null", py.None().into_bound(py)),
            b't' => self.word("true", PyBool::new(py, true).to_owned().into_any()),
            b'f' => self.word("false", PyBool::new(py, false).to_owned().into_any()),
            _ => self.number(py),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    /// Passes over a byte, if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn word<'py>(&mut self, word: &str, value: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let is_next = self.json.get(self.at..)?.starts_with(word);
        self.at += word.len();
        is_next.then_some(value)
    }

    /// Returns the next text without its quotes, and whether nothing in it is escaped.
    fn text(&mut self) -> Option<(&str, bool)> {
        let start = self.at + 1;
        let (mut end, mut is_plain) = (start, true);
        loop {
            end += memchr::memchr2(b'"', b'\\', self.json.as_bytes().get(end..)?)?;
            if self.json.as_bytes()[end] == b'"' {
                break;
            }
            is_plain = false;
            end += 2;
        }
        self.at = end + 1;
        Some((self.json.get(start..end)?, is_plain))
    }

    fn dict<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let dict = PyDict::new(py);
        self.at += 1;
        if self.takes(b'}') {
            return Some(dict.into_any());
        }
        loop {
            let key = self.key(py)?;
            if !self.takes(b':') {
                return None;
            }
            dict.set_item(key, self.value(py)?).ok()?;
            if !self.takes(b',') {
                return self.takes(b'}').then(|| dict.into_any());
            }
        }
    }

    fn key<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let json = self.json;
        let at = self.at + 1;
        let (length, is_plain) = self.text().map(|(text, is_plain)| (text.len(), is_plain))?;
        let text = json.get(at..at + length)?;
        if !is_plain {
            return Some(PyString::new(py, &unescaped(text)));
        }
        Some(self.names.of(py, text))
    }

    fn list<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let list = PyList::empty(py);
        self.at += 1;
        if self.takes(b']') {
            return Some(list.into_any());
        }
        loop {
            list.append(self.value(py)?).ok()?;
            if !self.takes(b',') {
                return self.takes(b']').then(|| list.into_any());
            }
        }
    }

    fn number<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let rest = self.json.get(self.at..)?;
        let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
        self.at += end;
        let text = &rest[..end];
        if text.contains('.') {
            return Some(PyFloat::new(py, text.parse().ok()?).into_any());
        }
        let number: i64 = text.parse().ok()?;
        Some(number.into_pyobject(py).ok()?.into_any())
    }
}
