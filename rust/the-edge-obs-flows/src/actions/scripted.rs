//! Answers from a script instead of a model: for tests, demonstrations and work without a network.
//!
//! The answer depends on the prompt, and on how often this run already used the same candidates. Each branch counts on its own,
//! whatever order the branches run in.

use std::path::Path;

use the_edge_obs::yaml;
use the_edge_obs::Snap;

use super::support::{failure, not_negative};
use crate::closest::allowed;
use crate::error::Failure;
use crate::python::{quoted, repr};
use crate::state::Positions;

const KEYS: [&str; 11] = [
    "content",
    "error",
    "match",
    "model",
    "usage",
    "finish_reason",
    "cost_usd",
    "error_type",
    "status_code",
    "retry_after",
    "seconds",
];

/// Characters per token, for answers without a usage.
const CHARACTERS: usize = 4;

/// The longest `match`, in characters.
const LONGEST: usize = 500;

/// What can stand in a `match` beside letters and digits: what every dialect of regular expressions takes as itself.
const LITERAL: &str = " ,:;'\"!/#@%&=<>~_";

/// Returns the answers given as a list or in a file, checked, each as an object.
///
/// # Errors
///
/// Both or neither are given, the file cannot be read, or an answer has a mistake.
pub(super) fn load_answers(
    action: &str,
    answers: Option<&Snap>,
    script: Option<&Snap>,
) -> Result<Vec<Snap>, Failure> {
    let refuse = |problem: String| Failure::action(format!("{action}: {problem}"));
    let (place, listed) = match (answers, script) {
        (Some(answers), None) => ("answers".to_owned(), answers.clone()),
        (None, Some(script)) => {
            let path = super::support::text_of(action, "script", script)?;
            (
                format!("script {}", quoted(path)),
                file_answers(action, path)?,
            )
        }
        _ => return Err(refuse(
            "a scripted answer comes from answers (a list) or script (a file); give one of them"
                .to_owned(),
        )),
    };
    let items = match &listed {
        Snap::List(items) if !items.is_empty() => items,
        other => {
            let given = repr(other);
            return Err(refuse(format!(
                "{place} is {given}; it must be a list of one or more answers"
            )));
        }
    };
    let checked = items.iter().enumerate();
    checked
        .map(|(index, answer)| checked_answer(action, &format!("{place}[{index}]"), answer))
        .collect()
}

fn file_answers(action: &str, path: &str) -> Result<Snap, Failure> {
    let refuse = |problem: String| {
        let path = quoted(path);
        Failure::action(format!(
            "{action}: script {path} cannot be read ({problem}); give a YAML or JSON file"
        ))
    };
    let text = read_text(Path::new(path)).map_err(refuse)?;
    let document = yaml::read(&text, path).map_err(|error| refuse(error.to_string()))?;
    let answers = match document.get("answers") {
        Some(answers) => answers.to_snap(),
        None => document.to_snap(),
    };
    Ok(answers)
}

fn read_text(path: &Path) -> Result<String, String> {
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !kind.is_file() || kind.len() > yaml::MAX_BYTES as u64 {
        return Err(format!(
            "it is not a file of at most {} bytes",
            yaml::MAX_BYTES
        ));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn checked_answer(action: &str, place: &str, answer: &Snap) -> Result<Snap, Failure> {
    let refuse = |problem: String| Err(Failure::action(format!("{action}: {place} {problem}")));
    let pairs = match answer {
        Snap::Str(_) => return Ok(Snap::map([("content", answer.clone())])),
        Snap::Map(pairs) => pairs,
        other => {
            let given = repr(other);
            return refuse(format!(
                "is {given}; an answer is a string, or a dict with content or error"
            ));
        }
    };
    if let Some((key, _)) = pairs.iter().find(|(key, _)| !KEYS.contains(&&**key)) {
        return refuse(format!(
            "has an unknown key {}; {}",
            quoted(key),
            allowed(KEYS)
        ));
    }
    if answer.get("content").is_some() == answer.get("error").is_some() {
        return refuse("needs either content or error".to_owned());
    }
    if let Some(content) = answer
        .get("content")
        .filter(|content| content.as_str().is_none())
    {
        return refuse(format!(
            "has content {}; it must be a string",
            repr(content)
        ));
    }
    if let Some(seconds) = answer.get("seconds") {
        not_negative(action, &format!("{place} seconds"), seconds)?;
    }
    if let Some(pattern) = answer.get("match") {
        if let Err(problem) = checked_match(pattern) {
            return refuse(format!("has match {}: {problem}", repr(pattern)));
        }
    }
    Ok(answer.clone())
}

/// Returns the text of a `match`. Dialects of regular expressions differ, so it is a literal text here.
fn checked_match(pattern: &Snap) -> Result<&str, String> {
    let text = pattern.as_str().ok_or("it is not a string")?;
    if text.chars().count() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let other = text
        .chars()
        .find(|char| !char.is_alphanumeric() && !LITERAL.contains(*char));
    match other {
        None => Ok(text),
        Some(char) => Err(format!(
            "{} has a meaning in regular expressions, which only the Python runtime reads; allowed: letters, digits, blanks and {}",
            quoted(&char.to_string()),
            LITERAL.trim()
        )),
    }
}

/// Returns the next answer for what was said, and counts it.
///
/// The candidates are the answers whose `match` is found in what was said; without any, those without `match`. They are used in
/// order, and the last one is repeated.
///
/// # Errors
///
/// No answer fits.
pub(super) fn choose<'a>(
    action: &str,
    positions: &Positions,
    answers: &'a [Snap],
    said: &str,
) -> Result<&'a Snap, Failure> {
    let is_found = |answer: &&Snap| {
        let text = answer.get("match").and_then(Snap::as_str);
        text.is_some_and(|text| said.contains(text))
    };
    let mut candidates: Vec<&Snap> = answers.iter().filter(is_found).collect();
    if candidates.is_empty() {
        candidates = answers
            .iter()
            .filter(|answer| answer.get("match").is_none())
            .collect();
    }
    let Some(last) = candidates.len().checked_sub(1) else {
        let matches: Vec<String> = answers
            .iter()
            .filter_map(|answer| answer.get("match"))
            .map(repr)
            .collect();
        let skipped = said.chars().count().saturating_sub(200);
        let end: String = said.chars().skip(skipped).collect();
        return Err(Failure::action(format!(
            "{action}: no scripted answer matches {}; tried: {}; add one without match",
            quoted(&end),
            matches.join(", ")
        )));
    };
    let script: Vec<String> = candidates.iter().map(|answer| answer.to_json()).collect();
    let given = positions.next(&script.join("\n"));
    Ok(candidates[given.min(last)])
}

/// Returns a scripted answer as the result of a call, or as a soft failure.
///
/// A missing usage is estimated at 4 characters per token.
pub(super) fn result_of(answer: &Snap, said: &str, model: Option<&Snap>) -> Snap {
    if let Some(error) = answer.get("error") {
        let facts = ["status_code", "retry_after"];
        let facts = facts
            .into_iter()
            .filter_map(|key| Some((key, answer.get(key)?.clone())));
        let kind = answer
            .get("error_type")
            .map_or_else(|| "api_error".to_owned(), text);
        return failure(&text(error), &kind, facts.collect());
    }
    let content = answer
        .get("content")
        .and_then(Snap::as_str)
        .unwrap_or_default();
    let own = |key: &str| answer.get(key).cloned();
    let mut result = vec![
        ("success", Snap::Bool(true)),
        ("content", content.into()),
        (
            "model",
            own("model").or(model.cloned()).unwrap_or("scripted".into()),
        ),
        (
            "usage",
            own("usage").unwrap_or_else(|| estimate(said, content)),
        ),
        (
            "finish_reason",
            own("finish_reason").unwrap_or("stop".into()),
        ),
    ];
    result.extend(own("cost_usd").map(|cost| ("cost_usd", cost)));
    Snap::map(result)
}

/// Returns a value as text.
fn text(value: &Snap) -> String {
    value.as_str().map_or_else(|| repr(value), str::to_owned)
}

fn estimate(said: &str, content: &str) -> Snap {
    let [asked, answered] = [said, content].map(|text| text.chars().count().div_ceil(CHARACTERS));
    Snap::map([
        ("prompt_tokens", asked.into()),
        ("completion_tokens", answered.into()),
        ("total_tokens", (asked + answered).into()),
    ])
}

/// Splits a text into words, each with the blanks around it; joined, they give the text again.
pub(super) fn pieces_of(content: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut in_word, mut had_word) = (Vec::new(), 0, false, false);
    for (at, char) in content.char_indices() {
        let is_blank = char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char);
        // A piece ends where a word begins after the blanks behind another one.
        if !is_blank && !in_word && had_word {
            pieces.push(&content[start..at]);
            start = at;
        }
        in_word = !is_blank;
        had_word |= in_word;
    }
    if start < content.len() {
        pieces.push(&content[start..]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use the_edge_obs::value::from_json;

    #[test]
    fn a_text_arrives_word_by_word() {
        assert_eq!(
            pieces_of("Two cats have eight legs."),
            ["Two ", "cats ", "have ", "eight ", "legs."]
        );
        assert_eq!(pieces_of("  a \n b "), ["  a \n ", "b "]);
        assert_eq!(pieces_of(" "), [" "]);
        assert_eq!(pieces_of(""), [""; 0]);
    }

    #[test]
    fn answers_are_used_in_order_and_by_match() {
        let answers =
            from_json(r#"["a", {"content": "b"}, {"content": "c", "match": "cat"}]"#).unwrap();
        let answers = load_answers("llm.call", Some(&answers), None).unwrap();
        let positions = Positions::default();
        let ask = |said: &str| {
            let answer = choose("llm.call", &positions, &answers, said).unwrap();
            answer
                .get("content")
                .and_then(Snap::as_str)
                .unwrap()
                .to_owned()
        };
        let given: Vec<String> = ["x", "a cat", "x", "x", "cat"].map(ask).into();
        assert_eq!(given, ["a", "c", "b", "b", "c"]);
    }

    #[test]
    fn a_usage_is_estimated_in_code_points() {
        let answer = Snap::map([(
            "content",
            Snap::from("\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}"),
        )]);
        let result = result_of(&answer, "äöü", None);
        let usage = result.get("usage").unwrap().to_json();
        assert_eq!(
            usage,
            r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#
        );
    }

    #[test]
    fn mistakes_in_answers_are_refused() {
        let cases = [
            (
                "[]",
                "answers is []; it must be a list of one or more answers",
            ),
            (
                "[1]",
                "answers[0] is 1; an answer is a string, or a dict with content or error",
            ),
            (
                r#"[{"content": "a", "error": "b"}]"#,
                "answers[0] needs either content or error",
            ),
            (
                r#"["a", {"text": "b"}]"#,
                "answers[1] has an unknown key 'text'; allowed: content, error",
            ),
            (
                r#"[{"content": 1}]"#,
                "answers[0] has content 1; it must be a string",
            ),
            (
                r#"[{"content": "", "match": "a.*"}]"#,
                "answers[0] has match 'a.*': '.' has a meaning",
            ),
            (
                r#"[{"content": "", "seconds": -1}]"#,
                "answers[0] seconds is -1; it must be a number above 0",
            ),
        ];
        for (answers, problem) in cases {
            let failure =
                load_answers("llm.call", Some(&from_json(answers).unwrap()), None).unwrap_err();
            assert!(
                failure.message.starts_with(&format!("llm.call: {problem}")),
                "{failure}"
            );
        }
        assert!(load_answers("llm.call", None, None).is_err());
    }
}
