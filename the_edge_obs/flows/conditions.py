"""Conditions of edges, jumps and loops: a boolean, ``!flag``, a state key, a template or a bare Jinja2 expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import FlowRunError
from .spot import Spot
from .templates import Compiler, Constant, Renderer, Template, shown

_FALSE_WORDS = frozenset({"", "false", "0", "no", "none"})
# Words that mean true or false to people, and to YAML without quotes; as keys of the state they would be missing.
_YES_AND_NO: Final = frozenset({"yes", "no", "on", "off", "none", "null"})
# What an exclamation mark negates as a whole: a word, a path such as state.done, or one template.
_NEGATED: Final = re.compile(r"!\s*(?:[\w.]+|\{\{.*\}\})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition.

    Args:
        renderer: Returns the value to judge.
        expected: The truth value it must have.
        words: Whether the strings false, no, none, 0 and the empty string count as false.
        flag: A state key to read instead of the renderer, or None.
    """

    renderer: Renderer
    expected: bool = True
    words: bool = False
    flag: str | None = None

    def holds(self, names: Mapping[str, Any]) -> bool:
        """Tell whether the condition holds for these names.

        Raises:
            FlowRunError: It cannot be evaluated; the message names the step and the expression.
        """
        value = names["state"].get(self.flag) if self.flag is not None else self.renderer.render(names)
        if self.words and isinstance(value, str):
            return (value.strip().lower() not in _FALSE_WORDS) is self.expected
        try:
            return bool(value) is self.expected
        except Exception as error:
            raise FlowRunError(f"a condition returned a {type(value).__name__}, which is neither true nor false") from error


ALWAYS = Condition(Constant(True))


def compile_condition(compiler: Compiler, value: Any, spot: Spot, *, expected: bool = True, words: bool = False) -> Condition:
    """Compile a condition.

    Args:
        compiler: The flow's template compiler.
        value: The condition as written: a bool or a string.
        spot: Where it is written.
        expected: The truth value it must have for the condition to hold.
        words: Judge every string by its words, as a ``goto`` does; otherwise only a template that mixes text and expressions.

    Raises:
        FlowFileError: It is neither a bool nor a string, or is not a valid expression.
    """
    if isinstance(value, bool):
        return Condition(Constant(value), expected)
    if not isinstance(value, str) or not value.strip():
        raise spot.error(f"condition {value!r} is neither true, false nor an expression such as state.count < 3")
    text = value.strip()
    if text.lower() in {"true", "false"}:
        return Condition(Constant(text.lower() == "true"), expected)
    if text.startswith("!") and _NEGATED.fullmatch(text):
        return compile_condition(compiler, text[1:], spot, expected=not expected, words=words)
    if text.lower() in _YES_AND_NO:
        hint = f"write true or false, or state.{text} for that key"
        raise spot.error(f"condition {value!r} is neither true nor false; {hint}")
    if text.isidentifier() and text not in compiler.names:
        return Condition(Constant(None), expected, words, text)
    renderer = compiler.text(text if "{{" in text or "{%" in text else "{{ " + text + " }}", spot)
    is_mixed = isinstance(renderer, Template) and not renderer.whole
    if is_mixed and compiler.mixes_text(text):
        hint = "put all of it into one {{ }}"
        raise spot.error(f"condition {shown(text)} mixes text and expressions, so it always holds; {hint}")
    return Condition(renderer, expected, words or is_mixed)
