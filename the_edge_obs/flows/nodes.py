"""Read nodes: turn plain data into the model, and note every mistake with its line."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ..actions.registry import Registry
from ..errors import allowed
from . import checks, tea
from .action_check import check_parameters, check_values, find_action
from .conditions import ALWAYS, compile_condition
from .inline_code import InlineCode, compile_expression, compile_script
from .model import (
    END,
    START,
    ActionBody,
    Body,
    CodeBody,
    FanOutBody,
    Jump,
    LoopBody,
    Node,
    OnError,
    Output,
    Plan,
    StepsBody,
    SubflowBody,
)
from .on_error import read_on_error
from .spot import Spot
from .templates import Compiler, Constant, Renderer, Table

_COMMON: Final = ("name", "description", "language", "goto", "on_error", "fan_in")
_BODIES: Final = ("uses", "action", "run", "steps", "flow")
_TYPES: Final = ("while_loop", "dynamic_parallel")
_VARIABLES: Final = ("item_var", "index_var")
_FAN_OUT: Final = ("type", "items", *_VARIABLES, "max_concurrency", "fail_fast", "steps", "action", "output", "store")
_BODY_HELP: Final = allowed(["uses (or action)", "run", "steps", "flow", *(f"type: {name}" for name in _TYPES)])


@dataclass(frozen=True, slots=True)
class NodeReader:
    """Reads the nodes of one flow; a mistake is noted, and the rest is read nevertheless.

    Args:
        compiler: Compiles the templates.
        registry: The flow's actions.
        subflow: Loads a flow file that a node names; gets where it is named, and the path as written.
        allow_code: Whether ``run`` is allowed.
        names: Names of the top-level nodes, which can be jumped to; none inside nested steps.
        targets: The same and the end: where a jump can lead.
        knows_all: Whether the registry is complete; otherwise an unknown action may belong to an import that failed.
    """

    compiler: Compiler
    registry: Registry
    subflow: Callable[[Spot, str], Plan]
    allow_code: bool
    names: Collection[str] = ()
    targets: Collection[str] = ()
    knows_all: bool = True

    def top_level(self, spot: Spot, data: Any) -> dict[str, Node]:
        """Return the flow's nodes by name, in file order."""
        items = _items(spot, data)
        names = _names(spot, items)
        # Dicts, which keep the order for messages: each goto looks up its target.
        reader = replace(self, names=dict.fromkeys(names), targets=dict.fromkeys((*names, END)))
        return {
            name: reader._read(spot.node(i, name), item, name) for i, (name, item) in enumerate(zip(names, items, strict=True))
        }

    def _nested(self, spot: Spot, data: Any) -> tuple[Node, ...]:
        items = _items(spot, data)
        reader = replace(self, names=(), targets=())
        names = _names(spot, items)
        return tuple(
            reader._read(spot.node(i, name), item, name) for i, (name, item) in enumerate(zip(names, items, strict=True))
        )

    def _read(self, spot: Spot, data: Mapping[str, Any], name: str) -> Node:
        """Return a node; one that cannot be read is empty, and its name is known nevertheless."""
        node = spot.attempt(self._node, spot, data, name) if data else None
        return node or Node(name, StepsBody(()))

    def _node(self, spot: Spot, data: Mapping[str, Any], name: str) -> Node:
        if data.get("language", "python") != "python":
            language = data["language"]
            spot.note(f"language {language!r} is not supported; allowed: python{tea.way_for(language, tea.LANGUAGES)}")
        body = spot.attempt(self._body, spot, data)
        fan_in = data.get("fan_in", False)
        if body is not None and not isinstance(body, FanOutBody) and not isinstance(fan_in, bool):
            spot.at("fan_in").note(f"fan_in is {fan_in!r}; on a node of this type it must be true or false")
        on_error = None
        if data.get("on_error") is not None:
            on_error = spot.attempt(read_on_error, spot.key("on_error"), data["on_error"], self.names)
        goto = spot.attempt(self._goto, spot.key("goto"), data.get("goto"))
        return Node(name, body or StepsBody(()), on_error or OnError(), goto)

    def _body(self, spot: Spot, data: Mapping[str, Any]) -> Body:
        kind = data.get("type")
        calls = isinstance(data.get("uses", data.get("action")), str)
        if kind is not None and (kind in _TYPES or not calls):
            return self._typed(spot, data, kind)
        bodies = [key for key in _BODIES if key in data]
        if len(bodies) != 1:
            problem = f"two bodies, {bodies[0]!r} and {bodies[1]!r}" if bodies else "no body"
            raise spot.error(f"{problem}; a node has exactly one; {_BODY_HELP}")
        readers = {"run": self._code, "steps": self._steps, "flow": self._flow}
        return readers.get(bodies[0], self._action)(spot, data)

    def _typed(self, spot: Spot, data: Mapping[str, Any], kind: Any) -> Body:
        if kind == "while_loop":
            return self._loop(spot, data)
        if kind == "dynamic_parallel":
            return self._fan_out(spot, data)
        raise spot.at("type").error(f"unknown type {kind!r}; {allowed(_TYPES, kind)}")

    def _action(self, spot: Spot, data: Mapping[str, Any]) -> Body:
        key = "uses" if "uses" in data else "action"
        name = checks.text(spot.key(key), data[key])
        calling = None
        if self.knows_all or name in self.registry:
            calling = spot.attempt(find_action, spot.at(key), self.registry, name)
        given = self._given(spot, data, key)
        if calling is not None:
            check_parameters(spot, calling, name, {param: where for param, (_, where) in given.items()})
        values = {param: (self._value(where, value), where) for param, (value, where) in given.items()}
        output = self._output(spot, data)
        if calling is None:
            return StepsBody(())
        check_values(calling, name, values)
        return ActionBody(name, calling, Table(tuple((param, value) for param, (value, _) in values.items())), output)

    def _given(self, spot: Spot, data: Mapping[str, Any], key: str) -> dict[str, tuple[Any, Spot]]:
        """Return the parameters of an action, and where each is written: under ``with``, or beside the node's own keys."""
        inner = checks.mapping(spot.key("with"), data.get("with"))
        given = {param: (value, spot.at("with", param)) for param, value in inner.items()}
        for param in data.keys() - {*_COMMON, key, "with", "output", "store"}:
            if param in given:
                spot.at(param).note(f"parameter {param!r} is given twice; keep one")
            given[param] = (data[param], spot.at(param))
        return given

    def _code(self, spot: Spot, data: Mapping[str, Any]) -> Body:
        _refuse_unknown(spot, data, ("run",))
        if not self.allow_code:
            raise spot.error("inline code in run is not allowed here; use an action")
        run, where = data["run"], spot.key("run")
        if isinstance(run, str):
            return CodeBody(self._compiled(where, compile_script, run))
        config = checks.mapping(where, run)
        checks.refuse_unknown(where, config, ("type", "value", "output_key"))
        if config.get("type") != "expression":
            way = tea.way_for(config.get("type"), tea.LANGUAGES)
            raise where.error(f"type {config.get('type')!r} is not supported; allowed: expression, or plain text{way}")
        value = checks.text(where.key("value"), config.get("value"))
        output = checks.text(where.key("output_key"), config.get("output_key", "result"))
        return CodeBody(self._compiled(where.at("value"), compile_expression, value), output)

    def _compiled(self, spot: Spot, compile_: Callable[[str, str, int], InlineCode], code: str) -> InlineCode:
        text = self.compiler.with_variable_texts(checks.text(spot, code))
        path = spot.source.path
        try:
            return compile_(text, path or "<flow>", spot.source.text_line(spot.place))
        except SyntaxError as error:
            where = "" if path else f" (line {error.lineno} of the code)"
            raise spot.error(f"Python syntax error: {error.msg}{where}", line=error.lineno if path else None) from error
        except (ValueError, RecursionError, MemoryError) as error:  # Python's parser exhausts its own stack
            raise spot.error(f"the code cannot be compiled: {str(error) or 'it is nested too deeply'}") from error

    def _steps(self, spot: Spot, data: Mapping[str, Any]) -> Body:
        _refuse_unknown(spot, data, ("steps",))
        return StepsBody(self._nested(spot.key("steps"), data["steps"]))

    def _flow(self, spot: Spot, data: Mapping[str, Any]) -> Body:
        _refuse_unknown(spot, data, ("flow", "with", "output", "store"))
        path = checks.text(spot.key("flow"), data["flow"])
        params = self.compiler.value(checks.mapping(spot.key("with"), data.get("with")), spot.at("with"))
        output = self._output(spot, data)
        return SubflowBody(self.subflow(spot.at("flow"), path), params, output)

    def _loop(self, spot: Spot, data: Mapping[str, Any]) -> Body:
        keys = ("condition", "max_iterations", "body")
        _refuse_unknown(spot, data, ("type", *keys))
        _note_missing(spot, data, keys)
        given = {key: data[key] for key in keys if data.get(key) is not None}
        if "condition" in given:
            condition = spot.attempt(compile_condition, self.compiler, given["condition"], spot.at("condition"))
        if "max_iterations" in given:
            most = spot.attempt(checks.whole_number, spot.key("max_iterations"), given["max_iterations"], 1)
        body = self._nested(spot.key("body"), given["body"]) if "body" in given else ()
        return LoopBody(condition or ALWAYS, most or 1, body) if len(given) == len(keys) else StepsBody(body)

    def _fan_out(self, spot: Spot, data: Mapping[str, Any]) -> Body:
        _refuse_unknown(spot, data, _FAN_OUT)
        _note_missing(spot, data, ("items",))
        body = checks.one_of(spot, data, ("steps", "action"))
        if body is None:
            raise spot.error("nothing runs for the items; give steps or action")
        attempt = spot.attempt
        item, index = (
            attempt(self._variable, spot.key(key), data.get(key, key.removesuffix("_var"))) or key for key in _VARIABLES
        )
        reader = replace(self, compiler=self.compiler.knowing((item, index)))
        steps = data["steps"] if body == "steps" else [data["action"]]
        limit = data.get("max_concurrency")
        if not isinstance(limit, str) and limit is not None:
            attempt(checks.whole_number, spot.key("max_concurrency"), limit, 1)
        output = checks.one_of(spot, data, ("output", "store"))
        return FanOutBody(
            items=attempt(self._item_list, spot.key("items"), data.get("items")) or Constant(None),
            item_var=item,
            index_var=index,
            max_concurrency=self._value(spot.at("max_concurrency"), limit),
            fail_fast=attempt(checks.truth, spot.key("fail_fast"), data.get("fail_fast", False)) or False,
            steps=reader._nested(spot.key(body), steps),
            fan_in=attempt(self._fan_in, spot.key("fan_in"), data.get("fan_in")),
            output=checks.text(spot.key(output), data[output]) if output else None,
        )

    def _item_list(self, spot: Spot, items: Any) -> Renderer:
        if items is None:
            return Constant(None)
        compiled = self.compiler.value(items, spot)
        if isinstance(compiled, (Constant, Table)):
            raise spot.wrong(items, "a list or an expression such as '{{ state.urls }}'")
        return compiled

    def _fan_in(self, spot: Spot, fan_in: Any) -> str | None:
        if fan_in is None:
            return None
        if not self.names:
            raise spot.error("only top-level nodes can have a fan_in; the next step sees the results")
        checks.refuse_unknown_target(spot, fan_in, self.names)
        return str(fan_in)

    def _variable(self, spot: Spot, name: Any) -> str:
        if not isinstance(name, str) or not _is_plain(name) or name in self.compiler.names:
            raise spot.wrong(name, f"a plain name and none of {', '.join(sorted(self.compiler.names))}")
        return name

    def _goto(self, spot: Spot, goto: Any) -> tuple[Jump, ...] | None:
        if goto is None:
            return None
        if not self.names:
            raise spot.error("only top-level nodes can have a goto; nested steps run one after the other")
        if not isinstance(goto, (str, list, dict)) or not goto:
            raise spot.wrong(goto, "a name, {if, to}, or a list of {if, to}")
        if isinstance(goto, str):
            checks.refuse_unknown_target(spot, goto, self.targets)
            return (Jump(goto, ALWAYS),)
        if isinstance(goto, dict):
            return (self._jump(spot, goto),)
        jumps = [spot.attempt(self._jump, spot.item(index), rule) for index, rule in enumerate(goto)]
        return tuple(jump for jump in jumps if jump is not None)

    def _jump(self, spot: Spot, rule: Any) -> Jump:
        data = checks.mapping(spot, rule)
        checks.refuse_unknown(spot, data, ("if", "to"))
        spot.attempt(checks.refuse_unknown_target, spot, data.get("to"), self.targets)
        if data.get("if") is None:
            return Jump(str(data.get("to")), ALWAYS)
        # Under the node's name: messages about a template say the key themselves.
        where, compiler = spot.at("if").called(f"step {spot.step!r}"), self.compiler.knowing(("result",))
        return Jump(str(data.get("to")), compile_condition(compiler, data["if"], where, words=True))

    def _value(self, spot: Spot, value: Any) -> Renderer:
        """Return a compiled value, or None's where it has a mistake, which is noted."""
        return spot.attempt(self.compiler.value, value, spot) or Constant(None)

    def _output(self, spot: Spot, data: Mapping[str, Any]) -> Output:
        key = checks.one_of(spot, data, ("output", "store"))
        if key is None or data[key] is None:
            return Output()
        value = data[key]
        if isinstance(value, dict):
            fields = checks.mapping(spot.key(key), value)
            return Output(mapping=self.compiler.knowing(("result",)).value(fields, spot.at(key)))
        return Output(key=checks.text(spot.key(key), value))


def _items(spot: Spot, data: Any) -> list[dict[str, Any]]:
    """Return a list of nodes as mappings; one that is not a mapping, or is empty, becomes an empty mapping."""
    items = checks.listing(spot, data)
    if not items:
        raise spot.error("the list is empty; it needs at least one node")
    nodes = []
    for index, item in enumerate(items):
        node = spot.attempt(checks.mapping, spot.item(index), item)
        if node == {}:
            spot.item(index).note(f"the node is empty; it needs a body; {_BODY_HELP}")
        nodes.append(node or {})
    return nodes


def _names(spot: Spot, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the name of each node; one without a valid name is named after its position."""
    positions: dict[str, int] = {}
    for index, item in enumerate(items):
        name = spot.attempt(_name, spot, item, index, positions)
        if name is not None:
            positions[name] = index
    names = {index: name for name, index in positions.items()}
    return [names.get(index) or _free_name(index + 1, positions) for index in range(len(items))]


def _name(spot: Spot, item: Mapping[str, Any], index: int, taken: Mapping[str, int]) -> str | None:
    if item.get("name") is None:
        return None
    where = spot.at(index, "name")
    name = checks.text(where.called("a node's name"), item["name"])
    if name in (START, END):
        raise where.called("").error(f"a node cannot be named {name!r}, which is reserved; rename it")
    if name in taken:
        first = spot.source.line((*spot.place, taken[name]))
        hint = f", first on line {first}" if first else ""
        raise where.called("").error(f"node name {name!r} is used twice{hint}; rename one of them")
    return name


def _refuse_unknown(spot: Spot, data: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    tea.refuse_unknown(spot, data, (*_COMMON, *keys), tea.NODE | tea.FAN_OUT if "items" in keys else tea.NODE)


def _note_missing(spot: Spot, data: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if data.get(key) is None:
            spot.note(f"{key!r} is missing; required: {', '.join(keys)}")


def _is_plain(name: str) -> bool:
    # self and super have their own meanings in Jinja2.
    return name.isidentifier() and not keyword.iskeyword(name) and name not in {"self", "super"}


def _free_name(number: int, taken: Mapping[str, int]) -> str:
    """Return the name of an unnamed node: its 1-based position, with underscores where another node has that name."""
    name = f"step_{number}"
    while name in taken:
        name += "_"
    return name
