"""A flow log as text: the tree, what is told below a span, folding, widths, totals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from the_edge_obs.comparison import diff
from the_edge_obs.flow_log import FlowLog, build_flow_log
from the_edge_obs.formats import FORMATS, renderer
from the_edge_obs.text import View, columns
from the_edge_obs.tree.drawing import origin, render

from .growth import assert_linear
from .strategies import event, whole


def lines(log: FlowLog, **view: Any) -> list[str]:
    # At this width there is no room for bars.
    return list(render(log, View(**{"width": 80, **view})))


def failed(span: int, start: float, end: float, kind: str, message: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the entry and error of a span."""
    data = {"error": {"type": kind, "message": message}}
    metrics = {"duration_ms": round((end - start) * 1000, 6)}
    return [
        event(span, "entry", start, **fields),
        event(span, "error", end, level="error", data=data, metrics=metrics, **fields),
    ]


def triage() -> FlowLog:
    usage = {"tokens": 345, "input_tokens": 300, "output_tokens": 45, "cost_usd": 0.0123}
    root = whole(1, 0, 1.5)
    root[0]["data"] = {"name": "triage"}
    return build_flow_log(
        [
            *root,
            *whole(2, 0.1, 0.1021, parent=1, node="file.read", step="load"),
            *whole(3, 0.2, 1.4, parent=1, node="steps", step="think"),
            *whole(4, 0.3, 1.3, parent=3, node="llm.call", step="summarize", metrics=usage),
        ]
    )


def test_a_run() -> None:
    """Each span has a line with step, node, duration, tokens, cost and status; the totals follow."""
    assert lines(triage()) == [
        "triage           flow        1.50 s                    ok",
        "├─ load          file.read  2.10 ms                    ok",
        "└─ think         steps       1.20 s                    ok",
        "   └─ summarize  llm.call    1.00 s  345 tok  $0.0123  ok",
        "",
        "ok, 1.50 s, 3 nodes, 8 events, 345 tokens (300 in + 45 out), $0.0123",
    ]


def test_bars() -> None:
    """Where there is room, each span is seen on the run's time line, however short it is; ASCII will do."""
    bars = [line[28:41] for line in lines(triage(), width=100)[:4]]
    assert bars == ["█████████████", "▐            ", " ▐██████████▌", "  ▐████████▌ "]
    bars = [line[28:41] for line in lines(triage(), width=100, unicode=False)[:4]]
    assert bars == ["#############", "#            ", " ############", "  ########## "]
    assert lines(triage(), width=83) == lines(triage())


def test_a_bar_without_an_end_reaches_to_the_last_event() -> None:
    """A killed run's open spans last as long as anything is known of it; a run of one moment has no bars."""
    made = [event(1, "entry", 0), event(2, "entry", 5, parent=1), event(2, "log", 10, parent=1)]
    assert lines(build_flow_log(made), width=100)[:2] == ["flow      █████████████  running", "└─ node2        ▐██████  running"]
    assert lines(build_flow_log(made[:1]), width=100)[0] == "flow  running"


def test_ascii() -> None:
    """Where the output knows no box characters, ASCII draws the tree."""
    assert [line[:16] for line in lines(triage(), unicode=False)[:4]] == [
        "triage          ",
        "|- load         ",
        "`- think        ",
        "   `- summarize ",
    ]


def test_an_error_is_told_where_it_arose() -> None:
    """The spans that it passed have its status, not its text again."""
    log = build_flow_log(
        [
            *failed(1, 0, 3, "OSError", "no route"),
            *failed(2, 1, 2, "OSError", "no route", parent=1, node="steps", step="outer"),
            *failed(3, 1, 2, "OSError", "no route", parent=2, node="http.get", step="fetch"),
        ]
    )
    found = origin(log)
    assert found is not None
    assert found.step == "fetch"
    assert lines(log) == [
        "flow                   3.00 s  error",
        "└─ outer     steps     1.00 s  error",
        "   └─ fetch  http.get  1.00 s  error",
        "        OSError: no route",
        "",
        "error, 3.00 s, 2 nodes, 6 events, 1 error",
    ]


def test_a_flow_without_an_error_has_no_origin() -> None:
    """Nothing failed, or what failed was handled."""
    log = build_flow_log([*whole(1, 0, 3), *failed(2, 1, 2, "OSError", "x", parent=1)])
    assert (origin(triage()), origin(log)) == (None, None)


def test_warnings_are_told_below_their_span() -> None:
    """The first three of a span, and how many more there are."""
    warnings = [event(1, "log", 0.1 * n, parent=None, level="warn", message=f"slow {n}") for n in range(1, 6)]
    log = build_flow_log([*whole(1, 0, 3), *warnings])
    assert lines(log)[:5] == [
        "flow  3.00 s  ok",
        "  warn: slow 1",
        "  warn: slow 2",
        "  warn: slow 3",
        "  and 2 more warnings",
    ]


def test_a_loop_is_folded() -> None:
    """The middle of many children is left out, except for the ones that failed; --all shows them."""
    events = whole(1, 0, 200)
    for index in range(100):
        if index == 50:
            events += failed(index + 2, index, index + 1, "E", "x", parent=1, node="n", step=f"s{index}")
        else:
            events += whole(index + 2, index, index + 1, parent=1, node="n", step=f"s{index}")
    log = build_flow_log(events)
    shown = [line.split("  ")[0] for line in lines(log)]
    first = [f"├─ s{index}" for index in range(8)]
    assert shown[:14] == ["flow", *first, "├─ ⋮ 42 more, all ok", "├─ s50", "│", "├─ ⋮ 47 more, all ok", "├─ s98"]
    assert len(lines(log, fold=False)) == 104


def test_iterations_branches_and_attempts_have_their_number() -> None:
    """What tells equal spans apart is in their input."""
    events = whole(1, 0, 9)
    numbered = [
        ("loop.iteration", {"input": {"index": 3}}),
        ("parallel.branch", {"input": {"index": 0, "branch": "left"}}),
        ("parallel.branch", {"input": {"index": 1, "item": "GET\n/cart"}}),
        ("parallel.branch", {"input": {"index": 2, "item": {"n": 1}}}),
        ("parallel.branch", {"input": {"index": 3, "item": None}}),
        ("parallel.branch", {"input": {"index": 4, "item": "x" * 41}}),
        ("http.get", {"input": {"url": "x"}, "attempt": 2}),
    ]
    for span, (node, data) in enumerate(numbered, 2):
        entry, end = whole(span, span, span + 0.5, parent=1, node=node)
        events += [{**entry, "data": data}, end]
    assert [line[3:].split("  ")[0] for line in lines(build_flow_log(events))[1:8]] == [
        "loop.iteration [3]",
        "parallel.branch [0] left",
        "parallel.branch [1] GET /cart",
        'parallel.branch [2] {"n": 1}',
        "parallel.branch [3] null",
        "parallel.branch [4]",
        "http.get (attempt 2)",
    ]


def test_a_killed_flow() -> None:
    """Spans without an end are running, and the totals say that the end is missing."""
    log = build_flow_log([event(1, "entry", 0, parent=None), event(2, "entry", 1, parent=1, node="llm.call")])
    found = lines(log)
    assert found[:4] == ["flow         running", "└─ llm.call  running", "", "running, 1 node, 2 events"]
    assert found[4].startswith("no end in the log: the flow is still running, or its process was killed; last event 20")


def test_what_is_lost_is_said() -> None:
    """Dropped events, failures of logging and a span without a beginning."""
    _, end = whole(1, 0, 1)
    log = build_flow_log([end, *whole(2, 0.1, 0.2, parent=1)], dropped=1, faults=2)
    assert lines(log) == [
        "flow        1.00 s  ok (start lost)",
        "└─ node2  100.0 ms  ok",
        "",
        "ok, 1.00 s, 1 node, 3 events",
        "1 event dropped by the ring buffer: the tree is not complete",
        "logging itself failed 2 times",
    ]


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_than_the_view(width: int, unicode: bool) -> None:
    """Long names, deep trees, wide characters and long messages are cut or wrapped."""
    events = whole(1, 0, 99)
    for span in range(2, 40):
        events += whole(span, span, 98, node="a.very.long.category.of.nodes", step="要約" * 20)
    events += failed(40, 50, 51, "E", "word " * 200, node="x" * 300)
    events += failed(42, 50, 51, "E", "要約" * 200, parent=1)
    metrics = {"tokens": 1_234_567, "cost_usd": 12.5}
    events += whole(41, 60, 61, parent=1, node="llm.call", metrics=metrics)
    assert [line for line in lines(build_flow_log(events), width=width, unicode=unicode)[:-2] if columns(line) > width] == []


def test_names_cannot_steer_the_terminal() -> None:
    """Control characters of steps, nodes, errors and messages are escaped."""
    bad = "x\x1b[2J\n\u202e"
    events = [
        *whole(1, 0, 9),
        *failed(2, 1, 2, bad, bad, parent=1, node="n" + bad, step=bad),
        event(1, "log", 3, parent=None, level="warn", message=bad),
    ]
    assert all(line.isprintable() for line in lines(build_flow_log(events)))


def test_colours() -> None:
    """Statuses have colours, and the widths do not count them."""
    plain, coloured = lines(triage()), lines(triage(), colour=True)
    assert coloured[0] == plain[0].replace("flow     ", "\x1b[2mflow     \x1b[0m").replace("ok", "\x1b[32mok\x1b[0m")


def test_a_log_without_spans() -> None:
    """Log lines alone make no tree, and no error."""
    log = build_flow_log([event(1, "log", 0, message="hi")])
    assert lines(log)[0] == "unknown, 0 nodes, 1 event"


def nested(count: int) -> list[dict[str, Any]]:
    """Return a flow of spans inside one another."""
    entries = [event(number, "entry", number * 1e-3) for number in range(1, count + 1)]
    ends = [event(number, "exit", (2 * count - number) * 1e-3, metrics={"tokens": 1}) for number in range(count, 0, -1)]
    return entries + ends


def comb(count: int) -> list[dict[str, Any]]:
    """Return a flow in which each span has a span inside it, and one beside that."""
    made = nested(count // 2)
    for number in range(1, count // 2 + 1):
        made += whole(count + number, number * 1e-3 + 1e-4, number * 1e-3 + 2e-4, parent=number)
    return made


def beside(count: int) -> list[dict[str, Any]]:
    """Return a flow of spans beside one another, all at the same time."""
    entries = [event(number, "entry", number * 1e-3, parent=None if number == 1 else 1) for number in range(1, count + 1)]
    return entries + [event(number, "exit", 2 * count, parent=None if number == 1 else 1) for number in range(count, 0, -1)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [nested, comb, beside])
@pytest.mark.parametrize("fold", [True, False])
def test_the_time_of_a_tree_grows_with_its_spans(shape: Callable[[int], list[dict[str, Any]]], fold: bool) -> None:
    """However deep they lie; nothing recurs."""
    view = View(fold=fold)
    assert_linear(lambda size: build_flow_log(shape(size)), lambda log: sum(map(len, render(log, view))), 250)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [nested, comb, beside])
@pytest.mark.parametrize("format_name", FORMATS)
def test_the_time_of_an_export_grows_with_its_spans(shape: Callable[[int], list[dict[str, Any]]], format_name: str) -> None:
    """In every format."""

    def work(events: list[dict[str, Any]]) -> int:
        return sum(map(len, renderer(format_name)(events, dropped={})))

    assert_linear(shape, work, 200)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [nested, comb, beside])
def test_the_time_of_a_comparison_grows_with_its_spans(shape: Callable[[int], list[dict[str, Any]]]) -> None:
    """Of a run with another of its kind, in which one span is missing."""

    def make(size: int) -> Any:
        events = shape(size)
        other = [one for one in events if one["span_id"] != events[size // 3]["span_id"]]
        return build_flow_log(events), build_flow_log(other)

    assert_linear(make, lambda pair: len(str(diff(*pair))), 200)
