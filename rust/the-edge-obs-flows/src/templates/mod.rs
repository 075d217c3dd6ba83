//! Templates: Jinja in a sandbox, compiled when the flow is loaded, rendered when a node runs.
//!
//! A string that is one whole `{{ expression }}` keeps the type of its value; any other string renders to a string. `${name}`
//! stands for the text of a variable. A missing key of the state (or of any mapping) is none, and a key hides a method of the same
//! name. An attribute of none is undefined: as a whole expression it is none, any other use of it is an error.

mod arithmetic;
mod compare;
mod display;
mod environment;
mod filters;
mod guarded;
mod limits;
mod names;
mod operators;
mod rewrite;
mod scan;
mod texts;
mod values;

use std::collections::BTreeSet;
use std::sync::Arc;

use the_edge_obs::Snap;

use crate::closest::allowed;
use crate::error::Failure;
use crate::python::{cut, quoted};
use environment::{reason, Engine};
use scan::{keyword, parts, tokens, Part, Token};

pub(crate) use names::{Extras, Fixed, Names, NAMES, RESULTS};
pub(crate) use values::{to_value, Fields, BRANCH_KEYS};

/// How many characters of a template a message shows.
const SHOWN: usize = 500;

/// A compiled value.
#[derive(Debug, Clone)]
pub(crate) enum Renderer {
    /// A scalar without a template.
    Constant(Snap),
    /// A list.
    List(Box<[Renderer]>),
    /// A mapping; keys stay as they are.
    Map(Box<[(Box<str>, Renderer)]>),
    /// A string with a template in it.
    Template(Template),
}

impl Renderer {
    /// Returns the value, with its templates rendered.
    ///
    /// # Errors
    ///
    /// A template cannot be rendered. The message names step, key and expression.
    pub(crate) fn render(&self, names: &Names) -> Result<Snap, Failure> {
        match self {
            Renderer::Constant(value) => Ok(value.clone()),
            Renderer::List(items) => {
                let items: Result<_, Failure> =
                    items.iter().map(|item| item.render(names)).collect();
                Ok(Snap::List(items?))
            }
            Renderer::Map(pairs) => {
                let render = |(key, value): &(Box<str>, Renderer)| {
                    Ok(((&**key).into(), value.render(names)?))
                };
                let pairs: Result<_, Failure> = pairs.iter().map(render).collect();
                Ok(Snap::Map(pairs?))
            }
            Renderer::Template(template) => template.render(names),
        }
    }
}

/// A string with a template in it.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    text: Box<str>,
    owner: Box<str>,
    step: Option<Box<str>>,
    name: Box<str>,
    engine: Engine,
    /// Whether it is one whole expression, whose value keeps its type.
    pub is_whole: bool,
}

impl Template {
    fn render(&self, names: &Names) -> Result<Snap, Failure> {
        let rendered = if self.is_whole {
            self.engine.evaluate(&self.name, names.value())
        } else {
            self.engine.render(&self.name, names.value())
        };
        rendered.map_err(|error| {
            let reason = cut(&reason(&error), SHOWN);
            let problem = format!(
                "{}: cannot render {}: {reason}",
                self.owner,
                shown(&self.text)
            );
            Failure::run(problem, self.step.as_deref())
        })
    }
}

/// A mistake in a template.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// What is wrong and what is allowed.
    pub problem: String,
    /// The line of the template, from 1, if it is known.
    pub line: Option<usize>,
}

impl Mistake {
    fn new(problem: String) -> Mistake {
        Mistake {
            problem,
            line: None,
        }
    }
}

/// Compiles the templates of one flow.
#[derive(Debug, Clone)]
pub(crate) struct Compiler {
    variables: Arc<Snap>,
    engine: Engine,
    names: BTreeSet<Box<str>>,
    knows_env: bool,
}

impl Compiler {
    /// Returns the compiler of a flow; its templates can read environment variables if `with_env` says so.
    pub(crate) fn new(variables: &Snap, with_env: bool) -> Compiler {
        let names = NAMES.into_iter().filter(|name| with_env || *name != "env");
        Compiler {
            variables: Arc::new(variables.clone()),
            engine: Engine::new(),
            names: names.map(Into::into).collect(),
            knows_env: with_env,
        }
    }

    /// Returns a compiler whose templates can use further names.
    pub(crate) fn knowing(&self, names: &[&str]) -> Compiler {
        let mut more = self.clone();
        more.names.extend(names.iter().map(|name| (*name).into()));
        more
    }

    /// Returns a compiler whose templates can use only these of the names.
    pub(crate) fn narrowed(&self, names: &[&str]) -> Compiler {
        let mut less = self.clone();
        less.names.retain(|name| names.contains(&&**name));
        less
    }

    /// Returns the names that a template can use, in alphabetical order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Returns the variables of the flow.
    pub(crate) fn variables(&self) -> &Snap {
        &self.variables
    }

    /// Tells whether a template can use a name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Compiles a string, which is a constant when it holds no template.
    ///
    /// # Errors
    ///
    /// Its template has a syntax error or an unknown name.
    pub(crate) fn text(
        &self,
        text: &str,
        owner: impl FnOnce() -> String,
        step: Option<&str>,
    ) -> Result<Renderer, Mistake> {
        let source = self.with_variables(text);
        if !source.contains("{{") && !source.contains("{%") {
            return Ok(Renderer::Constant(text.into()));
        }
        let parts = parts(&source);
        if scan::is_too_long(&parts) {
            return Err(Mistake::new(format!(
                "cannot be compiled in {}: it is nested too deeply, or too long; use several steps",
                shown(text)
            )));
        }
        self.check_names(&source, text)?;
        self.check_filters(&parts, text)?;
        let expression = if is_whole(text) {
            one_expression(&parts)
        } else {
            None
        };
        let added = match expression {
            Some(expression) => self.engine.add_expression(&rewrite::expression(expression)),
            None => self.engine.add(rewrite::template(&source, &parts)),
        };
        let name = added.map_err(|error| refusal(&error, text))?;
        Ok(Renderer::Template(Template {
            text: text.into(),
            owner: owner().into(),
            step: step.map(Into::into),
            name: name.into(),
            engine: self.engine.clone(),
            is_whole: expression.is_some(),
        }))
    }

    /// Replaces each `${name}` of a variable by an expression; unknown names stay as they are.
    fn with_variables(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            out.push_str(&rest[..start]);
            let inside = &rest[start + 2..];
            let end = inside
                .find(|char: char| !char.is_alphanumeric() && char != '_')
                .unwrap_or(inside.len());
            let (name, behind) = inside.split_at(end);
            let is_name = name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
            if is_name && behind.starts_with('}') && self.variables.get(name).is_some() {
                out.push_str(&format!("{{{{ variables[{}] }}}}", quoted(name)));
                rest = &behind[1..];
            } else {
                out.push_str("${");
                rest = inside;
            }
        }
        out.push_str(rest);
        out
    }

    fn check_names(&self, source: &str, text: &str) -> Result<(), Mistake> {
        let used = self.engine.names(source);
        let used = used.map_err(|error| refusal(&error, text))?;
        let unknown: Vec<&String> = used.iter().filter(|name| !self.knows(name)).collect();
        if !self.knows_env && unknown.iter().any(|name| *name == "env") {
            return Err(Mistake::new(format!(
                "env in {} is not available to a flow without code; pass the value in the state",
                shown(text)
            )));
        }
        if let Some(name) = unknown.first() {
            let hint = if self.knows("state") {
                format!("; for a key of the state write state.{}", cut(name, SHOWN))
            } else {
                String::new()
            };
            return Err(Mistake::new(format!(
                "unknown name {} in {}{hint}; {}",
                shown(name),
                shown(text),
                allowed(self.names())
            )));
        }
        if used.iter().any(|name| name == "env") && parts(source).iter().any(uses_whole_env) {
            return Err(Mistake::new(format!(
                "env in {} cannot be used as a whole; read one variable, such as env.HOME",
                shown(text)
            )));
        }
        Ok(())
    }

    /// Refuses filters and tests that do not exist, and tests of tests. The engine itself would notice them only when the template is
    /// rendered, or never.
    fn check_filters(&self, parts: &[Part<'_>], text: &str) -> Result<(), Mistake> {
        for expression in parts.iter().filter_map(expression_of) {
            let tokens = tokens(expression);
            for at in 0..tokens.len() {
                if let Some(problem) = self.problem_at(&tokens, at) {
                    let shown = shown(text);
                    let problem = format!("template syntax error in {shown}: {problem}");
                    return Err(Mistake::new(problem));
                }
            }
        }
        Ok(())
    }

    /// Returns what is wrong with the filter or test that a token announces.
    fn problem_at(&self, tokens: &[Token<'_>], at: usize) -> Option<String> {
        let name = |at: usize| {
            let token = tokens.get(at).filter(|token| token.is_name);
            token.map(|token| token.text)
        };
        let unknown = |kind: &str, name: &str| {
            let name = quoted(&cut(name, SHOWN));
            Some(format!("No {kind} named {name}."))
        };
        match tokens[at].text {
            "|" => name(at + 1)
                .filter(|name| !self.engine.has_filter(name))
                .and_then(|name| unknown("filter", name)),
            "filter" if at == 0 => name(1)
                .filter(|name| !self.engine.has_filter(name))
                .and_then(|name| unknown("filter", name)),
            "is" => {
                let at = at + 1 + usize::from(name(at + 1) == Some("not"));
                let test = name(at)?;
                if !self.engine.has_test(test) {
                    return unknown("test", test);
                }
                let is_again = name(scan::group_end(tokens, at + 1)) == Some("is");
                let has_argument = tokens.get(at + 1).is_some_and(|next| next.text == "(");
                let is_next = name(at + 1) == Some("is");
                (is_next || (has_argument && is_again))
                    .then(|| "You cannot chain multiple tests with is".to_owned())
            }
            _ => None,
        }
    }
}

/// Tells whether a template has text or a second expression beside an expression, outside of `{% %}` blocks.
pub(crate) fn mixes_text(text: &str) -> bool {
    let (mut depth, mut texts, mut outputs) = (0_usize, 0, 0);
    for part in parts(text) {
        match part {
            Part::Text(text) if depth == 0 => texts += usize::from(!text.trim().is_empty()),
            Part::Output(..) if depth == 0 => outputs += 1,
            Part::Block(content, _) => {
                let word = keyword(content);
                let opens = matches!(
                    word,
                    "for" | "if" | "with" | "filter" | "call" | "macro" | "block" | "autoescape"
                ) || (word == "set" && !content.contains('='));
                depth += usize::from(opens);
                depth = depth.saturating_sub(usize::from(word.starts_with("end")));
            }
            _ => {}
        }
    }
    outputs > 0 && texts + outputs > 1
}

/// Returns a template as messages show it: on one line, and cut to a limit.
pub(crate) fn shown(text: &str) -> String {
    quoted(&cut(text.trim(), SHOWN))
}

fn refusal(error: &minijinja::Error, text: &str) -> Mistake {
    let reason = cut(&reason(error), SHOWN);
    Mistake {
        problem: format!("template syntax error in {}: {reason}", shown(text)),
        line: error.line(),
    }
}

fn is_whole(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}")
}

/// Returns the expression of a template that is one `{{ expression }}`, apart from blanks around it.
fn one_expression<'a>(parts: &[Part<'a>]) -> Option<&'a str> {
    let mut found = None;
    for part in parts {
        match part {
            Part::Output(content, _) if found.is_none() => found = Some(*content),
            Part::Text(text) if text.trim().is_empty() => {}
            _ => return None,
        }
    }
    let content = found?;
    let content = content.strip_prefix(['-', '+']).unwrap_or(content);
    let content = content.strip_suffix('-').unwrap_or(content);
    Some(content).filter(|content| !content.trim().is_empty())
}

fn expression_of<'a>(part: &Part<'a>) -> Option<&'a str> {
    match part {
        Part::Output(content, _) | Part::Block(content, _) => Some(content),
        _ => None,
    }
}

/// Tells whether an expression uses `env` other than for one variable of it.
fn uses_whole_env(part: &Part<'_>) -> bool {
    let tokens = expression_of(part).map(tokens).unwrap_or_default();
    let text = |at: usize| tokens.get(at).map_or("", |token: &Token<'_>| token.text);
    (0..tokens.len()).any(|at| {
        text(at) == "env"
            && (at == 0 || text(at - 1) != ".")
            && !matches!(text(at + 1), "." | "[" | "=")
    })
}

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod tests;
