"""What the file of one run holds, counted while it is written, for the totals in the run's last line.

Readers of lists then need the first and the last line alone. The totals are what ``store.summaries`` counts in the whole file.
They are left out where that is not certain: another run is in the file, a line has a formatter or comes from another process, a
span is not below the root, two events may be the same one, or a line was cut off.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, Final

from ..context import Place
from ..event import COUNTED, MAX_EVENT_BYTES, TOTALS, Event, Total, dumps, happens_once, is_failure, is_number, may_be_root
from ..recording.records import Facts, Item
from .span_stream import SpanStream, error_of

_MOST_MOMENTS: Final = 1_000
_METRICS: Final = b',"metrics":'  # the last one in a line is the event's own key: in a text, its quotes have backslashes
_ANSWERED: Final = b'"answered"'
_KEY: Final = dumps(TOTALS)


class Tally:
    """Counts the lines of one file. It is not thread-safe: the handler locks.

    Most events only open and close a span; ``FlowFileHandler.keep`` counts these inline. Spans with figures or errors go into a
    stream of spans, after the spans around them.

    Args:
        is_sure: Whether the file holds nothing yet, and will hold one flow.

    Attributes:
        spans: The open spans by number, with None for those that the stream knows; None once the totals are not certain.
        size: Bytes that were written.
        lines: Events that were written, without the entries of open spans.
        last: The last wall clock time of an event, in ns.
    """

    __slots__ = (
        "_deep", "_error", "_errors", "_first", "_floor", "_moments", "_root", "_stream", "_sums", "last", "lines",
        "size", "spans",
    )  # fmt: skip

    def __init__(self, is_sure: bool) -> None:
        self.spans: dict[int | None, Place | None] | None = {} if is_sure else None
        self.size = self.lines = self.last = self._first = self._errors = 0
        self._sums: tuple[Total, Total] | None = None  # tokens and cost, from the first span that has some
        self._error: dict[str, str] | None = None
        self._root: Place | None = None
        self._deep: dict[int, Place] = {}  # the open spans that the stream knows
        self._stream: SpanStream | None = None  # until a span has figures or an error
        self._moments: set[int] = set()
        self._floor = -1

    def give_up(self) -> None:
        """Leave the totals out from now on."""
        if self.spans is not None:
            self.spans, self._stream = None, None
            self._deep.clear()
            self._moments.clear()

    def count(self, item: Item, line: bytes) -> None:
        """Count a line that was written."""
        if self.spans is None:
            return
        try:
            is_sure = self._took(item, line) if isinstance(item, tuple) else self._took_record(item)
        except Exception:  # noqa: BLE001 - observability never breaks what it observes: the totals are left out
            is_sure = False
        if is_sure:
            self.size += len(line)
        else:
            self.give_up()

    def ended(self, item: Item, line: bytes) -> bytes:
        """Return the line of an event that may be the run's last one: with totals if it is, and if they are certain."""
        root = self._root
        if self.spans is None or root is None or type(item) is not tuple or (item[0] is not root and item[0][:4] != root[:4]):
            return line  # such as an error that was logged by hand
        try:
            totals = self._totals(item, line, root)
        except Exception:  # noqa: BLE001 - observability never breaks what it observes: the totals are left out
            totals = None
        self.give_up()
        whole = line if totals is None else _with_totals(line, totals)
        return whole if len(whole) <= MAX_EVENT_BYTES else line

    def _totals(self, facts: Facts, line: bytes, root: Place) -> str | None:
        """Return the totals as JSON, which is ``dumps`` of a dict; None if they are not certain."""
        if b'"totals"' in line or not self._took(facts, line):
            return None
        if len(self.spans or ()) > (root[2] is not None):  # a span is open: what it logs comes later, or never
            return None
        start, end = self._first // 1000 / 1e6, self.last // 1000 / 1e6
        error = "null" if self._error is None else dumps(self._error)
        tokens, cost = (self._sums[0].value(), round(self._sums[1].value(), 12)) if self._sums else (0, 0)
        if not (isfinite(tokens) and isfinite(cost)):
            return None
        return (
            f'{{"bytes":{self.size},"events":{self.lines},"start":{start!r},"end":{end!r},"errors":{self._errors},'
            f'"error":{error},"tokens":{tokens!r},"cost_usd":{cost!r}}}'
        )

    def _took(self, facts: Facts, line: bytes) -> bool:
        """Count the event of a line; return False if the totals are not certain any more."""
        place, (kind, _), wall, root = facts[0], facts[1], facts[3], self._root  # by index: each short flow passes here
        if root is None:
            return self._began(place, kind, wall)
        if wall > self.last:
            self.last = wall
        if wall < self._first:
            self._first = wall
        if place[1] == root[2] or (not happens_once(kind) and self._may_repeat(wall // 1000)):
            return False
        if kind == "entry":
            return self._entered(place, line)
        self.lines += 1
        return kind == "log" or self._told(place, facts, line)

    def _took_record(self, event: Event) -> bool:
        """Count a record of another library; return False for an event that comes from another process."""
        micros = round(event["timestamp"] * 1e6)
        if self._root is None or event["event_type"] != "log" or micros / 1e6 != event["timestamp"] or self._may_repeat(micros):
            return False
        self.last, self._first = max(self.last, micros * 1000), min(self._first, micros * 1000)
        self.lines += 1
        return True

    def _began(self, place: Place, kind: str, wall: int) -> bool:
        if kind != "entry" or not may_be_root(place[3], place[2]):
            return False
        self._root, self._first, self.last = place, wall, wall
        # The parent of another process is there so that a span with its number is noticed.
        self.spans = {place[1]: None} if place[2] is None else {place[1]: None, place[2]: None}
        self._deep[place[1]] = place
        return True

    def _entered(self, place: Place, line: bytes) -> bool:
        spans = self.spans or {}
        if place[2] not in spans or place[1] in spans or may_be_root(place[3], place[2]):
            return False
        spans[place[1]] = place
        return _ANSWERED not in line or self._feed(_loaded(place, line), place[1])

    def _told(self, place: Place, facts: Facts, line: bytes) -> bool:
        """Count an event of a span other than its entry, with its figures and errors."""
        (kind, key), metrics, number = facts[1], facts[6], place[1]
        spans, deep = self.spans or {}, self._deep
        is_open = number in spans
        known = deep.get(number) or spans.get(number)
        is_own = known is not None and known[3] == place[3]
        if kind == "error":
            if not is_open and place[2] not in spans:
                return False
            return self._feed(_loaded(place, line), number if is_open else place[2])
        is_exit = happens_once(kind)
        if not is_open or (is_exit and not is_own):
            return False
        figures = _figures(metrics) if isinstance(metrics, dict) else {}
        if key is None and _ANSWERED in line:
            return self._feed(_loaded(place, line), number)
        if (number in deep and (figures or self._stream is not None)) or (figures and not is_exit):
            return self._feed(_light(kind, place, figures), number)
        if is_exit:
            deep.pop(number, None)
            del spans[number]
            self.lines += 1
        return not figures or self._leaf(place[2], figures)

    def sums(self, parent: int | None, metrics: Any) -> bool:
        """Add the figures of the exit of a span that the stream does not know; return whether they are counted then."""
        try:
            return type(metrics) is dict and (not (figures := _figures(metrics)) or self._leaf(parent, figures))
        except Exception:  # noqa: BLE001 - observability never breaks what it observes: the totals are left out
            self.give_up()
            return False

    def _leaf(self, parent: int | None, figures: dict[str, Any]) -> bool:
        stream = self._deepen(parent)
        return stream is not None and self._sum_up(stream.add_leaf(parent, figures))

    def _feed(self, event: Event, number: int | None) -> bool:
        """Add an event to the stream of spans, after the entries of a span and of those around it."""
        if (stream := self._deepen(number)) is None:
            return False
        if self._error is None:
            self._error = error_of(event)
        ended = stream.add(event)
        if ended is None:
            self._errors += is_failure(event)  # logged by hand
            return True
        if event["span_id"] in self._deep:
            del self._deep[event["span_id"]]
            (self.spans or {}).pop(event["span_id"])
            self.lines += 1
        self._errors += ended.errors
        return self._sum_up(ended.figures)

    def _sum_up(self, figures: dict[str, float]) -> bool:
        if figures:
            tokens, cost = self._sums = self._sums or (Total(), Total())
            if "tokens" in figures:
                tokens.add(figures["tokens"])
            if "cost_usd" in figures:
                cost.add(figures["cost_usd"])
        return True

    def _deepen(self, number: int | None) -> SpanStream | None:
        """Return the stream, which then knows a span and those around it; None for a span that is below the root's parent."""
        stream, spans, chain = self._stream, self.spans or {}, []
        if stream is not None and number in self._deep:
            return stream
        if stream is None and self._root is not None:
            stream = self._stream = SpanStream()
            stream.add(_light("entry", self._root))
        while number not in self._deep and (place := spans.get(number)) is not None:
            chain.append(place)
            number = place[2]
        if stream is not None:
            for place in reversed(chain):
                stream.add(_light("entry", place))
                self._deep[place[1]], spans[place[1]] = place, None
        return stream if number in self._deep or number not in spans else None

    def _may_repeat(self, micros: int) -> bool:
        """Tell whether an event may be a repeated one: readers take two events with the same time and content for one."""
        if micros <= self._floor or micros in self._moments:
            return True
        if len(self._moments) >= _MOST_MOMENTS:
            self._floor = max(self._moments)
            self._moments.clear()
            return self._may_repeat(micros)
        self._moments.add(micros)
        return False


UNSURE: Final = Tally(is_sure=False)
"""The tally of each file whose totals are not certain: it counts nothing that is used."""


def _figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what of metrics counts; they are written as they are."""
    return {
        key: value for key in COUNTED if key in metrics and (value := metrics[key]) and (type(value) is int or is_number(value))
    }


def _light(kind: str, place: Place, metrics: dict[str, Any] | None = None) -> Event:
    """Return an event as a stream of spans needs it, with numbers for ids."""
    _, number, parent, node, _ = place
    return {"event_type": kind, "span_id": number, "parent_id": parent, "node": node, "metrics": metrics or {}, "data": {}}


def _loaded(place: Place, line: bytes) -> Event:
    """Return the event of a line as it is written, with numbers for ids."""
    return {**json.loads(line), "span_id": place[1], "parent_id": place[2]}


def _with_totals(line: bytes, totals: str) -> bytes:
    """Return a line with totals as the last key of its data."""
    at = line.rindex(_METRICS) - 1
    comma = "" if line[at - 1 : at] == b"{" else ","
    return b"%b%b%b" % (line[:at], f"{comma}{_KEY}:{totals}".encode("utf-8", "replace"), line[at:])
