"""Parity: the fixtures give the expected logs, and normalising takes away what runs do not share and nothing else."""

from __future__ import annotations

import copy
import json
import random
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from the_edge_obs import errors
from the_edge_obs.event import problems, schema
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.flows import load
from the_edge_obs.jsonl import read_events
from the_edge_obs.parity import main, normalise, report, run_to_file
from the_edge_obs.store.sources import get_flow_log

FIXTURES = Path(__file__).parent.parent / "examples" / "observability" / "parity"
EXPECTED = FIXTURES.parent / "parity-expected"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.yaml"))


# Those whose run fails, and the one that an event of a later step redacts further, where memory is read.
FAILING_RUNS = ("failed",)
REDACTED_LATER = "secrets"

# One run of each fixture, for tests that look at it many times.
_RUNS: dict[str, list[dict[str, Any]]] = {}


def events_of(name: str) -> list[dict[str, Any]]:
    """Return the events of a run, as a file has them."""
    with TemporaryDirectory() as folder:
        path, failure = run_to_file(str(FIXTURES / f"{name}.yaml"), folder)
        assert (failure is not None) is (name in FAILING_RUNS)
        return list(read_events(path))


def expected(name: str) -> Any:
    return json.loads((EXPECTED / f"{name}.json").read_text(encoding="utf-8"))


def test_every_fixture_has_its_expected_log() -> None:
    """No expected log is left over, none is missing."""
    five = ["conditional", "linear", "nested", "parallel", "recovery"]
    further = ["branch_failure", "failed", "levels", "secrets", "values"]
    assert NAMES == sorted(path.stem for path in EXPECTED.iterdir()) == sorted(five + further)


@pytest.mark.parametrize("name", NAMES)
def test_fixtures_log_what_is_expected(name: str) -> None:
    """The whole log, event for event; before it is normalised, every event is valid."""
    events = events_of(name)
    assert [problems(event) for event in events] == [[]] * len(events)
    log = build_flow_log(events)
    assert (log.status, report(log)) == ("error" if name in FAILING_RUNS else "ok", expected(name))


@pytest.mark.parametrize("name", NAMES)
def test_fixtures_pass_the_strict_check(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The log as it was written is without problems, and the same is printed."""
    code = main(["--strict", str(FIXTURES / f"{name}.yaml")])
    out, err = capsys.readouterr()
    has_failed = name in FAILING_RUNS
    assert (code, err.startswith("note: the flow failed: ") is has_failed, err == "", json.loads(out)) == (
        int(has_failed),
        True,
        not has_failed,
        expected(name),
    )


def test_the_strict_check_names_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed for comparison; what normalising would hide is a problem."""
    log = tmp_path / "log.jsonl"
    made = events_of("linear")
    made[2]["timestamp"] += 1.5
    log.write_text("".join(json.dumps(event) + "\n" for event in made), encoding="utf-8")
    assert main([str(log)]) == 0
    assert capsys.readouterr() == (json.dumps(expected("linear"), indent=2) + "\n", "")
    assert main(["--strict", str(log)]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    end = f"{log}:3: timestamp is {made[2]['timestamp']!r}; it must be that of the entry of line 2 plus the duration, "
    assert (out, len(lines), lines[0][: len(end)]) == ("", 3, end)
    assert lines[1].startswith(
        f"{log}:3: timestamp is {made[2]['timestamp']!r}; node '{made[2]['node']}' must end within its parent"
    )
    assert lines[2] == f"error: 2 problems in the log of {str(log)!r}"


@pytest.mark.parametrize("name", NAMES)
def test_events_follow_the_json_schema(name: str) -> None:
    """The schema that ships in the package, read by somebody else's validator."""
    validator = pytest.importorskip("jsonschema").Draft202012Validator(schema())
    assert [error.message for event in events_of(name) for error in validator.iter_errors(event)] == []


@pytest.mark.parametrize("name", sorted({*NAMES} - {*FAILING_RUNS, REDACTED_LATER}))
def test_memory_and_file_hold_the_same(name: str) -> None:
    """Unless a later step reveals a secret, the buffer read afterwards holds what a file does."""
    assert report(get_flow_log(load(FIXTURES / f"{name}.yaml").run()["flow_id"])) == expected(name)


def test_memory_may_redact_more_than_the_file() -> None:
    """The log is the file. What is read back later lacks what has become known as a secret since."""
    events = normalise(get_flow_log(load(FIXTURES / f"{REDACTED_LATER}.yaml").run()["flow_id"]).events)
    lines = json.dumps(expected(REDACTED_LATER)["events"]).replace("ZX-48213-QW", "[REDACTED]")
    differing = [one["step"] for one, line in zip(events, json.loads(lines), strict=True) if one != line]
    assert "ZX-48213-QW" not in json.dumps(events)
    assert differing == ["before", "before"]  # their paths are in data.cut
    assert [one["data"]["cut"] for one in events if one.get("step") == "before" and "cut" in one["data"]] == [
        ["input.message"],
        ["message"],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=20)  # the first example runs the flow
@given(seed=st.integers(0, 2**32))
def test_normalising_a_run_is_idempotent_and_ignores_the_order(name: str, seed: int) -> None:
    """However the events of a run are shuffled, the expected log comes out; normalising that changes nothing."""
    if name not in _RUNS:
        _RUNS[name] = events_of(name)
    before = copy.deepcopy(_RUNS[name])
    shuffled = random.Random(seed).sample(_RUNS[name], len(before))
    found = normalise(shuffled)
    assert _RUNS[name] == before
    assert found == expected(name)["events"] == normalise(found)


NODES = st.sampled_from(["flow", "parallel", "parallel.branch", "llm.call"])


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw events of a tree of spans, some without an entry or an end, at times that are all different but otherwise anything."""
    flow_id, ids = str(uuid.UUID(int=1)), [str(uuid.UUID(int=2**64 + n)) for n in range(draw(st.integers(1, 7)))]
    events: list[dict[str, Any]] = []
    for number, span_id in enumerate(ids):
        parent = draw(st.sampled_from([*ids[:number], None, str(uuid.UUID(int=9))]))
        node, data = draw(NODES), {"input": {"index": draw(st.integers(0, 3))}, "runtime": "r", "see": [f"span {ids[0]}"]}
        for kind in draw(st.lists(st.sampled_from(["entry", "metric", "log", "exit", "error"]), min_size=1, unique=True)):
            event = {"flow_id": flow_id, "span_id": span_id, "parent_id": parent, "node": node, "level": "info"}
            rest = {"event_type": kind, "message": None, "data": data, "metrics": {"duration_ms": 1.5, "n": 2}}
            events.append({**event, "timestamp": 0.0, **rest})
    times = draw(st.lists(st.integers(1, 10**6), min_size=len(events), max_size=len(events), unique=True))
    return [{**event, "timestamp": float(time)} for event, time in zip(events, times, strict=True)]


@pytest.mark.slow
@given(events=logs(), seed=st.integers(0, 2**32))
def test_normalising_any_log_loses_no_event(events: list[dict[str, Any]], seed: int) -> None:
    """Whatever the log looks like: idempotent, independent of the given order, of ids, and of the clock."""
    found = normalise(events)
    assert len(found) == len(events)
    assert normalise(found) == found
    other = json.loads(_renamed(json.dumps(events), seed))
    for event in other:
        event["timestamp"] = event["timestamp"] * 2 + 5
        event["metrics"]["duration_ms"] = seed
    random.Random(seed).shuffle(other)
    assert normalise(other) == found


def _renamed(text: str, seed: int) -> str:
    numbers = random.Random(seed)
    for known in [1, 9, *(2**64 + n for n in range(7))]:
        text = text.replace(str(uuid.UUID(int=known)), str(uuid.UUID(int=numbers.getrandbits(127) | 2**120)))
    return text


FLOW = str(uuid.UUID(int=1))


def event(span: int, parent: int | None, kind: str, time: float, node: str = "n", **more: Any) -> dict[str, Any]:
    ids = {"flow_id": FLOW, "span_id": span_id(span), "parent_id": None if parent is None else span_id(parent)}
    facts = {"level": "info", "timestamp": time, "event_type": kind, "message": None, "data": {}, "metrics": {}}
    return {**ids, "node": node, **facts, **more}


def span_id(number: int) -> str:
    return str(uuid.UUID(int=2**64 + number))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["entry", "exit", "error", "log"]), st.integers(1, 4))))
def test_normalising_again_does_not_turn_the_events_of_a_span(kinds: list[tuple[str, str, int]]) -> None:
    """What the node of a span is does not depend on the order of its events, also where the entry is lost."""
    events = [event(1, None, kind, float(time), node, message=str(at)) for at, (node, kind, time) in enumerate(kinds)]
    once = normalise(events)
    assert normalise(once) == once


def test_a_span_that_has_lost_its_entry_ends_with_its_exit() -> None:
    """An error that was logged by hand before it ends nothing."""
    by_hand, end = event(1, None, "error", 1.0, "check"), event(1, None, "exit", 2.0, "call")
    assert [event["node"] for event in normalise([end, by_hand])] == ["check", "call"]


def test_order_of_the_walk() -> None:
    """A span's entry, then what lies in it by time, branches by their index, then its end, whatever the clock says of that."""
    found = normalise(
        [
            event(0, None, "entry", 1, "flow"),
            event(1, 0, "entry", 2, "parallel"),
            event(3, 1, "entry", 3, "parallel.branch", data={"input": {"index": 1}}),
            event(2, 1, "entry", 4, "parallel.branch", data={"input": {"index": 0}}),
            event(4, 3, "exit", 5, "in branch 1"),
            event(5, 2, "exit", 6, "in branch 0"),
            event(2, 1, "exit", 7, "parallel.branch"),
            event(3, 1, "exit", 8, "parallel.branch"),
            event(1, 0, "log", 9, "note"),
            event(1, 0, "exit", 9, "parallel"),
            event(6, 0, "error", 10, "filtered"),
            event(0, None, "log", 10, "note"),
            event(0, None, "error", 9.2, "logged by hand"),
            event(0, None, "exit", 9.5, "flow"),
        ]
    )
    assert [(e["span_id"], e["parent_id"], e["node"], e["event_type"]) for e in found] == [
        ("span-1", None, "flow", "entry"),
        ("span-2", "span-1", "parallel", "entry"),
        ("span-2", "span-1", "note", "log"),
        ("span-3", "span-2", "parallel.branch", "entry"),
        ("span-4", "span-3", "in branch 0", "exit"),
        ("span-3", "span-2", "parallel.branch", "exit"),
        ("span-5", "span-2", "parallel.branch", "entry"),
        ("span-6", "span-5", "in branch 1", "exit"),
        ("span-5", "span-2", "parallel.branch", "exit"),
        ("span-2", "span-1", "parallel", "exit"),
        ("span-1", None, "logged by hand", "error"),
        ("span-7", "span-1", "filtered", "error"),
        ("span-1", None, "note", "log"),
        ("span-1", None, "flow", "exit"),
    ]


def test_content_that_runs_do_not_share() -> None:
    """Ids, times, durations, the runtime and tracebacks go, in texts and in events inside of data as well; the rest stays."""
    other = str(uuid.UUID(int=77))
    error = {"type": "ValueError", "message": f"in {span_id(0)}", "traceback": "File ..."}
    inner = event(0, None, "error", 3, data={"error": error}, metrics={"duration_ms": 3.0})
    data = {"name": "n", "runtime": "x/1", "seen": [inner, FLOW, other], "timestamp": 5, "duration_ms": 6, "traceback": "mine"}
    metrics = {"duration_ms": 2.5, "time_to_first_chunk_ms": 1.0, "tokens": 3, "cost_usd": 0.5}
    given_events = [event(0, None, "entry", 1, "flow", data=data, metrics=metrics, message=f"run {FLOW}", step="s")]
    inner_data = {"error": {"type": "ValueError", "message": "in span-1"}}
    normalised_inner = {**inner, "flow_id": "flow-1", "span_id": "span-1", "timestamp": None, "data": inner_data}
    normalised_inner["metrics"] = {"duration_ms": None}
    assert normalise(given_events) == [
        {
            "flow_id": "flow-1",
            "span_id": "span-1",
            "parent_id": None,
            "node": "flow",
            "level": "info",
            "timestamp": None,
            "event_type": "entry",
            "message": "run flow-1",
            "data": {**data, "runtime": None, "seen": [normalised_inner, "flow-1", other]},
            "metrics": {"duration_ms": None, "time_to_first_chunk_ms": None, "tokens": 3, "cost_usd": 0.5},
            "step": "s",
        }
    ]


def test_links_to_other_flows_and_cut_places_are_not_shared() -> None:
    """Other flows have other ids in each run, and what is taken out of an error was cut in one runtime and not in another."""
    ids = {"flow_id": str(uuid.UUID(int=77)), "span_id": str(uuid.UUID(int=78))}
    error = {"type": "E", "message": "m", "where": "f.py:1 in f", "traceback": "t"}
    made = [
        event(0, None, "entry", 1, "flow", data={"name": "n", "outer": ids, "replay_of": ids["flow_id"]}),
        event(0, None, "log", 2, "flow", data={"inner": {**ids, "name": "other"}, "cut": ["inner.name"]}),
        event(1, 0, "entry", 3, data={"outer": "mine", "inner": ids}),
        event(1, 0, "error", 4, data={"error": error, "cut": ["error.traceback", "error.message", "error.where"]}),
        event(0, None, "error", 5, "flow", data={"error": error, "cut": ["error.traceback"]}),
    ]
    short = {"error": {"type": "E", "message": "m"}}
    found = normalise(made)
    assert [one["data"] for one in found] == [
        {"name": "n", "outer": None, "replay_of": None},
        {"inner": {"flow_id": None, "span_id": None, "name": "other"}, "cut": ["inner.name"]},
        {"outer": "mine", "inner": ids},
        {**short, "cut": ["error.message"]},
        short,
    ]
    assert made[4]["data"]["cut"] == ["error.traceback"]


def test_branches_are_ordered_by_any_whole_number() -> None:
    """JSON does not tell 1.0 from 1; a bool or a text is not an index."""
    root, spread = event(0, None, "entry", 1, "flow"), event(1, 0, "entry", 2, "parallel")
    for indices, order in [
        ((1.0, 0.0), [3, 2]),
        ((1, 0.0), [3, 2]),
        ((True, False), [2, 3]),
        (("1", "0"), [2, 3]),
        ((0.5, 0.25), [2, 3]),
    ]:
        branches = [
            event(2 + n, 1, "entry", 3 + n, f"b{2 + n}", data={"input": {"index": index}}) for n, index in enumerate(indices)
        ]
        assert [one["node"] for one in normalise([root, spread, *branches])[2:]] == [f"b{number}" for number in order]


def test_ids_without_hyphens_are_replaced() -> None:
    """A logged traceparent, an OTLP id; not a part of a longer number, nor an id of another flow."""
    flow, span = FLOW.replace("-", ""), span_id(0).replace("-", "")[16:]
    other = uuid.UUID(int=77).hex
    data = {"traceparent": f"00-{flow}-{span}-01", "whole": span, "longer": f"{span}0", "other": other, "both": flow + span}
    assert normalise([event(0, None, "entry", 1, "flow", data=data)])[0]["data"] == {
        **data,
        "traceparent": "00-flow-1-span-1-01",
        "whole": "span-1",
    }


def test_the_words_of_own_errors_are_not_compared() -> None:
    """A runtime phrases them itself; the types are shared. Texts of the flow's own stay, also in events inside of data."""
    error = {"type": "FlowRunError", "message": "words", "cause": {"type": "UndefinedError", "message": "m"}, "notes": ["n"]}
    cut = ["error.message", "error.cause.message", "error.notes[0]", "error.notesque", "output", "message"]
    inner = event(1, 0, "error", 3, data={"error": {"type": "ActionError", "message": "a"}}, message="a")
    soft = {"type": "parse", "message": "mine", "notes": ["n"]}
    made = [
        event(0, None, "entry", 1, "flow"),
        event(1, 0, "error", 2, data={"error": error, "cut": cut}, message="words"),
        event(2, 0, "error", 4, data={"error": {**error, "errors": []}}, message="other words"),
        event(3, 0, "error", 5, data={"error": soft, "cut": ["error.notes[0]"]}, message="mine"),
        event(0, None, "log", 6, data={"error": error, "cut": cut[:3], "seen": [inner]}, message="step 'a' failed"),
    ]
    short = {"type": "FlowRunError", "message": None}
    found = normalise(made)
    assert [(one["message"], one["data"].get("error"), one["data"].get("cut")) for one in found] == [
        (None, None, None),
        (None, short, ["error.notesque", "output"]),
        ("other words", short, None),
        ("mine", soft, ["error.notes[0]"]),
        ("step 'a' failed", short, None),
    ]
    assert [found[4]["data"]["seen"][0][key] for key in ("message", "data")] == [
        None,
        {"error": {"type": "ActionError", "message": None}},
    ]
    assert normalise(found) == found


def test_the_page_lists_the_own_errors() -> None:
    """F2 names every type whose words are not compared."""
    page = (FIXTURES.parents[2] / "docs" / "parity.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+Error)`", page[page.index("- **F2.**") : page.index("- **F3.**")]))
    own = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.ObservabilityError)}
    assert listed == own


PLAIN = {
    "null": r"null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}


def core_tag(text: str) -> str:
    """Return what the core schema of YAML 1.2.2, section 10.3.2, reads in a plain scalar."""
    return next((kind for kind, pattern in PLAIN.items() if re.fullmatch(pattern, text)), "null" if text == "~" else "str")


def scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        yield from (scalar for pair in node.value for part in pair for scalar in scalars(part))
    else:
        yield from (scalar for item in node.value for scalar in scalars(item))


@pytest.mark.parametrize("path", sorted(FIXTURES.rglob("*.yaml")), ids=lambda path: str(path.stem))
def test_fixtures_follow_their_rules(path: Path) -> None:
    """F1, F3, F4, F6: no inline Python, shared filters, literal matches, scalars that both versions of YAML read alike."""
    text = path.read_text(encoding="utf-8")
    tree = yaml.compose(text, yaml.SafeLoader)
    plain = [scalar for scalar in scalars(tree) if scalar.style is None]
    odd = r"[-+]?0[0-9_]+|.*[0-9]_[0-9].*|[yYnN]|~|"
    assert [
        one.value for one in plain if one.tag != f"tag:yaml.org,2002:{core_tag(one.value)}" or re.fullmatch(odd, one.value)
    ] == []
    document = yaml.safe_load(text)
    used = {name for template in re.findall(r"\{[{%].*?[%}]\}", text) for name in re.findall(r"\|\s*(\w+)", template)}
    assert used <= {"length", "first", "last", "join", "upper", "lower", "trim", "replace"}
    literal = r"""[\w ,:;'"!/#@%&=<>~]+"""
    assert [match for match in values_of(document, "match") if not re.fullmatch(literal, match)] == []
    assert [code for key in ("run", "imports") for code in values_of(document, key)] == []


def values_of(value: Any, key: str) -> list[Any]:
    """Return what stands under a key, at any depth."""
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in ([item] if name == key else values_of(item, key))]
    return [found for item in value for found in values_of(item, key)] if isinstance(value, list) else []


def test_events_of_one_moment_keep_the_order_of_the_file() -> None:
    """Everything in one microsecond: sorting is stable."""
    root = [event(0, None, "entry", 1, "flow")]
    events = [event(number, 0, kind, 1, f"n{number}") for number in (4, 2, 9, 3) for kind in ("entry", "exit")]
    notes = [event(0, None, "log", 1, name) for name in ("y", "x", "z")]
    assert [one["node"] for one in normalise([*root, *notes, *events])] == [
        "flow",
        "y",
        "x",
        "z",
        *[one["node"] for one in events],
    ]


FAILING = """\
name: fails
observability: {level: info}
nodes:
  - name: first
    uses: json.parse
    with: {text: '[1]'}
  - name: second
    uses: json.parse
    with: {text: '{{ state.nothing.at.all }}'}
"""


def test_a_flow_that_fails_is_compared_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its log is printed, why it failed is on stderr, and the exit code tells."""
    flow = tmp_path / "fails.yaml"
    flow.write_text(FAILING, encoding="utf-8")
    code = main(["--strict", str(flow)])
    out, err = capsys.readouterr()
    events = json.loads(out)["events"]
    assert (code, [(one["node"], one["event_type"]) for one in events]) == (
        1,
        [("flow", "entry"), *[("json.parse", kind) for kind in ("entry", "exit", "entry", "error")], ("flow", "error")],
    )
    assert err.startswith("note: the flow failed: FlowRunError: step 'second', key 'with.text': cannot render")
    assert err.count("\n") == 1


def test_a_root_that_its_level_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """L18: the root has an id and no entry; what belongs to the run itself has no parent. A fixture must not do that (S2)."""
    flow = tmp_path / "rootless.yaml"
    nodes = "  - {name: ask, uses: llm.call, with: {prompt: p, answers: [{error: no}]}, on_error: {mode: graceful}}\n"
    flow.write_text(f"name: rootless\nobservability: {{levels: {{flow: warn}}}}\nnodes:\n{nodes}", encoding="utf-8")
    assert main([str(flow)]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["flow"] is None
    assert [(one["span_id"], one["parent_id"], one["node"], one["event_type"]) for one in made["events"]] == [
        ("span-2", "span-1", "llm.call", "entry"),
        ("span-2", "span-1", "llm.call", "error"),
        ("span-1", None, "flow", "log"),
    ]
    assert main(["--strict", str(flow)]) == 2
    assert "must be the entry of its root, node 'flow'" in capsys.readouterr().err


def test_a_flow_that_logs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to compare: exit code 2, and what to do."""
    flow = tmp_path / "silent.yaml"
    flow.write_text(FAILING.replace("{level: info}", "{enabled: false}"), encoding="utf-8")
    assert main([str(flow)]) == 2
    problem = f"error: {str(flow)!r} logs nothing: its observability block says enabled: false; remove that\n"
    assert capsys.readouterr() == ("", problem)


def test_a_flow_whose_log_cannot_be_written_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What hinders the run from beginning is not a failure of the flow."""
    flow = tmp_path / "wrong.yaml"
    handlers = "{level: info, handlers: [{type: file, path: /dev/null/log.jsonl}]}"
    flow.write_text(FAILING.replace("{level: info}", handlers), encoding="utf-8")
    assert main([str(flow)]) == 2
    out, err = capsys.readouterr()
    assert (out, err[:7], "/dev/null" in err) == ("", "error: ", True)


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error() -> None:
    """As with ``| head``: silence and the exit code of shells."""
    command = [sys.executable, "-m", "the_edge_obs.parity", str(FIXTURES / "linear.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)


@pytest.mark.slow
def test_the_command_prints_an_expected_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a flow file and of a log file, such as another runtime writes, the same."""
    source = FIXTURES / "recovery.yaml"
    command = [sys.executable, "-m", "the_edge_obs.parity", str(source)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", (EXPECTED / "recovery.json").read_text(encoding="utf-8"))
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(event) + "\n" for event in events_of("recovery")), encoding="utf-8")
    assert (main([str(log)]), capsys.readouterr().out) == (0, done.stdout)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "usage: python -m the_edge_obs.parity [--strict] FLOW.yaml | LOG.jsonl"),
        (["--help"], "usage: python -m the_edge_obs.parity [--strict] FLOW.yaml | LOG.jsonl"),
        (["--strict"], "usage: python -m the_edge_obs.parity [--strict] FLOW.yaml | LOG.jsonl"),
        (["--strict", "--strict", "a.jsonl"], "usage: python -m the_edge_obs.parity [--strict] FLOW.yaml | LOG.jsonl"),
        (["no.yaml"], "error: no.yaml: cannot read the file: No such file or directory"),
    ],
)
def test_the_command_refuses(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad usage and bad input: one line on stderr, exit code 2."""
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", problem + "\n")
