"""Format ``speedscope``: profiles for https://www.speedscope.app, as https://www.speedscope.app/file-format-schema.json has it.

Each lane of a flow is a profile of its own, for in a profile all frames lie inside each other. The profiles of a flow have its
whole length, so that their times can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ..event import Event, dumps
from ..flow_log import FlowLog, SpanInfo
from ..tree.lanes import Placed, micros, place
from ._flow_logs import by_start, marked, title

_HEAD: Final = '{"$schema":"https://www.speedscope.app/file-format-schema.json","exporter":"the_edge_obs","profiles":['


class _Frames:
    """The frames that profiles share: one for each step or node, so that the viewer can add up what ran often."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], int] = {}

    def of(self, span: SpanInfo, name: str | None) -> int:
        label = marked(span.status, span.step or name or span.node)
        return self.known.setdefault((label, span.node), len(self.known))

    def listed(self) -> list[dict[str, str]]:
        # Frames of one file have like colours, and here those of one node.
        return [{"name": label, "file": node} for label, node in self.known]


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield one JSON object, with a profile a line."""
    yield _HEAD
    frames, before = _Frames(), "\n"
    for log in by_start(events, dropped):
        for profile in _profiles(log, frames):
            yield before + dumps(profile)
            before = ",\n"
    if before == "\n":  # the viewer takes no file without a profile
        yield before + dumps(_profile("no spans", 0, []))
    yield f'\n],"shared":{{"frames":{dumps(frames.listed())}}}}}\n'


def _profiles(log: FlowLog, frames: _Frames) -> Iterator[dict[str, Any]]:
    spans = place(log)
    begin = min((micros(one.start) for one in spans), default=0)
    length = max((micros(one.end) for one in spans), default=0) - begin
    lanes: dict[int, list[Placed]] = {}
    for one in spans:
        lanes.setdefault(one.lane, []).append(one)
    for lane, own in sorted(lanes.items()):
        name = title(log) + (f", lane {lane + 1}" if lane else "")
        yield _profile(name, length, list(_events(own, begin, log, frames)))


def _profile(name: str, length: int, events: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "evented", "name": name, "unit": "microseconds", "startValue": 0, "endValue": length, "events": events}


def _events(spans: list[Placed], begin: int, log: FlowLog, frames: _Frames) -> Iterator[dict[str, Any]]:
    """Yield where frames open and close on one lane."""
    around: list[tuple[Placed, int]] = []

    def closing(parent_id: str | None) -> Iterator[dict[str, Any]]:
        while around and around[-1][0].span.span_id != parent_id:
            ended, frame = around.pop()
            yield {"type": "C", "frame": frame, "at": micros(ended.end) - begin}

    for one in spans:
        yield from closing(one.span.parent_id if one.inside else None)
        frame = frames.of(one.span, one.span.name)
        yield {"type": "O", "frame": frame, "at": micros(one.start) - begin}
        around.append((one, frame))
    yield from closing(None)
