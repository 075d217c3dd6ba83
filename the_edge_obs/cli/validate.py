"""``tea-obs validate``: validate a log or a flow file."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..errors import FlowFileError, LogFileError
from ..event import SCHEMA_VERSION
from ..redaction.texts import scrub_text
from ..store.full_record import full_files, full_problems
from ..store.paths import named
from ..store.validation import Tally, check_log
from ..text import counted, printable
from ._sources import LOG_HELP, files_of
from ._terminal import DONE, fail, say_skipped

DESCRIPTION: Final = f"""\
Validate every event of logs against the event schema (version {SCHEMA_VERSION}), or a flow
file as `run` does before anything runs. Full recordings beside a log are searched for
secrets. Every mistake is listed with its file and
line; for a flow, the line itself is shown, and nodes that nothing leads to count
as mistakes. The modules under `imports` of a flow are imported, so that its
actions can be checked; with --no-code such a flow is refused, as by
`run --no-code`. Callbacks are not imported, and no node runs."""
EPILOG: Final = """\
examples:
  tea-obs validate logs
  tea-obs validate logs/host-a logs/host-b
  tea-obs validate triage.yaml
"""

FLOW_SUFFIXES: Final = (".yaml", ".yml")
# How many characters of a flow's line are shown below a mistake.
_WIDTH: Final = 160
# The line ends of YAML 1.1, by which lines are counted.
_LINE_END: Final = re.compile("\\r\\n|[\\n\\r\\x85\\u2028\\u2029]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("paths", metavar="LOG|FLOW.yaml", type=Path, nargs="+", help=f"{LOG_HELP}; or a flow file")
    parser.add_argument("--no-code", action="store_true", help="refuse flows that contain code, as run --no-code does")


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    flows = [path for path in args.paths if path.name.endswith(FLOW_SUFFIXES)]
    codes = [_validate_flow(path, allow_code=not args.no_code) for path in flows]
    if logs := [path for path in args.paths if path not in flows]:
        for file in files_of(logs, args.skipped):
            codes += [_validate_log(file), *map(_validate_recording, full_files(file))]
        say_skipped(named(logs), args.skipped)
    return max(codes)


def _validate_log(path: Path) -> int:
    tally, shown = Tally(), printable(str(path))
    for number, problem in check_log(path, tally):
        print(f"{shown}:{number}: {printable(problem)}")
    if tally.invalid:
        total = counted(tally.events + tally.invalid + tally.loose, "line")
        what = "is not a valid event" if tally.invalid == 1 else "are not valid events"
        return fail(f"{tally.invalid:,} of {total} of {str(path)!r} {what}")
    if not tally.events and not tally.loose:
        raise LogFileError(f"{str(path)!r} holds no events")
    loose = f", {counted(tally.loose, 'record')} outside any run" if tally.loose else ""
    print(f"{shown}: OK, {counted(tally.events, 'event')}, {counted(len(tally.flows), 'flow')}{loose}")
    return DONE


def _validate_recording(path: Path) -> int:
    problems = 0
    for number, problem in full_problems(path):
        problems += 1
        print(f"{printable(str(path))}:{number}: {printable(problem)}")
    if problems:
        return fail(f"{counted(problems, 'problem')} in the full recording {str(path)!r}")
    print(f"{printable(str(path))}: OK, full recording without secrets")
    return DONE


def _validate_flow(path: Path, *, allow_code: bool) -> int:
    # Imported here: flows import jinja2, which a log does not need.
    from ..flows import load
    from ..flows.spot import Spot
    from ..flows.yaml_source import read_file

    try:
        source, flow = read_file(path), load(path, allow_code=allow_code)
    except FlowFileError as error:
        if error.line is None and not error.others:
            raise  # a mistake of the file as a whole, such as a missing file
        return _report([error, *error.others], path)
    places = {name: ("nodes", index) for index, name in enumerate(flow.nodes)}
    dead = [
        Spot(source, places[name], step=name).error(f"nothing leads to step {name!r}; add an edge or a goto to it, or remove it")
        for name in flow.unreached()
    ]
    if dead:
        return _report(dead, path)
    observed = "no observability block"
    if flow.observability is not None:
        observed = "observability on" if flow.observability.get("enabled", True) else "observability off"
    parts = [counted(len(source.data[key]), key[:-1]) for key in ("nodes", "edges") if source.data.get(key)]
    print(f"{printable(str(path))}: OK, flow {printable(flow.name)}, {', '.join(parts)}, {observed}")
    return DONE


def _report(mistakes: Sequence[FlowFileError], path: Path) -> int:
    """Print the mistakes in order of file and line, each with its line of the file, and return the exit code."""
    from ..flows.yaml_source import MAX_MISTAKES

    texts: dict[str, list[str]] = {}
    for mistake in sorted(mistakes, key=lambda each: (each.path != str(path), each.path or "", each.line or 0)):
        print(printable(str(mistake)))
        if mistake.path is not None and mistake.line is not None:
            lines = texts.setdefault(mistake.path, _lines(mistake.path))
            print(*(f"    {mistake.line} | {printable(line)}" for line in lines[mistake.line - 1 : mistake.line]), sep="\n")
    more = ", perhaps more" if len(mistakes) >= MAX_MISTAKES else ""
    return fail(f"{counted(len(mistakes), 'mistake')} in {str(path)!r}{more}")


def _lines(path: str) -> list[str]:
    """Return the lines of a flow file for display: cut, and without secrets."""
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    return [scrub_text(line.rstrip())[:_WIDTH] for line in _LINE_END.split(text)]
