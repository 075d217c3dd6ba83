"""Input that was made to do harm: texts, paths, templates, flow files and logs."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.cli import main
from the_edge_obs.errors import ConfigurationError, FlowFileError, FlowRunError, LogFileError, ObservabilityError
from the_edge_obs.event import EVENT_TYPES, LEVELS
from the_edge_obs.flows import load
from the_edge_obs.formats import FORMATS
from the_edge_obs.jsonl import Skipped, read_events

pytestmark = pytest.mark.slow

FLOW = "11111111-2222-4333-8444-555555555555"

# --- log injection ---

FORGED = json.dumps({"flow_id": FLOW, "span_id": FLOW, "parent_id": None, "node": "admin", "level": "error", "timestamp": 1.0})
ATTACKS = [
    f"harmless\n{FORGED}",
    f'"}}\r\n{FORGED}\r\n{{"a": "',
    "\x1b[2J\x1b[31mowned\x1b]0;title\x07",
    "a\u2028b\u2029c\x85d\x0be\x0cf",
    "\u202eevil\u2066",
    "\x00\x08\x7f\x9b31m",
    "%s %(flow_id)s %n {flow_id} {0.__class__}",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_logged_cannot_forge_a_line_or_steer_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], attack: str
) -> None:
    """In messages, data, steps, names and exceptions, and in what other loggers say: each event is one line, escaped."""
    console = {"type": "console", "verbose": True}
    undo = obs.configure({"level": "debug", "handlers": [console, {"type": "file", "path": str(tmp_path / "{flow_id}.jsonl")}]})
    foreign = logging.getLogger("foreign")
    foreign.handlers[:] = logging.getLogger("tea").handlers
    with contextlib.suppress(ValueError), obs.flow(attack) as run:
        run.log("n", message=attack, data={attack: attack})
        foreign.warning("%s", attack)
        with obs.span("s" + "".join(attack.split()), step=attack, text=attack):
            raise ValueError(attack)
    foreign.handlers.clear()
    undo()
    (path,) = tmp_path.iterdir()
    raw = path.read_bytes()
    assert raw.count(b"\n") == len(raw.splitlines()) == 6
    assert len(list(read_events(path))) == 6
    assert not set(raw) & (set(range(32)) - {10})
    shown = capsys.readouterr().err
    assert main(["show", str(path)]) == main(["validate", str(path)]) == 0
    shown += capsys.readouterr().out
    assert all(line.isprintable() for line in shown.split("\n"))
    assert not any(line.startswith(("{", '"flow_id')) and "admin" in line[:60] for line in shown.split("\n"))


# --- paths ---


@pytest.mark.parametrize("flow_id", ["../../etc/passwd", "a/b", "..", "", "\x00", FLOW + "/x", FLOW + "\n", "%2e%2e"])
def test_a_flow_id_cannot_leave_the_folder(tmp_path: Path, flow_id: str) -> None:
    """Only a UUID is one, and what becomes a file's name is its canonical form."""
    with pytest.raises(ConfigurationError, match="is not a UUID"):
        obs.flow(flow_id=flow_id)
    assert obs.extract({"traceparent": f"00-{flow_id}-1111111111111111-01"}) is None


@pytest.mark.parametrize("flow_id", ["../up", "/tmp/x", "..", "a/../../b"])
def test_a_foreign_record_cannot_choose_its_file(tmp_path: Path, flow_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A record that claims a flow id which is none, by its stamp or by the event it brings, is not written anywhere else."""
    (tmp_path / "logs").mkdir()
    handler = obs.FlowFileHandler(tmp_path / "logs" / "{flow_id}.jsonl")
    ring = obs.RingBufferHandler(capacity=1, spill=tmp_path / "logs" / "spill-{flow_id}")
    event = {"flow_id": flow_id, "span_id": FLOW, "parent_id": None, "node": "n", "level": "info", "timestamp": 1.0}
    event.update(event_type="exit", message=None, data={}, metrics={})
    for extra in ({"flow_id": flow_id, "span_id": FLOW}, {"event": event}):
        record = logging.makeLogRecord({"name": "foreign", "msg": "m", **extra})
        for _ in range(3):
            handler.handle(record)
            ring.handle(record)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == set()
    ring.close()
    handler.close()


@pytest.mark.parametrize("path", ["{flow_id.__class__}", "{0}", "{flow_id!r}", "{flow_id:>99999999}", "{name}/x", "{", "}{"])
def test_a_path_is_no_format_string(path: str) -> None:
    """The placeholder is all there is."""
    with pytest.raises(ConfigurationError, match=r"only placeholder is \{flow_id\}"):
        obs.FlowFileHandler(path)


# --- templates and flow files ---


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ state.__class__.__init__.__globals__ }}",
        "{{ state['__class__']['__mro__'] }}",
        "{{ ''|attr('__class__')|attr('__mro__') }}",
        "{{ state.get.__globals__ }}",
        "{{ (1).__class__.__base__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ '%s'.format.__self__.__class__ }}",
        "{{ '{0.__class__.__mro__}'.format('') }}",
        "{{ '{x.__class__}'.format_map({'x': ''}) }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ namespace.__init__.__globals__ }}",
        "{% for c in [].__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",
        "x {{ range(10000000000) | list }}",
        "{% include '/etc/passwd' %}",
        "{% import '/etc/passwd' as x %}{{ x }}",
        "{% extends '/etc/passwd' %}",
    ],
)
def test_a_template_stays_in_its_sandbox(text: str) -> None:
    """No way to a class, a function's globals, a file or a huge range: refused, or nothing."""
    try:
        state = load({"name": "f", "nodes": [{"name": "n", "uses": "json.parse", "with": {"text": text}, "output": "out"}]}).run(
            {}
        )
    except (FlowFileError, FlowRunError, ObservabilityError) as error:
        shown = str(error.__cause__ or "")
    else:
        shown = str(state.get("out"))
    assert not any(word in shown for word in ("<class", "<module", "<function", "subclasses", "root:", "uid="))


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "nodes: " + "[" * 5000,
        "nodes: " + "[" * 5000 + "]" * 5000,
        "nodes: " + "{a: " * 5000 + "1" + "}" * 5000,
        "\n".join(" " * n + "a:" for n in range(1000)),
        "nodes: &a [*a]",
        "nodes: [" + "1," * 400_000 + "]",
        "x" * (1 << 20) + "y",
        "nodes: !!python/object/apply:os.system ['true']",
        "nodes: " + "? " * 3000 + "a",
        "- " * 5000,
    ],
    ids=["bomb", "open", "lists", "maps", "indented", "circle", "long", "big", "object", "keys", "dashes"],
)
def test_a_monstrous_flow_file_is_refused_soon(tmp_path: Path, text: str) -> None:
    """Alias bombs, depth, length and Python tags: an error with the file's name, soon: what they stand for would take hours."""
    path = tmp_path / "flow.yaml"
    path.write_text(text, encoding="utf-8")
    began = time.process_time()
    with pytest.raises(FlowFileError, match=r"flow\.yaml"):
        load(path)
    assert time.process_time() - began < 60  # seconds on an idle machine; busy ones count up to several times as many


# --- logs ---


def run_cli(*arguments: str) -> tuple[int, str]:
    """Run a command; return its exit code, and all it printed."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(list(arguments))
    out.flush()
    return code, out.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


COMMANDS = [
    *[[name] for name in ("validate", "show", "ls", "errors", "stats", "tail", "query", "diff")],
    *[[name, "--json"] for name in ("ls", "stats")],
    *[["diff", "--all", "--format", name] for name in ("text", "json", "html")],
    *[["export", "-o", "-", "--format", name] for name in FORMATS],
    ["query", "--format", "console"],
    ["show", "--all", "--input", "--traceback"],
    ["query", "--last"],
]


def survives(content: bytes, name: str = "log.jsonl") -> None:
    """Check that every reader takes a file for what it is: events, lines to skip, or an error that says so."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        skipped, events = Skipped(), []
        with contextlib.suppress(LogFileError):
            events = list(read_events(path, skipped))
            if name.endswith(".jsonl"):
                text = content.removeprefix(b"\xef\xbb\xbf")  # a mark of the encoding is not a line
                assert len(events) + skipped.lines == sum(1 for line in io.BytesIO(text) if line.strip())
        for read in (obs.get_flow_log, obs.query, lambda path: obs.query(path, node="l*", min_level="warn", text="m", limit=2)):
            with contextlib.suppress(LogFileError):
                found = read(path)
                json.dumps(found if isinstance(found, list) else found.to_dict(), allow_nan=False)
        for command, *options in COMMANDS:
            code, shown = run_cli(command, str(path), *([str(path)] if command == "diff" else []), *options)
            assert code in (0, 1, 2)
            assert "Traceback (most" not in shown
            assert [line for line in shown.replace("\r\n", "\n").split("\n") if not line.isprintable()] == []


ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        10**400,
        2**63,
        1e308,
        -0.0,
        "",
        "\ud800",
        "\x1b[31m\n",
        "\x9b31m\u202e\u200b\u2028\U000e0041\ufe01\u061c",
        "../up",
        [],
        {},
        [[]],
        {"type": "T"},
        "-5m",
        1e300,
    ]
) | st.text(max_size=5)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(usual, usual, usual, usual, usual, ODD)


UUIDS = st.sampled_from([FLOW[:-1] + digit for digit in "567"])
NEAR_EVENTS = st.fixed_dictionaries(
    {
        "flow_id": mostly(st.just(FLOW)),
        "span_id": mostly(UUIDS),
        "parent_id": mostly(st.none() | UUIDS),
        "node": mostly(st.sampled_from(["flow", "llm.call", "parallel.branch", "loop.iteration"])),
        "level": mostly(st.sampled_from(LEVELS)),
        "timestamp": mostly(st.floats(0, 2e9)),
        "event_type": mostly(st.sampled_from([*EVENT_TYPES, "started", "ENTRY"])),
        "message": mostly(st.none() | st.just("m")),
        "data": mostly(st.dictionaries(st.sampled_from(["input", "output", "error", "name", "attempt", "cancelled"]), ODD)),
        "metrics": mostly(st.dictionaries(st.sampled_from(["duration_ms", "tokens", "cost_usd", "n"]), ODD | st.floats(0, 9))),
    },
    optional={"step": mostly(st.just("s")), "schema_version": st.just(2)},
)


@settings(deadline=None, max_examples=15)
@given(content=st.binary(max_size=300), name=st.sampled_from(["log.jsonl", "log.jsonl.gz", "log.json"]))
def test_readers_survive_random_bytes(content: bytes, name: str) -> None:
    """Plain, gzipped or as an export."""
    survives(content, name)


@settings(deadline=None, max_examples=30)
@given(lines=st.lists(NEAR_EVENTS.map(json.dumps) | st.text(max_size=20).map(repr), min_size=1, max_size=6))
@example(['{"flow_id": "f", "span_id": "s", "event_type": "log", "timestamp": 1e999}'])
@example(["[" * 100_000, '{"a":' * 100_000])
@example(["9" * 5000])
def test_readers_survive_what_is_nearly_an_event(lines: list[str]) -> None:
    """Keys of other types, numbers beyond any range, lone surrogates, depth: skipped and counted, or read."""
    survives("\n".join(lines).encode("utf-8", "backslashreplace"))


@settings(deadline=None, max_examples=15)
@given(events=st.lists(NEAR_EVENTS, max_size=5))
def test_readers_survive_an_export_of_such_events(events: list[dict[str, Any]]) -> None:
    """The same in a ``.json`` file."""
    survives(json.dumps({"flow_id": FLOW, "events": events}).encode(), "log.json")
