//! Filters, functions and methods of the engine whose work or result has to be checked before they begin.

use std::sync::Arc;

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, UndefinedBehavior, Value};

use super::compare;
use super::limits::{self, ITEM, MAX_NUMBER};

/// The longest text, in characters, that `pprint` writes: it copies each line for each level around it.
const MAX_PRINTED: usize = 100_000;

/// The most lists that `sum` adds: it copies all of the sum each time.
const MAX_ADDED: usize = 1_000;

/// Filters with a check of their arguments.
const FILTERS: [&str; 12] = [
    "batch", "dictsort", "format", "groupby", "indent", "max", "min", "pprint", "replace", "slice",
    "sort", "unique",
];

/// Adds the filters and functions. Each one is checked, and then the engine's own one does the work.
pub(super) fn add(environment: &mut Environment<'_>) {
    let mut plain = Environment::new();
    plain.set_undefined_behavior(UndefinedBehavior::Strict);
    plain.set_fuel(environment.fuel());
    let plain = Arc::new(plain);
    for name in FILTERS.into_iter().chain(["sum"]) {
        let plain = Arc::clone(&plain);
        environment.add_filter(name, move |arguments: Rest<ValueOrKwargs>| {
            let arguments = arguments.into_values();
            check(name, &arguments)?;
            limits::made(plain.empty_state().apply_filter(name, &arguments)?)
        });
    }
    environment.add_function("namespace", |defaults: Option<ValueOrKwargs>| {
        let namespace = minijinja::functions::namespace(defaults)?;
        limits::measured(&namespace)?;
        Ok::<Value, Error>(namespace)
    });
}

fn check(name: &str, arguments: &[Value]) -> Result<(), Error> {
    limits::step()?;
    let Some((value, options)) = arguments.split_first() else {
        return Ok(());
    };
    match name {
        "batch" | "slice" => options.iter().try_for_each(limits::check_number),
        "indent" => check_indent(value, options),
        "format" => check_percent(value.as_str().unwrap_or_default(), options),
        "replace" => check_replacement(value, options),
        "pprint" => match limits::measured(value)? {
            size if size > MAX_PRINTED => Err(limits::refuse(format!(
                "the filter pprint takes at most 100,000 characters, not {size}"
            ))),
            _ => Ok(()),
        },
        "sum" => check_sum(value, options),
        "sort" | "min" | "max" => check_compared(value)
            .and_then(|()| check_order(name, value, options.last().and_then(attribute))),
        "groupby" => check_compared(value).and_then(|()| {
            let named = options.last().and_then(attribute);
            check_order(name, value, named.or_else(|| position(options.first()?)))
        }),
        "dictsort" => check_compared(value).and_then(|()| check_pairs(value, options)),
        _ => check_compared(value),
    }
}

/// Measures a list whose items have parts of their own, which take time to compare.
fn check_compared(list: &Value) -> Result<(), Error> {
    if limits::is_container(list) {
        let mut has_containers = false;
        limits::parts(list, |item| {
            has_containers |= limits::is_container(&item);
            Ok(())
        })?;
        if has_containers {
            limits::measured(list)?;
        }
    }
    Ok(())
}

/// Refuses items of types that have no order among themselves, as Python does. Equal ones need none to be sorted.
fn check_order(name: &str, list: &Value, attribute: Option<String>) -> Result<(), Error> {
    if !limits::is_container(list) {
        return Ok(());
    }
    let mut before: Option<Vec<Value>> = None;
    for item in list.try_iter()?.checked() {
        let keys = keys_of(item?, attribute.as_deref())?;
        let mut pairs = before.iter().flatten().zip(&keys);
        if let Some((one, other)) = pairs.find(|(one, other)| name != "sort" || one != other) {
            compare::holds(one, "<", other)?;
        }
        before = Some(keys);
    }
    Ok(())
}

/// Refuses a mapping whose keys, or values if it is sorted by these, have no order among themselves.
fn check_pairs(mapping: &Value, options: &[Value]) -> Result<(), Error> {
    let named = options
        .last()
        .and_then(|options| options.get_attr("by").ok());
    let by = named
        .filter(|by| !by.is_undefined())
        .or_else(|| options.get(1).cloned());
    let has_values = by.is_some_and(|by| by.as_str() == Some("value"));
    let mut parts = Vec::new();
    limits::parts(mapping, |part| {
        parts.push(part);
        Ok(())
    })?;
    let sorted = parts.into_iter().skip(usize::from(has_values)).step_by(2);
    check_order("dictsort", &sorted.collect(), None)
}

/// Returns the attribute that an option without a name tells.
fn position(option: &Value) -> Option<String> {
    let is_path = option.as_str().is_some() || option.is_integer();
    is_path.then(|| option.to_string())
}

/// Returns the attribute that named options tell.
fn attribute(options: &Value) -> Option<String> {
    if options.kind() != ValueKind::Map {
        return None;
    }
    let attribute = options.get_attr("attribute").ok()?;
    let is_set = !attribute.is_undefined() && !attribute.is_none();
    is_set.then(|| attribute.to_string())
}

/// Returns the values that an item is ordered by: itself, or those of its attributes, which commas separate.
fn keys_of(item: Value, attribute: Option<&str>) -> Result<Vec<Value>, Error> {
    let Some(attribute) = attribute else {
        return Ok(vec![item]);
    };
    let key = |path: &str| {
        path.split('.')
            .try_fold(item.clone(), |value, name| match name.parse::<usize>() {
                Ok(index) => value.get_item(&Value::from(index)),
                Err(_) => value.get_attr(name),
            })
    };
    attribute.split(',').map(key).collect()
}

fn check_sum(list: &Value, options: &[Value]) -> Result<(), Error> {
    let mut lists = 0;
    limits::parts(list, |item| {
        lists += usize::from(limits::is_container(&item));
        Ok(())
    })?;
    if lists > MAX_ADDED && options.iter().any(has_list) {
        return Err(limits::refuse(format!(
            "the filter sum adds at most 1,000 lists, not {lists}"
        )));
    }
    Ok(())
}

/// Tells whether an option is a list, or named options have one.
fn has_list(option: &Value) -> bool {
    let mut found = option.kind() == ValueKind::Seq;
    let seen = limits::parts(option, |part| {
        found |= option.kind() == ValueKind::Map && limits::is_container(&part);
        Ok(())
    });
    found || seen.is_err()
}

fn check_indent(value: &Value, options: &[Value]) -> Result<(), Error> {
    let mut width = 4;
    let mut widen = |option: Value| {
        limits::check_number(&option)?;
        let number = i128::try_from(option).unwrap_or(0).max(0);
        width = width.max(usize::try_from(number).unwrap_or(0));
        Ok(())
    };
    for option in options {
        if option.kind() == ValueKind::Map {
            limits::parts(option, &mut widen)?;
        } else {
            widen(option.clone())?;
        }
    }
    let text = value.as_str().unwrap_or_default();
    let lines = text.matches('\n').count() + 1;
    limits::check(text.len().saturating_add(lines.saturating_mul(width)))
}

fn check_replacement(value: &Value, options: &[Value]) -> Result<(), Error> {
    let option = |index: usize| options.get(index).and_then(Value::as_str);
    let (Some(text), Some(old), Some(new)) = (value.as_str(), option(0), option(1)) else {
        return limits::check(limits::measured(value)?);
    };
    limits::check(
        text.len()
            .saturating_add(text.matches(old).count().saturating_mul(new.len())),
    )
}

/// Checks the size of a printf result: the sum of its widths and of the values of its directives.
fn check_percent(text: &str, values: &[Value]) -> Result<(), Error> {
    let (mut size, mut directives) = (text.len(), 0_usize);
    for part in text.split('%').skip(1) {
        directives += 1;
        // What follows the name in brackets and the flags: a width, and behind a dot a precision.
        let part = part.rsplit_once(')').map_or(part, |(_, behind)| behind);
        let part = part.trim_start_matches(['#', '0', '-', ' ', '+']);
        let end = part.find(|char: char| !char.is_ascii_digit() && char != '.');
        for number in part[..end.unwrap_or(part.len())].split('.') {
            size = size.saturating_add(width(number)?);
        }
    }
    for value in values {
        let is_named = value.kind() == ValueKind::Map;
        let times = if is_named { directives } else { 1 };
        size = size.saturating_add(limits::measured(value)?.saturating_mul(times));
        if text.contains('*') {
            limits::check_number(value)?;
        }
    }
    limits::check(size)
}

/// Returns a width as a number; a text without digits is 0.
fn width(digits: &str) -> Result<usize, Error> {
    let digits = digits.trim_start_matches('0');
    match digits.parse::<i128>() {
        Ok(number) if number <= MAX_NUMBER => Ok(usize::try_from(number).unwrap_or(0)),
        Err(_) if digits.is_empty() => Ok(0),
        _ => Err(limits::too_wide()),
    }
}

/// Checks the size of what `str.format` makes: the sum of its widths and of the values of its fields.
fn check_format(text: &str, values: &[Value]) -> Result<(), Error> {
    let (mut size, mut fields, mut is_simple) = (text.len(), 0_usize, true);
    for part in text.split('{').skip(1) {
        fields += 1;
        is_simple &= part.starts_with(['}', ':', '!']);
        let specification = part
            .split('}')
            .next()
            .and_then(|field| field.split_once(':'));
        let specification = specification.map_or("", |(_, specification)| specification);
        for number in specification.split(|char: char| !char.is_ascii_digit()) {
            size = size.saturating_add(width(number)?);
        }
    }
    for value in values {
        let times = if is_simple { 1 } else { fields };
        size = size.saturating_add(limits::measured(value)?.saturating_mul(times));
    }
    limits::check(size)
}

/// Calls a method that Python has and the engine does not.
pub(super) fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (value.as_str(), name) {
        (Some(text), "format") => check_format(text, arguments)?,
        (Some(_), "replace") => check_replacement(value, arguments)?,
        (Some(text), "split") => {
            let separator = arguments.first().and_then(Value::as_str);
            let parts = match separator {
                Some(separator) => text.matches(separator).count(),
                None => text.matches(char::is_whitespace).count(),
            };
            limits::check(parts.saturating_mul(ITEM))?;
        }
        (Some(text), "splitlines") => {
            limits::check(text.matches('\n').count().saturating_mul(ITEM))?;
        }
        (Some(text), "join") => {
            for list in arguments {
                let separators = list.len().unwrap_or(0).saturating_mul(text.len());
                limits::check(limits::measured(list)?.saturating_add(separators))?;
            }
        }
        (None, "count") => {
            limits::measured(value)?;
        }
        _ => limits::step()?,
    }
    let made = minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)?;
    limits::made(made)
}
