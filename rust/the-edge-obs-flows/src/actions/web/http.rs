//! `http.get` and `http.post`: one request, its answer as an object.

use the_edge_obs::value::Key;
use the_edge_obs::Snap;

use super::transport::{fetch, interruptible, running_span, Request, Response, Trouble};
use crate::actions::support::{count_of, failure, json_of, mapping_of, missing, param, positive};
use crate::actions::{Action, Signature};
use crate::error::Failure;
use crate::python::repr;
use crate::runner::Context;

const TIMEOUT: f64 = 30.0;
const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// `http.get`: an HTTP GET request.
///
/// Inside a flow the request carries a W3C `traceparent` header. Redirects are followed; credentials do not follow them to another
/// origin. Soft failures have the kinds `http_error` (a status that is not 2xx; then with status, headers and body too), `timeout`,
/// `connection`, `too_large` and `parse` (a JSON content type, but invalid JSON).
pub(in crate::actions) struct Get;

/// `http.post`: an HTTP POST request, with a value as JSON, or a text.
pub(in crate::actions) struct Post;

impl Action for Get {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        exchange("http.get", params, None, None, context)
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["url", "params", "headers", "timeout", "max_bytes"]),
            required: &["url"],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        check("http.get", param, value)
    }
}

impl Action for Post {
    fn call(&self, params: &Snap, context: &Context<'_>) -> Result<Snap, Failure> {
        let action = "http.post";
        let (body, kind) = match (param(params, "json"), param(params, "body")) {
            (Some(_), Some(_)) => {
                let told = "json and body are both given; give one";
                return Err(Failure::action(format!("{action}: {told}")));
            }
            (Some(value), None) => {
                let json = json_of(action, "json", value)?;
                (json.into_bytes(), Some("application/json"))
            }
            (None, Some(body)) => {
                let text = body.as_str().ok_or_else(|| {
                    let shown = repr(body);
                    let told = "it must be text; use json for other values";
                    Failure::action(format!("{action}: body is {shown}; {told}"))
                })?;
                (text.as_bytes().to_vec(), Some("text/plain; charset=utf-8"))
            }
            (None, None) => (Vec::new(), None),
        };
        exchange(action, params, Some(body), kind, context)
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&[
                "url",
                "json",
                "body",
                "params",
                "headers",
                "timeout",
                "max_bytes",
            ]),
            required: &["url"],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        check("http.post", param, value)
    }
}

fn check(action: &str, param: &str, value: &Snap) -> Result<(), Failure> {
    match param {
        "timeout" => positive(action, param, value).map(drop),
        "max_bytes" => count_of(action, param, value).map(drop),
        "params" | "headers" if *value != Snap::Null => mapping_of(action, param, value).map(drop),
        _ => Ok(()),
    }
}

fn exchange(
    action: &'static str,
    params: &Snap,
    body: Option<Vec<u8>>,
    kind: Option<&str>,
    context: &Context<'_>,
) -> Result<Snap, Failure> {
    let url = params.get("url").ok_or_else(|| missing(action, "url"))?;
    let pairs = |name: &str| match param(params, name) {
        Some(value) => mapping_of(action, name, value).map(<[_]>::to_vec),
        None => Ok(Vec::new()),
    };
    let limit = match param(params, "max_bytes") {
        Some(value) => count_of(action, "max_bytes", value)?,
        None => MAX_BYTES,
    };
    let mut headers = pairs("headers")?;
    let is_kind = |(name, _): &(Key, Snap)| name.trim().eq_ignore_ascii_case("content-type");
    if let Some(kind) = kind.filter(|_| !headers.iter().any(is_kind)) {
        headers.push(("Content-Type".into(), kind.into()));
    }
    let request = Request {
        action,
        body,
        url: url.as_str().map_or_else(|| repr(url), str::to_owned),
        params: pairs("params")?,
        headers,
        timeout: param(params, "timeout")
            .cloned()
            .unwrap_or(Snap::Float(TIMEOUT)),
        traceparent: running_span(),
    };
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    match interruptible(context, move || fetch(&request, most))? {
        Ok(response) => Ok(result_of(&response, limit)),
        Err(Trouble::Failure(failure)) => Err(failure),
        Err(Trouble::Transport(error)) => Ok(match &error.response {
            None => error.to_result(Vec::new()),
            Some(answer) => error.to_result(vec![
                ("status", answer.status.into()),
                ("headers", answer.headers_as_snap()),
                (
                    "body",
                    body_of(answer).unwrap_or_else(|_| answer.text().into()),
                ),
                ("url", answer.url.as_str().into()),
            ]),
        }),
    }
}

fn result_of(response: &Response, limit: u64) -> Snap {
    let url = &response.url;
    let mut facts = vec![
        ("status", response.status.into()),
        ("headers", response.headers_as_snap()),
        ("url", Snap::from(&**url)),
    ];
    if response.is_cut {
        let told = format!("{url} sent more than {limit} bytes; raise max_bytes to accept more");
        return failure(&told, "too_large", facts);
    }
    match body_of(response) {
        Ok(body) => {
            facts.insert(0, ("success", Snap::Bool(true)));
            facts.insert(3, ("body", body));
            Snap::map(facts)
        }
        Err(problem) => {
            facts.push(("body", response.text().into()));
            failure(
                &format!("{url} sent invalid JSON: {problem}"),
                "parse",
                facts,
            )
        }
    }
}

/// Returns the body: of a JSON content type its value, and null for an empty one; otherwise its text.
fn body_of(response: &Response) -> Result<Snap, String> {
    let kind = response.media_type();
    if kind != "application/json" && !kind.ends_with("+json") {
        return Ok(response.text().into());
    }
    if response.body.trim_ascii().is_empty() {
        return Ok(Snap::Null);
    }
    response.json()
}
