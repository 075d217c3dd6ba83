//! `tea-obs-rs replay`: its outputs, its errors and its exit codes.
#![cfg(all(feature = "cli", feature = "record"))]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

const FLOW: &str = "
name: capitals
observability: {handlers: [{type: file, path: 'own/flow-{flow_id}.jsonl'}]}
initial_state: {country: France, size: 1}
nodes:
  - {name: ask, uses: llm.call, with: {prompt: 'Capital of {{ state.country }}?', answers: [Paris]}, output: answer}
  - {name: keep, uses: file.write, with: {path: out.txt, content: '{{ state.answer.content }} {{ state.size }}'}}
";

struct Folder(PathBuf);

impl Folder {
    /// Returns a folder with a flow and the log of its run.
    fn new(name: &str) -> Folder {
        let name = format!("tea-obs-rs-replay-{name}-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.0.join("flow.yaml"), FLOW).unwrap();
        assert_eq!(folder.run(&["run", "flow.yaml", "--log-dir", "logs"]).0, 0);
        folder
    }

    /// Runs the program, and returns its exit code, its stdout and its stderr.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tea-obs-rs"));
        command
            .args(arguments)
            .current_dir(&self.0)
            .env_remove("TEA_LOG")
            .env("NAME", "x");
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    fn replay(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run(&[&["replay", "logs", "flow.yaml"], arguments].concat())
    }

    fn files(&self, folder: &str) -> usize {
        fs::read_dir(self.0.join(folder)).map_or(0, Iterator::count)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_run_is_replayed_and_nothing_is_written() {
    let folder = Folder::new("same");
    fs::remove_file(folder.0.join("out.txt")).unwrap();
    let (code, out, err) = folder.replay(&["--log-dir", "new"]);
    assert_eq!((code, &*err), (0, ""));
    let expected = "no differences, 3 the same\n\n2 answered from the log, 0 live, 0 recorded ones not asked for\nlog  new/flow-";
    assert!(out.starts_with(expected), "{out}");
    assert!(!folder.0.join("out.txt").exists());
    assert_eq!((folder.files("own"), folder.files("new")), (1, 1));
    let (code, out, _) = folder.run(&["validate", "--strict", "new"]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn a_changed_input_stops_and_says_what_helps() {
    let folder = Folder::new("changed");
    let (code, out, err) = folder.replay(&["--set", "size=2"]);
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "tea-obs-rs: error: stopped at keep (file.write): it is not asked as it was recorded; input.content: 'Paris 1' -> \
         'Paris 2'; make the call with live 'file.write', or record the flow again\n"
    );
    assert!(
        out.contains("1 answered from the log, 0 live, 0 recorded ones not asked for"),
        "{out}"
    );
    let (code, out, _) = folder.replay(&["--set", "size=2", "--pretend", "file.*"]);
    assert_eq!(code, 0);
    assert!(out.contains("pretended: keep (file.write): it is not asked as it was recorded\n  input.content: 'Paris 1' -> 'Paris 2'\n"), "{out}");
    let (code, _, err) = folder.replay(&["--set", "size=2", "--ignore", "input.content"]);
    assert_eq!((code, &*err), (0, ""));
    let (code, out, _) = folder.replay(&["--set", "size=2", "--live", "file.*"]);
    assert_eq!(
        (code, out.contains("1 answered from the log, 1 live")),
        (0, true),
        "{out}"
    );
    assert_eq!(
        fs::read_to_string(folder.0.join("out.txt")).unwrap(),
        "Paris 2"
    );
}

#[test]
fn a_dry_run_says_what_cannot_be_used() {
    let folder = Folder::new("dry");
    let (code, out, err) = folder.replay(&["--dry"]);
    assert_eq!((code, &*err), (0, ""));
    let told = "2 recorded calls, 0 whole answers\nthe flow file is as it was recorded\nusable: every recorded call can be answered\n";
    assert!(
        out.starts_with("capitals  ok  ") && out.ends_with(told),
        "{out}"
    );
    fs::write(
        folder.0.join("flow.yaml"),
        FLOW.replace("answers: [Paris]", "answers: ['{{ \"Paris \" * 3000 }}']"),
    )
    .unwrap();
    fs::remove_dir_all(folder.0.join("logs")).unwrap();
    assert_eq!(folder.run(&["run", "flow.yaml", "--log-dir", "logs"]).0, 0);
    let (code, out, err) = folder.replay(&["--dry"]);
    assert_eq!(code, 2);
    assert!(
        out.contains("not usable: ask (llm.call): its recorded answer was cut at output.content\n"),
        "{out}"
    );
    assert!(err.contains("parts of the recording cannot be used; record these actions whole: observability: {record: "), "{err}");
    let (code, _, err) = folder.replay(&[]);
    assert_eq!(code, 2);
    assert!(
        err.contains("stopped at ask (llm.call): its recorded answer was cut at output.content"),
        "{err}"
    );
}

#[test]
fn mistakes_are_told() {
    let folder = Folder::new("mistakes");
    let told = |arguments: &[&str], problem: &str| {
        let (code, out, err) = folder.replay(arguments);
        assert_eq!((code, &*out), (2, ""), "{err}");
        assert!(err.contains(problem), "{err}");
    };
    told(
        &["--flow", "zz"],
        "no flow of 'logs' begins with 'zz'; tea-obs ls 'logs' lists them",
    );
    told(
        &["--from", "nowhere", "--live", "*"],
        "from_step 'nowhere' is not a step of 'capitals'; allowed: keep, ask",
    );
    told(
        &["--again"],
        "again makes the calls of live for real in any case; name them with live",
    );
    told(&["--secret", "x"], "--secret 'x' is not PLACE=VARIABLE");
    told(
        &["--secret", "a.output=NO_SUCH_NAME"],
        "the environment variable 'NO_SUCH_NAME' is not set; 'a.output' gets its secret from there",
    );
    told(
        &["--secret", "a.output=NAME"],
        "no secret was redacted at 'a.output'; nothing was redacted in this recording",
    );
    assert_eq!(folder.run(&["run", "flow.yaml", "--log-dir", "logs"]).0, 0);
    told(&[], "'logs' holds 2 flows: ");
    told(&[], "; choose one with flow_id (--flow ID)");
    told(
        &["--flow", ""],
        "'' is the beginning of 2 flows of 'logs': ",
    );
    told(&["--flow", ""], "; give more of the id");
}

#[test]
fn another_failure_is_not_as_before() {
    let folder = Folder::new("failure");
    let fails = |step: &str, text: &str| {
        let nodes = ["first", "second"].map(|name| {
            let text = if name == step { text } else { "1" };
            format!("  - {{name: {name}, uses: json.parse, with: {{text: \"{text}\"}}}}\n")
        });
        let flow = format!("name: failing\nnodes:\n{}", nodes.concat());
        fs::write(folder.0.join("flow.yaml"), flow).unwrap();
    };
    fails("first", "{{ 1 / 0 }}");
    fs::remove_dir_all(folder.0.join("logs")).unwrap();
    assert_eq!(folder.run(&["run", "flow.yaml", "--log-dir", "logs"]).0, 1);
    let told = |step: &str, text: &str| {
        fails(step, text);
        let (code, _, err) = folder.replay(&[]);
        (code, err)
    };
    assert_eq!(told("first", "{{ 1 / 0 }}"), (0, String::new()));
    assert_eq!(told("first", "1"), (0, String::new())); // it was mended
    let (code, err) = told("second", "{{ 1 / 0 }}");
    assert!(code == 1 && err.contains("second"), "{err}");
    let goto = "name: failing\nnodes: [{name: first, uses: json.parse, with: {text: '1'}, goto: [{if: '{{ false }}', to: second}]}, \
        {name: second, uses: json.parse, with: {text: '1'}}]";
    fs::write(folder.0.join("flow.yaml"), goto).unwrap();
    let (code, _, err) = folder.replay(&[]); // another class
    assert!(code == 1 && err.contains("no rule of its goto"), "{err}");
}

#[test]
fn a_state_that_is_recorded_only_in_part_is_given_where_it_was_cut() {
    let folder = Folder::new("partly");
    fs::remove_dir_all(folder.0.join("logs")).unwrap();
    let body = "word ".repeat(4_000);
    let run = format!("doc={{\"title\": \"t\", \"body\": \"{body}\"}}");
    let arguments = ["run", "flow.yaml", "--log-dir", "logs", "--set", &run];
    assert_eq!(folder.run(&arguments).0, 0);
    for arguments in [&[][..], &["--set", "doc.title=u"]] {
        let (code, out, err) = folder.replay(arguments);
        assert_eq!((code, &*out), (2, ""), "{err}");
        assert_eq!(
            err,
            "tea-obs-rs: error: the recorded initial state was cut at input.doc.body; give that key with state (--set)\n"
        );
        let (code, out, _) = folder.replay(&[arguments, &["--dry"]].concat());
        assert_eq!(code, 2);
        let told = "not usable: the initial state was cut at input.doc.body\n";
        assert!(out.contains(told), "{out}");
    }
    for given in ["doc.body=x", "doc=x"] {
        let (code, out, err) = folder.replay(&["--set", given]);
        assert_eq!((code, &*err), (0, ""), "{out}");
        assert_eq!(folder.replay(&["--set", given, "--dry"]).0, 0);
    }
    let (code, _, err) = folder.replay(&["--dry", "--set", "doc"]);
    assert_eq!(code, 2);
    assert!(err.contains("--set 'doc' is not key=value"), "{err}");
    let (code, _, err) = folder.replay(&["--dry", "--from", "nowhere", "--live", "*"]);
    assert_eq!(code, 2);
    assert!(err.contains("from_step 'nowhere' is not a step"), "{err}");
}
