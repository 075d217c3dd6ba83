//! The laws of the ring: what is kept, what leaves, and that everything is accounted for.
#![allow(missing_docs)]

mod made;

use std::sync::Arc;
use std::thread;

use made::{event, flow, of_level, saying};
use proptest::prelude::*;
use the_edge_obs::event::{Level, Status};
use the_edge_obs::facts::Facts;
use the_edge_obs::ids::FlowId;
use the_edge_obs::sink::ring::{Limits, Ring, Stats};
use the_edge_obs::{Flow, Sink};

fn numbers(ring: &Ring, flow: &FlowId) -> Vec<u64> {
    ring.facts(flow).iter().map(|facts| facts.number).collect()
}

fn push(ring: &Ring, facts: Arc<Facts>) {
    ring.take(&facts).unwrap();
}

fn level(is_error: bool) -> Level {
    if is_error {
        Level::Error
    } else {
        Level::Info
    }
}

/// What can happen to one of a few flows.
#[derive(Debug, Clone)]
enum Step {
    Event(usize),
    End(usize),
    Forget(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6usize).prop_map(Step::Event),
        2 => (0..6usize).prop_map(Step::End),
        1 => (0..6usize).prop_map(Step::Forget),
    ]
}

/// A flow as it should be in a ring.
struct Expected {
    flow: usize,
    events: Vec<u64>,
}

proptest! {
    #[test]
    fn the_last_events_are_kept_and_the_last_errors_before_them(
        levels in proptest::collection::vec(any::<bool>(), 0..200),
        capacity in 1..40usize,
    ) {
        let (ring, flow) = (Limits::new().capacity(capacity).ring(), flow());
        for (number, is_error) in levels.iter().enumerate() {
            push(&ring, of_level(&flow, number as u64, level(*is_error)));
        }
        let first = levels.len().saturating_sub(capacity);
        let errors: Vec<usize> = (0..first).filter(|number| levels[*number]).collect();
        let pinned = &errors[errors.len().saturating_sub((capacity / 10).max(1))..];
        let kept: Vec<u64> = pinned.iter().copied().chain(first..levels.len()).map(|number| number as u64).collect();
        prop_assert_eq!(numbers(&ring, &flow.id), kept.clone());
        prop_assert_eq!(ring.dropped(&flow.id), (levels.len() - kept.len()) as u64);
    }

    #[test]
    fn of_too_many_flows_the_oldest_that_has_ended_goes_or_else_the_oldest(
        steps in proptest::collection::vec(step(), 0..80),
        max_flows in 1..5usize,
    ) {
        let ring = Limits::new().max_flows(max_flows).ring();
        let flows: Vec<Arc<Flow>> = (0..6).map(|_| flow()).collect();
        let mut expected: Vec<Expected> = Vec::new();
        let (mut lost, mut ended, mut evicted) = ([0; 6], [false; 6], 0);
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Event(flow) => {
                    push(&ring, event(&flows[flow], number).into());
                    match expected.iter_mut().find(|one| one.flow == flow) {
                        Some(one) => one.events.push(number),
                        None => expected.push(Expected { flow, events: vec![number] }),
                    }
                    if expected.len() > max_flows {
                        let others = &expected[..max_flows];
                        let oldest = others.iter().position(|one| ended[one.flow]).unwrap_or(0);
                        let left = expected.remove(oldest);
                        lost[left.flow] += left.events.len() as u64;
                        evicted += 1;
                    }
                }
                Step::End(flow) => {
                    ended[flow] = true;
                    flows[flow].set_status(Status::Ok);
                    ring.flow_ended(&flows[flow]).unwrap();
                }
                Step::Forget(flow) => {
                    ring.forget(&flows[flow].id);
                    expected.retain(|one| one.flow != flow);
                    lost[flow] = 0;
                }
            }
            let kept: Vec<FlowId> = expected.iter().map(|one| flows[one.flow].id).collect();
            prop_assert_eq!(ring.flows(), kept);
        }
        for one in &expected {
            prop_assert_eq!(numbers(&ring, &flows[one.flow].id), one.events.clone());
        }
        for (flow, lost) in flows.iter().zip(lost) {
            prop_assert_eq!(ring.dropped(&flow.id), lost);
        }
        prop_assert_eq!((ring.stats().evicted_flows, ring.stats().dropped), (evicted, lost.iter().sum()));
    }

    #[test]
    fn the_bytes_stay_below_their_cap_and_every_event_is_accounted_for(
        events in proptest::collection::vec((0..5usize, 0..3_000usize, any::<bool>()), 1..300),
        max_bytes in prop_oneof![1..2_000u64, 2_000..60_000u64],
        capacity in 1..100usize,
    ) {
        let ring = Limits::new().capacity(capacity).max_bytes(Some(max_bytes)).ring();
        let flows: Vec<Arc<Flow>> = (0..5).map(|_| flow()).collect();
        let count = events.len() as u64;
        for (number, (at, size, is_error)) in (0..).zip(events) {
            let message = Some("x".repeat(size).into());
            push(&ring, Arc::new(Facts { level: level(is_error), message, ..event(&flows[at], number) }));
            let stats = ring.stats();
            prop_assert!(stats.bytes <= max_bytes || stats.events == 1, "{stats:?}");
            prop_assert_eq!(stats.events as u64 + stats.dropped, number + 1);
            prop_assert_eq!(numbers(&ring, &flows[at].id).last().copied(), Some(number));
        }
        let dropped: u64 = flows.iter().map(|flow| ring.dropped(&flow.id)).sum();
        prop_assert_eq!(ring.stats().events as u64 + dropped, count);
        ring.clear();
        prop_assert_eq!((ring.stats().flows, ring.stats().events, ring.stats().bytes), (0, 0, 0));
    }
}

#[test]
fn noise_cannot_push_errors_out() {
    let (ring, flow) = (Limits::new().capacity(50).ring(), flow());
    for number in 0..5 {
        push(&ring, of_level(&flow, number, Level::Error));
    }
    for number in 5..100_000 {
        push(&ring, event(&flow, number).into());
    }
    assert_eq!(numbers(&ring, &flow.id)[..5], [0, 1, 2, 3, 4]);
    assert_eq!(ring.dropped(&flow.id), 100_000 - 55);
}

#[test]
fn a_greedy_flow_loses_its_own_events() {
    let ring = Limits::new()
        .capacity(10_000)
        .max_bytes(Some(1 << 20))
        .ring();
    let (small, greedy) = (flow(), flow());
    small.set_status(Status::Ok);
    push(&ring, event(&small, 0).into());
    ring.flow_ended(&small).unwrap();
    for number in 0..10_000 {
        push(&ring, saying(&greedy, number, &"x".repeat(1_000)));
    }
    assert_eq!(numbers(&ring, &small.id), [0]);
    assert!(ring.dropped(&greedy.id) > 0);
    assert_eq!(ring.stats().evicted_flows, 0);
}

#[test]
fn the_secrets_of_a_flow_weigh_too() {
    let (ring, flow) = (Ring::new(), flow());
    push(&ring, event(&flow, 0).into());
    let before = ring.stats().bytes;
    flow.taints.name(&"s3cr3t-".repeat(100));
    ring.flow_ended(&flow).unwrap();
    assert!(ring.stats().bytes >= before + 700);
}

#[test]
fn a_secret_that_is_learned_later_is_not_read() {
    let (ring, flow) = (Ring::new(), flow());
    push(&ring, saying(&flow, 0, "use hunter2xyz"));
    assert!(ring.events(&flow.id)[0].to_json().contains("hunter2xyz"));
    flow.taints.name("hunter2xyz");
    assert_eq!(
        ring.events(&flow.id)[0].get("message"),
        Some(&"use [REDACTED]".into())
    );
}

#[test]
fn a_flow_tells_its_name_status_and_faults() {
    let (ring, one) = (Ring::new(), flow());
    assert_eq!((ring.status(&one.id), ring.name_of(&one.id)), (None, None));
    push(&ring, event(&one, 0).into());
    one.count_fault();
    assert_eq!(ring.status(&one.id), Some(Status::Running));
    assert_eq!(ring.name_of(&one.id).as_deref(), Some("triage"));
    assert_eq!(ring.faults(&one.id), 1);
    one.set_status(Status::Ok);
    // Another root with the same id: a request of the same foreign trace.
    let other = Arc::new(Flow::new(one.id, "other"));
    push(&ring, event(&other, 1).into());
    assert_eq!(ring.status(&one.id), Some(Status::Running));
    other.set_status(Status::Error);
    assert_eq!(ring.status(&one.id), Some(Status::Error));
    assert_eq!(ring.name_of(&one.id).as_deref(), Some("triage"));
    assert!(ring.has(&one.id) && Arc::ptr_eq(&ring.flow(&one.id).unwrap(), &one));
}

#[test]
fn an_ended_flow_runs_again_when_another_root_joins_it() {
    let ring = Limits::new().max_flows(2).ring();
    let (first, second) = (flow(), flow());
    push(&ring, event(&first, 0).into());
    first.set_status(Status::Ok);
    ring.flow_ended(&first).unwrap();
    push(&ring, event(&second, 1).into());
    push(
        &ring,
        event(&Arc::new(Flow::new(first.id, "again")), 2).into(),
    );
    second.set_status(Status::Ok);
    ring.flow_ended(&second).unwrap();
    push(&ring, event(&flow(), 3).into());
    assert!(ring.has(&first.id) && !ring.has(&second.id));
}

#[test]
fn a_late_event_does_not_make_an_ended_flow_run_again() {
    let ring = Limits::new().max_flows(2).ring();
    let (running, ended) = (flow(), flow());
    ended.set_status(Status::Ok);
    push(&ring, event(&running, 0).into());
    push(&ring, event(&ended, 1).into());
    push(&ring, event(&flow(), 2).into());
    assert!(ring.has(&running.id) && !ring.has(&ended.id));
}

#[test]
fn threads_lose_no_event_and_keep_their_order() {
    let (ring, shared) = (Limits::new().capacity(100_000).ring(), flow());
    thread::scope(|scope| {
        for thread in 0..8 {
            let (ring, shared) = (ring.clone(), Arc::clone(&shared));
            scope.spawn(move || {
                for number in 0..2_000 {
                    push(&ring, event(&shared, thread * 10_000 + number).into());
                }
            });
        }
    });
    let kept = numbers(&ring, &shared.id);
    assert_eq!(kept.len(), 16_000);
    for thread in 0..8 {
        let own = kept.iter().filter(|number| **number / 10_000 == thread);
        let own: Vec<u64> = own.map(|number| number % 10_000).collect();
        assert_eq!(own, (0..2_000).collect::<Vec<_>>());
    }
}

#[test]
fn threads_that_evict_each_others_flows_lose_no_count() {
    let limits = Limits::new().capacity(20).max_flows(3);
    let ring = limits.max_bytes(Some(20_000)).ring();
    let flows: Vec<Arc<Flow>> = (0..8).map(|_| flow()).collect();
    thread::scope(|scope| {
        for thread in 0..8 {
            let (ring, flows) = (&ring, &flows);
            scope.spawn(move || {
                for number in 0..2_000 {
                    let flow = &flows[(thread + number / 7) % 8];
                    push(ring, saying(flow, number as u64, &"x".repeat(number % 500)));
                    if number % 11 == 0 {
                        flow.set_status(Status::Ok);
                        ring.flow_ended(flow).unwrap();
                    }
                }
            });
        }
    });
    let stats = ring.stats();
    assert_eq!(stats.events as u64 + stats.dropped, 16_000, "{stats:?}");
    assert!(stats.flows <= 3 && stats.bytes <= 20_000, "{stats:?}");
    let dropped: u64 = flows.iter().map(|flow| ring.dropped(&flow.id)).sum();
    assert_eq!(dropped, stats.dropped);
}

#[test]
fn what_a_ring_kept_is_freed_with_it() {
    let (ring, flow) = (Ring::new(), flow());
    let facts = Arc::new(event(&flow, 0));
    push(&ring, Arc::clone(&facts));
    push(&ring, event(&flow, 1).into());
    assert_eq!(Arc::strong_count(&facts), 2);
    let other = ring.clone();
    drop(ring);
    assert_eq!(Arc::strong_count(&facts), 2);
    drop(other);
    assert_eq!(Arc::strong_count(&facts), 1);
}

#[test]
fn a_cleared_ring_counts_from_new() {
    let (ring, flow) = (Limits::new().capacity(1).ring(), flow());
    for number in 0..3 {
        push(&ring, event(&flow, number).into());
    }
    assert_eq!(ring.dropped(&flow.id), 2);
    ring.clear();
    assert_eq!(ring.stats(), Stats::default());
    push(&ring, event(&flow, 3).into());
    assert_eq!(
        (numbers(&ring, &flow.id), ring.dropped(&flow.id)),
        (vec![3], 0)
    );
}
