//! Signs: one look at a text that tells which searches for secrets can find anything in it. Most texts bear no sign at all.

use std::sync::OnceLock;

use super::shapes::{programs, SHORTEST_FORMAT};
use super::tables::tables;

/// The signs that a text bears. A sign that is not set proves that its search finds nothing; one that is set proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signs(u32);

impl Signs {
    pub const NONE: Signs = Signs(0);
    /// The part of a word that can be the name of a secret.
    pub const NAME: Signs = Signs(1);
    /// A word as long as a key of a known format.
    pub const LONG: Signs = Signs(2);
    pub const URL: Signs = Signs(4);
    pub const BLOCK: Signs = Signs(8);
    pub const SCHEME: Signs = Signs(16);
    pub const ENCODED_URL: Signs = Signs(32);
    pub const PARAMETER: Signs = Signs(64);
    /// Any of the programs.
    pub const COMMAND: Signs = Signs(u32::MAX << 7);
    const ALL: Signs = Signs(u32::MAX);

    /// Returns the sign of a program, by its number among [`programs`].
    pub fn program(number: usize) -> Signs {
        Signs(1 << 7 << number)
    }

    pub fn has(self, sign: Signs) -> bool {
        self.0 & sign.0 != 0
    }

    /// Returns the signs of a text.
    ///
    /// They do not depend on case. A character beyond ASCII that is part of a word in the tables, or whose lower case is in ASCII,
    /// counts as every sign.
    pub fn of(text: &str) -> Signs {
        let needles = needles();
        if !text.is_ascii() && text.chars().any(|char| needles.is_special(char)) {
            return Signs::ALL;
        }
        let bytes = text.as_bytes();
        let mut found = 0;
        needles.find(bytes, |_, sign| found |= sign);
        if has_long_run(bytes) {
            found |= Signs::LONG.0;
        }
        Signs(found)
    }
}

/// Returns where parts of words that can be names of secrets stand in a text of ASCII, in order; some may be told twice.
pub(super) fn names_in(text: &str) -> Vec<usize> {
    let (needles, bytes) = (needles(), text.as_bytes());
    let mut found = Vec::new();
    needles.find(bytes, |start, sign| {
        if Signs(sign).has(Signs::NAME) {
            found.push(start);
        }
    });
    found.sort_unstable();
    found
}

/// Tells whether a text has a run of at least [`SHORTEST_FORMAT`] bytes.
fn has_long_run(bytes: &[u8]) -> bool {
    let mut start = 0;
    while let Some(window) = bytes.get(start..start + SHORTEST_FORMAT) {
        // No run goes on across the last byte that is part of none.
        match window
            .iter()
            .rposition(|byte| !IS_OF_RUN[usize::from(*byte)])
        {
            Some(at) => start += at + 1,
            None => return true,
        }
    }
    false
}

/// By byte, whether it is, or may be, part of a word as [`secret_spans`](super::secret_spans) takes them.
const IS_OF_RUN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let char = byte as u8;
        let is_sign = matches!(char, b'_' | b'$' | b'.' | b'-');
        table[byte] = char.is_ascii_alphanumeric() || is_sign || !char.is_ascii();
        byte += 1;
    }
    table
};

/// The number of beginnings: of three bytes the five lowest bits, which are the same for capital letters.
const BEGINNINGS: usize = 1 << 15;

/// The number of pairs of bytes, of each the five lowest bits.
const PAIRS: usize = 1 << 10;

/// Returns the beginning of a text, which is given as a number, its first byte the lowest. Different texts may have the same one.
fn beginning_of(text: u32) -> usize {
    let bits = text & 0x1f_1f1f;
    (bits.wrapping_mul(1 << 17 | 1 << 14 | 1 << 11) >> 17) as usize
}

/// Returns the first byte of a beginning, and the pair behind it.
fn parts_of(text: u32) -> (u8, usize) {
    let pair = text >> 8 & 0x1f1f;
    (text as u8 & 0x1f, (pair | pair >> 3) as usize % PAIRS)
}

/// What is looked for, in lower case.
struct Needles {
    /// A bit for each beginning.
    begins: Box<[u64; BEGINNINGS / 64]>,
    /// Sorted by the pair in their beginning.
    sorted: Vec<Needle>,
    /// By pair, where its needles begin in `sorted`; and the end.
    starts: Box<[u16; PAIRS + 1]>,
    /// The characters beyond ASCII of words in the tables.
    special: Vec<char>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Needle {
    pair: usize,
    /// What stands before the pair; `None` for anything.
    first: Option<u8>,
    last: u8,
    text: Box<[u8]>,
    /// How many bytes of the needle stand before its beginning; -1 where the beginning has another byte first.
    before: isize,
    sign: u32,
}

fn needles() -> &'static Needles {
    static NEEDLES: OnceLock<Needles> = OnceLock::new();
    NEEDLES.get_or_init(Needles::new)
}

impl Needles {
    fn new() -> Needles {
        let tables = tables();
        let names = tables
            .list("stems")
            .iter()
            .chain(tables.list("later_words"));
        let names: Vec<&str> = names.map(|name| &**name).collect();
        let special = names.iter().flat_map(|name| name.chars());
        let mut needles = Needles {
            begins: Box::new([0; BEGINNINGS / 64]),
            sorted: Vec::new(),
            starts: Box::new([0; PAIRS + 1]),
            special: special.filter(|char| !char.is_ascii()).collect(),
        };
        let shapes = [
            ("://", Signs::URL),
            ("-----begin ", Signs::BLOCK),
            ("bearer", Signs::SCHEME),
            ("basic", Signs::SCHEME),
            ("%2f%2f", Signs::ENCODED_URL),
            ("key=", Signs::PARAMETER),
            ("code=", Signs::PARAMETER),
        ];
        let names = names.into_iter().filter(|name| name.is_ascii());
        let names = names.map(|name| (name, Signs::NAME));
        let programs = programs().enumerate();
        let programs = programs.map(|(number, name)| (name, Signs::program(number)));
        for (needle, sign) in names.chain(shapes).chain(programs) {
            needles.add(needle.as_bytes(), sign);
        }
        needles.sorted.sort_unstable();
        for (pair, start) in needles.starts.iter_mut().enumerate() {
            let is_before = |needle: &Needle| needle.pair < pair;
            *start = needles.sorted.partition_point(is_before) as u16;
        }
        needles
    }

    /// Adds a needle by what stands at its first byte, and beside that: the places that are looked at may be the odd ones of it.
    fn add(&mut self, needle: &[u8], sign: Signs) {
        match *needle {
            [first, second] => {
                for any in 0..=31 {
                    self.add_at(needle, sign, 0, Some(first), [second, any]);
                }
                self.add_at(needle, sign, -1, None, [first, second]);
            }
            [first, second, third] => {
                self.add_at(needle, sign, 0, Some(first), [second, third]);
                self.add_at(needle, sign, -1, None, [first, second]);
            }
            [first, second, third, fourth, ..] => {
                self.add_at(needle, sign, 0, Some(first), [second, third]);
                self.add_at(needle, sign, 1, Some(second), [third, fourth]);
            }
            _ => {}
        }
    }

    fn add_at(
        &mut self,
        needle: &[u8],
        sign: Signs,
        before: isize,
        first: Option<u8>,
        [b, c]: [u8; 2],
    ) {
        for a in first.map_or(0..=31, |first| first..=first) {
            let beginning = beginning_of(u32::from_le_bytes([a, b, c, 0]));
            self.begins[beginning / 64] |= 1 << (beginning % 64);
        }
        self.sorted.push(Needle {
            pair: parts_of(u32::from_le_bytes([0, b, c, 0])).1,
            first: first.map(|first| first & 0x1f),
            last: needle[needle.len() - 1],
            text: needle.into(),
            before,
            sign: sign.0,
        });
    }

    /// Returns a number whose lowest bit tells whether a needle may have a beginning.
    #[inline]
    fn may_begin(&self, beginning: usize) -> u64 {
        self.begins[beginning / 64 % (BEGINNINGS / 64)] >> (beginning % 64)
    }

    /// Returns the next place, in steps of six bytes, on whose six bytes a needle may have its beginning; if there is none, the place
    /// behind which fewer than eight bytes are left.
    #[inline(never)]
    fn next_place(&self, bytes: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Some(eight) = bytes[at..].first_chunk() {
            let eight = u64::from_le_bytes(*eight);
            let three = [eight, eight >> 16, eight >> 32];
            let may = three.map(|four| self.may_begin(beginning_of(four as u32)));
            if (may[0] | may[1] | may[2]) & 1 != 0 {
                break;
            }
            at += 6;
        }
        at
    }

    /// Calls a function with where each needle stands in a text, and its sign; with some twice.
    ///
    /// Every second place is enough: a needle is known by what stands there, wherever it begins.
    fn find(&self, bytes: &[u8], mut found: impl FnMut(usize, u32)) {
        let mut from = 0;
        while from < bytes.len() {
            from = self.next_place(bytes, from);
            let rest = &bytes[from..];
            let eight = rest.first_chunk().map_or_else(
                || {
                    let mut eight = [0; 8];
                    eight[..rest.len()].copy_from_slice(rest);
                    eight
                },
                |eight| *eight,
            );
            let eight = u64::from_le_bytes(eight);
            let end = if rest.len() < 8 { rest.len() } else { 6 };
            for place in (0..end).step_by(2) {
                let four = (eight >> (8 * place)) as u32;
                if self.may_begin(beginning_of(four)) & 1 != 0 {
                    self.find_at(bytes, from + place, four, &mut found);
                }
            }
            from += end;
        }
    }

    /// Calls a function for each needle that has its beginning at a place, where four bytes stand.
    fn find_at(&self, text: &[u8], at: usize, four: u32, found: &mut impl FnMut(usize, u32)) {
        let (first, pair) = parts_of(four);
        let alike = usize::from(self.starts[pair])..usize::from(self.starts[pair + 1]);
        for needle in &self.sorted[alike] {
            let Some(start) = at.checked_add_signed(-needle.before) else {
                continue;
            };
            let is_first = needle.first.is_none_or(|own| own == first);
            let last = text.get(start + needle.text.len() - 1);
            if !is_first || last.is_none_or(|last| last.to_ascii_lowercase() != needle.last) {
                continue;
            }
            let there = text.get(start..start + needle.text.len());
            if there.is_some_and(|there| there.eq_ignore_ascii_case(&needle.text)) {
                found(start, needle.sign);
            }
        }
    }

    /// Tells whether a character beyond ASCII may be part of a needle.
    fn is_special(&self, char: char) -> bool {
        let of_word = |lower: char| lower.is_ascii() || self.special.contains(&lower);
        !char.is_ascii() && char.to_lowercase().any(of_word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sign_is_seen_wherever_it_stands_and_in_any_case() {
        for (text, sign) in [
            ("pw", Signs::NAME),
            ("my pw", Signs::NAME),
            ("a PASSWORD b", Signs::NAME),
            ("http://x", Signs::URL),
            ("-----BEGIN RSA", Signs::BLOCK),
            ("BeArEr", Signs::SCHEME),
            ("a%2F%2fb", Signs::ENCODED_URL),
            ("?Code=1", Signs::PARAMETER),
            ("run Docker Login now", Signs::COMMAND),
            ("abcdefghijklmn", Signs::LONG),
            ("\u{212a}ey", Signs::NAME),
            ("das l\u{d6}senord", Signs::NAME),
        ] {
            assert!(Signs::of(text).has(sign), "{text}");
        }
        for text in [
            "",
            "a",
            "the export hangs at 80 percent",
            "Gr\u{fc}\u{df}e \u{2013} na\u{ef}ve",
            "abcdefghijklm",
        ] {
            assert_eq!(Signs::of(text), Signs::NONE, "{text}");
        }
    }

    proptest! {
        #[test]
        fn all_names_in_a_text_are_told(
            parts in prop::collection::vec(("[a-zA-Z ]{0,7}", any::<prop::sample::Index>()), 0..8)
        ) {
            let tables = tables();
            let names = tables.list("stems").iter().chain(tables.list("later_words"));
            let names: Vec<&str> = names.map(|name| &**name).filter(|name| name.is_ascii()).collect();
            let parts = parts.iter().map(|(before, name)| [before, *name.get(&names)].concat());
            let text: String = parts.collect();
            let lower = text.to_ascii_lowercase();
            let stands = |at: &usize| names.iter().any(|name| lower[*at..].starts_with(name));
            let expected: Vec<usize> = (0..text.len()).filter(stands).collect();
            let mut found = names_in(&text);
            found.dedup();
            prop_assert_eq!(found, expected);
        }

        /// What contains a needle in lower case bears its sign.
        #[test]
        fn no_sign_is_overlooked(before in "\\PC{0,12}", at in any::<prop::sample::Index>(), behind in "\\PC{0,12}", mask in any::<u32>()) {
            let names = tables().list("stems");
            let programs: Vec<&str> = programs().collect();
            let needle = at.index(names.len() + programs.len());
            let (needle, sign) = match names.get(needle) {
                Some(name) => (&**name, Signs::NAME),
                None => (programs[needle - names.len()], Signs::COMMAND),
            };
            let upper = |(at, char): (usize, char)| if mask >> (at % 32) & 1 == 1 { char.to_uppercase().to_string() } else { char.to_string() };
            let needle: String = needle.chars().enumerate().map(upper).collect();
            let text = [before, needle, behind].concat();
            prop_assert!(Signs::of(&text).has(sign));
        }
    }
}
