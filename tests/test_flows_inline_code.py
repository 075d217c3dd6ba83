"""Inline Python: functions, scripts, expressions, and the lines of the flow file."""

from __future__ import annotations

import traceback

import pytest

from the_edge_obs.flows.inline_code import compile_expression, compile_script


def run(text: str, **scope: object) -> object:
    return compile_script(text, "flow.yaml", 10).run(scope)


def test_code_with_a_return_is_a_function() -> None:
    """Its value is what it returns."""
    assert run("if n > 1:\n    return {'big': True}\nreturn None", n=2) == {"big": True}


def test_code_without_a_return_gives_its_new_names() -> None:
    """Names with an underscore, modules, functions, classes and what the scope already held stay out."""
    code = """
import math
class Tool: pass
def double(x):
    return 2 * x
_hidden = 1
total = sum(double(x) for x in numbers)
config = {"mine": total}
"""
    assert run(code, numbers=[1, 2], config={}) == {"total": 6, "config": {"mine": 6}}


def test_multi_line_strings_keep_their_text() -> None:
    """The code is wrapped as a tree, so no line of it is indented."""
    assert run('text = """a\n  b\nc"""\nreturn text') == "a\n  b\nc"


def test_expression() -> None:
    """An expression gives its value."""
    assert compile_expression(" len(state['rows']) > 1\n", "flow.yaml", 1).run({"state": {"rows": [1, 2]}}) is True


def test_errors_point_into_the_flow_file() -> None:
    """Syntax errors and tracebacks have the file's own lines."""
    with pytest.raises(SyntaxError) as syntax:
        run("a = 1\nb = = 2")
    with pytest.raises(ZeroDivisionError) as division:
        run("a = 1\nreturn a / 0")
    frame = traceback.extract_tb(division.value.__traceback__)[-1]
    assert (syntax.value.lineno, frame.filename, frame.lineno) == (11, "flow.yaml", 11)


def test_code_runs_under_its_own_future() -> None:
    """Annotations of inline code are evaluated, as in any file without a __future__ import."""
    assert run("def f(x: int): pass\nkinds = f.__annotations__") == {"kinds": {"x": int}}
