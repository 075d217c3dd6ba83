//! The vectors of `examples/observability/vectors`: what the Python runtime answers, this crate answers too.

mod common;
mod support;

use support::{difference, field, folder, items, read};
use the_edge_obs::event::{problems, EventType, MAX_EVENT_BYTES, MAX_LINE_BYTES};
use the_edge_obs::flow;
use the_edge_obs::flow_log::{build_flow_log, percentile};
use the_edge_obs::line::to_line;
use the_edge_obs::parity::normalise;
use the_edge_obs::redaction::{self, classify, cut_paths, scrub, scrub_text, Policy, Taints};
use the_edge_obs::value::{self, from_json, from_json_of_others, Snap};
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

fn text<'s>(case: &'s Snap, key: &str) -> &'s str {
    let value = field(case, key);
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value:?} is not a text"))
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

// --- redaction ---

#[test]
fn keys_have_their_classes() {
    check("key_classes", |case| {
        let class = classify(text(case, "key")).name();
        (class != text(case, "class")).then(|| format!("{} is {class}", case.to_json()))
    });
}

#[test]
fn texts_lose_their_secrets() {
    check("texts", |case| {
        let clean = scrub_text(text(case, "text"), &Taints::new());
        difference(&clean.into(), field(case, "scrubbed"))
    });
}

/// Returns what is logged as the input of a node, and the paths of what was cut.
fn logged(value: &Snap, taints: &Taints) -> (Snap, Vec<String>) {
    let taken = Policy::built_in().snapshot(value, taints);
    let clean = scrub(&taken, taints);
    let cut = cut_paths("input", &taken, &clean);
    (clean, cut)
}

#[test]
fn values_are_logged_without_secrets() {
    check("values", |case| {
        let value = from_json(text(case, "json")).unwrap();
        let (clean, cut) = logged(&value, &Taints::new());
        difference(&clean, field(case, "logged"))
            .or_else(|| difference(&cut.into(), field(case, "cut")))
    });
}

#[test]
fn secrets_are_found_in_every_spelling() {
    check("taint_spellings", |case| {
        let taints = Taints::new();
        match case.get("named") {
            Some(named) => items(named)
                .iter()
                .for_each(|one| taints.name(one.as_str().unwrap())),
            None => items(field(case, "secrets")).iter().for_each(|one| {
                logged(&Snap::map([("password", one.clone())]), &taints);
            }),
        }
        let clean = scrub_text(text(case, "text"), &taints);
        difference(&clean.into(), field(case, "scrubbed"))
    });
}

#[test]
fn no_rule_hides_a_part_of_a_secret_from_another() {
    check("own_patterns", |case| {
        let policy = Policy::from_snap(field(case, "redact"), "redact").unwrap();
        let taints = Taints::new();
        for one in items(field(case, "named")) {
            taints.name(one.as_str().unwrap());
        }
        let taken = policy.snapshot(field(case, "text"), &taints);
        let later = Policy::built_in().scrub(&taken, &taints);
        difference(&policy.scrub(&taken, &taints), field(case, "scrubbed"))
            .or_else(|| difference(&later, field(case, "later")))
    });
}

#[test]
fn the_tables_and_limits_are_the_same() {
    let limits = [
        ("MAX_INT", Snap::Int(value::MAX_INT)),
        ("MAX_EVENT_BYTES", MAX_EVENT_BYTES.into()),
        ("MAX_LINE_BYTES", MAX_LINE_BYTES.into()),
        ("MAX_LINE_DEPTH", value::MAX_DEPTH.into()),
        ("MAX_STRING", redaction::MAX_STRING.into()),
        ("MAX_ITEMS", redaction::MAX_ITEMS.into()),
        ("MAX_DEPTH", redaction::MAX_DEPTH.into()),
        ("MAX_VALUES", redaction::MAX_VALUES.into()),
        ("MAX_CHARS", redaction::MAX_CHARS.into()),
        ("MAX_KEY", redaction::MAX_KEY.into()),
        ("MAX_PATHS", redaction::MAX_PATHS.into()),
        ("MAX_PATH", redaction::MAX_PATH.into()),
        ("MAX_SECRETS", redaction::MAX_SECRETS.into()),
        ("SHORTEST_SECRET", redaction::SHORTEST_TAINT.into()),
        ("SHORTEST_NUMBER", redaction::SHORTEST_NUMBER.into()),
    ];
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data/tables.json");
    let tables = read(data.as_ref());
    check("tables", |case| {
        let name = text(case, "name");
        let limit = limits.iter().find(|(limit, _)| *limit == name);
        let ours = limit.map(|(_, value)| value);
        match ours.or_else(|| tables.get(&name.to_lowercase())) {
            Some(ours) => {
                difference(ours, field(case, "value")).map(|told| format!("{name}{told}"))
            }
            None => Some(format!("{name} is missing")),
        }
    });
}

// --- sizes and numbers ---

#[test]
fn what_is_too_large_is_cut() {
    check("caps", |case| {
        let (kind, count) = (text(case, "kind"), count(case, "count"));
        let zero = || Snap::Int(0);
        let value = match kind {
            "text" => text(case, "text").repeat(count).into(),
            "list" => vec![zero(); count].into(),
            "mapping" => Snap::map((0..count).map(|at| (format!("k{at}"), zero()))),
            "depth" => (0..count).fold(Snap::Int(1), |inside, _| vec![inside].into()),
            "key" => Snap::map([("k".repeat(count), zero())]),
            other => panic!("{other:?} is not known"),
        };
        let (clean, _) = logged(&Snap::map([("key", value)]), &Taints::new());
        let (kept, end) = left(kind, field(&clean, "key"), case);
        let found = Snap::map([("kept", Snap::from(kept)), ("end", end)]);
        let wanted = ["kept", "end"].map(|key| (key, field(case, key).clone()));
        difference(&found, &Snap::map(wanted)).map(|told| format!("{kind} of {count}{told}"))
    });
}

/// Returns how much of a value is left, and what stands at its end.
fn left(kind: &str, logged: &Snap, case: &Snap) -> (usize, Snap) {
    let run = |text: &str, of: &str| {
        let rest = text.trim_start_matches(of);
        ((text.len() - rest.len()) / of.len(), Snap::from(rest))
    };
    match logged {
        Snap::List(_) if kind == "depth" => {
            let (mut depth, mut at) = (0, logged);
            while let Snap::List(inside) = at {
                (depth, at) = (depth + 1, &inside[0]);
            }
            (depth, at.clone())
        }
        Snap::List(all) => {
            let kept = all.iter().filter(|item| **item == Snap::Int(0)).count();
            (kept, Snap::List(all[kept..].into()))
        }
        Snap::Map(pairs) if kind == "key" => run(&pairs[0].0, "k"),
        Snap::Map(pairs) => {
            let kept = pairs.iter().filter(|(key, _)| key.starts_with('k')).count();
            (kept, Snap::Map(pairs[kept..].into()))
        }
        other => run(other.as_str().unwrap(), text(case, "text")),
    }
}

#[test]
fn long_lines_are_cut() {
    check("long_lines", |case| {
        let Snap::Map(added) = field(case, "added") else {
            panic!()
        };
        let Snap::Map(event) = field(case, "event") else {
            panic!()
        };
        let mut event = event.clone();
        for (key, value) in &mut event {
            if let ("data", Snap::Map(data)) = (&**key, &value) {
                let more = added.iter().map(|(key, _)| {
                    let long = "x".repeat(count(field(case, "added"), key));
                    (key.clone(), Snap::from(long))
                });
                *value = Snap::map(data.iter().cloned().chain(more));
            }
        }
        let event = Snap::Map(event);
        let line = to_line(&event);
        let cut = from_json(&line).unwrap();
        match field(case, "line") {
            Snap::Null => difference(&cut, &event),
            wanted => difference(&cut, wanted),
        }
    });
}

#[test]
fn metrics_are_numbers() {
    if !the_edge_obs::RECORD {
        return;
    }
    check("metrics", |case| {
        let Snap::Map(numbers) = from_json(text(case, "json")).unwrap() else {
            panic!()
        };
        let events = common::kept(|| {
            let run = flow("f").start();
            let event = run.log("n").event_type(EventType::Metric);
            let numbers = numbers.into_vec().into_iter();
            let event = numbers.fold(event, |event, (name, value)| event.metric(&name, value));
            event.emit();
            run.end();
        })
        .events();
        difference(field(&events[1], "metrics"), field(case, "metrics"))
    });
}

#[test]
fn json_is_read_as_the_action_reads_it() {
    check("json_parse", |case| {
        let read = from_json_of_others(text(case, "text"), 100).ok();
        let success = field(case, "success") == &Snap::Bool(true);
        if read.is_some() != success {
            return Some(format!(
                "{} is read: {}",
                text(case, "text"),
                read.is_some()
            ));
        }
        let value = Snap::map([("data", read?)]);
        let (clean, _) = logged(&value, &Taints::new());
        difference(field(&clean, "data"), field(case, "data"))
    });
}

// --- logs ---

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
