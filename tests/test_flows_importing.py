"""Imports of a flow's own actions."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from the_edge_obs.errors import FlowFileError
from the_edge_obs.flows import load

MODULE = """
    from __future__ import annotations
    from dataclasses import dataclass

    @dataclass
    class Answer:
        value: int

    def register_actions(registry, engine):
        def double(state, number):
            return {"double": Answer(2 * number).value, "by": engine.variables["factor"]}
        def twice(state, number):
            return engine.actions_registry["my.double"](state=state, number=2 * number)
        registry["double"] = double
        registry["twice"] = twice
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")
    return path


def test_a_file_beside_the_flow(tmp_path: Path) -> None:
    """A relative path starts at the flow file, a namespace goes before the names, and sys.path is as it was."""
    written(tmp_path, "actions/mine.py", MODULE)
    text = """\
        variables: {factor: 2}
        imports: [{path: ./actions/mine.py, namespace: my}]
        nodes:
          - {uses: my.double, number: 4, output: a}
          - {uses: my.twice, number: 4, output: b}
        """
    before = list(sys.path)
    state = load(written(tmp_path, "flow.yaml", text)).run()
    assert (state["a"], state["b"]) == ({"double": 8, "by": 2}, {"double": 16, "by": 2})
    assert sys.path == before


def test_a_package_beside_the_flow(tmp_path: Path) -> None:
    """A package is found on the path, or in the folder of the flow."""
    written(tmp_path, "edge_actions_for_test/__init__.py", MODULE)
    text = """\
        variables: {factor: 2}
        imports: [{package: edge_actions_for_test}]
        nodes: [{uses: double, number: 4}]
        """
    try:
        state = load(written(tmp_path, "flow.yaml", text)).run()
    finally:
        sys.modules.pop("edge_actions_for_test", None)
    assert (state["double"], state["by"]) == (8, 2)


def test_actions_passed_in_win(tmp_path: Path) -> None:
    """A caller can replace an imported action, in a test for instance."""
    written(tmp_path, "mine.py", MODULE)
    text = "imports: [{path: mine.py}]\nnodes: [{uses: double, number: 4}]\n"
    state = load(written(tmp_path, "flow.yaml", text), {"double": lambda state, number: {"fake": number}}).run()
    assert (state["fake"], "double" in state) == (4, False)


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        ("1 / 0", "imports[0]: cannot import path 'mine.py': ZeroDivisionError: division by zero"),
        ("def register_actions(registry): pass", "imports[0]: cannot import path 'mine.py': TypeError: "),
        ("actions = {}", "imports[0]: path 'mine.py' has no function register_actions(registry, engine)"),
        (
            "def register_actions(registry, engine): registry['a'] = 1",
            "imports[0]: path 'mine.py' registers 'a' as 1; it must be callable",
        ),
    ],
)
def test_modules_that_do_not_work(tmp_path: Path, module: str, problem: str) -> None:
    """A failing module is a mistake of the flow file, at the import's line."""
    written(tmp_path, "mine.py", module)
    path = written(tmp_path, "flow.yaml", "nodes: [{run: a = 1}]\nimports:\n  - path: mine.py\n")
    with pytest.raises(FlowFileError) as caught:
        load(path)
    assert (caught.value.line, caught.value.problem[: len(problem)]) == (3, problem)


def test_a_missing_file(tmp_path: Path) -> None:
    """The message has the full path."""
    path = written(tmp_path, "flow.yaml", "imports: [{path: none.py}]\nnodes: [{run: a = 1}]\n")
    with pytest.raises(FlowFileError, match=r"cannot import path 'none.py': FileNotFoundError: .*none\.py does not exist"):
        load(path)
