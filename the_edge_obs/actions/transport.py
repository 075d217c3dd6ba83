"""HTTP for the actions that need it: urllib with the safeguards that urllib lacks.

Only http and https are opened, also by redirects. A redirect to another origin keeps only a few harmless headers. A body is
read up to a cap. One deadline covers the whole call, from the name lookup to the last byte. A request inside a flow carries
its ``traceparent``. Every failure outside of this process is a ``TransportError``, which can be turned into a soft failure;
only bad parameters raise ``ActionError``.
"""

from __future__ import annotations

import http.client
import re
import string
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from functools import cache
from typing import Any, Final

from ..errors import ActionError
from ..instrumentation.trace_headers import inject
from ..text import known_charset
from ._connection import Deadline, open_request
from ._support import failure, positive

_PIECE: Final = 65_536
# How many bytes of an error's body are kept for its explanation.
_ERROR_BODY: Final = 65_536
# The limit of browsers (https://fetch.spec.whatwg.org/#http-redirect-fetch).
_MAX_REDIRECTS: Final = 20
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Headers that are sent to another origin. An allow-list, because secrets have any name: X-Auth-Token, apikey, DD-API-KEY ...
_PUBLIC_HEADERS: Final = frozenset({"accept", "accept-encoding", "accept-language", "traceparent", "tracestate", "user-agent"})
# Headers that describe a body; dropped with it when a redirect turns a POST into a GET (RFC 9110, section 15.4).
_BODY_HEADERS: Final = frozenset(
    {"content-encoding", "content-language", "content-length", "content-location", "content-type", "transfer-encoding"}
)
# RFC 9110, section 5.6.2.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Characters that stay as they are in a URL (RFC 3986); all others are percent-encoded.
_URL_CHARACTERS: Final = "%/:=&?~#+!$,;'@()*[]"
_CHARSET: Final = re.compile(r""";\s*charset\s*=\s*["']?([^\s;"',]{1,40})""", re.IGNORECASE)
# How many characters of a content type are read.
_CONTENT_TYPE: Final = 1_000


class TransportError(Exception):
    """A request without a usable answer; ``error_type`` is timeout, connection or http_error."""

    def __init__(self, message: str, error_type: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.response = response

    def as_result(self, **facts: Any) -> dict[str, Any]:
        """Return this error as a soft failure."""
        return failure(str(self), self.error_type, **facts)


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        action: The action that makes it; error messages begin with it.
        method: GET or POST.
        url: An http or https URL.
        headers: Header names and values; a value of None is left out.
        params: Query parameters, added to those in the URL; a list repeats its key, None is left out.
        body: The body, or None.
        timeout: Seconds for the whole call: name lookup, connecting, redirects, headers and body.
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
    """A response: the URL after redirects, the status, headers with lowercase names, the body up to its cap."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    truncated: bool

    @property
    def media_type(self) -> str:
        """The content type in lowercase, without its parameters; an empty string when none was sent."""
        return self._content_type.partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset in the content type, or None when there is none that Python knows."""
        named = _CHARSET.search(self._content_type)
        return known_charset(named.group(1)) if named else None

    @property
    def _content_type(self) -> str:
        return self.headers.get("content-type", "")[:_CONTENT_TYPE]

    def text(self) -> str:
        """Return the body decoded by its charset, or by UTF-8 without one; invalid bytes become U+FFFD."""
        return self.body.decode(self.charset or "utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is not read yet.

    Attributes:
        url: The URL after redirects.
        http: The answer of ``http.client``.
        deadline: When reading must be done; a reader that is allowed more time renews it.
    """

    url: str
    http: http.client.HTTPResponse
    deadline: Deadline

    def read(self, max_bytes: int) -> Response:
        """Read the body, up to ``max_bytes`` bytes.

        Raises:
            TransportError: The body does not end within the deadline, or the connection breaks off.
        """
        pieces, left = [], max_bytes + 1
        try:
            while left > 0 and (piece := self.http.read1(min(left, _PIECE))):
                pieces.append(piece)
                left -= len(piece)
        except TimeoutError as error:
            raise TransportError(f"the body did not end within {self.deadline.seconds} s", "timeout") from error
        body = b"".join(pieces)
        if left > 0 and getattr(self.http, "length", None):
            # http.client does not tell a connection that broke off from the end of the body.
            raise TransportError(f"the connection broke off after {len(body)} bytes", "connection")
        return Response(self.url, self.http.status, _headers(self.http.headers), body[:max_bytes], len(body) > max_bytes)


def fetch(request: Request, max_bytes: int) -> Response:
    """Send a request and read its answer, up to ``max_bytes`` bytes.

    Raises:
        ActionError: The request is invalid: a URL that is not http(s), a header with a line break.
        TransportError: No answer came, or it came late, or its status is not 2xx (then with its response).
    """
    with opened(request) as answer:
        return answer.read(max_bytes)


@contextmanager
def opened(request: Request) -> Iterator[Answer]:
    """Send a request, follow its redirects, and yield the answer with its body unread.

    Errors while it is read become a ``TransportError`` too.

    Raises:
        ActionError, TransportError: As in ``fetch``.
    """
    deadline = Deadline(positive(request.action, "timeout", request.timeout))
    first = _first_hop(request)
    try:
        answer = _followed(request.action, first, deadline)
        with answer.http:
            if not 200 <= answer.http.status < 300:
                raise _status_error(answer)
            yield answer
    except (OSError, http.client.HTTPException) as error:
        raise _network_error(error, request) from error


@dataclass(frozen=True, slots=True)
class _Hop:
    """One request of a chain of redirects."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


def _first_hop(request: Request) -> _Hop:
    url = checked_url(request.action, request.url, request.params)
    headers = {"User-Agent": user_agent(), "Accept": "*/*"}
    headers.update({str(name).strip().title(): str(value) for name, value in request.headers.items() if value is not None})
    for name, value in headers.items():
        if not _is_header(name, value):
            problem = f"header {name!r} has an invalid name, or a value with a line break or non-Latin-1 characters"
            raise ActionError(f"{request.action}: {problem}")
    if not any(name.lower() == "traceparent" for name in headers):
        inject(headers)
    return _Hop(request.method, url, headers, request.body)


def _followed(action: str, hop: _Hop, deadline: Deadline) -> Answer:
    """Send a request and follow redirects; return the final answer."""
    for _ in range(_MAX_REDIRECTS + 1):
        sent = urllib.request.Request(hop.url, data=hop.body, headers=dict(hop.headers), method=hop.method)
        answer = Answer(hop.url, open_request(sent, deadline), deadline)
        try:
            following = _redirected(action, hop, answer.http)
        except TransportError:
            answer.http.close()
            raise
        if following is None:
            return answer
        # The body of a redirect is not read: it could be endless.
        answer.http.close()
        hop = following
    problem = f"more than {_MAX_REDIRECTS} redirects, the last one to {hop.url}"
    raise TransportError(problem, "http_error", Response(answer.url, answer.http.status, {}, b"", True))


def _redirected(action: str, hop: _Hop, answer: http.client.HTTPResponse) -> _Hop | None:
    """Return the request that an answer redirects to, or None when it is not a redirect to follow."""
    location = answer.headers.get("location")
    if answer.status not in _REDIRECTS or location is None:
        return None
    if hop.method != "GET" and answer.status in (307, 308):
        return None  # it asks for the same POST elsewhere, which is the flow's decision
    url = _target(action, hop.url, location)
    headers = hop.headers
    if hop.method != "GET":
        headers = {name: value for name, value in headers.items() if name.lower() not in _BODY_HEADERS}
    if _origin(url) != _origin(hop.url):
        headers = {name: value for name, value in headers.items() if name.lower() in _PUBLIC_HEADERS}
    return _Hop("GET", url, headers, None)


def _target(action: str, url: str, location: str) -> str:
    try:
        # http.client decodes headers as Latin-1; encoding it again restores the bytes of the location that were sent.
        joined = urllib.parse.urljoin(url, urllib.parse.quote(location, safe=string.punctuation, encoding="iso-8859-1"))
        return checked_url(action, joined)
    except (ActionError, ValueError) as error:
        problem = str(error).removeprefix(f"{action}: ")
        raise TransportError(f"{url} redirects to a URL that is not allowed: {problem}", "http_error") from error


def checked_url(action: str, url: object, params: Mapping[str, Any] | None = None) -> str:
    """Return the URL with its query parameters, percent-encoded and without its fragment.

    Raises:
        ActionError: It is not an http or https URL with a host, or it contains credentials.
    """
    pairs = [(key, value) for key, value in (params or {}).items() if value is not None]
    try:
        parts = urllib.parse.urlsplit(str(url).strip())
        host, _ = parts.hostname, parts.port
        netloc = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
        query = "&".join(part for part in (parts.query, urllib.parse.urlencode(pairs, doseq=True)) if part)
        path, query = (urllib.parse.quote(part, safe=_URL_CHARACTERS) for part in (parts.path or "/", query))
    except ValueError as error:
        raise ActionError(f"{action}: url {url!r} cannot be parsed ({error}); give http://host/path") from error
    if "@" in parts.netloc:
        raise ActionError(f"{action}: the url for {host} contains credentials; send them as a header: Authorization: Basic ...")
    if parts.scheme not in ("http", "https") or not host:
        problem = f"url {url!r} is not an http or https URL with a host; allowed: http://..., https://..."
        raise ActionError(f"{action}: {problem}")
    return urllib.parse.urlunsplit((parts.scheme, netloc, path, query, ""))


def _is_header(name: str, value: str) -> bool:
    return (
        _HEADER_NAME.fullmatch(name) is not None
        and not set(value) & {"\r", "\n", "\0"}
        and all(ord(character) < 256 for character in value)
    )


@cache
def user_agent() -> str:
    """Return the user agent of requests: ``the_edge_obs/<version>``."""
    from importlib.metadata import version

    return f"the_edge_obs/{version('the_edge_obs')}"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _headers(headers: Message) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def _status_error(answer: Answer) -> TransportError:
    status = answer.http.status
    try:
        response = answer.read(_ERROR_BODY)
    except (OSError, http.client.HTTPException, TransportError):
        response = Response(answer.url, status, _headers(answer.http.headers), b"", True)  # the status alone is enough
    reason = " ".join(answer.http.reason.split())
    return TransportError(f"HTTP {status} {reason} from {answer.url}".replace("  ", " "), "http_error", response)


def _network_error(error: OSError | http.client.HTTPException, request: Request) -> TransportError:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return TransportError(f"no answer from {request.url} within {request.timeout} s", "timeout")
    return TransportError(f"no answer from {request.url}: {cause or type(cause).__name__}", "connection")
