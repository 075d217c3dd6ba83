//! Expressions of the kind that Python's `re` has, matched as Python matches them.
//!
//! The expressions of redaction have look-around, and counted repeats of thousands of characters, which automata either do not know
//! or pay for with megabytes. Here they are matched by backtracking, so they are those of the Python package, letter for letter. The
//! time is linear in the text because of how the expressions are written: each looks at a bounded number of characters, or repeats
//! one class of characters alone. No expression of a user comes here.
//! A round of a repeated group takes stack, unless the group takes one character: 1 MiB is enough, which a test holds.
//!
//! What is known: classes, groups (named ones too), alternatives, greedy and lazy repeats, look-ahead, look-behind of one character,
//! `^`, `\Z`, `\b`, `\d`, `\w`, `\s` and their opposites, `\uXXXX`, `\xXX`, and `(?i)` at the beginning.

mod firsts;

use super::chars::{is_decimal, is_space, is_word};

/// A compiled expression.
pub(super) struct Pattern {
    branches: Vec<Vec<Node>>,
    names: Vec<(Box<str>, usize)>,
    groups: usize,
    is_folded: bool,
    /// A bit for each character of ASCII that a match can begin with; `None` if it may be empty.
    firsts: Option<u128>,
}

/// A match: where it and its groups stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub start: usize,
    pub end: usize,
    groups: Vec<Option<(usize, usize)>>,
}

impl Found {
    pub fn span(&self) -> (usize, usize) {
        (self.start, self.end)
    }

    /// Returns where a group stands, counted from 1.
    pub fn group(&self, number: usize) -> Option<(usize, usize)> {
        self.groups[number - 1]
    }

    pub fn text<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start..self.end]
    }

    /// Returns the text of a group, or an empty one.
    pub fn group_text<'t>(&self, number: usize, text: &'t str) -> &'t str {
        self.group(number)
            .map_or("", |(start, end)| &text[start..end])
    }
}

enum Node {
    One(Set),
    Start,
    End,
    Boundary,
    Group(Option<usize>, Vec<Vec<Node>>),
    Repeat {
        inner: Box<Node>,
        least: usize,
        most: usize,
        is_lazy: bool,
        /// Whether each round takes one character, so that rounds can be counted in a loop.
        is_single: bool,
    },
    Look {
        inner: Vec<Vec<Node>>,
        is_behind: bool,
        is_negative: bool,
    },
}

impl Node {
    /// Tells whether a node takes one character, whatever matches, and captures nothing.
    fn is_single(&self) -> bool {
        let takes_one = |branch: &Vec<Node>| {
            let ones = branch.iter().filter(|node| matches!(node, Node::One(_)));
            let looks = branch
                .iter()
                .filter(|node| matches!(node, Node::Look { .. }));
            ones.count() == 1 && looks.count() + 1 == branch.len()
        };
        match self {
            Node::One(_) => true,
            Node::Group(None, branches) => branches.iter().all(takes_one),
            _ => false,
        }
    }
}

#[derive(Default)]
struct Set {
    ranges: Vec<(char, char)>,
    classes: Vec<(char, bool)>,
    is_negative: bool,
    /// A bit for each character of ASCII that is in the set, once the expression is whole.
    ascii: u128,
}

impl Set {
    fn one(char: char) -> Set {
        Set {
            ranges: vec![(char, char)],
            ..Set::default()
        }
    }

    fn has(&self, char: char, is_folded: bool) -> bool {
        if char.is_ascii() {
            return self.ascii >> u32::from(char) & 1 != 0;
        }
        self.holds(char, is_folded) != self.is_negative
    }

    /// Finds out which characters of ASCII are in the set.
    fn complete(&mut self, is_folded: bool) {
        let is_in = |char: &char| self.holds(*char, is_folded) != self.is_negative;
        let chars = ('\0'..='\x7f').filter(is_in);
        self.ascii = chars.fold(0, |bits, char| bits | 1 << u32::from(char));
    }

    fn holds(&self, char: char, is_folded: bool) -> bool {
        let is_in = |char: char| {
            self.ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&char))
        };
        let is_class = self.classes.iter().any(|(class, expected)| {
            let holds = match class {
                'd' => is_decimal(char),
                'w' => is_word(char),
                _ => is_space(char),
            };
            holds == *expected
        });
        if is_class || is_in(char) {
            return true;
        }
        is_folded && {
            let folded = fold(char);
            is_in(folded) || (folded.is_ascii() && is_in(folded.to_ascii_uppercase()))
        }
    }
}

/// Returns a character without its case, as Python's `re.IGNORECASE` compares.
fn fold(char: char) -> char {
    match char {
        '\u{17f}' => 's',
        '\u{130}' | '\u{131}' => 'i',
        _ => {
            let mut lower = char.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(one), None) => one,
                _ => char,
            }
        }
    }
}

type Groups = Vec<Option<(usize, usize)>>;
type Next<'n> = &'n mut dyn FnMut(usize, &mut Groups) -> Option<usize>;

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Panics
    ///
    /// The expression has something that is not known. All of them are part of the crate, and tests compile each.
    pub fn new(source: &str) -> Pattern {
        let (is_folded, rest) = match source.strip_prefix("(?i)") {
            Some(rest) => (true, rest),
            None => (false, source),
        };
        let mut parser = Parser {
            chars: rest.chars().collect(),
            at: 0,
            groups: 0,
            names: Vec::new(),
        };
        let mut branches = parser.branches();
        assert_eq!(parser.at, parser.chars.len(), "{source}");
        firsts::complete(&mut branches, is_folded);
        Pattern {
            firsts: firsts::of(&branches),
            branches,
            names: parser.names,
            groups: parser.groups,
            is_folded,
        }
    }

    /// Returns the number of a named group, from 1.
    pub fn number(&self, name: &str) -> usize {
        self.names
            .iter()
            .find(|(one, _)| &**one == name)
            .map_or(0, |(_, number)| number + 1)
    }

    /// Matches at a place.
    pub fn at(&self, text: &str, at: usize) -> Option<Found> {
        self.run(text, at, false)
    }

    /// Tells whether the beginning of a text matches.
    pub fn begins(&self, text: &str) -> bool {
        self.run(text, 0, false).is_some()
    }

    /// Tells whether the whole of a text matches.
    pub fn is_all(&self, text: &str) -> bool {
        self.run(text, 0, true).is_some()
    }

    /// Finds the first match that begins at a place or behind it.
    pub fn find(&self, text: &str, at: usize) -> Option<Found> {
        let mut at = at;
        loop {
            if let Some(firsts) = self.firsts {
                let may_begin = |byte: u8| !byte.is_ascii() || firsts >> byte & 1 != 0;
                // No byte inside a character is in ASCII: its first one is found.
                at += text.as_bytes()[at..]
                    .iter()
                    .position(|byte| may_begin(*byte))?;
            }
            if let Some(found) = self.run(text, at, false) {
                return Some(found);
            }
            at += text[at..].chars().next()?.len_utf8();
        }
    }

    /// Finds all matches, as `finditer` does.
    pub fn all<'p>(&'p self, text: &'p str) -> impl Iterator<Item = Found> + 'p {
        let mut at = Some(0);
        std::iter::from_fn(move || {
            let found = self.find(text, at?)?;
            at = if found.end > found.start {
                Some(found.end)
            } else {
                let next = text[found.end..].chars().next();
                next.map(|char| found.end + char.len_utf8())
            };
            Some(found)
        })
    }

    fn run(&self, text: &str, at: usize, is_whole: bool) -> Option<Found> {
        let matcher = Matcher {
            text,
            is_folded: self.is_folded,
        };
        let mut groups = vec![None; self.groups];
        let end = matcher.branches(&self.branches, at, &mut groups, &mut |end, _| {
            (!is_whole || end == text.len()).then_some(end)
        })?;
        Some(Found {
            start: at,
            end,
            groups,
        })
    }
}

struct Matcher<'t> {
    text: &'t str,
    is_folded: bool,
}

impl Matcher<'_> {
    fn branches(
        &self,
        branches: &[Vec<Node>],
        at: usize,
        groups: &mut Groups,
        next: Next<'_>,
    ) -> Option<usize> {
        branches
            .iter()
            .find_map(|branch| self.sequence(branch, at, groups, next))
    }

    fn one(&self, set: &Set, at: usize) -> Option<usize> {
        #[cfg(test)]
        STEPS.with(|steps| steps.set(steps.get() + 1));
        let char = self.text[at..].chars().next()?;
        set.has(char, self.is_folded)
            .then_some(at + char.len_utf8())
    }

    fn sequence(
        &self,
        nodes: &[Node],
        mut at: usize,
        groups: &mut Groups,
        next: Next<'_>,
    ) -> Option<usize> {
        for (index, node) in nodes.iter().enumerate() {
            let rest = &nodes[index + 1..];
            match node {
                Node::One(set) => at = self.one(set, at)?,
                Node::Start if at == 0 => {}
                Node::End if at == self.text.len() => {}
                Node::Boundary if self.is_boundary(at) => {}
                Node::Start | Node::End | Node::Boundary => return None,
                Node::Look {
                    inner,
                    is_behind,
                    is_negative,
                } => {
                    let start = if *is_behind {
                        self.text[..at]
                            .chars()
                            .next_back()
                            .map(|char| at - char.len_utf8())
                    } else {
                        Some(at)
                    };
                    let holds = start.is_some_and(|start| {
                        self.branches(inner, start, groups, &mut |end, _| {
                            (!is_behind || end == at).then_some(end)
                        })
                        .is_some()
                    });
                    if holds == *is_negative {
                        return None;
                    }
                }
                Node::Group(number, inner) => {
                    let start = at;
                    return self.branches(inner, at, groups, &mut |end, groups| {
                        let Some(number) = *number else {
                            return self.sequence(rest, end, groups, next);
                        };
                        let before = groups[number].replace((start, end));
                        let found = self.sequence(rest, end, groups, next);
                        if found.is_none() {
                            groups[number] = before;
                        }
                        found
                    });
                }
                Node::Repeat {
                    inner,
                    least,
                    most,
                    is_lazy,
                    is_single,
                } => {
                    let counts = (*least, *most, *is_lazy);
                    return if *is_single {
                        self.repeat_single(inner, counts, at, rest, groups, next)
                    } else {
                        self.repeat(inner, *least, *most, at, rest, groups, next)
                    };
                }
            }
        }
        next(at, groups)
    }

    /// Matches what takes one character.
    fn single(&self, node: &Node, at: usize) -> Option<usize> {
        match node {
            Node::One(set) => self.one(set, at),
            Node::Group(_, inner) => {
                self.branches(inner, at, &mut Groups::new(), &mut |end, _| Some(end))
            }
            _ => None,
        }
    }

    fn repeat_single(
        &self,
        inner: &Node,
        (least, most, is_lazy): (usize, usize, bool),
        start: usize,
        rest: &[Node],
        groups: &mut Groups,
        next: Next<'_>,
    ) -> Option<usize> {
        let mut at = start;
        let mut count = 0;
        while count < least {
            at = self.single(inner, at)?;
            count += 1;
        }
        if is_lazy {
            loop {
                if let Some(end) = self.sequence(rest, at, groups, next) {
                    return Some(end);
                }
                if count >= most {
                    return None;
                }
                at = self.single(inner, at)?;
                count += 1;
            }
        }
        let first = at;
        while count < most {
            match self.single(inner, at) {
                Some(end) => at = end,
                None => break,
            }
            count += 1;
        }
        loop {
            if let Some(end) = self.sequence(rest, at, groups, next) {
                return Some(end);
            }
            if at <= first {
                return None;
            }
            at -= self.text[..at].chars().next_back()?.len_utf8();
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn repeat(
        &self,
        inner: &Node,
        least: usize,
        most: usize,
        at: usize,
        rest: &[Node],
        groups: &mut Groups,
        next: Next<'_>,
    ) -> Option<usize> {
        if most > 0 {
            let again = self.sequence(
                std::slice::from_ref(inner),
                at,
                groups,
                &mut |end, groups| {
                    if end == at && least == 0 {
                        return None; // an empty round changes nothing
                    }
                    let least = least.saturating_sub(1);
                    self.repeat(inner, least, most - 1, end, rest, groups, next)
                },
            );
            if again.is_some() {
                return again;
            }
        }
        if least > 0 {
            return None;
        }
        self.sequence(rest, at, groups, next)
    }

    fn is_boundary(&self, at: usize) -> bool {
        let before = self.text[..at].chars().next_back().is_some_and(is_word);
        before != self.text[at..].chars().next().is_some_and(is_word)
    }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    groups: usize,
    names: Vec<(Box<str>, usize)>,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, text: &str) -> bool {
        let count = text.chars().count();
        let is_next = text
            .chars()
            .eq(self.chars.iter().skip(self.at).take(count).copied());
        if is_next {
            self.at += count;
        }
        is_next
    }

    fn branches(&mut self) -> Vec<Vec<Node>> {
        let mut branches = vec![Vec::new()];
        while let Some(char) = self.peek() {
            if char == ')' {
                break;
            }
            if self.take("|") {
                branches.push(Vec::new());
                continue;
            }
            let node = self.node();
            let node = self.repeated(node);
            if let Some(branch) = branches.last_mut() {
                branch.push(node);
            }
        }
        branches
    }

    fn node(&mut self) -> Node {
        let char = self.peek().expect("something follows");
        self.at += 1;
        match char {
            '(' => self.group(),
            '[' => Node::One(self.set()),
            '^' => Node::Start,
            '\\' => {
                let escaped = self.peek().expect("something is escaped");
                match escaped {
                    'Z' => {
                        self.at += 1;
                        Node::End
                    }
                    'b' => {
                        self.at += 1;
                        Node::Boundary
                    }
                    _ => {
                        let mut set = Set::default();
                        if let Some(char) = self.escape(&mut set) {
                            set.ranges.push((char, char));
                        }
                        Node::One(set)
                    }
                }
            }
            '.' | '*' | '+' | '?' | '{' | '$' => panic!("{char} is not known as it stands"),
            char => Node::One(Set::one(char)),
        }
    }

    fn group(&mut self) -> Node {
        let mut number = None;
        let mut look = None;
        if self.take("?:") {
        } else if self.take("?=") {
            look = Some((false, false));
        } else if self.take("?!") {
            look = Some((false, true));
        } else if self.take("?<=") {
            look = Some((true, false));
        } else if self.take("?<!") {
            look = Some((true, true));
        } else {
            if self.take("?P<") {
                let mut name = String::new();
                while !self.take(">") {
                    name.push(self.chars[self.at]);
                    self.at += 1;
                }
                self.names.push((name.into(), self.groups));
            }
            number = Some(self.groups);
            self.groups += 1;
        }
        let inner = self.branches();
        assert!(self.take(")"), "a group does not end");
        match look {
            None => Node::Group(number, inner),
            Some((is_behind, is_negative)) => Node::Look {
                inner,
                is_behind,
                is_negative,
            },
        }
    }

    fn repeated(&mut self, node: Node) -> Node {
        let (least, most) = match self.peek() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => {
                self.at += 1;
                let least = self.count().unwrap_or(0);
                let most = if self.take(",") {
                    self.count().unwrap_or(usize::MAX)
                } else {
                    least
                };
                assert_eq!(self.peek(), Some('}'), "a count does not end");
                (least, most)
            }
            _ => return node,
        };
        self.at += 1;
        let is_lazy = self.take("?");
        let is_single = node.is_single();
        assert!(
            is_single || !is_lazy,
            "a lazy repeat of a group is not known"
        );
        Node::Repeat {
            inner: Box::new(node),
            least,
            most,
            is_lazy,
            is_single,
        }
    }

    fn count(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().and_then(|char| char.to_digit(10)) {
            number = Some(number.unwrap_or(0) * 10 + digit as usize);
            self.at += 1;
        }
        number
    }

    /// Reads what follows a backslash: a character, or a class that is added to a set.
    fn escape(&mut self, set: &mut Set) -> Option<char> {
        let char = self.chars[self.at];
        self.at += 1;
        match char {
            'd' | 'w' | 's' => set.classes.push((char, true)),
            'D' | 'W' | 'S' => set.classes.push((char.to_ascii_lowercase(), false)),
            'n' => return Some('\n'),
            'r' => return Some('\r'),
            't' => return Some('\t'),
            'u' => return self.code(4),
            'x' => return self.code(2),
            _ => {
                assert!(!char.is_alphanumeric(), "\\{char} is not known");
                return Some(char);
            }
        }
        None
    }

    fn code(&mut self, digits: usize) -> Option<char> {
        let text: String = self.chars[self.at..self.at + digits].iter().collect();
        self.at += digits;
        char::from_u32(u32::from_str_radix(&text, 16).expect("a code is hexadecimal"))
    }

    fn set(&mut self) -> Set {
        let mut set = Set {
            is_negative: self.take("^"),
            ..Set::default()
        };
        let mut is_first = true;
        loop {
            let char = self.chars[self.at];
            self.at += 1;
            let first = match char {
                ']' if !is_first => return set,
                '\\' => self.escape(&mut set),
                char => Some(char),
            };
            is_first = false;
            let Some(first) = first else { continue };
            let is_range = self.peek() == Some('-') && self.chars[self.at + 1] != ']';
            let last = if is_range {
                self.at += 1;
                let char = self.chars[self.at];
                self.at += 1;
                if char == '\\' {
                    self.escape(&mut set).expect("a range ends in a character")
                } else {
                    char
                }
            } else {
                first
            };
            set.ranges.push((first, last));
        }
    }
}

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Returns how many characters were looked at while something ran.
#[cfg(test)]
pub(super) fn steps(run: impl FnOnce()) -> usize {
    let before = STEPS.with(std::cell::Cell::get);
    run();
    STEPS.with(std::cell::Cell::get) - before
}

/// Names a static expression that is compiled when it is first needed.
macro_rules! patterns {
    ($($(#[$doc:meta])* $name:ident = $source:expr;)*) => {$(
        $(#[$doc])*
        fn $name() -> &'static crate::redaction::pattern::Pattern {
            static PATTERN: std::sync::OnceLock<crate::redaction::pattern::Pattern> = std::sync::OnceLock::new();
            PATTERN.get_or_init(|| crate::redaction::pattern::Pattern::new($source))
        }
    )*
    #[cfg(test)]
    #[test]
    fn every_expression_compiles() {
        $($name();)*
    }};
}
pub(super) use patterns;

#[cfg(test)]
mod tests {
    use super::*;

    fn span(source: &str, text: &str) -> Option<(usize, usize)> {
        Pattern::new(source).find(text, 0).map(|found| found.span())
    }

    #[test]
    fn expressions_match_as_in_python() {
        let cases = [
            (r"a{2,3}", "baaaa", Some((1, 4))),
            (r"a{2,3}?b", "aaab", Some((0, 4))),
            (r"[^\W\d_]+", "1_é9", Some((2, 4))),
            (r"(?i)[a-c]x", "BX", Some((0, 2))),
            (r"(?i)k", "\u{212a}", Some((0, 3))),
            (r"(?:ab|a)(?:c|bd)", "abd", Some((0, 3))),
            (r"(?<=[?&])key", "key&key", Some((4, 7))),
            (r"(?<!\d)12(?!\d)", "312 12", Some((4, 6))),
            (r"a\Z", "a\n", None),
            (r"\bx", "ax x", Some((3, 4))),
            (r"(?:a|b)*c", "ababc", Some((0, 5))),
            (r"[])]+", "a])", Some((1, 3))),
            (r"[A-Z_-]+", "a-B_", Some((1, 4))),
            (r"^a|b", "cab", Some((2, 3))),
            (r"\uff1a", "x：", Some((1, 4))),
            (r"(?:x?){2}y", "xy", Some((0, 2))),
        ];
        for (source, text, expected) in cases {
            assert_eq!(span(source, text), expected, "{source} in {text:?}");
        }
    }

    #[test]
    fn groups_are_those_of_the_last_round() {
        let pattern = Pattern::new(r"(?P<a>\w)(?:-(?P<b>\d+))?");
        let found = pattern.find("x-12", 0).unwrap();
        assert_eq!(found.group(pattern.number("a")), Some((0, 1)));
        assert_eq!(found.group_text(pattern.number("b"), "x-12"), "12");
        assert_eq!(pattern.find("x-y", 0).unwrap().group(2), None);
    }

    #[test]
    fn all_matches_are_found_in_order() {
        let pattern = Pattern::new(r"\d*");
        let spans: Vec<_> = pattern.all("1a23").map(|found| found.span()).collect();
        assert_eq!(spans, [(0, 1), (1, 1), (2, 4), (4, 4)]);
        assert!(Pattern::new("a|ab").is_all("ab"));
    }
}
