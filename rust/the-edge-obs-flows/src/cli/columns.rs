//! Columns of a terminal, and lines that fit into them.

use std::io::{self, IsTerminal};

use the_edge_obs::sink::console::uses_colour;

/// Columns where the terminal does not say how many it has.
const DEFAULT: usize = 120;
/// The columns between two cells.
const GAP: &str = "  ";

/// How something is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// The number of columns.
    pub width: usize,
    /// Draw with box characters; otherwise with ASCII.
    pub unicode: bool,
    /// Use ANSI colours.
    pub colour: bool,
}

impl View {
    /// Returns the view of stdout, or of stderr.
    pub(super) fn of(is_stderr: bool, is_ascii: bool) -> View {
        let is_terminal = match is_stderr {
            true => io::stderr().is_terminal(),
            false => io::stdout().is_terminal(),
        };
        View {
            width: width_of_terminal(),
            unicode: !is_ascii,
            colour: uses_colour(is_terminal),
        }
    }

    /// Returns the text in the colour of a style, if colours are used.
    pub(super) fn paint(&self, style: &str, text: &str) -> String {
        let colour = match style {
            "ok" => "32",
            "error" => "31;1",
            "bar" => "34",
            "around" | "dim" => "2",
            "running" | "cancelled" | "unknown" | "warn" => "33",
            _ => "",
        };
        if !self.colour || text.is_empty() || colour.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{colour}m{text}\x1b[0m")
    }

    /// Returns a text cut to a number of columns; an ellipsis marks the cut.
    pub(super) fn fitted(&self, text: &str, width: usize) -> String {
        if width_of(text) <= width {
            return text.to_owned();
        }
        let mark = if self.unicode { "…" } else { "..." };
        let mut room = width.saturating_sub(mark.chars().count());
        let fits = |char: &char| match room.checked_sub(columns(*char)) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        text.chars().take_while(fits).chain(mark.chars()).collect()
    }

    /// Returns cells as one line, without blanks at its end. A column of width 0 is left out.
    pub(super) fn line(&self, cells: &[Cell<'_>], widths: &[usize]) -> String {
        let shown = cells.iter().zip(widths).filter(|(_, width)| **width > 0);
        let texts: Vec<String> = shown
            .map(|(cell, width)| self.drawn(cell, *width))
            .collect();
        texts.join(GAP).trim_end().to_owned()
    }

    fn drawn(&self, cell: &Cell<'_>, width: usize) -> String {
        let mut stem = cell.stem.to_owned();
        if stem.chars().count() > width / 2 + 3 {
            stem = self.fitted(&stem, width / 2);
        }
        let room = width.saturating_sub(stem.chars().count());
        let text = self.fitted(cell.text, room);
        let blanks = " ".repeat(room.saturating_sub(width_of(&text)));
        let painted = self.paint(cell.style, &text);
        match cell.is_right {
            true => format!("{blanks}{stem}{painted}"),
            false => format!("{stem}{painted}{blanks}"),
        }
    }
}

/// A cell of a line. Text that is wider than its column is cut.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell<'t> {
    /// Unstyled text before the text: the lines of a tree.
    pub stem: &'t str,
    pub text: &'t str,
    pub style: &'t str,
    /// Whether the text is aligned right.
    pub is_right: bool,
}

/// Returns the width of a line of columns, with the gaps between them.
pub(super) fn line_width(widths: &[usize]) -> usize {
    let shown = widths.iter().filter(|width| **width > 0);
    let gaps = shown.clone().count().saturating_sub(1) * GAP.len();
    shown.sum::<usize>() + gaps
}

/// Returns how many columns lines may have: those of the variable `COLUMNS`, of the terminal, or 120.
fn width_of_terminal() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    let columns = columns.and_then(|text| text.parse().ok());
    columns.filter(|count| *count > 0).unwrap_or(DEFAULT)
}

/// Returns the number of columns of a text: two for a wide character, none for a combining one.
pub(super) fn width_of(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(char: char) -> usize {
    match char {
        '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' => 2,
        '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' => 2,
        '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1f64f}' => 2,
        '\u{1f900}'..='\u{1f9ff}' | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Returns a text in lines of a number of columns, at most `most` of them; an ellipsis marks the cut.
pub(super) fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    const MARK: &str = " ...";
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut word = word;
        loop {
            let line = lines.last_mut().map_or(0, |line| width_of(line));
            let needed = width_of(word) + usize::from(line > 0);
            if line + needed <= width {
                add(&mut lines, word);
                break;
            }
            let room = width.saturating_sub(line + usize::from(line > 0));
            if width_of(word) > width && room > 0 {
                let end = word
                    .char_indices()
                    .nth(room)
                    .map_or(word.len(), |(end, _)| end);
                add(&mut lines, &word[..end]);
                word = &word[end..];
            }
            if lines.len() == most {
                let line = lines.last_mut().map(std::mem::take).unwrap_or_default();
                let kept: String = line.chars().take(width - MARK.len()).collect();
                lines.pop();
                lines.push(kept + MARK);
                return lines;
            }
            lines.push(String::new());
        }
    }
    lines
}

fn add(lines: &mut [String], word: &str) {
    if let Some(line) = lines.last_mut() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View = View {
        width: 80,
        unicode: true,
        colour: false,
    };

    #[test]
    fn texts_are_cut_to_columns() {
        let fitted = |text, width| VIEW.fitted(text, width);
        assert_eq!(fitted("abcdef", 6), "abcdef");
        assert_eq!(fitted("abcdefg", 6), "abcde…");
        assert_eq!(fitted("猫猫猫", 5), "猫猫…");
        assert_eq!(fitted("猫猫猫", 4), "猫…");
        assert_eq!(width_of("e\u{301}猫"), 3);
    }

    #[test]
    fn texts_are_wrapped() {
        assert_eq!(wrapped("one two  three", 7, 4), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij kl", 4, 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrapped("aaa bbb ccc ddd eee", 7, 2), ["aaa bbb", "ccc ..."]);
        assert_eq!(wrapped("", 7, 2), [""]);
    }

    #[test]
    fn cells_make_a_line() {
        let cell = |text, is_right| Cell {
            text,
            is_right,
            ..Cell::default()
        };
        let line = VIEW.line(
            &[cell("ab", false), cell("x", false), cell("1", true)],
            &[4, 0, 3],
        );
        assert_eq!(line, "ab      1");
        assert_eq!(line_width(&[4, 0, 3]), 9);
    }
}
