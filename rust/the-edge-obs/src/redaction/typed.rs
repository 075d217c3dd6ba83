//! Typed JSON: a whole value without secrets, and without the caps of snapshots.
//!
//! It is what a full recording holds of a value, and what the digest of a whole input is made of. Plain JSON values stand for
//! themselves; what JSON has no form for is an object with the key `$`: `{"$": "int", "v": "18446744073709551616"}`,
//! `{"$": "float", "v": "NaN"}`, `{"$": "dict", "v": [[key, value]]}` for an object with a key `$`. Python's package writes the same.

use std::collections::HashSet;

use super::keys::MAX_KEY;
use super::policy::Policy;
use super::scrubbing::Scrub;
use super::snapshot::whole;
use super::taints::Taints;
use crate::redaction::chars::is_longer;
use crate::value::{integer_text, Key, Snap, MAX_INT};

const TAG: &str = "$";

impl Policy {
    /// Returns a whole value as typed JSON, without secrets; the flow learns those under secret keys. `None` for a value of more than
    /// 500,000 values or 16,777,216 characters, or nested more than 64 deep.
    ///
    /// ```
    /// use the_edge_obs::redaction::{Policy, Taints};
    /// use the_edge_obs::Snap;
    ///
    /// let long = "word ".repeat(10_000);
    /// let value = Snap::map([("api_key", Snap::from("k-83hd72hs")), ("text", long.as_str().into()), ("n", f64::NAN.into())]);
    /// let typed = Policy::built_in().typed(value, &Taints::new()).unwrap();
    /// assert_eq!(typed.get("api_key"), Some(&"[REDACTED]".into()));
    /// assert_eq!(typed.get("text").unwrap().as_str(), Some(&*long));
    /// assert_eq!(typed.get("n").unwrap().to_json(), r#"{"$":"float","v":"NaN"}"#);
    /// ```
    #[must_use]
    pub fn typed(&self, value: Snap, taints: &Taints) -> Option<Snap> {
        let taken = whole(value, taints, self)?;
        let scrub = Scrub::new(self, taints);
        typed(&taken, self, &scrub)
    }
}

fn typed(value: &Snap, policy: &Policy, scrub: &Scrub<'_>) -> Option<Snap> {
    let each = |items: &[Snap]| -> Option<Box<[Snap]>> {
        items
            .iter()
            .map(|item| typed(item, policy, scrub))
            .collect()
    };
    Some(match value {
        Snap::Str(text) | Snap::Mark(text) => Snap::from(&*scrub.text(text)),
        Snap::Null | Snap::Bool(_) => value.clone(),
        Snap::Int(_) | Snap::Big(_) => match (scrub.number_mask(value), value) {
            (Some(mask), _) => mask.into(),
            (None, Snap::Int(number)) if *number >= -MAX_INT => value.clone(),
            (None, Snap::Int(number)) => tagged("int", number.to_string().into()),
            (None, Snap::Big(digits)) if integer_text(digits).starts_with('<') => return None,
            (None, Snap::Big(digits)) => tagged("int", (&**digits).into()),
            (None, other) => other.clone(),
        },
        Snap::Float(number) if number.is_nan() => tagged("float", "NaN".into()),
        Snap::Float(number) if number.is_infinite() => {
            let is_positive = *number > 0.0;
            tagged(
                "float",
                if is_positive { "Infinity" } else { "-Infinity" }.into(),
            )
        }
        Snap::Float(_) => value.clone(),
        Snap::List(items) => Snap::List(each(items)?),
        Snap::Map(pairs) => {
            let is_long = pairs.iter().any(|(key, _)| is_longer(key, MAX_KEY));
            let name = |(key, _): &(Key, Snap)| -> Key {
                match is_long {
                    true => (&*scrub.text(key)).into(),
                    false => (&*policy.by_shape(key)).into(),
                }
            };
            let names: Vec<Key> = pairs.iter().map(name).collect();
            let values = pairs.iter().map(|(_, item)| typed(item, policy, scrub));
            let values: Vec<Snap> = values.collect::<Option<_>>()?;
            let mut known = HashSet::with_capacity(names.len());
            let is_own = pairs.iter().any(|(key, _)| &**key == TAG);
            let made = names.iter().zip(values);
            if is_own || is_long || !names.iter().all(|name| known.insert(name)) {
                let pair =
                    |(name, value): (&Key, Snap)| Snap::List([Snap::from(&**name), value].into());
                tagged("dict", Snap::List(made.map(pair).collect()))
            } else {
                Snap::Map(made.map(|(name, value)| (name.clone(), value)).collect())
            }
        }
    })
}

fn tagged(kind: &str, value: Snap) -> Snap {
    Snap::map([(TAG, Snap::from(kind)), ("v", value)])
}
