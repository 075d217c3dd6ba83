//! Nodes: what runs, as a call site of `tracing`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use tracing::callsite::{self, Callsite, Identifier};
use tracing::field::FieldSet;
use tracing::level_filters::STATIC_MAX_LEVEL;
use tracing::metadata::{Kind, LevelFilter};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Metadata};

use crate::event::Level;
use crate::levels;
use crate::names::fit_node;
use crate::output::any_passes;

/// The fields of a node's span, which other layers see.
const FIELDS: &[&str] = &["flow_id", "span_id", "step"];

/// Nodes by name and level.
type Interned = HashMap<(Box<str>, Level), &'static Node>;

const NEVER: u8 = 1;
const SOMETIMES: u8 = 2;
const ALWAYS: u8 = 3;

/// What runs: a name such as `llm.call`, and the level of its entries and exits.
///
/// [`node!`](crate::node!) makes one for each place in the code. For names that are only known at run time, [`Node::intern`] makes
/// one for each name; call it when a program is loaded, not for each call.
pub struct Node {
    name: &'static str,
    /// `tea.` and the name.
    target: &'static str,
    level: Level,
    shared: OnceLock<Arc<str>>,
    metadata: OnceLock<Metadata<'static>>,
    registration: Once,
    interest: AtomicU8,
    /// The generation of the levels that the last two bits were found out in, and these: whether an output lets errors of the node
    /// pass, and the node itself.
    verdict: AtomicU64,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Node")
            .field("name", &self.name)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Returns a node for a `static`; [`node!`](crate::node!) writes it. The target is `tea.` and the name.
    ///
    /// # Panics
    ///
    /// If the name is empty; for a `static` the compiler says so.
    #[must_use]
    pub const fn new(name: &'static str, target: &'static str, level: Level) -> Node {
        assert!(!name.is_empty(), "a node has a name");
        Node {
            name,
            target,
            level,
            shared: OnceLock::new(),
            metadata: OnceLock::new(),
            registration: Once::new(),
            interest: AtomicU8::new(0),
            verdict: AtomicU64::new(0),
        }
    }

    /// Returns the node of a name and level. Each pair has one node, which lives as long as the process.
    ///
    /// The name is made safe to write: an empty one becomes `root`, control characters are escaped, and one of more than 256 characters is cut.
    #[must_use]
    pub fn intern(name: &str, level: Level) -> &'static Node {
        static KNOWN: OnceLock<Mutex<Interned>> = OnceLock::new();
        let mut known = KNOWN
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = (fit_node(name).into(), level);
        if let Some(node) = known.get(&key) {
            return node;
        }
        let target: &'static str = Box::leak(format!("tea.{}", key.0).into_boxed_str());
        let node: &'static Node = Box::leak(Box::new(Node::new(&target[4..], target, level)));
        known.insert(key, node);
        node
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the level of entries and exits.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Tells whether a call of the node is worth a look: whether some layer in use lets it pass.
    ///
    /// This is all that a call costs while nobody listens.
    #[inline]
    pub(crate) fn passes(&'static self) -> bool {
        if filter_of(self.level) > LevelFilter::current() {
            return false;
        }
        self.verdict() & 1 != 0
    }

    /// Tells whether some layer in use lets errors of the node pass, also where the node itself does not.
    #[inline]
    pub(crate) fn reports(&'static self) -> bool {
        LevelFilter::ERROR <= LevelFilter::current() && self.verdict() & 2 != 0
    }

    #[inline]
    fn verdict(&'static self) -> u64 {
        let verdict = self.verdict.load(Ordering::Relaxed);
        if verdict >> 2 == levels::generation() {
            return verdict;
        }
        self.find_out()
    }

    #[cold]
    fn find_out(&'static self) -> u64 {
        let generation = levels::generation();
        let bit = |level| u64::from(any_passes(self.name, level));
        let verdict = generation << 2 | bit(Level::Error) << 1 | bit(self.level);
        self.verdict.store(verdict, Ordering::Relaxed);
        verdict
    }

    /// Returns the name for facts, which share it.
    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(self.shared.get_or_init(|| self.name.into()))
    }

    /// Makes the node known to `tracing`, once.
    ///
    /// Not inside `dispatcher::get_default`: `tracing` asks the default dispatcher about new call sites, which is none in there.
    pub(crate) fn register(&'static self) {
        // Again after a layer panicked over the call site: this is no reason to panic forever.
        self.registration.call_once_force(|_| {
            let _ = self.metadata();
            callsite::register(self);
        });
    }

    /// Asks the layers of a dispatcher whether they want a span that is made in any case: filters of layers remember their answer
    /// until the span is made.
    pub(crate) fn asks(&'static self, dispatch: &Dispatch) -> bool {
        self.interest.load(Ordering::Relaxed) == ALWAYS || dispatch.enabled(self.metadata())
    }

    /// Tells whether the layers of a dispatcher want the spans of the node, which is registered, whatever their levels say.
    pub(crate) fn is_wanted(&'static self, dispatch: &Dispatch) -> bool {
        match self.interest.load(Ordering::Relaxed) {
            NEVER => false,
            ALWAYS => true,
            _ => dispatch.enabled(self.metadata()),
        }
    }

    pub(crate) fn metadata(&'static self) -> &'static Metadata<'static> {
        self.metadata.get_or_init(|| {
            let fields = FieldSet::new(FIELDS, Identifier(self));
            let level = tracing_level(self.level);
            Metadata::new(
                self.name,
                self.target,
                level,
                None,
                None,
                None,
                fields,
                Kind::SPAN,
            )
        })
    }
}

impl Callsite for Node {
    fn set_interest(&self, interest: Interest) {
        let number = match () {
            () if interest.is_never() => NEVER,
            () if interest.is_always() => ALWAYS,
            () => SOMETIMES,
        };
        self.interest.store(number, Ordering::Relaxed);
    }

    fn metadata(&self) -> &Metadata<'_> {
        // It is set before the call site is registered, and nobody else knows it.
        self.metadata.get().expect("a registered node has metadata")
    }
}

/// Returns the level of `tracing` for a level.
#[inline(always)]
pub(crate) const fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    }
}

#[inline(always)]
fn filter_of(level: Level) -> LevelFilter {
    LevelFilter::from_level(tracing_level(level))
}

/// Tells whether a program was compiled with recording, and with the levels of `tracing` up to this one.
///
/// It is known at compile time: what depends on it is not in the program otherwise.
#[inline(always)]
#[must_use]
pub fn is_compiled(level: Level) -> bool {
    crate::RECORD && filter_of(level) <= STATIC_MAX_LEVEL
}
