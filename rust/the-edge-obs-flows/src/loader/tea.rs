//! What agents of The Edge Agent may have that needs its own engine: they are refused, and told where they can be observed.

use the_edge_obs::yaml::Yaml;

use super::checks::{self, Fields};
use super::source::Read;
use super::spot::Spot;
use crate::python::{is_true, quoted, repr};

const WAY: &str = "this agent needs The Edge Agent's own engine; observe it there with \
                   tea run AGENT.yaml --actions-module the_edge_obs.integrations.tea";

/// Keys of a flow.
pub(super) const TOP_LEVEL: [&str; 8] = [
    "data",
    "endpoint",
    "extraction_schema",
    "input_schema",
    "output_schema",
    "semantic_probes",
    "validation_constraints",
    "validation_logging",
];

/// Keys of a node.
pub(super) const NODE: [&str; 6] = [
    "interrupt",
    "max_workers",
    "parallel_each",
    "script",
    "strategy",
    "streams",
];

/// Further keys of a `dynamic_parallel` node.
pub(super) const FAN_OUT: [&str; 2] = ["subgraph", "input"];

/// Languages of inline code.
pub(super) const LANGUAGES: [&str; 2] = ["lua", "prolog"];

/// Providers of models.
pub(super) const PROVIDERS: [&str; 7] = [
    "anthropic",
    "azure",
    "gemini",
    "litellm",
    "llamacpp",
    "local",
    "shell",
];

/// Categories of actions that the engine has and this crate does not.
pub(super) const CATEGORIES: [&str; 42] = [
    "a2a",
    "academic",
    "agent",
    "auth",
    "bmad",
    "cache",
    "catalog",
    "checkpoint",
    "code",
    "context",
    "csv",
    "data",
    "embedding",
    "error",
    "firestore",
    "git",
    "github",
    "graph",
    "learn",
    "llamaextract",
    "ltm",
    "markdown",
    "neo4j",
    "notify",
    "opik",
    "plan",
    "rag",
    "ratelimit",
    "reason",
    "reflection",
    "retry",
    "schema",
    "secrets",
    "semtools",
    "session",
    "storage",
    "text",
    "textgrad",
    "tools",
    "trace",
    "validate",
    "vector",
];

const CONFIG: [&str; 5] = [
    "raise_exceptions",
    "interrupt_before",
    "interrupt_after",
    "checkpoint_dir",
    "checkpoint",
];

/// Returns the end of a message about something that only the engine has, or an empty text.
pub(super) fn way_for(given: Option<&str>, names: &[&str]) -> String {
    match given {
        Some(given) if names.contains(&given) => format!("; {WAY}"),
        _ => String::new(),
    }
}

/// Notes every unknown key of a mapping, as [`checks::refuse_unknown`] does; a key of the engine is told where it works.
pub(super) fn refuse_unknown(
    spot: &Spot<'_>,
    fields: &Fields<'_>,
    known: &[&str],
    theirs: &[&str],
) -> Read<()> {
    let (needs, others): (Fields<'_>, Fields<'_>) = fields
        .iter()
        .partition(|(key, _)| theirs.contains(key) && !known.contains(key));
    for (key, _) in needs {
        let problem = format!("key {} is not supported; {WAY}", quoted(key));
        spot.at(key).note(problem)?;
    }
    checks::refuse_unknown(spot, &others, known)
}

/// Checks the `config` block of an agent: what can be had here is taken, and everything else is explained.
///
/// `raise_exceptions` changes nothing: a failure that no `on_error` handles ends the run and is returned.
///
/// # Errors
///
/// The block is not a mapping, or enough mistakes are noted.
pub(super) fn check_config(spot: &Spot<'_>, data: Option<&Yaml>) -> Read<()> {
    let config = checks::mapping(spot, data)?;
    checks::refuse_unknown(spot, &config, &CONFIG)?;
    if let Some(value) = checks::field(&config, "raise_exceptions") {
        spot.attempt(checks::truth(&spot.key("raise_exceptions"), value))?;
    }
    for key in ["interrupt_before", "interrupt_after", "checkpoint"] {
        let value = checks::field(&config, key).map(Yaml::to_snap);
        if let Some(value) = value.filter(is_true) {
            spot.key(key).note(format!(
                "{} stops a run to resume it later, which no run does here; {WAY}",
                repr(&value)
            ))?;
        }
    }
    Ok(())
}
