"""The inline Python of a ``run`` node, compiled once with the line numbers of the flow file, so that tracebacks point there."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

_FUNCTION = "__run__"


@dataclass(frozen=True, slots=True)
class InlineCode:
    """Compiled inline Python.

    Args:
        code: The compiled code.
        kind: The result of an ``expression`` is its value, of a ``function`` its return value, of a ``script`` its new names.
    """

    code: CodeType
    kind: str

    def run(self, scope: Mapping[str, Any]) -> Any:
        """Run the code in its own namespace.

        Args:
            scope: The names it sees.

        Returns:
            The value, the return value, or a dict of the names that a script set, without names with a leading underscore,
            modules, functions and classes: these are a script's tools, not its results.
        """
        namespace = {"__name__": "__flow__", **scope}
        if self.kind == "expression":
            return eval(self.code, namespace)
        exec(self.code, namespace)
        if self.kind == "function":
            return namespace[_FUNCTION]()
        return {
            name: value
            for name, value in namespace.items()
            if not (name.startswith("_") or (name in scope and scope[name] is value) or _is_tool(value))
        }


def compile_expression(text: str, filename: str, line: int) -> InlineCode:
    """Compile one Python expression.

    Args:
        text: The expression.
        filename: The flow file, for tracebacks.
        line: 1-based line of the file on which the text begins.

    Raises:
        SyntaxError: With the line of the flow file.
    """
    tree = _parse(text.strip(), filename, line, "eval")
    return InlineCode(compile(tree, filename, "eval", dont_inherit=True), "expression")


def compile_script(text: str, filename: str, line: int) -> InlineCode:
    """Compile a block of Python; one with a ``return`` outside of nested functions becomes a function body.

    Args:
        text: The code.
        filename: The flow file, for tracebacks.
        line: 1-based line of the file on which the text begins.

    Raises:
        SyntaxError: With the line of the flow file.
    """
    # Without dont_inherit the code would be compiled under the __future__ imports of this module.
    tree = _parse(text, filename, line, "exec")
    kind = "function" if any(_returns(statement) for statement in tree.body) else "script"
    if kind == "function":
        frame = ast.parse(f"def {_FUNCTION}(): pass")
        function = frame.body[0]
        assert isinstance(function, ast.FunctionDef)
        function.body = tree.body
        tree = frame
    return InlineCode(compile(tree, filename, "exec", dont_inherit=True), kind)


def _parse(text: str, filename: str, line: int, mode: str) -> Any:
    try:
        tree = ast.parse(text, filename, mode)
    except SyntaxError as error:
        error.lineno = (error.lineno or 1) + line - 1
        raise
    ast.increment_lineno(tree, line - 1)
    return tree


def _returns(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Return) or any(_returns(child) for child in _same_scope(statement))


def _same_scope(statement: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a statement that share its scope: a return inside a nested def belongs to that def."""
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
        yield from ast.iter_child_nodes(statement)


def _is_tool(value: Any) -> bool:
    return inspect.ismodule(value) or inspect.isroutine(value) or inspect.isclass(value)
