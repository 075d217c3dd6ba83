//! Execute one node: its attempts, and its updates of the state.
//!
//! The scheduler decides which node runs next, [`trace`](crate::trace) what is logged.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use the_edge_obs::outcome::soft_failure;
use the_edge_obs::{Snap, Store};

use super::retrying::Retrying;
use super::stop::Stop;
use crate::answers::Asked;
use crate::error::Failure;
use crate::model::{Body, Mode, Node, OnError, Plan};
use crate::state::{Entry, Pair, State};
use crate::templates::{Extras, Names};
use crate::trace::Tracer;

/// The cap of a growing delay in seconds, unless the first delay is longer.
const LONGEST_DELAY: f64 = 60.0;

/// What a run shares with its sub-flows.
pub(super) struct Run {
    /// Logs the nodes.
    pub tracer: Tracer,
    /// Set when the run must stop before its next node.
    pub stop: Stop,
    /// Where actions read logs, if not in the rings in use.
    pub store: Option<Store>,
    /// What answers in place of the actions.
    pub answers: Option<Asked>,
}

/// The outcome of a node.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Changes of the state.
    pub updates: Vec<Pair>,
    /// The node's result, before `output` was applied to it.
    pub result: Arc<Entry>,
    /// The node to continue with instead of the usual one.
    pub jump: Option<Box<str>>,
}

impl Outcome {
    /// Returns an outcome without a jump.
    pub(super) fn new(updates: Vec<Pair>, result: Arc<Entry>) -> Outcome {
        Outcome {
            updates,
            result,
            jump: None,
        }
    }

    /// Returns the outcome of what changed nothing.
    pub(super) fn nothing() -> Outcome {
        Outcome::new(Vec::new(), Entry::new(Snap::Null))
    }
}

/// One attempt to execute a node.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub node: &'a Node,
    /// The state; the caller updates it.
    pub state: &'a State,
    /// Further names for templates.
    pub extras: &'a Extras,
    /// The number of the attempt, from 1; `None` where `on_error` allows only one.
    pub number: Option<u64>,
}

/// Executes the nodes of one plan within one run.
pub(super) struct Executor<'a> {
    pub plan: &'a Plan,
    pub run: &'a Run,
    count: AtomicU64,
}

impl<'a> Executor<'a> {
    pub(super) fn new(plan: &'a Plan, run: &'a Run) -> Executor<'a> {
        Executor {
            plan,
            run,
            count: AtomicU64::new(0),
        }
    }

    /// Counts a node, or a round of a loop, before it runs. The kind is what may repeat it endlessly: `goto` or `loop`.
    ///
    /// # Errors
    ///
    /// The count exceeds `settings.max_steps`.
    pub(super) fn count_step(&self, name: &str, kind: &str) -> Result<(), Failure> {
        if self.count.fetch_add(1, Ordering::Relaxed) < self.plan.max_steps {
            return Ok(());
        }
        let problem = format!(
            "step {}: more than {} steps in one run, which looks like an endless {kind}; add a way out of the loop, or raise \
             settings.max_steps",
            crate::python::quoted(name),
            self.plan.max_steps
        );
        Err(Failure::run(problem, Some(name)))
    }

    /// Returns the names that templates and conditions see.
    pub(super) fn names(&self, state: &State, extras: &Extras) -> Names {
        Names::new(&self.plan.fixed, state, extras)
    }

    /// Executes a node, as often as its `on_error` allows.
    ///
    /// # Errors
    ///
    /// The node's own failure, when `on_error` does not handle it.
    pub(super) fn execute(
        &self,
        node: &Node,
        state: &State,
        extras: &Extras,
    ) -> Result<Outcome, Failure> {
        let once = Attempt {
            node,
            state,
            extras,
            number: None,
        };
        let rule = &node.on_error;
        if rule.mode == Mode::Raise {
            return self.once(once);
        }
        let retrying = Retrying {
            retries: rule.max_retries,
            delay: rule.delay,
            factor: rule.backoff,
            longest: LONGEST_DELAY.max(rule.delay),
        };
        let calls = Cell::new(None);
        let attempt = |number| {
            let number = (rule.max_retries > 0).then_some(number);
            calls.set(self.real_calls());
            self.once(Attempt { number, ..once })
        };
        let pause = |_, _: &_, seconds| match calls.get() {
            // An answer is there at once.
            Some(calls) if self.real_calls() == Some(calls) => self.run.stop.check(),
            _ => self.run.stop.wait(seconds),
        };
        let (tried, attempts) = retrying.run(attempt, |tried| may_retry(rule, tried), pause)?;
        match failure_of(&tried) {
            None => tried,
            Some(failure) => self.after_failure(node, attempts, tried, &failure),
        }
    }

    /// Returns how many actions of the run were called; `None` for a run without answers.
    fn real_calls(&self) -> Option<u64> {
        let asked = self.run.answers.as_ref()?;
        Some(asked.real_calls.load(Ordering::Relaxed))
    }

    fn once(&self, at: Attempt<'_>) -> Result<Outcome, Failure> {
        match &at.node.body {
            Body::Action(body) => self.action(at, body),
            Body::Steps(steps) => self.steps(at, steps),
            Body::Subflow(body) => self.subflow(at, body),
            Body::Loop(body) => self.while_loop(at, body),
            Body::FanOut(body) => self.fan_out(at, body),
        }
    }

    fn after_failure(
        &self,
        node: &Node,
        attempts: u64,
        tried: Result<Outcome, Failure>,
        failure: &Failure,
    ) -> Result<Outcome, Failure> {
        let rule = &node.on_error;
        if tried.is_err()
            && (failure.is_cancelled() || (rule.mode == Mode::Retry && rule.fallback.is_none()))
        {
            return tried;
        }
        self.note_failure(node, attempts, failure);
        let jump = rule.fallback.clone();
        let mut outcome = match tried {
            // A soft failure is a result, which the state already has.
            Ok(outcome) if jump.is_none() => return Ok(outcome),
            tried => tried.unwrap_or_else(|_| Outcome::nothing()),
        };
        let action = match &node.body {
            Body::Action(body) => Snap::from(&*body.name),
            _ => Snap::Null,
        };
        let info = [
            ("type", (*failure.kind).into()),
            ("message", (*failure.message).into()),
            ("node", (*node.name).into()),
            ("action", action),
            ("retry_count", (attempts - 1).into()),
        ];
        outcome
            .updates
            .push(("__error__".into(), Entry::new(Snap::map(info))));
        outcome.jump = jump;
        Ok(outcome)
    }

    fn note_failure(&self, node: &Node, attempts: u64, failure: &Failure) {
        let rule = &node.on_error;
        // Names as they are, between quotes: how a language would quote them is not part of the contract.
        let tries = if attempts == 1 {
            String::new()
        } else {
            format!(" after {attempts} attempts")
        };
        let fallback = rule.fallback.as_deref();
        let with = fallback.map_or_else(String::new, |name| format!(" with '{name}'"));
        let message = format!("step '{}' failed{tries}, continuing{with}", node.name);
        self.run.tracer.note(&message, || {
            let error = [
                ("type", Snap::from(&*failure.kind)),
                ("message", (*failure.message).into()),
            ];
            Snap::map([
                ("step", Snap::from(&*node.name)),
                ("mode", rule.mode.name().into()),
                ("attempts", attempts.into()),
                ("error", Snap::map(error)),
                ("fallback", fallback.map(Snap::from).into()),
            ])
        });
    }

    /// Executes nested steps one after the other on their own state, which they change.
    pub(super) fn sequence(
        &self,
        steps: &[Node],
        state: &mut State,
        extras: &Extras,
    ) -> Result<(), Failure> {
        for step in steps {
            self.run.stop.check()?;
            let outcome = self.execute(step, state, extras)?;
            state.update(outcome.updates);
        }
        Ok(())
    }
}

fn may_retry(rule: &OnError, tried: &Result<Outcome, Failure>) -> bool {
    match (tried, &rule.retryable) {
        (Err(failure), _) if failure.is_cancelled() => false,
        (Err(failure), Some(kinds)) => kinds.iter().any(|kind| failure.is_a(kind)),
        _ => failure_of(tried).is_some(),
    }
}

/// Returns what failed in an attempt, raised or as a result `{"success": false, ...}`.
fn failure_of(tried: &Result<Outcome, Failure>) -> Option<Failure> {
    match tried {
        Err(failure) => Some(failure.clone()),
        Ok(outcome) => {
            let failure = soft_failure(outcome.result.snap())?;
            Some(Failure::new(failure.kind, failure.message))
        }
    }
}
