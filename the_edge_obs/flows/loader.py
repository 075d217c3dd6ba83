"""Load a flow file or dict into a plan: everything is checked and compiled here, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ..actions.registry import Registry
from ..errors import ConfigurationError, FlowFileError, FlowRunError, allowed
from ..event import ROOT_NODE
from ..yaml_reader import Place
from . import checks
from .edges import read_edges
from .importing import Engine, import_actions
from .model import Plan
from .nodes import NodeReader
from .sandbox import Variables
from .templates import Compiler
from .yaml_source import EnoughError, Source, from_data, read_file

_KEYS: Final = (
    "name",
    "description",
    "version",
    "variables",
    "initial_state",
    "settings",
    "state_schema",
    "imports",
    "nodes",
    "edges",
    "observability",
)
_MAX_STEPS: Final = 10_000
# A message names its subject first, and may quote a long value after it; in characters.
_SUBJECT: Final = 500


@dataclass(frozen=True, slots=True)
class Loading:
    """What a flow and its sub-flows are loaded with.

    Args:
        base: The actions to begin with: the builtin ones, or the parent flow's.
        actions: Actions that replace or extend all others, imported ones too.
        allow_code: Whether a flow may bring code of its own (``run`` nodes, ``imports``, callbacks), and may read ``env``.
        chain: The files being loaded, outermost first; none of them may come again.
    """

    base: Registry
    actions: Registry
    allow_code: bool = True
    chain: tuple[str, ...] = ()


def load_plan(flow: str | Path | Mapping[str, Any], loading: Loading) -> Plan:
    """Load a flow.

    Args:
        flow: A YAML file, or what such a file holds.
        loading: Actions and switches.

    Raises:
        FlowFileError: There is a mistake in it; the message has file and line, what is wrong and what is allowed.
    """
    if isinstance(flow, Mapping):
        return _plan(from_data(flow), loading)
    if not isinstance(flow, (str, Path)):
        raise FlowFileError(f"a flow is given as {flow!r}; {allowed(['a path', 'a dict'])}")
    return _plan(read_file(flow), replace(loading, chain=(*loading.chain, str(Path(flow).resolve()))))


def _plan(source: Source, loading: Loading) -> Plan:
    try:
        plan = source.attempt(_read, source, loading)
    except EnoughError:
        plan = None
    source.refuse_mistakes()
    assert plan is not None
    return plan


def _read(source: Source, loading: Loading) -> Plan:
    """Return the plan as far as it can be read: with a mistake in the source it is not to be used."""
    data, attempt = _top_level(source), source.attempt
    # state_schema is informational, as it is in The Edge Agent: it documents the state's keys and checks nothing.
    keys = ("variables", "initial_state", "settings", "state_schema")
    variables, initial, settings, _ = (attempt(checks.mapping, source, data.get(key), (key,), key) or {} for key in keys)
    folder = str(Path(source.path).resolve().parent) if source.path else "."
    compiler = Compiler.of(source, variables, with_env=loading.allow_code)
    settings = attempt(_rendered, source, compiler, settings, folder) or {}
    registry = attempt(_registry, source, data, Engine(dict(loading.base), variables, settings), loading)
    known = registry if registry is not None else {**loading.base, **loading.actions}
    subflows = _Subflows(source, replace(loading, base=known))
    reader = NodeReader(source, compiler, known, subflows, loading.allow_code, knows_all=registry is not None)
    nodes = attempt(reader.top_level, data.get("nodes")) or {}
    edges = attempt(read_edges, source, compiler, data.get("edges"), tuple(nodes)) if nodes else None
    return Plan(
        name=attempt(_name, source, data) or ROOT_NODE,
        path=source.path,
        folder=folder,
        variables=variables,
        initial_state=initial,
        settings=settings,
        nodes=nodes,
        edges=edges or {},
        registry=known,
        observability=attempt(_observability, source, data, loading),
        max_steps=attempt(_max_steps, source, settings) or _MAX_STEPS,
        sha256=source.sha256,
    )


def _top_level(source: Source) -> dict[str, Any]:
    if not isinstance(source.data, dict):
        kind = type(source.data).__name__
        raise source.error(f"a flow is a mapping with nodes: in it, not a {kind}; {allowed(_KEYS)}", line=1)
    checks.refuse_unknown(source, source.data, _KEYS, (), "the flow")
    if source.data.get("nodes") is None:
        raise source.error(f"the flow has no nodes; add nodes: with at least one; {allowed(_KEYS)}", ("nodes",))
    return source.data


def _name(source: Source, data: Mapping[str, Any]) -> str:
    if data.get("name") is None:
        return Path(source.path).stem if source.path else ROOT_NODE
    return checks.text(source, data["name"], ("name",), "name")


def _rendered(source: Source, compiler: Compiler, settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return the settings with their templates rendered, which see the variables, the environment and the folder, no state."""
    names = {"variables": compiler.variables, "flow_dir": folder, "env": Variables()}
    narrowed = replace(compiler, names=compiler.names & names.keys())
    renderer = narrowed.value(settings, ("settings",), "settings")
    try:
        return dict(renderer.render(names))
    except FlowRunError as error:
        raise source.error(str(error), ("settings",)) from error


def _max_steps(source: Source, settings: Mapping[str, Any]) -> int:
    most = settings.get("max_steps", _MAX_STEPS)
    return checks.whole_number(source, most, ("settings", "max_steps"), "settings.max_steps", 1)


def _observability(source: Source, data: Mapping[str, Any], loading: Loading) -> Mapping[str, Any] | None:
    if "observability" not in data:
        return None
    # Imported here: a flow without a block needs nothing of it.
    from ..config import check_block

    block = checks.mapping(source, data["observability"], ("observability",), "observability")
    if not loading.allow_code:
        _refuse_callbacks(source, block)
    # Key by key, so that the mistakes of all of them are found; then as a whole. Callbacks are imported when the flow runs,
    # before its first node: loading a flow alone brings in what it imports.
    before = len(source.mistakes)
    for part in (*({key: value} for key, value in block.items()), block):
        if part is block and len(source.mistakes) > before:
            break
        try:
            check_block(part, import_callbacks=False)
        except ConfigurationError as error:
            source.note(str(error), blamed(source, str(error)))
    return block


def _refuse_callbacks(source: Source, block: Mapping[str, Any]) -> None:
    handlers = block.get("handlers")
    for index, handler in enumerate(handlers if isinstance(handlers, list) else []):
        if isinstance(handler, Mapping) and (handler.get("type") == "callback" or "callback" in handler):
            what = f"observability.handlers[{index}].callback is {handler.get('callback')!r}"
            problem = f"{what}, which brings code and is not allowed here; use a handler of type console or file"
            raise source.error(problem, ("observability", "handlers", index, "callback"))


def blamed(source: Source, message: str) -> Place:
    """Return the place that a message about the block is about: ``observability.handlers[0]``, or a key it quotes there."""
    found: Place = ("observability",)
    message = message[:_SUBJECT]
    inside = [place for place in source.lines if place[0] == "observability"]
    for place in inside:
        if _dotted(place) in message and len(place) > len(found):
            found = place
    keys = [place for place in inside if place[:-1] == found and f"key {place[-1]!r}" in message]
    return keys[0] if keys else found


def _dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _registry(source: Source, data: Mapping[str, Any], engine: Engine, loading: Loading) -> Registry:
    if data.get("imports") and not loading.allow_code:
        raise source.error("imports bring code, which is not allowed here; pass the actions to load()", ("imports",))
    import_actions(source, data.get("imports"), engine)
    engine.actions_registry.update(loading.actions)
    return engine.actions_registry


@dataclass(frozen=True, slots=True)
class _Subflows:
    """Loads the sub-flows of one flow."""

    source: Source
    loading: Loading

    def __call__(self, name: str, place: Place) -> Plan:
        folder = Path(self.source.path).parent if self.source.path else Path()
        path = folder / name
        if not path.is_file():
            raise self.source.error(f"flow file {name!r} does not exist at {str(path)!r}; a path starts at this file", place)
        chain = self.loading.chain
        if (resolved := str(path.resolve())) in chain:
            names = [Path(link).name for link in (*chain[chain.index(resolved) :], resolved)]
            raise self.source.error(f"sub-flow {name!r} runs in a circle: {' -> '.join(names)}", place)
        return load_plan(path, self.loading)
