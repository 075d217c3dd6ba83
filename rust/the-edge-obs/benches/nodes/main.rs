//! What an observed node costs, here and with `tracing-subscriber`'s JSON lines: `cargo bench --bench nodes`.
//!
//! criterion keeps the history of each contender. The table of ratios at the end is measured apart, with contenders that take turns.

mod counted;
mod setups;
mod table;
mod threads;
mod varied;
mod work;

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use the_edge_obs::{flow, FlowLayer};
use tracing::dispatcher::with_default;
use tracing::Dispatch;

use setups::Folder;
use table::{contender, head, least, row, Contender, Goal};
use varied::{PLAIN, SUSPICIOUS};
use work::{chat, PARAMS};

const ROUNDS: usize = 40;

/// Runs a function inside a flow that goes to a dispatcher.
fn in_flow<T>(dispatch: &Dispatch, run: impl FnOnce() -> T) -> T {
    with_default(dispatch, || {
        let context = flow("bench").start();
        let result = context.in_scope(run);
        context.end();
        result
    })
}

fn small(name: &'static str, node: fn(&work::Params) -> work::Answer) -> Contender<'static> {
    contender(name, move || {
        let _ = black_box(node(black_box(&PARAMS)));
    })
}

fn large<'s>(name: &'static str, node: fn(&work::Chat) -> work::Reply) -> Contender<'s> {
    let chat = chat();
    contender(name, move || {
        let _ = black_box(node(black_box(&chat)));
    })
}

/// Returns a contender whose samples each run in a flow of its own.
fn under<'s>(dispatch: &'s Dispatch, mut inner: Contender<'s>) -> Contender<'s> {
    let name = inner.name;
    let sample = move |calls| in_flow(dispatch, || (inner.sample)(calls));
    Contender {
        name,
        sample: Box::new(sample),
    }
}

/// Measures what a node costs where nobody listens. It comes first: no dispatcher has been made yet.
fn off() -> [f64; 3] {
    let all = vec![
        small("node", work::observed),
        small("span", work::bare_span),
        small("span with fields", work::flat_span),
    ];
    let taken = least(all, 4 * ROUNDS, 100_000);
    [taken[0], taken[1], taken[2]]
}

fn call<T: 'static>(name: &'static str, node: fn() -> T) -> Contender<'static> {
    contender(name, move || {
        let _ = black_box(node());
    })
}

fn texts<'s>(words: &[&'static str], node: fn(&work::Params) -> work::Answer) -> Contender<'s> {
    let mut params = varied::params(words).into_iter().cycle();
    contender("texts", move || {
        let params = params.next().unwrap_or(PARAMS);
        let _ = black_box(node(black_box(&params)));
    })
}

/// Measures nodes that are filtered, by what they return.
fn print_filtered() {
    let (dispatch, _ring) = setups::ring();
    let all = vec![
        under(&dispatch, small("struct", work::filtered)),
        small("bare struct", work::bare),
        under(&dispatch, call("unit", work::filtered_unit)),
        call("bare unit", work::bare_unit),
        under(&dispatch, call("number", work::filtered_number)),
        call("bare number", work::bare_number),
        under(&dispatch, call("text", work::filtered_text)),
        call("bare text", work::bare_text),
        under(&dispatch, call("nested struct", work::filtered_reply)),
        call("bare nested struct", work::bare_reply),
    ];
    let taken = least(all, 4 * ROUNDS, 100_000);
    let whats = [
        "filtered by level, against the bare call",
        "filtered, which returns ()",
        "filtered, which returns a number",
        "filtered, which returns a text",
        "filtered, which returns a nested struct",
    ];
    for (what, pair) in whats.iter().zip(taken.chunks(2)) {
        row(what, pair[0], pair[1], &Goal::Nanoseconds(5.0));
    }
}

fn print_table([node, span, fields]: [f64; 3]) {
    head();
    row(
        "no subscriber, against a bare span!",
        node,
        span,
        &Goal::Ratio(2.0),
    );
    row(
        "no subscriber, against span! with fields",
        node,
        fields,
        &Goal::None,
    );
    print_filtered();
    let folder = Folder::new();
    let (ring, _kept) = setups::ring();
    let file = setups::with(FlowLayer::new().sink(setups::files(&folder)));
    let both = setups::ring_and_file(&folder);
    let (null, json_file) = (setups::json_null(), setups::json_file(&folder));
    let mut all = vec![
        under(&ring, small("ring", work::observed)),
        under(&null, small("json", work::flat_span)),
        under(&ring, large("ring, chat", work::observed_chat)),
        under(&null, large("json, chat", work::flat_chat)),
        under(&file, small("file", work::observed)),
        under(&json_file, small("json file", work::flat_span)),
        under(&file, large("file, chat", work::observed_chat)),
        under(&json_file, large("json file, chat", work::flat_chat)),
        under(&both, small("ring and file", work::observed)),
        under(&json_file, small("json file again", work::flat_span)),
    ];
    for words in [&PLAIN[..], &SUSPICIOUS] {
        for (own, peer) in [(&ring, &null), (&file, &json_file), (&both, &json_file)] {
            all.push(under(own, texts(words, work::observed_varied)));
            all.push(under(peer, texts(words, work::flat_varied)));
        }
    }
    let taken = least(all, ROUNDS, 1_000);
    let whats = [
        ("into the ring, against fmt().json()", Goal::Ratio(0.25)),
        ("into the ring, chat", Goal::None),
        ("into a file, against fmt().json()", Goal::Ratio(0.6)),
        ("into a file, chat", Goal::None),
        ("into a ring and a file", Goal::None),
        ("new texts, into the ring", Goal::Ratio(0.25)),
        ("new texts, into a file", Goal::Ratio(0.6)),
        ("new texts, into both", Goal::None),
        ("new suspicious texts, into the ring", Goal::None),
        ("new suspicious texts, into a file", Goal::None),
        ("new suspicious texts, into both", Goal::None),
    ];
    for ((what, goal), pair) in whats.iter().zip(taken.chunks(2)) {
        row(what, pair[0], pair[1], goal);
    }
    threads::print(&ring, &file, &null, &json_file);
    let (small, chat) = (memory_of("small"), memory_of("chat"));
    println!("\nbytes an event in the ring: {small} small, {chat} chat");
}

/// Names the node whose memory a process of its own measures.
const MEMORY: &str = "NODES_MEMORY";

/// Returns what a process of its own measures: here, memory that was freed before would be used again.
fn memory_of(node: &str) -> String {
    let program = std::env::current_exe().expect("a process knows its program");
    let output = std::process::Command::new(program)
        .env(MEMORY, node)
        .output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// Returns the resident bytes that an event takes in a ring that has room for all of them; 0 where `/proc` is missing.
fn memory(node: &str) -> f64 {
    const NODES: usize = 40_000;
    let limits = the_edge_obs::sink::ring::Limits::new()
        .capacity(3 * NODES)
        .max_bytes(None);
    let ring = limits.ring();
    let dispatch = setups::with(FlowLayer::new().sink(ring.clone()));
    let chat = chat();
    in_flow(&dispatch, || {
        let _ = (work::observed(&PARAMS), work::observed_chat(&chat));
    });
    let before = (resident(), ring.stats().events);
    in_flow(&dispatch, || {
        for _ in 0..NODES {
            if node == "chat" {
                let _ = work::observed_chat(&chat);
            } else {
                let _ = work::observed(&PARAMS);
            }
        }
    });
    (resident() - before.0) / (ring.stats().events - before.1) as f64
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1_024.0
}

fn criterion_groups(criterion: &mut Criterion) {
    let folder = Folder::new();
    let mut off = criterion.benchmark_group("off");
    off.bench_function("node", |bench| {
        bench.iter(|| work::observed(black_box(&PARAMS)))
    });
    off.bench_function("span", |bench| {
        bench.iter(|| work::bare_span(black_box(&PARAMS)))
    });
    off.finish();
    let (ring, _kept) = setups::ring();
    let file = setups::with(FlowLayer::new().sink(setups::files(&folder)));
    let chat = chat();
    let mut own = criterion.benchmark_group("node");
    for (name, dispatch) in [("ring", &ring), ("file", &file)] {
        in_flow(dispatch, || {
            own.bench_function(format!("{name}/small"), |bench| {
                bench.iter(|| work::observed(black_box(&PARAMS)))
            });
            own.bench_function(format!("{name}/chat"), |bench| {
                bench.iter(|| work::observed_chat(black_box(&chat)))
            });
        });
    }
    in_flow(&ring, || {
        own.bench_function("filtered", |bench| {
            bench.iter(|| work::filtered(black_box(&PARAMS)))
        })
    });
    own.finish();
    let mut peer = criterion.benchmark_group("fmt-json");
    for (name, dispatch) in [
        ("null", setups::json_null()),
        ("file", setups::json_file(&folder)),
    ] {
        with_default(&dispatch, || {
            peer.bench_function(format!("{name}/small"), |bench| {
                bench.iter(|| work::flat_span(black_box(&PARAMS)))
            });
            peer.bench_function(format!("{name}/chat"), |bench| {
                bench.iter(|| work::flat_chat(black_box(&chat)))
            });
        });
    }
    peer.finish();
}

fn main() {
    if let Ok(node) = std::env::var(MEMORY) {
        return print!("{:.0}", memory(&node));
    }
    if let Ok(what) = std::env::var(counted::RUN) {
        return counted::run(&what);
    }
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let is_listing = std::env::args().any(|arg| arg == "--list");
    let taken = (is_bench && !is_listing).then(off);
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    let mut criterion = criterion.configure_from_args();
    criterion_groups(&mut criterion);
    criterion.final_summary();
    if let Some(taken) = taken {
        print_table(taken);
    }
}
