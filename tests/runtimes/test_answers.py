"""Each runtime is asked the same, and answers the same. Hypothesis writes the questions, and shrinks those that fail.

``nox -s runtimes`` builds the Rust runtime and runs these tests, ``nox -s runtimes -- --hypothesis-profile nightly`` for long.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.configuration.config import check_block, dict_config
from the_edge_obs.configuration.yaml_reader import read_yaml
from the_edge_obs.context import FlowState
from the_edge_obs.errors import ConfigurationError, FlowFileError, FlowRunError, LevelError, QueryError
from the_edge_obs.event import problems
from the_edge_obs.event_query import matches, parse_time, select
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.flows import load
from the_edge_obs.handlers.formatters import to_line
from the_edge_obs.instrumentation.trace_headers import extract
from the_edge_obs.jsonl import decoded
from the_edge_obs.parity import normalise, report
from the_edge_obs.redaction import snapshots
from the_edge_obs.redaction.marks import cut_paths
from the_edge_obs.redaction.texts import scrub, scrub_text
from the_edge_obs.secrets.keys import classify
from the_edge_obs.secrets.taints import MAX_CHARS
from the_edge_obs.secrets.values import look_of
from the_edge_obs.store.validation import Tally, check_log
from the_edge_obs.store.whole_logs import WholeLog
from the_edge_obs.text import printable

from ..strategies import FLOW, T0, events
from . import documents, texts
from .asking import Rust, check_same, plain, refused
from .logs import is_circular, logs

pytestmark = pytest.mark.slow

_VERDICTS = ("plain", "secret", "token", "weak", "odd", "value", "key")
_REFUSED = "refused"


def _or_refused(answer: Any) -> Any:
    """Return an answer of the Rust runtime; the words of a refusal are its own."""
    return _REFUSED if refused(answer) else answer


# --- texts and values ----------------------------------------------------------------------------------------------------


def _about_texts(rust: Rust, text: str) -> None:
    check_same(text, _VERDICTS[classify(text)], rust.ask("classify", text=text))
    check_same(text, look_of(text), rust.ask("look_of", text=text))
    check_same(text, scrub_text(text), rust.ask("redact", text=text))


@given(texts.TEXTS)
def test_texts(rust: Rust, text: str) -> None:
    """What a key says of its value, how a value looks, and what is redacted in a text."""
    _about_texts(rust, text)


def test_texts_of_the_tests(rust: Rust) -> None:
    """All texts that stand in the tests of the package, and all words of the tables."""
    for text in [*texts.literals(), *texts.names()]:
        _about_texts(rust, text)


def test_every_character_is_shown_alike(rust: Rust) -> None:
    """In blocks; the last of a block stands twice, for U+FE0F is judged by its neighbour."""
    blocks = ("".join(map(chr, range(at, at + 256))) for at in range(0, 0x110000, 256) if not 0xD800 <= at < 0xE000)
    for block in blocks:
        text = "".join(filter(texts.known_to_both, f"{block}{block[-1]}"))
        check_same(text, printable(text), rust.ask("printable", text=text))


@given(texts.VALUES)
def test_values(rust: Rust, value: Any) -> None:
    """What is logged of the input of a node, and the paths of what was cut or redacted."""
    text = json.dumps(value)
    flow = FlowState("9f0df4a5-a646-4772-b822-7adce460ed24", "compared")
    taken = snapshots.snapshot(json.loads(text), flow)
    if flow.taints.chars > MAX_CHARS // 3 or flow.taints.lost:
        return  # which secrets have no room depends on how many spellings a runtime knows (L20)
    clean = scrub(taken, flow.taints)
    python = [json.dumps(clean, ensure_ascii=False, separators=(",", ":")), cut_paths("input", taken, clean)]
    check_same(text, python, rust.ask("snapshot", text=text))


def _numbers(value: Any) -> Any:
    """Return a value whose numbers are as events have them; texts stay."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return value if isinstance(value, str) else scrub(value)


@given(texts.JSON_TEXTS)
def test_json(rust: Rust, text: str) -> None:
    """Which texts are JSON, and how it is written again."""
    try:
        value = decoded(text)
    except ValueError:
        python = _REFUSED
    else:
        python = json.dumps(_numbers(value), ensure_ascii=False, separators=(",", ":"))
        if re.search("[\ud800-\udfff]", python):
            return  # Rust's texts have no half of a surrogate pair
    check_same(text, python, _or_refused(rust.ask("json", text=text)))


@given(texts.long_events())
def test_lines(rust: Rust, event: dict[str, Any]) -> None:
    """How an event is written, and cut if it is too long."""
    event = {**event, "data": _numbers(event["data"])}  # as in an event that was scrubbed, integers beyond 64 bits are texts
    text = json.dumps(event)
    check_same(text, to_line(json.loads(text)), rust.ask("line", text=text))


# --- events and logs -----------------------------------------------------------------------------------------------------

_LINE = json.dumps(
    {**json.loads(json.dumps({"flow_id": FLOW, "span_id": FLOW, "parent_id": None, "node": "n", "level": "info"}))}
)
_FIELDS = st.sampled_from(
    [
        "flow_id",
        "span_id",
        "parent_id",
        "node",
        "step",
        "level",
        "timestamp",
        "event_type",
        "message",
        "data",
        "metrics",
        "colour",
    ]
)
_WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            None,
            True,
            0,
            -1,
            1.5,
            1e300,
            2**63,
            "",
            "x",
            [],
            {},
            ["a"],
            "info",
            "WARN",
            "entry",
            FLOW,
            FLOW.upper(),
            FLOW[:-1],
            T0,
        ),
        *({"error": "text"}, {"error": {}}, {"error": {"type": "E", "message": "m"}}, {"error": {"type": 1, "message": "m"}}),
        *({"cut": []}, {"cut": ["a"]}, {"cut": [1]}, {"tokens": -1}, {"tokens": 1.5}, {"x": "1"}, {"x": None}, {"x": True}),
        *(
            {"duration_ms": -1},
            {"cost_usd": "1"},
            {"schema_version": 1},
            {"schema_version": 2},
            {"schema_version": 1.0},
            {"a" * 300: 1},
        ),
        *({"attempt": 0}, {"cancelled": 1}, {"": 1}, {"input": {"index": "x"}}, "flow", "é" * 9_000, "\u0000", " "),
    ]
)
_CHANGED = st.tuples(events(), st.dictionaries(_FIELDS, _WRONG, max_size=2), st.sets(_FIELDS, max_size=1)).map(
    lambda one: {key: value for key, value in {**one[0], **one[1]}.items() if key not in one[2]}
)


@given(_CHANGED | _WRONG)
def test_problems_of_events(rust: Rust, event: Any) -> None:
    """How many problems the event schema finds."""
    text = json.dumps(event)
    check_same(text, len(problems(event)), len(rust.ask("problems", text=text)))


@given(_CHANGED.map(json.dumps) | texts.JSON_TEXTS.map('{{"data": {}}}'.format) | texts.JSON_TEXTS)
def test_check_of_lines(rust: Rust, tmp_path_factory: pytest.TempPathFactory, line: str) -> None:
    """Which lines ``tea-obs validate`` accepts."""
    if "\n" in line or "\r" in line or not line.strip():
        return  # that is not one line
    path, tally = tmp_path_factory.getbasetemp() / "line.jsonl", Tally()
    path.write_text(line + "\n", encoding="utf-8")
    found = list(check_log(path, tally))
    python = None if found else "event" if tally.events else "loose"
    check_same(line, python, rust.ask("check", text=line))


@given(logs())
def test_logs(rust: Rust, log: list[dict[str, Any]]) -> None:
    """The flow log, the problems of the log as a whole, and the normalised log."""
    flow_log = build_flow_log(log, dropped=3, faults=1)
    asked = {"events": log, "dropped": 3, "faults": 1}
    check_same(log, plain(flow_log.to_dict()), rust.ask("flow_log", **asked))
    whole = WholeLog()
    for number, event in enumerate(log, 1):
        whole.add(number, event)
    check_same(log, _told(whole.faults()), _told(rust.ask("faults", events=log)))
    if not is_circular(log):
        check_same(log, plain(report(flow_log)), rust.ask("report", **asked))
        check_same(log, plain(normalise(log)), rust.ask("normalise", events=log))


def _told(faults: Any) -> Any:
    """Return problems without the marks of quotes, which each language writes in its own way."""
    return [[number, problem.replace("'", "").replace('"', "")] for number, problem in faults]


@given(st.lists(events(), min_size=1, max_size=8), documents.FILTERS)
def test_filters(rust: Rust, log: list[dict[str, Any]], filters: dict[str, Any]) -> None:
    """Which events pass the filters, and which filters are refused."""
    python: Any = _REFUSED
    try:
        kept = {id(event) for event in select(log, filters, now=T0 + 1)}
        python = [place for place, event in enumerate(log) if id(event) in kept]
    except (QueryError, LevelError):
        pass
    check_same((filters, log), python, _or_refused(rust.ask("filter", filters=filters, events=log, now=T0 + 1)))


@given(documents.GLOBS, documents.GLOB_NAMES)
def test_globs(rust: Rust, pattern: str, name: str) -> None:
    """Which names a glob matches."""
    check_same((pattern, name), matches({"node": pattern})({"node": name}), rust.ask("glob", pattern=pattern, name=name))


@pytest.fixture(scope="module", params=["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Pacific/Kiritimati"])
def abroad(request: pytest.FixtureRequest, tea_obs_rs: Path) -> Iterator[Rust]:
    """Return a process of the Rust runtime in a time zone that Python has too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        made = Rust(tea_obs_rs)
        yield made
        made.close()
    time.tzset()


@given(documents.TIMES)
def test_times(abroad: Rust, text: Any) -> None:
    """The times of filters, also local ones."""
    python: Any = _REFUSED
    with contextlib.suppress(QueryError):
        python = parse_time(text, 1_000_000.0)
    check_same(text, python, _or_refused(abroad.ask("time", given=text, now=1_000_000)))


_HEX = st.sampled_from(
    ["4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32, "4BF92F3577B34DA6A3CE929D0E0E4736", "00f067aa0ba902b7", "0" * 16, "x"]
)
_HEADER = st.tuples(
    st.sampled_from(["", " ", "\t"]),
    st.lists(st.sampled_from(["00", "01", "ff", "0", "03"]) | _HEX, min_size=1, max_size=6).map("-".join),
    st.sampled_from(["", " ", "-more", "-", "\n"]),
).map("".join)
_VALID = st.sampled_from(
    [f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}" for flags in ("00", "01", "03", "ff", "FF")]
)


@given(st.dictionaries(st.sampled_from(["traceparent", "TraceParent", "tracestate", "x"]), _HEADER | _VALID, max_size=3))
def test_headers(rust: Rust, headers: dict[str, str]) -> None:
    """Which headers name a parent, and which."""
    parent = extract(headers)
    python = None if parent is None else f"00-{parent[0].replace('-', '')}-{parent[1]:016x}-{parent[2]:02x}"
    check_same(headers, python, rust.ask("traceparent", headers=headers))


# --- flow files ----------------------------------------------------------------------------------------------------------


def _typed(value: Any) -> list[Any]:
    """Return a YAML value with the types that JSON lacks."""
    if value is None:
        return ["null"]
    if isinstance(value, bool):
        return ["bool", str(value).lower()]
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, float):
        return ["float", repr(value) if math.isfinite(value) else str(value)]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return ["time", value.isoformat()]
    if isinstance(value, str):
        return ["str", value]
    if isinstance(value, list):
        return ["list", *map(_typed, value)]
    return ["map", *([_typed(key), _typed(item)] for key, item in value.items())]


@given(documents.YAML_TEXTS)
def test_yaml(rust: Rust, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """What Python reads, Rust reads too, with the same types; Rust also reads what only PyYAML's grammar refuses."""
    path = tmp_path_factory.getbasetemp() / "document.yaml"
    path.write_bytes(text.encode())
    answer = rust.ask("yaml_types", text=text)
    try:
        document = read_yaml(path)
    except FlowFileError as error:
        if "broken YAML" in str(error):
            return
        check_same((text, str(error)), _REFUSED, _or_refused(answer))
    else:
        check_same((text, answer), _typed(document.data if document else None), answer)


@given(documents.TEMPLATES)
def test_templates(rust: Rust, template: str) -> None:
    """The values of templates of the guaranteed subset (F3), and the types of the errors."""
    answer = rust.ask("template", template=template, state=documents.STATE, variables=documents.VARIABLES)
    node = {"name": "a", "uses": "my.echo", "with": {"value": template}, "output": "echo"}
    document = {"name": "f", "variables": documents.VARIABLES, "observability": {"enabled": False}, "nodes": [node]}
    try:
        final = load(document, {"my.echo": lambda state, value: {"value": value}}).run(documents.STATE)
        python = final["echo"]["value"]
    except (FlowFileError, FlowRunError) as error:
        python = type(error).__name__
        answer = answer["error"].partition(":")[0] if refused(answer) else answer
    else:
        if isinstance(python, dict):
            return  # the state as a whole has the run's own keys
    check_same((template, answer), python, answer)


@given(documents.BLOCKS)
def test_blocks(rust: Rust, block: Any) -> None:
    """Observability blocks that are accepted, and the place of the mistake in the others."""
    python = None
    try:
        check_block(block, import_callbacks=False)
        dict_config(block)
    except ConfigurationError as error:
        python = error.where
    logging.getLogger("tea").setLevel(logging.NOTSET)
    answer = rust.ask("block", block=block)
    check_same((block, answer), python, answer["where"] if answer else None)
