"""The decorator on everything: each row of the guide's table is a case here, works for its callers as before, or is refused."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import dataclasses
import functools
import inspect
import json
import math
import pickle
import re
import sys
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any, overload

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError

GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "guide.md"
observable = obs.observable


@dataclasses.dataclass
class Point:
    """Everything that a class can hold, observed."""

    x: int = 2

    @observable
    def method(self, n: int) -> int:
        return self.x * n

    @observable
    @staticmethod
    def static_below(n: int) -> int:
        return n

    @staticmethod
    @observable
    def static_above(n: int) -> int:
        return n

    @observable
    @classmethod
    def class_below(cls, n: int) -> str:
        return cls.__name__ * n

    @classmethod
    @observable
    def class_above(cls, n: int) -> str:
        return cls.__name__ * n

    @property
    @observable
    def prop(self) -> int:
        return self.x

    @functools.cached_property
    @observable
    def cached_prop(self) -> int:
        return self.x

    @observable
    def base(self, a: int, b: int) -> int:
        return self.x + a + b

    part_method = functools.partialmethod(base, 10)

    @functools.singledispatchmethod
    @observable
    def dispatched(self, value: Any) -> str:
        return "any"

    @dispatched.register
    @observable("dispatched.int")
    def _(self, value: int) -> str:
        return "int"

    @observable
    def __call__(self, n: int) -> int:
        return self.x + n

    @observable
    @functools.lru_cache  # noqa: B019 - the test's own
    def cached_method(self, n: int) -> int:
        return n

    __hash__ = object.__hash__


class Shape(abc.ABC):
    """With an abstract method, observed above and below."""

    @observable
    @abc.abstractmethod
    def above(self) -> int: ...

    @abc.abstractmethod
    @observable
    def below(self) -> int: ...


class Square(Shape):
    """It has one of the two only."""

    def above(self) -> int:
        return 1


class Tool:
    """A callable object with a state and a name of its own."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, n: int) -> int:
        self.calls += 1
        return n


class Keeps:
    """A class whose attributes are callables that do not bind."""

    tool = observable(Tool())
    builtin = observable(len)


@overload
def overloaded(n: int) -> int: ...
@overload
def overloaded(n: str) -> str: ...
@observable
def overloaded(n: Any) -> Any:
    return n


@functools.singledispatch
def dispatched(value: Any) -> str:
    return "any"


def plain(n: int) -> int:
    return n


async def coroutine(n: int) -> int:
    return n


def generator(n: int) -> Iterator[int]:
    yield from range(n)


async def async_generator(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@types.coroutine
def stepwise(n: int) -> Generator[Any, Any, int]:
    yield from asyncio.sleep(0).__await__()
    return n


async def awaited(waiting: Any) -> Any:
    return await waiting


@contextlib.contextmanager
def manager(n: int) -> Iterator[int]:
    yield n


@contextlib.asynccontextmanager
async def async_manager(n: int) -> AsyncIterator[int]:
    yield n


def decorated(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


def in_with(made: Any, n: int) -> int:
    with made(n) as value:
        return int(value)


async def in_async_with(made: Any, n: int) -> int:
    async with made(n) as value:
        return int(value)


async def drain(made: Any, n: int) -> list[int]:
    return [item async for item in made(n)]


def singledispatch_above(n: int) -> list[str]:
    observed: Any = observable("dispatched")(functools.singledispatch(dispatched.__wrapped__))  # type: ignore[attr-defined]
    observed.register(int, lambda value: "int")
    assert set(observed.registry) == {object, int}
    return [observed(n), observed("x")]


def cached() -> list[Any]:
    observed: Any = observable("cached")(functools.lru_cache(maxsize=8)(plain))
    assert (observed(3), observed(3), observed.cache_info().hits, observed.cache_parameters()["maxsize"]) == (3, 3, 1, 8)
    observed.cache_clear()
    return [observed.cache_info().hits, inspect.signature(observed) == inspect.signature(plain)]


def with_state() -> list[int]:
    tool: Any = Tool()
    observed: Any = observable("tool")(tool)
    observed(1)
    assert observed.calls == 1
    observed.calls = 7
    return [observed(1), tool.calls]


POINT = Point()

# What stands in the first column; what is called; what it returns; the nodes that log it.
WORKS: dict[str, tuple[Callable[[], Any], Any, list[str]]] = {
    "function": (lambda: observable(plain)(3), 3, ["plain"]),
    "`lambda`": (lambda: observable(lambda n: n)(3), 3, ["lambda"]),
    "coroutine function": (lambda: asyncio.run(observable(coroutine)(3)), 3, ["coroutine"]),
    "generator function": (lambda: list(observable(generator)(2)), [0, 1], ["generator"]),
    "async generator function": (lambda: asyncio.run(drain(observable(async_generator), 2)), [0, 1], ["async_generator"]),
    "generator that `types.coroutine` makes awaitable": (lambda: asyncio.run(awaited(observable(stepwise)(3))), 3, ["stepwise"]),
    "method": (lambda: (POINT.method(3), Point.method(POINT, 3)), (6, 6), ["method", "method"]),
    "bound method": (lambda: observable("bound")(POINT.method)(3), 6, ["bound", "method"]),
    "`staticmethod`, in either order": (
        lambda: (POINT.static_below(3), Point.static_below(3), POINT.static_above(3)), (3, 3, 3),
        ["static_below", "static_below", "static_above"],
    ),
    "`classmethod`, in either order": (
        lambda: (POINT.class_below(1), Point.class_below(1), Point.class_above(1)), ("Point",) * 3,
        ["class_below", "class_below", "class_above"],
    ),
    "below `property` or `cached_property`": (
        lambda: (POINT.prop, Point().cached_prop), (2, 2), ["prop", "cached_prop"],
    ),
    "below `partialmethod`": (lambda: POINT.part_method(1), 13, ["base"]),
    "below `singledispatchmethod`": (
        lambda: (POINT.dispatched("x"), POINT.dispatched(1)), ("any", "int"), ["dispatched", "dispatched.int"],
    ),
    "`__call__`, methods of dataclasses": (lambda: POINT(1), 3, ["__call__"]),
    "abstract method, in either order": (lambda: sorted(Shape.__abstractmethods__), ["above", "below"], []),
    "`overload`": (lambda: (overloaded(1), overloaded("a")), (1, "a"), ["overloaded", "overloaded"]),
    "`partial`": (lambda: observable("part")(functools.partial(plain, 3))(), 3, ["part"]),
    "callable object": (with_state, [1, 8], ["tool", "tool"]),
    "callable that does not bind, in a class": (
        lambda: (Keeps().tool(3), Keeps().builtin("ab")), (3, 2), ["Tool", "len"],
    ),
    "`lru_cache`, `cache`": (cached, [0, True], ["cached", "cached"]),
    "`lru_cache` of a method": (lambda: POINT.cached_method(3), 3, ["cached_method"]),
    "`singledispatch`": (lambda: singledispatch_above(3), ["int", "any"], ["dispatched", "dispatched"]),
    "`contextmanager`": (lambda: in_with(observable(manager), 3), 3, ["manager"]),
    "`asynccontextmanager`": (lambda: asyncio.run(in_async_with(observable(async_manager), 3)), 3, ["async_manager"]),
    "chain of `functools.wraps`": (lambda: observable(decorated(decorated(plain)))(3), 3, ["plain"]),
    "another `observable`": (lambda: observable("outer")(observable("inner")(plain))(3), 3, ["outer", "inner"]),
    "builtin, C function": (lambda: (observable(len)("ab"), observable(math.floor)(2.5)), (2, 2), ["len", "floor"]),
    "method of a builtin type": (lambda: observable("upper")(str.upper)("a"), "A", ["upper"]),
}  # fmt: skip

REFUSED: dict[str, tuple[list[Any], str]] = {
    "above `property` or `cached_property`": (
        [property(plain), functools.cached_property(plain), Point.__dict__["prop"]],
        r"put @observable below @(cached_)?property, right above the function",
    ),
    "above `partialmethod`": ([functools.partialmethod(plain, 1)], "decorate the method that it is made of"),
    "above `singledispatchmethod`": (
        [functools.singledispatchmethod(plain)],
        "put @observable below @singledispatchmethod, right above the function",
    ),
    "class": ([Point, int, Exception], "decorate its methods, or the function that makes it"),
    "coroutine": ([coroutine], "decorate the coroutine function, not its call"),
    "anything else": ([42, 4.5, json, object(), [plain], {"a": plain}], r"allowed: a function, .* @observable\('llm\.call'\)"),
}


@pytest.mark.parametrize("row", WORKS)
def test_it_works_for_its_callers_and_is_observed(ring: obs.RingBufferHandler, row: str) -> None:
    """The same result as without it, and a span per call."""
    call, expected, nodes = WORKS[row]
    with obs.flow() as run:
        assert call() == expected
    events = ring.events(run.flow_id)
    ends = [event["node"] for event in events if event["event_type"] == "exit" and event["node"] != "flow"]
    entries = [event["node"] for event in events if event["event_type"] == "entry" and event["node"] != "flow"]
    assert (entries, sorted(ends)) == (nodes, sorted(nodes))


@pytest.mark.parametrize("row", REFUSED)
def test_it_is_refused_with_the_way_out(row: str) -> None:
    """Bare, with a name, and with brackets alone: when it is decorated, and with what to do."""
    values, way_out = REFUSED[row]
    for value in values:
        made = value(1) if row == "coroutine" else value
        for decorate in (observable, observable("named"), observable(level="debug")):
            with pytest.raises(ConfigurationError, match=f"cannot be observed; {way_out}") as caught:
                decorate(made)
            assert "cannot be observed" in str(caught.value)
        if row == "coroutine":
            made.close()


def test_the_guide_has_every_row() -> None:
    """The table in the guide and the cases here are one list."""
    section = GUIDE.read_text(encoding="utf-8").partition("### What can be decorated")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (.+?) \| (\w+)", section, re.MULTILINE)[1:]
    assert rows == [*((row, "observed") for row in WORKS), *((row, "refused") for row in REFUSED)]


def test_an_abstract_method_stays_abstract() -> None:
    """A class that does not have it cannot be made."""
    with pytest.raises(TypeError, match="below"):
        Square()  # type: ignore[abstract]


def test_observed_objects_go_by_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a module holds under its name is pickled by that, as the callable below would be."""
    module: Any = types.ModuleType("observed_module")
    code = "@obs.observable\n@functools.lru_cache\ndef cached(n): return n\n"
    vars(module).update(obs=obs, functools=functools)
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, "observed_module", module)
    assert pickle.loads(pickle.dumps(module.cached)) is module.cached
