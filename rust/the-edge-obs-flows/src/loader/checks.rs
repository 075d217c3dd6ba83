//! Checks that every part of a flow file goes through, and the wording of their errors.

use std::collections::HashSet;
use std::rc::Rc;

use the_edge_obs::yaml::{Yaml, YamlValue};
use the_edge_obs::Snap;

use super::source::{key_text, Read};
use super::spot::Spot;
use crate::closest::{allowed, allowed_for};
use crate::python::{quoted, repr};

/// A mapping with texts as keys.
pub(crate) type Fields<'a> = Vec<(&'a str, &'a Yaml)>;

/// Returns the value of a key; `None` for a missing key.
pub(crate) fn field<'a>(fields: &Fields<'a>, key: &str) -> Option<&'a Yaml> {
    let found = fields.iter().find(|(name, _)| *name == key);
    found.map(|(_, value)| *value)
}

/// Returns the value of a key; `None` for a missing key, and for one that is null.
pub(crate) fn given<'a>(fields: &Fields<'a>, key: &str) -> Option<&'a Yaml> {
    field(fields, key).filter(|value| !is_null(value))
}

/// Tells whether a value is null.
pub(crate) fn is_null(value: &Yaml) -> bool {
    value.value == YamlValue::Scalar(Snap::Null)
}

/// Notes every key of a mapping that is not known, with the closest known key and all of them.
pub(crate) fn refuse_unknown(spot: &Spot<'_>, fields: &Fields<'_>, known: &[&str]) -> Read<()> {
    for (key, _) in fields {
        if !known.contains(key) {
            let end = allowed_for(known, key);
            spot.at(*key)
                .note(format!("unknown key {}; {end}", quoted(key)))?;
        }
    }
    Ok(())
}

/// Returns a value that must be a mapping with texts as keys; null counts as an empty one.
pub(crate) fn mapping<'a>(spot: &Spot<'_>, value: Option<&'a Yaml>) -> Read<Fields<'a>> {
    let Some(value) = value.filter(|value| !is_null(value)) else {
        return Ok(Vec::new());
    };
    let YamlValue::Map(pairs) = &value.value else {
        return Err(spot.wrong(value, "a mapping (key: value)"));
    };
    let mut fields = Vec::with_capacity(pairs.len());
    for (key, inner) in pairs {
        let Some(name) = key.as_str() else {
            let shown = repr(&key.to_snap());
            let spot = spot.at(&*key_text(key));
            return Err(spot.error(format!("key {shown} is not a string; put it in quotes")));
        };
        fields.push((name, inner));
    }
    Ok(fields)
}

/// Returns a value that must be a list; null counts as an empty one.
pub(crate) fn listing<'a>(spot: &Spot<'_>, value: Option<&'a Yaml>) -> Read<&'a [Yaml]> {
    let Some(value) = value.filter(|value| !is_null(value)) else {
        return Ok(&[]);
    };
    match &value.value {
        YamlValue::List(items) => Ok(items),
        _ => Err(spot.wrong(value, "a list (- item)")),
    }
}

/// Returns a value that must be a text that is not blank.
pub(crate) fn text<'a>(spot: &Spot<'_>, value: &'a Yaml) -> Read<&'a str> {
    let text = value.as_str().filter(|text| !text.trim().is_empty());
    text.ok_or_else(|| {
        spot.wrong(
            value,
            "a string that is not blank; put it in quotes if needed",
        )
    })
}

/// Returns a value that must be true or false.
pub(crate) fn truth(spot: &Spot<'_>, value: &Yaml) -> Read<bool> {
    match value.value {
        YamlValue::Scalar(Snap::Bool(flag)) => Ok(flag),
        _ => Err(spot.wrong(value, "true or false")),
    }
}

/// Returns a value that must be a whole number, at least `least`.
pub(crate) fn whole_number(spot: &Spot<'_>, value: &Yaml, least: u64) -> Read<u64> {
    let number = match &value.value {
        YamlValue::Scalar(Snap::Int(number)) => u64::try_from(*number).ok(),
        YamlValue::Scalar(Snap::Big(digits)) if !digits.starts_with('-') => Some(u64::MAX),
        _ => None,
    };
    let number = number.filter(|number| *number >= least);
    number.ok_or_else(|| spot.wrong(value, &format!("a whole number of {least} or more")))
}

/// Returns a value that must be a finite number, at least `least`.
pub(crate) fn number(spot: &Spot<'_>, value: &Yaml, least: f64) -> Read<f64> {
    let number = match &value.value {
        YamlValue::Scalar(Snap::Int(number)) => Some(*number as f64),
        YamlValue::Scalar(Snap::Float(number)) => Some(*number),
        YamlValue::Scalar(Snap::Big(digits)) => digits.parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| number.is_finite() && *number >= least);
    number.ok_or_else(|| spot.wrong(value, &format!("a number of {least} or more")))
}

/// Returns which of two spellings of one key is used; using both is a mistake.
pub(crate) fn one_of<'a>(
    spot: &Spot<'_>,
    fields: &Fields<'_>,
    spellings: [&'a str; 2],
) -> Read<Option<&'a str>> {
    let used: Vec<&str> = spellings
        .into_iter()
        .filter(|key| field(fields, key).is_some())
        .collect();
    if let [one, other] = used[..] {
        return Err(spot.at(other).error(format!(
            "{} and {} are two spellings of one key; keep one",
            quoted(one),
            quoted(other)
        )));
    }
    Ok(used.first().copied())
}

/// Names of nodes in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    ordered: Rc<[Box<str>]>,
    known: Rc<HashSet<Box<str>>>,
}

impl Names {
    /// Returns names in their order.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Names {
        let ordered: Rc<[Box<str>]> = names.into_iter().map(Into::into).collect();
        let known = Rc::new(ordered.iter().cloned().collect());
        Names { ordered, known }
    }

    /// Tells whether there are none, as for nested steps, which nothing can jump to.
    pub(crate) fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }
}

/// Returns the name of a node that must exist.
pub(crate) fn target<'a>(spot: &Spot<'_>, value: Option<&'a Yaml>, names: &Names) -> Read<&'a str> {
    let name = value.and_then(Yaml::as_str);
    if let Some(name) = name.filter(|name| names.known.contains(*name)) {
        return Ok(name);
    }
    let value = value.map_or(Snap::Null, Yaml::to_snap);
    let given = match &value {
        Snap::Str(text) => text.to_string(),
        other => repr(other),
    };
    // A missing name has no close one.
    let end = if value == Snap::Null {
        allowed(names.ordered.iter())
    } else {
        allowed_for(&names.ordered, &given)
    };
    Err(spot.error(format!("node {} does not exist; {end}", repr(&value))))
}
