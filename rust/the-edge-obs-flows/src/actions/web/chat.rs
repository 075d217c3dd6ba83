//! One chat completion over HTTP, whole or as a stream, from any endpoint that speaks OpenAI's protocol.
//!
//! The protocol: `POST <base>/chat/completions`; a stream is server-sent events whose data are JSON chunks, ended by `[DONE]`
//! (<https://platform.openai.com/docs/api-reference/chat>).

use std::env;
use std::time::Instant;

use the_edge_obs::times::{now, parse_time};
use the_edge_obs::value::{from_json_of_others, Key, MAX_DEPTH};
use the_edge_obs::Snap;

use super::answers::Completion;
use super::errors::{kind_of, shown, without};
use super::sse::{Event, EventStream};
use super::transport::{
    fetch, is_timeout, open, Answer, Request, Response, TransportError, Trouble,
};
use super::urls::Url;
use crate::actions::support::{failure, json_of};
use crate::error::Failure;
use crate::python::{cut, is_true, quoted, repr};

const OPENAI: &str = "https://api.openai.com/v1";
const OLLAMA: &str = "http://localhost:11434/v1";
const MAX_ANSWER: usize = 32 * 1024 * 1024;
const PIECE: usize = 65_536;
/// A date has 29 characters; a longer header than this is not usable.
const RETRY_AFTER: usize = 100;

/// The endpoint of completions.
#[derive(Debug, Clone)]
pub(in crate::actions) struct Endpoint {
    base: String,
    /// The key to send.
    key: Option<String>,
}

/// One call as the flow wrote it.
#[derive(Debug, Clone)]
pub(in crate::actions) struct Chat {
    /// `llm.call` or `llm.stream`; messages begin with it.
    pub action: &'static str,
    /// The conversation, a list.
    pub messages: Snap,
    /// The model's name, or null.
    pub model: Snap,
    /// Further keys of the request's body; null leaves one out.
    pub options: Vec<(Key, Snap)>,
    /// Seconds for the whole call; of a stream, until it begins, and from one event to the next.
    pub timeout: Snap,
    pub traceparent: Option<String>,
}

/// Where an endpoint is, as far as the flow says.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::actions) struct Wanted<'p> {
    pub provider: Option<&'p str>,
    pub base: Option<&'p str>,
    pub key: Option<&'p str>,
}

impl Wanted<'_> {
    /// Returns the endpoint that the parameters and the environment name.
    pub(in crate::actions) fn endpoint(&self) -> Option<Endpoint> {
        let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let own = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let (base, key) = (own(self.base), own(self.key));
        let ollama = given("OLLAMA_API_BASE");
        let is_ollama = self.provider == Some("ollama");
        if is_ollama || (self.provider != Some("openai") && ollama.is_some() && base.is_none()) {
            let base = base.or(ollama).unwrap_or_else(|| OLLAMA.to_owned());
            return Some(Endpoint { base, key });
        }
        let key = key.or_else(|| given("OPENAI_API_KEY"));
        let usual = key.as_ref().map(|_| OPENAI.to_owned());
        let base = base.or_else(|| given("OPENAI_BASE_URL")).or(usual)?;
        Some(Endpoint { base, key })
    }
}

/// Asks for a completion, and returns it as a result, or as a soft failure.
pub(in crate::actions) fn complete(chat: &Chat, endpoint: &Endpoint) -> Result<Snap, Failure> {
    let request = request_of(chat, endpoint, false)?;
    let mut completion = Completion::new(chat.model.clone());
    let done =
        fetch(&request, MAX_ANSWER).and_then(|response| Ok(completed(response, &mut completion)?));
    match done {
        Ok(()) => Ok(completion.result()),
        Err(Trouble::Failure(failure)) => Err(failure),
        Err(Trouble::Transport(error)) => Ok(failed(&error, endpoint)),
    }
}

/// What a stream gave.
#[derive(Debug)]
pub(in crate::actions) struct Streamed {
    /// The result, or a soft failure with the text received before it as `content`.
    pub result: Snap,
    /// How many pieces of text arrived.
    pub pieces: usize,
    /// Milliseconds until the first one.
    pub first_ms: Option<f64>,
}

/// Asks for a completion, and takes its text as it arrives.
pub(in crate::actions) fn stream(chat: &Chat, endpoint: &Endpoint) -> Result<Streamed, Failure> {
    let started = Instant::now();
    let request = request_of(chat, endpoint, true)?;
    let mut completion = Completion::new(chat.model.clone());
    let (mut pieces, mut first_ms) = (0, None);
    let done = receive(&request, &mut completion, || {
        pieces += 1;
        first_ms.get_or_insert_with(|| started.elapsed().as_secs_f64() * 1000.0);
    });
    let result = match done {
        Ok(()) => completion.result(),
        Err(Trouble::Failure(failure)) => return Err(failure),
        Err(Trouble::Transport(error)) => {
            let content = ("content".into(), completion.text().into());
            with(failed(&error, endpoint), [content])
        }
    };
    let about = [
        ("streamed".into(), Snap::Bool(true)),
        ("chunk_count".into(), pieces.into()),
    ];
    Ok(Streamed {
        result: with(result, about),
        pieces,
        first_ms,
    })
}

/// Returns an object with further keys.
fn with<const N: usize>(value: Snap, more: [(Key, Snap); N]) -> Snap {
    match value {
        Snap::Map(pairs) => Snap::map(pairs.into_vec().into_iter().chain(more)),
        other => other,
    }
}

fn request_of(chat: &Chat, endpoint: &Endpoint, is_stream: bool) -> Result<Request, Failure> {
    let (action, base) = (chat.action, &endpoint.base);
    let model = chat.model.as_str().filter(|model| !model.is_empty());
    if model.is_none() {
        let model = repr(&chat.model);
        let told = format!("{action}: model is {model}; give the name of a model of {base}");
        return Err(Failure::action(told));
    }
    let mut body: Vec<(Key, Snap)> = vec![
        ("model".into(), chat.model.clone()),
        ("messages".into(), chat.messages.clone()),
    ];
    if is_stream {
        let usage = Snap::map([("include_usage", Snap::Bool(true))]);
        body.push(("stream".into(), Snap::Bool(true)));
        body.push(("stream_options".into(), usage));
    }
    body.extend(chat.options.iter().cloned());
    let Snap::Map(pairs) = Snap::map(body) else {
        return Err(Failure::action(format!(
            "{action}: the request is not an object"
        )));
    };
    let body = Snap::map(
        pairs
            .into_vec()
            .into_iter()
            .filter(|(_, value)| *value != Snap::Null),
    );
    let accepted = if is_stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let mut headers: Vec<(Key, Snap)> = vec![
        ("content-type".into(), "application/json".into()),
        ("accept".into(), accepted.into()),
    ];
    match &endpoint.key {
        Some(key) => {
            headers.push(("authorization".into(), format!("Bearer {key}").into()));
            if Url::has_parameter(base, "api-version") {
                // Azure reads the key here (https://learn.microsoft.com/azure/ai-services/openai/reference).
                headers.push(("api-key".into(), key.as_str().into()));
            }
        }
        None if base == OPENAI => {
            let told =
                format!("{action}: {OPENAI} needs a key; set OPENAI_API_KEY or give api_key");
            return Err(Failure::action(told));
        }
        None => {}
    }
    Ok(Request {
        action,
        body: Some(json_of(action, "the request", &body)?.into_bytes()),
        url: Url::below(base, "/chat/completions"),
        params: Vec::new(),
        headers,
        timeout: chat.timeout.clone(),
        traceparent: chat.traceparent.clone(),
    })
}

fn parsed(text: &str) -> Result<Snap, String> {
    from_json_of_others(text, MAX_DEPTH).map_err(|error| error.to_string())
}

/// Adds a whole answer to a completion.
fn completed(response: Response, completion: &mut Completion) -> Result<(), TransportError> {
    let taken = match response.json() {
        Ok(answer) => completion.take_whole(&answer),
        Err(problem) => {
            let text = response.text();
            let beginning = match text.trim() {
                "" => String::new(),
                text => format!("; it begins with {}", quoted(&shown(&text.into(), None))),
            };
            let told = format!("{} sent invalid JSON: {problem}{beginning}", response.url);
            Err(TransportError::new(told, "parse"))
        }
    };
    taken.map_err(|mut error| {
        error.response = Some(Box::new(response));
        error
    })
}

/// Returns the soft failure for an error, with its HTTP status or the one that the answer itself names.
fn failed(error: &TransportError, endpoint: &Endpoint) -> Snap {
    let key = endpoint.key.as_deref();
    let bad = error
        .response
        .as_ref()
        .filter(|response| response.status >= 400);
    let status = error.status.or(bad.map(|response| response.status));
    let mut facts: Vec<(&str, Snap)> = Vec::new();
    facts.extend(status.map(|status| ("status_code", Snap::from(status))));
    let header = error
        .response
        .as_ref()
        .and_then(|response| response.header("retry-after"));
    let wait = header.and_then(retry_after);
    facts.extend(wait.map(|seconds| ("retry_after", Snap::Float(seconds))));
    let text = without(&error.message, key);
    let text = match bad
        .map(|response| detail(response, key))
        .unwrap_or_default()
    {
        detail if detail.is_empty() => text,
        detail => format!("{text}: {detail}"),
    };
    failure(&text, kind_of(status, error.kind), facts)
}

/// Returns the message in the body of an error, or else the beginning of the body.
fn detail(response: &Response, key: Option<&str>) -> String {
    match response.json() {
        Ok(body) if is_true(&body) => shown(&body, key),
        Ok(_) => String::new(),
        Err(_) => shown(&response.text().trim().into(), key),
    }
}

/// Returns the seconds that a `Retry-After` header asks for: a number, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str) -> Option<f64> {
    if value.len() > RETRY_AFTER {
        return None;
    }
    if let Ok(seconds) = value.trim().parse::<f64>() {
        return seconds.is_finite().then(|| seconds.max(0.0));
    }
    let mut words = value.split_once(", ")?.1.split_whitespace();
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|name| *name == month)? + 1;
    let date = format!("{year}-{month:02}-{day:0>2}T{time}Z");
    let now = now();
    let seconds = parse_time(&date.into(), now, "retry-after").ok()?;
    Some((seconds - now).max(0.0))
}

/// Receives a stream into a completion, and tells of each piece of text.
fn receive(
    request: &Request,
    completion: &mut Completion,
    mut arrived: impl FnMut(),
) -> Result<(), Trouble> {
    let mut answer = open(request, true)?;
    if answer.media_type() == "application/json" {
        // A gateway that cannot stream sends the whole answer.
        completed(answer.read(MAX_ANSWER)?, completion)?;
        if !completion.text().is_empty() {
            arrived();
        }
        return Ok(());
    }
    let mut events = EventStream::default();
    let is_done = take_events(&mut answer, &mut events, completion, &mut arrived)?;
    if completion.says_something() {
        if !is_done && !completion.is_finished() {
            let told = format!("the stream from {} broke off", answer.url);
            return Err(TransportError::new(told, "connection").into());
        }
        return Ok(());
    }
    without_events(completion, &answer.url, events.stray())?;
    if !completion.text().is_empty() {
        arrived();
    }
    Ok(())
}

/// Takes the events of an answer; returns whether it says that it is done.
fn take_events(
    answer: &mut Answer,
    events: &mut EventStream,
    completion: &mut Completion,
    arrived: &mut impl FnMut(),
) -> Result<bool, Trouble> {
    let mut buffer = vec![0; PIECE];
    let mut last = Instant::now();
    loop {
        let count = answer
            .read_piece(&mut buffer)
            .map_err(|error| broken(answer, &error))?;
        let too_large = |told: String| TransportError::new(told, "connection");
        let found = match count {
            0 => events.finish().into_iter().collect(),
            count => events.take(&buffer[..count]).map_err(too_large)?,
        };
        // Only events extend the time, not comments.
        if !found.is_empty() {
            last = Instant::now();
        } else if count > 0 && last.elapsed() > answer.limit {
            return Err(late(answer).into());
        }
        for event in found {
            if event.data.trim() == "[DONE]" {
                return Ok(true);
            }
            if event.data.trim().is_empty() {
                continue;
            }
            if !completion
                .take_chunk(&chunk_of(&event)?, &event.name)?
                .is_empty()
            {
                arrived();
            }
        }
        if count == 0 {
            return Ok(false);
        }
    }
}

fn broken(answer: &Answer, error: &std::io::Error) -> TransportError {
    if is_timeout(error) {
        return late(answer);
    }
    let reason = the_edge_obs::files::reason_of(error);
    TransportError::new(
        format!("the stream from {} broke off: {reason}", answer.url),
        "connection",
    )
}

fn late(answer: &Answer) -> TransportError {
    let told = format!("no event from {} within {} s", answer.url, answer.seconds);
    TransportError::new(told, "timeout")
}

fn chunk_of(event: &Event) -> Result<Snap, TransportError> {
    match parsed(&event.data) {
        Ok(chunk) => Ok(chunk),
        Err(_) if event.name == "error" => Ok(event.data.as_str().into()),
        Err(_) => {
            let said = quoted(&cut(&shown(&event.data.as_str().into(), None), 200));
            Err(TransportError::new(
                format!("the stream holds an invalid chunk: {said}"),
                "parse",
            ))
        }
    }
}

/// Takes a whole answer of another content type that came instead of events.
fn without_events(
    completion: &mut Completion,
    url: &str,
    stray: &str,
) -> Result<(), TransportError> {
    if stray.is_empty() {
        let told = format!("the stream from {url} ended without an answer");
        return Err(TransportError::new(told, "api_error"));
    }
    match parsed(stray) {
        Ok(answer) => completion.take_whole(&answer),
        Err(_) => {
            let said = quoted(&shown(&stray.into(), None));
            let told = format!("{url} did not send a stream of events; it begins with {said}");
            Err(TransportError::new(told, "parse"))
        }
    }
}
