//! What a result says of the call that returned it: soft failures, tokens and costs.

use std::panic::Location;

use crate::event::CHECKED_METRICS;
use crate::redaction::{head, Policy, Taints, MAX_ITEMS, MAX_KEY, MAX_STRING, MORE};
use crate::value::{Key, Snap};

/// Numbers of an event, by name.
pub type Figures = Vec<(Key, Snap)>;

const USAGE_KEYS: [&str; 3] = ["usage", "usage_metadata", "usageMetadata"];

/// A spelling of a count, and the counts to add to it.
type Spellings = &'static [(&'static str, &'static [&'static str])];

// OpenAI's and LangChain's counts are complete: they include cached and reasoning tokens. Anthropic's and Bedrock's input count does
// not include tokens from the cache (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching). Gemini's candidates do
// not include the thoughts (https://ai.google.dev/api/generate-content#UsageMetadata).
const INPUT: Spellings = &[
    (
        "input_tokens",
        &["cache_read_input_tokens", "cache_creation_input_tokens"],
    ),
    ("prompt_tokens", &[]),
    (
        "inputTokens",
        &["cacheReadInputTokens", "cacheWriteInputTokens"],
    ),
    ("prompt_token_count", &["tool_use_prompt_token_count"]),
    ("promptTokenCount", &["toolUsePromptTokenCount"]),
];
const OUTPUT: Spellings = &[
    ("output_tokens", &[]),
    ("completion_tokens", &[]),
    ("outputTokens", &[]),
    ("candidates_token_count", &["thoughts_token_count"]),
    ("candidatesTokenCount", &["thoughtsTokenCount"]),
];
const TOTAL: Spellings = &[
    ("total_tokens", &[]),
    ("tokens", &[]),
    ("totalTokens", &[]),
    ("total_token_count", &[]),
    ("totalTokenCount", &[]),
];

/// Where a usage has a count that is part of its input or output: the keys that lead to it.
type Paths = &'static [&'static [&'static str]];

const PARTS: [(&str, Paths); 3] = [
    (
        "cached_tokens",
        &[
            &["prompt_tokens_details", "cached_tokens"],
            &["input_tokens_details", "cached_tokens"],
            &["cache_read_input_tokens"],
            &["cacheReadInputTokens"],
            &["cached_content_token_count"],
            &["cachedContentTokenCount"],
            &["input_token_details", "cache_read"],
        ],
    ),
    (
        "cache_write_tokens",
        &[
            &["cache_creation_input_tokens"],
            &["cacheWriteInputTokens"],
            &["prompt_tokens_details", "cache_write_tokens"],
            &["input_tokens_details", "cache_write_tokens"],
            &["input_token_details", "cache_creation"],
        ],
    ),
    (
        "reasoning_tokens",
        &[
            &["completion_tokens_details", "reasoning_tokens"],
            &["output_tokens_details", "reasoning_tokens"],
            &["thoughts_token_count"],
            &["thoughtsTokenCount"],
            &["output_token_details", "reasoning"],
        ],
    ),
];

/// The text of an error whose panic cannot be seen, only that the thread unwinds.
pub(crate) const PANICKED: &str = "the thread panicked";

/// Returns the `error` of an event's data.
pub(crate) fn error_data(
    kind: &str,
    message: &str,
    site: Option<&'static Location<'static>>,
) -> Snap {
    let mut pairs: Vec<(Key, Snap)> = vec![
        ("type".into(), kind.into()),
        ("message".into(), message.into()),
    ];
    if let Some(site) = site {
        pairs.push((
            "where".into(),
            format!("{}:{}", site.file(), site.line()).into(),
        ));
    }
    Snap::Map(pairs.into())
}

/// A failure that a result describes instead of being an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftFailure {
    /// Its type: `error_type` of the result, or `ActionError`.
    pub kind: String,
    /// Its text: `error` of the result.
    pub message: String,
}

/// Returns the failure that a result describes: `{"success": false, "error": text, "error_type": kind}`; `None` for other results.
#[must_use]
pub fn soft_failure(result: &Snap) -> Option<SoftFailure> {
    if result.get("success") != Some(&Snap::Bool(false)) {
        return None;
    }
    let kind = result.get("error_type").filter(|kind| kind.is_true());
    Some(SoftFailure {
        kind: kind.map_or_else(|| "ActionError".to_owned(), text_of),
        message: result
            .get("error")
            .map_or_else(|| "None".to_owned(), text_of),
    })
}

fn text_of(value: &Snap) -> String {
    match value {
        Snap::Null => "None".to_owned(),
        Snap::Str(text) | Snap::Mark(text) => text.to_string(),
        other => other.to_json(),
    }
}

/// Returns the metrics in a result: the tokens of its `usage` or `usage_metadata`, and `cost_usd`.
///
/// The spellings are those of OpenAI, Anthropic, Google, Bedrock and others. If the usage has no total, the total is the sum of input
/// and output.
#[must_use]
pub fn metrics_of(result: &Snap) -> Figures {
    let given = |key: &&str| result.get(key).filter(|usage| **usage != Snap::Null);
    let usage = USAGE_KEYS.iter().find_map(given);
    let mut figures = usage.map_or_else(Vec::new, tokens_of);
    if let Some(cost) = result.get("cost_usd").filter(|cost| is_count(cost)) {
        figures.push(("cost_usd".into(), cost.clone()));
    }
    figures
}

fn tokens_of(usage: &Snap) -> Figures {
    let total = count(usage, TOTAL).0;
    let (sent, mut beside_sent) = count(usage, INPUT);
    let (got, mut beside_got) = count(usage, OUTPUT);
    let all = [&sent, &beside_sent, &got, &beside_got];
    let sum = all
        .into_iter()
        .flatten()
        .fold(0.0, |sum, part| sum + float(part));
    // Some gateways use Anthropic's names but count as OpenAI does: then the counts include the cached tokens already.
    if total.as_ref().is_some_and(|total| float(total) < sum) {
        (beside_sent, beside_got) = (None, None);
    }
    let input = sent.map(|sent| plus(sent, beside_sent));
    let output = got.map(|got| plus(got, beside_got));
    let total = total.or_else(|| match (&input, &output) {
        (Some(input), output) => Some(plus(input.clone(), output.clone())),
        (None, output) => output.clone(),
    });
    let named = [
        ("input_tokens", input),
        ("output_tokens", output),
        ("tokens", total),
    ];
    let there = named
        .into_iter()
        .filter_map(|(name, count)| Some((name.into(), count?)));
    let mut figures: Figures = there.collect();
    figures.extend(PARTS.iter().filter_map(|(name, paths)| {
        let part = part(usage, paths).filter(|part| float(part) > 0.0)?;
        Some(((*name).into(), part))
    }));
    figures
}

/// Returns the first count that one of the paths leads to.
fn part(usage: &Snap, paths: Paths) -> Option<Snap> {
    let at = |path: &&[&str]| path.iter().try_fold(usage, |value, key| value.get(key));
    let mut counts = paths.iter().filter_map(at).filter(|count| is_count(count));
    counts.next().cloned()
}

/// Returns a count of a usage, and the sum of the counts to add to it.
fn count(usage: &Snap, spellings: Spellings) -> (Option<Snap>, Option<Snap>) {
    let get = |key: &str| usage.get(key).filter(|count| is_count(count)).cloned();
    for (key, others) in spellings {
        if let Some(own) = get(key) {
            let beside = others
                .iter()
                .filter_map(|other| get(other))
                .reduce(|sum, more| plus(sum, Some(more)));
            return (Some(own), beside);
        }
    }
    (None, None)
}

fn plus(first: Snap, second: Option<Snap>) -> Snap {
    match (first, second) {
        (first, None) => first,
        (Snap::Int(first), Some(Snap::Int(second))) if first.checked_add(second).is_some() => {
            Snap::Int(first + second)
        }
        (first, Some(second)) => Snap::Float(float(&first) + float(&second)),
    }
}

fn float(number: &Snap) -> f64 {
    match number {
        Snap::Int(number) => *number as f64,
        Snap::Float(number) => *number,
        _ => 0.0,
    }
}

fn is_count(value: &Snap) -> bool {
    match value {
        Snap::Int(count) => *count >= 0,
        Snap::Float(count) => (0.0..f64::INFINITY).contains(count),
        _ => false,
    }
}

/// Returns metrics whose names show no secrets and are not too long. Of all but the schema's own, the first [`MAX_ITEMS`] stay; `…`
/// counts the rest. The flow's taints are not taken out of names: a key stays recognisable.
pub(crate) fn named(figures: Figures, policy: &Policy) -> Figures {
    let no_taints = Taints::new();
    let mut kept: Figures = Vec::with_capacity(figures.len().min(MAX_ITEMS + 1));
    let mut others = 0;
    for (name, value) in figures {
        if CHECKED_METRICS.contains(&&*name) {
            kept.push((name, value));
            continue;
        }
        others += 1;
        if others <= MAX_ITEMS {
            let clean = policy.scrub_text(head(&name, 2 * MAX_STRING), &no_taints);
            kept.push((head(&clean, MAX_KEY).into(), value));
        }
    }
    if others > MAX_ITEMS {
        kept.push((MORE.into(), Snap::from(others - MAX_ITEMS)));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_json;

    #[test]
    fn usage_is_read_in_each_spelling() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../examples/observability/vectors/usage.json"
        );
        let Ok(text) = std::fs::read_to_string(path) else {
            println!("skipped: the vectors are not beside the crate");
            return;
        };
        let file = from_json(&text).unwrap();
        let Some(Snap::List(cases)) = file.get("cases") else {
            panic!()
        };
        for case in &**cases {
            let (result, wanted) = (case.get("result").unwrap(), case.get("metrics").unwrap());
            let figures = metrics_of(result);
            let by_value = |pairs: &[(Key, Snap)]| -> Vec<(String, String)> {
                pairs
                    .iter()
                    .map(|(name, value)| (name.to_string(), float(value).to_string()))
                    .collect()
            };
            match wanted {
                Snap::Map(pairs) => assert_eq!(by_value(&figures), by_value(pairs), "{case:?}"),
                _ => assert_eq!(figures, [], "{case:?}"),
            }
        }
        assert!(cases.len() > 10);
    }

    #[test]
    fn a_result_may_describe_its_failure() {
        let of = |text: &str| {
            soft_failure(&from_json(text).unwrap()).map(|failure| (failure.kind, failure.message))
        };
        let pair = |kind: &str, message: &str| Some((kind.to_owned(), message.to_owned()));
        assert_eq!(
            of(r#"{"success":false,"error":"x","error_type":"parse"}"#),
            pair("parse", "x")
        );
        assert_eq!(
            of(r#"{"success":false,"error":{"a":1},"error_type":""}"#),
            pair("ActionError", r#"{"a":1}"#)
        );
        assert_eq!(of(r#"{"success":0}"#), None);
        assert_eq!(of("[false]"), None);
    }

    #[test]
    fn the_metrics_of_the_schema_are_always_kept() {
        let many = (0..MAX_ITEMS + 3).map(|at| (format!("m{at}").into(), Snap::Int(1)));
        let tokens = ("tokens".into(), Snap::Int(7));
        let kept = named(many.chain([tokens]).collect(), &Policy::built_in());
        assert_eq!(kept.len(), MAX_ITEMS + 2);
        assert_eq!(
            kept[MAX_ITEMS..],
            [("tokens".into(), Snap::Int(7)), (MORE.into(), Snap::Int(3))]
        );
    }

    #[test]
    fn names_of_metrics_show_no_secrets() {
        let long = "k".repeat(MAX_KEY + 1);
        let names = ["password=hunter2xy", &long].map(|name| (name.into(), Snap::Int(1)));
        let kept = named(names.into(), &Policy::built_in());
        assert_eq!(&*kept[0].0, "password=[REDACTED]");
        assert_eq!(kept[1].0.len(), MAX_KEY);
    }
}
