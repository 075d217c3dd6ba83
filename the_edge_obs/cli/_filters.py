"""The options that choose runs and events: the same for every command that reads logs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..event import EVENT_TYPES, LEVELS, STATUSES
from ..store.run_filters import ORDERS, choose
from ..store.summaries import FlowSummary

WHEN: Final = "Unix seconds, ISO 8601 (local time without a zone), or relative to now: -30s, -5m, -2h, -1d, -2w"
_CHOICE: Final = ("flow_id", "name", "host", "status", "errors", "attributes")
_PERIOD: Final = ("start_time", "end_time")
_ORDER: Final = ("last", "sort", "limit")


_EVENTS: Final = ("node", "step", "level", "min_level", "event_type", "span_id", "text")


def add_events(parser: argparse.ArgumentParser) -> Callable[..., object]:
    """Add the options that choose events, and return the ``add_argument`` of their group."""
    add = parser.add_argument_group("which events").add_argument
    levels = ", ".join(LEVELS)
    add("--node", metavar="GLOB", action="append", help="* the node, such as llm.call or 'llm.*'")
    add("--step", metavar="GLOB", action="append", help="* the step: the name that a YAML flow gives a node")
    add("--level", metavar="LEVEL", help=f"exactly this level: {levels}")
    add("--min-level", metavar="LEVEL", help="this level or a more severe one")
    add("--event-type", metavar="TYPE", action="append", help=f"* {', '.join(EVENT_TYPES)}")
    add("--since", "--start-time", dest="start_time", metavar="TIME", help=f"not before: {WHEN}")
    add("--until", "--end-time", dest="end_time", metavar="TIME", help="not after; as --since")
    add("--span-id", metavar="ID", action="append", help="* the span")
    add("--text", metavar="TEXT", help="text anywhere in the message or data; case is ignored")
    return add


def events_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the filters of events that were given."""
    return {name: value for name in (*_EVENTS, *_PERIOD) if (value := getattr(args, name)) is not None}


def add_choice(
    parser: argparse.ArgumentParser, *, flow: bool = True, period: bool = True, order: bool = False, last: bool = True
) -> None:
    """Add the options that choose runs.

    Args:
        parser: The command's parser.
        flow: Whether --flow chooses the run. The command has others otherwise.
        period: Whether --since and --until are of a run's start. The command has others otherwise.
        order: Whether the command lists runs, and takes --sort and --limit.
        last: Whether --last is a number of runs.
    """
    add = parser.add_argument_group(
        "which runs", "A filter marked * can be repeated; one of its values has to match."
    ).add_argument
    if flow:
        add("--flow", dest="flow_id", metavar="ID", action="append", help="* the run's flow_id, or the beginning of it")
    add("--name", metavar="GLOB", action="append", help="* the run's name, such as triage or 'tri*'")
    add("--host", metavar="GLOB", action="append", help="* the host on which the run began, such as web-1 or 'web-*'")
    add("--status", metavar="STATUS", action="append", help=f"* {', '.join(STATUSES)}")
    add("--errors", action="store_true", default=None, help="only runs with errors, also handled ones in runs that are ok")
    add(
        "--attribute",
        dest="attributes",
        metavar="KEY=GLOB",
        action="append",
        type=_pair,
        help="a value that the run was given, such as topic=cats; if repeated, all have to match",
    )
    if period:
        add("--since", "--start-time", dest="start_time", metavar="TIME", help=f"runs that started not before: {WHEN}")
        add("--until", "--end-time", dest="end_time", metavar="TIME", help="runs that started not after; as --since")
    if last:
        add("--last", metavar="N", type=int, help="only the latest N runs of those; N is 1 if it is left out")
    if order:
        names = ", ".join(ORDERS)
        add("--sort", metavar="KEY", help=f"{names}; with - in front, the largest first; default start")
        add("--limit", metavar="N", type=int, help="list the first N runs")


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=GLOB, such as topic=cats")
    return key, value


def choice_of(args: argparse.Namespace, *, period: bool = True) -> dict[str, Any]:
    """Return the filters of runs that were given; without a period if the command's --since, --until and --last are of events."""
    given = {name: getattr(args, name, None) for name in ((*_CHOICE, *_PERIOD, *_ORDER) if period else _CHOICE)}
    if given["attributes"] is not None:
        given["attributes"] = dict(given["attributes"])
    return {name: value for name, value in given.items() if value is not None}


def chosen(runs: Iterable[FlowSummary], args: argparse.Namespace) -> list[FlowSummary]:
    """Return the runs that the options choose, in their order."""
    return choose(runs, choice_of(args))
