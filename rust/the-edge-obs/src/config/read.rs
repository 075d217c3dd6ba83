//! Reading of blocks: each key is checked, and a mistake names its place.

use std::sync::Arc;

use super::handlers::handler;
use super::{Config, BUFFER_SIZE};
use crate::error::Error;
use crate::event::Level;
use crate::levels::{check_name, is_node, unknown, Threshold};
use crate::redaction::{allowed, check_keys, flag, mistake, shown, wrong, Policy};
use crate::value::{Key, Snap};

pub(super) const PLACE: &str = "observability";

const KEYS: [&str; 10] = [
    "enabled",
    "level",
    "levels",
    "buffer_size",
    "handlers",
    "redact",
    "capture",
    "propagate",
    "prices",
    "record",
];

/// Reads a block.
pub(super) fn block(block: &Snap) -> Result<Config, Error> {
    let pairs = match block {
        Snap::Null => return Ok(Config::default()),
        Snap::Map(pairs) => pairs,
        other => {
            let wanted = format!("it must be a mapping with {}", allowed(&KEYS));
            return Err(wrong(PLACE, other, &wanted));
        }
    };
    check_keys(PLACE, pairs, &KEYS)?;
    let mut config = Config::default();
    if let Some(enabled) = block.get("enabled") {
        config.enabled = flag(&under("enabled"), enabled)?;
    }
    if let Some(value) = block.get("level") {
        config.level = level(&under("level"), value)?;
    }
    config.levels = levels(&under("levels"), given(block, "levels"))?;
    config.buffer_size = buffer_size(&under("buffer_size"), block.get("buffer_size"))?;
    config.handlers = handlers(&under("handlers"), given(block, "handlers"))?;
    if let Some(redact) = given(block, "redact") {
        config.redact = Arc::new(Policy::from_snap(redact, &under("redact"))?);
    }
    config.capture = capture(&under("capture"), given(block, "capture"))?;
    if let Some(propagate) = given(block, "propagate") {
        config.propagate = flag(&under("propagate"), propagate)?;
    }
    if given(block, "prices").is_some() {
        let problem = "observability.prices is not supported by the Rust runtime, which computes no costs; leave it out";
        return Err(mistake(&under("prices"), problem));
    }
    if given(block, "record").is_some() {
        let problem = "observability.record is not supported by the Rust runtime, which records no calls in full; leave it out";
        return Err(mistake(&under("record"), problem));
    }
    refuse_links(PLACE, block)?;
    Ok(config)
}

fn under(key: &str) -> String {
    format!("{PLACE}.{key}")
}

/// Returns the value of a key whose null is as good as nothing.
fn given<'b>(block: &'b Snap, key: &str) -> Option<&'b Snap> {
    block.get(key).filter(|value| **value != Snap::Null)
}

/// Reads a level: its name in any case, or a number as Python's logging has them.
pub(super) fn level(place: &str, value: &Snap) -> Result<Threshold, Error> {
    match value {
        Snap::Str(text) | Snap::Mark(text) => match text.parse() {
            Ok(level) => Ok(Some(level)),
            Err(_) => Err(unknown(place, &shown(value))),
        },
        Snap::Int(number) => Ok(match number {
            ..=10 => Some(Level::Debug),
            ..=20 => Some(Level::Info),
            ..=30 => Some(Level::Warn),
            ..=40 => Some(Level::Error),
            _ => None,
        }),
        Snap::Big(digits) if digits.starts_with('-') => Ok(Some(Level::Debug)),
        Snap::Big(_) => Ok(None),
        other => Err(unknown(place, &shown(other))),
    }
}

fn levels(place: &str, value: Option<&Snap>) -> Result<Vec<(Box<str>, Threshold)>, Error> {
    let pairs = match value {
        None => return Ok(Vec::new()),
        Some(Snap::Map(pairs)) => pairs,
        Some(other) => {
            return Err(wrong(
                place,
                other,
                "it must be a mapping such as {llm: debug}",
            ));
        }
    };
    let one = |(name, value): &(Key, Snap)| {
        check_name(place, name)?;
        Ok((
            Box::from(&**name),
            level(&format!("{place}.{name}"), value)?,
        ))
    };
    pairs.iter().map(one).collect()
}

fn buffer_size(place: &str, value: Option<&Snap>) -> Result<usize, Error> {
    match value {
        None => Ok(BUFFER_SIZE),
        Some(Snap::Int(size @ 1..)) => Ok(usize::try_from(*size).unwrap_or(usize::MAX)),
        Some(Snap::Big(digits)) if !digits.starts_with('-') => Ok(usize::MAX),
        Some(other) => Err(wrong(
            place,
            other,
            "it must be a whole number of at least 1",
        )),
    }
}

fn handlers(place: &str, value: Option<&Snap>) -> Result<Vec<super::Handler>, Error> {
    let items = match value {
        None => return Ok(Vec::new()),
        Some(Snap::List(items)) => items,
        Some(other) => {
            return Err(wrong(
                place,
                other,
                "it must be a list such as [{type: console}]",
            ));
        }
    };
    let one = |(number, item)| handler(&format!("{place}[{number}]"), item);
    items.iter().enumerate().map(one).collect()
}

/// Reads the names of captured loggers, without those below another one.
fn capture(place: &str, value: Option<&Snap>) -> Result<Vec<Box<str>>, Error> {
    let wanted = "it must be root or a list of loggers such as [agent, shop.db]";
    let items = match value {
        None => return Ok(Vec::new()),
        Some(Snap::Str(text)) if &**text == "root" => return Ok(vec!["".into()]),
        Some(Snap::List(items)) => items,
        Some(other) => return Err(wrong(place, other, wanted)),
    };
    let mut names: Vec<&str> = Vec::new();
    for item in items {
        let name = item.as_str();
        names.push(name.ok_or_else(|| wrong(place, &Snap::List(items.clone()), wanted))?);
    }
    for (number, name) in names.iter().enumerate() {
        check_captured(&format!("{place}[{number}]"), name)?;
    }
    let is_below = |name: &str, other: &str| {
        let rest = name.strip_prefix(other);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let mut kept: Vec<Box<str>> = Vec::new();
    for name in &names {
        let is_new = kept.iter().all(|known| **known != **name);
        if is_new && !names.iter().any(|other| is_below(name, other)) {
            kept.push((*name).into());
        }
    }
    Ok(kept)
}

fn check_captured(place: &str, name: &str) -> Result<(), Error> {
    let wanted = match name {
        "root" => "it has all other loggers below it; write capture: root",
        name if !is_node(name) => "name a logger such as agent or shop.db, without wildcards",
        name if name == "tea" || name.starts_with("tea.") => {
            "the logger tea and those below it are in the run already"
        }
        _ => return Ok(()),
    };
    Err(wrong(place, &name.into(), wanted))
}

/// Refuses what Python would take for the name of an object.
fn refuse_links(place: &str, value: &Snap) -> Result<(), Error> {
    match value {
        Snap::Str(text) if text.starts_with("ext://") || text.starts_with("cfg://") => {
            let problem = format!(
                "{place} is {}; a block has no links to objects",
                shown(value)
            );
            Err(mistake(place, &problem))
        }
        Snap::List(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(at, item)| refuse_links(&format!("{place}[{at}]"), item))
        }
        Snap::Map(pairs) => {
            let mut pairs = pairs.iter();
            pairs.try_for_each(|(key, item)| refuse_links(&format!("{place}.{key}"), item))
        }
        _ => Ok(()),
    }
}
