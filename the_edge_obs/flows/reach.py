"""Find the nodes of a flow that can never run, whatever its conditions evaluate to."""

from __future__ import annotations

from collections.abc import Iterator

from .model import END, START, FanOutBody, Plan


def unreached(plan: Plan) -> list[str]:
    """Return the nodes that no edge, jump, fallback or preceding node leads to, in file order."""
    seen, ahead = {START, END}, [START]
    while ahead:
        for name in _following(plan, ahead.pop()):
            if name not in seen:
                seen.add(name)
                ahead.append(name)
    return [name for name in plan.nodes if name not in seen]


def _following(plan: Plan, name: str) -> Iterator[str]:
    """Yield every node that may run after this one."""
    node = plan.nodes.get(name)
    if node is not None and node.on_error.fallback is not None:
        yield node.on_error.fallback
    if node is not None and node.goto is not None:
        yield from (jump.target for jump in node.goto)
        return
    edges = plan.edges.get(name, ())
    for edge in edges:
        yield edge.target
        if edge.fan_in is not None:
            yield edge.fan_in
    if not edges:
        fan_in = node.body.fan_in if node is not None and isinstance(node.body, FanOutBody) else None
        yield fan_in or plan.following(name)
