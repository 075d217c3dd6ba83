//! Files: the events of each flow, one line each.

mod log;
mod opening;
mod tally;

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Sink;
use crate::error::Error;
use crate::event::root_rank;
use crate::facts::Facts;
use crate::flow::Flow;
use crate::ids::FlowId;
use crate::line::with_line;
use log::LogFile;

/// The default path of flow files.
pub const DEFAULT_PATH: &str = "logs/flow-{flow_id}.jsonl";
/// The default mode of new files: only the owner reads logs.
pub const FILE_MODE: u32 = 0o600;
/// The most files that are open at once; with more, the one that waits longest for a line is closed.
pub const MAX_OPEN_FILES: usize = 64;

const PLACEHOLDER: &str = "{flow_id}";

/// Appends each event to its flow's file, with one `write` per line.
///
/// A line survives the death of the process: the operating system has it when [`Sink::take`] returns. A torn last line that somebody
/// else left behind is closed with a newline first. Files are opened for appending, so several processes can share one. They are
/// opened with their first event and closed when their flow ends.
///
/// A file that is deleted while its flow runs is created again, and that is an error. It is noticed with the first event that comes
/// 50 ms or more after the last check, and at the latest at the end of the flow; lines written before that are lost. A file that is
/// moved away, as by `logrotate` or `tea-obs clean`, is noticed in the same way; then nothing is lost, and later lines go into a new
/// file. After an error the next event tries again.
///
/// Only regular files are written: a path that is a symbolic link, a pipe or a device is refused. Its folders may be links; missing
/// ones are created with the first event, with mode 0700.
///
/// ```no_run
/// use the_edge_obs::sink::file::FlowFile;
///
/// let files = FlowFile::new("logs/flow-{flow_id}.jsonl")?.mode(0o640)?;
/// # Ok::<(), the_edge_obs::Error>(())
/// ```
#[derive(Debug)]
pub struct FlowFile {
    /// Absolute, and with the placeholder.
    path: Box<str>,
    has_placeholder: bool,
    mode: u32,
    /// The files by flow; a file without the placeholder in its path belongs to none.
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_flow: HashMap<Option<FlowId>, Place, BuildHasherDefault<Quick>>,
    /// Counts how often a file was asked for.
    clock: u64,
}

/// A hasher of ids. Whoever sends ids that collide slows nothing down: hardly more than [`MAX_OPEN_FILES`] are there at once.
#[derive(Debug, Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    fn write_u64(&mut self, part: u64) {
        self.0 = (self.0.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, part: isize) {
        self.write_u64(part as u64);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26) // the lowest bits of a product are the worst
    }
}

#[derive(Debug)]
struct Place {
    slot: Arc<Slot>,
    used: u64,
}

impl Place {
    /// Tells whether no thread is using the file: they take it while the slots are locked.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.slot) == 1
    }
}

/// A file that may be open. Each path has one at most, so its lines are not torn apart.
#[derive(Debug)]
struct Slot {
    path: PathBuf,
    file: Mutex<Option<LogFile>>,
    is_open: AtomicBool,
    /// Whether the file is that of one flow.
    is_of_flow: bool,
}

impl FlowFile {
    /// Returns a sink for a path; `{flow_id}` in it stands for the flow's id. Without it, all flows share one file. Nothing is
    /// created yet.
    ///
    /// # Errors
    ///
    /// [`Error::Path`] if the path has another placeholder, or no file can be created there.
    pub fn new(path: impl AsRef<Path>) -> Result<FlowFile, Error> {
        let path = path.as_ref();
        let refused = |problem: &dyn Display| Error::Path(format!("path {path:?} {problem}"));
        let text = path
            .to_str()
            .ok_or_else(|| refused(&"is not UTF-8; choose another path"))?;
        let bare = text.replace(PLACEHOLDER, "");
        if text.is_empty() || bare.contains(['{', '}']) {
            let problem = "is not a path of flow files; the only placeholder is {flow_id}";
            return Err(refused(&problem));
        }
        let whole = std::path::absolute(path)
            .map_err(|error| refused(&format!("cannot be written: {error}")))?;
        if let Some(problem) = opening::refusal(&whole) {
            return Err(refused(&format!("cannot be written: {problem}")));
        }
        let path = whole.to_string_lossy();
        Ok(FlowFile {
            has_placeholder: path.contains(PLACEHOLDER),
            path: path.into(),
            mode: FILE_MODE,
            slots: Mutex::default(),
        })
    }

    /// Sets the mode of new files. Default [`FILE_MODE`]. The umask can restrict it further; on Windows it has no meaning.
    ///
    /// # Errors
    ///
    /// [`Error::Path`] if the owner could not read and write the file, or somebody could execute it.
    pub fn mode(mut self, mode: u32) -> Result<FlowFile, Error> {
        if mode & !0o666 != 0 || mode & FILE_MODE != FILE_MODE {
            return Err(Error::Path(format!(
                "mode is {mode:#o}; it must be a file mode in which the owner reads and writes and nobody executes: 0o600 (the \
                 default), 0o640, 0o644, 0o660 or 0o666"
            )));
        }
        self.mode = mode;
        Ok(self)
    }

    /// Returns the path of a flow's file.
    #[must_use]
    pub fn path_of(&self, flow: &FlowId) -> PathBuf {
        self.path.replace(PLACEHOLDER, &flow.to_string()).into()
    }

    fn key(&self, flow: &FlowId) -> Option<FlowId> {
        self.has_placeholder.then_some(*flow)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a flow's file, which may not be open yet. Before it is opened, others are closed if there are too many.
    fn slot(&self, flow: &FlowId) -> Arc<Slot> {
        let key = self.key(flow);
        let mut closed = Vec::new();
        let slot = {
            let mut slots = self.slots();
            slots.clock += 1;
            let used = slots.clock;
            let place = slots.by_flow.entry(key).or_insert_with(|| Place {
                slot: Arc::new(Slot::new(self.path_of(flow), self.has_placeholder)),
                used,
            });
            place.used = used;
            let slot = Arc::clone(&place.slot);
            if !slot.is_open.load(Ordering::Relaxed) {
                slots.make_room(&mut closed);
            }
            slot
        };
        drop(closed); // closes the files
        slot
    }
}

impl Slots {
    /// Takes out files until one more may be open: those that are closed, and of the open ones the longest unused.
    fn make_room(&mut self, closed: &mut Vec<Place>) {
        let is_open = |place: &Place| place.slot.is_open.load(Ordering::Relaxed);
        loop {
            let open = self.by_flow.values().filter(|place| is_open(place)).count();
            let idle = self.by_flow.iter().filter(|(_, place)| place.is_idle());
            let oldest = idle.min_by_key(|(_, place)| (is_open(place), place.used));
            match oldest.map(|(key, place)| (*key, is_open(place))) {
                Some((key, true)) if open >= MAX_OPEN_FILES => {
                    closed.extend(self.by_flow.remove(&key))
                }
                Some((key, false)) => closed.extend(self.by_flow.remove(&key)),
                _ => return,
            }
        }
    }
}

impl Slot {
    fn new(path: PathBuf, is_of_flow: bool) -> Slot {
        Slot {
            is_of_flow,
            path,
            file: Mutex::new(None),
            is_open: AtomicBool::new(false),
        }
    }

    fn file(&self) -> MutexGuard<'_, Option<LogFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line. `is_end` says that it may be the flow's last one.
    fn append(&self, line: &[u8], facts: &Facts, mode: u32, is_end: bool) -> io::Result<()> {
        let now = facts.wall;
        let mut file = self.file();
        let mut is_lost = false;
        if let Some(open) = &*file {
            if (is_end || !open.is_trusted(now)) && open.is_gone(&self.path) {
                is_lost = open.is_lost();
                self.take(&mut file);
            }
        }
        let open = match &mut *file {
            Some(open) => open,
            none => {
                let open = LogFile::open(&self.path, mode, self.is_of_flow)?;
                self.is_open.store(true, Ordering::Relaxed);
                none.insert(open)
            }
        };
        let whole = if is_end {
            open.tally.ended(facts, line)
        } else {
            None
        };
        open.append(whole.as_deref().unwrap_or(line), now)?;
        open.tally.count(facts, line);
        if is_lost {
            return Err(lost("it was created again, without the earlier events"));
        }
        Ok(())
    }

    fn take(&self, file: &mut Option<LogFile>) -> Option<LogFile> {
        self.is_open.store(false, Ordering::Relaxed);
        file.take()
    }

    fn close(&self) -> io::Result<()> {
        let file = self.take(&mut self.file());
        match file {
            Some(file) if file.is_gone(&self.path) && file.is_lost() => {
                Err(lost("its events are lost"))
            }
            _ => Ok(()),
        }
    }

    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{:?}: {error}", self.path))
    }
}

fn lost(what: &str) -> io::Error {
    let text = format!("the file was deleted while its flow ran: {what}");
    io::Error::new(ErrorKind::NotFound, text)
}

impl Sink for FlowFile {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        let is_root = root_rank(&facts.node, facts.parent.is_some()) > 0;
        let is_end = is_root && facts.event_type.is_end();
        let slot = self.slot(&facts.flow.id);
        with_line(facts, |line| slot.append(line, facts, self.mode, is_end))
            .map_err(|error| slot.named(&error))
    }

    fn flow_ended(&self, flow: &Arc<Flow>) -> io::Result<()> {
        let key = self.key(&flow.id);
        let slot = {
            let mut slots = self.slots();
            match slots.by_flow.get(&key) {
                None => return Ok(()),
                Some(place) if !place.is_idle() => Some(Arc::clone(&place.slot)),
                Some(_) => slots.by_flow.remove(&key).map(|place| place.slot),
            }
        };
        slot.map_or(Ok(()), |slot| {
            slot.close().map_err(|error| slot.named(&error))
        })
    }

    fn name(&self) -> &str {
        "file"
    }
}
