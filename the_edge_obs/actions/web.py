"""``web.fetch``: a web page as a title, readable text and links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..text import known_charset
from ._support import count_of, failure, mapping_of

if TYPE_CHECKING:
    from ._connection import Deadline
    from .transport import Response

DEFAULT_MAX_BYTES: Final = 5 * 1024 * 1024
DEFAULT_MAX_CHARS: Final = 100_000
_MAX_LINKS: Final = 1_000
# The charset that a page declares itself: as HTML's prescan, only the first 1024 bytes are searched.
_META_CHARSET: Final = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_HTML: Final = ("text/html", "application/xhtml+xml", "")
_TEXT: Final = re.compile(r"text/.*|application/(.*\+)?(json|xml)")


def web_fetch(
    state: Mapping[str, Any],
    *,
    url: str,
    headers: Mapping[str, Any] | None = None,
    timeout: float = 30.0,
    max_bytes: int = DEFAULT_MAX_BYTES,
    max_chars: int = DEFAULT_MAX_CHARS,
) -> dict[str, Any]:
    """Fetch a page and return the text that people read on it.

    Scripts and styles are dropped and whitespace is folded; each paragraph, heading, row or list item is one line. JavaScript
    does not run.

    Args:
        state: The flow's state; not used.
        url: An http or https URL.
        headers: Request headers; None is left out.
        timeout: Seconds for the whole call: name lookup, connecting, redirects, the page, and reading its text.
        max_bytes: How many bytes of the page are read; the rest is cut.
        max_chars: How many characters of text are returned; the rest is cut.

    Returns:
        ``{"success": True, "url": after redirects, "status": int, "title": str, "text": str, "links": [absolute http(s)
        URLs, each once, at most 1000], "truncated": whether a cap cut the page or its text}``. Plain text, JSON and XML
        are returned unchanged, with an empty title and no links. Soft failures have ``error_type`` ``http_error`` (a status
        that is not 2xx; then with status), ``timeout``, ``connection`` or ``unsupported_content`` (an image, a PDF ...).

    Raises:
        ActionError: The url is not http or https, or a parameter has the wrong type.
    """
    from .transport import Request, TransportError, opened

    limit, chars = count_of("web.fetch", "max_bytes", max_bytes), count_of("web.fetch", "max_chars", max_chars)
    given = {"Accept": "text/html, text/*;q=0.9, */*;q=0.5", **mapping_of("web.fetch", "headers", headers)}
    try:
        with opened(Request("web.fetch", "GET", url, given, {}, None, timeout)) as answer:
            response = answer.read(limit)
            if response.media_type not in _HTML and not _TEXT.fullmatch(response.media_type):
                problem = f"{response.url} is {response.media_type}, which has no text; use http.get for other content"
                return failure(problem, "unsupported_content", url=response.url, status=response.status)
            title, text, links = _readable(response, answer.deadline)
    except TransportError as error:
        return error.as_result(url=url, **({"status": error.response.status} if error.response else {}))
    cut = response.truncated or len(title) > chars or len(text) > chars or len(links) > _MAX_LINKS
    return {
        "success": True,
        "url": response.url,
        "status": response.status,
        "title": title[:chars],
        "text": text[:chars],
        "links": links[:_MAX_LINKS],
        "truncated": cut,
    }


def _readable(response: Response, deadline: Deadline) -> tuple[str, str, list[str]]:
    if response.media_type not in _HTML:
        return "", response.text(), []
    from ._html import read_page
    from .transport import TransportError

    try:
        return read_page(_decoded(response), response.url, deadline, _MAX_LINKS + 1)
    except TimeoutError as error:
        problem = f"the text of {response.url} was not read within {deadline.seconds} s"
        raise TransportError(problem, "timeout", response) from error


def _decoded(response: Response) -> str:
    declared = _META_CHARSET.search(response.body[:1024])
    charset = response.charset or known_charset(declared.group(1).decode() if declared else None)
    return response.body.decode(charset or "utf-8", errors="replace")
