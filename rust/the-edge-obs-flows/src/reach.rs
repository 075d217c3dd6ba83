//! Find the nodes of a flow that can never run, whatever its conditions evaluate to.

use std::collections::HashSet;

use crate::model::{Plan, END, START};

/// Returns the nodes that no edge, jump, fallback or preceding node leads to, in file order.
pub(crate) fn unreached(plan: &Plan) -> Vec<&str> {
    let mut seen = HashSet::from([START, END]);
    let mut ahead = vec![START];
    while let Some(name) = ahead.pop() {
        for name in following(plan, name) {
            if seen.insert(name) {
                ahead.push(name);
            }
        }
    }
    let names = plan.nodes.iter().map(|node| &*node.name);
    names.filter(|name| !seen.contains(name)).collect()
}

/// Returns every node that may run after this one.
fn following<'a>(plan: &'a Plan, name: &str) -> Vec<&'a str> {
    let node = plan.node(name);
    let fallback = node.and_then(|node| node.on_error.fallback.as_deref());
    let mut names: Vec<&str> = fallback.into_iter().collect();
    if let Some(goto) = node.and_then(|node| node.goto.as_deref()) {
        names.extend(goto.iter().map(|jump| &*jump.target));
        return names;
    }
    let edges = plan.edges.get(name).map_or(&[][..], Vec::as_slice);
    for edge in edges {
        names.push(&edge.target);
        names.extend(edge.fan_in.as_deref());
    }
    if edges.is_empty() {
        let fan_in = node.and_then(|node| node.fan_in());
        names.push(fan_in.unwrap_or_else(|| plan.following(name)));
    }
    names
}
