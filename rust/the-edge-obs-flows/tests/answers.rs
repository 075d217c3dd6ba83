//! The answers of the Python package: to flows with mistakes, and to flows that run. `answers.py` writes them.

use the_edge_obs::value::from_json_of_others;
use the_edge_obs::Snap;
use the_edge_obs_flows::{Actions, Context, Flow, FlowFileError};

const MISTAKES: &str = include_str!("data/mistakes.json");
const RUNS: &str = include_str!("data/runs.json");

fn cases(text: &str) -> Box<[Snap]> {
    match from_json_of_others(text, 64).unwrap() {
        Snap::List(cases) => cases,
        other => panic!("{other:?} is not a list"),
    }
}

fn text<'a>(case: &'a Snap, key: &str) -> &'a str {
    case.get(key).and_then(Snap::as_str).unwrap()
}

/// Returns a mistake without what the parser of a runtime says in its own words.
fn shown(line: Option<usize>, step: Option<&str>, problem: &str) -> String {
    let own = ["template syntax error in", "broken YAML"];
    let mut end = own
        .iter()
        .filter_map(|words| Some(problem.find(words)? + words.len()))
        .min();
    if problem.starts_with("observability.handlers[") && problem.contains("].type is ") {
        end = problem.find("; "); // each runtime has handlers of its own
    }
    let problem = &problem[..end.unwrap_or(problem.len())];
    // The crate the-edge-obs suggests no names in blocks.
    let problem = match (problem.find("did you mean"), problem.find("? allowed")) {
        (Some(start), Some(end)) if problem.contains("observability") => {
            format!("{}{}", &problem[..start], &problem[end + 2..])
        }
        _ => problem.to_owned(),
    };
    format!("{}: {}: {problem}", line.unwrap_or(0), step.unwrap_or("-"))
}

fn shown_error(error: &FlowFileError) -> String {
    shown(error.line, error.step.as_deref(), &error.problem)
}

/// Returns the actions with the names of those that exist in Python, so that messages list the same ones.
fn actions() -> Actions {
    let names = "file.read file.write http.get http.post json.transform memory.retrieve memory.store web.fetch";
    let missing = names
        .split(' ')
        .filter(|name| Actions::builtin().get(name).is_none());
    missing.fold(Actions::builtin(), |actions, name| {
        actions.with(name, |_: &Snap, _: &Context<'_>| Ok(Snap::Null))
    })
}

#[test]
fn mistakes_are_those_that_python_finds() {
    let cases = cases(MISTAKES);
    assert!(cases.len() > 80);
    let mut different = Vec::new();
    for case in &*cases {
        let flow = text(case, "flow");
        let mut found: Vec<String> = match Flow::parse(flow, actions()) {
            Ok(_) => Vec::new(),
            Err(first) => std::iter::once(&first)
                .chain(&first.others)
                .map(shown_error)
                .collect(),
        };
        let Some(Snap::List(errors)) = case.get("errors") else {
            panic!("{case:?} has no errors");
        };
        let mut wanted: Vec<String> = errors
            .iter()
            .map(|error| {
                let line = match error.get("line") {
                    Some(Snap::Int(line)) => usize::try_from(*line).ok(),
                    _ => None,
                };
                shown(
                    line,
                    error.get("step").and_then(Snap::as_str),
                    text(error, "problem"),
                )
            })
            .collect();
        // In which order the checks of one node are made does not matter.
        found.sort();
        wanted.sort();
        if found != wanted {
            different.push(format!(
                "{flow}\n  here:   {found:#?}\n  Python: {wanted:#?}"
            ));
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

/// Returns a value without ids, times and texts of the runner, as `answers.py` does.
fn plain(value: &Snap) -> Snap {
    match value {
        Snap::List(items) => Snap::List(items.iter().map(plain).collect()),
        Snap::Map(pairs) => {
            let is = |key: &str, text: &str| value.get(key).and_then(Snap::as_str) == Some(text);
            let mut dropped = vec!["flow_id", "_observability"];
            if value.get("timing_ms").is_some() {
                dropped.extend(["timing_ms", "error"]);
            }
            if is("error_type", "parse") || is("type", "ActionError") {
                dropped.extend(["error", "message", "position"]);
            }
            let kept = pairs.iter().filter(|(key, _)| !dropped.contains(&&**key));
            Snap::Map(kept.map(|(key, item)| (key.clone(), plain(item))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn runs_end_as_in_python() {
    let cases = cases(RUNS);
    assert!(cases.len() > 25);
    for case in &*cases {
        let flow = text(case, "flow");
        let written = format!("observability: {{enabled: false}}\n{flow}");
        let loaded = Flow::parse(&written, Actions::builtin());
        let run = loaded
            .unwrap_or_else(|error| panic!("{flow}: {error}"))
            .run(Snap::Null);
        match (run, case.get("state")) {
            (Ok(state), Some(wanted)) => {
                let state = plain(&state.to_snap()).to_json();
                assert_eq!(state, plain(wanted).to_json(), "{flow}");
            }
            (Err(failure), None) => {
                assert_eq!(failure.kind, text(case, "kind"), "{flow}: {failure}");
                let step = case.get("step").and_then(Snap::as_str);
                assert_eq!(failure.step.as_deref(), step, "{flow}: {failure}");
            }
            (run, wanted) => panic!("{flow}: {run:?} in place of {wanted:?}"),
        }
    }
}
