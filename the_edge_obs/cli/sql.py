"""``tea-obs sql``: ask logs in SQL."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from ..store.paths import named
from ..text import View, counted, fitted, printable
from ._listing import table
from ._sources import add_log
from ._terminal import DONE, prepare_json, say_skipped, view_for, write_json

DESCRIPTION: Final = """\
Ask logs, folders of logs, or Parquet files of `tea-obs export` in SQL. Needs the
extra sql (DuckDB). The query is one SELECT over three views:
  events  one row per event: flow_id, span_id, parent_id, node, step, level,
          event_type, ts, message, duration_ms, tokens, input_tokens, output_tokens,
          cost_usd, error_type, error_message, host, data and metrics (JSON)
  spans   one row per span: flow_id, span_id, parent_id, node, step, status, started,
          ended, duration_ms, tokens, input_tokens, output_tokens, cost_usd, errors,
          error_type, error_message, host, name. Tokens, costs and errors count
          once, in the span where they arose
  runs    one row per run: flow_id, name, status, started, ended, duration_ms, events,
          errors, tokens, cost_usd, alone, attributes (JSON), error_type,
          error_message (of the first error), host, root (span id)
Times are UTC. The query cannot change anything, and reads nothing else."""
EPILOG: Final = """\
examples:
  the slowest nodes
    tea-obs sql logs "select node, count(*) as spans, quantile_disc(duration_ms, 0.95) as p95_ms
                      from spans group by node order by p95_ms desc limit 10"
  cost per day
    tea-obs sql logs "select started::date as day, sum(cost_usd) as cost_usd from runs group by day order by day"
  runs per host
    tea-obs sql logs/host-a logs/host-b "select host, count(*) as runs from runs group by host order by host"
  errors per node
    tea-obs sql logs "select node, error_type, sum(errors) as errors from spans where errors > 0
                      group by all order by errors desc"
  the runs of one topic
    tea-obs sql logs "select flow_id, status from runs where attributes->>'topic' = 'cats'"
  what the models answered
    tea-obs sql logs --format jsonl "select data->>'$.output.content' as answer from events
                                     where node = 'llm.call' and event_type = 'exit'"
"""

_FORMATS: Final = ("table", "csv", "json", "jsonl")
_MOST_ROWS: Final = 10_000  # of a table for people
_NUMBERS: Final = ("INT", "DOUBLE", "FLOAT", "DECIMAL")
_WIDEST: Final = 80  # columns of a cell, if the table is wider than the terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    parser.add_argument("query", metavar="QUERY", help='one SELECT, such as "select * from runs limit 10"; - is stdin')
    parser.add_argument("--format", choices=_FORMATS, default=_FORMATS[0], help="default: table")


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    from ..sql import opened

    text = sys.stdin.read() if args.query == "-" else args.query
    with opened(args.log, args.skipped) as log:
        found = log.query(text)
        if args.format == "table":
            _print_table(found.columns, found.types, found.rows, view_for(sys.stdout))
        elif args.format == "csv":
            _print_csv(found.columns, found.rows)
        else:
            _print_json(found.columns, found.types, found.rows, as_lines=args.format == "jsonl")
    say_skipped(named(args.log), args.skipped)
    return DONE


def _print_table(columns: list[str], types: list[str], rows: Iterator[tuple[Any, ...]], view: View) -> None:
    shown = [[_text(value) for value in row] for row in itertools.islice(rows, _MOST_ROWS)]
    rest = sum(1 for _ in rows)
    head = [printable(column) for column in columns]
    right = frozenset(name for name, kind in zip(head, types, strict=True) if any(word in kind for word in _NUMBERS))
    lines = list(table(head, shown, right, view))
    if any(len(line) > view.width for line in lines):
        lines = list(table(head, [[fitted(text, _WIDEST, view) for text in row] for row in shown], right, view))
    for line in lines:
        print(line)
    if shown:
        print()
    print(counted(len(shown) + rest, "row") + (f", of which {rest:,} are not shown; --format csv shows all" if rest else ""))


def _text(value: Any) -> str:
    """Return a value as the text of a cell. Figures without a fraction have no point."""
    if value is None:
        return "-"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return printable(str(value))


def _print_csv(columns: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
    from ..formats.csv import cell_text, row_text

    prepare_json()
    sys.stdout.write(row_text(map(cell_text, columns)))
    for row in rows:
        sys.stdout.write(row_text(cell_text(_plain(value)) for value in row))


def _print_json(columns: list[str], types: list[str], rows: Iterable[tuple[Any, ...]], *, as_lines: bool) -> None:
    prepare_json()
    before, between, after = ("", "\n", "\n") if as_lines else ("[\n", ",\n", "\n]\n")
    count = 0
    for count, row in enumerate(rows, 1):
        made = {name: _json_value(value, kind) for name, kind, value in zip(columns, types, row, strict=True)}
        write_json((between if count > 1 else before) + json.dumps(made, ensure_ascii=False))
    write_json(after if count else "" if as_lines else "[]\n")


def _json_value(value: Any, kind: str) -> Any:
    return json.loads(value) if value is not None and kind == "JSON" else _plain(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: what is not a number is null, keys are texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
