//! One open log file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::opening::{is_deleted, is_same, open_for_appending, Opened};
use super::tally::Tally;

/// Nanoseconds for which a file is trusted to exist; a check takes half as long as writing a line.
const LOOK_EVERY: u64 = 50_000_000;
/// After this time a write of another process is complete.
const A_WRITE: Duration = Duration::from_millis(1);

/// A file that lines are appended to.
#[derive(Debug)]
pub(super) struct LogFile {
    opened: Opened,
    /// Whether its last line was cut off, by a full disk or the death of a process.
    is_torn: bool,
    /// From when until when lines may be written without a check: wall clock in nanoseconds.
    looked: u64,
    until: u64,
    /// What was written to it, for the totals of its run.
    pub tally: Tally,
}

impl LogFile {
    /// Opens a file, or creates it with this mode.
    ///
    /// `is_of_flow` says that it is to hold one flow alone.
    pub fn open(path: &Path, mode: u32, is_of_flow: bool) -> io::Result<LogFile> {
        open_for_appending(path, mode).map(|opened| LogFile::new(opened, is_of_flow))
    }

    fn new(opened: Opened, is_of_flow: bool) -> LogFile {
        let is_new = opened.file.metadata().is_ok_and(|file| file.len() == 0);
        let mut file = LogFile {
            tally: Tally::new(is_new && is_of_flow),
            opened,
            is_torn: false,
            looked: 0,
            until: 0,
        };
        file.is_torn = file.ends_torn();
        file
    }

    /// Tells whether it was checked so recently that a line of this time needs no check.
    pub fn is_trusted(&self, now: u64) -> bool {
        (self.looked..self.until).contains(&now)
    }

    /// Tells whether the file was deleted, or moved away as `tea-obs clean` and logrotate do.
    pub fn is_gone(&self, path: &Path) -> bool {
        match (fs::symlink_metadata(path), self.opened.file.metadata()) {
            (Ok(there), Ok(own)) => !is_same(&there, &own),
            // A folder that is not accessible any more is no reason: the open file can still be written to.
            (Err(error), _) => {
                matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
            }
            (Ok(_), Err(_)) => false,
        }
    }

    /// Tells whether a file that is gone was deleted: then nobody can read its lines any more.
    pub fn is_lost(&self) -> bool {
        self.opened
            .file
            .metadata()
            .is_ok_and(|own| is_deleted(&own))
    }

    /// Writes a whole line, its newline included, with one `write`.
    pub fn append(&mut self, line: &[u8], now: u64) -> io::Result<()> {
        self.until = 0;
        self.append_whole(line)
            .inspect_err(|_| self.tally.give_up())?;
        (self.looked, self.until) = (now, now.saturating_add(LOOK_EVERY));
        Ok(())
    }

    fn append_whole(&mut self, line: &[u8]) -> io::Result<()> {
        // The event must not be glued to a torn line; but another process may have ended that line by now.
        if self.is_torn && self.ends_torn() {
            let apart = [b"\n", line].concat();
            write_once(&mut self.opened.file, &apart, &mut self.is_torn)
        } else {
            write_once(&mut self.opened.file, line, &mut self.is_torn)
        }
    }

    /// Tells whether the last line has no end, and no other process is writing it right now.
    fn ends_torn(&mut self) -> bool {
        if !self.opened.is_readable || is_whole(&mut self.opened.file) {
            return false;
        }
        thread::sleep(A_WRITE);
        !is_whole(&mut self.opened.file)
    }
}

/// Writes with one `write`; what is written later goes to the end, wherever the file was read before.
fn write_once(file: &mut File, line: &[u8], is_torn: &mut bool) -> io::Result<()> {
    let written = loop {
        match file.write(line) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            written => break written?,
        }
    };
    *is_torn = written < line.len();
    if *is_torn {
        let text = format!(
            "only {written} of {} bytes were written: the disk is full",
            line.len()
        );
        return Err(io::Error::new(ErrorKind::WriteZero, text));
    }
    Ok(())
}

fn is_whole(file: &mut File) -> bool {
    let mut last = [b'\n'];
    let is_read = || -> io::Result<()> {
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(())
    }();
    is_read.is_err() || last == *b"\n"
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn a_full_disk_is_an_error_and_the_next_line_is_tried_again() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let is_readable = false;
        let mut log = LogFile::new(Opened { file, is_readable }, true);
        for _ in 0..2 {
            let error = log.append(b"{}\n", 7).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert!(!log.is_trusted(7));
        }
    }
}
