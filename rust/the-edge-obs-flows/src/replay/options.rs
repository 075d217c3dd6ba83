//! How to replay.

use the_edge_obs::globs::Glob;
use the_edge_obs::{Error, Snap};

use super::full::FullRecords;
use crate::closest::allowed_for;
use crate::python::quoted;
use crate::runner::Flow;

/// How to replay. By default everything must be answered from the recording, and all of an input counts.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Actions that may be called where the recording does not have the call as it is asked.
    pub live: Vec<Glob>,
    /// Call these in any case.
    pub again: bool,
    /// Actions that get the answer of their place whatever their input, such as `file.write`.
    pub pretend: Vec<Glob>,
    /// The step from which on `live` applies; from the beginning without one.
    pub from_step: Option<String>,
    /// Paths that may differ, with all that is inside, such as `input.requested_at`; `*` and `?` stand for any characters.
    pub ignore: Vec<String>,
    /// Secrets by the places at which they were redacted: `login.output.access_token`, or `flow.input.api_key` of the initial state.
    pub secrets: Vec<(String, Snap)>,
    /// The whole answers that were recorded beside the log.
    pub full: FullRecords,
}

impl Options {
    /// Checks that the options name what is there.
    pub(super) fn check(&self, flow: &Flow) -> Result<(), Error> {
        let refuse = |place: &str, problem: String| {
            Err(Error::Configuration {
                place: place.to_owned(),
                problem,
            })
        };
        if let Some(step) = self.from_step.as_deref() {
            let steps = flow.steps();
            if !steps.contains(&step) {
                let allowed = allowed_for(&steps, step);
                let (step, flow) = (quoted(step), quoted(flow.name()));
                let problem = format!("from_step {step} is not a step of {flow}; {allowed}");
                return refuse("from_step", problem);
            }
            if self.live.is_empty() {
                let problem =
                    "from_step says from where on calls are made for real; name these with live";
                return refuse("from_step", problem.to_owned());
            }
        }
        if self.again && self.live.is_empty() {
            let problem = "again makes the calls of live for real in any case; name them with live";
            return refuse("again", problem.to_owned());
        }
        Ok(())
    }
}
