"""Errors made again from what a log says of them: the class as far as it is known here, the text, and where it was raised."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from typing import Any, Final

_WHERE: Final = re.compile(r"(.+):(\d+) in (.+)", re.DOTALL)
_MADE: Final = "_made_from_a_log"
# What ``type`` itself says of a class. A class may have a metaclass that raises, or that says something else.
_NAMESPACE: Final = type.__dict__["__dict__"].__get__
_NAME: Final = type.__dict__["__name__"].__get__
_RAISE: Final = compile("raise error", "?", "exec", dont_inherit=True)


def raised(details: Mapping[str, Any], whole: BaseException | None = None) -> BaseException:
    """Return an error as a recorded one was, with a traceback that ends where that one was raised.

    It is an instance of the recorded class if this process has imported one class of that name; otherwise of ``Exception``.

    Args:
        details: The ``data.error`` of an event.
        whole: The error itself, from a full recording, or None.
    """
    error = whole or _made(details)
    cause = details.get("cause")
    if isinstance(cause, dict):
        error.__cause__ = _made(cause)
    notes = details.get("notes")
    if isinstance(notes, list):
        vars(error)["__notes__"] = [note for note in notes if isinstance(note, str)]
    if match := _WHERE.fullmatch(str(details.get("where"))):
        file, line, name = match.groups()
        code = _RAISE.replace(co_filename=file, co_firstlineno=int(line), co_name=name)
        try:
            exec(code, {"error": error})
        except BaseException as caught:  # noqa: BLE001 - it was raised for its traceback
            trace = caught.__traceback__
            return caught.with_traceback(trace.tb_next if trace is not None else None)
    return error


def _made(details: Mapping[str, Any]) -> BaseException:
    name, text = str(details.get("type")), str(details.get("message"))
    base = _class_named(name)
    try:
        return _instance(name, base, text)
    except Exception:  # noqa: BLE001 - it cannot be made from a text: a group cannot, nor what a metaclass or __new__ refuses
        return _instance(name, Exception, text)


def _instance(name: str, base: type[BaseException], text: str) -> BaseException:
    """Return an error of a class below another one, whose constructor is not called: what it takes is not recorded."""
    own = {
        "__module__": _NAMESPACE(base).get("__module__"),
        "__str__": lambda self: text,
        "__init__": lambda *_: None,
        _MADE: True,
    }
    error: BaseException = base.__new__(type(name, (base,), own), text)
    return error


def _class_named(name: str) -> type[BaseException]:
    """Return the class with a name, if there is one and only one in this process; otherwise ``Exception``."""
    own = getattr(builtins, name, None)
    if isinstance(own, type) and issubclass(own, Exception):
        return own
    found: dict[int, type[BaseException]] = {}
    waiting: list[type[BaseException]] = [Exception]
    while waiting:
        for kind in type.__subclasses__(waiting.pop()):
            if id(kind) not in found and _MADE not in _NAMESPACE(kind):
                found[id(kind)] = kind
                waiting.append(kind)
    named = [kind for kind in found.values() if _NAME(kind) == name]
    return named[0] if len(named) == 1 else Exception
