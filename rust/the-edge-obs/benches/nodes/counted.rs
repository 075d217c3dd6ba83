//! A number of calls and nothing else, for a program that counts instructions:
//!
//! ```console
//! $ NODES_RUN=file NODES_CALLS=1000 valgrind --tool=callgrind target/release/deps/nodes-…
//! ```

use std::hint::black_box;

use crate::setups::{self, Folder};
use crate::work::{flat_span, flat_varied, observed, observed_chat, observed_varied, PARAMS};
use crate::{in_flow, varied, work};

/// Names what is run.
pub const RUN: &str = "NODES_RUN";
const CALLS: &str = "NODES_CALLS";

/// Runs as many calls of a contender as the environment says.
pub fn run(what: &str) {
    let calls = std::env::var(CALLS)
        .ok()
        .and_then(|calls| calls.parse().ok());
    let folder = Folder::new();
    let (sink, node) = what.split_once('-').unwrap_or((what, "small"));
    let dispatch = match sink {
        "ring" => setups::ring().0,
        "file" => setups::with(the_edge_obs::FlowLayer::new().sink(setups::files(&folder))),
        "both" => setups::ring_and_file(&folder),
        "json" => setups::json_file(&folder),
        other => panic!("{RUN} is {other:?}; allowed: ring, file, both, json, each alone or with -chat, -varied or -searched"),
    };
    let (chat, texts) = (
        work::chat(),
        if node == "searched" {
            varied::params(&varied::SUSPICIOUS)
        } else {
            varied::params(&varied::PLAIN)
        },
    );
    in_flow(&dispatch, || {
        for at in 0..calls.unwrap_or(1_000) {
            let text = &texts[at % texts.len()];
            match (sink, node) {
                ("json", "varied" | "searched") => {
                    let _ = black_box(flat_varied(text));
                }
                ("json", _) => {
                    let _ = black_box(flat_span(&PARAMS));
                }
                (_, "chat") => {
                    let _ = black_box(observed_chat(&chat));
                }
                (_, "varied" | "searched") => {
                    let _ = black_box(observed_varied(text));
                }
                _ => {
                    let _ = black_box(observed(&PARAMS));
                }
            }
        }
    });
}
