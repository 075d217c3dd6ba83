from __future__ import annotations

import io
import itertools
import json
import logging
import logging.config
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

import the_edge_obs as obs
from the_edge_obs.configuration.config import check_block, dict_config, first_levels, is_configured, parse_levels
from the_edge_obs.errors import ConfigurationError, FlowNotFoundError
from the_edge_obs.handlers import FlowFileHandler, RingBufferHandler

tea = logging.getLogger("tea")


def dump() -> dict[str, Any]:
    """Return everything that a configuration can change: loggers that differ from new ones, root, and the handlers' names."""
    loggers = {"": logging.getLogger(), **logging.Logger.manager.loggerDict}
    states = {
        name: (one.level, list(one.handlers), list(one.filters), one.propagate, one.disabled)
        for name, one in loggers.items()
        if isinstance(one, logging.Logger)
    }
    untouched = (logging.NOTSET, [], [], True, False)
    return {**{name: state for name, state in states.items() if state != untouched}, "names": dict(logging._handlers)}  # type: ignore[attr-defined]


class Witness(logging.Handler):
    """Somebody else's handler; it remembers what it got, and whether it was closed."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.name = name
        self.seen: list[str] = []
        self.closed = False

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.name)

    def close(self) -> None:
        self.closed = True
        super().close()


@contextmanager
def configured(config: Any = None, **options: Any) -> Iterator[None]:
    undo = obs.configure(config, **options)
    try:
        yield
    finally:
        undo()


def rings() -> list[RingBufferHandler]:
    return [handler for handler in tea.handlers if isinstance(handler, RingBufferHandler)]


# --- a block stands for a dictConfig ---


def test_a_block_is_a_dict_config(tmp_path: Path):
    """The whole block, and exactly what it stands for, on any machine and terminal."""
    path = str(tmp_path / "flow-{flow_id}.jsonl")
    block = {
        "enabled": True,
        "level": "info",
        "levels": {"llm": "debug", "http.get": "warn"},
        "buffer_size": 50,
        "handlers": [
            {"type": "console", "verbose": True, "level": "error"},
            {"type": "file", "path": Path(path)},
            {"type": "callback", "callback": "builtins:print"},
        ],
    }
    assert check_block(block)
    assert dict_config(block) == {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"tea_console_1": {"()": "the_edge_obs.ConsoleFormatter", "verbose": True, "colour": None}},
        "handlers": {
            "tea_ring": {"class": "the_edge_obs.RingBufferHandler", "capacity": 50},
            "tea_console_1": {"class": "logging.StreamHandler", "formatter": "tea_console_1", "level": "ERROR"},
            "tea_file_2": {"class": "the_edge_obs.FlowFileHandler", "path": path},
            "tea_callback_3": {"class": "the_edge_obs.CallbackHandler", "callback": "builtins:print"},
        },
        "loggers": {
            "tea": {
                "level": "INFO",
                "handlers": ["tea_ring", "tea_console_1", "tea_file_2", "tea_callback_3"],
                "propagate": False,
            },
            "tea.llm": {"level": "DEBUG"},
            "tea.http.get": {"level": "WARNING"},
        },
    }


@pytest.mark.parametrize("block", [None, {}, {"levels": None, "handlers": None}])
def test_an_empty_block_is_a_ring_at_level_info(block: Any):
    """A block that says nothing is on, and keeps events in memory."""
    assert check_block(block)
    assert dict_config(block) == {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"tea_ring": {"class": "the_edge_obs.RingBufferHandler", "capacity": 1000}},
        "loggers": {"tea": {"level": "INFO", "handlers": ["tea_ring"], "propagate": False}},
    }


def test_a_redact_entry_is_a_filter():
    """What a block redacts is a filter of the logger tea, which a dictConfig can name as well."""
    assert dict_config({"redact": {"keys": ["cpf"]}}) == {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"tea_redact": {"()": "the_edge_obs.RedactionFilter", "keys": ["cpf"]}},
        "handlers": {"tea_ring": {"class": "the_edge_obs.RingBufferHandler", "capacity": 1000}},
        "loggers": {"tea": {"level": "INFO", "handlers": ["tea_ring"], "propagate": False, "filters": ["tea_redact"]}},
    }


def test_a_prices_entry_is_a_filter():
    """Beside that of redaction."""
    table = {"gpt-4o": {"input": 2.5, "output": 10}}
    config = dict_config({"redact": {"keys": ["cpf"]}, "prices": table})
    assert config["filters"] == {
        "tea_redact": {"()": "the_edge_obs.RedactionFilter", "keys": ["cpf"]},
        "tea_prices": {"()": "the_edge_obs.PriceFilter", "prices": table},
    }
    assert config["loggers"]["tea"]["filters"] == ["tea_redact", "tea_prices"]


def test_what_a_block_stands_for_works_with_the_stdlib(tmp_path: Path):
    """The printed dictConfig, through JSON, does the same under logging.config.dictConfig."""
    block = {"levels": {"llm": "debug"}, "handlers": [{"type": "file", "path": str(tmp_path / "{flow_id}.jsonl")}]}
    with stdlib_config(json.loads(json.dumps(dict_config(block)))):
        with obs.flow() as run, obs.span("llm.call", level="debug"):
            pass
        assert len(obs.query(run.flow_id)) == len(obs.query(tmp_path)) == 4


def test_numbers_are_levels():
    """A level between the named ones is kept as it is."""
    assert dict_config({"level": 15, "levels": {"llm": 10}})["loggers"] == {
        "tea": {"level": 15, "handlers": ["tea_ring"], "propagate": False}, "tea.llm": {"level": "DEBUG"},
    }  # fmt: skip
    with configured({"level": 15}):
        assert tea.level == 15


# --- TEA_LOG ---


def test_levels_from_the_environment_come_before_those_of_a_block(monkeypatch: pytest.MonkeyPatch):
    """TEA_LOG wins where it speaks, and leaves the rest."""
    monkeypatch.setenv("TEA_LOG", " warn , llm=debug,http.get = Error,, ")
    loggers = dict_config({"level": "info", "levels": {"llm": "error", "file": "info"}})["loggers"]
    assert {name: one["level"] for name, one in loggers.items()} == {
        "tea": "WARNING", "tea.flow": "INFO", "tea.llm": "DEBUG", "tea.file": "INFO", "tea.http.get": "ERROR",
    }  # fmt: skip
    with configured():
        assert (tea.level, logging.getLogger("tea.llm").level) == (logging.WARNING, logging.DEBUG)


def test_first_levels_come_before_the_environment(monkeypatch: pytest.MonkeyPatch):
    """They win where they speak, are gone after the block, even one that fails, and do not touch the environment."""
    monkeypatch.setenv("TEA_LOG", "warn,llm=error")

    def levels() -> dict[str, Any]:
        loggers = dict_config({"level": "info"})["loggers"]
        return {name: loggers[name]["level"] for name in ("tea", "tea.llm")}

    with suppress(KeyError), first_levels({"llm": "debug"}):
        assert levels() == {"tea": "WARNING", "tea.llm": "DEBUG"}
        with first_levels({"": "error"}):
            assert levels() == {"tea": "ERROR", "tea.llm": "DEBUG"}
            assert os.environ["TEA_LOG"] == "warn,llm=error"
        raise KeyError
    assert levels() == {"tea": "WARNING", "tea.llm": "ERROR"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("loud", "TEA_LOG 'loud': unknown level 'loud'; allowed: debug, info, warn, error"),
        ("info,llm=", "TEA_LOG 'llm=': unknown level ''"),
        ("=info", "TEA_LOG has a level for ''; name a category such as llm"),
        ("llm.*=info", r"TEA_LOG has a level for 'llm\.\*'"),
        ("tea.llm=info", r"TEA_LOG has a level for 'tea\.llm'; name a category such as llm"),
    ],
)
def test_a_bad_environment_names_the_part(value: str, message: str, monkeypatch: pytest.MonkeyPatch):
    """What cannot be read is named, with the variable it stands in."""
    monkeypatch.setenv("TEA_LOG", value)
    before = dump()
    with pytest.raises(ConfigurationError, match=message):
        obs.configure()
    assert dump() == before


def test_levels_of_a_command_line():
    """The same grammar, from a list of options."""
    assert parse_levels(["warn", "llm=debug"], "--level") == {"": "warn", "llm": "debug"}
    with pytest.raises(ConfigurationError, match="--level 'x': unknown level 'x'"):
        parse_levels(["x"], "--level")


# --- configure, and its undo ---


def sources(tmp_path: Path) -> dict[str, Any]:
    block = {"level": "debug", "buffer_size": 7}
    files = {
        "block.yaml": yaml.safe_dump(block),
        "block.json": json.dumps(block),
        "flow.yaml": yaml.safe_dump({"name": "x", "observability": block, "nodes": []}),
        "dict.yaml": yaml.safe_dump(dict_config(block)),
        "dict.json": json.dumps(dict_config(block)),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    paths: dict[str, Any] = {name: tmp_path / name for name in files}
    return {**paths, "str": str(tmp_path / "block.yaml"), "block": block, "dict": dict_config(block)}


@pytest.mark.parametrize("kind", ["block.yaml", "block.json", "flow.yaml", "dict.yaml", "dict.json", "str", "block", "dict"])
def test_configure_takes_blocks_dict_configs_and_files(kind: str, tmp_path: Path):
    """Each of them puts the same in force, and its undo leaves no trace."""
    before = dump()
    undo = obs.configure(sources(tmp_path)[kind])
    assert (tea.level, [ring.capacity for ring in rings()], is_configured()) == (logging.DEBUG, [7], True)
    with obs.flow() as run, obs.span("a", level="debug"):
        pass
    assert obs.get_flow_log(run.flow_id).metrics["event_count"] == 4
    undo()
    assert dump() == before
    assert not is_configured()
    undo()
    assert dump() == before


def test_the_default_is_a_ring():
    """Nothing at all is enough to begin with."""
    with configured():
        assert (tea.level, len(tea.handlers), rings()[0].capacity) == (logging.INFO, 1, 1000)


@pytest.mark.parametrize("text", ["observability:\nnodes: []", "observability: {}"])
def test_a_flow_file_s_empty_block_is_on(text: str, tmp_path: Path):
    """A block is on unless it says otherwise."""
    path = tmp_path / "flow.yaml"
    path.write_text(text)
    with configured(path):
        assert len(rings()) == 1


@pytest.mark.parametrize("text", ["nodes: []", "observability: {enabled: false}", "enabled: false"])
def test_no_block_is_nothing(text: str, tmp_path: Path):
    """A flow without a block, or with one that is off, changes nothing."""
    path = tmp_path / "flow.yaml"
    path.write_text(text)
    before = dump()
    undo = obs.configure(path)
    assert dump() == before
    undo()
    assert dump() == before


def test_the_caller_s_dicts_are_not_changed(tmp_path: Path):
    """The configurator works on copies, and callables in them stay themselves."""
    seen: list[Any] = []
    block = {"handlers": [{"type": "callback", "callback": seen.append}], "levels": {"llm": "debug"}}
    config = dict_config(block)
    before = json.dumps([block, config], default=repr)
    with configured(config), obs.flow():
        pass
    assert len(seen) == 2
    assert json.dumps([block, config], default=repr) == before


EVERYTHING = {
    "version": 1,
    "filters": {"f": {"()": "the_edge_obs.FlowContextFilter"}},
    "formatters": {"j": {"()": "the_edge_obs.JsonFormatter"}},
    "handlers": {
        "ring": {"class": "the_edge_obs.RingBufferHandler", "level": "ERROR", "filters": ["f"]},
        "out": {"class": "logging.StreamHandler", "formatter": "j", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "tea": {"level": "DEBUG", "handlers": ["ring"], "propagate": False, "filters": ["f"]},
        "tea.llm": {"level": "ERROR", "propagate": True},
        "somebody.else": {"handlers": ["out"], "level": "ERROR"},
    },
    "root": {"level": "ERROR", "handlers": ["out"]},
}


@contextmanager
def other_people() -> Iterator[dict[str, Any]]:
    """Have others' handlers, levels and filters on the loggers that a configuration touches, and check that they come back."""
    one, two, three = Witness("ring"), Witness("theirs"), Witness()
    somebody, llm = logging.getLogger("somebody.else"), logging.getLogger("tea.llm")
    tea.addHandler(one)
    tea.addHandler(two)
    somebody.addHandler(three)
    somebody.setLevel(logging.DEBUG)
    somebody.addFilter(the_filter := logging.Filter())
    llm.disabled, llm.propagate = True, False
    before = dump()
    try:
        yield before
        assert dump() == before
        assert [witness.closed for witness in (one, two, three)] == [False] * 3
        assert logging._handlers["ring"] is one  # type: ignore[attr-defined]
    finally:
        somebody.handlers.clear()
        somebody.removeFilter(the_filter)
        somebody.setLevel(logging.NOTSET)
        llm.disabled, llm.propagate = False, True


SECOND = {"level": "warn", "levels": {"llm": "debug"}, "propagate": True}
CONFIGS: list[Any] = [{"level": "debug"}, EVERYTHING, SECOND, EVERYTHING]


def test_undo_gives_other_people_s_handlers_back():
    """A dictConfig's handlers take the place of those there, none is closed, and all come back as they were."""
    with other_people():
        undo = obs.configure(EVERYTHING)
        assert [type(handler) for handler in tea.handlers] == [RingBufferHandler]
        assert (tea.propagate, logging.getLogger("tea.llm").disabled) == (False, False)
        undo()


def test_a_block_joins_other_people_s_handlers():
    """Who has handlers on ``tea`` keeps hearing."""
    witness = Witness()
    tea.addHandler(witness)
    with configured(), obs.flow():
        assert [type(handler) for handler in tea.handlers] == [Witness, RingBufferHandler]
    assert witness.seen == ["tea.flow", "tea.flow"]
    assert not witness.closed


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_nested_configurations_are_undone_in_any_order(order: tuple[int, ...]):
    """Whatever the order, what is left is what the remaining ones say, and in the end what was."""
    with other_people():
        undos = [obs.configure(config) for config in CONFIGS]
        levels = [logging.DEBUG, logging.DEBUG, logging.WARNING, logging.DEBUG]
        left = list(range(4))
        for number in order:
            undos[number]()
            left.remove(number)
            if left:
                assert tea.level == levels[left[-1]]
                assert tea.propagate == (left[-1] == 2)
                assert len(rings()) == len([one for one in left if one >= max({1, 3} & set(left), default=0)])


def test_what_others_do_meanwhile_stays():
    """A handler that somebody adds, and one that its owner takes away, are respected by the undo."""
    mine, theirs = Witness(), Witness()
    tea.addHandler(mine)
    undo = obs.configure(EVERYTHING)
    tea.addHandler(theirs)
    second = obs.configure(EVERYTHING)
    assert theirs not in tea.handlers
    undo()
    second()
    assert tea.handlers == [mine, theirs]

    undo = obs.configure()
    tea.removeHandler(mine)
    obs.configure()()
    undo()
    assert tea.handlers == [theirs]


def test_a_handler_of_ours_that_somebody_removed_stays_away():
    """Somebody else's dictConfig may have thrown it out; the next configuration does not bring it back."""
    undo = obs.configure()
    tea.removeHandler(rings()[0])
    with configured({"buffer_size": 5}):
        assert [ring.capacity for ring in rings()] == [5]
    undo()
    assert tea.handlers == []


def test_levels_can_be_changed_while_running():
    """Setting a logger's level by hand counts at once, lasts over other flows' configurations, and goes with the undo."""
    llm = logging.getLogger("tea.llm")
    undo = obs.configure({"levels": {"llm": "error"}})
    with obs.flow() as run:
        with obs.span("llm.call"):
            pass
        llm.setLevel(logging.DEBUG)
        with obs.span("llm.call", level="debug"):
            pass
        with configured({"level": "error"}, scope=object()):
            assert llm.level == logging.DEBUG
        assert llm.level == logging.DEBUG
        with configured({"levels": {"llm": "warn"}}):
            assert llm.level == logging.WARNING
    assert [one["level"] for one in obs.query(run.flow_id, node="llm.call")] == ["debug", "debug"]
    undo()
    assert llm.level == logging.NOTSET


def test_the_undo_closes_its_own_handlers(tmp_path: Path):
    """Files are closed, rings let go."""
    undo = obs.configure({"handlers": [{"type": "file", "path": str(tmp_path / "{flow_id}.jsonl")}]})
    _, file = tea.handlers
    assert isinstance(file, FlowFileHandler)
    run = obs.flow()
    run.__enter__()
    assert file._files
    undo()
    assert not file._files
    with pytest.raises(FlowNotFoundError):
        obs.get_flow_log(run.flow_id)
    run.__exit__(None, None, None)


def test_two_configurations_at_once_from_many_threads():
    """Configuring and undoing in parallel leaves the tree as it was."""
    before = dump()

    def work() -> None:
        for _ in range(20):
            scope = object()
            with configured({"level": "debug"}, scope=scope), obs.flow(scope=scope) as run:
                assert obs.get_flow_log(run.flow_id).metrics["event_count"] == 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dump() == before


# --- mistakes ---


def in_handlers(**handler: Any) -> dict[str, Any]:
    return {"handlers": [{"type": "console"}, handler]}


BAD_BLOCKS: list[tuple[Any, str]] = [
    ({"levle": "info"}, "unknown key 'levle' in observability; did you mean 'level'? allowed: enabled, level, levels,"),
    ({"enabled": "yes"}, "observability.enabled is 'yes'; allowed: true, false"),
    ({"enabled": None}, "observability.enabled is None"),
    ({"level": "loud"}, "observability.level: unknown level 'loud'; allowed: debug, info, warn, error"),
    ({"level": None}, "observability.level: unknown level None"),
    ({"level": False}, "observability.level: unknown level False"),
    ({"levels": ["llm"]}, "observability.levels is ['llm']; it must be a mapping"),
    ({"levels": {"llm": "all"}}, "observability.levels.llm: unknown level 'all'"),
    ({"levels": {"tea.llm": "info"}}, "observability.levels has a level for 'tea.llm'; name a category"),
    ({"levels": {"llm.*": "info"}}, "observability.levels has a level for 'llm.*'"),
    ({"levels": {".llm": "info"}}, "observability.levels has a level for '.llm'"),
    ({"levels": {1: "info"}}, "observability.levels has a level for 1"),
    ({"buffer_size": 0}, "observability.buffer_size is 0; it must be a whole number of at least 1"),
    ({"buffer_size": "9"}, "observability.buffer_size is '9'"),
    ({"buffer_size": True}, "observability.buffer_size is True"),
    ({"handlers": {"type": "console"}}, "observability.handlers is {'type': 'console'}; it must be a list"),
    ({"handlers": ["console"]}, "observability.handlers[0] is 'console'; it must be a mapping with a type; allowed: console,"),
    ({"handlers": [{}]}, "observability.handlers[0] is {}; it must be a mapping with a type"),
    (in_handlers(type="fil"), "observability.handlers[1].type is 'fil'; did you mean 'file'? allowed: console, file, callback"),
    (in_handlers(type=["file"]), "observability.handlers[1].type is ['file']; "),
    (in_handlers(type="console", path="x"), "unknown key 'path' in observability.handlers[1]; allowed: type, level, verbose"),
    (in_handlers(type="console", verbose="no"), "observability.handlers[1].verbose is 'no'; allowed: true, false"),
    (in_handlers(type="console", level="x"), "observability.handlers[1].level: unknown level 'x'"),
    (in_handlers(type="file", path=3), "observability.handlers[1].path is 3; it must be a path such as"),
    (in_handlers(type="file", path="{flow}.jsonl"), "observability.handlers[1].path: path '{flow}.jsonl' is not"),
    (in_handlers(type="file", path=""), "observability.handlers[1].path: path '' is not"),
    (in_handlers(type="file", path="in_the_way/x.jsonl"), "is not a folder"),
    (in_handlers(type="callback"), "observability.handlers[1].callback: callback None is not callable; give"),
    (
        in_handlers(type="callback", callback="no.such:fn"),
        "observability.handlers[1].callback: callback 'no.such:fn' is not found",
    ),
    (in_handlers(type="callback", callback="json:nothing"), "callback 'json:nothing' is not found"),
    (in_handlers(type="callback", callback="json"), "callback 'json' is not found"),
    ({"redact": ["cpf"]}, "observability.redact is ['cpf']; it must be a mapping with allowed: keys, safe_keys, patterns,"),
    ({"redact": {"key": ["cpf"]}}, "unknown key 'key' in observability.redact; did you mean 'keys'? allowed: keys, safe_keys,"),
    ({"redact": {"keys": "cpf"}}, "observability.redact.keys is 'cpf'; it must be a list of texts"),
    (
        {"redact": {"patterns": ["("]}},
        "observability.redact.patterns has '(', which is not a valid regular expression: missing )",
    ),
    ({"redact": {"correlate": "yes"}}, "observability.redact.correlate is 'yes'; allowed: true, false"),
    (5, "configuration is 5; it must be a mapping, a path, or None"),
    ([], "configuration is []; it must be"),
]


def bad_dict(**parts: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": "made.log"}, **parts.pop("handlers", {})},
        "loggers": {"tea": {"handlers": ["file"], "level": "DEBUG"}, **parts.pop("loggers", {})},
        **parts,
    }


BAD_DICTS: list[tuple[Any, str]] = [
    ({"version": 2}, "version is 2; allowed: 1"),
    (bad_dict(version="1"), "version is '1'; allowed: 1"),
    (bad_dict(handler={}), "unknown key 'handler' in logging configuration; did you mean 'handlers'? allowed: version,"),
    (bad_dict(incremental=True), "incremental is True; what it changes cannot be undone; leave it out"),
    (bad_dict(filters=["f"]), "filters is ['f']; it must be a mapping"),
    (bad_dict(loggers={"tea.llm": "DEBUG"}), "logger 'tea.llm' is 'DEBUG'; it must be a mapping"),
    (bad_dict(loggers={7: {}}), "loggers has the key 7; a name is a string"),
    (bad_dict(loggers={"tea.llm": {"lvl": "DEBUG"}}), "unknown key 'lvl' in logger 'tea.llm'; did you mean 'level'? "),
    (bad_dict(loggers={"tea.llm": {"level": "LOUD"}}), "logger 'tea.llm' has level 'LOUD'; allowed: CRITICAL,"),
    (bad_dict(loggers={"tea.llm": {"handlers": ["h"]}}), "'tea.llm' names handler 'h', which does not exist; allowed: file"),
    (bad_dict(loggers={"tea.llm": {"filters": ["f"]}}), "names filter 'f', which does not exist; allowed: nothing"),
    (bad_dict(root={"level": "X"}), "root has level 'X'"),
    (bad_dict(root=[]), "root is []; it must be a mapping"),
    (bad_dict(handlers={"z": {"class": "logging.NullHandler", "level": 1.5}}), "handler 'z' has level 1.5; allowed: "),
    (bad_dict(handlers={"z": {"class": "logging.NullHandler", "formatter": "j"}}), "handler 'z' names formatter 'j', which"),
    (bad_dict(handlers={"z": {"class": "logging.NullHandler", "filters": ["f"]}}), "handler 'z' names filter 'f'"),
    (bad_dict(handlers={"z": {"class": "no.Such"}}), "handler 'z': "),
    (bad_dict(handlers={"z": {}}), "handler 'z': "),
    (bad_dict(handlers={"z": {"class": "the_edge_obs.RingBufferHandler", "capacity": 0}}), "capacity 0 is not a whole number"),
    (bad_dict(handlers={"z": {"class": "the_edge_obs.RingBufferHandler", "flush_level": "x"}}), "flush_level: unknown level 'x'"),
    (bad_dict(handlers={"z": {"class": "the_edge_obs.RingBufferHandler", "target": "gone"}}), "handler 'z': "),
    (bad_dict(handlers={"z": {"class": "the_edge_obs.RingBufferHandler", "target": "z"}}), "handler 'z': "),
    (bad_dict(handlers={"z": {"class": "the_edge_obs.FlowFileHandler", "path": "in_the_way/x.jsonl"}}), "is not a folder"),
    (bad_dict(formatters={"j": {"()": "no.Such"}}), "formatter 'j': "),
    (
        bad_dict(filters={"f": {"()": "the_edge_obs.FlowFilter"}}),
        "filter 'f': the_edge_obs has no 'FlowFilter'; did you mean 'FlowContextFilter'? allowed: FlowContextFilter, ",
    ),
    (
        bad_dict(handlers={"z": {"class": "the_edge_obs.RingBuferHandler"}}),
        "handler 'z': the_edge_obs has no 'RingBuferHandler'; did you mean 'RingBufferHandler'? allowed: BatchHandler, ",
    ),
    (bad_dict(formatters={"f": {"class": "the_edge_obs.Json"}}), "formatter 'f': the_edge_obs has no 'Json'; "),
]  # fmt: skip


@pytest.mark.parametrize(("config", "message"), BAD_BLOCKS + BAD_DICTS)
def test_a_mistake_names_key_and_value_and_changes_nothing(
    config: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every mistake is found before anything is changed: no logger, no handler, no file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in_the_way").write_text("a file")
    before = dump()
    with pytest.raises(ConfigurationError) as caught:
        obs.configure(config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert dump() == before
    assert os.listdir(tmp_path) == ["in_the_way"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.yaml", None, "gone.yaml' cannot be read: no such file or directory"),
        ("bad.yaml", b"a: [1", "bad.yaml' is not valid YAML or JSON: "),
        ("bad.json", b"{", "bad.json' is not valid YAML or JSON: "),
        ("binary.yaml", b"\xff\xfe\x00", "binary.yaml' cannot be read: "),
        ("list.yaml", b"- a", "list.yaml' holds ['a']; it must hold a mapping"),
        ("empty.yaml", b"", "empty.yaml' holds None; it must hold a mapping"),
        ("flow.yaml", b"observability: false", "observability is False; it must be a mapping with allowed: enabled"),
        ("flow.yaml", b"observability: []", "observability is []; it must be a mapping"),
        ("flow.yaml", b"observability: {levels: {llm: loud}}", "observability.levels.llm: unknown level 'loud'"),
    ],
)
def test_files_that_cannot_be_used(name: str, content: bytes | None, message: str, tmp_path: Path):
    """The error names the file, or the key in it."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        obs.configure(tmp_path / name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_scope_takes_no_dict_config():
    """A dictConfig changes loggers for everybody."""
    with pytest.raises(ConfigurationError, match="a dictConfig applies to all flows, not to scope 'mine'; give an observability"):
        obs.configure({"version": 1}, scope="mine")


# --- scopes ---


def test_flows_with_a_scope_keep_to_themselves():
    """Two flows at once, each with a configuration of its own, see nothing of one another, and no outsider sees less."""
    common: list[str] = []
    first, second = object(), object()
    seen: dict[str, list[tuple[str, str]]] = {"first": [], "second": []}

    def block(name: str, level: str) -> dict[str, Any]:
        note = lambda one: seen[name].append((one["node"], one["level"]))  # noqa: E731
        return {"level": level, "levels": {"http": "error"}, "handlers": [{"type": "callback", "callback": note}]}

    def work() -> None:
        for level in ("debug", "info", "warn"):
            with obs.span("llm.call", level=level), obs.span("http.get", level=level):
                pass

    undos = [
        obs.configure({"handlers": [{"type": "callback", "callback": lambda one: common.append(one["node"])}]}),
        obs.configure(block("first", "debug"), scope=first),
        obs.configure(block("second", "warn"), scope=second),
    ]
    with obs.flow("a", scope=first) as one, obs.flow("b", scope=second) as two:
        with obs.flow("c"):
            work()
        work()
    with obs.flow("a", scope=first):
        work()
    assert set(seen["first"]) == {("flow", "info"), ("llm.call", "debug"), ("llm.call", "info"), ("llm.call", "warn")}
    assert seen["second"] == [*[("flow", "info")] * 2, *[("llm.call", "warn")] * 2, ("flow", "info")]  # the second tells of c
    for undo in undos:
        undo()
    assert obs.get_flow_log(one.flow_id).metrics["event_count"] == 3  # its own root, and that b begins in it
    assert obs.get_flow_log(two.flow_id).metrics["dropped_count"] == 0
    # Everybody else sees what a common level of info lets pass, of all flows: http as well.
    assert common.count("http.get") >= 12
    assert tea.level == logging.NOTSET


def test_concurrent_flows_in_threads_have_logs_of_their_own():
    """Each thread's flow brings a level and a ring, and finds exactly its own events there."""
    barrier = threading.Barrier(4)
    counts: dict[str, int] = {}

    def work(name: str, level: str) -> None:
        scope = object()
        with configured({"level": level}, scope=scope), obs.flow(name, scope=scope) as run:
            barrier.wait(10)
            for _ in range(10):
                with obs.span("a", level="debug"), obs.span("b", level="info"):
                    pass
            run.log("end", "error")
            barrier.wait(10)
        counts[name] = obs.get_flow_log(run.flow_id).metrics["event_count"]

    plan = {"one": "debug", "two": "info", "three": "info", "four": "error"}
    threads = [threading.Thread(target=work, args=item) for item in plan.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {"one": 43, "two": 23, "three": 23, "four": 3}


def test_a_scope_never_raises_what_others_hear():
    """A flow that wants errors alone does not silence a logger that others listen to."""
    witness = Witness()
    tea.addHandler(witness)
    tea.setLevel(logging.DEBUG)
    scope = object()
    block = {"level": "error", "levels": {"llm": "error"}}
    with configured(block, scope=scope), obs.flow("outside"), obs.span("llm.call", level="debug"):
        pass
    assert witness.seen == ["tea.flow", "tea.llm.call", "tea.llm.call", "tea.flow"]
    assert tea.level == logging.DEBUG


def test_levels_set_by_hand_reach_scoped_flows():
    """Tuning a logger while a flow with its own configuration runs does what it says."""
    scope = object()
    warn, info = configured({"level": "warn"}, scope=scope), configured({"level": "info"}, scope=object())
    with warn, info, obs.flow(scope=scope) as run:
        logging.getLogger("tea.llm").setLevel(logging.DEBUG)
        with obs.span("llm.call", level="debug"), obs.span("http.get"):
            pass
    assert {one["node"] for one in obs.query(run.flow_id)} == {"flow", "llm.call"}


# --- logging.config itself ---


@contextmanager
def stdlib_config(config: dict[str, Any] | None = None, file: str | None = None) -> Iterator[None]:
    """Put a configuration in force with logging.config; what it does to root is taken back."""
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    existing = {name: one.disabled for name, one in logging.Logger.manager.loggerDict.items() if hasattr(one, "disabled")}
    # dictConfig closes all handlers there are, pytest's own included: it is shown none.
    known, logging._handlerList[:] = logging._handlerList[:], []  # type: ignore[attr-defined]
    try:
        if config is not None:
            logging.config.dictConfig(config)
        else:
            logging.config.fileConfig(io.StringIO(file), disable_existing_loggers=False)
        yield
    finally:
        logging._handlerList[:] = known  # type: ignore[attr-defined]
        root.handlers[:] = kept
        root.setLevel(level)
        for name, disabled in existing.items():
            logging.getLogger(name).disabled = disabled


@pytest.fixture
def callbacks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Make a module that dictConfig files can name: ``an_app:note`` appends to the list returned."""
    import types

    seen: list[dict[str, Any]] = []
    module = types.ModuleType("an_app")
    module.note = seen.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "an_app", module)
    return seen


def fail_in(run: obs.ObservabilityContext) -> None:
    with run:
        logging.getLogger("an_app.db").info("a row")
        with obs.span("llm.call", prompt="hi"):
            raise ValueError("broken")


def all_classes(tmp_path: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"flow": {"()": "the_edge_obs.FlowContextFilter"}},
        "formatters": {
            "json": {"()": "the_edge_obs.JsonFormatter"},
            "people": {"()": "the_edge_obs.ConsoleFormatter", "verbose": True},
            "ids": {"format": "%(flow_id)s|%(span_id)s|%(name)s|%(message)s"},
        },
        "handlers": {
            "a_recorder": {
                "class": "the_edge_obs.RingBufferHandler", "capacity": 100, "flush_level": "ERROR", "target": "z_lines",
            },
            "z_lines": {"class": "logging.FileHandler", "filename": str(tmp_path / "flushed.jsonl"), "formatter": "json"},
            "files": {"class": "the_edge_obs.FlowFileHandler", "path": str(tmp_path / "logs" / "{flow_id}.jsonl")},
            "callback": {"class": "the_edge_obs.CallbackHandler", "callback": "an_app:note"},
            "people": {
                "class": "logging.FileHandler", "filename": str(tmp_path / "people.txt"), "formatter": "people", "delay": True,
            },
            "ids": {
                "class": "logging.FileHandler", "filename": str(tmp_path / "ids.txt"), "formatter": "ids", "filters": ["flow"],
            },
        },
        "loggers": {
            "tea": {"level": "INFO", "handlers": ["a_recorder", "files", "callback", "people", "ids"]},
            "tea.llm": {"level": "DEBUG"},
            "an_app.db": {"level": "INFO", "handlers": ["ids"]},
        },
    }  # fmt: skip


@pytest.mark.parametrize("with_stdlib", [True, False])
def test_every_class_by_name_in_a_dict_config(with_stdlib: bool, tmp_path: Path, callbacks: list[dict[str, Any]]):
    """logging.config.dictConfig and configure build the same from the same file, a target named later included."""
    config = all_classes(tmp_path)
    manager: Callable[..., Any] = stdlib_config if with_stdlib else configured
    with manager(config):
        with obs.flow("ok"), obs.span("llm.call", level="debug"):
            pass
        run = obs.flow("bad")
        with pytest.raises(ValueError, match="broken"):
            fail_in(run)
        kept = obs.query(run.flow_id)
        for handler in [*tea.handlers, tea.handlers[0].target, *logging.getLogger("an_app.db").handlers]:  # type: ignore[attr-defined]
            handler.close()
        logging.getLogger("an_app.db").handlers.clear() if with_stdlib else None

    kinds = ["entry", "entry", "error", "error"]
    assert [one["event_type"] for one in kept] == kinds
    why, *flushed = [json.loads(line) for line in (tmp_path / "flushed.jsonl").read_text().splitlines()]
    assert (why["node"], why["event_type"], why["flow_id"]) == ("obs", "log", run.flow_id)
    assert flushed == kept == obs.query(tmp_path / "logs" / f"{run.flow_id}.jsonl") == callbacks[4:]
    people = (tmp_path / "people.txt").read_text()
    assert "ERROR" not in people
    assert "error llm.call ValueError: broken" in people
    assert 'input: {"prompt": "hi"}' in people
    ids = [line.split("|") for line in (tmp_path / "ids.txt").read_text().splitlines()]
    assert [run.flow_id, run.context.span_id, "an_app.db", "a row"] in ids


FILE_CONFIG = """
[loggers]
keys=root,tea
[handlers]
keys=ring,file,callback
[formatters]
keys=json,people
[logger_root]
handlers=
[logger_tea]
level=INFO
handlers=ring,file,callback
qualname=tea
[handler_ring]
class=the_edge_obs.RingBufferHandler
args=(50,)
[handler_file]
class=the_edge_obs.FlowFileHandler
args=({path!r},)
formatter=json
[handler_callback]
class=the_edge_obs.CallbackHandler
args=("an_app:note",)
level=ERROR
formatter=people
[formatter_json]
class=the_edge_obs.JsonFormatter
[formatter_people]
class=the_edge_obs.ConsoleFormatter
"""


def test_file_config(tmp_path: Path, callbacks: list[dict[str, Any]]):
    """The older format takes the same classes."""
    with stdlib_config(file=FILE_CONFIG.format(path=str(tmp_path / "{flow_id}.jsonl"))):
        with obs.flow() as run:
            run.log("a", "error", message="oh")
        assert rings()[0].capacity == 50
        kept = obs.query(run.flow_id)
    assert len(kept) == 3
    assert obs.query(tmp_path) == kept
    assert callbacks == kept[1:2]


def test_a_dict_config_of_somebody_else_after_ours(tmp_path: Path):
    """An application that configures logging later closes our handlers; what is still attached goes on, and is undone."""
    seen: list[dict[str, Any]] = []
    path = str(tmp_path / "{flow_id}.jsonl")
    undo = obs.configure({"handlers": [{"type": "callback", "callback": seen.append}, {"type": "file", "path": path}]})
    with stdlib_config({"version": 1, "disable_existing_loggers": False}):
        for handler in tea.handlers:
            handler.close()  # as dictConfig does with every handler it knows
        with obs.flow() as run:
            pass
        assert seen == obs.query(tmp_path) == obs.query(run.flow_id)
        tea.removeHandler(tea.handlers[-1])
        assert seen == obs.query(run.flow_id)
    undo()
    assert tea.handlers == []


# --- beside the program's own logging ---


@pytest.fixture
def console() -> Iterator[io.StringIO]:
    """Return what the program's own console shows, as logging.basicConfig(level=INFO) sets it up."""
    root, lines = logging.getLogger(), io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)


@pytest.mark.parametrize("capture", ["root", ["agent"], ["agent.tools", "agent", "agent"]])
@pytest.mark.parametrize("propagate", [True, False, None])
@pytest.mark.parametrize("scope", [None, "mine"])
def test_capture_takes_the_program_s_own_lines_into_the_run(
    capture: Any, propagate: bool | None, scope: Any, tmp_path: Path, console: io.StringIO
):
    """In ring and file alike, each once, in the span that was running; the console shows a node's line where it is to."""
    agent = logging.getLogger("agent.tools")
    before = dump()
    block = {"capture": capture, "handlers": [{"type": "file", "path": str(tmp_path / "{flow_id}.jsonl")}]}
    undo = obs.configure(block if propagate is None else {**block, "propagate": propagate}, scope=scope)
    agent.info("outside")
    with obs.flow("plan", scope=scope) as run, obs.span("llm.call") as span:
        agent.info("tool %s", "search", extra={"hits": 3})
        assert span.context is not None
    events = obs.query(run.flow_id)
    assert [(event["node"], event["event_type"]) for event in events] == [
        ("flow", "entry"), ("llm.call", "entry"), ("agent.tools", "log"), ("llm.call", "exit"), ("flow", "exit"),
    ]  # fmt: skip
    assert (events[2]["message"], events[2]["data"], events[2]["span_id"]) == ("tool search", {"hits": 3}, span.context.span_id)
    assert obs.query(tmp_path) == events
    shown = [line.partition(" ")[0] for line in console.getvalue().splitlines()]
    own, nodes = ["agent.tools"], ["tea.flow", "tea.llm.call"] if propagate else []
    assert shown == [*own, *nodes, *own, *reversed(nodes)]
    undo()
    assert dump() == before


def test_a_scoped_block_leaves_other_flows_to_the_console(console: io.StringIO):
    """A flow with a block of its own prints no node twice; what others log goes where it went."""
    logging.getLogger("tea").setLevel(logging.INFO)
    undo = obs.configure({}, scope="mine")
    with obs.flow("mine", scope="mine"):
        pass
    assert console.getvalue() == ""
    with obs.flow("other"):
        pass
    assert console.getvalue().count("tea.flow") == 2
    undo()
    with obs.flow("mine", scope="mine"):
        pass
    assert console.getvalue().count("tea.flow") == 4


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"capture": "root"}, {"root": {"handlers": ["tea_ring", "tea_file_2"]}}),
        ({"capture": ["agent", "shop.db"], "propagate": True}, {}),
        ({"capture": "root", "propagate": True}, {"root": {"handlers": ["tea_ring", "tea_file_2"]}}),
    ],
)
def test_capture_is_in_the_dict_config(block: dict[str, Any], expected: dict[str, Any], tmp_path: Path):
    """Ring and files on what is captured; an event that passes both tea and root is kept once."""
    handlers = [{"type": "console"}, {"type": "file"}]
    config = dict_config({**block, "handlers": handlers})
    captured = {"handlers": ["tea_ring", "tea_file_2"]}
    propagates, is_root = block.get("propagate", False), block["capture"] == "root"
    every = ["tea_ring", "tea_console_1", "tea_file_2"]
    loggers = {"tea": {"level": "INFO", "handlers": every, "propagate": propagates}}
    assert config["loggers"] == ({**loggers} if is_root else {**loggers, "agent": captured, "shop.db": captured})
    assert {key: config[key] for key in config if key == "root"} == expected


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"capture": "agent"}, "observability.capture is 'agent'; it must be root or a list of loggers such as [agent, shop.db]"),
        ({"capture": True}, "observability.capture is True; it must be root or a list of loggers such as [agent, shop.db]"),
        ({"capture": [3]}, "observability.capture is [3]; it must be root or a list of loggers such as [agent, shop.db]"),
        (
            {"capture": ["a", "root"]},
            "observability.capture[1] is 'root', which has all other loggers below it; write capture: root",
        ),
        ({"capture": ["a.*"]}, "observability.capture[0] is 'a.*'; name a logger such as agent or shop.db, without wildcards"),
        (
            {"capture": ["tea.llm"]},
            "observability.capture[0] is 'tea.llm'; the logger tea and those below it are in the run already",
        ),
        ({"propagate": "no"}, "observability.propagate is 'no'; allowed: true, false"),
    ],
)
def test_a_mistake_in_capture_or_propagate_is_named(block: dict[str, Any], message: str):
    """Key, value, and what is allowed; nothing is changed."""
    before = dump()
    with pytest.raises(ConfigurationError) as error:
        obs.configure(block)
    assert (str(error.value), dump()) == (message, before)


def test_a_scoped_block_leaves_its_events_to_handlers_that_are_meant_for_them(console: io.StringIO):
    """A ring that somebody put on the root logger gets the nodes of a flow with a block of its own; its console does not."""
    ring = RingBufferHandler()
    logging.getLogger().addHandler(ring)
    logging.getLogger("tea").setLevel(logging.INFO)
    undo = obs.configure({}, scope="mine")
    with obs.flow("mine", scope="mine") as run:
        pass
    undo()
    assert ([event["event_type"] for event in ring.events(run.flow_id)], console.getvalue()) == (["entry", "exit"], "")


def test_a_ring_on_two_loggers_keeps_an_event_once(ring: RingBufferHandler):
    """On tea and on root, with a filter on a logger that makes the event a record, and without."""
    logging.getLogger().addHandler(ring)
    logging.getLogger("tea.filtered").addFilter(lambda record: True)
    with obs.flow() as run, obs.span("plain"), obs.span("filtered"):
        pass
    assert [event["node"] for event in ring.events(run.flow_id)] == ["flow", "plain", "filtered", "filtered", "plain", "flow"]


def test_a_configuration_for_a_scope_does_not_count_as_configured() -> None:
    """What one flow brings for itself is not the program's own configuration; a level or handler by hand is."""
    undo = obs.configure({"level": "debug", "handlers": [{"type": "console"}]}, scope=object())
    assert not is_configured()
    tea = logging.getLogger("tea")
    handler = logging.NullHandler()
    tea.addHandler(handler)
    assert is_configured()
    tea.removeHandler(handler)
    assert not is_configured()
    common = obs.configure({"level": "warn"})
    assert is_configured()
    common()
    assert not is_configured()
    undo()
    assert not is_configured()
    tea.setLevel("ERROR")
    assert is_configured()


def test_a_scope_s_levels_hold_beside_another_scope_s_lower_ones(tmp_path: Path) -> None:
    """Facts are judged without a record, and a record of another logger is judged alike."""
    quiet, loud = object(), object()
    undos = [
        obs.configure(
            {"level": level, "handlers": [{"type": "file", "path": str(tmp_path / level) + "-{flow_id}.jsonl"}]}, scope=scope
        )
        for level, scope in (("warn", quiet), ("debug", loud))
    ]
    for scope in (quiet, loud):
        with obs.flow("scoped", scope=scope), obs.span("rank"):
            logging.getLogger("tea.rank").info("a record")
            logging.getLogger("tea.rank").warning("a warning")
    for undo in undos:
        undo()
    nodes = {path.name.partition("-")[0]: [event["node"] for event in obs.query(path)] for path in tmp_path.iterdir()}
    assert nodes["warn"].count("flow") == 2
    assert nodes["debug"].count("rank") > nodes["warn"].count("rank")
