//! What matches of an expression can begin with: where no match can begin, none is tried.

use super::{Node, Set};

/// Completes the sets of an expression.
pub(super) fn complete(branches: &mut [Vec<Node>], is_folded: bool) {
    for node in branches.iter_mut().flatten() {
        complete_one(node, is_folded);
    }
}

fn complete_one(node: &mut Node, is_folded: bool) {
    match node {
        Node::One(set) => set.complete(is_folded),
        Node::Group(_, inner) | Node::Look { inner, .. } => complete(inner, is_folded),
        Node::Repeat { inner, .. } => complete_one(inner, is_folded),
        Node::Start | Node::End | Node::Boundary => {}
    }
}

/// Returns a bit for each character of ASCII that a match can begin with; `None` if a match may be empty.
pub(super) fn of(branches: &[Vec<Node>]) -> Option<u128> {
    let mut firsts = branches.iter().map(|branch| of_sequence(branch));
    firsts.try_fold(0, |all, firsts| Some(all | firsts?))
}

fn of_sequence(nodes: &[Node]) -> Option<u128> {
    let mut all = 0;
    for node in nodes {
        let (firsts, may_be_empty) = of_node(node);
        all |= firsts;
        if !may_be_empty {
            return Some(all);
        }
    }
    None
}

/// Returns what a node can begin with, and whether it may take nothing. What looks around may hold anywhere.
fn of_node(node: &Node) -> (u128, bool) {
    match node {
        Node::One(Set { ascii, .. }) => (*ascii, false),
        Node::Start | Node::End | Node::Boundary | Node::Look { .. } => (0, true),
        Node::Group(_, inner) => match of(inner) {
            Some(firsts) => (firsts, false),
            None => (u128::MAX, true),
        },
        Node::Repeat { inner, least, .. } => {
            let (firsts, may_be_empty) = of_node(inner);
            (firsts, may_be_empty || *least == 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;

    fn firsts(source: &str) -> Option<String> {
        let firsts = Pattern::new(source).firsts?;
        let is_in = |char: &char| firsts >> u32::from(*char) & 1 != 0;
        Some(('\0'..='\x7f').filter(is_in).collect())
    }

    #[test]
    fn a_match_begins_with_one_of_the_firsts() {
        for (source, expected) in [
            ("ab|c", Some("ac")),
            ("a?b*(?:c|d)e", Some("abcd")),
            (r"\b(?=x)(?<=y)a", Some("a")),
            ("(?i)a{2,}", Some("Aa")),
            ("(?:a(?:b|c)|d)", Some("ad")),
            (r"^\Z", None),
            ("é|a", Some("a")),
        ] {
            assert_eq!(firsts(source).as_deref(), expected, "{source}");
        }
        // A group that may be empty may begin with anything.
        assert_eq!(firsts("(?:a|b?)d").map(|text| text.len()), Some(128));
    }
}
