//! The roots that share a flow id, such as the requests of one foreign trace.

use std::sync::Arc;

use crate::event::Status;
use crate::flow::Flow;

/// From so many roots on, those that have ended are summed up.
const MANY: usize = 16;

#[derive(Debug)]
struct Root {
    flow: Arc<Flow>,
    is_ended: bool,
}

impl Root {
    fn new(flow: &Arc<Flow>) -> Root {
        Root {
            flow: Arc::clone(flow),
            is_ended: false,
        }
    }

    fn is_ended(&self) -> bool {
        self.is_ended || self.flow.status() != Status::Running
    }
}

/// The roots of a flow, in the order in which they were first seen.
#[derive(Debug)]
pub(super) struct Roots {
    first: Root,
    others: Vec<Root>,
    /// Of the roots that were summed up: the worst status, and the faults.
    worst: Option<Status>,
    faults: u64,
}

impl Roots {
    pub fn new(flow: &Arc<Flow>) -> Roots {
        Roots {
            first: Root::new(flow),
            others: Vec::new(),
            worst: None,
            faults: 0,
        }
    }

    /// Returns the state of the first root.
    pub fn first(&self) -> &Arc<Flow> {
        &self.first.flow
    }

    /// Notes a root, and tells whether it is new.
    pub fn join(&mut self, flow: &Arc<Flow>) -> bool {
        // Nearly always there is one root.
        if Arc::ptr_eq(&self.first.flow, flow) || self.find(flow).is_some() {
            return false;
        }
        if self.others.len() >= MANY {
            self.sum_up();
        }
        self.others.push(Root::new(flow));
        true
    }

    fn find(&mut self, flow: &Arc<Flow>) -> Option<&mut Root> {
        let mut others = self.others.iter_mut().rev();
        others.find(|root| Arc::ptr_eq(&root.flow, flow))
    }

    fn sum_up(&mut self) {
        let (worst, faults) = (&mut self.worst, &mut self.faults);
        self.others.retain(|root| {
            let is_ended = root.is_ended();
            if is_ended {
                *worst = (*worst).max(Some(root.flow.status()));
                *faults += root.flow.faults();
            }
            !is_ended
        });
    }

    /// Notes that a root has ended.
    pub fn note_end(&mut self, flow: &Arc<Flow>) {
        if Arc::ptr_eq(&self.first.flow, flow) {
            self.first.is_ended = true;
        } else if let Some(root) = self.find(flow) {
            root.is_ended = true;
        }
    }

    fn all(&self) -> impl Iterator<Item = &Root> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Tells whether all roots have ended.
    pub fn is_ended(&self) -> bool {
        self.all().all(Root::is_ended)
    }

    /// Returns the worst status.
    pub fn status(&self) -> Status {
        Status::worst(self.all().map(|root| root.flow.status()).chain(self.worst))
    }

    /// Returns how many times logging itself failed.
    pub fn faults(&self) -> u64 {
        self.faults + self.all().map(|root| root.flow.faults()).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::FlowId;

    #[test]
    fn the_worst_root_counts_also_when_there_are_many() {
        let id = FlowId::random();
        let first = Arc::new(Flow::new(id, "first"));
        let mut roots = Roots::new(&first);
        for number in 0..100 {
            let flow = Arc::new(Flow::new(id, "more"));
            assert!(roots.join(&flow));
            assert!(!roots.join(&flow));
            flow.count_fault();
            flow.set_status(if number == 3 {
                Status::Error
            } else {
                Status::Ok
            });
            roots.note_end(&flow);
        }
        assert!(!roots.is_ended());
        first.set_status(Status::Ok);
        assert!(roots.is_ended());
        assert_eq!((roots.status(), roots.faults()), (Status::Error, 100));
        assert!(roots.others.len() <= MANY);
        assert_eq!(&*roots.first().name, "first");
    }
}
