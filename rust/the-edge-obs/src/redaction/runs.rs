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
        fn runs_are_those_of_the_expression(text in "[a-c_$. é²٣ñ\u{300}-]{0,30}|\\PC{0,30}") {
            let pattern = Pattern::new(r"[\w$.-]{2,}");
            let expected: Vec<_> = pattern.all(&text).map(|found| found.span()).collect();
            prop_assert_eq!(runs(&text).collect::<Vec<_>>(), expected);
        }
    }
}
