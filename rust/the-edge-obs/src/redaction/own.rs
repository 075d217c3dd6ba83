//! Patterns of a configuration: regular expressions, written as for Python, and matched as Python matches them.

use std::ops::Range;

use regex::Regex;

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

    /// Returns a text with a mask in place of each match; `None` if there is no match. A placeholder stays whole.
    pub fn masked(&self, text: &str, mask: &dyn Fn(&str) -> String) -> Option<String> {
        let masked = |text: &str| {
            if !self.regex.is_match(text) {
                return None;
            }
            let kept = placeholders(text);
            let mask = |found: &regex::Captures| match found.get(0) {
                Some(found) if is_inside(&kept, found.range()) => found.as_str().to_owned(),
                Some(found) if !found.is_empty() => mask(found.as_str()),
                _ => String::new(),
            };
            Some(self.regex.replace_all(text, mask).into_owned())
        };
        let body = text.strip_suffix('\n').filter(|_| self.has_end);
        let before = body.and_then(masked).map(|clean| clean + "\n");
        masked(before.as_deref().unwrap_or(text)).or(before)
    }
}

/// Returns where placeholders of secrets stand in a text, in order.
fn placeholders(text: &str) -> Vec<Range<usize>> {
    let starts = text.match_indices("[REDACTED").map(|(start, _)| start);
    let ends = starts.filter_map(|start| {
        let rest = &text[start + "[REDACTED".len()..];
        let digest = rest.strip_prefix(':').and_then(|rest| rest.get(..DIGITS));
        let is_digest = |digest: &&str| digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let length = digest.filter(is_digest).map_or(0, |_| DIGITS + 1);
        let end = start + "[REDACTED".len() + length + 1;
        rest[length..].starts_with(']').then_some(start..end)
    });
    ends.collect()
}

fn is_inside(spans: &[Range<usize>], inner: Range<usize>) -> bool {
    let at = spans.partition_point(|span| span.end < inner.end);
    spans.get(at).is_some_and(|span| span.start <= inner.start)
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
        let pattern = OwnPattern::new(source).unwrap();
        pattern
            .masked(text, &|_| "#".to_owned())
            .unwrap_or_else(|| text.to_owned())
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
        assert_eq!(
            clean("[A-Z]{8}|[0-9]{2}", text),
            "[REDACTED:0123456789ab] [REDACTED] # [#:x] #"
        );
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
