"""``tea-obs validate``: is a log, or a flow file, what it should be."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from ..errors import LogFileError
from ..event import SCHEMA_VERSION
from ..formatters import printable
from ..tree import counted
from ..validation import Tally, check_log
from .sources import LOG_HELP, files_of
from .terminal import DONE, fail

NAME: Final = "validate"
HELP: Final = "check a log against the event schema, or a flow file"
DESCRIPTION: Final = f"""\
Check every event of a log against the event schema (version {SCHEMA_VERSION}), or a flow file
as `run` does before anything runs. What is wrong is listed by file and line.
The modules under `imports` of a flow are imported, for its actions are checked
too; with --no-code they are refused, as by `run --no-code`. Callbacks are not
imported, and no node runs."""
EPILOG: Final = """\
examples:
  tea-obs validate logs
  tea-obs validate triage.yaml
"""

FLOW_SUFFIXES: Final = (".yaml", ".yml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("path", metavar="LOG|FLOW.yaml", type=Path, help=f"{LOG_HELP}; or a flow file")
    parser.add_argument("--no-code", action="store_true", help="refuse flows that bring code, as run --no-code does")


def call(args: argparse.Namespace) -> int:
    """Carry the command out."""
    if args.path.name.endswith(FLOW_SUFFIXES):
        return _validate_flow(args.path, allow_code=not args.no_code)
    codes = [_validate_log(file) for file in files_of(args.path)]
    return max(codes)


def _validate_log(path: Path) -> int:
    tally, shown = Tally(), printable(str(path))
    for number, problem in check_log(path, tally):
        print(f"{shown}:{number}: {printable(problem)}")
    if tally.invalid:
        total = counted(tally.events + tally.invalid, "line")
        return fail(f"{tally.invalid:,} of {total} of {str(path)!r} {'is' if tally.invalid == 1 else 'are'} no valid event")
    if not tally.events:
        raise LogFileError(f"{str(path)!r} holds no events")
    print(f"{shown}: OK, {counted(tally.events, 'event')}, {counted(len(tally.flows), 'flow')}")
    return DONE


def _validate_flow(path: Path, *, allow_code: bool) -> int:
    # Imported here: flows bring jinja2 along, and a log does without.
    from ..flows import load
    from ..flows.yaml_source import read_file

    flow = load(path, allow_code=allow_code)
    written = read_file(path).data
    observed = "no observability block"
    if flow.observability is not None:
        observed = "observability on" if flow.observability.get("enabled", True) else "observability off"
    parts = [counted(len(written[key]), key[:-1]) for key in ("nodes", "edges") if written.get(key)]
    print(f"{printable(str(path))}: OK, flow {printable(flow.name)}, {', '.join(parts)}, {observed}")
    return DONE
