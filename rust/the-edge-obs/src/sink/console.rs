//! The console: events as lines for people.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::Sink;
use crate::event::Level;
use crate::facts::Facts;
use crate::text::printable;
use crate::value::{write_string, Snap};

/// Writes each event as one readable line: time, level, node, what happened, step.
///
/// ```text
/// 15:57:34.861 info  llm.call exit (812.4 ms) [ask] 120 tokens
/// ```
///
/// The time is UTC. Control characters and other invisible ones are escaped, so no message can forge a line or control a terminal.
///
/// ```
/// use the_edge_obs::sink::console::Console;
///
/// let console = Console::stderr().verbose(true).colour(false);
/// ```
pub struct Console {
    out: Mutex<Box<dyn Write + Send>>,
    is_verbose: bool,
    has_colour: bool,
}

impl Console {
    /// Returns a console on stderr. It has colours if stderr is a terminal that can show them, unless `NO_COLOR` is set.
    #[must_use]
    pub fn stderr() -> Console {
        let has_colour = uses_colour(io::stderr().is_terminal());
        Console::new(io::stderr()).colour(has_colour)
    }

    /// Returns a console that writes to something else, without colours.
    #[must_use]
    pub fn new(out: impl Write + Send + 'static) -> Console {
        Console {
            out: Mutex::new(Box::new(out)),
            is_verbose: false,
            has_colour: false,
        }
    }

    /// Adds lines with the data, as JSON, and the traceback if there is one. Default false.
    #[must_use]
    pub fn verbose(mut self, is_verbose: bool) -> Console {
        self.is_verbose = is_verbose;
        self
    }

    /// Sets whether the level has a colour.
    #[must_use]
    pub fn colour(mut self, has_colour: bool) -> Console {
        self.has_colour = has_colour;
        self
    }

    /// Returns an event as a line without its line feed; if the console is verbose, indented lines of data follow.
    ///
    /// ```
    /// use the_edge_obs::sink::console::Console;
    /// use the_edge_obs::value::from_json;
    ///
    /// let event = from_json(r#"{"node":"rank","level":"info","timestamp":7.5,"event_type":"exit","message":null,
    ///     "data":{},"metrics":{"duration_ms":0.25}}"#).unwrap();
    /// assert_eq!(Console::stderr().colour(false).format(&event), "00:00:07.500 info  rank exit (0.2 ms)");
    /// ```
    #[must_use]
    pub fn format(&self, event: &Snap) -> String {
        let level = text_of(event, "level");
        let mut shown = format!("{level:<5}");
        if self.has_colour {
            shown = format!("\x1b[{}m{shown}\x1b[0m", colour_of(level));
        }
        let step = match text_of(event, "step") {
            "" => String::new(),
            step => format!(" [{}]", printable(step)),
        };
        let time = clock(event.get("timestamp"));
        let what = headline(event);
        let mut line = format!("{time} {shown} {}{step}{}", printable(&what), tokens(event));
        if self.is_verbose {
            add_details(event, &mut line);
        }
        line
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Console")
            .field("is_verbose", &self.is_verbose)
            .field("has_colour", &self.has_colour)
            .finish_non_exhaustive()
    }
}

impl Sink for Console {
    fn take(&self, facts: &Arc<Facts>) -> io::Result<()> {
        let mut line = self.format(&facts.event());
        line.push('\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(line.as_bytes())?;
        out.flush()
    }

    fn name(&self) -> &str {
        "console"
    }
}

/// Tells whether to write colours, as <https://no-color.org> asks.
#[must_use]
pub fn uses_colour(is_terminal: bool) -> bool {
    let is_asked_not_to = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
    is_terminal && !is_asked_not_to && !is_dumb
}

fn colour_of(level: &str) -> &'static str {
    match level.parse() {
        Ok(Level::Debug) => "2",
        Ok(Level::Warn) => "33",
        Ok(Level::Error) => "31;1",
        Ok(Level::Info) | Err(_) => "36",
    }
}

fn text_of<'e>(event: &'e Snap, key: &str) -> &'e str {
    event.get(key).and_then(Snap::as_str).unwrap_or("")
}

fn number(value: Option<&Snap>) -> Option<f64> {
    match value {
        Some(Snap::Int(number)) => Some(*number as f64),
        Some(Snap::Float(number)) => Some(*number),
        _ => None,
    }
}

/// Returns the time of day with milliseconds.
fn clock(timestamp: Option<&Snap>) -> String {
    let seconds = number(timestamp).unwrap_or(0.0);
    let of_day = seconds.rem_euclid(86_400.0) as u32;
    // Of the whole number, as in Python, so that rounding is the same.
    let milliseconds = (seconds.rem_euclid(1.0) * 1_000.0) as u32;
    let (hours, minutes) = (of_day / 3_600, of_day / 60 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{milliseconds:03}",
        of_day % 60
    )
}

/// Returns an event as one line for people: its node, its message or type, and its duration.
pub(crate) fn headline(event: &Snap) -> String {
    let message = text_of(event, "message");
    let error = event.get("data").and_then(|data| data.get("error"));
    let error = error.filter(|error| matches!(error, Snap::Map(_)));
    let what = match error.map(|error| (text_of(error, "type"), text_of(error, "message"))) {
        Some((kind, "")) if message.is_empty() => kind.to_owned(),
        Some((kind, text)) if message.is_empty() || message == text => format!("{kind}: {text}"),
        _ if message.is_empty() => text_of(event, "event_type").to_owned(),
        _ => message.to_owned(),
    };
    let metrics = event.get("metrics");
    let duration = number(metrics.and_then(|metrics| metrics.get("duration_ms")));
    let took = duration.map_or_else(String::new, |duration| format!(" ({duration:.1} ms)"));
    format!("{} {what}{took}", text_of(event, "node"))
}

fn tokens(event: &Snap) -> String {
    let tokens = event
        .get("metrics")
        .and_then(|metrics| metrics.get("tokens"));
    match tokens {
        Some(count) if number(Some(count)).is_some_and(|count| count != 0.0) => {
            format!(" {} tokens", count.to_json())
        }
        _ => String::new(),
    }
}

/// Adds the data, one line for each key, and the lines of the traceback.
fn add_details(event: &Snap, out: &mut String) {
    let mut add = |line: &str| {
        out.push_str("\n    ");
        out.push_str(&printable(line));
    };
    let Some(Snap::Map(data)) = event.get("data") else {
        return;
    };
    for (key, value) in data.iter().filter(|(key, _)| &**key != "error") {
        let mut line = format!("{key}: ");
        write_spaced(value, &mut line);
        add(&line);
    }
    let error = event.get("data").and_then(|data| data.get("error"));
    let trace = error.map_or("", |error| text_of(error, "traceback"));
    lines(trace).for_each(add);
}

/// Appends a value as JSON with a blank behind each comma and colon, as `json.dumps` writes by default.
fn write_spaced(value: &Snap, out: &mut String) {
    match value {
        Snap::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_spaced(item, out);
            }
            out.push(']');
        }
        Snap::Map(pairs) => {
            out.push('{');
            for (at, (key, item)) in pairs.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_string(key, out);
                out.push_str(": ");
                write_spaced(item, out);
            }
            out.push('}');
        }
        other => other.write_json(out),
    }
}

/// Returns the lines of a text, as `str.splitlines` does.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |char: char| {
        matches!(
            char,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(is_end).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        let width = after.chars().next().map_or(0, char::len_utf8);
        rest = after.strip_prefix("\r\n").unwrap_or(&after[width..]);
        Some(line)
    })
}
