"""Errors as text: what they say, and their tracebacks, in bounded size and time, whatever they do when they are asked.

The layout is that of Python's ``traceback`` module, which bounds neither the errors of a chain nor their texts. Attributes are
read where ``BaseException`` keeps them: a class may put something else, which raises, in their place.
"""

from __future__ import annotations

import builtins
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from textwrap import indent
from types import TracebackType
from typing import Any, Final, TypeVar

from ..context import FlowState
from ..event import dumps
from ..redaction.conversions import exception_text, name_of
from ..redaction.marks import Mark
from ..redaction.snapshots import snapshot
from ..redaction.texts import MAX_STRING, scrub

T = TypeVar("T")

MAX_FRAMES: Final = 32  # of each error, the last ones: so many fit into a text
MAX_ERRORS: Final = 16  # of one chain, and members of one group
MAX_NOTES: Final = 16  # of one error
MAX_LINES: Final = 2_000  # frames of one error whose source lines are looked at
MAX_DEPTH: Final = 10_000  # frames that are walked to where an error arose
MAX_LOOKED: Final = 1_000  # errors of one group, and of the groups in it, that are looked at

_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_READ: Final = ("__traceback__", "__cause__", "__context__", "__suppress_context__", "args")
_get: Final[dict[str, Any]] = {name: vars(BaseException)[name].__get__ for name in _READ}
_GROUP: Final[Any] = getattr(builtins, "BaseExceptionGroup", ())  # from Python 3.11 on
_NONE: Final = ()
_mro_of: Final[Any] = vars(type)["__mro__"].__get__
_PLAIN: Final = (BaseException.__str__, KeyError.__str__)  # which write out what the error was made with, however large


class Parts:
    """Reads what may be hostile part by part: a part that cannot be read leaves a mark, and the others stand.

    Attributes:
        interrupt: Ctrl-C or an exit that came on the way, or None; whoever reads raises it once everything is told.
    """

    interrupt: BaseException | None = None

    def read(self, make: Callable[..., Any], *arguments: Any, instead: Any = None) -> Any:
        """Return what a call gives; where it raises, ``instead``, or without one a text that says so."""
        try:
            return make(*arguments)
        except BaseException as failure:  # noqa: BLE001 - nothing that one part raises may take the others away
            self.note(failure)
            return f"<{type_name(failure)} while it was read>" if instead is None else instead

    def note(self, failure: BaseException) -> None:
        """Remember the first Ctrl-C or exit."""
        if isinstance(failure, (KeyboardInterrupt, SystemExit)):
            self.interrupt = self.interrupt or failure


def type_name(error: object) -> str:
    """Return the name of an error's class."""
    return name_of(type(error))


def class_names(error: object) -> list[str]:
    """Return the names of an error's class and its bases."""
    return [name_of(kind) for kind in _mro_of(type(error))]


def described(error: BaseException, parts: Parts | None = None) -> dict[str, Any]:
    """Return what an event tells of an error, but for its traceback; not scrubbed, and texts are not cut yet.

    Args:
        error: What was raised.
        parts: Collects an interrupt that comes on the way, or None: then it is raised.

    Returns:
        ``type`` and ``message``, and, where the error has them, ``where`` it arose (``file:line in function``), its direct
        ``cause`` and the ``errors`` of its group, flat (each ``{type, message}``), and ``notes``.
    """
    reading = parts or Parts()
    details = _named(error, reading)
    for key, make in _FURTHER:
        if value := reading.read(make, error, reading, instead=_NONE):
            details[key] = value
    if parts is None and reading.interrupt is not None:
        raise reading.interrupt
    return details


def _named(error: BaseException, parts: Parts) -> dict[str, Any]:
    return {"type": parts.read(type_name, error), "message": parts.read(error_text, error)}


def _where_of(error: BaseException, _: Parts) -> str | None:
    """Return where an error was raised, ``file:line in function``; None where it was not, or too deep for looking."""
    trace: TracebackType | None = _get["__traceback__"](error)
    last = trace
    for _link in range(MAX_DEPTH):
        if trace is None:
            break
        last, trace = trace, trace.tb_next
    if last is None or trace is not None:
        return None
    code = last.tb_frame.f_code
    return f"{code.co_filename}:{last.tb_lineno} in {code.co_name}"


def _cause_of(error: BaseException, parts: Parts) -> dict[str, Any] | None:
    cause, context = _get["__cause__"](error), _get["__context__"](error)
    if cause is None and not _get["__suppress_context__"](error):
        cause = context
    return None if cause is None or cause is error else _named(cause, parts)


def _leaves_of(error: BaseException, parts: Parts) -> list[dict[str, Any]]:
    """Return the errors in a group and the groups in it, at most 16; the last item tells how many are left out."""
    if not (members := members_of(error)):
        return []
    leaves: list[BaseException] = []
    waiting, looked = [*reversed(members)], 0
    while waiting and (looked := looked + 1) <= MAX_LOOKED:
        one = waiting.pop()
        if inner := members_of(one):
            waiting += reversed(inner)
        else:
            leaves.append(one)
    told = [_named(one, parts) for one in leaves[:MAX_ERRORS]]
    if rest := len(leaves) - len(told) + len(waiting):
        told.append({"type": "…", "message": Mark(f"[+{rest} errors]")})
    return told


def _all_notes(error: BaseException, _: Parts) -> list[str]:
    notes = notes_of(error)
    return [*notes[:MAX_NOTES], Mark(f"[+{len(notes) - MAX_NOTES} notes]")] if len(notes) > MAX_NOTES else notes


_FURTHER: Final = (("where", _where_of), ("cause", _cause_of), ("errors", _leaves_of), ("notes", _all_notes))


def error_text(error: object) -> str:
    """Return what an error says, or what went wrong with that; of huge arguments a snapshot.

    Raises:
        KeyboardInterrupt, SystemExit: somebody wants to stop while it is asked.
    """
    try:
        if isinstance(error, BaseException) and type(error).__str__ in _PLAIN:
            arguments = _get["args"](error)
            if any(type(argument) in (list, tuple, dict, set, frozenset) for argument in arguments):
                copy = dumps(scrub(snapshot(arguments[0] if len(arguments) == 1 else arguments)))
                if "…[+" in copy or " items]" in copy or "[depth]" in copy:
                    return copy
        return exception_text(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as failure:  # noqa: BLE001 - whatever a __str__ raises is no reason to break what is observed
        return f"<{type_name(error)}: {type_name(failure)} in its __str__>"


def traceback_text(error: BaseException, flow: FlowState | None = None) -> str:
    """Return an error's traceback, with those of its causes and of its group before and below it; not scrubbed as a whole.

    Args:
        error: What was raised.
        flow: The flow whose taints count where a long text is cut, or None.

    Returns:
        About 8,192 characters at most, where fewer frames do: the oldest go first. ``[+N frames]`` and the like tell what is cut.
    """
    text = ""
    for frames in (MAX_FRAMES, MAX_FRAMES // 4, 2):
        text = _text(error, flow, frames)
        if len(text) <= MAX_STRING:
            break
    return text


def _text(error: BaseException, flow: FlowState | None, frames: int, depth: int = 0) -> str:
    links, is_whole = chain(error)
    parts = [] if is_whole else ["[+ earlier errors]\n"]
    for one, link in reversed(links):
        parts += [*_frames(one, frames), _last_line(one, flow), *_notes(one, flow), *_members(one, flow, frames, depth), link]
    return "".join(parts)


def chain(error: BaseException) -> tuple[list[tuple[BaseException, str]], bool]:
    """Return an error and those it came from, the last first, each with what leads on to the one after it; and if that is all."""
    found, link = [(error, "")], ""
    seen = {id(error)}
    while True:
        cause, context = _get["__cause__"](error), _get["__context__"](error)
        if cause is not None:
            error, link = cause, _CAUSE
        elif context is not None and not _get["__suppress_context__"](error):
            error, link = context, _CONTEXT
        else:
            return found, True
        if id(error) in seen:
            return found, True
        if len(found) >= MAX_ERRORS:
            return found, False
        seen.add(id(error))
        found.append((error, link))


def _frames(error: BaseException, most: int) -> list[str]:
    trace: TracebackType | None = _get["__traceback__"](error)
    if trace is None:
        return []
    rest = sum(1 for _ in _links(trace)) - most
    # Walked to where it begins here: asked for the last ones, Python finds out the columns of all.
    begin = next(islice(_links(trace), rest, None)) if rest > 0 else trace
    told = ["Traceback (most recent call last):\n", *_lines(begin)]
    return [f"[+{rest} frames]\n", *told] if rest > 0 else told


def _lines(trace: TracebackType | None) -> list[str]:
    """Return the lines of frames, with their source where that can be read: a module's loader may raise anything."""
    try:
        return traceback.format_list(traceback.extract_tb(trace))
    except Exception:  # noqa: BLE001 - then without it
        codes = ((link.tb_frame.f_code, link.tb_lineno) for link in _links(trace))
        return [f'  File "{code.co_filename}", line {line}, in {code.co_name}\n' for code, line in codes]


def _links(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _last_line(error: BaseException, flow: FlowState | None) -> str:
    kind = type(error)
    module = vars(type)["__module__"].__get__(kind)
    name = str.__str__(vars(type)["__qualname__"].__get__(kind))[:MAX_STRING]
    where = "" if module in ("builtins", "__main__") or type(module) is not str else f"{module}."
    text = snapshot(error_text(error), flow)
    return f"{where}{name}: {text}\n" if text else f"{where}{name}\n"


def _notes(error: BaseException, flow: FlowState | None) -> list[str]:
    notes = notes_of(error)
    told = [f"{snapshot(note, flow)}\n" for note in islice(notes, MAX_NOTES)]
    return [*told, f"[+{len(notes) - MAX_NOTES} notes]\n"] if len(notes) > MAX_NOTES else told


def notes_of(error: BaseException) -> list[str]:
    """Return the notes of an error that are texts (PEP 678)."""
    try:
        notes = error.__dict__.get("__notes__")
    except Exception:  # noqa: BLE001 - a class may hide its __dict__ behind something that raises
        return []
    return [note for note in notes if type(note) is str] if type(notes) is list else []


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """Return the errors in a group, none for any other error (PEP 654)."""
    if not issubclass(type(error), _GROUP):
        return ()
    members: tuple[BaseException, ...] = vars(_GROUP)["exceptions"].__get__(error)
    return members


def _members(error: BaseException, flow: FlowState | None, frames: int, depth: int) -> Iterator[str]:
    members = members_of(error)
    if not members or depth >= 3:
        return
    shown = members[: MAX_ERRORS >> depth]
    for number, member in enumerate(shown, 1):
        yield f"  +---------------- {number} ----------------\n"
        yield indent(_text(member, flow, frames >> 1 or 1, depth + 1), "  | ", lambda line: True)
    if len(members) > len(shown):
        yield f"  [+{len(members) - len(shown)} errors]\n"


def pieces(error: BaseException) -> Iterator[str | None]:
    """Yield every text that a full traceback shows: messages, notes and source lines; None for what nobody can look through."""
    waiting, looked = [error], 0
    while waiting:
        links, is_whole = chain(waiting.pop())
        if not is_whole or (looked := looked + len(links)) > 2 * MAX_ERRORS:
            yield None
            return
        for one, _ in links:
            yield error_text(one)
            notes = notes_of(one)
            yield from notes[:MAX_NOTES]
            if len(notes) > MAX_NOTES:
                yield None
            yield from _source_lines(one)
            waiting += members_of(one)[: 2 * MAX_ERRORS + 1]


def _source_lines(error: BaseException) -> Iterator[str | None]:
    frames = traceback.walk_tb(_get["__traceback__"](error))
    places = {(frame.f_code.co_filename, line) for frame, line in islice(frames, MAX_LINES)}
    for path, line in places:
        yield _source_line(path, line or 0)
    if next(frames, None) is not None:
        yield None


def _source_line(path: str, line: int) -> str | None:
    try:
        return linecache.getline(path, line)
    except Exception:  # noqa: BLE001 - a name that the file system refuses, a loader that raises: none is shown then either
        return None


class InsideAnError(Exception):
    """What stands in for an error of observed code while it is logged."""


def apart(call: Callable[[T], object], argument: T) -> None:
    """Call something so that what goes wrong in there is not chained to the error that is being handled.

    ``logging.Handler.handleError`` prints the whole chain, and the texts of the errors of observed code are not scrubbed.
    """
    if sys.exc_info()[1] is None:
        call(argument)
        return
    try:
        raise InsideAnError("an error is being logged; it is left out here, for it may hold secrets")
    except InsideAnError as stand_in:
        stand_in.__context__ = None
        call(argument)
