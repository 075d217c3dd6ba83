//! The initial state of a run: `--state` and `--set`.

use the_edge_obs::files::reason_of;
use the_edge_obs::value::{from_json_of_others, MAX_DEPTH};
use the_edge_obs::Snap;

use super::terminal::Fault;
use crate::python::{cut, quoted, repr, type_name};

/// Returns the state that the options describe: an object.
pub(super) fn initial_state(given: Option<&str>, settings: &[String]) -> Result<Snap, Fault> {
    let state = match given {
        Some(given) => read_state(given)?,
        None => Snap::Map(Box::default()),
    };
    overlaid(state, settings)
}

/// Returns a state with the values that `--set` gives.
pub(super) fn overlaid(mut state: Snap, settings: &[String]) -> Result<Snap, Fault> {
    for setting in settings {
        let (key, text) = setting.split_once('=').unwrap_or((setting, ""));
        let path: Vec<&str> = key.split('.').collect();
        if !setting.contains('=') || path.iter().any(|part| part.is_empty()) {
            return Err(Fault::Input(format!(
                "--set {} is not key=value; write --set path=access.log, or --set user.name=ada",
                quoted(setting)
            )));
        }
        put(&mut state, &path, scalar(text)).map_err(|(at, found)| {
            Fault::Input(format!(
                "--set {}: {} is already set to {}, which is not a mapping",
                quoted(setting),
                quoted(&path[..at].join(".")),
                repr(&found)
            ))
        })?;
    }
    Ok(state)
}

fn read_state(given: &str) -> Result<Snap, Fault> {
    let shown = quoted(&shortened(given));
    let text = match given.strip_prefix('@') {
        Some(file) => read_file(file).map_err(|reason| {
            Fault::Input(format!(
                "--state {} cannot be read: {reason}",
                quoted(given)
            ))
        })?,
        None => given.to_owned(),
    };
    let state = from_json_of_others(&text, MAX_DEPTH).map_err(|error| {
        let hint = match given.starts_with('@') {
            true => "",
            false => "; write @FILE to read a file",
        };
        Fault::Input(format!("--state {shown} is not valid JSON ({error}){hint}"))
    })?;
    match state {
        Snap::Map(_) => Ok(state),
        other => Err(Fault::Input(format!(
            "--state {shown} is a {}; it must be a JSON object such as {{\"n\": 3}}",
            type_name(&other)
        ))),
    }
}

fn read_file(path: &str) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| reason_of(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// Returns a text of at most 60 characters.
fn shortened(text: &str) -> String {
    match text.chars().count() {
        0..=60 => text.to_owned(),
        _ => cut(text, 57),
    }
}

/// Returns the value that a text stands for.
///
/// Valid JSON is parsed: `[1, 2]` is a list, `{"a": 1}` an object, `3` a number. Any other text stands for itself: a path, a date, `12:30`
/// and `007`. Text that happens to be valid JSON goes in double quotes: `'"[1, 2]"'`.
pub(super) fn scalar(text: &str) -> Snap {
    match text {
        "True" | "TRUE" => Snap::Bool(true),
        "False" | "FALSE" => Snap::Bool(false),
        _ => from_json_of_others(text, MAX_DEPTH).unwrap_or_else(|_| text.into()),
    }
}

/// Sets a value inside nested objects; fails with how much of the path leads to something else than an object, and what that is.
fn put(state: &mut Snap, path: &[&str], value: Snap) -> Result<(), (usize, Snap)> {
    let Snap::Map(pairs) = state else {
        return Err((0, state.clone()));
    };
    let (first, rest) = path.split_first().unwrap_or((&"", &[]));
    let mut own = std::mem::take(pairs).into_vec();
    let at = own.iter().position(|(key, _)| **key == **first);
    let done = match (at, rest) {
        (Some(at), []) => {
            own[at].1 = value;
            Ok(())
        }
        (Some(at), _) => put(&mut own[at].1, rest, value),
        (None, _) => {
            let mut inner = Snap::Map(Box::default());
            let done = match rest {
                [] => {
                    inner = value;
                    Ok(())
                }
                _ => put(&mut inner, rest, value),
            };
            own.push(((*first).into(), inner));
            done
        }
    };
    *pairs = own.into();
    done.map_err(|(at, found)| (at + 1, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(given: Option<&str>, settings: &[&str]) -> Result<String, String> {
        let settings: Vec<String> = settings.iter().map(|text| (*text).to_owned()).collect();
        match initial_state(given, &settings) {
            Ok(state) => Ok(state.to_json()),
            Err(Fault::Input(problem)) => Err(problem),
            Err(Fault::Output(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn values_are_json_or_text() {
        let settings = [
            "n=3",
            "t=True",
            "a.b=x=y",
            "a.c=[1, {\"k\": null}]",
            "z=007",
            "q=\"3\"",
            "e=",
        ];
        assert_eq!(
            state(Some(r#"{"n": 1}"#), &settings).unwrap(),
            r#"{"n":3,"t":true,"a":{"b":"x=y","c":[1,{"k":null}]},"z":"007","q":"3","e":""}"#
        );
        assert_eq!(scalar("NaN"), "NaN".into());
        assert_eq!(scalar("1e999"), "1e999".into());
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let cases: [(Option<&str>, &[&str], &str); 5] = [
            (None, &["n"], "--set 'n' is not key=value; write --set path=access.log, or --set user.name=ada"),
            (None, &["a..b=1"], "--set 'a..b=1' is not key=value; write --set path=access.log, or --set user.name=ada"),
            (
                Some(r#"{"a": {"b": "x"}}"#),
                &["a.b.c=1"],
                "--set 'a.b.c=1': 'a.b' is already set to 'x', which is not a mapping",
            ),
            (Some("[1]"), &[], "--state '[1]' is a list; it must be a JSON object such as {\"n\": 3}"),
            (Some("@/no/such"), &[], "--state '@/no/such' cannot be read: no such file or directory"),
        ];
        for (given, settings, problem) in cases {
            assert_eq!(state(given, settings).unwrap_err(), problem);
        }
        let error = state(Some("{"), &[]).unwrap_err();
        assert!(
            error.starts_with("--state '{' is not valid JSON (")
                && error.ends_with("; write @FILE to read a file")
        );
    }
}
