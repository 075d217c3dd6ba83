"""What holds the project together outside its modules: metadata, noxfile, CI and documentation agree."""

from __future__ import annotations

import ast
import configparser
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import the_edge_obs

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(the_edge_obs.__file__).parent
NOXFILE = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def settings() -> configparser.ConfigParser:
    """Return setup.cfg."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return settings


@pytest.fixture(scope="module")
def links() -> dict[str, Any]:
    """Return the names of setup.py, which sets nothing up when it is not the main program."""
    return runpy.run_path(str(ROOT / "setup.py"))


def sessions_of_ci() -> list[str]:
    """Return the sessions that ``.ci/run`` runs, in order."""
    named = (ROOT / ".ci" / "run").read_text(encoding="utf-8").partition("--sessions ")[2]
    return shlex.split(named.replace("\\\n", " "))


@pytest.mark.slow
def test_every_extra_that_an_error_names_exists(settings: configparser.ConfigParser) -> None:
    """A ``MissingExtraError`` tells users to install an extra: there is one of that name."""
    named = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("MissingExtraError"):
                named.add(ast.literal_eval(node.args[1]))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named |= set(re.findall(r"the_edge_obs\[([a-z]+)\]", node.value))
    assert named >= {"jmespath", "live"}
    assert named <= set(settings["options.extras_require"])


def test_ci_tests_the_pythons_that_metadata_claims(settings: configparser.ConfigParser) -> None:
    """The classifiers, ``python_requires``, the noxfile and ``.ci/run`` agree on the supported Python versions."""
    claimed = re.findall(r"Programming Language :: Python :: (3\.\d+)", settings["metadata"]["classifiers"])
    versions = next(
        ast.literal_eval(node.value)
        for node in NOXFILE.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PYTHONS"
    )
    assert settings["options"]["python_requires"] == f">={claimed[0]}"
    assert versions[: len(claimed)] == claimed
    assert [one.removeprefix("tests-") for one in sessions_of_ci() if one.startswith("tests")] == claimed


def test_ci_runs_sessions_that_exist() -> None:
    """``.ci/run`` and CONTRIBUTING.md name sessions that the noxfile has."""
    sessions = {
        node.name
        for node in NOXFILE.body
        if isinstance(node, ast.FunctionDef) and any("nox.session" in ast.unparse(one) for one in node.decorator_list)
    }
    assert {re.split("[(-]", one)[0] for one in sessions_of_ci()} <= sessions
    shown = re.findall(r"nox (?:-R )?-s (\w+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert set(shown) <= sessions


def test_the_native_core_is_built_for_the_pythons_of_the_package(settings: configparser.ConfigParser) -> None:
    """Its oldest Python is that of the package, in its metadata, for PyO3 and for cibuildwheel, which also tests the newest."""
    folder = ROOT / "rust" / "python"
    metadata = (folder / "pyproject.toml").read_text(encoding="utf-8")
    oldest, *_, newest = re.findall(r"Programming Language :: Python :: 3\.(\d+)", settings["metadata"]["classifiers"])
    assert f'requires-python = "{settings["options"]["python_requires"]}"' in metadata
    assert f'"abi3-py3{oldest}"' in (folder / "Cargo.toml").read_text(encoding="utf-8")
    assert f'build = ["cp3{oldest}-*", "cp3{newest}-*"]' in metadata


def test_the_workflow_of_wheels_builds_the_native_core() -> None:
    """It runs on tags, in the folder that has cibuildwheel's configuration, and has no credentials to publish with."""
    text = (ROOT / ".github" / "workflows" / "wheels.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow[True]["push"] == {"tags": ["v*"]}  # YAML 1.1 reads the key "on" as a boolean
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    (step,) = [step for step in workflow["jobs"]["native"]["steps"] if "cibuildwheel" in step.get("uses", "")]
    folder = ROOT / step["with"]["package-dir"]
    assert "[tool.cibuildwheel]" in (folder / "pyproject.toml").read_text(encoding="utf-8")


def test_maturin_has_one_range() -> None:
    """The noxfile installs the maturin with which the native core is built elsewhere."""
    (used,) = [
        ast.literal_eval(node.value)
        for node in NOXFILE.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MATURIN"
    ]
    assert f'requires = ["{used}"]' in (ROOT / "rust" / "python" / "pyproject.toml").read_text(encoding="utf-8")


def floors(settings: configparser.ConfigParser, extra: str) -> dict[str, str]:
    """Return the oldest versions that an extra allows, by package."""
    lines = [re.match(r"([\w-]+)>=([^,;]+)", line) for line in settings["options.extras_require"][extra].split("\n")]
    return {found[1]: found[2] for found in lines if found}


def extras_for_users(settings: configparser.ConfigParser) -> list[str]:
    """Return the extras that are not for working on the package; ``native`` names the package's own core, not someone else's."""
    return [extra for extra in settings["options.extras_require"] if extra not in ("test", "dev", "bench", "docs", "native")]


def test_extras_begin_with_the_versions_that_are_tried(settings: configparser.ConfigParser) -> None:
    """The sessions ``integrations`` of the noxfile try the oldest versions of the extra ``dev``: other extras begin with them."""
    tried = floors(settings, "dev")
    begun = {(extra, name): floor for extra in extras_for_users(settings) for name, floor in floors(settings, extra).items()}
    assert begun == {(extra, name): tried.get(name) for extra, name in begun}


def test_the_docs_list_the_versions_that_are_tried(settings: configparser.ConfigParser) -> None:
    """docs/integrations.md has the oldest version and the extra of each optional package that the sessions try."""
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)`[^|]* \| ([\w.]+) \| [\w.]+ \| (?:`(\w+)`)? ?\|$", page, re.MULTILINE)
    tried = floors(settings, "dev")
    assert {name: oldest for name, oldest, _ in rows} == {name: tried.get(name) for name, *_ in rows}
    named = {(extra, name) for name, _, extra in rows if extra}
    assert named == {(extra, name) for extra in extras_for_users(settings) for name in floors(settings, extra)}
    assert [name for name, *_ in rows if not any(re.fullmatch(pattern, name) for pattern in patterns_tried())] == []


def patterns_tried() -> list[str]:
    """Return the patterns of packages in the noxfile's table, which nox itself is not needed for."""
    assigned = {ast.unparse(node.targets[0]): node.value for node in NOXFILE.body if isinstance(node, ast.Assign)}
    table = assigned["TRIED"]
    assert isinstance(table, ast.Dict)
    return [ast.literal_eval(value.args[0]) for value in table.values if isinstance(value, ast.Call)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[a](docs/a.md#b)", "[a](URL/blob/main/docs/a.md#b)"),
        ("![a](docs/a.svg)", "![a](RAW/main/docs/a.svg)"),
        ("[![a](docs/a.png)](docs/a.md)", "[![a](RAW/main/docs/a.png)](URL/blob/main/docs/a.md)"),
        ('<img alt="docs/a" src="docs/a.svg">', '<img alt="docs/a" src="RAW/main/docs/a.svg">'),
        ("[a](https://example.com/a.md) [b](#b) [c](mailto:c@example.com)", None),
    ],
)
def test_links_for_the_package_index_are_absolute(links: dict[str, Any], written: str, expected: str | None) -> None:
    """Relative links and pictures lead to the repository; what is absolute, or within the page, stays."""
    url, raw = "https://github.com/o/r", "https://raw.githubusercontent.com/o/r"
    expected = written if expected is None else expected.replace("URL", url).replace("RAW", raw)
    assert links["absolute"](written, url) == expected


def test_readme_for_the_package_index_has_no_relative_link(links: dict[str, Any]) -> None:
    """No link of the README is left that would lead nowhere on the package index."""
    shown = links["absolute"]((ROOT / "README.md").read_text(encoding="utf-8"), links["source_url"]())
    targets = re.findall(r"""\]\(([^)\s]+)\)|(?:href|src)=["']([^"']+)""", shown)
    assert [one for target in targets if not re.match("https://|#", one := "".join(target))] == []


def test_every_page_is_in_the_contents_of_the_site() -> None:
    """docs/index.md has each document in its contents, and links to each for readers of the Markdown."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^[\w-]+$", "".join(re.findall(r"```\{toctree\}(.*?)```", index, flags=re.DOTALL)), flags=re.MULTILINE)
    pages = sorted(path.stem for path in (ROOT / "docs").glob("*.md") if path.stem != "index")
    assert sorted(listed) == pages
    assert [page for page in pages if f"({page}.md)" not in index and f"(../{page.upper()}.md)" not in index] == []
