//! Run branches side by side in threads, each with its own copy of the state.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use the_edge_obs::Snap;

use super::executor::Run;
use crate::error::Failure;
use crate::state::State;
use crate::templates::{BRANCH_KEYS, RESULTS};
use crate::trace::Call;

const MAX_THREADS: usize = 32;

/// One branch to run.
pub(super) struct Branch {
    /// Its name: its first node, or `name[index]` for an item.
    pub name: String,
    /// The input that its span logs.
    pub input: Snap,
    /// Its own copy of the state, which its work changes.
    pub state: State,
}

/// What a branch does with its state; it gets its index.
pub(super) type Work<'a> = &'a (dyn Fn(usize, &mut State) -> Result<(), Failure> + Sync);

/// Runs branches at the same time and returns their results in the given order.
///
/// A branch that fails gives a result without success. At most `limit` run at the same time, or 32.
///
/// # Errors
///
/// The run is interrupted: the branches stop before their next node.
pub(super) fn run_branches(
    run: &Run,
    branches: Vec<Branch>,
    limit: Option<usize>,
    work: Work<'_>,
) -> Result<Vec<Snap>, Failure> {
    let workers = limit.unwrap_or(MAX_THREADS).min(branches.len());
    let waiting: Vec<Mutex<Option<Branch>>> = branches
        .into_iter()
        .map(|branch| Mutex::new(Some(branch)))
        .collect();
    let results: Vec<Mutex<Option<Result<Snap, Failure>>>> =
        waiting.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let here = run.tracer.here();
    let worker = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(branch) = waiting.get(at).and_then(taken) else {
            break;
        };
        let result = here.in_scope(|| run_branch(run, at, branch, work));
        *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map_while(|at| {
                let name = format!("flow-branch_{at}");
                thread::Builder::new()
                    .name(name)
                    .spawn_scoped(scope, worker)
                    .ok()
            })
            .collect();
        if threads.is_empty() {
            worker(); // the system has no thread left
        }
    });
    run.stop.check()?;
    results
        .iter()
        .map(|result| taken(result).unwrap_or_else(|| Err(Failure::cancelled())))
        .collect()
}

fn taken<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn run_branch(
    run: &Run,
    index: usize,
    mut branch: Branch,
    work: Work<'_>,
) -> Result<Snap, Failure> {
    let started = Instant::now();
    let input = || branch.input.clone();
    let call = Call {
        node: "parallel.branch",
        step: None,
        input: Some(&input),
        attempt: None,
    };
    let state = &mut branch.state;
    let ended = run.tracer.run(&call, |_| {
        run.stop.check()?;
        work(index, state)
    });
    // This branch could read the results of an earlier fork; kept in its own result, they would pile up from fork to fork.
    branch.state.remove(RESULTS);
    let failure = match ended {
        Err(failure) if failure.is_cancelled() => return Err(failure),
        ended => ended.err(),
    };
    let (error, kind) = match &failure {
        None => (Snap::Null, Snap::Null),
        Some(failure) => ((*failure.message).into(), (*failure.kind).into()),
    };
    let values = [
        branch.name.into(),
        failure.is_none().into(),
        branch.state.to_snap(),
        error,
        kind,
        Snap::Float(started.elapsed().as_secs_f64() * 1000.0),
    ];
    Ok(Snap::Map(
        BRANCH_KEYS
            .into_iter()
            .map(Into::into)
            .zip(values)
            .collect(),
    ))
}
