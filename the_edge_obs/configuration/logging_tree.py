"""Activate dictConfigs in addition to the existing configuration, and undo them in any order.

``logging.config.dictConfig`` closes every existing handler. Here the same ``DictConfigurator`` builds the same dictionaries,
completely or not at all, and the result is added to the loggers. Handlers of other code stay open, and the undo restores them.
Each logger has its original state and a pile of layers, one per configuration, so a layer can be removed from the middle.
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

from ..context import at_fork
from ..errors import ConfigurationError, allowed, check_keys
from ..recording.dispatch import FACT_FILTERS
from ..recording.filters import PriceFilter, RedactionFilter, ScopeFilter
from ..recording.records import Facts, NodeRecord, level_of, node_of

CONFIG_KEYS: Final = (
    "version", "disable_existing_loggers", "formatters", "filters", "handlers", "loggers", "root", "incremental",
)  # fmt: skip
LOGGER_KEYS: Final = ("level", "handlers", "filters", "propagate")

_lock = threading.RLock()
# As logging does with its own lock: in a forked child the tree is consistent, and no thread holds the lock.
at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Installed(NamedTuple):
    """An active configuration: its handlers by name, and its undo, which returns False if it was undone before."""

    handlers: dict[str, logging.Handler]
    undo: Callable[[], bool]


def install(config: Mapping[str, Any], *, scope: object = None, replace: bool = False) -> Installed:
    """Activate a dictConfig.

    Args:
        config: A dictConfig as ``logging.config.dictConfig`` takes it. ``disable_existing_loggers`` is ignored: no logger is
            disabled.
        scope: If given, only flows of this scope reach the handlers, and the levels apply only to them. Default None: all flows.
        replace: Whether a logger's new handlers replace its existing ones until the undo. Default False: they are added.

    Raises:
        ConfigurationError: The configuration cannot be used; nothing is changed.
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
            is_active = bool(layers)
            for name, layer in layers.items():
                _piles[name].remove(layer)
            layers.clear()
            _settle()
        for handler in handlers.values() if is_active else ():
            handler.close()
        for policy in policies:
            policy.close()
        return is_active

    return Installed(handlers, undo)


def is_set(name: str) -> bool:
    """Tell whether a logger has a level or a handler that is not only for the flows of a scope."""
    logger = logging.getLogger(name)
    if logger.level == logging.NOTSET and not logger.handlers:
        return False
    with _lock:
        pile = _piles.get(name)
        if pile is None:
            return True
        pile.notice()
        scoped = [handler for layer in pile.layers if layer.scope is not None for handler in layer.handlers]
        return pile.level_for(None) != logging.NOTSET or any(handler not in scoped for handler in logger.handlers)


# --- loggers and their layers ---


@dataclass(eq=False, slots=True)
class _Layer:
    """The settings of one configuration for one logger; None for a setting that it leaves alone."""

    scope: object
    level: int | None
    handlers: list[logging.Handler]
    filters: list[Any]
    propagate: bool | None
    replaces: bool


class _Pile:
    """A logger, its original state, and its layers and handlers of other code, in the order in which they were added."""

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
        for item in layer.filters:
            self.logger.addFilter(item)
        self._arrange()

    def remove(self, layer: _Layer) -> None:
        self.notice()
        self.entries.remove(layer)
        for item in layer.filters:
            self.logger.removeFilter(item)
        self._arrange()

    def notice(self) -> None:
        """Notice changes by other code: a level set by hand, handlers that were added or removed."""
        if self.logger.level != self.applied["level"]:
            self.by_hand = self.applied["level"] = self.logger.level
        current, visible = self.logger.handlers, self._visible()
        removed = [handler for handler in visible if handler not in current]
        for layer in self.layers:
            layer.handlers = [handler for handler in layer.handlers if handler not in removed]
        added = [handler for handler in current if handler not in visible]
        self.entries = [*(entry for entry in self.entries if entry not in removed and entry not in added), *added]

    def _visible(self) -> list[logging.Handler]:
        handlers: list[logging.Handler] = []
        for entry in self.entries:
            if isinstance(entry, _Layer):
                handlers = [*([] if entry.replaces else handlers), *entry.handlers]
            else:
                handlers.append(entry)
        return handlers

    def _arrange(self) -> None:
        """Apply the pile to the logger's handlers and flags. ``_settle`` sets the levels of all loggers together."""
        visible = self._visible()
        if visible != self.logger.handlers:
            # Under logging's lock and in one assignment: other threads see the old list or the new one.
            with logging._lock:  # type: ignore[attr-defined]
                self.logger.handlers = visible
        flags = [layer.propagate for layer in self.layers if layer.propagate is not None]
        self.apply("propagate", flags[-1] if flags else self.original["propagate"])
        self.apply("disabled", False if self.layers else self.original["disabled"])

    def apply(self, name: str, value: Any) -> None:
        if value != self.applied[name]:
            self.applied[name] = value
            self.logger.setLevel(value) if name == "level" else setattr(self.logger, name, value)

    def level_for(self, scope: object) -> int:
        """Return the logger's own level for flows of a scope: set by hand, by the scope, by a common layer, or originally."""
        if self.logger.level != self.applied["level"]:
            return self.logger.level
        if self.by_hand is not None:
            return self.by_hand
        own = [layer.level for layer in self.layers if layer.level is not None and layer.scope is scope]
        common = [layer.level for layer in self.layers if layer.level is not None and layer.scope is None]
        return int([self.original["level"], *common[-1:], *own[-1:]][-1])


_piles: Final[dict[str, _Pile]] = {}
_contested = False
_highest = logging.NOTSET  # the highest level that any scope asks for: what reaches it passes all scopes


def _settle() -> None:
    """Set each logger to the lowest level that any configuration asks for, and forget loggers without layers."""
    global _contested, _highest
    for pile in _piles.values():
        pile.notice()
    scopes = {id(layer.scope): layer.scope for pile in _piles.values() for layer in pile.layers}.values()
    wanted = {name: {_level_for(name, scope) for scope in (None, *scopes)} for name in _piles}
    _contested = any(len(levels) > 1 for levels in wanted.values())
    _highest = max((_level_for(name, scope) for name in _piles for scope in scopes if scope is not None), default=logging.NOTSET)
    for name, pile in list(_piles.items()):
        if not pile.layers:
            pile.apply("level", pile.original["level"])
            del _piles[name]
        elif len(wanted[name]) > 1:
            pile.apply("level", min(wanted[name]))
        else:
            pile.apply("level", pile.level_for(None if not scopes else next(iter(scopes))))


def _level_for(name: str, scope: object) -> int:
    """Return the effective level of a logger for flows of a scope."""
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
    """Pass records by a scope's own levels while another scope's lower levels are active on the same loggers.

    A span that is open only because of the other scope is missing then, and spans inside it name a parent that is not in the log.
    """

    def __init__(self, scope: object) -> None:
        super().__init__()
        self.scope = scope

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the scope's own levels pass the record."""
        if type(record) is NodeRecord:
            return _is_at_level(self, record.facts)
        return not _contested or record.levelno >= _level_for(record.name, self.scope)


def _is_at_level(levels: _ScopeLevels, facts: Facts) -> bool:
    if not _contested:
        return True  # the logger's own level has passed it
    level = level_of(facts)
    return level >= _highest or level >= _level_for("tea." + node_of(facts), levels.scope)


FACT_FILTERS[_ScopeLevels] = _is_at_level


# --- building ---


_Built: TypeAlias = "tuple[dict[str, logging.Handler], dict[str, _Layer], list[RedactionFilter | PriceFilter]]"


def _build(config: Mapping[str, Any], scope: object, replace: bool) -> _Built:
    """Build the handlers, layers, redaction policies and prices of a dictConfig: all of them, or none and an error.

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


def _policies(configurator: logging.config.DictConfigurator) -> list[RedactionFilter | PriceFilter]:
    filters = configurator.config.get("filters", {})
    return [item for item in filters.values() if isinstance(item, (RedactionFilter, PriceFilter))]


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
    """Create the handlers in an order in which each target exists before a handler refers to it."""
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
            # If a handler of other code has the name, it keeps it.
            if handler.name is None and logging._handlers.get(name) is None:  # type: ignore[attr-defined]
                handler.name = name
        waiting = deferred


def _is_early(error: ConfigurationError) -> bool:
    """Tell whether a handler refers to one that does not exist yet; ``logging.config`` raises a TypeError with such a text."""
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
    """Refuse a class name that this package does not have, and list the known ones. logging only says that there is no module."""
    factory = entry.get("()", entry.get("class")) if isinstance(entry, Mapping) else None
    package, _, wanted = factory.rpartition(".") if isinstance(factory, str) else ("", "", "")
    if package != __name__.partition(".")[0] or hasattr(sys.modules[package], wanted):
        return
    known = [public for public in sys.modules[package].__all__ if public.endswith(kind.capitalize())]
    raise ConfigurationError(f"{kind} {name!r}: {package} has no {wanted!r}; {allowed(known, wanted)}")


def _files_to_come(handlers: Mapping[str, Any]) -> set[str]:
    """Return the files that do not exist yet, and that handlers of the standard library will create."""
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
    """Copy the dicts and lists of a configuration, because the configurator changes them; other values are shared."""
    if isinstance(config, Mapping):
        return {key: _copied(value) for key, value in config.items()}
    return [_copied(value) for value in config] if isinstance(config, list) else config


# --- checking ---


def _checked(parts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Check the keys, levels and references of a dictConfig, and return its logger entries; the key "" is the root logger."""
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
        # Arguments of a factory are not checked.
        names = () if key == "handlers" and "()" in entry else entry.get(key) or ()
        for name in [names] if isinstance(names, str) else names:
            if isinstance(name, str) and "://" not in name and name not in parts.get(section, {}):
                problem = f"{where} names {section.rstrip('s')} {name!r}, which does not exist"
                raise ConfigurationError(f"{problem}; {allowed(parts.get(section) or ('nothing',))}")


def _level_number(level: Any) -> Any:
    return level if isinstance(level, int) and not isinstance(level, bool) else logging._nameToLevel.get(str(level))
