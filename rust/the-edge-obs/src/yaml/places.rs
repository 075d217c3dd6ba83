//! Where block scalars begin: the parser says where their text does.

/// Returns the line and column of the `|` or `>` of a block scalar, from 1, if it is there.
///
/// The text begins on `line`, or is empty, and then `line` may be that of the indicator itself. Lines between the two are blank.
pub(super) fn indicator(lines: &[&str], line: usize, is_empty: bool) -> Option<(usize, usize)> {
    let is_blank = |line: &&str| line.trim_matches([' ', '\t']).is_empty();
    let here = lines.get(line.checked_sub(1)?)?;
    if is_empty {
        if let Some(column) = indicator_in(here) {
            return Some((line, column));
        }
    }
    let header = lines[..line - 1].iter().rposition(|line| !is_blank(line))?;
    Some((header + 1, indicator_in(lines[header])?))
}

fn indicator_in(line: &str) -> Option<usize> {
    let ends = |rest: &str| {
        let rest =
            rest.trim_start_matches(|char: char| char.is_ascii_digit() || "+-".contains(char));
        let inner = rest.trim_start_matches([' ', '\t']);
        inner.is_empty() || (inner.len() < rest.len() && inner.starts_with('#'))
    };
    let blank = |before: &str| before.is_empty() || before.ends_with([' ', '\t']);
    let mut found = line.match_indices(['|', '>']);
    let (at, _) = found.find(|(at, _)| blank(&line[..*at]) && ends(&line[at + 1..]))?;
    Some(line[..at].chars().count() + 1)
}

/// Tells whether a block scalar ends with the file, on a line without a line break: then the parser adds one, and Python does not.
pub(super) fn has_added_break(lines: &[&str], header: usize, end_line: usize) -> bool {
    let indent = |line: &&str| line.len() - line.trim_start_matches(' ').len();
    let content = lines.iter().skip(header);
    let first = content.clone().find(|line| indent(line) < line.len());
    let Some((first, last)) = first.zip(lines.last()) else {
        return false;
    };
    end_line >= lines.len() && !last.is_empty() && indent(last) >= indent(first).max(1)
}

/// Returns the lines of a text as YAML breaks them.
pub(super) fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        let size = if rest[at..].starts_with("\r\n") { 2 } else { 1 };
        lines.push(&rest[..at]);
        rest = &rest[at + size..];
    }
    lines.push(rest);
    lines
}
