from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from the_edge_obs.actions import builtin_registry
from the_edge_obs.actions.obs import obs_export, obs_get_flow_log, obs_log_event, obs_query
from the_edge_obs.configuration.config import configure
from the_edge_obs.errors import (
    ActionError,
    ConfigurationError,
    EventError,
    ExportError,
    FlowNotFoundError,
    QueryError,
)
from the_edge_obs.event import validate
from the_edge_obs.flows import load
from the_edge_obs.instrumentation.flow_context import flow
from the_edge_obs.instrumentation.registries import instrument
from the_edge_obs.instrumentation.spans import Span

UNKNOWN = "0af76519-16cd-43dd-8448-eb211c80319c"


@pytest.fixture
def _configured() -> Iterator[None]:
    undo = configure({"level": "info"})
    yield
    undo()


def short(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(event["node"], event["level"], event["event_type"], event["message"]) for event in events]


@pytest.mark.usefixtures("_configured")
def test_flow_reads_its_own_errors_while_it_runs() -> None:
    """Inside a flow, a query without flow_id sees what the flow has logged until now."""
    with flow("triage") as run:
        with pytest.raises(ValueError, match="odd"), Span("json.parse", {"text": "{"}):
            raise ValueError("odd")
        errors = obs_query({}, filters={"level": "error", "node": "json.*"})
        log = obs_get_flow_log({})
    assert [(event["flow_id"], event["message"], event["data"]["error"]["type"]) for event in errors] == [
        (run.flow_id, "odd", "ValueError")
    ]
    assert (log["flow_id"], log["status"], log["events"][-1]) == (run.flow_id, "running", errors[0])
    assert sorted(log) == ["events", "flow_id", "metrics", "name", "spans", "status", "timeline"]


@pytest.mark.usefixtures("_configured")
def test_another_flow_is_named_by_its_id_or_the_state() -> None:
    """A flow that is over can be read: flow_id wins over the running flow, which wins over the state."""
    with flow("first") as first:
        pass
    with flow("second") as second:
        names = [
            obs_get_flow_log({"flow_id": first.flow_id})["name"],
            obs_get_flow_log({}, flow_id=first.flow_id.upper())["name"],
        ]
    names.append(obs_get_flow_log({"flow_id": first.flow_id})["name"])
    assert names == ["second", "first", "first"]
    assert len(obs_query({"flow_id": second.flow_id}, limit=1)) == 1


@pytest.mark.usefixtures("_configured")
def test_log_event_adds_to_the_running_span() -> None:
    """The event belongs to the span that is running, under the node's name, and follows the schema."""
    with flow("triage") as run, Span("rank") as span:
        assert obs_log_event({}, node="scoring", message="scored", data={"best": "b"}, metrics={"items": 42}) == {
            "success": True,
            "flow_id": run.flow_id,
        }
        obs_log_event({}, level="error", event_type="error", data={"error": "no match"})
        obs_log_event({}, event_type="metric", metrics={"hits": 1})
        obs_log_event({}, level="debug", message="filtered by the level")
        added = [event for event in obs_query({}) if event["node"] in ("scoring", "custom")]
        assert span.context is not None
        own = span.context.span_id
    for event in added:
        validate(event)
    assert [(event["node"], event["event_type"], event["data"], event["metrics"]) for event in added] == [
        ("scoring", "log", {"best": "b"}, {"items": 42}),
        ("custom", "error", {"error": {"type": "Error", "message": "no match"}}, {}),
        ("custom", "metric", {}, {"hits": 1}),
    ]
    assert {event["span_id"] for event in added} == {own}


@pytest.mark.parametrize(
    ("step", "node"),
    [
        ("summarize the text", "summarize_the_text"),
        (" a \t\u00a0b\x1f ", "a_b"),
        ("...", "custom"),
        (". .", "_"),
        (".hidden one.", "hidden_one"),
        ("x y" * 100, ("x_y" * 100)[:256]),
        ("plain", "plain"),
    ],
)
@pytest.mark.parametrize("level", ["info", "warn"])  # at warn the action has no span
@pytest.mark.usefixtures("_configured")
def test_the_step_of_a_flow_is_the_node_of_an_event_without_one(step: str, node: str, level: str) -> None:
    """Whatever the step is called, and also where the flow's actions are instrumented."""
    instrumented = builtin_registry()
    undo = instrument(instrumented)
    for actions in (None, instrumented):
        logged = {"name": step, "uses": "obs.log_event", "with": {"message": "m", "level": "warn"}, "output": "logged"}
        state = load({"observability": {"levels": {"obs": level}}, "nodes": [logged]}, actions).run()
        events = obs_query({}, flow_id=state["flow_id"], filters={"level": "warn", "event_type": "log"})
        assert [event["node"] for event in events] == [node]
    undo()


@pytest.mark.usefixtures("_configured")
def test_a_node_that_is_given_is_made_a_name_too() -> None:
    """Only what is not a text is refused."""
    with flow("triage"):
        obs_log_event({}, node=" best of\n3 ", message="m")
        assert [event["node"] for event in obs_query({}, filters={"text": "m", "event_type": "log"})] == ["best_of_3"]
        for wrong in ("", 3, ["a"]):
            with pytest.raises(ActionError, match=r"obs\.log_event: node is .*; it must be a string that is not empty"):
                obs_log_event({}, node=wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_configured")
def test_secrets_stay_out_of_added_events() -> None:
    """What a flow logs by itself is redacted like everything else."""
    with flow("triage"):
        obs_log_event({}, message="note", data={"api_key": "sk-1234567890"})
        assert "sk-1234567890" not in json.dumps(obs_query({}))


@pytest.mark.usefixtures("_configured")
def test_export_writes_what_passes(tmp_path: Path) -> None:
    """The file holds the events that the filters let through, in either format, and the result counts them."""
    path = tmp_path / "out" / "flow.jsonl"
    with flow("triage") as run:
        obs_log_event({}, node="a", message="one")
        obs_log_event({}, node="b", message="two")
        result = obs_export({}, path=str(path), filters={"node": "b"})
        obs_export({}, path=str(tmp_path / "flow.json"), format="json")
    line = path.read_text()
    assert result == {"path": str(path), "format": "jsonl", "events": 1, "bytes": len(line)}
    assert (json.loads(line)["message"], line[-1]) == ("two", "\n")
    assert json.loads((tmp_path / "flow.json").read_text())["flow_id"] == run.flow_id


@pytest.mark.usefixtures("_configured")
def test_unwritable_path_is_a_soft_failure(tmp_path: Path) -> None:
    """A path that cannot be written lets the flow go on."""
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "flow.jsonl")
    with flow("triage"):
        result = obs_export({}, path=path)
    assert (result["success"], result["error_type"], result["path"]) == (False, "write_error", path)


def test_running_flow_without_events_has_no_errors() -> None:
    """Where only errors are kept, a flow that had none yet finds an empty list, not a missing flow."""
    undo = configure({"level": "error"})
    try:
        with flow("quiet"):
            assert obs_query({}, filters={"level": "error"}) == []
    finally:
        undo()


def test_log_event_in_a_flow_that_is_not_observed_is_a_soft_failure() -> None:
    """A flow whose observability is off goes on without its own events."""
    assert obs_log_event({"flow_id": UNKNOWN}, message="x") == {
        "success": False,
        "error": "the flow is not observed, so it has no log to add to; turn its observability block on",
        "error_type": "not_observed",
        "flow_id": UNKNOWN,
    }


@pytest.mark.parametrize(
    ("action", "params"),
    [
        (obs_get_flow_log, {}),
        (obs_query, {}),
        (obs_export, {"path": "never-written.jsonl"}),
        (obs_log_event, {}),
    ],
)
def test_outside_any_flow_raises(action: Any, params: dict[str, Any]) -> None:
    """Without a flow there is nothing to read or to add to; the error says what to do."""
    with pytest.raises(ActionError, match="no flow is running here; give flow_id"):
        action({}, **params)


@pytest.mark.parametrize("action", [obs_get_flow_log, obs_query])
def test_unknown_flow_raises(action: Any) -> None:
    """A flow that nothing keeps is an error, not an empty answer."""
    with pytest.raises(FlowNotFoundError, match=UNKNOWN):
        action({}, flow_id=UNKNOWN)


@pytest.mark.usefixtures("_configured")
@pytest.mark.parametrize(
    ("action", "params", "error", "message"),
    [
        (obs_query, {"flow_id": "mine"}, ConfigurationError, "flow_id 'mine' is not a UUID"),
        (obs_query, {"filters": {"nod": "x"}}, QueryError, "unknown filter 'nod'"),
        (obs_query, {"filters": ["x"]}, ActionError, "filters is ['x']; it must be a mapping"),
        (obs_query, {"limit": "3"}, ActionError, "limit is '3'; it must be a whole number above 0"),
        (obs_export, {"path": "x", "format": "exe"}, ExportError, "unknown format 'exe'"),
        (obs_export, {"path": None}, ActionError, "path is None; it must be a string"),
        (obs_log_event, {"event_type": "entry"}, ActionError, "unknown event_type 'entry'; allowed: log, metric, error"),
        (obs_log_event, {"level": "loud"}, EventError, "unknown level 'loud'"),
        (obs_log_event, {"data": "x"}, ActionError, "data is 'x'; it must be a mapping"),
    ],
)
def test_bad_use_raises(action: Any, params: dict[str, Any], error: type[Exception], message: str) -> None:
    """What the flow's author has to mend raises, and names the value."""
    with flow("triage"), pytest.raises(error, match=re.escape(message)):
        action({}, **params)
