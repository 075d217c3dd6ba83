use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use tracing_subscriber::prelude::*;

use super::*;

fn parse(text: &str, actions: Actions) -> Flow {
    Flow::parse(text, actions).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn branches_run_at_the_same_time_and_keep_their_order() {
    let barrier = Arc::new(Barrier::new(3));
    let wait = Arc::clone(&barrier);
    let meet = move |params: &Snap, _: &Context<'_>| {
        wait.wait(); // returns when all three are here
        Ok(params.clone())
    };
    let text = "
nodes:
  - {name: all, type: dynamic_parallel, items: [a, b, c], action: {uses: meet, with: {x: '{{ item }}{{ index }}'}}, output: out}
";
    let state = parse(text, Actions::new().with("meet", meet))
        .run(Snap::Null)
        .unwrap();
    let Some(Snap::List(results)) = state.get("out") else {
        panic!("{state:?}");
    };
    let seen: Vec<_> = results
        .iter()
        .map(|result| result.get("state").unwrap().get("x").unwrap().to_json())
        .collect();
    assert_eq!(seen, [r#""a0""#, r#""b1""#, r#""c2""#]);
    assert_eq!(state.get("x"), None);
}

#[test]
fn no_more_branches_run_at_once_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (Arc::clone(&now), Arc::clone(&most));
    let count = move |_: &Snap, _: &Context<'_>| {
        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        running.fetch_sub(1, Ordering::SeqCst);
        Ok(Snap::Null)
    };
    let text = "
nodes:
  - {name: all, type: dynamic_parallel, items: '{{ range(12) }}', max_concurrency: 2, action: {uses: count}}
";
    parse(text, Actions::new().with("count", count))
        .run(Snap::Null)
        .unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

/// Runs a flow of three branches, one after the other, of which the first fails; returns their results, and how many had a span.
fn run_three(fail_fast: bool) -> (Box<[Snap]>, usize) {
    let text = format!(
        "
nodes:
  - name: all
    type: dynamic_parallel
    items: [0, 1, 2]
    max_concurrency: 1
    fail_fast: {fail_fast}
    action: {{uses: refuse, with: {{n: '{{{{ item }}}}'}}}}
    output: out
"
    );
    let refuse = |params: &Snap, _: &Context<'_>| match params.get("n") {
        Some(Snap::Int(0)) => Err(Failure::action("no zero")),
        _ => Ok(Snap::Null),
    };
    let flow = parse(&text, Actions::new().with("refuse", refuse));
    let (layer, ring) = the_edge_obs::config::Config::default().layer().unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let state = tracing::subscriber::with_default(subscriber, || flow.run(Snap::Null)).unwrap();
    let events = ring.events(&ring.flows()[0]);
    let is_entry = |event: &&Snap, node: &str| {
        let is = |key: &str, text: &str| event.get(key).and_then(Snap::as_str) == Some(text);
        is("event_type", "entry") && is("node", node)
    };
    let begun = events
        .iter()
        .filter(|event| is_entry(event, "parallel.branch"));
    match state.get("out") {
        Some(Snap::List(results)) => (results.clone(), begun.count()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fail_fast_leaves_out_what_has_not_begun() {
    let succeeded = |results: &[Snap]| -> Vec<_> {
        let success = results.iter().map(|one| one.get("success").cloned());
        success
            .map(|success| success == Some(true.into()))
            .collect()
    };
    let (results, begun) = run_three(false);
    assert_eq!((succeeded(&results), begun), (vec![false, true, true], 3));
    let (results, begun) = run_three(true);
    assert_eq!((succeeded(&results), begun), (vec![false; 3], 1));
    let text = |at: usize, key: &str| results[at].get(key).unwrap().as_str().unwrap();
    assert_eq!(text(0, "error"), "no zero");
    for at in [1, 2] {
        let problem = "left out: another branch has failed (fail_fast)";
        assert_eq!(text(at, "error"), problem);
        assert_eq!(text(at, "error_type"), "CancelledError");
    }
}

#[test]
fn branches_count_the_answers_of_a_script_on_their_own() {
    let text = "
nodes:
  - {name: first, uses: llm.call, with: {prompt: x, answers: [a, b, c]}, output: before}
  - name: all
    type: dynamic_parallel
    items: [1, 2]
    steps: [{uses: llm.call, with: {prompt: x, answers: [a, b, c]}, output: answer}]
    output: out
  - {name: last, uses: llm.call, with: {prompt: x, answers: [a, b, c]}, output: after}
";
    let state = parse(text, Actions::builtin()).run(Snap::Null).unwrap();
    let content = |value: &Snap| {
        value
            .get("content")
            .and_then(Snap::as_str)
            .map(str::to_owned)
    };
    let Some(Snap::List(results)) = state.get("out") else {
        panic!("{state:?}");
    };
    let answers: Vec<_> = results
        .iter()
        .map(|result| content(result.get("state").unwrap().get("answer").unwrap()))
        .collect();
    assert_eq!(answers, [Some("b".to_owned()), Some("b".to_owned())]);
    assert_eq!(content(state.get("after").unwrap()).as_deref(), Some("b"));
}

#[test]
fn an_interrupted_run_ends_its_waits_and_begins_no_node() {
    let stop = Stop::new();
    let from_action = stop.clone();
    let interrupt = move |_: &Snap, _: &Context<'_>| {
        from_action.stop();
        Ok(Snap::map([
            ("success", Snap::Bool(false)),
            ("error", "busy".into()),
        ]))
    };
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let never = move |_: &Snap, _: &Context<'_>| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Snap::Null)
    };
    let actions = Actions::new()
        .with("interrupt", interrupt)
        .with("never", never);
    let texts = [
        "nodes: [{name: a, uses: interrupt, on_error: {mode: retry, delay: 60}}, {uses: never}]",
        "nodes: [{name: a, uses: interrupt}, {uses: never}]",
        "nodes: [{name: a, steps: [{uses: interrupt}, {uses: never}], on_error: {mode: graceful}}]",
        "nodes: [{name: a, type: dynamic_parallel, items: [1], steps: [{uses: interrupt}, {uses: never}]}, {uses: never}]",
    ];
    for text in texts {
        let flow = parse(text, actions.clone());
        let started = Instant::now();
        let failure = flow.run_until(Snap::Null, &stop).unwrap_err();
        assert!(failure.is_cancelled(), "{failure}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

#[test]
fn a_panic_in_a_branch_leaves_the_run() {
    let text = "nodes: [{name: a, type: dynamic_parallel, items: [1, 2], action: {uses: break}}]";
    let broken = |_: &Snap, _: &Context<'_>| -> Result<Snap, Failure> { panic!("on purpose") };
    let flow = parse(text, Actions::new().with("break", broken));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| flow.run(Snap::Null)));
    assert!(caught.is_err());
}

#[test]
fn an_action_finds_what_is_around_it() {
    let look = |_: &Snap, context: &Context<'_>| {
        let seen = [
            ("step", Snap::from(context.step())),
            ("n", context.state().get("n").cloned().unwrap_or(Snap::Null)),
            (
                "k",
                context.settings().get("k").cloned().unwrap_or(Snap::Null),
            ),
            ("id", context.flow_id().is_some().into()),
            ("observed", context.is_observed().into()),
        ];
        Ok(Snap::map(seen))
    };
    let text = "
observability: {enabled: false}
settings: {k: v}
initial_state: {n: 1}
nodes: [{name: look, uses: look, output: seen}]
";
    let flow = parse(text, Actions::new().with("look", look));
    let state = flow.run(Snap::map([("n", Snap::Int(2))])).unwrap();
    assert_eq!(
        state.get("seen").unwrap().to_json(),
        r#"{"step":"look","n":2,"k":"v","id":true,"observed":false}"#
    );
    let id = state.get("flow_id").and_then(Snap::as_str).unwrap();
    let about = state.get("_observability").unwrap();
    assert_eq!(about.get("flow_id").and_then(Snap::as_str), Some(id));
}

#[test]
fn a_sub_flow_has_its_own_state_and_cannot_contain_itself() {
    let folder = std::env::temp_dir().join(format!("the-edge-obs-flows-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let child = "initial_state: {n: 1, m: 2}\nnodes: [{uses: json.parse, text: '[{{ state.n }}, {{ state.m }}]'}]";
    let parent = "nodes: [{name: sub, flow: child.yaml, with: {n: '{{ 40 + 1 }}'}, output: {got: '{{ result.data }}'}}]";
    let (a, b) = (
        "nodes: [{name: x, flow: b.yaml}]",
        "nodes: [{name: y, flow: ./a.yaml}]",
    );
    for (name, text) in [("child", child), ("parent", parent), ("a", a), ("b", b)] {
        std::fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
    }
    let load = |name: &str| Flow::load(folder.join(name), Actions::builtin());
    let state = load("parent.yaml").unwrap().run(Snap::Null).unwrap();
    assert_eq!(state.get("got").unwrap().to_json(), "[41,2]");
    assert_eq!(state.get("m"), None);
    let error = load("a.yaml").unwrap_err();
    let expected = "step 'y': sub-flow './a.yaml' contains itself: a.yaml -> b.yaml -> a.yaml";
    assert_eq!((error.problem.as_str(), error.line), (expected, Some(1)));
    assert!(error.path.unwrap().ends_with("b.yaml"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn nodes_that_nothing_leads_to_are_found() {
    let node = |name: &str, more: &str| {
        format!("  - {{name: {name}, uses: json.parse, text: '1'{more}}}\n")
    };
    let text = format!(
        "nodes:\n{}{}{}{}{}",
        node("a", ", goto: c"),
        node("b", ""),
        node("c", ", on_error: {mode: graceful, fallback: e}"),
        node("d", ", goto: __end__"),
        node("e", ", goto: __end__"),
    );
    let flow = parse(&text, Actions::builtin());
    assert_eq!(flow.unreached(), ["b"]);
    assert_eq!(flow.nodes().count(), 5);
    assert_eq!(flow.name(), "flow");
    assert_eq!(format!("{flow:?}"), "<Flow \"flow\": a, b, c, d, e>");
}

#[test]
fn a_flow_that_is_not_trusted_cannot_read_the_environment() {
    let text = "nodes: [{uses: json.parse, text: '{{ env.HOME }}'}]";
    let path = std::env::temp_dir().join(format!("the-edge-obs-env-{}.yaml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let error = Flow::load_without_code(&path, Actions::builtin()).unwrap_err();
    assert!(
        error
            .problem
            .contains("not available to a flow without code"),
        "{error}"
    );
    assert!(Flow::load(&path, Actions::builtin()).is_ok());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn code_is_refused_with_the_way_out() {
    let text = "imports: [{path: x.py}]\nnodes:\n  - {name: a, run: 'x = 1'}\n  - {uses: my.own}\n";
    let error = Flow::parse(text, Actions::builtin()).unwrap_err();
    let problems: Vec<_> = std::iter::once(&error)
        .chain(&error.others)
        .map(|error| format!("{}: {}", error.line.unwrap(), error.problem))
        .collect();
    assert_eq!(
        problems,
        [
            "1: imports: modules with actions are Python, and run in the Python runtime; give the actions to the program that loads \
             the flow",
            "3: step 'a': run: inline Python runs in the Python runtime; use an action, or json.parse with a template: \
             text: \"[{{ state.count + 1 }}]\"",
        ]
    );
}

#[test]
fn an_action_that_only_python_has_names_the_way_out() {
    let flow = "nodes: [{uses: web.fetch, with: {url: 'https://example.com'}, output: page}]";
    let error = Flow::parse(flow, Actions::builtin()).unwrap_err();
    assert_eq!(
        error.problem,
        "step 'step_1': action 'web.fetch' is not here: it makes text of HTML, which only the Python runtime does; use http.get, which \
         returns the page as it is, or give an action of that name to the program that loads the flow"
    );
    let own = Actions::builtin().with("web.fetch", |_: &Snap, _: &Context<'_>| Ok(Snap::Null));
    assert!(Flow::parse(flow, own).is_ok());
    let flow = "nodes: [{uses: http.get, with: {url: 'https://example.com'}, output: page}]";
    let loaded = Flow::parse(flow, Actions::builtin());
    let problem = loaded.map(drop).map_err(|error| error.problem.to_string());
    let lacking = "step 'step_1': action 'http.get' is not here: this program was built without the feature http";
    assert_eq!(
        problem,
        if cfg!(feature = "http") {
            Ok(())
        } else {
            Err(lacking.to_owned())
        }
    );
}

#[test]
fn code_of_the_edge_agents_languages_is_sent_to_its_engine() {
    let way = "; this agent needs The Edge Agent's own engine; observe it there with \
               tea run AGENT.yaml --actions-module the_edge_obs.integrations.tea";
    let cases = [
        (
            "{language: lua, run: 'x = 1'}",
            "step 'step_1': language 'lua' is not supported; allowed: python",
        ),
        (
            "{run: {type: prolog, value: x}}",
            "step 'step_1': run: type 'prolog' is not supported",
        ),
    ];
    for (node, problem) in cases {
        let error = Flow::parse(&format!("nodes: [{node}]"), Actions::builtin()).unwrap_err();
        assert_eq!(error.problem, format!("{problem}{way}"));
        assert_eq!(error.others, []);
    }
}

#[test]
fn an_action_of_the_program_may_refuse_a_provider_of_the_same_name() {
    struct Choosy;
    impl crate::Action for Choosy {
        fn call(&self, _: &Snap, _: &Context<'_>) -> Result<Snap, Failure> {
            Ok(Snap::Null)
        }
        fn check(&self, _: &str, _: &Snap) -> Result<(), Failure> {
            Err(Failure::action("no such provider"))
        }
    }
    let actions = Actions::new().with("mine.ask", Choosy);
    let text = "nodes: [{uses: mine.ask, with: {provider: local}}]";
    let error = Flow::parse(text, actions).unwrap_err();
    assert_eq!(error.problem, "step 'step_1': no such provider");
}

#[test]
fn json_is_parsed_as_the_vectors_say() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/observability/vectors/json_parse.json"
    );
    let vectors = the_edge_obs::value::from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
    let Some(Snap::List(cases)) = vectors.get("cases") else {
        panic!("no cases");
    };
    assert!(cases.len() > 30);
    let flow = parse(
        "nodes: [{uses: json.parse, with: {text: '{{ state.text }}'}, output: parsed}]",
        Actions::builtin(),
    );
    for case in cases {
        let state = flow
            .run(Snap::map([("text", case.get("text").unwrap().clone())]))
            .unwrap();
        let parsed = state.get("parsed").unwrap();
        assert_eq!(parsed.get("success"), case.get("success"), "{case:?}");
        // As the log has it: large integers are texts, and what is too deep is cut.
        let flow = the_edge_obs::Flow::new(FlowId::random(), "x");
        let logged = flow.policy.snapshot(parsed, &flow.taints);
        let logged = logged.get("data").map(Snap::to_json);
        let wanted = case.get("data").map(Snap::to_json);
        assert_eq!(logged, wanted, "{case:?}");
    }
}
