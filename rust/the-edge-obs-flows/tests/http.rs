//! The actions `http.get` and `http.post`, against a real server.
#![cfg(feature = "http")]

mod called;
mod served;

use std::io::Write;
use std::time::{Duration, Instant};

use called::{call, refusal};
use served::{ok, said, Server};
use the_edge_obs::Snap;
use tracing_subscriber::prelude::*;

fn get(url: &str, more: &str) -> Snap {
    call("http.get", &format!(r#"{{"url": "{url}"{more}}}"#)).unwrap()
}

fn text<'s>(result: &'s Snap, key: &str) -> &'s str {
    result
        .get(key)
        .and_then(Snap::as_str)
        .unwrap_or_else(|| panic!("no {key} in {}", result.to_json()))
}

#[test]
fn answers_are_objects() {
    let server = Server::saying(|asked| match &*asked.what {
        "GET /json?a=1&b=x+y&b=2" => ok(
            "application/json; charset=utf-8",
            r#"{"n": 12345678901234567890}"#,
        ),
        "GET /empty" => ok("application/problem+json", " "),
        "GET /latin" => said(
            "200 OK",
            "Content-Type: text/plain; charset=ISO-8859-1\r\nX-A: 1\r\nX-A: 2\r\n",
            "é",
        ),
        _ => ok("text/plain", "hello"),
    });
    // Outside an observed flow there is no span to tell.
    let layer = the_edge_obs::FlowLayer::new();
    let observed = tracing_subscriber::registry().with(layer);
    let _guard = tracing::subscriber::set_default(observed);
    let result = get(
        &format!("{}/json?a=1", server.url),
        r#", "params": {"b": ["x y", 2], "c": null}, "headers": {"X-Key": 5}"#,
    );
    let expected = format!(
        r#"{{"success":true,"status":200,"headers":{{"content-length":"27","connection":"close","content-type":"application/json; charset=utf-8"}},"body":{{"n":"12345678901234567890"}},"url":"{}/json?a=1&b=x+y&b=2"}}"#,
        server.url
    );
    assert_eq!(result.to_json(), expected);
    assert_eq!(
        get(&format!("{}/empty", server.url), "").get("body"),
        Some(&Snap::Null)
    );
    let latin = get(&format!("{}/latin", server.url), "");
    assert_eq!(text(&latin, "body"), "Ã©");
    assert_eq!(text(latin.get("headers").unwrap(), "x-a"), "1, 2");
    let asked = &server.asked()[0];
    assert_eq!(asked.header("x-key"), Some("5"));
    assert_eq!(
        asked.header("user-agent"),
        Some(concat!("the_edge_obs/", env!("CARGO_PKG_VERSION")))
    );
    let parts: Vec<&str> = asked.header("traceparent").unwrap().split('-').collect();
    assert_eq!(
        (parts[0], parts[1].len(), parts[2].len(), parts[3]),
        ("00", 32, 16, "01")
    );
}

#[test]
fn bodies_are_sent() {
    let server = Server::saying(|asked| ok("text/plain", &asked.body));
    let post = |more: &str| {
        let result = call(
            "http.post",
            &format!(r#"{{"url": "{}"{more}}}"#, server.url),
        )
        .unwrap();
        text(&result, "body").to_owned()
    };
    assert_eq!(
        post(r#", "json": {"a": [1, "é", 12345678901234567890123]}"#),
        r#"{"a": [1, "é", 12345678901234567890123]}"#
    );
    assert_eq!(post(r#", "body": "plain""#), "plain");
    assert_eq!(
        post(r#", "body": "<x/>", "headers": {"content-type": "text/xml"}"#),
        "<x/>"
    );
    assert_eq!(post(""), "");
    let kinds: Vec<_> = server
        .asked()
        .iter()
        .map(|asked| asked.header("content-type").map(str::to_owned))
        .collect();
    let kinds: Vec<_> = kinds.iter().map(Option::as_deref).collect();
    let expected = [
        Some("application/json"),
        Some("text/plain; charset=utf-8"),
        Some("text/xml"),
        None,
    ];
    assert_eq!(kinds, expected);
    assert!(server.asked().iter().all(|asked| asked.what == "POST /"));
}

#[test]
fn redirects_keep_secrets_at_home() {
    let other = Server::saying(|_| ok("text/plain", "there"));
    let target = other.url.clone();
    let server = Server::saying(move |asked| match &*asked.what {
        "GET /a" => said("302 Found", "Location: b?c=1\r\n", ""),
        "GET /b?c=1" => said(
            "307 Temporary Redirect",
            &format!("Location: {target}/x\r\n"),
            "",
        ),
        "POST /see" => said("303 See Other", "Location: /done\r\n", ""),
        "POST /again" => said("308 Permanent Redirect", "Location: /done\r\n", ""),
        "GET /file" => said("302 Found", "Location: file:///etc/passwd\r\n", ""),
        "GET /round" => said("302 Found", "Location: /round\r\n", ""),
        _ => ok("text/plain", "done"),
    });
    let result = get(
        &format!("{}/a", server.url),
        r#", "headers": {"X-Token": "secret", "Accept": "text/plain"}"#,
    );
    assert_eq!(
        (text(&result, "body"), text(&result, "url")),
        ("there", &*format!("{}/x", other.url))
    );
    assert_eq!(server.asked()[1].header("x-token"), Some("secret"));
    let there = &other.asked()[0];
    assert_eq!(
        (there.header("x-token"), there.header("accept")),
        (None, Some("text/plain"))
    );

    let see = call(
        "http.post",
        &format!(r#"{{"url": "{}/see", "json": {{}}}}"#, server.url),
    )
    .unwrap();
    assert_eq!(text(&see, "body"), "done");
    let done = server
        .asked()
        .into_iter()
        .find(|asked| asked.what == "GET /done")
        .unwrap();
    assert_eq!(done.header("content-type"), None);
    let again = call(
        "http.post",
        &format!(r#"{{"url": "{}/again", "json": {{}}}}"#, server.url),
    )
    .unwrap();
    assert_eq!(
        text(&again, "error"),
        format!("HTTP 308 Permanent Redirect from {}/again", server.url)
    );
    let file = get(&format!("{}/file", server.url), "");
    assert!(text(&file, "error").contains(
        "/file redirects to a URL that is not allowed: url 'file:///etc/passwd' is not an http"
    ));
    let round = get(&format!("{}/round", server.url), "");
    assert_eq!(
        text(&round, "error"),
        format!(
            "more than 20 redirects, the last one to {}/round",
            server.url
        )
    );
}

#[test]
fn failures_are_soft() {
    let server = Server::new(|asked, stream| {
        let answer = match &*asked.what {
            "GET /missing" => said(
                "404 Not Found",
                "Content-Type: application/json\r\n",
                r#"{"detail": "no"}"#,
            ),
            "GET /bad" => ok("application/json", "{"),
            "GET /large" => ok("text/plain", "0123456789"),
            "GET /short" => {
                ok("text/plain", "0123456789").replace("Content-Length: 10", "Content-Length: 20")
            }
            _ => {
                for _ in 0..60 {
                    std::thread::sleep(Duration::from_millis(50));
                    if stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_err() {
                        return;
                    }
                }
                return;
            }
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let at = |path: &str| format!("{}{path}", server.url);
    let soft = |path: &str, more: &str, error: String, kind: &str| {
        let result = get(&at(path), more);
        assert_eq!(
            (text(&result, "error"), text(&result, "error_type")),
            (&*error, kind)
        );
        assert_eq!(result.get("success"), Some(&Snap::Bool(false)));
        result
    };
    let missing = soft(
        "/missing",
        "",
        format!("HTTP 404 Not Found from {}", at("/missing")),
        "http_error",
    );
    assert_eq!(missing.get("status"), Some(&Snap::Int(404)));
    assert_eq!(missing.get("body").unwrap().to_json(), r#"{"detail":"no"}"#);
    let bad = get(&at("/bad"), "");
    assert!(text(&bad, "error").starts_with(&format!("{} sent invalid JSON: ", at("/bad"))));
    assert_eq!(
        (text(&bad, "error_type"), text(&bad, "body")),
        ("parse", "{")
    );
    let large = format!(
        "{} sent more than 9 bytes; raise max_bytes to accept more",
        at("/large")
    );
    soft("/large", r#", "max_bytes": 9"#, large, "too_large");
    assert_eq!(
        text(&get(&at("/large"), r#", "max_bytes": 10"#), "body"),
        "0123456789"
    );
    soft(
        "/short",
        "",
        "the connection broke off after 10 bytes".to_owned(),
        "connection",
    );
    let started = Instant::now();
    soft(
        "/slow",
        r#", "timeout": 0.3"#,
        format!("no answer from {} within 0.3 s", at("/slow")),
        "timeout",
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    let closed = "http://127.0.0.1:1/";
    let refused = get(closed, "");
    assert!(
        text(&refused, "error")
            .starts_with("no answer from http://127.0.0.1:1/: connection refused"),
        "{}",
        refused.to_json()
    );
    assert_eq!(text(&refused, "error_type"), "connection");
}

#[test]
fn wrong_parameters_are_refused() {
    let cases = [
        (r#"{"url": "ftp://h/"}"#, "http.get: url 'ftp://h/' is not an http or https URL with a host; allowed: http://..., https://..."),
        (r#"{"url": "http://h/", "headers": {"a b": "c"}}"#, "http.get: header 'a b' has an invalid name, or a value with a line break or non-Latin-1 characters"),
        (r#"{"url": "http://h/", "headers": {"a": "b\r\nc: d"}}"#, "http.get: header 'a' has an invalid name, or a value with a line break or non-Latin-1 characters"),
    ];
    for (params, error) in cases {
        assert_eq!(refusal("http.get", params), error);
    }
    assert!(refusal("http.get", r#"{"url": "http://h/", "timeout": 0}"#)
        .contains("timeout is 0; it must be a number above 0"));
    assert_eq!(
        refusal(
            "http.post",
            r#"{"url": "http://h/", "json": 1, "body": "a"}"#
        ),
        "http.post: json and body are both given; give one"
    );
}

#[test]
fn an_interrupted_run_does_not_wait() {
    use the_edge_obs_flows::{Actions, Flow, Stop};
    let server = Server::new(|_, _| std::thread::sleep(Duration::from_secs(20)));
    let flow = format!(
        "nodes: [{{uses: http.get, with: {{url: '{}'}}}}]",
        server.url
    );
    let flow = Flow::parse(&flow, Actions::builtin()).unwrap();
    let (stop, started) = (Stop::new(), Instant::now());
    let other = stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        other.stop();
    });
    assert!(flow
        .run_until(Snap::Null, &stop)
        .unwrap_err()
        .is_cancelled());
    assert!(started.elapsed() < Duration::from_secs(5));
}
