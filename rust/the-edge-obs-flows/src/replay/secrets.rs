//! Secrets that were taken out of a recording, and are given again.

use std::collections::HashMap;

use the_edge_obs::redaction::inside;
use the_edge_obs::value::Key;
use the_edge_obs::Snap;

use super::recording::Recording;
use super::values::REDACTED;
use crate::closest::allowed_for;
use crate::python::quoted;

/// Secrets by the places at which they were redacted.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Of answers: by the call, and the path in it.
    of_calls: HashMap<(usize, String), Snap>,
    /// Of the initial state.
    of_state: HashMap<String, Snap>,
    /// The texts and integers of all of them.
    pub known: Vec<Snap>,
}

impl Secrets {
    /// Returns the secrets for a recording.
    ///
    /// # Errors
    ///
    /// Nothing was redacted at the place of one.
    pub(super) fn of(recording: &Recording, given: &[(String, Snap)]) -> Result<Secrets, String> {
        let mut secrets = Secrets::default();
        for (place, value) in given {
            secrets.learn(recording, place, value)?;
            leaves(value, &mut secrets.known);
        }
        Ok(secrets)
    }

    fn learn(&mut self, recording: &Recording, at: &str, value: &Snap) -> Result<(), String> {
        let mut known: Vec<String> = Vec::new();
        for (number, call) in recording.calls.iter().enumerate() {
            let paths = call.redacted(recording.full_of(call));
            for name in [call.name().to_owned(), call.place.shown()] {
                for path in &paths {
                    if at == format!("{name}.{path}") {
                        self.of_calls.insert((number, path.clone()), value.clone());
                        return Ok(());
                    }
                    known.push(format!("{name}.{path}"));
                }
            }
        }
        for path in recording.redacted_state() {
            if at == format!("flow.{path}") {
                self.of_state.insert(path, value.clone());
                return Ok(());
            }
            known.push(format!("flow.{path}"));
        }
        known.dedup();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let places = match known.is_empty() {
            true => "nothing was redacted in this recording".to_owned(),
            false => allowed_for(&known, at),
        };
        Err(format!(
            "no secret was redacted at {}; {places}",
            quoted(at)
        ))
    }

    /// Tells whether a secret of an answer is given.
    pub(super) fn knows(&self, call: usize, path: &str) -> bool {
        self.of_calls.contains_key(&(call, path.to_owned()))
    }

    /// Tells whether a secret of the initial state is given.
    pub(super) fn knows_of_state(&self, path: &str) -> bool {
        self.of_state.contains_key(path)
    }

    /// Returns an answer with its secrets.
    pub(super) fn filled(&self, call: usize, output: Snap) -> Snap {
        if self.of_calls.is_empty() {
            return output;
        }
        filled("output", output, &|path| {
            self.of_calls.get(&(call, path.to_owned()))
        })
    }

    /// Returns the initial state with its secrets.
    pub(super) fn filled_state(&self, state: Snap) -> Snap {
        filled("input", state, &|path| self.of_state.get(path))
    }
}

fn leaves(value: &Snap, found: &mut Vec<Snap>) {
    match value {
        Snap::Str(_) | Snap::Mark(_) | Snap::Int(_) | Snap::Big(_) => found.push(value.clone()),
        Snap::List(items) => items.iter().for_each(|item| leaves(item, found)),
        Snap::Map(pairs) => pairs.iter().for_each(|(_, item)| leaves(item, found)),
        Snap::Null | Snap::Bool(_) | Snap::Float(_) => {}
    }
}

fn filled<'s>(path: &str, value: Snap, secrets: &dyn Fn(&str) -> Option<&'s Snap>) -> Snap {
    if let Some(secret) = secrets(path) {
        return match (value.as_str(), secret.as_str()) {
            (Some(text), Some(secret)) => with_secret(text, secret).into(),
            _ => secret.clone(),
        };
    }
    match value {
        Snap::Map(pairs) => {
            let pairs = pairs.into_vec().into_iter();
            let fill = |(key, item): (Key, Snap)| {
                let item = filled(&inside(path, &key), item, secrets);
                (key, item)
            };
            Snap::Map(pairs.map(fill).collect())
        }
        Snap::List(items) => {
            let items = items.into_vec().into_iter().enumerate();
            Snap::List(
                items
                    .map(|(at, item)| filled(&format!("{path}[{at}]"), item, secrets))
                    .collect(),
            )
        }
        other => other,
    }
}

/// Returns a text with a secret in place of each placeholder.
fn with_secret(text: &str, secret: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(REDACTED) {
        out.push_str(&rest[..at]);
        let after = &rest[at + REDACTED.len()..];
        match after.find(']') {
            Some(end) => {
                out.push_str(secret);
                rest = &after[end + 1..];
            }
            None => {
                out.push_str(REDACTED);
                rest = after;
            }
        }
    }
    out + rest
}

/// Tells whether a value holds the placeholder of a secret anywhere.
pub(super) fn holds_placeholder(value: &Snap) -> bool {
    match value {
        Snap::Str(text) | Snap::Mark(text) => text.contains(REDACTED),
        Snap::List(items) => items.iter().any(holds_placeholder),
        Snap::Map(pairs) => pairs
            .iter()
            .any(|(key, item)| key.contains(REDACTED) || holds_placeholder(item)),
        _ => false,
    }
}
