//! The lines of entries and exits whose payloads are bytes, as `the_edge_obs/handlers/lines.py` joins them.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Mutex;

use memchr::memmem::Finder;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

use crate::encoded::Encoded;
use crate::json;

/// The places for texts that the Python package made.
const PLACES: usize = 64;
/// The longest line that is kept to write the next one into.
const MAX_KEPT: usize = 65_536;
/// Between these, in nanoseconds, a timestamp is `repr` of its microseconds: microseconds are farther apart there than floats.
const FIRST: i64 = 1_000_000_000;
const LAST: i64 = 8_589_934_592_000_000_000;
/// Between these, in nanoseconds, a duration in milliseconds has at most 15 digits and no exponent.
const SHORTEST: i64 = 100;
const LONGEST: i64 = 1_000_000_000_000_000;

/// A kind of events: the kind, the key of its payload, and the text before the payload.
type Shape = (Py<PyAny>, Py<PyAny>, Vec<u8>);

/// Writes lines.
///
/// Args:
///     entry, exit: The kinds of events, each with the key of its payload and the text before the payload.
///     metrics: The text between payload and metrics.
///     none: The text of an entry in place of metrics.
///     duration: The texts around the duration, in place of metrics.
///     parent, node: The texts before the id of the parent, and before the name of the node.
///     named: ``named(node, level)`` gives the text from the name of the node to the timestamp.
///     cut: ``cut(key, ways)`` gives the text after a payload of which something was redacted.
///     longest: Bytes of the longest line that is surely not cut.
#[pyclass(frozen, module = "the_edge_obs_native")]
pub struct Lines {
    entry: Shape,
    exit: Shape,
    metrics: Vec<u8>,
    none: Vec<u8>,
    duration: (Vec<u8>, Vec<u8>),
    parent: Vec<u8>,
    node: Vec<u8>,
    longest: usize,
    memory: Mutex<Memory>,
}

/// What is written as metrics.
enum Figures<'a> {
    None,
    Took(i64),
    Given(&'a [u8]),
}

struct Memory {
    named: Made,
    cut: Made,
    needles: Option<Needles>,
    out: Vec<u8>,
}

#[pymethods]
impl Lines {
    #[new]
    #[pyo3(signature = (*, entry, exit, metrics, none, duration, parent, node, named, cut, longest))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        entry: Shape,
        exit: Shape,
        metrics: Vec<u8>,
        none: Vec<u8>,
        duration: (Vec<u8>, Vec<u8>),
        parent: Vec<u8>,
        node: Vec<u8>,
        named: Py<PyAny>,
        cut: Py<PyAny>,
        longest: usize,
    ) -> Lines {
        let memory = Memory {
            named: Made::by(named),
            cut: Made::by(cut),
            needles: None,
            out: Vec::new(),
        };
        Lines {
            entry,
            exit,
            metrics,
            none,
            duration,
            parent,
            node,
            longest,
            memory: Mutex::new(memory),
        }
    }

    /// Return the line of facts, or None if Python must write it.
    ///
    /// Args:
    ///     facts: The facts of an event.
    ///     start: The beginning of each line of the flow.
    ///     prefix: The beginning of the id of each of its spans.
    ///     needles: What must not be in the bytes of a payload.
    ///     figures: The metrics of an exit as JSON, if they are not its duration alone.
    ///     end: The end of the line.
    fn line<'py>(
        &self,
        facts: &Bound<'py, PyTuple>,
        start: &Bound<'py, PyString>,
        prefix: &Bound<'py, PyString>,
        needles: &Bound<'py, PyTuple>,
        figures: Option<&Bound<'py, PyBytes>>,
        end: &Bound<'py, PyBytes>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let payload = facts.get_item(5)?;
        let Ok(payload) = payload.cast_exact::<Encoded>() else {
            return Ok(None);
        };
        let payload = payload.get();
        // First, because other threads may run during the search.
        if !payload.has_no_secret(facts.py()) {
            return Ok(None);
        }
        // It is in use where the garbage collector ran a finalizer that logs, and where another thread makes a text.
        let Ok(mut memory) = self.memory.try_lock() else {
            return Ok(None);
        };
        let memory = &mut *memory;
        if memory.out.capacity() > MAX_KEPT {
            memory.out = Vec::new();
        }
        memory.out.clear();
        memory.out.extend_from_slice(start.to_str()?.as_bytes());
        let prefix = prefix.to_str()?;
        let write =
            AssertUnwindSafe(|| self.write(facts, payload, prefix, needles, figures, memory));
        // A panic would stop the observed program: Python writes the line then.
        let is_written = catch_unwind(write).unwrap_or(Ok(false))?;
        memory.out.extend_from_slice(end.as_bytes());
        let line = &memory.out;
        Ok((is_written && line.len() <= self.longest).then(|| PyBytes::new(facts.py(), line)))
    }
}

impl Lines {
    /// Writes a line from the id of the span to the end of its metrics; returns whether it could.
    fn write(
        &self,
        facts: &Bound<'_, PyTuple>,
        payload: &Encoded,
        prefix: &str,
        needles: &Bound<'_, PyTuple>,
        figures: Option<&Bound<'_, PyBytes>>,
        memory: &mut Memory,
    ) -> PyResult<bool> {
        let py = facts.py();
        let fact = |at| facts.get_borrowed_item(at);
        let (kind, level, wall, metrics) = (fact(1)?, fact(2)?, fact(3)?, fact(6)?);
        let (is_entry, is_exit) = (kind.is(&self.entry.0), kind.is(&self.exit.0));
        let figures = match figures {
            None if is_entry && metrics.is_none() => Figures::None,
            None if is_exit => match between(&metrics, SHORTEST, LONGEST) {
                Some(took) => Figures::Took(took),
                None => return Ok(false),
            },
            Some(figures) if is_exit => Figures::Given(figures.as_bytes()),
            _ => return Ok(false),
        };
        let (_, key, before) = if is_entry { &self.entry } else { &self.exit };
        let Some(wall) = between(&wall, FIRST, LAST) else {
            return Ok(false);
        };
        if !fact(4)?.is_none()
            || Needles::known(&mut memory.needles, needles)?.are_in(payload.bytes(py))
        {
            return Ok(false);
        }
        let place = fact(0)?;
        let place = place.cast::<PyTuple>()?;
        let parent = place.get_borrowed_item(2)?;
        let Ok(number) = place.get_borrowed_item(1)?.extract() else {
            return Ok(false);
        };
        let out = &mut memory.out;
        span(number, out);
        out.extend_from_slice(&self.parent);
        if parent.is_none() {
            out.extend_from_slice(b"null");
        } else if let Ok(number) = parent.extract() {
            out.push(b'"');
            out.extend_from_slice(prefix.as_bytes());
            span(number, out);
            out.push(b'"');
        } else {
            return Ok(false);
        }
        out.extend_from_slice(&self.node);
        let node = place.get_borrowed_item(3)?;
        out.extend_from_slice(memory.named.of(&node, &level)?);
        json::fixed(wall / 1_000, 6, out);
        out.extend_from_slice(before);
        out.extend_from_slice(payload.bytes(py));
        let ways = payload.all_ways(py);
        if !ways.is_empty() {
            out.extend_from_slice(memory.cut.of(key.bind(py), ways)?);
        }
        match figures {
            Figures::None => out.extend_from_slice(&self.none),
            Figures::Took(took) => {
                out.extend_from_slice(&self.duration.0);
                json::fixed(took, 6, out);
                out.extend_from_slice(&self.duration.1);
            }
            Figures::Given(figures) => {
                out.extend_from_slice(&self.metrics);
                out.extend_from_slice(figures);
            }
        }
        Ok(true)
    }
}

/// What must not be in the bytes of the payloads of a flow, ready to be searched for.
struct Needles {
    given: Py<PyTuple>,
    finders: Vec<Finder<'static>>,
}

impl Needles {
    /// Returns needles, which most often are those of the line before.
    fn known<'a>(
        before: &'a mut Option<Needles>,
        given: &Bound<'_, PyTuple>,
    ) -> PyResult<&'a Needles> {
        let known = before
            .take()
            .filter(|needles| needles.given.as_ptr() == given.as_ptr());
        let needles = match known {
            Some(needles) => needles,
            None => {
                let finder = |needle: Bound<'_, PyAny>| -> PyResult<Finder<'static>> {
                    Ok(Finder::new(needle.cast::<PyBytes>()?.as_bytes()).into_owned())
                };
                Needles {
                    given: given.clone().unbind(),
                    finders: given.iter().map(finder).collect::<PyResult<_>>()?,
                }
            }
        };
        Ok(before.insert(needles))
    }

    fn are_in(&self, json: &[u8]) -> bool {
        self.finders
            .iter()
            .any(|finder| finder.find(json).is_some())
    }
}

/// Texts that a Python function made of two objects.
struct Made {
    make: Py<PyAny>,
    texts: Vec<Option<Text>>,
}

/// Two objects, which are kept alive, so no others get their addresses, and the text that was made of them.
type Text = (Py<PyAny>, Py<PyAny>, Box<[u8]>);

impl Made {
    fn by(make: Py<PyAny>) -> Made {
        Made {
            make,
            texts: std::iter::repeat_with(|| None).take(PLACES).collect(),
        }
    }

    fn of(&mut self, one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<&[u8]> {
        // Objects lie at multiples of 16.
        let address = one.as_ptr() as usize ^ (other.as_ptr() as usize).rotate_left(3);
        let place = &mut self.texts[(address >> 4 ^ address >> 14) % PLACES];
        let is_here = |(first, second, _): &Text| {
            first.as_ptr() == one.as_ptr() && second.as_ptr() == other.as_ptr()
        };
        if !place.as_ref().is_some_and(is_here) {
            let made = self.make.bind(one.py()).call1((one, other))?;
            let text = made.cast::<PyBytes>()?.as_bytes().into();
            *place = Some((one.clone().unbind(), other.clone().unbind(), text));
        }
        Ok(place.as_ref().map_or(&[], |(_, _, text)| text))
    }
}

/// Returns an integer if it is between two others.
fn between(value: &Bound<'_, PyAny>, least: i64, end: i64) -> Option<i64> {
    if !value.is_exact_instance_of::<PyInt>() {
        return None;
    }
    value
        .extract()
        .ok()
        .filter(|number| (least..end).contains(number))
}

/// Appends the last 16 digits of the id of a span.
fn span(number: u64, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits: [u8; 16] =
        std::array::from_fn(|at| DIGITS[(number >> (60 - 4 * at) & 15) as usize]);
    let (first, last) = digits.split_at(4);
    out.extend_from_slice(first);
    out.push(b'-');
    out.extend_from_slice(last);
}
