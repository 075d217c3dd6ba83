//! Needles: the spellings of a flow's secrets, looked for in a text all at once.

use std::borrow::Cow;
use std::collections::HashMap;

use super::chars::{forward, head, is_decimal, len, tail};
use super::taints::SHORTEST_TAINT;
use super::texts::covered;

/// Stands where a text was cut.
const CUT: &str = "…[+";

/// Bytes of the beginning of a needle by which it is found: no needle is shorter.
const BEGINNING: usize = SHORTEST_TAINT;
const PAIRS: usize = 1 << 10;
const BEGINNINGS: usize = 1 << 12;

/// The spellings of a flow's secrets at one moment.
///
/// The search is that of Wu and Manber (1994): the pair of bytes at the end of a window tells how far the next window can be away.
pub(super) struct Needles {
    /// The longest first.
    texts: Box<[Box<str>]>,
    /// Bytes of a window: those of the shortest needle.
    window: usize,
    /// By the last two bytes of a window, how far it can go on.
    shifts: Box<[u8; PAIRS]>,
    /// A bit for each beginning.
    begins: Box<[u64; BEGINNINGS / 64]>,
    by_beginning: HashMap<[u8; BEGINNING], Vec<u32>>,
}

fn pair_at(text: &[u8], last: usize) -> usize {
    (usize::from(text[last - 1]) << 5 ^ usize::from(text[last])) % PAIRS
}

fn beginning_of(text: &[u8]) -> Option<[u8; BEGINNING]> {
    text.first_chunk().copied()
}

fn bit_of(beginning: [u8; BEGINNING]) -> usize {
    u32::from_le_bytes(beginning).wrapping_mul(0x9e37_79b9) as usize >> 20
}

impl Needles {
    /// Returns needles, each of which has at least [`SHORTEST_TAINT`] characters.
    pub fn new(mut texts: Vec<Box<str>>) -> Needles {
        texts.sort_by(|one, two| len(two).cmp(&len(one)).then_with(|| one.cmp(two)));
        let shortest = texts.iter().map(|text| text.len()).min();
        let window = shortest.unwrap_or(BEGINNING).min(usize::from(u8::MAX));
        let mut needles = Needles {
            texts: texts.into(),
            window,
            shifts: Box::new([window as u8 - 1; PAIRS]),
            begins: Box::new([0; BEGINNINGS / 64]),
            by_beginning: HashMap::new(),
        };
        for (number, text) in needles.texts.iter().enumerate() {
            let bytes = text.as_bytes();
            for last in 1..window {
                let shift = &mut needles.shifts[pair_at(bytes, last)];
                *shift = (*shift).min((window - 1 - last) as u8);
            }
            let Some(beginning) = beginning_of(bytes) else {
                continue;
            };
            let bit = bit_of(beginning);
            needles.begins[bit / 64] |= 1 << (bit % 64);
            let alike = needles.by_beginning.entry(beginning).or_default();
            alike.push(number as u32);
        }
        needles
    }

    /// Returns the needles that stand in a text, by number: the longest first.
    fn found(&self, text: &str) -> Vec<u32> {
        let mut found = Vec::new();
        if self.texts.is_empty() {
            return found;
        }
        let bytes = text.as_bytes();
        let mut last = self.window - 1;
        while last < bytes.len() {
            let shift = usize::from(self.shifts[pair_at(bytes, last)]);
            if shift == 0 {
                self.add_at(&bytes[last + 1 - self.window..], &mut found);
            }
            last += shift.max(1);
        }
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    /// Adds the needles that a text begins with.
    fn add_at(&self, text: &[u8], found: &mut Vec<u32>) {
        let Some(beginning) = beginning_of(text) else {
            return;
        };
        let bit = bit_of(beginning);
        if self.begins[bit / 64] >> (bit % 64) & 1 == 0 {
            return;
        }
        let alike = self.by_beginning.get(&beginning);
        for number in alike.map_or(&[][..], Vec::as_slice) {
            if text.starts_with(self.texts[*number as usize].as_bytes()) {
                found.push(*number);
            }
        }
    }

    /// Returns a text with a mask where a needle stood.
    pub fn masked<'t, 'm>(
        &self,
        text: &'t str,
        mask: impl Fn(&str) -> Cow<'m, str>,
    ) -> Cow<'t, str> {
        if self.texts.is_empty() || text.len() < self.window && text.is_ascii() {
            return text.into();
        }
        let text = self.uncut(text, &mask);
        let spans = self.spans(&text);
        if spans.is_empty() {
            return text;
        }
        covered(&text, spans, |(start, end)| mask(&text[start..end])).into()
    }

    /// Returns a text with a mask in place of the half of a needle before the place where it was cut.
    pub fn uncut<'t, 'm>(
        &self,
        text: &'t str,
        mask: impl Fn(&str) -> Cow<'m, str>,
    ) -> Cow<'t, str> {
        let is_whole = self.texts.is_empty() || text.is_ascii();
        let cut = if is_whole { None } else { text.rfind(CUT) };
        cut.map_or(Cow::Borrowed(text), |at| {
            self.without_half(text, at, mask).into()
        })
    }

    /// Returns where needles stand in a text, in order: of those that begin at one place the longest.
    pub fn spans(&self, text: &str) -> Vec<(usize, usize)> {
        let found = self.found(text);
        if found.is_empty() {
            return Vec::new();
        }
        // Longest first, by their first byte.
        let mut by_byte: HashMap<u8, Vec<&str>> = HashMap::new();
        for number in found {
            let needle = &*self.texts[number as usize];
            by_byte
                .entry(needle.as_bytes()[0])
                .or_default()
                .push(needle);
        }
        let mut spans = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let here = by_byte.get(&text.as_bytes()[at]);
            let needle = here.and_then(|needles| {
                needles
                    .iter()
                    .find(|needle| text[at..].starts_with(**needle) && stands(text, at, needle))
            });
            match needle {
                Some(needle) => {
                    spans.push((at, at + needle.len()));
                    at += needle.len();
                }
                None => at = forward(text, at, 1),
            }
        }
        spans
    }

    fn without_half<'m>(
        &self,
        text: &str,
        cut: usize,
        mask: impl Fn(&str) -> Cow<'m, str>,
    ) -> String {
        let (before, rest) = text.split_at(cut);
        let (mut longest, mut whole) = (0, "");
        for needle in &self.texts {
            let start = head(needle, SHORTEST_TAINT);
            let end = tail(before, len(needle) - 1);
            // Places may overlap: a secret may repeat its beginning.
            let places = std::iter::successors(end.find(start), |at| {
                let next = forward(end, *at, 1);
                end[next..].find(start).map(|found| next + found)
            });
            let half = places
                .map(|at| &end[at..])
                .take_while(|half| half.len() > longest)
                .find(|half| needle.starts_with(half));
            let length = half.map_or(0, str::len);
            if length > longest {
                (longest, whole) = (length, needle);
            }
        }
        if longest == 0 {
            return text.to_owned();
        }
        let kept = &before[..before.len() - longest];
        format!("{kept}{}{rest}", mask(whole))
    }
}

/// Tells whether a taint at a place stands for itself: a number is not part of a longer one.
fn stands(text: &str, at: usize, needle: &str) -> bool {
    if !needle.chars().all(is_decimal) {
        return true;
    }
    let before = text[..at].chars().next_back();
    let behind = text[at + needle.len()..].chars().next();
    !before.is_some_and(is_decimal) && !behind.is_some_and(is_decimal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_needles_in_a_text_are_found(
            needles in prop::collection::hash_set("[abé1]{4,7}|[ab]{300,310}|\\PC{4,9}", 0..40),
            text in "[abé1 ]{0,80}|\\PC{0,40}|[ab]{0,700}",
            inner in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
        ) {
            let needles: Vec<Box<str>> = needles.into_iter().map(Into::into).collect();
            let mut chars: Vec<String> = text.chars().map(String::from).collect();
            if !needles.is_empty() {
                let at = at.index(chars.len() + 1);
                chars.insert(at, inner.get(&needles).to_string());
            }
            let (text, needles) = (chars.concat(), Needles::new(needles));
            let all = 0..needles.texts.len() as u32;
            let expected: Vec<u32> = all.filter(|number| text.contains(&*needles.texts[*number as usize])).collect();
            prop_assert_eq!(needles.found(&text), expected);
        }
    }
}
