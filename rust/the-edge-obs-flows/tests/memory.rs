//! The actions `memory.store` and `memory.retrieve`.
#![cfg(feature = "memory")]

mod called;

use std::fs;
use std::process::Command;

use called::{answer, refusal, Folder};

fn store(path: &str, more: &str) -> String {
    answer("memory.store", &format!(r#"{{"path": "{path}", {more}}}"#))
}

fn retrieve(path: &str, more: &str) -> String {
    answer(
        "memory.retrieve",
        &format!(r#"{{"path": "{path}", {more}}}"#),
    )
}

#[test]
fn values_are_kept() {
    let folder = Folder::new("memory");
    let path = folder.path("m/x.db");
    let none = r#"{"value":3,"found":false,"key":"a","namespace":"default","success":true}"#;
    assert_eq!(retrieve(&path, r#""key": "a", "default": 3"#), none);
    let stored = store(
        &path,
        r#""key": "a", "value": {"b": [1, null, "é", 123456789012345678901234567890]}"#,
    );
    assert_eq!(
        stored,
        r#"{"stored":true,"key":"a","namespace":"default","success":true}"#
    );
    let found = retrieve(&path, r#""key": "a""#);
    let value = r#"{"b":[1,null,"é","123456789012345678901234567890"]}"#;
    assert_eq!(
        found,
        format!(
            r#"{{"value":{value},"found":true,"key":"a","namespace":"default","success":true}}"#
        )
    );
    assert_eq!(
        retrieve(&path, r#""key": "a", "default": 3, "namespace": "of ada""#),
        none.replace("default\"", "of ada\"")
    );
    store(&path, r#""key": "a", "value": 2, "namespace": 7"#);
    store(&path, r#""key": "a", "value": null"#);
    assert!(retrieve(&path, r#""key": "a", "namespace": "7""#)
        .starts_with(r#"{"value":2,"found":true"#));
    assert!(retrieve(&path, r#""key": "a""#).starts_with(r#"{"value":null,"found":true"#));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[test]
fn values_are_forgotten_in_time() {
    let folder = Folder::new("memory-ttl");
    let path = folder.path("x.db");
    store(&path, r#""key": "short", "value": 1, "ttl": 0.05"#);
    store(&path, r#""key": "long", "value": 1, "ttl": 60"#);
    std::thread::sleep(std::time::Duration::from_millis(80));
    assert!(retrieve(&path, r#""key": "short""#).contains(r#""found":false"#));
    assert!(retrieve(&path, r#""key": "long""#).contains(r#""found":true"#));
}

#[test]
fn threads_wait_for_each_other() {
    let folder = Folder::new("memory-threads");
    let path = folder.path("x.db");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for number in 0..10 {
                    let done = store(
                        path,
                        &format!(r#""key": "{thread}-{number}", "value": {number}"#),
                    );
                    assert!(done.contains(r#""stored":true"#), "{done}");
                }
            });
        }
    });
    for thread in 0..4 {
        assert!(retrieve(&path, &format!(r#""key": "{thread}-9""#))
            .contains(r#""value":9,"found":true"#));
    }
}

#[test]
fn failures_are_soft() {
    let folder = Folder::new("memory-failures");
    let path = folder.path("no.db");
    fs::write(&path, "x".repeat(4_096)).unwrap();
    let error = format!(
        r#"{{"success":false,"error":"{path}: file is not a database","error_type":"storage","#
    );
    assert_eq!(
        store(&path, r#""key": "a", "value": 1"#),
        format!(r#"{error}"stored":false,"key":"a","namespace":"default"}}"#)
    );
    assert_eq!(
        retrieve(&path, r#""key": "a", "default": 5"#),
        format!(r#"{error}"value":5,"found":false,"key":"a","namespace":"default"}}"#)
    );
    let here = folder.0.to_str().unwrap();
    assert!(store(here, r#""key": "a", "value": 1"#).contains("it is a folder, not a regular file"));
    assert_eq!(
        refusal("memory.store", r#"{"key": "", "value": 1}"#),
        "memory.store: key is ''; it must be a string that is not empty, or a number"
    );
    assert!(
        refusal("memory.store", r#"{"key": "a", "value": 1, "ttl": 0}"#)
            .contains("ttl is 0; it must be a number above 0")
    );
}

/// Both runtimes use the same files. Without a Python that has the package, nothing is compared.
#[test]
fn python_reads_the_same_file() {
    let python = ["THE_EDGE_OBS_PYTHON", "PYTHON"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let folder = Folder::new("memory-python");
    let path = folder.path("x.db");
    store(
        &path,
        r#""key": "a", "value": {"n": 123456789012345678901234567890}"#,
    );
    let script = "import sys\nfrom the_edge_obs.actions.memory import memory_retrieve, memory_store\n\
        path = sys.argv[1]\nprint(memory_retrieve({}, key='a', path=path)['value'])\nmemory_store({}, key='b', value=[1.5], path=path)";
    let done = Command::new(python.as_deref().unwrap_or("python3"))
        .args(["-c", script, &path])
        .output();
    let Ok(done) = done else { return };
    if String::from_utf8_lossy(&done.stderr).contains("ModuleNotFoundError") {
        return;
    }
    assert_eq!(
        String::from_utf8_lossy(&done.stdout),
        "{'n': 123456789012345678901234567890}\n"
    );
    assert!(retrieve(&path, r#""key": "b""#).starts_with(r#"{"value":[1.5],"found":true"#));
}
