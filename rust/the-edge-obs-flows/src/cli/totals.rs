//! The totals of a run for people, and where its error arose.

use the_edge_obs::event::Status;
use the_edge_obs::flow_log::SpanInfo;
use the_edge_obs::{FlowLog, Snap};

use super::terminal::{counted, grouped};

/// Returns the totals of a flow log, as far as it has them: status, duration, counts, tokens, cost.
pub(super) fn totals(log: &FlowLog) -> Vec<String> {
    let totals = &log.metrics;
    let mut found = vec![log.status.name().to_owned()];
    found.extend(totals.total_duration_ms.map(duration_text));
    found.push(counted(totals.node_count as u64, "node"));
    found.push(counted(totals.event_count as u64, "event"));
    if totals.error_count > 0 {
        found.push(counted(totals.error_count as u64, "error"));
    }
    let [tokens, asked, answered, cost] = totals.counted.each_ref().map(number_of);
    if tokens > 0.0 {
        let parts = [(asked, "in"), (answered, "out")];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0.0);
        let parts: Vec<String> = parts
            .map(|(count, word)| format!("{} {word}", grouped(count as u64)))
            .collect();
        let parts = match parts.is_empty() {
            true => String::new(),
            false => format!(" ({})", parts.join(" + ")),
        };
        found.push(counted(tokens as u64, "token") + &parts);
    }
    if cost > 0.0 {
        found.push(dollars(cost));
    }
    found
}

/// Returns a number, or 0 for another value.
pub(super) fn number_of(value: &Snap) -> f64 {
    match value {
        Snap::Int(number) => *number as f64,
        Snap::Float(number) => *number,
        _ => 0.0,
    }
}

/// Returns a line for each reason why a flow log is not complete.
pub(super) fn missing(log: &FlowLog) -> Vec<String> {
    let mut found = Vec::new();
    match log.status {
        Status::Running => found.push(
            "no end in the log: the flow is still running, or its process was killed".to_owned(),
        ),
        Status::Unknown => found.push(
            "the flow's own events are not in the log, perhaps filtered by their level: how it ended is not known"
                .to_owned(),
        ),
        _ => {}
    }
    if log.metrics.dropped_count > 0 {
        let events = counted(log.metrics.dropped_count, "event");
        found.push(format!(
            "{events} dropped by the ring buffer: the tree is not complete"
        ));
    }
    if log.metrics.fault_count > 0 {
        let times = counted(log.metrics.fault_count, "time");
        found.push(format!("logging itself failed {times}"));
    }
    found
}

/// Returns the span in which the error that ended a flow arose: the last and deepest one that has it.
pub(super) fn origin(log: &FlowLog) -> Option<&SpanInfo> {
    let root = log.roots().into_iter().find(|root| root.error.is_some())?;
    let same: Vec<&SpanInfo> = log
        .spans
        .iter()
        .filter(|span| is_same_error(span, root))
        .collect();
    let is_deepest = |span: &&&SpanInfo| {
        !same
            .iter()
            .any(|one| one.parent_id.as_ref() == Some(&span.span_id))
    };
    Some(same.iter().rev().find(is_deepest).copied().unwrap_or(root))
}

/// Tells whether two spans have the same error: one of the same type and message.
pub(super) fn is_same_error(one: &SpanInfo, other: &SpanInfo) -> bool {
    let part = |span: &SpanInfo, key: &str| Some(span.error.as_ref()?.get(key)?.clone());
    let keys = ["type", "message"];
    one.error.is_some()
        && other.error.is_some()
        && keys.iter().all(|key| part(one, key) == part(other, key))
}

/// Returns an event's `{type, message}` as one text.
pub(super) fn error_text(error: &Snap) -> String {
    let part = |key: &str| {
        error
            .get(key)
            .and_then(Snap::as_str)
            .unwrap_or("")
            .to_owned()
    };
    match (part("type"), part("message")) {
        (kind, message) if message.is_empty() => kind,
        (kind, message) => format!("{kind}: {message}"),
    }
}

/// Returns a duration for people, with its unit.
pub(super) fn duration_text(milliseconds: f64) -> String {
    if milliseconds < 9.995 {
        return format!("{milliseconds:.2} ms");
    }
    if milliseconds < 999.95 {
        return format!("{milliseconds:.1} ms");
    }
    let seconds = milliseconds / 1000.0;
    if seconds < 59.995 {
        return format!("{seconds:.2} s");
    }
    let rounded = seconds.round_ties_even() as u64;
    let (minutes, rest) = (rounded / 60, rounded % 60);
    match minutes {
        0..60 => format!("{minutes} min {rest} s"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// Returns an amount of US dollars for people; a small amount gets more digits.
pub(super) fn dollars(cost: f64) -> String {
    if cost >= 1.0 {
        let cents = (cost * 100.0).round_ties_even() as u64;
        return format!("${}.{:02}", grouped(cents / 100), cents % 100);
    }
    if cost >= 0.0001 {
        return format!("${cost:.4}");
    }
    // One significant digit, as Python's format 'g' writes it: below 0.0001 with an exponent of two digits.
    let text = format!("{cost:.0e}");
    match text.split_once("e-") {
        Some((digits, exponent)) => format!("${digits}e-{exponent:0>2}"),
        None => format!("${text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_amounts_have_units() {
        let durations = [0.0, 9.99, 120.24, 8660.0, 59_994.0, 61_000.0, 7_260_000.0];
        let texts = [
            "0.00 ms",
            "9.99 ms",
            "120.2 ms",
            "8.66 s",
            "59.99 s",
            "1 min 1 s",
            "2 h 1 min",
        ];
        assert_eq!(durations.map(duration_text), texts);
        let costs = [1234.5, 1.0, 0.0123, 0.00002];
        assert_eq!(
            costs.map(dollars),
            ["$1,234.50", "$1.00", "$0.0123", "$2e-05"]
        );
    }
}
