//! `memory.store` and `memory.retrieve`: values that outlive a run, in one SQLite file.
//!
//! Threads, parallel branches and processes can use the same file at the same time: each call is one short transaction on its own
//! connection, and waits for the others. The Python runtime reads and writes the same files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{params, Connection, OptionalExtension, TransactionBehavior};
use the_edge_obs::files::{draft_beside, kind_of, make_folders, reason_of};
use the_edge_obs::times::now;
use the_edge_obs::value::{from_json_of_others, MAX_DEPTH};
use the_edge_obs::Snap;

use super::support::{failure, json_of, missing, param, positive, text_of};
use super::{Action, Signature};
use crate::error::Failure;
use crate::python::repr;
use crate::runner::Context;

const PATH: &str = ".tea-obs/memory.db";
/// How long to wait while another writer holds the file.
const PATIENCE: Duration = Duration::from_secs(30);
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS memory (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    expires_at REAL,
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS memory_expiry ON memory (expires_at) WHERE expires_at IS NOT NULL;
";

/// `memory.store`: a value under a key. An existing value is replaced.
///
/// The file and its journals can be read by their owner alone. The soft failure has the kind `storage`: the file cannot be written, or
/// is not an SQLite file.
pub(super) struct Store;

/// `memory.retrieve`: the value that is stored under a key. A missing key is not a failure.
pub(super) struct Retrieve;

impl Action for Store {
    fn call(&self, params: &Snap, _: &Context<'_>) -> Result<Snap, Failure> {
        let action = "memory.store";
        let (key, space, path) = places(action, params)?;
        let value = params
            .get("value")
            .ok_or_else(|| missing(action, "value"))?;
        let text = json_of(action, "value", value)?;
        let now = now();
        let expires = match param(params, "ttl") {
            Some(ttl) => Some(now + positive(action, "ttl", ttl)?),
            None => None,
        };
        let facts = |stored: bool| {
            vec![
                ("stored", Snap::Bool(stored)),
                ("key", key.as_str().into()),
                ("namespace", space.as_str().into()),
            ]
        };
        Ok(match store(path, &space, &key, &text, expires, now) {
            Ok(()) => Snap::map(
                facts(true)
                    .into_iter()
                    .chain([("success", Snap::Bool(true))]),
            ),
            Err(problem) => failure(&format!("{path}: {problem}"), "storage", facts(false)),
        })
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["key", "value", "namespace", "ttl", "path"]),
            required: &["key", "value"],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        match param {
            "ttl" => positive("memory.store", param, value).map(drop),
            "path" => text_of("memory.store", param, value).map(drop),
            _ => Ok(()),
        }
    }
}

impl Action for Retrieve {
    fn call(&self, params: &Snap, _: &Context<'_>) -> Result<Snap, Failure> {
        let (key, space, path) = places("memory.retrieve", params)?;
        let found = retrieve(path, &space, &key);
        let default = params.get("default").cloned().unwrap_or(Snap::Null);
        let facts = |value: Snap, is_found: bool| {
            vec![
                ("value", value),
                ("found", Snap::Bool(is_found)),
                ("key", key.as_str().into()),
                ("namespace", space.as_str().into()),
            ]
        };
        let facts = match found {
            Ok(Some(value)) => facts(value, true),
            Ok(None) => facts(default, false),
            Err(problem) => {
                let problem = format!("{path}: {problem}");
                return Ok(failure(&problem, "storage", facts(default, false)));
            }
        };
        Ok(Snap::map(
            facts.into_iter().chain([("success", Snap::Bool(true))]),
        ))
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["key", "default", "namespace", "path"]),
            required: &["key"],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        match param {
            "path" => text_of("memory.retrieve", param, value).map(drop),
            _ => Ok(()),
        }
    }
}

/// Returns the key, the namespace and the file of a call.
fn places<'p>(action: &str, params: &'p Snap) -> Result<(String, String, &'p str), Failure> {
    let key = params.get("key").ok_or_else(|| missing(action, "key"))?;
    let key = name_of(action, "key", key)?;
    let space = match param(params, "namespace") {
        Some(value) => name_of(action, "namespace", value)?,
        None => "default".to_owned(),
    };
    let path = match param(params, "path") {
        Some(value) => text_of(action, "path", value)?,
        None => PATH,
    };
    Ok((key, space, path))
}

/// Returns a name; a number is converted to text, as an id in the state may be one.
fn name_of(action: &str, parameter: &str, value: &Snap) -> Result<String, Failure> {
    match value {
        Snap::Str(text) | Snap::Mark(text) if !text.is_empty() => Ok(text.to_string()),
        Snap::Int(_) | Snap::Big(_) | Snap::Float(_) => Ok(repr(value)),
        _ => {
            let shown = repr(value);
            Err(Failure::action(format!(
                "{action}: {parameter} is {shown}; it must be a string that is not empty, or a number"
            )))
        }
    }
}

fn store(
    path: &str,
    space: &str,
    key: &str,
    text: &str,
    expires: Option<f64>,
    now: f64,
) -> Result<(), String> {
    make(Path::new(path)).map_err(|error| reason_of(&error))?;
    let mut connection = open(path)?;
    let told = |error: rusqlite::Error| message(&error);
    // The write lock comes first: a transaction that reads and then writes could deadlock.
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let transaction = begun.map_err(told)?;
    transaction.execute_batch(TABLE).map_err(told)?;
    let expired = "DELETE FROM memory WHERE expires_at <= ?1";
    transaction.execute(expired, params![now]).map_err(told)?;
    let insert = "INSERT OR REPLACE INTO memory VALUES (?1, ?2, ?3, ?4)";
    let values = params![space, key, text, expires];
    transaction.execute(insert, values).map_err(told)?;
    transaction.commit().map_err(told)
}

fn retrieve(path: &str, space: &str, key: &str) -> Result<Option<Snap>, String> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(None);
    }
    let told = |error: rusqlite::Error| message(&error);
    let mut connection = open(path)?;
    let transaction = connection.transaction().map_err(told)?;
    let table = "SELECT 1 FROM sqlite_master WHERE name = 'memory'";
    let is_there = transaction
        .query_row(table, [], |_| Ok(()))
        .optional()
        .map_err(told)?;
    if is_there.is_none() {
        return Ok(None);
    }
    let select = "SELECT value FROM memory WHERE namespace = ?1 AND key = ?2 AND (expires_at IS NULL OR expires_at > ?3)";
    let found = transaction
        .query_row(select, params![space, key, now()], |row| {
            row.get::<_, String>(0)
        })
        .optional()
        .map_err(told)?;
    found
        .map(|text| from_json_of_others(&text, MAX_DEPTH).map_err(|error| error.to_string()))
        .transpose()
}

/// Creates an empty file that is private from the beginning; SQLite gives its journals the same mode.
///
/// It is created under another name: closing a file that SQLite has open in this process would release the locks of SQLite
/// (<https://www.sqlite.org/howtocorrupt.html>, 2.2).
fn make(path: &Path) -> std::io::Result<()> {
    make_folders(path.parent().unwrap_or(Path::new("")))?;
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let draft = draft_beside(path);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(&draft)?);
    let linked = fs::hard_link(&draft, path);
    let removed = fs::remove_file(&draft);
    match linked {
        // Another thread or process was first.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => removed,
        linked => linked.and(removed),
    }
}

fn open(path: &str) -> Result<Connection, String> {
    // SQLite would follow a link, and block on a pipe.
    let found = fs::symlink_metadata(path).map_err(|error| reason_of(&error))?;
    if let Some(kind) = kind_of(&found) {
        return Err(format!("it is {kind}, not a regular file"));
    }
    let connection = Connection::open(path).map_err(|error| message(&error))?;
    let patient = connection.busy_timeout(PATIENCE);
    patient.map_err(|error| message(&error))?;
    Ok(connection)
}

/// Returns the message of SQLite alone.
fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}
