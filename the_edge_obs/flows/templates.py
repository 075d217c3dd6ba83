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

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, meta, nodes
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from ..errors import FlowRunError, allowed
from ..yaml_reader import Place
from .yaml_source import Source

NAMES: Final = frozenset({"state", "variables", "settings", "env", "flow_dir", "parallel_results"})
"""What every template can read; ``result`` and a fan-out's item are added where they exist. ``flow_dir`` is the flow file's
folder, so that a flow finds the files beside it from any working directory."""

_METHODS = frozenset({"get", "keys", "values", "items", "copy"})
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
            value = self.evaluate(names)
        except Exception as error:
            raise FlowRunError(f"{self.where}: cannot render {self.text.strip()!r}: {error}") from error
        if isinstance(value, Undefined):
            return None
        return str(value) if isinstance(value, Markup) else value


class _Environment(SandboxedEnvironment):
    """The sandbox, in which the keys of a mapping come before its methods and a missing one is None."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if not isinstance(obj, Mapping):
            return super().getattr(obj, attribute)
        if attribute in obj:
            return obj[attribute]
        if attribute in _METHODS or attribute.startswith("__"):
            return super().getattr(obj, attribute)
        return None

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping) and isinstance(argument, str):
            return obj.get(argument)
        return super().getitem(obj, argument)


def _from_json(value: Any) -> Any:
    """Parse JSON text; what is no JSON is given back as it is, as The Edge Agent's filter does."""
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value


def _to_json(value: Any, indent: int | None = None) -> str:
    # Jinja's own filter escapes <, > and & for HTML, which no prompt or request body wants.
    return json.dumps(value, indent=indent)


def _environment() -> SandboxedEnvironment:
    environment = _Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters.update(tojson=_to_json, json=_to_json, fromjson=_from_json)
    return environment


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
    environment: SandboxedEnvironment
    names: frozenset[str] = NAMES

    @classmethod
    def of(cls, source: Source, variables: Mapping[str, Any]) -> Compiler:
        """Return the compiler of a flow."""
        return cls(source, variables, _environment())

    def knowing(self, names: Iterable[str]) -> Compiler:
        """Return a compiler whose templates may use further names."""
        return replace(self, names=self.names | frozenset(names))

    def value(self, value: Any, place: Place, owner: str) -> Renderer:
        """Compile a value: templates anywhere inside lists and mappings.

        Args:
            value: Plain data.
            place: Where it is written.
            owner: The step it belongs to, for messages.

        Raises:
            FlowFileError: A template has a syntax error or an unknown name.
        """
        if isinstance(value, str):
            return self.text(value, place, owner)
        if isinstance(value, Mapping):
            return Table(tuple((key, self.value(item, (*place, key), owner)) for key, item in value.items()))
        if isinstance(value, list):
            return Listing(tuple(self.value(item, (*place, index), owner) for index, item in enumerate(value)))
        return Constant(value)

    def text(self, text: str, place: Place, owner: str) -> Renderer:
        """Compile a text, which is a constant when there is no template in it."""
        with_variables = self._with_variables(text)
        if not any(mark in with_variables for mark in ("{{", "{%")):
            return Constant(text)
        where = self._where(place, owner)
        try:
            tree = self.environment.parse(with_variables)
            self._check_names(tree, text, place, where)
            stripped = text.strip()
            if stripped.startswith("{{") and stripped.endswith("}}") and _is_one_expression(stripped, self.environment):
                expression = self.environment.compile_expression(_inner(stripped), undefined_to_none=False)
                return Template(text, where, True, expression)
            template = self.environment.from_string(with_variables)
        except TemplateSyntaxError as error:
            line = self.source.line(place) and self.source.text_line(place) + error.lineno - 1
            problem = f"{owner}, key {_key(place)!r}: template syntax error in {text.strip()!r}: {error.message}"
            raise self.source.error(problem, place, line=line) from error
        return Template(text, where, False, template.render)

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
        if unknown:
            name = min(unknown)
            hint = f"; for a key of the state write state.{name}; " + allowed(sorted(self.names))
            raise self.source.error(f"{where}: unknown name {name!r} in {text.strip()!r}{hint}", place)

    def _where(self, place: Place, owner: str) -> str:
        return f"{owner}, key {_key(place)!r}"


def _is_one_expression(text: str, environment: SandboxedEnvironment) -> bool:
    body = environment.parse(text).body
    if len(body) != 1 or not isinstance(body[0], nodes.Output):
        return False
    parts = body[0].nodes
    return len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData)


def _inner(text: str) -> str:
    # A sign right after the opening or before the closing braces is Jinja's whitespace control.
    return re.sub(r"^[-+]|[-+]$", "", text[2:-2])


def _key(place: Place) -> str:
    """Return the part of a place that lies inside its node: ``with.path``."""
    parts = [str(part) for part in place]
    while len(parts) > 1 and parts[0] in {"nodes", "steps", "body", "edges"}:
        parts = parts[2:]
    return ".".join(parts)
