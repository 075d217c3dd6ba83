//! The program `tea-obs-rs`: see [`the_edge_obs_flows::cli`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    the_edge_obs_flows::cli::main(std::env::args_os()).into()
}
