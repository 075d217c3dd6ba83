"""Format ``speedscope``: profiles for https://www.speedscope.app (https://www.speedscope.app/file-format-schema.json).

Each lane of a flow is a profile of its own, because all frames of a profile must nest. The profiles of a flow all have the length
of the flow, so that their times can be compared. Where clocks of hosts differ, times are those of ``tree.clocks``; then the names
of the profiles say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ..event import Event, dumps
from ..flow_log import FlowLog, SpanInfo
from ..tree.clocks import drawn, shift_notes
from ..tree.lanes import Placed, micros, place
from ._flow_logs import by_start, marked, title

_HEAD: Final = '{"$schema":"https://www.speedscope.app/file-format-schema.json","exporter":"the_edge_obs","profiles":['


class _Frames:
    """The frames that profiles share: one for each step or node, so that the viewer can add up repeated ones."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], int] = {}

    def of(self, span: SpanInfo, name: str | None) -> int:
        label = marked(span.status, span.step or name or span.node)
        return self.known.setdefault((label, span.node), len(self.known))

    def listed(self) -> list[dict[str, str]]:
        # The viewer gives frames of one file similar colours: here, frames of one node.
        return [{"name": label, "file": node} for label, node in self.known]


def render(events: Iterable[Event], *, dropped: Mapping[str, int]) -> Iterator[str]:
    """Yield one JSON object, with one profile per line."""
    yield _HEAD
    frames, before = _Frames(), "\n"
    for log in map(drawn, by_start(events, dropped)):
        for profile in _profiles(log, frames):
            yield before + dumps(profile)
            before = ",\n"
    if before == "\n":  # the viewer refuses a file without profiles
        yield before + dumps(_profile("no spans", 0, []))
    yield f'\n],"shared":{{"frames":{dumps(frames.listed())}}}}}\n'


def _profiles(log: FlowLog, frames: _Frames) -> Iterator[dict[str, Any]]:
    spans = place(log)
    begin = min((micros(placed.start) for placed in spans), default=0)
    length = max((micros(placed.end) for placed in spans), default=0) - begin
    notes = "".join(f"; {note}" for note in shift_notes(log))
    lanes: dict[int, list[Placed]] = {}
    for placed in spans:
        lanes.setdefault(placed.lane, []).append(placed)
    for lane, own in sorted(lanes.items()):
        name = title(log) + (f", lane {lane + 1}" if lane else "") + notes
        yield _profile(name, length, list(_events(own, begin, log, frames)))


def _profile(name: str, length: int, events: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "evented", "name": name, "unit": "microseconds", "startValue": 0, "endValue": length, "events": events}


def _events(spans: list[Placed], begin: int, log: FlowLog, frames: _Frames) -> Iterator[dict[str, Any]]:
    """Yield the events at which frames open and close on one lane."""
    open_frames: list[tuple[Placed, int]] = []

    def close_up_to(parent_id: str | None) -> Iterator[dict[str, Any]]:
        while open_frames and open_frames[-1][0].span.span_id != parent_id:
            ended, frame = open_frames.pop()
            yield {"type": "C", "frame": frame, "at": micros(ended.end) - begin}

    for placed in spans:
        yield from close_up_to(placed.span.parent_id if placed.inside else None)
        frame = frames.of(placed.span, placed.span.name)
        yield {"type": "O", "frame": frame, "at": micros(placed.start) - begin}
        open_frames.append((placed, frame))
    yield from close_up_to(None)
