//! Texts of which none repeats soon: what is remembered of a text does not help with them.

use crate::work::{Params, PARAMS};

/// More than any memory of texts holds.
const COUNT: usize = 8_192;
const WORDS: usize = 32;

/// Some of them are, or begin as, names of secrets and beginnings of keys: a text with one of these has to be searched.
const VOCABULARY: [&str; 40] = [
    "the",
    "export",
    "of",
    "quarterly",
    "report",
    "hangs",
    "at",
    "percent",
    "since",
    "last",
    "update",
    "restarting",
    "does",
    "not",
    "help",
    "ticket",
    "product",
    "customer",
    "sees",
    "an",
    "empty",
    "page",
    "after",
    "signing",
    "in",
    "with",
    "second",
    "account",
    "please",
    "summarise",
    "version",
    "keyboard",
    "machine",
    "department",
    "https://example.com/tickets",
    "author",
    "passes",
    "responsibilities",
    "nobody",
    "knows",
];

/// Returns parameters that differ in their prompt.
pub fn params() -> Vec<Params> {
    let mut state = 7_u64;
    let mut word = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        VOCABULARY[(state >> 33) as usize % VOCABULARY.len()]
    };
    let mut prompt = |number: usize| {
        let words: Vec<&str> = (0..WORDS).map(|_| word()).collect();
        let text = format!("Ticket {number}: {}.", words.join(" "));
        &*Box::leak(text.into_boxed_str())
    };
    let params = (0..COUNT).map(|number| PARAMS.with_prompt(prompt(number)));
    params.collect()
}
