"""The ways in which ``tests.mutants`` makes a module wrong: one small change of its syntax tree each.

Operators, comparisons, conditions, numbers, texts, results and whole statements are changed. Docstrings, annotations, decorators,
f-strings, what is raised, the keys of data and texts outside of functions are not: their changes say little about tests.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

_Node = TypeVar("_Node", bound=ast.AST)

_COMPARED: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_RECKONED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.Pow: ast.Mult,
}
_BARE: Final = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.NamedExpr)  # conditions in which nothing else is changed
_SHORT: Final = 100  # characters of code in a report


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of a module.

    Attributes:
        path: The module's file, relative to the project.
        line: Where the change is.
        start, end: What is replaced, as offsets into the text's UTF-8.
        before, after: The code that is replaced, and what replaces it.
    """

    path: str
    line: int
    start: int
    end: int
    before: str
    after: str

    def applied(self, text: str) -> str:
        """Return a module's text with the change."""
        raw = text.encode("utf-8")
        return (raw[: self.start] + self.after.encode("utf-8") + raw[self.end :]).decode("utf-8")

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {_short(self.before)} -> {_short(self.after)}"


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 3] + "..."


def mutants_of(path: str, text: str) -> list[Mutant]:
    """Return the mutants of a module's text, by their places; none of them has the syntax tree of the original."""
    starts = [0]
    for line in text.encode("utf-8").splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    raw = text.encode("utf-8")
    found: dict[Mutant, None] = {}
    for node, changed in _changes(ast.parse(text), is_inside=False):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        after = ast.unparse(changed)
        if isinstance(node, ast.expr):
            after = f"({after})"
        found[Mutant(path, node.lineno, start, end, raw[start:end].decode("utf-8"), after)] = None
    return sorted(found, key=lambda mutant: (mutant.start, mutant.end, mutant.after))


def _changes(node: ast.AST, *, is_inside: bool) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST]]:
    """Yield parts of a syntax tree with what is to replace each; ``is_inside``: inside of a function."""
    if isinstance(node, ast.stmt):
        yield from ((node, changed) for changed in _of_statement(node, is_inside=is_inside))
    elif isinstance(node, ast.expr):
        yield from ((node, changed) for changed in _of_expression(node, is_inside=is_inside))
    if isinstance(node, (ast.If, ast.While)) and isinstance(node.test, _BARE) and not _is_for_checkers(node):
        yield node.test, ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        is_inside = True
    for inner in _visited(node):
        yield from _changes(inner, is_inside=is_inside)


def _visited(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node that are changed too."""
    if isinstance(node, (ast.JoinedStr, ast.Raise)) or _is_for_checkers(node):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_comment", "bases", "keywords") and not isinstance(
            node, ast.Call
        ):
            continue
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.AST) and not _is_docstring(inner) and not (_is_text(inner) and _is_key(node, name)):
                yield inner


def _is_for_checkers(node: ast.AST) -> bool:
    """Tell whether a statement is for type checkers, or names what a module or class has."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    is_alias = isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"
    return is_alias or any(name in ("__all__", "__slots__", "__match_args__") for name in names)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and _is_text(node.value)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_key(node: ast.AST, field: str) -> bool:
    return (isinstance(node, ast.Subscript) and field == "slice") or (isinstance(node, ast.Dict) and field == "keys")


# --- statements -----------------------------------------------------------------------------------------------------------


def _of_statement(node: ast.stmt, *, is_inside: bool) -> Iterator[ast.stmt]:
    if isinstance(node, ast.AugAssign):
        yield ast.Pass()
        if (other := _RECKONED.get(type(node.op))) is not None:
            yield _with(node, op=other())
        yield ast.Assign([node.target], node.value, lineno=node.lineno)
    elif is_inside and _can_be_left_out(node):
        yield ast.Pass()
    elif is_inside and isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Break):
        yield ast.Continue()


def _can_be_left_out(node: ast.stmt) -> bool:
    """Tell whether the code after a statement can do without it: no name is bound in it, and no generator made by it."""
    if isinstance(node, ast.Assign):
        return all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets)
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, (ast.Constant, ast.Yield, ast.YieldFrom))
    return isinstance(node, (ast.Delete, ast.Raise))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


# --- expressions ------------------------------------------------------------------------------------------------------------


def _of_expression(node: ast.expr, *, is_inside: bool) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare):
        yield from _comparisons(node)
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for number in range(len(node.values)):
            rest = node.values[:number] + node.values[number + 1 :]
            yield rest[0] if len(rest) == 1 else _with(node, values=rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node.operand
    elif isinstance(node, ast.BinOp) and (other := _RECKONED.get(type(node.op))) is not None:
        yield _with(node, op=other())
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.Constant):
        yield from _constants(node, is_inside=is_inside)


def _comparisons(node: ast.Compare) -> Iterator[ast.expr]:
    for number, op in enumerate(node.ops):
        for other in _COMPARED[type(op)]:
            yield _with(node, ops=[*node.ops[:number], other(), *node.ops[number + 1 :]])


def _constants(node: ast.Constant, *, is_inside: bool) -> Iterator[ast.expr]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield ast.Constant(value + 1)
    elif is_inside and isinstance(value, str):
        yield ast.Constant("" if value else "mutant")
    elif is_inside and isinstance(value, bytes):
        yield ast.Constant(b"" if value else b"mutant")


def _with(node: _Node, **fields: object) -> _Node:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
