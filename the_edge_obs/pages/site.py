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
from ..event import STATUSES, Event, is_uuid
from ..files import write_atomically
from ..flow_log import FlowLog, build_flow_log
from ..jsonl import Skipped
from ..store.paths import LogPaths, paths_of
from ..store.sources import iter_query
from ..text import clock_text, counted, dollars, duration_text
from . import render_page, run_page

INDEX: Final = "index.html"

_PAGES: Final = Path(__file__).parent
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
    interleaved, not the log. Each file is written completely or not at all. If not all of them can be written, those that did not
    exist before are removed again.

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
    runs: list[dict[str, Any]] = []
    with _all_or_none(folder) as new:
        for run in _complete(iter_query(paths, skipped, **filters), dict(left), skipped):
            name = _file_name(run.flow_id)
            if not (folder / name).exists():
                new.append(name)
            write_atomically(folder / name, run_page(run, INDEX))
            runs.append(_row(run, name))
            progress(len(runs), len(left))
        write_atomically(folder / INDEX, _index(paths, runs))
    return len(runs)


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


def _row(log: FlowLog, page: str) -> dict[str, Any]:
    metrics = log.metrics
    return {
        "flow_id": log.flow_id,
        "page": page,
        "name": log.name or "?",
        "status": log.status,
        "start": log.events[0]["timestamp"],
        "started": clock_text(log.events[0]["timestamp"]),
        "duration_ms": metrics["total_duration_ms"] or 0,
        "duration": duration_text(metrics["total_duration_ms"]),
        "errors": metrics["error_count"],
        "nodes": metrics["node_count"],
        "tokens": metrics["tokens"],
        "cost": metrics["cost_usd"],
        "cost_text": dollars(metrics["cost_usd"]) if metrics["cost_usd"] else "",
    }


def _index(paths: Sequence[Path], runs: list[dict[str, Any]]) -> Iterator[str]:
    statuses = Counter(run["status"] for run in runs)
    counts = [counted(len(runs), "run"), *(f"{statuses[status]:,} {status}" for status in STATUSES if statuses[status])]
    yield from render_page(
        _PAGES,
        "index",
        title=f"Runs in {', '.join(path.resolve().name for path in paths)}",
        counts=", ".join(counts),
        columns=_COLUMNS,
        statuses=STATUSES,
        runs=sorted(runs, key=lambda run: -float(run["start"])),
    )
