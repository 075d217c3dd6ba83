//! The answers of models: whole ones and chunks of streams, of every server that speaks OpenAI's protocol, more or less.

use std::collections::BTreeMap;

use the_edge_obs::value::Key;
use the_edge_obs::Snap;

use super::choices::{Choice, Odd};
use super::errors::{check, choices, shown};
use super::transport::TransportError;
use crate::python::{is_true, quoted, repr};

const INPUT_TOKENS: [&str; 4] = [
    "input_tokens",
    "prompt_eval_count",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
];
const OUTPUT_TOKENS: [&str; 2] = ["output_tokens", "eval_count"];

/// One answer of a model, collected from a whole answer or from the chunks of a stream.
#[derive(Debug)]
pub(super) struct Completion {
    /// The requested model; the model that the answer names wins.
    model: Snap,
    usage: Vec<(Key, Snap)>,
    choices: BTreeMap<i64, Choice>,
}

impl Completion {
    pub(super) fn new(model: Snap) -> Completion {
        Completion {
            model,
            usage: Vec::new(),
            choices: BTreeMap::new(),
        }
    }

    /// Adds a whole answer.
    ///
    /// # Errors
    ///
    /// It reports a failed call, or is not a chat completion.
    pub(super) fn take_whole(&mut self, answer: &Snap) -> Result<(), TransportError> {
        check(answer, false)?;
        self.take_choices(answer, true).map_err(|Odd| {
            let said = described(answer);
            TransportError::new(
                format!("the answer is not a chat completion: {said}"),
                "parse",
            )
        })?;
        Ok(())
    }

    /// Adds a chunk of a stream, and returns the text that it adds to the choice with index 0. The event type `error` makes any chunk an
    /// error.
    ///
    /// # Errors
    ///
    /// It reports a failed call, or is not a chunk.
    pub(super) fn take_chunk(
        &mut self,
        chunk: &Snap,
        event: &str,
    ) -> Result<String, TransportError> {
        check(chunk, event == "error")?;
        self.take_choices(chunk, false).map_err(|Odd| {
            let said = described(chunk);
            TransportError::new(
                format!("the stream holds an invalid chunk: {said}"),
                "parse",
            )
        })
    }

    fn take_choices(&mut self, piece: &Snap, is_whole: bool) -> Result<String, Odd> {
        if !matches!(piece, Snap::Map(_)) {
            return Err(Odd);
        }
        self.take_facts(piece);
        let given: &[Snap] = match piece.get("choices") {
            Some(Snap::List(given)) => given,
            Some(other) if is_whole || is_true(other) => return Err(Odd),
            None if is_whole => return Err(Odd),
            _ => &[],
        };
        let mut text = String::new();
        for (position, data) in given.iter().enumerate() {
            if !matches!(data, Snap::Map(_)) {
                return Err(Odd);
            }
            let index = match data.get("index") {
                Some(Snap::Int(index)) => *index,
                _ => position as i64,
            };
            let choice = self.choices.entry(index).or_default();
            let reason = data.get("finish_reason").filter(|reason| is_true(reason));
            choice.finish_reason = reason.cloned().or(choice.finish_reason.take());
            let part = |key: &str| data.get(key).filter(|part| **part != Snap::Null);
            let message = match (is_whole, part("delta")) {
                (true, _) => part("message")
                    .filter(|part| matches!(part, Snap::Map(_)))
                    .ok_or(Odd)?,
                (false, Some(delta)) => delta,
                // Some gateways repeat the whole message at the end, which is skipped.
                (false, None) if choice.content.is_empty() => {
                    part("message").unwrap_or(&Snap::Null)
                }
                (false, None) => &Snap::Null,
            };
            if is_true(message) && !matches!(message, Snap::Map(_)) {
                return Err(Odd);
            }
            let added = choice.take(message, is_whole)?;
            if index == 0 {
                text += &added;
            }
        }
        if is_whole && self.choices.is_empty() {
            return Err(Odd);
        }
        Ok(text)
    }

    fn take_facts(&mut self, piece: &Snap) {
        let model = piece.get("model").and_then(Snap::as_str);
        if let Some(model) = model.filter(|model| !model.is_empty()) {
            self.model = model.into();
        }
        let beside = piece.get("x_groq").and_then(|beside| beside.get("usage"));
        let of_choices = choices(piece).map(|choice| choice.get("usage"));
        let counts: Vec<&Snap> = [beside, piece.get("usage")]
            .into_iter()
            .chain(of_choices)
            .flatten()
            .collect();
        for usage in counts {
            if let Snap::Map(pairs) = usage {
                for (key, value) in pairs {
                    self.usage.retain(|(own, _)| own != key);
                    self.usage.push((key.clone(), value.clone()));
                }
            }
        }
    }

    /// Tells whether any answer was received.
    pub(super) fn says_something(&self) -> bool {
        self.choices.values().any(Choice::says_something)
    }

    /// Tells whether every choice has a finish reason.
    pub(super) fn is_finished(&self) -> bool {
        let mut choices = self.choices.values();
        !self.choices.is_empty() && choices.all(|choice| choice.finish_reason.is_some())
    }

    /// Returns the text that the first choice has so far.
    pub(super) fn text(&self) -> &str {
        self.choices
            .values()
            .next()
            .map_or("", |choice| &choice.content)
    }

    /// Returns the answer as a result of `llm.call`; with several choices, all are listed under `choices`.
    pub(super) fn result(&self) -> Snap {
        let first = self
            .choices
            .values()
            .next()
            .map(Choice::facts)
            .unwrap_or_default();
        let mut facts = vec![("success", Snap::Bool(true))];
        facts.extend(first);
        facts.push(("model", self.model.clone()));
        facts.push(("usage", Snap::map(self.counted())));
        if self.choices.len() > 1 {
            let each = |(index, choice): (&i64, &Choice)| {
                Snap::map(
                    [("index", Snap::Int(*index))]
                        .into_iter()
                        .chain(choice.facts()),
                )
            };
            facts.push((
                "choices",
                Snap::List(self.choices.iter().map(each).collect()),
            ));
        }
        // OpenRouter and LiteLLM's proxy give the price of the call, in US dollars, beside the token counts.
        if let Some(cost @ (Snap::Int(_) | Snap::Float(_))) = self.usage_of("cost") {
            facts.push(("cost_usd", cost.clone()));
        }
        Snap::map(facts)
    }

    fn usage_of(&self, key: &str) -> Option<&Snap> {
        self.usage
            .iter()
            .find(|(own, _)| **own == *key)
            .map(|(_, value)| value)
    }

    /// Returns the usage under OpenAI's names, whatever names the endpoint uses.
    fn counted(&self) -> Vec<(Key, Snap)> {
        let counts = |keys: &[&str]| -> Vec<i64> {
            let counts = keys.iter().filter_map(|key| match self.usage_of(key) {
                Some(Snap::Int(count @ 0..)) => Some(*count),
                _ => None,
            });
            counts.collect()
        };
        let (asked, answered) = (counts(&INPUT_TOKENS), counts(&OUTPUT_TOKENS));
        let is_usual = ["prompt_tokens", "completion_tokens"]
            .iter()
            .any(|key| self.usage_of(key).is_some());
        if is_usual || (asked.is_empty() && answered.is_empty()) {
            return self.usage.clone();
        }
        let sum = |counts: &[i64]| {
            counts
                .iter()
                .fold(0_i64, |sum, count| sum.saturating_add(*count))
        };
        let (asked, answered) = (sum(&asked), answered.first().copied().unwrap_or(0));
        let own = [
            ("prompt_tokens", asked),
            ("completion_tokens", answered),
            ("total_tokens", asked.saturating_add(answered)),
        ];
        let own = own.map(|(key, count)| (Key::named(key), Snap::Int(count)));
        own.into_iter().chain(self.usage.iter().cloned()).collect()
    }
}

/// Returns what came in place of an answer, for a message.
fn described(value: &Snap) -> String {
    let text = value.as_str().map_or_else(|| repr(value), str::to_owned);
    quoted(&shown(&text.into(), None))
}
