//! Read server-sent events by the standard.
//!
//! The standard: <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>. Lines end with LF, CR or
//! CRLF, a byte order mark can come first, `data` without a colon is an empty line of data. There are two differences: an event that is
//! cut off by the end of the stream is kept, and `error:` is read as the data of an event of that name, as llama.cpp's server sent its
//! errors until September 2025.

const MAX_STREAM: usize = 32 * 1024 * 1024;
const MAX_LINE: usize = 4 * 1024 * 1024;
/// How many bytes outside of events are kept, so that an error can show them.
const STRAY: usize = 65_536;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event: its type (an empty text without one) and its data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    pub name: String,
    pub data: String,
}

/// Collects the events of a stream from its bytes.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    line: Vec<u8>,
    total: usize,
    /// Whether the last byte was a CR: an LF behind it ends no further line.
    after_cr: bool,
    is_begun: bool,
    event: Event,
    has_data: bool,
    /// The beginning of the lines that belong to no event: an HTML page, or an error that came as plain JSON.
    stray: String,
}

impl EventStream {
    /// Takes bytes, and returns the events that end in them.
    ///
    /// # Errors
    ///
    /// The stream, or one of its lines, is larger than the limit. The text says so.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, String> {
        let mut found = Vec::new();
        self.total += bytes.len();
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, end) = match part.split_last() {
                Some((end @ (b'\n' | b'\r'), text)) => (text, Some(*end)),
                _ => (part, None),
            };
            let is_rest_of_crlf = self.after_cr && text.is_empty() && end == Some(b'\n');
            self.after_cr = end == Some(b'\r');
            if is_rest_of_crlf {
                continue;
            }
            self.line.extend_from_slice(text);
            if self.line.len() > MAX_LINE || self.total > MAX_STREAM {
                return Err(format!(
                    "the stream is larger than {MAX_STREAM} bytes, or has a line of more than {MAX_LINE} bytes"
                ));
            }
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                found.extend(self.take_line(&line));
            }
        }
        Ok(found)
    }

    /// Returns the event that the end of the stream cuts off.
    pub(super) fn finish(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            let _ = self.take_line(&line);
        }
        self.take_line(b"")
    }

    /// Returns the beginning of what belongs to no event.
    pub(super) fn stray(&self) -> &str {
        self.stray.trim()
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Event> {
        let line = match line.strip_prefix(BOM) {
            Some(bare) if !self.is_begun => bare,
            _ => line,
        };
        self.is_begun = true;
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" | "error" => {
                if field == "error" {
                    self.event.name = field.to_owned();
                }
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "event" => self.event.name = value.to_owned(),
            "" | "id" | "retry" => {}
            _ => self.keep(&line),
        }
        None
    }

    fn keep(&mut self, line: &str) {
        let room = STRAY.saturating_sub(self.stray.len());
        self.stray.extend(line.chars().take(room));
        self.stray.push_str(if room > 0 { "\n" } else { "" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut stream = EventStream::default();
        let mut found: Vec<Event> = Vec::new();
        for piece in pieces {
            found.extend(stream.take(piece).unwrap());
        }
        found.extend(stream.finish());
        found
            .into_iter()
            .map(|event| (event.name, event.data))
            .collect()
    }

    #[test]
    fn events_are_read_by_the_standard() {
        let text = "\u{feff}: a comment\r\nevent: a\rdata: x\ndata\ndata:  y\n\nid: 1\n\nerror: bad\r\n\r\ndata: cut";
        let expected = [("a", "x\n\n y"), ("error", "bad"), ("", "cut")];
        let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
        assert_eq!(events(&[text.as_bytes()]), expected);
    }

    #[test]
    fn what_belongs_to_no_event_is_kept() {
        let mut stream = EventStream::default();
        assert_eq!(
            stream
                .take(b"<html>\n{\"error\": 1}\ndata: x\n\n")
                .unwrap()
                .len(),
            1
        );
        assert_eq!(stream.stray(), "<html>\n{\"error\": 1}");
        let long = "x".repeat(MAX_LINE + 1);
        assert!(EventStream::default()
            .take(long.as_bytes())
            .unwrap_err()
            .starts_with("the stream is larger than 33554432 bytes"));
    }

    proptest! {
        #[test]
        fn the_cuts_of_pieces_do_not_matter(text in "[a:\\r\\n dé]{0,40}(data: x\\r\\n\\r\\n)?[\\n\\r]{0,3}", at in 0_usize..60) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            prop_assert_eq!(events(&[&bytes[..at], &bytes[at..]]), events(&[bytes]));
        }
    }
}
