//! Calls of nodes: what [`node!`](crate::node!) makes, and the ways to run it.

use std::fmt::Display;
use std::future::{poll_fn, Future};
use std::mem::ManuallyDrop;
use std::panic::{catch_unwind, AssertUnwindSafe, Location};
use std::pin::pin;
use std::task::Poll;

use serde::Serialize;
use tracing::dispatcher;

use crate::capture::describes_failure;
use crate::event::{EventType, Level};
use crate::facts::Payload;
use crate::guard::caught;
use crate::node::{is_compiled, Node};
use crate::output::is_in_sink;
use crate::run::Place;
use crate::span::{Open, OpenSpan, Pairs};
use crate::value::Snap;

/// A call of a node that is about to happen: [`node!`](crate::node!) makes one.
///
/// Nothing is captured before it runs, and nothing at all if no layer wants it.
#[must_use = "a call does nothing until it is run"]
pub struct Call<'c, I> {
    node: &'static Node,
    is_on: bool,
    step: Option<&'c str>,
    input: Option<I>,
    site: Option<&'static Location<'static>>,
}

impl Node {
    /// Returns a call of this node without a step and without input.
    #[inline]
    #[track_caller]
    pub fn call<'c>(&'static self) -> Call<'c, fn() -> Snap> {
        let site = Some(Location::caller());
        Call {
            node: self,
            is_on: is_compiled(self.level()) && self.passes(),
            step: None,
            input: None,
            site,
        }
    }

    /// As [`Node::call`], where the level is known at compile time.
    #[doc(hidden)]
    #[inline(always)]
    #[track_caller]
    pub fn call_if<'c>(&'static self, is_compiled: bool) -> Call<'c, fn() -> Snap> {
        let site = Some(Location::caller());
        Call {
            node: self,
            is_on: is_compiled && self.passes(),
            step: None,
            input: None,
            site,
        }
    }
}

impl<'c, I: FnOnce() -> Snap> Call<'c, I> {
    /// Sets the name that a flow gives to the node.
    #[inline(always)]
    pub fn step(self, step: &'c str) -> Self {
        Call {
            step: Some(step),
            ..self
        }
    }

    /// Sets what gives the input; it is only called if the node is recorded.
    #[inline(always)]
    pub fn input<J: FnOnce() -> Snap>(self, input: J) -> Call<'c, J> {
        Call {
            node: self.node,
            is_on: self.is_on,
            step: self.step,
            input: Some(input),
            site: self.site,
        }
    }

    /// Leaves the place in the code out of errors: that of a runner says nothing about the flow that it runs.
    #[inline]
    pub fn without_site(self) -> Self {
        Call { site: None, ..self }
    }

    /// Runs a function that can fail, as the node.
    ///
    /// Its result becomes the output; `()` gives none. An error becomes an `error` event with the error's text, and the last part of
    /// its type's name. A panic is logged as an error of type `panic`, and goes on.
    ///
    /// ```
    /// use the_edge_obs::node;
    ///
    /// let answer = node!("llm.call", step: "ask", input: "2 + 2").run(|_| "4".parse::<u8>());
    /// assert_eq!(answer, Ok(4));
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of the function.
    #[inline(always)]
    pub fn run<T, E, F>(self, work: F) -> Result<T, E>
    where
        T: Serialize,
        E: Display,
        F: FnOnce(&OpenSpan) -> Result<T, E>,
    {
        if self.is_on {
            return self.run_on(work);
        }
        // Not dropped if the function panics: then the bare call needs no code for that, and a span that is not open ends nothing.
        let span = ManuallyDrop::new(OpenSpan::closed(self.node, self.site));
        let result = work(&span);
        // It is only moved where it is needed: that takes longer than all of the rest.
        if is_compiled(Level::Error) && self.node.reports() && is_failure(&result) {
            return ManuallyDrop::into_inner(span).finish_unrecorded(self.step, result);
        }
        if !span.is_blank() {
            drop(ManuallyDrop::into_inner(span));
        }
        result
    }

    #[inline(never)]
    fn run_on<T, E, F>(self, work: F) -> Result<T, E>
    where
        T: Serialize,
        E: Display,
        F: FnOnce(&OpenSpan) -> Result<T, E>,
    {
        let span = self.start();
        let result = catch_unwind(AssertUnwindSafe(|| match &span.open {
            Some(open) => open.span.in_scope(|| work(&span)),
            None => work(&span),
        }));
        span.finish_caught(result)
    }

    /// Runs a function that cannot fail, as the node. Otherwise as [`Call::run`].
    #[inline(always)]
    pub fn in_scope<T, F>(self, work: F) -> T
    where
        T: Serialize,
        F: FnOnce(&OpenSpan) -> T,
    {
        let result = self.run(|span| Ok::<T, std::convert::Infallible>(work(span)));
        result.unwrap_or_else(|never| match never {})
    }

    /// Runs a future as the node. It begins when it is first polled; one that is dropped midway is logged as cancelled.
    ///
    /// # Errors
    ///
    /// Returns the error of the future.
    pub async fn instrument<T, E>(self, future: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        T: Serialize,
        E: Display,
    {
        let span = self.start();
        let Some(open) = &span.open else {
            let result = future.await;
            return span.finish(result);
        };
        let future = tracing::Instrument::instrument(future, open.span.clone());
        let mut future = pin!(future);
        let polled = poll_fn(|context| {
            let poll = || future.as_mut().poll(context);
            match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        });
        let result = polled.await;
        span.finish_caught(result)
    }

    /// Starts the node: for code that ends it elsewhere. One that is dropped without an end is logged as cancelled.
    pub fn start(self) -> OpenSpan {
        self.start_with(Vec::new())
    }

    /// As [`Call::start`], with further data for the entry.
    pub fn start_with(mut self, data: Pairs) -> OpenSpan {
        let mut span = OpenSpan::closed(self.node, self.site);
        span.open = self.open(data);
        if span.open.is_none() && is_compiled(Level::Error) {
            span.step = self.step.map(Into::into);
        }
        span
    }

    /// Opens the span and logs its entry; `None` if it is not recorded.
    fn open(&mut self, data: Pairs) -> Option<Open> {
        if !self.is_on || is_in_sink() {
            return None;
        }
        let (node, step) = (self.node, self.step);
        node.register();
        let open = dispatcher::get_default(|dispatch| Open::new(dispatch, node, step))?;
        let place = &open.place;
        let mut facts = place.facts(EventType::Entry, node.level(), place.at);
        facts.payload = entry_data(place, self.input.take().map(shielded), data);
        place.run.emit(place.mask(), facts);
        Some(open)
    }
}

/// Tells whether a result is an error, or describes one.
#[inline]
fn is_failure<T: Serialize, E>(result: &Result<T, E>) -> bool {
    match result {
        Ok(value) => size_of::<T>() > 0 && describes_failure(value),
        Err(_) => true,
    }
}

/// Calls what gives a value; a panic in there costs the value, not the call.
fn shielded(input: impl FnOnce() -> Snap) -> Snap {
    caught(input)
        .unwrap_or_else(|panic| Snap::Mark(format!("<cannot be captured: {panic}>").into()))
}

/// Returns the data of an entry.
fn entry_data(place: &Place, input: Option<Snap>, data: Pairs) -> Payload {
    match (input, data.is_empty()) {
        (None, true) => Payload::None,
        (Some(input), true) => Payload::Under("input", place.keep(input)),
        (input, false) => {
            let input = input.map(|input| ("input".into(), input));
            place.data(input.into_iter().chain(data))
        }
    }
}
