"""Costs of spans: computed once, at the end of each span with tokens and a model, by the active prices."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs import flows
from the_edge_obs.cli import main
from the_edge_obs.errors import FlowFileError
from the_edge_obs.recording import pricing
from the_edge_obs.recording.pricing import Prices, activate

USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000}
PRICES = {"gpt-*": {"input": 2, "output": 8}, "cheap": {"input": 0.5, "output": 0.5}}


@pytest.fixture(autouse=True)
def no_prices() -> Iterator[None]:
    """Leave no prices behind."""
    yield
    pricing.active.clear()


@pytest.fixture
def priced(ring: obs.RingBufferHandler) -> Prices:
    """Activate a table for the process."""
    prices = pricing.prices_of(PRICES, "prices")
    assert prices is not None
    activate(prices)
    return prices


def costs(run: obs.ObservabilityContext) -> list[Any]:
    """Return the cost of each span but the root, in the order in which they began."""
    return [span.metrics.get("cost_usd") for span in obs.get_flow_log(run.flow_id).spans if span.node != "flow"]


def notes(run: obs.ObservabilityContext) -> list[tuple[str, str, str]]:
    """Return node, level and message of what a run logged."""
    return [(event["node"], event["level"], event["message"]) for event in obs.query(run.flow_id, event_type="log")]


NOTE = "no price is known for the tokens of model '{}': its calls have no cost_usd"


def test_every_kind_of_span_has_a_cost(priced: Prices) -> None:
    """Functions, coroutines, generators, blocks and explicit spans; nested or not; the model is in the result or in the input."""
    answer = {"model": "gpt-5", "usage": USAGE}

    @obs.observable("llm.call")
    def plain(model: str = "") -> Any:
        return answer if not model else {"usage": USAGE}

    @obs.observable("llm.call")
    async def later(model: str) -> Any:
        return {"usage": USAGE}

    @obs.observable("llm.call")
    def hidden(model: str) -> Any:
        return later.__wrapped__(model)  # type: ignore[attr-defined]

    @obs.observable("llm.call")
    def stream(model: str) -> Any:
        yield 1
        return {"usage": USAGE}

    with obs.flow() as run:
        plain()
        plain("gpt-5")
        asyncio.run(later("gpt-5"))
        asyncio.run(hidden("gpt-5"))
        list(stream("gpt-5"))
        with obs.span("llm.call", model="gpt-5") as span:
            span.metrics = {"input_tokens": 1_000_000}
        obs.start_span("llm.call", input={"model": "gpt-5"}).end(metrics={"output_tokens": 500_000})
        obs.start_span("llm.call").end(answer)
    assert costs(run) == [10, 10, 10, 10, 10, 2, 4, 10]
    with obs.flow() as run:
        obs.start_span("llm.call", input={"model": "gpt-5"}).end(error=ValueError("cut off"), metrics={"input_tokens": 1_000_000})
    assert costs(run) == [2]
    assert plain() == answer


def test_a_cost_of_its_own_stays(priced: Prices) -> None:
    """An endpoint that says what the call cost knows better, also where it was nothing."""
    with obs.flow() as run:
        obs.start_span("llm.call").end({"model": "gpt-5", "usage": USAGE, "cost_usd": 0.5})
        obs.start_span("llm.call").end({"model": "gpt-5", "usage": USAGE, "cost_usd": 0})
    assert costs(run) == [0.5, 0]


def test_what_has_no_tokens_or_no_model_has_no_cost(priced: Prices) -> None:
    """Neither a cost nor a note."""
    with obs.flow() as run:
        obs.start_span("llm.call").end({"model": "gpt-5"})
        obs.start_span("llm.call").end({"usage": USAGE})
        obs.start_span("llm.call").end({"model": "gpt-5", "usage": {"total_tokens": 5}})
        obs.start_span("llm.call").end("text")
        obs.start_span("llm.call").end()
    assert (costs(run), notes(run)) == ([None] * 5, [])


def test_a_parent_that_repeats_its_children_counts_once(priced: Prices, tmp_path: Path, capsys: Any) -> None:
    """An agent that adds up the tokens of its calls: the total is that of the calls, in the flow log, ls, stats, csv and OTLP."""
    undo = obs.configure({"prices": PRICES, "handlers": [{"type": "file", "path": str(tmp_path / "{flow_id}.jsonl")}]})
    with obs.flow("agents") as run, obs.span("agent.writer") as agent:
        for model in ("gpt-5", "cheap"):
            obs.start_span("llm.call").end({"model": model, "usage": USAGE})
        agent.output = {"model": "gpt-5", "usage": {name: 2 * count for name, count in USAGE.items()}}
    undo()
    assert costs(run) == [20, 10, 1]
    log = obs.get_flow_log(run.flow_id)
    assert (log.metrics["cost_usd"], log.metrics["tokens"]) == (11, 4_000_000)
    assert {node: figures["cost_usd"] for node, figures in log.metrics["nodes"].items()} == {
        "agent.writer": 0,
        "llm.call": 11,
    }
    (summary,) = obs.runs(tmp_path)
    assert summary.cost_usd == 11
    assert main(["stats", str(tmp_path), "--json"]) == 0
    assert sum(json.loads(line)["cost_usd"] for line in capsys.readouterr().out.splitlines()) == 11
    assert main(["ls", str(tmp_path)]) == 0
    assert "$11.00" in capsys.readouterr().out
    obs.export(run.flow_id, tmp_path / "run.csv", format="csv")
    head, *rows = (tmp_path / "run.csv").read_text(encoding="utf-8").splitlines()
    at = head.split(",").index("cost_usd")
    assert sorted(cell for row in rows if (cell := row.split(",")[at])) == ["1.0", "10.0"]
    obs.export(run.flow_id, tmp_path / "run.json", format="otlp-json")
    sent = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    attributes = [{pair["key"]: pair["value"] for pair in span["attributes"]} for span in sent]
    assert [one["llm.cost.total"] for one in attributes if one.get("gen_ai.operation.name") == {"stringValue": "chat"}] == [
        {"doubleValue": 10.0},
        {"doubleValue": 1.0},
    ]
    obs.export(run.flow_id, tmp_path / "run.html", format="html")
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert re.search(r'"cost_usd": ?11\b', page)


def test_an_unknown_model_is_noted_once(priced: Prices) -> None:
    """One warning per model in the run that meets it first, never one per call, and no cost."""
    with obs.flow() as run:
        for model in ("llama", "llama", "qwen", "gpt-5", "llama"):
            obs.start_span("llm.call").end({"model": model, "usage": USAGE})
    assert costs(run) == [None, None, None, 10, None]
    assert notes(run) == [("llm.call", "warn", NOTE.format("llama")), ("llm.call", "warn", NOTE.format("qwen"))]
    with obs.flow() as run:
        obs.start_span("llm.call").end({"model": "llama", "usage": USAGE})
    assert notes(run) == []


def test_a_note_holds_no_secret_and_is_short(priced: Prices) -> None:
    """A model's name may be anything."""
    with obs.flow() as run:
        obs.taint(["tainted-secret-17"])
        obs.start_span("llm.call").end({"model": "tainted-secret-17" + "x" * 10_000, "usage": USAGE})
    ((_, _, message),) = notes(run)
    assert "tainted" not in message
    assert len(message) < 200


@pytest.mark.parametrize("cost", [None, "1", -1, float("nan"), float("inf"), True])
def test_a_function_that_returns_no_cost(ring: obs.RingBufferHandler, cost: Any) -> None:
    """Only a number of at least 0 is one."""
    activate(Prices(lambda *_: cost))
    with obs.flow() as run:
        obs.start_span("llm.call").end({"model": "m", "usage": USAGE})
    assert (costs(run), notes(run)) == ([None], [("llm.call", "warn", NOTE.format("m"))])


def test_a_function_that_fails_is_a_counted_fault(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """It is shown once per model and counted each time; the observed code does not notice."""

    def broken(model: str, tokens: Any, given: Any) -> float:
        raise ZeroDivisionError("no prices today")

    activate(Prices(broken))
    call = obs.observable("llm.call")(lambda: {"model": "m", "usage": USAGE})
    with obs.flow() as run:
        assert [call()["model"] for _ in range(3)] == ["m"] * 3
    log = obs.get_flow_log(run.flow_id)
    assert (costs(run), log.status, log.metrics["fault_count"]) == ([None] * 3, "ok", 3)
    assert [message for node, _, message in notes(run) if node == "obs"] == [
        "finding the price of a model failed: ZeroDivisionError: no prices today"
    ]
    assert capsys.readouterr().err.count("no prices today") == 1


def test_a_flow_has_its_own_prices(tmp_path: Path) -> None:
    """In a YAML flow, whose block is for that flow alone; the builtin llm.call has a cost, and the run's total shows it."""
    flow = {
        "name": "priced",
        "observability": {"prices": PRICES},
        "nodes": [
            {
                "name": "ask",
                "uses": "llm.call",
                "with": {"prompt": "hi", "model": "gpt-5", "answers": [{"content": "hello", "usage": USAGE}]},
                "output": "answer",
            }
        ],
    }
    undo = obs.configure({"prices": {"gpt-5": {"input": 100, "output": 100}}})
    state = flows.load(flow).run()
    with obs.flow() as other:
        obs.start_span("llm.call").end({"model": "gpt-5", "usage": USAGE})
    assert costs(other) == [200]
    undo()
    assert obs.get_flow_log(state["flow_id"]).metrics["cost_usd"] == 10
    assert pricing.active == []


def test_run_shows_what_a_flow_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """``tea-obs run`` prints the cost per call and the sum."""
    monkeypatch.chdir(tmp_path)
    Path("flow.yaml").write_text(
        "observability: {prices: {'gpt-*': {input: 2, output: 8}}}\n"
        "nodes:\n"
        "  - {name: ask, uses: llm.call, with: {prompt: hi, model: gpt-5, answers: [{content: hello, usage: "
        "{prompt_tokens: 1000, completion_tokens: 500, total_tokens: 1500}}]}, output: answer}\n",
        encoding="utf-8",
    )
    assert main(["run", "flow.yaml"]) == 0
    out, err = capsys.readouterr()
    assert (out + err).count("$0.0060") == 2


def test_prices_that_bring_code_are_refused_where_code_is() -> None:
    """A function is code; a table and the package are not."""
    nodes = [{"uses": "json.parse", "with": {"text": "1"}}]
    for prices in ("own:cost", print):
        with pytest.raises(FlowFileError, match=r"observability\.prices: .* brings code, which is not allowed here; use a table"):
            flows.load({"observability": {"prices": prices}, "nodes": nodes}, allow_code=False)
    for prices in (PRICES, "genai-prices", None):
        flows.load({"observability": {"prices": prices}, "nodes": nodes}, allow_code=False)
    with pytest.raises(FlowFileError, match=r"observability\.prices\.m\.input is 'x'"):
        flows.load({"observability": {"prices": {"m": {"input": "x"}}}, "nodes": nodes})
