//! Paths below the folder of the recorded flow, as paths below that of the flow that runs.

use std::path::Path;

use the_edge_obs::value::Key;
use the_edge_obs::{build_flow_log, Error, FlowLog, Snap};

use super::recording::root_data;

/// The folders of the recorded flow and of the one that runs.
#[derive(Debug)]
pub(super) struct Folders(Option<(String, String)>);

impl Folders {
    /// Returns the folders; none if they are the same, or if one is not known by an absolute path.
    pub(super) fn of(log: &FlowLog, new: Option<&Path>) -> Folders {
        let path = root_data(log).and_then(|data| data.get("flow")?.get("path")?.as_str());
        let old = path.map(Path::new).filter(|path| path.is_absolute());
        let old = old.and_then(Path::parent).map(Path::to_string_lossy);
        let pair = old.zip(new.map(Path::to_string_lossy));
        let pair = pair.filter(|(old, new)| old.len() > 1 && old != new);
        Folders(pair.map(|(old, new)| (old.into_owned(), new.into_owned())))
    }

    /// Returns a value with the new folder in place of the recorded one.
    pub(super) fn there(&self, value: &Snap) -> Snap {
        match &self.0 {
            Some((old, new)) => moved(value, old, new),
            None => value.clone(),
        }
    }

    /// Returns a value with another id, and with the recorded folder in place of the new one.
    pub(super) fn back(&self, value: &Snap, id: &str, old_id: &str) -> Snap {
        match value {
            Snap::Str(text) | Snap::Mark(text) => {
                let text = text.replace(id, old_id);
                match &self.0 {
                    Some((old, new)) => text.replace(new, old).into(),
                    None => text.into(),
                }
            }
            Snap::List(items) => Snap::List(
                items
                    .iter()
                    .map(|item| self.back(item, id, old_id))
                    .collect(),
            ),
            Snap::Map(pairs) => {
                let pairs = pairs.iter();
                Snap::Map(
                    pairs
                        .map(|(key, item)| (key.clone(), self.back(item, id, old_id)))
                        .collect(),
                )
            }
            other => other.clone(),
        }
    }
}

/// Returns a log in which paths below the folder of its flow are those below the new one.
pub(super) fn translated(log: &FlowLog, folders: &Folders) -> Result<FlowLog, Error> {
    match &folders.0 {
        Some((old, new)) => {
            let events = log.events.iter().map(|event| moved_event(event, old, new));
            build_flow_log(events, log.metrics.dropped_count, log.metrics.fault_count)
        }
        None => Ok(log.clone()),
    }
}

fn moved_event(event: &Snap, old: &str, new: &str) -> Snap {
    let Snap::Map(pairs) = event else {
        return event.clone();
    };
    let pair = |(key, value): &(Key, Snap)| match &**key == "data" {
        true => (key.clone(), moved(value, old, new)),
        false => (key.clone(), value.clone()),
    };
    Snap::Map(pairs.iter().map(pair).collect())
}

fn moved(value: &Snap, old: &str, new: &str) -> Snap {
    match value {
        Snap::Str(text) | Snap::Mark(text) => moved_text(text, old, new).into(),
        Snap::List(items) => Snap::List(items.iter().map(|item| moved(item, old, new)).collect()),
        Snap::Map(pairs) => Snap::map(pairs.iter().map(|(key, item)| {
            let key: Key = moved_text(key, old, new).into();
            (key, moved(item, old, new))
        })),
        other => other.clone(),
    }
}

/// Returns a text with another folder wherever the old one stands as a whole: not `/a/b` of `/a/bc` or `x/a/b`.
fn moved_text(text: &str, old: &str, new: &str) -> String {
    let is_word = |char: char| char == '_' || char.is_alphanumeric() || ".-".contains(char);
    let (mut out, mut from) = (String::new(), 0);
    for (at, _) in text.match_indices(old) {
        let end = at + old.len();
        let before = text[..at].chars().next_back();
        let after = text[end..].chars().next();
        let is_part = before.is_some_and(|char| is_word(char) || "/\\".contains(char))
            || after.is_some_and(is_word);
        if !is_part {
            out.push_str(&text[from..at]);
            out.push_str(new);
            from = end;
        }
    }
    out + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_folder_is_moved() {
        let moved = |text: &str| moved_text(text, "/a/b", "/new");
        assert_eq!(
            moved("cat /a/b/x.txt '/a/b' /a/b"),
            "cat /new/x.txt '/new' /new"
        );
        for text in ["/a/bc", "/a/b.txt", "/x/a/b", "/a/b-old/x", "é/a/b"] {
            assert_eq!(moved(text), text);
        }
    }
}
