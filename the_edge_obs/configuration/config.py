"""The ``observability:`` block: check it, translate it to a dictConfig, and activate it in addition to the existing one."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, cast

from ..errors import ConfigurationError, LevelError, allowed, check_keys
from ..event import LEVELS, ROOT_NODE, level_number
from ..files import FILE_MODE, check_mode
from ..handlers import CallbackHandler, RingBufferHandler
from ..handlers.appending import checked_path
from ..handlers.full_files import checked_globs
from ..recording.callables import is_function_path
from ..recording.dispatch import confine
from ..recording.pricing import activate as activate_prices
from ..recording.pricing import prices_of
from ..secrets.policies import activate, policy_of
from .handler_types import added_types, check_added, class_path, options_of
from .logging_tree import Installed, install, is_set

ROOT: Final = "tea"
_LOGGER: Final = logging.getLogger(ROOT)
ENVIRONMENT: Final = "TEA_LOG"
BLOCK_KEYS: Final = (
    "enabled",
    "level",
    "levels",
    "buffer_size",
    "handlers",
    "redact",
    "capture",
    "propagate",
    "prices",
    "record",
)
RECORD_KEYS: Final = ("full",)
HANDLER_KEYS: Final = {
    "console": ("type", "level", "verbose"),
    "file": ("type", "level", "path", "mode"),
    "callback": ("type", "level", "callback"),
}

Undo = Callable[[], None]

_first_levels: Mapping[str, str] = {}

# The name of a category or an action: the tail of a logger's name.
_NODE = re.compile(r"[^\s.*?\[\]]+(?:\.[^\s.*?\[\]]+)*")


def configure(config: Mapping[str, Any] | str | os.PathLike[str] | None = None, *, scope: object = None) -> Undo:
    """Activate a configuration, and return its undo.

    The undo restores the loggers. Several configurations may be active, and may be undone in any order.

    Args:
        config: An ``observability:`` block; a dictConfig (a dict with ``version``); the path of a YAML or JSON file with
            either, or of a flow file; or None (the default): a ring buffer at level info. Levels in the environment
            variable ``TEA_LOG`` (``info,llm=debug,http=warn``) override those of a block.
        scope: If given, only flows opened with ``flow(..., scope=scope)`` reach the handlers, and the block's ``redact`` applies
            only to them. Default None: all flows.

    Returns:
        The undo, a function without arguments.

    Raises:
        ConfigurationError: A key, level, handler, filter, format or path cannot be used; nothing is changed.

    Example:
        >>> undo = obs.configure({"level": "info", "levels": {"llm": "debug"}, "handlers": [{"type": "console"}]})
        >>> undo()
    """
    settings = _loaded(config)
    if isinstance(settings, Mapping) and "version" in settings:
        if scope is not None:
            raise ConfigurationError(f"a dictConfig applies to all flows, not to scope {scope!r}; give an observability block")
        return _undo_of(install(settings, replace=True), keep_rings=False)
    if not check_block(settings):
        return lambda: None
    if scope is None:
        return _undo_of(install(dict_config(settings)), keep_rings=False)
    return _in_scope(settings, scope)


def _in_scope(block: Mapping[str, Any], scope: object) -> Undo:
    """Activate a checked block for the flows of a scope. Its redaction and prices do not apply to the rest of the process."""
    redact, prices = block.get("redact"), prices_of(block.get("prices"), "observability.prices")
    config = dict_config({**block, "redact": None, "prices": None})
    # Records of other flows still propagate to the loggers above.
    propagates = config["loggers"][ROOT].pop("propagate")
    with ExitStack() as undos:
        if redact:
            undos.callback(activate(policy_of(redact, "observability.redact"), scope))
        if prices is not None:
            undos.callback(activate_prices(prices, scope))
        if not propagates:
            undos.callback(confine(scope))
        undos.callback(_undo_of(install(config, scope=scope), keep_rings=True))
        return undos.pop_all().close


def _undo_of(installed: Installed, *, keep_rings: bool) -> Undo:
    rings = [handler for handler in installed.handlers.values() if isinstance(handler, RingBufferHandler)]

    def undo() -> None:
        for ring in () if keep_rings else rings:
            ring.dispose()
        installed.undo()

    return undo


def is_configured() -> bool:
    """Tell whether the logger ``tea`` has a level or a handler for flows without a scope.

    What a flow's own ``observability:`` block brings while it runs does not count: it is for that flow alone.

    Example:
        >>> obs.is_configured()
        False
    """
    # Integrations ask this for each request and run, and is_set takes locks.
    return bool(_LOGGER.level or _LOGGER.handlers) and is_set(ROOT)


def check_block(block: Any, *, import_callbacks: bool = True) -> bool:
    """Check an ``observability:`` block, and tell whether it is enabled.

    Args:
        block: The block.
        import_callbacks: Whether to look up callbacks, and what ``prices`` names, which imports their modules. Default True;
            otherwise only their syntax is checked.

    Raises:
        ConfigurationError: The block is not valid; the message names the key, the value and what is allowed.
    """
    if block is None:
        return True
    if not isinstance(block, Mapping):
        raise ConfigurationError(
            f"observability is {block!r}; it must be a mapping with {allowed(BLOCK_KEYS)}", where="observability"
        )
    check_keys("observability", block, BLOCK_KEYS)
    _check_bool("observability.enabled", block.get("enabled", True))
    _level("observability.level", block.get("level", "info"))
    _check_levels(_or_empty(block, "levels", {}))
    size = block.get("buffer_size", 1000)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        problem = f"observability.buffer_size is {size!r}; it must be a whole number of at least 1"
        raise ConfigurationError(problem, where="observability.buffer_size")
    handlers = _or_empty(block, "handlers", [])
    if not isinstance(handlers, (list, tuple)):
        problem = f"observability.handlers is {handlers!r}; it must be a list such as [{{type: console}}]"
        raise ConfigurationError(problem, where="observability.handlers")
    for number, handler in enumerate(handlers):
        _check_handler(f"observability.handlers[{number}]", handler, import_callbacks)
    policy_of(block.get("redact"), "observability.redact")
    prices_of(block.get("prices"), "observability.prices", import_it=import_callbacks)
    _captured(block)
    _check_bool("observability.propagate", _or_empty(block, "propagate", False))
    if _recorded(block) and not any(handler.get("type") == "file" for handler in handlers):
        problem = (
            f"observability.record is {block['record']!r}, and there is no log to record beside; add {{type: file}} to handlers"
        )
        raise ConfigurationError(problem, where="observability.record")
    _refuse_links("observability", block)
    return bool(block.get("enabled", True))


def dict_config(block: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the dictConfig of a checked block, with the levels of ``TEA_LOG``."""
    block = block or {}
    names = ["tea_ring"]
    handlers: dict[str, dict[str, Any]] = {
        "tea_ring": {"class": "the_edge_obs.RingBufferHandler", "capacity": block.get("buffer_size", 1000)}
    }
    formatters: dict[str, dict[str, Any]] = {}
    capturing: list[str] = []
    for number, spec in enumerate(_or_empty(block, "handlers", []), 1):
        kind = spec.get("type")
        name = f"tea_{kind or spec['class'].rpartition('.')[2]}_{number}"
        names.append(name)
        if kind in _HANDLERS:
            handlers[name] = _HANDLERS[kind](name, spec, formatters)
            if kind == "file" and (nodes := _recorded(block)):
                handlers[name]["full"] = list(nodes)
        else:
            handlers[name] = {"class": class_path(spec), **options_of(spec)}
            capturing += [name] if kind else []
        if "level" in spec:
            handlers[name]["level"] = _logging_level(spec["level"])
    config: dict[str, Any] = {"version": 1, "disable_existing_loggers": False}
    if formatters:
        config["formatters"] = formatters
    loggers = _levels_of(block)
    loggers[ROOT].update({"handlers": names, "propagate": bool(block.get("propagate"))})
    filters: dict[str, dict[str, Any]] = {}
    if redact := block.get("redact"):
        filters["tea_redact"] = {"()": "the_edge_obs.RedactionFilter", **redact}
    if (prices := block.get("prices")) is not None:
        filters["tea_prices"] = {"()": "the_edge_obs.PriceFilter", "prices": prices}
    if filters:
        # They cost nothing on this logger: filters of a logger do not run for the loggers below it.
        loggers[ROOT]["filters"], config["filters"] = list(filters), filters
    keepers = [name for name in names if handlers[name]["class"] in _CAPTURING or name in capturing]
    for name in _captured(block):
        (loggers if name else config)[name or "root"] = {"handlers": keepers}
    return {**config, "handlers": handlers, "loggers": loggers}


def _levels_of(block: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the logger entries for the levels of a block and of ``TEA_LOG``."""
    levels = {"": block.get("level", "info"), **_or_empty(block, "levels", {}), **requested_levels()}
    if level_number(levels[""]) > logging.INFO:
        levels.setdefault(ROOT_NODE, "info")  # a run has a name, a status and a duration, whatever is filtered
    return {f"{ROOT}.{name}" if name else ROOT: {"level": _logging_level(level)} for name, level in levels.items()}


def _logging_level(level: str | int) -> str | int:
    """Return a level for a dictConfig: logging's name of it, or the number if it has no name."""
    number = level_number(level)
    name = logging.getLevelName(number)
    return name if isinstance(logging.getLevelName(name), int) else number


def requested_levels() -> dict[str, str]:
    """Return the levels that override those of a block: those of ``TEA_LOG``, overridden by those of ``first_levels``.

    Raises:
        ConfigurationError: A part of ``TEA_LOG`` cannot be read; the message names it.
    """
    return {**parse_levels(os.environ.get(ENVIRONMENT, "").split(","), ENVIRONMENT), **_first_levels}


@contextmanager
def first_levels(levels: Mapping[str, str]) -> Iterator[None]:
    """Override the levels of ``TEA_LOG`` and of every ``observability:`` block, in the whole process, within a ``with`` block.

    Args:
        levels: Levels as ``parse_levels`` returns them.
    """
    global _first_levels
    before, _first_levels = _first_levels, {**_first_levels, **levels}
    try:
        yield
    finally:
        _first_levels = before


def parse_levels(parts: Iterable[str], where: str = "level") -> dict[str, str]:
    """Return the levels of parts such as ``llm=debug`` and ``warn``, by category or action; the key "" is the level for all.

    Raises:
        ConfigurationError: A part cannot be read; the message names it, and ``where`` it was given.
    """
    levels: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in parts)):
        name, equals, level = (piece.strip() for piece in part.rpartition("="))
        if equals:
            _check_name(where, name)
        _level(f"{where} {part!r}", level)
        levels[name] = level
    return levels


# --- handlers of a block ---


def _console(name: str, spec: Mapping[str, Any], formatters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    formatters[name] = {"()": "the_edge_obs.ConsoleFormatter", "verbose": spec.get("verbose", False), "colour": None}
    return {"class": "logging.StreamHandler", "formatter": name}


def _file(name: str, spec: Mapping[str, Any], formatters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    mode = {"mode": spec["mode"]} if "mode" in spec else {}
    return {"class": "the_edge_obs.FlowFileHandler", "path": os.fspath(spec.get("path", DEFAULT_PATH)), **mode}


def _callback(name: str, spec: Mapping[str, Any], formatters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"class": "the_edge_obs.CallbackHandler", "callback": spec["callback"]}


DEFAULT_PATH: Final = "logs/flow-{flow_id}.jsonl"
_HANDLERS: Final = {"console": _console, "file": _file, "callback": _callback}


# The handlers that get captured records, besides those of added types. A console shows the program's own lines already.
_CAPTURING: Final = ("the_edge_obs.RingBufferHandler", "the_edge_obs.FlowFileHandler")


# --- checks ---


def _check_levels(levels: Any) -> None:
    if not isinstance(levels, Mapping):
        problem = f"observability.levels is {levels!r}; it must be a mapping such as {{llm: debug}}"
        raise ConfigurationError(problem, where="observability.levels")
    for name, level in levels.items():
        _check_name("observability.levels", name)
        _level(f"observability.levels.{name}", level)


def _or_empty(block: Mapping[str, Any], key: str, empty: Any) -> Any:
    value = block.get(key)
    return empty if value is None else value


def _check_bool(where: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where} is {value!r}; {allowed(('true', 'false'))}", where=where)


def _check_name(where: str, name: Any) -> None:
    if not isinstance(name, str) or not _NODE.fullmatch(name) or name.startswith(f"{ROOT}."):
        problem = f"{where} has a level for {name!r}; name a category such as llm, or an action such as llm.call"
        raise ConfigurationError(problem, where=f"{where}.{name}")


def _level(where: str, level: Any) -> int:
    try:
        return level_number(level)
    except LevelError as error:
        raise LevelError(f"{where}: unknown level {level!r}; {allowed(LEVELS)}", where=where) from error


def _refuse_links(where: str, value: Any) -> None:
    """Refuse values that dictConfig would import as the name of an object."""
    if isinstance(value, str) and value.startswith(("ext://", "cfg://")):
        problem = f"{where} is {value!r}; a block has no links to objects; a dictConfig may have them"
        raise ConfigurationError(problem, where=where)
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        _refuse_links(f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}", item)


def _check_handler(where: str, handler: Any, import_callbacks: bool) -> None:
    if not isinstance(handler, Mapping) or not handler.keys() & {"type", "class"}:
        problem = f"{where} is {handler!r}; it must be a mapping with a type; {allowed(_types())}"
        raise ConfigurationError(problem, where=where)
    kind = handler.get("type")
    if "class" in handler and not (isinstance(kind, str) and kind in HANDLER_KEYS):
        check_added(where, handler, import_it=import_callbacks)
    elif isinstance(kind, str) and kind in HANDLER_KEYS:
        _check_builtin(where, kind, handler, import_callbacks)
    elif isinstance(kind, str) and kind in added_types():
        check_added(where, handler, import_it=import_callbacks)
    else:
        problem = f"{where}.type is {kind!r}; {allowed(_types(), kind)}; or give class: package.Name"
        raise ConfigurationError(problem, where=f"{where}.type")
    if "level" in handler:
        _level(f"{where}.level", handler["level"])


def _types() -> tuple[str, ...]:
    return (*HANDLER_KEYS, *(name for name in added_types() if name not in HANDLER_KEYS))


def _check_builtin(where: str, kind: str, handler: Mapping[str, Any], import_callbacks: bool) -> None:
    check_keys(where, handler, HANDLER_KEYS[kind])
    _check_bool(f"{where}.verbose", handler.get("verbose", False))
    if kind == "file":
        _check_path(f"{where}.path", handler.get("path", DEFAULT_PATH))
        check_mode(f"{where}.mode", handler.get("mode", FILE_MODE))
    if kind == "callback":
        _check_callback(f"{where}.callback", handler.get("callback"), import_callbacks)


def _captured(block: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the loggers that a block captures, without those below another one; the name "" is the root logger.

    Raises:
        ConfigurationError: ``capture`` is neither ``root`` nor a list of names.
    """
    capture = _or_empty(block, "capture", ())
    if capture == "root":
        return ("",)
    if not isinstance(capture, (list, tuple)) or not all(isinstance(name, str) for name in capture):
        problem = f"observability.capture is {capture!r}; it must be root or a list of loggers such as [agent, shop.db]"
        raise ConfigurationError(problem, where="observability.capture")
    for number, name in enumerate(capture):
        where = f"observability.capture[{number}]"
        if name == "root":
            problem = f"{where} is 'root', which has all other loggers below it; write capture: root"
            raise ConfigurationError(problem, where=where)
        if not _NODE.fullmatch(name):
            problem = f"{where} is {name!r}; name a logger such as agent or shop.db, without wildcards"
            raise ConfigurationError(problem, where=where)
        if name == ROOT or name.startswith(f"{ROOT}."):
            problem = f"{where} is {name!r}; the logger {ROOT} and those below it are in the run already"
            raise ConfigurationError(problem, where=where)
    names = dict.fromkeys(capture)
    return tuple(name for name in names if not any(name.startswith(f"{other}.") for other in names))


def _recorded(block: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the globs of the nodes whose calls are recorded in full.

    Raises:
        ConfigurationError: ``record`` is not ``{full: [...]}``.
    """
    record = _or_empty(block, "record", {})
    if not isinstance(record, Mapping):
        problem = f"observability.record is {record!r}; it must be a mapping such as {{full: [llm.*]}}"
        raise ConfigurationError(problem, where="observability.record")
    check_keys("observability.record", record, RECORD_KEYS)
    return checked_globs("observability.record.full", _or_empty(record, "full", ()))


def _check_path(where: str, path: Any) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigurationError(f"{where} is {path!r}; it must be a path such as {DEFAULT_PATH}", where=where)
    try:
        checked_path(os.fspath(path))
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}", where=where) from error


def _check_callback(where: str, callback: Any, import_callbacks: bool) -> None:
    if not import_callbacks and isinstance(callback, str):
        if not is_function_path(callback):
            raise ConfigurationError(f"{where} is {callback!r}; write 'package.module:function'", where=where)
        return
    try:
        CallbackHandler(callback)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}", where=where) from error


def _loaded(config: Mapping[str, Any] | str | os.PathLike[str] | None) -> Mapping[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return config
    if not isinstance(config, (str, os.PathLike)):
        raise ConfigurationError(f"configuration is {config!r}; it must be a mapping, a path, or None")
    content = _read(Path(config))
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"configuration {os.fspath(config)!r} holds {content!r}; it must hold a mapping")
    if "observability" in content:
        block = content["observability"]
        return {} if block is None else cast("Mapping[str, Any]", block)
    # A flow file without a block is not observed.
    return {"enabled": False} if "nodes" in content else content


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(f"configuration {str(path)!r} cannot be read: {reason}") from error
    try:
        if path.suffix == ".json":
            return json.loads(text)
        from .yaml_reader import read_yaml

        document = read_yaml(path)
        return None if document is None else document.data
    except Exception as error:  # yaml and json raise different errors
        detail = " ".join(str(error).split())
        raise ConfigurationError(f"configuration {str(path)!r} is not valid YAML or JSON: {detail}") from error
