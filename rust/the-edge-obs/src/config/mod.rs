//! Configurations: the `observability:` block, checked, as plain data.

mod handlers;
mod read;
#[cfg(test)]
mod tests;
#[cfg(feature = "yaml")]
mod yaml;

use std::sync::Arc;

use crate::error::Error;
use crate::event::Level;
use crate::levels::{self, Levels, Threshold};
use crate::redaction::Policy;
use crate::value::Snap;

pub use handlers::{Handler, HandlerKind};

/// The number of events that are kept per flow in memory by default.
pub const BUFFER_SIZE: usize = 1_000;

/// What an `observability:` block says. Its keys are those that the Python package knows, and so are their defaults.
///
/// ```
/// use the_edge_obs::config::{Config, HandlerKind};
/// use the_edge_obs::event::Level;
/// use the_edge_obs::value::from_json;
///
/// let block = r#"{"level": "warn", "levels": {"llm": "debug"}, "handlers": [{"type": "console", "verbose": true}]}"#;
/// let config = Config::from_snap(&from_json(block).unwrap()).unwrap();
/// assert_eq!(config.handlers[0].kind, HandlerKind::Console { verbose: true });
/// assert!(config.to_levels().unwrap().on("llm.call", Level::Debug));
///
/// let error = Config::from_snap(&from_json(r#"{"level": "loud"}"#).unwrap()).unwrap_err();
/// let expected = "observability.level: unknown level 'loud'; allowed: debug, info, warn, error";
/// assert_eq!(error.to_string(), expected);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Whether anything is recorded.
    pub enabled: bool,
    /// The level of everything. A block may have a number in its place, as Python's logging has: 10 is debug, 20 info, 30 warn, 40 error,
    /// and nothing is recorded above.
    pub level: Threshold,
    /// Levels by category or action.
    pub levels: Vec<(Box<str>, Threshold)>,
    /// How many events are kept per flow in memory; at least 1.
    pub buffer_size: usize,
    /// Where events go, beside the memory.
    pub handlers: Vec<Handler>,
    /// What counts as secret, beside what always does.
    pub redact: Arc<Policy>,
    /// Loggers, or targets, whose lines belong to the run; an empty name is all of them. No name is below another one.
    pub capture: Vec<Box<str>>,
    /// Whether nodes reach what the program itself logs to, too.
    pub propagate: bool,
}

impl Default for Config {
    /// Returns what an empty block says: everything at info, in memory.
    fn default() -> Config {
        Config {
            enabled: true,
            level: Some(Level::Info),
            levels: Vec::new(),
            buffer_size: BUFFER_SIZE,
            handlers: Vec::new(),
            redact: Policy::built_in(),
            capture: Vec::new(),
            propagate: false,
        }
    }
}

impl Config {
    /// Reads an `observability:` block; null is an empty one. `TEA_LOG` is not asked: see [`Config::with_env`].
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if the block is not valid; the message names the key, the value and what is allowed.
    pub fn from_snap(block: &Snap) -> Result<Config, Error> {
        read::block(block)
    }

    /// Returns what an empty block says, with the levels of the environment variable `TEA_LOG`.
    ///
    /// # Errors
    ///
    /// As [`Config::with_env`].
    pub fn from_env() -> Result<Config, Error> {
        Config::default().with_env()
    }

    /// Returns the configuration with the levels of the environment variable `TEA_LOG`, such as `info,llm=debug`, which take precedence over
    /// its own.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if a part of the variable cannot be read; the message names it.
    pub fn with_env(self) -> Result<Config, Error> {
        match std::env::var_os(levels::ENVIRONMENT) {
            Some(text) => self.with_levels(&text.to_string_lossy(), levels::ENVIRONMENT),
            None => Ok(self),
        }
    }

    /// Returns the configuration with the levels that a text such as `info,llm=debug` names, which take precedence over its own. `place` says
    /// where the text was given.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if a part cannot be read; the message names it.
    pub fn with_levels(mut self, text: &str, place: &str) -> Result<Config, Error> {
        for (name, level) in levels::parse(text, place)? {
            self.levels.retain(|(known, _)| *known != name);
            if name.is_empty() {
                self.level = Some(level);
            } else {
                self.levels.push((name, Some(level)));
            }
        }
        Ok(self)
    }

    /// Returns the table of the levels.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if a name in `levels` is not that of a node; a configuration that was read has no such name.
    pub fn to_levels(&self) -> Result<Levels, Error> {
        let table = Levels::new(self.level);
        for (name, level) in &self.levels {
            table.set(name, *level)?;
        }
        Ok(table)
    }
}
