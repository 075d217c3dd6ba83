//! Dates and times as PyYAML reads them, in the form of Python's `isoformat`.

/// What can be wrong with a text that has the shape of a date.
pub(super) enum NotATime {
    /// It is not a date or a time at all.
    Shape,
    /// A part is out of its range, such as month 13.
    Range(&'static str),
}

/// A reader of a text's parts, from left to right.
struct Parts<'t> {
    rest: &'t str,
}

impl<'t> Parts<'t> {
    /// Takes from `least` to `most` digits.
    fn digits(&mut self, least: usize, most: usize) -> Result<u32, NotATime> {
        let count = self.rest.bytes().take(most);
        let count = count.take_while(u8::is_ascii_digit).count();
        if count < least {
            return Err(NotATime::Shape);
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().map_err(|_| NotATime::Shape)
    }

    fn take(&mut self, char: char) -> bool {
        let rest = self.rest.strip_prefix(char);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, char: char) -> Result<(), NotATime> {
        if self.take(char) {
            Ok(())
        } else {
            Err(NotATime::Shape)
        }
    }

    fn blanks(&mut self) -> bool {
        let rest = self.rest.trim_start_matches([' ', '\t']);
        let has_blanks = rest.len() < self.rest.len();
        self.rest = rest;
        has_blanks
    }
}

/// Tells whether a plain scalar has the shape of a date or a time.
pub(super) fn has_shape(text: &str) -> bool {
    !matches!(iso(text), Err(NotATime::Shape)) && (text.contains(':') || text.len() == 10)
}

/// Returns a date or a time as Python's `isoformat` shows it.
pub(super) fn iso(text: &str) -> Result<String, NotATime> {
    let mut parts = Parts { rest: text };
    let year = parts.digits(4, 4)?;
    parts.expect('-')?;
    let month = parts.digits(1, 2)?;
    parts.expect('-')?;
    let day = parts.digits(1, 2)?;
    let date = format!("{year:04}-{month:02}-{day:02}");
    if parts.rest.is_empty() {
        return in_range(year, month, day).map(|()| date);
    }
    if !(parts.take('T') || parts.take('t') || parts.blanks()) {
        return Err(NotATime::Shape);
    }
    let hour = parts.digits(1, 2)?;
    parts.expect(':')?;
    let minute = parts.digits(2, 2)?;
    parts.expect(':')?;
    let second = parts.digits(2, 2)?;
    let fraction = fraction(&mut parts);
    let zone = zone(&mut parts)?;
    in_range(year, month, day)?;
    if hour > 23 {
        return Err(NotATime::Range("hour must be in 0..23"));
    }
    if minute > 59 || second > 59 {
        return Err(NotATime::Range("minute and second must be in 0..59"));
    }
    Ok(format!(
        "{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"
    ))
}

fn in_range(year: u32, month: u32, day: u32) -> Result<(), NotATime> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        _ => return Err(NotATime::Range("month must be in 1..12")),
    };
    if year == 0 {
        return Err(NotATime::Range("year must be in 1..9999"));
    }
    if day == 0 || day > days {
        return Err(NotATime::Range("day is out of range for month"));
    }
    Ok(())
}

/// Takes the fraction of a second, and returns it as microseconds; nothing if it is zero.
fn fraction(parts: &mut Parts) -> String {
    if !parts.take('.') {
        return String::new();
    }
    let count = parts.rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = parts.rest.split_at(count);
    parts.rest = rest;
    let digits = &digits[..count.min(6)];
    if digits.bytes().all(|digit| digit == b'0') {
        return String::new();
    }
    format!(".{digits:0<6}")
}

fn zone(parts: &mut Parts) -> Result<String, NotATime> {
    if parts.rest.is_empty() {
        return Ok(String::new());
    }
    parts.blanks();
    if parts.take('Z') {
        return end(parts, "+00:00".to_owned());
    }
    let is_west = parts.take('-');
    if !is_west {
        parts.expect('+')?;
    }
    let hours = parts.digits(1, 2)?;
    let minutes = if parts.take(':') {
        parts.digits(2, 2)?
    } else {
        0
    };
    let total = 60 * hours + minutes;
    let sign = if is_west && total > 0 { '-' } else { '+' };
    let text = end(parts, format!("{sign}{:02}:{:02}", total / 60, total % 60))?;
    if total >= 24 * 60 {
        return Err(NotATime::Range("offset must be less than 24 hours"));
    }
    Ok(text)
}

fn end(parts: &Parts, text: String) -> Result<String, NotATime> {
    if parts.rest.is_empty() {
        Ok(text)
    } else {
        Err(NotATime::Shape)
    }
}
