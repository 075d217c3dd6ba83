//! One pass over one value.
//!
//! It reads containers by borrowed references, because to own each item would take longer than all the rest. That is sound because
//! the interpreter's lock is held and nothing that is called here runs Python code or lets another thread run: only exact types are
//! read, nothing is created that the garbage collector tracks, and after an error nothing is read any more. Where Python has to judge
//! a value, the pass goes on without the answer, and is repeated once Python has judged.
#![allow(unsafe_code)]

use std::collections::HashSet;
use std::ptr::null_mut;

use pyo3::ffi;
use pyo3::prelude::*;
use the_edge_obs::redaction::{
    Verdict, MAX_CHARS, MAX_DEPTH, MAX_ITEMS, MAX_KEY, MAX_PATHS, MAX_STRING, MAX_VALUES,
    PLACEHOLDER,
};

use crate::json;
use crate::keys::{Key, Keys};

/// The rules of the Python package for a pass.
pub struct Rules {
    /// Keys that make a `value` beside them secret.
    pub names: HashSet<String>,
    /// The most items of a dict in which a name is looked for beside a value.
    pub small_items: usize,
    /// The most characters of a text that is looked up among the secrets.
    pub small_string: usize,
    /// A larger number under a bare `token` is not a count.
    pub max_count: i64,
}

/// A borrowed reference.
type Ref = *mut ffi::PyObject;

/// The value has something that only the Python package captures.
pub struct Other;

/// A step into a container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Key(usize),
    Index(usize),
}

/// The way to a value: its last step, and the way to the container.
struct Way<'s> {
    step: Step,
    before: Option<&'s Way<'s>>,
}

/// A value under a secret key that Python has to judge.
pub struct Question {
    pub verdict: Verdict,
    pub key: Py<PyAny>,
    pub value: Py<PyAny>,
    pub siblings: Vec<Py<PyAny>>,
    /// The answer: whether the value is a secret.
    pub is_secret: Option<bool>,
}

/// A pass over a value.
pub struct Pass<'a> {
    pub keys: &'a mut Keys,
    rules: &'a Rules,
    /// The set of secrets that the flow knows, or null.
    pub taints: Ref,
    pub out: &'a mut Vec<u8>,
    /// The ways to what was redacted.
    pub ways: &'a mut Ways,
    /// What Python has to judge, in order; and how many of these were passed.
    pub questions: &'a mut Vec<Question>,
    asked: usize,
    /// Values and characters that are left.
    values: usize,
    chars: usize,
    /// Whether no key has a secret in it.
    pub are_keys_clean: bool,
}

/// What a pass writes to.
#[derive(Default)]
pub struct Buffers {
    pub out: Vec<u8>,
    pub ways: Ways,
}

/// Ways to values: the steps of all, and the end of each.
#[derive(Default)]
pub struct Ways {
    pub steps: Vec<Step>,
    pub ends: Vec<usize>,
    /// The keys among the steps, which have only their addresses.
    pub keys: Vec<Py<PyAny>>,
}

impl Buffers {
    /// Empties the buffers; those that became large are given back.
    fn clear(&mut self) {
        if self.out.capacity() > 65_536 {
            self.out = Vec::new();
        }
        self.out.clear();
        self.ways.steps.clear();
        self.ways.ends.clear();
        self.ways.keys.clear();
    }
}

impl<'a> Pass<'a> {
    /// Walks a value; returns whether no key has a secret in it.
    ///
    /// The result is complete if no question is without an answer.
    pub fn walk(
        value: &Bound<'_, PyAny>,
        taints: Option<&Bound<'_, PyAny>>,
        keys: &'a mut Keys,
        rules: &'a Rules,
        buffers: &'a mut Buffers,
        questions: &'a mut Vec<Question>,
    ) -> Result<bool, Other> {
        buffers.clear();
        let mut pass = Pass {
            keys,
            rules,
            taints: taints.map_or(null_mut(), |taints| taints.as_ptr()),
            out: &mut buffers.out,
            ways: &mut buffers.ways,
            questions,
            asked: 0,
            values: MAX_VALUES,
            chars: MAX_CHARS,
            are_keys_clean: true,
        };
        // SAFETY: the caller holds the lock and owns the value and the taints; see the module.
        unsafe { pass.value(value.as_ptr(), None, 0) }?;
        Ok(pass.are_keys_clean)
    }

    unsafe fn value(
        &mut self,
        value: Ref,
        way: Option<&Way<'_>>,
        depth: usize,
    ) -> Result<(), Other> {
        let kind = ffi::Py_TYPE(value);
        if kind == &raw mut ffi::PyUnicode_Type {
            let chars = ffi::PyUnicode_GetLength(value) as usize;
            if chars > self.chars.min(MAX_STRING) {
                return Err(Other);
            }
            self.chars -= chars;
            json::string(utf8(value)?, self.out);
        } else if kind == &raw mut ffi::PyDict_Type {
            self.dict(value, way, depth)?;
        } else if kind == &raw mut ffi::PyList_Type {
            let count = ffi::PyList_Size(value);
            self.items(count, |at| ffi::PyList_GetItem(value, at), way, depth)?;
        } else if kind == &raw mut ffi::PyLong_Type {
            let mut overflow = 0;
            let number = ffi::PyLong_AsLongLongAndOverflow(value, &mut overflow);
            if overflow != 0 || number == i64::MIN {
                return Err(Other); // written as a text
            }
            json::integer(number, self.out);
        } else if value == ffi::Py_None() {
            self.out.extend_from_slice(b"null");
        } else if kind == &raw mut ffi::PyFloat_Type {
            self.float(value)?;
        } else if value == ffi::Py_True() {
            self.out.extend_from_slice(b"true");
        } else if value == ffi::Py_False() {
            self.out.extend_from_slice(b"false");
        } else if kind == &raw mut ffi::PyTuple_Type {
            let count = ffi::PyTuple_Size(value);
            self.items(count, |at| ffi::PyTuple_GetItem(value, at), way, depth)?;
        } else {
            return Err(Other);
        }
        Ok(())
    }

    unsafe fn float(&mut self, value: Ref) -> Result<(), Other> {
        let number = ffi::PyFloat_AsDouble(value);
        if !json::is_plain_float(number) {
            return Err(Other);
        }
        if json::short_float(number, self.out) {
            return Ok(());
        }
        // Of two shortest texts, Python takes the even one, and Rust does not.
        let shown = ffi::PyObject_Repr(value);
        if shown.is_null() {
            ffi::PyErr_Clear();
            return Err(Other);
        }
        let written = utf8(shown).map(|text| self.out.extend_from_slice(text.as_bytes()));
        ffi::Py_DECREF(shown);
        written
    }

    /// Counts the items of a container.
    fn enter(&mut self, count: ffi::Py_ssize_t, depth: usize) -> Result<(), Other> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > MAX_ITEMS || depth >= MAX_DEPTH || count > self.values {
            return Err(Other);
        }
        self.values -= count;
        Ok(())
    }

    unsafe fn dict(
        &mut self,
        dict: Ref,
        before: Option<&Way<'_>>,
        depth: usize,
    ) -> Result<(), Other> {
        self.enter(ffi::PyDict_Size(dict), depth)?;
        let (mut at, mut key, mut value) = (0, null_mut(), null_mut());
        let (mut separator, mut has_value) = (b'{', false);
        while ffi::PyDict_Next(dict, &mut at, &mut key, &mut value) != 0 {
            self.out.push(separator);
            separator = b',';
            let known = self.key(key)?;
            if known.is_long {
                return Err(Other);
            }
            let (verdict, is_clean) = (known.verdict, known.is_clean);
            let json = &*known.json as *const [u8];
            // SAFETY: the table of keys does not change until the bytes are copied.
            self.out.extend_from_slice(&*json);
            self.are_keys_clean &= is_clean;
            let way = Way {
                step: Step::Key(key as usize),
                before,
            };
            if is_sure(verdict) {
                if self.is_secret(verdict, dict, key, value)? {
                    json::string(PLACEHOLDER, self.out);
                    self.note(&way)?;
                    continue;
                }
            } else if verdict == Verdict::Value
                && !std::mem::replace(&mut has_value, true)
                && self.may_have_name(dict)?
            {
                return Err(Other);
            }
            self.value(value, Some(&way), depth + 1)?;
        }
        if separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
        Ok(())
    }

    #[inline]
    unsafe fn key(&mut self, key: Ref) -> Result<&Key, Other> {
        // The borrow checker does not see that the first borrow ends where it finds nothing.
        if self.keys.of_object(key as usize).is_some() {
            return self.keys.of_object(key as usize).ok_or(Other);
        }
        if ffi::Py_TYPE(key) != &raw mut ffi::PyUnicode_Type
            || ffi::PyUnicode_GetLength(key) > MAX_KEY as isize
        {
            return Err(Other);
        }
        let text = utf8(key)?;
        let object = owned(key);
        Ok(self.keys.remember(object, text, &self.rules.names))
    }

    unsafe fn note(&mut self, way: &Way<'_>) -> Result<(), Other> {
        let ways = &mut *self.ways;
        if ways.ends.len() == MAX_PATHS {
            return Err(Other);
        }
        let start = ways.steps.len();
        let mut at = Some(way);
        while let Some(here) = at {
            if let Step::Key(address) = here.step {
                ways.keys.push(owned(address as Ref));
            }
            ways.steps.push(here.step);
            at = here.before;
        }
        ways.steps[start..].reverse();
        ways.ends.push(ways.steps.len());
        Ok(())
    }

    /// Tells whether a dict may name a secret that is the value beside the name: `{"name": "password", "value": "x"}`.
    unsafe fn may_have_name(&mut self, dict: Ref) -> Result<bool, Other> {
        if ffi::PyDict_Size(dict) > self.rules.small_items as isize {
            return Ok(true);
        }
        let mut has_name = false;
        let (mut at, mut key, mut value) = (0, null_mut(), null_mut());
        while ffi::PyDict_Next(dict, &mut at, &mut key, &mut value) != 0 {
            has_name = has_name || self.key(key)?.is_name;
        }
        if !has_name {
            return Ok(false);
        }
        at = 0;
        while ffi::PyDict_Next(dict, &mut at, &mut key, &mut value) != 0 {
            let key = self.key(key)?;
            if (key.is_name || key.is_other) && self.is_name_of_secret(value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells whether a value is a text that may name a secret.
    unsafe fn is_name_of_secret(&mut self, value: Ref) -> Result<bool, Other> {
        if ffi::Py_TYPE(value) != &raw mut ffi::PyUnicode_Type
            || ffi::PyUnicode_GetLength(value) > MAX_KEY as isize
        {
            return Ok(false);
        }
        let name = utf8(value)?;
        let is_short = name.bytes().filter(|byte| *byte == b' ').count() < 3;
        Ok(is_short && is_sure(self.keys.of_text(name, &self.rules.names).verdict))
    }

    /// Tells whether a value under a secret key is a secret; true as well where Python must be asked first.
    unsafe fn is_secret(
        &mut self,
        verdict: Verdict,
        dict: Ref,
        key: Ref,
        value: Ref,
    ) -> Result<bool, Other> {
        let kind = ffi::Py_TYPE(value);
        if value == ffi::Py_None() || kind == &raw mut ffi::PyBool_Type {
            return Ok(false);
        }
        if let Some(question) = self.questions.get(self.asked) {
            let is_here = question.key.as_ptr() == key && question.value.as_ptr() == value;
            if let Some(is_secret) = question.is_secret.filter(|_| is_here) {
                self.asked += 1;
                return Ok(is_secret);
            }
        }
        if verdict == Verdict::Token && is_count(kind, value, self.rules.max_count) {
            return Ok(false);
        }
        if knows(self.taints, value, self.rules.small_string)? {
            return Ok(true);
        }
        let siblings = if verdict == Verdict::Token {
            keys_of(dict)
        } else {
            Vec::new()
        };
        self.questions.push(Question {
            verdict,
            key: owned(key),
            value: owned(value),
            siblings,
            is_secret: None,
        });
        self.asked += 1;
        Ok(true)
    }

    unsafe fn items(
        &mut self,
        count: ffi::Py_ssize_t,
        item: impl Fn(ffi::Py_ssize_t) -> Ref,
        before: Option<&Way<'_>>,
        depth: usize,
    ) -> Result<(), Other> {
        self.enter(count, depth)?;
        self.out.push(b'[');
        for at in 0..count {
            if at > 0 {
                self.out.push(b',');
            }
            let item = item(at);
            if self.may_name_secret(item)? {
                return Err(Other);
            }
            let way = Way {
                step: Step::Index(at as usize),
                before,
            };
            self.value(item, Some(&way), depth + 1)?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Tells whether an item of a list may say that a value is secret: an argument such as `--password`, or a pair such as a header.
    unsafe fn may_name_secret(&mut self, item: Ref) -> Result<bool, Other> {
        let kind = ffi::Py_TYPE(item);
        if kind == &raw mut ffi::PyUnicode_Type {
            return Ok(utf8(item)?.starts_with('-'));
        }
        let first = if kind == &raw mut ffi::PyList_Type && ffi::PyList_Size(item) == 2 {
            ffi::PyList_GetItem(item, 0)
        } else if kind == &raw mut ffi::PyTuple_Type && ffi::PyTuple_Size(item) == 2 {
            ffi::PyTuple_GetItem(item, 0)
        } else {
            return Ok(false);
        };
        if ffi::Py_TYPE(first) != &raw mut ffi::PyUnicode_Type
            || ffi::PyUnicode_GetLength(first) > MAX_KEY as isize
        {
            return Ok(false);
        }
        let name = utf8(first)?;
        Ok(is_sure(self.keys.of_text(name, &self.rules.names).verdict))
    }
}

/// Tells whether a verdict makes a key secret, if its value looks like a secret.
fn is_sure(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Secret | Verdict::Token | Verdict::Weak)
}

/// Tells whether the value under a bare `token` counts tokens.
unsafe fn is_count(kind: *mut ffi::PyTypeObject, value: Ref, most: i64) -> bool {
    if kind != &raw mut ffi::PyLong_Type {
        return kind == &raw mut ffi::PyFloat_Type;
    }
    let mut overflow = 0;
    let number = ffi::PyLong_AsLongLongAndOverflow(value, &mut overflow);
    overflow == 0 && (-most..=most).contains(&number)
}

/// Tells whether a value is among the secrets that a flow knows.
unsafe fn knows(taints: Ref, value: Ref, longest: usize) -> Result<bool, Other> {
    if taints.is_null()
        || ffi::Py_TYPE(value) != &raw mut ffi::PyUnicode_Type
        || ffi::PyUnicode_GetLength(value) > longest as isize
    {
        return Ok(false);
    }
    match ffi::PySet_Contains(taints, value) {
        -1 => {
            ffi::PyErr_Clear();
            Err(Other)
        }
        found => Ok(found == 1),
    }
}

unsafe fn keys_of(dict: Ref) -> Vec<Py<PyAny>> {
    let mut keys = Vec::new();
    let (mut at, mut key) = (0, null_mut());
    while ffi::PyDict_Next(dict, &mut at, &mut key, null_mut()) != 0 {
        keys.push(owned(key));
    }
    keys
}

/// Returns a reference of one's own.
unsafe fn owned(object: Ref) -> Py<PyAny> {
    Bound::from_borrowed_ptr(Python::assume_attached(), object).unbind()
}

/// Returns what a text holds; lone surrogates have no bytes.
unsafe fn utf8<'t>(text: Ref) -> Result<&'t str, Other> {
    let mut size = 0;
    let start = ffi::PyUnicode_AsUTF8AndSize(text, &mut size);
    if start.is_null() {
        ffi::PyErr_Clear();
        return Err(Other);
    }
    let bytes = std::slice::from_raw_parts(start.cast::<u8>(), size as usize);
    Ok(std::str::from_utf8_unchecked(bytes))
}
