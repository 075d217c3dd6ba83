//! The tables of redaction, generated from the Python package: words, formats, and classes of characters.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use crate::value::{from_json, Snap};

/// First and last code points, in order.
pub(super) type Ranges = Vec<(u32, u32)>;
pub(super) type Words = HashSet<Box<str>>;

const DATA: &str = include_str!("../../data/tables.json");

pub(super) struct Tables {
    pub alpha: Ranges,
    pub alnum: Ranges,
    pub decimal: Ranges,
    pub digit: Ranges,
    pub printable: Ranges,
    sets: HashMap<Box<str>, Words>,
    lists: HashMap<Box<str>, Vec<Box<str>>>,
    pub weak_words: HashMap<Box<str>, usize>,
    /// What secrets begin with, the expression for the rest, and whether it is loose.
    pub formats: Vec<(Box<str>, Box<str>, bool)>,
    /// What stands inside, how far before it the secret may begin and how far behind it may end, and the whole.
    pub inner_formats: Vec<(Box<str>, usize, usize, Box<str>)>,
    pub dotted: Box<str>,
    /// Further secret keys of an area, folded, by its name.
    pub presets: Vec<(Box<str>, Vec<Box<str>>)>,
}

impl Tables {
    /// Tells whether a word is in a table. The name of the table is that of the Python constant, in lower case.
    pub fn has(&self, table: &str, word: &str) -> bool {
        self.sets[table].contains(word)
    }

    /// Returns a table in its order.
    pub fn list(&self, table: &str) -> &[Box<str>] {
        &self.lists[table]
    }
}

/// Returns the tables; they are read when they are first needed.
pub(super) fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| read(&from_json(DATA).expect("the tables are JSON: a test reads them")))
}

fn read(data: &Snap) -> Tables {
    let chars = |name: &str| -> Ranges {
        let ranges = data.get("chars").and_then(|chars| chars.get(name));
        items(ranges)
            .iter()
            .map(|range| (number(range, 0) as u32, number(range, 1) as u32))
            .collect()
    };
    let mut lists = HashMap::new();
    let mut sets = HashMap::new();
    if let Snap::Map(pairs) = data {
        for (name, value) in pairs {
            let list = texts(value);
            if !list.is_empty() {
                sets.insert((&**name).into(), list.iter().cloned().collect());
                lists.insert((&**name).into(), list);
            }
        }
    }
    let mut weak_words = HashMap::new();
    if let Some(Snap::Map(pairs)) = data.get("weak_words") {
        for (word, digits) in pairs {
            if let Snap::Int(digits) = digits {
                weak_words.insert((&**word).into(), *digits as usize);
            }
        }
    }
    let mut formats = Vec::new();
    for (table, is_loose) in [("formats", false), ("loose_formats", true)] {
        for format in items(data.get(table)) {
            for beginning in text(format, 0).split(' ') {
                formats.push((beginning.into(), text(format, 1), is_loose));
            }
        }
    }
    let inner_formats = items(data.get("inner_formats"))
        .iter()
        .map(|format| {
            (
                text(format, 0),
                number(format, 1),
                number(format, 2),
                text(format, 3),
            )
        })
        .collect();
    let mut presets = Vec::new();
    if let Some(Snap::Map(pairs)) = data.get("presets") {
        presets.extend(
            pairs
                .iter()
                .map(|(name, keys)| ((&**name).into(), texts(keys))),
        );
    }
    Tables {
        presets,
        alpha: chars("alpha"),
        alnum: chars("alnum"),
        decimal: chars("decimal"),
        digit: chars("digit"),
        printable: chars("printable"),
        sets,
        lists,
        weak_words,
        formats,
        inner_formats,
        dotted: data
            .get("dotted")
            .and_then(Snap::as_str)
            .unwrap_or_default()
            .into(),
    }
}

fn items(value: Option<&Snap>) -> &[Snap] {
    match value {
        Some(Snap::List(items)) => items,
        _ => &[],
    }
}

fn texts(value: &Snap) -> Vec<Box<str>> {
    items(Some(value))
        .iter()
        .filter_map(Snap::as_str)
        .map(Into::into)
        .collect()
}

fn text(value: &Snap, at: usize) -> Box<str> {
    items(Some(value))[at].as_str().unwrap_or_default().into()
}

fn number(value: &Snap, at: usize) -> usize {
    match items(Some(value))[at] {
        Snap::Int(number) => number as usize,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn every_table_has_its_entries() {
        let tables = tables();
        assert!(tables.has("secret_words", "password"));
        assert!(tables.has("ordinary", "hello") || tables.has("ordinary", "password"));
        assert_eq!(tables.weak_words["pin"], 4);
        assert!(tables.formats.len() > 150);
        assert!(tables.inner_formats.len() > 8);
        assert_eq!(&*tables.presets[0].0, "payment");
        assert!(tables.presets[0].1.contains(&"cvv".into()));
        assert!(tables.dotted.starts_with("[MNO]"));
        for name in ["stems", "telling", "fused_endings", "secret_phrases"] {
            assert!(tables.list(name).len() > 5, "{name}");
        }
    }

    /// Returns a Python that can import the words of this repository's package: that of the variable `PYTHON`, or else one on the
    /// path.
    fn python(root: &str) -> Option<String> {
        let known = std::env::var("PYTHON")
            .map_or(vec!["python3".to_owned(), "python".to_owned()], |named| {
                vec![named]
            });
        known.into_iter().find(|python| {
            let import = Command::new(python)
                .args(["-c", "import the_edge_obs.secrets.words"])
                .env("PYTHONPATH", root)
                .output();
            import.is_ok_and(|output| output.status.success())
        })
    }

    /// Compares the tables with the Python package. Outside of the repository, and without Python, it says so, and compares
    /// nothing.
    #[test]
    fn the_tables_are_current() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        if !std::path::Path::new(root).join("rust/tables.py").is_file() {
            eprintln!("skipped: this is not the repository");
            return;
        }
        let Some(python) = python(root) else {
            eprintln!("skipped: no Python can import the_edge_obs; set PYTHON");
            return;
        };
        let output = Command::new(&python)
            .args([&format!("{root}/rust/tables.py"), "--check"])
            .env("PYTHONPATH", root)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
    }
}
