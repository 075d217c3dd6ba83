//! The state of one run while it lasts.

use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::Arc;

use crate::error::Error;
use crate::event::Status;
use crate::ids::FlowId;
use crate::redaction::{Policy, Taints};
use crate::value::Snap;

/// One run, shared by all of its spans.
#[derive(Debug)]
pub struct Flow {
    /// The flow's id.
    pub id: FlowId,
    /// The flow's name.
    pub name: Box<str>,
    /// The flow's secrets, which must not reappear in its log.
    pub taints: Taints,
    /// What counts as secret in this flow.
    pub policy: Arc<Policy>,
    faults: AtomicU64,
    status: AtomicU8,
}

impl Flow {
    /// Returns a running flow with the built-in redaction policy.
    #[must_use]
    pub fn new(id: FlowId, name: &str) -> Flow {
        Flow::with_policy(id, name, Policy::built_in())
    }

    /// Returns a running flow with a redaction policy of its own.
    #[must_use]
    pub fn with_policy(id: FlowId, name: &str, policy: Arc<Policy>) -> Flow {
        Flow {
            id,
            name: name.into(),
            taints: Taints::new(),
            policy,
            faults: AtomicU64::new(0),
            status: AtomicU8::new(Status::Running as u8),
        }
    }

    /// Names a secret that the program knows: it is taken out of everything that the flow logs, in every spelling. A text, an integer, or
    /// a list of them; null and empty texts are skipped. What cannot be remembered is counted by [`Taints::lost`].
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if there is anything else; nothing is remembered then.
    ///
    /// ```
    /// use the_edge_obs::flow::Flow;
    ///
    /// let id = "9f0df4a5-a646-4772-b822-7adce460ed24".parse().unwrap();
    /// let flow = Flow::new(id, "triage");
    /// flow.taint("hunter2xyz").unwrap();
    /// flow.taint(vec![None, Some("correct-horse")]).unwrap();
    /// let text = flow.policy.scrub_text("hunter2xyz, correct-horse", &flow.taints);
    /// assert_eq!(text, "[REDACTED], [REDACTED]");
    /// assert!(flow.taint(0.5).is_err());
    /// ```
    pub fn taint(&self, secret: impl Into<Snap>) -> Result<(), Error> {
        self.policy.taint(&secret.into(), &self.taints)
    }

    /// Names a secret that is bytes, such as a key, as [`Flow::taint`] names a text: see
    /// [`Taints::name_bytes`](crate::redaction::Taints::name_bytes).
    pub fn taint_bytes(&self, secret: &[u8]) {
        self.policy.taint_bytes(secret, &self.taints);
    }

    /// Returns how many times logging itself failed for an event of the flow.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// Counts one more failure of logging itself.
    pub fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns `Running` until the root span has ended; then how it ended.
    #[must_use]
    pub fn status(&self) -> Status {
        let number = self.status.load(Ordering::Acquire);
        Status::ALL
            .into_iter()
            .find(|status| *status as u8 == number)
            .unwrap_or(Status::Unknown)
    }

    /// Sets how the root span ended.
    pub fn set_status(&self, status: Status) {
        self.status.store(status as u8, Ordering::Release);
    }
}
