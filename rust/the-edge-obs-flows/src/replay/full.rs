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
use the_edge_obs::value::{from_json, from_json_within, Key};
use the_edge_obs::{Error, Flow, Snap};

use super::recording::Recorded;
use super::values::{sorted, without_digests};
use crate::error::Failure;
use crate::python::repr;
use crate::sha256;

/// The name of a recording is that of its log with this suffix.
const SUFFIX: &str = ".full";
/// The version of the lines.
const VERSION: i64 = 1;
/// How deep a line may be nested: a value 64 deep, with three levels for each typed object.
const DEPTH: usize = 256;
const TAG: &str = "$";

/// The full recordings of calls, by their flows and spans.
#[derive(Debug, Clone, Default)]
pub struct FullRecords(HashMap<String, Snap>);

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
            let (flow, span) = ids_of(&record).map_err(|problem| refuse(&problem))?;
            found.0.insert(key_of(flow, span), record);
        }
    }

    /// Adds other recordings.
    pub fn extend(&mut self, others: FullRecords) {
        self.0.extend(others.0);
    }

    /// Returns the recording of a span.
    pub(super) fn get(&self, flow: &str, span: &str) -> Option<Full<'_>> {
        self.0.get(&key_of(flow, span)).map(Full)
    }

    /// Returns the same recordings with their values, as typed JSON, changed by a function.
    pub(super) fn translated(&self, change: impl Fn(&Snap) -> Snap) -> FullRecords {
        let is_value = |key: &str| matches!(key, "output" | "state" | "error");
        let record = |record: &Snap| match record {
            Snap::Map(pairs) => Snap::Map(
                pairs
                    .iter()
                    .map(|(key, value)| match is_value(key) {
                        true => (key.clone(), change(value)),
                        false => (key.clone(), value.clone()),
                    })
                    .collect(),
            ),
            other => other.clone(),
        };
        let records = self.0.iter();
        FullRecords(
            records
                .map(|(key, value)| (key.clone(), record(value)))
                .collect(),
        )
    }
}

fn key_of(flow: &str, span: &str) -> String {
    format!("{flow} {span}")
}

/// Returns the flow and the span of a line, or what is wrong with it.
fn ids_of(record: &Snap) -> Result<(&str, &str), String> {
    if record.get("full") != Some(&Snap::Int(VERSION)) {
        return Err(format!(
            "not a line of a full recording of version {VERSION}"
        ));
    }
    let text = |key: &str| record.get(key).and_then(Snap::as_str);
    let is_map = |key: &str| matches!(record.get(key), None | Some(Snap::Map(_)));
    let is_list = |key: &str| matches!(record.get(key), None | Some(Snap::List(_)));
    let are_shaped = ["input", "error", "state", "lost"].into_iter().all(is_map)
        && ["removed", "redacted"].into_iter().all(is_list);
    let (Some(flow), Some(span), Some(_), true) =
        (text("flow_id"), text("span_id"), text("node"), are_shaped)
    else {
        let problem = "not a line of a full recording: flow_id, span_id and node are texts";
        return Err(problem.to_owned());
    };
    let sha256 = record.get("input").and_then(|input| input.get("sha256"));
    let mro = record.get("error").and_then(|error| error.get("mro"));
    let items = ["removed", "redacted", "lost"].map(|key| record.get(key));
    let mut items = items.into_iter().chain([mro]).flatten();
    let are_texts = |value: &Snap| match value {
        Snap::List(items) => items.iter().all(|item| item.as_str().is_some()),
        Snap::Map(pairs) => pairs.iter().all(|(_, item)| item.as_str().is_some()),
        other => other.as_str().is_some(),
    };
    let is_digest = matches!(sha256, None | Some(Snap::Null | Snap::Str(_)));
    match is_digest && items.all(are_texts) {
        true => Ok((flow, span)),
        false => Err(
            "not a line of a full recording: removed, redacted, lost, input.sha256 and error.mro hold texts"
                .to_owned(),
        ),
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

    /// Tells whether it is that of another call, although it has its ids: of another node, or of one that ended otherwise.
    pub(super) fn is_misfit(self, node: &str, error: Option<&str>) -> bool {
        let own = self.0.get("error");
        let base = own.map_or("", |error| match error.get("mro") {
            Some(Snap::List(names)) => names.first().and_then(Snap::as_str).unwrap_or_default(),
            _ => "",
        });
        let is_error = match error {
            None => own.is_none(),
            Some(name) => {
                let before = base.strip_suffix(name);
                let is_name = before.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                own.is_some() && is_name
            }
        };
        !is_error || self.0.get("node").and_then(Snap::as_str) != Some(node)
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
            if call.is_message_cut() {
                // The recording has the same text: only the arguments are whole, and the class that made a text of them is Python's.
                return Err("its recorded answer was cut at error.message".to_owned());
            }
            return Ok(Err(call.failure().with_bases(bases(error))));
        }
        value_of(self.0.get("output").unwrap_or(&Snap::Null), "output").map(Ok)
    }

    /// Returns the paths at which a secret was taken out of the answer, or of the error.
    pub(super) fn redacted(self) -> Vec<String> {
        let Some(Snap::List(paths)) = self.0.get("redacted") else {
            return Vec::new();
        };
        let paths = paths.iter().filter_map(Snap::as_str);
        paths
            .filter(|path| !path.starts_with("input"))
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
        Snap::Map(pairs) => match typed.get(TAG) {
            None => {
                let pairs = pairs.iter();
                let pairs =
                    pairs.map(|(key, item)| Ok((key.clone(), value_of(item, &inside(path, key))?)));
                Ok(Snap::Map(pairs.collect::<Result<_, String>>()?))
            }
            Some(Snap::Str(kind)) => {
                let text = |key: &str| typed.get(key).and_then(Snap::as_str).unwrap_or("value");
                match &**kind {
                    "lost" => Err(format!("{path} was not recorded: {} ({})", text("why"), text("type"))),
                    "object" | "dataclass" => Err(format!("{path} is a {}, which cannot be made again; return plain data from the node", text("type"))),
                    kind => tagged(kind, typed.get("v").unwrap_or(&Snap::Null), path),
                }
            }
            Some(kind) => Err(format!(
                "{path} was not recorded: unknown type {} (value)",
                repr(kind)
            )),
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
    // Somebody has changed it.
    let not_valid = || format!("{path} is not a valid recording of a {kind}");
    match (kind, value) {
        ("tuple", Snap::List(_)) => value_of(value, path),
        ("int", Snap::Str(digits)) => from_json(digits)
            .ok()
            .filter(|number| matches!(number, Snap::Int(_) | Snap::Big(_)))
            .ok_or_else(not_valid),
        ("float", Snap::Str(text)) => match &**text {
            "NaN" => Ok(Snap::Float(f64::NAN)),
            "Infinity" => Ok(Snap::Float(f64::INFINITY)),
            "-Infinity" => Ok(Snap::Float(f64::NEG_INFINITY)),
            _ => Err(not_valid()),
        },
        ("dict", Snap::List(pairs)) => {
            let pair = |pair: &Snap| match pair {
                Snap::List(pair) => match &pair[..] {
                    [Snap::Str(key), item] => {
                        Ok((Key::from(&**key), value_of(item, &inside(path, key))?))
                    }
                    [_, _] => Err(refuse()),
                    _ => Err(not_valid()),
                },
                _ => Err(not_valid()),
            };
            let pairs = pairs.iter().map(pair).collect::<Result<Vec<_>, String>>()?;
            Ok(Snap::map(pairs))
        }
        ("tuple" | "int" | "float" | "dict", _) => Err(not_valid()),
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
    fn damaged_values_are_refused() {
        for (text, kind) in [
            (r#"{"$":"int","v":"abc"}"#, "int"),
            (r#"{"$":"int","v":"1.5"}"#, "int"),
            (r#"{"$":"int","v":[]}"#, "int"),
            (r#"{"$":"float","v":"x"}"#, "float"),
            (r#"{"$":"tuple","v":"x"}"#, "tuple"),
            (r#"{"$":"tuple"}"#, "tuple"),
            (r#"{"$":"dict","v":[["a"]]}"#, "dict"),
            (r#"{"$":"dict","v":{"a":1}}"#, "dict"),
        ] {
            let problem = format!("output is not a valid recording of a {kind}");
            let value = value_of(&from_json(text).unwrap(), "output");
            assert_eq!(value.unwrap_err(), problem, "{text}");
        }
        let value = value_of(&from_json(r#"{"$":5}"#).unwrap(), "output");
        assert_eq!(
            value.unwrap_err(),
            "output was not recorded: unknown type 5 (value)"
        );
    }

    #[test]
    fn a_line_that_is_not_one_is_refused() {
        let ids = r#""flow_id":"f","span_id":"s","node":"n""#;
        let problem = |more: &str| {
            let line = from_json(&format!(r#"{{"full":1,{ids}{more}}}"#)).unwrap();
            ids_of(&line).map(|_| ()).unwrap_err()
        };
        for more in [r#","error":[]"#, r#","lost":[]"#, r#","redacted":{}"#] {
            assert!(problem(more).contains("flow_id, span_id and node are texts"));
        }
        for more in [
            r#","redacted":[1]"#,
            r#","lost":{"input":1}"#,
            r#","input":{"sha256":1}"#,
            r#","error":{"mro":1}"#,
            r#","error":{"mro":["E",1]}"#,
        ] {
            assert!(problem(more).contains("error.mro hold texts"), "{more}");
        }
        let line = from_json(r#"{"full":1,"flow_id":"f","span_id":1,"node":"n"}"#).unwrap();
        assert!(ids_of(&line).unwrap_err().contains("are texts"));
        assert!(ids_of(&Snap::Null).unwrap_err().ends_with("of version 1"));
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
