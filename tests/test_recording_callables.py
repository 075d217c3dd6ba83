"""Callables: what kind a callable is, and what stands for one shows its face."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from the_edge_obs.recording.callables import Standing, kind_of


def function() -> None: ...


async def coroutine() -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Tool:
    """An object that is called, with a state."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, n: int) -> int:
        self.calls += 1
        return n

    async def method(self) -> None: ...


class AsyncTool:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("fn", "kind"),
    [
        (function, "function"),
        (coroutine, "coroutine"),
        (generator, "generator"),
        (async_generator, "async_generator"),
        (functools.partial(functools.partial(coroutine)), "coroutine"),
        (functools.partial(AsyncTool()), "coroutine"),
        (Tool(), "function"),
        (AsyncTool(), "coroutine"),
        (Tool().method, "coroutine"),
        (Tool, "function"),
        (len, "function"),
        (functools.lru_cache(function), "function"),
        (MagicMock(), "function"),
        (AsyncMock(), "coroutine"),
        (Standing(coroutine, stands_for=coroutine), "coroutine"),
    ],
)
def test_kinds(fn: Any, kind: str) -> None:
    """As a caller sees it, through partials and objects."""
    assert kind_of(fn) == kind


def test_attributes_are_those_of_the_other() -> None:
    """They are read when asked for, and set there."""
    tool: Any = Tool()
    standing = Standing(lambda n: tool(n) + 1, stands_for=tool)
    assert (standing(1), standing.calls, tool.calls) == (2, 1, 1)
    standing.calls = 7
    assert (tool.calls, standing.__doc__, standing.__wrapped__) == (7, Tool.__doc__, tool)
    with pytest.raises(AttributeError, match="nothing"):
        standing.nothing  # noqa: B018 - the access is what is tested
    on_builtin = Standing(len, stands_for=len)
    on_builtin.mark = 1
    assert (on_builtin.mark, inspect.signature(on_builtin)) == (1, inspect.signature(len))
    assert repr(on_builtin) == "<standing <built-in function len>>"


def test_it_binds_as_the_other_does() -> None:
    """In a class a function and an ``lru_cache`` become methods; a partial, a builtin and an object do not."""

    class Owner:
        cached = Standing(lambda self, n: (type(self), n), stands_for=functools.lru_cache(lambda self, n: n))
        builtin = Standing(lambda n: n, stands_for=len)
        tool = Standing(lambda n: n, stands_for=Tool())
        bound = Standing(lambda n: n, stands_for=Tool().method)

    owner: Any = Owner()
    assert (owner.cached(1), owner.builtin(2), owner.tool(3), owner.bound(4)) == ((Owner, 1), 2, 3, 4)
    assert Owner.cached(owner, 5) == (Owner, 5)
