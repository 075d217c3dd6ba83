//! How values compare, as in Python: only numbers, texts and lists have an order, each among themselves.

use std::cmp::Ordering;

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::limits::{self, refuse};

/// Tests that are comparisons by another name.
pub(super) const TESTS: [(&str, &str); 15] = [
    ("eq", "=="),
    ("equalto", "=="),
    ("==", "=="),
    ("ne", "!="),
    ("!=", "!="),
    ("lt", "<"),
    ("lessthan", "<"),
    ("<", "<"),
    ("le", "<="),
    ("<=", "<="),
    ("gt", ">"),
    ("greaterthan", ">"),
    (">", ">"),
    ("ge", ">="),
    (">=", ">="),
];

/// Tells whether a chain of comparisons holds: operators and further values follow the first one.
pub(super) fn is_compared(first: Value, rest: Rest<Value>) -> Result<bool, Error> {
    let mut before = &first;
    for pair in rest.chunks_exact(2) {
        let (operator, value) = (pair[0].as_str().unwrap_or_default(), &pair[1]);
        if !holds(before, operator, value)? {
            return Ok(false);
        }
        before = value;
    }
    Ok(true)
}

/// Tells whether one comparison holds.
pub(super) fn holds(one: &Value, operator: &str, other: &Value) -> Result<bool, Error> {
    if one.is_undefined() || other.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    measure(one, other)?;
    match operator {
        "==" => return Ok(one == other),
        "!=" => return Ok(one != other),
        "in" => return is_in(one, other.clone()),
        "not in" => return Ok(!is_in(one, other.clone())?),
        _ => {}
    }
    let Some(order) = order(one, other, operator)? else {
        return Ok(false); // NaN
    };
    Ok(match operator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// Measures values whose parts will be compared, and looks at the clock.
fn measure(one: &Value, other: &Value) -> Result<(), Error> {
    if limits::is_container(one) && limits::is_container(other) {
        limits::measured(one)?;
        limits::measured(other)?;
    }
    limits::step()
}

fn order(one: &Value, other: &Value, operator: &str) -> Result<Option<Ordering>, Error> {
    let is_number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if is_number(one) && is_number(other) {
        let whole = |value: &Value| i128::try_from(value.clone()).ok();
        if let (Some(one), Some(other)) = (whole(one), whole(other)) {
            if one.unsigned_abs() > 1 << 53 || other.unsigned_abs() > 1 << 53 {
                return Ok(Some(one.cmp(&other)));
            }
        }
        let float = |value: &Value| match value.kind() {
            ValueKind::Bool => Ok(f64::from(u8::from(value.is_true()))),
            _ => f64::try_from(value.clone()),
        };
        return Ok(float(one)?.partial_cmp(&float(other)?));
    }
    if let (Some(one), Some(other)) = (one.as_str(), other.as_str()) {
        return Ok(Some(one.cmp(other)));
    }
    if one.kind() == ValueKind::Seq
        && other.kind() == ValueKind::Seq
        && one.is_tuple() == other.is_tuple()
    {
        return order_of_lists(one, other, operator);
    }
    Err(refuse(format!(
        "'{operator}' not supported between instances of '{}' and '{}'",
        type_name(one),
        type_name(other)
    )))
}

/// Returns Python's name of the type of a value.
fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        ValueKind::Seq if value.is_tuple() => "tuple",
        ValueKind::Seq => "list",
        ValueKind::Map => "dict",
        _ => "object",
    }
}

fn order_of_lists(one: &Value, other: &Value, operator: &str) -> Result<Option<Ordering>, Error> {
    let (mut mine, mut others) = (one.try_iter()?, other.try_iter()?);
    loop {
        match (mine.next(), others.next()) {
            (Some(one), Some(other)) if one == other => {}
            (Some(one), Some(other)) => return order(&one, &other, operator),
            (one, other) => return Ok(Some(one.is_some().cmp(&other.is_some()))),
        }
    }
}

/// Tells whether a container has a member: a mapping a key.
pub(super) fn is_in(value: &Value, container: Value) -> Result<bool, Error> {
    measure(value, &container)?;
    if let Some(text) = container.as_str() {
        let part = value.as_str();
        let part = part
            .ok_or_else(|| refuse(format!("a string has no members of type {}", value.kind())))?;
        return Ok(text.contains(part));
    }
    for item in items(container)?.try_iter()?.checked() {
        if item? == *value {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns a value that a loop can go over.
pub(super) fn items(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::String => Ok(value),
        kind => Err(refuse(format!("a value of type {kind} has no items"))),
    }
}
