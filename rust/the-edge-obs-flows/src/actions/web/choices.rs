//! The choices of a completion: texts, thoughts, refusals and tool calls, whole or piece by piece.

use std::collections::HashMap;

use the_edge_obs::Snap;

use crate::actions::support::spaced;
use crate::python::is_true;

const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// Something in an answer is not what the protocol says.
#[derive(Debug)]
pub(super) struct Odd;

/// A tool call as received so far.
#[derive(Debug)]
struct Call {
    /// `function`, or `custom` for a tool that takes free text.
    kind: &'static str,
    id: Snap,
    name: Snap,
    arguments: String,
}

impl Call {
    fn to_snap(&self) -> Snap {
        let argument = if self.kind == "custom" {
            "input"
        } else {
            "arguments"
        };
        let body = [
            ("name", self.name.clone()),
            (argument, self.arguments.as_str().into()),
        ];
        Snap::map([
            ("id", self.id.clone()),
            ("type", self.kind.into()),
            (self.kind, Snap::map(body)),
        ])
    }
}

/// One of the answers to a question, as received so far.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub content: String,
    reasoning: String,
    refusal: String,
    calls: Vec<Call>,
    by_index: HashMap<String, usize>,
    pub finish_reason: Option<Snap>,
}

impl Choice {
    pub(super) fn says_something(&self) -> bool {
        let texts = [&self.content, &self.reasoning, &self.refusal];
        self.finish_reason.is_some()
            || !self.calls.is_empty()
            || texts.iter().any(|text| !text.is_empty())
    }

    pub(super) fn facts(&self) -> Vec<(&'static str, Snap)> {
        let reason = self.finish_reason.clone().unwrap_or(Snap::Null);
        let mut facts = vec![
            ("content", self.content.as_str().into()),
            ("finish_reason", reason),
        ];
        if !self.calls.is_empty() {
            let calls = self.calls.iter().map(Call::to_snap).collect();
            facts.push(("tool_calls", Snap::List(calls)));
        }
        let further = [("refusal", &self.refusal), ("reasoning", &self.reasoning)];
        let further = further.into_iter().filter(|(_, text)| !text.is_empty());
        facts.extend(further.map(|(key, text)| (key, text.as_str().into())));
        facts
    }

    /// Adds a message, or the delta of a chunk, and returns its text. The calls of a whole message are numbered.
    pub(super) fn take(&mut self, message: &Snap, is_whole: bool) -> Result<String, Odd> {
        let mut text = String::new();
        let parts: &[Snap] = match message.get("content") {
            None | Some(Snap::Null) => &[],
            Some(Snap::List(parts)) => parts,
            Some(one) => std::slice::from_ref(one),
        };
        for part in parts.iter().filter(|part| **part != Snap::Null) {
            text += &self.part(part)?;
        }
        self.content += &text;
        let mut thoughts = REASONING.iter().map(|key| plain(message.get(key)));
        self.reasoning += &thoughts.find(|text| !text.is_empty()).unwrap_or_default();
        self.refusal += &plain(message.get("refusal"));
        match message.get("tool_calls") {
            Some(Snap::List(calls)) => {
                for (index, call) in calls.iter().enumerate() {
                    let index = is_whole.then(|| Snap::from(index));
                    self.take_call(call, index)?;
                }
            }
            Some(other) if is_true(other) => return Err(Odd),
            _ => {}
        }
        // The name of tool calls before November 2023.
        if let Some(call) = message.get("function_call").filter(|call| is_true(call)) {
            let given = Snap::map([("function", call.clone())]);
            self.take_call(&given, Some("function_call".into()))?;
        }
        Ok(text)
    }

    /// Returns the text of a part of the content; thoughts, refusals and tool calls are stored separately.
    fn part(&mut self, part: &Snap) -> Result<String, Odd> {
        if let Some(text) = part.as_str() {
            return Ok(text.to_owned());
        }
        if !matches!(part, Snap::Map(_)) {
            return Err(Odd);
        }
        let get = |key: &str| part.get(key).cloned().unwrap_or(Snap::Null);
        match part.get("type").and_then(Snap::as_str) {
            Some("tool_use") => {
                let function = Snap::map([("name", get("name")), ("arguments", get("input"))]);
                let given = Snap::map([("id", get("id")), ("function", function)]);
                self.take_call(&given, None)?;
            }
            Some("refusal") => self.refusal += &plain(part.get("refusal")),
            Some(kind) if REASONING.contains(&kind) => self.reasoning += &plain(Some(part)),
            _ => return Ok(get("text").as_str().unwrap_or_default().to_owned()),
        }
        Ok(String::new())
    }

    fn take_call(&mut self, given: &Snap, index: Option<Snap>) -> Result<(), Odd> {
        if !matches!(given, Snap::Map(_)) {
            return Err(Odd);
        }
        let is_given = |key: &str| given.get(key).filter(|value| is_true(value));
        let kind = if is_given("custom").is_some() {
            "custom"
        } else {
            "function"
        };
        let place = self.place_of(given, index);
        let call = &mut self.calls[place];
        if !is_true(&call.id) {
            call.id = given.get("id").cloned().unwrap_or(Snap::Null);
        }
        let Some(body) = is_given(kind) else {
            return Ok(());
        };
        if !matches!(body, Snap::Map(_)) {
            return Err(Odd);
        }
        if !is_true(&call.name) {
            call.name = body.get("name").cloned().unwrap_or(Snap::Null);
        }
        call.kind = kind;
        match body.get(if kind == "custom" {
            "input"
        } else {
            "arguments"
        }) {
            None | Some(Snap::Null) => {}
            Some(value) => match value.as_str() {
                Some(text) => call.arguments += text,
                None => call.arguments += &spaced(value),
            },
        }
        Ok(())
    }

    /// Returns the place of the call that a delta belongs to: the one with its index, unless that one has another id.
    fn place_of(&mut self, given: &Snap, index: Option<Snap>) -> usize {
        let id = given.get("id").filter(|id| is_true(id));
        let index = index.or_else(|| given.get("index").or(given.get("id")).cloned());
        let index = index.filter(|index| *index != Snap::Null);
        let name = index.as_ref().unwrap_or(&Snap::Null).to_json();
        let known = match (&index, self.calls.len()) {
            (None, count @ 1..) => Some(count - 1),
            _ => self.by_index.get(&name).copied(),
        };
        let is_other = |place: &usize| {
            let own = &self.calls[*place].id;
            id.is_some_and(|id| is_true(own) && id != own)
        };
        if let Some(place) = known.filter(|place| !is_other(place)) {
            return place;
        }
        self.calls.push(Call {
            kind: "function",
            id: Snap::Null,
            name: Snap::Null,
            arguments: String::new(),
        });
        let place = self.calls.len() - 1;
        self.by_index.insert(name, place);
        place
    }
}

/// Returns the text in a value: a text, the text of a part, or the joined texts of a list of parts.
fn plain(value: Option<&Snap>) -> String {
    match value {
        Some(Snap::Str(text) | Snap::Mark(text)) => text.to_string(),
        Some(Snap::List(items)) => items.iter().map(|item| plain(Some(item))).collect(),
        Some(part @ Snap::Map(_)) => {
            let keys = ["text"].into_iter().chain(REASONING).chain(["content"]);
            let mut texts = keys.map(|key| plain(part.get(key)));
            texts.find(|text| !text.is_empty()).unwrap_or_default()
        }
        _ => String::new(),
    }
}
