//! The program: its outputs, its errors and its exit codes.
#![cfg(feature = "cli")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tea-obs-rs");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/observability");

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("tea-obs-rs-test-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(&self.0)
            .env_remove("TEA_LOG")
            .env_remove("COLUMNS");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// Returns the lines of the only log in a folder.
    fn log(&self, folder: &str) -> Vec<String> {
        let files: Vec<_> = fs::read_dir(self.0.join(folder)).unwrap().collect();
        assert_eq!(files.len(), 1);
        let text = fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ends(&self, code: i32) -> &Ended {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.out,
            self.err
        );
        self
    }

    #[track_caller]
    fn says(&self, error: &str) {
        assert_eq!(self.err, format!("tea-obs-rs: {error}\n"));
    }
}

const FLOW: &str = "\
name: triage
nodes:
  - name: parse
    uses: json.parse
    with: {text: '{{ state.text }}'}
    output: parsed
  - name: ask
    uses: llm.call
    with: {prompt: Hello, answers: [Hi there]}
    output: {answer: '{{ result.content }}'}
";

const LONG: &str = "\
name: long
initial_state:
  few: [1, 2]
  names: [NAMES]
  big: {a: 1, text: TEXT, password: hunter2}
nodes:
  - name: parse
    uses: json.parse
    with: {text: '1'}
";

const FAILING: &str = "\
name: failing
nodes:
  - name: ask
    uses: llm.call
    with: {prompt: '{{ state.prompt }}', answers: [Hi]}
";

#[test]
fn a_long_state_is_shown_by_what_it_holds() {
    let folder = Folder::new("long");
    let names: Vec<String> = (0..300).map(|number| format!("name {number}")).collect();
    let flow = LONG
        .replace("NAMES", &names.join(", "))
        .replace("TEXT", &"y".repeat(300));
    folder.write("long.yaml", &flow);
    let run = folder.run(&["run", "long.yaml"]);
    run.ends(0);
    let state: Vec<&str> = run
        .out
        .lines()
        .skip_while(|line| !line.starts_with("final state"))
        .collect();
    let shown = [
        "final state (shortened; --output PATH writes all of it)",
        "  few      [1, 2]",
        "  names    300 items: name 0",
        "  big      3 keys: a, text, password",
    ];
    assert_eq!(state[..4], shown);
}

#[test]
fn a_flow_runs_and_shows_what_it_does() {
    let folder = Folder::new("run");
    folder.write("triage.yaml", FLOW);
    let set = [
        "--set",
        "text=\"[1, 2]\"",
        "--set",
        "token=abc",
        "--log-dir",
        "logs",
    ];
    let run = folder.run(&[&["run", "triage.yaml"], &set[..]].concat());
    run.ends(0);
    let lines: Vec<&str> = run.out.lines().collect();
    let beginnings = [
        "",
        "triage    flow        █",
        "├─ parse  json.parse  ",
        "└─ ask    llm.call    ",
        "",
        "ok, ",
    ];
    for (line, beginning) in lines.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "{line:?} in {}", run.out);
    }
    assert!(lines[5].contains(", 2 nodes, 6 events, "), "{}", run.out);
    let lines = &lines[4..];
    let id = lines[2].strip_prefix("flow ").unwrap();
    assert_eq!(lines[3], format!("log  logs/flow-{id}.jsonl"));
    let state = [
        "",
        "final state",
        "  text    \"[1, 2]\"",
        "  token   \"[REDACTED]\"",
        "  parsed  {\"data\": [1, 2], \"success\": true}",
        "  answer  \"Hi there\"",
    ];
    assert_eq!(lines[4..], state);
    let shown: Vec<&str> = run.err.lines().collect();
    assert_eq!(shown.len(), 3);
    assert!(
        shown[0].contains(" info  json.parse exit (") && shown[0].ends_with(" [parse]"),
        "{}",
        run.err
    );
    assert_eq!(folder.log("logs").len(), 6);
}

#[test]
fn levels_show_every_event() {
    let folder = Folder::new("levels");
    folder.write("triage.yaml", FLOW);
    let run = folder.run(&[
        "run",
        "triage.yaml",
        "--set",
        "text=\"1\"",
        "--level",
        "llm=error",
    ]);
    run.ends(0);
    assert_eq!(run.err.lines().count(), 4, "{}", run.err);
    let wrong = folder.run(&["run", "triage.yaml", "--level", "llm=loud"]);
    wrong.ends(2);
    assert!(
        wrong
            .err
            .starts_with("tea-obs-rs: error: --level 'llm=loud': unknown level 'loud'"),
        "{}",
        wrong.err
    );
    let mut given = folder.command(&["run", "triage.yaml", "--set", "text=\"1\""]);
    let quiet = Ended::of(given.env("TEA_LOG", "warn").output().unwrap());
    assert_eq!(quiet.ends(0).err.lines().count(), 1, "{}", quiet.err);
}

#[test]
fn the_final_state_is_written_in_full() {
    let folder = Folder::new("output");
    folder.write("triage.yaml", FLOW);
    folder.write("state.json", r#"{"text": "{\"a\": \"\u202e\"}"}"#);
    let run = folder.run(&["run", "triage.yaml", "--state", "@state.json", "-o", "-"]);
    run.ends(0);
    assert!(
        run.out.starts_with("{\n  \"text\": ") && run.out.contains(r#""a": "\u202e""#),
        "{}",
        run.out
    );
    assert!(run.err.contains("\nok, "), "{}", run.err);
    folder
        .run(&[
            "run",
            "triage.yaml",
            "--set",
            "text=\"1\"",
            "-o",
            "a/b.json",
        ])
        .ends(0);
    let text = fs::read_to_string(folder.0.join("a/b.json")).unwrap();
    assert!(text.contains("\"answer\": \"Hi there\"") && !text.contains("_observability"));
    let refused = folder.run(&["run", "triage.yaml", "-o", "triage.yaml/x"]);
    refused.ends(2);
    assert!(
        refused
            .err
            .starts_with("tea-obs-rs: error: --output 'triage.yaml/x' cannot be used: "),
        "{}",
        refused.err
    );
}

#[test]
fn a_flow_that_fails_says_where() {
    let folder = Folder::new("failing");
    folder.write("failing.yaml", FAILING);
    let run = folder.run(&["run", "failing.yaml"]);
    run.ends(1);
    let last = run.err.lines().last().unwrap();
    let told = "tea-obs-rs: error: step 'ask' (llm.call): ActionError: llm.call: ";
    assert!(last.starts_with(told), "{last}");
    assert!(
        run.out.contains("\nerror, ") && !run.out.contains("final state"),
        "{}",
        run.out
    );
}

#[test]
fn bad_usage_is_one_line() {
    let folder = Folder::new("usage");
    folder.write("triage.yaml", FLOW);
    let cases: [(&[&str], &str); 7] = [
        (&["run"], "run: the following required arguments were not provided: <FLOW.yaml>; see tea-obs-rs run --help"),
        (&["what"], "unrecognized subcommand 'what'; see tea-obs-rs --help"),
        (
            &["query", "x", "--limit", "z"],
            "query: invalid value 'z' for '--limit <N>': invalid digit found in string; see tea-obs-rs query --help",
        ),
        (
            &["run", "triage.yaml", "--set", "a"],
            "--set 'a' is not key=value; write --set path=access.log, or --set user.name=ada",
        ),
        (&["run", "no.yaml"], "no.yaml: the file cannot be read: No such file or directory (os error 2)"),
        (&["query", "no.jsonl"], "\"no.jsonl\" cannot be read: no such file or directory"),
        (&["query", "."], "folder '.' holds no logs; the name of a log ends in .jsonl"),
    ];
    for (arguments, error) in cases {
        let run = folder.run(arguments);
        run.ends(2).says(&format!("error: {error}"));
        assert_eq!(run.out, "");
    }
    let bare = folder.run(&[]);
    bare.ends(2);
    assert!(bare.err.contains("Usage: tea-obs-rs <COMMAND>") && bare.out.is_empty());
    let help = folder.run(&["query", "--help"]);
    help.ends(0);
    assert!(help
        .out
        .contains("Examples:\n  tea-obs-rs query logs --node 'llm.*' --level error"));
}

/// Runs the flow twice, and returns the folder with its logs.
fn with_logs(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("triage.yaml", FLOW);
    folder.write("failing.yaml", FAILING);
    folder
        .run(&[
            "run",
            "triage.yaml",
            "--set",
            "text=\"1\"",
            "--log-dir",
            "logs",
        ])
        .ends(0);
    folder
        .run(&["run", "failing.yaml", "--log-dir", "logs"])
        .ends(1);
    folder
}

#[test]
fn several_paths_and_their_sub_folders_are_read_together() {
    let folder = with_logs("paths");
    let of = |arguments: &[&str]| folder.run(arguments).ends(0).out.clone();
    let whole = of(&["query", "logs"]);
    assert!(whole.lines().count() > 1);
    fs::create_dir_all(folder.0.join("hosts/a/deep")).unwrap();
    fs::create_dir_all(folder.0.join("hosts/.hidden")).unwrap();
    for (number, file) in fs::read_dir(folder.0.join("logs")).unwrap().enumerate() {
        let (path, hosts) = (file.unwrap().path(), folder.0.join("hosts"));
        let place = ["a/deep", "a", "."][number % 3];
        fs::copy(&path, hosts.join(place).join(path.file_name().unwrap())).unwrap();
        fs::write(hosts.join(".hidden/x.jsonl"), "no event\n").unwrap();
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.0.join("hosts"), folder.0.join("hosts/a/circle")).unwrap();
    assert_eq!(of(&["query", "hosts"]), whole);
    assert_eq!(of(&["query", "hosts/a", "hosts", "logs"]), whole);
    assert_eq!(
        of(&["validate", "hosts/a", "hosts"]).lines().count(),
        of(&["validate", "logs"]).lines().count()
    );
    of(&["export", "hosts/a", "hosts", "-o", "all.jsonl"]);
    assert_eq!(
        of(&["query", "all.jsonl"]).lines().count(),
        whole.lines().count()
    );
    let gone = folder.run(&["query", "hosts", "gone"]);
    gone.ends(2)
        .says("error: \"gone\" cannot be read: no such file or directory");
    assert_eq!(gone.out, "");
}

#[test]
fn events_are_queried() {
    let folder = with_logs("query");
    let lines = |arguments: &[&str]| {
        let run = folder.run(&[&["query", "logs"], arguments].concat());
        assert_eq!(run.ends(0).err, "");
        run.out.lines().count()
    };
    assert_eq!(lines(&[]), 10);
    assert_eq!(lines(&["--node", "llm.*"]), 4);
    assert_eq!(
        lines(&["--node", "llm.*", "--node", "flow", "--level", "error"]),
        2
    );
    assert_eq!(lines(&["--min-level", "warn", "--event-type", "error"]), 2);
    assert_eq!(lines(&["--step", "ask", "--limit", "1"]), 1);
    assert_eq!(lines(&["--since", "-5m", "--text", "HELLO"]), 1);
    assert_eq!(lines(&["--until", "-5m"]), 0);
    let console = folder.run(&["query", "logs", "--format", "console", "--level", "error"]);
    assert!(
        console
            .ends(0)
            .out
            .contains(" error llm.call ActionError: "),
        "{}",
        console.out
    );
    let wrong = folder.run(&["query", "logs", "--level", "loud"]);
    wrong.ends(2);
    assert!(
        wrong
            .err
            .starts_with("tea-obs-rs: error: level: unknown level"),
        "{}",
        wrong.err
    );
}

#[test]
fn skipped_lines_are_told() {
    let folder = with_logs("skipped");
    let mut log = folder.log_of("triage");
    log.push_str("{\"flow_id\": ");
    folder.write("torn.jsonl", &log);
    let run = folder.run(&["query", "torn.jsonl", "--limit", "100"]);
    run.ends(0).says("note: the last line of 'torn.jsonl' is cut off: its process was killed or is still writing");
    folder.write("odd.jsonl", &format!("x\n{log}"));
    let run = folder.run(&["query", "odd.jsonl"]);
    run.ends(0);
    assert!(
        run.err
            .starts_with("tea-obs-rs: note: 2 lines of 'odd.jsonl' are not events (line 1: "),
        "{}",
        run.err
    );
}

impl Folder {
    /// Returns the log of a flow, by its name.
    fn log_of(&self, name: &str) -> String {
        let files = fs::read_dir(self.0.join("logs")).unwrap();
        let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let is_it = |text: &String| text.contains(&format!("\"name\":\"{name}\""));
        texts.into_iter().find(is_it).unwrap()
    }
}

#[test]
fn logs_and_flows_are_validated() {
    let folder = with_logs("validate");
    let run = folder.run(&["validate", "--strict", "logs"]);
    assert_eq!(
        run.ends(0)
            .out
            .lines()
            .filter(|line| line.contains(".jsonl: OK, "))
            .count(),
        2
    );
    let log = folder.log_of("triage");
    let lines: Vec<&str> = log.lines().collect();
    folder.write("open.jsonl", &format!("{}\n", lines[..5].join("\n")));
    folder.run(&["validate", "open.jsonl"]).ends(0);
    let run = folder.run(&["validate", "--strict", "open.jsonl"]);
    run.ends(2)
        .says("error: 1 problem in 'open.jsonl' as a whole");
    assert!(run.out.contains("open.jsonl:1: span "), "{}", run.out);
    folder.write("bad.jsonl", &log.replacen("\"entry\"", "\"start\"", 1));
    let run = folder.run(&["validate", "bad.jsonl"]);
    run.ends(2)
        .says("error: 1 of 6 lines of 'bad.jsonl' is not a valid event");
    assert!(
        run.out.starts_with("bad.jsonl:1: event_type is \"start\""),
        "{}",
        run.out
    );
    let run = folder.run(&["validate", "triage.yaml"]);
    assert_eq!(
        run.ends(0).out,
        "triage.yaml: OK, flow triage, 2 nodes, no observability block\n"
    );
}

#[test]
fn mistakes_of_flows_are_listed_with_their_lines() {
    let folder = Folder::new("mistakes");
    folder.write(
        "wrong.yaml",
        "nodes:\n  - {name: a, uses: json.prase}\n  - {name: b, what: password=hunter2xyz}\n",
    );
    let run = folder.run(&["validate", "wrong.yaml"]);
    run.ends(2);
    assert!(run.out.starts_with("wrong.yaml:2: step 'a'"), "{}", run.out);
    assert!(
        run.out
            .contains("\n    2 |   - {name: a, uses: json.prase}\n"),
        "{}",
        run.out
    );
    assert!(
        !run.out.contains("hunter2xyz") && run.err.contains(" mistakes in 'wrong.yaml'"),
        "{}{}",
        run.out,
        run.err
    );
    let dead = "nodes:\n  - {name: a, uses: json.parse, with: {text: '1'}, goto: __end__}\n  - {name: b, uses: json.parse, with: {text: '1'}}\n";
    folder.write("dead.yaml", dead);
    let run = folder.run(&["validate", "dead.yaml"]);
    run.ends(2).says("error: 1 mistake in 'dead.yaml'");
    assert!(
        run.out
            .starts_with("dead.yaml:3: nothing leads to step 'b'; add an edge"),
        "{}",
        run.out
    );
}

#[test]
fn logs_are_exported() {
    let folder = with_logs("export");
    let run = folder.run(&["export", "logs", "-o", "out/all.jsonl"]);
    assert!(
        run.ends(0)
            .out
            .starts_with("out/all.jsonl: 10 events as jsonl, "),
        "{}",
        run.out
    );
    let text = fs::read_to_string(folder.0.join("out/all.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 10);
    let run = folder.run(&["export", "out/all.jsonl", "-o", "all.json"]);
    assert!(
        run.ends(0).out.starts_with("all.json: 10 events as json, "),
        "{}",
        run.out
    );
    assert!(fs::read_to_string(folder.0.join("all.json"))
        .unwrap()
        .starts_with("[\n  {\n    \"flow_id\": "));
    let id = text.split('"').nth(3).unwrap();
    let run = folder.run(&[
        "export",
        "logs",
        "--flow",
        &id[..13],
        "--format",
        "json",
        "-o",
        "-",
    ]);
    assert!(
        run.ends(0)
            .out
            .starts_with(&format!("{{\n  \"flow_id\": \"{id}\"")),
        "{}",
        run.out
    );
    let run = folder.run(&["export", "logs", "--flow", "zz", "-o", "-"]);
    run.ends(2).says(
        "error: no flow of 'logs' begins with 'zz'; tea-obs-rs query 'logs' --node flow --event-type entry lists the flows",
    );
    let run = folder.run(&["export", "logs", "-o", "x.html"]);
    run.ends(2);
    assert!(
        run.err.contains("format \"html\" is not written here"),
        "{}",
        run.err
    );
    assert!(!folder.0.join("x.html").exists());
}

#[test]
fn normalised_logs_are_those_of_the_fixtures() {
    let fixtures = Path::new(EXAMPLES).join("parity");
    for fixture in fs::read_dir(fixtures).unwrap() {
        let path = fixture.unwrap().path();
        if path.extension().is_none_or(|suffix| suffix != "yaml") {
            continue;
        }
        let folder = Folder::new("parity");
        let run = folder.run(&["parity", "--strict", path.to_str().unwrap()]);
        let name = path.file_stem().unwrap().to_str().unwrap();
        run.ends(if name == "failed" { 1 } else { 0 });
        let expected = Path::new(EXAMPLES)
            .join("parity-expected")
            .join(format!("{name}.json"));
        let expected = fs::read_to_string(expected).unwrap();
        assert_eq!(sorted(&run.out), sorted(&expected), "{name}");
        assert_eq!(
            run.err
                .starts_with("tea-obs-rs: note: the flow failed: FlowRunError: "),
            name == "failed"
        );
    }
}

/// Returns a JSON text with the keys of its objects in order.
fn sorted(text: &str) -> String {
    fn walk(value: &the_edge_obs::Snap) -> the_edge_obs::Snap {
        use the_edge_obs::Snap;
        match value {
            Snap::Map(pairs) => {
                let mut pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| (key.clone(), walk(value)))
                    .collect();
                pairs.sort_by(|one, other| one.0.cmp(&other.0));
                Snap::Map(pairs.into())
            }
            Snap::List(items) => Snap::List(items.iter().map(walk).collect()),
            other => other.clone(),
        }
    }
    walk(&the_edge_obs::value::from_json(text).unwrap()).to_json()
}

#[test]
fn cases_are_answered_line_by_line() {
    let folder = Folder::new("vectors");
    let mut command = folder.command(&["vectors"]);
    let mut asked = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = "{\"ask\": \"glob\", \"pattern\": \"llm.*\", \"name\": \"llm.call\"}\nx\n{\"ask\": \"time\", \"given\": \"-5m\", \"now\": 1000}\n";
    asked
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let run = Ended::of(asked.wait_with_output().unwrap());
    let answers: Vec<&str> = run.ends(0).out.lines().collect();
    assert_eq!(
        (answers.len(), answers[0], answers[2]),
        (3, "true", "700.0")
    );
    assert!(answers[1].starts_with("{\"error\":"));
}

#[test]
fn a_closed_pipe_is_quiet() {
    let folder = Folder::new("pipe");
    folder.write("triage.yaml", FLOW);
    folder
        .run(&[
            "run",
            "triage.yaml",
            "--set",
            "text=\"1\"",
            "--log-dir",
            "logs",
        ])
        .ends(0);
    let log = folder.log_of("triage").repeat(2_000);
    folder.write("long.jsonl", &log);
    let mut command = folder.command(&["export", "long.jsonl", "-o", "-"]);
    let mut running = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(running.stdout.take());
    let run = Ended::of(running.wait_with_output().unwrap());
    assert_eq!(run.ends(141).err, "");
}

/// Waits until a log has a line with a text.
#[cfg(unix)]
fn wait_for(folder: &Path, text: &str) {
    for _ in 0..500 {
        let files = fs::read_dir(folder).into_iter().flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
        if texts.into_iter().any(|log| log.contains(text)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{text} is in no log after 10 seconds");
}

#[cfg(unix)]
fn interrupt(running: &Child) {
    let killed = Command::new("kill")
        .args(["-INT", &running.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_leaves_a_whole_log() {
    let folder = Folder::new("interrupted");
    let flow = "name: slow\nnodes: [{name: ask, uses: llm.call, with: {prompt: Hi, answers: [{content: Hello, seconds: 60}]}}]\n";
    folder.write("slow.yaml", flow);
    let mut command = folder.command(&["run", "slow.yaml", "--log-dir", "logs"]);
    let running = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&folder.0.join("logs"), "\"llm.call\"");
    interrupt(&running);
    let run = Ended::of(running.wait_with_output().unwrap());
    run.ends(130);
    assert!(
        run.err.ends_with("tea-obs-rs: interrupted\n"),
        "{}",
        run.err
    );
    assert!(run.out.contains("cancelled, "), "{}", run.out);
    let lines = folder.log("logs");
    assert_eq!(lines.len(), 4);
    assert!(lines[3].contains("\"cancelled\":true"));
    folder.run(&["validate", "--strict", "logs"]).ends(0);
}

#[test]
fn the_tree_is_folded_and_tells_of_errors() {
    let folder = Folder::new("tree");
    let flow = "\
name: many
nodes:
  - name: each
    type: dynamic_parallel
    items: '{{ range(40) | list }}'
    max_concurrency: 1
    steps: [{name: parse, uses: json.parse, with: {text: \"{{ '1' if item != 20 else 'x' }}\"}}]
  - {name: warn, uses: obs.log_event, with: {message: careful, level: warn}}
";
    folder.write("many.yaml", flow);
    let run = folder.run(&["run", "many.yaml", "--ascii"]);
    run.ends(0);
    let lines: Vec<&str> = run.out.lines().collect();
    let at = |text: &str| {
        lines
            .iter()
            .position(|line| line.contains(text))
            .unwrap_or_else(|| panic!("no {text}: {}", run.out))
    };
    assert!(
        lines[at(": 12 more, all ok")].starts_with("|  |- : 12 more, all ok"),
        "{}",
        run.out
    );
    assert!(
        lines[at("parallel.branch [20] 20")].starts_with("|  |- parallel.branch [20] 20"),
        "{}",
        run.out
    );
    assert!(
        lines[at("JSON parse error")].starts_with("|  |       parse: JSON parse error: "),
        "{}",
        run.out
    );
    assert!(
        lines[at("warn: careful")].starts_with("     warn: careful"),
        "{}",
        run.out
    );
    assert!(!run.out.contains("[12] 12") && run.out.is_ascii());
}

#[test]
fn what_cannot_be_read_is_told_and_nothing_is_replaced() {
    let folder = with_logs("unreadable");
    fs::write(folder.0.join("logs/old.jsonl.gz"), b"x").unwrap();
    let run = folder.run(&["query", "logs", "--limit", "100"]);
    run.ends(2).says(
        "error: a compressed log is not read, such as 'logs/old.jsonl.gz'; unpack with gunzip -k, or use Python's tea-obs",
    );
    assert_eq!(run.out.lines().count(), 10);
    fs::write(folder.0.join("logs/zz.jsonl"), b"\xff\xfex\0").unwrap();
    folder.write("all.jsonl", "before");
    let run = folder.run(&["export", "logs", "-o", "all.jsonl"]);
    run.ends(2);
    assert!(
        run.err.contains("it is utf-16; a log is utf-8"),
        "{}",
        run.err
    );
    assert_eq!(
        fs::read_to_string(folder.0.join("all.jsonl")).unwrap(),
        "before"
    );
    assert!(fs::read_dir(&folder.0).unwrap().all(|file| !file
        .unwrap()
        .file_name()
        .to_string_lossy()
        .ends_with(".part")));
}
