//! What leaves of a snapshot, written as JSON in the pass that scrubs it: no clean copy is made in between.

use std::borrow::Cow;

use super::chars::is_longer;
use super::marks::{is_rest, told, Path, MAX_PATHS, MORE};
use super::policy::Policy;
use super::scrubbing::Scrub;
use super::snapshot::LONGEST_WHOLE_KEY;
use super::taints::Taints;
use crate::value::{write_string, Key, Out, Snap};

/// Appends parts of an event to a text, scrubbed, and notes where they do not hold all that was captured.
///
/// It writes what [`scrub`](super::scrub) returns, and notes what [`cut_paths`](super::cut_paths) finds in it.
pub(crate) struct Writer<'w, O> {
    scrub: Scrub<'w>,
    out: &'w mut O,
    found: Vec<String>,
}

impl<'w, O: Out> Writer<'w, O> {
    /// Returns a writer to a text.
    pub fn new(policy: &'w Policy, taints: &'w Taints, out: &'w mut O) -> Writer<'w, O> {
        Writer {
            scrub: Scrub::new(policy, taints),
            out,
            found: Vec::new(),
        }
    }

    /// Appends a text, and tells whether something is missing in it.
    pub fn text(&mut self, text: &str) -> bool {
        let clean = self.scrub.text(text);
        write_string(&clean, self.out);
        matches!(clean, Cow::Owned(clean) if clean != text)
    }

    /// Appends a pair: a name, which is no secret, and what was taken under it. Call it once at most.
    pub fn under(&mut self, name: &str, taken: &Snap) {
        write_string(name, self.out);
        self.out.push_one(b':');
        self.value(taken, Some(&Path::Name(name)));
    }

    /// Appends the pairs of data, with commas between them. Call it once at most.
    pub fn pairs(&mut self, pairs: &[(Key, Snap)]) {
        self.members(pairs, Some(&Path::Name("")));
    }

    /// Appends something as it is.
    pub fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Returns the paths of what was cut.
    pub fn cut(self) -> Vec<String> {
        if self.found.is_empty() {
            return self.found;
        }
        told(self.found)
    }

    /// Appends a value. Without a path, nothing is noted.
    fn value(&mut self, taken: &Snap, path: Option<&Path<'_>>) {
        match taken {
            Snap::Str(text) => {
                if self.text(text) {
                    self.note(path);
                }
            }
            Snap::Mark(text) => {
                self.text(text);
                self.note(path);
            }
            Snap::List(items) => self.items(items, path),
            Snap::Map(pairs) => {
                self.out.push_one(b'{');
                self.members(pairs, path);
                self.out.push_one(b'}');
            }
            Snap::Int(_) | Snap::Big(_) => self.number(taken, path),
            Snap::Null | Snap::Bool(_) | Snap::Float(_) => taken.write_to(self.out),
        }
    }

    fn number(&mut self, taken: &Snap, path: Option<&Path<'_>>) {
        let start = self.out.bytes().len();
        match self.scrub.number_mask(taken) {
            Some(mask) => write_string(&mask, self.out),
            None => taken.write_to(self.out),
        }
        // A number of thousands of digits is lost too.
        let written = &self.out.bytes()[start..];
        if written.starts_with(b"\"[REDACTED") || written.starts_with(b"\"<") {
            self.note(path);
        }
    }

    fn items(&mut self, items: &[Snap], path: Option<&Path<'_>>) {
        self.out.push_one(b'[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.out.push_one(b',');
            }
            if at + 1 == items.len() && is_rest(item) {
                self.value(item, None);
                self.note(path);
            } else {
                let inner = path.map(|path| Path::Item(path, at));
                self.value(item, inner.as_ref());
            }
        }
        self.out.push_one(b']');
    }

    fn members(&mut self, pairs: &[(Key, Snap)], path: Option<&Path<'_>>) {
        let names = self.scrub.names(pairs);
        for (at, (key, value)) in pairs.iter().enumerate() {
            if at > 0 {
                self.out.push_one(b',');
            }
            let name = names.as_ref().map_or(key, |names| &names[at]);
            write_string(name, self.out);
            self.out.push_one(b':');
            let inner = path.map(|path| Path::Key(path, name));
            if is_longer(name, LONGEST_WHOLE_KEY) || name != key {
                self.note(inner.as_ref());
                self.value(value, None);
            } else if matches!(value, Snap::Mark(_)) && &**name == MORE {
                self.value(value, None);
                self.note(path);
            } else {
                self.value(value, inner.as_ref());
            }
        }
    }

    fn note(&mut self, path: Option<&Path<'_>>) {
        if let Some(path) = path.filter(|_| self.found.len() <= MAX_PATHS) {
            self.found.push(path.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redaction::cut_paths;
    use crate::redaction::made::{flows, snaps};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn one_pass_writes_what_two_do(value in snaps(), flow in flows()) {
            let (policy, taints) = (&flow.policy, &flow.taints);
            let clean = policy.scrub(&value, taints);
            let mut out = String::new();
            let mut writer = Writer::new(policy, taints, &mut out);
            writer.under("input", &value);
            prop_assert_eq!(writer.cut(), cut_paths("input", &value, &clean));
            prop_assert_eq!(out, format!("\"input\":{}", clean.to_json()));
            if let Snap::Map(pairs) = &value {
                let mut out = String::new();
                let mut writer = Writer::new(policy, taints, &mut out);
                writer.pairs(pairs);
                prop_assert_eq!(writer.cut(), cut_paths("", &value, &clean));
                prop_assert_eq!(format!("{{{out}}}"), clean.to_json());
            }
        }
    }
}
