"""The exceptions of the package: one hierarchy, in which each class is also a subclass of a fitting builtin.

Every message names the offending value, what is allowed and the next step. It is one line, so a command line can print it as it
is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any


class ObservabilityError(Exception):
    """Base of every error that the_edge_obs raises on purpose.

    A message may quote a value. Secrets are removed from it, and a long message is cut to 8,192 characters.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(_shown(arg) if isinstance(arg, str) else arg for arg in args))


_shown: Callable[[str], str] = str


def show_with(shown: Callable[[str], str]) -> None:
    """Set the function that removes secrets from messages.

    This module lies below redaction and does not import it. The package, which is imported before any of its modules, connects
    the two.
    """
    global _shown
    _shown = shown


class ConfigurationError(ObservabilityError, ValueError):
    """A configuration that cannot be used: an unknown key, level, handler or format, or a path that cannot be written.

    Attributes:
        where: The part that is wrong, such as ``observability.handlers[0].path``; empty if it is not known.
    """

    def __init__(self, *args: object, where: str = "") -> None:
        self.where = where
        super().__init__(*args)


class EventError(ObservabilityError, ValueError):
    """An event that does not follow the event schema."""


class QueryError(ObservabilityError, ValueError):
    """An unknown filter, or a filter whose value is not valid."""


class LevelError(ConfigurationError, EventError, QueryError):
    """A level that does not exist. It is the same error in a configuration, an event and a filter."""


class DurationError(ConfigurationError, QueryError):
    """A duration that cannot be read. It is the same error in a configuration and a filter."""


class ExportError(ObservabilityError, ValueError):
    """An export that failed: the format is unknown, or the path cannot be written."""


class LogFileError(ObservabilityError, ValueError):
    """A log file that does not exist, cannot be read, or holds no events."""


class FlowNotFoundError(ObservabilityError, LookupError):
    """The flow is in no ring buffer and in no log file."""


class NotRecordedError(ObservabilityError, LookupError):
    """A value of a full recording that cannot be made again; the message says where it stood, and why."""


class FlowFileError(ObservabilityError, ValueError):
    """A YAML flow with a mistake. It is refused before anything runs.

    Args:
        problem: What is wrong and what is allowed, in one line.
        path: The flow file, or None for a flow given as a dict.
        line: 1-based line of the mistake, or None if it is not known.
        step: The node with the mistake, or None for a mistake outside the nodes.

    Attributes:
        others: Further mistakes in the same flow, in the order in which they were found.
    """

    def __init__(self, problem: str, *, path: str | None = None, line: int | None = None, step: str | None = None) -> None:
        self.problem, self.path, self.line, self.step = problem, path, line, step
        self.others: tuple[FlowFileError, ...] = ()
        location = ":".join(str(part) for part in (path, line) if part is not None)
        super().__init__(f"{location}: {problem}" if location else problem)


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
    """An action failed."""


class MissingExtraError(ObservabilityError, ImportError):
    """An optional package is missing; the message names the extra that installs it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional package: python -m pip install 'the_edge_obs[{extra}]'")


def allowed(choices: Iterable[object], given: object = None) -> str:
    """Return the end of an error message: ``allowed: a, b, c``, after a suggestion for the given value if one is close."""
    names = [str(choice) for choice in choices]
    return ("" if given is None else did_you_mean(given, names)) + "allowed: " + ", ".join(names)


def did_you_mean(given: object, names: Iterable[str]) -> str:
    """Return ``did you mean 'x'? `` for the name that is closest to the given one, or an empty text if none is close."""
    # Imported here, because only a mistake needs it.
    from difflib import get_close_matches

    close = get_close_matches(str(given), list(names), 1)
    return f"did you mean {close[0]!r}? " if close else ""


def check_keys(where: str, given: Mapping[Any, Any], known: Iterable[str]) -> None:
    """Check that a mapping has only known keys.

    Raises:
        ConfigurationError: A key is unknown; the message names the key, ``where`` it was given and the known keys.
    """
    known = tuple(known)
    for key in given:
        if key not in known:
            raise ConfigurationError(f"unknown key {key!r} in {where}; {allowed(known, key)}", where=f"{where}.{key}")
