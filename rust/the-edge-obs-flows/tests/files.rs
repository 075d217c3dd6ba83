//! The actions `file.read` and `file.write`.

mod called;

use std::fs;

use called::{answer, refusal, Folder};

#[test]
fn texts_are_written_and_read() {
    let folder = Folder::new("files");
    let path = folder.path("a/b.txt");
    let written = answer(
        "file.write",
        &format!(r#"{{"path": "file://{path}", "content": "aé\r\nb\rc"}}"#),
    );
    assert_eq!(
        written,
        format!(r#"{{"path":"{path}","bytes":8,"success":true}}"#)
    );
    let read = answer("file.read", &format!(r#"{{"path": "{path}"}}"#));
    assert_eq!(
        read,
        format!(r#"{{"content":"aé\nb\nc","path":"{path}","bytes":8,"success":true}}"#)
    );
    answer(
        "file.write",
        &format!(r#"{{"path": "{path}", "content": "é", "append": true, "encoding": "latin-1"}}"#),
    );
    assert_eq!(fs::read(&path).unwrap(), b"a\xc3\xa9\r\nb\rc\xe9");
    answer(
        "file.write",
        &format!(r#"{{"path": "{path}", "content": ""}}"#),
    );
    assert_eq!(fs::read(&path).unwrap(), b"");
    assert_eq!(fs::read_dir(folder.0.join("a")).unwrap().count(), 1);
}

#[test]
fn failures_are_soft() {
    let folder = Folder::new("files-failures");
    let path = folder.path("latin.txt");
    fs::write(&path, b"a\xe9").unwrap();
    let here = folder.0.to_str().unwrap();
    let soft = |action: &str, params: String, error: String, kind: &str, path: &str| {
        let expected = format!(
            r#"{{"success":false,"error":"{error}","error_type":"{kind}","path":"{path}"}}"#
        );
        assert_eq!(answer(action, &params), expected);
    };
    let missing = folder.path("no.txt");
    let params = |path: &str, more: &str| format!(r#"{{"path": "{path}"{more}}}"#);
    soft(
        "file.read",
        params(&missing, ""),
        format!("File not found: {missing}"),
        "not_found",
        &missing,
    );
    soft(
        "file.read",
        params(here, ""),
        format!("{here}: it is a folder, not a regular file"),
        "read_error",
        here,
    );
    let invalid = "byte 0xe9 in position 1 cannot be decoded";
    soft(
        "file.read",
        params(&path, ""),
        format!("{path} is not valid utf-8: {invalid}"),
        "encoding",
        &path,
    );
    let large = format!("{path} is larger than 1 bytes; raise max_bytes to accept more");
    soft(
        "file.read",
        params(&path, r#", "max_bytes": 1"#),
        large,
        "too_large",
        &path,
    );
    let lacks = format!("the text for {path} cannot be written as ascii: character 'é' in position 0 cannot be encoded");
    let content = r#", "content": "é", "encoding": "ascii""#;
    soft(
        "file.write",
        params(&path, content),
        lacks,
        "encoding",
        &path,
    );
    soft(
        "file.write",
        params(here, r#", "content": """#),
        format!("{here}: it is a folder"),
        "write_error",
        here,
    );
}

#[test]
fn wrong_parameters_are_refused() {
    let cases = [
        (
            r#"{"path": "http://x", "content": "a"}"#,
            "file.write: path 'http://x' is not a path on this machine; give one such as notes/today.txt",
        ),
        (r#"{"path": "", "content": "a"}"#, "file.write: path is ''; it must be a string that is not empty"),
        (
            r#"{"path": "a", "content": 3}"#,
            "file.write: content is of type int; it must be a string: use | tojson or | string",
        ),
    ];
    for (params, error) in cases {
        assert_eq!(refusal("file.write", params), error);
    }
    let unknown = refusal("file.read", r#"{"path": "a", "encoding": "zz"}"#);
    assert!(
        unknown.contains("unknown encoding 'zz'; allowed: utf-8, "),
        "{unknown}"
    );
}

#[cfg(unix)]
#[test]
fn what_is_there_keeps_its_kind() {
    use std::os::unix::fs::{symlink, PermissionsExt};
    let folder = Folder::new("files-kinds");
    let (target, link) = (folder.path("target"), folder.path("link"));
    fs::write(&target, "old").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&target, &link).unwrap();
    answer(
        "file.write",
        &format!(r#"{{"path": "{link}", "content": "new"}}"#),
    );
    assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    assert_eq!(
        fs::metadata(&target).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let written = answer("file.write", r#"{"path": "/dev/null", "content": "x"}"#);
    assert_eq!(written, r#"{"path":"/dev/null","bytes":1,"success":true}"#);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    let read = answer("file.read", r#"{"path": "/dev/null"}"#);
    assert!(
        read.contains("/dev/null: it is a device, not a regular file"),
        "{read}"
    );
}
