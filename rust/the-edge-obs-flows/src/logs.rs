//! Where the actions `obs.*` read logs.

use the_edge_obs::flow_log::{build_flow_log, build_known_flow_log, Outcome};
use the_edge_obs::sink::ring::Ring;
use the_edge_obs::{Error, FlowId, FlowLog, Snap};

/// Logs of flows, among them that of the running one.
pub trait Logs: Send + Sync {
    /// Returns the events of a flow, in order.
    ///
    /// # Errors
    ///
    /// [`Error::FlowNotFound`] for a flow without a log.
    fn events(&self, flow: &FlowId) -> Result<Vec<Snap>, Error>;

    /// Returns the log of a flow.
    ///
    /// # Errors
    ///
    /// As [`Logs::events`].
    fn flow_log(&self, flow: &FlowId) -> Result<FlowLog, Error> {
        build_flow_log(self.events(flow)?, 0, 0)
    }
}

impl Logs for Ring {
    fn events(&self, flow: &FlowId) -> Result<Vec<Snap>, Error> {
        if !self.has(flow) {
            return Err(Error::FlowNotFound(format!(
                "the flow {flow} is in no ring"
            )));
        }
        Ok(Ring::events(self, flow))
    }

    fn flow_log(&self, flow: &FlowId) -> Result<FlowLog, Error> {
        let events = Logs::events(self, flow)?;
        let (dropped, faults) = (self.dropped(flow), self.faults(flow));
        match (self.name_of(flow), self.status(flow)) {
            (name, Some(status)) => {
                let known = Outcome { name, status };
                build_known_flow_log(&flow.to_string(), events, dropped, faults, &known)
            }
            _ => build_flow_log(events, dropped, faults),
        }
    }
}
