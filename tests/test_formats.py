from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs import formats
from the_edge_obs.actions.obs import obs_export
from the_edge_obs.cli import main
from the_edge_obs.errors import ExportError
from the_edge_obs.flow_log import build_flow_log
from the_edge_obs.formats import FORMATS, PARQUET, renderer
from the_edge_obs.jsonl import parsed

from .strategies import OTHER_FLOW, Event, flows, whole


def test_every_format_has_its_module_and_the_other_way_round():
    """What is offered can be had, and nothing lies about unused."""
    modules = {module.name for module in pkgutil.iter_modules(formats.__path__) if not module.name.startswith("_")}
    assert {name.replace("-", "_") for name in FORMATS} <= modules
    assert list(FORMATS) == sorted(FORMATS)
    for name in FORMATS:
        assert renderer(name) is importlib.import_module(f"the_edge_obs.formats.{name.replace('-', '_')}").render


@pytest.mark.parametrize("name", ["xml", "JSON", "", "__init__", "../json", None])
def test_unknown_formats(name: str):
    """Only the names that are listed are imported."""
    with pytest.raises(ExportError) as caught:
        renderer(name)
    assert str(caught.value).startswith(f"unknown format {name!r}; ")
    assert str(caught.value).endswith("allowed: " + ", ".join([*FORMATS, PARQUET]))


@given(flows(max_spans=4))
def test_jsonl_is_a_line_an_event(made: list[Event]):
    """Each line is one event, nothing lost and nothing added."""
    text = "".join(renderer("jsonl")(made, dropped={}))
    assert [parsed(line) for line in text.splitlines()] == made
    assert text.endswith("\n")


@pytest.mark.slow
@given(flows(max_spans=4), st.integers(0, 3))
def test_json_is_the_flow_log(made: list[Event], dropped: int):
    """The object is what FlowLog.to_dict gives, strict JSON."""
    text = "".join(renderer("json")(made, dropped={made[0]["flow_id"]: dropped} if made else {}))
    assert json.loads(text) == build_flow_log(made, dropped=dropped).to_dict()


def test_json_of_several_flows_is_an_array_that_reads_back(tmp_path: Path):
    """Each flow's log stands for itself, in the order of their first events."""
    second = [{**one, "flow_id": OTHER_FLOW} for one in whole(2, 0, 1, parent=None)]
    made = [*whole(1, 0, 1), *second]
    path = tmp_path / "both.json"
    path.write_text("".join(renderer("json")(made, dropped={OTHER_FLOW: 5})), encoding="utf-8")
    logs = [build_flow_log(whole(1, 0, 1)), build_flow_log(second, dropped=5)]
    assert json.loads(path.read_text()) == [log.to_dict() for log in logs]
    assert obs.query(path) == sorted(made, key=lambda one: one["timestamp"])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_by_code_flows_and_the_command_line(name: str, tmp_path: Path):
    """They write the same file, of a log and from inside the flow, and say what they wrote."""
    log = tmp_path / "run.jsonl"
    log.write_text("".join(renderer("jsonl")(whole(1, 0, 1), dropped={})), encoding="utf-8")
    made = obs.export(log, tmp_path / "code", format=name)
    text = "".join(renderer(name)(whole(1, 0, 1), dropped={}))
    assert made == {"path": str(tmp_path / "code"), "format": name, "events": 2, "bytes": len(text.encode())}
    assert main(["export", str(log), "--format", name, "-o", str(tmp_path / "command")]) == 0
    assert (tmp_path / "code").read_bytes() == (tmp_path / "command").read_bytes() == text.encode()
    with obs.ObservabilityContext(config={"enabled": True}) as run:
        done = obs_export({}, path=str(tmp_path / "flow"), format=name)
    assert (done["format"], done["events"], done["bytes"]) == (name, 1, (tmp_path / "flow").stat().st_size)
    assert run.flow_id[:8] in (tmp_path / "flow").read_text(encoding="utf-8")


def test_nothing_to_export():
    """No events are an empty file of lines, and an empty array of flow logs."""
    assert "".join(renderer("jsonl")([], dropped={})) == ""
    assert json.loads("".join(renderer("json")([], dropped={}))) == []
