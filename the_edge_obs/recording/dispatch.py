"""The way of an event to its handlers: straight to them where logging's own methods would do no more, else through the logger."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from logging import Logger
from types import FunctionType
from typing import Any, Final, TypeAlias

from .faults import own_fault
from .records import Facts, NodeRecord
from .tracebacks import apart, type_name

Take: TypeAlias = "Callable[[Facts], object]"

KEEPERS: Final[set[type[logging.Handler]]] = set()
"""Handler classes, by exact type, whose ``keep(facts)`` does what their ``handle`` does with a record of the facts.

It returns a function that takes the later facts of the same span directly, or None where it wants to see them itself.
"""

FACT_FILTERS: Final[dict[type[Any], Callable[[Any, Facts], bool]]] = {}
"""Filter classes, by exact type, with what tells of facts, in place of a record of them, whether they pass."""


def emit(logger: logging.Logger, facts: Facts, error: BaseException | None = None) -> Take | None:
    """Hand facts to the handlers of a logger and of those above it, as ``Logger.handle`` does with a record.

    What it gains: a record is made only where a handler wants one, and rings and flow files do not; that is a third of the cost
    of an event. What it costs: the loop of ``Logger.callHandlers`` stands here again. Where others have put theirs in the
    place of logging's methods, as Sentry, ddtrace and New Relic do, and where the logger has filters, the event goes through the
    logger. Without any handler nothing happens: logging's last resort would print it, and a user who configured nothing expects
    no output. Whether the logger is enabled, the caller has asked: a span whose entry was logged gets its end in any case.

    Args:
        logger: The node's logger.
        facts: What happened.
        error: What was raised, for the handlers that want a record. Default None.

    Returns:
        Where keepers alone took the facts, a function that takes the end of the same span without looking for handlers
        again; else None.

    Raises:
        BaseException: what a handler raised, once all others have had the facts. As in ``logging``, an ``Exception`` is that
            handler's failure, which callers report; anything else, such as Ctrl-C, wants the program to stop, and goes on.
    """
    if (
        logger.filters
        or type(logger) is not Logger
        or Logger.callHandlers is not _call_handlers
        or Logger.makeRecord is not _make_record
        or Logger.handle is not _handle
    ) and (logger.filters or not has_own_methods(type(logger), _METHODS)):
        _through(logger, facts, error)
        return None
    at = logger
    while not (handlers := at.handlers):  # most have none, and looking costs less than going through an empty list
        above = at.parent if at.propagate else None
        if above is None:
            return None
        at = above
    above = at.parent if at.propagate else None
    if above is not None and (above.handlers or above.parent is not None):
        return _to_all(at, facts, error)
    for handler in handlers:
        if type(handler) not in KEEPERS or handler.filters or facts[2] < handler.level:
            return _to_all(at, facts, error)
        if len(handlers) == 1:
            return handler.keep(facts)  # type: ignore[attr-defined, no-any-return]
    take, are_all_direct = None, True
    for handler in handlers:
        if (its_take := handler.keep(facts)) is None:  # type: ignore[attr-defined]
            are_all_direct = False
        else:
            take = its_take if take is None else _both(take, its_take)
    return take if are_all_direct else None


def has_own_methods(kind: type[Logger], names: Iterable[str]) -> bool:
    """Tell whether methods of a class of loggers are those that ``logging`` gave it, not another's in their place.

    What stands around a method may show the method's own code, as wrapt's wrappers do, and is not a function.
    """
    methods = (getattr(kind, name) for name in names)
    return all(type(method) is FunctionType and method.__code__.co_filename == _LOGGING for method in methods)


_LOGGING: Final = logging.addLevelName.__code__.co_filename
_METHODS: Final = ("callHandlers", "makeRecord", "handle", "filter")


def _own(name: str) -> Any:
    """Return a method of ``Logger`` if it is logging's own; what it is compared with otherwise is not the method."""
    return getattr(Logger, name) if has_own_methods(Logger, [name]) else None


# Compared with each event: whoever patches Logger may do so when nodes have long been running.
_call_handlers: Final = _own("callHandlers")
_make_record: Final = _own("makeRecord")
_handle: Final = _own("handle")


def verdicts(logger: logging.Logger) -> Mapping[int, bool]:
    """Return where to look up, without asking the logger, whether a level is enabled; what is not there, the logger is asked.

    ``Logger.isEnabledFor`` keeps its verdicts by level; of a class that overrides it there are none.
    """
    if has_own_methods(type(logger), ["isEnabledFor"]):
        return logger._cache  # type: ignore[attr-defined, no-any-return]
    return {}


def _through(logger: logging.Logger, facts: Facts, error: BaseException | None) -> None:
    """Hand facts to the logger as a record, for its filters and for tools that stand in the place of its methods."""
    if not logger.hasHandlers():
        return
    record = NodeRecord(facts, error)
    if not has_own_methods(type(logger), ["makeRecord"]):
        try:
            record.complete(logger.makeRecord)
        except Exception:  # noqa: BLE001 - what stands in its place fails; the record is made without it
            own_fault(f"{type_name(logger)}.makeRecord", facts[0])
    if not logger.disabled:
        apart(logger.handle, record)
    elif logger.filter(record):  # handle would drop the end of a span whose entry it let through
        apart(logger.callHandlers, record)


def _to_all(at: logging.Logger | None, facts: Facts, error: BaseException | None) -> Take | None:
    """Hand facts to the handlers of a logger and of those above it; ``emit`` says what it returns and raises."""
    record, take, are_all_direct = None, None, True
    failure: BaseException | None = None
    for handler in _takers(at, facts):
        if type(handler) in KEEPERS and (not handler.filters or _can_judge(handler.filters)):
            if handler.filters and not all(FACT_FILTERS[type(one)](one, facts) for one in handler.filters):
                continue
            its_take = handler.keep(facts)
            if its_take is None:
                are_all_direct = False
            else:
                take = its_take if take is None else _both(take, its_take)
        else:
            are_all_direct = False
            record = record or NodeRecord(facts, error)
            failed = handed(handler, record)
            if failed is not None and (failure is None or isinstance(failure, Exception)):
                failure = failed
    if failure is not None:
        raise failure
    return take if are_all_direct else None


def _takers(at: logging.Logger | None, facts: Facts) -> Iterator[Any]:
    """Yield the handlers of a logger and of those above it that want facts: a keeper once, however many loggers have it."""
    level, is_confined = facts[2], False
    served: list[logging.Handler] = []
    while at is not None:
        for handler in at.handlers:
            if level < handler.level or (is_confined and not _is_ours(handler)):
                continue
            if handler not in served or type(handler) not in KEEPERS:
                yield handler
        served += at.handlers
        is_confined = is_confined or (bool(_confined) and _stays(at, facts))
        at = at.parent if at.propagate else None


_confined: Final[list[object]] = []


def confine(scope: object) -> Callable[[], None]:
    """Keep what a scope's flows log from other people's handlers above ``tea``, and return the undo.

    It is what ``propagate: false`` does, for some flows alone: others go on as they are. Handlers and formatters of this package
    are there for nodes, wherever somebody has put them.
    """
    _confined.append(scope)

    def undo() -> None:
        for number, other in enumerate(_confined):
            if other is scope:
                del _confined[number]
                return

    return undo


def _stays(at: logging.Logger, facts: Facts) -> bool:
    scope = facts[0][0].scope
    return at.name == "tea" and scope is not None and any(scope is other for other in _confined)


def _is_ours(handler: logging.Handler) -> bool:
    return __name__.partition(".")[0] in (
        type(one).__module__.partition(".")[0] for one in (handler, handler.formatter, *handler.filters)
    )


def _can_judge(filters: list[Any]) -> bool:
    """Tell whether all filters can do without a record."""
    return all(type(one) in FACT_FILTERS for one in filters)


def _both(first: Take, second: Take) -> Take:
    def take(facts: Facts) -> None:
        first(facts)
        second(facts)

    return take


MAX_REENTRY: Final = 3  # a signal handler or a finalizer may well log while its thread is inside a handler
_handing = threading.local()


def handed(handler: logging.Handler, record: NodeRecord) -> BaseException | None:
    """Hand a record to a handler; return what it raised, even an interrupt, which is for the caller to raise.

    A handler that logs, or calls what is observed, gets those records too, but not without end: where each event causes two more,
    and the RecursionError of each is caught, that takes 2 to the power of the recursion limit.
    """
    depths: dict[int, int] = _handing.__dict__.setdefault("depths", {})
    depth = depths.get(id(handler), 0)
    if depth > MAX_REENTRY:
        return RecursionError(f"{type(handler).__name__} causes events while it handles one")
    depths[id(handler)] = depth + 1
    try:
        apart(handler.handle, record)
    except BaseException as error:  # noqa: BLE001 - the caller raises it, once all have had the record
        return error
    finally:
        if depth:
            depths[id(handler)] = depth
        else:
            del depths[id(handler)]
    return None
