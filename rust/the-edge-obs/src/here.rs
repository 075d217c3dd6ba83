//! Here: where code runs, to be carried to another thread or task.

use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};

use tracing::subscriber::NoSubscriber;
use tracing::{dispatcher, Dispatch, Span};

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
    /// Runs a function there. Where nothing collected what `tracing` says, the function runs where it is.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.dispatch.is::<NoSubscriber>() {
            return work();
        }
        dispatcher::with_default(&self.dispatch, || self.span.in_scope(work))
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

// A panic inside leaves it as it was.
impl UnwindSafe for Here {}
impl RefUnwindSafe for Here {}
