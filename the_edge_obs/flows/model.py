"""A loaded flow: frozen data that the loader makes and the runner reads.

Everything that can be decided once is decided at load time: templates and code are compiled, actions are looked up,
targets are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..actions.registry import Registry

if TYPE_CHECKING:
    from .calling import Calling
    from .conditions import Condition
    from .inline_code import InlineCode
    from .templates import Renderer

START = "__start__"
END = "__end__"

Mode = Literal["raise", "retry", "graceful"]


@dataclass(frozen=True, slots=True)
class Output:
    """Where a result goes: under one key, under several keys by templates that see ``result``, or merged into the state."""

    key: str | None = None
    mapping: Renderer | None = None


@dataclass(frozen=True, slots=True)
class ActionBody:
    """``uses``: one call of a registered action."""

    name: str
    calling: Calling
    params: Renderer
    output: Output


@dataclass(frozen=True, slots=True)
class CodeBody:
    """``run``: inline Python; ``output_key`` receives the value of an expression."""

    code: InlineCode
    output_key: str | None = None


@dataclass(frozen=True, slots=True)
class StepsBody:
    """``steps``: nodes that run one after the other."""

    steps: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class SubflowBody:
    """``flow``: another flow file, whose initial state is given by ``with``."""

    plan: Plan
    params: Renderer
    output: Output


@dataclass(frozen=True, slots=True)
class LoopBody:
    """``type: while_loop``: the body runs while the condition holds, at most ``max_iterations`` times."""

    condition: Condition
    max_iterations: int
    steps: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class FanOutBody:
    """``type: dynamic_parallel``: the steps run once for each item, in threads."""

    items: Renderer
    item_var: str
    index_var: str
    max_concurrency: Renderer
    steps: tuple[Node, ...]
    fan_in: str | None
    output: str | None
    fail_fast: bool = False


Body: TypeAlias = ActionBody | CodeBody | StepsBody | SubflowBody | LoopBody | FanOutBody


@dataclass(frozen=True, slots=True)
class Jump:
    """One rule of a ``goto``: a target and its condition."""

    target: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class OnError:
    """What happens when a node fails.

    Args:
        mode: raise (the flow fails), retry (then the flow fails, or continues at the fallback), graceful (the flow continues).
        max_retries: Attempts after the first one; mode retry only.
        delay: Seconds before the second attempt, before jitter.
        backoff: Factor by which the delay grows from attempt to attempt.
        fallback: The node to continue with after a failure, or None.
        retryable: Names of the exception classes that are retried; None for all.
    """

    mode: Mode = "raise"
    max_retries: int = 0
    delay: float = 1.0
    backoff: float = 2.0
    fallback: str | None = None
    retryable: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its name, its body, its error handling, and where the flow goes afterwards."""

    name: str
    body: Body
    on_error: OnError = field(default_factory=OnError)
    goto: tuple[Jump, ...] | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge; ``fan_in`` is set on parallel ones and names the node that joins the branches."""

    source: str
    target: str
    condition: Condition
    fan_in: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole flow, ready to run.

    Args:
        name: The flow's name.
        path: Its file, or None for a flow given as a dict.
        folder: The file's folder as an absolute path; ``.`` for a flow given as a dict.
        variables: Constants that templates and code read.
        initial_state: The state to begin with; a run's own state wins over it.
        settings: The ``settings`` block, its templates rendered.
        nodes: Every top-level node by name, in file order.
        edges: The edges that leave a node, by its name, in file order.
        registry: Every action that the flow knows.
        observability: The ``observability`` block, or None when there is none.
        max_steps: How many nodes a run can execute before it counts as an endless loop.
        sha256: The digest of the flow, as in ``yaml_source.Source``.
    """

    name: str
    path: str | None
    folder: str
    variables: Mapping[str, Any]
    initial_state: Mapping[str, Any]
    settings: Mapping[str, Any]
    nodes: Mapping[str, Node]
    edges: Mapping[str, tuple[Edge, ...]]
    registry: Registry
    observability: Mapping[str, Any] | None
    max_steps: int
    sha256: str | None = None

    def following(self, name: str) -> str:
        """Return the next node in the file; after START the first one, after the last one END."""
        names = list(self.nodes)
        position = 0 if name == START else names.index(name) + 1
        return names[position] if position < len(names) else END
