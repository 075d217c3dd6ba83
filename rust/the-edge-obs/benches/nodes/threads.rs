//! Several threads at once: each with a flow of its own, and all of them in one flow.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use the_edge_obs::{flow, here};
use tracing::dispatcher::with_default;
use tracing::Dispatch;

use crate::work::{flat_span, observed, PARAMS};

const CALLS: usize = 8_000;
const ROUNDS: usize = 15;

/// Returns nanoseconds of wall time a node, the least of some rounds, of the same number of nodes on so many threads.
fn wall(threads: usize, work: &(dyn Fn(usize) + Sync)) -> f64 {
    let each = CALLS / threads;
    let round = || {
        let ready = Barrier::new(threads);
        let timed = || {
            ready.wait();
            let start = Instant::now();
            work(each);
            (start, Instant::now())
        };
        let times = thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(timed)).collect();
            let times = running
                .into_iter()
                .map(|thread| thread.join().expect("no node panics"));
            times.collect::<Vec<_>>()
        });
        let first = times.iter().map(|(start, _)| *start).min();
        let last = times.iter().map(|(_, end)| *end).max();
        let took = first
            .zip(last)
            .map_or(0, |(first, last)| (last - first).as_nanos());
        took as f64 / (each * threads) as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn nodes(count: usize) {
    for _ in 0..count {
        let _ = black_box(observed(black_box(&PARAMS)));
    }
}

fn spans(count: usize) {
    for _ in 0..count {
        let _ = black_box(flat_span(black_box(&PARAMS)));
    }
}

/// Prints nanoseconds of wall time a node by the number of threads.
pub fn print(ring: &Dispatch, file: &Dispatch, json: &Dispatch, json_file: &Dispatch) {
    println!(
        "\n{:<44} {:>10} {:>10} {:>10}",
        "ns of wall time a node, by threads", 1, 2, 8
    );
    let print = |what: &str, work: &(dyn Fn(usize) + Sync)| {
        let [one, two, eight] = [1, 2, 8].map(|threads| wall(threads, work));
        println!("{what:<44} {one:>10.1} {two:>10.1} {eight:>10.1}");
    };
    for (to, dispatch) in [("the ring", ring), ("files", file)] {
        print(&format!("into {to}, a flow each"), &|count| {
            with_default(dispatch, || flow("bench").start().in_scope(|| nodes(count)));
        });
        with_default(dispatch, || {
            let run = flow("bench").start();
            let here = run.in_scope(here);
            print(&format!("into {to}, all in one flow"), &|count| {
                here.in_scope(|| nodes(count))
            });
        });
    }
    for (what, dispatch) in [("null writer", json), ("one file", json_file)] {
        print(&format!("fmt().json(), {what}"), &|count| {
            with_default(dispatch, || spans(count));
        });
    }
}
