from __future__ import annotations

import logging
import logging.config
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs import flows

from .otlp_sink import Sink, assert_tree, attributes

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from the_edge_obs.integrations.otel import OtlpHandler

SECRET = "sk-proj-Zx81hHq0Lm2Nv7Rt5Kp3Wd9C"
RETRIES_500 = tuple(map(int, version("opentelemetry-exporter-otlp-proto-http").split(".")[:2])) < (1, 45)  # as 502 and others


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no OTEL_* variable of the machine in the tests."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as made:
        yield made


def configured(**options: Any) -> OtlpHandler:
    obs.configure({"handlers": [{"type": "otlp", **options}]})
    (handler,) = (one for one in logging.getLogger("tea").handlers if isinstance(one, OtlpHandler))
    return handler


@obs.observable("llm.call")
def ask(model: str, prompt: str, api_key: str) -> dict[str, Any]:
    if prompt == "fail":
        raise ValueError(f"refused for {api_key}")
    logging.getLogger("tea.llm").warning("said with %s", api_key)
    return {"content": f"you said {prompt}, key {api_key}", "model": model, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def triage(prompts: int = 3) -> str:
    with obs.flow("triage") as run, obs.span("work", password=SECRET):
        for _ in range(prompts):
            ask("small", "hi", SECRET)
        with pytest.raises(ValueError):
            ask("small", "fail", SECRET)
    return str(run.flow_id)


def test_a_run_arrives_as_a_tree_without_secrets(sink: Sink) -> None:
    """Names, ids, tokens, errors and texts are there; the planted secret is in no byte."""
    handler = configured(endpoint=sink.url, headers={"x-mlflow-experiment-id": "7"}, service="shop")
    flow_id = triage()
    assert handler.drain(10)
    sink.wait(6)
    assert_tree(sink.spans)
    assert [body for body in sink.bodies if SECRET.encode() in body or b"Zx81hHq0" in body] == []
    assert {request["x-mlflow-experiment-id"] for request in sink.requests} == {"7"}
    assert {request["content-type"] for request in sink.requests} == {"application/x-protobuf"}
    assert {resource["service.name"] for resource in sink.resources} == {"shop"}
    assert {span.trace_id.hex() for span in sink.spans} == {flow_id.replace("-", "")}
    first, failed = sink.spans[0], sink.spans[3]
    found = attributes(first)
    assert (first.name, first.kind, first.status.code) == ("chat small", 3, 1)
    assert (found["gen_ai.usage.input_tokens"], found["llm.token_count.prompt"]) == (3, 3)
    assert [event.name for event in first.events] == ["log"]
    assert (failed.status.code, [event.name for event in failed.events]) == (2, ["exception"])
    assert attributes(failed)["error.type"] == "ValueError"
    assert sink.spans[-1].name == "triage"


def test_ids_are_those_of_the_log(sink: Sink) -> None:
    """Who sees a span in Phoenix finds it in the file."""
    handler = configured(endpoint=sink.url)
    flow_id = triage()
    assert handler.drain(10)
    sent = {span.span_id.hex() for span in sink.spans}
    assert sent == {span.span_id.replace("-", "")[16:] for span in obs.get_flow_log(flow_id).spans}


def test_without_content_no_text_is_sent(sink: Sink) -> None:
    """Only names and figures, in the conventions that were asked for."""
    handler = configured(endpoint=f"{sink.url}/v1/traces", content=False, names=["gen_ai"])
    with obs.flow("quiet"):
        ask("small", "a needle", "x")
    assert handler.drain(10)
    assert [body for body in sink.bodies if b"needle" in body or b"openinference" in body] == []
    assert attributes(sink.spans[0])["gen_ai.request.model"] == "small"


def test_the_standard_variables_apply(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint, headers and service."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=from-env,team=b")
    handler = configured()
    with obs.flow("env"):
        pass
    assert handler.drain(10)
    assert sink.requests[0]["x-team"] == "a"
    assert (sink.resources[0]["service.name"], sink.resources[0]["team"]) == ("from-env", "b")
    assert sink.resources[0]["process.pid"] == os.getpid()


def test_captured_records_are_events_of_their_span(sink: Sink) -> None:
    """What ``capture:`` brings into the run is sent too, but not what the exporter logs."""
    obs.configure({"handlers": [{"type": "otlp", "endpoint": sink.url}], "capture": "root"})
    handler = next(one for one in logging.getLogger("tea").handlers if isinstance(one, OtlpHandler))
    with obs.flow("captured"):
        logging.getLogger("shop.db").warning("slow")
    assert handler.drain(10)
    assert [attributes(event)["log.message"] for event in sink.spans[0].events] == ["slow"]


def test_a_burst_drops_whole_spans_and_counts_them() -> None:
    """What arrives is a tree, and with what was dropped it is all."""
    with Sink(delay_s=0.2) as sink:
        handler = configured(endpoint=sink.url, max_spans=500)
        with obs.flow("burst") as run, obs.span("work"):
            for number in range(5000):
                with obs.span("leaf", number=number):
                    pass
        sink.delay_s = 0
        assert handler.drain(20)
        stats = handler.stats()
        assert stats["dropped"] > 0
        assert len(sink.spans) + stats["dropped"] == 5002
        assert_tree(sink.spans)
        assert obs.get_flow_log(run.flow_id).metrics["fault_count"] == stats["dropped"]


@pytest.mark.parametrize("status", [400] if RETRIES_500 else [400, 500])
def test_a_receiver_that_refuses_costs_counted_spans(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The flow runs on, its log has the faults, and nothing of the exporter's; later spans arrive."""
    with Sink(status=status) as sink:
        obs.configure({"handlers": [{"type": "otlp", "endpoint": sink.url}], "capture": "root"})
        handler = next(one for one in logging.getLogger("tea").handlers if isinstance(one, OtlpHandler))
        flow_id = triage()
        assert handler.drain(10)
        assert handler.stats()["failed"] == 6
        log = obs.get_flow_log(flow_id)
        assert log.metrics["fault_count"] == 6
        assert {event["node"] for event in log.events if event["node"].startswith(("opentelemetry", "urllib3"))} == set()
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("the_edge_obs:")]
        assert len(told) == 1
        assert told[0].startswith("the_edge_obs: OtlpHandler could not send 6 spans: ExportError: the receiver of OTLP did not")
        sink.status = 200
        with obs.flow("later"):
            pass
        assert handler.drain(10)
        assert [span.name for span in sink.spans] == ["later"]


@pytest.mark.parametrize("status", [503, 500] if RETRIES_500 else [503])
def test_a_receiver_that_is_not_ready_gets_the_spans_later(status: int) -> None:
    """The flow runs on, the exporter tries again, and nothing is lost."""
    with Sink(status=status) as sink:
        handler = configured(endpoint=sink.url)
        flow_id = triage()
        handler.flush()
        until = time.monotonic() + 10
        while not sink.bodies and time.monotonic() < until:
            time.sleep(0.01)
        sink.status = 200
        assert handler.drain(20)
        assert handler.stats()["failed"] == 0
        assert len(sink.spans) == 6
        assert obs.get_flow_log(flow_id).metrics["fault_count"] == 0


def test_a_slow_receiver_does_not_hold_the_flow_up() -> None:
    """Flows do not wait for posts."""
    with Sink(delay_s=4) as sink:
        handler = configured(endpoint=sink.url)
        started = time.monotonic()
        for _ in range(20):
            triage(1)
            handler.flush()
        assert time.monotonic() - started < 3
        sink.delay_s = 0
        assert handler.drain(20)
        assert len(sink.spans) == 80


def test_dictconfig_during_a_post_returns_at_once_and_later_spans_arrive() -> None:
    """It closes every handler while it holds logging's lock, which the exporter's libraries want."""
    with Sink(delay_s=1.5) as sink:
        handler = configured(endpoint=sink.url)
        with obs.flow("first"):
            pass
        handler.flush()
        until = time.monotonic() + 5
        while not sink.bodies and time.monotonic() < until:
            time.sleep(0.01)
        assert sink.bodies
        started = time.monotonic()
        saved = list(logging._handlerList)  # type: ignore[attr-defined]
        logging._handlerList[:] = [one for one in saved if one() is handler]  # type: ignore[attr-defined]
        try:
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        finally:
            logging._handlerList[:] = saved  # type: ignore[attr-defined]
        assert time.monotonic() - started < 1
        sink.delay_s = 0
        with obs.flow("second"):
            pass
        assert handler.drain(10)
        assert [span.name for span in sink.spans] == ["first", "second"]


def test_a_flow_file_sends_its_own_runs(sink: Sink) -> None:
    """The block of a flow is active for that flow, and what waits at its end is sent."""
    block = {"levels": {"json": "warn"}, "handlers": [{"type": "otlp", "endpoint": sink.url}]}
    flow = flows.load(
        {
            "name": "from yaml",
            "observability": block,
            "nodes": [
                {"uses": "json.parse", "with": {"text": "1"}},
                {"name": "ask", "uses": "llm.call", "with": {"answers": ["yes"], "prompt": "hi"}},
            ],
        }
    )
    with obs.flow("another"):
        pass
    flow.run()
    sink.wait(2)
    assert sorted(span.name for span in sink.spans) == ["chat scripted", "from yaml"]
    assert_tree(sink.spans)


def test_threads_share_it(sink: Sink) -> None:
    """Flows of several threads arrive whole."""
    handler = configured(endpoint=sink.url)

    def many() -> None:
        for _ in range(20):
            with obs.flow("threaded"), obs.span("a"), obs.span("b"):
                pass

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handler.drain(20)
    assert len(sink.spans) == 240
    assert_tree(sink.spans)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": "localhost:4318"}, "endpoint 'localhost:4318' is not the address of a receiver; write one such as http"),
        ({"endpoint": 4318}, "endpoint 4318 is not the address"),
        ({"headers": ["a"]}, "headers is not a mapping of texts to texts"),
        ({"headers": {"a": 1}}, "headers is not a mapping of texts to texts"),
        ({"service": ""}, "service is ''; it must be a name"),
        ({"content": "no"}, "content is 'no'; allowed: true, false"),
        ({"names": ["gen"]}, "names has 'gen'; "),
        ({"max_spans": 0}, "max_spans 0 is not a whole number"),
        (
            {"end_point": "x"},
            "unknown key 'end_point' in observability.handlers[0]; did you mean 'endpoint'? allowed: level, endpoint",
        ),
    ],
)
def test_a_mistake_in_the_block_is_refused(options: dict[str, Any], message: str) -> None:
    """The message names the key, the value and what is allowed."""
    with pytest.raises(obs.ConfigurationError) as caught:
        obs.configure({"handlers": [{"type": "otlp", **options}]})
    assert message in str(caught.value)


def test_without_the_packages_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names the type learns how to install it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "the_edge_obs.integrations._otel_sdk", raising=False)
    with pytest.raises(obs.ConfigurationError, match=r"python -m pip install 'the_edge_obs\[otel\]'"):
        obs.configure({"handlers": [{"type": "otlp"}]})


# --- the end of a program, and forks -------------------------------------------------------------------------------------------

PROGRAM = """
import os, sys, time
import the_edge_obs as obs

def work(name="triage"):
    with obs.flow(name), obs.span("a"), obs.span("b"):
        pass

if __name__ == "__main__":
    block = {"handlers": [{"type": "otlp", "endpoint": sys.argv[1], "exit_s": 0.5}]}
    obs.configure(block)
    started = time.monotonic()
"""


def ran(folder: Path, url: str, code: str) -> tuple[float, str]:
    """Run a program, and return how long its flows took and what it said on stderr."""
    (folder / "program.py").write_text(PROGRAM + dedent(code).replace("\n", "\n    ").rstrip() + "\n")
    done = subprocess.run([sys.executable, "program.py", url], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return float(done.stdout), done.stderr


FLOWS = """
for _ in range(10): work()
print(time.monotonic() - started, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("delay_s", "status"), [(30, 200), (0, 500), (0, 400)])
def test_a_program_ends_in_time_whatever_the_receiver_does(tmp_path: Path, delay_s: float, status: int) -> None:
    """Slow or refusing: the flow is not held up, and the end waits no longer than it may, and tells what was lost."""
    with Sink(delay_s=delay_s, status=status) as sink:
        begun = time.monotonic()
        took, said = ran(tmp_path, sink.url, FLOWS)
        assert time.monotonic() - begun < 10
    assert took < 2
    waits = delay_s or (status == 500 and RETRIES_500)
    lost = "30 not sent in 0.5 s; 0 sent" if waits else "30 failed; 0 sent"
    assert f"the_edge_obs: OtlpHandler lost spans: {lost}" in said


@pytest.mark.slow
def test_a_program_ends_in_time_without_a_receiver(tmp_path: Path) -> None:
    """Nobody listens at the port."""
    with Sink() as sink:
        url = sink.url
    begun = time.monotonic()
    took, said = ran(tmp_path, url, FLOWS)
    assert (took < 2, time.monotonic() - begun < 10) == (True, True)
    assert "the_edge_obs: OtlpHandler lost spans: 30 " in said


@pytest.mark.slow
def test_the_end_of_a_program_sends_all_even_what_is_open(tmp_path: Path, sink: Sink) -> None:
    """A flow that never ended is marked, and its spans are no orphans."""
    ran(tmp_path, sink.url, '\nwork()\nrun = obs.flow("open")\nrun.__enter__()\nwith obs.span("x"): pass\nprint(0)')
    assert_tree(sink.spans)
    assert sorted(span.name for span in sink.spans) == ["a", "b", "open", "triage", "x"]
    (unfinished,) = (span for span in sink.spans if attributes(span).get("tea.unfinished"))
    assert unfinished.name == "open"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_children_send_what_they_log_and_nothing_twice(tmp_path: Path, sink: Sink) -> None:
    """The connections of the parent are not used, and the tree of both is whole."""
    ran(
        tmp_path,
        sink.url,
        """
        import logging
        handler = logging.getLogger("tea").handlers[-1]
        work()
        handler.drain(10)
        with obs.flow("parent"):
            with obs.span("before"): pass
            if (pid := os.fork()) == 0:
                with obs.span("child"): pass
                handler.drain(10)
                os._exit(0)
            os.waitpid(pid, 0)
        print(0)
        """,
    )
    assert_tree(sink.spans)
    assert sorted(span.name for span in sink.spans) == ["a", "b", "before", "child", "parent", "triage"]


@pytest.mark.slow
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_of_multiprocessing_send_what_they_have(tmp_path: Path, sink: Sink, method: str) -> None:
    """Forked, spawned, or from the fork server."""
    (tmp_path / "child.py").write_text(CHILD)
    ran(
        tmp_path,
        sink.url,
        f"""
        import multiprocessing, child
        work("parent")
        process = multiprocessing.get_context({method!r}).Process(target=child.work, args=(block,))
        process.start()
        process.join(30)
        print(0)
        """,
    )
    assert_tree(sink.spans)
    assert sorted(span.name for span in sink.spans) == ["a", "a", "b", "b", "child", "parent"]


CHILD = """
import logging
import the_edge_obs as obs
def work(block):
    if not logging.getLogger("tea").handlers:
        obs.configure(block)
    with obs.flow("child"), obs.span("a"), obs.span("b"):
        pass
"""
