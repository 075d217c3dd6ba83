//! The answers of the Python package to questions about filters, lines and headers: `examples/observability/vectors`.
//!
//! The packed crate does not have them; then the tests say so and pass.

mod support;

use the_edge_obs::globs::Glob;
use the_edge_obs::jsonl::decoded;
use the_edge_obs::times::parse_time;
use the_edge_obs::traceparent::RemoteParent;
use the_edge_obs::validation::{check_line, Verdict};
use the_edge_obs::{Filters, Snap};

use support::{difference, field, folder, items, read};

/// Returns the cases of a file; none if the files are not there.
fn cases(name: &str) -> Vec<Snap> {
    let Some(folder) = folder("vectors") else {
        return Vec::new();
    };
    let file = read(&folder.join(name));
    assert_eq!(
        field(&file, "version"),
        &Snap::Int(1),
        "{name} has another version"
    );
    assert!(
        !items(field(&file, "cases")).is_empty(),
        "{name} has no cases"
    );
    items(field(&file, "cases")).to_vec()
}

fn text<'c>(case: &'c Snap, key: &str) -> &'c str {
    field(case, key).as_str().expect("a text")
}

fn number(case: &Snap, key: &str) -> Option<f64> {
    match case.get(key) {
        Some(Snap::Float(number)) => Some(*number),
        Some(Snap::Int(number)) => Some(*number as f64),
        _ => None,
    }
}

#[test]
fn times() {
    for case in cases("times.json") {
        let now = number(&case, "now").unwrap();
        let found = parse_time(field(&case, "given"), now, "time").ok();
        assert_eq!(found, number(&case, "seconds"), "{}", case.to_json());
    }
}

#[test]
fn globs() {
    for case in cases("globs.json") {
        let found = Glob::new(text(&case, "pattern")).matches(text(&case, "text"));
        assert_eq!(
            case.get("matches"),
            Some(&Snap::Bool(found)),
            "{}",
            case.to_json()
        );
    }
}

#[test]
fn filters() {
    let cases = cases("filters.json");
    let Some((first, questions)) = cases.split_first() else {
        return;
    };
    let events = items(field(first, "events"));
    for case in questions {
        let filters = Filters::from_snap_at(field(case, "filters"), number(case, "now").unwrap());
        let found = filters.map(|filters| {
            let all = events.iter().cloned();
            let kept: Vec<Snap> = filters.select(all).collect();
            let place = |event: &Snap| events.iter().position(|one| one == event);
            Snap::from(
                kept.iter()
                    .map(|event| place(event).unwrap())
                    .collect::<Vec<_>>(),
            )
        });
        let difference = difference(&found.ok().into(), field(case, "found"));
        assert_eq!(difference, None, "{}", case.to_json());
    }
}

#[test]
fn lines() {
    for case in cases("lines.json") {
        let line = text(&case, "line").as_bytes();
        let is_json = decoded(line).is_ok();
        let is_valid = matches!(check_line(line), Verdict::Valid(_));
        assert_eq!(
            case.get("is_json"),
            Some(&Snap::Bool(is_json)),
            "{}",
            case.to_json()
        );
        assert_eq!(
            case.get("is_valid"),
            Some(&Snap::Bool(is_valid)),
            "{}",
            case.to_json()
        );
    }
}

#[test]
fn traceparent() {
    for case in cases("traceparent.json") {
        let Some(Snap::Map(headers)) = case.get("headers") else {
            panic!("{case:?} has no headers")
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (&**name, value.as_str().unwrap()));
        let parent = RemoteParent::extract(headers).map(|parent| {
            Snap::map([
                ("flow_id", parent.flow.to_string().into()),
                ("span", format!("{:016x}", parent.number).into()),
                ("flags", Snap::from(parent.flags)),
                ("tracestate", parent.tracestate.into()),
            ])
        });
        let difference = difference(&parent.into(), field(&case, "parent"));
        assert_eq!(difference, None, "{}", case.to_json());
    }
}
