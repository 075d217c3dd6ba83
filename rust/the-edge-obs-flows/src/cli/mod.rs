//! The command line, `tea-obs-rs`: what [`main`] does, a module for each command, and what they share.

mod columns;
mod export;
mod options;
mod parity;
mod query;
mod replay;
mod run;
mod sources;
mod state;
mod terminal;
mod totals;
mod tree;
mod validate;
mod vectors;
mod watch;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use options::{Command, Options};
use terminal::{fail, stdout, Fault, BAD, BROKEN_PIPE, DONE, PROGRAM};

/// Runs the command line, and returns the exit code: 0 done, 1 the flow failed, 2 bad usage or input, 130 interrupted, 141 after a
/// broken pipe.
///
/// Errors are one line on stderr.
///
/// ```no_run
/// std::process::exit(the_edge_obs_flows::cli::main(std::env::args_os()).into());
/// ```
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let options = match Options::try_parse_from(&arguments) {
        Ok(options) => options,
        Err(error) => return refuse(&error, command_in(&arguments)),
    };
    let done = match &options.command {
        Command::Run(options) => run::call(options),
        Command::Validate(options) => validate::call(options),
        Command::Query(options) => query::call(options),
        Command::Export(options) => export::call(options),
        Command::Parity(options) => parity::call(options),
        Command::Replay(options) => replay::call(options),
        Command::Vectors => vectors::call(),
    };
    match done {
        Ok(code) => code,
        Err(fault) => told(fault),
    }
}

fn told(fault: Fault) -> u8 {
    match fault {
        Fault::Input(problem) => fail(&problem, BAD),
        Fault::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => BROKEN_PIPE,
        Fault::Output(error) => fail(
            &format!(
                "the output cannot be written: {}",
                the_edge_obs::files::reason_of(&error)
            ),
            BAD,
        ),
    }
}

/// Prints help, or what is wrong with the arguments, and returns the exit code.
fn refuse(error: &clap::Error, command: Option<&str>) -> u8 {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let mut out = stdout();
            match out.text(&text).and_then(|()| out.finish()) {
                Ok(()) => DONE,
                Err(fault) => told(fault),
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            terminal::tell(&text);
            BAD
        }
        _ => fail(&one_line(&text, command), BAD),
    }
}

/// Returns the message of clap in one line, with a hint at the help of the command.
fn one_line(text: &str, command: Option<&str>) -> String {
    let said = text.split("\n\nUsage:").next().unwrap_or(text);
    let said = said
        .split("\n\nFor more information")
        .next()
        .unwrap_or(said);
    let paragraphs = said.trim_start_matches("error: ").split("\n\n");
    let lines = paragraphs.map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" "));
    let said = lines.collect::<Vec<_>>().join("; ");
    match command {
        Some(command) => format!("{command}: {said}; see {PROGRAM} {command} --help"),
        None => format!("{said}; see {PROGRAM} --help"),
    }
}

/// Returns the name of the command among the arguments.
fn command_in(arguments: &[OsString]) -> Option<&str> {
    let names = Options::command();
    let first = arguments
        .iter()
        .skip(1)
        .find_map(|argument| argument.to_str())?;
    names.find_subcommand(first).map(|_| first)
}
