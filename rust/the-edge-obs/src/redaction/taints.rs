//! Taints: the secrets of one flow, which must not reappear in it, in every spelling in which they might.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bytes::{latin1, spellings_of_bytes};
use super::chars::{all_alnum, all_alpha, head, is_longer, len, strip, words};
use super::keys::{describes, KeyClasses};
use super::needles::Needles;
use super::pattern::patterns;
use super::spellings::spellings;
use super::texts::{secret_spans, PLACEHOLDER};
use super::values::{is_digits, is_phrase, is_random, look_of, Look};
use crate::value::{from_lenient_json, Snap};

/// The most characters of one string.
pub const MAX_STRING: usize = 8_192;
/// The most secrets that are remembered of one flow.
pub const MAX_SECRETS: usize = 4_096;
/// The most characters of all their spellings.
pub const MAX_SPELLED: usize = 262_144;
/// The fewest characters of a taint: fewer would erase half of every text.
pub const SHORTEST_TAINT: usize = 4;
/// Smaller numbers are never taken out.
pub const SHORTEST_NUMBER: u64 = 10_000;

const MAX_PASSED: usize = 256; // texts that were judged once, and not remembered, of
const MAX_ORDINARY: usize = 256; // characters at most
const MAX_DIGITS: usize = 40;

patterns! {
    setting = r#"([\w. -]{0,40})="?([^;&\s"]{4,})"#;
}

/// What a connection string has beside its secrets.
const PLACES: [&str; 25] = [
    "server",
    "database",
    "data",
    "source",
    "initial",
    "catalog",
    "db",
    "dbname",
    "sslmode",
    "encrypt",
    "application",
    "name",
    "address",
    "protocol",
    "driver",
    "uid",
    "accountname",
    "endpointsuffix",
    "defaultendpointsprotocol",
    "theme",
    "lang",
    "locale",
    "data source",
    "initial catalog",
    "user id",
];

/// The secrets of one flow, shared by its threads.
///
/// What is remembered: what stands right under a secret key and looks like a secret, what the program names with
/// [`Taints::name`], and the parts of both that can appear alone, such as the password of a connection string. Ordinary words,
/// paths, schemas and placeholders are not remembered: they would blank the same words in the rest of the run.
///
/// Without room, secrets that stood under a bare `token` go first, then the oldest; each one that goes is counted.
#[derive(Default)]
pub struct Taints {
    state: Mutex<State>,
}

impl fmt::Debug for Taints {
    /// Writes how many there are, and none of them.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, lost) = {
            let state = self.state();
            (state.secrets.len(), state.lost)
        };
        let mut fields = out.debug_struct("Taints");
        fields.field("count", &count).field("lost", &lost);
        fields.finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    secrets: HashMap<Box<str>, Secret>,
    /// Secrets by age, those under a bare `token` apart.
    by_age: [BTreeMap<u64, Box<str>>; 2],
    age: u64,
    /// By spelling, how many secrets have it.
    uses: HashMap<Box<str>, usize>,
    needles: Option<Arc<Needles>>,
    numbers: HashSet<Box<str>>,
    passed: HashSet<Box<str>>,
    chars: usize,
    lost: u64,
    version: u64,
}

struct Secret {
    age: u64,
    is_token: bool,
    spelled: Vec<Box<str>>,
    chars: usize,
}

impl Taints {
    /// Returns taints that know no secret.
    #[must_use]
    pub fn new() -> Taints {
        Taints::default()
    }

    /// Remembers a secret that the program knows, whatever it looks like. One of fewer than [`SHORTEST_TAINT`] characters cannot be
    /// taken out of texts: it is counted as lost.
    pub fn name(&self, secret: &str) {
        self.learn_text(secret, false, true);
    }

    /// Remembers an integer that the program knows as a secret, by its digits. One below [`SHORTEST_NUMBER`] is counted as lost.
    pub fn name_number(&self, digits: &str) {
        self.learn_number(digits, false, true);
    }

    /// Returns how many secrets are no longer remembered, for want of room or because they are too short.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state().lost
    }

    /// Returns how many characters all spellings have: how much memory the secrets take, about.
    #[must_use]
    pub fn chars(&self) -> usize {
        self.state().chars
    }

    /// Returns a number that grows with every change: what was found out about a text before is void.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state().version
    }

    /// Remembers a secret that is bytes, such as a key. Bytes of UTF-8 are a text, as for [`Taints::name`]; others are taken out as
    /// base64, as hexadecimal digits, as a list of numbers, percent-encoded, escaped, and as the characters that they may become.
    ///
    /// ```
    /// use the_edge_obs::redaction::{scrub_text, Taints};
    ///
    /// let taints = Taints::new();
    /// taints.name_bytes(b"k\xfb\xff\x83\x01");
    /// assert_eq!(scrub_text("key a/v/gwE= or 6bfbff8301", &taints), "key [REDACTED] or [REDACTED]");
    /// ```
    pub fn name_bytes(&self, secret: &[u8]) {
        match std::str::from_utf8(secret) {
            Ok(text) => self.name(text),
            Err(_) => {
                self.learn_bytes(secret);
            }
        }
    }

    /// Remembers bytes that are not text, and returns what stands for them, and their spellings.
    pub(super) fn learn_bytes(&self, secret: &[u8]) -> (String, Vec<String>) {
        let known = &secret[..secret.len().min(MAX_STRING)];
        let (text, spelled) = (latin1(known), spellings_of_bytes(known));
        let is_learned = self.state().remember(&text, spelled.clone(), false);
        self.note(&text, is_learned, true);
        (text, spelled)
    }

    /// Tells whether a text is the spelling of a secret.
    #[must_use]
    pub fn has(&self, text: &str) -> bool {
        self.state().uses.contains_key(text)
    }

    /// Remembers a text that stood under a secret key, if it looks like a secret, and returns what of it is remembered.
    pub(super) fn learn_text(&self, text: &str, is_token: bool, is_certain: bool) -> Vec<String> {
        if !is_certain && self.state().passed.contains(text) {
            return Vec::new();
        }
        let mut learned = parts(text, is_certain);
        learned.retain(|part| {
            (is_certain || is_worth(part, is_token))
                && self.state().remember(part, spellings(part), is_token)
        });
        self.note(text, !learned.is_empty(), is_certain);
        learned
    }

    /// Remembers an integer that stood under a secret key, by its digits.
    pub(super) fn learn_number(&self, digits: &str, is_token: bool, is_certain: bool) {
        let digits = digits.trim_start_matches('-');
        let is_large = digits.len() <= MAX_DIGITS && digits.len() > 4; // 10,000 has five
        let is_learned = is_large
            && self
                .state()
                .remember(digits, vec![digits.to_owned()], is_token);
        self.note(digits, is_learned, is_certain);
    }

    fn note(&self, text: &str, is_learned: bool, is_certain: bool) {
        let mut state = self.state();
        if is_certain && !is_learned && !text.is_empty() {
            state.lost += 1;
        } else if !is_learned && state.passed.len() < MAX_PASSED && !is_longer(text, MAX_ORDINARY) {
            state.passed.insert(text.into());
        }
    }

    /// Tells whether an integer is a secret, by its digits.
    pub(super) fn has_number(&self, digits: &str) -> bool {
        let digits = digits.trim_start_matches('-');
        digits.len() > 4 && self.state().numbers.contains(digits)
    }

    /// Returns a text with the placeholder in place of each taint.
    ///
    /// Where a text was cut before its flow knew the taint, the half before the cut is taken out too.
    #[must_use]
    pub fn without(&self, text: &str) -> String {
        self.masked(text, |_| PLACEHOLDER.into()).into_owned()
    }

    /// Returns a text with a mask where a taint stood, as [`Taints::without`] does.
    pub(super) fn masked<'t, 'm>(
        &self,
        text: &'t str,
        mask: impl Fn(&str) -> Cow<'m, str>,
    ) -> Cow<'t, str> {
        self.needles().masked(text, mask)
    }

    /// Returns the spellings of all secrets, for a look at one text or several.
    pub(super) fn needles(&self) -> Arc<Needles> {
        let mut state = self.state();
        let State { needles, uses, .. } = &mut *state;
        let needles =
            needles.get_or_insert_with(|| Arc::new(Needles::new(uses.keys().cloned().collect())));
        Arc::clone(needles)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Remembers a secret in its spellings; false for one that is too short, or a piece of a placeholder, or has no room.
    fn remember(&mut self, secret: &str, spelled: Vec<String>, is_token: bool) -> bool {
        if !is_longer(secret, SHORTEST_TAINT - 1) || PLACEHOLDER.contains(secret) {
            return false;
        }
        if let Some(known) = self.secrets.get(secret) {
            if !known.is_token || is_token {
                return true;
            }
            self.forget(secret);
            self.lost -= 1; // it comes again at once
        }
        let mut seen = HashSet::new();
        let spelled: Vec<Box<str>> = spelled
            .into_iter()
            .filter(|text| is_longer(text, SHORTEST_TAINT - 1) && seen.insert(text.clone()))
            .map(String::into_boxed_str)
            .collect();
        let chars = spelled.iter().map(|text| len(text)).sum();
        if !self.make_room(chars, is_token) {
            self.lost += 1;
            return false;
        }
        for text in &spelled {
            *self.uses.entry(text.clone()).or_default() += 1;
        }
        self.age += 1;
        self.by_age[usize::from(is_token)].insert(self.age, secret.into());
        self.chars += chars;
        if !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = secret.trim_start_matches('0');
            if secret.len() <= MAX_DIGITS && number.len() > 4 {
                self.numbers.insert(number.into());
            }
        }
        let secret_of = Secret {
            age: self.age,
            is_token,
            spelled,
            chars,
        };
        self.secrets.insert(secret.into(), secret_of);
        self.changed();
        true
    }

    /// Lets the oldest go, those under a bare `token` first, until a secret of a size has room; false if it never has.
    fn make_room(&mut self, chars: usize, is_token: bool) -> bool {
        while self.secrets.len() >= MAX_SECRETS || self.chars + chars > MAX_SPELLED {
            let oldest = |kind: usize| self.by_age[kind].values().next().cloned();
            let oldest = oldest(1).or_else(|| if is_token { None } else { oldest(0) });
            match oldest {
                Some(oldest) => self.forget(&oldest),
                None => return false,
            }
        }
        true
    }

    fn forget(&mut self, secret: &str) {
        let Some(known) = self.secrets.remove(secret) else {
            return;
        };
        self.by_age[usize::from(known.is_token)].remove(&known.age);
        for text in &known.spelled {
            if let Some(uses) = self.uses.get_mut(text) {
                *uses -= 1;
                if *uses == 0 {
                    self.uses.remove(text); // no other secret is spelled so
                }
            }
        }
        self.numbers.remove(secret.trim_start_matches('0'));
        self.chars -= known.chars;
        self.lost += 1;
        self.changed();
    }

    fn changed(&mut self) {
        self.version += 1;
        self.needles = None;
    }
}

fn is_worth(part: &str, is_token: bool) -> bool {
    let inner = strip(part);
    if is_token && all_alpha(inner) {
        return is_random(inner);
    }
    if is_digits(part) {
        return !is_token || len(part) > 5;
    }
    look_of(part) == Look::Secret || is_phrase(part)
}

// --- parts ------------------------------------------------------------------------------------------------------------

/// Returns a secret and what of it can appear alone.
fn parts(raw: &str, is_certain: bool) -> Vec<String> {
    let mut found = Vec::new();
    // No text shows more of a secret than a snapshot looks at: two pieces, each as long as a whole text may be.
    let first = head(raw, MAX_STRING);
    let inner = strip(first);
    if is_certain || !first.contains("://") {
        found.push(first.to_owned());
    }
    if inner != first {
        found.push(inner.to_owned());
    }
    if first.len() < raw.len() {
        found.push(head(&raw[first.len()..], MAX_STRING).to_owned());
    }
    if is_certain || all_alnum(first) {
        return found;
    }
    if head(first, 6).to_lowercase() == "basic " {
        found.extend(password_of(strip(&first[6..])));
    }
    let spans = secret_spans(first, KeyClasses::built_in());
    found.extend(
        spans
            .into_iter()
            .map(|(start, end)| first[start..end].to_owned()),
    );
    inside(inner, &mut found);
    found
}

fn inside(text: &str, found: &mut Vec<String>) {
    if text.starts_with(['{', '[']) {
        let mut waiting: Vec<Snap> = from_lenient_json(text).into_iter().collect();
        while let Some(item) = waiting.pop() {
            match item {
                Snap::Str(text) => found.push(text.into()),
                Snap::List(items) => waiting.extend(items.into_vec()),
                Snap::Map(pairs) => {
                    waiting.extend(pairs.into_vec().into_iter().map(|(_, value)| value));
                }
                _ => {}
            }
        }
    }
    let words = words(text);
    if (2..=8).contains(&words.len()) {
        let secrets = words.iter().filter(|word| look_of(word) == Look::Secret);
        found.extend(secrets.map(|word| (*word).to_owned()));
    }
    if words.len() == 1 && !text.contains("://") {
        if let Some((_, rest)) = text.split_once(':') {
            found.push(rest.to_owned()); // user:password
        }
    }
    for setting in setting().all(text) {
        let name = setting.group_text(1, text);
        let place = strip(name).to_lowercase();
        let is_place = PLACES.contains(&&*place);
        if !describes(name) && !is_place {
            found.push(setting.group_text(2, text).to_owned());
        }
    }
}

/// Returns the password of Basic credentials (RFC 7617).
fn password_of(credentials: &str) -> Option<String> {
    let digits = credentials.trim_end_matches('=');
    let padding = credentials.len() - digits.len();
    let is_padded = match digits.len() % 4 {
        0 => true,
        1 => false,
        2 => padding >= 2,
        _ => padding >= 1,
    };
    if padding > 2 || !is_padded {
        return None;
    }
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_is_taken_out_in_every_spelling() {
        let taints = Taints::new();
        taints.learn_text("pa ss/wörd'1x", false, false);
        for text in [
            "pa ss/wörd'1x",
            "pa%20ss%2Fw%C3%B6rd%271x",
            "pa ss/w\\u00f6rd'1x",
        ] {
            assert_eq!(
                taints.without(&format!("a {text} b")),
                "a [REDACTED] b",
                "{text}"
            );
        }
        assert_eq!(taints.without("pa ss"), "pa ss");
    }

    #[test]
    fn parts_of_a_secret_are_secrets() {
        let known = |secret: &str, part: &str| {
            let taints = Taints::new();
            taints.learn_text(secret, false, false);
            taints.has(part)
        };
        assert!(known("me:hunter2xyz", "hunter2xyz"));
        assert!(known("Basic bWU6aHVudGVyMnh5eg==", "hunter2xyz"));
        assert!(known("{\"a\": [\"hunter2xyz\"], \"a\": 1}", "hunter2xyz"));
        assert!(known("Server=db;Password=hunter2xyz", "hunter2xyz"));
        assert!(!known(
            "Server=database12;Password=hunter2xyz",
            "database12"
        ));
        assert!(known("postgres://me:hunter2xyz@db", "hunter2xyz"));
        assert!(!known("required", "required"));
    }

    #[test]
    fn a_number_is_not_part_of_a_longer_one() {
        let taints = Taints::new();
        taints.learn_number("-123456", false, false);
        assert_eq!(
            taints.without("123456 1234567 x123456"),
            "[REDACTED] 1234567 x[REDACTED]"
        );
        assert!(taints.has_number("123456") && taints.has_number("-123456"));
        taints.learn_number("9999", false, false);
        assert!(!taints.has("9999"));
    }

    #[test]
    fn half_of_a_secret_before_a_cut_is_taken_out() {
        let taints = Taints::new();
        taints.name("correct-horse-battery");
        assert_eq!(
            taints.without("it is correct-horse-b…[+12 chars]"),
            "it is [REDACTED]…[+12 chars]"
        );
        assert_eq!(
            taints.without("it is cor…[+12 chars]"),
            "it is cor…[+12 chars]"
        );
        taints.name("ababab-cd1");
        let told = "a secret that repeats its beginning";
        assert_eq!(
            taints.without("zababababab…[+4 chars]"),
            "zabab[REDACTED]…[+4 chars]",
            "{told}"
        );
    }

    #[test]
    fn what_cannot_be_remembered_is_counted() {
        let taints = Taints::new();
        taints.name("abc");
        assert_eq!(taints.lost(), 1);
        taints.learn_text("pending12345", true, false);
        for at in 0..MAX_SECRETS {
            taints.name(&format!("secret-number-{at}"));
        }
        // That under a bare token went first.
        assert_eq!(taints.lost(), 2);
        assert!(!taints.has("pending12345") && taints.has("secret-number-0"));
        taints.name("one-more-secret");
        assert_eq!(taints.lost(), 3);
        assert!(!taints.has("secret-number-0"));
        let version = taints.version();
        taints.name("one-more-secret");
        assert_eq!(taints.version(), version);
    }

    #[test]
    fn bytes_are_taken_out_in_every_spelling() {
        let taints = Taints::new();
        taints.name_bytes("pa ss/wörd'1x".as_bytes());
        assert_eq!(taints.without("pa%20ss%2Fw%C3%B6rd%271x"), "[REDACTED]");
        taints.name_bytes(&[0x80, 0x81, 0x82]);
        assert_eq!(taints.lost(), 1);
        let key: Vec<u8> = (120..152).collect();
        taints.name_bytes(&key);
        let debug = format!("{key:?}, {:02x?}", &key[..]);
        assert_eq!(taints.without(&debug), "[[REDACTED]], [[REDACTED]]");
        assert_eq!(taints.lost(), 1);
        // A long one has room, too.
        taints.name_bytes(&[0xfe; MAX_STRING + 9]);
        assert_eq!(taints.lost(), 1);
        assert_eq!(taints.without(&"fe".repeat(MAX_STRING)), "[REDACTED]");
    }

    #[test]
    fn a_secret_under_a_token_stays_longer_once_it_is_known_better() {
        let taints = Taints::new();
        taints.learn_text("pending12345", true, false);
        taints.learn_text("pending12345", false, false);
        assert_eq!(taints.lost(), 0);
        assert!(taints.has("pending12345"));
    }

    proptest! {
        #[test]
        fn no_named_secret_survives(secret in "[a-zA-Z0-9é%&\"'/ -]{4,20}", around in "[ -~é]{0,20}") {
            let taints = Taints::new();
            taints.name(&secret);
            prop_assume!(!secret.chars().all(|char| char.is_ascii_digit()) && !PLACEHOLDER.contains(&secret));
            let clean = taints.without(&format!("{around}{secret}{around}"));
            // The placeholder and what stands around it may together spell a short secret again; a longer one cannot.
            prop_assert!(secret.len() < 8 || !clean.contains(&secret), "{clean}");
        }
    }
}
