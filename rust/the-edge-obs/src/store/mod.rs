//! Where the events of flows are: rings, log files, and folders of log files, all read in the same way.

mod merging;
mod streaming;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::event::timestamp;
use crate::flow_log::{build_flow_log, build_known_flow_log, FlowLog, Outcome};
use crate::ids::{is_uuid, FlowId};
use crate::jsonl::{log_files, Events, Folder, Skipped};
use crate::query::Filters;
use crate::repeats::Seen;
use crate::sink::ring::Ring;
use crate::value::Snap;
use merging::{joined, merged};
use streaming::{stream, Sieve};

/// Rings and paths in which flows are looked for.
///
/// ```
/// use the_edge_obs::store::Store;
/// use the_edge_obs::{Error, Filters};
///
/// let store = Store::new().path("/no/such/folder");
/// let error = store.query(None, &Filters::new().node("llm.*")).unwrap_err();
/// assert_eq!(error.to_string(), "\"/no/such/folder\" cannot be read: no such file or directory");
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Store {
    rings: Vec<Ring>,
    paths: Vec<PathBuf>,
}

/// The events of one flow.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowEvents {
    /// The events. Those of a single ring or file are in its order, those of several in the order of time.
    pub events: Vec<Snap>,
    /// How many events are lost.
    pub dropped: u64,
    /// How many times logging itself failed for an event.
    pub faults: u64,
    /// What was skipped while files were read.
    pub skipped: Skipped,
    /// What a ring knows of the flow beside its events.
    pub known: Option<Outcome>,
}

impl FlowEvents {
    /// Returns what holds nothing.
    fn none() -> FlowEvents {
        FlowEvents {
            events: Vec::new(),
            dropped: 0,
            faults: 0,
            skipped: Skipped::default(),
            known: None,
        }
    }
}

impl Store {
    /// Returns a store without a place to look.
    pub fn new() -> Store {
        Store::default()
    }

    /// Adds a ring.
    pub fn ring(mut self, ring: Ring) -> Store {
        self.rings.push(ring);
        self
    }

    /// Adds a `.jsonl` log, a `.json` export, or a folder of logs. It is read when somebody asks.
    ///
    /// In a folder and its sub-folders, files whose names end in `.jsonl` are read. If there is a ring too, a path that does not exist
    /// counts as empty.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Store {
        self.paths.push(path.into());
        self
    }

    /// Returns the ids of the flows: those of the rings, then those of the files as they appear.
    ///
    /// # Errors
    ///
    /// [`Error::LogFile`]: a path cannot be read.
    pub fn flows(&self) -> Result<Vec<String>, Error> {
        let mut found = self.ring_flows();
        let mut known: HashSet<String> = found.iter().cloned().collect();
        for file in self.folders()?.iter().flat_map(|folder| &folder.files) {
            for event in Events::open(file)? {
                let event = event?;
                let id = flow_id(&event);
                if !known.contains(id) {
                    known.insert(id.to_owned());
                    found.push(id.to_owned());
                }
            }
        }
        Ok(found)
    }

    fn ring_flows(&self) -> Vec<String> {
        let ids = self
            .rings
            .iter()
            .flat_map(Ring::flows)
            .map(|id| id.to_string());
        let mut known = HashSet::new();
        ids.filter(|id| known.insert(id.clone())).collect()
    }

    /// Returns the events of one flow from all places, each once.
    ///
    /// An event in several places is one event; it is known by time, span, type and node, for its content may differ: a later
    /// reading redacts secrets that were learned later, and a file cuts events that are too long. Files are not read if a ring
    /// has the whole flow.
    ///
    /// # Errors
    ///
    /// [`Error::FlowNotFound`]: no place has the flow. [`Error::LogFile`]: a path cannot be read.
    pub fn flow(&self, id: &str) -> Result<FlowEvents, Error> {
        let id = &*canonical(id);
        let in_ring = match self.in_rings(id) {
            Some(found) if found.dropped == 0 => return Ok(found),
            found => found,
        };
        let (has_ring, mut skipped) = (in_ring.is_some(), Skipped::default());
        let mut copies = self.in_files(&HashSet::from([id.to_owned()]), &mut skipped)?;
        let mut found = joined(in_ring, copies.remove(id).unwrap_or_default());
        if !has_ring {
            if found.events.is_empty() {
                return Err(self.not_found(id, &skipped));
            }
            found.dropped = skipped.dropped.get(id).copied().unwrap_or(0);
        }
        found.skipped = skipped;
        Ok(found)
    }

    /// Returns everything known about one flow.
    ///
    /// # Errors
    ///
    /// As for [`Store::flow`].
    pub fn flow_log(&self, id: &str) -> Result<FlowLog, Error> {
        let FlowEvents {
            events,
            dropped,
            faults,
            known,
            ..
        } = self.flow(id)?;
        match known {
            Some(known) => build_known_flow_log(&canonical(id), events, dropped, faults, &known),
            None => build_flow_log(events, dropped, faults),
        }
    }

    /// Returns the rings that keep a flow.
    fn keepers(&self, id: &str) -> Vec<(&Ring, FlowId)> {
        let Ok(key) = id.parse() else {
            return Vec::new();
        };
        let rings = self.rings.iter().filter(|ring| ring.has(&key));
        rings.map(|ring| (ring, key)).collect()
    }

    /// Returns what the rings have of a flow; `None` if none of them keeps it.
    fn in_rings(&self, id: &str) -> Option<FlowEvents> {
        let rings = self.keepers(id);
        Some(FlowEvents {
            dropped: rings.iter().map(|(ring, key)| ring.dropped(key)).min()?,
            faults: rings.iter().map(|(ring, key)| ring.faults(key)).max()?,
            events: merged(rings.iter().map(|(ring, key)| ring.events(key)).collect()),
            known: rings.iter().find_map(|(ring, key)| {
                let (name, status) = (ring.name_of(key), ring.status(key)?);
                Some(Outcome { name, status })
            }),
            ..FlowEvents::none()
        })
    }

    /// Returns what each file has of some flows.
    fn in_files(
        &self,
        ids: &HashSet<String>,
        skipped: &mut Skipped,
    ) -> Result<HashMap<String, Vec<Vec<Snap>>>, Error> {
        let mut copies: HashMap<String, Vec<Vec<Snap>>> = HashMap::new();
        for folder in self.folders()? {
            for file in &folder.files {
                let mut here: HashMap<String, Vec<Snap>> = HashMap::new();
                let mut reader = Events::open(file)?;
                for event in reader.by_ref() {
                    let event = event?;
                    if let Some(id) = ids.get(flow_id(&event)) {
                        here.entry(id.clone()).or_default().push(event);
                    }
                }
                skipped.add(reader.skipped());
                for (id, events) in here {
                    copies.entry(id).or_default().push(events);
                }
            }
            skipped.packed.extend(folder.packed);
        }
        Ok(copies)
    }

    /// Returns the events that pass the filters: of one flow, or of all flows for `None`.
    ///
    /// They come in the order of their times, before a limit or a last is applied.
    ///
    /// # Errors
    ///
    /// As for [`Store::flow`] and [`Store::for_each`]; also [`Error::LogFile`] for all flows of a folder with compressed logs, which
    /// would be missing.
    pub fn query(&self, flow: Option<&str>, filters: &Filters) -> Result<Vec<Snap>, Error> {
        if let Some(id) = flow {
            return Ok(filters.select(self.flow(id)?.events).collect());
        }
        let (mut events, mut skipped) = (Vec::new(), Skipped::default());
        self.for_each(&filters.uncounted(), &mut skipped, |event| {
            events.push(event);
            ControlFlow::Continue(())
        })?;
        match skipped.packed.first() {
            Some(first) => Err(Error::LogFile(format!(
                "{first:?} is compressed, and this reader does not unpack; unpack it with gunzip -k, or read the folder with \
                 Python's tea-obs"
            ))),
            None => {
                events.sort_by(|one, other| timestamp(one).total_cmp(&timestamp(other)));
                Ok(filters.counted(events.into_iter()).collect())
            }
        }
    }

    /// Gives `each` the events of all flows that pass the filters, until it breaks or the limit is reached: flow by flow from rings, then
    /// file by file. A `last` is not applied.
    ///
    /// Files are read as it goes: only the events of a ring's flow, and of a log of which a part was set aside, are held in memory.
    /// `skipped` tells afterwards what was not read.
    ///
    /// # Errors
    ///
    /// [`Error::LogFile`]: a path cannot be read, or there are no events at all.
    pub fn for_each(
        &self,
        filters: &Filters,
        skipped: &mut Skipped,
        mut each: impl FnMut(Snap) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut sieve = Sieve {
            left: filters.max_events().unwrap_or(usize::MAX),
            filters,
            is_empty: true,
            each: &mut each,
        };
        let (mut known, mut seen) = (HashSet::new(), Seen::new());
        if self.give_rings(&mut sieve, &mut known)?.is_break() {
            return Ok(());
        }
        for folder in self.folders()? {
            skipped.packed.extend(folder.packed.iter().cloned());
            let mut others = |event: Snap| {
                let is_other = !known.contains(flow_id(&event)) && seen.is_new(&event);
                if is_other {
                    sieve.give(event)
                } else {
                    ControlFlow::Continue(())
                }
            };
            if stream(&folder.files, skipped, &mut others)?.is_break() {
                return Ok(());
            }
        }
        if sieve.is_empty && self.rings.is_empty() {
            return Err(self.no_events(skipped));
        }
        Ok(())
    }

    /// Gives the events of the rings' flows, joined with those that only files still have, and notes the flows as known.
    fn give_rings(
        &self,
        sieve: &mut Sieve<'_>,
        known: &mut HashSet<String>,
    ) -> Result<ControlFlow<()>, Error> {
        let flows = self.ring_flows();
        let is_partial = |id: &&String| {
            self.keepers(id)
                .iter()
                .any(|(ring, key)| ring.dropped(key) > 0)
        };
        let partial: HashSet<String> = flows.iter().filter(is_partial).cloned().collect();
        let mut copies = HashMap::new();
        if !partial.is_empty() {
            copies = self.in_files(&partial, &mut Skipped::default())?;
        }
        for id in flows {
            // A flow that a ring has evicted meanwhile is one of the files.
            let Some(found) = self.in_rings(&id) else {
                continue;
            };
            let found = joined(Some(found), copies.remove(&id).unwrap_or_default());
            known.insert(id);
            if found
                .events
                .into_iter()
                .try_for_each(|event| sieve.give(event))
                .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Returns the files of each path.
    fn folders(&self) -> Result<Vec<Folder>, Error> {
        let is_there = |path: &&PathBuf| self.rings.is_empty() || path.exists();
        let paths = self.paths.iter().filter(is_there);
        paths.map(|path| files_of(path)).collect()
    }

    fn names(&self) -> String {
        let rings = (!self.rings.is_empty()).then(|| "the ring".to_owned());
        let paths = self.paths.iter().map(|path| format!("{path:?}"));
        let names: Vec<String> = rings.into_iter().chain(paths).collect();
        names.join(", ")
    }

    fn not_found(&self, id: &str, skipped: &Skipped) -> Error {
        let names = self.names();
        let places = if names.is_empty() {
            "there is no place to look in".to_owned()
        } else {
            format!("looked in {names}")
        };
        Error::FlowNotFound(format!(
            "flow {id:?} is not found; {places}{}; give the path of its log, or configure observability before the flow runs",
            detail(skipped)
        ))
    }

    fn no_events(&self, skipped: &Skipped) -> Error {
        let names = self.names();
        let subject = if names.is_empty() {
            "a store without rings and paths"
        } else {
            &names
        };
        Error::LogFile(format!(
            "{subject} holds no events{}; give a .jsonl flow log or a folder of them",
            detail(skipped)
        ))
    }
}

/// Returns what was skipped, for the middle of a message.
fn detail(skipped: &Skipped) -> String {
    let mut parts = Vec::new();
    if let Some(first) = &skipped.first {
        let unit = if skipped.lines == 1 { "line" } else { "lines" };
        parts.push(format!("{} {unit} skipped; {first}", skipped.lines));
    }
    if let Some(first) = skipped.packed.first() {
        parts.push(format!("compressed logs are not read, such as {first:?}"));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join("; "))
    }
}

fn files_of(path: &Path) -> Result<Folder, Error> {
    if path.is_dir() {
        return log_files(path);
    }
    Ok(Folder {
        files: vec![path.to_owned()],
        packed: Vec::new(),
    })
}

/// Returns an id as logs have it: a UUID in lower case.
fn canonical(id: &str) -> String {
    let lower = id.to_lowercase();
    if is_uuid(&lower) {
        lower
    } else {
        id.to_owned()
    }
}

fn flow_id(event: &Snap) -> &str {
    event.get("flow_id").and_then(Snap::as_str).unwrap_or("")
}
