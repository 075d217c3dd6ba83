//! Read nodes: turn plain data into the model, and note every mistake with its line.

use std::collections::HashMap;
use std::sync::Arc;

use the_edge_obs::yaml::{Yaml, YamlValue};
use the_edge_obs::Snap;

use super::checks::{self, Fields, Names};
use super::source::Read;
use super::spot::Spot;
use super::{on_error, tea};
use crate::actions::Actions;
use crate::closest::{allowed, allowed_for};
use crate::conditions::{self, Condition, Sense};
use crate::model::{Body, Jump, Node, OnError, Plan, END, START};
use crate::python::{quoted, repr};
use crate::templates::Compiler;

/// Keys that a node of any kind can have.
pub(super) const COMMON: [&str; 6] = [
    "name",
    "description",
    "language",
    "goto",
    "on_error",
    "fan_in",
];
const BODIES: [&str; 5] = ["uses", "action", "run", "steps", "flow"];
const TYPES: [&str; 2] = ["while_loop", "dynamic_parallel"];

/// What the nodes of one flow are read with. A mistake is noted, and the rest is read nevertheless.
#[derive(Clone)]
pub(super) struct NodeReader<'a> {
    /// Compiles the templates.
    pub compiler: Compiler,
    /// The flow's actions.
    pub actions: &'a Actions,
    /// Loads a flow file that a node names; gets where it is named, and the path as written.
    pub subflow: &'a dyn Fn(&Spot<'_>, &str) -> Read<Arc<Plan>>,
    /// Names of the top-level nodes, which can be jumped to; none inside nested steps.
    pub names: Names,
    /// The same and the end: where a jump can lead.
    pub targets: Names,
    /// Whether the registry is complete; otherwise an unknown action may belong to an import that was refused.
    pub knows_all: bool,
}

impl NodeReader<'_> {
    /// Returns the flow's nodes, in file order.
    pub(super) fn top_level(&self, spot: &Spot<'_>, data: Option<&Yaml>) -> Read<Vec<Node>> {
        let items = read_items(spot, data)?;
        let names = read_names(spot, &items)?;
        let listed = || names.iter().map(String::as_str);
        let reader = NodeReader {
            names: Names::new(listed()),
            targets: Names::new(listed().chain([END])),
            ..self.clone()
        };
        reader.read_all(spot, &items, &names)
    }

    /// Returns nested nodes, which nothing can jump to.
    pub(super) fn nested(&self, spot: &Spot<'_>, data: Option<&Yaml>) -> Read<Box<[Node]>> {
        let items = read_items(spot, data)?;
        self.nested_items(spot, &items)
    }

    /// Returns nested nodes that were read as mappings.
    pub(super) fn nested_items(&self, spot: &Spot<'_>, items: &[Fields<'_>]) -> Read<Box<[Node]>> {
        let names = read_names(spot, items)?;
        let reader = NodeReader {
            names: Names::default(),
            targets: Names::default(),
            ..self.clone()
        };
        Ok(reader.read_all(spot, items, &names)?.into())
    }

    fn read_all(&self, spot: &Spot<'_>, items: &[Fields<'_>], names: &[String]) -> Read<Vec<Node>> {
        let one = |(index, (name, item)): (usize, (&String, &Fields<'_>))| {
            self.read(&spot.node(index, name), item, name)
        };
        names.iter().zip(items).enumerate().map(one).collect()
    }

    /// Returns a node; one that cannot be read is empty, and its name is known nevertheless.
    fn read(&self, spot: &Spot<'_>, fields: &Fields<'_>, name: &str) -> Read<Node> {
        let mut read = None;
        if !fields.is_empty() {
            read = spot.attempt(self.node(spot, fields, name))?;
        }
        Ok(read.unwrap_or_else(|| Node {
            name: name.into(),
            body: empty(),
            on_error: OnError::default(),
            goto: None,
        }))
    }

    fn node(&self, spot: &Spot<'_>, fields: &Fields<'_>, name: &str) -> Read<Node> {
        if let Some(language) = checks::field(fields, "language") {
            if language.as_str() != Some("python") {
                let given = repr(&language.to_snap());
                let way = tea::way_for(language.as_str(), &tea::LANGUAGES);
                spot.note(format!(
                    "language {given} is not supported; allowed: python{way}"
                ))?;
            }
        }
        let body = spot.attempt(self.body(spot, fields))?;
        if let Some(fan_in) = checks::field(fields, "fan_in") {
            let is_flag = matches!(fan_in.value, YamlValue::Scalar(Snap::Bool(_)));
            let is_fan_out = matches!(body, None | Some(Body::FanOut(_)));
            if !is_fan_out && !is_flag {
                let given = repr(&fan_in.to_snap());
                spot.at("fan_in").note(format!(
                    "fan_in is {given}; on a node of this type it must be true or false"
                ))?;
            }
        }
        let on_error = match checks::given(fields, "on_error") {
            None => None,
            Some(rule) => spot.attempt(on_error::read(&spot.key("on_error"), rule, &self.names))?,
        };
        let goto = self.goto(&spot.key("goto"), checks::given(fields, "goto"));
        Ok(Node {
            name: name.into(),
            body: body.unwrap_or_else(empty),
            on_error: on_error.unwrap_or_default(),
            goto: spot.attempt(goto)?.flatten(),
        })
    }

    fn body(&self, spot: &Spot<'_>, fields: &Fields<'_>) -> Read<Body> {
        let called = checks::field(fields, "uses").or_else(|| checks::field(fields, "action"));
        let calls = called.is_some_and(|name| name.as_str().is_some());
        if let Some(kind) = checks::given(fields, "type") {
            match kind.as_str() {
                Some("while_loop") => return self.while_loop(spot, fields),
                Some("dynamic_parallel") => return self.fan_out(spot, fields),
                _ if calls => {}
                name => {
                    let given = repr(&kind.to_snap());
                    let end = allowed_for(&TYPES, name.unwrap_or(&given));
                    return Err(spot
                        .at("type")
                        .error(format!("unknown type {given}; {end}")));
                }
            }
        }
        let bodies: Vec<&str> = BODIES
            .into_iter()
            .filter(|key| checks::field(fields, key).is_some())
            .collect();
        match bodies[..] {
            ["run"] => refuse_code(spot, fields),
            ["steps"] => self.steps(spot, fields),
            ["flow"] => self.flow(spot, fields),
            [key] => self.action(spot, fields, key),
            [] => Err(spot.error(format!("no body; a node has exactly one; {}", body_help()))),
            [one, other, ..] => Err(spot.error(format!(
                "two bodies, {} and {}; a node has exactly one; {}",
                quoted(one),
                quoted(other),
                body_help()
            ))),
        }
    }

    fn goto(&self, spot: &Spot<'_>, goto: Option<&Yaml>) -> Read<Option<Box<[Jump]>>> {
        let Some(goto) = goto else {
            return Ok(None);
        };
        if self.names.is_empty() {
            return Err(spot.error(
                "only top-level nodes can have a goto; nested steps run one after the other",
            ));
        }
        if goto.as_str().is_some_and(|name| !name.is_empty()) {
            let target = checks::target(spot, Some(goto), &self.targets)?;
            return Ok(Some([jump(target, Condition::always())].into()));
        }
        let rules = match &goto.value {
            YamlValue::List(rules) if !rules.is_empty() => rules,
            YamlValue::Map(pairs) if !pairs.is_empty() => {
                return Ok(Some([self.rule(spot, goto)?].into()));
            }
            _ => return Err(spot.wrong(goto, "a name, {if, to}, or a list of {if, to}")),
        };
        let mut jumps = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            jumps.extend(spot.attempt(self.rule(&spot.item(index), rule))?);
        }
        Ok(Some(jumps.into()))
    }

    fn rule(&self, spot: &Spot<'_>, rule: &Yaml) -> Read<Jump> {
        let fields = checks::mapping(spot, Some(rule))?;
        checks::refuse_unknown(spot, &fields, &["if", "to"])?;
        let target = checks::target(spot, checks::field(&fields, "to"), &self.targets);
        let target = spot.attempt(target)?.unwrap_or_default();
        let Some(condition) = checks::given(&fields, "if") else {
            return Ok(jump(target, Condition::always()));
        };
        // Under the node's name: messages about a template say the key themselves.
        let owner = format!("step {}", quoted(spot.step().unwrap_or_default()));
        let place = spot.at("if").called(owner);
        let sense = Sense {
            expected: true,
            words: true,
        };
        let compiler = self.compiler.knowing(&["result"]);
        let condition = conditions::compile(&compiler, condition, &place, sense)?;
        Ok(jump(target, condition))
    }
}

fn refuse_code(spot: &Spot<'_>, fields: &Fields<'_>) -> Read<Body> {
    let known: Vec<&str> = COMMON.into_iter().chain(["run"]).collect();
    tea::refuse_unknown(spot, fields, &known, &tea::NODE)?;
    let theirs = |name: &&str| tea::LANGUAGES.contains(name);
    let language = checks::field(fields, "language").and_then(Yaml::as_str);
    if language.filter(theirs).is_some() {
        return Ok(empty()); // it is noted with the node, and the code is not Python
    }
    let run = spot.key("run");
    if let Some(kind) = code_type(fields).filter(theirs) {
        let way = tea::way_for(Some(kind), &tea::LANGUAGES);
        return Err(run.error(format!("type {} is not supported{way}", quoted(kind))));
    }
    Err(run.error(
        "inline Python runs in the Python runtime; use an action, or json.parse with a template: \
         text: \"[{{ state.count + 1 }}]\"",
    ))
}

/// Returns the type of inline code that is written as a mapping.
fn code_type<'a>(fields: &Fields<'a>) -> Option<&'a str> {
    let YamlValue::Map(pairs) = &checks::field(fields, "run")?.value else {
        return None;
    };
    let found = pairs.iter().find(|(key, _)| key.as_str() == Some("type"));
    found.and_then(|(_, kind)| kind.as_str())
}

fn jump(target: &str, condition: Condition) -> Jump {
    Jump {
        target: target.into(),
        condition,
    }
}

/// Returns the body of a node that cannot be read.
pub(super) fn empty() -> Body {
    Body::Steps(Box::default())
}

/// Returns what a node's body can be.
pub(super) fn body_help() -> String {
    let types = TYPES.map(|name| format!("type: {name}"));
    let bodies = ["uses (or action)", "run", "steps", "flow"].map(str::to_owned);
    allowed(bodies.into_iter().chain(types))
}

/// Returns a list of nodes as mappings; one that is not a mapping, or is empty, becomes an empty mapping.
pub(super) fn read_items<'a>(spot: &Spot<'_>, data: Option<&'a Yaml>) -> Read<Vec<Fields<'a>>> {
    let items = checks::listing(spot, data)?;
    if items.is_empty() {
        return Err(spot.error("the list is empty; it needs at least one node"));
    }
    let mut nodes = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        nodes.push(read_item(spot, index, item)?);
    }
    Ok(nodes)
}

/// Returns one node as a mapping.
pub(super) fn read_item<'a>(spot: &Spot<'_>, index: usize, item: &'a Yaml) -> Read<Fields<'a>> {
    let place = spot.item(index);
    let node = spot.attempt(checks::mapping(&place, Some(item)))?;
    if node.as_ref().is_some_and(Vec::is_empty) {
        place.note(format!(
            "the node is empty; it needs a body; {}",
            body_help()
        ))?;
    }
    Ok(node.unwrap_or_default())
}

/// Returns the name of each node; one without a valid name is named after its position.
fn read_names(spot: &Spot<'_>, items: &[Fields<'_>]) -> Read<Vec<String>> {
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let mut names: Vec<Option<&str>> = Vec::with_capacity(items.len());
    for (index, fields) in items.iter().enumerate() {
        let name = match checks::given(fields, "name") {
            None => None,
            Some(name) => spot.attempt(read_name(spot, name, index, &positions))?,
        };
        if let Some(name) = name {
            positions.insert(name, index);
        }
        names.push(name);
    }
    let free = |index: usize| {
        let mut name = format!("step_{}", index + 1);
        while positions.contains_key(&*name) {
            name.push('_');
        }
        name
    };
    let named = names.into_iter().enumerate();
    Ok(named
        .map(|(index, name)| name.map_or_else(|| free(index), str::to_owned))
        .collect())
}

fn read_name<'a>(
    spot: &Spot<'_>,
    name: &'a Yaml,
    index: usize,
    taken: &HashMap<&str, usize>,
) -> Read<&'a str> {
    let place = spot.at(index).at("name");
    let name = checks::text(&place.called("a node's name"), name)?;
    let place = place.called("");
    if name == START || name == END {
        return Err(place.error(format!(
            "a node cannot be named {}, which is reserved; rename it",
            quoted(name)
        )));
    }
    if let Some(first) = taken.get(name) {
        let line = spot.at(*first).line();
        let hint = line.map_or_else(String::new, |line| format!(", first on line {line}"));
        return Err(place.error(format!(
            "node name {} is used twice{hint}; rename one of them",
            quoted(name)
        )));
    }
    Ok(name)
}
