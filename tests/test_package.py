"""The package as a whole: what it exports, what its import costs, and which way its imports point."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import the_edge_obs

PACKAGE = Path(the_edge_obs.__file__).parent

# The rooms of the package, by floor: modules that lie flat, and folders. docs/architecture.md has the same table.
FLOORS = (
    ("errors",),
    ("event", "files", "secrets", "text"),
    ("context", "jsonl", "tree"),
    ("event_query", "flow_log", "redaction"),
    ("recording",),
    ("handlers",),
    ("configuration", "store"),
    ("instrumentation", "pages", "testing"),
    ("comparison", "formats", "integrations"),
    ("__init__", "actions"),
    ("flows",),
    ("cli", "parity"),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    """Return every module of the package, by its dotted name inside the package; the package itself is left out."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if parts:
            found[".".join(parts)] = path
    return found


MODULES = modules()


def imports(name: str, path: Path) -> set[str]:
    """Return the modules of the package that a module imports anywhere: when it is imported, in a function, for its types."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in statement.names if alias.name.startswith("the_edge_obs")}
        elif isinstance(statement, ast.ImportFrom):
            if statement.level:
                base = package[: len(package) - statement.level + 1]
            elif statement.module and statement.module.partition(".")[0] == "the_edge_obs":
                base = []
            else:
                continue
            inner = (statement.module or "").removeprefix("the_edge_obs").strip(".")
            target = ".".join([*base, *filter(None, [inner])])
            for alias in statement.names:
                full = f"{target}.{alias.name}".strip(".")
                found.add(full if full in MODULES else target)
    return found - {""}


def room(name: str) -> str:
    """Return the room that a module is in: its folder, or itself where it lies flat."""
    return name.partition(".")[0]


def test_exports_are_a_literal_sorted_list_and_complete() -> None:
    """``__all__`` is a literal, sorted, holds what the module can give, and each name arrives."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    names = ast.literal_eval(assigned["__all__"])
    assert names == sorted(set(names))
    (late,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    typed = {alias.name for node in late.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(names) == typed
    for name in names:
        assert callable(getattr(the_edge_obs, name))
    assert set(names) <= set(dir(the_edge_obs))


def test_public_errors_are_exported() -> None:
    """Whoever wants to catch an error need not know its module."""
    errors = importlib.import_module("the_edge_obs.errors")
    public = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert public - set(the_edge_obs.__all__) <= {"FlowRunError"}


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that is not there is reported as Python does."""
    with pytest.raises(AttributeError, match="has no attribute 'tracer'"):
        the_edge_obs.tracer  # noqa: B018 - the access is what is tested


def test_import_is_light_and_silent() -> None:
    """A fresh process imports the package: no heavy module, no output, an untouched logging tree."""
    code = """
import logging, sys
before = (logging.root.level, list(logging.root.handlers), set(logging.root.manager.loggerDict), list(logging._handlerList))
import the_edge_obs
after = (logging.root.level, list(logging.root.handlers), set(logging.root.manager.loggerDict), list(logging._handlerList))
assert before == after, (before, after)
heavy = {"yaml", "jinja2", "argparse", "logging.handlers", "logging.config", "asyncio", "pythonjsonlogger"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_everything_exported_needs_neither_yaml_nor_jinja2_nor_argparse() -> None:
    """Who uses the whole public interface without YAML flows does not pay for them."""
    code = """
import sys, logging
from the_edge_obs import *
heavy = {"yaml", "jinja2", "argparse"} & set(sys.modules)
assert not heavy, heavy
assert not logging.root.handlers and logging.getLogger("tea").level == 0 and not logging.getLogger("tea").handlers
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_room_has_a_floor() -> None:
    """A new room is given its floor here and in docs/architecture.md. There are few of both."""
    assert {room(name) for name in MODULES} | {"__init__"} == FLOOR_OF.keys()
    assert len(FLOOR_OF) <= 28
    assert len(FLOORS) <= 13


def test_the_map_is_the_one_in_the_docs() -> None:
    """docs/architecture.md draws the same floors."""
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = {
        int(floor): set(re.findall(r"`(\w+)/?`", rooms)) for floor, rooms in re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.M)
    }
    assert drawn == {floor: set(rooms) for floor, rooms in enumerate(FLOORS, 1)}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name: str) -> None:
    """A room imports only rooms on floors below it, even in a function or for a type."""
    floor = FLOOR_OF[room(name)]
    above = {other for other in imports(name, MODULES[name]) if room(other) != room(name) and FLOOR_OF[room(other)] >= floor}
    assert above == set()


def test_imports_make_no_circle() -> None:
    """Modules, those in one folder too, can be put in an order in which each imports only earlier ones."""
    waiting = {name: imports(name, path) - {name} for name, path in MODULES.items()}
    while waiting:
        ready = {name for name, needs in waiting.items() if not needs & waiting.keys()}
        assert ready, f"a circle among {sorted(waiting)}"
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


def test_private_modules_stay_in_their_folder() -> None:
    """No module imports an underscored module of another folder."""
    crossing = {
        (name, target)
        for name, path in MODULES.items()
        for target in imports(name, path)
        if any(part.startswith("_") for part in target.split(".")[1:]) and room(target) != room(name)
    }
    assert crossing == set()


# What docs/api.md names beside `the_edge_obs` itself, with the signatures that it gives.
STABLE = {
    "comparison": ("FlowDiff", "SpanDiff", "render(diff, view)"),
    "event": ("problems(event)", "schema()", "validate(event)"),
    "event_query": ("matches", "select"),
    "flow_log": ("build_flow_log(events)",),
    "flows": ("Flow", "load(path_or_dict, actions, allow_code)"),
    "jsonl": ("read_events(path)",),
    "parity": ("normalise",),
    "store": ("iter_query",),
    "testing": ("FlowLogs",),
    "tree": ("render(log)",),
}


@pytest.mark.parametrize(("module", "names"), sorted(STABLE.items()))
def test_stable_paths_have_what_the_docs_name(module: str, names: tuple[str, ...]) -> None:
    """The modules of docs/api.md can be imported, and their functions take the arguments that it gives, in its order."""
    found = importlib.import_module(f"the_edge_obs.{module}")
    for text in names:
        name, _, arguments = text.rstrip(")").partition("(")
        thing = getattr(found, name)
        assert callable(thing)
        if arguments:
            assert list(inspect.signature(thing).parameters)[: arguments.count(",") + 1] == arguments.split(", ")


def test_no_module_bears_the_name_of_a_public_name() -> None:
    """The first import of such a module would overwrite the public name."""
    here = {path.stem if path.suffix else path.name for path in PACKAGE.iterdir()}
    assert here & set(the_edge_obs.__all__) == set()


@pytest.mark.parametrize("name", ["", *sorted(MODULES)])
def test_public_things_have_docstrings(name: str) -> None:
    """Each module, and each public function, class and method in it, says what it does."""
    path = MODULES.get(name, PACKAGE / "__init__.py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [] if ast.get_docstring(tree) else ["(module)"]
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            overloaded = any("overload" in ast.unparse(one) for one in node.decorator_list)
            silent += [] if overloaded or ast.get_docstring(node) else [node.name]
            if isinstance(node, ast.ClassDef):
                silent += [
                    f"{node.name}.{inner.name}"
                    for inner in node.body
                    if isinstance(inner, ast.FunctionDef)
                    and not inner.name.startswith("_")
                    and not ast.get_docstring(inner)
                    # A two-line member of a class that says what it is needs no more words.
                    and len(inner.body) > 4
                ]
    assert silent == []


def test_type_checkers_know_what_is_exported(tmp_path: Path) -> None:
    """A user's program gets the types of public names, and is told of one that does not exist, though all are imported late."""
    api = pytest.importorskip("mypy.api")
    program = tmp_path / "program.py"
    program.write_text(
        "import the_edge_obs as obs\n"
        "@obs.observable\n"
        "def double(n: int) -> int: return 2 * n\n"
        "with obs.flow('typed') as run: found: list[dict[str, object]] = obs.query(run.flow_id)\n"
        "double('x')\n"
        "obs.configur()\n",
        encoding="utf-8",
    )
    options = ["--config-file=", f"--cache-dir={tmp_path / 'cache'}", "--strict", "--no-error-summary"]
    out, _, _ = api.run([*options, str(program)])
    found = [(line.removeprefix(f"{program}:")[:8], line.rpartition("  ")[2]) for line in out.splitlines()]
    assert found == [("5: error", "[arg-type]"), ("6: error", "[attr-defined]")]
