"""Log files as rows of DuckDB. It reads the lines that it reads as this package does; the other files are read by Python."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..event import Event, is_uuid
from ..event_query import WholeIds
from ..files import kind_of
from ..jsonl import SUFFIXES, Skipped, lines_of, parsed
from ..redaction.marks import REDACTED
from ..store.paths import readable_events
from .duck import duckdb, listed, quoted, run, script

NDJSON: Final = "read_ndjson_objects({files}, ignore_errors = true, filename = true, maximum_object_size = {size})"
# One pass: the lines of each flow of each file, and the host that its root names.
_COUNTS: Final = """
SELECT filename, json_extract_string(json, '$.flow_id') AS flow_id, count(*), count(*) FILTER (json IS NULL),
    count(*) FILTER (NOT is_plain(json)),
    any_value(CASE WHEN contains(json::VARCHAR, '"resource"') THEN json_extract_string(json, '$.data.resource.host') END)
FROM {} GROUP BY 1, 2"""
_BY_FILE: Final = (
    "SELECT filename, sum(lines), sum(missing), sum(doubtful) FROM flows WHERE filename IN (SELECT unnest({})) GROUP BY 1"
)
_LARGEST: Final = 1 << 26  # bytes of an object; a longer one is an error
_TAIL: Final = 1 << 21  # bytes; more than the longest line has
_PATTERN: Final = re.compile(r"[*?\[]")


@dataclass
class Checked:
    """What DuckDB finds in log files.

    Attributes:
        plain: Files that it reads as this package does; a line that is cut off at their end is left out.
        others: Files that Python has to read.
        lines: Number of events in the plain files.
    """

    plain: list[str] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    lines: int = 0


def prepare(connection: Any) -> None:
    """Create the macros and the view ``rows`` of ``rows.sql``."""
    connection.execute(f"SET VARIABLE redacted = {quoted(REDACTED)}")
    connection.execute(
        "CREATE TEMP TABLE flows (filename VARCHAR, flow_id VARCHAR, lines BIGINT, missing BIGINT, doubtful BIGINT, host VARCHAR)"
    )
    connection.execute("CREATE TEMP VIEW lines AS SELECT NULL::JSON AS line, NULL::VARCHAR AS host")
    connection.execute(script("rows"))


def check(connection: Any, files: Sequence[Path], skipped: Skipped) -> Checked:
    """Tell which files DuckDB reads as this package does.

    Args:
        connection: The database.
        files: The log files.
        skipped: Records a last line that is cut off.
    """
    checked = Checked(others=[file for file in files if not is_lines(file)])
    paths = {os.path.abspath(file): file for file in files if is_lines(file)}
    for name, (lines, missing, doubtful) in _counted(connection, list(paths)).items():
        if doubtful and not (doubtful == missing == 1 and is_torn(name)):
            checked.others.append(paths[name])
            continue
        if doubtful:
            skipped.note(lines, "not valid JSON", torn=True)
        checked.plain.append(name)
        checked.lines += lines - doubtful
    return checked


def is_lines(file: Path) -> bool:
    """Tell whether a file is there and holds lines, and DuckDB does not take its name for a pattern."""
    return file.name.endswith(SUFFIXES) and not _PATTERN.search(os.path.abspath(file)) and kind_of(file, follow=True) is None


def _counted(connection: Any, names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Return for each file its lines, those that are not JSON, and those that Python has to read; files are read once.

    A file that DuckDB cannot read, such as a gzip file that is cut off, counts as doubtful. It is found by halves.
    """
    if not names:
        return {}
    source = NDJSON.format(size=_LARGEST, files=listed(names))
    try:
        found = run(connection, f"INSERT INTO flows {_COUNTS.format(source)}; {_BY_FILE.format(listed(names))}").fetchall()
    except duckdb().Error:
        if len(names) == 1:
            return {names[0]: (0, 0, 1)}
        half = len(names) // 2
        return {**_counted(connection, names[:half]), **_counted(connection, names[half:])}
    counts = {name: (int(lines), int(missing), int(doubtful)) for name, lines, missing, doubtful in found}
    return {name: counts.get(name, (0, 0, 0)) for name in names}


def is_torn(name: str) -> bool:
    """Tell whether the last line of a file has no end and is not an event."""
    if name.endswith(".gz"):
        return False
    with open(name, "rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
        last = file.read().rpartition(b"\n")[2]
    return bool(last.strip()) and isinstance(parsed(last), str)


def clean_lines(path: str, events: Iterable[Event]) -> int:
    """Write events as lines that DuckDB reads; half of a character, which UTF-8 lacks, becomes a question mark."""
    count = 0
    with open(path, "x", encoding="utf-8", errors="replace", newline="\n") as file:
        for line in lines_of(events):
            file.write(line)
            count += 1
    return count


def all_events(files: Iterable[Path], skipped: Skipped) -> Iterator[Event]:
    """Yield the events of files, one file after the other; a file that cannot be read is recorded."""
    for file in files:
        yield from readable_events(file, skipped)


def define_lines(connection: Any, plain: Sequence[str], clean: str, flow_ids: Collection[str] | None = None) -> None:
    """Define the view ``lines``, and by it ``rows``: the events of files.

    Args:
        connection: The database.
        plain: Files that DuckDB reads as this package does.
        clean: A file of ``clean_lines``.
        flow_ids: Only events whose flow ids begin with one of these. Default: all.
    """
    source = NDJSON.format(size=_LARGEST, files=listed([*plain, clean]))
    # What has been appended since the check is not checked.
    where = f"(source.filename = {quoted(clean)} OR is_plain(json)) AND {of_flows(connection, flow_ids)}"
    connection.execute(f"INSERT INTO flows {_COUNTS.format(NDJSON.format(size=_LARGEST, files=listed([clean])))}")
    # Each process names its host in its own file; a part of the log that was set aside has that of the flow.
    hosts = "SELECT flow_id, any_value(host) AS host FROM flows GROUP BY 1"
    own = f"SELECT filename, flow_id, coalesce(flows.host, h.host) AS host FROM flows LEFT JOIN ({hosts}) AS h USING (flow_id)"
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW lines AS SELECT json AS line, own.host FROM {source} AS source LEFT JOIN ({own}) AS own "
        f"ON own.filename = source.filename AND own.flow_id = json_extract_string(json, '$.flow_id') WHERE {where}"
    )


def of_flows(connection: Any, flow_ids: Collection[str] | None) -> str:
    """Return the condition of ``define_lines``. Whole ids, of which there may be many, are looked up in a table."""
    if flow_ids is None:
        return "true"
    is_whole = isinstance(flow_ids, WholeIds)
    wanted = list(flow_ids) if is_whole else [flow_id.lower() for flow_id in flow_ids]
    connection.execute("CREATE OR REPLACE TEMP TABLE chosen AS SELECT unnest(?::VARCHAR[]) AS flow_id", [wanted])
    own = "json_extract_string(json, '$.flow_id')" if is_whole else "lower(json_extract_string(json, '$.flow_id'))"
    beginnings = [] if is_whole else [flow_id for flow_id in wanted if not is_uuid(flow_id)]
    return f"({' OR '.join([f'{own} IN (FROM chosen)', *(f'starts_with({own}, {quoted(flow_id)})' for flow_id in beginnings)])})"
