//! `llm.call` and `llm.stream`: a chat completion from any OpenAI-compatible endpoint, or from a script.

use std::time::Instant;

#[cfg(feature = "http")]
use the_edge_obs::value::Key;
use the_edge_obs::{Level, Snap};

use super::scripted::{choose, load_answers, pieces_of, result_of};
use super::support::{count_of, mapping_of, not_negative, param, positive, text_of, unknown};
#[cfg(feature = "http")]
use super::web::chat::{complete, stream, Chat as Asked, Endpoint, Wanted};
#[cfg(feature = "http")]
use super::web::transport::{interruptible, running_span};
use super::{Action, Signature};
use crate::error::Failure;
use crate::python::repr;
use crate::runner::{Context, Retrying};

const PROVIDERS: [&str; 4] = ["auto", "openai", "ollama", "scripted"];

/// Slow local models need minutes for a long answer.
#[cfg(feature = "http")]
const TIMEOUT: f64 = 300.0;
const TRANSIENT: [&str; 3] = ["rate_limit", "timeout", "connection"];
/// A `Retry-After` below this, in seconds, means "at once", which has just failed.
const AT_ONCE: f64 = 0.1;

/// `llm.call`: one answer.
pub(super) struct Call;

/// `llm.stream`: one answer that arrives word by word.
pub(super) struct Stream;

impl Action for Call {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let chat = Chat::new("llm.call", params)?;
        match Retries::of(params)? {
            Some(retries) => retries.run(&chat, context),
            None => chat.once(context),
        }
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

/// Streams an answer, and counts the chunks that arrived.
fn stream_answer(
    params: &Snap,
    context: &Context<'_>,
    arrived: &mut usize,
) -> Result<Snap, Failure> {
    let chat = Chat::new("llm.stream", params)?;
    match &chat.source {
        Source::Script(answers) => chat.stream_script(answers, context, arrived),
        #[cfg(feature = "http")]
        Source::Endpoint(endpoint) => {
            let (asked, endpoint) = (chat.asked(params)?, endpoint.clone());
            let streamed = interruptible(context, move || stream(&asked, &endpoint))??;
            if let Some(first_ms) = streamed.first_ms {
                context.end_metric("time_to_first_chunk_ms", first_ms);
            }
            *arrived = streamed.pieces;
            Ok(streamed.result)
        }
    }
}

impl Action for Stream {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let mut arrived = 0;
        let result = stream_answer(params, context, &mut arrived);
        context.end_metric("chunks", arrived); // also of a stream that fails
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

/// Where answers come from.
enum Source {
    Script(Vec<Snap>),
    #[cfg(feature = "http")]
    Endpoint(Endpoint),
}

/// One call as the flow wrote it.
struct Chat<'p> {
    action: &'static str,
    params: &'p Snap,
    source: Source,
    messages: Vec<Snap>,
}

impl<'p> Chat<'p> {
    fn new(action: &'static str, params: &'p Snap) -> Result<Chat<'p>, Failure> {
        let messages = messages(action, params)?;
        if let Some(extra) = param(params, "extra_body") {
            mapping_of(action, "extra_body", extra)?;
        }
        let source = source_of(action, params)?;
        Ok(Chat {
            action,
            params,
            source,
            messages,
        })
    }

    /// Returns the texts of all messages, as scripts see them.
    fn said(&self) -> String {
        let texts: Vec<String> = self.messages.iter().map(content_text).collect();
        texts.join("\n")
    }

    /// Asks once.
    fn once(&self, context: &Context<'_>) -> Result<Snap, Failure> {
        match &self.source {
            Source::Script(answers) => {
                let said = self.said();
                let answer = choose(self.action, context.positions(), answers, &said)?;
                pause(answer, 1, context)?;
                Ok(result_of(answer, &said, param(self.params, "model")))
            }
            #[cfg(feature = "http")]
            Source::Endpoint(endpoint) => {
                let (asked, endpoint) = (self.asked(self.params)?, endpoint.clone());
                interruptible(context, move || complete(&asked, &endpoint))?
            }
        }
    }

    /// Streams a scripted answer, word by word.
    fn stream_script(
        &self,
        answers: &[Snap],
        context: &Context<'_>,
        arrived: &mut usize,
    ) -> Result<Snap, Failure> {
        let (started, said) = (Instant::now(), self.said());
        let answer = choose(self.action, context.positions(), answers, &said)?;
        let result = result_of(answer, &said, param(self.params, "model"));
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

    /// Returns what is asked of an endpoint.
    #[cfg(feature = "http")]
    fn asked(&self, params: &Snap) -> Result<Asked, Failure> {
        let named = ["temperature", "max_tokens", "stop", "response_format"];
        let named = named
            .iter()
            .filter_map(|key| Some(((*key).into(), param(params, key)?.clone())));
        let mut options: Vec<(Key, Snap)> = named.collect();
        if let Some(extra) = param(params, "extra_body") {
            options.extend(
                mapping_of(self.action, "extra_body", extra)?
                    .iter()
                    .cloned(),
            );
        }
        Ok(Asked {
            action: self.action,
            messages: Snap::List(self.messages.clone().into()),
            model: params.get("model").cloned().unwrap_or(Snap::Null),
            options,
            timeout: param(params, "timeout")
                .cloned()
                .unwrap_or(Snap::Float(TIMEOUT)),
            traceparent: running_span(),
        })
    }
}

/// Returns the source of the answers: an endpoint, or a script.
fn source_of(action: &'static str, params: &Snap) -> Result<Source, Failure> {
    let (answers, script) = (param(params, "answers"), param(params, "script"));
    let has_script = answers.is_some() || script.is_some();
    let provider = param(params, "provider");
    if let Some(provider) = provider {
        check_provider(action, provider)?;
    }
    let provider = provider.and_then(Snap::as_str);
    let scripted = || load_answers(action, answers, script).map(Source::Script);
    if provider == Some("scripted") || (provider.is_none() && has_script) {
        return scripted();
    }
    if let Some(source) = endpoint(params, provider) {
        return Ok(source);
    }
    if has_script && provider == Some("auto") {
        return scripted();
    }
    Err(Failure::action(format!("{action}: {NO_ENDPOINT}")))
}

#[cfg(feature = "http")]
const NO_ENDPOINT: &str = "no endpoint is configured; set OPENAI_API_KEY (and OPENAI_BASE_URL for an endpoint other than OpenAI's) \
    or OLLAMA_API_BASE, or give base_url, answers or script";
#[cfg(not(feature = "http"))]
const NO_ENDPOINT: &str =
    "no endpoint is available in this build, which lacks the feature http; give answers or script";

/// Returns the endpoint that the parameters and the environment name.
#[cfg(feature = "http")]
fn endpoint(params: &Snap, provider: Option<&str>) -> Option<Source> {
    let text = |name: &str| param(params, name).and_then(Snap::as_str);
    let base = text("base_url").or_else(|| text("api_base"));
    let wanted = Wanted {
        provider,
        base,
        key: text("api_key"),
    };
    wanted.endpoint().map(Source::Endpoint)
}

#[cfg(not(feature = "http"))]
fn endpoint(_: &Snap, _: Option<&str>) -> Option<Source> {
    None
}

/// Returns the conversation.
fn messages(action: &str, params: &Snap) -> Result<Vec<Snap>, Failure> {
    let message =
        |role: &str, text: &str| Snap::map([("role", role.into()), ("content", Snap::from(text))]);
    let mut said = match (param(params, "messages"), param(params, "prompt")) {
        (None, None) => {
            let problem = "neither prompt nor messages is given; give one of them";
            return Err(Failure::action(format!("{action}: {problem}")));
        }
        (None, Some(prompt)) => vec![message("user", text_of(action, "prompt", prompt)?)],
        (Some(messages), _) => match messages {
            Snap::List(items) if !items.is_empty() && items.iter().all(is_message) => {
                items.to_vec()
            }
            other => {
                return Err(Failure::action(format!(
                    "{action}: messages is {}; it must be a list of {{role: ..., content: ...}}",
                    repr(other)
                )))
            }
        },
    };
    if let Some(system) = param(params, "system") {
        said.insert(0, message("system", text_of(action, "system", system)?));
    }
    Ok(said)
}

/// How `llm.call` repeats transient failures.
struct Retries {
    rule: Retrying,
}

impl Retries {
    fn of(params: &Snap) -> Result<Option<Retries>, Failure> {
        let Some(count) = param(params, "max_retries").filter(|count| **count != Snap::Int(0))
        else {
            return Ok(None);
        };
        let seconds = |name: &str, usual: f64| match param(params, name) {
            Some(value) => not_negative("llm.call", name, value),
            None => Ok(usual),
        };
        let rule = Retrying {
            retries: count_of("llm.call", "max_retries", count)?,
            delay: seconds("base_delay", 1.0)?,
            factor: 2.0,
            longest: seconds("max_delay", 60.0)?,
        };
        Ok(Some(Retries { rule }))
    }

    /// Asks until it succeeds, fails for good, or was retried often enough.
    fn run(&self, chat: &Chat<'_>, context: &Context<'_>) -> Result<Snap, Failure> {
        let mut total = 0.0;
        let pause = |number: u64, result: &Result<Snap, Failure>, delay: f64| {
            let failure = result.as_ref().map_or(&Snap::Null, |result| result);
            let asked = match failure.get("retry_after") {
                Some(Snap::Float(seconds)) => *seconds,
                Some(Snap::Int(seconds)) => *seconds as f64,
                _ => 0.0,
            };
            let delay = if asked >= AT_ONCE {
                asked.min(self.rule.longest)
            } else {
                delay
            };
            let facts = Snap::map([
                ("attempt", number.into()),
                ("delay_seconds", Snap::Float(delay)),
                ("failure", failure.clone()),
            ]);
            let attempts = self.rule.retries + 1;
            // Every failed attempt is logged.
            the_edge_obs::log("llm.call")
                .in_step()
                .level(Level::Warn)
                .message(&format!("attempt {number} of {attempts} failed"))
                .pairs(&facts)
                .emit();
            total += delay;
            context.stop().wait(delay)
        };
        let is_transient = |result: &Result<Snap, Failure>| result.as_ref().is_ok_and(is_transient);
        let (result, attempts) = self.rule.run(|_| chat.once(context), is_transient, pause)?;
        let about = [
            ("attempts".into(), attempts.into()),
            ("total_delay".into(), Snap::Float(total)),
        ];
        Ok(match result? {
            Snap::Map(pairs) => Snap::map(pairs.into_vec().into_iter().chain(about)),
            other => other,
        })
    }
}

/// Tells whether a result is a transient failure.
fn is_transient(result: &Snap) -> bool {
    if result.get("success") != Some(&Snap::Bool(false)) {
        return false;
    }
    let kind = result
        .get("error_type")
        .and_then(Snap::as_str)
        .unwrap_or_default();
    let is_status = matches!(result.get("status_code"), Some(Snap::Int(408 | 500..)));
    is_status || TRANSIENT.contains(&kind)
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
    let mut failure = unknown(action, "provider", provider, &PROVIDERS);
    let way = "; any endpoint that speaks OpenAI's protocol works with base_url";
    failure.message.push_str(way);
    Err(failure)
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
