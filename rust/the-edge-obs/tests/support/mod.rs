//! The shared answers of the runtimes, and comparison of JSON by value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use the_edge_obs::value::{from_json_within, Snap};

/// Returns a folder of `examples/observability`, or `None` with a note: the packed crate lacks it.
pub fn folder(name: &str) -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/observability");
    let path = PathBuf::from(root).join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {} is missing", path.display());
    None
}

/// Reads a file of JSON.
pub fn read(path: &std::path::Path) -> Snap {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    from_json_within(&text, 500).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// Returns the items of a list.
pub fn items(value: &Snap) -> &[Snap] {
    match value {
        Snap::List(items) => items,
        other => panic!("{other:?} is not a list"),
    }
}

/// Returns what a key of an object holds.
pub fn field<'s>(value: &'s Snap, key: &str) -> &'s Snap {
    let found = value.get(key);
    found.unwrap_or_else(|| panic!("{key:?} is missing in {value:?}"))
}

/// Returns the first place where two values differ as JSON: the order of keys does not matter, and numbers are compared by value.
pub fn difference(ours: &Snap, theirs: &Snap) -> Option<String> {
    let written = from_json_within(&ours.to_json(), 500).expect("what is written is JSON");
    differ(&written, theirs, "")
}

fn differ(one: &Snap, two: &Snap, path: &str) -> Option<String> {
    match (one, two) {
        (Snap::List(one), Snap::List(two)) if one.len() == two.len() => {
            let mut pairs = one.iter().zip(two.iter()).enumerate();
            pairs.find_map(|(at, (one, two))| differ(one, two, &format!("{path}[{at}]")))
        }
        (Snap::Map(one), Snap::Map(two)) if one.len() == two.len() => {
            let two: BTreeMap<&str, &Snap> = two.iter().map(|(key, item)| (&**key, item)).collect();
            one.iter().find_map(|(key, item)| {
                let path = format!("{path}.{key}");
                match two.get(&**key) {
                    Some(other) => differ(item, other, &path),
                    None => Some(format!("{path} is not expected")),
                }
            })
        }
        (Snap::Int(_) | Snap::Float(_), Snap::Int(_) | Snap::Float(_)) if are_equal(one, two) => {
            None
        }
        _ if one == two => None,
        _ => Some(format!(
            "{path}: {} is not {}",
            one.to_json(),
            two.to_json()
        )),
    }
}

fn are_equal(one: &Snap, two: &Snap) -> bool {
    let number = |value: &Snap| match value {
        Snap::Int(number) => *number as f64,
        Snap::Float(number) => *number,
        _ => f64::NAN,
    };
    number(one) == number(two)
}
