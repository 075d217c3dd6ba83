//! The parts of a template's text, as far as the engine does not tell: its expressions, and the names in them.
//!
//! The engine checks the syntax. What is scanned here may be wrong, but then the engine refuses it.

/// One part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Text that is copied, or the content of a `{% raw %}` block.
    Text(&'a str),
    /// What stands between `{{` and `}}`, and where it begins in the template.
    Output(&'a str, usize),
    /// What stands between `{%` and `%}`, and where it begins in the template.
    Block(&'a str, usize),
    /// `{# #}`
    Comment,
}

/// A token of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// Its text.
    pub text: &'a str,
    /// Where it ends in the expression.
    pub end: usize,
    /// Whether it is a name.
    pub is_name: bool,
}

/// Returns the parts of a template in their order. What follows a part without an end is left out.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(start) = next_mark(text, at) {
        if start > at {
            parts.push(Part::Text(&text[at..start]));
        }
        let inside = start + 2;
        let close = match &text[start..inside] {
            "{{" => "}}",
            "{%" => "%}",
            _ => {
                let Some(end) = text[inside..].find("#}") else {
                    return parts;
                };
                parts.push(Part::Comment);
                at = inside + end + 2;
                continue;
            }
        };
        let Some(length) = expression_length(&text[inside..], close) else {
            return parts;
        };
        let content = &text[inside..inside + length];
        at = inside + length + 2;
        if close == "}}" {
            parts.push(Part::Output(content, inside));
        } else if keyword(content) == "raw" {
            let Some(end) = end_of_raw(&text[at..]) else {
                return parts;
            };
            parts.push(Part::Text(&text[at..at + end.0]));
            at += end.1;
        } else {
            parts.push(Part::Block(content, inside));
        }
    }
    if at < text.len() {
        parts.push(Part::Text(&text[at..]));
    }
    parts
}

fn next_mark(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    (from..bytes.len().saturating_sub(1))
        .find(|&at| bytes[at] == b'{' && matches!(bytes[at + 1], b'{' | b'%' | b'#'))
}

/// Returns where the content of a raw block ends, and where the tag behind it ends.
fn end_of_raw(text: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    while let Some(start) = text[at..].find("{%") {
        let start = at + start;
        let end = start + 2 + text[start + 2..].find("%}")?;
        if keyword(&text[start + 2..end]) == "endraw" {
            return Some((start, end + 2));
        }
        at = start + 2;
    }
    None
}

/// Returns the first word of a block: `for`, `if`, `endif`.
pub(super) fn keyword(block: &str) -> &str {
    let block = block.trim_start_matches(['-', '+']).trim_start();
    let end = block
        .find(|char: char| !char.is_alphanumeric() && char != '_')
        .unwrap_or(block.len());
    &block[..end]
}

/// Returns the length of an expression that a mark ends outside of strings and brackets.
fn expression_length(text: &str, close: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if depth == 0 && rest.starts_with(close) {
            return Some(at);
        }
        let length = token_length(rest);
        match rest.as_bytes()[0] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += length;
    }
    None
}

/// Returns the length of the token, or of the blank, at the start of a text that is not empty.
fn token_length(text: &str) -> usize {
    let first = text.chars().next().unwrap_or(' ');
    if first == '\'' || first == '"' {
        let mut chars = text.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            if char == first {
                return at + 1;
            }
            if char == '\\' {
                chars.next();
            }
        }
        return text.len();
    }
    let is_in_name = |char: char| char.is_alphanumeric() || char == '_';
    if is_in_name(first) {
        return text
            .find(|char| !is_in_name(char))
            .unwrap_or(text.len())
            .max(1);
    }
    first.len_utf8()
}

/// Returns the tokens of an expression.
pub(super) fn tokens(expression: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < expression.len() {
        let rest = &expression[at..];
        let length = token_length(rest);
        let text = &rest[..length];
        at += length;
        let first = text.chars().next().unwrap_or(' ');
        if !first.is_whitespace() {
            let is_name = first.is_alphabetic() || first == '_';
            tokens.push(Token {
                text,
                end: at,
                is_name,
            });
        }
    }
    tokens
}

/// The most operators, attributes, calls and brackets around one another.
const MAX_NESTED: usize = 500;

/// Tells whether a template is one that the engine would need too much of the stack for: it compiles each operator inside the next
/// one, and each `elif` inside the one before.
pub(super) fn is_too_long(parts: &[Part<'_>]) -> bool {
    let mut elifs = 0;
    parts.iter().any(|part| match part {
        Part::Output(content, _) => is_too_nested(content),
        Part::Block(content, _) => {
            elifs += usize::from(keyword(content) == "elif");
            elifs > MAX_NESTED || is_too_nested(content)
        }
        _ => false,
    })
}

fn is_too_nested(expression: &str) -> bool {
    let mut outer: Vec<(usize, usize)> = Vec::new();
    // What is around the items of the bracket, and around the current token.
    let (mut base, mut here) = (0, 0);
    for token in tokens(expression) {
        match token.text {
            "," | ":" => here = base,
            ")" | "]" | "}" => (base, here) = outer.pop().unwrap_or((0, here)),
            "(" | "[" | "{" => {
                here += 1;
                outer.push((base, here));
                base = here;
            }
            "and" | "or" | "not" | "if" | "else" | "is" | "in" => here += 1,
            text => here += usize::from(!token.is_name && !is_literal(text)),
        }
        if here > MAX_NESTED {
            return true;
        }
    }
    false
}

fn is_literal(text: &str) -> bool {
    text.starts_with(|char: char| char.is_alphanumeric() || matches!(char, '\'' | '"'))
}

/// Returns the index behind a token, or behind a bracket with its content.
pub(super) fn group_end(tokens: &[Token<'_>], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_parts() {
        let text = "a {{ {'b': '}}'} }}{# {{ #}{% raw %}{{ c }}{% endraw %}{%- if x %}d{% endif %}";
        assert_eq!(
            parts(text),
            [
                Part::Text("a "),
                Part::Output(" {'b': '}}'} ", 4),
                Part::Comment,
                Part::Text("{{ c }}"),
                Part::Block("- if x ", text.find("- if").unwrap()),
                Part::Text("d"),
                Part::Block(" endif ", text.rfind(" endif").unwrap()),
            ]
        );
        assert_eq!(parts("a {{ b"), [Part::Text("a ")]);
        assert_eq!(parts("{"), [Part::Text("{")]);
    }
}
