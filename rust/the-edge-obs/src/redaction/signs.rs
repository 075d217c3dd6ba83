//! Signs: one look at a text that tells which searches for secrets can find anything in it. Most texts bear no sign at all.

use std::sync::OnceLock;

use super::shapes::{programs, SHORTEST_FORMAT};
use super::tables::tables;

/// The signs that a text bears. A sign that is not set proves that its search finds nothing; one that is set proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signs(u8);

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
    pub const COMMAND: Signs = Signs(128);
    const ALL: Signs = Signs(255);

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
        let (mut found, mut window, mut run, mut longest) = (0, 0, 0, 0);
        for (at, byte) in bytes.iter().enumerate() {
            // Of a beginning, the five lowest bits of each byte: they are the same for capital letters.
            window = (window << 5 | usize::from(byte & 31)) & (BEGINNINGS - 1);
            if needles.may_begin(window) {
                found |= needles.at(&bytes[at.saturating_sub(2)..], window);
            }
            run = (run + 1) * IS_OF_RUN[usize::from(*byte)];
            longest = longest.max(run);
        }
        if longest >= SHORTEST_FORMAT {
            found |= Signs::LONG.0;
        }
        // A beginning of two bytes at the end of the text.
        if let Some(last) = bytes.len().checked_sub(2) {
            found |= needles.at(&bytes[last..], (window << 5) & (BEGINNINGS - 1));
        }
        Signs(found)
    }
}

/// By byte, 1 if it is, or may be, part of a word as [`secret_spans`](super::secret_spans) takes them, and 0 otherwise.
const IS_OF_RUN: [usize; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let char = byte as u8;
        let is_sign = matches!(char, b'_' | b'$' | b'.' | b'-');
        table[byte] = (char.is_ascii_alphanumeric() || is_sign || !char.is_ascii()) as usize;
        byte += 1;
    }
    table
};

/// The number of beginnings: of three bytes the five lowest bits.
const BEGINNINGS: usize = 1 << 15;

/// What is looked for, in lower case, by its beginning.
struct Needles {
    /// A bit for each beginning.
    begins: Box<[u64; BEGINNINGS / 64]>,
    /// Beginning, needle and sign, sorted.
    sorted: Vec<(usize, Box<[u8]>, u8)>,
    /// The characters beyond ASCII of words in the tables.
    special: Vec<char>,
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
        let programs = programs().map(|name| (name, Signs::COMMAND));
        for (needle, sign) in names.chain(shapes).chain(programs) {
            needles.add(needle.as_bytes(), sign);
        }
        needles.sorted.sort_unstable();
        needles
    }

    fn add(&mut self, needle: &[u8], sign: Signs) {
        let bits = |byte: u8| usize::from(byte & 31);
        let first = bits(needle[0]) << 10 | bits(needle[1]) << 5;
        let thirds = match needle.get(2) {
            Some(third) => bits(*third)..bits(*third) + 1,
            None => 0..32,
        };
        for third in thirds {
            let beginning = first | third;
            self.begins[beginning / 64] |= 1 << (beginning % 64);
            self.sorted.push((beginning, needle.into(), sign.0));
        }
    }

    fn may_begin(&self, beginning: usize) -> bool {
        self.begins[beginning / 64 % (BEGINNINGS / 64)] & (1 << (beginning % 64)) != 0
    }

    /// Returns the signs of what a text begins with.
    #[cold]
    fn at(&self, text: &[u8], beginning: usize) -> u8 {
        let from = self
            .sorted
            .partition_point(|(known, _, _)| *known < beginning);
        let alike = self.sorted[from..].iter();
        let alike = alike.take_while(|(known, _, _)| *known == beginning);
        let is_there = |needle: &[u8]| {
            let head = text.get(..needle.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(needle))
        };
        alike
            .filter(|(_, needle, _)| is_there(needle))
            .fold(0, |found, (_, _, sign)| found | sign)
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
