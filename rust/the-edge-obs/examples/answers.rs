//! Answers cases on standard input, one JSON object a line, for comparison with the Python package: see `rust/compare.py`.
//!
//! `{"ask": "redact", "text": "..."}` is answered with one line: the answer as JSON. `ask` is `classify`, `look_of`, `redact`,
//! `json` (reads a text and writes it again), `printable`, `problems`, `line` or `snapshot`; or, of a list of events, `report`,
//! `flow_log` or `faults`: see `rust/compare_logs.py`. A text that is not JSON is answered with `{"error": ...}`.

use std::io::{BufRead, Write};

use the_edge_obs::event::problems;
use the_edge_obs::flow_log::build_flow_log;
use the_edge_obs::line::to_line;
use the_edge_obs::parity::report;
use the_edge_obs::redaction::{
    classify, cut_paths, look_of, redact, scrub, snapshot, KeyClasses, Look, Taints,
};
use the_edge_obs::text::printable;
use the_edge_obs::value::{from_json, Snap};
use the_edge_obs::whole_log::WholeLog;

fn answer(line: &str) -> Result<Snap, String> {
    let case = from_json(line).map_err(|error| error.to_string())?;
    let ask = case.get("ask").and_then(Snap::as_str).unwrap_or("");
    let text = case.get("text").and_then(Snap::as_str).unwrap_or("");
    let read = |text: &str| from_json(text).map_err(|error| error.to_string());
    Ok(match ask {
        "classify" => Snap::from(classify(text).name()),
        "look_of" => Snap::from(match look_of(text) {
            Look::Ordinary => 0,
            Look::Word => 1,
            Look::Secret => 2,
        }),
        "redact" => Snap::from(redact(text, KeyClasses::built_in())),
        "printable" => Snap::from(printable(text).into_owned()),
        "json" => Snap::from(read(text)?.to_json()),
        "snapshot" => {
            let taints = Taints::new();
            let taken = snapshot(&read(text)?, &taints, KeyClasses::built_in());
            let clean = scrub(&taken, &taints);
            let paths = cut_paths("input", &taken, &clean);
            Snap::List([Snap::from(clean.to_json()), paths.into()].into())
        }
        "line" => Snap::from(to_line(&read(text)?)),
        "problems" => Snap::from(problems(&read(text)?)),
        "report" | "flow_log" | "faults" => of_log(ask, &read(text)?)?,
        _ => return Err(format!("{ask:?} is not known")),
    })
}

/// Answers what is asked of a list of events.
fn of_log(ask: &str, events: &Snap) -> Result<Snap, String> {
    let Snap::List(events) = events else {
        return Err("a list of events is expected".to_owned());
    };
    if ask == "faults" {
        let mut log = WholeLog::new();
        for (at, event) in events.iter().enumerate() {
            log.add(at + 1, event);
        }
        let faults = log.faults().into_iter();
        let told = faults.map(|fault| Snap::List([fault.line.into(), fault.problem.into()].into()));
        return Ok(Snap::List(told.collect()));
    }
    let log = build_flow_log(events.to_vec(), 3, 1).map_err(|error| error.to_string())?;
    Ok(match ask {
        "report" => report(&log),
        _ => log.to_snap(),
    })
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&line?).unwrap_or_else(|error| Snap::map([("error", error.into())]));
        writeln!(out, "{}", answer.to_json())?;
    }
    out.flush()
}
