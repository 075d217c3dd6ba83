"""Conditions of edges, jumps and loops: a boolean, ``!flag``, a state key, a template or a bare Jinja2 expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..configuration.yaml_reader import Place
from ..errors import FlowRunError
from .templates import Compiler, Constant, Renderer, Template, shown

_FALSE_WORDS = frozenset({"", "false", "0", "no", "none"})
# Words that mean true or false to a reader, and to YAML without quotes; as keys of the state they would be missing.
_YES_AND_NO: Final = frozenset({"yes", "no", "on", "off", "none", "null"})
# What an exclamation mark negates as a whole: a word, a path such as state.done, or one template.
_NEGATED: Final = re.compile(r"!\s*(?:[\w.]+|\{\{.*\}\})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds or not.

    Args:
        renderer: Gives the value that is judged.
        expected: The truth value it must have.
        words: Whether the words false, no, none, 0 and nothing at all count as false when the value is a text.
        flag: A state key to read in the renderer's place, or None.
    """

    renderer: Renderer
    expected: bool = True
    words: bool = False
    flag: str | None = None

    def holds(self, names: Mapping[str, Any]) -> bool:
        """Return whether the condition holds for these names.

        Raises:
            FlowRunError: It cannot be evaluated; the message names the step and the expression.
        """
        value = names["state"].get(self.flag) if self.flag is not None else self.renderer.render(names)
        if self.words and isinstance(value, str):
            return (value.strip().lower() not in _FALSE_WORDS) is self.expected
        try:
            return bool(value) is self.expected
        except Exception as error:
            raise FlowRunError(f"a condition gave a {type(value).__name__}, which is neither true nor false") from error


ALWAYS = Condition(Constant(True))


def compile_condition(
    compiler: Compiler, value: Any, place: Place, owner: str, *, expected: bool = True, words: bool = False
) -> Condition:
    """Compile a condition.

    Args:
        compiler: The flow's template compiler.
        value: What the flow says: a bool or a text.
        place: Where it is written.
        owner: The step or edge it belongs to, for messages.
        expected: The truth value it must have for the condition to hold.
        words: Judge every text by its words, as a ``goto`` does; otherwise only a text put together by a template is.

    Raises:
        FlowFileError: It is neither a bool nor a text, or is not a valid expression.
    """
    if isinstance(value, bool):
        return Condition(Constant(value), expected)
    if not isinstance(value, str) or not value.strip():
        problem = f"{owner}: condition {value!r} is neither true, false nor an expression such as state.count < 3"
        raise compiler.source.error(problem, place)
    text = value.strip()
    if text.lower() in {"true", "false"}:
        return Condition(Constant(text.lower() == "true"), expected)
    if text.startswith("!") and _NEGATED.fullmatch(text):
        return compile_condition(compiler, text[1:], place, owner, expected=not expected, words=words)
    if text.lower() in _YES_AND_NO:
        problem = f"{owner}: condition {value!r} is neither true nor false; write true or false, or state.{text} for that key"
        raise compiler.source.error(problem, place)
    if text.isidentifier() and text not in compiler.names:
        return Condition(Constant(None), expected, words, text)
    renderer = _renderer(compiler, text, place, owner)
    mixed = isinstance(renderer, Template) and not renderer.whole
    if mixed and compiler.is_put_together(text):
        why = "is a text put together, which always holds; put all of it into one {{ }}"
        problem = f"{owner}: condition {shown(text)} {why}"
        raise compiler.source.error(problem, place)
    return Condition(renderer, expected, words or mixed)


def _renderer(compiler: Compiler, text: str, place: Place, owner: str) -> Renderer:
    if "{{" in text or "{%" in text:
        return compiler.text(text, place, owner)
    return compiler.text("{{ " + text + " }}", place, owner)
