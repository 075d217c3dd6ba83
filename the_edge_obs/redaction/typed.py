"""Typed values: a whole value as JSON, with its types as tags, without secrets and without the caps of snapshots.

Plain JSON values stand for themselves. Everything else is an object with the key ``$``:

- ``{"$": T, "v": ...}`` with T one of ``tuple``, ``set``, ``frozenset``, ``bytes`` and ``bytearray`` (base64), ``datetime``,
  ``date`` and ``time`` (ISO 8601), ``timedelta`` (days, seconds, microseconds), ``decimal``, ``uuid``, ``int`` (beyond 64 bits),
  ``float`` (``NaN``, ``Infinity``, ``-Infinity``), ``dict`` (pairs; a dict with keys that are not texts, or with a key ``$``).
- ``{"$": "dataclass", "type": "module.Name", "v": {...}}``: its fields.
- ``{"$": "object", "type": "module.Name", "v": ...}``: what a snapshot shows of any other object. It can be compared, but not
  made again.
- ``{"$": "lost", "type": "module.Name", "why": ...}``: a value that cannot be recorded.

The rules of redaction are those of a snapshot, because the walk is that of a snapshot: ``Typed`` changes what is kept, not what
is a secret. So a digest of this JSON says nothing that a log does not say, and stays the same when a secret is rotated.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID

from ..context import FlowState
from ..errors import NotRecordedError
from ..secrets.keys import KEY_CLASSES, KeyClasses
from ..secrets.policies import effective
from ..secrets.taints import Taints
from .conversions import name_of
from .marks import REDACTED, inside
from .snapshots import CutError, Snapshot, field_names
from .summaries import Listing, Record, whole
from .texts import PLACEHOLDER, is_placeholder, scrub, scrub_key, without_digests

MAX_VALUES: Final = 500_000  # values of one typed value
MAX_CHARS: Final = 16_777_216  # characters of its texts, and bytes of its bytes
MAX_DEPTH: Final = 64  # nested containers
_MAX_NOTES: Final = 50  # paths that are noted of one value

TAG: Final = "$"
# The types whose values are made again, by exact type, with their tags.
_TAGS: Final[dict[type, str]] = {
    set: "set", frozenset: "frozenset", datetime: "datetime", date: "date", time: "time", Decimal: "decimal", UUID: "uuid",
}  # fmt: skip


class Typed(NamedTuple):
    """A value as JSON.

    Attributes:
        tree: The JSON value; with secrets as ``[REDACTED]``.
        redacted: The paths at which something was redacted, such as ``output.headers.authorization``.
        lost: Why a value was not recorded, by path.
    """

    tree: Any
    redacted: list[str]
    lost: dict[str, str]


def typed(value: Any, path: str, flow: FlowState | None = None, classes: KeyClasses = KEY_CLASSES) -> Typed:
    """Return a value as typed JSON. Its time is bounded: a value that is too large is lost as a whole.

    Args:
        value: Anything.
        path: What the value is, such as ``output``: the beginning of paths.
        flow: The flow that learns the secrets in it, and whose secrets are removed; or None.
        classes: The key classifier, as ``classes_for`` returns it.
    """
    cleaner = _Cleaner(path, flow.taints if flow is not None else Taints())
    try:
        taken = _Walk(flow, classes).take(value, ())
    except CutError:
        taken = _Tag("lost", why=f"more than {MAX_VALUES:,} values or {MAX_CHARS:,} characters", kind=type(value))
    return Typed(cleaner.clean(taken), cleaner.redacted, cleaner.lost)


class Digest(NamedTuple):
    """The digest of an input.

    Attributes:
        sha256: 64 hexadecimal digits.
        redacted: The paths at which something was redacted. Equal digests say nothing about what stood there.
        lost: Why a value is not part of the digest, by path, such as ``input.client``. Equal digests say nothing about it.
    """

    sha256: str
    redacted: list[str]
    lost: dict[str, str]


def digest_of(value: Any, flow: FlowState | None = None, classes: KeyClasses = KEY_CLASSES) -> Digest:
    """Return the digest of the whole input of a call: the SHA-256 of its typed JSON.

    What is hashed is compact JSON (no blanks, keys sorted by code point, all characters as they are) in UTF-8, with numbers as
    in the lines of a log. Placeholders of a policy that correlates count as ``[REDACTED]``: they differ between processes.

    Args:
        value: The input: the parameters of an action, or the arguments by name.
        flow, classes: As for ``typed``.
    """
    taken = typed(value, "input", flow, classes)
    text = json.dumps(taken.tree, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    sha256 = hashlib.sha256(without_digests(text).encode("utf-8", "surrogatepass")).hexdigest()
    return Digest(sha256, taken.redacted, taken.lost)


# --- the walk ---


class _Tag:
    """A value with a type that JSON does not have."""

    __slots__ = ("kind", "name", "value", "why")

    def __init__(self, name: str, value: Any = None, *, kind: type | None = None, why: str = "") -> None:
        self.name, self.value, self.kind, self.why = name, value, kind, why


class _TooLargeError(CutError):
    """The value is too large to be recorded."""


class _Walk(Snapshot):
    """The pass of a snapshot that keeps everything, and its types. What is a secret is decided by the snapshot's own code."""

    __slots__ = ()
    most_items: ClassVar = MAX_VALUES + 1
    most_bytes: ClassVar = 8 * MAX_VALUES

    def __init__(self, flow: FlowState | None, classes: KeyClasses) -> None:
        super().__init__(flow, classes)
        self.left, self.chars = MAX_VALUES, MAX_CHARS
        self.small = self.short = -1  # no short ways

    def take(self, value: Any, path: tuple[int, ...]) -> Any:
        if type(value) is tuple:
            items = self.items(value, len(value), value, path)
            return items if type(items) is _Tag else _Tag("tuple", items)
        return super().take(value, path)

    def text(self, text: str) -> str:
        self._spend(len(text))
        return text

    def _spend(self, size: int) -> None:
        self.chars -= size
        if self.chars < 0:
            raise _TooLargeError

    def mapping(self, pairs: Iterable[tuple[Any, Any]], count: int, source: object, path: tuple[int, ...]) -> Any:
        pairs = tuple(islice(pairs, self.most_items))
        taken = super().mapping(pairs, len(pairs), source, path)
        if type(taken) is _Tag:
            return taken
        if self.left <= 0 or len(pairs) < count:
            raise _TooLargeError
        keys = [key for key, _ in pairs]
        if all(type(key) is str for key in keys) and keys == [*taken]:
            return taken
        return _Tag("dict", [[self.take(key, ()), item] for key, item in zip(keys, taken.values(), strict=True)])

    def items(self, source: Iterable[Any], count: int, value: object, path: tuple[int, ...]) -> Any:
        taken = super().items(source, count, value, path)
        if self.left <= 0:
            raise _TooLargeError
        return taken

    def stop(self, source: object, path: tuple[int, ...]) -> Any:
        if id(source) in path:
            return _Tag("lost", kind=type(source), why="it contains itself")
        return _Tag("lost", kind=type(source), why=f"nested more than {MAX_DEPTH} deep") if len(path) >= MAX_DEPTH else None

    def other(self, value: Any, path: tuple[int, ...]) -> Any:
        kind = type(value)
        if kind is Listing or kind is Record:
            return self.take(whole(value), path)
        if kind is bytes or kind is bytearray:
            self._spend(len(value))
            return _Tag(kind.__name__, bytes(value))
        if kind is timedelta:
            return _Tag("timedelta", [value.days, value.seconds, value.microseconds])
        if issubclass(kind, str):
            return _Tag("object", self.text(str.__str__(value)), kind=kind)
        taken = super().other(value, path)
        if type(taken) is _Tag and taken.name in ("lost", "dataclass"):
            return taken
        if (name := _TAGS.get(kind)) is not None:
            return _Tag(name, taken)
        if type(taken) is str and taken[:1] == "<":  # its type, or what happened while it was read
            return _Tag("lost", kind=kind, why="its content cannot be read" if taken.endswith(" it>") else "it is not plain data")
        return _Tag("object", taken, kind=kind)

    def object(self, value: Any, path: tuple[int, ...]) -> Any:
        kind = type(value)
        taken = super().object(value, path)
        is_whole = type(taken) is dict and dataclasses.is_dataclass(kind) and [*taken] == field_names(kind)
        return _Tag("dataclass", taken, kind=kind) if is_whole else taken


# --- the texts ---


class _Cleaner:
    """Removes secrets from what a walk has taken, and makes JSON of it."""

    def __init__(self, path: str, taints: Taints) -> None:
        self._taints, self._policy = taints, effective(taints.policy)
        self._path = path
        self._at: list[str | int] = []
        self.redacted: list[str] = []
        self.lost: dict[str, str] = {}

    def clean(self, taken: Any) -> Any:
        """Return JSON of a value that is at the current path."""
        kind = type(taken)
        if kind is str:
            return self._text(taken)
        if taken is None or kind is bool:
            return taken
        if kind is int or kind is float:
            return self._number(taken)
        if kind is dict:
            return self._dict(taken)
        if kind is list:
            return self._each(enumerate(taken))
        if kind is _Tag:
            return self._tagged(taken)
        text = scrub(str(taken), self._taints)  # a mark
        return self._redacted(text) if text.startswith(REDACTED) else self._lost("it is too large", None)

    def _each(self, pairs: Iterable[tuple[str | int, Any]]) -> list[Any]:
        cleaned = []
        for key, item in pairs:
            self._at.append(key)
            cleaned.append(self.clean(item))
            self._at.pop()
        return cleaned

    def _text(self, text: str) -> Any:
        clean = scrub(text, self._taints)
        if clean == text:
            return text
        if clean.count(REDACTED) == text.count(REDACTED):
            return self._lost("it is not valid Unicode", str)
        return self._redacted(clean)

    def _number(self, number: float) -> Any:
        clean = scrub(number, self._taints)
        if type(clean) is not str:
            return clean
        if clean.startswith(REDACTED):
            return self._redacted(clean)
        if clean.startswith("<"):
            return self._lost("it has thousands of digits", int)
        return {TAG: type(number).__name__, "v": clean}

    def _dict(self, taken: dict[str, Any]) -> Any:
        items = self._each(taken.items())
        keys = [scrub_key(key, self._policy) for key in taken]
        if keys != [*taken]:
            self._redacted("")
        if TAG in taken or len(set(keys)) < len(keys):
            return {TAG: "dict", "v": [[key, item] for key, item in zip(keys, items, strict=True)]}
        return dict(zip(keys, items, strict=True))

    def _tagged(self, tag: _Tag) -> Any:
        if tag.name == "lost":
            return self._lost(tag.why, tag.kind)
        if tag.name in ("bytes", "bytearray"):
            return self._bytes(tag)
        if tag.name == "dict":
            keys = [self.clean(key) for key, _ in tag.value]
            items = self._each((_label(key), item) for key, (_, item) in zip(keys, tag.value, strict=True))
            return {TAG: "dict", "v": [[key, item] for key, item in zip(keys, items, strict=True)]}
        value = self.clean(tag.value)
        if tag.name in ("set", "frozenset") and type(value) is list:
            value.sort(key=_canonical)
        named = {} if tag.kind is None else {"type": full_name(tag.kind)}
        return {TAG: tag.name, **named, "v": value}

    def _bytes(self, tag: _Tag) -> Any:
        # Base64 would hide a secret from redaction.
        for encoding in ("latin-1", "utf-8"):
            text = tag.value.decode(encoding, "replace")
            if scrub(text, self._taints).count(REDACTED) > text.count(REDACTED):
                return self._redacted(PLACEHOLDER)
        return {TAG: tag.name, "v": base64.b64encode(tag.value).decode("ascii")}

    def _redacted(self, clean: str) -> str:
        if len(self.redacted) < _MAX_NOTES:
            self.redacted.append(self._where())
        return clean

    def _lost(self, why: str, kind: type | None) -> dict[str, str]:
        name = "" if kind is None else full_name(kind)
        if len(self.lost) < _MAX_NOTES:
            self.lost[self._where()] = f"{name}: {why}" if name else why
        return {TAG: "lost", "type": name, "why": why}

    def _where(self) -> str:
        at = self._path
        for key in self._at:
            at = f"{at}[{key}]" if type(key) is int else inside(at, scrub(key, self._taints))
        return at


def _label(key: Any) -> str:
    return key if type(key) is str else _canonical(key)


def _canonical(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=False, sort_keys=True)


def full_name(kind: type) -> str:
    """Return the module and the name of a class, such as ``shop.models.Order``, without running code of its metaclass."""
    module = type.__getattribute__(kind, "__dict__").get("__module__", "builtins")
    return name_of(kind) if module == "builtins" else f"{module if type(module) is str else '?'}.{name_of(kind)}"


# --- and back ---


def value_of(tree: Any, path: str = "output") -> Any:
    """Return the Python value of typed JSON. Nothing is imported, and no code of a recorded class runs.

    Args:
        tree: What ``typed`` has made.
        path: What the value is, for messages.

    Raises:
        NotRecordedError: A part of it was not recorded, or is of a type that cannot be made again.
    """
    try:
        return _value_of(tree, path)
    except RecursionError as error:
        raise NotRecordedError(f"{path} is not a valid recording: it is nested more than {MAX_DEPTH} deep") from error


def _value_of(tree: Any, path: str) -> Any:
    if type(tree) is list:
        return [_value_of(item, f"{path}[{at}]") for at, item in enumerate(tree)]
    if type(tree) is not dict:
        return tree
    if TAG not in tree:
        return {key: _value_of(item, inside(path, key)) for key, item in tree.items()}
    name = tree[TAG]
    try:
        if name == "dict":
            return {_hashable(_value_of(key, path)): _value_of(item, inside(path, _label(key))) for key, item in tree["v"]}
        if name == "dataclass":
            return _dataclass(tree, path)
        if name in _MAKERS:
            return _MAKERS[name](_value_of(tree["v"], path))
    except NotRecordedError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:  # somebody has changed it
        raise NotRecordedError(f"{path} is not a valid recording of a {name}: {error}") from error
    if name == "object":
        raise NotRecordedError(
            f"{path} is a {tree.get('type')}, which cannot be made again; return plain data, or a dataclass, from the node"
        )
    raise NotRecordedError(
        f"{path} was not recorded: {tree.get('why', f'unknown type {name!r}')} ({tree.get('type') or 'value'})"
    )


def _hashable(key: Any) -> Any:
    hash(key)
    return key


def _bytes_of(text: str) -> bytes:
    return text.encode() if text.startswith(REDACTED) else base64.b64decode(text, validate=True)


_MAKERS: Final[dict[str, Any]] = {
    "tuple": tuple, "set": set, "frozenset": frozenset, "int": int, "float": float, "decimal": Decimal, "uuid": UUID,
    "bytes": _bytes_of, "bytearray": lambda text: bytearray(_bytes_of(text)), "datetime": datetime.fromisoformat,
    "date": date.fromisoformat, "time": time.fromisoformat, "timedelta": lambda parts: timedelta(*parts),
}  # fmt: skip


def untagged(tree: Any) -> Any:
    """Return typed JSON without its types, and None for what was redacted: what is left to look for secrets in."""
    if type(tree) is list:
        return [untagged(item) for item in tree]
    if type(tree) is str:
        return None if is_placeholder(tree) else tree
    if type(tree) is not dict:
        return tree
    if tree.get(TAG) in ("bytes", "bytearray"):
        with suppress(ValueError):
            return base64.b64decode(str(tree.get("v")))
    if TAG in tree:
        return untagged(tree.get("v"))
    return {key: untagged(item) for key, item in tree.items()}


def loaded(name: str) -> type | None:
    """Return the class of a name such as ``shop.models.Order``, if its module is loaded; nothing is imported."""
    module, _, attribute = name.rpartition(".")
    found = getattr(sys.modules.get(module or "builtins"), attribute, None)
    return found if isinstance(found, type) else None


def _dataclass(tree: dict[str, Any], path: str) -> Any:
    kind = loaded(tree["type"])
    fields = {key: _value_of(item, inside(path, key)) for key, item in tree["v"].items()}
    if kind is None or not dataclasses.is_dataclass(kind) or field_names(kind) != [*fields]:
        raise NotRecordedError(
            f"{path} is a {tree['type']}, which is not loaded, or has other fields now; import its module first"
        )
    made = object.__new__(kind)
    for key, value in fields.items():
        object.__setattr__(made, key, value)
    return made
