//! What the tests of sinks share: facts, and folders.
#![allow(dead_code)] // each test uses a part

use std::sync::Arc;

use the_edge_obs::event::{EventType, Level};
use the_edge_obs::facts::{Facts, Metrics, Payload};
use the_edge_obs::ids::FlowId;
use the_edge_obs::{Flow, Snap};

/// Returns a running flow with a random id.
pub fn flow() -> Arc<Flow> {
    Arc::new(Flow::new(FlowId::random(), "triage"))
}

/// Returns a `log` event, with a number that tells it from others: that of its span, without a UUID's variant.
pub fn event(flow: &Arc<Flow>, number: u64) -> Facts {
    Facts {
        flow: Arc::clone(flow),
        number,
        parent: Some(1),
        node: "rank".into(),
        step: None,
        level: Level::Info,
        event_type: EventType::Log,
        wall: 1_795_363_054_861_892_000 + number * 1_000,
        message: None,
        payload: Payload::None,
        metrics: Metrics::None,
    }
}

/// Returns an event with a message.
pub fn saying(flow: &Arc<Flow>, number: u64, message: &str) -> Arc<Facts> {
    let message = Some(Snap::from(message));
    Arc::new(Facts {
        message,
        ..event(flow, number)
    })
}

/// Returns an event of a level.
pub fn of_level(flow: &Arc<Flow>, number: u64, level: Level) -> Arc<Facts> {
    Arc::new(Facts {
        level,
        ..event(flow, number)
    })
}

/// A folder that is removed at the end.
pub struct Folder(pub std::path::PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let name = format!("tea-obs-{:016x}", the_edge_obs::ids::new_number());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// Returns the text of a file in the folder.
    pub fn read(&self, name: impl AsRef<std::path::Path>) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
