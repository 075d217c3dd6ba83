"""Templates: Jinja2 in a sandbox, compiled when the flow is loaded, rendered when a node runs.

A text that is one whole ``{{ expression }}`` keeps the native type of its value; any other text renders to a string.
``${name}`` stands for a variable's text. A missing key of the state (or of any mapping) is None, and a key hides a
method of the same name: ``state.items`` is the key. An attribute of None is undefined: as a whole expression it is None, used any
further it is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from jinja2 import TemplateSyntaxError, Undefined, meta, nodes
from markupsafe import Markup

from ..configuration.yaml_reader import Place
from ..errors import FlowFileError, FlowRunError, allowed
from ..recording.tracebacks import error_text, type_name
from .sandbox import Bounding, Sandbox, allowance
from .yaml_source import Source

NAMES: Final = frozenset({"state", "variables", "settings", "env", "flow_dir", "parallel_results"})
"""What every template can read; ``result`` and a fan-out's item are added where they exist. ``flow_dir`` is the flow file's
folder, so that a flow finds the files beside it from any working directory."""

# How much of a template a message shows, in characters.
_SHOWN: Final = 500
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


class Renderer(Protocol):
    """A compiled value."""

    def render(self, names: Mapping[str, Any]) -> Any:
        """Return the value, its templates filled in from the names."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A scalar without a template."""

    value: Any

    def render(self, names: Mapping[str, Any]) -> Any:
        """Return the value as it was written."""
        return self.value


@dataclass(frozen=True, slots=True)
class Listing:
    """A list; each rendering makes a new one, so no action can change the flow's own."""

    items: tuple[Renderer, ...]

    def render(self, names: Mapping[str, Any]) -> list[Any]:
        """Return the rendered items."""
        return [item.render(names) for item in self.items]


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; keys are taken as they are, values are rendered into a new dict."""

    items: tuple[tuple[Any, Renderer], ...]

    def render(self, names: Mapping[str, Any]) -> dict[Any, Any]:
        """Return the rendered mapping."""
        return {key: value.render(names) for key, value in self.items}


@dataclass(frozen=True, slots=True)
class Template:
    """A text with a template in it.

    Args:
        text: The template as written.
        where: The step and key it belongs to, and its file and line, for messages.
        whole: Whether it is one whole expression and so keeps its value's type.
        evaluate: Takes the names, gives the value.
    """

    text: str
    where: str
    whole: bool
    evaluate: Callable[[Mapping[str, Any]], Any]

    def render(self, names: Mapping[str, Any]) -> Any:
        """Return the value: native for a whole expression, otherwise a string.

        Raises:
            FlowRunError: The expression cannot be evaluated; the message names step, key and expression.
        """
        try:
            with allowance():
                value = self.evaluate(names)
        except Exception as error:
            # Jinja2 quotes what it was given, however long that is.
            reason = _cut(error_text(error)) or type_name(error)
            raise FlowRunError(f"{self.where}: cannot render {shown(self.text)}: {reason}") from error
        if isinstance(value, Undefined):
            return None
        return str(value) if isinstance(value, Markup) else value


def _from_json(value: Any) -> Any:
    """Parse JSON text; what is not JSON is given back as it is, as The Edge Agent's filter does."""
    try:
        return json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return value


def _to_json(value: Any, indent: int | None = None) -> str:
    # Jinja's own filter escapes <, > and & for HTML, which no prompt or request body wants.
    return json.dumps(value, indent=indent)


_FILTERS: Final = {"tojson": _to_json, "json": _to_json, "fromjson": _from_json}


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles the templates of one flow.

    Args:
        source: The flow, for file and line of a mistake.
        variables: The flow's variables, which ``${name}`` refers to.
        environment: The Jinja2 sandbox.
        names: What a template may refer to here.
    """

    source: Source
    variables: Mapping[str, Any]
    environment: Sandbox
    names: frozenset[str] = NAMES

    @classmethod
    def of(cls, source: Source, variables: Mapping[str, Any], *, with_env: bool = True) -> Compiler:
        """Return the compiler of a flow, whose templates may read environment variables unless ``with_env`` is false."""
        return cls(source, variables, Sandbox(_FILTERS), NAMES if with_env else NAMES - {"env"})

    def knowing(self, names: Iterable[str]) -> Compiler:
        """Return a compiler whose templates may use further names."""
        return replace(self, names=self.names | frozenset(names))

    def value(self, value: Any, place: Place, owner: str) -> Renderer:
        """Compile a value: templates anywhere inside lists and mappings, whose mistakes are noted.

        Args:
            value: Plain data.
            place: Where it is written.
            owner: The step it belongs to, for messages.

        Raises:
            FlowFileError: It is a text whose template has a mistake.
        """
        if isinstance(value, str):
            return self.text(value, place, owner)
        if isinstance(value, Mapping):
            return Table(tuple((key, self._inner(item, (*place, key), owner)) for key, item in value.items()))
        if isinstance(value, list):
            return Listing(tuple(self._inner(item, (*place, index), owner) for index, item in enumerate(value)))
        return Constant(value)

    def _inner(self, value: Any, place: Place, owner: str) -> Renderer:
        return self.source.attempt(self.value, value, place, owner) or Constant(None)

    def text(self, text: str, place: Place, owner: str) -> Renderer:
        """Compile a text, which is a constant when there is no template in it.

        Raises:
            FlowFileError: Its template has a syntax error or an unknown name.
        """
        with_variables = self._with_variables(text)
        if not any(mark in with_variables for mark in ("{{", "{%")):
            return Constant(text)
        where = self._where(place, owner)
        try:
            tree = self.environment.parse(with_variables)
            self._check_names(tree, text, place, where)
            expression = _one_expression(tree) if _is_whole(text) else None
            Bounding().visit(tree)
            if expression is not None:
                return Template(text, where, True, self._evaluation(tree))
            return Template(text, where, False, self.environment.from_string(tree).render)
        except FlowFileError:
            raise
        except Exception as error:
            raise self._refusal(error, text, place, owner) from error

    def is_put_together(self, text: str) -> bool:
        """Tell whether a text is an expression with more beside it, outside of every ``{% %}`` block."""
        outputs = [node for node in self.environment.parse(text).body if isinstance(node, nodes.Output)]
        said = [part for output in outputs for part in output.nodes if not _is_blank(part)]
        return len(said) > 1 and not all(isinstance(part, nodes.TemplateData) for part in said)

    def _evaluation(self, tree: nodes.Template) -> Callable[[Mapping[str, Any]], Any]:
        """Return what evaluates the one expression of a template, and gives its value as it is."""
        expression = _one_expression(tree)
        assert expression is not None
        body: list[nodes.Node] = [nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)]
        template = self.environment.from_string(nodes.Template(body, lineno=1))

        def evaluate(names: Mapping[str, Any]) -> Any:
            context = template.new_context(dict(names))
            for _ in template.root_render_func(context):
                pass
            return context.vars["result"]

        return evaluate

    def _refusal(self, error: Exception, text: str, place: Place, owner: str) -> FlowFileError:
        """Return the error for a template that Jinja2, or Python's compiler after it, does not take."""
        line, what = self.source.line(place), "cannot be compiled"
        reason = error_text(error) or type_name(error)
        if isinstance(error, TemplateSyntaxError):
            # Its own text would show all of the template, and of the word that it stumbled over.
            error.source, error.args = None, (_cut(error.message or ""),)
            line, what = line and self.source.text_line(place) + error.lineno - 1, "template syntax error"
            reason = error.message or reason
        elif isinstance(error, (RecursionError, MemoryError, SyntaxError)):
            reason = "it is nested too deeply, or too long; use several steps"
        problem = f"{owner}, key {_key(place)!r}: {what} in {shown(text)}: {_cut(reason)}"
        return self.source.error(problem, place, line=line)

    def with_variable_texts(self, text: str) -> str:
        """Return inline code with the text of a variable in place of each ``${name}``; other names stay as they are."""
        return _VARIABLE.sub(lambda match: str(self.variables.get(match.group(1), match.group(0))), text)

    def _with_variables(self, text: str) -> str:
        def reference(match: re.Match[str]) -> str:
            name = match.group(1)
            return f"{{{{ variables[{name!r}] }}}}" if name in self.variables else match.group(0)

        return _VARIABLE.sub(reference, text)

    def _check_names(self, tree: nodes.Template, text: str, place: Place, where: str) -> None:
        unknown = meta.find_undeclared_variables(tree) - self.names - self.environment.globals.keys()
        if "env" in unknown:
            problem = "env is not available to a flow that may not bring code; give what it needs in the state"
            raise self.source.error(f"{where}: {problem}, instead of {shown(text)}", place)
        if unknown:
            name = min(unknown)
            hint = f"; for a key of the state write state.{_cut(name)}" if "state" in self.names else ""
            problem = f"{where}: unknown name {shown(name)} in {shown(text)}{hint}; {allowed(sorted(self.names))}"
            raise self.source.error(problem, place)
        read = {id(node.node) for node in tree.find_all((nodes.Getattr, nodes.Getitem))}  # type: ignore[attr-defined]
        if any(node.name == "env" and id(node) not in read for node in tree.find_all(nodes.Name)):
            problem = f"{where}: env as a whole in {shown(text)}; a variable is read by its name, such as env.HOME"
            raise self.source.error(problem, place)

    def _where(self, place: Place, owner: str) -> str:
        return f"{owner}, key {_key(place)!r}"


def _is_whole(text: str) -> bool:
    stripped = text.strip()
    return stripped.startswith("{{") and stripped.endswith("}}")


def _one_expression(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression of a template that is one ``{{ expression }}`` and whitespace around it, else None."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    parts = [part for part in tree.body[0].nodes if not (isinstance(part, nodes.TemplateData) and not part.data.strip())]
    return parts[0] if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None


def _is_blank(part: nodes.Node) -> bool:
    return isinstance(part, nodes.TemplateData) and not part.data.strip()


def shown(text: str) -> str:
    """Return a template for a message: on one line, and not too long."""
    return repr(_cut(text.strip()))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _key(place: Place) -> str:
    """Return the part of a place that lies inside its node: ``with.path``."""
    parts = [str(part) for part in place]
    while len(parts) > 1 and parts[0] in {"nodes", "steps", "body", "edges"}:
        parts = parts[2:]
    return ".".join(parts)
