//! The options of each command, and their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::terminal::PROGRAM;

const LOG_HELP: &str = "A .jsonl log, a .json export, or a folder of logs with its sub-folders; several are read together";
const WHEN: &str =
    "Unix seconds, ISO 8601 (local time without a zone), or relative to now: -30s, -5m, -2h, -1d, -2w";

/// The arguments of the program.
#[derive(Debug, Parser)]
#[command(
    name = PROGRAM,
    version,
    about = "Run YAML flows and read their logs, offline.",
    long_about = "Run YAML flows and read their logs, offline. Python's tea-obs reads the same logs, and shows them: \
        tea-obs show, stats, tail, diff.",
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    infer_long_args = false,
    after_help = "First steps:
  tea-obs-rs run triage.yaml --set path=access.log --log-dir logs
  tea-obs-rs query logs --node 'llm.*' --min-level warn
  tea-obs-rs export logs/flow-<id>.jsonl -o run.json

Exit codes: 0 done, 1 the flow failed, 2 bad usage or input, 130 interrupted"
)]
pub(super) struct Options {
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Run(RunOptions),
    Validate(ValidateOptions),
    Query(QueryOptions),
    Export(ExportOptions),
    Parity(ParityOptions),
    Replay(ReplayOptions),
    /// Answer cases for tests that compare runtimes: a JSON object on each line of stdin
    ///
    /// Each line of stdin gets one line: the answer as JSON. The key `ask` says what is asked; a case that is refused is answered with
    /// {"error": ...}.
    #[command(after_help = "Examples:
  echo '{\"ask\": \"glob\", \"pattern\": \"llm.*\", \"name\": \"llm.call\"}' | tea-obs-rs vectors
  echo '{\"ask\": \"redact\", \"text\": \"password=hunter2\"}' | tea-obs-rs vectors")]
    Vectors,
}

/// Run a flow, and show what it does
///
/// Stderr gets one line per finished node; with --level it gets every event. At the end, stdout gets the tree of the run
/// with its totals, the path of its log, and the final state in short form with secrets redacted (--output writes it in full).
///
/// The flow is observed unless its observability block says `enabled: false`. A flow without a block is observed at level info: use
/// --log-dir to keep its log. A block with a console handler prints its events itself. Levels (debug, info, warn, error): --level
/// takes precedence over the variable TEA_LOG, and both over the block.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tea-obs-rs run triage.yaml --set path=access.log --set user.name=ada --log-dir logs
  tea-obs-rs run triage.yaml --state @state.json --level llm=debug --level http=warn
  tea-obs-rs run triage.yaml -o - 2>/dev/null | jq .summary")]
pub(super) struct RunOptions {
    /// The flow file
    #[arg(value_name = "FLOW.yaml")]
    pub flow: PathBuf,
    /// Write the final state as JSON; - is stdout, and everything else goes to stderr
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<String>,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub ascii: bool,
    /// Refuse flows that read environment variables
    #[arg(long)]
    pub no_code: bool,
    /// Set one value: valid JSON is parsed (3, true, '[1, 2]', '{"a": 1}'), anything else is text (double quotes make it text: '"3"');
    /// dots lead into mappings; repeatable
    #[arg(
        long,
        value_name = "KEY=VALUE",
        allow_hyphen_values = true,
        help_heading = "Initial state"
    )]
    pub set: Vec<String>,
    /// A JSON object, or a file that holds one; --set overrides it
    #[arg(long, value_name = "JSON|@FILE", help_heading = "Initial state")]
    pub state: Option<String>,
    /// The level of all nodes, of a category (llm=debug) or of an action (llm.call=debug); repeatable
    #[arg(long, value_name = "[NAME=]LEVEL", help_heading = "Logging")]
    pub level: Vec<String>,
    /// Keep the log as DIR/flow-<flow_id>.jsonl
    #[arg(long, value_name = "DIR", help_heading = "Logging")]
    pub log_dir: Option<PathBuf>,
}

/// Validate a log against the event schema, or a flow file
///
/// Every event of a log is checked, or a flow file as `run` does before anything runs. Every mistake is listed with its file and line; for a flow, the line itself is shown, and nodes that nothing leads to count as mistakes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tea-obs-rs validate logs
  tea-obs-rs validate logs/host-a logs/host-b
  tea-obs-rs validate --strict run.jsonl
  tea-obs-rs validate triage.yaml")]
pub(super) struct ValidateOptions {
    #[arg(value_name = "LOG|FLOW.yaml", help = format!("{LOG_HELP}; or a flow file"), required = true)]
    pub paths: Vec<PathBuf>,
    /// Also check what only a whole log shows: that spans begin, nest and end as they must
    #[arg(long)]
    pub strict: bool,
    /// Refuse flows that read environment variables, as run --no-code does
    #[arg(long)]
    pub no_code: bool,
}

/// Print the events of a log that match filters
///
/// The events that match all filters, one JSON object per line. Those of a folder, or of several files, come in the order of their
/// times, whichever run they are of, and are held in memory for that. A filter marked * can be repeated; one of its values has to match.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tea-obs-rs query logs --node 'llm.*' --level error
  tea-obs-rs query logs/host-a logs/host-b --level error
  tea-obs-rs query run.jsonl --event-type exit --step summarize | jq .metrics
  tea-obs-rs query logs --since -5m --min-level warn --format console
  tea-obs-rs query logs --level error --last 10")]
pub(super) struct QueryOptions {
    #[arg(value_name = "LOG", help = LOG_HELP, required = true)]
    pub logs: Vec<PathBuf>,
    /// * The node, such as llm.call or 'llm.*'
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    pub node: Vec<String>,
    /// * The step: the name that a YAML flow gives a node
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    pub step: Vec<String>,
    /// Exactly this level: debug, info, warn, error
    #[arg(long, help_heading = "Filters")]
    pub level: Option<String>,
    /// This level or a more severe one
    #[arg(long, value_name = "LEVEL", help_heading = "Filters")]
    pub min_level: Option<String>,
    /// * entry, exit, error, metric, log
    #[arg(long, value_name = "TYPE", help_heading = "Filters")]
    pub event_type: Vec<String>,
    #[arg(
        long,
        visible_alias = "start-time",
        value_name = "TIME",
        allow_hyphen_values = true,
        help_heading = "Filters",
        help = format!("Not before: {WHEN}")
    )]
    pub since: Option<String>,
    /// Not after; as --since
    #[arg(
        long,
        visible_alias = "end-time",
        value_name = "TIME",
        allow_hyphen_values = true,
        help_heading = "Filters"
    )]
    pub until: Option<String>,
    /// * The span
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    pub span_id: Vec<String>,
    /// Text anywhere in the message or data; case is ignored
    #[arg(long, allow_hyphen_values = true, help_heading = "Filters")]
    pub text: Option<String>,
    /// Print the first N matching events
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Filters"
    )]
    pub limit: Option<i64>,
    /// Print the last N matching events
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Filters"
    )]
    pub last: Option<i64>,
    /// * The run's flow_id, or the beginning of it
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    pub flow: Vec<String>,
    /// jsonl: the events as they are; console: one readable line per event
    #[arg(long, value_parser = ["jsonl", "console"], default_value = "jsonl")]
    pub format: String,
}

/// Write a log in another format
///
/// The file is written completely or not at all.
///   json   the flow log as one object: events, spans, metrics, timeline;
///          an array of objects for several flows
///   jsonl  one event per line
/// Python's tea-obs also writes chrome, csv, html, otlp-json and speedscope.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  tea-obs-rs export logs/flow-0b5e7a52-4c1e-4f6b-9d80-2f4f3f0d9a11.jsonl -o run.json
  tea-obs-rs export logs --format jsonl -o all.jsonl
  tea-obs-rs export logs/host-a logs/host-b -o all.jsonl
  tea-obs-rs export run.jsonl --format json -o - | jq .metrics"
)]
pub(super) struct ExportOptions {
    #[arg(value_name = "LOG", help = LOG_HELP, required = true)]
    pub logs: Vec<PathBuf>,
    /// The file to write; - is stdout
    #[arg(short, long, value_name = "PATH")]
    pub output: String,
    /// json or jsonl; default: the suffix of PATH, otherwise jsonl
    #[arg(long)]
    pub format: Option<String>,
    /// Only the flow whose id begins so
    #[arg(long, value_name = "ID")]
    pub flow: Option<String>,
}

/// Print the normalised log of a run, to compare runs and runtimes
///
/// The log is printed as JSON, without ids and times, and in an order that does not depend on threads. A flow is run; its log is printed
/// even if it fails, with exit code 1.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tea-obs-rs parity examples/observability/parity/nested.yaml
  tea-obs-rs parity --strict run.jsonl")]
pub(super) struct ParityOptions {
    #[arg(
        value_name = "LOG|FLOW.yaml",
        help = "A log of one run, or a flow file"
    )]
    pub source: PathBuf,
    /// First check the log as it was written: every line, and what only the whole log shows
    #[arg(long)]
    pub strict: bool,
}

/// Run a flow again with the answers of its log, offline
///
/// Each call of an action gets the answer that the log holds for it: for the same input at the same place. Nothing is called, unless
/// --live allows it. Stdout gets what differs from the recorded run, and how many calls were answered; a call without an answer stops
/// the run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tea-obs-rs replay logs/flow-0b5e7a52.jsonl triage.yaml
  tea-obs-rs replay bad-run.jsonl triage.yaml --live 'llm.*' --log-dir logs
  tea-obs-rs replay bad-run.jsonl triage.yaml --dry

Exit codes: 0 as recorded, 1 stopped or the flow failed where the recorded run had not, 2 bad usage, or a recording that cannot be used")]
pub(super) struct ReplayOptions {
    #[arg(value_name = "LOG", help = LOG_HELP)]
    pub log: PathBuf,
    /// The flow file
    #[arg(value_name = "FLOW.yaml")]
    pub flow_file: PathBuf,
    /// The run's flow_id, or the beginning of it, where the log holds several
    #[arg(long, value_name = "ID")]
    pub flow: Option<String>,
    /// Call these actions where the recording does not have the call as it is asked, such as 'llm.*'; repeatable
    #[arg(long, value_name = "GLOB")]
    pub live: Vec<String>,
    /// The step from which on --live applies
    #[arg(long, value_name = "STEP")]
    pub from: Option<String>,
    /// Call the actions of --live in any case
    #[arg(long)]
    pub again: bool,
    /// Give these actions the answer of their place, whatever their input, such as file.write; repeatable
    #[arg(long, value_name = "GLOB")]
    pub pretend: Vec<String>,
    /// A path that may differ, such as input.requested_at; * stands for any characters; repeatable
    #[arg(long, value_name = "PATH")]
    pub ignore: Vec<String>,
    /// The secret that was redacted at a place, such as login.output.access_token, in an environment variable; repeatable
    #[arg(long, value_name = "PLACE=VARIABLE")]
    pub secret: Vec<String>,
    /// Set one value of the initial state, over the recorded one: as for run; repeatable
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    pub set: Vec<String>,
    /// Say what of the recording cannot be used, and run nothing
    #[arg(long)]
    pub dry: bool,
    /// Keep the log of the new run as DIR/flow-<flow_id>.jsonl
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Refuse flows that read environment variables
    #[arg(long)]
    pub no_code: bool,
}
