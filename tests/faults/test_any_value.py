"""Any value: whatever is captured, one valid line of strict JSON comes out, in a time that the caps bound."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import time
from collections import ChainMap, UserDict, UserList, deque, namedtuple
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import MagicMock

import pytest

import the_edge_obs as obs
from the_edge_obs.event import MAX_EVENT_BYTES, problems
from the_edge_obs.handlers.formatters import to_line
from the_edge_obs.recording.tracebacks import MAX_FRAMES
from the_edge_obs.redaction.snapshots import MAX_ITEMS, snapshot
from the_edge_obs.redaction.texts import PLACEHOLDER, scrub
from the_edge_obs.secrets.keys import MAX_KEY

pytestmark = pytest.mark.slow


def refuse(*_: Any) -> Any:
    raise RuntimeError("asked")


def stall(*_: Any) -> Any:
    raise AssertionError("it would take forever")


HOOKS = (
    "__repr__",
    "__str__",
    "__len__",
    "__eq__",
    "__hash__",
    "__iter__",
    "__bool__",
    "__format__",
    "__getattr__",
    "__contains__",
)
MORE = ("items", "keys", "values", "__getitem__")


def hostile(*bases: type, does: Callable[..., Any]) -> type:
    """Return a class whose every answer is ``does``, on top of what it inherits."""
    hooks: dict[str, Any] = dict.fromkeys(HOOKS, does)
    return type("Hostile", bases, {**hooks, "__class__": property(does)})


Pair = namedtuple("Pair", ["left", "right"])


@dataclasses.dataclass
class Node:
    name: str
    next: Any = None


def deep(levels: int) -> Any:
    made: Any = "bottom"
    for level in range(levels):
        made = [made] if level % 2 else {"k": made}
    return made


def circle() -> Any:
    node, inner = Node("n"), {}
    node.next = inner
    inner["node"], inner["self"] = node, [inner]
    return inner


def shared() -> Any:
    made: Any = [1]
    for _ in range(40):
        made = [made, made]  # 2 to the power of 40 leaves, 40 lists
    return made


VALUES: dict[str, Callable[[], Any]] = {
    "nan": lambda: [float("nan"), float("inf"), float("-inf"), {float("nan"): float("nan")}],
    "huge numbers": lambda: [10**5000, {10**5000: -(10**5000)}, Decimal("9" * 5000), Fraction(10**5000, 3), 1e308],
    "circle": circle,
    "shared": shared,
    "odd keys": lambda: {1: 1, "1": 2, None: 3, (1, (2,)): 4, b"\xff": 5, 1.5: 6, frozenset({1}): 7, "x" * 10_000: 8, Pair: 9},
    "surrogates": lambda: {"\ud800": "a\udfffb", "k": ["\ud83d", "\ude00"]},
    "bytes": lambda: [b"\x00" * 100, bytearray(b"a\nb"), memoryview(b"abc")[::2], memoryview(bytes(8)).cast("I")],
    "long text": lambda: {"a": "é" * 50_000_000, "b": ["\x00" * 100_000] * 300},
    "long secret": lambda: {"password": "p" * 5_000_000, "token": ["t" * 5_000_000]},
    "deep": lambda: deep(10_000),
    "deep token": lambda: {"token": deep(10_000), "a": 1},
    "generator": lambda: (i for i in iter(int, 1)),
    "iterator": lambda: iter(stall, None),
    "mock": lambda: {"token": MagicMock(spec=dict), "m": MagicMock(), "d": MagicMock(spec=dict), "s": MagicMock(spec=str)},
    "raises": lambda: [hostile(does=refuse)(), hostile(dict, does=refuse)(a=1), hostile(list, does=refuse)([1])],
    "stalls": lambda: [hostile(does=stall)(), hostile(dict, does=stall)(a=1), hostile(list, does=stall)([1])],
    "hostile texts": lambda: [hostile(str, does=stall)("s"), hostile(int, does=stall)(5), hostile(tuple, does=stall)((1,))],
    "hostile secrets": lambda: {"password": hostile(str, does=stall)("s"), "token": hostile(dict, does=stall)(a=1)},
    "classes": lambda: [int, Pair, len, refuse, hostile, io.StringIO, Node, logging, ...],
    "collections": lambda: [UserDict(a=1), UserList([1]), ChainMap({"a": 1}, {"b": 2}), deque([1]), Pair(1, 2), {1}, range(5)],
    "many": lambda: {f"key {i}": {"x" * 300: "y" * 9_000} for i in range(500)},
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("place", ["input", "output", "log", "extra"])
def test_any_value_makes_a_valid_line(name: str, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In every place: lines are strict JSON under the cap, events are valid, metrics are kept, nothing is reported as failed."""
    stream, value = io.StringIO(), VALUES[name]()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(obs.JsonFormatter())
    loggers = [logging.getLogger("tea"), logging.getLogger("tea_tests.other")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        loggers[0].setLevel("DEBUG")
        with obs.flow() as run, obs.span("n", **({"value": value} if place == "input" else {})) as span:
            span.metrics = {"tokens": 7}
            if place == "output":
                span.output = {"result": value}
            if place == "log":
                span.log("said", value=value)
            if place == "extra":
                loggers[1].warning("heard", extra={"value": value})
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    lines = stream.getvalue().splitlines()
    events = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [problems(event) for event in events] == [[]] * len(events)
    assert len(events) == (5 if place in ("log", "extra") else 4)
    assert max(len(line.encode("utf-8")) for line in lines) <= MAX_EVENT_BYTES
    assert [event["metrics"]["tokens"] for event in events if event["event_type"] == "exit" and event["node"] == "n"] == [7]
    assert run.flow_id == events[0]["flow_id"]
    assert capsys.readouterr().err == ""


def seen(value: Any) -> Any:
    return scrub(snapshot(value))


def test_cuts_are_visible() -> None:
    """What is left out is said, at its place."""
    cut = seen({"text": "x" * 10_000, "list": list(range(300)), "deep": deep(20)})
    assert cut["text"].endswith("…[+1808 chars]")
    assert cut["list"][-1] == f"[+{300 - MAX_ITEMS} items]"
    assert "[depth]" in json.dumps(cut["deep"])
    assert seen(circle())["node"]["next"] == "[circular]"
    node = Node("self")
    node.next = node
    assert seen(node) == {"name": "self", "next": "[circular]"}


def test_a_subclass_is_read_through_its_base() -> None:
    """A hostile subclass of a container shows what is really in it, and a lying ``__class__`` is not believed."""
    assert seen([hostile(dict, does=stall)(a=1), hostile(list, does=stall)([1]), hostile(tuple, does=stall)((2,))]) == [
        {"a": 1},
        [1],
        [2],
    ]
    assert seen(hostile(str, does=stall)("text")) == "text"
    assert seen(hostile(set, does=stall)({3})) == [3]


def test_an_error_that_is_no_text(ring: obs.RingBufferHandler) -> None:
    """What a soft failure has under ``error`` is captured like anything else, and not written out whole."""

    @obs.observable("soft")
    def soft() -> dict[str, Any]:
        return {"success": False, "error": {"code": 5, "more": [hostile(does=stall)()] * 300, "password": "x-4711"}}

    with obs.flow() as run:
        soft()
    [event] = obs.query(run.flow_id, event_type="error")
    message = event["data"]["error"]["message"]
    assert message.startswith('{"code":5,"more":["<')
    assert "[+100 items]" in message
    assert "4711" not in message


def test_a_line_fits_whatever_its_keys_and_names_are() -> None:
    """The cap holds for the worst of keys, names and messages; the schema's own metrics are there, and the cut is visible."""
    bad = "\x01" * 300
    with obs.flow() as run:
        pass
    event = {
        "flow_id": run.flow_id,
        "span_id": run.flow_id,
        "parent_id": None,
        "node": "n" * 100_000,
        "level": "info",
        "timestamp": 1.0,
        "event_type": "exit",
        "message": bad * 100,
        "data": {f"{i:03d}{bad}": "x" * 1_000 for i in range(200)} | {"error": {"type": bad * 9, "message": bad * 99}},
        "metrics": {f"{i:03d}{bad}": i for i in range(200)} | {"tokens": 7, "cost_usd": 0.5},
        "step": "s" * 100_000,
    }
    line = to_line(event)
    found = json.loads(line)
    assert len(line.encode()) <= MAX_EVENT_BYTES
    assert problems(found) == []
    assert (found["metrics"]["tokens"], found["metrics"]["cost_usd"]) == (7, 0.5)
    assert found["data"]["…"].endswith(" items]")
    assert found["metrics"]["…"] == 202 + 1 - len(found["metrics"])
    event["metrics"]["…"] = 1_000
    assert json.loads(to_line(event))["metrics"]["…"] == 1_000 + found["metrics"]["…"]


def test_a_crowd_of_metrics_is_cut_when_it_comes(ring: obs.RingBufferHandler) -> None:
    """So many stay as a container has items, the schema's own among them wherever they stood; the rest is counted."""
    with obs.flow() as run, obs.span("n") as span:
        span.metrics = {f"{n:06d}{'m' * 1_000}": n for n in range(100_000)} | {"tokens": 7}
    (event,) = obs.query(run.flow_id, node="n", event_type="exit")
    assert len(event["metrics"]) == MAX_ITEMS + 3
    assert (event["metrics"]["tokens"], event["metrics"]["…"]) == (7, 100_000 - MAX_ITEMS)
    assert max(map(len, event["metrics"])) == MAX_KEY


def test_a_recursion_that_fails_ends_in_time(ring: obs.RingBufferHandler) -> None:
    """Of each of its tracebacks the last frames are kept, where the error is, and not each written out whole."""

    @obs.observable("sinks")
    def sinks(depth: int) -> None:
        if depth:
            sinks(depth - 1)
        raise LookupError("at the bottom")

    with obs.flow() as run, pytest.raises(LookupError):
        sinks(200)
    errors = obs.query(run.flow_id, node="sinks", event_type="error")
    texts = [event["data"]["error"]["traceback"] for event in errors]
    assert len(texts) == 201
    assert all(text.endswith("LookupError: at the bottom\n") for text in texts)
    assert max(text.count("  File ") for text in texts) <= MAX_FRAMES
    assert texts[-1].startswith("[+370 frames]\nTraceback (most recent call last):\n")  # the outermost call saw them all


# --- the time it takes ---

SIZED: dict[str, Callable[[int], Any]] = {
    "text": lambda n: "x y" * n,
    "text of secrets": lambda n: "password=abc12345 " * n,
    "secret": lambda n: {"password": "ab-" * n},
    "tokens": lambda n: {"token": dict.fromkeys(range(n), 1)},
    "text's subclass": lambda n: type("Text", (str,), {})("x" * n),
    "bytes": lambda n: b"x" * n,
    "key": lambda n: {"k" * n: 1},
    "list": lambda n: list(range(n)),
    "set": lambda n: set(range(n)),
    "dict": lambda n: dict.fromkeys(range(n), "v"),
    "dict's subclass": lambda n: type("Map", (dict,), {})(dict.fromkeys(range(n), "v")),
    "chain": lambda n: ChainMap({}, dict.fromkeys(range(n), "v")),
    "tuple": lambda n: Pair([1], tuple(range(n))),
    "nested": lambda n: [[i] for i in range(n)],
    "integer": lambda n: 1 << (8 * n),
}


@pytest.mark.parametrize("name", SIZED)
def test_the_time_is_bounded_by_the_caps(name: str) -> None:
    """A value a hundred times as large takes less than three times as long, once it is over the caps."""
    small, large = SIZED[name](20_000), SIZED[name](2_000_000)

    def took(value: Any) -> int:
        started = time.thread_time_ns()
        for _ in range(3):
            snapshot(value)
        return time.thread_time_ns() - started

    # Of this thread's time the least: what else the machine does makes it no less.
    samples = [(took(small), took(large)) for _ in range(9)]
    least_small, least_large = map(min, zip(*samples, strict=True))
    assert least_large < 3 * least_small, samples


# --- other people's values ---


def test_pydantic_models_are_their_fields() -> None:
    """Fields and extra ones by key; what is marked as a secret is one under any key."""
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        user: str
        password: str
        pin: pydantic.SecretStr
        n: tuple[int, ...] = (1,)

    assert seen(Model(user="ada", password="x-4711", pin="opaque-4711", more=2)) == {
        "user": "ada",
        "password": PLACEHOLDER,
        "pin": PLACEHOLDER,
        "n": [1],
        "more": 2,
    }


def test_numpy_values_are_numbers_and_lists() -> None:
    """Scalars and small arrays by value, large and structured ones by shape and type."""
    numpy = pytest.importorskip("numpy")
    assert seen([numpy.int64(5), numpy.float32(0.5), numpy.bool_(True), numpy.str_("s"), numpy.float64("nan")]) == [
        5,
        0.5,
        True,
        "s",
        "NaN",
    ]
    assert seen({"a": numpy.arange(4).reshape(2, 2), "m": numpy.ones((1000, 3)), "zero": numpy.array(3)}) == {
        "a": [[0, 1], [2, 3]],
        "m": "<numpy.ndarray shape (1000, 3) float64>",
        "zero": 3,
    }
    records = numpy.array([("ada", "x-4711")], dtype=[("user", "U9"), ("password", "U9")])
    assert "4711" not in json.dumps(seen([records, records[0]]))
    assert seen(numpy.array([{"password": "x-4711"}], dtype=object)) == [{"password": PLACEHOLDER}]
    assert isinstance(seen(numpy.longdouble(1.5)), (str, float))
    assert seen(numpy.array(["x" * 9_000] * 3)) == "<numpy.ndarray shape (3,) <U9000>"
    assert seen({"max_tokens": numpy.int64(9)}) == {"max_tokens": 9}


def test_pandas_values_are_their_shape() -> None:
    """Frames and series are told by shape and types, timestamps as dates."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "password": [0.5, 1.5]})
    assert seen({"f": frame, "s": frame["a"], "t": pandas.Timestamp("2026-01-02")}) == {
        "f": "<pandas.DataFrame shape (2, 2) int64, float64>",
        "s": "<pandas.Series shape (2,) int64>",
        "t": "2026-01-02T00:00:00",
    }


def test_a_generator_is_not_consumed() -> None:
    """What is captured of an iterator is its type."""

    def numbers() -> Iterator[int]:
        yield from (1, 2)

    source = numbers()
    assert seen([source]) == ["<builtins.generator>"]
    assert list(source) == [1, 2]
