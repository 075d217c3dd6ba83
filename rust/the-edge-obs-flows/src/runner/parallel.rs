//! Run branches side by side in threads, each with its own copy of the state.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

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

/// How many branches run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// How many run at the same time; `None` for all of them, up to 32.
    pub at_once: Option<usize>,
    /// Whether branches that have not begun when another one fails are left out.
    pub fail_fast: bool,
}

/// What a branch does with its state; it gets its index.
pub(super) type Work<'a> = &'a (dyn Fn(usize, &mut State) -> Result<(), Failure> + Sync);

/// Runs branches at the same time and returns their results in the given order.
///
/// A branch that fails gives a result without success, and so does one that is left out, which has no span.
///
/// # Errors
///
/// The run is interrupted: the branches stop before their next node.
pub(super) fn run_branches(
    run: &Run,
    branches: Vec<Branch>,
    limits: Limits,
    work: Work<'_>,
) -> Result<Vec<Snap>, Failure> {
    let workers = limits.at_once.unwrap_or(MAX_THREADS).min(branches.len());
    let waiting: Vec<Mutex<Option<Branch>>> = branches
        .into_iter()
        .map(|branch| Mutex::new(Some(branch)))
        .collect();
    let results: Vec<Mutex<Option<Result<Snap, Failure>>>> =
        waiting.iter().map(|_| Mutex::new(None)).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let here = run.tracer.here();
    let worker = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(branch) = waiting.get(at).and_then(taken) else {
            break;
        };
        let result = if limits.fail_fast && failed.load(Ordering::SeqCst) {
            Ok(left_out(branch))
        } else {
            here.in_scope(|| run_branch(run, at, branch, work, &failed))
        };
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
    failed: &AtomicBool,
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
    let failure = match ended {
        Err(failure) if failure.is_cancelled() => return Err(failure),
        ended => ended.err(),
    };
    failed.fetch_or(failure.is_some(), Ordering::SeqCst);
    Ok(result_of(branch, failure.as_ref(), started.elapsed()))
}

/// Returns the result of a branch that does not begin, because another one has failed.
fn left_out(branch: Branch) -> Snap {
    let problem = "left out: another branch has failed (fail_fast)";
    let failure = Failure::left_out(problem);
    result_of(branch, Some(&failure), Duration::ZERO)
}

/// Returns the result of a branch, as the fan-in sees it.
fn result_of(mut branch: Branch, failure: Option<&Failure>, elapsed: Duration) -> Snap {
    // This branch could read the results of an earlier fork; kept in its own result, they would pile up from fork to fork.
    branch.state.remove(RESULTS);
    let (error, kind) = match failure {
        None => (Snap::Null, Snap::Null),
        Some(failure) => ((*failure.message).into(), (*failure.kind).into()),
    };
    let values = [
        branch.name.into(),
        failure.is_none().into(),
        branch.state.to_snap(),
        error,
        kind,
        Snap::Float(elapsed.as_secs_f64() * 1000.0),
    ];
    Snap::Map(
        BRANCH_KEYS
            .into_iter()
            .map(Into::into)
            .zip(values)
            .collect(),
    )
}
