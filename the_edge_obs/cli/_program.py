"""The program: its parser, its errors and its exit codes.

Exit codes: 0 done, 1 the flow failed, or ``--fail-on`` says so, or a replay stopped, 2 bad usage or input, 3 ``diff --fail-on``
cannot tell; 130 after Ctrl-C and 141 after a broken pipe, as in shells.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from typing import Final, NoReturn

from ..errors import ObservabilityError
from ..files import BROKEN_PIPE, abandon_stdout
from ..jsonl import Skipped
from ._terminal import BAD, DONE, fail, prepare, say

INTERRUPTED: Final = 130

_COMMANDS: Final = {
    "run": "run a flow and show its tree",
    "replay": "run a flow again from its log, with the recorded answers",
    "show": "show a run as a tree, or list the runs of logs",
    "view": "open a run in the browser",
    "ls": "list the runs of logs",
    "errors": "group the errors of many runs by their cause",
    "stats": "show statistics of each node over many runs",
    "tail": "show the last events of logs, and follow them",
    "query": "print the events of logs that match filters",
    "sql": "ask logs in SQL",
    "export": "write logs in another format",
    "send": "send logs to a receiver of OpenTelemetry's protocol",
    "diff": "compare two runs: what was added, removed, moved or changed",
    "validate": "validate a log against the event schema, or a flow file",
    "config": "print the dictConfig of an observability block",
    "clean": "remove or compress old logs in folders",
    "lnav": "install the log format for lnav (https://lnav.org)",
    "mcp": "let a coding agent read a folder of logs",
}
"""The commands in the order of their help, each with one line of it. The module of a command is imported when it is called."""
_WHOLE_LOGS: Final = frozenset({"show", "view", "export", "diff"})
"""Commands that hold whole logs in memory, and end once they have read them."""
_MANY_OBJECTS: Final = 100_000
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
    is_completing = "_ARGCOMPLETE" in os.environ
    parser = _parser(_COMMANDS if is_completing else argv[:1])
    if is_completing:
        _complete(parser)
    try:
        args = parser.parse_args(list(_joined(argv)))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BAD
    if args.command is None:
        parser.print_help(sys.stderr)
        return BAD
    args.skipped = Skipped()
    with _collecting_rarely() if args.command in _WHOLE_LOGS else nullcontext():
        code: int = args.call(args)
    return BAD if code == DONE and args.skipped.failures else code


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Let the garbage collector run after more new objects than usual, while a command holds a whole log in memory.

    Otherwise it looks at the whole log several times while that is read, and finds nothing. Cycles are still collected, so memory
    stays bounded.
    """
    usual = gc.get_threshold()
    gc.set_threshold(max(usual[0], _MANY_OBJECTS) if usual[0] else 0, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and exit: with argcomplete (extra ``completion``)."""
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


def _parser(wanted: Container[str]) -> argparse.ArgumentParser:
    """Return the parser; of its commands, only the wanted ones have their arguments.

    Importing all commands takes longer than most of them run. A command is the first argument: the program has no options of its
    own before it but ``--help`` and ``--version``, which end it.
    """
    parser = _Parser(
        prog="tea-obs",
        description="Run YAML flows and read their logs, offline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name, text in _COMMANDS.items():
        own = commands.add_parser(name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
        if name in wanted:
            command = import_module(f".{name}", __package__)
            own.description, own.epilog = command.DESCRIPTION, command.EPILOG
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
