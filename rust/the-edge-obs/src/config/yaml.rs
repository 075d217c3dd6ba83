//! Blocks in YAML: a file with a block, or a flow's file, and the lines of mistakes.

use super::read::PLACE;
use super::Config;
use crate::error::Error;
use crate::redaction::{mistake, shown};
use crate::value::Snap;
use crate::yaml::{self, Yaml, YamlValue};

const SOURCE: &str = "configuration";

impl Config {
    /// Reads a YAML document: an `observability:` block, or a document with one, such as a flow. A flow without a block is not observed.
    ///
    /// # Errors
    ///
    /// [`Error::Yaml`] if the text is not YAML; [`Error::Configuration`] if the block is not valid: the message names the line, the key, the
    /// value and what is allowed.
    ///
    /// ```
    /// use the_edge_obs::config::Config;
    ///
    /// let config = Config::from_yaml("observability:\n  levels: {llm: debug}\n").unwrap();
    /// assert_eq!(&*config.levels[0].0, "llm");
    /// let error = Config::from_yaml("buffer_size: 5\nlevel: loud\n").unwrap_err();
    /// let expected = "line 2: observability.level: unknown level 'loud'; allowed: debug, info, warn, error";
    /// assert_eq!(error.to_string(), expected);
    /// ```
    pub fn from_yaml(text: &str) -> Result<Config, Error> {
        Config::from_document(&yaml::read(text, SOURCE)?)
    }

    /// Reads a YAML document that was read before, as [`Config::from_yaml`] does.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`], as [`Config::from_yaml`].
    pub fn from_document(document: &Yaml) -> Result<Config, Error> {
        if !matches!(document.value, YamlValue::Map(_)) {
            let problem = format!(
                "{SOURCE} holds {}; it must hold a mapping",
                shown(&document.to_snap())
            );
            return Err(mistake(SOURCE, &problem));
        }
        if document.get("version").is_some() {
            let problem = "a configuration with version: is a dictConfig of Python's logging; write an observability: block";
            return Err(mistake("version", problem));
        }
        match document.get(PLACE) {
            Some(block) => read(block),
            None if document.get("nodes").is_some() => {
                let enabled = false;
                Ok(Config {
                    enabled,
                    ..Config::default()
                })
            }
            None => read(document),
        }
    }
}

fn read(block: &Yaml) -> Result<Config, Error> {
    let found = check_texts(PLACE, block).and_then(|()| Config::from_snap(&block.to_snap()));
    found.map_err(|error| match error {
        Error::Configuration { place, problem } => {
            let rest = place.strip_prefix(PLACE).unwrap_or_default();
            let problem = match line_of(block, rest) {
                0 => problem,
                line => format!("line {line}: {problem}"),
            };
            Error::Configuration { place, problem }
        }
        other => other,
    })
}

/// Refuses keys that YAML does not read as texts, such as `on`, which is true.
fn check_texts(place: &str, value: &Yaml) -> Result<(), Error> {
    match &value.value {
        YamlValue::Map(pairs) => pairs.iter().try_for_each(|(key, value)| match key.as_str() {
            Some(key) => check_texts(&format!("{place}.{key}"), value),
            None => {
                let key = shown(&key.to_snap());
                let problem = format!("{place} has the key {key}, which YAML does not read as a text; put it in quotes");
                Err(mistake(&format!("{place}.{key}"), &problem))
            }
        }),
        YamlValue::List(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(at, item)| check_texts(&format!("{place}[{at}]"), item))
        }
        _ => Ok(()),
    }
}

/// Returns the line of a place such as `.handlers[0].type` below a value, or that of the nearest value around it.
fn line_of(value: &Yaml, place: &str) -> usize {
    let inner = match &value.value {
        YamlValue::Map(pairs) => pairs.iter().find_map(|(key, value)| {
            let rest = place.strip_prefix('.')?;
            let rest = rest.strip_prefix(key_text(key).as_str())?;
            let ends = rest.is_empty() || rest.starts_with(['.', '[']);
            ends.then(|| line_of(value, rest).max(key.line))
        }),
        YamlValue::List(items) => {
            let parts = place
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'));
            let item = |(at, rest): (&str, _)| Some((items.get(at.parse::<usize>().ok()?)?, rest));
            parts.and_then(item).map(|(item, rest)| line_of(item, rest))
        }
        _ => None,
    };
    inner.unwrap_or(value.line)
}

fn key_text(key: &Yaml) -> String {
    match key.to_snap() {
        Snap::Str(text) => text.into(),
        other => shown(&other),
    }
}
