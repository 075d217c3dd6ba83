//! Times and durations of filters: one grammar for code, flows and the command line.
//!
//! A time is a number (Unix seconds), a moment (ISO 8601), or a duration. All of them are ASCII, and blanks around them are ignored:
//!
//! ```text
//! time     = number | moment | duration
//! number   = [+-] digits [. digits] [(e|E) [+-] digits]          Unix seconds, finite
//! moment   = YYYY-MM-DD [(T or a blank) hh:mm [:ss [. digits]] [Z | z | (+|-)hh:mm]]
//! duration = [+-] digits [. digits] [blanks] (ms|s|m|min|h|d|w)   without + it lies in the past
//! ```
//!
//! A moment without a zone is local time.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::Timestamp;

use crate::error::Error;
use crate::event::{number as number_of, short};
use crate::value::Snap;

/// The units of a duration, and their seconds. `m` and `min` are both minutes.
pub const UNITS: [(&str, f64); 7] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
];

const BLANKS: [char; 6] = [' ', '\t', '\n', '\r', '\u{c}', '\u{b}'];
const DAY: i64 = 86_400;

/// Returns the current time in Unix seconds.
#[must_use]
pub fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// Returns a time as Unix seconds.
///
/// `now` is the time that durations refer to: `-5m` and `5m` are 5 minutes before it, `+5m` is 5 minutes after it. `name` is what the
/// value is called in an error.
///
/// # Errors
///
/// [`Error::Query`]: the value is neither a finite number nor a text that follows the grammar.
///
/// ```
/// use the_edge_obs::times::parse_time;
///
/// assert_eq!(parse_time(&"2026-01-31T12:00:00Z".into(), 0.0, "start_time")?, 1_769_860_800.0);
/// assert_eq!(parse_time(&"-5m".into(), 1_000.0, "start_time")?, 700.0);
/// assert!(parse_time(&"soon".into(), 0.0, "start_time").is_err());
/// # Ok::<(), the_edge_obs::Error>(())
/// ```
pub fn parse_time(value: &Snap, now: f64, name: &str) -> Result<f64, Error> {
    let found = match value {
        Snap::Str(text) | Snap::Mark(text) => time_of(text.trim_matches(BLANKS), now),
        other => number_of(other),
    };
    let is_text = matches!(value, Snap::Str(_) | Snap::Mark(_));
    // A duration may be too long for a number: then the time is before or after all others.
    found.filter(|seconds| is_text || seconds.is_finite()).ok_or_else(|| {
        Error::Query(format!(
            "{name} {} is not a valid time; allowed: Unix seconds, ISO 8601 such as 2026-01-31T12:00:00Z (local time without a \
             zone), or relative such as -30s, -5m, -2h, -1d (units: {})",
            short(value),
            unit_names()
        ))
    })
}

/// Returns a duration in seconds; it is negative after a minus. `name` is what the value is called in an error.
///
/// # Errors
///
/// [`Error::Duration`]: the text is not a number with a unit.
///
/// ```
/// use the_edge_obs::times::seconds_of;
///
/// assert_eq!(seconds_of("1.5h", "--since")?, 5_400.0);
/// assert_eq!(seconds_of("-250ms", "--since")?, -0.25);
/// let error = seconds_of("90", "--since").unwrap_err();
/// assert!(error.to_string().starts_with("--since \"90\" is not a number with a unit"));
/// # Ok::<(), the_edge_obs::Error>(())
/// ```
pub fn seconds_of(text: &str, name: &str) -> Result<f64, Error> {
    match signed_seconds(text.trim_matches(BLANKS)) {
        Some((Sign::Minus, seconds)) => Ok(-seconds),
        Some((_, seconds)) => Ok(seconds),
        None => Err(Error::Duration(format!(
            "{name} {} is not a number with a unit; write something like 30d, 12h or 250ms (units: {})",
            short(&text.into()),
            unit_names()
        ))),
    }
}

fn unit_names() -> String {
    UNITS.map(|(name, _)| name).join(", ")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
    None,
}

fn time_of(text: &str, now: f64) -> Option<f64> {
    if let Some((sign, seconds)) = signed_seconds(text) {
        let is_ahead = sign == Sign::Plus;
        return Some(if is_ahead {
            now + seconds
        } else {
            now - seconds
        });
    }
    number(text).or_else(|| moment(text))
}

fn signed_seconds(text: &str) -> Option<(Sign, f64)> {
    let mut scan = Scan::new(text);
    let sign = scan.sign();
    let start = scan.at;
    scan.decimal()?;
    let size: f64 = text[start..scan.at].parse().ok()?;
    let unit = text[scan.at..].trim_start_matches(BLANKS);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some((sign, size * factor))
}

fn number(text: &str) -> Option<f64> {
    let mut scan = Scan::new(text);
    scan.sign();
    scan.decimal()?;
    if scan.takes(b"eE").is_some() {
        scan.sign();
        scan.digits()?;
    }
    let number: f64 = scan.is_at_end().then(|| text.parse().ok())??;
    number.is_finite().then_some(number)
}

/// Reads a date, or a date and a time; digits of a second beyond the sixth are cut.
fn moment(text: &str) -> Option<f64> {
    let mut scan = Scan::new(text);
    let year = scan.count(4)?;
    scan.takes(b"-")?;
    let month = scan.count(2)?;
    scan.takes(b"-")?;
    let day = scan.count(2)?;
    let mut wall = days_of(year, month, day)? * DAY;
    let (mut micros, mut zone) = (0, None);
    if !scan.is_at_end() {
        scan.takes(b"T ")?;
        let (hours, minutes) = scan.clock()?;
        let seconds;
        (seconds, micros) = scan.seconds()?;
        if hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        wall += hours * 3_600 + minutes * 60 + seconds;
        zone = scan.zone()?;
    }
    scan.is_at_end().then(|| seconds_at(wall, micros, zone))
}

/// Returns Unix seconds. With a zone they are the float nearest to the exact value; local time is rounded as Python rounds it.
fn seconds_at(wall: i64, micros: i64, zone: Option<i64>) -> f64 {
    let Some(offset) = zone else {
        return local_seconds(wall) as f64 + micros as f64 / 1e6;
    };
    let exact = (wall - offset) * 1_000_000 + micros;
    let (sign, size) = (if exact < 0 { "-" } else { "" }, exact.unsigned_abs());
    let text = format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000);
    text.parse().unwrap_or(exact as f64 / 1e6)
}

/// Returns the days from 1970-01-01 to a date, or `None` for a date that does not exist. The first year is 1.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if year < 1 || !(1..=days).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last day of one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let before = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(before + (153 * month + 2) / 5 + day - 1 - 719_468)
}

/// Returns the Unix seconds of a local time, given as if it were UTC.
///
/// A time that occurs twice is the first of both. One that a change of the clock skips is read by the offset before the change. It is
/// the algorithm of Python's `datetime.timestamp`, which needs nothing but the offset at a time.
fn local_seconds(wall: i64) -> i64 {
    // Without a known zone the C library takes UTC, and so does Python.
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let offset = |unix: i64| {
        let range = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
        let at = unix.clamp(*range.start(), *range.end());
        Timestamp::from_second(at).map_or(0, |at| i64::from(zone.to_offset(at).seconds()))
    };
    let first_offset = offset(wall);
    let first = wall - first_offset;
    let holds = |unix: i64| unix + offset(unix) == wall;
    let other_offset = if holds(first) {
        let before = offset(first - DAY);
        if before == first_offset {
            return first;
        }
        before
    } else {
        offset(first)
    };
    let second = wall - other_offset;
    if holds(second) {
        second
    } else if holds(first) {
        first
    } else {
        first.max(second)
    }
}

/// Reads ASCII from left to right.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Scan<'a> {
        Scan {
            bytes: text.as_bytes(),
            at: 0,
        }
    }

    fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Takes one byte if it is one of those given.
    fn takes(&mut self, choices: &[u8]) -> Option<u8> {
        let byte = *self
            .bytes
            .get(self.at)
            .filter(|byte| choices.contains(byte))?;
        self.at += 1;
        Some(byte)
    }

    fn sign(&mut self) -> Sign {
        match self.takes(b"+-") {
            Some(b'+') => Sign::Plus,
            Some(_) => Sign::Minus,
            None => Sign::None,
        }
    }

    /// Takes digits, of which there must be one, and returns them.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then(|| &rest[..count])
    }

    fn decimal(&mut self) -> Option<()> {
        self.digits()?;
        if self.takes(b".").is_some() {
            self.digits()?;
        }
        Some(())
    }

    /// Takes exactly so many digits, and returns their number.
    fn count(&mut self, count: usize) -> Option<i64> {
        let digits = self.bytes.get(self.at..self.at + count)?;
        self.at += count;
        let add = |sum: i64, digit: &u8| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + i64::from(digit - b'0'))
        };
        digits.iter().try_fold(0, add)
    }

    fn clock(&mut self) -> Option<(i64, i64)> {
        let hours = self.count(2)?;
        self.takes(b":")?;
        Some((hours, self.count(2)?))
    }

    /// Takes seconds and their fraction, if they are there, and returns them and the microseconds.
    fn seconds(&mut self) -> Option<(i64, i64)> {
        if self.takes(b":").is_none() {
            return Some((0, 0));
        }
        let seconds = self.count(2)?;
        if self.takes(b".").is_none() {
            return Some((seconds, 0));
        }
        let digits = self
            .digits()?
            .iter()
            .copied()
            .chain(std::iter::repeat(b'0'));
        let micros = digits
            .take(6)
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Some((seconds, micros))
    }

    /// Takes a zone, if there is one, and returns its seconds east of UTC. Python refuses those of a day or more.
    fn zone(&mut self) -> Option<Option<i64>> {
        if self.takes(b"Zz").is_some() {
            return Some(Some(0));
        }
        let sign = self.sign();
        if sign == Sign::None {
            return Some(None);
        }
        let (hours, minutes) = self.clock()?;
        let size = hours * 3_600 + minutes * 60;
        (size < DAY).then_some(Some(if sign == Sign::Minus { -size } else { size }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> Option<f64> {
        parse_time(&text.into(), 1_000_000.0, "time").ok()
    }

    #[test]
    fn errors_name_the_value_and_what_is_allowed() {
        let error = parse_time(&"soon".into(), 0.0, "start_time").unwrap_err();
        assert_eq!(error.name(), "QueryError");
        assert_eq!(
            error.to_string(),
            "start_time \"soon\" is not a valid time; allowed: Unix seconds, ISO 8601 such as 2026-01-31T12:00:00Z (local time \
             without a zone), or relative such as -30s, -5m, -2h, -1d (units: ms, s, m, min, h, d, w)"
        );
        assert_eq!(seconds_of("5", "x").unwrap_err().name(), "DurationError");
        for value in [
            Snap::Float(f64::NAN),
            Snap::Big("9".repeat(400).into()),
            Snap::Bool(true),
        ] {
            assert!(parse_time(&value, 0.0, "time").is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_fraction_needs_seconds() {
        assert_eq!(time("2026-01-31T12:00.5Z"), None);
        assert_eq!(time("2026-01-31T12:00:00.5Z"), Some(1_769_860_800.5));
        assert_eq!(time("2026-01-31T12:00:00.Z"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-+0-9TZz:. eE\\x00\\u{e9}mshdw]{0,32}") {
            let _ = time(&text);
        }

        #[test]
        fn any_second_of_the_calendar_is_read_back(seconds in -62_135_596_800_i64..253_402_300_800) {
            let (days, clock) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
            let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
            let text = format!("{date}T{:02}:{:02}:{:02}Z", clock / 3_600, clock / 60 % 60, clock % 60);
            prop_assert_eq!(time(&text), Some(seconds as f64));
        }

        #[test]
        fn signs_mirror_a_duration(size in 0_u32..1_000_000, unit in 0_usize..7) {
            let text = format!("{size}{}", UNITS[unit].0);
            let plain = seconds_of(&text, "x").unwrap();
            prop_assert_eq!(seconds_of(&format!("-{text}"), "x").unwrap(), -plain);
            prop_assert_eq!(time(&format!("+{text}")), Some(1_000_000.0 + plain));
            prop_assert_eq!(time(&text), time(&format!("-{text}")));
        }
    }
}
