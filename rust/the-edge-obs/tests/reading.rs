//! Reading of rings, files and folders, and exports.
#![allow(missing_docs)]

mod made;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use made::Folder;
use proptest::prelude::*;
use the_edge_obs::event::{Level, Status, MAX_LINE_BYTES};
use the_edge_obs::export::{export_events, export_flow_logs, Format};
use the_edge_obs::jsonl::{log_files, Events, Lines, Skipped};
use the_edge_obs::line::to_line;
use the_edge_obs::sink::ring::{Limits, Ring};
use the_edge_obs::validation::{check_log, check_whole};
use the_edge_obs::{build_flow_log, Error, Filters, Flow, Sink, Snap, Store};

fn file(folder: &Folder, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.0.join(name);
    fs::write(&path, content).unwrap();
    path
}

fn events_of(flow: &Arc<Flow>, numbers: std::ops::Range<u64>) -> Vec<Snap> {
    numbers
        .map(|number| made::event(flow, number).event())
        .collect()
}

fn log_of(events: &[Snap]) -> String {
    events.iter().map(|event| to_line(event) + "\n").collect()
}

fn read(path: &Path) -> (Vec<Snap>, Skipped) {
    let mut reader = Events::open(path).unwrap();
    let events = reader.by_ref().collect::<Result<_, _>>().unwrap();
    (events, reader.skipped().clone())
}

fn problem(result: Result<impl Sized, Error>) -> (&'static str, String) {
    let error = result.err().expect("it is refused");
    (error.name(), error.to_string())
}

#[test]
fn what_is_no_event_is_skipped_and_told_with_its_line() {
    let (folder, flow) = (Folder::new(), made::flow());
    let events = events_of(&flow, 0..2);
    let long = format!("\"{}\"", "x".repeat(MAX_LINE_BYTES));
    let (first, second) = (to_line(&events[0]), to_line(&events[1]));
    let content = format!(
        "\u{feff}{first}\r\n\n \t\n[1\n{long}\n{{\"flow_id\":1}}\n{second}\n{{\"flow_id\":\"cut"
    );
    let (found, skipped) = read(&file(&folder, "a.jsonl", content));
    assert_eq!(found, events);
    assert_eq!((skipped.lines, skipped.torn), (4, true));
    let told = "line 4: not valid JSON (a comma or ] is expected: line 1 column 3)";
    assert_eq!(skipped.first.as_deref(), Some(told));
}

#[test]
fn a_last_line_without_its_newline_may_be_complete() {
    let (folder, flow) = (Folder::new(), made::flow());
    let events = events_of(&flow, 0..2);
    let (found, skipped) = read(&file(&folder, "a.jsonl", log_of(&events).trim_end()));
    assert_eq!((found, skipped), (events, Skipped::default()));
}

#[test]
fn readers_are_tolerant_and_the_check_is_not() {
    let (folder, flow) = (Folder::new(), made::flow());
    let line = to_line(&made::saying(&flow, 1, "m").event());
    let twice = line.replace("\"data\":{}", "\"data\":{\"a\":1,\"a\":2}");
    let half = line.replace("\"m\"", "\"\\ud83d\\ude00\\\\ud800 \\ud800\"");
    let large = line.replace("\"data\":{}", "\"data\":{\"n\":9223372036854775808}");
    let loose = line.replace(&flow.id.to_string()[..18], "x");
    assert!(loose != line);
    let path = file(
        &folder,
        "a.jsonl",
        [&*twice, &half, &large, &line].join("\n"),
    );
    let (found, skipped) = read(&path);
    assert_eq!((found.len(), skipped.lines), (4, 0));
    assert_eq!(found[0].get("data").unwrap().to_json(), "{\"a\":2}");
    assert_eq!(
        found[1].get("message").and_then(Snap::as_str),
        Some("😀\\ud800 \u{fffd}")
    );
    let mut told = Vec::new();
    let tally = check_log(&path, |finding| {
        told.push((finding.number, finding.problem))
    })
    .unwrap();
    assert_eq!((tally.events, tally.invalid, tally.flows.len()), (1, 3, 1));
    let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(told[2]
        .1
        .contains("integer 9223372036854775808 is out of range; write it as a string"));
}

#[test]
fn a_whole_log_is_checked_by_its_spans_too() {
    let (folder, flow) = (Folder::new(), made::flow());
    let line = to_line(&made::event(&flow, 1).event());
    let path = file(&folder, "a.jsonl", format!("x\n\n{line}\n{{}}\n"));
    let (tally, found) = check_whole(&path).unwrap();
    assert_eq!((tally.events, tally.invalid), (1, 2));
    let numbers: Vec<u64> = found.iter().map(|finding| finding.number).collect();
    assert_eq!(
        (numbers[0], numbers[1], numbers[numbers.len() - 1]),
        (1, 3, 4)
    );
    assert!(
        found[1]
            .problem
            .contains("it must be the entry of its root"),
        "{found:?}"
    );
}

#[test]
fn records_outside_any_run_are_counted_apart_and_cuts_are_told() {
    let (folder, flow) = (Folder::new(), made::flow());
    let event = made::event(&flow, 1).event();
    let Snap::Map(pairs) = event.clone() else {
        panic!()
    };
    let nulls = pairs.iter().map(|(key, value)| match &**key {
        "flow_id" | "span_id" | "parent_id" => (key.clone(), Snap::Null),
        _ => (key.clone(), value.clone()),
    });
    let loose = Snap::map(nulls).to_json();
    let path = file(
        &folder,
        "a.jsonl",
        format!("{loose}\n{}\n{{\"flow_id\"", to_line(&event)),
    );
    let mut told = Vec::new();
    let tally = check_log(&path, |finding| told.push(finding)).unwrap();
    assert_eq!((tally.events, tally.loose, tally.invalid), (1, 1, 1));
    assert!(told[0]
        .problem
        .starts_with("the line is cut off, as when a process is killed: "));
    assert_eq!(told[0].number, 3);
}

#[test]
fn files_that_are_no_logs_are_refused_with_the_reason() {
    let folder = Folder::new();
    let cases = [
        (
            "a.jsonl.gz",
            &b"\x1f\x8b"[..],
            "is compressed, and this reader does not unpack; unpack it with gunzip -k",
        ),
        (
            "b.jsonl",
            b"\xff\xfe{\0",
            "cannot be read: it is utf-16; a log is utf-8: convert it first",
        ),
        (
            "c.json",
            b"{\"events\": 1}",
            "is not an exported flow log: it has no list of events",
        ),
        (
            "d.json",
            b"{",
            "is not valid JSON (a key in double quotes is expected: line 1 column 2)",
        ),
    ];
    assert!(Events::open(&file(&folder, "damaged.jsonl", b"\xff\xfe{}\n{}\n")).is_ok());
    for (name, content, expected) in cases {
        let (kind, text) = problem(Events::open(&file(&folder, name, content)));
        assert_eq!(kind, "LogFileError");
        assert!(text.contains(expected), "{text}");
    }
    let (_, text) = problem(Events::open(&folder.0));
    assert!(
        text.ends_with("cannot be read: it is a folder, not a regular file"),
        "{text}"
    );
    let (_, text) = problem(Events::open(&folder.0.join("none.jsonl")));
    assert!(
        text.ends_with("none.jsonl\" cannot be read: no such file or directory"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn a_socket_and_a_device_are_refused_at_once() {
    let folder = Folder::new();
    let path = folder.0.join("s.jsonl");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (_, text) = problem(Events::open(&path));
    assert!(
        text.ends_with("it is a socket, not a regular file"),
        "{text}"
    );
    let (_, text) = problem(export_events([], Path::new("/dev/null")));
    assert!(
        text.ends_with("it is a device, not a regular file"),
        "{text}"
    );
}

#[test]
fn a_flow_is_joined_from_the_files_of_a_folder() {
    let (folder, flow, other) = (Folder::new(), made::flow(), made::flow());
    let events = events_of(&flow, 0..6);
    let mixed = [&events[4..], &events_of(&other, 0..3)].concat();
    file(&folder, "flow-1.jsonl", log_of(&mixed));
    file(
        &folder,
        "flow-1.closed-0a1b2c3d.jsonl",
        log_of(&events[..5]),
    );
    file(&folder, "copy.jsonl", log_of(&events[2..4]));
    file(&folder, "note.txt", "no log");
    let store = Store::new().path(&folder.0);
    assert_eq!(
        store
            .flow(&flow.id.to_string().to_uppercase())
            .unwrap()
            .events,
        events
    );
    let mut flows = store.flows().unwrap();
    flows.sort();
    let mut expected = [flow.id.to_string(), other.id.to_string()];
    expected.sort();
    assert_eq!(flows, expected);
    assert_eq!(store.query(None, &Filters::new()).unwrap().len(), 9);
    let few = Filters::new().limit(2).start_time(1_795_363_054.861_893);
    assert_eq!(
        store.query(Some(&flow.id.to_string()), &few).unwrap(),
        events[1..3]
    );
    assert_eq!(store.query(None, &few).unwrap().len(), 2);
}

#[test]
fn a_flow_keeps_the_order_of_its_file_and_a_query_that_of_time() {
    let (folder, flow) = (Folder::new(), made::flow());
    let mut events = events_of(&flow, 0..4);
    events.reverse();
    let store = Store::new().path(file(&folder, "a.jsonl", log_of(&events)));
    assert_eq!(store.flow(&flow.id.to_string()).unwrap().events, events);
    events.reverse();
    assert_eq!(store.query(None, &Filters::new()).unwrap(), events);
    let last = Filters::new().last(1).flow_id(&flow.id.to_string()[..9]);
    assert_eq!(store.query(None, &last).unwrap(), events[3..]);
}

#[test]
fn what_a_ring_has_lost_comes_from_the_file_and_no_event_twice() {
    let (folder, flow, other) = (Folder::new(), made::flow(), made::flow());
    let ring = Limits::new().capacity(3).ring();
    for number in 0..5 {
        ring.take(&Arc::new(made::event(&flow, number))).unwrap();
    }
    let events = events_of(&flow, 0..5);
    let id = flow.id.to_string();
    let alone = Store::new()
        .ring(ring.clone())
        .path(folder.0.join("not yet.jsonl"));
    let found = alone.flow(&id).unwrap();
    assert_eq!((&found.events[..], found.dropped), (&events[2..], 2));
    let foreign = events_of(&other, 0..1);
    let path = file(
        &folder,
        "a.jsonl",
        log_of(&[&events[..], &foreign].concat()),
    );
    let store = Store::new().ring(ring).path(path);
    let found = store.flow(&id).unwrap();
    assert_eq!((&found.events, found.dropped), (&events, 0));
    let log = store.flow_log(&id.to_uppercase()).unwrap();
    assert_eq!(
        (log.name.as_deref(), log.status),
        (Some("triage"), Status::Running)
    );
    assert_eq!((log.flow_id, log.events), (id.clone(), events.clone()));
    let all = store.query(None, &Filters::new()).unwrap();
    assert_eq!(
        all,
        [&events[..1], &foreign, &events[1..]].concat(),
        "by time, whichever flow they are of"
    );
    assert_eq!(store.flows().unwrap(), [id, other.id.to_string()]);
}

#[test]
fn two_events_of_one_microsecond_stay_two_in_a_ring() {
    let (flow, ring) = (made::flow(), Ring::new());
    for _ in 0..2 {
        ring.take(&Arc::new(made::event(&flow, 1))).unwrap();
    }
    ring.take(&made::of_level(&flow, 2, Level::Error)).unwrap();
    let (id, store) = (
        flow.id.to_string(),
        Store::new().ring(ring.clone()).ring(ring),
    );
    assert_eq!(store.flow(&id).unwrap().events.len(), 3);
    let errors = store.query(Some(&id), &Filters::new().min_level(Level::Warn));
    assert_eq!(errors.unwrap().len(), 1);
}

#[test]
fn what_is_not_found_is_told_with_the_places() {
    let (folder, flow) = (Folder::new(), made::flow());
    let id = flow.id.to_string();
    file(&folder, "old.jsonl.gz", b"\x1f\x8b");
    file(&folder, "bad.jsonl", "x\n");
    let store = Store::new().path(&folder.0);
    let (kind, text) = problem(store.flow(&id));
    assert_eq!(kind, "FlowNotFoundError");
    let expected = format!(
        "flow {id:?} is not found; looked in {:?} (1 line skipped; line 1: not valid JSON",
        folder.0
    );
    assert!(
        text.starts_with(&expected) && text.contains("compressed logs are not read, such as "),
        "{text}"
    );
    let (kind, text) = problem(
        store.for_each(&Filters::new(), &mut Skipped::default(), |_| {
            ControlFlow::Break(())
        }),
    );
    assert!(
        kind == "LogFileError" && text.contains("holds no events (1 line skipped; "),
        "{text}"
    );
    file(&folder, "good.jsonl", log_of(&events_of(&flow, 0..1)));
    assert_eq!(store.flow(&id).unwrap().events.len(), 1);
    let (_, text) = problem(store.query(None, &Filters::new()));
    assert!(text.contains("old.jsonl.gz\" is compressed"), "{text}");
    file(&folder, "old.jsonl", "");
    assert_eq!(log_files(&folder.0).unwrap().packed, [] as [PathBuf; 0]);
}

#[test]
fn exports_are_read_back() {
    let (folder, flow) = (Folder::new(), made::flow());
    let events = events_of(&flow, 0..4);
    let path = folder.0.join("new/deep/run.jsonl");
    let done = export_events(events.clone(), &path).unwrap();
    assert_eq!((done.events, done.format), (4, Format::Jsonl));
    assert_eq!(done.bytes, fs::metadata(&path).unwrap().len());
    assert_eq!(read(&path).0, events);
    let log = build_flow_log(events.clone(), 7, 0).unwrap().to_snap();
    let path = folder.0.join("run.json");
    let done = export_flow_logs(std::slice::from_ref(&log), &path).unwrap();
    let told = format!(
        "{{\"path\":{},\"format\":\"json\",\"events\":4,\"bytes\":{}}}",
        Snap::from(path.to_str().unwrap()).to_json(),
        done.bytes
    );
    assert_eq!(done.to_snap().to_json(), told);
    let found = Store::new().path(&path).flow(&flow.id.to_string()).unwrap();
    assert_eq!((found.events, found.dropped), (events, 7));
    assert_eq!(
        check_log(&path, |finding| panic!("{finding:?}"))
            .unwrap()
            .events,
        4
    );
    export_flow_logs(&[log.clone(), log], &path).unwrap();
    assert_eq!(read(&path).0.len(), 8);
    export_flow_logs(&[], &path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "[]\n");
    assert_eq!(
        fs::read_dir(&folder.0).unwrap().count(),
        2,
        "drafts are left behind"
    );
}

#[cfg(unix)]
#[test]
fn an_export_is_private_and_keeps_the_mode_of_what_it_replaces() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = folder.0.join("new/run.jsonl");
    export_events([], &path).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    export_events([Snap::Null], &path).unwrap();
    assert_eq!(
        (mode(&path), fs::read_to_string(&path).unwrap()),
        (0o640, "null\n".to_owned())
    );
    let link = folder.0.join("link.jsonl");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    export_events([], &link).unwrap();
    assert!(!fs::symlink_metadata(&link)
        .unwrap()
        .file_type()
        .is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), "null\n");
}

#[test]
fn an_export_that_fails_leaves_nothing_behind() {
    let folder = Folder::new();
    let file = file(&folder, "a.jsonl", "before\n");
    let boom = std::panic::catch_unwind(|| {
        let events = (0..3).map(|number| {
            if number == 2 {
                panic!("boom")
            } else {
                Snap::Int(number)
            }
        });
        let _ = export_events(events, &file);
    });
    assert!(boom.is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "before\n");
    for (path, expected) in [
        (file.join("x.jsonl"), "cannot be written: file exists"),
        (
            folder.0.clone(),
            "cannot be written: it is a folder, not a regular file",
        ),
        (
            folder.0.join("new/a.jsonl.gz"),
            "names a compressed file, which is not written here",
        ),
        (PathBuf::new(), "path \"\" is not a file to write"),
    ] {
        let (kind, text) = problem(export_events([], &path));
        assert!(kind == "ExportError" && text.contains(expected), "{text}");
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    let (_, text) = problem("xml".parse::<Format>());
    assert_eq!(text, "unknown format \"xml\"; allowed: json, jsonl");
}

proptest! {
    #[test]
    fn lines_are_those_of_the_file_wherever_it_is_cut(content in "[ab\\n \\r]{0,40}", size in 1_usize..8) {
        let reader = std::io::BufReader::with_capacity(size, content.as_bytes());
        let mut lines = Lines::new(reader).unwrap();
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            let text = String::from_utf8(line.bytes.unwrap().to_vec()).unwrap();
            found.push((line.number, text, line.is_torn));
        }
        let all = (1..).zip(content.split('\n'));
        let last = content.split('\n').count() as u64;
        let expected = all.filter(|(_, text)| !text.trim().is_empty());
        let expected: Vec<_> = expected.map(|(number, text)| (number, text.to_owned(), number == last)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let folder = Folder::new();
        let path = file(&folder, "a.jsonl", &bytes);
        if let Ok(events) = Events::open(&path) {
            prop_assert_eq!(events.count(), 0);
        }
        let _ = check_log(&path, |_| ());
    }

    #[test]
    fn halves_of_pairs_do_not_hide_what_is_around_them(
        parts in proptest::collection::vec("\\\\ud83d|\\\\ude00|\\\\\\\\|\\\\n|a|é|\\\\u00e9", 0..8)
    ) {
        let text = format!("[\"{}\"]", parts.concat());
        let value = the_edge_obs::jsonl::decoded(text.as_bytes()).unwrap();
        let found: String = value.to_json();
        let letters = |of: &str| of.chars().filter(|letter| matches!(letter, 'a')).count();
        prop_assert_eq!(letters(&found), parts.iter().filter(|part| *part == "a").count());
    }
}
