//! Filters that the engine has otherwise, or not at all.

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{tests, Environment, Error, ErrorKind};
use the_edge_obs::value::{from_json_of_others, MAX_DEPTH};
use the_edge_obs::Snap;

use super::rewrite::{CALCULATED, CHANGED, COMPARED, HELD, INDEX, ITEMS, MADE, STEP};
use super::{compare, display, guarded, limits, operators, texts, values};

/// Adds the filters and tests.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", to_json);
    environment.add_filter("json", to_json);
    environment.add_filter("fromjson", from_json);
    environment.add_filter("round", round);
    environment.add_filter("string", string);
    environment.add_filter("join", join);
    environment.add_filter("list", list);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("center", center);
    environment.add_filter("truncate", texts::truncate);
    environment.add_filter("urlencode", texts::urlencode);
    environment.add_test("sequence", is_sequence);
    environment.add_filter(ITEMS, compare::items);
    environment.add_filter(MADE, operators::made);
    environment.add_filter(STEP, operators::stepped);
    environment.add_filter(HELD, operators::held);
    environment.add_function(CALCULATED, operators::calculated);
    environment.add_function(INDEX, operators::index);
    environment.add_function(CHANGED, operators::compared);
    guarded::add(environment);
    environment.add_function("dict", dict);
    for name in NOT_IN_JINJA {
        environment.remove_filter(name);
    }
    environment.add_test(COMPARED, compare::is_compared);
    environment.add_test("in", compare::is_in);
    for name in TESTS_NOT_IN_JINJA {
        environment.remove_test(name);
    }
    environment.add_test("lower", |value: &Value| stepped(tests::is_lower, value));
    environment.add_test("upper", |value: &Value| stepped(tests::is_upper, value));
    for (name, operator) in compare::TESTS {
        environment.add_test(name, move |one: Value, other: Value| {
            compare::holds(&one, operator, &other)
        });
    }
    environment.add_filter("wordcount", minijinja_contrib::filters::wordcount);
    environment.add_filter("filesizeformat", minijinja_contrib::filters::filesizeformat);
    environment.add_function("cycler", |items: Rest<Value>| {
        minijinja_contrib::globals::cycler(items.to_vec())
    });
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    // It shows all names with their values, those of the environment too.
    environment.remove_global("debug");
}

/// Filters of the engine that Jinja2 does not have.
const NOT_IN_JINJA: [&str; 5] = ["bool", "chain", "lines", "split", "zip"];

/// Tests of the engine that Jinja2 does not have.
const TESTS_NOT_IN_JINJA: [&str; 3] = ["endingwith", "safe", "startingwith"];

/// Looks at the clock, and makes a test that takes time with the size of a text.
fn stepped(test: fn(&Value) -> bool, value: &Value) -> Result<bool, Error> {
    limits::step()?;
    Ok(test(value))
}

fn dict(value: Option<Value>, more: Kwargs) -> Result<Value, Error> {
    limits::made(minijinja::functions::dict(value, more)?)
}

fn string(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    limits::spend(limits::measured(value)?)?;
    display::text(value)
}

fn list(value: &Value) -> Result<Value, Error> {
    let length = match value.as_str() {
        Some(text) => text.chars().count(),
        None => value.len().unwrap_or(0),
    };
    limits::spend(length.saturating_mul(limits::ITEM))?;
    let items: Result<Vec<Value>, Error> = match value.as_str() {
        Some(text) => Ok(text
            .chars()
            .map(|char| Value::from(char.to_string()))
            .collect()),
        None => compare::items(value.clone())?
            .try_iter()?
            .checked()
            .collect(),
    };
    items.map(Value::from)
}

fn join(
    value: &Value,
    separator: Option<&str>,
    attribute: Option<&str>,
    options: Kwargs,
) -> Result<String, Error> {
    let separator = match separator {
        Some(separator) => separator,
        None => options.get::<Option<&str>>("d")?.unwrap_or_default(),
    };
    let attribute = match attribute {
        Some(attribute) => Some(attribute),
        None => options.get::<Option<&str>>("attribute")?,
    };
    options.assert_all_used()?;
    let mut out = String::new();
    let items = compare::items(value.clone())?;
    for (index, item) in items.try_iter()?.checked().enumerate() {
        if index > 0 {
            limits::spend(separator.len())?;
            out.push_str(separator);
        }
        let mut item = item?;
        for key in attribute.iter().flat_map(|path| path.split('.')) {
            item = item.get_attr(key)?;
        }
        out.push_str(&string(&item)?);
    }
    Ok(out)
}

/// Returns a whole number, or the default, as Jinja2 does: of a float without its fraction.
fn int(value: &Value, default: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let default = match default {
        Some(default) => default,
        None => options
            .get::<Option<Value>>("default")?
            .unwrap_or(Value::from(0)),
    };
    options.assert_all_used()?;
    if let Some(text) = value.as_str() {
        let text = text.trim().replace('_', "");
        let whole = text.parse::<i128>().ok().map(Value::from);
        let cut = || text.parse::<f64>().ok().filter(|number| number.is_finite());
        return Ok(whole.or_else(|| cut().map(truncated)).unwrap_or(default));
    }
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Bool => Ok(Value::from(u8::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => Ok(value.clone()),
        ValueKind::Number => Ok(truncated(f64::try_from(value.clone())?)),
        _ => Ok(default),
    }
}

fn truncated(number: f64) -> Value {
    Value::from(number.trunc() as i128)
}

/// Returns a float, or the default.
fn float(value: &Value, default: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let default = match default {
        Some(default) => default,
        None => options
            .get::<Option<Value>>("default")?
            .unwrap_or(Value::from(0.0)),
    };
    options.assert_all_used()?;
    if let Some(text) = value.as_str() {
        let number = text.trim().replace('_', "").parse::<f64>().ok();
        return Ok(number.map_or(default, Value::from));
    }
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Bool => Ok(Value::from(f64::from(u8::from(value.is_true())))),
        ValueKind::Number => Ok(Value::from(f64::try_from(value.clone())?)),
        _ => Ok(default),
    }
}

/// Puts blanks on both sides of a text.
fn center(value: &Value, width: Option<usize>) -> Result<String, Error> {
    let (text, width) = (string(value)?, width.unwrap_or(80));
    if width as i128 > limits::MAX_NUMBER {
        return Err(limits::too_wide());
    }
    limits::spend(width)?;
    let room = width.saturating_sub(text.chars().count());
    // As Python does: an odd blank is on the left if the width is odd.
    let left = room / 2 + (room & width & 1);
    Ok(format!(
        "{}{text}{}",
        " ".repeat(left),
        " ".repeat(room - left)
    ))
}

fn is_sequence(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::String
    )
}

/// Rounds as Python does: a float half to even, and by its exact value; a whole number stays one.
fn round(
    value: &Value,
    precision: Option<i32>,
    method: Option<&str>,
    options: Kwargs,
) -> Result<Value, Error> {
    let precision = match precision {
        Some(precision) => precision,
        None => options.get::<Option<i32>>("precision")?.unwrap_or(0),
    };
    let method = match method {
        Some(method) => method,
        None => options.get::<Option<&str>>("method")?.unwrap_or("common"),
    };
    options.assert_all_used()?;
    let refuse = |problem: &str| Error::new(ErrorKind::InvalidOperation, problem.to_owned());
    if value.kind() == ValueKind::Bool {
        return Ok(Value::from(u8::from(value.is_true())));
    }
    if value.kind() != ValueKind::Number {
        return Err(refuse("only a number can be rounded"));
    }
    if precision.abs() > 300 {
        return Err(refuse("a precision above 300"));
    }
    if value.is_integer() && method == "common" && precision >= 0 {
        return Ok(value.clone());
    }
    let number = f64::try_from(value.clone())?;
    let scale = 10_f64.powi(precision);
    Ok(Value::from(match method {
        "common" if precision >= 0 => format!("{number:.*}", precision as usize)
            .parse()
            .unwrap_or(number),
        "common" => (number * scale).round_ties_even() / scale,
        "ceil" => (number * scale).ceil() / scale,
        "floor" => (number * scale).floor() / scale,
        _ => return Err(refuse("method must be common, ceil or floor")),
    }))
}

/// Reads JSON; what is not JSON is returned unchanged.
fn from_json(value: Value) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return Ok(value);
    };
    // Each comma may stand between two items.
    limits::check(text.matches(',').count().saturating_mul(limits::ITEM))?;
    match from_json_of_others(text, MAX_DEPTH) {
        Ok(read) => limits::made(values::to_value(&read)),
        Err(_) => Ok(value),
    }
}

/// Writes JSON as Python's `json.dumps` does: in ASCII, with a blank behind each comma and colon.
fn to_json(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<usize>>("indent")?,
    };
    options.assert_all_used()?;
    if indent.is_some_and(|indent| indent > 1_000) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "an indent above 1,000",
        ));
    }
    limits::spend(limits::measured(value)?)?;
    let value = values::to_snap(value)?;
    if let Some(indent) = indent {
        limits::spend(indentation(&value, indent, 1))?;
    }
    let mut out = String::new();
    write(&value, indent, 0, &mut out);
    Ok(out)
}

/// Returns how many blanks stand before the items of a value that is written with an indent.
fn indentation(value: &Snap, indent: usize, depth: usize) -> usize {
    let inside = |item: &Snap| {
        let own = indent.saturating_mul(depth);
        own.saturating_add(indentation(item, indent, depth + 1))
    };
    let add = usize::saturating_add;
    match value {
        Snap::List(items) => items.iter().map(inside).fold(0, add),
        Snap::Map(pairs) => pairs.iter().map(|(_, item)| inside(item)).fold(0, add),
        _ => 0,
    }
}

fn write(value: &Snap, indent: Option<usize>, depth: usize, out: &mut String) {
    match value {
        Snap::Float(number) if !number.is_finite() => out.push_str(if number.is_nan() {
            "NaN"
        } else if *number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }),
        Snap::Int(number) => out.push_str(&number.to_string()),
        Snap::Big(digits) => out.push_str(digits),
        Snap::Str(text) | Snap::Mark(text) => write_string(text, out),
        Snap::List(items) => write_group(('[', ']'), items, indent, depth, out, |item, out| {
            write(item, indent, depth + 1, out);
        }),
        Snap::Map(pairs) => {
            write_group(('{', '}'), pairs, indent, depth, out, |(key, item), out| {
                write_string(key, out);
                out.push_str(": ");
                write(item, indent, depth + 1, out);
            })
        }
        other => other.write_json(out),
    }
}

fn write_group<T>(
    brackets: (char, char),
    items: &[T],
    indent: Option<usize>,
    depth: usize,
    out: &mut String,
    mut one: impl FnMut(&T, &mut String),
) {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    out.push(brackets.0);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        line(depth + 1, out);
        one(item, out);
    }
    if !items.is_empty() {
        line(depth, out);
    }
    out.push(brackets.1);
}

/// Appends a JSON string in ASCII.
fn write_string(text: &str, out: &mut String) {
    let mut json = String::new();
    Snap::from(text).write_json(&mut json);
    for char in json.chars() {
        if char.is_ascii() {
            out.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
}
