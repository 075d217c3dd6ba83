//! Texts of which none repeats soon: what is remembered of a text does not help with them.

use crate::work::{Params, PARAMS};

/// More than any memory of texts holds.
const COUNT: usize = 8_192;
const WORDS: usize = 32;

/// Words that no search for secrets stops at.
pub const PLAIN: [&str; 28] = [
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
    "with",
    "account",
    "please",
    "summarise",
    "nobody",
];

/// Others: parts of them are names of secrets, programs or beginnings of keys. A text with one of these has to be searched.
pub const SUSPICIOUS: [&str; 32] = [
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
    "keyboard",
    "passes",
    "https://example.com/tickets",
    "author",
    "besides",
    "responsibilities",
    "opinion",
    "secretary",
    "access",
    "connection",
];

/// Returns parameters that differ in their prompt, which is made of some words.
pub fn params(words: &[&'static str]) -> Vec<Params> {
    let mut state = 7_u64;
    let mut word = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        words[(state >> 33) as usize % words.len()]
    };
    let mut prompt = |number: usize| {
        let words: Vec<&str> = (0..WORDS).map(|_| word()).collect();
        let text = format!("Ticket {number}: {}.", words.join(" "));
        &*Box::leak(text.into_boxed_str())
    };
    let params = (0..COUNT).map(|number| PARAMS.with_prompt(prompt(number)));
    params.collect()
}
