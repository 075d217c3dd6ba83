"""Other people's logging set-ups, with their own packages: they see nodes, show no secret, and take no run away."""

from __future__ import annotations

import configparser
import io
import json
import logging
import logging.config
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.recording.dispatch import has_own_methods, verdicts

SECRET = "Zq8-planted-3f9c1e77"


@obs.observable("llm.call")
def ask(prompt: str, password: str = "") -> str:
    return f"{prompt}!"


@obs.observable("llm.fail")
def fail(prompt: str, password: str) -> None:
    reason = f"{prompt} with {password}"
    raise ConnectionError(reason)


@obs.observable("llm.plain")
def fail_plainly(prompt: str, password: str) -> None:
    where = password * 2
    assert where
    raise ConnectionError("no answer")


@obs.observable("llm.chain")
def fail_in_turn(prompt: str, password: str) -> None:
    try:
        fail_plainly(prompt, password=password)
    except ConnectionError as error:
        raise RuntimeError("the agent gave up") from error


FAILING: list[Callable[..., None]] = [fail, fail_plainly, fail_in_turn]


def failing_run(function: Callable[..., None]) -> str:
    secret = SECRET
    with obs.flow("failing") as run, suppress(ConnectionError, RuntimeError):
        function("hello", password=secret)
    return run.flow_id


# --- somebody else configures logging ---


def dict_config_of_somebody() -> None:
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})


def file_config_of_somebody() -> None:
    parser = configparser.ConfigParser()
    parser.read_string(
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n"
        "[logger_root]\nhandlers=h\nlevel=WARNING\n[handler_h]\nclass=NullHandler\nargs=()\n"
    )
    logging.config.fileConfig(parser, disable_existing_loggers=False)


def uvicorn() -> None:
    pytest.importorskip("uvicorn").Config("app:app")


def django() -> None:
    pytest.importorskip("django")
    from django.conf import settings
    from django.utils.log import configure_logging

    if not settings.configured:
        settings.configure()
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)


def celery() -> None:
    app = pytest.importorskip("celery").Celery("app")
    app.log.setup(loglevel="INFO")


SOMEBODY = [dict_config_of_somebody, file_config_of_somebody, uvicorn, django, celery]


@pytest.fixture(autouse=True)
def streams_stay() -> Iterator[None]:
    """Give back stdout and stderr, which Celery redirects into logging."""
    streams = sys.stdout, sys.stderr
    yield
    sys.stdout, sys.stderr = streams


class Keep(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.__dict__["flow_event"])


def ring_alone(folder: Path) -> obs.RingBufferHandler:
    return obs.RingBufferHandler()


def ring_with_spill(folder: Path) -> obs.RingBufferHandler:
    return obs.RingBufferHandler(capacity=4, spill=folder / "{flow_id}.jsonl")


def recorder(folder: Path) -> obs.RingBufferHandler:
    return obs.RingBufferHandler(target=Keep())


@pytest.mark.slow
@pytest.mark.parametrize("make", [ring_alone, ring_with_spill, recorder])
@pytest.mark.parametrize("somebody", SOMEBODY)
def test_a_run_survives_it_when_somebody_configures_logging(
    somebody: Callable[[], None], make: Callable[[Path], obs.RingBufferHandler], tmp_path: Path
) -> None:
    """After a run and in the middle of one: every event is there, spilled ones too, and a recorder still has its target."""
    ring = make(tmp_path)
    tea = logging.getLogger("tea")
    tea.setLevel(logging.INFO)
    tea.addHandler(ring)
    with obs.flow() as before:
        for _ in range(5):
            ask("hello")
    with obs.flow() as during:
        for _ in range(5):
            ask("hello")
        with obs.span("around"):
            somebody()
            ask("hello")
        during.log("end", "error", "error")
    for run, count in ((before, 12), (during, 17)):
        log = obs.get_flow_log(run.flow_id)
        assert (log.status, len(log.events), log.metrics["dropped_count"]) == ("ok", count, 0)
    if isinstance(ring.target, Keep):
        assert ring.target.seen[1:] == obs.query(during.flow_id)
    assert (make is recorder) == (ring.target is not None)


def test_a_captured_run_survives_it(tmp_path: Path) -> None:
    """fileConfig takes the handlers off the root logger: what a ring had from there can still be read."""
    root = logging.getLogger()
    root.addHandler(obs.RingBufferHandler())
    root.setLevel(logging.INFO)
    with obs.flow() as run:
        logging.getLogger("agent").info("thinking")
    file_config_of_somebody()
    assert [event["message"] for event in obs.query(run.flow_id, event_type="log")] == ["thinking"]


@pytest.mark.parametrize("first", [True, False])
def test_a_disabled_logger_opens_no_span(ring: obs.RingBufferHandler, first: bool) -> None:
    """As with a filtered level, whether the function ran before or not: what runs inside hangs on the span around it."""
    outer_logger = logging.getLogger("tea.outer")

    @obs.observable("outer")
    def outer() -> str:
        return ask("hello")

    if first:
        outer()
    outer_logger.disabled = True
    with obs.flow() as run:
        outer()
    [ask_span] = [span for _, span in obs.get_flow_log(run.flow_id).walk() if span.node == "llm.call"]
    assert [(span.node, depth) for depth, span in obs.get_flow_log(run.flow_id).walk()] == [("flow", 0), ("llm.call", 1)]
    assert ask_span.parent_id == run.context.span_id


@pytest.mark.parametrize("filters", [[], [lambda record: True]])
def test_a_span_that_was_open_gets_its_end(ring: obs.RingBufferHandler, filters: list[Any]) -> None:
    """A logger that is disabled in the middle of its span: one entry, one end."""
    logger = logging.getLogger("tea.outer")
    logger.filters[:] = filters

    @obs.observable("outer")
    def outer() -> None:
        logger.disabled = True

    with obs.flow() as run:
        outer()
    assert [event["event_type"] for event in obs.query(run.flow_id, node="outer")] == ["entry", "exit"]


# --- who stands in the place of Logger's methods ---


class Asked(logging.Logger):
    """A logger that decides for itself what is enabled, and counts how often it is asked."""

    allowed = True
    asked = 0

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        self.asked += 1
        return self.allowed and super().isEnabledFor(level)


@pytest.mark.parametrize("how", ["sync", "async", "span"])
def test_a_logger_s_own_is_enabled_for_is_asked_each_time(ring: obs.RingBufferHandler, how: str) -> None:
    """By functions, coroutines and spans alike, also after it has said yes before."""
    import asyncio

    name = f"asked.{how}"
    logging.setLoggerClass(Asked)
    logger = logging.getLogger(f"tea.{name}")
    logging.setLoggerClass(logging.Logger)
    assert isinstance(logger, Asked)

    @obs.observable(name)
    def sync() -> None: ...

    @obs.observable(name)
    async def coroutine() -> None: ...

    def act() -> None:
        if how == "sync":
            sync()
        elif how == "async":
            asyncio.run(coroutine())
        else:
            with obs.span(name):
                pass

    counts = []
    with obs.flow() as run:
        for allowed in (True, False, True):
            logger.allowed = allowed
            act()
            counts.append(len(obs.query(run.flow_id, node=name)))
    assert counts == [2, 2, 4]
    assert logger.asked >= 3


def test_a_subclass_that_changes_nothing_is_as_fast_as_a_logger() -> None:
    """Its methods are logging's own; those of a wrapper that shows the wrapped code are not."""

    class Plain(logging.Logger):
        def trace(self) -> None: ...

    class Wrapped(logging.Logger):
        class _Wrapper:
            __code__ = logging.Logger.handle.__code__

            def __call__(self, record: logging.LogRecord) -> None: ...

        handle = _Wrapper()  # type: ignore[assignment]

    assert [has_own_methods(kind, ["handle", "callHandlers"]) for kind in (logging.Logger, Plain, Wrapped)] == [True, True, False]
    plain, asked = Plain("x"), Asked("x")
    assert [one.isEnabledFor(logging.ERROR) for one in (plain, asked)] == [True, True]
    assert [dict(verdicts(one)) for one in (plain, asked)] == [{logging.ERROR: True}, {}]


@pytest.mark.parametrize("name", ["handle", "callHandlers", "makeRecord"])
def test_a_patch_in_the_middle_of_a_run_is_noticed(
    ring: obs.RingBufferHandler, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever replaces a method of Logger sees every node from then on, and the ring has each once."""
    original, seen = getattr(logging.Logger, name), []

    def patched(self: logging.Logger, *args: Any, **kwargs: Any) -> Any:
        seen.append(self.name)
        return original(self, *args, **kwargs)

    with obs.flow() as run:
        ask("before")
        monkeypatch.setattr(logging.Logger, name, patched)
        ask("after")
        monkeypatch.undo()
        ask("again")
    assert seen == ["tea.llm.call", "tea.llm.call"]
    assert len(obs.query(run.flow_id, node="llm.call")) == 6


def test_a_patch_that_fails_is_told_and_loses_nothing(
    ring: obs.RingBufferHandler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """makeRecord of somebody raises: the event is there, and the fault is counted."""
    monkeypatch.setattr(logging.Logger, "makeRecord", lambda *args, **kwargs: 1 / 0)
    with obs.flow() as run:
        ask("hello")
    log = obs.get_flow_log(run.flow_id)
    assert [event["event_type"] for event in log.events if event["node"] == "llm.call"] == ["entry", "exit"]
    assert log.metrics["fault_count"] == 4
    assert "Logger.makeRecord failed: ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.slow
def test_what_ddtrace_adds_is_on_the_record(ring: obs.RingBufferHandler) -> None:
    """ddtrace wraps makeRecord with wrapt, in a process of its own: a node's record has the ids it adds."""
    pytest.importorskip("ddtrace")
    program = """
import logging, sys
import the_edge_obs as obs
@obs.observable("llm.call")
def ask(): return 1
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(logging.Formatter("%(name)s %(dd.service)s %(dd.trace_id)s"))
tea = logging.getLogger("tea")
tea.setLevel("INFO")
tea.addHandler(handler)
tea.addHandler(obs.RingBufferHandler())
import ddtrace
ddtrace.patch(logging=True)
from ddtrace.trace import tracer
with obs.flow() as run:
    with tracer.trace("web") as span:
        ask()
assert len(obs.query(run.flow_id)) == 4
"""
    environment = {"DD_SERVICE": "shop", "DD_TRACE_ENABLED": "true", "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false"}
    environment |= {
        "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_LOGS_INJECTION": "true",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["tea.flow", "shop"], *[["tea.llm.call", "shop"]] * 2, ["tea.flow", "shop"]], (
        done.stderr
    )
    assert lines[1][2] == lines[2][2] != "0"


# --- what they get, and that no secret is in it ---


PATCHED: list[Any] = []


@pytest.fixture
def sentry() -> Iterator[list[Any]]:
    """Return what the real SDK would send, from its own transport."""
    sdk = pytest.importorskip("sentry_sdk")

    class Memory(sdk.transport.Transport):  # type: ignore[misc, name-defined]
        def capture_envelope(self, envelope: Any) -> None:
            sent.extend(json.loads(item.get_bytes()) for item in envelope.items if item.type == "event")

    sent: list[Any] = []
    own = logging.Logger.callHandlers
    sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Memory, default_integrations=True, auto_enabling_integrations=False)
    if PATCHED:  # it patches Logger once in a process
        logging.Logger.callHandlers = PATCHED[0]  # type: ignore[method-assign]
    yield sent
    sdk.get_client().close(timeout=0)
    sdk.get_global_scope().set_client(None)
    PATCHED.append(logging.Logger.callHandlers)
    logging.Logger.callHandlers = own  # type: ignore[method-assign]


@pytest.mark.slow
@pytest.mark.parametrize("function", FAILING)
def test_sentry_gets_errors_of_nodes(function: Callable[..., None], sentry: list[Any], ring: obs.RingBufferHandler) -> None:
    """With type and stack, each error once, breadcrumbs of the nodes before it, and nothing of the secret."""
    logging.getLogger("tea").setLevel(logging.INFO)
    with obs.flow():
        ask("first")
        failing_run(function)
    errors = [event for event in sentry if "exception" in event]
    names = [[value["type"] for value in event["exception"]["values"]] for event in errors]
    whole = {fail: [["ConnectionError"]], fail_plainly: [["ConnectionError"]]}
    assert names == whole.get(function, [["ConnectionError"], ["ConnectionError", "RuntimeError"]])
    frames = errors[-1]["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames[-1]["function"] == function.__name__
    assert [frame.get("vars") or {} for frame in frames] == [{}] * len(frames)
    crumbs = [crumb["category"] for crumb in errors[0]["breadcrumbs"]["values"]]
    assert crumbs[:3] == ["tea.flow", "tea.llm.call", "tea.llm.call"]
    assert SECRET not in json.dumps(sentry)


def test_structlog_keeps_its_message(ring: obs.RingBufferHandler) -> None:
    """ExtraAdder takes over what records carry; the message stays the message, and errors come with their traceback."""
    structlog = pytest.importorskip("structlog")
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    processors = [structlog.stdlib.ExtraAdder(), structlog.stdlib.add_log_level]
    ending = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.dict_tracebacks,
        structlog.processors.JSONRenderer(default=repr),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=processors, processors=ending))
    tea = logging.getLogger("tea")
    tea.setLevel(logging.INFO)
    tea.addHandler(handler)
    with obs.flow() as run:
        ask("hello", password=SECRET)
    for function in FAILING:
        failing_run(function)
    made = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [one["event"].partition(" (")[0] for one in made[:4]] == ["flow entry", "llm.call entry", "llm.call exit", "flow exit"]
    assert {one["flow_id"] for one in made[:4]} == {run.flow_id}
    errors = [one["exception"][0]["exc_type"] for one in made if "exception" in one]
    assert errors == ["ConnectionError", "ConnectionError", "ConnectionError", "RuntimeError"]
    assert SECRET not in lines.getvalue()


def test_loguru_names_the_node_s_code(ring: obs.RingBufferHandler) -> None:
    """The handler of the guide hands nodes to loguru with the code they stand for, and loguru prints no variable."""
    loguru = pytest.importorskip("loguru")

    class ToLoguru(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            def attribute(fields: Any) -> None:
                fields.update(name=record.name, function=record.funcName, line=record.lineno)

            logger = loguru.logger.patch(attribute).opt(exception=record.exc_info)
            logger.log(record.levelname, record.getMessage())

    lines = io.StringIO()
    number = loguru.logger.add(lines, format="{name} {function} {message}", backtrace=True, diagnose=True)
    logging.getLogger("tea").addHandler(ToLoguru())
    logging.getLogger("tea").setLevel(logging.INFO)
    for function in FAILING:
        failing_run(function)
    loguru.logger.remove(number)
    text = lines.getvalue()
    assert "tea.llm.plain fail_plainly llm.plain entry" in text
    assert "ConnectionError: no answer" in text
    assert "RuntimeError: the agent gave up" in text
    assert SECRET not in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_opentelemetry_gets_nodes(ring: obs.RingBufferHandler, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK's LoggingHandler takes records of nodes, with the exception's type and stack, without a warning."""
    logs = pytest.importorskip("opentelemetry.sdk._logs")
    export = pytest.importorskip("opentelemetry.sdk._logs.export")
    memory = getattr(export, "InMemoryLogRecordExporter", None) or export.InMemoryLogExporter
    exporter, provider = memory(), logs.LoggerProvider()
    provider.add_log_record_processor(export.SimpleLogRecordProcessor(exporter))
    handler = logs.LoggingHandler(logger_provider=provider)
    logging.getLogger("tea").addHandler(handler)
    logging.getLogger("tea").setLevel(logging.INFO)
    for function in FAILING:
        failing_run(function)
    logging.getLogger("tea").removeHandler(handler)
    provider.shutdown()
    records = [done.log_record for done in exporter.get_finished_logs()]
    types = [record.attributes["exception.type"] for record in records if "exception.type" in record.attributes]
    assert types == ["ConnectionError", "ConnectionError", "ConnectionError", "RuntimeError"]
    assert [record.message for record in caplog.records if record.name.startswith("opentelemetry")] == []
    assert SECRET not in repr([(record.body, dict(record.attributes)) for record in records])


def test_a_stock_formatter_prints_the_error_without_secrets(ring: obs.RingBufferHandler) -> None:
    """logging's own formatter writes a traceback below the line of a failing node; no variable and no secret is in it."""
    lines = io.StringIO()
    logging.getLogger("tea").addHandler(logging.StreamHandler(lines))
    logging.getLogger("tea").setLevel(logging.INFO)
    for function in FAILING:
        failing_run(function)
    text = lines.getvalue()
    assert "ConnectionError: hello with [REDACTED]\n" in text
    assert "The above exception was the direct cause of the following exception:" in text
    assert SECRET not in text


def test_a_program_s_frames_are_not_held() -> None:
    """A record that somebody keeps, once it was read, holds no frame of the program and none of its variables."""
    kept: list[logging.LogRecord] = []

    class Hold(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.getMessage()
            kept.append(record)

    logging.getLogger("tea").addHandler(Hold())
    logging.getLogger("tea").setLevel(logging.INFO)
    failing_run(fail_in_turn)
    for record in kept:
        waiting: list[Any] = [record.exc_info[1]] if record.exc_info else []
        while waiting:
            error = waiting.pop()
            waiting += [one for one in (error.__cause__, error.__context__) if one is not None]
            trace = record.exc_info[2] if record.exc_info and error is record.exc_info[1] else error.__traceback__
            while trace is not None:
                assert (trace.tb_frame.f_locals, trace.tb_frame.f_back) == ({}, None)
                trace = trace.tb_next
    assert sum(record.exc_info is not None for record in kept) == 2


def test_threads_see_their_own_likeness(ring: obs.RingBufferHandler) -> None:
    """Chained errors of many threads at once come out with their own texts."""
    seen: dict[str, set[str]] = {}

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.name == "tea.work":
                seen.setdefault(record.__dict__["flow_id"], set()).add(str(record.exc_info[1]))

    logging.getLogger("tea").addHandler(Note())
    wanted: dict[str, set[str]] = {}

    def work(number: int) -> None:
        for turn in range(20):
            with obs.flow() as run:
                wanted[run.flow_id] = {f"{number}.{turn}"}
                try:
                    with obs.span("work"):
                        try:
                            raise KeyError(number)
                        except KeyError as error:
                            raise ValueError(f"{number}.{turn}") from error
                except ValueError:
                    pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == wanted
