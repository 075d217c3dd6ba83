//! What the integration tests share: a sink that keeps events, and what is asked of them.
#![allow(dead_code)]

use std::io;
use std::sync::{Arc, Mutex};

use the_edge_obs::event::problems;
use the_edge_obs::{Facts, FlowLayer, Sink, Snap};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;

/// Keeps the events in the order in which they come.
#[derive(Default, Clone)]
pub struct Kept(Arc<Mutex<Vec<Arc<Facts>>>>);

impl Sink for Kept {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        self.0.lock().unwrap().push(Arc::clone(facts));
        Ok(())
    }
}

impl Kept {
    /// Returns the events, each of which follows the schema.
    pub fn events(&self) -> Vec<Snap> {
        let facts = self.0.lock().unwrap().clone();
        let events: Vec<Snap> = facts.iter().map(|facts| facts.event()).collect();
        for event in &events {
            assert_eq!(problems(event), Vec::<String>::new(), "{}", event.to_json());
        }
        events
    }

    /// Returns how many events there are.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Returns the nodes of the events of a type, in the order of the log.
    pub fn nodes(&self, event_type: &str) -> Vec<String> {
        let events = self.events();
        let of_type = events
            .iter()
            .filter(|event| text(event, "event_type") == event_type);
        of_type
            .map(|event| text(event, "node").to_owned())
            .collect()
    }

    /// Returns the only event of a node and type.
    pub fn one(&self, node: &str, event_type: &str) -> Snap {
        let is_it =
            |event: &Snap| text(event, "node") == node && text(event, "event_type") == event_type;
        let mut found: Vec<Snap> = self.events().into_iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{node} {event_type}: {:?}", self.tree());
        found.remove(0)
    }

    /// Returns each event in short: depth in the tree, node, type; such as `0 flow entry`.
    pub fn tree(&self) -> Vec<String> {
        let events = self.events();
        let parent_of = |id: &str| {
            let own = events.iter().find(|event| text(event, "span_id") == id);
            own.and_then(|event| event.get("parent_id")?.as_str())
                .map(str::to_owned)
        };
        let depth = |event: &Snap| {
            let mut depth = 0;
            let mut up = event
                .get("parent_id")
                .and_then(Snap::as_str)
                .map(str::to_owned);
            while let Some(id) = up {
                depth += 1;
                up = parent_of(&id);
            }
            depth
        };
        events
            .iter()
            .map(|event| {
                format!(
                    "{} {} {}",
                    depth(event),
                    text(event, "node"),
                    text(event, "event_type")
                )
            })
            .collect()
    }
}

/// Returns a text of an event.
pub fn text<'e>(event: &'e Snap, key: &str) -> &'e str {
    event.get(key).and_then(Snap::as_str).unwrap_or("")
}

/// Returns a value inside an event by its path, such as `data.error.type`.
pub fn at<'e>(event: &'e Snap, path: &str) -> &'e Snap {
    path.split('.')
        .fold(event, |value, key| value.get(key).unwrap_or(&Snap::Null))
}

/// Runs a function where one layer gives everything to a sink, and returns what it kept.
pub fn kept(work: impl FnOnce()) -> Kept {
    let kept = Kept::default();
    let layer = FlowLayer::new().sink(kept.clone());
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    tracing::dispatcher::with_default(&dispatch, work);
    kept
}
