//! Entries `redact:` of a configuration, and the policies that they make.

use std::collections::HashMap;

use super::keys::fold;
use super::mistakes::{allowed, check_keys, flag, mistake, shown, wrong};
use super::own::OwnPattern;
use super::policy::Policy;
use super::tables::tables;
use crate::error::Error;
use crate::value::Snap;

const KEYS: [&str; 5] = ["keys", "safe_keys", "patterns", "preset", "correlate"];
const EXAMPLE: &str = "write one such as 'AC-[0-9]{6}'";

impl Policy {
    /// Returns the policy of an entry such as `{keys: [cpf], safe_keys: [session_token], patterns: ["AC-[0-9]{6}"], preset: payment,
    /// correlate: true}`. Each key may be left out, and null is an empty entry. `place` is where the entry stands, for errors.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if the entry is not valid; the message names the key, the value and what is allowed. Patterns are regular
    /// expressions as the crate `regex` knows them: Python accepts more, such as look-around.
    ///
    /// ```
    /// use the_edge_obs::redaction::{Policy, Taints};
    /// use the_edge_obs::value::from_json;
    ///
    /// let entry = from_json(r#"{"keys": ["cpf"], "patterns": ["AC-[0-9]{6}"]}"#).unwrap();
    /// let (policy, taints) = (Policy::from_snap(&entry, "redact").unwrap(), Taints::new());
    /// let value = from_json(r#"{"CPF": "123.456.789-09", "text": "AC-123456 of 123.456.789-09"}"#).unwrap();
    /// let taken = policy.snapshot(&value, &taints);
    /// assert_eq!(
    ///     policy.scrub(&taken, &taints).to_json(),
    ///     r#"{"CPF":"[REDACTED]","text":"[REDACTED] of [REDACTED]"}"#
    /// );
    /// ```
    pub fn from_snap(entry: &Snap, place: &str) -> Result<Policy, Error> {
        let pairs = match entry {
            Snap::Null => &[][..],
            Snap::Map(pairs) => pairs,
            other => {
                let wanted = format!("it must be a mapping with {}", allowed(&KEYS));
                return Err(wrong(place, other, &wanted));
            }
        };
        check_keys(place, pairs, &KEYS)?;
        let under = |key: &str| format!("{place}.{key}");
        let keys = folded(&under("keys"), entry.get("keys"))?;
        let safe_keys = folded(&under("safe_keys"), entry.get("safe_keys"))?;
        if let Some(both) = safe_keys.keys().filter(|key| keys.contains_key(*key)).min() {
            let name = shown(&safe_keys[both].as_str().into());
            let problem = format!(
                "{place}.safe_keys has {name}, which {place}.keys has too; keep it in one of them"
            );
            return Err(mistake(&under("safe_keys"), &problem));
        }
        let patterns = patterns(&under("patterns"), entry.get("patterns"))?;
        let preset = preset(&under("preset"), entry.get("preset"))?;
        let named = preset
            .iter()
            .flat_map(|(_, named)| named)
            .map(|key| String::from(&**key));
        let named = named.filter(|key| !safe_keys.contains_key(key));
        let keys = named.chain(keys.keys().cloned()).collect();
        let mut policy = Policy::of(keys, safe_keys.into_keys().collect(), patterns);
        policy.has_cards = preset.is_some_and(|(name, _)| &**name == "payment");
        if let Some(correlate) = entry.get("correlate") {
            policy.correlate = flag(&under("correlate"), correlate)?;
        }
        Ok(policy)
    }
}

fn texts<'s>(place: &str, value: Option<&'s Snap>) -> Result<Vec<&'s str>, Error> {
    let items = match value {
        None | Some(Snap::Null) => return Ok(Vec::new()),
        Some(Snap::List(items)) => items,
        Some(other) => return Err(wrong(place, other, "it must be a list of texts")),
    };
    let text = |item: &'s Snap| match item.as_str() {
        Some(text) if !text.is_empty() => Ok(text),
        _ => {
            let problem = format!(
                "{place} has {}; each must be a text that is not empty",
                shown(item)
            );
            Err(mistake(place, &problem))
        }
    };
    items.iter().map(text).collect()
}

/// Returns keys by their folded form.
fn folded(place: &str, value: Option<&Snap>) -> Result<HashMap<String, String>, Error> {
    let texts = texts(place, value)?.into_iter();
    let names: HashMap<_, _> = texts.map(|text| (fold(text), text.to_owned())).collect();
    if let Some(name) = names.get("") {
        let name = shown(&name.as_str().into());
        let problem =
            format!("{place} has {name}; a key must have a letter or a digit, such as 'cpf'");
        return Err(mistake(place, &problem));
    }
    Ok(names)
}

fn patterns(place: &str, value: Option<&Snap>) -> Result<Vec<OwnPattern>, Error> {
    let pattern = |source: &str| {
        let refused = |reason: &str| {
            let source = shown(&source.into());
            mistake(
                place,
                &format!("{place} has {source}, which {reason}; {EXAMPLE}"),
            )
        };
        let pattern = OwnPattern::new(source)
            .map_err(|reason| refused(&format!("is not a valid regular expression: {reason}")))?;
        if pattern.matches_nothing() {
            return Err(refused("matches an empty text"));
        }
        Ok(pattern)
    };
    texts(place, value)?.into_iter().map(pattern).collect()
}

type Preset = (Box<str>, Vec<Box<str>>);

fn preset(place: &str, value: Option<&Snap>) -> Result<Option<&'static Preset>, Error> {
    let value = match value {
        None | Some(Snap::Null) => return Ok(None),
        Some(value) => value,
    };
    let presets = &tables().presets;
    let found = presets
        .iter()
        .find(|(name, _)| value.as_str() == Some(name));
    let names: Vec<&str> = presets.iter().map(|(name, _)| &**name).collect();
    let refused = || wrong(place, value, &allowed(&names));
    found.map(Some).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_json;

    #[test]
    fn bad_entries_are_refused() {
        let cases = [
            ("\"cpf\"", "redact is 'cpf'; it must be a mapping with allowed: keys, safe_keys, patterns, preset, correlate", "redact"),
            (r#"{"kyes": []}"#, "unknown key 'kyes' in redact; allowed: keys, safe_keys, patterns, preset, correlate", "redact.kyes"),
            (r#"{"keys": "cpf"}"#, "redact.keys is 'cpf'; it must be a list of texts", "redact.keys"),
            (r#"{"keys": 5}"#, "redact.keys is 5; it must be a list of texts", "redact.keys"),
            (r#"{"keys": [5]}"#, "redact.keys has 5; each must be a text that is not empty", "redact.keys"),
            (r#"{"keys": [""]}"#, "redact.keys has ''; each must be a text that is not empty", "redact.keys"),
            (r#"{"safe_keys": ["--"]}"#, "redact.safe_keys has '--'; a key must have a letter or a digit, such as 'cpf'", "redact.safe_keys"),
            (r#"{"keys": ["a_b"], "safe_keys": ["aB"]}"#, "redact.safe_keys has 'aB', which redact.keys has too; keep it in one of them", "redact.safe_keys"),
            (r#"{"patterns": ["a*"]}"#, "redact.patterns has 'a*', which matches an empty text; write one such as 'AC-[0-9]{6}'", "redact.patterns"),
            (r#"{"preset": "pay"}"#, "redact.preset is 'pay'; allowed: payment", "redact.preset"),
            (r#"{"correlate": 1}"#, "redact.correlate is 1; allowed: true, false", "redact.correlate"),
        ];
        for (entry, expected, expected_place) in cases {
            match Policy::from_snap(&from_json(entry).unwrap(), "redact") {
                Err(Error::Configuration { place, problem }) => {
                    assert_eq!((&*problem, &*place), (expected, expected_place));
                }
                other => panic!("{entry}: {other:?}"),
            }
        }
        let entry = from_json(r#"{"patterns": ["(?<=a)b"]}"#).unwrap();
        let error = Policy::from_snap(&entry, "redact").unwrap_err().to_string();
        assert!(
            error.contains("look-around") && error.contains("which Python has"),
            "{error}"
        );
        for empty in ["null", r#"{"keys": null}"#, r#"{"preset": null}"#] {
            let policy = Policy::from_snap(&from_json(empty).unwrap(), "redact").unwrap();
            assert!(
                policy.classes.is_built_in() && policy.patterns.is_empty() && !policy.has_cards
            );
        }
    }

    #[test]
    fn a_safe_key_is_taken_out_of_a_preset() {
        let entry = from_json(r#"{"preset": "payment", "safe_keys": ["OTP"]}"#).unwrap();
        let policy = Policy::from_snap(&entry, "redact").unwrap();
        let taints = crate::redaction::Taints::new();
        let value = from_json(r#"{"otp": 1234, "cvv": 123, "pin": 12}"#).unwrap();
        let text = policy.snapshot(&value, &taints).to_json();
        assert_eq!(
            text,
            r#"{"otp":1234,"cvv":"[REDACTED]","pin":"[REDACTED]"}"#
        );
    }
}
