//! `file.read` and `file.write`: text files on this machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use the_edge_obs::files::{open_regular, reason_of, Draft};
use the_edge_obs::Snap;

use super::encodings::Encoding;
use super::support::{count_of, failure, flag_of, missing, param, text_of};
use super::{Action, Signature};
use crate::error::Failure;
use crate::python::{repr, type_name};
use crate::runner::Context;

/// The largest file that is read, unless `max_bytes` says otherwise.
const MAX_BYTES: u64 = 10 * 1024 * 1024;
/// How long to wait for the reader of a pipe.
const PATIENCE: Duration = Duration::from_secs(5);
/// The mode of new files, as far as the umask allows.
const MODE: u32 = 0o666;

/// `file.read`: the text of a file. Line ends become `\n`.
///
/// Soft failures have the kinds `not_found`, `permission_denied`, `read_error`, `too_large` and `encoding`. A pipe or a device is refused:
/// it may never end.
pub(super) struct ReadFile;

/// `file.write`: a text into a file, whose missing folders are created.
///
/// A reader sees either the old or the new content, never a part of it. An appended text is written at once. A symbolic link is followed.
/// Pipes and devices can be written; a pipe waits 5 seconds for its reader. Soft failures have the kinds `permission_denied`,
/// `not_found`, `write_error` and `encoding`.
pub(super) struct WriteFile;

impl Action for ReadFile {
    fn call(&self, params: &Snap, _: &Context<'_>) -> Result<Snap, Failure> {
        let path = local_path("file.read", params)?;
        let limit = match param(params, "max_bytes") {
            Some(value) => count_of("file.read", "max_bytes", value)?,
            None => MAX_BYTES,
        };
        let encoding = encoding_of("file.read", params)?;
        let mut raw = Vec::new();
        let read = open_regular(Path::new(path))
            .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut raw));
        if let Err(error) = read {
            return Ok(refused(&error, path, "read_error"));
        }
        let about = vec![("path", Snap::from(path))];
        if raw.len() as u64 > limit {
            let problem =
                format!("{path} is larger than {limit} bytes; raise max_bytes to accept more");
            return Ok(failure(&problem, "too_large", about));
        }
        let content = match encoding.decode(&raw) {
            Ok(content) => content,
            Err(problem) => {
                let problem = format!("{path} is not valid {}: {problem}", encoding.name);
                return Ok(failure(&problem, "encoding", about));
            }
        };
        Ok(Snap::map([
            (
                "content",
                content.replace("\r\n", "\n").replace('\r', "\n").into(),
            ),
            ("path", path.into()),
            ("bytes", raw.len().into()),
            ("success", Snap::Bool(true)),
        ]))
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["path", "encoding", "max_bytes"]),
            required: &["path"],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        match param {
            "max_bytes" => count_of("file.read", param, value).map(drop),
            "encoding" => Encoding::named("file.read", value).map(drop),
            _ => Ok(()),
        }
    }
}

impl Action for WriteFile {
    fn call(&self, params: &Snap, _: &Context<'_>) -> Result<Snap, Failure> {
        let path = local_path("file.write", params)?;
        let encoding = encoding_of("file.write", params)?;
        let content = match params.get("content") {
            None => return Err(missing("file.write", "content")),
            Some(value) => value.as_str().ok_or_else(|| {
                let kind = type_name(value);
                Failure::action(format!(
                    "file.write: content is of type {kind}; it must be a string: use | tojson or | string"
                ))
            })?,
        };
        let appends = match param(params, "append") {
            Some(value) => flag_of("file.write", "append", value)?,
            None => false,
        };
        let raw = match encoding.encode(content) {
            Ok(raw) => raw,
            Err(problem) => {
                let name = encoding.name;
                let problem = format!("the text for {path} cannot be written as {name}: {problem}");
                return Ok(failure(&problem, "encoding", vec![("path", path.into())]));
            }
        };
        let size = raw.len();
        Ok(match write(Path::new(path), raw, appends) {
            Ok(()) => Snap::map([
                ("path", path.into()),
                ("bytes", size.into()),
                ("success", Snap::Bool(true)),
            ]),
            Err(error) => refused(&error, path, "write_error"),
        })
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["path", "content", "encoding", "append"]),
            required: &["path", "content"],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        match param {
            "append" => flag_of("file.write", param, value).map(drop),
            "encoding" => Encoding::named("file.write", value).map(drop),
            _ => Ok(()),
        }
    }
}

/// Returns the path of a call, without a leading `file://`.
fn local_path<'p>(action: &str, params: &'p Snap) -> Result<&'p str, Failure> {
    let value = params.get("path").ok_or_else(|| missing(action, "path"))?;
    let path = text_of(action, "path", value)?;
    let local = path.strip_prefix("file://").unwrap_or(path);
    if local.contains("://") || local.contains('\0') || local.is_empty() {
        let shown = repr(value);
        return Err(Failure::action(format!(
            "{action}: path {shown} is not a path on this machine; give one such as notes/today.txt"
        )));
    }
    Ok(local)
}

fn encoding_of(action: &str, params: &Snap) -> Result<Encoding, Failure> {
    match param(params, "encoding") {
        Some(value) => Encoding::named(action, value),
        None => Ok(Encoding::utf_8()),
    }
}

/// Returns the soft failure of an error of the system.
fn refused(error: &io::Error, path: &str, otherwise: &str) -> Snap {
    let (problem, kind) = match error.kind() {
        ErrorKind::NotFound => (format!("File not found: {path}"), "not_found"),
        ErrorKind::PermissionDenied => (format!("Permission denied: {path}"), "permission_denied"),
        _ => (format!("{path}: {}", reason_of(error)), otherwise),
    };
    failure(&problem, kind, vec![("path", path.into())])
}

fn write(path: &Path, raw: Vec<u8>, appends: bool) -> io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)?;
    }
    // A symbolic link stays one; its target is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&target) {
        Ok(found) if found.is_dir() => Err(io::Error::other("it is a folder")),
        // A device or a pipe must be written to: replacing it would destroy it.
        Ok(found) if !found.is_file() => write_patiently(&target, raw),
        _ if appends => {
            let mut file = OpenOptions::new().append(true).create(true).open(&target)?;
            file.write_all(&raw)
        }
        _ => {
            let mut draft = Draft::with_mode(&target, MODE)?;
            draft.write_all(&raw)?;
            draft.finish().map(drop)
        }
    }
}

/// Writes to a pipe or a device; waits for the reader of a pipe, but not forever.
fn write_patiently(path: &Path, raw: Vec<u8>) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    // Opening a pipe waits for its reader, and nothing can interrupt that: then the thread is left alone.
    std::thread::spawn(move || {
        let written = OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file: File| file.write_all(&raw));
        let _ = sender.send(written);
    });
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let seconds = PATIENCE.as_secs();
        Err(io::Error::other(format!(
            "no reader took data for {seconds} seconds"
        )))
    })
}
