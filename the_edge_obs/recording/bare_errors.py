"""Errors for third-party handlers: their tracebacks show no variables, and their texts no secrets.

Sentry, loguru, rich and structlog print the variables of frames, and those include the arguments of a call. So these tools
get a traceback with substitute frames: the same files, lines and functions, without variables.
"""

from __future__ import annotations

import builtins
import linecache
import sys
import threading
import traceback
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, Final, TypeAlias, cast

from ..context import FlowState
from ..redaction.snapshots import snapshot
from ..redaction.texts import scrub_text
from .tracebacks import MAX_ERRORS, MAX_FRAMES, MAX_NOTES, chain, error_text, members_of, notes_of, pieces, type_name

ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None]"


_AROUND: Final = 5  # lines before and after the one of a frame; Sentry shows 5, rich 3
_GROUP: Final[Any] = getattr(builtins, "ExceptionGroup", None)  # from Python 3.11 on


def _read(name: str, error: BaseException) -> Any:
    """Return an attribute as ``BaseException`` stores it: a subclass may override it."""
    return vars(BaseException)[name].__get__(error)


def clean_text(text: str, flow: FlowState | None) -> str:
    """Return a text without secrets, cut to the length of a captured text."""
    return scrub_text(cast("str", snapshot(text, flow)), flow.taints if flow is not None else ())


def is_clean(error: BaseException, flow: FlowState | None) -> bool:
    """Tell whether the full traceback of an error has no secrets, and is short enough to be searched."""
    return all(piece is not None and clean_text(piece, flow) == piece for piece in pieces(error))


def exc_info_of(error: BaseException, flow: FlowState) -> ExcInfo:
    """Return the ``exc_info`` of a record for an error.

    Returns:
        The error itself if it has no cause, no group and no secret: tools recognise an error by its identity. Otherwise a
        likeness: errors with the same class names, clean texts and the same chain. Frames whose source contains a secret are
        missing from the traceback.
    """
    is_alone = len(chain(error)[0]) == 1 and not members_of(error)
    shown = error if is_alone and _has_no_secrets(error, flow) else _remembered_likeness(error, flow)
    return type(shown), shown, _bare(error, flow)


def _has_no_secrets(error: BaseException, flow: FlowState) -> bool:
    """Tell whether an error's text, notes and arguments are clean: OpenTelemetry reads arguments that ``str`` may not show."""
    notes, arguments = notes_of(error), _read("args", error)
    if len(notes) > MAX_NOTES or len(arguments) > MAX_NOTES or any(type(value) not in (str, int, float) for value in arguments):
        return False
    texts = [error_text(error), *notes, *(value for value in arguments if type(value) is str)]
    return all(clean_text(text, flow) == text for text in texts) and _can_be_formatted(error)


def _can_be_formatted(error: BaseException) -> bool:
    """Tell whether an error can be formatted: a subclass may override an attribute with something that raises."""
    try:
        list(traceback.TracebackException(type(error), error, None, compact=True).format())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - the overridden attribute may raise anything
        return False
    return True


class _Last(threading.local):
    """The last likeness of this thread: an error leaves several spans, and tools must recognise it as one error."""

    known: tuple[tuple[int, str, str, str], BaseException] | None = None


_last: Final = _Last()


def _remembered_likeness(error: BaseException, flow: FlowState) -> BaseException:
    # The error itself is not kept, because it holds its frames. Another error with the same id has the same name and text.
    key = id(error), flow.id, type_name(error), error_text(error)
    if _last.known is None or _last.known[0] != key:
        _last.known = key, _likeness(error, flow)
    return _last.known[1]


def _likeness(error: BaseException, flow: FlowState, depth: int = 0) -> BaseException:
    """Return a copy of an error and its chain: the same class names and texts, without secrets."""
    made = before = None
    for link, _ in reversed(chain(error)[0]):
        like = _like(link, flow, depth)
        if made is not None:
            setattr(like, "__cause__" if _read("__cause__", link) is before else "__context__", made)
        made, before = like, link
    assert made is not None  # a chain begins with the error itself
    return made


def _like(error: BaseException, flow: FlowState, depth: int) -> BaseException:
    kind, text = type(error), clean_text(error_text(error), flow)
    named = {name: vars(type)[name].__get__(kind) for name in ("__module__", "__qualname__")}
    members = members_of(error)[: MAX_ERRORS >> depth] if depth < 3 else ()
    body = {name: value for name, value in named.items() if type(value) is str} | {"__str__": lambda self: text}
    if members:
        made = type(type_name(error), (_GROUP,), body)(text, [_likeness(member, flow, depth + 1) for member in members])
    else:
        made = type(type_name(error), (Exception,), body)(text)
    if notes := [clean_text(note, flow) for note in notes_of(error)[:MAX_NOTES]]:
        made.__notes__ = notes
    return cast("BaseException", made.with_traceback(_bare(error, flow)))


def _bare(error: BaseException, flow: FlowState) -> TracebackType | None:
    """Return a traceback of the last frames of an error, without variables; frames that cannot be shown are left out."""
    bare: TracebackType | None = None
    for link in reversed([*_links(_read("__traceback__", error))][-MAX_FRAMES:]):
        around = _source(link)
        if around is not None and clean_text(around, flow) == around:
            bare = TracebackType(bare, _frame(link.tb_frame), -1, link.tb_lineno)
    return bare


def _source(link: TracebackType) -> str | None:
    """Return the source around a frame's line, as much as tools show; None if it cannot be read."""
    try:
        lines = linecache.getlines(link.tb_frame.f_code.co_filename)
    except Exception:  # noqa: BLE001 - a name that the file system refuses
        return None
    return "".join(lines[max(0, link.tb_lineno - 1 - _AROUND) : link.tb_lineno + _AROUND])


def _links(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _template() -> Iterator[None]:
    yield


def _frame(like: FrameType) -> FrameType:
    """Return a frame of the same file, function and module, without variables and without a caller.

    A generator that has not started has such a frame.
    """
    code, module = like.f_code, like.f_globals.get("__name__")
    names: dict[str, Any] = {"co_filename": code.co_filename, "co_name": code.co_name, "co_firstlineno": code.co_firstlineno}
    if sys.version_info >= (3, 11):
        names["co_qualname"] = code.co_qualname
    plain: CodeType = _template.__code__.replace(**names)
    return cast("FrameType", FunctionType(plain, {"__name__": module if type(module) is str else None})().gi_frame)
