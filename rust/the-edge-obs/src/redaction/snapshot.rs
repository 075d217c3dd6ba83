//! Snapshots: what is kept of a value when an event is made, and what of it may leave.
//!
//! [`snapshot`] drops values under secret keys, which become taints of the flow, and cuts what is too large. [`scrub`] runs when the
//! event is read or written: it takes secrets out of texts by their shape and by the names before them, and the flow's taints
//! wherever they reappear.

use std::borrow::Cow;
use std::collections::HashSet;

use super::chars::{head, is_longer, len};
use super::keys::{describes, fold, reveals, KeyClasses, Verdict, MAX_KEY, SCHEMA_KEYS};
use super::mistakes::mistake;
use super::needles::Needles;
use super::policy::Policy;
use super::scrubbing::Scrub;
use super::taints::{Taints, MAX_STRING, SHORTEST_NUMBER};
use crate::error::Error;
use crate::value::{Key, Snap};

/// The most items of one container.
pub const MAX_ITEMS: usize = 200;
/// The most containers inside one another.
pub const MAX_DEPTH: usize = 16;
/// The most values of one snapshot.
pub const MAX_VALUES: usize = 2_000;
/// The most characters of one snapshot. Strings of up to [`SHORT_STRING`] characters are not counted.
pub const MAX_CHARS: usize = 32_768;
/// Characters that every string keeps.
pub const SHORT_STRING: usize = 64;
/// The most characters of a key that is kept whole; a longer one was cut, if it had more than [`MAX_KEY`].
pub const LONGEST_WHOLE_KEY: usize = 232;

const MAX_LEAVES: usize = 64;

/// Returns what is kept of a value: without what stands under secret keys, and cut to the caps.
///
/// A cut shows as `…[+N chars]`, `[+N items]` or `[depth]`, and is a [`Snap::Mark`], as is the placeholder of a secret. Secrets are
/// taken out of a text before it is cut, so half of one never stays. The secrets found under keys are remembered in `taints`.
///
/// ```
/// use the_edge_obs::redaction::{scrub, snapshot, KeyClasses, Taints};
/// use the_edge_obs::value::from_json;
///
/// let (classes, taints) = (KeyClasses::built_in(), Taints::new());
/// let value = from_json(r#"{"api_key": "k-83hd72hs", "text": "I use k-83hd72hs", "max_tokens": 5}"#).unwrap();
/// let taken = snapshot(&value, &taints, classes);
/// assert_eq!(
///     scrub(&taken, &taints).to_json(),
///     r#"{"api_key":"[REDACTED]","text":"I use [REDACTED]","max_tokens":5}"#
/// );
/// ```
#[must_use]
pub fn snapshot(value: &Snap, taints: &Taints, classes: &KeyClasses) -> Snap {
    taken(value.clone(), taints, classes, Policy::shared())
}

fn taken(value: Snap, taints: &Taints, classes: &KeyClasses, policy: &Policy) -> Snap {
    Pass::new(taints, classes, policy, &OF_LOGS).take(value, 0)
}

/// Returns a copy of a value without what stands under secret keys, and with everything else; `None` if it is too large.
pub(super) fn whole(value: Snap, taints: &Taints, policy: &Policy) -> Option<Snap> {
    let mut pass = Pass::new(taints, &policy.classes, policy, &WHOLE);
    let taken = pass.take(value, 0);
    (!pass.is_lost).then_some(taken)
}

/// What a pass keeps of a value.
struct Caps {
    items: usize,
    depth: usize,
    values: usize,
    chars: usize,
    /// Whether a value that is larger is cut; otherwise all of it is lost.
    cuts: bool,
}

const OF_LOGS: Caps = Caps {
    items: MAX_ITEMS,
    depth: MAX_DEPTH,
    values: MAX_VALUES,
    chars: MAX_CHARS,
    cuts: true,
};

const WHOLE: Caps = Caps {
    items: 500_001,
    depth: 64,
    values: 500_000,
    chars: 16_777_216,
    cuts: false,
};

impl Policy {
    /// Returns what is kept of a value, as [`snapshot`] does, under the policy.
    #[must_use]
    pub fn snapshot(&self, value: &Snap, taints: &Taints) -> Snap {
        self.snapshot_owned(value.clone(), taints)
    }

    /// As [`Policy::snapshot`], of a value that nobody else needs: what is kept of it is moved.
    #[must_use]
    pub fn snapshot_owned(&self, value: Snap, taints: &Taints) -> Snap {
        taken(value, taints, &self.classes, self)
    }

    /// Returns a text without secrets, as [`scrub_text`] does, under the policy.
    #[must_use]
    pub fn scrub_text(&self, text: &str, taints: &Taints) -> String {
        self.cleaned(text, &taints.needles()).into_owned()
    }

    /// As [`Policy::scrub_text`], without a copy of a text that does not change.
    pub(super) fn cleaned<'t>(&self, text: &'t str, needles: &Needles) -> Cow<'t, str> {
        match needles.uncut(text, |secret| self.mask(secret)) {
            Cow::Borrowed(text) => self.without(text, needles.spans(text)),
            Cow::Owned(text) => self
                .without(&text, needles.spans(&text))
                .into_owned()
                .into(),
        }
    }

    fn without<'t>(&self, text: &'t str, taints: Vec<(usize, usize)>) -> Cow<'t, str> {
        if taints.is_empty() {
            self.by_shape(text)
        } else {
            self.united(text, taints)
        }
    }

    /// Returns a copy of a snapshot that is fit to leave, as [`scrub`] does, under the policy.
    #[must_use]
    pub fn scrub(&self, value: &Snap, taints: &Taints) -> Snap {
        scrubbed(value, taints, self)
    }

    /// Remembers a secret that the program knows, whatever it looks like: a text, an integer, or a list of them. Null and empty texts are
    /// skipped, so a variable that may not be set can be passed as it is. What is too short to be taken out, and what has no room, is
    /// counted by [`Taints::lost`].
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if there is anything else: a mapping, a number with a fraction, true or false. Nothing is remembered then.
    pub fn taint(&self, secret: &Snap, taints: &Taints) -> Result<(), Error> {
        let secrets = match secret {
            Snap::List(items) => items,
            one => std::slice::from_ref(one),
        };
        for secret in secrets {
            let kind = match secret {
                Snap::Bool(_) => "true or false",
                Snap::Float(_) => "a number with a fraction",
                Snap::List(_) => "a list in a list",
                Snap::Map(_) => "a mapping",
                _ => continue,
            };
            let problem = format!("taint cannot remember {kind}; allowed: texts, integers");
            return Err(mistake("taint", &problem));
        }
        for secret in secrets {
            match secret {
                Snap::Str(text) | Snap::Mark(text) if !text.is_empty() => {
                    let learned = taints.learn_text(text, false, true);
                    self.note_origins(learned.iter().map(String::as_str));
                }
                Snap::Int(number) => taints.name_number(&number.to_string()),
                Snap::Big(digits) => taints.name_number(digits),
                _ => {}
            }
        }
        Ok(())
    }

    /// Remembers a secret that is bytes, as [`Taints::name_bytes`] does, under the policy. Nothing is done if there are none.
    pub fn taint_bytes(&self, secret: &[u8], taints: &Taints) {
        match std::str::from_utf8(secret) {
            Ok("") => {}
            Ok(text) => {
                let learned = taints.learn_text(text, false, true);
                self.note_origins(learned.iter().map(String::as_str));
            }
            Err(_) => {
                let (text, spelled) = taints.learn_bytes(secret);
                self.note_spellings(&text, &spelled);
            }
        }
    }
}

/// An argument such as `--password`, which tells that the next one is a secret.
type Flag = Option<(Box<str>, Verdict)>;

/// One pass over one value, with what it may still spend.
struct Pass<'a> {
    taints: &'a Taints,
    classes: &'a KeyClasses,
    policy: &'a Policy,
    caps: &'static Caps,
    left: usize,
    chars: usize,
    /// Whether something is missing that may not be.
    is_lost: bool,
}

fn mark(text: String) -> Snap {
    Snap::Mark(text.into())
}

/// Returns the mark of items that were left out.
pub(crate) fn items_mark(missing: usize) -> Snap {
    mark(format!("[+{missing} items]"))
}

/// Returns how many further items the last one stands for: capturing a value leaves out most of what would be cut anyway.
fn uncaptured(last: Option<&Snap>) -> usize {
    let Some(Snap::Mark(text)) = last else {
        return 0;
    };
    let digits = text
        .strip_prefix("[+")
        .and_then(|text| text.strip_suffix(" items]"));
    digits
        .and_then(|digits| digits.parse().ok())
        .map_or(0, |missing: usize| missing.saturating_sub(1))
}

fn str_of(value: &Snap) -> Option<&str> {
    value.as_str()
}

fn is_sure(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Secret | Verdict::Token | Verdict::Weak)
}

impl<'a> Pass<'a> {
    fn new(
        taints: &'a Taints,
        classes: &'a KeyClasses,
        policy: &'a Policy,
        caps: &'static Caps,
    ) -> Pass<'a> {
        Pass {
            taints,
            classes,
            policy,
            caps,
            left: caps.values,
            chars: caps.chars,
            is_lost: false,
        }
    }

    fn take(&mut self, value: Snap, depth: usize) -> Snap {
        match value {
            Snap::Str(text) => self.text(text),
            Snap::List(_) | Snap::Map(_) if depth >= self.caps.depth => {
                self.is_lost = true;
                mark("[depth]".to_owned())
            }
            Snap::List(items) => self.items(items.into_vec(), depth),
            Snap::Map(pairs) => self.mapping(pairs.into_vec(), depth),
            other => other,
        }
    }

    fn text(&mut self, text: Box<str>) -> Snap {
        if !self.caps.cuts {
            let length = len(&text);
            self.is_lost |= length > self.chars;
            self.chars = self.chars.saturating_sub(length);
            return Snap::Str(text);
        }
        if !is_longer(&text, SHORT_STRING) {
            return self.whole(text);
        }
        let room = MAX_STRING.min(self.chars.max(SHORT_STRING));
        let length = len(&text);
        self.chars = self.chars.saturating_sub(length.min(room));
        if length <= room {
            return self.whole(text);
        }
        self.head(&text, length, room)
    }

    /// Returns a text that is not cut. If something in it has a shape of the policy's own, it is without secrets: the policy may be gone when
    /// the event is read, and a match could be the part of a secret by which the other rules find the rest of it.
    fn whole(&self, text: Box<str>) -> Snap {
        if self.policy.own_spans(&text).is_empty() {
            return Snap::Str(text);
        }
        let clean = self.policy.scrub_text(&text, self.taints);
        if *clean == *text {
            Snap::Str(text)
        } else {
            mark(clean)
        }
    }

    /// Returns the first `room` characters of a longer text, without secrets, and how many are missing.
    fn head(&self, text: &str, length: usize, room: usize) -> Snap {
        let window = head(text, room + MAX_STRING);
        let clean = self.policy.scrub_text(window, self.taints);
        let count = len(&clean);
        let mut kept = room.min(count);
        if window.len() < text.len() {
            // What was taken out has moved the end of the window up: the word at that end may be half a secret.
            let blank = window.rfind([' ', '\n', '\t']).map_or(0, |at| at + 1);
            let last = len(&window[blank..]);
            kept = kept.min(count.saturating_sub(last.min(MAX_STRING)));
        } else if kept == count {
            return Snap::from(clean);
        }
        let missing = length - kept;
        mark(format!("{}…[+{missing} chars]", head(&clean, kept)))
    }

    fn mapping(&mut self, mut pairs: Vec<(Key, Snap)>, depth: usize) -> Snap {
        let count = pairs.len();
        let unseen = uncaptured(pairs.last().map(|(_, value)| value));
        pairs.truncate(self.caps.items);
        // A name beside a value is judged as it came, so before anything is taken.
        let (mut few, mut many) = ([Verdict::Plain; MAX_ITEMS], Vec::new());
        let verdicts = match pairs.len() {
            0..=MAX_ITEMS => &mut few[..],
            more => {
                many.resize(more, Verdict::Plain);
                &mut many[..]
            }
        };
        for (verdict, (key, _)) in verdicts.iter_mut().zip(&pairs) {
            *verdict = self.verdict(key, &pairs);
        }
        let mut known = None;
        let mut taken = 0;
        while taken < pairs.len() && self.left > 0 {
            self.left -= 1;
            if self.caps.cuts && (known.is_some() || is_longer(&pairs[taken].0, MAX_KEY)) {
                self.rename(&mut pairs, taken, &mut known);
                verdicts[taken] = self.verdict(&pairs[taken].0, &pairs);
            }
            let mut short = None;
            if !self.caps.cuts && is_longer(&pairs[taken].0, MAX_KEY) {
                // The key stays whole; what it says is what the key of a log says.
                let key = self.key(&pairs[taken].0);
                verdicts[taken] = self.verdict(&key, &pairs);
                short = Some(key);
            }
            let (verdict, (key, value)) = (verdicts[taken], &pairs[taken]);
            let key = short.as_ref().unwrap_or(key);
            let siblings = || pairs.iter().map(|(key, _)| &**key);
            let is_secret = verdict != Verdict::Plain && reveals(verdict, value, key, siblings());
            pairs[taken].1 = if is_secret {
                self.secret(value, verdict)
            } else {
                let value = std::mem::replace(&mut pairs[taken].1, Snap::Null);
                self.take(value, depth + 1)
            };
            taken += 1;
        }
        if taken < count {
            self.is_lost = true;
            pairs.truncate(taken);
            pairs.push(("…".into(), items_mark(count - taken + unseen)));
            return Snap::map(pairs);
        }
        Snap::Map(pairs.into())
    }

    fn verdict(&self, key: &str, pairs: &[(Key, Snap)]) -> Verdict {
        match self.classes.verdict(key) {
            Verdict::Value => self.named(key, pairs),
            verdict => verdict,
        }
    }

    /// Gives a pair a key that is not too long, and differs from those before it.
    fn rename(&mut self, pairs: &mut [(Key, Snap)], at: usize, known: &mut Option<HashSet<Key>>) {
        let (before, rest) = pairs.split_at_mut(at);
        let key = &mut rest[0].0;
        if is_longer(key, MAX_KEY) {
            *key = self.key(key);
        }
        let known =
            known.get_or_insert_with(|| before.iter().map(|(key, _)| key.clone()).collect());
        while !known.insert(key.clone()) {
            *key = format!("{key}'").into();
        }
    }

    /// Returns a key that is not too long.
    fn key(&mut self, key: &str) -> Key {
        match self.text(key.into()) {
            Snap::Str(text) | Snap::Mark(text) if !is_longer(&text, LONGEST_WHOLE_KEY) => {
                text.into()
            }
            Snap::Str(text) | Snap::Mark(text) => {
                match self.head(&text, len(&text), LONGEST_WHOLE_KEY) {
                    Snap::Str(text) | Snap::Mark(text) => text.into(),
                    _ => text.into(),
                }
            }
            _ => key.into(),
        }
    }

    fn items(&mut self, mut items: Vec<Snap>, depth: usize) -> Snap {
        let (count, unseen) = (items.len(), uncaptured(items.last()));
        items.truncate(self.caps.items);
        let mut flag = None;
        let mut taken = 0;
        while taken < items.len() && self.left > 0 {
            self.left -= 1;
            let item = std::mem::replace(&mut items[taken], Snap::Null);
            items[taken] = self.item(item, &mut flag, depth);
            taken += 1;
        }
        if taken < count {
            self.is_lost = true;
            items.truncate(taken);
            items.push(items_mark(count - taken + unseen));
        }
        Snap::List(items.into())
    }

    fn item(&mut self, item: Snap, flag: &mut Flag, depth: usize) -> Snap {
        let text = match &item {
            Snap::Str(text) => Some(&**text),
            _ => None,
        };
        if let Some((name, verdict)) = flag.take() {
            let is_value = text.is_some_and(|text| !text.starts_with('-'));
            if is_value && reveals(verdict, &item, &name, []) {
                return self.secret(&item, verdict);
            }
        }
        // An argument list: ["--password", "x"].
        let name = text.filter(|text| text.starts_with('-') && !is_longer(text, MAX_KEY));
        let verdict = name.map_or(Verdict::Plain, |name| self.classes.verdict(name));
        if matches!(verdict, Verdict::Secret | Verdict::Token) {
            *flag = name.map(|name| (name.into(), verdict));
        }
        // A list of pairs, such as headers: [("Authorization", "Bearer x")].
        match item {
            Snap::List(pair) if pair.len() == 2 && self.names_secret(&pair[0], &pair[1]) => {
                let name = self.take(pair[0].clone(), depth + 1);
                Snap::List([name, self.secret(&pair[1], Verdict::Secret)].into())
            }
            item => self.take(item, depth + 1),
        }
    }

    /// Tells whether a text is a secret key of the value beside it.
    fn names_secret(&self, name: &Snap, value: &Snap) -> bool {
        let Snap::Str(key) = name else { return false };
        if is_longer(key, MAX_KEY) {
            return false;
        }
        let verdict = self.classes.verdict(key);
        is_sure(verdict) && reveals(verdict, value, key, [])
    }

    /// Returns what the name beside a `value` says of it; of a `text` it says only that it may be a secret.
    fn named(&self, key: &str, pairs: &[(Key, Snap)]) -> Verdict {
        for (other, name) in pairs {
            let Snap::Str(name) = name else { continue };
            if !self.classes.about(other).is_name {
                continue;
            }
            if name.matches(' ').count() >= 3 || is_longer(name, MAX_KEY) {
                continue;
            }
            let verdict = self.classes.verdict(name);
            if is_sure(verdict) {
                let is_value = matches!(&*fold(key), "value" | "values" | "val" | "vals");
                return if is_value { verdict } else { Verdict::Weak };
            }
        }
        Verdict::Plain
    }

    /// Returns the placeholder of a secret, and remembers what of it looks like one.
    fn secret(&self, value: &Snap, verdict: Verdict) -> Snap {
        let is_token = verdict == Verdict::Token;
        match value {
            Snap::Null => Snap::Null,
            Snap::Str(text) if !is_longer(text, MAX_STRING) => {
                if !self.taints.has(text) {
                    self.learn(text, is_token);
                }
                mark(self.policy.mask(text).into_owned())
            }
            _ => {
                let mut shown: Vec<Cow<str>> = Vec::new();
                for leaf in leaves(value) {
                    let digits = match leaf {
                        Snap::Int(number) => Cow::from(number.to_string()),
                        Snap::Big(digits) => Cow::from(&**digits),
                        leaf => {
                            let text = head(str_of(leaf).unwrap_or_default(), 2 * MAX_STRING);
                            self.learn(text, is_token);
                            shown.push(text.into());
                            continue;
                        }
                    };
                    self.taints.learn_number(&digits, is_token, false);
                    shown.push(digits);
                }
                mark(self.policy.mask(&shown.join("\x1f")).into_owned())
            }
        }
    }

    fn learn(&self, text: &str, is_token: bool) {
        let learned = self.taints.learn_text(text, is_token, false);
        self.policy.note_origins(learned.iter().map(String::as_str));
    }
}

/// Returns the texts and integers right under a secret key. Of an object, what describes it (a `type`, a `user`) is left out, and
/// of a schema everything.
fn leaves(value: &Snap) -> Vec<&Snap> {
    let mut found = Vec::new();
    let mut waiting = vec![value];
    let mut seen = 0;
    while seen < MAX_LEAVES {
        let Some(item) = waiting.pop() else { break };
        seen += 1;
        match item {
            Snap::Int(number) if number.unsigned_abs() < SHORTEST_NUMBER => {}
            Snap::Str(_) | Snap::Mark(_) | Snap::Int(_) | Snap::Big(_) => found.push(item),
            Snap::List(items) => waiting.extend(items.iter().take(MAX_LEAVES)),
            Snap::Map(pairs) => {
                let pairs = &pairs[..pairs.len().min(MAX_LEAVES)];
                if !is_schema(pairs) {
                    let inner = pairs.iter().filter(|(key, _)| !describes(key));
                    waiting.extend(inner.map(|(_, value)| value));
                }
            }
            Snap::Null | Snap::Bool(_) | Snap::Float(_) => {}
        }
    }
    found
}

const SCHEMA_TYPES: [&str; 15] = [
    "string", "str", "integer", "int", "number", "float", "boolean", "bool", "array", "object",
    "null", "any", "secret", "password", "text",
];

/// Tells whether the items of an object describe a field, as JSON Schema does, and hold no value of it.
fn is_schema(pairs: &[(Key, Snap)]) -> bool {
    pairs.iter().any(|(key, value)| {
        let kind = str_of(value).map(str::to_lowercase);
        let is_type = kind.is_some_and(|kind| SCHEMA_TYPES.contains(&&*kind));
        SCHEMA_KEYS.contains(&&**key) || (&**key == "type" && is_type)
    })
}

// --- what leaves ------------------------------------------------------------------------------------------------------

/// Returns a text without the flow's taints, and without the secrets that its shape and the names in it give away.
#[must_use]
pub fn scrub_text(text: &str, taints: &Taints) -> String {
    Policy::shared().scrub_text(text, taints)
}

/// Returns a copy of a snapshot that is fit to leave: every text and key of it scrubbed, every number one of JSON.
///
/// Keys lose what has the shape of a secret; a taint is taken out of values alone. Numbers that JSON has not become strings: `NaN`,
/// `Infinity`, `-Infinity`, and integers outside `-MAX_INT..=MAX_INT`. No mark is left.
#[must_use]
pub fn scrub(value: &Snap, taints: &Taints) -> Snap {
    scrubbed(value, taints, Policy::shared())
}

fn scrubbed(value: &Snap, taints: &Taints, policy: &Policy) -> Snap {
    Scrub::new(policy, taints).value(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_json;
    use proptest::prelude::*;

    fn taken(value: &Snap) -> (Snap, Taints) {
        let taints = Taints::new();
        let taken = snapshot(value, &taints, KeyClasses::built_in());
        (taken, taints)
    }

    fn shown(text: &str) -> String {
        let (taken, taints) = taken(&from_json(text).unwrap());
        scrub(&taken, &taints).to_json()
    }

    #[test]
    fn secrets_are_dropped_and_do_not_reappear() {
        let cases = [
            (
                r#"{"password":"hunter2xyz","note":"hunter2xyz!"}"#,
                r#"{"password":"[REDACTED]","note":"[REDACTED]!"}"#,
            ),
            (
                r#"{"note":"hunter2xyz","a":[{"api_key":["hunter2xyz"]}]}"#,
                r#"{"note":"[REDACTED]","a":[{"api_key":"[REDACTED]"}]}"#,
            ),
            (
                r#"{"pin":123456,"n":123456,"m":-123456,"k":1234567}"#,
                r#"{"pin":"[REDACTED]","n":"[REDACTED]","m":"[REDACTED]","k":1234567}"#,
            ),
            (
                r#"["--password","hunter2xyz","x"]"#,
                r#"["--password","[REDACTED]","x"]"#,
            ),
            (
                r#"[["Authorization","Bearer abc"],["Accept","x"]]"#,
                r#"[["Authorization","[REDACTED]"],["Accept","x"]]"#,
            ),
            (
                r#"{"name":"password","value":"hunter2xyz"}"#,
                r#"{"name":"password","value":"[REDACTED]"}"#,
            ),
            (
                r#"{"name":"colour","value":"hunter2xyz"}"#,
                r#"{"name":"colour","value":"hunter2xyz"}"#,
            ),
            (
                r#"{"password":null,"has_password":true,"tokens":5}"#,
                r#"{"password":null,"has_password":true,"tokens":5}"#,
            ),
            (
                r#"{"password":{"type":"string","minLength":8}}"#,
                r#"{"password":{"type":"string","minLength":8}}"#,
            ),
            (
                r#"{"a":9223372036854775808,"b":-9223372036854775808}"#,
                r#"{"a":"9223372036854775808","b":"-9223372036854775808"}"#,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn what_is_too_large_is_cut_and_says_so() {
        let items = Snap::from(vec![1; 250]);
        let (cut, _) = taken(&items);
        let Snap::List(cut) = cut else { panic!() };
        assert_eq!((cut.len(), &cut[200]), (201, &mark("[+50 items]".into())));
        let pairs = Snap::map((0..250).map(|at| (at.to_string(), Snap::Null)));
        assert_eq!(taken(&pairs).0.get("…"), Some(&mark("[+50 items]".into())));
        let text = "é ".repeat(4_500);
        let (cut, _) = taken(&Snap::from(text.clone()));
        let kept = head(&text, MAX_STRING);
        assert_eq!(cut, mark(format!("{kept}…[+808 chars]")));
        let mut deep = Snap::from(vec![1]);
        for _ in 0..20 {
            deep = Snap::List([deep].into());
        }
        let expected = format!("{}\"[depth]\"{}", "[".repeat(16), "]".repeat(16));
        assert_eq!(taken(&deep).0.to_json(), expected);
        let long = Snap::map([
            ("k ".repeat(150), Snap::Null),
            ("k ".repeat(151), Snap::Null),
        ]);
        let Snap::Map(pairs) = taken(&long).0 else {
            panic!()
        };
        assert!(pairs[0].0.ends_with("…[+68 chars]") && pairs[1].0.ends_with("…[+70 chars]"));
    }

    #[test]
    fn a_whole_snapshot_is_bounded() {
        let rows = Snap::from(vec![Snap::from(vec![1; 100]); 150]);
        let text = taken(&rows).0.to_json();
        assert!(text.len() < 5_000 && text.contains("[+"));
        let texts = Snap::from(vec!["x y".repeat(2_000); 20]);
        let Snap::List(cut) = taken(&texts).0 else {
            panic!()
        };
        let kept: usize = cut.iter().map(|text| len(str_of(text).unwrap())).sum();
        assert!(kept <= MAX_CHARS + 20 * (SHORT_STRING + 20), "{kept}");
        assert!(str_of(&cut[19]).unwrap().contains("…[+5936 chars]"));
    }

    #[test]
    fn half_of_a_secret_never_stays_before_a_cut() {
        for at in 0..40 {
            let text = format!(
                "{} password=hunter2xyzabc {}",
                "a ".repeat(4_075 + at),
                "b ".repeat(9_000)
            );
            let shown = shown(&Snap::from(text).to_json());
            assert!(!shown.contains("hunter"), "{at}");
        }
    }

    fn json() -> impl Strategy<Value = Snap> {
        let leaf = prop_oneof![
            Just(Snap::Null),
            any::<i64>().prop_map(Snap::Int),
            any::<f64>().prop_map(Snap::Float),
            "[a-z0-9 =:é]{0,20}".prop_map(Snap::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Snap::from),
                proptest::collection::vec(("name|value|password|token|a|b|session", inner), 0..6)
                    .prop_map(Snap::map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_leaves_is_strict_json_without_secrets(value in json(), secret in "[a-z]{6}[0-9]{6}") {
            let taints = Taints::new();
            let value = Snap::map([("x", value), ("password", Snap::from(&*secret)), ("y", Snap::from(format!("<{secret}>")))]);
            let clean = scrub(&snapshot(&value, &taints, KeyClasses::built_in()), &taints);
            let text = clean.to_json();
            prop_assert!(!text.contains(&secret));
            prop_assert_eq!(from_json(&text).unwrap().to_json(), text);
        }
    }
}
