//! Where the operators of an expression stand that calculate or join.

use super::scan::{group_end, Token};

/// An operator: the index of its first token, how many tokens it takes, and its text.
pub(super) type Found = (usize, usize, &'static str);

/// The operators of each precedence, the weakest first. A power binds more strongly, and makes nothing large.
const LEVELS: [&[&str]; LEVEL_COUNT] = [&["+", "-"], &["~"], &["*", "/", "//", "%"]];

/// How many precedences there are.
pub(super) const LEVEL_COUNT: usize = 3;

/// Tells whether an operator can make something large.
pub(super) fn grows(operator: &str) -> bool {
    matches!(operator, "+" | "~" | "*")
}

/// Returns the binary operators of a precedence between two tokens, outside of brackets.
pub(super) fn operators(tokens: &[Token<'_>], from: usize, to: usize, level: usize) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = from;
    while at < to {
        match binary(tokens, at, from, to) {
            Some((length, operator)) => {
                if LEVELS[level].contains(&operator) {
                    found.push((at, length, operator));
                }
                at += length;
            }
            None => at = group_end(tokens, at).min(to),
        }
    }
    found
}

fn binary(
    tokens: &[Token<'_>],
    at: usize,
    from: usize,
    to: usize,
) -> Option<(usize, &'static str)> {
    let is_touched = touches(tokens, at);
    let next = tokens.get(at + 1).map_or("", |token| token.text);
    let (length, operator) = match tokens[at].text {
        "+" => (1, "+"),
        "-" => (1, "-"),
        "~" => (1, "~"),
        "%" => (1, "%"),
        "/" if is_touched && next == "/" => (2, "//"),
        "/" => (1, "/"),
        "*" if is_touched && next == "*" => return None,
        "*" => (1, "*"),
        _ => return None,
    };
    if at == from || at + length >= to || ends_open(tokens[at - 1].text) {
        return None;
    }
    let has_sign = matches!(operator, "+" | "-");
    let is_sign = has_sign && (is_of_test(tokens, at) || is_exponent(tokens, at));
    (!is_sign).then_some((length, operator))
}

fn touches(tokens: &[Token<'_>], at: usize) -> bool {
    let next = tokens.get(at + 1);
    next.is_some_and(|next| tokens[at].end == next.end - next.text.len())
}

/// Tells whether an operand has to follow a token.
fn ends_open(text: &str) -> bool {
    matches!(text, "+" | "-" | "*" | "/" | "%" | "~" | "|" | ".")
}

/// Tells whether a token follows the name of a test: `a is divisibleby -3`.
fn is_of_test(tokens: &[Token<'_>], at: usize) -> bool {
    let text = |back: usize| at.checked_sub(back).map_or("", |index| tokens[index].text);
    tokens[at - 1].is_name && (text(2) == "is" || (text(2) == "not" && text(3) == "is"))
}

/// Tells whether a sign belongs to a number: `1e-5`.
fn is_exponent(tokens: &[Token<'_>], at: usize) -> bool {
    let before = tokens[at - 1].text;
    before.starts_with(|char: char| char.is_ascii_digit())
        && !before.starts_with("0x")
        && !before.starts_with("0X")
        && before.ends_with(['e', 'E'])
        && touches(tokens, at - 1)
        && touches(tokens, at)
}
