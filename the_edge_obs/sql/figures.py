"""Statistics of nodes over large logs, by DuckDB: equal to those of ``store.run_stats`` to the last digit.

DuckDB counts the flows to which the order of reading makes no difference, and tells which these are. The package's own reader
counts the others, and reads files with a line that DuckDB may read differently. Not noticed are keys that are in an object twice,
of which DuckDB takes the first and Python the last.
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from ..event import MAX_LINE_BYTES, Event
from ..event_query import WholeIds, flow_ids, line_filter
from ..jsonl import Skipped, log_name
from ..store.logs import merged
from ..store.paths import readable_events
from ..store.run_stats import RunStats, node_stats
from .duck import connected, duckdb, listed, run, script
from .lines import NDJSON, is_lines, is_torn, of_flows, prepare

LARGE: Final = 32 * 1024 * 1024
"""From how many bytes of all files on statistics are left to DuckDB; below, starting it takes as long as reading them."""
_SMALL: Final = 1024 * 1024  # bytes of a file; a larger one has enough lines
_HELD: Final = 64 * 1024 * 1024  # bytes of files whose lines are held at a time
_DOUBTFUL: Final = """
WITH unsure AS MATERIALIZED (SELECT file, is_json, odd FROM event WHERE odd IS NOT NULL OR NOT is_json)
SELECT file, count(*) FILTER (NOT is_json), count(*) FROM unsure WHERE NOT is_json OR NOT is_plain(odd) GROUP BY file"""
_OF_OTHERS: Final = """
INSERT INTO uneven SELECT flow FROM (SELECT flow, any_value(flow_id) AS flow_id FROM event GROUP BY flow)
WHERE json_extract_string(flow_id, '$') IN (SELECT unnest(?::VARCHAR[]))"""
_COUNTS: Final = """
SELECT coalesce(sum(events), 0)::BIGINT, coalesce(sum(coalesce(runs, 1)), 0)::BIGINT
FROM (SELECT flow, count(*) AS events FROM event ANTI JOIN uneven USING (flow) GROUP BY flow) LEFT JOIN run USING (flow)"""
_NAMES: Final = "SELECT node_hash, any_value(node) FROM event ANTI JOIN uneven USING (flow) WHERE code > 0 GROUP BY 1"
_ENDED: Final = """
SELECT node_hash, count(*), count(*) FILTER (code = 4),
    list(metrics.duration_ms::DOUBLE) FILTER (metrics.duration_ms IS NOT NULL)
FROM event ANTI JOIN uneven USING (flow) WHERE code > 2 GROUP BY 1"""
_RUNNING: Final = "SELECT node_hash, count(*) FROM span ANTI JOIN uneven USING (flow) WHERE marks < 65536 GROUP BY 1"
_REPORTED: Final = """
WITH counted AS (
    SELECT node_hash, CASE WHEN coalesce(mask, 0) & 1 = 0 THEN tokens END AS tokens,
        CASE WHEN coalesce(mask, 0) & 2 = 0 THEN cost_usd END AS cost_usd
    FROM figure JOIN span USING (span) LEFT JOIN below USING (span) ANTI JOIN uneven ON uneven.flow = span.flow
    WHERE NOT answered
)
SELECT node_hash,
    sum(tokens::HUGEINT) FILTER (is_whole(tokens)), list(tokens::DOUBLE) FILTER (NOT is_whole(tokens)),
    sum(cost_usd::HUGEINT) FILTER (is_whole(cost_usd)), list(cost_usd::DOUBLE) FILTER (NOT is_whole(cost_usd))
FROM counted GROUP BY 1"""
_UNEVEN: Final = "SELECT any_value(flow_id), list(DISTINCT file) FROM event SEMI JOIN uneven USING (flow) GROUP BY flow"


@dataclass
class _Rest:
    """What the package's own reader has to count.

    Attributes:
        others: Files that are read whole.
        files: Files of which only some flows are read.
        flows: The ids of all these flows.
    """

    others: list[Path]
    files: set[Path] = field(default_factory=set)
    flows: set[str] = field(default_factory=set)


def pays(files: Iterable[Path]) -> bool:
    """Tell whether DuckDB is installed, and files are so large that ``large_stats`` is faster than the package's own reader."""
    if find_spec("duckdb") is None:
        return False
    size = 0
    for file in files:
        with suppress(OSError):
            size += os.path.getsize(file)
        if size >= LARGE:
            return True
    return False


def large_stats(files: Sequence[Path], skipped: Skipped, wanted: Collection[str] | None = None) -> RunStats | None:
    """Return the statistics of large logs, or None if the package's own reader has to read all of them.

    Args:
        files: The log files.
        skipped: Records the lines that were skipped.
        wanted: Only flows whose ids begin with one of these. Default: all.
    """
    groups = [list(group) for _, group in groupby(sorted(files, key=_log_name), key=_log_name)]
    paths = {os.path.abspath(group[0]): group[0] for group in groups if len(group) == 1 and is_lines(group[0])}
    rest = _Rest([file for group in groups if len(group) > 1 or os.path.abspath(group[0]) not in paths for file in group])
    if not paths:
        return None
    with tempfile.TemporaryDirectory(prefix="tea-obs-") as scratch, connected(scratch) as connection:
        noted = Skipped()
        try:
            rest.others += [paths.pop(name) for name in _read(connection, list(paths), wanted)]
            _sort_out(connection, paths, rest, noted)
            test = flow_ids("flow_id", wanted) if wanted is not None else None
            rest.flows = {
                event["flow_id"]
                for file in rest.others
                for event in readable_events(file, Skipped())
                if test is None or test(event["flow_id"])
            }
            run(connection, script("figures_spans"))
            connection.execute(_OF_OTHERS, [list(rest.flows)])
            stats = _counted(connection)
            _add_uneven(connection, paths, rest)
        except (OSError, duckdb().Error):
            return None  # such as a gzip file that is cut off; the package's own reader says what is wrong
    if not (stats.events or rest.flows or wanted is not None):
        return None  # the package's own reader says that there are no events
    skipped.lines, skipped.torn, skipped.first = noted.lines, noted.torn, noted.first
    return node_stats(_events(groups, rest, skipped), stats)


def _log_name(file: Path) -> tuple[Path, str]:
    return file.parent, log_name(file.name)


def _read(connection: Any, names: Sequence[str], wanted: Collection[str] | None) -> list[str]:
    """Make the table ``event`` of the lines of files, and return the files that DuckDB cannot read.

    DuckDB 1 takes a line for JSON if its beginning is, and gives up when it looks into it. The file is found by halves.
    """
    prepare(connection)
    where = of_flows(connection, wanted)
    connection.execute(script("figures"))
    into = "CREATE TEMP TABLE event AS"
    failed: list[str] = []
    waiting = list(_batches(names))[::-1]
    while waiting:
        is_held, files = waiting.pop()
        lines = NDJSON.format(files=listed(files), size=2 * MAX_LINE_BYTES)  # a longer object is an error
        try:
            if is_held:
                run(connection, f"CREATE OR REPLACE TEMP TABLE held AS SELECT json, filename FROM {lines}")
                lines = "held"
            connection.execute(
                f"CREATE OR REPLACE TEMP VIEW source AS SELECT json, filename FROM {lines} WHERE json IS NULL OR {where}"
            )
            run(connection, f"{into} {script('figures_events')}")
        except duckdb().InvalidInputException:
            if len(files) == 1:
                failed += files
            else:
                half = len(files) // 2
                waiting += [(is_held, files[half:]), (is_held, files[:half])]
            continue
        into = "INSERT INTO event"
    connection.execute("DROP TABLE IF EXISTS held")
    return failed


def _batches(names: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield files in their order, and whether their lines are held in memory first.

    DuckDB computes with 2,048 rows at a time, but only with rows of the same file. The lines of small files are held, so that
    they are computed with together.
    """
    batch, size = list[str](), 0
    for name in names:
        own = os.path.getsize(name)
        if batch and (own >= _SMALL or size >= _HELD):
            yield True, batch
            batch, size = [], 0
        if own >= _SMALL:
            yield False, [name]
        else:
            batch.append(name)
            size += own
    if batch:
        yield True, batch


def _sort_out(connection: Any, paths: dict[str, Path], rest: _Rest, skipped: Skipped) -> None:
    """Move the files with doubtful lines to the others. A last line that is cut off is no reason for that."""
    doubtful = run(connection, _DOUBTFUL).fetchall()
    if not doubtful:
        return
    names = _by_hash(connection, paths)
    for file, missing, count in doubtful:
        if missing == count == 1 and is_torn(names[file]):
            (lines,) = connection.execute("SELECT count(*) FROM event WHERE file = ?", [file]).fetchone()
            skipped.note(lines, "not valid JSON", torn=True)
        else:
            rest.others.append(paths.pop(names[file]))
            connection.execute("DELETE FROM event WHERE file = ?", [file])
    connection.execute("DELETE FROM event WHERE NOT is_json")


def _by_hash(connection: Any, paths: dict[str, Path]) -> dict[int, str]:
    return dict(connection.execute(f"SELECT hash(name), name FROM (SELECT unnest({listed(list(paths))}) AS name)").fetchall())


def _counted(connection: Any) -> RunStats:
    """Return the statistics of the flows that are even."""
    stats = RunStats()
    stats.events, stats.runs = run(connection, _COUNTS).fetchone()
    names = {key: json.loads(name) for key, name in run(connection, _NAMES).fetchall()}
    for key, count, errors, durations in run(connection, _ENDED).fetchall():
        node = stats.of(names[key])
        node.count, node.errors, node.durations = count, errors, array("d", durations or ())
    for key, count in run(connection, _RUNNING).fetchall():
        stats.of(names[key]).count += count
    for key, *figures in run(connection, _REPORTED).fetchall():
        node = stats.of(names[key])
        for total, whole, parts in ((node.tokens, *figures[:2]), (node.cost_usd, *figures[2:])):
            total.whole += int(whole or 0)
            total.parts.extend(parts or ())
    return stats


def _add_uneven(connection: Any, paths: dict[str, Path], rest: _Rest) -> None:
    uneven = run(connection, _UNEVEN).fetchall()
    if uneven:
        names = _by_hash(connection, paths)
        for flow_id, files in uneven:
            rest.flows.add(json.loads(flow_id))
            rest.files.update(paths[names[file]] for file in files)


def _events(groups: Sequence[Sequence[Path]], rest: _Rest, skipped: Skipped) -> Iterator[Event]:
    """Yield the events that are left to the package's own reader, in the order in which it reads the files."""
    others, again, some = set(rest.others), Skipped(), line_filter({"flow_id": WholeIds(rest.flows)})
    for group in groups:
        if group[0] in others:
            readers = [readable_events(file, skipped) for file in group]
        elif group[0] in rest.files:
            readers = [readable_events(file, again, some) for file in group]
        else:
            continue
        events = readers[0] if len(readers) == 1 else merged([list(reader) for reader in readers])
        yield from (event for event in events if event["flow_id"] in rest.flows)
