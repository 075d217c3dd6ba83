//! The engine: one environment for all templates of a flow.

use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{from_args, Enumerator, Object, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};

use the_edge_obs::Snap;

use super::values::to_snap;
use super::{display, filters};

/// How much work one rendering may do. A step of a template costs one, and so do 64 bytes that it makes.
const FUEL: u64 = 5_000_000;

/// How many characters one rendering can make.
const MAX_SIZE: usize = 50_000_000;

/// Bytes of stack for a rendering that may nest values deeply.
const LARGE_STACK: usize = 1 << 30;

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
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_formatter(|out, state, value| {
            if value.is_undefined() {
                // An `if` without an `else` gives nothing; anything else that is undefined is an error.
                return minijinja::escape_formatter(out, state, value);
            }
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
        self.with_stack(name, || {
            let text = self.environment.get_template(name)?.render(names)?;
            if text.len() > MAX_SIZE && text.chars().count() > MAX_SIZE {
                return Err(Error::from(ErrorKind::OutOfFuel));
            }
            Ok(text.into())
        })
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    ///
    /// As [`Engine::render`]; also if its value is too large.
    pub(super) fn evaluate(&self, name: &str, names: Value) -> Result<Snap, Error> {
        self.with_stack(name, || {
            let template = self.environment.get_template(name)?;
            let captured = template.render_captured(names)?;
            to_snap(&captured.state().lookup(VALUE).unwrap_or_default())
        })
    }

    /// Does the work of rendering. A template with a namespace can nest a value as deep as it has fuel; to drop such a value takes
    /// a large stack.
    fn with_stack<T: Send>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let nests = {
            let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            sources
                .get(name)
                .is_some_and(|source| source.contains("namespace"))
        };
        if !nests {
            return shielded(work);
        }
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(LARGE_STACK);
            match thread.spawn_scoped(scope, || shielded(work)) {
                Ok(thread) => thread.join().unwrap_or_else(|_| Err(broken())),
                Err(error) => Err(Error::new(ErrorKind::InvalidOperation, error.to_string())),
            }
        })
    }
}

/// Does work of the engine, whose own mistakes must not end the program.
fn shielded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken()))
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
        return "it does more work, or makes more text, than a template may".to_owned();
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
