//! Texts of values as Python writes them: in templates, and in messages about flow files.

use std::fmt::Write;

use the_edge_obs::Snap;

/// Appends a string between quotes, as Python's `repr` does.
pub(crate) fn quote(text: &str, out: &mut String) {
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(mark);
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if char == mark => {
                out.push('\\');
                out.push(char);
            }
            _ if is_printable(char) => out.push(char),
            _ => escape(char, out),
        }
    }
    out.push(mark);
}

/// Returns a string between quotes, as Python's `repr` does.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote(text, &mut out);
    out
}

fn is_printable(char: char) -> bool {
    if char.is_ascii() {
        return !char.is_ascii_control();
    }
    // The standard library escapes what is not printable. It escapes combining marks only where they stand first.
    let mut pair = [0; 8];
    pair[0] = b'a';
    let length = char.encode_utf8(&mut pair[1..]).len();
    let text = std::str::from_utf8(&pair[..=length]).unwrap_or_default();
    text.escape_debug().count() == 2 && !(char.is_whitespace())
}

fn escape(char: char, out: &mut String) {
    let code = u32::from(char);
    let _ = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Appends a float as Python writes it.
pub(crate) fn float(number: f64, out: &mut String) {
    if number.is_nan() {
        out.push_str("nan");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 { "inf" } else { "-inf" });
    } else {
        Snap::Float(number).write_json(out);
    }
}

/// Returns a value as Python's `repr` writes it.
pub(crate) fn repr(value: &Snap) -> String {
    let mut out = String::new();
    write_repr(value, &mut out);
    out
}

fn write_repr(value: &Snap, out: &mut String) {
    match value {
        Snap::Null => out.push_str("None"),
        Snap::Bool(true) => out.push_str("True"),
        Snap::Bool(false) => out.push_str("False"),
        Snap::Int(number) => out.push_str(&number.to_string()),
        Snap::Big(digits) => out.push_str(digits),
        Snap::Float(number) => float(*number, out),
        Snap::Str(text) | Snap::Mark(text) => quote(text, out),
        Snap::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_repr(item, out);
            }
            out.push(']');
        }
        Snap::Map(pairs) => {
            out.push('{');
            for (index, (key, item)) in pairs.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                quote(key, out);
                out.push_str(": ");
                write_repr(item, out);
            }
            out.push('}');
        }
    }
}

/// Returns the name of Python's type of a value.
pub(crate) fn type_name(value: &Snap) -> &'static str {
    match value {
        Snap::Null => "NoneType",
        Snap::Bool(_) => "bool",
        Snap::Int(_) | Snap::Big(_) => "int",
        Snap::Float(_) => "float",
        Snap::Str(_) | Snap::Mark(_) => "str",
        Snap::List(_) => "list",
        Snap::Map(_) => "dict",
    }
}

/// Tells whether a value counts as true in Python.
pub(crate) fn is_true(value: &Snap) -> bool {
    match value {
        Snap::Null => false,
        Snap::Bool(value) => *value,
        Snap::Int(number) => *number != 0,
        Snap::Float(number) => *number != 0.0,
        Snap::Big(_) => true,
        Snap::Str(text) | Snap::Mark(text) => !text.is_empty(),
        Snap::List(items) => !items.is_empty(),
        Snap::Map(pairs) => !pairs.is_empty(),
    }
}

/// Returns the first characters of a text, with `...` behind them if there are more.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_python_writes_them() {
        let value = the_edge_obs::value::from_json(
            "[null, true, 1, 1e16, \"it's\", \"a\\n\\u0000\\u00e9e\\u0301\\u200b\", {\"k\": []}]",
        );
        assert_eq!(
            repr(&value.unwrap()),
            "[None, True, 1, 1e+16, \"it's\", 'a\\n\\x00ée\u{301}\\u200b', {'k': []}]"
        );
        assert_eq!(repr(&"'\"".into()), "'\\'\"'");
        assert_eq!(repr(&Snap::Float(f64::NAN)), "nan");
        assert_eq!(cut("äöü", 2), "äö...");
    }
}
