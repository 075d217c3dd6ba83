//! What all commands share: exit codes, output streams, and messages.

use std::io::{self, BufWriter, StdoutLock, Write};

use the_edge_obs::text::{printable, printable_json};

use crate::error::FlowFileError;

pub(super) const PROGRAM: &str = "tea-obs-rs";

pub(super) const DONE: u8 = 0;
pub(super) const FAILED: u8 = 1;
pub(super) const BAD: u8 = 2;
pub(super) const INTERRUPTED: u8 = 130;
pub(super) const BROKEN_PIPE: u8 = 141;

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Fault {
    /// Bad usage or input. The text says what is wrong.
    Input(String),
    /// Stdout cannot be written.
    Output(io::Error),
}

impl From<the_edge_obs::Error> for Fault {
    fn from(error: the_edge_obs::Error) -> Fault {
        Fault::Input(error.to_string())
    }
}

impl From<FlowFileError> for Fault {
    fn from(error: FlowFileError) -> Fault {
        Fault::Input(error.to_string())
    }
}

/// Prints a text on stderr. Nobody is told where that is not possible.
pub(super) fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a message on stderr, as one line.
pub(super) fn say(text: &str) {
    tell(&format!("{PROGRAM}: {}\n", printable(text)));
}

/// Prints an error on stderr, as one line, and returns the exit code.
pub(super) fn fail(text: &str, code: u8) -> u8 {
    say(&format!("error: {text}"));
    code
}

/// The lines that go to stdout.
pub(super) struct Out(BufWriter<StdoutLock<'static>>);

/// Returns what writes to stdout.
pub(super) fn stdout() -> Out {
    Out(BufWriter::new(io::stdout().lock()))
}

impl Out {
    /// Writes a text as it is.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Fault> {
        self.0.write_all(text.as_bytes()).map_err(Fault::Output)
    }

    /// Writes a line of text, made safe for a terminal.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Fault> {
        self.text(&printable(text))?;
        self.text("\n")
    }

    /// Writes JSON; characters that control a terminal are written as JSON escapes, so the JSON stays equal.
    pub(super) fn json(&mut self, text: &str) -> Result<(), Fault> {
        self.text(&printable_json(text))
    }

    /// Writes what is still held, before something else is written to stderr.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        self.0.flush().map_err(Fault::Output)
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        self.0.flush().map_err(Fault::Output)
    }
}

/// Returns a count with its noun, in the plural unless the count is 1.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// Returns a count with commas between thousands.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_a_noun_that_fits() {
        assert_eq!(counted(1, "line"), "1 line");
        assert_eq!(counted(0, "line"), "0 lines");
        assert_eq!(counted(1_234_567, "event"), "1,234,567 events");
    }
}
