//! Operators that can make something large, and uses of a value that take time with its size.

use minijinja::value::{Rest, Tuple, ValueKind};
use minijinja::{context, Error, ErrorKind, State, Value};

use super::{display, limits};

/// Evaluates a chain of operators of one precedence: operators and further values follow the first one.
pub(super) fn calculated(
    state: &State<'_, '_>,
    first: Value,
    rest: Rest<Value>,
) -> Result<Value, Error> {
    if rest.first().and_then(Value::as_str) == Some("~") {
        return joined(&first, &rest);
    }
    let mut left = first;
    for pair in rest.chunks_exact(2) {
        let operator = pair[0].as_str().unwrap_or_default();
        left = applied(state, &left, operator, &pair[1])?;
    }
    Ok(left)
}

/// Joins the texts of values. Every second one is the operator.
fn joined(first: &Value, rest: &[Value]) -> Result<Value, Error> {
    let parts = || std::iter::once(first).chain(rest.iter().skip(1).step_by(2));
    for part in parts() {
        defined(part)?;
        limits::spend(limits::measured(part)?)?;
    }
    let mut text = String::new();
    for part in parts() {
        text.push_str(&display::text(part)?);
    }
    let is_safe = parts().all(Value::is_safe);
    Ok(if is_safe {
        Value::from_safe_string(text)
    } else {
        Value::from(text)
    })
}

fn defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    Ok(())
}

fn applied(
    state: &State<'_, '_>,
    left: &Value,
    operator: &str,
    right: &Value,
) -> Result<Value, Error> {
    limits::step()?;
    defined(left)?;
    defined(right)?;
    let made = match operator {
        "+" => sum(left, right)?,
        "*" => match (times(right), times(left)) {
            (Some(times), _) if is_sequence(left) => Some(repeated(left, times)?),
            (_, Some(times)) if is_sequence(right) => Some(repeated(right, times)?),
            _ if is_sequence(left) || is_sequence(right) => {
                let (one, other) = (left.kind(), right.kind());
                let problem = format!("* is not supported between {one} and {other}; a text or a list is repeated a whole number of times");
                return Err(limits::refuse(problem));
            }
            _ => None,
        },
        _ => None,
    };
    match made {
        Some(value) => Ok(value),
        None => number(state, left, operator, right),
    }
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn is_sequence(value: &Value) -> bool {
    is_list(value) || value.kind() == ValueKind::String
}

/// Returns how often something is repeated: like in Python, a negative number stands for never.
fn times(value: &Value) -> Option<usize> {
    let is_whole = value.is_integer() || value.kind() == ValueKind::Bool;
    let number = i128::try_from(value.clone()).ok().filter(|_| is_whole)?;
    Some(usize::try_from(number.max(0)).unwrap_or(usize::MAX))
}

/// Adds texts or lists, but not numbers.
fn sum(left: &Value, right: &Value) -> Result<Option<Value>, Error> {
    if let (Some(one), Some(other)) = (left.as_str(), right.as_str()) {
        limits::spend(one.len() + other.len())?;
        let text = [one, other].concat();
        let is_safe = left.is_safe() && right.is_safe();
        return Ok(Some(if is_safe {
            Value::from_safe_string(text)
        } else {
            Value::from(text)
        }));
    }
    if !is_list(left) || !is_list(right) || left.is_tuple() != right.is_tuple() {
        return Ok(None);
    }
    let length = left
        .len()
        .unwrap_or(0)
        .saturating_add(right.len().unwrap_or(0));
    limits::check(length.saturating_mul(limits::ITEM))?;
    let items = left
        .try_iter()?
        .checked()
        .chain(right.try_iter()?.checked());
    let items: Vec<Value> = items.collect::<Result<_, _>>()?;
    limits::made(like(left, items)).map(Some)
}

fn like(list: &Value, items: Vec<Value>) -> Value {
    if list.is_tuple() {
        Value::from(Tuple::from(items))
    } else {
        Value::from(items)
    }
}

fn repeated(value: &Value, times: usize) -> Result<Value, Error> {
    let size = match value.len() {
        Some(0) => 0,
        _ => limits::measured(value)?.saturating_mul(times),
    };
    if let Some(text) = value.as_str() {
        limits::spend(size)?;
        return Ok(Value::from(text.repeat(times)));
    }
    limits::check(size)?;
    let once: Vec<Value> = value.try_iter()?.checked().collect::<Result<_, _>>()?;
    let times = if once.is_empty() { 0 } else { times };
    let items = (0..times).flat_map(|_| once.iter().cloned()).collect();
    limits::made(like(value, items))
}

/// Calculates with numbers. What is not quick here is the engine's, and so are its errors.
fn number(
    state: &State<'_, '_>,
    left: &Value,
    operator: &str,
    right: &Value,
) -> Result<Value, Error> {
    if left.is_integer() && right.is_integer() {
        if let (Ok(one), Ok(other)) = (i128::try_from(left.clone()), i128::try_from(right.clone()))
        {
            let quick = match operator {
                "+" => one.checked_add(other),
                "-" => one.checked_sub(other),
                "*" => one.checked_mul(other),
                _ => None,
            };
            if let Some(number) = quick {
                return Ok(Value::from(number));
            }
        }
    }
    let expression = match operator {
        "+" => "a + b",
        "-" => "a - b",
        "*" => "a * b",
        "/" => "a / b",
        "//" => "a // b",
        _ => "a % b",
    };
    let expression = state.env().compile_expression(expression)?;
    expression.eval(context! { a => left, b => right })
}

/// Counts what a template has made, and returns it.
pub(super) fn made(value: Value) -> Result<Value, Error> {
    limits::made(value)
}

/// Looks at the clock, and returns the value.
pub(super) fn stepped(value: Value) -> Result<Value, Error> {
    limits::step()?;
    Ok(value)
}

/// Measures a value that becomes an index, and returns it: to look it up takes time with its size, or with that of a text.
pub(super) fn index(value: Value) -> Result<Value, Error> {
    limits::measured(&value)?;
    Ok(value)
}

/// Measures values that will be compared, and returns a list of them.
pub(super) fn compared(values: Rest<Value>) -> Result<Value, Error> {
    limits::made(Value::from(values.to_vec()))
}

/// Returns a value that a namespace can hold: one without a namespace in it, or the namespace could contain itself.
pub(super) fn held(value: Value, owners: Rest<Value>) -> Result<Value, Error> {
    if !limits::is_container(&value) {
        return Ok(value);
    }
    let mut size = limits::measured(&value)?;
    for owner in owners.iter() {
        size = size.saturating_add(limits::measured(owner)?);
    }
    if size > limits::MAX_SIZE {
        return Err(limits::too_large_a_value());
    }
    let mut waiting = vec![value.clone()];
    while let Some(part) = waiting.pop() {
        if is_namespace(&part) {
            return Err(limits::refuse(
                "a namespace cannot hold a namespace; use the names of one namespace",
            ));
        }
        limits::parts(&part, |part| {
            if limits::is_container(&part) {
                waiting.push(part);
            }
            Ok(())
        })?;
    }
    Ok(value)
}

fn is_namespace(value: &Value) -> bool {
    let object = value.as_object();
    object.is_some_and(|object| object.type_name().ends_with("::Namespace"))
}
