"""The mutation run: which changes it makes, that each is tried, and what is said of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from . import mutants
from .mutants import GROUPS, Group, files_of, modules_of
from .mutations import mutants_of


def changes(code: str) -> set[tuple[str, str]]:
    """Return what is replaced in code by what."""
    return {(mutant.before, mutant.after) for mutant in mutants_of("m.py", code)}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("a < b", {("a < b", "(a <= b)"), ("a < b", "(a >= b)")}),
        ("a is None", {("a is None", "(a is not None)")}),
        ("a in b", {("a in b", "(a not in b)")}),
        ("a and b", {("a and b", "(a or b)"), ("a and b", "(a)"), ("a and b", "(b)")}),
        ("a or b or c", {("a or b or c", f"({after})") for after in ("a and b and c", "a or b", "a or c", "b or c")}),
        ("not a", {("not a", "(a)")}),
        ("a + b", {("a + b", "(a - b)")}),
        ("a if b else c", {("a if b else c", "(a)"), ("a if b else c", "(c)")}),
        ("n = 3", {("3", "(4)")}),
        ("n = True", {("True", "(False)")}),
        ("n += m", {("n += m", "pass"), ("n += m", "n -= m"), ("n += m", "n = m")}),
        ("if a: b", {("a", "(not a)")}),
        ("while a:\n    break", {("a", "(not a)"), ("break", "continue")}),
        ("def f():\n    g(x)", {("g(x)", "pass")}),
        ("def f():\n    self.x = y", {("self.x = y", "pass")}),
        ("def f():\n    return x", {("return x", "return None")}),
        ("def f():\n    raise ValueError('a text' + x)", {("raise ValueError('a text' + x)", "pass")}),
        ("def f():\n    x = 'a'", {("'a'", "('')")}),
    ],
)
def test_what_is_changed(code: str, expected: set[tuple[str, str]]) -> None:
    """Each kind of code in each way."""
    assert changes(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        '"""A docstring."""',
        "def f():\n    'A docstring.'",
        "x: Literal[3]",
        "A: TypeAlias = 'X | Y'",
        "__slots__ = ('a', 'b')",
        "@cache(maxsize=3)\ndef f(): ...",
        "WORDS = ('a', 'b')",
        "if TYPE_CHECKING:\n    x = 3",
        "def f(x: 'int') -> 'str': ...",
        "x = f'{3 + y}'",
        "def f():\n    x = y['key']",
        "def f():\n    x = {'key': y}",
    ],
)
def test_what_is_left_alone(code: str) -> None:
    """What tests can say little about."""
    assert changes(code) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(GROUPS))
def test_every_mutant_of_a_module_is_another_program(name: str) -> None:
    """Each can be parsed, and differs from the module in its syntax tree."""
    path = modules_of(GROUPS[name])[-1]
    text = (mutants.ROOT / path).read_text(encoding="utf-8")
    found = mutants_of(path.as_posix(), text)
    assert len(found) > 10
    trees = {ast.dump(ast.parse(mutant.applied(text))) for mutant in found[:: len(found) // 10]}
    assert ast.dump(ast.parse(text)) not in trees


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_every_module_of_a_group_has_tests(name: str) -> None:
    """Its own come first, and every pattern matches something."""
    group = GROUPS[name]
    assert all(list((mutants.ROOT / "tests").rglob(pattern)) for pattern in group.tests)
    for path in modules_of(group):
        own = f"tests/test_{path.stem}.py"
        files = files_of(path, group)
        assert files
        assert own not in files or files[0] == own


def test_a_pattern_that_fits_no_module_says_what_to_change() -> None:
    """Modules are found in folders, too; where one has another name, the list has to follow."""
    assert modules_of(Group(("executor.py",), ())) == [Path("the_edge_obs/flows/executor.py")]
    with pytest.raises(SystemExit, match=r"no module fits 'gone\.py'; change GROUPS in tests/mutants\.py"):
        modules_of(Group(("gone.py",), ()))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small project in place of this one, one of whose functions is tested well."""
    root = tmp_path / "project"
    files = {
        "small/__init__.py": "",
        "small/sums.py": "def total(n):\n    return n + 1\n\n\ndef untested(n):\n    return n - 1\n",
        "small/loops.py": "def count(n):\n    while n > 0:\n        n -= 1\n    return n\n",
        "tests/test_sums.py": "from small.sums import total\n\n\ndef test_total():\n    assert total(2) == 3\n",
        "tests/test_loops.py": "from small.loops import count\n\n\ndef test_count():\n    assert count(3) == 0\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(mutants, "ROOT", root)
    monkeypatch.setattr(mutants, "PACKAGE", "small")
    monkeypatch.setattr(mutants, "GROUPS", {"sums": Group(("sums.py",), ()), "loops": Group(("loops.py",), ())})
    monkeypatch.setattr(mutants, "_RUN", mutants._RUN.replace("the_edge_obs", "small"))
    monkeypatch.setattr(mutants, "_AT_LEAST", 0.0)  # only the baseline counts: a slow machine is slow without a mutant, too
    # Plugins that happen to be installed take longer to import than the tests do to run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p _hypothesis_pytestplugin")
    return root


@pytest.mark.slow
def test_survivors_are_told_and_nothing_is_changed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mutant that no test notices is printed with its place; the project's files stay as they are."""
    before = {path: path.read_bytes() for path in project.rglob("*.py")}
    assert mutants.main(["sums", "--jobs", "2", "--quick"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "small/sums.py:6: return n - 1 -> return None  [survived]",
        "small/sums.py:6: n - 1 -> (n + 1)  [survived]",
        "small/sums.py:6: 1 -> (2)  [survived]",
        "sums: 6 mutants, 3 killed, 0 timed out, 3 survived",
    ]
    assert {path: path.read_bytes() for path in project.rglob("*.py")} == before


@pytest.mark.slow
def test_a_mutant_that_never_ends_is_stopped(project: Path, tmp_path: Path) -> None:
    """Its tests end when they take longer than the limit, and the file is as it was."""
    path = project / "small" / "loops.py"
    text = path.read_text(encoding="utf-8")
    endless = next(mutant for mutant in mutants_of("small/loops.py", text) if str(mutant).endswith("n -= 1 -> pass"))
    sandbox = mutants.Sandbox(tmp_path / "sandbox", ["not slow"])
    limit = 4 * sandbox.took(["tests/test_loops.py"])
    assert sandbox.outcome(endless, ["tests/test_loops.py"], limit) == "timed out"
    assert (tmp_path / "sandbox" / "small" / "loops.py").read_text(encoding="utf-8") == text


@pytest.mark.slow
def test_tests_that_fail_by_themselves_end_the_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With them every mutant would seem to be killed."""
    (project / "tests" / "test_sums.py").write_text("def test_total():\n    assert False\n", encoding="utf-8")
    assert mutants.main(["sums", "--jobs", "1", "--quick"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "the tests fail without a mutant (exit code 1): tests/test_sums.py",
        "FAILED tests/test_sums.py::test_total - assert False",
    ]


def test_a_sample_is_the_same_for_a_seed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And not larger than asked for."""
    listed = []
    for seed in ("1", "1", "2", "3", "4"):
        assert mutants.main(["sums", "--sample", "2", "--seed", seed, "--list"]) == 0
        listed.append(capsys.readouterr().out)
    assert listed[0] == listed[1]
    assert len(set(listed)) > 1
    assert {text.count("\n") for text in listed} == {2}
