//! JSON as people and models write it, made into JSON.

/// Returns the text without a Markdown fence around it, without comments, and without commas behind the last item.
///
/// A text that is not like JSON at all comes out somehow; reading it then fails.
pub(super) fn strict_text(text: &str) -> String {
    without_commas(&without_comments(unfenced(text)))
}

/// Returns the content of a Markdown fence that spans the whole text; any other text unchanged.
fn unfenced(text: &str) -> &str {
    let Some((opening, rest)) = text.trim().split_once('\n') else {
        return text;
    };
    let word = opening.strip_prefix("```");
    match (word, rest.strip_suffix("```")) {
        (Some(word), Some(body)) if !word.contains('`') => body,
        _ => text,
    }
}

/// Returns the length of the string at the start of a text, which begins with a quotation mark.
fn string_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return at + 1,
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    text.len()
}

/// A comment without an end extends to the end of the text.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            string_length(rest)
        } else if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            rest = &rest[end..];
            out.push(' ');
            continue;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.find("*/").map_or("", |end| &comment[end + 2..]);
            out.push(' ');
            continue;
        } else {
            first.len_utf8()
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

fn without_commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Where the last comma is in what was written, if only blanks follow it so far.
    let mut comma = None;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            string_length(rest)
        } else {
            first.len_utf8()
        };
        match first {
            ',' => comma = Some(out.len()),
            ']' | '}' => {
                if let Some(at) = comma.take() {
                    out.remove(at);
                }
            }
            _ if first.is_whitespace() => {}
            _ => comma = None,
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_models_write_becomes_json() {
        let cases = [
            ("```json\n{\"a\": 1}\n```", "{\"a\": 1}\n"),
            ("Here: ```[1]``` done", "Here: ```[1]``` done"),
            ("[1, // one, two\n 2, /* x */ ]", "[1,  \n 2   ]"),
            ("{\"a\": \"// , ]\", }", "{\"a\": \"// , ]\" }"),
            ("[1 /* no end", "[1  "),
            ("[1,,]", "[1,]"),
        ];
        for (text, expected) in cases {
            assert_eq!(strict_text(text), expected);
        }
    }
}
