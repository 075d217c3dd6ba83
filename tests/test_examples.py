"""Every example, run as a user runs it: by a process of its own, from another folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from the_edge_obs.event import validate
from the_edge_obs.store.sources import get_flow_log, query

from .growth import assert_linear

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
QUICKSTART = EXAMPLES / "quickstart" / "flow.yaml"
SECRET = "9f4c2e71b8d05a36"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs Python with arguments in ``tmp_path``, without any configuration of this machine's."""
    foreign = ("TEA_LOG", "OPENAI_", "OLLAMA_", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}

    def run_python(*args: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", *map(str, args)]
        env_utf8 = {**env, "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(command, cwd=tmp_path, env=env_utf8, capture_output=True, encoding="utf-8", timeout=60)

    return run_python


@pytest.fixture
def tea_obs(run: Run) -> Run:
    """Return a function that runs the command line."""
    return lambda *args: run("-m", "the_edge_obs", *args)


def logged(folder: Path) -> list[dict[str, Any]]:
    """Return the events of the one log in a folder, each of them valid."""
    [path] = folder.glob("flow-*.jsonl")
    events = query(path)
    for event in events:
        validate(event)
    return events


def ended(events: list[dict[str, Any]]) -> list[str]:
    """Return the steps in the order in which they ended, failed ones marked."""
    last = {"exit": "", "error": " failed"}
    return [event["step"] + last[event["event_type"]] for event in events if event["event_type"] in last and "step" in event]


def texts(folder: Path) -> str:
    """Return all that the files below a folder hold."""
    return "".join(path.read_bytes().decode("utf-8", "replace") for path in sorted(folder.rglob("*")) if path.is_file())


def without_times(text: str) -> str:
    """Return a program's output with ``N`` for each duration."""
    return re.sub(r" +[\d.]+ ms", " N ms", text)


# --- quickstart ---


def test_quickstart_triages_its_log(tmp_path: Path, tea_obs: Run) -> None:
    """With nothing but its name the flow finds the outage, the slow endpoint and the scanner, and says what was odd."""
    done = tea_obs("run", QUICKSTART)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    folder = EXAMPLES / "quickstart"
    assert (tmp_path / "logs" / "report.md").read_text(encoding="utf-8") == (
        f"# {folder}/access.log\n"
        "\n"
        "- POST /api/checkout: 28 of 48 requests failed, 12/Mar/2025:14:32 to 14:35 (new)\n"
        "- GET /api/search: slow, 95% of the requests took up to 2.01 s (new)\n"
        "- 203.0.113.66 is scanning: 22 pages that are not there (new)\n"
        "\n"
        "| endpoint | requests | 5xx | 95% took up to |\n"
        "|---|---:|---:|---:|\n"
        "| POST /api/checkout | 48 | 28 | 7.152 s |\n"
        "| GET /api/search | 27 | 0 | 2.007 s |\n"
        "| GET /products/* | 62 | 0 | 0.098 s |\n"
        "| GET / | 62 | 0 | 0.065 s |\n"
        "| POST /cart | 35 | 0 | 0.124 s |\n"
        "| GET /cart | 35 | 0 | 0.109 s |\n"
        "| POST /login | 6 | 0 | 0.325 s |\n"
        "| GET /api/stock | 4 | 0 | 0.060 s |\n"
        "\n"
        "On the way:\n"
        "- `check`: 3 lines are not requests, the first is line 39: "
        "'203.0.113.9 - - [12/Mar/2025:13:59:03 +0'\n"
        f"- `blocklist`: File not found: {folder}/blocklist.txt\n"
    )


def test_quickstart_leaves_a_whole_log(tmp_path: Path, tea_obs: Run) -> None:
    """The log has every step, both errors that the flow got over, and a traceback where the level of inline code asks for it."""
    tea_obs("run", QUICKSTART)
    events = logged(tmp_path / "logs")
    assert ended(events) == [
        "read",
        "parse",
        "check failed",
        "blocklist failed",
        *["verdict"] * 8,
        "judge",
        "findings",
        "last_time",
        "remember",
        "troubles",
        "report",
    ]
    errors = {event["step"]: event["data"]["error"] for event in events if event["event_type"] == "error"}
    assert {step: "traceback" in error for step, error in errors.items()} == {"check": True, "blocklist": False}
    assert [event["message"] for event in events if event["level"] == "warn"] == ["step 'check' failed, continuing"]
    assert get_flow_log(tmp_path / "logs").status == "ok"


def test_quickstart_leaks_no_secret(tmp_path: Path, tea_obs: Run) -> None:
    """A key in the access log's query strings is redacted in the flow's log, and stands in nothing else that it leaves."""
    done = tea_obs("run", QUICKSTART)
    assert SECRET in (EXAMPLES / "quickstart" / "access.log").read_text(encoding="utf-8")
    assert SECRET not in done.stdout + done.stderr + texts(tmp_path)
    assert "api_key=[REDACTED]" in texts(tmp_path)


def test_quickstart_remembers(tmp_path: Path, tea_obs: Run) -> None:
    """What the last run has found already is not new in the next one."""
    report = tmp_path / "logs" / "report.md"
    news = [(tea_obs("run", QUICKSTART).returncode, report.read_text(encoding="utf-8").count(" (new)")) for _ in range(2)]
    assert news == [(0, 3), (0, 0)]


def test_quickstart_takes_other_files(tmp_path: Path, tea_obs: Run) -> None:
    """Another log, in common format, a blocklist and a place for the report can be given; known scanners are not reported."""
    lines = [
        f'192.0.2.{n} - eve [01/Feb/2025:10:0{n}:00 +0100] "GET /page HTTP/1.1" {500 if n < 3 else 200} 12' for n in range(8)
    ]
    lines += [f'203.0.113.{n % 2} - - [01/Feb/2025:10:00:00 +0100] "GET /x{n} HTTP/1.1" 404 -' for n in range(30)]
    (tmp_path / "my.log").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "known.txt").write_text("203.0.113.0\n203.0.113.7\n", encoding="utf-8")
    done = tea_obs("run", QUICKSTART, "--set", "path=my.log", "--set", "blocklist=known.txt", "--set", "report=out/today.md")
    assert done.returncode == 0
    assert (tmp_path / "out" / "today.md").read_text(encoding="utf-8") == (
        "# my.log\n"
        "\n"
        "- GET /page: 3 of 8 requests failed, 01/Feb/2025:10:00 to 10:02 (new)\n"
        "- 203.0.113.1 is scanning: 15 pages that are not there (new)\n"
        "\n"
        "| endpoint | requests | 5xx | 95% took up to |\n"
        "|---|---:|---:|---:|\n"
        "| GET /page | 8 | 3 | - |\n"
        "\n"
        "On the way: nothing went wrong.\n"
    )


TIME = "[01/Feb/2025:10:00:00 +0100]"


def matched(line: str) -> tuple[str | None, ...] | None:
    """Return what the quickstart reads in one line, or None when it is not a request."""
    found = re.match(yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))["variables"]["request"], line, re.VERBOSE)
    return found and found.groups()


@pytest.mark.parametrize(
    ("line", "client", "path", "seconds"),
    [
        (f'192.0.2.1 - - {TIME} "GET /a?b=1 HTTP/1.1" 200 12', "192.0.2.1", "/a", None),
        (f'192.0.2.1 - eve {TIME} "GET /a HTTP/1.1" 200 - "-" "curl/8.0"', "192.0.2.1", "/a", None),
        (f'192.0.2.1 - - {TIME} "GET /a HTTP/2.0" 200 12 "https://x.org/" "Mozilla 1.25 (x)" "-"', "192.0.2.1", "/a", None),
        (f'192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 12 "-" "x" "192.0.2.9, 10.0.0.1" 0.250', "192.0.2.1", "/a", "0.250"),
        (f'192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 12 "-" "x" rt=0.003 uct="0.000" urt="0.003"', "192.0.2.1", "/a", "0.003"),
        (f'192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 12 "-" "x" request_time="0.003"', "192.0.2.1", "/a", "0.003"),
        (f'192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 12 "-" "x" 512 0.031 [web] [] 10.0.0.1:80', "192.0.2.1", "/a", "0.031"),
        (f'192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 12 "-" "x" 512 1024', "192.0.2.1", "/a", None),
        (f'www.example.org:443 192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 12 "-" "x"', "192.0.2.1", "/a", None),
        (f'www.example.org:443 ::1 - - {TIME} "OPTIONS * HTTP/1.0" 200 126 "-" "Apache (internal)"', "::1", "*", None),
        (f'2001:db8::1 - John Smith {TIME} "GET /a HTTP/1.1" 200 12', "2001:db8::1", "/a", None),
        (rf'192.0.2.1 - - {TIME} "GET /say\"hi\"\\ HTTP/1.1" 200 12 "a \"b\"" "\\" 1.5', "192.0.2.1", r"/say\"hi\"\\", "1.5"),
        (f'192.0.2.1 - - {TIME} "GET /" 200 12', "192.0.2.1", "/", None),
        (f'192.0.2.1 - - {TIME} "VERSION-CONTROL /r HTTP/1.1" 200 12 "-" "cut of', "192.0.2.1", "/r", None),
        (f'192.0.2.1 - "" {TIME} "GET /caf\xe9 HTTP/1.1" 200 12\r', "192.0.2.1", "/caf\xe9", None),
    ],
)  # fmt: skip
def test_quickstart_reads_the_formats_as_shipped(line: str, client: str, path: str, seconds: str | None) -> None:
    """nginx's combined and main, Apache's common, combined and vhost_combined, and what people add to them."""
    found = matched(line)
    assert found is not None
    assert (found[0], found[1], found[3], found[5]) == (client, "01/Feb/2025:10:00", path, seconds)


@pytest.mark.parametrize(
    "line",
    [
        f'192.0.2.1 - - {TIME} "-" 408 0 "-" "-"',
        f'192.0.2.1 - - {TIME} "" 400 0',
        rf'192.0.2.1 - - {TIME} "\x16\x03\x01" 400 157 "-" "-"',
        "2025/03/12 14:56:12 [warn] 1180#1180: *5161 an upstream response is buffered",
        f'192.0.2.1 - - {TIME} "GET /cut',
    ],
)
def test_quickstart_knows_what_is_not_a_request(line: str) -> None:
    """What a server logs of a handshake, of a silence, or of itself is odd."""
    assert matched(line) is None


@pytest.mark.parametrize("part", ["[", '"', "a:1", " ", "\\", '"GET ', "x", ' "', " 1", "1", '\\"', "a=1.1 "])
@pytest.mark.parametrize("begin", ["", f'1.2.3.4 - - {TIME} "GET /', f'1.2.3.4 - - {TIME} "GET / HTTP/1.1" 200 12'])
def test_quickstart_reads_a_line_in_linear_time(begin: str, part: str) -> None:
    """No line, however it is made, takes the square of its length."""
    assert_linear(lambda size: begin + part * size, matched, 10_000)


def test_quickstart_reads_100_000_lines_a_second(tmp_path: Path, tea_obs: Run) -> None:
    """Odd bytes and odd lines among them: all are read, the odd ones counted and shown; the time grows with the lines.

    The figure is printed (``pytest -s``); it is a share of the machine, and not asserted.
    """
    page = b'192.0.2.1 - - [01/Feb/2025:10:00:00 +0100] "GET /caf\xe9/%d HTTP/1.1" 200 12 "-" "x" "-" rt=0.003\n'
    took: list[float] = []
    for count in (25_000, 50_000, 100_000):
        lines = b"".join(page % number for number in range(count)) + b"caf\xe9, and no request\n" * 3
        (tmp_path / "big.log").write_bytes(lines)
        assert tea_obs("run", QUICKSTART, "--set", "path=big.log", "--log-dir", f"logs-{count}").returncode == 0
        report = (tmp_path / "logs" / "report.md").read_text(encoding="utf-8")
        assert f"| GET /caf\ufffd/* | {count} | 0 | 0.003 s |" in report
        assert f"- `check`: 3 lines are not requests, the first is line {count + 1}: 'caf\ufffd, and no request'" in report
        (parse,) = (
            one for one in logged(tmp_path / f"logs-{count}") if one.get("step") == "parse" and one["event_type"] == "exit"
        )
        took.append(parse["metrics"]["duration_ms"])
    print(f"the parse step reads {100_000 / took[-1] * 1_000:,.0f} lines a second")
    assert took[-1] < 12 * took[0]


def test_quickstart_takes_an_empty_file(tmp_path: Path, tea_obs: Run) -> None:
    """A log that was just rotated is not a mistake: the report says that nothing stands out."""
    (tmp_path / "empty.log").touch()
    assert tea_obs("run", QUICKSTART, "--set", "path=empty.log").returncode == 0
    report = (tmp_path / "logs" / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# empty.log\n\nNothing stands out.\n\n| endpoint ")


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("missing.log", None, "step 'unreadable' (python.run): OSError: File not found: missing.log"),
        (
            "notes.txt",
            b"milk\neggs\n",
            "step 'parse' (python.run): ValueError: notes.txt is not an access log: not one of its lines",
        ),
        (
            "photo.jpg",
            b"\xff\xd8\xff",
            "step 'parse' (python.run): ValueError: photo.jpg is not an access log: not one of its lines",
        ),
    ],
)
def test_quickstart_refuses_what_is_no_log(tmp_path: Path, tea_obs: Run, name: str, content: bytes | None, error: str) -> None:
    """A file that is missing or something else ends the flow with one line that says so, and the log says it too."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = tea_obs("run", QUICKSTART, "--set", f"path={name}")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert done.stderr.splitlines()[-1].startswith(f"tea-obs: error: {error}")
    assert get_flow_log(tmp_path / "logs").status == "error"


# --- the other flows ---


def test_self_repair_repairs_itself(tmp_path: Path, tea_obs: Run) -> None:
    """The flow mends both mistakes of its orders; ``--logging`` gives it the destinations of the dictConfig example."""
    logging_file = EXAMPLES / "dictconfig" / "logging.yaml"
    done = tea_obs("run", EXAMPLES / "self_repair" / "flow.yaml", "--logging", logging_file)
    assert done.returncode == 0
    events = logged(tmp_path / "logs")
    notes = ["repaired: put ':' in line 2", "repaired: put ',' in line 4"]
    assert [event["message"] for event in events if event["level"] == "warn"] == notes
    # The console of that file is for warnings and errors, and there is no other one.
    shown = [re.sub(r"^[\d:.]+ | \([\d.]+ ms\)", "", line) for line in done.stderr.splitlines()]
    assert shown == [
        "error json.parse parse: JSON parse error: Expecting ':' delimiter [parse]",
        f"warn  note {notes[0]} [note]",
        "error json.parse parse: JSON parse error: Expecting ',' delimiter [parse]",
        f"warn  note {notes[1]} [note]",
    ]


def test_llm_agent_answers_offline(tmp_path: Path, tea_obs: Run) -> None:
    """The agent runs from any folder without an endpoint, and its tokens are counted."""
    done = tea_obs("run", EXAMPLES / "llm_agent" / "flow.yaml")
    log = get_flow_log(tmp_path / "logs")
    assert (done.returncode, log.status, log.metrics["nodes"]["llm.call"]["count"]) == (0, "ok", 6)
    assert log.metrics["tokens"] > 0


def test_viewing_has_something_to_look_at(tmp_path: Path, tea_obs: Run) -> None:
    """The run has branches side by side, attempts, handled errors, a loop, nested steps, tokens and costs, and time to see."""
    assert tea_obs("run", EXAMPLES / "viewing" / "flow.yaml").returncode == 0
    log = get_flow_log(tmp_path / "logs")
    assert len(logged(tmp_path / "logs")) == len(log.events) == 78
    nodes = {node: (figures["count"], figures["errors"]) for node, figures in log.metrics["nodes"].items()}
    assert (log.status, nodes) == (
        "ok",
        {
            "articles.embed": (1, 0),
            "articles.search": (1, 0),
            "carrier.track": (2, 2),
            "file.read": (2, 0),
            "file.write": (1, 0),
            "json.parse": (1, 0),
            "llm.call": (4, 0),
            "llm.stream": (5, 1),
            "loop": (3, 0),
            "loop.iteration": (4, 0),
            "obs.log_event": (1, 0),
            "orders.find": (1, 0),
            "parallel": (2, 0),
            "parallel.branch": (6, 0),
            "python.run": (1, 0),
            "steps": (2, 0),
        },
    )
    assert (log.metrics["tokens"], log.metrics["cost_usd"]) == (1851, 0.00517)
    sources, tickets = (
        [span for span in log.spans if span.parent_id == join.span_id] for join in log.spans if join.node == "parallel"
    )
    for side_by_side in (sources, tickets):
        assert max(span.start for span in side_by_side) < min(span.end or 0 for span in side_by_side)


def test_viewing_takes_another_way(tmp_path: Path, tea_obs: Run) -> None:
    """With the carrier up, the first draft is good and nothing but the model's rate limit goes wrong."""
    assert tea_obs("run", EXAMPLES / "viewing" / "flow.yaml", "--set", "carrier=up").returncode == 0
    events = logged(tmp_path / "logs")
    assert [event["node"] for event in events if event["event_type"] == "error"] == ["llm.stream"]
    assert "- T-101: Your lamp is on the van in Lille and comes today.\n" in (tmp_path / "logs" / "replies.md").read_text()


# --- programs ---


def test_functions(tmp_path: Path, run: Run) -> None:
    """The program shows its tree, what was redacted, its metrics and its export."""
    done = run(EXAMPLES / "functions" / "main.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert without_times(done.stdout) == (
        "checkout: ok, 3 nodes, 1 error\n"
        "\n"
        "flow            ok N ms\n"
        "  shop.login    error N ms\n"
        "  cart          ok N ms\n"
        "    total       ok N ms\n"
        "\n"
        "info  shop.login  entry   {'input': {'user': 'ada', 'password': '[REDACTED]', 'pin': '[REDACTED]'}, "
        "'cut': ['input.password', 'input.pin']}\n"
        "error shop.login  error   ada cannot log in with password [REDACTED] and pin [REDACTED]\n"
        "warn  shop.login  log     continuing as a guest\n"
        "info  cart        entry   {'input': {'items': ['lamp', 'desk', 'chair']}}\n"
        "info  cart        metric  {'items': 3, 'most_expensive': 249.0}\n"
        "info  cart        exit    {'output': 340.56}\n"
        "\n"
        "10 events in logs/checkout.json\n"
    )
    assert len(logged(tmp_path / "logs")) == 10
    assert not re.search(r"correct horse|\bpin 4711|\"4711\"", texts(tmp_path))


def test_asyncio(run: Run) -> None:
    """Two flows in one event loop have each their own tasks, stream and threads."""
    done = run(EXAMPLES / "asyncio" / "main.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert without_times(done.stdout) == "".join(
        f"{topic}: ok, N ms\n"
        "flow N ms\n"
        "  web.fetch N ms\n"
        "  web.fetch N ms\n"
        "  web.fetch N ms\n"
        "  llm.stream N ms  3 chunks\n"
        "  hash N ms\n"
        "  hash N ms\n"
        f"{topic} 1, {topic} 2, {topic} 3: N ms of fetching, side by side\n"
        "\n"
        for topic in ("tides", "moons")
    )


def test_web(tmp_path: Path, run: Run) -> None:
    """A request is a run that continues the client's, and its work in two other processes is part of it."""
    for package in ("starlette", "uvicorn"):
        pytest.importorskip(package)
    done = run(EXAMPLES / "web" / "main.py")
    assert (done.returncode, done.stderr) == (0, "")
    answer, *tree = done.stdout.splitlines()
    assert answer == '["sea-80.webp","sea-320.webp"]'
    assert [re.split(r"(?<=\S)  ", line)[0] for line in tree[:4]] == [
        "client",
        "└─ GET /pictures/{picture}",
        "   ├─ thumbnail",
        "   └─ thumbnail",
    ]
    assert len(logged(tmp_path / "logs")) == 8
    assert "81f09a4471" not in texts(tmp_path)


def test_web_says_what_it_needs(tmp_path: Path, run: Run) -> None:
    """Without the packages the example succeeds, so that all examples can be run without them."""
    code = "import sys, runpy; sys.modules['uvicorn'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    done = run("-c", code, EXAMPLES / "web" / "main.py")
    assert (done.returncode, done.stdout) == (0, "uvicorn is not installed: python -m pip install starlette uvicorn\n")
    assert not (tmp_path / "logs").exists()


def test_dictconfig(tmp_path: Path, run: Run) -> None:
    """Levels by category and action decide what is logged, and a library's records join the flow."""
    done = run(EXAMPLES / "dictconfig" / "main.py")
    assert (done.returncode, [line.split(" ", 1)[1] for line in done.stderr.splitlines()][1:]) == (
        0,
        ["warn  warehouse.stock cannot tell whether there is a chair"],
    )
    events = logged(tmp_path / "logs")
    shown = [re.split(r" +", line.strip(), maxsplit=3)[:3] for line in done.stdout.splitlines()]
    assert shown == [[event["level"], event["event_type"], event["node"]] for event in events]
    assert [f"{event['node']} {event['event_type']}" for event in events] == [
        "flow entry",
        "reply entry",
        "warehouse.stock log",  # http.get is silent at its category's level
        "llm.call entry",
        "llm.call exit",
        "http.post entry",
        "http.post exit",
        "reply exit",
        "reply entry",
        "http.get entry",
        "warehouse.stock log",
        "http.get error",
        "warehouse.stock log",
        "llm.call entry",
        "llm.call exit",
        "http.post entry",
        "http.post exit",
        "reply exit",
        "flow exit",
    ]
    assert "api_key=[REDACTED]" in texts(tmp_path)


def test_langgraph(tmp_path: Path, run: Run) -> None:
    """An agent on LangGraph: the tree has the tool's failure, and the secret that the model passed to it is nowhere."""
    pytest.importorskip("langgraph")
    done = run(EXAMPLES / "langgraph" / "main.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The lamp weighs 2.5 kg.\n\nscales ")
    log = get_flow_log(tmp_path / "logs")
    assert [span.step or span.node for span in log.spans if span.parent_id == log.spans[1].span_id] == [
        *["think", "act"] * 2,
        "think",
    ]
    assert [(span.node, span.status) for span in log.spans if span.node.startswith("tool.")] == [
        ("tool.weigh", "error"),
        ("tool.weigh", "ok"),
    ]
    assert (log.status, log.metrics["tokens"]) == ("ok", 183)
    assert "Zx81-hHq0" not in texts(tmp_path)


def test_langgraph_says_what_it_needs(tmp_path: Path) -> None:
    """Without the packages the program names what installs them."""
    code = "import sys, runpy; sys.modules['langchain_core'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    command = [sys.executable, "-c", code, str(EXAMPLES / "langgraph" / "main.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "pip install '.[langchain]' langgraph" in done.stderr) == (1, True)
