//! Load a flow into a plan: everything is checked and compiled here, before anything runs.

mod action_check;
mod bodies;
mod checks;
mod edges;
mod nodes;
mod observability;
mod on_error;
pub(crate) mod source;
pub(crate) mod spot;
mod tea;
pub(crate) mod values;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use the_edge_obs::event::ROOT_NODE;
use the_edge_obs::yaml::{Yaml, YamlValue};
use the_edge_obs::Snap;

use crate::actions::Actions;
use crate::closest::allowed;
use crate::error::FlowFileError;
use crate::model::{Node, Plan};
use crate::python::{quoted, repr, type_name};
use crate::state::State;
use crate::templates::{Compiler, Fixed, Names};
use checks::Fields;
use nodes::NodeReader;
use source::{Read, Source};
use spot::Spot;

const KEYS: [&str; 12] = [
    "name",
    "description",
    "version",
    "variables",
    "initial_state",
    "settings",
    "config",
    "state_schema",
    "imports",
    "nodes",
    "edges",
    "observability",
];
const MAX_STEPS: u64 = 10_000;

/// What a flow and its sub-flows are loaded with.
#[derive(Debug, Clone)]
pub(crate) struct Loading {
    /// The actions.
    pub actions: Actions,
    /// Whether a flow can read environment variables, and bring callbacks.
    pub allow_code: bool,
    /// The files being loaded, outermost first; a sub-flow cannot be one of them.
    chain: Vec<PathBuf>,
}

impl Loading {
    /// Returns what a flow is loaded with that no other one contains.
    pub(crate) fn new(actions: Actions, allow_code: bool) -> Loading {
        Loading {
            actions,
            allow_code,
            chain: Vec::new(),
        }
    }

    /// Loads a flow file.
    ///
    /// # Errors
    ///
    /// There is a mistake in it. The message has file and line, what is wrong and what is allowed.
    pub(crate) fn file(&self, path: &Path) -> Result<Plan, FlowFileError> {
        let source = Source::read_file(path)?;
        let mut inner = self.clone();
        inner.chain.push(resolved(path));
        inner.source(source)
    }

    /// Loads a flow from where it was read.
    ///
    /// # Errors
    ///
    /// As [`Loading::file`].
    pub(crate) fn source(&self, source: Source) -> Result<Plan, FlowFileError> {
        let read = source.attempt(self.read(&source));
        let plan = read.ok().flatten();
        source.refuse_mistakes()?;
        plan.ok_or_else(|| FlowFileError::new("the flow cannot be read"))
    }

    /// Returns the plan as far as it can be read. It must not be used when mistakes were noted.
    fn read(&self, source: &Source) -> Read<Plan> {
        let flow = Spot::new(source);
        let fields = top_level(&flow)?;
        let block = |key: &str| read_mapping(&flow, &fields, key);
        let (variables, initial) = (block("variables")?, block("initial_state")?);
        let written = block("settings")?;
        block("state_schema")?; // it documents the keys of the state, and checks nothing
        let config = checks::field(&fields, "config");
        flow.attempt(tea::check_config(&flow.key("config"), config))?;
        let folder = folder_of(source);
        let compiler = Compiler::new(&variables, self.allow_code);
        let settings = flow.attempt(read_settings(&flow, &written, &compiler, &folder))?;
        let settings = settings.unwrap_or(Snap::Map(Box::default()));
        let knows_all = refuse_imports(&flow, &fields)?;
        let subflow = |spot: &Spot<'_>, name: &str| self.subflow(spot, name);
        let reader = NodeReader {
            compiler,
            actions: &self.actions,
            subflow: &subflow,
            names: checks::Names::default(),
            targets: checks::Names::default(),
            knows_all,
        };
        let (nodes, edges) = read_graph(&flow, &fields, &reader)?;
        let name = flow.attempt(read_name(&flow.key("name"), checks::given(&fields, "name")))?;
        let block = checks::field(&fields, "observability");
        let block = observability::read(&flow.key("observability"), block);
        let (observability, config) = flow.attempt(block)?.flatten().unzip();
        let positions = nodes.iter().enumerate();
        Ok(Plan {
            name: name.unwrap_or_default(),
            initial_state: State::from_snap(initial),
            fixed: Fixed::new(&variables, &settings, &folder),
            file: source
                .path
                .as_deref()
                .map(|path| resolved(Path::new(path)).display().to_string().into()),
            variables,
            max_steps: read_max_steps(&flow, &settings)?,
            settings,
            positions: positions
                .map(|(at, node)| (Arc::clone(&node.name), at))
                .collect(),
            nodes,
            edges,
            observability,
            config,
            sha256: source.sha256.clone(),
        })
    }

    /// Loads a sub-flow.
    fn subflow(&self, spot: &Spot<'_>, name: &str) -> Read<Arc<Plan>> {
        let file = spot.source.path.as_deref().map(Path::new);
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let path = folder.join(name);
        if !path.is_file() {
            return Err(spot.error(format!(
                "flow file {} does not exist at {}; a path is relative to the file that names it",
                quoted(name),
                quoted(&path.display().to_string())
            )));
        }
        let resolved = resolved(&path);
        if let Some(at) = self.chain.iter().position(|link| *link == resolved) {
            let links = self.chain[at..].iter().chain([&resolved]);
            let names: Vec<_> = links
                .filter_map(|link| link.file_name())
                .map(|name| name.to_string_lossy())
                .collect();
            return Err(spot.error(format!(
                "sub-flow {} contains itself: {}",
                quoted(name),
                names.join(" -> ")
            )));
        }
        Ok(Arc::new(self.file(&path)?))
    }
}

fn top_level<'a>(flow: &Spot<'a>) -> Read<Fields<'a>> {
    let data = &flow.source.data;
    if !matches!(data.value, YamlValue::Map(_)) {
        let problem = format!(
            "a flow must be a mapping with the key nodes, not a {}; {}",
            type_name(&data.to_snap()),
            allowed(KEYS)
        );
        return Err(flow.error_at(&problem, (data.line > 0).then_some(1)));
    }
    let fields = texts_only(&flow.called("the flow"), data)?;
    tea::refuse_unknown(&flow.called("the flow"), &fields, &KEYS, &tea::TOP_LEVEL)?;
    if checks::given(&fields, "nodes").is_none() {
        let end = allowed(KEYS);
        return Err(flow.at("nodes").error(format!(
            "the flow has no nodes; add nodes: with at least one; {end}"
        )));
    }
    Ok(fields)
}

/// Returns the pairs of a mapping, but for keys that are not texts, which are noted: no such key is known.
fn texts_only<'a>(spot: &Spot<'_>, data: &'a Yaml) -> Read<Fields<'a>> {
    let YamlValue::Map(pairs) = &data.value else {
        return Ok(Vec::new());
    };
    let mut fields = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        match key.as_str() {
            Some(name) => fields.push((name, value)),
            None => {
                let shown = repr(&key.to_snap());
                let place = spot.at(&*source::key_text(key));
                place.note(format!("unknown key {shown}; {}", allowed(KEYS)))?;
            }
        }
    }
    Ok(fields)
}

/// Returns a block that is a mapping; an empty one where it is not, which is noted.
fn read_mapping(flow: &Spot<'_>, fields: &Fields<'_>, key: &str) -> Read<Snap> {
    let value = checks::given(fields, key);
    let read = flow.attempt(checks::mapping(&flow.key(key), value))?;
    let value = value.filter(|_| read.is_some());
    Ok(value.map_or_else(|| Snap::Map(Box::default()), Yaml::to_snap))
}

fn read_graph(
    flow: &Spot<'_>,
    fields: &Fields<'_>,
    reader: &NodeReader<'_>,
) -> Read<(Vec<Node>, edges::Edges)> {
    let nodes = reader.top_level(&flow.key("nodes"), checks::field(fields, "nodes"));
    let nodes = flow.attempt(nodes)?.unwrap_or_default();
    if nodes.is_empty() {
        return Ok((nodes, HashMap::new()));
    }
    let names: Vec<&str> = nodes.iter().map(|node| &*node.name).collect();
    let data = checks::field(fields, "edges");
    let edges = edges::read(&flow.key("edges"), &reader.compiler, data, &names);
    let edges = flow.attempt(edges)?.unwrap_or_default();
    Ok((nodes, edges))
}

fn read_name(spot: &Spot<'_>, name: Option<&Yaml>) -> Read<Box<str>> {
    if let Some(name) = name {
        return Ok(checks::text(spot, name)?.into());
    }
    let path = spot.source.path.as_deref().map(Path::new);
    let stem = path.and_then(Path::file_stem);
    Ok(stem.map_or(ROOT_NODE.into(), |stem| stem.to_string_lossy().into()))
}

/// Returns the settings with their templates rendered; these see the variables, the environment and the folder, no state.
fn read_settings(flow: &Spot<'_>, written: &Snap, compiler: &Compiler, folder: &str) -> Read<Snap> {
    let spot = flow.key("settings");
    let narrowed = compiler.narrowed(&["variables", "flow_dir", "env"]);
    let renderer = values::value(&narrowed, &Yaml::from(written), &spot)?;
    let none = Snap::Map(Box::default());
    let fixed = Fixed::new(compiler.variables(), &none, folder);
    let names = Names::new(&fixed, &State::new(), &Vec::new());
    let rendered = renderer.render(&names);
    rendered.map_err(|failure| spot.called("").error(failure.message))
}

fn read_max_steps(flow: &Spot<'_>, settings: &Snap) -> Read<u64> {
    let Some(value) = settings.get("max_steps") else {
        return Ok(MAX_STEPS);
    };
    let spot = flow.at("settings").at("max_steps");
    let spot = spot.called("settings.max_steps");
    let read = checks::whole_number(&spot, &Yaml::from(value), 1);
    Ok(flow.attempt(read)?.unwrap_or(MAX_STEPS))
}

/// Notes `imports`, and returns whether there are none.
fn refuse_imports(flow: &Spot<'_>, fields: &Fields<'_>) -> Read<bool> {
    let spot = flow.key("imports");
    let imports = spot.attempt(checks::listing(&spot, checks::field(fields, "imports")))?;
    if imports.is_some_and(<[Yaml]>::is_empty) {
        return Ok(true);
    }
    spot.note(
        "modules with actions are Python, and run in the Python runtime; give the actions to the program that loads the flow",
    )?;
    Ok(false)
}

/// Returns the folder of a flow's file as an absolute path; `.` for a flow given as text.
fn folder_of(source: &Source) -> String {
    let Some(path) = &source.path else {
        return ".".to_owned();
    };
    let path = resolved(Path::new(path));
    path.parent()
        .map_or_else(|| ".".to_owned(), |folder| folder.display().to_string())
}

fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}
