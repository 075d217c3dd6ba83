//! Read the `observability` block, whose mistakes the crate `the-edge-obs` finds.

use the_edge_obs::config::Config;
use the_edge_obs::yaml::{Yaml, YamlValue};
use the_edge_obs::{Error, Snap};

use super::checks;
use super::source::Read;
use super::spot::Spot;

/// Returns what the block says, and the block; `None` if there is none.
///
/// # Errors
///
/// It is not a mapping, or enough mistakes are noted.
pub(super) fn read(spot: &Spot<'_>, block: Option<&Yaml>) -> Read<Option<(Snap, Config)>> {
    let Some(block) = block else {
        return Ok(None);
    };
    let fields = checks::mapping(spot, Some(block))?;
    let whole = Snap::map(fields.iter().map(|(key, value)| (*key, value.to_snap())));
    // First key by key, so that the mistakes of all keys are found, then as a whole.
    let mut is_right = true;
    for (key, value) in &fields {
        let part = Snap::map([(*key, value.to_snap())]);
        is_right &= config(spot, block, &part)?.is_some();
    }
    if !is_right {
        return Ok(None);
    }
    let config = config(spot, block, &whole)?;
    Ok(config.map(|config| (whole, config)))
}

/// Returns what a block says, or notes its mistake.
fn config(spot: &Spot<'_>, block: &Yaml, part: &Snap) -> Read<Option<Config>> {
    match Config::from_snap(part) {
        Ok(config) => Ok(Some(config)),
        Err(error) => {
            let place = match &error {
                Error::Configuration { place, .. } => place.strip_prefix("observability"),
                _ => None,
            };
            let inner = nearest(spot, block, place.unwrap_or_default());
            inner.called("").note(error.to_string())?;
            Ok(None)
        }
    }
}

/// Returns the spot of a place such as `.handlers[0].path`, or of the nearest one around it that the file has.
fn nearest<'a>(spot: &Spot<'a>, value: &Yaml, place: &str) -> Spot<'a> {
    match &value.value {
        YamlValue::Map(pairs) => {
            let inner = pairs.iter().find_map(|(key, value)| {
                let rest = place.strip_prefix('.')?.strip_prefix(key.as_str()?)?;
                let ends = rest.is_empty() || rest.starts_with(['.', '[']);
                ends.then(|| nearest(&spot.at(key.as_str().unwrap_or_default()), value, rest))
            });
            inner.unwrap_or_else(|| spot.clone())
        }
        YamlValue::List(items) => {
            let inner = place.strip_prefix('[').and_then(|rest| {
                let (index, rest) = rest.split_once(']')?;
                let index: usize = index.parse().ok()?;
                Some(nearest(&spot.at(index), items.get(index)?, rest))
            });
            inner.unwrap_or_else(|| spot.clone())
        }
        YamlValue::Scalar(_) | YamlValue::Time(_) => spot.clone(),
    }
}
