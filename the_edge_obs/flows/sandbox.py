"""The sandbox that templates run in: a template cannot change anything, and each rendering has bounded time and size.

Jinja2's sandbox hides classes and globals from templates, but does not limit their work: a nested loop, a power or a width
of ten digits runs forever or fills the memory. Here every step of a loop, call, filter, operator and output checks the time
limit, and the size of a string or list is checked before it is made.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from types import BuiltinMethodType
from typing import Any, Final

from jinja2 import StrictUndefined, nodes, pass_eval_context
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.visitor import NodeTransformer

from ..text import known_charset

SECONDS: Final = 5.0
"""The time limit of one rendering."""
MAX_SIZE: Final = 50_000_000
"""How many characters one rendering can produce, intermediate strings and lists included; an item of a list counts as 16."""
MAX_NUMBER: Final = 1_000_000
"""The largest width, indent, precision or count of a filter or a format."""

_ITEM: Final = 16
# An integer of this many bits is multiplied and printed in milliseconds.
_MAX_BITS: Final = 100_000
# The longest string, in characters, for filters of Jinja2 that copy the rest of it for each of its parts.
_MAX_SLOW: Final = 100_000
_SLOW: Final = frozenset({"pprint", "striptags", "urlize", "wordwrap"})
# Filters with a width, a count or a string that is repeated for each line, word or item.
_REPEATING: Final = frozenset({"batch", "center", "indent", "json", "round", "slice", "tojson", "urlize", "wordwrap"})
# Filters that read the items of a list without converting it to a string.
_SHALLOW: Final = frozenset(
    "attr batch count d default dictsort first groupby items join last length list map max min random reject rejectattr reverse "
    "select selectattr slice sort sum unique".split()
)
# Filters whose results hold each item of their input at most once: nothing grows, so large data need not be measured.
_ONCE: Final = frozenset(
    "dictsort first groupby items last list map max min random reject rejectattr reverse select selectattr sort unique".split()
)
_WIDTHS: Final = frozenset({"center", "ljust", "rjust", "to_bytes", "zfill"})
_METHODS: Final = frozenset({"get", "keys", "values", "items", "copy"})
# Methods that change a list, dict, set or deque; older versions of Jinja2 do not block all of them.
_CHANGING: Final = frozenset(
    "add append appendleft clear difference_update discard extend extendleft insert intersection_update pop popitem popleft "
    "remove reverse rotate setdefault sort symmetric_difference_update update".split()
)
# A width or precision of printf. After the flags the first digit is not 0, so the expression matches in one way only.
_PERCENT: Final = re.compile(r"[%)][#0\- +]*([1-9][0-9]*|\*)?(?:\.([0-9]+|\*))?[hlL]?[diouxXeEfFgGcrsa]")
_NUMBER: Final = re.compile(r"[0-9]+")


class TooMuchWorkError(Exception):
    """A template that takes too long, or produces too much."""


class Variables:
    """The environment variables, read one by one: ``env.HOME``, ``env['HOME']``, ``env.get('HOME', default)``."""

    __slots__ = ()

    def __getitem__(self, name: str) -> str | None:
        return os.environ.get(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a variable, or the default."""
        return os.environ.get(name, default)


class _Allowance:
    """The time and size that one rendering has left."""

    def __init__(self) -> None:
        self.end = time.monotonic() + SECONDS
        self.size = MAX_SIZE
        # By id, the size of a container with everything in it; the container is kept too, or its id could be reused.
        self.sizes: dict[int, tuple[object, int]] = {}

    def step(self) -> None:
        if time.monotonic() > self.end:
            raise TooMuchWorkError(f"it takes longer than {SECONDS:g} s")

    def spend(self, size: int) -> None:
        self.size -= size
        if self.size < 0:
            raise TooMuchWorkError(f"it makes more than {MAX_SIZE:,} characters")

    def measured(self, value: Any) -> int:
        """Return the size of a value written out as text: a part that occurs twice counts twice."""
        if not isinstance(value, _CONTAINERS):
            return _own_size(value)
        stack, entered = [value], set()
        while stack:
            top = stack[-1]
            parts = _parts(top)
            waiting = [part for part in parts if isinstance(part, _CONTAINERS) and id(part) not in self.sizes]
            if waiting and id(top) not in entered:
                entered.add(id(top))
                stack += [part for part in waiting if id(part) not in entered]
                continue
            stack.pop()
            size = _ITEM + sum(self.sizes.get(id(part), (part, 0))[1] + _own_size(part) for part in parts)
            if size > MAX_SIZE:
                raise TooMuchWorkError(f"it makes a value of more than {MAX_SIZE:,} characters")
            self.sizes[id(top)] = (top, size)
        return self.sizes[id(value)][1]


_CONTAINERS: Final = (list, tuple, dict, set, frozenset)
_running = threading.local()


@contextmanager
def allowance() -> Iterator[None]:
    """Give the rendering inside the block its own allowance."""
    before = getattr(_running, "allowance", None)
    _running.allowance = _Allowance()
    try:
        yield
    finally:
        _running.allowance = before


def _allowed() -> _Allowance:
    return getattr(_running, "allowance", None) or _Allowance()


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return list(value) if isinstance(value, _CONTAINERS) else []


def _own_size(value: Any) -> int:
    return len(value) if isinstance(value, (str, bytes, bytearray)) else _ITEM


# --- counting values ---


def _made(value: Any, *, measured: bool = True) -> Any:
    """Count a value that a template has made, and return it; the items of an iterator are counted one by one."""
    allowed = _allowed()
    allowed.step()
    if isinstance(value, (str, bytes, bytearray)):
        allowed.spend(len(value))
    elif isinstance(value, _CONTAINERS):
        allowed.spend(_ITEM * len(value))
        if measured:
            allowed.measured(value)
    elif isinstance(value, Iterator):
        return _each(value)
    return value


def _each(items: Iterable[Any]) -> Iterator[Any]:
    allowed = _allowed()
    for item in items:
        allowed.step()
        allowed.spend(_ITEM + (len(item) if isinstance(item, (str, list)) else 0))
        yield item


def _joined(parts: Sequence[Any]) -> str:
    """Join the operands of ``~``."""
    allowed = _allowed()
    for part in parts:
        allowed.spend(allowed.measured(part))
    return "".join(map(str, parts))


@pass_eval_context
def _finalize(_: Any, value: Any) -> Any:
    """Count a value that goes into the output. It takes the context so that nothing is rendered at compile time."""
    allowed = _allowed()
    allowed.step()
    allowed.spend(allowed.measured(value))
    return value


class Bounding(NodeTransformer):
    """Wraps the loops, literals and ``~`` of a parsed template in the counting filters."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja2's name
        """Count each iteration of a loop."""
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _EACH)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Measure the operands before they are joined."""
        self.generic_visit(node)
        return _filtered(nodes.Tuple(node.nodes, "load", lineno=node.lineno), _JOINED)

    def _literal(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        is_target = isinstance(node, nodes.Tuple) and node.ctx != "load"
        return node if is_target else _filtered(node, _MADE)

    visit_List = visit_Tuple = visit_Dict = _literal  # noqa: N815


# Names that no template can write.
_EACH, _JOINED, _MADE = "each item", "joined parts", "made value"


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


# --- filters, methods and operators ---


def _bounded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter with checks and counting; it gets the same context as the original one."""
    leading = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        context, value, rest = args[:leading], args[leading] if len(args) > leading else None, args[leading + 1 :]
        _allowed().step()
        if name == "join" and isinstance(value, Iterable) and not isinstance(value, (str, *_CONTAINERS)):
            value = list(_each(value))  # the parts are measured before they are joined
        _check_filter(name, value, (*rest, *kwargs.values()))
        if name == "format":
            _check_percent(str(value), kwargs or rest)
        result = function(*context, *([value] if len(args) > leading else []), *rest, **kwargs)
        return _made(result, measured=name not in _ONCE)

    return bounded


def _check_filter(name: str, value: Any, options: Sequence[Any]) -> None:
    allowed = _allowed()
    if name not in _SHALLOW and isinstance(value, _CONTAINERS):
        allowed.spend(allowed.measured(value))
    if name in _SLOW and (size := allowed.measured(value)) > _MAX_SLOW:
        raise TooMuchWorkError(f"the filter {name} takes at most {_MAX_SLOW:,} characters, not {size:,}")
    if name in _REPEATING:
        _check_repetition(value, options)
    if name == "replace":
        _check_replacement(str(value), *options[:2])
    if name == "join":
        _check_join(str(options[0]) if options else "", value)


def _check_repetition(value: Any, options: Sequence[Any]) -> None:
    allowed, times = _allowed(), len(value) if isinstance(value, (str, *_CONTAINERS)) else 1
    for option in options:
        _check_number(option)
        allowed.measured(option)
        if isinstance(option, str) or (isinstance(option, int) and isinstance(value, str)):
            _check_size(max(times, 1) * (len(option) if isinstance(option, str) else abs(option)))


def _check_replacement(text: str, old: Any = "", new: Any = "", *_: Any) -> None:
    _check_size(len(text) + text.count(str(old)) * len(str(new)))


def _check_join(separator: str, items: Any) -> None:
    if isinstance(items, (str, *_CONTAINERS)):
        _check_size(_allowed().measured(items) + len(separator) * len(items))


def _check_number(value: Any) -> None:
    if isinstance(value, (int, float)) and abs(value) > MAX_NUMBER:
        raise TooMuchWorkError(f"a width or count above {MAX_NUMBER:,}")


def _check_size(size: int) -> None:
    if size > _allowed().size:
        raise TooMuchWorkError(f"it makes more than {MAX_SIZE:,} characters")


def _check_percent(text: str, values: Any) -> None:
    """Check the size of a printf result: the sum of its widths and of the values of its directives."""
    allowed, total, directives = _allowed(), len(text), 0
    for match in _PERCENT.finditer(text):
        directives += 1
        for number in match.groups():
            if number not in (None, "*"):
                _check_number(int(number[:10]))
                total += int(number[:10])
    given = list(values.values()) if isinstance(values, Mapping) else values if isinstance(values, tuple) else [values]
    for value in given:
        size = allowed.measured(value)
        total += size * directives if isinstance(values, Mapping) else size
        if "*" in text and isinstance(value, int):
            _check_number(value)
            total += abs(value)
    _check_size(total)


class _Formatter(SandboxedFormatter):
    """``str.format`` whose widths are checked and whose fields are counted."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        for number in _NUMBER.findall(format_spec):
            _check_number(int(number[:10]))
        allowed = _allowed()
        allowed.step()
        allowed.spend(allowed.measured(value))
        return _made(super().format_field(value, format_spec))


class Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox: the keys of a mapping come before its methods, a missing key is None, and work is counted."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        # Not optimized: constant expressions would be evaluated at compile time, where nothing counts them.
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_finalize, optimized=False)
        self.filters.update(filters)
        self.filters = {name: _bounded_filter(name, function) for name, function in self.filters.items()}
        self.filters.update({_EACH: _each, _JOINED: _joined, _MADE: _made})
        del self.globals["lipsum"]  # it makes any amount of text

    def concat(self, parts: Iterable[str]) -> str:
        """Join the pieces of a string, which are measured first: a loop gives the same piece many times."""
        size, kept = 0, []
        for part in parts:
            size += len(part)
            _check_size(size)
            kept.append(part)
        return "".join(kept)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Tell whether a template can use an attribute: a public one that changes nothing."""
        changes = attr in _CHANGING and isinstance(obj, (MutableMapping, MutableSequence, MutableSet))
        return not changes and super().is_safe_attribute(obj, attr, value)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return the value of ``obj.attribute``."""
        if isinstance(obj, Variables):
            value = obj[attribute]
            return obj.get if value is None and attribute == "get" else value
        if isinstance(obj, str) and attribute in ("format", "format_map"):
            return partial(self._formatted, obj, attribute)
        if not isinstance(obj, Mapping):
            return super().getattr(obj, attribute)
        if attribute in obj:
            return obj[attribute]
        if attribute in _METHODS or attribute.startswith("__"):
            return super().getattr(obj, attribute)
        return None

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return the value of ``obj[argument]``."""
        if isinstance(obj, (Mapping, Variables)) and isinstance(argument, str):
            return obj.get(argument)
        if isinstance(obj, str) and isinstance(argument, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja2
        """Call a function or a method for a template."""
        _allowed().step()
        _allowed().spend(_ITEM)
        if isinstance(__obj, LoopContext) and args:
            args = (_each(args[0]), *args[1:])  # a loop that calls itself
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(__obj, BuiltinMethodType) and isinstance(owner, (str, bytes, int)):
            if name in ("format", "format_map") and isinstance(owner, str):
                return __self._formatted(owner, name, *args, **kwargs)
            if name == "join" and args:
                args = (list(_each(args[0])),)
            _check_method(owner, name, (*args, *kwargs.values()))
        return _made(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Evaluate a binary operator."""
        _allowed().step()
        _check_operator(operator, left, right)
        return _made(super().call_binop(context, operator, left, right))

    def _formatted(self, text: str, method: str, *args: Any, **kwargs: Any) -> str:
        if method == "format_map":
            args, kwargs = (), args[0] if args else {}
        return type(text)(_Formatter(self).vformat(text, args, kwargs))


def _check_method(owner: Any, name: str, options: Sequence[Any]) -> None:
    """Check a method call on a string, bytes or a number."""
    if name in _WIDTHS:
        for option in options:
            _check_number(option)
    elif name == "expandtabs":
        _check_number(options[0] if options else 8)
        _check_size(len(owner) * max(1, *(int(option) for option in options), 8))
    elif name == "replace":
        _check_size(len(owner) + owner.count(options[0]) * len(options[1]) if len(options) > 1 else 0)
    elif name == "join" and options:
        _check_size(_allowed().measured(options[0]) + len(owner) * len(options[0]))
    elif name in ("encode", "decode"):
        unknown = [option for option in options[:1] if known_charset(option) is None]
        if unknown:
            raise TooMuchWorkError(f"{unknown[0]!r} is not a charset")
    elif name == "translate":
        raise TooMuchWorkError("translate can make a string of any size; use replace")


def _check_operator(operator: str, left: Any, right: Any) -> None:
    is_number = isinstance(left, int) and isinstance(right, int)
    if operator == "**" and is_number and left.bit_length() * max(right, 0) > _MAX_BITS:
        raise TooMuchWorkError(f"a power of more than {_MAX_BITS:,} bits")
    if operator == "*" and is_number and left.bit_length() + right.bit_length() > _MAX_BITS:
        raise TooMuchWorkError(f"a number of more than {_MAX_BITS:,} bits")
    if operator == "*" and not is_number:
        many, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(many, (str, bytes, list, tuple)) and isinstance(times, int):
            _check_size(_allowed().measured(many) * max(times, 0) if many else 0)
    if operator == "%" and isinstance(left, str):
        _check_percent(left, right)
