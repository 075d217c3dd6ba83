"""Snapshots: copies of values, taken in one pass when an event is made.

Containers are copied, so that later mutation cannot alter what was logged. Values under secret keys are dropped, and become
taints of the flow. What is too large is cut. The rest is the job of ``redaction.texts.scrub``, which runs when the event is read
or written: strings cannot change in between, so waiting costs nothing, and most events of a ring are never read.

The caller's objects are never changed, and no code of theirs runs: no foreign ``__repr__``, ``__eq__``, ``__len__``, ``__iter__``
or ``__class__``. The time is bounded by the caps, not by the value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, ClassVar, Final

from ..context import FlowState
from ..secrets.keys import (
    KEY_CLASSES,
    MAX_KEY,
    ODD,
    OPEN,
    PLAIN,
    SECRET,
    TOKEN,
    VALUE,
    WEAK,
    KeyClasses,
    describes,
    is_schema,
    reveals,
)
from ..secrets.policies import BUILT_IN, Policy, effective, fold, followers
from ..secrets.taints import SHORTEST_NUMBER
from ..secrets.words import NAME_KEYS
from .conversions import CONVERSIONS, MAX_ITEMS, name_of
from .marks import LONGEST_WHOLE_KEY, Mark
from .repeats import REPEATS, Repeat
from .texts import MAX_STRING, PLACEHOLDER, by_own_patterns, int_text, learn, mask, scrub_text

MAX_DEPTH: Final = 16  # nested containers
MAX_VALUES: Final = 2_000  # values of one snapshot
MAX_CHARS: Final = 32_768  # characters of one snapshot
MAX_BYTES: Final = 65_536  # bytes of an array that is shown item by item
SMALL_ITEMS: Final = 32  # a dict with at most this many items, whose strings have
SMALL_STRING: Final = 1_024  # at most this many characters, is far from every cap
SHORT_STRING: Final = 64  # characters that every string keeps without being counted

_ATOMS: Final = frozenset({int, float, bool, type(None)})
_LEAVES: Final = _ATOMS | {str}
# Beside one of these keys, the key "value" may be secret: {"name": "password", "value": "x"}.
NAMES: Final = frozenset(spelled for key in NAME_KEYS for spelled in (key, key.capitalize(), key.upper()))
_SURE_VALUES: Final = frozenset({"value", "values", "val", "vals"})

_SECRET: Final = Mark(PLACEHOLDER)
_CIRCULAR: Final = Mark("[circular]")
_TOO_DEEP: Final = Mark("[depth]")

# The short ways do not search texts. They are closed while the process's policy has shapes of its own: then each text is
# searched now, because the policy may be gone when the event is read.
_small_items, _short_string = SMALL_ITEMS, SHORT_STRING


def _short_ways(policy: Policy) -> tuple[int, int]:
    looks = policy.looks_at_texts
    return (-1 if looks or policy.correlate else SMALL_ITEMS), (-1 if looks else SHORT_STRING)


def _follow(policy: Policy) -> None:
    global _small_items, _short_string
    _small_items, _short_string = _short_ways(policy)
    REPEATS.clear()


followers.append(_follow)


def snapshot(
    value: Any,
    flow: FlowState | None = None,
    classes: KeyClasses = KEY_CLASSES,
) -> Any:
    """Return a copy of a value that later changes cannot reach, without the values under secret keys, cut to the caps.

    Args:
        value: Anything.
        flow: The flow that learns the secrets as taints, or None.
        classes: The key classifier, as ``classes_for`` returns it.

    Returns:
        Dicts and lists of str, int, float, bool and None, which ``scrub`` must still clean. A cut shows as ``…[+N chars]``,
        ``[+N items]``, ``[depth]`` or ``[circular]``, and is a ``Mark``, like the placeholder of a secret.
    """
    kind = type(value)
    try:
        if kind is dict and len(value) <= _small_items and (flow is None or flow.taints.policy is None):
            taken = _small_dict(value, flow, classes)
            return Snapshot(flow, classes).mapping(value.items(), len(value), value, ()) if taken is None else taken
        return value if kind in _ATOMS else Snapshot(flow, classes).take(value, ())
    except CutError:
        walk = Snapshot(flow, classes)
        walk.small = -1
        return walk.take(value, ())


def _small_dict(
    value: dict[str, Any],
    flow: FlowState | None,
    classes: KeyClasses,
    walk: Snapshot | None = None,
    path: tuple[int, ...] = (),
    limit: int = SMALL_STRING,
) -> dict[str, Any] | None:
    """Return a copy of a small dict, such as the parameters of most calls; None where it needs ``Snapshot.mapping``.

    The dict is copied whole, and values that may not stay are replaced, which takes half the time. The price: the rule for
    secret keys is written twice. A dict with a key that is new, odd, or a ``value`` beside a name is left to ``mapping``.

    Args:
        value: The dict.
        flow, classes: As in ``snapshot``.
        walk: The pass that the dict is part of, or None.
        path: The identities of the containers around it.
        limit: Characters of a string that stays as it is.
    """
    taken = value.copy()
    known = classes.known
    try:
        for key in taken:  # by key alone: most dicts are so small that pairs cost more
            kind = type(item := taken[key])
            if verdict := known[key]:
                if verdict >= ODD:
                    if verdict == ODD or not NAMES.isdisjoint(taken):
                        return None
                elif kind is str and flow is not None and len(item) <= SMALL_STRING and item in flow.taints:
                    taken[key] = _SECRET
                    continue
                elif reveals(verdict, item, key, taken):
                    taken[key] = secret(item, flow, verdict)
                    continue
            if kind is str:
                if len(item) <= limit:
                    continue
            elif kind is int or kind is float or item is None or kind is bool:
                continue
            walk = walk or Snapshot(flow, classes, beside=taken)
            taken[key] = walk.text(item) if kind is str else walk.take(item, (*path, id(value)))
    except KeyError:  # a new key; a lookup with a default would cost each call a tenth more
        return None
    return taken


class CutError(Exception):
    """A text must be cut, so the value is read again without short ways for dicts.

    They may give up a dict and read it again. By then the flow may have learned a secret from it, which moves a cut.
    """


class Snapshot:
    """One pass over one value, with what is left of its caps.

    Attributes:
        most_items: Items of one container.
        most_bytes: Bytes of an array that is shown item by item.
    """

    __slots__ = ("chars", "classes", "flow", "left", "policy", "short", "small")
    most_items: ClassVar = MAX_ITEMS
    most_bytes: ClassVar = MAX_BYTES

    def __init__(self, flow: FlowState | None, classes: KeyClasses, beside: dict[str, Any] | None = None) -> None:
        self.flow = flow
        own = None if flow is None else flow.taints.policy
        self.policy = effective(own)
        self.classes, self.small, self.short = classes, _small_items, _short_string
        if own is not None:
            self.classes = classes.under(own)
            self.small, self.short = _short_ways(self.policy)
        self.left = MAX_VALUES
        self.chars = MAX_CHARS
        if beside:  # a small dict, whose items and strings are already checked, with a value that needs a pass
            self.left -= len(beside)
            self.chars -= sum([len(text) for text in beside.values() if type(text) is str and len(text) <= SMALL_STRING])

    def take(self, value: Any, path: tuple[int, ...]) -> Any:
        """Return the copy of any value; ``path`` has the identities of the containers around it."""
        kind = type(value)
        if kind is str:
            return value if len(value) <= self.short else self.text(value)
        if kind in _ATOMS:
            return value
        if kind is dict:
            if len(value) <= self.small and len(value) <= self.left and len(path) < MAX_DEPTH and id(value) not in path:
                left, chars = self.left, self.chars
                self.left -= len(value)
                if (taken := _small_dict(value, self.flow, self.classes, self, path, SHORT_STRING)) is not None:
                    return taken
                self.left, self.chars = left, chars  # nothing of that is kept
            return self.mapping(value.items(), len(value), value, path)
        if kind is list or kind is tuple:
            return self.items(value, len(value), value, path)
        return self.other(value, path)

    def text(self, text: str) -> str:
        """Return a string, cut if it is too long; secrets are removed before the cut, or half of one would stay."""
        if SHORT_STRING < len(text) <= min(self.chars, MAX_STRING) and self.short > 0:
            self.chars -= len(text)
            return text
        room = min(MAX_STRING, max(self.chars, SHORT_STRING))
        if len(text) > SHORT_STRING:
            self.chars -= min(len(text), room)
        if len(text) <= room:
            if self.short > 0 or (clean := by_own_patterns(text, self.flow.taints if self.flow else ())) == text:
                return text
            return Mark(clean)
        return self.head(text, room)

    def head(self, text: str, room: int) -> str:
        """Return the first ``room`` characters of a longer text, without secrets, and how many are missing."""
        if self.small >= 0:
            raise CutError
        window = text[: room + MAX_STRING]
        clean = scrub_text(window, self.flow.taints if self.flow else ())
        kept = min(room, len(clean))
        if len(window) < len(text):
            # Redaction has moved the end of the window up, and the word at that end may be half a secret.
            last = len(window) - 1 - max(map(window.rfind, " \n\t"))
            kept = max(0, min(kept, len(clean) - min(last, MAX_STRING)))
        elif kept == len(clean):
            return clean
        return Mark(f"{clean[:kept]}…[+{len(text) - kept} chars]")

    def mapping(self, pairs: Iterable[tuple[Any, Any]], count: int, source: object, path: tuple[int, ...]) -> Any:
        """Return the copy of a mapping of ``count`` pairs."""
        if (stop := self.stop(source, path)) is not None:
            return stop
        inner = (*path, id(source))
        taken: dict[str, Any] = {}
        classes = self.classes
        odd = False
        # A tuple first: another thread, or a property that is read on the way, may change the source.
        pairs = tuple(islice(pairs, self.most_items))
        for key, value in pairs:
            if self.left <= 0:
                break
            self.left -= 1
            verdict = classes[key]
            if verdict == ODD:
                key, odd = self.key(key, taken), True
                verdict = classes[key]
            elif odd and key in taken:
                key = self.key(key, taken)
            if verdict == VALUE:
                verdict = self.named(key, pairs)
            if verdict and reveals(verdict, value, key, [name for name, _ in pairs] if verdict == TOKEN else ()):
                taken[key] = secret(value, self.flow, verdict)
            else:
                taken[key] = self.take(value, inner)
        if len(taken) < count:
            taken["…"] = Mark(f"[+{count - len(taken)} items]")
        return taken

    def items(self, source: Iterable[Any], count: int, value: object, path: tuple[int, ...]) -> Any:
        """Return the copy of a list of ``count`` items."""
        if (stop := self.stop(value, path)) is not None:
            return stop
        if type(source) is list and 1 < count <= MAX_ITEMS and len(path) + 1 < MAX_DEPTH:
            if self.small > 0 and self.policy is BUILT_IN and type(next(iter(source), None)) is dict:
                return self.repeated(source, count, path)
            if (rows := self.rows(source)) is not None:
                return rows
        return self.each(source, count, value, path)

    def repeated(self, source: list[Any], count: int, path: tuple[int, ...]) -> list[Any]:
        """Return a copy of a list of dicts, which may have been captured before."""
        depth = len(path)
        known = REPEATS.of(source, self.classes, depth)
        if known is not None and known.values <= self.left and known.chars <= self.chars:
            self.left -= known.values
            self.chars -= known.chars
            repeated: list[Any] = known.taken
            return repeated
        left, chars = self.left, self.chars
        taken = rows if (rows := self.rows(source)) is not None else self.each(source, count, source, path)
        if known is None and REPEATS.is_due(source):
            repeat = Repeat(source, taken, self.classes, depth, left - self.left, chars - self.chars)
            if repeat.is_whole and self.are_plain(repeat.keys):
                REPEATS.add(source, repeat)
        return taken

    def each(self, source: Iterable[Any], count: int, value: object, path: tuple[int, ...]) -> list[Any]:
        """Return copies of items, each by itself."""
        inner = (*path, id(value))
        taken: list[Any] = []
        flag = ""
        for item in islice(source, self.most_items):
            if self.left <= 0:
                break
            self.left -= 1
            kind = type(item)
            if flag:
                verdict, flag = self.classes[flag], ""
                if kind is str and item[:1] != "-" and reveals(verdict, item, flag):
                    taken.append(secret(item, self.flow, verdict))
                    continue
            if kind is str and item[:1] == "-" and len(item) <= MAX_KEY and self.classes[item] in (SECRET, TOKEN):
                flag = item  # an argument list: ["--password", "x"]
            # A list of pairs, such as headers: [("Authorization", "Bearer x")].
            if (kind is tuple or kind is list) and len(item) == 2 and self.names_secret(*item):
                taken.append([self.take(item[0], inner), secret(item[1], self.flow)])
            elif kind in _ATOMS or (kind is str and len(item) <= self.short):
                taken.append(item)
            else:
                taken.append(self.take(item, inner))
        if len(taken) < count:
            taken.append(Mark(f"[+{count - len(taken)} items]"))
        return taken

    def rows(self, source: Iterable[Any]) -> list[dict[str, Any]] | None:
        """Return copies of dicts with plain keys and without containers, such as messages; None for any other items.

        They are copied and checked together, which takes a third of the time.
        """
        rows = [*source]
        if set(map(type, rows)) != {dict} or not _LEAVES.issuperset(map(type, rows[0].values())):
            return None
        taken = [*map(dict.copy, rows)]
        keys, values = [*chain.from_iterable(taken)], [*chain.from_iterable(map(dict.values, taken))]
        kinds = set(map(type, values))
        if not kinds <= _LEAVES or max(map(len, taken)) > self.small or not self.are_plain(keys):
            return None
        count, chars = len(rows) + len(keys), 0
        if str in kinds:
            lengths = [*map(len, values if len(kinds) == 1 else [value for value in values if type(value) is str])]
            chars = sum([length for length in lengths if length > SHORT_STRING])
            if chars > self.chars or max(lengths) > MAX_STRING:
                return None
        if count > self.left:
            return None
        self.left -= count
        self.chars -= chars
        return taken

    def are_plain(self, keys: list[Any]) -> bool:
        """Tell whether all keys are texts that are known not to be secret, whatever stands beside them."""
        if set(map(type, keys)) != {str}:
            return False
        distinct = set(keys)
        verdicts = set(map(self.classes.known.get, distinct))
        return verdicts == {PLAIN} or (verdicts <= {PLAIN, VALUE} and NAMES.isdisjoint(distinct))

    def names_secret(self, name: Any, value: Any) -> bool:
        """Tell whether a text, or bytes as in raw headers, is a secret key for the value beside it."""
        key = name.decode("latin-1") if type(name) is bytes and len(name) <= MAX_KEY else name
        if type(key) is not str or len(key) > MAX_KEY:
            return False
        verdict = self.classes[key]
        return verdict in (SECRET, TOKEN, WEAK) and reveals(verdict, value, key)

    def named(self, key: str, pairs: Sequence[tuple[Any, Any]]) -> int:
        """Return the verdict of the name beside a ``value``; a ``text`` beside a secret name is only ``WEAK``."""
        for other, name in pairs:
            if type(other) is str and type(name) is str and len(other) <= MAX_KEY and fold(other) in NAME_KEYS:
                verdict = self.classes[name] if name.count(" ") < 3 else PLAIN
                if verdict in (SECRET, TOKEN, WEAK):
                    return verdict if fold(key) in _SURE_VALUES else WEAK
        return PLAIN

    def stop(self, source: object, path: tuple[int, ...]) -> str | None:
        """Return the mark of a container that is not entered, or None to enter it."""
        if id(source) in path:
            return _CIRCULAR
        return _TOO_DEEP if len(path) >= MAX_DEPTH else None

    def key(self, key: Any, taken: dict[str, Any]) -> str:
        """Return a key as text, spelled as in JSON; if ``1`` and ``"1"`` meet, both stay."""
        text = self.key_text(key)
        while text in taken:
            text += "'"
        return text

    def key_text(self, key: Any) -> str:
        """Return a key as text, cut if it is too long."""
        if key is None or type(key) is bool:
            return {None: "null", True: "true", False: "false"}[key]
        value = self.take(key, ())
        text = value if type(value) is str else int_text(value) if type(value) is int else str(value)
        room = LONGEST_WHOLE_KEY
        return text if len(text) <= room else str(self.head(text, room))

    def other(self, value: Any, path: tuple[int, ...]) -> Any:
        """Return the copy of any value without an exact JSON type; an exception becomes a mark."""
        kind = type(value)
        try:
            for kinds, convert in CONVERSIONS:
                if issubclass(kind, kinds):
                    return convert(self, value, path)
            return self.object(value, path)
        except (KeyboardInterrupt, SystemExit, CutError):
            raise
        except BaseException as error:  # noqa: BLE001 - a hostile object must not break what is observed
            return f"<{name_of(kind)}: {name_of(type(error))} while reading it>"

    def object(self, value: Any, path: tuple[int, ...]) -> Any:
        """Return the fields of a dataclass, attrs or pydantic object, or the items of a small array; else the type."""
        kind = type(value)
        if (names := field_names(kind)) is not None:
            missing = object()
            items = ((name, getattr(value, name, missing)) for name in names)
            fields = {name: item for name, item in items if item is not missing}
            fields.update(getattr(value, "__pydantic_extra__", None) or {})
            return self.mapping(fields.items(), len(fields), value, path)
        family = {base.__module__.partition(".")[0] for base in kind.__mro__}
        if "numpy" in family or "pandas" in family:
            return self.array(value, path)
        if "pydantic" in family and hasattr(kind, "get_secret_value"):
            return secret(value.get_secret_value(), self.flow)
        if issubclass(kind, (type, FunctionType, BuiltinFunctionType, MethodType)):
            return f"<{value.__module__}.{value.__qualname__}>"
        return f"<{kind.__module__}.{kind.__qualname__}>"

    def array(self, value: Any, path: tuple[int, ...]) -> Any:
        """Return a scalar of numpy as a number, a small array as lists, and any other array, series or frame as its shape."""
        kind = type(value)
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        name = f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
        is_plain = getattr(dtype, "names", None) is None and name.startswith("numpy.")
        if is_plain and shape is not None and value.size <= self.most_items and value.nbytes <= self.most_bytes:
            items = value.tolist()
            return str(items) if type(items) is kind else self.take(items, (*path, id(value)))
        if shape is None:
            return f"<{name}>"
        kinds = [dtype] if dtype is not None else list(dict.fromkeys(islice(getattr(value, "dtypes", ()), MAX_ITEMS)))
        shown = ", ".join(str(dtype)[:64] for dtype in kinds[:8]) + (", …" if len(kinds) > 8 else "")
        return Mark(f"<{name} shape {tuple(shape)} {shown}>")


def secret(value: Any, flow: FlowState | None, verdict: int = SECRET) -> str | None:
    """Return the placeholder of a secret, and let the flow learn its secret-looking parts as taints; None stays None."""
    if value is None:
        return None
    policy = effective(None if flow is None else flow.taints.policy)
    if type(value) is str and len(value) <= MAX_STRING:
        if flow is not None and value not in flow.taints:
            learn(flow, (value,), is_token=verdict == TOKEN)
        return _SECRET if not policy.correlate else Mark(mask(value, policy))
    leaves = _leaves(value)
    if flow is not None:
        learn(flow, leaves, is_token=verdict == TOKEN)
    return Mark(mask("\x1f".join(map(str, leaves)), policy)) if policy.correlate else _SECRET


def field_names(kind: type) -> list[str] | None:
    """Return the names of the fields of a dataclass, attrs or pydantic class, or None."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    attrs = kind.__dict__.get("__attrs_attrs__")
    if attrs is not None:
        return [field.name for field in attrs]
    fields = getattr(kind, "__pydantic_fields__", None)
    return list(fields) if isinstance(fields, dict) else None


def _leaves(value: Any) -> list[str | bytes | int]:
    """Return the texts, bytes and numbers directly under a secret key, at most 64, each as far as a snapshot reads it.

    In a dict, descriptions such as ``type`` and ``user`` are left out; a schema is left out as a whole.
    """
    leaves: list[str | bytes | int] = []
    waiting, seen = [value], 0
    room = slice(2 * MAX_STRING)
    while waiting and seen < 64:
        item = waiting.pop()
        kind = type(item)
        seen += 1
        if issubclass(kind, str):
            leaves.append(str.__getitem__(item, room))
        elif issubclass(kind, dict):
            pairs = tuple(islice(dict.items(item), 64))
            waiting.extend([] if is_schema(pairs) else [inner for key, inner in pairs if not describes(key)])
        elif kind in (list, tuple, set, frozenset):
            waiting.extend(islice(item, 64))
        elif issubclass(kind, bytes):
            leaves.append(bytes.__getitem__(item, room))
        elif issubclass(kind, int):
            leaves.extend([number] if abs(number := int.__int__(item)) >= SHORTEST_NUMBER else [])
        elif kind is bytearray or kind is memoryview:
            waiting.append(bytes(item[room]))
        elif item is not None and kind is not float:
            taken = Snapshot(None, OPEN).take(item, ())
            waiting.append("" if type(taken) is str and taken[:1] == "<" else taken)
    return leaves
