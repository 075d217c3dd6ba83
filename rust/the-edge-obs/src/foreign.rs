//! Events and spans of other code: their fields as data.

use std::error::Error;
use std::fmt::Debug;

use tracing::field::{Field, Visit};

use crate::capture::to_snap;
use crate::event::Level;
use crate::guard::caught;
use crate::value::{Key, Snap};

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
    /// The target that an event had in the crate `log`.
    pub target: Option<String>,
    pub data: Vec<(Key, Snap)>,
}

impl Fields {
    pub fn read(record: impl FnOnce(&mut Fields)) -> Fields {
        let mut fields = Fields::default();
        record(&mut fields);
        fields
    }

    fn put(&mut self, field: &Field, value: Snap) {
        let text = || match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_json(),
        };
        match field.name() {
            "message" => self.message = Some(text()),
            "log.target" => self.target = Some(text()),
            // What else the bridge of the crate `log` adds: where in the code the event was made.
            name if name.starts_with("log.") => {}
            name => self.data.push((name.into(), value)),
        }
    }

    /// Puts a text that somebody else's code makes; a panic in there costs the field alone.
    fn put_text(&mut self, field: &Field, make: impl FnOnce() -> String) {
        let text = caught(make).map_or_else(
            |panic| Snap::Mark(format!("<cannot be read: {panic}>").into()),
            Snap::from,
        );
        self.put(field, text);
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
        self.put_text(field, || value.to_string());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_text(field, || format!("{value:?}"));
    }
}
