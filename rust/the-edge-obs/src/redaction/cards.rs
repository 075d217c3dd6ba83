//! Numbers of payment cards and bank accounts in texts, by their form and their check digits.

use super::chars::is_decimal;
use super::pattern::patterns;
use super::tables::tables;

patterns! {
    card = r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){8,15}(?![\w-])";
    iban = r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])";
}

/// Returns where card numbers (ISO/IEC 7812, with a Luhn check digit) and IBANs (ISO 13616) stand in a text, in order.
pub(super) fn card_numbers(text: &str) -> Vec<(usize, usize)> {
    if !text.chars().any(is_decimal) {
        return Vec::new();
    }
    let cards = card()
        .all(text)
        .filter(|found| passes_luhn(found.text(text)));
    let ibans = iban()
        .all(text)
        .filter(|found| passes_mod_97(found.text(text)));
    let mut found: Vec<_> = cards.chain(ibans).map(|found| found.span()).collect();
    found.sort_unstable();
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (start, end) in found {
        if spans.last().is_none_or(|last| start >= last.1) {
            spans.push((start, end));
        }
    }
    spans
}

/// Returns the value of a decimal digit of any script: they come in runs of ten.
fn value_of(digit: char) -> Option<u32> {
    let code = u32::from(digit);
    let runs = &tables().decimal;
    digit.to_digit(10).or_else(|| {
        let run = runs
            .iter()
            .find(|(first, last)| (*first..=*last).contains(&code));
        run.map(|(first, _)| (code - first) % 10)
    })
}

fn passes_luhn(number: &str) -> bool {
    let digits: Vec<u32> = number.chars().filter_map(value_of).collect();
    let doubled = |(at, digit): (usize, &u32)| match (at % 2, digit) {
        (0, digit) => *digit,
        (_, digit) => 2 * digit / 10 + 2 * digit % 10,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(doubled).sum();
    (13..=19).contains(&digits.len()) && sum % 10 == 0
}

fn passes_mod_97(iban: &str) -> bool {
    let chars: Vec<char> = iban.chars().filter(|char| *char != ' ').collect();
    if !(15..=34).contains(&chars.len()) {
        return false;
    }
    let moved = chars[4..].iter().chain(&chars[..4]);
    let rest = moved.fold(0, |rest, char| match char {
        'A'..='Z' => (rest * 100 + u32::from(*char) - u32::from('A') + 10) % 97,
        digit => (rest * 10 + value_of(*digit).unwrap_or_default()) % 97,
    });
    rest == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let spans = card_numbers(text);
        spans
            .iter()
            .map(|(start, end)| &text[*start..*end])
            .collect()
    }

    #[test]
    fn numbers_need_their_check_digits() {
        let text = "4111 1111 1111 1111, 5500-0000-0000-0004; DE89 3704 0044 0532 0130 00.";
        let expected = [
            "4111 1111 1111 1111",
            "5500-0000-0000-0004",
            "DE89 3704 0044 0532 0130 00",
        ];
        assert_eq!(found(text), expected);
        for text in [
            "4111 1111 1111 1112",
            "DE88370400440532013000",
            "v4111111111111111",
            "4111111111111111x",
            "1.4111111111111111",
            "",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
        assert_eq!(found("4١11111111111111"), ["4١11111111111111"]);
    }
}
