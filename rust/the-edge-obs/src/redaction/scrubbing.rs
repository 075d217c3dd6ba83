//! What leaves of a snapshot: its texts, keys and numbers, without secrets.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::needles::Needles;
use super::policy::Policy;
use super::taints::{Taints, SHORTEST_NUMBER};
use crate::value::{integer_text, Key, Snap, MAX_INT};

/// In objects of up to so many pairs, a key is compared with each before it.
const FEW: usize = 16;

/// A policy and the secrets of a flow, as they are when an event leaves.
pub(super) struct Scrub<'s> {
    policy: &'s Policy,
    taints: &'s Taints,
    needles: Arc<Needles>,
}

impl<'s> Scrub<'s> {
    pub fn new(policy: &'s Policy, taints: &'s Taints) -> Scrub<'s> {
        Scrub {
            policy,
            taints,
            needles: taints.needles(),
        }
    }

    /// Returns a copy of a value that is fit to leave.
    pub fn value(&self, value: &Snap) -> Snap {
        match value {
            Snap::Str(text) | Snap::Mark(text) => Snap::Str(self.text(text).into()),
            Snap::List(items) => Snap::List(items.iter().map(|item| self.value(item)).collect()),
            Snap::Map(pairs) => {
                let values = pairs.iter().map(|(_, value)| self.value(value));
                match self.names(pairs) {
                    Some(names) => Snap::Map(names.into_iter().zip(values).collect()),
                    None => {
                        let names = pairs.iter().map(|(key, _)| key.clone());
                        Snap::Map(names.zip(values).collect())
                    }
                }
            }
            Snap::Int(number) => match self.number_mask(value) {
                Some(mask) => Snap::from(mask),
                None if *number < -MAX_INT => number.to_string().into(),
                None => Snap::Int(*number),
            },
            Snap::Big(digits) => match self.number_mask(value) {
                Some(mask) => Snap::from(mask),
                None => integer_text(digits).into(),
            },
            Snap::Float(number) if number.is_nan() => "NaN".into(),
            Snap::Float(number) if number.is_infinite() => {
                let is_positive = *number > 0.0;
                if is_positive { "Infinity" } else { "-Infinity" }.into()
            }
            other => other.clone(),
        }
    }

    /// Returns a text without secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.policy.cleaned(text, &self.needles)
    }

    /// Returns what stands for an integer that is a secret.
    pub fn number_mask(&self, number: &Snap) -> Option<String> {
        let digits = match number {
            Snap::Int(number) if number.unsigned_abs() >= SHORTEST_NUMBER => {
                Cow::from(number.to_string())
            }
            Snap::Big(digits) => Cow::from(&**digits),
            _ => return None,
        };
        let is_secret = self.taints.has_number(&digits);
        is_secret.then(|| self.policy.mask(&digits).into_owned())
    }

    /// Returns the keys that leave in place of those of an object; `None` if they are the same.
    ///
    /// They lose what has the shape of a secret, and stay unique.
    pub fn names(&self, pairs: &[(Key, Snap)]) -> Option<Vec<Key>> {
        if pairs.iter().all(|(key, _)| self.policy.keeps(&[key])) && are_unique(pairs) {
            return None;
        }
        let mut names: Vec<Key> = Vec::with_capacity(pairs.len());
        let mut known: HashSet<Key> = HashSet::with_capacity(pairs.len());
        for (key, _) in pairs {
            let mut name: Key = self.policy.by_shape(key).into();
            while !known.insert(name.clone()) {
                name = format!("{name}'").into();
            }
            names.push(name);
        }
        Some(names)
    }
}

fn are_unique(pairs: &[(Key, Snap)]) -> bool {
    if pairs.len() > FEW {
        let mut known = HashSet::with_capacity(pairs.len());
        return pairs.iter().all(|(key, _)| known.insert(key));
    }
    let mut keys = pairs.iter().map(|(key, _)| key).enumerate();
    keys.all(|(at, key)| pairs[..at].iter().all(|(other, _)| other != key))
}
