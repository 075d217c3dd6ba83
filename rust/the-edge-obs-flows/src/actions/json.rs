//! `json.parse`: text to data.

use the_edge_obs::value::{from_json_of_others, JsonError, MAX_DEPTH};
use the_edge_obs::Snap;

use super::support::{failure, flag_of, missing, no_text, param};
use super::{Action, Signature};
use crate::error::Failure;
use crate::runner::Context;

const NAME: &str = "json.parse";

/// Parses a JSON text.
///
/// It reads RFC 8259, numbers that a double can hold, and no lone surrogates; integers have any size, and of two equal keys the last
/// one counts. The result is `{"data": value, "success": true}`, or a soft failure of kind `parse`, with `position`
/// `{"line", "column"}` from 1.
pub(super) struct Parse;

impl Action for Parse {
    fn call(&self, params: &Snap, _: &Context<'_>) -> Result<Snap, Failure> {
        let text = match params.get("text") {
            None => return Err(missing(NAME, "text")),
            Some(Snap::Null) => None,
            Some(value) => Some(value.as_str().ok_or_else(|| no_text(NAME, "text", value))?),
        };
        let is_strict = match params.get("strict") {
            None => true,
            Some(value) => flag_of(NAME, "strict", value)?,
        };
        let parsed = match text {
            None => Err(failure("Input text is None", "parse", Vec::new())),
            Some(text) => read(text, is_strict).map_err(|error| refused(&error)),
        };
        let default = param(params, "default").filter(|_| !is_strict);
        Ok(match (parsed, default) {
            (Ok(data), _) => success(data),
            (Err(_), Some(default)) => success(default.clone()),
            (Err(failure), None) => failure,
        })
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["text", "strict", "default"]),
            required: &["text"],
        }
    }
}

fn read(text: &str, is_strict: bool) -> Result<Snap, JsonError> {
    let read = from_json_of_others(text, MAX_DEPTH);
    if is_strict || read.is_ok() {
        return read;
    }
    from_json_of_others(&super::lenient::strict_text(text), MAX_DEPTH)
}

fn success(data: Snap) -> Snap {
    Snap::map([("data", data), ("success", Snap::Bool(true))])
}

fn refused(error: &JsonError) -> Snap {
    let position = [("line", error.line.into()), ("column", error.column.into())];
    let facts = vec![("position", Snap::map(position))];
    failure(
        &format!("JSON parse error: {}", error.problem),
        "parse",
        facts,
    )
}
