"""Dictionaries of ``logging.config`` put in force beside what is there, and taken back in any order.

``logging.config.dictConfig`` closes every handler it finds. Here the same dictionaries are built by the same
``DictConfigurator``, whole or not at all, and laid over the loggers: what other people have installed stays open and comes
back. Each logger keeps what it was and a pile of layers, one a configuration, so that a layer can leave from the middle.
"""

from __future__ import annotations

import logging
import logging.config
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from ..errors import ConfigurationError, allowed, check_keys
from ..recording.filters import RedactionFilter, ScopeFilter
from ..recording.records import NodeRecord

CONFIG_KEYS: Final = (
    "version", "disable_existing_loggers", "formatters", "filters", "handlers", "loggers", "root", "incremental",
)  # fmt: skip
LOGGER_KEYS: Final = ("level", "handlers", "filters", "propagate")

_lock = threading.RLock()
# As logging does with its own: a forked child finds the tree whole, and nobody in it who holds the lock.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Installed(NamedTuple):
    """A configuration in force: its handlers by name, and its undo, which tells whether it still had something to undo."""

    handlers: dict[str, logging.Handler]
    undo: Callable[[], bool]


def install(config: Mapping[str, Any], *, scope: object = None, replace: bool = False) -> Installed:
    """Put a dictConfig in force.

    Args:
        config: As ``logging.config.dictConfig`` takes it. ``disable_existing_loggers`` does not count: nothing is disabled.
        scope: Only flows of this scope reach the handlers, and its levels are theirs alone. Default None: everybody.
        replace: Whether a logger's handlers take the place of those it has, until the undo. Default False: they join them.

    Raises:
        ConfigurationError: something in it cannot be used; nothing is changed then.
    """
    with _lock:
        handlers, layers, policies = _build(config, scope, replace)
        if scope is not None:
            for handler in handlers.values():
                handler.addFilter(ScopeFilter(scope))
                handler.addFilter(_ScopeLevels(scope))
        for name, layer in layers.items():
            _piles.setdefault(name, _Pile(logging.getLogger(name))).add(layer)
        _settle()

    def undo() -> bool:
        with _lock:
            in_force = bool(layers)
            for name, layer in layers.items():
                _piles[name].remove(layer)
            layers.clear()
            _settle()
        for handler in handlers.values() if in_force else ():
            handler.close()
        for policy in policies:
            policy.close()
        return in_force

    return Installed(handlers, undo)


# --- a logger and what lies on it ---


@dataclass(eq=False, slots=True)
class _Layer:
    """What one configuration wants of one logger; None where it says nothing."""

    scope: object
    level: int | None
    handlers: list[logging.Handler]
    filters: list[Any]
    propagate: bool | None
    replaces: bool


class _Pile:
    """A logger, what it was, and what lies on it: layers and other people's handlers, in the order in which they came."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.original = {name: getattr(logger, name) for name in ("level", "propagate", "disabled")}
        self.applied = dict(self.original)
        self.by_hand: int | None = None
        self.entries: list[logging.Handler | _Layer] = list(logger.handlers)

    @property
    def layers(self) -> list[_Layer]:
        return [entry for entry in self.entries if isinstance(entry, _Layer)]

    def add(self, layer: _Layer) -> None:
        self.notice()
        if layer.level is not None and layer.scope is None:
            self.by_hand = None
        self.entries.append(layer)
        for one in layer.filters:
            self.logger.addFilter(one)
        self._arrange()

    def remove(self, layer: _Layer) -> None:
        self.notice()
        self.entries.remove(layer)
        for one in layer.filters:
            self.logger.removeFilter(one)
        self._arrange()

    def notice(self) -> None:
        """Take in what others did meanwhile: a level set by hand, handlers that came or went."""
        if self.logger.level != self.applied["level"]:
            self.by_hand = self.applied["level"] = self.logger.level
        there, visible = self.logger.handlers, self._visible()
        gone = [handler for handler in visible if handler not in there]
        for layer in self.layers:
            layer.handlers = [handler for handler in layer.handlers if handler not in gone]
        came = [handler for handler in there if handler not in visible]
        self.entries = [*(entry for entry in self.entries if entry not in gone and entry not in came), *came]

    def _visible(self) -> list[logging.Handler]:
        found: list[logging.Handler] = []
        for entry in self.entries:
            if isinstance(entry, _Layer):
                found = [*([] if entry.replaces else found), *entry.handlers]
            else:
                found.append(entry)
        return found

    def _arrange(self) -> None:
        """Make the logger's handlers and switches what the pile says; levels are settled for all loggers together."""
        visible = self._visible()
        if visible != self.logger.handlers:
            # Under logging's own lock and in one step: whoever logs meanwhile sees the old list or the new one.
            with logging._lock:  # type: ignore[attr-defined]
                self.logger.handlers = visible
        said = [layer.propagate for layer in self.layers if layer.propagate is not None]
        self.apply("propagate", said[-1] if said else self.original["propagate"])
        self.apply("disabled", False if self.layers else self.original["disabled"])

    def apply(self, name: str, value: Any) -> None:
        if value != self.applied[name]:
            self.applied[name] = value
            self.logger.setLevel(value) if name == "level" else setattr(self.logger, name, value)

    def level_for(self, scope: object) -> int:
        """Return the logger's own level as flows of a scope are to see it: set by hand, by the scope, by all, or the first."""
        if self.logger.level != self.applied["level"]:
            return self.logger.level
        if self.by_hand is not None:
            return self.by_hand
        own = [layer.level for layer in self.layers if layer.level is not None and layer.scope is scope]
        common = [layer.level for layer in self.layers if layer.level is not None and layer.scope is None]
        return int([self.original["level"], *common[-1:], *own[-1:]][-1])


_piles: Final[dict[str, _Pile]] = {}
_contested = False


def _settle() -> None:
    """Give each logger the lowest level that anybody wants of it, and forget the loggers on which nothing lies any more."""
    global _contested
    for pile in _piles.values():
        pile.notice()
    scopes = {id(layer.scope): layer.scope for pile in _piles.values() for layer in pile.layers}.values()
    wanted = {name: {_level_for(name, scope) for scope in (None, *scopes)} for name in _piles}
    _contested = any(len(levels) > 1 for levels in wanted.values())
    for name, pile in list(_piles.items()):
        if not pile.layers:
            pile.apply("level", pile.original["level"])
            del _piles[name]
        elif len(wanted[name]) > 1:
            pile.apply("level", min(wanted[name]))
        else:
            pile.apply("level", pile.level_for(None if not scopes else next(iter(scopes))))


def _level_for(name: str, scope: object) -> int:
    """Return the effective level of a logger as flows of a scope are to see it."""
    loggers: Mapping[str, Any] = logging.Logger.manager.loggerDict
    while name:
        logger = loggers.get(name)
        pile = _piles.get(name)
        level = pile.level_for(scope) if pile is not None else getattr(logger, "level", logging.NOTSET)
        if level:
            return int(level)
        name = name.rpartition(".")[0]
    pile = _piles.get("")
    return pile.level_for(scope) if pile is not None else logging.getLogger().level


class _ScopeLevels(logging.Filter):
    """Let pass what a scope's own levels let pass, while another's lower ones are in force on the same loggers.

    A span that is open for the other's sake alone is missing then; what runs inside it names a parent that is not there.
    """

    def __init__(self, scope: object) -> None:
        super().__init__()
        self.scope = scope

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record's level is one that the scope asked for."""
        if not _contested:
            return True
        name = "tea." + record.facts[0][3] if type(record) is NodeRecord else record.name
        return record.levelno >= _level_for(name, self.scope)


# --- building ---


_Built: TypeAlias = "tuple[dict[str, logging.Handler], dict[str, _Layer], list[RedactionFilter]]"


def _build(config: Mapping[str, Any], scope: object, replace: bool) -> _Built:
    """Return the handlers, layers and redaction policies that a dictConfig describes; all of them, or an error and none.

    Handlers and layers are not attached yet.
    """
    parts = {key: {} if value is None else value for key, value in _copied(config).items()}
    loggers = _checked(parts)
    handlers: dict[str, logging.Handler] = {}
    fresh = _files_to_come(parts.get("handlers", {}))
    configurator = logging.config.DictConfigurator(parts)
    try:
        for section, make in (("formatters", configurator.configure_formatter), ("filters", configurator.configure_filter)):
            entries = configurator.config.get(section, {})
            for name in list(entries):
                entries[name] = _made(section[:-1], name, make, entries[name])
        _make_handlers(configurator, handlers)
    except Exception as error:
        _discard(handlers.values(), fresh)
        for policy in _policies(configurator):
            policy.close()
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"logging configuration: {error}") from error
    filters = configurator.config.get("filters", {})
    layers = {name: _layer(entry, handlers, filters, scope, replace) for name, entry in loggers.items()}
    return handlers, layers, _policies(configurator)


def _policies(configurator: logging.config.DictConfigurator) -> list[RedactionFilter]:
    return [one for one in configurator.config.get("filters", {}).values() if isinstance(one, RedactionFilter)]


def _layer(
    entry: Mapping[str, Any], handlers: Mapping[str, logging.Handler], filters: Mapping[str, Any], scope: object, replace: bool
) -> _Layer:
    level = entry.get("level")
    return _Layer(
        scope=scope,
        level=level if level is None else logging._checkLevel(level),  # type: ignore[attr-defined]
        handlers=[handlers[name] for name in entry.get("handlers") or ()],
        filters=[filters[name] if isinstance(name, str) else name for name in entry.get("filters") or ()],
        propagate=None if entry.get("propagate") is None else bool(entry["propagate"]),
        replaces=replace and "handlers" in entry,
    )


def _make_handlers(configurator: logging.config.DictConfigurator, made: dict[str, logging.Handler]) -> None:
    """Make the handlers in an order in which each target is there before it is referred to."""
    entries = configurator.config.get("handlers", {})
    waiting = sorted(entries)
    while waiting:
        deferred: list[str] = []
        for name in waiting:
            try:
                handler = _made("handler", name, configurator.configure_handler, entries[name])
            except ConfigurationError as error:
                if not _is_early(error) or len(waiting) == len(deferred) + 1:
                    raise
                deferred.append(name)
                continue
            entries[name] = made[name] = handler
            # A name that is taken stays its owner's.
            if handler.name is None and logging._handlers.get(name) is None:  # type: ignore[attr-defined]
                handler.name = name
        waiting = deferred


def _is_early(error: ConfigurationError) -> bool:
    """Tell whether a handler refers to one that is not made yet: ``logging.config`` says so by the text of a TypeError alone."""
    cause = error.__cause__.__cause__ if error.__cause__ is not None else None
    return isinstance(cause, TypeError) and str(cause).endswith(" not configured yet")


def _made(kind: str, name: str, make: Callable[[Any], Any], entry: Any) -> Any:
    _refuse_misspelt(kind, name, entry)
    try:
        return make(entry)
    except Exception as error:
        reasons: list[str] = []
        cause: BaseException | None = error
        while cause is not None:
            reasons.append(str(cause))
            cause = cause.__cause__
        raise ConfigurationError(f"{kind} {name!r}: {': '.join(dict.fromkeys(reasons))}") from error


def _refuse_misspelt(kind: str, name: str, entry: Any) -> None:
    """Say of a class that this package has not which ones it has; logging only knows that the module does not exist."""
    factory = entry.get("()", entry.get("class")) if isinstance(entry, Mapping) else None
    package, _, wanted = factory.rpartition(".") if isinstance(factory, str) else ("", "", "")
    if package != __name__.partition(".")[0] or hasattr(sys.modules[package], wanted):
        return
    known = [public for public in sys.modules[package].__all__ if public.endswith(kind.capitalize())]
    raise ConfigurationError(f"{kind} {name!r}: {package} has no {wanted!r}; {allowed(known, wanted)}")


def _files_to_come(handlers: Mapping[str, Any]) -> set[str]:
    """Return the files that are not there yet and that stdlib handlers make when they are made."""
    names = (entry.get("filename") for entry in handlers.values() if isinstance(entry, Mapping))
    return {os.path.abspath(name) for name in names if isinstance(name, str) and not os.path.exists(name)}


def _discard(handlers: Iterable[logging.Handler], fresh: set[str]) -> None:
    for handler in handlers:
        handler.close()
        path = getattr(handler, "baseFilename", None)
        if path in fresh:
            with suppress(OSError):
                os.unlink(path)


def _copied(config: Any) -> Any:
    """Return the dicts and lists of a configuration anew, for the configurator changes them; leaves stay themselves."""
    if isinstance(config, Mapping):
        return {key: _copied(value) for key, value in config.items()}
    return [_copied(value) for value in config] if isinstance(config, list) else config


# --- checking ---


def _checked(parts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the logger entries, root's under "", of a dictConfig whose keys, levels and references are known to be good."""
    check_keys("logging configuration", parts, CONFIG_KEYS)
    if parts.get("version") != 1 or isinstance(parts["version"], bool):
        raise ConfigurationError(f"logging configuration: version is {parts.get('version')!r}; {allowed((1,))}")
    if parts.get("incremental"):
        raise ConfigurationError("logging configuration: incremental is True; what it changes cannot be undone; leave it out")
    for section in ("formatters", "filters", "handlers", "loggers"):
        entries = _mapping(section, parts.get(section, {}))
        for name, entry in entries.items():
            if not isinstance(name, str):
                raise ConfigurationError(f"logging configuration: {section} has the key {name!r}; a name is a string")
            _mapping(f"{section[:-1]} {name!r}", entry)
    for name, handler in parts.get("handlers", {}).items():
        _check_references(f"handler {name!r}", handler, parts)
    root = {"": _mapping("root", parts["root"])} if "root" in parts else {}
    loggers: dict[str, Mapping[str, Any]] = {**root, **parts.get("loggers", {})}
    for name, logger in loggers.items():
        where = f"logger {name!r}" if name else "root"
        check_keys(where, logger, LOGGER_KEYS)
        _check_references(where, logger, parts)
    return loggers


def _mapping(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"logging configuration: {where} is {value!r}; it must be a mapping")
    return value


def _check_references(where: str, entry: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    level = entry.get("level")
    is_link = isinstance(level, str) and "://" in level
    if level is not None and not is_link and not isinstance(_level_number(level), int):
        raise ConfigurationError(f"{where} has level {level!r}; {allowed(logging._nameToLevel)}")
    for key, section in (("formatter", "formatters"), ("filters", "filters"), ("handlers", "handlers")):
        # Arguments of a factory are its own business.
        names = () if key == "handlers" and "()" in entry else entry.get(key) or ()
        for name in [names] if isinstance(names, str) else names:
            if isinstance(name, str) and "://" not in name and name not in parts.get(section, {}):
                problem = f"{where} names {section.rstrip('s')} {name!r}, which is not there"
                raise ConfigurationError(f"{problem}; {allowed(parts.get(section) or ('nothing',))}")


def _level_number(level: Any) -> Any:
    return level if isinstance(level, int) and not isinstance(level, bool) else logging._nameToLevel.get(str(level))
