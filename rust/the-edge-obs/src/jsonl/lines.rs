//! The lines of a log, of a bounded length each.

use std::io::{self, BufRead, Read};

use crate::event::MAX_LINE_BYTES;

pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// A line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'l> {
    /// Its number in the file, from 1.
    pub number: u64,
    /// Its bytes without the newline; `None` if they are more than readers accept.
    pub bytes: Option<&'l [u8]>,
    /// Whether its newline is missing: then it is the last one, and may be cut off.
    pub is_torn: bool,
}

impl Line<'_> {
    /// What is told of a line that is too long.
    pub(crate) fn too_long() -> String {
        format!("longer than {MAX_LINE_BYTES} bytes")
    }
}

/// The lines of a log, one at a time. Blank lines are left out, and counted. A byte order mark is ignored.
#[derive(Debug)]
pub struct Lines<R> {
    input: io::Chain<io::Cursor<Vec<u8>>, R>,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Starts to read.
    ///
    /// # Errors
    ///
    /// The input cannot be read, or is UTF-16.
    pub fn new(mut input: R) -> io::Result<Lines<R>> {
        let mut head = Vec::new();
        input.by_ref().take(4).read_to_end(&mut head)?;
        // The mark, and a first character that JSON may begin with.
        if matches!(head[..], [0xff, 0xfe, first, 0] | [0xfe, 0xff, 0, first] if first != 0) {
            return Err(io::Error::other(
                "it is UTF-16; a log is UTF-8: convert it first",
            ));
        }
        if head.starts_with(BOM) {
            head.drain(..BOM.len());
        }
        Ok(Lines {
            input: io::Cursor::new(head).chain(input),
            buffer: Vec::new(),
            number: 0,
        })
    }

    /// Returns the next line; `None` at the end.
    ///
    /// # Errors
    ///
    /// The input cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let (length, is_torn) = self.fill()?;
            if length == 0 && is_torn {
                return Ok(None);
            }
            self.number += 1;
            let is_short = length <= MAX_LINE_BYTES;
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
            if is_short && self.buffer.iter().all(is_blank) {
                continue;
            }
            return Ok(Some(Line {
                number: self.number,
                bytes: is_short.then_some(&self.buffer),
                is_torn,
            }));
        }
    }

    /// Reads a line into the buffer, and returns its length and whether its newline is missing. Of one that is too long nothing is
    /// kept.
    fn fill(&mut self) -> io::Result<(usize, bool)> {
        self.buffer.clear();
        let mut length = 0_usize;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok((length, true));
            }
            let newline = available.iter().position(|byte| *byte == b'\n');
            let taken = newline.unwrap_or(available.len());
            length = length.saturating_add(taken);
            if length <= MAX_LINE_BYTES {
                self.buffer.extend_from_slice(&available[..taken]);
            } else {
                self.buffer.clear();
            }
            self.input.consume(taken + usize::from(newline.is_some()));
            if newline.is_some() {
                return Ok((length, false));
            }
        }
    }
}
