"""Payloads: what is captured of the input or output of a span.

A payload is a snapshot, or, where the native core is installed (extra ``native``) and takes the value, the same as bytes of JSON:
the walk is native code then, and the garbage collector has no containers to visit. Everything that reads payloads takes both,
and ``snapshot_of`` gives the same for both.

The core takes dicts and lists of plain values within the caps. Everything else, and every value while a policy is active, is
captured in Python, which is the reference. ``THE_EDGE_OBS_PURE=1`` in the environment leaves the core out.
"""

from __future__ import annotations

import copyreg
import json
import os
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias, TypeGuard

from ..context import FlowState
from ..secrets.keys import KEY_CLASSES, MAX_COUNT, reveals
from ..secrets.policies import BUILT_IN, Policy, followers
from .marks import Mark, Ways
from .snapshots import NAMES, SMALL_ITEMS, SMALL_STRING, secret, snapshot

PURE: Final = "THE_EDGE_OBS_PURE"
PYTHON: Final = "pure Python"
_INTERFACE: Final = 4  # of the native core that this version works with


class Encoded(Protocol):
    """A payload as bytes.

    Attributes:
        json: The payload as compact JSON in UTF-8.
        ways: The ways to what was redacted in it.
    """

    json: bytes
    ways: Ways

    def is_clean(self, needles: tuple[bytes, ...]) -> bool:
        """Tell whether no text in it has a secret in it by the built-in rules, and the JSON none of some bytes."""


Payload: TypeAlias = "Any | Encoded"
"""A snapshot, or the same as bytes."""


def _loaded() -> tuple[Any, str]:
    """Return the module of the native core, or None, and what ``tea-obs --version`` says of it."""
    if os.environ.get(PURE, "") not in ("", "0"):
        return None, PYTHON
    try:
        import the_edge_obs_native as native  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return None, PYTHON
    if native.INTERFACE != _INTERFACE:
        return None, f"{PYTHON}: the installed core {native.__version__} is for another version"
    return native, f"native core {native.__version__}"


def _judge(verdict: int, value: Any, key: str, siblings: tuple[str, ...], flow: FlowState | None) -> bool:
    """Tell whether a value under a secret key is a secret, and let the flow learn it."""
    if not reveals(verdict, value, key, siblings):
        return False
    secret(value, flow, verdict)
    return True


_native, CORE = _loaded()
"""``CORE`` says how payloads are captured, for people."""
ENCODED: Final[type[Encoded]] = _native.Encoded if _native is not None else type("NoPayload", (), {})
"""The type of payloads that are bytes; without the native core, that of no value."""
LINES: Final[Any] = None if _native is None else _native.Lines
"""Joins the lines of payloads that are bytes; None without the native core."""
_core: Final = (
    None if _native is None else _native.Core(snapshot, _judge, KEY_CLASSES, NAMES, SMALL_ITEMS, SMALL_STRING, MAX_COUNT)
)

captured: Final[Callable[..., Payload]] = snapshot if _core is None else _core.capture
"""Return the payload of a value: ``snapshot``, or the same as bytes; the arguments are those of ``snapshot``."""

events_of_facts: Final[Callable[..., list[dict[str, Any] | None]] | None] = None if _core is None else _core.events
"""Return the events of facts, with None in place of those that Python must make. None without the native core.

The arguments are a list of facts, their flow, the prefix of its span ids, an event with all keys, the flow's secrets as bytes,
the paths of what was cut by key and ways, and what stands for no payload.
"""


class _WithoutCore:
    """What captures in a process without the core."""

    capture = staticmethod(snapshot)


def _core_here() -> Any:
    """Return what captures in this process: an observed function that comes from another one refers to it."""
    return _WithoutCore if _core is None else _core


if _core is not None:
    copyreg.pickle(type(_core), lambda core: (_core_here, ()))


def _follow(policy: Policy) -> None:
    if _core is not None:
        _core.turn_off(policy is not BUILT_IN)


followers.append(_follow)


def is_encoded(payload: Payload) -> TypeGuard[Encoded]:
    """Tell whether a payload is bytes."""
    return type(payload) is ENCODED


def decoded(payload: Encoded) -> Any:
    """Return what the bytes of a payload say, without marks."""
    return _loads(payload.json)


def snapshot_of(payload: Payload) -> Any:
    """Return the snapshot that a payload stands for; that of bytes is a new one."""
    if not is_encoded(payload):
        return payload
    taken = decoded(payload)
    for *steps, last in payload.ways:
        holder = taken
        for step in steps:
            holder = holder[step]
        holder[last] = Mark(holder[last])
    return taken


# orjson where it is installed (extra "fast"), else json.
try:
    from orjson import loads as _loads
except ImportError:
    _loads = json.loads  # type: ignore[assignment]
