//! Where two values differ, by path; what no two runs share is folded before.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use the_edge_obs::globs::Glob;
use the_edge_obs::ids::is_uuid;
use the_edge_obs::redaction::inside;
use the_edge_obs::value::Key;
use the_edge_obs::{FlowLog, Snap};

use crate::python::{cut, repr};

/// The most characters of a value in a message.
const LONGEST: usize = 90;
/// The characters of a text shown before the first one that differs.
const LEAD: usize = 12;
const ID: &str = "[id]";
const ID_LENGTH: usize = 36;
const DIGEST: &str = "[REDACTED:";
/// What stands in place of a secret; also in the form with a digest.
pub(super) const REDACTED: &str = "[REDACTED";
/// An object with an id of the run at one of these keys is an event, a span or a flow log: its times are those of one run.
const OURS: [&str; 2] = ["flow_id", "span_id"];
const TIMES: [&str; 3] = ["timestamp", "start", "end"];
/// The relative difference of two numbers, one of them a float, that counts as none when runs are compared.
pub(super) const NOISE: f64 = 1e-9;

/// One place at which two values differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The place, such as `input.messages[0].content`.
    pub path: String,
    /// The recorded value; `None` for one that was not there.
    pub old: Option<Snap>,
    /// The value of the new run; `None` for one that is not there.
    pub new: Option<Snap>,
}

impl fmt::Display for Change {
    /// Writes the place and the values, each cut to 90 characters, of long texts without the beginning that they share:
    /// `input.prompt: 'old' -> 'new'`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => {
                let (old, new) = apart(old, new);
                write!(out, "{path}: {} -> {}", short(&old), short(&new))
            }
            (None, Some(new)) => write!(out, "{path}: added, {}", short(new)),
            (Some(old), None) => write!(out, "{path}: removed, {}", short(old)),
            (None, None) => out.write_str(path),
        }
    }
}

/// Returns two values to show side by side: long texts without the beginning that they share.
fn apart<'c>(old: &'c Snap, new: &'c Snap) -> (Cow<'c, Snap>, Cow<'c, Snap>) {
    if let (Some(one), Some(other)) = (old.as_str(), new.as_str()) {
        let pairs = one.chars().zip(other.chars());
        let alike = pairs.take_while(|(one, other)| one == other).count();
        let cut = alike.saturating_sub(LEAD);
        if cut > LEAD {
            let rest = |text: &str| {
                let rest: String = text.chars().skip(cut).collect();
                Cow::Owned(Snap::from(format!("...{rest}")))
            };
            return (rest(one), rest(other));
        }
    }
    (Cow::Borrowed(old), Cow::Borrowed(new))
}

fn short(value: &Snap) -> String {
    let text = repr(value);
    match text.chars().count() {
        0..=LONGEST => text,
        _ => cut(&text, LONGEST - 3),
    }
}

/// The ids of a run, which are those of no other one.
#[derive(Debug, Default)]
pub(super) struct Fold {
    pub ids: HashSet<Box<str>>,
}

impl Fold {
    /// Returns the ids of a run.
    pub(super) fn of(log: &FlowLog) -> Fold {
        let ids = log.spans.iter().map(|span| span.span_id.clone());
        Fold {
            ids: ids.chain([log.flow_id.as_str().into()]).collect(),
        }
    }

    /// Returns a value without what no two runs share.
    pub(super) fn value(&self, value: &Snap) -> Snap {
        self.folded(value, false)
    }

    fn folded(&self, value: &Snap, is_ours: bool) -> Snap {
        match value {
            Snap::Str(text) | Snap::Mark(text) => self.text(text).into(),
            Snap::List(items) => Snap::List(
                items
                    .iter()
                    .map(|item| self.folded(item, is_ours))
                    .collect(),
            ),
            Snap::Map(pairs) => {
                let own = |key: &&str| value.get(key).and_then(Snap::as_str);
                let is_ours =
                    is_ours || OURS.iter().filter_map(own).any(|id| self.ids.contains(id));
                let folded = |(key, item): &(Key, Snap)| match is_ours && is_time(key, item) {
                    true => (key.clone(), Snap::Null),
                    false => (key.clone(), self.folded(item, is_ours)),
                };
                Snap::Map(pairs.iter().map(folded).collect())
            }
            other => other.clone(),
        }
    }

    fn text(&self, text: &str) -> String {
        self.without_ids(&without_digests(text))
    }

    fn without_ids(&self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = self.id_in(rest) {
            out.push_str(&rest[..at]);
            out.push_str(ID);
            rest = &rest[at + ID_LENGTH..];
        }
        out + rest
    }

    /// Returns where a text has an id of the run.
    fn id_in(&self, text: &str) -> Option<usize> {
        let hyphens = text.match_indices('-').map(|(at, _)| at);
        let starts = hyphens.filter_map(|at| at.checked_sub(8));
        let mut ids = starts.filter(|start| {
            let id = text.get(*start..*start + ID_LENGTH);
            id.is_some_and(|id| is_uuid(id) && self.ids.contains(id))
        });
        ids.next()
    }
}

/// Returns the input of an entry without what two runs never share, and without what is ignored; `None` if there is none.
pub(super) fn plain(entry: &Snap, fold: &Fold, ignored: &Ignored) -> Option<Snap> {
    let input = entry.get("input").filter(|_| !ignored.has("input"))?;
    // The parameters of a call are not an event, even if one of them is called flow_id. A value inside them may be one.
    let folded = match input {
        Snap::Map(pairs) => {
            let pairs = pairs.iter();
            Snap::Map(
                pairs
                    .map(|(key, item)| (key.clone(), fold.value(item)))
                    .collect(),
            )
        }
        other => fold.value(other),
    };
    Some(ignored.without("input", folded))
}

/// Returns a value with the keys of each object in order.
pub(super) fn sorted(value: &Snap) -> Snap {
    match value {
        Snap::List(items) => Snap::List(items.iter().map(sorted).collect()),
        Snap::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, item)| (key.clone(), sorted(item)));
            let mut pairs: Vec<(Key, Snap)> = pairs.collect();
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            Snap::Map(pairs.into())
        }
        other => other.clone(),
    }
}

fn is_time(key: &str, value: &Snap) -> bool {
    let is_number = matches!(
        value,
        Snap::Bool(_) | Snap::Int(_) | Snap::Float(_) | Snap::Big(_)
    );
    is_number && (TIMES.contains(&key) || key.ends_with("_ms"))
}

/// Returns a text in which all placeholders are alike: their digests are those of one process.
pub(super) fn without_digests(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(DIGEST) {
        let (before, after) = rest.split_at(at + DIGEST.len());
        let digest: usize = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        match after[digest..].strip_prefix(']') {
            Some(behind) if digest > 0 => {
                out.push_str(&before[..at]);
                out.push_str(REDACTED);
                out.push(']');
                rest = behind;
            }
            _ => {
                out.push_str(before);
                rest = after;
            }
        }
    }
    out + rest
}

/// Returns where two values differ that were folded, in the order of the document.
///
/// Of two numbers, one of them a float, a relative difference of `noise` counts as none; with 0 they must be equal.
pub(super) fn changes(
    path: &str,
    old: Option<&Snap>,
    new: Option<&Snap>,
    noise: f64,
) -> Vec<Change> {
    let mut found = Vec::new();
    match (old, new) {
        // No output, and an output that is null.
        (None | Some(Snap::Null), None | Some(Snap::Null)) => {}
        (old, new) => walk(path, old, new, noise, &mut found),
    }
    found
}

fn walk(path: &str, old: Option<&Snap>, new: Option<&Snap>, noise: f64, found: &mut Vec<Change>) {
    match (old, new) {
        (Some(Snap::Map(old_pairs)), Some(Snap::Map(pairs))) => {
            let (one, other) = (old.unwrap_or(&Snap::Null), new.unwrap_or(&Snap::Null));
            for (key, value) in old_pairs.iter() {
                walk(
                    &inside(path, key),
                    Some(value),
                    other.get(key),
                    noise,
                    found,
                );
            }
            for (key, value) in pairs.iter().filter(|(key, _)| one.get(key).is_none()) {
                walk(&inside(path, key), None, Some(value), noise, found);
            }
        }
        (Some(Snap::List(old)), Some(Snap::List(new))) => walk_items(path, old, new, noise, found),
        (Some(old), Some(new)) if is_alike(old, new, noise) => {}
        (old, new) => found.push(Change {
            path: path.to_owned(),
            old: old.cloned(),
            new: new.cloned(),
        }),
    }
}

/// Compares the items between those at the beginning and the end that are alike.
fn walk_items(path: &str, old: &[Snap], new: &[Snap], noise: f64, found: &mut Vec<Change>) {
    let is_same =
        |(one, other): &(&Snap, &Snap)| changes("", Some(one), Some(other), noise).is_empty();
    let start = old.iter().zip(new).take_while(is_same).count();
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let ends = old_rest.iter().rev().zip(new_rest.iter().rev());
    let end = ends.take_while(is_same).count();
    let (old_rest, new_rest) = (
        &old_rest[..old_rest.len() - end],
        &new_rest[..new_rest.len() - end],
    );
    for at in 0..old_rest.len().max(new_rest.len()) {
        let place = format!("{path}[{}]", start + at);
        walk(&place, old_rest.get(at), new_rest.get(at), noise, found);
    }
}

/// Tells whether two values are the same: numbers by value, without the last digits of a float; true is not 1.
///
/// Two whole numbers are never nearly the same: they may be the ids of two orders.
fn is_alike(old: &Snap, new: &Snap, noise: f64) -> bool {
    match (old, new) {
        (Snap::Float(old), Snap::Float(new)) => old == new || is_close(*old, *new, noise),
        (Snap::Int(whole), Snap::Float(float)) | (Snap::Float(float), Snap::Int(whole)) => {
            is_whole(*float, *whole) || (noise > 0.0 && is_close(*whole as f64, *float, noise))
        }
        (Snap::Str(old) | Snap::Mark(old), Snap::Str(new) | Snap::Mark(new)) => old == new,
        (old, new) => old == new,
    }
}

fn is_close(old: f64, new: f64, noise: f64) -> bool {
    let is_finite = old.is_finite() && new.is_finite();
    is_finite && (old - new).abs() <= (noise * old.abs().max(new.abs())).max(noise / 1_000.0)
}

/// Tells whether a float is a whole number, exactly.
fn is_whole(float: f64, whole: i64) -> bool {
    // A float has no more than 53 bits: the conversion back is exact, and does not fit only for 2^63.
    float == whole as f64 && float as i128 == i128::from(whole)
}

/// The paths of inputs that may differ, with all that is inside. `*` and `?` stand for any characters.
#[derive(Debug, Default)]
pub(super) struct Ignored(Vec<Glob>);

impl Ignored {
    pub(super) fn new(patterns: &[String]) -> Ignored {
        let glob = |pattern: &String| Glob::new(&pattern.replace('[', "[[]"));
        Ignored(patterns.iter().map(glob).collect())
    }

    /// Tells whether a path is ignored.
    pub(super) fn has(&self, path: &str) -> bool {
        let ends = path.match_indices(['.', '[']).map(|(at, _)| at);
        ends.chain([path.len()])
            .any(|end| self.0.iter().any(|glob| glob.matches(&path[..end])))
    }

    /// Returns an event without what is ignored in its input and output.
    pub(super) fn clean_event(&self, event: &Snap) -> Snap {
        let (false, Snap::Map(pairs)) = (self.0.is_empty(), event) else {
            return event.clone();
        };
        let clean = |(key, value): &(Key, Snap)| match (&**key, value) {
            ("data", Snap::Map(data)) => {
                let is_payload = |key: &str| matches!(key, "input" | "output");
                let kept = data
                    .iter()
                    .filter(|(key, _)| !(is_payload(key) && self.has(key)));
                let kept = kept.map(|(key, item)| match is_payload(key) {
                    true => (key.clone(), self.without(key, item.clone())),
                    false => (key.clone(), item.clone()),
                });
                (key.clone(), Snap::Map(kept.collect()))
            }
            _ => (key.clone(), value.clone()),
        };
        Snap::Map(pairs.iter().map(clean).collect())
    }

    /// Returns a value without what is ignored in it.
    pub(super) fn without(&self, path: &str, value: Snap) -> Snap {
        match value {
            value if self.0.is_empty() => value,
            Snap::Map(pairs) => {
                let pairs = pairs.into_vec().into_iter();
                let pairs = pairs.map(|(key, item)| (inside(path, &key), key, item));
                let kept = pairs.filter(|(at, ..)| !self.has(at));
                Snap::Map(
                    kept.map(|(at, key, item)| (key, self.without(&at, item)))
                        .collect(),
                )
            }
            Snap::List(items) => {
                let items = items.into_vec().into_iter().enumerate();
                let items = items.map(|(at, item)| (format!("{path}[{at}]"), item));
                let kept = items.filter(|(at, _)| !self.has(at));
                Snap::List(kept.map(|(at, item)| self.without(&at, item)).collect())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_where_long_texts_differ() {
        let shown = |old: String, new: String| {
            let (old, new) = (Some(old.into()), Some(new.into()));
            let path = "input".to_owned();
            Change { path, old, new }.to_string()
        };
        let long = |end: &str| format!("{}{end}", "é".repeat(500));
        let lead = "é".repeat(12);
        assert_eq!(
            shown(long("old"), long("new")),
            format!("input: '...{lead}old' -> '...{lead}new'")
        );
        assert_eq!(
            shown("an old one".into(), "an odd one".into()),
            "input: 'an old one' -> 'an odd one'"
        );
    }

    #[test]
    fn numbers_are_nearly_the_same_only_for_a_comparison() {
        let float = Snap::Float;
        let near = [
            (float(0.1 + 0.2), float(0.3)),
            (Snap::Int(1_000_000_000), float(1_000_000_000.5)),
            (float(1e-13), float(0.0)),
        ];
        for (old, new) in near {
            assert!(is_alike(&old, &new, NOISE) && !is_alike(&old, &new, 0.0));
        }
        for (old, new) in [
            (Snap::Int(10_000_000_001), Snap::Int(10_000_000_002)),
            (float(f64::INFINITY), float(1.0)),
            (float(1.0), Snap::Bool(true)),
        ] {
            assert!(!is_alike(&old, &new, NOISE) && !is_alike(&old, &new, 0.0));
        }
        assert!(is_alike(&Snap::Int(i64::MIN), &float(i64::MIN as f64), 0.0));
        assert!(!is_alike(
            &Snap::Int(i64::MAX),
            &float(i64::MAX as f64),
            0.0
        ));
    }
}
