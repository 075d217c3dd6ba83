"""README and docs say what is true: their snippets run, their commands too, their links lead somewhere."""

from __future__ import annotations

import inspect
import io
import logging
import logging.config
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import the_edge_obs
from the_edge_obs import event, flows
from the_edge_obs.actions import builtin_registry
from the_edge_obs.cli import main
from the_edge_obs.configuration.config import check_block
from the_edge_obs.event import MAX_EVENT_BYTES
from the_edge_obs.event_query import FILTERS
from the_edge_obs.redaction import snapshots
from the_edge_obs.redaction import texts as redaction
from the_edge_obs.secrets import keys as secret_keys
from the_edge_obs.secrets import taints

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = tuple("run replay show view ls errors stats tail query sql export send diff validate config clean lnav mcp".split())

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What makes a file of a snippet: its first line is a comment with nothing but the file's name.
FILE_NAME = re.compile(r"[#;] ([\w.-]+\.\w+)\n")
# A flow with a web address in it needs a network to run; everything else runs here.
NEEDS_NETWORK = "https://"
# What a snippet needs that imports a package of others; without it the snippet is skipped.
NEEDED = {
    "langchain_core": ("langchain_core",),
    "langgraph": ("langgraph",),
    "openai": ("openai",),
    "pydantic_ai": ("pydantic_ai", "opentelemetry.sdk.trace"),
}
# tea-obs, with levels before it and a file behind it; pipes and other programs are the shell's.
TEA_OBS = re.compile(
    r"""(?:TEA_LOG=(?P<levels>\S+) )?tea-obs (?P<arguments>(?:"[^"]*"|[^|>"])*)(?:> (?P<file>\S+))?(?P<fails>\|\| true)?$"""
)
# Commands that need DuckDB, which not everybody who runs the tests has.
NEEDS_DUCKDB = re.compile(r"sql |.*parquet|.*\bshared\b")  # shared: a folder of Parquet in docs/operating.md


class Snippet(NamedTuple):
    """A fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str
    output: str | None  # the block of text that stands right behind it


def snippets_of(document: Path) -> list[Snippet]:
    """Return the fenced blocks of a document, in order."""
    content = document.read_text(encoding="utf-8")
    found = []
    matches = list(FENCE.finditer(content))
    for match, following in zip_longest(matches, matches[1:]):
        is_output = following is not None and following[1] == "text" and not content[match.end() : following.start()].strip()
        line = content.count("\n", 0, match.start()) + 1
        found.append(Snippet(document, line, match[1], match[2], following[2] if following and is_output else None))
    return found


def place_of(value: Any) -> str:
    """Return how a test names its snippet or document."""
    return f"{value.document.name}:{value.line}" if isinstance(value, Snippet) else value.name


SNIPPETS = [snippet for document in DOCUMENTS for snippet in snippets_of(document)]
PYTHON = [snippet for snippet in SNIPPETS if snippet.language == "python"]
YAML = [snippet for snippet in SNIPPETS if snippet.language == "yaml"]
CONSOLES = [document for document in DOCUMENTS if any(one.language == "console" for one in snippets_of(document))]


def write_files(document: Path) -> None:
    """Write the snippets of a document that are files into the working directory."""
    for snippet in snippets_of(document):
        if name := FILE_NAME.match(snippet.text):
            Path(name[1]).write_text(snippet.text, encoding="utf-8")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty working directory with the examples in it, and no endpoint in the environment."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("logs", "__pycache__", "*.db"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_API_BASE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("the_edge_obs.comparison._text.NOTABLE_MS", float("inf"))  # a busy machine changes durations
    modules = set(sys.modules)
    yield tmp_path
    # Modules that snippets brought along bear names that others may have as well.
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def normal(text: str) -> list[str]:
    """Return the lines of an output without what differs from run to run: ids, times, durations, folders, bars, column widths."""
    for pattern, mark in (
        (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"),
        (r"^[0-9a-f]{8}  (?=\d{4}-|\d\d:\d\d:)", "ID  "),
        (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?|\b\d\d:\d\d:\d\d\.\d{3}", "TIME"),
        (r"\b\d{10}\.\d+", "TIME"),
        (r"_ms(['\"]): ?[\d.e-]+", r"_ms\1: N"),
        (r"\b[\d.,]+ m?s\b", "DURATION"),
        (r"python/3[\d.]+\w*", "PYTHON"),
        (r"\b[\w.-]+:\d+(?= +(?:flow|\(clock))", "HOST:PID"),
        (r"/[\w./+-]+/(?=examples/)", "/"),
        (r"parallel\.branch \[\d+\]( \S+)*", "parallel.branch [N]"),
        (r"[\d,]+ bytes", "N bytes"),
        (r"(?<=\S) +[█▌▐]+(?=\s|$)", ""),  # bars
        (r"(?<=\S) +", " "),
    ):
        text = re.sub(pattern, mark, text, flags=re.MULTILINE)
    return [line.rstrip() for line in text.strip().splitlines()]


def assert_like(shown: str, real: str) -> None:
    """Check an output that a document shows; a line of three dots in it stands for any lines, or none."""
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "..." else rf"{re.escape(line)}\n" for line in normal(shown))
    lines = normal(real)
    assert re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)), "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("snippet", PYTHON, ids=place_of)
def test_python_snippets_run_and_print_what_is_shown(snippet: Snippet, workplace: Path) -> None:
    """Every Python snippet runs by itself, and prints what stands behind it."""
    for imported in re.findall(r"^(?:from|import) (\w+)", snippet.text, flags=re.MULTILINE):
        for needed in NEEDED.get(imported, ()):
            pytest.importorskip(needed)
    write_files(snippet.document)
    logging.getLogger().handlers.clear()  # pytest's; logging.basicConfig does nothing beside them
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(snippet.text, place_of(snippet), "exec"), {"__name__": "__main__"})
    if snippet.output is not None:
        assert_like(snippet.output, printed.getvalue())


@pytest.mark.slow
@pytest.mark.parametrize("snippet", YAML, ids=place_of)
def test_yaml_snippets_are_valid(snippet: Snippet, workplace: Path) -> None:
    """Every YAML snippet is what it looks like: a flow, nodes of one, a dictConfig or an observability block."""
    write_files(snippet.document)
    content = yaml.safe_load(snippet.text)
    if isinstance(content, list):
        flows.load({"nodes": content})
    elif "nodes" in content:
        Path("snippet.yaml").write_text(snippet.text, encoding="utf-8")
        flow = flows.load("snippet.yaml")
        if NEEDS_NETWORK not in snippet.text:
            assert flow.run()["flow_id"]
    elif "version" in content:
        the_edge_obs.configure(content)()
    else:
        assert set(content) <= {"observability", "answers"}, "a snippet of a kind that this test does not know"
        check_block(content.get("observability"))


@pytest.mark.parametrize("snippet", [one for one in SNIPPETS if one.language == "ini"], ids=place_of)
def test_ini_snippets_configure(snippet: Snippet, workplace: Path) -> None:
    """Every INI snippet is a configuration that fileConfig takes."""
    Path("logging.ini").write_text(snippet.text, encoding="utf-8")
    logging.config.fileConfig("logging.ini", disable_existing_loggers=False)
    assert logging.getLogger("tea").handlers


@pytest.mark.slow
@pytest.mark.parametrize("document", CONSOLES, ids=place_of)
def test_commands_run_and_print_what_is_shown(
    document: Path, workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of a document run one after the other, end well, and print on stdout what stands below them."""
    write_files(document)
    for snippet in (one for one in snippets_of(document) if one.language == "console"):
        for part in re.split(r"^\$ ", snippet.text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            if (match := TEA_OBS.fullmatch(command.strip())) is None:
                continue
            if NEEDS_DUCKDB.match(match["arguments"]) and find_spec("duckdb") is None:
                continue
            monkeypatch.setenv("TEA_LOG", match["levels"] or "")
            code = main(shlex.split(match["arguments"]))
            printed = capsys.readouterr()
            assert code == (1 if match["fails"] else 0), f"{command}\n{printed.err}"
            if match["file"]:
                Path(match["file"]).write_text(printed.out, encoding="utf-8")
            if shown.strip():
                assert_like(shown, printed.out)


def anchors_of(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=place_of)
def test_internal_links_resolve(document: Path) -> None:
    """Every link to a file of this repository, and to a heading in one, leads there."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


def test_readme_holds_the_two_commands() -> None:
    """What installs and runs the main job, and what runs the tests, is in the README word for word."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\npython -m pip install . && tea-obs run examples/quickstart/flow.yaml\n" in readme
    assert "\npython -m pip install '.[test]' && python -m pytest\n" in readme


def test_readme_links_to_every_document() -> None:
    """Whatever is in docs/ can be found from the README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    of_the_site = {"index.md", "changelog.md", "contributing.md", "security.md"}
    assert [one.name for one in DOCUMENTS[2:] if f"(docs/{one.name})" not in readme and one.name not in of_the_site] == []


def test_api_reference_is_what_the_docstrings_say() -> None:
    """``docs/api.md`` has each public name, with the signature and summary that it has now: docs/api_index.py writes them."""
    index = runpy.run_path(str(ROOT / "docs" / "api_index.py"))
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    headings = index["ENTRY"].findall(page)
    assert {*the_edge_obs.__all__, *(f"flows.{name}" for name in flows.__all__)} - set(headings) == set()
    assert page == index["filled"](page), "run: python docs/api_index.py"


def test_event_reference_has_keys_in_order_and_caps() -> None:
    """``docs/event-schema.md`` has the event's keys in their order, its values, and the caps as they are in the code."""
    text = (ROOT / "docs" / "event-schema.md").read_text(encoding="utf-8")
    table = text[text.index("## The keys") : text.index("## ", text.index("## The keys") + 3)]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == event.KEYS
    for word in (*event.EVENT_TYPES, *event.LEVELS):
        assert f"`{word}`" in text
    caps = (redaction.MAX_STRING, snapshots.MAX_ITEMS, snapshots.MAX_DEPTH, snapshots.MAX_VALUES, snapshots.MAX_CHARS)
    for cap in (*caps, secret_keys.MAX_KEY, taints.MAX_SECRETS, taints.MAX_CHARS, MAX_EVENT_BYTES):
        assert f"{cap:,}" in text


@pytest.mark.parametrize("name", sorted(builtin_registry()))
def test_action_reference_names_every_parameter_with_its_default(name: str) -> None:
    """``docs/yaml.md`` has a section for each builtin action, with a row for each of its parameters and no other."""
    text = (ROOT / "docs" / "yaml.md").read_text(encoding="utf-8")
    section = re.split(r"^##", text[text.index(f"### `{name}`") + 3 :], maxsplit=1, flags=re.MULTILINE)[0]
    named = set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))
    parameters = [one for one in inspect.signature(builtin_registry()[name]).parameters.values() if one.name != "state"]
    if f"[`{name.split('.')[0]}.call`]" in section:  # llm.stream takes what llm.call takes
        return
    assert named == {one.name for one in parameters}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_line_reference_has_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The section of a command in ``docs/cli.md`` has the options that its ``--help`` has."""
    assert main([command, "--help"]) == 0
    rows = re.findall(r"^  (-.*?)(?:  |$)", capsys.readouterr().out, flags=re.MULTILINE)
    options = {option for row in rows for option in re.findall(r"--[a-z-]+", row)} - {"--help"}
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text[text.index(f"## tea-obs {command}") + 3 :], maxsplit=1, flags=re.MULTILINE)[0]
    described = set(re.findall(r"^\| `(?:-o`, `)?(--[a-z-]+)", section, flags=re.MULTILINE))
    described |= set(re.findall(r"^\| `--[a-z-]+[^|]*`(--[a-z-]+)", section, flags=re.MULTILINE))
    if "(#which-runs)" in section:
        shared = re.split(r"^## ", text[text.index("## Which runs") + 3 :], maxsplit=1, flags=re.MULTILINE)[0]
        described |= options & set(re.findall(r"`(--[a-z-]+)", shared))
    assert described == options


def test_command_line_reference_has_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The commands checked here are all there are."""
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.partition("commands:")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^    (\w+) ", listed, flags=re.MULTILINE)) == COMMANDS


def test_filters_are_described() -> None:
    """The guide has every filter of a query."""
    text = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    assert [name for name in FILTERS if f"| `{name}` |" not in text] == []


def test_documents_name_no_machine() -> None:
    """No document has a path of the machine on which it was written."""
    assert [one.name for one in DOCUMENTS if re.search(r"/(?:work|tmp|root)/", one.read_text(encoding="utf-8"))] == []
