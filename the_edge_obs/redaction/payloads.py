"""Payloads: what is captured of the input or output of a span.

A payload is a snapshot, or, where the native core is installed (extra ``native``) and takes the value, the same as bytes of JSON:
the walk is native code then, and the garbage collector has no containers to visit. Everything that reads payloads takes both,
and ``snapshot_of`` gives the same for both.

The core takes dicts and lists of plain values within the caps. Everything else, and every value while a policy is active, is
captured in Python, which is the reference. ``THE_EDGE_OBS_PURE=1`` in the environment leaves the core out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias, TypeGuard

from ..context import FlowState
from ..secrets.keys import KEY_CLASSES, KeyClasses, reveals
from ..secrets.policies import BUILT_IN, process_policy
from .marks import Mark, Ways
from .snapshots import NAMES, secret, snapshot

PURE: Final = "THE_EDGE_OBS_PURE"
_INTERFACE: Final = 1  # of the native core that this version works with


class Encoded(Protocol):
    """A payload as bytes.

    Attributes:
        json: The payload as compact JSON in UTF-8.
        ways: The ways to what was redacted in it.
    """

    json: bytes
    ways: Ways

    def has_any(self, needles: tuple[bytes, ...]) -> bool:
        """Tell whether the JSON has any of some bytes in it."""

    def is_clean(self) -> bool:
        """Tell whether no text in it has a secret in it by the built-in rules."""


Payload: TypeAlias = "Any | Encoded"
"""A snapshot, or the same as bytes."""


def _loaded() -> Any:
    """Return the module of the native core, or None."""
    if os.environ.get(PURE, "") not in ("", "0"):
        return None
    try:
        import the_edge_obs_native  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return None
    return the_edge_obs_native if the_edge_obs_native.INTERFACE == _INTERFACE else None


def _judge(verdict: int, value: Any, key: str, siblings: tuple[str, ...], flow: FlowState | None) -> bool:
    """Tell whether a value under a secret key is a secret, and let the flow learn it."""
    if not reveals(verdict, value, key, siblings):
        return False
    secret(value, flow, verdict)
    return True


_native: Final = _loaded()
ENCODED: Final[type[Encoded]] = _native.Encoded if _native is not None else type("NoPayload", (), {})
"""The type of payloads that are bytes; without the native core, that of no value."""
_take: Final[Callable[..., Any] | None] = _native.Core(_judge, NAMES).capture if _native is not None else None
PYTHON: Final = "pure Python"
CORE: Final = PYTHON if _native is None else f"native core {_native.__version__}"
"""How payloads are captured, for people."""


def _captured(value: Any, flow: FlowState | None = None, classes: KeyClasses = KEY_CLASSES) -> Payload:
    """Return the payload of a value: ``snapshot``, or the same as bytes.

    Args:
        value: Anything.
        flow: The flow that learns the secrets as taints, or None.
        classes: The key classifier, as ``classes_for`` returns it.
    """
    taints = None if flow is None else flow.taints
    kind = type(value)
    is_plain = process_policy() is BUILT_IN and (taints is None or taints.policy is None)
    if (
        _take is not None
        and is_plain
        and (kind is dict or kind is list)
        and (taken := _take(value, classes.known, classes, flow, taints)) is not None
    ):
        return taken
    return snapshot(value, flow, classes)


captured: Final[Callable[..., Payload]] = snapshot if _take is None else _captured


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
