"""Readers under fuzz: logs, flow files and templates, made from good ones by damage."""

from __future__ import annotations

import gzip
import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.errors import FlowFileError, FlowRunError, LogFileError
from the_edge_obs.event import dumps
from the_edge_obs.flows import load
from the_edge_obs.jsonl import Skipped, read_events

from ..strategies import flows as whole_flows
from .guards import ends_within

_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
_EXAMPLES = Path(__file__).parents[2] / "examples"

# --- logs ---

_BYTES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\x00", b"\xff", b"\xc3", b"{", b"}", b'"', b"\\", b"1e999", b"NaN", b"\xef\xbb\xbf"]),
    st.sampled_from([b"[" * 400, b"9" * 400]),
)


@st.composite
def _damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw what is left of a file after some cuts, swaps and insertions."""
    for _ in range(draw(st.integers(0, 4))):
        at, size = draw(st.integers(0, len(whole))), draw(st.integers(0, 40))
        whole = whole[:at] + draw(_BYTES) + whole[at + size :]
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole


@given(data=st.data(), events=whole_flows(max_spans=4), packed=st.booleans())
def logs(data: st.DataObject, events: list[dict[str, Any]], packed: bool) -> None:
    """A damaged log gives events and an account of the rest, or a LogFileError; lines that no damage reached are all there."""
    lines = [dumps(event).encode("utf-8") + b"\n" for event in events]
    whole = b"".join(lines)
    raw = data.draw(_damaged(gzip.compress(whole, mtime=0) if packed else whole))
    path = _FOLDER / ("log.jsonl.gz" if packed else "log.jsonl")
    path.write_bytes(raw)
    skipped = Skipped()
    found: list[dict[str, Any]] = []
    with ends_within(10), suppress(LogFileError):
        found.extend(read_events(path, skipped))
    assert all(isinstance(event, dict) and isinstance(event["flow_id"], str) for event in found)
    for event in found:
        json.loads(dumps(event))
    if not packed:
        left = set(raw.splitlines(keepends=True))
        assert [event for event, line in zip(events, lines, strict=True) if line in left and event not in found] == []
        assert len(found) + skipped.lines <= len(raw.split(b"\n"))


# --- flow files ---

_GOOD = [path.read_text("utf-8") for path in sorted(_EXAMPLES.rglob("*.yaml"))]
_BITS = st.one_of(
    st.text(max_size=6),
    st.sampled_from("&a *a <<: ! !!python/object:os.system !!binary | > - ? : {{ }} {% %} [ ] { } # ' \" %YAML --- ...".split()),
    st.sampled_from(
        "~ null yes 0x1F 1:20:30 1_000 .inf 2024-05-01 nodes: edges: uses: with: goto: __start__ run: steps:".split()
    ),
    st.sampled_from(["\x00", "\x07", "\x1b", "\ufeff", "\u2028", "\t"]),
    st.builds(
        lambda bit, times: bit * times, st.sampled_from(["[", "{", "(", "- ", "a: ", "1:", "'", "\n"]), st.integers(2, 300)
    ),
)


@st.composite
def _flow_texts(draw: st.DrawFn) -> str:
    """Draw a flow file with some of its lines lost, doubled, moved in or broken."""
    lines = draw(st.sampled_from(_GOOD)).split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        line, bit = lines[at], draw(_BITS)
        cut = draw(st.integers(0, len(line)))
        broken = line[:cut] + bit + line[cut:]
        ways = [[broken], [bit], [""], [line, line], ["  " + line], [line.lstrip()], [line[:cut]]]
        lines[at : at + 1] = draw(st.sampled_from(ways))
    return "\n".join(lines)


@given(text=_flow_texts())
def flows(text: str) -> None:
    """A damaged flow file loads, or is refused with a FlowFileError of one line that can be printed; nothing of it runs."""
    path = _FOLDER / "flow.yaml"
    path.write_text(text, "utf-8", "surrogatepass")
    with ends_within(10):
        problem = _refusal(path)
    assert "\n" not in problem


def _refusal(path: Path) -> str:
    try:
        load(path, allow_code=False)
    except FlowFileError as error:
        return str(error)
    return ""


# --- templates ---

_PARTS = st.one_of(
    st.sampled_from(
        "{{ }} {% %} {%- -%} {# #} ( ) [ ] | + * // % == in is not and or if else for x in range(9) endfor endif".split()
    ),
    st.sampled_from(
        "state state.items state.text state.none state['a'] state.a.b.c state.list variables env settings ${name}".split()
    ),
    st.sampled_from(
        "'x' \"y\" 1 0 -1 1e9 9**9**9 none true [1,2] {'a':1} lipsum(9) cycler() dict(a=1) namespace() ${other}".split()
    ),
    st.sampled_from(
        "|upper |int |float |join |length |tojson |fromjson |sort |list |batch(3) |replace('a','b') |default('d')".split()
    ),
    st.sampled_from("|map(attribute='a') |center(100000) |indent .__class__ .__globals__ .append(1) .update(a=1) .pop()".split()),
    st.text(max_size=5),
)
_TEMPLATES = st.one_of(
    st.lists(_PARTS, min_size=1, max_size=8).map(" ".join),
    st.lists(_PARTS, min_size=1, max_size=6).map(lambda parts: f"{{{{ {' '.join(parts)} }}}}"),
    st.lists(_PARTS, min_size=1, max_size=5).map(lambda parts: f"{{% for x in state.list %}}{' '.join(parts)}{{% endfor %}}"),
)


@given(template=_TEMPLATES)
def templates(template: str) -> None:
    """A template renders, or is refused when its flow is loaded or fails as a FlowRunError; it changes nothing of the state."""
    flow_dict = {
        "name": "fuzz",
        "variables": {"name": "kestrel"},
        "observability": {"enabled": False},
        "nodes": [{"name": "say", "uses": "say", "with": {"text": template}}],
    }
    state = {"text": "some text", "list": [1, 2, 3], "a": {"b": {"c": [4]}}, "none": None}
    before = json.dumps(state)
    with ends_within(10), suppress(FlowFileError, FlowRunError):
        load(flow_dict, actions={"say": lambda state, text: {"said": True}}).run(state)
    assert json.dumps(state) == before
