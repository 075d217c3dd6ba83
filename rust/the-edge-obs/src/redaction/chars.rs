//! Characters and texts as Python sees them: its classes of characters, its blanks, and places counted in code points.

use super::tables::{tables, Ranges};

fn is_in(ranges: &Ranges, char: char) -> bool {
    let code = char as u32;
    let at = ranges.partition_point(|(first, _)| *first <= code);
    at > 0 && code <= ranges[at - 1].1
}

/// Tells whether a character is a letter, as `str.isalpha` does.
pub(super) fn is_alpha(char: char) -> bool {
    char.is_ascii_alphabetic() || (!char.is_ascii() && is_in(&tables().alpha, char))
}

/// Tells whether a character is a letter or a number of any kind, as `str.isalnum` does.
pub(super) fn is_alnum(char: char) -> bool {
    char.is_ascii_alphanumeric() || (!char.is_ascii() && is_in(&tables().alnum, char))
}

/// Tells whether a character is a decimal digit, as `\d` and `str.isdecimal` do.
pub(super) fn is_decimal(char: char) -> bool {
    char.is_ascii_digit() || (!char.is_ascii() && is_in(&tables().decimal, char))
}

/// Tells whether a character is a digit, as `str.isdigit` does: superscripts too.
pub(super) fn is_digit(char: char) -> bool {
    char.is_ascii_digit() || (!char.is_ascii() && is_in(&tables().digit, char))
}

/// Tells whether a character shows on a terminal as itself, as `str.isprintable` does: of all blanks only U+0020.
pub(crate) fn is_printable(char: char) -> bool {
    matches!(char, ' '..='~') || (!char.is_ascii() && is_in(&tables().printable, char))
}

/// Tells whether a character is part of a word, as `\w` does.
pub(super) fn is_word(char: char) -> bool {
    char == '_' || is_alnum(char)
}

/// Tells whether a character is blank, as `\s` and `str.isspace` do.
pub(super) fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char)
}

/// Tells whether all characters are digits, and there are some.
pub(super) fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_digit)
}

pub(super) fn all_alpha(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_alpha)
}

pub(super) fn all_alnum(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_alnum)
}

pub(super) fn has_digit(text: &str) -> bool {
    text.chars().any(is_digit)
}

pub(super) fn count_digits(text: &str) -> usize {
    text.chars().filter(|char| is_digit(*char)).count()
}

/// Tells the same as `str.isupper`: some letters have a case, and none of them is lower.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

/// Returns a text without blanks around it.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Returns the words between blanks, as `str.split()` does.
pub(super) fn words(text: &str) -> Vec<&str> {
    text.split(is_space)
        .filter(|word| !word.is_empty())
        .collect()
}

/// Returns the length in code points.
pub(super) fn len(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    }
}

/// Tells whether a text has more code points than a number, without counting all of a long one.
pub(super) fn is_longer(text: &str, most: usize) -> bool {
    let head = text.as_bytes().get(..=most);
    head.is_some_and(|head| head.is_ascii() || text.chars().nth(most).is_some())
}

/// Returns the place that is a number of code points behind another, or the end of the text.
pub(super) fn forward(text: &str, at: usize, count: usize) -> usize {
    match text[at..].char_indices().nth(count) {
        Some((offset, _)) => at + offset,
        None => text.len(),
    }
}

/// Returns the place that is a number of code points before another, or the beginning of the text.
pub(super) fn back(text: &str, at: usize, count: usize) -> usize {
    if count == 0 {
        return at;
    }
    match text[..at].char_indices().rev().nth(count - 1) {
        Some((offset, _)) => offset,
        None => 0,
    }
}

/// Returns the first characters of a text.
pub(crate) fn head(text: &str, count: usize) -> &str {
    if text.len() <= count {
        return text;
    }
    &text[..forward(text, 0, count)]
}

/// Returns the last characters of a text.
pub(super) fn tail(text: &str, count: usize) -> &str {
    if text.len() <= count {
        return text;
    }
    &text[back(text, text.len(), count)..]
}

/// Returns where a text stands in a part of another.
pub(super) fn find(text: &str, what: &str, start: usize, end: usize) -> Option<usize> {
    if start > end {
        return None;
    }
    text[start..end].find(what).map(|offset| start + offset)
}

/// Returns where a text stands last in a part of another.
pub(super) fn rfind(text: &str, what: &str, start: usize, end: usize) -> Option<usize> {
    if start > end {
        return None;
    }
    text[start..end].rfind(what).map(|offset| start + offset)
}

/// Returns the character behind a place.
pub(super) fn char_at(text: &str, at: usize) -> Option<char> {
    text.get(at..).and_then(|rest| rest.chars().next())
}

/// Returns the character before a place.
pub(super) fn char_before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}
