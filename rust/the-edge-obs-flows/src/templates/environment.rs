//! The engine: one environment for all templates of a flow.

use std::collections::HashMap;
use std::io::Write;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{from_args, Enumerator, Object, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};

use the_edge_obs::Snap;

use super::values::to_snap;
use super::{display, filters, guarded, limits};

/// How much work one rendering may do. A step of a template costs one, and so do 64 bytes that it makes.
const FUEL: u64 = 5_000_000;

/// The name under which the value of an expression is kept.
const VALUE: &str = "__value__";

/// The environment, and the sources of the templates in it. A template is compiled when it is added.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    environment: Arc<Environment<'static>>,
    sources: Arc<Mutex<HashMap<String, String>>>,
}

impl Engine {
    /// Returns an engine without templates.
    pub(super) fn new() -> Engine {
        let sources: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let known = Arc::clone(&sources);
        let mut environment = Environment::new();
        environment.set_loader(move |name| {
            let sources = known.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(sources.get(name).cloned())
        });
        environment.set_auto_reload(false);
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_unknown_method_callback(guarded::method);
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_formatter(|out, state, value| {
            if value.is_undefined() {
                // An `if` without an `else` gives nothing; anything else that is undefined is an error.
                return minijinja::escape_formatter(out, state, value);
            }
            limits::spend(limits::measured(value)?)?;
            match value.as_str() {
                Some(text) => out.write_str(text),
                None => out.write_str(&display::text(value)?),
            }
            .map_err(Error::from)
        });
        filters::add(&mut environment);
        let environment = Arc::new(environment);
        Engine {
            environment,
            sources,
        }
    }

    /// Adds a template and returns its name.
    ///
    /// # Errors
    ///
    /// Its syntax is wrong.
    pub(super) fn add(&self, source: String) -> Result<String, Error> {
        let name = {
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            let name = format!("template {}", sources.len());
            sources.insert(name.clone(), source);
            name
        };
        shielded(|| self.environment.get_template(&name).map(drop))?;
        Ok(name)
    }

    /// Adds an expression, whose value keeps its type, and returns the template's name.
    ///
    /// # Errors
    ///
    /// Its syntax is wrong.
    pub(super) fn add_expression(&self, expression: &str) -> Result<String, Error> {
        self.add(format!("{{% set {VALUE} = ({expression}) %}}"))
    }

    /// Returns the names that a template uses and does not set, but for the engine's own functions.
    pub(super) fn names(&self, source: &str) -> Result<Vec<String>, Error> {
        let used = shielded(|| {
            let template = self.environment.template_from_str(source)?;
            Ok(template.undeclared_variables(false))
        });
        let globals: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let mut names: Vec<String> = used?
            .into_iter()
            .filter(|name| !globals.contains(&name.as_str()))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Tells whether a filter exists.
    pub(super) fn has_filter(&self, name: &str) -> bool {
        let tried = self.environment.empty_state().apply_filter(name, &[]);
        tried.map_or_else(|error| error.kind() != ErrorKind::UnknownFilter, |_| true)
    }

    /// Tells whether a test exists.
    pub(super) fn has_test(&self, name: &str) -> bool {
        let tried = self.environment.empty_state().perform_test(name, &[]);
        tried.map_or_else(|error| error.kind() != ErrorKind::UnknownTest, |_| true)
    }

    /// Renders a template.
    ///
    /// # Errors
    ///
    /// It cannot be rendered, or does too much work.
    pub(super) fn render(&self, name: &str, names: Value) -> Result<Snap, Error> {
        shielded(|| {
            let mut text = Bounded::default();
            let template = self.environment.get_template(name)?;
            let rendered = template.render_captured_to(names, &mut text);
            if text.size > limits::MAX_SIZE {
                return Err(limits::too_large());
            }
            rendered?;
            Ok(Snap::from(&*String::from_utf8_lossy(&text.bytes)))
        })
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    ///
    /// As [`Engine::render`]; also if its value is too large.
    pub(super) fn evaluate(&self, name: &str, names: Value) -> Result<Snap, Error> {
        shielded(|| {
            let template = self.environment.get_template(name)?;
            let captured = template.render_captured(names)?;
            to_snap(&captured.state().lookup(VALUE).unwrap_or_default())
        })
    }
}

/// The output of a rendering, and its size in characters.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    size: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A byte that begins a character, and none that goes on with it.
        self.size += bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        if self.size > limits::MAX_SIZE {
            return Err(std::io::Error::other("the output is too large"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Does work of the engine within the limits of one rendering. The engine's own mistakes must not end the program.
fn shielded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(|| limits::allowed(work))).unwrap_or_else(|_| Err(broken()))
}

fn broken() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        "it is nested too deeply, or too long; use several steps",
    )
}

/// Returns what went wrong in a template, in one line.
pub(super) fn reason(error: &Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return "it takes more than 5,000,000 steps; 64 characters that it makes count as a step"
            .to_owned();
    }
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    match std::error::Error::source(error).and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(inner) => format!("{detail}: {}", reason(inner)),
        None => detail,
    }
}

/// The environment variables, read one by one: `env.HOME`, `env['HOME']`, `env.get('HOME', default)`.
#[derive(Debug)]
pub(super) struct Variables;

impl Object for Variables {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(variable(key).unwrap_or_else(|| Value::from(())))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if method != "get" {
            return Err(Error::from(ErrorKind::UnknownMethod));
        }
        let (key, default): (&str, Option<Value>) = from_args(args)?;
        let value = variable(key).or(default);
        Ok(value.unwrap_or_else(|| Value::from(())))
    }
}

/// Returns a variable of the environment. A name that the system would refuse has none.
fn variable(name: &str) -> Option<Value> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    std::env::var(name).ok().map(Value::from)
}
