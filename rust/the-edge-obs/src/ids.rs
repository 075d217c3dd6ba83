//! The ids of flows and spans.
//!
//! A flow id is a UUID of version 4 (RFC 9562). A span id is a UUID too: its first 8 bytes are those of its flow, its last 8 bytes
//! are the span's *number*, which is random. So the number serves as an OpenTelemetry span id, and a W3C `traceparent` names a
//! span completely.
//!
//! Numbers come from one generator per thread, which is seeded once by the operating system, through the standard library's
//! `RandomState`. A process that calls `fork` and goes on without `exec` would repeat the ids of its parent; Rust programs do not
//! do this by themselves, and this crate does not guard against it.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::value::Out;

/// The two top bits of the last 8 bytes of a UUID: the variant of RFC 9562, `0b10`.
const VARIANT: u64 = 1 << 63;
const RANDOM: u64 = (1 << 62) - 1;

/// The id of a flow: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowId {
    /// The first 8 bytes, which all span ids of the flow share.
    prefix: u64,
    rest: u64,
}

impl FlowId {
    /// Returns a new random id, of version 4.
    #[must_use]
    pub fn random() -> FlowId {
        FlowId {
            prefix: (next() & !(0xf << 12)) | (4 << 12),
            rest: new_number(),
        }
    }

    /// Returns the id of a flow's span, by the span's number.
    #[must_use]
    pub fn span(self, number: u64) -> SpanId {
        SpanId {
            prefix: self.prefix,
            number,
        }
    }

    /// Appends the id to a text.
    pub(crate) fn write(self, out: &mut impl Out) {
        out.push_ascii(&uuid(self.prefix, self.rest));
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(text_of(&uuid(self.prefix, self.rest)))
    }
}

impl FromStr for FlowId {
    type Err = Error;

    /// Reads a UUID of any version in its canonical form: lowercase, with hyphens.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (prefix, rest) = read_uuid(text)?;
        Ok(FlowId { prefix, rest })
    }
}

/// The id of a span: the first 8 bytes of its flow's id, and its own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId {
    prefix: u64,
    number: u64,
}

impl SpanId {
    /// Returns the last 8 bytes, big-endian: the span id of OpenTelemetry and `traceparent`.
    #[must_use]
    pub fn number(self) -> u64 {
        self.number
    }

    /// Tells whether the id begins as those of a flow do.
    #[must_use]
    pub fn is_of(self, flow: FlowId) -> bool {
        self.prefix == flow.prefix
    }

    /// Appends the id to a text.
    pub(crate) fn write(self, out: &mut impl Out) {
        out.push_ascii(&uuid(self.prefix, self.number));
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(text_of(&uuid(self.prefix, self.number)))
    }
}

impl FromStr for SpanId {
    type Err = Error;

    /// Reads a UUID of any version in its canonical form: lowercase, with hyphens.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (prefix, number) = read_uuid(text)?;
        Ok(SpanId { prefix, number })
    }
}

/// Returns a new number of a span: 62 random bits, behind the variant's two.
#[must_use]
pub fn new_number() -> u64 {
    (next() & RANDOM) | VARIANT
}

/// Tells whether a text is a UUID in its canonical form: lowercase, with hyphens.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Returns a UUID in its canonical form, given as two halves.
fn uuid(first: u64, last: u64) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let [one, two] = [hex(first >> 32), hex(first)];
    let [three, four] = [hex(last >> 32), hex(last)];
    text[..8].copy_from_slice(&one);
    text[9..13].copy_from_slice(&two[..4]);
    text[14..18].copy_from_slice(&two[4..]);
    text[19..23].copy_from_slice(&three[..4]);
    text[24..28].copy_from_slice(&three[4..]);
    text[28..].copy_from_slice(&four);
    text
}

fn text_of(ascii: &[u8]) -> &str {
    std::str::from_utf8(ascii).unwrap_or_default()
}

/// Returns the lower 32 bits of a number as hexadecimal digits, all of them at once.
fn hex(number: u64) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 255;
    let spread = number & 0xffff_ffff;
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread | spread << 4) & (ONES * 0x0f);
    let are_letters = ((spread + ONES * 6) >> 4) & ONES;
    let to_letters = u64::from(b'a' - b'0' - 10);
    (spread + ONES * u64::from(b'0') + are_letters * to_letters).to_be_bytes()
}

fn read_uuid(text: &str) -> Result<(u64, u64), Error> {
    let digits = || text.replace('-', "");
    let value = is_uuid(text).then(|| u128::from_str_radix(&digits(), 16));
    match value {
        Some(Ok(value)) => Ok(((value >> 64) as u64, value as u64)),
        _ => Err(Error::Id(text.to_owned())),
    }
}

thread_local! {
    static STATE: Cell<[u64; 4]> = Cell::new(seed());
}

/// Returns a seed that differs between threads and processes.
fn seed() -> [u64; 4] {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    // The keys of each state differ: those of the first in a thread are random, later ones count on from them.
    [0u8; 4].map(|_| {
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        hasher.write_u128(time);
        hasher.write_u32(std::process::id());
        hasher.finish() | 1
    })
}

/// Returns 64 random bits, by xoshiro256++ (Blackman and Vigna, 2019).
fn next() -> u64 {
    STATE.with(|state| {
        let mut s = state.get();
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        state.set(s);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn halves_are_written_as_hexadecimal_digits() {
        for shift in 0..32 {
            for digit in 0..16u32 {
                let number = digit.rotate_left(shift) ^ 0x0123_4567u32.rotate_left(shift / 2);
                let expected = format!("{number:08x}");
                assert_eq!(hex(u64::from(number) | 1 << 40), expected.as_bytes());
            }
        }
    }

    #[test]
    fn a_flow_id_is_a_uuid_of_version_4() {
        for _ in 0..1_000 {
            let text = FlowId::random().to_string();
            assert!(is_uuid(&text), "{text}");
            assert_eq!(&text[14..15], "4");
            assert!("89ab".contains(&text[19..20]));
            assert_eq!(text.parse::<FlowId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_span_id_begins_as_its_flow_does() {
        let flow: FlowId = "9f0df4a5-a646-4772-b822-7adce460ed24".parse().unwrap();
        let span = flow.span(0x8dd3_7757_55bc_b13e);
        assert_eq!(span.to_string(), "9f0df4a5-a646-4772-8dd3-775755bcb13e");
        assert!(span.is_of(flow));
        assert!(!span.is_of(FlowId::random()));
        let read: SpanId = span.to_string().parse().unwrap();
        assert_eq!((read, read.number()), (span, 0x8dd3_7757_55bc_b13e));
        // Leading zeros stay.
        let low: FlowId = "00000000-0000-0000-0000-000000000001".parse().unwrap();
        assert_eq!(
            low.span(2).to_string(),
            "00000000-0000-0000-0000-000000000002"
        );
    }

    #[test]
    fn only_the_canonical_form_is_read() {
        for text in [
            "",
            "9F0df4a5-a646-4772-b822-7adce460ed24",
            "9f0df4a5a6464772b8227adce460ed24",
            "9f0df4a5-a646-4772-b822-7adce460ed2é",
            "9f0df4a5-a646-4772-b822+7adce460ed24",
        ] {
            let error = text.parse::<FlowId>().unwrap_err();
            assert_eq!(error, Error::Id(text.to_owned()));
            assert!(error.to_string().ends_with("with hyphens"));
        }
    }

    #[test]
    fn numbers_differ_between_threads() {
        let threads: Vec<_> = (0..8)
            .map(|_| std::thread::spawn(|| (0..2_000).map(|_| new_number()).collect::<Vec<_>>()))
            .collect();
        let numbers: Vec<u64> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 16_000);
        assert!(numbers.iter().all(|number| number >> 62 == 0b10));
        // Each of the random bits is sometimes set and sometimes not.
        assert_eq!(
            numbers.iter().fold(0, |any, one| any | one),
            RANDOM | VARIANT
        );
        assert_eq!(numbers.iter().fold(u64::MAX, |all, one| all & one), VARIANT);
    }
}
