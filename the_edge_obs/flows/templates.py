"""Templates: Jinja2 in a sandbox, compiled when the flow is loaded, rendered when a node runs.

A string that is one whole ``{{ expression }}`` keeps the native type of its value; any other string renders to a string.
``${name}`` stands for the text of a variable. A missing key of the state (or of any mapping) is None, and a key hides a
method of the same name: ``state.items`` is the key. An attribute of None is undefined: as a whole expression it is None, any
other use of it is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from jinja2 import TemplateSyntaxError, Undefined, meta, nodes
from jinja2.filters import do_indent
from markupsafe import Markup

from ..errors import FlowFileError, FlowRunError, allowed
from ..recording.tracebacks import error_text, type_name
from .sandbox import Bounding, Sandbox, allowance
from .spot import Spot

NAMES: Final = frozenset({"state", "variables", "settings", "env", "flow_dir", "parallel_results"})
"""The names that every template can use; ``result`` and a fan-out's item are added where they exist. ``flow_dir`` is the folder
of the flow file, so that a flow finds the files beside it from any working directory."""

# How many characters of a template a message shows.
_SHOWN: Final = 500
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


class Renderer(Protocol):
    """A compiled value."""

    def render(self, names: Mapping[str, Any]) -> Any:
        """Return the value, with its templates rendered from the names."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A scalar without a template."""

    value: Any

    def render(self, names: Mapping[str, Any]) -> Any:
        """Return the value as it was written."""
        return self.value


@dataclass(frozen=True, slots=True)
class Listing:
    """A list; each rendering makes a new one, so that no action can change the list of the flow."""

    items: tuple[Renderer, ...]

    def render(self, names: Mapping[str, Any]) -> list[Any]:
        """Return the rendered items."""
        return [item.render(names) for item in self.items]


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; keys stay as they are, values are rendered into a new dict."""

    items: tuple[tuple[Any, Renderer], ...]

    def render(self, names: Mapping[str, Any]) -> dict[Any, Any]:
        """Return the rendered mapping."""
        return {key: value.render(names) for key, value in self.items}


@dataclass(frozen=True, slots=True)
class Template:
    """A string with a template in it.

    Args:
        text: The template as written.
        where: The step and key it belongs to, for messages.
        whole: Whether it is one whole expression and so keeps the type of its value.
        evaluate: Takes the names, returns the value.
        step: The node it belongs to, or None.
    """

    text: str
    where: str
    whole: bool
    evaluate: Callable[[Mapping[str, Any]], Any]
    step: str | None = None

    def render(self, names: Mapping[str, Any]) -> Any:
        """Return the value: native for a whole expression, otherwise a string.

        Raises:
            FlowRunError: The expression cannot be evaluated; the message names step, key and expression.
        """
        try:
            with allowance():
                value = self.evaluate(names)
        except Exception as error:
            # Jinja2 quotes its input, however long that is.
            reason = _cut(error_text(error)) or type_name(error)
            raise FlowRunError(f"{self.where}: cannot render {shown(self.text)}: {reason}", step=self.step) from error
        if isinstance(value, Undefined):
            return None
        return str(value) if isinstance(value, Markup) else value


def _from_json(value: Any) -> Any:
    """Parse JSON text; anything else is returned unchanged, as The Edge Agent's filter does."""
    try:
        return json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return value


def _to_json(value: Any, indent: int | None = None) -> str:
    # Jinja2's own filter escapes <, > and & for HTML, which would be wrong in prompts and request bodies.
    return json.dumps(value, indent=indent)


def _indent(text: Any, *args: Any, **kwargs: Any) -> str:
    if not isinstance(text, str):  # Jinja2's own adds a line to a list in place, and so changes the state
        raise TypeError(f"indent needs a text, not a value of type {type(text).__name__}")
    return do_indent(text, *args, **kwargs)


_FILTERS: Final[dict[str, Callable[..., Any]]] = {"tojson": _to_json, "json": _to_json, "fromjson": _from_json, "indent": _indent}


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles the templates of one flow.

    Args:
        variables: The flow's variables, which ``${name}`` refers to.
        environment: The Jinja2 sandbox.
        names: The names that a template can use.
    """

    variables: Mapping[str, Any]
    environment: Sandbox
    names: frozenset[str] = NAMES

    @classmethod
    def of(cls, variables: Mapping[str, Any], *, with_env: bool = True) -> Compiler:
        """Return the compiler of a flow; its templates can read environment variables unless ``with_env`` is false."""
        return cls(variables, Sandbox(_FILTERS), NAMES if with_env else NAMES - {"env"})

    def knowing(self, names: Iterable[str]) -> Compiler:
        """Return a compiler whose templates can use further names."""
        return replace(self, names=self.names | frozenset(names))

    def value(self, value: Any, spot: Spot) -> Renderer:
        """Compile a value: templates anywhere inside lists and mappings, whose mistakes are noted.

        Args:
            value: Plain data.
            spot: Where it is written.

        Raises:
            FlowFileError: It is a string whose template has a mistake.
        """
        if isinstance(value, str):
            return self.text(value, spot)
        if isinstance(value, Mapping):
            return Table(tuple((key, self._inner(item, spot.at(key))) for key, item in value.items()))
        if isinstance(value, list):
            return Listing(tuple(self._inner(item, spot.at(index)) for index, item in enumerate(value)))
        return Constant(value)

    def _inner(self, value: Any, spot: Spot) -> Renderer:
        return spot.attempt(self.value, value, spot) or Constant(None)

    def text(self, text: str, spot: Spot) -> Renderer:
        """Compile a string, which is a constant when it holds no template.

        Raises:
            FlowFileError: Its template has a syntax error or an unknown name.
        """
        with_variables = self._with_variables(text)
        if not any(mark in with_variables for mark in ("{{", "{%")):
            return Constant(text)
        spot = spot.with_path()
        try:
            tree = self.environment.parse(with_variables)
            self._check_names(tree, text, spot)
            expression = _one_expression(tree) if _is_whole(text) else None
            Bounding().visit(tree)
            if expression is not None:
                return Template(text, spot.owner, True, self._evaluation(tree), spot.step)
            return Template(text, spot.owner, False, self.environment.from_string(tree).render, spot.step)
        except FlowFileError:
            raise
        except Exception as error:
            raise _refusal(error, text, spot) from error

    def mixes_text(self, text: str) -> bool:
        """Tell whether a template has text or a second expression beside an expression, outside of ``{% %}`` blocks."""
        outputs = [node for node in self.environment.parse(text).body if isinstance(node, nodes.Output)]
        parts = [part for output in outputs for part in output.nodes if not _is_blank(part)]
        return len(parts) > 1 and not all(isinstance(part, nodes.TemplateData) for part in parts)

    def _evaluation(self, tree: nodes.Template) -> Callable[[Mapping[str, Any]], Any]:
        """Return a function that evaluates the one expression of a template and returns its value unchanged."""
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

    def with_variable_texts(self, text: str) -> str:
        """Return inline code with each ``${name}`` replaced by the text of that variable; unknown names stay as they are."""
        return _VARIABLE.sub(lambda match: str(self.variables.get(match.group(1), match.group(0))), text)

    def _with_variables(self, text: str) -> str:
        def reference(match: re.Match[str]) -> str:
            name = match.group(1)
            return f"{{{{ variables[{name!r}] }}}}" if name in self.variables else match.group(0)

        return _VARIABLE.sub(reference, text)

    def _check_names(self, tree: nodes.Template, text: str, spot: Spot) -> None:
        unknown = meta.find_undeclared_variables(tree) - self.names - self.environment.globals.keys()
        if "env" in unknown:
            raise spot.error(f"env in {shown(text)} is not available to a flow without code; pass the value in the state")
        if unknown:
            name = min(unknown)
            hint = f"; for a key of the state write state.{_cut(name)}" if "state" in self.names else ""
            raise spot.error(f"unknown name {shown(name)} in {shown(text)}{hint}; {allowed(sorted(self.names))}")
        read = {id(node.node) for node in tree.find_all((nodes.Getattr, nodes.Getitem))}  # type: ignore[attr-defined]
        if any(node.name == "env" and id(node) not in read for node in tree.find_all(nodes.Name)):
            raise spot.error(f"env in {shown(text)} cannot be used as a whole; read one variable, such as env.HOME")


def _refusal(error: Exception, text: str, spot: Spot) -> FlowFileError:
    """Return the error for a template that Jinja2, or Python's compiler after it, rejects."""
    line, what = spot.source.line(spot.place), "cannot be compiled"
    reason = error_text(error) or type_name(error)
    if isinstance(error, TemplateSyntaxError):
        # Its own text would show the whole template, and all of the token it failed at.
        error.source, error.args = None, (_cut(error.message or ""),)
        line, what = line and spot.source.text_line(spot.place) + error.lineno - 1, "template syntax error"
        reason = error.message or reason
    elif isinstance(error, (RecursionError, MemoryError, SyntaxError)):
        reason = "it is nested too deeply, or too long; use several steps"
    return spot.error(f"{what} in {shown(text)}: {_cut(reason)}", line=line)


def _is_whole(text: str) -> bool:
    stripped = text.strip()
    return stripped.startswith("{{") and stripped.endswith("}}")


def _one_expression(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression of a template that is one ``{{ expression }}``, apart from whitespace around it; else None."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    parts = [part for part in tree.body[0].nodes if not (isinstance(part, nodes.TemplateData) and not part.data.strip())]
    return parts[0] if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None


def _is_blank(part: nodes.Node) -> bool:
    return isinstance(part, nodes.TemplateData) and not part.data.strip()


def shown(text: str) -> str:
    """Return a template as messages show it: on one line, and cut to a limit."""
    return repr(_cut(text.strip()))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
