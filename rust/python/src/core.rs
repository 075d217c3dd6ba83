//! The capture of values.

use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyString, PyTuple};
use the_edge_obs::redaction::{Verdict, MAX_STRING};

use crate::encoded::Encoded;
use crate::keys::Keys;
use crate::pass::{Buffers, Other, Pass, Question, Rules, Step, Ways};
use crate::reading::{Maker, Names};

/// The most classifiers whose keys are remembered.
const MAX_CLASSES: usize = 64;

/// What a capture needs of the Python package.
///
/// Args:
///     snapshot: ``snapshot(value, flow, classes)`` captures what the core does not take.
///     judge: ``judge(verdict, value, key, siblings, flow)`` tells whether a value is a secret, which the flow has learned then.
///     classes: The classifier of keys that is used where none is given.
///     names: Keys that make a ``value`` beside them secret.
///     small_items: The most items of a dict in which such a name is looked for.
///     small_string: The most characters of a text that is looked up among the secrets of a flow.
///     max_count: A larger number under a bare ``token`` is not a count.
#[pyclass(frozen, module = "the_edge_obs_native")]
pub struct Core {
    snapshot: Py<PyAny>,
    judge: Py<PyAny>,
    classes: Py<PyAny>,
    rules: Rules,
    is_off: AtomicBool,
    memory: Mutex<Memory>,
}

/// What is kept from one capture to the next. It is locked while a pass runs, which runs no Python code, so nobody ever waits.
#[derive(Default)]
struct Memory {
    /// By the address of the classifier, which is kept alive.
    keys: HashMap<usize, (Py<PyAny>, Keys)>,
    buffers: Buffers,
    told: Told,
    names: Names,
}

#[pymethods]
impl Core {
    #[new]
    fn new(
        snapshot: Py<PyAny>,
        judge: Py<PyAny>,
        classes: Py<PyAny>,
        names: &Bound<'_, PyFrozenSet>,
        small_items: usize,
        small_string: usize,
        max_count: i64,
    ) -> PyResult<Core> {
        let names = names.iter().map(|name| name.extract());
        Ok(Core {
            snapshot,
            judge,
            classes,
            rules: Rules {
                names: names.collect::<PyResult<_>>()?,
                small_items,
                small_string,
                max_count,
            },
            is_off: AtomicBool::new(false),
            memory: Mutex::default(),
        })
    }

    /// Capture everything in Python from now on, as under a policy of the process; or not.
    fn turn_off(&self, is_off: bool) {
        self.is_off.store(is_off, Ordering::Relaxed);
    }

    /// Return the payload of a value: bytes, or its snapshot.
    ///
    /// Args:
    ///     value: Anything.
    ///     flow: The flow that learns secrets, or None.
    ///     classes: The classifier of keys.
    #[pyo3(signature = (value, flow=None, classes=None))]
    fn capture(
        &self,
        value: &Bound<'_, PyAny>,
        flow: Option<&Bound<'_, PyAny>>,
        classes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = value.py();
        if value.is_none() || is_number(value) {
            return Ok(value.clone().unbind());
        }
        let classes = classes.unwrap_or_else(|| self.classes.bind(py));
        let is_text = value.is_exact_instance_of::<PyString>();
        let is_container =
            || value.is_exact_instance_of::<PyDict>() || value.is_exact_instance_of::<PyList>();
        if !self.is_off.load(Ordering::Relaxed) && (is_text || is_container()) {
            if let Some(taints) = taints_of(flow, py)? {
                if !is_text {
                    if let Some(taken) = self.encoded(value, flow, taints.as_ref(), classes)? {
                        return Ok(Bound::new(py, taken)?.into_any().unbind());
                    }
                } else if value.len()? <= MAX_STRING {
                    return Ok(value.clone().unbind());
                }
            }
        }
        Ok(self
            .snapshot
            .bind(py)
            .call1((value, flow, classes))?
            .unbind())
    }

    /// Return the events of facts, each a new dict, with None in place of those that Python must make. It runs no Python code.
    ///
    /// Args:
    ///     facts: A list of facts.
    ///     flow: The flow that they belong to.
    ///     prefix: The beginning of the ids of its spans.
    ///     usual: An event with all keys but ``step``, the id of the flow, and no message and parent.
    ///     needles: The secrets of the flow as JSON spells them, in UTF-8.
    ///     cuts: By the key of a payload in the data and by its ways, a tuple of the paths of what was cut.
    ///     nothing: Stands for a payload that is not there.
    #[allow(clippy::too_many_arguments)]
    fn events<'py>(
        &self,
        facts: &Bound<'py, PyList>,
        flow: &Bound<'py, PyAny>,
        prefix: &str,
        usual: &Bound<'py, PyDict>,
        needles: &Bound<'py, PyTuple>,
        cuts: &Bound<'py, PyDict>,
        nothing: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = facts.py();
        // It is in use where the garbage collector ran a finalizer during a capture or a reading.
        let mut memory = self.memory.try_lock().ok();
        let mut maker = memory.as_mut().map(|memory| Maker {
            flow,
            prefix,
            usual,
            needles,
            cuts,
            nothing,
            names: &mut memory.names,
            ids: std::array::from_fn(|_| None),
        });
        let events = PyList::empty(py);
        for facts in facts.iter() {
            // A panic would stop the observed program: Python makes the event then.
            let make = || maker.as_mut().and_then(|maker| maker.event(&facts));
            let event = catch_unwind(AssertUnwindSafe(make)).unwrap_or(None);
            events.append(event)?;
        }
        Ok(events)
    }
}

impl Core {
    fn encoded(
        &self,
        value: &Bound<'_, PyAny>,
        flow: Option<&Bound<'_, PyAny>>,
        taints: Option<&Bound<'_, PyAny>>,
        classes: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Encoded>> {
        let mut questions = Vec::new();
        for _ in 0..2 {
            let Some(encoded) = self.walked(value, taints, classes, &mut questions)? else {
                return Ok(None);
            };
            if questions
                .iter()
                .all(|question| question.is_secret.is_some())
            {
                return Ok(Some(encoded));
            }
            for question in &mut questions {
                question.is_secret = Some(self.judged(question, flow, taints, value.py())?);
            }
        }
        Ok(None)
    }

    /// Returns what one pass makes of a value, which counts once all questions have answers; `None` if Python must take the value.
    fn walked(
        &self,
        value: &Bound<'_, PyAny>,
        taints: Option<&Bound<'_, PyAny>>,
        classes: &Bound<'_, PyAny>,
        questions: &mut Vec<Question>,
    ) -> PyResult<Option<Encoded>> {
        let py = value.py();
        // It is in use where the garbage collector ran a finalizer during a capture.
        let Ok(mut memory) = self.memory.try_lock() else {
            return Ok(None);
        };
        let memory = &mut *memory;
        let address = classes.as_ptr() as usize;
        let keys = match memory.keys.entry(address) {
            Entry::Occupied(known) => &mut known.into_mut().1,
            Entry::Vacant(new) => {
                let extra = classes.getattr(intern!(py, "extra"))?;
                let keys = Keys::new(extra.cast::<PyFrozenSet>()?)?;
                &mut new.insert((classes.clone().unbind(), keys)).1
            }
        };
        let buffers = &mut memory.buffers;
        let walk = || Pass::walk(value, taints, keys, &self.rules, buffers, questions);
        // A panic would stop the observed program: Python takes the value then.
        let Ok(are_keys_clean) = catch_unwind(AssertUnwindSafe(walk)).unwrap_or(Err(Other)) else {
            return Ok(None);
        };
        let ways = memory.told.told(py, &buffers.ways)?;
        let encoded = Encoded::new(py, &buffers.out, ways, are_keys_clean);
        if memory.keys.len() > MAX_CLASSES {
            memory.keys.clear();
        }
        Ok(Some(encoded))
    }

    /// Returns whether a value under a secret key is a secret; the flow has learned it then.
    fn judged(
        &self,
        question: &Question,
        flow: Option<&Bound<'_, PyAny>>,
        taints: Option<&Bound<'_, PyAny>>,
        py: Python<'_>,
    ) -> PyResult<bool> {
        let value = question.value.bind(py);
        // A question before may have let the flow learn it.
        if let (Some(taints), Ok(text)) = (taints, value.cast_exact::<PyString>()) {
            if text.len()? <= self.rules.small_string && taints.contains(text)? {
                return Ok(true);
            }
        }
        let verdict = match question.verdict {
            Verdict::Secret => 1,
            Verdict::Token => 2,
            _ => 3,
        };
        let siblings = PyTuple::new(py, &question.siblings)?;
        self.judge
            .bind(py)
            .call1((verdict, value, &question.key, siblings, flow))?
            .is_truthy()
    }
}

/// Tells whether a value is a number or a truth value, which is its own snapshot.
fn is_number(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
}

/// Returns the secrets of a flow; `None` if it has a policy of its own.
fn taints_of<'py>(
    flow: Option<&Bound<'py, PyAny>>,
    py: Python<'py>,
) -> PyResult<Option<Option<Bound<'py, PyAny>>>> {
    let Some(flow) = flow else {
        return Ok(Some(None));
    };
    let taints = flow.getattr(intern!(py, "taints"))?;
    let is_plain = taints.getattr(intern!(py, "policy"))?.is_none();
    Ok(is_plain.then_some(Some(taints)))
}

/// The ways of the payload before, and the tuples that tell them: most payloads of a program have the same.
#[derive(Default)]
struct Told {
    steps: Vec<Step>,
    ends: Vec<usize>,
    ways: Option<Py<PyTuple>>,
}

impl Told {
    fn told(&mut self, py: Python<'_>, ways: &Ways) -> PyResult<Py<PyTuple>> {
        if let Some(told) = &self.ways {
            if self.steps == ways.steps && self.ends == ways.ends {
                return Ok(told.clone_ref(py));
            }
        }
        let mut keys = ways.keys.iter();
        let (mut start, mut all) = (0, Vec::new());
        for end in &ways.ends {
            let mut way = Vec::new();
            // The keys of a way were found from the inside out.
            let count = ways.steps[start..*end]
                .iter()
                .filter(|step| matches!(step, Step::Key(_)))
                .count();
            let mut own: Vec<_> = keys.by_ref().take(count).collect();
            for step in &ways.steps[start..*end] {
                way.push(match step {
                    Step::Index(index) => index.into_pyobject(py)?.into_any(),
                    Step::Key(_) => own
                        .pop()
                        .map_or_else(|| py.None().into_bound(py), |key| key.bind(py).clone()),
                });
            }
            all.push(PyTuple::new(py, way)?);
            start = *end;
        }
        let told = PyTuple::new(py, all)?.unbind();
        // The tuples keep the keys alive, so that no other object gets their addresses.
        (self.steps, self.ends) = (ways.steps.clone(), ways.ends.clone());
        self.ways = Some(told.clone_ref(py));
        Ok(told)
    }
}
