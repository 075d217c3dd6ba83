//! Calls of builtin actions: each is a flow with one node.
#![allow(dead_code)] // not every test uses all of it

use std::fs;
use std::path::PathBuf;

use the_edge_obs::value::from_json;
use the_edge_obs::Snap;
use the_edge_obs_flows::{Actions, Failure, Flow};

/// Calls an action with parameters, given as JSON, and returns its result.
pub fn call(action: &str, params: &str) -> Result<Snap, Failure> {
    let node = Snap::map([
        ("uses", Snap::from(action)),
        ("with", from_json(params).unwrap()),
        ("output", "found".into()),
    ]);
    let flow = Snap::map([("nodes", Snap::List([node].into()))]);
    let flow = Flow::from_snap(&flow, Actions::builtin())
        .map_err(|error| Failure::action(error.problem))?;
    let state = flow.run(Snap::Null)?;
    Ok(state.get("found").unwrap().clone())
}

/// Calls an action, and returns its result as JSON.
#[track_caller]
pub fn answer(action: &str, params: &str) -> String {
    call(action, params).unwrap().to_json()
}

/// Calls an action that refuses its parameters, and returns why.
#[track_caller]
pub fn refusal(action: &str, params: &str) -> String {
    call(action, params).unwrap_err().message
}

/// A folder that is removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("the-edge-obs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Returns the path of a file in it, as text.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
