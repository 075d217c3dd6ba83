//! Patterns of a configuration: regular expressions, written as for Python, and matched as Python matches them.

use regex::Regex;

use super::shapes::Span;

/// Hexadecimal digits in the placeholder of a secret that is told from others.
const DIGITS: usize = 12;

/// What a configuration counts as a secret by its shape.
#[derive(Debug, Clone)]
pub(super) struct OwnPattern {
    /// As it was written.
    pub source: Box<str>,
    regex: Regex,
    /// Whether a `$` is in it, which in Python also stands before a last line break.
    has_end: bool,
}

impl OwnPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// If it is none, or has what this runtime does not know: the error says what, on one line.
    pub fn new(source: &str) -> Result<OwnPattern, String> {
        let (translated, has_end) = translated(source)?;
        let regex = Regex::new(&translated).map_err(|error| reason(&error))?;
        Ok(OwnPattern {
            source: source.into(),
            regex,
            has_end,
        })
    }

    /// Tells whether the pattern matches an empty text.
    pub fn matches_nothing(&self) -> bool {
        self.regex.is_match("")
    }

    /// Returns where the pattern matches something in a text.
    pub fn spans(&self, text: &str) -> Vec<Span> {
        let all = |text: &str| {
            let found = self
                .regex
                .find_iter(text)
                .map(|found| (found.start(), found.end()));
            found
                .filter(|(start, end)| start < end)
                .collect::<Vec<Span>>()
        };
        // A `$` also stands before a last line break.
        let body = text.strip_suffix('\n').filter(|_| self.has_end);
        let mut spans = body.map_or_else(Vec::new, all);
        let first = spans.len();
        for (start, end) in all(text) {
            if spans[..first]
                .iter()
                .all(|span| end <= span.0 || span.1 <= start)
            {
                spans.push((start, end));
            }
        }
        spans
    }
}

/// Returns where placeholders of secrets stand in a text, in order.
pub(super) fn placeholders(text: &str) -> Vec<Span> {
    let starts = text.match_indices("[REDACTED").map(|(start, _)| start);
    let ends = starts.filter_map(|start| {
        let rest = &text[start + "[REDACTED".len()..];
        let digest = rest.strip_prefix(':').and_then(|rest| rest.get(..DIGITS));
        let is_digest = |digest: &&str| digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let length = digest.filter(is_digest).map_or(0, |_| DIGITS + 1);
        let end = start + "[REDACTED".len() + length + 1;
        rest[length..].starts_with(']').then_some((start, end))
    });
    ends.collect()
}

fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    let problem = last.trim().trim_start_matches("error: ");
    format!("{problem} (this runtime knows no look-around, no back-references and no conditions, which Python has)")
}

/// Adds what stands behind a backslash: Python takes a letter or digit for a class, and everything else for itself.
fn push_escaped(out: &mut String, next: Option<char>, in_class: bool) {
    match next {
        Some('Z') if !in_class => out.push_str(r"\z"),
        Some(' ') => out.push_str(r"\x20"),
        Some(next) if next.is_ascii_alphanumeric() => out.extend(['\\', next]),
        Some(next) => out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4]))),
        None => out.push('\\'),
    }
}

/// Returns a pattern of Python as the crate `regex` writes it, and whether a bare `$` is in it.
fn translated(source: &str) -> Result<(String, bool), String> {
    let (mut out, mut has_end) = (String::with_capacity(source.len()), false);
    let mut chars = source.chars().peekable();
    let (mut in_class, mut is_first) = (false, false);
    while let Some(char) = chars.next() {
        let was_first = std::mem::take(&mut is_first);
        let is_doubled = chars.peek() == Some(&char);
        match char {
            '\\' => push_escaped(&mut out, chars.next(), in_class),
            '[' if !in_class => {
                (in_class, is_first) = (true, true);
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ']' if in_class && was_first => out.push_str(r"\]"),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '[' => out.push_str(r"\["),
            '&' | '~' | '-' if in_class && is_doubled => {
                return Err(format!("'{char}{char}' in a class of characters means different things to different runtimes; put a backslash before each"));
            }
            '{' if !in_class && chars.peek() == Some(&',') => out.push_str("{0"),
            '$' if !in_class => {
                has_end = true;
                out.push('$');
            }
            char => out.push(char),
        }
    }
    Ok((out, has_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(source: &str, text: &str) -> String {
        let mut clean = text.to_owned();
        for (start, end) in OwnPattern::new(source)
            .unwrap()
            .spans(text)
            .into_iter()
            .rev()
        {
            clean.replace_range(start..end, "#");
        }
        clean
    }

    #[test]
    fn patterns_match_as_in_python() {
        let cases = [
            ("AC-[0-9]{6}", "AC-123456 AC-12345", "# AC-12345"),
            ("(?i)ab+", "xABBa", "x#a"),
            (r"[]a]+|[^]b]c", "]a xc ]c", "# # #c"),
            (r"[[a]x", "[x ax", "# #"),
            (r"\<a\>\ \-", "<a> - a", "# a"),
            ("x{,2}y", "xxxyz", "x#z"),
            (r"a\Z", "aa\n", "aa\n"),
            ("a$", "aa\n", "a#\n"),
            ("(?m)a$", "a\na\n", "#\n#\n"),
            ("a$|\\n", "a\n", "##"),
            (r"\d+|é", "١é", "##"),
            (r"\u00e9", "é", "#"),
        ];
        for (source, text, expected) in cases {
            assert_eq!(clean(source, text), expected, "{source}");
        }
        let text = "[REDACTED:0123456789ab] [REDACTED] REDACTED [REDACTED:x] 12";
        let found: Vec<&str> = placeholders(text)
            .into_iter()
            .map(|(start, end)| &text[start..end])
            .collect();
        assert_eq!(found, ["[REDACTED:0123456789ab]", "[REDACTED]"]);
        assert!(OwnPattern::new("a*").unwrap().matches_nothing());
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_reason() {
        let cases = [
            ("a(", "unclosed group"),
            (
                "(?<=a)b",
                "look-around, including look-ahead and look-behind, is not supported",
            ),
            (r"(a)\1", "backreferences are not supported"),
            ("[a&&b]", "'&&' in a class"),
            ("[a--z]", "'--' in a class"),
            ("a{1000}{1000}{1000}", "size limit"),
            ("(?(1)a|b)", "unrecognized flag"),
            ("\\", "incomplete escape sequence"),
        ];
        for (source, expected) in cases {
            let reason = OwnPattern::new(source).unwrap_err();
            assert!(
                reason.contains(expected) && !reason.contains('\n'),
                "{source}: {reason}"
            );
        }
    }
}
