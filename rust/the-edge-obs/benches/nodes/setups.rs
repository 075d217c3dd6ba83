//! What observes: this crate's layer, and the peer's.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use the_edge_obs::sink::file::FlowFile;
use the_edge_obs::sink::ring::Ring;
use the_edge_obs::FlowLayer;
use tracing::Dispatch;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// Returns a dispatcher with this crate's layer.
pub fn with(layer: FlowLayer) -> Dispatch {
    Dispatch::new(tracing_subscriber::registry().with(layer))
}

/// This crate, into a ring.
pub fn ring() -> (Dispatch, Ring) {
    let ring = Ring::new();
    (with(FlowLayer::new().sink(ring.clone())), ring)
}

/// This crate, into a file for each flow.
pub fn files(folder: &Folder) -> FlowFile {
    FlowFile::new(folder.0.join("flow-{flow_id}.jsonl")).expect("the folder is there")
}

/// This crate, into a ring and a file for each flow.
pub fn ring_and_file(folder: &Folder) -> Dispatch {
    with(FlowLayer::new().sink(Ring::new()).sink(files(folder)))
}

/// `tracing-subscriber`'s JSON, with a line when a span opens and one when it closes.
pub fn json<W>(writer: W) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().json();
    let lines = lines.with_span_events(FmtSpan::NEW | FmtSpan::CLOSE);
    Dispatch::new(lines.with_writer(writer).finish())
}

/// The same into a file, with one `write` a line.
pub fn json_file(folder: &Folder) -> Dispatch {
    json(Mutex::new(
        File::create(folder.0.join("json.log")).expect("the folder is there"),
    ))
}

/// The same without a file.
pub fn json_null() -> Dispatch {
    json(io::sink)
}

/// A folder that is removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    /// Creates a folder.
    pub fn new() -> Folder {
        let name = format!("tea-obs-bench-{:016x}", the_edge_obs::ids::new_number());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("the folder for temporary files is there");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
