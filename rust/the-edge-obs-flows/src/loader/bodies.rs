//! Read what nodes do: calls of actions, nested steps, sub-flows, loops and fan-outs.

use std::collections::HashMap;

use the_edge_obs::yaml::{Yaml, YamlValue};
use the_edge_obs::Snap;

use super::checks::{self, Fields};
use super::nodes::{empty, read_item, NodeReader, COMMON};
use super::source::Read;
use super::spot::Spot;
use super::{action_check, tea, values};
use crate::conditions::{self, is_identifier, Condition, Sense};
use crate::model::{ActionBody, Body, FanOutBody, LoopBody, Output, SubflowBody};
use crate::python::quoted;
use crate::templates::Renderer;

const FAN_OUT: [&str; 10] = [
    "type",
    "items",
    "item_var",
    "index_var",
    "max_concurrency",
    "fail_fast",
    "steps",
    "action",
    "output",
    "store",
];

/// Words that are not names: Python's keywords, and two with their own meaning in templates.
const NO_NAMES: [&str; 37] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield", "self", "super",
];

/// The parameters of an action, and where each is written.
type Given<'a, 's> = Vec<(&'a str, &'a Yaml, Spot<'s>)>;

impl NodeReader<'_> {
    pub(super) fn action(&self, spot: &Spot<'_>, fields: &Fields<'_>, key: &str) -> Read<Body> {
        let none = Yaml::from(&Snap::Null);
        let value = checks::field(fields, key).unwrap_or(&none);
        let name = checks::text(&spot.key(key), value)?;
        let mut action = None;
        if self.knows_all || self.actions.get(name).is_some() {
            let found = action_check::find_action(&spot.at(key), self.actions, name);
            action = spot.attempt(found)?;
        }
        let given = read_given(spot, fields, key)?;
        if let Some(action) = &action {
            let places: Vec<_> = given
                .iter()
                .map(|(name, _, place)| (*name, place))
                .collect();
            action_check::check_parameters(spot, &**action, name, &places)?;
        }
        let mut params = Vec::with_capacity(given.len());
        for (param, value, place) in &given {
            params.push((
                Box::from(*param),
                values::noted(&self.compiler, value, place)?,
            ));
        }
        let output = self.output(spot, fields)?;
        let Some(action) = action else {
            return Ok(empty());
        };
        for ((param, value), (_, _, place)) in params.iter().zip(&given) {
            action_check::check_value(place, &*action, (name, param), value)?;
        }
        Ok(Body::Action(ActionBody {
            name: name.into(),
            action,
            params: Renderer::Map(params.into()),
            output,
        }))
    }

    pub(super) fn steps(&self, spot: &Spot<'_>, fields: &Fields<'_>) -> Read<Body> {
        refuse_unknown(spot, fields, &["steps"])?;
        let steps = self.nested(&spot.key("steps"), checks::field(fields, "steps"))?;
        Ok(Body::Steps(steps))
    }

    pub(super) fn flow(&self, spot: &Spot<'_>, fields: &Fields<'_>) -> Read<Body> {
        refuse_unknown(spot, fields, &["flow", "with", "output", "store"])?;
        let none = Yaml::from(&Snap::Null);
        let path = checks::field(fields, "flow").unwrap_or(&none);
        let path = checks::text(&spot.key("flow"), path)?;
        let with = checks::field(fields, "with");
        checks::mapping(&spot.key("with"), with)?;
        let params = match checks::given(fields, "with") {
            Some(with) => values::value(&self.compiler, with, &spot.at("with"))?,
            None => Renderer::Map(Box::default()),
        };
        let output = self.output(spot, fields)?;
        let plan = (self.subflow)(&spot.at("flow"), path)?;
        Ok(Body::Subflow(SubflowBody {
            plan,
            params,
            output,
        }))
    }

    pub(super) fn while_loop(&self, spot: &Spot<'_>, fields: &Fields<'_>) -> Read<Body> {
        let keys = ["condition", "max_iterations", "body"];
        refuse_unknown(
            spot,
            fields,
            &["type", "condition", "max_iterations", "body"],
        )?;
        note_missing(spot, fields, &keys)?;
        let given = |key| checks::given(fields, key);
        let is_complete = keys.iter().all(|key| given(key).is_some());
        let mut condition = None;
        if let Some(value) = given("condition") {
            let place = spot.at("condition");
            let read = conditions::compile(&self.compiler, value, &place, Sense::default());
            condition = spot.attempt(read)?;
        }
        let mut most = None;
        if let Some(value) = given("max_iterations") {
            let place = spot.key("max_iterations");
            most = spot.attempt(checks::whole_number(&place, value, 1))?;
        }
        let steps = match given("body") {
            Some(body) => self.nested(&spot.key("body"), Some(body))?,
            None => Box::default(),
        };
        if !is_complete {
            return Ok(Body::Steps(steps));
        }
        Ok(Body::Loop(LoopBody {
            condition: condition.unwrap_or_else(Condition::always),
            max_iterations: most.unwrap_or(1),
            steps,
        }))
    }

    pub(super) fn fan_out(&self, spot: &Spot<'_>, fields: &Fields<'_>) -> Read<Body> {
        let known: Vec<&str> = COMMON.into_iter().chain(FAN_OUT).collect();
        let theirs: Vec<&str> = tea::NODE.into_iter().chain(tea::FAN_OUT).collect();
        tea::refuse_unknown(spot, fields, &known, &theirs)?;
        note_missing(spot, fields, &["items"])?;
        let Some(body) = checks::one_of(spot, fields, ["steps", "action"])? else {
            return Err(spot.error("nothing runs for the items; give steps or action"));
        };
        let item_var = self.variable(spot, fields, "item_var", "item")?;
        let index_var = self.variable(spot, fields, "index_var", "index")?;
        let limit = checks::given(fields, "max_concurrency");
        if let Some(limit) = limit.filter(|limit| limit.as_str().is_none()) {
            let place = spot.key("max_concurrency");
            spot.attempt(checks::whole_number(&place, limit, 1))?;
        }
        let output = checks::one_of(spot, fields, ["output", "store"])?;
        let items = self.items(&spot.key("items"), checks::given(fields, "items"));
        let items = spot.attempt(items)?;
        let max_concurrency = match limit {
            Some(limit) => values::noted(&self.compiler, limit, &spot.at("max_concurrency"))?,
            None => Renderer::Constant(Snap::Null),
        };
        let fail_fast = read_fail_fast(spot, fields)?;
        let steps = self.fan_out_steps(spot, fields, body, &[item_var, index_var])?;
        let fan_in = self.fan_in(&spot.key("fan_in"), checks::given(fields, "fan_in"));
        let fan_in = spot.attempt(fan_in)?.flatten();
        let output = match output {
            Some(key) => {
                let none = Yaml::from(&Snap::Null);
                let value = checks::field(fields, key).unwrap_or(&none);
                Some(checks::text(&spot.key(key), value)?.into())
            }
            None => None,
        };
        Ok(Body::FanOut(FanOutBody {
            items: items.unwrap_or(Renderer::Constant(Snap::Null)),
            item_var: item_var.into(),
            index_var: index_var.into(),
            max_concurrency,
            fail_fast,
            steps,
            fan_in,
            output,
        }))
    }

    fn fan_out_steps(
        &self,
        spot: &Spot<'_>,
        fields: &Fields<'_>,
        body: &str,
        names: &[&str],
    ) -> Read<Box<[crate::model::Node]>> {
        let reader = NodeReader {
            compiler: self.compiler.knowing(names),
            ..self.clone()
        };
        let place = spot.key(body);
        let data = checks::field(fields, body);
        if body == "steps" {
            return reader.nested(&place, data);
        }
        let none = Yaml::from(&Snap::Null);
        let item = read_item(&place, 0, data.unwrap_or(&none))?;
        reader.nested_items(&place, &[item])
    }

    fn items(&self, spot: &Spot<'_>, items: Option<&Yaml>) -> Read<Renderer> {
        let Some(items) = items else {
            return Ok(Renderer::Constant(Snap::Null));
        };
        let compiled = values::value(&self.compiler, items, spot)?;
        if matches!(compiled, Renderer::Constant(_) | Renderer::Map(_)) {
            return Err(spot.wrong(items, "a list or an expression such as '{{ state.urls }}'"));
        }
        Ok(compiled)
    }

    fn fan_in(&self, spot: &Spot<'_>, fan_in: Option<&Yaml>) -> Read<Option<Box<str>>> {
        if fan_in.is_none() {
            return Ok(None);
        }
        if self.names.is_empty() {
            return Err(spot
                .error("only top-level nodes can have a fan_in; the next step sees the results"));
        }
        Ok(Some(checks::target(spot, fan_in, &self.names)?.into()))
    }

    /// Returns the name under which a fan-out's steps find something.
    fn variable<'a>(
        &self,
        spot: &Spot<'_>,
        fields: &Fields<'a>,
        key: &str,
        default: &'a str,
    ) -> Read<&'a str> {
        // The default is checked too: the steps of a fan-out inside another one would not see the outer item.
        let value = match checks::field(fields, key) {
            Some(value) => value.clone(),
            None => Yaml::from(&Snap::from(default)),
        };
        let is_plain = value.as_str().is_some_and(|name| {
            is_identifier(name) && !NO_NAMES.contains(&name) && !self.compiler.knows(name)
        });
        if !is_plain {
            let names: Vec<&str> = self.compiler.names().collect();
            let expected = format!("a plain name and none of {}", names.join(", "));
            spot.attempt::<()>(Err(spot.key(key).wrong(&value, &expected)))?;
            return Ok(default);
        }
        Ok(checks::field(fields, key)
            .and_then(Yaml::as_str)
            .unwrap_or(default))
    }

    fn output(&self, spot: &Spot<'_>, fields: &Fields<'_>) -> Read<Output> {
        let key = checks::one_of(spot, fields, ["output", "store"])?;
        let Some((key, value)) = key.and_then(|key| Some((key, checks::given(fields, key)?)))
        else {
            return Ok(Output::Merged);
        };
        if matches!(value.value, YamlValue::Map(_)) {
            checks::mapping(&spot.key(key), Some(value))?;
            let compiler = self.compiler.knowing(&["result"]);
            return Ok(Output::Fields(values::value(
                &compiler,
                value,
                &spot.at(key),
            )?));
        }
        Ok(Output::Key(checks::text(&spot.key(key), value)?.into()))
    }
}

/// Returns the parameters of an action, and where each is written: under `with`, or beside the node's own keys.
fn read_given<'a, 's>(spot: &Spot<'s>, fields: &Fields<'a>, key: &str) -> Read<Given<'a, 's>> {
    let inner = checks::mapping(&spot.key("with"), checks::field(fields, "with"))?;
    let with = spot.at("with");
    let mut given: Given<'a, 's> = inner
        .into_iter()
        .map(|(param, value)| (param, value, with.at(param)))
        .collect();
    let positions: HashMap<&str, usize> = given
        .iter()
        .enumerate()
        .map(|(at, (param, _, _))| (*param, at))
        .collect();
    let own = ["with", "output", "store", key];
    for (param, value) in fields {
        if COMMON.contains(param) || own.contains(param) {
            continue;
        }
        let place = spot.at(*param);
        match positions.get(param) {
            None => given.push((param, value, place)),
            Some(at) => {
                place.note(format!(
                    "parameter {} is given twice; keep one",
                    quoted(param)
                ))?;
                given[*at] = (param, value, place);
            }
        }
    }
    Ok(given)
}

fn refuse_unknown(spot: &Spot<'_>, fields: &Fields<'_>, keys: &[&str]) -> Read<()> {
    let known: Vec<&str> = COMMON.iter().chain(keys).copied().collect();
    tea::refuse_unknown(spot, fields, &known, &tea::NODE)
}

fn read_fail_fast(spot: &Spot<'_>, fields: &Fields<'_>) -> Read<bool> {
    let Some(value) = checks::field(fields, "fail_fast") else {
        return Ok(false);
    };
    let read = spot.attempt(checks::truth(&spot.key("fail_fast"), value))?;
    Ok(read.unwrap_or(false))
}

fn note_missing(spot: &Spot<'_>, fields: &Fields<'_>, keys: &[&str]) -> Read<()> {
    for key in keys {
        if checks::given(fields, key).is_none() {
            spot.note(format!(
                "{} is missing; required: {}",
                quoted(key),
                keys.join(", ")
            ))?;
        }
    }
    Ok(())
}
