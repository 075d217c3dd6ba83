//! Values: whether a text looks like a secret, an ordinary word, or neither.

use std::collections::HashSet;

use super::chars::{
    all_alnum, all_alpha, all_digits, count_digits, has_digit, is_alpha, is_digit, is_longer,
    is_upper, len, strip, words,
};
use super::pattern::patterns;
use super::tables::tables;

/// What a text looks like. Looks are ordered: a secret is more than a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Look {
    /// Nothing secret: an ordinary word, a date, a path, a placeholder, a sentence.
    Ordinary,
    /// A word that may be a secret.
    Word,
    /// A secret.
    Secret,
}

const LONGEST: usize = 256; // characters of a text that can be ordinary; a longer one under a secret name is a secret

patterns! {
    placeholder = r"(?i)\[REDACTED|\[FILTERED|\[REMOVED|\[MASKED|\[HIDDEN|\[(?:object|Object|Function|circular|depth|Circular)|\$\{|\$\(|\$[A-Za-z_]+\Z|\{\{|\{%|\{[\w.]*\}\Z|<[A-Za-z][\w .:-]*>\Z|%\(?[\w.]*\)?[sdr]?%?\Z|%[A-Z_]+%\Z|#\{|(?:your|insert|enter|replace)[-_ .](?:[a-z]+[-_ .]){0,7}[a-z]+\Z";
    path = r"(?:[A-Za-z]:)?[\\/]|~[/\\]|\.{1,2}[/\\]|file:|\$HOME|%[A-Za-z]+%\\";
    url = r"#[0-9A-Fa-f]{3,8}\Z|(?:[a-z][a-z0-9-]*\.){2,5}[a-z]{2,20}/|[A-Za-z][A-Za-z0-9+.-]{1,20}://|www\.|mailto:|urn:|arn:";
    date = r"(?i)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d[\d:.Z+-]*)?\Z|\d{1,2}:\d\d(?::\d\d)?\Z|\d+(?:\.\d+){1,3}\Z|\d+(?:ms|s|m|h|d|px|em|%|k|kb|mb|gb)\Z";
    email = r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}\Z";
    host = r"(?:[a-z][a-z0-9-]*\.){1,5}[a-z]{2,12}(?::\d{1,5})?\Z";
    code = r#"[A-Za-z_\$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)+\Z|[A-Za-z_$][\w$.]*[({]|[A-Za-z_][\w.]*\[(?:['"\w]|\Z)|&?[A-Za-z_][\w.]*[!?]?\(\)|(?:new|await|self|this|cls|lambda|func|function|def) "#;
    reference = r"0x[0-9A-Fa-f]{1,16}\Z|(?:[a-z_]\w*\.)+\w+@[0-9a-f]{4,16}\Z|<[\w.]+ (?:object )?at 0x";
    parts = r"[^\W\d_]+|\d+";
    camel = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])";
    signature = r"[A-Za-z_][\w.]*\([A-Za-z_]\w*[:,]\Z";
    symbols = r"[!@#$%^&*?~+=|]";
}

/// Returns what a text looks like that stands under a secret name.
#[must_use]
pub fn look_of(text: &str) -> Look {
    look(text, false)
}

/// Returns the same of a text without quotes in a longer text, where it may be code.
pub(super) fn look_of_bare(text: &str) -> Look {
    look(text, true)
}

fn look(text: &str, is_bare: bool) -> Look {
    if is_longer(text, LONGEST) {
        return Look::Secret;
    }
    let text = strip(text);
    let length = len(text);
    if all_digits(text) {
        return if length >= 5 {
            Look::Secret
        } else {
            Look::Word
        };
    }
    let is_ordinary = tables().has("ordinary", &text.to_lowercase());
    if length < 3 || is_ordinary || placeholder().begins(text) || distinct(text.chars()) < 3 {
        return Look::Ordinary;
    }
    if text.contains("://") && text.contains('@') {
        return Look::Secret; // it may have a password in it
    }
    if date().begins(text) || email().begins(text) || url().begins(text) || reference().begins(text)
    {
        return Look::Ordinary;
    }
    if text.contains([' ', '\n', '\t']) {
        return look_of_words(&words(text), length);
    }
    if path().begins(text) {
        // A base64 text may begin like a path.
        let is_secret = text.split(['\\', '/']).any(is_random);
        return if is_secret {
            Look::Secret
        } else {
            Look::Ordinary
        };
    }
    if is_bare && is_code(text) {
        return Look::Ordinary;
    }
    look_of_word(text)
}

fn distinct(chars: impl Iterator<Item = char>) -> usize {
    chars.collect::<HashSet<char>>().len()
}

/// Tells whether a word is an expression: a call, a subscript, an attribute.
fn is_code(text: &str) -> bool {
    let Some(found) = code().at(text, 0) else {
        return false;
    };
    let found = found.text(text);
    if len(text) >= 16 && count_digits(text) >= 3 && !found.ends_with(['(', '[']) {
        return false;
    }
    let called = found.trim_end_matches(['(', '{', '[', '\'', '"']);
    called == text
        || !has_digit(called)
        || called.contains('.')
        || look_of_word(called) != Look::Secret
}

fn look_of_words(words: &[&str], length: usize) -> Look {
    let looks: Vec<Look> = words.iter().map(|word| look_of(word)).collect();
    let has = |look: Look| looks.contains(&look);
    let bare: Vec<String> = words
        .iter()
        .map(|word| {
            word.trim_matches(['.', ',', ':', ';', '!', '?', '\'', '"', '(', ')'])
                .to_lowercase()
        })
        .collect();
    let is_ordinary = |word: &String| tables().has("ordinary", word);
    if words.contains(&"->") || signature().begins(words[0]) {
        return Look::Ordinary;
    }
    let is_mixed = |word: &String| has_digit(word) && !all_digits(word) && !is_ordinary(word);
    if length >= 8 && bare.iter().any(is_mixed) {
        return Look::Secret;
    }
    let is_function = |word: &String| tables().has("function_words", word);
    if words.len() >= 3 && bare.iter().any(is_function) {
        return if has(Look::Secret) {
            Look::Word
        } else {
            Look::Ordinary
        };
    }
    if has(Look::Secret) {
        return Look::Secret;
    }
    let is_sentence = words[0].chars().next().is_some_and(char::is_uppercase);
    if is_sentence && !words.iter().any(|word| has_digit(word)) {
        return if has(Look::Word) {
            Look::Word
        } else {
            Look::Ordinary
        };
    }
    let is_unknown = !bare.iter().all(is_ordinary);
    match (is_unknown, length >= 10) {
        (true, true) => Look::Secret,
        (true, false) => Look::Word,
        (false, _) => Look::Ordinary,
    }
}

fn parts_of(text: &str) -> Vec<&str> {
    parts().all(text).map(|found| found.text(text)).collect()
}

fn is_known(part: &str) -> bool {
    tables().has("ordinary", &part.to_lowercase())
}

fn look_of_word(text: &str) -> Look {
    let parts = parts_of(text);
    let letters: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !all_digits(part))
        .collect();
    let has_digits = letters.len() < parts.len();
    if !has_digits && host().begins(text) {
        return Look::Ordinary;
    }
    let length = len(text);
    let is_unknown = letters
        .iter()
        .any(|part| !is_known(part) && !is_camel(part));
    let secret_or_word = |is_secret: bool| {
        if is_secret {
            Look::Secret
        } else {
            Look::Word
        }
    };
    if has_digits && !letters.is_empty() {
        if parts.len() == 2 && !is_unknown && len(parts[1]) <= 3 {
            return Look::Ordinary; // page2, step-10
        }
        return secret_or_word(length >= 6 && (is_unknown || length >= 8));
    }
    if has_digits {
        return secret_or_word(length >= 8);
    }
    if letters.is_empty() {
        return if length >= 8 {
            Look::Secret
        } else {
            Look::Ordinary
        };
    }
    let inner = text.trim_end_matches(['!', '?', '=']);
    if length >= 6 && is_unknown && symbols().find(inner, 0).is_some() {
        return Look::Secret;
    }
    if !is_unknown {
        return if letters.len() > 1 || !is_known(letters[0]) {
            Look::Word
        } else {
            Look::Ordinary
        };
    }
    let is_filler = |part: &&str| tables().has("fillers", &part.to_lowercase());
    if letters.len() >= 3 && letters.iter().any(is_filler) {
        return Look::Word;
    }
    secret_or_word(length >= 10)
}

fn humps_of(text: &str) -> Vec<&str> {
    camel().all(text).map(|found| found.text(text)).collect()
}

/// Tells whether a part is made of ordinary words: `clientCredentials`.
fn is_camel(part: &str) -> bool {
    let humps = humps_of(part);
    humps.len() > 1 && humps.concat() == part && humps.iter().all(|hump| is_known(hump))
}

/// Tells whether a text is made of such a mixture of characters that nobody would write it by hand.
pub(super) fn is_random(text: &str) -> bool {
    let length = len(text);
    if length < 16 || text.contains(' ') || !text.chars().any(is_alpha) {
        return false;
    }
    let separators = ['-', '_', '.', ':', '/', '@', '~', '+', '='];
    let pieces = text.matches(separators).count() + 1;
    if count_digits(text) >= 3 && length > 3 * pieces {
        return look_of(text) == Look::Secret;
    }
    let cases: Vec<bool> = text.chars().map(char::is_uppercase).collect();
    let changes = cases.windows(2).filter(|two| two[0] != two[1]).count();
    changes >= 6 && length < 3 * changes && look_of(text) == Look::Secret
}

/// Tells whether a word in a sentence can only be a secret: letters and digits together, and not a name with a number.
pub(super) fn is_mixed(text: &str) -> bool {
    let text = text.trim_end_matches(['.', ',', ':', ';', '!', '?', ')']);
    let (length, digits) = (len(text), count_digits(text));
    let is_long = length >= 8 && digits >= 2 && digits < length && !is_upper(text);
    (is_long && look_of_bare(text) == Look::Secret) || is_random(text) || is_jumbled(text)
}

/// Tells whether a short word changes its case as no name does: `RfteetLOYE58`.
fn is_jumbled(text: &str) -> bool {
    let length = len(text);
    let is_plain = all_alnum(text)
        && (8..=64).contains(&length)
        && has_digit(text)
        && text.to_lowercase() != text
        && text != text.to_uppercase();
    let humps = humps_of(text);
    is_plain && (humps.len() >= 3 || humps.iter().any(|hump| is_upper(hump) && len(hump) > 2))
}

/// Tells whether a text is made of ordinary words alone, as names in code are: `self.password`, `authToken`.
pub(super) fn is_identifier(text: &str) -> bool {
    parts_of(text)
        .iter()
        .all(|part| is_known(part) || is_camel(part))
}

/// Tells whether a part of a text is long and has digits, as generated keys have, or is random otherwise.
pub(super) fn is_key_like(text: &str) -> bool {
    text.split(['-', '_', '.'])
        .any(|part| len(part) >= 8 && has_digit(part))
        || is_random(text)
}

/// Tells whether a text fills in for a key in an example: `xxxxxxxx`, `XXXX-XXXX`.
pub(super) fn is_blank(text: &str) -> bool {
    let lower = text.to_lowercase();
    distinct(lower.chars().filter(|char| !"-_.=".contains(*char))) <= 1
}

/// Tells whether ordinary words stand together as only a secret has them: four with blanks, or some with hyphens.
pub(super) fn is_phrase(text: &str) -> bool {
    let lower = text.to_lowercase();
    let has = |table: &str, words: &[&str]| words.iter().any(|word| tables().has(table, word));
    let separate = words(&lower);
    if separate.len() > 1 {
        return (4..=12).contains(&separate.len())
            && !has("function_words", &separate)
            && separate.iter().all(|word| all_alpha(word));
    }
    let lower = strip(text).to_lowercase();
    let parts: Vec<&str> = lower.split(['-', '_']).collect();
    let is_name = tables().has("compounds", &parts.join("-"))
        || has("function_words", &parts)
        || has("fillers", &parts);
    len(text) >= 10 && parts.len() > 1 && parts.iter().all(|part| all_alpha(part)) && !is_name
}

/// Tells whether a text is of digits alone; those of other scripts count.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_digit)
}
