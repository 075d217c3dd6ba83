//! Find a node's action, and check its parameters before anything runs: their names, and the values in the file.

use std::sync::Arc;

use the_edge_obs::value::Key;
use the_edge_obs::Snap;

use super::source::Read;
use super::spot::Spot;
use super::tea;
use crate::actions::{Action, Actions};
use crate::closest::{allowed, allowed_for, did_you_mean};
use crate::python::quoted;
use crate::templates::Renderer;

/// Actions of the Python runtime that a program may lack, and why.
const LACKING: [(&str, &str); 6] = [
    ("http.get", "this program was built without the feature http"),
    ("http.post", "this program was built without the feature http"),
    ("json.transform", "this program was built without the feature jmespath"),
    ("memory.retrieve", "this program was built without the feature memory"),
    ("memory.store", "this program was built without the feature memory"),
    (
        "web.fetch",
        "it makes text of HTML, which only the Python runtime does; use http.get, which returns the page as it is, or give an action of \
         that name to the program that loads the flow",
    ),
];

/// Returns a registered action.
///
/// # Errors
///
/// The action does not exist. The message says why, or has the closest name and the categories.
pub(super) fn find_action(spot: &Spot<'_>, actions: &Actions, name: &str) -> Read<Arc<dyn Action>> {
    if let Some(action) = actions.get(name) {
        return Ok(Arc::clone(action));
    }
    if let Some((_, reason)) = LACKING.iter().find(|(lacking, _)| *lacking == name) {
        return Err(spot.error(format!("action {} is not here: {reason}", quoted(name))));
    }
    let category = |action: &str| action.split('.').next().unwrap_or_default().to_owned();
    let names: Vec<&str> = actions.names().collect();
    let siblings: Vec<&&str> = names
        .iter()
        .filter(|action| category(action) == category(name))
        .collect();
    let mut categories: Vec<String> = names.iter().map(|action| category(action)).collect();
    categories.dedup();
    let known = if siblings.is_empty() {
        format!("categories: {}", categories.join(", "))
    } else {
        allowed(siblings)
    };
    let theirs = category(name.strip_prefix("actions.").unwrap_or(name));
    let way = tea::way_for(Some(&theirs), &tea::CATEGORIES);
    Err(spot.error(format!(
        "unknown action {}; {}{known}{way}",
        quoted(name),
        did_you_mean(name, &names)
    )))
}

/// Notes parameters that the action does not have, and required ones that are missing.
///
/// # Errors
///
/// Enough mistakes are noted.
pub(super) fn check_parameters(
    spot: &Spot<'_>,
    action: &dyn Action,
    name: &str,
    given: &[(&str, &Spot<'_>)],
) -> Read<()> {
    let signature = action.signature();
    for (param, place) in given {
        if *param == "state" {
            place.note("parameter 'state' is set by the flow itself; rename it")?;
            continue;
        }
        let Some(takes) = signature.accepted.filter(|takes| !takes.contains(param)) else {
            continue;
        };
        let takes = if takes.is_empty() { &["none"] } else { takes };
        let end = allowed_for(takes, param);
        let (name, param) = (quoted(name), quoted(param));
        place.note(format!("action {name} has no parameter {param}; {end}"))?;
    }
    for param in signature.required {
        if !given.iter().any(|(name, _)| name == param) {
            let takes = signature.accepted.unwrap_or(signature.required);
            let end = allowed(takes);
            let (name, param) = (quoted(name), quoted(param));
            spot.note(format!("action {name} needs parameter {param}; {end}"))?;
        }
    }
    Ok(())
}

/// Notes a value in the file that the action would refuse: a provider, a timeout, a filter.
///
/// # Errors
///
/// Enough mistakes are noted.
pub(super) fn check_value(
    spot: &Spot<'_>,
    action: &dyn Action,
    (name, param): (&str, &str),
    value: &Renderer,
) -> Read<()> {
    let value = constant(value);
    if value == Snap::Null {
        return Ok(());
    }
    match action.check(param, &value) {
        Ok(()) => Ok(()),
        Err(failure) => {
            // An action of the program has providers of its own.
            let is_models = param == "provider" && name.starts_with("llm.");
            let theirs = value.as_str().filter(|_| is_models);
            let way = tea::way_for(theirs, &tea::PROVIDERS);
            spot.note(format!("{}{way}", failure.message))
        }
    }
}

/// Returns a value as far as it is known before the run; null stands for the result of a template.
fn constant(value: &Renderer) -> Snap {
    match value {
        Renderer::Constant(value) => value.clone(),
        Renderer::Map(pairs) => Snap::Map(
            pairs
                .iter()
                .map(|(key, item)| (Key::from(&**key), constant(item)))
                .collect(),
        ),
        Renderer::List(items) => {
            let items: Box<[Snap]> = items.iter().map(constant).collect();
            if items.contains(&Snap::Null) {
                Snap::Null
            } else {
                Snap::List(items)
            }
        }
        Renderer::Template(_) => Snap::Null,
    }
}
