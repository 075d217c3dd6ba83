"""Both runtimes replay: they stop at the same call with the same words, and whole answers are those of whole inputs.

See ``test_replay.py``.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs import flows
from the_edge_obs.cli import main
from the_edge_obs.context import FlowState
from the_edge_obs.redaction.typed import digest_of, typed
from the_edge_obs.secrets.taints import MAX_CHARS

from .asking import Rust, check_same
from .test_replay import FLOW, flow_in, live_actions, recorded_by_python, replayed_by_rust

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a flow file and the log of its run in Python."""
    folder = tmp_path_factory.mktemp("recorded")
    flow = flow_in(folder / "flow")
    return flow, recorded_by_python(flow, folder, live_actions())


@pytest.mark.parametrize(
    ("old", "new", "code", "told"),
    [
        (
            "prompt: round",
            "prompt: a round",
            1,
            "rounds > loop.iteration [0] > ask (llm.call): it is not asked as it was recorded",
        ),
        (
            "- {name: read,",
            "- {name: more, uses: llm.call, with: {prompt: more, model: live}}\n  - {name: read,",
            1,
            "more (llm.call)",
        ),
        (
            "items: '{{ state.read.data }}'",
            "items: [9]",
            1,
            "input.items[0]: 1 -> 9; input.items[1]: removed, 2.5; make the call",
        ),
        ("prompt: round,", "prompt: [round, 1, true, null],", 1, "input.prompt: 'round' -> ['round', 1, True, None]"),
    ],
)
def test_both_runtimes_stop_with_the_same_words(
    tea_obs_rs: Path, recorded: tuple[Path, Path], tmp_path: Path, old: str, new: str, code: int, told: str
) -> None:
    """At the same call, with the same exit code."""
    assert old in FLOW
    changed = flow_in(tmp_path / "flow", FLOW.replace(old, new))
    done = replayed_by_rust(tea_obs_rs, recorded[1], changed)
    report = flows.replay(recorded[1], changed, actions=live_actions())
    assert report.stopped is not None
    assert (done.returncode, done.stderr) == (code, f"tea-obs-rs: error: stopped at {report.stopped}\n")
    assert told in done.stderr
    counts = f"{len(report.asked)} answered from the log, 0 live, {len(report.unused)} recorded ones not asked for"
    assert counts in done.stdout


def test_whole_answers_are_replayed_for_whole_inputs_only(tea_obs_rs: Path, tmp_path: Path) -> None:
    """Python writes them beside the log; without them, the recording cannot be used."""
    text = """
name: rag
initial_state: {end: a}
nodes:
  - {name: fetch, uses: shop.fetch, with: {url: 'x'}, output: page}
  - name: ask
    uses: shop.ask
    with: {prompt: '{{ state.page.text }} {{ state.end }}', token: '{{ state.password }}'}
    output: answer
  - {name: told, uses: shop.ask, with: {prompt: '{{ state.answer }}', token: ''}, output: told}
"""
    page = "a long page, " * 3_000
    actions: dict[str, Callable[..., Any]] = {
        "shop.fetch": lambda url: {"text": page, "vector": [n / 7 for n in range(1_536)]},
        "shop.ask": lambda prompt, token: f"{len(prompt)} {prompt[-2:]}",
    }
    flow = flow_in(tmp_path / "flow", text)
    bare = recorded_by_python(flow, tmp_path / "bare", actions)
    done = replayed_by_rust(tea_obs_rs, bare, flow)
    assert (done.returncode, "fetch (shop.fetch): its recorded answer was cut at output.text" in done.stderr) == (2, True), done
    assert replayed_by_rust(tea_obs_rs, bare, flow, "--dry").returncode == 2
    log = recorded_by_python(flow, tmp_path / "full", actions, record={"full": ["shop.*"]})
    assert replayed_by_rust(tea_obs_rs, log, flow, "--dry").returncode == 0
    done = replayed_by_rust(tea_obs_rs, log, flow)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith("no differences, 4 the same as far as logged"), done.stdout
    assert replayed_by_rust(tea_obs_rs, log, flow, "--set", "password=another-Secret-1").returncode == 0  # it was rotated
    done = replayed_by_rust(tea_obs_rs, log, flow, "--set", "end=b")
    beyond = "ask (shop.ask): its input differs from the recorded one beyond what the log shows, at input.prompt or elsewhere"
    assert (done.returncode, beyond in done.stderr) == (2, True), done


_KEYS = st.one_of(st.sampled_from(["$", "v", "a", "password", "x" * 300]), st.text(max_size=5))
_LEAVES = st.one_of(
    st.none(),
    st.integers(-(2**66), 2**66),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=9),
    st.sampled_from(["long text " * 900, "password=hunter2xyz", "Bearer 0123456789abcdef01234567", [*range(201)]]),
)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=9
)


@given(_VALUES)
def test_both_runtimes_have_the_same_digest_of_a_whole_input(rust: Rust, value: Any) -> None:
    """Without secrets, and without the caps of logs."""
    text = json.dumps(value)
    flow = FlowState("9f0df4a5-a646-4772-b822-7adce460ed24", "compared")
    taken = typed(json.loads(text), "input", flow)
    if flow.taints.chars > MAX_CHARS // 3 or flow.taints.lost or taken.lost:
        return  # as in test_values
    tree = json.dumps(taken.tree, ensure_ascii=False, separators=(",", ":"))
    digest = digest_of(json.loads(text), FlowState(flow.id, "compared")).sha256
    check_same(text, [digest, tree], rust.ask("typed", text=text))


# --- the other way round ----------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Yield the URL of a model whose answers differ from call to call."""
    count = itertools.count(1)

    class Model(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            prompt = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][-1]["content"]
            message = {"role": "assistant", "content": f"{prompt} {next(count)}"}
            usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
            body = json.dumps({"model": "m-1", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})
            self.send_response(500 if prompt == "fail" else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_python_replays_what_rust_recorded(tea_obs_rs: Path, tmp_path: Path, endpoint: str) -> None:
    """With branches, a loop, retries and a hard failure."""
    call = f"uses: llm.call, with: {{base_url: '{endpoint}', model: m, max_retries: 0, prompt: "
    flow = flow_in(
        tmp_path / "flow",
        f"""
name: agent
initial_state: {{n: 0}}
nodes:
  - {{name: all, type: dynamic_parallel, items: [a, b, c], action: {{{call}equal}}}}, output: answers}}
  - name: rounds
    type: while_loop
    condition: '{{{{ state.n < 2 }}}}'
    max_iterations: 5
    body: [{{name: ask, {call}round}}, output: {{n: '{{{{ state.n + 1 }}}}', last: '{{{{ result.content }}}}'}}}}]
  - {{name: bad, {call}fail}}, on_error: {{mode: retry, max_retries: 1, delay: 0.001, fallback: hard}}}}
  - {{name: hard, uses: llm.call, with: {{prompt: '{{{{ state.last }}}}', base_url: '{endpoint}'}}}}
""",
    )
    ran = subprocess.run(
        [str(tea_obs_rs), "run", str(flow), "--log-dir", str(tmp_path / "logs")], capture_output=True, check=False
    )
    assert ran.returncode == 1, ran.stderr
    (log,) = (tmp_path / "logs").glob("*.jsonl")
    report = flows.replay(log, flow, log_dir=tmp_path / "new")
    assert (report.stopped, report.is_as_before, len(report.asked), report.unused) == (None, True, 8, ())
    assert not report.diff, str(report.diff)
    assert main(["diff", str(log), str(tmp_path / "new"), "--fail-on", "status,error,input,output,metrics,nodes"]) == 0
    assert replayed_by_rust(tea_obs_rs, log, flow).returncode == 0
