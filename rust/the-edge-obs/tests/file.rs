//! Files of events: whole lines whatever happens, private, and few of them open.
#![allow(missing_docs)]

mod made;

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use made::{event, flow, saying, Folder};
use the_edge_obs::event::{problems, EventType, Status};
use the_edge_obs::facts::Facts;
use the_edge_obs::sink::file::{FlowFile, MAX_OPEN_FILES};
use the_edge_obs::value::from_json;
use the_edge_obs::{Flow, Sink, Snap};

const CHILD: &str = "TEA_OBS_TEST_FOLDER";

fn files(folder: &Folder) -> FlowFile {
    FlowFile::new(folder.0.join("logs/flow-{flow_id}.jsonl")).unwrap()
}

/// Returns the messages of the valid lines of a file, and the other lines.
fn lines(path: &Path) -> (Vec<String>, Vec<String>) {
    let (mut messages, mut others) = (Vec::new(), Vec::new());
    for line in fs::read_to_string(path).unwrap().lines() {
        match from_json(line) {
            Ok(event) if problems(&event).is_empty() => {
                let message = event.get("message").and_then(Snap::as_str);
                messages.push(message.unwrap_or_default().to_owned());
            }
            _ => others.push(line.to_owned()),
        }
    }
    (messages, others)
}

fn end(flow: &Arc<Flow>, number: u64) -> Arc<Facts> {
    let root = Facts {
        parent: None,
        node: "flow".into(),
        event_type: EventType::Exit,
        ..event(flow, number)
    };
    Arc::new(root)
}

#[test]
fn each_flow_has_a_file_of_whole_lines() {
    let folder = Folder::new();
    let (files, one, two) = (files(&folder), flow(), flow());
    assert!(!folder.0.join("logs").exists());
    let facts = saying(&one, 7, "first");
    files.take(&facts).unwrap();
    files.take(&saying(&two, 1, "other")).unwrap();
    files.take(&saying(&one, 2, "line\nfeed")).unwrap();
    let text = fs::read_to_string(files.path_of(&one.id)).unwrap();
    assert_eq!(text.lines().next(), Some(&*facts.event().to_json()));
    assert!(text.ends_with('\n'));
    let (messages, others) = lines(&files.path_of(&one.id));
    assert_eq!(
        (messages, others),
        (vec!["first".into(), "line\nfeed".into()], vec![])
    );
    assert_eq!(lines(&files.path_of(&two.id)).0, ["other"]);
    assert_eq!(
        files.path_of(&one.id),
        folder.0.join(format!("logs/flow-{}.jsonl", one.id))
    );
}

#[test]
fn a_path_without_a_placeholder_is_shared_by_all_flows() {
    let folder = Folder::new();
    let files = FlowFile::new(folder.0.join("all.jsonl")).unwrap();
    for number in 0..3 {
        let flow = flow();
        files.take(&saying(&flow, number, "one")).unwrap();
        files.flow_ended(&flow).unwrap();
    }
    assert_eq!(
        lines(&folder.0.join("all.jsonl")),
        (vec!["one".into(); 3], vec![])
    );
}

#[test]
fn a_bad_path_is_refused_and_the_message_says_why() {
    let folder = Folder::new();
    let at = |name: &str| FlowFile::new(folder.0.join(name)).map(|_| ()).unwrap_err();
    fs::write(folder.0.join("file"), "").unwrap();
    for (name, end) in [
        (
            "{flow}.jsonl",
            "is not a path of flow files; the only placeholder is {flow_id}",
        ),
        (
            "{flow_id.jsonl",
            "is not a path of flow files; the only placeholder is {flow_id}",
        ),
        ("", "cannot be written: it is a folder; name a file in it"),
        ("file/x/{flow_id}", "is not a folder; choose another path"),
    ] {
        let error = at(name);
        assert_eq!(error.name(), "ConfigurationError");
        assert!(error.to_string().ends_with(end), "{error}");
        assert!(
            error
                .to_string()
                .contains(&*format!("{:?}", folder.0.join(name))),
            "{error}"
        );
    }
    let empty = FlowFile::new("").map(|_| ()).unwrap_err().to_string();
    assert!(
        empty.starts_with("path \"\" is not a path of flow files"),
        "{empty}"
    );
    let left: Vec<_> = fs::read_dir(&folder.0).unwrap().collect();
    assert_eq!(left.len(), 1, "a check leaves nothing behind");
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_written() {
    let folder = Folder::new();
    let problem = FlowFile::new("/dev/null").map(|_| ()).unwrap_err();
    assert!(problem.to_string().contains("it is a device"), "{problem}");
    // A link that appears later.
    let (files, flow) = (files(&folder), flow());
    fs::create_dir(folder.0.join("logs")).unwrap();
    std::os::unix::fs::symlink(folder.0.join("elsewhere"), files.path_of(&flow.id)).unwrap();
    let error = files.take(&saying(&flow, 0, "x")).unwrap_err().to_string();
    assert!(
        error.ends_with("it is a symbolic link, not a regular file"),
        "{error}"
    );
    assert!(error.contains(&flow.id.to_string()), "{error}");
    assert!(!folder.0.join("elsewhere").exists());
    fs::remove_file(files.path_of(&flow.id)).unwrap();
    files.take(&saying(&flow, 1, "again")).unwrap();
    assert_eq!(lines(&files.path_of(&flow.id)).0, ["again"]);
}

#[cfg(unix)]
#[test]
fn logs_are_their_owners() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = Folder::new();
    let (files, flow) = (files(&folder), flow());
    files.take(&event(&flow, 0).into()).unwrap();
    assert_eq!(mode(&files.path_of(&flow.id)), 0o600);
    assert_eq!(mode(&folder.0.join("logs")), 0o700);
    let path = folder.0.join("shared.jsonl");
    let shared = FlowFile::new(&path).unwrap().mode(0o640).unwrap();
    shared.take(&event(&flow, 0).into()).unwrap();
    assert_eq!(
        mode(&path) & !0o040,
        0o600,
        "the umask may take the group away"
    );
    for bad in [0o400, 0o700, 0o1600] {
        let error = FlowFile::new(&path)
            .unwrap()
            .mode(bad)
            .map(|_| ())
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("mode is {bad:#o}; it must be")),
            "{error}"
        );
    }
}

#[test]
fn a_torn_last_line_is_closed_first() {
    let folder = Folder::new();
    let (files, flow) = (files(&folder), flow());
    files.take(&saying(&flow, 0, "whole")).unwrap();
    files.flow_ended(&flow).unwrap();
    let path = files.path_of(&flow.id);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"flow_id\":\"9f0d").unwrap();
    files.take(&saying(&flow, 1, "next")).unwrap();
    let (messages, others) = lines(&path);
    assert_eq!(
        (messages, others),
        (
            vec!["whole".into(), "next".into()],
            vec!["{\"flow_id\":\"9f0d".into()]
        )
    );
}

/// Returns how many files this process has open below a folder.
#[cfg(target_os = "linux")]
fn open_below(folder: &Folder) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let targets = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    targets
        .filter(|target| target.starts_with(&folder.0))
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn few_files_are_open_and_none_after_the_end() {
    let folder = Folder::new();
    let files = files(&folder);
    let flows: Vec<Arc<Flow>> = (0..MAX_OPEN_FILES + 10).map(|_| flow()).collect();
    for round in 0..2 {
        for flow in &flows {
            files.take(&saying(flow, round, "x")).unwrap();
            // Used all the time, so it stays open.
            files.take(&saying(&flows[0], round, "first")).unwrap();
        }
        assert_eq!(open_below(&folder), MAX_OPEN_FILES);
    }
    for flow in &flows {
        files.flow_ended(flow).unwrap();
    }
    assert_eq!(open_below(&folder), 0);
    for flow in &flows[1..] {
        assert_eq!(
            lines(&files.path_of(&flow.id)),
            (vec!["x".into(); 2], vec![])
        );
    }
    // A late event is written, too.
    files.take(&saying(&flows[1], 9, "late")).unwrap();
    assert_eq!(lines(&files.path_of(&flows[1].id)).0, ["x", "x", "late"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_is_deleted_is_created_again_and_that_is_an_error() {
    let folder = Folder::new();
    let (files, flow) = (files(&folder), flow());
    files.take(&saying(&flow, 0, "lost")).unwrap();
    fs::remove_dir_all(folder.0.join("logs")).unwrap();
    // Without a check, for it was checked just now.
    files.take(&saying(&flow, 1, "lost too")).unwrap();
    let late = Facts {
        wall: event(&flow, 0).wall + 60_000_000,
        ..(*saying(&flow, 2, "later")).clone()
    };
    let error = files.take(&Arc::new(late)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&flow.id.to_string()), "{error}");
    assert!(error.to_string().ends_with(
        "was deleted while its flow ran: it was created again, without the earlier events"
    ));
    fs::remove_file(files.path_of(&flow.id)).unwrap();
    files.take(&end(&flow, 70_000)).unwrap_err();
    assert_eq!(
        lines(&files.path_of(&flow.id)).0,
        [""],
        "the end is always checked"
    );
    fs::remove_file(files.path_of(&flow.id)).unwrap();
    let error = files.flow_ended(&flow).unwrap_err().to_string();
    assert!(
        error.ends_with("was deleted while its flow ran: its events are lost"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_is_moved_away_loses_nothing() {
    let folder = Folder::new();
    let (files, flow) = (files(&folder), flow());
    files.take(&saying(&flow, 0, "before")).unwrap();
    fs::rename(files.path_of(&flow.id), folder.0.join("moved")).unwrap();
    files.take(&end(&flow, 1)).unwrap();
    files.flow_ended(&flow).unwrap();
    assert_eq!(lines(&folder.0.join("moved")).0, ["before"]);
    assert_eq!(lines(&files.path_of(&flow.id)).0, [""]);
}

#[test]
fn threads_write_whole_lines_into_one_file() {
    let folder = Folder::new();
    let (files, flow) = (files(&folder), flow());
    let long = "x ".repeat(500);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (files, flow, long) = (&files, &flow, &long);
            scope.spawn(move || {
                for number in 0..200 {
                    files
                        .take(&saying(flow, number, &format!("{thread} {number} {long}")))
                        .unwrap();
                    // Others still write.
                    if number % 50 == thread {
                        files.flow_ended(flow).unwrap();
                    }
                }
            });
        }
    });
    let (messages, others) = lines(&files.path_of(&flow.id));
    assert_eq!((messages.len(), others.len()), (1_600, 0));
    for thread in 0..8 {
        let own = messages
            .iter()
            .filter(|text| text.starts_with(&format!("{thread} ")));
        let expected = (0..200).map(|number| format!("{thread} {number} {long}"));
        assert!(own.eq(expected.collect::<Vec<_>>().iter()));
    }
}

#[test]
fn a_secret_that_is_known_is_not_written() {
    let folder = Folder::new();
    let (files, flow) = (files(&folder), flow());
    flow.taints.name("hunter2xyz");
    files.take(&saying(&flow, 0, "use hunter2xyz")).unwrap();
    assert_eq!(lines(&files.path_of(&flow.id)).0, ["use [REDACTED]"]);
    flow.set_status(Status::Ok);
}

/// Runs one of these tests once more, in a process of its own.
fn child(test: &str, folder: &Folder, shell: &str) -> Child {
    let mut command = if shell.is_empty() {
        Command::new(env::current_exe().unwrap())
    } else {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{shell}; exec \"$0\" \"$@\""));
        command.arg(env::current_exe().unwrap());
        command
    };
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, &folder.0);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[cfg(unix)]
#[test]
fn a_line_that_was_written_survives_the_death_of_the_process() {
    if let Some(folder) = env::var_os(CHILD) {
        let files = FlowFile::new(Path::new(&folder).join("log.jsonl")).unwrap();
        let flow = flow();
        for number in 0.. {
            files
                .take(&saying(&flow, number, &format!("number {number}")))
                .unwrap();
            println!("took {number}");
        }
    }
    let folder = Folder::new();
    let mut child = child(
        "a_line_that_was_written_survives_the_death_of_the_process",
        &folder,
        "",
    );
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let took = |line: String| {
        line.rsplit_once("took ")
            .and_then(|(_, number)| number.parse::<usize>().ok())
    };
    let mut last = 0;
    while last < 500 {
        last = told.next().unwrap().ok().and_then(took).unwrap_or(last);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in told {
        last = line.ok().and_then(took).unwrap_or(last);
    }
    let (messages, others) = lines(&folder.0.join("log.jsonl"));
    assert!(
        messages.len() > last,
        "{} lines, but {last} were told",
        messages.len()
    );
    assert!(others.len() <= 1, "{others:?}");
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(*message, format!("number {number}"));
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_tears_one_line_at_most_and_later_events_are_written() {
    const NAME: &str = "a_full_disk_tears_one_line_at_most_and_later_events_are_written";
    if let Some(folder) = env::var_os(CHILD) {
        let path = Path::new(&folder).join("log.jsonl");
        let (files, flow) = (FlowFile::new(&path).unwrap(), flow());
        let mut taken = (0..).map(|number| files.take(&saying(&flow, number, "x")));
        let error = taken.find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
        assert!(error.to_string().ends_with("the disk is full"), "{error}");
        assert!(error.to_string().contains("log.jsonl"), "{error}");
        let again = files.take(&saying(&flow, 0, "y")).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::FileTooLarge);
        fs::rename(&path, path.with_extension("old")).unwrap();
        files.take(&saying(&flow, 0, "z")).unwrap();
        return;
    }
    let folder = Folder::new();
    // The limit is a file's size; without the trap a signal would end the process.
    let limited = child(NAME, &folder, "trap '' XFSZ; ulimit -f 2");
    let output = limited.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        lines(&folder.0.join("log.jsonl")),
        (vec!["z".into()], vec![])
    );
    let old = folder.0.join("log.old");
    let before = lines(&old);
    assert_eq!(before.1.len(), 1);
    // There is room again.
    let files = FlowFile::new(&old).unwrap();
    files.take(&saying(&flow(), 0, "room")).unwrap();
    let after = lines(&old);
    assert_eq!(
        (after.0.last().map(String::as_str), after.1),
        (Some("room"), before.1)
    );
}
