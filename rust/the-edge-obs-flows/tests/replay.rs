//! A run again, with the answers of its log.
#![cfg(feature = "record")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use the_edge_obs::flow_log::build_flow_log;
use the_edge_obs::globs::Glob;
use the_edge_obs::sink::Callback;
use the_edge_obs::{FlowLayer, FlowLog, Level, Levels, Snap};
use the_edge_obs_flows::replay::{
    with_recorded, Comparison, FullRecords, Kind, Options, Report, Tape, Why,
};
use the_edge_obs_flows::{Actions, Answers, Called, Context, Failure, Flow, State};
use tracing::subscriber::with_default;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry;

/// A model that counts its calls: it answers with the prompt and the number of the call.
#[derive(Clone, Default)]
struct Model(Arc<AtomicUsize>);

impl Model {
    fn actions(&self) -> Actions {
        let count = Arc::clone(&self.0);
        let ask = move |params: &Snap, _: &Context<'_>| {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let prompt = params.get("prompt").cloned().unwrap_or(Snap::Null);
            match prompt.as_str() {
                Some(text) if text.starts_with("fail") => {
                    Err(Failure::new("TimeoutError", format!("{text} {number}")))
                }
                Some(text) if text.starts_with("soft") => Ok(Snap::map([
                    ("success", false.into()),
                    ("error", Snap::from(format!("{text} {number}"))),
                    ("error_type", "busy".into()),
                ])),
                Some(text) if text.starts_with("count") => Ok(number.into()),
                Some(text) if text.starts_with("sum") => Ok(sum(text)),
                Some(text) if text.starts_with("long") => Ok(Snap::from("long ".repeat(2_000))),
                _ => Ok(Snap::map([
                    ("content", prompt),
                    ("number", number.into()),
                    (
                        "usage",
                        Snap::map([
                            ("prompt_tokens", Snap::Int(3)),
                            ("completion_tokens", Snap::Int(2)),
                        ]),
                    ),
                    ("cost_usd", Snap::Float(0.25)),
                ])),
            }
        };
        Actions::builtin().with("my.model", ask)
    }

    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Runs a flow and returns its log as a file would have it: each event as it was when it was logged.
fn run(
    flow: &Flow,
    state: Snap,
    levels: Levels,
    tape: Option<&Arc<Tape>>,
) -> (Result<State, Failure>, FlowLog) {
    let events: Arc<Mutex<Vec<Snap>>> = Arc::default();
    let taken = Arc::clone(&events);
    let sink = Callback::new(move |event| taken.lock().unwrap().push(event.clone()));
    let layer = FlowLayer::with_levels(Arc::new(levels)).sink(sink);
    let result = match tape {
        None => with_default(registry().with(layer), || flow.run(state)),
        Some(tape) => with_default(registry().with(layer.sink(Arc::clone(tape))), || {
            flow.run_answered(state, Arc::clone(tape) as Arc<dyn Answers>)
        }),
    };
    let events = std::mem::take(&mut *events.lock().unwrap());
    (result, build_flow_log(events, 0, 0).unwrap())
}

fn info() -> Levels {
    Levels::new(Some(Level::Info))
}

fn record(text: &str, state: Snap) -> FlowLog {
    run(&parse(text, &Model::default()), state, info(), None).1
}

fn parse(text: &str, model: &Model) -> Flow {
    Flow::parse(text, model.actions()).unwrap_or_else(|error| panic!("{error}"))
}

/// What came of a replay.
struct Replayed {
    result: Result<State, Failure>,
    log: FlowLog,
    report: Report,
    /// How often the model was asked.
    calls: usize,
    same: String,
}

impl Replayed {
    fn stopped(&self) -> String {
        let stopped = self.report.stopped.as_ref();
        stopped.map_or_else(String::new, ToString::to_string)
    }

    /// Returns how many calls were answered at their place, elsewhere, and made.
    fn counts(&self) -> [usize; 3] {
        [Kind::Same, Kind::Moved, Kind::Live].map(|kind| self.report.count(kind))
    }
}

fn replay_with(log: &FlowLog, text: &str, options: Options, state: Option<Snap>) -> Replayed {
    let model = Model::default();
    let flow = parse(text, &model);
    let tape = Arc::new(Tape::new(log, &flow, options).unwrap());
    let state = state.or(tape.state()).unwrap_or(Snap::Null);
    let (result, new) = run(&flow, state, info(), Some(&tape));
    let (old, same) = tape.logs().unwrap();
    Replayed {
        result,
        log: new,
        report: tape.report(),
        calls: model.calls(),
        same: Comparison::of(&old, &same).to_string(),
    }
}

fn replay(log: &FlowLog, text: &str) -> Replayed {
    replay_with(log, text, Options::default(), None)
}

fn live(glob: &str) -> Options {
    Options {
        live: vec![Glob::new(glob)],
        ..Options::default()
    }
}

const AGENT: &str = "
name: agent
initial_state: {topic: rust}
nodes:
  - {name: draft, uses: my.model, with: {prompt: 'write about {{ state.topic }}'}, output: draft}
  - {name: check, uses: my.model, with: {prompt: 'check {{ state.draft.content }}'}, output: check}
  - {name: sum, uses: json.parse, with: {text: '[1]'}, output: sum}
";

#[test]
fn a_flow_runs_again_without_its_model() {
    let log = record(AGENT, Snap::map([("topic", "tea".into())]));
    let again = replay(&log, AGENT);
    assert_eq!(again.stopped(), "");
    assert_eq!(
        (again.calls, again.counts(), again.report.unused.len()),
        (0, [2, 0, 0], 0)
    );
    assert_eq!(again.same, "no differences, 4 the same");
    let state = again.result.unwrap();
    assert_eq!(
        state.get("check").unwrap().get("number"),
        Some(&Snap::Int(2))
    );
    assert_eq!(state.get("topic").and_then(Snap::as_str), Some("tea"));
}

#[test]
fn a_replay_says_what_it_is_and_counts_nothing_twice() {
    let log = record(AGENT, Snap::Null);
    assert_eq!(log.metrics.to_snap().get("tokens"), Some(&Snap::Int(10)));
    let again = replay(&log, AGENT).log;
    assert_eq!(again.metrics.to_snap().get("tokens"), Some(&Snap::Int(0)));
    assert_eq!(
        again.metrics.to_snap().get("cost_usd").unwrap().to_json(),
        "0"
    );
    let root = again.events[0].get("data").unwrap();
    assert_eq!(
        root.get("replay_of").and_then(Snap::as_str),
        Some(&*log.flow_id)
    );
    let answered: Vec<_> = again
        .spans
        .iter()
        .filter(|span| span.answered)
        .map(|span| &*span.node)
        .collect();
    assert_eq!(answered, ["my.model", "my.model"]);
}

#[test]
fn a_changed_prompt_stops_where_it_is_asked() {
    let log = record(AGENT, Snap::Null);
    let changed = AGENT.replace("check {{", "check well {{");
    let again = replay(&log, &changed);
    assert_eq!(
        again.stopped(),
        "check (my.model): it is not asked as it was recorded; input.prompt: 'check write about rust' -> 'check well write \
         about rust'; make the call with live 'my.model', or record the flow again"
    );
    assert_eq!((again.calls, again.counts()), (0, [1, 0, 0]));
    assert!(again.report.unused.is_empty()); // it was asked for, in other words
    let failure = again.result.unwrap_err();
    assert_eq!(
        (&*failure.kind, failure.is_cancelled()),
        ("ReplayStopped", true)
    );
    assert_eq!(again.log.status.name(), "cancelled");
}

#[test]
fn only_what_depends_on_a_change_is_asked() {
    let text = AGENT.to_owned()
        + "  - {name: other, uses: my.model, with: {prompt: other}, output: other}\n";
    let log = record(&text, Snap::Null);
    let changed = text.replace("check {{", "check well {{");
    let again = replay_with(&log, &changed, live("my.*"), None);
    assert_eq!(again.stopped(), "");
    assert_eq!((again.calls, again.counts()), (1, [2, 0, 1]));
    let made = again.report.of(Kind::Live).next().unwrap();
    let why = "it is not asked as it was recorded";
    assert_eq!(
        (&*made.place, &*made.why, made.changes.len()),
        ("check", why, 1)
    );
}

#[test]
fn an_effect_never_fires_by_accident() {
    let text = AGENT.to_owned() + "  - {name: keep, uses: file.write, with: {path: /nowhere/x, content: '{{ state.check.number }}'}}\n";
    let log = record(&text, Snap::Null);
    let changed = text.replace("check {{", "check well {{");
    let again = replay_with(&log, &changed, live("my.*"), None);
    assert!(
        again
            .stopped()
            .starts_with("keep (file.write): it is not asked as it was recorded"),
        "{}",
        again.stopped()
    );
}

#[test]
fn a_node_that_was_never_recorded_stops_the_run() {
    let log = record(AGENT, Snap::Null);
    let longer = AGENT.to_owned() + "  - {name: more, uses: my.model, with: {prompt: more}}\n";
    let again = replay(&log, &longer);
    assert_eq!(again.stopped(), "more (my.model): nothing like it was recorded; make the call with live 'my.model', or record the flow again");
    let shorter = AGENT.replace(
        "  - {name: check",
        "  - {name: check, on_error: {mode: graceful}",
    );
    assert_eq!(replay(&log, &shorter).stopped(), "");
}

#[test]
fn what_was_recorded_elsewhere_is_found_by_its_input() {
    let log = record(AGENT, Snap::Null);
    let renamed = AGENT.replace("name: check", "name: review");
    let again = replay(&log, &renamed);
    assert_eq!(
        (again.stopped(), again.counts()),
        (String::new(), [1, 1, 0])
    );
}

const RETRIES: &str = "
nodes:
  - {name: ask, uses: my.model, with: {prompt: 'fail often'}, on_error: {mode: retry, max_retries: 2, delay: 3600, fallback: after}}
  - {name: skipped, uses: my.model, with: {prompt: never}}
  - {name: after, uses: my.model, with: {prompt: 'soft'}, output: soft}
  - {name: told, uses: my.model, with: {prompt: 'told {{ state.soft.error }} {{ state.__error__.message }}'}, output: told}
";

#[test]
fn failures_come_back_without_their_delays() {
    let quick = RETRIES.replace("3600", "0");
    let log = record(&quick, Snap::Null);
    assert_eq!(
        log.metrics.to_snap().get("error_count"),
        Some(&Snap::Int(4))
    );
    let again = replay(&log, RETRIES);
    assert_eq!(
        (again.stopped(), &*again.same),
        (String::new(), "no differences, 6 the same")
    );
    let state = again.result.unwrap();
    assert_eq!(
        state
            .get("told")
            .unwrap()
            .get("content")
            .and_then(Snap::as_str),
        Some("told soft 4 fail often 3")
    );
}

#[test]
fn nothing_handles_a_stop() {
    let text = "
nodes:
  - name: all
    steps: [{name: ask, uses: my.model, with: {prompt: '{{ state.q }}'}, on_error: {mode: graceful}}]
    on_error: {mode: retry, max_retries: 3, delay: 0, fallback: rest}
  - {name: rest, uses: my.model, with: {prompt: rest}}
";
    let log = record(text, Snap::map([("q", "a".into())]));
    let again = replay_with(
        &log,
        text,
        Options::default(),
        Some(Snap::map([("q", "b".into())])),
    );
    assert_eq!(
        again.report.stopped.as_ref().unwrap().place,
        "all (attempt 1) > ask"
    );
    assert_eq!(
        (again.counts(), again.calls, again.result.is_err()),
        ([0, 0, 0], 0, true)
    );
}

#[test]
fn a_stop_that_was_swallowed_fails_the_run_all_the_same() {
    struct Swallows(Arc<Tape>);
    impl Answers for Swallows {
        fn answer(&self, called: &Called<'_>) -> Result<Snap, Failure> {
            self.0.answer(called).or(Ok(Snap::Null))
        }
        fn finish(&self) -> Result<(), Failure> {
            self.0.finish()
        }
    }
    let log = record(AGENT, Snap::Null);
    let flow = parse(
        &AGENT.replace("write about", "sing about"),
        &Model::default(),
    );
    let tape = Arc::new(Tape::new(&log, &flow, Options::default()).unwrap());
    let registry = registry().with(FlowLayer::new().sink(Arc::clone(&tape)));
    let swallows = Arc::new(Swallows(Arc::clone(&tape)));
    let result = with_default(registry, || {
        flow.run_answered(tape.state().unwrap(), swallows)
    });
    assert_eq!(&*result.unwrap_err().kind, "ReplayStopped");
    assert_eq!(
        (
            tape.report().asked.len(),
            tape.report().stopped.unwrap().place
        ),
        (0, "draft".to_owned())
    );
}

const BRANCHES: &str = "
initial_state: {items: [c, a, b, a]}
nodes:
  - name: all
    type: dynamic_parallel
    items: '{{ state.items }}'
    steps:
      - {name: one, uses: my.model, with: {prompt: same for all}, output: one}
      - {name: two, uses: my.model, with: {prompt: '{{ item }}'}, output: two}
    output: out
  - {name: rounds, type: while_loop, condition: '{{ (state.n or 0) < 3 }}', max_iterations: 5, body: [
      {name: ask, uses: my.model, with: {prompt: round}, output: {n: '{{ (state.n or 0) + 1 }}', last: '{{ result.number }}'}}]}
";

/// Returns the number that the model gave in each branch, by step.
fn numbers(state: &State) -> Vec<String> {
    let Some(Snap::List(branches)) = state.get("out") else {
        panic!("{state:?}");
    };
    let number = |branch: &Snap, step: &str| {
        branch
            .get("state")
            .unwrap()
            .get(step)
            .unwrap()
            .get("number")
            .unwrap()
            .to_json()
    };
    branches
        .iter()
        .flat_map(|branch| ["one", "two"].map(|step| number(branch, step)))
        .collect()
}

#[test]
fn equal_calls_of_branches_and_rounds_get_their_own_answers() {
    for _ in 0..50 {
        let flow = parse(BRANCHES, &Model::default());
        let (result, log) = run(&flow, Snap::Null, info(), None);
        let state = result.unwrap();
        let again = replay(&log, BRANCHES);
        assert_eq!(
            (again.stopped(), again.counts()),
            (String::new(), [11, 0, 0])
        );
        assert!(again.same.starts_with("no differences, "), "{}", again.same);
        let replayed = again.result.unwrap();
        assert_eq!(numbers(&replayed), numbers(&state));
        assert_eq!(replayed.get("last"), state.get("last"));
    }
}

#[test]
fn a_cut_answer_and_a_cut_input_cannot_be_replayed() {
    let text =
        "nodes: [{name: ask, uses: my.model, with: {prompt: 'count {{ state.long }}'}, output: x}]";
    let state = Snap::map([("long", Snap::from("long words ".repeat(1_000)))]);
    let log = record(text, state.clone());
    let again = replay_with(&log, text, Options::default(), Some(state));
    assert_eq!(
        again.stopped(),
        "ask (my.model): its recorded input was cut at input.prompt, and may differ beyond that; record it whole with \
         `record: {full: [my.model]}`, or make the call with live 'my.model'"
    );
    let text = "nodes: [{name: ask, uses: my.model, with: {prompt: long}, output: x}]";
    assert_eq!(
        replay(&record(text, Snap::Null), text).stopped(),
        "ask (my.model): its recorded answer was cut at output; record it whole with `record: {full: [my.model]}`, or make the \
         call with live 'my.model'"
    );
    let text = "nodes: [{name: ask, uses: my.model, with: {prompt: 'count', n: '{{ state.n }}'}, output: x}]";
    let many = Snap::map([("n", Snap::from(vec![1; 300]))]);
    let log = record(text, many.clone());
    let again = replay_with(&log, text, Options::default(), Some(many));
    assert!(
        again.stopped().contains("was cut at input.n"),
        "{}",
        again.stopped()
    );
}

#[test]
fn a_call_without_an_end_cannot_be_replayed() {
    let mut log = record(AGENT, Snap::Null);
    let is_end = |event: &Snap| {
        event.get("step") == Some(&"check".into())
            && event.get("event_type") == Some(&"exit".into())
    };
    log = build_flow_log(log.events.into_iter().filter(|event| !is_end(event)), 0, 0).unwrap();
    let again = replay(&log, AGENT);
    let told = "check (my.model): the recording has no end of it; record it whole with";
    assert!(again.stopped().starts_with(told), "{}", again.stopped());
}

#[test]
fn a_level_that_filtered_the_node_is_told() {
    let flow = parse(AGENT, &Model::default());
    let levels = info();
    levels.set("my", Some(Level::Warn)).unwrap();
    let (_, log) = run(&flow, Snap::Null, levels, None);
    let again = replay(&log, AGENT);
    assert!(
        again
            .stopped()
            .starts_with("draft (my.model): no call of my.model is in the recording; if it was called then, its level was filtered"),
        "{}",
        again.stopped()
    );
}

#[test]
fn secrets_are_compared_without_them_and_never_sent() {
    let text = "
nodes:
  - {name: login, uses: my.model, with: {prompt: 'password={{ state.password }}'}, output: login}
  - {name: ask, uses: my.model, with: {prompt: 'with {{ state.login.content }}'}, output: answer}
";
    let given = |password: &str| Some(Snap::map([("password", password.into())]));
    let log = record(text, given("hunter2xyz").unwrap());
    // A rotated secret does not count as a change.
    for state in [None, given("other-Secret-77")] {
        let again = replay_with(&log, text, Options::default(), state);
        assert_eq!(
            (again.stopped(), again.counts()),
            (String::new(), [2, 0, 0])
        );
    }
    let changed = text.replace("with {{", "now {{");
    let again = replay_with(&log, &changed, live("*"), None);
    assert!(
        again
            .stopped()
            .starts_with("ask (my.model): it would be called with [REDACTED] in place of a secret, which a log does not have"),
        "{}",
        again.stopped()
    );
    assert_eq!(again.calls, 0);
}

#[test]
fn ids_and_ignored_paths_are_not_compared() {
    let text = "
nodes:
  - {name: ask, uses: my.model, with: {prompt: 'run {{ state.flow_id }}', at: '{{ state.at }}', seed: {now: '{{ state.at }}'}}}
";
    let log = record(text, Snap::map([("at", "monday".into())]));
    assert_eq!(replay(&log, text).stopped(), "");
    let tuesday = Some(Snap::map([("at", "tuesday".into())]));
    let again = replay_with(&log, text, Options::default(), tuesday.clone());
    assert!(
        again
            .stopped()
            .contains("input.at: 'monday' -> 'tuesday'; input.seed.now:"),
        "{}",
        again.stopped()
    );
    let ignore = vec!["input.at".to_owned(), "input.seed".to_owned()];
    let again = replay_with(
        &log,
        text,
        Options {
            ignore,
            ..Options::default()
        },
        tuesday,
    );
    assert_eq!(
        (again.stopped(), again.counts()),
        (String::new(), [1, 0, 0])
    );
}

#[test]
fn an_answer_is_given_once() {
    let log = record(AGENT, Snap::Null);
    let twice = AGENT.replace(
        "nodes:",
        "nodes:\n  - {name: first, uses: my.model, with: {prompt: write about rust}, output: first}",
    );
    let again = replay(&log, &twice);
    assert_eq!(
        again.stopped(),
        "draft (my.model): its recorded answer was given to first; it is asked once more than it was recorded; make the call \
         with live 'my.model'"
    );
    let again = replay_with(&log, &twice, live("my.*"), None);
    assert_eq!(
        (again.stopped(), again.counts()),
        (String::new(), [1, 1, 1])
    );
}

#[test]
fn a_run_that_had_failed_fails_alike_or_goes_beyond() {
    let text = "
nodes:
  - {name: ask, uses: my.model, with: {prompt: '```[1]```'}, output: ask}
  - {name: read, uses: json.parse, with: {text: '{{ state.ask.content }}'}, output: read, goto: [{if: '{{ state.read.success }}', to: reply}]}
  - {name: reply, uses: my.model, with: {prompt: 'got {{ state.read.data }}'}}
";
    let log = record(text, Snap::Null);
    assert_eq!(log.status.name(), "error");
    let again = replay(&log, text);
    assert_eq!(
        (again.stopped(), &*again.same),
        (String::new(), "no differences, 3 the same")
    );
    assert!(again
        .result
        .unwrap_err()
        .message
        .contains("no rule of its goto holds"));
    let mended = text.replace(
        "{{ state.ask.content }}",
        "{{ state.ask.content | replace(\"`\", \"\") }}",
    );
    let again = replay(&log, &mended);
    let stopped = again.report.stopped.unwrap();
    assert_eq!(
        (stopped.kind, &*stopped.place, &*stopped.why),
        (
            Why::Beyond,
            "reply",
            "the recording, of a run that failed, ends before this call"
        )
    );
}

#[test]
fn what_may_be_called_and_from_where_is_for_the_caller_to_say() {
    let log = record(AGENT, Snap::Null);
    let again = Options {
        again: true,
        from_step: Some("check".to_owned()),
        ..live("my.*")
    };
    let again = replay_with(&log, AGENT, again, None);
    assert_eq!(
        (again.stopped(), again.counts(), again.calls),
        (String::new(), [1, 0, 1], 1)
    );
    let changed = AGENT.replace("check {{", "check well {{");
    let pretend = Options {
        pretend: vec![Glob::new("my.model")],
        ..Options::default()
    };
    let again = replay_with(&log, &changed, pretend, None);
    assert_eq!(
        (
            again.stopped(),
            again.calls,
            again.report.count(Kind::Pretended)
        ),
        (String::new(), 0, 1)
    );
    let flow = parse(AGENT, &Model::default());
    let from = |step: &str, live| Options {
        from_step: Some(step.to_owned()),
        live,
        ..Options::default()
    };
    for (options, problem) in [
        (from("nowhere", Vec::new()), "is not a step of 'agent'"),
        (from("check", Vec::new()), "name these with live"),
        (
            Options {
                again: true,
                ..Options::default()
            },
            "name them with live",
        ),
        (
            Options {
                secrets: vec![("draft.output.key".to_owned(), "x".into())],
                ..Options::default()
            },
            "no secret was redacted at 'draft.output.key'; nothing was redacted in this recording",
        ),
    ] {
        let error = Tape::new(&log, &flow, options).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_secret_that_is_given_again_makes_a_live_call_possible() {
    let text = "
nodes:
  - {name: login, uses: my.model, with: {prompt: 'password={{ state.password }}'}, output: login}
  - {name: ask, uses: my.model, with: {prompt: 'with {{ state.login.content }}'}, output: answer}
";
    let log = record(text, Snap::map([("password", "hunter2xyz".into())]));
    let changed = text.replace("with {{", "now {{");
    let given = [
        ("login.output.content", "hunter2xyz"),
        ("flow.input.password", "hunter2xyz"),
    ];
    let secrets = given
        .map(|(place, secret)| (place.to_owned(), secret.into()))
        .into();
    let again = replay_with(
        &log,
        &changed,
        Options {
            secrets,
            ..live("*")
        },
        None,
    );
    assert_eq!(
        (again.stopped(), again.counts()),
        (String::new(), [1, 0, 1])
    );
    let state = again.result.unwrap();
    let answer = state
        .get("answer")
        .unwrap()
        .get("content")
        .and_then(Snap::as_str);
    assert_eq!(answer, Some("now password=hunter2xyz"));
}

#[test]
fn a_flow_whose_actions_are_elsewhere_can_be_answered() {
    let log = record(AGENT, Snap::Null);
    assert!(Flow::parse(AGENT, Actions::builtin()).is_err());
    let flow = Flow::parse(AGENT, with_recorded(Actions::builtin(), &log)).unwrap();
    let tape = Arc::new(Tape::new(&log, &flow, Options::default()).unwrap());
    let (result, _) = run(&flow, tape.state().unwrap(), info(), Some(&tape));
    assert!(result.unwrap().get("check").is_some());
    let failure = flow.run(Snap::Null).unwrap_err();
    assert_eq!(
        failure.message,
        "my.model: this program does not have the action; it can only be answered from a recording"
    );
}

/// Writes a full recording of calls, as Python does, and returns it.
fn full(log: &FlowLog, of: &str, line: &str) -> FullRecords {
    let folder = std::env::temp_dir().join(format!(
        "replay-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let span = log
        .spans
        .iter()
        .find(|span| span.step.as_deref() == Some(of))
        .unwrap();
    let flow_id = format!("\"flow_id\":\"{}\",", log.flow_id);
    let own = [flow_id, "\"node\":\"my.model\",".to_owned()];
    let own = own.iter().filter(|pair| !line.contains(&pair[..8]));
    let own: String = own.map(String::as_str).collect();
    let text = format!(
        "{{\"full\":1,\"span_id\":\"{}\",{own}{line}}}\n",
        span.span_id
    );
    std::fs::write(folder.join("run.jsonl.full"), text + "{\"full\":1,\"cut").unwrap();
    let records = FullRecords::beside(&folder.join("run.jsonl")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    records
}

#[test]
fn a_whole_answer_beside_the_log_is_given_for_the_whole_input_only() {
    let text = "nodes: [{name: ask, uses: my.model, with: {prompt: '{{ state.long }}', n: 1.0}, output: x}]";
    let long = "long words ".repeat(1_000);
    let state = |end: &str| Some(Snap::map([("long", Snap::from(format!("{long}{end}")))]));
    let log = record(text, state("a").unwrap());
    // The digest of the input as Python writes it: of {"n":1.0,"prompt":"long words ...a"}.
    let digest = "30839b85e5b6c0d2814ca7bc08b108a5cbdccee2285b7786da85e03bf843ad56";
    let input = format!("\"input\":{{\"sha256\":\"{digest}\"}},");
    let line = input.clone() + r#""output":{"$":"tuple","v":[1,"whole"]},"redacted":[],"lost":{}"#;
    let options = |line: &str| Options {
        full: full(&log, "ask", line),
        ..Options::default()
    };
    let again = replay_with(&log, text, options(&line), state("a"));
    assert_eq!(again.stopped(), "");
    assert_eq!(
        again.result.unwrap().get("x").unwrap().to_json(),
        r#"[1,"whole"]"#
    );
    let again = replay_with(&log, text, options(&line), state("b"));
    assert!(again.stopped().contains("its input differs from the recorded one beyond what the log shows, at input.prompt or elsewhere"));
    let changed = input + r#""output":null,"state":{"seen":1},"redacted":[],"lost":{}"#;
    let again = replay_with(&log, text, options(&changed), state("a"));
    assert!(again.stopped().contains(
        "it changed the state in place (seen), which only Python's runtime can do again"
    ));
}

#[test]
fn the_bases_of_a_recorded_error_decide_about_retries() {
    let text = "
nodes:
  - {name: ask, uses: my.model, with: {prompt: fail}, on_error: {mode: retry, max_retries: 2, delay: 0, retryable_errors: [TimeoutError], fallback: ok}}
  - {name: ok, uses: json.parse, with: {text: '1'}}
";
    let log = record(text, Snap::Null);
    let general = text.replace("[TimeoutError]", "[OSError]");
    assert_eq!(replay(&log, &general).report.asked.len(), 1);
    let line = r#""error":{"mro":["TimeoutError","OSError","Exception"],"message":"m","args":[]},"redacted":[],"lost":{}"#;
    let options = Options {
        full: full(&log, "ask", line),
        ..Options::default()
    };
    assert_eq!(
        replay_with(&log, &general, options, None)
            .report
            .asked
            .len(),
        2
    );
}

// Inputs that look alike.

const ASK: &str =
    "nodes: [{name: ask, uses: my.model, with: {prompt: q, x: '{{ state.x }}'}, output: ask}]";

#[test]
fn an_input_that_is_only_nearly_the_same_is_another_one() {
    let key = Snap::from("sk-live-Zq3xR7tLm9Kp2Wv8Ns4B");
    let below = |end: &str| {
        let long = Snap::from("long words ".repeat(1_000) + end);
        Snap::map([(key.as_str().unwrap(), long)])
    };
    let span = |start: i64| Snap::map([("flow_id", "a".into()), ("start", Snap::Int(start))]);
    let big = 9_007_199_254_740_993;
    for (old, new) in [
        (Snap::Int(10_000_000_001), Snap::Int(10_000_000_002)),
        (Snap::Float(1_764_527_794.12), Snap::Float(1_764_527_794.95)),
        (Snap::Int(big), Snap::Float(big as f64)),
        (span(1), span(2)),
        (below("a"), below("b")),
    ] {
        let log = record(ASK, Snap::map([("x", old)]));
        let again = replay_with(&log, ASK, Options::default(), Some(Snap::map([("x", new)])));
        assert!(again.report.stopped.is_some(), "{}", again.same);
        assert_eq!(again.report.asked, []);
    }
}

#[test]
fn whole_numbers_are_the_same_as_floats_of_their_value() {
    let given = |number| Snap::map([("x", number)]);
    let log = record(ASK, given(Snap::Int(3)));
    let again = replay_with(&log, ASK, Options::default(), Some(given(Snap::Float(3.0))));
    assert_eq!(
        (again.stopped(), again.counts()),
        (String::new(), [1, 0, 0])
    );
}

#[test]
fn a_parameter_called_flow_id_makes_no_event_of_a_call() {
    let text =
        "nodes: [{name: ask, uses: my.model, with: {flow_id: '{{ state.flow_id }}', start: 1}}]";
    let log = record(text, Snap::Null);
    assert_eq!(replay(&log, text).stopped(), "");
    let again = replay(&log, &text.replace("start: 1", "start: 2"));
    assert!(
        again.stopped().contains("input.start: 1 -> 2"),
        "{}",
        again.stopped()
    );
}

#[test]
fn branches_of_a_renamed_step_get_their_own_answers() {
    let text = "
nodes:
  - name: all
    type: dynamic_parallel
    items: [0, 1, 2]
    max_concurrency: 1
    steps: [{name: ask, uses: my.model, with: {prompt: count}, output: one}]
    output: out
";
    let log = record(text, Snap::Null);
    // The first branch is the last one that asks.
    let renamed = text.replace("name: all", "name: each").replace(
        "steps: [",
        "steps: [{name: gate, uses: my.gate, with: {at: '{{ item }}'}}, ",
    ) + "  - {name: end, uses: json.parse, with: {text: '1'}}\n";
    let renamed = renamed.replace("max_concurrency: 1", "max_concurrency: 3");
    let asked = Arc::new(AtomicUsize::new(0));
    let model = Model::default();
    let waits = Arc::clone(&asked);
    let gate = move |params: &Snap, _: &Context<'_>| {
        let Some(Snap::Int(at)) = params.get("at") else {
            panic!("{params:?}");
        };
        while waits.load(Ordering::SeqCst) + usize::try_from(*at).unwrap() < 2 {
            std::thread::yield_now();
        }
        Ok(Snap::Null)
    };
    let flow = Flow::parse(&renamed, model.actions().with("my.gate", gate)).unwrap();
    let tape = Arc::new(Tape::new(&log, &flow, live("my.gate")).unwrap());
    struct Counts(Arc<Tape>, Arc<AtomicUsize>);
    impl Answers for Counts {
        fn answer(&self, called: &Called<'_>) -> Result<Snap, Failure> {
            let answer = self.0.answer(called);
            self.1
                .fetch_add(usize::from(called.name == "my.model"), Ordering::SeqCst);
            answer
        }
    }
    let counts = Arc::new(Counts(Arc::clone(&tape), asked));
    let layer = FlowLayer::with_levels(Arc::new(info())).sink(Arc::clone(&tape));
    let state = with_default(registry().with(layer), || {
        flow.run_answered(Snap::Null, counts)
    });
    let Some(Snap::List(branches)) = state.unwrap().get("out").cloned() else {
        panic!();
    };
    let numbers = branches
        .iter()
        .map(|branch| branch.get("state").unwrap().get("one").cloned().unwrap());
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3].map(Snap::Int));
    assert_eq!(tape.report().count(Kind::Moved), 3);
}

#[test]
fn a_call_that_is_not_logged_gets_no_answer_of_the_span_around_it() {
    let inner = "{observability: {enabled: false}, nodes: [{name: ask, uses: my.model, with: {prompt: q}, output: x}]}";
    let outer = "nodes: [{name: outer, uses: my.outer, with: {prompt: q}, output: out}]";
    let log = record(
        "nodes: [{name: outer, uses: my.model, with: {prompt: q}, output: out}]",
        Snap::Null,
    );
    let inner = parse(inner, &Model::default());
    let tape = Arc::new(Tape::new(&log, &inner, Options::default()).unwrap());
    let answers = Arc::clone(&tape);
    let calls = move |_: &Snap, _: &Context<'_>| {
        let answers = Arc::clone(&answers) as Arc<dyn Answers>;
        inner.run_answered(Snap::Null, answers).map(|_| Snap::Null)
    };
    let actions = Actions::builtin().with("my.outer", calls);
    let flow = Flow::parse(outer, actions).unwrap();
    let layer = FlowLayer::with_levels(Arc::new(info())).sink(Arc::clone(&tape));
    let result = with_default(registry().with(layer), || flow.run(Snap::Null));
    assert!(result.is_err());
    assert_eq!(
        tape.report().stopped.unwrap().why,
        "its level is filtered, so its place is not known"
    );
}

// Secrets that are given back, or must not be sent.

const KEY: &str = "sk-live-Zq3xR7tLm9Kp2Wv8Ns4B";

#[test]
fn secrets_that_are_given_back_are_in_no_log() {
    let text = "
nodes:
  - {name: ask, uses: my.model, with: {prompt: '{{ state.x }}'}, output: ask}
  - {name: two, uses: my.model, with: {prompt: 'say {{ state.ask.content }}'}, output: two}
";
    let own = "the pass of ada"; // it need not look like a secret: what stood there did
    let log = record(text, Snap::map([("x", format!("key {KEY}").into())]));
    let options = |options: Options| {
        let places = ["flow.input.x", "ask.output.content"];
        let secrets = places.map(|place| (place.to_owned(), own.into()));
        Options {
            secrets: secrets.into(),
            ..options
        }
    };
    let again = replay_with(&log, text, options(Options::default()), None);
    assert_eq!(
        (again.stopped(), again.counts(), &*again.same),
        (
            String::new(),
            [2, 0, 0],
            "no differences, 3 the same as far as logged"
        )
    );
    let real = Options {
        again: true,
        from_step: Some("two".to_owned()),
        ..live("my.*")
    };
    let again = replay_with(&log, text, options(real), None);
    assert_eq!(
        (again.stopped(), again.counts()),
        (String::new(), [1, 0, 1])
    );
    let state = again.result.unwrap();
    let sent = state.get("two").unwrap().get("content").cloned();
    assert_eq!(sent, Some(format!("say key {own}").into()));
    let logged = again.log.events.iter().map(Snap::to_json);
    assert!(!logged.collect::<String>().contains(own));
    let other = text.replace("say {{", "tell {{");
    let again = replay_with(&log, &other, options(Options::default()), None);
    let told = again.stopped();
    assert!(
        told.contains("'say key [REDACTED") && !told.contains(own),
        "{told}"
    );
}

#[test]
fn placeholders_that_came_by_an_error_are_never_sent() {
    let text = format!(
        "
nodes:
  - {{name: ask, uses: my.model, with: {{prompt: 'fail {KEY}'}}, on_error: {{mode: graceful}}}}
  - {{name: two, uses: my.model, with: {{prompt: 'say {{{{ state.__error__.message }}}}'}}, output: two}}
"
    );
    let log = record(&text, Snap::Null);
    assert_eq!(replay(&log, &text).stopped(), "");
    let options = Options {
        again: true,
        from_step: Some("two".to_owned()),
        ..live("my.*")
    };
    let again = replay_with(&log, &text, options, None);
    assert_eq!(
        again.stopped(),
        "two (my.model): it would be called with [REDACTED] in place of a secret, which a log does not have"
    );
    assert_eq!(again.calls, 0);
}

#[test]
fn the_hint_names_a_secret_that_was_handed_out() {
    let text = "
nodes:
  - {name: login, uses: my.model, with: {prompt: 'password={{ state.password }}'}, output: login}
  - {name: ask, uses: my.model, with: {prompt: 'with {{ state.login.content }}'}, output: answer}
  - {name: last, uses: my.model, with: {prompt: 'last {{ state.login.content }}'}, output: last}
";
    let log = record(text, Snap::map([("password", "hunter2xyz".into())]));
    let told = |secrets: &[&str]| {
        let secrets = secrets.iter();
        let secrets = secrets.map(|place| ((*place).to_owned(), Snap::from("hunter2xyz")));
        let options = Options {
            secrets: secrets.collect(),
            ..live("*")
        };
        replay_with(&log, &text.replace("last {{", "now {{"), options, None).stopped()
    };
    let hint = "; give the secret: --secret ask.output.content=VARIABLE, or that of login.output.content or flow.input.password";
    assert!(told(&[]).ends_with(hint), "{}", told(&[]));
    let hint = "; give the secret: --secret login.output.content=VARIABLE";
    let given = ["flow.input.password", "ask.output.content"];
    assert!(told(&given).ends_with(hint), "{}", told(&given));
}

// What is said before, and what happens.

#[test]
fn what_is_said_to_be_unusable_is_what_stops() {
    let text = "
nodes:
  - {name: ask, uses: my.model, with: {prompt: 'count {{ state.long }}'}, output: x}
  - {name: two, uses: my.model, with: {prompt: 'count {{ state.long }}'}, output: y}
";
    let state = Snap::map([("long", Snap::from("long words ".repeat(1_000)))]);
    let log = record(text, state.clone());
    let told = |options: Options| {
        let flow = parse(text, &Model::default());
        let tape = Tape::new(&log, &flow, options.clone()).unwrap();
        let problems = tape.problems(&["long"]);
        let again = replay_with(&log, text, options, Some(state.clone()));
        match problems.first() {
            Some(first) => assert!(again.stopped().starts_with(first), "{}", again.stopped()),
            None => assert_eq!(again.stopped(), ""),
        }
        let places = problems.iter().map(|line| line[..3].to_owned());
        places.collect::<Vec<_>>()
    };
    assert_eq!(told(Options::default()), ["ask", "two"]);
    assert_eq!(told(live("my.*")), [""; 0]);
    let later = Options {
        from_step: Some("two".to_owned()),
        ..live("my.*")
    };
    assert_eq!(told(later), ["ask"]);
    let pretend = Options {
        pretend: vec![Glob::new("my.*")],
        ..Options::default()
    };
    assert_eq!(told(pretend), [""; 0]);
    let lost = Options {
        full: full(
            &log,
            "ask",
            r#""input":{"sha256":"0"},"output":1,"redacted":[],"lost":{"input.prompt":"m.C: it is not plain data"}"#,
        ),
        ..Options::default()
    };
    assert_eq!(told(lost), ["ask", "two"]);
}

#[test]
fn an_effect_whose_content_was_cut_can_be_pretended() {
    let text =
        "nodes: [{name: ask, uses: my.model, with: {prompt: 'count {{ state.long }}'}, output: x}]";
    let state = Snap::map([("long", Snap::from("long words ".repeat(1_000)))]);
    let log = record(text, state.clone());
    let pretend = Options {
        pretend: vec![Glob::new("my.*")],
        ..Options::default()
    };
    let again = replay_with(&log, text, pretend, Some(state));
    assert_eq!((again.stopped(), again.calls), (String::new(), 0));
    let pretended = again.report.of(Kind::Pretended).next().unwrap();
    assert!(pretended.why.contains("was cut at input.prompt"));
}

#[test]
fn an_initial_state_that_was_cut_is_given_where_it_was_cut() {
    let text = "nodes: [{name: read, uses: json.parse, with: {text: '1'}, output: x}]";
    let cut = |given: &[&str], state: &Snap| {
        let flow = parse(text, &Model::default());
        let log = record(text, state.clone());
        let tape = Tape::new(&log, &flow, Options::default()).unwrap();
        tape.cut_state(given)
    };
    let long = || Snap::from("long words ".repeat(1_000));
    let body = Snap::map([("title", "t".into()), ("body", long())]);
    let doc = Snap::map([("doc", body)]);
    for given in [&[][..], &["doc.title"], &["do"]] {
        assert_eq!(cut(given, &doc), ["input.doc.body"]);
    }
    for given in ["doc.body", "doc"] {
        assert_eq!(cut(&[given], &doc), [""; 0]);
    }
    let odd = Snap::map([("a b", long())]);
    assert_eq!(cut(&[], &odd), [r#"input["a b"]"#]);
    assert_eq!(cut(&["a b"], &odd), [""; 0]);
    let names: Vec<String> = (0..300).map(|at| format!("k{at}")).collect();
    let many = Snap::map(names.iter().map(|name| (&**name, Snap::Int(1))));
    assert_eq!(cut(&["k1"], &many), ["input"]);
    let all: Vec<&str> = names.iter().map(|name| &**name).collect();
    assert_eq!(cut(&all, &many), [""; 0]);
}

#[test]
fn a_whole_answer_of_another_call_is_refused() {
    let text = "nodes: [{name: ask, uses: my.model, with: {prompt: a}, output: x}]";
    let log = record(text, Snap::Null);
    let told = |line: &str| {
        let options = Options {
            full: full(&log, "ask", line),
            ..Options::default()
        };
        replay_with(&log, text, options, None).stopped()
    };
    assert_eq!(told(r#""output":1"#), "");
    for line in [
        r#""node":"my.two","output":1"#,
        r#""flow_id":"x","node":"my.two","output":1"#,
        r#""error":{"mro":["builtins.ValueError"],"args":[]}"#,
        r#""input":{"sha256":"0"},"error":{}"#,
    ] {
        let told = told(line);
        match line.contains("flow_id") {
            true => assert_eq!(told, ""), // it is of another run
            false => assert!(told.contains("its whole answer is that of another call: the file beside the log was changed, or belongs to another log"), "{told}"),
        }
        assert_eq!(
            line.contains("sha256"),
            told.ends_with("make the call with live 'my.model', or record the flow again")
        );
    }
    let told = told(r#""output":{"$":"int","v":"x"}"#);
    assert!(
        told.contains("output is not a valid recording of a int"),
        "{told}"
    );
}

#[test]
fn a_message_of_an_error_that_was_cut_cannot_be_replayed() {
    let text =
        "nodes: [{name: ask, uses: my.model, with: {prompt: 'fail {{ \"long \" * 2000 }}'}}]";
    let log = record(text, Snap::Null);
    let error = r#""error":{"mro":["TimeoutError"],"args":[],"message":"fail…[+3 chars]"}"#;
    let options = Options {
        pretend: vec![Glob::new("my.*")],
        full: full(&log, "ask", error),
        ..Options::default()
    };
    let told = replay_with(&log, text, options, None).stopped();
    assert!(
        told.contains("its recorded answer was cut at error.message"),
        "{told}"
    );
}

#[test]
fn another_folder_is_no_difference_for_whole_answers() {
    let text = "
nodes:
  - {name: ask, uses: my.model, with: {prompt: '{{ flow_dir }}/x'}, output: ask}
  - {name: two, uses: my.model, with: {prompt: '{{ state.ask.content }}'}, output: two}
";
    let folder = std::env::temp_dir().join(format!("replay-folders-{}", std::process::id()));
    let load = |name: &str| {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("flow.yaml"), text).unwrap();
        Flow::load(folder.join("flow.yaml"), Model::default().actions()).unwrap()
    };
    let (_, log) = run(&load("production"), Snap::Null, info(), None);
    let path = folder.join("production").join("x");
    let answer = format!(r#""output":{{"content":"{}"}}"#, path.display());
    let options = Options {
        full: full(&log, "ask", &answer),
        ..Options::default()
    };
    let flow = load("ci");
    std::fs::remove_dir_all(&folder).unwrap();
    let tape = Arc::new(Tape::new(&log, &flow, options).unwrap());
    let (result, _) = run(&flow, Snap::Null, info(), Some(&tape));
    assert_eq!(tape.report().stopped, None);
    let content = result.unwrap().get("ask").unwrap().get("content").cloned();
    let path = folder.join("ci").join("x");
    assert_eq!(content, Some(Snap::from(&*path.to_string_lossy())));
}

/// Returns what tells a text from others.
fn sum(text: &str) -> Snap {
    let number = text
        .bytes()
        .enumerate()
        .map(|(at, byte)| (at as i64 + 1) * i64::from(byte));
    Snap::Int(number.sum())
}

fn prompts() -> impl Strategy<Value = Vec<String>> {
    let long = "sum of many words ".repeat(500);
    let prompt = proptest::sample::select(vec!["a", "b", "c", "x", "y"]);
    let prompt = prompt.prop_map(move |end| match end {
        "x" | "y" => format!("{long}{end}"), // it differs beyond what a log has
        end => format!("sum {end}"),
    });
    proptest::collection::vec(prompt, 1..7)
}

/// Returns a flow that asks so many prompts of the state.
fn asking(count: usize) -> String {
    let node = |at| {
        format!("  - {{name: s{at}, uses: my.model, with: {{prompt: '{{{{ state.p{at} }}}}'}}, output: o{at}}}\n")
    };
    "nodes:\n".to_owned() + &(0..count).map(node).collect::<String>()
}

fn given(prompts: &[String]) -> Snap {
    let pairs = prompts.iter().enumerate();
    Snap::map(pairs.map(|(at, prompt)| (format!("p{at}"), Snap::from(&**prompt))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Calls that are reordered, left out, repeated or asked with another input never get the answer of something else.
    #[test]
    fn no_answer_is_that_of_another_input(old in prompts(), new in prompts()) {
        let log = record(&asking(old.len()), given(&old));
        let again = replay_with(&log, &asking(new.len()), Options::default(), Some(given(&new)));
        prop_assert_eq!(again.calls, 0);
        let ended = again.log.events.iter().filter(|event| event.get("event_type") == Some(&"exit".into()));
        for end in ended {
            let Some(step) = end.get("step").and_then(Snap::as_str) else {
                continue;
            };
            let at: usize = step[1..].parse().unwrap();
            prop_assert_eq!(end.get("data").unwrap().get("output"), Some(&sum(&new[at])));
        }
    }
}
