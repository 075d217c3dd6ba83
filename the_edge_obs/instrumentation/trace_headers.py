"""W3C Trace Context: headers that let a flow continue in another process (https://www.w3.org/TR/trace-context-2/)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

from ..context import RemoteParent, current, foreign_parents
from ..errors import ConfigurationError
from ..redaction.conversions import name_of

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# Section 3.3.1.3: a key, `=`, and up to 256 printable ASCII characters except `,` and `=`; the last one is not a blank.
_MEMBER: Final = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_MAX_MEMBERS: Final = 32
_KNOWN_FLAGS: Final = 0b11  # sampled and random; all others must be sent as 0 (section 3.2.2.5)
_BLANKS: Final = " \t"
_NAMES: Final = ("traceparent", "tracestate")


def inject(headers: MutableMapping[str, str]) -> MutableMapping[str, str]:
    """Add the W3C ``traceparent`` header of the running span, and return the headers. Outside a flow they stay unchanged.

    The value is ``00-<flow id>-<span>-<flags>``. The flags are those that ``extract`` returned for the flow, otherwise ``01``
    (sampled). The flow's ``tracestate`` is passed on unchanged. Headers of these names are replaced, in any case.

    Args:
        headers: A mutable mapping of header names to values.

    Raises:
        ConfigurationError: The headers are not a mutable mapping.

    Example:
        >>> requests.get(url, headers=obs.inject({}))
    """
    if not hasattr(type(headers), "__setitem__") or not hasattr(headers, "keys"):
        raise ConfigurationError(
            f"headers of type {name_of(type(headers))} cannot be added to; give a dict: headers = obs.inject({{}})"
        )
    span = current()
    if span is not None:
        flow = span.flow
        flow.is_abroad = True
        for key in {key for key in headers.keys() if isinstance(key, str) and key.lower() in _NAMES}:  # noqa: SIM118
            with suppress(KeyError):  # case-insensitive headers drop every spelling at once
                del headers[key]
        headers["traceparent"] = f"00-{flow.id.replace('-', '')}-{span.number:016x}-{flow.trace_flags:02x}"
        if flow.tracestate:
            headers["tracestate"] = flow.tracestate
    return headers


def extract(headers: Mapping[str, str] | Iterable[tuple[Any, Any]] | None) -> RemoteParent | None:
    """Return the remote span that a ``traceparent`` header names (in any case), or None without a valid header.

    Two ``traceparent`` headers count as none, as the standard requires. Several ``tracestate`` headers are joined. One that is
    not valid is dropped.

    Args:
        headers: A mapping of names to values, or pairs of names and values (texts or bytes, as in ASGI), or None.

    Returns:
        The remote span, for ``flow(parent=...)``, with the trace's flags and ``tracestate``.

    Raises:
        ConfigurationError: The headers are neither a mapping nor pairs.

    Example:
        >>> with obs.flow("worker", parent=obs.extract(request.headers)):
        ...     work()
    """
    values: dict[str, list[str]] = {name: [] for name in _NAMES}
    for name, value in () if headers is None else _pairs(headers):
        key = _text(name).lower()
        if key in values:
            values[key] += map(_text, value if isinstance(value, (list, tuple)) else [value])
    match = _TRACEPARENT.fullmatch(values["traceparent"][0].strip(_BLANKS)) if len(values["traceparent"]) == 1 else None
    if match is None:
        return None
    version, trace, span, flags, rest = match.groups()
    # Version 00 has exactly four fields; version ff and all-zero ids are not valid (section 3.2.2).
    if version == "ff" or (version == "00" and rest) or not int(trace, 16) or not int(span, 16):
        return None
    state = _tracestate(",".join(values["tracestate"]))
    return RemoteParent(str(uuid.UUID(hex=trace)), int(span, 16), int(flags, 16) & _KNOWN_FLAGS, state)


def continue_traces(running: Callable[[], RemoteParent | None]) -> Callable[[], None]:
    """Have flows continue the traces of another tracing system in the same process, and return the undo.

    A flow that begins outside any other flow becomes a child of the span that runs there, with the id of its trace. A flow with a
    ``flow_id`` of its own gets a link to that span instead.

    Args:
        running: Returns the running span of the other system, or None. What it raises is reported, and counts as None.

    Example:
        >>> def running():
        ...     span = tracer.current_span()
        ...     return None if span is None else obs.extract({"traceparent": span.traceparent()})
        >>> undo = obs.continue_traces(running)
    """
    foreign_parents.append(running)
    left = [running]

    def undo() -> None:
        while left:
            foreign_parents.remove(left.pop())

    return undo


def _pairs(headers: Any) -> list[tuple[Any, Any]]:
    try:
        return [(name, value) for name, value in (headers.items() if hasattr(headers, "items") else headers)]
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"headers of type {name_of(type(headers))} are neither a mapping nor pairs; "
            "give those of a request: obs.extract(request.headers)"
        ) from error


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _tracestate(value: str) -> str:
    """Return the ``tracestate`` to pass on, with the first value of each key; an empty text if it is not valid."""
    members: dict[str, str] = {}
    for text in value.split(","):
        member = text.strip(_BLANKS)
        if member and not _MEMBER.fullmatch(member):
            return ""
        if member:
            members.setdefault(member.partition("=")[0], member)
    return ",".join(members.values()) if len(members) <= _MAX_MEMBERS else ""
