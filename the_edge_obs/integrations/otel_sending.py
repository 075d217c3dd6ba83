"""Send logged spans to a receiver of OTLP, each once, and remember beside the log what was accepted.

A span is complete when its end was read. What is sent is remembered only after the receiver has accepted it; a sender that is
killed in between sends one batch again, with the same ids.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from .. import ExportError, SpanRecord
from ..event import ENDS, Event, dumps, resource_of
from ..files import open_for_appending, open_regular
from ..formats.otlp import UNKNOWN_RESOURCE, Translator, resource_attributes, span_id_of, trace_id_of
from ..handlers.span_records import span_record
from .otel import WHY, check_arguments, client_of

_BATCH: Final = 512

_Key: TypeAlias = "tuple[str, str]"
"""A span: its flow's id, and its own. Those of other writers may be equal in several flows."""


class Accepted:
    """The spans that a receiver has accepted, in a file: one line of JSON per batch and flow, appended in one write.

    A line that is cut off, because the program or the machine was stopped, is skipped.

    Args:
        path: The file, which need not exist.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended: set[int] = set()
        self._open: set[int] = set()  # sent before they had ended
        try:
            with open_regular(path, follow=False) as file:
                self._read(file)
        except FileNotFoundError:
            pass

    def _read(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            try:
                told = json.loads(line)
                prefix = int(trace_id_of(told["flow_id"])[:16], 16) << 64
                for ids, known in ((told["ended"], self._ended), (told["open"], self._open)):
                    known.update(prefix | int(span_id, 16) for span_id in ids)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue

    def has(self, span: _Key, *, ended: bool) -> bool:
        """Tell whether a span was accepted, as it is now: one that was still open is another when it has ended."""
        number = _number(span)
        return number in self._ended or (not ended and number in self._open)

    def note(self, spans: Iterable[SpanRecord]) -> None:
        """Remember spans.

        Raises:
            OSError: the file cannot be written.
        """
        flows: dict[str, tuple[list[str], list[str]]] = {}
        for span in spans:
            is_open = span.end is None
            (self._open if is_open else self._ended).add(_number((span.flow_id, span.span_id)))
            flows.setdefault(span.flow_id, ([], []))[is_open].append(span_id_of(span.span_id))
        # A newline first: the line before may have been cut off.
        lines = [f"\n{dumps({'flow_id': flow_id, 'ended': ended, 'open': still})}" for flow_id, (ended, still) in flows.items()]
        descriptor, _ = open_for_appending(self._path)
        try:
            os.write(descriptor, ("".join(lines) + "\n").encode())
        finally:
            os.close(descriptor)


def _number(span: _Key) -> int:
    flow_id, span_id = span
    return int(trace_id_of(flow_id)[:16] + span_id_of(span_id), 16)


class EventSender:
    """Collects events to spans, and sends those that have ended.

    Args:
        endpoint, headers, content: As in ``OtlpHandler``.
        accepted: What was accepted before.

    Attributes:
        sent: How many spans were sent.
        known: How many had been accepted before.
        forgotten: Why what was accepted could not be remembered, or None.

    Raises:
        MissingExtraError: the extra ``otel`` is not installed.
        ConfigurationError: an argument is not valid.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str] | None, accepted: Accepted, *, content: bool = True) -> None:
        check_arguments(endpoint, headers, None, content)
        self._endpoint, self._accepted, self._translator = endpoint, accepted, Translator(content=content)
        self._client = client_of("send", endpoint, headers, None)
        self._open: dict[_Key, list[Event]] = {}
        self._ended: dict[_Key, list[Event]] = {}  # these wait to be sent
        self._latest: dict[str, Mapping[str, Any]] = {}  # by flow, the last resource that was named
        self._resources: dict[_Key, Mapping[str, Any]] = {}  # by span, until it is sent
        self.sent = self.known = 0
        self.forgotten: OSError | None = None

    @property
    def is_full(self) -> bool:
        """Whether a batch waits."""
        return len(self._ended) >= _BATCH

    def add(self, event: Event) -> None:
        """Add an event; the events of a span come in the order in which they were logged."""
        kind, span = event["event_type"], (event["flow_id"], event["span_id"])
        if (resource := resource_of(event)) is not None:
            self._latest[event["flow_id"]] = self._resources[span] = resource_attributes(resource)
        if (waiting := self._ended.get(span)) is not None:
            waiting.append(event)  # late, but not too late
        elif not self._accepted.has(span, ended=True):
            self._collect(kind, span, event)
        elif kind in ENDS:
            self.known += 1
            self._resources.pop(span, None)

    def _collect(self, kind: str, span: _Key, event: Event) -> None:
        events = self._open.get(span)
        if events is None and kind == "log":
            return  # of a span whose entry was filtered
        if events is None:
            # That of its process: its parent has it; the logs of several processes are read one after the other.
            flow_id, parent_id = event["flow_id"], event["parent_id"] or ""
            above = self._resources.get((flow_id, parent_id)) or self._latest.get(flow_id, UNKNOWN_RESOURCE)
            self._resources.setdefault(span, above)
        events = self._open.setdefault(span, [])
        events.append(event)
        begun = next((one for one in events if one["event_type"] == "entry"), None)
        # An error that was logged by hand, for another node, is not the end.
        if kind in ENDS and (begun is None or begun["node"] == event["node"]):
            self._ended[span] = self._open.pop(span)

    def open_flows(self) -> set[str]:
        """Return the ids of flows with open spans."""
        return {flow_id for flow_id, _ in self._open}

    def give_up(self, flows: Collection[str] | None = None) -> None:
        """Have the open spans of flows sent as they are: their process is presumed dead.

        Args:
            flows: The ids of flows. Default None: all.
        """
        for span in [one for one in self._open if flows is None or one[0] in flows]:
            events = self._open.pop(span)
            if self._accepted.has(span, ended=False):
                self.known += 1
            else:
                self._ended[span] = events

    def send(self) -> Iterator[int]:
        """Send what waits, and yield after each batch how many spans it had. What was not accepted waits further.

        Raises:
            ExportError: the receiver did not take a batch.
        """
        while self._ended:
            batch = list(self._ended)[:_BATCH]
            spans = [span for key in batch if (span := span_record(self._ended[key])) is not None]
            if spans and not self._client.send(map(self._with_resource, spans)):
                raise ExportError(f"{self._endpoint!r} did not take {len(spans)} spans, after {self.sent} that were sent; {WHY}")
            for key in batch:
                del self._ended[key]
                self._resources.pop(key, None)
            self.sent += len(spans)
            try:
                self._accepted.note(spans)
            except OSError as error:
                self.forgotten = error
            yield len(spans)

    def _with_resource(self, span: SpanRecord) -> tuple[Any, Mapping[str, Any]]:
        return self._translator.translate(span), self._resources.get((span.flow_id, span.span_id), UNKNOWN_RESOURCE)
