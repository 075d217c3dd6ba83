"""The program: its parser, its errors and its exit codes.

Exit codes: 0 done, 1 the flow failed, or ``--fail-on`` says so, or a replay stopped, 2 bad usage or input, 3 ``diff --fail-on``
cannot tell; 130 after Ctrl-C and 141 after a broken pipe, as in shells.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NoReturn

from ..errors import ObservabilityError
from ..files import BROKEN_PIPE, abandon_stdout
from ..jsonl import Skipped
from . import clean, config, diff, errors, export, lnav, ls, mcp, query, replay, run, send, show, sql, stats, tail, validate, view
from ._terminal import BAD, DONE, fail, prepare, say

INTERRUPTED: Final = 130

_COMMANDS: Final = (
    run,
    replay,
    show,
    view,
    ls,
    errors,
    stats,
    tail,
    query,
    sql,
    export,
    send,
    diff,
    validate,
    config,
    clean,
    lnav,
    mcp,
)
# Options whose values may begin with a dash, as in `--since -5m`, which argparse would read as another option.
_DASHED: Final = frozenset({"--since", "--start-time", "--until", "--end-time", "--text", "--sort"})
_LAST: Final = "--last"

_EPILOG: Final = """\
first steps:
  tea-obs run triage.yaml --set path=access.log --log-dir logs
  tea-obs show logs
  tea-obs query logs --node 'llm.*' --min-level warn
  tea-obs export logs/flow-<id>.jsonl -o run.json

exit codes: 0 done, 1 the flow failed, or --fail-on says so, or a replay stopped,
2 bad usage or input, 3 diff --fail-on cannot tell, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are one line on stderr.

    Args:
        argv: The arguments without the program's name. Default None: those of the process.
    """
    prepare()
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except ObservabilityError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        abandon_stdout()
        return BROKEN_PIPE
    except OSError as error:
        # Commands handle the errors of the files that they read and write, so this is stdout, on a full disk for example.
        abandon_stdout()
        return fail(f"the output cannot be written: {(error.strerror or str(error)).lower()}")
    return code


def _run(argv: Sequence[str]) -> int:
    parser = _parser()
    _complete(parser)
    try:
        args = parser.parse_args(list(_joined(argv)))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BAD
    if args.command is None:
        parser.print_help(sys.stderr)
        return BAD
    args.skipped = Skipped()
    code: int = args.call(args)
    return BAD if code == DONE and args.skipped.failures else code


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, and exit, if it asks for completions: with argcomplete (extra ``completion``)."""
    if "_ARGCOMPLETE" in os.environ:
        with suppress(ImportError):
            import argcomplete

            argcomplete.autocomplete(parser)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and a hint at --help, and exit."""
        command = self.prog.removeprefix("tea-obs").strip()
        sys.exit(fail(f"{command}: {message}; see {self.prog} --help" if command else f"{message}; see {self.prog} --help"))


class _Version(argparse.Action):
    """Print the version; it is looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *args: object) -> None:
        from ..instrumentation.resources import runtime
        from ..redaction.payloads import CORE

        print(f"tea-obs ({runtime()}, {CORE})")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tea-obs",
        description="Run YAML flows and read their logs, offline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for command in _COMMANDS:
        own = commands.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.DESCRIPTION,
            epilog=command.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(own)
        own.set_defaults(call=command.call)
    return parser


def _joined(argv: Sequence[str]) -> Iterator[str]:
    """Yield the arguments, and join the value of an option in ``_DASHED`` to it with ``=``; ``--last`` alone means one."""
    given = list(argv)
    while given:
        argument = given.pop(0)
        if argument == _LAST and not (given and given[0].isdecimal()):
            argument = f"{_LAST}=1"
        elif argument in _DASHED and given:
            argument = f"{argument}={given.pop(0)}"
        yield argument
