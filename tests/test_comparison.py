"""Two runs side by side: which spans belong together, what differs of them, the text, and what a CI job fails on."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.comparison import MAX_CHANGES, FlowDiff, SpanDiff, diff, render
from the_edge_obs.errors import ConfigurationError, FlowNotFoundError, LogFileError
from the_edge_obs.flow_log import FlowLog, build_flow_log
from the_edge_obs.text import View, columns

from .strategies import FLOW, OTHER_FLOW, Event, event, flows, span_id, whole

MIRROR = {"added": "removed", "removed": "added", "changed": "changed", "same": "same"}


class Flow:
    """A flow whose spans run one after another, unless they are told otherwise."""

    def __init__(self, flow_id: str = FLOW, name: str = "triage") -> None:
        self.flow_id, self.clock, self.count = flow_id, 0.0, 1
        self.events = [self._event(1, "entry", parent=None, data={"name": name})]

    def _event(self, span: int, kind: str, **fields: Any) -> Event:
        made = event(span, kind, self.clock, flow_id=self.flow_id, **fields)
        return {key: value for key, value in made.items() if key != "step" or value is not None}

    def run(self, node: str, given: Any = None, result: Any = None, *, parent: int = 1, ms: float = 1.0, **fields: Any) -> int:
        """Add a span, and return its number; ``at`` is when it starts, ``error`` how it fails."""
        self.count += 1
        number, error = self.count, fields.pop("error", None)
        metrics, extra = fields.pop("metrics", {}), fields.pop("data", {})
        start = self.clock = fields.pop("at", self.clock + 0.001)
        entry = {} if given is None else {"input": given}
        self.events.append(self._event(number, "entry", parent=parent, node=node, data={**entry, **extra}, **fields))
        self.clock = start + ms / 1000
        end = {"output": result} if error is None else {"error": {"type": "E", "message": error}}
        figures = {"duration_ms": ms, **metrics}
        self.events.append(
            self._event(
                number, "exit" if error is None else "error", parent=parent, node=node, data=end, metrics=figures, **fields
            )
        )
        return number

    def log(self, *, done: bool = True) -> FlowLog:
        """Return the flow log; the root ends now."""
        ms = round(self.clock * 1000, 6)
        end = [self._event(1, "exit", parent=None, node="flow", metrics={"duration_ms": ms})] if done else []
        return build_flow_log([*self.events, *end])


def of(*runs: tuple[Any, ...], flow_id: str = FLOW, **fields: Any) -> FlowLog:
    """Return the log of a flow whose nodes are given as arguments of ``Flow.run``."""
    flow = Flow(flow_id)
    for run in runs:
        flow.run(*run, **fields)
    return flow.log()


def kinds(found: FlowDiff) -> list[tuple[str, str]]:
    """Return kind and label of what differs."""
    return [("moved" if span.moved and span.kind == "same" else span.kind, span.label) for span in found.changed]


def facts(span: SpanDiff) -> tuple[Any, ...]:
    """Return what is told of a span, its durations left out."""
    return (span.kind, span.moved, span.differences, span.path, span.old and span.old.span_id, span.new and span.new.span_id)


# --- laws ---


@pytest.mark.slow
@settings(deadline=None)
@given(flows())
def test_a_run_does_not_differ_from_itself(events: list[Event]) -> None:
    """Nor from a run that did the same at another time, under other ids."""
    log = build_flow_log(events)
    text = json.dumps([{**one, "timestamp": one["timestamp"] + 1000.5} for one in events])
    again = build_flow_log(json.loads(text.replace(FLOW[:19], OTHER_FLOW[:19]).replace(FLOW[19:], OTHER_FLOW[19:])))
    for other in (log, again):
        found = diff(log, other)
        assert not found
        assert {facts(span)[:3] for span in found.spans} == {("same", False, ())}
        assert len(found.spans) == len(log.spans)
        assert not any(span.changes for span in found.spans)


@pytest.mark.slow
@settings(deadline=None)
@given(flows(), flows())
def test_the_mirrored_diff(events: list[Event], others: list[Event]) -> None:
    """From the other side the same pairs differ in the same; what was added is removed. Each span is told once."""
    old, new = build_flow_log(events), build_flow_log(others)
    forth, back = diff(old, new), diff(new, old)
    turned = Counter(
        (MIRROR[kind], moved, differences, mine, theirs) for kind, moved, differences, _, theirs, mine in map(facts, back.spans)
    )
    assert Counter((*facts(span)[:3], *facts(span)[4:]) for span in forth.spans) == turned
    assert bool(forth) == bool(back)
    assert sorted(span.old.span_id for span in forth.spans if span.old) == sorted(span.span_id for span in old.spans)
    assert sorted(span.new.span_id for span in forth.spans if span.new) == sorted(span.span_id for span in new.spans)


SIBLINGS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "parallel.branch", "loop.iteration"]),
        st.integers(0, 2),  # the index of a branch or round, and what any is given
        st.integers(0, 1),  # what it gives
        st.booleans(),  # whether it runs beside the one before it
    ),
    max_size=7,
)


def siblings(drawn: list[tuple[str, int, int, bool]]) -> FlowLog:
    """Return a flow of spans side by side and one after another, many of them alike."""
    flow = Flow()
    for node, number, result, beside in drawn:
        at = flow.clock if beside else flow.clock + 1
        given = {"index": number, "item": number % 2} if "." in node else number
        flow.run(node, given, result, at=at, ms=500, step="s" if node == "b" else None)
    return flow.log()


@pytest.mark.slow
@settings(deadline=None)
@given(SIBLINGS, SIBLINGS)
def test_the_mirrored_diff_of_siblings(old: list[Any], new: list[Any]) -> None:
    """Spans that are hard to tell apart are matched alike from either side, each at most once, and only with their like."""
    forth, back = diff(siblings(old), siblings(new)), diff(siblings(new), siblings(old))
    turned = Counter((MIRROR[kind], moved, names, new, old) for kind, moved, names, _, old, new in map(facts, back.spans))
    assert Counter((kind, moved, names, old, new) for kind, moved, names, _, old, new in map(facts, forth.spans)) == turned
    pairs = [(span.old, span.new) for span in forth.spans if span.old and span.new]
    assert len(forth.spans) == 2 + len(old) + len(new) - len(pairs)
    assert all(mine.node == theirs.node for mine, theirs in pairs)


@pytest.mark.slow
@settings(deadline=None)
@given(flows(), st.data())
def test_one_node_more_is_one_row(events: list[Event], data: st.DataObject) -> None:
    """A node put anywhere, whatever its name, is added, and nothing else has changed or moved."""
    parent = data.draw(st.sampled_from(sorted({one["span_id"] for one in events})))
    start = data.draw(st.floats(0, 9.9, exclude_min=True))
    more = whole(99, start, 9.95, parent=parent, node=data.draw(st.sampled_from(["llm", "http.get", "new"])))
    old, new = build_flow_log(events), build_flow_log([*events, *more])
    assert [span.kind for span in diff(old, new).changed] == ["added"]
    assert [span.kind for span in diff(new, old).changed] == ["removed"]


@pytest.mark.slow
@settings(deadline=None)
@given(flows(), flows(), st.randoms())
def test_the_order_of_events_says_nothing(events: list[Event], others: list[Event], chance: random.Random) -> None:
    """A log is a set of events: files of several processes are merged in any order."""
    shuffled = [chance.sample(some, len(some)) for some in (events, others)]
    assert diff(*map(build_flow_log, shuffled)).to_dict() == diff(build_flow_log(events), build_flow_log(others)).to_dict()


# --- which spans belong together ---


def test_steps_are_aligned_by_name() -> None:
    """What has the same step is the same, whatever is before it; a step that has gone is told where it was."""
    old = of(("file.read", "a"), ("llm.call", "b"), ("json.parse", "c"))
    new = of(("file.read", "a"), ("http.get", "x"), ("json.parse", "c"))
    assert [(span.kind, span.label) for span in diff(old, new).spans] == [
        ("same", "triage"),
        ("same", "file.read"),
        ("removed", "llm.call"),
        ("added", "http.get"),
        ("same", "json.parse"),
    ]


def test_calls_of_one_node_find_their_like() -> None:
    """Of many calls of one node each is compared with the one that was given the same; the rest in their order."""
    old = of(*(("llm.call", word, word.upper()) for word in ("a", "b", "c", "d")))
    new = of(*(("llm.call", word, word.upper()) for word in ("a", "x", "b", "c", "e")))
    found = diff(old, new)
    assert [(span.kind, span.differences) for span in found.changed] == [("added", ()), ("changed", ("input", "output"))]
    assert [(change.path, change.old, change.new) for change in found.changed[1].changes] == [
        ("input", "d", "e"),
        ("output", "D", "E"),
    ]


def test_an_input_that_only_the_end_tells_is_an_input() -> None:
    """Calls find their like by it, whether the entry or the end has it."""

    def late(*words: str) -> FlowLog:
        flow = Flow()
        for word in words:
            number = flow.run("llm.call")
            flow.events[-1]["data"] = {"input": word, "output": word.upper()}
            assert number == flow.count
        return flow.log()

    found = diff(late("a", "b", "c"), of(("llm.call", "a", "A"), ("llm.call", "c", "C")))
    assert [(span.kind, span.differences) for span in found.changed] == [("removed", ())]


def test_what_ran_in_another_order_has_moved() -> None:
    """Fewest spans are said to have moved; what also changed is both."""
    old = of(("a", 1), ("b", 1), ("c", 1), ("d", 1))
    assert kinds(diff(old, of(("d", 1), ("a", 1), ("b", 1), ("c", 1)))) == [("moved", "d")]
    found = diff(old, of(("d", 2), ("a", 1), ("b", 1), ("c", 1)))
    assert [(span.kind, span.moved, span.label) for span in found.changed] == [("changed", True, "d")]
    assert found.counts == {"added": 0, "removed": 0, "changed": 1, "same": 4, "moved": 1}


def test_what_ran_side_by_side_has_no_order() -> None:
    """Threads and tasks start in any order: that is not a difference, and each is still compared with its like."""
    old, new = Flow(), Flow()
    for flow, order in ((old, "abc"), (new, "cba")):
        for place, word in enumerate(order):
            flow.run("http.get", word, word.upper(), at=1 + place / 1000, ms=100)
    assert not diff(old.log(), new.log())


def test_workers_side_by_side_are_told_apart_by_what_they_did() -> None:
    """They were given the same, and started in any order: each is compared with the one that did the same, one that did other."""
    old, new = Flow(), Flow()
    for flow, words in ((old, "abcd"), (new, "dxba")):
        workers = [flow.run("worker", at=1 + place / 1000, ms=100) for place in range(4)]
        for worker, word in zip(workers, words, strict=True):
            flow.run("http.get", word, parent=worker)
    assert kinds(diff(old.log(), new.log())) == [("changed", "http.get")]


def test_branches_are_matched_by_item_and_index() -> None:
    """Which branch came first is chance; an item that is new is added, one in another place is the same branch."""
    old, new = Flow(), Flow()
    for flow, items in ((old, "xyz"), (new, "nyxq")):
        parent = flow.run("parallel", {"items": 3}, step="judge", ms=50)
        for index, item in reversed(list(enumerate(items))):
            branch = flow.run("parallel.branch", {"index": index, "item": item}, parent=parent)
            flow.run("llm.call", item, item.upper(), parent=branch)
    found = diff(old.log(), new.log())
    assert sorted((span.kind, span.moved, span.label) for span in found.spans if span.depth == 2) == [
        ("added", False, "parallel.branch [0] n"),
        ("added", False, "parallel.branch [3] q"),
        ("removed", False, "parallel.branch [2] z"),
        ("same", False, "parallel.branch [1] y"),
        ("same", False, "parallel.branch [2] x"),
    ]


def test_a_branch_with_another_item_is_compared_by_its_index() -> None:
    """A fan-out over the same number of items is the same fan-out."""
    old, new = Flow(), Flow()
    for flow, items in ((old, "xyz"), (new, "xnz")):
        parent = flow.run("parallel", {"items": 3}, ms=50)
        for index, item in enumerate(items):
            flow.run("parallel.branch", {"index": index, "item": item}, parent=parent)
    (found,) = diff(old.log(), new.log()).changed
    assert (found.label, [change.path for change in found.changes]) == ("parallel.branch [1] n", ["input.item"])


def test_rounds_are_matched_by_index_and_attempts_by_number() -> None:
    """Two rounds more are two rounds at the end; a run that needed a second attempt had one more."""
    old, new = Flow(), Flow()
    for flow, rounds in ((old, 2), (new, 4)):
        loop = flow.run("loop", step="again", ms=50)
        for index in range(rounds):
            flow.run("loop.iteration", {"index": index}, parent=loop)
    old.run("http.get", "url", "page", step="fetch", data={"attempt": 1})
    new.run("http.get", "url", step="fetch", data={"attempt": 1}, error="down")
    new.run("http.get", "url", "page", step="fetch", data={"attempt": 2})
    found = diff(old.log(), new.log())
    assert kinds(found) == [
        ("added", "loop.iteration [2]"),
        ("added", "loop.iteration [3]"),
        ("changed", "fetch (attempt 1)"),
        ("added", "fetch (attempt 2)"),
    ]
    assert found.changed[2].differences == ("status", "error", "output")


def test_what_lies_in_an_added_span_is_added() -> None:
    """A part of the tree comes or goes as a whole; what went to another parent is removed here and added there."""
    old, new = Flow(), Flow()
    old.run("llm.call", "a", step="think")
    steps = new.run("steps", step="outer", ms=9)
    new.run("llm.call", "a", step="think", parent=steps)
    assert kinds(diff(old.log(), new.log())) == [("removed", "think"), ("added", "outer"), ("added", "think")]


# --- what differs of a pair ---


def test_what_differs() -> None:
    """Node, status, error, input, output, metrics, tokens and cost; the duration is shown, and does not count as a difference."""
    usage = {"tokens": 10, "input_tokens": 6, "output_tokens": 4, "cost_usd": 0.01, "score": 0.5}
    more = {"tokens": 12, "input_tokens": 6, "output_tokens": 6, "cost_usd": 0.02, "score": 0.7, "time_to_first_chunk_ms": 5}
    old, new = Flow(), Flow(OTHER_FLOW)
    old.run("llm.call", {"prompt": "a"}, {"n": 1}, step="think", metrics=usage, ms=100)
    new.run("llm.stream", {"prompt": "b"}, step="think", metrics=more, error="cut off", ms=150)
    found = diff(old.log(), new.log())
    root, span = found.spans
    assert (root.kind, root.differences) == ("same", ())
    assert (span.kind, span.label, span.path) == ("changed", "think", ("triage", "think"))
    assert span.differences == ("node", "status", "error", "input", "output", "metrics", "tokens", "cost")
    assert [(change.path, change.kind, change.old, change.new) for change in span.changes] == [
        ("error", "added", None, {"type": "E", "message": "cut off"}),
        ("input.prompt", "changed", "a", "b"),
        ("output", "removed", {"n": 1}, None),
        ("metrics.score", "changed", 0.5, 0.7),
    ]
    assert span.duration_ms.to_dict() == {"old": 100, "new": 150, "delta": 50, "percent": 50.0}
    assert span.figure("tokens").to_dict() == {"old": 10, "new": 12, "delta": 2, "percent": 20.0}
    assert {name: (figure.old, figure.new) for name, figure in found.totals.items()} == {
        "duration_ms": (101.0, 151.0),
        "tokens": (10, 12),
        "input_tokens": (6, 6),
        "output_tokens": (4, 6),
        "cost_usd": (0.01, 0.02),
        "node_count": (1, 1),
        "error_count": (0, 1),
    }


def test_durations_are_no_difference() -> None:
    """A run that took ten times as long did the same; the figure is there for who wants it."""
    found = diff(of(("a", 1)), of(("a", 1), ms=10))
    assert not found
    assert (found.spans[1].duration_ms.delta, found.spans[1].duration_ms.percent) == (9.0, 900.0)


@pytest.mark.parametrize(("old", "new", "percent"), [(0, 0, 0.0), (0, 5, None), (None, 5, None), (4, 3, -25.0)])
def test_growth_in_percent(old: float | None, new: float | None, percent: float | None) -> None:
    """Of nothing there is none."""
    assert obs.diff(of(), of()).spans[0].duration_ms.__class__(old, new).percent == percent


def test_many_changes_of_one_span_are_counted() -> None:
    """The first hundred are kept."""
    (span,) = diff(of(("a", 1, {str(n): 1 for n in range(150)})), of(("a", 1, {str(n): 2 for n in range(150)}))).changed
    assert (len(span.changes), span.more_changes) == (MAX_CHANGES, 50)


def test_a_traceback_is_no_difference() -> None:
    """It tells line numbers and paths; type and message are compared."""
    logs = []
    for line in (1, 2):
        flow = Flow()
        flow.run("a", error="no")
        flow.events[-1]["data"]["error"]["traceback"] = f"line {line}"
        logs.append(flow.log())
    assert not diff(*logs)


def test_a_run_that_was_killed() -> None:
    """Its open spans are running, and both runs can be compared as far as they got."""
    flow = Flow()
    flow.run("a", 1)
    flow.run("b", 1)
    killed = build_flow_log(flow.events[:-1])
    found = diff(flow.log(), killed)
    assert [(span.label, span.differences) for span in found.changed] == [("triage", ("status",)), ("b", ("status",))]
    assert list(render(found, View()))[-1] == "the new run has no end in its log: it is still running, or its process was killed"


# --- sources ---


def test_sources(tmp_path: Path) -> None:
    """Flow ids, files, exports, folders and flow logs, in any mixture."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "logs" / "flow-{flow_id}.jsonl")}]})
    with obs.flow("one") as run, obs.span("a", n=1):
        pass
    log = obs.get_flow_log(run.flow_id)
    obs.export(run.flow_id, tmp_path / "one.json", format="json")
    sources = [run.flow_id, log, tmp_path / "logs", str(tmp_path / "one.json")]
    assert [bool(obs.diff(source, log)) for source in sources] == [False] * 4
    undo()


def test_sources_that_cannot_be_compared(tmp_path: Path) -> None:
    """The same errors as reading one log has."""
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    two = tmp_path / "two.jsonl"
    two.write_text("".join(json.dumps(event(1, flow_id=flow)) + "\n" for flow in (FLOW, OTHER_FLOW)), encoding="utf-8")
    with pytest.raises(LogFileError, match="holds no events"):
        diff(of(), empty)
    with pytest.raises(LogFileError, match="holds 2 flows"):
        diff(two, of())
    with pytest.raises(FlowNotFoundError, match="is in no ring buffer"):
        diff(FLOW, of())


# --- text ---


def lines(found: FlowDiff, **view: Any) -> list[str]:
    """Return the text below its head."""
    return [line.rstrip() for line in render(found, View(**view))][3:]


def sample() -> FlowDiff:
    """Return a comparison with everything in it."""
    old, new = Flow(), Flow(OTHER_FLOW)
    for flow, word in ((old, "billing"), (new, "sales")):
        flow.run("file.read", {"path": "a"}, "text", step="load")
        if flow is new:
            flow.run("http.get", {"url": "x"}, step="extra", error="no route")
        steps = flow.run("steps", step="think", ms=500)
        figures = {"tokens": 10 if flow is old else 12, "cost_usd": 0.01}
        flow.run("llm.call", "p", {"topic": word}, step="ask", parent=steps, metrics=figures, ms=100 if flow is old else 300)
        flow.run("json.parse", 1, step="parse")
        if flow is old:
            flow.run("file.write", 1, step="report")
    return diff(old.log(), new.log())


def test_text() -> None:
    """What differs is shown where it is, the rest counted."""
    found = sample()
    assert lines(found) == [
        "  triage           flow        808.0 ms                   ok",
        "  │  duration: 608.0 ms → 808.0 ms (+33%)",
        "  ├─ ⋮ 1 the same",
        "+ ├─ extra         http.get     1.00 ms                   error",
        "  │     E: no route",
        "  ├─ think         steps       500.0 ms                   ok",
        "~ │  └─ ask        llm.call    300.0 ms  12 tok  $0.0100  ok",
        "  │        duration: 100.0 ms → 300.0 ms (+200%)",
        "  │        tokens: 10 → 12 (+20%)",
        '  │        output.topic: "billing" → "sales"',
        "  ├─ ⋮ 1 the same",
        "- └─ report        file.write   1.00 ms                   ok",
        "",
        "1 changed, 1 added, 1 removed, 4 the same",
        "duration 608.0 ms → 808.0 ms (+33%), tokens 10 → 12 (+20%), cost $0.0100, errors 0 → 1",
    ]
    assert repr(found) == "<FlowDiff 1 changed, 1 added, 1 removed, 4 the same>"
    assert str(found).splitlines()[0].startswith(f"--- triage  ok  608.0 ms  {FLOW}  started ")
    assert str(found).splitlines()[1].startswith(f"+++ triage  ok  808.0 ms  {OTHER_FLOW}  started ")


def test_text_of_runs_that_do_not_differ() -> None:
    """There is no tree to show; noise of durations is none."""
    found = diff(of(("a", 1)), of(("a", 1), ms=2))
    assert lines(found) == ["no differences, 2 the same", "duration 2.00 ms → 3.00 ms (+50%)"]
    assert lines(found, fold=False)[:2] == ["  triage  flow  3.00 ms  ok", "  └─ a          2.00 ms  ok"]


def test_text_of_tokens() -> None:
    """Input and output are told beside the total, as far as they differ."""
    logs = []
    for inner, outer in ((6, 4), (5, 5)):
        flow = Flow()
        flow.run("llm.call", 1, metrics={"tokens": inner + outer, "input_tokens": inner, "output_tokens": outer})
        logs.append(flow.log())
    notes = [line.strip() for line in lines(diff(*logs)) if ":" in line]
    assert notes == ["input tokens: 6 → 5 (-17%)", "output tokens: 4 → 5 (+25%)"]


def test_text_in_ascii_and_colour() -> None:
    """Marks are ASCII in any case; colours repeat what they say."""
    plain = "\n".join(render(sample(), View(unicode=False)))
    assert plain.isascii()
    assert "|- : 1 the same" in plain
    assert "tokens: 10 -> 12 (+20%)" in plain
    coloured = list(render(sample(), View(colour=True)))
    assert coloured[0].startswith("\x1b[31;1m--- triage")
    assert "\x1b[32m+\x1b[0m ├─ \x1b[32mextra\x1b[0m" in coloured[6]
    assert re.sub(r"\x1b\[[\d;]*m", "", "\n".join(coloured)) == str(sample())


@pytest.mark.parametrize("width", [60, 80, 200])
def test_text_fits_the_width(width: int) -> None:
    """Long labels and values are cut, wide characters too; two long values stand below one another, from where they differ."""
    old, new = Flow(name="ein langer Name " * 9), Flow(name="x" * 500)
    deep = dict.fromkeys((old, new), 1)
    for flow, word in ((old, "eins"), (new, "zwei")):
        for place in range(40):
            deep[flow] = flow.run("steps", step=f"schritt {place} 漢字", parent=deep[flow])
        flow.run("llm.call", "漢字" * 99, {"text": "gleich " * 40 + word}, step="frage " * 20, parent=deep[flow], ms=1e7)
    shown = list(render(diff(old.log(), new.log()), View(width=width)))
    assert max(map(columns, shown)) <= width
    assert any('"...' in line and "eins" in line for line in shown)


def test_text_folds() -> None:
    """Of many rows below one the first are shown, and how many more there are."""
    logs = [of(*(("a", sign * place) for place in range(100))) for sign in (1, -1)]
    found = diff(*logs)
    shown = [line for line in lines(found) if "a  " in line or "⋮" in line]
    assert shown == ["  ├─ ⋮ 1 the same", *["~ ├─ a                    1.00 ms  ok"] * 24, "  └─ ⋮ 75 more"]
    assert sum("a  " in line for line in lines(found, fold=False)) == 100


def test_text_folds_parts_and_changes() -> None:
    """Of a large part that came its top is shown, of many changes of one span the first eight."""
    old, new = Flow(), Flow()
    old.run("c", 1, {str(n): -1 for n in range(11)}, step="wide")
    new.run("c", 1, {str(n): n for n in range(11)}, step="wide")
    parent = new.run("steps", step="more")
    for place in range(20):
        new.run("b", place, parent=parent)
    found = diff(old.log(), new.log())
    assert lines(found) == [
        "  triage                 flow   44.0 ms  ok",
        "  │  duration: 2.00 ms → 44.0 ms (+2,100%)",
        "~ ├─ wide                c      1.00 ms  ok",
        *[f'  │     output["{n}"]: -1 → {n}' for n in range(8)],
        "  │     and 3 more changes",
        "+ └─ more                steps  1.00 ms  ok",
        "     └─ ⋮ 20 more added",
        "",
        "1 changed, 21 added, 1 the same",
        "duration 2.00 ms → 44.0 ms (+2,100%)",
    ]
    assert len(lines(found, fold=False)) == 38


def test_text_of_hostile_values() -> None:
    """No control character, line break or escape sequence of a log reaches the terminal as it is."""
    old, new = Flow(name="a\x1b[2J"), Flow(name="b\nflow")
    old.run("x\x1b[31m", "\x1b]0;title\x07", "a\u202eb", step="s\n")
    new.run("x\x1b[31m", "\r\n", {"k\x1b": 1}, step="s\n", error="line\nline")
    text = "".join(render(diff(old.log(), new.log()), View()))
    assert text.isprintable()


# --- for CI ---


def test_failures() -> None:
    """Names fail on any span, limits on the growth of the whole run; each says what it found."""
    found = sample()
    assert found.failures("status,error,input,metrics") == []
    assert found.failures("output, nodes ,tokens=+20%,cost=+0%") == [
        "output of 1 span differs: triage / think / ask",
        "nodes of 2 spans differ: triage / extra, triage / report",
    ]
    assert found.failures("tokens=+10%,tokens=+1,tokens=+2,duration=+20%,duration=+0.1s,duration=+1min") == [
        "tokens grew from 10 to 12, +20.0%: more than +10%",
        "tokens grew from 10 to 12, +20.0%: more than +1",
        "duration grew from 608.0 ms to 808.0 ms, +32.9%: more than +20%",
        "duration grew from 608.0 ms to 808.0 ms, +32.9%: more than +0.1s",
    ]
    assert diff(found.new, found.old).failures("duration=+0%,tokens=+0%") == []


def test_failures_that_cannot_be_told() -> None:
    """A limit says so where a run has no end: a check that cannot be made has not passed."""
    done, killed = Flow().log(), Flow().log(done=False)
    assert diff(done, killed).failures("status,duration=+10%") == [
        "status of 1 span differs: triage",
        "duration=+10% cannot be checked: the end of the new run is not in the log",
    ]
    assert diff(killed, killed).failures("duration=+10%") == [
        "duration=+10% cannot be checked: the end of both runs is not in the log"
    ]


def test_growth_from_nothing_fails() -> None:
    """Twenty percent of no tokens are no tokens."""
    new = Flow()
    new.run("a", metrics={"tokens": 5})
    assert diff(of(("a",)), new.log()).failures("tokens=+20%") == ["tokens grew from 0 to 5: more than +20%"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "",
            "fail-on '' is unknown; allowed: status, error, input, output, metrics, nodes, duration=+20%, tokens=+10%",
        ),
        ("state", "fail-on 'state' is unknown; did you mean 'status'? allowed: status, error"),
        ("status=1", "fail-on 'status=1': status takes no limit"),
        (
            "duration",
            "fail-on 'duration' is not a valid limit; allowed: duration=+20%, duration=+50ms, duration=+1.5s, duration=+2min",
        ),
        ("duration=20%", "fail-on 'duration=20%' is not a valid limit"),
        ("duration=+20", "fail-on 'duration=+20' is not a valid limit"),
        ("tokens=+5ms", "fail-on 'tokens=+5ms' is not a valid limit; allowed: tokens=+10%, tokens=+100"),
    ],
)
def test_a_list_that_cannot_be_used(given: str, message: str) -> None:
    """It is named, with what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        sample().failures(given)
    assert str(caught.value).startswith(message)


def test_to_dict() -> None:
    """Everything is there as JSON, durations too, whatever they are."""
    found = sample().to_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["differs"], found["counts"]) == (True, {"added": 1, "removed": 1, "changed": 1, "same": 4, "moved": 0})
    assert found["old"] == {
        "flow_id": FLOW,
        "name": "triage",
        "status": "ok",
        "started": 1_700_000_000.0,
        "dropped_count": 0,
    }
    assert found["totals"]["tokens"] == {"old": 10, "new": 12, "delta": 2, "percent": 20.0}
    assert found["spans"][4] == {
        "kind": "changed",
        "moved": False,
        "differences": ["output", "tokens"],
        "depth": 2,
        "label": "ask",
        "path": ["triage", "think", "ask"],
        "node": "llm.call",
        "step": "ask",
        "span_id": {"old": span_id(4), "new": span_id(5, OTHER_FLOW)},
        "status": {"old": "ok", "new": "ok"},
        "duration_ms": {"old": 100, "new": 300, "delta": 200, "percent": 200.0},
        "tokens": {"old": 10, "new": 12, "delta": 2, "percent": 20.0},
        "input_tokens": {"old": 0, "new": 0, "delta": 0, "percent": 0.0},
        "output_tokens": {"old": 0, "new": 0, "delta": 0, "percent": 0.0},
        "cost_usd": {"old": 0.01, "new": 0.01, "delta": 0.0, "percent": 0.0},
        "changes": [{"path": "output.topic", "kind": "changed", "old": "billing", "new": "sales"}],
        "more_changes": 0,
        "cut": [],
        "truncated": [],
    }


@pytest.mark.slow
def test_a_long_way_is_shortened() -> None:
    """A path keeps its first and its last labels, however deep the tree is."""
    flow, parent = Flow(), 1
    for place in range(3000):
        parent = flow.run(f"n{place}", parent=parent)
    log = flow.log()
    found = diff(log, log)
    assert found.spans[-1].depth == 3000
    assert found.spans[-1].path == ("triage", "...", *(f"n{place}" for place in range(2986, 3000)))
    assert len(list(render(found, View(fold=False)))) == 3007


@pytest.mark.parametrize(
    ("given", "cut", "expected"),
    [
        ({"text": "xx…[+9 chars]"}, ["input.text"], ("input.text",)),
        ({"items": [1, "[+3 items]"]}, ["input.items"], ("input.items",)),
        ({"deep": "[depth]"}, ["input.deep"], ("input.deep",)),
        ({"a b": [b"<9 bytes: [REDACTED]>".decode()]}, ['input["a b"][0]'], ('input["a b"][0]',)),
        ("[cut: 90000 characters of JSON]", ["input"], ("input",)),
        ({"password": "[REDACTED]", "text": "the key [REDACTED] …[+9 chars]"}, ["input.password", "input.text"], ("input.text",)),
        ({"password": "[REDACTED]", "url": "https://[REDACTED]@host"}, ["input.password", "input.url"], ()),
        ({"[REDACTED]": 1}, ['input["[REDACTED]"]'], ()),
        ({"[REDACTED]": "xx…[+9 chars]"}, ['input["[REDACTED]"]'], ('input["[REDACTED]"]',)),
        ({"[REDACTED]": {"a": [1, "[+3 items]"]}}, ['input["[REDACTED]"]'], ('input["[REDACTED]"]',)),
        ({"text": "xx…[+9 chars]", "other": "[REDACTED]"}, [], ()),
        ({"password": "[REDACTED]"}, ["input.password", "…"], ("input",)),
        ({"text": 1}, ["input.gone", "inputs", "message", 7, "error.traceback"], ("input.gone",)),
        ({"text": 1}, "input.text", ()),
    ],
)
def test_what_was_cut_off_is_not_proved_equal(given: Any, cut: Any, expected: tuple[str, ...]) -> None:
    """What was only redacted is, and so is a text that merely looks like a cut one; a difference is one, cut or not."""
    old, new = (of(("work", given), data={"cut": cut}) for _ in "ab")
    found = diff(old, new)
    assert found.spans[1].truncated == expected
    assert [found.failures("input"), bool(found)] == [[], False]
    assert found.unproved("output,error,status,nodes,cost=+1%") == []
    assert len(found.unproved("status,input")) == (1 if expected else 0)
    differing = diff(old, of(("work", "other"), data={"cut": cut}))
    assert differing.failures("input") == ["input of 1 span differs: triage / work"]
    assert differing.unproved("input") == []
