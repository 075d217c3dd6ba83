//! Columns of a terminal.

/// Columns where the terminal does not say how many it has.
const DEFAULT: usize = 120;
/// The fewest columns that lines are cut to.
const NARROWEST: usize = 60;

/// Returns how many columns lines may have: those of the variable `COLUMNS`, or 120.
pub(super) fn width_of_terminal() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    let columns = columns.and_then(|text| text.parse().ok());
    columns
        .filter(|count| *count > 0)
        .unwrap_or(DEFAULT)
        .max(NARROWEST)
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

/// Returns a text cut to a number of columns; an ellipsis marks the cut.
pub(super) fn fitted(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |char: &char| match room.checked_sub(columns(*char)) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_columns() {
        assert_eq!(fitted("abcdef", 6), "abcdef");
        assert_eq!(fitted("abcdefg", 6), "abcde…");
        assert_eq!(fitted("猫猫猫", 5), "猫猫…");
        assert_eq!(fitted("猫猫猫", 4), "猫…");
        assert_eq!(width_of("e\u{301}猫"), 3);
    }
}
