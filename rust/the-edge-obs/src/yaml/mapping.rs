//! Mappings: keys that differ, and `<<`, which merges another mapping.

use std::collections::HashMap;

use super::tree::Mistake;
use super::{Yaml, YamlValue};
use crate::value::{bit_length, Snap};

/// Python compares integers as large as this, and larger ones, in ways that a mapping should not depend on.
const KEY_BITS: usize = 60;

/// A key as Python compares keys: `1`, `1.0` and `true` are equal.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Null,
    Int(i64),
    Float(u64),
    Text(Box<str>),
    Time(Box<str>),
}

/// The pairs of a mapping while it is read.
#[derive(Default)]
pub(super) struct Pairs {
    merged: Vec<(Yaml, Yaml)>,
    own: Vec<(Yaml, Yaml)>,
    lines: HashMap<Key, usize>,
}

impl Pairs {
    /// Adds a pair that is written in the mapping itself.
    pub(super) fn add(&mut self, key: Yaml, value: Yaml) -> Result<(), Mistake> {
        let known = self.lines.insert(id_of(&key)?, key.line);
        if let Some(first) = known {
            let problem = format!(
                "key {} appears twice, first on line {first}; keep one of them",
                shown(&key)
            );
            return Err(Mistake::at(&key, problem));
        }
        self.own.push((key, value));
        Ok(())
    }

    /// Adds the pairs of a mapping, or of a list of mappings, that stands behind a `<<`.
    pub(super) fn merge(&mut self, value: Yaml) -> Result<(), Mistake> {
        let place = (value.line, value.column);
        match value.value {
            YamlValue::Map(pairs) => {
                self.merged.extend(pairs);
                return Ok(());
            }
            YamlValue::List(items) => {
                for item in items {
                    let place = (item.line, item.column);
                    let YamlValue::Map(pairs) = item.value else {
                        return Err(not_mergeable(place, "mappings"));
                    };
                    self.merged.extend(pairs);
                }
                return Ok(());
            }
            _ => {}
        }
        Err(not_mergeable(place, "a mapping or a list of mappings"))
    }

    /// Returns the pairs: the merged ones first. Of equal keys, an own one counts more than a merged one, and of two merged ones the
    /// first; it takes the place of the first.
    pub(super) fn finish(self) -> Result<Vec<(Yaml, Yaml)>, Mistake> {
        if self.merged.is_empty() {
            return Ok(self.own);
        }
        let mut at: HashMap<Key, usize> = HashMap::new();
        let mut pairs: Vec<(Yaml, Yaml)> = Vec::new();
        let merged = self.merged.into_iter().map(|pair| (pair, false));
        for (pair, is_own) in merged.chain(self.own.into_iter().map(|pair| (pair, true))) {
            let index = *at.entry(id_of(&pair.0)?).or_insert(pairs.len());
            if index == pairs.len() {
                pairs.push(pair);
            } else if is_own {
                pairs[index] = pair;
            }
        }
        Ok(pairs)
    }
}

fn not_mergeable((line, column): (usize, usize), wanted: &str) -> Mistake {
    Mistake {
        line,
        column,
        problem: format!("'<<' merges {wanted}; write one, or an alias of one, behind it"),
    }
}

fn id_of(key: &Yaml) -> Result<Key, Mistake> {
    Ok(match &key.value {
        YamlValue::Time(text) => Key::Time(text.clone()),
        YamlValue::Scalar(Snap::Bool(value)) => Key::Int((*value).into()),
        YamlValue::Scalar(Snap::Int(number)) if bits(*number) <= KEY_BITS => Key::Int(*number),
        YamlValue::Scalar(Snap::Int(_) | Snap::Big(_)) => {
            let problem = format!(
                "key {} is too large for a number; put it in quotes to make it a string",
                shown(key)
            );
            return Err(Mistake::at(key, problem));
        }
        YamlValue::Scalar(Snap::Float(number)) => {
            let whole = *number as i64;
            if whole as f64 == *number && bits(whole) <= KEY_BITS {
                Key::Int(whole)
            } else {
                Key::Float(number.to_bits())
            }
        }
        YamlValue::Scalar(Snap::Str(text) | Snap::Mark(text)) => Key::Text(text.clone()),
        YamlValue::Scalar(_) => Key::Null,
        YamlValue::List(_) | YamlValue::Map(_) => {
            let problem = "a key is a list or a mapping; keys must be strings".to_owned();
            return Err(Mistake::at(key, problem));
        }
    })
}

fn bits(number: i64) -> usize {
    bit_length(&number.to_string())
}

fn shown(key: &Yaml) -> String {
    match &key.value {
        YamlValue::Scalar(value) if value.as_str().is_none() => {
            value.to_json().trim_matches('"').to_owned()
        }
        _ => format!("'{}'", key.key_text()),
    }
}
