//! One part of a flow: where it is written, and what messages call it.
//!
//! Everything that reads a flow carries the two together; a mistake is returned or noted at the spot where it was found.

use the_edge_obs::yaml::Yaml;

use super::source::{Read, Refusal, Source};
use crate::error::FlowFileError;
use crate::python::{quoted, repr};

/// A step from a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// The key of a mapping.
    Key(Box<str>),
    /// The index of a list.
    Index(usize),
}

impl From<&str> for Part {
    fn from(key: &str) -> Self {
        Part::Key(key.into())
    }
}

impl From<usize> for Part {
    fn from(index: usize) -> Self {
        Part::Index(index)
    }
}

/// One part of a flow.
#[derive(Debug, Clone)]
pub(crate) struct Spot<'a> {
    /// The flow.
    pub source: &'a Source,
    /// Where the part is written; empty for the flow as a whole.
    place: Vec<Part>,
    /// What messages call it, such as `step 'load'` or `edges[0]: when`; empty for no name.
    owner: String,
    /// The node it belongs to.
    step: Option<String>,
}

impl<'a> Spot<'a> {
    /// Returns the spot of a flow as a whole.
    pub(crate) fn new(source: &'a Source) -> Spot<'a> {
        Spot {
            source,
            place: Vec::new(),
            owner: String::new(),
            step: None,
        }
    }

    /// Returns a spot further inside, under the same name.
    pub(crate) fn at(&self, part: impl Into<Part>) -> Spot<'a> {
        let mut inner = self.clone();
        inner.place.push(part.into());
        inner
    }

    /// Returns the same spot under another name.
    pub(crate) fn called(&self, owner: impl Into<String>) -> Spot<'a> {
        Spot {
            owner: owner.into(),
            ..self.clone()
        }
    }

    /// Returns the spot of a key, whose name says which key it is: `step 'load': output`.
    pub(crate) fn key(&self, key: &str) -> Spot<'a> {
        self.at(key).called(self.text(key))
    }

    /// Returns the spot of a list item, whose name says which item it is: `nodes[0]`.
    pub(crate) fn item(&self, index: usize) -> Spot<'a> {
        self.at(index).called(format!("{}[{index}]", self.owner))
    }

    /// Returns the spot of a node in this list of nodes.
    pub(crate) fn node(&self, index: usize, name: &str) -> Spot<'a> {
        let mut node = self.at(index).called(format!("step {}", quoted(name)));
        node.step = Some(name.to_owned());
        node
    }

    /// Returns the same spot under a name that says which part of its node it is: `step 'load', key 'with.path'`.
    pub(crate) fn with_path(&self) -> Spot<'a> {
        self.called(self.owner_with_path())
    }

    /// Returns that name.
    pub(crate) fn owner_with_path(&self) -> String {
        let mut parts = &self.place[..];
        while parts.len() > 1 && is_list_of_nodes(&parts[0]) {
            parts = &parts[2..];
        }
        let parts: Vec<String> = parts
            .iter()
            .map(|part| match part {
                Part::Key(key) => key.to_string(),
                Part::Index(index) => index.to_string(),
            })
            .collect();
        format!("{}, key {}", self.owner, quoted(&parts.join(".")))
    }

    /// Returns the node it belongs to.
    pub(crate) fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    /// Returns the line of the spot.
    pub(crate) fn line(&self) -> Option<usize> {
        self.source.line(&self.place)
    }

    /// Returns a line of the text that stands at the spot.
    pub(crate) fn line_of_text(&self, line: usize) -> Option<usize> {
        self.line()
            .map(|_| self.source.text_line(&self.place) + line - 1)
    }

    /// Returns a problem with the spot's name before it.
    pub(crate) fn text(&self, problem: &str) -> String {
        if self.owner.is_empty() {
            problem.to_owned()
        } else {
            format!("{}: {problem}", self.owner)
        }
    }

    /// Returns the error that rejects the flow because of this spot.
    pub(crate) fn error(&self, problem: impl AsRef<str>) -> Refusal {
        self.failure(self.text(problem.as_ref()), self.line())
            .into()
    }

    /// Returns the same error at a line of its own.
    pub(crate) fn error_at(&self, problem: &str, line: Option<usize>) -> Refusal {
        self.failure(self.text(problem), line.or_else(|| self.line()))
            .into()
    }

    /// Returns the error for a value that is not what it must be, such as `a list (- item)`.
    pub(crate) fn wrong(&self, value: &Yaml, expected: &str) -> Refusal {
        let value = repr(&value.to_snap());
        let problem = format!("{} is {value}; it must be {expected}", self.owner);
        self.failure(problem, self.line()).into()
    }

    /// Notes a mistake at this spot; reading continues, so that further mistakes are found.
    ///
    /// # Errors
    ///
    /// As [`Source::note`].
    pub(crate) fn note(&self, problem: impl AsRef<str>) -> Read<()> {
        let mistake = self.failure(self.text(problem.as_ref()), self.line());
        self.source.note(mistake)
    }

    /// Returns what was read, or notes its mistake and returns `None`.
    ///
    /// # Errors
    ///
    /// As [`Source::note`].
    pub(crate) fn attempt<T>(&self, read: Read<T>) -> Read<Option<T>> {
        self.source.attempt(read)
    }

    fn failure(&self, problem: String, line: Option<usize>) -> FlowFileError {
        FlowFileError {
            problem,
            path: self.source.path.clone(),
            line,
            step: self.step.clone(),
            others: Vec::new(),
        }
    }
}

fn is_list_of_nodes(part: &Part) -> bool {
    let lists = ["nodes", "steps", "body", "edges"];
    matches!(part, Part::Key(key) if lists.contains(&&**key))
}
