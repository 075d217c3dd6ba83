"""Celery with real workers: processes that a filesystem broker connects, killed ones among them; and eager tasks."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.event import validate
from the_edge_obs.handlers import RingBufferHandler
from the_edge_obs.integrations.celery import install

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("celery") is None, reason="needs celery: pip install celery"),
]

SHOP = '''
import os, signal, sys, threading, time, uuid
from celery import Celery
from kombu.transport import filesystem
from kombu.utils.json import dumps
import the_edge_obs as obs
from the_edge_obs.integrations.celery import install

def folder(name):
    os.makedirs(os.path.join(HERE, name), exist_ok=True)
    return os.path.join(HERE, name)

def put(channel, queue, payload, **options):
    """Add a message that is whole when it gets its name: kombu's own may be read before it is written."""
    name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
    path = os.path.join(folder("parts"), name)
    with open(path, "w") as file: file.write(dumps(payload))
    os.replace(path, os.path.join(folder("queue"), name))

filesystem.Channel._put = put
HERE = os.environ["HERE"]
options = {"data_folder_in": folder("queue"), "data_folder_out": folder("queue"), "control_folder": folder("control"),
           "polling_interval": 0.02}
app = Celery("shop", broker="filesystem://", backend="file://" + folder("results"))
app.conf.update(broker_transport_options=options, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True,
                result_expires=None, result_chord_retry_interval=0.05)
install()

class Sent(obs.BatchHandler):
    """Sends nothing before it has to, and notes what it sends."""
    def send(self, spans):
        with open(os.path.join(folder("sent"), str(os.getpid())), "a") as file:
            file.writelines(span.span_id + "\\n" for span in spans)

obs.configure({"handlers": [{"type": "file", "path": os.path.join(folder("logs"), "flow-{flow_id}.jsonl")},
                            {"class": "shop.Sent", "delay_s": 60, "exit_s": 20}]})

@obs.observable
def work(n): return n * 2
@app.task
def add(x, y): return work(x) + y
@app.task
def login(user, password, **options): return {"user": user, "note": "welcome " + password}
@app.task(bind=True, max_retries=2)
def flaky(self, n):
    if self.request.retries < 2: raise self.retry(countdown=0, exc=ValueError("again"))
    return n
@app.task(bind=True, max_retries=1)
def patient(self):
    if self.request.retries < 1: raise self.retry(countdown=0)
    return "done"
@app.task
def total(numbers): return sum(numbers)
@app.task
def boom(): raise RuntimeError("refused: token=sk-0123456789abcdef0123")
@app.task
def outer(): return add.apply(args=(3, 4)).get(disable_sync_subtasks=False)
@app.task
def long():
    while not os.path.exists(HERE + "/stopping"): time.sleep(0.01)
    return work(1)
@app.task
def die():
    with obs.span("dying"): os.kill(os.getpid(), signal.SIGKILL)
@app.task
def slow():
    with obs.span("sleeping"): threading.Event().wait(60)
'''

CLIENT = """
import contextlib, faulthandler, glob, json, subprocess
faulthandler.dump_traceback_later(140, exit=True)
from celery import chain, chord, group
from shop import *

def until(condition):
    end = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)

def logged(text): return any(text in open(path).read() for path in glob.glob(HERE + "/logs/*"))

@contextlib.contextmanager
def worker():
    command = [sys.executable, "-m", "celery", "-A", "shop", "worker", "-c", "2", "-l", "INFO",
               "--without-mingle", "--without-gossip", "--without-heartbeat"]
    log = HERE + f"/worker-{time.monotonic()}.log"
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=HERE, start_new_session=True)
        try:
            until(lambda: "ready." in open(log).read())  # and so its queues are bound
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError): os.killpg(process.pid, signal.SIGKILL)
            process.wait()

def got(result):
    try: return result.get(timeout=40, interval=0.02)
    except Exception as error: return repr(error)

flows, answers = {}, {}
def sending(name, *results):
    answers[name] = [got(result) for result in results]

with worker() as process:
    with obs.flow("basics") as run:
        login = login.delay("ada", "open-sesame-4711", api_key="kkk-81725-aaa")
        sending("basics", add.delay(1, 2), login, boom.delay(), outer.delay())
    flows["basics"] = run.flow_id
    with obs.flow("retries") as run: sending("retries", flaky.delay(7), patient.delay())
    flows["retries"] = run.flow_id
    with obs.flow("canvas") as run:
        sending("canvas", chain(add.s(1, 1), add.s(5), add.s(6))(), group(add.s(n, n) for n in range(3))(),
                chord([add.s(n, n) for n in range(3)])(total.s()))
    flows["canvas"] = run.flow_id
    sending("alone", add.delay(20, 1))
    with obs.flow("last") as run: last = long.delay(); until(lambda: logged(last.id))
    flows["last"] = run.flow_id
    process.terminate()  # a warm shutdown: it ends what it has begun
    open(HERE + "/stopping", "w").close()
    assert process.wait(40) == 0
finished = {event_id for path in glob.glob(HERE + "/sent/*") for event_id in open(path).read().split()}
events = [json.loads(line) for path in glob.glob(HERE + "/logs/*") for line in open(path)]
ended = {event["span_id"] for event in events if event["event_type"] in ("exit", "error")}
own = {event["span_id"] for event in events if event["data"].get("resource", {}).get("pid") == os.getpid()}
answers["lost"] = sorted(ended - own - finished)
answers["sent"] = len(ended - own)

with worker():
    with obs.flow("dying") as run:
        die.delay()
        until(lambda: logged('"dying"'))
        stopped = slow.delay()
        until(lambda: logged('"sleeping"'))
        stopped.revoke(terminate=True)
        sending("dying", add.apply_async((1, 2), expires=-5))
        refused = add.apply_async((3, 4), countdown=2)
        refused.revoke()
        until(lambda: logged("was revoked"))
        until(lambda: logged("SystemExit"))
    flows["dying"] = run.flow_id
print(json.dumps({"answers": answers, "flows": flows}))
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the workers answered, and the flow logs by name."""
    here = tmp_path_factory.mktemp("shop")
    (here / "shop.py").write_text(SHOP, encoding="utf-8")
    (here / "client.py").write_text(CLIENT, encoding="utf-8")
    environment = {**os.environ, "HERE": str(here)}
    command = [sys.executable, "client.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=160, check=False, env=environment, cwd=here)
    trouble = done.stderr + "".join(path.read_text(encoding="utf-8") for path in sorted(here.glob("worker-*.log")))
    assert done.returncode == 0, trouble
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    logs = {name: obs.get_flow_log(here / "logs" / f"flow-{flow_id}.jsonl") for name, flow_id in seen["flows"].items()}
    return {**seen, "logs": logs, "folder": here / "logs", "trouble": trouble}


def tree(log: obs.FlowLog) -> list[tuple[int, str, str]]:
    """Return depth, name and status of each span."""
    return [(depth, span.name or span.step or span.node, span.status) for depth, span in log.walk()]


def given(log: obs.FlowLog, name: str) -> dict[str, Any]:
    """Return the input of the first attempt of a task."""
    found = (event["data"]["input"] for event in log.events if event["data"].get("name") == name)
    return {key: value for key, value in next(found).items() if key != "id"}


def test_tasks_are_flows_below_their_sender(shop: dict[str, Any]) -> None:
    """Two programs and two processes of a worker write one tree; a task that runs eagerly in another is a span there."""
    log = shop["logs"]["basics"]
    assert sorted(tree(log)) == [
        (0, "basics", "ok"),
        (1, "shop.add", "ok"), (1, "shop.boom", "error"), (1, "shop.login", "ok"), (1, "shop.outer", "ok"),
        (2, "shop.add", "ok"), (2, "work", "ok"),
        (3, "work", "ok"),
    ]  # fmt: skip
    assert shop["answers"]["basics"][0] == 4
    assert len({event["data"]["resource"]["pid"] for event in log.events if "resource" in event["data"]}) >= 2
    for event in log.events:
        validate(event)


def test_arguments_are_logged_by_name_and_redacted(shop: dict[str, Any]) -> None:
    """Positional ones too, and wherever they come up again."""
    log = shop["logs"]["basics"]
    assert given(log, "shop.add") == {"args": {"x": 1, "y": 2}}
    secret = "[REDACTED]"
    assert given(log, "shop.login") == {"args": {"user": "ada", "password": secret, "options": {"api_key": secret}}}
    outputs = [event["data"].get("output") for event in log.events]
    assert {"user": "ada", "note": f"welcome {secret}"} in outputs
    text = "".join(path.read_text(encoding="utf-8") for path in shop["folder"].glob("*"))
    assert not [secret for secret in ("sesame-4711", "kkk-81725", "0123456789abcdef") if secret in text]


def test_a_failure_is_the_exception_of_the_task(shop: dict[str, Any]) -> None:
    [error] = [event for event in shop["logs"]["basics"].events if event["event_type"] == "error"]
    assert (error["data"]["error"]["type"], error["message"]) == ("RuntimeError", "refused: token=[REDACTED]")


def test_each_attempt_of_a_task_is_seen(shop: dict[str, Any]) -> None:
    """A retry is sent by the attempt before it. With an exception that one is an error, without one it is not."""
    log = shop["logs"]["retries"]
    assert shop["answers"]["retries"] == [7, "done"]
    assert sorted(tree(log)) == [
        (0, "retries", "ok"), (1, "shop.flaky", "error"), (1, "shop.patient", "ok"), (2, "shop.flaky", "error"),
        (2, "shop.patient", "ok"), (3, "shop.flaky", "ok"),
    ]  # fmt: skip
    attempts = [event["data"]["input"] for event in log.events if event["data"].get("name") == "shop.flaky"]
    assert [attempt.get("retries") for attempt in attempts] == [None, 1, 2]
    assert len({attempt["id"] for attempt in attempts}) == 1
    assert {"state": "RETRY"} in [event["data"].get("output") for event in log.events]


def test_chains_groups_and_chords_are_one_tree(shop: dict[str, Any]) -> None:
    """A step of a chain is below the one before it; what ends a chord is below what noticed that it could."""
    log = shop["logs"]["canvas"]
    assert shop["answers"]["canvas"] == [28, [0, 3, 6], 9]
    places = tree(log)
    assert sorted(depth for depth, name, _ in places if name == "shop.add") == [*[1] * 7, 2, 3]
    by_id = {span.span_id: span for span in log.spans}
    assert [by_id[span.parent_id or ""].name for span in log.spans if span.name == "shop.total"] == ["celery.chord_unlock"]
    assert {status for *_, status in places} == {"ok"}
    assert sum(name == "work" for _, name, _ in places) == 9


def test_a_task_that_nobody_s_flow_sent_is_a_flow_of_its_own(shop: dict[str, Any]) -> None:
    runs = [run for run in obs.runs(shop["folder"]) if run.flow_id not in shop["flows"].values()]
    assert [(run.name, run.status) for run in runs] == [("shop.add", "ok")]


def test_a_worker_that_stops_loses_nothing(shop: dict[str, Any]) -> None:
    """It ends the task that it has begun; handlers that send later have sent everything."""
    # If the worker stops before it has told the broker that it took the task, the next one does it once more.
    assert set(tree(shop["logs"]["last"])) == {(0, "last", "ok"), (1, "shop.long", "ok"), (2, "work", "ok")}
    assert shop["answers"]["lost"] == []
    assert shop["answers"]["sent"] > 20


def test_tasks_that_do_not_end_by_themselves(shop: dict[str, Any]) -> None:
    """Killed: the attempt has no end. Terminated: it is cancelled. Expired, revoked: it is cancelled, and did not begin."""
    log = shop["logs"]["dying"]
    assert sorted(tree(log)) == [
        (0, "dying", "ok"),
        (1, "shop.add", "cancelled"), (1, "shop.add", "cancelled"), (1, "shop.die", "running"), (1, "shop.slow", "cancelled"),
        (2, "dying", "running"), (2, "sleeping", "cancelled"),
    ]  # fmt: skip
    said = [event["message"] for event in log.events if event["event_type"] == "error" and "before it began" in event["message"]]
    assert sorted(said) == ["the task expired before it began", "the task was revoked before it began"]
    assert shop["answers"]["dying"] == ["TaskRevokedError('expired')"]


def test_celery_has_nothing_to_complain_about(shop: dict[str, Any]) -> None:
    """It logs what receivers of its signals raise."""
    assert "Signal handler" not in shop["trouble"]


# --- in one process ---


@pytest.fixture
def app() -> Iterator[Any]:
    from celery import Celery

    app = Celery("eager", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    yield app
    app.close()


def test_eager_tasks_are_spans_of_their_caller(ring: RingBufferHandler, app: Any) -> None:
    """Without a flow around it, such a task is a flow; an exception goes through."""

    @app.task(name="double", shared=False)
    def double(n: int) -> int:
        if n < 0:
            raise ValueError("negative")
        return n * 2

    undo = install(app)
    with obs.flow("caller") as run:
        assert double.delay(4).get() == 8
        with pytest.raises(ValueError, match="negative"):
            double.apply((-1,), throw=True)
    assert tree(run.get_flow_log()) == [(0, "caller", "ok"), (1, "double", "ok"), (1, "double", "error")]
    exit_ = next(event for event in ring.events(run.flow_id) if event["event_type"] == "exit")
    assert (exit_["node"], exit_["data"]) == ("celery.task", {"output": 8})
    double.delay(1)
    [alone] = [flow_id for flow_id in ring.flow_ids() if flow_id != run.flow_id]
    assert tree(obs.get_flow_log(alone)) == [(0, "double", "ok")]
    assert obs.current() is None
    undo()


def test_an_undo_ends_it_and_two_observers_are_one(ring: RingBufferHandler, app: Any) -> None:
    from celery import Celery, signals

    @app.task(name="double", shared=False)
    def double(n: int) -> int:
        return n * 2

    other = Celery("other", broker="memory://", set_as_current=False)
    all_signals = [signal for signal in vars(signals).values() if isinstance(signal, type(signals.task_prerun))]
    before = [len(signal.receivers or ()) for signal in all_signals]
    undos = [install(app), install(), install(other)]
    with obs.flow("twice") as run:
        double.delay(1)
    assert tree(run.get_flow_log()) == [(0, "twice", "ok"), (1, "double", "ok")]
    for undo in (undos[1], undos[0]):
        undo()
        undo()
    with obs.flow("the other's") as run:
        double.delay(1)
    assert tree(run.get_flow_log()) == [(0, "the other's", "ok")]
    undos[2]()
    assert [len(signal.receivers or ()) for signal in all_signals] == before
    other.close()


def test_an_undo_in_the_middle_of_a_task_loses_no_end(ring: RingBufferHandler, app: Any) -> None:
    """The attempt is logged to its end, and only then are the last receivers gone."""
    from celery import signals

    @app.task(name="stops", shared=False)
    def stops() -> None:
        undo()

    before = len(signals.task_postrun.receivers)
    undo = install(app)
    with obs.flow("caller") as run:
        stops.delay()
        assert obs.current() == run.context
    assert tree(run.get_flow_log()) == [(0, "caller", "ok"), (1, "stops", "ok")]
    assert len(signals.task_postrun.receivers) == before


def test_while_observability_is_off_nothing_is_looked_at(app: Any) -> None:
    """Not even the arguments."""
    undo = install(app)
    headers: dict[str, Any] = {}
    seen = []

    @app.task(name="double", shared=False)
    def double(n: int) -> int:
        seen.append(obs.current())
        return n * 2

    from celery import signals

    signals.before_task_publish.send("double", headers=headers, body=(), properties={})
    assert (double.delay(2).get(), seen, headers) == (4, [None], {})
    undo()


def test_messages_carry_the_place_of_their_sender(ring: RingBufferHandler, app: Any) -> None:
    """Of tasks of the application, if it is given; a message without headers stays as it is."""
    from celery import signals

    @app.task(name="mine", shared=False)
    def mine_task() -> None:
        pass

    app.finalize()
    undo = install(app)
    mine: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    with obs.flow("sender") as run:
        signals.before_task_publish.send("mine", headers=mine)
        signals.before_task_publish.send("theirs", headers=theirs)
        signals.before_task_publish.send("mine", headers=None)
    parent = obs.extract(mine)
    assert parent is not None
    assert (parent.flow_id, theirs) == (run.flow_id, {})
    undo()


def test_without_celery_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celery.signals", None)
    with pytest.raises(ConfigurationError, match="celery cannot be imported; install it beside the_edge_obs"):
        install()
