//! What one rendering may do: for how long, and how much it may make.
//!
//! The engine counts its steps, but not all that a step does: the text of a list that holds itself twice, and so on thirty times over,
//! takes one step and fills the memory. So each operation that can make something large asks here before it does so, and each one
//! looks at the clock. The limits are those of the Python runtime.

use std::cell::Cell;
use std::time::{Duration, Instant};

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::values::pairs_of;

/// The time of one rendering.
const SECONDS: u64 = 5;

/// How many characters one rendering can make, intermediate texts and lists included; an item of a list or a mapping counts as 16.
pub(super) const MAX_SIZE: usize = 50_000_000;

/// The largest width or count of a filter or a format.
pub(super) const MAX_NUMBER: i128 = 1_000_000;

/// How deep a value can nest. The engine drops, compares and writes a value on the stack.
pub(super) const MAX_DEPTH: usize = 300;

/// The size charged for an item of a container, or for a value that is not a text.
pub(super) const ITEM: usize = 16;

/// After so many values a walk looks at the clock.
const TICK: usize = 4_096;

#[derive(Clone, Copy)]
struct Allowance {
    end: Instant,
    size: usize,
}

thread_local! {
    static ALLOWANCE: Cell<Option<Allowance>> = const { Cell::new(None) };
}

#[cfg(test)]
thread_local! {
    /// The time of one rendering in a test, which need not wait for the end of all of it.
    pub(super) static TIME: Cell<Duration> = const { Cell::new(Duration::from_secs(SECONDS)) };
}

#[cfg(test)]
fn time() -> Duration {
    TIME.get()
}

#[cfg(not(test))]
fn time() -> Duration {
    Duration::from_secs(SECONDS)
}

/// Puts the allowance of the rendering around this one back.
struct Before(Option<Allowance>);

impl Drop for Before {
    fn drop(&mut self) {
        ALLOWANCE.set(self.0);
    }
}

/// Does the work of one rendering, which has its own allowance.
pub(super) fn allowed<T>(work: impl FnOnce() -> T) -> T {
    let allowance = Allowance {
        end: Instant::now() + time(),
        size: MAX_SIZE,
    };
    let _before = Before(ALLOWANCE.replace(Some(allowance)));
    work()
}

/// Returns an error that says which limit a template reached.
pub(super) fn refuse(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.into())
}

/// The error of a rendering that makes too much.
pub(super) fn too_large() -> Error {
    refuse("it makes more than 50,000,000 characters")
}

/// The error of a value that is too large.
pub(super) fn too_large_a_value() -> Error {
    refuse("it makes a value of more than 50,000,000 characters")
}

/// The error of a value that nests too deeply.
pub(super) fn too_deep() -> Error {
    refuse(format!("a value nests deeper than {MAX_DEPTH} levels"))
}

/// Looks at the clock.
pub(super) fn step() -> Result<(), Error> {
    match ALLOWANCE.get() {
        Some(allowance) if Instant::now() > allowance.end => {
            Err(refuse(format!("it takes longer than {SECONDS} s")))
        }
        _ => Ok(()),
    }
}

/// Checks the size of something before it is made.
pub(super) fn check(size: usize) -> Result<(), Error> {
    step()?;
    let left = ALLOWANCE.get().map_or(MAX_SIZE, |allowance| allowance.size);
    if size > left {
        return Err(too_large());
    }
    Ok(())
}

/// Takes the size of something away that is about to be made.
pub(super) fn spend(size: usize) -> Result<(), Error> {
    check(size)?;
    if let Some(mut allowance) = ALLOWANCE.get() {
        allowance.size -= size;
        ALLOWANCE.set(Some(allowance));
    }
    Ok(())
}

/// Checks a width or a count.
pub(super) fn check_number(value: &Value) -> Result<(), Error> {
    let is_large = value.kind() == ValueKind::Number
        && match i128::try_from(value.clone()) {
            Ok(number) => number.unsigned_abs() > MAX_NUMBER.unsigned_abs(),
            Err(_) => true,
        };
    if is_large && value.is_integer() {
        return Err(too_wide());
    }
    Ok(())
}

/// The error of a width or a count that is too large.
pub(super) fn too_wide() -> Error {
    refuse("a width or count above 1,000,000")
}

/// Tells whether a value has parts.
pub(super) fn is_container(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable
    )
}

fn own_size(value: &Value) -> usize {
    value.as_str().map_or(ITEM, |text| text.chars().count())
}

/// Returns the size of a value written out as text: a part that occurs twice counts twice.
///
/// # Errors
///
/// It is too large or too deep, as a value that contains itself is.
pub(super) fn measured(value: &Value) -> Result<usize, Error> {
    step()?;
    if !is_container(value) {
        return Ok(own_size(value));
    }
    let mut meter = Meter {
        size: ITEM,
        count: 0,
        waiting: vec![(value.clone(), 1)],
    };
    while let Some((value, depth)) = meter.waiting.pop() {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        parts(&value, |part| meter.add(part, depth))?;
    }
    Ok(meter.size)
}

/// Does something with each item, key and value of a container.
pub(super) fn parts(
    value: &Value,
    mut work: impl FnMut(Value) -> Result<(), Error>,
) -> Result<(), Error> {
    if value.kind() == ValueKind::Map {
        for (key, item) in value.as_object().and_then(pairs_of).into_iter().flatten() {
            work(key)?;
            work(item)?;
        }
    } else if is_container(value) {
        for item in value.try_iter()?.checked() {
            work(item?)?;
        }
    }
    Ok(())
}

struct Meter {
    size: usize,
    count: usize,
    waiting: Vec<(Value, usize)>,
}

impl Meter {
    fn add(&mut self, part: Value, depth: usize) -> Result<(), Error> {
        self.count += 1;
        if self.count % TICK == 0 {
            step()?;
        }
        self.size = self.size.saturating_add(own_size(&part));
        if self.size > MAX_SIZE {
            return Err(too_large_a_value());
        }
        if is_container(&part) {
            self.waiting.push((part, depth + 1));
        }
        Ok(())
    }
}

/// Counts a value that a template has made, and returns it.
pub(super) fn made(value: Value) -> Result<Value, Error> {
    if is_container(&value) {
        spend(value.len().unwrap_or(1).saturating_mul(ITEM))?;
        measured(&value)?;
    } else if let Some(text) = value.as_str() {
        spend(text.chars().count())?;
    }
    Ok(value)
}
