//! Events and spans of other code: their fields as data.

use std::error::Error;
use std::fmt::Debug;
use std::panic::{catch_unwind, AssertUnwindSafe};

use tracing::field::{Field, Visit};

use crate::capture::to_snap;
use crate::event::Level;
use crate::output::panic_text;
use crate::value::Snap;

/// Returns the level of an event; there is none below debug.
pub(crate) fn level_of(level: &tracing::Level) -> Level {
    match *level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

/// The fields of an event or span.
#[derive(Default)]
pub(crate) struct Fields {
    pub message: Option<String>,
    pub data: Vec<(Box<str>, Snap)>,
}

impl Fields {
    /// Reads fields. A `Debug` that panics costs the fields from there on, and nothing else.
    pub fn read(record: impl FnOnce(&mut Fields)) -> Fields {
        let mut fields = Fields::default();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| record(&mut fields))) {
            let text = format!("<cannot be read: {}>", panic_text(&*panic));
            fields.data.push(("…".into(), Snap::Mark(text.into())));
        }
        fields
    }

    fn put(&mut self, field: &Field, value: Snap) {
        match field.name() {
            "message" => {
                self.message = Some(
                    value
                        .as_str()
                        .map_or_else(|| value.to_json(), str::to_owned),
                )
            }
            // What the bridge of the crate `log` adds: the target and level stand in the event already.
            name if name.starts_with("log.") => {}
            name => self.data.push((name.into(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Snap::Float(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Snap::Int(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, to_snap(&value));
    }
    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, to_snap(&value));
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, to_snap(&value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Snap::Bool(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, value.to_string().into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
