//! Policies: what counts as secret in a flow.

use std::sync::{Arc, OnceLock};

use super::keys::KeyClasses;
use super::snapshot::{snapshot, snapshot_owned};
use super::taints::Taints;
use crate::value::Snap;

/// What counts as secret, beside what always does.
#[derive(Debug, Default)]
pub struct Policy {
    classes: KeyClasses,
}

impl Policy {
    /// Returns the policy that adds nothing.
    #[must_use]
    pub fn built_in() -> Arc<Policy> {
        static BUILT_IN: OnceLock<Arc<Policy>> = OnceLock::new();
        Arc::clone(BUILT_IN.get_or_init(Arc::default))
    }

    /// Returns what is kept of a value, as [`snapshot`] does.
    #[must_use]
    pub fn snapshot(&self, value: &Snap, taints: &Taints) -> Snap {
        snapshot(value, taints, &self.classes)
    }

    /// As [`Policy::snapshot`], of a value that nobody else needs: what is kept of it is moved.
    #[must_use]
    pub fn snapshot_owned(&self, value: Snap, taints: &Taints) -> Snap {
        snapshot_owned(value, taints, &self.classes)
    }
}
