//! The console, callbacks, and all sinks below one layer.
#![allow(missing_docs)]

mod common;
mod made;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

use common::text;
use made::{event, flow, saying, Folder};
use the_edge_obs::sink::callback::Callback;
use the_edge_obs::sink::console::Console;
use the_edge_obs::sink::file::FlowFile;
use the_edge_obs::sink::ring::Ring;
use the_edge_obs::value::from_json;
use the_edge_obs::{FlowLayer, Sink, Snap, Status, RECORD};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `console.jsonl` holds events, and what `ConsoleFormatter()` and `ConsoleFormatter(verbose=True, colour=True)` of the Python
/// package made of them where the local time is UTC.
#[test]
fn the_console_prints_what_python_prints() {
    let plain = Console::new(io::sink());
    let verbose = Console::new(io::sink()).verbose(true).colour(true);
    for case in include_str!("console.jsonl").lines() {
        let case = from_json(case).unwrap();
        let event = case.get("event").unwrap();
        assert_eq!(plain.format(event), text(&case, "plain"));
        assert_eq!(verbose.format(event), text(&case, "verbose"));
    }
}

#[test]
fn the_console_writes_a_line_for_each_event_without_secrets() {
    let (written, flow) = (Written::default(), flow());
    let console = Console::new(written.clone());
    flow.taints.name("hunter2xyz");
    console
        .take(&saying(&flow, 0, "use hunter2xyz\n15:57:34 forged"))
        .unwrap();
    console.take(&saying(&flow, 1, "second")).unwrap();
    assert_eq!(
        written.text(),
        "15:57:34.861 info  rank use [REDACTED]\\n15:57:34 forged\n15:57:34.861 info  rank second\n"
    );
}

/// Panics, then fails, then works.
struct Unsteady(u8, Written);

impl Write for Unsteady {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        match self.0 {
            1 => panic!("on purpose"),
            2 => Err(ErrorKind::BrokenPipe.into()),
            _ => self.1.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_console_works_again_after_a_panic_and_an_error() {
    let (written, flow) = (Written::default(), flow());
    let console = Console::new(Unsteady(0, written.clone()));
    let take = || console.take(&saying(&flow, 0, "x"));
    assert!(catch_unwind(AssertUnwindSafe(take)).is_err());
    assert_eq!(take().unwrap_err().kind(), ErrorKind::BrokenPipe);
    take().unwrap();
    assert_eq!(written.text(), "15:57:34.861 info  rank x\n");
}

#[test]
fn a_callback_gets_the_event_and_the_flow() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (events, flows) = (Arc::clone(&seen), Arc::clone(&seen));
    let simple = Callback::new(move |event| {
        let message = text(event, "message").to_owned();
        events.lock().unwrap().push(message);
    });
    let of_flow = Callback::with_flow(move |flow, event| {
        let message = format!("{} {}", flow.name, text(event, "message"));
        flows.lock().unwrap().push(message);
        Err(io::Error::other("no"))
    });
    let flow = flow();
    flow.taints.name("hunter2xyz");
    let facts = saying(&flow, 0, "use hunter2xyz");
    simple.take(&facts).unwrap();
    assert_eq!(of_flow.take(&facts).unwrap_err().to_string(), "no");
    assert_eq!(
        *seen.lock().unwrap(),
        ["use [REDACTED]", "triage use [REDACTED]"]
    );
}

#[test]
fn all_sinks_get_the_events_of_a_layer_and_show_what_fails() {
    let folder = Folder::new();
    let (ring, written) = (Ring::new(), Written::default());
    let files = Arc::new(FlowFile::new(folder.0.join("{flow_id}.jsonl")).unwrap());
    let layer = FlowLayer::new()
        .sink(Callback::new(|_| panic!("on purpose")))
        .sink(ring.clone())
        .sink(Arc::clone(&files))
        .sink(Console::new(written.clone()));
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    let id = tracing::dispatcher::with_default(&dispatch, || {
        let run = the_edge_obs::flow("triage").start();
        let id = run.flow_id();
        run.in_scope(|| {
            let asked = the_edge_obs::node!("ask", input: "hi").run(|_| Ok::<_, String>("ho"));
            assert_eq!(asked, Ok("ho"));
        });
        run.end();
        id
    });
    if !RECORD {
        assert_eq!(ring.flows(), []);
        return;
    }
    let of_ring: Vec<String> = ring.events(&id).iter().map(Snap::to_json).collect();
    let text = fs::read_to_string(files.path_of(&id)).unwrap();
    let of_file: Vec<&str> = text.lines().collect();
    assert_eq!(of_ring, of_file);
    assert_eq!(of_file.len(), 5, "{of_file:?}");
    assert!(
        text.contains("callback failed: panicked: on purpose"),
        "{text}"
    );
    assert_eq!(written.text().lines().count(), 5);
    assert_eq!((ring.status(&id), ring.faults(&id)), (Some(Status::Ok), 4));
    assert_eq!(ring.name_of(&id).as_deref(), Some("triage"));
}

#[test]
fn an_event_that_is_empty_is_written_by_every_sink() {
    let (written, flow, ring) = (Written::default(), flow(), Ring::new());
    let console = Console::new(written.clone()).verbose(true);
    let facts = Arc::new(event(&flow, 0));
    for sink in [&console as &dyn Sink, &ring] {
        sink.take(&facts).unwrap();
        sink.flow_ended(&flow).unwrap();
        assert!(["console", "ring"].contains(&sink.name()));
    }
    assert_eq!(written.text(), "15:57:34.861 info  rank log\n");
}
