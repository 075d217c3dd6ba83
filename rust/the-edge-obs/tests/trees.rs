//! Any tree of nodes, over threads and tasks, gives a whole log of that tree.

mod common;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;

use common::{kept, text};
use proptest::prelude::*;
use the_edge_obs::whole_log::WholeLog;
use the_edge_obs::{flow, here, log, node, Level, Node};

/// How a node runs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    /// Inside its parent, one after the other.
    Inline,
    /// Started and ended by hand.
    ByHand,
    /// On a thread of its own, beside its siblings.
    Thread,
    /// In a pool.
    Pool,
    /// As a future that is polled beside those of its siblings.
    Future,
    /// As a task of its own.
    Task,
}

#[derive(Debug, Clone)]
struct Tree {
    how: How,
    fails: bool,
    logs: bool,
    children: Vec<Tree>,
    /// Its name: unique in the whole tree.
    number: usize,
}

fn trees() -> impl Strategy<Value = Tree> {
    use How::{ByHand, Future, Inline, Pool, Task, Thread};
    let how = prop::sample::select(vec![Inline, ByHand, Thread, Pool, Future, Task]);
    let leaf = (how, any::<bool>(), any::<bool>()).prop_map(|(how, fails, logs)| Tree {
        how,
        fails,
        logs,
        children: Vec::new(),
        number: 0,
    });
    let grown = leaf.clone().prop_recursive(4, 24, 4, move |inner| {
        (leaf.clone(), prop::collection::vec(inner, 0..4))
            .prop_map(|(tree, children)| Tree { children, ..tree })
    });
    grown.prop_map(|mut tree| {
        number(&mut tree, &mut 0);
        tree
    })
}

fn number(tree: &mut Tree, next: &mut usize) {
    tree.number = *next;
    *next += 1;
    for child in &mut tree.children {
        number(child, next);
    }
}

impl Tree {
    fn name(&self) -> String {
        format!("n{}", self.number)
    }

    fn node(&self) -> &'static Node {
        Node::intern(&self.name(), Level::Info)
    }

    fn result(&self) -> Result<usize, String> {
        match self.fails {
            true => Err(format!("{} failed", self.name())),
            false => Ok(self.number),
        }
    }

    fn is_apart(&self) -> bool {
        matches!(self.how, How::Thread | How::Pool)
    }

    /// Runs the node on this thread.
    fn run(&self) {
        let result = match self.how {
            How::ByHand => {
                let span = node!(dyn self.node()).start();
                span.in_scope(|| self.inside());
                span.finish(self.result())
            }
            How::Future | How::Task => {
                let handle = runtime().handle();
                handle.block_on(here().instrument(self.clone().poll()));
                return;
            }
            _ => node!(dyn self.node(), input: self.number).run(|_| {
                self.inside();
                self.result()
            }),
        };
        assert_eq!(result, self.result());
    }

    /// Runs what is inside the node on this thread, and waits for it.
    fn inside(&self) {
        if self.logs {
            log!(&format!("log.{}", self.name()), info);
        }
        let here = here();
        std::thread::scope(|scope| {
            for child in self.children.iter().filter(|child| child.is_apart()) {
                let here = here.clone();
                scope.spawn(move || match child.how {
                    How::Pool => pool().install(|| here.in_scope(|| child.run())),
                    _ => here.in_scope(|| child.run()),
                });
            }
            for child in self.children.iter().filter(|child| !child.is_apart()) {
                child.run();
            }
        });
    }

    /// Runs the node as a future.
    fn poll(self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let (node, expected) = (self.node(), self.result());
            let result = node!(dyn node)
                .instrument(async move {
                    if self.logs {
                        let target = format!("log.{}", self.name());
                        tracing::info!(target: "log", { log.target = target }, "here");
                    }
                    let mut tasks = Vec::new();
                    let mut beside = Vec::new();
                    for child in self.children.clone() {
                        match child.how {
                            How::Task => {
                                tasks.push(tokio::spawn(here().instrument(child.poll())));
                            }
                            How::Future => beside.push(child.poll()),
                            _ => {
                                let here = here();
                                let work = move || here.in_scope(|| child.run());
                                tasks.push(tokio::task::spawn_blocking(work));
                            }
                        }
                        tokio::task::yield_now().await;
                    }
                    all(beside).await;
                    for task in tasks {
                        task.await.unwrap();
                    }
                    self.result()
                })
                .await;
            assert_eq!(result, expected);
        })
    }

    /// Adds what is expected of each node: its parent, how it ends, and where it logs.
    fn expect(&self, parent: &str, all: &mut BTreeMap<String, (String, &'static str)>) {
        let end = if self.fails { "error" } else { "exit" };
        all.insert(self.name(), (parent.to_owned(), end));
        if self.logs {
            all.insert(format!("log.{}", self.name()), (self.name(), "log"));
        }
        for child in &self.children {
            child.expect(&self.name(), all);
        }
    }
}

/// Polls futures beside one another until all are ready.
async fn all(mut waiting: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| future.as_mut().poll(context).is_pending());
        match waiting.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

/// Returns a pool with a thread for each node: one that waits for others is busy.
fn pool() -> &'static rayon::ThreadPool {
    static POOL: OnceLock<rayon::ThreadPool> = OnceLock::new();
    let builder = || rayon::ThreadPoolBuilder::new().num_threads(100);
    POOL.get_or_init(|| builder().build().unwrap())
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).build().unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_tree_of_nodes_is_what_its_log_shows(tree in trees()) {
        let kept = kept(|| {
            let run = flow("f").start();
            run.in_scope(|| tree.run());
            run.end();
        });
        let events = kept.events();
        let mut whole = WholeLog::new();
        for (line, event) in events.iter().enumerate() {
            whole.add(line + 1, event);
        }
        prop_assert_eq!(whole.faults(), vec![]);

        let names: BTreeMap<&str, &str> = events
            .iter()
            .filter(|event| text(event, "event_type") == "entry")
            .map(|event| (text(event, "span_id"), text(event, "node")))
            .collect();
        let mut seen = BTreeMap::new();
        for event in events.iter().filter(|event| text(event, "node") != "flow") {
            let (node, kind) = (text(event, "node"), text(event, "event_type"));
            let above = if kind == "log" { "span_id" } else { "parent_id" };
            let place = (names[text(event, above)].to_owned(), kind);
            if kind != "entry" {
                prop_assert_eq!(seen.insert(node.to_owned(), place), None);
            }
        }
        let mut expected = BTreeMap::new();
        tree.expect("flow", &mut expected);
        prop_assert_eq!(seen, expected);
    }
}
