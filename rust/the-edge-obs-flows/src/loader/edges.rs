//! Read the `edges` block.

use std::collections::HashMap;

use the_edge_obs::yaml::{Yaml, YamlValue};
use the_edge_obs::Snap;

use super::checks::{self, Fields, Names};
use super::source::Read;
use super::spot::Spot;
use crate::closest::{allowed, allowed_for};
use crate::conditions::{self, Condition, Sense};
use crate::model::{Edge, END, START};
use crate::python::{quoted, repr};
use crate::templates::Compiler;

const KEYS: [&str; 6] = ["from", "to", "when", "condition", "type", "fan_in"];
const TYPES: [&str; 2] = ["normal", "parallel"];

/// The edges by the node they leave, in file order.
pub(crate) type Edges = HashMap<Box<str>, Vec<Edge>>;

/// Names of nodes: those that an edge can leave, all of them, and those that it can lead to.
struct Known {
    starts: Names,
    nodes: Names,
    targets: Names,
}

/// Returns the edges by the node they leave, in file order.
///
/// An edge is noted when it is malformed, leads to an unknown node, or conflicts with another edge of the same node.
///
/// # Errors
///
/// The block is not a list, or enough mistakes are noted.
pub(crate) fn read(
    spot: &Spot<'_>,
    compiler: &Compiler,
    data: Option<&Yaml>,
    names: &[&str],
) -> Read<Edges> {
    let known = Known {
        starts: Names::new([START].into_iter().chain(names.iter().copied())),
        nodes: Names::new(names.iter().copied()),
        targets: Names::new(names.iter().copied().chain([END])),
    };
    let mut edges = Edges::new();
    for (index, item) in checks::listing(spot, data)?.iter().enumerate() {
        let place = spot.item(index);
        let Some(edge) = spot.attempt(read_edge(&place, compiler, item, &known))? else {
            continue;
        };
        let earlier = edges.entry(edge.source.clone()).or_default();
        if let Some(first) = earlier.first().filter(|first| first.fan_in != edge.fan_in) {
            place.note(format!(
                "the edges from {} conflict: fan_in is {} on another and {} on this one; make all of them parallel with one \
                 fan_in, or none",
                quoted(&edge.source),
                shown(first.fan_in.as_deref()),
                shown(edge.fan_in.as_deref()),
            ))?;
        }
        earlier.push(edge);
    }
    Ok(edges)
}

fn shown(name: Option<&str>) -> String {
    name.map_or_else(|| "None".to_owned(), quoted)
}

fn read_edge(spot: &Spot<'_>, compiler: &Compiler, item: &Yaml, names: &Known) -> Read<Edge> {
    let fields = checks::mapping(spot, Some(item))?;
    checks::refuse_unknown(spot, &fields, &KEYS)?;
    let field = |key| checks::field(&fields, key);
    let condition = spot.attempt(read_condition(spot, compiler, &fields))?;
    let source = checks::target(&spot.key("from"), field("from"), &names.starts);
    let source = spot.attempt(source)?.unwrap_or_default();
    let kind = read_kind(spot, field("type"))?;
    let is_parallel = kind == "parallel";
    let targets = if is_parallel {
        &names.nodes
    } else {
        &names.targets
    };
    let target = checks::target(&spot.key("to"), field("to"), targets)?;
    let fan_in = checks::given(&fields, "fan_in");
    if fan_in.is_some() != is_parallel {
        return Err(spot.error("fan_in and type: parallel go together; give both or neither"));
    }
    let fan_in = match fan_in {
        Some(_) => Some(checks::target(&spot.key("fan_in"), fan_in, &names.nodes)?),
        None => None,
    };
    if fan_in == Some(target) {
        return Err(spot.error(format!(
            "{} is both a branch and its own fan_in; name the node that joins the branches",
            quoted(target)
        )));
    }
    Ok(Edge {
        source: source.into(),
        target: target.into(),
        condition: condition.unwrap_or_else(Condition::always),
        fan_in: fan_in.map(Into::into),
    })
}

fn read_kind<'a>(spot: &Spot<'_>, value: Option<&'a Yaml>) -> Read<&'a str> {
    let Some(value) = value else {
        return Ok("normal");
    };
    let kind = value.as_str().unwrap_or_default();
    if TYPES.contains(&kind) {
        return Ok(kind);
    }
    let given = repr(&value.to_snap());
    let end = allowed_for(&TYPES, value.as_str().unwrap_or(&given));
    Err(spot
        .at("type")
        .error(format!("unknown type {given}; {end}")))
}

/// Reads `when`, or `condition` with `when` as the truth value it must have.
fn read_condition(spot: &Spot<'_>, compiler: &Compiler, fields: &Fields<'_>) -> Read<Condition> {
    let when = checks::field(fields, "when");
    let Some(mut condition) = checks::given(fields, "condition") else {
        return match checks::given(fields, "when") {
            None => Ok(Condition::always()),
            Some(when) => conditions::compile(compiler, when, &spot.at("when"), Sense::default()),
        };
    };
    let mut place = spot.at("condition");
    let expected = match when {
        None => true,
        Some(when) => match when.value {
            YamlValue::Scalar(Snap::Bool(expected)) => expected,
            _ => {
                return Err(spot
                    .key("when")
                    .wrong(when, "true or false beside a condition"))
            }
        },
    };
    let none = Yaml::from(&Snap::Null);
    if matches!(condition.value, YamlValue::Map(_)) {
        let inner = checks::mapping(&spot.key("condition"), Some(condition))?;
        checks::refuse_unknown(&spot.key("condition"), &inner, &["type", "value"])?;
        let kind = checks::field(&inner, "type");
        if kind.and_then(Yaml::as_str) != Some("expression") {
            let kind = repr(&kind.map_or(Snap::Null, Yaml::to_snap));
            let end = allowed(["expression"]);
            return Err(place.error(format!("unknown condition type {kind}; {end}")));
        }
        condition = checks::field(&inner, "value").unwrap_or(&none);
        place = place.at("value");
    }
    let sense = Sense {
        expected,
        words: false,
    };
    conditions::compile(compiler, condition, &place, sense)
}
