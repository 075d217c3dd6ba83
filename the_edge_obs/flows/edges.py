"""Read the ``edges`` block."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from ..errors import allowed
from . import checks
from .conditions import ALWAYS, Condition, compile_condition
from .model import END, START, Edge
from .spot import Spot
from .templates import Compiler

_KEYS: Final = ("from", "to", "when", "condition", "type", "fan_in")
_TYPES: Final = ("normal", "parallel")


def read_edges(spot: Spot, compiler: Compiler, data: Any, names: tuple[str, ...]) -> dict[str, tuple[Edge, ...]]:
    """Return the edges by the node they leave, in file order.

    An edge is noted when it is malformed, leads to an unknown node, or conflicts with another edge of the same node.

    Args:
        spot: The block.
        compiler: Compiles the conditions.
        data: What the block holds.
        names: The flow's nodes.
    """
    edges: dict[str, list[Edge]] = {}
    known = _Names(*(dict.fromkeys(some) for some in ((START, *names), names, (*names, END))))
    for index, item in enumerate(checks.listing(spot, data)):
        edge = spot.attempt(_edge, spot.item(index), compiler, item, known)
        if edge is None:
            continue
        earlier = edges.setdefault(edge.source, [])
        if earlier and earlier[0].fan_in != edge.fan_in:
            problem = (
                f"the edges from {edge.source!r} conflict: fan_in is {earlier[0].fan_in!r} on another and "
                f"{edge.fan_in!r} on this one; make all of them parallel with one fan_in, or none"
            )
            spot.item(index).note(problem)
        earlier.append(edge)
    return {start: tuple(leaving) for start, leaving in edges.items()}


class _Names(NamedTuple):
    """Names of nodes, in file order: those that an edge can leave, all of them, and those that it can lead to."""

    starts: Collection[str]
    nodes: Collection[str]
    targets: Collection[str]


def _edge(spot: Spot, compiler: Compiler, item: Any, names: _Names) -> Edge:
    data = checks.mapping(spot, item)
    checks.refuse_unknown(spot, data, _KEYS)
    condition = spot.attempt(_condition, spot, compiler, data) or ALWAYS
    spot.attempt(checks.refuse_unknown_target, spot.key("from"), data.get("from"), names.starts)
    kind = data.get("type", "normal")
    if kind not in _TYPES:
        raise spot.at("type").error(f"unknown type {kind!r}; {allowed(_TYPES, kind)}")
    targets = names.nodes if kind == "parallel" else names.targets
    checks.refuse_unknown_target(spot.key("to"), data.get("to"), targets)
    fan_in = data.get("fan_in")
    if (fan_in is None) is (kind == "parallel"):
        raise spot.error("fan_in and type: parallel go together; give both or neither")
    if fan_in is not None:
        checks.refuse_unknown_target(spot.key("fan_in"), fan_in, names.nodes)
    if fan_in == data["to"]:
        raise spot.error(f"{fan_in!r} is both a branch and its own fan_in; name the node that joins the branches")
    return Edge(str(data.get("from")), data["to"], condition, fan_in)


def _condition(spot: Spot, compiler: Compiler, data: dict[str, Any]) -> Condition:
    """Read ``when``, or ``condition`` with ``when`` as the truth value it must have."""
    if data.get("condition") is None:
        if data.get("when") is None:
            return ALWAYS
        return compile_condition(compiler, data["when"], spot.at("when"))
    condition, where, expected = data["condition"], spot.at("condition"), data.get("when", True)
    if not isinstance(expected, bool):
        raise spot.key("when").wrong(expected, "true or false beside a condition")
    if isinstance(condition, dict):
        checks.refuse_unknown(spot.key("condition"), condition, ("type", "value"))
        if condition.get("type") != "expression":
            raise where.error(f"unknown condition type {condition.get('type')!r}; allowed: expression")
        condition, where = condition.get("value"), where.at("value")
    return compile_condition(compiler, condition, where, expected=expected)
