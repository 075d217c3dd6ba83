//! The tree of a document, made from the parser's events, within the limits.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::mapping::Pairs;
use super::places::{has_added_break, indicator, lines};
use super::scalars::{kind_of, kind_of_tag, value_of, Kind};
use super::{Yaml, YamlValue, MAX_BYTES, MAX_DEPTH, MAX_NODES};
use crate::value::Snap;

/// Something wrong with a document, and where.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) problem: String,
}

impl Mistake {
    /// Returns a mistake at a value.
    pub(super) fn at(value: &Yaml, problem: String) -> Mistake {
        Mistake {
            line: value.line,
            column: value.column,
            problem,
        }
    }

    fn mark(mark: Marker, problem: impl Into<String>) -> Mistake {
        Mistake {
            line: mark.line(),
            column: mark.col() + 1,
            problem: problem.into(),
        }
    }
}

impl From<ScanError> for Mistake {
    fn from(error: ScanError) -> Mistake {
        if error.info() == "recursion limit exceeded" {
            return too_deep(*error.marker());
        }
        Mistake::mark(*error.marker(), format!("broken YAML: {}", error.info()))
    }
}

fn too_deep(mark: Marker) -> Mistake {
    let problem = format!("nesting deeper than {MAX_DEPTH} levels");
    Mistake::mark(mark, problem)
}

/// Reads a document. An empty one is null.
pub(super) fn read(text: &str) -> Result<Yaml, Mistake> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_BYTES {
        return Err(Mistake {
            line: 1,
            column: 1,
            problem: format!("the text is larger than {MAX_BYTES} bytes; split it"),
        });
    }
    check_characters(text)?;
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        lines: lines(text),
        anchors: HashMap::new(),
        size: Size { count: 0, bytes: 0 },
        copied: 0,
    };
    reader.document()
}

/// Refuses what YAML does not allow, and the breaks of lines that only YAML 1.1 has.
fn check_characters(text: &str) -> Result<(), Mistake> {
    let (mut line, mut column) = (1, 1);
    for char in text.chars() {
        let problem = match char {
            '\n' => {
                (line, column) = (line + 1, 1);
                continue;
            }
            '\t' | '\r' | ' '..='~' => None,
            '\u{85}' | '\u{2028}' | '\u{2029}' => Some("is a line break in YAML 1.1 only"),
            '\u{0}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => Some("is not allowed"),
            _ => None,
        };
        if let Some(problem) = problem {
            let number = u32::from(char);
            let problem = format!(
                "broken YAML: character U+{number:04X} {problem}; write it as an escape in a double-quoted string"
            );
            return Err(Mistake {
                line,
                column,
                problem,
            });
        }
        column += 1;
    }
    Ok(())
}

/// The most memory that copies of what anchors name may take, in bytes; a value is counted as [`VALUE_BYTES`] and its text.
const MAX_COPIED: usize = 64 << 20;
const VALUE_BYTES: usize = 128;

/// How much was read: values, and bytes of their texts.
#[derive(Clone, Copy)]
struct Size {
    count: usize,
    bytes: usize,
}

/// A value behind an anchor, with its size, and how many values are inside one another.
struct Anchored {
    value: Yaml,
    size: Size,
    height: usize,
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    lines: Vec<&'t str>,
    anchors: HashMap<usize, Anchored>,
    /// What was read; an alias counts as what it stands for.
    size: Size,
    /// The memory that copies took.
    copied: usize,
}

type Next<'t> = (Event<'t>, Span);

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Next<'t>, Mistake> {
        let next = self.parser.next_event();
        next.unwrap_or_else(|| Ok((Event::StreamEnd, Span::default())))
            .map_err(Mistake::from)
    }

    fn document(&mut self) -> Result<Yaml, Mistake> {
        let mut document = Yaml::from(&Snap::Null);
        let mut has_one = false;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(document),
                Event::DocumentStart(_) if has_one => {
                    let problem = "another document begins; a file has one";
                    return Err(Mistake::mark(span.start, problem));
                }
                Event::DocumentStart(_) => {
                    let next = self.next()?;
                    document = self.value(next, 1)?.0;
                    has_one = true;
                }
                _ => {}
            }
        }
    }

    /// Returns the value that begins with an event, and how many values are inside one another in it.
    fn value(&mut self, (event, span): Next<'t>, depth: usize) -> Result<(Yaml, usize), Mistake> {
        if depth > MAX_DEPTH {
            return Err(too_deep(span.start));
        }
        if let Event::Alias(id) = event {
            return self.alias(id, span.start, depth);
        }
        let before = self.size;
        self.grow(1, span.start, "")?;
        let mut read = null_at(span.start);
        let mut height = 1;
        let anchor = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&mut read, (text, style), tag.as_deref(), span)?;
                anchor
            }
            Event::SequenceStart(anchor, tag) => {
                expect_tag(tag, "seq", span.start)?;
                let items;
                (items, height) = self.items(depth)?;
                read.value = YamlValue::List(items);
                anchor
            }
            Event::MappingStart(anchor, tag) => {
                expect_tag(tag, "map", span.start)?;
                let pairs;
                (pairs, height) = self.pairs(depth)?;
                read.value = YamlValue::Map(pairs);
                anchor
            }
            _ => return Err(Mistake::mark(span.start, "broken YAML: a value is missing")),
        };
        if anchor > 0 {
            self.remember(anchor, &read, before, height)?;
        }
        Ok((read, height))
    }

    fn scalar(
        &mut self,
        read: &mut Yaml,
        (text, style): (Cow<'t, str>, ScalarStyle),
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Mistake> {
        let text = self.place(read, text, style, span);
        self.size.bytes += text.len();
        let kind = scalar_kind(&text, style, tag, span.start)?;
        let value = value_of(kind, &text);
        read.value = value.map_err(|problem| Mistake::at(read, problem))?;
        Ok(())
    }

    /// Corrects where a block scalar begins, and returns the text of a scalar as Python reads it.
    fn place(
        &self,
        read: &mut Yaml,
        mut text: Cow<'t, str>,
        style: ScalarStyle,
        span: Span,
    ) -> Cow<'t, str> {
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return text;
        }
        let is_empty = text.trim_matches('\n').is_empty();
        let found = indicator(&self.lines, read.line, is_empty);
        (read.line, read.column) = found.unwrap_or((read.line, read.column));
        read.text_line = read.line + usize::from(style == ScalarStyle::Literal);
        let is_longer = has_added_break(&self.lines, read.line, span.end.line());
        if is_longer && !is_empty && text.ends_with('\n') {
            text.to_mut().pop();
        }
        text
    }

    fn remember(
        &mut self,
        anchor: usize,
        value: &Yaml,
        before: Size,
        height: usize,
    ) -> Result<(), Mistake> {
        let size = Size {
            count: self.size.count - before.count,
            bytes: self.size.bytes - before.bytes,
        };
        self.copy(size, (value.line, value.column))?;
        let value = value.clone();
        let anchored = Anchored {
            value,
            size,
            height,
        };
        self.anchors.insert(anchor, anchored);
        Ok(())
    }

    fn items(&mut self, depth: usize) -> Result<(Vec<Yaml>, usize), Mistake> {
        let (mut items, mut height) = (Vec::new(), 1);
        loop {
            let next = self.next()?;
            if next.0 == Event::SequenceEnd {
                return Ok((items, height));
            }
            let (item, inner) = self.value(next, depth + 1)?;
            items.push(item);
            height = height.max(inner + 1);
        }
    }

    fn pairs(&mut self, depth: usize) -> Result<(Vec<(Yaml, Yaml)>, usize), Mistake> {
        let (mut pairs, mut height) = (Pairs::default(), 1);
        loop {
            let next = self.next()?;
            if next.0 == Event::MappingEnd {
                return Ok((pairs.finish()?, height));
            }
            let is_merge = is_merge(&next.0);
            let key = if is_merge {
                self.grow(1, next.1.start, "")?;
                None
            } else {
                Some(self.value(next, depth + 1)?)
            };
            let next = self.next()?;
            let (value, inner) = self.value(next, depth + 1)?;
            height = height.max(inner + 1);
            match key {
                Some((key, inner)) => {
                    height = height.max(inner + 1);
                    pairs.add(key, value)?;
                }
                None => pairs.merge(value)?,
            }
        }
    }

    fn alias(&mut self, id: usize, mark: Marker, depth: usize) -> Result<(Yaml, usize), Mistake> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Mistake::mark(mark, "an alias that contains itself"));
        };
        let (size, height) = (anchored.size, anchored.height);
        if depth - 1 + height > MAX_DEPTH {
            let problem =
                format!("nesting deeper than {MAX_DEPTH} levels once aliases are expanded");
            return Err(Mistake::mark(mark, problem));
        }
        // Before anything is copied.
        self.grow(size.count, mark, " once aliases are expanded")?;
        self.size.bytes += size.bytes;
        self.copy(size, (mark.line(), mark.col() + 1))?;
        Ok((self.anchors[&id].value.clone(), height))
    }

    fn copy(&mut self, size: Size, (line, column): (usize, usize)) -> Result<(), Mistake> {
        self.copied += VALUE_BYTES * size.count + size.bytes;
        if self.copied > MAX_COPIED {
            return Err(Mistake {
                line,
                column,
                problem: "aliases copy too much; write shorter texts, or fewer aliases".to_owned(),
            });
        }
        Ok(())
    }

    fn grow(&mut self, by: usize, mark: Marker, when: &str) -> Result<(), Mistake> {
        self.size.count += by;
        if self.size.count > MAX_NODES {
            let problem = format!("more than {MAX_NODES} values{when}");
            return Err(Mistake::mark(mark, problem));
        }
        Ok(())
    }
}

fn null_at(mark: Marker) -> Yaml {
    Yaml {
        value: YamlValue::Scalar(Snap::Null),
        line: mark.line(),
        column: mark.col() + 1,
        text_line: mark.line(),
    }
}

fn is_merge(event: &Event) -> bool {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, _, None) => kind_of(text) == Kind::Merge,
        Event::Scalar(_, _, _, Some(tag)) => standard(tag) == Some("merge"),
        _ => false,
    }
}

const STANDARD: &str = "tag:yaml.org,2002:";

/// Returns the name of a tag of YAML itself, such as `int`.
fn standard(tag: &Tag) -> Option<&str> {
    if tag.handle == STANDARD {
        return Some(&tag.suffix);
    }
    // A verbatim tag: !<tag:yaml.org,2002:int>
    let is_whole = tag.handle.is_empty() || tag.handle == "!";
    is_whole
        .then(|| tag.suffix.strip_prefix(STANDARD))
        .flatten()
}

/// Tells whether a tag is a bare `!`, which leaves a value as it is.
fn is_bare(tag: &Tag) -> bool {
    (tag.handle.is_empty() && tag.suffix == "!") || (tag.handle == "!" && tag.suffix.is_empty())
}

fn scalar_kind(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    mark: Marker,
) -> Result<Kind, Mistake> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(kind_of(text)),
        None => Ok(Kind::Str),
        Some(tag) if is_bare(tag) => Ok(kind_of(text)),
        Some(tag) => {
            let kind = standard(tag).and_then(kind_of_tag);
            kind.ok_or_else(|| unknown_tag(tag, mark))
        }
    }
}

fn expect_tag(tag: Option<Cow<Tag>>, name: &str, mark: Marker) -> Result<(), Mistake> {
    match tag {
        Some(tag) if !is_bare(&tag) && standard(&tag) != Some(name) => Err(unknown_tag(&tag, mark)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, mark: Marker) -> Mistake {
    let problem = format!(
        "tag '{}{}' is not supported here; write plain mappings, lists and scalars without it",
        tag.handle, tag.suffix
    );
    Mistake::mark(mark, problem)
}
