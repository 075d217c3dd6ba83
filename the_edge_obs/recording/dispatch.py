"""How an event reaches its handlers: directly if ``logging``'s own methods would do no more, otherwise through the logger."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from logging import Logger
from types import FunctionType
from typing import Any, Final, TypeAlias

from .faults import Guard, own_fault
from .records import Facts, NodeRecord, flow_of, level_of, node_of, place_of
from .tracebacks import apart, type_name

Take: TypeAlias = "Callable[[Facts], object]"

KEEPERS: Final[set[type[logging.Handler]]] = set()
"""Handler classes, by exact type, whose ``keep(facts)`` does what their ``handle`` does with a record of the facts.

It returns a function that takes the later facts of the same span directly, or None if ``keep`` must be called again.
"""

FACT_FILTERS: Final[dict[type[Any], Callable[[Any, Facts], bool]]] = {}
"""Filter classes, by exact type, with a function that decides from the facts, without a record, whether they pass."""


def emit(logger: logging.Logger, facts: Facts, error: BaseException | None = None) -> Take | None:
    """Hand facts to the handlers of a logger and of its ancestors, as ``Logger.handle`` does with a record.

    The gain: a record is made only if a handler needs one. Rings and flow files do not, which saves a third of the cost of an
    event. The price: this repeats the loop of ``Logger.callHandlers``. If a tool has replaced methods of ``Logger``, as Sentry,
    ddtrace and New Relic do, or if the logger has filters, the event goes through the logger. Without any handler nothing
    happens: logging's last resort would print the event, and a user who configured nothing expects no output. The caller has
    checked whether the logger is enabled: a span whose entry was logged always gets its end.

    Args:
        logger: The node's logger.
        facts: What happened.
        error: The exception, for the handlers that need a record. Default None.

    Returns:
        If only keepers took the facts, a function that takes the end of the same span without looking for handlers again;
        otherwise None.

    Raises:
        BaseException: a handler raised it; all other handlers have had the facts. As in ``logging``, an ``Exception`` is a
            failure of that handler, which callers report. Anything else, such as Ctrl-C, stops the program.
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
    while not (handlers := at.handlers):  # most loggers have none, and this test is cheaper than a loop over an empty list
        above = at.parent if at.propagate else None
        if above is None:
            return None
        at = above
    above = at.parent if at.propagate else None
    if above is not None and (above.handlers or above.parent is not None):
        return _to_all(at, facts, error)
    for handler in handlers:
        if type(handler) not in KEEPERS or facts[2] < handler.level:  # by index: each event passes here
            return _to_all(at, facts, error)
        if handler.filters and not _judged(handler.filters, facts):
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
    """Tell whether the methods of a logger class are ``logging``'s own, not replacements.

    A wrapper may expose the code of the method that it wraps, as wrapt's do, but it is not a plain function.
    """
    methods = (getattr(kind, name) for name in names)
    return all(type(method) is FunctionType and method.__code__.co_filename == _LOGGING for method in methods)


_LOGGING: Final = logging.addLevelName.__code__.co_filename
_METHODS: Final = ("callHandlers", "makeRecord", "handle", "filter")


def _own(name: str) -> Any:
    """Return a method of ``Logger`` if it is ``logging``'s own, otherwise None, which no method is equal to."""
    return getattr(Logger, name) if has_own_methods(Logger, [name]) else None


# Compared with each event: Logger may be patched at any time, even in the middle of a run.
_call_handlers: Final = _own("callHandlers")
_make_record: Final = _own("makeRecord")
_handle: Final = _own("handle")


def verdicts(logger: logging.Logger) -> Mapping[int, bool]:
    """Return the cache of a logger: for each level, whether it is enabled. Ask the logger about a level that is missing.

    ``Logger.isEnabledFor`` fills the cache. If a class overrides that method, the result is empty.
    """
    if has_own_methods(type(logger), ["isEnabledFor"]):
        return logger._cache  # type: ignore[attr-defined, no-any-return]
    return {}


def _through(logger: logging.Logger, facts: Facts, error: BaseException | None) -> None:
    """Hand facts to the logger as a record, for its filters and for tools that replaced its methods."""
    if not logger.hasHandlers():
        return
    record = NodeRecord(facts, error)
    if not has_own_methods(type(logger), ["makeRecord"]):
        with Guard(own_fault, f"{type_name(logger)}.makeRecord", place_of(facts)):  # then the record is made without it
            record.complete(logger.makeRecord)
    if not logger.disabled:
        apart(logger.handle, record)
    elif logger.filter(record):  # handle would drop the end of a span whose entry was logged
        apart(logger.callHandlers, record)


def _to_all(at: logging.Logger | None, facts: Facts, error: BaseException | None) -> Take | None:
    """Hand facts to the handlers of a logger and of its ancestors; see ``emit`` for what it returns and raises."""
    record, take, are_all_direct = None, None, True
    failure: BaseException | None = None
    for handler in _takers(at, facts):
        verdict = _judged(handler.filters, facts) if type(handler) in KEEPERS else None
        if verdict is False:
            continue
        if verdict:
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
    """Yield the handlers of a logger and of its ancestors that accept facts: a keeper once, even if several loggers have it."""
    level, is_confined = level_of(facts), False
    served: list[logging.Handler] = []
    while at is not None:
        for handler in at.handlers:
            if level < handler.level or (is_confined and not _is_own(handler)):
                continue
            if handler not in served or type(handler) not in KEEPERS:
                yield handler
        served += at.handlers
        if _confined and at.name == _ROOT and not is_confined:
            is_confined = _stays(facts)
        at = at.parent if at.propagate else None


def reaches(facts: Facts, handler: logging.Handler) -> bool:
    """Tell whether the event of facts comes to a handler: by the loggers, by its level, and by its filters."""
    at: logging.Logger | None = logging.getLogger(f"{_ROOT}.{node_of(facts)}")
    if any(handler is taker for taker in _takers(at, facts)):
        passes = _judged(handler.filters, facts)
        return bool(handler.filter(NodeRecord(facts))) if passes is None else passes
    return False


_ROOT: Final = "tea"
_confined: Final[list[object]] = []


def confine(scope: object) -> Callable[[], None]:
    """Keep the events of a scope's flows from third-party handlers above ``tea``, and return the undo.

    This is ``propagate: false`` for some flows; other flows are not affected. Handlers with a class, a formatter or a filter of
    this package still get the events, on any logger.
    """
    _confined.append(scope)

    def undo() -> None:
        for number, other in enumerate(_confined):
            if other is scope:
                del _confined[number]
                return

    return undo


def _stays(facts: Facts) -> bool:
    scope = flow_of(facts).scope
    return scope is not None and any(scope is other for other in _confined)


def _is_own(handler: logging.Handler) -> bool:
    return __name__.partition(".")[0] in (
        type(part).__module__.partition(".")[0] for part in (handler, handler.formatter, *handler.filters)
    )


def _judged(filters: list[Any], facts: Facts) -> bool | None:
    """Tell whether facts pass all filters; None where one of them needs a record."""
    passes = True
    for check in filters:
        judge = FACT_FILTERS.get(type(check))
        if judge is None:
            return None
        passes = passes and judge(check, facts)
    return passes


def _both(first: Take, second: Take) -> Take:
    def take(facts: Facts) -> None:
        first(facts)
        second(facts)

    return take


MAX_REENTRY: Final = 3  # a signal handler or a finalizer may log while its thread is inside a handler
_handing = threading.local()


def handed(handler: logging.Handler, record: NodeRecord) -> BaseException | None:
    """Hand a record to a handler; return what it raised, even an interrupt, which the caller raises.

    A handler that logs, or calls an observed function, gets those records too, up to a limit. Without one, a handler that
    causes two events per event and catches RecursionError would take 2 to the power of the recursion limit.
    """
    depths: dict[int, int] = _handing.__dict__.setdefault("depths", {})
    depth = depths.get(id(handler), 0)
    if depth > MAX_REENTRY:
        return RecursionError(f"{type(handler).__name__} causes events while it handles one")
    depths[id(handler)] = depth + 1
    try:
        apart(handler.handle, record)
    except BaseException as error:  # noqa: BLE001 - the caller raises it after all handlers have had the record
        return error
    finally:
        if depth:
            depths[id(handler)] = depth
        else:
            del depths[id(handler)]
    return None
