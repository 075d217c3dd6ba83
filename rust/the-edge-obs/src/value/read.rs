//! Reads strict JSON (RFC 8259), and says where a text is not.

use std::collections::HashSet;
use std::fmt;

use super::Key;
use super::Snap;

/// The deepest nesting of containers that is read, unless [`from_json_within`] is given another number.
pub const MAX_DEPTH: usize = 200;

/// The most digits of an integer. Python's reader has the same limit.
pub const MAX_DIGITS: usize = 4_300;

/// Where a text is not JSON, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong, in English, on one line.
    pub problem: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1, in code points.
    pub column: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}: line {} column {}",
            self.problem, self.line, self.column
        )
    }
}

impl std::error::Error for JsonError {}

/// Reads one JSON value, nested at most [`MAX_DEPTH`] deep.
///
/// # Errors
///
/// The text is not strict JSON: among other things it has a key twice in one object, half of a surrogate pair, a number that is
/// too large for a float, an integer of more than [`MAX_DIGITS`] digits, `NaN`, or something behind the value.
///
/// ```
/// use the_edge_obs::value::{from_json, Snap};
///
/// assert_eq!(from_json("[1, 1e2]").unwrap().to_json(), "[1,100.0]");
/// let error = from_json("{\"a\": 1,\n \"a\": 2}").unwrap_err();
/// assert_eq!(error.to_string(), "the key \"a\" stands twice in one object: line 2 column 2");
/// ```
pub fn from_json(text: &str) -> Result<Snap, JsonError> {
    from_json_within(text, MAX_DEPTH)
}

/// Reads one JSON value with another limit of nesting. One of 2,000 is safe on a stack of 2 MiB.
///
/// # Errors
///
/// As for [`from_json`].
pub fn from_json_within(text: &str, max_depth: usize) -> Result<Snap, JsonError> {
    read(text, max_depth, false)
}

/// Reads one JSON value in which a key may stand twice in one object: the last value counts, as RFC 8259 leaves open.
///
/// # Errors
///
/// As for [`from_json`], but for such a key.
///
/// ```
/// use the_edge_obs::value::{from_json_of_others, MAX_DEPTH};
///
/// let value = from_json_of_others(r#"{"a": 1, "b": 2, "a": 3}"#, MAX_DEPTH).unwrap();
/// assert_eq!(value.to_json(), r#"{"a":3,"b":2}"#);
/// ```
pub fn from_json_of_others(text: &str, max_depth: usize) -> Result<Snap, JsonError> {
    read(text, max_depth, true)
}

fn read(text: &str, max_depth: usize, keeps_last: bool) -> Result<Snap, JsonError> {
    let mut reader = Reader {
        text,
        at: 0,
        max_depth,
        is_lenient: false,
        keeps_last,
    };
    let read = reader.document();
    read.map_err(|(problem, at)| {
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        JsonError {
            problem,
            line,
            column: before[start..].chars().count() + 1,
        }
    })
}

/// Reads a value as other readers may: a key may stand twice, half of a surrogate pair becomes U+FFFD, and numbers may be out of
/// range or not finite.
pub(crate) fn from_lenient_json(text: &str) -> Option<Snap> {
    let mut reader = Reader {
        text,
        at: 0,
        max_depth: MAX_DEPTH,
        is_lenient: true,
        keeps_last: false,
    };
    reader.document().ok()
}

/// What is wrong, and the byte where.
type Problem = (String, usize);

struct Reader<'a> {
    text: &'a str,
    at: usize,
    max_depth: usize,
    is_lenient: bool,
    /// Whether a key may stand twice, and its last value counts.
    keeps_last: bool,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Snap, Problem> {
        self.blanks();
        let value = self.value(0)?;
        self.blanks();
        if self.at < self.text.len() {
            return Err(self.problem("there is something behind the value"));
        }
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn problem(&self, problem: &str) -> Problem {
        (problem.to_owned(), self.at)
    }

    fn value(&mut self, depth: usize) -> Result<Snap, Problem> {
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(|text| Snap::Str(text.into())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    /// Reads a value that is a word. It is apart from [`Reader::value`] so that a level of nesting takes little of the stack.
    fn word(&mut self) -> Result<Snap, Problem> {
        for (word, value, is_strict) in [
            ("null", Snap::Null, true),
            ("true", Snap::Bool(true), true),
            ("false", Snap::Bool(false), true),
            ("NaN", Snap::Null, false),
            ("Infinity", Snap::Null, false),
        ] {
            if (is_strict || self.is_lenient) && self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.problem("a value is expected"))
    }

    fn enter(&mut self, depth: usize) -> Result<(), Problem> {
        if depth >= self.max_depth {
            return Err(self.problem(&format!(
                "it nests deeper than {} containers",
                self.max_depth
            )));
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Snap, Problem> {
        self.enter(depth)?;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Snap::List(items.into()));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.ends(b']', "a comma or ] is expected")? {
                return Ok(Snap::List(items.into()));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Snap, Problem> {
        self.enter(depth)?;
        let mut pairs: Vec<(Key, Snap)> = Vec::new();
        let mut keys = HashSet::new();
        let mut stands_twice = false;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Snap::Map(pairs.into()));
        }
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.problem("a key in double quotes is expected"));
            }
            let key: Key = self.string()?.into();
            let is_known = if pairs.len() < 16 {
                pairs.iter().any(|(one, _)| *one == key)
            } else {
                if keys.is_empty() {
                    keys.extend(pairs.iter().map(|(one, _)| one.clone()));
                }
                !keys.insert(key.clone())
            };
            stands_twice |= is_known;
            if is_known && !self.is_lenient && !self.keeps_last {
                return Err((format!("the key {key:?} stands twice in one object"), start));
            }
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.problem("a colon is expected"));
            }
            self.at += 1;
            self.blanks();
            pairs.push((key, self.value(depth + 1)?));
            if self.ends(b'}', "a comma or } is expected")? {
                if stands_twice && self.keeps_last {
                    return Ok(Snap::map(pairs));
                }
                return Ok(Snap::Map(pairs.into()));
            }
        }
    }

    /// Reads a comma, or the end of a container, and tells whether it was the end.
    fn ends(&mut self, end: u8, problem: &str) -> Result<bool, Problem> {
        self.blanks();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.blanks();
                Ok(false)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.problem(problem)),
        }
    }

    fn string(&mut self) -> Result<String, Problem> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .bytes()
                .position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
            let Some(plain) = plain else {
                self.at = self.text.len();
                return Err(self.problem("a text does not end"));
            };
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => self.escape(&mut out)?,
                _ => return Err(self.problem("a control character stands in a text")),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), Problem> {
        let start = self.at;
        self.at += 2;
        out.push(match self.text.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start, out),
            _ => return Err(("an escape is not valid".to_owned(), start)),
        });
        Ok(())
    }

    fn unicode(&mut self, start: usize, out: &mut String) -> Result<(), Problem> {
        let alone = || ("half of a surrogate pair stands alone".to_owned(), start);
        let first = self.hex(start)?;
        let code = match first {
            0xd800..=0xdbff => {
                let next = self.at;
                let mut second = 0;
                if self.text[next..].starts_with("\\u") {
                    self.at += 2;
                    second = self.hex(start)?;
                }
                if !(0xdc00..=0xdfff).contains(&second) {
                    if self.is_lenient {
                        self.at = next;
                        out.push('\u{fffd}');
                        return Ok(());
                    }
                    return Err(alone());
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            0xdc00..=0xdfff if self.is_lenient => 0xfffd,
            other => other,
        };
        out.push(char::from_u32(code).ok_or_else(alone)?);
        Ok(())
    }

    fn hex(&mut self, start: usize) -> Result<u32, Problem> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| ("\\u needs four hexadecimal digits".to_owned(), start))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Snap, Problem> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.peek();
        let count = self.digits();
        if count == 0 || (count > 1 && first == Some(b'0')) {
            return Err(("a number is not valid".to_owned(), start));
        }
        let mut is_whole = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            is_whole = false;
            if self.digits() == 0 {
                return Err(("a number is not valid".to_owned(), start));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            is_whole = false;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(("a number is not valid".to_owned(), start));
            }
        }
        let text = &self.text[start..self.at];
        if is_whole {
            if count > MAX_DIGITS {
                return Err((
                    format!("an integer has more than {MAX_DIGITS} digits"),
                    start,
                ));
            }
            return Ok(text
                .parse()
                .map_or_else(|_| Snap::Big(text.into()), Snap::Int));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() || self.is_lenient => Ok(Snap::Float(number)),
            _ => Err(("a number is out of range".to_owned(), start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        from_json(text).unwrap_err().to_string()
    }

    #[test]
    fn values_are_read() {
        let text = " { \"a\" : [ null , true , false , -1 , 1.5e3 , \"\\u00e9\\ud83d\\ude00\\/\" ] , \"\" : {} } ";
        assert_eq!(
            from_json(text).unwrap().to_json(),
            "{\"a\":[null,true,false,-1,1500.0,\"é😀/\"],\"\":{}}"
        );
    }

    #[test]
    fn integers_of_any_size_keep_their_digits() {
        assert_eq!(from_json("-0").unwrap(), Snap::Int(0));
        assert_eq!(
            from_json("-9223372036854775808").unwrap(),
            Snap::Int(i64::MIN)
        );
        let large = "9223372036854775808";
        assert_eq!(from_json(large).unwrap(), Snap::Big(large.into()));
        let most = "7".repeat(MAX_DIGITS);
        assert_eq!(
            from_json(&most).unwrap(),
            Snap::Big(most.clone().into_boxed_str())
        );
        assert!(problem(&format!("{most}7")).starts_with("an integer has more than 4300 digits"));
    }

    #[test]
    fn what_is_not_strict_is_refused_with_its_place() {
        let cases = [
            ("", "a value is expected: line 1 column 1"),
            ("NaN", "a value is expected: line 1 column 1"),
            ("[1,]", "a value is expected: line 1 column 4"),
            ("{\"a\" 1}", "a colon is expected: line 1 column 6"),
            (
                "{a:1}",
                "a key in double quotes is expected: line 1 column 2",
            ),
            ("[1 2]", "a comma or ] is expected: line 1 column 4"),
            (
                "1 2",
                "there is something behind the value: line 1 column 3",
            ),
            ("01", "a number is not valid: line 1 column 1"),
            ("-", "a number is not valid: line 1 column 1"),
            ("1.", "a number is not valid: line 1 column 1"),
            ("1e", "a number is not valid: line 1 column 1"),
            ("1e999", "a number is out of range: line 1 column 1"),
            ("\"a", "a text does not end: line 1 column 3"),
            (
                "\"é\t\"",
                "a control character stands in a text: line 1 column 3",
            ),
            ("\"\\x\"", "an escape is not valid: line 1 column 2"),
            (
                "\"\\u12\"",
                "\\u needs four hexadecimal digits: line 1 column 2",
            ),
            (
                "\"\\ud800\"",
                "half of a surrogate pair stands alone: line 1 column 2",
            ),
            (
                "\"\\ud800\\u0041\"",
                "half of a surrogate pair stands alone: line 1 column 2",
            ),
            (
                "\"\\udc00\"",
                "half of a surrogate pair stands alone: line 1 column 2",
            ),
            (
                "[\n {\"b\":1,\n  \"b\":2}]",
                "the key \"b\" stands twice in one object: line 3 column 3",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(problem(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_among_many_is_found() {
        let pairs: Vec<String> = (0..40).map(|at| format!("\"k{at}\":{at}")).collect();
        assert!(from_json(&format!("{{{}}}", pairs.join(","))).is_ok());
        for twice in ["k0", "k16", "k39"] {
            let text = format!("{{{},\"{twice}\":0}}", pairs.join(","));
            assert!(problem(&text).contains("stands twice"));
        }
    }

    #[test]
    fn a_lenient_reader_takes_what_others_write() {
        let text = "[{\"a\":1,\"a\":2},\"\\ud800\\u0041\\udc00\",NaN,Infinity,1e999]";
        let value = from_lenient_json(text).unwrap();
        assert_eq!(
            value.to_json(),
            "[{\"a\":1,\"a\":2},\"\u{fffd}A\u{fffd}\",null,null,\"Infinity\"]"
        );
        assert_eq!(from_lenient_json("[1,]"), None);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(from_json(&nested(MAX_DEPTH)).is_ok());
        assert!(problem(&nested(MAX_DEPTH + 1)).starts_with("it nests deeper than 200 containers"));
        assert!(from_json(&"[".repeat(1_000_000)).is_err());
    }
}
