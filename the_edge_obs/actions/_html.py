"""A web page's readable part, with the parser of the standard library."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit

# What is on the page but not read by people.
_HIDDEN: Final = frozenset({"script", "style", "template"})
# Elements that begin and end a line, as browsers lay them out.
_LINES: Final = frozenset(
    "address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li "
    "main nav ol option p pre section table tr ul".split()
)


def read_page(html: str, url: str) -> tuple[str, str, list[str]]:
    """Return a page's title, its text (one line a block, whitespace folded) and its links (absolute, each once).

    Args:
        html: The page.
        url: Where it is from; relative links start there, or at the page's own ``<base>``.
    """
    reader = _PageReader(url)
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.text).split("\n"))
    return " ".join("".join(reader.title).split()), "\n".join(line for line in lines if line), list(reader.links)


class _PageReader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.text: list[str] = []
        self.links: dict[str, None] = {}  # a dict keeps the order of first sight
        self._base = url
        self._hidden = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "title":
            # Only the first title is the page's; an SVG image further down may have its own.
            self._in_title = not self.title
        elif tag in _LINES:
            self.text.append("\n")
        elif tag in ("td", "th"):
            self.text.append(" ")
        if tag == "base" and given.get("href"):
            self._base = self._absolute(given["href"] or "") or self._base
        elif tag in ("a", "area") and (link := self._absolute(given.get("href") or "#")):
            self.links.setdefault(link)

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "title":
            self._in_title = False
        elif tag in _LINES:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._hidden:
            # A line break in the source is a space on the page.
            self.text.append(data.replace("\n", " "))

    def _absolute(self, href: str) -> str | None:
        try:
            link = urldefrag(urljoin(self._base, href.strip())).url
            parts = urlsplit(link)
        except ValueError:
            return None  # a link that no browser could follow either
        same_page = href.strip().startswith("#")
        return link if parts.scheme in ("http", "https") and parts.netloc and not same_page else None
