//! Interrupt a run.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Failure;

/// Interrupts a run from another thread: no further node begins, and waits end.
///
/// ```
/// use the_edge_obs_flows::{Actions, Flow, Stop};
/// use the_edge_obs::Snap;
///
/// let stop = Stop::new();
/// stop.stop();
/// let flow = Flow::parse("nodes: [{uses: json.parse, with: {text: '[]'}}]", Actions::builtin()).unwrap();
/// assert!(flow.run_until(Snap::Null, &stop).unwrap_err().is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Returns a stop that is not used yet.
    #[must_use]
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Interrupts the run.
    pub fn stop(&self) {
        let (flag, changed) = &*self.0;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    /// Tells whether the run is interrupted.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0 .0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits some seconds, or until the run is interrupted.
    ///
    /// # Errors
    ///
    /// The run is interrupted.
    pub fn wait(&self, seconds: f64) -> Result<(), Failure> {
        let (flag, changed) = &*self.0;
        let length = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        let end = Instant::now().checked_add(length);
        let mut is_stopped = flag.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_stopped {
            let left = match end {
                Some(end) => end.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(1 << 20),
            };
            if left.is_zero() {
                return Ok(());
            }
            let waited = changed.wait_timeout(is_stopped, left);
            is_stopped = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(Failure::cancelled())
    }

    /// Fails if the run is interrupted.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.is_stopped() {
            return Err(Failure::cancelled());
        }
        Ok(())
    }
}
