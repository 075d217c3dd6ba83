"""``tea-obs replay``: run a flow again from its log, offline, and compare the two runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace as changed
from typing import TYPE_CHECKING, Any, Final

from ..comparison import check_fail_on, render
from ..errors import ConfigurationError
from ..handlers.appending import checked_path
from ..text import View, counted, dollars, fitted, printable
from ._sources import LOG_HELP
from ._state import initial_state
from ._terminal import BAD, DONE, FAILED, add_ascii, fail, say, view_for
from .run import failure_of

if TYPE_CHECKING:
    from ..flows import Asked, RecordedAnswers, Report

DESCRIPTION: Final = """\
Run a YAML flow again from the log of a run: offline, in seconds, for nothing. Each
call of an action gets the answer that was recorded at the same place for the same
input. Inline code runs. A call that is not in the log stops the replay, unless an
option allows it; so no effect fires by accident. stdout gets the comparison of the
two runs, as tea-obs diff prints it, and how the calls were answered; stderr says
where the replay stopped, what differs there, and what to do about it."""
EPILOG: Final = """\
examples:
  tea-obs replay bad-run.jsonl triage.yaml                     # does my change mend it?
  tea-obs replay bad-run.jsonl triage.yaml --dry               # is this log a usable recording?
  tea-obs replay run.jsonl triage.yaml --live 'llm.*'          # ask only what depends on a new prompt
  tea-obs replay run.jsonl triage.yaml --from review --live '*' --again   # the rest for real
  tea-obs replay run.jsonl triage.yaml --live 'llm.*' --pretend file.write   # do not write
  tea-obs replay run.jsonl triage.yaml --set language=fr --frozen now --ignore input.requested_at
  tea-obs replay run.jsonl triage.yaml --fail-on status,output   # in CI

exit codes: 0 the flow ended, or failed as it had failed, in that step with that class of
error; or the log is usable (--dry), 1 the replay stopped, or the flow failed in another
way, or a difference that --fail-on names, 2 bad usage or input, or the recording is not whole where it is needed.
"""

_PASSED_ON: Final = ("live", "from_step", "again", "pretend", "frozen", "ignore")
_SHOWN: Final = 3  # changes of one call


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("log", metavar="LOG", help=f"the recorded run: {LOG_HELP}")
    add("flow_file", metavar="FLOW.yaml", help="the flow file")
    add("--flow", metavar="ID", help="the run, if LOG has several: its flow_id, or the beginning of it")
    add("--dry", action="store_true", help="run nothing; say what of the log cannot be used")
    _add_list(parser, "--live", "GLOB", "actions that may be called for real if they are not recorded as they are asked: 'llm.*'")
    add("--from", dest="from_step", metavar="STEP", help="the step from which on --live applies")
    add("--again", action="store_true", help="call the actions of --live in any case")
    _add_list(parser, "--pretend", "GLOB", "actions that get the answer of their place, whatever their input: file.write")
    _add_list(parser, "--frozen", "STEP", "a step with inline code that returns what was recorded, such as the time")
    _add_list(parser, "--ignore", "PATH", "a path that may differ: input.requested_at, input.messages*")
    _add_list(parser, "--set", "KEY=VALUE", "change one value of the recorded initial state; as for tea-obs run")
    _add_list(parser, "--secret", "PLACE=VARIABLE", "an environment variable with a secret that was redacted at a place: "
              "login.output.access_token=TOKEN, flow.input.api_key=KEY")  # fmt: skip
    add("--fail-on", metavar="LIST", help="exit with 1 on these differences: status,output; as for tea-obs diff")
    add("--log-dir", metavar="DIR", help="keep the log of the replay as DIR/flow-<flow_id>.jsonl")
    add_ascii(add)


def _add_list(parser: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    parser.add_argument(name, metavar=metavar, action="append", default=[], help=f"{text}; repeatable")


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    # Imported here: the runner imports jinja2, which the other commands do not need.
    from ..flows import load, recorded_answers, replay
    from ..flows.replaying import check_state, check_steps

    if args.fail_on is not None:
        check_fail_on(args.fail_on)
    if args.log_dir is not None:
        _check_folder(args.log_dir)
    flow = load(args.flow_file)
    options: dict[str, Any] = {
        name: getattr(args, name) for name in ("live", "from_step", "again", "pretend", "frozen", "ignore")
    }
    options |= {"secrets": _secrets(args.secret), "flow_id": args.flow}
    if args.dry or args.set:
        answers = recorded_answers(args.log, **options, file=flow.file)
        given = initial_state(None, args.set, answers.recording.state())
        names = [setting.partition("=")[0] for setting in args.set]
        if args.dry:
            check_steps(answers.rules, flow)
            return _dry(answers, names, flow.sha256, view_for(sys.stdout, ascii_only=args.ascii))
        check_state(answers.recording, names)  # of a key with parts, only some may be given
        options["state"] = {key: given[key] for key in (setting.partition("=")[0].split(".")[0] for setting in args.set)}
    with redirect_stdout(sys.stderr):  # what the flow prints is not part of the comparison
        report = replay(args.log, flow, log_dir=args.log_dir, **options)
    view = view_for(sys.stdout, ascii_only=args.ascii)
    for line in _shown(report, view):
        print(line)
    if args.log_dir is not None:
        print(f"log  {printable(os.path.join(args.log_dir, f'flow-{report.new.flow_id}.jsonl'))}")
    sys.stdout.flush()
    return _judged(report, args.fail_on)


def _check_folder(log_dir: str) -> None:
    try:
        checked_path(os.path.join(log_dir, "flow-{flow_id}.jsonl"))
    except ConfigurationError as error:
        raise ConfigurationError(f"--log-dir {log_dir!r} cannot be used: {error}") from error


def _secrets(given: Sequence[str]) -> Mapping[str, str]:
    secrets = {}
    for setting in given:
        place, equals, variable = setting.rpartition("=")
        if not equals or not place or not variable:
            raise ConfigurationError(
                f"--secret {setting!r} is not PLACE=VARIABLE; write --secret login.output.access_token=TOKEN"
            )
        if variable not in os.environ:
            # Behind the option or an equals sign, the name of the variable would look like the secret itself, and be redacted.
            raise ConfigurationError(f"the environment variable {variable!r} is not set; {place!r} gets its secret from there")
        secrets[place] = os.environ[variable]
    return secrets


def _dry(answers: RecordedAnswers, given: Sequence[str], sha256: str | None, view: View) -> int:
    """Say whether a recording can be used, without running anything."""
    from ..flows.replaying import problems

    recording = answers.recording
    log = recording.log
    found = list(problems(answers, given))
    whole = sum(call.full is not None for call in recording.calls.values())
    print(f"{printable(log.name or '?')}  {log.status}  {log.flow_id}")
    print(f"{counted(len(list(recording.unused())), 'recorded call')}, {counted(whole, 'whole answer')}")
    recorded = recording.flow.get("sha256")
    if recorded is not None:
        print("the flow file is " + ("as it was recorded" if recorded == sha256 else "another one than was recorded"))
    for place in recording.redacted_places():
        print(f"redacted: {printable(place)}; a real call that gets it needs --secret {printable(place)}=VARIABLE")
    for line in found:
        print(fitted(f"not usable: {printable(line)}", max(view.width, 60), view))
    if found:
        sys.stdout.flush()
        return fail(f"{counted(len(found), 'part')} of the recording cannot be used; record these actions whole: {_REMEDY}")
    print("usable: every recorded call can be answered")
    return DONE


_REMEDY: Final = "observability: {record: {full: [GLOB]}}, or call them with --live GLOB, or give the state with --set"


def _shown(report: Report, view: View) -> Iterator[str]:
    """Yield the comparison, and how the calls were answered."""
    difference, rest = report.diff, 0
    if report.stopped is not None or report.beyond is not None:
        reached = tuple(row for row in difference.spans if row.kind != "removed")
        rest = len(difference.spans) - len(reached)
        difference = changed(difference, spans=reached)
    yield from render(difference, view)
    if rest:
        yield f"{counted(rest, 'recorded span')} not reached"
    yield ""
    calls = report.calls
    answered = sum(len(calls[kind]) for kind in ("same", "moved", "pretended"))
    live = f"{len(calls['live']):,} live{_spent(report)}"
    yield f"{answered:,} answered from the log, {live}, {len(report.unused):,} recorded ones not asked for"
    for kind in ("moved", "pretended", "live"):
        for one in calls[kind]:
            yield from (fitted(line, max(view.width, 60), view) for line in _described(one, view))
    if report.stopped is None and report.beyond is None:
        yield from (f"not asked for: {printable(place)}" for place in report.unused)


def _spent(report: Report) -> str:
    """Return what the calls cost that were made for real, in parentheses; empty if nothing is known of it."""
    tokens, cost = report.new.metrics["tokens"], report.new.metrics["cost_usd"]
    spent = [f"{tokens:,} tokens"] * bool(tokens) + [dollars(cost)] * bool(cost)
    return f" ({', '.join(spent)})" if spent else ""


def _described(asked: Asked, view: View) -> Iterator[str]:
    from ..flows.replaying import described

    yield printable(f"{asked.kind}: {asked.place} ({asked.node}): {asked.why}")
    yield from (f"  {printable(described(change))}" for change in asked.changes[:_SHOWN])
    if (more := len(asked.changes) - _SHOWN) > 0:
        yield f"  {counted(more, 'more change')}"


def _judged(report: Report, fail_on: str | None) -> int:
    """Print why the replay failed, and return the exit code."""
    failures = [] if fail_on is None else report.diff.failures(fail_on)
    for failure in failures:
        say(f"failed: {failure}")
    for line in [] if fail_on is None or failures else report.diff.unproved(fail_on):
        say(f"note: not proved: {line}")
    if report.stopped is not None:
        return fail(f"stopped at {report.stopped}", BAD if report.stopped.kind == "unfit" else FAILED)
    if report.beyond is not None:
        say(f"note: ended at {report.beyond}")
    if report.error is not None and not report.is_as_before:
        return fail(failure_of(report.error, report.new), FAILED)
    return FAILED if failures else DONE
