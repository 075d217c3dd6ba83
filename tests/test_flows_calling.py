"""Calling actions: what their signature asks for, and results that are not there yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from the_edge_obs.flows.calling import calling, finished
from the_edge_obs.flows.tracing import SILENT

GIVEN = {"state": {"s": 1}, "config": "the config", "node": "the node", "graph": "the graph"}


def bare(state: Any, a: int) -> Any:
    return (state, a)


def with_node(state: Any, *, a: int = 0, node: str) -> Any:
    return (a, node)


def open_to_all(state: Any, **kwargs: Any) -> Any:
    return kwargs


def without_state(a: int) -> Any:
    return a


class Unreadable:
    __signature__ = "none"

    def __call__(self, **kwargs: Any) -> Any:
        return kwargs


print_like = Unreadable()


class Callable:
    def __call__(self, state: Any, a: int) -> Any:
        return ("called", a)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (bare, ({"s": 1}, 7)),
        (with_node, (7, "the node")),
        (open_to_all, {"a": 7, "config": "the config", "node": "the node", "graph": "the graph"}),
        (without_state, 7),
        (Callable(), ("called", 7)),
    ],
)
def test_arguments_follow_the_signature(function: Any, expected: Any) -> None:
    """State, config, node and graph go only to those that take them."""
    assert calling(function)(GIVEN, {"a": 7}) == expected


def test_parameters_win_over_what_is_given() -> None:
    """A flow that sets ``node`` means its own."""
    assert calling(with_node)(GIVEN, {"a": 7, "node": "mine"}) == (7, "mine")


@pytest.mark.parametrize(
    ("function", "accepted", "required"),
    [
        (bare, ("state", "a"), ("a",)),
        (with_node, ("state", "a", "node"), ()),
        (open_to_all, None, ()),
        (print_like, None, ()),
    ],
)
def test_signature(function: Any, accepted: Any, required: Any) -> None:
    """What can be checked before anything runs; a callable without a signature takes anything."""
    found = calling(function)
    assert (found.accepted, found.required) == (accepted, required)


async def answer(state: Any, a: int) -> int:
    await asyncio.sleep(0)
    return a


async def stream(state: Any, a: int) -> AsyncIterator[int]:
    for item in range(a):
        yield item


def parts(state: Any, a: int) -> Iterator[int]:
    yield from range(a)


def parts_and_sum(state: Any, a: int) -> Any:
    yield from range(a)
    return {"sum": sum(range(a))}


RESULTS = [(answer, 3), (stream, [0, 1, 2]), (parts, [0, 1, 2]), (parts_and_sum, {"sum": 3})]


@pytest.mark.parametrize(("function", "expected"), RESULTS)
def test_results_are_finished(function: Any, expected: Any) -> None:
    """Coroutines are awaited, generators drained; what a generator returns wins."""
    assert finished(calling(function)(GIVEN, {"a": 3}), SILENT.node("n", None)) == expected


@pytest.mark.parametrize(("function", "expected"), RESULTS)
def test_results_are_finished_inside_a_running_loop(function: Any, expected: Any) -> None:
    """A flow that is run from async code, as in a notebook, works as well."""

    async def main() -> Any:
        return finished(calling(function)(GIVEN, {"a": 3}), SILENT.node("n", None))

    assert asyncio.run(main()) == expected
