"""Read the ``edges`` block."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from ..configuration.yaml_reader import Place
from ..errors import allowed
from . import checks
from .conditions import ALWAYS, Condition, compile_condition
from .model import END, START, Edge
from .templates import Compiler
from .yaml_source import Source

_KEYS: Final = ("from", "to", "when", "condition", "type", "fan_in")
_TYPES: Final = ("normal", "parallel")


def read_edges(source: Source, compiler: Compiler, data: Any, names: tuple[str, ...]) -> dict[str, tuple[Edge, ...]]:
    """Return the edges by the node they leave, in file order.

    Args:
        source: The flow.
        compiler: Compiles the conditions.
        data: The block.
        names: The flow's nodes.

    Edges that are malformed, lead to no node, or do not fit the others that leave the same node are noted.
    """
    edges: dict[str, list[Edge]] = {}
    borders = _Names(*(dict.fromkeys(some) for some in ((START, *names), names, (*names, END))))
    for index, item in enumerate(checks.listing(source, data, ("edges",), "edges")):
        place: Place = ("edges", index)
        edge = source.attempt(_edge, source, compiler, item, place, borders)
        if edge is None:
            continue
        earlier = edges.setdefault(edge.source, [])
        if earlier and earlier[0].fan_in != edge.fan_in:
            problem = (
                f"edges from {edge.source!r} do not fit together: fan_in is {earlier[0].fan_in!r} on one and "
                f"{edge.fan_in!r} on this one; let all of them be parallel with one fan_in, or none"
            )
            source.note(problem, place)
        earlier.append(edge)
    return {start: tuple(those) for start, those in edges.items()}


class _Names(NamedTuple):
    """Names of nodes, in file order: those that an edge may leave, all, and those that it may lead to."""

    starts: Collection[str]
    nodes: Collection[str]
    targets: Collection[str]


def _edge(source: Source, compiler: Compiler, item: Any, place: Place, names: _Names) -> Edge:
    owner = f"edges[{place[-1]}]"
    data = checks.mapping(source, item, place, owner)
    checks.refuse_unknown(source, data, _KEYS, place, owner)
    condition = source.attempt(_condition, source, compiler, data, place, owner) or ALWAYS
    leaves = (source, data.get("from"), names.starts, (*place, "from"), f"{owner}: from")
    source.attempt(checks.refuse_unknown_target, *leaves)
    kind = data.get("type", "normal")
    if kind not in _TYPES:
        raise source.error(f"{owner}: unknown type {kind!r}; {allowed(_TYPES, kind)}", (*place, "type"))
    targets = names.nodes if kind == "parallel" else names.targets
    checks.refuse_unknown_target(source, data.get("to"), targets, (*place, "to"), f"{owner}: to")
    fan_in = data.get("fan_in")
    if (fan_in is None) is (kind == "parallel"):
        raise source.error(f"{owner}: fan_in and type: parallel belong together; give both or none", place)
    if fan_in is not None:
        checks.refuse_unknown_target(source, fan_in, names.nodes, (*place, "fan_in"), f"{owner}: fan_in")
    if fan_in == data["to"]:
        raise source.error(f"{owner}: {fan_in!r} is both a branch and its own fan_in; name the joining node", place)
    return Edge(str(data.get("from")), data["to"], condition, fan_in)


def _condition(source: Source, compiler: Compiler, data: dict[str, Any], place: Place, owner: str) -> Condition:
    """Read ``when``, or ``condition`` with ``when`` as the truth value it must have."""
    if data.get("condition") is None:
        if data.get("when") is None:
            return ALWAYS
        return compile_condition(compiler, data["when"], (*place, "when"), owner)
    condition, here, expected = data["condition"], (*place, "condition"), data.get("when", True)
    if not isinstance(expected, bool):
        problem = f"{owner}: when is {expected!r}; beside a condition it is true or false"
        raise source.error(problem, (*place, "when"))
    if isinstance(condition, dict):
        checks.refuse_unknown(source, condition, ("type", "value"), here, f"{owner}: condition")
        if condition.get("type") != "expression":
            problem = f"{owner}: unknown condition type {condition.get('type')!r}; allowed: expression"
            raise source.error(problem, here)
        condition, here = condition.get("value"), (*here, "value")
    return compile_condition(compiler, condition, here, owner, expected=expected)
