//! Here: where code runs, to be carried to another thread or task.

use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};

use tracing::subscriber::NoSubscriber;
use tracing::{dispatcher, Dispatch, Span};
use tracing_subscriber::registry::Registry;

/// Where code runs: [`here`] returns it, for another thread to continue there.
#[derive(Debug, Clone)]
pub struct Here {
    dispatch: Dispatch,
    span: Span,
}

/// Returns where this code runs, to carry it to another thread: threads and pools do not inherit it.
///
/// ```
/// let here = the_edge_obs::here();
/// std::thread::spawn(move || here.in_scope(|| { /* nodes in here belong to the flow of the spawning thread */ }))
///     .join()
///     .unwrap();
/// ```
#[must_use]
pub fn here() -> Here {
    Here {
        dispatch: dispatcher::get_default(Dispatch::clone),
        span: Span::current(),
    }
}

impl Here {
    /// Runs a function there. If `tracing` had no subscriber there, the function runs where it is.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.dispatch.is::<NoSubscriber>() {
            work()
        } else if is_default(&self.dispatch) {
            self.span.in_scope(work)
        } else {
            dispatcher::with_default(&self.dispatch, || self.span.in_scope(work))
        }
    }

    /// Runs a future there. The future may be spawned: it holds what it needs.
    pub async fn instrument<F: Future>(self, future: F) -> F::Output {
        if self.dispatch.is::<NoSubscriber>() {
            return future.await;
        }
        let future = tracing::Instrument::instrument(future, self.span);
        tracing::instrument::WithSubscriber::with_subscriber(future, self.dispatch).await
    }

    /// Returns the inside of an open span.
    pub(crate) fn inside(span: &Span) -> Here {
        let span = span.clone();
        let dispatch = span.with_subscriber(|(_, dispatch)| dispatch.clone());
        let dispatch = dispatch.unwrap_or_else(Dispatch::none);
        Here { dispatch, span }
    }
}

/// Runs a function inside a span, on any thread: what the function logs goes where the span is.
pub(crate) fn in_span<T>(span: &Span, work: impl FnOnce() -> T) -> T {
    let elsewhere =
        span.with_subscriber(|(_, dispatch)| (!is_default(dispatch)).then(|| dispatch.clone()));
    match elsewhere.flatten() {
        Some(dispatch) => dispatcher::with_default(&dispatch, || span.in_scope(work)),
        None => span.in_scope(work),
    }
}

/// Tells whether a dispatcher is the default of this thread already, by its registry. Then it is not set again: a thread with a default
/// of its own makes all of the process slower.
fn is_default(dispatch: &Dispatch) -> bool {
    let registry = |dispatch: &Dispatch| {
        let registry = dispatch.downcast_ref::<Registry>();
        registry.map(std::ptr::from_ref)
    };
    let own = registry(dispatch);
    own.is_some() && dispatcher::get_default(registry) == own
}

// A panic inside leaves it as it was.
impl UnwindSafe for Here {}
impl RefUnwindSafe for Here {}
