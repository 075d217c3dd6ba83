//! Requests and their answers.
//!
//! Only http and https are opened, also by redirects. A redirect to another origin keeps only a few harmless headers. A body is read up
//! to a cap. One deadline covers the whole call. A request inside a flow carries its `traceparent`. Every failure outside of this
//! process is a [`TransportError`], which can be turned into a soft failure; only bad parameters are a [`Failure`].

use std::io::{self, Read};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use the_edge_obs::traceparent::traceparent;
use the_edge_obs::value::{from_json_of_others, Key, MAX_DEPTH};
use the_edge_obs::Snap;
use ureq::{Body, BodyReader};

use super::hops::{first_hop, redirected, send};
use crate::actions::support::{failure, positive};
use crate::error::Failure;
use crate::python::repr;
use crate::runner::Context;

/// How many bytes of an error's body are kept for its explanation.
const ERROR_BODY: usize = 65_536;
/// The limit of browsers (<https://fetch.spec.whatwg.org/#http-redirect-fetch>).
const MAX_REDIRECTS: usize = 20;
/// The longest time of a call, where the given one is longer.
const LONGEST: Duration = Duration::from_secs(2_000_000);
/// How often a waiting call looks whether the run is interrupted.
const LOOK: Duration = Duration::from_millis(50);

/// Why a request has no usable answer.
#[derive(Debug)]
pub(in crate::actions) enum Trouble {
    /// The request itself is not valid.
    Failure(Failure),
    /// It failed.
    Transport(Box<TransportError>),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Failure(failure)
    }
}

impl From<TransportError> for Trouble {
    fn from(error: TransportError) -> Self {
        Trouble::Transport(Box::new(error))
    }
}

/// A request without a usable answer.
#[derive(Debug)]
pub(in crate::actions) struct TransportError {
    /// What went wrong, for people.
    pub message: String,
    /// The kind of failure: `timeout`, `connection`, `http_error`, or a caller's own.
    pub kind: &'static str,
    /// The HTTP status that the error stands for, where it is another than that of the answer.
    pub status: Option<u16>,
    /// The answer, if one came.
    pub response: Option<Box<Response>>,
}

impl TransportError {
    pub(in crate::actions) fn new(message: String, kind: &'static str) -> TransportError {
        TransportError {
            message,
            kind,
            status: None,
            response: None,
        }
    }

    /// Returns this error as a soft failure.
    pub(in crate::actions) fn to_result(&self, facts: Vec<(&str, Snap)>) -> Snap {
        failure(&self.message, self.kind, facts)
    }
}

/// A request.
#[derive(Debug)]
pub(in crate::actions) struct Request {
    /// The action that makes it; messages begin with it.
    pub action: &'static str,
    /// Whether it is a POST, with this body.
    pub body: Option<Vec<u8>>,
    /// An http or https URL.
    pub url: String,
    /// Query parameters, added to those in the URL.
    pub params: Vec<(Key, Snap)>,
    /// Header names and values; null is left out.
    pub headers: Vec<(Key, Snap)>,
    /// Seconds, a number.
    pub timeout: Snap,
    /// The header of the running span.
    pub traceparent: Option<String>,
}

/// Returns the header of the running span; `None` outside a flow.
pub(in crate::actions) fn running_span() -> Option<String> {
    let span = the_edge_obs::current()?;
    Some(traceparent(span.flow_id, span.span_id.number(), 1))
}

/// An answer: the URL after redirects, the status, headers with lowercase names, the body up to its cap.
#[derive(Debug)]
pub(in crate::actions) struct Response {
    pub url: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether there is more of the body.
    pub is_cut: bool,
}

impl Response {
    /// Returns an answer whose body is not known.
    fn empty(url: String, status: u16, headers: Vec<(String, String)>) -> Response {
        Response {
            url,
            status,
            headers,
            body: Vec::new(),
            is_cut: true,
        }
    }

    /// Returns the value of the body, which is JSON.
    pub(in crate::actions) fn json(&self) -> Result<Snap, String> {
        let text = std::str::from_utf8(&self.body).map_err(|error| error.to_string())?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        from_json_of_others(text, MAX_DEPTH).map_err(|error| error.to_string())
    }

    /// Returns a header; several of one name are joined.
    pub(in crate::actions) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| &**value)
    }

    /// Returns the content type in lowercase, without its parameters.
    pub(in crate::actions) fn media_type(&self) -> String {
        let all = self.header("content-type").unwrap_or_default();
        all.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    }

    /// Returns the body as text: of ISO 8859-1 if its content type says so, and otherwise of UTF-8, in which invalid bytes become U+FFFD.
    pub(in crate::actions) fn text(&self) -> String {
        let kind = self
            .header("content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let named = kind.split("charset=").nth(1).unwrap_or_default();
        let named = named.trim_start_matches(['"', '\'']);
        if ["iso-8859-1", "latin1", "latin-1", "us-ascii"]
            .iter()
            .any(|name| named.starts_with(name))
        {
            return self.body.iter().copied().map(char::from).collect();
        }
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the headers as an object.
    pub(in crate::actions) fn headers_as_snap(&self) -> Snap {
        Snap::map(
            self.headers
                .iter()
                .map(|(name, value)| (&**name, Snap::from(&**value))),
        )
    }
}

/// An answer whose body is not read yet.
pub(in crate::actions) struct Answer {
    /// The URL after redirects.
    pub url: String,
    /// The seconds of the call, as given.
    pub seconds: String,
    /// The same as a duration.
    pub limit: Duration,
    response: Response,
    body: BodyReader<'static>,
}

impl Answer {
    /// Returns the content type in lowercase, without its parameters.
    pub(in crate::actions) fn media_type(&self) -> String {
        self.response.media_type()
    }

    /// Reads the next bytes of the body; none at its end.
    pub(in crate::actions) fn read_piece(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        self.body.read(piece)
    }

    /// Reads the body, up to a number of bytes.
    pub(in crate::actions) fn read(mut self, most: usize) -> Result<Response, TransportError> {
        let mut body = Vec::new();
        let cap = (most as u64).saturating_add(1);
        if let Err(error) = (&mut self.body).take(cap).read_to_end(&mut body) {
            let seconds = &self.seconds;
            let (told, kind) = if is_timeout(&error) {
                (
                    format!("the body did not end within {seconds} s"),
                    "timeout",
                )
            } else {
                let count = body.len();
                (
                    format!("the connection broke off after {count} bytes"),
                    "connection",
                )
            };
            return Err(TransportError::new(told, kind));
        }
        self.response.is_cut = body.len() > most;
        body.truncate(most);
        self.response.body = body;
        Ok(self.response)
    }
}

/// Tells whether an error of reading is one of time.
pub(in crate::actions) fn is_timeout(error: &io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ureq::Error>());
    matches!(inner, Some(ureq::Error::Timeout(_)))
        || matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
        )
}

/// Does work that waits for others on a thread of its own, so that an interrupted run does not wait for it.
pub(in crate::actions) fn interruptible<T: Send + 'static>(
    context: &Context<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(work()); // nobody is there any more if the run was interrupted
    });
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Timeout) => context.stop().wait(0.0)?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new("panic", "the thread of the request panicked"))
            }
        }
    }
}

/// Sends a request, and reads its answer, up to a number of bytes.
pub(in crate::actions) fn fetch(request: &Request, most: usize) -> Result<Response, Trouble> {
    Ok(open(request, false)?.read(most)?)
}

/// Sends a request, follows its redirects, and returns the answer with its body unread.
///
/// The time of a stream counts until it begins, and then from one piece of its body to the next.
pub(in crate::actions) fn open(request: &Request, is_stream: bool) -> Result<Answer, Trouble> {
    let seconds = positive(request.action, "timeout", &request.timeout)?;
    let limit = Duration::try_from_secs_f64(seconds).map_or(LONGEST, |limit| limit.min(LONGEST));
    let end = Instant::now() + limit;
    let mut hop = first_hop(request)?;
    let mut last = None;
    for _ in 0..=MAX_REDIRECTS {
        let left = end.saturating_duration_since(Instant::now());
        let sent = send(
            &hop,
            left.max(Duration::from_millis(1)),
            is_stream.then_some(limit),
        );
        let answer = sent.map_err(|error| network_error(&error, request))?;
        let (head, body) = answer.into_parts();
        let response = Response {
            url: hop.url.to_string(),
            status: head.status.as_u16(),
            headers: headers_of(&head.headers),
            body: Vec::new(),
            is_cut: false,
        };
        match redirected(request.action, &hop, &response)? {
            // The body of a redirect is not read: it could be endless.
            Some(next) => {
                let (url, status) = (response.url, response.status);
                last = Some(Box::new(Response::empty(url, status, Vec::new())));
                hop = next;
            }
            None => {
                let reason = head.status.canonical_reason().unwrap_or_default();
                return answer_of(request, response, body, reason, limit);
            }
        }
    }
    let told = format!(
        "more than {MAX_REDIRECTS} redirects, the last one to {}",
        hop.url
    );
    let mut error = TransportError::new(told, "http_error");
    error.response = last;
    Err(error.into())
}

fn answer_of(
    request: &Request,
    response: Response,
    body: Body,
    reason: &str,
    limit: Duration,
) -> Result<Answer, Trouble> {
    let status = response.status;
    let answer = Answer {
        url: response.url.clone(),
        seconds: repr(&request.timeout),
        limit,
        response,
        body: body.into_with_config().limit(u64::MAX).reader(),
    };
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    let told = format!("HTTP {status} {reason} from {}", answer.url).replace("  ", " ");
    let (url, headers) = (answer.url.clone(), answer.response.headers.clone());
    let read = answer.read(ERROR_BODY);
    // The status alone is enough.
    let response = read.unwrap_or_else(|_| Response::empty(url, status, headers));
    let mut error = TransportError::new(told, "http_error");
    error.response = Some(Box::new(response));
    Err(error.into())
}

fn headers_of(headers: &ureq::http::HeaderMap) -> Vec<(String, String)> {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (name, value) in headers {
        let text: String = value.as_bytes().iter().copied().map(char::from).collect();
        match joined.iter_mut().find(|(own, _)| own == name.as_str()) {
            Some((_, own)) => *own = format!("{own}, {text}"),
            None => joined.push((name.as_str().to_owned(), text)),
        }
    }
    joined
}

fn network_error(error: &ureq::Error, request: &Request) -> TransportError {
    let url = &request.url;
    let is_late = match error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(error) => is_timeout(error),
        _ => false,
    };
    if is_late {
        let seconds = repr(&request.timeout);
        let told = format!("no answer from {url} within {seconds} s");
        return TransportError::new(told, "timeout");
    }
    let reason = match error {
        ureq::Error::Io(error) => the_edge_obs::files::reason_of(error),
        other => other.to_string(),
    };
    TransportError::new(format!("no answer from {url}: {reason}"), "connection")
}
