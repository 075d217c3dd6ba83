//! Names of nodes, steps and flows, made safe for every sink, file and terminal.

use std::borrow::Cow;

use crate::redaction::{head, scrub_text, Taints, MAX_STRING};

/// The most characters of a name.
pub const MAX_NAME: usize = 256;
/// Characters of a longer name that stay before the mark of the cut.
const ROOM: usize = MAX_NAME - 24;
/// A name with fewer bytes cannot be a key of a known format.
const SHORTEST_KEY: usize = 12;

/// Returns a name that is safe to write; most names are not changed.
///
/// Unsafe characters are escaped as Python writes them, secrets are removed by their shape, and a name of more than [`MAX_NAME`]
/// characters is cut, with `[+N chars]` at its end.
pub(crate) fn fit_name(name: &str) -> Cow<'_, str> {
    if name.len() < SHORTEST_KEY
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        return name.into();
    }
    let escaped: String = head(name, MAX_STRING).chars().map(escape).collect();
    let clean = scrub_text(&escaped, &Taints::new());
    let (length, whole) = (clean.chars().count(), name.chars().count());
    if length <= MAX_NAME && whole <= MAX_STRING {
        return clean.into();
    }
    format!(
        "{}[+{} chars]",
        head(&clean, ROOM),
        whole.max(length) - ROOM
    )
    .into()
}

/// Returns the name of a node that is safe to write. A node without a name is `root`, as Python's logger without a name is.
pub(crate) fn fit_node(name: &str) -> Cow<'_, str> {
    if name.is_empty() {
        "root".into()
    } else {
        fit_name(name)
    }
}

fn escape(character: char) -> Cow<'static, str> {
    let code = u32::from(character);
    match character {
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        _ if code < 0x20 || (0x7f..=0x9f).contains(&code) => format!("\\x{code:02x}").into(),
        // Marks of lines and of writing direction.
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            format!("\\u{code:04x}").into()
        }
        _ => character.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_always_has_a_name() {
        assert_eq!(
            (fit_node(""), fit_node("rank")),
            ("root".into(), "rank".into())
        );
    }

    #[test]
    fn a_safe_name_stays_and_others_are_made_safe() {
        assert_eq!(fit_name("llm.call"), "llm.call");
        assert_eq!(
            fit_name("summarize the long text"),
            "summarize the long text"
        );
        assert_eq!(fit_name("a\nb\u{1b}[31m\u{2028}"), "a\\nb\\x1b[31m\\u2028");
        assert_eq!(
            fit_name("sk-proj-abcdefghijklmnopqrstuvwx1234"),
            "[REDACTED]"
        );
        assert_eq!(
            fit_name(&"x".repeat(300)),
            format!("{}[+68 chars]", "x".repeat(232))
        );
    }
}
