"""What can go wrong: one tree of exceptions, each of them also a fitting builtin.

Every message names the offending value, what is allowed and the next step, on one line, so that a command line can
print it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any


class ObservabilityError(Exception):
    """Base of every error that the_edge_obs raises on purpose.

    Its message may quote what it was given: secrets in there are taken out, and of a long one 8,192 characters stay.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(_shown(arg) if isinstance(arg, str) else arg for arg in args))


_shown: Callable[[str], str] = str


def show_with(shown: Callable[[str], str]) -> None:
    """Say what takes the secrets out of messages.

    Errors lie below redaction, and import nothing of it; the package, which is imported before any of its modules, brings the
    two together.
    """
    global _shown
    _shown = shown


class ConfigurationError(ObservabilityError, ValueError):
    """A configuration that cannot be used: unknown key, level, handler or format, or an unwritable path.

    Attributes:
        where: The part that is wrong, such as ``observability.handlers[0].path``; empty where it is not known.
    """

    def __init__(self, *args: object, where: str = "") -> None:
        self.where = where
        super().__init__(*args)


class EventError(ObservabilityError, ValueError):
    """An event that does not follow the event schema."""


class QueryError(ObservabilityError, ValueError):
    """An unknown filter, or a filter with a value it does not take."""


class LevelError(ConfigurationError, EventError, QueryError):
    """A level that does not exist, wherever it was given."""


class DurationError(ConfigurationError, QueryError):
    """A duration that cannot be read, wherever it was given."""


class ExportError(ObservabilityError, ValueError):
    """An export that cannot be made: unknown format or unwritable path."""


class LogFileError(ObservabilityError, ValueError):
    """A file that is not there, cannot be read, or holds no events."""


class FlowNotFoundError(ObservabilityError, LookupError):
    """No buffer and no file knows the flow that was asked for."""


class FlowFileError(ObservabilityError, ValueError):
    """A YAML flow with a mistake in it, refused before anything ran.

    Args:
        problem: What is wrong and what is allowed, in one line.
        path: The flow file, or None for a flow given as a dict.
        line: 1-based line of the mistake, or None where it is not known.
        step: The node with the mistake, or None for one outside of the nodes.

    Attributes:
        others: The further mistakes of the same flow; this one was found first.
    """

    def __init__(self, problem: str, *, path: str | None = None, line: int | None = None, step: str | None = None) -> None:
        self.problem, self.path, self.line, self.step = problem, path, line, step
        self.others: tuple[FlowFileError, ...] = ()
        place = ":".join(str(part) for part in (path, line) if part is not None)
        super().__init__(f"{place}: {problem}" if place else problem)


class FlowRunError(ObservabilityError, RuntimeError):
    """A running YAML flow that cannot continue: a template, a condition, a route or the step limit.

    What a node raises comes out of the flow unchanged.

    Args:
        problem: What is wrong, in one line; it names the step.
        step: The node that cannot run or be left, or None for the flow as a whole.
    """

    def __init__(self, problem: str, *, step: str | None = None) -> None:
        self.step = step
        super().__init__(problem)


class ActionError(ObservabilityError, RuntimeError):
    """An action that could not do its work."""


class MissingExtraError(ObservabilityError, ImportError):
    """An optional package is missing; the message names the extra that installs it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional package: python -m pip install 'the_edge_obs[{extra}]'")


def allowed(choices: Iterable[object], given: object = None) -> str:
    """Return the choices as the tail of an error message: ``allowed: a, b, c``, after the one that ``given`` may have meant."""
    names = [str(choice) for choice in choices]
    return ("" if given is None else did_you_mean(given, names)) + "allowed: " + ", ".join(names)


def did_you_mean(given: object, names: Iterable[str]) -> str:
    """Return ``did you mean 'x'? `` for the name that is closest to the given one, or an empty text when none is close."""
    # Imported here, where something is wrong already: who makes no mistake need not wait for it.
    from difflib import get_close_matches

    close = get_close_matches(str(given), list(names), 1)
    return f"did you mean {close[0]!r}? " if close else ""


def check_keys(where: str, given: Mapping[Any, Any], known: Iterable[str]) -> None:
    """Check that a mapping has no key but the known ones.

    Raises:
        ConfigurationError: it has; the message names the key, where it stands and what is allowed.
    """
    known = tuple(known)
    for key in given:
        if key not in known:
            raise ConfigurationError(f"unknown key {key!r} in {where}; {allowed(known, key)}", where=f"{where}.{key}")
