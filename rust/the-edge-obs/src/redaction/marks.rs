//! What a capture cut or redacted, told beside the data: `data.cut` lists the paths.

use super::chars::{head, is_longer, is_word};
use super::snapshot::LONGEST_WHOLE_KEY;
use crate::value::{write_string, Snap};

/// The most paths of one event.
pub const MAX_PATHS: usize = 50;
/// The most characters of a path.
pub const MAX_PATH: usize = 256;
/// Stands for paths that are not told: those beyond the first [`MAX_PATHS`].
pub const MORE: &str = "…";

/// Returns where a snapshot does not hold all of what was captured: of a container that lost items, its own path.
///
/// `path` is what the snapshot is called, such as `input`; empty for data as a whole. `taken` is the snapshot, `clean` what
/// [`scrub`](super::scrub) made of it.
///
/// ```
/// use the_edge_obs::redaction::{cut_paths, scrub, snapshot, KeyClasses, Taints};
/// use the_edge_obs::value::from_json;
///
/// let (classes, taints) = (KeyClasses::built_in(), Taints::new());
/// let value = from_json(r#"{"to": [{"api_key": "k-83hd72hs"}], "a b": "password=hunter2xy", "n": 1}"#).unwrap();
/// let taken = snapshot(&value, &taints, classes);
/// let clean = scrub(&taken, &taints);
/// assert_eq!(cut_paths("input", &taken, &clean), ["input.to[0].api_key", "input[\"a b\"]"]);
/// ```
#[must_use]
pub fn cut_paths(path: &str, taken: &Snap, clean: &Snap) -> Vec<String> {
    let mut found = Vec::new();
    if matches!(taken, Snap::Map(_) | Snap::List(_)) {
        add_paths(&mut found, path, taken, clean);
    } else if is_cut(taken, clean) {
        found.push(path.to_owned());
    }
    told(found)
}

/// Returns the paths that are told of those that were found: each once, and not too many.
pub(super) fn told(mut paths: Vec<String>) -> Vec<String> {
    paths.truncate(MAX_PATHS + 1);
    let mut at = 0;
    while at < paths.len() {
        let (before, rest) = paths.split_at_mut(at);
        let path = &mut rest[0];
        path.truncate(head(path, MAX_PATH).len());
        if path.is_empty() {
            path.push_str(MORE);
        }
        if before.contains(path) {
            paths.remove(at);
        } else {
            at += 1;
        }
    }
    if paths.len() > MAX_PATHS {
        paths.truncate(MAX_PATHS);
        paths.push(MORE.to_owned());
    }
    paths
}

/// Where a value stands, from the outside to the inside; it only becomes a text where it is told.
pub(super) enum Path<'p> {
    /// What a snapshot is called.
    Name(&'p str),
    Key(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl Path<'_> {
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(64);
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        match self {
            Path::Name(name) => out.push_str(name),
            Path::Key(path, key) => {
                path.write(out);
                push_key(key, out);
            }
            Path::Item(path, at) => {
                path.write(out);
                out.push_str(&format!("[{at}]"));
            }
        }
    }
}

/// Returns the path of a key in an object: `input.prompt`, `input["a b"]`; of a key alone where the path is empty.
#[must_use]
pub fn inside(path: &str, key: &str) -> String {
    let mut inner = path.to_owned();
    push_key(key, &mut inner);
    inner
}

fn push_key(key: &str, path: &mut String) {
    if !is_plain(key) {
        path.push('[');
        write_string(key, path);
        path.push(']');
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// Tells whether a key stands in a path as it is: `[A-Za-z_]\w*`.
fn is_plain(key: &str) -> bool {
    let is_first = |char: char| char == '_' || char.is_ascii_alphabetic();
    key.starts_with(is_first) && key.chars().all(is_word)
}

/// Adds where a container, and what is in it, does not hold all.
fn add_paths(found: &mut Vec<String>, path: &str, taken: &Snap, clean: &Snap) {
    if found.len() > MAX_PATHS {
        return;
    }
    let is_container = |item: &Snap| matches!(item, Snap::Map(_) | Snap::List(_));
    match (taken, clean) {
        (Snap::Map(taken), Snap::Map(clean)) => {
            for ((name, item), (key, value)) in taken.iter().zip(clean.iter()) {
                if is_longer(key, LONGEST_WHOLE_KEY) || key != name {
                    found.push(inside(path, key));
                } else if is_container(item) {
                    add_paths(found, &inside(path, key), item, value);
                } else if is_cut(item, value) {
                    let is_rest = matches!(item, Snap::Mark(_)) && &**key == MORE;
                    found.push(if is_rest {
                        path.to_owned()
                    } else {
                        inside(path, key)
                    });
                }
            }
        }
        (Snap::List(taken), Snap::List(clean)) => {
            for (at, (item, value)) in taken.iter().zip(clean.iter()).enumerate() {
                if at + 1 == taken.len() && is_rest(item) {
                    found.push(path.to_owned());
                } else if is_container(item) {
                    add_paths(found, &format!("{path}[{at}]"), item, value);
                } else if is_cut(item, value) {
                    found.push(format!("{path}[{at}]"));
                }
            }
        }
        _ => {}
    }
}

/// Tells whether the last item of a list only says how many more there were; of errors it looks like one.
pub(super) fn is_rest(item: &Snap) -> bool {
    let is_more = item.get("type").and_then(Snap::as_str) == Some(MORE);
    let text = if is_more {
        item.get("message")
    } else {
        Some(item)
    };
    matches!(text, Some(Snap::Mark(text)) if text.starts_with("[+"))
}

/// Tells whether something is a mark, or had a secret in it.
///
/// A number that JSON cannot hold becomes a text, and is whole; only one of thousands of digits is lost.
fn is_cut(taken: &Snap, clean: &Snap) -> bool {
    let Some(clean) = clean.as_str() else {
        return false;
    };
    match taken {
        Snap::Mark(_) => true,
        Snap::Str(text) => **text != *clean,
        Snap::Int(_) | Snap::Big(_) => clean.starts_with("[REDACTED") || clean.starts_with('<'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redaction::{scrub, snapshot, KeyClasses, Taints};

    fn paths(value: &Snap) -> Vec<String> {
        let taints = Taints::new();
        let taken = snapshot(value, &taints, KeyClasses::built_in());
        cut_paths("input", &taken, &scrub(&taken, &taints))
    }

    #[test]
    fn what_was_cut_is_told() {
        let long = Snap::from("x ".repeat(5_000));
        let cases = [
            (long.clone(), vec!["input"]),
            (Snap::from(vec![1; 201]), vec!["input"]),
            (
                Snap::map([("a", Snap::from(vec![1; 201]))]),
                vec!["input.a"],
            ),
            (
                Snap::map([("é", long.clone()), ("b", Snap::from("…[+3 chars]"))]),
                vec!["input[\"é\"]"],
            ),
            (
                Snap::map([("password=hunter2xy", Snap::Int(1))]),
                vec!["input[\"password=[REDACTED]\"]"],
            ),
            (
                Snap::map([("n", Snap::Big("9".repeat(2_000).into()))]),
                vec!["input.n"],
            ),
            (Snap::map([("n", Snap::Big("9".repeat(20).into()))]), vec![]),
            (Snap::map([("n", Snap::Float(f64::NAN))]), vec![]),
        ];
        for (value, expected) in cases {
            assert_eq!(paths(&value), expected);
        }
        let pairs = Snap::map((0..201).map(|at| (format!("k{at}"), Snap::Null)));
        assert_eq!(paths(&pairs), ["input"]);
    }

    #[test]
    fn there_are_not_too_many_paths() {
        let value = Snap::map((0..60).map(|at| (format!("k{at}"), Snap::from("pwd=hunter2xy"))));
        let found = paths(&value);
        assert_eq!(
            (found.len(), &*found[49], &*found[50]),
            (51, "input.k49", "…")
        );
    }
}
