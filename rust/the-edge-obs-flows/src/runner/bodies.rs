//! Execute what a node does: call an action, nested steps, a sub-flow, a loop, a fan-out.

use std::sync::Arc;

use the_edge_obs::value::Key;
use the_edge_obs::Snap;

use super::context::Context;
use super::executor::{Attempt, Executor, Outcome};
use super::parallel::{run_branches, Branch, Limits};
use super::scheduler::run_plan;
use super::RUN_KEYS;
use crate::answers::Called;
use crate::error::Failure;
use crate::model::{ActionBody, FanOutBody, LoopBody, Node, Output, SubflowBody};
use crate::python::{cut, quoted, repr, type_name};
use crate::state::{Entry, Pair, State};
use crate::templates::{Extras, Names, Renderer, RESULTS};
use crate::trace::{Call, Span};

impl Executor<'_> {
    /// Does a node's work in a span of its own.
    fn span<T>(
        &self,
        node: &str,
        at: Attempt<'_>,
        input: Option<&dyn Fn() -> Snap>,
        work: impl FnOnce(&Span<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let call = Call {
            node,
            step: Some(&at.node.name),
            input,
            attempt: at.number,
        };
        self.run.tracer.run(&call, work)
    }

    /// Renders a node's input; when that fails, the failure is logged as this node's.
    fn rendered<T>(
        &self,
        renderer: &Renderer,
        names: &Names,
        node: &str,
        at: Attempt<'_>,
        convert: impl FnOnce(Snap, &str) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let rendered = renderer.render(names);
        let converted = rendered.and_then(|value| convert(value, &at.node.name));
        converted.or_else(|failure| self.span(node, at, None, |_| Err(failure)))
    }

    pub(super) fn action(&self, at: Attempt<'_>, body: &ActionBody) -> Result<Outcome, Failure> {
        let names = self.names(at.state, at.extras);
        let params = self.rendered(&body.params, &names, &body.name, at, plain)?;
        self.span(&body.name, at, Some(&|| params.clone()), |span| {
            let context = Context {
                state: at.state,
                step: &at.node.name,
                settings: &self.plan.settings,
                stop: &self.run.stop,
                store: self.run.store.as_ref(),
                span,
            };
            let result = match &self.run.answers {
                None => body.action.call(&params, &context)?,
                Some(asked) => asked.answers.answer(&Called {
                    name: &body.name,
                    params: &params,
                    context: &context,
                    action: &*body.action,
                    real_calls: &asked.real_calls,
                })?,
            };
            stored(&body.output, result, names, span)
        })
    }

    pub(super) fn steps(&self, at: Attempt<'_>, steps: &[Node]) -> Result<Outcome, Failure> {
        let mut inner = at.state.clone();
        self.span("steps", at, None, |_| {
            self.sequence(steps, &mut inner, at.extras)
        })?;
        Ok(changed(at.state, &inner))
    }

    pub(super) fn subflow(&self, at: Attempt<'_>, body: &SubflowBody) -> Result<Outcome, Failure> {
        let names = self.names(at.state, at.extras);
        let params = self.rendered(&body.params, &names, "subflow", at, plain)?;
        self.span("subflow", at, Some(&|| params.clone()), |span| {
            let mut given = State::from_snap(params.clone()).counting_with(at.state);
            for key in RUN_KEYS {
                if let Some(entry) = at.state.entry(key) {
                    given.put((key.into(), Arc::clone(entry)));
                }
            }
            let mut result = run_plan(&body.plan, given, self.run)?;
            for key in RUN_KEYS {
                result.remove(key);
            }
            stored(&body.output, result.to_snap(), names, span)
        })
    }

    pub(super) fn while_loop(&self, at: Attempt<'_>, body: &LoopBody) -> Result<Outcome, Failure> {
        let mut inner = at.state.clone();
        let reached = self.span("loop", at, None, |span| {
            for index in 0..body.max_iterations {
                if !body.condition.holds(&self.names(&inner, at.extras))? {
                    return Ok(None);
                }
                self.count_step(&at.node.name, "loop")?;
                self.round(at, index, &body.steps, &mut inner)?;
            }
            // A condition that fails counts as one that holds.
            let names = self.names(&inner, at.extras);
            if !body.condition.holds(&names).unwrap_or(true) {
                return Ok(None);
            }
            let reached = [
                ("stopped_by", Snap::from("max_iterations")),
                ("rounds", body.max_iterations.into()),
            ];
            span.set_output(&Snap::map(reached.clone()));
            let (name, rounds) = (&at.node.name, body.max_iterations);
            let message = format!(
                "step '{name}' stopped after {rounds} rounds (max_iterations); its condition still holds"
            );
            self.run.tracer.note(&message, || {
                Snap::map([("step", Snap::from(&**name))].into_iter().chain(reached.clone()))
            });
            Ok(Some(reached))
        })?;
        let outcome = changed(at.state, &inner);
        let Some(reached) = reached else {
            return Ok(outcome);
        };
        let mut result = State::new();
        result.update(outcome.updates.iter().cloned());
        for (key, value) in reached {
            result.set(key, value);
        }
        let result = Entry::new(result.to_snap());
        Ok(Outcome { result, ..outcome })
    }

    fn round(
        &self,
        at: Attempt<'_>,
        index: u64,
        steps: &[Node],
        state: &mut State,
    ) -> Result<(), Failure> {
        let input = || Snap::map([("index", index.into())]);
        let call = Call {
            node: "loop.iteration",
            step: None,
            input: Some(&input),
            attempt: None,
        };
        self.run
            .tracer
            .run(&call, |_| self.sequence(steps, state, at.extras))
    }

    pub(super) fn fan_out(&self, at: Attempt<'_>, body: &FanOutBody) -> Result<Outcome, Failure> {
        let names = self.names(at.state, at.extras);
        let items = self.rendered(&body.items, &names, "parallel", at, listed)?;
        let limit = self.rendered(&body.max_concurrency, &names, "parallel", at, limit)?;
        let items: Vec<Arc<Entry>> = items.into_iter().map(Entry::new).collect();
        let count = items.len();
        let input = || Snap::map([("items", count.into())]);
        let results = self.span("parallel", at, Some(&input), |_| {
            let branches = items.iter().enumerate();
            let branches = branches.map(|(index, item)| branch(at, body, index, item));
            let work = |index: usize, state: &mut State| {
                let mut extras = at.extras.clone();
                extras.extend(item_names(body, index, &items[index]));
                self.sequence(&body.steps, state, &extras)
            };
            let limits = Limits {
                at_once: limit,
                fail_fast: body.fail_fast,
            };
            run_branches(self.run, branches.collect(), limits, &work)
        })?;
        let results = Entry::new(Snap::List(results.into()));
        let mut updates: Vec<Pair> = vec![(RESULTS.into(), Arc::clone(&results))];
        if let Some(key) = &body.output {
            updates.push((Arc::from(&**key), Arc::clone(&results)));
        }
        Ok(Outcome::new(updates, results))
    }
}

fn branch(at: Attempt<'_>, body: &FanOutBody, index: usize, item: &Arc<Entry>) -> Branch {
    let mut state = at.state.branch();
    state.update(item_names(body, index, item));
    let input = [("index", index.into()), ("item", item.snap().clone())];
    Branch {
        name: format!("{}[{index}]", at.node.name),
        input: Snap::map(input),
        state,
    }
}

/// Returns the names under which the steps of a fan-out find the item and its index.
fn item_names(body: &FanOutBody, index: usize, item: &Arc<Entry>) -> Extras {
    vec![
        (Arc::from(&*body.item_var), Arc::clone(item)),
        (Arc::from(&*body.index_var), Entry::new(index.into())),
    ]
}

/// Returns what a result changes in the state.
fn stored(
    output: &Output,
    result: Snap,
    names: Names,
    span: &Span<'_>,
) -> Result<Outcome, Failure> {
    span.set_output(&result);
    let entry = Entry::new(result);
    let updates = match (output, entry.snap()) {
        (Output::Key(key), _) => vec![(Arc::from(&**key), Arc::clone(&entry))],
        (Output::Fields(fields), _) => pairs(&fields.render(&names.with_result(&entry))?),
        (Output::Merged, Snap::Null) => Vec::new(),
        (Output::Merged, Snap::Map(_)) => pairs(entry.snap()),
        (Output::Merged, _) => vec![("result".into(), Arc::clone(&entry))],
    };
    Ok(Outcome::new(updates, entry))
}

fn pairs(value: &Snap) -> Vec<Pair> {
    let Snap::Map(pairs) = value else {
        return Vec::new();
    };
    let pair = |(key, value): &(Key, Snap)| (Arc::from(&**key), Entry::new(value.clone()));
    pairs.iter().map(pair).collect()
}

/// Returns the changes of nested steps.
fn changed(before: &State, after: &State) -> Outcome {
    let updates = after.changes_since(before);
    let result = updates
        .iter()
        .map(|(key, entry)| ((&**key).into(), entry.snap().clone()));
    let result = Entry::new(Snap::Map(result.collect()));
    Outcome::new(updates, result)
}

fn plain(value: Snap, _: &str) -> Result<Snap, Failure> {
    Ok(value)
}

fn listed(value: Snap, step: &str) -> Result<Vec<Snap>, Failure> {
    match value {
        Snap::Null => Ok(Vec::new()),
        Snap::List(items) => Ok(items.into_vec()),
        Snap::Map(pairs) => Ok(pairs
            .into_vec()
            .into_iter()
            .map(|(key, _)| Snap::Str(key.into()))
            .collect()),
        other => {
            let problem = format!(
                "step {}: items rendered to {}, a {}; it must be a list",
                quoted(step),
                cut(&repr(&other), 80),
                type_name(&other)
            );
            Err(Failure::run(problem, Some(step)))
        }
    }
}

fn limit(value: Snap, step: &str) -> Result<Option<usize>, Failure> {
    let number = match &value {
        Snap::Null => return Ok(None),
        Snap::Int(number) => usize::try_from(*number).unwrap_or(0),
        Snap::Bool(flag) => usize::from(*flag),
        Snap::Float(number) if number.is_finite() => *number as usize,
        Snap::Str(text) | Snap::Mark(text) => text.trim().parse().unwrap_or(0),
        Snap::Big(digits) if !digits.starts_with('-') => usize::MAX,
        _ => 0,
    };
    if number >= 1 {
        return Ok(Some(number));
    }
    let problem = format!(
        "step {}: max_concurrency rendered to {}; it must be a whole number of 1 or more",
        quoted(step),
        repr(&value)
    );
    Err(Failure::run(problem, Some(step)))
}
