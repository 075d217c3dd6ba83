"""The package as a whole: what it exports, what its import costs, and which way its imports point."""

from __future__ import annotations

import ast
import functools
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
    ("errors", "on_demand"),
    ("event", "files", "secrets", "text"),
    ("context", "jsonl", "tree"),
    ("event_query", "flow_log", "redaction"),
    ("recording",),
    ("handlers",),
    ("configuration", "store"),
    ("instrumentation", "pages", "sql", "testing"),
    ("comparison", "formats"),
    ("__init__", "actions"),
    ("flows", "integrations"),
    ("cli", "parity"),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a module. Tests share it, so they change nothing in it."""
    return ast.parse(path.read_text(encoding="utf-8"))


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


@functools.cache
def imports(name: str, path: Path) -> set[str]:
    """Return the modules of the package that a module imports anywhere: when it is imported, in a function, for its types."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for statement in ast.walk(parsed(path)):
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
    tree = parsed(PACKAGE / "__init__.py")
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


@pytest.mark.slow
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
    assert len(FLOOR_OF) <= 29
    assert len(FLOORS) <= 13


def test_the_map_is_the_one_in_the_docs() -> None:
    """docs/architecture.md draws the same floors."""
    text = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = {
        int(floor): set(re.findall(r"`(\w+)/?`", rooms)) for floor, rooms in re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.M)
    }
    assert drawn == {floor: set(rooms) for floor, rooms in enumerate(FLOORS, 1)}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name: str) -> None:
    """A room imports only rooms on floors below it, even in a function or for a type."""
    floor = FLOOR_OF[room(name)]
    above = {other for other in imports(name, MODULES[name]) if room(other) != room(name) and FLOOR_OF[room(other)] >= floor}
    assert above == set()


@pytest.mark.slow
def test_imports_make_no_circle() -> None:
    """Modules, those in one folder too, can be put in an order in which each imports only earlier ones."""
    waiting = {name: imports(name, path) - {name} for name, path in MODULES.items()}
    while waiting:
        ready = {name for name, needs in waiting.items() if not needs & waiting.keys()}
        assert ready, f"a circle among {sorted(waiting)}"
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


@pytest.mark.slow
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
    "integrations.asgi": ("FlowMiddleware(app, name, exclude, headers)",),
    "integrations.celery": ("install(app)",),
    "integrations.django": ("FlowMiddleware(get_response)",),
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", *sorted(MODULES)])
def test_public_things_have_docstrings(name: str) -> None:
    """Each module, and each public function, class and method in it, says what it does."""
    path = MODULES.get(name, PACKAGE / "__init__.py")
    tree = parsed(path)
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


@pytest.mark.slow
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


# --- integrations use what everybody can use ---------------------------------------------------------------------------------


def literal_all(name: str) -> set[str]:
    """Return ``__all__`` of a module, by its dotted name inside the package; ``""`` is the package."""
    path = MODULES.get(name, PACKAGE / "__init__.py")
    for node in parsed(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def public() -> dict[str, set[str]]:
    """Return the public names by module: those of the package, and ``__all__`` of each module in the table of docs/api.md."""
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    section = page[page.index("\n## Other modules\n") :]
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return {name: literal_all(name) for name in ["", *re.findall(r"`([\w.]+)`", " ".join(rows))]}


PUBLIC = public()


def private_uses(name: str, source: str) -> list[str]:
    """Return what a module of the integrations takes from the package that is neither public nor in the integrations."""
    tree, found = ast.parse(source), []
    whole: dict[str, str] = {}  # public modules, by the names that they have here
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] == "the_edge_obs"]
        if not isinstance(node, ast.ImportFrom) or not (node.level or (node.module or "").startswith("the_edge_obs")):
            continue
        package = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
        base = package[: len(package) - node.level + 1] if node.level else []
        target = ".".join([*base, *filter(None, [(node.module or "").removeprefix("the_edge_obs").strip(".")])])
        for alias in node.names:
            full = f"{target}.{alias.name}".strip(".")
            if full in PUBLIC:
                whole[alias.asname or alias.name] = full
            elif target.partition(".")[0] != "integrations" and alias.name not in PUBLIC.get(target, set()):
                found.append(full)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in whole:
            module = whole[node.value.id]
            found += [] if node.attr in PUBLIC[module] else [f"{module}.{node.attr}"]
    return sorted(found)


def test_integrations_use_only_public_names() -> None:
    """What our own adapters do, those of others can do: names of the package, and of the modules that docs/api.md lists."""
    found = {
        name: private_uses(name, path.read_text(encoding="utf-8"))
        for name, path in MODULES.items()
        if room(name) == "integrations"
    }
    assert len(found) > 25
    assert {name: uses for name, uses in found.items() if uses} == {}


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("from .. import current, guard", []),
        ("from ..event import ROOT_NODE\nfrom .asgi import FLOW_KEY\nfrom . import asgi", []),
        ("from ..formats import otlp_attributes as names\nnames.OPERATION", []),
        ("from ..formats import otlp_attributes as names\nnames.Enum", ["formats.otlp_attributes.Enum"]),
        ("from ..context import CURRENT", ["context.CURRENT"]),
        ("def late():\n    from the_edge_obs.recording.faults import own_fault", ["recording.faults.own_fault"]),
        ("from ..event import identity", ["event.identity"]),
        ("from .. import recording", ["recording"]),
        ("import the_edge_obs.context", ["the_edge_obs.context"]),
    ],
)
def test_private_uses_are_found(source: str, uses: list[str]) -> None:
    """So that the test above can fail."""
    assert private_uses("integrations.asgi", source) == uses


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_modules_have_what_they_list(name: str) -> None:
    """Each module that docs/api.md lists has a literal ``__all__``, and what it names is there."""
    module = importlib.import_module(f"the_edge_obs.{name}".rstrip("."))
    assert PUBLIC[name]
    assert {public_name for public_name in PUBLIC[name] if not hasattr(module, public_name)} == set()


def test_public_names_of_the_reference_are_in_its_modules() -> None:
    """A heading of docs/api.md with a dot in it names a module of the table, or an integration."""
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    headings = [heading.rpartition(".") for heading in re.findall(r"^### `([\w.]+)`$", page, re.MULTILINE)]
    assert [
        f"{module}.{name}"
        for module, _, name in headings
        if name not in PUBLIC.get(module, set()) and not module.startswith("integrations.")
    ] == []


# --- one home for what an event means -----------------------------------------------------------------------------------------


def around(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    """Return what each node of a syntax tree stands in."""
    return {inner: outer for outer in ast.walk(tree) for inner in ast.iter_child_nodes(outer)}


def strings_in(node: ast.AST) -> set[str]:
    """Return the strings that stand directly in a node of a syntax tree."""
    inner = ast.iter_child_nodes(node)
    return {one.value for one in inner if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def is_key(constant: ast.Constant, outer: dict[ast.AST, ast.AST]) -> bool:
    """Tell whether a string is a key, an argument, a column or a noun that is counted: not what a node is called."""
    place = outer[constant]
    if isinstance(place, ast.Dict):
        return constant in place.keys
    if isinstance(place, (ast.Tuple, ast.List, ast.Set)):
        return not isinstance(outer[place], ast.Compare)
    if isinstance(place, ast.Call):
        is_read = isinstance(place.func, ast.Attribute) and place.func.attr in ("get", "pop", "add_argument", "key", "at")
        return (is_read and place.args[:1] == [constant]) or ast.unparse(place.func) == "counted"
    return isinstance(place, ast.Subscript)


def root_nodes(tree: ast.AST) -> list[int]:
    """Return the lines where the root's node, or its logger, is written out: as a value, not as a key."""
    outer = around(tree)
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    roots = [one for one in strings if one.value == "flow" and not is_key(one, outer)]
    loggers = [one for one in strings if one.value == "tea.flow" or one.value.startswith("tea.flow.")]
    return sorted(one.lineno for one in roots + loggers)


def copied_rule(node: ast.AST) -> str | None:
    """Return the rule of ``event`` that a piece of code decides by itself, or None."""
    strings = strings_in(node)
    if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)) and {"exit", "error"} <= strings:
        return "ENDS"
    if isinstance(node, ast.Compare) and "exit" in strings:
        return "status_of"
    reads = isinstance(node, ast.Subscript) or (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".get"))
    if reads and "cancelled" in strings:
        return "is_failure"
    compared = [ast.unparse(one) for one in getattr(node, "values", ()) if isinstance(one, ast.Compare)]
    if any("ROOT_NODE" in text for text in compared) and any(text.endswith((" is None", " is not None")) for text in compared):
        return "root_rank"
    return None


def copied_rules(tree: ast.AST) -> list[str]:
    """Return where code decides by itself what ``event`` knows: which events end a span, how it ended, what a root is."""
    found = [(node.lineno, rule) for node in ast.walk(tree) if isinstance(node, ast.expr) and (rule := copied_rule(node))]
    return [f"line {line}: {rule}" for line, rule in sorted(found)]


@pytest.mark.slow
def test_the_node_of_the_root_is_written_once() -> None:
    """``event.ROOT_NODE`` is the one place that says what a flow's own span is called."""
    found = {name: root_nodes(parsed(path)) for name, path in MODULES.items()}
    assert {name: len(lines) for name, lines in found.items() if lines} == {"event": 1}, found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"event"}))
def test_what_an_event_means_is_decided_in_one_module(name: str) -> None:
    """Modules ask ``event`` whether an event ends a span, how it ended, and whether it may be a root."""
    assert copied_rules(parsed(MODULES[name])) == []


@pytest.mark.parametrize(
    "code",
    [
        "event['node'] == 'flow'",
        "event['node'] in ('flow', 'obs')",
        "name or 'flow'",
        "f\"{name or 'flow'}\"",
        "Span('flow')",
        "log(node='flow')",
        "def flow(name='flow'): ...",
        "getLogger('tea.flow')",
    ],
)
def test_a_second_literal_of_the_root_would_be_found(code: str) -> None:
    """The check knows the ways to write it."""
    assert root_nodes(ast.parse(code)) == [1]


@pytest.mark.parametrize(
    "code",
    [
        "{'flow': 1}",
        "data['flow']",
        "data.get('flow')",
        "COLUMNS = ('flow', 'node')",
        "parser.add_argument('flow')",
        "spot.key('flow')",
        "counted(3, 'flow')",
    ],
)
def test_a_key_is_not_the_node_of_the_root(code: str) -> None:
    """Data has keys and tables have columns of that name."""
    assert root_nodes(ast.parse(code)) == []


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("kind in ('exit', 'error')", "ENDS"),
        ("ENDS = frozenset({'exit', 'error'})", "ENDS"),
        ("{'entry': 0, 'exit': 1, 'error': 1}", "ENDS"),
        ("'ok' if event['event_type'] == 'exit' else 'error'", "status_of"),
        ("kind == 'error' and not event['data'].get('cancelled')", "is_failure"),
        ("kind == 'error' and not data['cancelled']", "is_failure"),
        ("parent is None or node == ROOT_NODE", "root_rank"),
        ("parent is not None and node != ROOT_NODE", "root_rank"),
    ],
)
def test_a_copied_rule_would_be_found(code: str, rule: str) -> None:
    """The check knows the ways to copy each."""
    assert copied_rules(ast.parse(code)) == [f"line 1: {rule}"]
