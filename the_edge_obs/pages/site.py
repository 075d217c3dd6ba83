"""Write all runs of a log as pages: one page per run, and an index that links to them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ..errors import ExportError
from ..event import ROOT_NODE, STATUSES, Event, is_failure, is_uuid
from ..files import write_atomically
from ..flow_log import FlowLog, build_flow_log
from ..jsonl import Skipped
from ..store.paths import LogPaths, paths_of
from ..store.sources import iter_query
from ..text import clock_text, counted
from ..tree.drawing import error_text
from . import render_page, run_page

INDEX: Final = "index.html"

_PAGES: Final = Path(__file__).parent
_PARTS: Final = ("theme", "nodes", "index_runs", "index_chart", "index_nodes")
_MAX_ERROR: Final = 300  # characters
_MAX_DURATIONS: Final = 50  # of one node in one run
_MAX_NAMES: Final = 200  # that can be chosen
_COLUMNS: Final = (
    ("run", False),
    ("status", False),
    ("started", False),
    ("duration", True),
    ("errors", True),
    ("nodes", True),
    ("tokens", True),
    ("cost", True),
    ("flow", False),
)


def write_site(
    log: LogPaths,
    folder: str | os.PathLike[str],
    skipped: Skipped | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
    **filters: Any,
) -> int:
    """Write a page for each run of a log, ``run-<flow_id>.html``, and then ``index.html``; return how many runs there are.

    The log is read twice, so that a run can be written as soon as its last event has been read: memory holds the runs that are
    interleaved, and a row of each run for the index, not the log. Each file is written completely or not at all. If not all of
    them can be written, those that did not exist before are removed again.

    Args:
        log: Log files and folders of them.
        folder: The folder for the pages; it is created if it does not exist.
        skipped: Records the lines that were skipped.
        progress: Called after each run with the number of runs that are done and the number of all runs.
        **filters: Which events, as in ``obs.query``. Default: all.

    Raises:
        LogFileError: the log cannot be read, or holds no events.
        ExportError: the folder cannot be written to.
    """
    folder, skipped = Path(folder), skipped or Skipped()
    paths = paths_of(log)
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"path {str(folder)!r} is a file; the pages of several runs need a folder: choose another path")
    left = Counter(event["flow_id"] for event in iter_query(paths, Skipped(), **filters))
    rows = _Rows()
    with _all_or_none(folder) as new:
        for run in _complete(iter_query(paths, skipped, **filters), dict(left), skipped):
            name = _file_name(run.flow_id)
            if not (folder / name).exists():
                new.append(name)
            write_atomically(folder / name, run_page(run, INDEX))
            rows.add(run, name)
            progress(len(rows.runs), len(left))
        write_atomically(folder / INDEX, _index(paths, rows))
    return len(rows.runs)


@contextmanager
def _all_or_none(folder: Path) -> Iterator[list[str]]:
    """Yield a list for the names of new files; if the block fails, remove those files and the folders created for them."""
    new: list[str] = []
    new_folders = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        yield new
    except BaseException:
        for remove in (*((folder / name).unlink for name in new), *(path.rmdir for path in new_folders)):
            with suppress(OSError):
                remove()
        raise


def _file_name(flow_id: str) -> str:
    # A log may be hostile: an id that is not a UUID could be a path out of the folder, or too long for a file name.
    return f"run-{flow_id if is_uuid(flow_id) else hashlib.sha256(repr(flow_id).encode('utf-8')).hexdigest()[:32]}.html"


def _complete(events: Iterator[Event], left: dict[str, int], skipped: Skipped) -> Iterator[FlowLog]:
    """Yield the log of each flow after its last event. Events that were written since they were counted are left out."""
    open_flows: dict[str, list[Event]] = {}
    for event in events:
        flow_id = event["flow_id"]
        if not left.get(flow_id):
            continue
        open_flows.setdefault(flow_id, []).append(event)
        left[flow_id] -= 1
        if not left[flow_id]:
            yield build_flow_log(open_flows.pop(flow_id), dropped=skipped.dropped.get(flow_id, 0))


class _Rows:
    """What the index says of each run.

    A run is ``[name, status, start, started, duration_ms, errors, first error, nodes, tokens, cost, flow id, page, figures]``,
    with the number of its status. ``figures`` has of each node ``[node, count, errors, total_ms, max_ms, tokens, cost, ended,
    *durations]``: the number of the node's name, how many of its spans have an end, and up to 50 durations in milliseconds that
    stand for all of them, in ascending order and with four digits.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, int] = {}
        self.runs: list[list[Any]] = []

    def add(self, log: FlowLog, page: str) -> None:
        """Add a run."""
        metrics, start = log.metrics, log.events[0]["timestamp"]
        run = [log.name or "?", STATUSES.index(log.status), start, clock_text(start), metrics["total_duration_ms"]]
        run += [metrics["error_count"], _first_error(log), metrics["node_count"], metrics["tokens"], metrics["cost_usd"]]
        self.runs.append([*run, log.flow_id, page, [*self._figures(log)]])

    def _figures(self, log: FlowLog) -> Iterator[list[Any]]:
        own = {root.span_id for root in log.roots if root.node == ROOT_NODE}
        durations: dict[str, list[float]] = {}
        for span in log.spans:
            if span.duration_ms is not None and span.span_id not in own:
                durations.setdefault(span.node, []).append(span.duration_ms)
        for node, figures in log.metrics["nodes"].items():
            ended = durations.get(node, [])
            known = [figures[key] for key in ("count", "errors", "total_ms", "max_ms", "tokens", "cost_usd")]
            yield [self.nodes.setdefault(node, len(self.nodes)), *known, len(ended), *_sample(sorted(ended))]


def _first_error(log: FlowLog) -> str:
    errors = (event["data"].get("error") for event in log.events if is_failure(event))
    return next((error_text(error)[:_MAX_ERROR] for error in errors if error), "")


def _sample(ordered: list[float]) -> list[float]:
    """Return all values, or of many the middle one of each of 50 equal parts; with four digits."""
    count = len(ordered)
    if count > _MAX_DURATIONS:
        ordered = [ordered[int((part + 0.5) * count / _MAX_DURATIONS)] for part in range(_MAX_DURATIONS)]
    return [float(f"{value:.4g}") for value in ordered]


def _index(paths: Sequence[Path], rows: _Rows) -> Iterator[str]:
    statuses = Counter(STATUSES[run[1]] for run in rows.runs)
    counts = [counted(len(rows.runs), "run"), *(f"{statuses[status]:,} {status}" for status in STATUSES if statuses[status])]
    names = sorted({run[0] for run in rows.runs})[:_MAX_NAMES]
    yield from render_page(
        _PAGES,
        "index",
        _PARTS,
        title=f"Runs in {', '.join(path.resolve().name for path in paths)}",
        counts=", ".join(counts),
        columns=_COLUMNS,
        statuses=[status for status in STATUSES if statuses[status]],
        names=names,
        data={"statuses": STATUSES, "names": names, "nodes": [*rows.nodes], "runs": rows.runs},
    )
