//! No secret leaves: not through any sink, and not through other layers of the same program.

mod common;

use std::fmt::{self, Debug, Write as _};
use std::io;
use std::sync::{Arc, Mutex};

use common::{text, Kept};
use serde::Serialize;
use the_edge_obs::sink::callback::Callback;
use the_edge_obs::sink::console::Console;
use the_edge_obs::sink::file::FlowFile;
use the_edge_obs::sink::ring::Ring;
use the_edge_obs::{flow, log, node, taint, to_snap, Facts, FlowLayer, Level, Node, Sink, Snap};
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Id, Metadata, Subscriber};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// A text that several threads and layers append to.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<String>>);

impl Shared {
    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn add(&self, text: &str) {
        let mut own = self.0.lock().unwrap();
        own.push_str(text);
        own.push('\n');
    }
}

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A layer that writes down everything it can see, as those for OpenTelemetry do.
struct Recorder(Shared);

impl Recorder {
    fn metadata(&self, metadata: &Metadata<'_>) {
        self.0.add(&format!("{metadata:?}"));
    }
}

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &tracing::span::Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.metadata(attributes.metadata());
        attributes.record(&mut Fields(&self.0));
    }

    fn on_record(&self, _: &Id, values: &tracing::span::Record<'_>, _: Context<'_, S>) {
        values.record(&mut Fields(&self.0));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.metadata(event.metadata());
        event.record(&mut Fields(&self.0));
    }
}

struct Fields<'a>(&'a Shared);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.add(&format!("{}={value:?}", field.name()));
    }
}

/// What a sink that does not scrub would see: the values of facts as they are kept.
#[derive(Clone, Default)]
struct Raw(Shared);

impl Sink for Raw {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        self.0
            .add(&format!("{:?} {:?}", facts.message, facts.payload));
        Ok(())
    }
}

/// Everything that events can go to, in one program.
struct Program {
    kept: Kept,
    ring: Ring,
    folder: std::path::PathBuf,
    /// What is written at once, by name.
    written: Vec<(&'static str, Shared)>,
    others: Vec<(&'static str, Shared)>,
    raw: Raw,
    dispatch: Dispatch,
}

impl Program {
    fn new(test: &str) -> Program {
        let name = format!("the-edge-obs-leaks-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (kept, ring, raw) = (Kept::default(), Ring::new(), Raw::default());
        let (console, callback) = (Shared::default(), Shared::default());
        let (fmt, json, recorder) = (Shared::default(), Shared::default(), Shared::default());
        let called = callback.clone();
        let layer = FlowLayer::new()
            .with_foreign_spans()
            .sink(kept.clone())
            .sink(ring.clone())
            .sink(FlowFile::new(folder.join("{flow_id}.jsonl")).unwrap())
            .sink(Console::new(console.clone()).verbose(true))
            .sink(Callback::new(move |event| called.add(&event.to_json())))
            .sink(raw.clone());
        let writer = |to: &Shared| {
            let to = to.clone();
            move || to.clone()
        };
        let lines = tracing_subscriber::fmt::layer().with_span_events(FmtSpan::FULL);
        let objects = tracing_subscriber::fmt::layer()
            .json()
            .with_span_events(FmtSpan::FULL);
        let registry = tracing_subscriber::registry()
            .with(lines.with_writer(writer(&fmt)))
            .with(layer)
            .with(objects.with_writer(writer(&json)))
            .with(Recorder(recorder.clone()));
        Program {
            kept,
            ring,
            folder,
            written: vec![("console", console), ("callback", callback)],
            others: vec![("fmt", fmt), ("json", json), ("recorder", recorder)],
            raw,
            dispatch: Dispatch::new(registry),
        }
    }

    fn run(&self, work: impl FnOnce()) {
        tracing::dispatcher::with_default(&self.dispatch, work);
    }

    /// What can be read of the events now.
    fn read(&self) -> Vec<(&'static str, String)> {
        let events = self.kept.events();
        let kept: String = events.iter().map(Snap::to_json).collect();
        let flows = self.ring.flows();
        let ring = flows.iter().flat_map(|flow| self.ring.events(flow));
        let ring: String = ring.map(|event| event.to_json()).collect();
        vec![
            ("kept", kept),
            ("ring", ring),
            ("debug", format!("{:?} {:?}", self.ring, self.kept_facts())),
        ]
    }

    fn kept_facts(&self) -> Vec<Arc<Facts>> {
        let flows = self.ring.flows();
        flows
            .iter()
            .flat_map(|flow| self.ring.facts(flow))
            .collect()
    }

    /// What was written when the events came.
    fn written(&self) -> Vec<(&'static str, String)> {
        let mut all: Vec<(&str, String)> = self
            .written
            .iter()
            .map(|(name, text)| (*name, text.text()))
            .collect();
        let mut files = String::new();
        for entry in std::fs::read_dir(&self.folder).unwrap() {
            files += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
        }
        all.push(("file", files));
        all
    }

    /// What other layers saw.
    fn others(&self) -> Vec<(&'static str, String)> {
        let texts = self.others.iter();
        texts.map(|(name, text)| (*name, text.text())).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn assert_absent(secrets: &[&str], places: &[(&str, String)]) {
    for (name, text) in places {
        assert!(!text.is_empty(), "{name} is empty");
        for secret in secrets {
            let at = text.find(secret);
            let around = at.map(|at| &text[at.saturating_sub(120)..(at + 60).min(text.len())]);
            assert_eq!(around, None, "{secret} is in {name}");
        }
    }
}

/// What the program was given, before any redaction.
#[derive(Default)]
struct Given(String);

impl Given {
    fn value<T: Serialize>(&mut self, value: T) -> T {
        let _ = writeln!(self.0, "{}", to_snap(&value).to_json());
        value
    }

    /// The positive control: each secret is in what the program was given.
    fn assert_has(&self, secrets: &[&str]) {
        for secret in secrets {
            assert!(self.0.contains(secret), "{secret} was never given");
        }
    }
}

const BY_KEY: &str = "k-83hd72hs-xyz";
const NESTED: &str = "qn5-77fk-20sx";
const PASSWORD: &str = "hunter2xyz";
const OUTPUT: &str = "ot-66gs-81hq";
const NUMBER: u64 = 8_823_551_907;
const BEARER: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N";
const PROVIDER: &str = "sk-proj-abcdefghijklmnopqrstuvwx1234";
const NAMED: &str = "swordfish nine";

fn params(prompt: &str) -> Snap {
    let headers: Vec<Snap> =
        vec![vec!["Authorization".to_owned(), format!("Bearer {BEARER}")].into()];
    let deep = Snap::map([
        ("headers", headers.into()),
        ("client_secret", Snap::from(NESTED)),
    ]);
    Snap::map([
        ("prompt", prompt.into()),
        ("api_key", BY_KEY.into()),
        ("deep", vec![deep].into()),
        ("pin", NUMBER.into()),
    ])
}

#[test]
fn secrets_of_nodes_leave_nowhere() {
    let secrets = [BY_KEY, NESTED, PASSWORD, OUTPUT, BEARER, PROVIDER, NAMED];
    let number = NUMBER.to_string();
    let secrets: Vec<&str> = secrets.into_iter().chain([&*number]).collect();
    let program = Program::new("nodes");
    let mut given = Given::default();
    program.run(|| {
        let url = given.value(format!("postgres://me:{PASSWORD}@db/x"));
        let run = flow("f").input(&given.value(params("hi"))).start();
        run.in_scope(|| {
            taint(given.value(NAMED.to_owned())).unwrap();
            let prompt = given.value(format!("I use {BY_KEY}, {NAMED} and {NUMBER}"));
            let result =
                node!("call", step: &given.value(format!("ask {PROVIDER}")), input: params(&prompt))
                    .run(|span| {
                        span.metric(&given.value(format!("n {PROVIDER}")), 1);
                        span.end_metric(PROVIDER, 2);
                        span.error_kind(&given.value(format!("Refused {BY_KEY}")));
                        Err::<(), _>(given.value(format!("refused: {BY_KEY} at {url}, {NESTED}")))
                    });
            assert!(result.unwrap_err().contains(BY_KEY)); // the program's own error is whole
            let panics = std::panic::AssertUnwindSafe(|| {
                node!("panics").in_scope::<(), _>(|_| panic!("no {BY_KEY} {NAMED}"));
            });
            assert!(std::panic::catch_unwind(panics).is_err());
            let output = given.value([("refresh_token", OUTPUT)]);
            let _ = node!("output").in_scope(|_| {
                output
                    .into_iter()
                    .collect::<std::collections::BTreeMap<_, _>>()
            });
            let _ = node!("soft").in_scope(|_| {
                Snap::map([
                    ("success", Snap::Bool(false)),
                    ("error", format!("no {OUTPUT}").into()),
                ])
            });
            node!(dyn Node::intern(PROVIDER, Level::Info)).in_scope(|_| ());
            log!(&format!("x {PROVIDER}"), warn, message: &format!("see {url} {BEARER}"),
                data: {"password": PASSWORD, "again": format!("{OUTPUT} {NUMBER}")});
            let span = node!("started").start_with(vec![("secret".into(), NESTED.into())]);
            span.cancel("Gone", &format!("gone {NESTED}"));
            flow(&format!("inner {PROVIDER}"))
                .about("token", PASSWORD.into())
                .start()
                .end();
            std::thread::scope(|scope| {
                let here = the_edge_obs::here();
                scope.spawn(move || here.in_scope(|| log!("thread", info, message: BY_KEY)));
            });
        });
        run.fail(&format!("E {NAMED}"), &format!("gave up on {BY_KEY}"));
    });
    given.assert_has(&secrets);
    // Those that stand in texts are kept until somebody reads them; there the scrubbing finds them.
    let raw = program.raw.0.text();
    for secret in [BY_KEY, NESTED, PASSWORD, OUTPUT, BEARER, NAMED] {
        assert!(raw.contains(secret), "{secret} was in no text");
    }
    assert_absent(&secrets, &program.read());
    assert_absent(&secrets, &program.written());
    assert_absent(&secrets, &program.others());
    assert_eq!(program.kept.len(), 20);
}

#[test]
fn secrets_of_other_code_leave_no_flow() {
    let secrets = [BY_KEY, PASSWORD, BEARER];
    let program = Program::new("other code");
    let mut given = Given::default();
    program.run(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            let url = given.value(format!("https://me:{PASSWORD}@host/?x=1"));
            let span = tracing::info_span!("theirs", api_key = BY_KEY, url, later = tracing::field::Empty);
            span.record("later", format!("Bearer {BEARER}"));
            span.in_scope(|| {
                tracing::info!(password = %PASSWORD, header = ?("Authorization", BEARER), "I use {BY_KEY}");
                tracing::error!(error = &io::Error::other(format!("no {BY_KEY}")) as &dyn std::error::Error);
            });
            given.value((BY_KEY, BEARER));
        });
    });
    given.assert_has(&secrets);
    assert_absent(&secrets, &program.read());
    assert_absent(&secrets, &program.written());
    // The control of the other layers: what other code says itself, they do see.
    for (name, text) in program.others() {
        for secret in secrets {
            assert!(text.contains(secret), "{name} does not see {secret}");
        }
    }
    let nodes = program.kept.nodes("entry");
    assert_eq!(nodes, ["flow", "theirs"]);
}

#[test]
fn a_secret_that_is_learned_later_leaves_no_memory() {
    let program = Program::new("later");
    program.run(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            node!("early", input: format!("use {PASSWORD}"))
                .in_scope(|_| format!("used {PASSWORD}"));
            tracing::info!("said {PASSWORD}");
        });
        let before = program.read();
        assert!(before.iter().all(|(_, text)| text.contains(PASSWORD))); // nobody knew
        run.in_scope(|| {
            let params = [("password", PASSWORD)];
            let params: std::collections::BTreeMap<_, _> = params.into();
            node!("late", input: params).in_scope(|_| ());
            log!("note", info, message: &format!("again {PASSWORD}"));
        });
    });
    assert_absent(&[PASSWORD], &program.read());
    // What was written stays written; later lines are clean.
    for (name, written) in program.written() {
        assert_eq!(written.matches(PASSWORD).count(), 3, "{name}: {written}");
    }
}

#[test]
fn a_flow_that_is_printed_shows_no_secret() {
    let kept = common::kept(|| {
        let run = flow("f").start();
        run.in_scope(|| {
            taint(NAMED).unwrap();
            log!("note", info, message: NAMED, data: {"api_key": BY_KEY, "text": BY_KEY});
            let shown = format!(
                "{:?} {:?} {:?}",
                run.flow(),
                the_edge_obs::here(),
                the_edge_obs::current()
            );
            assert_absent(&[NAMED, BY_KEY], &[("debug", shown)]);
        });
    });
    assert_eq!(text(&kept.one("note", "log"), "message"), "[REDACTED]");
}

/// A sink of somebody who prints the facts.
struct Prints(Shared);

impl Sink for Prints {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        self.0.add(&format!("{facts:?}"));
        Err(io::Error::other(Told))
    }
}

#[derive(Debug)]
struct Told;

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot write api_key={BY_KEY}")
    }
}

impl std::error::Error for Told {}

#[test]
fn facts_that_are_printed_and_failures_of_sinks_show_no_secret() {
    let (prints, kept) = (Shared::default(), Kept::default());
    let layer = FlowLayer::new()
        .sink(Prints(prints.clone()))
        .sink(kept.clone());
    let registry = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(registry, || {
        flow("f")
            .start()
            .in_scope(|| log!("note", info, message: &format!("password={PASSWORD}")));
    });
    let report = kept.one("obs", "log").to_json();
    assert!(report.contains("cannot write"));
    assert_absent(
        &[PASSWORD, BY_KEY],
        &[("facts", prints.text()), ("report", report)],
    );
}
