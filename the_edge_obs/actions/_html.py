"""The readable part of a web page, read in linear time whatever the page contains.

A tokenizer that follows the rules of https://html.spec.whatwg.org/multipage/parsing.html#tokenization as far as text and
links need them. html.parser of the supported Pythons takes quadratic time for unclosed tags, comments and declarations, and
raises for some. Here every character is read once, and a construct without an end ends the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit

from ._connection import Deadline

# Elements whose content is not shown to people.
_HIDDEN: Final = frozenset({"script", "style", "template"})
# Elements whose content is text without tags; character references still count in a title and a text area.
_RAW: Final = frozenset({"iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"})
_WITH_REFERENCES: Final = frozenset({"textarea", "title"})
# Elements that begin and end a line, as browsers lay them out.
_LINES: Final = frozenset(
    "address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li "
    "main nav ol option p pre section table tr ul".split()
)
# The longest URL of a link, in characters: RFC 9110, section 4.1, recommends at least 8,000.
_MAX_URL: Final = 8_192
# How many tags are read between two checks of the deadline.
_TAGS: Final = 256

# None of these backtracks: the character after a part can never be a character of the part.
_NAME: Final = re.compile(r"[A-Za-z][^\t\n\f\r />]*")
_ATTRIBUTE: Final = re.compile(r"""[\t\n\f\r /]*([^\t\n\f\r />][^\t\n\f\r />=]*)[\t\n\f\r ]*(?:=[\t\n\f\r ]*(["']?))?""")
_UNQUOTED: Final = re.compile(r"[^\t\n\f\r >]*")
_TO_TAG_END: Final = re.compile(r"[\t\n\f\r /]*")
_COMMENT_END: Final = re.compile(r"--!?>")
_RAW_END: Final = {name: re.compile(f"</{name}(?=[\\t\\n\\f\\r />])", re.IGNORECASE) for name in _RAW}
# int() refuses more than 4,300 digits, including leading zeros; a code point has at most 7.
_ZEROS: Final = re.compile(r"&#(?:0+(?=[0-9])|([xX])0+(?=[0-9a-fA-F]))")
_HUGE: Final = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{7,});?")


def read_page(html: str, url: str, deadline: Deadline, most_links: int) -> tuple[str, str, list[str]]:
    """Return a page's title, its text (one line per block, whitespace folded) and its links (absolute, each once).

    Args:
        html: The page.
        url: Its URL; relative links are resolved against it, or against the page's own ``<base>``.
        deadline: When reading must be done.
        most_links: The largest number of links to collect.

    Raises:
        TimeoutError: The deadline passed before the page was read.
    """
    reader = _PageReader(url, most_links)
    for count, _ in enumerate(reader.tags(html)):
        if not count % _TAGS:
            deadline.left()
    lines = (" ".join(line.split()) for line in "".join(reader.text).split("\n"))
    return " ".join("".join(reader.title).split()), "\n".join(line for line in lines if line), list(reader.links)


class _PageReader:
    """Reads a page tag by tag, and keeps the text that people read."""

    def __init__(self, url: str, most_links: int) -> None:
        self.title: list[str] = []
        self.text: list[str] = []
        self.links: dict[str, None] = {}  # a dict keeps the order of first sight
        self._most_links = most_links
        self._seen: set[str] = set()
        self._base = url
        self._hidden = 0
        self._in_title = False

    def tags(self, html: str) -> Iterator[int]:
        """Yield after each tag, comment or lone ``<``."""
        position = 0
        while position < len(html):
            start = html.find("<", position)
            self._data(html[position:] if start < 0 else html[position:start])
            if start < 0:
                return
            position = self._markup(html, start)
            yield position

    def _markup(self, html: str, start: int) -> int:
        """Read the construct that begins with the ``<`` at ``start``, and return where it ends."""
        following = html[start + 1 : start + 2]
        if name := _NAME.match(html, start + 1):
            return self._start_tag(html, name)
        if following == "/":
            return self._end_tag(html, start)
        if html.startswith("<!--", start):
            # The search begins at the second character: <!--> is a whole comment.
            end = _COMMENT_END.search(html, start + 2)
            return end.end() if end else len(html)
        if following in ("!", "?") and following:
            return _after(html, ">", start)
        self._data("<")
        return start + 1

    def _start_tag(self, html: str, name: re.Match[str]) -> int:
        tag = name.group().lower()
        attributes: dict[str, str] = {}
        end = _attributes(html, name.end(), attributes if tag in ("a", "area", "base") else None)
        if end is None:
            return len(html)  # a tag without an end is not a tag
        self._open(tag, attributes.get("href"))
        if tag not in _RAW:
            return end
        closing = _RAW_END[tag].search(html, end)
        content = html[end : closing.start() if closing else len(html)]
        self._data(content, references=tag in _WITH_REFERENCES)
        return closing.start() if closing else len(html)

    def _end_tag(self, html: str, start: int) -> int:
        name = _NAME.match(html, start + 2)
        if name is None:
            return _after(html, ">", start)  # </> and </ followed by anything else: a comment
        end = _attributes(html, name.end(), None)
        if end is None:
            return len(html)
        self._close(name.group().lower())
        return end

    def _open(self, tag: str, href: str | None) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "title":
            # Only the first title is the page's; an SVG image further down may have its own.
            self._in_title = not self.title
        elif tag in _LINES:
            self.text.append("\n")
        elif tag in ("td", "th"):
            self.text.append(" ")
        if href is not None and len(href) <= _MAX_URL:
            self._refer(tag, unescaped(href).strip())

    def _close(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "title":
            self._in_title = False
        elif tag in _LINES:
            self.text.append("\n")

    def _data(self, data: str, *, references: bool = True) -> None:
        if not data or (self._hidden and not self._in_title):
            return
        text = unescaped(data) if references else data
        # A line break in the source is a space on the page.
        self.title.append(text) if self._in_title else self.text.append(text.replace("\n", " "))

    def _refer(self, tag: str, href: str) -> None:
        """Store the target of a link, or the base of all links."""
        if tag == "base":
            self._base = self._absolute(href) or self._base
        elif len(self.links) < self._most_links and href not in self._seen and not href.startswith("#"):
            self._seen.add(href)
            if link := self._absolute(href):
                self.links.setdefault(link)

    def _absolute(self, href: str) -> str | None:
        try:
            link = urldefrag(urljoin(self._base, href)).url
            parts = urlsplit(link)
        except ValueError:
            return None  # browsers cannot follow such a link either
        fits = parts.scheme in ("http", "https") and parts.netloc and len(link) <= _MAX_URL
        return link if fits else None


def unescaped(text: str) -> str:
    """Return a text with its character references replaced, as ``html.unescape`` does, but of any length."""
    if "&" not in text:
        return text
    return unescape(_HUGE.sub("\ufffd", _ZEROS.sub(r"&#\1", text)))


def _attributes(html: str, position: int, kept: dict[str, str] | None) -> int | None:
    """Read the attributes of a tag, and return where the tag ends, or None without an end; of equal names the first counts."""
    while True:
        position = _end_of(_TO_TAG_END, html, position)
        if html.startswith(">", position):
            return position + 1
        attribute = _ATTRIBUTE.match(html, position)
        if attribute is None:
            return None
        quote, position = attribute.group(2), attribute.end()
        end = position
        if quote:
            end = html.find(quote, position)
            if end < 0:
                return None
        elif quote is not None:
            end = _end_of(_UNQUOTED, html, position)
        if kept is not None:
            kept.setdefault(attribute.group(1).lower(), html[position:end])
        position = end + len(quote or "")


def _end_of(pattern: re.Pattern[str], html: str, position: int) -> int:
    match = pattern.match(html, position)
    assert match is not None  # the pattern also matches an empty string
    return match.end()


def _after(html: str, mark: str, position: int) -> int:
    end = html.find(mark, position)
    return len(html) if end < 0 else end + len(mark)
