//! The name that was probably meant.

use std::collections::HashMap;

/// How alike two names must be, from 0 to 1.
const LEAST: f64 = 0.6;

/// Names longer than this are not compared: nobody writes them by hand.
const LONGEST: usize = 200;

/// Returns the end of an error message: `allowed: a, b, c`.
pub(crate) fn allowed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names
        .into_iter()
        .map(|name| name.as_ref().to_owned())
        .collect();
    format!("allowed: {}", names.join(", "))
}

/// Returns the same after a suggestion for the given name, if one is close.
pub(crate) fn allowed_for<T: AsRef<str>>(names: &[T], given: &str) -> String {
    let end = allowed(names.iter());
    format!("{}{end}", did_you_mean(given, names))
}

/// Returns `did you mean 'x'? ` for the name that is closest to the given one, or an empty text.
pub(crate) fn did_you_mean<T: AsRef<str>>(given: &str, names: &[T]) -> String {
    match closest(given, names) {
        Some(name) => format!("did you mean {}? ", crate::python::quoted(name)),
        None => String::new(),
    }
}

/// Returns the name that is closest to the given one, as Python's `difflib.get_close_matches` does.
fn closest<'a, T: AsRef<str>>(given: &str, names: &'a [T]) -> Option<&'a str> {
    let given: Vec<char> = given.chars().take(LONGEST + 1).collect();
    if given.len() > LONGEST {
        return None;
    }
    let mut places: HashMap<char, Vec<usize>> = HashMap::new();
    for (place, char) in given.iter().enumerate() {
        places.entry(*char).or_default().push(place);
    }
    let mut best: Option<(f64, &str)> = None;
    for name in names {
        let chars: Vec<char> = name.as_ref().chars().take(LONGEST + 1).collect();
        let (short, total) = (
            chars.len().min(given.len()),
            (chars.len() + given.len()).max(1),
        );
        if chars.len() > LONGEST || 2.0 * (short as f64) / (total as f64) < LEAST {
            continue;
        }
        let same = common(&chars, &places, (0, chars.len()), (0, given.len()));
        let score = 2.0 * same as f64 / total as f64;
        let better = best.is_none_or(|(top, other)| (score, name.as_ref()) > (top, other));
        if score >= LEAST && better {
            best = Some((score, name.as_ref()));
        }
    }
    best.map(|(_, name)| name)
}

/// Returns how many characters two texts share: those of their longest common part, and of what is before and behind it.
fn common(
    one: &[char],
    places: &HashMap<char, Vec<usize>>,
    mine: (usize, usize),
    other: (usize, usize),
) -> usize {
    let (mut start, mut there, mut size) = (mine.0, other.0, 0);
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (at, char) in one.iter().enumerate().take(mine.1).skip(mine.0) {
        let mut next = HashMap::new();
        for &place in places.get(char).map_or(&[][..], Vec::as_slice) {
            if place < other.0 || place >= other.1 {
                continue;
            }
            let before = place.checked_sub(1).and_then(|before| lengths.get(&before));
            let length = before.copied().unwrap_or(0) + 1;
            next.insert(place, length);
            if length > size {
                (start, there, size) = (at + 1 - length, place + 1 - length, length);
            }
        }
        lengths = next;
    }
    if size == 0 {
        return 0;
    }
    let before = common(one, places, (mine.0, start), (other.0, there));
    let behind = common(one, places, (start + size, mine.1), (there + size, other.1));
    before + size + behind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_pythons() {
        let names = ["uses", "action", "run", "steps", "flow"];
        let answers = [
            ("use", Some("uses")),
            ("acton", Some("action")),
            ("step", Some("steps")),
            ("flwo", Some("flow")),
            ("nodes", None),
            ("urn", Some("run")),
            ("", None),
        ];
        for (given, answer) in answers {
            assert_eq!(closest(given, &names), answer, "{given}");
        }
        assert_eq!(
            allowed_for(&names, "runs"),
            "did you mean 'run'? allowed: uses, action, run, steps, flow"
        );
    }
}
