//! Conditions of edges, jumps and loops: a boolean, `!flag`, a state key, a template or a bare Jinja expression.

use the_edge_obs::yaml::{Yaml, YamlValue};
use the_edge_obs::Snap;

use crate::error::Failure;
use crate::loader::source::Read;
use crate::loader::spot::Spot;
use crate::loader::values;
use crate::python::{is_true, quoted, repr};
use crate::templates::{mixes_text, shown, Compiler, Names, Renderer};

const FALSE_WORDS: [&str; 5] = ["", "false", "0", "no", "none"];

/// Words that mean true or false to people, and to YAML without quotes; as keys of the state they would be missing.
const YES_AND_NO: [&str; 6] = ["yes", "no", "on", "off", "none", "null"];

/// A compiled condition.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    what: What,
    /// The truth value it must have.
    expected: bool,
    /// Whether the texts false, no, none, 0 and the empty text count as false.
    words: bool,
}

/// The value to judge.
#[derive(Debug, Clone)]
enum What {
    Rendered(Renderer),
    /// A key of the state.
    Flag(Box<str>),
}

impl Condition {
    /// Returns the condition that always holds.
    pub(crate) fn always() -> Condition {
        Condition::constant(true, true)
    }

    fn constant(value: bool, expected: bool) -> Condition {
        Condition {
            what: What::Rendered(Renderer::Constant(Snap::Bool(value))),
            expected,
            words: false,
        }
    }

    /// Tells whether the condition holds.
    ///
    /// # Errors
    ///
    /// It cannot be evaluated. The message names the step and the expression.
    pub(crate) fn holds(&self, names: &Names) -> Result<bool, Failure> {
        let value = match &self.what {
            What::Flag(key) => names.flag(key),
            What::Rendered(renderer) => renderer.render(names)?,
        };
        let is_true = match value.as_str() {
            Some(text) if self.words => !FALSE_WORDS.contains(&&*text.trim().to_lowercase()),
            _ => is_true(&value),
        };
        Ok(is_true == self.expected)
    }
}

/// How a condition is compiled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sense {
    /// The truth value it must have for the condition to hold.
    pub expected: bool,
    /// Judge every text by its words, as a `goto` does; otherwise only a template that mixes text and expressions.
    pub words: bool,
}

impl Default for Sense {
    fn default() -> Self {
        Sense {
            expected: true,
            words: false,
        }
    }
}

/// Compiles a condition.
///
/// # Errors
///
/// It is neither a bool nor a text, or is not a valid expression.
pub(crate) fn compile(
    compiler: &Compiler,
    value: &Yaml,
    spot: &Spot<'_>,
    sense: Sense,
) -> Read<Condition> {
    if let YamlValue::Scalar(Snap::Bool(value)) = value.value {
        return Ok(Condition::constant(value, sense.expected));
    }
    let text = value.as_str().filter(|text| !text.trim().is_empty());
    let Some(text) = text else {
        let value = repr(&value.to_snap());
        return Err(spot.error(format!(
            "condition {value} is neither true, false nor an expression such as state.count < 3"
        )));
    };
    compile_text(compiler, text, spot, sense)
}

fn compile_text(
    compiler: &Compiler,
    written: &str,
    spot: &Spot<'_>,
    sense: Sense,
) -> Read<Condition> {
    let (text, mut sense) = (written.trim(), sense);
    let word = text.to_lowercase();
    if word == "true" || word == "false" {
        return Ok(Condition::constant(word == "true", sense.expected));
    }
    if let Some(negated) = negated(text) {
        sense.expected = !sense.expected;
        return compile_text(compiler, negated, spot, sense);
    }
    if YES_AND_NO.contains(&&*word) {
        return Err(spot.error(format!(
            "condition {} is neither true nor false; write true or false, or state.{text} for that key",
            quoted(written)
        )));
    }
    if is_identifier(text) && !compiler.knows(text) {
        return Ok(Condition {
            what: What::Flag(text.into()),
            expected: sense.expected,
            words: sense.words,
        });
    }
    let has_mark = text.contains("{{") || text.contains("{%");
    let template = if has_mark {
        text.to_owned()
    } else {
        format!("{{{{ {text} }}}}")
    };
    let renderer = values::text(compiler, &template, spot)?;
    let is_mixed = matches!(&renderer, Renderer::Template(template) if !template.is_whole);
    if is_mixed && mixes_text(text) {
        return Err(spot.error(format!(
            "condition {} mixes text and expressions, so it always holds; put all of it into one {{{{ }}}}",
            shown(text)
        )));
    }
    Ok(Condition {
        what: What::Rendered(renderer),
        expected: sense.expected,
        words: sense.words || is_mixed,
    })
}

/// Returns what an exclamation mark negates as a whole: a word, a path such as `state.done`, or one template.
fn negated(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('!')?.trim_start();
    let is_path = |char: char| char.is_alphanumeric() || char == '_' || char == '.';
    let is_template = rest.len() >= 4 && rest.starts_with("{{") && rest.ends_with("}}");
    let is_whole = is_template || (!rest.is_empty() && rest.chars().all(is_path));
    is_whole.then_some(rest)
}

/// Tells whether a text is a name as Python has them.
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    let starts = chars
        .next()
        .is_some_and(|char| char.is_alphabetic() || char == '_');
    starts && chars.all(|char| char.is_alphanumeric() || char == '_')
}
