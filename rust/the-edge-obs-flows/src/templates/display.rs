//! Values as texts: as Python's `str` writes them.

use minijinja::value::ValueKind;
use minijinja::Value;

use super::values::pairs_of;
use crate::python;

/// Returns a value as Python's `str` does.
pub(super) fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => {
            let mut out = String::new();
            write(value, &mut out);
            out
        }
    }
}

/// Appends a value as Python's `repr` does.
fn write(value: &Value, out: &mut String) {
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if !value.is_integer() => {
            python::float(f64::try_from(value.clone()).unwrap_or(f64::NAN), out);
        }
        ValueKind::String => python::quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => write_items(value, out),
        ValueKind::Map => {
            out.push('{');
            let pairs = value.as_object().and_then(pairs_of).unwrap_or_default();
            for (index, (key, item)) in pairs.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write(key, out);
                out.push_str(": ");
                write(item, out);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}

fn write_items(value: &Value, out: &mut String) {
    let (open, close) = if value.is_tuple() {
        ('(', ')')
    } else {
        ('[', ']')
    };
    out.push(open);
    let mut count = 0;
    for item in value.try_iter().into_iter().flatten() {
        out.push_str(if count == 0 { "" } else { ", " });
        write(&item, out);
        count += 1;
    }
    if count == 1 && value.is_tuple() {
        out.push(',');
    }
    out.push(close);
}
