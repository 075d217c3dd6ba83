//! `llm.call` and `llm.stream`, answered by a script.

use std::time::Instant;

use the_edge_obs::Snap;

use super::scripted::{choose, load_answers, pieces_of, result_of};
use super::support::{count_of, mapping_of, not_negative, param, positive, text_of, unknown};
use super::{Action, Signature};
use crate::error::Failure;
use crate::python::repr;
use crate::runner::Context;

const PROVIDERS: [&str; 4] = ["auto", "openai", "ollama", "scripted"];

/// `llm.call`: one answer.
pub(super) struct Call;

/// `llm.stream`: one answer that arrives word by word.
pub(super) struct Stream;

impl Action for Call {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let chat = Chat::new("llm.call", params)?;
        if let Some(retries) =
            param(params, "max_retries").filter(|retries| **retries != Snap::Int(0))
        {
            count_of("llm.call", "max_retries", retries)?;
        }
        let answer = choose(chat.action, context.positions(), &chat.answers, &chat.said)?;
        pause(answer, 1, context)?;
        Ok(result_of(answer, &chat.said, param(params, "model")))
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&[
                "model",
                "prompt",
                "system",
                "messages",
                "temperature",
                "max_tokens",
                "stop",
                "response_format",
                "extra_body",
                "provider",
                "base_url",
                "api_base",
                "api_key",
                "timeout",
                "max_retries",
                "base_delay",
                "max_delay",
                "answers",
                "script",
            ]),
            required: &[],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        check("llm.call", param, value)
    }
}

/// Streams a scripted answer, and counts the chunks that arrived.
fn stream(params: &Snap, context: &Context<'_>, arrived: &mut usize) -> Result<Snap, Failure> {
    let started = Instant::now();
    let chat = Chat::new("llm.stream", params)?;
    let answer = choose(chat.action, context.positions(), &chat.answers, &chat.said)?;
    let result = result_of(answer, &chat.said, param(params, "model"));
    let content = result
        .get("content")
        .and_then(Snap::as_str)
        .unwrap_or_default();
    let count = pieces_of(content).len();
    // One pause before each piece; a failure takes time too.
    for number in 0..count.max(1) {
        pause(answer, count.max(1), context)?;
        *arrived = count.min(number + 1);
        if *arrived == 1 {
            let elapsed = started.elapsed().as_secs_f64() * 1000.0;
            context.end_metric("time_to_first_chunk_ms", elapsed);
        }
    }
    let streamed = [
        ("content".into(), content.into()),
        ("streamed".into(), Snap::Bool(true)),
        ("chunk_count".into(), count.into()),
    ];
    let Snap::Map(pairs) = result.clone() else {
        return Ok(result);
    };
    Ok(Snap::map(pairs.into_vec().into_iter().chain(streamed)))
}

impl Action for Stream {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let mut arrived = 0;
        let result = stream(params, context, &mut arrived);
        context.end_metric("chunks", arrived); // a stream that fails has them too
        result
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&[
                "model",
                "prompt",
                "system",
                "messages",
                "temperature",
                "max_tokens",
                "stop",
                "response_format",
                "extra_body",
                "provider",
                "base_url",
                "api_base",
                "api_key",
                "timeout",
                "answers",
                "script",
            ]),
            required: &[],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        check("llm.stream", param, value)
    }
}

/// One call as the flow wrote it.
struct Chat {
    action: &'static str,
    answers: Vec<Snap>,
    /// The texts of all messages.
    said: String,
}

impl Chat {
    fn new(action: &'static str, params: &Snap) -> Result<Chat, Failure> {
        let said = said(action, params)?;
        if let Some(extra) = param(params, "extra_body") {
            mapping_of(action, "extra_body", extra)?;
        }
        let (answers, script) = (param(params, "answers"), param(params, "script"));
        let has_script = answers.is_some() || script.is_some();
        let provider = param(params, "provider");
        if let Some(provider) = provider {
            check_provider(action, provider)?;
        }
        let provider = provider.and_then(Snap::as_str);
        let is_scripted = provider == Some("scripted") || (provider.is_none() && has_script);
        if is_scripted || (provider == Some("auto") && has_script) {
            let answers = load_answers(action, answers, script)?;
            return Ok(Chat {
                action,
                answers,
                said,
            });
        }
        Err(Failure::action(format!(
            "{action}: no endpoint is available in this build; give answers or script, or run the flow in the Python runtime"
        )))
    }
}

/// Returns the texts of all messages, joined by line breaks; of a list of parts, only the text parts.
fn said(action: &str, params: &Snap) -> Result<String, Failure> {
    let mut texts = Vec::new();
    match (param(params, "messages"), param(params, "prompt")) {
        (None, None) => {
            let problem = "neither prompt nor messages is given; give one of them";
            return Err(Failure::action(format!("{action}: {problem}")));
        }
        (None, Some(prompt)) => texts.push(text_of(action, "prompt", prompt)?.to_owned()),
        (Some(messages), _) => {
            let items = match messages {
                Snap::List(items) if !items.is_empty() && items.iter().all(is_message) => items,
                other => {
                    return Err(Failure::action(format!(
                    "{action}: messages is {}; it must be a list of {{role: ..., content: ...}}",
                    repr(other)
                )))
                }
            };
            texts.extend(items.iter().map(content_text));
        }
    }
    if let Some(system) = param(params, "system") {
        texts.insert(0, text_of(action, "system", system)?.to_owned());
    }
    Ok(texts.join("\n"))
}

fn is_message(message: &Snap) -> bool {
    message
        .get("role")
        .is_some_and(|role| role.as_str().is_some())
}

fn content_text(message: &Snap) -> String {
    let text = |value: &Snap| value.as_str().map_or_else(|| repr(value), str::to_owned);
    match message.get("content") {
        None | Some(Snap::Null) => String::new(),
        Some(Snap::List(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text")).map(text);
            texts.collect::<Vec<_>>().join("\n")
        }
        Some(content) => text(content),
    }
}

/// Waits for one of several equal parts of the time that a scripted answer takes.
fn pause(answer: &Snap, pauses: usize, context: &Context<'_>) -> Result<(), Failure> {
    let seconds = match answer.get("seconds") {
        Some(Snap::Int(seconds)) => *seconds as f64,
        Some(Snap::Float(seconds)) => *seconds,
        _ => return Ok(()),
    };
    context.stop().wait(seconds / pauses as f64)
}

fn check_provider(action: &str, provider: &Snap) -> Result<(), Failure> {
    let is_known = provider
        .as_str()
        .is_some_and(|name| PROVIDERS.contains(&name));
    if is_known {
        return Ok(());
    }
    Err(unknown(action, "provider", provider, &PROVIDERS))
}

fn check(action: &str, param: &str, value: &Snap) -> Result<(), Failure> {
    match param {
        "answers" => load_answers(action, Some(value), None).map(drop),
        "provider" => check_provider(action, value),
        "system" => text_of(action, param, value).map(drop),
        "extra_body" => mapping_of(action, param, value).map(drop),
        "timeout" => positive(action, param, value).map(drop),
        "base_delay" | "max_delay" => not_negative(action, param, value).map(drop),
        "max_retries" if *value != Snap::Int(0) => count_of(action, param, value).map(drop),
        _ => Ok(()),
    }
}
