//! `llm.call` and `llm.stream` with an endpoint: a real server that speaks OpenAI's protocol.
#![cfg(feature = "http")]

mod called;
mod served;

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use called::{call, refusal};
use served::{ok, said, Server};
use the_edge_obs::value::from_json;
use the_edge_obs::Snap;

const JSON: &str = "application/json";

fn ask(server: &Server, more: &str) -> Snap {
    let params = format!(
        r#"{{"base_url": "{}/v1", "api_key": "sk-secret-1", "model": "m", "prompt": "Hi"{more}}}"#,
        server.url
    );
    call("llm.call", &params).unwrap()
}

fn stream(server: &Server, more: &str) -> Snap {
    let params = format!(
        r#"{{"base_url": "{}/v1", "model": "m", "prompt": "Hi"{more}}}"#,
        server.url
    );
    call("llm.stream", &params).unwrap()
}

fn text<'s>(result: &'s Snap, key: &str) -> &'s str {
    result
        .get(key)
        .and_then(Snap::as_str)
        .unwrap_or_else(|| panic!("no {key} in {}", result.to_json()))
}

const WHOLE: &str = r#"{"model": "m-1", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}"#;

#[test]
fn an_answer_is_asked_for() {
    let server = Server::saying(|_| ok(JSON, WHOLE));
    let more = r#", "system": "Be kind", "temperature": 0.5, "max_tokens": 9, "extra_body": {"max_tokens": null, "seed": 1}"#;
    let result = ask(&server, more);
    assert_eq!(
        result.to_json(),
        r#"{"success":true,"content":"Hello","finish_reason":"stop","model":"m-1","usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#
    );
    let asked = &server.asked()[0];
    assert_eq!(asked.what, "POST /v1/chat/completions");
    assert_eq!(asked.header("authorization"), Some("Bearer sk-secret-1"));
    let body = r#"{"model":"m","messages":[{"role":"system","content":"Be kind"},{"role":"user","content":"Hi"}],"temperature":0.5,"seed":1}"#;
    assert_eq!(from_json(&asked.body).unwrap().to_json(), body);
}

#[test]
fn answers_of_many_kinds_are_read() {
    let cases = [
        (
            r#"{"choices": [{"message": {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}, "b"], "refusal": "no"}}], "usage": {"input_tokens": 2, "cache_read_input_tokens": 3, "output_tokens": 4}}"#,
            r#"{"success":true,"content":"ab","finish_reason":null,"refusal":"no","reasoning":"hm","model":"m","usage":{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9,"input_tokens":2,"cache_read_input_tokens":3,"output_tokens":4}}"#,
        ),
        (
            r#"{"choices": [{"message": {"content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}, {"id": "2", "custom": {"name": "g", "input": "x"}}]}}]}"#,
            r#"{"success":true,"content":"","finish_reason":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"2","type":"custom","custom":{"name":"g","input":"x"}}],"model":"m","usage":{}}"#,
        ),
        (
            r#"{"choices": [{"index": 1, "message": {"content": "b"}}, {"index": 0, "message": {"content": "a"}}], "usage": {"cost": 0.25}}"#,
            r#"{"success":true,"content":"a","finish_reason":null,"model":"m","usage":{"cost":0.25},"choices":[{"index":0,"content":"a","finish_reason":null},{"index":1,"content":"b","finish_reason":null}],"cost_usd":0.25}"#,
        ),
    ];
    for (answer, expected) in cases {
        let server = Server::saying(move |_| ok(JSON, answer));
        assert_eq!(ask(&server, "").to_json(), expected);
    }
}

#[test]
fn failures_are_soft() {
    let cases = [
        (
            "401 Unauthorized",
            r#"{"error": {"message": "bad key sk-secret-1"}}"#,
            "authentication",
            Some(401),
            "HTTP 401 Unauthorized from URL: bad key [REDACTED]",
        ),
        (
            "429 Too Many Requests",
            "slow down",
            "rate_limit",
            Some(429),
            "HTTP 429 Too Many Requests from URL: slow down",
        ),
        (
            "500 Internal Server Error",
            "",
            "http_error",
            Some(500),
            "HTTP 500 Internal Server Error from URL",
        ),
        (
            "200 OK",
            r#"{"error": {"code": 503, "message": "busy"}}"#,
            "api_error",
            Some(503),
            "the endpoint answered with an error: busy",
        ),
        (
            "200 OK",
            r#"{"error": {"type": "rate_limit_error", "message": "busy"}}"#,
            "rate_limit",
            Some(429),
            "the endpoint answered with an error: busy",
        ),
        (
            "200 OK",
            r#"{"choices": []}"#,
            "parse",
            None,
            "the answer is not a chat completion: \"{'choices': []}\"",
        ),
        (
            "200 OK",
            "<html>",
            "parse",
            None,
            "URL sent invalid JSON: expected a value; it begins with '<html>'",
        ),
    ];
    for (status, body, kind, code, error) in cases {
        let server = Server::saying(move |_| said(status, "Retry-After: 7\r\n", body));
        let result = ask(&server, "");
        let url = format!("{}/v1/chat/completions", server.url);
        let told = text(&result, "error").replace(&url, "URL");
        let start = error.split("expected a value").next().unwrap();
        assert!(
            told.starts_with(start) && told.ends_with(&error[error.len() - 5..]),
            "{told}"
        );
        assert_eq!(text(&result, "error_type"), kind);
        assert_eq!(result.get("status_code"), code.map(Snap::Int).as_ref());
        assert_eq!(
            result.get("retry_after").is_some(),
            status != "200 OK" || kind == "parse" || code.is_some()
        );
    }
}

#[test]
fn transient_failures_are_retried() {
    let count = AtomicUsize::new(0);
    let server = Server::saying(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => said("503 Service Unavailable", "", ""),
        1 => said("429 Too Many Requests", "Retry-After: 0.2\r\n", ""),
        _ => ok(JSON, WHOLE),
    });
    let started = Instant::now();
    let result = ask(&server, r#", "max_retries": 5, "base_delay": 0"#);
    assert_eq!(
        (text(&result, "content"), result.get("attempts")),
        ("Hello", Some(&Snap::Int(3)))
    );
    assert_eq!(result.get("total_delay"), Some(&Snap::Float(0.2)));
    assert!(started.elapsed() >= Duration::from_millis(200));
    let server = Server::saying(|_| said("400 Bad Request", "", ""));
    assert_eq!(
        ask(&server, r#", "max_retries": 5"#).get("attempts"),
        Some(&Snap::Int(1))
    );
}

/// Returns the head of a stream that ends with its connection.
fn head(kind: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n")
}

fn chunk(content: &str) -> String {
    format!("data: {{\"model\": \"m-1\", \"choices\": [{{\"index\": 0, \"delta\": {{\"content\": \"{content}\"}}}}]}}\n\n")
}

#[test]
fn an_answer_is_streamed() {
    let server = Server::new(|_, stream| {
        stream
            .write_all(head("text/event-stream").as_bytes())
            .unwrap();
        for piece in ["Hel", "", "lo"] {
            stream.write_all(chunk(piece).as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        let end = "data: {\"choices\": [{\"index\": 0, \"delta\": {}, \"finish_reason\": \"stop\"}]}\r\n\r\n: comment\n\n\
            data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 3}}\n\ndata: [DONE]\n\n";
        stream.write_all(end.as_bytes()).unwrap();
    });
    assert_eq!(
        stream(&server, "").to_json(),
        r#"{"success":true,"content":"Hello","finish_reason":"stop","model":"m-1","usage":{"prompt_tokens":3},"streamed":true,"chunk_count":2}"#
    );
    let body = from_json(&server.asked()[0].body).unwrap();
    assert_eq!(
        body.get("stream_options").unwrap().to_json(),
        r#"{"include_usage":true}"#
    );
    assert_eq!(
        server.asked()[0].header("accept"),
        Some("text/event-stream")
    );
    assert_eq!(server.asked()[0].header("authorization"), None);
}

#[test]
fn tool_calls_are_put_together() {
    let server = Server::saying(|_| {
        let delta = |call: &str| {
            format!("data: {{\"choices\": [{{\"delta\": {{\"tool_calls\": [{call}]}}}}]}}\n\n")
        };
        let first =
            delta(r#"{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\""}}"#);
        let second = delta(r#"{"index": 0, "function": {"arguments": ": 1}"}}"#);
        let third = delta(r#"{"index": 0, "id": "b", "function": {"name": "g", "arguments": ""}}"#);
        format!(
            "{}{first}{second}{third}data: [DONE]\n\n",
            head("text/event-stream")
        )
    });
    let calls = r#"[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},{"id":"b","type":"function","function":{"name":"g","arguments":""}}]"#;
    assert_eq!(
        stream(&server, "").get("tool_calls").unwrap().to_json(),
        calls
    );
}

#[test]
fn broken_streams_keep_what_came() {
    let cases: [(String, &str, &str, &str); 6] = [
        (
            chunk("Hel"),
            "connection",
            "the stream from URL broke off",
            "Hel",
        ),
        (
            chunk("Hel") + "data: {\"error\": {\"message\": \"busy\", \"code\": 429}}\n\n",
            "rate_limit",
            "the endpoint answered with an error: busy",
            "Hel",
        ),
        (
            chunk("Hel") + "event: error\ndata: {\"x\": 1}\n\n",
            "api_error",
            "the endpoint answered with an error: {\"x\": 1}",
            "Hel",
        ),
        (
            "data: {\n\n".to_owned(),
            "parse",
            "the stream holds an invalid chunk: '{'",
            "",
        ),
        (
            "<html>\n".to_owned(),
            "parse",
            "URL did not send a stream of events; it begins with '<html>'",
            "",
        ),
        (
            String::new(),
            "api_error",
            "the stream from URL ended without an answer",
            "",
        ),
    ];
    for (body, kind, error, content) in cases {
        let server = Server::saying(move |_| head("text/event-stream") + &body);
        let result = stream(&server, "");
        let url = format!("{}/v1/chat/completions", server.url);
        assert_eq!(text(&result, "error").replace(&url, "URL"), error);
        assert_eq!(
            (text(&result, "error_type"), text(&result, "content")),
            (kind, content)
        );
        assert_eq!(result.get("streamed"), Some(&Snap::Bool(true)));
    }
}

#[test]
fn a_whole_answer_may_come_in_place_of_a_stream() {
    let server = Server::saying(|_| ok(JSON, WHOLE));
    assert_eq!(
        (
            text(&stream(&server, ""), "content"),
            stream(&server, "").get("chunk_count")
        ),
        ("Hello", Some(&Snap::Int(1)))
    );
    let server = Server::saying(|_| ok("text/plain", &WHOLE.replace('\n', " ")));
    assert_eq!(text(&stream(&server, ""), "content"), "Hello");
}

#[test]
fn time_counts_between_events() {
    let server = Server::new(|_, stream| {
        let _ = stream.write_all(head("text/event-stream").as_bytes());
        for _ in 0..4 {
            let _ = stream.write_all(chunk("x").as_bytes());
            std::thread::sleep(Duration::from_millis(150));
        }
        for _ in 0..40 {
            std::thread::sleep(Duration::from_millis(100));
            if stream.write_all(b": still here\n").is_err() {
                return;
            }
        }
    });
    let started = Instant::now();
    let result = stream(&server, r#", "timeout": 0.4"#);
    let url = format!("{}/v1/chat/completions", server.url);
    assert_eq!(
        text(&result, "error"),
        format!("no event from {url} within 0.4 s")
    );
    assert_eq!(
        (text(&result, "error_type"), text(&result, "content")),
        ("timeout", "xxxx")
    );
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn wrong_parameters_are_refused() {
    let cases = [
        (r#"{"prompt": "Hi", "base_url": "http://h"}"#, "llm.call: model is None; give the name of a model of http://h"),
        (r#"{"model": "m"}"#, "llm.call: neither prompt nor messages is given; give one of them"),
        (r#"{"prompt": "Hi", "base_url": "h", "model": "m"}"#, "llm.call: url 'h/chat/completions' is not an http or https URL with a host; allowed: http://..., https://..."),
    ];
    for (params, error) in cases {
        assert_eq!(refusal("llm.call", params), error);
    }
    let unknown = refusal("llm.call", r#"{"prompt": "Hi", "provider": "x"}"#);
    assert!(
        unknown.contains("unknown provider 'x'; allowed: auto, openai, ollama, scripted"),
        "{unknown}"
    );
}
