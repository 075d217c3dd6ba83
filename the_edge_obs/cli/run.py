"""``tea-obs run``: run a flow and show what it does."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Any, Final, TextIO

from ..context import flows_known
from ..errors import ConfigurationError, FlowRunError
from ..event import LEVELS
from ..files import writable, write_atomically
from ..flow_log import FlowLog
from ..redaction.conversions import exception_text
from ..redaction.snapshots import snapshot
from ..redaction.texts import scrub, scrub_text
from ..text import View, columns, counted, printable
from ..tree.drawing import error_text, origin, render
from ..tree.table import Cell, line_of
from ._plain import Plain
from ._state import initial_state
from ._terminal import DONE, FAILED, add_ascii, fail, prepare_json, say, view_for, write_json

if TYPE_CHECKING:
    from ..flows import Flow
    from ._watching import Watch

DESCRIPTION: Final = f"""\
Run a YAML flow. On a terminal, stderr shows which nodes are running and for how
long (this needs rich: pip install 'the_edge_obs[live]'); elsewhere it gets one
line per finished node. With --level it gets every event. At the end, stdout gets
the tree of the run with its totals, the path of its log, the final state in short
form with secrets redacted (--output writes it in full), and the command that
opens the log in a browser.

The flow is observed unless its observability block says `enabled: false`. A flow
without a block is observed at level info, in memory only: use --log-dir to keep
its log. A block with a console handler prints its events itself. Levels
({", ".join(LEVELS)}): --level takes precedence over the variable
TEA_LOG, and both over the block."""
EPILOG: Final = """\
examples:
  tea-obs run triage.yaml --set path=access.log --set user.name=ada --log-dir logs
  tea-obs run triage.yaml --state @state.json --level llm=debug --level http=warn
  tea-obs run triage.yaml -o - 2>/dev/null | jq .summary
  tea-obs run triage.yaml --quiet --fail-on errors --log-dir logs      # in CI
"""

_STDOUT: Final = "-"
# Values that JSON cannot represent: how many are named one by one.
_NOTES: Final = 5
_RUN_KEYS: Final = frozenset({"flow_id", "_observability"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("flow", metavar="FLOW.yaml", help="the flow file")
    parser.add_argument(
        "-o", "--output", metavar="PATH", help="write the final state as JSON; - is stdout, and everything else goes to stderr"
    )
    add_ascii(parser.add_argument)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing unless the flow fails")
    parser.add_argument(
        "--fail-on",
        choices=("errors",),
        help="errors: exit with 1 also if the flow ended well but logged errors that it handled",
    )
    parser.add_argument(
        "--no-code",
        action="store_true",
        help="refuse flows that contain code (run nodes, imports, callbacks) or read environment variables",
    )
    _add_state_arguments(parser.add_argument_group("initial state").add_argument)
    _add_logging_arguments(parser.add_argument_group("logging").add_argument)


def _add_state_arguments(add: Callable[..., object]) -> None:
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set one value: valid JSON is parsed (3, true, '[1, 2]', '{\"a\": 1}'), anything else is text (double quotes "
        "make it text: '\"3\"'); dots lead into mappings; repeatable",
    )
    add("--state", metavar="JSON|@FILE", help="a JSON object, or a file that holds one; --set overrides it")


def _add_logging_arguments(add: Callable[..., object]) -> None:
    add(
        "--level",
        metavar="[NAME=]LEVEL",
        action="append",
        default=[],
        help="the level of all nodes, of a category (llm=debug) or of an action (llm.call=debug); repeatable",
    )
    add("--logging", metavar="FILE", help="a logging configuration: YAML or JSON for dictConfig, .ini for fileConfig")
    add("--log-dir", metavar="DIR", help="keep the log as DIR/flow-<flow_id>.jsonl")


@dataclasses.dataclass(frozen=True, slots=True)
class _Outcome:
    """How a run ended: with its final state, or with what it raised."""

    state: dict[str, Any] | None
    error: BaseException | None = None


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    # Imported here: the runner imports jinja2, which the other commands do not need.
    from ..flows import load
    from ._display import Display
    from ._watching import levels, watching

    state = initial_state(args.state, args.set)
    if args.output not in (None, _STDOUT):
        _refuse_unwritable(args.output)  # before a long run, not after it
    if args.quiet and args.level:
        raise ConfigurationError("--level shows every event and --quiet none; leave one of them out")
    with levels(args.level), ExitStack() as stack:
        flow = load(args.flow, allow_code=not args.no_code)
        watch: Watch | None = None
        display = Display(events=bool(args.level), quiet=args.quiet, ascii_only=args.ascii)
        if flow.observability is None or flow.observability.get("enabled", True):
            watch = stack.enter_context(watching(flow.observability, args.logging, args.log_dir, display))
        elif args.fail_on:
            raise ConfigurationError(f"--fail-on counts logged errors, and the block of {args.flow!r} says enabled: false")
        else:
            say(f"note: nothing is logged: the observability block of {args.flow!r} says enabled: false")
        with watch.shown if watch else nullcontext():
            outcome = _execute(flow, state, sys.stderr if args.output == _STDOUT else sys.stdout)
        log = watch.log() if watch else None
        if log is None and isinstance(outcome.error, ConfigurationError):
            raise outcome.error  # the block could not be activated, and nothing ran
        return _report(outcome, log, watch, args)


def _refuse_unwritable(output: str) -> None:
    try:
        writable(output)
    except ConfigurationError as error:
        raise ConfigurationError(f"--output {output!r} cannot be used: {error}") from error


def _execute(flow: Flow, state: Mapping[str, Any], stdout: TextIO) -> _Outcome:
    try:
        # With `-o -` stdout is JSON: what the flow prints must not get into it.
        with redirect_stdout(stdout):
            return _Outcome(flow.run(state))
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - a flow may raise anything
        return _Outcome(None, error)


def _report(outcome: _Outcome, log: FlowLog | None, watch: Watch | None, args: argparse.Namespace) -> int:
    stream = sys.stderr if args.output == _STDOUT else sys.stdout
    view = view_for(stream, ascii_only=args.ascii)
    handled = log.metrics["error_count"] if log is not None and args.fail_on else 0
    files: Sequence[str] = ()
    if log is not None and watch is not None and not (args.quiet and outcome.error is None and not handled):
        print("", *render(log, view), sep="\n", file=stream)
        print(f"flow {log.flow_id}", file=stream)
        files = watch.files_of(log.flow_id)
        for path in files:
            print(f"log  {printable(path)}", file=stream)
    if outcome.error is None and args.output is None and not args.quiet:
        print("", *_short(outcome.state or {}, view), sep="\n")
    if files:  # last, where it is found
        print(f"\nto look at the run in a browser: tea-obs view {printable(shlex.quote(str(files[0])))}", file=stream)
    if isinstance(outcome.error, KeyboardInterrupt):
        raise outcome.error
    if outcome.error is not None:
        stream.flush()  # the error comes last, even if stdout and stderr are the same file
        return fail(failure_of(outcome.error, log), FAILED)
    if args.output is not None:
        _write(outcome.state or {}, args.output)
    if handled:
        stream.flush()
        return fail(f"the flow handled {counted(handled, 'error')}; --fail-on errors", FAILED)
    return DONE


def failure_of(error: BaseException, log: FlowLog | None) -> str:
    """Return why a flow failed, in one line, without the secrets that were found in its log."""
    span = origin(log) if log is not None else None
    if span is None or span.error is None:
        return f"{type(error).__name__}: {scrub_text(exception_text(error))}".removesuffix(": ")
    text = error_text(span.error)
    names_step = isinstance(error, FlowRunError) and error.step == span.step
    return f"{span.node}: {text}" if span.step is None or names_step else f"step {span.step!r} ({span.node}): {text}"


def _short(state: Mapping[str, Any], view: View) -> Iterator[str]:
    """Yield the state, one line per key, without what the flow takes for secret; long values are shortened."""
    flow = flows_known.get(str(state.get("flow_id")))
    clean = scrub(snapshot(dict(state), flow), flow.taints if flow is not None else ())
    shown = {key: printable(json.dumps(value, ensure_ascii=False)) for key, value in clean.items() if key not in _RUN_KEYS}
    width = min(max((columns(printable(key)) for key in shown), default=0), view.width // 3)
    room = view.width - width - 4
    long = {key for key, text in shown.items() if columns(text) > room}
    yield "final state" + (": empty" if not shown else " (shortened; --output PATH writes all of it)" if long else "")
    for key, text in shown.items():
        short = _summary(clean[key], state.get(key)) if key in long else None
        yield "  " + line_of([Cell(printable(key)), Cell(short or text)], (width, room), view)


def _summary(value: Any, whole: Any) -> str | None:
    """Return what a long list or mapping holds: the number of its items, and its keys or its first text; None for other values.

    Args:
        value: The value without secrets, which has at most as many items as a snapshot keeps.
        whole: The value as the flow left it.
    """
    if not isinstance(value, (dict, list)):
        return None
    count = len(whole if type(whole) in (dict, list, tuple) else value)
    if isinstance(value, dict):
        return printable(f"{counted(count, 'key')}: {', '.join(value)}")
    return printable(counted(count, "item") + (f": {value[0]}" if isinstance(value[0], str) else ""))


def _write(state: Mapping[str, Any], output: str) -> None:
    plain = Plain()
    kept = plain.value({key: value for key, value in state.items() if key != "_observability"})
    text = json.dumps(kept, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    if output == _STDOUT:
        prepare_json()
        write_json(text)
    else:
        write_atomically(output, [text if _is_utf8(text) else json.dumps(kept, indent=2) + "\n"])
    for note in plain.notes[:_NOTES]:
        say(f"note: --output: {note}")
    if (left := len(plain.notes) - _NOTES) > 0:
        say(f"note: --output: {counted(left, 'more value')} changed as well")


def _is_utf8(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False  # a lone surrogate, which JSON can escape
