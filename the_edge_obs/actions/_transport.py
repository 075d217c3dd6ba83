"""HTTP for the actions that need it: urllib with the habits that urllib lacks.

Only http and https are opened, redirects included; credentials do not follow a redirect to another origin; a body is
read up to a cap; and a request inside a flow carries its ``traceparent``. Everything that the world can do to a request
is a ``TransportError``, which knows its soft failure; only bad parameters raise ``ActionError``.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from functools import cache
from typing import IO, Any, Final

from ..context import inject
from ..errors import ActionError
from ._support import failure, positive

_PIECE: Final = 65_536
# Bytes of an error's body that are kept, so that its explanation can be read.
_ERROR_BODY: Final = 65_536
_PRIVATE_HEADERS: Final = ("authorization", "cookie", "proxy-authorization", "x-api-key", "api-key")
# RFC 9110, section 5.6.2.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 3986: what may stand in a URL as it is; everything else is percent-encoded.
_URL_CHARACTERS: Final = "%/:=&?~#+!$,;'@()*[]"


class TransportError(Exception):
    """A request that got no usable answer; ``error_type`` is timeout, connection or http_error."""

    def __init__(self, message: str, error_type: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.response = response

    def as_result(self, **facts: Any) -> dict[str, Any]:
        """Return the soft failure that stands for this error."""
        return failure(str(self), self.error_type, **facts)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        action: The action that asks; it begins error messages.
        method: GET or POST.
        url: An http or https URL.
        headers: Header names and values; a value of None is left out.
        params: Query parameters, added to those in the URL; a list repeats its key, None is left out.
        body: The body, or None.
        timeout: Seconds for the connection, for each silence of the server, and for a whole body that is read at once.
    """

    action: str
    method: str
    url: str
    headers: Mapping[str, Any]
    params: Mapping[str, Any]
    body: bytes | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: the URL after redirects, the status, headers with lowercase names, the body up to its cap."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    truncated: bool

    @property
    def media_type(self) -> str:
        """The content type without its parameters, lowercase; an empty string when none was sent."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset that the content type names, or None when it names none that Python knows."""
        message = Message()
        message["content-type"] = self.headers.get("content-type", "")
        return known_charset(message.get_content_charset())

    def text(self) -> str:
        """Return the body as text: its own charset, else UTF-8; bytes that do not fit become U+FFFD."""
        return self.body.decode(self.charset or "utf-8", errors="replace")


def known_charset(name: str | None) -> str | None:
    """Return the name of a text encoding when Python knows it, else None."""
    try:
        return name if name and " ".encode(name) else None
    except LookupError:
        return None


def fetch(request: Request, max_bytes: int) -> Response:
    """Send a request and read its answer, up to ``max_bytes`` bytes.

    Raises:
        ActionError: the request cannot be sent as it is: a URL that is not http(s), a header with a line break.
        TransportError: no answer, a late one, or one with a status of 400 or above (then with its response).
    """
    deadline = time.monotonic() + positive(request.action, "timeout", request.timeout)
    with opened(request) as (answer, url):
        body, truncated = _read(answer, max_bytes, deadline, request.timeout)
        return Response(url, answer.status, _headers(answer.headers), body, truncated)


@contextmanager
def opened(request: Request) -> Iterator[tuple[http.client.HTTPResponse, str]]:
    """Send a request and hold its answer open: yield the answer, whose body is unread, and its URL.

    Whatever goes wrong while it is read becomes a ``TransportError`` too.

    Raises:
        ActionError, TransportError: as in ``fetch``.
    """
    prepared = _prepared(request)
    try:
        with _opener().open(prepared, timeout=request.timeout) as answer:
            yield answer, answer.url
    except urllib.error.HTTPError as error:
        with error:
            raise _status_error(error, request.timeout) from error
    except (OSError, http.client.HTTPException) as error:
        raise _network_error(error, request) from error


def _prepared(request: Request) -> urllib.request.Request:
    positive(request.action, "timeout", request.timeout)
    url = checked_url(request.action, request.url, request.params)
    headers = {"User-Agent": user_agent(), "Accept": "*/*"}
    headers.update({str(name).strip().title(): str(value) for name, value in request.headers.items() if value is not None})
    for name, value in headers.items():
        if not _is_header(name, value):
            raise ActionError(f"{request.action}: header {name!r} has no valid name, or a line break or non-Latin-1 value")
    if not any(name.lower() == "traceparent" for name in headers):
        inject(headers)
    return urllib.request.Request(url, data=request.body, headers=headers, method=request.method)


def checked_url(action: str, url: object, params: Mapping[str, Any] | None = None) -> str:
    """Return the URL with its query parameters, percent-encoded, without its fragment.

    Raises:
        ActionError: it is not an http or https URL with a host, or it holds credentials.
    """
    try:
        parts = urllib.parse.urlsplit(str(url).strip())
        host, _ = parts.hostname, parts.port
        netloc = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    except ValueError as error:
        raise ActionError(f"{action}: url {url!r} cannot be read ({error}); give http://host/path") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ActionError(f"{action}: url {url!r} is no http or https URL with a host; allowed: http://..., https://...")
    if "@" in parts.netloc:
        raise ActionError(f"{action}: the url for {host} holds credentials; send them as a header: Authorization: Basic ...")
    pairs = [(key, value) for key, value in (params or {}).items() if value is not None]
    query = "&".join(part for part in (parts.query, urllib.parse.urlencode(pairs, doseq=True)) if part)
    path, query = (urllib.parse.quote(part, safe=_URL_CHARACTERS) for part in (parts.path or "/", query))
    return urllib.parse.urlunsplit((parts.scheme, netloc, path, query, ""))


def _is_header(name: str, value: str) -> bool:
    return (
        _HEADER_NAME.fullmatch(name) is not None
        and not set(value) & {"\r", "\n", "\0"}
        and all(ord(character) < 256 for character in value)
    )


@cache
def user_agent() -> str:
    """Return what requests call themselves: ``the_edge_obs/<version>``."""
    from importlib.metadata import version

    return f"the_edge_obs/{version('the_edge_obs')}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https only, and keep credentials from other origins (RFC 9110, section 15.4)."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise TransportError(f"{req.full_url} redirects to {newurl!r}, which is neither http nor https", "http_error")
        # Python 3.10 does not know 308, which differs from 307 only in being for good.
        following = super().redirect_request(req, fp, 307 if code == 308 else code, msg, headers, newurl)
        if following is not None and _origin(newurl) != _origin(req.full_url):
            for name in [name for name in following.headers if name.lower() in _PRIVATE_HEADERS]:
                following.remove_header(name)
        return following

    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


@cache
def _opener() -> urllib.request.OpenerDirector:
    # Built by hand: urllib's own opener would open file:, ftp: and data: URLs too.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _read(
    answer: http.client.HTTPResponse | urllib.error.HTTPError, max_bytes: int, deadline: float, timeout: float
) -> tuple[bytes, bool]:
    # The socket's timeout ends with every byte that trickles in; the deadline does not.
    pieces, left = [], max_bytes + 1
    while left > 0 and (piece := answer.read1(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
        if time.monotonic() > deadline:
            raise TransportError(f"the body did not end within {timeout} s", "timeout")
    body = b"".join(pieces)
    if left > 0 and getattr(answer, "length", None):
        # http.client takes a connection that breaks off for the end of the body.
        raise TransportError(f"the connection broke off after {len(body)} bytes", "connection")
    return body[:max_bytes], len(body) > max_bytes


def _headers(headers: Message) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def _status_error(error: urllib.error.HTTPError, timeout: float) -> TransportError:
    try:
        body, cut = _read(error, _ERROR_BODY, time.monotonic() + timeout, timeout)
    except (OSError, http.client.HTTPException, TransportError):
        body, cut = b"", True  # the status says enough
    response = Response(error.url, error.code, _headers(error.headers), body, cut)
    reason = " ".join(str(error.reason).split())
    return TransportError(f"HTTP {error.code} {reason} from {error.url}", "http_error", response)


def _network_error(error: OSError | http.client.HTTPException, request: Request) -> TransportError:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return TransportError(f"no answer from {request.url} within {request.timeout} s", "timeout")
    return TransportError(f"no answer from {request.url}: {cause or type(cause).__name__}", "connection")
