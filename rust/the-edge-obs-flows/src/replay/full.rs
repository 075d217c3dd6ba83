//! Full recordings: whole answers of chosen nodes, in a file beside their log. Python's package writes them (`record: {full: ...}`).
//!
//! Each line is a JSON object for one call, which is known by the ids of its flow and span. Values are typed JSON: plain values stand
//! for themselves, and what JSON has no form for is an object with the key `$`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use the_edge_obs::files::{open_regular, reason_of};
use the_edge_obs::redaction::inside;
use the_edge_obs::value::{from_json_within, Key};
use the_edge_obs::{Error, Flow, Snap};

use super::recording::Recorded;
use super::values::{sorted, without_digests};
use crate::error::Failure;
use crate::sha256;

/// The name of a recording is that of its log with this suffix.
const SUFFIX: &str = ".full";
/// The version of the lines.
const VERSION: i64 = 1;
/// How deep a line may be nested: a value 64 deep, with three levels for each typed object.
const DEPTH: usize = 256;
const TAG: &str = "$";

/// The full recordings of calls, by their spans.
#[derive(Debug, Clone, Default)]
pub struct FullRecords(HashMap<Box<str>, Snap>);

impl FullRecords {
    /// Reads the recording beside a log; nothing if there is none. A last line that is cut off is left out.
    ///
    /// # Errors
    ///
    /// [`Error::LogFile`]: the file cannot be read, or is not a full recording.
    pub fn beside(log: &Path) -> Result<FullRecords, Error> {
        let mut name: OsString = log.as_os_str().to_owned();
        name.push(SUFFIX);
        let path = PathBuf::from(name);
        if !path.exists() {
            return Ok(FullRecords::default());
        }
        let cannot = |error: &std::io::Error| {
            Error::LogFile(format!(
                "recording {path:?} cannot be read: {}",
                reason_of(error)
            ))
        };
        let mut file = BufReader::new(open_regular(&path).map_err(|error| cannot(&error))?);
        let (mut found, mut line, mut number) = (FullRecords::default(), String::new(), 0_usize);
        loop {
            line.clear();
            number += 1;
            file.read_line(&mut line).map_err(|error| cannot(&error))?;
            let Some(text) = line.strip_suffix('\n') else {
                return Ok(found);
            };
            let refuse =
                |problem: &str| Error::LogFile(format!("{path:?}, line {number}: {problem}"));
            let record = from_json_within(text, DEPTH);
            let record = record.map_err(|error| refuse(&format!("not valid JSON: {error}")))?;
            let span = record.get("span_id").and_then(Snap::as_str);
            match (record.get("full"), span) {
                (Some(Snap::Int(VERSION)), Some(span)) => found.0.insert(span.into(), record),
                _ => {
                    return Err(refuse(&format!(
                        "not a line of a full recording of version {VERSION}"
                    )))
                }
            };
        }
    }

    /// Adds other recordings.
    pub fn extend(&mut self, others: FullRecords) {
        self.0.extend(others.0);
    }

    /// Returns the recording of a span.
    pub(super) fn get(&self, span: &str) -> Option<Full<'_>> {
        self.0.get(span).map(Full)
    }
}

/// The full recording of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Full<'f>(&'f Snap);

impl<'f> Full<'f> {
    /// Tells whether the digest of the whole input was recorded.
    pub(super) fn has_input(self) -> bool {
        self.sha256().is_some()
    }

    /// Tells whether a whole input is the recorded one.
    pub(super) fn is_input(self, params: Snap, flow: &Flow) -> bool {
        let typed = flow.policy.typed(params, &flow.taints);
        typed.is_some_and(|typed| self.sha256() == Some(&digest(&typed)))
    }

    fn sha256(self) -> Option<&'f str> {
        self.0.get("input")?.get("sha256")?.as_str()
    }

    /// Returns the whole answer, or why it cannot be given.
    pub(super) fn answer(self, call: &Recorded) -> Result<Result<Snap, Failure>, String> {
        if let Some(Snap::Map(changed)) = self.0.get("state") {
            let keys: Vec<&str> = changed.iter().map(|(key, _)| &**key).collect();
            let keys = keys.join(", ");
            return Err(format!(
                "it changed the state in place ({keys}), which only Python's runtime can do again"
            ));
        }
        if let Some(error) = self.0.get("error") {
            return Ok(Err(call.failure().with_bases(bases(error))));
        }
        value_of(self.0.get("output").unwrap_or(&Snap::Null), "output").map(Ok)
    }

    /// Returns the paths at which a secret was taken out of the answer.
    pub(super) fn redacted(self) -> Vec<String> {
        let Some(Snap::List(paths)) = self.0.get("redacted") else {
            return Vec::new();
        };
        let paths = paths.iter().filter_map(Snap::as_str);
        paths
            .filter(|path| path.starts_with("output"))
            .map(str::to_owned)
            .collect()
    }

    /// Returns the parts of the input that were not recorded, and why.
    pub(super) fn lost_input(self) -> impl Iterator<Item = (&'f str, &'f str)> {
        let pairs = match self.0.get("lost") {
            Some(Snap::Map(pairs)) => &pairs[..],
            _ => &[],
        };
        let pairs = pairs.iter().filter(|(path, _)| path.starts_with("input"));
        pairs.map(|(path, why)| (&**path, why.as_str().unwrap_or_default()))
    }
}

/// Returns the digest of typed JSON: SHA-256 of its text with sorted keys.
pub(crate) fn digest(typed: &Snap) -> String {
    sha256::digest(without_digests(&sorted(typed).to_json()).as_bytes())
}

/// Returns the names of the bases of a recorded error's class.
fn bases(error: &Snap) -> Arc<[Box<str>]> {
    let names = match error.get("mro") {
        Some(Snap::List(names)) => &names[..],
        _ => &[],
    };
    let names = names.iter().filter_map(Snap::as_str);
    let short = |name: &str| name.rsplit('.').next().unwrap_or(name).into();
    names.map(short).collect()
}

/// Returns the value of typed JSON, or why this runtime cannot have it.
fn value_of(typed: &Snap, path: &str) -> Result<Snap, String> {
    match typed {
        Snap::List(items) => {
            let items = items.iter().enumerate();
            let items = items.map(|(at, item)| value_of(item, &format!("{path}[{at}]")));
            Ok(Snap::List(items.collect::<Result<_, _>>()?))
        }
        Snap::Map(pairs) => match typed.get(TAG).and_then(Snap::as_str) {
            None => {
                let pairs = pairs.iter();
                let pairs =
                    pairs.map(|(key, item)| Ok((key.clone(), value_of(item, &inside(path, key))?)));
                Ok(Snap::Map(pairs.collect::<Result<_, String>>()?))
            }
            Some(kind) => {
                let text = |key: &str| typed.get(key).and_then(Snap::as_str).unwrap_or("value");
                match kind {
                    "lost" => Err(format!("{path} was not recorded: {} ({})", text("why"), text("type"))),
                    "object" | "dataclass" => Err(format!("{path} is a {}, which cannot be made again; return plain data from the node", text("type"))),
                    kind => tagged(kind, typed.get("v").unwrap_or(&Snap::Null), path),
                }
            }
        },
        other => Ok(other.clone()),
    }
}

fn tagged(kind: &str, value: &Snap, path: &str) -> Result<Snap, String> {
    let refuse = || {
        format!(
            "{path} is a {kind}, which only Python's runtime has; return plain data from the node"
        )
    };
    match (kind, value) {
        ("tuple", items) => value_of(items, path),
        ("int", Snap::Str(digits)) => {
            let number = digits.parse().map(Snap::Int);
            Ok(number.unwrap_or_else(|_| Snap::Big(digits.clone())))
        }
        ("float", Snap::Str(text)) => match &**text {
            "NaN" => Ok(Snap::Float(f64::NAN)),
            "Infinity" => Ok(Snap::Float(f64::INFINITY)),
            "-Infinity" => Ok(Snap::Float(f64::NEG_INFINITY)),
            _ => Err(refuse()),
        },
        ("dict", Snap::List(pairs)) => {
            let pair = |pair: &Snap| match pair {
                Snap::List(pair) => match &pair[..] {
                    [Snap::Str(key), item] => {
                        Ok((Key::from(&**key), value_of(item, &inside(path, key))?))
                    }
                    _ => Err(refuse()),
                },
                _ => Err(refuse()),
            };
            let pairs = pairs.iter().map(pair).collect::<Result<Vec<_>, String>>()?;
            Ok(Snap::map(pairs))
        }
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use the_edge_obs::value::from_json;

    #[test]
    fn typed_values_come_back_or_are_refused() {
        let value =
            |text: &str| value_of(&from_json(text).unwrap(), "output").map(|value| value.to_json());
        let tuple = r#"{"a":{"$":"tuple","v":[1,{"$":"int","v":"18446744073709551616"}]}}"#;
        assert_eq!(value(tuple).unwrap(), r#"{"a":[1,"18446744073709551616"]}"#);
        let dict = r#"{"$":"dict","v":[["$",1],["b",{"$":"float","v":"NaN"}]]}"#;
        assert_eq!(value(dict).unwrap(), r#"{"$":1,"b":"NaN"}"#);
        let refused = "output.at is a datetime, which only Python's runtime has; return plain data from the node";
        assert_eq!(
            value(r#"{"at":{"$":"datetime","v":"2026-01-31"}}"#).unwrap_err(),
            refused
        );
        assert!(value(r#"{"$":"dict","v":[[1,1]]}"#)
            .unwrap_err()
            .starts_with("output is a dict, "));
    }

    #[test]
    fn a_digest_does_not_depend_on_the_order_of_keys_and_the_process() {
        let of = |text: &str| digest(&from_json(text).unwrap());
        assert_eq!(
            of(r#"{"b":[1.0,"é"],"a":"[REDACTED:0123456789ab]"}"#),
            of(r#"{"a":"[REDACTED]","b":[1.0,"é"]}"#)
        );
        assert_eq!(
            of(r#"{"a":1}"#),
            "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
        );
    }
}
