//! The requests that are sent: the first one, and those that redirects ask for.

use std::time::Duration;

use the_edge_obs::value::Key;
use the_edge_obs::Snap;
use ureq::http::{HeaderName, HeaderValue, Method};
use ureq::{Agent, Body};

use super::transport::{Request, Response, TransportError, Trouble};
use super::urls::Url;
use crate::error::Failure;
use crate::python::{quoted, repr};

/// Headers that are sent to another origin. A list of those that are allowed, because secrets have any name.
const PUBLIC_HEADERS: [&str; 6] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "traceparent",
    "tracestate",
    "user-agent",
];
/// Headers that describe a body; dropped with it when a redirect turns a POST into a GET (RFC 9110, section 15.4).
const BODY_HEADERS: [&str; 6] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
    "transfer-encoding",
];
const USER_AGENT: &str = concat!("the_edge_obs/", env!("CARGO_PKG_VERSION"));

/// One request of a chain of redirects.
pub(super) struct Hop {
    pub url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Vec<u8>>,
}

/// Returns the first request.
pub(super) fn first_hop(request: &Request) -> Result<Hop, Failure> {
    let url = Url::checked(request.action, &request.url, &request.params)?;
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let usual = [
        ("user-agent", USER_AGENT.into()),
        ("accept", Snap::from("*/*")),
    ];
    let usual = usual.map(|(name, value)| (Key::named(name), value));
    for (name, value) in usual.iter().chain(&request.headers) {
        if *value == Snap::Null {
            continue;
        }
        let (name, value) = header(name, value).ok_or_else(|| {
            let name = quoted(name);
            let told =
                "has an invalid name, or a value with a line break or non-Latin-1 characters";
            Failure::action(format!("{}: header {name} {told}", request.action))
        })?;
        headers.retain(|(own, _)| *own != name);
        headers.push((name, value));
    }
    if let Some(own) = &request.traceparent {
        if !headers.iter().any(|(name, _)| name == "traceparent") {
            headers.extend(header("traceparent", &Snap::from(&**own)));
        }
    }
    let body = request.body.clone();
    Ok(Hop { url, headers, body })
}

fn header(name: &str, value: &Snap) -> Option<(HeaderName, HeaderValue)> {
    let text = value.as_str().map_or_else(|| repr(value), str::to_owned);
    let bytes: Option<Vec<u8>> = text
        .chars()
        .map(|char| u8::try_from(char as u32).ok())
        .collect();
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(&bytes?).ok()?))
}

/// Sends a request. Of a stream each piece of the body has a time of its own.
pub(super) fn send(
    hop: &Hop,
    left: Duration,
    per_piece: Option<Duration>,
) -> Result<ureq::http::Response<Body>, ureq::Error> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0);
    let config = match per_piece {
        None => config.timeout_global(Some(left)),
        Some(limit) => config
            .timeout_resolve(Some(left))
            .timeout_connect(Some(left))
            .timeout_send_request(Some(left))
            .timeout_send_body(Some(left))
            .timeout_recv_response(Some(left))
            .timeout_per_read(Some(limit)),
    };
    let agent: Agent = config.build().into();
    let method = if hop.body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(hop.url.to_string());
    for (name, value) in &hop.headers {
        request = request.header(name, value);
    }
    match &hop.body {
        Some(body) => agent.run(request.body(body)?),
        None => agent.run(request.body(())?),
    }
}

/// Returns the request that an answer redirects to; `None` for an answer that is not a redirect to follow.
pub(super) fn redirected(
    action: &str,
    hop: &Hop,
    answer: &Response,
) -> Result<Option<Hop>, Trouble> {
    let Some(location) = answer.header("location") else {
        return Ok(None);
    };
    let is_post = hop.body.is_some();
    // 307 and 308 ask for the same POST elsewhere, which is the flow's decision.
    let is_followed = match answer.status {
        301..=303 => true,
        307 | 308 => !is_post,
        _ => false,
    };
    if !is_followed {
        return Ok(None);
    }
    let url = Url::checked(action, &hop.url.joined(location), &[]).map_err(|error| {
        let problem = error.message.replacen(&format!("{action}: "), "", 1);
        let told = format!(
            "{} redirects to a URL that is not allowed: {problem}",
            hop.url
        );
        TransportError::new(told, "http_error")
    })?;
    let is_same = url.origin() == hop.url.origin();
    let mut headers = hop.headers.clone();
    headers.retain(|(name, _)| {
        let name = name.as_str();
        !(is_post && BODY_HEADERS.contains(&name)) && (is_same || PUBLIC_HEADERS.contains(&name))
    });
    Ok(Some(Hop {
        url,
        headers,
        body: None,
    }))
}
