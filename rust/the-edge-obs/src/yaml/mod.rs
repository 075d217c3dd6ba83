//! YAML: a document as a tree of values with their places, read as the Python package reads it.
//!
//! Plain scalars follow YAML 1.1, as PyYAML reads them: `yes` is true, `010` is 8, `1:30` is 90. What is between them follows YAML 1.2,
//! and what the two versions read differently is refused. A hostile text is refused in linear time.
//!
//! ```
//! use the_edge_obs::yaml;
//!
//! let document = yaml::read("llm: {retry: yes}\nlevels: [info]\n", "flow.yaml").unwrap();
//! assert_eq!(document.to_snap().to_json(), r#"{"llm":{"retry":true},"levels":["info"]}"#);
//! assert_eq!(document.get("levels").unwrap().line, 2);
//! let error = yaml::read("a: 1\na: 2\n", "flow.yaml").unwrap_err();
//! assert_eq!(error.to_string(), "flow.yaml:2:1: key 'a' appears twice, first on line 1; keep one of them");
//! ```

mod mapping;
mod numbers;
mod places;
mod scalars;
#[cfg(test)]
mod tests;
mod times;
mod tree;

use crate::value::Snap;
use crate::Error;

/// The most bytes of a document.
pub const MAX_BYTES: usize = 1 << 20;
/// The most values inside one another.
pub const MAX_DEPTH: usize = 64;
/// The most values of a document; an alias counts as what it stands for.
pub const MAX_NODES: usize = 100_000;
/// The most characters of a number or a date.
pub const MAX_NUMBER: usize = 100;

/// A value of a YAML document, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Yaml {
    /// The value.
    pub value: YamlValue,
    /// The line on which it begins, from 1; 0 for a value that comes from no text.
    pub line: usize,
    /// The character in the line, from 1, in code points; 0 for a value that comes from no text.
    pub column: usize,
    /// The line on which the text of a scalar begins: for a block scalar, the one after the `|`.
    pub text_line: usize,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum YamlValue {
    /// Null, true or false, a number, or a text. It is never a list or an object.
    Scalar(Snap),
    /// A date or a time, which Python reads as an object of its own: its form in ISO 8601.
    Time(Box<str>),
    /// A list.
    List(Vec<Yaml>),
    /// A mapping, as pairs in their order. Keys are scalars or times, and differ from each other.
    Map(Vec<(Yaml, Yaml)>),
}

/// Reads a YAML document. An empty one is null.
///
/// The source is the name of the file, or whatever else names the text in an error.
///
/// # Errors
///
/// [`Error::Yaml`] if the text is not YAML, has the same key twice in a mapping, has tags beside those of scalars, or exceeds the
/// limits of this module.
pub fn read(text: &str, source: &str) -> Result<Yaml, Error> {
    tree::read(text).map_err(|mistake| Error::Yaml {
        source: source.to_owned(),
        line: mistake.line,
        column: mistake.column,
        problem: mistake.problem,
    })
}

impl Yaml {
    /// Returns the value without its places, as JSON has it: keys are texts, and so are times. Of two keys that become the same text,
    /// such as `1` and `"1"`, the later one gets a `'`.
    #[must_use]
    pub fn to_snap(&self) -> Snap {
        match &self.value {
            YamlValue::Scalar(value) => value.clone(),
            YamlValue::Time(text) => Snap::Str(text.clone()),
            YamlValue::List(items) => Snap::List(items.iter().map(Yaml::to_snap).collect()),
            YamlValue::Map(pairs) => {
                let mut known = std::collections::HashSet::new();
                let pairs = pairs.iter().map(|(key, value)| {
                    let mut name = key.key_text();
                    while !known.insert(name.clone()) {
                        name.push('\'');
                    }
                    (name.into(), value.to_snap())
                });
                Snap::Map(pairs.collect())
            }
        }
    }

    /// Returns the value of a key of a mapping; `None` for other values and missing keys. A key that is not a text, such as `1`, is not
    /// found by its text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        let YamlValue::Map(pairs) = &self.value else {
            return None;
        };
        let found = pairs.iter().find(|(name, _)| name.as_str() == Some(key));
        found.map(|(_, value)| value)
    }

    /// Returns the text of a scalar that is a text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            YamlValue::Scalar(value) => value.as_str(),
            _ => None,
        }
    }

    /// Returns a key as text, as JSON has it.
    fn key_text(&self) -> String {
        match self.to_snap() {
            Snap::Str(text) => text.into(),
            value => value.to_json().trim_matches('"').to_owned(),
        }
    }
}

impl From<&Snap> for Yaml {
    /// Returns a value without places.
    fn from(value: &Snap) -> Yaml {
        let value = match value {
            Snap::List(items) => YamlValue::List(items.iter().map(Yaml::from).collect()),
            Snap::Map(pairs) => {
                let pairs = pairs.iter();
                let pairs = pairs.map(|(key, value)| (Yaml::from(&Snap::from(&**key)), value));
                YamlValue::Map(pairs.map(|(key, value)| (key, value.into())).collect())
            }
            scalar => YamlValue::Scalar(scalar.clone()),
        };
        Yaml {
            value,
            line: 0,
            column: 0,
            text_line: 0,
        }
    }
}
