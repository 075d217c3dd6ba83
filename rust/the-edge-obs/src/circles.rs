//! Circles of parents, which only a broken log has.

/// Returns the parents of spans, by place, such that each way up ends.
///
/// A span may be its own parent, or several may form a longer circle. The one that began first has no parent then: it is the outermost one.
pub(crate) fn without_circles(
    mut parents: Vec<Option<usize>>,
    begins_before: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    // The number of the walk up that came by, from 1.
    let mut walks = vec![0; parents.len()];
    for start in 0..parents.len() {
        let mut at = Some(start);
        while let Some(here) = at.filter(|here| walks[*here] == 0) {
            walks[here] = start + 1;
            at = parents[here];
        }
        // Where this walk meets itself, it has gone round once.
        let Some(met) = at.filter(|met| walks[*met] == start + 1) else {
            continue;
        };
        let (mut first, mut here) = (met, parents[met]);
        while let Some(next) = here.filter(|next| *next != met) {
            if begins_before(next, first) {
                first = next;
            }
            here = parents[next];
        }
        parents[first] = None;
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_circle_is_outermost() {
        let parents = vec![
            Some(0),
            Some(3),
            Some(1),
            Some(2),
            Some(3),
            None,
            Some(5),
            Some(9),
        ];
        let parents: Vec<_> = parents
            .into_iter()
            .map(|at| at.filter(|at| *at < 8))
            .collect();
        let ending = without_circles(parents, |one, other| one > other);
        assert_eq!(
            ending,
            [None, Some(3), Some(1), None, Some(3), None, Some(5), None]
        );
    }
}
