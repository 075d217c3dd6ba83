//! Compile the values of a flow, with the places of their mistakes.

use the_edge_obs::yaml::{Yaml, YamlValue};
use the_edge_obs::Snap;

use super::source::{key_text, Read};
use super::spot::Spot;
use crate::templates::{Compiler, Renderer};

/// Compiles a text, which is a constant when it holds no template.
///
/// # Errors
///
/// Its template has a syntax error or an unknown name.
pub(crate) fn text(compiler: &Compiler, text: &str, spot: &Spot<'_>) -> Read<Renderer> {
    let owner = || spot.owner_with_path();
    compiler.text(text, owner, spot.step()).map_err(|mistake| {
        let line = mistake.line.and_then(|line| spot.line_of_text(line));
        spot.with_path().error_at(&mistake.problem, line)
    })
}

/// Compiles a value: templates anywhere inside lists and mappings, whose mistakes are noted.
///
/// # Errors
///
/// It is a text whose template has a mistake.
pub(crate) fn value(compiler: &Compiler, value: &Yaml, spot: &Spot<'_>) -> Read<Renderer> {
    match &value.value {
        YamlValue::List(items) => {
            let compile = |(index, item)| noted(compiler, item, &spot.at(index));
            let items: Read<_> = items.iter().enumerate().map(compile).collect();
            Ok(Renderer::List(items?))
        }
        YamlValue::Map(pairs) => {
            let mut compiled = Vec::with_capacity(pairs.len());
            for (key, item) in pairs {
                let key = key_text(key);
                let item = noted(compiler, item, &spot.at(&*key))?;
                compiled.push((key.into(), item));
            }
            Ok(Renderer::Map(compiled.into()))
        }
        YamlValue::Scalar(Snap::Str(written)) => text(compiler, written, spot),
        _ => Ok(Renderer::Constant(value.to_snap())),
    }
}

/// Compiles a value, or null where it has a mistake, which is noted.
///
/// # Errors
///
/// Enough mistakes are noted.
pub(crate) fn noted(compiler: &Compiler, item: &Yaml, spot: &Spot<'_>) -> Read<Renderer> {
    let compiled = spot.attempt(value(compiler, item, spot))?;
    Ok(compiled.unwrap_or(Renderer::Constant(Snap::Null)))
}
