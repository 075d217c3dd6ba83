//! What of a recorded value is not what it was: cut, redacted, or only described.

use the_edge_obs::redaction::{inside, MORE};
use the_edge_obs::Snap;

use super::values::REDACTED;

/// What is lost of a recorded value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// A secret was taken out; everything else is there.
    Redacted,
    /// A part is missing.
    Cut,
}

/// The most paths that a message names.
const SHOWN: usize = 3;

/// Returns which parts of a value under a key of an event's data are not whole: what `data.cut` says of it.
pub(super) fn losses(data: &Snap, key: &str) -> Vec<(String, Loss)> {
    let Some(Snap::List(cut)) = data.get("cut") else {
        return Vec::new();
    };
    let mut redacted = Vec::new();
    if let Some(value) = data.get(key) {
        each(key, value, &mut |path, value| {
            // Of what is below a redacted key, only the path of that key is listed.
            let is_only_redacted = match value {
                Snap::Str(text) | Snap::Mark(text) if text.contains(REDACTED) => !is_cut(text),
                _ => path.contains(REDACTED) && !has_cut(value),
            };
            if is_only_redacted {
                redacted.push(path.to_owned());
            }
        });
    }
    let told = cut.iter().filter_map(Snap::as_str);
    let told = told.map(|path| if path == MORE { key } else { path });
    let own = told.filter(|path| {
        let rest = path.strip_prefix(key);
        let is_own = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        is_own && *path != "error.traceback"
    });
    let loss = |path: &str| match redacted.iter().any(|known| known == path) {
        true => Loss::Redacted,
        false => Loss::Cut,
    };
    own.map(|path| (path.to_owned(), loss(path))).collect()
}

/// Returns the paths at which there is only a description of what was there: of an object, or of bytes.
pub(super) fn opaque(path: &str, value: Option<&Snap>, also_bytes: bool) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(value) = value {
        each_text(path, value, &mut |path, text| {
            if is_object(text) || (also_bytes && is_bytes(text)) {
                found.push(path.to_owned());
            }
        });
    }
    found
}

/// Returns the first paths, for a message.
pub(super) fn listed(paths: &[String]) -> String {
    let shown = paths[..paths.len().min(SHOWN)].join(", ");
    match paths.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Calls a function with each text in a value, and its path.
fn each_text(path: &str, value: &Snap, found: &mut impl FnMut(&str, &str)) {
    each(path, value, &mut |path, value| {
        if let Snap::Str(text) | Snap::Mark(text) = value {
            found(path, text);
        }
    });
}

/// Calls a function with a value and all that is in it, and the paths.
fn each(path: &str, value: &Snap, found: &mut impl FnMut(&str, &Snap)) {
    found(path, value);
    match value {
        Snap::Map(pairs) => {
            for (key, item) in pairs {
                each(&inside(path, key), item, found);
            }
        }
        Snap::List(items) => {
            for (at, item) in items.iter().enumerate() {
                each(&format!("{path}[{at}]"), item, found);
            }
        }
        _ => {}
    }
}

/// Tells whether a value below a redacted key may have been cut: of that key, only one path is listed.
fn has_cut(value: &Snap) -> bool {
    let mut is_found = false;
    each_text("", value, &mut |_, text| {
        is_found |= is_cut(text) || text.starts_with('<') || is_left_out(text);
    });
    is_found
}

/// Tells whether a text stands in place of items, or of a value that is nested too deep or in itself.
fn is_left_out(text: &str) -> bool {
    let count = text.strip_prefix("[+");
    let count = count.and_then(|text| text.strip_suffix(" items]"));
    count.is_some_and(is_number) || matches!(text, "[depth]" | "[circular]")
}

/// Tells whether a text ends as one that was cut, or stands for a value that was.
fn is_cut(text: &str) -> bool {
    let end = text.rfind("…[+").map(|at| &text[at + "…[+".len()..]);
    let is_end = end.and_then(|end| end.strip_suffix(" chars]"));
    is_end.is_some_and(is_number) || starts_as_bytes(text) || text.starts_with("[cut: ")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn starts_as_bytes(text: &str) -> bool {
    let bytes = text
        .strip_prefix('<')
        .and_then(|text| text.split_once(" bytes: "));
    bytes.is_some_and(|(count, _)| is_number(count))
}

fn is_bytes(text: &str) -> bool {
    starts_as_bytes(text) && text.find('>') == Some(text.len() - 1)
}

/// Tells whether a text is the type of an object, such as `<shop.Client>`, or says what happened while it was read.
fn is_object(text: &str) -> bool {
    let Some(inner) = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'))
    else {
        return false;
    };
    let is_word = |char: char| char == '_' || char.is_alphanumeric();
    let is_name = |text: &str| {
        let starts = text.starts_with(|char: char| char == '_' || char.is_ascii_alphabetic());
        starts && text.chars().all(is_word)
    };
    if let Some((kind, error)) = inner
        .strip_suffix(" while reading it")
        .and_then(|inner| inner.split_once(": "))
    {
        return is_name(kind) && is_name(error);
    }
    let mut parts = inner.split('.');
    let is_part = |part: &str| {
        matches!(part, "<locals>" | "<lambda>") || (!part.is_empty() && part.chars().all(is_word))
    };
    parts.next().is_some_and(is_name) && inner.contains('.') && parts.all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use the_edge_obs::value::from_json;

    #[test]
    fn what_is_only_described_is_found() {
        for text in [
            "<shop.Client>",
            "<m.f.<locals>.C>",
            "<m.f.<locals>.<lambda>>",
            "<Odd: ValueError while reading it>",
        ] {
            assert!(is_object(text), "{text}");
        }
        for text in [
            "<b>",
            "<shop.Client",
            "<1.2>",
            "a <m.C>",
            "<a. b>",
            "<a..b>",
        ] {
            assert!(!is_object(text), "{text}");
        }
        assert!(is_bytes("<3 bytes: abc>") && !is_bytes("<x bytes: abc>"));
    }

    #[test]
    fn a_loss_is_a_cut_unless_only_a_secret_is_missing() {
        let text = r#"{"output":{"a":"x…[+3 chars]","b":"is [REDACTED]","c":[1]},"cut":["output.a","output.b","output.c","input.z","…","message"]}"#;
        let found = losses(&from_json(text).unwrap(), "output");
        let expected = [
            ("output.a", Loss::Cut),
            ("output.b", Loss::Redacted),
            ("output.c", Loss::Cut),
            ("output", Loss::Cut),
        ];
        assert_eq!(found, expected.map(|(path, loss)| (path.to_owned(), loss)));
    }

    #[test]
    fn a_cut_below_a_redacted_key_is_a_cut() {
        let loss = |value: &str| {
            let text =
                format!(r#"{{"input":{{"[REDACTED]":{value}}},"cut":["input[\"[REDACTED]\"]"]}}"#);
            let found = losses(&from_json(&text).unwrap(), "input");
            assert_eq!(found.len(), 1, "{text}");
            found[0].1
        };
        assert_eq!(loss(r#""x""#), Loss::Redacted);
        assert_eq!(loss(r#"{"a":["is [REDACTED]",1]}"#), Loss::Redacted);
        for value in [
            r#""x…[+3 chars]""#,
            r#"{"a":["[+3 items]"]}"#,
            r#"["<m.C>"]"#,
            r#""[depth]""#,
            r#""x [REDACTED]…[+3 chars]""#,
        ] {
            assert_eq!(loss(value), Loss::Cut, "{value}");
        }
    }
}
