//! Comparisons as Python makes them.
//!
//! The engine orders values of any two types, finds any key in a mapping whose missing keys are none, and loops over none. Python
//! refuses the first and the last. So comparisons become a test, and what a loop goes over goes through a filter, both of this
//! crate: `a < b` becomes `((a) is __compared__('<', (b)))`.

use super::scan::{group_end, keyword, tokens, Part, Token};

/// The test that comparisons become. No user writes it.
pub(super) const COMPARED: &str = "__compared__";

/// The filter that what a loop goes over goes through.
pub(super) const ITEMS: &str = "__items__";

/// The filter that lists and mappings go through which a template makes: it measures them.
pub(super) const MADE: &str = "__made__";

/// Words that end an operand of a comparison, if they stand outside of brackets.
const BORDERS: [&str; 9] = ["and", "or", "not", "if", "else", ",", ":", "=", "recursive"];

/// Returns a template with its comparisons rewritten.
pub(super) fn template(source: &str, parts: &[Part<'_>]) -> String {
    let mut out = String::with_capacity(source.len());
    let mut done = 0;
    for part in parts {
        let (content, start, is_block) = match part {
            Part::Output(content, start) => (content, start, false),
            Part::Block(content, start) => (content, start, true),
            _ => continue,
        };
        out.push_str(&source[done..*start]);
        if is_block {
            block(content, &mut out);
        } else {
            out.push_str(&expression(content));
        }
        done = start + content.len();
    }
    out.push_str(&source[done..]);
    out
}

/// Returns an expression with its comparisons rewritten.
pub(super) fn expression(text: &str) -> String {
    let tokens = tokens(text);
    let rewriter = Rewriter { text, tokens };
    let mut out = String::with_capacity(text.len());
    rewriter.sequence(0, rewriter.tokens.len(), &mut out);
    out.push_str(&text[rewriter.end_of(rewriter.tokens.len())..]);
    out
}

fn block(content: &str, out: &mut String) {
    let word = keyword(content);
    let start = content.find(word).unwrap_or(0) + word.len();
    let rest = &content[start..];
    out.push_str(&content[..start]);
    if matches!(word, "macro" | "call") {
        out.push_str(rest); // the brackets are parameters
        return;
    }
    if word != "for" {
        out.push_str(&expression(rest));
        return;
    }
    let tokens = tokens(rest);
    let rewriter = Rewriter { text: rest, tokens };
    let outside = |name: &str, from: usize| rewriter.outside(name, from);
    let Some(at) = outside("in", 0).filter(|at| at + 1 < rewriter.tokens.len()) else {
        out.push_str(rest);
        return;
    };
    let ends = ["if", "recursive"].map(|name| outside(name, at + 1));
    let end = ends.into_iter().flatten().min();
    // Whitespace control: `{% for a in b -%}`.
    let last = rewriter.tokens.len();
    let last = last - usize::from(matches!(rewriter.tokens[last - 1].text, "-" | "+"));
    let end = end.unwrap_or(last);
    out.push_str(&rest[..rewriter.end_of(at + 1)]);
    out.push_str(" (");
    rewriter.sequence(at + 1, end, out);
    out.push_str(")|");
    out.push_str(ITEMS);
    rewriter.sequence(end, last, out);
    out.push_str(&rest[rewriter.end_of(last)..]);
}

struct Rewriter<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
}

/// A comparison operator: its text, and the tokens that it takes.
type Operator = (&'static str, usize);

impl Rewriter<'_> {
    fn at(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| token.text)
    }

    /// Returns where the token before an index ends.
    fn end_of(&self, index: usize) -> usize {
        index
            .checked_sub(1)
            .map_or(0, |before| self.tokens[before].end)
    }

    fn start_of(&self, index: usize) -> usize {
        self.tokens[index].end - self.tokens[index].text.len()
    }

    /// Returns the first token of a name outside of brackets.
    fn outside(&self, name: &str, from: usize) -> Option<usize> {
        let mut at = from;
        while at < self.tokens.len() {
            if self.at(at) == name {
                return Some(at);
            }
            at = self.behind(at);
        }
        None
    }

    /// Returns the index behind a token, or behind a bracket with its content.
    fn behind(&self, start: usize) -> usize {
        group_end(&self.tokens, start)
    }

    /// Appends tokens, with the blanks before them.
    fn sequence(&self, from: usize, to: usize, out: &mut String) {
        let mut start = from;
        let mut operands: Vec<(usize, usize)> = Vec::new();
        let mut operators: Vec<&'static str> = Vec::new();
        let mut at = from;
        while at < to {
            if let Some((operator, length)) = self.operator(at, start).filter(|_| at > start) {
                operands.push((start, at));
                operators.push(operator);
                at += length;
                start = at;
            } else if self.is_border(at) {
                operands.push((start, at));
                if self.at(at) == "=" {
                    // A target, or the name of an argument.
                    out.push_str(&self.text[self.end_of(start)..self.end_of(at)]);
                } else {
                    self.chain(&operands, &operators, out);
                }
                (operands, operators) = (Vec::new(), Vec::new());
                out.push_str(&self.text[self.end_of(at)..self.tokens[at].end]);
                at += 1;
                start = at;
            } else {
                at = self.behind(at).min(to);
            }
        }
        operands.push((start, to));
        self.chain(&operands, &operators, out);
    }

    fn is_border(&self, at: usize) -> bool {
        // `a is not none`: that word belongs to the test.
        let is_tested = self.at(at) == "not" && at > 0 && self.at(at - 1) == "is";
        BORDERS.contains(&self.at(at)) && !is_tested && !(at > 0 && self.at(at - 1) == ".")
    }

    /// Returns the comparison operator that begins at a token of an operand.
    fn operator(&self, at: usize, start: usize) -> Option<Operator> {
        let (text, next) = (self.at(at), self.at(at + 1));
        let touches = at + 1 < self.tokens.len() && self.tokens[at].end == self.start_of(at + 1);
        let before = if at > start { self.at(at - 1) } else { "" };
        match text {
            "<" if touches && next == "=" => Some(("<=", 2)),
            ">" if touches && next == "=" => Some((">=", 2)),
            "=" if touches && next == "=" => Some(("==", 2)),
            "!" if touches && next == "=" => Some(("!=", 2)),
            "<" => Some(("<", 1)),
            ">" => Some((">", 1)),
            "not" if next == "in" && before != "is" => Some(("not in", 2)),
            "in" if before != "is" && before != "." && !(before == "not" && at > start + 1) => {
                Some(("in", 1))
            }
            _ => None,
        }
    }

    /// Appends the operands of a comparison, or a single operand.
    fn chain(&self, operands: &[(usize, usize)], operators: &[&str], out: &mut String) {
        let is_complete = operands.iter().all(|(start, end)| start < end);
        let is_plain = operators
            .iter()
            .all(|operator| matches!(*operator, "==" | "!="));
        if is_plain || !is_complete {
            // An incomplete comparison stays as it is, for the engine to refuse.
            for (index, (start, end)) in operands.iter().enumerate() {
                if index > 0 {
                    out.push_str(
                        &self.text[self.end_of(operands[index - 1].1)..self.end_of(*start)],
                    );
                }
                self.operand(*start, *end, out);
            }
            return;
        }
        let (first, rest) = (operands[0], &operands[1..]);
        let blanks = self.end_of(first.0)..self.start_of(first.0);
        out.push_str(&self.text[blanks]);
        out.push_str("((");
        self.inside(first, out);
        out.push_str(") is ");
        out.push_str(COMPARED);
        out.push('(');
        for ((start, end), operator) in rest.iter().zip(operators) {
            out.push_str(&format!("'{operator}', ("));
            self.inside((*start, *end), out);
            out.push_str("), ");
        }
        out.push_str("))");
    }

    /// Tells whether a bracket makes a list, a tuple or a mapping that is not empty, and is not an index or the arguments of a call.
    fn makes(&self, at: usize, from: usize, end: usize) -> bool {
        let before = at.checked_sub(1).filter(|before| *before >= from);
        let follows = before.is_some_and(|before| {
            let token = self.tokens[before];
            let is_word = matches!(token.text, "is" | "not" | "in");
            let is_closed =
                matches!(token.text, ")" | "]" | "}") || token.text.starts_with(['\'', '"']);
            (token.is_name && !is_word) || is_closed
        });
        if follows || end <= at + 2 {
            return false;
        }
        let mut inside = at + 1;
        let mut has_comma = false;
        while inside < end - 1 {
            has_comma |= self.at(inside) == ",";
            inside = self.behind(inside);
        }
        self.at(at) != "(" || has_comma
    }

    /// Appends an operand without the blanks before it.
    fn inside(&self, (from, to): (usize, usize), out: &mut String) {
        let mut text = String::new();
        self.operand(from, to, &mut text);
        let blanks = self.start_of(from) - self.end_of(from);
        // Line breaks stay, so that a mistake has its line.
        out.extend(text[..blanks].matches('\n'));
        out.push_str(&text[blanks..]);
    }

    /// Appends tokens without a comparison outside of brackets; in brackets there may be some.
    fn operand(&self, from: usize, to: usize, out: &mut String) {
        let mut at = from;
        while at < to {
            let end = self.behind(at).min(to);
            let is_made = end > at + 1 && self.makes(at, from, end);
            out.push_str(&self.text[self.end_of(at)..self.start_of(at)]);
            out.push_str(if is_made { "(" } else { "" });
            out.push_str(self.at(at));
            if end > at + 1 {
                self.sequence(at + 1, end - 1, out);
                out.push_str(&self.text[self.end_of(end - 1)..self.tokens[end - 1].end]);
            }
            if is_made {
                out.push('|');
                out.push_str(MADE);
                out.push(')');
            }
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::parts;
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(template(text, &parts(text)), expected);
    }

    #[test]
    fn comparisons_become_a_test() {
        let cases = [
            (
                "{{ a.b < 3 and not c }}",
                "{{ ((a.b) is __compared__('<', (3), )) and not c }}",
            ),
            (
                "{{ f(a<=b, [1 in c][0]) }}",
                "{{ f(((a) is __compared__('<=', (b), )), ([((1) is __compared__('in', (c), ))]|__made__)[0]) }}",
            ),
            (
                "{{ 0 < a == b not in c.in | d }}",
                "{{ ((0) is __compared__('<', (a), '==', (b), 'not in', (c.in | d), )) }}",
            ),
            (
                "{%- for a, b in c.items() if a > b recursive -%}",
                "{%- for a, b in ( c.items())|__items__ if ((a) is __compared__('>', (b), )) recursive -%}",
            ),
            (
                "{% for a in b -%}{% elif a not in (b < c) %}",
                "{% for a in ( b)|__items__ -%}{% elif ((a) is __compared__('not in', ((((b) is __compared__('<', (c), )))), )) %}",
            ),
        ];
        for (text, expected) in cases {
            check(text, expected);
        }
    }

    #[test]
    fn what_is_no_comparison_stays() {
        for text in [
            "{{ a == b }} < {% set x = a != 'c < d' %}",
            "{{ a is not none or b is in(c) }}",
            "{{ (a) }}{{ [] }}{{ {} }}{{ a[1](2, 3)['b', ] }}",
            "{% set (a, b) = c %}{% call(a, b) c() %}{% endcall %}{% macro m(a, b=[1]) %}{% endmacro %}",
            "{% if a -%} b {%- endif %}",
            "{{ f(x=1, y=(2)) | g('a in b') }}",
            "{{ a < }}",
            "{{ < b }}",
        ] {
            check(text, text);
        }
    }
}
