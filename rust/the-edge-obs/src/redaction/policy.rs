//! Policies: what counts as secret in a flow, beside what always does.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::cards::card_numbers;
use super::chars::is_space;
use super::keys::KeyClasses;
use super::own::{placeholders, OwnPattern};
use super::pattern::patterns;
use super::shapes::Span;
use super::spellings::spellings;
use super::texts::{covered, has_room, masked, secret_spans, PLACEHOLDER};

const MAX_ORIGINS: usize = 4_096;

/// What counts as secret, beside what always does: own keys and shapes, and keys that are safe.
///
/// A configuration's entry `redact:` makes one ([`Policy::from_snap`]).
#[derive(Debug, Default)]
pub struct Policy {
    pub(super) classes: KeyClasses,
    pub(super) patterns: Vec<OwnPattern>,
    pub(super) has_cards: bool,
    pub(super) correlate: bool,
    /// By the digest of a spelling, that of the secret itself.
    origins: Mutex<HashMap<u64, u64>>,
}

impl Policy {
    /// Returns the policy that adds nothing.
    #[must_use]
    pub fn built_in() -> Arc<Policy> {
        Arc::clone(Policy::shared())
    }

    /// Returns the policy that adds nothing, without a count of who holds it.
    pub(super) fn shared() -> &'static Arc<Policy> {
        static BUILT_IN: OnceLock<Arc<Policy>> = OnceLock::new();
        BUILT_IN.get_or_init(Arc::default)
    }

    pub(super) fn of(
        keys: HashSet<String>,
        safe_keys: HashSet<String>,
        patterns: Vec<OwnPattern>,
    ) -> Policy {
        Policy {
            classes: KeyClasses::of(keys, safe_keys),
            patterns,
            ..Policy::default()
        }
    }

    /// Returns a policy that combines both: what is a secret under either is a secret under it. A secret key of one takes precedence
    /// over a safe key of the other.
    ///
    /// So the policy of the whole program and a flow's own become that of the flow.
    #[must_use]
    pub fn with(&self, other: &Policy) -> Policy {
        let both = |one: &HashSet<String>, two: &HashSet<String>| one.union(two).cloned().collect();
        let mut patterns = self.patterns.clone();
        let is_new = |own: &&OwnPattern| patterns.iter().all(|known| known.source != own.source);
        let added: Vec<OwnPattern> = other.patterns.iter().filter(is_new).cloned().collect();
        patterns.extend(added);
        let keys = both(&self.classes.extra, &other.classes.extra);
        let safe_keys = both(&self.classes.safe, &other.classes.safe);
        Policy {
            has_cards: self.has_cards || other.has_cards,
            correlate: self.correlate || other.correlate,
            ..Policy::of(keys, safe_keys, patterns)
        }
    }

    // --- placeholders -----------------------------------------------------------------------------------------------------

    /// Returns the placeholder of a secret: `[REDACTED]`, or one that equal secrets share.
    ///
    /// Its digest has a random key that never leaves the process, so guesses cannot be tested on a log.
    pub(super) fn mask(&self, secret: &str) -> Cow<'static, str> {
        if !self.correlate {
            return PLACEHOLDER.into();
        }
        let digest = digest(secret);
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = origins.get(&digest).copied().unwrap_or(digest);
        format!("[REDACTED:{origin:012x}]").into()
    }

    /// Remembers that the spellings of secrets stand for the secrets themselves.
    pub(super) fn note_origins<'s>(&self, secrets: impl IntoIterator<Item = &'s str>) {
        if !self.correlate {
            return;
        }
        for secret in secrets {
            self.note_spellings(secret, &spellings(secret));
        }
    }

    /// Remembers that texts stand for a secret.
    pub(super) fn note_spellings(&self, secret: &str, spelled: &[String]) {
        if !self.correlate {
            return;
        }
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() >= MAX_ORIGINS {
            origins.clear();
        }
        let origin = digest(secret);
        let digests = spelled.iter().map(|text| digest(text));
        let others = digests.filter(|digest| *digest != origin);
        origins.extend(others.map(|digest| (digest, origin)));
    }

    // --- texts ------------------------------------------------------------------------------------------------------------

    /// Returns a text without the secrets that its shape, the names in it, and the patterns and presets of the policy give away.
    #[inline]
    pub(super) fn by_shape<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.looks_at_texts() {
            return self.united(text, Vec::new());
        }
        masked(text, &self.classes, |secret| self.mask(secret))
    }

    /// Returns a text with a placeholder for each secret in it, and for what stands at further places.
    ///
    /// All rules look at the text as it came. If one of them replaced what it finds before the next one looks, a part of a secret could hide
    /// the rest of it. Where secrets overlap, one placeholder stands for them.
    pub(super) fn united<'t>(&self, text: &'t str, mut spans: Vec<Span>) -> Cow<'t, str> {
        if has_room(text) {
            spans.extend(secret_spans(text, &self.classes));
        }
        spans.extend(self.own_spans(text));
        if spans.is_empty() {
            return text.into();
        }
        let kept = placeholders(text);
        spans.extend(&kept);
        spans.sort_unstable();
        let mut united: Vec<Span> = Vec::with_capacity(spans.len());
        for (start, end) in spans {
            match united.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => united.push((start, end)),
            }
        }
        covered(text, united, |(start, end)| {
            let found = &text[start..end];
            // A match inside a placeholder changes nothing.
            if kept.binary_search(&(start, end)).is_ok() {
                found.into()
            } else {
                self.mask(found)
            }
        })
        .into()
    }

    /// Tells whether texts hold no secret by their shape.
    pub(crate) fn keeps(&self, texts: &[&str]) -> bool {
        texts
            .iter()
            .all(|text| matches!(self.by_shape(text), Cow::Borrowed(_)))
    }

    fn looks_at_texts(&self) -> bool {
        !self.patterns.is_empty() || self.has_cards
    }

    /// Returns where the patterns and presets match in a text.
    pub(super) fn own_spans(&self, text: &str) -> Vec<Span> {
        let mut spans: Vec<Span> = self
            .patterns
            .iter()
            .flat_map(|pattern| pattern.spans(text))
            .collect();
        if self.has_cards {
            spans.extend(card_numbers(text));
        }
        spans
    }
}

patterns! {
    scheme = r"(?i)(?:bearer|basic|token|digest|apikey)\s{1,8}(\S+)\Z";
}

/// Returns 48 bits that only this process can make of a secret.
fn digest(secret: &str) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    let found = scheme().at(secret, 0).filter(|_| secret.contains(is_space));
    let core = found
        .as_ref()
        .map_or(secret, |found| found.group_text(1, secret));
    KEY.get_or_init(RandomState::new).hash_one(core) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redaction::Taints;
    use crate::value::{from_json, Snap};

    fn policy(entry: &str) -> Policy {
        Policy::from_snap(&from_json(entry).unwrap(), "redact").unwrap()
    }

    fn shown(policy: &Policy, value: &str) -> String {
        let taints = Taints::new();
        let taken = policy.snapshot(&from_json(value).unwrap(), &taints);
        policy.scrub(&taken, &taints).to_json()
    }

    #[test]
    fn own_keys_count_more_than_safe_ones_and_these_more_than_the_rules() {
        let own = policy(r#"{"keys": ["cpf"], "safe_keys": ["session_token", "Password"]}"#);
        let value = r#"{"C-P-F":"123.456.789-09","sessionToken":"abcdef123456","password":"hunter2xyz","api_key":"hunter3xyz","t":"cpf=98765abc password=hunter2xyz 123.456.789-09"}"#;
        let expected = r#"{"C-P-F":"[REDACTED]","sessionToken":"abcdef123456","password":"hunter2xyz","api_key":"[REDACTED]","t":"cpf=[REDACTED] password=hunter2xyz [REDACTED]"}"#;
        assert_eq!(shown(&own, value), expected);
        let both = own.with(&policy(r#"{"keys": ["password"]}"#));
        assert!(shown(&both, r#"{"password":"hunter2xyz"}"#).contains("[REDACTED]"));
    }

    #[test]
    fn own_shapes_are_taken_out_of_every_text() {
        let own = policy(r#"{"patterns": ["AC-[0-9]{6}", "b+$"], "preset": "payment"}"#);
        let long = format!("{} AC-123456 {}", "a ".repeat(4_090), "c ".repeat(4_000));
        let value = Snap::map([
            ("AC-111111", Snap::from("AC-1234567 4111111111111111")),
            ("cvv", Snap::Int(123)),
            ("long", long.as_str().into()),
            ("end", "ab\n".into()),
        ]);
        let text = shown(&own, &value.to_json());
        assert!(
            text.starts_with(r#"{"[REDACTED]":"[REDACTED]7 [REDACTED]","cvv":"[REDACTED]","long""#),
            "{text}"
        );
        assert!(!text.contains("AC-") && text.ends_with(r#""end":"a[REDACTED]\n"}"#));
        assert!(matches!(
            own.snapshot(&"x AC-123456".into(), &Taints::new()),
            Snap::Mark(_)
        ));
        assert_eq!(
            Policy::built_in().snapshot(&"AC-123456".into(), &Taints::new()),
            "AC-123456".into()
        );
    }

    #[test]
    fn bytes_get_one_placeholder_in_all_spellings() {
        let (own, taints) = (policy(r#"{"correlate": true}"#), Taints::new());
        own.taint_bytes(b"k\xfb\xff\x83\x01", &taints);
        let clean = own.scrub_text("a/v/gwE= 6bfbff8301", &taints);
        let (one, two) = clean.split_once(' ').unwrap();
        assert!(one == two && one.starts_with("[REDACTED:"), "{clean}");
        own.taint_bytes("schön-und-gut".as_bytes(), &taints);
        own.taint_bytes(b"", &taints);
        let clean = own.scrub_text("sch%C3%B6n-und-gut schön-und-gut", &taints);
        let (one, two) = clean.split_once(' ').unwrap();
        assert!(one == two && one.starts_with("[REDACTED:"), "{clean}");
        assert_eq!(taints.lost(), 0);
    }

    #[test]
    fn equal_secrets_get_equal_placeholders() {
        let own = policy(r#"{"correlate": true, "patterns": ["AC-[0-9]{6}"]}"#);
        let value = r#"[{"password":"hunter2\"xyz"},"it is hunter2\\\"xyz, hunter2\"xyz",{"authorization":"Bearer hunter2\"xyz"},{"secret":"otherone55"},{"secret":["a1b2c3d4e5",1234567]},1234567,"AC-123456 AC-123456"]"#;
        let text = shown(&own, value);
        let digests: Vec<&str> = text
            .split("[REDACTED:")
            .skip(1)
            .map(|rest| &rest[..12])
            .collect();
        assert_eq!(digests.len(), 9, "{text}");
        assert!(
            digests[..4].iter().all(|digest| *digest == digests[0]),
            "{text}"
        );
        assert_ne!(digests[4], digests[0]);
        assert_eq!(digests[7], digests[8]);
        assert_eq!(shown(&own, value), text);
    }

    #[test]
    fn what_the_program_names_is_a_secret() {
        let (own, taints) = (Policy::built_in(), Taints::new());
        let secrets = from_json(r#"["plain", null, "", 1234567, 99999999999999999999, "abc", 12]"#);
        own.taint(&secrets.unwrap(), &taints).unwrap();
        let text = own.scrub_text("plain 1234567 99999999999999999999 abc 12", &taints);
        assert_eq!(text, "[REDACTED] [REDACTED] [REDACTED] abc 12");
        assert_eq!(
            own.scrub(&Snap::Int(-1_234_567), &taints),
            "[REDACTED]".into()
        );
        assert_eq!(taints.lost(), 2);
        for wrong in ["true", "1.5", "{}", "[[]]"] {
            let error = own.taint(&from_json(wrong).unwrap(), &taints).unwrap_err();
            assert!(
                error.to_string().ends_with("allowed: texts, integers"),
                "{error}"
            );
        }
    }
}
