//! Levels: which events of which nodes are recorded.
//!
//! A level is that of a category (`llm`), of an action (`llm.call`), or of everything. The longest name that fits a node counts, and
//! names end at dots: `llm` is the level of `llm.call`, and not that of `llmx.call`.

use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::error::Error;
use crate::event::{Level, ROOT_NODE};
use crate::redaction::mistake;

/// The environment variable whose levels take precedence over those of a configuration.
pub const ENVIRONMENT: &str = "TEA_LOG";

/// The lowest level that is recorded; `None` if nothing is.
pub type Threshold = Option<Level>;

/// Grows whenever any level changes, so that a verdict can be kept until then.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Which events are recorded, by node. The levels may change at any time, from any thread.
///
/// A run itself (the node `flow`) stays at info where everything is at a higher level, unless it has a level of its own: a run has a
/// name, a status and a duration, whatever is left out.
///
/// ```
/// use the_edge_obs::event::Level::{Debug, Info, Warn};
/// use the_edge_obs::levels::Levels;
///
/// let levels = Levels::new(Some(Warn));
/// levels.set("llm", Some(Debug)).unwrap();
/// levels.set("http", None).unwrap();
/// assert!(levels.on("llm.call", Debug) && !levels.on("llmx.call", Info) && levels.on("flow", Info));
/// assert!(!levels.on("http.get", Warn));
/// levels.unset("llm");
/// assert!(!levels.on("llm.call", Info));
/// ```
#[derive(Debug)]
pub struct Levels {
    table: RwLock<Table>,
    /// The lowest and the highest threshold of the table, as numbers: most questions need no more.
    lowest: AtomicU8,
    highest: AtomicU8,
}

#[derive(Debug, Clone, PartialEq)]
struct Table {
    default: Threshold,
    /// Sorted by the hash of the name.
    named: Vec<Named>,
}

#[derive(Debug, Clone, PartialEq)]
struct Named {
    hash: u64,
    name: Box<str>,
    threshold: Threshold,
}

impl Named {
    fn new(name: &str, threshold: Threshold) -> Named {
        Named {
            hash: name.bytes().fold(HASH_START, hash_on),
            name: name.into(),
            threshold,
        }
    }
}

/// FNV-1a: names are short, and come from a configuration.
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

fn hash_on(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

/// Returns a threshold as a number above that of every level that does not pass.
fn number(threshold: Threshold) -> u8 {
    threshold.map_or(Level::ALL.len() as u8, |level| level as u8)
}

impl Levels {
    /// Returns levels with one for everything.
    #[must_use]
    pub fn new(default: Threshold) -> Levels {
        changed();
        let named = Vec::new();
        let table = Table { default, named };
        let (lowest, highest) = table.bounds();
        Levels {
            table: RwLock::new(table),
            lowest: AtomicU8::new(lowest),
            highest: AtomicU8::new(highest),
        }
    }

    /// Tells whether an event of a level is recorded for a node.
    #[must_use]
    pub fn on(&self, node: &str, level: Level) -> bool {
        let number = level as u8;
        if number >= self.highest.load(Ordering::Acquire) {
            return true;
        }
        number >= self.lowest.load(Ordering::Acquire)
            && self.threshold(node).is_some_and(|least| level >= least)
    }

    /// Returns the lowest level that is recorded for a node.
    #[must_use]
    pub fn threshold(&self, node: &str) -> Threshold {
        self.read().threshold(node)
    }

    /// Sets the level of a category or an action; an empty name is everything.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if the name is not that of a node.
    pub fn set(&self, name: &str, threshold: Threshold) -> Result<(), Error> {
        if !name.is_empty() {
            check_name("levels", name)?;
        }
        self.change(|table| match table.find(name) {
            _ if name.is_empty() => table.default = threshold,
            Ok(at) => table.named[at].threshold = threshold,
            Err(at) => table.named.insert(at, Named::new(name, threshold)),
        });
        Ok(())
    }

    /// Takes the level of a category or an action away, so that the next shorter name counts again; an empty name is everything, which
    /// goes back to info.
    pub fn unset(&self, name: &str) {
        self.change(|table| {
            if name.is_empty() {
                table.default = Some(Level::Info);
            } else if let Ok(at) = table.find(name) {
                table.named.remove(at);
            }
        });
    }

    /// Returns the levels of everything and of each name, in the order of the names. Everything has an empty name and comes first.
    #[must_use]
    pub fn all(&self) -> Vec<(Box<str>, Threshold)> {
        let table = self.read();
        let named = table.named.iter();
        let mut all: Vec<_> = named
            .map(|known| (known.name.clone(), known.threshold))
            .collect();
        all.push(("".into(), table.default));
        all.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        all
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, edit: impl FnOnce(&mut Table)) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        edit(&mut table);
        let (lowest, highest) = table.bounds();
        self.lowest.store(lowest, Ordering::Release);
        self.highest.store(highest, Ordering::Release);
        drop(table);
        changed();
    }
}

impl Table {
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.find_hashed(name.bytes().fold(HASH_START, hash_on), name)
    }

    /// Returns where a name is, or where it belongs.
    fn find_hashed(&self, hash: u64, name: &str) -> Result<usize, usize> {
        let first = self.named.partition_point(|known| known.hash < hash);
        let alike = self.named[first..].iter();
        let mut alike = alike.take_while(|known| known.hash == hash);
        let at = alike.position(|known| *known.name == *name);
        at.map_or(Err(first), |at| Ok(first + at))
    }

    /// Returns the lowest and the highest threshold of any node.
    fn bounds(&self) -> (u8, u8) {
        let named = self.named.iter().map(|known| known.threshold);
        let all = named.chain([self.default, self.of_default(ROOT_NODE)]);
        let numbers = all.map(number);
        numbers.fold((u8::MAX, 0), |(lowest, highest), number| {
            (lowest.min(number), highest.max(number))
        })
    }

    fn threshold(&self, node: &str) -> Threshold {
        self.of_name(node).unwrap_or_else(|| self.of_default(node))
    }

    /// Returns the threshold of the longest name that fits a node.
    fn of_name(&self, node: &str) -> Option<Threshold> {
        if self.named.is_empty() {
            return None;
        }
        let (mut hash, mut found) = (HASH_START, None);
        for (at, byte) in node.bytes().enumerate() {
            if byte == b'.' {
                found = self.find_hashed(hash, &node[..at]).ok().or(found);
            }
            hash = hash_on(hash, byte);
        }
        let found = self.find_hashed(hash, node).ok().or(found);
        found.map(|at| self.named[at].threshold)
    }

    /// Returns the threshold of a node that no name fits.
    fn of_default(&self, node: &str) -> Threshold {
        let is_root = node
            .strip_prefix(ROOT_NODE)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        match self.default {
            Some(Level::Debug) => self.default,
            _ if is_root => Some(Level::Info),
            default => default,
        }
    }
}

/// Returns a number that grows with each change of any level: a verdict that was made at a number holds as long as the number stays.
#[inline]
#[must_use]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// Voids every verdict that was kept until now. Whoever replaces levels by others calls it.
pub fn changed() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
}

// --- parsing --------------------------------------------------------------------------------------------------------------

/// Returns the levels that a text such as `info,llm=debug,http=warn` names, in its order; everything has an empty name. Of two levels of
/// one name, the last counts.
///
/// `place` says where the text was given, for the error.
///
/// # Errors
///
/// [`Error::Configuration`] if a part cannot be read; the message names it, and what is allowed.
///
/// ```
/// use the_edge_obs::event::Level::{Debug, Info};
/// use the_edge_obs::levels::parse;
///
/// let levels = parse("info, llm=debug", "TEA_LOG").unwrap();
/// assert_eq!(levels, [("".into(), Info), ("llm".into(), Debug)]);
/// let error = parse("llm=loud", "TEA_LOG").unwrap_err();
/// let expected = "TEA_LOG 'llm=loud': unknown level 'loud'; allowed: debug, info, warn, error";
/// assert_eq!(error.to_string(), expected);
/// ```
pub fn parse(text: &str, place: &str) -> Result<Vec<(Box<str>, Level)>, Error> {
    let mut levels: Vec<(Box<str>, Level)> = Vec::new();
    let parts = text.split(',').map(|part| part.trim_matches(is_blank));
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, level) = match part.rsplit_once('=') {
            Some((name, level)) => {
                let name = name.trim_matches(is_blank);
                check_name(place, name)?;
                (name, level.trim_matches(is_blank))
            }
            None => ("", part),
        };
        let level = level.parse().map_err(|_| {
            let place = format!("{place} '{part}'");
            unknown(&place, &format!("'{level}'"))
        })?;
        levels.retain(|(known, _)| **known != *name);
        levels.push((name.into(), level));
    }
    Ok(levels)
}

/// Returns the error of a level that does not exist.
pub(crate) fn unknown(place: &str, shown: &str) -> Error {
    let allowed = Level::ALL.map(Level::name).join(", ");
    mistake(
        place,
        &format!("{place}: unknown level {shown}; allowed: {allowed}"),
    )
}

/// Refuses what is not the name of a category or an action.
pub(crate) fn check_name(place: &str, name: &str) -> Result<(), Error> {
    if is_node(name) && !name.starts_with("tea.") {
        return Ok(());
    }
    let problem = format!(
        "{place} has a level for '{name}'; name a category such as llm, or an action such as llm.call"
    );
    Err(mistake(&format!("{place}.{name}"), &problem))
}

/// Tells whether a text is the name of a node: parts between dots, without blanks and wildcards.
pub(crate) fn is_node(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && !part.contains(|char| is_blank(char) || "*?[]".contains(char))
    };
    name.split('.').all(is_part)
}

/// Tells whether Python counts a character as white space.
fn is_blank(char: char) -> bool {
    char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn levels(text: &str) -> Levels {
        let levels = Levels::new(Some(Level::Info));
        for (name, level) in parse(text, "here").unwrap() {
            levels.set(&name, Some(level)).unwrap();
        }
        levels
    }

    #[test]
    fn the_longest_name_counts_and_ends_at_a_dot() {
        let levels = levels("warn,llm=error,llm.call=debug,a.b.c=info");
        let cases = [
            ("llm.call", Level::Debug),
            ("llm.call.retry", Level::Debug),
            ("llm.calls", Level::Error),
            ("llm", Level::Error),
            ("llmx.call", Level::Warn),
            ("a.b", Level::Warn),
            ("a.b.c.d", Level::Info),
            ("", Level::Warn),
            ("flow", Level::Info),
            ("flow.x", Level::Info),
            ("flows", Level::Warn),
        ];
        for (node, least) in cases {
            assert_eq!(levels.threshold(node), Some(least), "{node}");
            assert!(levels.on(node, Level::Error) && levels.on(node, least));
        }
    }

    #[test]
    fn the_run_itself_has_a_level_of_its_own_only_if_it_is_named() {
        assert_eq!(levels("debug").threshold("flow"), Some(Level::Debug));
        assert_eq!(
            levels("error,flow=warn").threshold("flow"),
            Some(Level::Warn)
        );
        let off = Levels::new(None);
        assert!(off.on("flow", Level::Info) && !off.on("llm.call", Level::Error));
        off.set("flow", None).unwrap();
        assert!(!off.on("flow", Level::Error));
    }

    #[test]
    fn every_change_makes_verdicts_void() {
        let levels = levels("info");
        let mut last = generation();
        let mut grows = || {
            let now = generation();
            assert!(now > last);
            last = now;
        };
        levels.set("llm", Some(Level::Debug)).unwrap();
        grows();
        levels.set("", Some(Level::Error)).unwrap();
        grows();
        assert_eq!(
            levels.all(),
            [
                ("".into(), Some(Level::Error)),
                ("llm".into(), Some(Level::Debug))
            ]
        );
        levels.unset("llm");
        grows();
        levels.unset("");
        grows();
        assert_eq!(levels.all(), [("".into(), Some(Level::Info))]);
        assert!(levels.set("llm.*", None).is_err());
    }

    #[test]
    fn parts_that_cannot_be_read_are_named() {
        let cases = [
            ("llm=", "TEA_LOG 'llm=': unknown level ''; allowed: debug, info, warn, error", "TEA_LOG 'llm='"),
            ("=info", "TEA_LOG has a level for ''; name a category such as llm, or an action such as llm.call", "TEA_LOG."),
            ("a=b=info", "TEA_LOG has a level for 'a=b'", ""),
            ("llm.*=info", "TEA_LOG has a level for 'llm.*'; name a category such as llm, or an action such as llm.call", "TEA_LOG.llm.*"),
            ("tea.llm=info", "TEA_LOG has a level for 'tea.llm'; name a category such as llm, or an action such as llm.call", "TEA_LOG.tea.llm"),
            ("loud", "TEA_LOG 'loud': unknown level 'loud'; allowed: debug, info, warn, error", "TEA_LOG 'loud'"),
        ];
        for (text, expected, expected_place) in cases {
            match parse(text, ENVIRONMENT) {
                Err(Error::Configuration { place, problem }) => {
                    assert_eq!((&*problem, &*place), (expected, expected_place));
                }
                Ok(levels) => assert_eq!(levels, [("a=b".into(), Level::Info)]),
                other => panic!("{other:?}"),
            }
        }
        let levels = parse(" WARN ,, llm = Debug,llm=warning,", ENVIRONMENT).unwrap();
        assert_eq!(
            levels,
            [("".into(), Level::Warn), ("llm".into(), Level::Warn)]
        );
    }

    #[test]
    fn names_of_one_hash_are_told_apart() {
        let named = |name: &str, threshold| Named {
            hash: HASH_START,
            ..Named::new(name, threshold)
        };
        let table = Table {
            default: None,
            named: vec![
                named("a", Some(Level::Warn)),
                named("b", Some(Level::Debug)),
            ],
        };
        assert_eq!(table.find_hashed(HASH_START, "b"), Ok(1));
        assert_eq!(table.find_hashed(HASH_START, "c"), Err(0));
        assert_eq!(table.find_hashed(HASH_START + 1, "a"), Err(2));
    }

    proptest! {
        #[test]
        fn a_level_is_that_of_the_longest_prefix(names in proptest::collection::vec("[ab](\\.[ab]){0,2}", 0..6), node in "[ab](\\.[ab]){0,3}") {
            let levels = Levels::new(Some(Level::Info));
            for name in &names {
                levels.set(name, Some(Level::Debug)).unwrap();
            }
            let fits = |name: &String| node == *name || node.starts_with(&format!("{name}."));
            prop_assert_eq!(levels.on(&node, Level::Debug), names.iter().any(fits));
            for name in names.iter().filter(|name| fits(name)) {
                levels.unset(name);
            }
            prop_assert!(!levels.on(&node, Level::Debug) && levels.on(&node, Level::Info));
        }
    }
}
