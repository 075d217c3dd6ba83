//! Secret keys: what a key, or a name in a text, tells of the value beside it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::chars::{is_alnum, is_longer, len, strip, tail};
use super::memory::Memory;
use super::pattern::patterns;
use super::tables::tables;
use super::values::{is_digits, is_random, look_of, Look};
use crate::value::{Key, Snap};

/// The most characters of a key that is judged; a longer one is cut first.
pub const MAX_KEY: usize = 256;
const MAX_COUNTS: usize = 200; // items that are looked at to tell whether all are counts
const MAX_COUNT: i64 = 99_999; // a larger number under a bare "token" does not count anything
const MAX_NUMBER_DIGITS: usize = 40; // larger numbers are not secrets of anybody
const MAX_KNOWN: usize = 4_096;

/// What a key says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nothing.
    Plain,
    /// The value is a secret.
    Secret,
    /// The value is a secret unless it counts something or is a piece of a text.
    Token,
    /// The value is a secret if it looks like one.
    Weak,
    /// A name beside the value tells what it is.
    Value,
    /// Of a word in a text: the words before it tell what it says.
    Key,
}

use Verdict::{Plain, Secret, Token, Weak};

impl Verdict {
    /// Returns the stable name of the verdict, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["plain", "secret", "token", "weak", "value", "key"][self as usize]
    }
}

patterns! {
    key_words = r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|[0-9]+";
}

fn words_of(key: &str) -> Vec<String> {
    let key = tail(key, MAX_KEY);
    key_words()
        .all(key)
        .map(|found| found.text(key).to_lowercase())
        .collect()
}

/// Returns a key without case and separators, as further secret keys are compared.
#[must_use]
pub fn fold(key: &str) -> String {
    key.to_lowercase()
        .chars()
        .filter(|char| is_alnum(*char))
        .collect()
}

/// Tells what a key says of its value, whatever its case and spelling: `api_key`, `apiKey`, `X-API-Key` and `APIKEY` are alike.
///
/// ```
/// use the_edge_obs::redaction::{classify, Verdict};
///
/// assert_eq!(classify("X-API-Key"), Verdict::Secret);
/// assert_eq!(classify("max_tokens"), Verdict::Plain);
/// ```
#[must_use]
pub fn classify(key: &str) -> Verdict {
    let words = words_of(key);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let tables = tables();
    let ending = key.rsplit('.').next().unwrap_or("").to_lowercase();
    if words.is_empty() || words.len() > 24 || tables.has("file_endings", &ending) {
        return Plain;
    }
    let is_value = if words.len() == 1 {
        tables.has("value_keys", words[0])
    } else {
        tables.has("value_keys", &fold(key))
    };
    if is_value {
        return Verdict::Value;
    }
    if words == ["auth"] {
        return Secret;
    }
    let joined = words.join(" ");
    let phrases = tables.list("secret_phrases");
    if words.len() > 1 && phrases.iter().any(|phrase| joined.contains(&**phrase)) {
        return if tables.has("safe_before", words[0]) {
            Plain
        } else {
            Secret
        };
    }
    let (verdict, at) = strongest(&words);
    if verdict == Plain || is_described(&words, at, verdict) {
        return Plain;
    }
    // What is not known behind the word may describe it: then the value has to tell.
    let leaves = |word: &&str| {
        is_digits(word)
            || tables.has("still_secret_after", word)
            || tables.has("secret_words", word)
    };
    let is_last = is_half_of_a_pair(&words) || words[at + 1..].iter().all(leaves);
    if is_last || verdict == Token {
        verdict
    } else {
        Weak
    }
}

/// Returns what the words say, and where the word stands that says it; the strongest first, the last of equals.
fn strongest(words: &[&str]) -> (Verdict, usize) {
    let (mut found, mut place) = (Plain, 0);
    for (at, word) in words.iter().enumerate() {
        let verdict = verdict_of(words, at, word);
        let is_stronger = matches!(found, Plain | Weak)
            || verdict == Secret
            || (verdict == Token && found != Secret);
        if verdict != Plain && is_stronger {
            (found, place) = (verdict, at);
        }
    }
    (found, place)
}

fn verdict_of(words: &[&str], at: usize, word: &str) -> Verdict {
    let tables = tables();
    let before = if at > 0 { words[at - 1] } else { "" };
    let after = &words[at + 1..];
    if word == "key" || word == "keys" {
        let is_public = at > 1 && words[at - 2] == "public";
        return match tables.has("key_owners", before) && !is_public {
            true if tables.has("weak_key_owners", before) => Weak,
            true => Secret,
            false => Plain,
        };
    }
    if tables.has("token_words", word) {
        return token(before, word);
    }
    if tables.has("secret_words", word) {
        return Secret;
    }
    if tables.weak_words.contains_key(word) {
        if after == ["id"] {
            return if word == "session" { Weak } else { Plain };
        }
        let leaves = |after: &&str| is_digits(after) || tables.has("still_secret_after", after);
        return if after.iter().all(leaves) {
            Weak
        } else {
            Plain
        };
    }
    fused(word)
}

fn token(before: &str, word: &str) -> Verdict {
    if tables().has("token_before", before) {
        return Plain;
    }
    let is_owner = tables().has("token_owners", before);
    match (word == "tokens", is_owner) {
        (true, true) if before != "user" => Token,
        (true, _) => Plain,
        (false, true) => Secret,
        (false, false) => Token,
    }
}

/// Returns what a word says that was written without separators.
fn fused(word: &str) -> Verdict {
    let tables = tables();
    if tables.has("safe_words", word) || len(word) < 5 {
        return Plain;
    }
    let stem = word.trim_end_matches(|char: char| char.is_ascii_digit());
    let endings = tables.list("fused_endings");
    if endings.iter().any(|ending| stem.ends_with(&**ending)) {
        return Secret;
    }
    let endings = [
        ("tokens", Token),
        ("token", Secret),
        ("keys", Secret),
        ("key", Secret),
        ("pass", Secret),
        ("pwd", Secret),
        ("pw", Secret),
    ];
    for (ending, verdict) in endings {
        let Some(owner) = stem.strip_suffix(ending) else {
            continue;
        };
        let is_key = ending.starts_with("key");
        let owners = if is_key { "key_owners" } else { "fused_owners" };
        if tables.has(owners, owner) {
            let is_weak = is_key && tables.has("weak_key_owners", owner);
            return if is_weak { Weak } else { verdict };
        }
        let is_token = ending == "token" && !tables.has("token_before", owner);
        return if is_token { Token } else { Plain };
    }
    for beginning in ["password", "passwd", "apikey", "passphrase"] {
        if let Some(rest) = stem.strip_prefix(beginning) {
            let is_safe = tables.has("safe_after", rest) || matches!(rest, "s" | "less" | "ed");
            return if is_safe { Plain } else { Secret };
        }
    }
    Plain
}

fn is_half_of_a_pair(words: &[&str]) -> bool {
    let joined = words.join(" ");
    let endings = tables().list("unsafe_after");
    endings.iter().any(|ending| joined.ends_with(&**ending))
}

/// Tells whether the words around the secret one say that the value only describes it.
fn is_described(words: &[&str], at: usize, verdict: Verdict) -> bool {
    let tables = tables();
    let after = &words[at + 1..];
    if !after.is_empty() && is_half_of_a_pair(words) {
        return false;
    }
    if let Some(last) = after.last() {
        let is_header = matches!(words[at], "cookie" | "cookies") && *last == "header";
        if tables.has("safe_after", last) && !is_header {
            return true;
        }
    }
    if after.len() > 1 && tables.has("safe_after", after[0]) && after[0] != "id" {
        return true;
    }
    if tables.has("safe_before", words[0]) {
        return true;
    }
    let is_count = |word: &&str| {
        matches!(
            *word,
            "max" | "min" | "num" | "total" | "count" | "n" | "avg" | "mean"
        )
    };
    verdict == Token && words[..at].iter().any(is_count)
}

/// Tells whether a value under a key of a verdict other than `Plain` is a secret.
///
/// `siblings` are the keys beside it; they are asked only for tokens.
#[must_use]
pub fn reveals<'k>(
    verdict: Verdict,
    value: &Snap,
    key: &str,
    siblings: impl IntoIterator<Item = &'k str>,
) -> bool {
    match (verdict, value) {
        (_, Snap::Null | Snap::Bool(_)) => false,
        (Secret, Snap::Str(text) | Snap::Mark(text)) => !is_path(key, text),
        (Secret, _) => !only_describes(value),
        (Token, _) => {
            if let Snap::Str(text) | Snap::Mark(text) = value {
                let is_short = !is_longer(text, 23);
                let mut siblings = siblings.into_iter();
                let mut is_piece = || siblings.any(|key| tables().has("token_neighbours", key));
                if is_short && is_piece() && !is_random(text) {
                    return false;
                }
            }
            !counts(value)
        }
        (_, Snap::Int(number)) => number.unsigned_abs().to_string().len() >= least_digits(key),
        (_, Snap::Big(digits)) => {
            let digits = digits.trim_start_matches('-').len();
            digits <= MAX_NUMBER_DIGITS && digits >= least_digits(key)
        }
        (_, Snap::List(items)) => items.iter().take(MAX_COUNTS).any(|item| match item {
            Snap::Str(text) => looks_secret(text, key),
            _ => false,
        }),
        (_, Snap::Str(text) | Snap::Mark(text)) => looks_secret(text, key),
        _ => false,
    }
}

/// Tells whether a text under a weak key, such as `session` or `auth`, is a secret.
pub(super) fn looks_secret(value: &str, key: &str) -> bool {
    if is_longer(value, MAX_KEY) {
        return true;
    }
    let value = strip(value);
    if is_digits(value) {
        return len(value) >= least_digits(key);
    }
    look_of(value) == Look::Secret
}

fn least_digits(key: &str) -> usize {
    let words = words_of(key);
    let is_short = |word: &String| matches!(&**word, "pin" | "otp" | "totp" | "mfa" | "passcode");
    if words.iter().any(is_short) {
        return 4;
    }
    let weak = &tables().weak_words;
    let digits = words.iter().filter_map(|word| weak.get(&**word).copied());
    digits.max().unwrap_or(12)
}

/// Tells whether the value under a key with `token` in it is a count, or a set of counts, and so not a secret.
fn counts(value: &Snap) -> bool {
    let mut waiting = vec![value];
    let mut seen = 0;
    while let Some(item) = waiting.pop() {
        seen += 1;
        match item {
            Snap::Map(pairs) if !pairs.is_empty() => {
                waiting.extend(pairs.iter().take(MAX_COUNTS).map(|(_, value)| value));
            }
            Snap::Int(number) if number.unsigned_abs() <= MAX_COUNT as u64 => {}
            Snap::Null | Snap::Bool(_) | Snap::Float(_) => {}
            _ => return false,
        }
        if seen > MAX_COUNTS {
            return false;
        }
    }
    true
}

pub(super) const SCHEMA_KEYS: [&str; 9] = [
    "properties",
    "$ref",
    "anyOf",
    "oneOf",
    "allOf",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
];

/// Tells whether what stands under a secret key only says something of the secret: its schema, status or name.
fn only_describes(value: &Snap) -> bool {
    let is_described = |pairs: &[(Key, Snap)]| {
        (1..=32).contains(&pairs.len())
            && pairs
                .iter()
                .all(|(key, _)| SCHEMA_KEYS.contains(&&**key) || describes(key))
    };
    match value {
        Snap::List(items) if (1..=32).contains(&items.len()) => items
            .iter()
            .all(|item| matches!(item, Snap::Map(_)) && only_describes(item)),
        Snap::Map(pairs) => is_described(pairs),
        _ => false,
    }
}

/// Tells whether what stands under a secret key is the path of a file: `PWD`, `GOOGLE_APPLICATION_CREDENTIALS`.
pub(super) fn is_path(key: &str, value: &str) -> bool {
    if is_longer(value, MAX_KEY) || !value.starts_with(['/', '~', '.']) {
        return false;
    }
    let is_place = tail(key, 3).to_lowercase() == "pwd";
    let is_file = value.matches('/').count() >= 2 && !key.to_lowercase().contains("pass");
    (is_place || is_file) && !value.contains(' ') && look_of(value) != Look::Secret
}

/// Tells whether a key of an object that stands under a secret key describes the secret, as `type` and `user` do.
pub(super) fn describes(key: &str) -> bool {
    if is_longer(key, MAX_KEY) {
        return false;
    }
    let words = words_of(key);
    let is_safe = words
        .last()
        .is_some_and(|last| tables().has("safe_after", last));
    is_safe && classify(key) == Plain
}

/// What is known of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub verdict: Verdict,
    /// Whether it is one such as `name`, whose value says what the `value` beside it is.
    pub is_name: bool,
}

/// `classify` with a memory that cannot grow without bound, further secret keys, and keys that are not secret.
#[derive(Debug)]
pub struct KeyClasses {
    /// Folded, as are the safe ones. These count more than safe ones, and safe ones more than what `classify` says.
    pub(super) extra: HashSet<String>,
    pub(super) safe: HashSet<String>,
    known: Mutex<HashMap<Box<str>, Verdict>>,
    /// No two of a process have the same number.
    number: u64,
}

impl Default for KeyClasses {
    fn default() -> KeyClasses {
        KeyClasses::new([])
    }
}

impl KeyClasses {
    /// Returns a classifier that also takes the given keys for secret, in any case and spelling.
    pub fn new<'k>(extra: impl IntoIterator<Item = &'k str>) -> KeyClasses {
        KeyClasses::of(extra.into_iter().map(fold).collect(), HashSet::new())
    }

    /// Returns a classifier with further secret keys and safe ones, both folded.
    pub(super) fn of(extra: HashSet<String>, safe: HashSet<String>) -> KeyClasses {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        KeyClasses {
            extra,
            safe,
            known: Mutex::default(),
            number: COUNT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Returns the classifier without further keys.
    pub fn built_in() -> &'static KeyClasses {
        static BUILT_IN: OnceLock<KeyClasses> = OnceLock::new();
        BUILT_IN.get_or_init(KeyClasses::default)
    }

    /// Tells what a key says of its value.
    #[must_use]
    pub fn verdict(&self, key: &str) -> Verdict {
        self.about(key).verdict
    }

    /// Tells what a key says of its value, and whether the value may say what a `value` beside it is.
    #[inline]
    pub(super) fn about(&self, key: &str) -> About {
        let known = MET.try_with(|met| met.borrow().get(self.number, key));
        match known {
            Ok(Some(about)) => about,
            _ => self.find_out(key),
        }
    }

    #[cold]
    fn find_out(&self, key: &str) -> About {
        let about = About {
            verdict: self.shared_verdict(key),
            is_name: !is_longer(key, MAX_KEY) && tables().has("name_keys", &fold(key)),
        };
        let _ = MET.try_with(|met| met.borrow_mut().put(self.number, key, about));
        about
    }

    fn shared_verdict(&self, key: &str) -> Verdict {
        if let Some(known) = self.memory().get(key) {
            return *known;
        }
        let folded = (!self.is_built_in()).then(|| fold(key));
        let verdict = match folded {
            Some(folded) if self.extra.contains(&folded) => Secret,
            Some(folded) if self.safe.contains(&folded) => Plain,
            _ => classify(key),
        };
        if !is_longer(key, MAX_KEY) {
            let mut known = self.memory();
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(key.into(), verdict);
        }
        verdict
    }

    pub(super) fn is_built_in(&self) -> bool {
        self.extra.is_empty() && self.safe.is_empty()
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Verdict>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    static MET: RefCell<Memory<About, 256, 48>> = const { RefCell::new(Memory::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_case_and_spelling_is_judged_alike() {
        for key in [
            "api_key",
            "apiKey",
            "X-API-Key",
            "APIKEY",
            "openaiapikey",
            "Authorization",
            "db-password2",
        ] {
            assert_eq!(classify(key), Secret, "{key}");
        }
        for key in [
            "",
            "name",
            "max_tokens",
            "has_password",
            "password_policy",
            "secrets.yaml",
            "public_key",
            "author",
        ] {
            assert_eq!(classify(key), Plain, "{key}");
        }
        assert_eq!(classify("token"), Token);
        assert_eq!(classify("session"), Weak);
        assert_eq!(classify("value"), Verdict::Value);
        assert_eq!(classify("пароль"), Secret);
    }

    #[test]
    fn further_keys_are_secret_in_any_spelling() {
        let classes = KeyClasses::new(["Tax-ID"]);
        assert_eq!(classes.verdict("taxId"), Secret);
        assert_eq!(classes.verdict("taxId"), Secret);
        assert_eq!(KeyClasses::built_in().verdict("taxId"), Plain);
    }

    #[test]
    fn the_value_decides_where_the_key_is_not_sure() {
        let is_secret = |key: &str, value: Snap| {
            let verdict = classify(key);
            verdict != Plain && reveals(verdict, &value, key, [])
        };
        assert!(is_secret("password", Snap::from("x")));
        assert!(!is_secret("password", Snap::Null));
        assert!(!is_secret("PWD", Snap::from("/home/me")));
        assert!(is_secret("token", Snap::from("abc")));
        assert!(!is_secret("token", Snap::Int(99_999)));
        assert!(is_secret("token", Snap::Int(100_000)));
        assert!(!is_secret("session", Snap::from("open")));
        assert!(is_secret("pin", Snap::Int(1234)));
        assert!(!is_secret("pin", Snap::Int(123)));
        assert!(!is_secret(
            "password",
            Snap::map([("minLength", Snap::Int(8))])
        ));
        assert!(is_secret("password", Snap::map([("x", Snap::Int(8))])));
    }

    proptest! {
        #[test]
        fn no_key_makes_it_panic(key in "\\PC{0,40}", value in "\\PC{0,40}") {
            let verdict = classify(&key);
            let _ = reveals(verdict, &Snap::from(value), &key, []);
        }
    }
}
