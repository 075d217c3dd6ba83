"""Load a flow file or dict into a plan: everything is checked and compiled here, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ..actions.registry import Registry
from ..configuration.yaml_reader import Place
from ..errors import ConfigurationError, FlowFileError, FlowRunError, allowed
from ..event import ROOT_NODE
from . import checks, tea
from .edges import read_edges
from .importing import Engine, import_actions
from .model import Edge, Node, Plan
from .nodes import NodeReader
from .sandbox import Variables
from .spot import Spot
from .templates import Compiler
from .yaml_source import EnoughError, Source, from_data, read_file

_KEYS: Final = (
    "name",
    "description",
    "version",
    "variables",
    "initial_state",
    "settings",
    "config",
    "state_schema",
    "imports",
    "nodes",
    "edges",
    "observability",
)
# state_schema is informational, as it is in The Edge Agent: it documents the keys of the state and checks nothing.
_MAPPINGS: Final = ("variables", "initial_state", "settings", "state_schema")
_MAX_STEPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Loading:
    """The actions and switches that a flow and its sub-flows are loaded with.

    Args:
        base: The initial actions: the builtin ones, or those of the parent flow.
        actions: Actions that replace or extend all others, imported ones too.
        allow_code: Whether a flow can bring its own code (``run`` nodes, ``imports``, callbacks) and read ``env``.
        chain: The files being loaded, outermost first; a sub-flow cannot be one of them.
    """

    base: Registry
    actions: Registry
    allow_code: bool = True
    chain: tuple[str, ...] = ()


def load_plan(flow: str | Path | Mapping[str, Any], loading: Loading) -> Plan:
    """Load a flow.

    Args:
        flow: A YAML file, or the content of such a file.
        loading: Actions and switches.

    Raises:
        FlowFileError: There is a mistake in it; the message has file and line, what is wrong and what is allowed.
    """
    if isinstance(flow, Mapping):
        return _plan(from_data(flow), loading)
    if not isinstance(flow, (str, Path)):
        raise FlowFileError(f"flow is {flow!r}; it must be a path or a dict")
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
    """Return the plan as far as it can be read: it must not be used when mistakes were noted."""
    flow = Spot(source)
    data, attempt = _top_level(flow), source.attempt
    variables, initial, settings, _ = (attempt(checks.mapping, flow.key(key), data.get(key)) or {} for key in _MAPPINGS)
    attempt(tea.check_config, flow.key("config"), data.get("config"))
    folder = str(Path(source.path).resolve().parent) if source.path else "."
    compiler = Compiler.of(variables, with_env=loading.allow_code)
    settings = attempt(_rendered, flow.key("settings"), compiler, settings, folder) or {}
    engine = Engine(dict(loading.base), variables, settings)
    registry = attempt(_registry, flow.key("imports"), data.get("imports"), engine, loading)
    known = registry if registry is not None else {**loading.base, **loading.actions}
    subflow = _Subflows(replace(loading, base=known))
    nodes, edges = _graph(flow, data, NodeReader(compiler, known, subflow, loading.allow_code, knows_all=registry is not None))
    return Plan(
        name=attempt(_name, flow.key("name"), data.get("name")) or ROOT_NODE,
        path=source.path,
        folder=folder,
        variables=variables,
        initial_state=initial,
        settings=settings,
        nodes=nodes,
        edges=edges,
        registry=known,
        observability=attempt(_observability, flow.key("observability"), data, loading),
        max_steps=attempt(_max_steps, flow.at("settings", "max_steps"), settings) or _MAX_STEPS,
        sha256=source.sha256,
    )


def _graph(flow: Spot, data: Mapping[str, Any], reader: NodeReader) -> tuple[dict[str, Node], dict[str, tuple[Edge, ...]]]:
    nodes = flow.attempt(reader.top_level, flow.key("nodes"), data.get("nodes")) or {}
    if not nodes:
        return {}, {}
    return nodes, flow.attempt(read_edges, flow.key("edges"), reader.compiler, data.get("edges"), tuple(nodes)) or {}


def _top_level(flow: Spot) -> dict[str, Any]:
    data = flow.source.data
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise flow.error(f"a flow must be a mapping with the key nodes, not a {kind}; {allowed(_KEYS)}", line=1)
    tea.refuse_unknown(flow.called("the flow"), data, _KEYS, tea.TOP_LEVEL)
    if data.get("nodes") is None:
        raise flow.at("nodes").error(f"the flow has no nodes; add nodes: with at least one; {allowed(_KEYS)}")
    return data


def _name(spot: Spot, name: Any) -> str:
    if name is None:
        return Path(spot.source.path).stem if spot.source.path else ROOT_NODE
    return checks.text(spot, name)


def _rendered(spot: Spot, compiler: Compiler, settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return the settings with their templates rendered; these see the variables, the environment and the folder, no state."""
    names = {"variables": compiler.variables, "flow_dir": folder, "env": Variables()}
    narrowed = replace(compiler, names=compiler.names & names.keys())
    renderer = narrowed.value(settings, spot)
    try:
        return dict(renderer.render(names))
    except FlowRunError as error:
        raise spot.called("").error(str(error)) from error


def _max_steps(spot: Spot, settings: Mapping[str, Any]) -> int:
    return checks.whole_number(spot.called("settings.max_steps"), settings.get("max_steps", _MAX_STEPS), 1)


def _observability(spot: Spot, data: Mapping[str, Any], loading: Loading) -> Mapping[str, Any] | None:
    if "observability" not in data:
        return None
    # Imported here: a flow without a block does not need it.
    from ..configuration.config import check_block

    block = checks.mapping(spot, data["observability"])
    if not loading.allow_code:
        _refuse_callbacks(spot, block)
    # First key by key, so that the mistakes of all keys are found, then as a whole: `record` needs the handlers. Callbacks are
    # imported when the flow runs, before its first node: loading a flow imports nothing but what its `imports` name.
    before = len(spot.source.mistakes)
    for part in (*({key: value} for key, value in block.items() if key != "record"), block):
        if part is block and len(spot.source.mistakes) > before:
            break
        try:
            check_block(part, import_callbacks=False)
        except ConfigurationError as error:
            Spot(spot.source, place_in_block(spot.source, error.where)).note(str(error))
    return block


def _refuse_callbacks(spot: Spot, block: Mapping[str, Any]) -> None:
    from ..recording.pricing import names_code

    if names_code(prices := block.get("prices")):
        where = spot.at("prices").called("observability.prices")
        raise where.error(f"{prices!r} brings code, which is not allowed here; use a table or genai-prices")
    handlers = block.get("handlers")
    for index, handler in enumerate(handlers if isinstance(handlers, list) else []):
        if not isinstance(handler, Mapping):
            continue
        is_callback = handler.get("type") == "callback" or "callback" in handler
        if is_callback or ("class" in handler and "type" not in handler):
            key = "callback" if is_callback else "class"
            where = spot.at("handlers", index, key).called(f"observability.handlers[{index}].{key}")
            raise where.error(f"{handler.get(key)!r} brings code, which is not allowed here; use type: console or file")


def place_in_block(source: Source, where: str) -> Place:
    """Return the place of a part of the ``observability`` block, or of the nearest one around it that the file has.

    Args:
        source: The flow.
        where: The part as a ``ConfigurationError`` gives it: ``observability.handlers[0].path``.
    """
    inside = (place for place in source.lines if place[0] == "observability")
    around = (
        place for place in inside if where == _dotted(place) or where.startswith((f"{_dotted(place)}.", f"{_dotted(place)}["))
    )
    return max(around, key=lambda place: len(_dotted(place)), default=("observability",))


def _dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _registry(spot: Spot, imports: Any, engine: Engine, loading: Loading) -> Registry:
    if imports and not loading.allow_code:
        raise spot.error("code is not allowed here; pass the actions to load()")
    import_actions(spot, imports, engine)
    engine.actions_registry.update(loading.actions)
    return engine.actions_registry


@dataclass(frozen=True, slots=True)
class _Subflows:
    """Loads the sub-flows of one flow."""

    loading: Loading

    def __call__(self, spot: Spot, name: str) -> Plan:
        folder = Path(spot.source.path).parent if spot.source.path else Path()
        path = folder / name
        if not path.is_file():
            raise spot.error(f"flow file {name!r} does not exist at {str(path)!r}; a path is relative to the file that names it")
        chain = self.loading.chain
        if (resolved := str(path.resolve())) in chain:
            names = [Path(link).name for link in (*chain[chain.index(resolved) :], resolved)]
            raise spot.error(f"sub-flow {name!r} contains itself: {' -> '.join(names)}")
        return load_plan(path, self.loading)
