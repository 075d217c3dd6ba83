//! Values as texts: as Python's `str` writes them.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::values::{pairs_of, Budget};
use crate::python;

/// Returns a value as Python's `str` does.
///
/// # Errors
///
/// It is too large or too deep, or an iterator in it fails.
pub(super) fn text(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => {
            let mut out = String::new();
            write(value, &mut out, &mut Budget::default())?;
            Ok(out)
        }
    }
}

/// Appends a value as Python's `repr` does.
fn write(value: &Value, out: &mut String, budget: &mut Budget) -> Result<(), Error> {
    budget.spend(value)?;
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if !value.is_integer() => {
            python::float(f64::try_from(value.clone()).unwrap_or(f64::NAN), out);
        }
        ValueKind::String => python::quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => return write_items(value, out, budget),
        ValueKind::Map => {
            out.push('{');
            let pairs = value.as_object().and_then(pairs_of).unwrap_or_default();
            for (index, (key, item)) in pairs.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                budget.inside(|budget| write(key, out, budget))?;
                out.push_str(": ");
                budget.inside(|budget| write(item, out, budget))?;
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
    Ok(())
}

fn write_items(value: &Value, out: &mut String, budget: &mut Budget) -> Result<(), Error> {
    let (open, close) = if value.is_tuple() {
        ('(', ')')
    } else {
        ('[', ']')
    };
    out.push(open);
    let mut count = 0;
    for item in value.try_iter()?.checked() {
        let item = item?;
        out.push_str(if count == 0 { "" } else { ", " });
        budget.inside(|budget| write(&item, out, budget))?;
        count += 1;
    }
    if count == 1 && value.is_tuple() {
        out.push(',');
    }
    out.push(close);
    Ok(())
}
