//! Where events belong: across threads, pools, tasks, filters and layers.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use common::{at, kept, text, Kept};
use rayon::prelude::*;
use the_edge_obs::whole_log::WholeLog;
use the_edge_obs::{current, flow, here, log, node, FlowLayer, Level, Levels, Node, Snap};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Instrument, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{reload, EnvFilter, Layer, Registry};

fn run_in(subscriber: impl Subscriber + Send + Sync + 'static, work: impl FnOnce()) {
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), work);
}

fn layer(kept: &Kept) -> FlowLayer {
    FlowLayer::new().sink(kept.clone())
}

/// A flow with a node in it, a log inside that, and an error.
fn small_flow() {
    let run = flow("f").start();
    run.in_scope(|| {
        node!("llm.call").in_scope(|_| log!("scoring", info));
        let _ = node!("http.get").run(|_| Err::<(), _>("no route"));
    });
    run.end();
}

const SMALL: [&str; 7] = [
    "0 flow entry",
    "1 llm.call entry",
    "1 scoring log",
    "1 llm.call exit",
    "1 http.get entry",
    "1 http.get error",
    "0 flow exit",
];

// --- threads ----------------------------------------------------------------------------------------------------------

#[test]
fn a_thread_continues_where_it_was_sent_from() {
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            node!("outer").in_scope(|_| {
                let here = here();
                let thread = std::thread::spawn(move || {
                    let outside = current();
                    let inside = here.in_scope(|| {
                        node!("inner").in_scope(|_| ());
                        current().unwrap().node
                    });
                    (outside, inside, current())
                });
                let (before, inside, after) = thread.join().unwrap();
                assert_eq!((before, &*inside, after), (None, "outer", None));
            });
        });
    });
    let outer = kept.one("outer", "entry");
    let inner = kept.one("inner", "entry");
    assert_eq!(text(&inner, "parent_id"), text(&outer, "span_id"));
}

#[test]
fn scoped_threads_continue_where_they_were_sent_from() {
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            let here = here();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| here.in_scope(|| node!("part").in_scope(|_| ())));
                }
            });
        });
    });
    assert_eq!(kept.nodes("exit"), ["part", "part", "part", "part", "flow"]);
}

#[test]
fn a_pool_continues_where_the_closure_says() {
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            node!("map").in_scope(|_| {
                let here = here();
                let sum: usize = (0..64_usize)
                    .into_par_iter()
                    .map(|item| here.in_scope(|| node!("item", input: item).in_scope(|_| item)))
                    .sum();
                assert_eq!(sum, 2_016);
            });
        });
    });
    let map = kept.one("map", "entry");
    let events = kept.events();
    let items: Vec<&Snap> = events
        .iter()
        .filter(|event| text(event, "node") == "item")
        .collect();
    assert_eq!(items.len(), 128);
    assert!(items
        .iter()
        .all(|event| text(event, "parent_id") == text(&map, "span_id")));
}

#[test]
fn a_flow_or_span_may_be_taken_to_another_thread() {
    let kept = kept(|| {
        let run = flow("f").start();
        let span = run.in_scope(|| node!("outer").start());
        let work = move || {
            let span = run.in_scope(|| {
                node!("beside").in_scope(|_| ());
                span
            });
            span.in_scope(|| node!("inside").in_scope(|_| ()));
            span.end(None);
            run.end();
        };
        std::thread::spawn(work).join().unwrap();
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "1 outer entry",
            "1 beside entry",
            "1 beside exit",
            "2 inside entry",
            "2 inside exit",
            "1 outer exit",
            "0 flow exit"
        ]
    );
}

#[test]
fn what_was_nowhere_stays_where_it_runs() {
    let nowhere = here();
    let kept = kept(|| {
        nowhere.in_scope(|| flow("f").start().end());
    });
    assert_eq!(kept.nodes("exit"), ["flow"]);
}

/// Counts events, and knows no spans.
struct Counts(Arc<AtomicUsize>);

impl Subscriber for Counts {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::Id) {}
    fn exit(&self, _: &tracing::Id) {}
}

#[test]
fn a_collector_of_another_kind_is_carried_too() {
    let count = Arc::new(AtomicUsize::new(0));
    run_in(Counts(Arc::clone(&count)), || {
        let run = flow("f").start();
        let here = here();
        let thread = std::thread::spawn(move || {
            here.in_scope(|| tracing::info!("one"));
            run.in_scope(|| node!("n").in_scope(|_| tracing::info!("two")));
        });
        thread.join().unwrap();
    });
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[test]
fn a_thread_of_its_own_default_has_its_own_flows() {
    let (outer, inner) = (Kept::default(), Kept::default());
    run_in(tracing_subscriber::registry().with(layer(&outer)), || {
        let run = flow("outer").start();
        run.in_scope(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    run_in(tracing_subscriber::registry().with(layer(&inner)), || {
                        assert_eq!(current(), None);
                        flow("inner")
                            .start()
                            .in_scope(|| node!("n").in_scope(|_| ()));
                    });
                });
            });
        });
    });
    assert_eq!(outer.tree(), ["0 flow entry", "0 flow exit"]);
    assert_eq!(
        inner.tree(),
        ["0 flow entry", "1 n entry", "1 n exit", "0 flow exit"]
    );
}

#[test]
fn a_child_may_outlive_its_parent() {
    let kept = kept(|| {
        let run = flow("f").start();
        let parent = run.in_scope(|| node!("parent").start());
        let child = parent.in_scope(|| node!("child").start());
        parent.end(None);
        child.in_scope(|| {
            assert_eq!(&*current().unwrap().node, "child");
            node!("grandchild").in_scope(|_| ());
            log!("note", info);
        });
        child.end(None);
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "1 parent entry",
            "2 child entry",
            "1 parent exit",
            "3 grandchild entry",
            "3 grandchild exit",
            "2 note log",
            "2 child exit",
            "0 flow exit"
        ]
    );
}

#[test]
fn code_left_in_an_ended_span_belongs_to_the_nearest_open_one() {
    let kept = kept(|| {
        let run = flow("f").start();
        let left = run.in_scope(|| {
            let parent = node!("parent").start();
            let left = parent.in_scope(here);
            parent.end(None);
            left
        });
        left.in_scope(|| {
            assert_eq!(&*current().unwrap().node, "flow");
            node!("late").in_scope(|_| ());
            tracing::info!("late too");
        });
        run.end();
        left.in_scope(|| {
            assert_eq!(current(), None);
            node!("too late").in_scope(|_| ()); // the root of a flow of its own
            tracing::info!("lost");
        });
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "1 parent entry",
            "1 parent exit",
            "1 late entry",
            "1 late exit",
            "0 context log",
            "0 flow exit",
            "0 too late entry",
            "0 too late exit"
        ]
    );
    let events = kept.events();
    assert_eq!(text(&events[5], "span_id"), text(&events[0], "span_id"));
    assert_ne!(text(&events[7], "flow_id"), text(&events[0], "flow_id"));
}

#[test]
fn a_kept_clone_does_not_delay_the_end() {
    let mut clones = Vec::new();
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            node!("a").in_scope(|_| clones.push(tracing::Span::current()));
            node!("b").in_scope(|_| ());
        });
    });
    assert_eq!(kept.nodes("exit"), ["a", "b", "flow"]);
    let before = kept.len();
    clones.clear();
    assert_eq!(kept.len(), before);
}

// --- futures ----------------------------------------------------------------------------------------------------------

fn tokio_runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().build().unwrap()
}

#[test]
fn tasks_continue_where_they_are_instrumented() {
    let kept = kept(|| {
        let run = flow("f").start();
        let work = async {
            let here = here();
            let tasks: Vec<_> = (0..8_u64)
                .map(|item| {
                    let here = here.clone();
                    tokio::spawn(async move {
                        let part = async move {
                            tokio::time::sleep(Duration::from_millis(item % 3)).await;
                            node!("inner").in_scope(|_| ());
                            Ok::<_, String>(item)
                        };
                        here.instrument(node!("part", input: item).instrument(part))
                            .await
                    })
                })
                .collect();
            for (item, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), Ok(item as u64));
            }
            let blocking = here.clone();
            let task = tokio::task::spawn_blocking(move || {
                blocking.in_scope(|| node!("blocking").in_scope(|_| 7))
            });
            assert_eq!(task.await.unwrap(), 7);
        };
        tokio_runtime().block_on(run.here().instrument(work));
    });
    let tree = kept.tree();
    let count = |line: &str| tree.iter().filter(|own| *own == line).count();
    assert_eq!(
        (
            count("1 part exit"),
            count("2 inner exit"),
            count("1 blocking exit")
        ),
        (8, 8, 1),
        "{tree:?}"
    );
    // Each inner node is a child of its own part.
    let events = kept.events();
    let parents: std::collections::HashSet<&str> = events
        .iter()
        .filter(|event| text(event, "node") == "inner")
        .map(|event| text(event, "parent_id"))
        .collect();
    assert_eq!(parents.len(), 8);
}

#[test]
fn a_future_that_is_dropped_midway_is_logged_once_as_cancelled() {
    let kept = kept(|| {
        let run = flow("f").start();
        let work = async {
            let slow = node!("slow").instrument(async {
                node!("step").in_scope(|_| ());
                std::future::pending::<Result<(), String>>().await
            });
            tokio::select! {
                _ = slow => unreachable!(),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            node!("next").in_scope(|_| ());
        };
        tokio_runtime().block_on(run.here().instrument(work));
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "1 slow entry",
            "2 step entry",
            "2 step exit",
            "1 slow error",
            "1 next entry",
            "1 next exit",
            "0 flow exit"
        ]
    );
    let cancelled = kept.one("slow", "error");
    assert_eq!(text(&cancelled, "level"), "warn");
    assert_eq!(at(&cancelled, "data.cancelled"), &Snap::Bool(true));
}

#[test]
fn a_future_that_is_never_polled_logs_nothing() {
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            let inner = async { Ok::<_, String>(()) };
            drop(node!("never", input: 1).instrument(inner));
            drop(
                run.here()
                    .instrument(async { node!("never").in_scope(|_| ()) }),
            );
        });
    });
    assert_eq!(kept.tree(), ["0 flow entry", "0 flow exit"]);
}

#[test]
fn a_future_that_panics_is_logged_with_its_text() {
    let kept = kept(|| {
        let run = flow("f").start();
        let panics = async {
            if current().is_some() {
                std::panic::panic_any("no 7".to_owned());
            }
            Ok::<(), String>(())
        };
        let mut future = pin!(run.here().instrument(node!("risky").instrument(panics)));
        let poll = std::panic::AssertUnwindSafe(|| {
            let _ = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
        });
        let panic = std::panic::catch_unwind(poll).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "no 7");
    });
    let error = kept.one("risky", "error");
    assert_eq!(
        (text(&error, "message"), at(&error, "data.error.type")),
        ("no 7", &"panic".into())
    );
}

#[test]
fn instrumented_futures_nest_and_interleave() {
    let kept = kept(|| {
        let run = flow("f").start();
        let work = async {
            let inner = |wait: u64| {
                node!("inner").instrument(async move {
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    assert_eq!(&*current().unwrap().node, "inner");
                    Ok::<_, String>(())
                })
            };
            let outer = |node: &'static Node, wait: u64| {
                node!(dyn node).instrument(async move {
                    inner(wait).await?;
                    assert_eq!(current().unwrap().node.as_ref(), node.name());
                    Ok::<_, String>(())
                })
            };
            let (left, right) = (
                Node::intern("left", Level::Info),
                Node::intern("right", Level::Info),
            );
            let (one, other) = tokio::join!(outer(left, 6), outer(right, 2));
            assert_eq!((one, other), (Ok(()), Ok(())));
        };
        tokio_runtime().block_on(run.here().instrument(work));
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "1 left entry",
            "2 inner entry",
            "1 right entry",
            "2 inner entry",
            "2 inner exit",
            "1 right exit",
            "2 inner exit",
            "1 left exit",
            "0 flow exit"
        ]
    );
}

// --- layers and filters -----------------------------------------------------------------------------------------------

#[test]
fn a_layer_may_be_wrapped() {
    let kept_of = |wrap: &dyn Fn(FlowLayer) -> Dispatch| {
        let kept = Kept::default();
        tracing::dispatcher::with_default(&wrap(layer(&kept)), small_flow);
        kept.tree()
    };
    let registry = tracing_subscriber::registry;
    let boxed = |layer: FlowLayer| -> Dispatch { registry().with(layer.boxed()).into() };
    assert_eq!(kept_of(&boxed), SMALL);
    let listed = |layer: FlowLayer| -> Dispatch {
        let fmt = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![fmt.boxed(), layer.boxed()];
        registry().with(layers).into()
    };
    assert_eq!(kept_of(&listed), SMALL);
    let optional = |layer: FlowLayer| -> Dispatch { registry().with(Some(layer)).into() };
    assert_eq!(kept_of(&optional), SMALL);
    let filtered = |layer: FlowLayer| registry().with(layer.with_filter(LevelFilter::INFO)).into();
    assert_eq!(kept_of(&filtered), SMALL);
    let by_target = |layer: FlowLayer| {
        let targets = Targets::new().with_target("tea", LevelFilter::DEBUG);
        registry().with(layer.with_filter(targets)).into()
    };
    assert_eq!(kept_of(&by_target), SMALL);
    let inside = |layer: FlowLayer| {
        let fmt = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        registry()
            .with(reload::Layer::new(layer).0)
            .with(fmt)
            .into()
    };
    assert_eq!(kept_of(&inside), SMALL);
}

#[test]
fn a_filter_of_the_layer_takes_nodes_away_and_keeps_errors() {
    let kept = Kept::default();
    let layer = layer(&kept).with_filter(LevelFilter::WARN);
    run_in(tracing_subscriber::registry().with(layer), small_flow);
    // Rule L18: what happens inside belongs to the enclosing span; `log!` is not asked about by filters of `tracing`.
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "0 scoring log",
            "1 http.get error",
            "0 flow exit"
        ]
    );
}

#[test]
fn a_filter_that_does_not_want_the_root_still_gives_its_nodes_to_the_flow() {
    let kept = Kept::default();
    let targets = Targets::new().with_target("tea.llm", LevelFilter::INFO);
    let mut flow_id = String::new();
    run_in(
        tracing_subscriber::registry().with(layer(&kept).with_filter(targets)),
        || {
            let run = flow("f").start();
            flow_id = run.flow_id().to_string();
            run.in_scope(|| {
                node!("llm.call").in_scope(|_| node!("http.get").in_scope(|_| ()));
                node!("llm.call").in_scope(|_| ());
            });
        },
    );
    assert_eq!(
        kept.nodes("entry"),
        ["llm.call", "llm.call"],
        "{:?}",
        kept.tree()
    );
    assert!(kept
        .events()
        .iter()
        .all(|event| text(event, "flow_id") == flow_id && !text(event, "parent_id").is_empty()));
}

#[test]
fn a_filter_for_the_whole_program_keeps_the_flow_and_its_errors() {
    let kept = Kept::default();
    let registry = tracing_subscriber::registry()
        .with(layer(&kept))
        .with(EnvFilter::new("warn"));
    run_in(registry, || {
        let run = flow("f").start();
        run.in_scope(|| {
            let _ = node!("outer").run(|_| {
                tracing::warn!("careful");
                tracing::info!("chatter");
                node!("inner", step: "s").run(|_| Err::<(), _>("broke"))
            });
        });
        run.end();
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "0 context log",
            "1 inner error",
            "1 outer error",
            "0 flow exit"
        ]
    );
    let inner = kept.one("inner", "error");
    assert_eq!(
        (text(&inner, "step"), text(&inner, "message")),
        ("s", "broke")
    );
    assert_eq!(at(&inner, "metrics").to_json(), "{}");
}

#[test]
fn a_node_that_is_filtered_still_reports_the_failure_that_it_returns() {
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            let soft = || Snap::map([("success", Snap::Bool(false)), ("error", "no".into())]);
            let outcome = node!("llm.call", debug, step: "ask").in_scope(|_| soft());
            assert_eq!(outcome, soft());
            node!("ok", debug).in_scope(|_| Snap::map([("success", Snap::Bool(true))]));
            let work = node!("later", debug).instrument(async { Ok::<_, String>(soft()) });
            tokio_runtime().block_on(work).unwrap();
        });
    });
    assert_eq!(kept.nodes("error"), ["llm.call", "later"]);
    assert_eq!(kept.len(), 4);
    let error = kept.one("llm.call", "error");
    assert_eq!(text(&error, "step"), "ask");
    assert_eq!(at(&error, "data.error.type"), &"ActionError".into());
    assert_eq!(at(&error, "data.output.error"), &"no".into());
    assert_eq!(at(&error, "metrics").to_json(), "{}");
}

#[test]
fn a_program_that_filters_everything_has_no_log() {
    for filter in ["off", "warn,tea.flow=off"] {
        let kept = Kept::default();
        let registry = tracing_subscriber::registry()
            .with(layer(&kept))
            .with(EnvFilter::new(filter));
        run_in(registry, || {
            let run = flow("f").start();
            run.in_scope(|| node!("n").in_scope(|_| ()));
            run.end();
        });
        assert_eq!(kept.len(), 0, "{filter}: {:?}", kept.tree());
    }
}

#[test]
fn two_layers_have_their_own_levels_and_the_same_ids() {
    let (all, few) = (Kept::default(), Kept::default());
    let levels = |level| Arc::new(Levels::new(Some(level)));
    let registry = tracing_subscriber::registry()
        .with(FlowLayer::with_levels(levels(Level::Debug)).sink(all.clone()))
        .with(FlowLayer::with_levels(levels(Level::Info)).sink(few.clone()));
    run_in(registry, || {
        let run = flow("f").start();
        run.in_scope(|| {
            node!("outer").in_scope(|_| {
                node!("detail", debug).in_scope(|_| node!("inner").in_scope(|_| ()));
                tracing::debug!("fine");
            });
        });
    });
    let (all, few) = (all.events(), few.events());
    assert_eq!((all.len(), few.len()), (9, 6));
    // The log of the one is that of the other without what its level filters.
    let expected: Vec<&Snap> = all
        .iter()
        .filter(|event| text(event, "level") != "debug")
        .collect();
    assert_eq!(few.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn more_layers_than_fit_break_nothing() {
    let kepts: Vec<Kept> = (0..40).map(|_| Kept::default()).collect();
    let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> =
        kepts.iter().map(|kept| layer(kept).boxed()).collect();
    run_in(tracing_subscriber::registry().with(layers), small_flow);
    assert!(kepts[..32].iter().all(|kept| kept.tree() == SMALL));
    assert!(kepts[32..].iter().all(|kept| kept.len() == 0));
}

#[test]
fn a_layer_that_is_swapped_in_takes_over() {
    let (first, second) = (Kept::default(), Kept::default());
    let (reloaded, handle) = reload::Layer::new(layer(&first));
    run_in(tracing_subscriber::registry().with(reloaded), || {
        let run = flow("f").start();
        run.in_scope(|| {
            node!("before").in_scope(|_| ());
            let open = node!("across").start();
            handle.reload(layer(&second)).unwrap();
            open.end(None);
            node!("after").in_scope(|_| tracing::info!("seen"));
            log!("note", info);
        });
        run.end();
        flow("g").start().end();
    });
    // The old layer gets the ends of what it has begun, and nothing new.
    assert_eq!(
        first.tree(),
        [
            "0 flow entry",
            "1 before entry",
            "1 before exit",
            "1 across entry",
            "1 across exit",
            "0 flow exit"
        ]
    );
    assert_eq!(
        second.nodes("entry"),
        ["after", "flow"],
        "{:?}",
        second.tree()
    );
    assert_eq!(second.nodes("log"), ["context", "note"]);
}

#[test]
fn logging_may_be_switched_on_during_a_flow() {
    let kept = Kept::default();
    let (reloaded, handle) = reload::Layer::new(None::<FlowLayer>);
    run_in(tracing_subscriber::registry().with(reloaded), || {
        let run = flow("f").start();
        run.in_scope(|| {
            node!("before").in_scope(|_| ());
            handle.reload(Some(layer(&kept))).unwrap();
            node!("after").in_scope(|_| ());
        });
        assert_eq!(
            text(&kept.events()[0], "flow_id"),
            run.flow_id().to_string()
        );
    });
    assert_eq!(kept.nodes("entry"), ["after"]);
}

#[test]
fn levels_may_change_while_running() {
    let kept = Kept::default();
    let levels = Arc::new(Levels::new(Some(Level::Info)));
    let layer = FlowLayer::with_levels(Arc::clone(&levels)).sink(kept.clone());
    run_in(tracing_subscriber::registry().with(layer), || {
        let run = flow("f").start();
        let once = || {
            node!("llm.call", debug).in_scope(|_| ());
            node!("http.get").in_scope(|_| ());
        };
        run.in_scope(|| {
            once();
            levels.set("llm", Some(Level::Debug)).unwrap();
            levels.set("http", None).unwrap();
            once();
            levels.unset("llm");
            levels.unset("http");
            once();
            // A span that is open when its level is filtered still ends.
            let open = node!("http.get").start();
            levels.set("http", None).unwrap();
            open.end(None);
        });
    });
    let expected = ["http.get", "llm.call", "http.get", "http.get", "flow"];
    assert_eq!(kept.nodes("exit"), expected);
}

#[test]
fn layers_and_levels_may_change_while_threads_log() {
    let kept = Kept::default();
    let levels = Arc::new(Levels::new(Some(Level::Info)));
    let new = || FlowLayer::with_levels(Arc::clone(&levels)).sink(kept.clone());
    let (reloaded, handle) = reload::Layer::new(new());
    run_in(tracing_subscriber::registry().with(reloaded), || {
        let here = here();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        here.in_scope(|| {
                            for _ in 0..300 {
                                let run = flow("f").start();
                                run.in_scope(|| {
                                    node!("llm.call").in_scope(|_| tracing::info!("hello"));
                                    let sum = node!("sum", debug).run(|_| Ok::<_, String>(2));
                                    assert_eq!(sum, Ok(2));
                                });
                            }
                        });
                    })
                })
                .collect();
            let mut at = 0;
            while !workers
                .iter()
                .all(std::thread::ScopedJoinHandle::is_finished)
            {
                at += 1;
                let level = [Some(Level::Debug), None, Some(Level::Info)][at % 3];
                levels.set("", level).unwrap();
                handle.reload(new()).unwrap();
                std::thread::yield_now();
            }
        });
        levels.set("", Some(Level::Info)).unwrap();
        flow("last").start().end();
    });
    let events = kept.events();
    let names = events.iter().map(|event| at(event, "data.name"));
    assert_eq!(names.filter(|name| **name == "last".into()).count(), 1);
}

// --- other code -------------------------------------------------------------------------------------------------------

#[test]
fn spans_of_other_code_are_no_nodes() {
    let kept = kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            node!("outer").in_scope(|_| {
                tracing::info_span!("theirs", secret = "x").in_scope(|| {
                    node!("inner").in_scope(|_| tracing::info!("hello"));
                });
            });
        });
    });
    assert_eq!(
        kept.tree(),
        [
            "0 flow entry",
            "1 outer entry",
            "2 inner entry",
            "2 context log",
            "2 inner exit",
            "1 outer exit",
            "0 flow exit"
        ]
    );
}

#[test]
fn spans_of_other_code_are_nodes_on_request() {
    let kepts = [Kept::default(), Kept::default()];
    let with_spans = |kept: &Kept| layer(kept).with_foreign_spans();
    let registry = tracing_subscriber::registry()
        .with(with_spans(&kepts[0]))
        .with(with_spans(&kepts[1]));
    run_in(registry, || {
        let outside = tracing::info_span!("outside any flow");
        let run = flow("f").start();
        run.in_scope(|| {
            tracing::info_span!("theirs", items = 3).in_scope(|| {
                node!("inner").in_scope(|_| ());
            });
            tracing::debug_span!("filtered").in_scope(|| node!("inner").in_scope(|_| ()));
        });
        drop(outside);
    });
    for kept in &kepts {
        assert_eq!(
            kept.tree(),
            [
                "0 flow entry",
                "1 theirs entry",
                "2 inner entry",
                "2 inner exit",
                "1 theirs exit",
                "1 inner entry",
                "1 inner exit",
                "0 flow exit"
            ]
        );
        let events = kept.events();
        assert_eq!(at(&events[1], "data.input.items"), &Snap::Int(3));
        assert!(matches!(
            at(&events[4], "metrics.duration_ms"),
            Snap::Float(_)
        ));
    }
    let events = kepts[0].events();
    assert_eq!(events, kepts[1].events());
    let mut whole = WholeLog::new();
    for (line, event) in events.iter().enumerate() {
        whole.add(line + 1, event);
    }
    assert_eq!(whole.faults(), []);
}

#[test]
fn a_panic_ends_spans_of_other_code_too() {
    struct Cleanup;
    impl Drop for Cleanup {
        fn drop(&mut self) {
            tracing::info_span!("cleanup").in_scope(|| node!("undo").in_scope(|_| ()));
        }
    }
    let kept = Kept::default();
    run_in(
        tracing_subscriber::registry().with(layer(&kept).with_foreign_spans()),
        || {
            let run = flow("f").start();
            let caught = std::panic::catch_unwind(|| {
                run.in_scope(|| {
                    tracing::info_span!("theirs").in_scope(|| {
                        let _cleanup = Cleanup;
                        panic!("no")
                    })
                })
            });
            assert!(caught.is_err());
        },
    );
    // What began in the destructor did not panic itself.
    assert_eq!(kept.nodes("error"), ["theirs"]);
    assert_eq!(kept.nodes("exit"), ["undo", "cleanup", "flow"]);
}

#[test]
fn events_of_other_code_become_logs() {
    let kept = kept(|| {
        tracing::error!("outside any flow");
        let run = flow("f").start();
        run.in_scope(|| {
            tracing::error!(
                target: "db.pool",
                code = 7_u64,
                ratio = 0.5,
                ok = false,
                name = "main",
                size = u128::MAX,
                why = ?Some(1),
                "lost {} of {}",
                1,
                2
            );
            tracing::trace!("below debug");
            tracing::warn!(target: "", error = &std::fmt::Error as &dyn std::error::Error);
            tracing::info!(parent: None, "elsewhere");
        });
    });
    let events = kept.events();
    assert_eq!(kept.nodes("log"), ["db.pool", "root"]);
    let error = &events[1];
    assert_eq!(
        (text(error, "level"), text(error, "message")),
        ("error", "lost 1 of 2")
    );
    assert_eq!(
        at(error, "data").to_json(),
        format!(
            r#"{{"code":7,"ratio":0.5,"ok":false,"name":"main","size":"{}","why":"Some(1)"}}"#,
            u128::MAX
        )
    );
    assert_eq!(text(error, "span_id"), text(&events[0], "span_id"));
    assert_eq!(
        at(&events[2], "data").to_json(),
        r#"{"error":{"type":"Error","message":"an error occurred when formatting an argument"}}"#
    );
}

#[test]
fn events_of_the_crate_log_have_their_own_target() {
    let kept = kept(|| {
        flow("f").start().in_scope(|| {
            // As the bridge of `tracing-log` makes them.
            tracing::warn!(
                target: "log",
                { log.target = "hyper::client", log.module_path = "hyper::client::pool", log.file = "pool.rs", log.line = 7 },
                "slow"
            );
            tracing::debug!(target: "log", { log.target = "hyper::client" }, "below the level");
        });
    });
    let event = kept.one("hyper::client", "log");
    assert_eq!(
        (text(&event, "message"), at(&event, "data").to_json()),
        ("slow", "{}".to_owned())
    );
}

#[test]
fn a_span_that_was_made_elsewhere_takes_the_code_in_it_there() {
    let kept = kept(|| {
        let run = flow("f").start();
        let theirs = tracing::info_span!("theirs");
        let work = node!("ours").instrument(
            async {
                tokio::task::yield_now().await;
                node!("inner").in_scope(|_| ());
                Ok::<_, String>(())
            }
            .instrument(theirs),
        );
        tokio_runtime()
            .block_on(run.here().instrument(work))
            .unwrap();
    });
    // Their span was made outside of ours: it says where the code inside it belongs.
    assert_eq!(kept.nodes("entry"), ["flow", "ours", "inner"]);
    let inner = kept.one("inner", "entry");
    assert_ne!(text(&inner, "flow_id"), text(&kept.events()[0], "flow_id"));
}

#[test]
fn flows_inside_flows_do_not_mix() {
    let kept = kept(|| {
        let outer = flow("outer").start();
        outer.in_scope(|| {
            node!("a").in_scope(|_| {
                let inner = flow("inner").start();
                inner.in_scope(|| node!("b").in_scope(|_| ()));
                // Outside the inner flow's scope, still inside `a`.
                node!("c").in_scope(|_| ());
                inner.log("note").emit();
                inner.end();
            });
        });
    });
    let events = kept.events();
    let flow_of = |node: &str| {
        let entry = kept.one(node, "entry");
        text(&entry, "flow_id").to_owned()
    };
    assert_eq!(flow_of("a"), flow_of("c"));
    assert_ne!(flow_of("a"), flow_of("b"));
    let note = kept.one("note", "log");
    assert_eq!(text(&note, "flow_id"), flow_of("b"));
    assert_eq!(text(&note, "parent_id"), "");
    assert_eq!(
        text(&kept.one("c", "entry"), "parent_id"),
        text(&kept.one("a", "entry"), "span_id")
    );
    assert_eq!(events.len(), 12);
}
