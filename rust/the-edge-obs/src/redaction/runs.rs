//! Runs: the words of a text that can be names, whole, with what stands before and behind them.

use super::chars::is_word;

/// Returns where runs of at least two characters stand in a text, first and last bytes: what `[\w$.-]{2,}` matches.
pub(super) fn runs(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || loop {
        let start = at + text[at..].find(is_of_run)?;
        let rest = &text[start..];
        let end = rest.find(|char| !is_of_run(char));
        let end = end.map_or(text.len(), |length| start + length);
        at = end;
        if text[start..end].chars().nth(1).is_some() {
            return Some((start, end));
        }
    })
}

/// Returns the runs of a text of ASCII in which places lie that are part of one, in order.
pub(super) fn runs_at(text: &str, places: &[usize]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for at in places {
        if found.last().is_some_and(|(_, end)| at < end) {
            continue;
        }
        let before = text[..*at].rfind(|char| !is_of_run(char));
        let behind = text[*at..].find(|char| !is_of_run(char));
        let start = before.map_or(0, |before| before + 1);
        found.push((start, behind.map_or(text.len(), |length| at + length)));
    }
    found
}

fn is_of_run(char: char) -> bool {
    matches!(char, '$' | '.' | '-') || is_word(char)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redaction::pattern::Pattern;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_those_of_the_expression(text in "[a-c_$. -]{0,30}|[a-c_$. é²٣ñ\u{300}-]{0,30}|\\PC{0,30}") {
            let pattern = Pattern::new(r"[\w$.-]{2,}");
            let expected: Vec<_> = pattern.all(&text).map(|found| found.span()).collect();
            prop_assert_eq!(runs(&text).collect::<Vec<_>>(), &*expected);
            if text.is_ascii() {
                let places: Vec<usize> = expected.iter().flat_map(|(start, end)| *start..*end).collect();
                prop_assert_eq!(runs_at(&text, &places), expected);
            }
        }
    }
}
