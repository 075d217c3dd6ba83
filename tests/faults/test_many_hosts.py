"""Programs on two machines that write one flow: here two processes, each with its folder, its name of the host and its clock."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import the_edge_obs as obs
from the_edge_obs.cli import main

PROGRAM = """
import json, platform, subprocess, sys, time

host, folder, ahead, far_ahead, *headers = sys.argv[1:]  # by how many seconds the clocks here and there are ahead
platform.node = lambda: host
clock = time.time_ns
time.time_ns = lambda: clock() + int(ahead) * 10**9

import the_edge_obs as obs

obs.configure({"handlers": [{"type": "file", "path": folder + "/" + host + "/flow-{flow_id}.jsonl"}]})
if headers:
    with obs.flow("answer", parent=obs.extract(json.loads(headers[0]))), obs.span("work"):
        pass
else:
    with obs.flow("ask"), obs.span("http.post"):
        subprocess.run([sys.executable, __file__, "host-b", folder, far_ahead, "0", json.dumps(obs.inject({}))], check=True)
"""


@pytest.mark.parametrize("ahead", ["-3600", "0", "3600"])
def test_one_flow_of_two_hosts(
    ahead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is one tree, whatever the order of the folders; a host's clock that is an hour off is marked, and its times stay."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    logs = tmp_path / "logs"
    subprocess.run([sys.executable, program, "host-a", logs, "0", ahead], check=True, timeout=60)
    (run,) = obs.runs(logs)
    assert (run.name, run.resource and run.resource["host"], run.events) == ("ask", "host-a", 8)
    monkeypatch.setenv("COLUMNS", "160")
    trees = []
    for folders in ([logs], [logs / "host-a", logs / "host-b"], [logs / "host-b", logs / "host-a"]):
        assert main(["show", *map(str, folders), "--flow", run.flow_id]) == 0
        trees.append(capsys.readouterr().out.split("\n", 1)[1])
    assert trees[0] == trees[1] == trees[2]
    labels = [re.split(r"  +", line.lstrip("└─│ "))[0] for line in trees[0].splitlines()[1:5]]
    here, there = (
        obs.query(logs / host, event_type="entry", node="flow")[0]["data"]["resource"]["pid"] for host in ("host-a", "host-b")
    )
    assert labels[0] == f"ask host-a:{here}"
    if ahead == "0":
        assert labels[2] == f"answer host-b:{there}"
        assert "the clock of host" not in trees[0]
    else:
        sign = "+" if ahead.startswith("-") else "-"
        assert labels[2].startswith(f"answer host-b:{there} (clock {sign}")
        assert "the clock of host host-b differs: what ran there is drawn " in trees[0]
    raw = [event["timestamp"] for event in obs.query(logs / "host-b")]
    assert raw == [json.loads(line)["timestamp"] for line in next((logs / "host-b").iterdir()).read_text().splitlines()]
