//! Comparisons as Python makes them.
//!
//! The engine orders values of any two types, finds any key in a mapping whose missing keys are none, and loops over none. Python
//! refuses the first and the last. So comparisons become a test, and what a loop goes over goes through a filter, both of this
//! crate: `a < b` becomes `((a) is __compared__('<', (b)))`.
//!
//! The engine also makes values of any size. So the operators that can do so become a call, `__calculated__(a, '+', b)`, and lists
//! and mappings, the results of some filters, indices, and what a namespace keeps go through filters and functions that measure.

use super::arithmetic::{grows, operators, LEVEL_COUNT};
use super::scan::{group_end, keyword, tokens, Part, Token};

/// The test that comparisons become. No user writes it.
pub(super) const COMPARED: &str = "__compared__";

/// The filter that what a loop goes over goes through.
pub(super) const ITEMS: &str = "__items__";

/// The filter that lists and mappings go through which a template makes: it measures them.
pub(super) const MADE: &str = "__made__";

/// The function that operators become which can make something large.
pub(super) const CALCULATED: &str = "__calculated__";

/// The function that an index goes through.
pub(super) const INDEX: &str = "__index__";

/// The function that the arguments of `loop.changed` go through.
pub(super) const CHANGED: &str = "__changed__";

/// The filter that a value goes through which a namespace will keep.
pub(super) const HELD: &str = "__held__";

/// The filter that the results of other filters go through: it looks at the clock.
pub(super) const STEP: &str = "__step__";

/// The filter whose result can be of any size, as it puts the results of another one into a list.
const MAPPING: &str = "map";

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
        let inner = content.strip_prefix(['-', '+']).unwrap_or(content);
        out.push_str(&content[..content.len() - inner.len()]);
        let mark = if inner.ends_with(['-', '+']) { 1 } else { 0 };
        let (inner, mark) = inner.split_at(inner.len() - mark);
        if is_block {
            block(inner, &mut out);
        } else {
            out.push_str(&expression(inner));
        }
        out.push_str(mark);
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
    let tokens = tokens(rest);
    let rewriter = Rewriter { text: rest, tokens };
    let last = rewriter.tokens.len();
    match word {
        "for" => rewriter.repeat(out),
        "set" => rewriter.set(out),
        "macro" => rewriter.parameters(1, out),
        "call" => rewriter.parameters(0, out),
        _ => rewriter.sequence(0, last, out),
    }
    out.push_str(&rest[rewriter.end_of(last)..]);
}

struct Rewriter<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
}

/// A comparison operator: its text, and the tokens that it takes.
type Operator = (&'static str, usize);

impl Rewriter<'_> {
    /// Appends what stands behind `for`.
    fn repeat(&self, out: &mut String) {
        let last = self.tokens.len();
        let Some(at) = self.outside("in", 0).filter(|at| at + 1 < last) else {
            out.push_str(&self.text[..self.end_of(last)]);
            return;
        };
        let ends = ["if", "recursive"].map(|name| self.outside(name, at + 1));
        let end = ends.into_iter().flatten().min().unwrap_or(last);
        out.push_str(&self.text[..self.end_of(at + 1)]);
        out.push_str(" (");
        self.sequence(at + 1, end, out);
        out.push_str(")|");
        out.push_str(ITEMS);
        self.sequence(end, last, out);
    }

    /// Appends what stands behind `set`.
    fn set(&self, out: &mut String) {
        let last = self.tokens.len();
        let is_namespace = |at: &usize| (0..*at).any(|at| self.at(at) == ".");
        let Some(at) = self.outside("=", 0).filter(is_namespace) else {
            self.sequence(0, last, out);
            return;
        };
        let is_owner = |index: &usize| {
            self.tokens[*index].is_name && (*index == 0 || self.at(*index - 1) != ".")
        };
        let owners: Vec<&str> = (0..at)
            .filter(is_owner)
            .map(|index| self.at(index))
            .collect();
        out.push_str(&self.text[..self.end_of(at + 1)]);
        out.push_str(" (");
        self.sequence(at + 1, last, out);
        out.push_str(&format!(")|{HELD}({})", owners.join(", ")));
    }

    /// Appends the parameters that begin at a token, if they do, with their defaults, and what follows.
    fn parameters(&self, at: usize, out: &mut String) {
        let last = self.tokens.len();
        let end = if self.at(at) == "(" {
            self.behind(at)
        } else {
            at
        };
        if end < at + 2 {
            self.sequence(0, last, out);
            return;
        }
        out.push_str(&self.text[..self.tokens[at].end]);
        self.sequence(at + 1, end - 1, out);
        out.push_str(&self.text[self.end_of(end - 1)..self.end_of(end)]);
        self.sequence(end, last, out);
    }

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
        if operators.is_empty() || !is_complete {
            // An incomplete comparison stays as it is, for the engine to refuse.
            for (index, (start, end)) in operands.iter().enumerate() {
                if index > 0 {
                    out.push_str(
                        &self.text[self.end_of(operands[index - 1].1)..self.end_of(*start)],
                    );
                }
                self.arithmetic((*start, *end), 0, out);
            }
            return;
        }
        let (first, rest) = (operands[0], &operands[1..]);
        let blanks = self.end_of(first.0)..self.start_of(first.0);
        out.push_str(&self.text[blanks]);
        out.push_str("((");
        self.inside(first, 0, out);
        out.push_str(") is ");
        out.push_str(COMPARED);
        out.push('(');
        for ((start, end), operator) in rest.iter().zip(operators) {
            out.push_str(&format!("'{operator}', ("));
            self.inside((*start, *end), 0, out);
            out.push_str("), ");
        }
        out.push_str("))");
    }

    /// Appends an operand of a comparison, from operators of a precedence on.
    fn arithmetic(&self, (from, to): (usize, usize), level: usize, out: &mut String) {
        if from >= to || level == LEVEL_COUNT {
            self.operand(from, to, out);
            return;
        }
        let found = operators(&self.tokens, from, to, level);
        let is_call = found.iter().any(|(_, _, operator)| grows(operator));
        if is_call {
            out.push_str(&self.text[self.end_of(from)..self.start_of(from)]);
            out.push_str(&format!(" {CALCULATED}("));
        }
        let mut start = from;
        let append = |part: (usize, usize), out: &mut String| {
            if is_call {
                self.inside(part, level + 1, out);
            } else {
                self.arithmetic(part, level + 1, out);
            }
        };
        for (at, length, operator) in found {
            append((start, at), out);
            start = at + length;
            if is_call {
                out.push_str(&format!(", '{operator}', "));
            } else {
                out.push_str(&self.text[self.end_of(at)..self.end_of(start)]);
            }
        }
        append((start, to), out);
        out.push_str(if is_call { ")" } else { "" });
    }

    /// Tells whether a bracket makes a list, a tuple or a mapping that is not empty, and is not an index or the arguments of a call.
    fn makes(&self, at: usize, from: usize, end: usize) -> bool {
        !self.follows(at, from)
            && end > at + 2
            && (self.at(at) != "(" || self.has(",", at + 1, end - 1))
    }

    /// Tells whether a bracket belongs to the value before it.
    fn follows(&self, at: usize, from: usize) -> bool {
        let before = at.checked_sub(1).filter(|before| *before >= from);
        before.is_some_and(|before| {
            let token = self.tokens[before];
            let is_word = matches!(token.text, "is" | "not" | "in");
            let is_closed =
                matches!(token.text, ")" | "]" | "}") || token.text.starts_with(['\'', '"']);
            (token.is_name && !is_word) || is_closed
        })
    }

    /// Tells whether there is a token between two others, outside of brackets.
    fn has(&self, text: &str, from: usize, to: usize) -> bool {
        self.outside(text, from).is_some_and(|at| at < to)
    }

    /// Returns the function, if any, that the content of a bracket goes through, with the brackets of its call.
    fn call_in(&self, at: usize, from: usize, end: usize) -> Option<(String, &'static str)> {
        let (first, last) = (at + 1, end - 1);
        if first >= last || !self.follows(at, from) {
            return None;
        }
        if self.at(at) == "(" {
            let is_changed = at > 1 && self.at(at - 1) == "changed" && self.at(at - 2) == ".";
            return is_changed.then(|| (format!("{CHANGED}("), ")"));
        }
        let is_literal = last == first + 1 && self.at(first).starts_with(['\'', '"']);
        if self.at(at) != "[" || is_literal {
            return None;
        }
        Some(if self.has(",", first, last) {
            (format!("{INDEX}(("), "))")
        } else {
            (format!("{INDEX}("), ")")
        })
    }

    /// Returns the first colon of a slice, if a bracket holds one.
    fn slice(&self, at: usize, from: usize, end: usize) -> Option<usize> {
        let is_index = self.at(at) == "[" && self.follows(at, from);
        let colon = self.outside(":", at + 1).filter(|colon| *colon < end - 1);
        colon.filter(|_| is_index)
    }

    /// Appends what stands in the brackets of a slice, which takes time with the size of the value. Its start goes through a filter.
    fn sliced(&self, first: usize, colon: usize, last: usize, out: &mut String) {
        if first == colon {
            out.push_str("none");
        } else {
            out.push('(');
            self.sequence(first, colon, out);
            out.push(')');
        }
        out.push_str(&format!("|{STEP}"));
        out.push_str(&self.text[self.end_of(colon)..self.tokens[colon].end]);
        self.sequence(colon + 1, last, out);
    }

    /// Returns the filter that the result of a filter goes through, if one ends with these tokens.
    fn behind_filter(&self, start: usize, end: usize, from: usize) -> Option<&'static str> {
        let name = match self.at(start) {
            "(" => start.checked_sub(1)?,
            _ if self.at(end) == "(" => return None,
            _ => start,
        };
        let is_filter = name > from && self.tokens[name].is_name && self.at(name - 1) == "|";
        is_filter.then_some(if self.at(name) == MAPPING { MADE } else { STEP })
    }

    /// Appends an operand without the blanks before it.
    fn inside(&self, (from, to): (usize, usize), level: usize, out: &mut String) {
        let mut text = String::new();
        self.arithmetic((from, to), level, &mut text);
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
                if let Some(colon) = self.slice(at, from, end) {
                    self.sliced(at + 1, colon, end - 1, out);
                } else {
                    let (open, close) = self.call_in(at, from, end).unwrap_or_default();
                    out.push_str(&open);
                    self.sequence(at + 1, end - 1, out);
                    out.push_str(close);
                }
                out.push_str(&self.text[self.end_of(end - 1)..self.tokens[end - 1].end]);
            }
            if is_made {
                out.push_str(&format!("|{MADE})"));
            }
            if let Some(name) = self.behind_filter(at, end, from) {
                out.push_str(&format!("|{name}"));
            }
            at = end;
        }
    }
}

#[cfg(test)]
mod tests;
