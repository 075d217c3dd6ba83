//! `tea-obs-rs query`: print the events of a log that match filters.

use std::io::IsTerminal;

use the_edge_obs::event::timestamp;
use the_edge_obs::jsonl::Skipped;
use the_edge_obs::sink::console::{uses_colour, Console};
use the_edge_obs::{Filters, Snap};

use super::options::QueryOptions;
use super::sources::{code_of, is_one_file, read};
use super::terminal::{stdout, Fault};

pub(super) fn call(options: &QueryOptions) -> Result<u8, Fault> {
    let filters = Filters::from_snap(&given(options))?;
    let has_colour = uses_colour(std::io::stdout().is_terminal());
    let console = Console::stderr().colour(has_colour);
    let is_console = options.format == "console";
    let mut out = stdout();
    let mut skipped = Skipped::default();
    let mut print = |event: &Snap| {
        if is_console {
            out.text(&(console.format(event) + "\n"))
        } else {
            out.json(&event.to_json())?;
            out.text("\n")
        }
    };
    let is_one = is_one_file(&options.logs);
    if !is_one || options.last.is_some() {
        let mut events = Vec::new();
        read(&options.logs, &filters.uncounted(), &mut skipped, |event| {
            events.push(event);
            Ok(())
        })?;
        if !is_one {
            events.sort_by(|one, other| timestamp(one).total_cmp(&timestamp(other)));
        }
        for event in filters.counted(events.iter()) {
            print(event)?;
        }
    } else {
        read(&options.logs, &filters, &mut skipped, |event| print(&event))?;
    }
    out.finish()?;
    Ok(code_of(&skipped.packed))
}

/// Returns the filters that are set, as the grammar of all runtimes names them.
fn given(options: &QueryOptions) -> Snap {
    let list = |values: &[String]| (!values.is_empty()).then(|| Snap::from(values.to_vec()));
    let text = |value: &Option<String>| value.as_deref().map(Snap::from);
    let pairs = [
        ("node", list(&options.node)),
        ("step", list(&options.step)),
        ("level", text(&options.level)),
        ("min_level", text(&options.min_level)),
        ("event_type", list(&options.event_type)),
        ("start_time", text(&options.since)),
        ("end_time", text(&options.until)),
        ("span_id", list(&options.span_id)),
        ("text", text(&options.text)),
        ("flow_id", list(&options.flow)),
        ("limit", options.limit.map(Snap::Int)),
        ("last", options.last.map(Snap::Int)),
    ];
    Snap::map(
        pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?))),
    )
}
