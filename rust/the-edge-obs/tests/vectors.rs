//! The vectors of `examples/observability/vectors`: what the Python runtime answers, this crate answers too.

mod support;

use support::{difference, field, folder, items, read};
use the_edge_obs::flow_log::{build_flow_log, percentile};
use the_edge_obs::value::Snap;

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
        difference(&log.to_snap(), field(case, "flow_log"))
    });
}
