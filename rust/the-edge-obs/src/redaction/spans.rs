//! The extent of a secret value in a text: inside quotes, a word, a header's line, a block; and whether it is one.
//!
//! Every function looks at a bounded number of characters, or gives back what it has looked at: the time is linear in the text.

use super::chars::{back, char_before, find, forward, is_longer, is_space, len, rfind, strip};
use super::keys::{is_path, looks_secret, Verdict};
use super::pattern::patterns;
use super::shapes::Span;
use super::tables::tables;
use super::values::{is_blank, is_digits, look_of, Look};

/// Characters within which a quote is expected to close.
pub(super) const MAX_VALUE: usize = 8_192;
/// Characters of a value that can be ordinary.
pub(super) const MAX_ORDINARY: usize = 256;

patterns! {
    /// Quotes, with the backslashes before them, and as HTML, URLs and JSON write them.
    delimiter = r#"(?:\\{0,8}["'`])|&(?:quot|apos|#34|#39|#x22|#x27|#X27);|%22|%27|\\u002[27]"#;
    prefix = r#"(?:[bBrRuUfFNE@$]{0,2}|(?:string|object)\(\d{1,6}\) )(?=\\{0,8}["'`])"#;
    line_of = r"[^\r\n]{3,2048}";
    scheme = r"[A-Za-z][\w-]{0,40}";
    cookie_pairs = r#"[^\s"',;]{3,4096}(?:; ?[^\s"',;=]{1,128}=[^\s"',;]{0,4096}){0,64}"#;
}

/// A name in a text: where it begins and ends, what it is called, and what that says of the value beside it.
pub(super) struct Name<'t> {
    pub start: usize,
    pub end: usize,
    pub text: &'t str,
    pub verdict: Verdict,
}

/// Returns the span of a value without the blanks around it, if the name and what it looks like make it a secret.
pub(super) fn judged(
    text: &str,
    name: &Name<'_>,
    start: usize,
    end: usize,
    least: Look,
) -> Option<Span> {
    let blanks = [' ', '\t', '\r', '\n'];
    let inner = text.get(start..end.max(start))?;
    let start = start + inner.len() - inner.trim_start_matches(blanks).len();
    let value = inner.trim_matches(blanks);
    let end = start + value.len();
    if !is_longer(value, 2) {
        return None;
    }
    if is_longer(value, MAX_ORDINARY) {
        return Some((start, end));
    }
    let mut least = least;
    match name.verdict {
        Verdict::Weak => {
            let is_secret = looks_secret(value, name.text) && !value.starts_with("[REDACTED");
            return is_secret.then_some((start, end));
        }
        Verdict::Token => {
            if !(least == Look::Word && len(value) >= 8) {
                least = Look::Secret;
            }
            if is_digits(value) && len(value) < 6 {
                return None;
            }
        }
        _ => {}
    }
    (!is_path(name.text, value) && look_of(value) >= least).then_some((start, end))
}

/// Tells whether a quote opens at a place, with what languages write before one: `b"`, `N'`, `string(4) "`.
pub(super) fn starts_quoted(text: &str, at: usize) -> bool {
    prefix().at(text, at).is_some() || is_delimiter(text, at)
}

pub(super) fn is_delimiter(text: &str, at: usize) -> bool {
    delimiter().at(text, at).is_some()
}

/// Returns the span inside the quotes at a place, whole, or down to the end of the line where they do not close.
pub(super) fn quoted(text: &str, name: &Name<'_>, at: usize, least: Look) -> Option<Span> {
    let at = prefix().at(text, at).map_or(at, |found| found.end);
    let opening = delimiter().at(text, at)?;
    let mark = opening.text(text);
    let three = mark.repeat(3);
    if mark.len() == 1 && text[at..].starts_with(&three) {
        let start = at + 3;
        let stop = find(text, &three, start, forward(text, start, MAX_VALUE));
        return judged(text, name, start, stop.unwrap_or(text.len()), least);
    }
    let start = opening.end;
    if let Some(stop) = closing(text, mark, start) {
        return judged(text, name, start, stop, least);
    }
    let stop = find(text, "\n", start, text.len()).unwrap_or(text.len());
    let is_secret = is_longer(&text[start..stop], 2) && !text[start..].starts_with("[REDACTED");
    is_secret.then_some((start, stop))
}

/// Returns where a quote closes: at the same mark with no more backslashes before it than the opening one has.
fn closing(text: &str, mark: &str, start: usize) -> Option<usize> {
    let sign = mark.chars().next_back()?;
    let is_plain = matches!(sign, '"' | '\'' | '`') && mark.starts_with(['\\', sign]);
    let mut limit = forward(text, start, MAX_VALUE);
    if sign != '`' {
        limit = find(text, "\n", start, limit).unwrap_or(limit);
    }
    if !is_plain {
        return find(text, mark, start, limit);
    }
    let slashes = mark.len() - 1;
    let bytes = text.as_bytes();
    let mut from = start;
    while let Some(offset) = text[from..limit].find(sign) {
        let at = from + offset;
        let mut before = at;
        while before > start && bytes[before - 1] == b'\\' {
            before -= 1;
        }
        let count = at - before;
        if slashes > 0 && count <= slashes {
            return Some(before);
        }
        if slashes == 0 && count % 2 == 0 {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// Returns the span of credentials in an Authorization header (RFC 9110, section 11.6.2), the scheme included.
///
/// `before` is where the header's name begins: a quote before it closes behind the value.
pub(super) fn authorization(text: &str, start: usize, before: usize) -> Option<Span> {
    if let Some(opening) = delimiter().at(text, start) {
        let stop = closing(text, opening.text(text), opening.end);
        let (start, end) = (opening.end, stop.unwrap_or(text.len()));
        return is_credentials(&text[start..end]).then_some((start, end));
    }
    let line = line_of().at(text, start)?;
    let quote = char_before(text, before).filter(|char| matches!(char, '\'' | '"'));
    let stop = quote
        .and_then(|quote| find(text, &quote.to_string(), start, line.end))
        .unwrap_or(line.end);
    if !is_credentials(&text[start..stop]) {
        return None;
    }
    let words: Vec<&str> = text[start..stop].splitn(3, ' ').collect();
    let mut end = start + words[0].len();
    if words.len() > 1 && scheme().is_all(words[0]) {
        end += 1 + words[1].len();
        let is_parametrised = matches!(
            &*words[0].to_lowercase(),
            "digest" | "aws4-hmac-sha256" | "hawk" | "oauth" | "signature"
        );
        if is_parametrised || words[1].trim_end_matches('=').contains('=') {
            return Some((start, stop));
        }
    }
    let kept = text[..end].trim_end_matches(['"', '\'', ',', ';']).len();
    Some((start, without_closers(text, start, kept)))
}

fn is_credentials(value: &str) -> bool {
    if value.trim_start_matches(is_space).starts_with("[REDACTED") {
        return false;
    }
    let words: Vec<&str> = value
        .splitn(4, ' ')
        .take(3)
        .map(|word| word.trim_matches(['"', '\'', ',', ';']))
        .collect();
    let has_scheme = words.len() > 1 && scheme().is_all(words[0]);
    if has_scheme
        && tables().has("schemes", &words[0].to_lowercase())
        && look_of(words[1]) != Look::Ordinary
        && !is_blank(words[1])
    {
        return true;
    }
    let count = if has_scheme { 2 } else { 1 };
    words
        .iter()
        .take(count)
        .any(|word| look_of(word) == Look::Secret)
}

/// Returns the span of a Cookie or Set-Cookie header (RFC 6265): its pairs, attributes included.
pub(super) fn cookie(text: &str, start: usize) -> Option<Span> {
    let start = delimiter()
        .at(text, start)
        .map_or(start, |opening| opening.end);
    let found = cookie_pairs().at(text, start)?;
    let value = found.text(text);
    let is_secret =
        !value.starts_with("[REDACTED") && (value.contains('=') || look_of(value) == Look::Secret);
    is_secret.then_some(found.span())
}

fn indent_of(text: &str) -> usize {
    text.len() - text.trim_start_matches(' ').len()
}

/// Returns the span of a block scalar of YAML: the lines that are indented further than the name's.
pub(super) fn indented(text: &str, name: &Name<'_>, start: usize) -> Option<Span> {
    let from = back(text, name.start, 256);
    let line = rfind(text, "\n", from, name.start).map_or(0, |newline| newline + 1);
    let indent = indent_of(&text[line..name.start]);
    let (mut at, mut end) = (start, start);
    while at < text.len() {
        let stop = find(text, "\n", at, text.len()).unwrap_or(text.len());
        let row = &text[at..stop.min(forward(text, at, 256))];
        let is_empty = strip(row).is_empty();
        if !is_empty && indent_of(row) <= indent {
            break;
        }
        if !is_empty {
            end = stop;
        }
        at = stop + 1;
    }
    let block = &text[start..end];
    let inner = block.trim_start_matches(is_space);
    (!inner.is_empty()).then_some((start + block.len() - inner.len(), end))
}

/// Returns the end of a word without sentence marks and without brackets that it does not open.
pub(super) fn without_closers(text: &str, start: usize, end: usize) -> usize {
    let marks = ['.', '!', '?', ':'];
    let mut word = text.get(start..end).unwrap_or("");
    while let Some(last) = word.chars().next_back() {
        let opener = match last {
            '.' | '!' | '?' | ':' => {
                word = word.trim_end_matches(marks);
                continue;
            }
            ')' => '(',
            ']' => '[',
            '}' => '{',
            _ => break,
        };
        if word.matches(last).count() <= word.matches(opener).count() {
            break;
        }
        word = &word[..word.len() - 1];
    }
    start + word.len()
}
