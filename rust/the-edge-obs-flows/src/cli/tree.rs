//! The tree of a run: a line for each span, with its errors and warnings below it.

use std::collections::{HashMap, HashSet};

use the_edge_obs::event::Status;
use the_edge_obs::flow_log::SpanInfo;
use the_edge_obs::text::printable;
use the_edge_obs::{FlowLog, Snap};

use super::columns::{line_width, width_of, wrapped, Cell, View};
use super::terminal::{counted, grouped};
use super::totals::{dollars, duration_text, error_text, is_same_error, number_of};
use crate::actions::support::spaced;

/// If a span has more children than this, the first and last ones are shown, and the first ones that are not ok.
const FOLD_OVER: usize = 24;
const FIRST: usize = 8;
const LAST: usize = 2;
const NOT_OK: usize = 8;
/// How many warnings are shown per span, and how many lines of a message.
const NOTES: usize = 3;
const NOTE_LINES: usize = 4;
/// Columns of a branch's item; a longer one is not shown.
const LABEL: usize = 40;
/// Columns of the tree's lines; deeper spans are drawn at this depth.
const DEEPEST: usize = 600;
/// Columns; on a narrower terminal, lines wrap.
const NARROWEST: usize = 60;
/// The smallest and largest number of columns of a bar.
const BAR: (usize, usize) = (8, 30);
/// The smallest number of columns of a label.
const LEAST_LABEL: usize = 16;

/// One row of the tree.
struct Row {
    /// The lines of the tree before the label.
    stem: String,
    /// The lines of the tree before the notes.
    below: String,
    /// Label, node, duration, tokens, cost, status.
    cells: [String; 6],
    /// Start and end of the bar, as fractions of the run's time.
    bar: Option<(f64, f64)>,
    /// The style of the bar and of the status.
    styles: [&'static str; 2],
    notes: Vec<Note>,
}

/// The style and the text of a line below a row.
type Note = (&'static str, String);

/// What stands in the tree: a span, or a line that stands for many.
enum Item<'l> {
    Span(&'l SpanInfo),
    More(String),
}

/// Returns the lines of the tree.
pub(super) fn tree(log: &FlowLog, view: View) -> Vec<String> {
    let rows = Drawing::new(log, view).rows();
    if rows.is_empty() {
        return Vec::new();
    }
    table(&rows, view)
}

struct Drawing<'l> {
    log: &'l FlowLog,
    view: View,
    spans: HashMap<&'l str, &'l SpanInfo>,
    entries: HashMap<&'l str, &'l Snap>,
    warnings: HashMap<&'l str, Vec<Note>>,
    /// Whether a span and all spans below it are ok.
    healthy: HashMap<&'l str, bool>,
    /// When the run begins, and how long it takes, in seconds.
    begin: f64,
    whole: f64,
}

impl<'l> Drawing<'l> {
    fn new(log: &'l FlowLog, view: View) -> Drawing<'l> {
        let spans: HashMap<&str, &SpanInfo> = log
            .spans
            .iter()
            .map(|span| (&*span.span_id, span))
            .collect();
        let entries = log
            .events
            .iter()
            .filter(|event| text_of(event, "event_type") == "entry");
        let mut healthy: HashMap<&str, bool> = HashMap::new();
        for (_, span) in log.walk().into_iter().rev() {
            let mut below = span.children.iter();
            let is_healthy = span.status == Status::Ok
                && below.all(|child| healthy.get(&**child) == Some(&true));
            healthy.insert(&span.span_id, is_healthy);
        }
        let begin = log
            .spans
            .iter()
            .map(|span| span.start)
            .fold(f64::INFINITY, f64::min);
        let mut drawing = Drawing {
            log,
            view,
            spans,
            entries: entries
                .map(|event| (text_of(event, "span_id"), event))
                .collect(),
            warnings: warnings(&log.events),
            healthy,
            begin,
            whole: 0.0,
        };
        let ends = log.spans.iter().map(|span| drawing.end_of(span));
        drawing.whole = ends.fold(f64::NEG_INFINITY, f64::max) - begin;
        drawing
    }

    /// Returns the end of a span; of one that runs, the time of the last event.
    fn end_of(&self, span: &SpanInfo) -> f64 {
        let last = self.log.events.last().map_or(0.0, |event| {
            number_of(event.get("timestamp").unwrap_or(&Snap::Null))
        });
        span.end.unwrap_or(last).max(span.start)
    }

    /// Returns the rows, parents before children. Long loops and fan-outs are folded.
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let tops = self.folded(self.log.roots());
        let mut waiting: Vec<(Item<'_>, String, String)> = Vec::new();
        waiting.extend(
            tops.into_iter()
                .rev()
                .map(|item| (item, String::new(), String::new())),
        );
        while let Some((item, stem, below)) = waiting.pop() {
            let span = match item {
                Item::Span(span) => span,
                Item::More(text) => {
                    rows.push(more(text, stem, below));
                    continue;
                }
            };
            let children: Vec<&SpanInfo> = span
                .children
                .iter()
                .filter_map(|id| self.spans.get(&**id).copied())
                .collect();
            let below: String = below.chars().take(DEEPEST).collect();
            rows.push(self.row(span, &children, stem, &below));
            let shown = self.folded(children);
            let last = shown.len().saturating_sub(1);
            for (position, item) in shown.into_iter().enumerate().rev() {
                let (branch, trunk) = self.lines(position == last);
                waiting.push((item, format!("{below}{branch}"), format!("{below}{trunk}")));
            }
        }
        rows
    }

    /// Returns the lines of the tree before a child, and before what is below it.
    fn lines(&self, is_last: bool) -> (&'static str, &'static str) {
        match (self.view.unicode, is_last) {
            (true, true) => ("└─ ", "   "),
            (true, false) => ("├─ ", "│  "),
            (false, true) => ("`- ", "   "),
            (false, false) => ("|- ", "|  "),
        }
    }

    fn row(&self, span: &SpanInfo, children: &[&SpanInfo], stem: String, below: &str) -> Row {
        let trunk = match (children.is_empty(), self.view.unicode) {
            (true, _) => "  ",
            (false, true) => "│  ",
            (false, false) => "|  ",
        };
        let mut notes = error_notes(span, children);
        notes.extend(
            self.warnings
                .get(&*span.span_id)
                .into_iter()
                .flatten()
                .cloned(),
        );
        let status = span.status.name();
        let bar = match (span.status, children.is_empty()) {
            (Status::Ok, true) => "bar",
            (Status::Ok, false) => "around",
            _ => status,
        };
        let part = |time: f64| (time - self.begin) / self.whole;
        let is_long = self.whole > 0.0;
        Row {
            stem,
            below: format!("{below}{trunk}"),
            cells: self.cells(span),
            bar: is_long.then(|| (part(span.start), part(self.end_of(span)))),
            styles: [bar, status],
            notes,
        }
    }

    fn cells(&self, span: &SpanInfo) -> [String; 6] {
        let name = span.name.as_deref().or(span.step.as_deref());
        let name = name.filter(|name| !name.is_empty() && *name != &*span.node);
        let (label, node) = match name {
            Some(name) => (name, &*span.node),
            None => (&*span.node, ""),
        };
        let number = |key: &str| number_of(span.metrics.get(key).unwrap_or(&Snap::Null));
        let (tokens, cost) = (number("tokens"), number("cost_usd"));
        // A span that its level filters logs only its error. It has no entry and no duration, and nothing of it is lost.
        let is_lost =
            span.partial && (span.duration_ms.is_some() || span.status == Status::Running);
        let lost = if is_lost { " (start lost)" } else { "" };
        let label = format!("{label}{}", self.which(span));
        [
            printable(&label).into_owned(),
            printable(node).into_owned(),
            span.duration_ms.map(duration_text).unwrap_or_default(),
            if tokens > 0.0 {
                format!("{} tok", grouped(tokens as u64))
            } else {
                String::new()
            },
            if cost > 0.0 {
                dollars(cost)
            } else {
                String::new()
            },
            format!("{}{lost}", span.status.name()),
        ]
    }

    /// Returns what distinguishes a span from its siblings, after a blank: the number of an iteration, branch or attempt.
    fn which(&self, span: &SpanInfo) -> String {
        let data = self
            .entries
            .get(&*span.span_id)
            .and_then(|entry| entry.get("data"));
        let given = |key: &str| data.and_then(|data| data.get(key));
        let mut parts = Vec::new();
        if let (true, Some(input @ Snap::Map(_))) = (
            matches!(&*span.node, "loop.iteration" | "parallel.branch"),
            given("input"),
        ) {
            parts.extend(
                input
                    .get("index")
                    .map(|index| format!("[{}]", index.to_json())),
            );
            parts.extend(input.get("branch").map(one_line));
            let item = input.get("item").map(one_line);
            parts.extend(item.filter(|item| width_of(item) <= LABEL));
        }
        parts.extend(given("attempt").map(|number| format!("(attempt {})", number.to_json())));
        parts.into_iter().map(|part| format!(" {part}")).collect()
    }

    fn folded(&self, children: Vec<&'l SpanInfo>) -> Vec<Item<'l>> {
        if children.len() <= FOLD_OVER {
            return children.into_iter().map(Item::Span).collect();
        }
        let is_ok = |span: &SpanInfo| self.healthy.get(&*span.span_id) == Some(&true);
        let last = children.len() - LAST;
        let failed = children
            .iter()
            .enumerate()
            .filter(|(_, span)| !is_ok(span))
            .map(|(at, _)| at)
            .take(NOT_OK);
        let shown: HashSet<usize> = (0..FIRST)
            .chain(last..children.len())
            .chain(failed)
            .collect();
        let numbered: Vec<(usize, &SpanInfo)> = children.into_iter().enumerate().collect();
        let groups =
            numbered.chunk_by(|one, other| shown.contains(&one.0) == shown.contains(&other.0));
        let mut items = Vec::new();
        for group in groups {
            if group.len() == 1 || shown.contains(&group[0].0) {
                items.extend(group.iter().map(|(_, span)| Item::Span(span)));
                continue;
            }
            let bad = group.iter().filter(|(_, span)| !is_ok(span)).count();
            let bad = match bad {
                0 => "all ok".to_owned(),
                count => format!("{} not ok", grouped(count as u64)),
            };
            let dots = if self.view.unicode { "⋮" } else { ":" };
            items.push(Item::More(format!(
                "{dots} {} more, {bad}",
                grouped(group.len() as u64)
            )));
        }
        items
    }
}

fn text_of<'e>(event: &'e Snap, key: &str) -> &'e str {
    event.get(key).and_then(Snap::as_str).unwrap_or("")
}

fn one_line(value: &Snap) -> String {
    match value.as_str() {
        Some(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        None => spaced(value),
    }
}

fn more(text: String, stem: String, below: String) -> Row {
    let mut cells: [String; 6] = Default::default();
    cells[0] = text;
    Row {
        stem,
        below,
        cells,
        bar: None,
        styles: ["", ""],
        notes: Vec::new(),
    }
}

/// Returns an error's text if it arose in this span. The spans above, which it passed through, have the same error.
fn error_notes(span: &SpanInfo, children: &[&SpanInfo]) -> Vec<Note> {
    let Some(error) = &span.error else {
        return Vec::new();
    };
    let is_silent = span.status == Status::Cancelled && text_of(error, "message").is_empty();
    if is_silent || children.iter().any(|child| is_same_error(child, span)) {
        return Vec::new();
    }
    let place = match text_of(error, "where") {
        "" => String::new(),
        place => format!(" ({place})"),
    };
    vec![(
        span.status.name(),
        printable(&(error_text(error) + &place)).into_owned(),
    )]
}

/// Returns the first warnings and logged errors of each span.
fn warnings(events: &[Snap]) -> HashMap<&str, Vec<Note>> {
    let mut found: HashMap<&str, Vec<Note>> = HashMap::new();
    let mut left_out: HashMap<&str, u64> = HashMap::new();
    for event in events {
        let level = match text_of(event, "level") {
            "warn" => "warn",
            "error" => "error",
            _ => continue,
        };
        if text_of(event, "event_type") != "log" {
            continue;
        }
        let span = text_of(event, "span_id");
        let notes = found.entry(span).or_default();
        if notes.len() == NOTES {
            *left_out.entry(span).or_default() += 1;
            continue;
        }
        let message = match text_of(event, "message") {
            "" => text_of(event, "node"),
            message => message,
        };
        notes.push((
            level,
            printable(&format!("{level}: {message}")).into_owned(),
        ));
    }
    for (span, count) in left_out {
        let told = format!("and {}", counted(count, "more warning"));
        found.entry(span).or_default().push(("warn", told));
    }
    found
}

fn table(rows: &[Row], view: View) -> Vec<String> {
    let total = view.width.max(NARROWEST);
    let widest = |at: usize| {
        rows.iter()
            .map(|row| width_of(&row.cells[at]))
            .max()
            .unwrap_or(0)
    };
    let figures = [2, 3, 4, 5].map(widest);
    let bar = ((total - NARROWEST) / 3).min(BAR.1);
    let has_bar = bar >= BAR.0 && rows.iter().any(|row| row.bar.is_some());
    let bar = if has_bar { bar } else { 0 };
    let wanted = rows
        .iter()
        .map(|row| row.stem.chars().count() + width_of(&row.cells[0]));
    let beside = line_width(&[&[bar], &figures[..]].concat());
    let room = total.saturating_sub(beside + 2).max(LEAST_LABEL);
    let (label, node) = shared(room, wanted.max().unwrap_or(0), widest(1));
    let widths = [&[label, node, bar], &figures[..]].concat();
    let mut lines = Vec::new();
    for row in rows {
        lines.push(line(row, bar, &widths, view));
        for (style, text) in &row.notes {
            let is_deep = row.below.chars().count() >= total / 2;
            let indent = if is_deep { "" } else { &row.below };
            let room = total - indent.chars().count();
            let texts = wrapped(text, room, NOTE_LINES);
            lines.extend(
                texts
                    .iter()
                    .map(|text| format!("{indent}{}", view.paint(style, text))),
            );
        }
    }
    lines
}

/// Returns the widths of a label and of the node beside it: the label gets what the node does not need, and at least half of the room.
fn shared(room: usize, label: usize, node: usize) -> (usize, usize) {
    if node == 0 {
        return (label.min(room), 0);
    }
    let label = label.min(room.saturating_sub(node + 2).max(room / 2));
    (label, node.min(room.saturating_sub(label + 2)))
}

fn line(row: &Row, bar: usize, widths: &[usize], view: View) -> String {
    let [label, node, duration, tokens, cost, status] = &row.cells;
    let drawn = bar_text(row.bar, bar, view);
    let right = |text| Cell {
        text,
        is_right: true,
        ..Cell::default()
    };
    let styled = |text, style| Cell {
        text,
        style,
        ..Cell::default()
    };
    let label = Cell {
        text: label,
        stem: &row.stem,
        ..Cell::default()
    };
    let node = styled(node, "dim");
    let cells = [
        label,
        node,
        styled(&drawn, row.styles[0]),
        right(duration),
        right(tokens),
        right(cost),
        styled(status, row.styles[1]),
    ];
    view.line(&cells, widths)
}

/// Returns a bar in steps of half a column; it has at least one half.
fn bar_text(part: Option<(f64, f64)>, width: usize, view: View) -> String {
    let Some((begin, end)) = part.filter(|_| width > 0) else {
        return " ".repeat(width);
    };
    let halves = 2 * width;
    let first = ((begin * halves as f64) as usize).min(halves - 1);
    let last = ((end * halves as f64).ceil() as usize)
        .min(halves)
        .saturating_sub(1)
        .max(first);
    let is_filled = |half: usize| (first..=last).contains(&half);
    let cell = |at: usize| match (is_filled(2 * at), is_filled(2 * at + 1), view.unicode) {
        (false, false, _) => ' ',
        (_, _, false) => '#',
        (true, true, true) => '█',
        (true, false, true) => '▌',
        (false, true, true) => '▐',
    };
    (0..width).map(cell).collect()
}
