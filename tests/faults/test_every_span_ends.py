"""Each entry has exactly one end: every kind of span, every way of ending, every level, every handler."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.event import problems
from the_edge_obs.jsonl import read_events


class GettingError(Exception):
    """An error whose attributes cannot be asked for."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


class CauseError(Exception):
    """An error that hides its cause, its notes and its text."""

    __cause__ = __notes__ = property(lambda self: 1 / 0)  # type: ignore[assignment]

    def __str__(self) -> str:
        raise ZeroDivisionError("asked")


class OwnText(str):
    """A text whose methods raise."""

    __slots__ = ()

    def __len__(self) -> int:
        raise ZeroDivisionError("asked")

    __getitem__ = __format__ = __len__  # type: ignore[assignment]


class OwnTextError(Exception):
    """An error that says a text of a kind of its own."""

    def __str__(self) -> str:
        return OwnText("own")


class AskingMeta(type):
    """A metaclass whose classes cannot be asked."""

    def __getattribute__(cls, name: str) -> Any:
        raise ZeroDivisionError(name)


class MetaError(Exception, metaclass=AskingMeta):
    """An error whose class cannot be asked."""


def syntax_error() -> SyntaxError:
    error = SyntaxError("bad", ("f.py", 1, 1, "text"))
    error.text = b"bytes"  # type: ignore[assignment]
    return error


def unreadable() -> Exception:
    """Return an error that was raised in a file whose name the file system refuses, by a loader that raises."""

    class Loader:
        def get_source(self, name: str) -> str:
            raise RuntimeError("no source")

    names: dict[str, Any] = {"__name__": "odd", "__loader__": Loader()}
    exec(compile("def fail():\n    raise ValueError('odd')\n", "<odd>", "exec"), names)
    names["fail"].__code__ = names["fail"].__code__.replace(co_filename="odd\0name")
    try:
        names["fail"]()
    except ValueError as error:
        return error
    raise AssertionError


HOSTILE: dict[str, Callable[[], BaseException]] = {
    "getattr": lambda: GettingError("x"),
    "cause": lambda: CauseError("x"),
    "text": OwnTextError,
    "meta": lambda: MetaError("x"),
    "syntax": syntax_error,
    "unreadable": unreadable,
}
ENDS: dict[str, Callable[[], BaseException | None]] = {
    "returns": lambda: None,
    "raises": lambda: LookupError("gone"),
    "cancelled": lambda: asyncio.CancelledError("stopped"),
    "closed early": GeneratorExit,
    **{f"hostile {name}": make for name, make in HOSTILE.items()},
}
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "off": logging.CRITICAL + 1}


def end_with(error: BaseException | None) -> str:
    if error is not None:
        raise error
    return "done"


def in_function(error: BaseException | None) -> None:
    obs.observable("node")(lambda: end_with(error))()


def driven(coroutine: Any) -> None:
    """Run a coroutine that waits for nothing: asyncio itself asks errors for their class."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)


def in_coroutine(error: BaseException | None) -> None:
    @obs.observable("node")
    async def work() -> str:
        return end_with(error)

    driven(work())


def in_later(error: BaseException | None) -> None:
    async def work() -> str:
        return end_with(error)

    driven(obs.observable("node")(lambda: work())())


def in_generator(error: BaseException | None) -> None:
    @obs.observable("node")
    def parts() -> Iterator[int]:
        yield 1
        end_with(error)

    running = parts()
    next(running)
    if isinstance(error, GeneratorExit):
        running.close()  # type: ignore[attr-defined]
    else:
        list(running)


def in_async_generator(error: BaseException | None) -> None:
    @obs.observable("node")
    async def parts() -> AsyncIterator[int]:
        yield 1
        end_with(error)

    async def through() -> None:
        running = parts()
        await running.__anext__()
        if isinstance(error, GeneratorExit):
            await running.aclose()  # type: ignore[attr-defined]
        else:
            [part async for part in running]

    driven(through())


def in_span(error: BaseException | None) -> None:
    with obs.span("node") as span:
        span.output = end_with(error)


def in_flow(error: BaseException | None) -> None:
    with obs.flow("node"):
        end_with(error)


def in_explicit_end(error: BaseException | None) -> None:
    started = obs.start_span("node", input={"x": 1})
    assert started.end(output="done", error=error)
    assert not started.end(output="again")


KINDS = (in_function, in_coroutine, in_later, in_generator, in_async_generator, in_span, in_flow, in_explicit_end)
SINKS = ("ring", "file", "both")


def check(events: list[dict[str, Any]]) -> None:
    """Check the events of one flow: they are valid, and each entry has one end, with its own node, after it."""
    assert [problem for event in events for problem in problems(event)] == []
    entries = Counter(event["span_id"] for event in events if event["event_type"] == "entry")
    ends = Counter(event["span_id"] for event in events if event["event_type"] in ("exit", "error"))
    assert set(entries.values()) <= {1}
    assert entries - ends == Counter()
    assert {span_id: count for span_id, count in ends.items() if span_id in entries and count != 1} == {}


@pytest.fixture(scope="module", autouse=True)
def only_young_objects() -> Iterator[None]:
    """Have collections look at what these tests make alone: the heap of a whole suite takes a second each time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def quiet(ring: obs.RingBufferHandler, tmp_path: Path) -> Iterator[dict[str, list[logging.Handler]]]:
    """Return the handlers of each sink, none of them attached."""
    tea = logging.getLogger("tea")
    tea.removeHandler(ring)
    tea.propagate = False
    file = obs.FlowFileHandler(tmp_path / "{flow_id}.jsonl")
    yield {"ring": [ring], "file": [file], "both": [ring, file]}
    file.close()


@pytest.mark.slow
@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_entry_has_one_end(
    quiet: dict[str, list[logging.Handler]], tmp_path: Path, kind: Callable[..., None], level: str, sink: str
) -> None:
    """However it ends: the log validates, nothing is a fault, and the flow's status is that of its roots."""
    tea = logging.getLogger("tea")
    tea.setLevel(LEVELS[level])
    for handler in quiet[sink]:
        tea.addHandler(handler)
    for how, make in ENDS.items():
        error, caught = make(), None
        with contextlib.suppress(AssertionError), obs.flow(how) as run:
            try:
                kind(error)
            except BaseException as raised:  # noqa: BLE001 - whatever it is, it comes out as it is
                caught = raised
        explicit = kind is in_explicit_end
        closed = isinstance(error, GeneratorExit) and kind in (in_generator, in_async_generator)
        assert (caught is error) or explicit or closed
        assert obs.current() is None
        flow = run.context.flow
        assert (flow.faults, flow.reported) == (0, frozenset())
    gc.collect()
    logs: dict[str, list[dict[str, Any]]] = {}
    if sink != "file":
        ring: Any = quiet["ring"][0]
        logs = {flow_id: ring.events(flow_id) for flow_id in ring.flow_ids()}
    if sink != "ring":
        written = {path.stem: list(read_events(path)) for path in tmp_path.glob("*.jsonl")}
        assert sink == "file" or written == logs
        logs = written
    for flow_id, events in logs.items():
        check(events)
        if level in ("debug", "info"):
            roots = [event for event in events if event["parent_id"] is None and event["event_type"] in ("exit", "error")]
            assert len(roots) == 1
            status = "ok" if roots[0]["event_type"] == "exit" else "cancelled" if roots[0]["data"].get("cancelled") else "error"
            source: Any = flow_id if sink != "file" else tmp_path / f"{flow_id}.jsonl"
            assert obs.get_flow_log(source).status == status
    assert level == "off" or logs


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", [in_function, in_coroutine, in_generator, in_span], ids=lambda kind: kind.__name__)
def test_an_interrupt_while_an_error_is_read_goes_on_after_the_end(
    ring: obs.RingBufferHandler, kind: Callable[..., None], interrupt: type[BaseException]
) -> None:
    """Ctrl-C in a ``__str__`` is somebody who wants to stop; the span has its end all the same."""

    class AskingError(Exception):
        def __str__(self) -> str:
            raise interrupt

    with obs.flow() as run, pytest.raises(interrupt):
        kind(AskingError())
    check(ring.events(run.flow_id))


def test_a_group_names_its_errors_causes_notes_and_places(ring: obs.RingBufferHandler) -> None:
    """At level info; secrets are redacted, and what is long is cut."""
    group = pytest.importorskip("builtins").__dict__.get("ExceptionGroup")
    if group is None:
        pytest.skip("groups come with Python 3.11")
    logging.getLogger("tea").setLevel("INFO")
    with obs.flow() as run, contextlib.suppress(group), obs.span("node", api_key="k-93jf8sj2kd92"):
        try:
            raise KeyError("k-93jf8sj2kd92")
        except KeyError as cause:
            error = group("two", [LookupError("gone"), group("inner", [OSError(f"down {n}") for n in range(40)])])
            error.add_note("look at k-93jf8sj2kd92")
            raise error from cause
    failed = ring.events(run.flow_id)[2]
    details = failed["data"]["error"]
    assert failed["message"] == "two (2 sub-exceptions)"
    assert details["where"].startswith(f"{__file__}:")
    assert details["cause"] == {"type": "KeyError", "message": "'[REDACTED]'"}
    assert details["notes"] == ["look at [REDACTED]"]
    assert details["errors"] == [
        {"type": "LookupError", "message": "gone"},
        *({"type": "OSError", "message": f"down {n}"} for n in range(15)),
        {"type": "…", "message": "[+25 errors]"},
    ]
    assert problems(failed) == []


HOLD = """
import gc, logging, os, sys, json
import the_edge_obs as obs

kind, place, level, sink = sys.argv[1:]
tea = logging.getLogger("tea")
if sink == "both":
    tea.addHandler(obs.RingBufferHandler())
tea.addHandler(obs.FlowFileHandler("logs/{flow_id}.jsonl"))
tea.setLevel(int(level))
left = obs.flow("left")  # and never ended
left.__enter__()

@obs.observable("stream")
def stream():
    yield 1

@obs.observable("agen")
async def agen():
    yield 1

@obs.observable("later")
async def later():
    class Never:
        def __await__(self):
            yield
    await Never()

def by_hand():
    with obs.span("by_hand"):
        yield 1

@obs.observable("work")
def work():
    return "done"

class Dies:
    def __init__(self):
        self.span = obs.start_span("explicit")

    def __del__(self, work=work, write=os.write):
        work()
        self.span.end(output="done")
        write(1, b"died\\n")

def start():
    if kind == "async generator":
        parts = agen()
        try:
            parts.__anext__().send(None)
        except StopIteration:
            return parts
    if kind == "coroutine":
        waiting = later()
        waiting.send(None)
        return waiting
    if kind == "del":
        return Dies()
    parts = stream() if kind == "generator" else by_hand()
    next(parts)
    return parts

thing = start()
if place == "cycle":
    cycle = [thing]
    cycle.append(cycle)
    del thing, cycle
elif place == "module":
    json.held, thing = thing, None
elif place == "callback":
    gc.callbacks.append(lambda phase, info: None)  # holds this module beyond its garbage
elif place == "hook":
    sys.excepthook = lambda *args, thing=thing: None
print("end")
"""
HOLDS = [*itertools.product(["generator", "span", "del"], ["global", "cycle", "module", "callback", "hook"])]
HOLDS += [("coroutine", "global"), ("async generator", "global")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "place"), HOLDS)
def test_what_is_open_at_interpreter_exit_ends(
    program: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    """Whatever holds it until then; nothing is on stderr, and finalizers that Python runs are run to their end."""
    monkeypatch.chdir(tmp_path)
    done = program(HOLD, kind, place, str(logging.INFO), "both")
    # What a hook or a callback of the interpreter holds, Python may never finalize.
    is_finalized = kind == "del" and place not in ("callback", "hook")
    assert (done.stdout, done.stderr) == ("end\ndied\n" if is_finalized else "end\n", "")
    (path,) = (tmp_path / "logs").iterdir()
    check_left_open(path, kind)


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["file", "both"])  # a ring alone cannot be read any more
@pytest.mark.parametrize("level", ["debug", "warn", "off"])
@pytest.mark.parametrize("kind", ["generator", "span", "del", "coroutine", "async generator"])
def test_every_level_at_interpreter_exit(
    program: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, level: str, sink: str
) -> None:
    """What was recorded has its end. Where entries are filtered, a cancellation writes nothing."""
    monkeypatch.chdir(tmp_path)
    done = program(HOLD, kind, "global", str(LEVELS[level]), sink)
    assert (done.stdout, done.stderr) == ("end\ndied\n" if kind == "del" else "end\n", "")
    paths = list((tmp_path / "logs").glob("*"))
    if level == "debug":
        check_left_open(*paths, kind)
    else:
        assert paths == []


def check_left_open(path: Path, kind: str) -> None:
    """Check the log of a flow that was left open, with a span in it, until the interpreter's exit."""
    events = list(read_events(path))
    check(events)
    nodes = {event["node"] for event in events}
    own = {"generator": "stream", "span": "by_hand", "del": "explicit", "coroutine": "later", "async generator": "agen"}[kind]
    assert nodes >= {"flow", own}
    assert obs.get_flow_log(path).status == "cancelled"


FIRST_FLOW = """
import logging
import the_edge_obs as obs

@obs.observable
def work(): ...

class Dies:
    def __del__(self):
        with obs.flow("last words"):
            work()

logging.getLogger("tea").setLevel(logging.INFO)
logging.getLogger("tea").addHandler(obs.FlowFileHandler("logs/{flow_id}.jsonl"))
kept = Dies()
"""


def test_a_first_flow_may_begin_at_interpreter_exit(
    program: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be imported then, not even what opens a flow."""
    monkeypatch.chdir(tmp_path)
    assert program(FIRST_FLOW).stderr == ""
    (path,) = (tmp_path / "logs").iterdir()
    events = list(read_events(path))
    assert [(event["node"], event["event_type"]) for event in events] == [
        ("flow", "entry"),
        ("work", "entry"),
        ("work", "exit"),
        ("flow", "exit"),
    ]
