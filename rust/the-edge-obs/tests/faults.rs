//! What breaks inside logging never reaches the observed code, is counted, and shows where it can.

mod common;

use std::fmt::{self, Display};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use common::{at, kept, text, Kept};
use serde::{Serialize, Serializer};
use the_edge_obs::{flow, here, log, node, Facts, Flow, FlowLayer, Sink, Snap};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;

/// A sink made of a function.
struct Calls<F>(F);

impl<F: Fn(&Arc<Facts>) -> io::Result<()> + Send + Sync> Sink for Calls<F> {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        (self.0)(facts)
    }

    fn name(&self) -> &str {
        "broken sink"
    }
}

/// Runs a flow with two nodes where a broken sink stands before one that keeps, and returns what that kept, and the flow.
fn beside(broken: impl Sink + 'static) -> (Kept, Arc<Flow>) {
    let kept = Kept::default();
    let layer = FlowLayer::new().sink(broken).sink(kept.clone());
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    let flow = tracing::dispatcher::with_default(&dispatch, two_nodes);
    (kept, flow)
}

/// Runs a flow with two nodes, each of which has its own result.
fn two_nodes() -> Arc<Flow> {
    let run = flow("f").start();
    run.in_scope(|| {
        assert_eq!(node!("first").in_scope(|_| 1), 1);
        assert_eq!(node!("second").run(|_| Err::<u8, _>("own")), Err("own"));
    });
    run.end();
    Arc::clone(run.flow())
}

/// Checks that the kept log is whole, and has one report with a text.
fn assert_reported(kept: &Kept, words: &str) {
    let report = kept.one("obs", "log");
    assert_eq!(text(&report, "level"), "error");
    assert_eq!(text(&report, "parent_id"), "");
    assert_eq!(text(&report, "message"), words);
    assert_eq!(kept.nodes("entry"), ["flow", "first", "second"]);
    assert_eq!(
        (kept.nodes("exit"), kept.nodes("error")),
        (
            vec!["first".to_owned(), "flow".to_owned()],
            vec!["second".to_owned()]
        )
    );
}

// --- sinks ------------------------------------------------------------------------------------------------------------

#[test]
fn a_sink_that_panics_is_reported_once_and_counted() {
    let (kept, flow) = beside(Calls(|_: &_| panic!("out of order")));
    assert_reported(&kept, "broken sink failed: panicked: out of order");
    assert_eq!(flow.faults(), 6);
}

#[test]
fn a_sink_that_fails_is_reported_once_and_counted() {
    let full = || {
        io::Error::new(
            io::ErrorKind::StorageFull,
            "no space, api_key=k-83hd72hs-xyz",
        )
    };
    let (kept, flow) = beside(Calls(move |_: &_| Err(full())));
    assert_reported(&kept, "broken sink failed: no space, api_key=[REDACTED]");
    assert_eq!(flow.faults(), 6);
}

/// An error, or what a panic carries, that panics itself.
#[derive(Debug)]
struct Worse;

impl Display for Worse {
    fn fmt(&self, _out: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("even the error")
    }
}

impl std::error::Error for Worse {}

struct DropsBadly;

impl Drop for DropsBadly {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("even the drop");
        }
    }
}

#[test]
fn an_error_whose_text_panics_is_an_error_too() {
    let (kept, flow) = beside(Calls(|_: &_| Err(io::Error::other(Worse))));
    assert_reported(&kept, "broken sink failed: panicked: even the error");
    assert_eq!(flow.faults(), 6);
    let (kept, flow) = beside(Calls(|_: &_| std::panic::panic_any(DropsBadly)));
    assert_reported(
        &kept,
        "broken sink failed: panicked: a panic without a text",
    );
    assert_eq!(flow.faults(), 6);
}

#[test]
fn a_sink_may_fail_at_the_end_and_have_no_name() {
    struct Ends;
    impl Sink for Ends {
        fn take(&self, _facts: &Arc<Facts>) -> io::Result<()> {
            Ok(())
        }
        fn flow_ended(&self, _flow: &Arc<Flow>) -> io::Result<()> {
            Err(io::Error::other("cannot close"))
        }
        fn name(&self) -> &str {
            panic!("no name")
        }
    }
    let (kept, flow) = beside(Ends);
    assert_reported(&kept, "sink failed: cannot close");
    assert_eq!(flow.faults(), 1);
}

#[test]
fn the_sinks_of_other_layers_are_told_too() {
    let kept = Kept::default();
    let broken = Calls(|_: &_| Err(io::Error::other("disk is gone")));
    let registry = tracing_subscriber::registry()
        .with(FlowLayer::new().sink(broken))
        .with(FlowLayer::new().sink(kept.clone()));
    let flow = tracing::subscriber::with_default(registry, two_nodes);
    assert_reported(&kept, "broken sink failed: disk is gone");
    assert_eq!(flow.faults(), 6);
}

#[test]
fn sinks_that_all_fail_break_nothing() {
    let broken = || Calls(|_: &_| Err(io::Error::other("disk is gone")));
    let layer = FlowLayer::new().sink(broken()).sink(broken());
    let registry = tracing_subscriber::registry().with(layer);
    let flow = tracing::subscriber::with_default(registry, two_nodes);
    assert_eq!(flow.faults(), 2 * 6 + 1); // and one report that did not arrive
}

#[test]
fn a_sink_that_waits_stops_only_its_own_thread() {
    let (arrived, arrival) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let waits = Calls(move |facts: &Arc<Facts>| {
        if &*facts.node == "slow" {
            arrived.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
        }
        Ok(())
    });
    let kept = Kept::default();
    let layer = FlowLayer::new().sink(waits).sink(kept.clone());
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    tracing::dispatcher::with_default(&dispatch, || {
        let run = flow("f").start();
        run.in_scope(|| {
            let here = here();
            std::thread::scope(|scope| {
                scope.spawn(|| here.in_scope(|| node!("slow").in_scope(|_| ())));
                arrival.recv().unwrap();
                // The sink holds that thread now.
                for _ in 0..100 {
                    node!("fast").in_scope(|_| tracing::info!("go on"));
                }
                flow("other").start().end();
                assert_eq!(kept.nodes("exit").len(), 101);
                drop(release);
            });
        });
    });
    assert_eq!(kept.nodes("exit").len(), 103);
}

#[test]
fn what_a_sink_logs_does_not_come_back_to_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&calls);
    let talks = Calls(move |facts: &Arc<Facts>| {
        own.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("from the sink");
        tracing::info_span!("of the sink")
            .in_scope(|| log!("sink", error, message: "from the sink"));
        let result = node!("sink.write").run(|_| Err::<(), _>(facts.node.to_string()));
        assert!(result.is_err());
        let run = flow("sink").start();
        run.in_scope(|| node!("inner").in_scope(|_| ()));
        run.fail("E", "from the sink");
        Ok(())
    });
    let kept = Kept::default();
    let layer = FlowLayer::new()
        .with_foreign_spans()
        .sink(talks)
        .sink(kept.clone());
    let registry = tracing_subscriber::registry().with(layer);
    let flow = tracing::subscriber::with_default(registry, two_nodes);
    assert_eq!((flow.faults(), calls.load(Ordering::Relaxed)), (0, 6));
    assert_eq!(kept.len(), 6, "{:?}", kept.tree());
}

#[test]
fn a_sink_whose_lock_is_poisoned_breaks_nothing() {
    struct Locked(Mutex<usize>, AtomicBool);
    impl Sink for Locked {
        fn take(&self, _facts: &Arc<Facts>) -> io::Result<()> {
            let mut count = self.0.lock().unwrap();
            *count += 1;
            assert!(self.1.swap(true, Ordering::Relaxed), "the first call");
            Ok(())
        }
    }
    let (kept, flow) = beside(Locked(Mutex::new(0), AtomicBool::new(false)));
    assert_reported(&kept, "sink failed: panicked: the first call");
    assert_eq!(flow.faults(), 6); // the later ones by the poisoned lock
}

#[test]
fn a_sink_may_log_when_it_is_dropped() {
    struct Last(Kept);
    impl Sink for Last {
        fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
            self.0.take(facts)
        }
    }
    impl Drop for Last {
        fn drop(&mut self) {
            tracing::info!("gone");
            node!("last").in_scope(|_| log!("gone", info));
            flow("last").start().end();
        }
    }
    let kept = Kept::default();
    let layer = FlowLayer::new().sink(Last(kept.clone()));
    let registry = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(registry, two_nodes);
    assert_eq!(kept.len(), 6);
}

/// Panics when it hears of a node for the first time.
struct Startled(AtomicBool);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Startled {
    fn register_callsite(
        &self,
        metadata: &'static tracing::Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        let is_it = metadata.name() == "startling";
        assert!(!is_it || self.0.swap(true, Ordering::Relaxed), "boo");
        tracing::subscriber::Interest::always()
    }
}

#[test]
fn another_layer_that_panics_over_a_node_does_not_spoil_it() {
    let kept = Kept::default();
    let registry = tracing_subscriber::registry()
        .with(FlowLayer::new().sink(kept.clone()))
        .with(Startled(AtomicBool::new(false)));
    tracing::subscriber::with_default(registry, || {
        let run = flow("f").start();
        let once = || run.in_scope(|| node!("startling").in_scope(|_| 1));
        assert!(std::panic::catch_unwind(once).is_err()); // that panic is not ours
        assert_eq!(once(), 1);
    });
    assert_eq!(kept.nodes("exit"), ["startling", "flow"]);
}

// --- what is captured -------------------------------------------------------------------------------------------------

struct Panics(#[allow(dead_code)] u8);

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        panic!("not today")
    }
}

impl fmt::Debug for Panics {
    fn fmt(&self, _out: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("not today")
    }
}

#[test]
fn a_value_that_panics_costs_its_place_in_the_log() {
    let kept = kept(|| {
        let run = flow("f").input(&Panics(1)).start();
        run.in_scope(|| {
            let _ = node!("n", input: Panics(1)).in_scope(|_| Panics(1));
            let _ =
                node!("m", input: "".chars().next().expect("no input").to_string()).in_scope(|_| 1);
            log!("note", info, data: {"bad": Panics(1), "good": 1});
            tracing::info!(bad = ?Panics(1), good = 1, "hello");
            let _ = node!("e").run(|_| Err::<(), _>(Worse));
        });
    });
    let why = "<cannot be serialised: it panicked: not today>";
    assert_eq!(at(&kept.one("flow", "entry"), "data.input"), &why.into());
    assert_eq!(at(&kept.one("n", "entry"), "data.input"), &why.into());
    assert_eq!(at(&kept.one("n", "exit"), "data.output"), &why.into());
    let input = at(&kept.one("m", "entry"), "data.input").clone();
    assert_eq!(input, "<cannot be captured: no input>".into());
    let note = kept.one("note", "log");
    assert_eq!(at(&note, "data.bad"), &why.into());
    assert_eq!(at(&note, "data.good"), &Snap::Int(1));
    let foreign = kept.one("faults", "log");
    assert_eq!(
        (text(&foreign, "message"), at(&foreign, "data").to_json()),
        (
            "hello",
            r#"{"bad":"<cannot be read: not today>","good":1,"cut":["bad"]}"#.to_owned()
        )
    );
    let error = kept.one("e", "error");
    assert_eq!(text(&error, "message"), "<no text: even the error>");
    assert_eq!(at(&error, "data.error.type"), &"Worse".into());
}

/// A list of lists, of which each may be too long or too deep.
struct Nested {
    levels: usize,
    is_endless: bool,
}

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = Nested {
            levels: self.levels.saturating_sub(1),
            is_endless: self.is_endless,
        };
        match self.is_endless {
            true => serializer.collect_seq((0_u8..).cycle_of(&inner)),
            false if self.levels == 0 => serializer.serialize_str("the end"),
            false => serializer.collect_seq([inner]),
        }
    }
}

trait CycleOf {
    fn cycle_of<T>(self, item: &T) -> impl Iterator<Item = &T>;
}

impl<I: Iterator> CycleOf for I {
    fn cycle_of<T>(self, item: &T) -> impl Iterator<Item = &T> {
        std::iter::repeat(item).take_while(|_| true) // no size is known
    }
}

#[test]
fn a_value_without_an_end_is_taken_in_bounded_time() {
    let begin = Instant::now();
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            let broad = Nested {
                levels: 3,
                is_endless: true,
            };
            node!("broad", input: broad).in_scope(|_| ());
            let deep = Nested {
                levels: 20_000,
                is_endless: false,
            };
            node!("deep", input: deep).in_scope(|_| Nested {
                levels: 20_000,
                is_endless: false,
            });
        });
    });
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert_eq!(kept.nodes("exit"), ["broad", "deep", "flow"]);
    let deep = kept.one("deep", "exit").to_json();
    assert!(deep.contains("[depth]") && deep.len() < 1_000, "{deep}");
}

// --- threads and processes --------------------------------------------------------------------------------------------

/// Logs when its thread ends.
struct AtEnd(Dispatch, Arc<AtomicBool>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        tracing::dispatcher::with_default(&self.0, || {
            let run = flow("at the end").start();
            let sum = run.in_scope(|| node!("n", input: 1).in_scope(|_| 1 + 1));
            run.in_scope(|| log!("note", info));
            let _ = node!("e").run(|_| Err::<(), _>("own"));
            run.end();
            self.1.store(sum == 2, Ordering::Relaxed);
        });
    }
}

thread_local! {
    static FIRST: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn a_thread_may_log_while_it_ends() {
    for logs_before in [false, true] {
        let kept = Kept::default();
        let dispatch =
            Dispatch::new(tracing_subscriber::registry().with(FlowLayer::new().sink(kept.clone())));
        let is_done = Arc::new(AtomicBool::new(false));
        let at_end = AtEnd(dispatch.clone(), Arc::clone(&is_done));
        let thread = std::thread::spawn(move || {
            // Whose thread-locals go first depends on which were used first.
            let log = || tracing::dispatcher::with_default(&dispatch, two_nodes);
            if logs_before {
                log();
            }
            FIRST.with(|own| own.replace(Some(at_end)));
            log();
        });
        thread.join().unwrap();
        assert!(is_done.load(Ordering::Relaxed));
        assert!(kept.len() >= 6);
    }
}

#[test]
fn a_destructor_may_log_while_its_thread_panics() {
    struct Cleanup;
    impl Drop for Cleanup {
        fn drop(&mut self) {
            node!("undo", input: 1).in_scope(|_| log!("undone", info));
            drop(node!("given up").start());
            drop(flow("cleanup").start());
        }
    }
    let kept = kept(|| {
        let run = flow("f").start();
        let caught = std::panic::catch_unwind(|| {
            run.in_scope(|| {
                node!("risky").in_scope::<(), _>(|_| {
                    let _cleanup = Cleanup;
                    panic!("no")
                })
            })
        });
        assert!(caught.is_err());
    });
    assert_eq!(kept.nodes("exit"), ["undo", "flow", "flow"]);
    assert_eq!(kept.nodes("error"), ["given up", "risky"]);
    let given_up = kept.one("given up", "error");
    assert_eq!(at(&given_up, "data.cancelled"), &Snap::Bool(true));
}

#[test]
fn a_process_may_exit_inside_a_span() {
    const CHILD: &str = "THE_EDGE_OBS_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let prints = Calls(|facts: &Arc<Facts>| {
            println!("line {}", facts.event().to_json());
            Ok(())
        });
        let registry = tracing_subscriber::registry().with(FlowLayer::new().sink(prints));
        tracing::subscriber::with_default(registry, || {
            let run = flow("f").start();
            run.in_scope(|| node!("n").in_scope::<(), _>(|_| std::process::exit(3)));
        });
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_process_may_exit_inside_a_span", "--nocapture"]);
    let output = command.env(CHILD, "1").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let out = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = out.lines().filter(|line| line.contains("line {")).collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines
        .iter()
        .all(|line| line.contains(r#""event_type":"entry""#)));
}

#[test]
fn threads_of_a_program_with_one_layer_for_all_may_log_while_they_end() {
    const CHILD: &str = "THE_EDGE_OBS_TEST_GLOBAL";
    if std::env::var_os(CHILD).is_some() {
        let kept = Kept::default();
        let layer = FlowLayer::new().sink(kept.clone());
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        tracing::dispatcher::set_global_default(dispatch.clone()).unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        for logs_before in [false, true] {
            let at_end = Global(Arc::clone(&is_done));
            let thread = std::thread::spawn(move || {
                if logs_before {
                    two_nodes();
                }
                GLOBAL.with(|own| own.replace(Some(at_end)));
                two_nodes();
            });
            thread.join().unwrap();
            assert!(is_done.swap(false, Ordering::Relaxed));
        }
        assert!(kept.len() >= 18);
        std::process::exit(7);
    }
    let name = "threads_of_a_program_with_one_layer_for_all_may_log_while_they_end";
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]);
    let output = command.env(CHILD, "1").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{errors}");
}

/// Logs to the layer of the program when its thread ends.
struct Global(Arc<AtomicBool>);

impl Drop for Global {
    fn drop(&mut self) {
        two_nodes();
        self.0.store(true, Ordering::Relaxed);
    }
}

thread_local! {
    static GLOBAL: std::cell::RefCell<Option<Global>> = const { std::cell::RefCell::new(None) };
}

// --- what stays -------------------------------------------------------------------------------------------------------

/// Keeps nothing but a count of those who hold it.
struct Held(#[allow(dead_code)] Arc<()>);

impl Sink for Held {
    fn take(&self, _facts: &Arc<Facts>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_stays_after_flows_and_layers_are_dropped() {
    let token = Arc::new(());
    let layer = FlowLayer::new()
        .with_foreign_spans()
        .sink(Held(Arc::clone(&token)));
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    let flows: Vec<Weak<Flow>> = tracing::dispatcher::with_default(&dispatch, || {
        let mut flows = vec![Arc::downgrade(&two_nodes())];
        let run = flow("left open").start();
        flows.push(Arc::downgrade(run.flow()));
        run.in_scope(|| {
            let here = here();
            let child = node!("child").start();
            let inside = child.here();
            std::thread::spawn(move || {
                here.in_scope(|| tracing::info_span!("theirs").in_scope(two_nodes))
            })
            .join()
            .unwrap();
            let never = node!("never polled").instrument(async { Ok::<_, String>(()) });
            drop(never);
            drop(inside);
            drop(child);
        });
        drop(run);
        node!("alone").in_scope(|_| ());
        let _ = std::panic::catch_unwind(|| node!("panics").in_scope::<(), _>(|_| panic!("no")));
        flows
    });
    assert!(flows.iter().all(|flow| flow.upgrade().is_none()));
    assert_eq!(Arc::strong_count(&token), 2);
    drop(dispatch);
    assert_eq!(Arc::strong_count(&token), 1);
}

/// Counts the spans that are alive.
struct Alive(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Alive {
    fn on_new_span(
        &self,
        _: &tracing::span::Attributes<'_>,
        _: &tracing::Id,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn on_close(&self, _: tracing::Id, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn a_chain_of_callbacks_does_not_keep_all_of_them_alive() {
    let (kept, alive) = (Kept::default(), Arc::new(AtomicUsize::new(0)));
    let registry = tracing_subscriber::registry()
        .with(FlowLayer::new().sink(kept.clone()))
        .with(Alive(Arc::clone(&alive)));
    tracing::subscriber::with_default(registry, || {
        let run = flow("f").start();
        let mut next = run.here();
        for _ in 0..200 {
            // Each node leaves behind where the next one starts, and ends before it does.
            next = next.in_scope(|| node!("link").in_scope(|_| HereOf(here())).0);
            assert!(alive.load(Ordering::Relaxed) <= 3);
        }
        drop(run);
        for _ in 0..200 {
            next = next.in_scope(|| flow("g").start().in_scope(here));
            assert!(alive.load(Ordering::Relaxed) <= 3);
        }
    });
    assert_eq!(kept.nodes("exit").len(), 401);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

/// An output that is no value.
struct HereOf(the_edge_obs::Here);

impl Serialize for HereOf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

#[test]
fn an_open_span_keeps_its_layer_until_it_ends() {
    let kept = Kept::default();
    let layer = FlowLayer::new().sink(kept.clone());
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    let run = tracing::dispatcher::with_default(&dispatch, || flow("f").start());
    drop(dispatch);
    // There is no default here.
    log!("nowhere", info);
    run.in_scope(|| log!("inside", info));
    run.here().in_scope(|| node!("n").in_scope(|_| ()));
    run.log("note").emit();
    run.end();
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "0 inside log",
            "1 n entry",
            "1 n exit",
            "0 note log",
            "0 flow exit"
        ]
    );
}
