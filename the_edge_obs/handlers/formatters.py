"""The formatters: events as JSON lines, and as readable lines for the console."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final, Literal

from pythonjsonlogger.json import JsonFormatter as _BaseJsonFormatter

from ..event import CHECKED_METRICS, MAX_EVENT_BYTES, Event, dumps, headline
from ..recording.records import event_of, loose_event
from ..redaction.marks import MAX_PATH, MAX_PATHS, MORE, inside
from ..text import printable, uses_colour


class JsonFormatter(_BaseJsonFormatter):
    """Format any record as one event: one line of strict JSON (RFC 8259), at most 64 KiB of UTF-8.

    A record outside any flow has null ids. The keys are those of the event schema, so the options of python-json-logger that
    select or rename fields have no effect.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's event as a line of JSON, without a newline."""
        return to_line(event_of(record) or loose_event(record))


# orjson writes floats with an exponent, and very small ones, differently from json. The search starts after the ids, which
# often have a digit before an e.
_EXPONENT: Final = re.compile(rb"[0-9]e")


def _line_encoder() -> Callable[[Event], str]:
    """Return the encoder of scrubbed events: orjson where it is installed (extra ``fast``), with the same bytes, else json."""
    try:
        import orjson
    except ImportError:
        return dumps

    def encode(event: Event) -> str:
        try:
            line = orjson.dumps(event)
        except TypeError:  # json accepts more than orjson, such as subclasses of str as keys
            return dumps(event)
        if b".0000" in line or _EXPONENT.search(line, max(0, line.find(b',"timestamp":'))):
            return dumps(event)
        return line.decode("utf-8")

    return encode


_encoded: Final = _line_encoder()


def to_line(event: Event) -> str:
    """Return an event as one line of strict JSON. Above 64 KiB, long data is left out, and the line says so; metrics stay."""
    line = _encoded(event)
    # A character takes at most 4 bytes, so the exact size is needed only near the cap.
    if len(line) <= MAX_EVENT_BYTES // 4 or len(line.encode("utf-8", "replace")) <= MAX_EVENT_BYTES:
        return line
    # Data is left out first, then keys and metrics. The last attempt is always far below the cap.
    for room, keys, small in ((2_048, 50, 256), (512, 20, 128), (64, 8, 64)):
        line = dumps(_without_data(event, room, keys, small))
        if len(line.encode("utf-8", "replace")) <= MAX_EVENT_BYTES:
            break
    return line


def _without_data(event: Event, room: int, keys: int, small: int) -> Event:
    """Return an event without its long data.

    These stay: the size of what was left out, ``room`` characters of texts, the first ``keys`` keys and metrics, and values of
    at most ``small`` characters of JSON. So a root keeps its name, and a replay keeps its origin.
    """
    data, cut = _short_data(event["data"], keys, small)
    if len(event["data"]) > keys:
        data["…"] = f"[+{len(event['data']) - keys} items]"
        cut.append(MORE)
    if isinstance(error := event["data"].get("error"), dict):
        data["error"] = {"type": str(error.get("type"))[:256], "message": str(error.get("message"))[:room]}
    # The figures of the schema first: totals are computed from them.
    own = {key: value for key, value in event["metrics"].items() if key in CHECKED_METRICS}
    metrics = {**own, **{key[:64]: value for key, value in islice(event["metrics"].items(), keys) if key not in own}}
    before = event["metrics"].get("…") or 0  # metrics that were left out earlier
    if rest := len(event["metrics"].keys() - {"…"}) - len(metrics.keys() - {"…"}):
        metrics["…"] = before + rest
    message = event["message"] and event["message"][:room]
    is_cut = message != event["message"] or "message" in _paths(event["data"])
    data["cut"] = cut + (["message"] if is_cut else [])
    named: dict[str, Any] = {key: event[key][:512] for key in ("node", "step") if key in event}
    return {**event, **named, "message": message, "data": data, "metrics": metrics}


def _short_data(data: Mapping[str, Any], keys: int, small: int) -> tuple[dict[str, Any], list[str]]:
    """Return the first keys of data without ``error`` and ``cut``, long values as their size; and the paths that are cut."""
    short: dict[str, Any] = {}
    cut: list[str] = []
    before = _paths(data)
    for key, value in islice(data.items(), keys):
        if key == "cut":
            continue
        path, size, is_error = inside("", key[:64]), len(dumps(value)), key == "error" and isinstance(value, dict)
        if is_error or size > small or len(key) > 64:
            cut.append(path)
        else:
            cut += [inner[:MAX_PATH] for inner in before if inner == path or inner.startswith((f"{path}.", f"{path}["))]
        if not is_error:
            short[key[:64]] = f"[cut: {size} characters of JSON]" if size > small else value
    return short, cut[:MAX_PATHS]


def _paths(data: Mapping[str, Any]) -> list[str]:
    paths = data.get("cut")
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


_COLOURS: Final = {"debug": "2", "info": "36", "warn": "33", "error": "31;1"}


class ConsoleFormatter(logging.Formatter):
    """Format any record as one readable line: time, level, node, step, what happened.

    Args:
        fmt, datefmt, style: Ignored; ``fileConfig``, and ``class:`` in a dictConfig, pass them to every formatter.
        verbose: Add the data, as JSON, and the traceback if there is one. Default False.
        colour: Use ANSI colours. Default False, because a formatter does not know where its handler writes. None: use them if
            stderr, the default of ``StreamHandler``, can show them when the formatter is created, unless ``NO_COLOR`` is set.
        date: Write the date and the offset from UTC with the time of day. Default False.

    Control characters are escaped, so no message can forge a line or control a terminal.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        *,
        verbose: bool = False,
        colour: bool | None = False,
        date: bool = False,
    ) -> None:
        super().__init__()
        self.verbose = verbose
        self.date = date
        self.colour = uses_colour(sys.stderr) if colour is None else colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line; with ``verbose``, indented lines of data follow."""
        event = event_of(record) or loose_event(record)
        level = f"{event['level']:<5}"
        if self.colour:
            level = f"\x1b[{_COLOURS[event['level']]}m{level}\x1b[0m"
        step = f" [{printable(event['step'])}]" if event.get("step") else ""
        clock = _clock(event["timestamp"], self.date)
        line = f"{clock} {level} {printable(headline(event))}{step}{printable(_tokens(event['metrics']))}"
        return line + self._details(event) if self.verbose else line

    def _details(self, event: Event) -> str:
        data = dict(event["data"])
        error = data.pop("error", None)
        lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in data.items()]
        if isinstance(error, dict):
            lines += str(error.get("traceback", "")).splitlines()
        return "".join(f"\n    {printable(line)}" for line in lines)


def _clock(seconds: float, date: bool) -> str:
    """Return the local time of day with milliseconds, or the number itself if it is outside the calendar."""
    try:
        moment = time.localtime(seconds)
        clock = f"{time.strftime('%H:%M:%S', moment)}.{int(seconds % 1 * 1000):03d}"
        if not date:
            return clock
        zone = time.strftime("%z", moment)
        return f"{time.strftime('%Y-%m-%d', moment)} {clock}{zone[:-2]}:{zone[-2:]}"
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _tokens(metrics: Mapping[str, Any]) -> str:
    return f" {metrics['tokens']} tokens" if metrics.get("tokens") else ""
