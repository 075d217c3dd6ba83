//! One pass over one value.

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};
use pyo3::{PyTypeCheck, PyTypeInfo};

use the_edge_obs::redaction::PLACEHOLDER;

use crate::encoded::Encoded;
use crate::json;

/// The most items of one container.
const MAX_ITEMS: usize = 200;
/// The most containers inside one another.
const MAX_DEPTH: usize = 16;
/// The most values of one payload.
const MAX_VALUES: usize = 2_000;
/// The most characters of all its texts, and of one of them.
const MAX_CHARS: usize = 32_768;
const MAX_STRING: usize = 8_192;
/// The most characters of a text that is looked up among the secrets.
const SMALL_STRING: usize = 1_024;

/// The most items of a dict in which a name is looked for beside a value.
const SMALL_ITEMS: usize = 32;
/// The most characters of a key that is kept whole.
const MAX_KEY: usize = 232;
/// The most characters of a text that can be a key.
const MAX_NAME: usize = 256;
/// The most placeholders whose places are listed.
const MAX_WAYS: usize = 50;

const PLAIN: u8 = 0;
const SECRET: u8 = 1;
const TOKEN: u8 = 2;
const WEAK: u8 = 3;
const VALUE: u8 = 5;

thread_local! {
    /// Where the thread wrote the payload before.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Keeps a buffer for the thread's next payload, if it is of a common size.
fn keep(mut buffer: Vec<u8>) {
    if buffer.capacity() <= 65_536 {
        buffer.clear();
        BUFFER.set(buffer);
    }
}

/// Tells whether a verdict makes a key secret, if its value looks like a secret.
fn is_sure(verdict: u8) -> bool {
    matches!(verdict, SECRET | TOKEN | WEAK)
}

/// Why a pass ends early.
enum Stop {
    /// The value has something that only the Python package captures.
    Other,
    /// A function of the package raised, as it does when the program is interrupted.
    Raised(PyErr),
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Stop {
        Stop::Raised(error)
    }
}

/// What a capture needs of the Python package.
///
/// Args:
///     judge: ``judge(verdict, item, key, siblings, flow)`` tells whether a value is a secret, which the flow has
///         learned then.
///     names: Keys that make a ``value`` beside them secret.
#[pyclass(frozen, module = "the_edge_obs_native")]
pub struct Core {
    judge: Py<PyAny>,
    names: Py<PyFrozenSet>,
    /// The verdict on most keys: Python has one object for it, which is compared faster than read.
    plain: Py<PyInt>,
}

#[pymethods]
impl Core {
    #[new]
    fn new(py: Python<'_>, judge: Py<PyAny>, names: Py<PyFrozenSet>) -> Core {
        let plain = PyInt::new(py, PLAIN).unbind();
        Core {
            judge,
            names,
            plain,
        }
    }

    /// Return a value as an encoded payload, or None if it must be captured in Python.
    ///
    /// Args:
    ///     value: Anything.
    ///     known: The verdicts on keys that the classifier remembers.
    ///     classes: The classifier of keys.
    ///     flow: The flow that learns secrets, or None.
    ///     taints: The secrets of the flow, or None.
    fn capture(
        &self,
        value: &Bound<'_, PyAny>,
        known: &Bound<'_, PyDict>,
        classes: &Bound<'_, PyAny>,
        flow: &Bound<'_, PyAny>,
        taints: Option<&Bound<'_, PySet>>,
    ) -> PyResult<Option<Encoded>> {
        let py = value.py();
        let (judge, names, plain) = (
            self.judge.bind(py),
            self.names.bind(py),
            self.plain.bind(py),
        );
        let mut pass = Pass {
            judge,
            names,
            plain,
            known,
            classes,
            flow,
            taints,
            out: BUFFER.take(),
            values: MAX_VALUES,
            chars: MAX_CHARS,
            ways: Vec::new(),
        };
        // A panic would stop the observed program: Python takes the value then.
        let walk = AssertUnwindSafe(|| pass.value(value, None, 0));
        match catch_unwind(walk).unwrap_or(Err(Stop::Other)) {
            Ok(()) => {
                let ways = PyTuple::new(py, &pass.ways)?.unbind();
                let encoded = Encoded::new(py, &pass.out, ways);
                keep(pass.out);
                Ok(Some(encoded))
            }
            Err(Stop::Other) => Ok(None),
            Err(Stop::Raised(error)) => Err(error),
        }
    }
}

/// A step into a container.
enum Step<'s, 'py> {
    Key(&'s Bound<'py, PyString>),
    Index(usize),
}

/// The way to a value: its last step, and the way to the container.
struct Way<'s, 'py> {
    step: Step<'s, 'py>,
    before: Option<&'s Way<'s, 'py>>,
}

impl<'py> Way<'_, 'py> {
    fn steps(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let mut steps = Vec::new();
        let mut way = Some(self);
        while let Some(at) = way {
            steps.push(match at.step {
                Step::Key(key) => key.clone().into_any(),
                Step::Index(index) => index.into_pyobject(py)?.into_any(),
            });
            way = at.before;
        }
        steps.reverse();
        PyTuple::new(py, steps)
    }
}

/// Returns a value of exactly a type. A cast that fails makes an error, which costs more than all of this.
#[inline]
fn exact<'v, 'py, T: PyTypeCheck + PyTypeInfo>(
    value: &'v Bound<'py, PyAny>,
) -> Option<&'v Bound<'py, T>> {
    if value.is_exact_instance_of::<T>() {
        value.cast_exact::<T>().ok()
    } else {
        None
    }
}

struct Pass<'a, 'py> {
    judge: &'a Bound<'py, PyAny>,
    names: &'a Bound<'py, PyFrozenSet>,
    plain: &'a Bound<'py, PyInt>,
    known: &'a Bound<'py, PyDict>,
    classes: &'a Bound<'py, PyAny>,
    flow: &'a Bound<'py, PyAny>,
    taints: Option<&'a Bound<'py, PySet>>,
    out: Vec<u8>,
    /// Values and characters that are left.
    values: usize,
    chars: usize,
    ways: Vec<Bound<'py, PyTuple>>,
}

impl<'py> Pass<'_, 'py> {
    fn value(
        &mut self,
        value: &Bound<'py, PyAny>,
        way: Option<&Way<'_, 'py>>,
        depth: usize,
    ) -> Result<(), Stop> {
        if let Some(text) = exact::<PyString>(value) {
            return self.text(text);
        }
        if let Some(dict) = exact::<PyDict>(value) {
            return self.dict(dict, way, depth);
        }
        if let Some(list) = exact::<PyList>(value) {
            self.enter(list.len(), depth)?;
            // A copy first, as in Python: a function of the package may let another thread run.
            let items: Vec<_> = list.iter().collect();
            return self.items(&items, way, depth);
        }
        if value.is_none() {
            self.out.extend_from_slice(b"null");
        } else if let Some(number) = exact::<PyInt>(value) {
            match number.extract() {
                Ok(i64::MIN) | Err(_) => return Err(Stop::Other), // written as a text
                Ok(number) => json::integer(number, &mut self.out),
            }
        } else if let Some(number) = exact::<PyFloat>(value) {
            if !json::is_plain_float(number.value()) {
                return Err(Stop::Other);
            }
            // Of two shortest texts, Python takes the even one, and Rust does not.
            let text = number.repr().map_err(|_| Stop::Other)?;
            let text = text.to_str().map_err(|_| Stop::Other)?;
            self.out.extend_from_slice(text.as_bytes());
        } else if let Some(truth) = exact::<PyBool>(value) {
            let text: &[u8] = if truth.is_true() { b"true" } else { b"false" };
            self.out.extend_from_slice(text);
        } else if let Some(tuple) = exact::<PyTuple>(value) {
            self.enter(tuple.len(), depth)?;
            let items: Vec<_> = tuple.iter().collect();
            return self.items(&items, way, depth);
        } else {
            return Err(Stop::Other);
        }
        Ok(())
    }

    /// Counts the items of a container.
    fn enter(&mut self, count: usize, depth: usize) -> Result<(), Stop> {
        if count > MAX_ITEMS || depth >= MAX_DEPTH || count > self.values {
            return Err(Stop::Other);
        }
        self.values -= count;
        Ok(())
    }

    fn text(&mut self, text: &Bound<'py, PyString>) -> Result<(), Stop> {
        let chars = text.len().map_err(|_| Stop::Other)?;
        if chars > self.chars.min(MAX_STRING) {
            return Err(Stop::Other);
        }
        self.chars -= chars;
        self.write(text)
    }

    fn write(&mut self, text: &Bound<'py, PyString>) -> Result<(), Stop> {
        json::string(text.to_str().map_err(|_| Stop::Other)?, &mut self.out);
        Ok(())
    }

    fn dict(
        &mut self,
        dict: &Bound<'py, PyDict>,
        before: Option<&Way<'_, 'py>>,
        depth: usize,
    ) -> Result<(), Stop> {
        self.enter(dict.len(), depth)?;
        let pairs: Vec<_> = dict.iter().collect();
        let mut has_value = false;
        self.out.push(b'{');
        for (at, (key, value)) in pairs.iter().enumerate() {
            let key = key.cast_exact::<PyString>().map_err(|_| Stop::Other)?;
            if at > 0 {
                self.out.push(b',');
            }
            if key.len()? > MAX_KEY {
                return Err(Stop::Other);
            }
            let verdict = self.verdict(key)?;
            self.write(key)?;
            self.out.push(b':');
            let way = Way {
                step: Step::Key(key),
                before,
            };
            if is_sure(verdict) {
                if self.is_secret(verdict, key, value, &pairs)? {
                    json::string(PLACEHOLDER, &mut self.out);
                    self.note(&way, value.py())?;
                    continue;
                }
            } else if verdict == VALUE {
                // Before anything in the dict is learned that Python would judge in another way.
                if !std::mem::replace(&mut has_value, true) && self.may_have_name(&pairs)? {
                    return Err(Stop::Other);
                }
            } else if verdict != PLAIN {
                return Err(Stop::Other);
            }
            self.value(value, Some(&way), depth + 1)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn note(&mut self, way: &Way<'_, 'py>, py: Python<'py>) -> Result<(), Stop> {
        if self.ways.len() == MAX_WAYS {
            return Err(Stop::Other);
        }
        self.ways.push(way.steps(py)?);
        Ok(())
    }

    /// Tells whether a dict may name a secret that is the value beside the name: `{"name": "password", "value": "x"}`.
    fn may_have_name(
        &self,
        pairs: &[(Bound<'py, PyAny>, Bound<'py, PyAny>)],
    ) -> Result<bool, Stop> {
        if pairs.len() > SMALL_ITEMS {
            return Ok(true);
        }
        let mut has_name = false;
        for (key, _) in pairs {
            has_name = has_name || self.names.contains(key)?;
        }
        if !has_name {
            return Ok(false);
        }
        for (key, value) in pairs {
            let (Some(key), Some(name)) = (exact::<PyString>(key), exact::<PyString>(value)) else {
                continue;
            };
            // A name in another spelling has something else than small letters in it.
            let is_other = |key: &str| !key.bytes().all(|byte| byte.is_ascii_lowercase());
            if !self.names.contains(key)? && !key.to_str().is_ok_and(is_other) {
                continue;
            }
            let is_short = name
                .to_str()
                .is_ok_and(|name| name.matches(' ').count() < 3);
            if is_short && name.len()? <= MAX_NAME && is_sure(self.verdict(name)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn verdict(&self, key: &Bound<'py, PyString>) -> PyResult<u8> {
        match self.known.get_item(key)? {
            Some(verdict) if verdict.is(self.plain) => Ok(PLAIN),
            Some(verdict) => verdict.extract(),
            None => self.classes.call_method1("classify", (key,))?.extract(),
        }
    }

    /// Tells whether a value under a secret key is a secret; the flow has learned it then.
    fn is_secret(
        &self,
        verdict: u8,
        key: &Bound<'py, PyString>,
        value: &Bound<'py, PyAny>,
        pairs: &[(Bound<'py, PyAny>, Bound<'py, PyAny>)],
    ) -> PyResult<bool> {
        if value.is_none() || value.is_exact_instance_of::<PyBool>() {
            return Ok(false);
        }
        if let (Some(taints), Some(text)) = (self.taints, exact::<PyString>(value)) {
            if text.len()? <= SMALL_STRING && taints.contains(text)? {
                return Ok(true);
            }
        }
        let siblings = if verdict == TOKEN { pairs } else { &[] };
        let siblings = PyTuple::new(value.py(), siblings.iter().map(|(key, _)| key))?;
        self.judge
            .call1((verdict, value, key, siblings, self.flow))?
            .is_truthy()
    }

    fn items(
        &mut self,
        items: &[Bound<'py, PyAny>],
        before: Option<&Way<'_, 'py>>,
        depth: usize,
    ) -> Result<(), Stop> {
        self.out.push(b'[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            if self.may_name_secret(item)? {
                return Err(Stop::Other);
            }
            let way = Way {
                step: Step::Index(at),
                before,
            };
            self.value(item, Some(&way), depth + 1)?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Tells whether an item of a list may say that a value is secret: an argument such as `--password`, or a pair such as a header.
    fn may_name_secret(&self, item: &Bound<'py, PyAny>) -> Result<bool, Stop> {
        if let Some(text) = exact::<PyString>(item) {
            return Ok(text.to_str().is_ok_and(|text| text.starts_with('-')));
        }
        let first = if let Some(pair) = exact::<PyList>(item) {
            if pair.len() == 2 {
                pair.get_item(0).ok()
            } else {
                None
            }
        } else if let Some(pair) = exact::<PyTuple>(item) {
            if pair.len() == 2 {
                pair.get_item(0).ok()
            } else {
                None
            }
        } else {
            None
        };
        match first.as_ref().map(|first| first.cast_exact::<PyString>()) {
            Some(Ok(name)) if name.len()? <= MAX_NAME => Ok(is_sure(self.verdict(name)?)),
            _ => Ok(false),
        }
    }
}
