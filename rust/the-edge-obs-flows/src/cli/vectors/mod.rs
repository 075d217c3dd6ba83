//! `tea-obs-rs vectors`: answers cases, for tests that compare runtimes.
//!
//! A case is a JSON object on a line of stdin. Its key `ask` says what is asked, and the answer is one line of JSON. The other keys are
//! those of the files in `examples/observability/vectors`, whose answers are the same.

mod logs;
mod texts;

use std::io::BufRead;

use the_edge_obs::files::reason_of;
use the_edge_obs::value::{from_json_within, MAX_DEPTH};
use the_edge_obs::Snap;

use super::terminal::{stdout, Fault, DONE};

/// Containers around the deepest value of a case: the list of events, the event, its data.
const AROUND: usize = 8;

/// What is asked: its name, and what answers.
type Question = (&'static str, fn(&Snap) -> Answer);

/// The answer to a case, or why it is refused.
type Answer = Result<Snap, String>;

pub(super) fn call() -> Result<u8, Fault> {
    let mut out = stdout();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| {
            Fault::Input(format!("stdin cannot be read: {}", reason_of(&error)))
        })?;
        let answer = answer(&line).unwrap_or_else(|error| Snap::map([("error", error.into())]));
        out.text(&answer.to_json())?;
        out.text("\n")?;
        out.flush()?; // who asks may wait for the answer before asking again
    }
    out.finish()?;
    Ok(DONE)
}

fn answer(line: &str) -> Answer {
    let case = from_json_within(line, MAX_DEPTH + AROUND).map_err(|error| error.to_string())?;
    let ask = text_of(&case, "ask")?;
    let questions = || texts::QUESTIONS.into_iter().chain(logs::QUESTIONS);
    let Some((_, answer)) = questions().find(|(name, _)| *name == ask) else {
        let names: Vec<&str> = questions().map(|(name, _)| name).collect();
        return Err(format!(
            "ask is {ask:?}; it must be one of {}",
            names.join(", ")
        ));
    };
    answer(&case)
}

/// Returns a value of a case.
fn value_of<'c>(case: &'c Snap, key: &str) -> Result<&'c Snap, String> {
    case.get(key)
        .ok_or_else(|| format!("the case has no key {key:?}"))
}

/// Returns a text of a case.
fn text_of<'c>(case: &'c Snap, key: &str) -> Result<&'c str, String> {
    let value = value_of(case, key)?;
    value
        .as_str()
        .ok_or_else(|| format!("{key} is {}; it must be a string", value.to_json()))
}

/// Returns a list of a case.
fn list_of<'c>(case: &'c Snap, key: &str) -> Result<&'c [Snap], String> {
    match value_of(case, key)? {
        Snap::List(items) => Ok(items),
        other => Err(format!("{key} is {}; it must be a list", other.to_json())),
    }
}

/// Returns the Unix seconds that stand for now; of a case without them, those of the clock.
fn now_of(case: &Snap) -> f64 {
    match case.get("now") {
        Some(Snap::Float(seconds)) => *seconds,
        Some(Snap::Int(seconds)) => *seconds as f64,
        _ => the_edge_obs::times::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use the_edge_obs::value::from_json;

    fn told(line: &str) -> String {
        match answer(line) {
            Ok(value) => value.to_json(),
            Err(problem) => format!("error: {problem}"),
        }
    }

    #[test]
    fn texts_are_answered() {
        let cases = [
            (r#"{"ask": "classify", "text": "api_key"}"#, r#""secret""#),
            (
                r#"{"ask": "redact", "text": "password=hunter2xyz"}"#,
                r#""password=[REDACTED]""#,
            ),
            (
                r#"{"ask": "json", "text": "[1e16, \"é\"]"}"#,
                r#""[1e+16,\"é\"]""#,
            ),
            (r#"{"ask": "json", "text": "[1,]"}"#, "error: "),
            (
                r#"{"ask": "snapshot", "text": "{\"token\": \"abc\"}"}"#,
                r#"["{\"token\":\"[REDACTED]\"}",["#,
            ),
            (
                r#"{"ask": "printable", "text": "a\u001b[2J"}"#,
                r#""a\\x1b[2J""#,
            ),
            (
                r#"{"ask": "glob", "pattern": "llm.*", "name": "llm.call"}"#,
                "true",
            ),
            (r#"{"ask": "time", "given": "-5m", "now": 1000}"#, "700.0"),
            (
                r#"{"ask": "time", "given": "soon", "now": 1000}"#,
                "error: ",
            ),
            (
                r#"{"ask": "yaml", "text": "a: [yes, 010]"}"#,
                r#"{"a":[true,8]}"#,
            ),
            (
                r#"{"ask": "yaml_types", "text": "{1: .inf, a: [2026-01-31, ~, 1.5, no]}"}"#,
                r#"["map",[["int","1"],["float","inf"]],[["str","a"],["list",["time","2026-01-31"],["null"],["float","1.5"],["bool","false"]]]]"#,
            ),
            (r#"{"ask": "yaml_types", "text": "a: 1\na: 2"}"#, "error: "),
            (r#"{"ask": "check", "text": "{}"}"#, "null"),
            (
                r#"{"ask": "block", "block": {"level": "loud"}}"#,
                r#"{"where":"observability.level","error":"#,
            ),
            (r#"{"ask": "block", "block": {"level": "info"}}"#, "null"),
            (
                r#"{"ask": "template", "template": "{{ state.a + 1 }}", "state": {"a": 1}}"#,
                "2",
            ),
            (
                r#"{"ask": "template", "template": "{{ nobody }}"}"#,
                "error: FlowFileError: ",
            ),
            (
                r#"{"ask": "what"}"#,
                "error: ask is \"what\"; it must be one of classify, ",
            ),
            ("{", "error: "),
        ];
        for (line, answer) in cases {
            let told = told(line);
            assert!(told.starts_with(answer), "{line}: {told}");
        }
    }

    #[test]
    fn logs_are_answered() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../examples/observability/vectors/flow_logs.json"
        );
        let file = from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cases = list_of(&file, "cases").unwrap();
        assert!(cases.len() > 5);
        for case in cases {
            let asked = |ask: &str| {
                let Snap::Map(pairs) = case else {
                    panic!("a case is an object")
                };
                let own = pairs.iter().map(|(key, value)| (&**key, value.clone()));
                answer(&Snap::map(own.chain([("ask", ask.into())])).to_json()).unwrap()
            };
            assert_eq!(
                asked("normalise").to_json(),
                case.get("normalised").unwrap().to_json()
            );
            assert_eq!(
                asked("flow_log").get("status"),
                case.get("flow_log").and_then(|log| log.get("status"))
            );
        }
    }

    #[test]
    fn a_flow_is_run() {
        let line = r#"{"ask": "run", "flow": "name: t\nnodes: [{uses: json.parse, with: {text: '{{ state.t }}'}}]", "state": {"t": "1"}}"#;
        let answer = answer(line).unwrap();
        assert_eq!(
            answer.get("state").unwrap().get("data"),
            Some(&Snap::Int(1))
        );
        let Some(Snap::List(events)) = answer.get("log").unwrap().get("events") else {
            panic!("no events")
        };
        assert_eq!(events.len(), 4);
    }

    /// Returns the answer to a run of a flow with these nodes.
    fn run_of(nodes: &str) -> Answer {
        let flow = Snap::from(format!("name: t\nnodes: {nodes}")).to_json();
        answer(&format!("{{\"ask\": \"run\", \"flow\": {flow}}}"))
    }

    #[test]
    fn flows_fail_where_they_fail_in_python() {
        let inner = "{name: b, type: dynamic_parallel, items: [1], steps: [{uses: json.parse, with: {text: '1'}}]}";
        let refused = run_of(&format!(
            "[{{name: a, type: dynamic_parallel, items: [1], steps: [{inner}]}}]"
        ));
        let problem = refused.unwrap_err();
        assert!(
            problem.contains("item_var is 'item'; it must be a plain name"),
            "{problem}"
        );
    }

    #[test]
    fn an_event_has_the_name_of_a_node_whatever_is_given() {
        let long = "x".repeat(257);
        for (node, name) in [
            (" a  b ", "a_b"),
            ("..", "custom"),
            (".a\u{1f}b.", "a_b"),
            (&long, &long[..256]),
        ] {
            let node = Snap::from(node).to_json();
            let by_node = format!("[{{uses: obs.log_event, with: {{node: {node}, message: m}}}}]");
            let by_step = format!("[{{name: {node}, uses: obs.log_event, with: {{message: m}}}}]");
            for nodes in [by_node, by_step] {
                let run = run_of(&nodes).unwrap();
                let Some(Snap::List(events)) = run.get("log").unwrap().get("events") else {
                    panic!("no events")
                };
                let mut logged = events
                    .iter()
                    .filter(|event| event.get("event_type") == Some(&"log".into()));
                assert_eq!(
                    logged.next().unwrap().get("node"),
                    Some(&name.into()),
                    "{nodes}"
                );
            }
        }
    }

    #[test]
    fn a_stream_that_fails_has_its_chunks() {
        let run = run_of("[{uses: llm.stream, with: {prompt: '{{ state.none }}', answers: [a]}}]")
            .unwrap();
        let Some(Snap::List(events)) = run.get("log").unwrap().get("events") else {
            panic!("no events")
        };
        let failed = events
            .iter()
            .find(|event| event.get("event_type") == Some(&"error".into()))
            .unwrap();
        let chunks = failed.get("metrics").unwrap().get("chunks");
        assert_eq!(chunks, Some(&Snap::Int(0)));
    }
}
