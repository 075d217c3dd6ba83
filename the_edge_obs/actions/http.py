"""``http.get`` and ``http.post``: one request, its answer as a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..errors import ActionError
from ._support import count_of, failure, json_bytes, mapping_of, parsed_json

DEFAULT_TIMEOUT: Final = 30.0
DEFAULT_MAX_BYTES: Final = 10 * 1024 * 1024


def http_get(
    state: Mapping[str, Any],
    *,
    url: str,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> dict[str, Any]:
    """Make an HTTP GET request.

    Inside a flow the request carries a W3C ``traceparent`` header. Redirects are followed; credentials do not follow
    them to another origin.

    Args:
        state: The flow's state; not used.
        url: An http or https URL.
        params: Query parameters, added to those in the URL; a list repeats its key, None is left out.
        headers: Request headers; None is left out.
        timeout: Seconds for the whole call: name lookup, connecting, redirects, headers and body.
        max_bytes: The largest body to accept, in bytes.

    Returns:
        ``{"success": True, "status": int, "headers": {lowercase name: value}, "body": parsed JSON or text,
        "url": after redirects}``. A JSON content type is parsed (an empty body is None); any other body is text.
        Soft failures have ``error_type`` ``http_error`` (a status that is not 2xx; then with status, headers and body
        too), ``timeout``, ``connection``, ``too_large`` or ``parse`` (a JSON content type, but invalid JSON).

    Raises:
        ActionError: The url is not http or https, or a parameter has the wrong type.
    """
    return _exchange("http.get", "GET", url, params, headers, None, timeout, max_bytes)


def http_post(
    state: Mapping[str, Any],
    *,
    url: str,
    json: Any = None,
    body: str | bytes | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> dict[str, Any]:
    """Make an HTTP POST request.

    Args:
        state: The flow's state; not used.
        url: An http or https URL.
        json: A value to send as JSON; None for no JSON body.
        body: The body to send unchanged, instead of ``json``: text (sent as UTF-8) or bytes.
        params: As in ``http.get``.
        headers: As in ``http.get``; a ``Content-Type`` here wins over ``application/json`` and ``text/plain``.
        timeout: As in ``http.get``.
        max_bytes: As in ``http.get``.

    Returns:
        As in ``http.get``.

    Raises:
        ActionError: As in ``http.get``; or both json and body are given, or one cannot be sent.
    """
    if json is not None and body is not None:
        raise ActionError("http.post: json and body are both given; give one")
    payload, content_type = _payload(json, body)
    given = mapping_of("http.post", "headers", headers)
    if content_type is not None and not any(str(name).lower() == "content-type" for name in given):
        given = {**given, "Content-Type": content_type}
    return _exchange("http.post", "POST", url, params, given, payload, timeout, max_bytes)


def _payload(value: Any, body: object) -> tuple[bytes, str | None]:
    if value is not None:
        return json_bytes("http.post", "json", value), "application/json"
    if body is None:
        return b"", None
    if isinstance(body, str):
        return _encoded(body), "text/plain; charset=utf-8"
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    raise ActionError(f"http.post: body is {body!r}; it must be text or bytes; use json for other values")


def _encoded(body: str) -> bytes:
    try:
        return body.encode()
    except UnicodeEncodeError as error:
        problem = f"http.post: body has {body[error.start]!r} at position {error.start}, which UTF-8 cannot encode; give bytes"
        raise ActionError(problem) from error


def _exchange(
    action: str,
    method: str,
    url: str,
    params: Mapping[str, Any] | None,
    headers: Mapping[str, Any] | None,
    body: bytes | None,
    timeout: float,
    max_bytes: int,
) -> dict[str, Any]:
    from .transport import Request, TransportError, fetch

    limit = count_of(action, "max_bytes", max_bytes)
    query, names = mapping_of(action, "params", params), mapping_of(action, "headers", headers)
    try:
        response = fetch(Request(action, method, url, names, query, body, timeout), limit)
    except TransportError as error:
        if error.response is None:
            return error.as_result()
        answer = error.response
        return error.as_result(status=answer.status, headers=answer.headers, body=_lenient(answer), url=answer.url)
    facts = {"status": response.status, "headers": response.headers, "url": response.url}
    if response.truncated:
        return failure(f"{response.url} sent more than {limit} bytes; raise max_bytes to accept more", "too_large", **facts)
    try:
        return {
            "success": True,
            "status": response.status,
            "headers": response.headers,
            "body": _parsed(response),
            "url": response.url,
        }
    except ValueError as error:
        return failure(f"{response.url} sent invalid JSON: {error}", "parse", **facts, body=response.text())


def _parsed(response: Any) -> Any:
    if response.media_type == "application/json" or response.media_type.endswith("+json"):
        return parsed_json(response.body) if response.body.strip() else None
    return response.text()


def _lenient(response: Any) -> Any:
    try:
        return _parsed(response)
    except ValueError:
        return response.text()
