//! The vectors of `examples/observability/vectors`: what the Python runtime answers, this crate answers too.

mod support;

use support::{difference, field, folder, items, read};
use the_edge_obs::event::problems;
use the_edge_obs::flow_log::{build_flow_log, percentile};
use the_edge_obs::parity::normalise;
use the_edge_obs::value::Snap;
use the_edge_obs::whole_log::WholeLog;

/// Calls a check with each case of a file; all that it finds wrong is told at the end.
fn check(name: &str, wrong: impl Fn(&Snap) -> Option<String>) {
    check_all(name, |cases| {
        let found = cases.iter().enumerate();
        found
            .filter_map(|(at, case)| wrong(case).map(|told| format!("case {at}: {told}")))
            .collect()
    });
}

fn check_all(name: &str, wrong: impl Fn(&[Snap]) -> Vec<String>) {
    let Some(folder) = folder("vectors") else {
        return;
    };
    let file = read(&folder.join(format!("{name}.json")));
    assert_eq!(field(&file, "version"), &Snap::Int(1));
    let cases = items(field(&file, "cases"));
    assert!(!cases.is_empty());
    let found = wrong(cases);
    let shown = found[..found.len().min(10)].join("\n");
    assert!(
        found.is_empty(),
        "{name}: {} of {} cases:\n{shown}",
        found.len(),
        cases.len()
    );
}

fn count(case: &Snap, key: &str) -> usize {
    match field(case, key) {
        Snap::Int(count) => usize::try_from(*count).expect("a count"),
        other => panic!("{other:?} is not a count"),
    }
}

fn events(case: &Snap) -> Vec<Snap> {
    items(field(case, "events")).to_vec()
}

#[test]
fn percentiles_are_by_nearest_rank() {
    check("percentiles", |case| {
        let numbers = items(field(case, "values"))
            .iter()
            .map(|value| match value {
                Snap::Float(number) => *number,
                other => panic!("{other:?}"),
            });
        let numbers: Vec<f64> = numbers.collect();
        let result = percentile(&numbers, count(case, "percent"));
        difference(&result.into(), field(case, "result"))
    });
}

#[test]
fn flow_logs_are_built() {
    check("flow_logs", |case| {
        let log = build_flow_log(events(case), count(case, "dropped") as u64, 0).unwrap();
        difference(&log.to_snap(), field(case, "flow_log")).or_else(|| {
            let normal = Snap::List(normalise(&events(case)).into());
            difference(&normal, field(case, "normalised"))
        })
    });
}

#[test]
fn expected_logs_are_normal_already() {
    let Some(folder) = folder("parity-expected") else {
        return;
    };
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let expected = read(&path);
        let events = events(&expected);
        let normal = normalise(&events);
        assert_eq!(normal.len(), events.len());
        for (at, (ours, theirs)) in normal.iter().zip(&events).enumerate() {
            assert_eq!(difference(ours, theirs), None, "{path:?}, event {at}");
        }
        count += 1;
    }
    assert!(count >= 10, "{count} files");
}

#[test]
fn whole_logs_have_problems_on_the_same_lines() {
    check("whole_logs", |case| {
        let mut log = WholeLog::new();
        for (at, event) in events(case).iter().enumerate() {
            assert_eq!(problems(event), [""; 0]);
            log.add(at + 1, event);
        }
        let mut lines: Vec<usize> = log.faults().iter().map(|fault| fault.line).collect();
        lines.dedup();
        difference(&lines.into(), field(case, "problems"))
    });
}
