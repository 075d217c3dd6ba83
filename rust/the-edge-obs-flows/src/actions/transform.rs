//! `json.transform`: select and reshape data with JMESPath.

use jmespath::{compile, Variable};
use the_edge_obs::files::reason_of;
use the_edge_obs::value::{from_json_of_others, MAX_DEPTH};
use the_edge_obs::Snap;

use super::support::{failure, json_of, missing, text_of};
use super::{Action, Signature};
use crate::error::Failure;
use crate::python::{cut, quoted};
use crate::runner::Context;

const NAME: &str = "json.transform";
/// The longest expression, in characters. The library reads and evaluates it by recursion, and one of this length fits into [`STACK`].
const LONGEST: usize = 2_000;
/// The bytes of a stack for the deepest expressions. Those that are not used cost nothing.
const STACK: usize = 64 * 1024 * 1024;
/// How many characters of an expression a message shows.
const SHOWN: usize = 200;

/// Selects and reshapes data with a JMESPath expression: see <https://jmespath.org>.
///
/// The result is `{"result": value, "expression": text, "success": true}`; a missing value is null, and the keys of objects are in
/// alphabetical order. The soft failure has the kind `transform`: the data is null, or a function gets data of the wrong type.
pub(super) struct Transform;

impl Action for Transform {
    fn call(&self, params: &Snap, _: &Context<'_>) -> Result<Snap, Failure> {
        let data = params.get("data").ok_or_else(|| missing(NAME, "data"))?;
        let expression = params
            .get("expression")
            .ok_or_else(|| missing(NAME, "expression"))?;
        let expression = text_of(NAME, "expression", expression)?;
        let facts = || vec![("expression", Snap::from(expression))];
        let data = json_of(NAME, "data", data)?;
        let found = on_large_stack(|| found(&data, expression))??;
        if data == "null" {
            return Ok(failure("Input data is None", "transform", facts()));
        }
        Ok(match found {
            Ok(found) => Snap::map([
                ("result", found),
                ("expression", expression.into()),
                ("success", Snap::Bool(true)),
            ]),
            Err(problem) => {
                let told = format!("{} does not fit the data: {problem}", quoted(expression));
                failure(&told, "transform", facts())
            }
        })
    }

    fn signature(&self) -> Signature {
        Signature {
            accepted: Some(&["data", "expression"]),
            required: &["data", "expression"],
        }
    }

    fn check(&self, param: &str, value: &Snap) -> Result<(), Failure> {
        match param {
            "expression" => {
                let expression = text_of(NAME, param, value)?;
                on_large_stack(|| compiled(expression).map(drop))?
            }
            _ => Ok(()),
        }
    }
}

/// Returns what an expression finds in data, or why it does not fit the data.
fn found(data: &str, expression: &str) -> Result<Result<Snap, String>, Failure> {
    let transform = compiled(expression)?;
    let data = Variable::from_json(data).map_err(|problem| one_line(&problem));
    let found = data.and_then(|data| {
        let found = transform.search(data);
        found.map_err(|error| one_line(&error.to_string()))
    });
    Ok(found.and_then(|found| {
        let read = from_json_of_others(&found.to_string(), MAX_DEPTH);
        read.map_err(|error| error.to_string())
    }))
}

/// Does work on a thread with a large stack.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, work);
        let thread = thread.map_err(|error| {
            let reason = reason_of(&error);
            Failure::action(format!("{NAME}: no thread can be started: {reason}"))
        })?;
        let panicked = |_| Failure::new("panic", format!("{NAME}: the evaluation panicked"));
        thread.join().map_err(panicked)
    })
}

fn compiled(expression: &str) -> Result<jmespath::Expression<'static>, Failure> {
    let refused = |problem: String| {
        let shown = quoted(&cut(expression, SHOWN));
        Failure::action(format!(
            "{NAME}: expression {shown} is not valid JMESPath: {problem}"
        ))
    };
    if expression.chars().count() > LONGEST {
        return Err(refused(format!(
            "it is longer than {LONGEST} characters; use several steps"
        )));
    }
    compile(expression).map_err(|error| refused(one_line(&error.to_string())))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
