//! Secrets in texts that need no name before them: known formats, key blocks, URLs, schemes, programs' flags.
//!
//! Every search is bounded, or goes on behind what the one before has looked at: the time is linear in the text.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::OnceLock;

use super::chars::{all_alpha, all_digits, back, char_at, find, forward, has_digit, is_longer};
use super::pattern::{patterns, Pattern};
use super::tables::tables;
use super::values::{is_blank, is_key_like, is_random, look_of, Look};

/// Where a secret begins and ends in a text, in bytes.
pub(super) type Span = (usize, usize);

/// The fewest characters of a secret of a known format.
pub(super) const SHORTEST_FORMAT: usize = 14;
const LONGEST: usize = 255; // characters from which on no maker of keys means an exact length

struct Format {
    beginning: &'static str,
    rest: String,
    pattern: OnceLock<Pattern>,
    is_loose: bool,
    is_open: bool,
}

impl Format {
    fn pattern(&self) -> &Pattern {
        self.pattern.get_or_init(|| Pattern::new(&self.rest))
    }
}

/// Returns the formats by the first two characters of what they begin with.
fn formats() -> &'static HashMap<&'static str, Vec<Format>> {
    static FORMATS: OnceLock<HashMap<&'static str, Vec<Format>>> = OnceLock::new();
    FORMATS.get_or_init(|| {
        let mut table: HashMap<&'static str, Vec<Format>> = HashMap::new();
        for (beginning, rest, is_loose) in &tables().formats {
            let counted = rest
                .strip_suffix('}')
                .and_then(|rest| rest.rsplit_once(','));
            let most = counted.and_then(|(_, most)| most.parse::<usize>().ok());
            let is_open = most.is_some_and(|most| most >= LONGEST);
            let rest = if is_open {
                rest.to_string()
            } else {
                format!("{rest}(?![A-Za-z0-9])")
            };
            table.entry(&beginning[..2]).or_default().push(Format {
                beginning,
                rest,
                pattern: OnceLock::new(),
                is_loose: *is_loose,
                is_open,
            });
        }
        table
    })
}

/// Returns the expressions of secrets that are known by what stands in their middle, in the order of the table.
fn inner_patterns() -> &'static [Pattern] {
    static PATTERNS: OnceLock<Vec<Pattern>> = OnceLock::new();
    PATTERNS.get_or_init(|| {
        let formats = tables().inner_formats.iter();
        formats
            .map(|(_, _, _, whole)| Pattern::new(whole))
            .collect()
    })
}

fn dotted() -> &'static Pattern {
    static DOTTED: OnceLock<Pattern> = OnceLock::new();
    DOTTED.get_or_init(|| Pattern::new(&format!("{}(?![A-Za-z0-9_-])", tables().dotted)))
}

patterns! {
    authority = r#"[^\s"<>`\\]{1,8192}"#;
    port = r"\d{1,5}(?:[/?#]|\Z)";
    host_like = r"[A-Za-z0-9\[$%{<]";
    not_password = r"\[REDACTED|\*+\Z|\$\{?\w+\}?\Z|<[\w -]+>\Z|\{[\w.]*\}\Z|%s\Z|\.{3}\Z";
    encoded = r#"(?i)%3a%2f%2f[^%\s"'<>]{0,256}%3a((?:[^\s%"'<>]|%(?!40|2f)){1,1024})%40"#;
    bearer = r"(?i)\b(?:bearer|basic)[ \t]{1,8}([a-z0-9._~+/=-]{8,4096})";
    key_parameter = r"(?i)(?<=[?&])(?:key|code)=([\w.~-]{20,512})";
    curl = r#"(?:^|\s)(?:-[A-Za-z]{0,6}u|--user|--proxy-user|-U)[ =]{0,4}["']?(?P<u>[^\s:"']{1,128}):(?P<s>[^\s"']{1,512})"#;
    wget = r#"(?:^|\s)--(?:http-|ftp-|proxy-)?password[ =]{1,4}(?P<u>)["']?(?P<s>[^\s"']{1,512})"#;
    sshpass = r#"\s-p[ ]{0,4}(?P<u>)["']?(?P<s>[^\s"']{1,512})"#;
    mysql = r#"mysql(?:dump|admin|import|sh)?[ ][^\n|;&]{0,200}?[ ]-p(?!ort|rot|rint|lug|ath)(?P<u>)["']?(?P<s>[^\s"'-][^\s"']{2,512})"#;
    redis = r#"\s-a[ ]{1,4}(?P<u>)["']?(?P<s>[^\s"']{3,512})"#;
    docker = r#"\s-p[ ]{1,4}(?P<u>)["']?(?P<s>[^\s"']{3,512})"#;
    secure_string = r#"(?i)securestring[ ]{1,4}(?:-string[ ]{1,4})?(?P<u>)["'](?P<s>[^"'\r\n]{1,512})"#;
    htpasswd = r"\s-[A-Za-z]{0,4}b[A-Za-z]{0,4}\s{1,4}\S{1,200}\s{1,4}(?P<u>\S{1,64})\s{1,4}(?P<s>\S{3,200})";
    smbclient = r#"\s-U[ ]{0,4}["']?(?P<u>[^\s%"']{1,64})%(?P<s>[^\s"']{3,200})"#;
    http = r#"\s(?:-a|--auth)[ =]{1,4}["']?(?P<u>[^\s:"']{1,128}):(?P<s>[^\s"']{1,512})"#;
    identified = r#"(?i)identified[ ]{1,4}by[ ]{1,4}(?:password[ ]{1,4})?(?P<u>)["'](?P<s>[^"'\r\n]{1,512})"#;
}

/// Adds secrets whose format is known: the beginnings of long words, and of their parts, are looked up in a table.
pub(super) fn by_format(text: &str, spans: &mut Vec<Span>) {
    for (start, end) in long_words(text) {
        let mut at = start;
        while at < end {
            if let Some(stop) = format_end(text, at, at == start) {
                spans.push((at, stop));
                at = stop;
            }
            match behind_joint(text, at, end) {
                Some(behind) => at = behind,
                None => break,
            }
        }
    }
    for (format, pattern) in tables().inner_formats.iter().zip(inner_patterns()) {
        let (inner, before, behind, _) = format;
        if !text.contains(&**inner) {
            continue; // seen faster than by a search for its place
        }
        let mut next = text.find(&**inner);
        while let Some(at) = next {
            let window = &text[..forward(text, at, *behind)];
            let found = pattern.find(window, back(text, at, *before));
            let mut from = at + inner.len();
            if let Some(found) = found {
                spans.push(found.span());
                from = from.max(found.end);
            }
            next = find(text, inner, from, text.len());
        }
    }
}

/// By byte, whether it is part of a word in which a secret of a known format can begin.
const IS_OF_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let char = byte as u8;
        let is_sign = matches!(char, b'_' | b'.' | b'~' | b'$' | b'-');
        table[byte] = char.is_ascii_alphanumeric() || is_sign;
        byte += 1;
    }
    table
};

/// Returns the words in which secrets of known formats can begin: what `[A-Za-z0-9_.~$-]{5,}|1//0` matches.
fn long_words(text: &str) -> impl Iterator<Item = Span> + '_ {
    let is_of_word = |byte: &u8| IS_OF_WORD[usize::from(*byte)];
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || loop {
        let start = at + bytes[at..].iter().position(is_of_word)?;
        let length = bytes[start..]
            .iter()
            .take_while(|byte| is_of_word(byte))
            .count();
        at = start + length;
        if length >= 5 {
            return Some((start, at));
        }
        let slashes = (start..at).find(|at| bytes[*at..].starts_with(b"1//0"));
        if let Some(start) = slashes {
            at = start + 4;
            return Some((start, at));
        }
    })
}

/// Returns where a part of a word begins, behind the signs that join it to the part before: what follows `[-_.]+`.
fn behind_joint(text: &str, at: usize, end: usize) -> Option<usize> {
    let is_joint = |byte: &u8| b"-_.".contains(byte);
    let word = text.as_bytes().get(at..end)?;
    let joint = word.iter().position(is_joint)?;
    let length = word[joint..]
        .iter()
        .take_while(|byte| is_joint(byte))
        .count();
    Some(at + joint + length)
}

/// Returns where a secret of a known format ends that begins at a place.
fn format_end(text: &str, at: usize, is_start: bool) -> Option<usize> {
    let first = text.get(at..at + 2)?;
    for format in formats().get(first).map_or(&[][..], Vec::as_slice) {
        if !text[at..].starts_with(format.beginning) || (format.is_loose && !is_start) {
            continue;
        }
        let Some(found) = format.pattern().at(text, at + format.beginning.len()) else {
            continue;
        };
        let rest = found.text(text);
        if is_blank(rest) || (format.is_loose && !is_key_like(rest)) {
            continue;
        }
        if !format.is_open {
            return Some(found.end);
        }
        // One that goes on behind the longest that was seen goes whole.
        let more = text[found.end..].bytes();
        let more = more.take_while(u8::is_ascii_alphanumeric).count();
        return Some(found.end + more);
    }
    if first.starts_with(['M', 'N', 'O']) {
        return dotted().at(text, at).map(|found| found.end);
    }
    None
}

const BEGIN: &str = "-----BEGIN ";

/// Adds private keys in PEM (RFC 7468) and PGP armour (RFC 9580), whole or cut off at the end.
pub(super) fn key_blocks(text: &str, spans: &mut Vec<Span>) {
    let mut next = text.find(BEGIN);
    while let Some(at) = next {
        let limit = forward(text, at, 90);
        let title = find(text, "-----", at + BEGIN.len(), limit)
            .unwrap_or_else(|| back(text, text.len(), 1));
        if !text[at..title].contains("PRIVATE KEY") {
            next = find(text, BEGIN, at + BEGIN.len(), text.len());
            continue;
        }
        let end = find(text, "-----END ", at, text.len());
        let closing = end.and_then(|end| find(text, "-----", end + 9, forward(text, end, 90)));
        let stop = closing.map_or(text.len(), |closing| closing + 5);
        spans.push((at, stop));
        next = find(text, BEGIN, stop, text.len());
    }
}

/// Adds passwords, and tokens in the place of the user, of URLs (RFC 3986, section 3.2.1).
pub(super) fn in_urls(text: &str, spans: &mut Vec<Span>) {
    let mut next = text.find("://");
    while let Some(at) = next {
        let start = at + 3;
        next = find(text, "://", start, text.len());
        let window = &text[..next.unwrap_or(text.len())];
        if let Some(rest) = authority().at(window, start) {
            user_info(rest.text(text), start, spans);
        }
    }
}

/// Adds passwords of URLs that are part of another URL, percent-encoded (RFC 3986, section 2.1).
pub(super) fn in_encoded_urls(text: &str, spans: &mut Vec<Span>) {
    spans.extend(encoded().all(text).filter_map(|found| found.group(1)));
}

fn user_info(rest: &str, start: usize, spans: &mut Vec<Span>) {
    let host = rest.find(['/', '?', '#']);
    let mut sign = rest[..host.unwrap_or(rest.len())].rfind('@');
    let colon = rest.find(':');
    if let Some(colon) = colon {
        let is_before = host.is_none_or(|host| colon < host);
        if sign.is_none() && is_before && port().at(rest, colon + 1).is_none() {
            sign = rest.rfind('@'); // a password with a slash in it
        }
    }
    let Some(sign) = sign.filter(|sign| *sign > 0) else {
        return;
    };
    if host_like().at(rest, sign + 1).is_none() {
        return;
    }
    match colon.filter(|colon| *colon < sign) {
        Some(colon) => {
            if colon + 1 < sign && !not_password().begins(&rest[colon + 1..sign]) {
                spans.push((start + colon + 1, start + sign));
            }
            if colon > 0 && is_random(&rest[..colon]) {
                spans.push((start, start + colon));
            }
        }
        None => {
            if !rest[..sign].contains("%40") && is_random(&rest[..sign]) {
                spans.push((start, start + sign));
            }
        }
    }
}

/// Adds what follows `Bearer` and `Basic` (RFC 6750, RFC 7617) and looks like credentials.
pub(super) fn schemes(text: &str, spans: &mut Vec<Span>) {
    for found in bearer().all(text) {
        let whole = found.group_text(1, text);
        let value = whole.trim_end_matches(['.', '=']);
        let look = look_of(value);
        let is_sure = look == Look::Secret && has_digit(value);
        let least = if all_alpha(value) { 20 } else { 10 };
        let is_opaque = found.text(text).starts_with("Bearer")
            && look != Look::Ordinary
            && value.len() >= least;
        let is_padded = whole.ends_with('=') && !value.contains('=') && value.len() >= 12;
        if is_sure || is_opaque || is_random(value) || is_padded {
            spans.extend(found.group(1));
        }
    }
}

/// Adds what looks generated in a query's parameter `key`; short values, and words, name things.
pub(super) fn key_parameters(text: &str, spans: &mut Vec<Span>) {
    for found in key_parameter().all(text) {
        if is_random(found.group_text(1, text)) {
            spans.extend(found.group(1));
        }
    }
}

/// The name of a program in lower case, what stands in each of its flags, and the expression of the flags.
type Command = (&'static str, &'static str, fn() -> &'static Pattern);

const COMMANDS: [Command; 11] = [
    ("curl", "-", curl),
    ("wget", "--", wget),
    ("sshpass", "-p", sshpass),
    ("mysql", "-p", mysql),
    ("redis-cli", "-a", redis),
    ("docker login", "-p", docker),
    ("securestring", "", secure_string),
    ("htpasswd", "-", htpasswd),
    ("smbclient", "-U", smbclient),
    ("http", "-a", http),
    ("identified by", "", identified),
];

/// Returns the names of the programs, in lower case, whose flags are looked at.
pub(super) fn programs() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(program, _, _)| *program)
}

/// Adds passwords that programs take as flags. `may_run` tells of a program, by its number, whether it may be named.
pub(super) fn commands(text: &str, may_run: impl Fn(usize) -> bool, spans: &mut Vec<Span>) {
    let folded = OnceCell::new();
    let names = |program: &str| folded.get_or_init(|| text.to_lowercase()).contains(program);
    for (number, (program, mark, flag)) in COMMANDS.into_iter().enumerate() {
        if !may_run(number) || !text.contains(mark) || !names(program) {
            continue;
        }
        let pattern = flag();
        let (u, s) = (pattern.number("u"), pattern.number("s"));
        for found in pattern.all(text) {
            let (user, secret) = (found.group_text(u, text), found.group_text(s, text));
            let are_numbers = all_digits(user) && all_digits(secret);
            if !are_numbers && !not_password().begins(secret) && !user.starts_with('<') {
                spans.extend(found.group(s));
            }
        }
    }
}

/// Tells whether a word is as long as the shortest secret of a known format.
pub(super) fn is_long_enough(word: &str) -> bool {
    is_longer(word, SHORTEST_FORMAT - 1)
}

/// Tells whether the character at a place is an upper-case letter.
pub(super) fn is_upper_at(text: &str, at: usize) -> bool {
    char_at(text, at).is_some_and(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_format_compiles() {
        for format in formats().values().flatten() {
            format.pattern();
        }
        assert_eq!(inner_patterns().len(), tables().inner_formats.len());
        dotted();
    }

    proptest! {
        #[test]
        fn words_are_those_of_the_expressions(text in "[a1/0_.~ é-]{0,40}|(1//0|a1//0|[.-]{1,3}|\\PC{0,6}){0,9}") {
            let (long, joint) = (Pattern::new("[A-Za-z0-9_.~$-]{5,}|1//0"), Pattern::new("[-_.]+"));
            let words: Vec<Span> = long_words(&text).collect();
            let expected: Vec<Span> = long.all(&text).map(|found| found.span()).collect();
            prop_assert_eq!(&words, &expected);
            for (start, end) in words {
                for at in start..end {
                    let expected = joint.find(&text[..end], at).map(|found| found.end);
                    prop_assert_eq!(behind_joint(&text, at, end), expected);
                }
            }
        }
    }
}
