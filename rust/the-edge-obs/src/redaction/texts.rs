//! Secrets in texts: where they stand, found in one pass over names, URLs, long words and key blocks.
//!
//! [`secret_spans`] returns places, and nothing is replaced while it is searched: so no placeholder hides what stands behind it, and
//! a narrow shape (a known key format) cannot disarm the wider rule of the name before it.

use std::borrow::Cow;

use super::chars::{
    all_alnum, back, char_at, find, forward, is_longer, is_space, rfind, strip, tail, words,
};
use super::keys::{classify, KeyClasses, Verdict};
use super::ordinary::{is_known, is_ordinary};
use super::pattern::{patterns, Found, Pattern};
use super::runs::{runs, runs_at};
use super::shapes::{
    by_format, commands, in_encoded_urls, in_urls, is_long_enough, is_upper_at, key_blocks,
    key_parameters, schemes, Span,
};
use super::signs::{names_in, Signs};
use super::spans::{
    authorization, cookie, indented, is_delimiter, judged, quoted, starts_quoted, without_closers,
    Name, MAX_ORDINARY, MAX_VALUE,
};
use super::tables::tables;
use super::values::{is_identifier, is_mixed, is_random, look_of, look_of_bare, Look};

/// What stands for a secret.
pub const PLACEHOLDER: &str = "[REDACTED]";

const SHORTEST: usize = 7; // characters of the shortest text that holds a secret: pwd=abc
const MAX_NAME: usize = 96; // characters of a name in a text that are judged: its end, which stands beside the value

patterns! {
    before_key = r"(?:[^\W\d_]{1,16} ){1,2}\Z";
    close = r#"(?:\\{0,8}["'`]|&(?:quot|apos|#34|#39|#x22|#x27|#X27);|%22|%27|\\u002[27]|\*\*)?(?:[\])}]|%5[dD])?"#;
    separator = r"[ \t]{0,16}(?P<s>:{1,4}=|[-=]>|<-|\|\||[?.+|&]?={1,3}(?!>)|:(?![:/])|\uff1a|%3[dDaA]|&#61;|\\u003[dD])(?:%20|\+(?=%22)|\*\*)?[ \t]{0,16}";
    typed = r#"[ \t]{1,4}(?:As )?\*?[A-Za-z_][\w.\[\]<>*]{0,40}(?:\(\d{1,5}\))?[ \t]{0,4}=[ \t]{0,8}(?=["'`bruN@$])|[ \t]{0,4}:[ \t]{0,4}&?[A-Za-z_][\w.\[\]<>|?']{0,40}[ \t]{0,4}=[ \t]{0,8}(?=["'`bru@$])"#;
    element_end = r"(?:[ \t]{1,4}[^<>]{0,200})?>[ \t\r\n]{0,64}(?:<!\[CDATA\[)?";
    plist = r"</key>[ \t\r\n]{0,64}<string>";
    block = r"[ \t]{0,8}[|>][+-]?\d?[+-]?[ \t]{0,8}(?:#[^\n]{0,80})?\r?\n";
    list = r"\[(?!REDACTED)[^\]\r\n]{3,4096}\]?";
    object = r#"\{\s{0,16}["'](?:value|val|text|data|content|secret|token|default)["']\s{0,8}:\s{0,8}(?=["'])"#;
    next_line = r#"[ \t]{0,8}\r?\n[ \t]{0,64}(?=["'])"#;
    indented_word = r"[ \t]{0,8}\r?\n[ \t]{2,64}(?=[^\s:]{6,256}[ \t]*(?:\r?\n|\Z))";
    call = r#"(?:new )?[A-Za-z_$\[][\w.:$\[\]]{0,63}\((?=[bru]?["'])"#;
    getter = r"(?i)get|env|read|load|find|fetch|input|prompt|config|lookup|secret_?manager|vault|path|file|log|print|_\(";
    two = r#"[ \t]{0,4}=?[ \t]{0,4}\w{0,40}\([ \t]{0,4}["'][^"'\r\n]{1,128}["'][ \t]{0,4},[ \t]{0,4}(?=["'])"#;
    hashed = r"\{[A-Za-z0-9-]{3,12}\}[A-Za-z0-9+/=$.]{16,512}";
    pair = r"[A-Za-z]\w{0,30}:\d{1,6}\}?\Z";
    word = r#"[^\s"'`,;&<>\\|]{1,4096}"#;
    line_word = r#"[^\s"'`]{1,4096}"#;
    escaped_word = r#"(?:[^\s"'`,;&<>%]|%(?!2[26cC7]|0[aAdD])){1,4096}"#;
    line_start = r#"[\s>#+*-]*(?:(?:export|set|setx|declare|local|env|ENV|ARG|SET|let|var|const)[ \t]+(?:-x[ \t]+)?|["'])?\Z"#;
    query = r"[^&\s]*&\w{1,64}=";
    attribute = r#"[ \t\r\n]{1,32}(?:[\w:.-]{1,40}="[^"<>]{0,80}"[ \t\r\n]{1,32}){0,3}(?:value|val|content|default|data)[ \t]{0,4}=[ \t]{0,4}(?=["'])"#;
    paired = r#"[ \t\r\n]{0,32}[,;][ \t\r\n]{0,64}(?=[bBrRuU]?\\{0,8}["'`])"#;
    paired_value = r#"(?i)[ \t\r\n]{0,64}[,{]?[ \t\r\n]{0,64}["']?(?:parameter|option)?(?:value|val|text|default|content|data)["']?[ \t]{0,8}[:=][ \t]{0,8}(?=[bBrRuU]?\\{0,8}["'])"#;
    next_value = r"[ \t]{0,8}\r?\n[ \t]{0,64}(?:value|val|default|data)[ \t]{0,4}:[ \t]{0,8}";
    name_before = r#"(\w{1,24})["']?[ \t]{0,8}(?:[:=][ \t]{0,8}|[ \t])[bBrRuU]?\\{0,8}["']?\Z"#;
    flag_value = r"[ \t]{1,8}(?![-|&;<>])";
    says = r"(?i):?[ \t]{1,4}(?:is|was|are|=|to|will be|provided|given|used|supplied|received|entered|for [\w ]{1,32} is):?[ \t]{1,4}(?:<\w{1,8}>)?(?!not\b)";
    quoted_next = r#"(?i)[ \t]{1,8}(?:N|E|BY[ \t]+|FOR[ \t]+[^\s=]{1,80}[ \t]*=[ \t]*)?(?=["'])"#;
    cell = r"[ \t]{1,64}\|[ \t]{1,64}|\t";
}

/// Returns a text without the secrets that its shape, and the names in it, give away. Each becomes [`PLACEHOLDER`].
///
/// It takes time linear in the text.
///
/// ```
/// use the_edge_obs::redaction::{redact, KeyClasses};
///
/// let text = redact("password = hunter2xy, retries = 3", KeyClasses::built_in());
/// assert_eq!(text, "password = [REDACTED], retries = 3");
/// ```
#[must_use]
pub fn redact(text: &str, classes: &KeyClasses) -> String {
    masked(text, classes, |_| PLACEHOLDER.into()).into_owned()
}

/// Returns a text with a mask in place of each secret that its shape, and the names in it, give away.
#[inline]
pub(super) fn masked<'t, 'm>(
    text: &'t str,
    classes: &KeyClasses,
    mask: impl Fn(&str) -> Cow<'m, str>,
) -> Cow<'t, str> {
    let is_kept = || classes.is_built_in() && is_known(text);
    if text.len() < SHORTEST || is_kept() || !has_room(text) {
        return text.into();
    }
    masked_anew(text, classes, mask)
}

fn masked_anew<'t, 'm>(
    text: &'t str,
    classes: &KeyClasses,
    mask: impl Fn(&str) -> Cow<'m, str>,
) -> Cow<'t, str> {
    let spans = secret_spans(text, classes);
    if spans.is_empty() {
        return text.into();
    }
    covered(text, spans, |(start, end)| mask(&text[start..end])).into()
}

/// Returns a text with something else in place of each of some spans, which are in order and do not overlap.
pub(super) fn covered<'m>(
    text: &str,
    spans: impl IntoIterator<Item = (usize, usize)>,
    cover: impl Fn((usize, usize)) -> Cow<'m, str>,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        out.push_str(&text[at..span.0]);
        out.push_str(&cover(span));
        at = span.1;
    }
    out.push_str(&text[at..]);
    out
}

/// Tells whether a text is long enough to hold a secret.
pub(super) fn has_room(text: &str) -> bool {
    is_longer(text, SHORTEST - 1)
}

/// Returns where secrets stand in a text: first and last bytes, in order; they neither touch nor overlap.
///
/// `classes` judges names: further secret keys count here too.
#[must_use]
pub fn secret_spans(text: &str, classes: &KeyClasses) -> Vec<(usize, usize)> {
    if !classes.is_built_in() {
        return searched(text, Signs::of(text), classes);
    }
    let mut spans = Vec::new();
    is_ordinary(text, || {
        let signs = Signs::of(text);
        if signs != Signs::NONE {
            spans = searched(text, signs, classes);
        }
        spans.is_empty()
    });
    spans
}

fn searched(text: &str, signs: Signs, classes: &KeyClasses) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    if signs.has(Signs::URL) {
        in_urls(text, &mut spans);
    }
    if !classes.is_built_in() || signs.has(Signs::NAME) || signs.has(Signs::LONG) {
        in_words(text, signs, classes, &mut spans);
    }
    by_sign(text, signs, &mut spans);
    merged(spans)
}

/// Adds secrets in a text some of whose words are long, or names of secrets.
fn in_words(text: &str, signs: Signs, classes: &KeyClasses, spans: &mut Vec<Span>) {
    let words: Vec<Span>;
    let has_long;
    if text.is_ascii() && classes.is_built_in() {
        // The signs are exact there: only words that have one need a look.
        has_long = signs.has(Signs::LONG);
        words = if signs.has(Signs::NAME) {
            runs_at(text, &names_in(text))
        } else {
            Vec::new()
        };
    } else {
        words = runs(text).collect();
        has_long = words
            .iter()
            .any(|(start, end)| is_long_enough(&text[*start..*end]));
    }
    let verdict = |(start, end)| Some((start, end, verdict(&text[start..end], classes)?));
    let names: Vec<_> = words.into_iter().filter_map(verdict).collect();
    if has_long {
        by_format(text, spans);
    }
    by_name(text, &names, spans);
}

/// Adds secrets in a text that says that one follows.
fn by_sign(text: &str, signs: Signs, spans: &mut Vec<Span>) {
    if signs.has(Signs::BLOCK) {
        key_blocks(text, spans);
    }
    if signs.has(Signs::SCHEME) {
        schemes(text, spans);
    }
    if signs.has(Signs::ENCODED_URL) {
        in_encoded_urls(text, spans);
    }
    if signs.has(Signs::PARAMETER) {
        key_parameters(text, spans);
    }
    if signs.has(Signs::COMMAND) {
        commands(text, |number| signs.has(Signs::program(number)), spans);
    }
}

/// Returns what a word in a text says of what follows; `None` if nothing.
fn verdict(run: &str, classes: &KeyClasses) -> Option<Verdict> {
    let name = tail(run.trim_matches(['-', '.']), MAX_NAME);
    let has_sign = || Signs::of(name).has(Signs::NAME);
    let verdict = if !classes.is_built_in() || (has_sign() && has_stem(name)) {
        classes.verdict(name)
    } else {
        Verdict::Plain
    };
    if matches!(verdict, Verdict::Secret | Verdict::Token | Verdict::Weak) {
        return Some(verdict);
    }
    let is_key = has_sign() && tables().has("later_words", &name.to_lowercase());
    is_key.then_some(Verdict::Key)
}

/// Tells whether a word that bears the sign of a name has the part of one that a secret can have. In ASCII the sign is proof enough.
fn has_stem(word: &str) -> bool {
    let has_stem = || {
        let (lower, stems) = (word.to_lowercase(), tables().list("stems"));
        stems.iter().any(|stem| lower.contains(&**stem))
    };
    word.is_ascii() || has_stem()
}

fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

// --- names ------------------------------------------------------------------------------------------------------------

/// Adds the values of secret names, which are given in order: assignments, headers, flags, elements, pairs.
fn by_name(text: &str, names: &[(usize, usize, Verdict)], spans: &mut Vec<Span>) {
    let mut done = 0;
    for (start, end, verdict) in names {
        let without = text[*start..*end].trim_start_matches(['-', '.']);
        let mut start = end - without.len();
        let inner = without.trim_end_matches(['-', '.']);
        let end = start + inner.len();
        let mut verdict = *verdict;
        if verdict == Verdict::Key {
            (start, verdict) = with_words_before(text, start, end);
        }
        if verdict == Verdict::Plain || start < done {
            continue;
        }
        let name = Name {
            start,
            end,
            text: tail(inner, MAX_NAME),
            verdict,
        };
        if let Some(span) = value_of(text, &name).filter(|span| span.1 > span.0) {
            spans.push(span);
            done = span.1;
        }
    }
}

/// Returns where a name of several words begins, such as `API key`, and what it says.
fn with_words_before(text: &str, start: usize, end: usize) -> (usize, Verdict) {
    let window = &text[..start];
    if let Some(before) = before_key().find(window, back(text, start, 34)) {
        let words = words(before.text(text));
        let mut first = start;
        for word in words.iter().rev() {
            first -= word.len() + 1;
            let verdict = classify(&text[first..end]);
            if verdict != Verdict::Plain {
                return (first, verdict);
            }
        }
    }
    (start, Verdict::Plain)
}

/// Returns where the value of a name is that has to be taken out.
fn value_of(text: &str, name: &Name<'_>) -> Option<Span> {
    let after = close()
        .at(text, name.end)
        .map_or(name.end, |found| found.end);
    let is_quoted = after > name.end;
    if let Some(span) = element(text, name) {
        return Some(span);
    }
    let sign = separator().at(text, after);
    if sign.is_none() && name.text.to_lowercase() == "bearer" {
        return None; // what follows a scheme is judged by itself
    }
    if let Some(found) = typed().at(text, after) {
        let is_colon = found.text(text).starts_with(':');
        let is_header = sign.is_some() && is_header(name);
        if (!is_quoted || is_colon) && !is_header {
            return quoted(text, name, found.end, Look::Word);
        }
    }
    if let Some(sign) = sign {
        return assigned(text, name, &sign, is_quoted);
    }
    if is_quoted {
        return beside(text, name, after);
    }
    called(text, name).or_else(|| spoken(text, name))
}

// --- elements ---------------------------------------------------------------------------------------------------------

const ENTITY: &str = "&gt;";

/// Returns the span of the text in an element that bears a name, or that follows one in a property list.
fn element(text: &str, name: &Name<'_>) -> Option<Span> {
    let before = &text[back(text, name.start, 32)..name.start];
    if before.ends_with("&lt;") && text[name.end..].starts_with(ENTITY) {
        return until(text, name, name.end + ENTITY.len(), "&lt;", Look::Word);
    }
    if before.ends_with("<key>") {
        if let Some(found) = plist().at(text, name.end) {
            return until(text, name, found.end, "<", Look::Word);
        }
    }
    if before.ends_with(['<', ':']) && before.contains('<') {
        if let Some(found) = element_end().at(text, name.end) {
            let is_data = found.text(text).ends_with('[');
            let mark = if is_data { "]]>" } else { "<" };
            return until(text, name, found.end, mark, Look::Word);
        }
    }
    None
}

fn until(text: &str, name: &Name<'_>, start: usize, mark: &str, least: Look) -> Option<Span> {
    let stop = find(text, mark, start, forward(text, start, MAX_VALUE));
    judged(text, name, start, stop.unwrap_or(text.len()), least)
}

// --- assignments ------------------------------------------------------------------------------------------------------

fn ends_with(name: &Name<'_>, endings: &[&str]) -> bool {
    let lower = name.text.to_lowercase();
    endings.iter().any(|ending| lower.ends_with(ending))
}

fn is_header(name: &Name<'_>) -> bool {
    name.verdict == Verdict::Secret && ends_with(name, &["authorization", "cookie"])
}

/// Returns the span of the value behind a sign such as `=` or `:`.
fn assigned(text: &str, name: &Name<'_>, found: &Found, is_quoted: bool) -> Option<Span> {
    let mut start = found.end;
    let (sign_start, sign_end) = found.group(1)?;
    let sign = &text[sign_start..sign_end];
    let is_cookie = ends_with(name, &["cookie"]);
    if is_header(name) && !(is_quoted && is_cookie) {
        return if is_cookie {
            cookie(text, start)
        } else {
            authorization(text, start, name.start)
        };
    }
    if sign == ":" {
        if let Some(found) = block().at(text, sign_start + 1) {
            return indented(text, name, found.end);
        }
    }
    if is_quoted {
        if let Some(found) = next_line().at(text, start) {
            start = found.end;
        }
    }
    if starts_quoted(text, start) {
        if closes(text, name, start, is_quoted) {
            return None;
        }
        return quoted(text, name, start, Look::Word);
    }
    if let Some(found) = call().at(text, start) {
        if getter().find(found.text(text), 0).is_none() {
            return quoted(text, name, found.end, Look::Secret);
        }
    }
    if let Some(found) = two().at(text, sign_start) {
        if ends_with(name, &["auth"]) {
            return quoted(text, name, found.end, Look::Secret);
        }
    }
    if sign == ":" {
        if let Some(found) = indented_word().at(text, start) {
            return word_at(text, name, found.end, Look::Secret, line_word());
        }
    }
    if let Some(found) = object().at(text, start) {
        return quoted(text, name, found.end, Look::Word);
    }
    if let Some(found) = hashed().at(text, start) {
        return Some(found.span());
    }
    if name.verdict == Verdict::Secret {
        if let Some(found) = list().at(text, start) {
            return is_list_of_secrets(found.text(text)).then_some(found.span());
        }
    }
    if matches!(char_at(text, start), None | Some('{' | '[' | '(')) {
        return None;
    }
    unquoted(text, name, start, sign, is_quoted)
}

/// Tells whether a quote behind a name closes the text that the name stands in: `"Password: "`.
fn closes(text: &str, name: &Name<'_>, at: usize, is_quoted: bool) -> bool {
    let Some(quote) = char_at(text, at).filter(|char| matches!(char, '"' | '\'')) else {
        return false;
    };
    let is_last = match char_at(text, at + 1) {
        None => true,
        Some(char) => " \t\r\n,;)]}+|:>".contains(char),
    };
    if is_quoted || !is_last {
        return false;
    }
    let from = back(text, name.start, 512);
    let line = rfind(text, "\n", from, name.start).map(|newline| newline + 1);
    (line.is_some() || from == 0)
        && text[line.unwrap_or(0)..name.start].matches(quote).count() % 2 == 1
}

fn is_list_of_secrets(text: &str) -> bool {
    let inner = &text[1..];
    if ["object ", "Object]", "Functio"]
        .iter()
        .any(|word| inner.starts_with(word))
    {
        return false;
    }
    inner
        .trim_end_matches(']')
        .split(',')
        .take(64)
        .any(|item| look_of(item.trim_matches([' ', '"', '\''])) != Look::Ordinary)
}

fn word_at(text: &str, name: &Name<'_>, start: usize, least: Look, kind: &Pattern) -> Option<Span> {
    let found = kind.at(text, start)?;
    judged(
        text,
        name,
        start,
        without_closers(text, start, found.end),
        least,
    )
}

/// Returns the span of a value without quotes: a word, or the rest of a line that is a setting of its own.
fn unquoted(
    text: &str,
    name: &Name<'_>,
    start: usize,
    sign: &str,
    is_quoted: bool,
) -> Option<Span> {
    let kind = if sign.starts_with('%') {
        escaped_word()
    } else {
        word()
    };
    let found = kind.at(text, start)?;
    let end = without_closers(text, start, found.end);
    let value = &text[start..end];
    let is_code = !is_longer(value, MAX_ORDINARY)
        && (is_identifier(value) || look_of_bare(value) == Look::Ordinary);
    let is_setting = !is_quoted
        && matches!(sign, ":" | "=" | "\u{ff1a}")
        && stands_at_line_start(text, name.start);
    if is_setting {
        if let Some(line) = rest_of_line(text, name, start, sign, is_code) {
            return Some(line);
        }
    }
    if is_code || pair().at(&text[..end], start).is_some() {
        return None;
    }
    let strict = tables().list("strict_words");
    let lower = name.text.to_lowercase();
    let is_strict = name.verdict == Verdict::Weak
        && sign == ":"
        && !is_quoted
        && strict.iter().any(|ending| lower.ends_with(&**ending));
    if is_strict && !is_random(value) {
        return None;
    }
    let is_sure = sign.contains('=')
        || sign.starts_with(['%', '\u{ff1a}', '\\', '<'])
        || is_quoted
        || stands_alone(text, start, end, is_setting);
    let least = if is_sure { Look::Word } else { Look::Secret };
    judged(text, name, start, end, least)
}

fn stands_at_line_start(text: &str, at: usize) -> bool {
    let from = back(text, at, 64);
    // As in Python: where no line begins nearby, the first character of the text is passed over.
    let newline = rfind(text, "\n", from, at).map(|newline| newline + 1);
    let escaped = rfind(text, "\\n", from, at).map(|newline| newline + 2);
    let line = newline.max(escaped).filter(|line| *line > 1);
    let line = line.unwrap_or_else(|| forward(text, 0, 1)).min(at);
    line_start().begins(&text[line..at])
}

fn stands_alone(text: &str, start: usize, end: usize, is_setting: bool) -> bool {
    let limit = forward(text, end, 64);
    let stop = find(text, "\n", start, limit).unwrap_or(limit);
    let rest = text.get(end..stop).unwrap_or("");
    let is_empty = rest.trim_matches([' ', '\t', '\r', ',', ';']).is_empty();
    is_setting && is_empty && !is_upper_at(text, start)
}

/// Returns the span of the rest of a line `NAME: value` whose words are a secret, or `None` where the first word is all.
fn rest_of_line(
    text: &str,
    name: &Name<'_>,
    start: usize,
    sign: &str,
    is_code: bool,
) -> Option<Span> {
    let limit = forward(text, start, 1_024);
    let stop = find(text, "\n", start, limit).unwrap_or(limit);
    let line = text[start..stop].trim_end_matches(is_space);
    if name.verdict != Verdict::Secret || query().begins(line) {
        return None;
    }
    let all = (start, start + line.len());
    let words: Vec<&str> = line.splitn(5, ' ').collect();
    if words.len() == 1 {
        let word = line_word().at(text, start)?;
        let is_all = word.end >= all.1 && !is_code;
        return if is_all {
            judged(text, name, start, all.1, Look::Word)
        } else {
            None
        };
    }
    if words[1].contains(['=', ':']) || words[1].starts_with(['#', '/', ';']) {
        return None;
    }
    let is_secret = |word: &&str| look_of(word) == Look::Secret;
    let is_scheme = tables().has("schemes", &words[0].to_lowercase())
        && words[1..].iter().take(2).any(is_secret);
    let is_pair = sign == ":" && words.len() == 2 && all_alnum(words[0]) && is_secret(&words[1]);
    let is_key = sign == ":" && words.len() <= 4 && ends_with(name, &["key", "secret", "token"]);
    (is_scheme || is_pair || (is_key && is_secret(&line))).then_some(all)
}

// --- beside and behind a name -----------------------------------------------------------------------------------------

/// Returns the span of what stands beside a quoted name: the second of a pair, an argument, an attribute, an element.
fn beside(text: &str, name: &Name<'_>, after: usize) -> Option<Span> {
    if let Some(found) = attribute().at(text, after) {
        return quoted(text, name, found.end, Look::Word);
    }
    let before = &text[back(text, name.start, 64)..name.start];
    if text[after..].starts_with('>') && before.contains('<') {
        return until(text, name, after + 1, "<", Look::Secret);
    }
    if let Some(found) = paired_value().at(text, after) {
        if is_named(text, name.start) {
            return quoted(text, name, found.end, Look::Word);
        }
    }
    let found = paired().at(text, after)?;
    let is_flag = text[..name.start].ends_with('-');
    let least = if is_flag { Look::Word } else { Look::Secret };
    quoted(text, name, found.end, least)
}

/// Tells whether what stands before a name is a key such as `name`: `{"name": "password", ...`, `variable "password"`.
fn is_named(text: &str, at: usize) -> bool {
    let before = &text[back(text, at, 48)..at];
    name_before().find(before, 0).is_some_and(|found| {
        let key = found.group_text(1, before).to_lowercase();
        key == "variable" || tables().has("name_keys", &key)
    })
}

/// Returns the span of what is set by a call: `setPassword("x")`, `BasicAuth("user", "x")`.
fn called(text: &str, name: &Name<'_>) -> Option<Span> {
    if !text[name.end..].starts_with('(') {
        return None;
    }
    if let Some(found) = two().at(text, name.end) {
        if ends_with(name, &["auth"]) {
            return quoted(text, name, found.end, Look::Secret);
        }
    }
    if getter().find(name.text, 0).is_some() || !starts_quoted(text, name.end + 1) {
        return None;
    }
    quoted(text, name, name.end + 1, Look::Secret)
}

/// Returns the span of a value after a blank: of a flag, in SQL, in a table, or in a sentence.
fn spoken(text: &str, name: &Name<'_>) -> Option<Span> {
    if text[..name.start].ends_with('-') {
        if let Some(found) = flag_value().at(text, name.end) {
            if is_delimiter(text, found.end) {
                return quoted(text, name, found.end, Look::Word);
            }
            let is_sure = name.verdict == Verdict::Secret;
            let least = if is_sure { Look::Word } else { Look::Secret };
            return word_at(text, name, found.end, least, line_word());
        }
    }
    if let Some(found) = next_value().at(text, name.end) {
        if is_named(text, name.start) {
            return if is_delimiter(text, found.end) {
                quoted(text, name, found.end, Look::Word)
            } else {
                word_at(text, name, found.end, Look::Word, line_word())
            };
        }
    }
    if name.verdict == Verdict::Weak {
        return None;
    }
    if let Some(found) = cell().at(text, name.end) {
        return word_at(text, name, found.end, Look::Secret, word());
    }
    if let Some(found) = quoted_next().at(text, name.end) {
        let is_sure = super::chars::is_upper(name.text) || !strip(found.text(text)).is_empty();
        let least = if is_sure { Look::Word } else { Look::Secret };
        return quoted(text, name, found.end, least);
    }
    if let Some(found) = says().at(text, name.end) {
        return if is_delimiter(text, found.end) {
            quoted(text, name, found.end, Look::Secret)
        } else {
            word_at(text, name, found.end, Look::Secret, word())
        };
    }
    if !text[name.end..].starts_with(' ') {
        return None;
    }
    let next = word().at(text, name.end + 1)?;
    if !is_mixed(next.text(text)) {
        return None;
    }
    word_at(text, name, name.end + 1, Look::Secret, word())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(text: &str) -> String {
        redact(text, KeyClasses::built_in())
    }

    #[test]
    fn secrets_are_taken_out_by_name_and_by_shape() {
        let cases = [
            ("password=hunter2xy", "password=[REDACTED]"),
            (
                "{\"api_key\": \"abc123def\", \"n\": 1}",
                "{\"api_key\": \"[REDACTED]\", \"n\": 1}",
            ),
            (
                "Authorization: Bearer abcdef123456",
                "Authorization: [REDACTED]",
            ),
            (
                "postgres://me:s3cr3tpw@db/x",
                "postgres://me:[REDACTED]@db/x",
            ),
            ("use AKIAIOSFODNN7EXAMPLE now", "use [REDACTED] now"),
            (
                "curl -u me:hunter2xy http://x",
                "curl -u me:[REDACTED] http://x",
            ),
            ("API key is abc123def456", "API key is [REDACTED]"),
            ("-----BEGIN PRIVATE KEY-----\nabc", "[REDACTED]"),
            (
                "passwort: größe12345, weiter",
                "passwort: [REDACTED], weiter",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(clean(text), expected);
        }
    }

    #[test]
    fn ordinary_texts_stay() {
        for text in [
            "",
            "The password must have 12 characters.",
            "max_tokens=100, prompt_tokens: 12",
            "see https://example.com/docs?page=2",
            "tokens: 12",
            "password: [REDACTED]",
        ] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn further_keys_count_in_texts() {
        let classes = KeyClasses::new(["cpf"]);
        assert_eq!(redact("cpf=12345678900", &classes), "cpf=[REDACTED]");
        assert_eq!(clean("cpf=12345678900"), "cpf=12345678900");
    }

    #[test]
    fn long_values_need_no_deep_stack() {
        let small = std::thread::Builder::new().stack_size(1024 * 1024);
        let done = small.spawn(|| {
            for (before, part, behind) in [
                ("x?password%3D", "a1%41", "&y"),
                ("x=https%3a%2f%2fme%3a", "a%41", "%40host"),
                ("Cookie: ", "a=b; ", ""),
                ("x.", "a.", "com"),
            ] {
                let text = format!("{before}{}{behind}", part.repeat(20_000));
                let _ = clean(&text);
            }
            clean(&format!("x?password%3D{}&y", "a1%41".repeat(500)))
        });
        let text = done.unwrap().join().unwrap();
        assert_eq!(text, "x?password%3D[REDACTED]&y");
    }

    #[test]
    fn long_texts_take_linear_time() {
        for part in [
            "password: \"",
            "a.b-c_",
            "https://a:",
            "-----BEGIN ",
            "key ",
            "\\\"token\\\":",
            "<password",
            "token=a&",
            "mysql -u x ",
            "secret: [a, ",
            "Bearer aaaaaaaa",
            "Cookie: a=b; ",
        ] {
            let steps = |count: usize| {
                let text = part.repeat(count);
                crate::redaction::pattern::steps(|| {
                    let _ = secret_spans(&text, KeyClasses::built_in());
                })
            };
            let (short, long) = (steps(1_000), steps(4_000));
            assert!(long <= short * 6, "{part:?}: {short} steps, then {long}");
        }
    }

    proptest! {
        #[test]
        fn spans_are_in_order_and_on_characters(text in "(password|token|key|://|[:=\"'@ \\n\\\\a-zé0-9<>-]){0,40}") {
            let mut last = 0;
            for (start, end) in secret_spans(&text, KeyClasses::built_in()) {
                prop_assert!(start < end && (last == 0 || start > last));
                prop_assert!(text.is_char_boundary(start) && text.is_char_boundary(end));
                last = end;
            }
        }

        #[test]
        fn what_was_redacted_stays_redacted(secret in "[a-z]{4}[0-9]{4}[A-Z]{2}") {
            for text in [format!("password={secret}"), format!("\"api_key\": \"{secret}\"")] {
                let once = clean(&text);
                prop_assert!(!once.contains(&secret));
                prop_assert_eq!(clean(&once), once);
            }
        }
    }
}
