//! Runs a flow file and prints its final state as JSON, or its mistakes: `cargo run --example run -- flow.yaml`.

use std::process::ExitCode;

use the_edge_obs::value::from_json;
use the_edge_obs::Snap;
use the_edge_obs_flows::{Actions, Flow};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_default();
    let state = args
        .next()
        .map(|text| from_json(&text).expect("the state is JSON"));
    let flow = match Flow::load(&path, Actions::builtin()) {
        Ok(flow) => flow,
        Err(first) => {
            println!("{first}");
            first.others.iter().for_each(|other| println!("{other}"));
            return ExitCode::FAILURE;
        }
    };
    match flow.run(state.unwrap_or(Snap::Null)) {
        Ok(state) => println!("{}", state.to_snap().to_json()),
        Err(failure) => {
            println!("{}: {failure}", failure.kind);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
