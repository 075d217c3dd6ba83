"""Read nodes: from plain data to the model, every mistake refused with its line."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ..actions.registry import Registry
from ..configuration.yaml_reader import Place
from ..errors import allowed
from . import checks
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
from .templates import Compiler, Constant, Renderer, Table
from .yaml_source import Source

_COMMON: Final = ("name", "description", "language", "goto", "on_error", "fan_in")
_BODIES: Final = ("uses", "action", "run", "steps", "flow")
_TYPES: Final = ("while_loop", "dynamic_parallel")
_BODY_HELP: Final = allowed(["uses (or action)", "run", "steps", "flow", *(f"type: {name}" for name in _TYPES)])


@dataclass(frozen=True, slots=True)
class NodeReader:
    """Reads the nodes of one flow; a mistake is noted in the source, and the rest is read all the same.

    Args:
        source: The flow.
        compiler: Compiles its templates.
        registry: Its actions.
        subflow: Loads the flow file that a node names; gets the path as written and its place.
        allow_code: Whether ``run`` is taken.
        names: Names of the top-level nodes, which may be jumped to; none inside nested steps.
        targets: The same and the end: where a jump may lead.
        knows_all: Whether the registry is complete; otherwise an unknown action may be one of an import that failed.
    """

    source: Source
    compiler: Compiler
    registry: Registry
    subflow: Callable[[str, Place], Plan]
    allow_code: bool
    names: Collection[str] = ()
    targets: Collection[str] = ()
    knows_all: bool = True

    def top_level(self, data: Any) -> dict[str, Node]:
        """Return the flow's nodes by name, in file order."""
        items = self._items(data, ("nodes",), "nodes")
        names = self._names(items, ("nodes",))
        # Dicts, which keep the order for messages: each goto looks its target up.
        reader = replace(self, names=dict.fromkeys(names), targets=dict.fromkeys((*names, END)))
        return {name: reader._read(item, ("nodes", i), name) for i, (name, item) in enumerate(zip(names, items, strict=True))}

    def _nested(self, data: Any, place: Place, owner: str) -> tuple[Node, ...]:
        items = self._items(data, place, owner)
        reader = replace(self, names=(), targets=())
        names = self._names(items, place)
        return tuple(reader._read(item, (*place, i), name) for i, (name, item) in enumerate(zip(names, items, strict=True)))

    def _items(self, data: Any, place: Place, owner: str) -> list[dict[str, Any]]:
        """Return the nodes as mappings; one that is not a mapping, or empty, is an empty one."""
        items = checks.listing(self.source, data, place, owner)
        if not items:
            raise self.source.error(f"{owner} is empty; it needs at least one node", place)
        nodes = []
        for index, item in enumerate(items):
            here = (*place, index)
            node = self.source.attempt(checks.mapping, self.source, item, here, f"{owner}[{index}]")
            if node == {}:
                self.source.note(f"{owner}[{index}] is empty; a node needs a body, {_BODY_HELP}", here)
            nodes.append(node or {})
        return nodes

    def _names(self, items: Sequence[Mapping[str, Any]], place: Place) -> list[str]:
        """Return the name of each node; where it has none, or one that cannot be, its position makes one."""
        seen: dict[str, int] = {}
        for index, item in enumerate(items):
            name = self.source.attempt(self._name, item, place, index, seen)
            if name is not None:
                seen[name] = index
        names = {index: name for name, index in seen.items()}
        return [names.get(index) or _free_name(index + 1, seen) for index in range(len(items))]

    def _name(self, item: Mapping[str, Any], place: Place, index: int, seen: Mapping[str, int]) -> str | None:
        if item.get("name") is None:
            return None
        here = (*place, index, "name")
        name = checks.text(self.source, item["name"], here, "a node's name")
        if name in (START, END):
            raise self.source.error(f"no node can be called {name!r}; the name stands for a border of the flow", here)
        if name in seen:
            first = self.source.line((*place, seen[name]))
            hint = f", first on line {first}" if first else ""
            raise self.source.error(f"node name {name!r} is given twice{hint}; rename one of them", here)
        return name

    def _read(self, data: Mapping[str, Any], place: Place, name: str) -> Node:
        """Return a node, or an empty one where it cannot be read: its name is known all the same."""
        node = self.source.attempt(self._node, data, place, name) if data else None
        return node or Node(name, StepsBody(()))

    def _node(self, data: Mapping[str, Any], place: Place, name: str) -> Node:
        owner = f"step {name!r}"
        if data.get("language", "python") != "python":
            self.source.note(f"{owner}: language {data['language']!r} is not run here; allowed: python", place)
        body = self.source.attempt(self._body, data, place, owner)
        fan_in = data.get("fan_in", False)
        if body is not None and not isinstance(body, FanOutBody) and not isinstance(fan_in, bool):
            problem = f"{owner}: fan_in is {fan_in!r}; here it only marks a joining node: true or false"
            self.source.note(problem, (*place, "fan_in"))
        on_error = None
        if data.get("on_error") is not None:
            block = (data["on_error"], (*place, "on_error"), owner, self.names)
            on_error = self.source.attempt(read_on_error, self.source, *block)
        goto = self.source.attempt(self._goto, data.get("goto"), (*place, "goto"), owner)
        return Node(name, body or StepsBody(()), on_error or OnError(), goto)

    def _body(self, data: Mapping[str, Any], place: Place, owner: str) -> Body:
        kind = data.get("type")
        calls = isinstance(data.get("uses", data.get("action")), str)
        if kind is not None and (kind in _TYPES or not calls):
            return self._typed(kind, data, place, owner)
        bodies = [key for key in _BODIES if key in data]
        if len(bodies) != 1:
            found = f"two bodies, {bodies[0]!r} and {bodies[1]!r}" if bodies else "no body"
            raise self.source.error(f"{owner} has {found}; it needs exactly one; {_BODY_HELP}", place)
        readers = {"run": self._code, "steps": self._steps, "flow": self._flow}
        return readers.get(bodies[0], self._action)(data, place, owner)

    def _typed(self, kind: Any, data: Mapping[str, Any], place: Place, owner: str) -> Body:
        if kind == "while_loop":
            return self._loop(data, place, owner)
        if kind == "dynamic_parallel":
            return self._fan_out(data, place, owner)
        raise self.source.error(f"{owner}: unknown type {kind!r}; {allowed(_TYPES, kind)}", (*place, "type"))

    def _action(self, data: Mapping[str, Any], place: Place, owner: str) -> Body:
        key = "uses" if "uses" in data else "action"
        name = checks.text(self.source, data[key], (*place, key), f"{owner}: {key}")
        calling = None
        if self.knows_all or name in self.registry:
            calling = self.source.attempt(find_action, self.source, self.registry, name, (*place, key), owner)
        given = {
            param: (value, (*place, "with", param))
            for param, value in checks.mapping(self.source, data.get("with"), (*place, "with"), f"{owner}: with").items()
        }
        for param in data.keys() - {*_COMMON, key, "with", "output", "store"}:
            if param in given:
                self.source.note(f"{owner}: parameter {param!r} is given twice; keep one", (*place, param))
            given[param] = (data[param], (*place, param))
        if calling is not None:
            check_parameters(self.source, calling, name, {param: where for param, (_, where) in given.items()}, place, owner)
        values = {param: (self._value(value, where, owner), where) for param, (value, where) in given.items()}
        output = self._output(data, place, owner)
        if calling is None:
            return StepsBody(())
        check_values(self.source, calling, name, values, owner)
        return ActionBody(name, calling, Table(tuple((param, value) for param, (value, _) in values.items())), output)

    def _code(self, data: Mapping[str, Any], place: Place, owner: str) -> Body:
        self._refuse_unknown(data, ("run",), place, owner)
        if not self.allow_code:
            raise self.source.error(f"{owner} has inline code in run, which is not allowed here; use an action", place)
        run, here = data["run"], (*place, "run")
        if isinstance(run, str):
            return CodeBody(self._compiled(compile_script, run, here, owner))
        config = checks.mapping(self.source, run, here, f"{owner}: run")
        checks.refuse_unknown(self.source, config, ("type", "value", "output_key"), here, f"{owner}: run")
        if config.get("type") != "expression":
            problem = f"{owner}: run type {config.get('type')!r} is not taken; allowed: expression, or plain text"
            raise self.source.error(problem, here)
        value = checks.text(self.source, config.get("value"), (*here, "value"), f"{owner}: run value")
        output = checks.text(self.source, config.get("output_key", "result"), here, f"{owner}: output_key")
        return CodeBody(self._compiled(compile_expression, value, (*here, "value"), owner), output)

    def _compiled(self, compile_: Callable[[str, str, int], InlineCode], code: str, place: Place, owner: str) -> InlineCode:
        text = self.compiler.with_variable_texts(checks.text(self.source, code, place, f"{owner}: run"))
        filename = self.source.path or "<flow>"
        try:
            return compile_(text, filename, self.source.text_line(place))
        except SyntaxError as error:
            line = error.lineno if self.source.path else None
            where = "" if self.source.path else f" (line {error.lineno} of the code)"
            raise self.source.error(f"{owner}: Python syntax error in run: {error.msg}{where}", line=line) from error
        except (ValueError, RecursionError, MemoryError) as error:  # Python's parser runs out of its own stack
            reason = str(error) or "it is nested too deeply"
            raise self.source.error(f"{owner}: the Python in run cannot be compiled: {reason}", place) from error

    def _steps(self, data: Mapping[str, Any], place: Place, owner: str) -> Body:
        self._refuse_unknown(data, ("steps",), place, owner)
        return StepsBody(self._nested(data["steps"], (*place, "steps"), f"{owner}: steps"))

    def _flow(self, data: Mapping[str, Any], place: Place, owner: str) -> Body:
        self._refuse_unknown(data, ("flow", "with", "output", "store"), place, owner)
        path = checks.text(self.source, data["flow"], (*place, "flow"), f"{owner}: flow")
        given = checks.mapping(self.source, data.get("with"), (*place, "with"), f"{owner}: with")
        params = self.compiler.value(given, (*place, "with"), owner)
        output = self._output(data, place, owner)
        return SubflowBody(self.subflow(path, (*place, "flow")), params, output)

    def _loop(self, data: Mapping[str, Any], place: Place, owner: str) -> Body:
        self._refuse_unknown(data, ("type", "condition", "max_iterations", "body"), place, owner)
        keys = ("condition", "max_iterations", "body")
        self._note_missing(data, keys, place, owner)
        attempt, given = self.source.attempt, {key: (data[key], (*place, key)) for key in keys if data.get(key) is not None}
        if "condition" in given:
            condition = attempt(compile_condition, self.compiler, *given["condition"], owner)
        if "max_iterations" in given:
            most = attempt(checks.whole_number, self.source, *given["max_iterations"], f"{owner}: max_iterations", 1)
        body = self._nested(*given["body"], f"{owner}: body") if "body" in given else ()
        return LoopBody(condition or ALWAYS, most or 1, body) if len(given) == len(keys) else StepsBody(body)

    def _fan_out(self, data: Mapping[str, Any], place: Place, owner: str) -> Body:
        keys = ("type", "items", "item_var", "index_var", "max_concurrency", "steps", "action", "output", "store")
        self._refuse_unknown(data, keys, place, owner)
        self._note_missing(data, ("items",), place, owner)
        body = checks.one_of(self.source, data, ("steps", "action"), place, owner)
        if body is None:
            raise self.source.error(f"{owner} has nothing to run for an item; it needs one of steps, action", place)
        attempt = self.source.attempt
        item, index = (attempt(self._variable, data, key, place, owner) or key for key in ("item_var", "index_var"))
        reader = replace(self, compiler=self.compiler.knowing((item, index)))
        steps = data["steps"] if body == "steps" else [data["action"]]
        limit = data.get("max_concurrency")
        if not isinstance(limit, str) and limit is not None:
            attempt(checks.whole_number, self.source, limit, (*place, "max_concurrency"), f"{owner}: max_concurrency", 1)
        output = checks.one_of(self.source, data, ("output", "store"), place, owner)
        return FanOutBody(
            items=attempt(self._item_list, data.get("items"), (*place, "items"), owner) or Constant(None),
            item_var=item,
            index_var=index,
            max_concurrency=self._value(limit, (*place, "max_concurrency"), owner),
            steps=reader._nested(steps, (*place, body), f"{owner}: {body}"),
            fan_in=attempt(self._fan_in, data, place, owner),
            output=checks.text(self.source, data[output], (*place, output), f"{owner}: {output}") if output else None,
        )

    def _item_list(self, items: Any, place: Place, owner: str) -> Any:
        if items is None:
            return None
        compiled = self.compiler.value(items, place, owner)
        if isinstance(compiled, (Constant, Table)):
            problem = f"{owner}: items is {items!r}; it has to be a list or an expression such as '{{{{ state.urls }}}}'"
            raise self.source.error(problem, place)
        return compiled

    def _fan_in(self, data: Mapping[str, Any], place: Place, owner: str) -> str | None:
        fan_in = data.get("fan_in")
        if fan_in is None:
            return None
        if not self.names:
            raise self.source.error(f"{owner}: fan_in is for top-level nodes; the next step sees the results", place)
        checks.refuse_unknown_target(self.source, fan_in, self.names, (*place, "fan_in"), f"{owner}: fan_in")
        return str(fan_in)

    def _variable(self, data: Mapping[str, Any], key: str, place: Place, owner: str) -> str:
        name = data.get(key, key.removesuffix("_var"))
        if not isinstance(name, str) or not _is_plain(name) or name in self.compiler.names:
            taken = ", ".join(sorted(self.compiler.names))
            problem = f"{owner}: {key} is {name!r}; it has to be a plain name and none of {taken}"
            raise self.source.error(problem, (*place, key))
        return name

    def _goto(self, goto: Any, place: Place, owner: str) -> tuple[Jump, ...] | None:
        if goto is None:
            return None
        if not self.names:
            raise self.source.error(f"{owner}: goto is for top-level nodes; nested steps run one after the other", place)
        if not isinstance(goto, (str, list)) or not goto:
            raise self.source.error(f"{owner}: goto is {goto!r}; it has to be a name or a list of {{if, to}}", place)
        if isinstance(goto, str):
            checks.refuse_unknown_target(self.source, goto, self.targets, place, f"{owner}: goto")
            return (Jump(goto, ALWAYS),)
        jumps = [self.source.attempt(self._jump, rule, (*place, index), owner) for index, rule in enumerate(goto)]
        return tuple(jump for jump in jumps if jump is not None)

    def _jump(self, rule: Any, place: Place, owner: str) -> Jump:
        data = checks.mapping(self.source, rule, place, f"{owner}: a goto rule")
        checks.refuse_unknown(self.source, data, ("if", "to"), place, f"{owner}: goto")
        self.source.attempt(checks.refuse_unknown_target, self.source, data.get("to"), self.targets, place, f"{owner}: goto")
        if data.get("if") is None:
            return Jump(str(data.get("to")), ALWAYS)
        compiler = self.compiler.knowing(("result",))
        return Jump(str(data.get("to")), compile_condition(compiler, data["if"], (*place, "if"), owner, words=True))

    def _value(self, value: Any, place: Place, owner: str) -> Renderer:
        """Return a compiled value, or nothing where it has a mistake, which is noted."""
        return self.source.attempt(self.compiler.value, value, place, owner) or Constant(None)

    def _output(self, data: Mapping[str, Any], place: Place, owner: str) -> Output:
        key = checks.one_of(self.source, data, ("output", "store"), place, owner)
        if key is None or data[key] is None:
            return Output()
        value, here = data[key], (*place, key)
        if isinstance(value, dict):
            fields = checks.mapping(self.source, value, here, f"{owner}: {key}")
            return Output(mapping=self.compiler.knowing(("result",)).value(fields, here, owner))
        return Output(key=checks.text(self.source, value, here, f"{owner}: {key}"))

    def _refuse_unknown(self, data: Mapping[str, Any], keys: tuple[str, ...], place: Place, owner: str) -> None:
        checks.refuse_unknown(self.source, data, (*_COMMON, *keys), place, owner)

    def _note_missing(self, data: Mapping[str, Any], keys: tuple[str, ...], place: Place, owner: str) -> None:
        for key in keys:
            if data.get(key) is None:
                self.source.note(f"{owner} needs {key!r}; {allowed(keys)}", place)


def _is_plain(name: str) -> bool:
    # Jinja2 has meanings of its own for self and super.
    return name.isidentifier() and not keyword.iskeyword(name) and name not in {"self", "super"}


def _free_name(number: int, taken: Mapping[str, int]) -> str:
    """Return the name of an unnamed node: its 1-based position, with underscores where somebody else has that name."""
    name = f"step_{number}"
    while name in taken:
        name += "_"
    return name
