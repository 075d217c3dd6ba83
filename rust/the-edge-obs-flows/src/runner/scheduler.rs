//! Decide which node runs next: `goto` first, then the edges, then the next node in the file.

use std::collections::HashSet;

use the_edge_obs::Snap;

use super::executor::{Executor, Outcome, Run};
use super::parallel::{run_branches, Branch, Limits};
use crate::error::Failure;
use crate::model::{Plan, END, START};
use crate::python::quoted;
use crate::state::State;
use crate::templates::{Names, RESULTS};
use crate::trace::Call;

/// What follows a node.
enum Route<'a> {
    To(&'a str),
    /// Parallel edges to follow at the same time, and the node that joins them.
    Fork(Vec<&'a str>, &'a str),
}

/// Where a walk ends.
#[derive(Clone)]
struct Borders<'a> {
    /// Nodes before which it stops: the end, and the fan-ins of the branches it is in.
    ends: HashSet<&'a str>,
    /// First nodes of the other branches; none of them is the next node merely because it comes next in the file.
    siblings: HashSet<&'a str>,
    /// Where the branch joins the others.
    fan_in: Option<&'a str>,
}

/// Runs a plan from its start to its end and returns the final state. The given state wins over the plan's initial state.
///
/// # Errors
///
/// A node fails and nothing handles the failure, or no edge or goto that leaves a node applies.
pub(super) fn run_plan(plan: &Plan, given: State, run: &Run) -> Result<State, Failure> {
    let mut state = plan.initial_state.clone().counting_with(&given);
    state.update(given.pairs().iter().cloned());
    run.tracer.starts_with(plan, &state);
    let scheduler = Scheduler {
        plan,
        run,
        executor: Executor::new(plan, run),
    };
    let borders = Borders {
        ends: HashSet::from([END]),
        siblings: HashSet::new(),
        fan_in: None,
    };
    scheduler.walk(START, &mut state, &borders)?;
    Ok(state)
}

/// Walks through one plan; branches walk in threads and share the executor, which counts the steps.
struct Scheduler<'a> {
    plan: &'a Plan,
    run: &'a Run,
    executor: Executor<'a>,
}

impl<'a> Scheduler<'a> {
    /// Executes nodes from `start` to a border; [`START`] itself is not a node.
    fn walk(
        &self,
        start: &'a str,
        state: &mut State,
        borders: &Borders<'a>,
    ) -> Result<(), Failure> {
        let (mut here, mut outcome, mut joining) = (start, Outcome::nothing(), None);
        while !borders.ends.contains(here) {
            if here != START {
                outcome = self.visit(here, state)?;
                if joining == Some(here) {
                    state.remove(RESULTS);
                }
                state.update(std::mem::take(&mut outcome.updates));
            }
            let route = match self.jump(&outcome) {
                Some(target) => Route::To(target),
                None => self.route(here, state, &outcome, borders)?,
            };
            match route {
                Route::Fork(targets, fan_in) => {
                    let results = self.forked(&targets, fan_in, state, borders)?;
                    state.set(RESULTS, Snap::List(results.into()));
                    (here, joining) = (fan_in, Some(fan_in));
                }
                Route::To(target) => {
                    let own = self.plan.node(here).and_then(|node| node.fan_in());
                    joining = own.or(joining.filter(|name| *name != here));
                    here = target;
                }
            }
        }
        Ok(())
    }

    fn visit(&self, name: &str, state: &State) -> Result<Outcome, Failure> {
        self.run.stop.check()?;
        self.executor.count_step(name, "goto")?;
        match self.plan.node(name) {
            Some(node) => self.executor.execute(node, state, &Vec::new()),
            None => Ok(Outcome::nothing()), // every target was checked when the flow was loaded
        }
    }

    /// Returns where a handled failure leads.
    fn jump(&self, outcome: &Outcome) -> Option<&'a str> {
        let target = outcome.jump.as_deref()?;
        self.plan.node(target).map(|node| &*node.name)
    }

    fn route(
        &self,
        name: &'a str,
        state: &State,
        outcome: &Outcome,
        borders: &Borders<'a>,
    ) -> Result<Route<'a>, Failure> {
        let node = self.plan.node(name);
        let names = || {
            let names = self.executor.names(state, &Vec::new());
            names.with_result(&outcome.result)
        };
        if let Some(goto) = node.and_then(|node| node.goto.as_deref()) {
            let names = names();
            for jump in goto {
                if jump.condition.holds(&names)? {
                    return Ok(Route::To(&jump.target));
                }
            }
            let tried = goto.len();
            return Err(stuck(
                name,
                &format!("no rule of its goto holds ({tried} tried); add a final rule without if"),
            ));
        }
        if self.plan.edges.contains_key(name) {
            return self.edge(name, &names());
        }
        if let Some(fan_in) = node.and_then(|node| node.fan_in()) {
            return Ok(Route::To(fan_in));
        }
        let following = self.plan.following(name);
        let joins = borders
            .fan_in
            .filter(|_| borders.siblings.contains(following));
        Ok(Route::To(joins.unwrap_or(following)))
    }

    fn edge(&self, name: &'a str, names: &Names) -> Result<Route<'a>, Failure> {
        let edges = self.plan.edges.get(name).map_or(&[][..], Vec::as_slice);
        let fan_in = edges.first().and_then(|edge| edge.fan_in.as_deref());
        let mut targets = Vec::new();
        for edge in edges {
            if edge.condition.holds(names)? {
                if fan_in.is_none() {
                    return Ok(Route::To(&edge.target));
                }
                targets.push(&*edge.target);
            }
        }
        let tried = edges.len();
        let problem =
            format!("no edge that leaves it holds ({tried} tried); add one without a condition");
        fan_in.map_or_else(
            || Err(stuck(name, &problem)),
            |fan_in| Ok(Route::Fork(targets, fan_in)),
        )
    }

    fn forked(
        &self,
        targets: &[&'a str],
        fan_in: &'a str,
        state: &State,
        borders: &Borders<'a>,
    ) -> Result<Vec<Snap>, Failure> {
        let mut inner = borders.clone();
        inner.ends.insert(fan_in);
        inner.siblings = targets.iter().copied().collect();
        inner.fan_in = Some(fan_in);
        let names = || Snap::List(targets.iter().map(|name| Snap::from(*name)).collect());
        let input = || Snap::map([("branches", names())]);
        let call = Call {
            node: "parallel",
            step: Some(fan_in),
            input: Some(&input),
            attempt: None,
        };
        self.run.tracer.run(&call, |_| {
            let branch = |(index, target): (usize, &&str)| Branch {
                name: (*target).to_owned(),
                input: Snap::map([("index", index.into()), ("branch", Snap::from(*target))]),
                state: state.branch(),
            };
            let branches = targets.iter().enumerate().map(branch).collect();
            let work = |index: usize, state: &mut State| self.walk(targets[index], state, &inner);
            run_branches(self.run, branches, Limits::default(), &work)
        })
    }
}

fn stuck(name: &str, problem: &str) -> Failure {
    let (place, step) = if name == START {
        ("the start".to_owned(), None)
    } else {
        (format!("step {}", quoted(name)), Some(name))
    };
    Failure::run(
        format!("{place}: {problem}, or one that leads to {END}"),
        step,
    )
}
