//! Globs: patterns of names, as in the filters `node` and `step`.
//!
//! `*` stands for any characters, `?` for one, `[abc]`, `[a-z]` and `[!abc]` for one of a set. A `]` that comes first in a set is part of
//! it, and a `[` that nothing closes stands for itself. A glob matches the whole name, and letters of another case differ.

/// A pattern of names. Matching takes time in proportion to the lengths of pattern and name, multiplied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Any number of characters.
    Any,
    /// One character.
    One,
    /// This character.
    Char(char),
    /// A character within one of the ranges, or outside all of them.
    Set {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Part {
    fn takes(&self, char: char) -> bool {
        match self {
            Part::Any | Part::One => true,
            Part::Char(own) => *own == char,
            Part::Set { is_negated, ranges } => {
                ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&char))
                    != *is_negated
            }
        }
    }
}

impl Glob {
    /// Reads a glob. Every text is one.
    ///
    /// ```
    /// use the_edge_obs::globs::Glob;
    ///
    /// assert!(Glob::new("llm.*").matches("llm.call"));
    /// assert!(!Glob::new("llm.*").matches("LLM.call"));
    /// assert!(Glob::new("[!a-c]x").matches("dx"));
    /// ```
    #[must_use]
    pub fn new(pattern: &str) -> Glob {
        let chars: Vec<char> = pattern.chars().collect();
        // From this `[` on nothing closes a set: later ones need no search, which would take quadratic time.
        let last_close = chars.iter().rposition(|char| *char == ']');
        let (mut parts, mut at) = (Vec::new(), 0);
        while let Some(char) = chars.get(at) {
            at += 1;
            match char {
                '*' if parts.last() == Some(&Part::Any) => {}
                '*' => parts.push(Part::Any),
                '?' => parts.push(Part::One),
                '[' if last_close.is_some_and(|close| close >= at) => {
                    match end_of_set(&chars, at) {
                        Some(end) => {
                            parts.push(set(&chars[at..end]));
                            at = end + 1;
                        }
                        None => parts.push(Part::Char('[')),
                    }
                }
                other => parts.push(Part::Char(*other)),
            }
        }
        Glob { parts }
    }

    /// Tells whether the glob matches a whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut rest = name.chars();
        let mut at = 0;
        // Behind the last `*`, and what that has not taken yet. An earlier `*` never has to take more than it did.
        let mut star: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            if self.parts.get(at) == Some(&Part::Any) {
                at += 1;
                star = Some((at, rest.clone()));
                continue;
            }
            match (rest.next(), self.parts.get(at)) {
                (None, None) => return true,
                (Some(char), Some(part)) if part.takes(char) => at += 1,
                (None, Some(_)) => return false,
                _ => {
                    let Some((behind, left)) = &mut star else {
                        return false;
                    };
                    if left.next().is_none() {
                        return false;
                    }
                    (at, rest) = (*behind, left.clone());
                }
            }
        }
    }
}

/// Returns where a set ends that begins behind a `[`.
fn end_of_set(chars: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    at += usize::from(chars.get(at) == Some(&'!'));
    at += usize::from(chars.get(at) == Some(&']'));
    let length = chars.get(at..)?.iter().position(|char| *char == ']')?;
    Some(at + length)
}

/// Reads what stands between the brackets of a set, as Python's `fnmatch` does.
fn set(inside: &[char]) -> Part {
    let mut chunks = chunks_of(inside);
    // A range that ends before it begins holds nothing.
    for at in (1..chunks.len()).rev() {
        if chunks[at - 1].last() > chunks[at].first() {
            let later = chunks.remove(at);
            chunks[at - 1].pop();
            chunks[at - 1].extend(&later[1..]);
        }
    }
    let is_negated = chunks[0].first() == Some(&'!');
    if is_negated {
        chunks[0].remove(0);
    }
    let mut ranges: Vec<(char, char)> = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        let from = usize::from(at > 0);
        ranges.extend(chunk.iter().skip(from).map(|char| (*char, *char)));
        if let Some((first, next)) = chunk.last().zip(chunks.get(at + 1)) {
            ranges.push((*first, next[0]));
        }
    }
    Part::Set { is_negated, ranges }
}

/// Splits a set at the hyphens that make a range: of neighbouring chunks, the last and the first character are its ends.
fn chunks_of(inside: &[char]) -> Vec<Vec<char>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut from = 1 + usize::from(inside.first() == Some(&'!'));
    while let Some(length) = inside
        .get(from..)
        .and_then(|rest| rest.iter().position(|char| *char == '-'))
    {
        let hyphen = from + length;
        chunks.push(inside[start..hyphen].to_vec());
        (start, from) = (hyphen + 1, hyphen + 3);
    }
    match (&inside[start..], chunks.last_mut()) {
        ([], Some(last)) => last.push('-'),
        (rest, _) => chunks.push(rest.to_vec()),
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Glob::new(pattern).matches(name)
    }

    #[test]
    fn sets_are_read_as_python_reads_them() {
        for (pattern, holds, fails) in [
            ("[a-]", "-", "b"),
            ("[-a]", "-", "b"),
            ("[!-a]", "b", "-"),
            ("[a-c-e]", "-", "d"),
            ("[]-a]", "^", "b"),
            ("[^a]", "^", "b"),
            ("[\\]", "\\", "a"),
            ("[b-ac-d]", "c", "b"),
            ("[!b-a]", "b", ""),
            ("[&&~|]", "|", "a"),
        ] {
            assert!(matches(pattern, holds), "{pattern} {holds}");
            assert!(!matches(pattern, fails), "{pattern} {fails}");
        }
        assert!(!matches("[b-a]", "a") && !matches("[b-a]", "b"));
    }

    #[test]
    fn many_stars_and_brackets_take_little_time() {
        let start = std::time::Instant::now();
        let name = "a".repeat(2_000);
        assert!(!matches(&"a*".repeat(500), &format!("b{name}")));
        assert!(!matches(&format!("{}b", "*a".repeat(500)), &name));
        assert!(matches(&"[".repeat(100_000), &"[".repeat(100_000)));
        assert!(start.elapsed().as_secs() < 5);
    }

    proptest! {
        #[test]
        fn a_plain_text_matches_itself_alone(one in "[a-zé.\\-\\]!]{0,8}", other in "[a-zé.]{0,8}") {
            prop_assert!(matches(&one, &one));
            prop_assert_eq!(matches(&one, &other), one == other);
        }

        #[test]
        fn stars_take_any_text(head in "[a-z]{0,4}", tail in "[a-z]{0,4}", inner in "\\PC{0,8}") {
            let (pattern, name) = (format!("{head}*{tail}"), format!("{head}{inner}{tail}"));
            prop_assert!(matches(&pattern, &name));
        }

        #[test]
        fn no_pattern_panics(pattern in "[\\[\\]!*?^a-c\\-]{0,12}", name in "[a-c\\[\\]\\-]{0,6}") {
            let _ = matches(&pattern, &name);
        }
    }
}
